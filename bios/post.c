/* Power-on self-test: from RAM that was just switched on to the first boot attempt. */
#include "bios.h"

#ifndef RINGER_VERSION
#error "the build says which version this is"
#endif

static void pic_init(void)
{
    static const uint8_t icw[2][4] = {{0x11, 0x08, 0x04, 0x01}, {0x11, 0x70, 0x02, 0x01}};
    for (unsigned chip = 0; chip < 2; chip++) {
        uint16_t port = chip ? 0xa0 : 0x20;
        outb(port, icw[chip][0]);
        for (unsigned i = 1; i < 4; i++)
            outb((uint16_t)(port + 1), icw[chip][i]);
    }
    outb(0x21, 0xb8); /* timer, keyboard, second chip, floppy */
    outb(0xa1, 0x8f); /* mouse, FPU, IDE */
}

static void dma_init(void)
{
    outb(0x0d, 0); /* master clear */
    outb(0xda, 0);
    outb(0xd6, 0xc0); /* channel 4 cascades */
    outb(0xd4, 0x00);
}

static void pit_init(void)
{
    outb(0x43, 0x34); /* mode 2: an OUT that is high nearly always; 65536 */
    outb(0x40, 0);
    outb(0x40, 0);
    outb(0x43, 0x54); /* refresh */
    outb(0x41, 18);
}

static void vectors_init(void)
{
    static void (*const specific[256])(void) = {
        [0x02] = entry_02, [0x05] = entry_05,   [0x08] = entry_08,   [0x09] = entry_09, [0x0e] = entry_0e,
        [0x10] = entry_10, [0x11] = entry_11,   [0x12] = entry_12,   [0x13] = entry_13, [0x14] = entry_14,
        [0x15] = entry_15, [0x16] = entry_16,   [0x17] = entry_17,   [0x18] = entry_18, [0x19] = entry_19,
        [0x1a] = entry_1a, [0x1b] = entry_iret, [0x1c] = entry_iret, [0x40] = entry_40, [0x4a] = entry_iret,
        [0x70] = entry_70, [0x74] = entry_74,   [0x75] = entry_75,   [0x76] = entry_76};

    for (unsigned i = 0; i < 256; i++) {
        void (*entry)(void) = specific[i];
        if (!entry) {
            if (i >= 0x60 && i <= 0x66)
                entry = NULL; /* the user's; but DOS extenders call 67h without a look whether there is an EMS driver */
            else if (i >= 0x08 && i <= 0x0f)
                entry = entry_irq_master;
            else if (i >= 0x70 && i <= 0x77)
                entry = entry_irq_slave;
            else if (i < 0x20)
                entry = entry_unknown;
            else
                entry = entry_iret;
        }
        poke32(0, (uint16_t)(i * 4), entry ? (uint32_t)CODE_SEG << 16 | (uint32_t)entry : 0);
    }
    /* The places that programs know. */
    static const struct {
        uint8_t vector;
        uint16_t off;
    } fixed[] = {{0x02, 0xe2c3}, {0x05, 0xff54}, {0x08, 0xfea5}, {0x09, 0xe987}, {0x0e, 0xef57}, {0x10, 0xf065},
                 {0x11, 0xf84d}, {0x12, 0xf841}, {0x13, 0xe3fe}, {0x14, 0xe739}, {0x15, 0xf859}, {0x16, 0xe82e},
                 {0x17, 0xefd2}, {0x19, 0xe6f2}, {0x1a, 0xfe6e}, {0x1d, 0xf0a4}, {0x1e, 0xefc7}, {0x40, 0xec59}};
    for (unsigned i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        set_vector(fixed[i].vector, CODE_SEG, fixed[i].off);
    poke32(0, 0x1f * 4, 0); /* the video BIOS has a font for it */
}

static void bda_init(void)
{
    for (uint16_t off = 0; off < 0x200; off += 4)
        poke32(BDA_SEG, off, 0);
    uint16_t ebda = (640 - EBDA_KIB) * 64;
    for (uint16_t off = 0; off < EBDA_KIB * 1024; off += 4)
        poke32(ebda, off, 0);
    poke8(ebda, EBDA_SIZE, EBDA_KIB);
    poke16(BDA_SEG, BDA_EBDA, ebda);
    poke16(BDA_SEG, BDA_EQUIPMENT, 0x0026); /* FPU, mouse, 80x25 colour */
}

/* The 8x8 font at the AT's address, from whatever video BIOS there is. */
static void font_init(void)
{
    struct bregs regs;
    memset(&regs, 0, sizeof(regs));
    regs.ax = 0x1130;
    regs.bh = 3;
    call_int(0x10, &regs);
    if (regs.cx) /* height of the font in use: this video BIOS knows the function */
        far_copy(CODE_SEG, (uint16_t)(uint32_t)font_8x8, regs.es, regs.bp, 1024);
}

static void banner(void)
{
    printf("Ringer BIOS %s\n", RINGER_VERSION);
    printf("Memory: %u KiB\n", 640 + (memory_below_4g - 0x100000) / 1024 + (uint32_t)(memory_above_4g >> 10));
}

void post(void)
{
    dprintf("Ringer BIOS %s\n", RINGER_VERSION);
    outb(0x80, 0x01);
    pic_init();
    pit_init();
    dma_init();
    bda_init();
    vectors_init();
    shadow_mark = 0;
    memory_size();
    outb(0x80, 0x02);
    pci_shadow_roms();
    pci_init();
    clock_init();
    outb(0x80, 0x03);
    tables_build();
    rom_run_video();
    struct bregs mode;
    memset(&mode, 0, sizeof(mode));
    mode.ax = 0x0003;
    call_int(0x10, &mode);
    font_init();
    banner();
    outb(0x80, 0x04);
    kbd_init();
    serial_init();
    floppy_init();
    ata_init();
    virtio_init();
    drives_announce();
    tables_finish();
    outb(0x80, 0x05);
    rom_run_others();
    shadow_mark = SHADOW_MARK;
    poke8(CODE_SEG, (uint16_t)(uint32_t)&is_shadow, 1);
    outb(0x80, 0x06);
    boot();
}

/* --- Interrupts that nobody else serves --- */

void handle_02(struct bregs *regs)
{
    dprintf("NMI at %04x:%04x\n", regs->cs, regs->ip);
}

void handle_irq_master(struct bregs *regs)
{
    outb(0x20, 0x0b);
    uint8_t isr = inb(0x20);
    if (isr) /* else a spurious one */
        outb(0x20, 0x20);
    poke8(BDA_SEG, 0x6b, isr ? isr : 0xff);
}

void handle_irq_slave(struct bregs *regs)
{
    outb(0xa0, 0x0b);
    if (inb(0xa0))
        outb(0xa0, 0x20);
    outb(0x20, 0x20);
}

/* FPU error by way of IRQ 13, as the AT has it: on to the NMI handler. */
void handle_75(struct bregs *regs)
{
    outb(0xf0, 0);
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
    struct bregs inner;
    memset(&inner, 0, sizeof(inner));
    call_int(0x02, &inner);
}

void handle_76(struct bregs *regs)
{
    poke8(BDA_SEG, BDA_HD_INT, 0xff);
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
}

void handle_unknown(struct bregs *regs)
{
    dprintf("unhandled interrupt at %04x:%04x\n", regs->cs, regs->ip);
}

/* Without a video BIOS, text goes nowhere. */
void handle_10(struct bregs *regs)
{
}

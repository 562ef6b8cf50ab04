/* Boot order, boot menu, INT 18h and 19h.
 *
 * The order is in CMOS as QEMU's board has it: 3Dh low nibble first, high nibble second, 38h high nibble third;
 * 1 floppy, 2 hard disk, 3 CD, 4 network. Devices with a place of their own (bootorder.c) go before. 38h bit 0: a
 * floppy needs no signature.
 */
#include "bios.h"

struct entry {
    uint8_t kind, index;
};

#define ENTRIES_MAX 16

static struct entry entries[ENTRIES_MAX]; /* in the order to try */
static unsigned entry_count, next_entry;

void boot_add(uint8_t kind, uint8_t index)
{
    for (unsigned i = 0; i < entry_count; i++) {
        if (entries[i].kind == kind && entries[i].index == index)
            return;
    }
    if (entry_count < ENTRIES_MAX)
        entries[entry_count++] = (struct entry){kind, index};
}

static void add_kind(uint8_t kind)
{
    unsigned count = kind == BOOT_FLOPPY ? (floppy_count ? 1 : 0)
                     : kind == BOOT_HD   ? hd_count
                     : kind == BOOT_CD   ? cd_count
                     : kind == BOOT_NET  ? rom_bev_count
                                         : 0;
    for (unsigned i = 0; i < count; i++)
        boot_add(kind, (uint8_t)i);
}

static void make_order(bool all)
{
    uint8_t low = cmos_read(0x3d), third = cmos_read(0x38) >> 4;
    entry_count = 0;
    bootorder_add();
    add_kind(low & 15);
    add_kind(low >> 4);
    add_kind(third);
    /* Three kinds is what the user who says nothing has; the network comes last then. */
    if (third)
        add_kind(BOOT_NET);
    if (all || !entry_count) {
        add_kind(BOOT_FLOPPY);
        add_kind(BOOT_HD);
        add_kind(BOOT_CD);
        add_kind(BOOT_NET);
    }
}

static void print_entry(const struct entry *e)
{
    switch (e->kind) {
    case BOOT_FLOPPY:
        printf("floppy");
        break;
    case BOOT_HD:
        printf("hard disk %s", drives[hd_map[e->index]].model);
        break;
    case BOOT_CD:
        printf("CD %s", drives[cd_map[e->index]].model);
        break;
    default:
        printf("network ");
        rom_print_name(&rom_bev[e->index]);
        break;
    }
}

static void menu(void)
{
    make_order(true);
    printf("\nBoot from:\n\n");
    for (unsigned i = 0; i < entry_count; i++) {
        printf("%c. ", i < 9 ? (int)('1' + i) : (int)('a' + i - 9));
        print_entry(&entries[i]);
        printf("\n");
    }
    printf("\nEsc: as configured\n");
    for (;;) {
        uint8_t c = (uint8_t)kbd_wait();
        unsigned n = c >= '1' && c <= '9' ? c - '1' + 0u : c >= 'a' && c <= 'z' ? c - 'a' + 9u : ENTRIES_MAX;
        if (c == 0x1b) {
            make_order(false);
            return;
        }
        if (n < entry_count) {
            struct entry chosen = entries[n];
            entry_count = 0;
            entries[entry_count++] = chosen;
            return;
        }
    }
}

/* --- Attempts --- */

static void boot_sector(uint8_t number, bool needs_signature)
{
    struct bregs regs;
    for (unsigned attempt = 0; attempt < 3; attempt++) {
        memset(&regs, 0, sizeof(regs));
        regs.ax = 0x0201;
        regs.bx = 0x7c00;
        regs.cx = 0x0001;
        regs.dx = number;
        call_int(0x13, &regs);
        if (!(regs.flags & F_CF))
            break;
    }
    if (regs.flags & F_CF) {
        printf("cannot read: error %02x\n", regs.ah);
        return;
    }
    if (needs_signature && peek16(0, 0x7dfe) != 0xaa55) {
        printf("not bootable\n");
        return;
    }
    printf("\n");
    boot_jump(0x00007c00, number);
}

static void try_entry(const struct entry *e)
{
    printf("Booting from ");
    print_entry(e);
    printf("... ");
    switch (e->kind) {
    case BOOT_FLOPPY:
        boot_sector(0x00, !(cmos_read(0x38) & 1));
        break;
    case BOOT_HD:
        boot_sector((uint8_t)(0x80 + e->index), true);
        break;
    case BOOT_CD: {
        uint16_t seg;
        uint8_t number, code = cd_boot(&drives[cd_map[e->index]], &seg, &number);
        if (code == 0x31)
            printf("no medium\n");
        else if (code == 0x01)
            printf("not bootable\n");
        else if (code)
            printf("cannot read: error %02x\n", code);
        else {
            printf("\n");
            /* 07C0:0 and 0000:7C00 are the same place; boot sectors expect the latter. */
            boot_jump(seg == 0x7c0 ? 0x00007c00 : (uint32_t)seg << 16, number);
        }
        break;
    }
    default: {
        struct bregs regs;
        memset(&regs, 0, sizeof(regs));
        printf("\n");
        call_far(&regs, (uint32_t)rom_bev[e->index].seg << 16 | rom_bev[e->index].off, 0);
        break;
    }
    }
}

void handle_19(struct bregs *regs)
{
    next_entry = 0;
    struct bregs inner;
    memset(&inner, 0, sizeof(inner));
    while (next_entry < entry_count)
        try_entry(&entries[next_entry++]);
    call_int(0x18, &inner);
}

/* A boot program that gives up comes here: the next device, if there is one. */
void handle_18(struct bregs *regs)
{
    while (next_entry < entry_count)
        try_entry(&entries[next_entry++]);
    printf("No bootable device. Press a key to start again.\n");
    kbd_wait();
    poke16(BDA_SEG, BDA_RESET_FLAG, 0x1234);
    outb(0xcf9, 0x02);
    outb(0xcf9, 0x06);
    for (;;)
        yield_halt();
}

/* Ringer's -kernel: the machine holds a kernel. A write to the port, of where its memory map is, puts the kernel into
 * memory and the CPU at its entry. Elsewhere nobody answers there. */
#define KERNEL_PORT  0x5a0
#define KERNEL_WAITS 0x4b

static void boot_kernel(void)
{
    static struct {
        uint32_t count;
        struct e820_entry entry[16];
    } map;

    if (inb(KERNEL_PORT) != KERNEL_WAITS)
        return;
    printf("Starting the kernel given with -kernel\n");
    map.count = e820_count;
    memcpy(map.entry, e820_map, e820_count * sizeof(map.entry[0]));
    outl(KERNEL_PORT, linear_of(&map));
    for (;;) /* the CPU leaves from here */
        yield_halt();
}

void boot(void)
{
    uint16_t key;
    struct bregs regs;

    pci_lock_roms(rom_end);
    boot_kernel();
    /* A short look at the keyboard always; a long one if the user asked for the menu. */
    uint32_t wait_ms = fw_cfg_u16(FW_CFG_BOOT_MENU, 0) ? fw_cfg_file_u16("etc/boot-menu-wait", 2500) : 250;
    printf("Esc or F12: boot menu\n");
    make_order(false);
    if (kbd_pressed_during(wait_ms, &key))
        menu();
    memset(&regs, 0, sizeof(regs));
    call_int(0x19, &regs);
    for (;;)
        yield_halt();
}

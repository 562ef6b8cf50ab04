/* Code in memory whose place or contents changes behind the processor's back: banks and windows of video memory, a BAR
 * that moves, the chipset's shadow RAM, the A20 gate, DMA. What is executed is what is there now, however often what
 * was there before has run.
 */
#include "code.h"

static uint32_t directory[1024] __attribute__((aligned(4096)));

static void outw(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

static uint16_t inw(uint16_t port)
{
    uint16_t v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static bool reads(uint32_t at, uint8_t byte)
{
    return *(volatile uint8_t *)at == byte;
}

/* --- Video memory --- */

static void dispi(unsigned index, uint16_t v)
{
    outw(0x1ce, (uint16_t)index);
    outw(0x1cf, v);
}

#define DISPI_ID     0
#define DISPI_XRES   1
#define DISPI_YRES   2
#define DISPI_BPP    3
#define DISPI_ENABLE 4
#define DISPI_BANK   5

static unsigned find_vga(void)
{
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        if (config_read(devfn, 0) == 0x11111234)
            return devfn;
    }
    return 0;
}

static void graphics(bool on)
{
    dispi(DISPI_ENABLE, 0);
    if (!on)
        return;
    dispi(DISPI_XRES, 640);
    dispi(DISPI_YRES, 480);
    dispi(DISPI_BPP, 8);
    dispi(DISPI_ENABLE, 1);
}

static void test_banks(void)
{
    const unsigned banks = 4;
    uint32_t at = 0xa0000 + 0x1ffa; /* a function over the border of two pages, too */
    bool ok = true;

    graphics(true);
    for (unsigned bank = 0; bank < banks; bank++) {
        dispi(DISPI_BANK, (uint16_t)bank);
        put_function(0xa0000, 100 + bank);
        put_function(at + bank % 4 + 2, 200 + bank);
    }
    for (unsigned round = 0; round < 12; round++) {
        unsigned bank = (round * 7 + 1) % banks;
        dispi(DISPI_BANK, (uint16_t)bank);
        ok &= gives(0xa0000, 100 + bank) && gives(at + bank % 4 + 2, 200 + bank);
        if (round == 6) { /* written through the window while it is hot */
            put_function(0xa0000, 100 + bank + 1000);
            ok &= gives(0xa0000, 100 + bank + 1000);
            put_function(0xa0000, 100 + bank);
        }
    }
    check(ok, "code in the banks of video memory");
}

static void test_frame_buffer(unsigned vga)
{
    uint32_t base = config_read(vga, 0x10) & ~15u, elsewhere = 0xe8000000, command = config_read(vga, 4);
    bool ok = true, gone = true;

    graphics(true);
    for (unsigned round = 0; round < 8; round++) {
        uint32_t here = round % 2 ? elsewhere : base, there = round % 2 ? base : elsewhere;
        config_write(vga, 0x10, here);
        put_function(here + 0x3000, round);
        ok &= gives(here + 0x3000, round);
        dispi(DISPI_BANK, 0);
        ok &= gives(0xa0000 + 0x3000, round); /* the same bytes through the window */
        put_function(0xa0000 + 0x3000, round + 50);
        ok &= gives(here + 0x3000, round + 50);
        gone &= reads(there + 0x3000, 0xff);
        config_write(vga, 4, command & ~2u);
        gone &= reads(here + 0x3000, 0xff);
        config_write(vga, 4, command);
        ok &= gives(here + 0x3000, round + 50);
    }
    config_write(vga, 0x10, base);
    check(ok, "code in a frame buffer that moves");
    check(gone, "nothing is where it was");
}

static void text_window(bool there)
{
    outb(0x3ce, 6);
    outb(0x3cf, there ? 0x0e : 0x04); /* B8000h, 32 KiB; A0000h, 64 KiB */
}

static void test_text(void)
{
    bool ok = true, gone = true;

    graphics(false);
    text_window(true);
    for (unsigned round = 0; round < 8; round++) {
        put_function(0xb8100, round);
        ok &= gives(0xb8100, round);
        text_window(false);
        gone &= reads(0xb8100, 0xff);
        text_window(true);
        ok &= gives(0xb8100, round);
    }
    check(ok, "code in text memory");
    check(gone, "text memory goes with its window");
}

/* --- The chipset --- */

static void test_shadow(void)
{
    uint32_t at = 0;
    uint8_t rom[16];
    bool ok = true, is_rom = true, dropped = true;

    pam(2); /* reads are the ROM's, writes the DRAM's; in the ROM there is a RET somewhere, or bytes of a bus */
    for (uint32_t i = SHADOW; i < SHADOW + 0x7f00 && !at; i++) {
        if (reads(i, 0xc3))
            at = i;
    }
    bool has_ret = at;
    at = at ? at : SHADOW + 0x100;
    memcpy(rom, (void *)at, sizeof rom);
    for (unsigned round = 0; round < 10; round++) {
        pam(2);
        put_function(at, round);
        is_rom &= memcmp(rom, (void *)at, sizeof rom) == 0;
        if (has_ret)
            is_rom &= gives(at, 12345) == false && call(at, 12345) == 12345;
        pam(3);
        ok &= gives(at, round);
        put_function(at, round + 100);
        ok &= gives(at, round + 100);
        pam(1); /* reads are the DRAM's, writes are nobody's */
        put_function(at, round + 200);
        dropped &= gives(at, round + 100);
        pam(3);
        dropped &= gives(at, round + 100);
    }
    check(ok, "code in shadow RAM");
    check(is_rom, "the ROM below it");
    check(dropped, "shadow RAM that is write-protected");
}

/* Where bit 20 of the address is 0: all that runs while the gate is closed. EAX: what the function at ECX gives then.
 */
extern char closed_gate[], closed_gate_end[];
__asm__(".pushsection .text.snippet,\"ax\"\n"
        "closed_gate:\n"
        "movl %esp, %edx\n movl $0x600ff0, %esp\n pushl %edx\n"
        "inb $0x92, %al\n pushl %eax\n andb $0xfd, %al\n outb %al, $0x92\n"
        "movl $0, %eax\n call *%ecx\n movl %eax, %ecx\n"
        "popl %eax\n outb %al, $0x92\n"
        "movl %ecx, %eax\n popl %edx\n movl %edx, %esp\n ret\n"
        "closed_gate_end:\n.popsection\n");

static uint32_t call_closed(uint32_t at)
{
    uint32_t eax;
    __asm__ volatile("call *%2" : "=a"(eax), "+c"(at) : "r"(0x401000) : "edx", "memory", "cc");
    return eax;
}

static void test_a20(void)
{
    bool open = true, closed = true;

    memcpy((void *)0x401000, closed_gate, (size_t)(closed_gate_end - closed_gate));
    for (unsigned round = 0; round < 10; round++) {
        put_function(0x402000, round);
        put_function(0x502000, round + 100);
        open &= gives(0x502000, round + 100) && gives(0x402000, round);
        for (unsigned i = 0; i < HOT; i++)
            closed &= call_closed(0x502000) == round && call_closed(0x402000) == round;
        open &= gives(0x502000, round + 100);
    }
    check(open, "code above 5 MiB");
    check(closed, "with the A20 gate closed it is code above 4 MiB");
}

/* --- DMA --- */

static void dma_signature(void *to)
{
    static volatile uint8_t descriptor[16] __attribute__((aligned(16)));
    uint32_t at = (uint32_t)to;
    static const uint8_t head[] = {0, 0, 0, 0x0a, 0, 0, 0, 4}; /* select item 0, read 4 bytes */
    for (unsigned i = 0; i < 8; i++) {
        descriptor[i] = head[i];
        descriptor[8 + i] = i < 4 ? 0 : (uint8_t)(at >> 8 * (7 - i));
    }
    outl(0x518, __builtin_bswap32((uint32_t)descriptor));
    while (descriptor[3] & 0xfe)
        continue;
}

static void test_dma(void)
{
    /* MOV EDX, ESP; four bytes; MOV ESP, EDX; RET. "QEMU" is PUSH ECX; INC EBP; DEC EBP; PUSH EBP. */
    static uint8_t code[] __attribute__((aligned(4096))) = {0x89, 0xe2, 0x40, 0x40, 0x40, 0x40, 0x89, 0xd4, 0xc3};
    bool ok = true;

    for (unsigned round = 0; round < 50; round++) {
        memset(code + 2, 0x40, 4);
        for (unsigned i = 0; i < HOT; i++)
            ok &= call((uint32_t)code, 7) == 11;
        dma_signature(code + 2);
        for (unsigned i = 0; i < HOT; i++)
            ok &= call((uint32_t)code, 7) == 7;
    }
    ok &= memcmp(code + 2, "QEMU", 4) == 0;
    check(ok, "code that a device overwrites");
}

static void all(unsigned vga)
{
    test_banks();
    test_frame_buffer(vga);
    test_text();
    test_shadow();
    test_dma();
}

void guest_main(void)
{
    unsigned vga = find_vga();

    if (!check(vga != 0, "there is a VGA"))
        return;
    outw(0x1ce, DISPI_ID);
    check((inw(0x1cf) & 0xfff0) == 0xb0c0, "with DISPI registers");
    print("# without paging\n");
    all(vga);
    test_a20();
    print("# with paging\n");
    for (unsigned i = 0; i < 1024; i++)
        directory[i] = i << 22 | 0x83;
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3((uint32_t)directory);
    write_cr0(read_cr0() | CR0_PG);
    all(vga);
}

/* Calls every function of INT 10h and prints what can be seen of it: registers, BIOS data, memory. One line each, for
 * bios.py to compare between video BIOSes.
 */
#include "print.h"

int main(void);

/* --- What can be seen --- */

static uint32_t sum_add(uint32_t sum, uint8_t byte)
{
    return (sum ^ byte) * 16777619u;
}

static uint32_t memory_sum(uint16_t seg, uint16_t off, uint32_t len)
{
    uint32_t sum = 2166136261u;
    for (uint32_t i = 0; i < len; i++)
        sum = sum_add(sum, peek8(seg, off + i));
    return sum;
}

static void show_registers(void)
{
    uint16_t crtc = peek16(0x40, 0x63);
    field("misc", inb(0x3cc), 2);
    text(" seq=");
    for (uint8_t i = 0; i < 5; i++)
        hex(indexed(0x3c4, i), 2);
    text(" crtc=");
    for (uint8_t i = 0; i < 25; i++)
        hex(indexed(crtc, i), 2);
    text(" gc=");
    for (uint8_t i = 0; i < 9; i++)
        hex(indexed(0x3ce, i), 2);
    text(" attr=");
    for (uint8_t i = 0; i < 21; i++) {
        inb(crtc + 6);
        outb(0x3c0, i);
        hex(inb(0x3c1), 2);
    }
    inb(crtc + 6);
    outb(0x3c0, 0x20);
}

static void show_dac(void)
{
    uint32_t sum = 2166136261u;
    outb(0x3c7, 0);
    for (unsigned i = 0; i < 768; i++)
        sum = sum_add(sum, inb(0x3c9));
    field("dac", sum, 8);
}

static void show_bda(void)
{
    text(" bda=");
    for (uint16_t i = 0x49; i <= 0x66; i++)
        hex(peek8(0x40, i), 2);
    put('.');
    for (uint16_t i = 0x84; i <= 0x85; i++)
        hex(peek8(0x40, i), 2);
    field("equipment", peek16(0x40, 0x10) & 0x30, 2);
}

static void show_call(const char *name, const struct regs *regs)
{
    text(name);
    put(':');
    field("ax", regs->eax & 0xffff, 4);
    field("bx", regs->ebx & 0xffff, 4);
    field("cx", regs->ecx & 0xffff, 4);
    field("dx", regs->edx & 0xffff, 4);
}

/* --- Modes --- */

static const uint8_t modes[] = {0, 1, 2, 3, 4, 5, 6, 7, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13};

static void test_modes(void)
{
    for (unsigned i = 0; i < sizeof(modes); i++) {
        struct regs regs = call(modes[i], 0, 0, 0);
        text("mode ");
        hex(modes[i], 2);
        put(':');
        field("al", regs.eax & 0xff, 2);
        show_registers();
        show_bda();
        show_dac();
        regs = call(0x0f00, 0, 0, 0);
        field("0f", regs.eax & 0xffff, 4);
        field("page", regs.ebx >> 8 & 0xff, 2);
        end();
    }
}

/* --- Text --- */

static uint32_t screen_sum(void)
{
    return memory_sum(0xb800, 0, 4000);
}

static void show_screen(const char *name)
{
    struct regs regs = call(0x0300, 0, 0, 0);
    text(name);
    put(':');
    field("cursor", regs.edx & 0xffff, 4);
    field("shape", regs.ecx & 0xffff, 4);
    field("crtc0e", indexed(0x3d4, 0x0e) << 8 | indexed(0x3d4, 0x0f), 4);
    field("crtc0a", indexed(0x3d4, 0x0a) << 8 | indexed(0x3d4, 0x0b), 4);
    field("start", indexed(0x3d4, 0x0c) << 8 | indexed(0x3d4, 0x0d), 4);
    field("screen", screen_sum(), 8);
    end();
}

static void print(const char *string)
{
    while (*string)
        call(0x0e00 | (uint8_t)*string++, 7, 0, 0);
}

static void fill(void)
{
    for (uint16_t i = 0; i < 2000; i++)
        poke16(0xb800, 2 * i, (uint16_t)(i * 37 + 11));
}

static void test_text(void)
{
    call(0x0003, 0, 0, 0);
    show_screen("fresh");
    print("Hello, world\r\nsecond line\b\b\b!");
    show_screen("teletype");
    for (unsigned i = 0; i < 30; i++)
        print("scrolling along the way\r\n");
    show_screen("teletype scrolls");
    for (unsigned i = 0; i < 81; i++)
        print("x");
    show_screen("teletype wraps");
    call(0x0200, 0, 0, 0x0a14);
    call(0x0900 | 'Z', 0x4e, 5, 0);
    show_screen("09 repeated");
    call(0x0a00 | 'Y', 0x12, 3, 0);
    show_screen("0a repeated");
    struct regs regs = call(0x0800, 0, 0, 0);
    show_call("08 reads", &regs);
    end();

    fill();
    call(0x0601, 0x1700, 0x0000, 0x184f);
    show_screen("06 up one");
    fill();
    call(0x0603, 0x2500, 0x0305, 0x0c20);
    show_screen("06 window");
    fill();
    call(0x0702, 0x3600, 0x0a00, 0x114f);
    show_screen("07 window");
    fill();
    call(0x0600, 0x0700, 0x0505, 0x0a0a);
    show_screen("06 clears");
    fill();
    call(0x0600, 0x0700, 0x0000, 0xffff);
    show_screen("06 beyond the screen");

    call(0x0100, 0, 0x0607, 0);
    show_screen("01 underline");
    call(0x0100, 0, 0x0007, 0);
    show_screen("01 block");
    call(0x0100, 0, 0x2000, 0);
    show_screen("01 off");
    call(0x0100, 0, 0x0d0e, 0);
    show_screen("01 of sixteen lines");

    call(0x0501, 0, 0, 0);
    show_screen("05 page 1");
    call(0x0200, 0x0100, 0, 0x0203);
    print("on page one");
    regs = call(0x0300, 0x0100, 0, 0);
    show_call("03 page 1", &regs);
    field("memory", memory_sum(0xb800, 0x1000, 4000), 8);
    field("crtc", indexed(0x3d4, 0x0e) << 8 | indexed(0x3d4, 0x0f), 4);
    field("pagestart", peek16(0x40, 0x4e), 4);
    end();
    call(0x0500, 0, 0, 0);

    static const char string[] = "A\x1f"
                                 "B\x2e"
                                 "C\x3d";
    for (uint8_t al = 0; al < 4; al++) {
        struct regs r = {.eax = 0x1300 | al, .ebx = 0x004f, .ecx = 3, .edx = 0x0510 + al * 0x100, .es = 0x1000};
        r.ebp = (uint32_t)string;
        call(0x0200, 0, 0, 0x0101);
        int10(&r);
        show_screen(al & 2 ? al & 1 ? "13 attributes, moving" : "13 attributes" : al & 1 ? "13 moving" : "13");
    }
    call(0x0083, 0, 0, 0); /* keeps memory */
    field("kept", screen_sum(), 8);
    show_bda();
    end();
}

/* --- Graphics --- */

static void test_graphics(void)
{
    static const uint8_t graphics[] = {4, 6, 0x0d, 0x0e, 0x10, 0x11, 0x12, 0x13};
    for (unsigned i = 0; i < sizeof(graphics); i++) {
        uint8_t mode = graphics[i];
        call(mode, 0, 0, 0);
        text("pixels ");
        hex(mode, 2);
        put(':');
        bool planar = mode >= 0x0d && mode < 0x13;
        if (planar)
            outw(0x3c4, 0x0102); /* a program that draws plane by plane */
        for (uint16_t x = 0; x < 40; x++)
            call(0x0c00 | (x & 15), 0, x * 7, x * 3);
        call(0x0c83, 0, 7, 3);
        for (uint16_t x = 0; x < 6; x++)
            hex(call(0x0d00, 0, x * 7, x * 3).eax & 0xff, 2);
        uint16_t seg = mode < 7 ? 0xb800 : 0xa000;
        for (uint8_t plane = 0; plane < (mode < 7 ? 1 : 4); plane++) {
            outw(0x3ce, (uint16_t)(0x0004 | plane << 8));
            field("memory", memory_sum(seg, 0, mode < 7 ? 0x4000 : 0x8000), 8);
        }
        outw(0x3ce, 0x0004);
        field("gc5", indexed(0x3ce, 5), 2);
        field("gc8", indexed(0x3ce, 8), 2);
        end();

        /* A glyph of our own, so that fonts do not matter. */
        static uint8_t glyphs[256 * 16];
        for (unsigned n = 0; n < sizeof(glyphs); n++)
            glyphs[n] = (uint8_t)(n * 29 + (n >> 4) * 7 + 1);
        uint8_t height = peek8(0x40, 0x85);
        poke16(0, 0x10c, (uint16_t)(uint32_t)glyphs);
        poke16(0, 0x10e, 0x1000);
        poke16(0, 0x7c, (uint16_t)(uint32_t)glyphs + 128 * height);
        poke16(0, 0x7e, 0x1000);
        text("characters ");
        hex(mode, 2);
        put(':');
        if (planar)
            outw(0x3c4, 0x0402);
        call(0x0200, 0, 0, 0x0203);
        call(0x0900 | 'a', 0x03, 3, 0);
        call(0x0900 | 'b', 0x81, 1, 0); /* exclusive or, but with 256 colours */
        call(0x0200, 0, 0, 0x0305);
        call(0x0e00 | 'c', 0x01, 0, 0);
        call(0x0e00 | 0xc9, 0x01, 0, 0);
        call(0x0200, 0, 0, 0x0305);
        hex(call(0x0800, 0, 0, 0).eax & 0xff, 2);
        call(0x0200, 0, 0, 0x0306);
        hex(call(0x0800, 0, 0, 0).eax & 0xff, 2);
        for (uint8_t plane = 0; plane < (mode < 7 ? 1 : 4); plane++) {
            outw(0x3ce, (uint16_t)(0x0004 | plane << 8));
            field("memory", memory_sum(seg, 0, mode < 7 ? 0x4000 : 0x8000), 8);
        }
        outw(0x3ce, 0x0004);
        call(0x0601, 0x0000, 0x0102, 0x0820);
        field("scrolled", memory_sum(seg, 0, mode < 7 ? 0x4000 : 0x8000), 8);
        end();
    }
}

/* --- Palette --- */

static void show_attr(const char *name)
{
    text(name);
    put(':');
    show_registers();
    show_dac();
    end();
}

static void test_palette(void)
{
    static uint8_t block[64];
    struct regs regs;

    call(0x0003, 0, 0, 0);
    call(0x1000, 0x2a03, 0, 0);
    show_attr("1000");
    call(0x1001, 0x1100, 0, 0);
    show_attr("1001");
    call(0x1003, 0x0000, 0, 0);
    show_attr("1003");
    regs = call(0x1007, 0x0003, 0, 0);
    show_call("1007", &regs);
    end();
    regs = call(0x1008, 0, 0, 0);
    show_call("1008", &regs);
    end();
    for (unsigned i = 0; i < 17; i++)
        block[i] = (uint8_t)(i * 3);
    regs = (struct regs){.eax = 0x1002, .edx = (uint32_t)block, .es = 0x1000};
    int10(&regs);
    show_attr("1002");
    regs = (struct regs){.eax = 0x1009, .edx = (uint32_t)block + 20, .es = 0x1000};
    int10(&regs);
    text("1009:");
    for (unsigned i = 0; i < 17; i++)
        hex(block[20 + i], 2);
    end();
    call(0x1010, 7, 0x1122, 0x3300);
    show_attr("1010");
    regs = call(0x1015, 7, 0, 0);
    show_call("1015", &regs);
    end();
    for (unsigned i = 0; i < 30; i++)
        block[i] = (uint8_t)(i * 2);
    regs = (struct regs){.eax = 0x1012, .ebx = 16, .ecx = 10, .edx = (uint32_t)block, .es = 0x1000};
    int10(&regs);
    show_attr("1012");
    regs = (struct regs){.eax = 0x1017, .ebx = 18, .ecx = 4, .edx = (uint32_t)block + 32, .es = 0x1000};
    int10(&regs);
    text("1017:");
    for (unsigned i = 0; i < 12; i++)
        hex(block[32 + i], 2);
    end();
    call(0x1013, 0x0100, 0, 0);
    call(0x1013, 0x0501, 0, 0);
    show_attr("1013");
    regs = call(0x101a, 0, 0, 0);
    show_call("101a", &regs);
    end();
    call(0x1018, 0x00f3, 0, 0);
    regs = call(0x1019, 0, 0, 0);
    show_call("1019", &regs);
    end();
    call(0x1018, 0x00ff, 0, 0);
    call(0x0004, 0, 0, 0);
    call(0x0b00, 0x0012, 0, 0);
    show_attr("0b00");
    call(0x0b00, 0x0100, 0, 0);
    show_attr("0b01");
}

/* --- Fonts, alternate select, tables --- */

static void test_fonts(void)
{
    struct regs regs;

    call(0x0003, 0, 0, 0);
    call(0x1112, 0x0000, 0, 0);
    text("1112:");
    show_registers();
    show_bda();
    end();
    call(0x1111, 0x0000, 0, 0);
    text("1111:");
    show_registers();
    show_bda();
    end();
    call(0x1114, 0x0000, 0, 0);
    text("1114:");
    show_registers();
    show_bda();
    end();
    regs = call(0x1130, 0x0300, 0, 0);
    text("1130 03:");
    field("cx", regs.ecx & 0xffff, 4);
    field("dl", regs.edx & 0xff, 2);
    end();
    call(0x1103, 0x0005, 0, 0);
    text("1103:");
    field("seq3", indexed(0x3c4, 3), 2);
    end();
    call(0x1103, 0x0000, 0, 0);

    static uint8_t glyph[32];
    for (unsigned i = 0; i < 32; i++)
        glyph[i] = (uint8_t)(i * 9 + 1);
    regs = (struct regs){.eax = 0x1100, .ebx = 0x1000, .ecx = 2, .edx = 0x41, .ebp = (uint32_t)glyph, .es = 0x1000};
    int10(&regs);
    text("1100:");
    outw(0x3c4, 0x0402);
    outw(0x3c4, 0x0604);
    outw(0x3ce, 0x0204);
    outw(0x3ce, 0x0005);
    outw(0x3ce, 0x0406);
    field("plane2", memory_sum(0xa000, 0x41 * 32, 16), 8);
    field("next", memory_sum(0xa000, 0x42 * 32, 16), 8);
    call(0x0003, 0, 0, 0);
    end();

    regs = call(0x1200, 0x0010, 0, 0);
    show_call("1210", &regs);
    end();
    regs = call(0x1201, 0x0030, 0, 0);
    show_call("1230 350", &regs);
    call(0x0003, 0, 0, 0);
    show_registers();
    end();
    call(0x1200, 0x0030, 0, 0);
    call(0x0003, 0, 0, 0);
    text("1230 200:");
    show_registers();
    end();
    call(0x1202, 0x0030, 0, 0);
    call(0x0003, 0, 0, 0);
    text("1230 400:");
    show_registers();
    end();
    regs = call(0x1201, 0x0034, 0, 0);
    show_call("1234", &regs);
    call(0x0100, 0, 0x0607, 0);
    field("crtc0a", indexed(0x3d4, 0x0a) << 8 | indexed(0x3d4, 0x0b), 4);
    end();
    call(0x1200, 0x0034, 0, 0);
    call(0x1201, 0x0036, 0, 0);
    text("1236:");
    field("seq1", indexed(0x3c4, 1), 2);
    call(0x1200, 0x0036, 0, 0);
    field("seq1", indexed(0x3c4, 1), 2);
    end();
    regs = call(0x1a00, 0, 0, 0);
    show_call("1a00", &regs);
    end();

    static uint8_t state[64];
    regs = (struct regs){.eax = 0x1b00, .edi = (uint32_t)state, .es = 0x1000};
    int10(&regs);
    text("1b00:");
    field("al", regs.eax & 0xff, 2);
    for (unsigned i = 4; i < 0x2d; i++)
        hex(state[i], 2);
    field("static", memory_sum((uint16_t)(state[2] | state[3] << 8), (uint16_t)(state[0] | state[1] << 8), 3), 8);
    end();

    /* Save, change everything, restore. */
    regs = call(0x1c00, 0, 7, 0);
    text("1c00:");
    field("al", regs.eax & 0xff, 2);
    put(' ');
    text((regs.ebx & 0xffff) >= 12 && (regs.ebx & 0xffff) < 64 ? "size" : "no size");
    end();
    static uint8_t saved[4096];
    call(0x0200, 0, 0, 0x0709);
    call(0x1000, 0x1501, 0, 0);
    regs = (struct regs){.eax = 0x1c01, .ebx = (uint32_t)saved, .ecx = 7, .es = 0x1000};
    int10(&regs);
    call(0x0012, 0, 0, 0);
    regs = (struct regs){.eax = 0x1c02, .ebx = (uint32_t)saved, .ecx = 7, .es = 0x1000};
    int10(&regs);
    text("1c02:");
    show_registers();
    show_bda();
    show_dac();
    end();
    call(0x0003, 0, 0, 0);
}

/* --- VBE --- */

static void test_vbe(void)
{
    static uint8_t info[512];
    static const uint16_t wanted[] = {0x100, 0x101, 0x103, 0x105, 0x107, 0x110, 0x111, 0x112,
                                      0x114, 0x115, 0x117, 0x118, 0x11b, 0x142, 0x143, 0x144};
    struct regs regs = {.eax = 0x4f00, .edi = (uint32_t)info, .es = 0x1000};

    info[0] = 'V', info[1] = 'B', info[2] = 'E', info[3] = '2';
    int10(&regs);
    text("4f00:");
    field("ax", regs.eax & 0xffff, 4);
    for (unsigned i = 0; i < 6; i++)
        hex(info[i], 2);
    field("memory", get16(info + 18), 4);
    uint16_t list = get16(info + 14), seg = get16(info + 16);
    unsigned found = 0;
    for (unsigned n = 0; n < sizeof(wanted) / 2; n++) {
        for (uint16_t at = list; peek16(seg, at) != 0xffff; at += 2)
            found += peek16(seg, at) == wanted[n];
    }
    field("found", found, 2);
    end();

    for (unsigned n = 0; n < sizeof(wanted) / 2; n++) {
        regs = (struct regs){.eax = 0x4f01, .ecx = wanted[n], .edi = (uint32_t)info, .es = 0x1000};
        int10(&regs);
        text("4f01 ");
        hex(wanted[n], 3);
        put(':');
        field("ax", regs.eax & 0xffff, 4);
        field("attributes", get16(info) & 0x99, 2);
        field("window", info[2], 2);
        for (unsigned i = 4; i < 10; i++)
            hex(info[i], 2);
        field("line", get16(info + 16), 4);
        field("width", get16(info + 18), 4);
        field("height", get16(info + 20), 4);
        text(" planes,bpp,banks,model=");
        for (unsigned i = 24; i < 28; i++)
            hex(info[i], 2);
        text(" masks=");
        for (unsigned i = 31; i < 39; i++)
            hex(info[i], 2);
        field("lfb", get16(info + 42) & 0xff00, 4);
        field("linear line", get16(info + 50), 4);
        end();
    }

    static const uint16_t set[] = {0x4101, 0x0101, 0x4111, 0x4144, 0x0112};
    for (unsigned n = 0; n < sizeof(set) / 2; n++) {
        text("4f02 ");
        hex(set[n], 4);
        put(':');
        field("ax", call(0x4f02, set[n], 0, 0).eax & 0xffff, 4);
        regs = call(0x4f03, 0, 0, 0);
        field("4f03", regs.ebx & 0xffff, 4);
        text(" dispi=");
        for (uint16_t i = 1; i < 7; i++) {
            outw(0x1ce, i);
            hex(inw(0x1cf), 4);
        }
        regs = call(0x4f06, 0x0001, 0, 0);
        field("4f06", regs.eax & 0xffff, 4);
        field("bytes", regs.ebx & 0xffff, 4);
        field("pixels", regs.ecx & 0xffff, 4);
        regs = call(0x4f06, 0x0000, 1280, 0);
        field("wider", regs.ebx & 0xffff, 4);
        field("pixels", regs.ecx & 0xffff, 4);
        field("4f07", call(0x4f07, 0x0000, 8, 16).eax & 0xffff, 4);
        regs = call(0x4f07, 0x0001, 0, 0);
        field("x", regs.ecx & 0xffff, 4);
        field("y", regs.edx & 0xffff, 4);
        end();
    }
    /* Banks */
    call(0x4f02, 0x0103, 0, 0);
    text("4f05:");
    for (uint16_t bank = 0; bank < 7; bank++) {
        field("set", call(0x4f05, 0x0000, 0, bank).eax & 0xffff, 4);
        poke8(0xa000, 0x123, (uint8_t)(bank + 1));
    }
    for (uint16_t bank = 0; bank < 7; bank++) {
        call(0x4f05, 0x0000, 0, bank);
        hex(peek8(0xa000, 0x123), 2);
    }
    regs = call(0x4f05, 0x0100, 0, 0);
    field("get", regs.edx & 0xffff, 4);
    end();
    text("4f08:");
    regs = call(0x4f08, 0x0800, 0, 0);
    field("bits", regs.ebx >> 8 & 0xff, 2);
    regs = call(0x4f08, 0x0001, 0, 0);
    field("bits", regs.ebx >> 8 & 0xff, 2);
    end();
    static uint8_t colours[8] = {0x10, 0x20, 0x30, 0, 0x11, 0x21, 0x31, 0};
    regs = (struct regs){.eax = 0x4f09, .ebx = 0, .ecx = 2, .edx = 5, .edi = (uint32_t)colours, .es = 0x1000};
    int10(&regs);
    text("4f09:");
    field("ax", regs.eax & 0xffff, 4);
    outb(0x3c7, 5);
    for (unsigned i = 0; i < 6; i++)
        hex(inb(0x3c9), 2);
    end();
    text("4f02 0003:");
    field("ax", call(0x4f02, 0x0003, 0, 0).eax & 0xffff, 4);
    show_registers();
    end();
}

static uint16_t dispi(uint16_t index)
{
    outw(0x1ce, index);
    return inw(0x1cf);
}

/* The 32-bit interface; bios.py knows what it must do. */
static void test_vbe_protected(void)
{
    struct regs regs = {.eax = 0x4f0a};
    int10(&regs);
    text("4f0a:");
    field("ax", regs.eax & 0xffff, 4);
    uint16_t seg = regs.es, off = (uint16_t)regs.edi;
    uint32_t base = ((uint32_t)seg << 4) + off;
    if ((regs.eax & 0xffff) == 0x004f) {
        call(0x4f02, 0x0101, 0, 0);
        regs = (struct regs){.eax = 0x4f05, .edx = 3};
        pm_call(&regs, base + peek16(seg, off));
        field("window", regs.eax & 0xffff, 4);
        field("bank", dispi(5), 4);
        call(0x4f02, 0x4111, 0, 0);
        uint32_t start = (640 * 10 + 8) * 2 / 4;
        regs = (struct regs){.eax = 0x4f07, .ecx = start & 0xffff, .edx = start >> 16};
        pm_call(&regs, base + peek16(seg, off + 2));
        field("start", regs.eax & 0xffff, 4);
        field("x", dispi(8), 4);
        field("y", dispi(9), 4);
        static const uint8_t colours[8] = {0x10, 0x20, 0x30, 0, 0x11, 0x21, 0x31, 0};
        call(0x4f02, 0x0101, 0, 0);
        regs = (struct regs){.eax = 0x4f09, .ecx = 2, .edx = 9, .edi = (uint32_t)colours};
        pm_call(&regs, base + peek16(seg, off + 4));
        field("palette", regs.eax & 0xffff, 4);
        put(' ');
        outb(0x3c7, 9);
        for (unsigned i = 0; i < 6; i++)
            hex(inb(0x3c9), 2);
    }
    end();
    call(0x0003, 0, 0, 0);
}

/* The Cirrus card's own modes and inquiries. */
static void test_cirrus(void)
{
    static const uint8_t modes[] = {0x5f, 0x66, 0x64, 0x71, 0x5c, 0x67, 0x65, 0x78,
                                    0x60, 0x68, 0x74, 0x79, 0x6d, 0x69, 0x75};
    static const uint8_t inquiries[] = {0x80, 0x81, 0x82, 0x85, 0x9a, 0xa1, 0xa2, 0xae};

    if (indexed(peek16(0x40, 0x63), 0x27) != 0xb8)
        return;
    for (unsigned n = 0; n < sizeof(modes); n++) {
        call(modes[n], 0, 0, 0);
        text("own ");
        hex(modes[n], 2);
        put(':');
        field("sr7", indexed(0x3c4, 7) & 0x0f, 2);
        field("0f", call(0x0f00, 0, 0, 0).eax & 0xff, 2);
        struct regs regs = call(0x4f06, 1, 0, 0);
        field("bytes", regs.ebx & 0xffff, 4);
        field("pixels", regs.ecx & 0xffff, 4);
        field("lines", indexed(0x3d4, 0x12), 2);
        inb(0x3c8);
        for (unsigned i = 0; i < 4; i++)
            inb(0x3c6);
        field("hdr", inb(0x3c6) & 0x0f, 2);
        field("first", peek8(0xa000, 0), 2);
        end();
    }
    call(0x0003, 0, 0, 0);
    for (unsigned n = 0; n < sizeof(inquiries); n++) {
        struct regs regs = call(0x1200, inquiries[n], 0, 0);
        text("12");
        hex(inquiries[n], 2);
        put(':');
        field("ax", regs.eax & 0xffff, 4);
        field("bx", regs.ebx & 0xffff, 4);
        field("cx", regs.ecx & 0xffff, 4);
        end();
    }
}

int main(void)
{
    test_modes();
    test_text();
    test_graphics();
    test_palette();
    test_fonts();
    test_vbe();
    test_vbe_protected();
    test_cirrus();
    text("done\n");
    return 0;
}

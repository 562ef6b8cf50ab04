/* A guest that sets every mode of the video BIOS's, and some that programs make themselves of the VGA's registers, and
 * draws in each through all ways into its memory: write modes, the functions of the data path, planes, odd/even,
 * chain-4, sizes of accesses, the banked window and the frame buffer. It prints sums of what it reads back, and shows
 * each picture until a key is pressed, for cards.py to compare between machines. With a serial port nobody looks.
 *
 * What is random here is the same on each run. FS has base 0 and a limit of 4 GiB: flat().
 */
#include "print.h"

#define MONO   0xb0000u
#define COLOUR 0xb8000u
#define PLANES 0xa0000u

typedef volatile uint8_t __seg_fs mem8_t;
typedef volatile uint16_t __seg_fs mem16_t;
typedef volatile uint32_t __seg_fs mem32_t;
#define mem8(at)  (*(mem8_t *)far(at))
#define mem16(at) (*(mem16_t *)far(at))
#define mem32(at) (*(mem32_t *)far(at))

/* A constant would become an address of 16 bits. */
static inline uint32_t far(uint32_t at)
{
    __asm__("" : "+r"(at));
    return at;
}

int main(void);

static uint16_t crtc_port;
static uint32_t seed;
static bool is_seen;

/* --- Small things --- */

static void set(uint16_t port, uint8_t index, uint8_t value)
{
    outb(port, index);
    outb(port + 1, value);
}
#define seq(index, value)  set(0x3c4, index, value)
#define gc(index, value)   set(0x3ce, index, value)
#define crtc(index, value) set(crtc_port, index, value)

static void attr(uint8_t index, uint8_t value)
{
    inb(crtc_port + 6);
    outb(0x3c0, index);
    outb(0x3c0, value);
    inb(crtc_port + 6);
    outb(0x3c0, 0x20);
}

static uint32_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

static uint32_t below(uint32_t n)
{
    return rnd() % n;
}

/* As a debugger for real mode does it: a limit that was loaded in protected mode stays. */
static void flat(void)
{
    static uint32_t gdt[4];
    static struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) gdtr;

    gdt[2] = 0x0000ffff;
    gdt[3] = 0x00cf9300;
    gdtr.limit = sizeof(gdt) - 1;
    gdtr.base = 0x10000 + (uint32_t)gdt;
    __asm__ volatile("cli\n\tlgdtl %0\n\tmovl %%cr0, %%eax\n\torb $1, %%al\n\tmovl %%eax, %%cr0\n\tjmp 1f\n1:\t"
                     "movw $8, %%dx\n\tmovw %%dx, %%fs\n\tandb $0xfe, %%al\n\tmovl %%eax, %%cr0\n\tjmp 2f\n2:\t"
                     "xorw %%dx, %%dx\n\tmovw %%dx, %%fs"
                     :
                     : "m"(gdtr)
                     : "eax", "edx", "memory");
}

static void start(const char *what, uint16_t mode)
{
    text(what);
    put(' ');
    hex(mode, 2);
    put(':');
}

static void show(const char *name, uint16_t mode, const char *variant)
{
    if (!is_seen)
        return;
    while (inb(0x64) & 1)
        inb(0x60);
    text("screen ");
    text(name);
    hex(mode, mode > 0xff ? 3 : 2);
    text(variant);
    put('\n');
    for (unsigned codes = 0; codes < 2; codes++) { /* the key goes down and up */
        while (!(inb(0x64) & 1))
            continue;
        inb(0x60);
    }
}

/* Each of the 256 colours is another one. */
static void palette(void)
{
    outb(0x3c6, 0xff);
    outb(0x3c8, 0);
    for (unsigned i = 0; i < 256; i++) {
        outb(0x3c9, (uint8_t)((i & 7) * 9));
        outb(0x3c9, (uint8_t)((i >> 3 & 7) * 9));
        outb(0x3c9, (uint8_t)((i >> 6) * 21));
    }
}

static void mode_set(uint16_t mode)
{
    call(mode, 0, 0, 0);
    crtc_port = peek16(0x40, 0x63);
    __asm__ volatile("movw %w0, %%fs" : : "r"(0));
    palette();
    seed = 0x9e3779b9u * (mode + 1);
}

static uint32_t sum(uint32_t at, uint32_t bytes)
{
    uint32_t s = 0;
    for (; bytes; at++, bytes--)
        s = s * 31 + mem8(at);
    return s;
}

/* With accesses of all sizes, none of which crosses the end. */
static void fill(uint32_t at, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes;) {
        switch (below(3)) {
        case 0:
            mem8(at + i) = (uint8_t)rnd();
            i++;
            break;
        case 1:
            if (bytes - i < 2)
                break;
            mem16(at + i) = (uint16_t)rnd();
            i += 2;
            break;
        case 2:
            if (bytes - i < 4)
                break;
            mem32(at + i) = rnd();
            i += 4;
        }
    }
}

/* --- Text --- */

static void blink(bool is_on)
{
    call(0x1003, is_on, 0, 0);
}

static void cursor(uint8_t first, uint8_t last, uint16_t at)
{
    crtc(0x0a, first);
    crtc(0x0b, last);
    crtc(0x0e, (uint8_t)(at >> 8));
    crtc(0x0f, (uint8_t)at);
}

/* Every character, in every attribute but underlined ones, and not B0h to BFh: see test_ninth. */
static void text_fill(uint32_t base, uint32_t cells)
{
    for (uint32_t i = 0; i < cells; i++) {
        uint8_t ch = (uint8_t)i, attribute = (uint8_t)(i * 7 + (i >> 8) * 51);
        if ((ch & 0xf0) == 0xb0)
            ch ^= 0x20;
        if ((attribute & 7) == 1)
            attribute ^= 2;
        uint16_t cell = (uint16_t)(ch | attribute << 8);
        if (i % 5 == 0) {
            mem8(base + 2 * i) = ch;
            mem8(base + 2 * i + 1) = attribute;
        } else if (i % 5 == 1 || i + 1 == cells) {
            mem16(base + 2 * i) = cell;
        } else {
            mem32(base + 2 * i) = cell | 0x07200000u;
        }
    }
}

static void text_mode(uint16_t mode)
{
    mode_set(mode);
    blink(false);
    cursor(0x20, 0, 0);
}

static void test_text(void)
{
    static const uint8_t modes[] = {0, 1, 2, 3, 7};
    static const char *const names[] = {"200", "350", "400"};

    for (unsigned lines = 0; lines < 3; lines++) {
        for (unsigned n = 0; n < sizeof(modes); n++) {
            uint8_t mode = modes[n];
            call((uint16_t)(0x1200 | lines), 0x30, 0, 0);
            text_mode(mode);
            uint32_t base = mode == 7 ? MONO : COLOUR, cells = mode < 2 ? 1000 : 2000;
            text_fill(base, cells);
            start(names[lines], mode);
            field("read", sum(base, 2 * cells), 8);
            end();
            show("text", mode, names[lines]);
            if (mode < 2 && lines != 1) { /* each dot once */
                seq(1, 0);
                show("narrow", mode, names[lines]);
            }
        }
    }
}

static void test_fonts(void)
{
    static const uint8_t loads[] = {0x11, 0x12, 0x14};

    for (unsigned n = 0; n < sizeof(loads); n++) {
        text_mode(3);
        call((uint16_t)(0x1100 | loads[n]), 0, 0, 0);
        cursor(0x20, 0, 0);
        text_fill(COLOUR, 80 * (peek8(0x40, 0x84) + 1u));
        __asm__ volatile("movw %w0, %%fs" : : "r"(0));
        show("font", loads[n], "");
    }
    text_mode(3); /* eight dots, 640 wide */
    text_fill(COLOUR, 2000);
    seq(1, 1);
    show("dots", 8, "");
    text_mode(1);
    text_fill(COLOUR, 1000);
    seq(1, 9);
    show("dots40", 8, "");
    text_mode(3); /* two fonts: attribute bit 3 chooses, in block 5 what we make ourselves */
    for (unsigned block = 1; block < 8; block++)
        call(0x1102, (uint16_t)block, 0, 0);
    static uint8_t glyphs[256 * 16];
    for (unsigned i = 0; i < sizeof(glyphs); i++)
        glyphs[i] = (uint8_t)(i * 29 + (i >> 4) * 7);
    struct regs regs = {.eax = 0x1100, .ebx = 0x1005, .ecx = 256, .edx = 0, .ebp = (uint32_t)glyphs, .es = 0x1000};
    int10(&regs);
    text_fill(COLOUR, 2000);
    for (uint16_t select = 0; select < 0x40; select += 9) {
        call(0x1103, select, 0, 0);
        show("fonts", select, "");
    }
}

/* A ninth dot repeats the eighth of characters C0h to DFh, if it is set to. B0h to BFh are in the last 13 rows. */
static void test_ninth(void)
{
    text_mode(3);
    for (uint32_t i = 0; i < 2000; i++)
        mem16(COLOUR + 2 * i) = (uint16_t)((i < 960 ? 0xc0 | (i & 0x1f) : 0xb0 | (i & 15)) | (i * 3 & 0x7e) << 8);
    show("ninth", 4, "");
    attr(0x10, 0x00);
    attr(0x0f, 0x00); /* which no cell has: QEMU's card draws cells that stay as they are when a colour has changed */
    show("ninth", 0, "");
}

static void test_blink(void)
{
    static const char *const names[] = {"", "-on", "-off"};
    for (unsigned n = 0; n < 3; n++) {
        text_mode(3);
        blink(true);
        for (uint32_t i = 0; i < 2000; i++) {
            uint8_t ch = (uint8_t)(0x41 + i % 26), attribute = (uint8_t)(i * 5);
            if (n)
                ch = n == 2 && (attribute & 0x80) ? ' ' : ch, attribute &= 0x7f;
            mem16(COLOUR + 2 * i) = (uint16_t)(ch | attribute << 8);
        }
        show(n ? "blink" : "flash blink", 3, names[n]);
    }
}

/* Line 15 of C0h to DFh: drawn by the attribute, or in the font. */
static void test_underline(void)
{
    static uint8_t glyph[32 * 16];
    for (unsigned n = 0; n < 2; n++) {
        text_mode(7);
        attr(0x10, 0x06); /* no blinking */
        if (n) {
            struct regs regs = {.eax = 0x1130, .ebx = 0x0600};
            int10(&regs);
            for (uint16_t i = 0; i < sizeof(glyph); i++)
                glyph[i] = i % 16 == 15 ? 0xff : peek8(regs.es, (uint16_t)(regs.ebp + 0xc0 * 16 + i));
            regs = (struct regs){
                .eax = 0x1100, .ebx = 0x1000, .ecx = 32, .edx = 0xc0, .ebp = (uint32_t)glyph, .es = 0x1000};
            int10(&regs);
        }
        __asm__ volatile("movw %w0, %%fs" : : "r"(0));
        for (uint32_t i = 0; i < 2000; i++)
            mem16(MONO + 2 * i) = (uint16_t)(0xc0 | (i & 31) | 0x100 | (i / 80 & 15) << 11);
        show("underline", 7, n ? "-font" : "");
    }
}

static void test_cursor(void)
{
    static const struct {
        uint8_t first, last;
    } shapes[] = {{0x0d, 0x0e}, {0x00, 0x0f}, {0x03, 0x05}, {0x0f, 0x1f}, {0x2d, 0x0e}, {0x0d, 0x0c}};
    text_mode(3);
    text_fill(COLOUR, 2000);
    for (unsigned n = 0; n < sizeof(shapes) / sizeof(shapes[0]); n++) {
        cursor(shapes[n].first, shapes[n].last, (uint16_t)(777 + 41 * n));
        show("flash cursor", (uint16_t)n, "");
    }
}

static uint8_t indexed_attr(uint8_t index)
{
    inb(crtc_port + 6);
    outb(0x3c0, index | 0x20);
    uint8_t value = inb(0x3c1);
    inb(crtc_port + 6);
    return value;
}

/* --- Start address, splitting, panning: each mode's pixels are behind each other in memory --- */

static void start_set(uint16_t address)
{
    crtc(0x0c, (uint8_t)(address >> 8));
    crtc(0x0d, (uint8_t)address);
}

static void split_set(uint16_t line)
{
    uint16_t high = indexed(crtc_port, 0x09), overflow = indexed(crtc_port, 0x07);
    crtc(0x11, (uint8_t)(indexed(crtc_port, 0x11) & 0x7f));
    crtc(0x18, (uint8_t)line);
    crtc(0x07, (uint8_t)((overflow & ~0x10) | (line >> 4 & 0x10)));
    crtc(0x09, (uint8_t)((high & ~0x40) | (line >> 3 & 0x40)));
}

static void test_places(const char *name, uint16_t mode, bool is_text)
{
    uint8_t none = is_text ? 8 : 0, control = indexed_attr(0x10);
    for (uint16_t at = 0; at < 2; at++) {
        start_set(at);
        show(name, mode, at ? "-start1" : "-start0");
        start_set(at + 16);
        show(name, mode, at ? "-start17" : "-start16");
    }
    start_set(16);
    split_set(199);
    show(name, mode, "-split199");
    attr(0x13, 4);
    show(name, mode, "-pan4-split199");
    if (!is_text) {
        attr(0x10, control | 0x20); /* the lower part stays */
        show(name, mode, "-pan4-split199-pas");
        attr(0x10, control);
    }
    split_set(0x3ff);
    show(name, mode, "-pan4");
    attr(0x13, none);
    if (is_text) {
        start_set(96);
        show(name, mode, "-start96");
        start_set(16);
        crtc(8, 5);
        show(name, mode, "-row5");
        crtc(8, 0);
    }
    start_set(0);
}

/* --- The data path, with other registers for each access --- */

/* Returns which planes are written. */
static uint8_t path_registers(uint8_t kept)
{
    gc(0, (uint8_t)below(16));
    gc(1, (uint8_t)(below(16) & below(16)));
    gc(3, (uint8_t)below(32));
    gc(5, (uint8_t)(kept | below(4)));
    gc(8, (uint8_t)rnd());
    return (uint8_t)below(16);
}

static void path_reset(uint8_t kept)
{
    seq(2, 15);
    gc(0, 0);
    gc(1, 0);
    gc(3, 0);
    gc(5, kept);
    gc(8, 0xff);
}

/* --- CGA: two banks of lines, in mode 4 and 5 with odd addresses in another plane --- */

static void test_cga(void)
{
    static const uint8_t modes[] = {4, 5, 6};
    for (unsigned n = 0; n < sizeof(modes); n++) {
        uint8_t mode = modes[n];
        mode_set(mode);
        fill(COLOUR, 0x4000);
        start("cga", mode);
        field("read", sum(COLOUR, 0x4000), 8);
        for (uint16_t i = 0; i < 200; i++)
            call((uint16_t)(0x0c00 | (i & 0x83)), 0, i, i);
        __asm__ volatile("movw %w0, %%fs" : : "r"(0));
        field("pixels", sum(COLOUR, 0x4000), 8);
        end();
        show("cga", mode, "");
        start_set(16);
        show("cga", mode, "-start16");
        start_set(0);
        call(0x0b00, 0x0100, 0, 0);
        show("cga", mode, "-palette0");
        call(0x0b00, 0x0013, 0, 0);
        palette();
        show("cga", mode, "-ground");
    }
}

static bool is_apart, is_packed;

/* Where a byte of mode 4 is when its plane is chosen by hand: chips leave A0 out, QEMU's card moves the rest down. */
static uint32_t odd_even(uint32_t at)
{
    if (!is_apart)
        return COLOUR + at;
    gc(4, at & 1);
    return COLOUR + (is_packed ? at >> 1 : at & ~1u);
}

static void test_odd_even(void)
{
    for (unsigned n = 0; n < 2; n++) {
        uint32_t s = 0;
        is_apart = n;
        mode_set(4);
        if (is_apart) {
            mem8(COLOUR + 1) = 0;
            mem8(COLOUR + 2) = 0xa5;
            gc(4, 0);
            seq(4, 0x06);
            gc(5, 0x20);
            gc(6, 0x0d);
            is_packed = mem8(COLOUR + 1) == 0xa5;
        }
        for (uint32_t at = 0; at < 0x4000; at++) {
            seq(2, (uint8_t)(is_apart ? 1 << (at & 1) : 3));
            mem8(odd_even(at)) = (uint8_t)rnd();
        }
        uint8_t kept = is_apart ? 0x20 : 0x30;
        for (unsigned i = 0; i < 3000; i++) {
            uint32_t at = below(0x4000), from = below(0x4000);
            uint8_t planes = path_registers(kept) & 3, value = (uint8_t)rnd();
            s = s * 31 + mem8(odd_even(from));
            seq(2, is_apart ? planes & (1 << (at & 1)) : planes);
            mem8(odd_even(at)) = value;
        }
        path_reset(kept);
        gc(4, 0);
        start(is_apart ? "odd-even-apart" : "odd-even", 4);
        field("read", s, 8);
        end();
        show(is_apart ? "odd-even-apart" : "odd-even", 4, "");
    }
}

/* --- Planes --- */

static uint32_t planes_sum(uint32_t at, uint32_t bytes)
{
    uint32_t s = 0;
    for (uint8_t plane = 0; plane < 4; plane++) {
        gc(4, plane);
        s = s * 31 + sum(at, bytes);
    }
    gc(4, 0);
    return s;
}

static void noise(uint32_t at, uint32_t bytes)
{
    for (uint8_t plane = 0; plane < 4; plane++) {
        seq(2, (uint8_t)(1 << plane));
        fill(at, bytes);
    }
    seq(2, 15);
}

/* Writes of all sizes through the data path, with other registers each few of them. */
static void path_draw(uint32_t at, uint32_t bytes, unsigned write_mode, unsigned function, bool enable, uint8_t kept)
{
    for (unsigned n = 0; n < bytes / 8 + 8; n++) {
        seq(2, (uint8_t)below(16));
        gc(0, (uint8_t)below(16));
        gc(1, enable ? (uint8_t)below(16) : 0);
        gc(3, (uint8_t)(function << 3 | below(8)));
        gc(5, (uint8_t)(kept | write_mode));
        gc(8, (uint8_t)rnd());
        for (unsigned i = 0; i < 5; i++) {
            (void)mem8(at + below(bytes));
            uint32_t to = at + below(bytes - 3);
            switch (below(4)) {
            case 0:
                mem32(to) = rnd();
                break;
            case 1:
                mem16(to) = (uint16_t)rnd();
                break;
            default:
                mem8(to) = (uint8_t)rnd();
            }
        }
    }
    path_reset(kept);
}

/* A stripe of the screen for each combination. */
static void paths(const char *name, uint16_t mode, uint32_t bytes, uint8_t kept)
{
    uint32_t stripe = bytes / 24, at = PLANES;
    path_reset(kept);
    for (unsigned write_mode = 0; write_mode < 4; write_mode++) {
        for (unsigned n = 0; n < (write_mode == 0 ? 8 : write_mode == 1 ? 1 : 4); n++, at += stripe) {
            noise(at, stripe);
            path_draw(at, stripe, write_mode, n & 3, n & 4, kept);
            start(name, mode);
            field("write", write_mode, 1);
            field("function", n & 3, 1);
            field("enable", n >> 2, 1);
            field("read", planes_sum(at, stripe), 8);
            gc(5, kept | 8); /* read mode 1 */
            gc(2, (uint8_t)(n * 5));
            gc(7, (uint8_t)(n ? 15 - n : 15));
            field("compare", sum(at, stripe), 8);
            gc(7, 15);
            gc(5, kept);
            end();
        }
    }
    noise(at, PLANES + bytes - at);
}

static void test_planes(void)
{
    static const struct {
        uint8_t mode;
        uint16_t bytes;
    } modes[] = {{0x0d, 8000}, {0x0e, 16000}, {0x0f, 28000}, {0x10, 28000}, {0x11, 38400}, {0x12, 38400}};
    for (unsigned n = 0; n < sizeof(modes) / sizeof(modes[0]); n++) {
        uint8_t mode = modes[n].mode;
        mode_set(mode);
        paths("planes", mode, modes[n].bytes, 0);
        show("planes", mode, "");
        noise(PLANES + modes[n].bytes, 160);
        test_places("planes", mode, false);
        if (mode == 0x12) {
            attr(0x12, 5); /* two planes */
            show("planes", mode, "-enable");
            attr(0x12, 15);
            attr(0x14, 0x0a);
            show("planes", mode, "-select");
            attr(0x10, 0x81);
            show("planes", mode, "-p54s");
            for (uint8_t i = 0; i < 16; i++)
                attr(i, (uint8_t)(i * 11 & 0x3f));
            show("planes", mode, "-colours");
            inb(crtc_port + 6);
            outb(0x3c0, 0); /* no picture */
            show("planes", mode, "-pas");
            outb(0x3c0, 0x20);
            seq(1, indexed(0x3c4, 1) | 0x20);
            show("planes", mode, "-off");
        }
    }
}

/* --- 13h, and what becomes of it --- */

static void test_linear(void)
{
    mode_set(0x13);
    fill(PLANES, 64000);
    start("linear", 0x13);
    field("read", sum(PLANES, 64000), 8);
    end();
    show("linear", 0x13, "");
    outb(0x3c6, 0x3a);
    show("linear", 0x13, "-mask");
    outb(0x3c6, 0xff);
    outb(0x3c8, 0);
    for (unsigned i = 0; i < 256; i++) { /* the same by the palette */
        outb(0x3c9, (uint8_t)((i & 2) * 9));
        outb(0x3c9, (uint8_t)((i >> 3 & 7) * 9));
        outb(0x3c9, 0);
    }
    show("linear", 0x13, "-masked");
    palette();
    fill(PLANES + 64000, 1536);
    test_places("linear", 0x13, false);
}

/* The data path with the planes chained, and the same writes with each address in its plane. */
static void test_chained(void)
{
    for (unsigned n = 0; n < 2; n++) {
        mode_set(0x13);
        uint32_t s = 0;
        if (n) {
            seq(4, 0x06);
            crtc(0x14, 0x00);
            crtc(0x17, 0xe3);
        }
        for (uint32_t at = 0; at < 64000; at++) {
            seq(2, (uint8_t)(n ? 1 << (at & 3) : 15));
            mem8(PLANES + (n ? at >> 2 : at)) = (uint8_t)rnd();
        }
        for (unsigned i = 0; i < 4000; i++) {
            uint32_t at = below(64000), from = below(64000);
            uint8_t planes = path_registers(0x40), value = (uint8_t)rnd();
            gc(4, (uint8_t)(from & 3));
            seq(2, n ? planes & (1 << (at & 3)) : planes);
            s = s * 31 + mem8(PLANES + (n ? from >> 2 : from));
            mem8(PLANES + (n ? at >> 2 : at)) = value;
        }
        path_reset(0x40);
        start(n ? "chained-apart" : "chained", 0x13);
        field("read", s, 8);
        end();
        show(n ? "chained-apart" : "chained", 0x13, "");
    }
}

static void test_unchained(void)
{
    static const struct {
        const char *name;
        uint16_t bytes;
        uint8_t misc, values[17][2];
    } modes[] = {
        {"320x240",
         19200,
         0xe3,
         {{0x06, 0x0d},
          {0x07, 0x3e},
          {0x09, 0x41},
          {0x10, 0xea},
          {0x11, 0xac},
          {0x12, 0xdf},
          {0x14, 0x00},
          {0x15, 0xe7},
          {0x16, 0x06},
          {0x17, 0xe3}}},
        {"320x400", 32000, 0x63, {{0x09, 0x40}, {0x14, 0x00}, {0x17, 0xe3}}},
        {"320x100", 8000, 0x63, {{0x09, 0x43}, {0x14, 0x00}, {0x17, 0xe3}}},
        {"320x480",
         38400,
         0xe3,
         {{0x06, 0x0d},
          {0x07, 0x3e},
          {0x09, 0x40},
          {0x10, 0xea},
          {0x11, 0xac},
          {0x12, 0xdf},
          {0x14, 0x00},
          {0x15, 0xe7},
          {0x16, 0x06},
          {0x17, 0xe3}}},
        {"360x240",
         21600,
         0xe7,
         {{0x00, 0x6b},
          {0x01, 0x59},
          {0x02, 0x5a},
          {0x03, 0x8e},
          {0x04, 0x5e},
          {0x05, 0x8a},
          {0x06, 0x0d},
          {0x07, 0x3e},
          {0x09, 0x41},
          {0x10, 0xea},
          {0x11, 0xac},
          {0x12, 0xdf},
          {0x13, 0x2d},
          {0x14, 0x00},
          {0x15, 0xe7},
          {0x16, 0x06},
          {0x17, 0xe3}}},
        {"360x480",
         43200,
         0xe7,
         {{0x00, 0x6b},
          {0x01, 0x59},
          {0x02, 0x5a},
          {0x03, 0x8e},
          {0x04, 0x5e},
          {0x05, 0x8a},
          {0x06, 0x0d},
          {0x07, 0x3e},
          {0x09, 0x40},
          {0x10, 0xea},
          {0x11, 0xac},
          {0x12, 0xdf},
          {0x13, 0x2d},
          {0x14, 0x00},
          {0x15, 0xe7},
          {0x16, 0x06},
          {0x17, 0xe3}}},
    };
    for (unsigned n = 0; n < sizeof(modes) / sizeof(modes[0]); n++) {
        mode_set(0x13);
        seq(4, 0x06);
        seq(0, 1);
        outb(0x3c2, modes[n].misc);
        seq(0, 3);
        crtc(0x11, 0x2c);
        for (unsigned i = 0; i < 17 && modes[n].values[i][0] + modes[n].values[i][1]; i++)
            crtc(modes[n].values[i][0], modes[n].values[i][1]);
        paths("unchained", (uint16_t)n, modes[n].bytes, 0x40);
        show("unchained", (uint16_t)n, modes[n].name);
        noise(PLANES + modes[n].bytes, 160);
        if (n == 0 || n == 5)
            test_places("unchained", (uint16_t)n, false);
    }
}

/* --- VBE --- */

struct vbe {
    uint16_t number, width, height, line;
    uint8_t bits, bytes;
    uint32_t frame_buffer, granularity;
    uint16_t bank;
};

static uint32_t vbe_window(struct vbe *v, uint32_t at)
{
    uint16_t bank = (uint16_t)(at / v->granularity);
    if (bank != v->bank) {
        call(0x4f05, 0, 0, bank);
        v->bank = bank;
    }
    return PLANES + at % v->granularity;
}

/* Four bytes at once; `row` is a line of the screen and `at` a multiple of four in it. */
static uint32_t vbe_value(uint32_t row, uint32_t at)
{
    uint32_t v = (at + 1) * 0x01030509u + row * 0x00a10507u;
    return v ^ v >> 15;
}

static uint32_t vbe_packed(struct vbe *v)
{
    uint32_t s = 0, line = (uint32_t)v->width * v->bytes, middle = v->height / 2u;
    for (uint32_t row = 0; row < v->height; row++) {
        uint32_t at = row * v->line;
        if (row < 12 || (row >= middle && row < middle + 8)) { /* by the window, read by the frame buffer */
            for (uint32_t i = 0; i < line; i += 4)
                mem32(vbe_window(v, at + i)) = vbe_value(row, i);
            for (uint32_t i = 0; i < line; i += 4)
                s = s * 31 + mem32(v->frame_buffer + at + i);
        } else if (row + 12 >= v->height) { /* the other way round */
            for (uint32_t i = 0; i < line; i += 4)
                mem32(v->frame_buffer + at + i) = vbe_value(row, i);
            for (uint32_t i = 0; i < line; i += 4)
                s = s * 31 + mem32(vbe_window(v, at + i));
        } else { /* some bytes of each row */
            uint32_t i = row * 37 % (line - 4);
            mem8(v->frame_buffer + at + i) = (uint8_t)row;
            mem16(v->frame_buffer + at + i + 1) = (uint16_t)(row * 771);
            mem8(vbe_window(v, at + line - 1)) = (uint8_t)(row * 3);
        }
    }
    return s;
}

/* Of a byte of a plane, in a mode of four or, as a reference, of eight bits: those then hold a pixel each. */
static void plane_write(struct vbe *v, uint32_t row, uint32_t i, uint8_t plane, uint8_t value)
{
    if (v->bits == 4) {
        mem8(vbe_window(v, row * v->line + i)) = value;
        return;
    }
    for (unsigned n = 0; n < 8; n++) {
        uint32_t at = v->frame_buffer + row * v->line + 8 * i + n;
        mem8(at) = (uint8_t)((mem8(at) & ~(1 << plane)) | (value >> (7 - n) & 1) << plane);
    }
}

static uint8_t plane_read(struct vbe *v, uint32_t row, uint32_t i, uint8_t plane)
{
    uint8_t value = 0;
    if (v->bits == 4)
        return mem8(vbe_window(v, row * v->line + i));
    for (unsigned n = 0; n < 8; n++)
        value |= (mem8(v->frame_buffer + row * v->line + 8 * i + n) >> plane & 1) << (7 - n);
    return value;
}

static uint32_t vbe_planar(struct vbe *v)
{
    uint32_t s = 0;
    for (uint8_t i = 0; i < 16; i++)
        attr(i, i);
    for (uint32_t row = 0; row < v->height; row += row < 20 || row + 20 > v->height ? 1 : 13) {
        for (uint8_t plane = 0; plane < 4; plane++) {
            seq(2, v->bits == 4 ? 1 << plane : 15);
            for (uint32_t i = 0; i < v->width / 8u; i++)
                plane_write(v, row, i, plane, (uint8_t)vbe_value(row + plane, i));
        }
        for (uint8_t plane = 0; plane < 4; plane++) {
            gc(4, plane);
            for (uint32_t i = 0; i < v->width / 8u; i++)
                s = s * 31 + plane_read(v, row, i, plane);
        }
    }
    seq(2, 15);
    gc(4, 0);
    return s;
}

static void size_put(const struct vbe *v, const char *variant)
{
    static char name[40];
    static const char digits[] = "0123456789";
    unsigned n = 0;
    uint16_t numbers[3] = {v->width, v->height, v->bits};
    name[n++] = ' ';
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned unit = 1000; unit; unit /= 10) {
            if (numbers[i] >= unit)
                name[n++] = digits[numbers[i] / unit % 10];
        }
        name[n++] = 'x';
    }
    for (n--; *variant; variant++)
        name[n++] = *variant;
    name[n] = 0;
    show("vbe", v->number, name);
}

/* As planes: the mode of eight bits is drawn as one of four is. */
static void vbe_mode(uint16_t number, bool as_planes)
{
    static uint8_t info[256];
    struct regs regs = {.eax = 0x4f01, .ecx = number, .edi = (uint32_t)info, .es = 0x1000};
    int10(&regs);
    if ((regs.eax & 0xffff) != 0x4f || !(info[0] & 1) || !(info[0] & 0x10))
        return;
    struct vbe v = {
        .number = number,
        .width = get16(info + 18),
        .height = get16(info + 20),
        .line = get16(info + 16),
        .bits = info[25],
        .bytes = (uint8_t)((info[25] + 7) / 8),
        .frame_buffer = get16(info + 40) | (uint32_t)get16(info + 42) << 16,
        .granularity = get16(info + 4) * 1024u,
        .bank = 0xffff,
    };
    if (v.width < 320)
        return;
    if (call(0x4f02, number | (v.bits == 4 ? 0 : 0x4000), 0, 0).eax >> 8 & 0xff)
        return;
    crtc_port = 0x3d4;
    __asm__ volatile("movw %w0, %%fs" : : "r"(0));
    if (v.bits <= 8)
        palette();
    if (v.bits == 15 || v.bits == 16) /* the mode information says 16 for both */
        v.bits = info[31] == 5 && info[33] == 6 ? 16 : 15;
    text(as_planes ? "vbe-as-planes " : "vbe ");
    hex(number, 3);
    put(':');
    field("read", v.bits == 4 || as_planes ? vbe_planar(&v) : vbe_packed(&v), 8);
    end();
    size_put(&v, as_planes ? "-as-planes" : "");
    if (v.bits == 4)
        vbe_mode(number + 1, true); /* the next number is as large, of eight bits */
    if (v.width == 640 && v.height == 480) {
        call(0x4f06, 0, 720, 0); /* a longer line, and from somewhere in it */
        v.line = (uint16_t)(call(0x4f06, 1, 0, 0).ebx);
        __asm__ volatile("movw %w0, %%fs" : : "r"(0));
        if (v.bits != 4)
            vbe_packed(&v);
        call(0x4f07, 0, 8, 5);
        __asm__ volatile("movw %w0, %%fs" : : "r"(0));
        size_put(&v, "-moved");
        if (v.bits == 8 && (call(0x4f08, 0x0800, 0, 0).ebx >> 8 & 0xff) == 8) {
            outb(0x3c8, 0);
            for (unsigned i = 0; i < 768; i++)
                outb(0x3c9, (uint8_t)(i * 7));
            size_put(&v, "-dac8");
        }
    }
}

static void test_vbe(void)
{
    static uint8_t info[512];
    static uint16_t numbers[128];
    struct regs regs = {.eax = 0x4f00, .edi = (uint32_t)info, .es = 0x1000};
    unsigned count = 0;

    int10(&regs);
    for (uint16_t at = get16(info + 14); count < 128 && (numbers[count] = peek16(get16(info + 16), at)) != 0xffff;
         at += 2)
        count++;
    for (unsigned n = 0; n < count; n++)
        vbe_mode(numbers[n], false);
}

int main(void)
{
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    is_seen = !peek16(0x40, 0);
    flat();
    test_text();
    test_fonts();
    test_ninth();
    test_blink();
    test_underline();
    test_cursor();
    text_mode(3);
    text_fill(COLOUR, 2100);
    test_places("text", 3, true);
    test_cga();
    test_odd_even();
    test_planes();
    test_linear();
    test_chained();
    test_unchained();
    test_vbe();
    call(0x0003, 0, 0, 0);
    text("done\n");
    return 0;
}

/* A guest that draws on a Cirrus card, by its registers: through the banked window, through the linear frame buffer, in
 * extended write modes, and with blits of all kinds. It prints sums of what is in video memory then, and shows
 * pictures, each until a key is pressed: for cards.py to compare between machines.
 */
#include "screen.h"

#define AREA 0x40000u /* of memory that blits use, and whose sum is taken */

static uint32_t lfb, mmio;
static bool by_memory; /* blitter registers through BAR 1 */

static void set(uint16_t port, uint8_t index, uint8_t value)
{
    outb(port, index);
    outb(port + 1, value);
}

static uint8_t get(uint16_t port, uint8_t index)
{
    outb(port, index);
    return inb(port + 1);
}

#define sr(index, value) set(0x3c4, index, value)
#define gr(index, value) set(0x3ce, index, value)
#define cr(index, value) set(0x3d4, index, value)

static volatile uint8_t *vram(uint32_t at)
{
    return (volatile uint8_t *)(lfb + at);
}

static bool card_find(void)
{
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        if (config_read(devfn, 0) != 0x00b81013)
            continue;
        lfb = config_read(devfn, 0x10) & ~15u;
        mmio = config_read(devfn, 0x14) & ~15u;
        return true;
    }
    return false;
}

/* --- Modes --- */

static void attr(uint8_t index, uint8_t value)
{
    inb(0x3da);
    outb(0x3c0, index);
    outb(0x3c0, value);
}

static void hidden_dac(uint8_t value)
{
    inb(0x3c8);
    for (unsigned i = 0; i < 4; i++)
        inb(0x3c6);
    outb(0x3c6, value);
}

static void start_set(uint32_t bytes)
{
    uint32_t value = bytes / 4;
    cr(0x0c, (uint8_t)(value >> 8));
    cr(0x0d, (uint8_t)value);
    cr(0x1b, (uint8_t)((get(0x3d4, 0x1b) & ~0x0d) | (value >> 16 & 1) | (value >> 15 & 0x0c)));
    cr(0x1d, (uint8_t)(value >> 12 & 0x80));
}

static void mode_set(unsigned width, unsigned height, unsigned bpp, unsigned pitch)
{
    unsigned last = height - 1;

    sr(0x06, 0x12);
    outb(0x3c2, 0xef);
    sr(0, 3);
    sr(1, 0x01);
    sr(2, 0x0f);
    sr(3, 0x00);
    sr(4, 0x0e);
    cr(0x11, 0);
    cr(0x00, (uint8_t)(width / 8 + 20));
    cr(0x01, (uint8_t)(width / 8 - 1));
    cr(0x02, (uint8_t)(width / 8));
    cr(0x04, (uint8_t)(width / 8 + 4));
    cr(0x06, 0xff);
    cr(0x07, (uint8_t)(0x10 | 0x21 | (last >> 7 & 0x02) | (last >> 3 & 0x40)));
    cr(0x08, 0);
    cr(0x09, 0x40);
    cr(0x12, (uint8_t)last);
    cr(0x13, (uint8_t)(pitch / 8));
    cr(0x14, 0);
    cr(0x17, 0xc3);
    cr(0x18, 0xff);
    cr(0x1a, 0);
    cr(0x1b, (uint8_t)(0x02 | (pitch / 8 >> 4 & 0x10)));
    for (uint8_t i = 0; i < 9; i++)
        gr(i, i == 5 ? 0x40 : i == 6 ? 0x05 : i == 7 ? 0x0f : i == 8 ? 0xff : 0);
    gr(0x09, 0);
    gr(0x0a, 0);
    gr(0x0b, 0);
    for (uint8_t i = 0; i < 16; i++)
        attr(i, i);
    attr(0x10, 0x41);
    attr(0x11, 0);
    attr(0x12, 0x0f);
    attr(0x13, 0);
    attr(0x14, 0);
    inb(0x3da);
    outb(0x3c0, 0x20);
    sr(0x12, 0);
    outb(0x3c6, 0xff);
    outb(0x3c8, 0);
    for (unsigned i = 0; i < 256; i++) {
        outb(0x3c9, i & 0x3f);
        outb(0x3c9, (i >> 2) & 0x3f);
        outb(0x3c9, (i * 7) & 0x3f);
    }
    hidden_dac(bpp == 8 ? 0 : bpp == 15 ? 0xf0 : bpp == 16 ? 0xe1 : 0xe5);
    sr(0x07, bpp == 8 ? 0x01 : bpp <= 16 ? 0x07 : bpp == 24 ? 0x05 : 0x09);
    start_set(0);
}

/* --- What is seen --- */

static uint32_t sum(void)
{
    uint32_t s = 0x12345678;
    for (uint32_t at = 0; at < AREA; at += 4)
        s = (s << 5 | s >> 27) ^ *(volatile uint32_t *)vram(at);
    return s;
}

static void noise(void)
{
    for (uint32_t at = 0; at < AREA; at += 4)
        *(volatile uint32_t *)vram(at) = rnd();
}

/* --- Blits --- */

static void blt_reg(uint8_t index, uint8_t value)
{
    static const struct {
        uint8_t index, offset;
    } places[] = {{0x00, 0x00}, {0x10, 0x01}, {0x12, 0x02}, {0x14, 0x03}, {0x01, 0x04}, {0x11, 0x05},
                  {0x13, 0x06}, {0x15, 0x07}, {0x20, 0x08}, {0x21, 0x09}, {0x22, 0x0a}, {0x23, 0x0b},
                  {0x24, 0x0c}, {0x25, 0x0d}, {0x26, 0x0e}, {0x27, 0x0f}, {0x28, 0x10}, {0x29, 0x11},
                  {0x2a, 0x12}, {0x2c, 0x14}, {0x2d, 0x15}, {0x2e, 0x16}, {0x2f, 0x17}, {0x30, 0x18},
                  {0x32, 0x1a}, {0x33, 0x1b}, {0x34, 0x1c}, {0x35, 0x1d}, {0x31, 0x40}};
    for (unsigned i = 0; by_memory && i < ARRAY_COUNT(places); i++) {
        if (places[i].index == index) {
            *(volatile uint8_t *)(mmio + 0x100 + places[i].offset) = value;
            return;
        }
    }
    gr(index, value);
}

static void blt_number(uint8_t index, unsigned bytes, uint32_t value)
{
    for (unsigned i = 0; i < bytes; i++)
        blt_reg((uint8_t)(index + i), (uint8_t)(value >> (8 * i)));
}

static void colours(uint32_t fore, uint32_t back)
{
    for (unsigned i = 0; i < 4; i++) {
        static const uint8_t plus[4] = {0, 0x10, 0x12, 0x14};
        blt_reg((uint8_t)(1 + plus[i]), (uint8_t)(fore >> (8 * i)));
        blt_reg(plus[i], (uint8_t)(back >> (8 * i)));
    }
}

struct blt {
    uint8_t mode, ext, rop, skip;
    uint32_t width, rows, dst, src, dst_pitch, src_pitch, key;
};

static void blt_start(const struct blt *b)
{
    blt_number(0x20, 2, b->width - 1);
    blt_number(0x22, 2, b->rows - 1);
    blt_number(0x24, 2, b->dst_pitch);
    blt_number(0x26, 2, b->src_pitch);
    blt_number(0x28, 3, b->dst);
    blt_number(0x2c, 3, b->src);
    blt_reg(0x2f, b->skip);
    blt_reg(0x30, b->mode);
    blt_reg(0x32, b->rop);
    blt_reg(0x33, b->ext);
    blt_number(0x34, 2, b->key);
    blt_reg(0x31, 0x02);
}

static void blt_wait(void)
{
    while (get(0x3ce, 0x31) & 0x09)
        continue;
}

static uint32_t below(uint32_t n)
{
    return rnd() % n;
}

static const uint8_t rops[16] = {0x00, 0x05, 0x06, 0x09, 0x0b, 0x0d, 0x0e, 0x50,
                                 0x59, 0x6d, 0x90, 0x95, 0xad, 0xd0, 0xd6, 0xda};

/* Bytes that the processor has to give. */
static void feed(uint32_t bytes, bool by_window)
{
    volatile uint8_t *to = by_window ? (volatile uint8_t *)0xa0000 : vram(0);
    for (; bytes >= 4; bytes -= 4)
        *(volatile uint32_t *)to = rnd();
    while (bytes--)
        *to = (uint8_t)rnd();
}

enum {
    COPY,
    BACKWARD,
    KEYED,
    KEYED_BACK,
    EXPAND,
    EXPAND_CLEAR,
    PATTERN,
    MONO,
    MONO_CLEAR,
    SOLID,
    CPU,
    CPU_EXPAND,
    CPU_CLEAR,
    KINDS
};
static const char *const kind_name[KINDS] = {"copy",         "backward",   "keyed",    "keyed-back", "expand",
                                             "expand-clear", "pattern",    "mono",     "mono-clear", "solid",
                                             "cpu",          "cpu-expand", "cpu-clear"};

static void one_blit(unsigned kind, unsigned bytes, uint8_t rop)
{
    unsigned pixels = 1 + below(100);
    struct blt b = {.mode = (uint8_t)((bytes - 1) << 4), .rop = rop, .width = pixels * bytes, .rows = 1 + below(40)};
    uint32_t given = 0;

    b.dst_pitch = b.src_pitch = 512;
    b.dst = 0x10000 + 512 * below(64) + bytes * below(20);
    b.src = 0x20000 + 512 * below(64) + bytes * below(20);
    if (bytes == 3)
        b.dst &= ~3u, b.src &= ~3u;
    colours(rnd(), rnd());
    b.skip = bytes == 3 ? 0 : (uint8_t)below(pixels < 8 ? pixels : 8);
    switch (kind) {
    case COPY:
        if (below(2))
            b.src = b.dst + 512 * below(5) + 4 * below(8); /* over itself */
        break;
    case BACKWARD:
    case KEYED_BACK:
        if (below(2))
            b.src = b.dst - 512 * below(5) - 4 * below(8);
        b.mode |= 0x01;
        b.dst += 512 * (b.rows - 1) + b.width - 1;
        b.src += 512 * (b.rows - 1) + b.width - 1;
        break;
    case EXPAND_CLEAR:
        b.ext = (uint8_t)(2 * below(2));
        b.mode |= 0x08;
        /* fall through */
    case EXPAND:
        b.mode |= 0x80;
        break;
    case PATTERN:
        b.mode |= 0x40;
        b.src = 0x20000 + 256 * below(100);
        break;
    case MONO_CLEAR:
        b.ext = (uint8_t)(2 * below(2));
        b.mode |= 0x08;
        /* fall through */
    case MONO:
        b.mode |= 0xc0;
        b.src = 0x20000 + 256 * below(100);
        break;
    case SOLID:
        b.mode |= 0xc0;
        b.ext = 0x04;
        b.skip = 0;
        break;
    case CPU:
        b.mode |= 0x04;
        given = ((b.width + 3) & ~3u) * b.rows;
        break;
    case CPU_CLEAR:
        b.ext = (uint8_t)(2 * below(2));
        b.mode |= 0x08;
        /* fall through */
    case CPU_EXPAND:
        b.mode |= 0x84;
        given = (pixels + 7) / 8 * b.rows; /* rows of doublewords are no more than a byte for each on QEMU's card */
        break;
    }
    if (kind == KEYED || kind == KEYED_BACK) {
        b.mode |= 0x08;
        /* Some pixels come out as the key's colour. */
        for (unsigned i = 0; i < 0x10000; i += 8)
            vram(0x20000 + i)[0] = vram(0x20000 + i)[1] = 0x55;
        b.key = 0x5555;
    }
    blt_start(&b);
    if (given)
        feed(given, below(2));
    blt_wait();
}

static void test_blits(void)
{
    static const uint8_t bpp[5] = {0, 8, 16, 24, 32};
    for (unsigned bytes = 1; bytes <= 4; bytes++) {
        mode_set(640, 480, bpp[bytes], 640 * bytes);
        for (unsigned kind = 0; kind < KINDS; kind++) {
            if ((kind == KEYED || kind == KEYED_BACK) && bytes > 2)
                continue;
            for (unsigned n = 0; n < 16; n++) {
                by_memory = n & 1;
                rnd_state = 1 + n + 16 * kind + 1000 * bytes;
                noise();
                for (unsigned i = 0; i < 6; i++)
                    one_blit(kind, bytes, rops[n]);
                print("blt %s bytes=%u rop=%x sum=%x\n", kind_name[kind], bytes, rops[n], sum());
            }
        }
    }
    by_memory = false;
}

/* --- Memory --- */

static void test_memory(void)
{
    volatile uint8_t *window = (volatile uint8_t *)0xa0000;

    mode_set(640, 480, 8, 640);
    noise();
    for (unsigned kind = 0; kind < 4; kind++) { /* one or two banks, of 4 or 16 KiB */
        gr(0x0b, (uint8_t)((kind & 1) | (kind & 2) << 4));
        for (unsigned n = 0; n < 30; n++) {
            uint8_t low = (uint8_t)below(kind & 2 ? 12 : 44), high = (uint8_t)below(kind & 2 ? 12 : 44);
            uint32_t s = 0;
            gr(0x09, low);
            gr(0x0a, high);
            for (unsigned i = 0; i < 50; i++) {
                uint32_t at = below(0x10000);
                window[at] = (uint8_t)rnd();
                s = s * 31 + window[below(0x10000)];
            }
            for (unsigned i = 0; n == 29 && i < 3000; i++) /* often enough to become plain */
                s = s * 31 + window[below(0x10000)];
            print("window kind=%u banks=%u,%u read=%x sum=%x\n", kind, low, high, s, sum());
        }
    }
    for (unsigned bytes = 1; bytes <= 2; bytes++) { /* write modes 4 and 5 */
        gr(0x09, 0);
        gr(0x0b, bytes == 1 ? 0x06 : 0x14);
        colours(0xa5c3, 0x3c5a);
        for (uint8_t mode = 4; mode <= 5; mode++) {
            gr(0x05, 0x40 | mode);
            for (unsigned i = 0; i < 200; i++) {
                window[below(0x4000)] = (uint8_t)rnd();
                *vram(below(0x4000)) = (uint8_t)rnd();
            }
            gr(0x05, 0x40);
            gr(0x0b, 0);
            print("write mode %u bytes=%u sum=%x\n", mode, bytes, sum());
            gr(0x0b, bytes == 1 ? 0x06 : 0x14);
        }
    }
    gr(0x05, 0x40);
    gr(0x0b, 0);
}

static void test_registers(void)
{
    sr(0x06, 0x00);
    print("locked sr6=%x", get(0x3c4, 0x06));
    sr(0x06, 0x12);
    print(" open sr6=%x srf=%x sr17=%x cr27=%x\n", get(0x3c4, 0x06), get(0x3c4, 0x0f), get(0x3c4, 0x17),
          get(0x3d4, 0x27));
    gr(0x21, 0x1f);
    gr(0x23, 0x07);
    gr(0x25, 0x1f);
    gr(0x2a, 0x3f);
    print("gr %x %x %x %x\n", get(0x3ce, 0x21), get(0x3ce, 0x23), get(0x3ce, 0x25), get(0x3ce, 0x2a));
}

/* --- Pictures --- */

/* The first lines by the window, whose banks are of 16 KiB, the others by the frame buffer. */
static void picture(unsigned width, unsigned height, unsigned bytes, unsigned pitch)
{
    gr(0x0b, 0x20);
    for (unsigned y = 0; y < height; y++) {
        for (unsigned x = 0; x < width * bytes; x += 4) {
            uint32_t at = y * pitch + x, value = (x + 1) * 0x01030509u + y * 0x00a10507u;
            value ^= value >> 15;
            if (y >= 40) {
                *(volatile uint32_t *)vram(at) = value;
                continue;
            }
            if (!x || !(at & 0x3fff))
                gr(0x09, (uint8_t)(at >> 14));
            *(volatile uint32_t *)(0xa0000 + (at & 0x3fff)) = value;
        }
    }
    gr(0x0b, 0);
    gr(0x09, 0);
}

static void cursor_set(bool large, uint8_t select, unsigned x, unsigned y)
{
    uint32_t at = 0x400000 - 0x4000 + select * 0x100u;
    for (unsigned i = 0; i < (large ? 1024u : 256u); i++)
        *vram(at + i) = (uint8_t)(i * 37 ^ i >> 3 ^ select);
    sr(0x12, 0x02);
    outb(0x3c8, 0);
    outb(0x3c9, 0x3d), outb(0x3c9, 0x13), outb(0x3c9, 0x05);
    outb(0x3c8, 0x0f);
    outb(0x3c9, 0x02), outb(0x3c9, 0x3e), outb(0x3c9, 0x2b);
    sr(0x13, select);
    sr((uint8_t)(0x10 | (x & 7) << 5), (uint8_t)(x >> 3));
    sr((uint8_t)(0x11 | (y & 7) << 5), (uint8_t)(y >> 3));
    sr(0x12, large ? 0x05 : 0x01);
}

static void test_pictures(void)
{
    static const struct {
        const char *name;
        uint16_t width, height;
        uint8_t bpp;
    } modes[] = {
        {"640x400x8", 640, 400, 8},       {"640x480x8", 640, 480, 8},       {"640x480x15", 640, 480, 15},
        {"640x480x16", 640, 480, 16},     {"640x480x24", 640, 480, 24},     {"640x480x32", 640, 480, 32},
        {"800x600x8", 800, 600, 8},       {"800x600x15", 800, 600, 15},     {"800x600x16", 800, 600, 16},
        {"800x600x24", 800, 600, 24},     {"800x600x32", 800, 600, 32},     {"1024x768x8", 1024, 768, 8},
        {"1024x768x15", 1024, 768, 15},   {"1024x768x16", 1024, 768, 16},   {"1024x768x24", 1024, 768, 24},
        {"1280x1024x8", 1280, 1024, 8},   {"1280x1024x15", 1280, 1024, 15}, {"1280x1024x16", 1280, 1024, 16},
        {"1280x1024x24", 1280, 1024, 24},
    };
    char name[40];
    for (unsigned i = 0; i < ARRAY_COUNT(modes); i++) {
        unsigned width = modes[i].width, height = modes[i].height, bytes = (modes[i].bpp + 7u) / 8;
        size_t length = strlen(modes[i].name);
        mode_set(width, height, modes[i].bpp, width * bytes);
        picture(width, height, bytes, width * bytes);
        print("picture %s sum=%x\n", modes[i].name, sum());
        screen_show(modes[i].name);
        memcpy(name, modes[i].name, length);
        memcpy(name + length, "-cursor", 8);
        if (i & 1)
            cursor_set(i & 2, i & 2 ? 0x04 + 4 * (i / 4) : 0x01 + i, 101 + i, 77 + i);
        else if (i & 2) /* cut off */
            cursor_set(i & 4, i & 4 ? 0x10 : 0x0f, width - 20, height - 11);
        else
            cursor_set(i & 4, i & 4 ? 0x3c : 0x3f, 0, 0);
        screen_show(name);
        sr(0x12, 0);
    }
    mode_set(640, 480, 8, 1024); /* wider than the screen, from somewhere on */
    picture(1024, 600, 1, 1024);
    start_set(1024 * 57 + 100);
    screen_show("panned");
    cursor_set(true, 0x04, 620, 470);
    screen_show("panned-cursor");
}

void guest_main(void)
{
    if (!card_find()) {
        print("no card\n");
        guest_exit(1);
    }
    print("card\n");
    mode_set(640, 480, 8, 640);
    test_registers();
    test_memory();
    test_blits();
    test_pictures();
    print("done\n");
    guest_exit(0);
}

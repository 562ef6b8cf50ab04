/* Draws on a graphics card as fast as it can, for graphics.py: what the command line names, so many times. Bytes at
 * port E9h, '<' and
 * '>', stand around what is measured; between them there is no other port than the card's.
 *
 * Command line: NAME COUNT. On the "std" card: animation (640x480x32, each pixel computed), rotozoom (each from a
 * texture), lfb-fill, lfb-copy (the same size by the processor), 13h, modex, 12h-bytes, 12h-set (set/reset), 12h-masked
 * (read, bit mask, write); on "cirrus": blt-fill, blt-copy.
 */
#include "code.h"

#define WIDTH  640u
#define HEIGHT 480u

static uint32_t lfb, texture[65536];
static volatile uint8_t *const window = (volatile uint8_t *)0xa0000;

static void set(uint16_t port, uint8_t index, uint8_t value)
{
    outb(port, index);
    outb(port + 1, value);
}
#define sr(index, value) set(0x3c4, index, value)
#define gr(index, value) set(0x3ce, index, value)

static void outw(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static void dispi(uint16_t index, uint16_t value)
{
    outw(0x1ce, index);
    outw(0x1cf, value);
}

static void card_find(uint32_t id)
{
    for (unsigned devfn = 0; devfn < 256; devfn++)
        if (config_read(devfn, 0) == id)
            lfb = config_read(devfn, 0x10) & ~15u;
    if (!lfb) {
        print("no card %x\n", id);
        guest_exit(1);
    }
}

static void std_mode(void)
{
    card_find(0x11111234);
    dispi(4, 0);
    dispi(1, WIDTH);
    dispi(2, HEIGHT);
    dispi(3, 32);
    dispi(4, 0x41);
}

/* The timing of 640x480 or of 400 lines, and how the processor sees the memory. */
static void vga_mode(uint8_t lines, uint8_t memory, uint8_t mode, uint8_t map)
{
    static const uint8_t crtc480[25] = {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0,    0,   0,
                                        0,    0,    0,    0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff};
    static const uint8_t crtc400[25] = {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0,    0,   0,
                                        0,    0,    0,    0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff};
    card_find(0x11111234);
    dispi(4, 0);
    sr(0, 1);
    outb(0x3c2, lines == 240 ? 0xe3 : 0x63);
    sr(1, 1);
    sr(2, 15);
    sr(3, 0);
    sr(4, memory);
    sr(0, 3);
    set(0x3d4, 0x11, 0);
    for (uint8_t i = 0; i < 25; i++)
        set(0x3d4, i, lines == 240 ? crtc480[i] : crtc400[i]);
    for (uint8_t i = 0; i < 9; i++)
        gr(i, i == 5 ? mode : i == 6 ? map : i == 7 ? 15 : i == 8 ? 0xff : 0);
    for (uint8_t i = 0; i < 21; i++) {
        inb(0x3da);
        outb(0x3c0, i);
        outb(0x3c0, i < 16 ? i : i == 16 ? (mode & 0x40 ? 0x41 : 0x01) : i == 18 ? 15 : 0);
    }
    inb(0x3da);
    outb(0x3c0, 0x20);
}

static void bytes(uint32_t length, uint8_t value)
{
    for (uint32_t i = 0; i < length; i++)
        window[i] = (uint8_t)(value + i);
}

static void string_fill(volatile void *to, uint32_t dwords, uint32_t value)
{
    __asm__ volatile("rep stosl" : "+D"(to), "+c"(dwords) : "a"(value) : "memory", "cc");
}

static void string_copy(volatile void *to, const volatile void *from, uint32_t dwords)
{
    __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(dwords) : : "memory", "cc");
}

/* --- Each once --- */

static void animation(uint32_t frame)
{
    volatile uint32_t *at = (volatile uint32_t *)lfb;
    for (uint32_t y = 0; y < HEIGHT; y++)
        for (uint32_t x = 0; x < WIDTH; x++) {
            uint32_t a = (x + frame) ^ (y + 2 * frame), b = (x * y >> 8) + frame, c = x + y - 3 * frame;
            *at++ = (a & 0xff) << 16 | (b & 0xff) << 8 | (c & 0xff);
        }
}

static void rotozoom_mode(void)
{
    std_mode();
    for (uint32_t i = 0; i < ARRAY_COUNT(texture); i++)
        texture[i] = (i & 0xff) << 16 | (i >> 8) << 8 | ((i ^ i >> 8) & 0xff);
}

/* A texture, turned and drawn nearer. */
static void rotozoom(uint32_t frame)
{
    volatile uint32_t *at = (volatile uint32_t *)lfb;
    uint32_t du = 200 + frame % 97, dv = 30 + frame % 61, u0 = frame << 9, v0 = frame << 8;
    for (uint32_t y = 0; y < HEIGHT; y++, u0 -= dv, v0 += du) {
        uint32_t u = u0, v = v0;
        for (uint32_t x = 0; x < WIDTH; x++, u += du, v += dv)
            *at++ = texture[(v & 0xff00) | (u >> 8 & 0xff)];
    }
}

static void lfb_fill(uint32_t frame)
{
    string_fill((volatile void *)lfb, WIDTH * HEIGHT, frame * 0x010203);
}

static void lfb_copy(uint32_t frame)
{
    uint32_t up = 1 + (frame & 1);
    string_copy((volatile void *)lfb, (volatile void *)(lfb + up * WIDTH * 4), WIDTH * (HEIGHT - up));
}

static void vga_13h(uint32_t frame)
{
    bytes(64000, (uint8_t)frame);
}

static void vga_x(uint32_t frame)
{
    for (uint8_t plane = 0; plane < 4; plane++) {
        sr(2, (uint8_t)(1 << plane));
        bytes(80 * 240, (uint8_t)(frame + plane));
    }
}

static void vga_12h_bytes(uint32_t frame)
{
    for (uint8_t plane = 0; plane < 4; plane++) {
        sr(2, (uint8_t)(1 << plane));
        bytes(80 * 480, (uint8_t)(frame + plane));
    }
}

static void vga_12h_set(uint32_t frame)
{
    gr(1, 15);
    gr(0, frame & 15);
    string_fill(window, 80 * 480 / 4, 0);
}

static void vga_12h_masked(uint32_t frame)
{
    gr(1, 15);
    gr(0, frame & 15);
    gr(8, 0x3c);
    for (uint32_t i = 0; i < 80 * 480; i++) {
        (void)window[i];
        window[i] = 0;
    }
}

static void blt(uint8_t mode, uint8_t ext, uint32_t src, uint32_t rows)
{
    static const uint8_t ports[4] = {0x01, 0x11, 0x13, 0x15};
    const uint16_t numbers[4] = {WIDTH * 4 - 1, (uint16_t)(rows - 1), WIDTH * 4, WIDTH * 4};
    for (uint8_t i = 0; i < 4; i++) {
        gr(ports[i], (uint8_t)(rows * 7 + i + src));
        gr((uint8_t)(0x20 + 2 * i), (uint8_t)numbers[i]);
        gr((uint8_t)(0x21 + 2 * i), (uint8_t)(numbers[i] >> 8));
    }
    for (uint8_t i = 0; i < 3; i++) {
        gr((uint8_t)(0x28 + i), 0);
        gr((uint8_t)(0x2c + i), (uint8_t)(src >> (8 * i)));
    }
    gr(0x2f, 0);
    gr(0x30, mode);
    gr(0x32, 0x0d);
    gr(0x33, ext);
    gr(0x31, 2);
    do
        outb(0x3ce, 0x31);
    while (inb(0x3cf) & 9);
}

static void blt_fill(uint32_t frame)
{
    (void)frame;
    blt(0xf0, 0x04, 0, HEIGHT);
}

static void blt_copy(uint32_t frame)
{
    uint32_t up = 1 + (frame & 1);
    blt(0, 0, up * WIDTH * 4, HEIGHT - up);
}

static void cirrus_mode(void)
{
    card_find(0x00b81013);
    sr(6, 0x12);
    sr(4, 0x0e);
    sr(2, 15);
    sr(7, 0x09);
    for (uint8_t i = 0; i < 9; i++)
        gr(i, i == 5 ? 0x40 : i == 6 ? 0x05 : i == 7 ? 15 : i == 8 ? 0xff : 0);
}

static void linear_13h(void)
{
    vga_mode(200, 0x0e, 0x40, 0x05);
}
static void unchained(void)
{
    vga_mode(240, 0x06, 0x40, 0x05);
}
static void planar(void)
{
    vga_mode(240, 0x06, 0x00, 0x05);
    string_fill(window, 80 * 480 / 4, 0); /* the BIOS's text was there */
}

static const struct {
    const char *name;
    void (*prepare)(void), (*draw)(uint32_t frame);
} works[] = {
    {"animation", std_mode, animation},   {"rotozoom", rotozoom_mode, rotozoom}, {"lfb-fill", std_mode, lfb_fill},
    {"lfb-copy", std_mode, lfb_copy},     {"13h", linear_13h, vga_13h},          {"modex", unchained, vga_x},
    {"12h-bytes", planar, vga_12h_bytes}, {"12h-set", planar, vga_12h_set},      {"12h-masked", planar, vga_12h_masked},
    {"blt-fill", cirrus_mode, blt_fill},  {"blt-copy", cirrus_mode, blt_copy}};

void guest_main(void)
{
    uint32_t count = 0;
    for (const char *c = guest_cmdline; *c; c++)
        if (*c == ' ') {
            count = 0;
            for (c++; *c >= '0' && *c <= '9'; c++)
                count = count * 10 + (uint32_t)(*c - '0');
            c--;
        }
    for (unsigned i = 0; i < ARRAY_COUNT(works); i++) {
        if (!string_has(guest_cmdline, works[i].name))
            continue;
        works[i].prepare();
        works[i].draw(0);
        outb(0xe9, '<');
        for (uint32_t frame = 1; frame <= count; frame++)
            works[i].draw(frame);
        outb(0xe9, '>');
        uint32_t sum = 0;
        if (works[i].draw == animation || works[i].draw == rotozoom || works[i].draw == blt_copy ||
            works[i].draw == blt_fill || works[i].draw == lfb_copy)
            for (uint32_t at = 0; at < WIDTH * HEIGHT; at++)
                sum = (sum << 1 | sum >> 31) ^ ((volatile uint32_t *)lfb)[at];
        else
            for (uint32_t at = 0; at < 38400; at++)
                sum = (sum << 1 | sum >> 31) ^ window[at];
        print("%x\n", sum);
        guest_exit(0);
    }
    print("what?\n");
    guest_exit(1);
}

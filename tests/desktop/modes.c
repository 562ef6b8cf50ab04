/* Draws in the VGA's graphics modes, through each way that a program has into their memory, for pictures.py, which
 * knows what is to be seen then. A line "screen NAME" at port E9h says that a picture is ready; a key goes on to the
 * next.
 */
#include <stdbool.h>
#include <stdint.h>

#include "../../bios/lib/far.h"
#include "../../bios/lib/io.h"

#define SEGMENT 0xa000

struct regs {
    uint32_t eax, ebx, ecx, edx, esi, edi, ebp;
    uint16_t es;
};

void int10(struct regs *regs);
int main(void);

static void text(const char *string)
{
    while (*string)
        outb(0xe9, *string++);
}

static void hex(uint32_t value)
{
    for (int shift = 28; shift >= 0; shift -= 4)
        outb(0xe9, "0123456789abcdef"[value >> shift & 15]);
}

static void bios(uint16_t ax, uint16_t bx)
{
    struct regs regs = {.eax = ax, .ebx = bx};
    int10(&regs);
}

static void shown(const char *name, uint32_t read)
{
    text("read ");
    text(name);
    text(" ");
    hex(read);
    text("\nscreen ");
    text(name);
    text("\n");
    while (!(inb(0x64) & 1)) /* the keyboard's own port, as IRQ 1 is masked: down and up */
        ;
    inb(0x60);
    while (!(inb(0x64) & 1))
        ;
    inb(0x60);
}

static void set(uint16_t port, uint8_t index, uint8_t value)
{
    outb(port, index);
    outb(port + 1, value);
}
#define seq(index, value)  set(0x3c4, index, value)
#define gc(index, value)   set(0x3ce, index, value)
#define crtc(index, value) set(0x3d4, index, value)

static void palette(void)
{
    outb(0x3c8, 0);
    for (unsigned i = 0; i < 256; i++) {
        outb(0x3c9, (uint8_t)((i & 7) * 9));
        outb(0x3c9, (uint8_t)((i >> 3 & 7) * 9));
        outb(0x3c9, (uint8_t)((i >> 6) * 21));
    }
}

static void fill(uint16_t at, uint8_t value, uint32_t count)
{
    uint32_t di = at;
    __asm__ volatile("pushw %%es\n\tmovw %w3, %%es\n\tcld\n\trep stosb\n\tpopw %%es"
                     : "+D"(di), "+c"(count)
                     : "a"(value), "r"(SEGMENT)
                     : "memory", "cc");
}

static uint32_t add(uint32_t sum, uint8_t byte)
{
    return sum * 31 + byte;
}

/* --- 13h: 320x200, one byte a pixel, the planes chained --- */

static void linear(void)
{
    static uint8_t line[320];
    uint32_t sum = 0;
    bios(0x13, 0);
    palette();
    for (uint16_t y = 0; y < 200; y++) {
        uint16_t row = (uint16_t)(y * 320);
        for (unsigned x = 0; x < 320; x++)
            line[x] = (uint8_t)(x + 3u * y);
        if (y < 50) {
            for (uint16_t x = 0; x < 320; x++)
                poke8(SEGMENT, row + x, line[x]);
        } else if (y < 100) {
            for (uint16_t x = 0; x < 320; x += 2)
                poke16(SEGMENT, row + x, (uint16_t)(line[x] | line[x + 1] << 8));
        } else if (y < 150) {
            for (uint16_t x = 0; x < 320; x += 4)
                poke32(SEGMENT, row + x, line[x] | line[x + 1] << 8 | line[x + 2] << 16 | (uint32_t)line[x + 3] << 24);
        } else {
            far_copy(SEGMENT, row, 0x1000, (uint16_t)(uint32_t)line, 320);
        }
    }
    for (uint16_t at = 0; at < 64000; at++)
        sum = add(sum, peek8(SEGMENT, at));
    shown("13h", sum);
}

/* --- "Mode X": 320x240, each plane a fourth of the pixels --- */

static void unchained(void)
{
    static const uint8_t values[][2] = {{0x06, 0x0d}, {0x07, 0x3e}, {0x09, 0x41}, {0x10, 0xea}, {0x11, 0xac},
                                        {0x12, 0xdf}, {0x14, 0x00}, {0x15, 0xe7}, {0x16, 0x06}, {0x17, 0xe3}};
    uint32_t sum = 0;
    bios(0x13, 0);
    palette();
    seq(4, 0x06);
    seq(0, 1);
    outb(0x3c2, 0xe3);
    seq(0, 3);
    crtc(0x11, 0x2c);
    for (unsigned i = 0; i < sizeof(values) / 2; i++)
        crtc(values[i][0], values[i][1]);
    seq(2, 15);
    fill(0, 0, 80 * 240);
    for (uint8_t plane = 0; plane < 4; plane++) { /* one plane after the other */
        seq(2, (uint8_t)(1 << plane));
        for (uint16_t y = 0; y < 80; y++)
            for (uint16_t x = plane; x < 320; x += 4)
                poke8(SEGMENT, (uint16_t)(y * 80 + x / 4), (uint8_t)(x * 3 + y));
    }
    seq(2, 15); /* all at once */
    for (uint16_t y = 80; y < 120; y++)
        for (uint16_t x = 0; x < 80; x++)
            poke8(SEGMENT, (uint16_t)(y * 80 + x), (uint8_t)(x + y));
    gc(5, 0x41); /* through the latches */
    for (uint16_t at = 0; at < 40 * 80; at++)
        poke8(SEGMENT, (uint16_t)(120 * 80 + at), peek8(SEGMENT, at));
    gc(5, 0x40);
    for (uint16_t y = 160; y < 200; y++) { /* two planes, then the other two */
        seq(2, 3);
        fill((uint16_t)(y * 80), (uint8_t)(y + 17), 80);
        seq(2, 12);
        fill((uint16_t)(y * 80), (uint8_t)(y * 2), 80);
    }
    for (uint8_t plane = 0; plane < 4; plane++) /* by the word and the dword */
        for (uint16_t y = 200; y < 240; y++) {
            seq(2, (uint8_t)(1 << plane));
            for (uint16_t x = 0; x < 80; x += 4)
                if (y & 1)
                    poke32(SEGMENT, (uint16_t)(y * 80 + x), ((y + x + plane * 64) & 0xff) * 0x01010101u);
                else
                    for (uint16_t i = 0; i < 4; i += 2)
                        poke16(SEGMENT, (uint16_t)(y * 80 + x + i), (uint16_t)(((y + x + plane * 64) & 0xff) * 0x0101));
        }
    for (uint8_t plane = 0; plane < 4; plane++) {
        gc(4, plane);
        for (uint16_t at = 0; at < 80 * 240; at++)
            sum = add(sum, peek8(SEGMENT, at));
    }
    gc(4, 0);
    shown("X", sum);
}

/* --- 12h: 640x480, a pixel's four bits in four planes --- */

static void planar(void)
{
    uint32_t sum = 0;
    bios(0x12, 0);
    for (uint16_t i = 0; i < 16; i++)
        bios(0x1000, (uint16_t)(i << 8 | i));
    palette();
    for (uint8_t plane = 0; plane < 4; plane++) { /* write mode 0, plane by plane */
        seq(2, (uint8_t)(1 << plane));
        for (uint16_t y = 0; y < 80; y++)
            for (uint16_t x = 0; x < 80; x++)
                poke8(SEGMENT, (uint16_t)(y * 80 + x), (uint8_t)(x * 37 + y * 11 + plane * 59));
    }
    seq(2, 15);
    gc(5, 2); /* write mode 2, pixel by pixel */
    for (uint16_t y = 80; y < 160; y++)
        for (uint16_t x = 0; x < 640; x++) {
            uint16_t at = (uint16_t)(y * 80 + x / 8);
            gc(8, (uint8_t)(0x80 >> (x & 7)));
            (void)peek8(SEGMENT, at);
            poke8(SEGMENT, at, (uint8_t)((x / 3 + y) & 15));
        }
    gc(5, 0); /* write mode 0, set/reset and the bit mask */
    gc(1, 15);
    for (uint16_t y = 160; y < 240; y++) {
        gc(8, 0xff);
        gc(0, y & 15);
        fill((uint16_t)(y * 80), 0x55, 80);
        gc(8, 0x3c);
        gc(0, ~y & 15);
        for (uint16_t x = 0; x < 80; x++) {
            (void)peek8(SEGMENT, (uint16_t)(y * 80 + x));
            poke8(SEGMENT, (uint16_t)(y * 80 + x), 0);
        }
    }
    gc(1, 0);
    gc(8, 0xff);
    gc(5, 1); /* write mode 1 */
    for (uint16_t at = 0; at < 80 * 80; at++)
        poke8(SEGMENT, (uint16_t)(240 * 80 + at), peek8(SEGMENT, at));
    for (uint16_t y = 320; y < 400; y++) { /* write mode 3 on a ground, rotated by one */
        gc(5, 0);
        gc(1, 15);
        gc(0, 5);
        fill((uint16_t)(y * 80), 0, 80);
        gc(1, 0);
        gc(5, 3);
        gc(3, 1);
        gc(0, 10);
        for (uint16_t x = 0; x < 80; x++) {
            (void)peek8(SEGMENT, (uint16_t)(y * 80 + x));
            poke8(SEGMENT, (uint16_t)(y * 80 + x), (uint8_t)(x + y));
        }
        gc(3, 0);
    }
    gc(5, 0);
    for (uint16_t y = 400; y < 480; y++) { /* XOR */
        gc(1, 15);
        gc(0, 9);
        fill((uint16_t)(y * 80), 0, 80);
        gc(1, 0);
        gc(3, 0x18);
        seq(2, (uint8_t)(y & 15));
        for (uint16_t x = 0; x < 80; x++) {
            (void)peek8(SEGMENT, (uint16_t)(y * 80 + x));
            poke8(SEGMENT, (uint16_t)(y * 80 + x), (uint8_t)(x * 5 + y));
        }
        seq(2, 15);
        gc(3, 0);
    }
    gc(5, 8); /* read mode 1: where is colour 7, bit 3 not cared for? */
    gc(2, 7);
    gc(7, 7);
    for (uint16_t at = 0; at < 80 * 480; at++)
        sum = add(sum, peek8(SEGMENT, at));
    gc(7, 15);
    gc(5, 0);
    shown("12h", sum);
}

int main(void)
{
    outb(0x21, inb(0x21) | 2);
    linear();
    unchained();
    planar();
    bios(0x03, 0);
    text("done\n");
    return 0;
}

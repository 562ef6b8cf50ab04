/* INT 10h in graphics modes: pixels, characters, scrolling. */
#include "vga.h"

/* Bytes of a line of pixels (of one plane). */
static uint16_t line_bytes(ROM struct mode *mode)
{
    uint16_t columns = bda16(BDA_COLUMNS);
    if (mode->class == CLASS_LINEAR)
        return columns * 8;
    return mode->class == CLASS_CGA4 ? columns * 2 : columns;
}

/* Bytes of a character's line of pixels. */
static uint8_t char_bytes(ROM struct mode *mode)
{
    return mode->class == CLASS_LINEAR ? 8 : mode->class == CLASS_CGA4 ? 2 : 1;
}

static uint16_t line_offset(ROM struct mode *mode, uint8_t page, uint16_t line)
{
    uint16_t at = mode->class == CLASS_PLANAR ? page * bda16(BDA_PAGE_SIZE) : 0;
    if (mode->class == CLASS_CGA4 || mode->class == CLASS_CGA2) /* odd lines have a bank of their own */
        return (line & 1) * 0x2000 + (line >> 1) * line_bytes(mode);
    return at + line * line_bytes(mode);
}

/* --- Scrolling --- */

static void line_fill(ROM struct mode *mode, uint16_t at, uint16_t bytes, uint8_t colour)
{
    for (uint16_t i = 0; i < bytes; i++)
        poke8(mode->segment, at + i, colour);
}

void graphics_scroll(ROM struct mode *mode, uint8_t top, uint8_t left, uint8_t bottom, uint8_t right, int lines,
                     uint8_t attribute)
{
    uint8_t height = bda8(BDA_CHAR_HEIGHT), page = bda8(BDA_PAGE);
    uint16_t bytes = (right - left + 1) * char_bytes(mode);
    uint16_t left_bytes = left * char_bytes(mode);
    int first = top * height, last = (bottom + 1) * height - 1;
    int step = lines * height;
    uint8_t fill = attribute;

    if (mode->class == CLASS_CGA4)
        fill = (attribute & 3) * 0x55;
    else if (mode->class == CLASS_CGA2)
        fill = attribute & 1 ? 0xff : 0;
    else if (mode->class == CLASS_PLANAR)
        indexed_write(SEQ, 2, 0x0f);
    for (int i = 0; i <= last - first; i++) {
        int line = lines > 0 ? first + i : last - i;
        int from = line + step;
        uint16_t to = line_offset(mode, page, line) + left_bytes;
        if (from >= first && from <= last) {
            if (mode->class == CLASS_PLANAR)
                indexed_write(GC, 5, 0x01); /* through the latches: all planes at once */
            far_copy(mode->segment, to, mode->segment, line_offset(mode, page, from) + left_bytes, bytes);
        } else {
            if (mode->class == CLASS_PLANAR) {
                indexed_write(GC, 5, 0x02);
                indexed_write(GC, 8, 0xff);
                fill = attribute & 0x0f;
            }
            line_fill(mode, to, bytes, fill);
        }
    }
    if (mode->class == CLASS_PLANAR)
        indexed_write(GC, 5, 0x00);
}

/* --- Characters --- */

/* Where the pattern of a character is: the CGA modes have two halves. */
static uint16_t font_of(ROM struct mode *mode, uint8_t ch, uint16_t *off)
{
    uint8_t height = bda8(BDA_CHAR_HEIGHT);
    uint16_t vector = VECTOR_43;

    if ((mode->class == CLASS_CGA4 || mode->class == CLASS_CGA2) && ch >= 0x80) {
        vector = VECTOR_1F;
        ch -= 0x80;
    }
    *off = peek16(0, vector) + ch * height;
    return peek16(0, vector + 2);
}

/* Eight pixels of two bits. */
static uint16_t bits_doubled(uint8_t bits, uint8_t colour)
{
    uint16_t out = 0;
    for (uint8_t i = 0; i < 8; i++)
        out |= bits >> i & 1 ? (colour & 3) << (2 * i) : 0;
    return out;
}

void graphics_char(ROM struct mode *mode, uint8_t page, uint8_t row, uint8_t column, uint8_t ch, uint8_t attribute)
{
    uint8_t height = bda8(BDA_CHAR_HEIGHT);
    uint16_t off, seg = font_of(mode, ch, &off);
    bool exclusive = attribute & 0x80;
    uint16_t vseg = mode->segment;

    if (mode->class == CLASS_PLANAR)
        indexed_write(SEQ, 2, 0x0f); /* whatever plane the program was at */
    for (uint8_t y = 0; y < height; y++) {
        uint8_t bits = peek8(seg, off + y);
        uint16_t at = line_offset(mode, page, row * height + y) + column * char_bytes(mode);
        switch (mode->class) {
        case CLASS_PLANAR:
            indexed_write(GC, 5, 0x02); /* a colour where the mask has ones */
            if (!exclusive) {
                indexed_write(GC, 8, 0xff);
                poke8(vseg, at, 0);
            } else {
                indexed_write(GC, 3, 0x18);
            }
            indexed_write(GC, 8, bits);
            peek8(vseg, at);
            poke8(vseg, at, attribute & 0x0f);
            break;
        case CLASS_LINEAR:
            for (uint8_t x = 0; x < 8; x++)
                poke8(vseg, at + x, bits >> (7 - x) & 1 ? attribute : 0);
            break;
        case CLASS_CGA4: {
            uint16_t pixels = bits_doubled(bits, attribute);
            pixels = pixels >> 8 | pixels << 8;
            poke16(vseg, at, exclusive ? peek16(vseg, at) ^ pixels : pixels);
            break;
        }
        case CLASS_CGA2:
            if (!(attribute & 1))
                bits = 0;
            poke8(vseg, at, exclusive ? peek8(vseg, at) ^ bits : bits);
            break;
        }
    }
    if (mode->class == CLASS_PLANAR) {
        indexed_write(GC, 8, 0xff);
        indexed_write(GC, 5, 0x00);
        indexed_write(GC, 3, 0x00);
    }
}

/* Pixels that are not background, as a pattern. */
static uint8_t pattern_read(ROM struct mode *mode, uint16_t at)
{
    uint8_t bits = 0;

    switch (mode->class) {
    case CLASS_PLANAR: /* read mode 1: which pixels are colour 0 */
        return ~peek8(mode->segment, at);
    case CLASS_LINEAR:
        for (uint8_t x = 0; x < 8; x++)
            bits |= peek8(mode->segment, at + x) ? 0x80 >> x : 0;
        return bits;
    case CLASS_CGA4:
        for (uint8_t x = 0; x < 8; x++)
            bits |= peek8(mode->segment, at + (x >> 2)) << (2 * (x & 3)) & 0xc0 ? 0x80 >> x : 0;
        return bits;
    }
    return peek8(mode->segment, at);
}

uint8_t graphics_char_read(ROM struct mode *mode, uint8_t page, uint8_t row, uint8_t column)
{
    uint8_t height = bda8(BDA_CHAR_HEIGHT);
    uint8_t pattern[32];
    uint8_t found = 0;

    if (mode->class == CLASS_PLANAR) {
        indexed_write(GC, 5, 0x08);
        indexed_write(GC, 2, 0x00);
        indexed_write(GC, 7, 0x0f);
    }
    for (uint8_t y = 0; y < height && y < 32; y++)
        pattern[y] = pattern_read(mode, line_offset(mode, page, row * height + y) + column * char_bytes(mode));
    if (mode->class == CLASS_PLANAR)
        indexed_write(GC, 5, 0x00);
    for (uint16_t ch = 0; ch < 256; ch++) {
        uint16_t off, seg = font_of(mode, ch, &off);
        uint8_t y = 0;
        while (y < height && peek8(seg, off + y) == pattern[y])
            y++;
        if (y == height) {
            found = (uint8_t)ch;
            break;
        }
    }
    return found;
}

/* --- Pixels: function 0Ch, 0Dh; CX column, DX line, BH page, AL colour --- */

void pixel_write(struct bregs *regs)
{
    ROM struct mode *mode = mode_now();
    if (!mode || mode->class == CLASS_TEXT)
        return;
    uint16_t at = line_offset(mode, regs->bh, regs->dx), x = regs->cx, vseg = mode->segment;
    bool exclusive = regs->al & 0x80;

    switch (mode->class) {
    case CLASS_PLANAR:
        at += x >> 3;
        indexed_write(SEQ, 2, 0x0f);
        indexed_write(GC, 5, 0x02);
        indexed_write(GC, 8, 0x80 >> (x & 7));
        if (exclusive)
            indexed_write(GC, 3, 0x18);
        peek8(vseg, at);
        poke8(vseg, at, regs->al & 0x0f);
        indexed_write(GC, 8, 0xff);
        indexed_write(GC, 5, 0x00);
        indexed_write(GC, 3, 0x00);
        break;
    case CLASS_LINEAR:
        poke8(vseg, at + x, regs->al);
        break;
    default: {
        bool four = mode->class == CLASS_CGA4;
        uint8_t shift = four ? 6 - 2 * (x & 3) : 7 - (x & 7);
        uint8_t mask = four ? 3 : 1;
        at += four ? x >> 2 : x >> 3;
        uint8_t old = peek8(vseg, at), bits = (regs->al & mask) << shift;
        poke8(vseg, at, exclusive ? old ^ bits : (old & ~(mask << shift)) | bits);
    }
    }
}

void pixel_read(struct bregs *regs)
{
    ROM struct mode *mode = mode_now();
    if (!mode || mode->class == CLASS_TEXT)
        return;
    uint16_t at = line_offset(mode, regs->bh, regs->dx), x = regs->cx;

    regs->al = 0;
    switch (mode->class) {
    case CLASS_PLANAR:
        for (uint8_t plane = 0; plane < 4; plane++) {
            indexed_write(GC, 4, plane);
            regs->al |= (peek8(mode->segment, at + (x >> 3)) >> (7 - (x & 7)) & 1) << plane;
        }
        indexed_write(GC, 4, 0);
        break;
    case CLASS_LINEAR:
        regs->al = peek8(mode->segment, at + x);
        break;
    case CLASS_CGA4:
        regs->al = peek8(mode->segment, at + (x >> 2)) >> (6 - 2 * (x & 3)) & 3;
        break;
    case CLASS_CGA2:
        regs->al = peek8(mode->segment, at + (x >> 3)) >> (7 - (x & 7)) & 1;
        break;
    }
}

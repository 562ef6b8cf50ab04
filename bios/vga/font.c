/* INT 10h function 11h: character generators. */
#include "vga.h"

/* Opens plane 2 as plain memory at A0000h, and closes it again. */
static void font_open(void)
{
    indexed_write(SEQ, 0, 0x01);
    indexed_write(SEQ, 2, 0x04);
    indexed_write(SEQ, 4, 0x07);
    indexed_write(SEQ, 0, 0x03);
    indexed_write(GC, 4, 0x02);
    indexed_write(GC, 5, 0x00);
    indexed_write(GC, 6, 0x04);
}

static void font_close(void)
{
    bool mono = crtc_port() == 0x3b4;
    indexed_write(SEQ, 0, 0x01);
    indexed_write(SEQ, 2, 0x03);
    indexed_write(SEQ, 4, 0x02);
    indexed_write(SEQ, 0, 0x03);
    indexed_write(GC, 4, 0x00);
    indexed_write(GC, 5, 0x10);
    indexed_write(GC, 6, mono ? 0x0a : 0x0e);
}

static void font_load(uint16_t seg, uint16_t off, uint16_t count, uint16_t first, uint8_t height, uint8_t block)
{
    uint16_t to = (block & 3) << 14 | (block & 4) << 11;

    font_open();
    for (uint16_t i = 0; i < count; i++)
        far_copy(0xa000, to + (first + i) * 32, seg, off + i * height, height);
    font_close();
}

static uint16_t font_rom(uint8_t height)
{
    return height == 8 ? rom_off(font_8x8) : height == 14 ? rom_off(font_8x14) : rom_off(font_8x16);
}

void font_load_rom(uint8_t height, uint8_t block)
{
    font_load(code_seg(), font_rom(height), 256, 0, height, block);
}

/* The screen's lines, by the vertical display end. */
static uint16_t screen_lines(void)
{
    uint16_t crtc = crtc_port();
    uint8_t overflow = indexed_read(crtc, 0x07);
    uint16_t lines = indexed_read(crtc, 0x12) + ((overflow & 0x02) << 7) + ((overflow & 0x40) << 3) + 1;
    if (indexed_read(crtc, 0x09) & 0x80)
        lines /= 2;
    return lines;
}

/* A new character height in a text mode: rows, cursor and page size follow. */
static void height_set(uint8_t height)
{
    uint16_t crtc = crtc_port();
    uint8_t max_scan = indexed_read(crtc, 0x09);
    uint16_t lines = screen_lines();

    /* Some lines at the bottom may be too few for a row: 350 or 400 again when the rows allow. */
    if (lines <= 200)
        lines = 200;
    else if (lines <= 350)
        lines = 350;
    else if (lines <= 400)
        lines = 400;
    uint16_t rows = lines / height;
    uint16_t last = rows * height * (max_scan & 0x80 ? 2 : 1) - 1;
    indexed_write(crtc, 0x09, (max_scan & ~0x1f) | (height - 1));
    indexed_write(crtc, 0x12, (uint8_t)last);
    uint8_t overflow = indexed_read(crtc, 0x07) & ~0x42;
    indexed_write(crtc, 0x07, overflow | (last >> 7 & 0x02) | (last >> 3 & 0x40));
    uint8_t end = height - (height > 8 ? 2 : 1);
    indexed_write(crtc, 0x0a, end - 1);
    indexed_write(crtc, 0x0b, end);
    bda16_set(BDA_CURSOR_SHAPE, (end - 1) << 8 | end);
    bda8_set(BDA_ROWS, rows - 1);
    bda16_set(BDA_CHAR_HEIGHT, height);
    bda16_set(BDA_PAGE_SIZE, (rows * bda16(BDA_COLUMNS) * 2 + 0x7ff) & ~0x7ff);
}

static void graphics_font(uint16_t seg, uint16_t off, uint8_t height, uint8_t rows_code, uint8_t rows)
{
    vectors_set(VECTOR_43, off, seg);
    bda16_set(BDA_CHAR_HEIGHT, height);
    if (rows_code == 1)
        rows = 14;
    else if (rows_code == 2)
        rows = 25;
    else if (rows_code == 3)
        rows = 43;
    bda8_set(BDA_ROWS, rows - 1);
}

static ROM uint8_t font_nine[1] ROM_SECTION = {0};

static void font_information(struct bregs *regs)
{
    switch (regs->bh) {
    case 0:
        regs->es = peek16(0, VECTOR_1F + 2);
        regs->bp = peek16(0, VECTOR_1F);
        break;
    case 1:
        regs->es = peek16(0, VECTOR_43 + 2);
        regs->bp = peek16(0, VECTOR_43);
        break;
    case 2:
        regs->es = code_seg();
        regs->bp = rom_off(font_8x14);
        break;
    case 3:
        regs->es = code_seg();
        regs->bp = rom_off(font_8x8);
        break;
    case 4:
        regs->es = code_seg();
        regs->bp = rom_off(font_8x8) + 128 * 8;
        break;
    case 5: /* characters that differ with nine dots: none, the list ends at once */
    case 7:
        regs->es = code_seg();
        regs->bp = rom_off(font_nine);
        break;
    case 6:
        regs->es = code_seg();
        regs->bp = rom_off(font_8x16);
        break;
    default:
        return;
    }
    regs->cx = bda16(BDA_CHAR_HEIGHT);
    regs->dl = bda8(BDA_ROWS);
}

void font_11(struct bregs *regs)
{
    static ROM uint8_t rom_height[5] ROM_SECTION = {0, 14, 8, 0, 16};
    uint8_t function = regs->al;
    uint8_t low = function & 0x0f;

    switch (function) {
    case 0x00:
    case 0x10:
        font_load(regs->es, regs->bp, regs->cx, regs->dx, regs->bh, regs->bl);
        if (function == 0x10 && regs->bh && regs->bh <= 32)
            height_set(regs->bh);
        break;
    case 0x01:
    case 0x02:
    case 0x04:
    case 0x11:
    case 0x12:
    case 0x14:
        font_load_rom(rom_height[low], regs->bl);
        if (function & 0x10)
            height_set(rom_height[low]);
        break;
    case 0x03:
        indexed_write(SEQ, 3, regs->bl);
        break;
    case 0x20:
        vectors_set(VECTOR_1F, regs->bp, regs->es);
        break;
    case 0x21:
        graphics_font(regs->es, regs->bp, (uint8_t)regs->cx, regs->bl, regs->dl);
        break;
    case 0x22:
        graphics_font(code_seg(), rom_off(font_8x14), 14, regs->bl, regs->dl);
        break;
    case 0x23:
        graphics_font(code_seg(), rom_off(font_8x8), 8, regs->bl, regs->dl);
        break;
    case 0x24:
        graphics_font(code_seg(), rom_off(font_8x16), 16, regs->bl, regs->dl);
        break;
    case 0x30:
        font_information(regs);
        break;
    }
}

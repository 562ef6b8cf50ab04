/* INT 10h: cursor, pages, scrolling, characters, teletype. */
#include "vga.h"

/* --- Cursor and page --- */

/* Programs think of a character as 8 lines: with emulation on, the shape is scaled to the real height. */
void cursor_shape_set(uint8_t start, uint8_t end)
{
    uint16_t crtc = crtc_port();
    uint8_t height = bda8(BDA_CHAR_HEIGHT);

    bda16_set(BDA_CURSOR_SHAPE, start << 8 | end);
    uint8_t first = start & 0x3f, last = end & 0x1f;
    if (!(bda8(BDA_CONTROL) & CONTROL_NO_CURSOR_EMULATION) && height > 8 && last < 8 && first < 0x20) {
        if (last != first + 1)
            first = (first + 1) * height / 8 - 1;
        else
            first = (last + 1) * height / 8 - 2;
        last = (last + 1) * height / 8 - 1;
    }
    indexed_write(crtc, 0x0a, first);
    indexed_write(crtc, 0x0b, last);
}

/* Text pages begin where the BDA says, in words for the CRTC. */
static uint16_t page_offset(uint8_t page)
{
    return bda16(BDA_PAGE_SIZE) * page;
}

static void crtc_set16(uint8_t index, uint16_t value)
{
    uint16_t crtc = crtc_port();
    indexed_write(crtc, index, value >> 8);
    indexed_write(crtc, index + 1, (uint8_t)value);
}

void cursor_set(uint8_t page, uint8_t row, uint8_t column)
{
    page &= 7;
    bda16_set(BDA_CURSOR + 2 * page, row << 8 | column);
    ROM struct mode *mode = mode_now();
    if (page == bda8(BDA_PAGE) && mode && mode->class == CLASS_TEXT)
        crtc_set16(0x0e, page_offset(page) / 2 + row * bda16(BDA_COLUMNS) + column);
}

void page_select(uint8_t page)
{
    ROM struct mode *mode = mode_now();
    if (page > 7 || !mode)
        return;
    uint16_t start = page_offset(page);
    bda16_set(BDA_PAGE_START, start);
    crtc_set16(0x0c, mode->class == CLASS_PLANAR ? start : start / (mode->class == CLASS_LINEAR ? 4 : 2));
    bda8_set(BDA_PAGE, page);
    uint16_t at = bda16(BDA_CURSOR + 2 * page);
    cursor_set(page, at >> 8, at & 0xff);
}

/* --- Characters --- */

static uint16_t cell_offset(uint8_t page, uint8_t row, uint8_t column)
{
    return page_offset(page) + 2 * (row * bda16(BDA_COLUMNS) + column);
}

void char_write(uint8_t page, uint8_t row, uint8_t column, uint8_t ch, uint8_t attribute, bool with_attribute)
{
    ROM struct mode *mode = mode_now();
    if (!mode)
        return;
    if (mode->class != CLASS_TEXT) {
        graphics_char(mode, page, row, column, ch, attribute);
        return;
    }
    uint16_t at = cell_offset(page, row, column);
    if (with_attribute)
        poke16(mode->segment, at, attribute << 8 | ch);
    else
        poke8(mode->segment, at, ch);
}

uint16_t char_read(uint8_t page, uint8_t row, uint8_t column)
{
    ROM struct mode *mode = mode_now();
    if (!mode)
        return 0;
    if (mode->class != CLASS_TEXT)
        return graphics_char_read(mode, page, row, column);
    return peek16(mode->segment, cell_offset(page, row, column));
}

/* lines: rows the contents move up; 0 clears; negative: down. */
void scroll(uint8_t top, uint8_t left, uint8_t bottom, uint8_t right, int lines, uint8_t attribute)
{
    ROM struct mode *mode = mode_now();
    uint8_t columns = bda8(BDA_COLUMNS);
    uint8_t page = bda8(BDA_PAGE);

    if (!mode)
        return;
    if (bottom > bda8(BDA_ROWS))
        bottom = bda8(BDA_ROWS);
    if (right >= columns)
        right = columns - 1;
    if (top > bottom || left > right)
        return;
    int height = bottom - top + 1;
    if (lines == 0 || lines >= height || -lines >= height)
        lines = height;
    if (mode->class != CLASS_TEXT) {
        graphics_scroll(mode, top, left, bottom, right, lines, attribute);
        return;
    }
    uint16_t width = right - left + 1;
    for (int i = 0; i < height; i++) {
        int row = lines > 0 ? top + i : bottom - i;
        int from = row + lines;
        uint16_t to = cell_offset(page, row, left);
        if (from >= top && from <= bottom)
            far_copy16(mode->segment, to, mode->segment, cell_offset(page, from, left), width);
        else
            far_fill16(mode->segment, to, attribute << 8 | 0x20, width);
    }
}

/* --- Teletype --- */

/* The speaker for 0.1 s. Time comes from the refresh toggle, as the timer tick may be off. */
static void beep(void)
{
    uint8_t was = inb(0x61);

    outb(0x43, 0xb6);
    outb(0x42, 0x00);
    outb(0x42, 0x05);
    outb(0x61, was | 3);
    uint8_t toggle = inb(0x61) & 0x10;
    for (uint16_t changes = 0, tries = 0; changes < 6600 && tries < 0xffff; tries++) { /* 15 us each: 0.1 s */
        uint8_t now = inb(0x61) & 0x10;
        if (now != toggle) {
            toggle = now;
            changes++;
            tries = 0;
        }
    }
    outb(0x61, was);
}

static uint8_t blank_attribute(ROM struct mode *mode, uint8_t page, uint8_t row, uint8_t column)
{
    return mode->class == CLASS_TEXT ? char_read(page, row, column) >> 8 : 0;
}

void teletype(uint8_t page, uint8_t ch, uint8_t attribute, bool with_attribute)
{
    ROM struct mode *mode = mode_now();
    uint16_t at = bda16(BDA_CURSOR + 2 * page);
    uint8_t row = at >> 8, column = at & 0xff;
    uint8_t last = bda8(BDA_ROWS);

    if (!mode)
        return;
    switch (ch) {
    case 0x07:
        beep();
        return;
    case 0x08:
        if (column)
            column--;
        break;
    case 0x0a:
        row++;
        break;
    case 0x0d:
        column = 0;
        break;
    default:
        char_write(page, row, column, ch, attribute, with_attribute);
        column++;
    }
    if (column >= bda8(BDA_COLUMNS)) {
        column = 0;
        row++;
    }
    if (row > last) {
        row = last;
        uint8_t active = bda8(BDA_PAGE);
        if (page == active)
            scroll(0, 0, last, bda8(BDA_COLUMNS) - 1, 1, blank_attribute(mode, page, last, bda8(BDA_COLUMNS) - 1));
    }
    cursor_set(page, row, column);
}

/* Function 13h: string at ES:BP. AL bit 0: the cursor moves; bit 1: attributes follow the characters. */
void text_13(struct bregs *regs)
{
    uint8_t page = regs->bh & 7;
    uint16_t old = bda16(BDA_CURSOR + 2 * page);
    uint16_t at = regs->bp;

    if (regs->al > 3)
        return;
    if (regs->dh == 0xff) { /* the present position */
        regs->dh = old >> 8;
        regs->dl = (uint8_t)old;
    }
    cursor_set(page, regs->dh, regs->dl);
    for (uint16_t n = 0; n < regs->cx; n++) {
        uint8_t ch = peek8(regs->es, at++), attribute = regs->bl;
        if (regs->al & 2)
            attribute = peek8(regs->es, at++);
        teletype(page, ch, attribute, true);
    }
    if (!(regs->al & 1))
        cursor_set(page, old >> 8, old & 0xff);
}

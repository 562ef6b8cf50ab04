/* VGA: from registers and memory to what is on the screen, as text cells or as pixels.
 *
 * IBM PS/2 Hardware Technical Reference, Video Subsystem: CRT controller, attribute controller. The picture
 * is drawn line by line with the CRTC's counters, in physical dots: a mode that doubles lines or dots is
 * as large as on the monitor. Borders are not drawn.
 */
#include <string.h>

#include "vclock.h"
#include "regs.h"

#define WIDTH_MAX (256 * 9 * 2)

bool vga_blink_is_on(int64_t half_period_ns)
{
    return vclock_now() / half_period_ns % 2 == 0;
}

bool vga_is_blank(const struct vga *vga)
{
    const struct vga_regs *r = &vga->regs;
    return !(r->attr_index & ATTR_INDEX_PAS) || (r->seq[SEQ_CLOCKING] & SEQ_CLOCKING_OFF) ||
           (r->seq[SEQ_RESET] & 3) != 3;
}

static bool is_text(const struct vga *vga)
{
    struct vga_picture picture;
    return !(vga->regs.gc[GC_MISC] & GC_MISC_GRAPHICS) && !vga_picture(vga, &picture);
}

/* --- Colours --- */

static uint32_t dac_colour(const struct vga_regs *r, uint8_t index)
{
    const uint8_t *gun = &r->palette[3 * (index & r->dac_mask)];
    uint32_t colour = 0;

    for (unsigned i = 0; i < 3; i++) {
        uint8_t value = gun[i];
        if (!(r->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC))
            value = (uint8_t)((value & 0x3f) << 2 | (value & 0x3f) >> 4);
        colour = colour << 8 | value;
    }
    return colour;
}

/* A 4-bit pixel through plane enable and the internal palette: an index into the DAC. */
static uint8_t attr_index(const struct vga_regs *r, unsigned pixel)
{
    uint8_t index = r->attr[pixel & r->attr[ATTR_PLANES] & 15];
    uint8_t select = r->attr[ATTR_SELECT];

    if (r->attr[ATTR_MODE] & ATTR_MODE_P54S)
        index = (index & 0x0f) | (select & 3) << 4;
    return (uint8_t)(index | (select & 0x0c) << 4);
}

static void colours16(const struct vga_regs *r, uint32_t colour[16])
{
    for (unsigned i = 0; i < 16; i++)
        colour[i] = dac_colour(r, attr_index(r, i));
}

/* --- The CRTC's addresses --- */

struct raster {
    unsigned counter_start; /* start address and byte panning */
    unsigned row_step;      /* counter steps from one row to the next */
    unsigned lines, scan_max, line_compare;
    bool double_lines;
};

static void raster_get(const struct vga *vga, struct raster *raster)
{
    const uint8_t *crtc = vga->regs.crtc;
    struct vga_timing t;

    vga_timing(vga, &t);
    raster->counter_start = (crtc[CRTC_START_HIGH] << 8 | crtc[CRTC_START_LOW]) + (crtc[CRTC_PRESET_ROW] >> 5 & 3u);
    raster->row_step = crtc[CRTC_OFFSET] * 2u;
    raster->lines = t.vdisp;
    raster->scan_max = crtc[CRTC_MAX_SCAN] & 0x1f;
    raster->double_lines = crtc[CRTC_MAX_SCAN] & 0x80;
    raster->line_compare =
        crtc[CRTC_LINE_COMPARE] | (crtc[CRTC_OVERFLOW] & 0x10) << 4 | (crtc[CRTC_MAX_SCAN] & 0x40u) << 3;
}

/* The four bytes that the chip fetches when its counter is at this value. */
static const uint8_t *fetch(const struct vga *vga, unsigned counter, unsigned row_scan)
{
    const uint8_t *crtc = vga->regs.crtc;
    unsigned a = counter & 0xffff;

    if (vga->regs.seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN4) {
        /* see vga_regs.h: our chain-4 does without the doubleword mode */
    } else if (crtc[CRTC_UNDERLINE] & 0x40) {
        a = a << 2 | a >> 14;
    } else if (!(crtc[CRTC_MODE] & CRTC_MODE_BYTE)) {
        a = a << 1 | (a >> (crtc[CRTC_MODE] & CRTC_MODE_WRAP ? 15 : 13) & 1);
    }
    if (!(crtc[CRTC_MODE] & CRTC_MODE_CMS))
        a = (a & ~0x2000u) | (row_scan & 1) << 13;
    if (!(crtc[CRTC_MODE] & CRTC_MODE_SRS))
        a = (a & ~0x4000u) | (row_scan & 2) << 13;
    return &vga->vram[(a & 0xffff) * 4];
}

/* --- Text --- */

struct cursor {
    bool visible;
    unsigned counter, first, last;
};

static void cursor_get(const struct vga *vga, struct cursor *cursor)
{
    const uint8_t *crtc = vga->regs.crtc;

    cursor->counter = crtc[CRTC_CURSOR_HIGH] << 8 | crtc[CRTC_CURSOR_LOW];
    cursor->first = crtc[CRTC_CURSOR_START] & 0x1f;
    cursor->last = crtc[CRTC_CURSOR_END] & 0x1f;
    unsigned skew = crtc[CRTC_CURSOR_END] >> 5 & 3;
    cursor->counter += skew;
    cursor->visible = !(crtc[CRTC_CURSOR_START] & 0x20) && cursor->first <= cursor->last;
}

static unsigned text_row_lines(const struct raster *raster)
{
    return (raster->scan_max + 1) << raster->double_lines;
}

static void cell_get(const struct vga *vga, const uint8_t *quad, struct display_cell *cell)
{
    const struct vga_regs *r = &vga->regs;
    uint8_t attribute = quad[1];

    cell->ch = quad[0];
    cell->foreground = attribute & 15;
    cell->background = attribute >> 4;
    cell->flags = 0;
    if (r->attr[ATTR_MODE] & ATTR_MODE_BLINK) {
        cell->background &= 7;
        cell->flags |= attribute & 0x80 ? DISPLAY_BLINK : 0;
    }
    if ((attribute & 0x07) == 1 && (r->crtc[CRTC_UNDERLINE] & 0x1f) <= (r->crtc[CRTC_MAX_SCAN] & 0x1f))
        cell->flags |= DISPLAY_UNDERLINE;
}

bool vga_render_text(void *opaque, struct display_text *out)
{
    struct vga *vga = opaque;
    const struct vga_regs *r = &vga->regs;
    struct raster raster;
    struct cursor cursor;

    if (!is_text(vga))
        return false;
    vga_sync(vga);
    raster_get(vga, &raster);
    cursor_get(vga, &cursor);
    unsigned columns = r->crtc[CRTC_HDISP_END] + 1u;
    unsigned row_lines = text_row_lines(&raster);
    unsigned rows = MAX(raster.lines / row_lines, 1);

    if (columns != out->columns || rows != out->rows || !out->cells) {
        g_free(out->cells);
        out->cells = g_new0(struct display_cell, (size_t)columns * rows);
        out->columns = columns;
        out->rows = rows;
    }
    out->cursor_visible = false;
    colours16(r, out->palette);
    unsigned counter = raster.counter_start;
    for (unsigned y = 0; y < rows; y++) {
        if (y && y * row_lines > raster.line_compare && (y - 1) * row_lines <= raster.line_compare)
            counter = 0;
        for (unsigned x = 0; x < columns; x++) {
            struct display_cell *cell = &out->cells[y * columns + x];
            if (vga_is_blank(vga))
                *cell = (struct display_cell){.ch = ' '};
            else
                cell_get(vga, fetch(vga, counter + x, 0), cell);
            if (cursor.visible && !vga_is_blank(vga) && ((counter + x) & 0xffff) == cursor.counter) {
                out->cursor_visible = true;
                out->cursor_column = x;
                out->cursor_row = y;
            }
        }
        counter += raster.row_step;
    }
    return true;
}

/* Character generator tables: eight of 8 KiB in plane 2. Font A is for attribute bit 3 set. */
static unsigned font_address(const struct vga *vga, bool second)
{
    uint8_t select = vga->regs.seq[SEQ_FONT];
    unsigned n = second ? (select >> 2 & 3) | (select >> 3 & 4) : (select & 3) | (select >> 2 & 4);
    return (n & 3) * 0x4000 + (n >> 2) * 0x2000;
}

struct text_state {
    unsigned font[2]; /* by attribute bit 3 */
    bool nine, blink_hides, cursor_on;
    struct cursor cursor;
};

/* One scan line of text: pixels as attribute colours 0 to 15. Returns dots written. */
static unsigned text_line(const struct vga *vga, const struct text_state *text, unsigned counter, unsigned row_scan,
                          unsigned columns, uint8_t *dots)
{
    const struct vga_regs *r = &vga->regs;
    uint8_t *at = dots;

    for (unsigned x = 0; x < columns; x++) {
        const uint8_t *quad = fetch(vga, counter + x, 0);
        struct display_cell cell;
        cell_get(vga, quad, &cell);
        unsigned font = text->font[quad[1] >> 3 & 1];
        uint8_t bits = vga->vram[((font + quad[0] * 32u + row_scan) & 0xffff) * 4 + 2];
        bool ninth =
            text->nine && (r->attr[ATTR_MODE] & ATTR_MODE_LINE_GFX) && quad[0] >= 0xc0 && quad[0] <= 0xdf && (bits & 1);
        if ((cell.flags & DISPLAY_UNDERLINE) && row_scan == (r->crtc[CRTC_UNDERLINE] & 0x1f)) {
            bits = 0xff;
            ninth = true;
        }
        if ((cell.flags & DISPLAY_BLINK) && text->blink_hides) {
            bits = 0;
            ninth = false;
        }
        if (text->cursor_on && ((counter + x) & 0xffff) == text->cursor.counter && row_scan >= text->cursor.first &&
            row_scan <= text->cursor.last) {
            bits = 0xff;
            ninth = true;
        }
        for (unsigned i = 0; i < 8; i++)
            *at++ = bits >> (7 - i) & 1 ? cell.foreground : cell.background;
        if (text->nine)
            *at++ = ninth ? cell.foreground : cell.background;
    }
    return (unsigned)(at - dots);
}

/* --- Graphics --- */

static unsigned graphics_line(const struct vga *vga, unsigned counter, unsigned row_scan, unsigned columns,
                              uint8_t *dots)
{
    const struct vga_regs *r = &vga->regs;
    unsigned mode = r->gc[GC_MODE];
    /* The counter may move on only every second or fourth character clock. */
    unsigned shift = r->crtc[CRTC_UNDERLINE] & 0x20 ? 2 : r->crtc[CRTC_MODE] & CRTC_MODE_COUNT2 ? 1 : 0;
    uint8_t *at = dots;

    for (unsigned x = 0; x < columns; x++) {
        const uint8_t *quad = fetch(vga, counter + (x >> shift), row_scan);
        if (mode & GC_MODE_256) {
            for (unsigned i = 0; i < 4; i++, at += 2)
                at[0] = at[1] = quad[i];
        } else if (mode & GC_MODE_CGA) { /* planes 0 and 2, then 1 and 3, two bits a pixel */
            for (unsigned i = 0; i < 8; i++) {
                unsigned s = 6 - 2 * (i & 3);
                *at++ = (quad[i >> 2] >> s & 3) | (quad[2 + (i >> 2)] >> s & 3) << 2;
            }
        } else {
            for (unsigned i = 0; i < 8; i++) {
                unsigned s = 7 - i;
                *at++ =
                    (quad[0] >> s & 1) | (quad[1] >> s & 1) << 1 | (quad[2] >> s & 1) << 2 | (quad[3] >> s & 1) << 3;
            }
        }
    }
    return (unsigned)(at - dots);
}

/* Dots by which horizontal panning moves the line to the left. With nine dots, 8 means none. */
static unsigned pan_dots(const struct vga *vga, bool text_nine)
{
    unsigned pan = vga->regs.attr[ATTR_PAN] & 15;

    if (!is_text(vga) && (vga->regs.gc[GC_MODE] & GC_MODE_256))
        return pan & 6; /* whole pixels of two dots */
    if (text_nine)
        return pan >= 8 ? 0 : pan + 1;
    return pan & 7;
}

unsigned vga_text_row_lines(const struct vga *vga)
{
    struct raster raster;
    unsigned width, height;
    raster_get(vga, &raster);
    vga_render_size((void *)vga, &width, &height);
    bool nine = !(vga->regs.seq[SEQ_CLOCKING] & SEQ_CLOCKING_8DOT);
    bool is_plain =
        !(vga->regs.crtc[CRTC_PRESET_ROW] & 0x1f) && raster.line_compare >= height && pan_dots(vga, nine) == 0;
    return is_plain && is_text(vga) ? text_row_lines(&raster) : 0;
}

/* Rows first up to but without end. The counters run from the screen's top. */
static void vga_draw(struct vga *vga, unsigned width, unsigned first, unsigned end, uint32_t *pixels)
{
    const struct vga_regs *r = &vga->regs;
    struct raster raster;
    struct text_state text = {
        .font = {font_address(vga, false), font_address(vga, true)},
        .nine = is_text(vga) && !(r->seq[SEQ_CLOCKING] & SEQ_CLOCKING_8DOT),
        .blink_hides = !vga_blink_is_on(VGA_BLINK_TEXT_NS),
    };
    bool doubled = r->seq[SEQ_CLOCKING] & SEQ_CLOCKING_HALF;
    unsigned columns = r->crtc[CRTC_HDISP_END] + 1u;
    uint32_t colour[256];
    uint8_t dots[WIDTH_MAX];

    raster_get(vga, &raster);
    cursor_get(vga, &text.cursor);
    text.cursor_on = text.cursor.visible && vga_blink_is_on(VGA_BLINK_CURSOR_NS);
    if (!is_text(vga) && (r->gc[GC_MODE] & GC_MODE_256)) {
        for (unsigned i = 0; i < 256; i++)
            colour[i] = dac_colour(r, (uint8_t)i);
    } else {
        colours16(r, colour);
    }

    unsigned counter = raster.counter_start, row_scan = r->crtc[CRTC_PRESET_ROW] & 0x1f;
    unsigned pan = pan_dots(vga, text.nine);
    bool second = false; /* of the two lines that a doubled line is */
    for (unsigned y = 0; y < end; y++) {
        if (y >= first) {
            if (is_text(vga))
                text_line(vga, &text, counter, row_scan, columns + 1, dots);
            else
                graphics_line(vga, counter, row_scan, columns + 1, dots);
            uint32_t *line = pixels + (size_t)(y - first) * width;
            for (unsigned x = 0; x < width; x++)
                line[x] = colour[dots[(doubled ? x / 2 : x) + pan]];
        }

        if (y == raster.line_compare) {
            counter = row_scan = 0;
            second = false;
            if (r->attr[ATTR_MODE] & ATTR_MODE_PAN_SPLIT)
                pan = 0;
            continue;
        }
        if (raster.double_lines && !second) {
            second = true;
            continue;
        }
        second = false;
        if (row_scan == raster.scan_max) {
            row_scan = 0;
            counter += raster.row_step;
        } else {
            row_scan = (row_scan + 1) & 0x1f;
        }
    }
}

/* --- A card's own modes --- */

static uint32_t expand5(unsigned value)
{
    return value << 3 | value >> 2;
}

static uint32_t expand6(unsigned value)
{
    return value << 2 | value >> 4;
}

static void planar_row(const struct vga *vga, uint32_t first, unsigned width, const uint32_t *colour, uint32_t *out)
{
    for (unsigned x = 0; x < width; x++) {
        uint32_t at = first + x;
        const uint8_t *quad = &vga->vram[at / 8 * 4 & (vga->size - 1)];
        unsigned s = 7 - (at & 7);
        out[x] =
            colour[(quad[0] >> s & 1) | (quad[1] >> s & 1) << 1 | (quad[2] >> s & 1) << 2 | (quad[3] >> s & 1) << 3];
    }
}

static void packed_row(const struct vga *vga, uint32_t first, unsigned bits, unsigned width, const uint32_t *colour,
                       uint32_t *out)
{
    unsigned bytes = (bits + 7) / 8;

    for (unsigned x = 0; x < width; x++) {
        uint32_t at = (first + x * bytes) & (vga->size - 1);
        uint32_t value = 0;
        memcpy(&value, &vga->vram[at], 4); /* the text window lies behind it */
        if (unlikely(at + bytes > vga->size)) {
            for (unsigned i = vga->size - at; i < bytes; i++)
                ((uint8_t *)&value)[i] = vga->vram[at + i - vga->size];
        }
        switch (bits) {
        case 8:
            out[x] = colour[value & 0xff];
            break;
        case 15:
            out[x] = expand5(value >> 10 & 31) << 16 | expand5(value >> 5 & 31) << 8 | expand5(value & 31);
            break;
        case 16:
            out[x] = expand5(value >> 11 & 31) << 16 | expand6(value >> 5 & 63) << 8 | expand5(value & 31);
            break;
        default:
            out[x] = value & 0xffffff;
        }
    }
}

static void picture_draw(const struct vga *vga, const struct vga_picture *picture, unsigned top, unsigned height,
                         uint32_t *pixels)
{
    const struct vga_regs *r = &vga->regs;
    uint32_t colour[256];

    if (picture->bits == 4) {
        colours16(r, colour);
    } else if (picture->palette) {
        for (unsigned i = 0; i < 256; i++) {
            const uint8_t *gun = &picture->palette[3 * i];
            colour[i] = (uint32_t)gun[0] << 16 | (uint32_t)gun[1] << 8 | gun[2];
        }
    } else {
        for (unsigned i = 0; i < 256; i++)
            colour[i] = dac_colour(r, (uint8_t)i);
    }
    for (unsigned y = top; y < top + height; y++, pixels += picture->width) {
        bool is_split = y > picture->split;
        unsigned row = (is_split ? y - picture->split - 1 : y) / picture->repeat;
        uint32_t first = (is_split ? 0 : picture->start) + row * picture->pitch;
        if (picture->bits == 4)
            planar_row(vga, first, picture->width, colour, pixels);
        else
            packed_row(vga, first, picture->bits, picture->width, colour, pixels);
    }
}

void vga_render_size(void *opaque, unsigned *width, unsigned *height)
{
    struct vga *vga = opaque;
    const struct vga_regs *r = &vga->regs;
    struct vga_picture picture;

    if (vga_picture(vga, &picture)) {
        *width = picture.width;
        *height = picture.height;
    } else {
        struct vga_timing t;
        vga_timing(vga, &t);
        unsigned dots = is_text(vga) && !(r->seq[SEQ_CLOCKING] & SEQ_CLOCKING_8DOT) ? 9 : 8;
        *width = (r->crtc[CRTC_HDISP_END] + 1u) * dots * (r->seq[SEQ_CLOCKING] & SEQ_CLOCKING_HALF ? 2 : 1);
        *height = MAX(t.vdisp, 1);
    }
}

bool vga_render_bare_rows(void *opaque, unsigned width, unsigned height, unsigned first, unsigned count,
                          uint32_t *pixels)
{
    struct vga *vga = opaque;
    unsigned now_width, now_height;

    vga_sync(vga);
    vga_render_size(vga, &now_width, &now_height);
    if (now_width != width || now_height != height || first > height || count > height - first)
        return false;
    struct vga_picture picture = {0};
    bool has_picture = vga_picture(vga, &picture);
    if (!has_picture && !vga_is_blank(vga))
        vga_draw(vga, width, first, first + count, pixels);
    else if (!has_picture || picture.is_blank)
        memset(pixels, 0, (size_t)count * width * sizeof(uint32_t));
    else
        picture_draw(vga, &picture, first, count, pixels);
    return true;
}

static bool shows_cursor(const struct vga *vga)
{
    struct vga_picture picture = {0};
    if (!vga->card->overlay)
        return false;
    vga_picture(vga, &picture);
    return !picture.is_blank;
}

void vga_render_overlay(void *opaque, unsigned width, unsigned first, unsigned count, uint32_t *pixels)
{
    const struct vga *vga = opaque;
    if (shows_cursor(vga))
        vga->card->overlay(vga, width, first, count, pixels);
}

bool vga_render_cursor(void *opaque, struct display_cursor *out)
{
    const struct vga *vga = opaque;
    out->width = out->height = 0;
    return !shows_cursor(vga) || vga->card->cursor(vga, out);
}

bool vga_render_rows(void *opaque, unsigned width, unsigned height, unsigned first, unsigned count, uint32_t *pixels)
{
    if (!vga_render_bare_rows(opaque, width, height, first, count, pixels))
        return false;
    vga_render_overlay(opaque, width, first, count, pixels);
    return true;
}

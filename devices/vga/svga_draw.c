/* VMware SVGA II: fills and copies with the sixteen raster operations, the picture, the cursor over it.
 *
 * Copies take a row at a time into a buffer, and rows in the order in which none is overwritten before it was read: so
 * both may overlap.
 */
#include <string.h>

#include "svga.h"

#define ROW_MAX (SVGA_MAX_WIDTH * 4)

/* --- Rectangles --- */

/* How many rows of the screen are in the frame buffer. */
static uint32_t rows_there(const struct svga *s)
{
    uint32_t row = s->regs.width * svga_pixel_bytes(s);
    if (row > s->vga.size)
        return 0;
    return MIN(s->regs.height, (s->vga.size - row) / svga_pitch(s) + 1);
}

static uint32_t cut(uint32_t at, uint32_t length, uint32_t end)
{
    return at >= end ? 0 : MIN(length, end - at);
}

static uint32_t address_of(const struct svga *s, uint32_t x, uint32_t y)
{
    return y * svga_pitch(s) + x * svga_pixel_bytes(s);
}

void svga_fill(struct svga *s, uint32_t colour, uint32_t x, uint32_t y, uint32_t width, uint32_t height, unsigned rop)
{
    width = cut(x, width, s->regs.width);
    height = cut(y, height, rows_there(s));
    if (!width || !height || rop > 15)
        return;
    s->regs.op = (struct svga_op){
        .dst = address_of(s, x, y),
        .step = (int32_t)svga_pitch(s),
        .bytes = width * svga_pixel_bytes(s),
        .rows = height,
        .colour = colour,
        .pixel = (uint8_t)svga_pixel_bytes(s),
        .rop = (uint8_t)rop,
    };
}

void svga_copy(struct svga *s, uint32_t sx, uint32_t sy, uint32_t dx, uint32_t dy, uint32_t width, uint32_t height,
               unsigned rop)
{
    uint32_t lines = rows_there(s);

    width = cut(dx, cut(sx, width, s->regs.width), s->regs.width);
    height = cut(dy, cut(sy, height, lines), lines);
    if (!width || !height || rop > 15)
        return;
    bool is_upward = dy > sy; /* from the last row to the first */
    uint32_t first = is_upward ? height - 1 : 0;
    s->regs.op = (struct svga_op){
        .dst = address_of(s, dx, dy + first),
        .src = address_of(s, sx, sy + first),
        .step = is_upward ? -(int32_t)svga_pitch(s) : (int32_t)svga_pitch(s),
        .bytes = width * svga_pixel_bytes(s),
        .rows = height,
        .pixel = (uint8_t)svga_pixel_bytes(s),
        .rop = (uint8_t)rop,
        .is_copy = 1,
    };
}

/* X11's numbers are truth tables: bit 0 for source and destination both set, bit 1 the source alone, bit 2 the
 * destination alone, bit 3 neither. */
static void combine(uint8_t *dst, const uint8_t *src, uint32_t bytes, unsigned rop)
{
    if (rop == 3) {
        memcpy(dst, src, bytes);
        return;
    }
    uint8_t both = rop & 1 ? 0xff : 0, source = rop & 2 ? 0xff : 0, target = rop & 4 ? 0xff : 0,
            none = rop & 8 ? 0xff : 0;
    for (uint32_t i = 0; i < bytes; i++) {
        uint8_t a = src[i], b = dst[i];
        dst[i] = (uint8_t)((both & a & b) | (source & a & ~b) | (target & ~a & b) | (none & ~a & ~b));
    }
}

uint32_t svga_op_run(struct svga *s, uint32_t budget)
{
    struct svga_op *op = &s->regs.op;
    uint8_t row[ROW_MAX];
    uint32_t done = 0;

    if (op->rows && !op->is_copy) {
        for (uint32_t i = 0; i < op->bytes; i += op->pixel)
            memcpy(row + i, &op->colour, op->pixel);
    }
    while (op->rows && done < budget) {
        if (op->is_copy)
            memcpy(row, s->vga.vram + op->src, op->bytes);
        combine(s->vga.vram + op->dst, row, op->bytes, op->rop);
        done += op->bytes;
        if (--op->rows) {
            op->dst += (uint32_t)op->step;
            op->src += op->is_copy ? (uint32_t)op->step : 0;
        }
    }
    return done;
}

static bool rows_are_inside(const struct svga *s, uint32_t at)
{
    const struct svga_op *op = &s->regs.op;
    int64_t last = at + (int64_t)op->step * (op->rows - 1), end = (int64_t)s->vga.size - op->bytes;
    return at <= end && last >= 0 && last <= end;
}

bool svga_op_is_sane(const struct svga *s)
{
    const struct svga_op *op = &s->regs.op;
    if (!op->rows)
        return true;
    return op->pixel >= 1 && op->pixel <= 4 && op->bytes <= ROW_MAX && op->bytes % op->pixel == 0 && op->rop < 16 &&
           op->is_copy < 2 && op->rows <= SVGA_MAX_HEIGHT && rows_are_inside(s, op->dst) &&
           (!op->is_copy || rows_are_inside(s, op->src));
}

/* --- The picture --- */

bool svga_picture(const struct vga *vga, struct vga_picture *picture)
{
    const struct svga *s = svga_of(vga);

    if (!(s->regs.enable & SVGA_ENABLE_ENABLE))
        return vga_dispi_picture(vga, picture);
    *picture = (struct vga_picture){
        .width = s->regs.width,
        .height = s->regs.height,
        .bits = s->regs.bits,
        .pitch = svga_pitch(s),
        .repeat = 1,
        .is_blank = s->regs.enable & SVGA_ENABLE_HIDE,
        .palette = s->regs.palette,
        .split = UINT32_MAX,
    };
    return true;
}

/* --- The cursor --- */

static bool cursor_is_on(const struct svga *s)
{
    /* CURSOR_ON: 0 hide, 1 show, 2 take out of the frame buffer, 3 put back. */
    return (s->regs.enable & SVGA_ENABLE_ENABLE) && (s->regs.cursor_on & 1) && s->regs.cursor.kind != SVGA_CURSOR_NONE;
}

/* Colours of an alpha cursor come multiplied by it. */
static uint32_t blend(uint32_t over, uint32_t below)
{
    uint32_t rest = 255 - (over >> 24), colour = 0;
    for (unsigned shift = 0; shift < 24; shift += 8) {
        uint32_t gun = (over >> shift & 255) + ((below >> shift & 255) * rest + 127) / 255;
        colour |= MIN(gun, 255) << shift;
    }
    return colour;
}

void svga_overlay(const struct vga *vga, unsigned width, unsigned first, unsigned count, uint32_t *pixels)
{
    const struct svga *s = svga_of(vga);
    const struct svga_cursor *cursor = &s->regs.cursor;

    if (!cursor_is_on(s))
        return;
    int64_t left = (int64_t)(int32_t)s->regs.cursor_x - cursor->hot_x;
    int64_t top = (int64_t)(int32_t)s->regs.cursor_y - cursor->hot_y;
    for (unsigned y = 0; y < cursor->height; y++) {
        int64_t line = top + y - first;
        if (line < 0 || line >= count)
            continue;
        uint32_t *out = &pixels[(size_t)line * width];
        for (unsigned x = 0; x < cursor->width; x++) {
            if (left + x < 0 || left + x >= width)
                continue;
            unsigned i = y * cursor->width + x;
            uint32_t *at = &out[left + x];
            if (cursor->kind == SVGA_CURSOR_ALPHA)
                *at = blend(cursor->xor_mask[i], *at);
            else
                *at = ((*at & cursor->and_mask[i]) ^ cursor->xor_mask[i]) & 0xffffff;
        }
    }
}

bool svga_cursor(const struct vga *vga, struct display_cursor *out)
{
    const struct svga *s = svga_of(vga);
    const struct svga_cursor *cursor = &s->regs.cursor;

    if (!cursor_is_on(s))
        return true;
    if (cursor->hot_x >= cursor->width || cursor->hot_y >= cursor->height)
        return false;
    out->x = (int)((int64_t)(int32_t)s->regs.cursor_x - cursor->hot_x);
    out->y = (int)((int64_t)(int32_t)s->regs.cursor_y - cursor->hot_y);
    out->width = cursor->width;
    out->height = cursor->height;
    out->hot_x = cursor->hot_x;
    out->hot_y = cursor->hot_y;
    for (unsigned i = 0; i < cursor->width * cursor->height; i++) {
        uint32_t and_mask = cursor->and_mask[i] & 0xffffff, xor_mask = cursor->xor_mask[i] & 0xffffff;
        if (cursor->kind == SVGA_CURSOR_ALPHA)
            out->pixels[i] = cursor->xor_mask[i];
        else if (and_mask == 0)
            out->pixels[i] = 0xff000000 | xor_mask;
        else if (and_mask == 0xffffff && xor_mask == 0)
            out->pixels[i] = 0;
        else
            return false;
    }
    return true;
}

unsigned svga_shown(const struct vga *vga, uint8_t bytes[VGA_SHOWN_MAX])
{
    const struct svga *s = svga_of(vga);
    const struct svga_regs *r = &s->regs;
    bool is_on = cursor_is_on(s);
    const uint32_t words[] = {r->enable,
                              r->width,
                              r->height,
                              r->bits,
                              svga_pitch(s),
                              is_on,
                              is_on ? r->cursor_x : 0,
                              is_on ? r->cursor_y : 0,
                              is_on ? s->cursor_serial : 0};
    memcpy(bytes, words, sizeof(words));
    memcpy(bytes + sizeof(words), r->palette, sizeof(r->palette));
    return sizeof(words) + sizeof(r->palette);
}

/* CL-GD5446: the picture of a packed mode, and the hardware cursor over it.
 *
 * CL-GD5446 Technical Reference Manual: SR7, the hidden DAC register, CR1A, CR1B and CR1D, SR10 to SR13.
 */
#include <string.h>

#include "cirrus.h"

#define CURSORS 0x4000u /* the end of memory holds their pictures */

/* SR7 bits 3:1; whether 16 bits are 5:5:5 or 5:6:5 is for the DAC to say. */
static unsigned depth_of(const struct cirrus_regs *r)
{
    switch (r->sr[SR_EXTENDED] & SR_EXTENDED_DEPTH) {
    case 0x02: /* with the clock doubled */
    case 0x06:
        return (r->hidden_dac & 0x0f) == 1 ? 16 : 15;
    case 0x04:
        return 24;
    case 0x08:
        return 32;
    }
    return 8;
}

bool cirrus_picture(const struct vga *vga, struct vga_picture *picture)
{
    const struct cirrus_regs *r = &cirrus_of(vga)->regs;
    const uint8_t *crtc = vga->regs.crtc;
    unsigned overflow = crtc[CRTC_OVERFLOW];

    if (!(r->sr[SR_EXTENDED] & SR_EXTENDED_PACKED) || !(vga->regs.gc[GC_MISC] & GC_MISC_GRAPHICS))
        return false;
    uint32_t start = crtc[CRTC_START_HIGH] << 8 | crtc[CRTC_START_LOW] | (r->cr[CR_1B] & 0x01u) << 16 |
                     (r->cr[CR_1B] & 0x0cu) << 15 | (r->cr[CR_1D] & 0x80u) << 12;
    unsigned lines = (crtc[CRTC_VDISP_END] | (overflow & 0x02) << 7 | (overflow & 0x40) << 3) + 1;
    unsigned repeat = ((crtc[CRTC_MAX_SCAN] & 0x1fu) + 1) << (crtc[CRTC_MAX_SCAN] >> 7);
    *picture = (struct vga_picture){
        .width = (crtc[CRTC_HDISP_END] + 1u) * 8,
        .height = r->cr[CR_1A] & 0x01 ? lines * 2 : lines, /* interlaced */
        .bits = depth_of(r),
        .start = start * 4,
        .pitch = (crtc[CRTC_OFFSET] | (r->cr[CR_1B] & 0x10u) << 4) * 8,
        .repeat = repeat,
        .is_blank = vga_is_blank(vga),
        .split = crtc[CRTC_LINE_COMPARE] | (overflow & 0x10) << 4 | (crtc[CRTC_MAX_SCAN] & 0x40u) << 3,
    };
    return true;
}

/* --- The cursor: two planes of 32 or 64 bits a row --- */

struct cursor {
    unsigned size;
    uint32_t address, row, plane; /* in memory; bytes from a row to the next, and to the other plane */
};

static bool cursor_get(const struct vga *vga, struct cursor *cursor)
{
    const struct cirrus_regs *r = &cirrus_of(vga)->regs;

    if (!(r->sr[SR_CURSOR] & SR_CURSOR_ON) || !(vga->regs.gc[GC_MISC] & GC_MISC_GRAPHICS) || vga_is_blank(vga))
        return false;
    if (r->sr[SR_CURSOR] & SR_CURSOR_64)
        *cursor = (struct cursor){64, CIRRUS_MEMORY - CURSORS + (r->sr[SR_CURSOR_SELECT] & 0x3cu) * 256, 16, 8};
    else
        *cursor = (struct cursor){32, CIRRUS_MEMORY - CURSORS + (r->sr[SR_CURSOR_SELECT] & 0x3fu) * 256, 4, 128};
    return true;
}

static uint32_t cursor_colour(const struct cirrus_regs *r, unsigned entry)
{
    const uint8_t *gun = &r->cursor_palette[3 * entry];
    uint32_t colour = 0;
    for (unsigned i = 0; i < 3; i++)
        colour = colour << 8 | (gun[i] & 0x3fu) << 2 | (gun[i] & 0x3fu) >> 4;
    return colour;
}

/* Plane 1 over plane 0: 0 what is below, 1 that inverted, 2 and 3 the cursor's colours 0 and 15. */
void cirrus_overlay(const struct vga *vga, unsigned width, unsigned first, unsigned count, uint32_t *pixels)
{
    const struct cirrus_regs *r = &cirrus_of(vga)->regs;
    struct cursor cursor;

    if (!cursor_get(vga, &cursor))
        return;
    uint32_t colour[2] = {cursor_colour(r, 0), cursor_colour(r, 15)};
    for (unsigned y = 0; y < cursor.size; y++) {
        unsigned line = r->cursor_y + y;
        if (line < first || line >= first + count)
            continue;
        const uint8_t *row = &vga->vram[cursor.address + y * cursor.row];
        uint32_t *out = &pixels[(size_t)(line - first) * width];
        for (unsigned x = 0; x < cursor.size && r->cursor_x + x < width; x++) {
            unsigned shift = 7 - (x & 7);
            unsigned low = row[x / 8] >> shift & 1, high = row[cursor.plane + x / 8] >> shift & 1;
            if (high)
                out[r->cursor_x + x] = colour[low];
            else if (low)
                out[r->cursor_x + x] ^= 0xffffff;
        }
    }
}

unsigned cirrus_shown(const struct vga *vga, uint8_t bytes[VGA_SHOWN_MAX])
{
    const struct cirrus_regs *r = &cirrus_of(vga)->regs;
    struct vga_picture picture;
    struct cursor cursor;
    unsigned n = 0;

    memset(&picture, 0, sizeof(picture));
    cirrus_picture(vga, &picture);
    const uint32_t mode[] = {picture.width, picture.height, picture.bits,     picture.start,
                             picture.pitch, picture.repeat, picture.is_blank, picture.split};
    memcpy(bytes, mode, sizeof(mode));
    n += sizeof(mode);
    if (!cursor_get(vga, &cursor))
        return n;
    const uint16_t place[] = {r->cursor_x, r->cursor_y, r->sr[SR_CURSOR]};
    memcpy(bytes + n, place, sizeof(place));
    n += sizeof(place);
    memcpy(bytes + n, r->cursor_palette, sizeof(r->cursor_palette));
    n += sizeof(r->cursor_palette);
    unsigned size = cursor.size * cursor.size / 4;
    memcpy(bytes + n, &vga->vram[cursor.address], size);
    return n + size;
}

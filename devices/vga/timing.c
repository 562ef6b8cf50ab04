/* The VGA's picture in time: dots and lines from the CRTC's registers, or those of a VBE mode. */
#include "regs.h"

void vga_timing(const struct vga *vga, struct vga_timing *t)
{
    const struct vga_regs *r = &vga->regs;
    const uint8_t *crtc = r->crtc;
    unsigned overflow = crtc[CRTC_OVERFLOW];
    unsigned width = r->seq[SEQ_CLOCKING] & SEQ_CLOCKING_8DOT ? 8 : 9;

    t->dot_clock = (r->misc >> 2 & 3) == 1 ? 28322000 : 25175000;
    if (r->seq[SEQ_CLOCKING] & SEQ_CLOCKING_HALF)
        t->dot_clock /= 2;
    t->htotal = (crtc[CRTC_HTOTAL] + 5u) * width;
    t->hdisp = (crtc[CRTC_HDISP_END] + 1u) * width;
    t->hsync_start = crtc[CRTC_HSYNC_START] * width;
    t->hsync_end = t->hsync_start + ((crtc[CRTC_HSYNC_END] - crtc[CRTC_HSYNC_START]) & 31u) * width;
    t->vtotal = (crtc[CRTC_VTOTAL] | (overflow & 0x01) << 8 | (overflow & 0x20) << 4) + 2;
    t->vdisp = (crtc[CRTC_VDISP_END] | (overflow & 0x02) << 7 | (overflow & 0x40) << 3) + 1;
    t->vsync_start = crtc[CRTC_VSYNC_START] | (overflow & 0x04) << 6 | (overflow & 0x80) << 2;
    t->vsync_end = t->vsync_start + ((crtc[CRTC_VSYNC_END] - crtc[CRTC_VSYNC_START]) & 15u);
    struct vga_picture picture;
    if (vga_picture(vga, &picture)) {
        t->hdisp = picture.width;
        t->vdisp = picture.height;
        t->htotal = t->hdisp + 160;
        t->vtotal = t->vdisp + 25;
        t->vsync_start = t->vdisp + 3;
        t->vsync_end = t->vsync_start + 4;
        t->dot_clock = 60 * t->htotal * t->vtotal;
    }
    /* A chip nobody has programmed still moves its counters. */
    if (t->htotal < 64 || t->vtotal < 16 || t->vsync_start >= t->vtotal) {
        t->htotal = 800;
        t->hdisp = 640;
        t->vtotal = 449;
        t->vdisp = 400;
        t->vsync_start = 412;
        t->vsync_end = 414;
    }
}

/* The Bochs display interface (DISPI) of a card that has it: an index and data, as in dispi.h. See regs.h. */
#include <string.h>

#include "ioport.h"
#include "regs.h"

static unsigned dispi_line_bytes(unsigned bpp, unsigned width)
{
    return bpp == 4 ? width / 2 : width * ((bpp + 7) / 8);
}

/* Makes the registers fit each other and the memory. */
static void dispi_settle(struct vga *vga)
{
    uint16_t *d = vga->regs.dispi;
    unsigned bpp = d[DISPI_BPP];

    if (bpp != 4 && bpp != 8 && bpp != 15 && bpp != 16 && bpp != 24 && bpp != 32)
        d[DISPI_BPP] = bpp = 8;
    d[DISPI_XRES] = CLAMP(d[DISPI_XRES] & ~7u, 8, DISPI_MAX_XRES);
    if (d[DISPI_VIRT_WIDTH] < d[DISPI_XRES])
        d[DISPI_VIRT_WIDTH] = d[DISPI_XRES];
    d[DISPI_VIRT_WIDTH] = MIN(d[DISPI_VIRT_WIDTH] & ~7u, DISPI_MAX_XRES);
    unsigned line = dispi_line_bytes(bpp, d[DISPI_VIRT_WIDTH]);
    unsigned most = vga->size / line;
    d[DISPI_YRES] = CLAMP(d[DISPI_YRES], 1, MIN(most, DISPI_MAX_YRES));
    d[DISPI_VIRT_HEIGHT] = (uint16_t)MIN(most, 0xffffu);
    if (d[DISPI_Y_OFFSET] > most - d[DISPI_YRES])
        d[DISPI_Y_OFFSET] = most - d[DISPI_YRES];
    /* Smooth scrolling runs over the line's end into the next one; the memory's end is the limit. */
    if (d[DISPI_X_OFFSET] > d[DISPI_VIRT_WIDTH] - d[DISPI_XRES] && d[DISPI_Y_OFFSET] + d[DISPI_YRES] >= most)
        d[DISPI_X_OFFSET] = d[DISPI_VIRT_WIDTH] - d[DISPI_XRES];
}

/* The VGA's registers follow, so that memory at A0000h is what the mode needs and reading them back makes
 * sense: graphics at A0000h, planar for 4 bpp, else linear. */
static void dispi_program_vga(struct vga *vga)
{
    struct vga_regs *r = &vga->regs;
    unsigned bpp = r->dispi[DISPI_BPP];
    unsigned height = r->dispi[DISPI_YRES] - 1u;

    r->gc[GC_MISC] = (r->gc[GC_MISC] & ~0x0e) | 0x05;
    r->crtc[CRTC_MODE] |= 3;
    r->crtc[CRTC_OFFSET] = (uint8_t)(dispi_line_bytes(bpp, r->dispi[DISPI_VIRT_WIDTH]) >> 3);
    r->crtc[CRTC_HDISP_END] = (uint8_t)((r->dispi[DISPI_XRES] >> 3) - 1);
    r->crtc[CRTC_VDISP_END] = (uint8_t)height;
    r->crtc[CRTC_OVERFLOW] =
        (uint8_t)((r->crtc[CRTC_OVERFLOW] & ~0x42) | (height >> 7 & 2) | (height >> 3 & 0x40) | 0x10);
    r->crtc[CRTC_LINE_COMPARE] = 0xff;
    r->crtc[CRTC_MAX_SCAN] = (r->crtc[CRTC_MAX_SCAN] & ~0x9f) | 0x40;
    r->crtc[CRTC_START_HIGH] = r->crtc[CRTC_START_LOW] = 0;
    if (bpp == 4) {
        r->gc[GC_MODE] &= (uint8_t) ~(GC_MODE_256 | GC_MODE_CGA | GC_MODE_ODD_EVEN);
        r->seq[SEQ_MEMORY] = SEQ_MEMORY_EXT | SEQ_MEMORY_SEQ;
    } else {
        r->gc[GC_MODE] = GC_MODE_256;
        r->gc[GC_ENABLE_SR] = r->gc[GC_ROTATE] = 0;
        r->gc[GC_BIT_MASK] = 0xff;
        r->seq[SEQ_MEMORY] = SEQ_MEMORY_EXT | SEQ_MEMORY_SEQ | SEQ_MEMORY_CHAIN4;
    }
    r->seq[SEQ_MAP_MASK] = 0x0f;
    r->seq[SEQ_CLOCKING] = (r->seq[SEQ_CLOCKING] & ~SEQ_CLOCKING_HALF) | SEQ_CLOCKING_8DOT;
}

static void dispi_enable_write(struct vga *vga, uint16_t value)
{
    uint16_t *d = vga->regs.dispi;
    bool was_on = vga_dispi_on(vga);

    vga_sync(vga);
    d[DISPI_ENABLE] = value & (DISPI_ENABLED | DISPI_GETCAPS | DISPI_8BIT_DAC | DISPI_LFB | DISPI_NOCLEAR);
    if (vga_dispi_on(vga) && !was_on) {
        d[DISPI_BANK] = 0;
        d[DISPI_VIRT_WIDTH] = d[DISPI_X_OFFSET] = d[DISPI_Y_OFFSET] = 0;
        dispi_settle(vga);
        dispi_program_vga(vga);
        if (!(value & DISPI_NOCLEAR))
            memset(vga->vram, 0, (size_t)dispi_line_bytes(d[DISPI_BPP], d[DISPI_VIRT_WIDTH]) * d[DISPI_YRES]);
    } else if (!vga_dispi_on(vga)) {
        d[DISPI_BANK] = 0;
    }
    vga_window_update(vga);
}

uint16_t vga_dispi_read(struct vga *vga, unsigned index)
{
    const uint16_t *d = vga->regs.dispi;

    if (d[DISPI_ENABLE] & DISPI_GETCAPS) {
        switch (index) {
        case DISPI_XRES:
            return DISPI_MAX_XRES;
        case DISPI_YRES:
            return DISPI_MAX_YRES;
        case DISPI_BPP:
            return DISPI_MAX_BPP;
        }
    }
    if (index == DISPI_MEMORY)
        return (uint16_t)(vga->size / (64 * KiB));
    return index < DISPI_COUNT ? d[index] : 0;
}

void vga_dispi_write(struct vga *vga, unsigned index, uint16_t value)
{
    uint16_t *d = vga->regs.dispi;

    switch (index) {
    case DISPI_ID:
        if (value >= DISPI_ID_LOWEST && value <= DISPI_ID_HIGHEST)
            d[DISPI_ID] = value;
        break;
    case DISPI_XRES:
    case DISPI_YRES:
    case DISPI_BPP:
    case DISPI_VIRT_WIDTH:
    case DISPI_X_OFFSET:
    case DISPI_Y_OFFSET:
        d[index] = value;
        if (vga_dispi_on(vga)) {
            dispi_settle(vga);
            dispi_program_vga(vga);
            vga_window_update(vga);
        }
        break;
    case DISPI_ENABLE:
        dispi_enable_write(vga, value);
        break;
    case DISPI_BANK:
        d[DISPI_BANK] = (uint16_t)(value & (vga->size / (64 * KiB) - 1));
        vga_window_update(vga);
        break;
    }
}

/* 1CEh index; data at 1CFh and, for machines that want it aligned, at 1D0h. */
static uint32_t dispi_io_read(void *opaque, uint16_t port, unsigned size)
{
    struct vga *vga = opaque;
    return port == DISPI_PORT_INDEX ? vga->regs.dispi_index : vga_dispi_read(vga, vga->regs.dispi_index);
}

static void dispi_io_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct vga *vga = opaque;
    if (port == DISPI_PORT_INDEX)
        vga->regs.dispi_index = (uint16_t)value;
    else
        vga_dispi_write(vga, vga->regs.dispi_index, (uint16_t)value);
}

static const struct io_ops dispi_io = {.widths = 2, .read = dispi_io_read, .write = dispi_io_write};

void vga_dispi_open(struct vga *vga)
{
    ioport_register(DISPI_PORT_INDEX, 4, &dispi_io, vga, "vga-dispi");
}

void vga_dispi_close(void)
{
    ioport_unregister(DISPI_PORT_INDEX, 4);
}

void vga_dispi_reset(struct vga *vga)
{
    vga->regs.dispi[DISPI_ID] = DISPI_ID_HIGHEST;
}

void vga_dispi_after_load(struct vga *vga)
{
    if (vga_dispi_on(vga))
        dispi_settle(vga);
}

/* --- Its modes --- */

bool vga_dispi_picture(const struct vga *vga, struct vga_picture *picture)
{
    const uint16_t *d = vga->regs.dispi;
    unsigned bytes = d[DISPI_BPP] == 4 ? 1 : (d[DISPI_BPP] + 7u) / 8;

    if (!vga_dispi_on(vga))
        return false;
    *picture = (struct vga_picture){
        .width = d[DISPI_XRES],
        .height = d[DISPI_YRES],
        .bits = d[DISPI_BPP],
        .start = (d[DISPI_Y_OFFSET] * (uint32_t)d[DISPI_VIRT_WIDTH] + d[DISPI_X_OFFSET]) * bytes,
        .pitch = d[DISPI_VIRT_WIDTH] * bytes,
        .repeat = 1,
        .split = UINT32_MAX,
    };
    return true;
}

/* VGA: ports 3B0h to 3DFh, the DISPI registers, the PCI card. See vga.h.
 *
 * Index masks and read-back are those of the IBM PS/2 manual; registers it leaves out read as zero.
 */
#include "vga.h"

#include <string.h>

#include "ioport.h"
#include "log.h"
#include "state.h"
#include "vclock.h"
#include "regs.h"

static const uint8_t seq_mask[SEQ_COUNT] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0x00, 0x00, 0x00};
static const uint8_t gc_mask[GC_COUNT] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};
static const uint8_t attr_mask[ATTR_COUNT] = {0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
                                              0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f};

/* --- Timing --- */

static int64_t frame_ns(const struct vga_timing *t)
{
    return (int64_t)t->htotal * t->vtotal * NS_PER_SECOND / t->dot_clock;
}

/* Input status 1: bit 0 blanked (either way), bit 3 vertical retrace. */
static uint8_t status1_read(struct vga *vga)
{
    struct vga_timing t;
    vga_timing(vga, &t);
    int64_t in_frame = vclock_now() % frame_ns(&t);
    uint64_t dot = (uint64_t)in_frame * t.dot_clock / NS_PER_SECOND;
    unsigned line = (unsigned)(dot / t.htotal), column = (unsigned)(dot % t.htotal);
    uint8_t status = 0;

    if (line >= t.vdisp || column >= t.hdisp)
        status |= 0x01;
    if (line >= t.vsync_start && line < t.vsync_end)
        status |= 0x08;
    vga->regs.attr_data = 0;
    return status;
}

/* Input status 0: bit 4 the monitor's sense (a colour monitor loads the DAC's comparators when any gun is
 * bright enough), bit 7 a vertical interrupt that nobody has cleared. */
static uint8_t status0_read(struct vga *vga)
{
    const struct vga_regs *r = &vga->regs;
    const uint8_t *gun = &r->palette[3 * (r->attr[ATTR_OVERSCAN] & r->dac_mask)];
    uint8_t status = gun[0] + gun[1] + gun[2] > 3 * 0x12 ? 0x10 : 0;

    if (r->crtc[CRTC_VSYNC_END] & 0x10) {
        struct vga_timing t;
        vga_timing(vga, &t);
        int64_t frame = frame_ns(&t);
        int64_t sync = (int64_t)t.vdisp * frame / t.vtotal;
        if ((vclock_now() + frame - sync) / frame != (r->vsync_cleared + frame - sync) / frame)
            status |= 0x80;
    }
    return status;
}

/* --- Registers --- */

static void crtc_write(struct vga *vga, uint8_t value)
{
    struct vga_regs *r = &vga->regs;
    unsigned index = r->crtc_index;

    if (index >= CRTC_COUNT)
        return;
    if (r->crtc[CRTC_VSYNC_END] & 0x80 && index <= CRTC_OVERFLOW) {
        if (index == CRTC_OVERFLOW) /* the line compare bit stays open */
            r->crtc[index] = (r->crtc[index] & ~0x10) | (value & 0x10);
        return;
    }
    if (index == CRTC_VSYNC_END && !(value & 0x10))
        r->vsync_cleared = vclock_now();
    r->crtc[index] = value;
}

static void attr_write(struct vga *vga, uint8_t value)
{
    struct vga_regs *r = &vga->regs;

    if (!r->attr_data) {
        r->attr_index = value & 0x3f;
    } else {
        unsigned index = r->attr_index & 0x1f;
        if (index < ATTR_COUNT)
            r->attr[index] = value & attr_mask[index];
    }
    r->attr_data ^= 1;
}

static bool dac_is_8bit(const struct vga *vga)
{
    return vga->regs.dispi[DISPI_ENABLE] & DISPI_8BIT_DAC;
}

static uint8_t dac_read(struct vga *vga)
{
    struct vga_regs *r = &vga->regs;
    uint8_t value = r->palette[3 * r->dac_read + r->dac_phase];

    if (++r->dac_phase == 3) {
        r->dac_phase = 0;
        r->dac_read++;
    }
    return value;
}

static void dac_write(struct vga *vga, uint8_t value)
{
    struct vga_regs *r = &vga->regs;

    if (!dac_is_8bit(vga))
        value &= 0x3f;
    if (r->dac_phase < 2) { /* a colour changes at once, with its third part */
        r->dac_pending[r->dac_phase++] = value;
        return;
    }
    uint8_t *entry = &r->palette[3 * r->dac_write++];
    entry[0] = r->dac_pending[0];
    entry[1] = r->dac_pending[1];
    entry[2] = value;
    r->dac_phase = 0;
}

/* CRTC, feature control and status are at 3Dxh, or at 3Bxh for monochrome. */
static bool port_is_deaf(const struct vga *vga, uint16_t port)
{
    if (port >= 0x3c0 && port <= 0x3cf)
        return false;
    return (port >= 0x3d0) != (vga->regs.misc & 1);
}

static uint8_t vga_port_read(struct vga *vga, uint16_t port)
{
    struct vga_regs *r = &vga->regs;

    if (port_is_deaf(vga, port))
        return 0xff;
    switch (port) {
    case 0x3c0:
        return r->attr_index;
    case 0x3c1:
        return (r->attr_index & 0x1f) < ATTR_COUNT ? r->attr[r->attr_index & 0x1f] : 0;
    case 0x3c2:
        return status0_read(vga);
    case 0x3c4:
        return r->seq_index;
    case 0x3c5:
        return r->seq_index < SEQ_COUNT ? r->seq[r->seq_index] : 0;
    case 0x3c6:
        return r->dac_mask;
    case 0x3c7:
        return r->dac_state;
    case 0x3c8:
        return r->dac_write;
    case 0x3c9:
        return dac_read(vga);
    case 0x3ca:
        return r->feature;
    case 0x3cc:
        return r->misc;
    case 0x3ce:
        return r->gc_index;
    case 0x3cf:
        return r->gc_index < GC_COUNT ? r->gc[r->gc_index] : 0;
    case 0x3b4:
    case 0x3d4:
        return r->crtc_index;
    case 0x3b5:
    case 0x3d5:
        if (r->crtc_index == 0x22) /* the latch that read map select names */
            return r->latch[r->gc[GC_READ_MAP]];
        if (r->crtc_index == 0x24) /* the attribute flip-flop */
            return r->attr_data << 7;
        return r->crtc_index < CRTC_COUNT ? r->crtc[r->crtc_index] : 0;
    case 0x3ba:
    case 0x3da:
        return status1_read(vga);
    }
    return 0xff;
}

static void vga_port_write(struct vga *vga, uint16_t port, uint8_t value)
{
    struct vga_regs *r = &vga->regs;

    if (port_is_deaf(vga, port))
        return;
    switch (port) {
    case 0x3c0:
    case 0x3c1:
        attr_write(vga, value);
        break;
    case 0x3c2:
        r->misc = value & 0xef;
        vga_window_update(vga);
        break;
    case 0x3c4:
        r->seq_index = value & 7;
        break;
    case 0x3c5:
        r->seq[r->seq_index] = value & seq_mask[r->seq_index];
        if (r->seq_index == SEQ_MAP_MASK || r->seq_index == SEQ_MEMORY)
            vga_window_update(vga);
        break;
    case 0x3c6:
        r->dac_mask = value;
        break;
    case 0x3c7:
        r->dac_read = value;
        r->dac_phase = 0;
        r->dac_state = 3;
        break;
    case 0x3c8:
        r->dac_write = value;
        r->dac_phase = 0;
        r->dac_state = 0;
        break;
    case 0x3c9:
        dac_write(vga, value);
        break;
    case 0x3ce:
        r->gc_index = value & 15;
        break;
    case 0x3cf:
        if (r->gc_index < GC_COUNT) {
            r->gc[r->gc_index] = value & gc_mask[r->gc_index];
            vga_window_update(vga);
        }
        break;
    case 0x3b4:
    case 0x3d4:
        r->crtc_index = value & 0x3f;
        break;
    case 0x3b5:
    case 0x3d5:
        crtc_write(vga, value);
        break;
    case 0x3ba:
    case 0x3da:
        r->feature = value & 0x10;
        break;
    }
}

static uint32_t vga_io_read(void *opaque, uint16_t port, unsigned size)
{
    return vga_port_read(opaque, port);
}

static void vga_io_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    vga_port_write(opaque, port, (uint8_t)value);
}

static const struct io_ops vga_io = {.widths = 1, .read = vga_io_read, .write = vga_io_write};

/* --- DISPI --- */

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
    unsigned most = (unsigned)(VGA_MEMORY / line);
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

static uint16_t dispi_read(struct vga *vga, unsigned index)
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
        return VGA_MEMORY / (64 * KiB);
    return index < DISPI_COUNT ? d[index] : 0;
}

static void dispi_write(struct vga *vga, unsigned index, uint16_t value)
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
        d[DISPI_BANK] = value & (VGA_MEMORY / (64 * KiB) - 1);
        vga_window_update(vga);
        break;
    }
}

/* 1CEh index; data at 1CFh and, for machines that want it aligned, at 1D0h. */
static uint32_t dispi_io_read(void *opaque, uint16_t port, unsigned size)
{
    struct vga *vga = opaque;
    return port == DISPI_PORT_INDEX ? vga->regs.dispi_index : dispi_read(vga, vga->regs.dispi_index);
}

static void dispi_io_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct vga *vga = opaque;
    if (port == DISPI_PORT_INDEX)
        vga->regs.dispi_index = (uint16_t)value;
    else
        dispi_write(vga, vga->regs.dispi_index, (uint16_t)value);
}

static const struct io_ops dispi_io = {.widths = 2, .read = dispi_io_read, .write = dispi_io_write};

/* --- PCI: BAR0 memory, BAR2 registers, ROM --- */

/* BAR2: ports 3C0h to 3DFh at 400h, DISPI registers at 500h. */
static uint64_t regs_read(void *opaque, uint32_t offset, unsigned size)
{
    struct vga *vga = opaque;
    uint64_t value = 0;

    if (offset >= 0x500 && offset + size <= 0x500 + 2 * DISPI_COUNT && size >= 2) {
        for (unsigned i = 0; i < size; i += 2)
            value |= (uint64_t)dispi_read(vga, (offset - 0x500 + i) / 2) << (8 * i);
    } else if (offset >= 0x400 && offset + size <= 0x420) {
        for (unsigned i = 0; i < size; i++)
            value |= (uint64_t)vga_port_read(vga, (uint16_t)(offset + i - 0x400 + 0x3c0)) << (8 * i);
    }
    return value;
}

static void regs_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    struct vga *vga = opaque;

    if (offset >= 0x500 && offset + size <= 0x500 + 2 * DISPI_COUNT && size >= 2) {
        for (unsigned i = 0; i < size; i += 2)
            dispi_write(vga, (offset - 0x500 + i) / 2, (uint16_t)(value >> (8 * i)));
    } else if (offset >= 0x400 && offset + size <= 0x420) {
        for (unsigned i = 0; i < size; i++)
            vga_port_write(vga, (uint16_t)(offset + i - 0x400 + 0x3c0), (uint8_t)(value >> (8 * i)));
    }
}

static const struct mmio_ops regs_ops = {regs_read, regs_write};

static void frame_buffer_moved(void *opaque, uint32_t base, bool mapped)
{
    struct vga *vga = opaque;
    if (mapped)
        mem_map_block(base, VGA_MEMORY, vga->memory, 0, false, "vga-lfb");
    else
        mem_remove_mmio(base);
}

/* The expansion ROM follows its own enable bit and the memory bit of the command register. */
static void rom_update(struct vga *vga)
{
    uint32_t bar, base = 0;

    memcpy(&bar, &vga->dev.config[PCI_ROM_BAR], 4);
    if ((bar & 1) && (vga->dev.config[PCI_COMMAND] & PCI_COMMAND_MEMORY))
        base = bar & ~0x7ffu;
    if (base == vga->rom_base)
        return;
    if (vga->rom_base)
        mem_remove_mmio(vga->rom_base);
    vga->rom_base = 0;
    if (base && (uint64_t)base + vga->rom->size <= 0xfffff000u && mem_is_free(base, vga->rom->size)) {
        mem_map_block(base, vga->rom->size, vga->rom, 0, true, "vga-rom");
        vga->rom_base = base;
    }
}

static void vga_config_written(struct pci_device *dev, uint8_t offset, unsigned size)
{
    struct vga *vga = dev->opaque;
    if (vga->rom)
        rom_update(vga);
}

static bool vga_plug(struct vga *vga, uint8_t devfn, const uint8_t *rom, uint32_t rom_size, GError **error)
{
    struct pci_device *dev = &vga->dev;
    static const uint8_t subsystem[4] = {0xf4, 0x1a, 0x00, 0x11}; /* 1AF4:1100, as QEMU's cards */

    pci_device_init(dev, "vga", 0x1234, 0x1111, 0x030000, 2);
    memcpy(&dev->config[PCI_SUBSYSTEM], subsystem, 4);
    pci_add_ram_bar(dev, 0, VGA_MEMORY, frame_buffer_moved, vga);
    pci_add_mmio_bar(dev, 2, PAGE_SIZE, &regs_ops, vga);
    dev->config_written = vga_config_written;
    dev->opaque = vga;
    if (rom) {
        uint32_t size = PAGE_SIZE;
        while (size < rom_size)
            size *= 2;
        vga->rom = mem_block_new(size, error);
        if (!vga->rom)
            return false;
        memset(vga->rom->host, 0xff, size);
        memcpy(vga->rom->host, rom, rom_size);
        uint32_t writable = ~(size - 1) | 1;
        memcpy(&dev->writable[PCI_ROM_BAR], &writable, 4);
    }
    pci_plug(vga->pci, dev, devfn);
    return true;
}

/* --- Life --- */

static void vga_reset(void *opaque)
{
    struct vga *vga = opaque;
    struct vga_regs *r = &vga->regs;

    vga_sync(vga);
    memset(r, 0, sizeof(*r));
    r->dac_mask = 0xff;
    r->dispi[DISPI_ID] = DISPI_ID_HIGHEST;
    vga_window_update(vga);
    mem_block_clear(vga->memory, VGA_MEMORY);
    if (vga->pci) {
        pci_device_reset(&vga->dev);
        if (vga->rom)
            rom_update(vga);
    }
}

static const struct state_field vga_fields[] = {
    STATE_FIELD(vga_regs, misc),          STATE_FIELD(vga_regs, feature),     STATE_FIELD(vga_regs, seq_index),
    STATE_FIELD(vga_regs, seq),           STATE_FIELD(vga_regs, crtc_index),  STATE_FIELD(vga_regs, crtc),
    STATE_FIELD(vga_regs, gc_index),      STATE_FIELD(vga_regs, gc),          STATE_FIELD(vga_regs, attr_index),
    STATE_FIELD(vga_regs, attr_data),     STATE_FIELD(vga_regs, attr),        STATE_FIELD(vga_regs, dac_mask),
    STATE_FIELD(vga_regs, dac_state),     STATE_FIELD(vga_regs, dac_read),    STATE_FIELD(vga_regs, dac_write),
    STATE_FIELD(vga_regs, dac_phase),     STATE_FIELD(vga_regs, dac_pending), STATE_FIELD(vga_regs, palette),
    STATE_FIELD(vga_regs, latch),         STATE_FIELD(vga_regs, dispi_index), STATE_FIELD(vga_regs, dispi),
    STATE_FIELD(vga_regs, vsync_cleared),
};
static const struct state_layout vga_layout = {1, G_N_ELEMENTS(vga_fields), vga_fields, sizeof(struct vga_regs)};

static void vga_before_save(void *opaque)
{
    vga_sync(opaque);
}

static void vga_pieces(void *opaque, struct state_pieces *pieces)
{
    struct vga *vga = opaque;
    state_add_memory(pieces, "vram", vga->memory, VGA_MEMORY);
}

static void vga_before_load(void *opaque)
{
    struct vga *vga = opaque;
    vga_sync(vga);
    vga_window_remove(vga);
}

/* What a guest cannot have written must not come from a file either. */
static bool vga_regs_are_sane(const struct vga_regs *r)
{
    return r->seq_index < SEQ_COUNT && r->gc_index < 16 && r->dac_phase < 3 && r->attr_data < 2 &&
           r->gc[GC_READ_MAP] < 4 && r->dispi[DISPI_BANK] < VGA_MEMORY / (64 * KiB);
}

static bool vga_after_load(void *opaque)
{
    struct vga *vga = opaque;

    if (!vga_regs_are_sane(&vga->regs))
        return false;
    if (vga_dispi_on(vga))
        dispi_settle(vga);
    vga_window_update(vga);
    return true;
}

static void dump_row(GString *out, const char *name, const uint8_t *value, unsigned count)
{
    g_string_append_printf(out, " %s:", name);
    for (unsigned i = 0; i < count; i++)
        g_string_append_printf(out, " %02x", value[i]);
    g_string_append_c(out, '\n');
}

static void vga_dump(void *opaque, GString *out)
{
    struct vga *vga = opaque;
    const struct vga_regs *r = &vga->regs;
    static const char *const window[] = {"mmio", "linear", "text"};

    g_string_append_printf(out, "vga: misc=%02x window=%s dac_mask=%02x pas=%d\n", r->misc, window[vga->window],
                           r->dac_mask, !!(r->attr_index & ATTR_INDEX_PAS));
    dump_row(out, "seq", r->seq, 5);
    dump_row(out, "crtc", r->crtc, CRTC_COUNT);
    dump_row(out, "gc", r->gc, GC_COUNT);
    dump_row(out, "attr", r->attr, ATTR_COUNT);
    if (vga_dispi_on(vga))
        g_string_append_printf(out, " dispi: %ux%ux%u enable=%02x bank=%u virtual=%u offset=%u,%u\n",
                               r->dispi[DISPI_XRES], r->dispi[DISPI_YRES], r->dispi[DISPI_BPP], r->dispi[DISPI_ENABLE],
                               r->dispi[DISPI_BANK], r->dispi[DISPI_VIRT_WIDTH], r->dispi[DISPI_X_OFFSET],
                               r->dispi[DISPI_Y_OFFSET]);
}

static const struct {
    uint16_t first, count;
} port_ranges[] = {{0x3b4, 2}, {0x3ba, 1}, {0x3c0, 16}, {0x3d4, 2}, {0x3da, 1}};

struct vga *vga_new(struct pci_bus *pci, uint8_t devfn, const uint8_t *rom, uint32_t rom_size, GError **error)
{
    struct vga *vga = g_new0(struct vga, 1);

    vga->memory = mem_block_new(VGA_MEMORY + VGA_TEXT_SIZE, error);
    if (!vga->memory) {
        g_free(vga);
        return NULL;
    }
    vga->vram = vga->memory->host;
    vga->text = vga->vram + VGA_MEMORY;
    vga->display = (struct display){vga_render_text, vga_render_size, vga_render_rows, vga_serial, vga};
    vga->pci = pci;
    if (pci && !vga_plug(vga, devfn, rom, rom_size, error)) {
        g_free(vga);
        return NULL;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(port_ranges); i++)
        ioport_register(port_ranges[i].first, port_ranges[i].count, &vga_io, vga, "vga");
    ioport_register(DISPI_PORT_INDEX, 4, &dispi_io, vga, "vga-dispi");
    vga_window_update(vga);
    vga_reset(vga);
    return vga;
}

void vga_free(struct vga *vga)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(port_ranges); i++)
        ioport_unregister(port_ranges[i].first, port_ranges[i].count);
    ioport_unregister(DISPI_PORT_INDEX, 4);
    vga_window_remove(vga);
    if (vga->rom_base)
        mem_remove_mmio(vga->rom_base);
    if (vga->pci)
        pci_unplug(&vga->dev);
    vga_seen_free(vga);
    g_free(vga);
}

const struct display *vga_display(struct vga *vga)
{
    return &vga->display;
}

/* --- As a device --- */

#define ROM_MAX (256 * KiB)

struct vga_config {
    const char *romfile;
};

static const struct property vga_properties[] = {
    PROPERTY(vga_config, romfile, "romfile", PROPERTY_STRING, 0, NULL, "video BIOS in a file instead of ours"),
    PROPERTY_END,
};

static void *vga_create(const struct device_site *site, const void *config, GError **error)
{
    const struct vga_config *wanted = config;
    const struct board_rom *own = board_service(site->board, "vga-rom");
    char *file = NULL;
    gsize size = 0;

    if (board_service(site->board, "display")) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: there is a VGA already; -vga none leaves it out",
                    site->id);
        return NULL;
    }
    if (wanted->romfile && !g_file_get_contents(wanted->romfile, &file, &size, error))
        return NULL;
    if (file && (size < 512 || size > ROM_MAX)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "VGA.romfile: '%s' is not a video BIOS (%zu bytes)",
                    wanted->romfile, (size_t)size);
        g_free(file);
        return NULL;
    }
    struct vga *vga =
        file ? vga_new(board_service(site->board, "pci"), (uint8_t)site->unit, (uint8_t *)file, (uint32_t)size, error)
             : vga_new(board_service(site->board, "pci"), (uint8_t)site->unit, own ? own->bytes : NULL,
                       own ? own->size : 0, error);
    g_free(file);
    if (vga)
        board_provide(site->board, "display", (void *)vga_display(vga));
    return vga;
}

static void vga_destroy(void *dev)
{
    vga_free(dev);
}

const struct device_class vga_class = {
    .name = "VGA",
    .info = "vga",
    .help = "VGA with the Bochs VBE interface and 16 MiB",
    .bus = BUS_PCI,
    .devfn = -1,
    .properties = vga_properties,
    .config_size = sizeof(struct vga_config),
    .create = vga_create,
    .destroy = vga_destroy,
    .reset = vga_reset,
    .layout = &vga_layout,
    .regs_offset = offsetof(struct vga, regs),
    .pieces = vga_pieces,
    .before_save = vga_before_save,
    .before_load = vga_before_load,
    .after_load = vga_after_load,
    .dump = vga_dump,
};
DEVICE_CLASS(vga_class);

static void *isa_vga_create(const struct device_site *site, const void *config, GError **error)
{
    const struct board_rom *own = board_service(site->board, "vga-rom");
    struct vga *vga = vga_new(NULL, 0, NULL, 0, error);
    if (!vga)
        return NULL;
    if (own)
        mem_set_isa_rom(MEM_ISA_ROM, own->bytes, own->size);
    board_provide(site->board, "display", (void *)vga_display(vga));
    return vga;
}

static const struct device_class isa_vga_class = {
    .name = "isa-vga",
    .info = "vga",
    .help = "VGA of a board without PCI: no linear frame buffer",
    .bus = BUS_ISA,
    .internal = true,
    .create = isa_vga_create,
    .destroy = vga_destroy,
    .reset = vga_reset,
    .layout = &vga_layout,
    .regs_offset = offsetof(struct vga, regs),
    .pieces = vga_pieces,
    .before_save = vga_before_save,
    .before_load = vga_before_load,
    .after_load = vga_after_load,
    .dump = vga_dump,
};
DEVICE_CLASS(isa_vga_class);

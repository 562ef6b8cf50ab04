/* Cirrus Logic CL-GD5446 on PCI, 1013:00B8: extension registers, the card. As QEMU's "cirrus-vga".
 *
 * CL-GD5446 Technical Reference Manual (1996). Registers that this leaves out keep what is written and do nothing: the
 * clock synthesizers (the picture comes at 60 Hz), the EEPROM and DDC lines, the video port and its window.
 */
#include "cirrus.h"

#include <string.h>

#include "ioport.h"
#include "vclock.h"

#define CR_GRAPHICS_LATCH 0x22
#define CR_ATTR_STATE     0x24
#define CR_ATTR_INDEX     0x26
#define CR_ID             0x27
#define ID_5446           0xb8

#define BAR0_SIZE (32 * MiB)

/* Extension registers are written only behind the key in SR6. */
static bool is_unlocked(const struct cirrus_regs *r)
{
    return r->sr[SR_UNLOCK] == SR_UNLOCK_KEY;
}

/* --- Sequencer --- */

static bool sr_is_cursor_place(unsigned index, unsigned reg)
{
    return (index & 0x1f) == reg;
}

static uint8_t sr_read(const struct cirrus_regs *r)
{
    if (sr_is_cursor_place(r->sr_index, SR_CURSOR_X) || sr_is_cursor_place(r->sr_index, SR_CURSOR_Y))
        return r->sr[r->sr_index & 0x1f];
    return r->sr_index < SR_COUNT ? r->sr[r->sr_index] : 0xff;
}

static void sr_write(struct cirrus *c, uint8_t value)
{
    struct cirrus_regs *r = &c->regs;
    unsigned index = r->sr_index;

    if (index == SR_UNLOCK) {
        r->sr[SR_UNLOCK] = (value & 0x17) == SR_UNLOCK_KEY ? SR_UNLOCK_KEY : SR_UNLOCK_LOCKED;
        return;
    }
    if (!is_unlocked(r))
        return;
    if (sr_is_cursor_place(index, SR_CURSOR_X)) { /* the index has the lower bits */
        r->sr[SR_CURSOR_X] = value;
        r->cursor_x = (uint16_t)(value << 3 | index >> 5);
    } else if (sr_is_cursor_place(index, SR_CURSOR_Y)) {
        r->sr[SR_CURSOR_Y] = value;
        r->cursor_y = (uint16_t)(value << 3 | index >> 5);
    } else if (index == SR_CONFIG) {
        r->sr[SR_CONFIG] = (r->sr[SR_CONFIG] & 0x38) | (value & 0xc7); /* bits 5 to 3: the bus it is on */
        cirrus_mem_update(c);
    } else if (index < SR_COUNT) {
        r->sr[index] = value;
        if (index == SR_EXTENDED)
            cirrus_mem_update(c);
    }
}

/* --- Graphics controller --- */

uint8_t cirrus_gr_read(const struct cirrus *c, unsigned index)
{
    const struct cirrus_regs *r = &c->regs;

    if (index >= GR_COUNT)
        return 0xff;
    if (index == GR_BLT_START && r->blt_state != BLT_IDLE)
        return r->gr[index] | BLT_START_BUSY | BLT_START_PROGRESS | (r->blt_is_next ? BLT_START_BUFFERED : 0);
    return r->gr[index];
}

static void blt_start_write(struct cirrus *c, uint8_t value)
{
    struct cirrus_regs *r = &c->regs;
    uint8_t before = r->gr[GR_BLT_START];

    r->gr[GR_BLT_START] = (value & (BLT_START_RESET | BLT_START_AUTOSTART | 0x60)) | (before & BLT_START_START);
    if (value & BLT_START_RESET)
        cirrus_blt_reset(c);
    else if ((value & BLT_START_START) && c->has_blitter)
        cirrus_blt_start(c);
}

/* The VGA's own and the extensions, which is what the blitter's registers in memory reach, too. */
void cirrus_gr_write(struct cirrus *c, unsigned index, uint8_t value)
{
    static const struct {
        uint8_t index, mask;
    } masks[] = {{GR_MODE, 0x7f},           {GR_BLT_WIDTH + 1, 0x1f},  {GR_BLT_HEIGHT + 1, 0x07},
                 {GR_BLT_DPITCH + 1, 0x1f}, {GR_BLT_SPITCH + 1, 0x1f}, {GR_BLT_DEST + 2, 0x3f},
                 {GR_BLT_SOURCE + 2, 0x3f}};
    struct cirrus_regs *r = &c->regs;

    if (index >= GR_COUNT)
        return;
    if (index == GR_BLT_START) {
        blt_start_write(c, value);
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(masks); i++) {
        if (masks[i].index == index)
            value &= masks[i].mask;
    }
    bool is_new = r->gr[index] != value;
    r->gr[index] = value;
    switch (index) {
    case GR_BACK: /* four bits of them are the VGA's set/reset */
    case GR_FORE:
        c->vga.regs.gc[index] = value & 0x0f;
        break;
    case GR_MODE:
    case GR_EXTENSION:
        if (is_new)
            cirrus_mem_update(c);
        if (is_new && index == GR_EXTENSION)
            cirrus_bank_changed(c);
        break;
    case GR_OFFSET0:
    case GR_OFFSET1:
        if (is_new)
            cirrus_bank_changed(c);
        break;
    case GR_BLT_DEST + 2:
        if ((r->gr[GR_BLT_START] & BLT_START_AUTOSTART) && c->has_blitter)
            cirrus_blt_start(c);
        break;
    }
}

/* --- DAC --- */

/* The fifth access in a row to 3C6h is the hidden register's, if the four before were reads. */
static uint8_t dac_mask_read(struct cirrus *c)
{
    struct cirrus_regs *r = &c->regs;

    if (r->hidden_dac_count == 4) {
        r->hidden_dac_count = 0;
        return r->hidden_dac;
    }
    r->hidden_dac_count++;
    return c->vga.regs.dac_mask;
}

static bool dac_mask_write(struct cirrus *c, uint8_t value)
{
    struct cirrus_regs *r = &c->regs;
    bool is_hidden = r->hidden_dac_count == 4;

    r->hidden_dac_count = 0;
    if (is_hidden)
        r->hidden_dac = value;
    return is_hidden;
}

/* SR12 bit 1: the data register reaches sixteen colours of the cursor's instead of the palette. */
static uint8_t cursor_palette_read(struct cirrus *c)
{
    struct vga_regs *v = &c->vga.regs;
    uint8_t value = c->regs.cursor_palette[3 * (v->dac_read & 15) + v->dac_phase];

    if (++v->dac_phase == 3) {
        v->dac_phase = 0;
        v->dac_read++;
    }
    return value;
}

static void cursor_palette_write(struct cirrus *c, uint8_t value)
{
    struct vga_regs *v = &c->vga.regs;

    if (v->dac_phase < 2) {
        v->dac_pending[v->dac_phase++] = value & 0x3f;
        return;
    }
    uint8_t *entry = &c->regs.cursor_palette[3 * (v->dac_write++ & 15)];
    entry[0] = v->dac_pending[0];
    entry[1] = v->dac_pending[1];
    entry[2] = value & 0x3f;
    v->dac_phase = 0;
}

/* --- Ports --- */

static bool cr_read(const struct cirrus *c, uint8_t *value)
{
    unsigned index = c->vga.regs.crtc_index;

    switch (index) {
    case CR_GRAPHICS_LATCH:
    case CR_ATTR_STATE:
        return false;
    case CR_ATTR_INDEX:
        *value = c->vga.regs.attr_index & 0x3f;
        return true;
    case CR_ID:
        *value = ID_5446;
        return true;
    }
    if (index < CR_EXTRA)
        return false;
    *value = index < CR_COUNT ? c->regs.cr[index] : 0xff;
    return true;
}

static bool port_read(struct vga *vga, uint16_t port, uint8_t *value)
{
    struct cirrus *c = cirrus_of(vga);
    struct cirrus_regs *r = &c->regs;

    if (port >= 0x3c7 && port <= 0x3c9)
        r->hidden_dac_count = 0;
    switch (port) {
    case 0x3c4:
        *value = r->sr_index;
        return true;
    case 0x3c5:
        if (r->sr_index <= SEQ_MEMORY)
            return false;
        *value = sr_read(r);
        return true;
    case 0x3c6:
        *value = dac_mask_read(c);
        return true;
    case 0x3c9:
        if (!(r->sr[SR_CURSOR] & SR_CURSOR_PALETTE))
            return false;
        *value = cursor_palette_read(c);
        return true;
    case 0x3ce:
        *value = r->gr_index;
        return true;
    case 0x3cf:
        if (r->gr_index < GC_COUNT && r->gr_index != GR_FORE && r->gr_index != GR_BACK && r->gr_index != GR_MODE)
            return false;
        *value = cirrus_gr_read(c, r->gr_index);
        return true;
    case 0x3b5:
    case 0x3d5:
        return cr_read(c, value);
    }
    return false;
}

static bool port_write(struct vga *vga, uint16_t port, uint8_t value)
{
    struct cirrus *c = cirrus_of(vga);
    struct cirrus_regs *r = &c->regs;

    if (port >= 0x3c7 && port <= 0x3c9)
        r->hidden_dac_count = 0;
    switch (port) {
    case 0x3c4:
        r->sr_index = value;
        return false;
    case 0x3c5:
        if (r->sr_index <= SEQ_MEMORY)
            return false;
        sr_write(c, value);
        return true;
    case 0x3c6:
        return dac_mask_write(c, value);
    case 0x3c9:
        if (!(r->sr[SR_CURSOR] & SR_CURSOR_PALETTE))
            return false;
        cursor_palette_write(c, value);
        return true;
    case 0x3ce:
        r->gr_index = value;
        return false;
    case 0x3cf:
        if (r->gr_index >= GC_COUNT && !is_unlocked(r))
            return true;
        cirrus_gr_write(c, r->gr_index, value);
        return r->gr_index >= GC_COUNT;
    case 0x3b5:
    case 0x3d5:
        if (vga->regs.crtc_index < CR_EXTRA)
            return false;
        if (vga->regs.crtc_index < CR_COUNT && is_unlocked(r))
            r->cr[vga->regs.crtc_index] = value;
        return true;
    }
    return false;
}

static const struct vga_card cirrus_card = {
    .read = port_read,
    .write = port_write,
    .picture = cirrus_picture,
    .overlay = cirrus_overlay,
    .window = cirrus_window,
    .shown = cirrus_shown,
};

/* --- Life --- */

static void cirrus_reset(void *opaque)
{
    struct cirrus *c = opaque;
    struct cirrus_regs *r = &c->regs;
    /* The synthesizers' numerators and denominators as the manual has them after reset: 25.2, 28.3, 41.2, 36.1 MHz. */
    static const uint8_t clocks[4][2] = {{0x66, 0x3b}, {0x5b, 0x2f}, {0x45, 0x30}, {0x7e, 0x33}};

    memset(r, 0, sizeof(*r));
    r->sr[SR_UNLOCK] = SR_UNLOCK_LOCKED;
    r->sr[0x0f] = 0x98;      /* two banks of 2 MiB */
    r->sr[0x15] = 0x04;      /* 4 MiB */
    r->sr[SR_CONFIG] = 0x20; /* PCI */
    r->sr[0x1f] = 0x2d;      /* memory clock */
    for (unsigned i = 0; i < G_N_ELEMENTS(clocks); i++) {
        r->sr[0x0b + i] = clocks[i][0];
        r->sr[0x1b + i] = clocks[i][1];
    }
    r->gr[0x18] = 0x0f;
    c->window_is_plain = false;
    c->lfb_is_plain = true;
    cirrus_blt_arm(c);
    vga_reset(&c->vga);
    cirrus_mem_update(c);
    pci_device_reset(&c->vga.dev);
}

/* layouts: the VGA's registers are a piece of their own */
static const struct state_field cirrus_fields[] = {
    STATE_FIELD(cirrus_regs, sr_index),
    STATE_FIELD(cirrus_regs, sr),
    STATE_FIELD(cirrus_regs, gr_index),
    STATE_FIELD(cirrus_regs, gr),
    STATE_FIELD(cirrus_regs, cr),
    STATE_FIELD(cirrus_regs, hidden_dac),
    STATE_FIELD(cirrus_regs, hidden_dac_count),
    STATE_FIELD(cirrus_regs, cursor_palette),
    STATE_FIELD(cirrus_regs, cursor_x),
    STATE_FIELD(cirrus_regs, cursor_y),
    STATE_FIELD(cirrus_regs, latch),
    STATE_FIELD(cirrus_regs, blt_state),
    STATE_FIELD(cirrus_regs, blt_is_next),
    STATE_FIELD(cirrus_regs, blt),
    STATE_FIELD(cirrus_regs, blt_next),
    STATE_FIELD(cirrus_regs, cpu_size),
    STATE_FIELD(cirrus_regs, cpu_filled),
    STATE_FIELD(cirrus_regs, cpu_bytes),
};
static const struct state_layout cirrus_layout = STATE_LAYOUT(1, cirrus_regs, cirrus_fields);

static void cirrus_before_save(void *opaque)
{
    struct cirrus *c = opaque;
    vga_sync(&c->vga);
}

static void cirrus_pieces(void *opaque, struct state_pieces *pieces)
{
    struct cirrus *c = opaque;
    state_add(pieces, "vga", 0, &vga_layout, &c->vga.regs);
    state_add(pieces, "cirrus", 0, &cirrus_layout, &c->regs);
    state_add_memory(pieces, "vram", c->vga.memory, CIRRUS_MEMORY);
}

/* The linear frame buffer stays as it is until what is to be at its address is known. */
static void cirrus_before_load(void *opaque)
{
    vga_before_load(opaque);
}

static bool regs_are_sane(const struct cirrus *c)
{
    const struct cirrus_regs *r = &c->regs;
    const uint16_t *dispi = c->vga.regs.dispi;

    for (unsigned i = 0; i < DISPI_COUNT; i++) {
        if (dispi[i])
            return false;
    }
    return vga_regs_are_sane(&c->vga) && r->hidden_dac_count <= 4 && r->cursor_x < 2048 && r->cursor_y < 2048 &&
           cirrus_blt_is_sane(r);
}

static bool cirrus_after_load(void *opaque)
{
    struct cirrus *c = opaque;

    if (!regs_are_sane(c))
        return false;
    c->window_is_plain = false;
    c->window_accesses = c->lfb_accesses = 0;
    c->lfb_is_plain = true;
    cirrus_mem_update(c);
    cirrus_blt_arm(c);
    return true;
}

static void cirrus_dump(void *opaque, GString *out)
{
    struct cirrus *c = opaque;
    const struct cirrus_regs *r = &c->regs;
    static const char *const state[] = {"idle", "runs", "from-cpu", "to-cpu"};

    vga_dump(&c->vga, out);
    vga_dump_row(out, "sr", r->sr, SR_COUNT);
    vga_dump_row(out, "gr", r->gr, GR_COUNT);
    vga_dump_row(out, "cr19", r->cr + CR_EXTRA, CR_COUNT - CR_EXTRA);
    g_string_append_printf(out, " hdr=%02x cursor=%u,%u blt=%s rows=%u\n", r->hidden_dac, r->cursor_x, r->cursor_y,
                           state[r->blt_state], r->blt_state == BLT_IDLE ? 0 : r->blt.rows);
}

/* --- As a device --- */

struct cirrus_config {
    const char *romfile;
    uint32_t vgamem_mb;
    bool blitter;
};

static const struct property cirrus_properties[] = {
    PROPERTY(cirrus_config, romfile, "romfile", PROPERTY_STRING, 0, NULL, "video BIOS in a file instead of ours"),
    PROPERTY(cirrus_config, vgamem_mb, "vgamem_mb", PROPERTY_NUMBER, 16, "4",
             "memory in MiB: 4, as the chip uses no more"),
    PROPERTY(cirrus_config, blitter, "blitter", PROPERTY_BOOL, 0, "on", "off: blits do nothing"),
    PROPERTY_END,
};

struct cirrus *cirrus_new(struct pci_bus *pci, uint8_t devfn, const struct board_rom *rom, GError **error)
{
    struct cirrus *c = g_new0(struct cirrus, 1);
    struct pci_device *dev = &c->vga.dev;

    pci_device_init(dev, "cirrus", 0x1013, 0x00b8, 0x030000, 0);
    pci_add_ram_bar(dev, 0, BAR0_SIZE, cirrus_lfb_moved, c);
    pci_add_mmio_bar(dev, 1, PAGE_SIZE, &cirrus_mmio_ops, c);
    dev->opaque = c;
    if (!vga_init(&c->vga, &cirrus_card, CIRRUS_MEMORY, error) || !pci_add_rom(dev, rom, error)) {
        g_free(c);
        return NULL;
    }
    c->has_blitter = true;
    c->timer = vtimer_new(cirrus_blt_go_on, c, "cirrus-blt");
    c->vga.pci = pci;
    pci_plug(pci, dev, devfn);
    vga_open(&c->vga);
    cirrus_reset(c);
    return c;
}

void cirrus_free(struct cirrus *c)
{
    vga_close(&c->vga);
    pci_unplug(&c->vga.dev);
    vtimer_free(c->timer);
    g_free(c);
}

const struct display *cirrus_display(struct cirrus *c)
{
    return vga_display(&c->vga);
}

static void *cirrus_create(const struct device_site *site, const void *config, GError **error)
{
    const struct cirrus_config *wanted = config;
    const struct board_rom *rom = board_service(site->board, "cirrus-rom");
    struct board_rom own;
    char *file = NULL;
    gsize size = 0;

    if (!vga_is_first(site, error))
        return NULL;
    if (wanted->vgamem_mb != 4 && wanted->vgamem_mb != 8 && wanted->vgamem_mb != 16) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: vgamem_mb is 4, 8 or 16, not %u", site->id,
                    wanted->vgamem_mb);
        return NULL;
    }
    if (wanted->romfile) {
        file = vga_romfile_read(wanted->romfile, "cirrus-vga", &size, error);
        if (!file)
            return NULL;
        own = (struct board_rom){(uint8_t *)file, (uint32_t)size};
        rom = &own;
    }
    struct cirrus *c = cirrus_new(board_service(site->board, "pci"), (uint8_t)site->unit, rom, error);
    g_free(file);
    if (!c)
        return NULL;
    c->has_blitter = wanted->blitter;
    board_provide(site->board, "display", (void *)cirrus_display(c));
    return c;
}

static void cirrus_destroy(void *dev)
{
    cirrus_free(dev);
}

const struct device_class cirrus_class = {
    .name = "cirrus-vga",
    .info = "vga",
    .help = "Cirrus Logic CL-GD5446 with 4 MiB",
    .bus = BUS_PCI,
    .devfn = -1,
    .properties = cirrus_properties,
    .config_size = sizeof(struct cirrus_config),
    .create = cirrus_create,
    .destroy = cirrus_destroy,
    .reset = cirrus_reset,
    .pieces = cirrus_pieces,
    .before_save = cirrus_before_save,
    .before_load = cirrus_before_load,
    .after_load = cirrus_after_load,
    .dump = cirrus_dump,
};
DEVICE_CLASS(cirrus_class);

/* VMware SVGA II: 15AD:0405, its registers behind an index and a value port. The frame buffer and the FIFO are plain
 * memory; until the guest says ENABLE it is a VGA with the Bochs display interface.
 *
 * VMware SVGA Device Developer Kit: svga_reg.h and the documents beside it. Not there: interrupts (IRQMASK), video
 * overlays, surfaces and pixmaps, 3D.
 */
#include "svga.h"

#include <string.h>

#include "ioport.h"
#include "vclock.h"

#define PORT_INDEX 0 /* 32 bits each, the second one not aligned */
#define PORT_VALUE 1
#define PORTS      16

#define CAPABILITIES \
    (SVGA_CAP_RECT_FILL | SVGA_CAP_RECT_COPY | SVGA_CAP_RASTER_OP | SVGA_CAP_CURSOR | SVGA_CAP_CURSOR_BYPASS | \
     SVGA_CAP_CURSOR_BYPASS_2 | SVGA_CAP_8BIT_EMULATION | SVGA_CAP_ALPHA_CURSOR | SVGA_CAP_EXTENDED_FIFO | \
     SVGA_CAP_PITCHLOCK)
#define PITCH_MAX 0x10000u

/* --- Registers --- */

uint32_t svga_pitch(const struct svga *s)
{
    return s->regs.pitchlock ? s->regs.pitchlock : s->regs.width * svga_pixel_bytes(s);
}

static uint32_t mask_read(const struct svga *s, unsigned reg)
{
    static const uint32_t of15[] = {0x7c00, 0x03e0, 0x001f}, of16[] = {0xf800, 0x07e0, 0x001f},
                          of32[] = {0xff0000, 0x00ff00, 0x0000ff};
    unsigned gun = reg - SVGA_REG_RED_MASK;

    switch (s->regs.bits) {
    case 8:
        return 0;
    case 15:
        return of15[gun];
    case 16:
        return of16[gun];
    }
    return of32[gun];
}

static uint32_t reg_read(struct svga *s)
{
    struct svga_regs *r = &s->regs;

    if (r->index >= SVGA_PALETTE_BASE && r->index < SVGA_SCRATCH_BASE)
        return r->palette[r->index - SVGA_PALETTE_BASE];
    if (r->index >= SVGA_SCRATCH_BASE && r->index < SVGA_SCRATCH_BASE + SVGA_SCRATCH)
        return r->scratch[r->index - SVGA_SCRATCH_BASE];
    switch (r->index) {
    case SVGA_REG_ID:
        return r->id;
    case SVGA_REG_ENABLE:
        return r->enable;
    case SVGA_REG_WIDTH:
        return r->width;
    case SVGA_REG_HEIGHT:
        return r->height;
    case SVGA_REG_MAX_WIDTH:
        return SVGA_MAX_WIDTH;
    case SVGA_REG_MAX_HEIGHT:
        return SVGA_MAX_HEIGHT;
    case SVGA_REG_DEPTH:
        return MIN(r->bits, 24);
    case SVGA_REG_BITS_PER_PIXEL:
        return r->bits == 15 ? 16 : r->bits;
    case SVGA_REG_PSEUDOCOLOR:
        return r->bits == 8;
    case SVGA_REG_RED_MASK:
    case SVGA_REG_GREEN_MASK:
    case SVGA_REG_BLUE_MASK:
        return mask_read(s, r->index);
    case SVGA_REG_BYTES_PER_LINE:
        return svga_pitch(s);
    case SVGA_REG_FB_START:
        return s->fb_base;
    case SVGA_REG_VRAM_SIZE:
    case SVGA_REG_FB_SIZE:
        return s->vga.size;
    case SVGA_REG_CAPABILITIES:
        return r->id == SVGA_ID_0 ? 0 : CAPABILITIES;
    case SVGA_REG_MEM_START:
        return s->fifo_base;
    case SVGA_REG_MEM_SIZE:
        return SVGA_FIFO_SIZE;
    case SVGA_REG_CONFIG_DONE:
        return r->config_done;
    case SVGA_REG_BUSY: /* each look is a run: a guest that waits does not wait for the timer */
        if (r->is_syncing)
            svga_fifo_run(s);
        return r->is_syncing;
    case SVGA_REG_GUEST_ID:
        return r->guest_id;
    case SVGA_REG_CURSOR_ID:
        return r->cursor_id;
    case SVGA_REG_CURSOR_X:
        return r->cursor_x;
    case SVGA_REG_CURSOR_Y:
        return r->cursor_y;
    case SVGA_REG_CURSOR_ON:
        return r->cursor_on;
    case SVGA_REG_HOST_BITS_PER_PIXEL:
        return 32;
    case SVGA_REG_SCRATCH_SIZE:
        return SVGA_SCRATCH;
    case SVGA_REG_MEM_REGS:
        return SVGA_FIFO_REGS;
    case SVGA_REG_NUM_DISPLAYS:
        return 1;
    case SVGA_REG_PITCHLOCK:
        return r->pitchlock;
    }
    return 0;
}

static void enable_write(struct svga *s, uint32_t value)
{
    s->regs.enable = value & (SVGA_ENABLE_ENABLE | SVGA_ENABLE_HIDE);
    vga_window_update(&s->vga);
    if (!(value & SVGA_ENABLE_ENABLE))
        svga_fifo_close(s);
    else if (!s->regs.config_done)
        svga_fifo_offer(s);
}

static bool bits_are_known(uint32_t bits)
{
    return bits == 8 || bits == 15 || bits == 16 || bits == 24 || bits == 32;
}

static void reg_write(struct svga *s, uint32_t value)
{
    struct svga_regs *r = &s->regs;

    if (r->index >= SVGA_PALETTE_BASE && r->index < SVGA_SCRATCH_BASE) {
        r->palette[r->index - SVGA_PALETTE_BASE] = (uint8_t)value;
        return;
    }
    if (r->index >= SVGA_SCRATCH_BASE && r->index < SVGA_SCRATCH_BASE + SVGA_SCRATCH) {
        r->scratch[r->index - SVGA_SCRATCH_BASE] = value;
        return;
    }
    switch (r->index) {
    case SVGA_REG_ID: /* the guest asks for the latest it knows, and takes what it reads back */
        if (value >= SVGA_ID_0 && value <= SVGA_ID_2)
            r->id = value;
        break;
    case SVGA_REG_ENABLE:
        enable_write(s, value);
        break;
    case SVGA_REG_WIDTH:
        if (value >= 1 && value <= SVGA_MAX_WIDTH) {
            r->width = value;
            r->pitchlock = 0;
        }
        break;
    case SVGA_REG_HEIGHT:
        if (value >= 1 && value <= SVGA_MAX_HEIGHT)
            r->height = value;
        break;
    case SVGA_REG_BITS_PER_PIXEL:
        if (bits_are_known(value))
            r->bits = value;
        break;
    case SVGA_REG_CONFIG_DONE:
        if (value)
            svga_fifo_open(s);
        else
            svga_fifo_close(s);
        break;
    case SVGA_REG_SYNC:
        r->is_syncing = r->config_done;
        svga_fifo_run(s);
        break;
    case SVGA_REG_GUEST_ID:
        r->guest_id = value;
        break;
    case SVGA_REG_CURSOR_ID:
        r->cursor_id = value;
        break;
    case SVGA_REG_CURSOR_X:
        r->cursor_x = value;
        break;
    case SVGA_REG_CURSOR_Y:
        r->cursor_y = value;
        break;
    case SVGA_REG_CURSOR_ON:
        r->cursor_on = value;
        break;
    case SVGA_REG_PITCHLOCK:
        if (value <= PITCH_MAX)
            r->pitchlock = value;
        break;
    }
}

static uint32_t svga_io_read(void *opaque, uint16_t port, unsigned size)
{
    struct svga *s = opaque;
    switch (port & (PORTS - 1)) {
    case PORT_INDEX:
        return s->regs.index;
    case PORT_VALUE:
        return reg_read(s);
    }
    return 0;
}

static void svga_io_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct svga *s = opaque;
    switch (port & (PORTS - 1)) {
    case PORT_INDEX:
        s->regs.index = value;
        break;
    case PORT_VALUE:
        reg_write(s, value);
        break;
    }
}

static const struct io_ops svga_io = {.widths = 4, .read = svga_io_read, .write = svga_io_write};

/* While the frame buffer is the card's own, no text is kept beside it to be put there. */
static unsigned svga_window(struct vga *vga, struct vga_piece pieces[VGA_PIECES])
{
    if (!(svga_of(vga)->regs.enable & SVGA_ENABLE_ENABLE))
        return 0;
    pieces[0] = (struct vga_piece){VGA_WINDOW_BASE, VGA_WINDOW_SIZE, &vga_window_ops, 0, "vga"};
    return 1;
}

static const struct vga_card svga_card = {
    .picture = svga_picture,
    .overlay = svga_overlay,
    .cursor = svga_cursor,
    .window = svga_window,
    .shown = svga_shown,
};

/* --- What the host side looks at: with the commands so far carried out, unless the machine stands --- */

static bool svga_serial(void *opaque, uint64_t *serial)
{
    if (!vclock_is_stopped())
        svga_fifo_run(opaque);
    return vga_serial(opaque, serial);
}

static bool svga_rows(void *opaque, unsigned width, unsigned height, unsigned first, unsigned count, uint32_t *pixels)
{
    if (first == 0 && !vclock_is_stopped())
        svga_fifo_run(opaque);
    return vga_render_rows(opaque, width, height, first, count, pixels);
}

/* --- Life --- */

static void svga_reset(void *opaque)
{
    struct svga *s = opaque;

    svga_fifo_close(s);
    memset(&s->regs, 0, sizeof(s->regs));
    s->regs.id = SVGA_ID_2;
    s->regs.width = 640;
    s->regs.height = 480;
    s->regs.bits = 32;
    s->cursor_serial++;
    mem_block_clear(s->fifo, s->fifo->size);
    vga_reset(&s->vga);
    vga_dispi_reset(&s->vga);
    pci_device_reset(&s->vga.dev);
}

/* layouts: the VGA's registers are a piece of their own */
static const struct state_field svga_fields[] = {
    STATE_FIELD(svga_regs, index),      STATE_FIELD(svga_regs, id),        STATE_FIELD(svga_regs, enable),
    STATE_FIELD(svga_regs, width),      STATE_FIELD(svga_regs, height),    STATE_FIELD(svga_regs, bits),
    STATE_FIELD(svga_regs, pitchlock),  STATE_FIELD(svga_regs, guest_id),  STATE_FIELD(svga_regs, config_done),
    STATE_FIELD(svga_regs, is_syncing), STATE_FIELD(svga_regs, cursor_id), STATE_FIELD(svga_regs, cursor_x),
    STATE_FIELD(svga_regs, cursor_y),   STATE_FIELD(svga_regs, cursor_on), STATE_FIELD(svga_regs, cursor_count),
    STATE_FIELD(svga_regs, skip),       STATE_FIELD(svga_regs, scratch),   STATE_FIELD(svga_regs, palette),
    STATE_FIELD(svga_regs, op),         STATE_FIELD(svga_regs, cursor),
};
static const struct state_layout svga_layout = STATE_LAYOUT(1, svga_regs, svga_fields);

static void svga_before_save(void *opaque)
{
    struct svga *s = opaque;
    vga_sync(&s->vga);
}

static void svga_pieces(void *opaque, struct state_pieces *pieces)
{
    struct svga *s = opaque;
    state_add(pieces, "vga", 0, &vga_layout, &s->vga.regs);
    state_add(pieces, "svga", 0, &svga_layout, &s->regs);
    state_add_memory(pieces, "vram", s->vga.memory, s->vga.size);
    state_add_memory(pieces, "fifo", s->fifo, SVGA_FIFO_SIZE);
}

static bool regs_are_sane(const struct svga *s)
{
    const struct svga_regs *r = &s->regs;
    const struct svga_cursor *cursor = &r->cursor;

    return vga_regs_are_sane(&s->vga) && r->width >= 1 && r->width <= SVGA_MAX_WIDTH && r->height >= 1 &&
           r->height <= SVGA_MAX_HEIGHT && bits_are_known(r->bits) && r->pitchlock <= PITCH_MAX &&
           cursor->kind <= SVGA_CURSOR_ALPHA && cursor->width <= SVGA_CURSOR_MAX && cursor->height <= SVGA_CURSOR_MAX &&
           svga_op_is_sane(s);
}

static bool svga_after_load(void *opaque)
{
    struct svga *s = opaque;

    if (!regs_are_sane(s))
        return false;
    vga_dispi_after_load(&s->vga);
    vga_window_update(&s->vga);
    s->cursor_serial++;
    svga_fifo_resume(s);
    return true;
}

static void svga_dump(void *opaque, GString *out)
{
    struct svga *s = opaque;
    const struct svga_regs *r = &s->regs;

    vga_dump(&s->vga, out);
    g_string_append_printf(out, " svga: id=%08x enable=%x %ux%ux%u pitch=%u fifo=%s skip=%u rows=%u\n", r->id,
                           r->enable, r->width, r->height, r->bits, svga_pitch(s),
                           r->config_done ? r->is_syncing ? "syncing" : "on" : "off", r->skip, r->op.rows);
    g_string_append_printf(out, " cursor: kind=%u %ux%u on=%u at=%d,%d\n", r->cursor.kind, r->cursor.width,
                           r->cursor.height, r->cursor_on, (int)r->cursor_x, (int)r->cursor_y);
}

/* --- As a device --- */

static void frame_buffer_moved(void *opaque, uint32_t base, bool mapped)
{
    struct svga *s = opaque;
    s->fb_base = mapped ? base : 0;
    if (mapped)
        mem_map_block(base, s->vga.size, s->vga.memory, 0, false, "svga-fb");
    else
        mem_remove_mmio(base);
}

static void fifo_moved(void *opaque, uint32_t base, bool mapped)
{
    struct svga *s = opaque;
    s->fifo_base = mapped ? base : 0;
    if (mapped)
        mem_map_block(base, SVGA_FIFO_SIZE, s->fifo, 0, false, "svga-fifo");
    else
        mem_remove_mmio(base);
}

struct svga_config {
    const char *romfile;
    uint32_t vgamem_mb;
};

static const struct property svga_properties[] = {
    PROPERTY(svga_config, romfile, "romfile", PROPERTY_STRING, 0, NULL, "video BIOS in a file instead of ours"),
    PROPERTY(svga_config, vgamem_mb, "vgamem_mb", PROPERTY_NUMBER, 128, "16", "frame buffer in MiB: 4, 8, 16, ... 128"),
    PROPERTY_END,
};

struct svga *svga_new(struct pci_bus *pci, uint8_t devfn, uint32_t size, const struct board_rom *rom, GError **error)
{
    static const uint8_t subsystem[4] = {0xad, 0x15, 0x05, 0x04};
    struct svga *s = g_new0(struct svga, 1);
    struct pci_device *dev = &s->vga.dev;

    s->fifo = mem_block_new(SVGA_FIFO_SIZE, error);
    if (!s->fifo || !vga_init(&s->vga, &svga_card, size, error)) {
        g_free(s);
        return NULL;
    }
    pci_device_init(dev, "svga", 0x15ad, 0x0405, 0x030000, 0);
    memcpy(&dev->config[PCI_SUBSYSTEM], subsystem, 4);
    pci_add_io_bar(dev, 0, PORTS, &svga_io, s);
    pci_add_ram_bar(dev, 1, size, frame_buffer_moved, s);
    pci_add_ram_bar(dev, 2, SVGA_FIFO_SIZE, fifo_moved, s);
    dev->opaque = s;
    if (!pci_add_rom(dev, rom, error)) {
        g_free(s);
        return NULL;
    }
    s->vga.display.serial = svga_serial;
    s->vga.display.rows = svga_rows;
    s->timer = vtimer_new(svga_fifo_run, s, "svga-fifo");
    s->vga.pci = pci;
    pci_plug(pci, dev, devfn);
    vga_open(&s->vga);
    vga_dispi_open(&s->vga);
    svga_reset(s);
    return s;
}

void svga_free(struct svga *s)
{
    vga_close(&s->vga);
    vga_dispi_close();
    pci_unplug(&s->vga.dev);
    vtimer_free(s->timer);
    g_free(s);
}

const struct display *svga_display(struct svga *s)
{
    return vga_display(&s->vga);
}

static void *svga_create(const struct device_site *site, const void *config, GError **error)
{
    const struct svga_config *wanted = config;
    const struct board_rom *rom = board_service(site->board, "vga-rom");
    struct board_rom own;
    char *file = NULL;
    gsize size = 0;

    if (!vga_is_first(site, error))
        return NULL;
    if (wanted->vgamem_mb < 4 || wanted->vgamem_mb & (wanted->vgamem_mb - 1)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: vgamem_mb is 4, 8, 16, 32, 64 or 128, not %u",
                    site->id, wanted->vgamem_mb);
        return NULL;
    }
    if (wanted->romfile) {
        file = vga_romfile_read(wanted->romfile, "vmware-svga", &size, error);
        if (!file)
            return NULL;
        own = (struct board_rom){(uint8_t *)file, (uint32_t)size};
        rom = &own;
    }
    struct svga *s = svga_new(board_service(site->board, "pci"), (uint8_t)site->unit,
                              (uint32_t)(wanted->vgamem_mb * MiB), rom, error);
    g_free(file);
    if (s)
        board_provide(site->board, "display", (void *)svga_display(s));
    return s;
}

static void svga_destroy(void *dev)
{
    svga_free(dev);
}

const struct device_class svga_class = {
    .name = "vmware-svga",
    .info = "vga",
    .help = "VMware SVGA II with 16 MiB, 2D",
    .bus = BUS_PCI,
    .devfn = -1,
    .properties = svga_properties,
    .config_size = sizeof(struct svga_config),
    .create = svga_create,
    .destroy = svga_destroy,
    .reset = svga_reset,
    .pieces = svga_pieces,
    .before_save = svga_before_save,
    .before_load = vga_before_load,
    .after_load = svga_after_load,
    .dump = svga_dump,
};
DEVICE_CLASS(svga_class);

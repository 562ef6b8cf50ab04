/* VGA: ports 3B0h to 3DFh, and what all cards that have them do when they are made, reset and saved. See regs.h.
 *
 * Index masks and read-back are those of the IBM PS/2 manual; registers it leaves out read as zero.
 */
#include <string.h>

#include "ioport.h"
#include "log.h"
#include "vclock.h"
#include "regs.h"

#define ROM_MAX (256 * KiB) /* a video BIOS */

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

uint8_t vga_port_read(struct vga *vga, uint16_t port)
{
    struct vga_regs *r = &vga->regs;
    uint8_t value;

    if (port_is_deaf(vga, port))
        return 0xff;
    if (vga->card->read && vga->card->read(vga, port, &value))
        return value;
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

void vga_port_write(struct vga *vga, uint16_t port, uint8_t value)
{
    struct vga_regs *r = &vga->regs;

    if (port_is_deaf(vga, port) || (vga->card->write && vga->card->write(vga, port, value)))
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

/* --- Life --- */

void vga_reset(struct vga *vga)
{
    struct vga_regs *r = &vga->regs;

    vga_sync(vga);
    memset(r, 0, sizeof(*r));
    r->dac_mask = 0xff;
    vga_window_update(vga);
    mem_block_clear(vga->memory, vga->size);
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
const struct state_layout vga_layout = {1, G_N_ELEMENTS(vga_fields), vga_fields, sizeof(struct vga_regs)};

void vga_before_load(void *opaque)
{
    struct vga *vga = opaque;
    vga_sync(vga);
    vga_window_remove(vga);
}

/* What a guest cannot have written must not come from a file either. */
bool vga_regs_are_sane(const struct vga *vga)
{
    const struct vga_regs *r = &vga->regs;
    return r->seq_index < SEQ_COUNT && r->gc_index < 16 && r->dac_phase < 3 && r->attr_data < 2 &&
           r->gc[GC_READ_MAP] < 4 && r->dispi[DISPI_BANK] < vga->size / (64 * KiB);
}

void vga_dump_row(GString *out, const char *name, const uint8_t *value, unsigned count)
{
    g_string_append_printf(out, " %s:", name);
    for (unsigned i = 0; i < count; i++)
        g_string_append_printf(out, " %02x", value[i]);
    g_string_append_c(out, '\n');
}

void vga_dump(const struct vga *vga, GString *out)
{
    const struct vga_regs *r = &vga->regs;
    static const char *const window[] = {"mmio", "linear", "text", "card"};

    g_string_append_printf(out, "vga: misc=%02x window=%s dac_mask=%02x pas=%d\n", r->misc, window[vga->window],
                           r->dac_mask, !!(r->attr_index & ATTR_INDEX_PAS));
    vga_dump_row(out, "seq", r->seq, 5);
    vga_dump_row(out, "crtc", r->crtc, CRTC_COUNT);
    vga_dump_row(out, "gc", r->gc, GC_COUNT);
    vga_dump_row(out, "attr", r->attr, ATTR_COUNT);
}

static const struct {
    uint16_t first, count;
} port_ranges[] = {{0x3b4, 2}, {0x3ba, 1}, {0x3c0, 16}, {0x3d4, 2}, {0x3da, 1}};

bool vga_init(struct vga *vga, const struct vga_card *card, uint32_t size, GError **error)
{
    vga->memory = mem_block_new(size + VGA_TEXT_SIZE, error);
    if (!vga->memory)
        return false;
    vga->card = card;
    vga->size = size;
    vga->vram = vga->memory->host;
    vga->text = vga->vram + size;
    vga->display = (struct display){.text = vga_render_text,
                                    .size = vga_render_size,
                                    .rows = vga_render_rows,
                                    .serial = vga_serial,
                                    .changed_rows = vga_changed_rows,
                                    .opaque = vga};
    if (card->cursor) {
        vga->display.bare_rows = vga_render_bare_rows;
        vga->display.overlay = vga_render_overlay;
        vga->display.cursor = vga_render_cursor;
    }
    return true;
}

void vga_open(struct vga *vga)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(port_ranges); i++)
        ioport_register(port_ranges[i].first, port_ranges[i].count, &vga_io, vga, "vga");
    vga_window_update(vga);
}

void vga_close(struct vga *vga)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(port_ranges); i++)
        ioport_unregister(port_ranges[i].first, port_ranges[i].count);
    vga_window_remove(vga);
    vga_seen_free(vga);
}

const struct display *vga_display(struct vga *vga)
{
    return &vga->display;
}

bool vga_is_first(const struct device_site *site, GError **error)
{
    if (!board_service(site->board, "display"))
        return true;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: there is a VGA already; -vga none leaves it out",
                site->id);
    return false;
}

char *vga_romfile_read(const char *path, const char *who, gsize *size, GError **error)
{
    char *file = NULL;
    if (!g_file_get_contents(path, &file, size, error))
        return NULL;
    if (*size >= 512 && *size <= ROM_MAX)
        return file;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s.romfile: '%s' is not a video BIOS (%zu bytes)", who, path,
                (size_t)*size);
    g_free(file);
    return NULL;
}

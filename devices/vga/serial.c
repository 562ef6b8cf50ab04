/* VGA: whether what is on the screen may have changed, for a host side that would rather not draw it to find out.
 *
 * Guests write to video memory without us, so it is compared: with a copy of what was shown the last time, a few
 * microseconds for the VGA's own modes, and one for each 10 KB of a linear frame buffer.
 */
#include <string.h>

#include "vclock.h"
#include "regs.h"

struct vga_seen {
    uint64_t serial;
    struct vga_regs regs;
    bool blink_text, blink_cursor; /* the halves of their periods */
    bool has_blinking;             /* cells, when memory was looked at last */
    struct display_text text;
    uint8_t card[VGA_SHOWN_MAX];
    unsigned card_count;
    uint32_t start, size; /* of memory */
    uint8_t *memory;
};

/* Registers that show nothing: what a guest does between two pixels. */
static struct vga_regs shown(const struct vga_regs *regs)
{
    struct vga_regs r = *regs;
    r.seq_index = r.crtc_index = r.gc_index = 0;
    r.seq[SEQ_MAP_MASK] = 0;
    for (unsigned i = 0; i < GC_COUNT; i++) {
        if (i != GC_MODE && i != GC_MISC)
            r.gc[i] = 0;
    }
    r.gc[GC_MODE] &= (uint8_t) ~(GC_MODE_WRITE | GC_MODE_READ1);
    r.attr_data = false;
    r.attr_index &= ATTR_INDEX_PAS;
    r.dac_state = r.dac_read = r.dac_write = r.dac_phase = 0;
    memset(r.dac_pending, 0, sizeof(r.dac_pending));
    memset(r.latch, 0, sizeof(r.latch));
    r.dispi_index = 0;
    r.dispi[DISPI_BANK] = 0;
    r.vsync_cleared = 0;
    return r;
}

/* What of the memory is on the screen; all of it where the picture goes round its end. */
static void shown_memory(const struct vga *vga, uint32_t *start, uint32_t *size)
{
    struct vga_picture picture;
    *start = 0;
    *size = VGA_PLANAR;
    if (!vga_picture(vga, &picture))
        return;
    /* Of 4 bits: eight pixels are four bytes. */
    uint64_t first = picture.bits == 4 ? picture.start / 8 * 4 : picture.start;
    uint64_t bytes = (uint64_t)picture.height * picture.pitch + picture.width * 4u;
    if (picture.bits == 4)
        bytes /= 2;
    bytes += 8;
    bool goes_round = first + bytes > vga->size || picture.split < picture.height;
    *start = goes_round ? 0 : (uint32_t)first;
    *size = goes_round ? vga->size : (uint32_t)bytes;
}

/* What a card's own registers say of it. */
static bool card_changed(const struct vga *vga, struct vga_seen *seen)
{
    uint8_t bytes[VGA_SHOWN_MAX];
    if (!vga->card->shown)
        return false;
    unsigned count = vga->card->shown(vga, bytes);
    bool same = count == seen->card_count && memcmp(bytes, seen->card, count) == 0;
    seen->card_count = count;
    memcpy(seen->card, bytes, count);
    return !same;
}

/* The first time, and after a mode switch, there is nothing to compare with. */
static bool memory_changed(struct vga *vga, struct vga_seen *seen)
{
    uint32_t start, size;
    shown_memory(vga, &start, &size);
    bool same = seen->memory && start == seen->start && size == seen->size &&
                memcmp(seen->memory, vga->vram + start, size) == 0;
    if (same)
        return false;
    if (size != seen->size || !seen->memory) {
        g_free(seen->memory);
        seen->memory = g_malloc(size);
    }
    seen->start = start;
    seen->size = size;
    memcpy(seen->memory, vga->vram + start, size);
    return true;
}

static bool cells_blink(const struct display_text *text)
{
    for (unsigned i = 0; i < text->columns * text->rows; i++) {
        if (text->cells[i].flags & DISPLAY_BLINK)
            return true;
    }
    return false;
}

uint64_t vga_serial(void *opaque)
{
    struct vga *vga = opaque;
    if (!vga->seen)
        vga->seen = g_new0(struct vga_seen, 1);
    struct vga_seen *seen = vga->seen;
    struct vga_regs regs = shown(&vga->regs);
    vga_sync(vga);
    bool changed = memory_changed(vga, seen);
    changed |= card_changed(vga, seen);
    changed |= memcmp(&regs, &seen->regs, sizeof(regs)) != 0;
    seen->regs = regs;
    if (changed) {
        bool is_text = vga_render_text(vga, &seen->text);
        seen->has_blinking = is_text && cells_blink(&seen->text);
        seen->text.cursor_visible &= is_text;
    }
    bool text_phase = vga_blink_is_on(VGA_BLINK_TEXT_NS), cursor_phase = vga_blink_is_on(VGA_BLINK_CURSOR_NS);
    changed |= (seen->has_blinking && text_phase != seen->blink_text) |
               (seen->text.cursor_visible && cursor_phase != seen->blink_cursor);
    seen->blink_text = text_phase;
    seen->blink_cursor = cursor_phase;
    seen->serial += changed;
    return seen->serial;
}

void vga_seen_free(struct vga *vga)
{
    if (!vga->seen)
        return;
    display_text_clear(&vga->seen->text);
    g_free(vga->seen->memory);
    g_free(vga->seen);
}

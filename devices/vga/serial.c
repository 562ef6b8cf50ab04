/* VGA: whether what is on the screen may have changed, and where, for a host side that would rather not draw it to find
 * out.
 *
 * Guests write to video memory without us, so it is compared: with a copy of what was shown the last time, a few
 * microseconds for the VGA's own modes, and one for each 10 KB of a linear frame buffer. That is up to 16 MiB, which a
 * slow host needs 100 ms for: so it is done piece by piece.
 */
#include <limits.h>
#include <string.h>

#include "vclock.h"
#include "regs.h"

#define PAST  16u            /* changes that are remembered */
#define PIECE (256u * 1024u) /* bytes that are compared at once: some 25 microseconds, on a slow host a millisecond */

struct rows {
    unsigned first, end; /* none: both 0 */
};
static const struct rows all_rows = {0, UINT_MAX};

struct vga_seen {
    uint64_t serial;
    struct rows past[PAST]; /* [serial % PAST] is what came with that number */
    struct vga_regs regs;
    bool blink_text, blink_cursor; /* the halves of their periods */
    bool has_blinking;             /* cells, when memory was looked at last */
    unsigned cursor;               /* its place, as registers say it */
    struct display_text text;
    uint8_t card[VGA_SHOWN_MAX];
    unsigned card_count;
    uint32_t start, size; /* of memory */
    uint8_t *memory;      /* as it was when it was looked at last, up to `at` this time */
    uint32_t at;
    bool is_first; /* what is behind `at` was never looked at */
    bool is_other; /* of memory up to `at`: something differed, from first to last */
    bool has_other_fonts;
    uint32_t first, last;
};

static struct rows rows_and(struct rows a, struct rows b)
{
    if (a.first == a.end)
        return b;
    return b.first == b.end ? a : (struct rows){MIN(a.first, b.first), MAX(a.end, b.end)};
}

/* Without registers that show nothing (what a guest does between two pixels), and without the cursor's place. */
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
    r.crtc[CRTC_CURSOR_HIGH] = r.crtc[CRTC_CURSOR_LOW] = 0;
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

/* The first and the last byte that differ; false: none does. */
static bool difference(const uint8_t *before, const uint8_t *now, uint32_t size, uint32_t *first, uint32_t *last)
{
    const uint32_t chunk = 1024;
    uint32_t from = 0, to = size;
    while (from < size && memcmp(before + from, now + from, MIN(chunk, size - from)) == 0)
        from += MIN(chunk, size - from);
    if (from == size)
        return false;
    while (to - from > chunk && memcmp(before + to - chunk, now + to - chunk, chunk) == 0)
        to -= chunk;
    while (before[from] == now[from])
        from++;
    while (before[to - 1] == now[to - 1])
        to--;
    *first = from;
    *last = to - 1;
    return true;
}

/* Plane 2 has the letters' shapes. */
static bool has_other_fonts(const uint8_t *before, const uint8_t *now, uint32_t first, uint32_t last)
{
    for (uint32_t at = (first & ~3u) + 2; at <= last; at += 4) {
        if (before[at] != now[at])
            return true;
    }
    return false;
}

/* Rows of a picture whose rows follow each other in memory; of anything else all. */
static struct rows picture_rows(const struct vga *vga, uint32_t first, uint32_t last)
{
    struct vga_picture picture;
    unsigned repeat;
    if (!vga_picture(vga, &picture) || picture.bits == 4 || !picture.pitch || picture.split < picture.height)
        return all_rows;
    repeat = MAX(picture.repeat, 1u);
    return (struct rows){first / picture.pitch * repeat, (last / picture.pitch + 1) * repeat};
}

/* The first time, and after a mode switch, there is nothing to compare with. False: nothing of it was looked at yet,
 * but of other memory: a guest that changes its mode again and again has nobody look for ever. */
static bool memory_begin(const struct vga *vga, struct vga_seen *seen)
{
    uint32_t start, size;
    shown_memory(vga, &start, &size);
    if (seen->memory && start == seen->start && size == seen->size)
        return true;
    bool is_begin = !seen->at;
    if (size != seen->size || !seen->memory) {
        g_free(seen->memory);
        seen->memory = g_malloc(size);
    }
    seen->start = start;
    seen->size = size;
    seen->at = 0;
    seen->is_first = true;
    return is_begin;
}

/* Looks at a piece of memory, and takes it over; false: there is more. */
static bool memory_look(const struct vga *vga, struct vga_seen *seen)
{
    if (!memory_begin(vga, seen))
        return true;
    uint32_t size = MIN(PIECE, seen->size - seen->at), first = 0, last = size - 1;
    uint8_t *before = seen->memory + seen->at;
    const uint8_t *now = vga->vram + seen->start + seen->at;
    if (seen->is_first) {
        memcpy(before, now, size);
    } else if (difference(before, now, size, &first, &last)) {
        seen->has_other_fonts |= has_other_fonts(before, now, first, last);
        memcpy(before + first, now + first, last - first + 1);
        seen->first = seen->is_other ? seen->first : seen->at + first;
        seen->last = seen->at + last;
        seen->is_other = true;
    }
    seen->at += size;
    return seen->at == seen->size;
}

/* What has changed of memory that was looked at. *is_text_only: only cells have, which are then looked at.
 */
static struct rows memory_rows(const struct vga *vga, struct vga_seen *seen, bool *is_text_only)
{
    struct rows rows = {0};
    *is_text_only = false;
    if (seen->is_first) {
        rows = all_rows;
    } else if (seen->is_other) {
        *is_text_only = vga_text_row_lines(vga) && !seen->has_other_fonts;
        rows = picture_rows(vga, seen->first, seen->last);
    }
    seen->is_first &= seen->at != seen->size;
    seen->is_other = seen->has_other_fonts = false;
    seen->at = 0;
    return rows;
}

static bool cells_blink(const struct display_text *text)
{
    for (unsigned i = 0; i < text->columns * text->rows; i++) {
        if (text->cells[i].flags & DISPLAY_BLINK)
            return true;
    }
    return false;
}

static struct rows text_row(const struct vga *vga, unsigned row)
{
    unsigned lines = vga_text_row_lines(vga);
    return lines ? (struct rows){row * lines, (row + 1) * lines} : all_rows;
}

static struct rows cursor_rows(const struct vga *vga, const struct display_text *text)
{
    return text->cursor_visible ? text_row(vga, text->cursor_row) : (struct rows){0};
}

/* Of two text screens of the same size. */
static struct rows cell_rows(const struct vga *vga, const struct display_text *before, const struct display_text *now)
{
    struct rows rows = {0};
    for (unsigned y = 0; y < now->rows; y++) {
        const struct display_cell *cells = &now->cells[y * now->columns];
        if (memcmp(cells, &before->cells[y * now->columns], now->columns * sizeof(*cells)) != 0)
            rows = rows_and(rows, text_row(vga, y));
    }
    return rows_and(rows, rows_and(cursor_rows(vga, before), cursor_rows(vga, now)));
}

/* Looks at the text screen anew. rows: what else has changed; cells only where only they have. */
static struct rows text_look(struct vga *vga, struct vga_seen *seen, struct rows rows, bool is_text_only)
{
    struct display_text now = {0};
    bool is_text = vga_render_text(vga, &now);
    now.cursor_visible &= is_text;
    if (is_text_only && is_text && seen->text.cells && now.rows == seen->text.rows && now.columns == seen->text.columns)
        rows = cell_rows(vga, &seen->text, &now);
    seen->has_blinking = is_text && cells_blink(&now);
    display_text_clear(&seen->text);
    seen->text = now;
    return rows;
}

static bool cursor_has_moved(const struct vga *vga, const struct vga_seen *seen)
{
    const uint8_t *crtc = vga->regs.crtc;
    return seen->cursor != (unsigned)(crtc[CRTC_CURSOR_HIGH] << 8 | crtc[CRTC_CURSOR_LOW]);
}

bool vga_serial(void *opaque, uint64_t *serial)
{
    struct vga *vga = opaque;
    if (!vga->seen)
        vga->seen = g_new0(struct vga_seen, 1);
    struct vga_seen *seen = vga->seen;
    vga_sync(vga);
    if (!memory_look(vga, seen))
        return false;
    struct vga_regs regs = shown(&vga->regs);
    bool is_text_only;
    struct rows rows = memory_rows(vga, seen, &is_text_only);
    bool is_same = rows.first == rows.end, moved = cursor_has_moved(vga, seen);
    bool others = card_changed(vga, seen);
    others |= memcmp(&regs, &seen->regs, sizeof(regs)) != 0;
    if (others)
        rows = all_rows;
    else if (moved && vga_text_row_lines(vga))
        is_text_only |= is_same;
    else if (moved)
        rows = all_rows;
    seen->regs = regs;
    seen->cursor = (unsigned)(vga->regs.crtc[CRTC_CURSOR_HIGH] << 8 | vga->regs.crtc[CRTC_CURSOR_LOW]);
    if (!is_same || others || moved)
        rows = text_look(vga, seen, rows, is_text_only && !others);
    bool text_phase = vga_blink_is_on(VGA_BLINK_TEXT_NS), cursor_phase = vga_blink_is_on(VGA_BLINK_CURSOR_NS);
    if (seen->has_blinking && text_phase != seen->blink_text)
        rows = all_rows;
    if (cursor_phase != seen->blink_cursor)
        rows = rows_and(rows, cursor_rows(vga, &seen->text));
    seen->blink_text = text_phase;
    seen->blink_cursor = cursor_phase;
    if (rows.first != rows.end) {
        seen->serial++;
        seen->past[seen->serial % PAST] = rows;
    }
    *serial = seen->serial;
    return true;
}

void vga_changed_rows(void *opaque, uint64_t since, unsigned *first, unsigned *end)
{
    const struct vga *vga = opaque;
    const struct vga_seen *seen = vga->seen;
    struct rows rows = {0};
    if (!seen || since > seen->serial || seen->serial - since > PAST)
        rows = all_rows;
    else
        for (uint64_t n = since + 1; n <= seen->serial; n++)
            rows = rows_and(rows, seen->past[n % PAST]);
    *first = rows.first;
    *end = rows.end;
}

void vga_seen_free(struct vga *vga)
{
    if (!vga->seen)
        return;
    display_text_clear(&vga->seen->text);
    g_free(vga->seen->memory);
    g_free(vga->seen);
}

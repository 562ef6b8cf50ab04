/* VGA memory at A0000h to BFFFFh: planes, latches, write and read modes, chain-4, odd/even.
 *
 * IBM PS/2 Hardware Technical Reference, Video Subsystem: "Display buffer", graphics controller. Where the
 * registers make the window plain memory (256-colour and text modes, the two that programs fill by the
 * byte), it is mapped as such and no access comes here: see vga_window_update. The one thing a guest could miss: reads
 * then do not load the latches.
 */
#include <string.h>

#include "regs.h"

/* Memory map select, GC6 bits 3:2. */
static const struct {
    uint32_t first, size;
} map_select[4] = {{0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};

static inline unsigned map_of(const struct vga *vga)
{
    return vga->regs.gc[GC_MISC] >> 2 & 3;
}

/* Turns an offset from A0000h into an address within the selected window; false: not ours. */
static inline bool window_address(const struct vga *vga, uint32_t offset, uint32_t *address)
{
    unsigned map = map_of(vga);
    uint32_t a = offset - map_select[map].first;

    if (a >= map_select[map].size || !(vga->regs.misc & 0x02))
        return false;
    if (vga_dispi_on(vga))
        a += vga->regs.dispi[DISPI_BANK] * 0x10000u;
    *address = a;
    return true;
}

/* Which four bytes (planes 0 to 3) an address means. */
static inline uint32_t quad_of(const struct vga *vga, uint32_t a)
{
    if (vga->regs.seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN4)
        return a & ~3u & (vga->size - 1);
    if (vga->regs.gc[GC_MISC] & GC_MISC_CHAIN) /* A0 chooses the plane; A16, where there is one, replaces it */
        a = (a & ~1u) | (map_of(vga) == 0 ? a >> 16 & 1 : 0);
    if (!vga_dispi_on(vga))
        a &= 0xffff;
    return a * 4 & (vga->size - 1);
}

/* The four planes of an address are the four bytes of a word, and all that the data path does to one plane it does to
 * each: what chooses planes becomes a mask of bytes, what is the same for all is repeated four times. */
static const uint32_t bytes_of[16] = {
    0x00000000, 0x000000ff, 0x0000ff00, 0x0000ffff, 0x00ff0000, 0x00ff00ff, 0x00ffff00, 0x00ffffff,
    0xff000000, 0xff0000ff, 0xff00ff00, 0xff00ffff, 0xffff0000, 0xffff00ff, 0xffffff00, 0xffffffff,
};
static inline uint32_t four(uint8_t byte)
{
    return byte * 0x01010101u;
}

static inline uint8_t byte_read(struct vga *vga, uint32_t a)
{
    struct vga_regs *r = &vga->regs;

    memcpy(r->latch, &vga->vram[quad_of(vga, a)], 4);
    if (r->gc[GC_MODE] & GC_MODE_READ1) {
        uint32_t latch;
        memcpy(&latch, r->latch, 4);
        uint32_t differ = (latch ^ bytes_of[r->gc[GC_COMPARE] & 15]) & bytes_of[r->gc[GC_DONT_CARE] & 15];
        differ |= differ >> 16;
        return (uint8_t) ~(differ | differ >> 8);
    }
    unsigned plane = r->gc[GC_READ_MAP] & 3;
    if (r->seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN4)
        plane = a & 3;
    else if (r->gc[GC_MODE] & GC_MODE_ODD_EVEN)
        plane = (plane & 2) | (a & 1);
    return r->latch[plane];
}

static inline uint32_t alu(unsigned function, uint32_t value, uint32_t latch)
{
    switch (function & 3) {
    case 1:
        return value & latch;
    case 2:
        return value | latch;
    case 3:
        return value ^ latch;
    }
    return value;
}

/* What the data path makes of a byte: the planes that write modes 0 to 3 would leave in an address. */
static inline uint32_t path(const struct vga_regs *r, uint8_t value)
{
    unsigned mode = r->gc[GC_MODE] & GC_MODE_WRITE, rotate = r->gc[GC_ROTATE] & 7;
    uint8_t rotated = (uint8_t)(value >> rotate | value << (8 - rotate)), mask = r->gc[GC_BIT_MASK];
    uint32_t set_reset = bytes_of[r->gc[GC_SET_RESET] & 15], enabled = bytes_of[r->gc[GC_ENABLE_SR] & 15];
    uint32_t latch, source = set_reset;

    memcpy(&latch, r->latch, 4);
    if (mode == 1)
        return latch;
    if (mode == 0)
        source = (four(rotated) & ~enabled) | (set_reset & enabled);
    else if (mode == 2)
        source = bytes_of[value & 15];
    else
        mask &= rotated;
    source = alu(r->gc[GC_ROTATE] >> 3, source, latch);
    return (source & four(mask)) | (latch & ~four(mask));
}

static inline void byte_write(struct vga *vga, uint32_t a, uint8_t value)
{
    const struct vga_regs *r = &vga->regs;
    unsigned planes = r->seq[SEQ_MAP_MASK] & 15;

    if (r->seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN4)
        planes &= 1u << (a & 3);
    else if (!(r->seq[SEQ_MEMORY] & SEQ_MEMORY_SEQ))
        planes &= a & 1 ? 0x0a : 0x05;

    uint8_t *at = &vga->vram[quad_of(vga, a)];
    uint32_t quad, chosen = bytes_of[planes];
    memcpy(&quad, at, 4);
    quad = (quad & ~chosen) | (path(r, value) & chosen);
    memcpy(at, &quad, 4);
}

/* An access is naturally aligned: all of it is in the window, or nothing. */
static uint64_t window_read(void *opaque, uint32_t offset, unsigned size)
{
    uint64_t value = 0;
    uint32_t a;

    if (!window_address(opaque, offset, &a))
        return UINT64_MAX;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)byte_read(opaque, a + i) << (8 * i);
    return value;
}

static void window_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    uint32_t a;

    if (!window_address(opaque, offset, &a))
        return;
    for (unsigned i = 0; i < size; i++)
        byte_write(opaque, a + i, (uint8_t)(value >> (8 * i)));
}

/* What else may look at the planes is the display, which finds bytes of before or after, as in a frame buffer. */
const struct mmio_ops vga_window_ops = {.read = window_read, .write = window_write, .unlocked = true};

/* --- The window as plain memory --- */

/* No part of the data path changes a byte on its way. */
static bool path_is_plain(const struct vga_regs *r, unsigned planes)
{
    return (r->misc & 0x02) && (r->seq[SEQ_MAP_MASK] & planes) == planes && !(r->gc[GC_ENABLE_SR] & planes) &&
           !r->gc[GC_ROTATE] && r->gc[GC_BIT_MASK] == 0xff && !(r->gc[GC_MODE] & (GC_MODE_WRITE | GC_MODE_READ1));
}

static enum vga_window window_kind(const struct vga *vga)
{
    const struct vga_regs *r = &vga->regs;

    if (vga_dispi_on(vga)) /* a change of the map at each change of the bank would cost more than it saves */
        return VGA_WINDOW_MMIO;
    if (r->seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN4)
        return path_is_plain(r, 0x0f) ? VGA_WINDOW_LINEAR : VGA_WINDOW_MMIO;
    if (!(r->seq[SEQ_MEMORY] & SEQ_MEMORY_SEQ) && (r->gc[GC_MODE] & GC_MODE_ODD_EVEN) &&
        (r->gc[GC_MISC] & GC_MISC_CHAIN) && map_of(vga) >= 2 && r->seq[SEQ_MAP_MASK] == 0x03 &&
        !(r->gc[GC_READ_MAP] & 2) && path_is_plain(r, 0x03))
        return VGA_WINDOW_TEXT;
    return VGA_WINDOW_MMIO;
}

void vga_sync(struct vga *vga)
{
    if (vga->window != VGA_WINDOW_TEXT)
        return;
    for (unsigned a = 0; a < VGA_TEXT_SIZE; a++)
        vga->vram[(a & ~1u) * 4 + (a & 1)] = vga->text[a];
}

static void text_from_planes(struct vga *vga)
{
    for (unsigned a = 0; a < VGA_TEXT_SIZE; a++)
        vga->text[a] = vga->vram[(a & ~1u) * 4 + (a & 1)];
}

static const struct mmio_ops nothing;

void vga_window_remove(struct vga *vga)
{
    vga_sync(vga);
    for (unsigned i = 0; i < vga->piece_count; i++)
        mem_remove_mmio(vga->piece[i].base);
    vga->piece_count = 0;
    vga->window = VGA_WINDOW_MMIO;
}

/* Either one region, or what is before the window, the window, and what is behind it. */
static unsigned window_pieces(const struct vga *vga, enum vga_window kind, struct vga_piece *piece)
{
    const struct vga_piece all = {VGA_WINDOW_BASE, VGA_WINDOW_SIZE, &vga_window_ops, 0, "vga"};
    if (kind == VGA_WINDOW_MMIO) {
        piece[0] = all;
        return 1;
    }
    uint32_t base = VGA_WINDOW_BASE + map_select[map_of(vga)].first, size = map_select[map_of(vga)].size;
    uint32_t end = base + size;
    unsigned count = 0;
    if (base > VGA_WINDOW_BASE)
        piece[count++] = (struct vga_piece){VGA_WINDOW_BASE, base - VGA_WINDOW_BASE, &nothing, 0, "vga-below"};
    piece[count++] = (struct vga_piece){base, size, NULL, kind == VGA_WINDOW_TEXT ? vga->size : 0, "vga-window"};
    if (end < VGA_WINDOW_BASE + VGA_WINDOW_SIZE)
        piece[count++] = (struct vga_piece){end, VGA_WINDOW_BASE + VGA_WINDOW_SIZE - end, &nothing, 0, "vga-above"};
    return count;
}

static bool pieces_are(const struct vga *vga, const struct vga_piece *piece, unsigned count)
{
    bool same = count == vga->piece_count;
    for (unsigned i = 0; i < count && same; i++) {
        const struct vga_piece *have = &vga->piece[i], *want = &piece[i];
        same = have->base == want->base && have->size == want->size && have->ops == want->ops &&
               have->offset == want->offset;
    }
    return same;
}

void vga_window_update(struct vga *vga)
{
    struct vga_piece piece[VGA_PIECES];
    enum vga_window kind = VGA_WINDOW_CARD;
    unsigned count = vga->card->window ? vga->card->window(vga, piece) : 0;

    if (!count) {
        kind = window_kind(vga);
        count = window_pieces(vga, kind, piece);
    }
    if (kind == vga->window && pieces_are(vga, piece, count))
        return;
    vga_window_remove(vga);
    vga->window = kind;
    if (kind == VGA_WINDOW_TEXT)
        text_from_planes(vga);
    memcpy(vga->piece, piece, sizeof(piece));
    vga->piece_count = count;
    for (unsigned i = 0; i < count; i++) {
        const struct vga_piece *p = &piece[i];
        if (p->ops)
            mem_add_mmio(p->base, p->size, p->ops, vga, p->name);
        else
            mem_map_block(p->base, p->size, vga->memory, p->offset, false, p->name);
    }
}

/* CL-GD5446: the BitBLT engine.
 *
 * CL-GD5446 Technical Reference Manual: GR20 to GR35, and the chapter on the BitBLT engine. Addresses go round the
 * end of memory. A long blit is done in pieces, on the clock, with its busy bit set meanwhile; a blit that is started
 * before the other is done waits for it, as the chip buffers the registers.
 */
#include <string.h>

#include "log.h"
#include "vclock.h"
#include "cirrus.h"

#define SLICE_COST (4 * MiB) /* at a time, in bytes that memmove() moves: a millisecond or two */
#define SLICE_NS   1500000ll

/* --- Raster operations: what comes of a source and a destination bit --- */

struct rop {
    uint8_t both, source, dest, none; /* all ones: set where both, only one, none of the bits is */
};

/* GR32's codes by what they do: bit 3 both, 2 only the source's, 1 only the destination's, 0 none. */
static const struct {
    uint8_t code, truth;
} rops[] = {{0x00, 0x0}, {0x05, 0x8}, {0x06, 0xa}, {0x09, 0x4}, {0x0b, 0x5}, {0x0d, 0xc}, {0x0e, 0xf}, {0x50, 0x2},
            {0x59, 0x6}, {0x6d, 0xe}, {0x90, 0x1}, {0x95, 0x9}, {0xad, 0xd}, {0xd0, 0x3}, {0xd6, 0xb}, {0xda, 0x7}};
#define ROP_SOURCE 0x0d

static struct rop rop_get(uint8_t code)
{
    unsigned truth = 0xa; /* the destination stays */
    for (unsigned i = 0; i < G_N_ELEMENTS(rops); i++) {
        if (rops[i].code == code)
            truth = rops[i].truth;
    }
    return (struct rop){truth & 8 ? 0xff : 0, truth & 4 ? 0xff : 0, truth & 2 ? 0xff : 0, truth & 1 ? 0xff : 0};
}

static inline uint8_t rop_do(struct rop rop, uint8_t s, uint8_t d)
{
    return (s & d & rop.both) | (s & ~d & rop.source) | (~s & d & rop.dest) | (~s & ~d & rop.none);
}

/* --- Rows --- */

static inline unsigned pixel_bytes(const struct cirrus_blt *b)
{
    return (b->mode >> 4 & 3) + 1u;
}

static inline void pixel_put(uint8_t *vram, struct rop rop, uint32_t at, uint32_t colour, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        uint8_t *d = &vram[(at + i) & CIRRUS_MASK];
        *d = rop_do(rop, (uint8_t)(colour >> (8 * i)), *d);
    }
}

static bool is_solid(const struct cirrus_blt *b)
{
    return (b->ext & BLT_EXT_SOLID) &&
           (b->mode & (BLT_TO_SYSTEM | BLT_TRANSPARENT | BLT_PATTERN | BLT_EXPAND)) == (BLT_PATTERN | BLT_EXPAND);
}

static void solid_row(uint8_t *vram, const struct cirrus_blt *b)
{
    unsigned bytes = pixel_bytes(b);
    struct rop rop = rop_get(b->rop);

    uint32_t all = (b->width + bytes - 1) / bytes * bytes;
    if (b->rop == ROP_SOURCE && b->dst + all <= CIRRUS_MEMORY) {
        uint8_t *to = &vram[b->dst];
        for (unsigned i = 0; i < bytes; i++)
            to[i] = (uint8_t)(b->fore >> (8 * i));
        for (uint32_t done = bytes; done < all; done *= 2) /* what is there, once more */
            memcpy(&to[done], to, MIN(done, all - done));
        return;
    }
    for (uint32_t x = 0; x < b->width; x += bytes)
        pixel_put(vram, rop, b->dst + x, b->fore, bytes);
}

/* Where the first pixel is that a row with bits or a pattern changes, GR2F: in pixels, with three bytes a pixel in
 * bytes. */
static unsigned skip_pixels(const struct cirrus_blt *b)
{
    return pixel_bytes(b) == 3 ? (b->skip & 0x1fu) / 3 : b->skip & 7u;
}

static unsigned skip_bytes(const struct cirrus_blt *b)
{
    return pixel_bytes(b) == 3 ? b->skip & 0x1fu : (b->skip & 7u) * pixel_bytes(b);
}

/* Bits as pixels of two colours, or of one and the others as they were. Inverted, it is the background that is put,
 * where zeros are. bit_mask: of the bytes' numbers: a pattern's row is one byte again and again. */
static void expand_row(uint8_t *vram, const struct cirrus_blt *b, const uint8_t *bits, uint32_t bits_at,
                       uint32_t bits_mask)
{
    unsigned bytes = pixel_bytes(b), bit = skip_pixels(b);
    bool is_transparent = b->mode & BLT_TRANSPARENT;
    bool is_inverted = is_transparent && (b->ext & BLT_EXT_INVERT);
    struct rop rop = rop_get(b->rop);

    for (uint32_t x = skip_bytes(b); x < b->width; x += bytes, bit++) {
        bool is_set = bits[(bits_at + bit / 8) & bits_mask] >> (7 - bit % 8) & 1;
        if (!is_transparent || is_set != is_inverted)
            pixel_put(vram, rop, b->dst + x, is_set ? b->fore : b->back, bytes);
    }
}

static uint32_t expand_bytes(const struct cirrus_blt *b)
{
    uint32_t pixels = b->width / pixel_bytes(b);
    return b->ext & BLT_EXT_DWORDS ? (pixels + 31) / 32 * 4 : (pixels + 7) / 8;
}

/* Eight by eight pixels; rows of three bytes a pixel are as far from each other as those of four. */
static void pattern_row(uint8_t *vram, const struct cirrus_blt *b)
{
    unsigned bytes = pixel_bytes(b), pixel = skip_pixels(b);
    const uint8_t *row = &b->pattern[b->pattern_row * 8u * (bytes == 3 ? 4 : bytes)];
    struct rop rop = rop_get(b->rop);

    for (uint32_t x = skip_bytes(b); x < b->width; x += bytes, pixel++) {
        const uint8_t *from = &row[(pixel & 7) * bytes];
        for (unsigned i = 0; i < bytes; i++) {
            uint8_t *d = &vram[(b->dst + x + i) & CIRRUS_MASK];
            *d = rop_do(rop, from[i], *d);
        }
    }
}

/* What the blitter does byte by byte is what memmove() does. */
static bool is_plain_move(const struct cirrus_blt *b, uint32_t dst, uint32_t src)
{
    if (b->rop != ROP_SOURCE || dst + b->width > CIRRUS_MEMORY || src + b->width > CIRRUS_MEMORY)
        return false;
    return dst + b->width <= src || src + b->width <= dst || ((b->mode & BLT_BACKWARD) ? dst >= src : dst <= src);
}

/* Backward: addresses are those of the last byte. */
static void copy_row(uint8_t *vram, const struct cirrus_blt *b, const uint8_t *from, uint32_t src, uint32_t mask)
{
    struct rop rop = rop_get(b->rop);
    bool is_backward = b->mode & BLT_BACKWARD;
    uint32_t step = is_backward ? UINT32_MAX : 1;
    uint32_t before = is_backward ? b->width - 1 : 0;

    if (from == vram && b->dst >= before && src >= before && is_plain_move(b, b->dst - before, src - before)) {
        memmove(&vram[b->dst - before], &vram[src - before], b->width);
        return;
    }
    uint32_t dst = b->dst;
    for (uint32_t i = 0; i < b->width; i++, dst += step, src += step) {
        uint8_t *d = &vram[dst & CIRRUS_MASK];
        *d = rop_do(rop, from[src & mask], *d);
    }
}

/* Not put where what would be is the key's colour; of one or two bytes. */
static void keyed_row(uint8_t *vram, const struct cirrus_blt *b, const uint8_t *from, uint32_t src, uint32_t mask)
{
    struct rop rop = rop_get(b->rop);
    unsigned bytes = pixel_bytes(b);
    bool is_backward = b->mode & BLT_BACKWARD;

    for (uint32_t x = 0; x + bytes <= b->width; x += bytes) {
        uint8_t pixel[2];
        bool is_key = true;
        uint32_t at = is_backward ? 0u - x - (bytes - 1) : x;
        for (unsigned i = 0; i < bytes; i++) {
            pixel[i] = rop_do(rop, from[(src + at + i) & mask], vram[(b->dst + at + i) & CIRRUS_MASK]);
            is_key &= pixel[i] == (uint8_t)(b->key >> (8 * i));
        }
        for (unsigned i = 0; i < bytes && !is_key; i++)
            vram[(b->dst + at + i) & CIRRUS_MASK] = pixel[i];
    }
}

static bool is_expanded(const struct cirrus_blt *b)
{
    return (b->mode & (BLT_EXPAND | BLT_PATTERN)) == BLT_EXPAND;
}

/* One row, and on to the next. from: what the processor gave, NULL: out of video memory. */
static void blt_row(struct cirrus *c, struct cirrus_blt *b, const uint8_t *from)
{
    uint8_t *vram = c->vga.vram;
    const uint8_t *source = from ? from : vram;
    uint32_t at = from ? 0 : b->src, mask = from ? BLT_ROW_MAX - 1 : CIRRUS_MASK;
    bool goes_back = false;

    if (is_solid(b)) {
        solid_row(vram, b);
    } else if (b->mode & BLT_PATTERN) {
        if (b->mode & BLT_EXPAND)
            expand_row(vram, b, &b->pattern[b->pattern_row], 0, 0);
        else
            pattern_row(vram, b);
        b->pattern_row = (b->pattern_row + 1) & 7;
    } else if (b->mode & BLT_EXPAND) {
        expand_row(vram, b, source, at, mask);
        if (!from)
            b->src += MAX((b->width / pixel_bytes(b) + 7) / 8, 1); /* one row's bits follow the other's */
    } else {
        goes_back = b->mode & BLT_BACKWARD;
        if (!(b->mode & BLT_TRANSPARENT))
            copy_row(vram, b, source, at, mask);
        else if (pixel_bytes(b) <= 2)
            keyed_row(vram, b, source, at, mask);
        b->src += goes_back ? 0u - b->src_pitch : b->src_pitch;
    }
    b->dst = (b->dst + (goes_back ? 0u - b->dst_pitch : b->dst_pitch)) & CIRRUS_MASK;
    b->src &= CIRRUS_MASK;
    b->rows--;
}

/* --- A blit's life --- */

static uint16_t gr16(const struct cirrus_regs *r, unsigned index, uint16_t mask)
{
    return (uint16_t)(r->gr[index] | r->gr[index + 1] << 8) & mask;
}

static uint32_t gr24(const struct cirrus_regs *r, unsigned index)
{
    return (r->gr[index] | (uint32_t)r->gr[index + 1] << 8 | (uint32_t)r->gr[index + 2] << 16) & CIRRUS_MASK;
}

static uint32_t colour(const struct cirrus_regs *r, unsigned index)
{
    return r->gr[index] | (uint32_t)r->gr[index + 0x10] << 8 | (uint32_t)r->gr[index + 0x12] << 16 |
           (uint32_t)r->gr[index + 0x14] << 24;
}

static unsigned pattern_size(const struct cirrus_blt *b)
{
    unsigned bytes = pixel_bytes(b);
    return b->mode & BLT_EXPAND ? 8 : 64 * (bytes == 3 ? 4 : bytes);
}

static void blt_take(const struct cirrus_regs *r, struct cirrus_blt *b)
{
    memset(b, 0, sizeof(*b));
    b->mode = r->gr[GR_BLT_MODE];
    b->ext = r->gr[GR_BLT_MODEEXT];
    b->rop = r->gr[GR_BLT_ROP];
    b->skip = r->gr[GR_BLT_SKIP];
    b->key = gr16(r, GR_BLT_KEY, 0xffff);
    b->width = gr16(r, GR_BLT_WIDTH, 0x1fff) + 1u;
    b->rows = gr16(r, GR_BLT_HEIGHT, 0x07ff) + 1u;
    b->dst_pitch = gr16(r, GR_BLT_DPITCH, 0x1fff);
    b->src_pitch = gr16(r, GR_BLT_SPITCH, 0x1fff);
    b->dst = gr24(r, GR_BLT_DEST);
    b->src = gr24(r, GR_BLT_SOURCE);
    b->fore = colour(r, GR_FORE);
    b->back = colour(r, GR_BACK);
}

/* A row for the processor to read, padded to doublewords. */
static void cpu_row_fill(struct cirrus *c)
{
    struct cirrus_regs *r = &c->regs;
    for (uint32_t i = 0; i < r->cpu_size; i++)
        r->cpu_bytes[i] = c->vga.vram[(r->blt.src + i) & CIRRUS_MASK];
    r->cpu_filled = 0;
}

static void blt_begin(struct cirrus *c)
{
    struct cirrus_regs *r = &c->regs;
    struct cirrus_blt *b = &r->blt;

    r->cpu_filled = r->cpu_size = 0;
    b->pattern_row = b->src & 7;
    if ((b->mode & BLT_TO_SYSTEM) && (b->mode & BLT_FROM_SYSTEM)) {
        log_guest("cirrus: a blit from the processor to the processor is none\n");
        b->rows = 0;
    }
    if (b->mode & BLT_TO_SYSTEM) {
        r->blt_state = BLT_TO_CPU;
        r->cpu_size = (b->width + 3) & ~3u;
        cpu_row_fill(c);
    } else if ((b->mode & BLT_FROM_SYSTEM) && !is_solid(b)) {
        r->blt_state = BLT_FROM_CPU;
        b->mode &= (uint8_t)~BLT_BACKWARD; /* its bytes come in one order only */
        r->cpu_size = b->mode & BLT_PATTERN ? pattern_size(b) : is_expanded(b) ? expand_bytes(b) : (b->width + 3) & ~3u;
        r->cpu_size = MAX(r->cpu_size, 1);
    } else {
        r->blt_state = BLT_RUNS;
        uint32_t base = b->src & ~(pattern_size(b) - 1);
        for (unsigned i = 0; (b->mode & BLT_PATTERN) && i < pattern_size(b); i++)
            b->pattern[i] = c->vga.vram[(base + i) & CIRRUS_MASK];
    }
    if (!b->rows)
        r->blt_state = BLT_RUNS;
}

void cirrus_blt_arm(struct cirrus *c)
{
    if (c->regs.blt_state == BLT_RUNS)
        vtimer_arm(c->timer, vclock_now() + SLICE_NS);
    else
        vtimer_cancel(c->timer);
}

/* What a row takes: byte by byte, and pixel by pixel, many times as long as what the host's memmove() does. */
static uint32_t row_cost(const struct cirrus_blt *b)
{
    bool by_pixel = (b->mode & (BLT_EXPAND | BLT_PATTERN | BLT_TRANSPARENT)) && !is_solid(b);
    unsigned factor = b->rop == ROP_SOURCE && !by_pixel ? 1 : by_pixel || is_solid(b) ? 32 : 8;
    return b->width * factor + 64;
}

/* As much as goes at once; what is left is the timer's. */
static void blt_run(struct cirrus *c)
{
    struct cirrus_regs *r = &c->regs;
    uint32_t done = 0;

    while (r->blt_state == BLT_RUNS && done < SLICE_COST) {
        if (r->blt.rows) {
            done += row_cost(&r->blt);
            blt_row(c, &r->blt, NULL);
        } else if (r->blt_is_next) {
            r->blt = r->blt_next;
            r->blt_is_next = 0;
            blt_begin(c);
        } else {
            r->blt_state = BLT_IDLE;
            r->gr[GR_BLT_START] &= ~BLT_START_START;
        }
    }
    cirrus_blt_arm(c);
    cirrus_mem_update(c);
}

void cirrus_blt_go_on(void *opaque)
{
    blt_run(opaque);
}

void cirrus_blt_start(struct cirrus *c)
{
    struct cirrus_regs *r = &c->regs;

    if (r->blt_state == BLT_RUNS) {
        if (r->blt_is_next)
            log_guest("cirrus: a blit is lost, as another one waits already\n");
        blt_take(r, &r->blt_next);
        r->blt_is_next = 1;
        return;
    }
    blt_take(r, &r->blt);
    r->gr[GR_BLT_START] |= BLT_START_START;
    blt_begin(c);
    blt_run(c);
}

void cirrus_blt_reset(struct cirrus *c)
{
    struct cirrus_regs *r = &c->regs;

    r->blt_state = BLT_IDLE;
    r->blt_is_next = 0;
    r->cpu_filled = r->cpu_size = 0;
    r->gr[GR_BLT_START] &= ~BLT_START_START;
    cirrus_blt_arm(c);
    cirrus_mem_update(c);
}

/* --- Through the processor: it writes to, or reads from, any address of video memory --- */

void cirrus_blt_cpu_write(struct cirrus *c, uint8_t value)
{
    struct cirrus_regs *r = &c->regs;
    struct cirrus_blt *b = &r->blt;

    r->cpu_bytes[r->cpu_filled++] = value;
    if (r->cpu_filled < r->cpu_size)
        return;
    r->cpu_filled = 0;
    if (b->mode & BLT_PATTERN) {
        memcpy(b->pattern, r->cpu_bytes, r->cpu_size);
        r->blt_state = BLT_RUNS;
        blt_run(c);
        return;
    }
    blt_row(c, b, r->cpu_bytes);
    if (!b->rows) {
        r->blt_state = BLT_RUNS;
        blt_run(c);
    }
}

uint8_t cirrus_blt_cpu_read(struct cirrus *c)
{
    struct cirrus_regs *r = &c->regs;
    uint8_t value = r->cpu_bytes[r->cpu_filled++];

    if (r->cpu_filled < r->cpu_size)
        return value;
    r->blt.src = (r->blt.src + r->blt.src_pitch) & CIRRUS_MASK;
    if (--r->blt.rows) {
        cpu_row_fill(c);
    } else {
        r->blt_state = BLT_RUNS;
        blt_run(c);
    }
    return value;
}

static bool blt_is_sane(const struct cirrus_blt *b)
{
    return b->pattern_row < 8 && b->width >= 1 && b->width <= BLT_ROW_MAX && b->rows <= 2048 &&
           b->dst < CIRRUS_MEMORY && b->src < CIRRUS_MEMORY;
}

bool cirrus_blt_is_sane(const struct cirrus_regs *r)
{
    if (r->blt_state > BLT_TO_CPU || r->blt_is_next > 1)
        return false;
    if (r->blt_is_next && (r->blt_state != BLT_RUNS || !blt_is_sane(&r->blt_next)))
        return false;
    if (r->blt_state == BLT_IDLE)
        return true;
    if (!blt_is_sane(&r->blt))
        return false;
    if (r->blt_state == BLT_RUNS)
        return true;
    bool is_pattern = r->blt_state == BLT_FROM_CPU && (r->blt.mode & BLT_PATTERN);
    unsigned most = is_pattern ? sizeof(r->blt.pattern) : BLT_ROW_MAX;
    return r->blt.rows && r->cpu_size >= 1 && r->cpu_size <= most && r->cpu_filled < r->cpu_size;
}

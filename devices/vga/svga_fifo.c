/* VMware SVGA II: the FIFO, in which the guest leaves commands, and what they do.
 *
 * VMware SVGA Device Developer Kit: svga_reg.h. The FIFO is memory of the guest's, which may write there at any moment:
 * each value is read once and looked at before it is used. A command is taken when all of it is there; one that is not
 * carried out is passed over by its length, as its words come. What makes no sense stops the FIFO, until the guest
 * says CONFIG_DONE again.
 */
#include <string.h>

#include "log.h"
#include "vclock.h"
#include "svga.h"

#define RUN_BUDGET   (4 * MiB) /* bytes that a run draws; */
#define COMMAND_COST 64u       /* a command counts as so many */
#define SOON_NS      100000
#define PERIOD_MIN   (10 * NS_PER_SECOND / 1000)
#define PERIOD_MAX   (80 * NS_PER_SECOND / 1000)

enum {
    SVGA_CMD_UPDATE = 1,
    SVGA_CMD_RECT_FILL = 2,
    SVGA_CMD_RECT_COPY = 3,
    SVGA_CMD_DEFINE_BITMAP = 4,
    SVGA_CMD_DEFINE_BITMAP_SCANLINE = 5,
    SVGA_CMD_DEFINE_PIXMAP = 6,
    SVGA_CMD_DEFINE_PIXMAP_SCANLINE = 7,
    SVGA_CMD_RECT_ROP_FILL = 13,
    SVGA_CMD_RECT_ROP_COPY = 14,
    SVGA_CMD_DEFINE_CURSOR = 19,
    SVGA_CMD_DISPLAY_CURSOR = 20,
    SVGA_CMD_MOVE_CURSOR = 21,
    SVGA_CMD_DEFINE_ALPHA_CURSOR = 22,
    SVGA_CMD_DRAW_GLYPH = 23,
    SVGA_CMD_DRAW_GLYPH_CLIPPED = 24,
    SVGA_CMD_FRONT_ROP_FILL = 29,
    SVGA_CMD_FENCE = 30,
    SVGA_CMD_ESCAPE = 33,
};

#define ARGUMENTS_MAX 12

/* Words behind the command's number, without what has a length of its own. Numbers that are not here have none. */
static const uint8_t arguments[] = {
    [SVGA_CMD_UPDATE] = 4,
    [SVGA_CMD_RECT_FILL] = 5,
    [SVGA_CMD_RECT_COPY] = 6,
    [SVGA_CMD_DEFINE_BITMAP] = 3,
    [SVGA_CMD_DEFINE_BITMAP_SCANLINE] = 4,
    [SVGA_CMD_DEFINE_PIXMAP] = 4,
    [SVGA_CMD_DEFINE_PIXMAP_SCANLINE] = 5,
    [8] = 7,  /* RECT_BITMAP_FILL */
    [9] = 5,  /* RECT_PIXMAP_FILL */
    [10] = 9, /* RECT_BITMAP_COPY */
    [11] = 7, /* RECT_PIXMAP_COPY */
    [12] = 1, /* FREE_OBJECT */
    [SVGA_CMD_RECT_ROP_FILL] = 6,
    [SVGA_CMD_RECT_ROP_COPY] = 7,
    [15] = 8,  /* RECT_ROP_BITMAP_FILL */
    [16] = 6,  /* RECT_ROP_PIXMAP_FILL */
    [17] = 10, /* RECT_ROP_BITMAP_COPY */
    [18] = 8,  /* RECT_ROP_PIXMAP_COPY */
    [SVGA_CMD_DEFINE_CURSOR] = 7,
    [SVGA_CMD_DISPLAY_CURSOR] = 2,
    [SVGA_CMD_MOVE_CURSOR] = 2,
    [SVGA_CMD_DEFINE_ALPHA_CURSOR] = 5,
    [SVGA_CMD_DRAW_GLYPH] = 5,
    [SVGA_CMD_DRAW_GLYPH_CLIPPED] = 9,
    [25] = 5,  /* UPDATE_VERBOSE */
    [26] = 7,  /* SURFACE_FILL */
    [27] = 9,  /* SURFACE_COPY */
    [28] = 12, /* SURFACE_ALPHA_BLEND */
    [SVGA_CMD_FRONT_ROP_FILL] = 6,
    [SVGA_CMD_FENCE] = 1,
    [SVGA_CMD_ESCAPE] = 2,
};

/* --- The ring --- */

struct ring {
    uint32_t min, max, stop;
    uint32_t there;    /* words */
    uint32_t capacity; /* the most that can be there */
};

static uint32_t fifo_get(const struct svga *s, uint32_t word)
{
    return __atomic_load_n((const uint32_t *)s->fifo->host + word, __ATOMIC_ACQUIRE);
}

static void fifo_set(struct svga *s, uint32_t word, uint32_t value)
{
    __atomic_store_n((uint32_t *)s->fifo->host + word, value, __ATOMIC_RELEASE);
}

/* False: the guest's pointers make no sense. */
static bool ring_load(const struct svga *s, struct ring *ring)
{
    uint32_t next = fifo_get(s, SVGA_FIFO_NEXT_CMD);

    ring->min = fifo_get(s, SVGA_FIFO_MIN);
    ring->max = fifo_get(s, SVGA_FIFO_MAX);
    ring->stop = fifo_get(s, SVGA_FIFO_STOP);
    if ((ring->min | ring->max | ring->stop | next) & 3 || ring->min < 4 * (SVGA_FIFO_STOP + 1) ||
        ring->max > s->fifo->size || ring->min >= ring->max || next < ring->min || next >= ring->max ||
        ring->stop < ring->min || ring->stop >= ring->max)
        return false;
    uint32_t size = ring->max - ring->min;
    ring->there = (next >= ring->stop ? next - ring->stop : next + size - ring->stop) / 4;
    ring->capacity = size / 4 - 1;
    return true;
}

static uint32_t ring_word(const struct svga *s, const struct ring *ring, uint32_t i)
{
    uint32_t at = ring->stop + 4 * i;
    return fifo_get(s, (at >= ring->max ? at - (ring->max - ring->min) : at) / 4);
}

static void ring_pass(struct svga *s, struct ring *ring, uint32_t words)
{
    ring->stop += 4 * words;
    if (ring->stop >= ring->max)
        ring->stop -= ring->max - ring->min;
    ring->there -= words;
    fifo_set(s, SVGA_FIFO_STOP, ring->stop);
}

/* --- Lengths --- */

static uint64_t bitmap_words(uint32_t width, uint32_t depth, uint32_t height)
{
    uint64_t line = (uint64_t)width * depth;
    line = line / 32 + !!(line % 32);
    return line > UINT32_MAX ? UINT32_MAX : line * height;
}

/* Words behind the arguments. */
static uint64_t payload_words(uint32_t command, const uint32_t *a)
{
    switch (command) {
    case SVGA_CMD_DEFINE_BITMAP:
        return bitmap_words(a[1], 1, a[2]);
    case SVGA_CMD_DEFINE_BITMAP_SCANLINE:
        return bitmap_words(a[1], 1, 1);
    case SVGA_CMD_DEFINE_PIXMAP:
        return bitmap_words(a[1], a[3], a[2]);
    case SVGA_CMD_DEFINE_PIXMAP_SCANLINE:
        return bitmap_words(a[1], a[3], 1);
    case SVGA_CMD_DEFINE_CURSOR:
        return MIN(bitmap_words(a[3], a[5], a[4]), UINT32_MAX) + MIN(bitmap_words(a[3], a[6], a[4]), UINT32_MAX);
    case SVGA_CMD_DEFINE_ALPHA_CURSOR:
        return bitmap_words(a[3], 32, a[4]);
    case SVGA_CMD_DRAW_GLYPH: /* bits, in rows of whole bytes */
    case SVGA_CMD_DRAW_GLYPH_CLIPPED:
        return (MIN((a[2] + 7ull) / 8 * a[3], UINT32_MAX) + 3) / 4;
    case SVGA_CMD_ESCAPE:
        return (a[1] + 3ull) / 4;
    }
    return 0;
}

/* --- Cursors --- */

static bool cursor_fits(const uint32_t *a)
{
    return a[3] >= 1 && a[3] <= SVGA_CURSOR_MAX && a[4] >= 1 && a[4] <= SVGA_CURSOR_MAX;
}

static bool depth_is_known(uint32_t depth)
{
    return depth == 1 || depth == 8 || depth == 15 || depth == 16 || depth == 24 || depth == 32;
}

/* A mask's pixel as eight bits a colour. */
static uint32_t mask_colour(const struct svga *s, uint32_t depth, uint32_t value, bool is_and)
{
    switch (depth) {
    case 1:
        return value ? 0xffffff : 0;
    case 8:
        if (is_and)
            return value * 0x10101u;
        return (uint32_t)s->regs.palette[3 * value] << 16 | (uint32_t)s->regs.palette[3 * value + 1] << 8 |
               s->regs.palette[3 * value + 2];
    case 15:
        return (value >> 10 & 31) * 33 / 4 << 16 | (value >> 5 & 31) * 33 / 4 << 8 | (value & 31) * 33 / 4;
    case 16:
        return (value >> 11 & 31) * 33 / 4 << 16 | (value >> 5 & 63) * 65 / 16 << 8 | (value & 31) * 33 / 4;
    }
    return value & 0xffffff;
}

/* Rows of whole words; of one bit, a byte's first pixel is its highest bit. Returns the words that it takes. */
static uint32_t mask_read(const struct svga *s, const struct ring *ring, uint32_t first, uint32_t depth, bool is_and,
                          uint32_t *mask)
{
    const struct svga_cursor *cursor = &s->regs.cursor;
    uint32_t stored = depth == 15 ? 16 : depth;
    uint32_t line = (cursor->width * depth + 31) / 32;
    uint8_t bytes[4 * SVGA_CURSOR_MAX + 4];

    for (uint32_t y = 0; y < cursor->height; y++) {
        memset(bytes, 0, sizeof(bytes));
        for (uint32_t i = 0; i < line; i++) {
            uint32_t word = ring_word(s, ring, first + y * line + i);
            memcpy(bytes + 4 * i, &word, 4);
        }
        for (uint32_t x = 0; x < cursor->width; x++) {
            uint32_t value = 0;
            if (depth == 1)
                value = bytes[x / 8] >> (7 - (x & 7)) & 1;
            else
                memcpy(&value, bytes + x * (stored / 8), stored / 8);
            mask[y * cursor->width + x] = mask_colour(s, depth, value, is_and);
        }
    }
    return line * cursor->height;
}

static void define_cursor(struct svga *s, const struct ring *ring, uint32_t command, const uint32_t *a)
{
    struct svga_cursor *cursor = &s->regs.cursor;
    uint32_t first = 1u + arguments[command];

    cursor->kind = command == SVGA_CMD_DEFINE_CURSOR ? SVGA_CURSOR_MASKS : SVGA_CURSOR_ALPHA;
    cursor->hot_x = a[1];
    cursor->hot_y = a[2];
    cursor->width = a[3];
    cursor->height = a[4];
    if (cursor->kind == SVGA_CURSOR_MASKS) {
        first += mask_read(s, ring, first, a[5], true, cursor->and_mask);
        mask_read(s, ring, first, a[6], false, cursor->xor_mask);
    } else {
        for (uint32_t i = 0; i < a[3] * a[4]; i++)
            cursor->xor_mask[i] = ring_word(s, ring, first + i);
    }
    s->cursor_serial++;
}

/* --- Commands --- */

/* Fields behind MIN are the guest's unless its commands begin behind them. */
static bool has_field(const struct ring *ring, unsigned field)
{
    return ring->min > 4 * field;
}

static void carry_out(struct svga *s, const struct ring *ring, uint32_t command, const uint32_t *a)
{
    switch (command) {
    case SVGA_CMD_RECT_FILL:
        svga_fill(s, a[0], a[1], a[2], a[3], a[4], 3);
        break;
    case SVGA_CMD_RECT_ROP_FILL:
    case SVGA_CMD_FRONT_ROP_FILL:
        svga_fill(s, a[0], a[1], a[2], a[3], a[4], a[5]);
        break;
    case SVGA_CMD_RECT_COPY:
        svga_copy(s, a[0], a[1], a[2], a[3], a[4], a[5], 3);
        break;
    case SVGA_CMD_RECT_ROP_COPY:
        svga_copy(s, a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
        break;
    case SVGA_CMD_DISPLAY_CURSOR:
        s->regs.cursor_on = a[1];
        break;
    case SVGA_CMD_MOVE_CURSOR:
        s->regs.cursor_x = a[0];
        s->regs.cursor_y = a[1];
        break;
    case SVGA_CMD_FENCE:
        if (has_field(ring, SVGA_FIFO_FENCE))
            fifo_set(s, SVGA_FIFO_FENCE, a[0]);
        break;
    default: /* what the frame buffer holds is shown anyway: updates say nothing new */
        break;
    }
}

/* False: it is not all there yet. */
static bool take_command(struct svga *s, struct ring *ring)
{
    uint32_t a[ARGUMENTS_MAX];
    uint32_t command = ring_word(s, ring, 0);
    uint32_t count = command < G_N_ELEMENTS(arguments) ? arguments[command] : 0;

    if (ring->there < 1 + count)
        return false;
    for (uint32_t i = 0; i < count; i++)
        a[i] = ring_word(s, ring, 1 + i);
    uint64_t payload = payload_words(command, a);
    bool is_cursor = command == SVGA_CMD_DEFINE_CURSOR || command == SVGA_CMD_DEFINE_ALPHA_CURSOR;
    if (is_cursor && cursor_fits(a) &&
        (command == SVGA_CMD_DEFINE_ALPHA_CURSOR || (depth_is_known(a[5]) && depth_is_known(a[6]))) &&
        1 + count + payload <= ring->capacity) {
        if (ring->there < 1 + count + payload)
            return false;
        define_cursor(s, ring, command, a);
        ring_pass(s, ring, 1 + count + (uint32_t)payload);
        return true;
    }
    carry_out(s, ring, command, a);
    ring_pass(s, ring, 1 + count);
    s->regs.skip = (uint32_t)MIN(payload, UINT32_MAX);
    return true;
}

/* The guest moves its cursor without a command (CURSOR_BYPASS_3): the count says that it did. */
static void cursor_look(struct svga *s, const struct ring *ring)
{
    if (!has_field(ring, SVGA_FIFO_CURSOR_COUNT))
        return;
    uint32_t count = fifo_get(s, SVGA_FIFO_CURSOR_COUNT);
    if (count == s->regs.cursor_count)
        return;
    s->regs.cursor_count = count;
    s->regs.cursor_on = fifo_get(s, SVGA_FIFO_CURSOR_ON);
    s->regs.cursor_x = fifo_get(s, SVGA_FIFO_CURSOR_X);
    s->regs.cursor_y = fifo_get(s, SVGA_FIFO_CURSOR_Y);
}

/* True: there is more than the budget. */
static bool run(struct svga *s)
{
    int64_t budget = RUN_BUDGET;
    struct ring ring;

    while (s->regs.config_done) {
        budget -= svga_op_run(s, (uint32_t)budget);
        if (s->regs.op.rows || budget <= 0)
            return true;
        if (!ring_load(s, &ring)) {
            log_guest("svga: the FIFO's registers make no sense: min %x, max %x, next %x, stop %x", ring.min, ring.max,
                      fifo_get(s, SVGA_FIFO_NEXT_CMD), ring.stop);
            svga_fifo_close(s);
            return false;
        }
        if (budget == RUN_BUDGET)
            cursor_look(s, &ring);
        if (!ring.there)
            return false;
        if (s->regs.skip) {
            uint32_t words = MIN(s->regs.skip, ring.there);
            s->regs.skip -= words;
            ring_pass(s, &ring, words);
        } else if (!take_command(s, &ring)) {
            if (ring.there < ring.capacity)
                return false;
            log_guest("svga: a FIFO of %u words is too small for a command", ring.capacity);
            svga_fifo_close(s);
            return false;
        }
        budget -= COMMAND_COST;
        s->period = PERIOD_MIN;
    }
    return false;
}

void svga_fifo_run(void *opaque)
{
    struct svga *s = opaque;
    if (!s->regs.config_done)
        return;
    bool has_more = run(s);
    s->regs.is_syncing &= has_more;
    if (!s->regs.config_done)
        return;
    vtimer_arm(s->timer, vclock_now() + (has_more ? SOON_NS : s->period));
    s->period = MIN(s->period * 2, PERIOD_MAX);
}

void svga_fifo_offer(struct svga *s)
{
    fifo_set(s, SVGA_FIFO_CAPABILITIES, SVGA_FIFO_CAP_FENCE | SVGA_FIFO_CAP_ACCELFRONT | SVGA_FIFO_CAP_CURSOR_BYPASS_3);
    fifo_set(s, SVGA_FIFO_FLAGS, 0);
    fifo_set(s, SVGA_FIFO_FENCE, 0);
}

void svga_fifo_open(struct svga *s)
{
    struct ring ring;
    s->regs.config_done = true;
    s->regs.skip = 0;
    s->regs.op.rows = 0;
    if (ring_load(s, &ring) && has_field(&ring, SVGA_FIFO_CURSOR_COUNT)) {
        svga_fifo_offer(s);
        s->regs.cursor_count = fifo_get(s, SVGA_FIFO_CURSOR_COUNT);
    }
    s->period = PERIOD_MIN;
    vtimer_arm(s->timer, vclock_now() + s->period);
}

void svga_fifo_resume(struct svga *s)
{
    vtimer_cancel(s->timer);
    s->period = PERIOD_MIN;
    if (s->regs.config_done)
        vtimer_arm(s->timer, vclock_now());
}

void svga_fifo_close(struct svga *s)
{
    s->regs.config_done = s->regs.is_syncing = false;
    s->regs.op.rows = 0;
    vtimer_cancel(s->timer);
}

/* Breakpoints and watchpoints: what is asked for, and what engines see of it. See points.h. */
#include "points.h"

#include <stdlib.h>
#include <string.h>

struct point {
    gla_t address;
    uint32_t len; /* of a watchpoint */
    uint32_t kind;
};

struct points points;

static struct {
    struct point asked[POINTS_MAX];
    unsigned asked_count;
    struct point seen[POINTS_MAX]; /* by engines; sorted by address */
    unsigned seen_count;
} set;

static bool is_break(enum debug_point kind)
{
    return kind == DEBUG_BREAK_SOFTWARE || kind == DEBUG_BREAK_HARDWARE;
}

static unsigned page_bits(const struct point *p)
{
    static const uint8_t bits[] = {[DEBUG_BREAK_SOFTWARE] = POINT_BREAK,
                                   [DEBUG_BREAK_HARDWARE] = POINT_BREAK,
                                   [DEBUG_WATCH_WRITE] = POINT_WRITE,
                                   [DEBUG_WATCH_READ] = POINT_READ,
                                   [DEBUG_WATCH_ACCESS] = POINT_WATCH};
    return bits[p->kind];
}

/* The last byte, which does not wrap: see points_add. */
static gla_t last_byte(const struct point *p)
{
    return p->address + (p->len - 1);
}

static int compare(const void *a, const void *b)
{
    const struct point *p = a, *q = b;
    if (p->address != q->address)
        return p->address < q->address ? -1 : 1;
    if (p->kind != q->kind)
        return p->kind < q->kind ? -1 : 1;
    return p->len == q->len ? 0 : p->len < q->len ? -1 : 1;
}

/* --- What engines ask --- */

/* Number of the first point at or above the address. */
static unsigned first_from(gla_t address)
{
    unsigned lo = 0, hi = set.seen_count;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (set.seen[mid].address < address)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool points_break_at(gla_t gla)
{
    if (!(points_of_page(gla) & POINT_BREAK))
        return false;
    for (unsigned i = first_from(gla); i < set.seen_count && set.seen[i].address == gla; i++) {
        if (is_break(set.seen[i].kind))
            return true;
    }
    return false;
}

bool points_watch(gla_t gla, uint32_t n, bool write, gla_t *first, enum debug_point *kind)
{
    unsigned wanted = write ? POINT_WRITE : POINT_READ;
    gla_t last = gla + (n - 1);
    bool found = false;
    if (!((points_of_page(gla) | points_of_page(last)) & wanted))
        return false;
    /* An access that wraps: its two parts. */
    if (last < gla)
        return points_watch(gla, -gla, write, first, kind) || points_watch(0, last + 1, write, first, kind);
    for (unsigned i = 0; i < set.seen_count && set.seen[i].address <= last; i++) {
        const struct point *p = &set.seen[i];
        if (!(page_bits(p) & wanted) || last_byte(p) < gla)
            continue;
        gla_t at = p->address > gla ? p->address : gla;
        if (found && at >= *first)
            continue;
        *first = at;
        *kind = (enum debug_point)p->kind;
        found = true;
    }
    return found;
}

/* --- What is asked for --- */

static struct point *find(enum debug_point kind, gla_t address, uint32_t len)
{
    for (unsigned i = 0; i < set.asked_count; i++) {
        struct point *p = &set.asked[i];
        if (p->kind == kind && p->address == address && p->len == len)
            return p;
    }
    return NULL;
}

bool points_add(enum debug_point kind, gla_t address, uint32_t len)
{
    if (is_break(kind))
        len = 1;
    if (len < 1 || len > PAGE_SIZE || address + (len - 1) < address)
        return false;
    if (find(kind, address, len))
        return true;
    if (set.asked_count == POINTS_MAX)
        return false;
    set.asked[set.asked_count++] = (struct point){address, len, kind};
    return true;
}

bool points_remove(enum debug_point kind, gla_t address, uint32_t len)
{
    struct point *p = find(kind, address, is_break(kind) ? 1 : len);
    if (!p)
        return false;
    *p = set.asked[--set.asked_count];
    return true;
}

void points_remove_all(void)
{
    set.asked_count = 0;
}

bool points_wanted(enum debug_point kind, gla_t address)
{
    return find(kind, address, 1) != NULL;
}

/* --- From one to the other --- */

static void mark_pages(uint8_t *page)
{
    for (unsigned i = 0; i < set.seen_count; i++) {
        const struct point *p = &set.seen[i];
        if (is_break(p->kind))
            points.break_offsets[(p->address & (PAGE_SIZE - 1)) >> 6] |= 1ull << (p->address & 63);
        for (uint32_t n = p->address >> PAGE_SHIFT; n <= last_byte(p) >> PAGE_SHIFT; n++)
            page[n] |= (uint8_t)page_bits(p);
    }
}

static void tell(const struct point *p, points_changed_fn *changed, void *opaque)
{
    for (uint32_t n = p->address >> PAGE_SHIFT; n <= last_byte(p) >> PAGE_SHIFT; n++)
        changed(opaque, n << PAGE_SHIFT);
}

void points_take_over(points_changed_fn *changed, void *opaque)
{
    static struct point before[POINTS_MAX];
    unsigned before_count = set.seen_count, i = 0, k = 0;
    memcpy(before, set.seen, before_count * sizeof *before);
    memcpy(set.seen, set.asked, set.asked_count * sizeof *set.seen);
    set.seen_count = set.asked_count;
    qsort(set.seen, set.seen_count, sizeof *set.seen, compare);
    if (before_count == set.seen_count && !memcmp(before, set.seen, before_count * sizeof *before))
        return;
    g_free(points.page);
    points.page = NULL;
    memset(points.break_offsets, 0, sizeof points.break_offsets);
    if (set.seen_count) {
        points.page = g_malloc0(1u << (32 - PAGE_SHIFT));
        mark_pages(points.page);
    }
    while (i < before_count || k < set.seen_count) {
        int order = i == before_count ? 1 : k == set.seen_count ? -1 : compare(&before[i], &set.seen[k]);
        if (order < 0)
            tell(&before[i++], changed, opaque);
        else if (order > 0)
            tell(&set.seen[k++], changed, opaque);
        else
            i++, k++;
    }
}

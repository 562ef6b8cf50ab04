/* Who has a page of RAM mapped, so that it can be protected when it gets translations. */
#include "shadow_space.h"

#include <sys/mman.h>

#include "log.h"

/* Writable small-page mappings of each RAM page: who must be told when it gets translations. */
struct rmap {
    uint32_t next;
    uint32_t where; /* gla page 0..19, view 20..21, space 22.. */
};
#define RMAP_MAX    (1u << 22)
#define RMAP_MARGIN 4096 /* what one fill may add */
#define PLACES_MAX  128  /* of one page: all spaces and views have it in one place each, or a few in many */
static struct rmap *rmap_pool;
static uint32_t rmap_used, rmap_free, rmap_live;
static uint32_t *rmap_head;
static uint8_t *rmap_places; /* length of the list */

/* Pages that lost a place, not yet unmapped there: mostly they lie side by side, and go with one call. */
static struct {
    struct space *s;
    enum view view;
    gla_t first;
    uint32_t pages;
} leaving;

void rmap_init(void)
{
    rmap_pool = shadow_reserve(RMAP_MAX * sizeof *rmap_pool);
    rmap_head = shadow_reserve(MEM_PAGES * sizeof *rmap_head);
    rmap_places = shadow_reserve(MEM_PAGES);
    rmap_trim();
}

void rmap_trim(void)
{
    madvise(rmap_pool, RMAP_MAX * sizeof *rmap_pool, MADV_DONTNEED);
    madvise(rmap_head, MEM_PAGES * sizeof *rmap_head, MADV_DONTNEED);
    madvise(rmap_places, MEM_PAGES, MADV_DONTNEED);
    rmap_used = 1;
    rmap_free = rmap_live = 0;
}

static uint32_t where_of(const struct space *s, enum view view, gla_t gla)
{
    return gla >> PAGE_SHIFT | (uint32_t)view << 20 | space_number(s) << 22;
}

bool rmap_is_crowded(void)
{
    return rmap_live > RMAP_MAX - RMAP_MARGIN;
}

bool rmap_is_full(gpa_t gpa)
{
    return rmap_places[gpa >> PAGE_SHIFT] == PLACES_MAX;
}

void rmap_settle(void)
{
    if (leaving.pages)
        space_unmap_page(leaving.s, leaving.view, leaving.first, leaving.pages);
    leaving.pages = 0;
}

static void leave(struct space *s, enum view view, gla_t gla)
{
    struct ptcopy *c = s->pt[gla >> pde_shift(s)];
    unsigned j = entry_number(s, gla);
    bit_clear(c->mapped[view], j);
    if (view == VIEW_CELL)
        bit_clear(c->direct, j);
    if (!leaving.pages || leaving.s != s || leaving.view != view ||
        leaving.first + (leaving.pages << PAGE_SHIFT) != gla) {
        rmap_settle();
        leaving.s = s;
        leaving.view = view;
        leaving.first = gla;
    }
    leaving.pages++;
}

/* *p is an entry of page pfn. */
static void unlink_place(uint32_t *p, gpa_t pfn)
{
    uint32_t n = *p;
    *p = rmap_pool[n].next;
    rmap_pool[n].next = rmap_free;
    rmap_free = n;
    rmap_live--;
    rmap_places[pfn]--;
}

/* The oldest place of a page goes. */
static void drop_oldest(gpa_t pfn)
{
    uint32_t *p = &rmap_head[pfn];
    while (rmap_pool[*p].next)
        p = &rmap_pool[*p].next;
    uint32_t where = rmap_pool[*p].where;
    unlink_place(p, pfn);
    leave(&shadow_spaces[where >> 22], where >> 20 & 3, where << PAGE_SHIFT);
}

void rmap_add(const struct space *s, enum view view, gla_t gla, gpa_t gpa)
{
    gpa_t pfn = gpa >> PAGE_SHIFT;
    if (rmap_places[pfn] == PLACES_MAX)
        drop_oldest(pfn);
    uint32_t n = rmap_free;
    if (n)
        rmap_free = rmap_pool[n].next;
    else if (rmap_used < RMAP_MAX)
        n = rmap_used++;
    assert_always(n); /* see rmap_is_crowded */
    rmap_pool[n] = (struct rmap){.next = rmap_head[pfn], .where = where_of(s, view, gla)};
    rmap_head[pfn] = n;
    rmap_live++;
    rmap_places[pfn]++;
}

void rmap_remove(const struct space *s, enum view view, gla_t gla, gpa_t gpa)
{
    if (gpa >> PAGE_SHIFT >= MEM_PAGES)
        return;
    uint32_t where = where_of(s, view, gla);
    for (uint32_t *p = &rmap_head[gpa >> PAGE_SHIFT]; *p; p = &rmap_pool[*p].next)
        if (rmap_pool[*p].where == where) {
            unlink_place(p, gpa >> PAGE_SHIFT);
            return;
        }
}

bool rmap_find_cell(gpa_t gpa, struct space **s, gla_t *gla)
{
    for (uint32_t n = rmap_head[gpa >> PAGE_SHIFT]; n; n = rmap_pool[n].next) {
        uint32_t where = rmap_pool[n].where;
        if ((where >> 20 & 3) != VIEW_CELL)
            continue;
        *s = &shadow_spaces[where >> 22];
        *gla = where << PAGE_SHIFT;
        return true;
    }
    return false;
}

void shadow_protect(gpa_t page)
{
    for (uint32_t n = rmap_head[page >> PAGE_SHIFT]; n; n = rmap_pool[n].next) {
        uint32_t where = rmap_pool[n].where;
        struct space *s = &shadow_spaces[where >> 22];
        enum view view = where >> 20 & 3;
        gla_t gla = where << PAGE_SHIFT;
        if (view == VIEW_CELL)
            space_cell_protect(s, gla);
        else if (!window_protect(s->window[view], gla, PAGE_SIZE, false))
            window_unmap(s->window[view], gla, PAGE_SIZE);
    }
    for (unsigned i = 0; i < SPACES; i++) {
        struct space *s = &shadow_spaces[i];
        for (unsigned n = 0; s->live && n < s->used_count; n++) {
            unsigned d = s->used[n];
            if (s->kind[d] != PDE_LARGE || !s->large_mapped[d])
                continue;
            gpa_t base = large_gpa(s, s->pde[d]);
            if (page < base || page >= base + pde_span(s))
                continue;
            gla_t gla = entry_gla(s, d, 0) + (gla_t)(page - base);
            for (unsigned v = 0; v < WINDOWS; v++)
                if ((s->large_mapped[d] & 4u << v) && !window_protect(s->window[v], gla, PAGE_SIZE, false))
                    window_unmap(s->window[v], gla, PAGE_SIZE);
        }
    }
}

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

void rmap_init(void)
{
    shadow.rmap.pool = shadow_reserve(RMAP_MAX * sizeof *shadow.rmap.pool);
    shadow.rmap.head = shadow_reserve(MEM_PAGES * sizeof *shadow.rmap.head);
    shadow.rmap.places = shadow_reserve(MEM_PAGES);
    rmap_trim();
}

void rmap_trim(void)
{
    madvise(shadow.rmap.pool, RMAP_MAX * sizeof *shadow.rmap.pool, MADV_DONTNEED);
    madvise(shadow.rmap.head, MEM_PAGES * sizeof *shadow.rmap.head, MADV_DONTNEED);
    madvise(shadow.rmap.places, MEM_PAGES, MADV_DONTNEED);
    shadow.rmap.used = 1;
    shadow.rmap.free = shadow.rmap.live = 0;
}

static uint32_t where_of(const struct space *s, enum view view, gla_t gla)
{
    return gla >> PAGE_SHIFT | (uint32_t)view << 20 | space_number(s) << 22;
}

bool rmap_is_crowded(void)
{
    return shadow.rmap.live > RMAP_MAX - RMAP_MARGIN;
}

bool rmap_is_full(gpa_t gpa)
{
    return shadow.rmap.places[gpa >> PAGE_SHIFT] == PLACES_MAX;
}

void rmap_settle(void)
{
    struct leaving *l = &shadow.rmap.leaving;
    if (l->pages)
        view_unmap(l->s, l->view, l->first, (uint64_t)l->pages << PAGE_SHIFT);
    l->pages = 0;
}

static void leave(struct space *s, enum view view, gla_t gla)
{
    struct ptcopy *c = s->pt[gla >> pde_shift(s)];
    unsigned j = entry_number(s, gla);
    bit_clear(c->mapped[view], j);
    if (view == VIEW_CELL)
        bit_clear(c->direct, j);
    struct leaving *l = &shadow.rmap.leaving;
    if (!l->pages || l->s != s || l->view != view || l->first + (l->pages << PAGE_SHIFT) != gla) {
        rmap_settle();
        l->s = s;
        l->view = view;
        l->first = gla;
    }
    l->pages++;
}

/* *p is an entry of page pfn. */
static void unlink_place(uint32_t *p, gpa_t pfn)
{
    uint32_t n = *p;
    *p = shadow.rmap.pool[n].next;
    shadow.rmap.pool[n].next = shadow.rmap.free;
    shadow.rmap.free = n;
    shadow.rmap.live--;
    shadow.rmap.places[pfn]--;
}

/* The oldest place of a page goes. */
static void drop_oldest(gpa_t pfn)
{
    uint32_t *p = &shadow.rmap.head[pfn];
    while (shadow.rmap.pool[*p].next)
        p = &shadow.rmap.pool[*p].next;
    uint32_t where = shadow.rmap.pool[*p].where;
    unlink_place(p, pfn);
    leave(&shadow.spaces[where >> 22], where >> 20 & 3, where << PAGE_SHIFT);
}

void rmap_add(const struct space *s, enum view view, gla_t gla, gpa_t gpa)
{
    gpa_t pfn = gpa >> PAGE_SHIFT;
    if (shadow.rmap.places[pfn] == PLACES_MAX)
        drop_oldest(pfn);
    uint32_t n = shadow.rmap.free;
    if (n)
        shadow.rmap.free = shadow.rmap.pool[n].next;
    else if (shadow.rmap.used < RMAP_MAX)
        n = shadow.rmap.used++;
    assert_always(n); /* see rmap_is_crowded */
    shadow.rmap.pool[n] = (struct rmap){.next = shadow.rmap.head[pfn], .where = where_of(s, view, gla)};
    shadow.rmap.head[pfn] = n;
    shadow.rmap.live++;
    shadow.rmap.places[pfn]++;
}

void rmap_remove(const struct space *s, enum view view, gla_t gla, gpa_t gpa)
{
    if (gpa >> PAGE_SHIFT >= MEM_PAGES)
        return;
    uint32_t where = where_of(s, view, gla);
    for (uint32_t *p = &shadow.rmap.head[gpa >> PAGE_SHIFT]; *p; p = &shadow.rmap.pool[*p].next)
        if (shadow.rmap.pool[*p].where == where) {
            unlink_place(p, gpa >> PAGE_SHIFT);
            return;
        }
}

bool rmap_find_cell(gpa_t gpa, struct space **s, gla_t *gla)
{
    for (uint32_t n = shadow.rmap.head[gpa >> PAGE_SHIFT]; n; n = shadow.rmap.pool[n].next) {
        uint32_t where = shadow.rmap.pool[n].where;
        if ((where >> 20 & 3) != VIEW_CELL)
            continue;
        *s = &shadow.spaces[where >> 22];
        *gla = where << PAGE_SHIFT;
        return true;
    }
    return false;
}

bool rmap_next_large(gpa_t page, unsigned *n, struct space **s, gla_t *gla)
{
    while (*n < SPACES * PDES) {
        unsigned k = *n % PDES;
        *s = &shadow.spaces[*n / PDES];
        if (!(*s)->live || k >= (*s)->used_count) {
            *n += PDES - k;
            continue;
        }
        ++*n;
        unsigned i = (*s)->used[k];
        if ((*s)->kind[i] != PDE_LARGE || !(*s)->large_mapped[i])
            continue;
        gpa_t base = large_gpa(*s, (*s)->pde[i]);
        if (page >= base && page < base + pde_span(*s)) {
            *gla = entry_gla(*s, i, 0) + (gla_t)(page - base);
            return true;
        }
    }
    return false;
}

void shadow_protect(gpa_t page)
{
    for (uint32_t n = shadow.rmap.head[page >> PAGE_SHIFT]; n; n = shadow.rmap.pool[n].next) {
        uint32_t where = shadow.rmap.pool[n].where;
        struct space *s = &shadow.spaces[where >> 22];
        enum view view = where >> 20 & 3;
        gla_t gla = where << PAGE_SHIFT;
        if (view != VIEW_CELL || !space_cell_is_direct(s, gla))
            view_protect(s, view, gla, PAGE_SIZE);
    }
    struct space *s;
    gla_t gla;
    for (unsigned n = 0; rmap_next_large(page, &n, &s, &gla);)
        for (unsigned v = 0; v < VIEWS; v++)
            if (s->large_mapped[gla >> pde_shift(s)] & LARGE_WRITABLE(v))
                view_protect(s, v, gla, PAGE_SIZE);
}

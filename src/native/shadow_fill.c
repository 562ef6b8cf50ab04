/* Guest pages into windows, on demand. */
#include "points.h"
#include "shadow_space.h"
#include "translator/site.h"

#include <string.h>
#include <sys/mman.h>

void shadow_fill_init(void)
{
    shadow.ptcopy.pool = shadow_reserve(PTCOPIES * sizeof *shadow.ptcopy.pool);
    shadow_fill_trim();
}

void shadow_fill_trim(void)
{
    madvise(shadow.ptcopy.pool, PTCOPIES * sizeof *shadow.ptcopy.pool, MADV_DONTNEED);
    for (unsigned i = 0; i < PTCOPIES; i++)
        shadow.ptcopy.stack[i] = (uint16_t)(PTCOPIES - 1 - i); /* low ones first */
    shadow.ptcopy.free_count = PTCOPIES;
}

void ptcopy_free(struct ptcopy *c)
{
    shadow.ptcopy.stack[shadow.ptcopy.free_count++] = (uint16_t)(c - shadow.ptcopy.pool);
}

/* The copy of table i, taking entries into account from now on. */
struct ptcopy *space_use_table(struct space *s, const struct walk *k)
{
    if (s->kind[k->i] != PDE_UNUSED && s->pde[k->i] != (k->pde | PTE_A))
        space_drop_pde(s, k->i, true); /* changed without an invalidation yet: use what is there now */
    if (s->kind[k->i] == PDE_TABLE)
        return s->pt[k->i];
    while (!k->large && !shadow.ptcopy.free_count)
        shadow_evict();
    bool listed = false;
    for (unsigned n = 0; n < s->used_count && !listed; n++)
        listed = s->used[n] == k->i;
    if (!listed)
        s->used[s->used_count++] = (uint16_t)k->i;
    s->pde[k->i] = k->pde | PTE_A;
    s->kind[k->i] = k->large ? PDE_LARGE : PDE_TABLE;
    if (k->large)
        return NULL;
    struct ptcopy *c = s->pt[k->i] = &shadow.ptcopy.pool[shadow.ptcopy.stack[--shadow.ptcopy.free_count]];
    c->table = k->table;
    memset(c->mapped, 0, sizeof c->mapped);
    memset(c->code, 0, sizeof c->code);
    memset(c->direct, 0, sizeof c->direct);
    memcpy(c->e32, mem_ptr(k->table), PAGE_SIZE);
    return c;
}

/* Brings entry j of the copy up to date; drops what was made from an older value. */
void space_use_entry(struct space *s, struct ptcopy *c, const struct walk *k, uint64_t pte)
{
    if ((used_bits(c, k->j >> 6) >> (k->j & 63) & 1) &&
        (copy_entry(s, c, k->j) | PTE_A | PTE_D) != (pte | PTE_A | PTE_D))
        space_drop_entry(s, k->i, k->j, true);
    copy_set(s, c, k->j, pte);
}

/* What a page of RAM needs inside a large mapping: MEM_PAGE_MMIO (to be absent), MEM_PAGE_ROM (to be
 * read-only, also for its translations) or nothing. */
static uint8_t page_exception(gpa_t gpa)
{
    uint8_t flags = mem_page_flags(gpa);
    return flags & MEM_PAGE_MMIO ? MEM_PAGE_MMIO : flags & (MEM_PAGE_GUARDED | MEM_PAGE_ROM) ? MEM_PAGE_ROM : 0;
}

/* The supervisor's large pages have all that programs' code is in, some pages of it in each: what lies between two that
 * are to be read-only is made so as well, which one call does and one mapping takes. Who writes there gets that page
 * back (fill_large), which few do: around code there is code, and what else is in files. */
#define GAP_MOST (16 * PAGE_SIZE)

/* Where the pages end that are treated as the one at off is, which wants it. */
static uint64_t exception_end(enum view view, gpa_t gpa, uint64_t off, uint64_t len, uint8_t want)
{
    uint64_t end = off + PAGE_SIZE, gap = view == VIEW_SUPERVISOR && want == MEM_PAGE_ROM ? GAP_MOST : 0;
    for (uint64_t at = end; want && at < len && at - end <= gap; at += PAGE_SIZE) {
        uint8_t here = page_exception(gpa + at);
        if (here && here != want)
            break;
        if (here)
            end = at + PAGE_SIZE;
    }
    return end;
}

void space_fix_large(struct space *s, enum view view, gla_t gla, gpa_t gpa, uint64_t len)
{
    for (uint64_t off = 0; off < len;) {
        uint8_t want = page_exception(gpa + off);
        uint64_t end = exception_end(view, gpa, off, len, want);
        if (want == MEM_PAGE_MMIO)
            view_unmap(s, view, gla + (gla_t)off, end - off);
        else if (want)
            view_protect(s, view, gla + (gla_t)off, end - off);
        off = end;
    }
    for (uint64_t off = 0; unlikely(points.page != NULL) && off < len; off += PAGE_SIZE) {
        unsigned watched = points_of_page(gla + (gla_t)off);
        if (watched & POINT_READ)
            view_unmap(s, view, gla + (gla_t)off, PAGE_SIZE);
        else if (watched & POINT_WRITE)
            view_protect(s, view, gla + (gla_t)off, PAGE_SIZE);
    }
}

/* One page of what a large page covers. */
static enum fill fill_page(const struct space *s, const struct walk *k, unsigned view, gla_t gla, bool write)
{
    bool ok = shadow_map_or_evict(s->window[view], gla & PAGE_MASK, mem_file_offset(k->page), PAGE_SIZE, write, true);
    return ok ? FILL_OK : FILL_EMULATE;
}

static enum fill fill_large(struct space *s, struct walk *k, unsigned view, gla_t gla, bool write, bool writable)
{
    gla_t base = gla & ~(gla_t)(pde_span(s) - 1);
    gpa_t gpa = large_gpa(s, k->pde);
    uint64_t len = large_ram(s, gpa);
    space_use_table(s, k);
    s->pde[k->i] = k->pde; /* with the A and D bits just set */
    uint8_t bit = LARGE_MAPPED(view), wbit = LARGE_WRITABLE(view);
    if ((s->large_mapped[k->i] & bit) && (!write || (s->large_mapped[k->i] & wbit))) {
        /* Mapped already: a single page was protected for its translations, which are gone now. */
        if (write && window_protect(s->window[view], gla & PAGE_MASK, PAGE_SIZE, true))
            return FILL_OK;
        /* Or a page is missing that is RAM by now, or the host refused part of it: map that page. */
        return fill_page(s, k, view, gla, write);
    }
    if (!mem_is_ram(k->page)) { /* video RAM, ROM: page by page */
        s->large_mapped[k->i] |= bit | (writable ? wbit : 0);
        return fill_page(s, k, view, gla, write);
    }
    if (!shadow_map_or_evict(s->window[view], base, mem_ram_offset(gpa), len, writable, false))
        return FILL_EMULATE;
    if (s->kind[k->i] != PDE_LARGE)
        return FILL_OK; /* the present space had to go as well: begin again */
    s->large_mapped[k->i] |= bit | (writable ? wbit : 0);
    space_fix_large(s, view, base, gpa, len);
    return FILL_OK;
}

/* Fault-around: how many pages from entry j on continue the frame at k->page with the same rights. */
static unsigned run_length(const struct space *s, const struct ptcopy *c, const struct walk *k, unsigned view,
                           gla_t gla)
{
    unsigned n = 1;
    size_t size = entry_size(s);
    const uint8_t *table = mem_ptr(k->table);
    while (n < RUN_MAX && k->j + n < table_entries(s)) {
        uint64_t pte = entry_read(s, table + (k->j + n) * size);
        gpa_t page = k->page + n * PAGE_SIZE;
        if (pte != k->pte + n * PAGE_SIZE || bit_test(c->mapped[view], k->j + n) || page >= mem_ram_end(page) ||
            (points_of_page(gla + n * PAGE_SIZE) & POINT_WATCH) ||
            rmap_is_full(page) || /* another place, perhaps in use, would have to go */
            (guest_mem.page_flags[page >> PAGE_SHIFT] & (MEM_PAGE_GUARDED | MEM_PAGE_ROM | MEM_PAGE_MMIO)))
            break;
        n++;
    }
    return n;
}

uint64_t shadow_page_number(gla_t gla)
{
    return (uint64_t)shadow.current->serial << 32 | gla >> PAGE_SHIFT;
}

/* Does the guest's entry allow it? */
static bool may_access(const struct space *s, const struct walk *k, enum view view, bool write, bool *may_write)
{
    *may_write = k->w || (!view && !(s->config & CONFIG_WP));
    return (!view || k->u) && (!write || *may_write);
}

uint8_t *shadow_touch(struct bt *bt, enum view view, gla_t gla, bool write, gpa_t *frame)
{
    const struct space *s = shadow.current;
    struct walk k;
    bool may_write;
    if (!shadow_walk(&bt->cpu, s, gla, &k) || k.large || !may_access(s, &k, view, write, &may_write) ||
        !mem_ptr(k.page) || (write && mem_page_flags(k.page)) || unlikely(points_of_page(gla) & POINT_WATCH) ||
        !shadow_set_accessed(&k, write))
        return NULL;
    *frame = k.page;
    return mem_ptr(k.page) + (gla & ~PAGE_MASK);
}

enum fill shadow_fill(struct bt *bt, enum view view, gla_t gla, bool write, uint32_t *error)
{
    struct space *s = shadow.current;
    struct walk k;
    shadow.stats.fills++;
    if (!shadow_walk(&bt->cpu, s, gla, &k)) {
        if (k.odd)
            return FILL_EMULATE;
        *error = (write ? PFERR_W : 0) | (view ? PFERR_U : 0);
        shadow.stats.faults++;
        return FILL_FAULT;
    }
    bool may_write;
    if (!may_access(s, &k, view, write, &may_write)) {
        *error = PFERR_P | (write ? PFERR_W : 0) | (view ? PFERR_U : 0);
        shadow.stats.faults++;
        return FILL_FAULT;
    }
    uint8_t flags = mem_page_flags(k.page);
    unsigned watched = points_of_page(gla) & POINT_WATCH;
    if (!mem_ptr(k.page) || (write && (flags & (MEM_PAGE_GUARDED | MEM_PAGE_ROM))) ||
        (unlikely(watched) && (write || (watched & POINT_READ)))) {
        shadow.stats.emulated++;
        return FILL_EMULATE;
    }
    if (shadow_is_crowded())
        shadow_make_room(&bt->cpu);
    if (!shadow_set_accessed(&k, write))
        return FILL_EMULATE;
    bool writable = may_write && (k.pte & PTE_D);
    tr_site_mapped(shadow_page_number(gla), k.page);
    if (k.large)
        return fill_large(s, &k, view, gla, write, writable);

    struct ptcopy *c = space_use_table(s, &k);
    space_use_entry(s, c, &k, k.pte);
    if ((flags & (MEM_PAGE_GUARDED | MEM_PAGE_ROM)) || unlikely(watched))
        writable = false;
    bool already = bit_test(c->mapped[view], k.j);
    unsigned n = already || watched || !(flags == 0 || flags == MEM_PAGE_DECODED) ? 1 : run_length(s, c, &k, view, gla);
    if (!shadow_map_or_evict(s->window[view], gla & PAGE_MASK, mem_file_offset(k.page), (uint64_t)n << PAGE_SHIFT,
                             writable, true))
        return FILL_EMULATE;
    if (s->kind[k.i] != PDE_TABLE)
        return FILL_OK; /* the present space had to go as well: begin again */
    for (unsigned m = 0; m < n; m++) {
        gla_t at = (gla & PAGE_MASK) + m * PAGE_SIZE;
        if (bit_test(c->mapped[view], k.j + m))
            rmap_remove(s, view, at, k.page + m * PAGE_SIZE);
        if (m) {
            struct walk next = k;
            next.j += m;
            space_use_entry(s, c, &next, k.pte + m * PAGE_SIZE);
        }
        bit_set(c->mapped[view], k.j + m);
        if (writable)
            rmap_add(s, view, at, k.page + m * PAGE_SIZE);
    }
    rmap_settle();
    return FILL_OK;
}

enum fill shadow_fill_site(struct bt *bt, uint32_t *error)
{
    gla_t gla = bt->site_gla;
    bool write = bt->exit_arg & SITE_WRITE;
    if (gla >= (gla_t)-512)
        return FILL_EMULATE; /* may cross 4 GiB */
    enum fill fill = shadow_fill(bt, bt->cpu.cpl == 3 ? VIEW_USER : VIEW_SUPERVISOR, gla, write, error);
    return fill == FILL_OK && !window_lists(bt->window, gla, write) ? FILL_EMULATE : fill;
}

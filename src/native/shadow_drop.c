/* Out of windows again: what guest tables no longer say, and what is in the way. */
#include "shadow_space.h"
#include "translator/jtable.h"

#include <string.h>

void view_unmap(struct space *s, enum view view, gla_t gla, uint64_t len)
{
    if (view == VIEW_CELL)
        space_cell_unmap(s, gla, len);
    else
        window_unmap(s->window[view], gla, len);
}

void view_protect(struct space *s, enum view view, gla_t gla, uint64_t len)
{
    if (view == VIEW_CELL)
        space_cell_protect(s, gla, len);
    else if (!window_protect(s->window[view], gla, len, false))
        window_unmap(s->window[view], gla, len);
}

void space_drop_entry(struct space *s, unsigned i, unsigned j, bool unmap)
{
    struct ptcopy *c = s->pt[i];
    gla_t gla = entry_gla(s, i, j);
    for (unsigned v = 0; v < VIEWS; v++)
        if (bit_test(c->mapped[v], j)) {
            bit_clear(c->mapped[v], j);
            rmap_remove(s, v, gla, small_gpa(s, copy_entry(s, c, j)));
            if (unmap)
                view_unmap(s, v, gla, PAGE_SIZE);
        }
    bit_clear(c->direct, j);
    if (bit_test(c->code, j)) {
        bit_clear(c->code, j);
        space_drop_code(s, gla);
    }
    shadow.stats.dropped_pages++;
}

void space_drop_pde(struct space *s, unsigned i, bool unmap)
{
    gla_t gla = entry_gla(s, i, 0);
    bool mapped[VIEWS] = {false};
    if (s->kind[i] == PDE_LARGE) {
        for (unsigned v = 0; v < VIEWS; v++)
            mapped[v] = s->large_mapped[i] & LARGE_MAPPED(v);
        if (s->large_code[i])
            for (uint64_t off = 0; off < pde_span(s); off += PAGE_SIZE)
                space_drop_code(s, gla + (gla_t)off);
        s->large_mapped[i] = 0;
        s->large_code[i] = 0;
    } else if (s->kind[i] == PDE_TABLE) {
        struct ptcopy *c = s->pt[i];
        for (unsigned w = 0; w < 16; w++) {
            for (unsigned v = 0; v < VIEWS; v++)
                mapped[v] |= c->mapped[v][w] != 0;
            uint64_t any = used_bits(c, w);
            while (any) {
                unsigned j = w * 64 + (unsigned)__builtin_ctzll(any);
                any &= any - 1;
                space_drop_entry(s, i, j, false);
            }
        }
        ptcopy_free(c);
        s->pt[i] = NULL;
    }
    for (unsigned v = 0; v < VIEWS && unmap; v++)
        if (mapped[v])
            view_unmap(s, v, gla, pde_span(s));
    s->kind[i] = PDE_UNUSED;
    shadow.stats.dropped_ranges++;
}

void shadow_drop_page(gla_t gla)
{
    for (unsigned n = 0; n < SPACES; n++) {
        struct space *s = &shadow.spaces[n];
        unsigned i = gla >> pde_shift(s), j = entry_number(s, gla);
        if (!s->live || s->kind[i] == PDE_UNUSED)
            continue;
        space_drop_code(s, gla); /* blocks that run wherever their page is mapped know of no points */
        if (s->kind[i] == PDE_TABLE && (used_bits(s->pt[i], j >> 6) >> (j & 63) & 1))
            space_drop_entry(s, i, j, true);
        if (s->kind[i] != PDE_LARGE)
            continue;
        for (unsigned v = 0; v < WINDOWS; v++)
            if (s->large_mapped[i] & LARGE_MAPPED(v))
                view_unmap(s, v, gla & PAGE_MASK, PAGE_SIZE);
        space_cell_unmap_large(s, i); /* the cell's faults do not say whether they are for reading */
    }
}

/* Empties a space. */
void space_clear(struct space *s)
{
    for (unsigned n = 0; n < s->used_count; n++)
        space_drop_pde(s, s->used[n], false);
    s->used_count = 0;
    for (unsigned v = 0; v < VIEWS; v++)
        view_unmap(s, v, 0, WINDOW_SIZE);
    for (unsigned k = 0; k < USER_TABLES; k++)
        if (s->user[k].table)
            jtable_clear(s->user[k].table);
    shadow.codes++;
}

/* The one that has not been present for longest, among those with pages; NULL: the present one is alone. */
static struct space *oldest_other(void)
{
    struct space *oldest = NULL;
    for (unsigned n = 0; n < SPACES; n++) {
        struct space *s = &shadow.spaces[n];
        if (s->live && s != shadow.current && s->used_count && (!oldest || s->used_at < oldest->used_at))
            oldest = s;
    }
    return oldest;
}

static void evict(struct space *s)
{
    shadow.stats.evicted++;
    space_clear(s);
}

void shadow_evict(void)
{
    struct space *other = oldest_other();
    evict(other ? other : shadow.current);
}

bool shadow_is_crowded(void)
{
    return window_crowded() || rmap_is_crowded();
}

#define LIVE_LEAST 8 /* spaces: as many processes as take turns closely */

/* Brings the spaces in line that were not looked at since they were present. What processes had that are no more goes,
 * and what a space that is taken over keeps, the kernel's half, stays: to evict costs the next process thousands of
 * faults. */
static void tidy(const struct cpu *cpu)
{
    for (unsigned n = 0; n < SPACES; n++) {
        struct space *s = &shadow.spaces[n];
        if (!s->live || s == shadow.current || s->tidied_at == s->used_at)
            continue;
        space_sync(cpu, s);
        s->tidied_at = s->used_at;
    }
}

void shadow_make_room(const struct cpu *cpu)
{
    tidy(cpu);
    struct space *s;
    bool fewer = false;
    while ((shadow_is_crowded() || !window_is_roomy()) && (s = oldest_other())) {
        evict(s);
        s->live = false;
        fewer = true;
    }
    if (shadow_is_crowded())
        evict(shadow.current);
    if (!fewer)
        return;
    /* From now on the next process takes a space over that has the kernel's half. */
    unsigned live = 0;
    for (unsigned n = 0; n < SPACES; n++)
        live += shadow.spaces[n].live;
    shadow.live_most = MAX(live, LIVE_LEAST);
}

/* Maps, dropping other spaces while the host refuses (too many mappings, address-space limit). False
 * when it refuses even so: the access must be emulated. May have dropped the current space too. */
bool shadow_map_or_evict(uint8_t *window, gla_t gla, uint64_t offset, uint64_t len, bool writable, bool populate)
{
    for (unsigned n = 0; n <= SPACES; n++) {
        if (window_map(window, gla, offset, len, writable, populate))
            return true;
        shadow_evict();
    }
    return false;
}

/* Runs of adjacent pages go with one call. */
struct run {
    gla_t first;
    uint32_t pages;
};

static void run_flush(struct space *s, unsigned view, struct run *r)
{
    if (r->pages)
        view_unmap(s, view, r->first, (uint64_t)r->pages << PAGE_SHIFT);
    r->pages = 0;
}
static void run_add(struct space *s, unsigned view, struct run *r, gla_t gla)
{
    if (r->pages && r->first + (r->pages << PAGE_SHIFT) == gla) {
        r->pages++;
        return;
    }
    run_flush(s, view, r);
    *r = (struct run){gla, 1};
}

#define COMPARE_WHOLE 64 /* used entries, from which on it is quicker to compare the 4 KiB first */

/* Drops from table i what no longer agrees with the guest's table. */
static void sync_table(struct space *s, unsigned i)
{
    struct ptcopy *c = s->pt[i];
    const uint8_t *table = mem_ptr(c->table);
    if (!table) {
        space_drop_pde(s, i, true);
        return;
    }
    unsigned used = 0;
    for (unsigned w = 0; w < table_entries(s) / 64; w++)
        used += (unsigned)__builtin_popcountll(used_bits(c, w));
    if (used >= COMPARE_WHOLE && memcmp(table, c->e32, PAGE_SIZE) == 0)
        return;
    struct run run[VIEWS] = {{0, 0}};
    size_t size = entry_size(s);
    for (unsigned w = 0; w < table_entries(s) / 64; w++) {
        uint64_t any = used_bits(c, w);
        while (any) {
            unsigned j = w * 64 + (unsigned)__builtin_ctzll(any);
            any &= any - 1;
            if (memcmp(table + j * size, (const uint8_t *)c->e32 + j * size, size) == 0)
                continue;
            gla_t gla = entry_gla(s, i, j);
            for (unsigned v = 0; v < VIEWS; v++)
                if (bit_test(c->mapped[v], j))
                    run_add(s, v, &run[v], gla);
            space_drop_entry(s, i, j, false);
        }
    }
    for (unsigned v = 0; v < VIEWS; v++)
        run_flush(s, v, &run[v]);
    if (used >= COMPARE_WHOLE)
        memcpy(c->e32, table, PAGE_SIZE); /* or it would never be equal again; what is not used need not be */
}

/* Compares everything the space uses with the guest's tables. */
void space_sync(const struct cpu *cpu, struct space *s)
{
    shadow.stats.syncs++;
    unsigned kept = 0;
    for (unsigned n = 0; n < s->used_count; n++) {
        unsigned i = s->used[n];
        if (space_pde(cpu, s, i) != s->pde[i])
            space_drop_pde(s, i, true);
        else if (s->kind[i] == PDE_TABLE)
            sync_table(s, i);
        if (s->kind[i] != PDE_UNUSED)
            s->used[kept++] = (uint16_t)i;
    }
    s->used_count = kept;
}

void space_sync_page(const struct cpu *cpu, struct space *s, gla_t gla)
{
    unsigned i = gla >> pde_shift(s);
    if (s->kind[i] == PDE_UNUSED)
        return;
    if (space_pde(cpu, s, i) != s->pde[i]) {
        space_drop_pde(s, i, true);
        for (unsigned n = 0; n < s->used_count; n++)
            if (s->used[n] == i) {
                s->used[n] = s->used[--s->used_count];
                break;
            }
        return;
    }
    if (s->kind[i] != PDE_TABLE)
        return;
    struct ptcopy *c = s->pt[i];
    unsigned j = entry_number(s, gla);
    if (!(used_bits(c, j >> 6) >> (j & 63) & 1))
        return;
    const uint8_t *table = mem_ptr(c->table);
    uint64_t pte = table ? entry_read(s, table + j * entry_size(s)) : 0;
    if (pte == copy_entry(s, c, j))
        return;
    /* What came with one mapping goes with one: a guest that takes a stretch apart does so page by page. Dropping too
     * much is always right. */
    struct run run[VIEWS] = {{0, 0}};
    uint64_t first = copy_entry(s, c, j);
    for (unsigned n = 0; n < RUN_MAX && j + n < table_entries(s); n++) {
        if (n && (copy_entry(s, c, j + n) != first + n * PAGE_SIZE || bit_test(c->code, j + n) ||
                  !(used_bits(c, (j + n) >> 6) >> ((j + n) & 63) & 1)))
            break;
        for (unsigned v = 0; v < VIEWS; v++)
            if (bit_test(c->mapped[v], j + n))
                run_add(s, v, &run[v], (gla & PAGE_MASK) + n * PAGE_SIZE);
        space_drop_entry(s, i, j + n, false);
    }
    for (unsigned v = 0; v < VIEWS; v++)
        run_flush(s, v, &run[v]);
}

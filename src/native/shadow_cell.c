/* Guest user pages into the cell of the present space (see cell.h): a view of the space like its windows, with the
 * same rules for going stale. A page is executable there only if its code may run directly, and not writable then.
 */
#include "shadow_space.h"

#include <sys/mman.h>

#include "cell.h"
#include "log.h"
#include "points.h"
#include "translator/block.h"
#include "translator/ginsn.h"

#define CELLS_MAX 12 /* processes of the host */

/* shadow.cell.scans; from SCAN_NOT on: how often that was found, see AGAIN. */
enum scan { SCAN_UNKNOWN, SCAN_DIRECT, SCAN_NOT };
/* What looks like an instruction that may not run so is often none: the more is known of a page, the fewer of them. So
 * one that was refused is looked at again when there are that many blocks of it, and then ever more. */
#define AGAIN(found) (4u << (2 * (found)))
#define AGAIN_MOST   4

void shadow_cell_init(void)
{
    shadow.cell.scans = shadow_reserve(MEM_PAGES);
    shadow.cell.worth = shadow_reserve(MEM_PAGES);
}

void space_cell_unmap(struct space *s, gla_t gla, uint64_t len)
{
    if (s->cell)
        cell_unmap(s->cell, gla, len);
}

void space_cell_protect(struct space *s, gla_t gla, uint64_t len)
{
    if (s->cell)
        cell_protect(s->cell, gla, len, PROT_READ);
}

static void forget_large(struct space *s, unsigned i)
{
    s->large_mapped[i] &= (uint8_t) ~(LARGE_MAPPED(VIEW_CELL) | LARGE_WRITABLE(VIEW_CELL));
}

void space_cell_unmap_large(struct space *s, unsigned i)
{
    if (s->large_mapped[i] & LARGE_MAPPED(VIEW_CELL))
        space_cell_unmap(s, entry_gla(s, i, 0), pde_span(s));
    forget_large(s, i);
}

bool space_cell_is_direct(const struct space *s, gla_t gla)
{
    unsigned i = gla >> pde_shift(s);
    return s->kind[i] == PDE_TABLE && bit_test(s->pt[i]->direct, entry_number(s, gla));
}

static void forget_page(struct space *s, struct ptcopy *c, unsigned j, gla_t gla, gpa_t page)
{
    bit_clear(c->mapped[VIEW_CELL], j);
    bit_clear(c->direct, j);
    rmap_remove(s, VIEW_CELL, gla, page);
}

/* Nothing is mapped in the cell any more. */
static void forget_mappings(struct space *s)
{
    for (unsigned n = 0; n < s->used_count; n++) {
        unsigned i = s->used[n];
        struct ptcopy *c = s->pt[i];
        forget_large(s, i);
        for (unsigned w = 0; s->kind[i] == PDE_TABLE && w < 16; w++)
            while (c->mapped[VIEW_CELL][w]) {
                unsigned j = w * 64 + (unsigned)__builtin_ctzll(c->mapped[VIEW_CELL][w]);
                forget_page(s, c, j, entry_gla(s, i, j), small_gpa(s, copy_entry(s, c, j)));
            }
    }
}

static void give_up_cell(struct space *s)
{
    forget_mappings(s);
    cell_free(s->cell);
    s->cell = NULL;
    shadow.cell.count--;
}

void shadow_cell_drop(void)
{
    if (shadow.current->cell)
        give_up_cell(shadow.current);
}

void shadow_cell_drop_mappings(void)
{
    forget_mappings(shadow.current);
}

struct cell *shadow_cell(const char **why)
{
    struct space *s = shadow.current;
    if (s->cell && cell_is_dead(s->cell))
        give_up_cell(s);
    if (s->cell)
        return s->cell;
    while (shadow.cell.count >= CELLS_MAX) {
        struct space *oldest = NULL;
        for (unsigned n = 0; n < SPACES; n++)
            if (shadow.spaces[n].cell && (!oldest || shadow.spaces[n].used_at < oldest->used_at))
                oldest = &shadow.spaces[n];
        give_up_cell(oldest);
    }
    s->cell = cell_new(why);
    shadow.cell.count += s->cell != NULL;
    return s->cell;
}

uint32_t shadow_space_serial(void)
{
    return shadow.current->serial;
}

/* --- pages with code --- */

/* While the guest's kernel has not set CR4.OSFXSR, SSE code is #UD, and the host's processor would execute it. */
static uint32_t isa_now(const struct bt *bt)
{
    bool sse = bt->cpu.cr4 & CR4_OSFXSR;
    if (sse && !shadow.cell.with_sse) { /* what was refused for its SSE code is looked at again */
        shadow.cell.with_sse = true;
        madvise(shadow.cell.scans, MEM_PAGES, MADV_DONTNEED);
    }
    return sse ? bt->isa : bt->isa & ~GISA_SSE_ALL;
}

bool shadow_cell_may_have_sse(void)
{
    return shadow.cell.with_sse;
}

static bool may_execute(struct bt *bt, const struct walk *k, gla_t gla, unsigned entry)
{
    gpa_t pfn = k->page >> PAGE_SHIFT;
    uint32_t isa = isa_now(bt);
    if (k->nx || tcache_page_is_mixed(k->page)) /* it would be looked through again and again */
        return false;
    if (points_of_page(gla) & POINT_BREAK)
        return false;
    if (!(guest_mem.page_flags[pfn] & MEM_PAGE_DIRECT))
        shadow.cell.scans[pfn] = SCAN_UNKNOWN;
    uint8_t *scan = &shadow.cell.scans[pfn];
    unsigned found = *scan >= SCAN_NOT ? *scan - SCAN_NOT + 1u : 0;
    if (*scan == SCAN_UNKNOWN || (found && found <= AGAIN_MOST && tcache_blocks_in_page(k->page) >= AGAIN(found))) {
        uint8_t known[PAGE_SIZE] = {0};
        tcache_known_starts(k->page, known);
        if (entry < PAGE_SIZE)
            known[entry] = 1;
        struct walk n;
        bool goes_on =
            shadow_walk(&bt->cpu, shadow.current, (gla & PAGE_MASK) + PAGE_SIZE, &n) && n.u && mem_is_ram(n.page);
        const uint8_t *next = goes_on ? mem_ptr(n.page) : NULL;
        *scan = (uint8_t)(tr_page_is_direct(mem_ptr(k->page), next, known, isa) ? SCAN_DIRECT : SCAN_NOT + found);
        stats_count(STAT_cell_scans);
        guest_mem.page_flags[pfn] |= MEM_PAGE_DIRECT;
        shadow_protect(k->page);
    }
    return *scan == SCAN_DIRECT;
}

static uint8_t *worth_at(struct bt *bt, gla_t gla)
{
    struct walk k;
    bool known = shadow_walk(&bt->cpu, shadow.current, gla, &k) && mem_is_ram(k.page);
    return known ? &shadow.cell.worth[k.page >> PAGE_SHIFT] : NULL;
}

void shadow_cell_set_worth(struct bt *bt, gla_t gla, enum cell_worth worth)
{
    uint8_t *at = worth_at(bt, gla);
    if (at)
        *at = (uint8_t)worth;
}

enum cell_worth shadow_cell_worth(struct bt *bt, gla_t gla)
{
    const uint8_t *at = worth_at(bt, gla);
    return at ? *at : CELL_UNKNOWN;
}

void shadow_code_written(void *opaque, gpa_t gpa, uint32_t len)
{
    tr_code_written(opaque, gpa, len);
    for (gpa_t page = gpa & ~(gpa_t)(PAGE_SIZE - 1); page < gpa + len; page += PAGE_SIZE) {
        shadow.cell.worth[page >> PAGE_SHIFT] = CELL_UNKNOWN;
        if (!(mem_page_flags(page) & MEM_PAGE_DIRECT))
            continue;
        guest_mem.page_flags[page >> PAGE_SHIFT] &= (uint8_t)~MEM_PAGE_DIRECT;
        struct space *s;
        gla_t gla;
        while (rmap_find_cell(page, &s, &gla)) {
            forget_page(s, s->pt[gla >> pde_shift(s)], entry_number(s, gla), gla, page);
            space_cell_unmap(s, gla, PAGE_SIZE);
        }
        for (unsigned n = 0; rmap_next_large(page, &n, &s, &gla);)
            if (s->large_mapped[gla >> pde_shift(s)] & LARGE_MAPPED(VIEW_CELL))
                space_cell_protect(s, gla, PAGE_SIZE);
    }
}

/* --- mapping --- */

/* Pages that go with one order. */
struct stretch {
    gla_t gla;
    gpa_t page;
    unsigned pages;
    int prot;
};

static void stretch_end(struct space *s, struct stretch *r)
{
    if (r->pages)
        cell_map(s->cell, r->gla, mem_file_offset(r->page), (uint64_t)r->pages << PAGE_SHIFT, r->prot);
    r->pages = 0;
}

static void stretch_add(struct space *s, struct stretch *r, gla_t gla, gpa_t page, int prot)
{
    if (r->pages && r->gla + r->pages * PAGE_SIZE == gla && r->page + r->pages * PAGE_SIZE == page && r->prot == prot) {
        r->pages++;
        return;
    }
    stretch_end(s, r);
    *r = (struct stretch){gla, page, 1, prot};
}

/* Takes entry k->j into the cell, executable if direct (see may_execute). k is complete and its page user RAM with the
 * A bit set. */
static void take_page(struct space *s, struct ptcopy *c, const struct walk *k, gla_t gla, bool direct,
                      struct stretch *r)
{
    space_use_entry(s, c, k, k->pte);
    uint8_t flags = mem_page_flags(k->page);
    bool write = !direct && k->w && (k->pte & PTE_D) && !(flags & (MEM_PAGE_GUARDED | MEM_PAGE_ROM)) &&
                 !(points_of_page(gla) & POINT_WATCH);
    if (bit_test(c->mapped[VIEW_CELL], k->j))
        rmap_remove(s, VIEW_CELL, gla & PAGE_MASK, k->page);
    bit_set(c->mapped[VIEW_CELL], k->j);
    if (direct)
        bit_set(c->direct, k->j);
    else
        bit_clear(c->direct, k->j);
    if (write || direct)
        rmap_add(s, VIEW_CELL, gla & PAGE_MASK, k->page);
    stretch_add(s, r, gla & PAGE_MASK, k->page, PROT_READ | (write ? PROT_WRITE : 0) | (direct ? PROT_EXEC : 0));
    stats_count(STAT_cell_pages);
}

/* Neighbours of k that the guest has used already (their A bit is set) come along: each fault costs as much as tens of
 * orders. */
#define NEIGHBOURS 64

static void take_neighbours(struct bt *bt, struct space *s, struct ptcopy *c, const struct walk *k)
{
    const uint8_t *table = mem_ptr(k->table);
    size_t size = entry_size(s);
    struct stretch r = {0};
    unsigned first = k->j & ~(NEIGHBOURS - 1u);
    for (unsigned j = first; j < first + NEIGHBOURS; j++) {
        uint64_t pte = entry_read(s, table + j * size);
        if (j == k->j || (pte & (PTE_P | PTE_U | PTE_A)) != (PTE_P | PTE_U | PTE_A) ||
            (bit_test(c->mapped[VIEW_CELL], j) && pte == copy_entry(s, c, j)))
            continue;
        struct walk n;
        gla_t gla = entry_gla(s, k->i, j);
        if (gla < cell_lowest() || points_of_page(gla) || !shadow_walk(&bt->cpu, s, gla, &n) || !n.u || n.large ||
            !mem_is_ram(n.page))
            continue;
        bool is_code = bit_test(c->code, j) || (mem_page_flags(n.page) & MEM_PAGE_DIRECT);
        take_page(s, c, &n, gla, is_code && may_execute(bt, &n, gla, PAGE_SIZE), &r);
    }
    stretch_end(s, &r);
}

/* Large page k is mapped as a whole. In it, the page of gla is then mapped as it is to be: pages change their rights
 * one by one as they get code, and lose it. */
static void take_large(struct space *s, const struct walk *k, gla_t gla, bool execute)
{
    bool writable = k->w && (k->pte & PTE_D);
    space_use_table(s, k);
    s->pde[k->i] = k->pde; /* with the A and D bits just set */
    uint8_t *mapped = &s->large_mapped[k->i];
    bool anew = !(*mapped & LARGE_MAPPED(VIEW_CELL));
    if (anew) {
        gpa_t gpa = large_gpa(s, k->pde);
        gla_t base = entry_gla(s, k->i, 0);
        uint64_t skip = base < cell_lowest() ? cell_lowest() - base : 0;
        uint64_t len = large_ram(s, gpa) - skip; /* the page of gla is in it */
        cell_map(s->cell, base + (gla_t)skip, mem_ram_offset(gpa + skip), len, PROT_READ | (writable ? PROT_WRITE : 0));
        *mapped |= LARGE_MAPPED(VIEW_CELL) | (writable ? LARGE_WRITABLE(VIEW_CELL) : 0);
        space_fix_large(s, VIEW_CELL, base + (gla_t)skip, gpa + skip, len);
        stats_add(STAT_cell_pages, len >> PAGE_SHIFT);
    }
    if (execute || !anew)
        cell_map(s->cell, gla & PAGE_MASK, mem_file_offset(k->page), PAGE_SIZE,
                 PROT_READ | (execute    ? PROT_EXEC
                              : writable ? PROT_WRITE
                                         : 0));
}

static bool is_mapped(const struct space *s, gla_t gla)
{
    unsigned i = gla >> pde_shift(s);
    return s->kind[i] == PDE_TABLE ? bit_test(s->pt[i]->mapped[VIEW_CELL], entry_number(s, gla))
                                   : s->kind[i] == PDE_LARGE && (s->large_mapped[i] & LARGE_MAPPED(VIEW_CELL));
}

/* Orders what shadow_cell_fill has carried out, too. */
static bool order(struct bt *bt, gla_t gla, bool execute, uint32_t eip)
{
    struct space *s = shadow.current;
    struct walk k;
    if (gla < cell_lowest() || !shadow_walk(&bt->cpu, s, gla, &k) || !k.u || !mem_is_ram(k.page))
        return false;
    bool mapped = is_mapped(s, gla);
    /* The rest of an instruction that began in the page before begins nothing. */
    unsigned entry = gla == eip ? gla & (PAGE_SIZE - 1) : PAGE_SIZE;
    if (execute && (!may_execute(bt, &k, gla, entry) || space_cell_is_direct(s, gla)))
        return false;
    bool write = mapped && !execute;
    if ((points_of_page(gla) & POINT_READ) || (write && (points_of_page(gla) & POINT_WRITE)))
        return false; /* the interpreter sees who touches what */
    if (write && (!k.w || (mem_page_flags(k.page) & (MEM_PAGE_GUARDED | MEM_PAGE_ROM))))
        return false; /* the guest's own fault, or a store to code */
    if (!shadow_set_accessed(&k, write))
        return false;
    if (rmap_is_crowded())
        shadow_make_room(&bt->cpu);
    stats_count(STAT_cell_fills);
    if (k.large) {
        take_large(s, &k, gla, execute);
        return true;
    }
    struct ptcopy *c = space_use_table(s, &k);
    struct stretch r = {0};
    take_page(s, c, &k, gla, execute, &r);
    stretch_end(s, &r);
    if (!mapped)
        take_neighbours(bt, s, c, &k);
    rmap_settle();
    return true;
}

bool shadow_cell_fill(struct bt *bt, gla_t gla, bool execute, uint32_t eip)
{
    if (!order(bt, gla, execute, eip))
        return false;
    if (cell_flush(shadow.current->cell))
        return true;
    forget_mappings(shadow.current); /* too many, or an address that the host keeps for itself */
    return false;
}

void shadow_cell_premap(struct bt *bt, gla_t gla)
{
    struct space *s = shadow.current;
    if (s->cell && !cell_is_dead(s->cell) && !is_mapped(s, gla))
        order(bt, gla, gla == bt->cpu.eip, gla);
}

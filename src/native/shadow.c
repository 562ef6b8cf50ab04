/* Shadows of guest page directories (see shadow.h; Intel SDM vol. 3A, chapter 4). */
#include "shadow.h"

#include <glib.h>
#include <string.h>
#include <sys/mman.h>

#include "log.h"
#include "mem.h"
#include "window.h"

#define SPACES 32
#define VIEWS  2 /* supervisor, user */
#define PDES   2048 /* PAE: 4 directories of 512; else the first 1024 */

/* What was used of one page table. Entry values are right where a `used` bit is set. */
struct ptcopy {
    gpa_t table;
    uint64_t mapped[VIEWS][16]; /* bit per entry: mapped in that view */
    uint64_t code[16];          /* executed from */
    union {
        uint32_t e32[1024];
        uint64_t e64[512];
    };
};

enum pde_kind { PDE_UNUSED, PDE_TABLE, PDE_LARGE };

struct user_table {
    uint32_t mode, cs_base, cs_limit;
    struct jtable *table;
};
#define USER_TABLES 6

struct space {
    bool live;
    uint32_t root;    /* CR3's address bits */
    uint32_t config;  /* CONFIG_* it was filled under */
    uint64_t used_at;
    uint8_t *window[VIEWS];
    uint64_t pde[PDES];
    uint8_t kind[PDES];
    uint8_t large_mapped[PDES]; /* bit per view; bits 2, 3: mapped writable */
    uint8_t large_code[PDES];
    struct ptcopy *pt[PDES];
    uint16_t used[PDES]; /* indices of entries that are not PDE_UNUSED */
    unsigned used_count;
    struct user_table user[USER_TABLES];
    unsigned user_next;
};

#define CONFIG_PAGING 1u
#define CONFIG_PAE    2u
#define CONFIG_PSE    4u
#define CONFIG_WP     8u
#define CONFIG_NXE    16u

struct shadow_stats shadow_stats;

static struct space spaces[SPACES];
static struct space *current;
static uint64_t now;
static uint32_t code_epoch = 1;
static uint32_t seen_generation;

/* Writable small-page mappings of each RAM page: who must be told when it gets translations. */
struct rmap {
    uint32_t next;
    uint32_t where; /* gla page 0..19, view 20, space 21.. */
};
#define RMAP_MAX (1u << 24)
static struct rmap *rmap_pool;
static uint32_t rmap_used, rmap_free;
static uint32_t *rmap_head;

/* Supervisor code pages entered in the supervisor's tables: linear page -> frame. Those whose mapping is
 * not global are apart: a switch of CR3 must look at each of them. */
struct code_where {
    gpa_t gpa;
    bool global;
};
static GHashTable *sup_code[2]; /* [global] */

#define SUP_TABLES 24
static struct user_table sup_table[SUP_TABLES];
static unsigned sup_next;

static bool bit_test(const uint64_t *map, unsigned i)
{
    return map[i >> 6] >> (i & 63) & 1;
}
static void bit_set(uint64_t *map, unsigned i)
{
    map[i >> 6] |= 1ull << (i & 63);
}
static void bit_clear(uint64_t *map, unsigned i)
{
    map[i >> 6] &= ~(1ull << (i & 63));
}

static void *reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_always(p != MAP_FAILED);
    return p;
}

bool shadow_init(void)
{
    window_init();
    sup_table[0].table = jtable_new();
    if (!sup_table[0].table)
        return false;
    sup_table[0].mode = UINT32_MAX; /* nobody's yet */
    rmap_pool = reserve(RMAP_MAX * sizeof *rmap_pool);
    rmap_used = 1;
    rmap_head = reserve(MEM_PAGES * sizeof *rmap_head);
    for (unsigned g = 0; g < 2; g++)
        sup_code[g] = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    for (unsigned i = 0; i < SPACES; i++)
        for (unsigned v = 0; v < VIEWS; v++)
            spaces[i].window[v] = window_base(i * VIEWS + v);
    seen_generation = guest_mem.generation;
    return true;
}

uint32_t shadow_code_epoch(void)
{
    return code_epoch;
}

unsigned shadow_space_id(void)
{
    return (unsigned)(current - spaces);
}

/* --- reverse map --- */

static void rmap_add(const struct space *s, unsigned view, gla_t gla, gpa_t gpa)
{
    uint32_t n = rmap_free;
    if (n)
        rmap_free = rmap_pool[n].next;
    else if (rmap_used < RMAP_MAX)
        n = rmap_used++;
    assert_always(n);
    uint32_t *head = &rmap_head[gpa >> PAGE_SHIFT];
    rmap_pool[n] = (struct rmap){
        .next = *head, .where = gla >> PAGE_SHIFT | view << 20 | (uint32_t)(s - spaces) << 21};
    *head = n;
}

static void rmap_remove(const struct space *s, unsigned view, gla_t gla, gpa_t gpa)
{
    if (gpa >> PAGE_SHIFT >= MEM_PAGES)
        return;
    uint32_t where = gla >> PAGE_SHIFT | view << 20 | (uint32_t)(s - spaces) << 21;
    for (uint32_t *p = &rmap_head[gpa >> PAGE_SHIFT]; *p; p = &rmap_pool[*p].next)
        if (rmap_pool[*p].where == where) {
            uint32_t n = *p;
            *p = rmap_pool[n].next;
            rmap_pool[n].next = rmap_free;
            rmap_free = n;
            return;
        }
}

/* --- reading guest tables --- */

static uint32_t config_of(const struct cpu *cpu)
{
    if (!cpu_is_paging(cpu))
        return 0;
    return CONFIG_PAGING | (cpu->cr4 & CR4_PAE ? CONFIG_PAE : 0) | (cpu->cr4 & CR4_PSE ? CONFIG_PSE : 0) |
           (cpu->cr0 & CR0_WP ? CONFIG_WP : 0) | (cpu->efer & EFER_NXE ? CONFIG_NXE : 0);
}

static unsigned pde_shift(const struct space *s)
{
    return s->config & CONFIG_PAE ? 21 : 22;
}
static uint64_t pde_span(const struct space *s)
{
    return 1ull << pde_shift(s);
}

/* Host pointer to the guest's page-directory entry for index i, NULL if there is none to read. */
static void *pde_ptr(const struct cpu *cpu, const struct space *s, unsigned i)
{
    gpa_t at;
    if (s->config & CONFIG_PAE) {
        uint64_t pdpte = cpu->pdpte[i >> 9];
        if (!(pdpte & PTE_P))
            return NULL;
        at = (pdpte & 0xffffff000ull) + (i & 511) * 8;
    } else {
        at = (s->root & PAGE_MASK) + i * 4;
    }
    return mem_ptr(at);
}

static uint64_t entry_read(const struct space *s, const void *p)
{
    return s->config & CONFIG_PAE ? *(const volatile uint64_t *)p : *(const volatile uint32_t *)p;
}
static void entry_or(void *p, uint32_t bits)
{
    __atomic_fetch_or((uint32_t *)p, bits, __ATOMIC_SEQ_CST);
}

static uint64_t pde_read(const struct cpu *cpu, const struct space *s, unsigned i)
{
    if (!(s->config & CONFIG_PAGING)) /* identity, by large pages that are not the guest's */
        return (uint64_t)i << 22 | PTE_P | PTE_W | PTE_U | PTE_A | PTE_D | PTE_PS | PTE_G;
    const void *p = pde_ptr(cpu, s, i);
    return p ? entry_read(s, p) : 0;
}

static bool is_large(const struct space *s, uint64_t pde)
{
    return (pde & PTE_PS) && (s->config & (CONFIG_PAE | CONFIG_PSE) || !(s->config & CONFIG_PAGING));
}

static gpa_t large_gpa(const struct space *s, uint64_t pde)
{
    if (s->config & CONFIG_PAE)
        return pde & 0xfffe00000ull;
    if (!(s->config & CONFIG_PAGING))
        return pde & 0xffc00000u;
    return (pde & 0xffc00000u) | (pde & 0x1fe000ull) << 19; /* PSE-36 */
}
static gpa_t small_gpa(const struct space *s, uint64_t pte)
{
    return s->config & CONFIG_PAE ? pte & 0xffffff000ull : pte & 0xfffff000u;
}

/* One translation as the guest's tables give it. */
struct walk {
    unsigned i, j; /* PDE and PTE numbers */
    void *pde_at, *pte_at;
    uint64_t pde, pte; /* pte: the leaf, also if large */
    gpa_t table;
    bool large, w, u, nx, global, odd;
    gpa_t page; /* of the 4 KiB page */
};

/* False: not present, or bits set that only the interpreter's exact walk judges (k->odd). */
static bool walk(const struct cpu *cpu, const struct space *s, gla_t gla, struct walk *k)
{
    k->odd = false;
    k->i = gla >> pde_shift(s);
    k->pde_at = s->config & CONFIG_PAGING ? pde_ptr(cpu, s, k->i) : NULL;
    k->pde = pde_read(cpu, s, k->i);
    if (!(k->pde & PTE_P))
        return false;
    uint64_t reserved = s->config & CONFIG_PAE ? 0x7ffffff000000000ull : 0;
    if (!(s->config & CONFIG_NXE))
        reserved |= PTE_NX;
    if (k->pde & reserved) {
        k->odd = true;
        return false;
    }
    k->w = k->pde & PTE_W;
    k->u = k->pde & PTE_U;
    k->nx = k->pde & PTE_NX;
    k->large = is_large(s, k->pde);
    if (k->large) {
        if (s->config & CONFIG_PAGING && (s->config & CONFIG_PAE ? k->pde & 0x1fe000 : k->pde & 0x200000)) {
            k->odd = true; /* reserved address bits */
            return false;
        }
        k->pte = k->pde;
        k->pte_at = k->pde_at;
        k->page = large_gpa(s, k->pde) + (gla & (pde_span(s) - 1) & PAGE_MASK);
    } else {
        k->table = small_gpa(s, k->pde);
        k->j = s->config & CONFIG_PAE ? gla >> 12 & 511 : gla >> 12 & 1023;
        uint8_t *table = mem_ptr(k->table);
        if (!table) {
            k->odd = true;
            return false;
        }
        k->pte_at = table + k->j * (s->config & CONFIG_PAE ? 8 : 4);
        k->pte = entry_read(s, k->pte_at);
        if (!(k->pte & PTE_P) || (k->pte & reserved)) {
            k->odd = k->pte & PTE_P;
            return false;
        }
        k->w = k->w && (k->pte & PTE_W);
        k->u = k->u && (k->pte & PTE_U);
        k->nx = k->nx || (k->pte & PTE_NX);
        k->page = small_gpa(s, k->pte);
    }
    k->global = !(s->config & CONFIG_PAGING) || ((k->pte & PTE_G) && (cpu->cr4 & CR4_PGE));
    return true;
}

/* --- dropping --- */

static void drop_code(struct space *s, gla_t gla)
{
    for (unsigned k = 0; k < USER_TABLES; k++)
        if (s->user[k].table)
            jtable_drop_page(s->user[k].table, gla);
    code_epoch++;
}

static uint64_t copy_entry(const struct space *s, const struct ptcopy *c, unsigned j)
{
    return s->config & CONFIG_PAE ? c->e64[j] : c->e32[j];
}
static void copy_set(const struct space *s, struct ptcopy *c, unsigned j, uint64_t value)
{
    if (s->config & CONFIG_PAE)
        c->e64[j] = value;
    else
        c->e32[j] = (uint32_t)value;
}
static unsigned table_entries(const struct space *s)
{
    return s->config & CONFIG_PAE ? 512 : 1024;
}

/* Forgets entry j of table i: bookkeeping only, or with unmapping. */
static void drop_entry(struct space *s, unsigned i, unsigned j, bool unmap)
{
    struct ptcopy *c = s->pt[i];
    gla_t gla = (gla_t)((uint64_t)i << pde_shift(s)) + j * PAGE_SIZE;
    for (unsigned v = 0; v < VIEWS; v++)
        if (bit_test(c->mapped[v], j)) {
            bit_clear(c->mapped[v], j);
            rmap_remove(s, v, gla, small_gpa(s, copy_entry(s, c, j)));
            if (unmap)
                window_unmap(s->window[v], gla, PAGE_SIZE);
        }
    if (bit_test(c->code, j)) {
        bit_clear(c->code, j);
        drop_code(s, gla);
    }
    shadow_stats.dropped_pages++;
}

static void drop_pde(struct space *s, unsigned i, bool unmap)
{
    gla_t gla = (gla_t)((uint64_t)i << pde_shift(s));
    bool mapped[VIEWS] = {false, false};
    if (s->kind[i] == PDE_LARGE) {
        mapped[0] = s->large_mapped[i] & 1;
        mapped[1] = s->large_mapped[i] & 2;
        if (s->large_code[i])
            for (uint64_t off = 0; off < pde_span(s); off += PAGE_SIZE)
                drop_code(s, gla + (gla_t)off);
        s->large_mapped[i] = 0;
        s->large_code[i] = 0;
    } else if (s->kind[i] == PDE_TABLE) {
        struct ptcopy *c = s->pt[i];
        for (unsigned w = 0; w < 16; w++) {
            if (c->mapped[0][w])
                mapped[0] = true;
            if (c->mapped[1][w])
                mapped[1] = true;
            uint64_t any = c->mapped[0][w] | c->mapped[1][w] | c->code[w];
            while (any) {
                unsigned j = w * 64 + (unsigned)__builtin_ctzll(any);
                any &= any - 1;
                drop_entry(s, i, j, false);
            }
        }
    }
    for (unsigned v = 0; v < VIEWS && unmap; v++)
        if (mapped[v])
            window_unmap(s->window[v], gla, pde_span(s));
    s->kind[i] = PDE_UNUSED;
    shadow_stats.dropped_ranges++;
}

/* Empties a space. */
static void space_clear(struct space *s)
{
    for (unsigned n = 0; n < s->used_count; n++)
        drop_pde(s, s->used[n], false);
    s->used_count = 0;
    for (unsigned v = 0; v < VIEWS; v++)
        window_unmap(s->window[v], 0, WINDOW_SIZE);
    for (unsigned k = 0; k < USER_TABLES; k++)
        if (s->user[k].table)
            jtable_clear(s->user[k].table);
    code_epoch++;
}

/* Makes room among the host's mappings. */
static void evict(void)
{
    struct space *oldest = NULL;
    for (unsigned n = 0; n < SPACES; n++) {
        struct space *s = &spaces[n];
        if (s->live && s != current && s->used_count && (!oldest || s->used_at < oldest->used_at))
            oldest = s;
    }
    if (!oldest)
        oldest = current;
    shadow_stats.evicted++;
    space_clear(oldest);
}

static void make_room(void)
{
    for (unsigned n = 0; n <= SPACES && window_crowded(); n++)
        evict();
}

/* Maps, dropping other spaces while the host refuses (too many mappings, address-space limit). False
 * when it refuses even so: the access must be emulated. May have dropped the current space too. */
static bool map_or_evict(uint8_t *window, gla_t gla, uint64_t offset, uint64_t len, bool writable,
                         bool populate)
{
    for (unsigned n = 0; n <= SPACES; n++) {
        if (window_map(window, gla, offset, len, writable, populate))
            return true;
        evict();
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
        window_unmap(s->window[view], r->first, (uint64_t)r->pages << PAGE_SHIFT);
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

/* Drops from table i what no longer agrees with the guest's table. */
static void sync_table(struct space *s, unsigned i)
{
    struct ptcopy *c = s->pt[i];
    const uint8_t *table = mem_ptr(c->table);
    if (!table) {
        drop_pde(s, i, true);
        return;
    }
    if (memcmp(table, c->e32, PAGE_SIZE) == 0)
        return;
    struct run run[VIEWS] = {{0, 0}, {0, 0}};
    size_t size = s->config & CONFIG_PAE ? 8 : 4;
    for (unsigned w = 0; w < table_entries(s) / 64; w++) {
        uint64_t any = c->mapped[0][w] | c->mapped[1][w] | c->code[w];
        while (any) {
            unsigned j = w * 64 + (unsigned)__builtin_ctzll(any);
            any &= any - 1;
            if (memcmp(table + j * size, (const uint8_t *)c->e32 + j * size, size) == 0)
                continue;
            gla_t gla = (gla_t)((uint64_t)i << pde_shift(s)) + j * PAGE_SIZE;
            for (unsigned v = 0; v < VIEWS; v++)
                if (bit_test(c->mapped[v], j))
                    run_add(s, v, &run[v], gla);
            drop_entry(s, i, j, false);
        }
    }
    run_flush(s, 0, &run[0]);
    run_flush(s, 1, &run[1]);
    memcpy(c->e32, table, PAGE_SIZE);
}

/* Compares everything the space uses with the guest's tables. */
static void sync_space(const struct cpu *cpu, struct space *s)
{
    shadow_stats.syncs++;
    unsigned kept = 0;
    for (unsigned n = 0; n < s->used_count; n++) {
        unsigned i = s->used[n];
        if (pde_read(cpu, s, i) != s->pde[i])
            drop_pde(s, i, true);
        else if (s->kind[i] == PDE_TABLE)
            sync_table(s, i);
        if (s->kind[i] != PDE_UNUSED)
            s->used[kept++] = (uint16_t)i;
    }
    s->used_count = kept;
}

static void sync_page(const struct cpu *cpu, struct space *s, gla_t gla)
{
    unsigned i = gla >> pde_shift(s);
    if (s->kind[i] == PDE_UNUSED)
        return;
    if (pde_read(cpu, s, i) != s->pde[i]) {
        drop_pde(s, i, true);
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
    unsigned j = s->config & CONFIG_PAE ? gla >> 12 & 511 : gla >> 12 & 1023;
    if (!bit_test(c->mapped[0], j) && !bit_test(c->mapped[1], j) && !bit_test(c->code, j))
        return;
    const uint8_t *table = mem_ptr(c->table);
    uint64_t pte = table ? entry_read(s, table + j * (s->config & CONFIG_PAE ? 8 : 4)) : 0;
    if (pte != copy_entry(s, c, j))
        drop_entry(s, i, j, true);
}

/* --- supervisor code --- */

static struct code_where *sup_find(gla_t gla)
{
    struct code_where *w = g_hash_table_lookup(sup_code[1], GUINT_TO_POINTER(gla));
    return w ? w : g_hash_table_lookup(sup_code[0], GUINT_TO_POINTER(gla));
}

/* Linear page gla no longer is what was translated from it. */
static void sup_drop(gla_t gla, const struct code_where *w)
{
    tcache_drop_linear(w->gpa, gla);
    for (unsigned n = 0; n < SUP_TABLES; n++)
        if (sup_table[n].table)
            jtable_drop_page(sup_table[n].table, gla);
    code_epoch++;
}

static void sup_check(struct bt *bt, gla_t gla, const struct code_where *w)
{
    struct walk k;
    if (walk(&bt->cpu, current, gla, &k) && k.page == w->gpa && !k.nx)
        return;
    sup_drop(gla, w);
    g_hash_table_remove(sup_code[w->global], GUINT_TO_POINTER(gla));
}

static void sup_check_all(struct bt *bt, GHashTable *pages)
{
    if (!g_hash_table_size(pages))
        return;
    GHashTableIter it;
    gpointer key, value;
    GArray *check = g_array_new(FALSE, FALSE, sizeof(gla_t));
    g_hash_table_iter_init(&it, pages);
    while (g_hash_table_iter_next(&it, &key, &value)) {
        gla_t gla = GPOINTER_TO_UINT(key);
        g_array_append_val(check, gla);
    }
    for (unsigned n = 0; n < check->len; n++) {
        gla_t gla = g_array_index(check, gla_t, n);
        sup_check(bt, gla, g_hash_table_lookup(pages, GUINT_TO_POINTER(gla)));
    }
    g_array_free(check, TRUE);
}

/* --- spaces and tables --- */

static struct space *space_find(const struct cpu *cpu)
{
    uint32_t config = config_of(cpu);
    uint32_t root = config & CONFIG_PAGING ? cpu->cr3 & (config & CONFIG_PAE ? ~31u : PAGE_MASK) : 0;
    struct space *victim = NULL;
    for (unsigned n = 0; n < SPACES; n++) {
        struct space *s = &spaces[n];
        if (s->live && s->root == root && s->config == config)
            return s;
        if (!s->live) {
            if (!victim || victim->live)
                victim = s;
        } else if (!victim || (victim->live && s->used_at < victim->used_at)) {
            victim = s;
        }
    }
    if (victim->live && victim->config != config)
        space_clear(victim);
    /* What a recycled space has in common with the new one (the kernel half) stays mapped: the
     * caller's sync drops the rest. */
    if (victim->live)
        shadow_stats.recycled++;
    victim->live = true;
    victim->root = root;
    victim->config = config;
    return victim;
}

static struct user_table *table_slot(unsigned i)
{
    return i < SPACES * USER_TABLES ? &spaces[i / USER_TABLES].user[i % USER_TABLES]
                                    : &sup_table[i - SPACES * USER_TABLES];
}

/* The host gives no more address space: takes a table from somebody else, who is then without. */
static struct jtable *steal_table(const struct bt *bt)
{
    static unsigned turn;
    unsigned slots = SPACES * USER_TABLES + SUP_TABLES;
    struct user_table *from = NULL;
    for (unsigned n = 0; n < slots && (!from || from->table == bt->table); n++) {
        struct user_table *t = table_slot(turn++ % slots);
        if (t->table)
            from = t; /* the running one only if there is no other */
    }
    assert_always(from); /* shadow_init made one */
    struct jtable *table = from->table;
    from->table = NULL;
    return table;
}

static void shadow_forget_slots(struct bt *bt)
{
    for (unsigned n = 0; n < MODE_SLOTS; n++)
        bt->slot[n].mode = GATES_NONE;
}

static struct jtable *table_of(struct user_table *tables, unsigned count, unsigned *next, struct bt *bt)
{
    for (unsigned n = 0; n < count; n++)
        if (tables[n].table && tables[n].mode == bt->mode && tables[n].cs_base == bt->cs_base &&
            tables[n].cs_limit == bt->cs_limit)
            return tables[n].table;
    struct user_table *t = &tables[(*next)++ % count];
    if (!t->table)
        t->table = jtable_new();
    if (!t->table)
        t->table = steal_table(bt);
    jtable_clear(t->table);
    shadow_forget_slots(bt); /* one of them may have been this table's */
    t->mode = bt->mode;
    t->cs_base = bt->cs_base;
    t->cs_limit = bt->cs_limit;
    return t->table;
}

void shadow_select(struct bt *bt)
{
    bool user = (bt->mode & MODE_CPL) == MODE_CPL; /* CPL 3 */
    bt->window = current->window[user];
    struct jtable *table = user && (bt->mode & MODE_PAGING)
                               ? table_of(current->user, USER_TABLES, &current->user_next, bt)
                               : table_of(sup_table, SUP_TABLES, &sup_next, bt);
    bt->table = table;
    bt->jtable = jtable_base(table);
    if (bt->cs_base == 0 && bt->cs_limit == UINT32_MAX)
        bt->slot[mode_slot_number(bt->mode)] =
            (struct mode_slot){.mode = bt->mode, .jtable = bt->jtable, .table = table};
}

void shadow_sync(struct bt *bt)
{
    struct cpu *cpu = &bt->cpu;
    uint32_t changed = cpu->changed;
    cpu->changed = 0;
    if (unlikely(guest_mem.generation != seen_generation)) {
        seen_generation = guest_mem.generation;
        for (unsigned n = 0; n < SPACES; n++)
            if (spaces[n].live)
                space_clear(&spaces[n]);
        tcache_flush();
        changed |= CHANGED_TLB;
    }
    if (!current || (changed & (CHANGED_CR3 | CHANGED_TLB))) {
        struct space *before = current;
        current = space_find(cpu);
        if (current != before) {
            shadow_forget_slots(bt);
            for (unsigned v = 0; v < VIEWS; v++)
                bt->view[v] = current->window[v];
        }
        current->used_at = ++now;
        sync_space(cpu, current);
        sup_check_all(bt, sup_code[0]);
        if (changed & CHANGED_TLB)
            sup_check_all(bt, sup_code[1]);
    }
    if (changed & CHANGED_INVLPG) {
        for (unsigned n = 0; n < cpu->invlpg_count; n++) {
            gla_t gla = cpu->invlpg[n] & PAGE_MASK;
            sync_page(cpu, current, gla);
            const struct code_where *w = sup_find(gla);
            if (w)
                sup_check(bt, gla, w);
        }
    }
    cpu->invlpg_count = 0;
    shadow_select(bt);
}

/* --- using translations --- */

/* The copy of table i, taking entries into account from now on. */
static struct ptcopy *use_table(struct space *s, const struct walk *k)
{
    if (s->kind[k->i] != PDE_UNUSED && s->pde[k->i] != (k->pde | PTE_A))
        drop_pde(s, k->i, true); /* changed without an invalidation yet: use what is there now */
    if (s->kind[k->i] == PDE_TABLE)
        return s->pt[k->i];
    bool listed = false;
    for (unsigned n = 0; n < s->used_count && !listed; n++)
        listed = s->used[n] == k->i;
    if (!listed)
        s->used[s->used_count++] = (uint16_t)k->i;
    s->pde[k->i] = k->pde | PTE_A;
    s->kind[k->i] = k->large ? PDE_LARGE : PDE_TABLE;
    if (k->large)
        return NULL;
    if (!s->pt[k->i])
        s->pt[k->i] = reserve(sizeof(struct ptcopy));
    struct ptcopy *c = s->pt[k->i];
    c->table = k->table;
    memset(c->mapped, 0, sizeof c->mapped);
    memset(c->code, 0, sizeof c->code);
    memcpy(c->e32, mem_ptr(k->table), PAGE_SIZE);
    return c;
}

/* Brings entry j of the copy up to date; drops what was made from an older value. */
static void use_entry(struct space *s, struct ptcopy *c, const struct walk *k, uint64_t pte)
{
    if ((bit_test(c->mapped[0], k->j) || bit_test(c->mapped[1], k->j) || bit_test(c->code, k->j)) &&
        (copy_entry(s, c, k->j) | PTE_A | PTE_D) != (pte | PTE_A | PTE_D))
        drop_entry(s, k->i, k->j, true);
    copy_set(s, c, k->j, pte);
}

/* Sets A (and D) in the guest's entries, as the hardware walk does. */
static void set_accessed(struct walk *k, bool dirty)
{
    if (!k->pde_at)
        return;
    if (!k->large && !(k->pde & PTE_A)) {
        entry_or(k->pde_at, PTE_A);
        k->pde |= PTE_A;
    }
    uint32_t want = PTE_A | (dirty ? PTE_D : 0);
    if ((k->pte & want) != want) {
        entry_or(k->pte_at, want);
        k->pte |= want;
        if (k->large)
            k->pde |= want;
    }
}

bool shadow_code_page(struct bt *bt, gla_t gla, gpa_t *gpa, bool *global)
{
    struct space *s = current;
    struct walk k;
    bool user = bt->cpu.cpl == 3;
    if (!walk(&bt->cpu, s, gla, &k) || k.nx || (user && !k.u) || !mem_ptr(k.page))
        return false;
    set_accessed(&k, false);
    *gpa = k.page;
    *global = k.global && !user;
    struct ptcopy *c = use_table(s, &k);
    if (c) {
        use_entry(s, c, &k, k.pte);
        bit_set(c->code, k.j);
    } else {
        s->large_code[k.i] = 1;
    }
    if (!user) {
        struct code_where *w = sup_find(gla);
        if (w && (w->gpa != k.page || w->global != k.global)) {
            if (w->gpa != k.page)
                sup_drop(gla, w);
            g_hash_table_remove(sup_code[w->global], GUINT_TO_POINTER(gla));
            w = NULL;
        }
        if (!w) {
            w = g_new(struct code_where, 1);
            *w = (struct code_where){k.page, k.global};
            g_hash_table_insert(sup_code[k.global], GUINT_TO_POINTER(gla), w);
        }
    }
    return true;
}

/* What a page of RAM needs inside a large mapping: MEM_PAGE_MMIO (to be absent), MEM_PAGE_ROM (to be
 * read-only, also for its translations) or nothing. */
static uint8_t page_exception(gpa_t gpa)
{
    uint8_t flags = mem_page_flags(gpa);
    return flags & MEM_PAGE_MMIO                      ? MEM_PAGE_MMIO
           : flags & (MEM_PAGE_CODE | MEM_PAGE_ROM) ? MEM_PAGE_ROM
                                                    : 0;
}

/* Puts the protections of single pages into a large mapping. */
static void fix_large(uint8_t *window, gla_t gla, gpa_t gpa, uint64_t len)
{
    for (uint64_t off = 0; off < len;) {
        uint8_t want = page_exception(gpa + off);
        uint64_t end = off + PAGE_SIZE;
        while (want && end < len && page_exception(gpa + end) == want)
            end += PAGE_SIZE;
        if (want == MEM_PAGE_MMIO)
            window_unmap(window, gla + (gla_t)off, end - off);
        else if (want)
            window_protect(window, gla + (gla_t)off, end - off, false);
        off = end;
    }
}

/* One page of what a large page covers. */
static enum fill fill_page(const struct space *s, const struct walk *k, unsigned view, gla_t gla, bool write)
{
    bool ok = map_or_evict(s->window[view], gla & PAGE_MASK, mem_file_offset(k->page), PAGE_SIZE, write, true);
    return ok ? FILL_OK : FILL_EMULATE;
}

static enum fill fill_large(struct space *s, struct walk *k, unsigned view, gla_t gla, bool write,
                            bool writable)
{
    gla_t base = gla & ~(gla_t)(pde_span(s) - 1);
    gpa_t gpa = large_gpa(s, k->pde);
    uint64_t len = pde_span(s);
    use_table(s, k);
    s->pde[k->i] = k->pde; /* with the A and D bits just set */
    uint8_t bit = (uint8_t)(1u << view), wbit = (uint8_t)(4u << view);
    if ((s->large_mapped[k->i] & bit) && (!write || (s->large_mapped[k->i] & wbit))) {
        /* Mapped already: a single page was protected for its translations, which are gone now. */
        if (write && window_protect(s->window[view], gla & PAGE_MASK, PAGE_SIZE, true))
            return FILL_OK;
        /* Or a page is missing that is RAM by now, or the host refused part of it: map that page. */
        return fill_page(s, k, view, gla, write);
    }
    if (gpa + len > guest_mem.ram_size)
        len = gpa < guest_mem.ram_size ? guest_mem.ram_size - gpa : 0;
    if (!mem_is_ram(k->page)) { /* video RAM, ROM: page by page */
        s->large_mapped[k->i] |= bit | (writable ? wbit : 0);
        return fill_page(s, k, view, gla, write);
    }
    if (!map_or_evict(s->window[view], base, gpa, len, writable, false))
        return FILL_EMULATE;
    if (s->kind[k->i] != PDE_LARGE)
        return FILL_OK; /* the present space had to go as well: begin again */
    s->large_mapped[k->i] |= bit | (writable ? wbit : 0);
    fix_large(s->window[view], base, gpa, len);
    return FILL_OK;
}

/* Fault-around: how many pages from entry j on continue the frame at k->page with the same rights. */
static unsigned run_length(const struct space *s, const struct ptcopy *c, const struct walk *k, unsigned view)
{
    unsigned n = 1;
    size_t size = s->config & CONFIG_PAE ? 8 : 4;
    const uint8_t *table = mem_ptr(k->table);
    while (n < 16 && k->j + n < table_entries(s)) {
        uint64_t pte = entry_read(s, table + (k->j + n) * size);
        gpa_t page = k->page + n * PAGE_SIZE;
        if (pte != k->pte + n * PAGE_SIZE || bit_test(c->mapped[view], k->j + n) ||
            page >= guest_mem.ram_size ||
            (guest_mem.page_flags[page >> PAGE_SHIFT] & (MEM_PAGE_CODE | MEM_PAGE_ROM | MEM_PAGE_MMIO)))
            break;
        n++;
    }
    return n;
}

enum fill shadow_fill(struct bt *bt, gla_t gla, bool write, uint32_t *error)
{
    struct space *s = current;
    struct walk k;
    unsigned view = bt->window == s->window[1];
    shadow_stats.fills++;
    if (!walk(&bt->cpu, s, gla, &k)) {
        if (k.odd)
            return FILL_EMULATE;
        *error = (write ? PFERR_W : 0) | (view ? PFERR_U : 0);
        shadow_stats.faults++;
        return FILL_FAULT;
    }
    bool may_write = k.w || (!view && !(s->config & CONFIG_WP));
    if ((view && !k.u) || (write && !may_write)) {
        *error = PFERR_P | (write ? PFERR_W : 0) | (view ? PFERR_U : 0);
        shadow_stats.faults++;
        return FILL_FAULT;
    }
    uint8_t flags = mem_page_flags(k.page);
    if (!mem_ptr(k.page) || (write && (flags & (MEM_PAGE_CODE | MEM_PAGE_ROM)))) {
        shadow_stats.emulated++;
        return FILL_EMULATE;
    }
    if (window_crowded())
        make_room();
    set_accessed(&k, write);
    bool writable = may_write && (k.pte & PTE_D);
    if (k.large)
        return fill_large(s, &k, view, gla, write, writable);

    struct ptcopy *c = use_table(s, &k);
    use_entry(s, c, &k, k.pte);
    if (flags & (MEM_PAGE_CODE | MEM_PAGE_ROM))
        writable = false;
    bool already = bit_test(c->mapped[view], k.j);
    unsigned n = already || !(flags == 0 || flags == MEM_PAGE_DECODED) ? 1 : run_length(s, c, &k, view);
    if (!map_or_evict(s->window[view], gla & PAGE_MASK, mem_file_offset(k.page), (uint64_t)n << PAGE_SHIFT,
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
            use_entry(s, c, &next, k.pte + m * PAGE_SIZE);
        }
        bit_set(c->mapped[view], k.j + m);
        if (writable)
            rmap_add(s, view, at, k.page + m * PAGE_SIZE);
    }
    return FILL_OK;
}

void shadow_protect(gpa_t page)
{
    for (uint32_t n = rmap_head[page >> PAGE_SHIFT]; n; n = rmap_pool[n].next) {
        uint32_t where = rmap_pool[n].where;
        struct space *s = &spaces[where >> 21];
        gla_t gla = where << PAGE_SHIFT;
        if (!window_protect(s->window[where >> 20 & 1], gla, PAGE_SIZE, false))
            window_unmap(s->window[where >> 20 & 1], gla, PAGE_SIZE);
    }
    for (unsigned i = 0; i < SPACES; i++) {
        struct space *s = &spaces[i];
        for (unsigned n = 0; s->live && n < s->used_count; n++) {
            unsigned d = s->used[n];
            if (s->kind[d] != PDE_LARGE || !s->large_mapped[d])
                continue;
            gpa_t base = large_gpa(s, s->pde[d]);
            if (page < base || page >= base + pde_span(s))
                continue;
            gla_t gla = (gla_t)((uint64_t)d << pde_shift(s)) + (gla_t)(page - base);
            for (unsigned v = 0; v < VIEWS; v++)
                if ((s->large_mapped[d] & 4u << v) &&
                    !window_protect(s->window[v], gla, PAGE_SIZE, false))
                    window_unmap(s->window[v], gla, PAGE_SIZE);
        }
    }
}

void shadow_stats_gather(struct stats *s)
{
    s->n[STAT_fill_fault] = shadow_stats.faults;
    s->n[STAT_fill_emulate] = shadow_stats.emulated;
    s->n[STAT_syncs] = shadow_stats.syncs;
    s->n[STAT_dropped_pages] = shadow_stats.dropped_pages;
    s->n[STAT_dropped_ranges] = shadow_stats.dropped_ranges;
    s->n[STAT_recycled] = shadow_stats.recycled;
    s->n[STAT_evicted] = shadow_stats.evicted;
    s->n[STAT_mappings] = window_mappings();
    for (unsigned n = 0; n < SPACES; n++)
        s->n[STAT_windows] += spaces[n].live;
}

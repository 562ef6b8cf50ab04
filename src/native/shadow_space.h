/* What the files of the shadow share: spaces and what is remembered of page tables. Private to src/native/shadow*.c.
 *
 *   shadow.c        spaces: which one is present, bringing it in line
 *   shadow_walk.c   reading the guest's tables
 *   shadow_fill.c   mapping pages into windows
 *   shadow_cell.c   the same into cells
 *   shadow_drop.c   unmapping what is stale or in the way
 *   shadow_rmap.c   who has a page of RAM mapped
 *   shadow_code.c   pages with code, jump tables
 */
#pragma once

#include <glib.h>

#include "mem.h"
#include "shadow.h"
#include "window.h"

#define SPACES 32
#define PDES   2048 /* PAE: 4 directories of 512; else the first 1024 */

/* What was used of one page table. Entry values are right where a `used` bit is set. */
struct ptcopy {
    gpa_t table;
    uint64_t mapped[VIEWS][16]; /* bit per entry: mapped in that view */
    uint64_t code[16];          /* executed from */
    uint64_t direct[16];        /* mapped executable in the cell */
    union {
        uint32_t e32[1024];
        uint64_t e64[512];
    };
};

#define RUN_MAX 16 /* pages that a fill maps, or an invalidation drops, together */

enum pde_kind { PDE_UNUSED, PDE_TABLE, PDE_LARGE };
#define LARGE_MAPPED(view)   (1u << (view))
#define LARGE_WRITABLE(view) (8u << (view))

struct user_table {
    uint32_t mode, cs_base, cs_limit;
    struct jtable *table;
};
#define USER_TABLES 6
#define SUP_TABLES  24

struct space {
    bool live;
    uint32_t root;   /* CR3's address bits */
    uint32_t config; /* CONFIG_* it was filled under */
    uint64_t used_at;
    uint64_t tidied_at; /* used_at when it was last tidied: see shadow_make_room */
    uint8_t *window[WINDOWS];
    struct cell *cell; /* NULL: none yet */
    uint32_t serial;   /* another address space, another number */
    uint64_t pde[PDES];
    uint8_t kind[PDES];
    uint8_t large_mapped[PDES]; /* LARGE_* of each view */
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

/* Copies of page tables in all: 128 for each space, or more where others need fewer. */
#define PTCOPIES 4096

struct rmap; /* shadow_rmap.c */

/* All that the shadow remembers. Zero before shadow_init: with any other first value the spaces would be in the
 * executable file. */
extern struct shadow {
    struct space *current;    /* the present one; NULL: none yet */
    uint64_t now;             /* counts choices of the present space: see used_at */
    uint32_t serial;          /* the latest space's */
    uint32_t seen_generation; /* of guest_mem, at the latest sync */
    uint32_t codes;           /* see shadow_code_epoch */
    unsigned steal_turn;      /* whose jump table is taken next */
    unsigned live_most; /* spaces in use: fewer than SPACES where the host has too few mappings for all their pages */
    /* Bits of a 4 MiB page's entry that must be zero: 13 to 21, less those for address bits 32 up (PSE-36). */
    uint64_t pse_reserved;

    /* shadow_rmap.c: who has a page of RAM mapped. */
    struct {
        struct rmap *pool; /* its entry 0 stands for the end of a list */
        uint32_t used;     /* entries of the pool from here on were never in use */
        uint32_t free;     /* the first of those given back; 0: none */
        uint32_t live;     /* entries in use */
        uint32_t *head;    /* for each page of RAM, its list */
        uint8_t *places;   /* length of the list */
        /* Pages that lost a place, not yet unmapped there: mostly they lie side by side, and go with one call. */
        struct leaving {
            struct space *s;
            enum view view;
            gla_t first;
            uint32_t pages;
        } leaving;
    } rmap;

    /* shadow_cell.c */
    struct {
        unsigned count; /* spaces that have one */
        /* enum scan for each page of RAM: what is known of it as code. Right while MEM_PAGE_DIRECT is set. */
        uint8_t *scans;
        uint8_t *worth; /* by page of RAM: enum cell_worth */
        bool with_sse;  /* CR4.OSFXSR was set, and pages with SSE code count as direct since */
    } cell;

    /* shadow_code.c: the supervisor's code. */
    struct {
        GHashTable *code[2]; /* [global]: linear page -> struct code_where */
        struct user_table table[SUP_TABLES];
        unsigned next;    /* the table to be cleared next */
        bool large[1024]; /* there is code from a large page in these 4 MiB */
    } sup;

    struct shadow_stats {
        uint64_t fills, faults, emulated, dropped_pages, dropped_ranges, recycled, evicted;
        uint64_t syncs;
    } stats;

    /* shadow_fill.c: copies of page tables. */
    struct {
        struct ptcopy *pool;
        unsigned free_count;      /* how many numbers there are in stack */
        uint16_t stack[PTCOPIES]; /* numbers of free ones */
    } ptcopy;

    struct space spaces[SPACES];
} shadow;

/* Which of entries 64 * w and on are known of in some way. */
static inline uint64_t used_bits(const struct ptcopy *c, unsigned w)
{
    return c->mapped[VIEW_SUPERVISOR][w] | c->mapped[VIEW_USER][w] | c->mapped[VIEW_CELL][w] | c->code[w];
}

static inline unsigned space_number(const struct space *s)
{
    return (unsigned)(s - shadow.spaces);
}

static inline bool bit_test(const uint64_t *map, unsigned i)
{
    return map[i >> 6] >> (i & 63) & 1;
}
static inline void bit_set(uint64_t *map, unsigned i)
{
    map[i >> 6] |= 1ull << (i & 63);
}
static inline void bit_clear(uint64_t *map, unsigned i)
{
    map[i >> 6] &= ~(1ull << (i & 63));
}

static inline unsigned pde_shift(const struct space *s)
{
    return s->config & CONFIG_PAE ? 21 : 22;
}
static inline uint64_t pde_span(const struct space *s)
{
    return 1ull << pde_shift(s);
}

static inline size_t entry_size(const struct space *s)
{
    return s->config & CONFIG_PAE ? 8 : 4;
}
static inline unsigned table_entries(const struct space *s)
{
    return PAGE_SIZE / entry_size(s);
}
/* Linear page gla is that of entry entry_number(s, gla) of table gla >> pde_shift(s). */
static inline unsigned entry_number(const struct space *s, gla_t gla)
{
    return gla >> PAGE_SHIFT & (table_entries(s) - 1);
}
static inline gla_t entry_gla(const struct space *s, unsigned table, unsigned entry)
{
    return (gla_t)((uint64_t)table << pde_shift(s)) + entry * PAGE_SIZE;
}
static inline uint64_t entry_read(const struct space *s, const void *p)
{
    return s->config & CONFIG_PAE ? *(const volatile uint64_t *)p : *(const volatile uint32_t *)p;
}
static inline bool is_large(const struct space *s, uint64_t pde)
{
    return (pde & PTE_PS) && (s->config & (CONFIG_PAE | CONFIG_PSE) || !(s->config & CONFIG_PAGING));
}

static inline gpa_t large_gpa(const struct space *s, uint64_t pde)
{
    if (s->config & CONFIG_PAE)
        return pde & 0xfffe00000ull;
    if (!(s->config & CONFIG_PAGING))
        return pde & 0xffc00000u;
    return (pde & 0xffc00000u) | (pde & 0x1fe000ull) << 19; /* PSE-36 */
}
static inline gpa_t small_gpa(const struct space *s, uint64_t pte)
{
    return s->config & CONFIG_PAE ? pte & 0xffffff000ull : pte & 0xfffff000u;
}

/* How much of a large page at gpa is RAM, from its beginning on. */
static inline uint64_t large_ram(const struct space *s, gpa_t gpa)
{
    gpa_t end = mem_ram_end(gpa);
    return gpa < end ? MIN(pde_span(s), end - gpa) : 0;
}

/* One translation as the guest's tables give it. */
struct walk {
    unsigned i, j; /* PDE and PTE numbers */
    gpa_t dir;     /* where the PDE is */
    void *pde_at, *pte_at;
    uint64_t pde, pte; /* pte: the leaf, also if large */
    gpa_t table;
    bool large, w, u, nx, global, odd;
    gpa_t page; /* of the 4 KiB page */
};

static inline uint64_t copy_entry(const struct space *s, const struct ptcopy *c, unsigned j)
{
    return s->config & CONFIG_PAE ? c->e64[j] : c->e32[j];
}
static inline void copy_set(const struct space *s, struct ptcopy *c, unsigned j, uint64_t value)
{
    if (s->config & CONFIG_PAE)
        c->e64[j] = value;
    else
        c->e32[j] = (uint32_t)value;
}

void *shadow_reserve(size_t bytes); /* zeroed address space; aborts if there is none: only at the start */
void shadow_fill_init(void);
void shadow_cell_init(void);
void ptcopy_free(struct ptcopy *c);
/* Gives back memory; while nothing is mapped. */
void shadow_fill_trim(void);
void rmap_trim(void);

/* shadow_walk.c */
uint32_t space_config_of(const struct cpu *cpu);
uint64_t space_pde(const struct cpu *cpu, const struct space *s, unsigned i);
/* False: not present, or bits set that only the interpreter's exact walk judges (k->odd). */
bool shadow_walk(const struct cpu *cpu, const struct space *s, gla_t gla, struct walk *k);
/* Sets A (and D) in the guest's entries, as the hardware walk does. False: they are in ROM, or are code as well, and
 * the interpreter's walk is to do it. */
bool shadow_set_accessed(struct walk *k, bool dirty);

/* shadow_fill.c */
/* The copy of the page table of k, taking entries into account from now on; NULL for a large page. */
struct ptcopy *space_use_table(struct space *s, const struct walk *k);
/* Puts the protections of single pages into a large mapping: len bytes at gla of what is at gpa. */
void space_fix_large(struct space *s, enum view view, gla_t gla, gpa_t gpa, uint64_t len);
/* Brings the copy's entry up to date; drops what was made from an older value. */
void space_use_entry(struct space *s, struct ptcopy *c, const struct walk *k, uint64_t pte);

/* shadow_drop.c */
/* Forgets entry j of table i: bookkeeping only, or with unmapping. */
void space_drop_entry(struct space *s, unsigned i, unsigned j, bool unmap);
void space_drop_pde(struct space *s, unsigned i, bool unmap);
/* Empties a space. */
void space_clear(struct space *s);
/* Empties the space that has not been present for longest; the present one only if it is alone. */
void shadow_evict(void);
/* Makes room among the host's mappings, and in the reverse map. */
bool shadow_is_crowded(void);
void shadow_make_room(const struct cpu *cpu);
/* Takes pages, or the right to write to them, out of a view; what is remembered of them is the caller's. */
void view_unmap(struct space *s, enum view view, gla_t gla, uint64_t len);
void view_protect(struct space *s, enum view view, gla_t gla, uint64_t len);
/* Maps, dropping other spaces while the host refuses (too many mappings, address-space limit). False when it refuses
 * even so: the access must be emulated. May have dropped the current space too. */
bool shadow_map_or_evict(uint8_t *window, gla_t gla, uint64_t offset, uint64_t len, bool writable, bool populate);
/* Compares everything the space uses with the guest's tables. */
void space_sync(const struct cpu *cpu, struct space *s);
void space_sync_page(const struct cpu *cpu, struct space *s, gla_t gla);

/* shadow_rmap.c */
void rmap_init(void);
/* May take another place of the page out of its view: rmap_settle must follow before translated code runs. */
void rmap_add(const struct space *s, enum view view, gla_t gla, gpa_t gpa);
void rmap_settle(void);
/* The next linear page that a large page of some space shows page at, mapped in some view; *n is 0 at first. */
bool rmap_next_large(gpa_t page, unsigned *n, struct space **s, gla_t *gla);
bool rmap_is_full(gpa_t gpa); /* the next rmap_add takes one away */
bool rmap_is_crowded(void);   /* less room than one fill may need */
void rmap_remove(const struct space *s, enum view view, gla_t gla, gpa_t gpa);
/* Some place where a cell has the page, executable or writable; false: none. */
bool rmap_find_cell(gpa_t gpa, struct space **s, gla_t *gla);

/* shadow_code.c */
bool code_init(void); /* false: no address space for a single jump table */
/* User code of linear page gla is gone from the space. */
void space_drop_code(struct space *s, gla_t gla);
/* Looks whether supervisor code is still where it was: in non-global pages, in all, in one. */
void code_check(struct bt *bt, bool global);
void code_check_page(struct bt *bt, gla_t gla);
/* Empties those of bt->slot that lead to a table; NULL: to user code, which another space has in other tables. */
void code_forget_slots(struct bt *bt, const struct jtable *table);
void code_rest(struct space *s); /* the space is not present any more: gives back tables without entries */

/* shadow_cell.c */
/* The cell's part of an unmapping; space_clear's. */
void space_cell_unmap(struct space *s, gla_t gla, uint64_t len);
void space_cell_protect(struct space *s, gla_t gla, uint64_t len);
void space_cell_unmap_large(struct space *s, unsigned i); /* what large page i is mapped in it */
/* The cell has the page of gla, from a page table, executable. */
bool space_cell_is_direct(const struct space *s, gla_t gla);

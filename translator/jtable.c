/* Jump tables: EIP to host address, two loads an indirect jump (see jtable.h). */
#include <glib.h>
#include <string.h>
#include <sys/mman.h>

#include "log.h"
#include "tcache.h"
#include "bt.h"
#include "cache.h"
#include "jtable.h"

/* A table has a number for each 256 bytes of code: where in `units` their entries are. A process's code is seldom where
 * the last one's was, so the memory of its table is seldom what the host has given already, which costs a page fault
 * for each 4 KiB: the numbers of 256 KiB of code are in one page, and units that were used before are used again. */
#define UNIT_SHIFT   JTABLE_UNIT_SHIFT
#define UNIT_ENTRIES (1u << UNIT_SHIFT)
#define UNIT_BYTES   (UNIT_ENTRIES * 4)
#define NUMBERS      (1u << (32 - UNIT_SHIFT))
#define JTABLE_BYTES (NUMBERS * 4ull)
#define LEAF_NUMBERS (PAGE_SIZE / 4) /* numbers in a page of a table, which is a leaf */
#define LEAVES       (NUMBERS / LEAF_NUMBERS)

/* Code can be run at any address, in any mode: budgets for all tables together. Where one is used up, all tables are
 * given back, those without entries first; the others' come again with the next look-ups. */
#define UNITS_MAX   (80 * MiB / UNIT_BYTES) /* as many as the blocks of a full code cache of default size take */
#define UNITS_OWN   (24 * MiB / UNIT_BYTES) /* of tables' own: then one serves again */
#define UNITS_ROOM  (UNITS_MAX / 8)         /* are to be free again, or there is nothing else to do soon */
#define LEAVES_MAX  4096                    /* 16 MiB */
#define PAGES_MAX   65536
#define DEPENDS_MAX 65536

/* Where the host does not overcommit (vm.overcommit_memory = 2), a table's range is reserved inaccessible and opened
 * leaf by leaf; reading elsewhere faults, which the fault handler takes for an empty entry. */
struct jtable {
    uint32_t *base;           /* numbers of units, times UNIT_BYTES; 0: the one without entries */
    bool guarded;             /* opened leaf by leaf */
    uint8_t open[LEAVES / 8]; /* leaves that have been written */
    uint16_t in_leaf[LEAVES]; /* numbers that are not 0 */
    unsigned filled, opened;  /* numbers that are not 0; leaves that are open */
    struct jtable *next;      /* of tables.all */
    struct jtable *next_idle; /* of tables.idle */
};

/* A block that may run at any linear address has its entries in units that all tables have in common. */
struct jpage {
    uint64_t key;
    uint32_t unit[PAGE_SIZE >> UNIT_SHIFT]; /* numbers, 0: there is none yet */
    unsigned users;                         /* see jtable_page_use */
};

/* By page and mode: neighbours must not be neighbours in the hash table, where they would be looked at in turn. */
static guint page_hash(gconstpointer key)
{
    return (guint)(*(const uint64_t *)key * 0x9e3779b97f4a7c15ull >> 32);
}

static struct {
    struct jtable *all;  /* each one made: none is ever freed */
    struct jtable *idle; /* those given back */
    unsigned opened;     /* sum of theirs, within LEAVES_MAX */
    uint32_t *units;     /* UNITS_MAX of them, below 2 GiB: emitted code has the address as a displacement */
    uint32_t *unused;    /* numbers of units that were used and are not any more */
    unsigned unused_count, begun;
    uint8_t *is_shared;    /* a bit for each unit */
    unsigned shared_count; /* of them */
    GHashTable *pages;     /* struct jpage by its key */
    bool guarded;          /* some table is */
    /* Linear page -> linear pages with translations that hold only while that one is mapped as it was. NULL: none. */
    GHashTable *dependents;
    unsigned depends; /* pairs in it, DEPENDS_MAX */
} tables;

void jtable_depends(gla_t gla, gla_t on)
{
    if (!tables.dependents)
        tables.dependents = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_array_unref);
    gpointer key = GUINT_TO_POINTER(on >> PAGE_SHIFT);
    GArray *pages = g_hash_table_lookup(tables.dependents, key);
    if (!pages) {
        pages = g_array_new(FALSE, FALSE, sizeof(uint32_t));
        g_hash_table_insert(tables.dependents, key, pages);
    }
    uint32_t page = gla >> PAGE_SHIFT;
    for (unsigned i = 0; i < pages->len; i++)
        if (g_array_index(pages, uint32_t, i) == page)
            return;
    g_array_append_val(pages, page);
    tables.depends++;
}

bool jtable_depends_crowded(void)
{
    return tables.depends >= DEPENDS_MAX || g_hash_table_size(tables.pages) >= PAGES_MAX;
}

bool jtable_is_empty(const struct jtable *table)
{
    return !table->filled;
}

void jtable_give_back(struct jtable *table)
{
    table->next_idle = tables.idle;
    tables.idle = table;
}

static unsigned units_used(void)
{
    return tables.begun - tables.unused_count;
}

bool jtable_should_share(void)
{
    return units_used() - tables.shared_count >= UNITS_OWN; /* the others no table can give back */
}

static uint32_t *unit_at(uint32_t number)
{
    return (uint32_t *)((uint8_t *)tables.units + number);
}

/* What an entry is that is unknown: the code that looks it up. */
static uint32_t nobody(void)
{
    return (uint32_t)(uintptr_t)tcache_code();
}

static void unit_clear(uint32_t *unit)
{
    const uint32_t value = nobody();
    for (unsigned i = 0; i < UNIT_ENTRIES; i++)
        unit[i] = value;
}

bool jtable_init(void)
{
    size_t size = (size_t)UNITS_MAX * UNIT_BYTES;
    void *at = MAP_FAILED;
    for (uintptr_t want = 0x04000000; want < 0x20000000 && at == MAP_FAILED; want += MiB)
        at = mmap((void *)want, size, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (at == MAP_FAILED)
        return false;
    tables.units = at;
    tables.unused = g_new(uint32_t, UNITS_MAX);
    tables.is_shared = g_new0(uint8_t, UNITS_MAX / 8);
    tables.pages = g_hash_table_new_full(page_hash, g_int64_equal, NULL, g_free);
    unit_clear(unit_at(0));
    tables.begun = 1;
    return true;
}

uint32_t jtable_units(void)
{
    return (uint32_t)(uintptr_t)tables.units;
}

static uint32_t unit_new(void)
{
    assert_always(tables.unused_count || tables.begun < UNITS_MAX); /* see jtable_crowded */
    uint32_t number = tables.unused_count ? tables.unused[--tables.unused_count] : tables.begun++ * UNIT_BYTES;
    unit_clear(unit_at(number));
    return number;
}

struct jtable *jtable_new(void)
{
    struct jtable *idle = tables.idle;
    if (idle) {
        tables.idle = idle->next_idle;
        return idle;
    }
    size_t size = JTABLE_BYTES + 2 * JTABLE_MARGIN;
    uint8_t *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool guarded = base == MAP_FAILED;
    if (guarded)
        base = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    /* Huge pages would make every first touch clear 2 MiB. */
    madvise(base, size, MADV_NOHUGEPAGE);
    struct jtable *t = g_new0(struct jtable, 1);
    t->base = (uint32_t *)(base + JTABLE_MARGIN);
    t->guarded = guarded;
    t->next = tables.all;
    tables.all = t;
    if (guarded && !tables.guarded) {
        tables.guarded = true;
        tcache_flush(); /* shared blocks read everywhere */
    }
    return t;
}

static bool bit(const uint8_t *map, unsigned n)
{
    return map[n >> 3] >> (n & 7) & 1;
}

static bool is_shared(uint32_t number)
{
    return bit(tables.is_shared, number / UNIT_BYTES);
}

/* The table is done with the unit. */
static void unit_leave(uint32_t number)
{
    if (!is_shared(number))
        tables.unused[tables.unused_count++] = number;
}

bool jtable_may_share(void)
{
    return !tables.guarded;
}

struct jpage *jtable_page(gpa_t page, uint32_t mode)
{
    uint64_t key = page >> PAGE_SHIFT << 32 | mode;
    struct jpage *p = g_hash_table_lookup(tables.pages, &key);
    if (p)
        return p;
    p = g_new0(struct jpage, 1);
    p->key = key;
    g_hash_table_insert(tables.pages, &p->key, p);
    return p;
}

void jtable_page_use(struct jpage *page, int more)
{
    page->users += (unsigned)more;
}

static uint32_t shared_unit(struct jpage *page, unsigned k)
{
    if (!page->unit[k]) {
        uint32_t number = page->unit[k] = unit_new(), n = number / UNIT_BYTES;
        tables.is_shared[n >> 3] |= (uint8_t)(1u << (n & 7));
        tables.shared_count++;
    }
    return page->unit[k];
}

uint32_t jtable_page_number(struct jpage *page)
{
    return shared_unit(page, 0);
}

bool jtable_contains(const struct jtable *table, const void *address)
{
    return address >= (const void *)table->base &&
           (const uint8_t *)address < (const uint8_t *)table->base + JTABLE_BYTES;
}

/* The entry of eip, NULL if its unit is the one without entries. */
static uint32_t *entry_at(const struct jtable *t, uint32_t eip)
{
    uint32_t n = eip >> UNIT_SHIFT;
    if (!bit(t->open, n / LEAF_NUMBERS) || !t->base[n])
        return NULL;
    return unit_at(t->base[n]) + (eip & (UNIT_ENTRIES - 1));
}

const void *jtable_get(const struct jtable *t, uint32_t eip)
{
    const uint32_t *entry = entry_at(t, eip);
    return entry && *entry != nobody() ? (const void *)(uintptr_t)*entry : NULL;
}

uint32_t *jtable_base(struct jtable *table)
{
    return table->base;
}

/* Number n becomes that of the unit without entries again. */
static void number_drop(struct jtable *t, uint32_t n)
{
    unit_leave(t->base[n]);
    t->base[n] = 0;
    t->in_leaf[n / LEAF_NUMBERS]--;
    t->filled--;
}

/* Gives the units of a leaf back. */
static void leaf_clear(struct jtable *t, unsigned leaf)
{
    for (uint32_t n = leaf * LEAF_NUMBERS; t->in_leaf[leaf]; n++)
        if (t->base[n])
            number_drop(t, n);
}

void jtable_clear(struct jtable *t)
{
    for (unsigned i = 0; i < LEAVES / 8 && t->filled; i++)
        for (unsigned k = 0; t->open[i] && k < 8; k++)
            if (t->open[i] >> k & 1)
                leaf_clear(t, i * 8 + k);
}

/* Gives the table's memory back to the host. */
static void release(struct jtable *t)
{
    jtable_clear(t);
    if (!t->opened)
        return;
    int prot = t->guarded ? PROT_NONE : PROT_READ | PROT_WRITE;
    if (mmap(t->base, JTABLE_BYTES, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        madvise(t->base, JTABLE_BYTES, MADV_DONTNEED); /* zero again, in all pieces */
    else
        madvise(t->base, JTABLE_BYTES, MADV_NOHUGEPAGE);
    memset(t->open, 0, sizeof t->open);
    tables.opened -= t->opened;
    t->opened = 0;
}

bool jtable_crowded(void)
{
    /* A look-up takes two: the page's, and the first one of another. */
    return units_used() + 2 >= UNITS_MAX || tables.opened + 2 >= LEAVES_MAX;
}

/* Pages whose blocks are all gone. No table may have their units. */
static gboolean page_is_unused(gpointer key, gpointer value, gpointer opaque)
{
    const struct jpage *page = value;
    if (page->users)
        return FALSE;
    for (unsigned k = 0; k < G_N_ELEMENTS(page->unit); k++) {
        uint32_t n = page->unit[k] / UNIT_BYTES;
        if (!n)
            continue;
        tables.is_shared[n >> 3] &= (uint8_t) ~(1u << (n & 7));
        tables.shared_count--;
        tables.unused[tables.unused_count++] = page->unit[k];
    }
    return TRUE;
}

bool jtable_is_roomy(void)
{
    return units_used() + UNITS_ROOM <= UNITS_MAX && tables.opened <= LEAVES_MAX / 2;
}

void jtable_make_room(void)
{
    for (struct jtable *t = tables.all; t; t = t->next)
        if (!t->filled)
            release(t);
    if (jtable_is_roomy())
        return;
    jtable_release_all();
    g_hash_table_foreach_remove(tables.pages, page_is_unused, NULL);
}

void jtable_release_all(void)
{
    for (struct jtable *t = tables.all; t; t = t->next)
        release(t);
    if (!tables.begun || g_hash_table_size(tables.pages))
        return;
    /* No unit but the first is in use. */
    madvise((uint8_t *)tables.units + PAGE_SIZE, (size_t)UNITS_MAX * UNIT_BYTES - PAGE_SIZE, MADV_DONTNEED);
    tables.begun = 1;
    tables.unused_count = 0;
}

static uint32_t entry_of(const struct tentry *entry)
{
    return (uint32_t)(uintptr_t)entry->host;
}

static bool leaf_open(struct jtable *t, unsigned leaf)
{
    if (bit(t->open, leaf))
        return true;
    if (t->guarded && mprotect(t->base + leaf * LEAF_NUMBERS, PAGE_SIZE, PROT_READ | PROT_WRITE) != 0)
        return false;
    t->open[leaf >> 3] |= (uint8_t)(1u << (leaf & 7));
    t->opened++;
    tables.opened++;
    return true;
}

/* Number n becomes that of the unit. False: the leaf cannot be had. */
static bool number_set(struct jtable *t, uint32_t n, uint32_t unit)
{
    if (!leaf_open(t, n / LEAF_NUMBERS))
        return false;
    if (t->base[n]) {
        unit_leave(t->base[n]);
    } else {
        t->in_leaf[n / LEAF_NUMBERS]++;
        t->filled++;
    }
    t->base[n] = unit;
    return true;
}

static uint32_t number_at(const struct jtable *t, uint32_t n)
{
    return bit(t->open, n / LEAF_NUMBERS) ? t->base[n] : 0;
}

bool jtable_know(struct jtable *t, gla_t gla, struct jpage *page)
{
    uint32_t n = (gla & PAGE_MASK) >> UNIT_SHIFT, unit = shared_unit(page, 0);
    return number_at(t, n) == unit || number_set(t, n, unit);
}

/* The page that number n lies in is known to be that one: what is known of it holds for all of its units. A process
 * that begins finds the libraries' code by page, not by unit. */
static void know_units(struct jtable *t, uint32_t n, const struct jpage *page)
{
    uint32_t first = n & ~(uint32_t)(G_N_ELEMENTS(page->unit) - 1);
    for (unsigned k = 0; k < G_N_ELEMENTS(page->unit); k++)
        if (page->unit[k] && !t->base[first + k])
            number_set(t, first + k, page->unit[k]);
}

void jtable_set(struct jtable *t, uint32_t eip, struct tentry *entry)
{
    uint32_t n = eip >> UNIT_SHIFT, unit = number_at(t, n);
    struct jpage *page = entry->block->jpage;
    if (page) {
        uint32_t shared = shared_unit(page, n % G_N_ELEMENTS(page->unit));
        unit_at(shared)[eip & (UNIT_ENTRIES - 1)] = entry_of(entry);
        if (unit != shared && number_set(t, n, shared))
            know_units(t, n, page);
        return;
    }
    if (!unit || is_shared(unit)) {
        if (!leaf_open(t, n / LEAF_NUMBERS))
            return; /* stays unknown: each jump there comes as a lookup */
        unit = unit_new();
        number_set(t, n, unit);
    }
    unit_at(unit)[eip & (UNIT_ENTRIES - 1)] = entry_of(entry);
    entry->tables |= entry->table && entry->table != t;
    entry->table = t;
}

static void drop_code_page(struct jtable *t, uint32_t page)
{
    uint32_t first = page << (PAGE_SHIFT - UNIT_SHIFT);
    for (uint32_t n = first; t->in_leaf[first / LEAF_NUMBERS] && n < first + PAGE_SIZE / UNIT_ENTRIES; n++)
        if (t->base[n])
            number_drop(t, n);
}

void jtable_drop_page(struct jtable *t, gla_t gla)
{
    uint32_t page = gla >> PAGE_SHIFT;
    drop_code_page(t, page);
    GArray *pages = tables.dependents ? g_hash_table_lookup(tables.dependents, GUINT_TO_POINTER(page)) : NULL;
    for (unsigned i = 0; pages && i < pages->len; i++)
        drop_code_page(t, g_array_index(pages, uint32_t, i));
}

void jtable_clear_all(void)
{
    if (tables.dependents)
        g_hash_table_remove_all(tables.dependents); /* the translations are gone too */
    tables.depends = 0;
    for (struct jtable *t = tables.all; t; t = t->next)
        jtable_clear(t);
    g_hash_table_remove_all(tables.pages);
    memset(tables.is_shared, 0, UNITS_MAX / 8);
    tables.shared_count = 0;
    tables.begun = 1;
    tables.unused_count = 0;
}

static void forget(struct jtable *t, const struct tentry *entry)
{
    uint32_t *at = entry_at(t, entry->eip);
    if (at && *at == entry_of(entry))
        *at = nobody();
}

void jtable_forget(const struct tentry *entry)
{
    const struct jpage *page = entry->block->jpage;
    if (page) {
        uint32_t number = page->unit[entry->eip >> UNIT_SHIFT & (G_N_ELEMENTS(page->unit) - 1)];
        uint32_t *at = unit_at(number) + (entry->eip & (UNIT_ENTRIES - 1));
        if (number && *at == entry_of(entry))
            *at = nobody();
        return;
    }
    if (!entry->tables) {
        if (entry->table)
            forget(entry->table, entry);
        return;
    }
    for (struct jtable *t = tables.all; t; t = t->next)
        forget(t, entry);
}

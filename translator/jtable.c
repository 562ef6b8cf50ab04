/* Jump tables: EIP to host address, one load per indirect jump (see jtable.h). */
#include <glib.h>
#include <string.h>
#include <sys/mman.h>

#include "log.h"
#include "tcache.h"
#include "bt.h"
#include "jtable.h"

#define JTABLE_BYTES (16 * GiB)

/* Where the host does not overcommit (vm.overcommit_memory = 2), the range is reserved inaccessible
 * and opened piece by piece; reading elsewhere faults, which the fault handler takes for an empty
 * entry. */
#define PIECE (64 * KiB)

/* A page of a table holds the entries of 1 KiB of code. What is known of those of 4 MiB of code: */
#define LEAF_SHIFT 10 /* of EIP, for the number of the table's page */
#define LEAVES     4096
struct chunk {
    uint8_t filled[LEAVES / 8];   /* some entry is set */
    uint8_t resident[LEAVES / 8]; /* has been written: the host keeps memory for it, though all entries may be 0 */
};
#define CHUNKS (1u << (32 - LEAF_SHIFT - 12))

/* The host's own page tables are made by reading, too: one page for each 2 MiB of a table. */
#define REGION_SHIFT 19 /* of EIP */

struct jtable {
    uint32_t *base;
    bool guarded;                                    /* opened by PIECEs as it is written */
    struct chunk *chunk[CHUNKS];                     /* NULL: nothing is resident */
    uint8_t region[(1u << (32 - REGION_SHIFT)) / 8]; /* bit per region: it has been touched */
    unsigned filled, resident, regions;              /* how many such bits are set */
    struct jtable *next;                             /* of tables.all */
    struct jtable *next_idle;                        /* of tables.idle */
};

/* Code can be run at any address, in any mode: budgets for all tables together. Where one is used up, all tables are
 * given back, those without entries first; the others' come again with the next look-ups. */
#define RESIDENT_MAX (48 * MiB / PAGE_SIZE)
#define REGIONS_MAX  8192 /* 32 MiB */
#define DEPENDS_MAX  65536

/* A table's pages that are cleared one by one, and kept: the next process's code is mostly near where the last one's
 * was, and a page that the host gives anew costs several times as much. */
#define CLEAR_MOST 8192

static struct {
    struct jtable *all;         /* each one made: none is ever freed */
    struct jtable *idle;        /* those given back */
    unsigned resident, regions; /* sums of theirs, within RESIDENT_MAX and REGIONS_MAX */
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
    return tables.depends >= DEPENDS_MAX;
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

bool jtable_should_share(void)
{
    return tables.resident >= RESIDENT_MAX / 2;
}

struct jtable *jtable_new(void)
{
    struct jtable *idle = tables.idle;
    if (idle) {
        tables.idle = idle->next_idle;
        return idle;
    }
    void *base = mmap(NULL, JTABLE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool guarded = base == MAP_FAILED;
    if (guarded)
        base = mmap(NULL, JTABLE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    /* Huge pages would make every first touch clear 2 MiB. */
    madvise(base, JTABLE_BYTES, MADV_NOHUGEPAGE);
    struct jtable *t = g_new0(struct jtable, 1);
    t->base = base;
    t->guarded = guarded;
    t->next = tables.all;
    tables.all = t;
    return t;
}

static bool bit(const uint8_t *map, unsigned n)
{
    return map[n >> 3] >> (n & 7) & 1;
}

static void bit_set(uint8_t *map, unsigned n)
{
    map[n >> 3] |= (uint8_t)(1u << (n & 7));
}

static bool is_filled(const struct jtable *t, uint32_t eip)
{
    const struct chunk *c = t->chunk[eip >> 22];
    return c && bit(c->filled, eip >> LEAF_SHIFT & (LEAVES - 1));
}

void jtable_touched(struct jtable *t, uint32_t eip)
{
    if (bit(t->region, eip >> REGION_SHIFT))
        return;
    bit_set(t->region, eip >> REGION_SHIFT);
    t->regions++;
    tables.regions++;
}

bool jtable_contains(const struct jtable *table, const void *address)
{
    return address >= (const void *)table->base &&
           (const uint8_t *)address < (const uint8_t *)table->base + JTABLE_BYTES;
}

const void *jtable_get(const struct jtable *t, uint32_t eip)
{
    uint32_t entry = is_filled(t, eip) ? t->base[eip] : 0;
    return entry ? tcache_code() + entry : NULL;
}

uint32_t *jtable_base(struct jtable *table)
{
    return table->base;
}

/* Gives the table's memory back to the host, and the host's page tables for it. */
static void release(struct jtable *t)
{
    if (!t->resident && !t->regions)
        return;
    int prot = t->guarded ? PROT_NONE : PROT_READ | PROT_WRITE;
    if (mmap(t->base, JTABLE_BYTES, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        madvise(t->base, JTABLE_BYTES, MADV_DONTNEED); /* zero again, in all pieces */
    else
        madvise(t->base, JTABLE_BYTES, MADV_NOHUGEPAGE);
    for (unsigned c = 0; c < CHUNKS; c++)
        if (t->chunk[c]) {
            g_free(t->chunk[c]);
            t->chunk[c] = NULL;
        }
    memset(t->region, 0, sizeof t->region);
    tables.resident -= t->resident;
    tables.regions -= t->regions;
    t->filled = t->resident = t->regions = 0;
}

bool jtable_crowded(void)
{
    return tables.resident >= RESIDENT_MAX || tables.regions >= REGIONS_MAX;
}

void jtable_make_room(void)
{
    for (struct jtable *t = tables.all; t; t = t->next)
        if (!t->filled)
            release(t);
    if (tables.resident >= RESIDENT_MAX / 2 || tables.regions >= REGIONS_MAX / 2)
        jtable_release_all();
}

void jtable_release_all(void)
{
    for (struct jtable *t = tables.all; t; t = t->next)
        release(t);
}

static uint32_t entry_of(const struct tentry *entry)
{
    return (uint32_t)(entry->host - tcache_code());
}

void jtable_set(struct jtable *t, uint32_t eip, struct tentry *entry)
{
    struct chunk **c = &t->chunk[eip >> 22];
    unsigned leaf = eip >> LEAF_SHIFT & (LEAVES - 1);
    if (!*c)
        *c = g_new0(struct chunk, 1);
    if (!bit((*c)->resident, leaf)) {
        if (t->guarded &&
            mprotect((void *)((uintptr_t)(t->base + eip) & ~(PIECE - 1)), PIECE, PROT_READ | PROT_WRITE) != 0)
            return; /* stays unknown: each jump there comes as a lookup */
        bit_set((*c)->resident, leaf);
        t->resident++;
        tables.resident++;
        jtable_touched(t, eip);
    }
    if (!bit((*c)->filled, leaf)) {
        bit_set((*c)->filled, leaf);
        t->filled++;
    }
    t->base[eip] = entry_of(entry);
    entry->tables |= entry->table && entry->table != t;
    entry->table = t;
}

/* Forgets the entries of page `leaf` of the table that chunk n knows of. */
static void drop_leaf(struct jtable *t, unsigned n, unsigned leaf)
{
    struct chunk *c = t->chunk[n];
    if (!bit(c->filled, leaf))
        return;
    memset(t->base + (n << 22 | leaf << LEAF_SHIFT), 0, PAGE_SIZE);
    c->filled[leaf >> 3] &= (uint8_t) ~(1u << (leaf & 7));
    t->filled--;
}

static void drop_code_page(struct jtable *t, uint32_t page)
{
    unsigned n = page >> 10, leaf = (page << 2) & (LEAVES - 1);
    for (unsigned k = 0; t->chunk[n] && k < 4; k++)
        drop_leaf(t, n, leaf + k);
}

void jtable_drop_page(struct jtable *t, gla_t gla)
{
    uint32_t page = gla >> PAGE_SHIFT;
    drop_code_page(t, page);
    GArray *pages = tables.dependents ? g_hash_table_lookup(tables.dependents, GUINT_TO_POINTER(page)) : NULL;
    for (unsigned i = 0; pages && i < pages->len; i++)
        drop_code_page(t, g_array_index(pages, uint32_t, i));
}

void jtable_clear(struct jtable *t)
{
    if (t->filled > CLEAR_MOST) {
        release(t);
        return;
    }
    for (unsigned n = 0; n < CHUNKS && t->filled; n++)
        for (unsigned i = 0; t->chunk[n] && i < LEAVES / 8; i++)
            for (unsigned k = 0; t->chunk[n]->filled[i] && k < 8; k++)
                drop_leaf(t, n, i * 8 + k);
}

void jtable_clear_all(void)
{
    if (tables.dependents)
        g_hash_table_remove_all(tables.dependents); /* the translations are gone too */
    tables.depends = 0;
    for (struct jtable *t = tables.all; t; t = t->next)
        jtable_clear(t);
}

static void forget(struct jtable *t, const struct tentry *entry)
{
    if (is_filled(t, entry->eip) && t->base[entry->eip] == entry_of(entry))
        t->base[entry->eip] = 0;
}

void jtable_forget(const struct tentry *entry)
{
    if (!entry->tables) {
        if (entry->table)
            forget(entry->table, entry);
        return;
    }
    for (struct jtable *t = tables.all; t; t = t->next)
        forget(t, entry);
}

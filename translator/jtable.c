/* Jump tables: EIP to host address, one load per indirect jump (see translator.h). */
#include <glib.h>
#include <string.h>
#include <sys/mman.h>

#include "log.h"
#include "tcache.h"
#include "translator.h"

#define JTABLE_BYTES (16 * GiB)

/* Where the host does not overcommit (vm.overcommit_memory = 2), the range is reserved inaccessible
 * and opened piece by piece; reading elsewhere faults, which the fault handler takes for an empty
 * entry. */
#define PIECE (64 * KiB)

struct jtable {
    uint32_t *base;
    bool guarded;
    uint8_t used[(1u << 20) / 8]; /* per 4 KiB page of EIP: some entry set */
    uint32_t used_count;
    struct jtable *next;
};

static struct jtable *all;

/* Linear page -> linear pages with translations that hold only while that one is mapped as it was. */
static GHashTable *dependents;

void jtable_depends(gla_t gla, gla_t on)
{
    if (!dependents)
        dependents = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_array_unref);
    gpointer key = GUINT_TO_POINTER(on >> PAGE_SHIFT);
    GArray *pages = g_hash_table_lookup(dependents, key);
    if (!pages) {
        pages = g_array_new(FALSE, FALSE, sizeof(uint32_t));
        g_hash_table_insert(dependents, key, pages);
    }
    uint32_t page = gla >> PAGE_SHIFT;
    for (unsigned i = 0; i < pages->len; i++)
        if (g_array_index(pages, uint32_t, i) == page)
            return;
    g_array_append_val(pages, page);
}

struct jtable *jtable_new(void)
{
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
    t->next = all;
    all = t;
    return t;
}

void jtable_free(struct jtable *table)
{
    struct jtable **p = &all;
    while (*p != table)
        p = &(*p)->next;
    *p = table->next;
    munmap(table->base, JTABLE_BYTES);
    g_free(table);
}

static bool page_used(const struct jtable *t, uint32_t page)
{
    return t->used[page >> 3] >> (page & 7) & 1;
}

bool jtable_contains(const struct jtable *table, const void *address)
{
    return address >= (const void *)table->base &&
           (const uint8_t *)address < (const uint8_t *)table->base + JTABLE_BYTES;
}

const void *jtable_get(const struct jtable *t, uint32_t eip)
{
    return page_used(t, eip >> PAGE_SHIFT) ? (const void *)(uintptr_t)t->base[eip] : NULL;
}

uint32_t *jtable_base(struct jtable *table)
{
    return table->base;
}

void jtable_set(struct jtable *t, uint32_t eip, const struct tentry *entry)
{
    uint32_t page = eip >> PAGE_SHIFT;
    if (!page_used(t, page)) {
        /* The 16 KiB of one page of EIP lie within one piece. */
        if (t->guarded &&
            mprotect((void *)((uintptr_t)(t->base + eip) & ~(PIECE - 1)), PIECE, PROT_READ | PROT_WRITE) != 0)
            return; /* stays unknown: each jump there comes as a lookup */
        t->used[page >> 3] |= (uint8_t)(1u << (page & 7));
        t->used_count++;
    }
    t->base[eip] = (uint32_t)(uintptr_t)entry->host;
}

static void drop_entries(struct jtable *t, uint32_t first, uint32_t count)
{
    memset(t->base + first, 0, (size_t)count * sizeof *t->base);
}

void jtable_drop_page(struct jtable *t, gla_t gla)
{
    uint32_t page = gla >> PAGE_SHIFT;
    if (page_used(t, page)) {
        drop_entries(t, gla & PAGE_MASK, PAGE_SIZE);
        t->used[page >> 3] &= (uint8_t) ~(1u << (page & 7));
        t->used_count--;
    }
    GArray *pages = dependents ? g_hash_table_lookup(dependents, GUINT_TO_POINTER(page)) : NULL;
    for (unsigned i = 0; pages && i < pages->len; i++) {
        uint32_t other = g_array_index(pages, uint32_t, i);
        if (page_used(t, other))
            drop_entries(t, other << PAGE_SHIFT, PAGE_SIZE);
    }
}

void jtable_clear(struct jtable *t)
{
    if (!t->used_count)
        return;
    if (t->used_count > 512) {
        madvise(t->base, JTABLE_BYTES, MADV_DONTNEED); /* zero again, in all pieces */
    } else {
        for (uint32_t i = 0; i < sizeof t->used; i++)
            for (unsigned bit = 0; t->used[i] && bit < 8; bit++)
                if (t->used[i] >> bit & 1)
                    drop_entries(t, (i * 8 + bit) << PAGE_SHIFT, PAGE_SIZE);
    }
    memset(t->used, 0, sizeof t->used);
    t->used_count = 0;
}

void jtable_clear_all(void)
{
    if (dependents)
        g_hash_table_remove_all(dependents); /* the translations are gone too */
    for (struct jtable *t = all; t; t = t->next)
        jtable_clear(t);
}

void jtable_forget(uint32_t eip, const void *host)
{
    for (struct jtable *t = all; t; t = t->next)
        if (page_used(t, eip >> PAGE_SHIFT) && t->base[eip] == (uint32_t)(uintptr_t)host)
            t->base[eip] = 0;
}

/* Jump tables: EIP to host address, one load per indirect jump (see translator.h). */
#include <glib.h>
#include <string.h>
#include <sys/mman.h>

#include "log.h"
#include "tcache.h"
#include "translator.h"

#define JTABLE_BYTES (16 * GiB)

struct jtable {
    uint32_t *base;
    uint8_t used[(1u << 20) / 8]; /* per 4 KiB page of EIP: some entry set */
    uint32_t used_count;
    struct jtable *next;
};

static struct jtable *all;

struct jtable *jtable_new(void)
{
    void *base = mmap(NULL, JTABLE_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    /* Huge pages would make every first touch clear 2 MiB. */
    madvise(base, JTABLE_BYTES, MADV_NOHUGEPAGE);
    struct jtable *t = g_new0(struct jtable, 1);
    t->base = base;
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

uint32_t *jtable_base(struct jtable *table)
{
    return table->base;
}

static bool page_used(const struct jtable *t, uint32_t page)
{
    return t->used[page >> 3] >> (page & 7) & 1;
}

void jtable_set(struct jtable *t, uint32_t eip, const struct tentry *entry)
{
    uint32_t page = eip >> PAGE_SHIFT;
    if (!page_used(t, page)) {
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
        t->used[page >> 3] &= (uint8_t)~(1u << (page & 7));
        t->used_count--;
    }
    if (page && page_used(t, page - 1))
        drop_entries(t, (gla & PAGE_MASK) - 14, 14); /* instructions that reach into this page */
}

void jtable_clear(struct jtable *t)
{
    if (!t->used_count)
        return;
    if (t->used_count > 512) {
        madvise(t->base, JTABLE_BYTES, MADV_DONTNEED);
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
    for (struct jtable *t = all; t; t = t->next)
        jtable_clear(t);
}

void jtable_forget(uint32_t eip, const void *host)
{
    for (struct jtable *t = all; t; t = t->next)
        if (page_used(t, eip >> PAGE_SHIFT) && t->base[eip] == (uint32_t)(uintptr_t)host)
            t->base[eip] = 0;
}

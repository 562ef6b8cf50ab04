/* Jump tables: EIP to host address. jtable.c. */
#pragma once

#include "bt.h"

#define JTABLE_UNIT_SHIFT 8 /* of EIP: entries that lie together */

const void *jtable_get(const struct jtable *table, uint32_t eip);      /* NULL if unknown */
bool jtable_contains(const struct jtable *table, const void *address); /* async-signal-safe */

/* A table of 32-bit host addresses by EIP, unknown ones that of tcache_code(), which looks them up. In two steps: the
 * number at base[EIP >> 8] is how far the 256 entries around EIP are from jtable_units(). 64 MiB of address space each.
 */
bool jtable_init(void);          /* once; false: no address space */
uint32_t jtable_units(void);     /* host address, fits into a displacement */
struct jtable *jtable_new(void); /* empty; NULL: no address space */
/* No entry is set, and nobody uses the table any more: jtable_new hands it out again, the last one first, whose memory
 * is likely to be where the next process's code is. */
void jtable_give_back(struct jtable *table);
bool jtable_is_empty(const struct jtable *table);
/* The tables hold so much memory that one out of use for long should serve again, rather than another. */
bool jtable_should_share(void);
uint32_t *jtable_base(struct jtable *table);
void jtable_set(struct jtable *table, uint32_t eip, struct tentry *entry);
/* What all tables have alike of a page of RAM in a mode, wherever it is mapped: units with the entries of its shared
 * blocks. */
struct jpage;
struct jpage *jtable_page(gpa_t page, uint32_t mode);
/* A block has entries there, or asks whether some linear page is this one; and no longer. */
void jtable_page_use(struct jpage *page, int more);
/* May code be in units that tables share? Not where a table may not be read everywhere. */
bool jtable_may_share(void);
/* The number that a table has for the first unit of a page that is known to be this one. */
uint32_t jtable_page_number(struct jpage *page);
/* From now on linear page gla is known to be this one, in the table. False: it cannot be had. */
bool jtable_know(struct jtable *table, gla_t gla, struct jpage *page);
/* How far around a table emitted code may read, bytes: zero there. */
#define JTABLE_MARGIN (1 * MiB)
/* The tables together have reached their budget of memory: time for jtable_make_room, which gives back that of tables
 * without entries, or forgets all entries. Where it is not roomy then, what is left is that of blocks: time to forget
 * some of those (tcache_drop_oldest). */
bool jtable_crowded(void);
void jtable_make_room(void);
bool jtable_is_roomy(void);
void jtable_release_all(void);
/* Forgets the entries of linear page gla, and those of pages that depend on it. */
void jtable_drop_page(struct jtable *table, gla_t gla);
/* From now on entries of linear page gla go when linear page `on` goes: some translation of it holds only
 * while that page is mapped where it was. */
void jtable_depends(gla_t gla, gla_t on);
bool jtable_depends_crowded(void); /* of them, or pages, are too many: time for a tcache_flush, which forgets them */
void jtable_clear(struct jtable *table);
void jtable_clear_all(void); /* all entries of all tables, and all dependences */
/* Forgets one entry point in every table. */
void jtable_forget(const struct tentry *entry);

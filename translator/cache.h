/* The code cache as a whole, for the run loop and the native layer. tcache.c. */
#pragma once

#include <glib.h>

#include "bt.h"

#define TCACHE_MIN     (1 * MiB)
#define TCACHE_MAX     (1 * GiB)
#define TCACHE_DEFAULT (64 * MiB)
bool tcache_init(size_t size, GError **error);   /* bytes of host code, a multiple of 4 KiB */
void tcache_flush(void);                         /* drops everything */
void tcache_forget(void);                        /* and gives its memory back */
void tcache_invalidate(gpa_t gpa, uint32_t len); /* drops translations of these bytes */
/* A store to a page with translations: drops all of the page, and learns from it. */
void tcache_written(gpa_t gpa, uint32_t len);
/* Drops what was translated from linear page gla of physical page gpa (its mapping changed). */
void tcache_drop_linear(gpa_t gpa, gla_t gla);
/* Drops what was translated from linear page gla, whatever it is mapped to. Takes a look at each block there is. */
void tcache_drop_code(gla_t gla);
uint64_t tcache_used(void);
uint64_t tcache_size(void);
unsigned tcache_block_count(void); /* at some moment: any thread */
uint32_t tcache_flushes(void);     /* how often all of it was dropped */
uint32_t tcache_reuses(void);      /* how often some of its blocks' memory became that of others, or free */
/* Drops a part of the blocks, those made first; false: there are none but the latest. */
bool tcache_drop_oldest(void);
/* To be called now and then with a clock in milliseconds: pages that were mixed for a while get another chance. */
void tcache_cool(uint64_t ms);
unsigned tcache_mixed_pages(void); /* how many pages became "mixed" so far */
uint32_t tcache_epoch(void);       /* grows with every flush or invalidation: private stacks are stale */

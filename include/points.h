/* Breakpoints and watchpoints as engines see them: a set that changes only where the processor's thread, between two
 * instructions, takes over what the debugger has asked for meanwhile.
 *
 * Who executes at, or maps, a linear page asks points_of_page() first: one load where there are no points.
 */
#pragma once

#include "debug.h"

#define POINTS_MAX 4096

/* What there is in a linear page. */
#define POINT_BREAK 0x1u /* an instruction that is not to be executed begins in it */
#define POINT_WRITE 0x2u /* stores to some bytes are to be heard of */
#define POINT_READ  0x4u /* loads from some bytes */
#define POINT_WATCH (POINT_WRITE | POINT_READ)

extern struct points {
    uint8_t *page;                          /* by linear page: POINT_*. NULL: there are none at all */
    uint64_t break_offsets[PAGE_SIZE / 64]; /* offsets in a page at which some breakpoint is */
} points;

/* These are async-signal-safe. */
static inline unsigned points_of_page(gla_t gla)
{
    return unlikely(points.page != NULL) ? points.page[gla >> PAGE_SHIFT] : 0;
}
bool points_break_at(gla_t gla);
/* Whether there is one at the same offset of some page: for what is known by physical address. */
static inline bool points_break_like(gla_t gla)
{
    return points.break_offsets[(gla & (PAGE_SIZE - 1)) >> 6] >> (gla & 63) & 1;
}
/* Whether some byte of [gla, gla + n) is watched for this: the first such one, and the kind of point. */
bool points_watch(gla_t gla, uint32_t n, bool write, gla_t *first, enum debug_point *kind);

/* --- The debugger's side --- */
/* What is asked for. False: POINTS_MAX are there; there is no such point. */
bool points_add(enum debug_point kind, gla_t address, uint32_t len);
bool points_remove(enum debug_point kind, gla_t address, uint32_t len);
void points_remove_all(void);
/* Is there such a breakpoint among them? */
bool points_wanted(enum debug_point kind, gla_t address);

/* The engines see from now on what is asked for. changed hears of each linear page with other points than before. */
typedef void points_changed_fn(void *opaque, gla_t page);
void points_take_over(points_changed_fn *changed, void *opaque);

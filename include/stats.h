/* Statistics of a running machine: how often translated code was left, for what, and how long that took.
 *
 * One struct, written by the vCPU thread alone with plain stores, read by others without locks. Counting is always
 * on. Times are taken only while `timing` is on (-stats, or "stats on" in the monitor); off, each site costs one
 * predictable branch. The thread is always in exactly one phase, an entry of stats.def with unit TIME.
 */
#pragma once

#include <glib.h>

#include "types.h"

enum stat_id {
#define STAT(name, group, unit, text) STAT_##name,
#include "stats.def"
#undef STAT
    STAT_COUNT,
    STAT_CALLOUT_LAST = STAT_fpu, /* of the group that begins with STAT_callout */
};

struct stats {
    uint64_t n[STAT_COUNT];     /* events; how often a phase was entered; GAUGE: the value */
    uint64_t ticks[STAT_COUNT]; /* host TSC ticks, for phases */
    volatile uint64_t last;     /* TSC at the last change of phase */
    uint32_t phase;             /* enum stat_id */
    volatile bool timing;
    /* The interval over which times were taken. */
    uint64_t tsc_start;
    int64_t ns_start;
    double wall_ns, ns_per_tick; /* filled by stats_read */
};
extern struct stats stats;

/* The vCPU thread's: gives the time since the last change to the present phase. */
void stats_charge(void);

static inline void stats_count(enum stat_id what)
{
    stats.n[what]++;
}
static inline void stats_add(enum stat_id what, uint64_t amount)
{
    stats.n[what] += amount;
}
/* The phase is `what` from now on. Returns the one before, for stats_leave. vCPU thread only; async-signal-safe with
 * respect to translated code. */
static inline enum stat_id stats_enter(enum stat_id what)
{
    enum stat_id before = (enum stat_id)stats.phase;
    if (unlikely(stats.timing))
        stats_charge();
    stats.phase = what;
    stats.n[what]++;
    return before;
}
/* Back to the phase before; not counted as another visit. */
static inline void stats_leave(enum stat_id before)
{
    if (unlikely(stats.timing))
        stats_charge();
    stats.phase = before;
}
/* It has turned out what the callout is about that the thread is in, if it is in one: the present stretch counts as
 * that. */
static inline void stats_callout(enum stat_id what)
{
    if (stats.phase < STAT_callout || stats.phase > STAT_CALLOUT_LAST)
        return;
    stats.n[stats.phase]--;
    stats.n[what]++;
    stats.phase = what;
}

/* --- for whoever shows them; any thread --- */

/* Starts times from zero, or stops taking them. */
void stats_set_timing(bool on);
/* A consistent copy, the phase that is going on included, its intervals filled in. */
void stats_read(struct stats *copy);
/* A table for people: phases by time, then what happened. engine: its name, for the head line. */
void stats_print(const struct stats *copy, const char *engine, GString *out);
/* One JSON object: {"engine", "timing", "wall_ns", "ticks_per_second", "groups": {GROUP: ns},
 * "counters": {NAME: {"group", "unit", "count", "ns" (unit TIME), "text"}}}. */
void stats_json(const struct stats *copy, const char *engine, GString *out);

/* Jumps without a way: a jump table that is empty there, an exit of a block that is not linked.
 *
 * A process that begins takes thousands of them, as its table is empty and its libraries are where none were before. To
 * leave translated code and come back costs three times what it takes to find the block, so this is a call out of it,
 * on the monitor's stack, below world_enter's frame (world_call). What the run loop looks at before it goes on is
 * looked at here; where there is anything, it is left to the run loop.
 */
#include "find.h"

#include "direct.h"
#include "log.h"
#include "mem.h"
#include "native/shadow.h"
#include "stats.h"
#include "translator/block.h"
#include "translator/cache.h"
#include "translator/jtable.h"

struct tentry *find_entry(struct bt *bt)
{
    if (unlikely(jtable_crowded())) {
        jtable_make_room();
        while (!jtable_is_roomy() && tcache_drop_oldest())
            jtable_make_room();
        if (jtable_crowded())
            tcache_flush();
    }
    if (unlikely(shadow_code_crowded()))
        shadow_code_forget();
    struct tentry *t = tr_lookup(bt, bt->cpu.eip, bt->loop.natural);
    if (t && !log_on(LOG_NOCHAIN))
        tr_publish(bt, bt->cpu.eip, t);
    return t;
}

/* Of user code that is to be left: not where it goes on translated, as it may not run directly. What never got a way
 * there would leave at each turn of a loop. */
static bool leads_out(const struct bt *bt)
{
    return bt->leave_out != LEAVE_DIRECT || direct_ready(bt);
}

/* Is there nothing that the run loop is to look at? */
static bool may_stay(const struct bt *bt)
{
    return !bt->single && !bt->kick && !bt->cpu.changed && guest_mem.generation == bt->mem_generation &&
           !bt->sites_due && !(bt->leave_out && bt->cpu.cpl == 3 && leads_out(bt)) &&
           !log_on(LOG_EXEC | LOG_CPU | LOG_NOCHAIN);
}

bool find_stacks_hold(const struct bt *bt)
{
    return bt->loop.ras_seen.tcache_epoch == tcache_epoch() && bt->loop.ras_seen.code_epoch == shadow_code_epoch();
}

uint32_t find_next(struct bt *bt, uint32_t arg, uint32_t reason)
{
    const void *host = tr_leave();
    if (reason == EXIT_CHAIN)
        bt->cpu.eip = tr_exit_target(bt, arg);
    if (!may_stay(bt))
        return (uint32_t)(uintptr_t)host;
    enum stat_id before = stats_enter(STAT_dispatch);
    uint32_t reuses = tcache_reuses();
    bt->loop.natural = true;
    struct tentry *t = find_entry(bt);
    if (t && reason == EXIT_CHAIN && reuses == tcache_reuses()) {
        stats_count(STAT_chained);
        tr_chain(bt, arg, t);
    }
    if (t && find_stacks_hold(bt) && may_stay(bt) && !tr_leads_to_interp(tentry_host(t))) {
        stats_count(STAT_ways_found);
        host = tentry_host(t);
    }
    stats_leave(before);
    return (uint32_t)(uintptr_t)host;
}

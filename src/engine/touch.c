/* Devices' memory, RAM not worth mapping, and INVLPG, for translated code that does not leave for it
 * (translator/tr_touch.c).
 *
 * On the monitor's stack, below world_enter's frame, with most guest registers on it: nothing here may look at or
 * change them, or leave translated code. Whatever else the run loop would look at before it goes on, it is made to by
 * bt->kick, which translated code looks at when it has done its instruction.
 */
#include "touch.h"

#include <string.h>

#include "cpu/interp.h"
#include "ioport.h"
#include "lock.h"
#include "mem.h"
#include "native/shadow.h"
#include "stats.h"
#include "translator/block.h"
#include "translator/cache.h"
#include "translator/site.h"

/* What the run loop compares before it goes on. */
struct seen {
    uint32_t translations, code_pages;
};

static struct seen look(void)
{
    return (struct seen){tcache_epoch(), shadow_code_epoch()};
}

static void after_access(struct bt *bt, struct seen before)
{
    if (unlikely(bt->cpu.changed || guest_mem.generation != bt->mem_generation ||
                 before.translations != tcache_epoch() || before.code_pages != shadow_code_epoch()))
        bt->kick = 1;
}

static uint32_t touch_port(struct bt *bt, uint16_t port, uint32_t what, uint32_t value)
{
    unsigned size = what >> TOUCH_SIZE_SHIFT & 7;

    if (bt->kick || ioport_uses_registers(port))
        return 0;
    struct seen seen = look();
    enum stat_id before = stats_enter(STAT_device_port);
    stats_count(STAT_device_calls);
    machine_lock();
    if (what & TOUCH_WRITE)
        ioport_write(port, size, value);
    else
        value = ioport_read(port, size);
    machine_unlock();
    stats_leave(before);
    after_access(bt, seen);
    bt->touch_back += TOUCH_DONE;
    return value;
}

/* Is there nothing that the run loop is to look at first? */
static bool is_in_line(const struct bt *bt)
{
    return !bt->kick && !bt->cpu.changed && guest_mem.generation == bt->mem_generation;
}

static void touch_invlpg(struct bt *bt, gla_t gla)
{
    if (!is_in_line(bt))
        return;
    struct seen seen = look();
    enum stat_id before = stats_enter(STAT_invlpg);
    stats_count(STAT_invlpg_calls);
    interp_flush_page(&bt->cpu, gla);
    shadow_invlpg(bt, gla);
    stats_leave(before);
    after_access(bt, seen);
    bt->touch_back += TOUCH_DONE;
}

static void touch_near(struct bt *bt, gla_t gla, uint32_t page)
{
    if (!is_in_line(bt))
        return;
    struct seen seen = look();
    bool known = tr_know_page(bt, gla, page);
    after_access(bt, seen);
    if (known && !bt->kick)
        bt->touch_back += TOUCH_DONE;
}

/* What only reading the guest's tables finds out: where the access goes. False: translated code is to leave. */
static bool find(struct bt *bt, gla_t gla, unsigned size, uint32_t what)
{
    bool write = what & (TOUCH_WRITE | TOUCH_CHANGE), user = what & TOUCH_USER;
    unsigned n = what & (SITES - 1);
    gpa_t frame;

    if (bt->kick || guest_mem.generation != bt->mem_generation || (gla & ~PAGE_MASK) > PAGE_SIZE - size)
        return false;
    bt->touch_host = NULL;
    if (interp_find_device(&bt->cpu, gla, size, write, user, tr_site_is_device(n), &bt->touch_gpa))
        return tr_site_answers(n);
    if (user && (gla & (size - 1)) && (bt->cpu.cr0 & CR0_AM))
        return false; /* #AC, perhaps */
    bt->touch_host = shadow_touch(bt, user ? VIEW_USER : VIEW_SUPERVISOR, gla, write, &frame);
    return bt->touch_host && tr_site_touches(n, shadow_page_number(gla), frame);
}

uint32_t touch_memory(struct bt *bt, gla_t gla, uint32_t what, uint32_t value)
{
    unsigned size = what >> TOUCH_SIZE_SHIFT & 7;
    bool write = what & TOUCH_WRITE;

    if (what & TOUCH_PORT)
        return touch_port(bt, (uint16_t)gla, what, value);
    if (what & TOUCH_INVLPG) {
        touch_invlpg(bt, gla);
        return 0;
    }
    if (what & TOUCH_NEAR) {
        touch_near(bt, gla, value);
        return 0;
    }
    bt->site_gla = gla;
    struct seen seen = look(); /* to find the page may write to page tables */
    if (!(what & TOUCH_AGAIN) && !find(bt, gla, size, what))
        return 0;
    if (!write)
        value = 0;
    if (bt->touch_host) {
        stats_count(STAT_site_touches);
        if (write)
            memcpy(bt->touch_host, &value, size);
        else
            memcpy(&value, bt->touch_host, size);
    } else {
        enum stat_id before = stats_enter(STAT_device_memory);
        stats_count(STAT_device_calls);
        mem_touch_device(bt->touch_gpa, &value, size, write);
        stats_leave(before);
    }
    after_access(bt, seen);
    if (!(what & TOUCH_AGAIN))
        bt->touch_back += TOUCH_DONE;
    return value;
}

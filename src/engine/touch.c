/* Devices' memory for translated code that does not leave for it (translator/tr_touch.c).
 *
 * On the monitor's stack, below world_enter's frame, with most guest registers on it: nothing here may look at or
 * change them, or leave translated code. Whatever else the run loop would look at before it goes on, it is made to by
 * bt->kick, which translated code looks at when it has done its instruction.
 */
#include "touch.h"

#include "ioport.h"
#include "lock.h"
#include "mem.h"
#include "native/shadow.h"
#include "stats.h"
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

uint32_t touch_device(struct bt *bt, gla_t gla, uint32_t what, uint32_t value)
{
    struct cpu *cpu = &bt->cpu;
    unsigned size = what >> TOUCH_SIZE_SHIFT & 7, n = what & (SITES - 1);
    bool write = what & TOUCH_WRITE;

    if (what & TOUCH_PORT)
        return touch_port(bt, (uint16_t)gla, what, value);
    bt->site_gla = gla;
    struct seen seen = look(); /* to find the page may write to page tables */
    if (!(what & TOUCH_AGAIN) && (bt->kick || guest_mem.generation != bt->mem_generation ||
                                  !interp_find_device(cpu, gla, size, what & (TOUCH_WRITE | TOUCH_CHANGE),
                                                      what & TOUCH_USER, tr_site_is_device(n), &bt->touch_gpa) ||
                                  !tr_site_answers(bt, n)))
        return 0;
    enum stat_id before = stats_enter(STAT_device_memory);
    stats_count(STAT_device_calls);
    if (!write)
        value = 0;
    mem_touch_device(bt->touch_gpa, &value, size, write);
    stats_leave(before);
    after_access(bt, seen);
    if (!(what & TOUCH_AGAIN))
        bt->touch_back += TOUCH_DONE;
    return value;
}

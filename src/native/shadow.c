/* Shadows of guest page directories: which one is present, and keeping it true (see shadow.h; Intel SDM vol. 3A,
 * chapter 4). */
#include "shadow_space.h"

#include <sys/mman.h>

#include "log.h"
#include "translator/site.h"

struct shadow shadow;

void *shadow_reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_always(p != MAP_FAILED);
    return p;
}

bool shadow_init(void)
{
    shadow.codes = 1;
    shadow.live_most = SPACES;
    shadow_set_pse36(0);
    window_init();
    if (!code_init())
        return false;
    rmap_init();
    shadow_fill_init();
    shadow_cell_init();
    for (unsigned i = 0; i < SPACES; i++)
        for (unsigned v = 0; v < WINDOWS; v++)
            shadow.spaces[i].window[v] = window_base(i * WINDOWS + v);
    shadow.seen_generation = guest_mem.generation;
    return window_reserve(SPACES * WINDOWS);
}

uint32_t shadow_code_epoch(void)
{
    return shadow.codes;
}

unsigned shadow_space_id(void)
{
    return space_number(shadow.current);
}

static struct space *space_find(const struct cpu *cpu)
{
    uint32_t config = space_config_of(cpu);
    uint32_t root = config & CONFIG_PAGING ? cpu->cr3 & (config & CONFIG_PAE ? ~31u : PAGE_MASK) : 0;
    struct space *oldest = NULL, *unused = NULL;
    unsigned live = 0;
    for (unsigned n = 0; n < SPACES; n++) {
        struct space *s = &shadow.spaces[n];
        if (s->live && s->root == root && s->config == config)
            return s;
        live += s->live;
        if (!s->live)
            unused = s;
        else if (!oldest || s->used_at < oldest->used_at)
            oldest = s;
    }
    if (live >= shadow.live_most && shadow.live_most < SPACES && window_is_roomy())
        shadow.live_most++;
    struct space *victim = unused && live < shadow.live_most ? unused : oldest;
    if (victim->live && victim->config != config)
        space_clear(victim);
    /* What a recycled space has in common with the new one (the kernel half) stays mapped: the
     * caller's sync drops the rest. */
    if (victim->live)
        shadow.stats.recycled++;
    victim->live = true;
    victim->serial = ++shadow.serial;
    victim->root = root;
    victim->config = config;
    return victim;
}

void shadow_forget_all(void)
{
    for (unsigned n = 0; n < SPACES; n++) {
        if (shadow.spaces[n].live)
            space_clear(&shadow.spaces[n]);
        shadow.spaces[n].live = false;
    }
    shadow_code_forget();
    shadow_fill_trim();
    rmap_trim();
}

void shadow_invlpg(struct bt *bt, gla_t gla)
{
    gla &= PAGE_MASK;
    space_sync_page(&bt->cpu, shadow.current, gla);
    tr_site_unmapped(shadow_page_number(gla));
    code_check_page(bt, gla);
    /* All of a large page's translations go, whichever of its addresses is named. */
    for (unsigned k = 0; shadow.sup.large[gla >> 22] && k < 1024; k++)
        code_check_page(bt, (gla & 0xffc00000u) + k * PAGE_SIZE);
}

void shadow_sync(struct bt *bt)
{
    struct cpu *cpu = &bt->cpu;
    uint32_t changed = cpu->changed;
    cpu->changed = 0;
    if (unlikely(guest_mem.generation != shadow.seen_generation)) {
        shadow.seen_generation = guest_mem.generation;
        for (unsigned n = 0; n < SPACES; n++)
            if (shadow.spaces[n].live)
                space_clear(&shadow.spaces[n]);
        changed |= CHANGED_TLB; /* translations of what has vanished are gone already: mem.c sees to it */
    }
    if (!shadow.current || (changed & (CHANGED_CR3 | CHANGED_TLB))) {
        struct space *before = shadow.current;
        shadow.current = space_find(cpu);
        if (shadow.current != before) {
            code_forget_slots(bt, NULL);
            if (before)
                code_rest(before);
            for (unsigned v = 0; v < WINDOWS; v++)
                bt->view[v] = shadow.current->window[v];
        }
        shadow.current->used_at = ++shadow.now;
        space_sync(cpu, shadow.current);
        code_check(bt, false);
        if (changed & CHANGED_TLB)
            code_check(bt, true);
    }
    if (changed & CHANGED_INVLPG) {
        for (unsigned n = 0; n < cpu->invlpg_count; n++)
            shadow_invlpg(bt, cpu->invlpg[n]);
    }
    cpu->invlpg_count = 0;
    shadow_select(bt);
}

void shadow_stats_gather(struct stats *s)
{
    s->n[STAT_fill_fault] = shadow.stats.faults;
    s->n[STAT_fill_emulate] = shadow.stats.emulated;
    s->n[STAT_syncs] = shadow.stats.syncs;
    s->n[STAT_dropped_pages] = shadow.stats.dropped_pages;
    s->n[STAT_dropped_ranges] = shadow.stats.dropped_ranges;
    s->n[STAT_recycled] = shadow.stats.recycled;
    s->n[STAT_evicted] = shadow.stats.evicted;
    s->n[STAT_mappings] = window_mappings();
    for (unsigned n = 0; n < SPACES; n++)
        s->n[STAT_windows] += shadow.spaces[n].live, s->n[STAT_cells] += shadow.spaces[n].cell != NULL;
}

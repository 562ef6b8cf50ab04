/* The run loop around translated code (see engine_bt.h). */
#include "bt_loop.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/cpuid.h"
#include "direct.h"
#include "find.h"
#include "flight.h"
#include "gates.h"
#include "translator/ginsn.h"
#include "lockstep.h"
#include "log.h"
#include "mem.h"
#include "native/shadow.h"
#include "native/sighandler.h"
#include "native/world.h"
#include "stats.h"
#include "touch.h"
#include "x87.h"
#include "translator/block.h"
#include "translator/cache.h"
#include "translator/jtable.h"
#include "translator/site.h"

struct bt_stats bt_stats;

static uint8_t *ras_new(void)
{
    size_t size = BT_RAS_GUARD + BT_RAS_SIZE + BT_RAS_SLOTS * 8;
    uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_always(p != MAP_FAILED);
    assert_always(mprotect(p, BT_RAS_GUARD, PROT_NONE) == 0);
    return p + BT_RAS_GUARD + BT_RAS_SIZE;
}

struct bt *bt_new(size_t tcache_size, GError **error)
{
    if (!tcache_init(tcache_size, error))
        return NULL;
    if (!shadow_init()) {
        g_set_error(error, g_quark_from_static_string("ringer"), 0,
                    "translated code needs gigabytes of address space and got none (%s): raise "
                    "the address-space limit (ulimit -v unlimited) or use -accel interp",
                    g_strerror(errno));
        return NULL;
    }
    struct bt *bt = mmap(NULL, sizeof *bt, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_always(bt != MAP_FAILED);
    bt->exit_fn = world_exit;
    bt->call_fn = world_call;
    bt->find = find_next;
    bt->touch = touch_memory;
    for (unsigned k = 0; k < 2; k++) {
        bt->ras[k].base = bt->ras[k].rsp = ras_new();
        for (unsigned i = 0; i < BT_RAS_SLOTS; i++)
            ((const void **)bt->ras[k].base)[i] = tr_ret_slow();
    }
    bt->ras_base = bt->ras_rsp = bt->ras[0].base;
    bt->inline_gates = world_has_fsgsbase();
    gates_clear(bt);
    bt->slot_hash = MODE_SLOT_HASH;
    __asm__ volatile("stmxcsr %0" : "=m"(bt->host_mxcsr));
    tr_set_code_page(shadow_code_page);
    tr_set_protect(shadow_protect);
    guest_mem.code_written = shadow_code_written;
    sighandler_init();
    bt->isa = ~0u;
    return bt;
}

void bt_set_model(struct bt *bt)
{
    static const struct {
        uint32_t isa;
        enum insn_feature feat;
    } map[] = {{GISA_FPU, FEAT_FPU},     {GISA_CMOV, FEAT_CMOV},     {GISA_MMX, FEAT_MMX},     {GISA_SSE, FEAT_SSE},
               {GISA_SSE2, FEAT_SSE2},   {GISA_SSE3, FEAT_SSE3},     {GISA_SSSE3, FEAT_SSSE3}, {GISA_SSE41, FEAT_SSE41},
               {GISA_SSE42, FEAT_SSE42}, {GISA_POPCNT, FEAT_POPCNT}, {GISA_MOVBE, FEAT_MOVBE}, {GISA_SEP, FEAT_SEP}};
    interp_share_ram(&bt->cpu);
    bt->isa = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(map); i++)
        if (cpu_model_has(bt->cpu.model, map[i].feat))
            bt->isa |= map[i].isa;
    shadow_set_pse36(bt->cpu.model->pse36 ? bt->cpu.model->phys_bits - 32u : 0);
}

void bt_want_direct(struct bt *bt, bool always)
{
    bt->loop.direct_wanted = true;
    bt->loop.direct_always = always;
}

void bt_attach_thread(struct bt *bt)
{
    const char *why;
    sighandler_attach(bt);
    if (bt->loop.direct_wanted && !direct_enable(bt, bt->loop.direct_always, &why))
        log_user("user code is translated as well: %s", why);
}

void bt_forget(void)
{
    shadow_forget_all();
    tcache_forget();
    jtable_release_all();
}

static void set_gs_base(struct bt *bt)
{
    if (bt->window != bt->gs_base)
        world_set_gs_base(bt->window);
    bt->gs_base = bt->window;
}

/* Whether the FPU state is to be in the host, by who runs: user code keeps it once it has used the FPU,
 * until another address space runs; the kernel, which seldom uses it, for some exits. Before that, the interpreter has
 * its FPU instructions until they come close together: a few clear or load the state at each change of processes, and
 * all that the kernel does in another mode is translated once more. */
#define KERNEL_FPU_EXITS 256
#define KERNEL_FPU_HEAT  16 /* of an instruction; each exit cools by one */

static bool fpu_wanted(const struct bt *bt)
{
    return bt->single || (bt->cpu.cpl == 3 ? bt->loop.fpu.user : bt->loop.fpu.kernel_exits > 0);
}

/* The private stack of the present class of code. */
static void ras_select(struct bt *bt)
{
    unsigned before = bt->ras_base == bt->ras[1].base, now = bt->cpu.cpl == 3;
    struct ras *r = &bt->ras[now];
    bt->ras[before].rsp = bt->ras_rsp;
    /* Translated code comes and goes to the supervisor by itself, always with an empty stack, so what is noted here is
     * of some earlier visit, and its memory has been used for other things since. */
    if (before && !now)
        r->rsp = r->base;
    if (bt->loop.ras_seen.space != shadow_space_id()) {
        bt->loop.ras_seen.space = shadow_space_id();
        bt->ras[1].rsp = bt->ras[1].base;
    }
    if (r->mode != bt->mode || r->cs_base != bt->cs_base || r->cs_limit != bt->cs_limit) {
        r->rsp = r->base;
        r->mode = bt->mode;
        r->cs_base = bt->cs_base;
        r->cs_limit = bt->cs_limit;
    }
    bt->ras_base = r->base;
    bt->ras_rsp = r->rsp;
}

static void set_fpu_on(struct bt *bt, bool on)
{
    bt->fpu_on = on;
    bt->user_fpu = on ? 0 : MODE_FPU_OFF;
}

/* Brings mode, window, table and private stack in line with the CPU. */
static void bt_sync(struct bt *bt)
{
    struct cpu *cpu = &bt->cpu;
    set_fpu_on(bt, fpu_wanted(bt));
    bt->user_tsd = cpu->cr4 & CR4_TSD ? MODE_TSD : 0;
    if (unlikely(bt->gs_seen && !bt->gs_matters)) {
        bt->gs_matters = true;
        tcache_flush(); /* what enters the supervisor without it */
    }
    bt->user_gs = (uint32_t)bt_seg_shape(cpu, SEG_GS) << (MODE_SHAPE_SHIFT + MODE_SHAPE_BITS * SEG_GS);
    gates_check(bt);
    uint32_t mode = bt_mode(bt, &bt->loop.mode_ok), cs_base = cpu->seg[SEG_CS].base;
    uint32_t cs_limit = cpu->seg[SEG_CS].limit;
    if (cpu->changed & CHANGED_A20)
        cpu->changed |= CHANGED_TLB;
    if (!(cpu->changed & ~(CHANGED_MODE | CHANGED_DR)) && bt->window) {
        cpu->changed = 0;
        if (mode == bt->mode && cs_base == bt->cs_base && cs_limit == bt->cs_limit &&
            bt->window == bt->view[cpu->cpl == 3 ? VIEW_USER : VIEW_SUPERVISOR])
            return;
        bt->mode = mode;
        bt->cs_base = cs_base;
        bt->cs_limit = cs_limit;
        shadow_select(bt);
    } else {
        if (cpu->changed & CHANGED_CR3) {
            bt->loop.fpu.user = false;
            if (cpu->cpl == 3)
                set_fpu_on(bt, false);
            mode = bt_mode(bt, &bt->loop.mode_ok);
        }
        bt->mode = mode;
        bt->cs_base = cs_base;
        bt->cs_limit = cs_limit;
        shadow_sync(bt);
        direct_sync(bt);
    }
    set_gs_base(bt);
    ras_select(bt);
}

/* An FPU instruction came while the state was in memory. */
static void fpu_use(struct bt *bt)
{
    if (bt->cpu.cpl == 3)
        bt->loop.fpu.user = true;
    else
        bt->loop.fpu.kernel_exits = bt->loop.fpu.kernel_heat = KERNEL_FPU_EXITS;
    bt->cpu.changed |= CHANGED_MODE;
}

/* Return sites on the private stacks may be gone: forget both. */
static void check_epochs(struct bt *bt)
{
    if (likely(find_stacks_hold(bt)))
        return;
    bt->loop.ras_seen.tcache_epoch = tcache_epoch();
    bt->loop.ras_seen.code_epoch = shadow_code_epoch();
    for (unsigned k = 0; k < 2; k++)
        bt->ras[k].rsp = bt->ras[k].base;
    bt->ras_rsp = bt->ras_base;
}

static void step(struct bt *bt, enum stat_id why)
{
    uint32_t eip = bt->cpu.eip;
    bool user = bt->cpu.cpl == 3;
    stats_enter(why);
    stats_count(STAT_interp_insns);
    interp_step(&bt->cpu);
    stats_leave(STAT_dispatch);
    bt->user_exits += user && bt->cpu.cpl != 3; /* INT, an exception */
    bt->loop.natural = bt->cpu.eip - eip <= 15; /* else IRET and the like */
}

/* An instruction reached a device's memory, which costs a host signal and a change of worlds. Where one does, more do
 * (a loop that draws in planar video memory), so the interpreter goes on as long as they come close together.
 * tests/vga/speed.py: 4.2 us an access without this. An instruction that looks first (tr_site.c) costs no signal: as
 * much as some 15 instructions interpreted, so going on for longer loses. Most sites do not even leave (touch.c): then
 * nothing is gained at all. */
#define MMIO_NEAR      64 /* instructions */
#define MMIO_NEAR_SITE 12
#define MMIO_BURST     256 /* so often: then it may turn out that the instruction is to become a site, which pays */

static void mmio_burst(struct bt *bt, unsigned near)
{
    uint64_t seen;
    unsigned times = 0;
    enum exit_reason reason;
    stats_enter(STAT_interp_near);
    do {
        uint64_t done = 0;
        seen = guest_mem.device_accesses;
        reason = interp_run(&bt->cpu, near, &bt->kick, &bt->irq_pending, &done);
        stats_add(STAT_interp_insns, done);
    } while (reason == EXIT_BUDGET && guest_mem.device_accesses != seen && ++times < MMIO_BURST);
    stats_leave(STAT_dispatch);
    bt->loop.natural = false;
}

void bt_drop_stale(struct bt *bt)
{
    gpa_t page;
    bool global;
    gla_t gla = bt->cs_base + bt->cpu.eip;
    if (shadow_code_page(bt, gla & PAGE_MASK, &page, &global))
        tcache_invalidate(page + (gla & (PAGE_SIZE - 1)), 1);
}

/* Notes which instruction the interpreter is asked for: the statistics' "why". */
static void sample_opcode(struct bt *bt)
{
    gla_t gla = bt->cs_base + bt->cpu.eip;
    gpa_t page;
    bool global;
    if ((gla & (PAGE_SIZE - 1)) > PAGE_SIZE - 15 || !shadow_code_page(bt, gla & PAGE_MASK, &page, &global))
        return;
    const uint8_t *p = mem_ptr(page) + (gla & (PAGE_SIZE - 1));
    for (unsigned k = 0; k < 4 && (*p == 0x66 || *p == 0x67 || *p == 0xf2 || *p == 0xf3 || *p == 0x2e || *p == 0x36 ||
                                   *p == 0x3e || *p == 0x26 || *p == 0x64 || *p == 0x65 || *p == 0xf0);
         k++)
        p++;
    bool two = *p == 0x0f;
    p += two;
    bt_stats.interp_opcode[two * 256 + *p][p[1] >> 3 & 7] += 64;
}

/* Back in user code after a page fault: what the guest's handler has mapped would fault a second time, unseen by the
 * guest, and a host signal costs more than to look. */
static void premap(struct bt *bt)
{
    uint32_t error;
    bt->leave_out &= ~LEAVE_PREMAP;
    enum stat_id before = stats_enter(STAT_shadow_fill);
    if (direct_ready(bt))
        shadow_cell_premap(bt, bt->cpu.cr2);
    else
        shadow_fill(bt, VIEW_USER, bt->cpu.cr2, false, &error);
    stats_leave(before);
}

#define SHORT_STRING 16 /* a string of more that goes element by element is better run than interpreted */

enum exit_reason bt_site(struct bt *bt)
{
    uint32_t error;
    if (!tr_site_missed(bt))
        return EXIT_LOOKUP;
    if (bt->exit_arg & SITE_DIV)
        return EXIT_INTERP;
    if ((bt->exit_arg & SITE_COUNT) && !bt->cpu.gpr[ECX])
        return EXIT_INTERP; /* mapping the page would set its accessed bit */
    uint64_t page = shadow_page_number(bt->site_gla);
    bool is_short = bt->exit_arg & (SITE_EXACT | SITE_BULK) || bt->cpu.gpr[ECX] <= SHORT_STRING;
    enum view view = bt->cpu.cpl == 3 ? VIEW_USER : VIEW_SUPERVISOR;
    gpa_t frame;
    if (!bt->single && is_short && shadow_touch(bt, view, bt->site_gla, bt->exit_arg & SITE_WRITE, &frame) &&
        tr_site_interprets(bt, page, frame)) {
        step(bt, STAT_callout);
        if (bt->loop.natural)
            tr_site_interpreted(bt, page, frame);
        return EXIT_LOOKUP;
    }
    enum stat_id before = stats_enter(STAT_shadow_fill);
    enum fill fill = shadow_fill_site(bt, &error);
    stats_leave(before);
    if (fill == FILL_OK)
        return EXIT_LOOKUP;
    if (fill == FILL_EMULATE || !(bt->exit_arg & SITE_EXACT))
        return EXIT_INTERP;
    guest_fault.gla = bt->site_gla;
    guest_fault.error = error;
    guest_fault.premap = !is_short || !tr_site_interprets(bt, page, NO_FRAME);
    return EXIT_FAULT;
}

/* -d exec, cpu: in QEMU's form. What stands for its flags is our mode. */
static __attribute__((noinline, cold)) void log_entry(const struct bt *bt, const void *host)
{
    const struct cpu *cpu = &bt->cpu;
    if (!log_wants(bt->cs_base + cpu->eip))
        return;
    GString *out = g_string_new(NULL);
    if (log_on(LOG_EXEC))
        g_string_append_printf(out, "Trace 0: %p [%08x/%08x/%08x/%08x] \n", host, bt->cs_base, bt->cs_base + cpu->eip,
                               bt->mode, bt->cs_limit);
    if (log_on(LOG_CPU))
        (log_on(LOG_FPU) ? cpu_print : cpu_print_short)(cpu, out);
    log_printf("%s", out->str);
    g_string_free(out, TRUE);
}

enum exit_reason bt_run(struct bt *bt, bool lockstep)
{
    struct cpu *cpu = &bt->cpu;
    bt->single = lockstep;
    if (!lockstep && (++bt->loop.visits & 63) == 0)
        tcache_cool((uint64_t)(g_get_monotonic_time() / 1000));
    stats_enter(STAT_dispatch);
    bt->loop.natural = false; /* an interrupt may have come in between */
    for (;;) {
        if (cpu->shutdown)
            return EXIT_SHUTDOWN;
        if (interp_db_pending(cpu)) { /* the T bit of a TSS: before anything else */
            step(bt, STAT_interp_inhibit);
            continue;
        }
        if (bt->kick || (bt->irq_pending && (cpu->eflags & FL_IF) && !cpu->inhibit_irq))
            return EXIT_KICK;
        if (cpu->halted)
            return EXIT_HALT;
        if (cpu->inhibit_irq) {
            step(bt, STAT_interp_inhibit);
            continue;
        }
        if (cpu->changed || unlikely(guest_mem.generation != bt->mem_generation)) {
            if (bt->mem_generation != guest_mem.generation)
                cpu->changed |= CHANGED_TLB; /* or bt_sync would find nothing to do */
            bt->mem_generation = guest_mem.generation;
            stats_enter(STAT_shadow_sync);
            bt_sync(bt);
            if (bt->fpu_on)
                direct_fetch_fpu(cpu);
            stats_leave(STAT_dispatch);
        }
        if (!bt->loop.mode_ok) {
            step(bt, STAT_interp_mode);
            continue;
        }
        if (lockstep) {
            stats_enter(STAT_interp);
            lockstep_block(bt);
            stats_leave(STAT_dispatch);
            continue;
        }
        if (bt->leave_out && cpu->cpl == 3) {
            if (bt->leave_out & LEAVE_PREMAP)
                premap(bt);
            if (direct_ready(bt)) {
                if (bt->fpu_on) { /* the cell will have it */
                    bt->loop.fpu.user = false;
                    cpu->changed |= CHANGED_MODE;
                    continue;
                }
                enum exit_reason reason = direct_run(bt);
                bt->loop.natural = false;
                if (reason == EXIT_KICK)
                    continue; /* where it is looked at */
                if (reason == EXIT_INTERP) {
                    step(bt, STAT_callout);
                    if (cpu->cpl == 3)
                        bt->leave_out &= ~LEAVE_PREMAP; /* the guest saw no fault */
                } else if (reason == EXIT_FAULT) {
                    cpu_exception(cpu, EXC_GP, 0, 0);
                }
                continue;
            }
        }
        const void *host = tr_published(bt, cpu->eip);
        if (!host) {
            struct tentry *t = find_entry(bt);
            if (!t) {
                step(bt, STAT_interp_fetch);
                continue;
            }
            host = tentry_host(t);
        }
        if (tr_leads_to_interp(host)) {
            step(bt, STAT_callout);
            continue;
        }
        check_epochs(bt);
        if (log_on(LOG_EXEC | LOG_CPU))
            log_entry(bt, host);
        bt_split_flags(bt);
        if (bt->loop.fpu.kernel_exits) {
            if (--bt->loop.fpu.kernel_exits == 0)
                cpu->changed |= CHANGED_MODE; /* taken notice of after this visit */
        } else if (bt->loop.fpu.kernel_heat) {
            bt->loop.fpu.kernel_heat--;
        }
        stats_enter(STAT_guest);
        enum exit_reason reason = x87_enter(bt, host);
        stats_leave(STAT_dispatch);
        bt_merge_flags(bt);
        bt_stats.exits[reason]++;
        bt->loop.natural = reason == EXIT_LOOKUP || reason == EXIT_FPU;
        if (reason != EXIT_LOOKUP)
            flight_exit(reason, cpu->eip);
        if (unlikely(bt->sites_due))
            tr_sites_take(bt);
        unsigned near = reason != EXIT_SITE ? MMIO_NEAR : bt->exit_arg & SITE_CALLS ? 0 : MMIO_NEAR_SITE;
        if (reason == EXIT_SITE)
            reason = bt_site(bt);
        switch (reason) {
        case EXIT_KICK:
            if (!bt->kick)
                continue;
            direct_sample(bt);
            return EXIT_KICK;
        case EXIT_LOOKUP:
            break;
        case EXIT_INTERP: {
            if (unlikely((bt_stats.exits[EXIT_INTERP] & 63) == 0))
                sample_opcode(bt);
            uint64_t accesses = guest_mem.device_accesses;
            step(bt, STAT_callout);
            if (guest_mem.device_accesses != accesses && near && !lockstep)
                mmio_burst(bt, near);
            break;
        }
        case EXIT_GATE:
            step(bt, STAT_callout);
            gates_learn(bt, bt->exit_arg);
            break;
        case EXIT_FPU:
            if (cpu->cpl != 3 && (bt->loop.fpu.kernel_heat += KERNEL_FPU_HEAT) < KERNEL_FPU_EXITS)
                step(bt, STAT_callout);
            else
                fpu_use(bt);
            break;
        case EXIT_STALE:
            bt_drop_stale(bt);
            break;
        case EXIT_FAULT:
            if (cpu->cpl == 3) {
                bt->user_exits++;
                bt->leave_out |= guest_fault.premap ? LEAVE_PREMAP : 0;
            }
            stats_enter(STAT_page_fault);
            cpu_exception(cpu, EXC_PF, guest_fault.error, guest_fault.gla);
            stats_leave(STAT_dispatch);
            break;
        default:
            assert_always(!"exit reason");
        }
    }
}

void bt_stats_gather(struct stats *s)
{
    s->n[STAT_exit_kick] = bt_stats.exits[EXIT_KICK];
    s->n[STAT_exit_lookup] = bt_stats.exits[EXIT_LOOKUP];
    s->n[STAT_exit_interp] = bt_stats.exits[EXIT_INTERP];
    s->n[STAT_exit_fpu] = bt_stats.exits[EXIT_FPU];
    s->n[STAT_exit_gate] = bt_stats.exits[EXIT_GATE];
    s->n[STAT_exit_stale] = bt_stats.exits[EXIT_STALE];
    s->n[STAT_exit_site] = bt_stats.exits[EXIT_SITE];
    s->n[STAT_exit_fault] = bt_stats.exits[EXIT_FAULT];
    s->n[STAT_tcache_used] = tcache_used();
    s->n[STAT_tcache_flushes] = tcache_flushes();
    s->n[STAT_tcache_reuses] = tcache_reuses();
    s->n[STAT_mixed_pages] = tcache_mixed_pages();
    shadow_stats_gather(s);
}

void bt_stats_print(GString *out)
{
    for (unsigned op = 0; op < 512; op++)
        for (unsigned reg = 0; reg < 8; reg++)
            if (bt_stats.interp_opcode[op][reg] > bt_stats.exits[EXIT_INTERP] / 200)
                g_string_append_printf(out, "interp_opcode_%s%02x/%u=%" G_GUINT64_FORMAT "\n", op >= 256 ? "0f" : "",
                                       op & 255, reg, bt_stats.interp_opcode[op][reg]);
    if (bt_stats.lockstep_blocks)
        g_string_append_printf(out, "lockstep_blocks=%" G_GUINT64_FORMAT " lockstep_insns=%" G_GUINT64_FORMAT "\n",
                               bt_stats.lockstep_blocks, bt_stats.lockstep_insns);
}

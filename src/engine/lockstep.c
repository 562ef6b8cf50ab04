/* Lockstep: the interpreter is the oracle of the translator (see lockstep.h).
 *
 * The interpreter goes first, with its stores logged; then its stores are undone (their new bytes
 * kept), the translated block runs from the same state, and registers, flags, FPU state and the bytes
 * stored are compared. Interrupts are taken between blocks only. Instructions that touch devices or
 * read the time end the comparison and are the interpreter's alone.
 */
#include "lockstep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "bt_loop.h"
#include "gates.h"
#include "log.h"
#include "mem.h"
#include "native/sighandler.h"
#include "x87.h"
#include "translator/block.h"
#include "translator/cache.h"
#include "translator/site.h"

#define LOG_MAX 65536

static struct {
    struct store_log stores;  /* the interpreter's in this block */
    uint8_t (*new_bytes)[16]; /* what each of them left in memory, for the block's to be compared with */
    struct cpu before, want;  /* the processor before the block, and as the interpreter left it */
    uint64_t compared;        /* blocks that had x87 pointers to compare */
    uint64_t lost;            /* of these, those that no signal was seen to have taken them from */
} lockstep;

static bool pointers_differ(const struct fxstate *a, const struct fxstate *b)
{
    return a->fop != b->fop || a->fip != b->fip || a->fcs != b->fcs || a->fdp != b->fdp || a->fds != b->fds;
}

/* All but the pointers, see check_pointers. */
static bool fpu_differs(const struct fxstate *a, const struct fxstate *b)
{
    if (a->fcw != b->fcw || a->fsw != b->fsw || a->ftw != b->ftw || a->mxcsr != b->mxcsr)
        return true;
    for (unsigned i = 0; i < 8; i++)
        if (memcmp(a->st[i], b->st[i], 10) || memcmp(a->xmm[i], b->xmm[i], 16))
            return true;
    return false;
}

static void print_state(const char *who, const struct cpu *c)
{
    fprintf(stderr,
            "%-11s eip=%08x eflags=%08x eax=%08x ecx=%08x edx=%08x ebx=%08x esp=%08x ebp=%08x esi=%08x "
            "edi=%08x cr2=%08x\n",
            who, c->eip, c->eflags, c->gpr[EAX], c->gpr[ECX], c->gpr[EDX], c->gpr[EBX], c->gpr[ESP], c->gpr[EBP],
            c->gpr[ESI], c->gpr[EDI], c->cr2);
}

static void print_fpu(const char *who, const struct fxstate *f)
{
    fprintf(stderr, "%-11s fcw=%04x fsw=%04x ftw=%02x mxcsr=%08x fop=%03x fip=%04x:%08x fdp=%04x:%08x\n", who, f->fcw,
            f->fsw, f->ftw, f->mxcsr, f->fop, f->fcs, f->fip, f->fds, f->fdp);
    for (unsigned i = 0; i < 8; i++) {
        fprintf(stderr, "  st%u=", i);
        for (unsigned b = 10; b-- > 0;)
            fprintf(stderr, "%02x", f->st[i][b]);
        fprintf(stderr, " xmm%u=", i);
        for (unsigned b = 16; b-- > 0;)
            fprintf(stderr, "%02x", f->xmm[i][b]);
        fprintf(stderr, "\n");
    }
}

static _Noreturn void differ(struct bt *bt, const struct tentry *t, const struct cpu *before, const struct cpu *want,
                             const char *what)
{
    fprintf(stderr, "ringer: lockstep: translated code differs from the interpreter in %s\n", what);
    print_state("before", before);
    print_state("interpreter", want);
    print_state("translated", &bt->cpu);
    if (fpu_differs(&want->fpu, &bt->cpu.fpu) || pointers_differ(&want->fpu, &bt->cpu.fpu)) {
        print_fpu("before", &before->fpu);
        print_fpu("interpreter", &want->fpu);
        print_fpu("translated", &bt->cpu.fpu);
    }
    for (unsigned i = 0; i < lockstep.stores.count; i++) {
        const uint8_t *now = mem_ptr(lockstep.stores.entry[i].gpa);
        if (now && memcmp(now, lockstep.new_bytes[i], lockstep.stores.entry[i].size)) {
            fprintf(stderr, "memory %09" G_GINT64_MODIFIER "x: interpreter", (guint64)lockstep.stores.entry[i].gpa);
            for (unsigned b = 0; b < lockstep.stores.entry[i].size; b++)
                fprintf(stderr, " %02x", lockstep.new_bytes[i][b]);
            fprintf(stderr, " translated");
            for (unsigned b = 0; b < lockstep.stores.entry[i].size; b++)
                fprintf(stderr, " %02x", now[b]);
            fprintf(stderr, "\n");
        }
    }
    tr_print_block(t);
    fflush(stderr);
    _Exit(3);
}

/* Memory as it was before store number `first`. */
static void put_back(unsigned first)
{
    for (unsigned i = lockstep.stores.count; i-- > first;)
        memcpy(mem_ptr(lockstep.stores.entry[i].gpa), lockstep.stores.entry[i].old, lockstep.stores.entry[i].size);
}

/* Undoes the logged stores, newest first, keeping what they had written. */
static void undo(void)
{
    for (unsigned i = 0; i < lockstep.stores.count; i++) {
        uint8_t *p = mem_ptr(lockstep.stores.entry[i].gpa);
        memcpy(lockstep.new_bytes[i], p, lockstep.stores.entry[i].size); /* the final value, also where stored twice */
    }
    put_back(0);
}

/* A walk of the interpreter's has set bits in the entry whose first byte that is. */
static bool is_walked(gpa_t gpa)
{
    for (unsigned i = 0; i < lockstep.stores.count; i++)
        if (lockstep.stores.entry[i].walk && lockstep.stores.entry[i].gpa == gpa)
            return true;
    return false;
}

/* An entry that the block itself writes anew while pages are mapped by it: the interpreter, which remembers nothing of
 * them, walks the tables and sets its bits; a window, like a TLB, still has what the old one said. */
static bool differs_by_walk(gpa_t gpa, uint8_t a, uint8_t b)
{
    return !((a ^ b) & ~(PTE_A | PTE_D)) && is_walked(gpa);
}

static bool same_stores(void)
{
    for (unsigned i = 0; i < lockstep.stores.count; i++) {
        const struct store_log_entry *e = &lockstep.stores.entry[i];
        const uint8_t *now = mem_ptr(e->gpa), *want = lockstep.new_bytes[i];
        for (unsigned b = 0; b < e->size; b++)
            if (now[b] != want[b] && !differs_by_walk(e->gpa + b, now[b], want[b]))
                return false;
    }
    return true;
}

/* Those of the interpreter, where the host has lost its own. */
static void share_pointers(struct cpu *cpu, const struct cpu *from)
{
    cpu->fpu.fop = from->fpu.fop;
    cpu->fpu.fip = from->fpu.fip;
    cpu->fpu.fcs = from->fpu.fcs;
    cpu->fpu.fdp = from->fpu.fdp;
    cpu->fpu.fds = from->fpu.fds;
}

/* The host forgets its x87 pointers with each signal and switch of tasks (x87.h). That explains those of a block that a
 * signal was seen to end, a few others, not many; and none where an exception was pending by then, which it keeps them
 * for. */
static void check_pointers(struct bt *bt, const struct tentry *t, const struct cpu *before, const struct cpu *want,
                           bool recovered)
{
    const struct fxstate *fx = &bt->cpu.fpu;

    if (!pointers_differ(&want->fpu, &before->fpu) && !pointers_differ(&want->fpu, fx))
        return;
    lockstep.compared++;
    if (!pointers_differ(&want->fpu, fx))
        return;
    if (x87_pointers_lost(bt, before->fpu.fcw) && (recovered || ++lockstep.lost < 64 + lockstep.compared / 4)) {
        share_pointers(&bt->cpu, want);
        return;
    }
    differ(bt, t, before, want, "the x87 pointers");
}

/* A path through a block with loops may be long; beyond this it goes uncompared. */
#define PATH_MAX_INSNS 100000

static bool same_registers(const struct cpu *a, const struct cpu *b)
{
    return a->eip == b->eip && !memcmp(a->gpr, b->gpr, sizeof a->gpr) && !((a->eflags ^ b->eflags) & ~FL_RF);
}

/* In a loop, registers alone may be where they were before an instruction that changes others or memory. */
static bool same_state(const struct cpu *a, const struct cpu *b)
{
    return same_registers(a, b) && !fpu_differs(&a->fpu, &b->fpu) && same_stores();
}

static int insn_number(const struct tentry *t, uint32_t eip)
{
    for (unsigned i = 0; i < tentry_insn_count(t); i++)
        if (tentry_insn_eip(t, i) == eip)
            return (int)i;
    return -1;
}

static void step_once(struct cpu *cpu)
{
    unsigned logged = lockstep.stores.count;
    interp_step(cpu);
    if (lockstep.stores.device && !lockstep.stores.overflow) {
        /* It was not executed. That its page tables say "accessed" is not to be expected of the block either. */
        put_back(logged);
        lockstep.stores.count = logged;
    }
}

/* Instruction i of the block by the interpreter; a REP instruction to its end. */
static void step_insn(struct cpu *cpu, const struct tentry *t, unsigned i)
{
    uint32_t eip = cpu->eip, esp = cpu->gpr[ESP];
    do
        step_once(cpu);
    while (cpu->eip == eip && !cpu->changed && !lockstep.stores.device && !lockstep.stores.overflow &&
           !interp_point_hit(cpu) && tr_is_string(t, i));
    /* A call with what it calls, unless it faulted. */
    for (unsigned n = tentry_insn_steps(t, i);
         n > 1 && cpu->gpr[ESP] == esp - 4 && !cpu->changed && !interp_point_hit(cpu); n--)
        step_once(cpu);
}

void lockstep_block(struct bt *bt)
{
    struct cpu *cpu = &bt->cpu;
    struct cpu *const before = &lockstep.before, *const want = &lockstep.want;
    if (!lockstep.stores.entry) {
        lockstep.stores.capacity = LOG_MAX;
        lockstep.stores.entry = g_new(struct store_log_entry, LOG_MAX);
        lockstep.new_bytes = g_malloc(LOG_MAX * sizeof *lockstep.new_bytes);
    }
    struct tentry *t = tr_lookup(bt, cpu->eip, true);
    if (!t || tr_leads_to_interp(tentry_host(t))) {
        stats_count(STAT_interp_insns);
        interp_step(cpu);
        return;
    }

    const bool current = tentry_is_current(t);
    /* Whatever the block does to pages that hold translations would change the block itself. */
    *before = *cpu;
    lockstep.stores.count = 0;
    lockstep.stores.overflow = lockstep.stores.device = false;
    uint32_t epoch = tcache_epoch(); /* grows when translations are dropped */
    interp_set_store_log(cpu, &lockstep.stores);
    unsigned done = 0;
    bool last_is_string = false;
    int at = insn_number(t, cpu->eip); /* not 0 where a label was entered */
    do {
        last_is_string = tr_is_string(t, (unsigned)at);
        step_insn(cpu, t, (unsigned)at);
        if (lockstep.stores.device || lockstep.stores.overflow || cpu->shutdown || cpu->halted)
            break;
        done++;
        at = tentry_insn_next(t, (unsigned)at, cpu->eip);
    } while (!cpu->changed && at >= 0 && done < PATH_MAX_INSNS && !interp_point_hit(cpu));
    lockstep.stores.overflow |= done == PATH_MAX_INSNS;
    interp_set_store_log(cpu, NULL);
    if (lockstep.stores.overflow || cpu->shutdown || cpu->halted || tcache_epoch() != epoch || interp_point_hit(cpu)) {
        /* Too much to undo, or translations (of this very block?) are gone, or the debugger has been told: what the
         * interpreter did stands, uncompared. */
        stats_add(STAT_interp_insns, done);
        return;
    }
    if (current && !tentry_is_current(t) && last_is_string) {
        /* A string instruction that overwrites itself: the interpreter fetches it anew for each element, a processor
         * and translated code do not. */
        stats_add(STAT_interp_insns, done);
        return;
    }
    *want = *cpu;
    lockstep.stores.device = false;
    undo();
    *cpu = *before;
    interp_flush_tlb(cpu);
    if (done == 0) {
        stats_count(STAT_interp_insns);
        interp_step(cpu);
        return;
    }

    bt_split_flags(bt);
    int kick = bt->kick;
    bt->kick = 0; /* a kick would stop the block in its middle */
    uint32_t recovered = bt->recovered;
    enum exit_reason reason = x87_enter(bt, tentry_host(t));
    if (bt->kick || kick)
        bt->kick = 1;
    bt_merge_flags(bt);
    bt_stats.exits[reason]++;
    if (bt->sites_due)
        tr_sites_take(bt);
    if (reason == EXIT_SITE && (reason = bt_site(bt)) == EXIT_LOOKUP)
        reason = EXIT_INTERP; /* mapped now, or no site any more: it has yet to be executed */
    if (reason == EXIT_KICK) {
        /* Came in the middle: this block goes uncompared from here. */
        return;
    }
    if (reason == EXIT_STALE) {
        bt_drop_stale(bt); /* the block was not what memory holds: nothing has happened */
        return;
    }
    if (!current) /* whatever came out: another time it would be wrong */
        differ(bt, t, before, want, "the code it was made from");
    /* Where translated code gave up (an exception, or nothing it does itself), the interpreter does now what
     * it did from there above. */
    at = insn_number(t, cpu->eip);
    if (reason == EXIT_FAULT && (at < 0 || !tr_is_string(t, (unsigned)at))) {
        cpu_exception(cpu, EXC_PF, guest_fault.error, guest_fault.gla);
    } else if (reason == EXIT_FAULT || reason == EXIT_INTERP || reason == EXIT_GATE) {
        /* Strings too: which of the two operands of CMPS faults first is the host's affair. */
        for (unsigned k = 0; k < done && at >= 0 && !same_state(cpu, want); k++) {
            step_insn(cpu, t, (unsigned)at);
            at = insn_number(t, cpu->eip);
        }
        if (reason == EXIT_GATE)
            gates_learn(bt, bt->exit_arg);
    }
    bt_stats.lockstep_blocks++;
    bt_stats.lockstep_insns += done;

    if (cpu->eip != want->eip)
        differ(bt, t, before, want, "EIP");
    if (memcmp(cpu->gpr, want->gpr, sizeof cpu->gpr))
        differ(bt, t, before, want, "a general register");
    if ((cpu->eflags ^ want->eflags) & ~FL_RF) /* see bt_split_flags */
        differ(bt, t, before, want, "EFLAGS");
    if (fpu_differs(&cpu->fpu, &want->fpu))
        differ(bt, t, before, want, "the FPU state");
    if (cpu->cr2 != want->cr2 || cpu->cpl != want->cpl || cpu->nmi_blocked != want->nmi_blocked)
        differ(bt, t, before, want, "CR2, CPL or blocked NMIs");
    if (memcmp(cpu->seg, want->seg, sizeof cpu->seg))
        differ(bt, t, before, want, "a segment register");
    if (!same_stores())
        differ(bt, t, before, want, "memory");
    check_pointers(bt, t, before, want, bt->recovered != recovered);
}

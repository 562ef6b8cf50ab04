/* Direct execution: policy, and the loop around a cell (see direct.h).
 *
 * A stop of the cell costs some microseconds, an entry to the kernel from translated code some tens of nanoseconds;
 * translated code of real programs takes half as long again as direct code, or twice as long. So a process starts
 * translated, and what a cell would have saved of its time by now is kept account of: it moves to one when that is as
 * much as a cell costs (who does so at most pays twice), sooner if it is where another was when its cell paid, later
 * where one was begun in vain. It moves back when it has lost some milliseconds by being there.
 */
#include "direct.h"

#include <string.h>
#include <x86intrin.h>

#include "log.h"
#include "native/cell.h"
#include "native/shadow.h"
#include "stats.h"

/* In ticks of the host's TSC, which are between a third and half of a nanosecond on what we run on. */
#define TICKS_US             3000ull
#define TRIP_LEAST           (4 * TICKS_US) /* to a cell and back, on a quiet host, */
#define TRIP_MOST            (100 * TICKS_US) /* and on one that is slow at it (a tracer of its own, say): see direct.trip */
#define STOP_FIRST           (12 * TICKS_US)        /* see direct.stop */
#define SAVED_OF(translated) ((translated) / 3)     /* what a cell saves of the time of translated user code */
#define SAVED_BY(native)     ((native) / 2)         /* that, by the time it takes in the cell */
#define CELL_COST            (16 * 1000 * TICKS_US) /* of a cell, its pages, and the same pages in windows again */
#define ENTER_KNOWN          (5 * 1000 * TICKS_US)  /* what it would have saved, where one has paid before */
#define REGRETS_MOST         4                      /* each doubles what it would have had to save */
#define SPAN_MOST            (10 * 1000 * TICKS_US) /* between samples: longer, somebody slept */
#define LOST_MOST            (4 * 1000 * TICKS_US) /* by staying all the same: programs have phases that touch fresh memory */
#define FILLS_A_STOP         8 /* stops that map something, which come to an end, count that much less */
#define STOPS_JUDGED         64
#define AWAY_PAID            (20 * 1000 * TICKS_US)  /* how long it stays translated after a stay that paid, */
#define AWAY_FIRST           (100 * 1000 * TICKS_US) /* and after one that did not; doubled each time */
#define AWAY_LONGEST         (5000 * 1000 * TICKS_US)
#define SPACES_MAX           64

/* One guest address space. */
struct process {
    uint32_t serial;     /* of the space: another one with the same number begins anew */
    bool in_cell;        /* runs directly */
    uint64_t owed;       /* ticks that a cell would have saved lately */
    int64_t gain;        /* ticks that the cell has saved so far, less what its stops took; */
    int64_t before;      /* that when it came there */
    int64_t lost;        /* ticks, lately, by being there */
    unsigned stops;      /* of the cell since they were last judged, but for those that */
    unsigned fills;      /* mapped something: in the end all is there */
    unsigned bounces;    /* those for code that may not run directly */
    uint64_t inside;     /* ticks in the cell since then, with the ways in and out, */
    uint64_t outside;    /* and at stops, but for mapping */
    uint64_t away;       /* how long the next time out of a cell will be, in ticks */
    uint64_t away_until; /* TSC: it stays translated until then */
};

static struct {
    uint64_t trip;                      /* ticks from the monitor to a cell and back, by what was measured lately */
    uint64_t stop;                      /* and what a stop costs in all */
    bool on;                            /* see direct_enable */
    bool always;                        /* its argument */
    bool told;                          /* the user, that a cell was ended from outside */
    struct process process[SPACES_MAX]; /* by number of the space */
    uint64_t sampled_at;                /* TSC at the last sample */
    uint32_t sampled_entries;           /* bt->user_exits then */
    uint32_t sampled_serial;            /* and whose code ran */
    struct cell *fpu_at;                /* the cell that has the FPU state */
    uint16_t fcs, fds;        /* and the guest's selectors there, which the host's pointers have no room for */
    uint32_t fpu_serial;      /* and whose it is */
    uint32_t translated_page; /* code that cannot run directly: translated until control leaves this page */
    bool in_page;             /* it has not left it yet */
    bool hold;                /* translated until the next interrupt: cells stop too often */
} direct;

bool direct_enable(struct bt *bt, bool always, const char **why)
{
    struct cell *probe = cell_new(why);
    if (!probe)
        return false;
    cell_free(probe);
    direct.on = true;
    direct.trip = TRIP_LEAST;
    direct.stop = STOP_FIRST;
    direct.always = always;
    return true;
}

/* Segments, flags and control registers as they are in a cell. */
static bool fits(const struct bt *bt)
{
    const struct cpu *cpu = &bt->cpu;
    uint32_t mode = bt->mode;
    if (cpu->cpl != 3 || !(mode & MODE_PROT) || !(mode & MODE_PAGING) || !(mode & MODE_CODE32) ||
        !(mode & MODE_STACK32) || (mode & (MODE_IOPL_OK | MODE_NOFPU)) ||
        (!(cpu->cr4 & CR4_OSFXSR) && shadow_cell_may_have_sse()) || !(cpu->eflags & FL_IF) ||
        (cpu->eflags & (FL_AC | FL_NT | FL_TF | FL_IOPL | FL_VIF | FL_VIP)))
        return false;
    static const uint8_t flat[] = {SEG_ES, SEG_CS, SEG_SS, SEG_DS};
    for (unsigned i = 0; i < sizeof flat; i++)
        if (mode_shape(mode, flat[i]) != SHAPE_FLAT)
            return false;
    for (unsigned s = SEG_FS; s <= SEG_GS; s++)
        if ((cpu->seg[s].access & ACC_P) && mode_shape(mode, s) != SHAPE_FLAT && mode_shape(mode, s) != SHAPE_BASED)
            return false;
    return true;
}

static struct process *process_of(void)
{
    struct process *p = &direct.process[shadow_space_id() % SPACES_MAX];
    uint32_t serial = shadow_space_serial();
    if (p->serial != serial)
        *p = (struct process){.serial = serial, .away = AWAY_FIRST, .in_cell = direct.always};
    return p;
}

void direct_sync(struct bt *bt)
{
    bool before = bt->leave_out & LEAVE_DIRECT;
    direct.hold = false;
    bool now = direct.on && process_of()->in_cell;
    bt->leave_out = (bt->leave_out & ~LEAVE_DIRECT) | (now ? LEAVE_DIRECT : 0);
    if (before && !now)
        cell_unbind();
}

bool direct_ready(const struct bt *bt)
{
    if (!(bt->leave_out & LEAVE_DIRECT) || direct.hold || !fits(bt))
        return false;
    if (direct.in_page && (bt->cpu.eip & PAGE_MASK) == direct.translated_page)
        return false;
    direct.in_page = false;
    return true;
}

/* As they count. */
static unsigned stops_of(const struct process *p)
{
    return p->stops + p->fills / FILLS_A_STOP;
}

/* Ticks since it was last judged. */
static uint64_t cost_of(const struct process *p)
{
    return p->outside + stops_of(p) * direct.trip;
}
static uint64_t saved_by(const struct process *p)
{
    uint64_t ways = (p->stops + p->fills) * direct.trip;
    return p->inside > ways ? SAVED_BY(p->inside - ways) : 0;
}

static int64_t gain_of(const struct process *p)
{
    return (int64_t)saved_by(p) - (int64_t)cost_of(p);
}

/* Has its cell, in all, saved more than it cost? */
static bool has_paid(const struct process *p)
{
    return p->gain + gain_of(p) > (int64_t)CELL_COST;
}

static void judge_anew(struct process *p)
{
    p->gain += gain_of(p);
    p->stops = p->fills = p->bounces = 0;
    p->inside = p->outside = 0;
}

void direct_sample(struct bt *bt)
{
    direct.hold = false;
    if (!direct.on || (bt->leave_out & LEAVE_DIRECT))
        return;
    uint64_t now = __rdtsc();
    uint32_t entries = bt->user_exits;
    struct process *p = process_of();
    uint64_t span = MIN(now - direct.sampled_at, SPAN_MOST);
    uint64_t lost = (entries - direct.sampled_entries) * direct.stop;
    bool same = direct.sampled_serial == p->serial, user = bt->cpu.cpl == 3;
    direct.sampled_at = now;
    direct.sampled_entries = entries;
    direct.sampled_serial = p->serial;
    if (!same || now < p->away_until)
        return;
    /* The kernel's time counts for nothing: as samples go, all of a span is that of who is found at its end. */
    uint64_t owed = p->owed + (user ? SAVED_OF(span) : 0);
    p->owed = owed > lost ? owed - lost : 0;
    if (!user || p->owed < ENTER_KNOWN || !fits(bt))
        return;
    gla_t gla = bt->cs_base + bt->cpu.eip;
    enum cell_worth worth = shadow_cell_worth(bt, gla);
    if (worth != CELL_PAID && p->owed < CELL_COST << worth)
        return;
    shadow_cell_set_worth(bt, gla, worth == CELL_PAID ? CELL_UNKNOWN : MIN(worth + 1, REGRETS_MOST));
    p->owed = 0;
    p->in_cell = true;
    judge_anew(p);
    p->before = p->gain;
    bt->leave_out |= LEAVE_DIRECT;
    stats_count(STAT_cell_promoted);
}

/* One stop in 64 is a measure of them. What is not the guest's time must not pass for it: on a host where they are
 * slow, a process that does little else would be found to stay in its cell for long each time. */
static void measure(struct process *p, struct cell *cell)
{
    uint64_t found = cell_measure(cell);
    if (found) {
        uint64_t trip = MIN(MAX(found * 3 / 2, TRIP_LEAST), MIN(2 * direct.trip, TRIP_MOST));
        direct.trip = (7 * direct.trip + trip) / 8;
    }
    direct.stop = (7 * direct.stop + MIN(cost_of(p) / stops_of(p), 2 * direct.stop)) / 8;
}

static void demote(struct bt *bt, struct process *p)
{
    p->in_cell = false;
    p->lost = 0;
    bool paid = p->gain - p->before > (int64_t)CELL_COST;
    p->away_until = __rdtsc() + (paid ? AWAY_PAID : p->away);
    if (!paid) {
        p->away = MIN(2 * p->away, AWAY_LONGEST);
        shadow_cell_set_worth(bt, bt->cs_base + bt->cpu.eip, 1);
    }
    bt->leave_out &= ~LEAVE_DIRECT;
    cell_unbind();
    stats_count(STAT_cell_demoted);
}

void direct_fetch_fpu(struct cpu *cpu)
{
    struct fxstate *fx = &cpu->fpu;
    if (direct.fpu_at && cpu->fpu_fetch) { /* else the CPU was reset */
        uint32_t mask = fx->mxcsr_mask;
        cell_get_fpu(direct.fpu_at, fx);
        /* The host keeps x87 pointers of 64 bits. A processor that has them only while an exception is pending (AMD's)
         * has lost them with the stop if none is, as it does at any switch of tasks. */
        fx->fcs = fx->fip || fx->fop ? direct.fcs : 0;
        fx->fds = fx->fdp ? direct.fds : 0;
        fx->rsvd1 = fx->rsvd2 = 0;
        fx->mxcsr_mask = mask;
    }
    direct.fpu_at = NULL;
    cpu->fpu_fetch = NULL;
}

static void give_fpu(struct bt *bt, struct cell *cell)
{
    if (direct.fpu_at == cell && bt->cpu.fpu_fetch)
        return;
    direct_fetch_fpu(&bt->cpu);
    struct fxstate image = bt->cpu.fpu;
    image.fcs = image.rsvd1 = image.fds = image.rsvd2 = 0;
    cell_put_fpu(cell, &image);
    direct.fcs = bt->cpu.seg[SEG_CS].sel;
    direct.fds = bt->cpu.seg[SEG_DS].sel;
    direct.fpu_at = cell;
    direct.fpu_serial = shadow_space_serial();
    bt->cpu.fpu_fetch = direct_fetch_fpu;
}

/* The cell is no more: its process goes on translated. */
static void lost(struct bt *bt, struct process *p)
{
    if (!direct.told)
        log_user("a process that ran guest code directly was ended from outside; the guest goes on, translated");
    direct.told = true;
    direct_fetch_fpu(&bt->cpu); /* the last known */
    shadow_cell_drop();
    stats_count(STAT_cell_died);
    if (!direct.always)
        demote(bt, p);
}

enum exit_reason direct_run(struct bt *bt)
{
    struct cpu *cpu = &bt->cpu;
    struct process *p = process_of();
    const char *why;
    /* Cells may be ended for others' sake: not with the state in them. */
    if (direct.fpu_at && (direct.fpu_serial != p->serial || cell_is_dead(direct.fpu_at)))
        direct_fetch_fpu(cpu);
    struct cell *cell = shadow_cell(&why);
    if (!cell) {
        log_user("user code is translated from now on: %s", why);
        direct.on = false;
        bt->leave_out &= ~LEAVE_DIRECT;
        return EXIT_LOOKUP;
    }
    uint64_t since = __rdtsc();
    stats_enter(STAT_handoff);
    if (!cell_flush(cell)) {
        if (cell_is_dead(cell)) {
            lost(bt, p);
            stats_leave(STAT_dispatch);
            return EXIT_LOOKUP;
        }
        shadow_cell_drop_mappings();
    }
    give_fpu(bt, cell);
    cell_put(cell, cpu);

    enum exit_reason reason = EXIT_LOOKUP;
    uint64_t fault_before = UINT64_MAX;
    unsigned repeats = 0;
    for (bool out = false; !out;) {
        uint64_t address = 0;
        stats_enter(STAT_direct);
        uint64_t entered = __rdtsc();
        enum cell_stop stop = cell_run(cell, &bt->kick, &address);
        uint64_t left = __rdtsc();
        p->inside += left - entered;
        p->outside += entered - since;
        since = left;
        stats_leave(STAT_handoff);
        stats_count(STAT_cell_stops);
        switch (stop) {
        case CELL_KICK:
            if (!bt->kick)
                break;
            cell_get(cell, cpu);
            /* A sample of what it is that runs, as ticks come. */
            if (has_paid(p))
                shadow_cell_set_worth(bt, cpu->eip, CELL_PAID);
            reason = EXIT_KICK;
            out = true;
            break;
        case CELL_FAULT: {
            uint32_t eip = cell_eip(cell);
            bool fetch = address - eip < 15;
            repeats = address == fault_before ? repeats + 1 : 0;
            fault_before = address;
            if (address < 4 * GiB && repeats < 3 && shadow_cell_fill(bt, (gla_t)address, fetch, eip)) {
                p->fills++;
                since = __rdtsc();
                break;
            }
            p->stops++;
            cell_get(cell, cpu);
            out = true;
            if (fetch && !cell_is_dead(cell)) {
                /* Not present, which the translator finds out, or code that may not run so. */
                direct.translated_page = cpu->eip & PAGE_MASK;
                direct.in_page = true;
                p->bounces++;
            } else {
                reason = EXIT_INTERP;
                bt->leave_out |= LEAVE_PREMAP;
            }
            break;
        }
        case CELL_TRAP:
            cell_get(cell, cpu);
            p->stops++;
            reason = EXIT_INTERP;
            out = true;
            break;
        case CELL_ROGUE:
            stats_count(STAT_cell_rogue);
            cell_get(cell, cpu);
            reason = EXIT_FAULT;
            out = true;
            break;
        case CELL_DEAD:
            cell_get(cell, cpu);
            lost(bt, p);
            out = true;
            break;
        }
    }
    p->outside += __rdtsc() - since;
    if (p->in_cell && stops_of(p) >= STOPS_JUDGED) {
        if (!direct.always) /* then it lives */
            measure(p, cell);
        p->lost = MAX(p->lost - gain_of(p), 0);
        bool bad = p->lost > (int64_t)LOST_MOST, bouncing = p->bounces > p->stops / 2;
        judge_anew(p);
        if (bad && !direct.always)
            demote(bt, p);
        else if (bad && bouncing)
            direct.hold = true;
    }
    stats_leave(STAT_dispatch);
    return reason;
}

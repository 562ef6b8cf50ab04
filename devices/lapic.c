/* Local APIC (Intel SDM vol. 3A, chapter 10; integrated APIC of the P6 family, version 14h).
 *
 * One processor: destinations are either this APIC or nobody. Its bus runs at 1 GHz, so that the timer counts
 * nanoseconds of the virtual clock.
 */
#include "lapic.h"

#include <string.h>

#include "log.h"
#include "mem.h"
#include "state.h"
#include "vclock.h"

#define PERIOD_MIN_NS 5000

enum lvt { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

#define LVT_VECTOR   0x000000ffu
#define LVT_MODE     0x00000700u
#define LVT_PENDING  0x00001000u
#define LVT_MASKED   0x00010000u
#define LVT_PERIODIC 0x00020000u
#define LVT_DEADLINE 0x00040000u
#define SVR_ENABLED  0x00000100u

#define ESR_SEND_ILLEGAL    0x20u
#define ESR_RECEIVE_ILLEGAL 0x40u
#define ESR_REGISTER        0x80u

struct lapic_regs {
    uint32_t id, ldr, dfr, svr, tpr, esr, esr_seen;
    uint32_t isr[8], tmr[8], irr[8];
    uint32_t icr[2];
    uint32_t lvt[LVT_COUNT];
    uint32_t initial_count, divide;
    int64_t timer_start; /* ns when the count was loaded, for the present period */
    uint64_t deadline;   /* value of the TSC; 0: not armed */
    int64_t deadline_at; /* ns */
    uint8_t enabled, lint0, lint1;
    uint8_t expired; /* the count of a one-shot has come to its end */
};

struct lapic {
    struct lapic_regs regs;
    struct lapic_wiring wiring;
    struct board_cpu_apic cpu_side;
    struct board_int_ack int_ack;
    struct vtimer *timer;
    bool intr;
};

/* Bits that exist in each LVT entry. */
static const uint32_t lvt_bits[LVT_COUNT] = {
    [LVT_TIMER] = 0x710ff, [LVT_THERMAL] = 0x117ff, [LVT_PERF] = 0x117ff,
    [LVT_LINT0] = 0x1f7ff, [LVT_LINT1] = 0x1f7ff,   [LVT_ERROR] = 0x110ff,
};

/* --- vectors --- */

static bool vector_test(const uint32_t *map, unsigned vector)
{
    return map[vector >> 5] >> (vector & 31) & 1;
}
static void vector_set(uint32_t *map, unsigned vector)
{
    map[vector >> 5] |= 1u << (vector & 31);
}
static void vector_clear(uint32_t *map, unsigned vector)
{
    map[vector >> 5] &= ~(1u << (vector & 31));
}
static int vector_highest(const uint32_t *map)
{
    for (int i = 7; i >= 0; i--)
        if (map[i])
            return i * 32 + 31 - __builtin_clz(map[i]);
    return -1;
}

static bool is_software_enabled(const struct lapic *lapic)
{
    return lapic->regs.svr & SVR_ENABLED;
}

static uint8_t ppr(const struct lapic *lapic)
{
    int isr = vector_highest(lapic->regs.isr);
    uint8_t tpr = (uint8_t)lapic->regs.tpr, in_service = isr < 0 ? 0 : (uint8_t)(isr & 0xf0);
    return (tpr & 0xf0) >= in_service ? tpr : in_service;
}

/* The vector that would be taken now, or -1. */
static int deliverable(const struct lapic *lapic)
{
    if (!lapic->regs.enabled || !is_software_enabled(lapic))
        return -1;
    int irr = vector_highest(lapic->regs.irr);
    return irr >= 0 && (irr & 0xf0) > (ppr(lapic) & 0xf0) ? irr : -1;
}

/* LINT0 reaches the processor as INTR: directly, or as ExtINT. */
static bool extint(const struct lapic *lapic)
{
    uint32_t lvt = lapic->regs.lvt[LVT_LINT0];
    return lapic->regs.lint0 && (!lapic->regs.enabled || (!(lvt & LVT_MASKED) && (lvt & LVT_MODE) >> 8 == APIC_EXTINT));
}

/* Must be called every time what is pending, in service or masked may have changed. */
static void lapic_update(struct lapic *lapic)
{
    bool intr = deliverable(lapic) >= 0 || extint(lapic);
    if (intr != lapic->intr) {
        lapic->intr = intr;
        irq_set(&lapic->wiring.intr, intr);
    }
}

static void lvt_deliver(struct lapic *lapic, enum lvt which);

static void set_error(struct lapic *lapic, uint32_t bit)
{
    if (lapic->regs.esr & bit)
        return;
    lapic->regs.esr |= bit;
    lvt_deliver(lapic, LVT_ERROR);
}

static void accept(struct lapic *lapic, uint8_t vector, bool level)
{
    if (vector < 16) {
        set_error(lapic, ESR_RECEIVE_ILLEGAL);
        return;
    }
    if (!lapic->regs.enabled || !is_software_enabled(lapic))
        return;
    vector_set(lapic->regs.irr, vector);
    if (level)
        vector_set(lapic->regs.tmr, vector);
    else
        vector_clear(lapic->regs.tmr, vector);
    lapic_update(lapic);
}

static void lvt_deliver(struct lapic *lapic, enum lvt which)
{
    uint32_t lvt = lapic->regs.lvt[which];
    if (lvt & LVT_MASKED)
        return;
    switch (which == LVT_TIMER || which == LVT_ERROR ? APIC_FIXED : (lvt & LVT_MODE) >> 8) {
    case APIC_FIXED:
        accept(lapic, (uint8_t)(lvt & LVT_VECTOR), false);
        break;
    case APIC_NMI:
        irq_set(&lapic->wiring.nmi, true);
        break;
    default: /* ExtINT is a level: see extint */
        break;
    }
}

uint8_t lapic_ack(struct lapic *lapic)
{
    int vector = deliverable(lapic);
    if (vector < 0) {
        if (extint(lapic)) {
            uint8_t found = lapic->wiring.pic_ack(lapic->wiring.pic_opaque);
            lapic_update(lapic);
            return found;
        }
        return (uint8_t)(lapic->regs.svr & LVT_VECTOR); /* spurious */
    }
    vector_clear(lapic->regs.irr, (unsigned)vector);
    vector_set(lapic->regs.isr, (unsigned)vector);
    lapic_update(lapic);
    return (uint8_t)vector;
}

static void end_of_interrupt(struct lapic *lapic)
{
    int vector = vector_highest(lapic->regs.isr);
    if (vector < 0)
        return;
    vector_clear(lapic->regs.isr, (unsigned)vector);
    if (vector_test(lapic->regs.tmr, (unsigned)vector))
        lapic->wiring.eoi(lapic->wiring.eoi_opaque, (uint8_t)vector);
    lapic_update(lapic);
}

/* --- messages --- */

static bool is_addressed(const struct lapic *lapic, uint8_t dest, bool logical)
{
    if (!logical)
        return dest == 0xff || dest == lapic->regs.id >> 24;
    uint8_t mine = (uint8_t)(lapic->regs.ldr >> 24);
    if (lapic->regs.dfr >> 28 == 0xf) /* flat model */
        return dest & mine;
    return (dest >> 4 == mine >> 4 || dest >> 4 == 0xf) && (dest & mine & 0xf);
}

static void take(struct lapic *lapic, enum apic_mode mode, uint8_t vector, bool level)
{
    switch (mode) {
    case APIC_FIXED:
    case APIC_LOWEST:
        accept(lapic, vector, level);
        break;
    case APIC_NMI:
        irq_set(&lapic->wiring.nmi, true);
        break;
    case APIC_EXTINT:
    case APIC_SMI:
    case APIC_INIT: /* addressed to the only processor, by itself: not on this board */
    case APIC_STARTUP:
        break;
    }
}

void lapic_message(struct lapic *lapic, uint8_t dest, bool logical, enum apic_mode mode, uint8_t vector, bool level)
{
    if (lapic->regs.enabled && is_addressed(lapic, dest, logical))
        take(lapic, mode, vector, level);
}

void lapic_msi(void *opaque, uint64_t address, uint32_t data)
{
    if ((address & ~0xfffffull) != LAPIC_BASE) {
        log_guest("msi: nobody is at %llx\n", (unsigned long long)address);
        return;
    }
    lapic_message(opaque, (uint8_t)(address >> 12), address & 4, data >> 8 & 7, (uint8_t)data, false);
}

static void send_command(struct lapic *lapic)
{
    uint32_t low = lapic->regs.icr[0];
    enum apic_mode mode = low >> 8 & 7;
    uint8_t vector = (uint8_t)low;
    bool level = low & 0x8000;
    if ((mode == APIC_FIXED || mode == APIC_LOWEST) && vector < 16) {
        set_error(lapic, ESR_SEND_ILLEGAL);
        return;
    }
    switch (low >> 18 & 3) {
    case 0:
        if (is_addressed(lapic, (uint8_t)(lapic->regs.icr[1] >> 24), low & 0x800))
            take(lapic, mode, vector, level);
        break;
    case 1: /* self */
    case 2: /* all including self */
        take(lapic, mode, vector, false);
        break;
    case 3: /* all others: nobody */
        break;
    }
}

/* --- timer --- */

static unsigned timer_shift(const struct lapic *lapic)
{
    unsigned code = (lapic->regs.divide & 3) | (lapic->regs.divide >> 1 & 4);
    return (code + 1) & 7; /* 111b divides by 1 */
}

static bool waits_for_tsc(const struct lapic *lapic)
{
    return lapic->regs.lvt[LVT_TIMER] & LVT_DEADLINE;
}

static int64_t timer_period(const struct lapic *lapic)
{
    return (int64_t)lapic->regs.initial_count << timer_shift(lapic);
}

static uint32_t timer_count(const struct lapic *lapic)
{
    if (!lapic->regs.initial_count || waits_for_tsc(lapic))
        return 0;
    int64_t passed = (vclock_now() - lapic->regs.timer_start) >> timer_shift(lapic);
    if (passed < lapic->regs.initial_count)
        return lapic->regs.initial_count - (uint32_t)passed;
    if (!(lapic->regs.lvt[LVT_TIMER] & LVT_PERIODIC))
        return 0;
    return lapic->regs.initial_count - (uint32_t)(passed % lapic->regs.initial_count);
}

static void timer_arm(struct lapic *lapic)
{
    /* A period of a nanosecond would leave the host no time for anything else. */
    int64_t soonest = lapic->regs.lvt[LVT_TIMER] & LVT_PERIODIC ? PERIOD_MIN_NS : 0;
    if (waits_for_tsc(lapic) && lapic->regs.deadline)
        vtimer_arm(lapic->timer, lapic->regs.deadline_at);
    else if (!waits_for_tsc(lapic) && lapic->regs.initial_count && !lapic->regs.expired)
        vtimer_arm(lapic->timer, MAX(lapic->regs.timer_start + timer_period(lapic), vclock_now() + soonest));
    else
        vtimer_cancel(lapic->timer);
}

static void timer_due(void *opaque)
{
    struct lapic *lapic = opaque;
    lapic->regs.deadline = 0;
    lvt_deliver(lapic, LVT_TIMER);
    if (waits_for_tsc(lapic) || !lapic->regs.initial_count)
        return;
    if (!(lapic->regs.lvt[LVT_TIMER] & LVT_PERIODIC)) {
        lapic->regs.expired = 1;
        return;
    }
    /* Periods that passed meanwhile are lost, as they are when the vector is still pending. */
    int64_t period = timer_period(lapic), late = vclock_now() - lapic->regs.timer_start;
    lapic->regs.timer_start += late / period * period;
    timer_arm(lapic);
}

void lapic_set_deadline(struct lapic *lapic, uint64_t value, int64_t when)
{
    if (!waits_for_tsc(lapic))
        return;
    lapic->regs.deadline = value;
    lapic->regs.deadline_at = when;
    timer_arm(lapic);
}

uint64_t lapic_deadline(const struct lapic *lapic)
{
    return lapic->regs.deadline;
}

/* --- registers --- */

static const uint32_t *vector_register(const struct lapic *lapic, uint32_t offset)
{
    unsigned i = offset >> 4 & 7;
    return offset >= 0x200 ? &lapic->regs.irr[i] : offset >= 0x180 ? &lapic->regs.tmr[i] : &lapic->regs.isr[i];
}

static uint32_t register_read(struct lapic *lapic, uint32_t offset)
{
    const struct lapic_regs *r = &lapic->regs;
    if (offset >= 0x100 && offset < 0x280)
        return *vector_register(lapic, offset);
    if (offset >= 0x320 && offset <= 0x370)
        return r->lvt[(offset - 0x320) >> 4];
    switch (offset) {
    case 0x020:
        return r->id;
    case 0x030:
        return 0x14 | (LVT_COUNT - 1) << 16;
    case 0x080:
        return r->tpr;
    case 0x090:
        return ppr(lapic);
    case 0x0a0:
        return ppr(lapic);
    case 0x0b0:
        return 0; /* EOI is write-only */
    case 0x0d0:
        return r->ldr;
    case 0x0e0:
        return r->dfr;
    case 0x0f0:
        return r->svr;
    case 0x280:
        return r->esr_seen;
    case 0x300:
        return r->icr[0];
    case 0x310:
        return r->icr[1];
    case 0x380:
        return r->initial_count;
    case 0x390:
        return timer_count(lapic);
    case 0x3e0:
        return r->divide;
    default:
        set_error(lapic, ESR_REGISTER);
        return 0;
    }
}

static void lvt_write(struct lapic *lapic, enum lvt which, uint32_t value)
{
    value &= lvt_bits[which] & ~LVT_PENDING;
    if (!is_software_enabled(lapic))
        value |= LVT_MASKED;
    if (which == LVT_TIMER && !lapic->wiring.tsc_deadline)
        value &= ~LVT_DEADLINE;
    bool other_timer = (value ^ lapic->regs.lvt[which]) & LVT_DEADLINE;
    lapic->regs.lvt[which] = value;
    if (other_timer) { /* either way the timer stands until it is set anew (SDM 10.5.4.1) */
        lapic->regs.initial_count = 0;
        lapic->regs.deadline = 0;
        timer_arm(lapic);
    }
    lapic_update(lapic);
}

static void register_write(struct lapic *lapic, uint32_t offset, uint32_t value)
{
    struct lapic_regs *r = &lapic->regs;
    if (offset >= 0x320 && offset <= 0x370) {
        lvt_write(lapic, (offset - 0x320) >> 4, value);
        return;
    }
    switch (offset) {
    case 0x020:
        r->id = value & 0xff000000u;
        break;
    case 0x080:
        r->tpr = value & 0xff;
        lapic_update(lapic);
        break;
    case 0x0b0:
        end_of_interrupt(lapic);
        break;
    case 0x0d0:
        r->ldr = value & 0xff000000u;
        break;
    case 0x0e0:
        r->dfr = value | 0x0fffffffu;
        break;
    case 0x0f0:
        r->svr = value & 0x1ff;
        if (!is_software_enabled(lapic))
            for (unsigned i = 0; i < LVT_COUNT; i++)
                r->lvt[i] |= LVT_MASKED;
        lapic_update(lapic);
        break;
    case 0x280:
        r->esr_seen = r->esr;
        r->esr = 0;
        break;
    case 0x300:
        r->icr[0] = value & 0x000ccfffu & ~LVT_PENDING;
        send_command(lapic);
        break;
    case 0x310:
        r->icr[1] = value & 0xff000000u;
        break;
    case 0x380:
        if (waits_for_tsc(lapic))
            break;
        r->initial_count = value;
        r->expired = 0;
        r->timer_start = vclock_now();
        timer_arm(lapic);
        break;
    case 0x3e0:
        r->divide = value & 0x0b;
        if (r->expired)
            break;
        r->timer_start = vclock_now();
        timer_arm(lapic);
        break;
    case 0x030:
    case 0x090:
    case 0x0a0:
    case 0x390: /* read-only */
        break;
    default:
        set_error(lapic, ESR_REGISTER);
    }
}

/* Registers are 32 bits wide at multiples of 16; other bytes of the page are nothing. */
static uint64_t lapic_read(void *opaque, uint32_t offset, unsigned size)
{
    struct lapic *lapic = opaque;
    if (!lapic->regs.enabled)
        return UINT64_MAX;
    if ((offset & 15) + size > 4)
        return 0;
    return register_read(lapic, offset & ~15u) >> (8 * (offset & 3));
}

static void lapic_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    struct lapic *lapic = opaque;
    if (lapic->regs.enabled && size == 4 && !(offset & 15))
        register_write(lapic, offset, (uint32_t)value);
}

static const struct mmio_ops lapic_io = {lapic_read, lapic_write};

/* --- pins --- */

void lapic_set_lint0(void *opaque, int line, bool level)
{
    struct lapic *lapic = opaque;
    bool rising = level && !lapic->regs.lint0;
    lapic->regs.lint0 = level;
    if (rising && lapic->regs.enabled && (lapic->regs.lvt[LVT_LINT0] & LVT_MODE) >> 8 != APIC_EXTINT)
        lvt_deliver(lapic, LVT_LINT0);
    lapic_update(lapic);
}

void lapic_set_lint1(void *opaque, int line, bool level)
{
    struct lapic *lapic = opaque;
    bool rising = level && !lapic->regs.lint1;
    lapic->regs.lint1 = level;
    if (!rising)
        return;
    if (!lapic->regs.enabled)
        irq_set(&lapic->wiring.nmi, true);
    else
        lvt_deliver(lapic, LVT_LINT1);
}

void lapic_set_enabled(struct lapic *lapic, bool enabled)
{
    lapic->regs.enabled = enabled;
    lapic_update(lapic);
}

/* --- device --- */

static void lapic_reset(void *dev)
{
    struct lapic *lapic = dev;
    struct lapic_regs *r = &lapic->regs;
    uint8_t lint0 = r->lint0, lint1 = r->lint1;
    memset(r, 0, sizeof *r);
    r->lint0 = lint0;
    r->lint1 = lint1;
    r->enabled = 1;
    r->dfr = UINT32_MAX;
    r->svr = 0xff;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        r->lvt[i] = LVT_MASKED;
    /* What firmware that knows no APIC relies on: the 8259A and NMI go through. */
    r->lvt[LVT_LINT0] = APIC_EXTINT << 8;
    vtimer_cancel(lapic->timer);
    lapic_update(lapic);
}

static const struct state_field lapic_fields[] = {
    STATE_FIELD(lapic_regs, id),
    STATE_FIELD(lapic_regs, ldr),
    STATE_FIELD(lapic_regs, dfr),
    STATE_FIELD(lapic_regs, svr),
    STATE_FIELD(lapic_regs, tpr),
    STATE_FIELD(lapic_regs, esr),
    STATE_FIELD(lapic_regs, esr_seen),
    STATE_FIELD(lapic_regs, isr),
    STATE_FIELD(lapic_regs, tmr),
    STATE_FIELD(lapic_regs, irr),
    STATE_FIELD(lapic_regs, icr),
    STATE_FIELD(lapic_regs, lvt),
    STATE_FIELD(lapic_regs, initial_count),
    STATE_FIELD(lapic_regs, divide),
    STATE_FIELD(lapic_regs, timer_start),
    STATE_FIELD(lapic_regs, deadline),
    STATE_FIELD(lapic_regs, deadline_at),
    STATE_FIELD(lapic_regs, enabled),
    STATE_FIELD(lapic_regs, lint0),
    STATE_FIELD(lapic_regs, lint1),
    STATE_FIELD(lapic_regs, expired),
};
static const struct state_layout lapic_layout = STATE_LAYOUT(1, lapic_regs, lapic_fields);

static bool lapic_after_load(void *dev)
{
    struct lapic *lapic = dev;
    timer_arm(lapic);
    lapic_update(lapic);
    return true;
}

static void lapic_dump(void *dev, GString *out)
{
    struct lapic *lapic = dev;
    g_string_append_printf(out, "lapic: svr %03x tpr %02x irr %d isr %d lvt", lapic->regs.svr, lapic->regs.tpr,
                           vector_highest(lapic->regs.irr), vector_highest(lapic->regs.isr));
    for (unsigned i = 0; i < LVT_COUNT; i++)
        g_string_append_printf(out, " %05x", lapic->regs.lvt[i]);
    g_string_append(out, "\n");
}

void lapic_set_eoi_hook(struct lapic *lapic, void (*eoi)(void *opaque, uint8_t vector), void *opaque)
{
    lapic->wiring.eoi = eoi;
    lapic->wiring.eoi_opaque = opaque;
}

void lapic_set_pic_ack(struct lapic *lapic, uint8_t (*ack)(void *opaque), void *opaque)
{
    lapic->wiring.pic_ack = ack;
    lapic->wiring.pic_opaque = opaque;
}

struct lapic *lapic_new(const struct lapic_wiring *wiring)
{
    struct lapic *lapic = g_new0(struct lapic, 1);
    lapic->wiring = *wiring;
    lapic->timer = vtimer_new(timer_due, lapic, "lapic");
    mem_add_mmio(LAPIC_BASE, LAPIC_SIZE, &lapic_io, lapic, "lapic");
    lapic_reset(lapic);
    return lapic;
}

void lapic_free(struct lapic *lapic)
{
    mem_remove_mmio(LAPIC_BASE);
    vtimer_free(lapic->timer);
    g_free(lapic);
}

struct lapic_config {
    bool tsc_deadline;
};

static void lapic_cpu_set_enabled(void *opaque, bool enabled)
{
    lapic_set_enabled(opaque, enabled);
}

static uint64_t lapic_cpu_deadline(void *opaque)
{
    return lapic_deadline(opaque);
}

static void lapic_cpu_set_deadline(void *opaque, uint64_t value, int64_t when)
{
    lapic_set_deadline(opaque, value, when);
}

static uint8_t lapic_int_ack(void *opaque)
{
    return lapic_ack(opaque);
}

static void *lapic_create(const struct device_site *site, const void *config, GError **error)
{
    const struct lapic_config *wanted = config;
    struct lapic_wiring wiring = {.intr = board_wire(site->board, "intr"),
                                  .nmi = board_wire(site->board, "nmi"),
                                  .tsc_deadline = wanted->tsc_deadline};
    struct lapic *lapic = lapic_new(&wiring);
    lapic->cpu_side = (struct board_cpu_apic){lapic_cpu_set_enabled, lapic_cpu_deadline, lapic_cpu_set_deadline, lapic};
    lapic->int_ack = (struct board_int_ack){lapic_int_ack, lapic};
    board_provide(site->board, "apic", lapic);
    board_provide(site->board, "cpu-apic", &lapic->cpu_side);
    board_provide(site->board, "int-ack", &lapic->int_ack);
    board_provide_wire(site->board, "pic-intr", (struct irq){lapic_set_lint0, lapic, 0});
    return lapic;
}

static void lapic_destroy(void *dev)
{
    lapic_free(dev);
}

static const struct property lapic_properties[] = {
    PROPERTY(lapic_config, tsc_deadline, "tsc-deadline", PROPERTY_BOOL, 0, "off",
             "the timer can wait for a value of the TSC"),
    PROPERTY_END,
};

const struct device_class lapic_class = {
    .name = "apic",
    .info = "lapic",
    .help = "local APIC of the processor",
    .bus = BUS_SYSTEM,
    .internal = true,
    .properties = lapic_properties,
    .config_size = sizeof(struct lapic_config),
    .create = lapic_create,
    .destroy = lapic_destroy,
    .reset = lapic_reset,
    .layout = &lapic_layout,
    .regs_offset = offsetof(struct lapic, regs),
    .after_load = lapic_after_load,
    .dump = lapic_dump,
};
DEVICE_CLASS(lapic_class);

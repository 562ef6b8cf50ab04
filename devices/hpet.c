/* High precision event timer (IA-PC HPET specification 1.0a): a counter of 100 MHz and three comparators.
 *
 * Interrupts go to I/O APIC pins, or in legacy replacement mode timer 0's and 1's to IRQ 0 and 8. No FSB delivery.
 */
#include "hpet.h"

#include <string.h>

#include "ioapic.h"
#include "mem.h"
#include "state.h"
#include "vclock.h"

#define NS_PER_TICK  10
#define SOONEST_NS   5000ll       /* a period of one tick would leave the host no time for anything else */
#define UNSEEN_NS    1000000000ll /* of matches that interrupt nobody: comparators are brought up to date when read */
#define CAPABILITIES (10000000ull << 32 | HPET_BLOCK_ID)

#define CONFIG_ENABLE 1u
#define CONFIG_LEGACY 2u

#define TN_LEVEL        0x0002u
#define TN_ENABLE       0x0004u
#define TN_PERIODIC     0x0008u
#define TN_PERIODIC_CAP 0x0010u
#define TN_64BIT_CAP    0x0020u
#define TN_VALUE_SET    0x0040u
#define TN_32BIT        0x0100u
#define TN_ROUTE_SHIFT  9
#define TN_ROUTE_CAP    0x00f00000u /* pins 20 to 23, as QEMU's; and 2 and 8 for the first two */
#define TN_WRITABLE     0x3f4eu

struct hpet_timer {
    uint64_t config, comparator, period;
};

struct hpet_regs {
    uint64_t config, status, counter; /* counter: value at `since`, or standing */
    int64_t since;
    struct hpet_timer timer[HPET_TIMERS];
};

struct hpet {
    struct hpet_regs regs;
    struct hpet_wiring wiring;
    struct vtimer *due[HPET_TIMERS];
    struct hpet_slot {
        struct hpet *hpet;
        unsigned n;
    } slot[HPET_TIMERS];
};

static bool is_running(const struct hpet *hpet)
{
    return hpet->regs.config & CONFIG_ENABLE;
}

static uint64_t counter_now(const struct hpet *hpet)
{
    if (!is_running(hpet))
        return hpet->regs.counter;
    return hpet->regs.counter + (uint64_t)(vclock_now() - hpet->regs.since) / NS_PER_TICK;
}

static uint64_t mask_of(const struct hpet_timer *t)
{
    return t->config & TN_32BIT ? UINT32_MAX : UINT64_MAX;
}

static const struct irq *output_of(const struct hpet *hpet, unsigned n)
{
    if ((hpet->regs.config & CONFIG_LEGACY) && n < 2)
        return &hpet->wiring.legacy[n];
    return &hpet->wiring.pin[hpet->regs.timer[n].config >> TN_ROUTE_SHIFT & 31];
}

/* The next match of timer n, if it can still come. */
static void timer_arm(struct hpet *hpet, unsigned n)
{
    const struct hpet_timer *t = &hpet->regs.timer[n];
    if (!is_running(hpet)) {
        vtimer_cancel(hpet->due[n]);
        return;
    }
    uint64_t ticks = (t->comparator - counter_now(hpet)) & mask_of(t);
    if (ticks > INT64_MAX / NS_PER_TICK / 2)
        ticks = INT64_MAX / NS_PER_TICK / 2; /* centuries */
    int64_t soonest = !(t->config & TN_ENABLE) ? UNSEEN_NS : t->config & TN_PERIODIC ? SOONEST_NS : 0;
    vtimer_arm(hpet->due[n], vclock_now() + MAX((int64_t)ticks * NS_PER_TICK, soonest));
}

/* A periodic comparator moves to the next multiple ahead: what passed unseen is one interrupt. */
static void advance(struct hpet *hpet, struct hpet_timer *t, uint64_t late)
{
    t->comparator = (t->comparator + (late / t->period + 1) * t->period) & mask_of(t);
}

/* Before anybody looks at a comparator whose matches interrupt nobody: those that passed since the last time. */
static void catch_up(struct hpet *hpet, unsigned n)
{
    struct hpet_timer *t = &hpet->regs.timer[n];
    uint64_t late = (counter_now(hpet) - t->comparator) & mask_of(t);
    if (is_running(hpet) && (t->config & (TN_PERIODIC | TN_ENABLE)) == TN_PERIODIC && t->period &&
        late < 2 * UNSEEN_NS / NS_PER_TICK)
        advance(hpet, t, late);
}

static void timer_match(void *opaque)
{
    const struct hpet_slot *slot = opaque;
    struct hpet *hpet = slot->hpet;
    struct hpet_timer *t = &hpet->regs.timer[slot->n];
    uint64_t now = counter_now(hpet);
    if ((t->config & TN_PERIODIC) && t->period) {
        advance(hpet, t, (now - t->comparator) & mask_of(t));
        timer_arm(hpet, slot->n);
    }
    if (!(t->config & TN_ENABLE))
        return;
    if (t->config & TN_LEVEL) {
        hpet->regs.status |= 1u << slot->n;
        irq_set(output_of(hpet, slot->n), true);
    } else {
        irq_set(output_of(hpet, slot->n), true);
        irq_set(output_of(hpet, slot->n), false);
    }
}

static void config_write(struct hpet *hpet, uint64_t value)
{
    uint64_t old = hpet->regs.config;
    if ((value ^ old) & CONFIG_ENABLE) {
        hpet->regs.counter = counter_now(hpet);
        hpet->regs.since = vclock_now();
    }
    hpet->regs.config = value & (CONFIG_ENABLE | CONFIG_LEGACY);
    if ((value ^ old) & CONFIG_LEGACY)
        irq_set(&hpet->wiring.replaces, value & CONFIG_LEGACY);
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        timer_arm(hpet, n);
}

static void status_clear(struct hpet *hpet, uint64_t bits)
{
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        if (bits & hpet->regs.status & 1u << n)
            irq_set(output_of(hpet, n), false);
    hpet->regs.status &= ~bits;
}

static uint64_t timer_read(struct hpet *hpet, unsigned n, unsigned which)
{
    const struct hpet_timer *t = &hpet->regs.timer[n];
    catch_up(hpet, n);
    uint64_t routes = TN_ROUTE_CAP | (n == 0 ? 1u << 2 : n == 1 ? 1u << 8 : 0);
    switch (which) {
    case 0:
        return t->config | TN_PERIODIC_CAP | TN_64BIT_CAP | routes << 32;
    case 1:
        return t->comparator;
    }
    return 0;
}

static void timer_write(struct hpet *hpet, unsigned n, unsigned which, uint64_t value)
{
    struct hpet_timer *t = &hpet->regs.timer[n];
    catch_up(hpet, n);
    if (which == 0) {
        bool high = hpet->regs.status & 1u << n;
        if (high)
            irq_set(output_of(hpet, n), false);
        if (!(value & TN_LEVEL))
            hpet->regs.status &= ~(1ull << n);
        t->config = value & TN_WRITABLE;
        if (high && (value & TN_LEVEL))
            irq_set(output_of(hpet, n), true);
        if (t->config & TN_32BIT) {
            t->comparator &= UINT32_MAX;
            t->period &= UINT32_MAX;
        }
    } else if (which == 1) {
        /* Periodic: the first write after VAL_SET is the comparator, the next its period. */
        value &= mask_of(t);
        if (!(t->config & TN_PERIODIC) || (t->config & TN_VALUE_SET))
            t->comparator = value;
        if (t->config & TN_PERIODIC)
            t->period = value;
        t->config &= ~(uint64_t)TN_VALUE_SET;
    }
    timer_arm(hpet, n);
}

static uint64_t register_read(struct hpet *hpet, uint32_t offset)
{
    if (offset >= 0x100 && offset < 0x100 + 0x20 * HPET_TIMERS)
        return timer_read(hpet, (offset - 0x100) / 0x20, offset % 0x20 / 8);
    switch (offset) {
    case 0x000:
        return CAPABILITIES;
    case 0x010:
        return hpet->regs.config;
    case 0x020:
        return hpet->regs.status;
    case 0x0f0:
        return counter_now(hpet);
    }
    return 0;
}

static void register_write(struct hpet *hpet, uint32_t offset, uint64_t value)
{
    if (offset >= 0x100 && offset < 0x100 + 0x20 * HPET_TIMERS) {
        timer_write(hpet, (offset - 0x100) / 0x20, offset % 0x20 / 8, value);
        return;
    }
    switch (offset) {
    case 0x010:
        config_write(hpet, value);
        break;
    case 0x020:
        status_clear(hpet, value);
        break;
    case 0x0f0:
        if (!is_running(hpet))
            hpet->regs.counter = value;
        break;
    }
}

static uint64_t hpet_read(void *opaque, uint32_t offset, unsigned size)
{
    if (size < 4)
        return 0; /* accesses are of 32 or 64 bits */
    uint64_t value = register_read(opaque, offset & ~7u);
    return size == 8 ? value : (uint32_t)(value >> (offset & 4 ? 32 : 0));
}

/* What the other half of a register is, for a write of 32 bits: of a comparator, the period if that is written. */
static uint64_t register_now(struct hpet *hpet, uint32_t offset)
{
    if (offset >= 0x100 && offset < 0x100 + 0x20 * HPET_TIMERS && offset % 0x20 == 8) {
        const struct hpet_timer *t = &hpet->regs.timer[(offset - 0x100) / 0x20];
        if ((t->config & TN_PERIODIC) && !(t->config & TN_VALUE_SET))
            return t->period;
    }
    return register_read(hpet, offset);
}

static void hpet_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    if (size == 8) {
        register_write(opaque, offset & ~7u, value);
    } else if (size == 4) {
        uint64_t old = offset == 0x20 || offset == 0x24 ? 0 : register_now(opaque, offset & ~7u);
        value = offset & 4 ? (old & UINT32_MAX) | value << 32 : (old & ~(uint64_t)UINT32_MAX) | value;
        register_write(opaque, offset & ~7u, value);
    }
}

static const struct mmio_ops hpet_io = {hpet_read, hpet_write};

static void hpet_reset(void *dev)
{
    struct hpet *hpet = dev;
    status_clear(hpet, UINT64_MAX);
    if (hpet->regs.config & CONFIG_LEGACY)
        irq_set(&hpet->wiring.replaces, false);
    memset(&hpet->regs, 0, sizeof hpet->regs);
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        hpet->regs.timer[n].comparator = UINT64_MAX;
        vtimer_cancel(hpet->due[n]);
    }
}

static const struct state_field hpet_fields[] = {
    STATE_FIELD(hpet_regs, config), STATE_FIELD(hpet_regs, status), STATE_FIELD(hpet_regs, counter),
    STATE_FIELD(hpet_regs, since),  STATE_FIELD(hpet_regs, timer),
};
static const struct state_layout hpet_layout = STATE_LAYOUT(1, hpet_regs, hpet_fields);

static bool hpet_after_load(void *dev)
{
    struct hpet *hpet = dev;
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        timer_arm(hpet, n);
        if (hpet->regs.status & 1u << n)
            irq_set(output_of(hpet, n), true);
    }
    return true;
}

static void hpet_dump(void *dev, GString *out)
{
    struct hpet *hpet = dev;
    g_string_append_printf(out, "hpet: config %x counter %" G_GINT64_MODIFIER "x\n", (unsigned)hpet->regs.config,
                           (guint64)counter_now(hpet));
}

struct hpet *hpet_new(const struct hpet_wiring *wiring)
{
    struct hpet *hpet = g_new0(struct hpet, 1);
    hpet->wiring = *wiring;
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        hpet->slot[n] = (struct hpet_slot){hpet, n};
        hpet->due[n] = vtimer_new(timer_match, &hpet->slot[n], "hpet");
    }
    mem_add_mmio(HPET_BASE, PAGE_SIZE, &hpet_io, hpet, "hpet");
    hpet_reset(hpet);
    return hpet;
}

void hpet_free(struct hpet *hpet)
{
    mem_remove_mmio(HPET_BASE);
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        vtimer_free(hpet->due[n]);
    g_free(hpet);
}

/* In legacy replacement mode the PIT's and the RTC's own interrupts are off: they come through these wires. */
static void hpet_legacy_timer(void *opaque, int line, bool level)
{
    struct hpet *hpet = opaque;
    if (!(hpet->regs.config & CONFIG_LEGACY))
        irq_set(&hpet->wiring.legacy[line == 8], level);
}

static void hpet_changes_legacy(void *opaque, int line, bool level)
{
    struct hpet *hpet = opaque;
    irq_set(&hpet->wiring.legacy[0], false);
    irq_set(&hpet->wiring.legacy[1], false);
}

static void *hpet_create(const struct device_site *site, const void *config, GError **error)
{
    struct hpet_wiring wiring = {.legacy = {board_isa_irq(site->board, 0), board_isa_irq(site->board, 8)}};
    struct ioapic *ioapic = board_service(site->board, "ioapic");
    for (int pin = 0; ioapic && pin < IOAPIC_PINS; pin++)
        wiring.pin[pin] = (struct irq){ioapic_set_line, ioapic, pin};
    struct hpet *hpet = hpet_new(&wiring);
    hpet->wiring.replaces = (struct irq){hpet_changes_legacy, hpet, 0};
    board_provide_wire(site->board, "timer-irq0", (struct irq){hpet_legacy_timer, hpet, 0});
    board_provide_wire(site->board, "timer-irq8", (struct irq){hpet_legacy_timer, hpet, 8});
    return hpet;
}

static void hpet_destroy(void *dev)
{
    hpet_free(dev);
}

const struct device_class hpet_class = {
    .name = "hpet",
    .help = "high precision event timer",
    .bus = BUS_SYSTEM,
    .internal = true,
    .create = hpet_create,
    .destroy = hpet_destroy,
    .reset = hpet_reset,
    .layout = &hpet_layout,
    .regs_offset = offsetof(struct hpet, regs),
    .after_load = hpet_after_load,
    .dump = hpet_dump,
};
DEVICE_CLASS(hpet_class);

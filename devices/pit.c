/* 8254 programmable interval timer, and port 61h (speaker gate, refresh toggle, OUT2).
 *
 * Intel 8254 data sheet (231164-005). Nothing counts: a counter's value and OUT are computed from
 * the number of CLK pulses (1.193182 MHz) since it was loaded, whenever somebody looks.
 *
 * Ticks that the guest could not take in time (host busy, interrupts off for long) are not lost: they
 * are counted and given later, spaced, as the guest acknowledges; debt.h says which. At most a second of them is kept.
 */
#include "pit.h"

#include <string.h>

#include "debt.h"
#include "ioport.h"
#include "log.h"
#include "pic.h"
#include "state.h"
#include "vclock.h"

enum access { ACCESS_LATCH = 0, ACCESS_LOW = 1, ACCESS_HIGH = 2, ACCESS_BOTH = 3 };

struct pit_channel {
    int64_t load_tick;   /* CLK number at which the counting element was loaded; elapsed = now - load_tick */
    int64_t switch_tick; /* modes 2 and 3: when next_count takes over */
    int64_t paused_at;   /* elapsed CLKs when the gate (or half a count written, mode 0) stopped counting */
    uint32_t count;      /* what is being counted down from: 1 to 65536 */
    uint32_t next_count; /* 0 = none */
    uint16_t latched;
    uint8_t latched_status;
    uint8_t mode, bcd, access, gate;
    uint8_t write_high, write_low_byte; /* ACCESS_BOTH: next byte written is the high one; the low one */
    uint8_t read_high;                  /* next byte read is the high one */
    uint8_t count_latched, status_latched;
    uint8_t armed;    /* a count was written since the control word */
    uint8_t counting; /* loaded (modes 1, 5: triggered) and not paused */
    uint8_t loaded;   /* the counting element holds a count */
};

struct pit_regs {
    int64_t last_edge; /* channel 0: last rising edge of OUT that was delivered (CLK number) */
    uint32_t missed;   /* ticks kept for later */
    uint8_t port61;    /* bits 0 to 3 as written */
};

struct pit {
    struct pit_regs regs;
    struct pit_channel channel[3];
    struct irq irq0;
    struct vtimer *timer;   /* the next rising edge of OUT0 */
    struct vtimer *catchup; /* the next kept tick */
    bool (*requested)(void *opaque);
    void *requested_opaque;
    struct debt debt;
    void (*speaker_changing)(void *opaque);
    void (*speaker_changed)(void *opaque);
    void *speaker_opaque;
};

/* A guest may ask for an edge every 2 CLKs; the host looks no more often than this. The edges between
 * count as missed. */
#define PIT_MIN_INTERVAL_NS 20000

static int64_t tick_of(int64_t ns)
{
    return vclock_ticks(ns, PIT_HZ);
}

/* The first nanosecond at which tick_of() returns tick. */
static int64_t ns_of(int64_t tick)
{
    return (int64_t)(((__int128)tick * NS_PER_SECOND + PIT_HZ - 1) / PIT_HZ);
}

static int64_t tick_now(void)
{
    return tick_of(vclock_now());
}

/* Brings a reload that was waiting for the end of the period into effect. */
static void channel_sync(struct pit_channel *ch, int64_t now)
{
    if (ch->next_count && ch->counting && now >= ch->switch_tick) {
        ch->load_tick = ch->switch_tick;
        ch->count = ch->next_count;
        ch->next_count = 0;
    }
}

/* CLKs since the load, not below 0 (a count written now is loaded by the next CLK). */
static int64_t channel_elapsed(const struct pit_channel *ch, int64_t now)
{
    int64_t elapsed = ch->counting ? now - ch->load_tick : ch->paused_at;
    return elapsed < 0 ? 0 : elapsed;
}

static bool channel_out(const struct pit_channel *ch, int64_t now)
{
    if (ch->mode == 0)
        return ch->armed && ch->loaded && channel_elapsed(ch, now) >= ch->count;
    if (!ch->loaded)
        return true;
    int64_t elapsed = channel_elapsed(ch, now);
    switch (ch->mode) {
    case 1:
        return elapsed >= ch->count || (ch->counting && now < ch->load_tick);
    case 2:
        return !ch->gate || elapsed % ch->count != ch->count - 1;
    case 3:
        return !ch->gate || elapsed % ch->count < (ch->count + 1) / 2;
    default: /* 4, 5: low for the one CLK after the count expires */
        return elapsed != ch->count;
    }
}

static uint16_t channel_value(const struct pit_channel *ch, int64_t now)
{
    int64_t elapsed = channel_elapsed(ch, now);
    int64_t range = ch->bcd ? 10000 : 65536;
    int64_t value;

    switch (ch->mode) {
    case 2:
        value = ch->count - elapsed % ch->count;
        break;
    case 3: {
        /* Counts down by two; an odd count loads one less, and is high for one CLK longer. */
        int64_t phase = elapsed % ch->count;
        int64_t high = (ch->count + 1) / 2;
        if (phase >= high)
            phase -= high;
        value = (ch->count & ~1ll) - 2 * phase;
        if (value < 0)
            value = 0;
        break;
    }
    default:
        value = (ch->count - elapsed) % range; /* goes on from FFFFh after zero */
        if (value < 0)
            value += range;
        break;
    }
    value %= range;
    if (ch->bcd)
        value = value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 | value / 1000 % 10 << 12;
    return (uint16_t)value;
}

/* The last rising edge of OUT at or before now, or INT64_MIN. next: the one after now, or INT64_MAX. */
static int64_t channel_last_edge(const struct pit_channel *ch, int64_t now, int64_t *next)
{
    int64_t first;

    *next = INT64_MAX;
    if (!ch->armed || !ch->counting)
        return INT64_MIN;
    switch (ch->mode) {
    case 0:
    case 1:
        first = ch->load_tick + ch->count;
        break;
    case 2:
    case 3: {
        int64_t period = ch->count;
        if (now < ch->load_tick + period) {
            *next = ch->load_tick + period;
            return INT64_MIN;
        }
        int64_t last = now - (now - ch->load_tick) % period;
        *next = last + period;
        return last;
    }
    default:
        first = ch->load_tick + ch->count + 1;
        break;
    }
    if (now >= first)
        return first;
    *next = first;
    return INT64_MIN;
}

static void pit_pulse(struct pit *pit)
{
    debt_begin(&pit->debt);
    irq_set(&pit->irq0, false);
    irq_set(&pit->irq0, true);
}

static void pit_keep(struct pit *pit, uint64_t ticks)
{
    uint64_t limit = PIT_HZ / pit->channel[0].count + 1;
    uint64_t total = pit->regs.missed + ticks;
    pit->regs.missed = (uint32_t)(total < limit ? total : limit);
}

/* Must be called whenever channel 0 may have had an edge or has a new course: drives the wire and arms
 * the timer for what comes next. */
static void pit_update_irq(struct pit *pit)
{
    struct pit_channel *ch = &pit->channel[0];
    int64_t now = tick_now(), next;

    /* Edges of the old period up to the moment a new count takes over come first. */
    for (;;) {
        int64_t horizon = ch->next_count && ch->counting && now >= ch->switch_tick ? ch->switch_tick : now;
        int64_t last = channel_last_edge(ch, horizon, &next);
        if (last > pit->regs.last_edge) {
            uint64_t edges = 1;
            if (ch->mode == 2 || ch->mode == 3) {
                int64_t since = pit->regs.last_edge > ch->load_tick ? pit->regs.last_edge : ch->load_tick;
                edges = (uint64_t)((last - since) / ch->count);
            }
            pit->regs.last_edge = last;
            if (edges && pit->requested && pit->requested(pit->requested_opaque)) {
                pit_keep(pit, edges);
            } else if (edges) {
                pit_keep(pit, edges - 1);
                pit_pulse(pit);
            }
        }
        if (horizon == now)
            break;
        channel_sync(ch, now);
    }
    channel_sync(ch, now);
    channel_last_edge(ch, now, &next);

    if (next == INT64_MAX) {
        vtimer_cancel(pit->timer);
        return;
    }
    int64_t when = ns_of(next), soonest = vclock_now() + PIT_MIN_INTERVAL_NS;
    bool periodic = ch->mode == 2 || ch->mode == 3;
    vtimer_arm(pit->timer, periodic && when < soonest ? soonest : when);
}

static void pit_timer(void *opaque)
{
    pit_update_irq(opaque);
}

static void pit_catchup(void *opaque)
{
    struct pit *pit = opaque;
    if (!pit->regs.missed || (pit->requested && pit->requested(pit->requested_opaque)))
        return;
    pit->regs.missed--;
    pit_pulse(pit);
}

void pit_tick_taken(void *opaque, int line, bool level)
{
    struct pit *pit = opaque;
    pit->regs.missed = debt_settle(&pit->debt, pit->regs.missed, ns_of(pit->channel[0].count));
    if (!pit->regs.missed)
        return;
    /* A quarter of a period between the ticks given late leaves the guest time for its own work. */
    int64_t gap = ns_of(pit->channel[0].count) / 4;
    vtimer_arm(pit->catchup, vclock_now() + gap);
}

void pit_set_cpu_time(struct pit *pit, const struct board_cpu_time *cpu)
{
    pit->debt.cpu = cpu;
}

void pit_set_requested_hook(struct pit *pit, bool (*requested)(void *opaque), void *opaque)
{
    pit->requested = requested;
    pit->requested_opaque = opaque;
}

static void channel_load(struct pit_channel *ch, uint32_t count, int64_t now)
{
    uint32_t full = ch->bcd ? 10000 : 65536;
    if (ch->bcd)
        count = (count & 15) + (count >> 4 & 15) * 10 + (count >> 8 & 15) * 100 + (count >> 12) * 1000;
    if (count == 0)
        count = full;
    if (count == 1 && (ch->mode == 2 || ch->mode == 3)) {
        log_guest("pit: count 1 is illegal in mode %u", ch->mode);
        count = 2;
    }

    bool first = !ch->armed;
    ch->armed = 1;
    switch (ch->mode) {
    case 1:
    case 5:
        /* Loaded by the next trigger; a one-shot in progress is not affected. */
        if (ch->loaded && ch->counting)
            ch->next_count = count;
        else
            ch->count = count;
        break;
    case 2:
    case 3:
        if (first || !ch->counting) {
            ch->count = count;
            ch->next_count = 0;
            ch->paused_at = 0;
            ch->load_tick = now + 1;
            ch->counting = ch->gate;
            ch->loaded = 1;
            break;
        }
        /* A new count waits for the end of the current period (mode 3: of the half cycle; we wait for
         * the whole one, as its two halves have the same length but for one CLK). */
        ch->next_count = count;
        ch->switch_tick = ch->load_tick + (channel_elapsed(ch, now) / ch->count + 1) * ch->count;
        break;
    default: /* 0, 4: loaded by the next CLK, whatever was going on */
        ch->count = count;
        ch->paused_at = 0;
        ch->load_tick = now + 1;
        ch->counting = ch->gate;
        ch->loaded = 1;
        break;
    }
}

static void channel_set_gate(struct pit_channel *ch, bool gate, int64_t now)
{
    if (gate == ch->gate)
        return;
    bool rising = gate;
    channel_sync(ch, now);
    switch (ch->mode) {
    case 0:
    case 4: /* level sensitive: low stops, high goes on */
        if (!rising) {
            ch->paused_at = channel_elapsed(ch, now);
            ch->counting = 0;
        } else if (ch->loaded && ch->armed) {
            ch->load_tick = now - ch->paused_at;
            ch->counting = 1;
        }
        break;
    case 2:
    case 3: /* low stops (OUT high at once), the rising edge reloads */
        if (!rising) {
            ch->paused_at = channel_elapsed(ch, now);
            ch->counting = 0;
        } else if (ch->armed) {
            if (ch->next_count)
                ch->count = ch->next_count;
            ch->next_count = 0;
            ch->load_tick = now + 1;
            ch->paused_at = 0;
            ch->counting = ch->loaded = 1;
        }
        break;
    default: /* 1, 5: the rising edge is the trigger */
        if (rising && ch->armed) {
            if (ch->next_count)
                ch->count = ch->next_count;
            ch->next_count = 0;
            ch->load_tick = now + 1;
            ch->counting = ch->loaded = 1;
        }
        break;
    }
    ch->gate = gate;
}

static void channel_latch_count(struct pit_channel *ch, int64_t now)
{
    if (ch->count_latched)
        return; /* the first latch holds until it is read */
    ch->latched = channel_value(ch, now);
    ch->count_latched = ch->access == ACCESS_BOTH ? 2 : 1;
}

static void channel_latch_status(struct pit_channel *ch, int64_t now)
{
    if (ch->status_latched)
        return;
    bool null_count = !ch->loaded || ch->next_count || (ch->counting && now < ch->load_tick);
    ch->latched_status = channel_out(ch, now) << 7 | null_count << 6 | ch->access << 4 | ch->mode << 1 | ch->bcd;
    ch->status_latched = 1;
}

static void pit_write_control(struct pit *pit, uint8_t value)
{
    int64_t now = tick_now();
    unsigned select = value >> 6;

    if (select == 3) { /* read-back: bit 5 clear latches counts, bit 4 clear latches status */
        for (unsigned i = 0; i < 3; i++) {
            struct pit_channel *ch = &pit->channel[i];
            if (!(value & (2u << i)))
                continue;
            channel_sync(ch, now);
            if (!(value & 0x20))
                channel_latch_count(ch, now);
            if (!(value & 0x10))
                channel_latch_status(ch, now);
        }
        return;
    }

    struct pit_channel *ch = &pit->channel[select];
    channel_sync(ch, now);
    unsigned access = value >> 4 & 3;
    if (access == ACCESS_LATCH) {
        channel_latch_count(ch, now);
        return;
    }
    ch->access = access;
    ch->mode = value >> 1 & 7;
    if (ch->mode > 5)
        ch->mode -= 4; /* the top bit is "don't care" for modes 2 and 3 */
    ch->bcd = value & 1;
    ch->write_high = ch->read_high = 0;
    ch->count_latched = ch->status_latched = 0;
    ch->paused_at = channel_elapsed(ch, now);
    ch->counting = 0;
    ch->armed = ch->loaded = 0;
    ch->next_count = 0;
    if (select == 0) {
        pit->regs.missed = 0;
        vtimer_cancel(pit->catchup);
        if (ch->mode == 0)
            irq_set(&pit->irq0, false);
        pit_update_irq(pit);
    }
}

static void pit_write_count(struct pit *pit, unsigned select, uint8_t value)
{
    struct pit_channel *ch = &pit->channel[select];
    int64_t now = tick_now();

    if (select == 0)
        pit_update_irq(pit); /* edges up to now belong to the old count */
    channel_sync(ch, now);
    switch (ch->access) {
    case ACCESS_LOW:
        channel_load(ch, value, now);
        break;
    case ACCESS_HIGH:
        channel_load(ch, value << 8, now);
        break;
    default:
        if (!ch->write_high) {
            ch->write_low_byte = value;
            ch->write_high = 1;
            if (ch->mode == 0) { /* "writing the first byte disables counting; OUT is set low at once" */
                ch->paused_at = 0;
                ch->counting = 0;
                ch->loaded = 0;
            }
        } else {
            ch->write_high = 0;
            channel_load(ch, value << 8 | ch->write_low_byte, now);
        }
        break;
    }
    if (select == 0) {
        if (ch->mode == 0)
            irq_set(&pit->irq0, false);
        pit_update_irq(pit);
    }
}

/* --- The speaker --- */

/* High CLKs of a channel that counts, up to but without the one that is `elapsed` from the load. */
static int64_t high_until(const struct pit_channel *ch, int64_t elapsed)
{
    int64_t count = ch->count, high = (count + 1) / 2;
    if (elapsed <= 0) /* before the load: as it is when it comes */
        return ch->mode == 0 ? 0 : elapsed;
    switch (ch->mode) {
    case 0:
    case 1:
        return elapsed > count ? elapsed - count : 0;
    case 2:
        return elapsed - elapsed / count;
    case 3:
        return elapsed / count * high + MIN(elapsed % count, high);
    default:
        return elapsed > count ? elapsed - 1 : elapsed;
    }
}

static int64_t channel_high(const struct pit_channel *ch, int64_t from, int64_t to)
{
    if (!ch->loaded || !ch->counting || (ch->mode == 0 && !ch->armed))
        return channel_out(ch, from) ? to - from : 0;
    return high_until(ch, to - ch->load_tick) - high_until(ch, from - ch->load_tick);
}

uint32_t pit_speaker_high(struct pit *pit, int64_t from, int64_t to)
{
    struct pit_channel *ch = &pit->channel[2];
    int64_t high = 0;
    if (!(pit->regs.port61 & 2) || from >= to)
        return 0;
    if (ch->next_count && ch->counting && to > ch->switch_tick) {
        int64_t middle = MAX(from, ch->switch_tick);
        high = channel_high(ch, from, middle);
        channel_sync(ch, to);
        from = middle;
    }
    return (uint32_t)(high + channel_high(ch, from, to));
}

bool pit_speaker_is_live(const struct pit *pit)
{
    int64_t next;
    channel_last_edge(&pit->channel[2], tick_now(), &next);
    return (pit->regs.port61 & 2) && next != INT64_MAX;
}

int64_t pit_clk_now(void)
{
    return tick_now();
}

void pit_set_speaker(struct pit *pit, void (*changing)(void *opaque), void (*changed)(void *opaque), void *opaque)
{
    pit->speaker_changing = changing;
    pit->speaker_changed = changed;
    pit->speaker_opaque = opaque;
}

static void speaker_changing(struct pit *pit)
{
    if (pit->speaker_changing)
        pit->speaker_changing(pit->speaker_opaque);
}

static void speaker_changed(struct pit *pit)
{
    if (pit->speaker_changed)
        pit->speaker_changed(pit->speaker_opaque);
}

/* --- Ports --- */

static void pit_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    bool is_speaker = (port & 3) == 2 || ((port & 3) == 3 && value >> 6 == 2);
    if (is_speaker)
        speaker_changing(opaque);
    if ((port & 3) == 3)
        pit_write_control(opaque, value);
    else
        pit_write_count(opaque, port & 3, value);
    if (is_speaker)
        speaker_changed(opaque);
}

static uint32_t pit_read(void *opaque, uint16_t port, unsigned size)
{
    struct pit *pit = opaque;
    if ((port & 3) == 3)
        return 0xff; /* the control word register cannot be read */

    struct pit_channel *ch = &pit->channel[port & 3];
    uint16_t value = ch->latched;
    if (ch->status_latched) {
        ch->status_latched = 0;
        return ch->latched_status;
    }
    if (ch->count_latched) { /* no need to know the time */
        ch->count_latched--;
    } else {
        int64_t now = tick_now();
        channel_sync(ch, now);
        value = channel_value(ch, now);
    }
    if (ch->access == ACCESS_LOW)
        return value & 0xff;
    if (ch->access == ACCESS_HIGH)
        return value >> 8;
    ch->read_high ^= 1;
    return ch->read_high ? value & 0xff : value >> 8;
}

static const struct io_ops pit_io = {.widths = 1, .read = pit_read, .write = pit_write};

/* Port 61h: 0 gate of counter 2, 1 speaker data, 4 refresh toggle, 5 OUT2. */
#define REFRESH_NS 15085

static uint32_t port61_read(void *opaque, uint16_t port, unsigned size)
{
    struct pit *pit = opaque;
    struct pit_channel *ch = &pit->channel[2];
    int64_t now = tick_now();
    channel_sync(ch, now);
    return pit->regs.port61 | (vclock_now() / REFRESH_NS & 1) << 4 | channel_out(ch, now) << 5;
}

static void port61_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct pit *pit = opaque;
    bool is_speaker = (pit->regs.port61 ^ value) & 3;
    if (is_speaker)
        speaker_changing(pit);
    pit->regs.port61 = value & 0x0f;
    channel_set_gate(&pit->channel[2], value & 1, tick_now());
    if (is_speaker)
        speaker_changed(pit);
}

static const struct io_ops port61_io = {.widths = 1, .read = port61_read, .write = port61_write};

static void pit_reset(void *dev)
{
    struct pit *pit = dev;
    speaker_changing(pit);
    memset(&pit->regs, 0, sizeof(pit->regs));
    memset(pit->channel, 0, sizeof(pit->channel));
    for (int i = 0; i < 3; i++) {
        struct pit_channel *ch = &pit->channel[i];
        ch->access = ACCESS_BOTH;
        ch->mode = 3;
        ch->count = 65536;
        ch->gate = i != 2; /* counters 0 and 1 have their gates tied high */
    }
    vtimer_cancel(pit->catchup);
    pit_update_irq(pit);
    speaker_changed(pit);
}

#define F(member) STATE_FIELD(pit_channel, member)
static const struct state_field channel_fields[] = {
    F(load_tick),      F(switch_tick),    F(paused_at),      F(count),     F(next_count),
    F(latched),        F(latched_status), F(mode),           F(bcd),       F(access),
    F(gate),           F(write_high),     F(write_low_byte), F(read_high), F(count_latched),
    F(status_latched), F(armed),          F(counting),       F(loaded)};
#undef F
static const struct state_layout channel_layout = STATE_LAYOUT(1, pit_channel, channel_fields);

static const struct state_field pit_fields[] = {
    STATE_FIELD(pit_regs, last_edge),
    STATE_FIELD(pit_regs, missed),
    STATE_FIELD(pit_regs, port61),
};
static const struct state_layout pit_layout = STATE_LAYOUT(1, pit_regs, pit_fields);

static void pit_pieces(void *dev, struct state_pieces *pieces)
{
    struct pit *pit = dev;
    state_add(pieces, "regs", 0, &pit_layout, &pit->regs);
    for (unsigned i = 0; i < 3; i++)
        state_add(pieces, "channel", i, &channel_layout, &pit->channel[i]);
}

static bool pit_after_load(void *dev)
{
    struct pit *pit = dev;
    for (int i = 0; i < 3; i++) {
        const struct pit_channel *ch = &pit->channel[i];
        /* What the arithmetic above relies on. */
        if (ch->count < 1 || ch->count > 65536 || ch->next_count > 65536 || ch->mode > 5 ||
            (ch->armed && ch->count < 2 && (ch->mode == 2 || ch->mode == 3)) || ABS(ch->load_tick / 2) > 1ll << 50 ||
            ABS(ch->switch_tick / 2) > 1ll << 50 || ABS(ch->paused_at / 2) > 1ll << 50) {
            return false;
        }
    }
    pit_update_irq(pit);
    debt_begin(&pit->debt);
    if (pit->regs.missed)
        pit_tick_taken(pit, 0, true);
    speaker_changed(pit);
    return true;
}

static void pit_dump(void *dev, GString *out)
{
    struct pit *pit = dev;
    int64_t now = tick_now();
    for (int i = 0; i < 3; i++) {
        const struct pit_channel *ch = &pit->channel[i];
        g_string_append_printf(out, "pit%d: mode=%u count=%u value=%04x out=%d gate=%u\n", i, ch->mode, ch->count,
                               channel_value(ch, now), channel_out(ch, now), ch->gate);
    }
    g_string_append_printf(out, "pit: missed=%u port61=%02x\n", pit->regs.missed, pit->regs.port61);
}

struct pit *pit_new(const struct irq *irq0)
{
    struct pit *pit = g_new0(struct pit, 1);
    pit->irq0 = *irq0;
    pit->timer = vtimer_new(pit_timer, pit, "pit");
    pit->catchup = vtimer_new(pit_catchup, pit, "pit-catchup");
    ioport_register(0x40, 4, &pit_io, pit, "pit");
    ioport_register(0x61, 1, &port61_io, pit, "port61");
    pit_reset(pit);
    return pit;
}

void pit_free(struct pit *pit)
{
    ioport_unregister(0x40, 4);
    ioport_unregister(0x61, 1);
    vtimer_free(pit->timer);
    vtimer_free(pit->catchup);
    g_free(pit);
}

/* A tick that the 8259A masks is nobody's: the I/O APIC may have had it. */
static bool pit_tick_is_requested(void *opaque)
{
    return pic_is_requested(opaque, 0) && !pic_is_masked(opaque, 0);
}

static void *pit_create(const struct device_site *site, const void *config, GError **error)
{
    struct irq irq0 = board_wire(site->board, "timer-irq0");
    struct pic *pic = board_service(site->board, "pic");
    if (!irq0.set)
        irq0 = board_isa_irq(site->board, 0);
    struct pit *pit = pit_new(&irq0);
    pit_set_cpu_time(pit, board_service(site->board, "cpu-time"));
    if (pic) {
        pit_set_requested_hook(pit, pit_tick_is_requested, pic);
        pic_set_eoi_hook(pic, 0, &(struct irq){pit_tick_taken, pit, 0});
    }
    board_provide(site->board, "pit", pit);
    return pit;
}

static void pit_destroy(void *dev)
{
    pit_free(dev);
}

const struct device_class pit_class = {
    .name = "isa-pit",
    .info = "pit",
    .help = "8254 timer and port 61h",
    .bus = BUS_ISA,
    .internal = true,
    .create = pit_create,
    .destroy = pit_destroy,
    .reset = pit_reset,
    .pieces = pit_pieces,
    .after_load = pit_after_load,
    .dump = pit_dump,
};
DEVICE_CLASS(pit_class);

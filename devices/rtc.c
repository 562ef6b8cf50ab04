/* MC146818A real-time clock with 128 bytes of battery-backed RAM.
 *
 * Motorola MC146818A data sheet; CMOS map as in the IBM AT Technical Reference. The time of day is
 * computed from the virtual clock when somebody looks; a timer runs only for interrupts that are enabled.
 */
#include "rtc.h"

#include <string.h>
#include <time.h>

#include "debt.h"
#include "ioport.h"
#include "log.h"
#include "pic.h"
#include "state.h"
#include "vclock.h"

enum {
    RTC_SECONDS,
    RTC_SECONDS_ALARM,
    RTC_MINUTES,
    RTC_MINUTES_ALARM,
    RTC_HOURS,
    RTC_HOURS_ALARM,
    RTC_WEEKDAY,
    RTC_DAY,
    RTC_MONTH,
    RTC_YEAR,
    RTC_A,
    RTC_B,
    RTC_C,
    RTC_D,
    RTC_CENTURY = 0x32,
};

#define A_UIP       0x80u
#define A_DV        0x70u
#define A_RS        0x0fu
#define A_DV_NORMAL 0x20u /* 32.768 kHz time base, running */

#define B_SET  0x80u
#define B_PIE  0x40u
#define B_AIE  0x20u
#define B_UIE  0x10u
#define B_SQWE 0x08u
#define B_DM   0x04u /* binary */
#define B_24   0x02u
#define B_DSE  0x01u

#define C_IRQF 0x80u
#define C_PF   0x40u
#define C_AF   0x20u
#define C_UF   0x10u

#define D_VRT 0x80u

/* UIP rises 244 us before the update, which takes 1984 us; here the bytes change at its end. */
#define UIP_NS      ((244 + 1984) * 1000ll)
#define HALF_SECOND (NS_PER_SECOND / 2)

struct rtc_regs {
    uint8_t cmos[128];
    uint8_t index;
    uint8_t nmi_masked;
    int64_t base_seconds; /* the time shown was this (seconds since 1970, as if UTC) ... */
    int64_t base_ns;      /* ... at this moment of vclock, when the last second began */
    int64_t seen_seconds; /* updates up to this second are reflected in UF and AF */
    int64_t seen_period;  /* the same for periodic ticks and PF */
    uint32_t missed;      /* periodic ticks to give later */
};

struct rtc {
    struct rtc_regs regs;
    struct irq irq8;
    struct vtimer *timer;
    struct vtimer *catchup;
    struct debt debt;
};

static bool rtc_is_running(const struct rtc *rtc)
{
    return !(rtc->regs.cmos[RTC_B] & B_SET) && (rtc->regs.cmos[RTC_A] & A_DV) == A_DV_NORMAL;
}

static int64_t rtc_seconds(const struct rtc *rtc)
{
    int64_t ns = vclock_now() - rtc->regs.base_ns;
    int64_t seconds = ns / NS_PER_SECOND;
    if (ns % NS_PER_SECOND < 0)
        seconds--;
    return rtc->regs.base_seconds + seconds;
}

/* Length of a periodic tick in units of 1/32768 s, or 0 if off. */
static int64_t rtc_period(const struct rtc *rtc)
{
    unsigned rate = rtc->regs.cmos[RTC_A] & A_RS;
    if (rate == 0 || (rtc->regs.cmos[RTC_A] & A_DV) != A_DV_NORMAL)
        return 0;
    if (rate <= 2)
        rate += 7; /* 256 Hz and 128 Hz, as the data sheet's table has it */
    return 1ll << (rate - 1);
}

/* Number of the periodic tick that came last, counted from the start of vclock. */
static int64_t rtc_period_number(int64_t period)
{
    return (int64_t)((__int128)vclock_now() * 32768 / NS_PER_SECOND / period);
}

static int64_t rtc_period_ns(int64_t number, int64_t period)
{
    return (int64_t)(((__int128)number * period * NS_PER_SECOND + 32767) / 32768);
}

static uint8_t rtc_encode(const struct rtc *rtc, unsigned value)
{
    if (rtc->regs.cmos[RTC_B] & B_DM)
        return value;
    return value / 10 % 10 << 4 | value % 10;
}

static unsigned rtc_decode(const struct rtc *rtc, uint8_t byte)
{
    if (rtc->regs.cmos[RTC_B] & B_DM)
        return byte;
    return (byte >> 4) * 10 + (byte & 15);
}

static uint8_t rtc_encode_hour(const struct rtc *rtc, unsigned hour)
{
    if (rtc->regs.cmos[RTC_B] & B_24)
        return rtc_encode(rtc, hour);
    unsigned twelve = hour % 12 ? hour % 12 : 12;
    return rtc_encode(rtc, twelve) | (hour >= 12 ? 0x80 : 0);
}

static unsigned rtc_decode_hour(const struct rtc *rtc, uint8_t byte)
{
    if (rtc->regs.cmos[RTC_B] & B_24)
        return rtc_decode(rtc, byte);
    return rtc_decode(rtc, byte & 0x7f) % 12 + (byte & 0x80 ? 12 : 0);
}

static bool is_time_byte(uint8_t index)
{
    return index == RTC_SECONDS || index == RTC_MINUTES || index == RTC_HOURS ||
           (index >= RTC_WEEKDAY && index <= RTC_YEAR) || index == RTC_CENTURY;
}

/* Puts the running time into the time bytes. */
static void rtc_show(struct rtc *rtc)
{
    time_t t = rtc_seconds(rtc);
    struct tm tm;
    uint8_t *cmos = rtc->regs.cmos;

    gmtime_r(&t, &tm);
    unsigned year = tm.tm_year + 1900;
    cmos[RTC_SECONDS] = rtc_encode(rtc, tm.tm_sec);
    cmos[RTC_MINUTES] = rtc_encode(rtc, tm.tm_min);
    cmos[RTC_HOURS] = rtc_encode_hour(rtc, tm.tm_hour);
    cmos[RTC_WEEKDAY] = rtc_encode(rtc, tm.tm_wday + 1);
    cmos[RTC_DAY] = rtc_encode(rtc, tm.tm_mday);
    cmos[RTC_MONTH] = rtc_encode(rtc, tm.tm_mon + 1);
    cmos[RTC_YEAR] = rtc_encode(rtc, year % 100);
    cmos[RTC_CENTURY] = rtc_encode(rtc, year / 100);
}

/* Takes the time bytes as the time now; the current second keeps its fraction. */
static void rtc_take(struct rtc *rtc)
{
    const uint8_t *cmos = rtc->regs.cmos;
    struct tm tm = {
        .tm_sec = rtc_decode(rtc, cmos[RTC_SECONDS]),
        .tm_min = rtc_decode(rtc, cmos[RTC_MINUTES]),
        .tm_hour = rtc_decode_hour(rtc, cmos[RTC_HOURS]),
        .tm_mday = rtc_decode(rtc, cmos[RTC_DAY]),
        .tm_mon = (int)rtc_decode(rtc, cmos[RTC_MONTH]) - 1,
        .tm_year = rtc_decode(rtc, cmos[RTC_CENTURY]) * 100 + rtc_decode(rtc, cmos[RTC_YEAR]) - 1900,
    };
    int64_t seconds = timegm(&tm);
    rtc->regs.base_seconds += seconds - rtc_seconds(rtc);
    rtc->regs.seen_seconds = rtc_seconds(rtc);
}

static bool alarm_byte_matches(uint8_t alarm, unsigned alarm_value, unsigned value)
{
    return alarm >= 0xc0 || alarm_value == value; /* C0h to FFh: "don't care" */
}

static bool rtc_alarm_matches(const struct rtc *rtc, int64_t seconds)
{
    const uint8_t *cmos = rtc->regs.cmos;
    unsigned of_day = (unsigned)(((seconds % 86400) + 86400) % 86400);
    return alarm_byte_matches(cmos[RTC_SECONDS_ALARM], rtc_decode(rtc, cmos[RTC_SECONDS_ALARM]), of_day % 60) &&
           alarm_byte_matches(cmos[RTC_MINUTES_ALARM], rtc_decode(rtc, cmos[RTC_MINUTES_ALARM]), of_day / 60 % 60) &&
           alarm_byte_matches(cmos[RTC_HOURS_ALARM], rtc_decode_hour(rtc, cmos[RTC_HOURS_ALARM]), of_day / 3600);
}

/* Sets in register C what has happened since the last look. */
static void rtc_sync_flags(struct rtc *rtc)
{
    struct rtc_regs *regs = &rtc->regs;

    if (rtc_is_running(rtc)) {
        int64_t now = rtc_seconds(rtc);
        if (now > regs->seen_seconds) {
            int64_t first = regs->seen_seconds + 1;
            if (now - first > 86400)
                first = now - 86400; /* every possible alarm time came by */
            regs->cmos[RTC_C] |= C_UF;
            for (int64_t t = first; t <= now && !(regs->cmos[RTC_C] & C_AF); t++) {
                if (rtc_alarm_matches(rtc, t))
                    regs->cmos[RTC_C] |= C_AF;
            }
        }
        regs->seen_seconds = now;
    }

    int64_t period = rtc_period(rtc);
    if (period) {
        int64_t number = rtc_period_number(period);
        if (number > regs->seen_period) {
            int64_t ticks = number - regs->seen_period;
            if (regs->cmos[RTC_C] & C_PF)
                regs->missed += ticks;
            else
                regs->missed += ticks - 1;
            if (!(regs->cmos[RTC_C] & C_PF))
                debt_begin(&rtc->debt);
            /* With the interrupt off nobody counts ticks; with it on a second's worth is kept. */
            uint32_t limit = regs->cmos[RTC_B] & B_PIE ? 32768 / period + 1 : 0;
            if (regs->missed > limit)
                regs->missed = limit;
            regs->cmos[RTC_C] |= C_PF;
            regs->seen_period = number;
        }
    }
}

/* Must be called whenever time, an enable bit or a flag may have changed: drives the pin, arms the timer. */
static void rtc_update_irq(struct rtc *rtc)
{
    uint8_t *cmos = rtc->regs.cmos;
    rtc_sync_flags(rtc);
    bool level = (cmos[RTC_C] & cmos[RTC_B] & (C_PF | C_AF | C_UF)) != 0;
    cmos[RTC_C] = (cmos[RTC_C] & ~C_IRQF) | (level ? C_IRQF : 0);
    irq_set(&rtc->irq8, level);

    int64_t when = INT64_MAX;
    int64_t period = rtc_period(rtc);
    if (period && (cmos[RTC_B] & B_PIE))
        when = rtc_period_ns(rtc->regs.seen_period + 1, period);
    if (rtc_is_running(rtc) && (cmos[RTC_B] & (B_AIE | B_UIE))) {
        int64_t second = rtc->regs.base_ns + (rtc_seconds(rtc) + 1 - rtc->regs.base_seconds) * NS_PER_SECOND;
        if (second < when)
            when = second;
    }
    if (when == INT64_MAX)
        vtimer_cancel(rtc->timer);
    else
        vtimer_arm(rtc->timer, when);
}

static void rtc_timer(void *opaque)
{
    rtc_update_irq(opaque);
}

static void rtc_catchup(void *opaque)
{
    struct rtc *rtc = opaque;
    if (!rtc->regs.missed || (rtc->regs.cmos[RTC_C] & C_PF))
        return;
    rtc->regs.missed--;
    debt_begin(&rtc->debt);
    rtc->regs.cmos[RTC_C] |= C_PF;
    rtc_update_irq(rtc);
}

void rtc_set_cpu_time(struct rtc *rtc, const struct board_cpu_time *cpu)
{
    rtc->debt.cpu = cpu;
}

void rtc_tick_taken(void *opaque, int line, bool level)
{
    struct rtc *rtc = opaque;
    int64_t period = rtc_period(rtc);
    if (period)
        rtc->regs.missed = debt_settle(&rtc->debt, rtc->regs.missed, rtc_period_ns(1, period));
    if (rtc->regs.missed && period)
        vtimer_arm(rtc->catchup, vclock_now() + rtc_period_ns(1, period) / 4);
}

static void rtc_write_a(struct rtc *rtc, uint8_t value)
{
    struct rtc_regs *regs = &rtc->regs;
    bool was_running = rtc_is_running(rtc);
    bool held = (regs->cmos[RTC_A] & A_DV) >= 0x60; /* 11x: divider chain in reset */

    rtc_sync_flags(rtc);
    if (was_running)
        rtc_show(rtc);
    regs->cmos[RTC_A] = value & ~A_UIP;
    if (held && (value & A_DV) == A_DV_NORMAL) {
        /* "The first update begins one-half second after the reset is removed." */
        rtc_take(rtc);
        regs->base_seconds = rtc_seconds(rtc);
        regs->base_ns = vclock_now() - HALF_SECOND;
        regs->seen_seconds = regs->base_seconds;
    } else if (!was_running && rtc_is_running(rtc)) {
        rtc_take(rtc);
    }
    int64_t period = rtc_period(rtc);
    regs->seen_period = period ? rtc_period_number(period) : 0;
    regs->missed = 0;
    rtc_update_irq(rtc);
}

static void rtc_write_b(struct rtc *rtc, uint8_t value)
{
    struct rtc_regs *regs = &rtc->regs;
    bool was_running = rtc_is_running(rtc);

    rtc_sync_flags(rtc);
    if (was_running)
        rtc_show(rtc);
    if (value & B_SET)
        value &= ~B_UIE; /* as the data sheet says of SET */
    if (value & B_DSE)
        log_guest("rtc: daylight saving is not kept");
    if (!(regs->cmos[RTC_B] & B_PIE) && (value & B_PIE))
        regs->missed = 0;
    uint8_t format_change = (regs->cmos[RTC_B] ^ value) & (B_DM | B_24);
    regs->cmos[RTC_B] = value;
    if (!was_running && rtc_is_running(rtc)) {
        rtc_take(rtc);
    } else if (format_change && was_running && rtc_is_running(rtc)) {
        /* The counters go on in the other format; software is to set the time again. */
        rtc_show(rtc);
    }
    rtc_update_irq(rtc);
}

static void rtc_write_register(struct rtc *rtc, uint8_t index, uint8_t value)
{
    struct rtc_regs *regs = &rtc->regs;
    switch (index) {
    case RTC_A:
        rtc_write_a(rtc, value);
        return;
    case RTC_B:
        rtc_write_b(rtc, value);
        return;
    case RTC_C:
    case RTC_D:
        return; /* read only */
    }
    if (is_time_byte(index) && rtc_is_running(rtc)) {
        rtc_sync_flags(rtc);
        rtc_show(rtc);
        regs->cmos[index] = value;
        if (index != RTC_WEEKDAY)
            rtc_take(rtc);
        rtc_update_irq(rtc);
        return;
    }
    rtc_sync_flags(rtc); /* an alarm time that is changed does not act on the past */
    regs->cmos[index] = value;
}

static uint8_t rtc_read_register(struct rtc *rtc, uint8_t index)
{
    struct rtc_regs *regs = &rtc->regs;
    uint8_t value;

    if (is_time_byte(index) && rtc_is_running(rtc))
        rtc_show(rtc);
    switch (index) {
    case RTC_A:
        value = regs->cmos[RTC_A];
        if (rtc_is_running(rtc)) {
            int64_t into = (vclock_now() - regs->base_ns) % NS_PER_SECOND;
            if (into < 0)
                into += NS_PER_SECOND;
            if (into >= NS_PER_SECOND - UIP_NS)
                value |= A_UIP;
        }
        return value;
    case RTC_C:
        rtc_update_irq(rtc);
        value = regs->cmos[RTC_C];
        regs->cmos[RTC_C] = 0;
        /* The line falls even if the next tick is due by now: the 8259A wants an edge. */
        irq_set(&rtc->irq8, false);
        rtc_update_irq(rtc);
        return value;
    case RTC_D:
        return D_VRT;
    default:
        return regs->cmos[index];
    }
}

/* Ports 70h/71h, and 72h/73h as the PIIX's second pair for the whole RAM. */
static void rtc_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct rtc *rtc = opaque;
    if (port & 1) {
        rtc_write_register(rtc, rtc->regs.index, value);
        return;
    }
    rtc->regs.index = value & 0x7f;
    if (port == 0x70)
        rtc->regs.nmi_masked = value >> 7;
}

static uint32_t rtc_read(void *opaque, uint16_t port, unsigned size)
{
    struct rtc *rtc = opaque;
    return port & 1 ? rtc_read_register(rtc, rtc->regs.index) : 0xff; /* the index is write-only */
}

static const struct io_ops rtc_io = {.widths = 1, .read = rtc_read, .write = rtc_write};

void rtc_set_cmos(struct rtc *rtc, uint8_t index, uint8_t value)
{
    assert_always(index > RTC_D && index < 128);
    rtc->regs.cmos[index] = value;
}

uint8_t rtc_get_cmos(const struct rtc *rtc, uint8_t index)
{
    return rtc->regs.cmos[index & 0x7f];
}

static uint32_t clamp16(uint64_t value)
{
    return value > 0xffff ? 0xffff : (uint32_t)value;
}

void rtc_set_memory_size(struct rtc *rtc, uint64_t below_4g, uint64_t above_4g)
{
    uint8_t *cmos = rtc->regs.cmos;
    uint32_t base = 640; /* KiB */
    uint32_t extended = below_4g > MiB ? clamp16((below_4g - MiB) / KiB) : 0;
    uint32_t above_16m = below_4g > 16 * MiB ? clamp16((below_4g - 16 * MiB) / (64 * KiB)) : 0;

    cmos[0x15] = base & 0xff;
    cmos[0x16] = base >> 8;
    cmos[0x17] = cmos[0x30] = extended & 0xff;
    cmos[0x18] = cmos[0x31] = extended >> 8;
    cmos[0x34] = above_16m & 0xff;
    cmos[0x35] = above_16m >> 8;
    for (unsigned i = 0; i < 3; i++) /* in units of 64 KiB, as QEMU and Bochs have it */
        cmos[0x5b + i] = (uint8_t)(above_4g / (64 * KiB) >> 8 * i);

    unsigned sum = 0; /* bytes 10h to 2Dh */
    for (unsigned i = 0x10; i <= 0x2d; i++)
        sum += cmos[i];
    cmos[0x2e] = sum >> 8 & 0xff;
    cmos[0x2f] = sum & 0xff;
}

/* RESET# clears the interrupt enables and flags; time and RAM are battery-backed. */
static void rtc_reset(void *dev)
{
    struct rtc *rtc = dev;
    rtc->regs.cmos[RTC_B] &= ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    rtc->regs.cmos[RTC_C] = 0;
    rtc->regs.index = 0;
    rtc->regs.missed = 0;
    vtimer_cancel(rtc->catchup);
    rtc_update_irq(rtc);
}

static const struct state_field rtc_fields[] = {
    STATE_FIELD(rtc_regs, cmos),         STATE_FIELD(rtc_regs, index),   STATE_FIELD(rtc_regs, nmi_masked),
    STATE_FIELD(rtc_regs, base_seconds), STATE_FIELD(rtc_regs, base_ns), STATE_FIELD(rtc_regs, seen_seconds),
    STATE_FIELD(rtc_regs, seen_period),  STATE_FIELD(rtc_regs, missed),
};
static const struct state_layout rtc_layout = STATE_LAYOUT(1, rtc_regs, rtc_fields);

static bool rtc_after_load(void *dev)
{
    struct rtc *rtc = dev;
    struct rtc_regs *regs = &rtc->regs;
    int64_t now = vclock_now(), period = rtc_period(rtc);
    /* Times that lie ahead, or that the date cannot show, would arm the timer for the past again and again. */
    if (regs->base_ns > now || regs->base_ns < -NS_PER_SECOND || ABS(regs->base_seconds / 2) > 1ll << 40 ||
        ABS(regs->seen_seconds / 2) > 1ll << 40 ||
        (period && (regs->seen_period > rtc_period_number(period) || regs->seen_period < -1)))
        return false;
    regs->index &= 0x7f;
    rtc_update_irq(rtc);
    debt_begin(&rtc->debt);
    if (rtc->regs.missed)
        rtc_tick_taken(rtc, 8, true);
    return true;
}

static void rtc_dump(void *dev, GString *out)
{
    struct rtc *rtc = dev;
    const uint8_t *cmos = rtc->regs.cmos;
    g_string_append_printf(out, "rtc: time=%lld a=%02x b=%02x c=%02x missed=%u\n", (long long)rtc_seconds(rtc),
                           cmos[RTC_A], cmos[RTC_B], cmos[RTC_C], rtc->regs.missed);
}

struct rtc *rtc_new(const struct irq *irq8)
{
    struct rtc *rtc = g_new0(struct rtc, 1);
    rtc->irq8 = *irq8;
    rtc->timer = vtimer_new(rtc_timer, rtc, "rtc");
    rtc->catchup = vtimer_new(rtc_catchup, rtc, "rtc-catchup");
    rtc->regs.base_ns = vclock_now();
    rtc->regs.base_seconds = vclock_wall_seconds();
    rtc->regs.seen_seconds = rtc->regs.base_seconds;
    rtc->regs.cmos[RTC_A] = A_DV_NORMAL | 6; /* 1024 Hz, as a BIOS leaves it */
    rtc->regs.cmos[RTC_B] = B_24;
    rtc->regs.seen_period = rtc_period_number(rtc_period(rtc));
    rtc_show(rtc);
    ioport_register(0x70, 4, &rtc_io, rtc, "rtc");
    rtc_reset(rtc);
    return rtc;
}

void rtc_free(struct rtc *rtc)
{
    ioport_unregister(0x70, 4);
    vtimer_free(rtc->timer);
    vtimer_free(rtc->catchup);
    g_free(rtc);
}

static void *rtc_create(const struct device_site *site, const void *config, GError **error)
{
    struct irq irq8 = board_wire(site->board, "timer-irq8");
    struct pic *pic = board_service(site->board, "pic");
    if (!irq8.set)
        irq8 = board_isa_irq(site->board, 8);
    struct rtc *rtc = rtc_new(&irq8);
    if (pic)
        pic_set_eoi_hook(pic, 8, &(struct irq){rtc_tick_taken, rtc, 8});
    rtc_set_cpu_time(rtc, board_service(site->board, "cpu-time"));
    board_provide(site->board, "rtc", rtc);
    return rtc;
}

static void rtc_destroy(void *dev)
{
    rtc_free(dev);
}

const struct device_class rtc_class = {
    .name = "mc146818rtc",
    .info = "rtc",
    .help = "real-time clock and CMOS RAM",
    .bus = BUS_ISA,
    .internal = true,
    .create = rtc_create,
    .destroy = rtc_destroy,
    .reset = rtc_reset,
    .layout = &rtc_layout,
    .regs_offset = offsetof(struct rtc, regs),
    .after_load = rtc_after_load,
    .dump = rtc_dump,
};
DEVICE_CLASS(rtc_class);

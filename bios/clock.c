/* Timer tick and real-time clock: INT 08h, INT 1Ah, INT 70h, the waits of INT 15h.
 *
 * IBM AT Technical Reference; Motorola MC146818A.
 */
#include "bios.h"

#define TICKS_PER_DAY 0x1800b0u

#define RTC_SECONDS       0x00
#define RTC_SECONDS_ALARM 0x01
#define RTC_MINUTES       0x02
#define RTC_MINUTES_ALARM 0x03
#define RTC_HOURS         0x04
#define RTC_HOURS_ALARM   0x05
#define RTC_DAY           0x07
#define RTC_MONTH         0x08
#define RTC_YEAR          0x09
#define RTC_A             0x0a
#define RTC_B             0x0b
#define RTC_C             0x0c
#define RTC_CENTURY       0x32

#define A_UIP 0x80
#define B_SET 0x80
#define B_PIE 0x40
#define B_AIE 0x20
#define B_24H 0x02
#define B_DSE 0x01

void handle_08(struct bregs *regs)
{
    uint32_t ticks = peek32(BDA_SEG, BDA_TICKS) + 1;
    struct bregs hook;

    if (ticks >= TICKS_PER_DAY) {
        ticks = 0;
        poke8(BDA_SEG, BDA_MIDNIGHT, (uint8_t)(peek8(BDA_SEG, BDA_MIDNIGHT) + 1));
    }
    poke32(BDA_SEG, BDA_TICKS, ticks);
    floppy_tick();
    memset(&hook, 0, sizeof(hook));
    hook.ds = BDA_SEG;
    call_int(0x1c, &hook);
    outb(0x20, 0x20);
}

/* --- Real-time clock --- */

/* False: the clock does not run, or is being set. */
static bool wait_update(void)
{
    struct timeout t = timeout_start(15);
    while (cmos_read(RTC_A) & A_UIP) {
        if (timeout_passed(&t))
            return false;
    }
    return true;
}

/* 12-hour and binary modes come from other software; we show BCD, 24 hours. */
static uint8_t read_clock(uint8_t index)
{
    return cmos_read(index);
}

static void set_b(uint8_t clear, uint8_t set)
{
    cmos_write(RTC_B, (uint8_t)((cmos_read(RTC_B) & ~clear) | set));
}

void clock_init(void)
{
    cmos_write(RTC_A, 0x26); /* 32768 Hz, 1024 Hz periodic */
    cmos_write(RTC_B, B_24H);
    cmos_read(RTC_C);
    wait_update();
    uint32_t seconds = bcd_value(cmos_read(RTC_SECONDS)) + bcd_value(cmos_read(RTC_MINUTES)) * 60u +
                       bcd_value(cmos_read(RTC_HOURS)) * 3600u;
    /* 18.20648 ticks a second: 1193182 / 65536 */
    uint32_t ticks = seconds * 18 + (seconds * 20648u / 1000u) / 100u;
    poke32(BDA_SEG, BDA_TICKS, ticks >= TICKS_PER_DAY ? TICKS_PER_DAY - 1 : ticks);
    outb(0xa1, inb(0xa1) & ~0x01); /* IRQ 8 */
}

void handle_1a(struct bregs *regs)
{
    switch (regs->ah) {
    case 0x00: {
        uint32_t ticks = peek32(BDA_SEG, BDA_TICKS);
        regs->cx = (uint16_t)(ticks >> 16);
        regs->dx = (uint16_t)ticks;
        regs->al = peek8(BDA_SEG, BDA_MIDNIGHT);
        poke8(BDA_SEG, BDA_MIDNIGHT, 0);
        set_cf(regs, false);
        break;
    }
    case 0x01:
        poke32(BDA_SEG, BDA_TICKS, (uint32_t)regs->cx << 16 | regs->dx);
        poke8(BDA_SEG, BDA_MIDNIGHT, 0);
        regs->ah = 0;
        set_cf(regs, false);
        break;
    case 0x02:
        if (!wait_update()) {
            set_cf(regs, true);
            break;
        }
        regs->dh = read_clock(RTC_SECONDS);
        regs->cl = read_clock(RTC_MINUTES);
        regs->ch = read_clock(RTC_HOURS);
        regs->dl = cmos_read(RTC_B) & B_DSE;
        regs->ah = 0;
        regs->al = regs->ch;
        set_cf(regs, false);
        break;
    case 0x03:
        set_b(0, B_SET);
        cmos_write(RTC_SECONDS, regs->dh);
        cmos_write(RTC_MINUTES, regs->cl);
        cmos_write(RTC_HOURS, regs->ch);
        set_b(B_SET | B_DSE, B_24H | (regs->dl & B_DSE));
        regs->ah = 0;
        regs->al = cmos_read(RTC_B);
        set_cf(regs, false);
        break;
    case 0x04:
        if (!wait_update()) {
            set_cf(regs, true);
            break;
        }
        regs->cl = read_clock(RTC_YEAR);
        regs->dh = read_clock(RTC_MONTH);
        regs->dl = read_clock(RTC_DAY);
        regs->ch = cmos_read(RTC_CENTURY);
        regs->ah = 0;
        regs->al = regs->ch;
        set_cf(regs, false);
        break;
    case 0x05:
        set_b(0, B_SET);
        cmos_write(RTC_YEAR, regs->cl);
        cmos_write(RTC_MONTH, regs->dh);
        cmos_write(RTC_DAY, regs->dl);
        cmos_write(RTC_CENTURY, regs->ch);
        set_b(B_SET, B_24H);
        regs->ah = 0;
        regs->al = cmos_read(RTC_B);
        set_cf(regs, false);
        break;
    case 0x06:
        if (cmos_read(RTC_B) & B_AIE) { /* one at a time */
            set_cf(regs, true);
            break;
        }
        cmos_write(RTC_SECONDS_ALARM, regs->dh);
        cmos_write(RTC_MINUTES_ALARM, regs->cl);
        cmos_write(RTC_HOURS_ALARM, regs->ch);
        outb(0xa1, inb(0xa1) & ~0x01);
        set_b(B_SET, B_24H | B_AIE);
        regs->ax = 0;
        set_cf(regs, false);
        break;
    case 0x07:
        set_b(B_SET | B_AIE, 0);
        regs->ah = 0;
        set_cf(regs, false);
        break;
    case 0xb1:
        pci_bios(regs);
        break;
    default:
        log_unknown("int 1a", regs);
        set_cf(regs, true);
        break;
    }
}

/* --- Waits --- */

#define RTC_PERIOD_US 976

static void end_wait(void)
{
    poke8(BDA_SEG, BDA_WAIT_ACTIVE, 0);
    set_b(B_PIE, 0);
}

void handle_70(struct bregs *regs)
{
    uint8_t enabled = cmos_read(RTC_B), cause = cmos_read(RTC_C) & enabled;
    struct bregs hook;

    if ((cause & 0x40) && (peek8(BDA_SEG, BDA_WAIT_ACTIVE) & 1)) {
        uint32_t left = peek32(BDA_SEG, BDA_WAIT_COUNT);
        if (left <= RTC_PERIOD_US) {
            uint32_t flag = peek32(BDA_SEG, BDA_WAIT_FLAG);
            uint16_t seg = (uint16_t)(flag >> 16), off = (uint16_t)flag;
            end_wait();
            poke8(seg, off, peek8(seg, off) | 0x80);
        } else {
            poke32(BDA_SEG, BDA_WAIT_COUNT, left - RTC_PERIOD_US);
        }
    }
    if (cause & 0x20) {
        memset(&hook, 0, sizeof(hook));
        call_int(0x4a, &hook);
    }
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
}

static bool start_wait(uint32_t us, uint16_t seg, uint16_t off)
{
    if (peek8(BDA_SEG, BDA_WAIT_ACTIVE) & 1)
        return false;
    poke8(BDA_SEG, BDA_WAIT_ACTIVE, 1);
    poke32(BDA_SEG, BDA_WAIT_FLAG, (uint32_t)seg << 16 | off);
    poke32(BDA_SEG, BDA_WAIT_COUNT, us);
    outb(0xa1, inb(0xa1) & ~0x01);
    outb(0x21, inb(0x21) & ~0x04);
    cmos_read(RTC_C);
    set_b(0, B_PIE);
    return true;
}

void clock_15_83(struct bregs *regs)
{
    if (regs->al == 1) {
        end_wait();
        set_cf(regs, false);
    } else if (regs->al == 0 && start_wait((uint32_t)regs->cx << 16 | regs->dx, regs->es, regs->bx)) {
        set_cf(regs, false);
    } else {
        set_cf(regs, true);
    }
}

void clock_15_86(struct bregs *regs)
{
    poke8(BDA_SEG, BDA_WAIT_ACTIVE, peek8(BDA_SEG, BDA_WAIT_ACTIVE) & 0x7f);
    if (!start_wait((uint32_t)regs->cx << 16 | regs->dx, BDA_SEG, BDA_WAIT_ACTIVE)) {
        regs->ah = 0x83;
        set_cf(regs, true);
        return;
    }
    while (!(peek8(BDA_SEG, BDA_WAIT_ACTIVE) & 0x80))
        yield_halt();
    poke8(BDA_SEG, BDA_WAIT_ACTIVE, 0);
    regs->ah = 0;
    set_cf(regs, false);
}

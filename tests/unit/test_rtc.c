/* MC146818A: one test per behaviour of the data sheet. */
#include "board.h"
#include "devices/rtc.h"

static struct wire irq8;
static struct rtc *rtc;

/* 2026-11-22 12:34:56, a Sunday. */
#define NOON 1795350896

static void create(void)
{
    struct irq irq = wire_irq(&irq8);
    memset(&irq8, 0, sizeof(irq8));
    rtc = rtc_new(&irq);
}

static void setup(void)
{
    if (rtc)
        rtc_free(rtc);
    ioport_clear();
    vclock_fake_start();
    vclock_set_wall_base(NOON);
    create();
}

static uint8_t get(uint8_t index)
{
    outb(0x70, index);
    return inb(0x71);
}

static void set(uint8_t index, uint8_t value)
{
    outb(0x70, index);
    outb(0x71, value);
}

static void test_shows_wall_time_in_bcd(void)
{
    setup();
    g_assert_cmphex(get(0), ==, 0x56);
    g_assert_cmphex(get(2), ==, 0x34);
    g_assert_cmphex(get(4), ==, 0x12);
    g_assert_cmphex(get(6), ==, 0x01);
    g_assert_cmphex(get(7), ==, 0x22);
    g_assert_cmphex(get(8), ==, 0x11);
    g_assert_cmphex(get(9), ==, 0x26);
    g_assert_cmphex(get(0x32), ==, 0x20);
}

static void test_seconds_carry(void)
{
    setup();
    vclock_fake_advance(4 * NS_PER_SECOND);
    g_assert_cmphex(get(0), ==, 0x00);
    g_assert_cmphex(get(2), ==, 0x35);
}

static void test_binary_mode(void)
{
    setup();
    set(0x0b, 0x06);
    g_assert_cmpuint(get(0), ==, 56);
    g_assert_cmpuint(get(4), ==, 12);
}

static void test_twelve_hour_mode(void)
{
    setup();
    set(0x0b, 0x00);
    g_assert_cmphex(get(4), ==, 0x92); /* 12 PM */
    vclock_fake_advance(3600 * NS_PER_SECOND);
    g_assert_cmphex(get(4), ==, 0x81); /* 1 PM */
    vclock_fake_advance(11 * 3600 * NS_PER_SECOND);
    g_assert_cmphex(get(4), ==, 0x12); /* 12 AM */
}

static void test_set_bit_stops_the_clock(void)
{
    setup();
    set(0x0b, 0x82);
    vclock_fake_advance(10 * NS_PER_SECOND);
    g_assert_cmphex(get(0), ==, 0x56);
    set(0, 0x10);
    set(2, 0x20);
    set(4, 0x21);
    set(0x0b, 0x02);
    vclock_fake_advance(2 * NS_PER_SECOND);
    g_assert_cmphex(get(0), ==, 0x12);
    g_assert_cmphex(get(2), ==, 0x20);
    g_assert_cmphex(get(4), ==, 0x21);
}

static void test_date_rolls_over(void)
{
    setup();
    set(0x0b, 0x82);
    set(0, 0x59);
    set(2, 0x59);
    set(4, 0x23);
    set(7, 0x28);
    set(8, 0x02);
    set(9, 0x28); /* a leap year */
    set(0x0b, 0x02);
    vclock_fake_advance(1 * NS_PER_SECOND);
    g_assert_cmphex(get(7), ==, 0x29);
    g_assert_cmphex(get(8), ==, 0x02);
    vclock_fake_advance(86400 * NS_PER_SECOND);
    g_assert_cmphex(get(7), ==, 0x01);
    g_assert_cmphex(get(8), ==, 0x03);
}

static void test_update_in_progress(void)
{
    setup();
    g_assert_cmphex(get(0x0a) & 0x80, ==, 0);
    vclock_fake_advance(NS_PER_SECOND - 3 * MS);
    g_assert_cmphex(get(0x0a) & 0x80, ==, 0);
    vclock_fake_advance(2 * MS);
    g_assert_cmphex(get(0x0a) & 0x80, ==, 0x80);
    g_assert_cmphex(get(0), ==, 0x56);
    vclock_fake_advance(1 * MS);
    g_assert_cmphex(get(0x0a) & 0x80, ==, 0);
    g_assert_cmphex(get(0), ==, 0x57);
}

static void test_divider_reset_starts_half_a_second_off(void)
{
    setup();
    vclock_fake_advance(900 * MS);
    set(0x0a, 0x76); /* divider held in reset */
    vclock_fake_advance(5 * NS_PER_SECOND);
    uint8_t second = get(0);
    set(0x0a, 0x26);
    vclock_fake_advance(499 * MS);
    g_assert_cmphex(get(0), ==, second);
    vclock_fake_advance(2 * MS);
    g_assert_cmphex(get(0), ==, second + 1);
}

static void test_update_ended_interrupt(void)
{
    setup();
    set(0x0b, 0x12);
    vclock_fake_advance(NS_PER_SECOND - MS);
    g_assert_false(irq8.level);
    vclock_fake_advance(MS);
    g_assert_true(irq8.level);
    g_assert_cmphex(get(0x0c), ==, 0x90 | 0x40); /* IRQF, UF; PF, too, as it runs always */
    g_assert_false(irq8.level);
    g_assert_cmphex(get(0x0c), ==, 0);
}

static void test_update_flag_without_interrupt(void)
{
    setup();
    get(0x0c);
    vclock_fake_advance(1500 * MS);
    g_assert_cmphex(get(0x0c) & 0x90, ==, 0x10);
    g_assert_cmpuint(irq8.rises, ==, 0);
}

static void test_alarm(void)
{
    setup();
    set(1, 0x00);
    set(3, 0x35);
    set(5, 0x12);
    set(0x0b, 0x22);
    vclock_fake_advance(3 * NS_PER_SECOND);
    g_assert_false(irq8.level);
    vclock_fake_advance(1 * NS_PER_SECOND);
    g_assert_true(irq8.level);
    g_assert_cmphex(get(0x0c) & 0xa0, ==, 0xa0);
}

static void test_alarm_dont_care(void)
{
    setup();
    set(1, 0x00);
    set(3, 0xff); /* every minute */
    set(5, 0xc0);
    set(0x0b, 0x22);
    unsigned rang = 0;
    for (int i = 0; i < 180; i++) {
        vclock_fake_advance(1 * NS_PER_SECOND);
        rang += (get(0x0c) & 0x20) != 0;
    }
    g_assert_cmpuint(rang, ==, 3);
}

/* A host so slow that the next tick is due before the read of C is through. Needs a clock that moves by itself: the
 * host's, so this test is the first. */
static bool is_slow;
static void slow_set(void *opaque, int line, bool level)
{
    wire_set(opaque, line, level);
    if (level && is_slow)
        g_usleep(5000);
}

static void test_line_falls_with_next_tick_due(void)
{
    vclock_set_wall_base(NOON);
    vclock_start();
    struct irq irq = {slow_set, &irq8, 0};
    rtc = rtc_new(&irq);
    set(0xa, 0x26);
    set(0xb, 0x42);
    g_usleep(5000);
    set(0xb, 0x42);
    g_assert_true(irq8.level);
    unsigned falls = irq8.falls;
    is_slow = true;
    g_assert_cmphex(get(0xc) & 0xc0, ==, 0xc0);
    is_slow = false;
    g_assert_cmpuint(irq8.falls, ==, falls + 1);
    g_assert_true(irq8.level); /* for the next tick */
}

static void test_periodic_rate(void)
{
    setup();
    set(0x0a, 0x26); /* 1024 Hz */
    set(0x0b, 0x42);
    unsigned ticks = 0;
    for (int i = 0; i < 10000; i++) {
        vclock_fake_advance(100 * US);
        if (irq8.level) {
            ticks++;
            g_assert_cmphex(get(0x0c) & 0xc0, ==, 0xc0);
        }
    }
    g_assert_cmpuint(ticks, >=, 1023);
    g_assert_cmpuint(ticks, <=, 1024);
}

static void test_no_second_edge_until_c_is_read(void)
{
    setup();
    set(0x0a, 0x2f); /* 2 Hz */
    set(0x0b, 0x42);
    vclock_fake_advance(5 * NS_PER_SECOND);
    g_assert_cmpuint(irq8.rises, ==, 1);
    g_assert_true(irq8.level);
}

static void test_missed_ticks_follow(void)
{
    setup();
    set(0x0a, 0x2a); /* 64 Hz: 15.625 ms */
    set(0x0b, 0x42);
    vclock_fake_advance(16 * MS);
    g_assert_cmpuint(irq8.rises, ==, 1);
    vclock_fake_advance(47 * MS); /* three more go by unread */
    unsigned ticks = 0;
    for (int i = 0; i < 40; i++) {
        if (irq8.level) {
            ticks++;
            get(0x0c);
            rtc_tick_taken(rtc, 8, true);
        }
        vclock_fake_advance(MS);
    }
    /* 103 ms are 6 periods and a bit: all of them came. */
    g_assert_cmpuint(ticks, ==, 6);
}

static void test_index_is_write_only_and_nmi_masked(void)
{
    setup();
    outb(0x70, 0x8f);
    g_assert_cmphex(inb(0x70), ==, 0xff);
    outb(0x71, 0x0a);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x0f), ==, 0x0a);
}

static void test_registers_c_and_d_are_read_only(void)
{
    setup();
    set(0x0d, 0x00);
    set(0x0c, 0xff);
    g_assert_cmphex(get(0x0d), ==, 0x80);
    g_assert_cmphex(get(0x0c), ==, 0x00);
}

static void test_memory_size_bytes(void)
{
    setup();
    rtc_set_memory_size(rtc, 3 * GiB, 3 * GiB + 64 * KiB);
    g_assert_cmpuint(get(0x34) | get(0x35) << 8, ==, 0xbf00);
    g_assert_cmpuint(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, ==, 0xc001);
    rtc_set_memory_size(rtc, 128 * MiB, 0);
    g_assert_cmpuint(get(0x15) | get(0x16) << 8, ==, 640);
    g_assert_cmpuint(get(0x17) | get(0x18) << 8, ==, 65535);
    g_assert_cmpuint(get(0x34) | get(0x35) << 8, ==, 112 * 16);
    unsigned sum = 0;
    for (unsigned i = 0x10; i <= 0x2d; i++)
        sum += get(i);
    g_assert_cmpuint(get(0x2e) << 8 | get(0x2f), ==, sum);
}

static void test_reset_keeps_time_and_ram(void)
{
    setup();
    set(0x40, 0x5a);
    set(0x0b, 0x72);
    vclock_fake_advance(NS_PER_SECOND);
    rtc_class.reset(rtc);
    g_assert_false(irq8.level);
    g_assert_cmphex(get(0x0b), ==, 0x02);
    g_assert_cmphex(get(0x40), ==, 0x5a);
    g_assert_cmphex(get(0), ==, 0x57);
}

static void test_save_load_with_alarm_pending(void)
{
    setup();
    set(1, 0x00);
    set(3, 0x35);
    set(5, 0x12);
    set(0x0b, 0x22);
    vclock_fake_advance(2 * NS_PER_SECOND);
    outb(0x70, 0x04); /* in the middle of a read */
    GByteArray *bytes = device_saved(&rtc_class, rtc);
    rtc_free(rtc);
    create();
    device_load_checked(&rtc_class, rtc, bytes);
    g_assert_cmphex(inb(0x71), ==, 0x12);
    g_assert_false(irq8.level);
    vclock_fake_advance(2 * NS_PER_SECOND);
    g_assert_true(irq8.level);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rtc/line_falls_with_next_tick_due", test_line_falls_with_next_tick_due);
    g_test_add_func("/rtc/shows_wall_time_in_bcd", test_shows_wall_time_in_bcd);
    g_test_add_func("/rtc/seconds_carry", test_seconds_carry);
    g_test_add_func("/rtc/binary_mode", test_binary_mode);
    g_test_add_func("/rtc/twelve_hour_mode", test_twelve_hour_mode);
    g_test_add_func("/rtc/set_bit_stops_the_clock", test_set_bit_stops_the_clock);
    g_test_add_func("/rtc/date_rolls_over", test_date_rolls_over);
    g_test_add_func("/rtc/update_in_progress", test_update_in_progress);
    g_test_add_func("/rtc/divider_reset_starts_half_a_second_off", test_divider_reset_starts_half_a_second_off);
    g_test_add_func("/rtc/update_ended_interrupt", test_update_ended_interrupt);
    g_test_add_func("/rtc/update_flag_without_interrupt", test_update_flag_without_interrupt);
    g_test_add_func("/rtc/alarm", test_alarm);
    g_test_add_func("/rtc/alarm_dont_care", test_alarm_dont_care);
    g_test_add_func("/rtc/periodic_rate", test_periodic_rate);
    g_test_add_func("/rtc/no_second_edge_until_c_is_read", test_no_second_edge_until_c_is_read);
    g_test_add_func("/rtc/missed_ticks_follow", test_missed_ticks_follow);
    g_test_add_func("/rtc/index_is_write_only", test_index_is_write_only_and_nmi_masked);
    g_test_add_func("/rtc/registers_c_and_d_are_read_only", test_registers_c_and_d_are_read_only);
    g_test_add_func("/rtc/memory_size_bytes", test_memory_size_bytes);
    g_test_add_func("/rtc/reset_keeps_time_and_ram", test_reset_keeps_time_and_ram);
    g_test_add_func("/rtc/save_load_with_alarm_pending", test_save_load_with_alarm_pending);
    return g_test_run();
}

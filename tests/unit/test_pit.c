/* 8254: one test per behaviour of the data sheet. Times are in CLK periods of 838.1 ns. */
#include "board.h"
#include "devices/pit.h"

static struct wire irq0;
static struct pit *pit;
static bool requested;

static bool is_requested(void *opaque)
{
    return requested;
}

static void create(void)
{
    struct irq irq = wire_irq(&irq0);
    memset(&irq0, 0, sizeof(irq0));
    pit = pit_new(&irq);
    pit_set_requested_hook(pit, is_requested, NULL);
}

static void setup(void)
{
    if (pit)
        pit_free(pit);
    ioport_clear();
    vclock_fake_start();
    requested = false;
    create();
}

/* Just past the given number of CLKs from the start of vclock. */
static void run_to(int64_t clk)
{
    int64_t target = (clk * NS_PER_SECOND + PIT_HZ - 1) / PIT_HZ;
    vclock_fake_advance(target - vclock_now());
}

static void program(unsigned channel, unsigned mode, uint16_t count)
{
    outb(0x43, channel << 6 | 0x30 | mode << 1);
    outb(0x40 + channel, count & 0xff);
    outb(0x40 + channel, count >> 8);
}

static uint16_t latch(unsigned channel)
{
    outb(0x43, channel << 6);
    uint8_t low = inb(0x40 + channel);
    return low | inb(0x40 + channel) << 8;
}

static uint8_t status(unsigned channel)
{
    outb(0x43, 0xe0 | 2u << channel);
    return inb(0x40 + channel);
}

static void test_mode2_period(void)
{
    setup();
    program(0, 2, 11932); /* 100 Hz */
    vclock_fake_advance(1000 * MS + 10 * US);
    g_assert_cmpuint(irq0.rises, >=, 99);
    g_assert_cmpuint(irq0.rises, <=, 100);
}

static void test_mode2_counts_down_and_reloads(void)
{
    setup();
    program(0, 2, 1000);
    run_to(1); /* loaded */
    g_assert_cmpuint(latch(0), ==, 1000);
    run_to(11);
    g_assert_cmpuint(latch(0), ==, 990);
    run_to(1000);
    g_assert_cmpuint(latch(0), ==, 1);
    run_to(1001);
    g_assert_cmpuint(latch(0), ==, 1000);
}

static void test_mode2_new_count_waits_for_period(void)
{
    setup();
    program(0, 2, 1000);
    run_to(501);
    outb(0x40, 100);
    outb(0x40, 0);
    run_to(900);
    g_assert_cmpuint(latch(0), ==, 101);         /* still the old one: 1000 - 899 */
    g_assert_cmphex(status(0) & 0x40, ==, 0x40); /* null count */
    run_to(1001 + 100 + 1);
    g_assert_cmpuint(irq0.rises, ==, 2); /* at 1001 and 1101 */
    g_assert_cmphex(status(0) & 0x40, ==, 0);
}

static void test_mode0_fires_once(void)
{
    setup();
    program(0, 0, 100);
    g_assert_false(irq0.level);
    run_to(100);
    g_assert_cmpuint(irq0.rises, ==, 0);
    run_to(101);
    g_assert_cmpuint(irq0.rises, ==, 1);
    run_to(200000);
    g_assert_cmpuint(irq0.rises, ==, 1);
    g_assert_cmpuint(latch(0), ==, (uint16_t)(100 - (200000 - 1)));
}

static void test_mode0_rewrite_restarts(void)
{
    setup();
    program(0, 0, 100);
    run_to(50);
    outb(0x40, 100); /* first byte stops the count */
    run_to(500);
    g_assert_cmpuint(irq0.rises, ==, 0);
    outb(0x40, 0);
    run_to(601);
    g_assert_cmpuint(irq0.rises, ==, 1);
}

static void test_mode4_strobes_once(void)
{
    setup();
    program(0, 4, 100);
    run_to(101);
    g_assert_cmpuint(irq0.rises, ==, 0); /* low for this CLK */
    run_to(102);
    g_assert_cmpuint(irq0.rises, ==, 1);
    run_to(5000);
    g_assert_cmpuint(irq0.rises, ==, 1);
}

static void test_mode3_square_wave(void)
{
    setup();
    outb(0x61, 0x01); /* gate of counter 2 */
    program(2, 3, 100);
    run_to(1 + 49);
    g_assert_cmphex(inb(0x61) & 0x20, ==, 0x20);
    run_to(1 + 50);
    g_assert_cmphex(inb(0x61) & 0x20, ==, 0);
    run_to(1 + 100);
    g_assert_cmphex(inb(0x61) & 0x20, ==, 0x20);
}

static void test_mode3_counts_by_two(void)
{
    setup();
    outb(0x61, 0x01);
    program(2, 3, 100);
    run_to(1 + 10);
    g_assert_cmpuint(latch(2), ==, 80);
    run_to(1 + 60);
    g_assert_cmpuint(latch(2), ==, 80);
}

static void test_gate_stops_mode0(void)
{
    setup();
    outb(0x61, 0x01);
    program(2, 0, 1000);
    run_to(101);
    outb(0x61, 0x00);
    run_to(5000);
    g_assert_cmpuint(latch(2), ==, 900);
    g_assert_cmphex(inb(0x61) & 0x20, ==, 0);
    outb(0x61, 0x01);
    run_to(5000 + 899);
    g_assert_cmphex(inb(0x61) & 0x20, ==, 0);
    run_to(5000 + 900);
    g_assert_cmphex(inb(0x61) & 0x20, ==, 0x20);
}

static void test_gate_triggers_mode1(void)
{
    setup();
    program(2, 1, 100);
    run_to(1000);
    g_assert_cmphex(inb(0x61) & 0x20, ==, 0x20); /* nothing without a trigger */
    outb(0x61, 0x01);
    run_to(1002);
    g_assert_cmphex(inb(0x61) & 0x20, ==, 0);
    run_to(1000 + 100);
    g_assert_cmphex(inb(0x61) & 0x20, ==, 0);
    run_to(1000 + 101);
    g_assert_cmphex(inb(0x61) & 0x20, ==, 0x20);
}

static void test_gate_reloads_mode2(void)
{
    setup();
    outb(0x61, 0x01);
    program(2, 2, 1000);
    run_to(500);
    outb(0x61, 0x00);
    g_assert_cmphex(inb(0x61) & 0x20, ==, 0x20); /* OUT goes high at once */
    outb(0x61, 0x01);
    run_to(501);
    g_assert_cmpuint(latch(2), ==, 1000);
}

static void test_latch_holds(void)
{
    setup();
    program(0, 2, 1000);
    run_to(101);
    outb(0x43, 0x00);
    run_to(301);
    outb(0x43, 0x00); /* ignored: the first is not read yet */
    g_assert_cmpuint(inb(0x40), ==, 900 & 0xff);
    run_to(401);
    g_assert_cmpuint(inb(0x40), ==, 900 >> 8);
    g_assert_cmpuint(latch(0), ==, 600);
}

static void test_read_back(void)
{
    setup();
    program(0, 2, 1000);
    run_to(101);
    outb(0x43, 0xc2); /* count and status of counter 0 */
    run_to(201);
    g_assert_cmphex(inb(0x40), ==, 0x80 | 0x30 | 2 << 1); /* OUT, access, mode; status comes first */
    g_assert_cmpuint(inb(0x40), ==, 900 & 0xff);
    g_assert_cmpuint(inb(0x40), ==, 900 >> 8);
}

static void test_single_byte_access(void)
{
    setup();
    outb(0x43, 0x14); /* counter 0, low byte only, mode 2 */
    outb(0x40, 50);
    run_to(1);
    g_assert_cmpuint(inb(0x40), ==, 50);
    outb(0x43, 0x24); /* high byte only */
    outb(0x40, 2);
    run_to(2);
    g_assert_cmpuint(inb(0x40), ==, 2);
    run_to(3);
    g_assert_cmpuint(inb(0x40), ==, 1); /* 511 */
}

static void test_bcd(void)
{
    setup();
    outb(0x43, 0x35); /* counter 0, mode 2, BCD */
    outb(0x40, 0x00);
    outb(0x40, 0x10); /* 1000 decimal */
    run_to(2);
    g_assert_cmphex(latch(0), ==, 0x0999);
    run_to(1001);
    g_assert_cmpuint(irq0.rises, ==, 1);
}

static void test_count_zero_is_65536(void)
{
    setup();
    program(0, 2, 0);
    run_to(65536);
    g_assert_cmpuint(irq0.rises, ==, 0);
    run_to(65537);
    g_assert_cmpuint(irq0.rises, ==, 1);
}

static void test_port61_refresh_toggles(void)
{
    setup();
    unsigned changes = 0;
    uint8_t last = inb(0x61) & 0x10;
    for (int i = 0; i < 100; i++) {
        vclock_fake_advance(15085);
        changes += (inb(0x61) & 0x10) != last;
        last = inb(0x61) & 0x10;
    }
    g_assert_cmpuint(changes, ==, 100);
}

static void test_missed_ticks_are_given_later(void)
{
    setup();
    program(0, 2, 11932); /* 10 ms */
    vclock_fake_advance(11 * MS);
    g_assert_cmpuint(irq0.rises, ==, 1);
    requested = true; /* the guest keeps interrupts off */
    vclock_fake_advance(50 * MS);
    g_assert_cmpuint(irq0.rises, ==, 1);
    requested = false;
    unsigned total = irq0.rises;
    for (int i = 0; i < 5; i++) {
        pit_tick_taken(pit, 0, true);
        vclock_fake_advance(1 * MS);
        g_assert_cmpuint(irq0.rises, ==, total); /* spaced, not in a burst */
        vclock_fake_advance(MS * 8 / 5);
        total = irq0.rises;
    }
    pit_tick_taken(pit, 0, true);
    vclock_fake_advance(100 * MS);
    /* No tick is lost, none is invented. */
    g_assert_cmpuint(irq0.rises, >=, (unsigned)(vclock_now() / (10 * MS)) - 1);
    g_assert_cmpuint(irq0.rises, <=, (unsigned)(vclock_now() / (10 * MS)));
}

static int64_t busy_share, busy_from;

static int64_t busy(void *opaque)
{
    return vclock_now() < busy_from ? vclock_now() : busy_from + (vclock_now() - busy_from) * busy_share / 100;
}

static const struct board_cpu_time cpu_time = {busy, NULL};

/* One tick waits, however long the guest keeps interrupts off: as with the chip. */
static void test_long_without_interrupts_is_one_tick(void)
{
    setup();
    pit_set_cpu_time(pit, &cpu_time);
    busy_from = INT64_MAX;
    program(0, 2, 1193); /* 1 kHz */
    requested = true;
    vclock_fake_advance(1 * NS_PER_SECOND);
    requested = false;
    unsigned before = irq0.rises;
    for (int i = 0; i < 100; i++) {
        pit_tick_taken(pit, 0, true);
        vclock_fake_advance(1 * MS);
    }
    g_assert_cmpuint(irq0.rises - before, >=, 99);
    g_assert_cmpuint(irq0.rises - before, <=, 101);
}

/* What the host took away of that time is owed. */
static void test_time_the_host_took_is_owed(void)
{
    setup();
    pit_set_cpu_time(pit, &cpu_time);
    program(0, 2, 1193);
    busy_from = vclock_now();
    busy_share = 70;
    requested = true;
    vclock_fake_advance(1 * NS_PER_SECOND);
    requested = false;
    unsigned before = irq0.rises;
    for (int i = 0; i < 1000; i++) {
        pit_tick_taken(pit, 0, true);
        vclock_fake_advance(1 * MS);
    }
    g_assert_cmpuint(irq0.rises - before, >=, 1295);
    g_assert_cmpuint(irq0.rises - before, <=, 1305);
}

static void test_kept_ticks_are_bounded(void)
{
    setup();
    pit_set_cpu_time(pit, &cpu_time);
    program(0, 2, 1193); /* 1 kHz */
    busy_from = vclock_now();
    busy_share = 0;
    requested = true;
    vclock_fake_advance(60 * NS_PER_SECOND);
    requested = false;
    unsigned before = irq0.rises;
    for (int i = 0; i < 4000; i++) {
        pit_tick_taken(pit, 0, true);
        vclock_fake_advance(300 * US);
    }
    /* 1.2 s of ticks of its own, and one second's worth of the sixty. */
    g_assert_cmpuint(irq0.rises - before, >=, 2190);
    g_assert_cmpuint(irq0.rises - before, <=, 2210);
}

static void test_control_word_drops_kept_ticks(void)
{
    setup();
    program(0, 2, 1193); /* 1 kHz */
    requested = true;
    vclock_fake_advance(60 * NS_PER_SECOND);
    requested = false;
    unsigned before = irq0.rises;
    outb(0x43, 0x30);
    g_assert_cmpuint(irq0.rises, ==, before);
    pit_tick_taken(pit, 0, true);
    vclock_fake_advance(1 * NS_PER_SECOND);
    g_assert_cmpuint(irq0.rises, ==, before);
}

static void test_fast_rate_does_not_flood(void)
{
    setup();
    program(0, 2, 2);
    vclock_fake_advance(10 * MS);
    /* 6000 edges; the host is asked at most every 20 us. */
    g_assert_cmpuint(irq0.rises, <=, 501);
    g_assert_cmpuint(irq0.rises, >, 100);
}

static void test_save_load_in_mid_count(void)
{
    setup();
    program(0, 2, 1000);
    run_to(301);
    outb(0x40, 0x11); /* half a count written */
    outb(0x43, 0x00);
    GByteArray *bytes = device_saved(&pit_class, pit);
    pit_free(pit);
    create();
    device_load_checked(&pit_class, pit, bytes);
    g_assert_cmpuint(inb(0x40), ==, 700 & 0xff);
    g_assert_cmpuint(inb(0x40), ==, 700 >> 8);
    run_to(1001);
    g_assert_cmpuint(irq0.rises, ==, 1); /* the timer was armed again */
    outb(0x40, 0x01);                    /* the other half: 0x111 from the next period on */
    run_to(2001 + 0x111);
    g_assert_cmpuint(irq0.rises, ==, 3);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pit/mode2_period", test_mode2_period);
    g_test_add_func("/pit/mode2_counts_down_and_reloads", test_mode2_counts_down_and_reloads);
    g_test_add_func("/pit/mode2_new_count_waits_for_period", test_mode2_new_count_waits_for_period);
    g_test_add_func("/pit/mode0_fires_once", test_mode0_fires_once);
    g_test_add_func("/pit/mode0_rewrite_restarts", test_mode0_rewrite_restarts);
    g_test_add_func("/pit/mode4_strobes_once", test_mode4_strobes_once);
    g_test_add_func("/pit/mode3_square_wave", test_mode3_square_wave);
    g_test_add_func("/pit/mode3_counts_by_two", test_mode3_counts_by_two);
    g_test_add_func("/pit/gate_stops_mode0", test_gate_stops_mode0);
    g_test_add_func("/pit/gate_triggers_mode1", test_gate_triggers_mode1);
    g_test_add_func("/pit/gate_reloads_mode2", test_gate_reloads_mode2);
    g_test_add_func("/pit/latch_holds", test_latch_holds);
    g_test_add_func("/pit/read_back", test_read_back);
    g_test_add_func("/pit/single_byte_access", test_single_byte_access);
    g_test_add_func("/pit/bcd", test_bcd);
    g_test_add_func("/pit/count_zero_is_65536", test_count_zero_is_65536);
    g_test_add_func("/pit/port61_refresh_toggles", test_port61_refresh_toggles);
    g_test_add_func("/pit/missed_ticks_are_given_later", test_missed_ticks_are_given_later);
    g_test_add_func("/pit/kept_ticks_are_bounded", test_kept_ticks_are_bounded);
    g_test_add_func("/pit/long_without_interrupts_is_one_tick", test_long_without_interrupts_is_one_tick);
    g_test_add_func("/pit/time_the_host_took_is_owed", test_time_the_host_took_is_owed);
    g_test_add_func("/pit/control_word_drops_kept_ticks", test_control_word_drops_kept_ticks);
    g_test_add_func("/pit/fast_rate_does_not_flood", test_fast_rate_does_not_flood);
    g_test_add_func("/pit/save_load_in_mid_count", test_save_load_in_mid_count);
    return g_test_run();
}

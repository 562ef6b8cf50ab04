/* The clock and its timers, in the fake and in the real one. */
#include <pthread.h>
#include <x86intrin.h>

#include "busypoll.h"
#include "devthread.h"
#include "board.h"

static GString *order;
static struct vtimer *chained;

static void note(void *opaque)
{
    g_string_append_printf(order, "%s@%lld ", (const char *)opaque, (long long)(vclock_now() / MS));
}

static void note_and_rearm(void *opaque)
{
    note(opaque);
    if (vclock_now() < 30 * MS)
        vtimer_arm(chained, vclock_now() + 10 * MS);
}

static void fresh(void)
{
    vclock_fake_start();
    if (order)
        g_string_free(order, TRUE);
    order = g_string_new(NULL);
}

static void test_stands_until_told(void)
{
    fresh();
    int64_t before = vclock_now();
    g_usleep(2000);
    g_assert_cmpint(vclock_now(), ==, before);
    vclock_fake_advance(5 * MS);
    g_assert_cmpint(vclock_now() - before, ==, 5 * MS);
}

static void test_runs_in_order_of_time(void)
{
    fresh();
    struct vtimer *a = vtimer_new(note, "a", "a"), *b = vtimer_new(note, "b", "b");
    vtimer_arm(a, 20 * MS);
    vtimer_arm(b, 10 * MS);
    vclock_fake_advance(9 * MS);
    g_assert_cmpstr(order->str, ==, "");
    vclock_fake_advance(20 * MS);
    g_assert_cmpstr(order->str, ==, "b@10 a@20 ");
    vtimer_free(a);
    vtimer_free(b);
}

static void test_equal_times_run_in_order_of_arming(void)
{
    fresh();
    struct vtimer *a = vtimer_new(note, "a", "a"), *b = vtimer_new(note, "b", "b");
    vtimer_arm(b, 10 * MS);
    vtimer_arm(a, 10 * MS);
    vclock_fake_advance(10 * MS);
    g_assert_cmpstr(order->str, ==, "b@10 a@10 ");
    vtimer_free(a);
    vtimer_free(b);
}

static void test_rearming_moves(void)
{
    fresh();
    struct vtimer *a = vtimer_new(note, "a", "a");
    vtimer_arm(a, 10 * MS);
    vtimer_arm(a, 20 * MS);
    vclock_fake_advance(15 * MS);
    g_assert_cmpstr(order->str, ==, "");
    vclock_fake_advance(15 * MS);
    g_assert_cmpstr(order->str, ==, "a@20 ");
    vtimer_free(a);
}

static void test_cancelled_does_not_run(void)
{
    fresh();
    struct vtimer *a = vtimer_new(note, "a", "a");
    vtimer_arm(a, 10 * MS);
    g_assert_true(vtimer_armed(a));
    vtimer_cancel(a);
    g_assert_false(vtimer_armed(a));
    vclock_fake_advance(20 * MS);
    g_assert_cmpstr(order->str, ==, "");
    vtimer_free(a);
}

static void test_callback_may_rearm(void)
{
    fresh();
    chained = vtimer_new(note_and_rearm, "c", "c");
    vtimer_arm(chained, 10 * MS);
    vclock_fake_advance(100 * MS);
    g_assert_cmpstr(order->str, ==, "c@10 c@20 c@30 ");
    g_assert_false(vtimer_armed(chained));
    vtimer_free(chained);
}

static void rearm_at_halt(void *opaque)
{
    note(opaque);
    vtimer_arm_at_halt(chained);
}

/* Once, in the order of arming; what is armed meanwhile is for the next one; and time alone does not run them. */
static void test_halt(void)
{
    fresh();
    struct vtimer *a = vtimer_new(note, "a", "a"), *b = vtimer_new(note, "b", "b"), *c = vtimer_new(note, "c", "c");
    chained = vtimer_new(rearm_at_halt, "r", "r");
    vclock_halt();
    vtimer_arm_at_halt(b);
    vtimer_arm_at_halt(chained);
    vtimer_arm_at_halt(c);
    vtimer_arm_at_halt(a);
    vtimer_arm_at_halt(a);
    vtimer_cancel(c);
    g_assert_false(vtimer_armed(c));
    vclock_fake_advance(10 * MS);
    g_assert_cmpstr(order->str, ==, "");
    vclock_halt();
    g_assert_cmpstr(order->str, ==, "b@10 r@10 a@10 ");
    vclock_halt();
    g_assert_cmpstr(order->str, ==, "b@10 r@10 a@10 r@10 ");
    vtimer_arm_at_halt(b);
    vtimer_arm(b, 20 * MS); /* the one or the other */
    vtimer_free(chained);
    vclock_halt();
    g_assert_cmpstr(order->str, ==, "b@10 r@10 a@10 r@10 ");
    vclock_fake_advance(10 * MS);
    g_assert_cmpstr(order->str, ==, "b@10 r@10 a@10 r@10 b@20 ");
    vtimer_free(a);
    vtimer_free(b);
    vtimer_free(c);
}

static void test_free_while_armed(void)
{
    fresh();
    struct vtimer *a = vtimer_new(note, "a", "a");
    vtimer_arm(a, 10 * MS);
    vtimer_free(a);
    vclock_fake_advance(20 * MS);
    g_assert_cmpstr(order->str, ==, "");
}

static void test_wall_moves_with_vclock(void)
{
    fresh();
    vclock_set_wall_base(1000000);
    vclock_fake_advance(2500 * MS);
    g_assert_cmpint(vclock_wall_seconds(), ==, 1000002);
}

/* --- the real clock, in processes of their own: the fake one is for good --- */

static void real_stop_and_start(void)
{
    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 10 * G_USEC_PER_SEC, 0);
        g_test_trap_assert_passed();
        return;
    }
    g_assert_cmpint(vclock_now(), ==, 0); /* stands until started */
    machine_lock();
    vclock_start();
    machine_unlock();
    g_usleep(3000);
    int64_t ran = vclock_now();
    g_assert_cmpint(ran, >=, 3 * MS);
    machine_lock();
    vclock_stop();
    machine_unlock();
    int64_t stopped = vclock_now();
    g_usleep(3000);
    g_assert_cmpint(vclock_now(), ==, stopped);
    machine_lock();
    vclock_start();
    machine_unlock();
    g_assert_cmpint(vclock_now(), >=, stopped);
    g_assert_cmpint(vclock_now(), <, stopped + 3 * MS);
}

/* What the guest's time-stamp counter is told agrees with the clock: both stand for the same time. */
static void real_tsc_stands_as_well(void)
{
    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 10 * G_USEC_PER_SEC, 0);
        g_test_trap_assert_passed();
        return;
    }
    uint64_t offset = 0;
    machine_lock();
    vclock_start();
    uint64_t tsc = __rdtsc();
    int64_t ns = vclock_now();
    for (unsigned i = 0; i < 5; i++) {
        g_usleep(5000);
        vclock_stop();
        g_assert_true(vclock_is_stopped());
        g_usleep(40000);
        offset += vclock_start();
        g_assert_false(vclock_is_stopped());
    }
    g_usleep(5000);
    double ticks = (double)(__rdtsc() - offset - tsc), time = (double)(vclock_now() - ns);
    /* Measured in one stretch: the same rate. Some microseconds of 30 ms are lost between reading the two. */
    uint64_t tsc2 = __rdtsc();
    int64_t ns2 = vclock_now();
    g_usleep(100000);
    double rate = (double)(__rdtsc() - tsc2) / (double)(vclock_now() - ns2);
    g_assert_cmpfloat(ticks / time, >, rate * 0.98);
    g_assert_cmpfloat(ticks / time, <, rate * 1.02);
    vclock_stop();
    vclock_set(77);
    g_assert_cmpint(vclock_now(), ==, 77);
    machine_unlock();
}

static _Atomic int64_t fired_at;

static void fire(void *opaque)
{
    fired_at = vclock_now();
}

static void wait_until_fired(void)
{
    while (!fired_at)
        g_usleep(200);
}

static void *arm_from_thread(void *opaque)
{
    machine_lock();
    vtimer_arm(opaque, vclock_now() + 2 * MS);
    machine_unlock();
    return NULL;
}

static void real_time_of_tsc(void)
{
    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 10 * G_USEC_PER_SEC, 0);
        g_test_trap_assert_passed();
        return;
    }
    machine_lock();
    vclock_start();
    machine_unlock();
    g_usleep(20000); /* the frequency is measured from the start on */
    for (unsigned i = 0; i < 20; i++) {
        uint64_t due = __rdtsc() + 4000000;
        int64_t when = vclock_of_tsc(due);
        while (vclock_now() < when)
            continue;
        g_assert_cmpint((int64_t)(__rdtsc() - due), >=, 0); /* not early */
    }
    g_assert_cmpint(vclock_of_tsc(__rdtsc() - 1000), <=, vclock_now()); /* what has been is now */
    g_assert_cmpint(vclock_of_tsc(__rdtsc() + INT64_MAX), >, 10 * 365 * 86400 * NS_PER_SECOND);
    machine_lock();
    vclock_stop();
    machine_unlock();
}

/* With a device thread. */
static void real_start(void)
{
    vclock_attach();
    g_assert_true(devthread_start(NULL));
    machine_lock();
    vclock_start();
    machine_unlock();
}

static void real_end(void)
{
    devthread_stop();
    vclock_detach();
}

static void real_timer_from_other_thread(void)
{
    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 10 * G_USEC_PER_SEC, 0);
        g_test_trap_assert_passed();
        return;
    }
    real_start();
    struct vtimer *timer = vtimer_new(fire, NULL, "fire");
    pthread_t thread;
    int64_t start = vclock_now();
    pthread_create(&thread, NULL, arm_from_thread, timer);
    wait_until_fired(); /* the device thread sleeps when the timer is armed: it must wake */
    pthread_join(thread, NULL);
    g_assert_cmpint(fired_at, >=, start + 2 * MS);
    g_assert_cmpint(fired_at, <, start + 2000 * MS);
    real_end();
    vtimer_free(timer);
}

/* The host's timer is not programmed for each change: neither may that lose one, nor bring one early. */
static void real_timers_put_off_and_brought_forward(void)
{
    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 20 * G_USEC_PER_SEC, 0);
        g_test_trap_assert_passed();
        return;
    }
    real_start();
    struct vtimer *timer = vtimer_new(fire, NULL, "fire"), *other = vtimer_new(fire, NULL, "other");
    for (unsigned looked_at = 0; looked_at < 2; looked_at++) {
        vclock_set_looked_at(looked_at); /* though nobody does look */
        for (unsigned way = 0; way < 3; way++) {
            machine_lock();
            fired_at = 0;
            int64_t now = vclock_now(), when = now + 6 * MS;
            vtimer_arm(timer, now + 2 * MS);
            if (way == 0) { /* put off */
                vtimer_arm(timer, when);
            } else if (way == 1) { /* another one instead */
                vtimer_cancel(timer);
                vtimer_arm(other, when);
            } else { /* brought forward */
                vtimer_arm(timer, now + 10000 * MS);
                vtimer_arm(timer, when);
            }
            machine_unlock();
            wait_until_fired();
            g_assert_cmpint(fired_at, >=, when);
            g_assert_cmpint(fired_at, <, when + 2000 * MS);
        }
    }
    /* Who looks runs what is due, once. */
    for (fired_at = 0; !fired_at;) {
        machine_lock();
        if (!vtimer_armed(timer))
            vtimer_arm(timer, vclock_now());
        vclock_look();
        machine_unlock();
    }
    real_end();
    vtimer_free(timer);
    vtimer_free(other);
}

/* Longer and longer after short waits, not at all after long ones, nor where there is one CPU only. */
static void busypoll_adapts(void)
{
    struct busypoll poll = {0};
    busypoll_init(&poll);
    poll.is_allowed = true;
    g_assert_false(busypoll_begin(&poll));
    for (unsigned i = 0; poll.look_ns == 0 && i < 10000; i++) { /* a busy host makes a wait long */
        busypoll_begin(&poll);
        busypoll_slept(&poll);
    }
    int64_t first = poll.look_ns;
    g_assert_cmpint(first, >, 0);
    for (unsigned i = 0; poll.look_ns <= first && i < 10000; i++) {
        busypoll_begin(&poll);
        busypoll_slept(&poll);
    }
    g_assert_cmpint(poll.look_ns, >, first);
    g_assert_true(busypoll_begin(&poll));
    while (busypoll_more(&poll)) /* it ends */
        continue;
    for (unsigned i = 0; i < 16; i++) {
        busypoll_begin(&poll);
        poll.began -= NS_PER_SECOND;
        busypoll_slept(&poll);
    }
    g_assert_cmpint(poll.look_ns, ==, 0);
    poll.is_allowed = false;
    for (unsigned i = 0; i < 16; i++) {
        busypoll_begin(&poll);
        busypoll_slept(&poll);
    }
    g_assert_cmpint(poll.look_ns, ==, 0);
}

/* Whoever comes back after a while has been kept from its CPU, which it leaves to others. */
static void busypoll_gives_way(void)
{
    struct busypoll poll = {.is_allowed = true, .look_ns = 200000};
    g_assert_true(busypoll_begin(&poll));
    poll.last -= NS_PER_SECOND;
    g_assert_false(busypoll_more(&poll));
    g_assert_cmpint(poll.not_before, >, poll.last);
}

static void test_ticks(void)
{
    static const int64_t hz[] = {1, 32768, 1193182, 3579545, 999999999, 1000000000, 8000000000};
    for (unsigned i = 0; i < G_N_ELEMENTS(hz); i++) {
        for (int64_t ns = 1; ns < 1ll << 58; ns = ns * 3 + i) {
            int64_t most = INT64_MAX / hz[i]; /* seconds */
            if (ns / NS_PER_SECOND >= most)
                break;
            g_assert_cmpint(vclock_ticks(ns, hz[i]), ==, (int64_t)((__int128)ns * hz[i] / NS_PER_SECOND));
            g_assert_cmpint(vclock_ticks(-ns, hz[i]), ==, (int64_t)((__int128)-ns * hz[i] / NS_PER_SECOND));
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vclock/ticks", test_ticks);
    g_test_add_func("/vclock/stands_until_told", test_stands_until_told);
    g_test_add_func("/vclock/runs_in_order_of_time", test_runs_in_order_of_time);
    g_test_add_func("/vclock/equal_times_in_order_of_arming", test_equal_times_run_in_order_of_arming);
    g_test_add_func("/vclock/rearming_moves", test_rearming_moves);
    g_test_add_func("/vclock/cancelled_does_not_run", test_cancelled_does_not_run);
    g_test_add_func("/vclock/callback_may_rearm", test_callback_may_rearm);
    g_test_add_func("/vclock/halt", test_halt);
    g_test_add_func("/vclock/free_while_armed", test_free_while_armed);
    g_test_add_func("/vclock/wall_moves_with_vclock", test_wall_moves_with_vclock);
    g_test_add_func("/vclock/real/stop_and_start", real_stop_and_start);
    g_test_add_func("/vclock/real/tsc_stands_as_well", real_tsc_stands_as_well);
    g_test_add_func("/vclock/real/time_of_tsc", real_time_of_tsc);
    g_test_add_func("/vclock/real/timer_from_other_thread", real_timer_from_other_thread);
    g_test_add_func("/vclock/real/timers_put_off_and_brought_forward", real_timers_put_off_and_brought_forward);
    g_test_add_func("/busypoll/adapts", busypoll_adapts);
    g_test_add_func("/busypoll/gives_way", busypoll_gives_way);
    return g_test_run();
}

/* The machine's one clock, in nanoseconds, and timers on it. Devices take time from nowhere else.
 *
 * vclock runs with the host's CLOCK_MONOTONIC while the machine runs and stands while it is stopped. So does the
 * guest's time-stamp counter, which is the host's plus an offset: vclock_start() tells how far the host's went on
 * meanwhile. Tests replace it by a clock that moves only when told (vclock_fake_*).
 */
#pragma once

#include "lock.h"
#include "types.h"

#define NS_PER_SECOND 1000000000ll

int64_t vclock_now(void); /* ns since the machine was built; callable from any thread */
/* When, on this clock, the host's time-stamp counter will have that value, if the machine runs until then: a little
 * later rather than too early. Callers hold the machine lock. */
int64_t vclock_of_tsc(uint64_t host_tsc);
/* Lets time run (idempotent). Returns how many ticks of the host's time-stamp counter passed while it stood. Callers of
 * both hold the machine lock. */
uint64_t vclock_start(void);
/* After it no timer fires. */
void vclock_stop(void);
bool vclock_is_stopped(void);
/* Stopped: the host's time-stamp counter at the moment at which time stopped. */
uint64_t vclock_stopped_tsc(void);
/* Stopped: makes it this late. Armed timers keep their times. */
void vclock_set(int64_t now);
/* What vclock_wall_seconds() said at time 0: for a saved machine. */
int64_t vclock_wall_base(void);

/* Wall-clock seconds since the epoch, for the RTC: host time, or what `-rtc base=` fixed, moving with
 * vclock. */
int64_t vclock_wall_seconds(void);
void vclock_set_wall_base(int64_t seconds);

/* How many periods of a clock of hz, at most 8 GHz, ns nanoseconds are, cut off. A division of 128 bits costs as much
 * as all the rest of reading a counter. */
static inline int64_t vclock_ticks(int64_t ns, int64_t hz)
{
    return ns / NS_PER_SECOND * hz + ns % NS_PER_SECOND * hz / NS_PER_SECOND;
}

struct vtimer; /* opaque */
typedef void vtimer_fn(void *opaque);
struct vtimer *vtimer_new(vtimer_fn *fn, void *opaque, const char *name);
void vtimer_free(struct vtimer *timer);
/* Calls fn, with the machine lock held, on the device thread, once vclock_now() >= when_ns. Re-arming
 * moves it. (On the processor's thread, when it halts.) Callers hold the machine lock. */
void vtimer_arm(struct vtimer *timer, int64_t when_ns);
void vtimer_cancel(struct vtimer *timer);
bool vtimer_armed(const struct vtimer *timer);
/* Calls fn once, when the processor halts next, on its thread: whatever the guest has put into memory without a word it
 * has put there by then. Not with KVM, and not while the guest has other things to do: a timer has to be there, too. */
void vtimer_arm_at_halt(struct vtimer *timer);
/* The processor halts. Without the machine lock. */
void vclock_halt(void);

/* When the first timer is due, in nanoseconds of CLOCK_MONOTONIC; INT64_MAX: there is none. Machine lock. */
int64_t vclock_first_due(void);
/* A processor that halts until then runs the timers itself: the device thread is not woken for the first one. Machine
 * lock; between the two it is let go, to wait. */
void vclock_begin_wait(void);
/* Runs what is due, on this thread; what is left is the device thread's. Machine lock. */
void vclock_run_due(void);
/* The same for a thread that looks again and again, for a while: that is quick if nothing is due. While somebody does
 * so now and then (vclock_set_looked_at), the device thread comes a little after the time, if it is needed at all. */
void vclock_look(void);
void vclock_set_looked_at(bool is_looked_at); /* without the machine lock */

/* Attaches the timers to the device thread (timerfd, not poll's milliseconds), and takes them away again. */
void vclock_attach(void);
void vclock_detach(void);

/* Tests: time moves only through vclock_fake_advance, which runs due timers in order. */
void vclock_fake_start(void);
void vclock_fake_advance(int64_t ns);
int64_t vclock_fake_first_due(void); /* INT64_MAX: no timer is armed */

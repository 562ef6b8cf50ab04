/* The machine's one clock, in nanoseconds, and timers on it. Devices take time from nowhere else.
 *
 * vclock runs with the host's CLOCK_MONOTONIC while the machine runs and stands while it is stopped.
 * Tests replace it by a clock that moves only when told (vclock_fake_*).
 */
#pragma once

#include "types.h"

#define NS_PER_SECOND 1000000000ll

int64_t vclock_now(void); /* ns since the machine was built; callable from any thread */
/* When, on this clock, the host's time-stamp counter will have that value, if the machine runs until then: a little
 * later rather than too early. Callers hold the machine lock. */
int64_t vclock_of_tsc(uint64_t host_tsc);
void vclock_start(void); /* let time run (idempotent) */
void vclock_stop(void);

/* Wall-clock seconds since the epoch, for the RTC: host time, or what `-rtc base=` fixed, moving with
 * vclock. */
int64_t vclock_wall_seconds(void);
void vclock_set_wall_base(int64_t seconds);

struct vtimer; /* opaque */
typedef void vtimer_fn(void *opaque);
struct vtimer *vtimer_new(vtimer_fn *fn, void *opaque, const char *name);
void vtimer_free(struct vtimer *timer);
/* Calls fn, with the machine lock held, on the main thread, once vclock_now() >= when_ns. Re-arming
 * moves it. Callers hold the machine lock. */
void vtimer_arm(struct vtimer *timer, int64_t when_ns);
void vtimer_cancel(struct vtimer *timer);
bool vtimer_armed(const struct vtimer *timer);

/* Attaches the timers to the default GLib main context (timerfd, not poll's milliseconds). */
void vclock_attach(void);

/* The machine lock: around all device state. Not recursive. */
void machine_lock(void);
void machine_unlock(void);

/* Tests: time moves only through vclock_fake_advance, which runs due timers in order. */
void vclock_fake_start(void);
void vclock_fake_advance(int64_t ns);

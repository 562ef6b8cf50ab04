/* The machine's clock and its timers: CLOCK_MONOTONIC behind vclock.h, one timerfd for all timers,
 * and the machine lock. The only file that reads the host's clock. See timerfd_create(2).
 */
#include "vclock.h"

#include <errno.h>
#include <glib.h>
#include <stdatomic.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "devthread.h"
#include "log.h"

#define LOOKED_AT_NS 40000 /* about as long as a thread takes to wake up */

struct vtimer {
    vtimer_fn *fn;
    void *opaque;
    const char *name;
    int64_t when;
    bool armed;
    struct vtimer *next; /* in the list of armed timers, earliest first, or of those for a halt */
};

static struct {
    /* While stopped, frozen_at is the time and origin is meaningless; while running frozen_at is -1 and
     * the time is CLOCK_MONOTONIC - origin. Readers take no lock: frozen_at is read first, and published last. */
    _Atomic int64_t frozen_at, origin;
    bool is_fake;
    _Atomic int64_t fake_now;

    bool wall_base_set;
    int64_t wall_base;

    int64_t stopped_ns; /* CLOCK_MONOTONIC and the host's TSC when time stopped */
    uint64_t stopped_tsc;

    int64_t first_ns; /* when time first ran */
    uint64_t first_tsc;
    double ns_per_tick; /* 0: not known yet */

    struct vtimer *armed; /* earliest first */
    struct vtimer *_Atomic at_halt;
    int timer_fd;
    int64_t timer_fd_due; /* CLOCK_MONOTONIC; INT64_MAX: it is not armed, or has fired */
    guint timer_source;
    bool is_looked_at; /* written by one thread */
} clk = {.timer_fd = -1, .timer_fd_due = INT64_MAX};

static int64_t host_monotonic(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NS_PER_SECOND + ts.tv_nsec;
}

int64_t vclock_now(void)
{
    if (clk.is_fake)
        return atomic_load_explicit(&clk.fake_now, memory_order_relaxed);
    int64_t frozen = atomic_load_explicit(&clk.frozen_at, memory_order_acquire);
    if (frozen >= 0)
        return frozen;
    return host_monotonic() - atomic_load_explicit(&clk.origin, memory_order_acquire);
}

/* Both of the host's clocks at one moment: of a few tries the one that took least. */
static void host_clocks(int64_t *ns, uint64_t *tsc)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < 5; i++) {
        uint64_t before = __rdtsc();
        int64_t now = host_monotonic();
        uint64_t took = __rdtsc() - before;
        if (took >= least)
            continue;
        least = took;
        *ns = now;
        *tsc = before + took / 2;
    }
}

/* The counter's frequency is measured over a second, and believed from then on: better than 1 in 10^6. Before that,
 * over what has passed. The margin is for its error: a timer may be late, as any is, but not early. */
#define TSC_MEASURED (NS_PER_SECOND)
#define TSC_MARGIN   (1.0 + 1.0 / 32768)

int64_t vclock_of_tsc(uint64_t host_tsc)
{
    /* In this order: what happens between the two makes it later, not too early. */
    int64_t ticks = (int64_t)(host_tsc - __rdtsc()), now = vclock_now();
    double scale = clk.ns_per_tick;

    if (ticks <= 0)
        return now;
    if (scale == 0) {
        int64_t ns = clk.first_ns;
        uint64_t tsc = clk.first_tsc;
        host_clocks(&ns, &tsc);
        if (tsc == clk.first_tsc)
            return now;
        scale = (double)(ns - clk.first_ns) / (double)(tsc - clk.first_tsc);
        if (ns - clk.first_ns >= TSC_MEASURED)
            clk.ns_per_tick = scale;
    }
    double later = (double)ticks * scale * TSC_MARGIN;
    return now + (later < 1e18 ? (int64_t)later : (int64_t)1e18);
}

int64_t vclock_first_due(void)
{
    int64_t when = INT64_MAX;
    if (clk.armed && atomic_load(&clk.frozen_at) < 0 &&
        __builtin_add_overflow(clk.armed->when, atomic_load(&clk.origin), &when))
        when = INT64_MAX; /* it never comes */
    return when;
}

/* timerfd_settime wakes the device thread's poll when it has to, so a timer may be armed from any thread. */
static void timerfd_set(int64_t when)
{
    struct itimerspec spec = {0};
    if (clk.timer_fd < 0)
        return;
    if (when < 1)
        when = 1; /* zero would disarm */
    if (when != INT64_MAX) {
        spec.it_value.tv_sec = when / NS_PER_SECOND;
        spec.it_value.tv_nsec = when % NS_PER_SECOND;
    }
    int rc = timerfd_settime(clk.timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
    assert_always(rc == 0);
    clk.timer_fd_due = when;
}

/* When the device thread is to come. */
static int64_t wake_due(void)
{
    int64_t due = vclock_first_due();
    return clk.is_looked_at && due < INT64_MAX - LOOKED_AT_NS ? due + LOOKED_AT_NS : due;
}

/* A wake-up too early does no harm, and is programmed anew then: devices that put their timer off at each access (or
 * cancel it) cost no system call. */
static void timerfd_program(void)
{
    int64_t due = wake_due();
    if (due < clk.timer_fd_due)
        timerfd_set(due);
}

/* Both clocks are read at one moment, so that the guest's counter and all timers stand for the same time. */
uint64_t vclock_start(void)
{
    int64_t frozen = atomic_load(&clk.frozen_at), ns = 0;
    uint64_t tsc = 0;
    if (clk.is_fake || frozen < 0)
        return 0;
    host_clocks(&ns, &tsc);
    uint64_t stood = clk.stopped_tsc ? tsc - clk.stopped_tsc : 0;
    if (!clk.first_tsc) {
        clk.first_ns = ns;
        clk.first_tsc = tsc;
    }
    atomic_store(&clk.origin, ns - frozen);
    atomic_store_explicit(&clk.frozen_at, -1, memory_order_release);
    timerfd_program();
    return stood;
}

void vclock_stop(void)
{
    if (clk.is_fake || atomic_load(&clk.frozen_at) >= 0)
        return;
    host_clocks(&clk.stopped_ns, &clk.stopped_tsc);
    atomic_store_explicit(&clk.frozen_at, clk.stopped_ns - atomic_load(&clk.origin), memory_order_release);
    timerfd_program();
}

bool vclock_is_stopped(void)
{
    return !clk.is_fake && atomic_load(&clk.frozen_at) >= 0;
}

uint64_t vclock_stopped_tsc(void)
{
    if (!clk.stopped_tsc) /* it has never run */
        host_clocks(&clk.stopped_ns, &clk.stopped_tsc);
    return clk.stopped_tsc;
}

void vclock_set(int64_t now)
{
    assert_always(vclock_is_stopped());
    atomic_store_explicit(&clk.frozen_at, now, memory_order_release);
}

int64_t vclock_wall_base(void)
{
    return vclock_wall_seconds() - vclock_now() / NS_PER_SECOND;
}

int64_t vclock_wall_seconds(void)
{
    if (!clk.wall_base_set)
        vclock_set_wall_base(time(NULL));
    return clk.wall_base + vclock_now() / NS_PER_SECOND;
}

void vclock_set_wall_base(int64_t seconds)
{
    clk.wall_base = seconds - vclock_now() / NS_PER_SECOND;
    clk.wall_base_set = true;
}

struct vtimer *vtimer_new(vtimer_fn *fn, void *opaque, const char *name)
{
    struct vtimer *timer = g_new0(struct vtimer, 1);
    timer->fn = fn;
    timer->opaque = opaque;
    timer->name = name;
    return timer;
}

void vtimer_free(struct vtimer *timer)
{
    if (!timer)
        return;
    vtimer_cancel(timer);
    g_free(timer);
}

static void list_remove(struct vtimer *timer)
{
    struct vtimer **link = &clk.armed;
    while (*link && *link != timer)
        link = &(*link)->next;
    if (*link)
        *link = timer->next;
    struct vtimer *before = NULL, *one = atomic_load(&clk.at_halt);
    for (; one && one != timer; one = one->next)
        before = one;
    if (one && before)
        before->next = one->next;
    else if (one)
        atomic_store(&clk.at_halt, one->next);
    timer->armed = false;
}

void vtimer_arm(struct vtimer *timer, int64_t when_ns)
{
    struct vtimer *first = clk.armed;
    int64_t first_when = first ? first->when : INT64_MAX;

    if (timer->armed)
        list_remove(timer);
    timer->when = when_ns;
    timer->armed = true;
    /* Timers of equal time run in the order in which they were armed. */
    struct vtimer **link = &clk.armed;
    while (*link && (*link)->when <= when_ns)
        link = &(*link)->next;
    timer->next = *link;
    *link = timer;
    if (clk.armed->when != first_when)
        timerfd_program();
}

void vtimer_arm_at_halt(struct vtimer *timer)
{
    if (timer->armed)
        list_remove(timer);
    struct vtimer *last = atomic_load(&clk.at_halt);
    timer->armed = true;
    timer->next = NULL;
    while (last && last->next)
        last = last->next;
    if (last)
        last->next = timer;
    else
        atomic_store(&clk.at_halt, timer);
}

void vclock_halt(void)
{
    struct vtimer *timer;
    unsigned count = 0;
    if (!atomic_load(&clk.at_halt))
        return;
    machine_lock();
    for (timer = atomic_load(&clk.at_halt); timer; timer = timer->next)
        count++;
    /* Those that are there now: what is armed meanwhile is behind them, for the next halt. */
    while (count-- && (timer = atomic_load(&clk.at_halt))) {
        list_remove(timer);
        timer->fn(timer->opaque);
    }
    machine_unlock();
}

void vtimer_cancel(struct vtimer *timer)
{
    if (timer->armed)
        list_remove(timer);
}

bool vtimer_armed(const struct vtimer *timer)
{
    return timer->armed;
}

/* Bounded: a device that asks for "now" again and again must not keep the thread from its other work; the timerfd
 * brings the device thread back at once for what is left. */
void vclock_run_due(void)
{
    for (int i = 0; i < 64 && clk.armed && clk.armed->when <= vclock_now() && atomic_load(&clk.frozen_at) < 0; i++) {
        struct vtimer *timer = clk.armed;
        list_remove(timer);
        timer->fn(timer->opaque);
    }
    timerfd_program();
}

static gboolean timerfd_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    uint64_t expirations;
    if (read(fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN && errno != EINTR)
        log_user("reading the timer failed (%s); the guest's clock stands still", g_strerror(errno));

    machine_lock();
    clk.timer_fd_due = INT64_MAX;
    vclock_run_due();
    machine_unlock();
    return G_SOURCE_CONTINUE;
}

void vclock_begin_wait(void)
{
    timerfd_set(INT64_MAX);
}

void vclock_look(void)
{
    if (vclock_first_due() > host_monotonic())
        return;
    vclock_run_due();
    /* Nothing is left for it to do at the time for which it is there: cheaper than its waking up. */
    if (clk.is_looked_at && clk.timer_fd_due != INT64_MAX)
        timerfd_set(wake_due());
}

void vclock_set_looked_at(bool is_looked_at)
{
    if (clk.is_looked_at == is_looked_at)
        return;
    machine_lock();
    clk.is_looked_at = is_looked_at;
    timerfd_program();
    machine_unlock();
}

void vclock_attach(void)
{
    assert_always(clk.timer_fd < 0 && !clk.is_fake);
    clk.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    assert_always(clk.timer_fd >= 0);
    clk.timer_source = devthread_fd_add(clk.timer_fd, G_IO_IN, timerfd_ready, NULL);
    timerfd_program();
}

void vclock_detach(void)
{
    if (clk.timer_fd < 0)
        return;
    devthread_source_remove(clk.timer_source);
    close(clk.timer_fd);
    clk.timer_fd = -1;
    clk.timer_fd_due = INT64_MAX;
}

void vclock_fake_start(void)
{
    clk.is_fake = true;
    atomic_store(&clk.fake_now, 0);
    clk.wall_base = 0;
    clk.wall_base_set = true;
    while (clk.armed)
        list_remove(clk.armed);
    while (atomic_load(&clk.at_halt))
        list_remove(atomic_load(&clk.at_halt));
}

void vclock_fake_advance(int64_t ns)
{
    assert_always(clk.is_fake);
    int64_t target = atomic_load(&clk.fake_now) + ns;
    machine_lock();
    while (clk.armed && clk.armed->when <= target) {
        struct vtimer *timer = clk.armed;
        list_remove(timer);
        if (timer->when > atomic_load(&clk.fake_now))
            atomic_store(&clk.fake_now, timer->when);
        timer->fn(timer->opaque);
    }
    atomic_store(&clk.fake_now, target);
    machine_unlock();
}

int64_t vclock_fake_first_due(void)
{
    return clk.armed ? clk.armed->when : INT64_MAX;
}

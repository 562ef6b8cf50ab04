/* Adaptive busy polling: see busypoll.h. sched_getaffinity(2). */
#include "busypoll.h"

#include <sched.h>
#include <sys/param.h>
#include <time.h>

#define FIRST_NS 10000
#define MOST_NS  200000
#define PAUSES   20       /* about a microsecond */
#define GAP_NS   50000    /* between two looks: something else ran on this CPU */
#define LATER_NS 10000000 /* for how long it is left to that */

static int64_t host_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

void busypoll_init(struct busypoll *poll)
{
    cpu_set_t cpus;
    /* More CPUs than the set has room for is an error, too. */
    *poll = (struct busypoll){.is_allowed = sched_getaffinity(0, sizeof(cpus), &cpus) != 0 || CPU_COUNT(&cpus) > 1};
}

bool busypoll_begin(struct busypoll *poll)
{
    poll->began = poll->last = host_ns();
    return poll->look_ns && poll->began >= poll->not_before;
}

bool busypoll_more(struct busypoll *poll)
{
    for (unsigned i = 0; i < PAUSES; i++)
        __builtin_ia32_pause();
    int64_t now = host_ns(), gap = now - poll->last;
    poll->last = now;
    if (gap > GAP_NS) {
        poll->not_before = now + LATER_NS;
        return false;
    }
    return now - poll->began <= poll->look_ns;
}

void busypoll_slept(struct busypoll *poll)
{
    int64_t half = poll->look_ns / 2;
    if (host_ns() - poll->began > MOST_NS)
        poll->look_ns = half < FIRST_NS ? 0 : half;
    else if (poll->is_allowed)
        poll->look_ns = MIN(MAX(poll->look_ns * 2, FIRST_NS), MOST_NS);
}

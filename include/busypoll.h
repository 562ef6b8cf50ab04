/* Whether to look around for a moment before going to sleep: adaptive busy polling.
 *
 * A thread that sleeps on a CPU with nothing else to do takes 20 to 50 us to wake up, and a packet's way through the
 * monitor has several such waits in it. So whoever has been woken soon, the last times, looks first. One that sleeps
 * for long does not look at all, nor does anybody where another program wants the CPU. (KVM's halt polling does this
 * for the same reason, by about the same rule.)
 *
 *     bool looks = busypoll_begin(&poll);
 *     while (looks && !found && busypoll_more(&poll))
 *         found = look();
 *     if (!found) {
 *         sleep();
 *         busypoll_slept(&poll);
 *     }
 */
#pragma once

#include "types.h"

struct busypoll {
    bool is_allowed;    /* there is another CPU for whoever it waits for */
    int64_t look_ns;    /* for how long it looks; 0: not at all */
    int64_t not_before; /* CLOCK_MONOTONIC: the CPU is left to others until then */
    int64_t began, last;
};

/* Of this process's CPUs now. */
void busypoll_init(struct busypoll *poll);
/* A wait begins. True: look first. */
bool busypoll_begin(struct busypoll *poll);
/* Passes about a microsecond; true: look once more. */
bool busypoll_more(struct busypoll *poll);
/* The wait is over, and was slept through at the end. */
void busypoll_slept(struct busypoll *poll);

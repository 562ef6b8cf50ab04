/* Timer ticks that a guest has not taken when the next one came: which of them it gets later.
 *
 * A real timer's interrupt waits once, however many periods pass; a guest that keeps interrupts off for a second counts
 * on that. But time in which the host did not let the processor run is no doing of the guest's: its clock would lose
 * it. In between, what is late by less than DEBT_SHORT is given: here everything takes longer than on a real machine.
 */
#pragma once

#include "device.h"
#include "vclock.h"

#define DEBT_SHORT (100 * 1000000ll)

struct debt {
    const struct board_cpu_time *cpu; /* NULL: the processor never waits for the host */
    int64_t since, busy;              /* when the tick that waits came, and the processor's time then */
};

static inline int64_t debt_busy(const struct debt *debt, int64_t now)
{
    return debt->cpu ? debt->cpu->busy(debt->cpu->opaque) : now;
}

/* A tick has come, and none was waiting. */
static inline void debt_begin(struct debt *debt)
{
    debt->since = vclock_now();
    debt->busy = debt_busy(debt, debt->since);
}

/* It was taken: how many of those that were missed meanwhile stay owed. */
static inline uint32_t debt_settle(const struct debt *debt, uint32_t missed, int64_t period)
{
    int64_t now = vclock_now(), late = now - debt->since, ran = debt_busy(debt, now) - debt->busy;
    int64_t stolen = late > ran ? late - ran : 0;
    if (late - stolen < DEBT_SHORT)
        return missed;
    return (uint32_t)MIN(missed, stolen / period);
}

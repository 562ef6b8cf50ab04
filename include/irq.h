/* An interrupt line is a wire: somebody drives a level, one function hears of it. */
#pragma once

#include "types.h"

struct irq {
    void (*set)(void *opaque, int line, bool level);
    void *opaque;
    int line;
};

static inline void irq_set(const struct irq *irq, bool level)
{
    if (irq->set)
        irq->set(irq->opaque, irq->line, level);
}

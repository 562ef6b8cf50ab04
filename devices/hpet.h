/* High precision event timer. */
#pragma once

#include "device.h"
#include "irq.h"

struct hpet;

#define HPET_BASE   0xfed00000u
#define HPET_TIMERS 3

struct hpet_wiring {
    struct irq pin[32];   /* I/O APIC inputs */
    struct irq legacy[2]; /* IRQ 0 and 8, in legacy replacement mode */
    /* Legacy replacement begins or ends: the PIT's and the RTC's own interrupts are off meanwhile. */
    struct irq replaces;
};

struct hpet *hpet_new(const struct hpet_wiring *wiring);
void hpet_free(struct hpet *hpet);

extern const struct device_class hpet_class;

/* High precision event timer. */
#pragma once

#include "acpi.h"
#include "device.h"
#include "irq.h"

struct hpet;

#define HPET_BASE   ACPI_HPET
#define HPET_TIMERS 3
/* The low half of the capabilities register: vendor, 64 bits, legacy replacement, timers, revision. */
#define HPET_BLOCK_ID (0x8086a001u | (HPET_TIMERS - 1) << 8 | 0x2000u)

struct hpet_wiring {
    struct irq pin[32];   /* I/O APIC inputs */
    struct irq legacy[2]; /* IRQ 0 and 8, in legacy replacement mode */
    /* Legacy replacement begins or ends: the PIT's and the RTC's own interrupts are off meanwhile. */
    struct irq replaces;
};

struct hpet *hpet_new(const struct hpet_wiring *wiring);
void hpet_free(struct hpet *hpet);

extern const struct device_class hpet_class;

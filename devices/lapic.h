/* The local APIC of the one processor: vectors by priority, timer, and the pins LINT0 and LINT1. */
#pragma once

#include "device.h"
#include "irq.h"

struct lapic;

#define LAPIC_BASE 0xfee00000u
#define LAPIC_SIZE 0x1000u

struct lapic_wiring {
    struct irq intr;                           /* the processor's INTR */
    struct irq nmi;                            /* pulse: deliver an NMI */
    void (*eoi)(void *opaque, uint8_t vector); /* a level-triggered vector leaves service */
    void *eoi_opaque;
    uint8_t (*pic_ack)(void *opaque); /* the 8259A's INTA cycle behind LINT0 */
    void *pic_opaque;
    bool tsc_deadline; /* the timer has the mode in which it waits for a value of the TSC */
};

struct lapic *lapic_new(const struct lapic_wiring *wiring);
void lapic_free(struct lapic *lapic);
/* A level-triggered vector leaves service; the 8259A's INTA cycle behind LINT0: for chips that come later. */
void lapic_set_eoi_hook(struct lapic *lapic, void (*eoi)(void *opaque, uint8_t vector), void *opaque);
void lapic_set_pic_ack(struct lapic *lapic, uint8_t (*ack)(void *opaque), void *opaque);
/* IA32_APIC_BASE's global enable: off, the pins are INTR and NMI directly. */
void lapic_set_enabled(struct lapic *lapic, bool enabled);
/* IA32_TSC_DEADLINE; when: the time at which the TSC has that value. Reads 0 once that has come. */
void lapic_set_deadline(struct lapic *lapic, uint64_t value, int64_t when);
uint64_t lapic_deadline(const struct lapic *lapic);
/* LINT0: the 8259A's INT output. LINT1: NMI sources. */
void lapic_set_lint0(void *opaque, int line, bool level);
void lapic_set_lint1(void *opaque, int line, bool level);
/* The processor takes an interrupt: returns the vector. */
uint8_t lapic_ack(struct lapic *lapic);

/* Delivery modes of the interrupt command register, LVT and I/O APIC. */
enum apic_mode { APIC_FIXED, APIC_LOWEST, APIC_SMI, APIC_NMI = 4, APIC_INIT, APIC_STARTUP, APIC_EXTINT };
/* A write of a message-signalled interrupt (SDM vol. 3A 10.11). Addresses that are no local APIC's are dropped. */
void lapic_msi(void *opaque, uint64_t address, uint32_t data);
/* A message of the APIC bus. dest: an APIC ID, or with logical set a mask as DFR and LDR say. */
void lapic_message(struct lapic *lapic, uint8_t dest, bool logical, enum apic_mode mode, uint8_t vector, bool level);

extern const struct device_class lapic_class;

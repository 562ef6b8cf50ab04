/* The I/O APIC (82093AA): 24 inputs, each with a redirection table entry. */
#pragma once

#include "device.h"
#include "irq.h"
#include "lapic.h"

struct ioapic;

#define IOAPIC_BASE 0xfec00000u
#define IOAPIC_PINS 24

struct ioapic *ioapic_new(struct lapic *lapic);
void ioapic_free(struct ioapic *ioapic);
/* The irq.h function of the inputs. As with the 8259A, lines 0 to 31 are ISA wires and 32 to 63 the same pins as
 * PCI interrupt routing drives them; a pin is the OR of its two. */
#define IOAPIC_LINE_PCI 32
void ioapic_set_line(void *opaque, int line, bool level);
/* A level-triggered vector left service at a local APIC. */
void ioapic_eoi(void *opaque, uint8_t vector);

extern const struct device_class ioapic_class;

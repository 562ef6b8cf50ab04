/* PIIX3 (82371SB) function 0: the ISA bridge at 00:01.0 with interrupt routing and reset control. */
#pragma once

#include "device.h"
#include "pci.h"

struct piix3;

struct piix3_wiring {
    struct irq irq[16]; /* interrupt controller inputs, as PCI routing drives them */
    struct irq reset;   /* pulse: the reset control register asks for a hard reset */
};

struct piix3 *piix3_new(struct pci_bus *bus, const struct piix3_wiring *wiring);
void piix3_free(struct piix3 *isa);

/* Its config space is saved with the bus. */
extern const struct device_class piix3_class;

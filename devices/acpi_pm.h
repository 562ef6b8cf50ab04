/* PIIX4 power management: ACPI PM1 block, PM timer, general purpose events, soft-off. */
#pragma once

#include "acpi.h"
#include "device.h"
#include "irq.h"
#include "pci.h"

#define ACPI_PM_TIMER_HZ 3579545
#define ACPI_SLP_TYP_S5  0 /* as in the PIIX4: soft-off */
#define ACPI_PM_SIZE     64

struct acpi_pm;

/* sci: the level-triggered system control interrupt. soft_off: pulse, the guest wants to be off.
 * Plugs PCI function 00:01.3. */
struct acpi_pm *acpi_pm_new(struct pci_bus *bus, const struct irq *sci, const struct irq *soft_off);
void acpi_pm_free(struct acpi_pm *pm);

/* The user pressed the power button. */
void acpi_pm_press_power_button(struct acpi_pm *pm);

extern const struct device_class acpi_pm_class;

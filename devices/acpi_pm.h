/* PIIX4 power management: ACPI PM1 block, PM timer, general purpose events, soft-off. */
#pragma once

#include "device.h"
#include "irq.h"
#include "pci.h"

#define ACPI_PM_TIMER_HZ 3579545
/* SMI_CMD and what software writes there; the FADT names the same values. */
#define ACPI_SMI_CMD     0xb2
#define ACPI_SMI_ENABLE  0xf1
#define ACPI_SMI_DISABLE 0xf0
#define ACPI_SLP_TYP_S5  0 /* as in the PIIX4: soft-off */
/* Offsets from the PM base. */
#define ACPI_PM1_EVT 0x00
#define ACPI_PM1_CNT 0x04
#define ACPI_PM_TMR  0x08
#define ACPI_GPE0    0x0c
#define ACPI_PM_SIZE 64

struct acpi_pm;

/* sci: the level-triggered system control interrupt. soft_off: pulse, the guest wants to be off.
 * Plugs PCI function 00:01.3. */
struct acpi_pm *acpi_pm_new(struct pci_bus *bus, const struct irq *sci, const struct irq *soft_off);
void acpi_pm_free(struct acpi_pm *pm);

/* The user pressed the power button. */
void acpi_pm_press_power_button(struct acpi_pm *pm);

extern const struct device_class acpi_pm_class;

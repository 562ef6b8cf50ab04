/* ACPI tables for operating systems booted without a BIOS (see firmware.h); else bios/tables.c has them. */
#pragma once

#include "types.h"

#define ACPI_RSDP_ADDR 0xf0000u
#define ACPI_SCI_IRQ   9
#define ACPI_PM_BASE   0xb000u

/* Puts RSDP, RSDT, FADT, FACS and DSDT into guest memory from ACPI_RSDP_ADDR up. */
void acpi_tables_install(void);

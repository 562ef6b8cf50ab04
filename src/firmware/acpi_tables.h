/* ACPI tables that the machine makes itself: for operating systems booted without a BIOS (see firmware.h), and, through
 * fw_cfg, for a BIOS that is not ours. Ours has its own: bios/tables.c. */
#pragma once

#include "devices/fw_cfg.h"
#include "types.h"

#define ACPI_RSDP_ADDR 0xf0000u
#define ACPI_PM_BASE   0x600u /* where SeaBIOS and U-Boot, too, put the power management block */

/* What is on the board. */
struct acpi_board {
    bool apic, hpet, com2, lpt, floppy;
};

/* Puts RSDP, RSDT, FADT, FACS and DSDT into guest memory from ACPI_RSDP_ADDR up. No MADT: a kernel started without BIOS
 * runs in PIC mode, its local APIC a virtual wire. */
void acpi_tables_install(void);
/* The files from which QEMU's firmware installs them: etc/acpi/tables, etc/acpi/rsdp, etc/table-loader. */
void acpi_tables_offer(struct fw_cfg *fw, const struct acpi_board *board);

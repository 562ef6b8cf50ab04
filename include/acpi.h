/* ACPI: the tables' layouts and what is fixed on this board, for the system BIOS, which builds them from what it finds,
 * and for the monitor, which builds them for another BIOS or for none.
 *
 * ACPI 1.0b, chapter 5; MADT of 2.0, chapter 5.2.10; IA-PC HPET 1.0a, chapter 3.2.4.
 */
#pragma once

#include <stdint.h>

struct acpi_rsdp {
    char signature[8];
    uint8_t checksum;
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt;
} __attribute__((packed));

struct acpi_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem_id[6], oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} __attribute__((packed));

struct acpi_fadt {
    struct acpi_header header;
    uint32_t facs, dsdt;
    uint8_t int_model, reserved1;
    uint16_t sci_int;
    uint32_t smi_cmd;
    uint8_t acpi_enable, acpi_disable, s4bios_req, reserved2;
    uint32_t pm1a_evt_blk, pm1b_evt_blk, pm1a_cnt_blk, pm1b_cnt_blk, pm2_cnt_blk, pm_tmr_blk;
    uint32_t gpe0_blk, gpe1_blk;
    uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_blk_len, gpe1_blk_len, gpe1_base;
    uint8_t reserved3;
    uint16_t p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
    uint8_t duty_offset, duty_width, day_alrm, mon_alrm, century, reserved4[3];
    uint32_t flags;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_fadt) == 116, "FADT of ACPI 1.0");

#define FADT_WBINVD     0x01u
#define FADT_SLP_BUTTON 0x20u /* no sleep button among the fixed features */
#define FADT_FIX_RTC    0x40u /* nor an RTC wake status */

#define P_LVL_NONE 0xfff /* latency that says the state is not there */

struct acpi_facs {
    char signature[4];
    uint32_t length, hardware_signature, waking_vector, global_lock, flags;
    uint8_t reserved[40];
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_facs) == 64, "FACS of ACPI 1.0");

#define MADT_OVERRIDES 4
struct acpi_madt {
    struct acpi_header header;
    uint32_t lapic, flags;
    struct {
        uint8_t type, length, processor, id;
        uint32_t flags;
    } __attribute__((packed)) cpu;
    struct {
        uint8_t type, length, id, reserved;
        uint32_t address, first_gsi;
    } __attribute__((packed)) ioapic;
    struct acpi_override {
        uint8_t type, length, bus, irq;
        uint32_t gsi;
        uint16_t flags;
    } __attribute__((packed)) override[MADT_OVERRIDES];
    struct {
        uint8_t type, length, processor;
        uint16_t flags;
        uint8_t lint;
    } __attribute__((packed)) nmi;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_madt) == 36 + 8 + 8 + 12 + 10 * MADT_OVERRIDES + 6, "MADT of ACPI 2.0");

struct acpi_hpet {
    struct acpi_header header;
    uint32_t block_id;
    uint8_t space, bits, offset, reserved;
    uint64_t address;
    uint8_t number;
    uint16_t min_tick;
    uint8_t protection;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_hpet) == 56, "HPET 1.0a");

/* SMI_CMD and what software writes there; the FADT names the same values. */
#define ACPI_SMI_CMD     0xb2
#define ACPI_SMI_ENABLE  0xf1
#define ACPI_SMI_DISABLE 0xf0
/* Offsets from the PM base. */
#define ACPI_PM1_EVT 0x00
#define ACPI_PM1_CNT 0x04
#define ACPI_PM_TMR  0x08
#define ACPI_GPE0    0x0c

#define ACPI_OEM_ID       "RINGER"
#define ACPI_OEM_TABLE_ID "RINGERPC"
#define ACPI_CREATOR_ID   "RNGR"

#define ACPI_LAPIC     0xfee00000u
#define ACPI_IOAPIC    0xfec00000u
#define ACPI_IOAPIC_ID 1

/* One processor, one I/O APIC whose pins are the ISA bus's lines, but for the 8254, which is on pin 2; the SCI and what
 * PCI is wired to are level-triggered. */
static inline struct acpi_madt acpi_madt_of_board(void)
{
    return (struct acpi_madt){
        .lapic = ACPI_LAPIC,
        .flags = 1, /* there are 8259s, too */
        .cpu = {0, sizeof(((struct acpi_madt *)0)->cpu), 0, 0, 1},
        .ioapic = {1, sizeof(((struct acpi_madt *)0)->ioapic), ACPI_IOAPIC_ID, 0, ACPI_IOAPIC, 0},
        .override =
            {
                {2, sizeof(struct acpi_override), 0, 0, 2, 0},
                {2, sizeof(struct acpi_override), 0, 9, 9, 0x0d},
                {2, sizeof(struct acpi_override), 0, 10, 10, 0x0f},
                {2, sizeof(struct acpi_override), 0, 11, 11, 0x0f},
            },
        .nmi = {4, sizeof(((struct acpi_madt *)0)->nmi), 0xff, 0, 1},
    };
}

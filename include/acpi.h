/* ACPI: the tables' layouts and what is fixed on this board, for the system BIOS, which builds them from what it finds,
 * and for the monitor, which builds them for another BIOS or for none.
 *
 * ACPI 1.0b, chapter 5; MADT of 2.0, chapter 5.2.10; IA-PC HPET 1.0a, chapter 3.2.4.
 */
#pragma once

#include <stdbool.h>
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

#define ACPI_OEM_ID    "RINGER"
#define ACPI_SCI_IRQ   9
#define ACPI_LAPIC     0xfee00000u
#define ACPI_IOAPIC    0xfec00000u
#define ACPI_IOAPIC_ID 1
#define ACPI_HPET      0xfed00000u

/* A table's beginning, without its checksum. */
#define ACPI_HEADER(name, bytes) \
    { \
        .signature = name, .length = (bytes), .revision = 1, .oem_id = ACPI_OEM_ID, .oem_table_id = "RINGERPC", \
        .oem_revision = 1, .creator_id = "RNGR", .creator_revision = 1 \
    }

/* pm_base: of the PIIX4's power management block. Where FACS and DSDT are is the caller's to fill in. */
static inline struct acpi_fadt acpi_fadt_of_board(uint32_t pm_base)
{
    return (struct acpi_fadt){
        .header = ACPI_HEADER("FACP", sizeof(struct acpi_fadt)),
        .sci_int = ACPI_SCI_IRQ,
        .smi_cmd = ACPI_SMI_CMD,
        .acpi_enable = ACPI_SMI_ENABLE,
        .acpi_disable = ACPI_SMI_DISABLE,
        .pm1a_evt_blk = pm_base + ACPI_PM1_EVT,
        .pm1a_cnt_blk = pm_base + ACPI_PM1_CNT,
        .pm_tmr_blk = pm_base + ACPI_PM_TMR,
        .gpe0_blk = pm_base + ACPI_GPE0,
        .pm1_evt_len = 4,
        .pm1_cnt_len = 2,
        .pm_tmr_len = 4,
        .gpe0_blk_len = 4,
        .p_lvl2_lat = P_LVL_NONE,
        .p_lvl3_lat = P_LVL_NONE,
        .century = 0x32, /* its register in the CMOS RAM */
        .flags = FADT_WBINVD | FADT_SLP_BUTTON | FADT_FIX_RTC,
    };
}

/* block_id: the low half of its capabilities. */
static inline struct acpi_hpet acpi_hpet_of_board(uint32_t block_id)
{
    return (struct acpi_hpet){.header = ACPI_HEADER("HPET", sizeof(struct acpi_hpet)),
                              .block_id = block_id,
                              .address = ACPI_HPET,
                              .min_tick = 100};
}

/* One processor, one I/O APIC whose pins are the ISA bus's lines, but for the 8254, which is on pin 2; the SCI and what
 * PCI is wired to are level-triggered. */
static inline struct acpi_madt acpi_madt_of_board(void)
{
    return (struct acpi_madt){
        .header = ACPI_HEADER("APIC", sizeof(struct acpi_madt)),
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

/* Name (NAME, 0x2D) in the compiled DSDT becomes Name (NAME, 0x55): that device is there. The checksum is to be made
 * anew. False: it knows no such name. */
static inline bool acpi_dsdt_enable(uint8_t *aml, uint32_t len, const char name[4])
{
    for (uint32_t at = sizeof(struct acpi_header); at + 7 <= len; at++) {
        const uint8_t *op = aml + at;
        if (op[0] == 0x08 && op[1] == (uint8_t)name[0] && op[2] == (uint8_t)name[1] && op[3] == (uint8_t)name[2] &&
            op[4] == (uint8_t)name[3] && op[5] == 0x0a && op[6] == 0x2d) {
            aml[at + 6] = 0x55;
            return true;
        }
    }
    return false;
}

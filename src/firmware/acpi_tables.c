/* RSDP, RSDT, FADT, FACS and the compiled DSDT, in the segment F0000h where operating systems look.
 *
 * ACPI 1.0b, chapter 5. No MADT: a kernel started without BIOS runs in PIC mode, its local APIC a virtual wire.
 */
#include "acpi_tables.h"

#include <string.h>

#include "devices/acpi_pm.h"
#include "log.h"
#include "mem.h"

extern const uint8_t acpi_dsdt[];
extern const uint32_t acpi_dsdt_size;

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

struct acpi_rsdt {
    struct acpi_header header;
    uint32_t fadt;
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

static uint8_t checksum(const void *bytes, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += ((const uint8_t *)bytes)[i];
    return (uint8_t)-sum;
}

static struct acpi_header header_of(const char *signature, uint32_t length)
{
    struct acpi_header header = {.length = length, .revision = 1, .oem_revision = 1, .creator_revision = 1};
    memcpy(header.signature, signature, 4);
    memcpy(header.oem_id, "RINGER", 6);
    memcpy(header.oem_table_id, "RINGERPC", 8);
    memcpy(header.creator_id, "RNGR", 4);
    return header;
}

void acpi_tables_install(void)
{
    const uint32_t rsdt_addr = ACPI_RSDP_ADDR + 0x40, fadt_addr = ACPI_RSDP_ADDR + 0x80;
    const uint32_t facs_addr = ACPI_RSDP_ADDR + 0x100, dsdt_addr = ACPI_RSDP_ADDR + 0x140;
    assert_always(dsdt_addr + acpi_dsdt_size <= MiB);

    struct acpi_rsdp rsdp = {.rsdt = rsdt_addr};
    memcpy(rsdp.signature, "RSD PTR ", 8);
    memcpy(rsdp.oem_id, "RINGER", 6);
    rsdp.checksum = checksum(&rsdp, sizeof(rsdp));

    struct acpi_rsdt rsdt = {.header = header_of("RSDT", sizeof(rsdt)), .fadt = fadt_addr};
    rsdt.header.checksum = checksum(&rsdt, sizeof(rsdt));

    struct acpi_facs facs = {.length = sizeof(facs)};
    memcpy(facs.signature, "FACS", 4);

    struct acpi_fadt fadt = {
        .header = header_of("FACP", sizeof(fadt)),
        .facs = facs_addr,
        .dsdt = dsdt_addr,
        .sci_int = ACPI_SCI_IRQ,
        .smi_cmd = ACPI_SMI_CMD,
        .acpi_enable = ACPI_SMI_ENABLE,
        .acpi_disable = ACPI_SMI_DISABLE,
        .pm1a_evt_blk = ACPI_PM_BASE + ACPI_PM1_EVT,
        .pm1a_cnt_blk = ACPI_PM_BASE + ACPI_PM1_CNT,
        .pm_tmr_blk = ACPI_PM_BASE + ACPI_PM_TMR,
        .gpe0_blk = ACPI_PM_BASE + ACPI_GPE0,
        .pm1_evt_len = 4,
        .pm1_cnt_len = 2,
        .pm_tmr_len = 4,
        .gpe0_blk_len = 4,
        .p_lvl2_lat = P_LVL_NONE,
        .p_lvl3_lat = P_LVL_NONE,
        .century = 0x32,
        .flags = FADT_WBINVD | FADT_SLP_BUTTON | FADT_FIX_RTC,
    };
    fadt.header.checksum = checksum(&fadt, sizeof(fadt));

    mem_write(ACPI_RSDP_ADDR, &rsdp, sizeof(rsdp));
    mem_write(rsdt_addr, &rsdt, sizeof(rsdt));
    mem_write(fadt_addr, &fadt, sizeof(fadt));
    mem_write(facs_addr, &facs, sizeof(facs));
    mem_write(dsdt_addr, acpi_dsdt, acpi_dsdt_size);
}

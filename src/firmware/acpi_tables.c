/* RSDP, RSDT, FADT, FACS, MADT, HPET and the compiled DSDT: built with pointers that are offsets, then put where they
 * go, by us or by a BIOS that reads them from fw_cfg.
 *
 * ACPI 1.0b, chapter 5; MADT of 2.0; IA-PC HPET 1.0a. The loader's commands: hw/acpi/bios-linker-loader.c of QEMU
 * documents them.
 */
#include "acpi_tables.h"

#include <stddef.h>
#include <string.h>

#include "acpi.h"
#include "devices/acpi_pm.h"
#include "devices/hpet.h"
#include "log.h"
#include "mem.h"

extern const uint8_t acpi_dsdt[];
extern const uint32_t acpi_dsdt_size;

#define RSDT_MAX 4

/* The tables one behind the other; what points into them, and what is summed up. */
struct tables {
    GByteArray *bytes;
    uint32_t pointer[2 + RSDT_MAX], sum[8]; /* places of pointers; starts of tables */
    unsigned pointers, sums;
    uint32_t listed[RSDT_MAX], rsdt; /* tables that the RSDT names, and the RSDT */
    unsigned count;
};

static uint8_t checksum(const void *bytes, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += ((const uint8_t *)bytes)[i];
    return (uint8_t)-sum;
}

/* Appends, on a boundary of 64 bytes; the place. */
static uint32_t table_put(struct tables *tables, const void *table, size_t len)
{
    static const uint8_t zeros[64];
    uint32_t at = (tables->bytes->len + 63) & ~63u;
    g_byte_array_append(tables->bytes, zeros, at - tables->bytes->len);
    g_byte_array_append(tables->bytes, table, (guint)len);
    return at;
}

/* One with a header, which has a checksum. */
static uint32_t table_put_summed(struct tables *tables, const void *table, size_t len)
{
    uint32_t at = table_put(tables, table, len);
    tables->sum[tables->sums++] = at;
    return at;
}

static void table_list(struct tables *tables, const void *table, size_t len)
{
    tables->listed[tables->count++] = table_put_summed(tables, table, len);
}

static void dsdt_enable(uint8_t *aml, const char *name)
{
    bool found = acpi_dsdt_enable(aml, (uint32_t)acpi_dsdt_size, name);
    assert_always(found);
}

static uint32_t dsdt_put(struct tables *tables, const struct acpi_board *board)
{
    uint32_t at = table_put_summed(tables, acpi_dsdt, acpi_dsdt_size);
    uint8_t *aml = tables->bytes->data + at;
    if (board->com2)
        dsdt_enable(aml, "COM2");
    if (board->lpt)
        dsdt_enable(aml, "LPTP");
    if (board->floppy)
        dsdt_enable(aml, "FDCP");
    if (board->hpet)
        dsdt_enable(aml, "HPTP");
    return at;
}

static struct tables tables_build(const struct acpi_board *board)
{
    struct tables tables = {.bytes = g_byte_array_new()};
    const struct acpi_facs facs = {.signature = "FACS", .length = sizeof(facs)};

    struct acpi_fadt fadt = acpi_fadt_of_board(ACPI_PM_BASE);
    fadt.facs = table_put(&tables, &facs, sizeof(facs));
    fadt.dsdt = dsdt_put(&tables, board);
    table_list(&tables, &fadt, sizeof(fadt));
    tables.pointer[tables.pointers++] = tables.listed[0] + (uint32_t)offsetof(struct acpi_fadt, facs);
    tables.pointer[tables.pointers++] = tables.listed[0] + (uint32_t)offsetof(struct acpi_fadt, dsdt);
    if (board->apic) {
        const struct acpi_madt madt = acpi_madt_of_board();
        table_list(&tables, &madt, sizeof(madt));
    }
    if (board->hpet) {
        const struct acpi_hpet hpet = acpi_hpet_of_board(HPET_BLOCK_ID);
        table_list(&tables, &hpet, sizeof(hpet));
    }

    uint8_t rsdt[sizeof(struct acpi_header) + 4 * RSDT_MAX];
    uint32_t len = (uint32_t)sizeof(struct acpi_header) + 4 * tables.count;
    const struct acpi_header header = ACPI_HEADER("RSDT", len);
    memcpy(rsdt, &header, sizeof(header));
    memcpy(rsdt + sizeof(header), tables.listed, 4 * tables.count);
    tables.rsdt = table_put_summed(&tables, rsdt, len);
    for (unsigned i = 0; i < tables.count; i++)
        tables.pointer[tables.pointers++] = tables.rsdt + (uint32_t)sizeof(header) + 4 * i;
    for (unsigned i = 0; i < tables.sums; i++)
        tables.bytes->data[tables.sum[i] + offsetof(struct acpi_header, checksum)] = 0;
    return tables;
}

static struct acpi_rsdp rsdp_build(uint32_t rsdt)
{
    return (struct acpi_rsdp){.signature = "RSD PTR ", .oem_id = ACPI_OEM_ID, .rsdt = rsdt};
}

static uint32_t table_length(const struct tables *tables, uint32_t at)
{
    uint32_t length;
    memcpy(&length, tables->bytes->data + at + offsetof(struct acpi_header, length), 4);
    return length;
}

void acpi_tables_install(void)
{
    const uint32_t base = ACPI_RSDP_ADDR + 0x40;
    struct tables tables = tables_build(&(struct acpi_board){0});
    uint8_t *bytes = tables.bytes->data;
    assert_always(base + tables.bytes->len <= MiB);

    for (unsigned i = 0; i < tables.pointers; i++) {
        uint32_t value;
        memcpy(&value, bytes + tables.pointer[i], 4);
        value += base;
        memcpy(bytes + tables.pointer[i], &value, 4);
    }
    for (unsigned i = 0; i < tables.sums; i++)
        bytes[tables.sum[i] + offsetof(struct acpi_header, checksum)] =
            checksum(bytes + tables.sum[i], table_length(&tables, tables.sum[i]));
    struct acpi_rsdp rsdp = rsdp_build(base + tables.rsdt);
    rsdp.checksum = checksum(&rsdp, sizeof(rsdp));
    mem_write(ACPI_RSDP_ADDR, &rsdp, sizeof(rsdp));
    mem_write(base, bytes, tables.bytes->len);
    g_byte_array_unref(tables.bytes);
}

/* --- For another BIOS --- */

#define FILE_TABLES "etc/acpi/tables"
#define FILE_RSDP   "etc/acpi/rsdp"

#define LOADER_ALLOCATE     1u
#define LOADER_ADD_POINTER  2u
#define LOADER_ADD_CHECKSUM 3u

#define ZONE_HIGH 1
#define ZONE_FSEG 2 /* F0000h up, where the RSDP is searched for */

struct loader_command {
    uint32_t command;
    union {
        struct {
            char file[56];
            uint32_t align;
            uint8_t zone;
        } __attribute__((packed)) allocate;
        struct {
            char in[56], to[56];
            uint32_t offset;
            uint8_t size;
        } __attribute__((packed)) pointer;
        struct {
            char file[56];
            uint32_t offset, start, length;
        } __attribute__((packed)) checksum;
        uint8_t bytes[124];
    };
} __attribute__((packed));
_Static_assert(sizeof(struct loader_command) == 128, "as firmware reads them");

static void loader_allocate(GByteArray *script, const char *file, uint8_t zone)
{
    struct loader_command command = {.command = LOADER_ALLOCATE, .allocate = {.align = 64, .zone = zone}};
    g_strlcpy(command.allocate.file, file, sizeof(command.allocate.file));
    g_byte_array_append(script, (const uint8_t *)&command, sizeof(command));
}

static void loader_pointer(GByteArray *script, const char *in, uint32_t offset)
{
    struct loader_command command = {.command = LOADER_ADD_POINTER, .pointer = {.offset = offset, .size = 4}};
    g_strlcpy(command.pointer.in, in, sizeof(command.pointer.in));
    g_strlcpy(command.pointer.to, FILE_TABLES, sizeof(command.pointer.to));
    g_byte_array_append(script, (const uint8_t *)&command, sizeof(command));
}

static void loader_checksum(GByteArray *script, const char *file, uint32_t offset, uint32_t start, uint32_t length)
{
    struct loader_command command = {.command = LOADER_ADD_CHECKSUM,
                                     .checksum = {.offset = offset, .start = start, .length = length}};
    g_strlcpy(command.checksum.file, file, sizeof(command.checksum.file));
    g_byte_array_append(script, (const uint8_t *)&command, sizeof(command));
}

void acpi_tables_offer(struct fw_cfg *fw, const struct acpi_board *board)
{
    struct tables tables = tables_build(board);
    struct acpi_rsdp rsdp = rsdp_build(tables.rsdt);
    GByteArray *script = g_byte_array_new();

    loader_allocate(script, FILE_TABLES, ZONE_HIGH);
    loader_allocate(script, FILE_RSDP, ZONE_FSEG);
    for (unsigned i = 0; i < tables.pointers; i++)
        loader_pointer(script, FILE_TABLES, tables.pointer[i]);
    loader_pointer(script, FILE_RSDP, (uint32_t)offsetof(struct acpi_rsdp, rsdt));
    for (unsigned i = 0; i < tables.sums; i++)
        loader_checksum(script, FILE_TABLES, tables.sum[i] + (uint32_t)offsetof(struct acpi_header, checksum),
                        tables.sum[i], table_length(&tables, tables.sum[i]));
    loader_checksum(script, FILE_RSDP, (uint32_t)offsetof(struct acpi_rsdp, checksum), 0, sizeof(rsdp));

    fw_cfg_add_file(fw, FILE_TABLES, tables.bytes->data, tables.bytes->len);
    fw_cfg_add_file(fw, FILE_RSDP, &rsdp, sizeof(rsdp));
    fw_cfg_add_file(fw, "etc/table-loader", script->data, script->len);
    g_byte_array_unref(script);
    g_byte_array_unref(tables.bytes);
}

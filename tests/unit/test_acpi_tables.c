/* ACPI tables through fw_cfg: the loader's script is carried out as a BIOS does it, then all is where it should be. */
#include "board.h"
#include "firmware/acpi_tables.h"
#include "mem.h"

#define TABLES_AT 0x200000u
#define RSDP_AT   0xf6000u

static struct fw_cfg *fw;

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static GByteArray *file_read(const char *name)
{
    uint8_t entry[64], count[4];
    ioport_write(0x510, 2, FW_CFG_FILE_DIR);
    for (unsigned i = 0; i < 4; i++)
        count[i] = inb(0x511);
    for (uint32_t n = be32(count); n; n--) {
        for (unsigned i = 0; i < 64; i++)
            entry[i] = inb(0x511);
        if (strcmp((char *)entry + 8, name) != 0)
            continue;
        GByteArray *bytes = g_byte_array_new();
        ioport_write(0x510, 2, (uint32_t)(entry[4] << 8 | entry[5]));
        for (uint32_t i = be32(entry); i; i--) {
            uint8_t byte = inb(0x511);
            g_byte_array_append(bytes, &byte, 1);
        }
        return bytes;
    }
    g_error("there is no %s", name);
}

struct pointer {
    char in[56], to[56];
    uint32_t offset;
    uint8_t size;
} __attribute__((packed));

struct sum {
    char file[56];
    uint32_t offset, start, length;
} __attribute__((packed));

static uint32_t address_of(const char *file)
{
    return strcmp(file, "etc/acpi/tables") == 0 ? TABLES_AT : strcmp(file, "etc/acpi/rsdp") == 0 ? RSDP_AT : 0;
}

static uint32_t get32(uint32_t at)
{
    uint32_t value;
    mem_read(at, &value, 4);
    return value;
}

static void put32(uint32_t at, uint32_t value)
{
    mem_write(at, &value, 4);
}

static uint8_t sum_of(uint32_t at, uint32_t length)
{
    uint8_t sum = 0, byte;
    for (uint32_t i = 0; i < length; i++) {
        mem_read(at + i, &byte, 1);
        sum += byte;
    }
    return sum;
}

static void script_run(const struct acpi_board *board)
{
    ioport_clear();
    fw = fw_cfg_new();
    acpi_tables_offer(fw, board);
    GByteArray *script = file_read("etc/table-loader");
    g_assert_cmpuint(script->len % 128, ==, 0);
    for (guint at = 0; at < script->len; at += 128) {
        uint32_t command;
        const uint8_t *rest = script->data + at + 4;
        memcpy(&command, script->data + at, 4);
        if (command == 1) {
            GByteArray *bytes = file_read((const char *)rest);
            uint32_t to = address_of((const char *)rest);
            g_assert_cmpuint(rest[60], ==, to == RSDP_AT ? 2 : 1);
            mem_write(to, bytes->data, bytes->len);
            g_byte_array_unref(bytes);
        } else if (command == 2) {
            const struct pointer *pointer = (const struct pointer *)rest;
            uint32_t place = address_of(pointer->in) + pointer->offset;
            g_assert_cmpuint(pointer->size, ==, 4);
            put32(place, get32(place) + address_of(pointer->to));
        } else if (command == 3) {
            const struct sum *sum = (const struct sum *)rest;
            uint32_t file = address_of(sum->file);
            uint8_t value = sum_of(file + sum->start, sum->length);
            uint8_t old;
            mem_read(file + sum->offset, &old, 1);
            value = (uint8_t)(old - value);
            mem_write(file + sum->offset, &value, 1);
        } else {
            g_error("command %u", command);
        }
    }
    g_byte_array_unref(script);
    fw_cfg_free(fw);
}

/* The table's address, found as an operating system finds it. */
static uint32_t table_find(const char *signature)
{
    char text[8];
    mem_read(RSDP_AT, text, 8);
    g_assert_cmpmem(text, 8, "RSD PTR ", 8);
    g_assert_cmphex(sum_of(RSDP_AT, 20), ==, 0);
    uint32_t rsdt = get32(RSDP_AT + 16);
    g_assert_cmphex(sum_of(rsdt, get32(rsdt + 4)), ==, 0);
    for (uint32_t at = rsdt + 36; at < rsdt + get32(rsdt + 4); at += 4) {
        uint32_t table = get32(at);
        mem_read(table, text, 4);
        g_assert_cmphex(sum_of(table, get32(table + 4)), ==, 0);
        if (memcmp(text, signature, 4) == 0)
            return table;
    }
    return 0;
}

static bool aml_has(uint32_t dsdt, const char *name, uint8_t value)
{
    uint8_t want[7] = {0x08, 0, 0, 0, 0, 0x0a, value}, bytes[7];
    memcpy(want + 1, name, 4);
    for (uint32_t at = dsdt; at < dsdt + get32(dsdt + 4); at++) {
        mem_read(at, bytes, 7);
        if (memcmp(bytes, want, 7) == 0)
            return true;
    }
    return false;
}

static void test_full_board(void)
{
    char text[4];
    script_run(&(struct acpi_board){.apic = true, .hpet = true, .com2 = true, .floppy = true});
    uint32_t fadt = table_find("FACP"), madt = table_find("APIC"), hpet = table_find("HPET");
    g_assert_true(fadt && madt && hpet);
    g_assert_cmphex(get32(fadt + 56), ==, ACPI_PM_BASE);
    g_assert_cmphex(get32(fadt + 36) & 63, ==, 0); /* the FACS, on its boundary */
    mem_read(get32(fadt + 36), text, 4);
    g_assert_cmpmem(text, 4, "FACS", 4);
    uint32_t dsdt = get32(fadt + 40);
    mem_read(dsdt, text, 4);
    g_assert_cmpmem(text, 4, "DSDT", 4);
    g_assert_cmphex(sum_of(dsdt, get32(dsdt + 4)), ==, 0);
    g_assert_true(aml_has(dsdt, "COM2", 0x55) && aml_has(dsdt, "FDCP", 0x55) && aml_has(dsdt, "HPTP", 0x55));
    g_assert_true(aml_has(dsdt, "LPTP", 0x2d));
    g_assert_cmphex(get32(madt + 36), ==, 0xfee00000);
    g_assert_cmphex(get32(madt + 44 + 8 + 4), ==, 0xfec00000);
    g_assert_cmphex(get32(hpet + 44), ==, 0xfed00000);
}

static void test_small_board(void)
{
    script_run(&(struct acpi_board){0});
    uint32_t fadt = table_find("FACP");
    g_assert_true(fadt && !table_find("APIC") && !table_find("HPET"));
    g_assert_true(aml_has(get32(fadt + 40), "COM2", 0x2d));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_true(mem_init(4 * MiB, NULL));
    g_test_add_func("/acpi_tables/full_board", test_full_board);
    g_test_add_func("/acpi_tables/small_board", test_small_board);
    return g_test_run();
}

/* The parts of the BIOS that touch no hardware. */
#include <glib.h>
#include <string.h>

#include "pure.h"

/* --- Disk geometry --- */

static void put_partition(uint8_t *mbr, uint32_t start, uint32_t size, unsigned cylinder, unsigned head,
                          unsigned sector)
{
    uint8_t *p = mbr + 446;
    memset(mbr, 0, 512);
    p[0] = 0x80;
    p[4] = 0x83;
    p[5] = (uint8_t)head;
    p[6] = (uint8_t)(sector | (cylinder >> 2 & 0xc0));
    p[7] = (uint8_t)cylinder;
    for (unsigned i = 0; i < 4; i++) {
        p[8 + i] = (uint8_t)(start >> 8 * i);
        p[12 + i] = (uint8_t)(size >> 8 * i);
    }
    mbr[510] = 0x55;
    mbr[511] = 0xaa;
}

static void check_geometry(struct geometry g, uint32_t cylinders, unsigned heads, unsigned sectors)
{
    g_assert_cmpuint(g.cylinders, ==, cylinders);
    g_assert_cmpuint(g.heads, ==, heads);
    g_assert_cmpuint(g.sectors, ==, sectors);
}

static void test_small_disk_is_not_translated(void)
{
    struct geometry physical = {800, 16, 63};
    check_geometry(geometry_translate(physical, 800 * 16 * 63, NULL), 800, 16, 63);
    struct geometry old = {615, 4, 17};
    check_geometry(geometry_translate(old, 615 * 4 * 17, NULL), 615, 4, 17);
}

static void test_lba_assist(void)
{
    struct geometry physical = {16383, 16, 63};
    check_geometry(geometry_translate(physical, 2u * 1024 * 1024, NULL), 2u * 1024 * 1024 / (63 * 64), 64, 63);
    check_geometry(geometry_translate(physical, 1024ull * 63 * 16 + 1, NULL), 512, 32, 63);
    check_geometry(geometry_translate(physical, 1024ull * 63 * 128, NULL), 1024, 128, 63);
    check_geometry(geometry_translate(physical, 1024ull * 63 * 128 + 1, NULL), 514, 255, 63);
    check_geometry(geometry_translate(physical, 16ull << 30, NULL), 1024, 255, 63);
    check_geometry(geometry_translate(physical, 1ull << 40, NULL), 1024, 255, 63);
}

static void test_partition_table_has_the_word(void)
{
    uint8_t mbr[512];
    struct geometry physical = {16383, 16, 63};
    /* Partitioned with 128 heads: one partition up to the end of cylinder 99. */
    put_partition(mbr, 63, 100 * 128 * 63 - 63, 99, 127, 63);
    check_geometry(geometry_translate(physical, 2u * 1024 * 1024, mbr), 2u * 1024 * 1024 / (128 * 63), 128, 63);
}

static void test_partition_table_without_geometry(void)
{
    uint8_t mbr[512];
    struct geometry physical = {16383, 16, 63};
    /* Aligned to MiB, CHS fields at their maximum: says nothing. */
    put_partition(mbr, 2048, 4000000, 1023, 254, 63);
    check_geometry(geometry_translate(physical, 2u * 1024 * 1024, mbr), 2u * 1024 * 1024 / (64 * 63), 64, 63);
    /* No signature: not a partition table. */
    put_partition(mbr, 63, 100 * 128 * 63 - 63, 99, 127, 63);
    mbr[510] = 0;
    check_geometry(geometry_translate(physical, 2u * 1024 * 1024, mbr), 2u * 1024 * 1024 / (64 * 63), 64, 63);
    memset(mbr, 0xff, 512);
    geometry_translate(physical, 2u * 1024 * 1024, mbr); /* nothing to divide by */
}

static void test_chs_to_lba(void)
{
    struct geometry g = {100, 16, 63};
    uint32_t lba;
    g_assert_true(geometry_to_lba(&g, 0, 0, 1, &lba));
    g_assert_cmpuint(lba, ==, 0);
    g_assert_true(geometry_to_lba(&g, 99, 15, 63, &lba));
    g_assert_cmpuint(lba, ==, 100 * 16 * 63 - 1);
    g_assert_false(geometry_to_lba(&g, 100, 0, 1, &lba));
    g_assert_false(geometry_to_lba(&g, 0, 16, 1, &lba));
    g_assert_false(geometry_to_lba(&g, 0, 0, 0, &lba));
    g_assert_false(geometry_to_lba(&g, 0, 0, 64, &lba));
}

static void test_floppy_sizes(void)
{
    check_geometry(geometry_of_floppy(720), 40, 2, 9);
    check_geometry(geometry_of_floppy(2400), 80, 2, 15);
    check_geometry(geometry_of_floppy(2880), 80, 2, 18);
    check_geometry(geometry_of_floppy(5760), 80, 2, 36);
    check_geometry(geometry_of_floppy(1000), 0, 0, 0);
}

/* --- Memory map --- */

static void test_e820(void)
{
    struct e820_entry map[E820_MAX];
    unsigned n = e820_build(map, 0x9fc00, 0x8000000, 0);
    g_assert_cmpuint(n, <=, E820_MAX);
    for (unsigned i = 1; i < n; i++)
        g_assert_cmpuint(map[i].base, >=, map[i - 1].base + map[i - 1].size);
    uint64_t ram = 0;
    for (unsigned i = 0; i < n; i++)
        ram += map[i].type == E820_RAM ? map[i].size : 0;
    g_assert_cmpuint(ram, ==, 0x9fc00 + 0x8000000 - 0x100000);
}

static void test_e820_no_extended_memory(void)
{
    struct e820_entry map[E820_MAX];
    unsigned n = e820_build(map, 0x9fc00, 0x100000, 0);
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpuint(map[i].size, >, 0);
        g_assert_false(map[i].base == 0x100000);
    }
}

static void test_e820_above_4g(void)
{
    struct e820_entry map[E820_MAX];
    unsigned n = e820_build(map, 0x9fc00, 0xe0000000u, 0x20000000);
    g_assert_cmpuint(n, <=, E820_MAX);
    g_assert_cmpuint(map[n - 1].base, ==, 1ull << 32);
    g_assert_cmpuint(map[n - 1].size, ==, 0x20000000);
    g_assert_cmpuint(map[n - 1].type, ==, E820_RAM);
}

/* --- Keys --- */

static void test_letters(void)
{
    g_assert_cmphex(keymap_translate(0x1e, false, 0), ==, 0x1e61);
    g_assert_cmphex(keymap_translate(0x1e, false, 0x01), ==, 0x1e41);
    g_assert_cmphex(keymap_translate(0x1e, false, 0x40), ==, 0x1e41); /* Caps Lock */
    g_assert_cmphex(keymap_translate(0x1e, false, 0x42), ==, 0x1e61); /* and shift */
    g_assert_cmphex(keymap_translate(0x1e, false, 0x04), ==, 0x1e01);
    g_assert_cmphex(keymap_translate(0x1e, false, 0x08), ==, 0x1e00);
    static const char row[] = "qwertyuiop";
    for (unsigned i = 0; i < 10; i++)
        g_assert_cmphex(keymap_translate((uint8_t)(0x10 + i), false, 0), ==, (0x10 + i) << 8 | row[i]);
}

static void test_every_shift_of_digits(void)
{
    static const char plain[] = "1234567890-=", shifted[] = "!@#$%^&*()_+";
    for (unsigned i = 0; i < 12; i++) {
        g_assert_cmphex(keymap_translate((uint8_t)(2 + i), false, 0), ==, (2 + i) << 8 | plain[i]);
        g_assert_cmphex(keymap_translate((uint8_t)(2 + i), false, 0x02), ==, (2 + i) << 8 | shifted[i]);
        g_assert_cmphex(keymap_translate((uint8_t)(2 + i), false, 0x08), ==, (0x78 + i) << 8);
        g_assert_cmphex(keymap_translate((uint8_t)(2 + i), false, 0x40), ==, (2 + i) << 8 | plain[i]);
    }
}

static void test_function_keys(void)
{
    for (unsigned i = 0; i < 10; i++) {
        g_assert_cmphex(keymap_translate((uint8_t)(0x3b + i), false, 0), ==, (0x3b + i) << 8);
        g_assert_cmphex(keymap_translate((uint8_t)(0x3b + i), false, 1), ==, (0x54 + i) << 8);
        g_assert_cmphex(keymap_translate((uint8_t)(0x3b + i), false, 4), ==, (0x5e + i) << 8);
        g_assert_cmphex(keymap_translate((uint8_t)(0x3b + i), false, 8), ==, (0x68 + i) << 8);
    }
    g_assert_cmphex(keymap_translate(0x57, false, 0), ==, 0x8500);
    g_assert_cmphex(keymap_translate(0x58, false, 8), ==, 0x8c00);
}

static void test_keypad_and_num_lock(void)
{
    g_assert_cmphex(keymap_translate(0x47, false, 0), ==, 0x4700);
    g_assert_cmphex(keymap_translate(0x47, false, 0x20), ==, 0x4737);
    g_assert_cmphex(keymap_translate(0x47, false, 0x22), ==, 0x4700);
    g_assert_cmphex(keymap_translate(0x47, true, 0x20), ==, 0x47e0); /* the grey key does not care */
    g_assert_cmphex(keymap_translate(0x53, false, 0x20), ==, 0x532e);
}

static void test_unknown_keys(void)
{
    g_assert_cmphex(keymap_translate(0x00, false, 0), ==, 0);
    g_assert_cmphex(keymap_translate(0x7f, false, 0), ==, 0);
    g_assert_cmphex(keymap_translate(0x5b, true, 0), ==, 0);
    for (unsigned code = 0; code < 256; code++) {
        for (unsigned flags = 0; flags < 256; flags++)
            keymap_translate((uint8_t)code, flags & 1, (uint8_t)flags); /* no code is out of bounds */
    }
}

/* --- El Torito --- */

static void make_volume(uint8_t *sector)
{
    memset(sector, 0, 2048);
    memcpy(sector, "\0CD001\1EL TORITO SPECIFICATION", 30);
    sector[0x47] = 0x13;
    sector[0x48] = 0x02;
}

static void make_catalog(uint8_t *catalog)
{
    memset(catalog, 0, 64);
    catalog[0] = 1;
    catalog[30] = 0x55;
    catalog[31] = 0xaa;
    uint16_t sum = 0;
    for (unsigned i = 0; i < 32; i += 2)
        sum = (uint16_t)(sum + (catalog[i] | catalog[i + 1] << 8));
    catalog[28] = (uint8_t)-sum;
    catalog[29] = (uint8_t)(-sum >> 8);
    catalog[32] = 0x88;
    catalog[38] = 4;
    catalog[40] = 0x34;
    catalog[41] = 0x12;
}

static void test_boot_record(void)
{
    uint8_t sector[2048];
    uint32_t lba;
    make_volume(sector);
    g_assert_true(eltorito_volume(sector, &lba));
    g_assert_cmphex(lba, ==, 0x213);
    sector[0] = 1; /* a primary volume descriptor */
    g_assert_false(eltorito_volume(sector, &lba));
    make_volume(sector);
    sector[7] = 'e';
    g_assert_false(eltorito_volume(sector, &lba));
}

static void test_boot_catalog(void)
{
    uint8_t catalog[64];
    struct eltorito e;
    make_catalog(catalog);
    g_assert_true(eltorito_entry(catalog, &e));
    g_assert_cmphex(e.lba, ==, 0x1234);
    g_assert_cmpuint(e.sectors, ==, 4);
    g_assert_cmphex(e.load_seg, ==, 0x7c0);
    g_assert_cmpuint(e.media, ==, 0);
}

static void test_boot_catalog_is_checked(void)
{
    uint8_t catalog[64];
    struct eltorito e;
    make_catalog(catalog);
    catalog[4] ^= 1; /* checksum */
    g_assert_false(eltorito_entry(catalog, &e));
    make_catalog(catalog);
    catalog[32] = 0x00; /* not bootable */
    g_assert_false(eltorito_entry(catalog, &e));
    make_catalog(catalog);
    catalog[33] = 9; /* no such medium */
    g_assert_false(eltorito_entry(catalog, &e));
    make_catalog(catalog);
    catalog[30] = 0;
    g_assert_false(eltorito_entry(catalog, &e));
}

/* --- Numbers --- */

static void test_checksum(void)
{
    uint8_t bytes[256], sum = 0;
    for (unsigned i = 0; i < 255; i++)
        bytes[i] = (uint8_t)(i * 7);
    bytes[255] = checksum(bytes, 255);
    for (unsigned i = 0; i < 256; i++)
        sum = (uint8_t)(sum + bytes[i]);
    g_assert_cmphex(sum, ==, 0);
}

static void test_bcd(void)
{
    for (unsigned i = 0; i < 100; i++)
        g_assert_cmpuint(bcd_value(bcd_of((uint8_t)i)), ==, i);
    g_assert_cmphex(bcd_of(59), ==, 0x59);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bios/geometry/small_disk_is_not_translated", test_small_disk_is_not_translated);
    g_test_add_func("/bios/geometry/lba_assist", test_lba_assist);
    g_test_add_func("/bios/geometry/partition_table_has_the_word", test_partition_table_has_the_word);
    g_test_add_func("/bios/geometry/partition_table_without_geometry", test_partition_table_without_geometry);
    g_test_add_func("/bios/geometry/chs_to_lba", test_chs_to_lba);
    g_test_add_func("/bios/geometry/floppy_sizes", test_floppy_sizes);
    g_test_add_func("/bios/e820/map", test_e820);
    g_test_add_func("/bios/e820/no_extended_memory", test_e820_no_extended_memory);
    g_test_add_func("/bios/e820/above_4g", test_e820_above_4g);
    g_test_add_func("/bios/keys/letters", test_letters);
    g_test_add_func("/bios/keys/every_shift_of_digits", test_every_shift_of_digits);
    g_test_add_func("/bios/keys/function_keys", test_function_keys);
    g_test_add_func("/bios/keys/keypad_and_num_lock", test_keypad_and_num_lock);
    g_test_add_func("/bios/keys/unknown_keys", test_unknown_keys);
    g_test_add_func("/bios/eltorito/boot_record", test_boot_record);
    g_test_add_func("/bios/eltorito/boot_catalog", test_boot_catalog);
    g_test_add_func("/bios/eltorito/boot_catalog_is_checked", test_boot_catalog_is_checked);
    g_test_add_func("/bios/numbers/checksum", test_checksum);
    g_test_add_func("/bios/numbers/bcd", test_bcd);
    return g_test_run();
}

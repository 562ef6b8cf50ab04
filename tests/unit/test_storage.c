/* What CMOS RAM says of drives, and how geometry is guessed from a partition table. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board.h"
#include "board/registry.h"
#include "board/storage.h"
#include "devices/rtc.h"
#include "mem.h"

static char *folder;
static struct registry *registry;
static struct rtc *rtc;
static struct storage storage;

static char *file_make(const char *name, uint64_t size, const void *head, size_t head_len)
{
    char *path = g_build_filename(folder, name, NULL);
    g_assert_true(g_file_set_contents(path, head ? head : "", (gssize)head_len, NULL));
    g_assert_cmpint(truncate(path, (off_t)size), ==, 0);
    return path;
}

static const struct device_drive *find_drive(void *opaque, const char *id)
{
    return storage_find(&storage, id);
}

static bool try_build(struct drive_options *drives, GError **error)
{
    static const char *const rows[] = {"i440FX-pcihost", "mc146818rtc", "piix3-ide", "i8257", "isa-fdc"};
    const struct registry_backends backends = {.drive = find_drive};

    ioport_clear();
    vclock_fake_start();
    g_assert_true(drives_settle(drives, NULL));
    memset(&storage, 0, sizeof(storage));
    g_assert_true(mem_init(4 * MiB, NULL));
    registry = registry_new(&backends);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        g_assert_true(registry_add_row(registry, rows[i], NULL));
    rtc = board_service(registry_board(registry), "rtc");
    rtc_set_cmos(rtc, 0x14, 0x06);
    return storage_open(&storage, drives, error) && storage_add_devices(&storage, registry, error) &&
           storage_settle(&storage, registry, rtc, error);
}

static void build(struct drive_options *drives)
{
    GError *error = NULL;
    try_build(drives, &error);
    g_assert_no_error(error);
}

static void destroy(void)
{
    storage_close(&storage);
    registry_free(registry);
    storage_free(&storage);
    mem_destroy();
}

static uint16_t cmos16(uint8_t index)
{
    return (uint16_t)(rtc_get_cmos(rtc, index) | rtc_get_cmos(rtc, index + 1) << 8);
}

static void test_nothing(void)
{
    struct drive_options drives = {.no_defaults = true};
    build(&drives);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x10), ==, 0x00);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x12), ==, 0x00);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x14), ==, 0x06);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x39), ==, 0x00);
    destroy();
}

static void test_floppies(void)
{
    char *a = file_make("a", 1228800, NULL, 0), *b = file_make("b", 2949120, NULL, 0);
    struct drive_options drives = {0};
    drives_set_file(&drives, "fda", a, NULL);
    drives_set_file(&drives, "fdb", b, NULL);
    build(&drives);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x10), ==, 0x25); /* 1.2M, 2.88M */
    g_assert_cmphex(rtc_get_cmos(rtc, 0x14), ==, 0x47); /* two drives */
    destroy();
    struct drive_options empty = {0};
    build(&empty);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x10), ==, 0x50); /* an empty 2.88M drive, as QEMU's */
    g_assert_cmphex(rtc_get_cmos(rtc, 0x14), ==, 0x07);
    destroy();
    g_free(a);
    g_free(b);
}

static void test_disk_type_47(void)
{
    char *a = file_make("disk", 500ull * 16 * 63 * 512, NULL, 0);
    struct drive_options drives = {0};
    drives_set_file(&drives, "hdb", a, NULL);
    build(&drives);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x12), ==, 0x0f);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x1a), ==, 47);
    g_assert_cmpuint(cmos16(0x24), ==, 500);
    g_assert_cmpuint(rtc_get_cmos(rtc, 0x26), ==, 16);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x29), ==, 0xc8);
    g_assert_cmpuint(rtc_get_cmos(rtc, 0x2c), ==, 63);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x39), ==, 0x00); /* 1024 cylinders or less need no translation */
    destroy();
    g_free(a);
}

static void test_translation_by_size(void)
{
    char *a = file_make("large", 2ull << 30, NULL, 0), *b = file_make("huge", 100ull << 30, NULL, 0);
    struct drive_options drives = {0};
    drives_set_file(&drives, "hda", a, NULL);
    drives_set_file(&drives, "hdd", b, NULL);
    build(&drives);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x39), ==, 0x42); /* LARGE for drive 0, LBA for drive 3 */
    g_assert_cmpuint(cmos16(0x1b), ==, 4161);
    destroy();
    g_free(a);
    g_free(b);
}

static void mbr_make(uint8_t mbr[512], unsigned heads, unsigned sectors, uint32_t count)
{
    memset(mbr, 0, 512);
    mbr[446 + 4] = 0x06;
    mbr[446 + 5] = (uint8_t)(heads - 1);
    mbr[446 + 6] = (uint8_t)sectors;
    memcpy(mbr + 446 + 12, &count, 4);
    mbr[510] = 0x55;
    mbr[511] = 0xaa;
}

static void test_geometry_of_the_partition_table(void)
{
    uint8_t mbr[512];
    mbr_make(mbr, 4, 17, 40000);
    char *a = file_make("old", 615ull * 4 * 17 * 512, mbr, sizeof(mbr));
    mbr_make(mbr, 255, 63, 4000000);
    char *b = file_make("new", 4ull << 30, mbr, sizeof(mbr));
    struct drive_options drives = {0};
    drives_set_file(&drives, "hda", a, NULL);
    drives_set_file(&drives, "hdb", b, NULL);
    build(&drives);
    g_assert_cmpuint(cmos16(0x1b), ==, 615); /* the drive that the table was made for */
    g_assert_cmpuint(rtc_get_cmos(rtc, 0x1d), ==, 4);
    g_assert_cmpuint(rtc_get_cmos(rtc, 0x23), ==, 17);
    g_assert_cmpuint(rtc_get_cmos(rtc, 0x26), ==, 16); /* 255 heads are a BIOS's, not the drive's */
    g_assert_cmphex(rtc_get_cmos(rtc, 0x39), ==, 0x04);
    destroy();
    g_free(a);
    g_free(b);
}

static void test_boot_order(void)
{
    struct drive_options drives = {0};
    drives_set_boot(&drives, "order=cda,once=n", NULL);
    build(&drives);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x3d), ==, 0x04);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x38), ==, 0x00);
    storage_end_boot_once(&storage);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x3d), ==, 0x32);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x38), ==, 0x10);
    destroy();
    drives.no_floppy_signature = true;
    build(&drives);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x38), ==, 0x01);
    storage_end_boot_once(&storage);
    g_assert_cmphex(rtc_get_cmos(rtc, 0x38), ==, 0x11);
    destroy();
}

static void test_too_large_for_a_floppy(void)
{
    char *a = file_make("big", 3 << 20, NULL, 0);
    struct drive_options drives = {0};
    GError *error = NULL;
    drives_set_file(&drives, "fda", a, NULL);
    g_assert_false(try_build(&drives, &error));
    g_assert_nonnull(strstr(error->message, "larger than any floppy"));
    g_error_free(error);
    destroy();
    g_free(a);
}

#define TEST(name) g_test_add_func("/storage/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("ringer-test-XXXXXX", NULL);
    TEST(nothing);
    TEST(floppies);
    TEST(disk_type_47);
    TEST(translation_by_size);
    TEST(geometry_of_the_partition_table);
    TEST(boot_order);
    TEST(too_large_for_a_floppy);
    int status = g_test_run();
    char *command = g_strdup_printf("rm -rf '%s'", folder);
    if (system(command) != 0)
        status = 1;
    g_free(command);
    g_free(folder);
    return status;
}

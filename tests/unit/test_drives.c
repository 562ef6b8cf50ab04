/* The drive flags: which drive each means, what -drive's keys say, what is refused. */
#include <glib.h>
#include <string.h>

#include "board/drives.h"

static void fails(bool ok, GError *error, const char *sentence)
{
    g_assert_false(ok);
    g_assert_nonnull(error);
    if (!strstr(error->message, sentence))
        g_error("'%s' does not say '%s'", error->message, sentence);
    g_error_free(error);
}

static struct drive_options settled(const char *const *flags)
{
    struct drive_options drives = {0};
    GError *error = NULL;
    for (; flags[0]; flags += 2) {
        if (strcmp(flags[0], "drive") == 0)
            g_assert_true(drives_set_drive(&drives, flags[1], &error));
        else if (strcmp(flags[0], "boot") == 0)
            g_assert_true(drives_set_boot(&drives, flags[1], &error));
        else
            g_assert_true(drives_set_file(&drives, flags[0], flags[1], &error));
        g_assert_no_error(error);
    }
    g_assert_true(drives_settle(&drives, &error));
    return drives;
}
#define SETTLED(...) settled((const char *const[]){__VA_ARGS__, NULL})

static void drive_fails(const char *arg, const char *sentence)
{
    struct drive_options drives = {0};
    GError *error = NULL;
    bool ok = drives_set_drive(&drives, arg, &error);
    fails(ok, error, sentence);
}

static void test_short_flags(void)
{
    struct drive_options d = SETTLED("hda", "a", "hdb", "b", "cdrom", "c", "hdd", "d", "fda", "e", "fdb", "f");
    g_assert_cmpstr(d.ide[0].image.path, ==, "a");
    g_assert_cmpstr(d.ide[1].image.path, ==, "b");
    g_assert_cmpstr(d.ide[2].image.path, ==, "c");
    g_assert_cmpstr(d.ide[3].image.path, ==, "d");
    g_assert_true(d.ide[2].is_cd && d.ide[2].image.read_only);
    g_assert_false(d.ide[3].is_cd || d.ide[3].image.read_only);
    g_assert_cmpstr(d.floppy[0].image.path, ==, "e");
    g_assert_cmpstr(d.floppy[1].image.path, ==, "f");
    d = SETTLED("drive", "file=x,if=virtio", "drive", "file=y,if=virtio,index=7", "drive", "file=z,if=virtio");
    g_assert_cmpstr(d.virtio[0].image.path, ==, "x");
    g_assert_cmpstr(d.virtio[7].image.path, ==, "y");
    g_assert_cmpstr(d.virtio[1].image.path, ==, "z");
    g_assert_false(d.ide[0].present);
}

static void test_defaults(void)
{
    struct drive_options d = SETTLED("hda", "a");
    g_assert_true(d.ide[2].present && d.ide[2].is_cd);
    g_assert_null(d.ide[2].image.path);
    g_assert_true(d.floppy[0].present);
    g_assert_false(d.floppy[1].present || d.ide[1].present || d.ide[3].present);
    g_assert_cmpstr(d.boot_order, ==, "cad");
    struct drive_options none = {.no_defaults = true};
    g_assert_true(drives_settle(&none, NULL));
    g_assert_false(none.ide[2].present || none.floppy[0].present);
}

static void test_drive_places(void)
{
    struct drive_options d = SETTLED("drive", "file=x", "drive", "file=y", "drive", "file=z,index=3");
    g_assert_cmpstr(d.ide[0].image.path, ==, "x");
    g_assert_cmpstr(d.ide[1].image.path, ==, "y");
    g_assert_cmpstr(d.ide[3].image.path, ==, "z");
    d = SETTLED("drive", "file=x,bus=1,unit=1", "drive", "if=floppy,file=f,unit=1");
    g_assert_cmpstr(d.ide[3].image.path, ==, "x");
    g_assert_cmpstr(d.floppy[1].image.path, ==, "f");
}

static void test_drive_keys(void)
{
    struct drive_options d =
        SETTLED("drive", "file=a,,b.img,format=raw,cache=unsafe,snapshot=on,id=disk0,serial=X1", "drive",
                "media=cdrom,index=1", "drive", "file=q,readonly=on,cache=writethrough,index=3,aio=threads");
    g_assert_cmpstr(d.ide[0].image.path, ==, "a,b.img");
    g_assert_cmpstr(d.ide[0].image.format, ==, "raw");
    g_assert_cmpint(d.ide[0].image.cache, ==, IMAGE_UNSAFE);
    g_assert_true(d.ide[0].image.snapshot);
    g_assert_cmpstr(d.ide[0].serial, ==, "X1");
    g_assert_true(d.ide[1].is_cd);
    g_assert_null(d.ide[1].image.path);
    g_assert_true(d.ide[3].image.read_only);
    g_assert_cmpint(d.ide[3].image.cache, ==, IMAGE_WRITETHROUGH);
}

static void test_drive_errors(void)
{
    drive_fails("file=x,color=red", "'color' is not known");
    drive_fails("file=x,if=scsi", "'if=scsi' is not possible");
    drive_fails("file=x,index=4", "four IDE drives");
    drive_fails("file=x,index=99", "'index=99'");
    drive_fails("file=x,if=virtio,bus=1", "all on bus 0");
    drive_fails("if=virtio,media=cdrom", "a disk needs file=");
    drive_fails("file=x,index=0,bus=1", "say the same");
    drive_fails("file=x,bus=2", "bus 0 and 1");
    drive_fails("file=x,if=floppy,index=2", "two floppy drives");
    drive_fails("file=x,snapshot=maybe", "'snapshot=maybe'");
    drive_fails("file=x,format=", "'format='");
    drive_fails("index=1", "needs file=");
    drive_fails("disk.img", "'disk.img' is not known");
    drive_fails("", "a disk needs file=");
}

static void test_twice(void)
{
    struct drive_options d = {0};
    GError *error = NULL;
    g_assert_true(drives_set_file(&d, "hdc", "x", &error));
    bool ok = drives_set_file(&d, "cdrom", "y", &error);
    fails(ok, error, "given twice");
    struct drive_options same = {0};
    error = NULL;
    g_assert_true(drives_set_file(&same, "hda", "x", &error));
    g_assert_true(drives_set_file(&same, "hdb", "x", &error));
    ok = drives_settle(&same, &error);
    fails(ok, error, "for two drives");
    same.snapshot = true; /* nobody writes */
    error = NULL;
    g_assert_true(drives_settle(&same, &error));
    struct drive_options full = {0};
    for (unsigned i = 0; i < 4; i++)
        g_assert_true(drives_set_drive(&full, "file=x", &error));
    ok = drives_set_drive(&full, "file=x", &error);
    fails(ok, error, "four IDE drives");
}

static void test_snapshot_is_for_all(void)
{
    struct drive_options d = {.snapshot = true};
    GError *error = NULL;
    drives_set_file(&d, "hda", "x", &error);
    drives_set_file(&d, "fda", "y", &error);
    g_assert_true(drives_settle(&d, &error));
    g_assert_true(d.ide[0].image.snapshot && d.floppy[0].image.snapshot);
    d = SETTLED("drive", "file=a,snapshot=off", "drive", "file=b");
    d.snapshot = true;
    g_assert_true(drives_settle(&d, &error));
    g_assert_false(d.ide[0].image.snapshot); /* it was said of this one */
    g_assert_true(d.ide[1].image.snapshot);
}

static void test_boot(void)
{
    struct drive_options d = SETTLED("boot", "dc");
    g_assert_cmpstr(d.boot_order, ==, "dc");
    d = SETTLED("boot", "order=a,once=d,menu=on,strict=on");
    g_assert_cmpstr(d.boot_order, ==, "a");
    g_assert_cmpstr(d.boot_once, ==, "d");
    g_assert_true(d.boot_menu);
    static const char *const wrong[] = {"order=z", "cc", "once=", "menu=perhaps", "speed=11", "order=dc,fast"};
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        struct drive_options bad = {0};
        GError *error = NULL;
        bool ok = drives_set_boot(&bad, wrong[i], &error);
        fails(ok, error, "-boot");
    }
}

#define TEST(name) g_test_add_func("/drives/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(short_flags);
    TEST(defaults);
    TEST(drive_places);
    TEST(drive_keys);
    TEST(drive_errors);
    TEST(twice);
    TEST(snapshot_is_for_all);
    TEST(boot);
    return g_test_run();
}

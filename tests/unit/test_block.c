/* Disk images and the threads behind drives: raw files of all shapes, locks, -snapshot, order, errors. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board.h"
#include "host/block/blockdev.h"

static char *folder;

static char *path_of(const char *name)
{
    return g_build_filename(folder, name, NULL);
}

/* A file of len bytes, each telling its place. */
static char *file_make(const char *name, size_t len)
{
    char *path = path_of(name), *bytes = g_malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i / 512 + i * 3 + 1);
    g_assert_true(g_file_set_contents(path, bytes, (gssize)len, NULL));
    g_free(bytes);
    return path;
}

static struct image *open_ok(const char *path, bool read_only, bool snapshot)
{
    GError *error = NULL;
    struct image_options options = {.path = path, .read_only = read_only, .snapshot = snapshot};
    struct image *image = image_open(&options, &error);
    g_assert_no_error(error);
    return image;
}

static void open_fails(const char *path, const char *format, const char *sentence)
{
    GError *error = NULL;
    struct image_options options = {.path = path, .format = format};
    g_assert_null(image_open(&options, &error));
    g_assert_nonnull(error);
    if (!strstr(error->message, sentence))
        g_error("'%s' does not say '%s'", error->message, sentence);
    g_assert_nonnull(strstr(error->message, path));
    g_error_free(error);
}

static void test_raw_read_write(void)
{
    uint8_t bytes[1024], want[1024];
    char *path = file_make("plain", 64 * 512), *contents;
    gsize len;
    struct image *image = open_ok(path, false, false);
    g_assert_cmpuint(image->size, ==, 64 * 512);
    memset(want, 0x77, sizeof(want));
    g_assert_cmpint(image_write(image, 10 * 512, want, 1024), ==, 0);
    g_assert_cmpint(image_read(image, 10 * 512, bytes, 1024), ==, 0);
    g_assert_cmpmem(bytes, 1024, want, 1024);
    g_assert_cmpint(image_flush(image), ==, 0);
    g_assert_cmpint(image_close(image), ==, 0);
    g_assert_true(g_file_get_contents(path, &contents, &len, NULL));
    g_assert_cmpuint(len, ==, 64 * 512);
    g_assert_cmpmem(contents + 10 * 512, 1024, want, 1024);
    g_free(contents);
    g_free(path);
}

static uint64_t room_of(const char *path)
{
    struct stat st;
    g_assert_cmpint(stat(path, &st), ==, 0);
    return 512 * (uint64_t)st.st_blocks;
}

/* Zeros need no room where the host can do without; what is discarded is given back to it. */
static void test_raw_zeros_and_discarding(void)
{
    static uint8_t bytes[256 * KiB];
    char *path = file_make("holes", 1 * MiB);
    struct image *image = open_ok(path, false, false);
    uint64_t before = room_of(path);
    g_assert_cmpint(image_zero(image, 4096 - 512, 128 * KiB, false), ==, 0);
    g_assert_cmpint(image_read(image, 0, bytes, 256 * KiB), ==, 0);
    for (unsigned i = 0; i < 256 * KiB; i++)
        g_assert_cmpuint(bytes[i], ==,
                         i >= 4096 - 512 && i < 4096 - 512 + 128 * KiB ? 0 : (uint8_t)(i / 512 + i * 3 + 1));
    g_assert_cmpint(image_zero(image, 256 * KiB, 256 * KiB, true), ==, 0);
    g_assert_cmpint(image_discard(image, 512 * KiB, 256 * KiB), ==, 0);
    g_assert_cmpint(image_discard(image, 0, 0), ==, 0);
    g_assert_cmpint(image_read(image, 256 * KiB, bytes, 256 * KiB), ==, 0);
    for (unsigned i = 0; i < 256 * KiB; i++)
        g_assert_cmpuint(bytes[i], ==, 0);
    g_assert_cmpuint(room_of(path), <=, before);
    g_assert_cmpint(image_close(image), ==, 0);
    image = open_ok(path, false, true); /* a snapshot writes them */
    g_assert_cmpint(image_zero(image, 900 * KiB, 100 * KiB, true), ==, 0);
    g_assert_cmpint(image_discard(image, 0, 512), ==, 0);
    g_assert_cmpint(image_read(image, 900 * KiB, bytes, 100 * KiB), ==, 0);
    for (unsigned i = 0; i < 100 * KiB; i++)
        g_assert_cmpuint(bytes[i], ==, 0);
    g_assert_cmpint(image_close(image), ==, 0);
    g_free(path);
}

/* The file grows to whole sectors once the last one is written: what the guest was told is written is there. */
static void test_odd_size_keeps_its_last_sector(void)
{
    uint8_t bytes[512], zero[512] = {0}, ones[512];
    struct stat st;
    char *path = file_make("odd", 3 * 512 + 100);
    struct image *image = open_ok(path, false, false);
    g_assert_cmpuint(image->size, ==, 4 * 512);
    g_assert_cmpint(image_read(image, 3 * 512, bytes, 512), ==, 0);
    g_assert_cmpmem(bytes + 100, 412, zero, 412);
    g_assert_cmpint(image_write(image, 512, zero, 512), ==, 0);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 3 * 512 + 100); /* not before it has to */
    memset(ones, 0xff, sizeof(ones));
    g_assert_cmpint(image_write(image, 3 * 512, ones, 512), ==, 0);
    image_close(image);
    image = open_ok(path, false, false);
    g_assert_cmpuint(image->size, ==, 4 * 512);
    g_assert_cmpint(image_read(image, 3 * 512, bytes, 512), ==, 0);
    g_assert_cmpmem(bytes, 512, ones, 512);
    image_close(image);
    g_free(path);
}

static char *file_with(const char *name, size_t len, size_t at, const void *what, size_t what_len)
{
    char *path = path_of(name), *bytes = g_malloc0(len);
    memcpy(bytes + at, what, what_len);
    g_assert_true(g_file_set_contents(path, bytes, (gssize)len, NULL));
    g_free(bytes);
    return path;
}

/* Other programs' containers are never taken for raw disks, and the sentence says how to go on. */
static void test_foreign_containers(void)
{
    static const struct {
        const char *name;
        size_t at; /* from the start; behind 4096 from the end */
        const char *magic;
        size_t len;
    } cases[] = {
        {"vmdk", 0, "KDMV", 4},
        {"vmdk", 0, "COWD", 4},
        {"vmdk", 0, "# Disk DescriptorFile\nversion=1\n", 32},
        {"vmdk", 0, "# a comment\n\nversion=3\n", 23},
        {"vmdk", 0, "\xbe\xba\xfe\xca\0\0\0\0", 8},
        {"vdi", 0x40, "\x7f\x10\xda\xbe", 4},
        {"vpc", 0, "conectix", 8},
        {"vpc", 4096 + 512, "conectix", 8},
        {"vpc", 4096 + 511, "conectix", 8},
        {"vhdx", 0, "vhdxfile", 8},
        {"qed", 0, "QED", 4},
        {"qcow", 0, "QFI\xfb\0\0\0\1", 8},
        {"parallels", 0, "WithoutFreeSpace", 16},
        {"parallels", 0, "WithouFreSpacExt", 16},
        {"luks", 0, "LUKS\xba\xbe\0\1", 8},
        {"luks", 0, "LUKS\xba\xbe\0\2", 8},
        {"dmg", 4096 + 512, "koly", 4},
        {"bochs", 0, "Bochs Virtual HD Image\0", 23},
        {"cloop", 0, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n", 84},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        size_t len = 16384 + (i & 1) * 100, at = cases[i].at < 4096 ? cases[i].at : len - (cases[i].at - 4096);
        char *path = file_with("foreign.img", len, at, cases[i].magic, cases[i].len);
        char *format = g_strdup_printf("is in %s format", cases[i].name);
        char *command = strcmp(cases[i].name, "luks") == 0
                            ? g_strdup_printf("driver=luks,key-secret=key,file.filename=%s -O qcow2 ", path)
                            : g_strdup_printf("qemu-img convert -f %s -O qcow2 %s ", cases[i].name, path);
        open_fails(path, NULL, format);
        open_fails(path, NULL, command);
        open_fails(path, NULL, "foreign.qcow2 (or say format=raw");
        GError *error = NULL; /* who says that it is raw is believed */
        struct image *image = image_open(&(struct image_options){.path = path, .format = "raw"}, &error);
        g_assert_no_error(error);
        image_close(image);
        g_free(path);
        g_free(format);
        g_free(command);
    }
    char *path = file_make("plain image.img", 4096), *quoted = g_shell_quote(path);
    open_fails(path, "vhdx", quoted); /* said by the user: the same help */
    g_free(path);
    g_free(quoted);
}

/* A guest cannot turn its raw disk into something that is opened otherwise, with the host's files behind it. */
static void test_guest_cannot_change_the_format(void)
{
    uint8_t sector[512] = "QFI\xfb\0\0\0\3";
    char *path = file_make("raw", 64 * 512);
    struct image *image = open_ok(path, false, false);
    g_assert_cmpint(image_write(image, 0, sector, 512), ==, EPERM);
    g_assert_cmpint(image_write(image, 512, sector, 512), ==, 0);
    memcpy(sector, "KDMV", 4);
    g_assert_cmpint(image_write(image, 0, sector, 512), ==, EPERM);
    memset(sector, 0, 4);
    g_assert_cmpint(image_write(image, 0, sector, 512), ==, 0);
    image_close(image);
    GError *error = NULL;
    image = image_open(&(struct image_options){.path = path, .format = "raw"}, &error);
    memcpy(sector, "KDMV", 4);
    g_assert_cmpint(image_write(image, 0, sector, 512), ==, 0);
    image_close(image);
    g_free(path);
}

static void test_sparse(void)
{
    uint8_t bytes[512], zero[512] = {0};
    char *path = file_make("sparse", 0);
    struct stat st;
    g_assert_cmpint(truncate(path, 8ll << 30), ==, 0);
    struct image *image = open_ok(path, false, false);
    g_assert_cmpint(image_read(image, 5ull << 30, bytes, 512), ==, 0);
    g_assert_cmpmem(bytes, 512, zero, 512);
    g_assert_cmpint(image_write(image, 7ull << 30, bytes, 512), ==, 0);
    image_close(image);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_blocks, <, 1000);
    g_free(path);
}

static void test_bad_files(void)
{
    char *empty = file_make("empty", 0), *fifo = path_of("fifo"), *missing = path_of("missing");
    char *plain = file_make("plain", 512);
    open_fails(missing, NULL, "no such file");
    open_fails(folder, NULL, "is a directory");
    open_fails(empty, NULL, "is empty");
    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    open_fails(fifo, NULL, "neither a file nor a block device");
    open_fails("/dev/null", NULL, "neither a file nor a block device");
    open_fails(plain, "vmdk", "known are raw and qcow2");
    open_fails(plain, "qcow2", "not in qcow2 format");
    unlink(fifo);
    g_free(empty);
    g_free(fifo);
    g_free(missing);
    g_free(plain);
}

static void test_read_only_file(void)
{
    char *path = file_make("protected", 1024);
    uint8_t bytes[512] = {0};
    g_assert_cmpint(chmod(path, 0444), ==, 0);
    if (geteuid() != 0) /* root may write all the same */
        open_fails(path, NULL, "cannot be written");
    struct image *image = open_ok(path, true, false);
    g_assert_cmpint(image_write(image, 0, bytes, 512), ==, EROFS);
    g_assert_cmpint(image_read(image, 0, bytes, 512), ==, 0);
    image_close(image);
    image = open_ok(path, false, true);
    g_assert_cmpint(image_write(image, 0, bytes, 512), ==, 0);
    image_close(image);
    g_free(path);
}

/* Locks belong to open files, so that one process can play both. */
static void test_writer_is_alone(void)
{
    char *path = file_make("locked", 4096);
    struct image *image = open_ok(path, false, false);
    open_fails(path, NULL, "in use already");
    GError *error = NULL;
    struct image_options reader = {.path = path, .read_only = true};
    g_assert_null(image_open(&reader, &error));
    g_clear_error(&error);
    image_close(image);
    image = open_ok(path, false, false);
    image_close(image);
    g_free(path);
}

static void test_readers_go_together(void)
{
    char *path = file_make("shared", 4096);
    struct image *one = open_ok(path, true, false), *two = open_ok(path, false, true);
    open_fails(path, NULL, "in use already");
    image_close(one);
    open_fails(path, NULL, "in use already");
    image_close(two);
    g_free(path);
}

static void test_lock_ends_with_the_process(void)
{
    char *path = file_make("orphan", 4096);
    pid_t child = fork();
    if (child == 0) {
        open_ok(path, false, false);
        _exit(0); /* without closing anything */
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
    image_close(open_ok(path, false, false));
    g_free(path);
}

static void test_snapshot_leaves_the_file(void)
{
    uint8_t bytes[2048], want[2048];
    size_t size = 3 * 65536 + 1536;
    char *path = file_make("base", size), *before, *after;
    gsize before_len, after_len;
    g_assert_true(g_file_get_contents(path, &before, &before_len, NULL));
    struct image *image = open_ok(path, false, true);
    uint8_t *model = g_memdup2(before, size);
    for (unsigned i = 0; i < 300; i++) {
        uint64_t offset = (i * 7919u * 512u) % (size - 2048) / 512 * 512;
        uint32_t len = 512 * (i % 4 + 1);
        memset(want, (int)i, len);
        g_assert_cmpint(image_write(image, offset, want, len), ==, 0);
        memcpy(model + offset, want, len);
    }
    for (uint64_t offset = 0; offset + 512 <= size; offset += 512) {
        g_assert_cmpint(image_read(image, offset, bytes, 512), ==, 0);
        g_assert_cmpmem(bytes, 512, model + offset, 512);
    }
    g_assert_cmpint(image_flush(image), ==, 0);
    image_close(image);
    g_assert_true(g_file_get_contents(path, &after, &after_len, NULL));
    g_assert_cmpmem(before, before_len, after, after_len);
    g_free(model);
    g_free(before);
    g_free(after);
    g_free(path);
}

static void check_image(struct image *image, const uint8_t *model)
{
    uint8_t bytes[512];
    for (uint64_t offset = 0; offset + 512 <= image->size; offset += 512) {
        g_assert_cmpint(image_read(image, offset, bytes, 512), ==, 0);
        g_assert_cmpmem(bytes, 512, model + offset, 512);
    }
}

/* Into the image below; where that cannot be written now, everything stays as it was, and the next try has it all. */
static void test_snapshot_commit(void)
{
    size_t size = 5 * 65536 + 1536;
    char *path = file_make("base", size), *away = path_of("away"), *contents;
    gsize len;
    struct image *image = open_ok(path, false, true);
    g_assert_true(g_file_get_contents(path, &contents, &len, NULL));
    uint8_t *model = (uint8_t *)contents;
    for (unsigned round = 0; round < 3; round++) {
        uint64_t offset = round * 2 * 65536 + 512;
        memset(model + offset, (int)(0x80 + round), 1024);
        g_assert_cmpint(image_write(image, offset, model + offset, 1024), ==, 0);
        g_assert_cmpint(rename(path, away), ==, 0);
        g_assert_cmpint(image_snapshot_commit(image), !=, 0);
        check_image(image, model);
        g_assert_cmpint(rename(away, path), ==, 0);
        struct image *other = open_ok(path, true, false); /* somebody else reads it: locked, still or again */
        g_assert_cmpint(image_snapshot_commit(image), !=, 0);
        check_image(image, model);
        image_close(other);
        g_assert_cmpint(image_snapshot_commit(image), ==, 0);
        check_image(image, model);
        open_fails(path, NULL, "in use already");
        other = open_ok(path, true, false);
        check_image(other, model);
        image_close(other);
    }
    image_close(image);
    image_close(open_ok(path, false, false));
    g_free(contents);
    g_free(away);
    g_free(path);
}

static void test_snapshot_without_room_is_an_error(void)
{
    char *path = file_make("base", 4096);
    GError *error = NULL;
    struct image_options options = {.path = path, .snapshot = true};
    g_setenv("TMPDIR", "/nonexistent", TRUE);
    g_assert_null(image_open(&options, &error));
    g_assert_nonnull(strstr(error->message, "TMPDIR"));
    g_error_free(error);
    g_unsetenv("TMPDIR");
    g_free(path);
}

/* --- The thread --- */

static unsigned order[64], order_count;
static int last_error;

static void note_done(void *opaque, int error)
{
    order[order_count++ % 64] = GPOINTER_TO_UINT(opaque);
    last_error = error;
}

static void wait_for(unsigned count)
{
    for (unsigned i = 0; i < 10000; i++) {
        machine_lock();
        bool done = order_count >= count;
        machine_unlock();
        if (done)
            return;
        g_usleep(1000);
    }
    g_assert_not_reached();
}

static struct block *device_open(const char *path, bool read_only)
{
    GError *error = NULL;
    struct image_options options = {.path = path, .read_only = read_only};
    struct block *block = blockdev_open(&options, "test", &error);
    g_assert_no_error(error);
    order_count = 0;
    return block;
}

static void test_requests_end_in_order(void)
{
    static uint8_t buffers[40][512];
    char *path = file_make("queue", 64 * 512);
    struct block *block = device_open(path, false);
    g_assert_true(block->has_medium);
    g_assert_cmpuint(block_sectors(block), ==, 64);
    machine_lock(); /* nothing can end while we hold it */
    for (unsigned i = 0; i < 20; i++) {
        memset(buffers[i], (int)i + 1, 512);
        block->ops->write(block, 5 * 512, buffers[i], 512, note_done, GUINT_TO_POINTER(2 * i));
        block->ops->read(block, 5 * 512, buffers[20 + i], 512, note_done, GUINT_TO_POINTER(2 * i + 1));
    }
    block->ops->flush(block, note_done, GUINT_TO_POINTER(40));
    g_assert_cmpuint(order_count, ==, 0);
    machine_unlock();
    wait_for(41);
    for (unsigned i = 0; i < 41; i++)
        g_assert_cmpuint(order[i], ==, i);
    for (unsigned i = 0; i < 20; i++)
        g_assert_cmpuint(buffers[20 + i][100], ==, i + 1); /* each read saw the write before it */
    blockdev_close_all();
    g_free(path);
}

static void test_close_ends_what_was_asked(void)
{
    static uint8_t bytes[512];
    char *path = file_make("closing", 64 * 512), *contents;
    gsize len;
    struct block *block = device_open(path, false);
    memset(bytes, 0xab, sizeof(bytes));
    machine_lock();
    for (unsigned i = 0; i < 32; i++)
        block->ops->write(block, i * 512, bytes, 512, note_done, NULL);
    machine_unlock();
    blockdev_close_all();
    g_assert_cmpuint(order_count, ==, 32);
    g_assert_true(g_file_get_contents(path, &contents, &len, NULL));
    for (unsigned i = 0; i < 32; i++)
        g_assert_cmpmem(contents + i * 512, 512, bytes, 512);
    g_free(contents);
    g_free(path);
}

static void test_errors_come_back(void)
{
    static uint8_t bytes[512];
    char *path = file_make("readonly", 4096);
    struct block *block = device_open(path, true);
    g_assert_true(block->read_only);
    machine_lock();
    block->ops->write(block, 0, bytes, 512, note_done, NULL);
    machine_unlock();
    wait_for(1);
    g_assert_cmpint(last_error, ==, EROFS);
    blockdev_close_all();
    block = device_open(NULL, false);
    g_assert_false(block->has_medium);
    machine_lock();
    block->ops->read(block, 0, bytes, 0, note_done, NULL);
    machine_unlock();
    wait_for(1);
    g_assert_cmpint(last_error, ==, ENOMEDIUM);
    blockdev_close_all();
    g_free(path);
}

static void test_full_disk_is_an_error(void)
{
    static uint8_t bytes[512];
    char *path = file_make("full", 4096);
    pid_t child = fork(); /* the limit is the process's */
    if (child == 0) {
        struct image *image = open_ok(path, false, false);
        /* A file that cannot grow or be written behind 1 KiB. */
        signal(SIGXFSZ, SIG_IGN);
        const struct rlimit limit = {1024, 1024};
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(image_write(image, 0, bytes, 512) == 0 && image_write(image, 2048, bytes, 512) == EFBIG ? 0 : 1);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
    g_free(path);
}

static unsigned changes;

static void count_change(void *opaque)
{
    changes++;
}

static void test_medium_is_changed(void)
{
    static uint8_t bytes[512], want[512];
    char *one = file_make("one", 8192), *two = file_make("two", 4096), *contents;
    gsize len;
    GError *error = NULL;
    struct block *block = device_open(one, false);
    g_assert_false(blockdev_change("test", two, NULL, &error)); /* a fixed disk */
    g_assert_nonnull(strstr(error->message, "fixed"));
    g_clear_error(&error);
    g_assert_false(blockdev_change("nodrive", two, NULL, &error));
    g_clear_error(&error);
    block->ops->set_removable(block, count_change, NULL, 8192);
    changes = 0;
    memset(want, 0x3c, sizeof(want));
    machine_lock();
    block->ops->write(block, 512, want, 512, note_done, NULL); /* before the change: it reaches the old one */
    machine_unlock();
    g_assert_true(blockdev_change("test", two, "raw", &error));
    g_assert_cmpuint(changes, ==, 2); /* out, in */
    g_assert_cmpuint(block->size, ==, 4096);
    g_assert_true(g_file_get_contents(one, &contents, &len, NULL));
    g_assert_cmpmem(contents + 512, 512, want, 512);
    g_free(contents);
    image_close(open_ok(one, false, false)); /* its lock is gone */
    machine_lock();
    block->ops->read(block, 3584, bytes, 512, note_done, NULL);
    machine_unlock();
    wait_for(2);
    g_assert_cmpint(last_error, ==, 0);
    g_assert_true(g_file_get_contents(two, &contents, &len, NULL));
    g_assert_cmpmem(contents + 3584, 512, bytes, 512);
    g_free(contents);
    char *large = file_make("large", 16384);
    g_assert_false(blockdev_change("test", large, NULL, &error));
    g_assert_nonnull(strstr(error->message, "too large"));
    g_clear_error(&error);
    /* What cannot be opened leaves the old medium in, and the guest sees nothing of it. */
    g_assert_false(blockdev_change("test", "/nowhere", NULL, &error));
    g_clear_error(&error);
    g_assert_false(blockdev_change("test", two, "qcow2", &error)); /* the same file, read as something that it is not */
    g_clear_error(&error);
    g_assert_true(block->has_medium);
    g_assert_cmpuint(block->size, ==, 4096);
    machine_lock();
    block->ops->write(block, 3584, want, 512, note_done, NULL);
    machine_unlock();
    wait_for(3);
    g_assert_cmpint(last_error, ==, 0);
    g_assert_true(blockdev_change("test", two, NULL, &error)); /* the same once more */
    changes = 0;
    g_assert_true(blockdev_change("test", one, NULL, &error));
    g_assert_cmpuint(changes, ==, 2);
    g_assert_true(blockdev_change("test", NULL, NULL, &error));
    g_assert_false(block->has_medium);
    blockdev_close_all();
    g_free(one);
    g_free(two);
    g_free(large);
}

#define TEST(name) g_test_add_func("/block/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("ringer-test-XXXXXX", NULL);
    TEST(raw_read_write);
    TEST(odd_size_keeps_its_last_sector);
    TEST(foreign_containers);
    TEST(guest_cannot_change_the_format);
    TEST(sparse);
    TEST(bad_files);
    TEST(read_only_file);
    TEST(writer_is_alone);
    TEST(readers_go_together);
    TEST(lock_ends_with_the_process);
    TEST(snapshot_leaves_the_file);
    TEST(snapshot_commit);
    TEST(snapshot_without_room_is_an_error);
    TEST(raw_zeros_and_discarding);
    TEST(requests_end_in_order);
    TEST(close_ends_what_was_asked);
    TEST(errors_come_back);
    TEST(full_disk_is_an_error);
    TEST(medium_is_changed);
    int status = g_test_run();
    char *command = g_strdup_printf("rm -rf '%s'", folder);
    if (system(command) != 0)
        status = 1;
    g_free(command);
    g_free(folder);
    return status;
}

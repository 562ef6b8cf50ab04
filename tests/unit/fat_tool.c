/* A folder as a FAT disk, for tests/unit/fat.py: the disk as a file, and a file's sectors back onto the disk.
 *
 *     fat_tool dump NAME FILE SKIP            without its first SKIP bytes
 *     fat_tool apply NAME FILE SKIP [ORDER] [kill]
 *                    what differs is written in an order that ORDER stands for, and flushed; kill: it ends there
 *     fat_tool torn NAME FILE SKIP COUNT      only COUNT of the sectors are written, then it ends without a flush
 *     fat_tool follow NAME FILE SKIP          waits for a line on its input, then as after a reset
 *     fat_tool late NAME FILE SKIP            writes, waits for a line on its input, flushes
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/block/image.h"

#define AT_ONCE 65536u

static void check(int code, const char *what)
{
    if (code) {
        fprintf(stderr, "%s: %s\n", what, strerror(code));
        exit(1);
    }
}

static void dump(struct image *image, const char *path, uint64_t skip)
{
    static uint8_t bytes[AT_ONCE], zeros[AT_ONCE];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)(image->size - skip)) < 0)
        exit(1);
    for (uint64_t at = skip; at < image->size; at += AT_ONCE) {
        uint32_t len = (uint32_t)MIN(AT_ONCE, image->size - at);
        check(image_read(image, at, bytes, len), "read");
        if (memcmp(bytes, zeros, len) != 0 && pwrite(fd, bytes, len, (off_t)(at - skip)) != (ssize_t)len)
            exit(1);
    }
    close(fd);
}

static void apply(struct image *image, const char *path, uint64_t skip, unsigned seed, unsigned most)
{
    static uint8_t now[AT_ONCE], want[AT_ONCE];
    GArray *sectors = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    GRand *rand = g_rand_new_with_seed(seed);
    int fd = open(path, O_RDONLY);
    for (uint64_t at = skip; at < image->size; at += AT_ONCE) {
        uint32_t len = (uint32_t)MIN(AT_ONCE, image->size - at);
        check(image_read(image, at, now, len), "read");
        if (pread(fd, want, len, (off_t)(at - skip)) != (ssize_t)len)
            exit(1);
        for (uint32_t i = 0; i < len; i += 512) {
            uint64_t sector = at + i;
            if (memcmp(now + i, want + i, 512) != 0)
                g_array_append_val(sectors, sector);
        }
    }
    for (unsigned i = sectors->len; seed && i > 1; i--) {
        unsigned k = (unsigned)g_rand_int_range(rand, 0, (gint32)i);
        uint64_t other = g_array_index(sectors, uint64_t, k);
        g_array_index(sectors, uint64_t, k) = g_array_index(sectors, uint64_t, i - 1);
        g_array_index(sectors, uint64_t, i - 1) = other;
    }
    for (unsigned i = 0; i < sectors->len && i < most; i++) {
        uint64_t at = g_array_index(sectors, uint64_t, i);
        if (pread(fd, want, 512, (off_t)(at - skip)) != 512)
            exit(1);
        check(image_write(image, at, want, 512), "write");
    }
    close(fd);
    g_array_free(sectors, TRUE);
    g_rand_free(rand);
}

int main(int argc, char **argv)
{
    GError *error = NULL;
    struct image_options options = {.path = argc > 4 ? argv[2] : ""};
    struct image *image = argc > 4 ? image_open(&options, &error) : NULL;
    if (!image) {
        fprintf(stderr, "%s\n", error ? error->message : "usage");
        return 1;
    }
    uint64_t skip = strtoull(argv[4], NULL, 0);
    unsigned number = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 0) : 0;
    bool kill = argc > 6;
    if (strcmp(argv[1], "dump") == 0) {
        dump(image, argv[3], skip);
    } else if (strcmp(argv[1], "apply") == 0) {
        apply(image, argv[3], skip, number, ~0u);
        check(image_flush(image), "flush");
        if (kill)
            _exit(0);
    } else if (strcmp(argv[1], "torn") == 0) {
        apply(image, argv[3], skip, 1, number);
        if (kill) /* nothing was flushed: nothing is promised */
            _exit(0);
    } else {
        bool is_late = strcmp(argv[1], "late") == 0;
        if (is_late)
            apply(image, argv[3], skip, 1, ~0u);
        puts("ready");
        fflush(stdout);
        if (getchar() == EOF)
            return 1;
        check(is_late ? image_flush(image) : image_refresh(image), is_late ? "flush" : "refresh");
        if (!is_late)
            dump(image, argv[3], skip);
    }
    check(image_close(image), "close");
    return 0;
}

/* Fuzzes the qcow2 opener, reader and writer: valid small images with a few bytes changed, cut or repeated.
 *
 *     qcow2_fuzz COUNT [SEED [FIRST]]      every input depends on SEED and its number only: FIRST repeats one
 *
 * Built with ASan and UBSan. Besides crashes it looks for images that opening or reading has altered, and for
 * reads that give different bytes twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "host/block/image.h"
#include "log.h"

#define COPIED     (1ull << 63)
#define COMPRESSED (1ull << 62)
#define DISK       (256 * KiB)

/* The library's messages would be a million lines. */
uint32_t log_enabled;
void log_user(const char *fmt, ...)
{
}
void log_guest(const char *fmt, ...)
{
}
void assert_failed(const char *expr, const char *file, int line)
{
    fprintf(stderr, "assertion %s at %s:%d\n", expr, file, line);
    abort();
}

static uint64_t state;

static uint32_t random32(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

static uint32_t below(uint32_t n)
{
    return random32() % n;
}

static void put32(uint8_t *bytes, uint32_t value)
{
    value = GUINT32_TO_BE(value);
    memcpy(bytes, &value, 4);
}

static void put64(uint8_t *bytes, uint64_t value)
{
    value = GUINT64_TO_BE(value);
    memcpy(bytes, &value, 8);
}

/* Clusters: header, refcount table, refcount block, L1 table, L2 table, then data. */
static size_t seed_make(uint8_t *image, unsigned version, unsigned bits, unsigned order, const char *backing)
{
    uint32_t cluster = 1u << bits, l2_entries = cluster / 8;
    unsigned clusters = 5;

    memset(image, 0, 64 * KiB);
    memcpy(image, "QFI\xfb", 4);
    put32(image + 4, version);
    put32(image + 20, bits);
    put64(image + 24, DISK);
    put32(image + 36, (uint32_t)((DISK + (uint64_t)cluster * l2_entries - 1) / ((uint64_t)cluster * l2_entries)));
    put64(image + 40, 3ull << bits);
    put64(image + 48, 1ull << bits);
    put32(image + 56, 1);
    if (version == 3) {
        put32(image + 96, order);
        put32(image + 100, 104);
        put32(image + 104, 0xe2792aca);
        put32(image + 108, 3);
        memcpy(image + 112, "raw", 3);
    }
    if (backing) {
        put64(image + 8, 136);
        put32(image + 16, (uint32_t)strlen(backing));
        memcpy(image + 136, backing, strlen(backing));
    }
    put64(image + cluster, 2ull << bits);
    put64(image + 3 * cluster, 4ull << bits | COPIED);
    uint8_t *l2 = image + 4 * cluster;
    for (unsigned i = 0; i < 4; i++, clusters++) {
        memset(image + clusters * cluster, (int)(0x10 + i), cluster);
        put64(l2 + 8 * (3 * i), (uint64_t)clusters << bits | COPIED);
    }
    if (version == 3)
        put64(l2 + 8, 1); /* a zero cluster */
    uint8_t plain[4096];
    memset(plain, 0x5c, cluster);
    z_stream stream = {
        .next_in = plain, .avail_in = cluster, .next_out = image + clusters * cluster, .avail_out = cluster};
    deflateInit2(&stream, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY);
    deflate(&stream, Z_FINISH);
    deflateEnd(&stream);
    put64(l2 + 16, COMPRESSED | (uint64_t)clusters << bits);
    clusters++;
    for (unsigned n = 0; n < clusters; n++) {
        if (order == 4)
            image[2 * cluster + 2 * n + 1] = 1;
        else if (order == 6)
            image[2 * cluster + 8 * n + 7] = 1;
        else
            image[2 * cluster + n / 8] |= (uint8_t)(1u << (n & 7));
    }
    return (size_t)clusters * cluster;
}

static size_t mutate(uint8_t *image, size_t len, unsigned bits)
{
    unsigned changes = 1 + below(4);
    for (unsigned i = 0; i < changes; i++) {
        size_t at;
        switch (below(4)) {
        case 0:
            at = below(160); /* the header */
            break;
        case 1:
            at = ((1u + below(4)) << bits) + 8 * below(16) + below(8); /* a table's first entries */
            break;
        default:
            at = below((uint32_t)len);
            break;
        }
        static const uint64_t values[] = {
            0, 1, 0x200, 0x1000, 0xffff, 1ull << 31, 1ull << 40, 1ull << 62, 1ull << 63, ~0ull, 0x00fffffffffffe00ull};
        switch (below(6)) {
        case 0:
            image[at] ^= (uint8_t)(1u << below(8));
            break;
        case 1:
            image[at] = (uint8_t)random32();
            break;
        case 2:
            if ((at & ~7ull) + 8 <= len)
                put64(image + (at & ~7ull), values[below(G_N_ELEMENTS(values))]);
            break;
        case 3:
            if ((at & ~3ull) + 4 <= len)
                put32(image + (at & ~3ull), (uint32_t)values[below(G_N_ELEMENTS(values))]);
            break;
        case 4: /* a pointer to some cluster */
            if ((at & ~7ull) + 8 <= len)
                put64(image + (at & ~7ull), (uint64_t)below(14) << bits | (below(2) ? COPIED : 0));
            break;
        default: { /* bytes from elsewhere */
            size_t from = below((uint32_t)len), count = below(16);
            if (from + count <= len && at + count <= len)
                memmove(image + at, image + from, count);
            break;
        }
        }
    }
    return below(8) == 0 ? below((uint32_t)len) + 1 : len;
}

static void die(const char *what, uint64_t number, const uint8_t *input, size_t len)
{
    FILE *out = fopen("qcow2_fuzz.crash", "wb");
    if (out) {
        fwrite(input, 1, len, out);
        fclose(out);
    }
    fprintf(stderr, "input %llu: %s (written to qcow2_fuzz.crash)\n", (unsigned long long)number, what);
    exit(1);
}

static bool file_is(int fd, const uint8_t *bytes, size_t len)
{
    static uint8_t now[64 * KiB];
    struct stat st;
    return fstat(fd, &st) == 0 && (size_t)st.st_size == len && pread(fd, now, len, 0) == (ssize_t)len &&
           memcmp(now, bytes, len) == 0;
}

static void read_some(struct image *image, uint64_t number, const uint8_t *input, size_t len)
{
    static uint8_t one[16 * KiB], two[16 * KiB];
    for (unsigned i = 0; i < 6; i++) {
        uint32_t bytes = 512 * (1 + below(32));
        uint64_t limit = i < 4 ? MIN(image->size, 32 * KiB) : image->size;
        if (bytes > limit)
            bytes = (uint32_t)limit;
        uint64_t offset = (((uint64_t)random32() << 9) % (limit - bytes + 512)) & ~511ull;
        if (offset > image->size - bytes)
            offset = image->size - bytes;
        int a = image_read(image, offset, one, bytes), b = image_read(image, offset, two, bytes);
        if (a != b || (a == 0 && memcmp(one, two, bytes) != 0))
            die("two reads differ", number, input, len);
    }
}

static void write_some(struct image *image)
{
    static uint8_t bytes[4 * KiB], back[4 * KiB];
    for (unsigned i = 0; i < 4; i++) {
        uint32_t count = 512 * (1 + below(8));
        if (count > image->size)
            count = (uint32_t)image->size;
        uint64_t offset = (((uint64_t)random32() << 9) % (MIN(image->size, DISK) - count + 512)) & ~511ull;
        if (offset > image->size - count)
            offset = image->size - count;
        memset(bytes, (int)random32(), count);
        /* What comes back may be anything: a damaged table can name one cluster twice. */
        if (image_write(image, offset, bytes, count) == 0)
            image_read(image, offset, back, count);
        if (below(3) == 0)
            image_flush(image);
    }
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 0) : 20000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1, first = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
    static uint8_t input[64 * KiB];
    unsigned opened = 0, written = 0;
    char path[64], base_path[64];
    int fd = memfd_create("image", MFD_CLOEXEC), base_fd = memfd_create("base", MFD_CLOEXEC);

    if (fd < 0 || base_fd < 0 || ftruncate(base_fd, 128 * KiB) < 0)
        return 1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    snprintf(base_path, sizeof(base_path), "/proc/self/fd/%d", base_fd);
    printf("seed %llu\n", (unsigned long long)seed);
    for (uint64_t number = first; number < first + count; number++) {
        state = (seed * 0x9e3779b97f4a7c15ull) ^ (number * 0xbf58476d1ce4e5b9ull) ^ 0x94d049bb133111ebull;
        for (unsigned i = 0; i < 4; i++)
            random32();
        static const struct {
            unsigned version, bits, order;
        } shapes[] = {{3, 9, 4}, {3, 12, 4}, {2, 9, 4}, {3, 9, 6}, {3, 10, 0}};
        unsigned shape = below(G_N_ELEMENTS(shapes));
        size_t len = seed_make(input, shapes[shape].version, shapes[shape].bits, shapes[shape].order,
                               below(3) == 0 ? base_path : NULL);
        len = mutate(input, len, shapes[shape].bits);
        if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)len) < 0 || pwrite(fd, input, len, 0) != (ssize_t)len)
            return 1;

        struct image_options options = {.path = path, .format = "qcow2", .read_only = true};
        GError *error = NULL;
        struct image *image = image_open(&options, &error);
        if (image) {
            opened++;
            read_some(image, number, input, len);
            image_close(image);
        } else if (!error || strchr(error->message, '\n')) {
            die("no sentence", number, input, len);
        }
        g_clear_error(&error);
        if (!file_is(fd, input, len))
            die("reading altered the image", number, input, len);

        options.read_only = false;
        image = image_open(&options, &error);
        g_clear_error(&error);
        if (!file_is(fd, input, len))
            die("opening altered the image", number, input, len);
        if (image) {
            written++;
            write_some(image);
            image_close(image);
        }
    }
    printf("%llu inputs, %u opened, %u written to: no complaint\n", (unsigned long long)count, opened, written);
    return 0;
}

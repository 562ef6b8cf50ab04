/* qcow2: headers, every kind of cluster, allocation, snapshots, backing files, and what a kill leaves behind.
 *
 * The images are made here, byte by byte, and after each test that writes a checker of our own counts all
 * references in the file (docs/interop/qcow2.txt) and compares them with its refcounts.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "board.h"
#include "host/block/image.h"

#define COPIED     (1ull << 63)
#define COMPRESSED (1ull << 62)

static char *folder;

static char *path_of(const char *name)
{
    return g_build_filename(folder, name, NULL);
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

static uint32_t get32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, 4);
    return GUINT32_FROM_BE(value);
}

static uint64_t get64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, 8);
    return GUINT64_FROM_BE(value);
}

/* An image in memory. Layout: header, refcount table, one refcount block, L1 table, one L2 table, data. */
struct maker {
    unsigned bits, order;
    uint32_t cluster;
    uint64_t size;
    GByteArray *bytes;
};

#define AT(m, n) ((m)->bytes->data + (uint64_t)(n) * (m)->cluster)
#define REFTABLE 1
#define REFBLOCK 2
#define L1       3
#define L2       4
#define FIRST    5

static void count_set(struct maker *m, unsigned n, unsigned value)
{
    uint8_t *block = AT(m, REFBLOCK);
    if (m->order == 4)
        block[2 * n] = 0, block[2 * n + 1] = (uint8_t)value;
    else if (m->order == 6)
        put64(block + 8 * n, value);
    else if (m->order == 3)
        block[n] = (uint8_t)value;
    else if (m->order == 0)
        block[n / 8] = (uint8_t)((block[n / 8] & ~(1u << (n & 7))) | value << (n & 7));
    else
        g_assert_not_reached();
}

static void grow_to(struct maker *m, unsigned clusters)
{
    guint old = m->bytes->len;
    g_byte_array_set_size(m->bytes, clusters * m->cluster);
    memset(m->bytes->data + old, 0, m->bytes->len - old);
}

static void make(struct maker *m, unsigned version, unsigned bits, unsigned order, uint64_t size)
{
    *m = (struct maker){bits, order, 1u << bits, size, g_byte_array_new()};
    grow_to(m, FIRST);
    uint8_t *head = AT(m, 0);
    memcpy(head, "QFI\xfb", 4);
    put32(head + 4, version);
    put32(head + 20, bits);
    put64(head + 24, size);
    uint64_t span = (uint64_t)m->cluster * (m->cluster / 8);
    put32(head + 36, (uint32_t)((size + span - 1) / span));
    put64(head + 40, (uint64_t)L1 << bits);
    put64(head + 48, (uint64_t)REFTABLE << bits);
    put32(head + 56, 1);
    if (version == 3) {
        put32(head + 96, order);
        put32(head + 100, 104);
    }
    put64(AT(m, REFTABLE), (uint64_t)REFBLOCK << bits);
    put64(AT(m, L1), (uint64_t)L2 << bits | COPIED);
    for (unsigned n = 0; n < FIRST; n++)
        count_set(m, n, 1);
}

/* Adds a data cluster for guest cluster n and returns its number. */
static unsigned add_data(struct maker *m, unsigned n, uint8_t fill)
{
    unsigned at = m->bytes->len / m->cluster;
    grow_to(m, at + 1);
    memset(AT(m, at), fill, m->cluster);
    put64(AT(m, L2) + 8 * n, (uint64_t)at << m->bits | COPIED);
    count_set(m, at, 1);
    return at;
}

static char *save(struct maker *m, const char *name)
{
    char *path = path_of(name);
    g_assert_true(g_file_set_contents(path, (char *)m->bytes->data, m->bytes->len, NULL));
    g_byte_array_unref(m->bytes);
    return path;
}

static struct image *open_as(const char *path, bool read_only)
{
    GError *error = NULL;
    struct image_options options = {.path = path, .read_only = read_only};
    struct image *image = image_open(&options, &error);
    g_assert_no_error(error);
    return image;
}

static void open_fails(const char *path, bool read_only, const char *sentence)
{
    GError *error = NULL;
    struct image_options options = {.path = path, .read_only = read_only};
    char *before, *after;
    gsize before_len, after_len;
    g_assert_true(g_file_get_contents(path, &before, &before_len, NULL));
    g_assert_null(image_open(&options, &error));
    if (!strstr(error->message, sentence))
        g_error("'%s' does not say '%s'", error->message, sentence);
    g_error_free(error);
    g_assert_true(g_file_get_contents(path, &after, &after_len, NULL));
    g_assert_cmpmem(before, before_len, after, after_len);
    g_free(before);
    g_free(after);
}

/* --- The checker --- */

struct check {
    const uint8_t *bytes;
    uint64_t len;
    unsigned bits, order;
    GHashTable *refs; /* cluster -> references */
};

static void ref(struct check *c, uint64_t offset, uint64_t bytes)
{
    for (uint64_t n = offset >> c->bits; n <= (offset + MAX(bytes, 1) - 1) >> c->bits; n++) {
        g_assert_cmpuint(n << c->bits, <, c->len);
        gpointer old = g_hash_table_lookup(c->refs, GSIZE_TO_POINTER(n));
        g_hash_table_insert(c->refs, GSIZE_TO_POINTER(n), GSIZE_TO_POINTER(GPOINTER_TO_SIZE(old) + 1));
    }
}

static uint64_t stored_count(const struct check *c, uint64_t n)
{
    uint64_t per_block = 8ull << c->bits >> c->order;
    uint64_t table = get64(c->bytes + 48), entries = ((uint64_t)get32(c->bytes + 56) << c->bits) / 8;
    if (n / per_block >= entries)
        return 0;
    uint64_t block = get64(c->bytes + table + 8 * (n / per_block));
    if (!block)
        return 0;
    const uint8_t *b = c->bytes + block;
    uint64_t i = n % per_block;
    switch (c->order) {
    case 0:
        return b[i / 8] >> (i & 7) & 1;
    case 3:
        return b[i];
    case 4:
        return (uint64_t)b[2 * i] << 8 | b[2 * i + 1];
    default:
        return get64(b + 8 * i);
    }
}

static void count_l1(struct check *c, uint64_t l1, uint32_t l1_size, bool active)
{
    ref(c, l1, 8ull * l1_size);
    for (uint32_t i = 0; i < l1_size; i++) {
        uint64_t entry = get64(c->bytes + l1 + 8 * i), l2 = entry & 0x00fffffffffffe00ull;
        if (!l2)
            continue;
        ref(c, l2, 1);
        if (active)
            g_assert_cmpuint(!!(entry & COPIED), ==, stored_count(c, l2 >> c->bits) == 1);
        for (uint32_t k = 0; k < 1u << (c->bits - 3); k++) {
            uint64_t e = get64(c->bytes + l2 + 8 * k);
            if (e & COMPRESSED) {
                unsigned shift = 62 - (c->bits - 8);
                uint64_t at = e & ((1ull << shift) - 1);
                ref(c, at, ((e >> shift & ((1u << (c->bits - 8)) - 1)) + 1) * 512 - at % 512);
            } else if (e & 0x00fffffffffffe00ull) {
                g_assert_cmpuint((e & 0x00fffffffffffe00ull) & ((1u << c->bits) - 1), ==, 0);
                ref(c, e & 0x00fffffffffffe00ull, 1);
            }
        }
    }
}

/* Nothing is used without being counted; leaks are counted. Returns the number of leaked references. */
static uint64_t check(const char *path)
{
    char *contents;
    gsize len;
    struct check c = {0};
    uint64_t leaks = 0;

    g_assert_true(g_file_get_contents(path, &contents, &len, NULL));
    c.bytes = (uint8_t *)contents;
    c.bits = get32(c.bytes + 20);
    /* The last cluster may be there in part. */
    c.len = (len + (1ull << c.bits) - 1) >> c.bits << c.bits;
    contents = g_realloc(contents, c.len);
    memset(contents + len, 0, c.len - len);
    c.bytes = (uint8_t *)contents;
    c.order = get32(c.bytes + 4) == 3 ? get32(c.bytes + 96) : 4;
    c.refs = g_hash_table_new(g_direct_hash, g_direct_equal);
    ref(&c, 0, 1);
    uint64_t table = get64(c.bytes + 48), entries = ((uint64_t)get32(c.bytes + 56) << c.bits) / 8;
    ref(&c, table, entries * 8);
    for (uint64_t i = 0; i < entries; i++) {
        uint64_t block = get64(c.bytes + table + 8 * i);
        g_assert_cmpuint(block & ((1u << c.bits) - 1), ==, 0);
        if (block)
            ref(&c, block, 1);
    }
    count_l1(&c, get64(c.bytes + 40), get32(c.bytes + 36), true);
    uint32_t snapshots = get32(c.bytes + 60);
    uint64_t at = get64(c.bytes + 64), snapshots_at = at;
    for (uint32_t i = 0; i < snapshots; i++) {
        count_l1(&c, get64(c.bytes + at), get32(c.bytes + at + 8), false);
        at += (40 + get32(c.bytes + at + 36) + (uint32_t)(c.bytes[at + 12] << 8 | c.bytes[at + 13]) +
               (uint32_t)(c.bytes[at + 14] << 8 | c.bytes[at + 15]) + 7) &
              ~7u;
    }
    if (snapshots)
        ref(&c, snapshots_at, at - snapshots_at);
    for (uint64_t n = 0; n < c.len >> c.bits; n++) {
        uint64_t used = GPOINTER_TO_SIZE(g_hash_table_lookup(c.refs, GSIZE_TO_POINTER(n)));
        uint64_t counted = stored_count(&c, n);
        if (counted < used)
            g_error("cluster %llu is used %llu times and counted %llu times", (unsigned long long)n,
                    (unsigned long long)used, (unsigned long long)counted);
        leaks += counted - used;
    }
    g_hash_table_destroy(c.refs);
    g_free(contents);
    return leaks;
}

static void assert_fill(struct image *image, uint64_t offset, uint8_t fill, uint32_t len)
{
    uint8_t *bytes = g_malloc(len);
    g_assert_cmpint(image_read(image, offset, bytes, len), ==, 0);
    for (uint32_t i = 0; i < len; i++)
        g_assert_cmphex(bytes[i], ==, fill);
    g_free(bytes);
}

static void write_fill(struct image *image, uint64_t offset, uint8_t fill, uint32_t len)
{
    uint8_t *bytes = g_malloc(len);
    memset(bytes, fill, len);
    g_assert_cmpint(image_write(image, offset, bytes, len), ==, 0);
    g_free(bytes);
}

/* --- Reading --- */

static void test_read_v2_and_v3(void)
{
    for (unsigned version = 2; version <= 3; version++) {
        struct maker m;
        make(&m, version, 12, 4, 1 * MiB);
        add_data(&m, 0, 0x11);
        add_data(&m, 7, 0x22);
        char *path = save(&m, "read");
        g_assert_cmpuint(check(path), ==, 0);
        struct image *image = open_as(path, true);
        g_assert_cmpuint(image->size, ==, 1 * MiB);
        assert_fill(image, 0, 0x11, 4096);
        assert_fill(image, 4096, 0x00, 4096);
        assert_fill(image, 7 * 4096 + 512, 0x22, 1024);
        assert_fill(image, 1 * MiB - 512, 0x00, 512);
        image_close(image);
        g_free(path);
    }
}

static void test_read_neighbours_at_once(void)
{
    struct maker m;
    uint8_t bytes[4 * 4096];
    make(&m, 3, 12, 4, 1 * MiB);
    for (unsigned n = 0; n < 4; n++)
        add_data(&m, n, (uint8_t)(n + 1));
    char *path = save(&m, "run");
    struct image *image = open_as(path, true);
    g_assert_cmpint(image_read(image, 2048, bytes, 3 * 4096), ==, 0);
    for (unsigned i = 0; i < 3 * 4096; i++)
        g_assert_cmpuint(bytes[i], ==, (2048 + i) / 4096 + 1);
    image_close(image);
    g_free(path);
}

static void test_zero_clusters(void)
{
    struct maker m;
    make(&m, 3, 12, 4, 1 * MiB);
    unsigned at = add_data(&m, 3, 0x77);
    put64(AT(&m, L2) + 8 * 3, (uint64_t)at << 12 | COPIED | 1); /* zero, with a place of its own */
    put64(AT(&m, L2) + 8 * 4, 1);                               /* zero, without */
    char *path = save(&m, "zero");
    struct image *image = open_as(path, false);
    assert_fill(image, 3 * 4096, 0, 8192);
    write_fill(image, 3 * 4096 + 512, 0x99, 512);
    write_fill(image, 4 * 4096 + 512, 0x98, 512);
    assert_fill(image, 3 * 4096, 0, 512);
    assert_fill(image, 3 * 4096 + 512, 0x99, 512);
    assert_fill(image, 4 * 4096 + 1024, 0, 512);
    image_close(image);
    g_assert_cmpuint(check(path), ==, 0);
    g_free(path);
}

static void compressed_image(struct maker *m, bool zstd)
{
    uint8_t plain[4096], packed[8192];
    uint32_t len;
    make(m, 3, 12, 4, 1 * MiB);
    for (unsigned i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i / 64);
    if (zstd) {
        put64(AT(m, 0) + 72, 0x08);
        put32(AT(m, 0) + 100, 112);
        AT(m, 0)[104] = 1;
        size_t rc = ZSTD_compress(packed, sizeof(packed), plain, sizeof(plain), 3);
        g_assert_false(ZSTD_isError(rc));
        len = (uint32_t)rc;
    } else {
        z_stream stream = {
            .next_in = plain, .avail_in = sizeof(plain), .next_out = packed, .avail_out = sizeof(packed)};
        g_assert_cmpint(deflateInit2(&stream, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY), ==, Z_OK);
        g_assert_cmpint(deflate(&stream, Z_FINISH), ==, Z_STREAM_END);
        len = (uint32_t)stream.total_out;
        deflateEnd(&stream);
    }
    /* Twice in one cluster, the second not on a sector's start. */
    unsigned at = m->bytes->len / m->cluster;
    grow_to(m, at + 1);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t offset = ((uint64_t)at << 12) + i * (len + 100);
        memcpy(m->bytes->data + offset, packed, len);
        uint64_t sectors = (offset % 512 + len + 511) / 512 - 1;
        put64(AT(m, L2) + 8 * (2 + i), COMPRESSED | sectors << (62 - 4) | offset);
    }
    count_set(m, at, 2);
}

static void test_compressed(void)
{
    for (unsigned zstd = 0; zstd < 2; zstd++) {
        struct maker m;
        uint8_t bytes[8192];
        compressed_image(&m, zstd);
        char *path = save(&m, "compressed");
        g_assert_cmpuint(check(path), ==, 0);
        struct image *image = open_as(path, false);
        g_assert_cmpint(image_read(image, 2 * 4096, bytes, 8192), ==, 0);
        for (unsigned i = 0; i < 8192; i++)
            g_assert_cmphex(bytes[i], ==, (uint8_t)(i % 4096 / 64));
        write_fill(image, 2 * 4096 + 1024, 0xcc, 512); /* becomes an ordinary cluster */
        g_assert_cmpint(image_read(image, 2 * 4096, bytes, 8192), ==, 0);
        for (unsigned i = 0; i < 8192; i++)
            g_assert_cmphex(bytes[i], ==, i >= 1024 && i < 1536 ? 0xcc : (uint8_t)(i % 4096 / 64));
        image_close(image);
        g_assert_cmpuint(check(path), ==, 0);
        g_free(path);
    }
}

static void test_compressed_garbage_is_an_error(void)
{
    struct maker m;
    uint8_t bytes[512];
    compressed_image(&m, false);
    memset(AT(&m, FIRST), 0xff, 100);
    char *path = save(&m, "garbage");
    struct image *image = open_as(path, true);
    g_assert_cmpint(image_read(image, 2 * 4096, bytes, 512), ==, EIO);
    g_assert_cmpint(image_read(image, 0, bytes, 512), ==, 0);
    image_close(image);
    g_free(path);
}

/* --- Backing files --- */

static void backing_name(struct maker *m, const char *name, const char *format)
{
    uint8_t *head = AT(m, 0);
    uint32_t at = 104;
    if (format) {
        put32(head + at, 0xe2792aca);
        put32(head + at + 4, (uint32_t)strlen(format));
        memcpy(head + at + 8, format, strlen(format));
        at += 8 + (((uint32_t)strlen(format) + 7) & ~7u);
    }
    at += 8; /* end of extensions */
    memcpy(head + at, name, strlen(name));
    put64(head + 8, at);
    put32(head + 16, (uint32_t)strlen(name));
}

static void test_backing_chain(void)
{
    struct maker m;
    uint8_t raw[3 * 4096];
    memset(raw, 0x10, sizeof(raw));
    char *raw_path = path_of("bottom.raw");
    g_assert_true(g_file_set_contents(raw_path, (char *)raw, sizeof(raw), NULL));
    make(&m, 3, 12, 4, 512 * KiB);
    backing_name(&m, "bottom.raw", "raw");
    add_data(&m, 1, 0x20);
    char *middle = save(&m, "middle.qcow2");
    make(&m, 3, 12, 4, 1 * MiB);
    backing_name(&m, "middle.qcow2", "qcow2");
    add_data(&m, 2, 0x30);
    char *top = save(&m, "top.qcow2"), *before, *after;
    gsize before_len, after_len;
    g_assert_true(g_file_get_contents(middle, &before, &before_len, NULL));
    struct image *image = open_as(top, false);
    assert_fill(image, 0, 0x10, 4096);
    assert_fill(image, 4096, 0x20, 4096);
    assert_fill(image, 2 * 4096, 0x30, 4096);
    assert_fill(image, 3 * 4096, 0x00, 4096);       /* behind the end of the bottom */
    assert_fill(image, 1 * MiB - 4096, 0x00, 4096); /* behind the end of the middle */
    write_fill(image, 512, 0x40, 512);
    write_fill(image, 4096 + 512, 0x41, 512);
    g_assert_cmpint(image_zero(image, 2 * 4096, 4096, true), ==, 0); /* of its own */
    assert_fill(image, 2 * 4096, 0x00, 4096);
    assert_fill(image, 0, 0x10, 512);
    assert_fill(image, 512, 0x40, 512);
    assert_fill(image, 1024, 0x10, 512);
    assert_fill(image, 4096, 0x20, 512);
    image_close(image);
    g_assert_cmpuint(check(top), ==, 0);
    g_assert_true(g_file_get_contents(middle, &after, &after_len, NULL));
    g_assert_cmpmem(before, before_len, after, after_len);
    g_free(before);
    g_free(after);
    g_free(raw_path);
    g_free(middle);
    g_free(top);
}

static void test_backing_trouble(void)
{
    struct maker m;
    make(&m, 3, 12, 4, 1 * MiB);
    backing_name(&m, "not-here", NULL);
    char *path = save(&m, "alone");
    open_fails(path, true, "needs its backing file");
    open_fails(path, true, "no such file");
    make(&m, 3, 12, 4, 1 * MiB);
    backing_name(&m, "self", NULL);
    char *self = save(&m, "self");
    open_fails(self, false, "stands on it itself");
    make(&m, 3, 12, 4, 1 * MiB);
    backing_name(&m, "loop-b", NULL);
    char *a = save(&m, "loop-a");
    make(&m, 3, 12, 4, 1 * MiB);
    backing_name(&m, "loop-a", NULL);
    char *b = save(&m, "loop-b");
    open_fails(a, true, "stands on it itself");
    make(&m, 3, 12, 4, 1 * MiB);
    backing_name(&m, "nbd:localhost:10809", NULL);
    char *net = save(&m, "net");
    open_fails(net, true, "not a plain file name");
    make(&m, 3, 12, 4, 1 * MiB);
    backing_name(&m, "self", "vmdk");
    char *format = save(&m, "format");
    open_fails(format, true, "format 'vmdk'");
    g_free(path);
    g_free(self);
    g_free(a);
    g_free(b);
    g_free(net);
    g_free(format);
}

/* --- Headers that are refused --- */

struct damage {
    const char *sentence;
    unsigned at, size;
    uint64_t value;
    bool only_for_writing;
};

static void test_headers_that_are_refused(void)
{
    static const struct damage damages[] = {
        {"version 4", 4, 4, 4, false},
        {"clusters of 2^8", 20, 4, 8, false},
        {"clusters of 2^22", 20, 4, 22, false},
        {"is encrypted", 32, 4, 1, false},
        {"0 bytes", 24, 8, 0, false},
        {"too large", 24, 8, 1ull << 60, false},
        {"a disk of", 24, 8, ~0ull, false},
        {"L1 table is too small", 36, 4, 0, false},
        {"L1 table is not in the file", 40, 8, 1ull << 40, false},
        {"L1 table is not in the file", 40, 8, 0x3001, false},
        {"refcount table is not in the file", 48, 8, 1ull << 40, true},
        {"refcount table is not in the file", 56, 4, 0, true},
        {"refcount table is not in the file", 56, 4, 0x7fffffff, true},
        {"another file", 72, 8, 0x04, false},
        {"extended L2", 72, 8, 0x10, false},
        {"bit 33", 72, 8, 1ull << 33, false},
        {"marked as corrupt", 72, 8, 0x02, true},
        {"not closed", 72, 8, 0x01, true},
        {"refcounts of 2^7", 96, 4, 7, false},
        {"a header of 96", 100, 4, 96, false},
        {"a header of", 100, 4, 0x80000000u, false},
        {"compression type", 72, 8, 0x08, false},
        {"header extension", 108, 4, 0x7fffffff, false},
        {"name of its backing file", 16, 4, 0xffffffff, false},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(damages); i++) {
        const struct damage *d = &damages[i];
        struct maker m;
        make(&m, 3, 12, 4, 1 * MiB);
        if (d->at == 108)
            put32(AT(&m, 0) + 104, 0x12345678);
        if (d->at == 16)
            put64(AT(&m, 0) + 8, 200);
        if (d->size == 4)
            put32(AT(&m, 0) + d->at, (uint32_t)d->value);
        else
            put64(AT(&m, 0) + d->at, d->value);
        char *path = save(&m, "refused");
        open_fails(path, false, d->sentence);
        if (d->only_for_writing)
            image_close(open_as(path, true));
        else
            open_fails(path, true, d->sentence);
        g_free(path);
    }
}

static void test_feature_name_is_told(void)
{
    struct maker m;
    make(&m, 3, 12, 4, 1 * MiB);
    put64(AT(&m, 0) + 72, 1ull << 20);
    put32(AT(&m, 0) + 104, 0x6803f857);
    put32(AT(&m, 0) + 108, 48);
    AT(&m, 0)[112] = 0;
    AT(&m, 0)[113] = 20;
    memcpy(AT(&m, 0) + 114, "warp drive", 10);
    char *path = save(&m, "feature");
    open_fails(path, true, "'warp drive'");
    g_free(path);
}

static void test_truncated(void)
{
    struct maker m;
    for (unsigned len = 4; len < 3 * 4096 + 8; len += 97) { /* up to the L1 table */
        make(&m, 3, 12, 4, 1 * MiB);
        g_byte_array_set_size(m.bytes, len);
        char *path = save(&m, "short");
        GError *error = NULL;
        struct image_options options = {.path = path};
        struct image *image = image_open(&options, &error);
        g_assert_null(image);
        g_clear_error(&error);
        g_free(path);
    }
}

/* --- Writing --- */

/* What was discarded may be anything that was there, or zeros: the model takes it as it is now. */
static void discard(struct image *image, uint8_t *model, uint64_t offset, uint32_t len)
{
    uint8_t *bytes = g_malloc(len);
    g_assert_cmpint(image_discard(image, offset, len), ==, 0);
    g_assert_cmpint(image_read(image, offset, bytes, len), ==, 0);
    for (uint32_t i = 0; i < len; i++)
        g_assert_true(!bytes[i] || bytes[i] == model[offset + i]);
    memcpy(model + offset, bytes, len);
    g_free(bytes);
}

/* Random writes, reads, zeros, discards and flushes against a model in memory; then the checker. */
static void exercise(const char *path, unsigned seed, unsigned count, uint64_t size)
{
    GRand *rand = g_rand_new_with_seed(seed);
    uint8_t *model = g_malloc0(size), *bytes = g_malloc(size);
    struct image *image = open_as(path, false);
    g_assert_cmpint(image_read(image, 0, model, (uint32_t)size), ==, 0);
    for (unsigned i = 0; i < count; i++) {
        uint64_t offset = (uint64_t)g_rand_int_range(rand, 0, (gint32)(size / 512)) * 512;
        uint32_t len = (uint32_t)g_rand_int_range(rand, 1, g_rand_boolean(rand) ? 8 : 200) * 512;
        len = (uint32_t)MIN(len, size - offset);
        unsigned what = (unsigned)g_rand_int_range(rand, 0, 14);
        if (what == 12) {
            g_assert_cmpint(image_zero(image, offset, len, g_rand_boolean(rand)), ==, 0);
            memset(model + offset, 0, len);
        } else if (what == 13) {
            discard(image, model, offset, len);
        } else if (what < 8) {
            memset(bytes, g_rand_int_range(rand, 0, 256), len);
            g_assert_cmpint(image_write(image, offset, bytes, len), ==, 0);
            memcpy(model + offset, bytes, len);
        } else if (what < 11) {
            g_assert_cmpint(image_read(image, offset, bytes, len), ==, 0);
            g_assert_cmpmem(bytes, len, model + offset, len);
        } else {
            g_assert_cmpint(image_flush(image), ==, 0);
        }
    }
    g_assert_cmpint(image_close(image), ==, 0);
    g_assert_cmpuint(check(path), ==, 0);
    image = open_as(path, true);
    g_assert_cmpint(image_read(image, 0, bytes, (uint32_t)size), ==, 0);
    g_assert_cmpmem(bytes, size, model, size);
    image_close(image);
    g_rand_free(rand);
    g_free(model);
    g_free(bytes);
}

/* What is below does not shine through, and its room is given back. */
static void test_zeros_and_discarding(void)
{
    struct maker m;
    uint8_t raw[4 * 4096];
    memset(raw, 0x10, sizeof(raw));
    char *raw_path = path_of("below.raw");
    g_assert_true(g_file_set_contents(raw_path, (char *)raw, sizeof(raw), NULL));
    make(&m, 3, 12, 4, 512 * KiB);
    backing_name(&m, "below.raw", "raw");
    char *path = save(&m, "zeros.qcow2");
    struct image *image = open_as(path, false);
    uint64_t before = g_file_test(path, G_FILE_TEST_EXISTS) ? image->file.size : 0;
    g_assert_cmpint(image_discard(image, 0, 4 * 4096), ==, 0); /* there is nothing of its own: it does not grow */
    assert_fill(image, 0, 0x10, 4 * 4096);
    g_assert_cmpuint(image->file.size, ==, before);
    g_assert_cmpint(image_zero(image, 4096 - 512, 4096 + 1024, true), ==, 0);
    assert_fill(image, 0, 0x10, 4096 - 512);
    assert_fill(image, 4096 - 512, 0, 4096 + 1024);
    assert_fill(image, 2 * 4096 + 512, 0x10, 4096);
    write_fill(image, 4096, 0x33, 4096);
    g_assert_cmpint(image_discard(image, 4096, 4096), ==, 0);
    assert_fill(image, 4096, 0, 4096);
    for (unsigned i = 0; i < 40; i++) { /* always the same clusters */
        write_fill(image, 64 * KiB, (uint8_t)i, 64 * KiB);
        g_assert_cmpint(image_discard(image, 64 * KiB, 64 * KiB), ==, 0);
        g_assert_cmpint(image_flush(image), ==, 0);
    }
    g_assert_cmpint(image_close(image), ==, 0);
    g_assert_cmpuint(check(path), ==, 0);
    char *contents;
    gsize len;
    g_assert_true(g_file_get_contents(path, &contents, &len, NULL));
    g_assert_cmpuint(len, <, 256 * KiB);
    g_free(contents);
    g_free(path);
    g_free(raw_path);
}

static void test_random_writes(void)
{
    static const struct {
        unsigned version, bits, order;
        uint64_t size;
    } shapes[] = {{3, 12, 4, 2 * MiB}, {2, 12, 4, 2 * MiB}, {3, 16, 4, 8 * MiB},
                  {3, 12, 6, 2 * MiB}, {3, 12, 3, 2 * MiB}, {3, 13, 0, 4 * MiB}};
    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        struct maker m;
        make(&m, shapes[i].version, shapes[i].bits, shapes[i].order, shapes[i].size);
        char *path = save(&m, "random");
        exercise(path, i + 1, 400, shapes[i].size);
        exercise(path, i + 100, 200, shapes[i].size);
        g_free(path);
    }
}

/* Clusters of 512 bytes: a refcount block of 64-bit counts is soon full, and so is the refcount table. */
static void test_refcount_table_grows(void)
{
    struct maker m;
    uint64_t size = 2 * MiB; /* 64 blocks of 64 clusters of 512 bytes are 2 MiB: the metadata does not fit */
    make(&m, 3, 9, 6, size);
    /* The L1 table of 2 MiB / 32 KiB = 64 entries is one cluster. */
    char *path = save(&m, "grow"), *contents;
    gsize len;
    exercise(path, 5, 2000, size);
    struct image *image = open_as(path, false);
    write_fill(image, 0, 0x5a, (uint32_t)size);
    g_assert_cmpint(image_close(image), ==, 0);
    g_assert_cmpuint(check(path), ==, 0);
    g_assert_true(g_file_get_contents(path, &contents, &len, NULL));
    g_assert_cmpuint(get32((uint8_t *)contents + 56), >, 1);
    g_free(contents);
    g_free(path);
}

static void test_snapshot_in_the_file_is_kept(void)
{
    struct maker m;
    make(&m, 3, 12, 4, 1 * MiB);
    unsigned a = add_data(&m, 0, 0x0a), b = add_data(&m, 1, 0x0b);
    /* A snapshot: its own L1 table, the same L2 table and data, all counted twice and not COPIED. */
    unsigned at = m.bytes->len / m.cluster;
    grow_to(&m, at + 2);
    put64(AT(&m, at), (uint64_t)L2 << 12);
    put64(AT(&m, L1), (uint64_t)L2 << 12);
    put64(AT(&m, L2), (uint64_t)a << 12);
    put64(AT(&m, L2) + 8, (uint64_t)b << 12);
    uint8_t *row = AT(&m, at + 1);
    put64(row, (uint64_t)at << 12);
    put32(row + 8, 1);
    row[13] = 1; /* "1" */
    row[15] = 1; /* "s" */
    put32(row + 36, 16);
    put64(row + 48, 1 * MiB);
    row[56] = '1';
    row[57] = 's';
    put32(AT(&m, 0) + 60, 1);
    put64(AT(&m, 0) + 64, (uint64_t)(at + 1) << 12);
    count_set(&m, at, 1);
    count_set(&m, at + 1, 1);
    count_set(&m, a, 2);
    count_set(&m, b, 2);
    count_set(&m, L2, 2);
    char *path = save(&m, "internal"), *contents;
    gsize len;
    g_assert_cmpuint(check(path), ==, 0);
    struct image *image = open_as(path, false);
    write_fill(image, 512, 0xff, 512);
    assert_fill(image, 0, 0x0a, 512);
    assert_fill(image, 512, 0xff, 512);
    assert_fill(image, 4096, 0x0b, 4096);
    image_close(image);
    g_assert_cmpuint(check(path), ==, 0);
    g_assert_true(g_file_get_contents(path, &contents, &len, NULL));
    uint64_t old_l2 = get64((uint8_t *)contents + ((uint64_t)at << 12)) & 0x00fffffffffffe00ull;
    uint64_t old_data = get64((uint8_t *)contents + old_l2) & 0x00fffffffffffe00ull;
    for (unsigned i = 0; i < 4096; i++)
        g_assert_cmphex((uint8_t)contents[old_data + i], ==, 0x0a);
    g_free(contents);
    g_free(path);
}

static void test_autoclear_bits_go_with_the_first_write(void)
{
    struct maker m;
    char *contents;
    gsize len;
    make(&m, 3, 12, 4, 1 * MiB);
    put64(AT(&m, 0) + 88, 1); /* bitmaps are consistent */
    char *path = save(&m, "autoclear");
    struct image *image = open_as(path, false);
    assert_fill(image, 0, 0, 512);
    image_close(image);
    g_assert_true(g_file_get_contents(path, &contents, &len, NULL));
    g_assert_cmpuint(get64((uint8_t *)contents + 88), ==, 1);
    g_free(contents);
    image = open_as(path, false);
    write_fill(image, 0, 1, 512);
    image_close(image);
    g_assert_true(g_file_get_contents(path, &contents, &len, NULL));
    g_assert_cmpuint(get64((uint8_t *)contents + 88), ==, 0);
    g_free(contents);
    g_free(path);
}

static void test_metadata_is_never_overwritten(void)
{
    struct maker m;
    uint8_t bytes[4096] = {0};
    make(&m, 3, 12, 4, 1 * MiB);
    put64(AT(&m, L2), (uint64_t)L1 << 12 | COPIED); /* a data cluster that is the L1 table */
    char *path = save(&m, "overlap"), *before, *after;
    gsize before_len, after_len;
    g_assert_true(g_file_get_contents(path, &before, &before_len, NULL));
    struct image *image = open_as(path, false);
    g_assert_cmpint(image_write(image, 0, bytes, 4096), ==, EIO);
    image_close(image);
    g_assert_true(g_file_get_contents(path, &after, &after_len, NULL));
    g_assert_cmpmem(before, before_len, after, after_len);
    g_free(before);
    g_free(after);
    make(&m, 3, 12, 4, 1 * MiB);
    count_set(&m, L2, 0); /* a table that looks free */
    g_free(path);
    path = save(&m, "uncounted");
    image = open_as(path, false);
    g_assert_cmpint(image_write(image, 0, bytes, 4096), ==, EIO);
    image_close(image);
    g_free(path);
}

static void test_bad_table_is_an_error(void)
{
    struct maker m;
    uint8_t bytes[512];
    make(&m, 3, 12, 4, 1 * MiB);
    put64(AT(&m, L1), 1ull << 40 | COPIED);
    char *path = save(&m, "far");
    struct image *image = open_as(path, true);
    g_assert_cmpint(image_read(image, 0, bytes, 512), ==, EIO);
    image_close(image);
    g_free(path);
}

/* --- Kill --- */

/* Writes records, flushes, and only then says so on the pipe; never ends by itself. */
static void journal_child(const char *path, int pipe_fd, unsigned seed, uint64_t size)
{
    GRand *rand = g_rand_new_with_seed(seed);
    struct image *image = open_as(path, false);
    uint32_t slots = (uint32_t)(size / 4096);
    for (uint32_t number = 1;; number++) {
        uint32_t record[1024];
        uint32_t slot = (uint32_t)g_rand_int_range(rand, 0, (gint32)slots);
        for (unsigned i = 0; i < 1024; i++)
            record[i] = number * 2654435761u + i;
        record[0] = number;
        if (image_write(image, slot * 4096ull, (uint8_t *)record, 4096) != 0)
            _exit(1);
        if (number % 4 == 0) {
            uint32_t told[2] = {number, slot};
            if (image_flush(image) != 0 || write(pipe_fd, told, 8) != 8)
                _exit(1);
        }
    }
}

static void kill_rounds(unsigned version, unsigned bits, unsigned order, unsigned rounds)
{
    uint64_t size = 2 * MiB;
    struct maker m;
    make(&m, version, bits, order, size);
    char *path = save(&m, "killed");
    for (unsigned round = 0; round < rounds; round++) {
        int fds[2];
        g_assert_cmpint(pipe(fds), ==, 0);
        pid_t child = fork();
        if (child == 0)
            journal_child(path, fds[1], round + bits * 1000, size);
        close(fds[1]);
        g_usleep((gulong)g_test_rand_int_range(500, 15000));
        kill(child, SIGKILL);
        int status;
        g_assert_cmpint(waitpid(child, &status, 0), ==, child);
        g_assert_true(WIFSIGNALED(status));
        uint32_t told[2], last = 0;
        while (read(fds[0], told, 8) == 8)
            last = told[0];
        close(fds[0]);

        check(path);
        /* All records up to the last flush, unless a later one took their place. */
        struct image *image = open_as(path, true);
        GRand *rand = g_rand_new_with_seed(round + bits * 1000);
        uint32_t slots = (uint32_t)(size / 4096), *newest = g_new0(uint32_t, slots);
        for (uint32_t number = 1; number <= last; number++)
            newest[g_rand_int_range(rand, 0, (gint32)slots)] = number;
        for (uint32_t slot = 0; slot < slots; slot++) {
            uint32_t record[1024];
            g_assert_cmpint(image_read(image, slot * 4096ull, (uint8_t *)record, 4096), ==, 0);
            if (!newest[slot])
                continue;
            if (record[0] < newest[slot]) /* a later record may have come, an earlier one may not stay */
                g_error("round %u: slot %u holds record %u, record %u was flushed", round, slot, record[0],
                        newest[slot]);
        }
        g_free(newest);
        g_rand_free(rand);
        image_close(image);
        /* The next round begins with an empty image now and then, else with what the kill left. */
        if (round % 4 == 3 || last > 100) {
            g_free(path);
            make(&m, version, bits, order, size);
            path = save(&m, "killed");
        } else {
            image = open_as(path, false);
            uint8_t *zeros = g_malloc0(size);
            g_assert_cmpint(image_write(image, 0, zeros, (uint32_t)size), ==, 0);
            g_assert_cmpint(image_close(image), ==, 0);
            g_free(zeros);
        }
    }
    g_free(path);
}

static void test_kill_loses_nothing_flushed(void)
{
    kill_rounds(3, 12, 4, 25);
    kill_rounds(3, 9, 6, 25); /* tables that grow all the time */
    kill_rounds(2, 16, 4, 10);
}

#define TEST(name) g_test_add_func("/qcow2/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("ringer-test-XXXXXX", NULL);
    TEST(read_v2_and_v3);
    TEST(read_neighbours_at_once);
    TEST(zero_clusters);
    TEST(compressed);
    TEST(compressed_garbage_is_an_error);
    TEST(backing_chain);
    TEST(backing_trouble);
    TEST(headers_that_are_refused);
    TEST(feature_name_is_told);
    TEST(truncated);
    TEST(zeros_and_discarding);
    TEST(random_writes);
    TEST(refcount_table_grows);
    TEST(snapshot_in_the_file_is_kept);
    TEST(autoclear_bits_go_with_the_first_write);
    TEST(metadata_is_never_overwritten);
    TEST(bad_table_is_an_error);
    TEST(kill_loses_nothing_flushed);
    int status = g_test_run();
    char *command = g_strdup_printf("rm -rf '%s'", folder);
    if (system(command) != 0)
        status = 1;
    g_free(command);
    g_free(folder);
    return status;
}

/* qcow2 disk images: headers and reading. See image_qcow2.h. */
#include "image_qcow2.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "log.h"

#define HEADER_V2 72u
#define HEADER_V3 104u

#define INCOMPATIBLE_DIRTY       0x01u
#define INCOMPATIBLE_CORRUPT     0x02u
#define INCOMPATIBLE_DATA_FILE   0x04u
#define INCOMPATIBLE_COMPRESSION 0x08u
#define INCOMPATIBLE_EXTENDED_L2 0x10u

#define EXTENSION_END      0x00000000u
#define EXTENSION_BACKING  0xe2792acau
#define EXTENSION_FEATURES 0x6803f857u

#define L1_BYTES_MAX       (32 * MiB)
#define REFTABLE_BYTES_MAX (8 * MiB)
#define L2_CACHE_BYTES     (16 * MiB)

bool image_qcow2_probe(const uint8_t *head, size_t len)
{
    return len >= 4 && memcmp(head, "QFI\xfb", 4) == 0;
}

static uint32_t be32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, 4);
    return GUINT32_FROM_BE(value);
}

static uint64_t be64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, 8);
    return GUINT64_FROM_BE(value);
}

int qcow2_corrupt(struct qcow2 *q, const char *what)
{
    if (!q->told_corrupt)
        log_user("disk image '%s' is damaged (%s); check it with 'qemu-img check'", q->image.file.path, what);
    q->told_corrupt = true;
    return EIO;
}

/* --- Tables --- */

static void table_free(gpointer opaque)
{
    struct qcow2_table *table = opaque;
    g_free(table->bytes);
    g_free(table);
}

static void cache_init(struct qcow2 *q, struct qcow2_cache *cache, uint64_t bytes)
{
    cache->tables = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, table_free);
    cache->limit = (unsigned)MAX(bytes >> q->cluster_bits, 4);
}

static void cache_shrink(struct qcow2_cache *cache)
{
    struct qcow2_table *oldest = NULL, *table;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, cache->tables);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        table = value;
        if (table->dirty_from == table->dirty_to && (!oldest || table->used < oldest->used))
            oldest = table;
    }
    if (oldest)
        g_hash_table_remove(cache->tables, GSIZE_TO_POINTER(oldest->offset));
}

struct qcow2_table *qcow2_table_new(struct qcow2 *q, struct qcow2_cache *cache, uint64_t offset)
{
    struct qcow2_table *table = g_new0(struct qcow2_table, 1);
    table->offset = offset;
    table->bytes = g_malloc0(q->cluster_size);
    table->used = ++cache->clock;
    g_hash_table_insert(cache->tables, GSIZE_TO_POINTER(offset), table);
    return table;
}

int qcow2_table_get(struct qcow2 *q, struct qcow2_cache *cache, uint64_t offset, struct qcow2_table **table)
{
    *table = g_hash_table_lookup(cache->tables, GSIZE_TO_POINTER(offset));
    if (*table) {
        (*table)->used = ++cache->clock;
        return 0;
    }
    if (offset & (q->cluster_size - 1) || offset == 0 || offset >= q->image.file.size)
        return qcow2_corrupt(q, "a table is where none can be");
    if (g_hash_table_size(cache->tables) >= cache->limit)
        cache_shrink(cache); /* what is dirty stays: writers see to it that there is not too much */
    uint8_t *bytes = g_malloc(q->cluster_size);
    int code = image_file_read(&q->image.file, offset, bytes, q->cluster_size, false);
    if (code) {
        g_free(bytes);
        return code;
    }
    *table = qcow2_table_new(q, cache, offset);
    g_free((*table)->bytes);
    (*table)->bytes = bytes;
    return 0;
}

int qcow2_lookup(struct qcow2 *q, uint64_t n, uint64_t *entry)
{
    unsigned l2_bits = q->cluster_bits - 3;
    uint64_t l1_entry = q->l1[n >> l2_bits];
    struct qcow2_table *table;

    *entry = 0;
    if (!(l1_entry & OFFSET_MASK))
        return 0;
    int code = qcow2_table_get(q, &q->l2, l1_entry & OFFSET_MASK, &table);
    if (!code)
        *entry = be64(table->bytes + 8 * (n & ((1u << l2_bits) - 1)));
    return code;
}

/* --- Reading --- */

static int backing_read(struct qcow2 *q, uint64_t offset, uint8_t *buffer, uint32_t len)
{
    uint32_t here = 0;
    if (q->backing && offset < q->backing->size) {
        here = (uint32_t)MIN(len, q->backing->size - offset);
        int code = image_read(q->backing, offset, buffer, here);
        if (code)
            return code;
    }
    memset(buffer + here, 0, len - here);
    return 0;
}

static bool inflate_zlib(const uint8_t *in, size_t in_len, uint8_t *out, size_t out_len)
{
    z_stream stream = {.next_in = (uint8_t *)in, .avail_in = (uInt)in_len, .next_out = out, .avail_out = (uInt)out_len};
    if (inflateInit2(&stream, -15) != Z_OK)
        return false;
    inflate(&stream, Z_FINISH); /* what is behind the stream's end is padding */
    inflateEnd(&stream);
    return stream.avail_out == 0;
}

static bool inflate_zstd(const uint8_t *in, size_t in_len, uint8_t *out, size_t out_len)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();
    ZSTD_inBuffer input = {in, in_len, 0};
    ZSTD_outBuffer output = {out, out_len, 0};
    while (context && output.pos < output.size) {
        size_t before_in = input.pos, before_out = output.pos;
        size_t rc = ZSTD_decompressStream(context, &output, &input);
        if (ZSTD_isError(rc) || (input.pos == before_in && output.pos == before_out))
            break;
    }
    ZSTD_freeDCtx(context);
    return output.pos == output.size;
}

static uint64_t compressed_place(const struct qcow2 *q, uint64_t entry, uint32_t *len)
{
    unsigned shift = 62 - (q->cluster_bits - 8);
    uint64_t offset = entry & ((1ull << shift) - 1);
    uint32_t sectors = (uint32_t)(entry >> shift & ((1u << (q->cluster_bits - 8)) - 1)) + 1;
    *len = sectors * 512 - (uint32_t)(offset & 511);
    return offset;
}

uint64_t qcow2_compressed_clusters(const struct qcow2 *q, uint64_t entry, uint64_t *first)
{
    uint32_t len;
    uint64_t offset = compressed_place(q, entry, &len);
    *first = offset >> q->cluster_bits;
    return ((offset + len - 1) >> q->cluster_bits) - *first + 1;
}

static int compressed_read(struct qcow2 *q, uint64_t entry)
{
    uint32_t len;
    uint64_t offset = compressed_place(q, entry, &len);

    if (q->inflated_entry == entry)
        return 0;
    if (offset >= q->image.file.size)
        return qcow2_corrupt(q, "compressed data lies behind the end of the file");
    if (!q->inflated)
        q->inflated = g_malloc(q->cluster_size);
    q->inflated_entry = 0;
    uint8_t *packed = g_malloc(len);
    int code = image_file_read(&q->image.file, offset, packed, len, false);
    bool ok = !code && (q->compression ? inflate_zstd : inflate_zlib)(packed, len, q->inflated, q->cluster_size);
    g_free(packed);
    if (code)
        return code;
    if (!ok)
        return qcow2_corrupt(q, "compressed data that cannot be unpacked");
    q->inflated_entry = entry;
    return 0;
}

/* Is the entry's cluster read as plain bytes of the file? */
static bool is_plain(const struct qcow2 *q, uint64_t entry)
{
    return !(entry & OFLAG_COMPRESSED) && (entry & OFFSET_MASK) && !(q->version >= 3 && (entry & OFLAG_ZERO));
}

/* len bytes from within the cluster n. */
static int cluster_part_read(struct qcow2 *q, uint64_t n, uint64_t entry, uint32_t within, uint8_t *buffer,
                             uint32_t len)
{
    if (entry & OFLAG_COMPRESSED) {
        int code = compressed_read(q, entry);
        if (!code)
            memcpy(buffer, q->inflated + within, len);
        return code;
    }
    if (q->version >= 3 && (entry & OFLAG_ZERO)) {
        memset(buffer, 0, len);
        return 0;
    }
    if (!(entry & OFFSET_MASK))
        return backing_read(q, (n << q->cluster_bits) + within, buffer, len);
    uint64_t offset = entry & OFFSET_MASK;
    if (offset & (q->cluster_size - 1))
        return qcow2_corrupt(q, "a cluster that is not aligned");
    return image_file_read(&q->image.file, offset + within, buffer, len, false);
}

int qcow2_read_cluster(struct qcow2 *q, uint64_t n, uint64_t entry, uint8_t *out)
{
    return cluster_part_read(q, n, entry, 0, out, q->cluster_size);
}

static int qcow2_read(struct image *image, uint64_t offset, uint8_t *buffer, uint32_t len)
{
    struct qcow2 *q = (struct qcow2 *)image;
    uint64_t entry, next;

    while (len > 0) {
        uint64_t n = offset >> q->cluster_bits;
        uint32_t within = (uint32_t)(offset & (q->cluster_size - 1));
        uint32_t piece = MIN(len, q->cluster_size - within);
        int code = qcow2_lookup(q, n, &entry);
        if (code)
            return code;
        /* Clusters that follow each other in the file, too, are read at once. */
        if (is_plain(q, entry) && !(entry & OFFSET_MASK & (q->cluster_size - 1))) {
            for (uint64_t i = 1; piece < len; i++) {
                code = qcow2_lookup(q, n + i, &next);
                if (code || !is_plain(q, next) ||
                    (next & OFFSET_MASK) != (entry & OFFSET_MASK) + (i << q->cluster_bits))
                    break;
                piece += MIN(len - piece, q->cluster_size);
            }
            code = image_file_read(&image->file, (entry & OFFSET_MASK) + within, buffer, piece, false);
        } else {
            code = cluster_part_read(q, n, entry, within, buffer, piece);
        }
        if (code)
            return code;
        offset += piece;
        buffer += piece;
        len -= piece;
    }
    return 0;
}

static void qcow2_close(struct image *image)
{
    struct qcow2 *q = (struct qcow2 *)image;
    qcow2_write_free(q);
    if (q->backing)
        image_close(q->backing);
    if (q->l2.tables)
        g_hash_table_destroy(q->l2.tables);
    g_free(q->l1);
    g_free(q->inflated);
}

static const struct image_ops qcow2_ops = {"qcow2",     qcow2_read,    qcow2_write, qcow2_flush,
                                           qcow2_close, qcow2_discard, qcow2_zero};

/* --- Opening --- */

struct header_extensions {
    char *backing_format;
    char *feature[64]; /* names of incompatible features, where the file has them */
};

static void extensions_clear(struct header_extensions *extensions)
{
    g_free(extensions->backing_format);
    for (unsigned i = 0; i < 64; i++)
        g_free(extensions->feature[i]);
}

static void features_read(struct header_extensions *extensions, const uint8_t *rows, uint32_t len)
{
    for (; len >= 48; rows += 48, len -= 48) {
        if (rows[0] == 0 && rows[1] < 64 && !extensions->feature[rows[1]])
            extensions->feature[rows[1]] = g_strndup((const char *)rows + 2, 46);
    }
}

static bool extensions_read(struct qcow2 *q, const uint8_t *head, uint32_t at, uint32_t end,
                            struct header_extensions *extensions, GError **error)
{
    while (at + 8 <= end) {
        uint32_t kind = be32(head + at), len = be32(head + at + 4);
        at += 8;
        if (kind == EXTENSION_END)
            return true;
        if (len > end - at) {
            IMAGE_FAIL(error, &q->image.file, "is damaged: a header extension of %u bytes does not fit", len);
            return false;
        }
        if (kind == EXTENSION_BACKING) {
            g_free(extensions->backing_format);
            extensions->backing_format = g_strndup((const char *)head + at, MIN(len, 63));
        } else if (kind == EXTENSION_FEATURES) {
            features_read(extensions, head + at, len);
        }
        at += (len + 7) & ~7u;
    }
    return true;
}

static bool features_check(struct qcow2 *q, uint64_t incompatible, const struct header_extensions *extensions,
                           GError **error)
{
    const struct image_file *file = &q->image.file;
    bool writable = file->writable;

    if (incompatible & INCOMPATIBLE_DATA_FILE)
        IMAGE_FAIL(error, file, "keeps its data in another file, which is not supported");
    else if (incompatible & INCOMPATIBLE_EXTENDED_L2)
        IMAGE_FAIL(error, file, "has extended L2 entries (subclusters), which are not supported");
    else if (incompatible >> 5) {
        unsigned bit = (unsigned)__builtin_ctzll(incompatible >> 5) + 5;
        const char *name = extensions->feature[bit];
        IMAGE_FAIL(error, file, "needs the feature '%s' (bit %u), which is not known", name ? name : "?", bit);
    } else if (writable && (incompatible & INCOMPATIBLE_CORRUPT))
        IMAGE_FAIL(error, file, "is marked as corrupt; repair it with 'qemu-img check -r all', or use -snapshot");
    else if (writable && (incompatible & INCOMPATIBLE_DIRTY))
        IMAGE_FAIL(error, file,
                   "was not closed by who wrote it last; repair it with 'qemu-img check -r all', or use -snapshot");
    else
        return true;
    return false;
}

/* Is [offset, offset + bytes) whole clusters' start, and within the file? */
static bool is_table_place(const struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
    return offset && !(offset & (q->cluster_size - 1)) && bytes <= q->image.file.size &&
           offset <= q->image.file.size - bytes;
}

static bool tables_read(struct qcow2 *q, const uint8_t *head, GError **error)
{
    const struct image_file *file = &q->image.file;
    uint64_t l2_span = (uint64_t)q->cluster_size << (q->cluster_bits - 3);
    uint64_t size = be64(head + 24);

    if (size == 0)
        return IMAGE_FAIL(error, file, "holds a disk of 0 bytes");
    if (size > INT64_MAX - 512)
        return IMAGE_FAIL(error, file, "is damaged: a disk of %llu bytes", (unsigned long long)size);
    q->image.size = (size + 511) & ~511ull;
    uint64_t l1_wanted = q->image.size / l2_span + (q->image.size % l2_span != 0);
    q->l1_size = be32(head + 36);
    q->l1_offset = be64(head + 40);
    if (l1_wanted > L1_BYTES_MAX / 8 || q->l1_size > L1_BYTES_MAX / 8)
        return IMAGE_FAIL(error, file, "holds a disk that is too large for its cluster size");
    if (q->l1_size < l1_wanted)
        return IMAGE_FAIL(error, file, "is damaged: its L1 table is too small");
    if (!is_table_place(q, q->l1_offset, 8ull * q->l1_size))
        return IMAGE_FAIL(error, file, "is damaged or truncated: its L1 table is not in the file");
    q->l1 = g_malloc(8ull * q->l1_size);
    int code = image_file_read(file, q->l1_offset, q->l1, 8ull * q->l1_size, true);
    if (code)
        return IMAGE_FAIL(error, file, "cannot be read: %s", g_strerror(code));
    for (uint32_t i = 0; i < q->l1_size; i++)
        q->l1[i] = GUINT64_FROM_BE(q->l1[i]);
    cache_init(q, &q->l2, L2_CACHE_BYTES);

    q->reftable_offset = be64(head + 48);
    uint64_t reftable_bytes = (uint64_t)be32(head + 56) << q->cluster_bits;
    if (!file->writable)
        return true;
    if (reftable_bytes > REFTABLE_BYTES_MAX || reftable_bytes == 0 ||
        !is_table_place(q, q->reftable_offset, reftable_bytes))
        return IMAGE_FAIL(error, file, "is damaged or truncated: its refcount table is not in the file");
    q->reftable_entries = reftable_bytes / 8;
    q->reftable = g_malloc(reftable_bytes);
    code = image_file_read(file, q->reftable_offset, q->reftable, reftable_bytes, true);
    if (code)
        return IMAGE_FAIL(error, file, "cannot be read: %s", g_strerror(code));
    for (uint64_t i = 0; i < q->reftable_entries; i++)
        q->reftable[i] = GUINT64_FROM_BE(q->reftable[i]);
    cache_init(q, &q->refblocks, L2_CACHE_BYTES / 4);
    return qcow2_write_setup(q, error);
}

static bool header_read(struct qcow2 *q, const struct image_file *const *chain, unsigned depth, GError **error)
{
    struct image_file *file = &q->image.file;
    uint8_t start[112] = {0};
    struct header_extensions extensions = {0};
    uint8_t *head = NULL;
    bool ok = false;

    if (file->size < HEADER_V2)
        return IMAGE_FAIL(error, file, "is truncated: no whole qcow2 header");
    int code = image_file_read(file, 0, start, MIN(sizeof(start), file->size), true);
    if (code)
        return IMAGE_FAIL(error, file, "cannot be read: %s", g_strerror(code));
    q->version = be32(start + 4);
    if (q->version != 2 && q->version != 3)
        return IMAGE_FAIL(error, file, "is qcow2 version %u; known are 2 and 3", q->version);
    q->cluster_bits = be32(start + 20);
    if (q->cluster_bits < 9 || q->cluster_bits > 21)
        return IMAGE_FAIL(error, file, "is damaged: clusters of 2^%u bytes", q->cluster_bits);
    q->cluster_size = 1u << q->cluster_bits;
    if (be32(start + 32) != 0)
        return IMAGE_FAIL(error, file, "is encrypted, which is not supported");

    uint32_t header_len = HEADER_V2;
    uint64_t incompatible = 0;
    q->refcount_order = 4;
    if (q->version == 3) {
        if (file->size < HEADER_V3)
            return IMAGE_FAIL(error, file, "is truncated: no whole qcow2 header");
        incompatible = be64(start + 72);
        q->autoclear = be64(start + 88);
        q->refcount_order = be32(start + 96);
        header_len = be32(start + 100);
        if (q->refcount_order > 6)
            return IMAGE_FAIL(error, file, "is damaged: refcounts of 2^%u bits", q->refcount_order);
        if (header_len < HEADER_V3 || header_len > q->cluster_size || header_len > file->size)
            return IMAGE_FAIL(error, file, "is damaged: a header of %u bytes", header_len);
    }
    head = g_malloc0(q->cluster_size);
    code = image_file_read(file, 0, head, MIN(q->cluster_size, file->size), true);
    if (code) {
        IMAGE_FAIL(error, file, "cannot be read: %s", g_strerror(code));
        goto out;
    }
    uint64_t name_at = be64(head + 8);
    uint32_t name_len = be32(head + 16);
    if (name_at && (name_len > 1023 || name_at > q->cluster_size || name_len > q->cluster_size - name_at ||
                    name_at < header_len)) {
        IMAGE_FAIL(error, file, "is damaged: the name of its backing file is nowhere");
        goto out;
    }
    if (!extensions_read(q, head, header_len, name_at ? (uint32_t)name_at : q->cluster_size, &extensions, error) ||
        !features_check(q, incompatible, &extensions, error))
        goto out;
    q->compression = header_len > 104 ? head[104] : 0;
    if (!!(incompatible & INCOMPATIBLE_COMPRESSION) != (q->compression != 0) || q->compression > 1) {
        IMAGE_FAIL(error, file, "has compression type %u; known are 0 (zlib) and 1 (zstd)", q->compression);
        goto out;
    }
    if (!tables_read(q, head, error))
        goto out;
    if (name_at && name_len) {
        char *name = g_strndup((const char *)head + name_at, name_len);
        q->backing = image_open_backing(&q->image, name, extensions.backing_format, chain, depth, error);
        g_free(name);
        if (!q->backing)
            goto out;
    }
    ok = true;

out:
    extensions_clear(&extensions);
    g_free(head);
    return ok;
}

struct image *image_qcow2_open(struct image_file *file, const struct image_file *const *chain, unsigned depth,
                               GError **error)
{
    struct qcow2 *q = g_new0(struct qcow2, 1);
    q->image.ops = &qcow2_ops;
    q->image.file = *file;
    if (header_read(q, chain, depth, error))
        return &q->image;
    qcow2_close(&q->image);
    image_file_close(&q->image.file);
    g_free(q);
    return NULL;
}

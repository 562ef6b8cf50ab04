/* qcow2 disk images: allocation, writing, and the order in which things reach the file.
 *
 * Data is written at once; refcounts, L2 and L1 are changed in memory and written by a flush, in this order
 * with a barrier between each: new refcounts, L2 tables, L1 table. So at every moment what the file points to
 * is there and counted; a crash leaves at most clusters that are counted and not pointed to (leaks). References
 * are taken away last, after nothing in the file points there any more. See image_qcow2.h.
 */
#include <errno.h>
#include <string.h>

#include "image_qcow2.h"
#include "log.h"

#define AUTOCLEAR_AT 88u /* in the header */
#define REFTABLE_AT  48u
#define REFTABLE_MAX (8 * MiB)

static void put_be64(uint8_t *bytes, uint64_t value)
{
    value = GUINT64_TO_BE(value);
    memcpy(bytes, &value, 8);
}

static void table_dirty(struct qcow2_cache *cache, struct qcow2_table *table, uint32_t from, uint32_t to)
{
    if (table->dirty_from == table->dirty_to) {
        cache->dirty++;
        table->dirty_from = from;
        table->dirty_to = to;
        return;
    }
    table->dirty_from = MIN(table->dirty_from, from);
    table->dirty_to = MAX(table->dirty_to, to);
}

/* After a sync that failed nobody knows what is on the disk: no more writes. */
static int file_sync(struct qcow2 *q)
{
    int code = image_file_sync(&q->image.file);
    if (code)
        q->broken = code;
    return code;
}

static void mark_metadata(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
    for (uint64_t n = offset >> q->cluster_bits; n < qcow2_clusters(q, offset + bytes); n++)
        g_hash_table_add(q->metadata, GSIZE_TO_POINTER(n));
}

static bool is_metadata(const struct qcow2 *q, uint64_t offset)
{
    return g_hash_table_contains(q->metadata, GSIZE_TO_POINTER(offset >> q->cluster_bits));
}

bool qcow2_write_setup(struct qcow2 *q, GError **error)
{
    q->metadata = g_hash_table_new(g_direct_hash, g_direct_equal);
    q->reftable_dirty = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    q->l1_dirty = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    q->to_free = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    q->scratch = g_malloc(q->cluster_size);

    mark_metadata(q, 0, 1);
    mark_metadata(q, q->l1_offset, MAX(8ull * q->l1_size, 1));
    mark_metadata(q, q->reftable_offset, q->reftable_entries * 8);
    for (uint64_t i = 0; i < q->reftable_entries; i++) {
        uint64_t offset = q->reftable[i] & OFFSET_MASK;
        if (!offset)
            continue;
        if ((q->reftable[i] & (q->cluster_size - 1)) || is_metadata(q, offset))
            return IMAGE_FAIL(error, &q->image.file, "is damaged: refcount block %llu is where it cannot be",
                              (unsigned long long)i);
        mark_metadata(q, offset, 1);
    }
    for (uint32_t i = 0; i < q->l1_size; i++) {
        uint64_t offset = q->l1[i] & OFFSET_MASK;
        if (!offset)
            continue;
        if ((offset & (q->cluster_size - 1)) || is_metadata(q, offset))
            return IMAGE_FAIL(error, &q->image.file, "is damaged: L2 table %u is where it cannot be", i);
        mark_metadata(q, offset, 1);
    }
    return true;
}

void qcow2_write_free(struct qcow2 *q)
{
    if (q->refblocks.tables)
        g_hash_table_destroy(q->refblocks.tables);
    g_free(q->reftable);
    if (!q->metadata)
        return;
    g_hash_table_destroy(q->metadata);
    g_array_free(q->reftable_dirty, TRUE);
    g_array_free(q->l1_dirty, TRUE);
    g_array_free(q->to_free, TRUE);
    g_free(q->scratch);
}

static int cache_write(struct qcow2 *q, struct qcow2_cache *cache, bool *any)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, cache->tables);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        struct qcow2_table *table = value;
        if (table->dirty_from == table->dirty_to)
            continue;
        int code = image_file_write(&q->image.file, table->offset + table->dirty_from, table->bytes + table->dirty_from,
                                    table->dirty_to - table->dirty_from);
        if (code)
            return code;
        table->dirty_from = table->dirty_to = 0;
        cache->dirty--;
        *any = true;
    }
    return 0;
}

/* --- Refcounts --- */

static unsigned refblock_bits(const struct qcow2 *q)
{
    return q->cluster_bits + 3 - q->refcount_order;
}

static uint64_t field_get(const struct qcow2 *q, const uint8_t *block, uint64_t i)
{
    unsigned order = q->refcount_order;
    if (order < 3) {
        unsigned width = 1u << order;
        return block[i * width / 8] >> (i * width % 8) & ((1u << width) - 1);
    }
    uint64_t value = 0;
    unsigned bytes = 1u << (order - 3);
    for (unsigned b = 0; b < bytes; b++)
        value = value << 8 | block[i * bytes + b];
    return value;
}

static void field_set(struct qcow2 *q, struct qcow2_table *block, uint64_t i, uint64_t value)
{
    unsigned order = q->refcount_order;
    if (order < 3) {
        unsigned width = 1u << order, shift = (unsigned)(i * width % 8);
        uint32_t at = (uint32_t)(i * width / 8);
        uint8_t mask = (uint8_t)(((1u << width) - 1) << shift);
        block->bytes[at] = (uint8_t)((block->bytes[at] & ~mask) | (value << shift & mask));
        table_dirty(&q->refblocks, block, at, at + 1);
        return;
    }
    uint32_t bytes = 1u << (order - 3), at = (uint32_t)(i * bytes);
    for (uint32_t b = 0; b < bytes; b++)
        block->bytes[at + b] = (uint8_t)(value >> (8 * (bytes - 1 - b)));
    table_dirty(&q->refblocks, block, at, at + bytes);
}

/* The refcount block of cluster n; NULL in *block where there is none. */
static int refblock_get(struct qcow2 *q, uint64_t n, struct qcow2_table **block)
{
    uint64_t i = n >> refblock_bits(q);
    *block = NULL;
    if (i >= q->reftable_entries || !(q->reftable[i] & OFFSET_MASK))
        return 0;
    return qcow2_table_get(q, &q->refblocks, q->reftable[i] & OFFSET_MASK, block);
}

static int refcount_get(struct qcow2 *q, uint64_t n, uint64_t *count)
{
    struct qcow2_table *block;
    int code = refblock_get(q, n, &block);
    *count = block && !code ? field_get(q, block->bytes, n & ((1ull << refblock_bits(q)) - 1)) : 0;
    return code;
}

/* A new refcount block at cluster n, which is in its own range. */
static void refblock_new(struct qcow2 *q, uint64_t n)
{
    uint64_t i = n >> refblock_bits(q);
    struct qcow2_table *block = qcow2_table_new(q, &q->refblocks, n << q->cluster_bits);
    table_dirty(&q->refblocks, block, 0, q->cluster_size);
    field_set(q, block, n & ((1ull << refblock_bits(q)) - 1), 1);
    q->reftable[i] = n << q->cluster_bits;
    g_array_append_val(q->reftable_dirty, i);
    mark_metadata(q, n << q->cluster_bits, 1);
}

/* The refcount table is full: a larger one goes where no refcount block reaches yet, behind the blocks that
 * count it and themselves. It is complete in the file before the header says where it is. */
static int reftable_grow(struct qcow2 *q)
{
    uint64_t span = 1ull << refblock_bits(q);
    uint64_t old_entries = q->reftable_entries, entries = old_entries * 2;
    uint64_t base = old_entries << refblock_bits(q); /* the first cluster that nobody counts */
    uint64_t clusters = qcow2_clusters(q, entries * 8), blocks = 1;

    while (blocks * span < blocks + clusters)
        blocks++;
    if (entries * 8 > REFTABLE_MAX || old_entries + blocks > entries)
        return EFBIG;
    uint64_t *larger = g_malloc0(entries * 8);
    memcpy(larger, q->reftable, old_entries * 8);
    g_free(q->reftable);
    q->reftable = larger;
    q->reftable_entries = entries;
    for (uint64_t k = 0; k < blocks; k++) {
        uint64_t offset = (base + k) << q->cluster_bits;
        struct qcow2_table *block = qcow2_table_new(q, &q->refblocks, offset);
        table_dirty(&q->refblocks, block, 0, q->cluster_size);
        q->reftable[old_entries + k] = offset;
        mark_metadata(q, offset, 1);
        for (uint64_t i = 0; i < span && k * span + i < blocks + clusters; i++)
            field_set(q, block, i, 1);
    }

    uint64_t table = (base + blocks) << q->cluster_bits, old_table = q->reftable_offset;
    uint8_t *bytes = g_malloc(entries * 8);
    bool any;
    for (uint64_t i = 0; i < entries; i++)
        put_be64(bytes + 8 * i, q->reftable[i]);
    int code = cache_write(q, &q->refblocks, &any);
    if (!code)
        code = image_file_write(&q->image.file, table, bytes, entries * 8);
    g_free(bytes);
    if (!code)
        code = image_file_extend(&q->image.file, table + (clusters << q->cluster_bits));
    if (!code)
        code = file_sync(q);
    if (!code) {
        uint8_t pointer[12];
        uint32_t count = GUINT32_TO_BE((uint32_t)clusters);
        put_be64(pointer, table);
        memcpy(pointer + 8, &count, 4);
        code = image_file_write(&q->image.file, REFTABLE_AT, pointer, sizeof(pointer));
    }
    if (!code)
        code = file_sync(q);
    if (code) {
        q->broken = code; /* memory knows the new table, the file perhaps not */
        return code;
    }
    g_array_set_size(q->reftable_dirty, 0);
    q->reftable_offset = table;
    mark_metadata(q, table, entries * 8);
    for (uint64_t i = 0; i < qcow2_clusters(q, old_entries * 8); i++) {
        uint64_t n = (old_table >> q->cluster_bits) + i;
        g_hash_table_remove(q->metadata, GSIZE_TO_POINTER(n));
        g_array_append_val(q->to_free, n);
    }
    return 0;
}

/* A free cluster, counted once from now on. */
static int cluster_alloc(struct qcow2 *q, uint64_t *offset)
{
    for (uint64_t n = q->next_free;; n++) {
        struct qcow2_table *block;
        uint64_t count;
        int code = refcount_get(q, n, &count);
        if (code)
            return code;
        if (count)
            continue;
        if (n > OFFSET_MASK >> q->cluster_bits)
            return EFBIG;
        if (is_metadata(q, n << q->cluster_bits))
            return qcow2_corrupt(q, "metadata that is not counted");
        if (n >> refblock_bits(q) >= q->reftable_entries) {
            code = reftable_grow(q);
            if (code)
                return code;
            n--; /* some cluster near here is the new table's now */
            continue;
        }
        code = refblock_get(q, n, &block);
        if (code)
            return code;
        if (!block) {
            refblock_new(q, n);
            continue;
        }
        field_set(q, block, n & ((1ull << refblock_bits(q)) - 1), 1);
        q->next_free = n + 1;
        *offset = n << q->cluster_bits;
        /* The cluster is wholly in the file, whatever part of it is written first. */
        return image_file_extend(&q->image.file, *offset + q->cluster_size);
    }
}

static int refcount_drop(struct qcow2 *q, uint64_t n)
{
    struct qcow2_table *block;
    int code = refblock_get(q, n, &block);
    if (code)
        return code;
    uint64_t i = n & ((1ull << refblock_bits(q)) - 1);
    uint64_t count = block ? field_get(q, block->bytes, i) : 0;
    if (count == 0)
        return qcow2_corrupt(q, "a cluster in use that is not counted");
    field_set(q, block, i, count - 1);
    if (count == 1 && n < q->next_free)
        q->next_free = n;
    return 0;
}

/* --- Flush --- */

static int refcounts_write(struct qcow2 *q, bool *any)
{
    int code = cache_write(q, &q->refblocks, any);
    for (guint k = 0; !code && k < q->reftable_dirty->len; k++) {
        uint64_t i = g_array_index(q->reftable_dirty, uint64_t, k);
        uint8_t bytes[8];
        put_be64(bytes, q->reftable[i]);
        if (k == 0)
            code = file_sync(q); /* blocks before what points to them */
        if (!code)
            code = image_file_write(&q->image.file, q->reftable_offset + 8 * i, bytes, 8);
        *any = true;
    }
    if (!code)
        g_array_set_size(q->reftable_dirty, 0);
    return code;
}

static int metadata_write(struct qcow2 *q)
{
    bool counts = false, l2 = false, freed = false;
    int code = refcounts_write(q, &counts);
    /* Also the data must be there before the tables point to it. */
    if (!code)
        code = file_sync(q);
    if (!code)
        code = cache_write(q, &q->l2, &l2);
    if (!code && l2)
        code = file_sync(q);
    for (guint k = 0; !code && k < q->l1_dirty->len; k++) {
        uint32_t i = g_array_index(q->l1_dirty, uint32_t, k);
        uint8_t bytes[8];
        put_be64(bytes, q->l1[i]);
        code = image_file_write(&q->image.file, q->l1_offset + 8ull * i, bytes, 8);
    }
    if (!code && q->l1_dirty->len)
        code = file_sync(q);
    if (code)
        return code;
    g_array_set_size(q->l1_dirty, 0);
    /* Nothing in the file points to these any more. */
    for (guint k = 0; !code && k < q->to_free->len; k++)
        code = refcount_drop(q, g_array_index(q->to_free, uint64_t, k));
    g_array_set_size(q->to_free, 0);
    return code ? code : refcounts_write(q, &freed);
}

int qcow2_flush(struct image *image)
{
    struct qcow2 *q = (struct qcow2 *)image;
    if (!image->file.writable)
        return 0;
    if (q->broken)
        return q->broken;
    return metadata_write(q); /* what it could not write is still dirty: the next flush tries again */
}

/* --- Writing --- */

/* The L2 table of guest cluster n, one of its own: nobody else, no snapshot, refers to it. */
static int l2_for_write(struct qcow2 *q, uint64_t n, struct qcow2_table **table)
{
    uint32_t i = (uint32_t)(n >> (q->cluster_bits - 3));
    uint64_t old = q->l1[i], fresh;
    struct qcow2_table *source = NULL;
    int code = 0;

    /* Before anything of ours is half done: room in the caches. */
    if (q->l2.dirty + 2 > q->l2.limit || q->refblocks.dirty + 2 > q->refblocks.limit)
        code = metadata_write(q);
    if (!code && (old & OFFSET_MASK) && (old & OFLAG_COPIED))
        return qcow2_table_get(q, &q->l2, old & OFFSET_MASK, table);
    if (!code && (old & OFFSET_MASK))
        code = qcow2_table_get(q, &q->l2, old & OFFSET_MASK, &source);
    if (!code)
        code = cluster_alloc(q, &fresh);
    if (code)
        return code;
    *table = qcow2_table_new(q, &q->l2, fresh);
    if (source)
        memcpy((*table)->bytes, source->bytes, q->cluster_size);
    table_dirty(&q->l2, *table, 0, q->cluster_size);
    mark_metadata(q, fresh, 1);
    q->l1[i] = fresh | OFLAG_COPIED;
    g_array_append_val(q->l1_dirty, i);
    if (old & OFFSET_MASK) {
        uint64_t gone = (old & OFFSET_MASK) >> q->cluster_bits;
        g_hash_table_remove(q->metadata, GSIZE_TO_POINTER(gone));
        g_array_append_val(q->to_free, gone);
    }
    return 0;
}

static void entry_forget(struct qcow2 *q, uint64_t entry)
{
    uint64_t first = (entry & OFFSET_MASK) >> q->cluster_bits, count = (entry & OFFSET_MASK) != 0;
    if (entry & OFLAG_COMPRESSED)
        count = qcow2_compressed_clusters(q, entry, &first);
    for (uint64_t n = first; n < first + count; n++)
        g_array_append_val(q->to_free, n);
}

/* len bytes within guest cluster n. */
static int cluster_write(struct qcow2 *q, uint64_t n, uint32_t within, const uint8_t *buffer, uint32_t len)
{
    struct qcow2_table *table;
    int code = l2_for_write(q, n, &table);
    if (code)
        return code;
    uint32_t at = 8 * (uint32_t)(n & ((1u << (q->cluster_bits - 3)) - 1));
    uint64_t entry;
    memcpy(&entry, table->bytes + at, 8);
    entry = GUINT64_FROM_BE(entry);

    bool is_zero = q->version >= 3 && !(entry & OFLAG_COMPRESSED) && (entry & OFLAG_ZERO);
    bool is_ours = !(entry & OFLAG_COMPRESSED) && (entry & OFLAG_COPIED) && (entry & OFFSET_MASK);
    uint64_t offset = entry & OFFSET_MASK;
    if (is_ours && ((offset & (q->cluster_size - 1)) || is_metadata(q, offset)))
        return qcow2_corrupt(q, "data where there is metadata");
    if (is_ours) { /* or so the table says; an uncounted cluster will be given to somebody else, too */
        uint64_t count;
        code = refcount_get(q, offset >> q->cluster_bits, &count);
        if (!code && count == 0)
            code = qcow2_corrupt(q, "a cluster in use that is not counted");
        if (code)
            return code;
    }
    if (is_ours && !is_zero)
        return image_file_write(&q->image.file, offset + within, buffer, len);

    const uint8_t *whole = buffer;
    if (len != q->cluster_size) {
        code = qcow2_read_cluster(q, n, entry, q->scratch);
        if (code)
            return code;
        memcpy(q->scratch + within, buffer, len);
        whole = q->scratch;
    }
    if (!is_ours) {
        code = cluster_alloc(q, &offset);
        if (code)
            return code;
    }
    code = image_file_write(&q->image.file, offset, whole, q->cluster_size);
    if (code)
        return code;
    if (!is_ours)
        entry_forget(q, entry);
    put_be64(table->bytes + at, offset | OFLAG_COPIED);
    table_dirty(&q->l2, table, at, at + 8);
    return 0;
}

/* Before anything of the guest's changes. */
static int write_begin(struct qcow2 *q)
{
    struct image *image = &q->image;
    int code = 0;

    if (!image->file.writable)
        return EROFS;
    if (q->broken)
        return q->broken;
    if (q->autoclear) {
        /* Bitmaps and the like do not follow what we write: whoever made them shall know. */
        const uint8_t none[8] = {0};
        code = image_file_write(&image->file, AUTOCLEAR_AT, none, sizeof(none));
        if (!code)
            code = image_file_sync(&image->file);
        if (code)
            return code;
        q->autoclear = 0;
    }
    return 0;
}

int qcow2_write(struct image *image, uint64_t offset, const uint8_t *buffer, uint32_t len)
{
    struct qcow2 *q = (struct qcow2 *)image;
    int code = write_begin(q);
    while (len > 0 && !code) {
        uint32_t within = (uint32_t)(offset & (q->cluster_size - 1));
        uint32_t piece = MIN(len, q->cluster_size - within);
        code = cluster_write(q, offset >> q->cluster_bits, within, buffer, piece);
        offset += piece;
        buffer += piece;
        len -= piece;
    }
    return code;
}

/* --- Zeros and discarding --- */

/* Guest cluster n reads as zeros, and has no room of its own any more. */
static int cluster_zero(struct qcow2 *q, uint64_t n)
{
    struct qcow2_table *table;
    uint64_t entry;
    int code = qcow2_lookup(q, n, &entry);
    bool is_empty = !(entry & (OFFSET_MASK | OFLAG_COMPRESSED));
    if (code || (is_empty && (!q->backing || (q->version >= 3 && (entry & OFLAG_ZERO)))))
        return code;
    uint64_t offset = entry & OFFSET_MASK;
    if (!(entry & OFLAG_COMPRESSED) && offset && ((offset & (q->cluster_size - 1)) || is_metadata(q, offset)))
        return qcow2_corrupt(q, "data where there is metadata");
    code = l2_for_write(q, n, &table);
    if (code)
        return code;
    uint32_t at = 8 * (uint32_t)(n & ((1u << (q->cluster_bits - 3)) - 1));
    entry_forget(q, entry);
    put_be64(table->bytes + at, q->backing ? OFLAG_ZERO : 0);
    table_dirty(&q->l2, table, at, at + 8);
    return 0;
}

/* The whole clusters of a range; how many there are, and the number of the first. */
static uint64_t whole_clusters(const struct qcow2 *q, uint64_t offset, uint32_t len, uint64_t *first)
{
    uint64_t end = offset + len;
    *first = qcow2_clusters(q, offset);
    /* What there is of the last one is all of it. */
    uint64_t behind = end == q->image.size ? qcow2_clusters(q, end) : end >> q->cluster_bits;
    return behind > *first ? behind - *first : 0;
}

static bool can_zero(const struct qcow2 *q)
{
    return q->version >= 3 || !q->backing; /* older ones have no flag for it */
}

int qcow2_discard(struct image *image, uint64_t offset, uint32_t len)
{
    struct qcow2 *q = (struct qcow2 *)image;
    int code = write_begin(q);
    uint64_t first, count = whole_clusters(q, offset, len, &first), entry;
    for (uint64_t n = first; !code && can_zero(q) && n < first + count; n++) {
        code = qcow2_lookup(q, n, &entry);
        if (!code && (entry & (OFFSET_MASK | OFLAG_COMPRESSED))) /* a file does not grow by discarding */
            code = cluster_zero(q, n);
    }
    return code;
}

int qcow2_zero(struct image *image, uint64_t offset, uint32_t len, bool may_unmap)
{
    static const uint8_t zeros[512];
    struct qcow2 *q = (struct qcow2 *)image;
    int code = write_begin(q);
    uint64_t first, count = whole_clusters(q, offset, len, &first);
    if (code || !can_zero(q))
        return code ? code : ENOTSUP;
    while (len > 0 && !code) {
        uint32_t within = (uint32_t)(offset & (q->cluster_size - 1));
        uint32_t piece = MIN(len, q->cluster_size - within);
        uint64_t n = offset >> q->cluster_bits;
        if (n >= first && n < first + count)
            code = cluster_zero(q, n);
        for (uint32_t done = 0; !code && (n < first || n >= first + count) && done < piece; done += 512)
            code = cluster_write(q, n, within + done, zeros, MIN(512, piece - done));
        offset += piece;
        len -= piece;
    }
    return code;
}

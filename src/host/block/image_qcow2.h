/* qcow2 images: what reading (image_qcow2.c) and writing (image_qcow2_write.c) share.
 *
 * The format is described in QEMU's docs/interop/qcow2.txt; names are those of that text.
 */
#pragma once

#include "image.h"

#define OFLAG_COPIED     (1ull << 63)
#define OFLAG_COMPRESSED (1ull << 62)
#define OFLAG_ZERO       1ull /* version 3 */
#define OFFSET_MASK      0x00fffffffffffe00ull

/* Metadata tables are kept in memory by their place in the file, and written back when it is time. */
struct qcow2_table {
    uint64_t offset;
    uint8_t *bytes;                /* one cluster, as in the file (big endian) */
    uint32_t dirty_from, dirty_to; /* bytes that differ from the file; equal: none */
    uint64_t used;                 /* a counter, for the choice of what goes */
};

struct qcow2_cache {
    GHashTable *tables;    /* cluster number -> struct qcow2_table */
    unsigned limit, dirty; /* tables that may be here, that must be written first */
    uint64_t clock;
};

struct qcow2 {
    struct image image; /* first */
    struct image *backing;
    unsigned version, cluster_bits, refcount_order, compression;
    uint32_t cluster_size;
    uint64_t autoclear;
    uint64_t *l1; /* host order */
    uint64_t l1_offset;
    uint32_t l1_size;
    struct qcow2_cache l2;
    uint8_t *inflated;       /* the compressed cluster that was read last */
    uint64_t inflated_entry; /* its L2 entry, 0: none */
    bool told_corrupt;

    /* --- for writing; NULL and 0 in an image that is only read --- */
    uint64_t *reftable;
    uint64_t reftable_offset, reftable_entries;
    struct qcow2_cache refblocks;
    GHashTable *metadata;              /* numbers of clusters that hold metadata: no data may go there */
    GArray *reftable_dirty, *l1_dirty; /* indices that differ from the file */
    GArray *to_free;                   /* cluster numbers that lose a reference once nothing in the file points there */
    uint64_t next_free;                /* no cluster below is free */
    uint8_t *scratch;                  /* one cluster */
    int broken;                        /* an error that left memory and file apart: no more writes */
};

static inline uint64_t qcow2_clusters(const struct qcow2 *q, uint64_t bytes)
{
    return (bytes + q->cluster_size - 1) >> q->cluster_bits;
}

/* The bytes of the guest's cluster n as they are now, without its newest write. */
int qcow2_read_cluster(struct qcow2 *q, uint64_t n, uint64_t entry, uint8_t *out);
/* *entry: the L2 entry of guest cluster n, 0 where there is no table. */
int qcow2_lookup(struct qcow2 *q, uint64_t n, uint64_t *entry);
/* Tells the user, once, that the file contradicts itself; returns EIO. */
int qcow2_corrupt(struct qcow2 *q, const char *what);
/* The host clusters that a compressed entry takes bytes from: number of the first, and how many. */
uint64_t qcow2_compressed_clusters(const struct qcow2 *q, uint64_t entry, uint64_t *first);

/* A table out of the cache or the file. When the cache is full, a table that is not dirty goes. */
int qcow2_table_get(struct qcow2 *q, struct qcow2_cache *cache, uint64_t offset, struct qcow2_table **table);
struct qcow2_table *qcow2_table_new(struct qcow2 *q, struct qcow2_cache *cache, uint64_t offset);

bool qcow2_write_setup(struct qcow2 *q, GError **error);
int qcow2_write(struct image *image, uint64_t offset, const uint8_t *buffer, uint32_t len);
int qcow2_discard(struct image *image, uint64_t offset, uint32_t len);
int qcow2_zero(struct image *image, uint64_t offset, uint32_t len, bool may_unmap);
int qcow2_flush(struct image *image);
void qcow2_write_free(struct qcow2 *q);

/* What -snapshot writes to: an unlinked temporary file that holds the clusters that were written, and a table
 * in memory that says where each lies. The image below is only read.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

#define CLUSTER 65536u

struct snapshot {
    struct image image; /* first; its file is the temporary one */
    struct image *base;
    char *base_path;   /* also when -daemonize has changed the folder */
    GHashTable *slots; /* cluster number -> place in the file, in clusters, plus 1 */
    uint8_t *scratch;
    uint64_t next;
};

static uint64_t slot_find(struct snapshot *snap, uint64_t cluster)
{
    return (uint64_t)(uintptr_t)g_hash_table_lookup(snap->slots, (gpointer)(uintptr_t)cluster);
}

static int base_read(struct snapshot *snap, uint64_t offset, uint8_t *buffer, uint32_t len)
{
    return image_read(snap->base, offset, buffer, len);
}

static int snapshot_read(struct image *image, uint64_t offset, uint8_t *buffer, uint32_t len)
{
    struct snapshot *snap = (struct snapshot *)image;
    while (len > 0) {
        uint32_t within = offset % CLUSTER, piece = MIN(len, CLUSTER - within);
        uint64_t slot = slot_find(snap, offset / CLUSTER);
        int code = slot ? image_file_read(&image->file, (slot - 1) * CLUSTER + within, buffer, piece, false)
                        : base_read(snap, offset, buffer, piece);
        if (code)
            return code;
        offset += piece;
        buffer += piece;
        len -= piece;
    }
    return 0;
}

static int snapshot_write(struct image *image, uint64_t offset, const uint8_t *buffer, uint32_t len)
{
    struct snapshot *snap = (struct snapshot *)image;
    while (len > 0) {
        uint32_t within = offset % CLUSTER, piece = MIN(len, CLUSTER - within);
        uint64_t cluster = offset / CLUSTER, slot = slot_find(snap, cluster);
        int code;
        if (slot) {
            code = image_file_write(&image->file, (slot - 1) * CLUSTER + within, buffer, piece);
        } else {
            uint64_t start = cluster * CLUSTER;
            uint32_t whole = (uint32_t)MIN(CLUSTER, image->size - start);
            code = piece == whole ? 0 : base_read(snap, start, snap->scratch, whole);
            if (!code) {
                memcpy(snap->scratch + within, buffer, piece);
                code = image_file_write(&image->file, snap->next * CLUSTER, snap->scratch, whole);
            }
            if (!code)
                g_hash_table_insert(snap->slots, (gpointer)(uintptr_t)cluster, (gpointer)(uintptr_t)++snap->next);
        }
        if (code)
            return code;
        offset += piece;
        buffer += piece;
        len -= piece;
    }
    return 0;
}

static int snapshot_flush(struct image *image)
{
    return 0; /* nothing of it outlives us */
}

static void snapshot_close(struct image *image)
{
    struct snapshot *snap = (struct snapshot *)image;
    image_close(snap->base);
    g_free(snap->base_path);
    g_hash_table_destroy(snap->slots);
    g_free(snap->scratch);
}

static int snapshot_refresh(struct image *image)
{
    struct snapshot *snap = (struct snapshot *)image;
    if (!snap->base->ops->refresh)
        return 0;
    int code = image_refresh(snap->base);
    if (code == 0) {
        g_hash_table_remove_all(snap->slots);
        snap->next = 0;
        code = ftruncate(image->file.fd, 0) < 0 ? errno : 0;
    }
    return code;
}

static const struct image_ops snapshot_ops = {.format = "snapshot",
                                              .read = snapshot_read,
                                              .write = snapshot_write,
                                              .flush = snapshot_flush,
                                              .close = snapshot_close,
                                              .refresh = snapshot_refresh};

/* The image below once more, for writing or not. */
static struct image *base_open(const struct snapshot *snap, bool read_only)
{
    const char *format = snap->base->is_guess ? NULL : snap->base->ops->format;
    const struct image_options options = {.path = snap->base_path, .format = format, .read_only = read_only};
    struct image *base = image_open(&options, NULL);
    if (base && base->size != snap->image.size) {
        image_close(base);
        base = NULL;
    }
    return base;
}

static int clusters_write(struct snapshot *snap, struct image *base)
{
    GHashTableIter iter;
    gpointer cluster, slot;
    g_hash_table_iter_init(&iter, snap->slots);
    while (g_hash_table_iter_next(&iter, &cluster, &slot)) {
        uint64_t start = (uint64_t)(uintptr_t)cluster * CLUSTER;
        uint32_t len = (uint32_t)MIN(CLUSTER, snap->image.size - start);
        int code =
            image_file_read(&snap->image.file, ((uint64_t)(uintptr_t)slot - 1) * CLUSTER, snap->scratch, len, false);
        if (!code)
            code = image_write(base, start, snap->scratch, len);
        if (code)
            return code;
    }
    return image_flush(base);
}

int image_snapshot_commit(struct image *image)
{
    assert_always(image->ops == &snapshot_ops);
    struct snapshot *snap = (struct snapshot *)image;
    image_file_unlock(&snap->base->file); /* in our own way */
    struct image *base = base_open(snap, false), *after = NULL;
    int code = base ? clusters_write(snap, base) : EACCES;
    int closed = base ? image_close(base) : 0;
    if (!code)
        code = closed;
    if (base)
        after = base_open(snap, true);
    if (after) {
        image_close(snap->base);
        snap->base = after;
    } else { /* what the guest reads of it is where it was; the rest is still in our file */
        image_file_lock(&snap->base->file);
        if (!code)
            code = EIO;
    }
    if (!code) {
        g_hash_table_remove_all(snap->slots);
        snap->next = 0;
        if (ftruncate(image->file.fd, 0) < 0)
            code = errno;
    }
    return code;
}

static int temporary_file(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0)
        return fd;
    char *path = g_build_filename(folder, "ringer.XXXXXX", NULL);
    fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        unlink(path);
    g_free(path);
    return fd;
}

int image_temporary_file(void)
{
    /* /tmp is often memory: what a guest writes in a day has its place in /var/tmp. */
    const char *folder = g_getenv("TMPDIR");
    int fd = temporary_file(folder ? folder : "/var/tmp");
    return fd < 0 && !folder ? temporary_file("/tmp") : fd;
}

/* Links in it stay: "a/../b" need not be "b". */
static char *path_from_root(const char *path)
{
    char *folder = g_path_is_absolute(path) ? NULL : g_get_current_dir();
    char *whole = folder ? g_build_filename(folder, path, NULL) : g_strdup(path);
    g_free(folder);
    return whole;
}

struct image *image_snapshot_new(struct image *base, GError **error)
{
    const char *folder = g_getenv("TMPDIR");
    int fd = image_temporary_file();
    if (fd < 0) {
        IMAGE_FAIL(error, &base->file, "cannot be used with -snapshot: no temporary file in '%s' (%s); set TMPDIR",
                   folder ? folder : "/var/tmp", g_strerror(errno));
        image_close(base);
        return NULL;
    }
    struct snapshot *snap = g_new0(struct snapshot, 1);
    snap->image.ops = &snapshot_ops;
    snap->image.file = (struct image_file){.fd = fd, .path = g_strdup(base->file.path), .writable = true};
    snap->image.size = base->size;
    snap->base = base;
    snap->base_path = path_from_root(base->file.path);
    snap->slots = g_hash_table_new(g_direct_hash, g_direct_equal);
    snap->scratch = g_malloc(CLUSTER);
    return &snap->image;
}

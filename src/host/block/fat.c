/* A folder as a FAT disk: sectors, and what the guest has written over them. See fat.h.
 *
 * What is before the first cluster lies in memory. Of each cluster a table says which one of which file it was; once it
 * has been written (and always for folders) it lies in a file of ours, the store.
 */
#include "fat_internal.h"

/* --- Clusters --- */

static int store_io(struct fat *fat, bool is_write, uint64_t offset, uint8_t *buffer, uint32_t len)
{
    while (len > 0) {
        ssize_t count =
            is_write ? pwrite(fat->store, buffer, len, (off_t)offset) : pread(fat->store, buffer, len, (off_t)offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count < 0 ? errno : EIO;
        buffer += count;
        offset += (uint64_t)count;
        len -= (uint32_t)count;
    }
    return 0;
}

int fat_cluster_read(struct fat *fat, uint32_t cluster, uint32_t within, uint8_t *buffer, uint32_t len)
{
    const struct fat_cluster *is = &fat->map[cluster];
    struct fat_node *node = fat_node(fat, is->node);
    if (is->slot)
        return store_io(fat, false, (uint64_t)(is->slot - 1) * cluster_bytes(fat) + within, buffer, len);
    if (node && !node->is_dir)
        return fat_node_read(fat, node, (uint64_t)is->index * cluster_bytes(fat) + within, buffer, len);
    memset(buffer, 0, len);
    return 0;
}

static uint32_t slot_take(struct fat *fat)
{
    if (!fat->free_slots->len)
        return ++fat->next_slot;
    uint32_t slot = g_array_index(fat->free_slots, uint32_t, fat->free_slots->len - 1);
    g_array_set_size(fat->free_slots, fat->free_slots->len - 1);
    return slot;
}

void fat_slot_free(struct fat *fat, uint32_t cluster)
{
    struct fat_cluster *is = &fat->map[cluster];
    if (is->slot)
        g_array_append_val(fat->free_slots, is->slot);
    is->slot = 0;
}

int fat_cluster_write(struct fat *fat, uint32_t cluster, uint32_t within, const uint8_t *buffer, uint32_t len)
{
    struct fat_cluster *is = &fat->map[cluster];
    uint32_t size = cluster_bytes(fat);
    if (is->slot)
        return store_io(fat, true, (uint64_t)(is->slot - 1) * size + within, (uint8_t *)buffer, len);
    uint8_t *whole = g_malloc(size);
    int code = len == size ? 0 : fat_cluster_read(fat, cluster, 0, whole, size);
    if (code == 0) {
        uint32_t slot = slot_take(fat);
        memcpy(whole + within, buffer, len);
        code = store_io(fat, true, (uint64_t)(slot - 1) * size, whole, size);
        if (code)
            g_array_append_val(fat->free_slots, slot);
        else
            is->slot = slot;
    }
    g_free(whole);
    return code;
}

/* --- Sectors --- */

uint64_t fat_size(const struct fat *fat)
{
    return fat->total * SECTOR;
}

/* Of a piece of at most len bytes that lies in one place: its cluster, 0 in meta. */
static uint32_t place(const struct fat *fat, uint64_t offset, uint32_t *within, uint32_t *len)
{
    uint64_t data = (uint64_t)fat->data * SECTOR;
    if (offset < data) {
        *len = (uint32_t)MIN(*len, data - offset);
        return 0;
    }
    uint64_t cluster = 2 + (offset - data) / cluster_bytes(fat);
    *within = (uint32_t)((offset - data) % cluster_bytes(fat));
    *len = MIN(*len, cluster_bytes(fat) - *within);
    return (uint32_t)cluster;
}

int fat_read(struct fat *fat, uint64_t offset, uint8_t *buffer, uint32_t len)
{
    while (len > 0) {
        uint32_t within, piece = len, cluster = place(fat, offset, &within, &piece);
        int code = 0;
        if (cluster)
            code = fat_cluster_read(fat, cluster, within, buffer, piece);
        else
            memcpy(buffer, fat->meta + offset, piece);
        if (code)
            return code;
        offset += piece;
        buffer += piece;
        len -= piece;
    }
    return 0;
}

int fat_write(struct fat *fat, uint64_t offset, const uint8_t *buffer, uint32_t len)
{
    if (!fat->options.writable)
        return EROFS;
    while (len > 0) {
        uint32_t within, piece = len, cluster = place(fat, offset, &within, &piece);
        int code = 0;
        if (cluster)
            code = fat_cluster_write(fat, cluster, within, buffer, piece);
        else
            memcpy(fat->meta + offset, buffer, piece);
        if (code)
            return code;
        fat->dirty = true;
        offset += piece;
        buffer += piece;
        len -= piece;
    }
    return 0;
}

/* --- What cannot be carried into the folder --- */

static int rescue_open(struct fat *fat)
{
    if (fat->rescue)
        return openat(fat->folder, fat->rescue, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    for (unsigned i = 0; i < 1000; i++) {
        char *name = g_strdup_printf("%s-%u.img", FAT_RESCUE, i);
        int fd = openat(fat->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0) {
            fat->rescue = name;
            return fd;
        }
        g_free(name);
        if (errno != EEXIST)
            break;
    }
    return -1;
}

static void rescue_drop(struct fat *fat)
{
    if (fat->rescue)
        unlinkat(fat->folder, fat->rescue, 0);
    g_clear_pointer(&fat->rescue, g_free);
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/* The disk as a raw image: what the guest has written, and with all also what is in the folder's files. */
static int rescue_write(struct fat *fat, bool all)
{
    int fd = rescue_open(fat), code = 0;
    size_t meta = (size_t)fat->data * SECTOR;
    if (fd < 0)
        return errno;
    if (ftruncate(fd, (off_t)fat_size(fat)) < 0 || pwrite(fd, fat->meta, meta, 0) != (ssize_t)meta)
        code = errno ? errno : EIO;
    uint8_t *bytes = g_malloc(cluster_bytes(fat));
    for (uint32_t cluster = 2; cluster < fat->clusters + 3 && code == 0; cluster++) {
        const struct fat_cluster *is = &fat->map[cluster];
        uint64_t at = meta + (uint64_t)(cluster - 2) * cluster_bytes(fat);
        if ((!is->slot && !(all && is->node)) || at >= fat_size(fat))
            continue;
        uint32_t len = (uint32_t)MIN(cluster_bytes(fat), fat_size(fat) - at);
        code = fat_cluster_read(fat, cluster, 0, bytes, len);
        if (code && !is->slot) /* one of the folder's is gone: the others count */
            code = 0;
        else if (code == 0 && (is->slot || !is_zero(bytes, len)) && pwrite(fd, bytes, len, (off_t)at) != (ssize_t)len)
            code = errno ? errno : EIO;
    }
    g_free(bytes);
    if (code == 0 && fdatasync(fd) < 0)
        code = errno;
    close(fd);
    if (code == 0 && fsync(fat->folder) < 0 && errno != EINVAL)
        code = errno;
    return code;
}

/* --- Flushing --- */

/* True: the folder is what the guest has made of it. */
static bool carry(struct fat *fat, char **reason, int *code)
{
    GPtrArray *found = fat_parse(fat, reason, code);
    if (!found)
        return false;
    *code = fat_back(fat, found, reason);
    if (*code == EAGAIN) { /* not the host's fault */
        *code = 0;
        return false;
    }
    return *code == 0;
}

static int flush(struct fat *fat, bool is_last)
{
    char *reason = NULL;
    int code = 0;
    if (!fat->options.writable || !fat->dirty)
        return 0;
    if (carry(fat, &reason, &code)) {
        fat->dirty = false;
        fat->told_bad = false;
        rescue_drop(fat);
        return 0;
    }
    int kept = rescue_write(fat, is_last);
    if (kept)
        FAT_SAY(fat, "what the guest has written cannot be carried into the folder (%s), nor kept: %s", reason,
                g_strerror(kept));
    else if (is_last)
        FAT_SAY(fat,
                "what the guest has written last could not be carried into the folder (%s); the disk is kept as "
                "'%s' in it",
                reason, fat->rescue);
    else if (!fat->told_bad && code)
        FAT_SAY(fat, "what the guest has written cannot be carried into the folder: %s; it is kept as '%s' in it",
                reason, fat->rescue);
    fat->told_bad = true;
    g_free(reason);
    return kept;
}

int fat_flush(struct fat *fat)
{
    return flush(fat, false);
}

void fat_settle(struct fat *fat)
{
    char *reason = NULL;
    int code = 0;
    if (fat->options.writable && fat->dirty && carry(fat, &reason, &code)) {
        fat->dirty = false;
        fat->told_bad = false;
        rescue_drop(fat);
    }
    g_free(reason);
}

/* --- Life --- */

static void contents_free(struct fat *fat)
{
    fat_fds_close(fat, NULL);
    for (unsigned i = 1; fat->nodes && i < fat->nodes->len; i++) {
        if (fat_node(fat, i))
            fat_node_drop(fat, fat_node(fat, i));
    }
    if (fat->nodes)
        g_ptr_array_free(fat->nodes, TRUE);
    if (fat->free_slots)
        g_array_free(fat->free_slots, TRUE);
    g_free(fat->meta);
    g_free(fat->map);
}

static bool contents_make(struct fat *fat, const struct fat *same, GError **error)
{
    fat->nodes = g_ptr_array_new();
    fat->free_slots = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    return fat_tree_read(fat, same, error) && fat_layout(fat, same, error);
}

struct fat *fat_open(int folder, int store, const struct fat_options *options, fat_tell_fn *tell, void *opaque,
                     GError **error)
{
    struct fat *fat = g_new0(struct fat, 1);
    fat->folder = folder;
    fat->store = store;
    fat->options = *options;
    fat->tell = tell;
    fat->tell_opaque = opaque;
    tzset();
    if (contents_make(fat, NULL, error))
        return fat;
    contents_free(fat);
    close(folder);
    close(store);
    g_free(fat);
    return NULL;
}

int fat_finish(struct fat *fat)
{
    int code = flush(fat, true);
    g_clear_pointer(&fat->rescue, g_free); /* it is the user's from now on */
    return code;
}

int fat_refresh(struct fat *fat, bool forget)
{
    GError *error = NULL;
    int code = forget ? 0 : fat_flush(fat);
    if (!forget && (code || fat->dirty))
        return code;
    struct fat new = *fat;
    new.meta = NULL;
    new.map = NULL;
    new.dirty = new.told_bad = false;
    memset(new.fds, 0, sizeof(new.fds));
    off_t end = lseek(fat->store, 0, SEEK_END);
    new.next_slot = end > 0 ? (uint32_t)((end + cluster_bytes(fat) - 1) / cluster_bytes(fat)) : 0;
    if (!contents_make(&new, fat, &error)) {
        FAT_SAY(fat, "it now %s: the guest keeps what it had", error->message);
        g_clear_error(&error);
        contents_free(&new);
        return 0;
    }
    contents_free(fat);
    *fat = new;
    /* What lay in the store before is nobody's. */
    for (uint32_t slot = 1; end > 0 && slot <= (uint32_t)(end / cluster_bytes(fat)); slot++)
        g_array_append_val(fat->free_slots, slot);
    return 0;
}

int fat_close(struct fat *fat)
{
    int code = fat_finish(fat);
    contents_free(fat);
    close(fat->folder);
    close(fat->store);
    g_free(fat);
    return code;
}

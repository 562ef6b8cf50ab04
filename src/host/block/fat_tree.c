/* The tree of a folder, and the files in it. See fat.h; openat(2), O_NOFOLLOW. */
#include <dirent.h>

#include "fat_internal.h"

void fat_say(const struct fat *fat, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = g_strdup_vprintf(fmt, args);
    va_end(args);
    for (char *at = text; *at; at++) { /* names are anybody's */
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    }
    fat->tell(fat->tell_opaque, text);
    g_free(text);
}

struct fat_node *fat_node_new(struct fat *fat, struct fat_node *parent, const char *name, bool is_dir)
{
    struct fat_node *node = g_new0(struct fat_node, 1);
    node->number = fat->nodes->len;
    node->name = g_strdup(name);
    node->parent = parent;
    node->is_dir = is_dir;
    if (is_dir)
        node->children = g_ptr_array_new();
    g_ptr_array_add(fat->nodes, node);
    return node;
}

static void node_free(struct fat_node *node)
{
    if (node->children)
        g_ptr_array_free(node->children, TRUE);
    g_free(node->name);
    g_free(node->shown);
    g_free(node);
}

void fat_node_drop(struct fat *fat, struct fat_node *node)
{
    fat_fds_close(fat, node);
    g_ptr_array_index(fat->nodes, node->number) = NULL;
    node_free(node);
}

void fat_node_stat(struct fat_node *node, const struct stat *stat)
{
    node->size = node->is_dir ? 0 : (uint32_t)stat->st_size;
    node->mtime = stat->st_mtime;
    node->host_mtime = stat->st_mtim;
    node->attributes = (uint8_t)((node->is_dir ? ATTR_DIRECTORY : ATTR_ARCHIVE) |
                                 (!node->is_dir && !(stat->st_mode & S_IWUSR) ? ATTR_READ_ONLY : 0));
}

char *fat_node_path(const struct fat_node *node)
{
    char *path = g_strdup(node->name);
    for (node = node->parent; node && node->parent; node = node->parent) {
        char *longer = g_strconcat(node->name, "/", path, NULL);
        g_free(path);
        path = longer;
    }
    return path;
}

/* --- Descriptors --- */

static int dir_open(struct fat *fat, const struct fat_node *node, unsigned depth)
{
    if (!node->parent)
        return openat(fat->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (depth > FAT_DEPTH_MAX)
        return errno = ELOOP, -1;
    int above = dir_open(fat, node->parent, depth + 1);
    if (above < 0)
        return -1;
    int fd = openat(above, node->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), why = errno;
    close(above);
    errno = why;
    return fd;
}

int fat_node_dir(struct fat *fat, const struct fat_node *node)
{
    return dir_open(fat, node, 0);
}

int fat_node_open(struct fat *fat, const struct fat_node *node, int flags)
{
    struct stat stat;
    int above = fat_node_dir(fat, node->parent);
    if (above < 0)
        return -1;
    int fd = openat(above, node->name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), why = errno;
    close(above);
    if (fd >= 0 && (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode))) {
        close(fd);
        fd = -1;
        why = ENOENT;
    }
    errno = why;
    return fd;
}

void fat_fds_close(struct fat *fat, const struct fat_node *node)
{
    for (unsigned i = 0; i < FAT_FDS; i++) {
        if (!fat->fds[i].node || (node && fat->fds[i].node != node))
            continue;
        close(fat->fds[i].fd);
        fat->fds[i].node = NULL;
    }
}

/* Of the last ones read. */
static int reader(struct fat *fat, struct fat_node *node)
{
    unsigned oldest = 0;
    for (unsigned i = 0; i < FAT_FDS; i++) {
        if (fat->fds[i].node == node) {
            fat->fds[i].used = ++fat->used;
            return fat->fds[i].fd;
        }
        uint64_t used = fat->fds[i].node ? fat->fds[i].used : 0,
                 best = fat->fds[oldest].node ? fat->fds[oldest].used : 0;
        if (used < best)
            oldest = i;
    }
    int fd = fat_node_open(fat, node, O_RDONLY);
    if (fd < 0)
        return -1;
    if (fat->fds[oldest].node)
        close(fat->fds[oldest].fd);
    fat->fds[oldest].node = node;
    fat->fds[oldest].fd = fd;
    fat->fds[oldest].used = ++fat->used;
    return fd;
}

/* Behind the size that the guest knows are zeros, and where the host has made it shorter since. */
int fat_node_read(struct fat *fat, struct fat_node *node, uint64_t offset, uint8_t *buffer, uint32_t len)
{
    uint32_t have = offset < node->size ? (uint32_t)MIN(len, node->size - offset) : 0;
    memset(buffer + have, 0, len - have);
    if (!have)
        return 0;
    int fd = reader(fat, node);
    if (fd < 0)
        return errno == ENOENT ? EIO : errno;
    while (have > 0) {
        ssize_t got = pread(fd, buffer, have, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0) {
            memset(buffer, 0, have);
            return 0;
        }
        buffer += got;
        offset += (uint64_t)got;
        have -= (uint32_t)got;
    }
    return 0;
}

/* --- Reading the tree --- */

struct skipped {
    unsigned links, special, large, deep, unreadable, kept;
};

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp((*(struct fat_node *const *)a)->name, (*(struct fat_node *const *)b)->name);
}

static bool is_ours(const char *name)
{
    return g_str_has_prefix(name, FAT_RESCUE);
}

/* False: there are too many. */
static bool folder_read(struct fat *fat, struct fat_node *folder, int fd, unsigned depth, struct skipped *skipped)
{
    DIR *dir = fdopendir(fd);
    const struct dirent *entry;
    bool ok = true;
    if (!dir) {
        close(fd);
        skipped->unreadable++;
        return true;
    }
    while (ok && (entry = readdir(dir))) {
        struct stat stat;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (depth == 0 && is_ours(entry->d_name)) {
            skipped->kept++;
            continue;
        }
        if (fstatat(fd, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISLNK(stat.st_mode)) {
            skipped->links++;
        } else if (!S_ISREG(stat.st_mode) && !S_ISDIR(stat.st_mode)) {
            skipped->special++;
        } else if (S_ISREG(stat.st_mode) && (uint64_t)stat.st_size > FAT_FILE_MAX) {
            skipped->large++;
        } else if (S_ISDIR(stat.st_mode) && depth + 1 >= FAT_DEPTH_MAX) {
            skipped->deep++;
        } else if (fat->nodes->len >= FAT_NODES_MAX) {
            ok = false;
        } else {
            struct fat_node *node = fat_node_new(fat, folder, entry->d_name, S_ISDIR(stat.st_mode));
            fat_node_stat(node, &stat);
            g_ptr_array_add(folder->children, node);
        }
    }
    g_ptr_array_sort(folder->children, by_name);
    for (unsigned i = 0; ok && i < folder->children->len; i++) {
        struct fat_node *node = g_ptr_array_index(folder->children, i);
        if (!node->is_dir)
            continue;
        int below = openat(fd, node->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below < 0)
            skipped->unreadable++;
        else
            ok = folder_read(fat, node, below, depth + 1, skipped);
    }
    closedir(dir);
    if (ok)
        fat_names_settle(folder);
    return ok;
}

static void skipped_tell(const struct fat *fat, const struct skipped *skipped)
{
    if (skipped->links)
        FAT_SAY(fat, "%u symbolic links are left out", skipped->links);
    if (skipped->special)
        FAT_SAY(fat, "%u sockets, pipes or devices are left out", skipped->special);
    if (skipped->large)
        FAT_SAY(fat, "%u files of 4 GiB and more are left out, FAT has none such", skipped->large);
    if (skipped->deep)
        FAT_SAY(fat, "%u folders are left out, more than %u in each other", skipped->deep, FAT_DEPTH_MAX);
    if (skipped->kept)
        FAT_SAY(fat, "there is a '%s-...img' in it, which an earlier guest has written and nobody has looked at",
                FAT_RESCUE);
    if (skipped->unreadable)
        FAT_SAY(fat, "%u folders cannot be read and are shown empty", skipped->unreadable);
}

bool fat_tree_read(struct fat *fat, bool again, GError **error)
{
    struct skipped skipped = {0};
    struct stat stat;
    g_ptr_array_add(fat->nodes, NULL);
    struct fat_node *root = fat_node_new(fat, NULL, "", true);
    root->shown = g_strdup("");
    int fd = openat(fat->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat) < 0) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "cannot be read: %s", g_strerror(errno));
        return false;
    }
    fat_node_stat(root, &stat);
    if (!folder_read(fat, root, fd, 0, &skipped)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC, "has more than %u files and folders in it", FAT_NODES_MAX);
        return false;
    }
    if (!again)
        skipped_tell(fat, &skipped);
    return true;
}

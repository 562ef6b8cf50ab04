/* Carries into the folder what a guest has made of its image. See fat.h, fat_parse.c.
 *
 *     match     which file of the host's each entry is: by its clusters, else by its name
 *     gather    contents that come from other files are copied into the store before those change
 *     place     folders and files get where they belong, top down; what is in the way steps aside
 *     contents  what has been written, in place
 *     remove    what the guest has no more
 *
 * Each step leaves the nodes as the host's files are, so that whatever fails is tried again by the next flush. Files
 * that the host has changed meanwhile are neither written nor removed.
 */
#include <stdio.h>

#include "fat_internal.h"

struct back {
    struct fat *fat;
    GPtrArray *found;
    GHashTable *touched; /* struct fat_node: folders whose entries changed */
    bool *apart;         /* by found: the host's file is left as it is, this one gets another name */
};

static struct fat_found *found_at(const struct back *back, unsigned i)
{
    return g_ptr_array_index(back->found, i);
}

static uint32_t chain_at(const struct fat_found *found, uint32_t i)
{
    return g_array_index(found->chain, uint32_t, i);
}

/* Clusters that its size needs. */
static uint32_t needed(const struct fat *fat, const struct fat_found *found)
{
    return found->is_dir ? found->chain ? found->chain->len : 0
                         : (uint32_t)(((uint64_t)found->size + cluster_bytes(fat) - 1) / cluster_bytes(fat));
}

/* --- Match --- */

static void claim(struct fat_found *found, struct fat_node *node)
{
    if (found->node || !node || node->claimed || node->is_dir != found->is_dir)
        return;
    found->node = node;
    node->claimed = true;
}

static struct fat_node *node_by_clusters(const struct fat *fat, const struct fat_found *found)
{
    if (!found->chain || !found->chain->len)
        return NULL;
    const struct fat_cluster *first = &fat->map[chain_at(found, 0)];
    return first->index == 0 && (found->is_dir || !first->slot) ? fat_node(fat, first->node) : NULL;
}

static char *name_key(const struct fat_node *parent, const char *name)
{
    char *fold = fat_fold(name), *key = g_strdup_printf("%u/%s", parent->number, fold);
    g_free(fold);
    return key;
}

static char *short_key(const struct fat_node *parent, const uint8_t short_name[11])
{
    return g_strdup_printf("%u:%.11s", parent->number, (const char *)short_name);
}

static void match(struct back *back)
{
    struct fat *fat = back->fat;
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (unsigned i = 1; i < fat->nodes->len; i++) {
        struct fat_node *node = fat_node(fat, i);
        if (!node)
            continue;
        node->claimed = false;
        if (!node->parent)
            continue;
        g_hash_table_insert(names, name_key(node->parent, node->shown), node);
        g_hash_table_insert(names, short_key(node->parent, node->short_name), node);
    }
    claim(found_at(back, 0), fat_node(fat, 1));
    for (unsigned i = 1; i < back->found->len; i++)
        claim(found_at(back, i), node_by_clusters(fat, found_at(back, i)));
    for (unsigned i = 1; i < back->found->len; i++) {
        struct fat_found *found = found_at(back, i);
        if (!found->parent->node) /* a new folder: nothing was in it */
            continue;
        char *by_name = name_key(found->parent->node, found->name);
        char *by_short = short_key(found->parent->node, found->short_name);
        claim(found, g_hash_table_lookup(names, by_name));
        if (!found->has_long)
            claim(found, g_hash_table_lookup(names, by_short));
        g_free(by_name);
        g_free(by_short);
    }
    g_hash_table_destroy(names);
}

/* An entry is gone whose clusters are not free: the guest is in the middle of something. */
static bool is_between(const struct back *back)
{
    const struct fat *fat = back->fat;
    uint8_t *used = g_malloc0(fat->clusters + 2);
    bool result = false;
    for (unsigned i = 0; i < back->found->len; i++) {
        const struct fat_found *found = found_at(back, i);
        for (uint32_t k = 0; found->chain && k < found->chain->len; k++)
            used[chain_at(found, k)] = 1;
    }
    for (unsigned i = 1; i < fat->nodes->len && !result; i++) {
        const struct fat_node *node = fat_node(fat, i);
        result = node && !node->claimed && node->first && !used[node->first] && fat_next(fat, node->first);
    }
    g_free(used);
    return result;
}

/* --- Gather --- */

static bool is_as_left(const struct fat_node *node, const struct stat *stat)
{
    return (uint64_t)stat->st_size == node->size && stat->st_mtim.tv_sec == node->host_mtime.tv_sec &&
           stat->st_mtim.tv_nsec == node->host_mtime.tv_nsec;
}

static bool is_own(const struct fat *fat, const struct fat_found *found, uint32_t i)
{
    const struct fat_cluster *is = &fat->map[chain_at(found, i)];
    return found->node && !is->slot && is->node == found->node->number && is->index == i;
}

static bool is_changed(const struct fat *fat, const struct fat_found *found)
{
    if (!found->node || found->size != found->node->size)
        return true;
    for (uint32_t i = 0; i < needed(fat, found); i++) {
        if (!is_own(fat, found, i))
            return true;
    }
    return false;
}

/* Can its file not be written to, or has the host written to it? */
static bool must_be_apart(struct fat *fat, const struct fat_found *found)
{
    struct stat stat;
    int fd = fat_node_open(fat, found->node, O_WRONLY);
    bool apart = fd < 0 || fstat(fd, &stat) < 0 || !is_as_left(found->node, &stat);
    if (fd >= 0)
        close(fd);
    return apart;
}

static int gather(struct back *back)
{
    struct fat *fat = back->fat;
    uint8_t *bytes = g_malloc(cluster_bytes(fat));
    int code = 0;
    for (unsigned i = 1; i < back->found->len && code == 0; i++) {
        struct fat_found *found = found_at(back, i);
        if (found->is_dir || !is_changed(fat, found))
            continue;
        back->apart[i] = found->node && must_be_apart(fat, found);
        for (uint32_t k = 0; k < needed(fat, found) && code == 0; k++) {
            uint32_t cluster = chain_at(found, k);
            if (fat->map[cluster].slot || (is_own(fat, found, k) && !back->apart[i]))
                continue;
            code = fat_cluster_read(fat, cluster, 0, bytes, cluster_bytes(fat));
            if (code == 0)
                code = fat_cluster_write(fat, cluster, 0, bytes, cluster_bytes(fat));
        }
    }
    g_free(bytes);
    return code;
}

/* --- Place --- */

static struct fat_node *node_at(const struct fat *fat, const struct fat_node *parent, const char *name)
{
    for (unsigned i = 1; i < fat->nodes->len; i++) {
        struct fat_node *node = fat_node(fat, i);
        if (node && node->parent == parent && strcmp(node->name, name) == 0)
            return node;
    }
    return NULL;
}

static int node_move(struct back *back, struct fat_node *node, struct fat_node *parent, const char *name)
{
    struct fat *fat = back->fat;
    int from = fat_node_dir(fat, node->parent), to = from < 0 ? -1 : fat_node_dir(fat, parent);
    int code = to < 0 || renameat(from, node->name, to, name) < 0 ? errno : 0;
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    if (code)
        return code;
    g_hash_table_add(back->touched, node->parent);
    g_hash_table_add(back->touched, parent);
    node->parent = parent;
    char *old = node->name;
    node->name = g_strdup(name);
    g_free(old);
    return 0;
}

static bool exists(int dir, const char *name)
{
    struct stat stat;
    return fstatat(dir, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/* One that nothing has: name, or with a number behind it. g_free. */
static char *name_free(int dir, const char *name, const char *more)
{
    char *result = g_strdup(name);
    for (unsigned n = 1; exists(dir, result) && n < 10000; n++) {
        size_t keep = MIN(strlen(name), 230);
        while (keep > 0 && ((unsigned char)name[keep] & 0xc0) == 0x80)
            keep--;
        g_free(result);
        result = g_strdup_printf("%.*s%s%u", (int)keep, name, more, n);
    }
    return result;
}

static int step_aside(struct back *back, struct fat_node *node)
{
    struct fat *fat = back->fat;
    char *name = name_free(fat->folder, FAT_TEMPORARY, "-");
    int code = node_move(back, node, fat_node(fat, 1), name);
    g_free(name);
    return code;
}

static int node_make(struct back *back, struct fat_found *found, const char *name)
{
    struct fat *fat = back->fat;
    struct stat stat;
    int dir = fat_node_dir(fat, found->parent->node), code = 0, fd = -1;
    if (dir < 0)
        return errno;
    char *own = name_free(dir, name, ".guest-");
    if (strcmp(own, name) != 0)
        FAT_SAY(fat, "'%s' has come into the folder meanwhile: the guest's is called '%s'", name, own);
    if (found->is_dir) {
        if (mkdirat(dir, own, 0777) < 0)
            code = errno;
        else if ((fd = openat(dir, own, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
            code = errno;
    } else {
        fd = openat(dir, own, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        code = fd < 0 ? errno : 0;
    }
    close(dir);
    if (code == 0 && fstat(fd, &stat) < 0)
        code = errno;
    if (fd >= 0)
        close(fd);
    if (code == 0) {
        struct fat_node *node = fat_node_new(fat, found->parent->node, own, found->is_dir);
        node->shown = g_strdup(found->name);
        memcpy(node->short_name, found->short_name, 11);
        node->claimed = true;
        fat_node_stat(node, &stat);
        found->node = node;
        g_hash_table_add(back->touched, node->parent);
    }
    g_free(own);
    return code;
}

static bool is_same_name(const struct fat_found *found)
{
    if (strcmp(found->name, found->node->shown) == 0)
        return true;
    if (found->has_long)
        return false;
    /* DOS does not know better. */
    char *a = fat_fold(found->name), *b = fat_fold(found->node->shown);
    bool same = strcmp(a, b) == 0 || memcmp(found->short_name, found->node->short_name, 11) == 0;
    g_free(a);
    g_free(b);
    return same;
}

static int place(struct back *back, struct fat_found *found)
{
    struct fat *fat = back->fat;
    struct fat_node *node = found->node, *parent = found->parent->node;
    if (node && node->parent == parent && is_same_name(found))
        return 0;
    struct fat_node *there = node_at(fat, parent, found->name);
    if (!node && (!there || there->is_dir || found->is_dir)) {
        int code = there ? step_aside(back, there) : 0;
        return code ? code : node_make(back, found, found->name);
    }
    if (!node) { /* a file in place of a file that went elsewhere, or goes */
        int code = step_aside(back, there);
        return code ? code : node_make(back, found, found->name);
    }
    bool replaces = there && there != node && !there->claimed && !there->is_dir && !node->is_dir;
    int code = there && there != node && !replaces ? step_aside(back, there) : 0;
    if (code)
        return code;
    int dir = fat_node_dir(fat, parent);
    if (dir < 0)
        return errno;
    bool is_case = there == node;
    char *name = replaces || is_case ? g_strdup(found->name) : name_free(dir, found->name, ".guest-");
    close(dir);
    code = node_move(back, node, parent, name);
    g_free(name);
    if (code == 0 && replaces)
        fat_node_drop(fat, there);
    return code;
}

/* --- Contents --- */

static int write_all(int fd, const uint8_t *bytes, uint32_t len, uint64_t offset)
{
    while (len > 0) {
        ssize_t put = pwrite(fd, bytes, len, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? errno : EIO;
        bytes += put;
        offset += (uint64_t)put;
        len -= (uint32_t)put;
    }
    return 0;
}

static int contents_put(struct fat *fat, const struct fat_found *found, bool all, int fd)
{
    uint32_t size = cluster_bytes(fat);
    uint8_t *bytes = g_malloc(size);
    int code = 0;
    for (uint32_t i = 0; i < needed(fat, found) && code == 0; i++) {
        uint64_t at = (uint64_t)i * size;
        if (!all && is_own(fat, found, i))
            continue;
        uint32_t len = (uint32_t)MIN(size, found->size - at);
        code = fat_cluster_read(fat, chain_at(found, i), 0, bytes, len);
        if (code == 0)
            code = write_all(fd, bytes, len, at);
    }
    g_free(bytes);
    if (code == 0 && ftruncate(fd, found->size) < 0)
        code = errno;
    return code;
}

/* The file of the host's stays; ours is another one, beside it. */
static int go_apart(struct back *back, struct fat_found *found)
{
    struct fat *fat = back->fat;
    struct fat_node *old = found->node;
    char *path = fat_node_path(old), *name = g_strconcat(old->name, ".guest", NULL);
    int code = node_make(back, found, strlen(name) > 255 ? found->name : name);
    if (code == 0) {
        FAT_SAY(fat, "'%s' has been changed by the host, or cannot be written: what the guest has written is in '%s'",
                path, found->node->name);
        g_free(found->node->shown);
        found->node->shown = g_strdup(found->name);
        fat_node_drop(fat, old);
    }
    g_free(path);
    g_free(name);
    return code;
}

static int contents(struct back *back, unsigned i)
{
    struct fat *fat = back->fat;
    struct fat_found *found = found_at(back, i);
    struct stat stat;
    bool all = back->apart[i];
    if (found->is_dir || !is_changed(fat, found))
        return 0;
    int code = back->apart[i] ? go_apart(back, found) : 0;
    if (code)
        return code;
    back->apart[i] = false;
    int fd = fat_node_open(fat, found->node, O_WRONLY);
    if (fd < 0)
        return errno;
    code = contents_put(fat, found, all, fd);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = found->mtime}};
    if (code == 0)
        futimens(fd, times);
    if (code == 0 && fdatasync(fd) < 0 && errno != EINVAL)
        code = errno;
    if (fstat(fd, &stat) == 0)
        fat_node_stat(found->node, &stat);
    close(fd);
    return code;
}

/* --- Remove --- */

static unsigned depth_of(const struct fat_node *node)
{
    unsigned depth = 0;
    for (; node->parent; node = node->parent)
        depth++;
    return depth;
}

static int deepest_first(gconstpointer a, gconstpointer b)
{
    unsigned da = depth_of(*(struct fat_node *const *)a), db = depth_of(*(struct fat_node *const *)b);
    return da < db ? 1 : da > db ? -1 : 0;
}

static int node_remove(struct back *back, struct fat_node *node)
{
    struct fat *fat = back->fat;
    struct stat stat;
    char *path = fat_node_path(node);
    int dir = fat_node_dir(fat, node->parent), code = 0;
    if (dir < 0) {
        code = errno == ENOENT ? 0 : errno;
    } else if (fstatat(dir, node->name, &stat, AT_SYMLINK_NOFOLLOW) < 0) {
        code = errno == ENOENT ? 0 : errno;
    } else if (node->is_dir) {
        if (!S_ISDIR(stat.st_mode) || (unlinkat(dir, node->name, AT_REMOVEDIR) < 0 && errno == ENOTEMPTY))
            FAT_SAY(fat, "the guest has removed '%s', where the host has more: it stays", path);
        else if (exists(dir, node->name))
            code = errno;
    } else if (!S_ISREG(stat.st_mode) || !is_as_left(node, &stat)) {
        FAT_SAY(fat, "the guest has removed '%s', which the host has changed: it stays", path);
    } else if (unlinkat(dir, node->name, 0) < 0) {
        code = errno;
    }
    if (dir >= 0)
        close(dir);
    g_free(path);
    if (code == 0) {
        if (node->parent->claimed)
            g_hash_table_add(back->touched, node->parent);
        g_hash_table_remove(back->touched, node);
        fat_node_drop(fat, node);
    }
    return code;
}

static int remove_unclaimed(struct back *back)
{
    struct fat *fat = back->fat;
    GPtrArray *gone = g_ptr_array_new();
    int code = 0;
    for (unsigned i = 2; i < fat->nodes->len; i++) {
        struct fat_node *node = fat_node(fat, i);
        if (node && !node->claimed)
            g_ptr_array_add(gone, node);
    }
    g_ptr_array_sort(gone, deepest_first);
    for (unsigned i = 0; i < gone->len && code == 0; i++)
        code = node_remove(back, g_ptr_array_index(gone, i));
    g_ptr_array_free(gone, TRUE);
    return code;
}

/* --- All of it --- */

static int folders_sync(struct back *back)
{
    GHashTableIter iter;
    gpointer node;
    int code = 0;
    g_hash_table_iter_init(&iter, back->touched);
    while (code == 0 && g_hash_table_iter_next(&iter, &node, NULL)) {
        int dir = fat_node_dir(back->fat, node);
        if (dir < 0 || (fsync(dir) < 0 && errno != EINVAL))
            code = errno;
        if (dir >= 0)
            close(dir);
    }
    return code;
}

/* What is in files again needs no room of ours; what is in none yet stays. */
static void settle(struct back *back)
{
    struct fat *fat = back->fat;
    for (uint32_t cluster = 2; cluster < fat->clusters + 2; cluster++)
        fat->map[cluster].node = fat->map[cluster].index = 0;
    for (unsigned i = 0; i < back->found->len; i++) {
        struct fat_found *found = found_at(back, i);
        struct fat_node *node = found->node;
        uint32_t count = needed(fat, found);
        for (uint32_t k = 0; k < count; k++) {
            uint32_t cluster = chain_at(found, k);
            fat->map[cluster].node = node->number;
            fat->map[cluster].index = k;
            if (!found->is_dir)
                fat_slot_free(fat, cluster);
        }
        node->first = count ? chain_at(found, 0) : 0;
        node->clusters = count;
        node->attributes = found->attributes;
        if (found->name) {
            g_free(node->shown);
            node->shown = g_strdup(found->name);
            memcpy(node->short_name, found->short_name, 11);
        }
    }
}

int fat_back(struct fat *fat, GPtrArray *found, char **reason)
{
    struct back back = {fat, found, g_hash_table_new(g_direct_hash, g_direct_equal), g_new0(bool, found->len)};
    int code = 0;
    match(&back);
    if (is_between(&back)) {
        code = EAGAIN;
        *reason = g_strdup("files have lost their names, not their clusters");
    }
    if (code == 0)
        code = gather(&back);
    for (unsigned i = 1; i < found->len && code == 0; i++)
        code = place(&back, found_at(&back, i));
    for (unsigned i = 1; i < found->len && code == 0; i++)
        code = contents(&back, i);
    if (code == 0)
        code = remove_unclaimed(&back);
    if (code == 0)
        code = folders_sync(&back);
    if (code == 0)
        settle(&back);
    g_hash_table_destroy(back.touched);
    g_free(back.apart);
    g_ptr_array_free(found, TRUE);
    if (code && !*reason)
        *reason = g_strdup(g_strerror(code));
    return code;
}

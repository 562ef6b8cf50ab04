/* Files that fids refer to, and the descriptors behind them: see server.h. open(2), O_PATH; proc(5), /proc/self/fd.
 *
 * There are fewer descriptors than a guest may have fids: of those that are not open for reading or writing, the
 * longest unused is closed when one is needed, and opened again by where it was, if it is still there.
 */
#include <limits.h>
#include <stdio.h>

#include "server_internal.h"

const char *proc_path(char text[PROC_PATH_MAX], int fd)
{
    g_snprintf(text, PROC_PATH_MAX, "/proc/self/fd/%d", fd);
    return text;
}

/* --- Where something is --- */

static char *fd_path(int fd)
{
    char proc[PROC_PATH_MAX], path[PATH_MAX];
    ssize_t len = readlink(proc_path(proc, fd), path, sizeof(path));
    return len <= 0 || (size_t)len >= sizeof(path) || path[0] != '/' ? NULL : g_strndup(path, (gsize)len);
}

char *file_path(const struct p9_server *server, int fd)
{
    char *root = fd_path(server->root->fd), *path = fd_path(fd), *below = NULL;
    if (root && path) {
        size_t len = strcmp(root, "/") == 0 ? 0 : strlen(root);
        if (strcmp(root, path) == 0)
            below = g_strdup("");
        else if (strncmp(root, path, len) == 0 && path[len] == '/')
            below = g_strdup(path + len + 1);
    }
    g_free(root);
    g_free(path);
    return below;
}

/* --- Opening --- */

static void idle_remove(struct p9_server *server, struct p9_file *file)
{
    if (file->link.data)
        g_queue_unlink(&server->idle, &file->link);
    file->link.data = NULL;
}

static void idle_add(struct p9_server *server, struct p9_file *file)
{
    if (file->is_open || file == server->root)
        return;
    file->link.data = file;
    g_queue_push_tail_link(&server->idle, &file->link);
}

#define TRIES 16 /* files that are nowhere any more keep their descriptors */

bool files_make_room(struct p9_server *server)
{
    for (unsigned i = 0; server->open >= server->open_max && i < TRIES && server->idle.head; i++) {
        struct p9_file *file = server->idle.head->data;
        struct stat stat;
        if (file->request == server->request)
            break; /* and so are all behind it */
        idle_remove(server, file);
        file->path = fstat(file->fd, &stat) == 0 && stat.st_nlink ? file_path(server, file->fd) : NULL;
        if (!file->path) {
            file->request = server->request;
            idle_add(server, file);
            continue;
        }
        close(file->fd);
        file->fd = -1;
        server->open--;
    }
    if (server->open < server->open_max)
        return true;
    errno = EMFILE;
    return false;
}

int entry_open(struct p9_server *server, int fd, const char *name)
{
    return files_make_room(server) ? openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
}

int path_open(struct p9_server *server, const char *path)
{
    char **names = g_strsplit(path, "/", -1);
    int fd = openat(server->root->fd, ".", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    for (unsigned i = 0; fd >= 0 && names[i]; i++) {
        bool is_name = *names[i] && strcmp(names[i], ".") != 0 && strcmp(names[i], "..") != 0;
        int next = is_name ? openat(fd, names[i], O_PATH | O_NOFOLLOW | O_CLOEXEC) : (errno = ENOENT, -1);
        int why = errno;
        close(fd);
        errno = why;
        fd = next;
    }
    g_strfreev(names);
    return fd;
}

int file_fd(struct p9_server *server, struct p9_file *file)
{
    struct stat stat;
    file->request = server->request;
    if (file->fd >= 0) {
        if (file->link.data) {
            idle_remove(server, file);
            idle_add(server, file);
        }
        return file->fd;
    }
    if (!files_make_room(server))
        return -1;
    int fd = *file->path ? path_open(server, file->path) : openat(server->root->fd, ".", O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &stat) < 0 || stat.st_dev != file->dev || stat.st_ino != file->ino) {
        close(fd);
        errno = ESTALE;
        return -1;
    }
    g_clear_pointer(&file->path, g_free);
    file->fd = fd;
    server->open++;
    idle_add(server, file);
    return fd;
}

static bool is_root(const struct p9_server *server, const struct stat *stat)
{
    return stat->st_dev == server->root->dev && stat->st_ino == server->root->ino;
}

#define DEPTH_MAX 4096

/* Whoever climbs from it comes to the root of what is exported, not to the host's. */
static bool is_below_root(const struct p9_server *server, int fd)
{
    struct stat stat, above;
    int at = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool found = false;
    for (unsigned i = 0; at >= 0 && i < DEPTH_MAX && fstat(at, &stat) == 0; i++) {
        found = is_root(server, &stat);
        int next = found ? -1 : openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        bool is_top =
            next >= 0 && (fstat(next, &above) < 0 || (above.st_dev == stat.st_dev && above.st_ino == stat.st_ino));
        close(at);
        at = next;
        if (is_top)
            break;
    }
    if (at >= 0)
        close(at);
    return found;
}

int parent_open(struct p9_server *server, int fd)
{
    struct stat stat;
    if (!files_make_room(server) || fstat(fd, &stat) < 0)
        return -1;
    if (is_root(server, &stat))
        return openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int parent = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0 || is_below_root(server, parent))
        return parent;
    close(parent);
    errno = ENOENT;
    return -1;
}

int file_reopen(struct p9_server *server, int fd, int flags)
{
    struct stat stat;
    char proc[PROC_PATH_MAX];
    if (!files_make_room(server) || fstat(fd, &stat) < 0)
        return -1;
    if (!S_ISREG(stat.st_mode) && !S_ISDIR(stat.st_mode)) {
        errno = S_ISLNK(stat.st_mode) ? ELOOP : ENXIO;
        return -1;
    }
    return open(proc_path(proc, fd), flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

int file_parent(struct p9_server *server, struct p9_file *file, char name[P9_NAME_MAX + 1])
{
    struct stat stat;
    int fd = file_fd(server, file), parent;
    char *path = fd < 0 ? NULL : file_path(server, fd);
    if (!path || !*path) {
        errno = fd < 0 ? errno : path ? EBUSY : ENOENT;
        g_free(path);
        return -1;
    }
    char *slash = strrchr(path, '/');
    g_strlcpy(name, slash ? slash + 1 : path, P9_NAME_MAX + 1);
    if (slash)
        *slash = 0;
    parent = slash ? path_open(server, path) : openat(server->root->fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    g_free(path);
    if (parent >= 0 && (fstatat(parent, name, &stat, AT_SYMLINK_NOFOLLOW) < 0 || stat.st_dev != file->dev ||
                        stat.st_ino != file->ino)) {
        close(parent);
        errno = ENOENT;
        return -1;
    }
    return parent;
}

/* --- Life --- */

struct p9_file *file_new(struct p9_server *server, int fd, bool is_open)
{
    struct stat stat;
    if (fstat(fd, &stat) < 0) {
        int why = errno;
        close(fd);
        errno = why;
        return NULL;
    }
    struct p9_file *file = g_new0(struct p9_file, 1);
    *file = (struct p9_file){
        .refs = 1, .fd = fd, .is_open = is_open, .type = stat.st_mode & S_IFMT, .dev = stat.st_dev, .ino = stat.st_ino};
    server->open++;
    idle_add(server, file);
    return file;
}

struct p9_file *file_ref(struct p9_file *file)
{
    file->refs++;
    return file;
}

void file_unref(struct p9_server *server, struct p9_file *file)
{
    if (!file || --file->refs)
        return;
    idle_remove(server, file);
    if (file->fd >= 0) {
        close(file->fd);
        server->open--;
    }
    g_free(file->path);
    g_free(file);
}

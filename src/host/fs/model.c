/* Owners, modes and kinds of files, by security_model=: as the host has them, or as extended attributes say.
 *
 * mapped-xattr keeps, as QEMU does, user.virtfs.uid, .gid and .mode (u32, little endian) and .rdev (u64). On the host
 * all is a file or a folder of ours with the modes fmode= and dmode=; a symbolic link is a file with the target in it.
 */
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "server_internal.h"

#define PREFIX "user.virtfs."

static bool is_mapped(const struct p9_server *server)
{
    return server->export.model == P9_MAPPED_XATTR;
}

/* --- Attributes of the mapped model --- */

static bool mapped_get(const char *path, const char *name, void *value, size_t size)
{
    return getxattr(path, name, value, size) == (ssize_t)size;
}

static int mapped_set(int fd, const char *name, const void *value, size_t size)
{
    char path[PROC_PATH_MAX];
    return setxattr(proc_path(path, fd), name, value, size, 0) < 0 ? errno : 0;
}

static int mapped_set32(int fd, const char *name, uint32_t value)
{
    return mapped_set(fd, name, &value, sizeof(value));
}

/* mode with its kind. */
static int mapped_settle(int fd, uint32_t mode, uint64_t rdev, uint32_t uid, uint32_t gid)
{
    int why = mapped_set32(fd, PREFIX "uid", uid);
    if (!why)
        why = mapped_set32(fd, PREFIX "gid", gid);
    if (!why)
        why = mapped_set32(fd, PREFIX "mode", mode);
    if (!why && rdev)
        why = mapped_set(fd, PREFIX "rdev", &rdev, sizeof(rdev));
    return why;
}

int model_stat(const struct p9_server *server, int fd, struct stat *stat)
{
    char path[PROC_PATH_MAX];
    uint32_t value;
    uint64_t rdev;
    if (fstat(fd, stat) < 0)
        return errno;
    if (!is_mapped(server) || (!S_ISREG(stat->st_mode) && !S_ISDIR(stat->st_mode)))
        return 0;
    proc_path(path, fd);
    if (mapped_get(path, PREFIX "mode", &value, sizeof(value))) {
        bool is_dir = S_ISDIR(stat->st_mode), says_dir = S_ISDIR(value);
        uint32_t kind = is_dir == says_dir && (value & S_IFMT) ? value & S_IFMT : stat->st_mode & S_IFMT;
        stat->st_mode = kind | (value & 07777);
    }
    if (mapped_get(path, PREFIX "uid", &value, sizeof(value)))
        stat->st_uid = value;
    if (mapped_get(path, PREFIX "gid", &value, sizeof(value)))
        stat->st_gid = value;
    if ((S_ISCHR(stat->st_mode) || S_ISBLK(stat->st_mode)) && mapped_get(path, PREFIX "rdev", &rdev, sizeof(rdev)))
        stat->st_rdev = rdev;
    return 0;
}

int model_chmod(const struct p9_server *server, int fd, uint32_t mode)
{
    char path[PROC_PATH_MAX];
    if (is_mapped(server)) {
        struct stat stat;
        int why = model_stat(server, fd, &stat);
        return why ? why : mapped_set32(fd, PREFIX "mode", (stat.st_mode & S_IFMT) | (mode & 07777));
    }
    return chmod(proc_path(path, fd), mode & 07777) < 0 ? errno : 0;
}

int model_chown(const struct p9_server *server, int fd, uint32_t uid, uint32_t gid)
{
    if (is_mapped(server)) {
        int why = uid == UINT32_MAX ? 0 : mapped_set32(fd, PREFIX "uid", uid);
        return why || gid == UINT32_MAX ? why : mapped_set32(fd, PREFIX "gid", gid);
    }
    int why = fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? errno : 0;
    return server->export.model == P9_NONE && why == EPERM ? 0 : why;
}

int model_readlink(const struct p9_server *server, int fd, char *target, size_t room, size_t *len)
{
    struct stat stat, shown;
    if (fstat(fd, &stat) < 0)
        return errno;
    int why = model_stat(server, fd, &shown);
    if (why || !S_ISLNK(shown.st_mode))
        return why ? why : EINVAL;
    ssize_t got;
    if (S_ISLNK(stat.st_mode)) {
        got = readlinkat(fd, "", target, room);
    } else {
        char path[PROC_PATH_MAX];
        int file = open(proc_path(path, fd), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        got = file < 0 ? -1 : pread(file, target, room, 0);
        why = errno;
        if (file >= 0)
            close(file);
        errno = why;
    }
    if (got < 0)
        return errno;
    *len = (size_t)got;
    return 0;
}

/* --- New ones --- */

/* Theirs, after it has been made. */
static int settle(const struct p9_server *server, int fd, uint32_t mode, uint64_t rdev, uint32_t uid, uint32_t gid)
{
    if (is_mapped(server))
        return mapped_settle(fd, mode, rdev, uid, gid);
    int why = model_chown(server, fd, uid, gid);
    /* That may have taken the set-id bits away, and the folder's rules others. */
    if (!why && !S_ISLNK(mode))
        why = model_chmod(server, fd, mode);
    return why;
}

/* fd: of the new one, or -1 with why; without its owner it is taken away again. */
static int finish(struct p9_server *server, int dir, const char *name, int fd, uint32_t mode, uint64_t rdev,
                  uint32_t uid, uint32_t gid, int *result)
{
    int why = fd < 0 ? errno : settle(server, fd, mode, rdev, uid, gid);
    if (why && fd >= 0) {
        unlinkat(dir, name, S_ISDIR(mode) ? AT_REMOVEDIR : 0);
        close(fd);
    }
    *result = why ? -1 : fd;
    return why;
}

/* A new regular file that stands for another kind. */
static int stand_in(struct p9_server *server, int dir, const char *name)
{
    return openat(dir, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC | O_NOCTTY,
                  server->export.fmode & 0777);
}

int model_create(struct p9_server *server, int dir, const char *name, int flags, uint32_t mode, uint32_t uid,
                 uint32_t gid, int *fd)
{
    if (!files_make_room(server))
        return errno;
    int file = openat(dir, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY,
                      is_mapped(server) ? server->export.fmode & 0777 : mode & 07777);
    return finish(server, dir, name, file, S_IFREG | (mode & 07777), 0, uid, gid, fd);
}

int model_mkdir(struct p9_server *server, int dir, const char *name, uint32_t mode, uint32_t uid, uint32_t gid, int *fd)
{
    if (!files_make_room(server) ||
        mkdirat(dir, name, is_mapped(server) ? server->export.dmode & 0777 : mode & 07777) < 0)
        return errno;
    /* A folder's set-group-id bit goes to the folders in it. */
    struct stat stat;
    int made = openat(dir, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
    if (made >= 0 && !is_mapped(server) && fstat(made, &stat) == 0)
        mode |= stat.st_mode & S_ISGID;
    return finish(server, dir, name, made, S_IFDIR | (mode & 07777), 0, uid, gid, fd);
}

int model_symlink(struct p9_server *server, int dir, const char *name, const char *target, uint32_t uid, uint32_t gid,
                  int *fd)
{
    if (!files_make_room(server))
        return errno;
    if (!is_mapped(server)) {
        if (symlinkat(target, dir, name) < 0)
            return errno;
        return finish(server, dir, name, openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), S_IFLNK | 0777, 0, uid,
                      gid, fd);
    }
    int file = stand_in(server, dir, name);
    size_t len = strlen(target);
    if (file >= 0 && pwrite(file, target, len, 0) != (ssize_t)len) {
        unlinkat(dir, name, 0);
        close(file);
        return ENOSPC;
    }
    return finish(server, dir, name, file, S_IFLNK | 0777, 0, uid, gid, fd);
}

int model_mknod(struct p9_server *server, int dir, const char *name, uint32_t mode, uint64_t rdev, uint32_t uid,
                uint32_t gid, int *fd)
{
    uint32_t kind = mode & S_IFMT;
    bool is_device = kind == S_IFCHR || kind == S_IFBLK;
    if (!kind)
        kind = S_IFREG;
    if (kind != S_IFREG && kind != S_IFIFO && kind != S_IFSOCK && !is_device)
        return EINVAL;
    if (!files_make_room(server))
        return errno;
    if (is_mapped(server))
        return finish(server, dir, name, stand_in(server, dir, name), kind | (mode & 07777), is_device ? rdev : 0, uid,
                      gid, fd);
    /* A device of the guest's numbers would be one of the host's. */
    if (is_device)
        return EPERM;
    if (mknodat(dir, name, kind | (mode & 07777), 0) < 0)
        return errno;
    return finish(server, dir, name, openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), kind | (mode & 07777), 0, uid,
                  gid, fd);
}

/* --- Extended attributes --- */

static const char *const acls[] = {"system.posix_acl_access", "system.posix_acl_default"};
static const char *const mapped_acls[] = {PREFIX "system.posix_acl_access", PREFIX "system.posix_acl_default"};

const char *model_xattr_name(const struct p9_server *server, const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(acls); i++) {
        if (strcmp(name, acls[i]) == 0)
            return is_mapped(server) ? mapped_acls[i] : acls[i];
    }
    if (!g_str_has_prefix(name, "user.") || (is_mapped(server) && g_str_has_prefix(name, PREFIX)))
        return NULL;
    return name;
}

const char *model_xattr_shown(const struct p9_server *server, const char *name)
{
    for (unsigned i = 0; is_mapped(server) && i < G_N_ELEMENTS(acls); i++) {
        if (strcmp(name, mapped_acls[i]) == 0)
            return acls[i];
        if (strcmp(name, acls[i]) == 0)
            return NULL;
    }
    return model_xattr_name(server, name) ? name : NULL;
}

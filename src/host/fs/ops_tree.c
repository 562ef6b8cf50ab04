/* Requests about names and what stands behind them: walk, stat, create, link, rename, remove. */
#include <limits.h>
#include <stdio.h>
#include <sys/statfs.h>

#include "server_internal.h"

/* --- Walking --- */

/* One step from the folder fd: an O_PATH descriptor, -1 with errno. */
static int step(struct p9_server *server, int fd, const char *name)
{
    return strcmp(name, "..") == 0 ? parent_open(server, fd) : entry_open(server, fd, name);
}

/* A step's name: as name_take(), but it may lead up. */
static int step_take(struct p9_in *in, char name[P9_NAME_MAX + 1])
{
    int why = name_take(in, name);
    return why == EINVAL && strcmp(name, "..") == 0 ? 0 : why;
}

int op_walk(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    char name[P9_NAME_MAX + 1];
    struct p9_fid *fid = NULL;
    struct stat stat;
    int from = fid_fd(server, in, &fid), why = from < 0 ? errno : 0;
    uint32_t number = p9_u32(in);
    uint16_t count = p9_u16(in), done = 0;
    if (in->bad)
        return EBADMSG;
    if (why || count > P9_WALK_MAX || fid->kind >= FID_XATTR_READ)
        return why ? why : EINVAL;
    bool is_same = number == fid->number;
    if (is_same && fid->kind != FID_PATH)
        return EBUSY;
    struct p9_file *file = file_ref(fid->file);
    uint8_t *at = p9_give(out, 2);
    for (; !why && done < count; done++) {
        int fd = file->type == S_IFDIR ? file_fd(server, file) : (errno = ENOTDIR, -1);
        why = step_take(in, name);
        int next = why || fd < 0 ? -1 : step(server, fd, name);
        if (next < 0) {
            why = why ? why : errno;
            break;
        }
        struct p9_file *found = file_new(server, next, false);
        why = !found ? errno : model_stat(server, next, &stat);
        if (!why && server->export.one_device && stat.st_dev != server->root->dev)
            why = EXDEV;
        file_unref(server, file);
        file = found;
        if (why)
            break;
        put_qid(server, out, &stat);
    }
    /* As far as it got, if it got anywhere; there is a new fid only at the end of the way. */
    if (done < count || why) {
        file_unref(server, file);
        if (done == 0)
            return why ? why : ENOENT;
    } else if (is_same) {
        file_unref(server, fid->file);
        fid->file = file;
    } else if (!fid_new(server, number, fid->uid, file)) {
        return errno;
    }
    if (at)
        memcpy(at, &done, 2);
    return 0;
}

/* --- What it is --- */

static uint32_t block_size(const struct p9_server *server, const struct stat *stat)
{
    uint32_t room = server->msize - P9_IO_MAX, unit = (uint32_t)stat->st_blksize;
    return unit && unit <= room ? room - room % unit : room;
}

static void put_time(struct p9_out *out, const struct timespec *time)
{
    p9_put(out, (uint64_t)time->tv_sec, 8);
    p9_put(out, (uint64_t)time->tv_nsec, 8);
}

int op_getattr(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    struct p9_fid *fid;
    struct stat stat;
    const struct timespec none = {0};
    int fd = fid_fd(server, in, &fid), why = fd < 0 ? errno : 0;
    (void)p9_u64(in); /* what of it is wanted: all costs the same */
    if (in->bad)
        return EBADMSG;
    if (why || (why = model_stat(server, fd, &stat)))
        return why;
    p9_put(out, P9_GETATTR_BASIC, 8);
    put_qid(server, out, &stat);
    p9_put(out, stat.st_mode, 4);
    p9_put(out, stat.st_uid, 4);
    p9_put(out, stat.st_gid, 4);
    p9_put(out, stat.st_nlink, 8);
    p9_put(out, stat.st_rdev, 8);
    p9_put(out, (uint64_t)stat.st_size, 8);
    p9_put(out, block_size(server, &stat), 8);
    p9_put(out, (uint64_t)stat.st_blocks, 8);
    put_time(out, &stat.st_atim);
    put_time(out, &stat.st_mtim);
    put_time(out, &stat.st_ctim);
    put_time(out, &none); /* btime */
    p9_put(out, 0, 8);    /* gen */
    p9_put(out, 0, 8);    /* data_version */
    return 0;
}

static int set_size(struct p9_server *server, const struct p9_fid *fid, int fd, uint64_t size)
{
    struct stat stat;
    int why = model_stat(server, fd, &stat);
    if (why || !S_ISREG(stat.st_mode))
        return why ? why : EINVAL;
    if (size > INT64_MAX)
        return EFBIG;
    if (fid->kind == FID_FILE && (fid->flags & O_ACCMODE) != O_RDONLY)
        return ftruncate(fd, (off_t)size) < 0 ? errno : 0;
    int file = file_reopen(server, fd, O_WRONLY);
    if (file < 0)
        return errno;
    why = ftruncate(file, (off_t)size) < 0 ? errno : 0;
    close(file);
    return why;
}

static struct timespec time_of(uint32_t valid, uint32_t is_there, uint32_t is_given, uint64_t seconds, uint64_t nanos)
{
    if (!(valid & is_there))
        return (struct timespec){0, UTIME_OMIT};
    if (!(valid & is_given))
        return (struct timespec){0, UTIME_NOW};
    return (struct timespec){(time_t)seconds, (long)MIN(nanos, 999999999u)};
}

int op_setattr(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    struct p9_fid *fid;
    char proc[PROC_PATH_MAX];
    int fd = fid_fd(server, in, &fid), why = fd < 0 ? errno : 0;
    uint32_t valid = p9_u32(in), mode = p9_u32(in), uid = p9_u32(in), gid = p9_u32(in);
    uint64_t size = p9_u64(in), atime = p9_u64(in), atime_ns = p9_u64(in), mtime = p9_u64(in), mtime_ns = p9_u64(in);
    if (in->bad)
        return EBADMSG;
    if (!why && (valid & P9_SETATTR_MODE))
        why = model_chmod(server, fd, mode);
    if (!why && (valid & (P9_SETATTR_ATIME | P9_SETATTR_MTIME))) {
        const struct timespec times[2] = {time_of(valid, P9_SETATTR_ATIME, P9_SETATTR_ATIME_SET, atime, atime_ns),
                                          time_of(valid, P9_SETATTR_MTIME, P9_SETATTR_MTIME_SET, mtime, mtime_ns)};
        why = utimensat(AT_FDCWD, proc_path(proc, fd), times, 0) < 0 ? errno : 0;
    }
    if (!why && (valid & (P9_SETATTR_UID | P9_SETATTR_GID)))
        why = model_chown(server, fd, valid & P9_SETATTR_UID ? uid : UINT32_MAX,
                          valid & P9_SETATTR_GID ? gid : UINT32_MAX);
    if (!why && (valid & P9_SETATTR_SIZE))
        why = set_size(server, fid, fd, size);
    return why;
}

int op_readlink(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    struct p9_fid *fid;
    char target[PATH_MAX];
    size_t len = 0;
    int fd = fid_fd(server, in, &fid), why = fd < 0 ? errno : model_readlink(server, fd, target, PATH_MAX - 1, &len);
    if (!why)
        p9_put_string(out, target, len);
    return why;
}

int op_statfs(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    struct p9_fid *fid;
    struct statfs about;
    uint64_t fsid;
    int fd = fid_fd(server, in, &fid);
    if (fd < 0 || fstatfs(fd, &about) < 0)
        return errno;
    memcpy(&fsid, &about.f_fsid, sizeof(fsid));
    p9_put(out, (uint32_t)about.f_type, 4);
    p9_put(out, (uint32_t)about.f_bsize, 4);
    p9_put(out, about.f_blocks, 8);
    p9_put(out, about.f_bfree, 8);
    p9_put(out, about.f_bavail, 8);
    p9_put(out, about.f_files, 8);
    p9_put(out, about.f_ffree, 8);
    p9_put(out, fsid, 8);
    p9_put(out, MIN((uint32_t)about.f_namelen, P9_NAME_MAX), 4);
    return 0;
}

/* --- New names --- */

/* Tells of the new one, whose descriptor ends here. */
static int tell_new(const struct p9_server *server, struct p9_out *out, int why, int fd)
{
    struct stat stat;
    if (!why)
        why = model_stat(server, fd, &stat);
    if (!why)
        put_qid(server, out, &stat);
    if (fd >= 0)
        close(fd);
    return why;
}

int op_mkdir(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    char name[P9_NAME_MAX + 1];
    struct p9_fid *fid;
    int dir = fid_dir_fd(server, in, &fid), why = dir < 0 ? errno : name_take(in, name), fd = -1;
    uint32_t mode = p9_u32(in), gid = p9_u32(in);
    if (why || in->bad)
        return why ? why : EBADMSG;
    why = model_mkdir(server, dir, name, mode, fid->uid, gid, &fd);
    return tell_new(server, out, why, fd);
}

int op_symlink(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    char name[P9_NAME_MAX + 1], target[PATH_MAX];
    struct p9_fid *fid;
    int dir = fid_dir_fd(server, in, &fid), why = dir < 0 ? errno : name_take(in, name), fd = -1;
    size_t len = p9_string(in, target, PATH_MAX - 1);
    uint32_t gid = p9_u32(in);
    if (why || in->bad)
        return why ? why : EBADMSG;
    if (len >= PATH_MAX || len == 0 || strlen(target) != len)
        return len >= PATH_MAX ? ENAMETOOLONG : ENOENT;
    why = model_symlink(server, dir, name, target, fid->uid, gid, &fd);
    return tell_new(server, out, why, fd);
}

int op_mknod(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    char name[P9_NAME_MAX + 1];
    struct p9_fid *fid;
    int dir = fid_dir_fd(server, in, &fid), why = dir < 0 ? errno : name_take(in, name), fd = -1;
    uint32_t mode = p9_u32(in), major = p9_u32(in), minor = p9_u32(in), gid = p9_u32(in);
    if (why || in->bad)
        return why ? why : EBADMSG;
    uint64_t rdev = (minor & 0xffu) | (major & 0xfffu) << 8 | (uint64_t)(minor & 0xfff00u) << 12;
    why = model_mknod(server, dir, name, mode, rdev, fid->uid, gid, &fd);
    return tell_new(server, out, why, fd);
}

int op_link(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    char name[P9_NAME_MAX + 1], proc[PROC_PATH_MAX];
    struct p9_fid *dir_fid, *fid;
    int dir = fid_dir_fd(server, in, &dir_fid), why = dir < 0 ? errno : 0;
    int fd = fid_fd(server, in, &fid);
    why = why ? why : fd < 0 ? errno : name_take(in, name);
    if (why)
        return why;
    if (fid->file->type == S_IFDIR)
        return EPERM;
    /* The last step of /proc/self/fd is followed to the file itself, and no further. */
    return linkat(AT_FDCWD, proc_path(proc, fd), dir, name, AT_SYMLINK_FOLLOW) < 0 ? errno : 0;
}

/* --- Other names, and none --- */

int op_rename(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    char name[P9_NAME_MAX + 1], old[P9_NAME_MAX + 1];
    struct p9_fid *fid, *dir_fid;
    int fd = fid_fd(server, in, &fid), why = fd < 0 ? errno : 0;
    int dir = fid_dir_fd(server, in, &dir_fid);
    why = why ? why : dir < 0 ? errno : name_take(in, name);
    int parent = why ? -1 : file_parent(server, fid->file, old);
    if (parent < 0)
        return why ? why : errno;
    why = renameat(parent, old, dir, name) < 0 ? errno : 0;
    close(parent);
    return why;
}

int op_renameat(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    char old[P9_NAME_MAX + 1], name[P9_NAME_MAX + 1];
    struct p9_fid *from_fid, *to_fid;
    int from = fid_dir_fd(server, in, &from_fid), why = from < 0 ? errno : name_take(in, old);
    if (why)
        return why;
    int to = fid_dir_fd(server, in, &to_fid);
    why = to < 0 ? errno : name_take(in, name);
    if (why)
        return why;
    return renameat(from, old, to, name) < 0 ? errno : 0;
}

int op_unlinkat(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    char name[P9_NAME_MAX + 1];
    struct p9_fid *fid;
    int dir = fid_dir_fd(server, in, &fid), why = dir < 0 ? errno : name_take(in, name);
    uint32_t flags = p9_u32(in);
    if (why || in->bad || (flags & ~P9_UNLINKAT_DIR))
        return why ? why : in->bad ? EBADMSG : EINVAL;
    return unlinkat(dir, name, flags & P9_UNLINKAT_DIR ? AT_REMOVEDIR : 0) < 0 ? errno : 0;
}

/* --- Opening --- */

/* The flags on the wire are Linux's on x86. What a client does by itself, or is none of its business, is left out. */
static int open_flags(uint32_t flags)
{
    return (int)flags & (O_ACCMODE | O_TRUNC | O_APPEND | O_DSYNC | O_SYNC);
}

static int flags_check(const struct p9_server *server, int flags)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
    if ((flags & O_ACCMODE) == O_ACCMODE)
        return EINVAL;
    return writes && server->export.read_only ? EROFS : 0;
}

/* fid is from now on fd, which it takes over. */
static int fid_opened(struct p9_server *server, struct p9_fid *fid, int fd, int flags, struct p9_out *out)
{
    struct stat stat;
    struct p9_file *file = file_new(server, fd, true);
    int why = file ? model_stat(server, fd, &stat) : errno;
    if (why) {
        file_unref(server, file);
        return why;
    }
    file_unref(server, fid->file);
    fid->file = file;
    fid->kind = file->type == S_IFDIR ? FID_DIR : FID_FILE;
    fid->flags = flags;
    fid->dir_at = 0;
    put_qid(server, out, &stat);
    p9_put(out, block_size(server, &stat), 4);
    return 0;
}

/* What fd is, opened, if the guest's and the host's idea of it allow that. */
static int open_known(struct p9_server *server, int fd, int flags, int *opened)
{
    struct stat stat;
    int why = model_stat(server, fd, &stat);
    if (why)
        return why;
    if (!S_ISREG(stat.st_mode) && !S_ISDIR(stat.st_mode))
        return S_ISLNK(stat.st_mode) ? ELOOP : ENXIO;
    if (S_ISDIR(stat.st_mode) && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
        return EISDIR;
    *opened = file_reopen(server, fd, flags);
    return *opened < 0 ? errno : 0;
}

int op_lopen(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    struct p9_fid *fid;
    int fd = fid_fd(server, in, &fid), why = fd < 0 ? errno : 0, opened = -1;
    int flags = open_flags(p9_u32(in));
    if (why || in->bad)
        return why ? why : EBADMSG;
    if (fid->kind != FID_PATH)
        return EBUSY;
    why = flags_check(server, flags);
    if (!why)
        why = open_known(server, fd, flags, &opened);
    return why ? why : fid_opened(server, fid, opened, flags, out);
}

int op_lcreate(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    char name[P9_NAME_MAX + 1];
    struct p9_fid *fid;
    int dir = fid_dir_fd(server, in, &fid), why = dir < 0 ? errno : name_take(in, name), opened = -1;
    uint32_t wanted = p9_u32(in), mode = p9_u32(in), gid = p9_u32(in);
    int flags = open_flags(wanted);
    if (why || in->bad)
        return why ? why : EBADMSG;
    if (fid->kind != FID_PATH)
        return EBUSY;
    why = flags_check(server, flags);
    if (!why)
        why = model_create(server, dir, name, flags, mode, fid->uid, gid, &opened);
    if (why == EEXIST && !(wanted & O_EXCL)) {
        int found = entry_open(server, dir, name);
        why = found < 0 ? errno : open_known(server, found, flags, &opened);
        if (found >= 0)
            close(found);
    }
    return why ? why : fid_opened(server, fid, opened, flags, out);
}

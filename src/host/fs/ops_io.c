/* Requests about what is in files, folders and extended attributes. */
#include <dirent.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "server_internal.h"

/* --- Files --- */

int op_read(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    struct p9_fid *fid;
    int fd = fid_fd(server, in, &fid), why = fd < 0 ? errno : 0;
    uint64_t offset = p9_u64(in);
    uint32_t count = p9_u32(in);
    if (why || in->bad)
        return why ? why : EBADMSG;
    uint8_t *len = p9_give(out, 4);
    if (!len)
        return ENOBUFS;
    count = (uint32_t)MIN(count, p9_room(out));
    ssize_t got;
    if (fid->kind == FID_XATTR_READ) {
        got = offset < fid->size ? (ssize_t)MIN(count, fid->size - offset) : 0;
        if (got)
            memcpy(out->at, fid->value + offset, (size_t)got);
    } else if (fid->kind != FID_FILE || offset > INT64_MAX) {
        return fid->kind == FID_DIR ? EISDIR : EINVAL;
    } else {
        got = pread(fd, out->at, count, (off_t)offset);
    }
    if (got < 0)
        return errno;
    count = (uint32_t)got;
    memcpy(len, &count, 4);
    out->at += count;
    return 0;
}

static ssize_t xattr_write(struct p9_fid *fid, uint64_t offset, const uint8_t *bytes, uint32_t count)
{
    if (offset > fid->size || count > fid->size - offset) {
        errno = ENOSPC;
        return -1;
    }
    memcpy(fid->value + offset, bytes, count);
    fid->done = MAX(fid->done, (uint32_t)offset + count);
    return count;
}

int op_write(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    struct p9_fid *fid;
    int fd = fid_fd(server, in, &fid), why = fd < 0 ? errno : 0;
    uint64_t offset = p9_u64(in);
    uint32_t count = p9_u32(in);
    const uint8_t *bytes = p9_take(in, count);
    if (why || in->bad)
        return why ? why : EBADMSG;
    ssize_t put;
    if (fid->kind == FID_XATTR_WRITE)
        put = xattr_write(fid, offset, bytes, count);
    else if (fid->kind != FID_FILE || offset > INT64_MAX)
        return EINVAL;
    else
        put = pwrite(fd, bytes, count, (off_t)offset);
    if (put < 0)
        return errno;
    if (server->export.writeout && fid->kind == FID_FILE && put)
        sync_file_range(fd, (off64_t)offset, put, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE);
    p9_put(out, (uint32_t)put, 4);
    return 0;
}

int op_fsync(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    struct p9_fid *fid;
    int fd = fid_fd(server, in, &fid), why = fd < 0 ? errno : 0;
    /* Not all clients say whether data are enough. */
    bool is_data = in->at < in->end && p9_u32(in) != 0;
    if (why)
        return why;
    if (fid->kind != FID_FILE && fid->kind != FID_DIR)
        return EINVAL;
    return (is_data ? fdatasync(fd) : fsync(fd)) < 0 ? errno : 0;
}

/* --- Locks: among the guest's processes its kernel sees to them, and the host's do not hear of them --- */

int op_lock(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    struct p9_fid *fid;
    int fd = fid_fd(server, in, &fid), why = fd < 0 ? errno : 0;
    p9_take(in, 1 + 4 + 8 + 8 + 4); /* type, flags, start, length, process */
    if (why || in->bad)
        return why ? why : EBADMSG;
    p9_put(out, P9_LOCK_SUCCESS, 1);
    return 0;
}

int op_getlock(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    char client[P9_NAME_MAX + 1];
    struct p9_fid *fid;
    int fd = fid_fd(server, in, &fid), why = fd < 0 ? errno : 0;
    (void)p9_u8(in);
    uint64_t start = p9_u64(in), length = p9_u64(in);
    uint32_t process = p9_u32(in);
    p9_string(in, client, P9_NAME_MAX);
    if (why || in->bad)
        return why ? why : EBADMSG;
    p9_put(out, P9_UNLOCKED, 1);
    p9_put(out, start, 8);
    p9_put(out, length, 8);
    p9_put(out, process, 4);
    p9_put_string(out, client, strlen(client));
    return 0;
}

/* --- Folders --- */

/* getdents64(2) */
struct entry {
    uint64_t ino;
    int64_t next;
    uint16_t size;
    uint8_t type;
    char name[];
};

#define ENTRY_FIXED (P9_QID + 8u + 1u + 2u)
#define ENTRY_MAX   (ENTRY_FIXED + P9_NAME_MAX)

static void put_entry(const struct p9_server *server, const struct p9_fid *fid, struct p9_out *out,
                      const struct entry *entry)
{
    bool is_up = strcmp(entry->name, "..") == 0 && fid->file->ino == server->root->ino;
    uint8_t type = server->export.model == P9_MAPPED_XATTR ? DT_UNKNOWN : entry->type;
    /* Of the kind only what the folder itself says, and nothing of what is above the root. */
    const struct stat stat = {
        .st_dev = fid->file->dev, .st_ino = is_up ? server->root->ino : entry->ino, .st_mode = DTTOIF(type)};
    put_qid(server, out, &stat);
    p9_put(out, (uint64_t)entry->next, 8);
    p9_put(out, type, 1);
    p9_put_string(out, entry->name, strlen(entry->name));
}

/* One bufferful; how many bytes the host had, 0 at the end, -1 with errno. */
static ssize_t read_entries(const struct p9_server *server, struct p9_fid *fid, int fd, struct p9_out *out)
{
    _Alignas(8) char buffer[32768];
    size_t room = p9_room(out);
    ssize_t got = syscall(SYS_getdents64, fd, buffer, CLAMP(room, 512, sizeof(buffer)));
    for (ssize_t at = 0; at < got;) {
        const struct entry *entry = (const struct entry *)(buffer + at);
        if (ENTRY_FIXED + strlen(entry->name) > p9_room(out)) {
            if (at == 0)
                errno = EINVAL;
            if (lseek(fd, (off_t)fid->dir_at, SEEK_SET) < 0 || at == 0)
                return -1;
            return 0;
        }
        put_entry(server, fid, out, entry);
        fid->dir_at = (uint64_t)entry->next;
        at += entry->size;
    }
    return got;
}

int op_readdir(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    struct p9_fid *fid;
    int fd = fid_fd(server, in, &fid), why = fd < 0 ? errno : 0;
    uint64_t offset = p9_u64(in);
    uint32_t count = p9_u32(in);
    if (why || in->bad)
        return why ? why : EBADMSG;
    if (fid->kind != FID_DIR)
        return ENOTDIR;
    uint8_t *len = p9_give(out, 4);
    if (!len)
        return ENOBUFS;
    if (offset != fid->dir_at && lseek(fd, (off_t)offset, SEEK_SET) < 0)
        return errno;
    fid->dir_at = offset;
    struct p9_out part = {out->at, out->at, out->at + MIN(count, p9_room(out)), false};
    ssize_t got;
    do {
        got = read_entries(server, fid, fd, &part);
    } while (got > 0 && p9_room(&part) >= ENTRY_MAX);
    count = (uint32_t)(part.at - part.start);
    if (got < 0 && count == 0)
        return errno;
    memcpy(len, &count, 4);
    out->at = part.at;
    return 0;
}

/* --- Extended attributes --- */

/* Those of all fids together are bounded. */
static bool value_make(struct p9_server *server, struct p9_fid *fid, const void *bytes, uint32_t size)
{
    if (server->xattr_bytes + size > XATTR_BYTES_MAX)
        return false;
    fid->value = g_malloc0(size + 1u);
    if (bytes)
        memcpy(fid->value, bytes, size);
    fid->size = size;
    server->xattr_bytes += size;
    return true;
}

/* All names that the guest is to see, each with its 0; the bytes, -1 with errno. */
static ssize_t list_names(const struct p9_server *server, const char *path, char *names)
{
    char all[XATTR_VALUE_MAX];
    ssize_t len = listxattr(path, all, sizeof(all)), used = 0;
    for (ssize_t at = 0; at < len; at += (ssize_t)strlen(all + at) + 1) {
        const char *shown = model_xattr_shown(server, all + at);
        if (shown) {
            memcpy(names + used, shown, strlen(shown) + 1);
            used += (ssize_t)strlen(shown) + 1;
        }
    }
    return len < 0 ? len : used;
}

int op_xattrwalk(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    char name[P9_NAME_MAX + 1], path[PROC_PATH_MAX], bytes[XATTR_VALUE_MAX];
    struct p9_fid *fid, *new;
    int fd = fid_fd(server, in, &fid), why = fd < 0 ? errno : 0;
    uint32_t number = p9_u32(in);
    size_t len = p9_string(in, name, P9_NAME_MAX);
    if (why || in->bad)
        return why ? why : EBADMSG;
    if (len > P9_NAME_MAX || strlen(name) != len)
        return len > P9_NAME_MAX ? ERANGE : EINVAL;
    const char *host = len ? model_xattr_name(server, name) : NULL;
    if (len && !host)
        return EOPNOTSUPP;
    proc_path(path, fd);
    ssize_t got = len ? getxattr(path, host, bytes, sizeof(bytes)) : list_names(server, path, bytes);
    if (got < 0)
        return errno;
    if (server->xattr_bytes + (uint32_t)got > XATTR_BYTES_MAX)
        return ENOSPC;
    new = fid_new(server, number, fid->uid, file_ref(fid->file));
    if (!new)
        return errno;
    new->kind = FID_XATTR_READ;
    value_make(server, new, bytes, (uint32_t)got);
    p9_put(out, (uint64_t)got, 8);
    return 0;
}

int op_xattrcreate(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    char name[P9_NAME_MAX + 1];
    struct p9_fid *fid;
    int fd = fid_fd(server, in, &fid), why = fd < 0 ? errno : 0;
    size_t len = p9_string(in, name, P9_NAME_MAX);
    uint64_t size = p9_u64(in);
    uint32_t flags = p9_u32(in);
    if (why || in->bad)
        return why ? why : EBADMSG;
    if (fid->kind != FID_PATH)
        return EBUSY;
    if (len == 0 || len > P9_NAME_MAX || strlen(name) != len)
        return ERANGE;
    if (size > XATTR_VALUE_MAX || (flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE)))
        return size > XATTR_VALUE_MAX ? E2BIG : EINVAL;
    const char *host = model_xattr_name(server, name);
    if (!host)
        return EOPNOTSUPP;
    if (!value_make(server, fid, NULL, (uint32_t)size))
        return ENOSPC;
    fid->kind = FID_XATTR_WRITE;
    fid->name = g_strdup(host);
    fid->xattr_flags = (int)flags;
    return 0;
}

int fid_close(struct p9_server *server, struct p9_fid *fid)
{
    char path[PROC_PATH_MAX];
    if (fid->kind != FID_XATTR_WRITE)
        return 0;
    int fd = fid->done == fid->size ? file_fd(server, fid->file) : (errno = EIO, -1);
    if (fd < 0)
        return errno;
    proc_path(path, fd);
    if (fid->size)
        return setxattr(path, fid->name, fid->value, fid->size, fid->xattr_flags) < 0 ? errno : 0;
    return removexattr(path, fid->name) < 0 ? errno : 0;
}

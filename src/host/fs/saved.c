/* The fids of a session as bytes, for a saved machine, and back: each by where its file is. What is not there any
 * more, or is another file, leaves a fid that answers EBADF.
 *
 *   u32 msize, u32 count, then each: u32 number, uid, kind, flags; u64 dir_at, dev, ino; u16 length, the path
 *
 * Attributes that are being read or written are lost, and so are files that have no name any more.
 */
#include <limits.h>

#include "server_internal.h"

#define FIXED (4 * 4 + 3 * 8 + 2)

static void save_fid(const struct p9_server *server, const struct p9_fid *fid, struct p9_out *out, uint32_t *count)
{
    const struct p9_file *file = fid->file;
    if (fid->kind >= FID_XATTR_READ)
        return;
    char *path = file->fd < 0 ? g_strdup(file->path) : file_path(server, file->fd);
    size_t len = path ? strlen(path) : 0;
    if (path && p9_room(out) >= FIXED + len) {
        p9_put(out, fid->number, 4);
        p9_put(out, fid->uid, 4);
        p9_put(out, fid->kind, 4);
        p9_put(out, (uint32_t)fid->flags, 4);
        p9_put(out, fid->dir_at, 8);
        p9_put(out, file->dev, 8);
        p9_put(out, file->ino, 8);
        p9_put_string(out, path, len);
        (*count)++;
    }
    g_free(path);
}

uint32_t p9_server_save(struct p9_server *server, uint8_t *bytes, uint32_t room)
{
    struct p9_out out = {bytes, bytes, bytes + room, false};
    uint32_t count = 0;
    GHashTableIter iter;
    gpointer fid;
    p9_put(&out, server->msize, 4);
    uint8_t *at = p9_give(&out, 4);
    if (!at)
        return 0;
    /* Those that are open first: the others can be walked to again. */
    for (unsigned open = 2; open-- > 0;) {
        g_hash_table_iter_init(&iter, server->fids);
        while (g_hash_table_iter_next(&iter, NULL, &fid)) {
            if ((((struct p9_fid *)fid)->kind != FID_PATH) == open)
                save_fid(server, fid, &out, &count);
        }
    }
    memcpy(at, &count, 4);
    return (uint32_t)(out.at - bytes);
}

static bool load_open(struct p9_server *server, struct p9_fid *fid, uint32_t kind, int flags)
{
    int keep = flags & (O_ACCMODE | O_APPEND | O_DSYNC | O_SYNC); /* emptied it was then */
    bool is_dir = kind == FID_DIR;
    if (kind == FID_PATH)
        return true;
    if (is_dir != (fid->file->type == S_IFDIR) || (server->export.read_only && (keep & O_ACCMODE) != O_RDONLY))
        return false;
    int fd = file_fd(server, fid->file);
    fd = fd < 0 ? -1 : file_reopen(server, fd, keep);
    struct p9_file *file = fd < 0 ? NULL : file_new(server, fd, true);
    if (!file)
        return false;
    file_unref(server, fid->file);
    fid->file = file;
    fid->kind = is_dir ? FID_DIR : FID_FILE;
    fid->flags = keep;
    fid->dir_at = 0; /* where a new descriptor stands; the next request says where it wants to be */
    return true;
}

static void load_fid(struct p9_server *server, struct p9_in *in)
{
    char path[PATH_MAX];
    uint32_t number = p9_u32(in), uid = p9_u32(in), kind = p9_u32(in), flags = p9_u32(in);
    (void)p9_u64(in); /* where the folder was being read: each request says that anew */
    uint64_t dev = p9_u64(in), ino = p9_u64(in);
    size_t len = p9_string(in, path, PATH_MAX - 1);
    if (in->bad || len >= PATH_MAX || kind > FID_DIR)
        return;
    struct p9_file *file;
    if (len == 0) {
        file = file_ref(server->root);
    } else {
        int fd = files_make_room(server) ? path_open(server, path) : -1;
        file = fd < 0 ? NULL : file_new(server, fd, false);
    }
    if (!file)
        return;
    /* Root may have moved: it is what the user says. */
    bool is_it = len == 0 || (file->dev == dev && file->ino == ino);
    struct p9_fid *fid = is_it ? fid_new(server, number, uid, file) : NULL;
    if (!is_it)
        file_unref(server, file);
    if (fid && !load_open(server, fid, kind, (int)flags)) {
        file_unref(server, fid->file);
        g_hash_table_remove(server->fids, GUINT_TO_POINTER(number));
        g_free(fid);
    }
}

void p9_server_load(struct p9_server *server, const uint8_t *bytes, uint32_t len)
{
    struct p9_in in = {bytes, bytes + len, false};
    uint32_t msize = p9_u32(&in), count = p9_u32(&in);
    p9_server_reset(server);
    if (in.bad)
        return;
    server->msize = CLAMP(msize, P9_MSIZE_MIN, P9_MSIZE_MAX);
    for (uint32_t i = 0; i < count && !in.bad; i++, server->request++)
        load_fid(server, &in);
}

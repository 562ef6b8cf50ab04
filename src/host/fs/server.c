/* The server's session: which request is whose, fids, and what attaches and ends them. See server.h. */
#include "server_internal.h"

#include <sys/resource.h>

#define RESERVE 64u /* descriptors that are not in server->open: passing ones, and the process's own */

static const struct {
    uint8_t type;
    bool writes; /* refused where all is read-only */
    p9_op *op;
} requests[] = {
    {P9_TSTATFS, false, op_statfs},     {P9_TLOPEN, false, op_lopen},
    {P9_TLCREATE, true, op_lcreate},    {P9_TSYMLINK, true, op_symlink},
    {P9_TMKNOD, true, op_mknod},        {P9_TRENAME, true, op_rename},
    {P9_TREADLINK, false, op_readlink}, {P9_TGETATTR, false, op_getattr},
    {P9_TSETATTR, true, op_setattr},    {P9_TXATTRWALK, false, op_xattrwalk},
    {P9_TREADDIR, false, op_readdir},   {P9_TXATTRCREATE, true, op_xattrcreate},
    {P9_TFSYNC, false, op_fsync},       {P9_TLOCK, false, op_lock},
    {P9_TGETLOCK, false, op_getlock},   {P9_TLINK, true, op_link},
    {P9_TMKDIR, true, op_mkdir},        {P9_TRENAMEAT, true, op_renameat},
    {P9_TUNLINKAT, true, op_unlinkat},  {P9_TVERSION, false, op_version},
    {P9_TAUTH, false, op_auth},         {P9_TATTACH, false, op_attach},
    {P9_TFLUSH, false, op_flush},       {P9_TWALK, false, op_walk},
    {P9_TREAD, false, op_read},         {P9_TWRITE, true, op_write},
    {P9_TCLUNK, false, op_clunk},       {P9_TREMOVE, true, op_remove},
};

/* --- Fids --- */

struct p9_fid *fid_find(struct p9_server *server, uint32_t number)
{
    struct p9_fid *fid = g_hash_table_lookup(server->fids, GUINT_TO_POINTER(number));
    if (!fid)
        errno = EBADF;
    return fid;
}

int fid_fd(struct p9_server *server, struct p9_in *in, struct p9_fid **fid)
{
    *fid = fid_find(server, p9_u32(in));
    if (!in->bad && *fid)
        return file_fd(server, (*fid)->file);
    errno = in->bad ? EBADMSG : EBADF;
    return -1;
}

int fid_dir_fd(struct p9_server *server, struct p9_in *in, struct p9_fid **fid)
{
    int fd = fid_fd(server, in, fid);
    if (fd >= 0 && (*fid)->file->type != S_IFDIR) {
        errno = ENOTDIR;
        return -1;
    }
    return fd;
}

struct p9_fid *fid_new(struct p9_server *server, uint32_t number, uint32_t uid, struct p9_file *file)
{
    bool is_taken = number == P9_NO_FID || g_hash_table_contains(server->fids, GUINT_TO_POINTER(number));
    if (is_taken || g_hash_table_size(server->fids) >= server->fids_max) {
        file_unref(server, file);
        errno = is_taken ? EBADF : ENFILE;
        return NULL;
    }
    struct p9_fid *fid = g_new0(struct p9_fid, 1);
    fid->number = number;
    fid->uid = uid;
    fid->file = file;
    g_hash_table_insert(server->fids, GUINT_TO_POINTER(number), fid);
    return fid;
}

/* What it has besides its number. */
static void fid_free(struct p9_server *server, struct p9_fid *fid)
{
    if (fid->value)
        server->xattr_bytes -= fid->size;
    g_free(fid->value);
    g_free(fid->name);
    file_unref(server, fid->file);
    g_free(fid);
}

void p9_server_reset(struct p9_server *server)
{
    GHashTableIter iter;
    gpointer fid;
    g_hash_table_iter_init(&iter, server->fids);
    while (g_hash_table_iter_next(&iter, NULL, &fid)) {
        g_hash_table_iter_steal(&iter);
        fid_free(server, fid);
    }
    server->msize = P9_MSIZE_MAX;
}

/* --- Messages' parts --- */

int name_take(struct p9_in *in, char name[P9_NAME_MAX + 1])
{
    size_t len = p9_string(in, name, P9_NAME_MAX);
    if (in->bad)
        return EBADMSG;
    if (len > P9_NAME_MAX)
        return ENAMETOOLONG;
    if (len == 0 || strlen(name) != len || strchr(name, '/'))
        return ENOENT;
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? EINVAL : 0;
}

void put_qid(const struct p9_server *server, struct p9_out *out, const struct stat *stat)
{
    uint8_t type = S_ISDIR(stat->st_mode) ? P9_QID_DIR : S_ISLNK(stat->st_mode) ? P9_QID_SYMLINK : 0;
    uint64_t path = stat->st_ino, dev = (uint64_t)stat->st_dev ^ server->root->dev;
    if (dev) /* another file system below the root: its numbers are moved away from the root's */
        path ^= (dev * 0x9e3779b97f4a7c15ull) | 1ull << 63;
    p9_put(out, type, 1);
    p9_put(out, (uint32_t)(stat->st_mtime ^ (stat->st_size << 8)), 4);
    p9_put(out, path, 8);
}

/* --- The session's own requests --- */

int op_version(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    static const char version[] = "9P2000.L";
    char text[33];
    uint32_t msize = p9_u32(in);
    p9_string(in, text, sizeof(text) - 1);
    if (in->bad)
        return EBADMSG;
    if (msize < P9_MSIZE_MIN)
        return EMSGSIZE;
    p9_server_reset(server);
    server->msize = MIN(msize, P9_MSIZE_MAX);
    const char *ours = strcmp(text, version) == 0 ? version : "unknown";
    p9_put(out, server->msize, 4);
    p9_put_string(out, ours, strlen(ours));
    return 0;
}

int op_auth(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    return EOPNOTSUPP;
}

int op_attach(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    char text[P9_NAME_MAX + 1];
    struct stat stat;
    uint32_t number = p9_u32(in);
    (void)p9_u32(in); /* afid: nobody is asked who he is */
    p9_string(in, text, P9_NAME_MAX);
    p9_string(in, text, P9_NAME_MAX); /* a folder of the client's choice: there is one */
    uint32_t uid = p9_u32(in);
    if (in->bad)
        return EBADMSG;
    int why = model_stat(server, server->root->fd, &stat);
    if (why)
        return why;
    if (!fid_new(server, number, uid, file_ref(server->root)))
        return errno;
    put_qid(server, out, &stat);
    return 0;
}

/* Requests are answered in turn: what is to be given up has been answered. */
int op_flush(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    (void)p9_u16(in);
    return in->bad ? EBADMSG : 0;
}

static int fid_end(struct p9_server *server, struct p9_fid *fid)
{
    int why = fid_close(server, fid);
    g_hash_table_remove(server->fids, GUINT_TO_POINTER(fid->number));
    fid_free(server, fid);
    return why;
}

int op_clunk(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    struct p9_fid *fid = fid_find(server, p9_u32(in));
    if (in->bad)
        return EBADMSG;
    return fid ? fid_end(server, fid) : EBADF;
}

int op_remove(struct p9_server *server, struct p9_in *in, struct p9_out *out)
{
    char name[P9_NAME_MAX + 1];
    struct p9_fid *fid = fid_find(server, p9_u32(in));
    if (in->bad || !fid)
        return in->bad ? EBADMSG : EBADF;
    int parent = file_parent(server, fid->file, name), why = parent < 0 ? errno : 0;
    if (!why && unlinkat(parent, name, fid->file->type == S_IFDIR ? AT_REMOVEDIR : 0) < 0)
        why = errno;
    if (parent >= 0)
        close(parent);
    fid_end(server, fid); /* in any case */
    return why;
}

/* --- Answers --- */

static p9_op *request_find(const struct p9_server *server, uint8_t type, int *why)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(requests); i++) {
        if (requests[i].type != type)
            continue;
        *why = requests[i].writes && server->export.read_only ? EROFS : 0;
        return *why ? NULL : requests[i].op;
    }
    *why = EOPNOTSUPP;
    return NULL;
}

uint32_t p9_server_answer(struct p9_server *server, const uint8_t *message, uint32_t len, uint8_t *answer,
                          uint32_t room)
{
    struct p9_in in = {message, message + len, false};
    uint32_t size = p9_u32(&in);
    uint8_t type = p9_u8(&in);
    uint16_t tag = p9_u16(&in);
    int why = 0;
    server->request++;
    p9_op *op = request_find(server, type, &why);
    if (room < P9_ERROR)
        return 0;
    if (in.bad || size != len || len > server->msize)
        why = in.bad || size != len ? EBADMSG : EMSGSIZE;
    room = MIN(room, server->msize);
    struct p9_out out = {answer, answer + P9_HEADER, answer + room, false};
    if (!why && op)
        why = op(server, &in, &out);
    if (!why && out.full)
        why = ENOBUFS;
    if (why == EROFS && type == P9_TREMOVE) { /* it ends its fid in any case */
        struct p9_fid *fid = fid_find(server, p9_u32(&in));
        if (fid)
            fid_end(server, fid);
    }
    if (why) {
        out.at = answer + P9_HEADER;
        out.full = false;
        p9_put(&out, (uint32_t)why, 4);
    }
    len = (uint32_t)(out.at - answer);
    out.at = answer;
    p9_put(&out, len, 4);
    p9_put(&out, why ? P9_RLERROR : type + 1u, 1);
    p9_put(&out, tag, 2);
    return len;
}

/* --- Life --- */

struct p9_server *p9_server_new(int root, const struct p9_export *export)
{
    struct rlimit limit = {RESERVE * 4, RESERVE * 4};
    struct p9_server *server = g_new0(struct p9_server, 1);
    server->export = *export;
    server->fids = g_hash_table_new(g_direct_hash, g_direct_equal);
    server->root = file_new(server, root, true);
    if (!server->root) {
        g_hash_table_unref(server->fids);
        g_free(server);
        return NULL;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    server->open_max = (unsigned)CLAMP(limit.rlim_cur, RESERVE * 2, FIDS_MAX) - RESERVE;
    if (export->descriptors)
        server->open_max = CLAMP(export->descriptors, 8u, server->open_max);
    server->fids_max = export->fids ? export->fids : FIDS_MAX;
    server->msize = P9_MSIZE_MAX;
    return server;
}

void p9_server_free(struct p9_server *server)
{
    p9_server_reset(server);
    file_unref(server, server->root);
    g_hash_table_unref(server->fids);
    g_free(server);
}

unsigned p9_server_fids(const struct p9_server *server)
{
    return g_hash_table_size(server->fids);
}

unsigned p9_server_descriptors(const struct p9_server *server)
{
    return server->open;
}

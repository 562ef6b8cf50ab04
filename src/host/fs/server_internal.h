/* Between the files of the server: server.c (dispatch, session), files.c (descriptors), model.c (owners and modes),
 * ops_*.c (the requests), saved.c. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "server.h"

#define FIDS_MAX        65536u
#define XATTR_VALUE_MAX 65536u     /* Linux's own limit, of a list of names, too */
#define XATTR_BYTES_MAX (4u * MiB) /* held by all fids together */
#define PROC_PATH_MAX   32         /* "/proc/self/fd/N" */

/* A file or folder that fids refer to. fd is -1 while others need descriptors more; path then says where it was. */
struct p9_file {
    unsigned refs;
    int fd;
    bool is_open;  /* for reading or writing: fd stays */
    uint32_t type; /* S_IFMT, on the host */
    dev_t dev;
    ino_t ino;
    char *path;       /* relative to the root */
    uint64_t request; /* that used it last: until that is answered, fd stays */
    GList link;       /* in server->idle, while fd may be closed */
};

enum p9_fid_kind { FID_PATH, FID_FILE, FID_DIR, FID_XATTR_READ, FID_XATTR_WRITE };

struct p9_fid {
    uint32_t number, uid;
    enum p9_fid_kind kind;
    struct p9_file *file;
    int flags;       /* of FID_FILE: as it was opened */
    uint64_t dir_at; /* of FID_DIR: where its descriptor stands */
    /* Of FID_XATTR_*. */
    char *name;
    uint8_t *value;
    uint32_t size, done;
    int xattr_flags;
};

struct p9_server {
    struct p9_export export;
    struct p9_file *root;
    GHashTable *fids; /* number: struct p9_fid */
    GQueue idle;      /* struct p9_file, longest unused first */
    unsigned open, open_max, fids_max;
    uint32_t msize, xattr_bytes;
    uint64_t request; /* how many there were */
};

/* A request: 0, or an errno value; then what is in out does not count. */
typedef int p9_op(struct p9_server *server, struct p9_in *in, struct p9_out *out);

p9_op op_statfs, op_lopen, op_lcreate, op_symlink, op_mknod, op_rename, op_readlink, op_getattr, op_setattr,
    op_xattrwalk, op_xattrcreate, op_readdir, op_fsync, op_lock, op_getlock, op_link, op_mkdir, op_renameat,
    op_unlinkat, op_version, op_auth, op_attach, op_flush, op_walk, op_read, op_write, op_clunk, op_remove;

/* --- server.c --- */
struct p9_fid *fid_find(struct p9_server *server, uint32_t number);
/* The next number in in is a fid: its descriptor, or -1 with errno. */
int fid_fd(struct p9_server *server, struct p9_in *in, struct p9_fid **fid);
/* The same, and it is a folder. */
int fid_dir_fd(struct p9_server *server, struct p9_in *in, struct p9_fid **fid);
/* NULL with errno: the number is taken, or there are too many. Takes over file. */
struct p9_fid *fid_new(struct p9_server *server, uint32_t number, uint32_t uid, struct p9_file *file);
/* What its last user wrote into an attribute is stored: an errno value. */
int fid_close(struct p9_server *server, struct p9_fid *fid);
/* A name in a folder; errno value if it cannot be one. */
int name_take(struct p9_in *in, char name[P9_NAME_MAX + 1]);
/* stat: as the guest is to see it (model_stat). */
void put_qid(const struct p9_server *server, struct p9_out *out, const struct stat *stat);

/* --- files.c --- */
const char *proc_path(char text[PROC_PATH_MAX], int fd);
/* Takes over fd; is_open: it is no O_PATH one. NULL with errno. */
struct p9_file *file_new(struct p9_server *server, int fd, bool is_open);
struct p9_file *file_ref(struct p9_file *file);
void file_unref(struct p9_server *server, struct p9_file *file);
/* Its descriptor, opened again where needed; valid until the request is answered. -1 with errno. */
int file_fd(struct p9_server *server, struct p9_file *file);
/* name in the folder fd, not followed: an O_PATH descriptor. -1 with errno. */
int entry_open(struct p9_server *server, int fd, const char *name);
/* The folder above one; at the root itself. -1 with errno: it is not below the root any more. */
int parent_open(struct p9_server *server, int fd);
/* For reading or writing what fd, of either kind, is: a regular file or a folder. -1 with errno. */
int file_reopen(struct p9_server *server, int fd, int flags);
/* Room for one more descriptor is made. False with errno. */
bool files_make_room(struct p9_server *server);
/* Where it is, relative to the root; NULL: nowhere below it. */
char *file_path(const struct p9_server *server, int fd);
/* By such a path: an O_PATH descriptor, -1 with errno. */
int path_open(struct p9_server *server, const char *path);
/* The folder in which a file is, and its name there. -1 with errno. */
int file_parent(struct p9_server *server, struct p9_file *file, char name[P9_NAME_MAX + 1]);

/* --- model.c --- */
/* 0 or an errno value, all of them. fd may be an O_PATH one. */
int model_stat(const struct p9_server *server, int fd, struct stat *stat);
int model_chmod(const struct p9_server *server, int fd, uint32_t mode);
int model_chown(const struct p9_server *server, int fd, uint32_t uid, uint32_t gid);
int model_readlink(const struct p9_server *server, int fd, char *target, size_t room, size_t *len);
/* In the folder dir: name must not exist. The new file's descriptor in *fd, of the O_PATH kind but for model_create().
 */
int model_create(struct p9_server *server, int dir, const char *name, int flags, uint32_t mode, uint32_t uid,
                 uint32_t gid, int *fd);
int model_mkdir(struct p9_server *server, int dir, const char *name, uint32_t mode, uint32_t uid, uint32_t gid,
                int *fd);
int model_symlink(struct p9_server *server, int dir, const char *name, const char *target, uint32_t uid, uint32_t gid,
                  int *fd);
int model_mknod(struct p9_server *server, int dir, const char *name, uint32_t mode, uint64_t rdev, uint32_t uid,
                uint32_t gid, int *fd);
/* The host's name of an attribute that the guest names so; NULL: it is none that it may see. */
const char *model_xattr_name(const struct p9_server *server, const char *name);
/* And the guest's of one of the host's; NULL: hidden. */
const char *model_xattr_shown(const struct p9_server *server, const char *name);

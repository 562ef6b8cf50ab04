/* A server of 9P2000.L for one folder of the host: a message in, its answer out. It knows nothing of machines.
 *
 * What keeps a guest within the folder: a file is only ever reached by one name at a time, relative to the open
 * descriptor of the folder it is in, without following a link there (O_NOFOLLOW); a name has neither '/' nor is it
 * "..". Descriptors are of the O_PATH kind until a file is opened, and only regular files and folders are. So it does
 * not matter what anybody moves or replaces meanwhile.
 */
#pragma once

#include <sys/stat.h>

#include "p9.h"

#define P9_MSIZE_MAX (512u * KiB)
#define P9_MSIZE_MIN 4096u

enum p9_model {
    P9_PASSTHROUGH, /* owners and modes are the host's */
    P9_NONE,        /* the same, and nothing is said when an owner cannot be set */
    P9_MAPPED_XATTR /* they are in extended attributes, as is what is neither a file nor a folder */
};

struct p9_export {
    enum p9_model model;
    bool read_only, writeout, one_device; /* writeout=immediate, multidevs=forbid */
    uint32_t fmode, dmode;                /* of files and folders, on the host, of the mapped model */
    unsigned descriptors;                 /* that may be open at once; 0: as many as the process may have */
    unsigned fids;                        /* 0: the most there may be */
};

struct p9_server;

/* root: a descriptor of the folder, which becomes the server's. NULL with errno. */
struct p9_server *p9_server_new(int root, const struct p9_export *export);
void p9_server_free(struct p9_server *server);
/* A new session: all fids are gone. */
void p9_server_reset(struct p9_server *server);

/* Answers message of len bytes, which may lie in shared memory; the answer's length. answer has room bytes, of which
 * no more than what was agreed on (msize) are used. Nothing in it is believed. 0: not even an error fits. */
uint32_t p9_server_answer(struct p9_server *server, const uint8_t *message, uint32_t len, uint8_t *answer,
                          uint32_t room);

/* All fids, as far as they fit; the bytes. And back again: what is not where it was is not there. */
uint32_t p9_server_save(struct p9_server *server, uint8_t *bytes, uint32_t room);
void p9_server_load(struct p9_server *server, const uint8_t *bytes, uint32_t len);

/* For tests and "info": how many there are. */
unsigned p9_server_fids(const struct p9_server *server);
unsigned p9_server_descriptors(const struct p9_server *server);

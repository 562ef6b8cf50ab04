/* The memory that the monitor and a folder's process have in common: two rings of slots, and the slots.
 *
 *     monitor                                             process
 *     begin, send -> todo[] {slot, len, room} ----------> server
 *     take       <-- done[] {slot, len} <---------------- answers
 *
 * Whoever sleeps says so, so that nobody else makes a system call for nothing. Each side keeps its own positions, takes
 * each entry once, and believes none of it.
 */
#pragma once

#include <glib.h>
#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "fsdev.h"
#include "server.h"

enum share_kind {
    SHARE_MESSAGE, /* of 9P */
    SHARE_SAVE,    /* the answer is the session */
    SHARE_LOAD     /* the message is one */
};

#define SHARE_SLOTS (FSDEV_SLOTS + 1) /* the last one is for saving and loading */
#define SHARE_RING  128u              /* a power of two, not less */

struct share_todo {
    uint32_t slot, len, room, kind, session;
};
struct share_done {
    uint32_t slot, len;
};

struct share_slot {
    _Alignas(PAGE_SIZE) uint8_t message[FSDEV_MESSAGE_MAX];
    uint8_t answer[FSDEV_MESSAGE_MAX];
};

/* Positions grow for ever. */
struct share {
    _Alignas(64) _Atomic uint32_t sent;
    _Atomic uint32_t session; /* raised by each reset */
    _Atomic uint32_t monitor_sleeps;
    _Alignas(64) _Atomic uint32_t answered;
    _Atomic uint32_t process_sleeps;
    _Alignas(64) struct share_todo todo[SHARE_RING];
    struct share_done done[SHARE_RING];
    struct share_slot slot[SHARE_SLOTS];
};

/* Descriptors: memory, the monitor's eventfd, the process's, the socket whose end is the other's death, the folder. */
enum share_fd { SHARE_MEMORY, SHARE_WAKE_MONITOR, SHARE_WAKE_PROCESS, SHARE_CONTROL, SHARE_ROOT, SHARE_FDS };

/* In the process: fds from PROCESS_FD on. */
_Noreturn void fs_process_main(const struct p9_export *export);

/* In the monitor. root becomes the process's. NULL with a sentence. */
struct fsdev *fs_link_new(const char *id, int root, const struct p9_export *export, GError **error);
void fs_link_free(struct fsdev *fsdev);
void fs_link_settle(struct fsdev *fsdev); /* without the machine lock */

static inline void share_wake(int fd)
{
    uint64_t one = 1;
    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

static inline void share_pause(void)
{
    __builtin_ia32_pause();
}

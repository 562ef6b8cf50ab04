/* Inside of a network process: the roles it can have, and what they need of its loop.
 *
 * Nothing of the monitor's is used there but its options; it has one thread.
 */
#pragma once

#include <glib.h>
#include <poll.h>

#include "cable.h"
#include "host/fence.h"
#include "keyvalue.h"

struct netproc; /* the process: cable and loop */

/* What a role is waiting for, until the loop sleeps again. */
struct polls {
    GArray *fds; /* struct pollfd */
    int timeout; /* milliseconds, -1: none */
};
int polls_add(struct polls *polls, int fd, short events); /* its place */
short polls_result(const struct polls *polls, int place);
void polls_limit(struct polls *polls, int64_t milliseconds);

struct net_role {
    const char *type; /* QEMU's */
    /* Opens all there is to open, in the process, before its fence. info: what "info network" says. NULL with *error.
     */
    void *(*open)(struct netproc *process, struct keyvalues *options, GString *info, GError **error);
    /* What else the fence must let through. */
    void (*needs)(void *role, struct fence_network *needs);
    uint8_t (*takes)(void *role); /* NETDEV_TAKES_*; NULL: nothing */
    /* From the card. false: not now; it is asked again when something that was waited for has come. */
    bool (*frame)(void *role, uint8_t *frame, size_t len, const struct netdev_offload *offload);
    void (*fill)(void *role, struct polls *polls);
    /* can_deliver: there is room for frames to the card. Otherwise it is called again. */
    void (*done)(void *role, const struct polls *polls, bool can_deliver);
    /* An order of the user's: what to answer, or *error. NULL: it takes none. */
    char *(*order)(void *role, const char *order, GError **error);
    /* All words of the options that are names of descriptors to be inherited: "fd", NULL at the end. */
    const char *const *fd_keys;
};

extern const struct net_role role_user, role_tap, role_socket, role_stream, role_dgram;
const struct net_role *net_role_at(unsigned i); /* NULL behind the last */
const struct net_role *net_role_find(const char *type);

/* To the card; lost if there is no room. */
void netproc_deliver(struct netproc *process, const struct iovec *pieces, unsigned count,
                     const struct netdev_offload *offload);
/* What the card's driver can take: NETDEV_TAKES_*. */
uint8_t netproc_front_takes(const struct netproc *process);

/* From now on no role runs a program of the host's: those that the user's command line names are one thing, those that
 * an order names another. */
void netproc_forbid_commands(void);
bool netproc_may_run(const char *what, GError **error);

/* Makes the process. fds: of the cable, the control socket, those that options name (already by their numbers there).
 */
bool netproc_start(struct keyvalues *options, const int *fds, unsigned count, GError **error);

/* Messages between a process and the monitor: the first is the process's, an answer to being made. */
#define NETPROC_MESSAGE 60000

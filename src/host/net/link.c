/* A back end in a process of its own, as the monitor sees it: the near end of the cable.
 *
 * Frames from the process come on the device thread; the card may be full, then the next frame is kept here and the
 * rest in the ring. The process's death is a pulled cable.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker.h"
#include "cable.h"
#include "devthread.h"
#include "host/process.h"
#include "lock.h"
#include "log.h"
#include "net_internal.h"
#include "process.h"
#include "vclock.h"

#define FRAMES_AT_ONCE 32   /* while the machine is locked */
#define ROUNDS_AT_ONCE 8    /* before other sources of the device thread have their turn */
#define ANSWER_MS      5000 /* an order's answer */
#define FDS_GIVEN_MAX  8
#define STALE_MAX      16

struct link {
    struct net_backend backend; /* first */
    struct cable cable;
    int fds[CABLE_FDS], control;
    guint ready, hangup; /* sources of the device thread */
    bool full;           /* the card had no room for what is in frame */
    bool wants_room;     /* it has been told that the ring is full */
    bool closed;         /* a source of the device thread may still be on its way to the lock */
    size_t len;          /* of the frame that waits; 0: none */
    struct netdev_offload offload;
    uint8_t frame[NETDEV_FRAME_MAX];
};

static void wake_self(const struct link *link)
{
    uint64_t one = 1;
    while (write(link->cable.wake_us, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

static void link_die(struct link *link, const char *why)
{
    if (link->backend.dead)
        return;
    log_user("the process behind network '%s' %s: its cable is pulled", link->backend.id, why);
    link->backend.dead = true;
    net_link_update(&link->backend);
}

/* --- From the card --- */

static bool link_send(struct netdev *netdev, const struct iovec *pieces, unsigned count,
                      const struct netdev_offload *offload)
{
    struct link *link = (struct link *)netdev;
    if (!cable_put(&link->cable, pieces, count, offload)) {
        if (link->cable.broken)
            return true;
        link->wants_room = cable_wait_for_room(&link->cable);
        if (link->wants_room || !cable_put(&link->cable, pieces, count, offload))
            return false;
    }
    net_sent(&link->backend, pieces, count);
    return true;
}

/* --- To the card --- */

static void link_card_ready(struct netdev *netdev)
{
    struct link *link = (struct link *)netdev;
    if (!link->full)
        return;
    link->full = false;
    wake_self(link); /* not from within the card's own call */
}

static void link_takes_changed(struct netdev *netdev)
{
    const struct link *link = (const struct link *)netdev;
    atomic_store(link->cable.takes, netdev->front_takes);
}

/* One frame to the card. False: there is none, or no room for it. */
static bool deliver_one(struct link *link)
{
    if (link->len == 0)
        link->len = cable_get(&link->cable, link->frame, &link->offload);
    if (link->len == 0)
        return false;
    /* Shorter ones are none, and what the card has not said it can take does not reach it. */
    uint8_t takes = link->backend.netdev.front_takes;
    bool is_plain = link->offload.gso_type == NETDEV_GSO_NONE &&
                    (!(link->offload.flags & NETDEV_NEEDS_CSUM) || (takes & NETDEV_TAKES_CSUM));
    bool is_taken = is_plain || (takes & (NETDEV_TAKES_TSO4 | NETDEV_TAKES_TSO6));
    if (link->len >= 14 && is_taken && !net_deliver(&link->backend, link->frame, link->len, &link->offload)) {
        link->full = true;
        return false;
    }
    link->len = 0;
    return true;
}

/* When the bus is granted; machine lock held. */
static bool link_deliver(struct net_backend *backend)
{
    struct link *link = (struct link *)backend;
    if (vclock_is_stopped())
        return false; /* link_resume() goes on */
    if (link->wants_room && !cable_wait_for_room(&link->cable)) {
        const struct netdev *netdev = &link->backend.netdev;
        link->wants_room = false;
        if (netdev->front && netdev->front->sendable)
            netdev->front->sendable(netdev->front_opaque);
    }
    bool more = true;
    for (unsigned i = 0; more && i < FRAMES_AT_ONCE; i++)
        more = !link->full && deliver_one(link);
    if (link->cable.broken) {
        link_die(link, "has sent what makes no sense");
        return false;
    }
    return more || (!link->full && !cable_may_sleep(&link->cable));
}

static bool link_look(struct net_backend *backend, bool last)
{
    struct link *link = (struct link *)backend;
    if (link->full || link->cable.broken || vclock_is_stopped())
        return false;
    return last ? !cable_may_sleep(&link->cable) : cable_has_frames(&link->cable);
}

/* Without the machine lock, which the processor's thread may be waiting for frames with. (A link that is closed
 * meanwhile is freed on this thread, later.) */
static gboolean link_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    struct link *link = opaque;
    cable_awake(&link->cable);
    net_ask(&link->backend);
    return G_SOURCE_CONTINUE;
}

static gboolean link_hangup(gint fd, GIOCondition condition, gpointer opaque)
{
    struct link *link = opaque;
    machine_lock();
    if (!link->closed)
        link_die(link, "has ended");
    machine_unlock();
    return G_SOURCE_REMOVE;
}

static void link_resume(struct net_backend *backend)
{
    wake_self((struct link *)backend);
}

/* --- Life --- */

static gboolean link_free(gpointer opaque)
{
    struct link *link = opaque;
    cable_close(&link->cable);
    for (unsigned i = 0; i < CABLE_FDS; i++)
        close(link->fds[i]);
    close(link->control);
    g_free(link);
    return G_SOURCE_REMOVE;
}

static void link_close(struct net_backend *backend)
{
    struct link *link = (struct link *)backend;
    link->closed = true;
    if (link->ready)
        devthread_source_remove(link->ready);
    if (link->hangup)
        devthread_source_remove(link->hangup);
    if (devthread_is_running())
        devthread_idle_add(link_free, link); /* behind what that thread is in */
    else
        link_free(link);
}

bool link_is(const struct net_backend *backend)
{
    return backend->ops->close == link_close;
}

/* The next message; NULL: it does not come. The first byte is the verdict. */
static char *message_read(int control, int milliseconds)
{
    struct pollfd poll_for = {control, POLLIN, 0};
    char *message = g_malloc(NETPROC_MESSAGE + 1);
    ssize_t len = -1;
    int ready;
    do
        ready = poll(&poll_for, 1, milliseconds);
    while (ready < 0 && errno == EINTR);
    if (ready > 0)
        len = read(control, message, NETPROC_MESSAGE);
    if (len <= 0) {
        g_free(message);
        return NULL;
    }
    message[len] = 0;
    return message;
}

bool link_ask(struct net_backend *backend, const char *order, GString *text, GError **error)
{
    struct link *link = (struct link *)backend;
    struct pollfd stale = {link->control, POLLIN, 0};
    if (!link_is(backend) || backend->dead)
        return NET_FAIL("the process behind network '%s' has ended", backend->id);
    /* Answers to orders that nobody waited for any longer. */
    for (unsigned i = 0; poll(&stale, 1, 0) > 0 && (stale.revents & POLLIN) && !(stale.revents & POLLHUP); i++) {
        g_free(message_read(link->control, 0));
        if (i == STALE_MAX)
            return NET_FAIL("the process behind network '%s' talks without end", backend->id);
    }
    char *message = write(link->control, order, strlen(order)) < 0 ? NULL : message_read(link->control, ANSWER_MS);
    if (!message)
        return NET_FAIL("the process behind network '%s' does not answer", backend->id);
    bool ok = message[0] == '+';
    if (!ok)
        g_set_error(error, net_error(), 0, "%s", message + 1);
    else if (text)
        g_string_append(text, message + 1);
    g_free(message);
    return ok;
}

/* Descriptors that the options name: they go along, and get new numbers there. */
static bool fds_collect(const struct net_role *role, struct keyvalues *options, int *fds, unsigned *count,
                        GError **error)
{
    for (unsigned i = 0; role->fd_keys && role->fd_keys[i]; i++) {
        const char *text = keyvalues_get(options, role->fd_keys[i]);
        uint64_t fd;
        char number[16];
        if (!text)
            continue;
        if (!value_is_number(text, INT32_MAX, &fd) || fcntl((int)fd, F_GETFD) < 0)
            return NET_FAIL("%s=%s: there is no such open descriptor", role->fd_keys[i], text);
        g_snprintf(number, sizeof(number), "%u", PROCESS_FD + *count);
        fds[(*count)++] = (int)fd;
        keyvalues_add(options, role->fd_keys[i], number);
    }
    return true;
}

/* Here, or by the broker. */
static bool link_start(struct link *link, struct keyvalues *options, GError **error)
{
    const struct net_role *role = net_role_find(keyvalues_get(options, "type"));
    int pair[2], fds[CABLE_FDS + 1 + FDS_GIVEN_MAX];
    unsigned count = CABLE_FDS + 1;
    if (broker_is_needed()) {
        for (unsigned i = 0; role->fd_keys && role->fd_keys[i]; i++) {
            if (keyvalues_get(options, role->fd_keys[i]))
                return NET_FAIL("%s= goes with -netdev on the command line only", role->fd_keys[i]);
        }
        return broker_order(options, link->fds, &link->control, error);
    }
    if (!cable_make(link->fds, error))
        return false;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        return NET_FAIL("no socket pair: %s", g_strerror(errno));
    }
    memcpy(fds, link->fds, sizeof(link->fds));
    fds[CABLE_FDS] = pair[1];
    bool ok = fds_collect(role, options, fds, &count, error) && netproc_start(options, fds, count, error);
    close(pair[1]);
    for (unsigned i = CABLE_FDS + 1; ok && i < count; i++)
        close(fds[i]);
    link->control = pair[0];
    return ok;
}

struct net_backend *link_new(struct keyvalues *options, GError **error)
{
    static const struct netdev_ops ops = {link_send, link_card_ready, link_takes_changed};
    static const struct net_backend_ops backend_ops = {link_close, link_resume, link_deliver, link_look};
    struct link *link = g_new0(struct link, 1);
    link->backend.ops = &backend_ops;
    link->backend.netdev.ops = &ops;
    link->control = -1;
    for (unsigned i = 0; i < CABLE_FDS; i++)
        link->fds[i] = -1;
    char *message = NULL;
    bool ok = link_start(link, options, error) && cable_open(&link->cable, link->fds, true);
    /* On the command line it may take as long as a script of the user's does. */
    if (ok && (message = message_read(link->control, broker_is_needed() ? ANSWER_MS : -1)) && message[0] == '+') {
        fcntl(link->control, F_SETFL, O_NONBLOCK); /* a process that does not read holds nobody up */
        link->backend.netdev.takes = (uint8_t)(message[1] - '0') & 7;
        link->backend.info = g_strdup(message + 2);
        link->ready = devthread_fd_add(link->cable.wake_us, G_IO_IN, link_ready, link);
        link->hangup = devthread_fd_add(link->control, G_IO_HUP | G_IO_ERR, link_hangup, link);
        for (unsigned i = 0; i < options->item->len; i++) /* they were the process's to look at */
            ((struct keyvalue *)g_ptr_array_index(options->item, i))->used = true;
    } else {
        if (!error || !*error)
            g_set_error(error, net_error(), 0, "%s", message ? message + 1 : "its process has ended");
        link_close(&link->backend);
        link = NULL;
    }
    g_free(message);
    return link ? &link->backend : NULL;
}

/* Ethernet over a byte stream: -netdev stream, and socket,listen= and connect=. Each frame has its length before it,
 * four bytes, most significant first, as QEMU's has.
 *
 * One peer at a time. Without one, frames are lost, as on a cable with nobody at its end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/address.h"
#include "offload.h"
#include "sockets.h"

#define FAIL(...) (g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, __VA_ARGS__), NULL)

#define LENGTH 4u

struct stream {
    struct socket_state base; /* first */
    struct netproc *process;
    int listener, fd;   /* -1: none */
    bool is_connecting; /* fd is on its way */
    unsigned reconnect; /* seconds; 0: once */
    int64_t next_try;   /* microseconds of the monotonic clock */
    struct sockaddr_storage peer;
    socklen_t peer_len;
    int place, listener_place;
    uint8_t in[LENGTH + NETDEV_FRAME_MAX], out[LENGTH + NETDEV_FRAME_MAX];
    size_t in_len, out_len, out_at;
};

static void peer_gone(struct stream *stream)
{
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
    stream->is_connecting = false;
    stream->in_len = stream->out_len = stream->out_at = 0;
    stream->next_try = g_get_monotonic_time() + stream->reconnect * G_USEC_PER_SEC;
}

static void peer_came(struct stream *stream)
{
    const int on = 1;
    setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* no such thing on a Unix socket */
    stream->is_connecting = false;
}

static void try_again(struct stream *stream)
{
    stream->fd = socket(stream->peer.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (stream->fd >= 0 && connect(stream->fd, (struct sockaddr *)&stream->peer, stream->peer_len) == 0)
        peer_came(stream);
    else if (stream->fd >= 0 && errno == EINPROGRESS)
        stream->is_connecting = true;
    else
        peer_gone(stream);
}

/* What is left of the last frame. True: nothing. */
static bool flush(struct stream *stream)
{
    while (stream->out_at < stream->out_len) {
        ssize_t some = write(stream->fd, stream->out + stream->out_at, stream->out_len - stream->out_at);
        if (some < 0 && errno == EINTR)
            continue;
        if (some < 0 && errno == EAGAIN)
            return false;
        if (some < 0) {
            peer_gone(stream);
            return true;
        }
        stream->out_at += (size_t)some;
    }
    stream->out_at = stream->out_len = 0;
    return true;
}

static bool stream_frame(void *role, uint8_t *frame, size_t len, const struct netdev_offload *offload)
{
    struct stream *stream = role;
    if (stream->fd < 0 || stream->is_connecting)
        return true;
    if (!flush(stream))
        return false;
    if (stream->fd < 0 || !offload_finish(frame, len, offload))
        return true;
    uint32_t header = htonl((uint32_t)len);
    memcpy(stream->out, &header, LENGTH);
    memcpy(stream->out + LENGTH, frame, len);
    stream->out_len = LENGTH + len;
    flush(stream);
    return true;
}

static void stream_fill(void *role, struct polls *polls)
{
    struct stream *stream = role;
    stream->place = stream->listener_place = -1;
    if (stream->fd >= 0)
        stream->place = polls_add(polls, stream->fd,
                                  (short)(stream->is_connecting ? POLLOUT : POLLIN | (stream->out_len ? POLLOUT : 0)));
    else if (stream->listener >= 0)
        stream->listener_place = polls_add(polls, stream->listener, POLLIN);
    else if (stream->reconnect)
        polls_limit(polls, (stream->next_try - g_get_monotonic_time()) / 1000 + 1);
}

/* Whole frames that are there; false: the peer talks nonsense. */
static bool frames_deliver(struct stream *stream)
{
    size_t at = 0;
    while (stream->in_len - at >= LENGTH) {
        uint32_t len;
        memcpy(&len, stream->in + at, LENGTH);
        len = ntohl(len);
        if (len > NETDEV_FRAME_MAX)
            return false;
        if (stream->in_len - at < LENGTH + len)
            break;
        netproc_deliver(stream->process, &(struct iovec){stream->in + at + LENGTH, len}, 1, NULL);
        at += LENGTH + len;
    }
    memmove(stream->in, stream->in + at, stream->in_len - at);
    stream->in_len -= at;
    return true;
}

static void receive(struct stream *stream)
{
    for (unsigned i = 0; i < 4; i++) {
        ssize_t some = read(stream->fd, stream->in + stream->in_len, sizeof(stream->in) - stream->in_len);
        if (some < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        stream->in_len += some > 0 ? (size_t)some : 0;
        if (some <= 0 || !frames_deliver(stream)) {
            peer_gone(stream);
            return;
        }
    }
}

static void stream_done(void *role, const struct polls *polls, bool can_deliver)
{
    struct stream *stream = role;
    short events = polls_result(polls, stream->place);
    if (stream->fd >= 0 && stream->is_connecting && events) {
        int why = 0;
        socklen_t size = sizeof(why);
        getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &why, &size);
        if (why)
            peer_gone(stream);
        else
            peer_came(stream);
    } else if (stream->fd >= 0 && events) {
        if (events & POLLOUT)
            flush(stream);
        if (stream->fd >= 0 && can_deliver && (events & (POLLIN | POLLHUP | POLLERR)))
            receive(stream);
    } else if (stream->fd < 0 && stream->listener >= 0 && polls_result(polls, stream->listener_place)) {
        stream->fd = accept4(stream->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (stream->fd >= 0)
            peer_came(stream);
    } else if (stream->fd < 0 && stream->listener < 0 && stream->reconnect &&
               g_get_monotonic_time() >= stream->next_try) {
        try_again(stream);
    }
}

static struct stream *stream_new(struct netproc *process)
{
    struct stream *stream = g_new0(struct stream, 1);
    stream->base.role = &role_stream;
    stream->process = process;
    stream->listener = stream->fd = stream->place = stream->listener_place = -1;
    return stream;
}

void *stream_from_listener(struct netproc *process, int listener)
{
    struct stream *stream = stream_new(process);
    stream->listener = listener;
    return stream;
}

void *stream_from_connection(struct netproc *process, int fd)
{
    struct stream *stream = stream_new(process);
    stream->fd = fd;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    peer_came(stream);
    return stream;
}

static void *stream_open(struct netproc *process, struct keyvalues *options, GString *info, GError **error)
{
    const char *server = keyvalues_get(options, "server"), *reconnect = keyvalues_get(options, "reconnect");
    bool is_server = false;
    uint64_t seconds = 0;
    int fd;
    if (server && !value_is_switch(server, &is_server))
        return FAIL("stream: 'server' is on or off, not '%s'", server);
    if (reconnect && !value_is_number(reconnect, 86400, &seconds))
        return FAIL("stream: 'reconnect' is a number of seconds, not '%s'", reconnect);
    if (is_server && seconds)
        return FAIL("'reconnect' option is incompatible with socket in server mode");
    if (seconds) { /* the first time as any other: the peer may come later */
        struct stream *stream = stream_new(process);
        stream->reconnect = (unsigned)seconds;
        return sockets_resolve(options, "addr", &stream->peer, &stream->peer_len, info, error) ? stream : NULL;
    }
    if (!sockets_connect(options, "addr", is_server, &fd, info, error))
        return NULL;
    return is_server ? stream_from_listener(process, fd) : stream_from_connection(process, fd);
}

static const char *const fd_keys[] = {"addr.str", NULL};

const struct net_role role_stream = {.type = "stream",
                                     .open = stream_open,
                                     .frame = stream_frame,
                                     .fill = stream_fill,
                                     .done = stream_done,
                                     .fd_keys = fd_keys};

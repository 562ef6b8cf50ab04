/* TCP and Unix sockets: clients, which may come back (reconnect=), and servers with one client at a time, or with one
 * chardev for each. Telnet as RFC 854 has it: the server says that it echoes and sends all characters at once (RFC 857,
 * 858, 856); of what the client says, only BREAK means something.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "char_internal.h"
#include "dialer.h"
#include "lock.h"
#include "log.h"

#define FDS_MAX        16u
#define ACCEPT_RETRY   1000u /* ms, when there is no descriptor left */
#define GRACE_MS       500u  /* a client that has said all it wants may still want to hear the answer */
#define DIAL_WAIT_MS   1000u
#define RECONNECT_SOON 1u /* s, when the dialer is busy */

enum telnet_state { TELNET_DATA, TELNET_IAC, TELNET_OPTION, TELNET_SUB, TELNET_SUB_IAC };
#define TELNET_SE    240
#define TELNET_BREAK 243
#define TELNET_SB    250
#define TELNET_WILL  251
#define TELNET_DONT  254
#define IAC          255

struct socket {
    struct stream stream; /* first */
    struct address address;
    bool listens, telnet, said_trouble;
    unsigned reconnect; /* s; 0: not */
    char *own, *peer;   /* of the connection, "host:port" */

    int listen_fd; /* if listens */
    char *made;    /* a name in the file system that goes with us */
    struct watch *listen, *retry, *grace, *handover;
    struct dial *dial;

    void (*accepted)(void *opaque, struct chardev *client);
    void *accepted_opaque;
    unsigned clients;
    struct socket *parent; /* of a client that was handed over: a reference */

    enum telnet_state telnet_state;
    int fds[FDS_MAX];
    unsigned fd_count;
};

static struct {
    bool sealed, used, made;
} sockets;

static void listen_on(struct socket *sock);
static void connect_start(struct socket *sock);

static struct socket *socket_of(struct host_chardev *dev)
{
    return (struct socket *)dev;
}

static struct host_chardev *dev_of(struct socket *sock)
{
    return &sock->stream.dev;
}

void chardev_seal(void)
{
    sockets.sealed = true;
}

bool chardev_needs_clients(void)
{
    return sockets.used || dialer_is_there();
}

bool chardev_needs_unlink(void)
{
    return sockets.made || dialer_is_there();
}

int socket_make(const struct address *address, char *why)
{
    int fd = -1;
    sockets.used = true;
    machine_unlock();
    if (!sockets.sealed)
        fd = address_open(address, why);
    else if (dialer_is_there())
        fd = dialer_wait(address, DIAL_WAIT_MS, why);
    else
        g_strlcpy(why, "no connection can be made while the machine runs", ADDRESS_WHY);
    machine_lock();
    return fd;
}

/* --- Connections --- */

static void fds_close(struct socket *sock)
{
    for (unsigned i = 0; i < sock->fd_count; i++)
        close(sock->fds[i]);
    sock->fd_count = 0;
}

static void connection_free(struct socket *sock)
{
    g_free(sock->own);
    g_free(sock->peer);
    sock->own = sock->peer = NULL;
}

static bool is_connected(const struct socket *sock)
{
    return sock->stream.out.bytes && sock->stream.out.fd >= 0;
}

static void reconnect_now(void *opaque, GIOCondition condition)
{
    connect_start(opaque);
}

static void reconnect_later(struct socket *sock, unsigned seconds)
{
    if (!dev_of(sock)->closed && !sock->retry)
        watch_after(&sock->retry, dev_of(sock), seconds * 1000, reconnect_now, sock);
}

static void disconnect(struct socket *sock)
{
    struct host_chardev *dev = dev_of(sock);
    if (!is_connected(sock))
        return;
    watch_cancel(&sock->grace);
    stream_stop(&sock->stream);
    fds_close(sock);
    connection_free(sock);
    if (dev->closed)
        return;
    host_chardev_ref(dev);
    chardev_tell_room(dev);
    chardev_set_open(dev, false);
    if (!dev->closed && sock->listens)
        listen_on(sock);
    else if (sock->reconnect)
        reconnect_later(sock, sock->reconnect);
    host_chardev_unref(dev);
}

static void out_failed(struct outlet *outlet, int code)
{
    disconnect((struct socket *)outlet->dev);
}

static void grace_over(void *opaque, GIOCondition condition)
{
    disconnect(opaque);
}

/* Whoever asks and closes one direction waits for the answer; a serial line has no such thing. */
static void in_ended(struct stream *stream, bool hung_up)
{
    struct socket *sock = (struct socket *)stream;
    if (!hung_up)
        outlet_flush(&stream->out);
    if (!is_connected(sock))
        return;
    stream->in_fd = -1;
    if (dev_of(sock)->keeps && !hung_up)
        watch_after(&sock->grace, dev_of(sock), GRACE_MS, grace_over, sock);
    else
        disconnect(sock);
}

/* Descriptors come along with bytes. */
static ssize_t read_with_fds(struct stream *stream, uint8_t *bytes, size_t len)
{
    struct socket *sock = (struct socket *)stream;
    struct iovec part = {bytes, len};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int) * FDS_MAX)];
    } control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room)};
    ssize_t got = recvmsg(stream->in_fd, &message, MSG_CMSG_CLOEXEC);
    if (got < 0)
        return got;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
            if (sock->fd_count < FDS_MAX)
                sock->fds[sock->fd_count++] = fd;
            else
                close(fd);
        }
    }
    return got;
}

bool chardev_take_fd(struct chardev *chardev, int *fd)
{
    struct host_chardev *dev = (struct host_chardev *)chardev;
    struct socket *sock = dev->kind == &chardev_socket ? socket_of(dev) : NULL;
    if (!sock || !sock->fd_count)
        return false;
    *fd = sock->fds[0];
    sock->fd_count--;
    memmove(sock->fds, sock->fds + 1, sock->fd_count * sizeof(sock->fds[0]));
    return true;
}

/* --- Telnet --- */

static void telnet_receive(struct stream *stream, const uint8_t *bytes, size_t len)
{
    struct socket *sock = (struct socket *)stream;
    uint8_t plain[IN_LIMIT];
    size_t count = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = bytes[i];
        switch (sock->telnet_state) {
        case TELNET_DATA:
            if (byte == IAC)
                sock->telnet_state = TELNET_IAC;
            else
                plain[count++] = byte;
            break;
        case TELNET_IAC:
            sock->telnet_state = TELNET_DATA;
            if (byte == IAC)
                plain[count++] = byte;
            else if (byte == TELNET_SB)
                sock->telnet_state = TELNET_SUB;
            else if (byte >= TELNET_WILL && byte <= TELNET_DONT)
                sock->telnet_state = TELNET_OPTION;
            else if (byte == TELNET_BREAK) {
                chardev_receive(&stream->dev, plain, count); /* what came before it */
                count = 0;
                chardev_break(&stream->dev);
            }
            break;
        case TELNET_OPTION:
            sock->telnet_state = TELNET_DATA;
            break;
        case TELNET_SUB:
            if (byte == IAC)
                sock->telnet_state = TELNET_SUB_IAC;
            break;
        case TELNET_SUB_IAC:
            sock->telnet_state = byte == TELNET_SE ? TELNET_DATA : TELNET_SUB;
            break;
        }
    }
    if (count)
        chardev_receive(&stream->dev, plain, count);
}

/* A byte of 255 is sent twice. */
static size_t telnet_write(struct host_chardev *dev, const uint8_t *bytes, size_t len)
{
    size_t done = 0;
    while (done < len) {
        const uint8_t *special = memchr(bytes + done, IAC, len - done);
        size_t plain = special ? (size_t)(special - bytes) - done : len - done;
        size_t taken = plain ? stream_write(dev, bytes + done, plain) : 0;
        done += taken;
        if (taken < plain)
            return done;
        if (!special)
            continue;
        if (!chardev_may_drop(dev) && socket_of(dev)->stream.out.bytes->len + 2 > OUT_LIMIT)
            return done;
        stream_write(dev, (const uint8_t[]){IAC, IAC}, 2);
        done++;
    }
    return done;
}

static size_t socket_write(struct host_chardev *dev, const uint8_t *bytes, size_t len)
{
    struct socket *sock = socket_of(dev);
    if (!is_connected(sock))
        return len; /* to nobody */
    return sock->telnet ? telnet_write(dev, bytes, len) : stream_write(dev, bytes, len);
}

/* --- Beginning --- */

static void connected(struct socket *sock, int fd)
{
    static const uint8_t greeting[] = {IAC, TELNET_WILL, 1, IAC, TELNET_WILL, 3, IAC, TELNET_WILL, 0, IAC, 253, 0};
    struct host_chardev *dev = dev_of(sock);
    struct stream *stream = &sock->stream;
    struct sockaddr_storage at;
    socklen_t len = sizeof(at);
    GString *own = g_string_new(NULL), *peer = g_string_new(NULL);

    sock->said_trouble = false;
    stream->owns_fds = stream->drops = true;
    stream->ended = in_ended;
    stream->filter = sock->telnet ? telnet_receive : NULL;
    stream->read = getsockname(fd, (struct sockaddr *)&at, &len) == 0 && at.ss_family == AF_UNIX ? read_with_fds : NULL;
    sock->telnet_state = TELNET_DATA;
    address_of_socket(fd, false, own);
    address_of_socket(fd, true, peer);
    sock->own = g_string_free(own, FALSE);
    sock->peer = g_string_free(peer, FALSE);
    stream_start(stream, fd, fd);
    stream->out.failed = out_failed;
    if (sock->telnet)
        outlet_put(&stream->out, greeting, sizeof(greeting), true);
    chardev_set_open(dev, true);
}

static void trouble_say(struct socket *sock, const char *why)
{
    if (!sock->said_trouble)
        log_user("Unable to connect character device %s: %s", dev_of(sock)->id, why);
    sock->said_trouble = true;
}

static void dialed(void *opaque, int fd, const char *why)
{
    struct socket *sock = opaque;
    sock->dial = NULL;
    if (fd >= 0) {
        connected(sock, fd);
    } else {
        trouble_say(sock, why);
        if (dialer_is_there())
            reconnect_later(sock, sock->reconnect);
    }
}

static void connect_start(struct socket *sock)
{
    sock->dial = dialer_order(&sock->address, dialed, sock);
    if (!sock->dial && dialer_is_there())
        reconnect_later(sock, RECONNECT_SOON);
}

/* --- Listening --- */

static struct socket *child_new(struct socket *parent)
{
    struct socket *child = (struct socket *)host_chardev_new(&chardev_socket, dev_of(parent)->id);
    child->stream.in_fd = child->listen_fd = -1;
    child->address = parent->address;
    child->telnet = parent->telnet;
    child->parent = parent;
    host_chardev_ref(dev_of(parent));
    parent->clients++;
    dev_of(child)->awaits = true;
    host_chardev_register(dev_of(child), false);
    return child;
}

static void child_accepted(struct socket *parent, struct socket *child)
{
    parent->accepted(parent->accepted_opaque, &dev_of(child)->base);
}

static void accept_again(void *opaque, GIOCondition condition)
{
    listen_on(opaque);
}

static void accept_ready(void *opaque, GIOCondition condition)
{
    struct socket *sock = opaque;
    int fd = accept4(sock->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return;
        watch_cancel(&sock->listen); /* no descriptor is free: later, perhaps */
        if (!sock->retry)
            watch_after(&sock->retry, dev_of(sock), ACCEPT_RETRY, accept_again, sock);
    } else if (sock->accepted) {
        struct socket *child = child_new(sock);
        if (sock->clients >= CHARDEV_CLIENTS_MAX)
            watch_cancel(&sock->listen);
        connected(child, fd);
        child_accepted(sock, child);
    } else {
        watch_cancel(&sock->listen);
        connected(sock, fd);
    }
}

static void listen_on(struct socket *sock)
{
    if (!dev_of(sock)->closed && !sock->listen && !is_connected(sock) && sock->clients < CHARDEV_CLIENTS_MAX)
        watch_fd(&sock->listen, dev_of(sock), sock->listen_fd, G_IO_IN, accept_ready, sock);
}

/* The one that came while there was no acceptor. */
static void hand_over(void *opaque, GIOCondition condition)
{
    struct socket *sock = opaque;
    if (!is_connected(sock) || !sock->accepted)
        return;
    struct socket *child = child_new(sock);
    int fd = sock->stream.out.fd;
    GByteArray *out = sock->stream.out.bytes, *in = dev_of(sock)->in;
    watch_cancel(&sock->stream.in);
    watch_cancel(&sock->stream.out.soon);
    watch_cancel(&sock->stream.out.ready);
    watch_cancel(&sock->grace);
    sock->stream.in_fd = sock->stream.out.fd = -1;
    sock->stream.out.bytes = g_byte_array_new();
    dev_of(sock)->in = dev_of(child)->in;
    dev_of(child)->in = in;
    memcpy(child->fds, sock->fds, sizeof(child->fds));
    child->fd_count = sock->fd_count;
    sock->fd_count = 0;
    enum telnet_state state = sock->telnet_state;
    bool telnet = child->telnet;
    child->telnet = false; /* it has been greeted */
    connected(child, fd);
    child->telnet = telnet;
    child->stream.filter = telnet ? telnet_receive : NULL;
    child->telnet_state = state;
    outlet_force(&child->stream.out, out->data, out->len);
    g_byte_array_unref(out);
    connection_free(sock);
    dev_of(sock)->is_open = dev_of(sock)->told_open = false;
    child_accepted(sock, child);
    listen_on(sock);
}

bool chardev_set_acceptor(struct chardev *chardev, void (*accepted)(void *opaque, struct chardev *client), void *opaque)
{
    struct host_chardev *dev = (struct host_chardev *)chardev;
    struct socket *sock = dev->kind == &chardev_socket ? socket_of(dev) : NULL;
    if (!sock || !sock->listens)
        return false;
    bool taken = guard_enter();
    sock->accepted = accepted;
    dev->accepts = accepted;
    sock->accepted_opaque = opaque;
    if (accepted && is_connected(sock) && !sock->handover)
        watch_soon(&sock->handover, dev, hand_over, sock);
    guard_leave(taken);
    return true;
}

static void describe(struct host_chardev *dev, GString *filename);

/* The first client, before the machine starts. A signal that would end us ends the waiting. */
static bool wait_for_client(struct socket *sock, GError **error)
{
    sigset_t ending, before;
    GString *where = g_string_new(NULL);
    int fd = -1, signal_fd;
    bool ended = false;

    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    sigprocmask(SIG_BLOCK, &ending, &before);
    signal_fd = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
    describe(dev_of(sock), where);
    log_user("waiting for connection on: %s", where->str);
    g_string_free(where, TRUE);
    machine_unlock();
    while (fd < 0 && !ended) {
        struct pollfd poll_fd[2] = {{.fd = sock->listen_fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
        struct signalfd_siginfo came;
        if (poll(poll_fd, 2, -1) < 0 && errno != EINTR)
            ended = true;
        else if (read(signal_fd, &came, sizeof(came)) == sizeof(came))
            ended = true;
        else
            fd = accept4(sock->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    if (signal_fd >= 0)
        close(signal_fd);
    sigprocmask(SIG_SETMASK, &before, NULL);
    machine_lock();
    if (ended)
        return CHARDEV_FAIL("ended while waiting for a connection; wait=off does not wait");
    connected(sock, fd);
    return true;
}

/* Where it really listens: the port may have been chosen, the descriptor passed. */
static void address_refresh(struct socket *sock, bool inherited)
{
    GString *own = g_string_new(NULL);
    struct sockaddr_storage at;
    socklen_t len = sizeof(at);
    if (getsockname(sock->listen_fd, (struct sockaddr *)&at, &len) == 0 &&
        address_of_socket(sock->listen_fd, false, own)) {
        if (at.ss_family == AF_UNIX && inherited) {
            sock->address.kind = ADDRESS_UNIX;
            g_strlcpy(sock->address.path, own->str, sizeof(sock->address.path));
        } else if (at.ss_family != AF_UNIX) {
            char *colon = strrchr(own->str, ':'), *host = own->str;
            *colon = 0;
            if (*host == '[') {
                host++;
                colon[-1] = 0;
            }
            sock->address.kind = ADDRESS_INET;
            g_strlcpy(sock->address.host, host, sizeof(sock->address.host));
            g_strlcpy(sock->address.port, colon + 1, sizeof(sock->address.port));
        }
    }
    g_string_free(own, TRUE);
}

static bool listen_start(struct socket *sock, int fd, bool wait, GError **error)
{
    char why[ADDRESS_WHY];
    bool inherited = fd >= 0;
    if (inherited)
        listen(fd, 128); /* it may do so already */
    else
        fd = socket_make(&sock->address, why);
    if (fd < 0)
        return CHARDEV_FAIL("%s", why);
    sock->listen_fd = fd;
    if (!inherited && sock->address.kind == ADDRESS_UNIX && !sock->address.abstract) {
        sock->made = g_canonicalize_filename(sock->address.path, NULL);
        sockets.made = true;
    }
    address_refresh(sock, inherited);
    if (wait && !sockets.sealed)
        return wait_for_client(sock, error);
    listen_on(sock);
    return true;
}

/* --- Options --- */

bool address_set_host(struct address *address, const char *host, const char *port, GError **error)
{
    size_t len = strlen(host);
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    if (len >= sizeof(address->host) || strlen(port) >= sizeof(address->port))
        return CHARDEV_FAIL("the host name or port in '%.40s:%.40s' is too long", host, port);
    uint64_t number;
    if (g_ascii_isdigit(*port) && !value_is_number(port, 65535, &number))
        return CHARDEV_FAIL("'%s' is no port; they go from 0 to 65535", port);
    memcpy(address->host, host, len);
    address->host[len] = 0;
    g_strlcpy(address->port, port, sizeof(address->port));
    return true;
}

void address_set_family(struct address *address, struct keyvalues *options)
{
    const char *ipv4 = keyvalues_get(options, "ipv4"), *ipv6 = keyvalues_get(options, "ipv6");
    bool v4 = chardev_switch(options, "ipv4", !ipv6 || !chardev_switch(options, "ipv6", false));
    bool v6 = chardev_switch(options, "ipv6", !ipv4 || !chardev_switch(options, "ipv4", false));
    address->only_ipv4 = v4 && !v6;
    address->only_ipv6 = v6 && !v4;
}

static bool address_parse(struct keyvalues *options, struct address *address, GError **error)
{
    const char *path = keyvalues_get(options, "path"), *host = keyvalues_get(options, "host");
    const char *port = keyvalues_get(options, "port"), *fd = keyvalues_get(options, "fd");
    const char *to = keyvalues_get(options, "to");
    uint64_t last = 0;
    memset(address, 0, sizeof(*address));
    address->order = chardev_switch(options, "server", false) ? ADDRESS_LISTEN : ADDRESS_CONNECT;
    if ((path != NULL) + (host != NULL) + (fd != NULL) > 1)
        return CHARDEV_FAIL("None or one of 'path', 'fd' or 'host' option required.");
    if (path && *path) {
        address->kind = ADDRESS_UNIX;
        address->abstract = chardev_switch(options, "abstract", false);
        address->tight = chardev_switch(options, "tight", true);
        if (strlen(path) >= sizeof(address->path) - 1)
            return CHARDEV_FAIL("UNIX socket path '%s' is too long; it has at most %zu characters", path,
                                sizeof(address->path) - 2);
        g_strlcpy(address->path, path, sizeof(address->path));
        return true;
    }
    if (fd)
        return true;
    if (!host)
        return CHARDEV_FAIL("chardev: socket: give path=, or host= and port=, or fd=");
    if (!port)
        return CHARDEV_FAIL("chardev: socket: no port given");
    if (to && !value_is_number(to, 65535, &last))
        return CHARDEV_FAIL("'%s' is no port number for to=", to);
    address->to = (uint16_t)last;
    address_set_family(address, options);
    return address_set_host(address, host, port, error);
}

static bool reconnect_parse(struct keyvalues *options, unsigned *seconds, GError **error)
{
    const char *text = keyvalues_get(options, "reconnect");
    uint64_t number = 0;
    if (text && !value_is_number(text, 86400, &number))
        return CHARDEV_FAIL("Parameter 'reconnect' expects a number of seconds, not '%s'", text);
    *seconds = (unsigned)number;
    return true;
}

/* -1 with a sentence. */
static int fd_parse(const char *text, GError **error)
{
    int type;
    socklen_t len = sizeof(type);
    uint64_t number;
    if (!value_is_number(text, INT32_MAX, &number)) {
        CHARDEV_FAIL("Unable to parse FD number %s", text);
        return -1;
    }
    int fd = (int)number;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM) {
        CHARDEV_FAIL("File descriptor '%s' is not a socket", text);
        return -1;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

static bool refuse_missing(struct keyvalues *options, GError **error)
{
    static const char *const missing[][2] = {{"websocket", "websockets"}, {"tn3270", "3270 terminals"}};
    for (unsigned i = 0; i < G_N_ELEMENTS(missing); i++) {
        if (chardev_switch(options, missing[i][0], false))
            return CHARDEV_FAIL("chardev: socket: there are no %s; leave %s out", missing[i][1], missing[i][0]);
    }
    if (keyvalues_get(options, "tls-creds") || keyvalues_get(options, "tls-authz"))
        return CHARDEV_FAIL("chardev: socket: there is no TLS; use an SSH tunnel, or a Unix socket");
    return true;
}

static bool socket_open(struct host_chardev *dev, struct keyvalues *options, GError **error)
{
    struct socket *sock = socket_of(dev);
    const char *given_fd = keyvalues_get(options, "fd"), *wait = keyvalues_get(options, "wait");
    int fd = -1;
    sock->stream.in_fd = sock->listen_fd = -1;
    if (!refuse_missing(options, error) || !address_parse(options, &sock->address, error) ||
        !reconnect_parse(options, &sock->reconnect, error))
        return false;
    sock->listens = sock->address.order == ADDRESS_LISTEN;
    sock->telnet = chardev_switch(options, "telnet", false);
    if (sock->listens && sock->reconnect)
        return CHARDEV_FAIL("'reconnect' option is incompatible with socket in server listen mode");
    if (!sock->listens && wait)
        return CHARDEV_FAIL("'wait' option is incompatible with socket in client connect mode");
    if (given_fd && sock->reconnect)
        return CHARDEV_FAIL("'reconnect' option is incompatible with 'fd'");
    if (given_fd && (fd = fd_parse(given_fd, error)) < 0)
        return false;
    sockets.used = true;
    if (sock->listens)
        return listen_start(sock, fd, chardev_switch(options, "wait", true), error);
    if (sock->reconnect) {
        if (!dialer_is_there())
            return CHARDEV_FAIL("'reconnect' cannot be used: there is no process that makes connections");
        connect_start(sock);
        return true;
    }
    if (fd < 0) {
        char why[ADDRESS_WHY];
        fd = socket_make(&sock->address, why);
        if (fd < 0)
            return CHARDEV_FAIL("%s", why);
    }
    connected(sock, fd);
    return true;
}

bool chardev_dialer_start(GPtrArray *lists, bool control, GError **error)
{
    GArray *allowed = g_array_new(FALSE, FALSE, sizeof(struct address));
    bool ok = true;
    for (unsigned i = 0; lists && i < lists->len; i++) {
        struct keyvalues *options = g_ptr_array_index(lists, i);
        const char *reconnect = keyvalues_get(options, "reconnect");
        struct address address;
        if (reconnect && strcmp(reconnect, "0") != 0 && address_parse(options, &address, NULL))
            g_array_append_val(allowed, address);
    }
    if (control || allowed->len)
        ok = dialer_start((const struct address *)allowed->data, allowed->len, control, error);
    g_array_unref(allowed);
    return ok;
}

/* --- The kind --- */

static void describe(struct host_chardev *dev, GString *filename)
{
    const struct socket *sock = socket_of(dev);
    const char *server = sock->listens ? ",server=on" : "";
    const struct address *address = &sock->address;
    bool is_unix = address->kind == ADDRESS_UNIX || (sock->own && !strchr(sock->own, ':'));
    if (!is_connected(sock) && !sock->clients)
        g_string_append(filename, "disconnected:");
    if (is_unix) {
        g_string_append_printf(
            filename, "unix:%s%s%s%s", sock->listens || !is_connected(sock) ? address->path : sock->own,
            address->abstract ? ",abstract=on" : "", address->abstract && address->tight ? ",tight=on" : "", server);
        return;
    }
    const char *protocol = sock->telnet ? "telnet" : "tcp";
    if (sock->own)
        g_string_append_printf(filename, "%s:%s%s <-> %s", protocol, sock->own, server, sock->peer);
    else
        g_string_append_printf(filename, "%s:%s:%s%s", protocol, address->host, address->port, server);
}

static bool socket_close(struct host_chardev *dev)
{
    struct socket *sock = socket_of(dev);
    watch_cancel(&sock->listen);
    watch_cancel(&sock->retry);
    watch_cancel(&sock->grace);
    watch_cancel(&sock->handover);
    if (sock->dial)
        dialer_cancel(sock->dial);
    sock->dial = NULL;
    if (sock->listen_fd > 0)
        close(sock->listen_fd);
    sock->listen_fd = -1;
    if (sock->made)
        unlink(sock->made);
    if (sock->parent) {
        sock->parent->clients--;
        if (!dev_of(sock->parent)->closed)
            listen_on(sock->parent);
        host_chardev_unref(dev_of(sock->parent));
        sock->parent = NULL;
    }
    return stream_close(dev);
}

static void socket_release(struct host_chardev *dev)
{
    stream_release(dev);
    fds_close(socket_of(dev));
    connection_free(socket_of(dev));
}

static void socket_free(struct host_chardev *dev)
{
    g_free(socket_of(dev)->made);
    stream_free(dev);
}

const struct chardev_kind chardev_socket = {
    .name = "socket",
    .size = sizeof(struct socket),
    .open = socket_open,
    .write = socket_write,
    .in_space = stream_in_space,
    .close = socket_close,
    .release = socket_release,
    .describe = describe,
    .free = socket_free,
};

/* Ethernet over datagrams, a frame in each: -netdev dgram, and socket,mcast= and udp=. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "offload.h"
#include "sockets.h"

#define FRAMES_AT_ONCE 64
#define PEER_MS        5 /* until a full peer is tried again */
#define FAIL(...)      (g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, __VA_ARGS__), NULL)

struct dgram {
    struct socket_state base; /* first */
    struct netproc *process;
    int fd, place;
    struct sockaddr_storage to;
    socklen_t to_len; /* 0: the socket is connected */
    bool blocked;
    uint8_t frame[NETDEV_FRAME_MAX];
};

static bool dgram_frame(void *role, uint8_t *frame, size_t len, const struct netdev_offload *offload)
{
    struct dgram *dgram = role;
    if (!offload_finish(frame, len, offload))
        return true;
    ssize_t done = sendto(dgram->fd, frame, len, MSG_NOSIGNAL,
                          dgram->to_len ? (const struct sockaddr *)&dgram->to : NULL, dgram->to_len);
    dgram->blocked = done < 0 && errno == EAGAIN;
    return !dgram->blocked; /* nobody there, too long: lost */
}

static void dgram_fill(void *role, struct polls *polls)
{
    struct dgram *dgram = role;
    /* A Unix peer whose queue is full does not show at this end. */
    bool waits_for_peer = dgram->blocked && dgram->to.ss_family == AF_UNIX;
    dgram->place = polls_add(polls, dgram->fd, (short)(POLLIN | (dgram->blocked && !waits_for_peer ? POLLOUT : 0)));
    if (waits_for_peer)
        polls_limit(polls, PEER_MS);
}

static void dgram_done(void *role, const struct polls *polls, bool can_deliver)
{
    struct dgram *dgram = role;
    if (!can_deliver || !polls_result(polls, dgram->place))
        return;
    for (unsigned i = 0; i < FRAMES_AT_ONCE; i++) {
        ssize_t len = recv(dgram->fd, dgram->frame, sizeof(dgram->frame), MSG_DONTWAIT);
        if (len < 0)
            return;
        netproc_deliver(dgram->process, &(struct iovec){dgram->frame, (size_t)len}, 1, NULL);
    }
}

void *dgram_from_socket(struct netproc *process, int fd, const struct sockaddr_storage *to, socklen_t to_len)
{
    struct dgram *dgram = g_new0(struct dgram, 1);
    dgram->base.role = &role_dgram;
    dgram->process = process;
    dgram->fd = fd;
    if (to)
        dgram->to = *to;
    dgram->to_len = to ? to_len : 0;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return dgram;
}

static bool unix_address(struct keyvalues *options, const char *prefix, struct sockaddr_un *at)
{
    char *key = g_strconcat(prefix, ".path", NULL);
    const char *path = keyvalues_get(options, key);
    g_free(key);
    *at = (struct sockaddr_un){.sun_family = AF_UNIX};
    return path && strlen(path) < sizeof(at->sun_path) && g_strlcpy(at->sun_path, path, sizeof(at->sun_path));
}

static void *open_unix(struct netproc *process, struct keyvalues *options, GString *info, GError **error)
{
    struct sockaddr_un own, to;
    if (!unix_address(options, "local", &own) || !unix_address(options, "remote", &to))
        return FAIL("dgram: local.path and remote.path are needed, of less than 108 characters");
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unlink(own.sun_path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(own)) < 0)
        return FAIL("can't bind unix=%s to socket: %s", own.sun_path, g_strerror(errno));
    g_string_append_printf(info, "udp=%s:%s", own.sun_path, to.sun_path);
    struct sockaddr_storage storage = {0};
    memcpy(&storage, &to, sizeof(to));
    return dgram_from_socket(process, fd, &storage, sizeof(to));
}

/* For remote a group: all machines on it hear each other. */
static bool join(int fd, const struct sockaddr_in *group, const struct in_addr *own)
{
    const int on = 1;
    struct ip_mreq request = {group->sin_addr, own ? *own : (struct in_addr){INADDR_ANY}};
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
           bind(fd, (const struct sockaddr *)group, sizeof(*group)) == 0 &&
           setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request)) == 0 &&
           setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof(on)) == 0 &&
           (!own || setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, own, sizeof(*own)) == 0);
}

static bool inet_address(struct keyvalues *options, const char *prefix, bool needs_port, struct sockaddr_in *at)
{
    char *host_key = g_strconcat(prefix, ".host", NULL), *port_key = g_strconcat(prefix, ".port", NULL);
    const char *host = keyvalues_get(options, host_key), *port = keyvalues_get(options, port_key);
    uint64_t number = 0;
    g_free(host_key);
    g_free(port_key);
    *at = (struct sockaddr_in){.sin_family = AF_INET};
    if (!host || (needs_port && !port) || (port && !value_is_number(port, 65535, &number)))
        return false;
    if (*host && !inet_aton(host, &at->sin_addr)) {
        const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM};
        struct addrinfo *list = NULL;
        if (getaddrinfo(host, NULL, &hints, &list) != 0)
            return false;
        memcpy(at, list->ai_addr, sizeof(*at));
        freeaddrinfo(list);
    }
    at->sin_port = htons((uint16_t)number);
    return true;
}

static void *open_inet(struct netproc *process, struct keyvalues *options, GString *info, GError **error)
{
    struct sockaddr_in to, own;
    const int on = 1;
    if (!inet_address(options, "remote", true, &to))
        return FAIL("dgram: remote.host and remote.port are a host with an IPv4 address and a port");
    bool is_group = IN_MULTICAST(ntohl(to.sin_addr.s_addr)), has_own = keyvalues_get(options, "local.host");
    if (has_own ? !inet_address(options, "local", !is_group, &own) : !is_group)
        return FAIL("dgram: local.host and local.port are a host with an IPv4 address and a port");
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0;
    if (ok && is_group)
        ok = join(fd, &to, has_own ? &own.sin_addr : NULL);
    else if (ok)
        ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
             bind(fd, (const struct sockaddr *)&own, sizeof(own)) == 0;
    if (!ok)
        return FAIL("dgram: no socket for these addresses: %s", g_strerror(errno));
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &to.sin_addr, text, sizeof(text));
    g_string_append_printf(info, "%s=%s:%u", is_group ? "mcast" : "udp", text, ntohs(to.sin_port));
    struct sockaddr_storage storage = {0};
    memcpy(&storage, &to, sizeof(to));
    return dgram_from_socket(process, fd, &storage, sizeof(to));
}

static void *dgram_open(struct netproc *process, struct keyvalues *options, GString *info, GError **error)
{
    const char *own = keyvalues_get(options, "local.type"), *to = keyvalues_get(options, "remote.type");
    if (own && strcmp(own, "fd") == 0) {
        const char *fd = keyvalues_get(options, "local.str");
        uint64_t number;
        if (!fd || !value_is_number(fd, INT32_MAX, &number))
            return FAIL("dgram: local.str is the number of a descriptor");
        g_string_append_printf(info, "fd=%s", fd);
        return dgram_from_socket(process, (int)number, NULL, 0);
    }
    if (to && strcmp(to, "unix") == 0)
        return open_unix(process, options, info, error);
    if (!to || strcmp(to, "inet") == 0)
        return open_inet(process, options, info, error);
    return FAIL("dgram: remote.type is inet or unix, not '%s'", to);
}

static const char *const fd_keys[] = {"local.str", NULL};

const struct net_role role_dgram = {.type = "dgram",
                                    .open = dgram_open,
                                    .frame = dgram_frame,
                                    .fill = dgram_fill,
                                    .done = dgram_done,
                                    .fd_keys = fd_keys};

/* Making sockets: see address.h. getaddrinfo(3), unix(7). */
#include "address.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECT_MS 30000
#define BACKLOG    128

static int fail(int fd, char why[ADDRESS_WHY], const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int fail(int fd, char why[ADDRESS_WHY], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, ADDRESS_WHY, fmt, args);
    va_end(args);
    if (fd >= 0)
        close(fd);
    return -1;
}

/* connect(2) that gives up. */
static bool connect_within(int fd, const struct sockaddr *to, socklen_t len)
{
    int code = 0;
    socklen_t code_len = sizeof(code);
    if (connect(fd, to, len) == 0)
        return true;
    if (errno != EINPROGRESS && errno != EINTR)
        return false;
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    if (poll(&poll_fd, 1, CONNECT_MS) <= 0)
        code = ETIMEDOUT;
    else
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &code_len);
    errno = code;
    return code == 0;
}

/* A name of a socket that nobody listens on any more; never a file. */
static void remove_stale(const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path);
}

static int open_unix(const struct address *address, char why[ADDRESS_WHY])
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t path_len = strnlen(address->path, sizeof(address->path));
    char *start = at.sun_path + (address->abstract ? 1 : 0);
    socklen_t len = sizeof(at);
    if (path_len >= sizeof(at.sun_path))
        return fail(-1, why, "UNIX socket path '%.90s...' is too long", address->path);
    memcpy(start, address->path, path_len);
    if (address->abstract && address->tight)
        len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + path_len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(fd, why, "Failed to create Unix socket: %s", g_strerror(errno));
    if (address->order == ADDRESS_CONNECT) {
        if (!connect_within(fd, (struct sockaddr *)&at, len))
            return fail(fd, why, "Failed to connect to '%s': %s", address->path, g_strerror(errno));
        return fd;
    }
    if (!address->abstract)
        remove_stale(address->path);
    if (bind(fd, (struct sockaddr *)&at, len) < 0)
        return fail(fd, why, "Failed to bind socket to %s: %s", address->path, g_strerror(errno));
    if (listen(fd, BACKLOG) < 0)
        return fail(fd, why, "Failed to listen on socket: %s", g_strerror(errno));
    return fd;
}

/* NULL with a sentence. */
static struct addrinfo *look_up(const struct address *address, const char *host, const char *port, bool own, int type,
                                char why[ADDRESS_WHY])
{
    struct addrinfo hints = {.ai_socktype = type, .ai_flags = own ? AI_PASSIVE : 0}, *list = NULL;
    if (address->only_ipv4 != address->only_ipv6)
        hints.ai_family = address->only_ipv4 ? AF_INET : AF_INET6;
    int rc = getaddrinfo(*host ? host : NULL, *port ? port : NULL, &hints, &list);
    if (rc != 0)
        fail(-1, why, "address resolution failed for %s:%s: %s", host, port, gai_strerror(rc));
    return rc == 0 ? list : NULL;
}

static void port_set(struct sockaddr *at, unsigned port)
{
    if (at->sa_family == AF_INET)
        ((struct sockaddr_in *)at)->sin_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in6 *)at)->sin6_port = htons((uint16_t)port);
}

static unsigned port_get(const struct sockaddr *at)
{
    return ntohs(at->sa_family == AF_INET ? ((const struct sockaddr_in *)at)->sin_port
                                          : ((const struct sockaddr_in6 *)at)->sin6_port);
}

static int listen_at(const struct addrinfo *info, unsigned last, char why[ADDRESS_WHY])
{
    const int on = 1;
    unsigned port = port_get(info->ai_addr);
    for (;; port++) {
        int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
            return fail(fd, why, "Failed to create socket: %s", g_strerror(errno));
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (info->ai_family == AF_INET6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
        port_set(info->ai_addr, port);
        if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
            return fd;
        fail(fd, why, "Failed to find an available port: %s", g_strerror(errno));
        if (errno != EADDRINUSE || port >= last)
            return -1;
    }
}

/* Of a host with several addresses the one of the older protocol: it is what QEMU shows, and what people type. */
static int open_listener(const struct address *address, char why[ADDRESS_WHY])
{
    static const int families[] = {AF_INET, AF_INET6};
    struct addrinfo *list = look_up(address, address->host, address->port, true, SOCK_STREAM, why);
    int fd = -1;
    for (unsigned i = 0; i < G_N_ELEMENTS(families); i++) {
        for (struct addrinfo *info = list; info && fd < 0; info = info->ai_next) {
            if (info->ai_family == families[i])
                fd = listen_at(info, address->to, why);
        }
    }
    if (list)
        freeaddrinfo(list);
    return fd;
}

static int open_client(const struct address *address, char why[ADDRESS_WHY])
{
    const int on = 1;
    const char *host = *address->host ? address->host : "localhost";
    struct addrinfo *list = look_up(address, host, address->port, false, SOCK_STREAM, why);
    int fd = -1;
    for (struct addrinfo *info = list; info && fd < 0; info = info->ai_next) {
        fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) {
            fail(fd, why, "Failed to create socket: %s", g_strerror(errno));
        } else if (!connect_within(fd, info->ai_addr, info->ai_addrlen)) {
            fd = fail(fd, why, "Failed to connect to '%s:%s': %s", host, address->port, g_strerror(errno));
        } else {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        }
    }
    if (list)
        freeaddrinfo(list);
    return fd;
}

/* Without a port of our own: one that is free. Only the peer's datagrams are heard. */
static int open_udp(const struct address *address, char why[ADDRESS_WHY])
{
    const int on = 1;
    const char *host = *address->host ? address->host : "localhost";
    struct addrinfo *peers = look_up(address, host, address->port, false, SOCK_DGRAM, why), *own = NULL;
    if (!peers)
        return -1;
    if (*address->local_host || *address->local_port) {
        struct address like = *address;
        like.only_ipv4 = peers->ai_family == AF_INET;
        like.only_ipv6 = !like.only_ipv4;
        own = look_up(&like, address->local_host, *address->local_port ? address->local_port : "0", true, SOCK_DGRAM,
                      why);
        if (!own) {
            freeaddrinfo(peers);
            return -1;
        }
    }
    int fd = socket(peers->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        fail(fd, why, "Failed to create socket: %s", g_strerror(errno));
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd >= 0 && own && bind(fd, own->ai_addr, own->ai_addrlen) < 0)
        fd = fail(fd, why, "Failed to bind socket: %s", g_strerror(errno));
    if (fd >= 0 && connect(fd, peers->ai_addr, peers->ai_addrlen) < 0)
        fd = fail(fd, why, "Failed to connect to '%s:%s': %s", host, address->port, g_strerror(errno));
    if (own)
        freeaddrinfo(own);
    freeaddrinfo(peers);
    return fd;
}

int address_open(const struct address *address, char why[ADDRESS_WHY])
{
    if (address->kind == ADDRESS_UNIX)
        return open_unix(address, why);
    switch (address->order) {
    case ADDRESS_LISTEN:
        return open_listener(address, why);
    case ADDRESS_UDP:
        return open_udp(address, why);
    default:
        return open_client(address, why);
    }
}

bool address_equal(const struct address *a, const struct address *b)
{
    return a->kind == b->kind && a->order == b->order && a->abstract == b->abstract && a->tight == b->tight &&
           a->only_ipv4 == b->only_ipv4 && a->only_ipv6 == b->only_ipv6 && a->to == b->to &&
           strcmp(a->path, b->path) == 0 && strcmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0 &&
           strcmp(a->local_host, b->local_host) == 0 && strcmp(a->local_port, b->local_port) == 0;
}

bool address_split(const char *text, char **host, char **service)
{
    const char *colon = strrchr(text, ':');
    bool is_ipv6 = text[0] == '[' && colon;
    size_t len = colon ? (size_t)(colon - text) : strlen(text);
    *host = is_ipv6 ? g_strndup(text + 1, len - 2) : g_strndup(text, len);
    *service = g_strdup(colon ? colon + 1 : "");
    return is_ipv6;
}

bool address_of_socket(int fd, bool peer, GString *text)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof(at);
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if ((peer ? getpeername : getsockname)(fd, (struct sockaddr *)&at, &len) < 0)
        return false;
    if (at.ss_family == AF_UNIX) {
        const struct sockaddr_un *path = (const struct sockaddr_un *)&at;
        if (len > offsetof(struct sockaddr_un, sun_path) && path->sun_path[0])
            g_string_append(text, path->sun_path);
        return true;
    }
    if (getnameinfo((struct sockaddr *)&at, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    g_string_append_printf(text, at.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return true;
}

void address_warm_up(void)
{
    struct addrinfo *list = NULL;
    if (getaddrinfo("localhost", "1", NULL, &list) == 0)
        freeaddrinfo(list);
}

/* -netdev socket: the older words for stream and dgram. listen=, connect=, mcast=, udp=, fd=. */
#include <netdb.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/address.h"
#include "sockets.h"

#define FAIL(...) (g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, __VA_ARGS__), NULL)

static bool address_open_at(const struct address *address, int *fd, GError **error)
{
    char why[ADDRESS_WHY];
    *fd = address_open(address, why);
    return *fd >= 0 || FAIL("%s", why);
}

static const char *option(struct keyvalues *options, const char *prefix, const char *name)
{
    char *key = g_strconcat(prefix, ".", name, NULL);
    const char *value = keyvalues_get(options, key);
    g_free(key);
    return value;
}

/* Into an address; not for fd. */
static bool address_parse(struct keyvalues *options, const char *prefix, struct address *address, GString *info,
                          GError **error)
{
    const char *type = option(options, prefix, "type"), *host = option(options, prefix, "host");
    const char *port = option(options, prefix, "port"), *path = option(options, prefix, "path");
    if (type && strcmp(type, "unix") == 0) {
        bool is_abstract = false;
        const char *abstract = option(options, prefix, "abstract");
        if (!path || strlen(path) >= sizeof(address->path) || (abstract && !value_is_switch(abstract, &is_abstract)))
            return FAIL("%s.path is a socket's name of less than %u characters", prefix,
                        (unsigned)sizeof(address->path));
        address->kind = ADDRESS_UNIX;
        address->abstract = is_abstract;
        address->tight = true;
        g_strlcpy(address->path, path, sizeof(address->path));
        g_string_append_printf(info, "unix:%s", path);
    } else if (type && strcmp(type, "inet") == 0) {
        if (!host || !port || strlen(host) >= sizeof(address->host) || strlen(port) >= sizeof(address->port))
            return FAIL("%s.host and %s.port say where", prefix, prefix);
        g_strlcpy(address->host, host, sizeof(address->host));
        g_strlcpy(address->port, port, sizeof(address->port));
        g_string_append_printf(info, "tcp:%s:%s", host, port);
    } else {
        return FAIL("%s.type is inet, unix or fd, not '%s'", prefix, type ? type : "");
    }
    return true;
}

bool sockets_connect(struct keyvalues *options, const char *prefix, bool is_server, int *fd, GString *info,
                     GError **error)
{
    const char *type = option(options, prefix, "type"), *str = option(options, prefix, "str");
    struct address address = {.order = is_server ? ADDRESS_LISTEN : ADDRESS_CONNECT};
    uint64_t number;
    if (!type || strcmp(type, "fd") != 0)
        return address_parse(options, prefix, &address, info, error) && address_open_at(&address, fd, error);
    int kind = 0;
    socklen_t size = sizeof(kind);
    if (!str || !value_is_number(str, INT32_MAX, &number) ||
        getsockopt((int)number, SOL_SOCKET, SO_TYPE, &kind, &size) < 0 || kind != SOCK_STREAM)
        return FAIL("%s.str is the number of a stream socket", prefix);
    *fd = (int)number;
    g_string_append_printf(info, "fd=%s", str);
    return true;
}

bool sockets_resolve(struct keyvalues *options, const char *prefix, struct sockaddr_storage *at, socklen_t *len,
                     GString *info, GError **error)
{
    struct address address = {0};
    if (!address_parse(options, prefix, &address, info, error))
        return false;
    if (address.kind == ADDRESS_UNIX) {
        struct sockaddr_un *un = (struct sockaddr_un *)at;
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path + (address.abstract ? 1 : 0), address.path, strlen(address.path));
        *len = address.abstract ? (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(address.path))
                                : (socklen_t)sizeof(*un);
        return true;
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(address.host, address.port, &hints, &list);
    if (rc != 0)
        return FAIL("address resolution failed for %s:%s: %s", address.host, address.port, gai_strerror(rc));
    memcpy(at, list->ai_addr, list->ai_addrlen);
    *len = list->ai_addrlen;
    freeaddrinfo(list);
    return true;
}

/* "host:port", ":port". */
static bool host_port(const char *text, char *host, size_t host_size, char *port, size_t port_size)
{
    const char *colon = strrchr(text, ':');
    if (!colon || !colon[1] || (size_t)(colon - text) >= host_size || strlen(colon + 1) >= port_size)
        return false;
    g_strlcpy(host, text, (gsize)(colon - text) + 1);
    g_strlcpy(port, colon + 1, port_size);
    return true;
}

static void *open_stream(struct netproc *process, const char *text, bool is_server, GString *info, GError **error)
{
    struct address address = {.order = is_server ? ADDRESS_LISTEN : ADDRESS_CONNECT};
    int fd;
    if (!host_port(text, address.host, sizeof(address.host), address.port, sizeof(address.port)))
        return FAIL("socket: '%s' is HOST:PORT", text);
    if (!address_open_at(&address, &fd, error))
        return NULL;
    g_string_append_printf(info, "socket: %s %s", is_server ? "listening on" : "connect to", text);
    return is_server ? stream_from_listener(process, fd) : stream_from_connection(process, fd);
}

/* Into dgram's words. */
static void *open_dgram(struct netproc *process, struct keyvalues *options, const char *to, const char *own,
                        GString *info, GError **error)
{
    struct keyvalues *list = keyvalues_new();
    char host[256], port[34];
    bool ok = host_port(to, host, sizeof(host), port, sizeof(port));
    keyvalues_add(list, "remote.type", "inet");
    keyvalues_add(list, "remote.host", ok ? host : "");
    keyvalues_add(list, "remote.port", ok ? port : "");
    if (own && strchr(own, ':')) {
        ok = ok && host_port(own, host, sizeof(host), port, sizeof(port));
        keyvalues_add(list, "local.port", port);
        keyvalues_add(list, "local.host", host);
    } else if (own) {
        keyvalues_add(list, "local.host", own);
    }
    void *state = ok ? role_dgram.open(process, list, info, error) : FAIL("socket: '%s' is HOST:PORT", to);
    keyvalues_free(list);
    return state;
}

static void *open_fd(struct netproc *process, const char *text, GString *info, GError **error)
{
    uint64_t fd;
    int type = 0, listens = 0;
    socklen_t size = sizeof(int);
    if (!value_is_number(text, INT32_MAX, &fd) || getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
        return FAIL("socket: fd=%s is no socket", text);
    g_string_append_printf(info, "socket: fd=%s", text);
    if (type == SOCK_DGRAM)
        return dgram_from_socket(process, (int)fd, NULL, 0);
    if (type != SOCK_STREAM)
        return FAIL("socket: fd=%s is neither a stream nor for datagrams", text);
    size = sizeof(int);
    getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
    return listens ? stream_from_listener(process, (int)fd) : stream_from_connection(process, (int)fd);
}

static void *socket_open(struct netproc *process, struct keyvalues *options, GString *info, GError **error)
{
    static const char *const kinds[] = {"fd", "listen", "connect", "mcast", "udp"};
    const char *own = keyvalues_get(options, "localaddr"), *value[G_N_ELEMENTS(kinds)];
    unsigned count = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        count += (value[i] = keyvalues_get(options, kinds[i])) != NULL;
    if (count != 1)
        return FAIL("exactly one of listen=, connect=, mcast=, udp=, and fd= must be set for socket");
    if (own && !value[3] && !value[4])
        return FAIL("localaddr= is only valid with mcast= or udp=");
    if (value[0])
        return open_fd(process, value[0], info, error);
    if (value[1] || value[2])
        return open_stream(process, value[1] ? value[1] : value[2], value[1], info, error);
    if (value[4] && !own)
        return FAIL("localaddr= is mandatory with udp=");
    return open_dgram(process, options, value[3] ? value[3] : value[4], own, info, error);
}

static bool socket_frame(void *role, uint8_t *frame, size_t len, const struct netdev_offload *offload)
{
    return ((struct socket_state *)role)->role->frame(role, frame, len, offload);
}

static void socket_fill(void *role, struct polls *polls)
{
    ((struct socket_state *)role)->role->fill(role, polls);
}

static void socket_done(void *role, const struct polls *polls, bool can_deliver)
{
    ((struct socket_state *)role)->role->done(role, polls, can_deliver);
}

static const char *const fd_keys[] = {"fd", NULL};

const struct net_role role_socket = {.type = "socket",
                                     .open = socket_open,
                                     .frame = socket_frame,
                                     .fill = socket_fill,
                                     .done = socket_done,
                                     .fd_keys = fd_keys};

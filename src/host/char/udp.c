/* Datagrams to and from one peer. What is written soon after each other goes in one. udp(7). */
#include <string.h>

#include "char_internal.h"

static bool copy(char *to, size_t size, const char *from, GError **error)
{
    if (from && strlen(from) >= size)
        return CHARDEV_FAIL("chardev: udp: '%.40s...' is too long", from);
    g_strlcpy(to, from ? from : "", size);
    return true;
}

static bool udp_open(struct host_chardev *dev, struct keyvalues *options, GError **error)
{
    struct stream *stream = (struct stream *)dev;
    const char *host = keyvalues_get(options, "host"), *port = keyvalues_get(options, "port");
    const char *local_host = keyvalues_get(options, "localaddr"), *local_port = keyvalues_get(options, "localport");
    struct address address;
    char why[ADDRESS_WHY];
    memset(&address, 0, sizeof(address));
    address.order = ADDRESS_UDP;
    if (!port || !*port)
        return CHARDEV_FAIL("chardev: udp: remote port not specified");
    address_set_family(&address, options);
    if (!address_set_host(&address, host ? host : "", port, error) ||
        !copy(address.local_host, sizeof(address.local_host), local_host, error) ||
        !copy(address.local_port, sizeof(address.local_port), local_port, error))
        return false;
    int fd = socket_make(&address, why);
    if (fd < 0)
        return CHARDEV_FAIL("%s", why);
    stream->owns_fds = stream->drops = true;
    outlet_init(&stream->out, dev, fd);
    stream->out.is_datagram = true;
    stream_start(stream, fd, fd);
    dev->is_open = true;
    return true;
}

const struct chardev_kind chardev_udp = {
    .name = "udp",
    .size = sizeof(struct stream),
    .open = udp_open,
    .write = stream_write,
    .in_space = stream_in_space,
    .close = stream_close,
    .release = stream_release,
    .free = stream_free,
};

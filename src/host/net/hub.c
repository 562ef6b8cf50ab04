/* Hubs: what one port hears, all others get. -netdev hubport, and -net's networks with more than two on them.
 *
 * A port is a back end for a card, or has a back end itself (netdev=). With two ports it is a wire: what one side
 * cannot take now, the other keeps. With more, who has no room loses the frame.
 */
#include <string.h>

#include "net_internal.h"

#define PORTS_MAX 64

struct hub_port {
    struct net_backend backend; /* first */
    int hub;
    struct net_backend *under; /* the back end that is plugged in here; NULL: a card */
};

static struct hub_port *ports[PORTS_MAX];
static unsigned port_count;

static bool port_put(struct hub_port *port, const struct iovec *pieces, unsigned count, const uint8_t *flat, size_t len,
                     const struct netdev_offload *offload)
{
    if (port->under)
        return netdev_send(&port->under->netdev, pieces, count, offload);
    return net_deliver(&port->backend, flat, len, offload);
}

/* Whether all lost it for want of room. */
static bool forward(const struct hub_port *from, const struct iovec *pieces, unsigned count,
                    const struct netdev_offload *offload)
{
    static const struct netdev_offload nothing;
    static uint8_t flat[NETDEV_FRAME_MAX];
    size_t len = 0;
    unsigned others = 0, full = 0;
    for (unsigned i = 0; i < count; i++) {
        if (pieces[i].iov_len > sizeof(flat) - len)
            return true;
        memcpy(flat + len, pieces[i].iov_base, pieces[i].iov_len);
        len += pieces[i].iov_len;
    }
    for (unsigned i = 0; i < port_count; i++) {
        if (ports[i] == from || ports[i]->hub != from->hub)
            continue;
        others++;
        full += !port_put(ports[i], pieces, count, flat, len, offload ? offload : &nothing);
    }
    return !others || full < others;
}

static bool hub_send(struct netdev *netdev, const struct iovec *pieces, unsigned count,
                     const struct netdev_offload *offload)
{
    struct hub_port *port = (struct hub_port *)netdev;
    if (!forward(port, pieces, count, offload))
        return false;
    net_sent(&port->backend, pieces, count);
    return true;
}

/* Somebody on the hub has room: the others may go on. */
static void others_go_on(const struct hub_port *who)
{
    for (unsigned i = 0; i < port_count; i++) {
        const struct hub_port *port = ports[i];
        const struct netdev *netdev = &port->backend.netdev;
        if (port == who || port->hub != who->hub)
            continue;
        if (port->under)
            netdev_ready(&port->under->netdev);
        else if (netdev->front && netdev->front->sendable)
            netdev->front->sendable(netdev->front_opaque);
    }
}

static void hub_ready(struct netdev *netdev)
{
    others_go_on((struct hub_port *)netdev);
}

/* --- As the card of a back end --- */

static bool under_receive(void *opaque, const uint8_t *frame, size_t len, const struct netdev_offload *offload)
{
    return forward(opaque, &(struct iovec){(void *)frame, len}, 1, offload);
}

static void under_sendable(void *opaque)
{
    others_go_on(opaque);
}

/* --- Life --- */

static void hub_close(struct net_backend *backend)
{
    struct hub_port *port = (struct hub_port *)backend;
    for (unsigned i = 0; i < port_count; i++) {
        if (ports[i] == port)
            ports[i--] = ports[--port_count];
    }
    if (port->under)
        netdev_detach(&port->under->netdev);
    g_free(port);
}

struct net_backend *hub_port_new(struct keyvalues *options, GError **error)
{
    static const struct netdev_ops ops = {hub_send, hub_ready, NULL};
    static const struct net_backend_ops backend_ops = {hub_close, NULL, NULL};
    static const struct netdev_front front = {under_receive, NULL, under_sendable};
    const char *hub = keyvalues_get(options, "hubid"), *under = keyvalues_get(options, "netdev");
    struct net_backend *found = under ? net_backend_find(under) : NULL;
    uint64_t number;
    if (!hub || !value_is_number(hub, INT32_MAX, &number))
        return NET_FAIL("hubport: 'hubid' is a number, not '%s'", hub ? hub : "");
    if (under && !found)
        return NET_FAIL("netdev '%s' not found", under);
    if (found && found->netdev.front)
        return NET_FAIL("netdev '%s' is in use already", under);
    if (keyvalues_unused(options))
        return NET_FAIL("Invalid parameter '%s'", keyvalues_unused(options));
    if (port_count == PORTS_MAX)
        return NET_FAIL("hubport: there are %u ports at most", PORTS_MAX);
    struct hub_port *port = g_new0(struct hub_port, 1);
    port->backend.netdev.ops = &ops;
    port->backend.ops = &backend_ops;
    port->hub = (int)number;
    port->under = found;
    if (found)
        netdev_attach(&found->netdev, &front, port);
    ports[port_count++] = port;
    return &port->backend;
}

int hub_of(const struct net_backend *backend)
{
    return backend->netdev.ops->send == hub_send ? ((const struct hub_port *)backend)->hub : -1;
}

const char *hub_peer(const struct net_backend *backend)
{
    const struct hub_port *port = (const struct hub_port *)backend;
    return hub_of(backend) >= 0 && port->under ? port->under->id : NULL;
}

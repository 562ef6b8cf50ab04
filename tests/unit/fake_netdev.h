/* The other end of a card's cable, for tests: keeps what the card sends, hands frames to it when told. */
#pragma once

#include <glib.h>
#include <string.h>

#include "netdev.h"

struct fake_netdev {
    struct netdev netdev;          /* first */
    GPtrArray *sent;               /* GByteArray *, as many as the card sent */
    struct netdev_offload offload; /* of the last one */
    unsigned room;                 /* send() is false when this many are there */
    unsigned ready, takes_changed;
};

static inline bool fake_netdev_send(struct netdev *netdev, const struct iovec *pieces, unsigned count,
                                    const struct netdev_offload *offload)
{
    struct fake_netdev *fake = (struct fake_netdev *)netdev;
    if (fake->sent->len >= fake->room)
        return false;
    GByteArray *frame = g_byte_array_new();
    for (unsigned i = 0; i < count; i++)
        g_byte_array_append(frame, pieces[i].iov_base, (guint)pieces[i].iov_len);
    fake->offload = offload ? *offload : (struct netdev_offload){0};
    g_ptr_array_add(fake->sent, frame);
    return true;
}

static inline void fake_netdev_ready(struct netdev *netdev)
{
    ((struct fake_netdev *)netdev)->ready++;
}

static inline void fake_netdev_takes_changed(struct netdev *netdev)
{
    ((struct fake_netdev *)netdev)->takes_changed++;
}

static inline void fake_netdev_init(struct fake_netdev *fake)
{
    static const struct netdev_ops ops = {fake_netdev_send, fake_netdev_ready, fake_netdev_takes_changed};
    memset(fake, 0, sizeof(*fake));
    fake->netdev.ops = &ops;
    fake->netdev.link_up = true;
    fake->room = UINT32_MAX;
    fake->sent = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
}

static inline void fake_netdev_clear(struct fake_netdev *fake)
{
    g_ptr_array_unref(fake->sent);
}

static inline bool fake_netdev_deliver(struct fake_netdev *fake, const void *frame, size_t len)
{
    static const struct netdev_offload nothing;
    return fake->netdev.front->receive(fake->netdev.front_opaque, frame, len, &nothing);
}

static inline void fake_netdev_set_link(struct fake_netdev *fake, bool up)
{
    fake->netdev.link_up = up;
    if (fake->netdev.front && fake->netdev.front->link_changed)
        fake->netdev.front->link_changed(fake->netdev.front_opaque);
}

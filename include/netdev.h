/* The cable between a network card and what is at its other end on the host.
 *
 * A frame is an Ethernet frame from the destination address on, without preamble and frame check sequence. What a card
 * sends is at least 14 and at most NETDEV_FRAME_MAX bytes long (what is not is lost, as on a wire); shorter frames than
 * 60 bytes are not padded by the cable: a card whose data sheet says so pads by itself. All calls in both directions
 * are made with the machine lock held; the back end calls where bus masters may write to memory (pci_work_new in
 * devices/pci.h), and only while the machine runs.
 */
#pragma once

#include <sys/uio.h>

#include "types.h"

#define NETDEV_FRAME_MAX (65536u + 64) /* with segmentation left to the back end; a plain frame has 1518 at most */

/* What the sender left for others to do. Zero: nothing, the frame is as on the wire. The members are those of virtio's
 * struct virtio_net_hdr (VIRTIO 1.0, 5.1.6), little endian. */
struct netdev_offload {
    uint8_t flags;    /* NETDEV_NEEDS_CSUM, NETDEV_DATA_VALID */
    uint8_t gso_type; /* NETDEV_GSO_* */
    uint16_t hdr_len, gso_size, csum_start, csum_offset;
};
#define NETDEV_NEEDS_CSUM 1u /* the checksum at csum_start + csum_offset has only the pseudo header in it */
#define NETDEV_DATA_VALID 2u /* received: checksums have been looked at and are right */
#define NETDEV_GSO_NONE   0u
#define NETDEV_GSO_TCPV4  1u
#define NETDEV_GSO_TCPV6  4u
#define NETDEV_GSO_ECN    0x80u

/* What a side can take of that: bits of netdev.takes and netdev_front.takes. */
#define NETDEV_TAKES_CSUM 1u
#define NETDEV_TAKES_TSO4 2u
#define NETDEV_TAKES_TSO6 4u

struct netdev;

struct netdev_front {
    /* A frame has come, of any length from 14 to NETDEV_FRAME_MAX (longer than 1518 only if the front takes it).
     * False: the card has no room now; the back end keeps the frame, and asks again after netdev_ready(). A card that
     * is off, or for which the frame is not meant, returns true. offload is never NULL. */
    bool (*receive)(void *opaque, const uint8_t *frame, size_t len, const struct netdev_offload *offload);
    /* The cable was plugged or pulled: netdev->link_up is the new value. May be NULL. */
    void (*link_changed)(void *opaque);
    /* After netdev_send() returned false: there is room again. May be NULL. */
    void (*sendable)(void *opaque);
};

struct netdev_ops {
    /* False: its queue is full; the frame has not been taken. offload may be NULL. */
    bool (*send)(struct netdev *netdev, const struct iovec *pieces, unsigned count,
                 const struct netdev_offload *offload);
    /* The card has room again after receive() was false. */
    void (*ready)(struct netdev *netdev);
    /* netdev->front_takes has a new value. NULL: nobody wants to know. */
    void (*takes_changed)(struct netdev *netdev);
};

/* Embedded as the first member of each back end. */
struct netdev {
    const struct netdev_ops *ops;
    const struct netdev_front *front;
    void *front_opaque;
    bool link_up;        /* written by the back end's side: set_link, and the death of what is behind it */
    uint8_t takes;       /* NETDEV_TAKES_*: what the back end can do for the card; fixed */
    uint8_t front_takes; /* what the card can take, as its driver has set it up */
};

/* A card without a cable has netdev NULL: its link is down, and what it sends is lost. */
static inline bool netdev_link_is_up(const struct netdev *netdev)
{
    return netdev && netdev->link_up;
}

/* False: the queue is full; the card keeps the frame until sendable(), or drops it. Without a link it is lost. */
static inline bool netdev_send(struct netdev *netdev, const struct iovec *pieces, unsigned count,
                               const struct netdev_offload *offload)
{
    return !netdev_link_is_up(netdev) || netdev->ops->send(netdev, pieces, count, offload);
}

static inline bool netdev_send_frame(struct netdev *netdev, const void *frame, size_t len)
{
    const struct iovec piece = {(void *)frame, len};
    return netdev_send(netdev, &piece, 1, NULL);
}

/* To be called whenever the card may have got room (a descriptor given, the receiver switched on, a reset), at no
 * cost if nothing waits. */
static inline void netdev_ready(struct netdev *netdev)
{
    if (netdev)
        netdev->ops->ready(netdev);
}

static inline void netdev_set_takes(struct netdev *netdev, uint8_t takes)
{
    if (netdev && netdev->front_takes != takes) {
        netdev->front_takes = takes;
        if (netdev->ops->takes_changed)
            netdev->ops->takes_changed(netdev);
    }
}

static inline void netdev_attach(struct netdev *netdev, const struct netdev_front *front, void *opaque)
{
    if (netdev) {
        netdev->front = front;
        netdev->front_opaque = opaque;
    }
}

static inline void netdev_detach(struct netdev *netdev)
{
    if (netdev) {
        netdev->front = NULL;
        netdev->front_opaque = NULL;
    }
}

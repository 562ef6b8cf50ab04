/* virtio-net: what its frames (virtio_net.c) and its control queue (virtio_net_ctrl.c) share. VIRTIO 1.1, 5.1. */
#pragma once

#include "netdev.h"
#include "virtio_pci.h"

#define NET_F_CSUM                (1ull << 0)
#define NET_F_GUEST_CSUM          (1ull << 1)
#define NET_F_CTRL_GUEST_OFFLOADS (1ull << 2)
#define NET_F_MAC                 (1ull << 5)
#define NET_F_GUEST_TSO4          (1ull << 7)
#define NET_F_GUEST_TSO6          (1ull << 8)
#define NET_F_GUEST_ECN           (1ull << 9)
#define NET_F_HOST_TSO4           (1ull << 11)
#define NET_F_HOST_TSO6           (1ull << 12)
#define NET_F_HOST_ECN            (1ull << 13)
#define NET_F_MRG_RXBUF           (1ull << 15)
#define NET_F_STATUS              (1ull << 16)
#define NET_F_CTRL_VQ             (1ull << 17)
#define NET_F_CTRL_RX             (1ull << 18)
#define NET_F_CTRL_VLAN           (1ull << 19)
#define NET_F_CTRL_RX_EXTRA       (1ull << 20)
#define NET_F_CTRL_MAC_ADDR       (1ull << 23)
#define NET_GUEST_OFFLOADS        (NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_ECN)

#define NET_QUEUE_RX   0
#define NET_QUEUE_TX   1
#define NET_QUEUE_CTRL 2

#define NET_MACS 64

/* Saved. */
struct net_regs {
    uint64_t offloads; /* NET_GUEST_OFFLOADS that are on */
    uint8_t mac[6];
    uint8_t table[NET_MACS][6];                /* unicast addresses, then multicast ones */
    uint8_t unicast, multicast;                /* how many */
    bool unicast_overflow, multicast_overflow; /* there were more: all are taken */
    bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
    uint32_t vlan[4096 / 32]; /* a bit each */
};

struct net_config {
    struct virtio_options virtio;
    struct netdev *netdev;
    uint8_t mac[6];
    const struct board_rom *rom;
    uint16_t rx_queue_size, tx_queue_size;
    bool mrg_rxbuf, csum, guest_csum, tso, guest_tso, ctrl_vq;
};

/* A frame that has come. */
struct net_frame {
    struct netdev_offload offload;
    uint32_t len;
    uint8_t bytes[];
};

struct net {
    struct virtio virtio; /* first */
    struct net_regs regs;
    const struct net_config *config;
    struct netdev *netdev;
    GQueue frames;              /* struct net_frame: have come, and not been taken to the driver yet */
    uint32_t frame_bytes;       /* of them */
    bool owes_ready;            /* receive() was false */
    struct virtio_chain *first; /* of the chains that a frame is in, which has the header */
    uint8_t *frame;             /* NETDEV_FRAME_MAX bytes, for what is sent */
};

extern const struct state_layout net_layout;

/* --- virtio_net_ctrl.c --- */

/* As after a reset, when the driver has not said anything: all frames are taken. */
void net_filter_reset(struct net *net);
/* The features are settled. */
void net_filter_start(struct net *net);
bool net_wants(const struct net *net, const uint8_t *frame);
bool net_ctrl_run(struct net *net);
/* Tells the back end what the driver takes. */
void net_update_takes(struct net *net);

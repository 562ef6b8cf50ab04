/* The 82540EM's insides, as its files share them. */
#pragma once

#include "devices/pci.h"
#include "e1000_regs.h"
#include "eeprom93.h"
#include "gather.h"
#include "netdev.h"
#include "vclock.h"

#define E1000_BAR   0x20000u /* bytes of memory space */
#define E1000_WORDS (0x7000u / 4)
#define E1000_NEVER INT64_MAX

/* What a context descriptor says (3.3.6). */
struct e1000_context {
    uint32_t word[4];
};

/* A packet of which the end has not been seen yet, or not all segments sent. */
struct e1000_packet {
    uint32_t len;    /* bytes of it in e1000.partial */
    uint32_t sent;   /* of its payload: segments that are out already */
    uint8_t begun;   /* its first descriptor was seen */
    uint8_t options; /* PACKET_* */
    uint8_t css, cso;
};
#define PACKET_IC   1u
#define PACKET_IXSM 2u
#define PACKET_TXSM 4u
#define PACKET_TSE  8u
#define PACKET_LOST 16u /* too long: nothing of it is sent */
#define PACKET_ALL  31u

struct e1000_regs {
    uint32_t reg[E1000_WORDS]; /* as they read, but for those with a member of their own; FFMT and FFVT at 6000h */
    uint32_t io_address;       /* IOADDR */
    uint16_t phy[32];
    struct eeprom93 eeprom;
    struct e1000_context context, tso_context; /* 3.3.6.1: one for packets with TSE, one for others */
    struct e1000_packet packet;
    bool pin; /* INTA# as it is driven */
    bool negotiating;
    int64_t link_at;                 /* when auto-negotiation is complete */
    int64_t throttled_until;         /* ITR: no interrupt before */
    int64_t rx_delay, rx_delay_most; /* RDTR, RADV: when RXT0 comes; E1000_NEVER */
    int64_t tx_delay, tx_delay_most; /* TIDV, TADV: TXDW */
};

struct e1000 {
    struct pci_device pci; /* first */
    struct e1000_regs regs;
    struct netdev *netdev;
    bool tx_blocked; /* the cable's other end is full: sendable() goes on */
    bool rx_full;    /* a frame waits at the cable's other end */
    uint8_t mac[6];
    struct pci_work *tx_work;
    struct vtimer *link_timer, *irq_timer, *rx_timer, *tx_timer;
    struct gather gather;
    uint8_t partial[NETDEV_FRAME_MAX];  /* regs.packet.len bytes of a packet */
    uint8_t segment[NETDEV_FRAME_MAX];  /* one that is being made */
    uint8_t received[NETDEV_FRAME_MAX]; /* a frame that had to be changed */
};

#define E1000_SLOT(offset) (((offset) >= FFMT ? (offset)-FFMT + 0x6000u : (offset)) / 4)

static inline uint32_t *e1000_reg(struct e1000 *e, uint32_t offset)
{
    return &e->regs.reg[E1000_SLOT(offset)];
}

static inline uint32_t e1000_get(const struct e1000 *e, uint32_t offset)
{
    return e->regs.reg[E1000_SLOT(offset)];
}

static inline uint64_t e1000_ring(const struct e1000 *e, uint32_t bal)
{
    return (uint64_t)e1000_get(e, bal + 4) << 32 | e1000_get(e, bal);
}

extern const struct device_class e1000_class;

/* e1000.c */
void e1000_cause(struct e1000 *e, uint32_t causes); /* bits of ICR are set */
void e1000_count(struct e1000 *e, uint32_t counter, uint32_t by);
void e1000_count64(struct e1000 *e, uint32_t counter, uint32_t by);
/* One of six counters of frames by length. */
void e1000_count_size(struct e1000 *e, uint32_t first, size_t len);
bool e1000_is_looped(const struct e1000 *e); /* what is sent comes back */

/* e1000_phy.c */
void e1000_phy_reset(struct e1000 *e);
uint32_t e1000_mdic(struct e1000 *e, uint32_t value); /* what MDIC reads afterwards */
void e1000_link_timer(void *opaque);
/* The cable, or what the driver wants of it, has changed. */
void e1000_link_update(struct e1000 *e);
bool e1000_phy_is_looped(const struct e1000 *e);
void e1000_phy_dump(const struct e1000 *e, GString *out);

/* e1000_tx.c */
void e1000_tx_work(void *opaque);
void e1000_tx_timer(void *opaque);
void e1000_tx_kick(struct e1000 *e);  /* there may be something to send */
void e1000_tx_flush(struct e1000 *e); /* what TIDV delays comes now */
void e1000_tx_arm(struct e1000 *e);   /* the timer of it */

/* e1000_rx.c */
bool e1000_receive(void *opaque, const uint8_t *frame, size_t len, const struct netdev_offload *offload);
void e1000_rx_timer(void *opaque);
void e1000_rx_ready(struct e1000 *e); /* there may be room again */
void e1000_rx_flush(struct e1000 *e); /* what RDTR delays comes now */
void e1000_rx_arm(struct e1000 *e);   /* the timer of it */

/* Am79C970A PCnet-PCI II: what its registers (pcnet.c) and its rings (pcnet_ring.c) share. */
#pragma once

#include "devices/pci.h"
#include "netdev.h"
#include "vclock.h"

#define CSR0_ERR  0x8000u
#define CSR0_BABL 0x4000u
#define CSR0_CERR 0x2000u
#define CSR0_MISS 0x1000u
#define CSR0_MERR 0x0800u
#define CSR0_RINT 0x0400u
#define CSR0_TINT 0x0200u
#define CSR0_IDON 0x0100u
#define CSR0_INTR 0x0080u
#define CSR0_IENA 0x0040u
#define CSR0_RXON 0x0020u
#define CSR0_TXON 0x0010u
#define CSR0_TDMD 0x0008u
#define CSR0_STOP 0x0004u
#define CSR0_STRT 0x0002u
#define CSR0_INIT 0x0001u

#define CSR3_DXSUFLO 0x0040u
#define CSR3_BSWP    0x0004u

#define CSR4_EN124     0x8000u
#define CSR4_DPOLL     0x1000u
#define CSR4_APAD_XMT  0x0800u
#define CSR4_ASTRP_RCV 0x0400u
#define CSR4_MFCO      0x0200u
#define CSR4_UINTCMD   0x0080u
#define CSR4_UINT      0x0040u
#define CSR4_TXSTRT    0x0008u

#define CSR5_TOKINTD 0x8000u
#define CSR5_LTINTEN 0x4000u
#define CSR5_SINT    0x0800u
#define CSR5_MPINT   0x0010u
#define CSR5_MPMODE  0x0002u
#define CSR5_SPND    0x0001u

#define CSR15_PROM    0x8000u
#define CSR15_DRCVBC  0x4000u
#define CSR15_DRCVPA  0x2000u
#define CSR15_DLNKTST 0x1000u
#define CSR15_DXMTFCS 0x0008u
#define CSR15_LOOP    0x0004u
#define CSR15_DTX     0x0002u
#define CSR15_DRX     0x0001u

#define CSR58_SSIZE32  0x0100u
#define CSR58_CSRPCNET 0x0200u
#define CSR58_STYLE    0x00ffu

/* Numbers of registers whose name says more. Two halves of 32 bits: the lower one. */
enum {
    CSR_IADR = 1,
    CSR_LADRF = 8,
    CSR_PADR = 12,
    CSR_MODE = 15,
    CSR_CRBA = 18,
    CSR_CXBA = 20,
    CSR_BADR = 24, /* of the receive ring */
    CSR_BADX = 30, /* of the transmit ring */
    CSR_CRBC = 40,
    CSR_CRST = 41,
    CSR_CXBC = 42,
    CSR_CXST = 43,
    CSR_POLLINT = 47,
    CSR_SWS = 58,
    CSR_RCVRC = 72, /* where in the ring: two's complement, counts up from its length to zero */
    CSR_XMTRC = 74,
    CSR_RCVRL = 76, /* length of the ring, two's complement */
    CSR_XMTRL = 78,
    CSR_MFC = 112,
    CSR_RCC = 114,
};

#define PCNET_FRAME_MAX \
    1522u /* with a VLAN tag and the frame check sequence; longer ones do not get over the cable \
           */

#define PCNET_PATIENCE_NS 50000000 /* for which the back end holds a frame that finds no descriptor */

struct pcnet_regs {
    uint16_t csr[128], bcr[32];
    uint8_t aprom[16];
    uint8_t rap;
    bool init_pending; /* the initialisation block is to be read */
    /* Transmit: what of a frame has been fetched. */
    bool tx_in_frame;
    bool tx_adds_fcs;
    bool tx_waits; /* for the back end: the frame is whole, its last descriptor is the current one */
    uint16_t tx_len;
    uint8_t tx_frame[PCNET_FRAME_MAX];
    uint16_t empty_polls; /* one behind the other */
    /* Receive without a descriptor: the back end holds the frame until rx_until; from then on, frames are missed. */
    bool rx_waits, rx_misses;
    int64_t rx_until;
};

struct pcnet {
    struct pci_device pci; /* first */
    struct pcnet_regs regs;
    struct netdev *netdev;
    struct pci_work *work; /* what register accesses ask for */
    struct vtimer *pace;   /* asks for more of it */
    struct vtimer *poll;
    uint8_t mac[6];
};

static inline uint32_t pcnet_csr32(const struct pcnet *pcnet, unsigned n)
{
    return pcnet->regs.csr[n] | (uint32_t)pcnet->regs.csr[n + 1] << 16;
}

static inline void pcnet_csr32_put(struct pcnet *pcnet, unsigned n, uint32_t value)
{
    pcnet->regs.csr[n] = (uint16_t)value;
    pcnet->regs.csr[n + 1] = (uint16_t)(value >> 16);
}

static inline bool pcnet_is_suspended(const struct pcnet *pcnet)
{
    return pcnet->regs.csr[5] & CSR5_SPND;
}

/* pcnet.c */
void pcnet_update_irq(struct pcnet *pcnet);
void pcnet_stop(struct pcnet *pcnet); /* STOP: what it resets */

/* pcnet_ring.c */
extern const struct netdev_front pcnet_front;
uint32_t pcnet_descriptor_at(const struct pcnet *pcnet, bool is_rx, unsigned ahead);
/* RXON and TXON as STRT, the mode and the initialisation say. */
void pcnet_switch_on(struct pcnet *pcnet);
/* Must be called when whether or how often to poll may have changed. */
void pcnet_update_poll(struct pcnet *pcnet);
void pcnet_work(void *opaque);
void pcnet_pace(void *opaque);
void pcnet_poll(void *opaque);

/* The RTL8139C+'s registers, descriptors and insides, by the names of Realtek's data sheets: RTL8139C(L) for the
 * classic mode, RTL8139C(L)+ for descriptor rings. */
#pragma once

#include "devices/pci.h"
#include "eeprom93.h"
#include "gather.h"
#include "netdev.h"
#include "vclock.h"

#define IDR      0x00
#define MAR      0x08
#define TSD      0x10 /* four; in C+ mode DTCCR is at the first two */
#define DTCCR    0x10
#define TSAD     0x20 /* four; in C+ mode these are TNPDS and THPDS */
#define TNPDS    0x20
#define THPDS    0x28
#define RBSTART  0x30
#define ERBCR    0x34
#define ERSR     0x36
#define CR       0x37
#define CAPR     0x38
#define CBR      0x3a
#define IMR      0x3c
#define ISR      0x3e
#define TCR      0x40
#define RCR      0x44
#define TCTR     0x48
#define MPC      0x4c
#define CR9346   0x50
#define CONFIG0  0x51
#define CONFIG1  0x52
#define TIMERINT 0x54
#define MSR      0x58
#define CONFIG3  0x59
#define CONFIG4  0x5a
#define MULINT   0x5c
#define RERID    0x5e
#define TSADS    0x60 /* TSAD: summary of the four */
#define BMCR     0x62
#define BMSR     0x64
#define ANAR     0x66
#define ANLPAR   0x68
#define ANER     0x6a
#define DIS      0x6c
#define FCSC     0x6e
#define NWAYTR   0x70
#define REC      0x72
#define CSCR     0x74
#define CONFIG5  0xd8
#define TPPOLL   0xd9
#define CPCR     0xe0
#define RDSAR    0xe4
#define ETTHR    0xec
#define RTL_REGS 0x100u

#define TSD_SIZE   0x00001fffu
#define TSD_OWN    (1u << 13)
#define TSD_TUN    (1u << 14)
#define TSD_TOK    (1u << 15)
#define TSD_ERTXTH 0x003f0000u
#define TSD_CDH    (1u << 28)
#define TSD_TABT   (1u << 30)
#define TSD_CRS    (1u << 31)

#define CR_BUFE 0x01u
#define CR_TE   0x04u
#define CR_RE   0x08u
#define CR_RST  0x10u

#define INT_ROK     0x0001u
#define INT_RER     0x0002u
#define INT_TOK     0x0004u
#define INT_TER     0x0008u
#define INT_RXOVW   0x0010u /* C+: no receive descriptor */
#define INT_LINKCHG 0x0020u
#define INT_FOVW    0x0040u
#define INT_TDU     0x0080u
#define INT_SW      0x0100u
#define INT_TIMEOUT 0x4000u

#define TCR_CLRABT   (1u << 0)
#define TCR_LBK      (3u << 17)
#define TCR_VERSION  0x74800000u
#define TCR_WRITABLE 0x030e07f0u

#define RCR_AAP      (1u << 0)
#define RCR_APM      (1u << 1)
#define RCR_AM       (1u << 2)
#define RCR_AB       (1u << 3)
#define RCR_WRAP     (1u << 7)
#define RCR_RBLEN    11
#define RCR_WRITABLE 0x0f03ffbfu

#define CR9346_EEDO     0x01u
#define CR9346_EEDI     0x02u
#define CR9346_EESK     0x04u
#define CR9346_EECS     0x08u
#define CR9346_MODE     0xc0u
#define CR9346_AUTOLOAD 0x40u
#define CR9346_PROGRAM  0x80u
#define CR9346_UNLOCKED 0xc0u

#define MSR_LINKB 0x04u /* no link */
#define MSR_SPEED 0x08u /* 10 Mb/s */
#define MSR_AUX   0x10u
#define MSR_PAUSE 0xc0u /* enables that keep their values */

#define BMCR_RESET   0x8000u
#define BMCR_100     0x2000u
#define BMCR_ANE     0x1000u
#define BMCR_RESTART 0x0200u
#define BMCR_DUPLEX  0x0100u
#define BMSR_DONE    0x0020u
#define BMSR_LINK    0x0004u

#define TPPOLL_HPQ 0x80u
#define TPPOLL_NPQ 0x40u
#define TPPOLL_SW  0x01u

#define CPCR_TX     0x0001u
#define CPCR_RX     0x0002u
#define CPCR_CHKSUM 0x0020u
#define CPCR_VLAN   0x0040u

#define DTCCR_CMD 0x08u

/* Header of a frame in the classic ring, and what C+ descriptors have of it. */
#define RX_ROK 0x0001u
#define RX_BAR 0x2000u
#define RX_PAM 0x4000u
#define RX_MAR 0x8000u

/* C+ descriptors, first dword. */
#define CP_OWN       (1u << 31)
#define CP_EOR       (1u << 30)
#define CP_FS        (1u << 29)
#define CP_LS        (1u << 28)
#define CP_LGSEN     (1u << 27)
#define CP_TX_MSS(d) ((d) >> 16 & 0x7ff)
#define CP_TX_IPCS   (1u << 18)
#define CP_TX_UDPCS  (1u << 17)
#define CP_TX_TCPCS  (1u << 16)
#define CP_TX_TES    (1u << 23)
#define CP_TX_RESULT 0x03ff0000u /* when it has been sent: errors and collisions, where the commands were */
#define CP_TAGC      (1u << 17)  /* second dword: there is a tag to insert */
#define CP_TAVA      (1u << 16)  /*               a tag was taken off */
#define CP_RX_MAR    (1u << 27)
#define CP_RX_PAM    (1u << 26)
#define CP_RX_BAR    (1u << 25)
#define CP_RX_PID    17
#define CP_RX_IPF    (1u << 16)
#define CP_RX_UDPF   (1u << 15)
#define CP_RX_TCPF   (1u << 14)
#define CP_RX_SIZE   0x1fffu
#define CP_RING      64u /* descriptors at most */

/* As DTCCR's command writes them. */
struct rtl_tally {
    uint64_t tx_ok, rx_ok, tx_er;
    uint32_t rx_er;
    uint16_t miss, fae;
    uint32_t tx_1col, tx_mcol;
    uint64_t rx_ok_phy, rx_ok_brd;
    uint32_t rx_ok_mul;
    uint16_t tx_abt, tx_undrn;
};

struct rtl_regs {
    uint8_t reg[RTL_REGS]; /* as they read, but for those with a member of their own */
    struct eeprom93 eeprom;
    struct rtl_tally tally;
    uint64_t dtccr;    /* 10h in C+ mode */
    int64_t tctr_zero; /* when TCTR was 0 */
    int64_t link_at;   /* when auto-negotiation is complete */
    uint32_t tx_sent;  /* of a packet that is segmented: bytes of its payload that are out */
    int64_t timer_at;  /* when TCTR is TIMERINT the next time; INT64_MAX: never */
    uint8_t tx_queue;  /* in which ring that packet is */
    uint8_t tx_next;   /* of the four descriptors of the classic mode */
    uint8_t cp_tx[2];  /* index in the rings of normal and high priority, */
    uint8_t cp_rx;     /* and in the one to receive */
    bool negotiating;
};

struct rtl8139 {
    struct pci_device pci; /* first */
    struct rtl_regs regs;
    struct netdev *netdev;
    bool tx_blocked; /* the cable's other end is full: sendable() goes on */
    bool rx_full;    /* a frame waits at the cable's other end */
    uint8_t mac[6];
    struct pci_work *work;
    struct vtimer *link_timer, *timer, *rx_poll;
    struct gather gather;
    uint8_t segment[NETDEV_FRAME_MAX];  /* one that is being made */
    uint8_t received[NETDEV_FRAME_MAX]; /* a frame that had to be changed */
};

static inline uint8_t rtl_get8(const struct rtl8139 *r, unsigned offset)
{
    return r->regs.reg[offset];
}

static inline uint16_t rtl_get16(const struct rtl8139 *r, unsigned offset)
{
    return (uint16_t)(r->regs.reg[offset] | r->regs.reg[offset + 1] << 8);
}

static inline uint32_t rtl_get32(const struct rtl8139 *r, unsigned offset)
{
    return rtl_get16(r, offset) | (uint32_t)rtl_get16(r, offset + 2) << 16;
}

static inline uint64_t rtl_get64(const struct rtl8139 *r, unsigned offset)
{
    return rtl_get32(r, offset) | (uint64_t)rtl_get32(r, offset + 4) << 32;
}

static inline void rtl_put(struct rtl8139 *r, unsigned offset, unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < size; i++)
        r->regs.reg[offset + i] = (uint8_t)(value >> 8 * i);
}

static inline bool rtl_is_looped(const struct rtl8139 *r)
{
    return (rtl_get32(r, TCR) & TCR_LBK) == TCR_LBK;
}

extern const struct device_class rtl8139_class;

/* rtl8139.c */
void rtl_cause(struct rtl8139 *r, uint32_t causes); /* bits of ISR are set */

/* rtl8139_phy.c */
void rtl_phy_reset(struct rtl8139 *r);
void rtl_phy_write(struct rtl8139 *r, unsigned offset, uint16_t value, uint16_t mask);
void rtl_link_update(struct rtl8139 *r);
void rtl_link_timer(void *opaque);

/* rtl8139_tx.c */
bool rtl_tx_work(struct rtl8139 *r);            /* true: there is more */
bool rtl_tx_is_wanted(const struct rtl8139 *r); /* something may be to be sent */

/* rtl8139_rx.c */
bool rtl_receive(struct rtl8139 *r, const uint8_t *frame, size_t len, const struct netdev_offload *offload);
bool rtl_rx_is_empty(const struct rtl8139 *r); /* BUFE */
void rtl_rx_ready(struct rtl8139 *r);          /* there may be room again */
void rtl_rx_poll(void *opaque);

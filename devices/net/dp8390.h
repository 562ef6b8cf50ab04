/* DP8390D with an NE2000's memory: the part that the ISA and the PCI card (ne2000.c) have in common. */
#pragma once

#include "device.h"
#include "irq.h"
#include "netdev.h"
#include "vclock.h"

#define DP8390_PORTS   32u
#define DP8390_RAM     0x4000u /* at 4000h to 7FFFh of the card's memory; PROM below */
#define DP8390_PAGE    256u
#define DP8390_RAM_END 0x8000u

struct dp8390_regs {
    uint8_t cr;   /* without STA and STP: */
    bool running; /* STA was the last of the two that was written */
    uint8_t pstart, pstop, bnry, curr, tpsr;
    uint16_t tbcr, rbcr, clda, crda, address_counter;
    uint8_t next_remote, next_local; /* page 2's packet pointers */
    uint8_t isr, imr, rcr, tcr, dcr, tsr, rsr, ncr;
    uint8_t par[6], mar[8], cntr[3];
    uint8_t fifo[8], fifo_at;
    /* Receive without room: the back end holds the frame until rx_until; from then on, frames are missed. */
    bool rx_waits, rx_misses;
    int64_t rx_until;
    uint8_t cr9346, config2, config3; /* the RTL8029's */
};

struct dp8390 {
    struct dp8390_regs regs;
    uint8_t ram[DP8390_RAM];
    uint8_t prom[32];
    bool is_8029;
    struct irq irq;
    struct netdev *netdev;
    struct irq bus_request;  /* a frame may go straight into another card on a hub, and from there into guest memory */
    bool asked;              /* for the bus, to transmit */
    struct vtimer *work;     /* the same where nobody grants it, as in tests */
    struct vtimer *patience; /* of the back end: rx_until */
};

void dp8390_init(struct dp8390 *nic, struct board *board, struct netdev *netdev, const uint8_t mac[6]);
void dp8390_destroy(struct dp8390 *nic);
/* offset: 0 to 1Fh. Wider accesses than a byte are meant for the data port; elsewhere they are bytes in a row. */
uint32_t dp8390_read(struct dp8390 *nic, unsigned offset, unsigned size);
void dp8390_write(struct dp8390 *nic, unsigned offset, unsigned size, uint32_t value);
void dp8390_reset(struct dp8390 *nic);
void dp8390_pieces(struct dp8390 *nic, struct state_pieces *pieces);
bool dp8390_after_load(struct dp8390 *nic);
void dp8390_dump(const struct dp8390 *nic, const char *name, GString *out);

/* dp8390_frame.c: frames in and out. */
extern const struct netdev_front dp8390_front;
void dp8390_update_irq(struct dp8390 *nic);
uint8_t dp8390_memory(const struct dp8390 *nic, uint16_t address);
void dp8390_memory_put(struct dp8390 *nic, uint16_t address, uint8_t value);
void dp8390_work(struct dp8390 *nic);
void dp8390_patience(void *opaque);
/* The ring may have room again, or the receiver is switched: whoever waits may ask anew. */
void dp8390_receive_anew(struct dp8390 *nic);

#define DP8390_PATIENCE_NS 50000000 /* for which the back end holds a frame that finds no room */

#define CR_STP 0x01u
#define CR_STA 0x02u
#define CR_TXP 0x04u
#define CR_RD  0x38u
#define CR_PS  0xc0u

#define ISR_PRX 0x01u
#define ISR_PTX 0x02u
#define ISR_OVW 0x10u
#define ISR_CNT 0x20u
#define ISR_RDC 0x40u
#define ISR_RST 0x80u

#define RCR_AB  0x04u
#define RCR_AM  0x08u
#define RCR_PRO 0x10u
#define RCR_MON 0x20u

#define TCR_CRC 0x01u
#define TCR_LB  0x06u

#define DCR_WTS 0x01u

#define TSR_PTX 0x01u
#define TSR_CRS 0x10u
#define TSR_CDH 0x40u

#define RSR_PRX 0x01u
#define RSR_CRC 0x02u
#define RSR_MPA 0x10u
#define RSR_PHY 0x20u
#define RSR_DIS 0x40u

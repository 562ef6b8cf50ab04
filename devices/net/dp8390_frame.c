/* DP8390D: packet transmission, the receive buffer ring, address filters, loopback. */
#include <string.h>

#include "dp8390.h"
#include "frame.h"

#define HEADER    4u
#define FRAME_MAX 1514u
#define TALLY_MAX 192u
#define REMIND_NS 500000

/* --- Receive --- */

static void tally(struct dp8390 *nic, unsigned n)
{
    uint8_t *cntr = &nic->regs.cntr[n];
    if (*cntr < TALLY_MAX)
        ++*cntr;
    if (*cntr & 0x80)
        nic->regs.isr |= ISR_CNT;
}

static void miss(struct dp8390 *nic, uint8_t why)
{
    nic->regs.rsr = RSR_MPA | why;
    tally(nic, 2);
    dp8390_update_irq(nic);
}

/* Promiscuous mode is about physical addresses only (RCR.PRO). is_group: multicast or broadcast. */
static bool address_match(const struct dp8390 *nic, const uint8_t *frame, bool *is_group)
{
    const struct dp8390_regs *regs = &nic->regs;
    *is_group = ETHER_IS_MULTICAST(frame);
    if (!*is_group)
        return (regs->rcr & RCR_PRO) || memcmp(frame, regs->par, 6) == 0;
    if ((regs->rcr & RCR_AB) && ether_is_broadcast(frame))
        return true;
    unsigned hash = ether_hash_be(frame);
    return (regs->rcr & RCR_AM) && (regs->mar[hash / 8] >> hash % 8 & 1);
}

static uint8_t page_behind(const struct dp8390 *nic, uint8_t page)
{
    page++;
    return page == nic->regs.pstop ? nic->regs.pstart : page;
}

static unsigned pages_of(size_t len)
{
    return (unsigned)((HEADER + len + ETHER_FCS + DP8390_PAGE - 1) / DP8390_PAGE);
}

/* A page is linked unless it is the boundary's. CURR does not come to be it either, as that means an empty ring. Linux
 * sets the boundary to the page before the next packet, also when that is the ring's first one: outside the ring, where
 * the chip would not find it, and run over all that has not been read. It means the ring's last one. */
static bool has_room(const struct dp8390 *nic, size_t len)
{
    const struct dp8390_regs *regs = &nic->regs;
    uint8_t page = regs->curr,
            bnry = (uint8_t)(regs->bnry + 1) == regs->pstart ? (uint8_t)(regs->pstop - 1) : regs->bnry;
    for (unsigned i = pages_of(len); i > 0; i--) {
        page = page_behind(nic, page);
        if (page == bnry)
            return false;
    }
    return true;
}

static void overflow(struct dp8390 *nic)
{
    nic->regs.isr |= ISR_OVW | ISR_RST;
    miss(nic, 0);
}

/* The local DMA, from CURR on; at the end of a page it goes to the next one of the ring. */
static void local_put(struct dp8390 *nic, const uint8_t *bytes, size_t len)
{
    for (; len > 0; len--) {
        dp8390_memory_put(nic, nic->regs.clda, *bytes++);
        if ((++nic->regs.clda & 0xff) == 0)
            nic->regs.clda = (uint16_t)(page_behind(nic, (uint8_t)((nic->regs.clda >> 8) - 1)) * DP8390_PAGE);
    }
}

/* len: with the FCS, which is in memory, too. */
static void store(struct dp8390 *nic, const uint8_t *frame, uint32_t len)
{
    struct dp8390_regs *regs = &nic->regs;
    uint8_t next = regs->curr;
    for (unsigned i = pages_of(len - ETHER_FCS); i > 0; i--)
        next = page_behind(nic, next);
    uint8_t header[HEADER] = {regs->rsr, next, (uint8_t)len, (uint8_t)(len >> 8)};
    regs->clda = (uint16_t)(regs->curr * DP8390_PAGE);
    local_put(nic, header, sizeof(header));
    local_put(nic, frame, len);
    regs->curr = regs->next_local = next;
    regs->isr |= ISR_PRX;
    dp8390_update_irq(nic);
}

static bool dp8390_receive(void *opaque, const uint8_t *frame, size_t len, const struct netdev_offload *offload)
{
    struct dp8390 *nic = opaque;
    struct dp8390_regs *regs = &nic->regs;
    uint8_t copy[FRAME_MAX + ETHER_FCS];
    bool is_group;
    if (!regs->running || (regs->tcr & TCR_LB) || len < 14 || len > FRAME_MAX || !address_match(nic, frame, &is_group))
        return true;
    size_t padded = MAX(len, ETHER_MIN); /* what the wire would have had */
    uint8_t group = is_group ? RSR_PHY : 0;
    if (regs->rcr & RCR_MON) {
        miss(nic, RSR_DIS | group);
        return true;
    }
    if (!has_room(nic, padded)) {
        if (regs->rx_misses) {
            overflow(nic);
            return true;
        }
        if (!regs->rx_waits) {
            regs->rx_waits = true;
            regs->rx_until = vclock_now() + DP8390_PATIENCE_NS;
            vtimer_arm(nic->patience, vclock_now() + REMIND_NS);
        }
        return false;
    }
    regs->rx_waits = regs->rx_misses = false;
    vtimer_cancel(nic->patience);
    memset(copy, 0, ETHER_MIN);
    memcpy(copy, frame, len);
    uint32_t fcs = ether_crc_le(copy, padded);
    memcpy(&copy[padded], &fcs, ETHER_FCS);
    regs->rsr = RSR_PRX | group;
    store(nic, copy, (uint32_t)padded + ETHER_FCS);
    return true;
}

/* The driver has not made room. It may have acknowledged PRX with packets left in the ring, in the belief that the next
 * one would say so again, and none comes: it is reminded. In the end it is as on a wire, which waits for nobody. */
void dp8390_patience(void *opaque)
{
    struct dp8390 *nic = opaque;
    if (vclock_now() < nic->regs.rx_until) {
        nic->regs.isr |= ISR_PRX;
        dp8390_update_irq(nic);
        vtimer_arm(nic->patience, MIN(vclock_now() + REMIND_NS, nic->regs.rx_until));
        return;
    }
    nic->regs.rx_waits = false;
    nic->regs.rx_misses = true;
    netdev_ready(nic->netdev);
}

void dp8390_receive_anew(struct dp8390 *nic)
{
    bool waited = nic->regs.rx_waits;
    nic->regs.rx_waits = nic->regs.rx_misses = false;
    vtimer_cancel(nic->patience);
    if (waited)
        netdev_ready(nic->netdev);
}

/* --- Transmit --- */

/* Into the FIFO and no further (data sheet, "Loopback Diagnostics"). It keeps the last eight of: the packet, its FCS,
 * the byte count, low once and high twice. */
static uint8_t loop_back(struct dp8390 *nic, const uint8_t *packet, uint32_t len)
{
    static const uint8_t status[4] = {0, TSR_CDH | TSR_CRS | 0x02, TSR_CDH | 0x02, 0x02};
    struct dp8390_regs *regs = &nic->regs;
    bool adds_fcs = !(regs->tcr & TCR_CRC), is_group = false, is_bad = false;
    uint32_t total = len, fcs = ether_crc_le(packet, len);
    for (uint32_t i = len > 8 ? len - 8 : 0; i < len; i++)
        regs->fifo[i % 8] = packet[i];
    for (unsigned i = 0; adds_fcs && i < ETHER_FCS; i++)
        regs->fifo[total++ % 8] = (uint8_t)(fcs >> 8 * i);
    regs->fifo[total % 8] = (uint8_t)total;
    regs->fifo[(total + 1) % 8] = regs->fifo[(total + 2) % 8] = (uint8_t)(total >> 8);
    regs->fifo_at = 0;
    /* The receiver and the transmitter have one CRC generator: the receiver's check fails where it appends. */
    bool is_ours = len >= 14 && address_match(nic, packet, &is_group);
    if (!adds_fcs && is_ours) {
        uint32_t right = ether_crc_le(packet, len - ETHER_FCS);
        is_bad = memcmp(&packet[len - ETHER_FCS], &right, ETHER_FCS) != 0;
    }
    regs->rsr = adds_fcs || is_bad ? RSR_CRC : RSR_PRX;
    if (is_ours && is_group)
        regs->rsr |= RSR_PHY;
    return status[(regs->tcr & TCR_LB) >> 1];
}

static void send(struct dp8390 *nic, const uint8_t *packet, uint32_t len)
{
    if (nic->regs.tcr & TCR_CRC) { /* the last four bytes are the driver's FCS: who gets it looks */
        if (len < ETHER_FCS)
            return;
        len -= ETHER_FCS;
        uint32_t right = ether_crc_le(packet, len);
        if (memcmp(&packet[len], &right, ETHER_FCS) != 0)
            return;
    }
    if (len >= 14 && len <= FRAME_MAX)
        netdev_send_frame(nic->netdev, packet, len); /* no room: lost */
}

void dp8390_work(struct dp8390 *nic)
{
    struct dp8390_regs *regs = &nic->regs;
    uint8_t packet[FRAME_MAX + ETHER_FCS + 1] = {0}; /* one more than can be sent: too long */
    uint32_t len = MIN(regs->tbcr, sizeof(packet));
    uint16_t at = (uint16_t)(regs->tpsr * DP8390_PAGE);
    if (!(regs->cr & CR_TXP))
        return;
    for (uint32_t i = 0; i < len; i++)
        packet[i] = dp8390_memory(nic, at++);
    regs->clda = regs->address_counter = at;
    regs->tsr = TSR_PTX;
    if (regs->tcr & TCR_LB) {
        regs->tsr |= loop_back(nic, packet, len);
    } else {
        if (!netdev_link_is_up(nic->netdev))
            regs->tsr |= TSR_CRS; /* sent, but nothing came back from the line */
        send(nic, packet, len);
    }
    regs->cr &= ~CR_TXP;
    regs->isr |= ISR_PTX;
    dp8390_update_irq(nic);
}

const struct netdev_front dp8390_front = {.receive = dp8390_receive};

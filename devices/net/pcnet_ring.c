/* PCnet-PCI II: the initialisation block, the descriptor rings, and what goes through them (Am79C970A data sheet 19436,
 * "Initialization Block", "Receive Descriptors", "Transmit Descriptors").
 *
 *   style 0                     styles 1, 2                        style 3
 *   +0 BADR[15:0]               +0 BADR[31:0]                      +0 RMD2, TMD2
 *   +2 status[15:8] BADR[23:16] +4 status[31:16] ones BCNT[11:0]   +4 as style 2
 *   +4 ones BCNT[11:0]          +8 RMD2: MCNT; TMD2: errors        +8 BADR[31:0]
 *   +6 RMD3: MCNT; TMD3: errors +C the driver's                    +C the driver's
 *
 * An access that nobody on the bus answers ends in a master abort: the chip stops, and says SINT. A descriptor in ROM
 * stays the chip's for ever, and is sent again and again, as it would be: hence the pace.
 */
#include <string.h>

#include "frame.h"
#include "log.h"
#include "pcnet.h"

#define FRAME_PLAIN  1514u
#define BUDGET       256 /* descriptors in one go; a frame counts as four more */
#define PACE_NS      100000
#define CLOCK_NS     30 /* of POLLINT: 33 MHz */
#define POLL_MIN_NS  100000
#define POLL_WAIT_NS 200000 /* while the back end holds a frame */
#define IDLE_POLLS   256    /* after so many for nothing there is one in eight */

#define STATUS_OWN 0x8000u
#define STATUS_ERR 0x4000u
#define STATUS_STP 0x0200u
#define STATUS_ENP 0x0100u

#define RMD1_CRC  0x0800u
#define RMD1_BUFF 0x0400u
#define RMD1_PAM  0x0040u
#define RMD1_LAFM 0x0020u
#define RMD1_BAM  0x0010u

#define TMD1_ADD_FCS 0x2000u
#define TMD1_LTINT   0x1000u
#define TMD2_BUFF    0x80000000u
#define TMD2_UFLO    0x40000000u
#define TMD2_LCAR    0x08000000u

struct descriptor {
    uint32_t at, buffer;
    uint32_t length; /* 1 to 4096 */
    uint16_t status; /* bits 31 to 16 of RMD1 and TMD1 */
};

static uint16_t get16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static uint32_t get32(const uint8_t *bytes)
{
    return get16(bytes) | (uint32_t)get16(bytes + 2) << 16;
}

static bool is_32bit(const struct pcnet *pcnet)
{
    return pcnet->regs.csr[CSR_SWS] & CSR58_SSIZE32;
}

static bool is_style_3(const struct pcnet *pcnet)
{
    return (pcnet->regs.csr[CSR_SWS] & CSR58_STYLE) == 3;
}

static bool is_master(const struct pcnet *pcnet)
{
    return pcnet->pci.config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

/* --- The bus --- */

/* False: there was a master abort, and the chip has stopped. */
static bool bus_answers(struct pcnet *pcnet, uint32_t address, uint32_t len)
{
    uint64_t end = (uint64_t)address + len;
    for (uint64_t page = address & ~(PAGE_SIZE - 1); page < end; page += PAGE_SIZE) {
        if (page < 4 * GiB && mem_ptr(page))
            continue;
        log_guest("pcnet: nobody answers at %llx", (unsigned long long)page);
        pcnet_stop(pcnet);
        pcnet->regs.csr[5] |= CSR5_SINT;
        pcnet->pci.config[PCI_STATUS + 1] |= 0x20; /* RMABORT */
        pcnet_update_irq(pcnet);
        return false;
    }
    return true;
}

/* --- Descriptors --- */

/* Counters go from minus the length up to zero, and begin anew. */
static uint16_t counter_next(uint16_t counter, uint16_t ring_length)
{
    counter++;
    return counter ? counter : ring_length;
}

uint32_t pcnet_descriptor_at(const struct pcnet *pcnet, bool is_rx, unsigned ahead)
{
    const uint16_t *csr = pcnet->regs.csr;
    uint16_t length = csr[is_rx ? CSR_RCVRL : CSR_XMTRL], counter = csr[is_rx ? CSR_RCVRC : CSR_XMTRC];
    while (ahead--)
        counter = counter_next(counter, length);
    return pcnet_csr32(pcnet, is_rx ? CSR_BADR : CSR_BADX) +
           (uint32_t)(uint16_t)(counter - length) * (is_32bit(pcnet) ? 16 : 8);
}

static void advance(struct pcnet *pcnet, bool is_rx)
{
    uint16_t *csr = pcnet->regs.csr, *counter = &csr[is_rx ? CSR_RCVRC : CSR_XMTRC];
    *counter = counter_next(*counter, csr[is_rx ? CSR_RCVRL : CSR_XMTRL]);
}

/* The one so many ahead of the current one. False: master abort. */
static bool descriptor_read(struct pcnet *pcnet, bool is_rx, unsigned ahead, struct descriptor *descriptor)
{
    uint8_t bytes[16];
    uint32_t at = pcnet_descriptor_at(pcnet, is_rx, ahead), size = is_32bit(pcnet) ? 16 : 8;
    if (!bus_answers(pcnet, at, size))
        return false;
    pci_dma_read(&pcnet->pci, at, bytes, size);
    descriptor->at = at;
    if (is_32bit(pcnet)) {
        descriptor->buffer = get32(&bytes[is_style_3(pcnet) ? 8 : 0]);
        descriptor->status = get16(&bytes[6]);
    } else { /* A31 to A24 are those of the initialisation block */
        descriptor->buffer = (get32(bytes) & 0xffffff) | (uint32_t)(pcnet->regs.csr[CSR_IADR + 1] >> 8) << 24;
        descriptor->status = (uint16_t)(bytes[3] << 8);
    }
    descriptor->length = 4096 - (get16(&bytes[4]) & 4095);
    return true;
}

static void descriptor_write_status(struct pcnet *pcnet, const struct descriptor *descriptor, uint16_t status)
{
    uint8_t bytes[2] = {(uint8_t)status, (uint8_t)(status >> 8)};
    if (is_32bit(pcnet))
        pci_dma_write(&pcnet->pci, descriptor->at + 6, bytes, 2);
    else
        pci_dma_write(&pcnet->pci, descriptor->at + 3, &bytes[1], 1);
}

/* RMD2 or TMD2, and then the status: OWN goes last. */
static void descriptor_write(struct pcnet *pcnet, bool is_rx, const struct descriptor *descriptor, uint16_t status,
                             uint32_t md2)
{
    if (is_32bit(pcnet)) {
        pci_dma_write(&pcnet->pci, descriptor->at + (is_style_3(pcnet) ? 0 : 8), &md2, 4);
    } else {
        uint16_t md3 = (uint16_t)(is_rx ? md2 & 4095 : md2 >> 16);
        pci_dma_write(&pcnet->pci, descriptor->at + 6, &md3, 2);
    }
    descriptor_write_status(pcnet, descriptor, status);
}

/* --- Initialisation --- */

void pcnet_switch_on(struct pcnet *pcnet)
{
    uint16_t *csr = pcnet->regs.csr;
    if (!(csr[0] & CSR0_STRT) || pcnet->regs.init_pending)
        return;
    csr[0] &= ~(CSR0_RXON | CSR0_TXON);
    if (!(csr[CSR_MODE] & CSR15_DRX))
        csr[0] |= CSR0_RXON;
    if (!(csr[CSR_MODE] & CSR15_DTX))
        csr[0] |= CSR0_TXON;
}

static void initialise(struct pcnet *pcnet)
{
    uint8_t block[28];
    uint16_t *csr = pcnet->regs.csr;
    bool wide = is_32bit(pcnet);
    uint32_t at = pcnet_csr32(pcnet, CSR_IADR), size = wide ? 28 : 24, receive, transmit;
    unsigned rlen, tlen;
    if (!bus_answers(pcnet, at, size))
        return;
    pci_dma_read(&pcnet->pci, at, block, size);
    pcnet->regs.init_pending = false;
    if (wide) {
        rlen = block[2] >> 4;
        tlen = block[3] >> 4;
        receive = get32(&block[20]);
        transmit = get32(&block[24]);
    } else {
        rlen = block[19] >> 5;
        tlen = block[23] >> 5;
        receive = (get32(&block[16]) & 0xffffff) | (at & 0xff000000);
        transmit = (get32(&block[20]) & 0xffffff) | (at & 0xff000000);
    }
    csr[CSR_MODE] = get16(&block[0]);
    for (unsigned i = 0; i < 3; i++)
        csr[CSR_PADR + i] = get16(&block[(wide ? 4 : 2) + 2 * i]);
    for (unsigned i = 0; i < 4; i++)
        csr[CSR_LADRF + i] = get16(&block[(wide ? 12 : 8) + 2 * i]);
    pcnet_csr32_put(pcnet, CSR_BADR, receive);
    pcnet_csr32_put(pcnet, CSR_BADX, transmit);
    csr[6] = (uint16_t)(tlen << 12 | rlen << 8);
    csr[CSR_RCVRC] = csr[CSR_RCVRL] = (uint16_t) - (1u << (rlen < 9 ? rlen : 9));
    csr[CSR_XMTRC] = csr[CSR_XMTRL] = (uint16_t) - (1u << (tlen < 9 ? tlen : 9));
    csr[0] |= CSR0_IDON;
    pcnet_switch_on(pcnet);
    netdev_ready(pcnet->netdev);
}

/* --- Receive --- */

/* What of RMD1 says why the frame is taken: 0, not at all. */
static uint16_t address_match(const struct pcnet *pcnet, const uint8_t *frame)
{
    const uint16_t *csr = pcnet->regs.csr;
    if (!(csr[CSR_MODE] & CSR15_DRCVBC) && ether_is_broadcast(frame))
        return RMD1_BAM;
    if (ETHER_IS_MULTICAST(frame)) {
        unsigned hash = ~ether_crc_le(frame, 6) >> 26; /* the CRC register's upper six bits */
        if (csr[CSR_LADRF + hash / 16] >> hash % 16 & 1)
            return RMD1_LAFM;
    } else if (!(csr[CSR_MODE] & CSR15_DRCVPA)) {
        bool is_ours = true;
        for (unsigned i = 0; i < 3; i++)
            is_ours &= csr[CSR_PADR + i] == get16(&frame[2 * i]);
        if (is_ours)
            return RMD1_PAM;
    }
    return csr[CSR_MODE] & CSR15_PROM ? STATUS_ENP : 0;
}

static void miss(struct pcnet *pcnet)
{
    uint16_t *csr = pcnet->regs.csr;
    if (++csr[CSR_MFC] == 0)
        csr[4] |= CSR4_MFCO;
    csr[0] |= CSR0_MISS;
    pcnet_update_irq(pcnet);
}

/* Puts a frame, FCS and all, into buffers from the current descriptor on, which is the chip's. */
static void store(struct pcnet *pcnet, struct descriptor descriptor, const uint8_t *frame, uint32_t len, uint16_t last)
{
    uint16_t status = STATUS_STP;
    uint32_t left = len;
    for (;;) {
        struct descriptor next;
        uint32_t piece = MIN(descriptor.length, left);
        if (!bus_answers(pcnet, descriptor.buffer, piece))
            return;
        pci_dma_write(&pcnet->pci, descriptor.buffer, frame, piece);
        pcnet_csr32_put(pcnet, CSR_CRBA, descriptor.buffer);
        pcnet->regs.csr[CSR_CRBC] = (uint16_t)-descriptor.length & 4095;
        pcnet->regs.csr[CSR_CRST] = descriptor.status;
        frame += piece;
        left -= piece;
        if (left == 0)
            break;
        if (!descriptor_read(pcnet, true, 1, &next))
            return;
        advance(pcnet, true);
        if (!(next.status & STATUS_OWN)) { /* what there was has been used up in the middle of the frame */
            descriptor_write_status(pcnet, &descriptor, status | STATUS_ERR | RMD1_BUFF);
            pcnet->regs.csr[0] |= CSR0_RINT;
            return;
        }
        descriptor_write_status(pcnet, &descriptor, status);
        status = 0;
        descriptor = next;
    }
    advance(pcnet, true);
    descriptor_write(pcnet, true, &descriptor, status | STATUS_ENP | last, len);
    pcnet->regs.csr[0] |= CSR0_RINT;
}

/* Takes what has passed the filter: frame has room behind len for the FCS, which is given, or NULL: right. */
static void take(struct pcnet *pcnet, const struct descriptor *descriptor, uint8_t *frame, uint32_t len,
                 const uint8_t *fcs, uint16_t match)
{
    uint32_t right = ether_crc_le(frame, len), field = (uint32_t)frame[12] << 8 | frame[13];
    uint16_t last = is_32bit(pcnet) ? match & (RMD1_PAM | RMD1_LAFM | RMD1_BAM) : 0;
    memcpy(&frame[len], fcs ? fcs : (const uint8_t *)&right, ETHER_FCS);
    if (get32(&frame[len]) != right)
        last |= STATUS_ERR | RMD1_CRC;
    if ((pcnet->regs.csr[4] & CSR4_ASTRP_RCV) && field < 46 && field + 14 <= len)
        len = field + 14; /* IEEE 802.3 with less than the least there must be: without pad and FCS */
    else
        len += ETHER_FCS;
    store(pcnet, *descriptor, frame, len, last);
    pcnet_update_irq(pcnet);
}

static bool pcnet_receive(void *opaque, const uint8_t *frame, size_t len, const struct netdev_offload *offload)
{
    struct pcnet *pcnet = opaque;
    struct pcnet_regs *regs = &pcnet->regs;
    uint8_t copy[PCNET_FRAME_MAX];
    struct descriptor descriptor;
    if (!(regs->csr[0] & CSR0_RXON) || pcnet_is_suspended(pcnet) || (regs->csr[CSR_MODE] & CSR15_LOOP) ||
        !is_master(pcnet) || len < 14 || len > sizeof(copy) - ETHER_FCS)
        return true;
    uint16_t match = address_match(pcnet, frame);
    if (!match || !descriptor_read(pcnet, true, 0, &descriptor))
        return true;
    if (!(descriptor.status & STATUS_OWN)) {
        if (regs->rx_misses) {
            miss(pcnet);
            return true;
        }
        if (!regs->rx_waits) {
            regs->rx_waits = true;
            regs->rx_until = vclock_now() + PCNET_PATIENCE_NS;
            vtimer_cancel(pcnet->poll); /* sooner */
            pcnet_update_poll(pcnet);
        }
        return false;
    }
    if (regs->rx_waits || regs->rx_misses) {
        regs->rx_waits = regs->rx_misses = false;
        pcnet_update_poll(pcnet);
    }
    memcpy(copy, frame, len);
    if (len < ETHER_MIN) { /* what the wire would have had */
        memset(&copy[len], 0, ETHER_MIN - len);
        len = ETHER_MIN;
    }
    take(pcnet, &descriptor, copy, (uint32_t)len, NULL, match);
    return true;
}

/* --- Transmit --- */

/* The receiver hears its own transmitter and nothing else; there is nobody who could wait. */
static void loop_back(struct pcnet *pcnet, uint32_t len, const uint8_t *fcs)
{
    uint8_t copy[PCNET_FRAME_MAX + ETHER_FCS];
    struct descriptor descriptor;
    if (!(pcnet->regs.csr[0] & CSR0_RXON) || len < 14)
        return;
    uint16_t match = address_match(pcnet, pcnet->regs.tx_frame);
    if (!match || !descriptor_read(pcnet, true, 0, &descriptor))
        return;
    if (!(descriptor.status & STATUS_OWN)) {
        miss(pcnet);
        return;
    }
    memcpy(copy, pcnet->regs.tx_frame, len);
    take(pcnet, &descriptor, copy, len, fcs, match);
}

/* Gives the frame's last descriptor back. The next frame begins behind it. */
static void tx_end(struct pcnet *pcnet, const struct descriptor *descriptor, uint32_t errors)
{
    uint16_t *csr = pcnet->regs.csr, status = descriptor->status & (STATUS_STP | STATUS_ENP | TMD1_ADD_FCS);
    bool asked = csr[5] & CSR5_LTINTEN ? descriptor->status & TMD1_LTINT : !(csr[5] & CSR5_TOKINTD);
    pcnet->regs.tx_in_frame = pcnet->regs.tx_waits = false;
    advance(pcnet, false);
    descriptor_write(pcnet, false, descriptor, errors ? status | STATUS_ERR : status, errors);
    if (errors || asked)
        csr[0] |= CSR0_TINT;
    if ((errors & TMD2_UFLO) && !(csr[3] & CSR3_DXSUFLO))
        csr[0] &= ~CSR0_TXON;
}

/* The frame is whole. False: the back end has no room for it. */
static bool tx_send(struct pcnet *pcnet, const struct descriptor *descriptor)
{
    struct pcnet_regs *regs = &pcnet->regs;
    uint32_t len = regs->tx_len, errors = 0;
    if ((regs->csr[4] & CSR4_APAD_XMT) && len < ETHER_MIN) { /* the pad brings an FCS in any case */
        memset(&regs->tx_frame[len], 0, ETHER_MIN - len);
        regs->tx_len = (uint16_t)(len = ETHER_MIN);
        regs->tx_adds_fcs = true;
    }
    const uint8_t *fcs = NULL;
    if (!regs->tx_adds_fcs) { /* the driver's last four bytes are it */
        len = len > ETHER_FCS ? len - ETHER_FCS : 0;
        fcs = len <= PCNET_FRAME_MAX - ETHER_FCS ? &regs->tx_frame[len] : NULL;
    }
    bool fits = len >= 14 && len <= PCNET_FRAME_MAX - ETHER_FCS;
    if (regs->csr[CSR_MODE] & CSR15_LOOP) {
        if (fits)
            loop_back(pcnet, len, fcs);
        if (regs->csr[0] & CSR0_STOP) /* a master abort of the receiver's */
            return true;
    } else if (!netdev_link_is_up(pcnet->netdev) && !(regs->csr[CSR_MODE] & CSR15_DLNKTST)) {
        errors = TMD2_LCAR;
        regs->csr[0] |= CSR0_CERR;
    } else if (fits && (!fcs || get32(fcs) == ether_crc_le(regs->tx_frame, len))) {
        if (!netdev_send_frame(pcnet->netdev, regs->tx_frame, len))
            return false;
    } /* else nobody hears it */
    if (len > FRAME_PLAIN)
        regs->csr[0] |= CSR0_BABL;
    tx_end(pcnet, descriptor, errors);
    return true;
}

static bool tx_fetch(struct pcnet *pcnet, const struct descriptor *descriptor)
{
    struct pcnet_regs *regs = &pcnet->regs;
    uint32_t room = regs->tx_len < PCNET_FRAME_MAX ? PCNET_FRAME_MAX - regs->tx_len : 0;
    if (!bus_answers(pcnet, descriptor->buffer, descriptor->length))
        return false;
    if (room)
        pci_dma_read(&pcnet->pci, descriptor->buffer, &regs->tx_frame[regs->tx_len], MIN(room, descriptor->length));
    regs->tx_len = (uint16_t)MIN(regs->tx_len + descriptor->length, 0xffffu); /* what is behind room does not matter */
    pcnet_csr32_put(pcnet, CSR_CXBA, descriptor->buffer);
    regs->csr[CSR_CXBC] = (uint16_t)-descriptor->length & 4095;
    regs->csr[CSR_CXST] = descriptor->status;
    return true;
}

/* One descriptor. False: there is nothing more to do for now. */
static bool tx_step(struct pcnet *pcnet, int *budget)
{
    struct pcnet_regs *regs = &pcnet->regs;
    struct descriptor descriptor, next;
    *budget -= 1;
    if (!descriptor_read(pcnet, false, 0, &descriptor))
        return false;
    regs->csr[0] &= ~CSR0_TDMD;
    if (!(descriptor.status & STATUS_OWN)) {
        regs->tx_in_frame = regs->tx_waits = false; /* taken back behind the chip's back */
        return false;
    }
    regs->empty_polls = 0;
    if (!regs->tx_in_frame) {
        if (!(descriptor.status & STATUS_STP)) { /* the rest of a frame that failed */
            advance(pcnet, false);
            descriptor_write_status(pcnet, &descriptor, descriptor.status & ~STATUS_OWN);
            return true;
        }
        regs->tx_in_frame = true;
        regs->tx_len = 0;
        regs->tx_adds_fcs = (descriptor.status & TMD1_ADD_FCS) || !(regs->csr[CSR_MODE] & CSR15_DXMTFCS);
        regs->csr[4] |= CSR4_TXSTRT;
    }
    if (!regs->tx_waits && !tx_fetch(pcnet, &descriptor))
        return false;
    if (descriptor.status & STATUS_ENP) {
        *budget -= 4;
        regs->tx_waits = !tx_send(pcnet, &descriptor);
        return !regs->tx_waits;
    }
    regs->tx_waits = false;
    if (!descriptor_read(pcnet, false, 1, &next))
        return false;
    if (!(next.status & STATUS_OWN)) {
        tx_end(pcnet, &descriptor, TMD2_BUFF | TMD2_UFLO);
        return true;
    }
    advance(pcnet, false);
    descriptor_write_status(pcnet, &descriptor, descriptor.status & ~STATUS_OWN);
    return true;
}

static bool tx_is_on(const struct pcnet *pcnet)
{
    return (pcnet->regs.csr[0] & CSR0_TXON) && (!pcnet_is_suspended(pcnet) || pcnet->regs.tx_in_frame);
}

void pcnet_work(void *opaque)
{
    struct pcnet *pcnet = opaque;
    int budget = BUDGET;
    if (!is_master(pcnet)) /* pcnet_config_written() comes back to it */
        return;
    if (pcnet->regs.init_pending)
        initialise(pcnet);
    while (tx_is_on(pcnet) && budget > 0) {
        if (!tx_step(pcnet, &budget))
            break;
    }
    if (budget <= 0 && tx_is_on(pcnet))
        vtimer_arm(pcnet->pace, vclock_now() + PACE_NS);
    if (pcnet->regs.csr[0] & CSR0_STOP) /* a master abort */
        netdev_ready(pcnet->netdev);
    pcnet_update_irq(pcnet);
    pcnet_update_poll(pcnet);
}

void pcnet_pace(void *opaque)
{
    struct pcnet *pcnet = opaque;
    pci_work_ask(pcnet->work);
}

static void pcnet_sendable(void *opaque)
{
    struct pcnet *pcnet = opaque;
    if (pcnet->regs.tx_waits)
        pci_work_ask(pcnet->work);
}

const struct netdev_front pcnet_front = {
    .receive = pcnet_receive,
    .link_changed = pcnet_sendable, /* without a link there is room, too */
    .sendable = pcnet_sendable,
};

/* --- Polling --- */

void pcnet_update_poll(struct pcnet *pcnet)
{
    const uint16_t *csr = pcnet->regs.csr;
    bool transmits = (csr[0] & CSR0_TXON) && !(csr[4] & CSR4_DPOLL) && !pcnet_is_suspended(pcnet);
    if (!transmits && !pcnet->regs.rx_waits) {
        vtimer_cancel(pcnet->poll);
        return;
    }
    if (vtimer_armed(pcnet->poll))
        return;
    int64_t interval = (0x10000 - csr[CSR_POLLINT]) * CLOCK_NS;
    if (pcnet->regs.rx_waits)
        interval = MIN(interval, POLL_WAIT_NS);
    else if (pcnet->regs.empty_polls >= IDLE_POLLS)
        interval *= 8;
    vtimer_arm(pcnet->poll, vclock_now() + MAX(interval, POLL_MIN_NS));
}

/* A descriptor that the driver has given in the meantime, or the end of patience. */
static void poll_receive(struct pcnet *pcnet)
{
    struct descriptor descriptor;
    if (is_master(pcnet) && descriptor_read(pcnet, true, 0, &descriptor) && !(descriptor.status & STATUS_OWN)) {
        if (vclock_now() < pcnet->regs.rx_until)
            return;
        pcnet->regs.rx_misses = true;
    }
    pcnet->regs.rx_waits = false;
    netdev_ready(pcnet->netdev); /* it is taken, missed, or lost for want of a bus */
}

/* Only looks: where it runs, nobody writes to memory. */
static void poll_transmit(struct pcnet *pcnet)
{
    struct descriptor descriptor;
    if (pcnet->regs.empty_polls < IDLE_POLLS)
        pcnet->regs.empty_polls++;
    if (!is_master(pcnet) || !descriptor_read(pcnet, false, 0, &descriptor))
        return;
    if (pcnet->regs.tx_in_frame || (descriptor.status & STATUS_OWN))
        pci_work_ask(pcnet->work);
}

void pcnet_poll(void *opaque)
{
    struct pcnet *pcnet = opaque;
    if (pcnet->regs.rx_waits)
        poll_receive(pcnet);
    if ((pcnet->regs.csr[0] & CSR0_TXON) && !(pcnet->regs.csr[4] & CSR4_DPOLL) && !pcnet_is_suspended(pcnet))
        poll_transmit(pcnet);
    if (pcnet->regs.csr[0] & CSR0_STOP) /* a master abort */
        netdev_ready(pcnet->netdev);
    pcnet_update_poll(pcnet);
}

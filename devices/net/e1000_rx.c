/* 82540EM: receiving. Manual 3.2 (packet reception), 9 (802.1q), 13.5 (filters). */
#include "e1000.h"

#include <string.h>

#include "log.h"

#define LONG_MAX_FRAME 16384u /* RCTL.LPE */
#define PLAIN_MAX      1522u  /* with frame check sequence */
#define RX_UNIT        1024ll /* of RDTR and RADV, in nanoseconds */

/* --- Filters --- */

enum verdict { REFUSED, EXACT, INEXACT };

static bool has_address(const struct e1000 *e, const uint8_t *frame)
{
    for (unsigned i = 0; i < RA_ENTRIES; i++) {
        uint32_t low = e1000_get(e, RAL + 8 * i), high = e1000_get(e, RAH + 8 * i);
        const uint8_t *mac = frame + (high >> 16 & 3 ? 6 : 0); /* AS: the source's */
        uint32_t low_is;
        if (!(high & 1u << 31))
            continue;
        memcpy(&low_is, mac, 4);
        if (low == low_is && (high & 0xffff) == (mac[4] | (uint32_t)mac[5] << 8))
            return true;
    }
    return false;
}

static bool has_hash(const struct e1000 *e, const uint8_t *mac)
{
    static const uint8_t shift[4] = {4, 3, 2, 0};
    unsigned bits = ((mac[5] << 8 | mac[4]) >> shift[e1000_get(e, RCTL) >> RCTL_MO & 3]) & 0xfff;
    return e1000_get(e, MTA + (bits >> 5) * 4) >> (bits & 31) & 1;
}

static enum verdict address_verdict(const struct e1000 *e, const uint8_t *frame)
{
    uint32_t rctl = e1000_get(e, RCTL);
    if (has_address(e, frame))
        return EXACT;
    if (ether_is_broadcast(frame) && (rctl & RCTL_BAM))
        return EXACT;
    if (!ETHER_IS_MULTICAST(frame))
        return rctl & RCTL_UPE ? EXACT : REFUSED;
    if (rctl & RCTL_MPE)
        return EXACT;
    return has_hash(e, frame) ? INEXACT : REFUSED;
}

/* VLAN filter table and CFI (9.3). */
static bool tag_is_wanted(const struct e1000 *e, uint16_t tci)
{
    uint32_t rctl = e1000_get(e, RCTL);
    unsigned id = tci & 0xfff;
    if (!(rctl & RCTL_VFE))
        return true;
    if ((rctl & RCTL_CFIEN) && !(rctl & RCTL_CFI) != !(tci & 0x1000))
        return false;
    return e1000_get(e, VFTA + (id >> 5) * 4) >> (id & 31) & 1;
}

/* --- The ring --- */

static uint32_t buffer_size(const struct e1000 *e)
{
    uint32_t rctl = e1000_get(e, RCTL), size = 2048u >> (rctl >> RCTL_BSIZE & 3);
    return (rctl & RCTL_BSEX) && size < 2048 ? size * 16 : size;
}

/* How many descriptors the chip has; 0 also if the registers make no sense. */
static uint32_t descriptors(const struct e1000 *e)
{
    uint32_t count = e1000_get(e, RDLEN) / 16, head = e1000_get(e, RDH), tail = e1000_get(e, RDT);
    if (head >= count || tail >= count)
        return 0;
    return head <= tail ? tail - head : count - head + tail;
}

static bool receiver_is_on(const struct e1000 *e)
{
    return (e1000_get(e, RCTL) & RCTL_EN) && (e->pci.config[PCI_COMMAND] & PCI_COMMAND_MASTER) &&
           ((e1000_get(e, STATUS) & STATUS_LU) || e1000_is_looped(e));
}

void e1000_rx_ready(struct e1000 *e)
{
    if (!e->rx_full)
        return;
    if (!receiver_is_on(e) || descriptors(e)) {
        e->rx_full = false;
        netdev_ready(e->netdev);
    }
}

/* --- Interrupts --- */

void e1000_rx_arm(struct e1000 *e)
{
    int64_t when = MIN(e->regs.rx_delay, e->regs.rx_delay_most);
    if (when == E1000_NEVER)
        vtimer_cancel(e->rx_timer);
    else
        vtimer_arm(e->rx_timer, when);
}

void e1000_rx_flush(struct e1000 *e)
{
    if (e->regs.rx_delay == E1000_NEVER && e->regs.rx_delay_most == E1000_NEVER)
        return;
    e->regs.rx_delay = e->regs.rx_delay_most = E1000_NEVER;
    e1000_rx_arm(e);
    e1000_cause(e, ICR_RXT0);
}

void e1000_rx_timer(void *opaque)
{
    e1000_rx_flush(opaque);
}

static void tell(struct e1000 *e, size_t len, uint32_t before, uint32_t after)
{
    uint32_t causes = 0, delay = e1000_get(e, RDTR) & 0xffff, most = e1000_get(e, RADV) & 0xffff;
    uint32_t threshold = (e1000_get(e, RDLEN) / 16) >> ((e1000_get(e, RCTL) >> RCTL_RDMTS & 3) + 1);
    if (before > threshold && after <= threshold)
        causes |= ICR_RXDMT0;
    if (e1000_get(e, RSRPD) && len <= (e1000_get(e, RSRPD) & 0xfff))
        causes |= ICR_SRPD;
    if (!delay) {
        causes |= ICR_RXT0;
    } else {
        e->regs.rx_delay = vclock_now() + delay * RX_UNIT;
        if (most && e->regs.rx_delay_most == E1000_NEVER)
            e->regs.rx_delay_most = vclock_now() + most * RX_UNIT;
        e1000_rx_arm(e);
    }
    if (causes)
        e1000_cause(e, causes);
}

/* --- A frame --- */

/* What is in the descriptors of a frame, but for each one's length. */
struct rx_result {
    uint16_t checksum, special;
    uint8_t status, errors;
};

/* RXCSUM (13.5.15): status and errors of the checksums. */
static void look_at_checksums(const struct e1000 *e, const uint8_t *frame, size_t len, bool are_good,
                              struct rx_result *result)
{
    uint32_t rxcsum = e1000_get(e, RXCSUM), start = rxcsum & 0xff;
    struct frame_parts parts;
    if (start < len)
        result->checksum = inet_sum(frame + start, len - start);
    if (!(rxcsum & (RXCSUM_IPOFL | RXCSUM_TUOFL)) || !frame_parse(frame, len, &parts)) {
        result->status |= RX_IXSM; /* ignore the checksum indication */
        return;
    }
    if ((rxcsum & RXCSUM_IPOFL) && parts.version == 4) {
        result->status |= RX_IPCS;
        if (!are_good && frame_check_ip(frame, &parts) == CHECK_BAD)
            result->errors |= RX_IPE;
    }
    if (rxcsum & RXCSUM_TUOFL) {
        enum frame_check check =
            are_good && !parts.is_fragment && (parts.protocol == IP_TCP || parts.protocol == IP_UDP)
                ? CHECK_GOOD
                : frame_check_l4(frame, &parts);
        if (check != CHECK_NONE)
            result->status |= RX_TCPCS;
        if (check == CHECK_BAD)
            result->errors |= RX_TCPE;
    }
}

/* Data first, then the descriptor: the driver may look at any time. */
static void write_descriptors(struct e1000 *e, const uint8_t *frame, size_t len, uint32_t fcs_len,
                              const struct rx_result *result)
{
    uint64_t ring = e1000_ring(e, RDBAL);
    uint32_t count = e1000_get(e, RDLEN) / 16, size = buffer_size(e), head = e1000_get(e, RDH);
    uint8_t fcs[ETHER_FCS];
    size_t total = len + fcs_len, at = 0;
    if (fcs_len) {
        uint32_t crc = ether_crc_le(frame, len);
        memcpy(fcs, &crc, 4);
    }
    while (at < total) {
        uint64_t buffer;
        uint32_t piece = (uint32_t)MIN(total - at, size);
        uint32_t plain = at < len ? (uint32_t)MIN(len - at, piece) : 0;
        bool last = at + piece == total;
        pci_dma_read(&e->pci, ring + head * 16ull, &buffer, 8);
        pci_dma_write(&e->pci, buffer, frame + at, plain);
        if (piece > plain)
            pci_dma_write(&e->pci, buffer + plain, fcs + (at + plain - len), piece - plain);
        uint64_t word = piece | (uint64_t)(last ? result->checksum : 0) << 16 | (uint64_t)RX_DD << 32;
        if (last)
            word |= (uint64_t)(result->status | RX_EOP) << 32 | (uint64_t)result->errors << 40 |
                    (uint64_t)result->special << 48;
        pci_dma_write(&e->pci, ring + head * 16ull + 8, &word, 8);
        at += piece;
        head = head + 1 == count ? 0 : head + 1;
    }
    *e1000_reg(e, RDH) = head;
}

static void count_frame(struct e1000 *e, const uint8_t *frame, size_t len)
{
    uint32_t with_fcs = (uint32_t)len + ETHER_FCS;
    e1000_count(e, GPRC, 1);
    e1000_count(e, TPR, 1);
    e1000_count64(e, GORCL, with_fcs);
    e1000_count64(e, TORL, with_fcs);
    e1000_count_size(e, PRC64, with_fcs);
    if (ether_is_broadcast(frame))
        e1000_count(e, BPRC, 1);
    else if (ETHER_IS_MULTICAST(frame))
        e1000_count(e, MPRC, 1);
}

/* A frame that has to be changed is, in a copy: padded, or with its checksum completed. */
static const uint8_t *completed(struct e1000 *e, const uint8_t *frame, size_t *len,
                                const struct netdev_offload *offload)
{
    bool needs_csum = (offload->flags & NETDEV_NEEDS_CSUM) && offload->csum_start < *len &&
                      offload->csum_start + offload->csum_offset + 2u <= *len;
    if (*len >= ETHER_MIN && !needs_csum)
        return frame;
    memcpy(e->received, frame, *len);
    if (needs_csum) {
        uint8_t *start = e->received + offload->csum_start;
        uint16_t sum = (uint16_t)~inet_sum(start, *len - offload->csum_start);
        be16_put(start + offload->csum_offset, sum ? sum : 0xffff);
    }
    if (*len < ETHER_MIN) {
        memset(e->received + *len, 0, ETHER_MIN - *len);
        *len = ETHER_MIN;
    }
    return e->received;
}

bool e1000_receive(void *opaque, const uint8_t *frame, size_t len, const struct netdev_offload *offload)
{
    struct e1000 *e = opaque;
    uint32_t rctl = e1000_get(e, RCTL), fcs_len = rctl & RCTL_SECRC ? 0 : ETHER_FCS;
    struct rx_result result = {0};
    if (!receiver_is_on(e) || len < ETHER_HEADER || len > NETDEV_FRAME_MAX)
        return true;
    enum verdict verdict = address_verdict(e, frame);
    bool is_tagged = len >= ETHER_HEADER + ETHER_TAG && be16(frame + ETHER_TAG_AT) == (e1000_get(e, VET) & 0xffff);
    uint16_t tci = is_tagged ? be16(frame + ETHER_HEADER) : 0;
    if (verdict == REFUSED || (is_tagged && !tag_is_wanted(e, tci)))
        return true;
    if (len + ETHER_FCS > (rctl & RCTL_LPE ? LONG_MAX_FRAME : PLAIN_MAX)) {
        e1000_count(e, ROC, 1);
        return true;
    }

    bool strips = is_tagged && (e1000_get(e, CTRL) & CTRL_VME);
    uint32_t before = descriptors(e), size = buffer_size(e);
    size_t whole = MAX(len, ETHER_MIN) - (strips ? ETHER_TAG : 0) + fcs_len;
    uint32_t needed = (uint32_t)((whole + size - 1) / size);
    if (needed > before) {
        if (needed >= e1000_get(e, RDLEN) / 16) { /* it will never fit */
            e1000_count(e, MPC, 1);
            e1000_cause(e, ICR_RXO);
            return true;
        }
        if (!e->rx_full) {
            /* The packet waits in the FIFO, which is on the cable's other side here. */
            e->rx_full = true;
            e1000_count(e, RNBC, 1);
            e1000_cause(e, ICR_RXO);
        }
        return false;
    }

    frame = completed(e, frame, &len, offload);
    count_frame(e, frame, len);
    look_at_checksums(e, frame, len, offload->flags & (NETDEV_DATA_VALID | NETDEV_NEEDS_CSUM), &result);
    if (verdict == INEXACT)
        result.status |= RX_PIF;
    if (strips) {
        memmove(e->received, frame, ETHER_TAG_AT); /* it may be there already */
        memmove(e->received + ETHER_TAG_AT, frame + ETHER_TAG_AT + ETHER_TAG, len - ETHER_TAG_AT - ETHER_TAG);
        frame = e->received;
        len -= ETHER_TAG;
        result.status |= RX_VP;
        result.special = tci;
    }
    write_descriptors(e, frame, len, fcs_len, &result);
    tell(e, len, before, before - needed);
    return true;
}

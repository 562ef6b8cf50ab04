/* 82540EM: transmitting. Manual 3.3 (descriptors, ring), 3.5 (segmentation), 13.4 (registers).
 *
 * A packet is gathered from its descriptors where their data lie, and only when it is out are they given back and TDH
 * moved: a packet that the cable does not take, or that is half segmented when the machine is saved, is gathered again.
 * What has no end yet is taken over into e1000.partial, as the chip's FIFO does, and its descriptors are given back.
 */
#include "e1000.h"

#include <string.h>

#include "log.h"

#define WORK_FRAMES      64u  /* of one run: others wait for the machine lock */
#define WORK_DESCRIPTORS 256u /* of one packet before it is taken over, and of one run about */
/* About what a long frame takes on a wire: a frame takes no time on ours, so a delay that is no longer is over with the
 * run. (Linux asks for 8 us; a timer of the host's for each acknowledgement costs more than that.) */
#define WIRE_NS 12500ll
#define TX_UNIT 1024ll /* of TIDV and TADV, in nanoseconds */

enum result { SENT, BLOCKED, LATER };

/* One run. */
struct run {
    unsigned frames, descriptors; /* how many more */
    uint8_t command[WORK_DESCRIPTORS];
    unsigned seen;    /* descriptors of this packet from TDH on: their commands are in command[] */
    uint32_t head;    /* behind them */
    uint8_t last;     /* command of the one with the end, */
    uint16_t special; /* and its VLAN tag */
};

static bool tx_is_on(const struct e1000 *e)
{
    return (e1000_get(e, TCTL) & TCTL_EN) && (e->pci.config[PCI_COMMAND] & PCI_COMMAND_MASTER);
}

static uint32_t ring_count(const struct e1000 *e)
{
    return e1000_get(e, TDLEN) / 16;
}

/* There is something between TDH and TDT, and both are in the ring. */
static bool has_descriptors(const struct e1000 *e)
{
    uint32_t count = ring_count(e), head = e1000_get(e, TDH), tail = e1000_get(e, TDT);
    if (head == tail)
        return false;
    if (head < count && tail < count)
        return true;
    log_guest("e1000: transmit descriptors %u to %u of a ring of %u", head, tail, count);
    return false;
}

void e1000_tx_kick(struct e1000 *e)
{
    if (!e->tx_blocked && tx_is_on(e) && e1000_get(e, TDH) != e1000_get(e, TDT))
        pci_work_ask(e->tx_work);
}

/* --- Interrupts (3.4.3) --- */

void e1000_tx_arm(struct e1000 *e)
{
    int64_t when = MIN(e->regs.tx_delay, e->regs.tx_delay_most);
    if (when == E1000_NEVER)
        vtimer_cancel(e->tx_timer);
    else
        vtimer_arm(e->tx_timer, when);
}

void e1000_tx_flush(struct e1000 *e)
{
    if (e->regs.tx_delay == E1000_NEVER && e->regs.tx_delay_most == E1000_NEVER)
        return;
    e->regs.tx_delay = e->regs.tx_delay_most = E1000_NEVER;
    e1000_tx_arm(e);
    e1000_cause(e, ICR_TXDW);
}

void e1000_tx_timer(void *opaque)
{
    e1000_tx_flush(opaque);
}

static void tx_delay_start(struct e1000 *e)
{
    uint32_t most = e1000_get(e, TADV) & 0xffff;
    int64_t delay = (e1000_get(e, TIDV) & 0xffff) * TX_UNIT;
    if (delay <= WIRE_NS) {
        e1000_tx_flush(e);
        e1000_cause(e, ICR_TXDW);
        return;
    }
    e->regs.tx_delay = vclock_now() + delay;
    if (most && e->regs.tx_delay_most == E1000_NEVER)
        e->regs.tx_delay_most = vclock_now() + most * TX_UNIT;
    e1000_tx_arm(e);
}

/* Gives the descriptors seen back, and moves TDH behind them. */
static void commit(struct e1000 *e, struct run *run)
{
    static const uint8_t done = TX_DD;
    uint64_t ring = e1000_ring(e, TDBAL);
    uint32_t count = ring_count(e), at = e1000_get(e, TDH), causes = 0, left_before, left;
    bool delays = false;
    left_before = (e1000_get(e, TDT) + count - at) % count;
    for (unsigned i = 0; i < run->seen; i++, at = at + 1 == count ? 0 : at + 1) {
        if (!(run->command[i] & (TX_RS | TX_RPS)))
            continue;
        pci_dma_write(&e->pci, ring + at * 16ull + 12, &done, 1);
        if ((run->command[i] & TX_IDE) && (e1000_get(e, TIDV) & 0xffff))
            delays = true;
        else
            causes |= ICR_TXDW;
    }
    left = left_before - run->seen;
    *e1000_reg(e, TDH) = run->head;
    uint32_t low = (e1000_get(e, TXDCTL) >> 25 & 0x7f) * 8; /* LWTHRESH */
    if (left_before >= low && left < low)
        causes |= ICR_TXD_LOW;
    if (left == 0)
        causes |= ICR_TXQE;
    if (delays && !(causes & ICR_TXDW))
        tx_delay_start(e);
    if (causes)
        e1000_cause(e, causes);
}

/* --- Frames --- */

static void count_frames(struct e1000 *e, const uint8_t *mac, size_t len, uint32_t frames)
{
    uint32_t with_fcs = (uint32_t)len + ETHER_FCS * frames;
    e1000_count(e, GPTC, frames);
    e1000_count(e, TPT, frames);
    e1000_count64(e, GOTCL, with_fcs);
    e1000_count64(e, TOTL, with_fcs);
    for (uint32_t i = 0; i < frames && i < 64; i++)
        e1000_count_size(e, PTC64, with_fcs / frames);
    if (ether_is_broadcast(mac))
        e1000_count(e, BPTC, frames);
    else if (ETHER_IS_MULTICAST(mac))
        e1000_count(e, MPTC, frames);
}

/* To the cable, or around. False: not now. */
static bool put_out(struct e1000 *e, const struct iovec *pieces, unsigned count, size_t len,
                    const struct netdev_offload *offload)
{
    static const struct netdev_offload nothing;
    if (!e1000_is_looped(e))
        return netdev_send(e->netdev, pieces, count, offload);
    /* It has been pulled into one piece (takes() is 0). With the ring full it is lost, as nothing can wait. */
    if (count == 1 && !e1000_receive(e, pieces->iov_base, len, &nothing)) {
        e->rx_full = false;
        e1000_count(e, MPC, 1);
    }
    return true;
}

static uint8_t takes(const struct e1000 *e)
{
    return e->netdev && !e1000_is_looped(e) ? e->netdev->takes : 0;
}

/* The three fields of a context that describe one checksum (3.3.6): where it starts, is put, and ends. */
struct csum_range {
    uint32_t start, at, end; /* end: behind it */
};

static struct csum_range range_of(uint32_t word, size_t len)
{
    uint32_t end = word >> 16;
    return (struct csum_range){word & 0xff, word >> 8 & 0xff, end && end < len ? end + 1 : (uint32_t)len};
}

static bool range_fits(const struct csum_range *range, size_t len)
{
    return range->start < range->end && range->end <= len && range->at + 2u <= len;
}

/* What is in the field already counts: zero, or the sum of a pseudo header. */
static void put_csum(uint8_t *frame, const struct csum_range *range, bool zero_means_none)
{
    uint16_t sum = (uint16_t)~inet_sum(frame + range->start, range->end - range->start);
    be16_put(frame + range->at, sum == 0 && zero_means_none ? 0xffff : sum);
}

static bool vlan_is_inserted(const struct e1000 *e, const struct run *run)
{
    return (e1000_get(e, CTRL) & CTRL_VME) && (run->last & TX_VLE);
}

/* --- A packet without segmentation --- */

/* Puts in the checksums asked for, or leaves the second to the cable's other end. */
static void put_checksums(struct e1000 *e, struct netdev_offload *offload)
{
    struct gather *gather = &e->gather;
    const struct e1000_packet *packet = &e->regs.packet;
    const uint32_t *context = e->regs.context.word;
    uint32_t len = gather->len;
    if (packet->options & PACKET_IC) {
        struct csum_range range = {packet->css, packet->cso, len};
        if (range_fits(&range, len))
            put_csum(gather_pull(gather, len), &range, false);
        return;
    }
    if (packet->options & PACKET_IXSM) {
        struct csum_range range = range_of(context[0], len);
        if (range_fits(&range, len)) {
            uint8_t *head = gather_pull(gather, MAX(range.end, range.at + 2));
            put_csum(head, &range, false);
        }
    }
    if (packet->options & PACKET_TXSM) {
        struct csum_range range = range_of(context[1], len);
        bool is_tcp = context[2] >> 24 & TUCMD_TCP;
        if (!range_fits(&range, len))
            return;
        if ((takes(e) & NETDEV_TAKES_CSUM) && range.end == len && range.at >= range.start) {
            offload->flags = NETDEV_NEEDS_CSUM;
            offload->csum_start = (uint16_t)range.start;
            offload->csum_offset = (uint16_t)(range.at - range.start);
        } else {
            put_csum(gather_pull(gather, len), &range, !is_tcp);
        }
    }
}

static enum result send_plain(struct e1000 *e, struct run *run)
{
    struct gather *gather = &e->gather;
    struct netdev_offload offload = {0};
    uint8_t mac[6];
    if (gather->len < ETHER_HEADER) {
        log_guest("e1000: a frame of %u bytes is sent", gather->len);
        return SENT;
    }
    put_checksums(e, &offload);
    if (e1000_get(e, TCTL) & TCTL_PSP)
        gather_pad(gather, ETHER_MIN);
    if (e1000_is_looped(e))
        gather_pull(gather, gather->len);
    memcpy(mac, gather_pull(gather, ETHER_TAG_AT), 6);
    if (vlan_is_inserted(e, run)) {
        gather_tag(gather, (uint16_t)e1000_get(e, VET), run->special);
        if (offload.flags)
            offload.csum_start += ETHER_TAG;
    }
    if (!put_out(e, gather_pieces(gather), gather_count(gather), gather->len, &offload))
        return BLOCKED;
    run->frames--;
    count_frames(e, mac, gather->len, 1);
    return SENT;
}

/* --- Segmentation (3.5) --- */

static struct frame_split split_of(const struct e1000 *e)
{
    const uint32_t *context = e->regs.tso_context.word;
    return (struct frame_split){.header_len = context[3] >> 8 & 0xff,
                                .mss = context[3] >> 16,
                                .l3 = context[0] & 0xff,
                                .l4 = context[1] & 0xff,
                                .is_ipv4 = context[2] >> 24 & TUCMD_IP,
                                .is_tcp = context[2] >> 24 & TUCMD_TCP};
}

/* The driver leaves the pseudo header's sum without the length in the checksum field, as the chip adds each segment's
 * own (3.5.7). */
static void add_l4_length(uint8_t *frame, const struct csum_range *range)
{
    be16_put(frame + range->at, inet_add(be16(frame + range->at), range->end - range->start));
}

/* The whole packet, if whoever is at the other end segments as the driver means it. */
static bool leave_to_other_end(struct e1000 *e, const struct frame_split *split, struct run *run,
                               struct netdev_offload *offload)
{
    struct gather *gather = &e->gather;
    const uint32_t *context = e->regs.tso_context.word;
    uint32_t len = gather->len;
    struct csum_range ip = range_of(context[0], len), l4 = range_of(context[1], len);
    uint8_t wanted = NETDEV_TAKES_CSUM | (split->is_ipv4 ? NETDEV_TAKES_TSO4 : NETDEV_TAKES_TSO6);
    if ((takes(e) & wanted) != wanted || !split->is_tcp || !(e->regs.packet.options & PACKET_TXSM) ||
        e->regs.packet.sent || vlan_is_inserted(e, run) || len - split->l3 > 0xffff || l4.end != len ||
        l4.at != split->l4 + TCP_CSUM || len - split->header_len <= split->mss)
        return false;
    if (split->is_ipv4 && (!(e->regs.packet.options & PACKET_IXSM) || ip.at != split->l3 + IPV4_CSUM))
        return false;
    uint8_t *head = gather_pull(gather, split->header_len);
    if (be16(head + split->l3 - 2) != (split->is_ipv4 ? ETHER_IPV4 : ETHER_IPV6) ||
        split->l4 + (head[split->l4 + 12] >> 4) * 4u != split->header_len)
        return false;
    if (split->is_ipv4) {
        be16_put(head + split->l3 + 2, len - split->l3);
        ip.end = split->l4;
        put_csum(head, &ip, false);
    } else {
        be16_put(head + split->l3 + 4, len - split->l3 - 40);
    }
    add_l4_length(head, &l4);
    *offload = (struct netdev_offload){.flags = NETDEV_NEEDS_CSUM,
                                       .gso_type = split->is_ipv4 ? NETDEV_GSO_TCPV4 : NETDEV_GSO_TCPV6,
                                       .hdr_len = (uint16_t)split->header_len,
                                       .gso_size = (uint16_t)split->mss,
                                       .csum_start = (uint16_t)split->l4,
                                       .csum_offset = TCP_CSUM};
    return true;
}

/* Checksums and tag of the segment in e->segment; its length, with them. */
static size_t finish_segment(struct e1000 *e, struct run *run, size_t len)
{
    const uint32_t *context = e->regs.tso_context.word;
    struct csum_range ip = range_of(context[0], len), l4 = range_of(context[1], len);
    uint8_t *frame = e->segment;
    if ((e->regs.packet.options & PACKET_IXSM) && range_fits(&ip, len)) {
        put_csum(frame, &ip, false);
    }
    if ((e->regs.packet.options & PACKET_TXSM) && range_fits(&l4, len)) {
        add_l4_length(frame, &l4);
        put_csum(frame, &l4, !(context[2] >> 24 & TUCMD_TCP));
    }
    if (vlan_is_inserted(e, run) && len + ETHER_TAG <= sizeof(e->segment)) {
        memmove(frame + ETHER_TAG_AT + ETHER_TAG, frame + ETHER_TAG_AT, len - ETHER_TAG_AT);
        be16_put(frame + ETHER_TAG_AT, e1000_get(e, VET));
        be16_put(frame + ETHER_TAG_AT + 2, run->special);
        len += ETHER_TAG;
    }
    if (len < ETHER_MIN && (e1000_get(e, TCTL) & TCTL_PSP)) {
        memset(frame + len, 0, ETHER_MIN - len);
        len = ETHER_MIN;
    }
    return len;
}

static enum result send_segments(struct e1000 *e, const struct frame_split *split, struct run *run)
{
    struct gather *gather = &e->gather;
    uint32_t payload = gather->len - split->header_len;
    const uint8_t *whole = gather_pull(gather, gather->len);
    while (e->regs.packet.sent < payload) {
        if (!run->frames)
            return LATER;
        size_t len = frame_segment(split, whole, gather->len, e->regs.packet.sent, e->segment);
        len = finish_segment(e, run, len);
        const struct iovec piece = {e->segment, len};
        if (!put_out(e, &piece, 1, len, NULL))
            return BLOCKED;
        run->frames--;
        count_frames(e, e->segment, len, 1);
        e->regs.packet.sent += MIN(split->mss, payload - e->regs.packet.sent);
    }
    return SENT;
}

static enum result send_split(struct e1000 *e, struct run *run)
{
    struct gather *gather = &e->gather;
    struct frame_split split = split_of(e);
    struct netdev_offload offload = {0};
    enum result result = SENT;
    if (!frame_split_is_possible(&split, gather->len)) {
        log_guest("e1000: a packet of %u bytes with headers of %u cannot be cut into %u", gather->len, split.header_len,
                  split.mss);
        e1000_count(e, TSCTFC, 1);
        return SENT;
    }
    if (leave_to_other_end(e, &split, run, &offload)) {
        uint32_t payload = gather->len - split.header_len, frames = (payload + split.mss - 1) / split.mss;
        if (!put_out(e, gather_pieces(gather), gather_count(gather), gather->len, &offload))
            return BLOCKED;
        run->frames--;
        count_frames(e, gather_pull(gather, 6), payload + (size_t)frames * split.header_len, frames);
    } else {
        result = send_segments(e, &split, run);
    }
    if (result == SENT)
        e1000_count(e, TSCTC, 1);
    return result;
}

static enum result send(struct e1000 *e, struct run *run)
{
    if (e->gather.is_too_long || (e->regs.packet.options & PACKET_LOST)) {
        log_guest("e1000: a packet is longer than %u bytes", NETDEV_FRAME_MAX);
        return SENT;
    }
    return e->regs.packet.options & PACKET_TSE ? send_split(e, run) : send_plain(e, run);
}

/* --- Descriptors --- */

static void take_context(struct e1000 *e, const uint32_t word[4])
{
    struct e1000_context *context = word[2] >> 24 & TX_TSE ? &e->regs.tso_context : &e->regs.context;
    memcpy(context->word, word, sizeof(context->word));
}

/* What the first descriptor says of its packet (3.3.3.1, 3.3.7.2). */
static void begin_packet(struct e1000_packet *packet, const uint32_t word[4])
{
    uint8_t command = (uint8_t)(word[2] >> 24);
    packet->begun = 1;
    packet->options = 0;
    if (command & TX_DEXT) {
        packet->options |= word[3] >> 8 & POPTS_IXSM ? PACKET_IXSM : 0;
        packet->options |= word[3] >> 8 & POPTS_TXSM ? PACKET_TXSM : 0;
        packet->options |= command & TX_TSE ? PACKET_TSE : 0;
    } else if (command & TX_IC) {
        packet->options = PACKET_IC;
        packet->cso = (uint8_t)(word[2] >> 16);
        packet->css = (uint8_t)(word[3] >> 8);
    }
}

/* Gathers from TDH on. True: there is an end. */
static bool gather_packet(struct e1000 *e, struct run *run)
{
    uint64_t ring = e1000_ring(e, TDBAL);
    uint32_t count = ring_count(e), tail = e1000_get(e, TDT);
    struct e1000_packet *packet = &e->regs.packet;
    gather_begin(&e->gather);
    gather_bytes(&e->gather, e->partial, packet->len);
    run->head = e1000_get(e, TDH);
    run->seen = 0;
    while (run->head != tail && run->seen < WORK_DESCRIPTORS) {
        uint32_t word[4];
        pci_dma_read(&e->pci, ring + run->head * 16ull, word, sizeof(word));
        run->head = run->head + 1 == count ? 0 : run->head + 1;
        uint8_t command = (uint8_t)(word[2] >> 24);
        run->command[run->seen++] = command;
        if ((command & TX_DEXT) && TX_DTYP(word[2]) == 0) {
            run->command[run->seen - 1] &= TX_RS | TX_IDE;
            take_context(e, word);
            continue;
        }
        if (!packet->begun)
            begin_packet(packet, word);
        gather_dma(&e->gather, &e->pci, (uint64_t)word[1] << 32 | word[0],
                   word[2] & (command & TX_DEXT ? 0xfffff : 0xffff));
        if (command & TX_EOP) {
            run->last = command;
            run->special = (uint16_t)(word[3] >> 16);
            return true;
        }
    }
    return false;
}

/* What there is of a packet without an end. */
static void take_over(struct e1000 *e)
{
    struct e1000_packet *packet = &e->regs.packet;
    if (e->gather.is_too_long) {
        packet->options |= PACKET_LOST;
        packet->len = 0;
        return;
    }
    memcpy(e->partial, gather_pull(&e->gather, e->gather.len), e->gather.len);
    packet->len = e->gather.len;
}

void e1000_tx_work(void *opaque)
{
    struct e1000 *e = opaque;
    struct run run = {.frames = WORK_FRAMES, .descriptors = WORK_DESCRIPTORS};
    enum result result = SENT;
    e->tx_blocked = false;
    while (tx_is_on(e) && has_descriptors(e)) {
        if (!run.frames || !run.descriptors) {
            result = LATER;
            break;
        }
        bool has_end = gather_packet(e, &run);
        result = SENT;
        if (!has_end)
            take_over(e);
        else if ((result = send(e, &run)) == SENT)
            e->regs.packet = (struct e1000_packet){0};
        if (result != SENT)
            break; /* it is gathered again, and sent as it was begun */
        run.descriptors -= MIN(run.seen, run.descriptors);
        commit(e, &run);
    }
    e->tx_blocked = result == BLOCKED;
    if (result == LATER)
        pci_work_ask(e->tx_work);
}

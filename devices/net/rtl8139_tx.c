/* RTL8139C+: transmitting, from the four descriptors of the classic mode or from rings. RTL8139C(L) data
 * sheet 5.2, 6.3; RTL8139C(L)+ data sheet, transmit descriptors and large send.
 *
 * A packet is gathered where its data lie, and its descriptors are given back when it is out: what the cable does not
 * take is gathered again.
 */
#include "rtl8139.h"

#include <string.h>

#include "log.h"

#define WORK_FRAMES 64u
#define PLAIN_MAX   1792u                                  /* what fits the FIFO without large send */
#define HEADERS     (ETHER_HEADER + ETHER_TAG + 60u + 60u) /* the longest of Ethernet, IPv4 and TCP */

enum result { SENT, BLOCKED, LATER, NOTHING };

static uint8_t takes(const struct rtl8139 *r)
{
    return r->netdev && !rtl_is_looped(r) ? r->netdev->takes : 0;
}

/* To the cable, or around. False: not now. */
static bool put_out(struct rtl8139 *r, const struct iovec *pieces, unsigned count, const struct netdev_offload *offload)
{
    static const struct netdev_offload nothing;
    if (!rtl_is_looped(r))
        return netdev_send(r->netdev, pieces, count, offload);
    /* In one piece, as callers see to. With the ring full it is lost, as nothing can wait. */
    if (count == 1 && !rtl_receive(r, pieces->iov_base, pieces->iov_len, &nothing)) {
        r->rx_full = false;
        rtl_put(r, MPC, 3, rtl_get32(r, MPC) + 1);
        r->regs.tally.miss++;
        rtl_cause(r, INT_RXOVW);
    }
    return true;
}

static enum result put_out_gathered(struct rtl8139 *r, const struct netdev_offload *offload)
{
    struct gather *gather = &r->gather;
    /* Into one piece, and out of the guest's RAM, which the receiver writes to. One with a tag is that already. */
    if (rtl_is_looped(r) && (gather->first != 0 || gather_count(gather) != 1))
        gather_pull(gather, gather->len);
    return put_out(r, gather_pieces(gather), gather_count(gather), offload) ? SENT : BLOCKED;
}

/* --- Classic mode --- */

static enum result classic_send(struct rtl8139 *r)
{
    unsigned at = TSD + 4 * r->regs.tx_next;
    uint32_t tsd = rtl_get32(r, at);
    if (tsd & TSD_OWN)
        return NOTHING;
    gather_begin(&r->gather);
    gather_dma(&r->gather, &r->pci, rtl_get32(r, TSAD + 4 * r->regs.tx_next), tsd & TSD_SIZE);
    if (r->gather.len < ETHER_HEADER)
        log_guest("rtl8139: a frame of %u bytes is sent", r->gather.len);
    else if (put_out_gathered(r, NULL) == BLOCKED)
        return BLOCKED;
    rtl_put(r, at, 4, (tsd & (TSD_SIZE | TSD_ERTXTH)) | TSD_OWN | TSD_TOK);
    r->regs.tx_next = (r->regs.tx_next + 1) & 3;
    r->regs.tally.tx_ok++;
    rtl_cause(r, INT_TOK);
    return SENT;
}

/* --- C+: what is done to a packet --- */

struct packet {
    uint32_t word, tag; /* of its first descriptor */
    unsigned count;     /* descriptors */
    bool has_end;
};

/* Puts checksums in, or leaves the one of TCP and UDP to the cable's other end. */
static void put_checksums(struct rtl8139 *r, const struct packet *packet, struct netdev_offload *offload)
{
    struct gather *gather = &r->gather;
    uint32_t wanted = packet->word & (CP_TX_IPCS | CP_TX_TCPCS | CP_TX_UDPCS);
    if (packet->word & CP_LGSEN) /* the segment size is where these bits are */
        wanted = CP_TX_IPCS | CP_TX_TCPCS;
    struct frame_parts parts;
    if (!wanted)
        return;
    uint8_t *head = gather_pull(gather, HEADERS);
    if (!frame_parse(head, gather->len, &parts) || parts.version != 4)
        return;
    bool fits = parts.l4 + (parts.protocol == IP_TCP ? TCP_HEADER : 8) <= parts.end;
    bool l4 =
        fits && !parts.is_fragment &&
        ((parts.protocol == IP_TCP && (wanted & CP_TX_TCPCS)) || (parts.protocol == IP_UDP && (wanted & CP_TX_UDPCS)));
    if (wanted & CP_TX_IPCS)
        frame_put_ip_csum(head, &parts);
    if (l4 && (takes(r) & NETDEV_TAKES_CSUM) && parts.end == gather->len) {
        offload->flags = NETDEV_NEEDS_CSUM;
        offload->csum_start = (uint16_t)parts.l4;
        offload->csum_offset = parts.protocol == IP_TCP ? TCP_CSUM : UDP_CSUM;
        be16_put(head + parts.l4 + offload->csum_offset, inet_add(frame_pseudo(head, &parts), parts.end - parts.l4));
    } else if (l4) {
        frame_put_l4_csum(gather_pull(gather, gather->len), &parts);
    }
}

static uint16_t tag_of(const struct packet *packet)
{
    return __builtin_bswap16((uint16_t)packet->tag); /* as on the wire */
}

static enum result send_plain(struct rtl8139 *r, const struct packet *packet)
{
    struct gather *gather = &r->gather;
    struct netdev_offload offload = {0};
    put_checksums(r, packet, &offload);
    gather_pad(gather, ETHER_MIN);
    if (packet->tag & CP_TAGC) {
        if (rtl_is_looped(r))
            gather_pull(gather, gather->len);
        gather_tag(gather, ETHER_TAGGED, tag_of(packet));
        if (offload.flags)
            offload.csum_start += ETHER_TAG;
    }
    enum result result = put_out_gathered(r, &offload);
    r->regs.tally.tx_ok += result == SENT;
    return result;
}

/* Large send: TCP over IPv4. False: the packet is not that. */
static bool split_find(struct rtl8139 *r, const struct packet *packet, struct frame_split *split)
{
    struct gather *gather = &r->gather;
    struct frame_parts parts;
    uint8_t *head = gather_pull(gather, HEADERS);
    uint32_t l3 = be16(head + ETHER_TAG_AT) == ETHER_TAGGED ? ETHER_HEADER + ETHER_TAG : ETHER_HEADER;
    if (gather->len < l3 + IPV4_HEADER + TCP_HEADER || gather->len - l3 > 0xffff)
        return false;
    be16_put(head + l3 + 2, gather->len - l3); /* whatever the driver has there */
    if (!frame_parse(head, gather->len, &parts) || parts.version != 4 || parts.protocol != IP_TCP ||
        parts.is_fragment || parts.l4 + TCP_HEADER > gather->len)
        return false;
    *split = (struct frame_split){.header_len = parts.l4 + (head[parts.l4 + 12] >> 4) * 4u,
                                  .mss = CP_TX_MSS(packet->word),
                                  .l3 = parts.l3,
                                  .l4 = parts.l4,
                                  .is_ipv4 = true,
                                  .is_tcp = true};
    return frame_split_is_possible(split, gather->len);
}

static enum result leave_to_other_end(struct rtl8139 *r, const struct frame_split *split)
{
    struct gather *gather = &r->gather;
    uint8_t *head = gather_pull(gather, split->header_len);
    struct frame_parts parts;
    frame_parse(head, gather->len, &parts);
    frame_put_ip_csum(head, &parts);
    be16_put(head + split->l4 + TCP_CSUM, inet_add(frame_pseudo(head, &parts), parts.end - parts.l4));
    const struct netdev_offload offload = {.flags = NETDEV_NEEDS_CSUM,
                                           .gso_type = NETDEV_GSO_TCPV4,
                                           .hdr_len = (uint16_t)split->header_len,
                                           .gso_size = (uint16_t)split->mss,
                                           .csum_start = (uint16_t)split->l4,
                                           .csum_offset = TCP_CSUM};
    return put_out_gathered(r, &offload);
}

static enum result send_segments(struct rtl8139 *r, const struct packet *packet, const struct frame_split *split,
                                 unsigned *frames)
{
    struct gather *gather = &r->gather;
    const uint8_t *whole = gather_pull(gather, gather->len);
    uint32_t payload = gather->len - split->header_len;
    while (r->regs.tx_sent < payload) {
        struct frame_parts parts;
        if (!*frames)
            return LATER;
        size_t len = frame_segment(split, whole, gather->len, r->regs.tx_sent, r->segment);
        if (frame_parse(r->segment, len, &parts)) {
            frame_put_ip_csum(r->segment, &parts);
            frame_put_l4_csum(r->segment, &parts);
        }
        if (packet->tag & CP_TAGC) {
            uint8_t *tag = r->segment + ETHER_TAG_AT;
            memmove(tag + ETHER_TAG, tag, len - ETHER_TAG_AT);
            be16_put(tag, ETHER_TAGGED);
            be16_put(tag + 2, tag_of(packet));
            len += ETHER_TAG;
        }
        if (len < ETHER_MIN) {
            memset(r->segment + len, 0, ETHER_MIN - len);
            len = ETHER_MIN;
        }
        const struct iovec piece = {r->segment, len};
        if (!put_out(r, &piece, 1, NULL))
            return BLOCKED;
        --*frames;
        r->regs.tally.tx_ok++;
        r->regs.tx_sent += MIN(split->mss, payload - r->regs.tx_sent);
    }
    return SENT;
}

static enum result send(struct rtl8139 *r, const struct packet *packet, unsigned *frames)
{
    struct frame_split split;
    const uint8_t wanted = NETDEV_TAKES_CSUM | NETDEV_TAKES_TSO4;
    if (r->gather.is_too_long || r->gather.len < ETHER_HEADER) {
        log_guest("rtl8139: a packet of %u bytes, or more", r->gather.len);
        return SENT;
    }
    if (!(packet->word & CP_LGSEN) || !split_find(r, packet, &split)) {
        if ((packet->word & CP_LGSEN) && r->gather.len > PLAIN_MAX) {
            log_guest("rtl8139: a packet of %u bytes cannot be cut", r->gather.len);
            return SENT;
        }
        --*frames;
        return send_plain(r, packet);
    }
    if ((takes(r) & wanted) == wanted && !(packet->tag & CP_TAGC) && !r->regs.tx_sent && split.l3 == ETHER_HEADER &&
        r->gather.len - split.header_len > split.mss) {
        enum result result = leave_to_other_end(r, &split);
        if (result == SENT) {
            r->regs.tally.tx_ok += (r->gather.len - split.header_len + split.mss - 1) / split.mss;
            --*frames;
        }
        return result;
    }
    return send_segments(r, packet, &split, frames);
}

/* --- C+: rings --- */

struct cp_descriptor {
    uint32_t word, tag;
    uint64_t buffer;
};

static uint64_t cp_at(const struct rtl8139 *r, unsigned queue, unsigned index)
{
    return (rtl_get64(r, queue ? THPDS : TNPDS) & ~0xffull) + index * 16;
}

static unsigned cp_next(unsigned index, uint32_t word)
{
    return word & CP_EOR || index + 1 >= CP_RING ? 0 : index + 1;
}

/* Gathers the packet at the ring's place. False: the chip does not have all of it. */
static bool cp_gather(struct rtl8139 *r, unsigned queue, struct packet *packet)
{
    unsigned index = r->regs.cp_tx[queue];
    gather_begin(&r->gather);
    *packet = (struct packet){0};
    while (!packet->has_end && packet->count < CP_RING) {
        struct cp_descriptor desc;
        pci_dma_read(&r->pci, cp_at(r, queue, index), &desc, sizeof(desc));
        if (!(desc.word & CP_OWN))
            return false;
        if (packet->count++ == 0) {
            packet->word = desc.word;
            packet->tag = desc.tag;
        }
        gather_dma(&r->gather, &r->pci, desc.buffer, desc.word & 0xffff);
        packet->has_end = desc.word & CP_LS;
        index = cp_next(index, desc.word);
    }
    return true;
}

/* False: they cannot be, as there is no memory that keeps it. The chip would send them for ever. */
static bool cp_give_back(struct rtl8139 *r, unsigned queue, const struct packet *packet)
{
    bool was_taken = true;
    for (unsigned i = 0; i < packet->count; i++) {
        uint64_t at = cp_at(r, queue, r->regs.cp_tx[queue]);
        uint32_t word;
        pci_dma_read(&r->pci, at, &word, 4);
        r->regs.cp_tx[queue] = (uint8_t)cp_next(r->regs.cp_tx[queue], word);
        word = (word & ~(CP_OWN | CP_TX_RESULT)) | (packet->has_end ? 0 : CP_TX_TES);
        pci_dma_write(&r->pci, at, &word, 4);
        pci_dma_read(&r->pci, at, &word, 4);
        was_taken &= !(word & CP_OWN);
    }
    return was_taken;
}

static enum result cp_send(struct rtl8139 *r, unsigned queue, unsigned *frames)
{
    uint8_t poll = queue ? TPPOLL_HPQ : TPPOLL_NPQ;
    struct packet packet;
    if (!cp_gather(r, queue, &packet)) {
        r->regs.reg[TPPOLL] &= (uint8_t)~poll;
        r->regs.tx_sent = 0;
        rtl_cause(r, INT_TDU);
        return NOTHING;
    }
    r->regs.tx_queue = (uint8_t)queue;
    enum result result = SENT;
    if (packet.has_end)
        result = send(r, &packet, frames);
    else
        log_guest("rtl8139: a packet without an end");
    if (result != SENT)
        return result;
    r->regs.tx_sent = 0;
    if (!cp_give_back(r, queue, &packet)) {
        log_guest("rtl8139: there is no memory where transmit descriptors should be");
        r->regs.reg[TPPOLL] &= (uint8_t)~poll;
    }
    r->regs.tally.tx_er += !packet.has_end;
    rtl_cause(r, packet.has_end ? INT_TOK : INT_TER);
    return SENT;
}

static bool is_on(const struct rtl8139 *r)
{
    return (rtl_get8(r, CR) & CR_TE) && (r->pci.config[PCI_COMMAND] & PCI_COMMAND_MASTER);
}

bool rtl_tx_is_wanted(const struct rtl8139 *r)
{
    if (!is_on(r) || r->tx_blocked)
        return false;
    if (rtl_get16(r, CPCR) & CPCR_TX)
        return rtl_get8(r, TPPOLL) & (TPPOLL_HPQ | TPPOLL_NPQ);
    return !(rtl_get32(r, TSD + 4 * r->regs.tx_next) & TSD_OWN);
}

bool rtl_tx_work(struct rtl8139 *r)
{
    unsigned frames = WORK_FRAMES;
    enum result result = SENT;
    /* Packets count as well, so that those which make no frame are not without end. */
    for (unsigned n = 0; n < WORK_FRAMES && frames && rtl_tx_is_wanted(r) && result < BLOCKED; n++) {
        if (!(rtl_get16(r, CPCR) & CPCR_TX))
            result = classic_send(r);
        else if (r->regs.tx_sent)
            result = cp_send(r, r->regs.tx_queue, &frames); /* the packet that is half out */
        else
            result = cp_send(r, rtl_get8(r, TPPOLL) & TPPOLL_HPQ ? 1 : 0, &frames);
        if (result == NOTHING)
            result = SENT; /* the other ring may have something */
    }
    r->tx_blocked = result == BLOCKED;
    return rtl_tx_is_wanted(r);
}

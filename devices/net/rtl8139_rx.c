/* RTL8139C+: receiving, into the ring of bytes of the classic mode or into descriptors. RTL8139C(L) data
 * sheet 5.1, 6.4; RTL8139C(L)+ data sheet, receive descriptors. */
#include "rtl8139.h"

#include <string.h>

#include "log.h"

#define LONGEST   1792u /* bytes of a frame; more do not pass the FIFO */
#define RX_HEADER 4u
#define POLL      1000000ll

/* --- Filters --- */

static uint16_t wanted_as(const struct rtl8139 *r, const uint8_t *mac)
{
    uint32_t rcr = rtl_get32(r, RCR);
    if (ether_is_broadcast(mac))
        return rcr & (RCR_AB | RCR_AAP) ? RX_BAR : 0;
    if (ETHER_IS_MULTICAST(mac)) {
        unsigned bit = ether_hash_be(mac);
        bool is_in = (rcr & RCR_AM) && (rtl_get8(r, MAR + bit / 8) >> (bit & 7) & 1);
        return is_in || (rcr & RCR_AAP) ? RX_MAR : 0;
    }
    bool is_own = memcmp(mac, &r->regs.reg[IDR], 6) == 0;
    if (is_own && (rcr & (RCR_APM | RCR_AAP)))
        return RX_PAM;
    return rcr & RCR_AAP ? RX_ROK : 0; /* some bit: it is somebody else's */
}

/* --- The classic ring --- */

static uint32_t ring_size(const struct rtl8139 *r)
{
    return 8192u << (rtl_get32(r, RCR) >> RCR_RBLEN & 3);
}

/* CAPR is 16 bytes behind the place the driver has read up to. */
static uint32_t ring_read_at(const struct rtl8139 *r)
{
    return (rtl_get16(r, CAPR) + 16u) & (ring_size(r) - 1);
}

static uint32_t ring_write_at(const struct rtl8139 *r)
{
    return rtl_get16(r, CBR) & (ring_size(r) - 1) & ~3u;
}

static uint32_t ring_room(const struct rtl8139 *r)
{
    return (ring_read_at(r) - ring_write_at(r) - 4) & (ring_size(r) - 1) & ~3u;
}

static bool uses_descriptors(const struct rtl8139 *r)
{
    return rtl_get16(r, CPCR) & CPCR_RX;
}

bool rtl_rx_is_empty(const struct rtl8139 *r)
{
    return ring_read_at(r) == ring_write_at(r);
}

/* Writes to the ring; the whole frame is in it, or with RCR.WRAP behind its end, where the driver has room. */
static void ring_put(const struct rtl8139 *r, uint32_t *at, const void *bytes, uint32_t len)
{
    uint32_t size = ring_size(r), start = rtl_get32(r, RBSTART);
    bool is_straight = (rtl_get32(r, RCR) & RCR_WRAP) && size < 65536;
    uint32_t first = is_straight || *at + len <= size ? len : *at < size ? size - *at : 0;
    pci_dma_write(&r->pci, (uint64_t)start + *at, bytes, first);
    if (first < len) {
        *at = 0;
        pci_dma_write(&r->pci, start, (const uint8_t *)bytes + first, len - first);
        *at = len - first;
    } else {
        *at += len;
    }
}

static bool ring_has_room(const struct rtl8139 *r, size_t len)
{
    return RX_HEADER + len + ETHER_FCS <= ring_room(r);
}

static void ring_receive(struct rtl8139 *r, const uint8_t *frame, size_t len, uint16_t as)
{
    uint32_t begin = ring_write_at(r), at = begin + RX_HEADER, crc = ether_crc_le(frame, len);
    uint32_t header = RX_ROK | as | (uint32_t)(len + ETHER_FCS) << 16, whole;
    whole = ((uint32_t)len + RX_HEADER + ETHER_FCS + 3) & ~3u;
    /* Data first: a driver may look at the header at any time. */
    if (at >= ring_size(r) && !((rtl_get32(r, RCR) & RCR_WRAP) && ring_size(r) < 65536))
        at -= ring_size(r);
    ring_put(r, &at, frame, (uint32_t)len);
    ring_put(r, &at, &crc, ETHER_FCS);
    pci_dma_write(&r->pci, (uint64_t)rtl_get32(r, RBSTART) + begin, &header, RX_HEADER);
    rtl_put(r, CBR, 2, (begin + whole) & (ring_size(r) - 1));
}

/* --- Descriptors --- */

struct cp_descriptor {
    uint32_t word[2];
    uint64_t buffer;
};

static void cp_read(const struct rtl8139 *r, unsigned index, struct cp_descriptor *desc)
{
    pci_dma_read(&r->pci, (rtl_get64(r, RDSAR) & ~0xffull) + index * 16, desc, sizeof(*desc));
}

static unsigned cp_next(unsigned index, uint32_t word)
{
    return word & CP_EOR || index + 1 >= CP_RING ? 0 : index + 1;
}

/* How many bytes the chip's descriptors have room for, up to as many as needed. */
static bool cp_has_room(const struct rtl8139 *r, size_t len)
{
    unsigned index = r->regs.cp_rx, first = index;
    size_t room = 0;
    do {
        struct cp_descriptor desc;
        cp_read(r, index, &desc);
        if (!(desc.word[0] & CP_OWN))
            return false;
        room += desc.word[0] & CP_RX_SIZE;
        if (room >= len)
            return true;
        index = cp_next(index, desc.word[0]);
    } while (index != first);
    return false;
}

/* The results of the checksums (CPCR.RxChkSum). */
static uint32_t cp_checksums(const uint8_t *frame, size_t len, bool are_good)
{
    struct frame_parts parts;
    uint32_t bits;
    if (!frame_parse(frame, len, &parts) || parts.version != 4)
        return 0;
    bool is_tcp = parts.protocol == IP_TCP && !parts.is_fragment,
         is_udp = parts.protocol == IP_UDP && !parts.is_fragment;
    bits = (is_tcp ? 1u : is_udp ? 2u : 3u) << CP_RX_PID;
    if (are_good)
        return bits;
    if (frame_check_ip(frame, &parts) == CHECK_BAD)
        bits |= CP_RX_IPF;
    if (frame_check_l4(frame, &parts) == CHECK_BAD)
        bits |= is_tcp ? CP_RX_TCPF : CP_RX_UDPF;
    return bits;
}

static void cp_receive(struct rtl8139 *r, const uint8_t *frame, size_t len, uint32_t status, uint32_t tag)
{
    uint32_t crc = ether_crc_le(frame, len);
    size_t total = len + ETHER_FCS, at = 0;
    for (unsigned n = 0; at < total && n < CP_RING; n++) {
        struct cp_descriptor desc;
        cp_read(r, r->regs.cp_rx, &desc);
        uint32_t piece = (uint32_t)MIN(total - at, desc.word[0] & CP_RX_SIZE);
        uint32_t plain = at < len ? (uint32_t)MIN(len - at, piece) : 0;
        pci_dma_write(&r->pci, desc.buffer, frame + at, plain);
        if (piece > plain)
            pci_dma_write(&r->pci, desc.buffer + plain, (const uint8_t *)&crc + (at + plain - len), piece - plain);
        bool first = at == 0, last = at + piece == total;
        uint32_t word[2] = {(desc.word[0] & CP_EOR) | (first ? CP_FS : 0) | (last ? CP_LS : 0) | status |
                                (uint32_t)(last ? total : piece),
                            tag};
        pci_dma_write(&r->pci, (rtl_get64(r, RDSAR) & ~0xffull) + r->regs.cp_rx * 16ull, word, sizeof(word));
        r->regs.cp_rx = (uint8_t)cp_next(r->regs.cp_rx, desc.word[0]);
        at += piece;
    }
}

/* --- A frame --- */

static bool receiver_is_on(const struct rtl8139 *r)
{
    return (rtl_get8(r, CR) & CR_RE) && (r->pci.config[PCI_COMMAND] & PCI_COMMAND_MASTER) &&
           ((rtl_get16(r, BMSR) & BMSR_LINK) || rtl_is_looped(r));
}

void rtl_rx_ready(struct rtl8139 *r)
{
    if (!r->rx_full)
        return;
    r->rx_full = false;
    vtimer_cancel(r->rx_poll);
    netdev_ready(r->netdev);
}

/* Descriptors are given without a word to the chip. */
void rtl_rx_poll(void *opaque)
{
    rtl_rx_ready(opaque);
}

/* The frame waits at the cable's other end. In the classic mode that is like a FIFO with room enough: nothing is lost,
 * and RXOVW, which drivers count as an error, stays away. In C+ mode the same bit says that there is no descriptor. */
static bool no_room(struct rtl8139 *r)
{
    if (uses_descriptors(r)) {
        if (!r->rx_full)
            rtl_cause(r, INT_RXOVW);
        vtimer_arm(r->rx_poll, vclock_now() + POLL);
    }
    r->rx_full = true;
    return false;
}

static void count_frame(struct rtl8139 *r, uint16_t as)
{
    struct rtl_tally *tally = &r->regs.tally;
    tally->rx_ok++;
    if (as == RX_BAR)
        tally->rx_ok_brd++;
    else if (as == RX_MAR)
        tally->rx_ok_mul++;
    else
        tally->rx_ok_phy++;
}

bool rtl_receive(struct rtl8139 *r, const uint8_t *frame, size_t len, const struct netdev_offload *offload)
{
    uint16_t cpcr = rtl_get16(r, CPCR);
    if (!receiver_is_on(r) || len < ETHER_HEADER || len > LONGEST)
        return true;
    uint16_t as = wanted_as(r, frame);
    if (!as)
        return true;
    bool strips = uses_descriptors(r) && (cpcr & CPCR_VLAN) && len >= ETHER_HEADER + ETHER_TAG &&
                  be16(frame + ETHER_TAG_AT) == ETHER_TAGGED;
    size_t whole = MAX(len, ETHER_MIN) - (strips ? ETHER_TAG : 0);
    if (!(uses_descriptors(r) ? cp_has_room(r, whole + ETHER_FCS) : ring_has_room(r, whole)))
        return no_room(r);
    frame = frame_complete(r->received, frame, &len, offload);
    count_frame(r, as);
    if (as == RX_ROK)
        as = 0;
    if (uses_descriptors(r)) {
        uint32_t status = (as & RX_BAR ? CP_RX_BAR : 0) | (as & RX_PAM ? CP_RX_PAM : 0) | (as & RX_MAR ? CP_RX_MAR : 0);
        uint32_t tag = 0;
        if (cpcr & CPCR_CHKSUM)
            status |= cp_checksums(frame, len, offload->flags & (NETDEV_DATA_VALID | NETDEV_NEEDS_CSUM));
        if (strips) {
            uint16_t tci = be16(frame + ETHER_HEADER);
            memmove(r->received, frame, ETHER_TAG_AT); /* it may be there already */
            memmove(r->received + ETHER_TAG_AT, frame + ETHER_TAG_AT + ETHER_TAG, len - ETHER_TAG_AT - ETHER_TAG);
            frame = r->received;
            len -= ETHER_TAG;
            tag = CP_TAVA | __builtin_bswap16(tci); /* as on the wire */
        }
        cp_receive(r, frame, len, status, tag);
    } else {
        ring_receive(r, frame, len, as);
    }
    rtl_cause(r, INT_ROK);
    return true;
}

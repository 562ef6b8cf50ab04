/* Joins TCP segments on their way to the card: see merge.h. RFC 791, 8200, 9293; virtio 1.0, 5.1.6.4.
 *
 * Segments of one connection with ACK and PSH only, the same acknowledgement, window and options, data that go on where
 * the last ended, and each but the last of the same length. The checksum is left to the card's driver as the pseudo
 * header's (NETDEV_NEEDS_CSUM).
 */
#include "merge.h"

#include <string.h>

#include "offload.h"

#define ETHERNET   14u
#define MERGED_MAX 65000u

#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_ACK 0x10u

struct segment {
    bool ipv6;
    unsigned tcp, payload;  /* offsets in the frame */
    uint32_t sequence, end; /* of the data: end is behind them */
    size_t len;             /* of the frame */
};

struct merge {
    struct netproc *process;
    bool holds;
    struct segment first; /* end and len grow */
    unsigned size, count; /* data of a segment, segments */
    bool is_last;         /* nothing may follow: a short segment, or one with PSH */
    uint8_t frame[NETDEV_FRAME_MAX];
};

struct merge *merge_new(struct netproc *process)
{
    struct merge *merge = g_new0(struct merge, 1);
    merge->process = process;
    return merge;
}

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
    return get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* A segment with data that could be one of several. */
static bool segment_parse(const uint8_t *frame, size_t len, uint8_t takes, struct segment *segment)
{
    unsigned type, ip = ETHERNET, total;
    if (len < ETHERNET + 40)
        return false;
    type = get16(frame + 12);
    segment->ipv6 = type == 0x86dd;
    if (type == 0x0800 && (takes & NETDEV_TAKES_TSO4)) {
        /* No options, no fragment, TCP. */
        if (frame[ip] != 0x45 || (get16(frame + ip + 6) & 0x3fff) || frame[ip + 9] != 6)
            return false;
        total = ip + get16(frame + ip + 2);
        segment->tcp = ip + 20;
    } else if (segment->ipv6 && (takes & NETDEV_TAKES_TSO6)) {
        if (len < ETHERNET + 60 || frame[ip + 6] != 6)
            return false;
        total = ip + 40 + get16(frame + ip + 4);
        segment->tcp = ip + 40;
    } else {
        return false;
    }
    segment->payload = segment->tcp + (frame[segment->tcp + 12] >> 4) * 4u;
    uint8_t flags = frame[segment->tcp + 13];
    if (total > len || segment->payload < segment->tcp + 20 || segment->payload >= total ||
        (flags & ~TCP_PSH) != TCP_ACK)
        return false;
    segment->len = total;
    segment->sequence = get32(frame + segment->tcp + 4);
    segment->end = segment->sequence + total - segment->payload;
    return true;
}

/* The headers are the same but for lengths, identification, sequence number, PSH and checksums. */
static bool headers_match(const struct merge *merge, const uint8_t *frame, const struct segment *segment)
{
    const uint8_t *held = merge->frame;
    unsigned ip = ETHERNET, tcp = segment->tcp, options = segment->payload - tcp - 20;
    if (segment->ipv6 != merge->first.ipv6 || segment->payload != merge->first.payload)
        return false;
    if (memcmp(held, frame, ETHERNET) != 0)
        return false;
    if (segment->ipv6 ? memcmp(held + ip, frame + ip, 4) != 0 || memcmp(held + ip + 6, frame + ip + 6, 34) != 0
                      : held[ip + 1] != frame[ip + 1] || memcmp(held + ip + 8, frame + ip + 8, 2) != 0 ||
                            memcmp(held + ip + 12, frame + ip + 12, 8) != 0)
        return false;
    return memcmp(held + tcp, frame + tcp, 4) == 0 && memcmp(held + tcp + 8, frame + tcp + 8, 5) == 0 &&
           memcmp(held + tcp + 14, frame + tcp + 14, 2) == 0 && memcmp(held + tcp + 20, frame + tcp + 20, options) == 0;
}

void merge_flush(struct merge *merge)
{
    struct netdev_offload offload = {0};
    uint8_t *frame = merge->frame;
    const struct segment *first = &merge->first;
    if (!merge->holds)
        return;
    merge->holds = false;
    if (merge->count > 1) {
        unsigned ip = ETHERNET, tcp_len = (unsigned)first->len - first->tcp;
        uint16_t sum;
        uint8_t pseudo[4] = {0, 6, (uint8_t)(tcp_len >> 8), (uint8_t)tcp_len};
        if (first->ipv6) {
            put16(frame + ip + 4, tcp_len);
            sum = checksum_fold(checksum_add(checksum_add(0, frame + ip + 8, 32), pseudo, 4));
        } else {
            put16(frame + ip + 2, (uint32_t)first->len - ip);
            memset(frame + ip + 10, 0, 2);
            sum = checksum_fold(checksum_add(0, frame + ip, 20));
            memcpy(frame + ip + 10, &sum, 2);
            sum = checksum_fold(checksum_add(checksum_add(0, frame + ip + 12, 8), pseudo, 4));
        }
        sum = (uint16_t)~sum;
        memcpy(frame + first->tcp + 16, &sum, 2);
        offload = (struct netdev_offload){.flags = NETDEV_NEEDS_CSUM,
                                          .gso_type = first->ipv6 ? NETDEV_GSO_TCPV6 : NETDEV_GSO_TCPV4,
                                          .hdr_len = (uint16_t)first->payload,
                                          .gso_size = (uint16_t)merge->size,
                                          .csum_start = (uint16_t)first->tcp,
                                          .csum_offset = 16};
    } else {
        offload.flags = NETDEV_DATA_VALID; /* libslirp has just made it */
    }
    netproc_deliver(merge->process, &(struct iovec){frame, first->len}, 1, &offload);
}

void merge_put(struct merge *merge, const uint8_t *frame, size_t len, uint8_t takes)
{
    struct segment segment;
    const struct netdev_offload valid = {.flags = NETDEV_DATA_VALID};
    if (!segment_parse(frame, len, takes, &segment)) {
        merge_flush(merge);
        netproc_deliver(merge->process, &(struct iovec){(void *)frame, len}, 1, &valid);
        return;
    }
    unsigned size = (unsigned)segment.len - segment.payload;
    bool ends = frame[segment.tcp + 13] & TCP_PSH;
    if (merge->holds && !merge->is_last && segment.sequence == merge->first.end && size <= merge->size &&
        merge->first.len + size <= MERGED_MAX && headers_match(merge, frame, &segment)) {
        memcpy(merge->frame + merge->first.len, frame + segment.payload, size);
        merge->first.len += size;
        merge->first.end = segment.end;
        merge->count++;
        merge->frame[segment.tcp + 13] |= frame[segment.tcp + 13];
        merge->is_last = ends || size < merge->size;
        return;
    }
    merge_flush(merge);
    memcpy(merge->frame, frame, segment.len);
    merge->holds = true;
    merge->first = segment;
    merge->size = size;
    merge->count = 1;
    merge->is_last = ends;
}

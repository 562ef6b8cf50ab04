/* Checks over the bytes of Ethernet frames (RFC 1071; crc.c has the other), and segmentation. */
#include "frame.h"

#include <string.h>

unsigned ether_hash_be(const uint8_t mac[6])
{
    uint32_t crc = ~ether_crc_le(mac, 6);
    unsigned hash = 0;
    for (unsigned bit = 0; bit < 6; bit++)
        hash = hash << 1 | (crc >> bit & 1);
    return hash;
}

bool ether_is_broadcast(const uint8_t mac[6])
{
    return memcmp(mac, "\xff\xff\xff\xff\xff\xff", 6) == 0;
}

/* --- Internet checksum --- */

uint16_t inet_sum(const uint8_t *bytes, size_t len)
{
    uint64_t sum = 0, carry = 0;
    for (; len >= 8; bytes += 8, len -= 8) {
        uint32_t word[2];
        memcpy(word, bytes, 8);
        sum += word[0];
        carry += word[1];
    }
    sum += carry;
    for (; len >= 2; bytes += 2, len -= 2) {
        uint16_t word;
        memcpy(&word, bytes, 2);
        sum += word;
    }
    if (len)
        sum += *bytes; /* little endian: the lower byte of the word in memory */
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return __builtin_bswap16((uint16_t)sum); /* the sum does not mind in which order its bytes are (RFC 1071, 2) */
}

/* --- What is in a frame --- */

static bool parse_ipv4(const uint8_t *frame, size_t len, struct frame_parts *parts)
{
    const uint8_t *ip = frame + parts->l3;
    uint32_t room = (uint32_t)len - parts->l3;
    if (room < IPV4_HEADER || ip[0] >> 4 != 4)
        return false;
    uint32_t header = (ip[0] & 15u) * 4, total = be16(ip + 2);
    if (header < IPV4_HEADER || total < header || total > room)
        return false;
    parts->version = 4;
    parts->protocol = ip[9];
    parts->is_fragment = be16(ip + 6) & 0x3fff; /* more fragments, or an offset */
    parts->l4 = parts->l3 + header;
    parts->end = parts->l3 + total;
    return true;
}

static bool parse_ipv6(const uint8_t *frame, size_t len, struct frame_parts *parts)
{
    const uint8_t *ip = frame + parts->l3;
    uint32_t room = (uint32_t)len - parts->l3;
    if (room < 40 || ip[0] >> 4 != 6 || be16(ip + 4) > room - 40)
        return false;
    parts->version = 6;
    parts->protocol = ip[6]; /* with extension headers: not TCP's, not UDP's */
    parts->is_fragment = false;
    parts->l4 = parts->l3 + 40;
    parts->end = parts->l4 + be16(ip + 4);
    return true;
}

bool frame_parse(const uint8_t *frame, size_t len, struct frame_parts *parts)
{
    parts->l3 = ETHER_HEADER;
    if (len >= ETHER_HEADER + ETHER_TAG && be16(frame + ETHER_TAG_AT) == ETHER_TAGGED)
        parts->l3 += ETHER_TAG;
    if (len < parts->l3)
        return false;
    uint16_t type = be16(frame + parts->l3 - 2);
    return (type == ETHER_IPV4 && parse_ipv4(frame, len, parts)) ||
           (type == ETHER_IPV6 && parse_ipv6(frame, len, parts));
}

uint16_t frame_pseudo(const uint8_t *frame, const struct frame_parts *parts)
{
    const uint8_t *ip = frame + parts->l3;
    return inet_add(parts->version == 4 ? inet_sum(ip + 12, 8) : inet_sum(ip + 8, 32), parts->protocol);
}

enum frame_check frame_check_ip(const uint8_t *frame, const struct frame_parts *parts)
{
    if (parts->version != 4)
        return CHECK_NONE;
    return inet_sum(frame + parts->l3, parts->l4 - parts->l3) == 0xffff ? CHECK_GOOD : CHECK_BAD;
}

static bool l4_has_checksum(const struct frame_parts *parts)
{
    uint32_t room = parts->end - parts->l4;
    return !parts->is_fragment &&
           ((parts->protocol == IP_TCP && room >= TCP_HEADER) || (parts->protocol == IP_UDP && room >= 8));
}

enum frame_check frame_check_l4(const uint8_t *frame, const struct frame_parts *parts)
{
    const uint8_t *l4 = frame + parts->l4;
    uint32_t len = parts->end - parts->l4;
    if (!l4_has_checksum(parts) || (parts->protocol == IP_UDP && be16(l4 + UDP_CSUM) == 0))
        return CHECK_NONE;
    uint16_t sum = inet_add(inet_add(frame_pseudo(frame, parts), len), inet_sum(l4, len));
    return sum == 0xffff ? CHECK_GOOD : CHECK_BAD;
}

void frame_put_ip_csum(uint8_t *frame, const struct frame_parts *parts)
{
    uint8_t *ip = frame + parts->l3;
    if (parts->version != 4)
        return;
    be16_put(ip + IPV4_CSUM, 0);
    be16_put(ip + IPV4_CSUM, (uint16_t)~inet_sum(ip, parts->l4 - parts->l3));
}

void frame_put_l4_csum(uint8_t *frame, const struct frame_parts *parts)
{
    uint8_t *l4 = frame + parts->l4;
    uint32_t len = parts->end - parts->l4;
    if (!l4_has_checksum(parts))
        return;
    uint8_t *csum = l4 + (parts->protocol == IP_TCP ? TCP_CSUM : UDP_CSUM);
    be16_put(csum, 0);
    uint16_t value = (uint16_t)~inet_add(inet_add(frame_pseudo(frame, parts), len), inet_sum(l4, len));
    be16_put(csum, value == 0 && parts->protocol == IP_UDP ? 0xffffu : value); /* RFC 768: zero means none */
}

const uint8_t *frame_complete(uint8_t *room, const uint8_t *frame, size_t *len, const struct netdev_offload *offload)
{
    bool needs_csum = (offload->flags & NETDEV_NEEDS_CSUM) && offload->csum_start < *len &&
                      offload->csum_start + offload->csum_offset + 2u <= *len;
    if (*len >= ETHER_MIN && !needs_csum)
        return frame;
    memcpy(room, frame, *len);
    if (needs_csum) {
        uint8_t *start = room + offload->csum_start;
        uint16_t sum = (uint16_t)~inet_sum(start, *len - offload->csum_start);
        be16_put(start + offload->csum_offset, sum ? sum : 0xffff); /* zero would be UDP's "none"; TCP takes both */
    }
    if (*len < ETHER_MIN) {
        memset(room + *len, 0, ETHER_MIN - *len);
        *len = ETHER_MIN;
    }
    return room;
}

/* --- Segmentation --- */

#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_CWR 0x80u

bool frame_split_is_possible(const struct frame_split *split, size_t len)
{
    return split->mss && split->l3 >= ETHER_HEADER && split->l4 >= split->l3 + (split->is_ipv4 ? IPV4_HEADER : 40u) &&
           split->header_len >= split->l4 + (split->is_tcp ? TCP_HEADER : 8u) && len > split->header_len;
}

size_t frame_segment(const struct frame_split *split, const uint8_t *frame, size_t len, size_t offset, uint8_t *to)
{
    size_t left = len - split->header_len - offset, piece = left < split->mss ? left : split->mss;
    uint8_t *ip = to + split->l3, *l4 = to + split->l4;
    memcpy(to, frame, split->header_len);
    memcpy(to + split->header_len, frame + split->header_len + offset, piece);
    size_t total = split->header_len + piece;
    if (split->is_ipv4) {
        be16_put(ip + 2, (uint32_t)(total - split->l3));
        be16_put(ip + 4, be16(ip + 4) + (uint32_t)(offset / split->mss));
    } else {
        be16_put(ip + 4, (uint32_t)(total - split->l3 - 40));
    }
    if (split->is_tcp) {
        uint32_t seq = ((uint32_t)be16(l4 + 4) << 16 | be16(l4 + 6)) + (uint32_t)offset;
        be16_put(l4 + 4, seq >> 16);
        be16_put(l4 + 6, seq);
        if (piece < left)
            l4[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        if (offset)
            l4[13] &= (uint8_t)~TCP_CWR; /* the first says it (RFC 3168, 6.1.2) */
    } else {
        be16_put(l4 + 4, (uint32_t)(total - split->l4));
    }
    return total;
}

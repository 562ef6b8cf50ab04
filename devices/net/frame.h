/* What network cards do with a frame besides moving it: checks over its bytes, and cutting long ones into segments. */
#pragma once

#include "types.h"

#define ETHER_HEADER            14u
#define ETHER_MIN               60u /* without the frame check sequence */
#define ETHER_FCS               4u
#define ETHER_TAG               4u /* of IEEE 802.1Q, behind the addresses */
#define ETHER_TAG_AT            12u
#define IP_TCP                  6u
#define IP_UDP                  17u
#define TCP_CSUM                16u /* offset of the checksum in its header */
#define UDP_CSUM                6u
#define IPV4_CSUM               10u
#define IPV4_HEADER             20u /* without options */
#define TCP_HEADER              20u
#define ETHER_IPV4              0x0800u
#define ETHER_IPV6              0x86ddu
#define ETHER_TAGGED            0x8100u
#define ETHER_IS_MULTICAST(mac) ((mac)[0] & 1)

/* The frame check sequence of IEEE 802.3, 3.2.9: the four bytes behind the frame on the wire, little endian. */
uint32_t ether_crc_le(const uint8_t *bytes, size_t len);
/* Which of 64 multicast filter bits an address has in cards that take the top six bits of the CRC register, computed
 * most significant bit first and not inverted (DP8390, RTL8139). */
unsigned ether_hash_be(const uint8_t mac[6]);
bool ether_is_broadcast(const uint8_t mac[6]);

static inline uint16_t be16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline void be16_put(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

/* --- Internet checksum, RFC 1071 --- */

/* The one's complement sum of big-endian words, not inverted; a last odd byte counts as the upper one. */
uint16_t inet_sum(const uint8_t *bytes, size_t len);

static inline uint16_t inet_add(uint32_t a, uint32_t b)
{
    uint32_t sum = (a & 0xffff) + (a >> 16) + (b & 0xffff) + (b >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* --- What is in a frame --- */

struct frame_parts {
    uint8_t version;  /* 4 or 6 */
    uint8_t protocol; /* IP_TCP, IP_UDP, others */
    bool is_fragment;
    uint32_t l3, l4, end; /* offsets of the IP header, of what is behind it, and of the end of the datagram */
};

/* False: no IP datagram, or one that does not fit its frame. Looks behind one 802.1Q tag. */
bool frame_parse(const uint8_t *frame, size_t len, struct frame_parts *parts);
/* The sum of the pseudo header (RFC 793, RFC 8200 8.1) without the length. */
uint16_t frame_pseudo(const uint8_t *frame, const struct frame_parts *parts);

enum frame_check { CHECK_NONE, CHECK_GOOD, CHECK_BAD };
enum frame_check frame_check_ip(const uint8_t *frame, const struct frame_parts *parts);
/* CHECK_NONE: neither TCP nor UDP, a fragment, or UDP without a checksum. */
enum frame_check frame_check_l4(const uint8_t *frame, const struct frame_parts *parts);
/* Puts right checksums in. */
void frame_put_ip_csum(uint8_t *frame, const struct frame_parts *parts);
void frame_put_l4_csum(uint8_t *frame, const struct frame_parts *parts);

/* --- Segmentation --- */

struct frame_split {
    uint32_t header_len, mss; /* the header, all layers, begins each segment; at most so much of the rest follows */
    uint32_t l3, l4;
    bool is_ipv4, is_tcp; /* else IPv6, UDP */
};

/* The header has room for all that frame_segment() changes in it, and there is something behind it. */
bool frame_split_is_possible(const struct frame_split *split, size_t len);
/* The segment with the payload from offset on, and its length: IP's length and identification, TCP's sequence number
 * and flags, and UDP's length are as they should be, checksums are not. to has room for header_len + mss. */
size_t frame_segment(const struct frame_split *split, const uint8_t *frame, size_t len, size_t offset, uint8_t *to);

/* What network cards do with a frame besides moving it: checks over its bytes. */
#pragma once

#include "types.h"

/* The frame check sequence of IEEE 802.3, 3.2.9: the four bytes behind the frame on the wire, little endian. */
uint32_t ether_crc_le(const uint8_t *bytes, size_t len);
/* Which of 64 multicast filter bits an address has in cards that take the top six bits of the CRC register, computed
 * most significant bit first and not inverted (DP8390, RTL8139). */
unsigned ether_hash_be(const uint8_t mac[6]);

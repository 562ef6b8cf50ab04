/* Checks over the bytes of Ethernet frames. IEEE 802.3, 3.2.9. */
#include "frame.h"

#include <string.h>

#define CRC_POLYNOMIAL 0xedb88320u /* the bits of 802.3's, reversed: the wire has the least significant one first */

/* table[n][b]: what byte b does to the register when n more zero bytes follow it, so that eight bytes are one step. */
static uint32_t crc_table[8][256];

static void crc_table_init(void)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? CRC_POLYNOMIAL : 0);
        crc_table[0][byte] = crc;
    }
    for (unsigned n = 1; n < 8; n++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            uint32_t crc = crc_table[n - 1][byte];
            crc_table[n][byte] = crc >> 8 ^ crc_table[0][crc & 0xff];
        }
    }
}

uint32_t ether_crc_le(const uint8_t *bytes, size_t len)
{
    uint32_t crc = ~0u;
    if (!crc_table[0][1])
        crc_table_init(); /* under the machine lock, as all that cards do */
    for (; len >= 8; bytes += 8, len -= 8) {
        uint32_t low, high;
        memcpy(&low, bytes, 4);
        memcpy(&high, bytes + 4, 4);
        low ^= crc;
        crc = crc_table[7][low & 0xff] ^ crc_table[6][low >> 8 & 0xff] ^ crc_table[5][low >> 16 & 0xff] ^
              crc_table[4][low >> 24] ^ crc_table[3][high & 0xff] ^ crc_table[2][high >> 8 & 0xff] ^
              crc_table[1][high >> 16 & 0xff] ^ crc_table[0][high >> 24];
    }
    for (; len > 0; bytes++, len--)
        crc = crc >> 8 ^ crc_table[0][(crc ^ *bytes) & 0xff];
    return ~crc;
}

unsigned ether_hash_be(const uint8_t mac[6])
{
    uint32_t crc = ~ether_crc_le(mac, 6);
    unsigned hash = 0;
    for (unsigned bit = 0; bit < 6; bit++)
        hash = hash << 1 | (crc >> bit & 1);
    return hash;
}

/* Checksums that a card has left out: see offload.h. */
#include "offload.h"

#include <string.h>

uint32_t checksum_add(uint32_t sum, const uint8_t *bytes, size_t len)
{
    uint64_t wide = sum, word;
    for (; len >= 8; bytes += 8, len -= 8) {
        memcpy(&word, bytes, 8);
        wide += word;
        wide += wide < word; /* the carry comes around */
    }
    word = 0;
    memcpy(&word, bytes, len);
    wide += word;
    wide += wide < word;
    wide = (wide & 0xffffffffu) + (wide >> 32);
    wide = (wide & 0xffffffffu) + (wide >> 32);
    wide = (wide & 0xffff) + (wide >> 16);
    return (uint32_t)((wide & 0xffff) + (wide >> 16));
}

uint16_t checksum_fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

bool offload_finish(uint8_t *frame, size_t len, const struct netdev_offload *offload)
{
    if (!(offload->flags & NETDEV_NEEDS_CSUM))
        return true;
    size_t start = offload->csum_start, at = start + offload->csum_offset;
    if (start < 14 || at + 2 > len)
        return false;
    uint16_t sum = checksum_fold(checksum_add(0, frame + start, len - start));
    /* UDP knows 0 as "none"; TCP does not mind. */
    if (sum == 0)
        sum = 0xffff;
    memcpy(frame + at, &sum, 2);
    return true;
}

/* Frames in pieces. What lies in plain RAM is not copied: a batch of transmitted frames costs little each. */
#include "gather.h"

#include <string.h>

void gather_begin(struct gather *gather)
{
    gather->first = gather->count = 1;
    gather->len = gather->copied = 0;
    gather->is_too_long = false;
}

void gather_bytes(struct gather *gather, const uint8_t *bytes, uint32_t len)
{
    if (!len)
        return;
    if (len > NETDEV_FRAME_MAX - gather->len) {
        gather->is_too_long = true;
        return;
    }
    if (gather->count == 1 + GATHER_PIECES)
        gather_pull(gather, gather->len);
    gather->piece[gather->count++] = (struct iovec){(uint8_t *)bytes, len};
    gather->len += len;
}

static void gather_copy(struct gather *gather, const struct pci_device *dev, uint64_t address, uint32_t len)
{
    if (len > NETDEV_FRAME_MAX - gather->len) {
        gather->is_too_long = true;
        return;
    }
    /* There is room: what was copied is part of what there is. */
    uint8_t *to = gather->copy + gather->copied;
    pci_dma_read(dev, address, to, len);
    gather->copied += len;
    gather_bytes(gather, to, len);
}

void gather_dma(struct gather *gather, const struct pci_device *dev, uint64_t address, uint32_t len)
{
    const uint8_t *at = pci_dma_ptr(dev, address, len);
    if (at)
        gather_bytes(gather, at, len);
    else if (len)
        gather_copy(gather, dev, address, len);
}

uint8_t *gather_pull(struct gather *gather, uint32_t len)
{
    uint32_t have = gather->first == 0 ? (uint32_t)gather->piece[0].iov_len : 0;
    unsigned next = 1;
    if (len > gather->len)
        len = gather->len;
    while (have < len) {
        struct iovec *piece = &gather->piece[next];
        uint32_t take = len - have < piece->iov_len ? len - have : (uint32_t)piece->iov_len;
        memcpy(gather->head + have, piece->iov_base, take);
        have += take;
        piece->iov_base = (uint8_t *)piece->iov_base + take;
        piece->iov_len -= take;
        next += piece->iov_len == 0;
    }
    memmove(&gather->piece[1], &gather->piece[next], (gather->count - next) * sizeof(gather->piece[0]));
    gather->count -= next - 1;
    gather->first = 0;
    gather->piece[0] = (struct iovec){gather->head, have};
    return gather->head;
}

void gather_tag(struct gather *gather, uint16_t type, uint16_t tci)
{
    gather_pull(gather, ETHER_TAG_AT);
    memmove(gather->room, gather->head, ETHER_TAG_AT);
    uint8_t *tag = gather->head + ETHER_TAG_AT - ETHER_TAG;
    be16_put(tag, type);
    be16_put(tag + 2, tci);
    gather->piece[0].iov_base = gather->room;
    gather->piece[0].iov_len += ETHER_TAG;
    gather->len += ETHER_TAG;
}

void gather_pad(struct gather *gather, uint32_t len)
{
    if (gather->len >= len)
        return;
    gather_pull(gather, gather->len);
    memset(gather->head + gather->len, 0, len - gather->len);
    gather->piece[0].iov_len = len;
    gather->len = len;
}

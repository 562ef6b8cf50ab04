/* A frame on its way out of a card: pieces of the guest's RAM where they lie, with a beginning that may be changed. */
#pragma once

#include "devices/pci.h"
#include "frame.h"
#include "netdev.h"

#define GATHER_PIECES 128u

struct gather {
    struct iovec piece[1 + GATHER_PIECES];           /* the first is for what is in head */
    unsigned first, count;                           /* piece[first] to piece[count - 1] */
    uint32_t len, copied;                            /* bytes in all, and bytes of copy used */
    bool is_too_long;                                /* something did not fit */
    uint8_t room[ETHER_TAG], head[NETDEV_FRAME_MAX]; /* head, and in front of it a place for a tag */
    uint8_t copy[NETDEV_FRAME_MAX];                  /* what does not lie in plain RAM */
};

void gather_begin(struct gather *gather);
/* Adds what the device reads there. */
void gather_dma(struct gather *gather, const struct pci_device *dev, uint64_t address, uint32_t len);
/* Adds bytes that stay where they are. */
void gather_bytes(struct gather *gather, const uint8_t *bytes, uint32_t len);
/* The first len bytes, in one piece, to be changed. */
uint8_t *gather_pull(struct gather *gather, uint32_t len);
/* Puts a tag of IEEE 802.1Q behind the addresses; the frame has at least these. Nothing is to be pulled afterwards. */
void gather_tag(struct gather *gather, uint16_t type, uint16_t tci);
/* Zeros up to len bytes in all, and all of it in one piece. */
void gather_pad(struct gather *gather, uint32_t len);

static inline const struct iovec *gather_pieces(const struct gather *gather)
{
    return &gather->piece[gather->first];
}

static inline unsigned gather_count(const struct gather *gather)
{
    return gather->count - gather->first;
}

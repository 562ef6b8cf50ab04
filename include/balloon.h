/* A balloon, as those who steer the machine see it: how much memory the guest is asked to do with, and has. Sizes are
 * in bytes. Machine lock held. */
#pragma once

#include "types.h"

enum balloon_stat {
    BALLOON_SWAP_IN,
    BALLOON_SWAP_OUT,
    BALLOON_MAJOR_FAULTS,
    BALLOON_MINOR_FAULTS,
    BALLOON_FREE_MEMORY,
    BALLOON_TOTAL_MEMORY,
    BALLOON_AVAILABLE_MEMORY,
    BALLOON_DISK_CACHES,
    BALLOON_HTLB_PGALLOC,
    BALLOON_HTLB_PGFAIL,
    BALLOON_STATS,
};

struct balloon {
    const char *id; /* of its device */
    void (*set_target)(void *opaque, uint64_t bytes);
    uint64_t (*actual)(void *opaque);
    /* What the guest said last, and when (seconds since the epoch, 0: never). What it did not say is all ones. */
    int64_t (*stats)(void *opaque, uint64_t stat[BALLOON_STATS]);
    /* Seconds between questions; 0: none are asked. */
    void (*set_polling)(void *opaque, uint32_t seconds);
    uint32_t (*polling)(void *opaque);
    void *opaque;
};

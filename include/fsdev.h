/* A folder of the host, as a device that a guest mounts it by sees it: messages of 9P2000.L go, their answers come.
 *
 * A message is written where the back end says, and its answer read there: both are in slots, of which there is a fixed
 * number. All calls in both directions are made with the machine lock held. Answers come in any order; what one says is
 * not believed further than its length.
 */
#pragma once

#include "types.h"

#define FSDEV_SLOTS       64u
#define FSDEV_MESSAGE_MAX (512u * KiB) /* bytes of a message, and of an answer */
#define FSDEV_STATE_MAX   (512u * KiB)

struct fsdev;

struct fsdev_front {
    /* On the device thread: there is an answer to take. */
    void (*answered)(void *opaque);
};

struct fsdev_answer {
    unsigned slot;
    const uint8_t *bytes; /* until release() */
    uint32_t len;         /* at most what there was room for; 0: none that fits */
};

struct fsdev_ops {
    /* A free slot: where to write a message of up to FSDEV_MESSAGE_MAX bytes. NULL: all are in use. */
    uint8_t *(*begin)(struct fsdev *fsdev, unsigned *slot);
    /* The message in the slot goes, len bytes; its answer may have room bytes. It can be read again where it was
     * written until release(). */
    void (*send)(struct fsdev *fsdev, unsigned slot, uint32_t len, uint32_t room);
    /* False: no answer has come. */
    bool (*take)(struct fsdev *fsdev, struct fsdev_answer *answer);
    /* The slot is free. */
    void (*release)(struct fsdev *fsdev, unsigned slot);
    /* Waits some microseconds for an answer, where that is worth it. False: there is none, and front->answered() will
     * be called. */
    bool (*wait)(struct fsdev *fsdev);
    /* A new session: no fid is left, what is under way is not answered, and its slots free themselves. */
    void (*reset)(struct fsdev *fsdev);
    /* For a saved machine: waits until all that was sent is answered (to be taken). And the session as bytes, and back.
     * save: how many of FSDEV_STATE_MAX bytes. */
    void (*settle)(struct fsdev *fsdev);
    uint32_t (*save)(struct fsdev *fsdev, uint8_t *bytes);
    void (*load)(struct fsdev *fsdev, const uint8_t *bytes, uint32_t len);
};

/* Embedded as the first member of each back end. */
struct fsdev {
    const struct fsdev_ops *ops;
    const struct fsdev_front *front;
    void *front_opaque;
};

/* What devices want from the host, as they see it: no file descriptor, no GLib source.
 *
 * A chardev is one end of a byte stream. The front (a device; or the host's own monitors and debuggers) hands bytes
 * over and is told when there is room; the back (host side) delivers bytes only while the front says that it has room.
 * All calls in both directions are made with the machine lock held; the back calls on the device thread.
 */
#pragma once

#include "types.h"

struct chardev;

enum chardev_event {
    CHARDEV_OPENED,    /* somebody is at the other end now */
    CHARDEV_CLOSED,    /* nobody is any more; what is written now is lost */
    CHARDEV_BREAK,     /* the sender's line went to BREAK, where the back can tell */
    CHARDEV_FOCUS_IN,  /* of several fronts, this one gets what is typed now */
    CHARDEV_FOCUS_OUT, /* and no longer */
};

/* All NULL: it only writes, and never waits. */
struct chardev_front {
    /* Bytes it can take now. */
    size_t (*room)(void *opaque);
    void (*receive)(void *opaque, const uint8_t *bytes, size_t len);
    /* After a short write: the back has room again. */
    void (*writable)(void *opaque);
    /* May be NULL. */
    void (*event)(void *opaque, enum chardev_event event);
    /* It is not a part of the machine: it hears also while the machine stands. */
    bool is_control;
    /* It waits for a slow reader at the other end, however long: nothing is to be dropped for its sake. */
    bool can_wait;
};

struct chardev_ops {
    /* Takes up to len bytes, returns how many. Never blocks. */
    size_t (*write)(struct chardev *chardev, const uint8_t *bytes, size_t len);
    /* The front has room again after room() was 0. */
    void (*room_changed)(struct chardev *chardev);
    /* Takes all of it: waits for its reader, if it must, with the machine lock let go. For a front that cannot wait: a
     * port without a handshake. NULL: write() takes everything. */
    void (*write_all)(struct chardev *chardev, const uint8_t *bytes, size_t len);
    /* A front comes or goes. False: it is taken. NULL: there is one, and it is set below. */
    bool (*attach)(struct chardev *chardev, const struct chardev_front *front, void *opaque);
    void (*detach)(struct chardev *chardev, void *opaque);
    /* A device drives its DTR and RTS lines. NULL: nobody looks at them. */
    void (*set_lines)(struct chardev *chardev, bool dtr, bool rts);
    /* The front goes, and this is still to be read: takes all of it and waits for nobody. NULL: it is lost. */
    void (*write_last)(struct chardev *chardev, const uint8_t *bytes, size_t len);
};

/* Embedded as the first member of each back. */
struct chardev {
    const struct chardev_ops *ops;
    const struct chardev_front *front;
    void *front_opaque;
    bool is_shared; /* takes several fronts */
};

static inline void chardev_write_all(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    if (chardev->ops->write_all)
        chardev->ops->write_all(chardev, bytes, len);
    else
        chardev->ops->write(chardev, bytes, len);
}

/* False: somebody else has it. */
static inline bool chardev_attach(struct chardev *chardev, const struct chardev_front *front, void *opaque)
{
    if (chardev->ops->attach)
        return chardev->ops->attach(chardev, front, opaque);
    if (chardev->front)
        return false;
    chardev->front = front;
    chardev->front_opaque = opaque;
    return true;
}

static inline void chardev_detach(struct chardev *chardev, void *opaque)
{
    if (chardev->ops->detach) {
        chardev->ops->detach(chardev, opaque);
    } else if (chardev->front_opaque == opaque) {
        chardev->front = NULL;
        chardev->front_opaque = NULL;
    }
}

/* What devices want from the host, as they see it: no file descriptor, no GLib source.
 *
 * A chardev is one end of a byte stream. The device (front) hands bytes over and is told when there is
 * room; the host side (back) delivers bytes only while the front says that it has room. All calls in both
 * directions are made with the machine lock held.
 */
#pragma once

#include "types.h"

struct chardev;

struct chardev_front {
    /* Bytes the device can take now. */
    size_t (*room)(void *opaque);
    void (*receive)(void *opaque, const uint8_t *bytes, size_t len);
    /* After a short write: the back has room again. */
    void (*writable)(void *opaque);
    /* The sender's line went to BREAK, where the back can tell; may be NULL. */
    void (*received_break)(void *opaque);
};

struct chardev_ops {
    /* Takes up to len bytes, returns how many. Never blocks. */
    size_t (*write)(struct chardev *chardev, const uint8_t *bytes, size_t len);
    /* The front has room again after room() was 0. */
    void (*room_changed)(struct chardev *chardev);
    /* Takes all of it: waits for its reader, if it must, with the machine lock let go. For a front that cannot wait: a
     * port without a handshake. NULL: write() takes everything. */
    void (*write_all)(struct chardev *chardev, const uint8_t *bytes, size_t len);
};

/* Embedded as the first member of each back. */
struct chardev {
    const struct chardev_ops *ops;
    const struct chardev_front *front;
    void *front_opaque;
};

static inline void chardev_write_all(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    if (chardev->ops->write_all)
        chardev->ops->write_all(chardev, bytes, len);
    else
        chardev->ops->write(chardev, bytes, len);
}

static inline void chardev_attach(struct chardev *chardev, const struct chardev_front *front, void *opaque)
{
    chardev->front = front;
    chardev->front_opaque = opaque;
}

/* A chardev whose other end is the test: what was written lies in out, of which it takes no more than capacity; what
 * is fed waits in until the front has room.
 */
#pragma once

#include <glib.h>
#include <string.h>

#include "backend.h"
#include "lock.h"

struct fake_chardev {
    struct chardev base; /* first */
    GByteArray *out, *in;
    size_t capacity;
};

static size_t fake_write(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    struct fake_chardev *fake = (struct fake_chardev *)chardev;
    g_assert_true(machine_is_locked());
    size_t taken = MIN(len, fake->capacity - MIN(fake->capacity, fake->out->len));
    g_byte_array_append(fake->out, bytes, (guint)taken);
    return taken;
}

static void fake_room_changed(struct chardev *chardev)
{
    struct fake_chardev *fake = (struct fake_chardev *)chardev;
    g_assert_true(machine_is_locked());
    while (fake->in->len && chardev->front) {
        uint8_t piece[64];
        size_t room = chardev->front->room(chardev->front_opaque);
        size_t len = MIN(MIN(room, fake->in->len), sizeof(piece));
        if (!len)
            return;
        memcpy(piece, fake->in->data, len);
        g_byte_array_remove_range(fake->in, 0, (guint)len);
        chardev->front->receive(chardev->front_opaque, piece, len);
    }
}

static const struct chardev_ops fake_ops = {.write = fake_write, .room_changed = fake_room_changed};

static inline void fake_init(struct fake_chardev *fake)
{
    *fake = (struct fake_chardev){.base.ops = &fake_ops, .capacity = G_MAXUINT};
    fake->out = g_byte_array_new();
    fake->in = g_byte_array_new();
}

static inline void fake_clear(struct fake_chardev *fake)
{
    g_byte_array_unref(fake->out);
    g_byte_array_unref(fake->in);
}

static inline void fake_feed(struct fake_chardev *fake, const void *bytes, size_t len)
{
    machine_lock();
    g_byte_array_append(fake->in, bytes, (guint)len);
    fake_room_changed(&fake->base);
    machine_unlock();
}

static inline void fake_event(struct fake_chardev *fake, enum chardev_event event)
{
    machine_lock();
    fake->base.front->event(fake->base.front_opaque, event);
    machine_unlock();
}

/* The other end reads all there is, and all that follows then. */
static inline void fake_read(struct fake_chardev *fake)
{
    g_byte_array_set_size(fake->out, 0);
    machine_lock();
    fake->base.front->writable(fake->base.front_opaque);
    machine_unlock();
}

static inline void fake_main_loop(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        continue;
}

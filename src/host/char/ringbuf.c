/* Back ends that are memory: a ring that commands read, and the text of a window that is not there. */
#include <string.h>

#include "char_internal.h"
#include "log.h"

#define RING_DEFAULT 65536u
#define RING_MAX     (64u << 20)

struct ringbuf {
    struct host_chardev dev; /* first */
    uint8_t *ring;
    size_t size; /* a power of two */
    size_t head; /* all that was ever put in; the newest is before it */
    size_t count;
};

static size_t ring_put(struct host_chardev *dev, const uint8_t *bytes, size_t len)
{
    struct ringbuf *ringbuf = (struct ringbuf *)dev;
    for (size_t i = 0; i < len; i++)
        ringbuf->ring[ringbuf->head++ & (ringbuf->size - 1)] = bytes[i];
    ringbuf->count = MIN(ringbuf->count + len, ringbuf->size);
    return len;
}

static bool ring_make(struct host_chardev *dev, struct keyvalues *options, GError **error)
{
    struct ringbuf *ringbuf = (struct ringbuf *)dev;
    const char *size = keyvalues_get(options, "size");
    uint64_t bytes = RING_DEFAULT;
    if (size && !value_is_size(size, 0, &bytes))
        return CHARDEV_FAIL("Parameter 'size' expects a non-negative number below 2^64");
    if (!bytes || (bytes & (bytes - 1)))
        return CHARDEV_FAIL("size of ringbuf chardev must be power of two");
    if (bytes > RING_MAX)
        return CHARDEV_FAIL("size of ringbuf chardev is %u at most", RING_MAX);
    ringbuf->size = (size_t)bytes;
    ringbuf->ring = g_malloc0(ringbuf->size);
    dev->is_open = true;
    return true;
}

static void ring_free(struct host_chardev *dev)
{
    g_free(((struct ringbuf *)dev)->ring);
}

/* width, height, cols, rows are the window's, when there is one. */
static bool vc_open(struct host_chardev *dev, struct keyvalues *options, GError **error)
{
    struct ringbuf *ringbuf = (struct ringbuf *)dev;
    ringbuf->size = RING_DEFAULT;
    ringbuf->ring = g_malloc0(ringbuf->size);
    dev->is_open = true;
    log_user("%s: there is no window yet for a virtual console (vc); what it says is not seen", dev->id);
    return true;
}

const struct chardev_kind chardev_ringbuf = {
    .name = "ringbuf", .size = sizeof(struct ringbuf), .open = ring_make, .write = ring_put, .free = ring_free};
const struct chardev_kind chardev_vc = {
    .name = "vc", .size = sizeof(struct ringbuf), .open = vc_open, .write = ring_put, .free = ring_free};

static struct ringbuf *ring_find(const char *id, GError **error)
{
    struct host_chardev *dev = (struct host_chardev *)chardev_find(id);
    if (!dev)
        CHARDEV_FAIL("Device '%s' not found", id);
    else if (dev->kind != &chardev_ringbuf)
        CHARDEV_FAIL("%s is not a ringbuf device", id);
    else
        return (struct ringbuf *)dev;
    return NULL;
}

bool chardev_ringbuf_read(const char *id, size_t len, GByteArray *bytes, GError **error)
{
    bool taken = guard_enter();
    struct ringbuf *ringbuf = ring_find(id, error);
    for (size_t left = ringbuf ? MIN(len, ringbuf->count) : 0; left; left--)
        g_byte_array_append(bytes, &ringbuf->ring[(ringbuf->head - ringbuf->count--) & (ringbuf->size - 1)], 1);
    guard_leave(taken);
    return ringbuf;
}

bool chardev_ringbuf_write(const char *id, const uint8_t *bytes, size_t len, GError **error)
{
    bool taken = guard_enter();
    struct ringbuf *ringbuf = ring_find(id, error);
    if (ringbuf)
        ring_put(&ringbuf->dev, bytes, len);
    guard_leave(taken);
    return ringbuf;
}

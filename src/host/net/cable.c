/* Rings of frames in shared memory: see cable.h. memfd_create(2), eventfd(2). */
#include "cable.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/process.h"

#define RING_SIZE (1u << 20) /* a power of two, some frames of the longest kind */
#define ALIGN     16u

/* Positions grow for ever; used is their difference. Each is written by one side only. */
struct ring_shared {
    _Alignas(64) _Atomic uint32_t head; /* what the producer has put in */
    _Atomic uint32_t producer_waits;
    _Alignas(64) _Atomic uint32_t tail; /* what the consumer has taken out */
    _Atomic uint32_t consumer_sleeps;
    _Alignas(64) _Atomic uint32_t takes;
    _Alignas(PAGE_SIZE) uint8_t bytes[RING_SIZE];
};

struct header {
    uint32_t len;
    struct netdev_offload offload;
};

_Static_assert(sizeof(struct header) <= ALIGN, "a header fills one unit");

bool cable_make(int fds[CABLE_FDS], GError **error)
{
    fds[0] = process_memory("ringer-cable", 2 * sizeof(struct ring_shared));
    fds[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fds[2] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0)
        return true;
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "no shared memory: %s", g_strerror(errno));
    for (unsigned i = 0; i < CABLE_FDS; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    return false;
}

bool cable_open(struct cable *cable, const int fds[CABLE_FDS], bool is_monitor)
{
    struct ring_shared *rings = mmap(NULL, 2 * sizeof(*rings), PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    if (rings == MAP_FAILED)
        return false;
    *cable = (struct cable){.out = &rings[is_monitor ? 0 : 1],
                            .in = &rings[is_monitor ? 1 : 0],
                            .takes = &rings[0].takes,
                            .wake_us = fds[is_monitor ? 1 : 2],
                            .wake_other = fds[is_monitor ? 2 : 1]};
    return true;
}

void cable_close(struct cable *cable)
{
    if (cable->out)
        munmap(cable->out < cable->in ? cable->out : cable->in, 2 * sizeof(struct ring_shared));
    cable->out = cable->in = NULL;
}

static void wake_other(const struct cable *cable)
{
    uint64_t one = 1;
    while (write(cable->wake_other, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

size_t cable_room(struct cable *cable)
{
    uint32_t used = cable->out_head - atomic_load_explicit(&cable->out->tail, memory_order_acquire);
    if (used > RING_SIZE)
        cable->broken = true;
    return cable->broken ? 0 : RING_SIZE - used;
}

static void copy_in(struct ring_shared *ring, uint32_t at, const void *from, size_t len)
{
    at &= RING_SIZE - 1;
    size_t first = MIN(len, RING_SIZE - at);
    memcpy(&ring->bytes[at], from, first);
    memcpy(&ring->bytes[0], (const uint8_t *)from + first, len - first);
}

static void copy_out(const struct ring_shared *ring, uint32_t at, void *to, size_t len)
{
    at &= RING_SIZE - 1;
    size_t first = MIN(len, RING_SIZE - at);
    memcpy(to, &ring->bytes[at], first);
    memcpy((uint8_t *)to + first, &ring->bytes[0], len - first);
}

static uint32_t units(size_t len)
{
    return (uint32_t)(len + ALIGN - 1) & ~(ALIGN - 1);
}

bool cable_put(struct cable *cable, const struct iovec *pieces, unsigned count, const struct netdev_offload *offload)
{
    struct header header = {.offload = offload ? *offload : (struct netdev_offload){0}};
    size_t len = 0;
    for (unsigned i = 0; i < count; i++)
        len += pieces[i].iov_len;
    if (len == 0 || len > NETDEV_FRAME_MAX)
        return true; /* nothing that a wire would carry */
    header.len = (uint32_t)len;
    if (cable_room(cable) < ALIGN + units(len))
        return false;
    uint32_t at = cable->out_head;
    copy_in(cable->out, at, &header, sizeof(header));
    at += ALIGN;
    for (unsigned i = 0; i < count; i++) {
        copy_in(cable->out, at, pieces[i].iov_base, pieces[i].iov_len);
        at += (uint32_t)pieces[i].iov_len;
    }
    cable->out_head += ALIGN + units(len);
    atomic_store(&cable->out->head, cable->out_head);
    if (atomic_load(&cable->out->consumer_sleeps) && atomic_exchange(&cable->out->consumer_sleeps, 0))
        wake_other(cable);
    return true;
}

size_t cable_get(struct cable *cable, uint8_t *frame, struct netdev_offload *offload)
{
    struct ring_shared *ring = cable->in;
    struct header header;
    uint32_t used = atomic_load_explicit(&ring->head, memory_order_acquire) - cable->in_tail;
    if (used == 0 || cable->broken)
        return 0;
    copy_out(ring, cable->in_tail, &header, sizeof(header));
    if (used > RING_SIZE || header.len == 0 || header.len > NETDEV_FRAME_MAX || used < ALIGN + units(header.len)) {
        cable->broken = true;
        return 0;
    }
    copy_out(ring, cable->in_tail + ALIGN, frame, header.len);
    *offload = header.offload;
    cable->in_tail += ALIGN + units(header.len);
    atomic_store(&ring->tail, cable->in_tail);
    if (atomic_load(&ring->producer_waits) && used - ALIGN - units(header.len) <= RING_SIZE / 2 &&
        atomic_exchange(&ring->producer_waits, 0))
        wake_other(cable);
    return header.len;
}

bool cable_has_frames(struct cable *cable)
{
    if (atomic_load_explicit(&cable->in->consumer_sleeps, memory_order_relaxed))
        atomic_store(&cable->in->consumer_sleeps, 0);
    return atomic_load_explicit(&cable->in->head, memory_order_acquire) != cable->in_tail;
}

bool cable_may_sleep(struct cable *cable)
{
    atomic_store(&cable->in->consumer_sleeps, 1);
    if (atomic_load(&cable->in->head) == cable->in_tail)
        return true;
    atomic_store(&cable->in->consumer_sleeps, 0);
    return false;
}

void cable_awake(struct cable *cable)
{
    uint64_t count;
    atomic_store(&cable->in->consumer_sleeps, 0);
    if (read(cable->wake_us, &count, sizeof(count)) < 0)
        return; /* it was not that which woke us */
}

bool cable_wait_for_room(struct cable *cable)
{
    atomic_store(&cable->out->producer_waits, 1);
    if (cable_room(cable) < RING_SIZE / 2)
        return true;
    atomic_store(&cable->out->producer_waits, 0);
    return false;
}

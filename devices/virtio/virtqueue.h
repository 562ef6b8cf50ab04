/* Split virtqueues (VIRTIO 1.1, 2.6), the same for legacy and modern drivers, and the chains of buffers in them.
 *
 * All of a ring and of what its descriptors name is the guest's: nothing in it is believed. A ring that contradicts
 * itself breaks the device (virtio_break), which then does nothing until its driver resets it.
 */
#pragma once

#include <sys/uio.h>

#include "state.h"
#include "types.h"

struct virtio;

#define VIRTQUEUE_SIZE_MAX 1024u /* also how many pieces a chain has at most, indirect ones included */

/* Saved. */
struct virtqueue_regs {
    uint64_t desc, avail, used; /* guest physical; meaningless unless enabled */
    uint16_t size;              /* as the driver has set it */
    uint16_t vector;            /* MSI-X; VIRTIO_NO_VECTOR */
    uint16_t last_avail;        /* how many chains were taken */
    uint16_t used_index;        /* and how many given back */
    uint16_t signalled;         /* used_index when the driver was last interrupted */
    bool signalled_is_valid;
    bool enabled;
};
extern const struct state_layout virtqueue_layout;

struct virtqueue {
    struct virtqueue_regs regs;
    uint16_t size_max; /* a power of two; fixed */
};

struct virtio_piece {
    uint64_t address;
    uint32_t len;
};

/* A chain of buffers: first what the device reads, then what it writes. */
struct virtio_chain {
    uint16_t head; /* by which it is given back */
    uint16_t out_count, in_count;
    uint64_t out_len, in_len; /* bytes, all pieces together */
    struct virtio_piece piece[VIRTQUEUE_SIZE_MAX];
};

/* --- Taking and giving back --- */

/* A copy for g_free(), of no more than the chain's pieces. */
struct virtio_chain *virtio_chain_copy(const struct virtio_chain *chain);

/* The next chain. False: there is none, or the ring was broken just now. */
bool virtqueue_pop(struct virtio *virtio, unsigned queue, struct virtio_chain *chain);
/* The one that was taken last is back in the ring, as if it had not been taken. */
void virtqueue_unpop(struct virtio *virtio, unsigned queue);
/* The chain of head once more, for one that was taken before the state was saved. */
bool virtqueue_walk(struct virtio *virtio, unsigned queue, uint16_t head, struct virtio_chain *chain);
/* How many chains wait; breaks the device if that cannot be. */
unsigned virtqueue_waiting(struct virtio *virtio, unsigned queue);
/* Gives it back: written bytes of its device-writable part are valid. */
void virtqueue_push(struct virtio *virtio, unsigned queue, uint16_t head, uint32_t written);
/* The same in two steps, for one frame in several chains: slot 0, 1, ... are filled, and become the driver's at once.
 */
void virtqueue_fill(struct virtio *virtio, unsigned queue, unsigned slot, uint16_t head, uint32_t written);
void virtqueue_flush(struct virtio *virtio, unsigned queue, unsigned slots);
/* Interrupts the driver if it wants that for what was given back since the last time. */
void virtqueue_interrupt(struct virtio *virtio, unsigned queue);

/* The driver need not tell of new chains for now; and shall tell again: true if there are some already. */
void virtqueue_hush(struct virtio *virtio, unsigned queue);
bool virtqueue_listen(struct virtio *virtio, unsigned queue);

/* --- The bytes of a chain --- */

/* From offset of the device-readable part, and to offset of the device-writable one. How many bytes there were: fewer
 * than len where the part ends. */
uint32_t virtio_chain_read(struct virtio *virtio, const struct virtio_chain *chain, uint64_t offset, void *buffer,
                           uint32_t len);
uint32_t virtio_chain_write(struct virtio *virtio, const struct virtio_chain *chain, uint64_t offset,
                            const void *buffer, uint32_t len);
/* The device-readable part from offset on, up to len bytes, where it lies in our memory: to be read only, and now. 0:
 * it takes more than max pieces, or is not all in memory. */
unsigned virtio_chain_iov(struct virtio *virtio, const struct virtio_chain *chain, uint64_t offset, uint32_t len,
                          struct iovec *iov, unsigned max);

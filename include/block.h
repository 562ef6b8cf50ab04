/* A drive's view of its medium: asynchronous, in order, without file descriptors.
 *
 * Requests of one block are carried out one after the other, in the order in which they were made; a flush
 * ends when everything written before it is on the host's disk. All calls are made with the machine lock
 * held, and so are the completions, which come on some thread, never from within the call that asked.
 */
#pragma once

#include "types.h"

struct block;

/* error: 0 or an errno value. */
typedef void block_done_fn(void *opaque, int error);

struct block_ops {
    /* offset and len are in bytes; the request lies within the medium. buffer stays untouched by the caller
     * until done. */
    void (*read)(struct block *block, uint64_t offset, void *buffer, uint32_t len, block_done_fn *done, void *opaque);
    void (*write)(struct block *block, uint64_t offset, const void *buffer, uint32_t len, block_done_fn *done,
                  void *opaque);
    void (*flush)(struct block *block, block_done_fn *done, void *opaque);
    /* The drive is one whose medium can be changed, NULL where that is not possible: changed is called when it has
     * been, with the machine lock held. A medium of more than max_size bytes does not fit. */
    void (*set_removable)(struct block *block, void (*changed)(void *opaque), void *opaque, uint64_t max_size);
    /* The drive has a tray, NULL where nobody wants to know: move is called when the user opens or closes it, request
     * when he asks the guest to open it, because it is locked. Both with the machine lock held. */
    void (*set_tray)(struct block *block, void (*move)(void *opaque, bool open), void (*request)(void *opaque),
                     void *opaque);
    /* After a change of tray_open or tray_locked; NULL where set_tray is. */
    void (*tray_changed)(struct block *block);
    /* The range is not needed any more: what is read there afterwards may be anything that was there, or zeros. NULL:
     * the drive does without. */
    void (*discard)(struct block *block, uint64_t offset, uint32_t len, block_done_fn *done, void *opaque);
    /* The range reads as zeros afterwards; may_unmap: the host need not keep room for it. NULL as above. */
    void (*write_zeroes)(struct block *block, uint64_t offset, uint32_t len, bool may_unmap, block_done_fn *done,
                         void *opaque);
};

/* Embedded as the first member of each back. */
struct block {
    const struct block_ops *ops;
    uint64_t size; /* bytes, a multiple of 512; meaningless without a medium */
    bool has_medium, read_only;
    bool has_tray, tray_open, tray_locked; /* the drive's: it writes the last two */
};

static inline uint64_t block_sectors(const struct block *block)
{
    return block->size / 512;
}

/* A medium in memory for drive tests: requests wait until the test lets them end, and fail when it says so. */
#pragma once

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "block.h"
#include "vclock.h"

struct ram_request {
    uint64_t offset;
    uint8_t *to;
    const uint8_t *from;
    uint32_t len;
    block_done_fn *done;
    void *opaque;
    bool zero;
};

struct ram_block {
    struct block block; /* first */
    uint8_t *bytes;
    struct ram_request pending[128];
    unsigned count, reads, writes, flushes, discards, zeros;
    uint32_t largest; /* longest request so far */
    int error;        /* what requests end with */
};

static inline void ram_push(struct ram_block *ram, struct ram_request request)
{
    g_assert_cmpuint(ram->count, <, G_N_ELEMENTS(ram->pending));
    g_assert_cmpuint(request.offset + request.len, <=, ram->block.size);
    ram->largest = MAX(ram->largest, request.len);
    ram->pending[ram->count++] = request;
}

static inline void ram_read(struct block *block, uint64_t offset, void *buffer, uint32_t len, block_done_fn *done,
                            void *opaque)
{
    struct ram_block *ram = (struct ram_block *)block;
    ram->reads++;
    ram_push(ram, (struct ram_request){offset, buffer, NULL, len, done, opaque});
}

static inline void ram_write(struct block *block, uint64_t offset, const void *buffer, uint32_t len,
                             block_done_fn *done, void *opaque)
{
    struct ram_block *ram = (struct ram_block *)block;
    ram->writes++;
    ram_push(ram, (struct ram_request){offset, NULL, buffer, len, done, opaque});
}

static inline void ram_flush(struct block *block, block_done_fn *done, void *opaque)
{
    struct ram_block *ram = (struct ram_block *)block;
    ram->flushes++;
    ram_push(ram, (struct ram_request){0, NULL, NULL, 0, done, opaque});
}

static inline void ram_discard(struct block *block, uint64_t offset, uint32_t len, block_done_fn *done, void *opaque)
{
    struct ram_block *ram = (struct ram_block *)block;
    ram->discards++;
    ram_push(ram, (struct ram_request){offset, NULL, NULL, len, done, opaque});
}

static inline void ram_write_zeroes(struct block *block, uint64_t offset, uint32_t len, bool may_unmap,
                                    block_done_fn *done, void *opaque)
{
    struct ram_block *ram = (struct ram_block *)block;
    ram->zeros++;
    ram_push(ram, (struct ram_request){offset, NULL, NULL, len, done, opaque, true});
}

static const struct block_ops ram_block_ops = {ram_read, ram_write, ram_flush, .discard = ram_discard,
                                               .write_zeroes = ram_write_zeroes};

static inline void ram_block_init(struct ram_block *ram, uint64_t size)
{
    memset(ram, 0, sizeof(*ram));
    ram->block.ops = &ram_block_ops;
    ram->block.size = size;
    ram->block.has_medium = size != 0;
    ram->bytes = g_malloc0(size + 1);
    /* Each sector tells its own number, and each byte where it is. */
    for (uint64_t i = 0; i < size; i++)
        ram->bytes[i] = (uint8_t)(i / 512 * 7 + i);
    for (uint64_t i = 0; i + 4 <= size; i += 512) {
        uint32_t number = (uint32_t)(i / 512);
        memcpy(ram->bytes + i, &number, 4);
    }
}

/* Ends the oldest request. */
static inline void ram_block_complete(struct ram_block *ram)
{
    struct ram_request request = ram->pending[0];
    g_assert_cmpuint(ram->count, >, 0);
    memmove(ram->pending, ram->pending + 1, --ram->count * sizeof(ram->pending[0]));
    if (!ram->error && request.to)
        memcpy(request.to, ram->bytes + request.offset, request.len);
    if (!ram->error && request.from)
        memcpy(ram->bytes + request.offset, request.from, request.len);
    if (!ram->error && request.zero)
        memset(ram->bytes + request.offset, 0, request.len);
    request.done(request.opaque, ram->error);
}

/* virtio-blk: a disk.
 *
 * VIRTIO 1.1, 5.2. A request is taken from its ring, goes piece by piece through a buffer of ours to the medium or
 * back, and ends with a status byte. Many are under way at once, up to a budget; what was asked for before a reset
 * counts until the medium is done with it.
 */
#include <string.h>

#include "block.h"
#include "log.h"
#include "virtio_pci.h"

#define F_SEG_MAX      (1ull << 2)
#define F_GEOMETRY     (1ull << 4)
#define F_RO           (1ull << 5)
#define F_BLK_SIZE     (1ull << 6)
#define F_FLUSH        (1ull << 9)
#define F_TOPOLOGY     (1ull << 10)
#define F_CONFIG_WCE   (1ull << 11)
#define F_MQ           (1ull << 12)
#define F_DISCARD      (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)

#define T_IN           0u
#define T_OUT          1u
#define T_FLUSH        4u
#define T_GET_ID       8u
#define T_DISCARD      11u
#define T_WRITE_ZEROES 13u

#define S_OK     0
#define S_IOERR  1
#define S_UNSUPP 2

#define SECTOR     512u
#define ID_LEN     20u
#define UNMAP      1u /* flag of T_WRITE_ZEROES */
#define RANGE_MAX  0x3fffffu
#define HEADER_LEN 16u

#define REQUESTS_MAX 64u /* under way */
#define BUFFER_MAX   (1u * MiB)
#define BUFFERS_MAX  (8u * MiB)

/* struct virtio_blk_config, 5.2.4 */
struct blk_layout {
    uint64_t capacity;
    uint32_t size_max, seg_max;
    uint16_t cylinders;
    uint8_t heads, sectors;
    uint32_t blk_size;
    uint8_t physical_block_exp, alignment_offset;
    uint16_t min_io_size;
    uint32_t opt_io_size;
    uint8_t writeback, unused0;
    uint16_t num_queues;
    uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
    uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
    uint8_t write_zeroes_may_unmap, unused1[3];
};
#define CONFIG_SIZE      60u
#define CONFIG_WRITEBACK offsetof(struct blk_layout, writeback)

struct blk_config {
    struct virtio_options virtio;
    const struct device_drive *drive;
    const char *serial;
    uint16_t num_queues, queue_size;
    bool config_wce, discard, write_zeroes;
    uint32_t logical_block_size, physical_block_size;
};

/* Saved. Requests that are under way are walked anew after a load. */
struct blk_regs {
    uint16_t queue[REQUESTS_MAX], head[REQUESTS_MAX];
    uint8_t count;
    bool writeback;
};

struct blk;

struct blk_request {
    struct blk *blk;            /* NULL: the card is gone */
    bool is_orphan;             /* the device was reset since: nobody waits for it */
    bool is_done;               /* by the medium: the next step is at the next run */
    bool is_flushing;           /* a write that is not to be cached, at its second step */
    int error;                  /* errno value of the last step */
    struct virtio_chain *chain; /* of its own */
    uint16_t queue;
    uint32_t type, flags;
    uint64_t offset, len, moved; /* bytes: on the medium, all, done so far */
    uint32_t step, room;         /* bytes of this step, of buffer */
    uint8_t *buffer;
};

struct blk {
    struct virtio virtio; /* first */
    struct blk_regs regs;
    const struct blk_config *config;
    struct block *block;
    GPtrArray *requests;  /* struct blk_request, orphans too */
    uint32_t buffers;     /* bytes of their buffers */
    struct blk_regs todo; /* loaded, and still to be walked */
    uint64_t stalled;     /* queues that wait for the budget, a bit each */
    uint64_t to_interrupt;
};

static bool is_cached(const struct blk *blk)
{
    return virtio_has(&blk->virtio, F_CONFIG_WCE) ? blk->regs.writeback : virtio_has(&blk->virtio, F_FLUSH);
}

/* --- A request's end --- */

static void request_free(struct blk_request *request)
{
    struct blk *blk = request->blk;
    if (blk) {
        blk->buffers -= request->room;
        g_ptr_array_remove_fast(blk->requests, request);
        for (unsigned queue = 0; queue < blk->virtio.queue_count; queue++) {
            if (blk->stalled >> queue & 1)
                virtio_kick(&blk->virtio, queue);
        }
        blk->stalled = 0;
    }
    g_free(request->chain);
    g_free(request->buffer);
    g_free(request);
}

static void request_end(struct blk_request *request, uint8_t status)
{
    struct blk *blk = request->blk;
    struct virtio *virtio = &blk->virtio;
    uint32_t written = request->type == T_IN ? (uint32_t)MIN(request->moved, UINT32_MAX - 1) : 0;
    if (request->type == T_GET_ID && status == S_OK)
        written = request->step;
    virtio_chain_write(virtio, request->chain, request->chain->in_len - 1, &status, 1);
    virtqueue_push(virtio, request->queue, request->chain->head, written + 1);
    blk->to_interrupt |= 1ull << request->queue;
    request_free(request);
}

/* --- Steps --- */

/* On the drive's thread: what comes next reaches memory, and is for the next run. */
static void medium_done(void *opaque, int error)
{
    struct blk_request *request = opaque;
    request->error = error;
    request->is_done = true;
    if (request->is_orphan || !request->blk)
        request_free(request);
    else
        virtio_kick(&request->blk->virtio, request->queue);
}

static void request_flush(struct blk_request *request)
{
    request->is_flushing = true;
    request->blk->block->ops->flush(request->blk->block, medium_done, request);
}

/* The next piece of a read or write. */
static void request_move(struct blk_request *request)
{
    struct blk *blk = request->blk;
    uint64_t at = request->offset + request->moved;
    request->step = (uint32_t)MIN(request->len - request->moved, request->room);
    if (request->type == T_IN) {
        blk->block->ops->read(blk->block, at, request->buffer, request->step, medium_done, request);
        return;
    }
    virtio_chain_read(&blk->virtio, request->chain, HEADER_LEN + request->moved, request->buffer, request->step);
    blk->block->ops->write(blk->block, at, request->buffer, request->step, medium_done, request);
}

static void request_step(struct blk_request *request)
{
    struct blk *blk = request->blk;
    request->is_done = false;
    if (request->error) {
        request_end(request, S_IOERR);
        return;
    }
    if (request->type == T_IN)
        virtio_chain_write(&blk->virtio, request->chain, request->moved, request->buffer, request->step);
    if (request->type == T_IN || (request->type == T_OUT && !request->is_flushing)) {
        request->moved += request->step;
        if (request->moved < request->len) {
            request_move(request);
            return;
        }
    }
    bool is_write = request->type == T_OUT || request->type == T_WRITE_ZEROES;
    if (is_write && !request->is_flushing && !is_cached(blk))
        request_flush(request);
    else
        request_end(request, S_OK);
}

/* --- A request's beginning --- */

static bool is_on_medium(const struct blk *blk, uint64_t sector, uint64_t bytes)
{
    const struct block *block = blk->block;
    return block->has_medium && sector <= block_sectors(block) && bytes <= block->size - sector * SECTOR;
}

static void begin_transfer(struct blk_request *request, uint64_t sector)
{
    struct blk *blk = request->blk;
    bool is_read = request->type == T_IN;
    request->len = is_read ? request->chain->in_len - 1 : request->chain->out_len - HEADER_LEN;
    if (request->len % SECTOR || !is_on_medium(blk, sector, request->len) || (!is_read && blk->block->read_only)) {
        request_end(request, S_IOERR);
        return;
    }
    request->offset = sector * SECTOR;
    if (!request->len) {
        request_end(request, S_OK);
        return;
    }
    request->room = (uint32_t)MIN(request->len, BUFFER_MAX);
    request->buffer = g_malloc(request->room);
    blk->buffers += request->room;
    request_move(request);
}

static void begin_get_id(struct blk_request *request)
{
    struct blk *blk = request->blk;
    char id[ID_LEN] = {0};
    const char *serial = blk->config->serial ? blk->config->serial : blk->config->drive->serial;
    if (serial)
        memcpy(id, serial, MIN(strlen(serial), ID_LEN)); /* without a zero if it is that long (5.2.6.2) */
    request->step =
        virtio_chain_write(&blk->virtio, request->chain, 0, id, (uint32_t)MIN(request->chain->in_len - 1, ID_LEN));
    request_end(request, S_OK);
}

/* 5.2.6.2: one range. */
static void begin_range(struct blk_request *request)
{
    struct blk *blk = request->blk;
    const struct block_ops *ops = blk->block->ops;
    struct {
        uint64_t sector;
        uint32_t sectors, flags;
    } range;
    bool is_discard = request->type == T_DISCARD;
    if (!virtio_has(&blk->virtio, is_discard ? F_DISCARD : F_WRITE_ZEROES)) {
        request_end(request, S_UNSUPP);
        return;
    }
    if (request->chain->out_len != HEADER_LEN + sizeof(range)) {
        request_end(request, S_IOERR);
        return;
    }
    virtio_chain_read(&blk->virtio, request->chain, HEADER_LEN, &range, sizeof(range));
    if (range.flags & ~(is_discard ? 0 : UNMAP)) {
        request_end(request, S_UNSUPP);
        return;
    }
    uint64_t bytes = (uint64_t)range.sectors * SECTOR;
    if (range.sectors > RANGE_MAX || !is_on_medium(blk, range.sector, bytes) || blk->block->read_only) {
        request_end(request, S_IOERR);
        return;
    }
    if (is_discard)
        ops->discard(blk->block, range.sector * SECTOR, (uint32_t)bytes, medium_done, request);
    else
        ops->write_zeroes(blk->block, range.sector * SECTOR, (uint32_t)bytes, range.flags & UNMAP, medium_done,
                          request);
}

/* The chain is virtio->chain. */
static void request_begin(struct blk *blk, unsigned queue)
{
    struct virtio *virtio = &blk->virtio;
    struct {
        uint32_t type, ioprio;
        uint64_t sector;
    } header;
    if (virtio->chain->in_len < 1 || virtio_chain_read(virtio, virtio->chain, 0, &header, HEADER_LEN) < HEADER_LEN) {
        virtio_break(virtio, "a request without header or status");
        return;
    }
    struct blk_request *request = g_new0(struct blk_request, 1);
    request->blk = blk;
    request->queue = (uint16_t)queue;
    request->chain = virtio_chain_copy(virtio->chain);
    request->type = header.type;
    g_ptr_array_add(blk->requests, request);
    switch (header.type) {
    case T_IN:
    case T_OUT:
        begin_transfer(request, header.sector);
        break;
    case T_FLUSH:
        request_flush(request);
        break;
    case T_GET_ID:
        begin_get_id(request);
        break;
    case T_DISCARD:
    case T_WRITE_ZEROES:
        begin_range(request);
        break;
    default:
        request_end(request, S_UNSUPP);
        break;
    }
}

/* --- Runs --- */

static void done_requests_step(struct blk *blk)
{
    for (unsigned i = blk->requests->len; i-- > 0;) {
        struct blk_request *request = g_ptr_array_index(blk->requests, i);
        if (request->is_done) /* when it ends, the last one takes its place, which has been looked at */
            request_step(request);
    }
}

/* What was under way when the state was saved. */
static void loaded_requests_begin(struct blk *blk)
{
    struct blk_regs todo = blk->todo;
    blk->todo.count = 0;
    for (unsigned i = 0; i < todo.count; i++) {
        if (virtqueue_walk(&blk->virtio, todo.queue[i], todo.head[i], blk->virtio.chain))
            request_begin(blk, todo.queue[i]);
    }
}

static bool has_room(struct blk *blk, unsigned queue)
{
    if (blk->requests->len < REQUESTS_MAX && blk->buffers < BUFFERS_MAX)
        return true;
    blk->stalled |= 1ull << queue;
    return false;
}

static void interrupts_send(struct blk *blk)
{
    for (unsigned i = 0; i < blk->virtio.queue_count; i++) {
        if (blk->to_interrupt >> i & 1)
            virtqueue_interrupt(&blk->virtio, i);
    }
    blk->to_interrupt = 0;
}

#define RUN_BUDGET 64

static bool blk_run(struct virtio *virtio, unsigned queue)
{
    struct blk *blk = (struct blk *)virtio;
    unsigned left = RUN_BUDGET;
    loaded_requests_begin(blk);
    done_requests_step(blk);
    virtqueue_hush(virtio, queue);
    do {
        while (left && has_room(blk, queue) && virtqueue_pop(virtio, queue, virtio->chain)) {
            request_begin(blk, queue);
            left--;
        }
    } while (left && !(blk->stalled >> queue & 1) && virtqueue_listen(virtio, queue));
    interrupts_send(blk);
    return !left;
}

/* Whoever is at the medium still comes back, and has nobody to tell. */
static void requests_give_up(struct blk *blk, bool is_gone)
{
    for (unsigned i = blk->requests->len; i-- > 0;) {
        struct blk_request *request = g_ptr_array_index(blk->requests, i);
        request->is_orphan = true;
        if (request->is_done)
            request_free(request);
        else if (is_gone)
            request->blk = NULL;
    }
    blk->todo.count = 0;
    blk->to_interrupt = 0;
}

static void blk_was_reset(struct virtio *virtio)
{
    struct blk *blk = (struct blk *)virtio;
    requests_give_up(blk, false);
    blk->stalled = 0;
    blk->regs = (struct blk_regs){.writeback = true};
}

/* --- Configuration --- */

static uint8_t exponent(uint32_t size, uint32_t unit)
{
    uint8_t n = 0;
    while (n < 8 && unit << n < size)
        n++;
    return n;
}

static void blk_get_config(struct virtio *virtio, uint8_t *bytes)
{
    const struct blk *blk = (struct blk *)virtio;
    const struct device_drive *drive = blk->config->drive;
    const struct blk_layout layout = {
        .capacity = block_sectors(blk->block),
        .seg_max = blk->virtio.queue[0].size_max - 2u,
        .cylinders = drive->cylinders,
        .heads = (uint8_t)drive->heads,
        .sectors = (uint8_t)drive->sectors,
        .blk_size = blk->config->logical_block_size,
        .physical_block_exp = exponent(blk->config->physical_block_size, blk->config->logical_block_size),
        .min_io_size = 1,
        .writeback = is_cached(blk) || (!virtio->regs.started && blk->regs.writeback),
        .num_queues = (uint16_t)virtio->queue_count,
        .max_discard_sectors = RANGE_MAX,
        .max_discard_seg = 1,
        .discard_sector_alignment = 1,
        .max_write_zeroes_sectors = RANGE_MAX,
        .max_write_zeroes_seg = 1,
        .write_zeroes_may_unmap = 1,
    };
    memcpy(bytes, &layout, CONFIG_SIZE);
}

static void blk_set_config(struct virtio *virtio, const uint8_t *config, uint32_t offset, unsigned size)
{
    struct blk *blk = (struct blk *)virtio;
    if (offset <= CONFIG_WRITEBACK && offset + size > CONFIG_WRITEBACK)
        blk->regs.writeback = config[CONFIG_WRITEBACK] & 1;
}

/* --- The card --- */

static const struct virtio_ops blk_ops = {
    .run = blk_run, .get_config = blk_get_config, .set_config = blk_set_config, .reset = blk_was_reset};
static const struct virtio_identity blk_identity = {"virtio-blk", 2, 0x1001, 0x010000, CONFIG_SIZE};

static bool is_block_size(uint32_t size)
{
    return size >= SECTOR && size <= 32768 && !(size & (size - 1));
}

static bool config_is_valid(const struct device_site *site, const struct blk_config *config, GError **error)
{
    const char *why = NULL;
    if (!config->drive)
        why = "needs drive=, the id of a -drive with if=none";
    else if (!config->drive->block->has_medium)
        why = "needs a drive with a medium";
    else if (config->num_queues < 1)
        why = "num-queues is at least 1";
    else if (config->queue_size < 4 || config->queue_size > VIRTQUEUE_SIZE_MAX ||
             (config->queue_size & (config->queue_size - 1)))
        why = "queue-size is a power of 2 from 4 to 1024";
    else if (!is_block_size(config->logical_block_size) || !is_block_size(config->physical_block_size))
        why = "block sizes are powers of 2 from 512 to 32768";
    if (why)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: %s", site->id, why);
    return !why;
}

static void *blk_create(const struct device_site *site, enum virtio_variant variant, const void *opaque, GError **error)
{
    const struct blk_config *config = opaque;
    if (!config_is_valid(site, config, error))
        return NULL;
    struct blk *blk = g_new0(struct blk, 1);
    if (!virtio_init(&blk->virtio, site, &blk_identity, variant, &config->virtio, &blk_ops, error)) {
        g_free(blk);
        return NULL;
    }
    blk->config = config;
    blk->block = config->drive->block;
    blk->regs.writeback = true;
    blk->requests = g_ptr_array_new();
    bool can_write = !blk->block->read_only;
    blk->virtio.features |= F_SEG_MAX | F_GEOMETRY | F_BLK_SIZE | F_TOPOLOGY | F_FLUSH |
                            (config->config_wce ? F_CONFIG_WCE : 0) | (can_write ? 0 : F_RO) |
                            (config->num_queues > 1 ? F_MQ : 0) |
                            (can_write && config->discard && blk->block->ops->discard ? F_DISCARD : 0) |
                            (can_write && config->write_zeroes && blk->block->ops->write_zeroes ? F_WRITE_ZEROES : 0);
    for (unsigned i = 0; i < config->num_queues; i++)
        virtio_add_queue(&blk->virtio, config->queue_size);
    virtio_plug(&blk->virtio, site);
    return blk;
}

static void blk_destroy(void *dev)
{
    struct blk *blk = dev;
    requests_give_up(blk, true);
    virtio_destroy(&blk->virtio);
    g_ptr_array_unref(blk->requests);
    g_free(blk);
}

static void blk_reset(void *dev)
{
    virtio_reset(dev);
}

/* --- State --- */

static const struct state_field blk_fields[] = {STATE_FIELD(blk_regs, queue), STATE_FIELD(blk_regs, head),
                                                STATE_FIELD(blk_regs, count), STATE_FIELD(blk_regs, writeback)};
static const struct state_layout blk_layout = STATE_LAYOUT(1, blk_regs, blk_fields);

static void blk_pieces(void *dev, struct state_pieces *pieces)
{
    struct blk *blk = dev;
    virtio_pieces(dev, pieces);
    state_add(pieces, "blk", 0, &blk_layout, &blk->regs);
}

static void note_request(struct blk_regs *regs, unsigned queue, uint16_t head)
{
    if (regs->count == REQUESTS_MAX)
        return;
    regs->queue[regs->count] = (uint16_t)queue;
    regs->head[regs->count++] = head;
}

static void blk_before_save(void *dev)
{
    struct blk *blk = dev;
    blk->regs = (struct blk_regs){.writeback = blk->regs.writeback};
    for (unsigned i = 0; i < blk->todo.count; i++)
        note_request(&blk->regs, blk->todo.queue[i], blk->todo.head[i]);
    for (unsigned i = 0; i < blk->requests->len; i++) {
        const struct blk_request *request = g_ptr_array_index(blk->requests, i);
        if (!request->is_orphan)
            note_request(&blk->regs, request->queue, request->chain->head);
    }
}

static void blk_before_load(void *dev)
{
    requests_give_up(dev, false);
}

static bool blk_after_load(void *dev)
{
    struct blk *blk = dev;
    if (blk->regs.count > REQUESTS_MAX)
        return false;
    for (unsigned i = 0; i < blk->regs.count; i++) {
        if (blk->regs.queue[i] >= blk->virtio.queue_count)
            return false;
    }
    if (!virtio_after_load(&blk->virtio))
        return false;
    blk->todo = blk->regs;
    blk->stalled = 0;
    return true;
}

static void blk_dump(void *dev, GString *out)
{
    const struct blk *blk = dev;
    virtio_dump(&blk->virtio, out);
    g_string_append_printf(out, "  drive %s: %u requests under way, %u bytes of buffers, %s\n", blk->config->drive->id,
                           blk->requests->len, blk->buffers, is_cached(blk) ? "cached" : "written through");
}

static const struct property blk_properties[] = {
    VIRTIO_PROPERTIES(blk_config),
    PROPERTY(blk_config, drive, "drive", PROPERTY_DRIVE, DRIVE_NEEDED, NULL, "id of a -drive"),
    PROPERTY(blk_config, serial, "serial", PROPERTY_STRING, ID_LEN, NULL, "serial number"),
    PROPERTY(blk_config, num_queues, "num-queues", PROPERTY_NUMBER, VIRTIO_QUEUES_MAX - 1, "1", "request queues"),
    PROPERTY(blk_config, queue_size, "queue-size", PROPERTY_NUMBER, VIRTQUEUE_SIZE_MAX, "256", "of each of them"),
    PROPERTY(blk_config, config_wce, "config-wce", PROPERTY_BOOL, 0, "on", "the driver may switch the write cache"),
    PROPERTY(blk_config, discard, "discard", PROPERTY_BOOL, 0, "on", "DISCARD requests"),
    PROPERTY(blk_config, write_zeroes, "write-zeroes", PROPERTY_BOOL, 0, "on", "WRITE ZEROES requests"),
    PROPERTY(blk_config, logical_block_size, "logical_block_size", PROPERTY_NUMBER, 32768, "512", "bytes"),
    PROPERTY(blk_config, physical_block_size, "physical_block_size", PROPERTY_NUMBER, 32768, "512", "bytes"),
    PROPERTY_END};

VIRTIO_CLASSES(blk, "virtio-blk", "Virtio disk");

/* virtio-gpu's commands: the control queue, and the cursor's.
 *
 * VIRTIO 1.1, 5.7.6. A transfer that is longer than a run's budget is left in the ring, with the rows that are done
 * noted: the next run looks at the command afresh and goes on there.
 */
#include <string.h>

#include "virtio_gpu.h"

#define RUN_CHAINS 64
#define RUN_BYTES  (8 * MiB)

enum {
    CMD_GET_DISPLAY_INFO = 0x100,
    CMD_RESOURCE_CREATE_2D,
    CMD_RESOURCE_UNREF,
    CMD_SET_SCANOUT,
    CMD_RESOURCE_FLUSH,
    CMD_TRANSFER_TO_HOST_2D,
    CMD_RESOURCE_ATTACH_BACKING,
    CMD_RESOURCE_DETACH_BACKING,
    CMD_GET_CAPSET_INFO,
    CMD_GET_CAPSET,
    CMD_GET_EDID,
    CMD_UPDATE_CURSOR = 0x300,
    CMD_MOVE_CURSOR,
};

#define FLAG_FENCE 1u
#define SCANOUTS   16 /* that a display info has room for */
#define NOT_YET    0u /* no answer */

struct header {
    uint32_t type, flags;
    uint64_t fence;
    uint32_t context, unused;
};

struct answer {
    struct header header;
    union {
        struct {
            struct gpu_rect rect;
            uint32_t enabled, flags;
        } mode[SCANOUTS];
        struct {
            uint32_t size, unused;
            uint8_t bytes[1024];
        } edid;
    };
    uint32_t len;
};

/* What the commands have behind the header, 4 bytes each; the longest one. */
struct command {
    struct header header;
    uint32_t a[8];
};

#define COMMAND_BYTES(words) (sizeof(struct header) + 4 * (words))

static bool is_inside(const struct gpu_rect *rect, const struct gpu_resource *resource)
{
    return rect->x <= resource->width && rect->width <= resource->width - rect->x && rect->y <= resource->height &&
           rect->height <= resource->height - rect->y;
}

static struct gpu_rect rect_of(const uint32_t *a)
{
    return (struct gpu_rect){a[0], a[1], a[2], a[3]};
}

/* --- The control queue --- */

static uint32_t get_display_info(struct gpu *gpu, struct answer *answer)
{
    answer->mode[0].rect = (struct gpu_rect){0, 0, gpu->xres, gpu->yres};
    answer->mode[0].enabled = 1;
    answer->len = sizeof(answer->header) + sizeof(answer->mode);
    return GPU_OK_DISPLAY_INFO;
}

static uint32_t get_edid(struct gpu *gpu, const uint32_t *a, struct answer *answer)
{
    if (a[0] != 0)
        return GPU_ERR_INVALID_PARAMETER;
    answer->edid.size = sizeof(answer->edid.bytes);
    gpu_edid(gpu->xres, gpu->yres, answer->edid.bytes);
    answer->len = sizeof(answer->header) + sizeof(answer->edid);
    return GPU_OK_EDID;
}

static uint32_t set_scanout(struct gpu *gpu, const uint32_t *a)
{
    struct gpu_rect rect = rect_of(a);
    if (a[4] != 0)
        return GPU_ERR_INVALID_SCANOUT_ID;
    if (a[5]) {
        const struct gpu_resource *resource = gpu_find(gpu, a[5]);
        if (!resource)
            return GPU_ERR_INVALID_RESOURCE_ID;
        if (rect.width < 16 || rect.height < 16 || !is_inside(&rect, resource))
            return GPU_ERR_INVALID_PARAMETER;
        gpu->regs.rect = rect;
    }
    gpu->regs.scanout = a[5];
    gpu->serial++;
    return GPU_OK_NODATA;
}

static uint32_t flush(struct gpu *gpu, const uint32_t *a)
{
    struct gpu_rect rect = rect_of(a);
    const struct gpu_resource *resource = gpu_find(gpu, a[4]);
    if (!resource)
        return GPU_ERR_INVALID_RESOURCE_ID;
    if (!is_inside(&rect, resource))
        return GPU_ERR_INVALID_PARAMETER;
    gpu->serial += a[4] == gpu->regs.scanout;
    return GPU_OK_NODATA;
}

static uint32_t transfer(struct gpu *gpu, const uint32_t *a, int64_t *budget)
{
    struct gpu_rect rect = rect_of(a);
    const struct gpu_resource *resource = gpu_find(gpu, a[6]);
    uint64_t offset = a[4] | (uint64_t)a[5] << 32;
    if (!resource || !resource->count)
        return GPU_ERR_INVALID_RESOURCE_ID;
    if (!is_inside(&rect, resource))
        return GPU_ERR_INVALID_PARAMETER;
    gpu->regs.progress = gpu_transfer(gpu, resource, &rect, offset, gpu->regs.progress, budget);
    if (gpu->regs.progress < rect.height)
        return NOT_YET;
    gpu->regs.progress = 0;
    gpu->serial += a[6] == gpu->regs.scanout; /* it is shown as it is, flushed or not */
    return GPU_OK_NODATA;
}

static uint32_t attach_backing(struct gpu *gpu, const uint32_t *a)
{
    struct virtio *virtio = &gpu->virtio;
    struct gpu_resource *resource = gpu_find(gpu, a[0]);
    uint32_t count = a[1];
    if (!resource)
        return GPU_ERR_INVALID_RESOURCE_ID;
    if (resource->count || !count || count > GPU_PAGES_EACH)
        return GPU_ERR_UNSPEC;
    struct gpu_page *page = gpu_attach(gpu, resource, count);
    if (!page)
        return GPU_ERR_OUT_OF_MEMORY;
    uint32_t len = count * (uint32_t)sizeof(*page);
    if (virtio_chain_read(virtio, virtio->chain, COMMAND_BYTES(2), page, len) != len) {
        gpu_detach(resource);
        return GPU_ERR_UNSPEC;
    }
    return GPU_OK_NODATA;
}

static uint32_t detach_backing(struct gpu *gpu, const uint32_t *a)
{
    struct gpu_resource *resource = gpu_find(gpu, a[0]);
    if (!resource || !resource->count)
        return GPU_ERR_INVALID_RESOURCE_ID;
    gpu_detach(resource);
    return GPU_OK_NODATA;
}

static uint32_t unref(struct gpu *gpu, const uint32_t *a)
{
    struct gpu_resource *resource = gpu_find(gpu, a[0]);
    if (!resource)
        return GPU_ERR_INVALID_RESOURCE_ID;
    gpu_unref(gpu, resource);
    return GPU_OK_NODATA;
}

/* Words behind the header that a command must have. */
static unsigned words_of(uint32_t type)
{
    static const uint8_t words[] = {0, 4, 2, 6, 6, 8, 2, 2, 2, 2, 2};
    return type >= CMD_GET_DISPLAY_INFO && type <= CMD_GET_EDID ? words[type - CMD_GET_DISPLAY_INFO] : 0;
}

/* NOT_YET: the budget is used up within it. */
static uint32_t carry_out(struct gpu *gpu, const struct command *command, uint32_t len, struct answer *answer,
                          int64_t *budget)
{
    const uint32_t *a = command->a;

    if (len < COMMAND_BYTES(words_of(command->header.type)))
        return GPU_ERR_INVALID_PARAMETER;
    switch (command->header.type) {
    case CMD_GET_DISPLAY_INFO:
        return get_display_info(gpu, answer);
    case CMD_RESOURCE_CREATE_2D:
        *budget -= MiB / 4;
        return gpu_create(gpu, a[0], a[1], a[2], a[3]);
    case CMD_RESOURCE_UNREF:
        return unref(gpu, a);
    case CMD_SET_SCANOUT:
        return set_scanout(gpu, a);
    case CMD_RESOURCE_FLUSH:
        return flush(gpu, a);
    case CMD_TRANSFER_TO_HOST_2D:
        return transfer(gpu, a, budget);
    case CMD_RESOURCE_ATTACH_BACKING:
        *budget -= MiB / 4;
        return attach_backing(gpu, a);
    case CMD_RESOURCE_DETACH_BACKING:
        return detach_backing(gpu, a);
    case CMD_GET_CAPSET_INFO: /* there are none */
    case CMD_GET_CAPSET:
        return GPU_ERR_INVALID_PARAMETER;
    case CMD_GET_EDID:
        return get_edid(gpu, a, answer);
    }
    return GPU_ERR_UNSPEC;
}

/* --- The cursor --- */

static void cursor_command(struct gpu *gpu, const struct command *command)
{
    struct gpu_regs *regs = &gpu->regs;
    const uint32_t *a = command->a; /* scanout, x, y, -, resource, hot x, hot y */

    if (a[0] != 0)
        return;
    if (command->header.type != CMD_UPDATE_CURSOR && command->header.type != CMD_MOVE_CURSOR)
        return;
    regs->cursor_x = a[1];
    regs->cursor_y = a[2];
    gpu->serial++;
    if (command->header.type == CMD_MOVE_CURSOR)
        return;
    const struct gpu_resource *resource = gpu_find(gpu, a[4]);
    regs->cursor_on = a[4] != 0;
    regs->hot_x = a[5];
    regs->hot_y = a[6];
    if (!resource || resource->width != GPU_CURSOR || resource->height != GPU_CURSOR)
        return; /* the picture stays what it was */
    for (uint32_t y = 0; y < GPU_CURSOR; y++)
        gpu_pixels(gpu, resource, 0, y, GPU_CURSOR, true, regs->cursor + y * GPU_CURSOR);
}

/* --- Runs --- */

/* False: the budget ended first. */
static bool chain_run(struct gpu *gpu, unsigned queue, int64_t *budget)
{
    struct virtio *virtio = &gpu->virtio;
    struct command command = {.header = {.type = 0}};
    struct answer answer = {.len = sizeof(struct header)};
    uint32_t written = 0, len = virtio_chain_read(virtio, virtio->chain, 0, &command, sizeof(command));

    if (queue == GPU_QUEUE_CURSOR) {
        if (len >= COMMAND_BYTES(8))
            cursor_command(gpu, &command);
    } else {
        answer.header.type = carry_out(gpu, &command, len, &answer, budget);
        if (answer.header.type == NOT_YET)
            return false;
        gpu->regs.progress = 0;
        if (command.header.flags & FLAG_FENCE) {
            answer.header.flags = FLAG_FENCE;
            answer.header.fence = command.header.fence;
            answer.header.context = command.header.context;
        }
        written = virtio_chain_write(virtio, virtio->chain, 0, &answer, answer.len);
    }
    virtqueue_push(virtio, queue, virtio->chain->head, written);
    return true;
}

bool gpu_run(struct virtio *virtio, unsigned queue)
{
    struct gpu *gpu = (struct gpu *)virtio;
    unsigned left = RUN_CHAINS;
    int64_t budget = RUN_BYTES;

    virtqueue_hush(virtio, queue);
    do {
        while (left && budget > 0 && virtqueue_pop(virtio, queue, virtio->chain)) {
            if (!chain_run(gpu, queue, &budget)) {
                virtqueue_unpop(virtio, queue);
                budget = 0;
            } else {
                left--;
            }
        }
    } while (left && budget > 0 && virtqueue_listen(virtio, queue));
    virtqueue_interrupt(virtio, queue);
    return !left || budget <= 0;
}

/* virtio-gpu's resources: pictures on our side, and the guest's memory behind them.
 *
 * VIRTIO 1.1, 5.7.6.8. All pixels are in one piece of host memory, so that what a guest can take is bounded and can be
 * saved; a hole that is too small is closed by moving what lies behind it.
 */
#include <string.h>
#include <sys/mman.h>

#include "virtio_gpu.h"

/* Where a pixel's colours are: shifts in a 32-bit word as it lies in memory. */
static const struct format {
    uint8_t number;
    uint8_t red, green, blue, alpha;
    bool has_alpha;
} formats[] = {
    {1, 16, 8, 0, 24, true},    /* B8G8R8A8 */
    {2, 16, 8, 0, 24, false},   /* B8G8R8X8 */
    {3, 8, 16, 24, 0, true},    /* A8R8G8B8 */
    {4, 8, 16, 24, 0, false},   /* X8R8G8B8 */
    {67, 0, 8, 16, 24, true},   /* R8G8B8A8 */
    {68, 24, 16, 8, 0, false},  /* X8B8G8R8 */
    {121, 24, 16, 8, 0, true},  /* A8B8G8R8 */
    {134, 0, 8, 16, 24, false}, /* R8G8B8X8 */
};

static const struct format *format_find(uint32_t number)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (formats[i].number == number)
            return &formats[i];
    }
    return NULL;
}

static uint64_t bytes_of(uint32_t width, uint32_t height)
{
    return ((uint64_t)width * height * 4 + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
}

static uint32_t size_of(const struct gpu_resource *resource)
{
    return (uint32_t)bytes_of(resource->width, resource->height);
}

struct gpu_resource *gpu_find(const struct gpu *gpu, uint32_t id)
{
    for (unsigned i = 0; id && i < GPU_RESOURCES; i++) {
        if (gpu->resource[i].id == id)
            return &gpu->resource[i];
    }
    return NULL;
}

/* --- Room for pixels and pages: both are packed when the room behind the last one is too small --- */

uint32_t gpu_used_bytes(const struct gpu *gpu)
{
    uint32_t end = 0;
    for (unsigned i = 0; i < GPU_RESOURCES; i++) {
        if (gpu->resource[i].id)
            end = MAX(end, gpu->resource[i].offset + size_of(&gpu->resource[i]));
    }
    return end;
}

static uint32_t used_pages(const struct gpu *gpu)
{
    uint32_t end = 0;
    for (unsigned i = 0; i < GPU_RESOURCES; i++) {
        if (gpu->resource[i].id && gpu->resource[i].count)
            end = MAX(end, gpu->resource[i].first + gpu->resource[i].count);
    }
    return end;
}

/* The one with the lowest place at or behind from; NULL: none. */
static struct gpu_resource *next_by(const struct gpu *gpu, bool by_pages, uint32_t from)
{
    struct gpu_resource *best = NULL;
    for (unsigned i = 0; i < GPU_RESOURCES; i++) {
        struct gpu_resource *r = &gpu->resource[i];
        uint32_t place = by_pages ? r->first : r->offset;
        if (!r->id || (by_pages && !r->count) || place < from)
            continue;
        if (!best || place < (by_pages ? best->first : best->offset))
            best = r;
    }
    return best;
}

static void forget(struct gpu *gpu, uint32_t offset, uint32_t size)
{
    madvise(gpu->pixels + offset, size, MADV_DONTNEED); /* reads as zeros, and the host has its memory back */
}

static void pack_pixels(struct gpu *gpu)
{
    uint32_t to = 0, from = 0;
    struct gpu_resource *r;
    while ((r = next_by(gpu, false, from))) {
        from = r->offset + size_of(r);
        memmove(gpu->pixels + to, gpu->pixels + r->offset, size_of(r));
        r->offset = to;
        to += size_of(r);
    }
    forget(gpu, to, gpu->hostmem - to);
}

static void pack_pages(struct gpu *gpu)
{
    uint32_t to = 0, from = 0;
    struct gpu_resource *r;
    while ((r = next_by(gpu, true, from))) {
        from = r->first + r->count;
        memmove(gpu->page + to, gpu->page + r->first, r->count * sizeof(struct gpu_page));
        r->first = to;
        to += r->count;
    }
}

/* --- Life --- */

uint32_t gpu_create(struct gpu *gpu, uint32_t id, uint32_t format, uint32_t width, uint32_t height)
{
    struct gpu_resource *free = NULL;
    uint64_t total = 0;

    if (!id || gpu_find(gpu, id))
        return GPU_ERR_INVALID_RESOURCE_ID;
    if (!format_find(format) || !width || !height)
        return GPU_ERR_INVALID_PARAMETER;
    for (unsigned i = 0; i < GPU_RESOURCES; i++) {
        struct gpu_resource *r = &gpu->resource[i];
        if (r->id)
            total += size_of(r);
        else if (!free)
            free = r;
    }
    if (!free || width > GPU_SIZE_MAX || height > GPU_SIZE_MAX || total + bytes_of(width, height) > gpu->hostmem)
        return GPU_ERR_OUT_OF_MEMORY;
    if (gpu_used_bytes(gpu) + bytes_of(width, height) > gpu->hostmem)
        pack_pixels(gpu);
    uint32_t offset = gpu_used_bytes(gpu);
    *free = (struct gpu_resource){.id = id, .format = format, .width = width, .height = height, .offset = offset};
    return GPU_OK_NODATA;
}

void gpu_unref(struct gpu *gpu, struct gpu_resource *resource)
{
    forget(gpu, resource->offset, size_of(resource));
    if (gpu->regs.scanout == resource->id) {
        gpu->regs.scanout = 0;
        gpu->serial++;
    }
    *resource = (struct gpu_resource){.id = 0};
}

void gpu_unref_all(struct gpu *gpu)
{
    forget(gpu, 0, gpu->hostmem);
    memset(gpu->resource, 0, GPU_RESOURCES * sizeof(struct gpu_resource));
    memset(gpu->page, 0, GPU_PAGES * sizeof(struct gpu_page));
}

struct gpu_page *gpu_attach(struct gpu *gpu, struct gpu_resource *resource, uint32_t count)
{
    if (used_pages(gpu) + count > GPU_PAGES)
        pack_pages(gpu);
    uint32_t first = used_pages(gpu);
    if (first + count > GPU_PAGES)
        return NULL;
    resource->first = first;
    resource->count = count;
    return &gpu->page[first];
}

void gpu_detach(struct gpu_resource *resource)
{
    resource->first = resource->count = 0;
}

/* What a guest cannot have made: places outside or over each other. */
bool gpu_resources_are_sane(const struct gpu *gpu)
{
    uint32_t bytes = 0, pages = 0, count = 0, with_pages = 0;
    struct gpu_resource *r;

    for (unsigned i = 0; i < GPU_RESOURCES; i++) {
        r = &gpu->resource[i];
        if (!r->id)
            continue;
        count++;
        with_pages += r->count != 0;
        if (gpu_find(gpu, r->id) != r || !format_find(r->format) || !r->width || !r->height ||
            r->width > GPU_SIZE_MAX || r->height > GPU_SIZE_MAX || r->offset % PAGE_SIZE || r->offset > gpu->hostmem ||
            bytes_of(r->width, r->height) > gpu->hostmem - r->offset || r->count > GPU_PAGES_EACH ||
            r->first > GPU_PAGES - r->count)
            return false;
    }
    for (; (r = next_by(gpu, false, bytes)); count--)
        bytes = r->offset + size_of(r);
    for (; (r = next_by(gpu, true, pages)); with_pages--)
        pages = r->first + r->count;
    return !count && !with_pages; /* all were met, each behind the one before */
}

/* --- Pixels --- */

struct walk {
    const struct gpu_page *page, *end;
    uint64_t at; /* of page's first byte in the backing */
};

/* From offset of the backing on, which never goes back; what is behind its end stays as it is. */
static void backing_read(struct gpu *gpu, struct walk *walk, uint64_t offset, uint8_t *to, uint32_t len)
{
    while (len && walk->page < walk->end) {
        uint64_t skip = offset - walk->at;
        if (skip >= walk->page->len) {
            walk->at += walk->page->len;
            walk->page++;
            continue;
        }
        uint32_t piece = (uint32_t)MIN(walk->page->len - skip, len);
        pci_dma_read(&gpu->virtio.pci, walk->page->address + skip, to, piece);
        offset += piece;
        to += piece;
        len -= piece;
    }
}

uint32_t gpu_transfer(struct gpu *gpu, const struct gpu_resource *resource, const struct gpu_rect *rect,
                      uint64_t source, uint32_t progress, int64_t *budget)
{
    struct walk walk = {gpu->page + resource->first, gpu->page + resource->first + resource->count, 0};
    uint32_t stride = resource->width * 4, row = progress;

    for (; row<rect->height && * budget> 0; row++) {
        uint64_t offset = source + (uint64_t)row * stride;
        if (offset < source) /* round the end of what 64 bits are */
            return rect->height;
        uint32_t to = resource->offset + (rect->y + row) * stride + rect->x * 4;
        backing_read(gpu, &walk, offset, gpu->pixels + to, rect->width * 4);
        *budget -= rect->width * 4 + 64;
    }
    return row;
}

void gpu_pixels(const struct gpu *gpu, const struct gpu_resource *resource, uint32_t x, uint32_t y, uint32_t count,
                bool with_alpha, uint32_t *out)
{
    const struct format *f = format_find(resource->format);
    const uint8_t *from = gpu->pixels + resource->offset + ((size_t)y * resource->width + x) * 4;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t v;
        memcpy(&v, from + 4ul * i, 4);
        uint32_t alpha = !with_alpha ? 0 : f->has_alpha ? v >> f->alpha & 255 : 255;
        out[i] = alpha << 24 | (v >> f->red & 255) << 16 | (v >> f->green & 255) << 8 | (v >> f->blue & 255);
    }
}

/* virtio-gpu: what its files share. VIRTIO 1.1, 5.7; names of commands and formats as there. */
#pragma once

#include "display.h"
#include "virtio_pci.h"

#define GPU_RESOURCES   1024u
#define GPU_PAGES       65536u /* pieces of guest memory behind all resources together, */
#define GPU_PAGES_EACH  16384u /* and behind one */
#define GPU_CURSOR      64u    /* pixels each way */
#define GPU_SIZE_MAX    16384u
#define GPU_HOSTMEM_MAX (1024 * MiB)

struct gpu_rect {
    uint32_t x, y, width, height;
};

/* Saved as they are. */
struct gpu_resource {
    uint32_t id; /* 0: this one is free */
    uint32_t format, width, height;
    uint32_t offset;       /* of its pixels: whole pages */
    uint32_t first, count; /* of its pages; count 0: it has no backing */
};

struct gpu_page {
    uint64_t address;
    uint32_t len, unused;
};

struct gpu_regs {
    uint32_t events;
    uint32_t progress; /* rows of a transfer that were done when the budget was used up: the first command's */
    uint32_t scanout;  /* a resource; 0: none */
    struct gpu_rect rect;
    uint32_t cursor_on, cursor_x, cursor_y, hot_x, hot_y;
    uint32_t cursor[GPU_CURSOR * GPU_CURSOR]; /* ARGB */
};

struct vga;

struct gpu {
    struct virtio virtio; /* first */
    struct gpu_regs regs;
    struct gpu_resource *resource; /* GPU_RESOURCES */
    struct gpu_page *page;         /* GPU_PAGES */
    uint8_t *pixels;               /* of all resources: hostmem bytes, taken from the host as they are used */
    uint32_t hostmem, piece_size;
    uint32_t xres, yres;
    uint64_t serial; /* of the picture */
    struct display display;
    struct vga *vga; /* NULL: it is no VGA */
};

/* What a command is answered with. */
enum {
    GPU_OK_NODATA = 0x1100,
    GPU_OK_DISPLAY_INFO,
    GPU_OK_EDID = 0x1104,
    GPU_ERR_UNSPEC = 0x1200,
    GPU_ERR_OUT_OF_MEMORY,
    GPU_ERR_INVALID_SCANOUT_ID,
    GPU_ERR_INVALID_RESOURCE_ID,
    GPU_ERR_INVALID_CONTEXT_ID,
    GPU_ERR_INVALID_PARAMETER,
};

/* virtio_gpu_resource.c */
struct gpu_resource *gpu_find(const struct gpu *gpu, uint32_t id); /* NULL: there is none */
uint32_t gpu_create(struct gpu *gpu, uint32_t id, uint32_t format, uint32_t width, uint32_t height);
void gpu_unref(struct gpu *gpu, struct gpu_resource *resource);
void gpu_unref_all(struct gpu *gpu);
/* Room for so many pages; NULL: there is none. */
struct gpu_page *gpu_attach(struct gpu *gpu, struct gpu_resource *resource, uint32_t count);
void gpu_detach(struct gpu_resource *resource);
/* Rows from progress on of a rectangle that is inside; source: where its first row is in the backing. Stops when the
 * budget, in bytes, is used up: the number of rows that are done then. */
uint32_t gpu_transfer(struct gpu *gpu, const struct gpu_resource *resource, const struct gpu_rect *rect,
                      uint64_t source, uint32_t progress, int64_t *budget);
uint32_t gpu_used_bytes(const struct gpu *gpu); /* to the end of the last resource */
bool gpu_resources_are_sane(const struct gpu *gpu);
/* Pixels from (x, y) on as 00RRGGBB, with_alpha: as AARRGGBB. */
void gpu_pixels(const struct gpu *gpu, const struct gpu_resource *resource, uint32_t x, uint32_t y, uint32_t count,
                bool with_alpha, uint32_t *out);

/* virtio_gpu_command.c */
#define GPU_QUEUE_CONTROL 0
#define GPU_QUEUE_CURSOR  1
bool gpu_run(struct virtio *virtio, unsigned queue);

/* virtio_gpu_edid.c */
void gpu_edid(uint32_t xres, uint32_t yres, uint8_t edid[128]);

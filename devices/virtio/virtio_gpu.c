/* virtio-gpu, 2D: the cards virtio-gpu-pci and virtio-vga, and what is seen of them.
 *
 * VIRTIO 1.1, 5.7. virtio-vga is a VGA with the Bochs display interface until its driver sets a scanout; BAR 0 is its
 * frame buffer. Not there: 3D (virgl), more than one scanout, blob resources, a window's size as the guest's.
 */
#include "virtio_gpu.h"

#include <limits.h>
#include <string.h>
#include <sys/mman.h>

#include "devices/vga/regs.h"

#define FEATURE_EDID (1ull << 1)
#define QUEUE_SIZE   64
#define CURSOR_SIZE  16

/* struct virtio_gpu_config */
struct layout_config {
    uint32_t events_read, events_clear, num_scanouts, num_capsets;
};

struct gpu_config {
    struct virtio_options virtio;
    uint32_t xres, yres, max_outputs;
    uint64_t max_hostmem;
    bool edid;
    const char *romfile; /* virtio-vga */
};

/* --- What is seen --- */

static const struct gpu_resource *shown(const struct gpu *gpu)
{
    return gpu_find(gpu, gpu->regs.scanout);
}

static bool gpu_text(void *opaque, struct display_text *out)
{
    struct gpu *gpu = opaque;
    return !shown(gpu) && gpu->vga && vga_render_text(gpu->vga, out);
}

static void gpu_size(void *opaque, unsigned *width, unsigned *height)
{
    struct gpu *gpu = opaque;
    if (!shown(gpu) && gpu->vga) {
        vga_render_size(gpu->vga, width, height);
        return;
    }
    *width = shown(gpu) ? gpu->regs.rect.width : 640;
    *height = shown(gpu) ? gpu->regs.rect.height : 480;
}

/* DRM's cursors have their colours multiplied by alpha. */
static uint32_t blend(uint32_t over, uint32_t below)
{
    uint32_t rest = 255 - (over >> 24), colour = 0;
    for (unsigned shift = 0; shift < 24; shift += 8) {
        uint32_t gun = (over >> shift & 255) + ((below >> shift & 255) * rest + 127) / 255;
        colour |= MIN(gun, 255) << shift;
    }
    return colour;
}

/* Of a VGA's picture there is none. */
static void gpu_overlay(void *opaque, unsigned width, unsigned first, unsigned count, uint32_t *pixels)
{
    const struct gpu *gpu = opaque;
    const struct gpu_regs *regs = &gpu->regs;
    /* The place is that of the picture's corner: the hot spot is for whoever has a pointer of his own. */
    int64_t left = (int32_t)regs->cursor_x, top = (int32_t)regs->cursor_y;

    for (unsigned y = 0; shown(gpu) && regs->cursor_on && y < GPU_CURSOR; y++) {
        int64_t line = top + y - first;
        if (line < 0 || line >= count)
            continue;
        for (unsigned x = 0; x < GPU_CURSOR; x++) {
            if (left + x < 0 || left + x >= width)
                continue;
            uint32_t *at = &pixels[(size_t)line * width + (size_t)(left + x)];
            *at = blend(regs->cursor[y * GPU_CURSOR + x], *at);
        }
    }
}

static bool gpu_cursor(void *opaque, struct display_cursor *out)
{
    const struct gpu *gpu = opaque;
    const struct gpu_regs *regs = &gpu->regs;

    out->width = out->height = 0;
    if (!shown(gpu) || !regs->cursor_on)
        return true;
    if (regs->hot_x >= GPU_CURSOR || regs->hot_y >= GPU_CURSOR)
        return false;
    out->x = (int32_t)regs->cursor_x;
    out->y = (int32_t)regs->cursor_y;
    out->width = out->height = GPU_CURSOR;
    out->hot_x = regs->hot_x;
    out->hot_y = regs->hot_y;
    memcpy(out->pixels, regs->cursor, sizeof(regs->cursor));
    return true;
}

static bool gpu_bare_rows(void *opaque, unsigned width, unsigned height, unsigned first, unsigned count,
                          uint32_t *pixels)
{
    struct gpu *gpu = opaque;
    const struct gpu_resource *resource = shown(gpu);
    const struct gpu_rect *rect = &gpu->regs.rect;
    unsigned now_width, now_height;

    if (!resource && gpu->vga)
        return vga_render_rows(gpu->vga, width, height, first, count, pixels);
    gpu_size(gpu, &now_width, &now_height);
    if (now_width != width || now_height != height || first > height || count > height - first)
        return false;
    if (!resource) {
        memset(pixels, 0, (size_t)width * count * sizeof(*pixels));
        return true;
    }
    for (unsigned y = 0; y < count; y++)
        gpu_pixels(gpu, resource, rect->x, rect->y + first + y, width, false, pixels + (size_t)y * width);
    return true;
}

static bool gpu_rows(void *opaque, unsigned width, unsigned height, unsigned first, unsigned count, uint32_t *pixels)
{
    if (!gpu_bare_rows(opaque, width, height, first, count, pixels))
        return false;
    gpu_overlay(opaque, width, first, count, pixels);
    return true;
}

#define OF_VGA (1ull << 63) /* a serial of the VGA's picture */

static bool gpu_serial(void *opaque, uint64_t *serial)
{
    struct gpu *gpu = opaque;
    bool is_vga = !shown(gpu) && gpu->vga;
    *serial = gpu->serial;
    if (!is_vga)
        return true;
    bool is_done = vga_serial(gpu->vga, serial);
    *serial |= OF_VGA; /* no number of the other picture */
    return is_done;
}

/* Of a scanout all: a flush says what has changed, but not to whom it was shown before. */
static void gpu_changed_rows(void *opaque, uint64_t since, unsigned *first, unsigned *end)
{
    const struct gpu *gpu = opaque;
    *first = 0;
    *end = UINT_MAX;
    if (!(shown(gpu) || !gpu->vga) && (since & OF_VGA))
        vga_changed_rows(gpu->vga, since & ~OF_VGA, first, end);
}

/* --- Configuration --- */

static void gpu_get_config(struct virtio *virtio, uint8_t *config)
{
    const struct gpu *gpu = (struct gpu *)virtio;
    const struct layout_config layout = {.events_read = gpu->regs.events, .num_scanouts = 1};
    memcpy(config, &layout, sizeof(layout));
}

static void gpu_set_config(struct virtio *virtio, const uint8_t *config, uint32_t offset, unsigned size)
{
    struct gpu *gpu = (struct gpu *)virtio;
    struct layout_config layout;
    memcpy(&layout, config, sizeof(layout));
    gpu->regs.events &= ~layout.events_clear;
}

static void gpu_was_reset(struct virtio *virtio)
{
    struct gpu *gpu = (struct gpu *)virtio;
    memset(&gpu->regs, 0, sizeof(gpu->regs));
    gpu_unref_all(gpu);
    gpu->serial++;
}

static const struct virtio_ops gpu_ops = {gpu_run, gpu_get_config, gpu_set_config, .reset = gpu_was_reset};

/* --- The VGA of virtio-vga --- */

static const struct vga_card vga_card = {.picture = vga_dispi_picture};

static void frame_buffer_moved(void *opaque, uint32_t base, bool mapped)
{
    struct gpu *gpu = opaque;
    if (mapped)
        mem_map_block(base, VGA_MEMORY, gpu->vga->memory, 0, false, "vga-lfb");
    else
        mem_remove_mmio(base);
}

static bool vga_add(struct gpu *gpu, const struct device_site *site, const struct gpu_config *config, GError **error)
{
    const struct board_rom *rom = board_service(site->board, "vga-rom");
    struct board_rom own;
    char *file = NULL;
    gsize size = 0;

    if (config->romfile) {
        file = vga_romfile_read(config->romfile, "virtio-vga", &size, error);
        if (!file)
            return false;
        own = (struct board_rom){(uint8_t *)file, (uint32_t)size};
        rom = &own;
    }
    gpu->vga = g_new0(struct vga, 1);
    bool ok = vga_init(gpu->vga, &vga_card, VGA_MEMORY, error) && pci_add_rom(&gpu->virtio.pci, rom, error);
    g_free(file);
    if (ok)
        pci_add_ram_bar(&gpu->virtio.pci, 0, VGA_MEMORY, frame_buffer_moved, gpu);
    return ok;
}

static void vga_was_reset(struct gpu *gpu)
{
    vga_reset(gpu->vga);
    vga_dispi_reset(gpu->vga);
}

/* --- Life --- */

static bool config_is_good(const struct device_site *site, const struct gpu_config *config, GError **error)
{
    const char *what = NULL;
    if (board_service(site->board, "display"))
        what = "there is a VGA already; -vga none leaves it out";
    else if (config->max_outputs != 1)
        what = "max_outputs is 1";
    else if (config->xres < 16 || config->yres < 16)
        what = "xres and yres are 16 to 4095";
    else if (config->max_hostmem < MiB)
        what = "max_hostmem is 1 MiB to 1 GiB, in bytes";
    if (what)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: %s", site->id, what);
    return !what;
}

static void gpu_destroy(void *dev)
{
    struct gpu *gpu = dev;
    if (gpu->vga && gpu->virtio.pci.bus) {
        vga_close(gpu->vga);
        vga_dispi_close();
    }
    virtio_destroy(&gpu->virtio);
    munmap(gpu->pixels, gpu->hostmem);
    g_free(gpu->vga);
    g_free(gpu->resource);
    g_free(gpu->page);
    g_free(gpu);
}

static void *gpu_create_card(const struct device_site *site, const struct virtio_identity *identity, bool is_vga,
                             const struct gpu_config *config, GError **error)
{
    if (!config_is_good(site, config, error))
        return NULL;
    struct gpu *gpu = g_new0(struct gpu, 1);
    if (!virtio_init(&gpu->virtio, site, identity, VIRTIO_BY_PROPERTIES, &config->virtio, &gpu_ops, error)) {
        g_free(gpu);
        return NULL;
    }
    gpu->hostmem = (uint32_t)config->max_hostmem & ~(uint32_t)(PAGE_SIZE - 1);
    gpu->piece_size = gpu->hostmem;
    gpu->pixels = mmap(NULL, gpu->hostmem, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (gpu->pixels == MAP_FAILED) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM,
                    "%s: the host has no %u MiB of addresses; lower max_hostmem", site->id,
                    (unsigned)(gpu->hostmem / MiB));
        virtio_destroy(&gpu->virtio);
        g_free(gpu);
        return NULL;
    }
    gpu->resource = g_new0(struct gpu_resource, GPU_RESOURCES);
    gpu->page = g_new0(struct gpu_page, GPU_PAGES);
    gpu->xres = config->xres;
    gpu->yres = config->yres;
    gpu->display = (struct display){.text = gpu_text,
                                    .size = gpu_size,
                                    .rows = gpu_rows,
                                    .serial = gpu_serial,
                                    .changed_rows = gpu_changed_rows,
                                    .bare_rows = gpu_bare_rows,
                                    .overlay = gpu_overlay,
                                    .cursor = gpu_cursor,
                                    .opaque = gpu};
    if (config->edid)
        gpu->virtio.features |= FEATURE_EDID;
    virtio_add_queue(&gpu->virtio, QUEUE_SIZE);
    virtio_add_queue(&gpu->virtio, CURSOR_SIZE);
    if (is_vga && !vga_add(gpu, site, config, error)) {
        gpu_destroy(gpu);
        return NULL;
    }
    virtio_plug(&gpu->virtio, site);
    if (gpu->vga) {
        vga_open(gpu->vga);
        vga_dispi_open(gpu->vga);
        vga_was_reset(gpu);
    }
    board_provide(site->board, "display", &gpu->display);
    return gpu;
}

static void gpu_reset(void *dev)
{
    struct gpu *gpu = dev;
    virtio_reset(&gpu->virtio);
    if (gpu->vga)
        vga_was_reset(gpu);
}

static const struct state_field gpu_fields[] = {
    STATE_FIELD(gpu_regs, events),   STATE_FIELD(gpu_regs, progress),  STATE_FIELD(gpu_regs, scanout),
    STATE_FIELD(gpu_regs, rect),     STATE_FIELD(gpu_regs, cursor_on), STATE_FIELD(gpu_regs, cursor_x),
    STATE_FIELD(gpu_regs, cursor_y), STATE_FIELD(gpu_regs, hot_x),     STATE_FIELD(gpu_regs, hot_y),
    STATE_FIELD(gpu_regs, cursor),
};
static const struct state_layout gpu_layout = STATE_LAYOUT(1, gpu_regs, gpu_fields);

static void gpu_pieces(void *dev, struct state_pieces *pieces)
{
    struct gpu *gpu = dev;
    virtio_pieces(dev, pieces);
    state_add(pieces, "gpu", 0, &gpu_layout, &gpu->regs);
    state_add_bytes(pieces, "resources", 0, gpu->resource, GPU_RESOURCES * sizeof(struct gpu_resource));
    state_add_bytes(pieces, "pages", 0, gpu->page, GPU_PAGES * sizeof(struct gpu_page));
    state_add_bytes(pieces, "pixels", 0, gpu->pixels, gpu->piece_size);
    if (gpu->vga) {
        state_add(pieces, "vga", 0, &vga_layout, &gpu->vga->regs);
        state_add_memory(pieces, "vram", gpu->vga->memory, VGA_MEMORY);
    }
}

static void gpu_before_save(void *dev)
{
    struct gpu *gpu = dev;
    gpu->piece_size = gpu_used_bytes(gpu);
    if (gpu->vga)
        vga_sync(gpu->vga);
}

static void gpu_before_load(void *dev)
{
    struct gpu *gpu = dev;
    gpu->piece_size = gpu->hostmem;
    if (gpu->vga)
        vga_before_load(gpu->vga);
}

static bool gpu_after_load(void *dev)
{
    struct gpu *gpu = dev;
    const struct gpu_rect *rect = &gpu->regs.rect;
    if (!gpu_resources_are_sane(gpu) || (gpu->vga && !vga_regs_are_sane(gpu->vga)))
        return false;
    const struct gpu_resource *resource = shown(gpu);
    if (gpu->regs.scanout && (!resource || rect->width < 16 || rect->height < 16 || rect->x > resource->width ||
                              rect->width > resource->width - rect->x || rect->y > resource->height ||
                              rect->height > resource->height - rect->y))
        return false;
    if (!virtio_after_load(&gpu->virtio))
        return false;
    if (gpu->vga) {
        vga_dispi_after_load(gpu->vga);
        vga_window_update(gpu->vga);
    }
    gpu->serial++;
    return true;
}

static void gpu_dump(void *dev, GString *out)
{
    const struct gpu *gpu = dev;
    if (gpu->vga)
        vga_dump(gpu->vga, out);
    virtio_dump(&gpu->virtio, out);
    for (unsigned i = 0; i < GPU_RESOURCES; i++) {
        const struct gpu_resource *r = &gpu->resource[i];
        if (r->id)
            g_string_append_printf(out, "  resource %u: %ux%u format=%u pages=%u%s\n", r->id, r->width, r->height,
                                   r->format, r->count, r->id == gpu->regs.scanout ? ", shown" : "");
    }
}

#define GPU_PROPERTIES \
    VIRTIO_PROPERTIES(gpu_config), \
        PROPERTY(gpu_config, xres, "xres", PROPERTY_NUMBER, 4095, "1280", "what the monitor likes best: width"), \
        PROPERTY(gpu_config, yres, "yres", PROPERTY_NUMBER, 4095, "800", "and height"), \
        PROPERTY(gpu_config, max_outputs, "max_outputs", PROPERTY_NUMBER, 16, "1", "1"), \
        PROPERTY(gpu_config, max_hostmem, "max_hostmem", PROPERTY_NUMBER, GPU_HOSTMEM_MAX, "268435456", \
                 "bytes that pictures of the guest's may take"), \
        PROPERTY(gpu_config, edid, "edid", PROPERTY_BOOL, 0, "on", "the monitor tells of itself")

static const struct property gpu_properties[] = {GPU_PROPERTIES, PROPERTY_END};
static const struct property gpu_vga_properties[] = {
    GPU_PROPERTIES,
    PROPERTY(gpu_config, romfile, "romfile", PROPERTY_STRING, 0, NULL, "video BIOS in a file instead of ours"),
    PROPERTY_END,
};

#define GPU_CLASS(what, class_name, class_alias, class_help, class_code, is_vga, its_properties) \
    static const struct virtio_identity what##_identity = {class_name, 16, 0, class_code, \
                                                           sizeof(struct layout_config)}; \
    static void *virtio_##what##_new(const struct device_site *site, const void *config, GError **error) \
    { \
        return gpu_create_card(site, &what##_identity, is_vga, config, error); \
    } \
    const struct device_class virtio_##what##_class = {.name = class_name, \
                                                       .alias = class_alias, \
                                                       .info = "gpu", \
                                                       .help = class_help, \
                                                       .bus = BUS_PCI, \
                                                       .devfn = -1, \
                                                       .properties = its_properties, \
                                                       .config_size = sizeof(struct gpu_config), \
                                                       .create = virtio_##what##_new, \
                                                       .destroy = gpu_destroy, \
                                                       .reset = gpu_reset, \
                                                       .pieces = gpu_pieces, \
                                                       .before_save = gpu_before_save, \
                                                       .before_load = gpu_before_load, \
                                                       .after_load = gpu_after_load, \
                                                       .dump = gpu_dump}; \
    DEVICE_CLASS(virtio_##what##_class)

GPU_CLASS(gpu, "virtio-gpu-pci", "virtio-gpu", "Virtio graphics card, 2D", 0x038000, false, gpu_properties);
GPU_CLASS(vga, "virtio-vga", NULL, "the same and a VGA until its driver comes", 0x030000, true, gpu_vga_properties);

/* virtio-gpu: each command and its errors, transfers against a model, the cursor, what is seen, memory that is bounded,
 * states in the middle of a transfer.
 */
#include "devices/virtio/virtio_gpu.h"
#include "display.h"
#include "display_number.h"
#include "virtio_guest.h"

extern const struct device_class virtio_gpu_class, virtio_vga_class;

#define CONTROL 0
#define CURSOR  1
#define COMMAND (GUEST_BUFFER)
#define ANSWER  (GUEST_BUFFER + 0x80000)
#define PIXELS  (GUEST_BUFFER + 0x100000)

enum { INFO = 0x100, CREATE, UNREF, SCANOUT, FLUSH, TRANSFER, ATTACH, DETACH, CAPSET_INFO, CAPSET, EDID };

/* As in virtio_gpu.c */
static struct {
    struct virtio_options virtio;
    uint32_t xres, yres, max_outputs;
    uint64_t max_hostmem;
    bool edid;
    const char *romfile;
} config;

static void setup(const struct device_class *class)
{
    guest_free();
    memset(guest_offers, 0, sizeof(guest_offers));
    memset(&config, 0, sizeof(config));
    g_assert_cmpuint(sizeof(config), ==, class->config_size);
    config.virtio.event_idx = config.virtio.indirect_desc = true;
    config.virtio.vectors = VIRTIO_VECTORS_BY_QUEUES;
    config.xres = 800;
    config.yres = 600;
    config.max_outputs = 1;
    config.max_hostmem = 16 * MiB;
    config.edid = true;
    guest_setup(class, &config);
    guest_start(true, 2, 2);
}

static const struct display *display(void)
{
    return guest_service(NULL, "display");
}

static uint32_t answer_len;

/* The words behind the header; the answer's type. */
static uint32_t ask_words(uint32_t type, const uint32_t *words, unsigned count, uint32_t flags)
{
    uint32_t head = 0;
    const uint32_t header[6] = {type, flags, 0x1234, 0x5678, 9, 0};
    mem_write(COMMAND, header, sizeof(header));
    mem_write(COMMAND + 24, words, 4 * count);
    memset(guest_mem.ram + ANSWER, 0xee, 2048);
    uint16_t at = guest_put(CONTROL, COMMAND, 24 + 4 * count, false, true);
    guest_put(CONTROL, ANSWER, 2048, true, false);
    guest_kick(CONTROL, at);
    for (unsigned i = 0; i < 200 && guest.queue[CONTROL].used_index == guest_used_index(CONTROL); i++)
        guest_settle();
    g_assert_true(guest_take(CONTROL, &head, &answer_len));
    g_assert_cmpuint(head, ==, at);
    return guest_read(ANSWER, 4);
}

#define ask(type, ...) ask_words(type, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / 4, 0)

static uint32_t attach(uint32_t id, uint64_t address, uint32_t len)
{
    return ask(ATTACH, id, 1, (uint32_t)address, (uint32_t)(address >> 32), len, 0);
}

static uint32_t number(uint32_t below)
{
    return (uint32_t)g_random_int() % below;
}

static uint32_t *picture(unsigned *width, unsigned *height)
{
    const struct display *d = display();
    d->size(d->opaque, width, height);
    uint32_t *pixels = g_new(uint32_t, *width * *height);
    g_assert_true(d->rows(d->opaque, *width, *height, 0, *height, pixels));
    return pixels;
}

static uint32_t pixel_at(unsigned x, unsigned y)
{
    unsigned width, height;
    uint32_t *pixels = picture(&width, &height), pixel = pixels[y * width + x];
    g_free(pixels);
    return pixel;
}

static void test_identity(void)
{
    setup(&virtio_gpu_class);
    g_assert_cmphex(guest_config(0, 4), ==, 0x10501af4);
    g_assert_cmphex(guest_config(8, 4) >> 8, ==, 0x038000);
    g_assert_cmphex(guest.features & 3, ==, 2);
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 8, 4), ==, 1);
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 12, 4), ==, 0);
    setup(&virtio_vga_class);
    g_assert_cmphex(guest_config(0, 4), ==, 0x10501af4);
    g_assert_cmphex(guest_config(8, 4) >> 8, ==, 0x030000);
}

static void test_display_info(void)
{
    setup(&virtio_gpu_class);
    g_assert_cmphex(ask_words(INFO, NULL, 0, 0), ==, GPU_OK_DISPLAY_INFO);
    g_assert_cmpuint(answer_len, ==, 24 + 16 * 24);
    g_assert_cmpuint(guest_read(ANSWER + 32, 4), ==, 800);
    g_assert_cmpuint(guest_read(ANSWER + 36, 4), ==, 600);
    g_assert_cmpuint(guest_read(ANSWER + 40, 4), ==, 1);
    g_assert_cmpuint(guest_read(ANSWER + 64, 4), ==, 0); /* the second one is off */
}

static void test_edid(void)
{
    uint8_t edid[128], sum = 0;
    setup(&virtio_gpu_class);
    g_assert_cmphex(ask(EDID, 0, 0), ==, GPU_OK_EDID);
    mem_read(ANSWER + 32, edid, 128);
    for (unsigned i = 0; i < 128; i++)
        sum += edid[i];
    g_assert_cmpuint(sum, ==, 0);
    g_assert_cmpuint(edid[56] | (edid[58] & 0xf0) << 4, ==, 800);
    g_assert_cmpuint(edid[59] | (edid[61] & 0xf0) << 4, ==, 600);
    g_assert_cmphex(ask(EDID, 1, 0), ==, GPU_ERR_INVALID_PARAMETER);
}

static void test_fence(void)
{
    setup(&virtio_gpu_class);
    ask_words(INFO, NULL, 0, 1);
    g_assert_cmphex(guest_read(ANSWER + 4, 4), ==, 1);
    g_assert_cmphex(guest_read(ANSWER + 8, 4), ==, 0x1234);
    g_assert_cmphex(guest_read(ANSWER + 12, 4), ==, 0x5678);
    g_assert_cmphex(guest_read(ANSWER + 16, 4), ==, 9);
    ask_words(INFO, NULL, 0, 0);
    g_assert_cmphex(guest_read(ANSWER + 8, 4), ==, 0);
}

static void test_errors(void)
{
    setup(&virtio_gpu_class);
    g_assert_cmphex(ask(CREATE, 0, 1, 64, 64), ==, GPU_ERR_INVALID_RESOURCE_ID);
    g_assert_cmphex(ask(CREATE, 1, 99, 64, 64), ==, GPU_ERR_INVALID_PARAMETER);
    g_assert_cmphex(ask(CREATE, 1, 1, 0, 64), ==, GPU_ERR_INVALID_PARAMETER);
    g_assert_cmphex(ask(CREATE, 1, 1, UINT32_MAX, UINT32_MAX), ==, GPU_ERR_OUT_OF_MEMORY);
    g_assert_cmphex(ask(CREATE, 1, 1, 0x8000, 0x8000), ==, GPU_ERR_OUT_OF_MEMORY);
    g_assert_cmphex(ask(CREATE, 1, 1, 4096, 1025), ==, GPU_ERR_OUT_OF_MEMORY);
    g_assert_cmphex(ask(CREATE, 1, 1, 64, 64), ==, GPU_OK_NODATA);
    g_assert_cmphex(ask(CREATE, 1, 1, 64, 64), ==, GPU_ERR_INVALID_RESOURCE_ID);
    g_assert_cmphex(ask(TRANSFER, 0, 0, 64, 64, 0, 0, 1, 0), ==, GPU_ERR_INVALID_RESOURCE_ID); /* no backing */
    g_assert_cmphex(ask(ATTACH, 2, 1, PIXELS, 0, 4096, 0), ==, GPU_ERR_INVALID_RESOURCE_ID);
    g_assert_cmphex(ask(ATTACH, 1, 20000), ==, GPU_ERR_UNSPEC);
    g_assert_cmphex(ask(ATTACH, 1, 2, PIXELS, 0, 4096, 0), ==, GPU_ERR_UNSPEC); /* one of two is there */
    g_assert_cmphex(ask(ATTACH, 1, 0), ==, GPU_ERR_UNSPEC);
    g_assert_cmphex(attach(1, PIXELS, 64 * 64 * 4), ==, GPU_OK_NODATA);
    g_assert_cmphex(attach(1, PIXELS, 64 * 64 * 4), ==, GPU_ERR_UNSPEC);
    g_assert_cmphex(ask(TRANSFER, 1, 0, 64, 64, 0, 0, 1, 0), ==, GPU_ERR_INVALID_PARAMETER);
    g_assert_cmphex(ask(TRANSFER, UINT32_MAX, 0, 2, 1, 0, 0, 1, 0), ==, GPU_ERR_INVALID_PARAMETER);
    g_assert_cmphex(ask(TRANSFER, 1, 0, UINT32_MAX, 1, 0, 0, 1, 0), ==, GPU_ERR_INVALID_PARAMETER);
    g_assert_cmphex(ask(TRANSFER, 0, 1, 1, UINT32_MAX, 0, 0, 1, 0), ==, GPU_ERR_INVALID_PARAMETER);
    g_assert_cmphex(ask(TRANSFER, 0, 0, 64, 64, 0, 0, 5, 0), ==, GPU_ERR_INVALID_RESOURCE_ID);
    g_assert_cmphex(ask(FLUSH, 0, 0, 64, 64, 5, 0), ==, GPU_ERR_INVALID_RESOURCE_ID);
    g_assert_cmphex(ask(FLUSH, 0, 1, 64, 64, 1, 0), ==, GPU_ERR_INVALID_PARAMETER);
    g_assert_cmphex(ask(FLUSH, 0, 0, 64, 64, 1, 0), ==, GPU_OK_NODATA);
    g_assert_cmphex(ask(SCANOUT, 0, 0, 64, 64, 1, 1), ==, GPU_ERR_INVALID_SCANOUT_ID);
    g_assert_cmphex(ask(SCANOUT, 0, 0, 64, 64, 0, 5), ==, GPU_ERR_INVALID_RESOURCE_ID);
    g_assert_cmphex(ask(SCANOUT, 0, 0, 65, 64, 0, 1), ==, GPU_ERR_INVALID_PARAMETER);
    g_assert_cmphex(ask(SCANOUT, 0, 0, 15, 64, 0, 1), ==, GPU_ERR_INVALID_PARAMETER);
    g_assert_cmphex(ask(SCANOUT, 0, 0, 64, 64, 0, 1), ==, GPU_OK_NODATA);
    g_assert_cmphex(ask(SCANOUT, 0, 0, 0, 0, 0, 0), ==, GPU_OK_NODATA);
    g_assert_cmphex(ask(DETACH, 1, 0), ==, GPU_OK_NODATA);
    g_assert_cmphex(ask(DETACH, 1, 0), ==, GPU_ERR_INVALID_RESOURCE_ID);
    g_assert_cmphex(ask(UNREF, 1, 0), ==, GPU_OK_NODATA);
    g_assert_cmphex(ask(UNREF, 1, 0), ==, GPU_ERR_INVALID_RESOURCE_ID);
    g_assert_cmphex(ask(CAPSET_INFO, 0, 0), ==, GPU_ERR_INVALID_PARAMETER);
    g_assert_cmphex(ask(CAPSET, 0, 0), ==, GPU_ERR_INVALID_PARAMETER);
    g_assert_cmphex(ask(0x207, 0, 0), ==, GPU_ERR_UNSPEC);                 /* 3D */
    g_assert_cmphex(ask(CREATE, 1, 1, 64), ==, GPU_ERR_INVALID_PARAMETER); /* cut short */
}

/* In pieces, with formats, from any offset. */
static void test_transfers(void)
{
    static const uint32_t formats[] = {1, 2, 3, 4, 67, 68, 121, 134};
    static const uint8_t at[8][3] = {{2, 1, 0}, {2, 1, 0}, {1, 2, 3}, {1, 2, 3},
                                     {0, 1, 2}, {3, 2, 1}, {3, 2, 1}, {0, 1, 2}}; /* red, green, blue */
    for (unsigned n = 0; n < 80; n++) {
        setup(&virtio_gpu_class);
        uint32_t w = 16 + number(60), h = 16 + number(60), size = w * h * 4, f = number(8);
        g_assert_cmphex(ask(CREATE, 7, formats[f], w, h), ==, GPU_OK_NODATA);
        uint8_t *backing = g_malloc(size), *model = g_malloc0(size);
        uint32_t words[2 + 4 * 40] = {7, 0}, done = 0, pieces = 0;
        for (uint32_t i = 0; i < size; i++)
            backing[i] = (uint8_t)g_random_int();
        while (done < size && pieces < 40) { /* each piece somewhere else, backwards in memory */
            uint32_t len = 1 + number(size / 8);
            if (len > size - done || pieces == 39)
                len = size - done;
            uint64_t to = PIXELS + 0x20000 * (uint64_t)(39 - pieces);
            mem_write(to, backing + done, len);
            words[2 + 4 * pieces] = (uint32_t)to;
            words[4 + 4 * pieces] = len;
            done += len;
            words[1] = ++pieces;
        }
        g_assert_cmphex(ask_words(ATTACH, words, 2 + 4 * pieces, 0), ==, GPU_OK_NODATA);
        g_assert_cmphex(ask(SCANOUT, 0, 0, w, h, 0, 7), ==, GPU_OK_NODATA);
        for (unsigned t = 0; t < 8; t++) {
            uint32_t x = number(w), y = number(h), tw = number(w - x + 1), th = number(h - y + 1);
            uint32_t offset = number(3) ? (y * w + x) * 4 : number(size + 100);
            g_assert_cmphex(ask(TRANSFER, x, y, tw, th, offset, 0, 7, 0), ==, GPU_OK_NODATA);
            for (uint32_t j = 0; j < th; j++) {
                for (uint32_t i = 0; i < tw * 4; i++) {
                    uint32_t from = offset + j * w * 4 + i;
                    if (from < size)
                        model[((y + j) * w + x) * 4 + i] = backing[from];
                }
            }
        }
        if (n % 2)
            guest_reload(&config);
        unsigned width, height;
        uint32_t *pixels = picture(&width, &height);
        g_assert_cmpuint(width, ==, w);
        g_assert_cmpuint(height, ==, h);
        for (uint32_t i = 0; i < w * h; i++) {
            const uint8_t *m = model + 4 * i;
            g_assert_cmphex(pixels[i], ==, (uint32_t)m[at[f][0]] << 16 | (uint32_t)m[at[f][1]] << 8 | m[at[f][2]]);
        }
        g_free(pixels);
        g_free(backing);
        g_free(model);
    }
}

static void test_part_of_a_resource_is_shown(void)
{
    setup(&virtio_gpu_class);
    uint32_t pixels[32 * 32];
    for (unsigned i = 0; i < 32 * 32; i++)
        pixels[i] = i;
    mem_write(PIXELS, pixels, sizeof(pixels));
    ask(CREATE, 1, 2, 32, 32);
    attach(1, PIXELS, sizeof(pixels));
    ask(TRANSFER, 0, 0, 32, 32, 0, 0, 1, 0);
    g_assert_cmphex(ask(SCANOUT, 5, 7, 20, 18, 0, 1), ==, GPU_OK_NODATA);
    unsigned width, height;
    uint32_t *seen = picture(&width, &height);
    g_assert_cmpuint(width, ==, 20);
    g_assert_cmpuint(height, ==, 18);
    for (unsigned i = 0; i < 20 * 18; i++)
        g_assert_cmpuint(seen[i], ==, (7 + i / 20) * 32 + 5 + i % 20);
    g_free(seen);
    ask(UNREF, 1, 0); /* and the screen is empty */
    display()->size(display()->opaque, &width, &height);
    g_assert_cmpuint(width, ==, 640);
    ask(CREATE, 2, 2, 32, 32); /* in its place, and nothing of it is left */
    ask(SCANOUT, 0, 0, 32, 32, 0, 2);
    for (unsigned i = 0; i < 32; i++)
        g_assert_cmphex(pixel_at(i, i), ==, 0);
}

static void test_serial(void)
{
    setup(&virtio_gpu_class);
    const struct display *d = display();
    uint64_t serial = display_number(d);
    g_assert_cmpuint(display_number(d), ==, serial);
    ask(CREATE, 1, 2, 32, 32);
    attach(1, PIXELS, 4096);
    g_assert_cmpuint(display_number(d), ==, serial);
    ask(SCANOUT, 0, 0, 32, 32, 0, 1);
    g_assert_cmpuint(display_number(d), !=, serial);
    serial = display_number(d);
    ask(TRANSFER, 0, 0, 32, 32, 0, 0, 1, 0);
    ask(FLUSH, 0, 0, 32, 32, 1, 0);
    g_assert_cmpuint(display_number(d), !=, serial);
}

/* What is freed can be had again, also in another order; what is left stays what it was. */
static void test_memory_is_bounded(void)
{
    setup(&virtio_gpu_class);
    uint32_t size[65] = {0}, total = 0, full = 0;
    for (unsigned n = 0; n < 1500; n++) {
        uint32_t id = 1 + number(64), w = 1 + number(1200), h = 1 + number(700);
        uint32_t bytes = (w * h * 4 + 4095) & ~4095u;
        if (size[id]) {
            g_assert_cmphex(ask(UNREF, id, 0), ==, GPU_OK_NODATA);
            total -= size[id];
            size[id] = 0;
        } else {
            bool fits = total + bytes <= 16 * MiB;
            g_assert_cmphex(ask(CREATE, id, 1, w, h), ==, fits ? GPU_OK_NODATA : GPU_ERR_OUT_OF_MEMORY);
            full += !fits;
            if (!fits)
                continue;
            size[id] = bytes;
            total += bytes;
            mem_write(PIXELS, &id, 4);
            if (w < 16 || h < 16)
                continue;
            attach(id, PIXELS, 4);
            g_assert_cmphex(ask(TRANSFER, 0, 0, 1, 1, 0, 0, id, 0), ==, GPU_OK_NODATA);
        }
        for (id = 1; id < 65 && n % 16 == 0; id++) {
            if (size[id] && ask(SCANOUT, 0, 0, 16, 16, 0, id) == GPU_OK_NODATA) {
                g_assert_cmphex(pixel_at(0, 0), ==, id);
                g_assert_cmphex(pixel_at(1, 0), ==, 0);
            }
        }
        if (n % 400 == 399)
            guest_reload(&config);
    }
    g_assert_cmpuint(full, >, 20);
}

/* All pages are taken, and given back. */
static void test_pages_are_bounded(void)
{
    setup(&virtio_gpu_class);
    uint32_t *words = g_new0(uint32_t, 2 + 4 * 16384);
    for (unsigned id = 1; id <= 6; id++)
        ask(CREATE, id, 1, 16, 16);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned id = 1; id <= 5; id++) {
            words[0] = id;
            words[1] = 16384;
            g_assert_cmphex(ask_words(ATTACH, words, 2 + 4 * 16384, 0), ==,
                            id <= 4 ? GPU_OK_NODATA : GPU_ERR_OUT_OF_MEMORY);
        }
        ask(DETACH, 2, 0); /* a hole in the middle */
        words[0] = 5;
        g_assert_cmphex(ask_words(ATTACH, words, 2 + 4 * 16384, 0), ==, GPU_OK_NODATA);
        for (unsigned id = 1; id <= 5; id++)
            ask(DETACH, id, 0);
    }
    g_free(words);
}

static void cursor(uint32_t type, uint32_t scanout, uint32_t x, uint32_t y, uint32_t id)
{
    const uint32_t words[14] = {type, 0, 0, 0, 0, 0, scanout, x, y, 0, id, 3, 4, 0};
    mem_write(COMMAND, words, sizeof(words));
    guest_kick(CURSOR, guest_put(CURSOR, COMMAND, sizeof(words), false, false));
    g_assert_true(guest_take(CURSOR, NULL, NULL));
}

static void test_cursor(void)
{
    setup(&virtio_gpu_class);
    uint32_t words[64 * 64] = {0x80402010, 0xffabcdef};
    for (unsigned i = 0; i < 64 * 64; i++)
        guest_write(PIXELS + 0x10000 + 4 * i, 4, 0x808080);
    mem_write(PIXELS, words, sizeof(words));
    for (uint32_t id = 1; id <= 2; id++) {
        ask(CREATE, id, 1, 64, 64);
        attach(id, PIXELS + 0x10000 * (id - 1), sizeof(words));
        ask(TRANSFER, 0, 0, 64, 64, 0, 0, id, 0);
    }
    ask(SCANOUT, 0, 0, 64, 64, 0, 2);
    cursor(0x300, 0, 10, 20, 1);
    g_assert_cmphex(pixel_at(10, 20), ==, 0x806050);
    g_assert_cmphex(pixel_at(11, 20), ==, 0xabcdef);
    g_assert_cmphex(pixel_at(12, 20), ==, 0x808080);
    static struct display_cursor shape;
    static uint32_t bare[64 * 64];
    const struct display *d = display();
    g_assert_true(d->cursor(d->opaque, &shape));
    g_assert_cmpmem(shape.pixels, sizeof(shape.pixels), words, sizeof(words));
    g_assert_true(shape.x == 10 && shape.y == 20 && shape.width == 64 && shape.hot_x == 3 && shape.hot_y == 4);
    g_assert_true(d->bare_rows(d->opaque, 64, 64, 0, 64, bare));
    g_assert_cmphex(bare[20 * 64 + 11], ==, 0x808080);
    d->overlay(d->opaque, 64, 0, 64, bare);
    g_assert_cmphex(bare[20 * 64 + 11], ==, 0xabcdef);
    guest_reload(&config);
    g_assert_cmphex(pixel_at(11, 20), ==, 0xabcdef);
    cursor(0x301, 0, 0u - 1, 5, 0);
    g_assert_cmphex(pixel_at(11, 20), ==, 0x808080);
    g_assert_cmphex(pixel_at(0, 5), ==, 0xabcdef);
    cursor(0x301, 1, 30, 30, 0); /* of another screen */
    g_assert_cmphex(pixel_at(0, 5), ==, 0xabcdef);
    cursor(0x300, 0, 0, 5, 0);
    g_assert_cmphex(pixel_at(1, 5), ==, 0x808080);
    d = display();
    g_assert_true(d->cursor(d->opaque, &shape));
    g_assert_cmpuint(shape.width, ==, 0);
}

/* A long transfer takes several runs, and a machine that is moved between two of them goes on. */
static void test_budget(void)
{
    setup(&virtio_gpu_class);
    g_assert_cmphex(ask(CREATE, 1, 1, 2048, 2047), ==, GPU_OK_NODATA);
    for (uint32_t i = 0; i < 0x800000; i += 4096)
        guest_write(PIXELS + i, 4, 0x111111 + i / 4096);
    const uint32_t words[] = {ATTACH, 0, 0, 0, 0, 0, 1, 2, PIXELS, 0, 0x7fe000, 0, PIXELS, 0, 0x800000, 0};
    g_assert_cmphex(ask_words(ATTACH, words + 6, 10, 0), ==, GPU_OK_NODATA);
    ask(SCANOUT, 0, 0, 2048, 2047, 0, 1);
    const uint32_t command[] = {TRANSFER, 0, 0, 0, 0, 0, 0, 0, 2048, 2047, 0, 0, 1, 0};
    mem_write(COMMAND, command, sizeof(command));
    uint16_t at = guest_put(CONTROL, COMMAND, sizeof(command), false, true);
    guest_put(CONTROL, ANSWER, 2048, true, false);
    guest_avail(CONTROL, at);
    guest_notify(CONTROL);
    g_assert_true(gpu_run(guest.dev, CONTROL)); /* one run of it */
    g_assert_false(guest_take(CONTROL, NULL, NULL));
    g_assert_cmphex(pixel_at(0, 0), ==, 0x111111);
    g_assert_cmphex(pixel_at(0, 2046), ==, 0);
    guest_reload(&config);
    guest_settle();
    g_assert_true(guest_take(CONTROL, NULL, NULL));
    g_assert_cmphex(guest_read(ANSWER, 4), ==, GPU_OK_NODATA);
    for (unsigned y = 0; y < 2046; y += 31) { /* 8 KiB a row: every second page's beginning */
        uint32_t byte = y * 8192, from = byte < 0x7fe000 ? byte : byte - 0x7fe000;
        g_assert_cmphex(pixel_at(0, y), ==, 0x111111 + from / 4096);
    }
}

/* A driver that makes another command of one that is half done. */
static void test_progress_is_the_commands_own(void)
{
    setup(&virtio_gpu_class);
    ask(CREATE, 1, 1, 2048, 2047);
    attach(1, PIXELS, 4096);
    guest_write(PIXELS, 4, 0x123456);
    const uint32_t command[] = {TRANSFER, 0, 0, 0, 0, 0, 0, 0, 2048, 2047, 0, 0, 1, 0};
    mem_write(COMMAND, command, sizeof(command));
    uint16_t at = guest_put(CONTROL, COMMAND, sizeof(command), false, true);
    guest_put(CONTROL, ANSWER, 2048, true, false);
    guest_avail(CONTROL, at);
    guest_notify(CONTROL);
    g_assert_true(gpu_run(guest.dev, CONTROL));
    guest_write(COMMAND, 4, INFO);
    guest_settle();
    g_assert_true(guest_take(CONTROL, NULL, NULL));
    g_assert_cmphex(guest_read(ANSWER, 4), ==, GPU_OK_DISPLAY_INFO);
    ask(CREATE, 3, 1, 32, 64);
    attach(3, PIXELS, 0x2000);
    ask(TRANSFER, 0, 0, 32, 64, 0, 0, 3, 0);
    ask(SCANOUT, 0, 0, 32, 64, 0, 3);
    g_assert_cmphex(pixel_at(0, 0), ==, 0x123456);
}

static void test_vga_until_a_scanout(void)
{
    unsigned width, height;
    setup(&virtio_vga_class);
    guest_config_set(PCI_BAR0, 4, 0xe2000000);
    ioport_write(0x1ce, 2, 1);
    ioport_write(0x1cf, 2, 320);
    ioport_write(0x1ce, 2, 2);
    ioport_write(0x1cf, 2, 200);
    ioport_write(0x1ce, 2, 3);
    ioport_write(0x1cf, 2, 32);
    ioport_write(0x1ce, 2, 4);
    ioport_write(0x1cf, 2, 0x41);
    guest_write(0xe2000000, 4, 0x123456);
    g_assert_cmphex(pixel_at(0, 0), ==, 0x123456);
    uint64_t serial = display_number(display());
    ask(CREATE, 1, 1, 64, 64);
    ask(SCANOUT, 0, 0, 64, 64, 0, 1);
    g_assert_cmpuint(display_number(display()), !=, serial);
    display()->size(display()->opaque, &width, &height);
    g_assert_cmpuint(width, ==, 64);
    guest_reload(&config);
    guest_config_set(PCI_BAR0, 4, 0xe2000000);
    guest_set_status(0); /* its driver goes */
    g_assert_cmphex(pixel_at(0, 0), ==, 0x123456);
}

/* No state that a guest cannot have made. */
static void test_strange_resources(void)
{
    for (unsigned n = 0; n < 300; n++) {
        setup(&virtio_gpu_class);
        for (uint32_t id = 1; id <= 4; id++) {
            ask(CREATE, id, 1, 64, 64);
            attach(id, PIXELS, 0x4000);
        }
        ask(SCANOUT, 0, 0, 64, 64, 0, 2);
        GByteArray *saved = device_saved(guest.class, guest.dev);
        uint8_t *at = memmem(saved->data, saved->len, "\tresources", 10);
        g_assert_nonnull(at);
        for (unsigned i = 1 + number(2); i--;) {
            uint32_t value = number(2) ? number(40) * 4096 : (uint32_t)g_random_int() >> number(32);
            memcpy(at + 18 + 4 * number(28), &value, 4);
        }
        if (device_load(guest.class, guest.dev, saved->data, saved->len)) {
            for (uint32_t id = 1; id <= 5; id++) {
                ask(TRANSFER, 0, 0, 64, 64, 0, 0, id, 0);
                ask(SCANOUT, 0, 0, 16, 16, 0, id);
                pixel_at(0, 0);
                ask(CREATE, id, 1, 900, 900);
                ask(UNREF, id, 0);
            }
        }
        g_byte_array_unref(saved);
    }
}

#define TEST(name) g_test_add_func("/virtio_gpu/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(identity);
    TEST(display_info);
    TEST(edid);
    TEST(fence);
    TEST(errors);
    TEST(transfers);
    TEST(part_of_a_resource_is_shown);
    TEST(serial);
    TEST(memory_is_bounded);
    TEST(pages_are_bounded);
    TEST(cursor);
    TEST(budget);
    TEST(progress_is_the_commands_own);
    TEST(vga_until_a_scanout);
    TEST(strange_resources);
    return g_test_run();
}

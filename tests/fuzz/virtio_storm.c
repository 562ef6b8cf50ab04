/* Every class on the virtio transport (whatever is a PCI device called virtio-*), without a processor, under random
 * operations: drivers of the legacy and the modern interface that set queues up, put chains into them, and break them
 * (loops, lengths, addresses in registers, ROM and beyond memory, indirect tables of nonsense); accesses to all
 * registers and to the configuration; back ends that refuse, fail, come and go; resets; states saved, damaged and
 * loaded at any moment, also into a board made afresh. Nothing may end the process, hang it, leak, or grow; what a
 * device saves it takes back, and saves the same again.
 *
 * usage: virtio_storm [--ops N] [--seed S] [--class NAME]
 *
 * As net_storm; the long run by hand: virtio_storm --ops 10000000 --class virtio-blk-pci
 */
#define STORM "virtio_storm"
#include "backend.h"
#include "balloon.h"
#include "block.h"
#include "display.h"
#include "devices/virtio/virtio_pci.h"
#include "fsdev.h"
#include "input.h"
#include "netdev.h"
#include "storm.h"

#define RINGS       0x10000u /* RING_STRIDE for each queue */
#define RING_STRIDE 0x8000u
#define BUFFERS     0x220000u
#define BUFFERS_END 0x3e0000u
#define QUEUES_MAX  64u

static char *board_row; /* what the class is given: the same for a board that takes over a state */
static uint64_t counted[4], broke;
enum { REQUESTS, BYTES, FRAMES, NEWS };

/* --- Media: requests end some time later, or not well --- */

struct request {
    void *to;
    uint32_t len;
    block_done_fn *done;
    void *opaque;
};

static struct block medium;
static struct device_drive drive = {.id = "drive", .block = &medium, .cylinders = 4, .heads = 4, .sectors = 16};
static GArray *requests;

static void request_add(struct block *block, uint64_t offset, void *to, uint32_t len, block_done_fn *done, void *opaque)
{
    struct request request = {to, len, done, opaque};
    if (offset > block->size || len > block->size - offset)
        FAIL("a request for %u bytes at %llu of %llu", len, (unsigned long long)offset,
             (unsigned long long)block->size);
    g_array_append_val(requests, request);
    counted[REQUESTS]++;
}

static void medium_read(struct block *block, uint64_t offset, void *to, uint32_t len, block_done_fn *done, void *opaque)
{
    request_add(block, offset, to, len, done, opaque);
}

static void medium_write(struct block *block, uint64_t offset, const void *from, uint32_t len, block_done_fn *done,
                         void *opaque)
{
    request_add(block, offset, NULL, len, done, opaque);
}

static void medium_flush(struct block *block, block_done_fn *done, void *opaque)
{
    request_add(block, 0, NULL, 0, done, opaque);
}

static void medium_discard(struct block *block, uint64_t offset, uint32_t len, block_done_fn *done, void *opaque)
{
    request_add(block, offset, NULL, len, done, opaque);
}

static void medium_zero(struct block *block, uint64_t offset, uint32_t len, bool may_unmap, block_done_fn *done,
                        void *opaque)
{
    request_add(block, offset, NULL, len, done, opaque);
}

static const struct block_ops medium_ops = {medium_read, medium_write, medium_flush, .discard = medium_discard,
                                            .write_zeroes = medium_zero};

static void request_end(void)
{
    if (!requests->len)
        return;
    unsigned i = below(requests->len);
    struct request request = g_array_index(requests, struct request, i);
    g_array_remove_index_fast(requests, i);
    if (request.to)
        memset(request.to, (int)rnd(), request.len);
    request.done(request.opaque, below(8) ? 0 : 5);
}

/* --- A cable, a line, a source --- */

static struct netdev cable;
static bool cable_is_full;
static uint8_t sum; /* of what was sent: so that it is looked at */

static bool cable_send(struct netdev *netdev, const struct iovec *pieces, unsigned count,
                       const struct netdev_offload *offload)
{
    for (unsigned i = 0; i < count; i++) {
        for (size_t n = 0; n < pieces[i].iov_len; n++)
            sum ^= ((const uint8_t *)pieces[i].iov_base)[n];
    }
    counted[FRAMES] += !cable_is_full;
    return !cable_is_full;
}

static void cable_ready(struct netdev *netdev)
{
}

static const struct netdev_ops cable_ops = {cable_send, cable_ready, NULL};

#define LINES 3
static struct chardev line[LINES];

static size_t line_write(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    size_t taken = below(4) ? len : below((uint32_t)len + 1);
    for (size_t i = 0; i < taken; i++)
        sum ^= bytes[i];
    counted[BYTES] += taken;
    return taken;
}

static void line_room_changed(struct chardev *chardev)
{
    uint8_t bytes[256];
    size_t room = chardev->front->room(chardev->front_opaque);
    memset(bytes, (int)rnd(), sizeof(bytes));
    if (room)
        chardev->front->receive(chardev->front_opaque, bytes, below((uint32_t)MIN(room, sizeof(bytes)) + 1));
}

static const struct chardev_ops line_ops = {.write = line_write, .room_changed = line_room_changed};

/* --- A folder: answers come in any order, and of any length that there is room for --- */

static struct {
    struct fsdev fsdev; /* first */
    enum slot_state { FREE, SENT, ANSWERED, TAKEN } state[FSDEV_SLOTS];
    uint8_t message[FSDEV_SLOTS][FSDEV_MESSAGE_MAX], answer[FSDEV_MESSAGE_MAX];
    uint32_t len[FSDEV_SLOTS];
    uint8_t session[64];
    uint32_t session_len;
} folder;

/* From anywhere on, the first slot in that state. */
static bool slot_find(enum slot_state state, unsigned *slot)
{
    unsigned from = below(FSDEV_SLOTS);
    for (unsigned i = 0; i < FSDEV_SLOTS; i++) {
        *slot = (from + i) % FSDEV_SLOTS;
        if (folder.state[*slot] == state)
            return true;
    }
    return false;
}

static uint8_t *folder_begin(struct fsdev *fsdev, unsigned *slot)
{
    return below(32) && slot_find(FREE, slot) ? folder.message[*slot] : NULL;
}

static void folder_send(struct fsdev *fsdev, unsigned slot, uint32_t len, uint32_t room)
{
    if (folder.state[slot] != FREE || len > FSDEV_MESSAGE_MAX || room > FSDEV_MESSAGE_MAX)
        FAIL("a message of %u bytes, room for %u, in slot %u, which is %d", len, room, slot, folder.state[slot]);
    for (uint32_t i = 0; i < len; i++)
        sum ^= folder.message[slot][i];
    folder.state[slot] = SENT;
    folder.len[slot] = below(4) ? MIN(room, below(64) ? 7 + below(300) : below(7)) : room; /* or less than a header */
    for (unsigned i = 0; i < sizeof(folder.session); i++)
        folder.session[i] ^= (uint8_t)rnd();
    folder.session_len = 1 + below(sizeof(folder.session));
    counted[REQUESTS]++;
}

static bool folder_take(struct fsdev *fsdev, struct fsdev_answer *answer)
{
    unsigned slot;
    if (!slot_find(ANSWERED, &slot))
        return false;
    folder.state[slot] = TAKEN;
    *answer = (struct fsdev_answer){slot, folder.answer, folder.len[slot]};
    return true;
}

static void folder_release(struct fsdev *fsdev, unsigned slot)
{
    if (folder.state[slot] != TAKEN)
        FAIL("slot %u is released and was not taken", slot);
    folder.state[slot] = FREE;
    counted[BYTES] += folder.len[slot];
}

static bool folder_wait(struct fsdev *fsdev)
{
    unsigned slot;
    if (slot_find(ANSWERED, &slot))
        return true;
    if (below(2) || !slot_find(SENT, &slot))
        return false;
    folder.state[slot] = ANSWERED;
    return true;
}

static void folder_reset(struct fsdev *fsdev)
{
    memset(folder.state, 0, sizeof(folder.state));
    folder.session_len = 0;
}

static void folder_settle(struct fsdev *fsdev)
{
    for (unsigned i = 0; i < FSDEV_SLOTS; i++)
        folder.state[i] = folder.state[i] == SENT ? ANSWERED : folder.state[i];
}

static uint32_t folder_save(struct fsdev *fsdev, uint8_t *bytes)
{
    memcpy(bytes, folder.session, folder.session_len);
    return folder.session_len;
}

static void folder_load(struct fsdev *fsdev, const uint8_t *bytes, uint32_t len)
{
    folder.session_len = MIN(len, (uint32_t)sizeof(folder.session)); /* it may be a damaged one */
    memcpy(folder.session, bytes, folder.session_len);
}

static const struct fsdev_ops folder_ops = {folder_begin, folder_send,   folder_take, folder_release, folder_wait,
                                            folder_reset, folder_settle, folder_save, folder_load};

static void folder_act(void)
{
    unsigned slot;
    for (unsigned i = below(4); i-- && slot_find(SENT, &slot);)
        folder.state[slot] = ANSWERED;
    if (folder.fsdev.front)
        folder.fsdev.front->answered(folder.fsdev.front_opaque);
}

static bool rng_get(void *opaque, uint8_t *bytes, size_t len)
{
    memset(bytes, (int)rnd(), len);
    counted[BYTES] += len;
    return below(8);
}

static bool rng_is_there(void *opaque, const char *id)
{
    return true;
}

static void port_changed(void *opaque, const char *device, bool open)
{
    counted[NEWS]++;
}

static void balloon_changed(void *opaque, uint64_t bytes)
{
    counted[NEWS]++;
    if (bytes > guest_mem.ram_size)
        FAIL("more memory than there is");
}

static const struct board_rng rng = {rng_get, rng_is_there, NULL};
static const struct board_news news = {port_changed, balloon_changed, NULL};

static void net_act(void)
{
    static uint8_t bytes[NETDEV_FRAME_MAX];
    const struct netdev_front *front = cable.front;
    struct netdev_offload offload = {0};
    size_t len = below(16) ? 14 + below(1505) : 14 + below(NETDEV_FRAME_MAX - 13);
    if (!front)
        return;
    switch (below(8)) {
    case 0:
        cable_is_full = !cable_is_full;
        if (!cable_is_full)
            front->sendable(cable.front_opaque);
        break;
    case 1:
        cable.link_up = below(4);
        front->link_changed(cable.front_opaque);
        break;
    default:
        memset(bytes, (int)rnd(), len);
        memset(bytes, 0xff, 6);
        if (below(8) == 0)
            offload.gso_type = (uint8_t)below(6);
        front->receive(cable.front_opaque, bytes, len, &offload);
        break;
    }
}

static void line_act(void)
{
    struct chardev *chardev = &line[below(LINES)];
    if (!chardev->front)
        return;
    switch (below(4)) {
    case 0:
        chardev->front->event(chardev->front_opaque, (enum chardev_event)below(CHARDEV_FOCUS_OUT + 1));
        break;
    case 1:
        chardev->front->writable(chardev->front_opaque);
        break;
    default:
        line_room_changed(chardev);
        break;
    }
}

static void balloon_act(const struct balloon *balloon)
{
    uint64_t stat[BALLOON_STATS];
    switch (below(4)) {
    case 0:
        balloon->set_target(balloon->opaque, below(4) ? rnd() % guest_mem.ram_size : (uint64_t)rnd() << below(32));
        break;
    case 1:
        balloon->set_polling(balloon->opaque, below(2) ? below(3) : value());
        break;
    default:
        balloon->stats(balloon->opaque, stat);
        balloon->actual(balloon->opaque);
        break;
    }
}

/* Somebody looks. */
static void display_act(const struct display *display)
{
    static uint32_t pixels[2048 * 2048];
    unsigned width, height;
    uint64_t number;
    display->serial(display->opaque, &number);
    display->size(display->opaque, &width, &height);
    if ((uint64_t)width * height <= G_N_ELEMENTS(pixels) &&
        !display->rows(display->opaque, width, height, 0, height, pixels))
        FAIL("there is no picture of %ux%u", width, height);
}

static void back_end_acts(void)
{
    const struct balloon *balloon = board_service(registry_board(registry), "balloon");
    const struct input_sink *sink = board_service(registry_board(registry), "input");
    const struct display *display = board_service(registry_board(registry), "display");
    for (unsigned i = below(4); i--;)
        request_end();
    net_act();
    line_act();
    folder_act();
    if (balloon)
        balloon_act(balloon);
    if (sink)
        input_act(sink);
    if (display && below(4) == 0)
        display_act(display);
}

static bool is_graphics(void)
{
    return strstr(class_now->name, "gpu") || strstr(class_now->name, "vga");
}

/* --- The board --- */

static struct chardev *find_chardev(void *opaque, const char *id)
{
    return &line[(unsigned)(id[0] - '0') % LINES];
}

static const struct device_drive *find_drive(void *opaque, const char *id)
{
    return &drive;
}

static struct netdev *find_netdev(void *opaque, const char *id)
{
    return &cable;
}

static struct fsdev *find_fsdev(void *opaque, const char *id)
{
    return &folder.fsdev;
}

/* Numbers and switches are set by chance; a value that cannot be is another one next time. */
static char *row_make(const struct device_class *class)
{
    GString *row = g_string_new(class->name);
    for (const struct property *p = class->properties; p && p->name; p++) {
        if (p->type == PROPERTY_DRIVE)
            g_string_append_printf(row, ",%s=drive", p->name);
        else if (p->type == PROPERTY_NETDEV && below(8))
            g_string_append_printf(row, ",%s=net", p->name);
        else if (p->type == PROPERTY_FSDEV)
            g_string_append_printf(row, ",%s=folder,mount_tag=tag", p->name);
        else if (p->type == PROPERTY_BOOL && below(6) == 0)
            g_string_append_printf(row, ",%s=%s", p->name, below(2) ? "on" : "off");
        else if (strcmp(p->name, "disable-legacy") == 0 && below(8) == 0)
            g_string_append_printf(row, ",%s=on", p->name);
        else if (strcmp(p->name, "max_hostmem") == 0) /* 1 MiB: full soon */
            g_string_append_printf(row, ",%s=%u", p->name, 1u << 20);
        else if (p->type == PROPERTY_NUMBER && below(6) == 0)
            g_string_append_printf(row, ",%s=%u", p->name, below(2) ? below(6) : 1u << below(11));
    }
    return g_string_free(row, FALSE);
}

static bool board_make(GError **error)
{
    static const char *const rows[] = {"apic", "ioapic", "isa-i8259", "i440FX-pcihost", "PIIX3"};
    static const char *const ports[] = {"virtconsole,chardev=0", "virtserialport,chardev=1,name=one",
                                        "virtserialport,chardev=2,name=two,nr=3", "virtserialport,name=three"};
    const struct registry_backends backends = {
        .chardev = find_chardev, .drive = find_drive, .netdev = find_netdev, .fsdev = find_fsdev};
    registry = registry_new(&backends);
    board_provide_wire(registry_board(registry), "bus-request", (struct irq){ask_bus, NULL, 0});
    board_provide(registry_board(registry), "rng", (void *)&rng);
    board_provide(registry_board(registry), "news", (void *)&news);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (!registry_add_row(registry, rows[i], error))
            g_error("%s: %s", rows[i], (*error)->message);
    }
    if (!registry_add_row(registry, board_row, error))
        return false;
    for (unsigned i = 0; registry_instance(registry, i); i++)
        card = registry_instance(registry, i);
    for (unsigned i = 0; class_now->provides_bus == BUS_VIRTIO_SERIAL && i < G_N_ELEMENTS(ports); i++) {
        GError *why = NULL; /* there may be fewer */
        if (!registry_add_row(registry, ports[i], &why))
            g_error_free(why);
    }
    registry_reset(registry);
    bars_find();
    return true;
}

/* The same once more. */
static void board_build(void)
{
    GError *error = NULL;
    if (!board_make(&error))
        FAIL("%s: %s", board_row, error->message);
}

/* Whoever is at a medium comes back, though nobody waits. */
static void board_free(void)
{
    registry_free(registry);
    registry = NULL;
    while (requests->len)
        request_end();
    for (unsigned i = 0; i < LINES; i++) {
        if (line[i].front)
            FAIL("a port is gone and still on its line");
    }
    if (cable.front)
        FAIL("the card is gone and still on the cable");
    if (folder.fsdev.front)
        FAIL("the device is gone and still at its folder");
}

/* Another one. False: this class cannot be made here. */
static bool board_new(void)
{
    GError *error = NULL;
    for (unsigned i = 0; i < 200; i++) {
        g_free(board_row);
        board_row = row_make(class_now);
        g_clear_error(&error);
        medium.read_only = below(4) == 0;
        cable.takes = (uint8_t)below(8);
        cable_is_full = false;
        if (board_make(&error))
            return true;
        board_free();
    }
    printf(STORM ": %s is left out: %s\n", class_now->name, error->message);
    g_error_free(error);
    return false;
}

static void board_another(void)
{
    board_new();
}

/* --- A driver --- */

static struct {
    bool modern;
    uint16_t size[QUEUES_MAX], avail[QUEUES_MAX], next[QUEUES_MAX];
    uint32_t rings[QUEUES_MAX], avail_at[QUEUES_MAX], used_at[QUEUES_MAX];
    unsigned queues;
} driver;

#define BAR_LEGACY 0
#define BAR_MODERN 4

static void set_status(uint8_t status)
{
    reg_write(driver.modern ? BAR_MODERN : BAR_LEGACY, driver.modern ? 20 : 18, 1, status);
}

static void queue_set_up(unsigned n)
{
    uint32_t rings = below(odds) ? RINGS + RING_STRIDE * n : address() & ~(PAGE_SIZE - 1);
    driver.avail[n] = driver.next[n] = 0;
    driver.rings[n] = rings;
    if (driver.modern) {
        reg_write(BAR_MODERN, 22, 2, n);
        driver.size[n] = (uint16_t)reg_read(BAR_MODERN, 24, 2);
        if (below(4) == 0) {
            reg_write(BAR_MODERN, 24, 2, below(4) ? 1u << below(8) : value());
            driver.size[n] = (uint16_t)reg_read(BAR_MODERN, 24, 2);
        }
        driver.avail_at[n] = rings + 16u * driver.size[n];
        driver.used_at[n] = rings + RING_STRIDE - 0x2400;
        const uint32_t at[3] = {rings, driver.avail_at[n], driver.used_at[n]};
        for (unsigned i = 0; i < 3; i++) {
            reg_write(BAR_MODERN, 32 + 8 * i, 4, below(odds * 4) ? at[i] : address());
            reg_write(BAR_MODERN, 36 + 8 * i, 4, below(odds * 4) ? 0 : below(8));
        }
        reg_write(BAR_MODERN, 28, 2, 1);
    } else {
        reg_write(BAR_LEGACY, 14, 2, n);
        driver.size[n] = (uint16_t)reg_read(BAR_LEGACY, 12, 2);
        driver.avail_at[n] = rings + 16u * driver.size[n];
        driver.used_at[n] = (driver.avail_at[n] + 6 + 2u * driver.size[n] + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
        reg_write(BAR_LEGACY, 8, 4, rings >> PAGE_SHIFT);
    }
    if (rings >= RINGS && rings + RING_STRIDE <= BUFFERS && rings % RING_STRIDE == RINGS % RING_STRIDE) {
        static const uint8_t zero[RING_STRIDE];
        mem_write(rings, zero, RING_STRIDE);
    }
}

static void start(void)
{
    driver.modern = bars[BAR_MODERN].size && (!bars[BAR_LEGACY].size || below(2));
    if (below(4) == 0)
        bars_place();
    config_write(4, 2, 7);
    set_status(0);
    set_status(1);
    set_status(3);
    uint32_t mask = below(4) ? ~0u : rnd();
    if (driver.modern) {
        for (unsigned i = 0; i < 2; i++) {
            reg_write(BAR_MODERN, 0, 4, i);
            reg_write(BAR_MODERN, 8, 4, i);
            reg_write(BAR_MODERN, 12, 4, reg_read(BAR_MODERN, 4, 4) & (i ? ~0u : mask));
        }
        set_status(11);
        driver.queues = MIN(reg_read(BAR_MODERN, 18, 2), QUEUES_MAX);
    } else {
        reg_write(BAR_LEGACY, 4, 4, reg_read(BAR_LEGACY, 0, 4) & mask);
        driver.queues = 8;
    }
    driver.queues = below(4) ? MIN(driver.queues, 10) : driver.queues;
    for (unsigned n = 0; n < driver.queues; n++) {
        if (below(32))
            queue_set_up(n);
    }
    set_status(driver.modern ? 15 : 7);
}

static uint32_t buffer(void)
{
    return below(odds * 4) ? BUFFERS + below(BUFFERS_END - BUFFERS) : address();
}

/* A command of a graphics card: mostly one of few resources, some of which there are. */
static void gpu_write(uint32_t words[64])
{
    words[0] = below(16) ? 0x100 + below(11) : below(2) ? 0x300 + below(2) : value();
    words[1] = below(3);
    for (unsigned i = 6; i < 64; i++)
        words[i] = below(24) ? below(100) : value();
    words[6] = below(4) ? below(6) : words[6];
    switch (words[0]) {
    case 0x101: /* create: a known format, the cursor's size now and then */
        words[7] = below(8) ? 1 + below(4) : words[7];
        words[8] = words[9] = below(4) ? 64 : words[8];
        break;
    case 0x103: /* a scanout of it */
    case 0x104:
    case 0x105:
        words[6] = words[7] = below(3);
        words[10] = words[12] = words[0] == 0x103 ? 0 : below(6);
        words[11] = words[0] == 0x103 ? below(6) : 0;
        break;
    case 0x106:
        words[7] = below(8) ? 1 + below(14) : value();
        for (unsigned i = 8; i + 3 < 64; i += 4) {
            words[i] = address();
            words[i + 1] = below(8) ? 0 : value();
            words[i + 2] = below(8) ? below(20000) : value();
        }
        break;
    case 0x300:
        words[10] = below(6);
        words[6] = 0;
        break;
    }
}

/* What a device of this kind could be told. */
static void header_write(uint32_t at)
{
    static const uint8_t kinds[] = {0, 1, 4, 8, 11, 13};
    uint32_t words[64] = {0};
    if (at < BUFFERS || at >= BUFFERS_END)
        return;
    if (strstr(class_now->name, "blk")) {
        words[0] = below(16) ? kinds[below(sizeof kinds)] : value();
        words[2] = below(8) ? below(256) : value();
        words[4] = below(256);
        words[6] = below(64);
        words[7] = below(3);
    } else if (strstr(class_now->name, "serial")) {
        words[0] = below(8) ? below(5) : value();
        words[1] = (below(8) ? below(8) : value() & 0xffff) | (below(4) ? 1u << 16 : 0);
    } else if (strstr(class_now->name, "9p")) {
        words[0] = below(32) ? 7 + below(10) : value();
        words[1] = rnd();
    } else if (is_graphics()) {
        gpu_write(words);
    } else if (strstr(class_now->name, "balloon")) {
        uint32_t pfn = below(4) ? BUFFERS / PAGE_SIZE + below(256) : value();
        for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
            words[i] = below(8) ? pfn + i : value();
    } else if (below(4) == 0) {
        for (unsigned i = 0; i < 8; i++)
            words[i] = value();
    }
    mem_write(at, words, MIN(sizeof words, BUFFERS_END - at));
}

static uint32_t piece_len(void)
{
    static const uint32_t edges[] = {1, 4, 8, 12, 16, 16, 24, 512, 513, 4096, 0x10000, 0xffffffff};
    return below(4) ? edges[below(G_N_ELEMENTS(edges) - (below(odds) ? 1 : 0))] : below(2048);
}

static void desc_write(uint32_t table, unsigned i, uint32_t at, uint32_t len, uint32_t flags, uint32_t next)
{
    const uint32_t words[4] = {at, below(odds * 16) ? 0 : rnd(), len, (flags & 0xffff) | next << 16};
    mem_write(table + 16 * i, words, sizeof words);
}

/* A chain in table from `first` on, of which there are size descriptors. */
static void chain_write(uint32_t table, unsigned first, unsigned size, unsigned outs, unsigned ins)
{
    for (unsigned i = 0; i < outs + ins; i++) {
        bool is_last = i + 1 == outs + ins;
        uint32_t at = buffer(), next = (first + i + 1) % size;
        uint32_t len = i == 0 && below(odds * 4)    ? (outs ? 16 : 16 + piece_len() % PAGE_SIZE)
                       : is_last && ins && below(4) ? 1
                                                    : piece_len();
        if (is_graphics() && i == 0 && below(8))
            len = 256;
        if (strstr(class_now->name, "balloon") && below(256)) /* the host takes its time over each page */
            len = 4 * below(17);
        uint32_t flags = (i >= outs ? 2u : 0) | (is_last ? 0 : 1u);
        if (i == 0)
            header_write(at);
        if (below(odds * 8) == 0)
            flags = below(8);
        if (below(odds * 8) == 0)
            next = below(2) ? first : rnd();
        desc_write(table, (first + i) % size, at, len, flags, next);
    }
}

static void post(void)
{
    unsigned n = driver.queues ? below(below(2) ? MIN(driver.queues, 4) : driver.queues) : 0;
    unsigned size = driver.size[n];
    bool is_request = strstr(class_now->name, "blk") || strstr(class_now->name, "9p");
    if (!size || size > 1024)
        return;
    uint16_t used = 0;
    mem_read(driver.used_at[n] + 2, &used, 2);
    bool is_full = (uint16_t)(driver.avail[n] - used) > size / 8 && below(odds * 16);
    for (unsigned count = is_full ? 0 : 1 + below(2); count--;) {
        unsigned outs = below(4), ins = below(outs ? 3 : 4), first = driver.next[n];
        if (is_request && below(odds * 4)) { /* what breaks the device at once */
            outs = 1 + below(3);
            ins = 1 + below(3);
        } else if (strstr(class_now->name, "net") && below(odds * 4)) {
            outs = n ? 1 + below(3) : 0;
            ins = n == 1 ? 0 : 1 + below(2);
        }
        if (below(64) == 0)
            outs = below(size + 1);
        if (outs + ins == 0)
            ins = 1;
        if (below(4) == 0) { /* a table of its own */
            uint32_t table = buffer() & ~15u;
            uint32_t many = below(odds * 4) ? outs + ins : value();
            chain_write(table, 0, outs + ins, outs, ins);
            desc_write(driver.rings[n], first, table, below(odds * 4) ? 16 * many : value(), 4, 0);
            driver.next[n] = (uint16_t)((first + 1) % size);
        } else {
            chain_write(driver.rings[n], first, size, MIN(outs, size), outs + ins <= size ? ins : 0);
            driver.next[n] = (uint16_t)((first + outs + ins) % size);
        }
        uint16_t head = (uint16_t)(below(odds * 8) ? first : rnd());
        mem_write(driver.avail_at[n] + 4 + 2 * (driver.avail[n] % size), &head, 2);
        driver.avail[n] += (uint16_t)(below(odds * 8) ? 1 : below(size + 2));
    }
    if (below(8) == 0) { /* flags, used_event */
        uint16_t flags = (uint16_t)below(2), at = (uint16_t)rnd();
        mem_write(driver.avail_at[n], &flags, 2);
        mem_write(driver.avail_at[n] + 4 + 2 * size, &at, 2);
    }
    mem_write(driver.avail_at[n] + 2, &driver.avail[n], 2);
    if (driver.modern)
        reg_write(BAR_MODERN, 0x3000 + 4 * n, 2, n);
    else
        reg_write(BAR_LEGACY, 16, 2, n);
}

/* --- Operations --- */

/* The device itself, or one of its ports. */
static void with_state(void (*act)(void))
{
    const struct instance *device = card, *instance;
    unsigned count = 0;
    for (unsigned i = 0; (instance = registry_instance(registry, i)); i++) {
        if ((instance == device || instance->site.controller == device->dev) && has_state(instance) &&
            below(++count) == 0)
            card = instance;
    }
    act();
    card = device;
}

static void window_access(void)
{
    config_write(0x84 + 4, 1, below(8) ? 4 : value());
    config_write(0x84 + 8, 4, below(8) ? below(0x4000) & ~3u : value());
    config_write(0x84 + 12, 4, 1u << below(3));
    if (below(2))
        config_write(0x84 + 16, 4, value());
    else
        config_read(0x84 + 16);
}

static void step(void)
{
    static const uint32_t moods[] = {2, 64, 4096, 100000};
    unsigned kind = below(1000);
    if (op_now % 128 == 0)
        odds = moods[below(G_N_ELEMENTS(moods))];
    const struct virtio *virtio = card->dev;
    if (op_now % 128 == 1 || kind < 3 || ((virtio->regs.broken || !virtio->regs.started) && below(16) == 0)) {
        broke += virtio->regs.broken;
        start();
    } else if (kind < 400) {
        post();
    } else if (kind < 460) { /* the device's configuration */
        unsigned bar = driver.modern ? BAR_MODERN : BAR_LEGACY;
        uint32_t at = (driver.modern ? 0x2000 : 20 + 4 * below(2)) + below(64);
        if (below(2))
            reg_write(bar, at, 1u << below(3), value());
        else
            reg_read(bar, at, 1u << below(4));
    } else if (kind < 490) {
        if (below(odds) == 0)
            touch_register(below(2));
    } else if (kind < 700) {
        back_end_acts();
    } else if (kind < 830) {
        let_time_pass();
    } else if (kind < 960) {
        grant_bus();
    } else if (kind < 970) {
        if (below(odds) == 0)
            config_write(below(256), 1u << below(3), value());
        else
            window_access();
        bars_place();
    } else if (kind < 985) {
        with_state(save_and_load);
    } else if (kind < 988) {
        with_state(load_damaged);
    } else if (kind < 990) {
        dump_card();
    } else if (below(8) == 0) {
        registry_reset(registry);
        bars_place();
    }
    renew(board_another);
}

static bool is_virtio(const struct device_class *class)
{
    return class->bus == BUS_PCI && !class->internal && g_str_has_prefix(class->name, "virtio-");
}

static void storm(uint64_t ops)
{
    double seconds = 0;
    if (strstr(class_now->name, "vga")) /* its video memory makes each saved state long */
        ops /= 30;
    seed_state = seed;
    rnd();
    memset(&driver, 0, sizeof driver);
    memset(counted, 0, sizeof counted);
    broke = 0;
    medium = (struct block){.ops = &medium_ops, .size = 4 * MiB, .has_medium = true};
    cable = (struct netdev){.ops = &cable_ops, .link_up = true};
    folder.fsdev.ops = &folder_ops;
    for (unsigned i = 0; i < LINES; i++)
        line[i] = (struct chardev){.ops = &line_ops};
    requests = g_array_new(FALSE, FALSE, sizeof(struct request));
    machine_lock();
    op_now = 0;
    if (board_new())
        seconds = storm_run(ops, board_another, step);
    else
        machine_unlock();
    g_array_unref(requests);
    g_free(board_row);
    board_row = NULL;
    printf(STORM ": %s: %llu operations in %.1f s; requests %llu, bytes %llu, frames %llu, news %llu; broken "
                 "%llu times\n",
           class_now->name, (unsigned long long)op_now, seconds, (unsigned long long)counted[REQUESTS],
           (unsigned long long)counted[BYTES], (unsigned long long)counted[FRAMES], (unsigned long long)counted[NEWS],
           (unsigned long long)broke);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    return storm_main(argc, argv, is_virtio, storm);
}

/* Graphics cards, sound cards and USB controllers with what is plugged into them, without a processor, under random
 * operations: registers of all widths, what a driver of each would write and then something else, descriptors that
 * point at one another, blits, FIFO commands, DMA, screens that are looked at, streams that are played, media that
 * fail, devices that are plugged and pulled, resets, and states saved, damaged and loaded at any moment, also into a
 * board made afresh. Nothing may end the process, hang it, leak, or grow; what a device saves it takes back, and saves
 * the same again.
 *
 * usage: device_storm [--ops N] [--seed S] [--class NAME]
 *
 * N operations for each class, 200,000 if not said. The seed is printed; the same one does the same again. By hand, for
 * whoever has changed one, in a build with -Db_sanitize=address,undefined: device_storm --ops 10000000 --class sb16
 */
#define STORM "device_storm"
#include "audio.h"
#include "block.h"
#include "display.h"
#include "storm.h"
#include "usb.h"

#include <errno.h>

/* --- What is at the other ends --- */

struct stream {
    struct audio_stream stream; /* first */
    const struct audio_front *front;
    void *opaque;
    struct audio_format format;
    bool plays;
};

static GPtrArray *streams; /* of struct stream */
static uint64_t frames_heard;
static uint8_t sum; /* of what came: so that it is looked at */

static struct audio_stream *stream_open(struct audiodev *audiodev, const char *name, const struct audio_front *front,
                                        void *opaque)
{
    struct stream *s = g_new0(struct stream, 1);
    *s = (struct stream){{audiodev}, front, opaque, {AUDIO_U8, 1, 8000, 1}, false};
    g_ptr_array_add(streams, s);
    return &s->stream;
}

static void stream_close(struct audio_stream *stream)
{
    struct stream *s = (struct stream *)stream;
    if (s->plays)
        s->front->sync(s->opaque);
    g_ptr_array_remove(streams, s);
    g_free(s);
}

static void stream_set_format(struct audio_stream *stream, const struct audio_format *format)
{
    struct stream *s = (struct stream *)stream;
    if (!format->rate_num || !format->rate_den || format->channels < 1 || format->channels > 2)
        FAIL("a stream of %u / %u frames, %u channels", format->rate_num, format->rate_den, format->channels);
    s->format = *format;
}

static void stream_set_volume(struct audio_stream *stream, uint32_t left, uint32_t right)
{
    if (left > AUDIO_VOLUME_MAX || right > AUDIO_VOLUME_MAX)
        FAIL("volumes %u, %u", left, right);
}

static void stream_set_playing(struct audio_stream *stream, bool playing)
{
    ((struct stream *)stream)->plays = playing;
}

static void stream_write(struct audio_stream *stream, const void *frames, unsigned count)
{
    struct stream *s = (struct stream *)stream;
    unsigned size = audio_frame_size(&s->format) * count;
    for (unsigned i = 0; i < size; i++)
        sum ^= ((const uint8_t *)frames)[i];
    frames_heard += count;
}

static const struct audiodev_ops audio_ops = {stream_open,       stream_close,       stream_set_format,
                                              stream_set_volume, stream_set_playing, stream_write};
static struct audiodev loudspeaker = {&audio_ops};

static void listen(void)
{
    for (unsigned i = 0; i < streams->len; i++) {
        struct stream *s = g_ptr_array_index(streams, i);
        if (s->plays)
            s->front->sync(s->opaque);
    }
}

struct request {
    uint64_t offset;
    uint8_t *to;
    const uint8_t *from;
    uint32_t len;
    block_done_fn *done;
    void *opaque;
};

#define MEDIUM_SIZE (512 * 1024u)
static uint8_t medium_bytes[MEDIUM_SIZE];
static GArray *requests;
static uint64_t requests_done;

static void request_push(struct request request)
{
    if (request.offset + request.len > MEDIUM_SIZE)
        FAIL("a request beyond the medium");
    if (requests->len > 4096)
        FAIL("%u requests are under way", requests->len);
    g_array_append_val(requests, request);
}

static void medium_read(struct block *block, uint64_t offset, void *to, uint32_t len, block_done_fn *done, void *opaque)
{
    request_push((struct request){offset, to, NULL, len, done, opaque});
}

static void medium_write(struct block *block, uint64_t offset, const void *from, uint32_t len, block_done_fn *done,
                         void *opaque)
{
    request_push((struct request){offset, NULL, from, len, done, opaque});
}

static void medium_flush(struct block *block, block_done_fn *done, void *opaque)
{
    request_push((struct request){0, NULL, NULL, 0, done, opaque});
}

static void medium_removable(struct block *block, void (*changed)(void *opaque), void *opaque, uint64_t max_size)
{
}

static const struct block_ops medium_ops = {medium_read, medium_write, medium_flush, medium_removable};
static struct block medium = {.ops = &medium_ops, .size = MEDIUM_SIZE, .has_medium = true};
static const struct device_drive stick = {.id = "stick", .block = &medium};

static void request_end(void)
{
    if (!requests->len)
        return;
    unsigned n = below(requests->len);
    struct request request = g_array_index(requests, struct request, n);
    int error = below(8) ? 0 : EIO;
    g_array_remove_index(requests, n);
    if (!error && request.to)
        memcpy(request.to, medium_bytes + request.offset, request.len);
    if (!error && request.from)
        memcpy(medium_bytes + request.offset, request.from, request.len);
    requests_done++;
    request.done(request.opaque, error);
}

/* --- The board --- */

enum kind { GRAPHICS, SOUND, USB };
static enum kind kind_now;

static const struct {
    const char *class;
    enum kind kind;
} classes[] = {
    {"VGA", GRAPHICS},       {"isa-vga", GRAPHICS},   {"cirrus-vga", GRAPHICS}, {"vmware-svga", GRAPHICS},
    {"sb16", SOUND},         {"adlib", SOUND},        {"ES1370", SOUND},        {"AC97", SOUND},
    {"piix3-usb-uhci", USB}, {"piix4-usb-uhci", USB}, {"ich9-usb-uhci1", USB},  {"pci-ohci", USB},
    {"usb-ehci", USB},       {"ich9-usb-ehci1", USB}, {"qemu-xhci", USB},       {"nec-usb-xhci", USB},
};

static bool is_card(const struct device_class *class)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(classes); i++) {
        if (strcmp(class->name, classes[i].class) == 0) {
            kind_now = classes[i].kind;
            return true;
        }
    }
    return false;
}

/* --- Packets that reach devices are counted: a schedule that is all wrong reaches none --- */

static const char *const usb_names[] = {"usb-storage", "usb-tablet", "usb-kbd", "usb-hub", "usb-mouse"};
static struct {
    const struct usb_device_ops *real;
    struct usb_device_ops counting;
} watched[G_N_ELEMENTS(usb_names)];
static uint64_t packets[G_N_ELEMENTS(usb_names)][USB_ASYNC + 1];

static unsigned usb_number(const struct usb_device *dev)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(usb_names); i++) {
        if (dev->ops == &watched[i].counting)
            return i;
    }
    g_assert_not_reached();
}

static enum usb_result counted_packet(struct usb_device *dev, struct usb_packet *packet)
{
    unsigned n = usb_number(dev);
    enum usb_result result = watched[n].real->packet(dev, packet);
    packets[n][result]++;
    return result;
}

/* What is plugged in answers through us. */
static void usb_watch(void)
{
    const struct instance *instance;
    for (unsigned i = 0; (instance = registry_instance(registry, i)); i++) {
        for (unsigned n = 0; n < G_N_ELEMENTS(usb_names); n++) {
            struct usb_device *dev = instance->dev; /* the first member of each */
            if (strcmp(instance->class->name, usb_names[n]) != 0)
                continue;
            watched[n].real = dev->ops;
            watched[n].counting = *dev->ops;
            watched[n].counting.packet = counted_packet;
            dev->ops = &watched[n].counting;
        }
    }
}

static void usb_print(void)
{
    printf(STORM ": %s: packets answered with ACK, NAK, STALL:", class_now->name);
    for (unsigned n = 0; n < G_N_ELEMENTS(usb_names); n++)
        printf("%s %s %llu %llu %llu", n ? ";" : "", usb_names[n], (unsigned long long)packets[n][USB_ACK],
               (unsigned long long)packets[n][USB_NAK], (unsigned long long)packets[n][USB_STALL]);
    printf("\n");
}

static bool begins(const char *prefix)
{
    return g_str_has_prefix(class_now->name, prefix);
}

static const struct device_drive *find_drive(void *opaque, const char *id)
{
    return &stick;
}

static struct audiodev *find_audiodev(void *opaque, const char *id)
{
    return &loudspeaker;
}

static void add(const char *row)
{
    GError *error = NULL;
    if (!registry_add_row(registry, row, &error))
        FAIL("%s: %s", row, error->message);
}

static void board_build(void)
{
    static const char *const rows[] = {"apic", "ioapic", "isa-i8259", "i440FX-pcihost", "PIIX3", "i8257", "isa-pit"};
    static const char *const plugged[] = {"usb-storage,drive=stick", "usb-tablet,id=t", "usb-kbd", "usb-hub",
                                          "usb-mouse"};
    const struct registry_backends backends = {.drive = find_drive, .audiodev = find_audiodev};
    registry = registry_new(&backends);
    board_provide_wire(registry_board(registry), "bus-request", (struct irq){ask_bus, NULL, 0});
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        add(rows[i]);
    char *row = g_strdup_printf("%s%s", class_now->name, kind_now == SOUND ? ",audiodev=a" : "");
    add(row);
    g_free(row);
    for (unsigned i = 0; registry_instance(registry, i); i++)
        card = registry_instance(registry, i);
    if (kind_now == USB) {
        bool is_two = begins("piix") || begins("ich9-usb-uhci"); /* ports: the rest is behind a hub */
        for (unsigned i = 0; i < G_N_ELEMENTS(plugged); i++) {
            GError *error = NULL;
            if (is_two && i == 1)
                add("usb-hub,port=2");
            if (!registry_add_row(registry, plugged[i], &error)) /* there may be no room */
                g_error_free(error);
        }
    }
    usb_watch();
    registry_reset(registry);
    bars_find();
}

static void board_free(void)
{
    registry_free(registry);
    registry = NULL;
    while (requests->len)
        request_end();
    if (streams->len)
        FAIL("the card is gone, and %u streams are open", streams->len);
    if (kind_now == GRAPHICS) { /* video memory lives as long as the memory that it is a part of */
        mem_destroy();
        memory_make();
    }
}

/* --- Memory that says something --- */

/* A word that a descriptor could have: an address with low bits, a small number, flags, anything. */
static uint32_t word(void)
{
    switch (below(8)) {
    case 0:
    case 1:
    case 2:
        return (address() & ~31u) | below(8);
    case 3:
        return (address() & ~15u) | below(16);
    case 4:
        return below(0x800) << 16 | below(0x800);
    case 5:
        return 0;
    default:
        return value();
    }
}

/* Requests that devices know (USB 2.0, table 9-3; HID 1.11, 7.2; mass storage). */
static void setup_write(uint32_t at)
{
    static const uint8_t requests_known[][4] = {
        {0x80, 6, 0, 1}, {0x80, 6, 0, 2}, {0x80, 6, 0, 3},   {0x81, 6, 0, 0x22}, {0, 5, 1, 0},
        {0, 9, 1, 0},    {0x80, 0, 0, 0}, {2, 1, 0, 0},      {1, 11, 0, 0},      {0x21, 10, 0, 0},
        {0x21, 9, 0, 2}, {0xa1, 1, 0, 1}, {0x21, 11, 0, 0},  {0xa1, 0xfe, 0, 0}, {0x21, 0xff, 0, 0},
        {0x23, 3, 8, 0}, {0x23, 3, 4, 0}, {0xa3, 0, 0, 0},   {0x23, 1, 16, 0},   {0xa0, 6, 0, 0x29},
        {0x80, 8, 0, 0}, {0x80, 6, 0, 6}, {0x80, 6, 0, 0xf},
    };
    const uint8_t *known = requests_known[below(G_N_ELEMENTS(requests_known))];
    uint8_t setup[8];
    memcpy(setup, known, 4);
    setup[4] = (uint8_t)below(4);
    setup[5] = 0;
    if (setup[1] == 5) /* SET_ADDRESS */
        setup[2] = (uint8_t)(1 + below(3));
    setup[6] = (uint8_t)(below(4) ? 8u << below(4) : rnd());
    setup[7] = (uint8_t)(below(8) ? 0 : rnd());
    if (below(8) == 0)
        setup[below(8)] = (uint8_t)rnd();
    mem_write(at, setup, sizeof setup);
}

/* A command of mass storage (bulk only, 5.1). */
static void command_write(uint32_t at)
{
    static const uint8_t known[] = {0x00, 0x03, 0x12, 0x1a, 0x1b, 0x1e, 0x23, 0x25,
                                    0x28, 0x2a, 0x2f, 0x35, 0x5a, 0xa8, 0xaa};
    uint8_t cbw[31] = {'U', 'S', 'B', 'C', 1, 2, 3, 4};
    uint32_t len = below(4) ? 512 * below(8) : value();
    memcpy(cbw + 8, &len, 4);
    cbw[12] = below(2) ? 0x80 : 0;
    cbw[14] = (uint8_t)(below(8) ? 10 : below(20));
    cbw[15] = (uint8_t)(below(8) ? known[below(sizeof known)] : rnd());
    cbw[19] = (uint8_t)below(4);
    cbw[20] = (uint8_t)rnd();
    cbw[23] = (uint8_t)below(9);
    if (below(2)) { /* READ(10), WRITE(10), all of it right */
        len = 512u * cbw[23];
        memcpy(cbw + 8, &len, 4);
        cbw[14] = 10;
        cbw[12] = below(2) ? 0x80 : 0;
        cbw[15] = cbw[12] ? 0x28 : 0x2a;
    }
    if (below(8) == 0)
        cbw[below(31)] = (uint8_t)rnd();
    mem_write(at, cbw, sizeof cbw);
}

static void prepare_memory(void)
{
    uint32_t words[64], at = address() & ~15u;
    unsigned count = 1 + below(G_N_ELEMENTS(words));
    if (kind_now == USB && below(4) == 0) {
        (below(2) ? setup_write : command_write)(page() + below(16) * 16);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        words[i] = word();
    if (below(8) == 0) /* one for many: a list of frames */
        for (unsigned i = 0; i < 16; i++)
            mem_write(at + i * sizeof words, words, sizeof words);
    else
        mem_write(at, words, count * 4);
}

/* --- Drivers --- */

static bool is_well_driven; /* for a while: a driver that does as it should, where there is one */

static void chain(uint32_t at, unsigned count, uint32_t words[][4])
{
    for (unsigned i = 0; i < count; i++)
        mem_write(at + 32 * i, words[i], sizeof words[i]);
}

/* What a driver would have a controller move: mostly something that a device answers. */
struct transfer {
    uint32_t device, endpoint, count;
    struct part {
        uint8_t pid; /* 0 SETUP, 1 OUT, 2 IN */
        uint32_t at, len;
    } part[3];
};

static struct transfer transfer_make(uint32_t data)
{
    struct transfer t = {.device = 1 + below(3), .count = 2};
    uint8_t setup[8] = {0, 9, 1};
    uint16_t len;
    t.part[0] = (struct part){0, data, 8};
    t.part[1] = (struct part){2, data + 64, 0};
    switch (below(8)) {
    case 0: /* SET_ADDRESS */
        setup[1] = 5;
        setup[2] = (uint8_t)t.device;
        t.device = 0;
        mem_write(data, setup, sizeof setup);
        break;
    case 1: /* SET_CONFIGURATION */
        mem_write(data, setup, sizeof setup);
        break;
    case 2:
    case 3: /* any request, with its data */
        setup_write(data);
        mem_read(data, setup, sizeof setup);
        memcpy(&len, setup + 6, 2);
        if (len) {
            t.count = 3;
            t.part[1] = (struct part){setup[0] & 0x80 ? 2 : 1, data + 64, MIN(len, 512)};
            t.part[2] = (struct part){setup[0] & 0x80 ? 1 : 2, data, 0};
        }
        break;
    case 4: /* a command of the storage device */
    case 5:
        command_write(data);
        t.endpoint = 2;
        t.count = 1;
        t.part[0] = (struct part){1, data, 31};
        break;
    case 6: /* its data and status, or what a mouse has to say */
        t.endpoint = 1;
        t.part[0] = (struct part){2, data + 64, below(2) ? 13 : 64 * below(9)};
        t.part[1] = (struct part){2, data, 13};
        break;
    default:
        setup_write(data);
        t.device = below(4);
        t.endpoint = below(4);
        t.count = 1 + below(3);
        for (unsigned i = 0; i < t.count; i++)
            t.part[i] = (struct part){(uint8_t)(i ? 1 + below(2) : below(3)), data + 64 * below(2),
                                      below(8) ? below(64) : rnd() & 0x7ff};
        break;
    }
    for (unsigned i = 0; i < t.count; i++) {
        if (below(odds * 4) == 0)
            t.part[i].at = address();
        if (below(odds * 4) == 0)
            t.part[i].len = rnd() & 0x7ff;
    }
    if (below(odds * 4) == 0)
        t.device = rnd() & 127;
    return t;
}

static const struct transfer *given; /* by a driver that does as it should */

/* One bit in so many, by chance. */
static uint32_t rarely(uint32_t bits)
{
    return below(odds * 4) ? 0 : bits;
}

/* A control transfer or one of another kind, as UHCI's queue of transfer descriptors (UHCI 1.1, 3.2, 3.3). */
static void uhci_schedule(void)
{
    uint32_t list = page(), queue = page(), data = page(), td = queue + 64, words[4][4];
    struct transfer t = given ? *given : transfer_make(data);
    unsigned count = t.count;
    for (unsigned i = 0; i < count; i++) {
        static const uint8_t pids[] = {0x2d, 0xe1, 0x69};
        const struct part *part = &t.part[i];
        words[i][0] = i + 1 < count ? (td + 32 * (i + 1)) | below(2) << 2 : 1;
        words[i][1] = 1u << 23 | below(4) << 27 | (below(4) == 0) << 24 | rarely(1u << 25) | rarely(1u << 26) |
                      (below(4) == 0) << 29;
        words[i][2] =
            ((part->len - 1) & 0x7ff) << 21 | below(2) << 19 | t.endpoint << 15 | t.device << 8 | pids[part->pid];
        words[i][3] = part->at;
    }
    chain(td, count, words);
    uint32_t head[2] = {1 | rarely(word()), td | rarely(word())}, frame = queue | 2;
    mem_write(queue, head, sizeof head);
    for (unsigned i = 0; i < 1024; i++)
        mem_write(list + 4 * i, &frame, 4);
    unsigned bar = bar_count ? bar_list[bar_count - 1] : 0;
    reg_write(bar, 8, 4, list | rarely(value()));
    reg_write(bar, 4, 2, 15);
    uint32_t port = 16 + 2 * below(2);
    if (below(1000) == 0) {
        reg_write(bar, port, 2, 0x200);
        reg_write(bar, port, 2, 0);
    }
    reg_write(bar, port, 2, below(100) ? 4 : value());
    reg_write(bar, 0, 2, below(odds * 2) ? 0xc1 : value());
}

/* OHCI 1.0a, 4.2, 4.3. */
static void ohci_schedule(void)
{
    uint32_t hcca = page(), ed = page(), data = page(), td = ed + 64, words[4][4];
    struct transfer t = given ? *given : transfer_make(data);
    unsigned count = t.count;
    for (unsigned i = 0; i < count; i++) {
        const struct part *part = &t.part[i];
        words[i][0] = below(2) << 18 | (uint32_t)part->pid << 19 | below(8) << 21 | below(4) << 24 | 0xf0000000u;
        words[i][1] = part->len ? part->at : 0;
        words[i][2] = td + 32 * (i + 1);
        words[i][3] = part->at + part->len - 1;
    }
    chain(td, count, words);
    uint32_t edw[4] = {t.device | t.endpoint << 7 | rarely(below(4) << 11) | below(2) << 13 | rarely(1u << 14) |
                           rarely(1u << 15) | 64u << 16,
                       td + 32 * count, td | rarely(below(4)), rarely(below(2) ? ed : word())};
    mem_write(ed, edw, sizeof edw);
    for (unsigned i = 0; i < 32; i++)
        mem_write(hcca + 4 * i, &ed, 4);
    static const uint8_t lists[] = {0x20, 0x28, 0x1c};
    reg_write(bar_list[0], 0x18, 4, below(16) ? hcca : address());
    reg_write(bar_list[0], lists[below(3)], 4, below(16) ? ed : address());
    reg_write(bar_list[0], 0x10, 4, 0x8000007f);
    reg_write(bar_list[0], 0x50, 4, 1u << 16);
    uint32_t port = 0x54 + 4 * below(4);
    if ((!(reg_read(bar_list[0], port, 4) & 2) && below(16) == 0) || below(1000) == 0)
        reg_write(bar_list[0], port, 4, below(8) ? 0x10 : 1u << below(32));
    reg_write(bar_list[0], 4, 4, below(odds * 2) ? 0xbc : value());
    reg_write(bar_list[0], 8, 4, below(odds) ? 6 : value());
}

/* EHCI 1.0, 3.5, 3.6. */
static void ehci_schedule(void)
{
    uint32_t qh = page(), data = page(), td = qh + 0x80, list = page();
    struct transfer t = given ? *given : transfer_make(data);
    unsigned count = t.count;
    for (unsigned i = 0; i < count; i++) {
        static const uint8_t pids[] = {2, 0, 1};
        const struct part *part = &t.part[i];
        uint32_t qtd[8] = {i + 1 < count ? td + 64 * (i + 1) : 1, 1 | rarely(word()),
                           (part->len & 0x7fff) << 16 | below(2) << 15 | below(4) << 10 |
                               (uint32_t)pids[part->pid] << 8 | 0x80 | rarely(1u << 31),
                           part->at};
        for (unsigned k = 4; k < 8; k++)
            qtd[k] = address() & ~0xfffu;
        mem_write(td + 64 * i, qtd, sizeof qtd);
    }
    uint32_t head[12] = {(rarely(word() & ~31u) ^ qh) | 2,
                         1u << 15 | 64u << 16 | t.device | t.endpoint << 8 | (below(4) ? 2 : below(3)) << 12 |
                             below(2) << 14,
                         0x40000000u | below(256),
                         0,
                         td,
                         1,
                         rarely(word())};
    mem_write(qh, head, sizeof head);
    uint32_t frame = below(odds) ? qh | 2 : word();
    for (unsigned i = 0; i < 1024; i++)
        mem_write(list + 4 * i, &frame, 4);
    unsigned bar = bar_list[0];
    uint32_t op = reg_read(bar, 0, 1);
    reg_write(bar, op + 0x14, 4, list);
    reg_write(bar, op + 0x18, 4, below(16) ? qh : address());
    reg_write(bar, op + 0x40, 4, 1);
    reg_write(bar, op + 8, 4, 0x3f);
    uint32_t port = op + 0x44 + 4 * below(6);
    if ((!(reg_read(bar, port, 4) & 4) && below(16) == 0) || below(1000) == 0) {
        reg_write(bar, port, 4, below(8) ? 0x1100 : value());
        reg_write(bar, port, 4, 0x1000);
    }
    reg_write(bar, op, 4, below(odds * 2) ? 0x80031 | below(2) << 6 : value());
}

/* xHCI 1.1, 4.2, 4.6, 6.4, all of it by chance. */
static void drive_xhci_anyhow(void)
{
    unsigned bar = bar_list[0];
    uint32_t op = reg_read(bar, 0, 1) & 0xff, doorbells = reg_read(bar, 0x14, 4), run = reg_read(bar, 0x18, 4);
    if (below(8) == 0 || !(reg_read(bar, op + 4, 4) == 0 && (reg_read(bar, op, 4) & 1))) {
        uint32_t contexts = page(), commands = page(), events = page(), table = page();
        uint32_t segment[4] = {events, 0, below(8) ? 256 : value(), 0};
        mem_write(table, segment, sizeof segment);
        reg_write(bar, op, 4, below(4) ? 0 : 2);
        reg_write(bar, op + 0x38, 4, 8);
        reg_write(bar, op + 0x30, 4, contexts);
        reg_write(bar, op + 0x34, 4, 0);
        reg_write(bar, op + 0x18, 4, commands | 1);
        reg_write(bar, op + 0x1c, 4, 0);
        reg_write(bar, run + 0x28, 4, below(8) ? 1 : value());
        reg_write(bar, run + 0x30, 4, table);
        reg_write(bar, run + 0x34, 4, 0);
        reg_write(bar, run + 0x38, 4, events);
        reg_write(bar, run + 0x3c, 4, 0);
        reg_write(bar, run + 0x20, 4, 2);
        for (unsigned i = 1; i < 9; i++) {
            uint32_t context = page();
            uint32_t entry[2] = {context, 0};
            mem_write(contexts + 8 * i, entry, sizeof entry);
        }
        /* Commands: slots, contexts with rings in other pages. */
        for (unsigned i = 0; i < 32; i++) {
            static const uint8_t kinds[] = {9, 9, 11, 11, 12, 13, 14, 15, 16, 17, 10, 23, 24, 6};
            uint32_t input = page(), slot = 1 + below(3);
            uint32_t trb[4] = {input, 0, 0,
                               (uint32_t)kinds[below(sizeof kinds)] << 10 | slot << 24 | (1 + below(4)) << 16 | 1};
            uint32_t in[8 * 8] = {below(4) ? 0 : below(8), below(8) ? 3 | below(32) << 1 : value()};
            in[8] = (1 + below(5)) << 27 | below(5) << 20;
            in[9] = (1 + below(8)) << 16;
            for (unsigned e = 2; e < 8; e++) {
                in[8 * e] = below(8) << 16;
                in[8 * e + 1] = (below(8) ? 64 : value()) << 16 | below(8) << 3 | 6;
                in[8 * e + 2] = page() | 1;
            }
            mem_write(input, in, sizeof in);
            mem_write(commands + 16 * i, trb, sizeof trb);
        }
        reg_write(bar, op + 0x400 + 16 * below(8), 4, below(2) ? 0x210 : value());
        reg_write(bar, op, 4, 5);
    }
    /* A transfer ring somewhere: setup, data, status, normal. */
    uint32_t ring = page(), data = page();
    setup_write(data);
    for (unsigned i = 0; i < 16; i++) {
        static const uint8_t kinds[] = {2, 3, 4, 1, 1, 7, 6, 8, 5};
        uint32_t kind = i < 3 ? 2 + i : kinds[below(sizeof kinds)];
        uint32_t trb[4] = {below(odds) ? data : address(), 0, below(8) ? below(512) : value(),
                           kind << 10 | below(64) | 1 | below(2) << 16 | (kind == 2) << 6};
        if (kind == 2)
            mem_read(data, trb, 8), trb[2] = 8;
        mem_write(ring + 16 * i, trb, sizeof trb);
    }
    reg_write(bar, doorbells + (below(2) ? 0 : 4 * below(5)), 4, below(4) ? below(6) : value());
    reg_write(bar, run + 0x38, 4, address() | 8);
}

static void input(void)
{
    const struct input_sink *sink = board_service(registry_board(registry), "input");
    for (unsigned i = below(4); sink && sink->next && i--;)
        sink = sink->next;
    if (sink)
        input_act(sink);
}

/* --- A driver of a controller with schedules that does as it should, but for what odds say --- */

#define WELL_DATA  0x208000u /* page() is not there */
#define WELL_SLOTS 8u

static struct {
    unsigned addresses;       /* given, from 1 */
    int kind[WELL_SLOTS + 1]; /* in usb_names */
    unsigned silent;          /* transfers without an answer, one after the other */
} well;

static void schedule(void)
{
    (begins("pci-ohci")                              ? ohci_schedule
     : begins("usb-ehci") || begins("ich9-usb-ehci") ? ehci_schedule
                                                     : uhci_schedule)();
}

/* Whose answer with ACK is a new one; -1: nobody's. */
static int well_transfer(const struct transfer *t)
{
    uint64_t before[G_N_ELEMENTS(usb_names)];
    for (unsigned n = 0; n < G_N_ELEMENTS(usb_names); n++)
        before[n] = packets[n][USB_ACK];
    given = t;
    schedule();
    given = NULL;
    machine_unlock();
    for (unsigned i = 0; i < 4; i++) {
        vclock_fake_advance(1000000);
        machine_lock();
        if (bus_is_asked)
            grant_bus();
        if (requests->len && below(8))
            request_end();
        machine_unlock();
    }
    machine_lock();
    for (unsigned n = 0; n < G_N_ELEMENTS(usb_names); n++) {
        if (packets[n][USB_ACK] != before[n]) {
            well.silent = 0;
            return (int)n;
        }
    }
    well.silent++;
    return -1;
}

static int well_packet(unsigned device, unsigned endpoint, uint8_t pid, uint32_t at, uint32_t len)
{
    const struct transfer t = {device, endpoint, 1, {{pid, at, len}}};
    return well_transfer(&t);
}

/* A request whose eight bytes are at WELL_DATA. */
static int well_control(unsigned device)
{
    uint8_t setup[8];
    mem_read(WELL_DATA, setup, sizeof setup);
    uint32_t len = MIN(setup[6] | (uint32_t)setup[7] << 8, 512u);
    bool is_in = setup[0] & 0x80;
    const struct part data = {is_in ? 2 : 1, WELL_DATA + 64, len}, status = {is_in && len ? 1 : 2, WELL_DATA + 8, 0};
    struct transfer t = {device, 0, len ? 3 : 2, {{0, WELL_DATA, 8}, len ? data : status, status}};
    return well_transfer(&t);
}

static int well_request(unsigned device, uint8_t type, uint8_t request, uint32_t what, uint32_t index, uint32_t len)
{
    uint32_t setup[2] = {type | (uint32_t)request << 8 | what << 16, index | len << 16};
    mem_write(WELL_DATA, setup, sizeof setup);
    return well_control(device);
}

static void well_address(bool is_in_hub)
{
    if (well.addresses == WELL_SLOTS)
        return;
    unsigned next = well.addresses + 1;
    int kind = well_request(0, 0, 5, next, 0, 0);
    if (kind < 0)
        return;
    well.kind[next] = kind;
    well.addresses = next;
    well_request(next, 0x80, 6, 0x100, 0, 18);
    well_request(next, 0, 9, 1, 0, 0);
    for (unsigned i = 1; i < 5 && !is_in_hub && strcmp(usb_names[kind], "usb-hub") == 0; i++) {
        well_request(next, 0x23, 3, 8, i, 0); /* power, reset */
        well_request(next, 0x23, 3, 4, i, 0);
        well_address(true);
    }
}

static void well_port_reset(unsigned n)
{
    unsigned bar = bar_list[bar_count - 1];
    if (begins("pci-ohci")) {
        reg_write(bar, 0x54 + 4 * n, 4, 0x10);
    } else if (begins("usb-ehci") || begins("ich9-usb-ehci")) {
        uint32_t at = reg_read(bar, 0, 1) + 0x44 + 4 * n;
        reg_write(bar, at, 4, 0x1100);
        reg_write(bar, at, 4, 0x1000);
    } else if (n < 2) {
        reg_write(bar, 16 + 2 * n, 2, 0x200);
        reg_write(bar, 16 + 2 * n, 2, 0);
        reg_write(bar, 16 + 2 * n, 2, 0xe);
    }
}

static void well_start(void)
{
    memset(&well, 0, sizeof well);
    well_packet(0, 0, 2, WELL_DATA, 0); /* the controller runs */
    for (unsigned n = 0; n < 6; n++) {
        well_port_reset(n);
        well_address(false);
    }
    well.silent = 0;
}

static void well_storage(unsigned device)
{
    uint8_t cbw[31];
    uint32_t len;
    command_write(WELL_DATA + 1024);
    mem_read(WELL_DATA + 1024, cbw, sizeof cbw);
    memcpy(&len, cbw + 8, 4);
    len = MIN(len, 4096u);
    if (well_packet(device, 2, 1, WELL_DATA + 1024, sizeof cbw) < 0 || below(32) == 0) { /* 5.3.4: reset recovery */
        well_request(device, 0x21, 0xff, 0, 0, 0);
        well_request(device, 2, 1, 0, 0x81, 0);
        well_request(device, 2, 1, 0, 0x02, 0);
        return;
    }
    for (uint32_t at = 0, piece; at < len; at += piece) {
        piece = MIN(512u, len - at);
        if (well_packet(device, cbw[12] & 0x80 ? 1 : 2, cbw[12] & 0x80 ? 2 : 1, WELL_DATA + 2048 + at, piece) < 0)
            break;
    }
    if (well_packet(device, 1, 2, WELL_DATA + 512, 13) < 0) {
        well_request(device, 2, 1, 0, 0x81, 0);
        well_packet(device, 1, 2, WELL_DATA + 512, 13);
    }
}

static void drive_schedule(void)
{
    if (!is_well_driven) {
        schedule();
        return;
    }
    if (well.silent > 12 || !well.addresses || below(512) == 0)
        well_start();
    unsigned device = 1 + below(MAX(well.addresses, 1));
    if (below(8) == 0) {
        setup_write(WELL_DATA);
        well_control(device);
    } else if (strcmp(usb_names[well.kind[device]], "usb-storage") == 0) {
        well_storage(device);
    } else {
        input();
        well_packet(device, 1, 2, WELL_DATA + 512, 8);
    }
}

/* --- A driver of an xHCI that does as it should (xHCI 1.1, 4.2 to 4.6), until something is damaged ---
 *
 * Contexts that come by chance let no packet reach a device. This one resets the ports, enables slots, addresses what
 * is there, and what is in a hub, configures it, and has transfers of each kind; odds say how often a bit of what it
 * has written is not as it was. Its memory is where page() is not.
 */
#define XD_CONTEXTS 0x200000u /* DCBAA */
#define XD_COMMANDS 0x201000u
#define XD_EVENTS   0x202000u /* 256 */
#define XD_TABLE    0x203000u
#define XD_INPUT    0x204000u
#define XD_DATA     0x208000u
#define XD_SLOT(n)  (0x220000u + 0x10000u * (n)) /* its context; behind it the rings */
#define XD_SLOTS    8u
#define XD_RING     64u /* TRBs, with the link */

struct xd_ring {
    uint32_t base, at;
    bool cycle;
};

static struct {
    bool is_up;
    unsigned bar, op, doorbells, run;
    struct xd_ring commands, events;
    unsigned slots; /* addressed, from 1 */
    struct xd_slot {
        uint8_t kind; /* class of its interface: 3 HID, 8 storage, 9 hub; 0: gone */
        struct xd_ring ring[5];
        uint32_t halted; /* by DCI */
    } slot[XD_SLOTS + 1];
    uint32_t recent[8], written; /* TRBs */
    unsigned code, code_slot;    /* of the last completion of a command */
    unsigned silent;             /* things asked for without an answer */
} xd;

static void xd_ring_make(struct xd_ring *ring, uint32_t base)
{
    static const uint8_t zero[XD_RING * 16];
    *ring = (struct xd_ring){base, 0, true};
    mem_write(base, zero, sizeof zero);
}

static void xd_put(struct xd_ring *ring, uint32_t parameter, uint32_t high, uint32_t status, uint32_t control)
{
    uint32_t trb[4] = {parameter, high, status, control | ring->cycle}, at = ring->base + 16 * ring->at;
    mem_write(at, trb, sizeof trb);
    xd.recent[xd.written++ % G_N_ELEMENTS(xd.recent)] = at;
    if (++ring->at == XD_RING - 1) {
        uint32_t link[4] = {ring->base, 0, 0, 6u << 10 | 2 | (control & 0x10) | ring->cycle};
        mem_write(ring->base + 16 * ring->at, link, sizeof link);
        ring->at = 0;
        ring->cycle = !ring->cycle;
    }
}

static void xd_damage(void)
{
    uint32_t at, w;
    if (below(odds))
        return;
    switch (below(8)) {
    case 0:
        at = XD_INPUT + 4 * below(64);
        break;
    case 1:
        at = XD_SLOT(1 + below(xd.slots + 1)) + 4 * below(48);
        break;
    case 2:
        at = (below(2) ? XD_CONTEXTS : XD_TABLE) + 4 * below(16);
        break;
    default:
        at = xd.recent[below(G_N_ELEMENTS(xd.recent))] + 4 * below(4);
        break;
    }
    if (!at)
        return;
    mem_read(at, &w, 4);
    w = below(2) ? w ^ 1u << below(32) : value();
    mem_write(at, &w, 4);
}

/* The controller works, the medium answers; what is on the event ring is taken. */
static void xd_wait(void)
{
    unsigned seen = 0;
    for (unsigned i = 0; i < 16; i++) {
        if (bus_is_asked)
            grant_bus();
        if (requests->len && below(8))
            request_end();
    }
    for (uint32_t event[4]; seen < 256; seen++) {
        mem_read(xd.events.base + 16 * xd.events.at, event, sizeof event);
        if ((event[3] & 1) != xd.events.cycle)
            break;
        unsigned type = event[3] >> 10 & 0x3f, code = event[2] >> 24, slot = event[3] >> 24, dci = event[3] >> 16 & 31;
        if (type == 33) {
            xd.code = code;
            xd.code_slot = slot;
        } else if (type == 32 && code != 1 && code != 13 && slot <= XD_SLOTS) {
            xd.slot[slot].halted |= 1u << dci;
        }
        if (++xd.events.at == 256) {
            xd.events.at = 0;
            xd.events.cycle = !xd.events.cycle;
        }
    }
    xd.silent = seen ? 0 : xd.silent + 1;
    reg_write(xd.bar, xd.run + 0x38, 4, (xd.events.base + 16 * xd.events.at) | 8);
    reg_write(xd.bar, xd.run + 0x3c, 4, 0);
    if (bus_is_asked)
        grant_bus();
}

static bool xd_command(uint32_t parameter, uint32_t kind, unsigned slot, unsigned dci)
{
    xd.code = 0;
    xd_put(&xd.commands, parameter, 0, 0, kind << 10 | slot << 24 | dci << 16);
    xd_damage();
    reg_write(xd.bar, xd.doorbells, 4, 0);
    xd_wait();
    return xd.code == 1;
}

static void xd_ring_doorbell(unsigned slot, unsigned dci)
{
    xd_damage();
    reg_write(xd.bar, xd.doorbells + 4 * slot, 4, dci);
    xd_wait();
}

/* A halted endpoint goes on behind what it failed at (4.10.2.1). */
static void xd_recover(unsigned slot, unsigned dci)
{
    struct xd_ring *ring = &xd.slot[slot].ring[dci];
    if (!(xd.slot[slot].halted & 1u << dci))
        return;
    xd.slot[slot].halted &= ~(1u << dci);
    xd_command(0, 14, slot, dci);
    xd_command((ring->base + 16 * ring->at) | ring->cycle, 16, slot, dci);
}

/* A request whose eight bytes are at XD_DATA, with its data behind them. */
static void xd_control(unsigned slot)
{
    struct xd_ring *ring = &xd.slot[slot].ring[1];
    uint32_t setup[2], len, is_in;
    mem_read(XD_DATA, setup, sizeof setup);
    len = setup[1] >> 16;
    is_in = setup[0] >> 7 & 1;
    xd_put(ring, setup[0], setup[1], 8, 2u << 10 | 0x40 | (len ? 2 + is_in : 0) << 16);
    if (len)
        xd_put(ring, XD_DATA + 64, 0, len, 3u << 10 | is_in << 16 | below(2) << 2);
    xd_put(ring, 0, 0, 0, 4u << 10 | 0x20 | (len && is_in ? 0 : 1u) << 16);
    xd_ring_doorbell(slot, 1);
    xd_recover(slot, 1);
}

static void xd_request(unsigned slot, uint8_t type, uint8_t request, uint32_t what, uint32_t index, uint32_t len)
{
    uint32_t setup[2] = {type | (uint32_t)request << 8 | what << 16, index | len << 16};
    mem_write(XD_DATA, setup, sizeof setup);
    xd_control(slot);
}

/* One TD in pieces, with data or without, as events are wanted. */
static void xd_move(unsigned slot, unsigned dci, uint32_t at, uint32_t len)
{
    struct xd_ring *ring = &xd.slot[slot].ring[dci];
    unsigned pieces = 1 + below(4) * below(2);
    bool has_event = below(8) == 0;
    for (unsigned i = 0; i < pieces; i++) {
        bool is_last = i + 1 == pieces;
        uint32_t part = is_last ? len : below(len + 1);
        xd_put(ring, at, 0, part,
               1u << 10 | below(2) << 2 | (is_last && !has_event ? 0x20 : 0x10) | (below(8) == 0 ? 0x20 : 0));
        at += part;
        len -= part;
    }
    if (has_event)
        xd_put(ring, 0x1234, 0, 0, 7u << 10 | 0x20);
    xd_ring_doorbell(slot, dci);
}

static void xd_input(unsigned port, unsigned speed, uint32_t route, unsigned slot, uint8_t kind)
{
    uint32_t in[8 * 6] = {0, kind ? 0x19 : 3};
    struct xd_ring *ring = xd.slot[slot].ring;
    in[8] = route | speed << 20 | (kind ? 4u : 1u) << 27;
    in[9] = port << 16;
    in[17] = 3u << 1 | 4u << 3 | (speed == 3 ? 64u : 8u) << 16;
    in[18] = ring[1].base | 1;
    for (unsigned dci = 3; dci < 5; dci++) {
        in[8 * (dci + 1)] = 4u << 16;
        in[8 * (dci + 1) + 1] = 3u << 1 |
                                (kind != 8  ? 7u
                                 : dci == 3 ? 6u
                                            : 2u)
                                    << 3 |
                                (kind != 8    ? 8u
                                 : speed == 3 ? 512u
                                              : 64u)
                                    << 16;
        in[8 * (dci + 1) + 2] = ring[dci].base | 1;
    }
    mem_write(XD_INPUT, in, sizeof in);
}

/* What is in a port that has been reset. route: the port of the hub in the root port, 0: itself. */
static void xd_enumerate(unsigned port, unsigned speed, uint32_t route)
{
    static const uint8_t zero[32 * 32];
    uint8_t about[18 + 9] = {0};
    unsigned slot;
    if (!xd_command(0, 9, 0, 0) || xd.code_slot < 1 || xd.code_slot > XD_SLOTS)
        return;
    slot = xd.code_slot;
    struct xd_slot *it = &xd.slot[slot];
    *it = (struct xd_slot){0};
    for (unsigned dci = 1; dci < 5; dci++)
        xd_ring_make(&it->ring[dci], XD_SLOT(slot) + 0x1000 * dci);
    uint32_t entry[2] = {XD_SLOT(slot), 0};
    mem_write(XD_SLOT(slot), zero, sizeof zero);
    mem_write(XD_CONTEXTS + 8 * slot, entry, sizeof entry);
    xd_input(port, speed, route, slot, 0);
    if (!xd_command(XD_INPUT, 11, slot, 0))
        return;
    xd.slots = MAX(xd.slots, slot);
    xd_request(slot, 0x80, 6, 0x100, 0, 18);
    xd_request(slot, 0x80, 6, 0x200, 0, sizeof about);
    mem_read(XD_DATA + 64, about, sizeof about);
    it->kind = about[9 + 5] ? about[9 + 5] : 3;
    xd_request(slot, 0, 9, 1, 0, 0);
    xd_input(port, speed, route, slot, it->kind);
    xd_command(XD_INPUT, 12, slot, 0);
    for (unsigned i = 1; it->kind == 9 && !route && i < 4; i++) {
        xd_request(slot, 0x23, 3, 8, i, 0); /* power, reset, what has changed */
        xd_request(slot, 0x23, 3, 4, i, 0);
        xd_request(slot, 0xa3, 0, 0, i, 4);
        mem_read(XD_DATA + 64, about, 4);
        xd_request(slot, 0x23, 1, 20, i, 0);
        if (about[0] & 1)
            xd_enumerate(port, 1, i);
    }
}

static void xd_start(void)
{
    uint32_t segment[4] = {XD_EVENTS, 0, 256, 0}, zero[64 * 16] = {0};
    memset(&xd, 0, sizeof xd);
    xd.bar = bar_list[0];
    xd.op = reg_read(xd.bar, 0, 1) & 0xff;
    xd.doorbells = reg_read(xd.bar, 0x14, 4);
    xd.run = reg_read(xd.bar, 0x18, 4);
    xd_ring_make(&xd.commands, XD_COMMANDS);
    mem_write(XD_EVENTS, zero, sizeof zero);
    mem_write(XD_CONTEXTS, zero, 4096);
    mem_write(XD_TABLE, segment, sizeof segment);
    xd.events = (struct xd_ring){XD_EVENTS, 0, true};
    reg_write(xd.bar, xd.op, 4, 2);
    static const struct {
        bool is_runtime;
        uint16_t at;
        uint32_t value;
    } registers[] = {{false, 0x38, XD_SLOTS}, {false, 0x30, XD_CONTEXTS},
                     {false, 0x34, 0},        {false, 0x18, XD_COMMANDS | 1},
                     {false, 0x1c, 0},        {true, 0x28, 1},
                     {true, 0x38, XD_EVENTS}, {true, 0x3c, 0},
                     {true, 0x30, XD_TABLE},  {true, 0x34, 0},
                     {true, 0x20, 2},         {false, 0, 5}};
    for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++)
        reg_write(xd.bar, (registers[i].is_runtime ? xd.run : xd.op) + registers[i].at, 4, registers[i].value);
    xd.is_up = true;
    unsigned ports = reg_read(xd.bar, 4, 4) >> 24;
    for (unsigned port = 1; port <= ports; port++) {
        uint32_t at = xd.op + 0x3f0 + 16 * port;
        reg_write(xd.bar, at, 4, 0x210);
        xd_wait();
        uint32_t portsc = reg_read(xd.bar, at, 4);
        reg_write(xd.bar, at, 4, 0xfe0200);
        if ((portsc & 3) == 3)
            xd_enumerate(port, portsc >> 10 & 15, 0);
    }
    xd.silent = 0;
}

/* A command of mass storage, its data, its status: one of them may be left out. */
static void xd_storage(unsigned slot)
{
    uint8_t cbw[31];
    uint32_t len;
    command_write(XD_DATA + 1024);
    mem_read(XD_DATA + 1024, cbw, sizeof cbw);
    memcpy(&len, cbw + 8, 4);
    len = MIN(len, 0x10000u);
    if (below(odds * 2))
        xd_move(slot, 4, XD_DATA + 1024, sizeof cbw);
    xd_recover(slot, 4);
    unsigned dci = cbw[12] & 0x80 ? 3 : 4;
    if (len && below(odds * 2))
        xd_move(slot, dci, XD_DATA + 2048, len);
    xd_recover(slot, dci);
    if (below(odds * 2))
        xd_move(slot, 3, XD_DATA + 512, 13);
    if (xd.slot[slot].halted & 1u << 3) {
        xd_recover(slot, 3);
        xd_request(slot, 2, 1, 0, 0x81, 0);
        xd_move(slot, 3, XD_DATA + 512, 13);
    }
    if (xd.slot[slot].halted || below(64) == 0) { /* reset recovery (bulk only, 5.3.4) */
        xd_recover(slot, 3);
        xd_recover(slot, 4);
        xd_request(slot, 0x21, 0xff, 0, 0, 0);
        xd_request(slot, 2, 1, 0, 0x81, 0);
        xd_request(slot, 2, 1, 0, 0x02, 0);
    }
}

static void xd_act(void)
{
    unsigned slot = 1 + below(MAX(xd.slots, 1));
    struct xd_slot *it = &xd.slot[slot];
    if (!it->ring[1].base)
        return;
    switch (below(16)) {
    case 0:
        setup_write(XD_DATA);
        xd_control(slot);
        break;
    case 1: { /* an endpoint is stopped and goes on, or is told where */
        unsigned dci = below(2) ? 1 : 3 + below(2);
        xd_command(0, 15, slot, dci);
        if (below(2))
            xd_command((it->ring[dci].base + 16 * it->ring[dci].at) | it->ring[dci].cycle, 16, slot, dci);
        xd_ring_doorbell(slot, dci);
        break;
    }
    case 2:
        if (below(16) == 0)
            xd_command(XD_INPUT, below(2) ? 12 : 13, slot, 0);
        else if (below(16) == 0)
            xd_command(0, below(2) ? 17 : 10, slot, 0);
        else
            xd_command(0, 23, 0, 0);
        break;
    default:
        if (it->kind == 8) {
            xd_storage(slot);
        } else {
            input();
            xd_move(slot, 3, XD_DATA + 512, 8);
            xd_recover(slot, 3);
            if (below(8) == 0)
                xd_request(slot, 0xa1, 1, 0x100, 0, 8);
        }
        break;
    }
}

/* False: whatever has become of it, it begins anew. */
static bool xd_is_well(void)
{
    return xd.is_up && xd.silent < 12 && xd.slots && xd.bar == bar_list[0] && (reg_read(xd.bar, xd.op, 4) & 1) &&
           reg_read(xd.bar, xd.op + 0x30, 4) == XD_CONTEXTS && reg_read(xd.bar, xd.op + 4, 4) != ~0u;
}

static void drive_xhci_well(void)
{
    if (!xd_is_well() || below(512) == 0)
        xd_start();
    for (unsigned i = 1 + below(8); i--;)
        xd_act();
}

static void drive_xhci(void)
{
    (is_well_driven ? drive_xhci_well : drive_xhci_anyhow)();
}

/* DSP commands with as many bytes behind them as they may want; the mixer; the DMA controller. */
static void drive_sb16(void)
{
    static const uint8_t commands[] = {0x10, 0x14, 0x16, 0x17, 0x1c, 0x1f, 0x20, 0x24, 0x40, 0x41, 0x42, 0x45, 0x47,
                                       0x48, 0x74, 0x75, 0x76, 0x77, 0x7d, 0x80, 0x90, 0x91, 0xb0, 0xb6, 0xbe, 0xc0,
                                       0xc6, 0xce, 0xd0, 0xd1, 0xd3, 0xd4, 0xd5, 0xd6, 0xd8, 0xd9, 0xda, 0xe0, 0xe1,
                                       0xe2, 0xe3, 0xe4, 0xe8, 0xf2, 0xf3, 0xf8, 0x30, 0x31, 0x34, 0x35, 0x38};
    uint32_t at = page();
    switch (below(5)) {
    case 0: /* a channel of the 8237: 1, or 5 */
        ioport_write(0x0a, 1, 5);
        ioport_write(0x0b, 1, 0x49 | below(2) << 4 | below(4) << 2);
        ioport_write(0x0c, 1, 0);
        ioport_write(0x02, 1, at & 0xff);
        ioport_write(0x02, 1, at >> 8 & 0xff);
        ioport_write(0x83, 1, at >> 16);
        ioport_write(0x03, 1, rnd() & 0xff);
        ioport_write(0x03, 1, below(4));
        ioport_write(0x0a, 1, 1);
        ioport_write(0xd4, 1, 5);
        ioport_write(0xd6, 1, 0x49 | below(2) << 4);
        ioport_write(0xd8, 1, 0);
        ioport_write(0xc4, 1, at >> 1 & 0xff);
        ioport_write(0xc4, 1, at >> 9 & 0xff);
        ioport_write(0x8b, 1, at >> 16 & 0xfe);
        ioport_write(0xc6, 1, rnd() & 0xff);
        ioport_write(0xc6, 1, below(4));
        ioport_write(0xd4, 1, 1);
        break;
    case 1:
        ioport_write(0x224, 1, below(0x90));
        ioport_write(0x225, 1, value());
        ioport_read(0x225, 1);
        break;
    case 2:
        ioport_write(0x226, 1, below(2));
        ioport_read(0x22a, 1);
        break;
    default:
        ioport_write(0x22c, 1, below(8) ? commands[below(sizeof commands)] : rnd());
        for (unsigned i = below(4); i--;)
            ioport_write(0x22c, 1, below(2) ? value() : below(64));
        ioport_read(0x22e + below(2), 1);
        break;
    }
}

static void drive_opl(void)
{
    static const uint16_t ports[] = {0x388, 0x388, 0x38a, 0x220, 0x222, 0x228};
    for (unsigned i = below(8); i--;) {
        uint16_t port = ports[begins("adlib") ? below(2) : below(G_N_ELEMENTS(ports))];
        ioport_write(port, 1, below(4) ? 0xa0 + below(0x60) : below(256));
        ioport_write((uint16_t)(port + 1), 1, rnd());
    }
}

static void drive_es1370(void)
{
    uint32_t buffer = address();
    reg_write(0, 0x0c, 4, 0xc);
    reg_write(0, 0x30 + 8 * below(2), 4, buffer);
    reg_write(0, 0x34 + 8 * below(2), 4, below(4) ? below(1024) : value());
    reg_write(0, 0x24 + 4 * below(3), 4, below(4) ? below(512) : value());
    reg_write(0, 0x10, 2, below(0x1a) << 8 | below(256));
    reg_write(0, 0x20, 4, below(4) ? below(64) | below(8) << 10 : value());
    reg_write(0, 0x00, 4, below(4) ? (below(2) ? 0x60 : 0x20) | below(0x2000) << 16 | below(4) << 12 : value());
}

static void drive_ac97(void)
{
    uint32_t list = page(), words[2], at = 0x10 * below(3);
    for (unsigned i = 0; i < 32; i++) {
        words[0] = address();
        words[1] = (below(8) ? below(4096) : value() & 0xffff) | below(4) << 30;
        mem_write(list + 8 * i, words, sizeof words);
    }
    reg_write(0, below(0x40) * 2, 2, value());
    reg_write(1, 0x2c, 4, below(4) ? 2 : value());
    reg_write(1, at, 4, list);
    reg_write(1, at + 5, 1, below(4) ? below(32) : value());
    reg_write(1, at + 11, 1, below(8) ? 0x1d : value());
}

/* Extensions behind their key, then blits (CL-GD5446 Technical Reference Manual, chapters 8 and 9). */
static void drive_cirrus(void)
{
    static const uint8_t rops[] = {0x00, 0x05, 0x06, 0x09, 0x0b, 0x0d, 0x0e, 0x50,
                                   0x59, 0x6d, 0x90, 0x95, 0xad, 0xd0, 0xd6, 0xda};
    ioport_write(0x3c4, 2, 0x1206);
    ioport_write(0x3c4, 2, below(2) ? 0x0107 : value() << 8 | 7);
    for (unsigned i = below(8); i--;) {
        if (below(3))
            ioport_write(0x3ce, 2, below(0x40) | value() << 8);
        else
            ioport_write(below(2) ? 0x3c4 : 0x3d4, 2, below(0x28) | value() << 8);
    }
    for (unsigned i = 0x20; i < 0x30; i++) {
        if (below(4))
            ioport_write(0x3ce, 2, i | (below(2) ? below(16) : value()) << 8);
    }
    ioport_write(0x3ce, 2, 0x30 | (below(4) ? below(256) : 0) << 8);
    ioport_write(0x3ce, 2, 0x33 | (below(2) ? below(32) : 0) << 8);
    ioport_write(0x3ce, 2, 0x32 | (uint32_t)(below(8) ? rops[below(sizeof rops)] : rnd() & 0xff) << 8);
    ioport_write(0x3ce, 2, below(3) ? 0x0231 : 0x0431);
    uint32_t words[16];
    for (unsigned i = 0; i < 16; i++)
        words[i] = rnd();
    for (unsigned i = below(16); i--;) /* what the processor has to bring */
        mem_write(below(2) ? 0xa0000 + below(0x10000) : bars[0].base + below(0x400000), words, 4u << below(5));
}

/* Commands of any kind, pointers mostly good. */
static void drive_svga(void)
{
    static const uint32_t start[] = {2048, 8192, 2048, 2048};
    uint32_t fifo = bars[2].base;
    for (unsigned i = 0; i < 4 && below(2); i++)
        mem_write(fifo + 4 * i, &start[i], 4);
    for (unsigned i = below(200), at = 2048; i--; at += 4) {
        uint32_t w = below(2) ? below(40) : below(2) ? below(700) : value();
        mem_write(fifo + at, &w, 4);
    }
    uint32_t next = below(20) ? 2048 + 4 * below(300) : value();
    mem_write(fifo + 8, &next, 4);
    for (unsigned i = below(6); i--;) {
        reg_write(0, 0, 4, below(40));
        reg_write(0, 1, 4, below(3) ? below(1500) : value());
    }
    for (unsigned i = 0; i < 2; i++) {
        reg_write(0, 0, 4, i ? 21 : below(2) ? 20 : 1);
        reg_write(0, 1, 4, 1);
        reg_write(0, 0, 4, 22);
        reg_read(0, 1, 4);
    }
}

/* Modes of the Bochs interface, banks, and planes. */
static void drive_vga(void)
{
    for (unsigned i = below(12); i--;) {
        static const uint16_t ports[] = {0x3c4, 0x3ce, 0x3d4};
        ioport_write(ports[below(3)], 2, below(0x19) | value() << 8);
    }
    for (unsigned i = below(8); i--;) {
        static const uint16_t most[] = {0, 2600, 1700, 40, 0x100, 300, 2600, 3000, 300, 2000};
        unsigned index = below(10);
        ioport_write(0x1ce, 2, index);
        ioport_write(0x1cf, 2,
                     index == 3 && below(2) ? 8u * (1 + below(4))
                     : index == 4           ? 0x41
                                            : below(most[index] + 1u));
    }
    uint32_t w = rnd();
    for (unsigned i = below(16); i--;)
        mem_write(0xa0000 + below(0x20000), &w, 1u << below(3));
    mem_read(0xa0000 + below(0x20000), &w, 1u << below(3));
}

static void drive(void)
{
    static const struct {
        const char *begins;
        void (*drive)(void);
    } drivers[] = {{"piix", drive_schedule},
                   {"ich9-usb-uhci", drive_schedule},
                   {"pci-ohci", drive_schedule},
                   {"usb-ehci", drive_schedule},
                   {"ich9-usb-ehci", drive_schedule},
                   {"qemu-xhci", drive_xhci},
                   {"nec-usb", drive_xhci},
                   {"sb16", drive_sb16},
                   {"sb16", drive_opl},
                   {"adlib", drive_opl},
                   {"ES1370", drive_es1370},
                   {"AC97", drive_ac97},
                   {"cirrus", drive_cirrus},
                   {"cirrus", drive_vga},
                   {"vmware", drive_svga},
                   {"vmware", drive_vga},
                   {"VGA", drive_vga},
                   {"isa-vga", drive_vga}};
    unsigned found[4], count = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++) {
        if (begins(drivers[i].begins))
            found[count++] = i;
    }
    if (count && bar_count)
        drivers[found[below(count)]].drive();
}

/* --- People --- */

static void look(void)
{
    static uint32_t pixels[2048 * 2048];
    static struct display_text text;
    const struct display *display = board_service(registry_board(registry), "display");
    unsigned width, height;
    uint64_t number;
    if (!display)
        return;
    display->text(display->opaque, &text);
    display->serial(display->opaque, &number);
    display->size(display->opaque, &width, &height);
    if (width && height && width <= G_N_ELEMENTS(pixels)) {
        unsigned first = below(height), some = 1 + below(64), most = (unsigned)G_N_ELEMENTS(pixels) / width;
        unsigned count = MIN(MIN(some, most), height - first);
        if (!display->rows(display->opaque, width, height, first, count, pixels))
            FAIL("there is no picture of %ux%u", width, height);
    }
}

/* --- Operations --- */

/* The card itself, or what is plugged into it. */
static void with_state(void (*act)(void))
{
    const struct instance *device = card, *instance;
    unsigned count = 0;
    for (unsigned i = 0; (instance = registry_instance(registry, i)); i++) {
        if ((instance == device || instance->class->bus == BUS_USB) && has_state(instance) && below(++count) == 0)
            card = instance;
    }
    if (has_state(card))
        act();
    card = device;
}

static void reset(void)
{
    registry_reset(registry);
    bars_place();
}

static void step(void)
{
    static const uint32_t moods[] = {2, 64, 4096, 100000};
    static bool is_quiet; /* for long enough to get a device from its reset to its data, drivers are left alone */
    unsigned what = below(1000);
    bool is_pci = card->class->bus == BUS_PCI;
    unsigned state_odds = kind_now == GRAPHICS ? 128 : 8; /* a state with video memory takes its time */
    if (op_now % 128 == 0)
        odds = moods[below(G_N_ELEMENTS(moods))];
    if (op_now % 4096 == 0) {
        is_quiet = below(4) != 0;
        is_well_driven = below(4) != 0;
    }
    if (is_quiet && below(256))
        what = below(2) ? 340 + below(220) : 680 + below(200);
    if (what < 250) {
        touch_register(true);
    } else if (what < 340) {
        touch_register(false);
    } else if (what < 560) {
        drive();
    } else if (what < 680) {
        prepare_memory();
    } else if (what < 800) {
        let_time_pass();
    } else if (what < 860) {
        for (unsigned i = below(4); i--;)
            request_end();
        listen();
        input();
    } else if (what < 880) {
        if (kind_now == GRAPHICS)
            look();
        else
            input();
    } else if (what < 940) {
        grant_bus();
    } else if (what < 955 && is_pci) {
        touch_config();
    } else if (what < 970) {
        if (below(state_odds) == 0)
            with_state(save_and_load);
    } else if (what < 973) {
        if (below(state_odds) < 2)
            with_state(load_damaged);
    } else if (what < 975) {
        dump_card();
    } else if (below(is_quiet ? 4 : 16) == 0) {
        reset();
    }
    if (is_pci && below(64) == 0)
        bars_place();
    renew(board_build);
}

static void storm(uint64_t ops)
{
    seed_state = seed;
    rnd();
    frames_heard = requests_done = 0;
    memset(packets, 0, sizeof packets);
    machine_lock();
    board_build();
    double seconds = storm_run(ops, board_build, step);
    printf(STORM ": %s: %llu operations in %.1f s; %llu frames heard, %llu requests to the medium\n", class_now->name,
           (unsigned long long)ops, seconds, (unsigned long long)frames_heard, (unsigned long long)requests_done);
    if (kind_now == USB)
        usb_print();
    fflush(stdout);
}

int main(int argc, char **argv)
{
    streams = g_ptr_array_new();
    requests = g_array_new(FALSE, FALSE, sizeof(struct request));
    int status = storm_main(argc, argv, is_card, storm);
    g_ptr_array_unref(streams);
    g_array_unref(requests);
    return status;
}

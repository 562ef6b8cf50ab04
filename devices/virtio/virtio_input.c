/* virtio-input: a keyboard, a mouse, a tablet. VIRTIO 1.1, 5.8; numbers of types and codes are those of Linux's evdev
 * (linux/input-event-codes.h), which 5.8 takes for its own.
 *
 * What happens becomes events in a queue of ours, in groups that end with SYN, and these go into the driver's buffers
 * as there are some. A group for which the queue has no room is lost as a whole.
 */
#include <string.h>

#include "input.h"
#include "log.h"
#include "virtio_pci.h"

#define QUEUE_EVENTS 0
#define QUEUE_STATUS 1
#define QUEUE_SIZE   64

#define EV_SYN 0x00
#define EV_KEY 0x01
#define EV_REL 0x02
#define EV_ABS 0x03
#define EV_LED 0x11
#define EV_REP 0x14

#define REL_X     0x00
#define REL_Y     0x01
#define REL_WHEEL 0x08
#define ABS_X     0x00
#define ABS_Y     0x01
#define BTN_LEFT  0x110 /* then right, middle, side, extra, in the order of our bits */
#define BUTTONS   5
#define KEYS_MAX  256u

/* Of the configuration's select. */
#define CFG_ID_NAME   0x01
#define CFG_ID_SERIAL 0x02
#define CFG_ID_DEVIDS 0x03
#define CFG_EV_BITS   0x11
#define CFG_ABS_INFO  0x12

#define BUS_VIRTUAL 0x06
#define VENDOR_QEMU 0x0627

/* struct virtio_input_config, 5.8.4 */
struct layout_config {
    uint8_t select, subsel, size, reserved[5];
    uint8_t value[128];
};

struct event {
    uint16_t type, code;
    uint32_t value;
};

struct kind {
    const char *name;
    uint16_t product;
    bool has_keys, has_moves, has_positions;
};

struct input_config {
    struct virtio_options virtio;
    const char *serial;
};

#define EVENTS_MAX 256u

/* Saved. */
struct input_regs {
    struct event event[EVENTS_MAX]; /* a ring */
    uint16_t first, count;
    uint8_t select, subsel;
    uint8_t leds; /* as the driver has set them, a bit each */
    uint8_t buttons;
    uint16_t x, y; /* what was told last */
};

struct input {
    struct virtio virtio; /* first */
    struct input_regs regs;
    struct input_sink sink;
    const struct kind *kind;
    const struct input_config *config;
};

/* --- Keys: scan code set 1 to Linux's --- */

static const struct {
    uint16_t scan;
    uint8_t key;
} odd_keys[] = {
    {0x54, 99},    {0x59, 117},   {0x70, 93},    {0x73, 89},    {0x79, 92},    {0x7b, 94},    {0x7d, 124},
    {0x7e, 121},   {0xe010, 165}, {0xe019, 163}, {0xe01c, 96},  {0xe01d, 97},  {0xe020, 113}, {0xe022, 164},
    {0xe024, 166}, {0xe02e, 114}, {0xe030, 115}, {0xe035, 98},  {0xe037, 99},  {0xe038, 100}, {0xe046, 119},
    {0xe047, 102}, {0xe048, 103}, {0xe049, 104}, {0xe04b, 105}, {0xe04d, 106}, {0xe04f, 107}, {0xe050, 108},
    {0xe051, 109}, {0xe052, 110}, {0xe053, 111}, {0xe05b, 125}, {0xe05c, 126}, {0xe05d, 127}, {0xe05e, 116},
    {0xe05f, 142}, {0xe063, 143}, {0xe11d, 119},
};

/* 0: there is no such key. Most of the codes without E0h are Linux's numbers. */
static uint16_t key_of_scan(uint16_t scan)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(odd_keys); i++) {
        if (odd_keys[i].scan == scan)
            return odd_keys[i].key;
    }
    return scan <= 0x58 && scan != 0x55 ? scan : 0;
}

/* --- Events --- */

static bool driver_is_there(const struct input *input)
{
    return virtio_is_running(&input->virtio) && virtio_queue_is_on(&input->virtio, QUEUE_EVENTS);
}

static bool input_is_on(void *opaque)
{
    return driver_is_there(opaque);
}

#define GROUP_MAX 16

struct group {
    struct event event[GROUP_MAX];
    unsigned count;
};

static void group_add(struct group *group, uint16_t type, uint16_t code, uint32_t value)
{
    if (group->count < GROUP_MAX)
        group->event[group->count++] = (struct event){type, code, value};
}

/* False: nothing of it is told. */
static bool group_tell(struct input *input, struct group *group)
{
    struct input_regs *regs = &input->regs;
    if (!group->count || !driver_is_there(input))
        return false;
    group_add(group, EV_SYN, 0, 0);
    if (regs->count + group->count > EVENTS_MAX) {
        log_guest("%s: %u events wait; one more is lost", input->kind->name, regs->count);
        return false;
    }
    for (unsigned i = 0; i < group->count; i++)
        regs->event[(regs->first + regs->count++) % EVENTS_MAX] = group->event[i];
    virtio_kick(&input->virtio, QUEUE_EVENTS);
    return true;
}

static void input_key(void *opaque, uint16_t scan, bool down)
{
    struct input *input = opaque;
    struct group group = {.count = 0};
    uint16_t key = key_of_scan(scan);
    if (!key)
        return;
    group_add(&group, EV_KEY, key, down);
    group_tell(input, &group);
}

static void group_add_buttons(struct group *group, struct input *input, unsigned buttons)
{
    for (unsigned i = 0; i < BUTTONS; i++) {
        if ((buttons ^ input->regs.buttons) >> i & 1)
            group_add(group, EV_KEY, (uint16_t)(BTN_LEFT + i), buttons >> i & 1);
    }
}

static void input_mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    struct input *input = opaque;
    struct group group = {.count = 0};
    group_add_buttons(&group, input, buttons);
    if (dx)
        group_add(&group, EV_REL, REL_X, (uint32_t)dx);
    if (dy)
        group_add(&group, EV_REL, REL_Y, 0u - (uint32_t)dy); /* evdev's goes down */
    if (dz)
        group_add(&group, EV_REL, REL_WHEEL, 0u - (uint32_t)dz); /* and its wheel away from the user */
    if (group_tell(input, &group))
        input->regs.buttons = (uint8_t)(buttons & ((1u << BUTTONS) - 1));
}

static void input_absolute(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    struct input *input = opaque;
    struct group group = {.count = 0};
    x = MIN(x, INPUT_ABSOLUTE_MAX);
    y = MIN(y, INPUT_ABSOLUTE_MAX);
    group_add_buttons(&group, input, buttons);
    if (x != input->regs.x)
        group_add(&group, EV_ABS, ABS_X, x);
    if (y != input->regs.y)
        group_add(&group, EV_ABS, ABS_Y, y);
    if (dz)
        group_add(&group, EV_REL, REL_WHEEL, 0u - (uint32_t)dz);
    if (!group_tell(input, &group))
        return;
    input->regs.buttons = (uint8_t)(buttons & ((1u << BUTTONS) - 1));
    input->regs.x = (uint16_t)x;
    input->regs.y = (uint16_t)y;
}

/* --- Runs --- */

#define RUN_CHAINS 64u

static bool events_run(struct input *input)
{
    struct virtio *virtio = &input->virtio;
    struct input_regs *regs = &input->regs;
    unsigned left = RUN_CHAINS;
    virtqueue_hush(virtio, QUEUE_EVENTS);
    do {
        while (left && regs->count && virtqueue_pop(virtio, QUEUE_EVENTS, virtio->chain)) {
            uint32_t written =
                virtio_chain_write(virtio, virtio->chain, 0, &regs->event[regs->first], sizeof(struct event));
            virtqueue_push(virtio, QUEUE_EVENTS, virtio->chain->head, written);
            regs->first = (uint16_t)((regs->first + 1) % EVENTS_MAX);
            regs->count--;
            left--;
        }
    } while (left && regs->count && virtqueue_listen(virtio, QUEUE_EVENTS));
    virtqueue_interrupt(virtio, QUEUE_EVENTS);
    return !left;
}

static void status_take(struct input *input, const struct event *event)
{
    if (event->type != EV_LED || event->code >= 8)
        return;
    uint8_t bit = (uint8_t)(1u << event->code);
    input->regs.leds = (uint8_t)(event->value ? input->regs.leds | bit : input->regs.leds & ~bit);
}

static bool status_run(struct input *input)
{
    struct virtio *virtio = &input->virtio;
    unsigned left = RUN_CHAINS;
    virtqueue_hush(virtio, QUEUE_STATUS);
    do {
        while (left && virtqueue_pop(virtio, QUEUE_STATUS, virtio->chain)) {
            struct event event;
            if (virtio_chain_read(virtio, virtio->chain, 0, &event, sizeof(event)) == sizeof(event))
                status_take(input, &event);
            virtqueue_push(virtio, QUEUE_STATUS, virtio->chain->head, 0);
            left--;
        }
    } while (left && virtqueue_listen(virtio, QUEUE_STATUS));
    virtqueue_interrupt(virtio, QUEUE_STATUS);
    return !left;
}

static bool input_run(struct virtio *virtio, unsigned queue)
{
    struct input *input = (struct input *)virtio;
    return queue == QUEUE_EVENTS ? events_run(input) : status_run(input);
}

/* --- Configuration --- */

static void set_bit(struct layout_config *layout, unsigned bit)
{
    layout->value[bit / 8] |= (uint8_t)(1u << bit % 8);
    layout->size = (uint8_t)MAX(layout->size, bit / 8 + 1);
}

/* CFG_EV_BITS: which codes of this type there are. */
static void event_bits(const struct input *input, struct layout_config *layout, unsigned type)
{
    const struct kind *kind = input->kind;
    bool points = kind->has_moves || kind->has_positions;
    if (type == EV_KEY && kind->has_keys) {
        for (uint16_t scan = 1; scan <= 0x7f; scan++) {
            if (key_of_scan(scan))
                set_bit(layout, key_of_scan(scan));
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(odd_keys); i++)
            set_bit(layout, odd_keys[i].key);
    } else if (type == EV_KEY) {
        for (unsigned i = 0; i < BUTTONS; i++)
            set_bit(layout, BTN_LEFT + i);
    } else if (type == EV_REL && points) {
        if (kind->has_moves) {
            set_bit(layout, REL_X);
            set_bit(layout, REL_Y);
        }
        set_bit(layout, REL_WHEEL);
    } else if (type == EV_ABS && kind->has_positions) {
        set_bit(layout, ABS_X);
        set_bit(layout, ABS_Y);
    } else if (type == EV_LED && kind->has_keys) { /* Num, Caps, Scroll */
        for (unsigned i = 0; i < 3; i++)
            set_bit(layout, i);
    } else if (type == EV_REP && kind->has_keys) {
        layout->size = 1;
    }
}

static void put_text(struct layout_config *layout, const char *text)
{
    layout->size = text ? (uint8_t)MIN(strlen(text), sizeof(layout->value)) : 0;
    memcpy(layout->value, text ? text : "", layout->size);
}

static void input_get_config(struct virtio *virtio, uint8_t *bytes)
{
    const struct input *input = (struct input *)virtio;
    struct layout_config layout = {.select = input->regs.select, .subsel = input->regs.subsel};
    const uint16_t ids[4] = {BUS_VIRTUAL, VENDOR_QEMU, input->kind->product, 1};
    const uint32_t range[5] = {0, INPUT_ABSOLUTE_MAX};
    if (layout.select == CFG_ID_NAME && !layout.subsel) {
        put_text(&layout, input->kind->name);
    } else if (layout.select == CFG_ID_SERIAL && !layout.subsel) {
        put_text(&layout, input->config->serial);
    } else if (layout.select == CFG_ID_DEVIDS && !layout.subsel) {
        memcpy(layout.value, ids, layout.size = sizeof(ids));
    } else if (layout.select == CFG_EV_BITS) {
        event_bits(input, &layout, layout.subsel);
    } else if (layout.select == CFG_ABS_INFO && input->kind->has_positions && layout.subsel <= ABS_Y) {
        memcpy(layout.value, range, layout.size = sizeof(range));
    }
    memcpy(bytes, &layout, sizeof(layout));
}

static void input_set_config(struct virtio *virtio, const uint8_t *config, uint32_t offset, unsigned size)
{
    struct input *input = (struct input *)virtio;
    input->regs.select = config[0];
    input->regs.subsel = config[1];
}

static void input_was_reset(struct virtio *virtio)
{
    struct input *input = (struct input *)virtio;
    memset(&input->regs, 0, sizeof(input->regs));
}

/* --- The card --- */

static const struct virtio_ops input_ops = {input_run, input_get_config, input_set_config, .reset = input_was_reset};

static const struct kind keyboard = {"QEMU Virtio Keyboard", 1, .has_keys = true};
static const struct kind mouse = {"QEMU Virtio Mouse", 2, .has_moves = true};
static const struct kind tablet = {"QEMU Virtio Tablet", 3, .has_positions = true};

static void *input_create(const struct device_site *site, const struct kind *kind,
                          const struct virtio_identity *identity, const struct input_config *config, GError **error)
{
    struct input *input = g_new0(struct input, 1);
    if (!virtio_init(&input->virtio, site, identity, VIRTIO_BY_PROPERTIES, &config->virtio, &input_ops, error)) {
        g_free(input);
        return NULL;
    }
    input->kind = kind;
    input->config = config;
    input->sink = (struct input_sink){.name = kind->name,
                                      .is_on = input_is_on,
                                      .key = kind->has_keys ? input_key : NULL,
                                      .mouse = kind->has_moves ? input_mouse : NULL,
                                      .absolute = kind->has_positions ? input_absolute : NULL,
                                      .opaque = input};
    virtio_add_queue(&input->virtio, QUEUE_SIZE);
    virtio_add_queue(&input->virtio, QUEUE_SIZE);
    virtio_plug(&input->virtio, site);
    input_sink_add(site->board, &input->sink);
    return input;
}

static void input_destroy(void *dev)
{
    struct input *input = dev;
    virtio_destroy(&input->virtio);
    g_free(input);
}

static void input_reset(void *dev)
{
    virtio_reset(dev);
}

static const struct state_field input_fields[] = {
    STATE_FIELD(input_regs, event),  STATE_FIELD(input_regs, first),   STATE_FIELD(input_regs, count),
    STATE_FIELD(input_regs, select), STATE_FIELD(input_regs, subsel),  STATE_FIELD(input_regs, leds),
    STATE_FIELD(input_regs, x),      STATE_FIELD(input_regs, buttons), STATE_FIELD(input_regs, y),
};
static const struct state_layout input_layout = STATE_LAYOUT(1, input_regs, input_fields);

static void input_pieces(void *dev, struct state_pieces *pieces)
{
    struct input *input = dev;
    virtio_pieces(dev, pieces);
    state_add(pieces, "input", 0, &input_layout, &input->regs);
}

static bool input_after_load(void *dev)
{
    struct input *input = dev;
    return input->regs.first < EVENTS_MAX && input->regs.count <= EVENTS_MAX && virtio_after_load(&input->virtio);
}

static void input_dump(void *dev, GString *out)
{
    const struct input *input = dev;
    virtio_dump(&input->virtio, out);
    g_string_append_printf(out, "  %s: %u events wait, LEDs %x, buttons %x\n", input->kind->name, input->regs.count,
                           input->regs.leds, input->regs.buttons);
}

/* There is no legacy interface to be switched. */
static const struct property input_properties[] = {
    VIRTIO_PROPERTIES(input_config),
    PROPERTY(input_config, serial, "serial", PROPERTY_STRING, 128, NULL, "serial number"), PROPERTY_END};

#define INPUT_CLASS(what, base_name, class_help, class_code) \
    static const struct virtio_identity what##_identity = {base_name, 18, 0, class_code, \
                                                           sizeof(struct layout_config)}; \
    static void *what##_create(const struct device_site *site, const void *config, GError **error) \
    { \
        return input_create(site, &what, &what##_identity, config, error); \
    } \
    const struct device_class virtio_##what##_class = {.name = base_name "-pci", \
                                                       .alias = base_name, \
                                                       .help = class_help, \
                                                       .bus = BUS_PCI, \
                                                       .properties = input_properties, \
                                                       .config_size = sizeof(struct input_config), \
                                                       .create = what##_create, \
                                                       .destroy = input_destroy, \
                                                       .reset = input_reset, \
                                                       .pieces = input_pieces, \
                                                       .after_load = input_after_load, \
                                                       .dump = input_dump}; \
    DEVICE_CLASS(virtio_##what##_class)

INPUT_CLASS(keyboard, "virtio-keyboard", "Virtio keyboard", 0x090000);
INPUT_CLASS(mouse, "virtio-mouse", "Virtio mouse", 0x090200);
INPUT_CLASS(tablet, "virtio-tablet", "Virtio tablet", 0x098000);

/* A tablet, a mouse, a keyboard on USB. HID 1.11; boot protocol: its appendix B.
 *
 * What happens waits in rings and is told as endpoint 1 is asked, one change a report, so that no click is lost between
 * two of them. Moves that follow each other without a button become one.
 */
#include "usb_hid.h"

#include <string.h>

#define GET_REPORT   0x01u
#define GET_IDLE     0x02u
#define GET_PROTOCOL 0x03u
#define SET_REPORT   0x09u
#define SET_IDLE     0x0au
#define SET_PROTOCOL 0x0bu

#define DESC_HID    0x21u
#define DESC_REPORT 0x22u
#define HID_AT \
    18u /* where its descriptor is in that of the configuration: behind those of configuration, interface \
         */

#define IDLE_UNIT_NS    4000000ll
#define PROTOCOL_REPORT 1
#define BUTTONS         0x1fu

struct kind {
    struct usb_function_class function; /* first */
    const char *name;
    const uint8_t *report;
    uint16_t report_len;
    bool has_keys, has_positions, has_boot;
};

struct usb_hid_config {
    struct usb_options usb;
    uint8_t usb_version;
};

struct usb_hid {
    struct usb_function function; /* first */
    struct usb_hid_regs regs;
    const struct kind *kind;
    struct board *board;
    struct input_sink sink;
    struct vtimer *timer; /* idle */
};

/* --- Descriptors --- */

#define DEVICE_DESC(version_low, version, packet, product) \
    { \
        18, USB_DESC_DEVICE, version_low, version, 0, 0, 0, packet, 0x27, 0x06, (product)&0xff, (product) >> 8, 0x00, \
            0x00, 1, 2, 3, 1 \
    }
/* Bus-powered, remote wake-up, 100 mA; one interface, one interrupt endpoint. */
#define CONFIG_DESC(subclass, protocol, report_len, packet, interval) \
    { \
        9, USB_DESC_CONFIG, 34, 0, 1, 1, 0, 0xa0, 50,                                         /* configuration */ \
            9, 4, 0, 0, 1, 3, subclass, protocol, 0,                                          /* interface */ \
            9, DESC_HID, 0x11, 0x01, 0, 1, DESC_REPORT, (report_len)&0xff, (report_len) >> 8, /* HID */ \
            7, 5, 0x81, 3, packet, 0, interval                                                /* endpoint */ \
    }

/* Items of 6.2.2, with their data. */
#define USAGE_PAGE(n)    0x05, n
#define USAGE(n)         0x09, n
#define USAGE_MIN(n)     0x19, n
#define USAGE_MAX(n)     0x29, n
#define LOGICAL_MIN(n)   0x15, n
#define LOGICAL_MAX(n)   0x25, n
#define LOGICAL_MAX16(n) 0x26, (n)&0xff, (n) >> 8
#define REPORT_SIZE(n)   0x75, n
#define REPORT_COUNT(n)  0x95, n
#define INPUT(n)         0x81, n
#define OUTPUT(n)        0x91, n
#define COLLECTION(n)    0xa1, n
#define END_COLLECTION   0xc0
#define CONSTANT         0x01
#define ARRAY            0x00
#define ABSOLUTE         0x02
#define RELATIVE         0x06
#define DESKTOP          0x01
#define BUTTONS_AND_PAD \
    USAGE_PAGE(0x09), USAGE_MIN(1), USAGE_MAX(5), LOGICAL_MIN(0), LOGICAL_MAX(1), REPORT_COUNT(5), REPORT_SIZE(1), \
        INPUT(ABSOLUTE), REPORT_COUNT(1), REPORT_SIZE(3), INPUT(CONSTANT)

static const uint8_t tablet_report[] = {USAGE_PAGE(DESKTOP),
                                        USAGE(0x02),
                                        COLLECTION(1),
                                        USAGE(0x01),
                                        COLLECTION(0), /* mouse, pointer */
                                        BUTTONS_AND_PAD,
                                        USAGE_PAGE(DESKTOP),
                                        USAGE(0x30),
                                        USAGE(0x31),
                                        LOGICAL_MIN(0),
                                        LOGICAL_MAX16(INPUT_ABSOLUTE_MAX),
                                        0x35,
                                        0, /* X, Y */
                                        0x46,
                                        INPUT_ABSOLUTE_MAX & 0xff,
                                        INPUT_ABSOLUTE_MAX >> 8,
                                        REPORT_SIZE(16),
                                        REPORT_COUNT(2),
                                        INPUT(ABSOLUTE),
                                        USAGE(0x38),
                                        LOGICAL_MIN(0x81),
                                        LOGICAL_MAX(0x7f),
                                        0x35,
                                        0,
                                        0x45,
                                        0,
                                        REPORT_SIZE(8),
                                        REPORT_COUNT(1), /* wheel */
                                        INPUT(RELATIVE),
                                        END_COLLECTION,
                                        END_COLLECTION};

static const uint8_t mouse_report[] = {
    USAGE_PAGE(DESKTOP), USAGE(0x02),     COLLECTION(1),   USAGE(0x01),    COLLECTION(0),     BUTTONS_AND_PAD,
    USAGE_PAGE(DESKTOP), USAGE(0x30),     USAGE(0x31),     USAGE(0x38),    LOGICAL_MIN(0x81), LOGICAL_MAX(0x7f),
    REPORT_SIZE(8),      REPORT_COUNT(3), INPUT(RELATIVE), END_COLLECTION, END_COLLECTION};

static const uint8_t keyboard_report[] = {USAGE_PAGE(DESKTOP),
                                          USAGE(0x06),
                                          COLLECTION(1), /* keyboard */
                                          USAGE_PAGE(0x07),
                                          USAGE_MIN(0xe0),
                                          USAGE_MAX(0xe7),
                                          LOGICAL_MIN(0),
                                          LOGICAL_MAX(1),
                                          REPORT_SIZE(1),
                                          REPORT_COUNT(8),
                                          INPUT(ABSOLUTE), /* modifiers */
                                          REPORT_COUNT(1),
                                          REPORT_SIZE(8),
                                          INPUT(CONSTANT),
                                          USAGE_PAGE(0x08),
                                          USAGE_MIN(1),
                                          USAGE_MAX(5),
                                          REPORT_COUNT(5),
                                          REPORT_SIZE(1),
                                          OUTPUT(ABSOLUTE), /* LEDs */
                                          REPORT_COUNT(1),
                                          REPORT_SIZE(3),
                                          OUTPUT(CONSTANT),
                                          USAGE_PAGE(0x07),
                                          USAGE_MIN(0),
                                          0x2a,
                                          0xff,
                                          0,
                                          LOGICAL_MIN(0),
                                          LOGICAL_MAX16(0xff),
                                          REPORT_COUNT(6),
                                          REPORT_SIZE(8),
                                          INPUT(ARRAY),
                                          END_COLLECTION};

#define HIGH_INTERVAL 7 /* 2^(7 - 1) microframes: 8 ms (USB 2.0, 9.6.6) */
static const uint8_t device_desc[] = DEVICE_DESC(0x10, 1, 8, 0x0001),
                     high_device_desc[] = DEVICE_DESC(0, 2, 64, 0x0001);
static const uint8_t tablet_config[] = CONFIG_DESC(0, 0, sizeof(tablet_report), 8, 10);
static const uint8_t tablet_high_config[] = CONFIG_DESC(0, 0, sizeof(tablet_report), 8, HIGH_INTERVAL);
static const uint8_t mouse_config[] = CONFIG_DESC(1, 2, sizeof(mouse_report), 4, 10);
static const uint8_t mouse_high_config[] = CONFIG_DESC(1, 2, sizeof(mouse_report), 4, HIGH_INTERVAL);
static const uint8_t keyboard_config[] = CONFIG_DESC(1, 1, sizeof(keyboard_report), 8, 10);
static const uint8_t keyboard_high_config[] = CONFIG_DESC(1, 1, sizeof(keyboard_report), 8, HIGH_INTERVAL);

/* --- Reports --- */

static void was_reset(struct usb_function *function)
{
    struct usb_hid *hid = (struct usb_hid *)function;
    hid->regs = (struct usb_hid_regs){.protocol = PROTOCOL_REPORT};
    if (hid->timer)
        vtimer_cancel(hid->timer);
}

static bool is_configured(const struct usb_hid *hid)
{
    return hid->function.regs.configuration;
}

static bool has_something(const struct usb_hid *hid)
{
    return hid->regs.count || hid->regs.key_count || hid->regs.is_due;
}

static void idle_arm(struct usb_hid *hid)
{
    if (hid->regs.idle && is_configured(hid) && !hid->regs.is_due)
        vtimer_arm(hid->timer, hid->regs.reported + hid->regs.idle * IDLE_UNIT_NS);
    else
        vtimer_cancel(hid->timer);
}

static void idle_is_over(void *opaque)
{
    struct usb_hid *hid = opaque;
    hid->regs.is_due = true;
    usb_function_wakeup(&hid->function, 1);
}

static int clamp(int value, int least, int most)
{
    return MAX(least, MIN(value, most));
}

/* The next of what waits becomes what is told. */
static void move_next(struct usb_hid *hid)
{
    struct usb_hid_regs *regs = &hid->regs;
    struct hid_move *move = &regs->move[regs->first], *told = &regs->told;
    if (!regs->count) {
        told->z = 0;
        if (!hid->kind->has_positions)
            told->x = told->y = 0;
        return;
    }
    *told = *move;
    told->z = clamp(move->z, -127, 127);
    move->z -= told->z;
    if (!hid->kind->has_positions) {
        told->x = clamp(move->x, -127, 127);
        told->y = clamp(move->y, -127, 127);
        move->x -= told->x;
        move->y -= told->y;
    }
    if (move->z || (!hid->kind->has_positions && (move->x || move->y)))
        return;
    regs->first = (uint8_t)((regs->first + 1) % HID_MOVES);
    regs->count--;
}

static void key_next(struct usb_hid_regs *regs)
{
    unsigned i;
    if (!regs->key_count)
        return;
    uint8_t usage = regs->key[regs->key_first];
    bool is_release = regs->is_release[regs->key_first];
    regs->key_first = (uint16_t)((regs->key_first + 1) % HID_KEYS);
    regs->key_count--;
    if (usage >= 0xe0) {
        uint8_t bit = (uint8_t)(1u << (usage & 7));
        regs->modifiers = is_release ? regs->modifiers & ~bit : regs->modifiers | bit;
        return;
    }
    for (i = 0; i < regs->downs && regs->down[i] != usage; i++)
        continue;
    if (!is_release && i == regs->downs && regs->downs < HID_DOWN_MAX) {
        regs->down[regs->downs++] = usage;
    } else if (is_release && i < regs->downs) {
        memmove(&regs->down[i], &regs->down[i + 1], regs->downs - i - 1u);
        regs->downs--;
    }
}

/* Of what is told; its length. */
static uint32_t report(const struct usb_hid *hid, uint8_t *bytes)
{
    const struct usb_hid_regs *regs = &hid->regs;
    const struct hid_move *told = &regs->told;
    memset(bytes, 0, HID_REPORT_MAX);
    if (hid->kind->has_keys) {
        bytes[0] = regs->modifiers;
        if (regs->downs > 6)
            memset(bytes + 2, 1, 6); /* ErrorRollOver */
        else
            memcpy(bytes + 2, regs->down, regs->downs);
        return 8;
    }
    bytes[0] = told->buttons;
    if (hid->kind->has_positions) {
        bytes[1] = (uint8_t)told->x;
        bytes[2] = (uint8_t)(told->x >> 8);
        bytes[3] = (uint8_t)told->y;
        bytes[4] = (uint8_t)(told->y >> 8);
        bytes[5] = (uint8_t)told->z;
        return 6;
    }
    bytes[1] = (uint8_t)told->x;
    bytes[2] = (uint8_t)told->y;
    bytes[3] = (uint8_t)told->z;
    return regs->protocol == PROTOCOL_REPORT ? 4 : 3;
}

static enum usb_result hid_packet(struct usb_function *function, struct usb_packet *packet)
{
    struct usb_hid *hid = (struct usb_hid *)function;
    struct usb_hid_regs *regs = &hid->regs;
    uint8_t bytes[HID_REPORT_MAX];
    regs->is_polled = true;
    if (!has_something(hid))
        return USB_NAK;
    move_next(hid);
    key_next(regs);
    regs->is_due = false;
    regs->reported = vclock_now();
    idle_arm(hid);
    return usb_answer(packet, bytes, report(hid, bytes));
}

/* --- Requests (7) --- */

static bool get_class_descriptor(const struct usb_hid *hid, uint16_t value, uint8_t *data, uint16_t *len)
{
    const struct kind *kind = hid->kind;
    if (value == DESC_HID << 8)
        memcpy(data, kind->function.configuration + HID_AT, *len = 9);
    else if (value == DESC_REPORT << 8)
        memcpy(data, kind->report, *len = kind->report_len);
    else
        return false;
    return true;
}

static bool set_report(struct usb_hid *hid, const struct usb_setup *setup, const uint8_t *data, uint16_t len)
{
    if (!hid->kind->has_keys || setup->value >> 8 != 2 || !len)
        return false;
    hid->regs.leds = data[0] & 0x1f;
    return true;
}

static bool hid_request(struct usb_function *function, const struct usb_setup *setup, uint8_t *data, uint16_t *len)
{
    struct usb_hid *hid = (struct usb_hid *)function;
    const uint8_t to = USB_TYPE_CLASS | USB_TO_INTERFACE;
    if (setup->index)
        return false;
    if (setup->request == USB_REQUEST(USB_DIR_IN | USB_TO_INTERFACE, USB_GET_DESCRIPTOR))
        return get_class_descriptor(hid, setup->value, data, len);
    if (!is_configured(hid))
        return false;
    switch (setup->request) {
    case USB_REQUEST(USB_DIR_IN | to, GET_REPORT):
        *len = (uint16_t)report(hid, data);
        return setup->value >> 8 == 1;
    case USB_REQUEST(to, SET_REPORT):
        return set_report(hid, setup, data, *len);
    case USB_REQUEST(USB_DIR_IN | to, GET_IDLE):
        data[0] = hid->regs.idle;
        *len = 1;
        return true;
    case USB_REQUEST(to, SET_IDLE):
        hid->regs.idle = (uint8_t)(setup->value >> 8);
        hid->regs.reported = vclock_now();
        idle_arm(hid);
        return true;
    case USB_REQUEST(USB_DIR_IN | to, GET_PROTOCOL):
        data[0] = hid->regs.protocol;
        *len = 1;
        return hid->kind->has_boot;
    case USB_REQUEST(to, SET_PROTOCOL):
        if (!hid->kind->has_boot || setup->value > PROTOCOL_REPORT)
            return false;
        hid->regs.protocol = (uint8_t)setup->value;
        return true;
    default:
        return false;
    }
}

/* --- What happens --- */

/* A driver that does not ask for reports leaves keys and pointer to somebody else. */
static bool hid_is_on(void *opaque)
{
    const struct usb_hid *hid = opaque;
    return is_configured(hid) && hid->regs.is_polled;
}

static void move_put(struct usb_hid *hid, struct hid_move move)
{
    struct usb_hid_regs *regs = &hid->regs;
    struct hid_move *end = &regs->move[(regs->first + regs->count + HID_MOVES - 1u) % HID_MOVES];
    if (regs->count && (end->buttons == move.buttons || regs->count == HID_MOVES)) {
        int32_t was_x = hid->kind->has_positions ? 0 : end->x, was_y = hid->kind->has_positions ? 0 : end->y;
        move.x = hid->kind->has_positions ? move.x : clamp(was_x + move.x, -8192, 8192);
        move.y = hid->kind->has_positions ? move.y : clamp(was_y + move.y, -8192, 8192);
        move.z = clamp(end->z + move.z, -1024, 1024);
        *end = move;
    } else {
        regs->move[(regs->first + regs->count++) % HID_MOVES] = move;
    }
    regs->last = move;
    usb_function_wakeup(&hid->function, 1);
}

static void hid_mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    struct usb_hid *hid = opaque;
    if (is_configured(hid) && (dx || dy || dz || (buttons & BUTTONS) != hid->regs.last.buttons))
        move_put(hid, (struct hid_move){clamp(dx, -8192, 8192), -clamp(dy, -8192, 8192), -clamp(dz, -1024, 1024),
                                        (uint8_t)(buttons & BUTTONS)});
}

static void hid_absolute(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    struct usb_hid *hid = opaque;
    struct hid_move move = {(int32_t)MIN(x, INPUT_ABSOLUTE_MAX), (int32_t)MIN(y, INPUT_ABSOLUTE_MAX),
                            -clamp(dz, -1024, 1024), (uint8_t)(buttons & BUTTONS)};
    const struct hid_move *last = &hid->regs.last;
    if (is_configured(hid) && (move.x != last->x || move.y != last->y || dz || move.buttons != last->buttons))
        move_put(hid, move);
}

/* Presses have half the ring, so that the release of each that was taken finds room. */
static void hid_key(void *opaque, uint16_t code, bool down)
{
    struct usb_hid *hid = opaque;
    struct usb_hid_regs *regs = &hid->regs;
    uint8_t usage = hid_usage_of_scan(code);
    bool was_down = regs->is_down[usage / 8] >> usage % 8 & 1;
    if (!usage || down == was_down || !is_configured(hid)) /* a keyboard of USB's does not repeat */
        return;
    if (down && regs->key_count >= HID_KEYS / 2)
        return;
    regs->is_down[usage / 8] ^= (uint8_t)(1u << usage % 8);
    unsigned at = (regs->key_first + regs->key_count++) % HID_KEYS;
    regs->key[at] = usage;
    regs->is_release[at] = !down;
    usb_function_wakeup(&hid->function, 1);
}

/* --- The devices --- */

static const char *const tablet_strings[] = {NULL, "QEMU", "QEMU USB Tablet", "42"};
static const char *const mouse_strings[] = {NULL, "QEMU", "QEMU USB Mouse", "89126"};
static const char *const keyboard_strings[] = {NULL, "QEMU", "QEMU USB Keyboard", "68284"};

#define KIND(what, ...) \
    static const struct kind what = {.function = {.device = device_desc, \
                                                  .configuration = what##_config, \
                                                  .configuration_len = sizeof(what##_config), \
                                                  .high_device = high_device_desc, \
                                                  .high_configuration = what##_high_config, \
                                                  .high_configuration_len = sizeof(what##_high_config), \
                                                  .strings = 3, \
                                                  .string = what##_strings, \
                                                  .request = hid_request, \
                                                  .packet = hid_packet, \
                                                  .was_reset = was_reset}, \
                                     .report = what##_report, \
                                     .report_len = sizeof(what##_report), \
                                     __VA_ARGS__}

KIND(tablet, .name = "QEMU USB Tablet", .has_positions = true);
KIND(mouse, .name = "QEMU USB Mouse", .has_boot = true);
KIND(keyboard, .name = "QEMU USB Keyboard", .has_keys = true, .has_boot = true);

static void *hid_create(const struct device_site *site, const struct kind *kind, const struct usb_hid_config *config,
                        GError **error)
{
    struct usb_options options = config->usb;
    if (config->usb_version < 1) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: usb_version is 1 or 2", site->id);
        return NULL;
    }
    options.full_only = config->usb_version == 1;
    struct usb_hid *hid = g_new0(struct usb_hid, 1);
    hid->kind = kind;
    hid->board = site->board;
    hid->regs.protocol = PROTOCOL_REPORT;
    if (!usb_function_init(&hid->function, &kind->function, kind->name, site, &options, error)) {
        g_free(hid);
        return NULL;
    }
    hid->timer = vtimer_new(idle_is_over, hid, "usb-hid");
    hid->sink = (struct input_sink){.name = kind->name,
                                    .is_on = hid_is_on,
                                    .key = kind->has_keys ? hid_key : NULL,
                                    .mouse = !kind->has_keys && !kind->has_positions ? hid_mouse : NULL,
                                    .absolute = kind->has_positions ? hid_absolute : NULL,
                                    .opaque = hid};
    input_sink_add(site->board, &hid->sink);
    return hid;
}

static void hid_unplug(void *dev)
{
    struct usb_hid *hid = dev;
    usb_function_unplug(dev);
    input_sink_remove(hid->board, &hid->sink);
}

static void hid_destroy(void *dev)
{
    struct usb_hid *hid = dev;
    usb_function_destroy(&hid->function);
    vtimer_free(hid->timer);
    g_free(hid);
}

static void hid_reset(void *dev)
{
    usb_function_reset(dev);
}

static const struct state_field hid_fields[] = {
    STATE_FIELD(usb_hid_regs, is_polled), STATE_FIELD(usb_hid_regs, protocol), STATE_FIELD(usb_hid_regs, idle),
    STATE_FIELD(usb_hid_regs, is_due),    STATE_FIELD(usb_hid_regs, reported), STATE_FIELD(usb_hid_regs, leds),
    STATE_FIELD(usb_hid_regs, first),     STATE_FIELD(usb_hid_regs, count),    STATE_FIELD(usb_hid_regs, move),
    STATE_FIELD(usb_hid_regs, told),      STATE_FIELD(usb_hid_regs, last),     STATE_FIELD(usb_hid_regs, key_first),
    STATE_FIELD(usb_hid_regs, key_count), STATE_FIELD(usb_hid_regs, key),      STATE_FIELD(usb_hid_regs, is_release),
    STATE_FIELD(usb_hid_regs, is_down),   STATE_FIELD(usb_hid_regs, down),     STATE_FIELD(usb_hid_regs, downs),
    STATE_FIELD(usb_hid_regs, modifiers),
};
static const struct state_layout hid_layout = STATE_LAYOUT(1, usb_hid_regs, hid_fields);

static void hid_pieces(void *dev, struct state_pieces *pieces)
{
    struct usb_hid *hid = dev;
    usb_function_pieces(&hid->function, pieces);
    state_add(pieces, "hid", 0, &hid_layout, &hid->regs);
}

static bool move_makes_sense(const struct usb_hid *hid, const struct hid_move *move)
{
    bool is_there = move->x >= 0 && move->x <= INPUT_ABSOLUTE_MAX && move->y >= 0 && move->y <= INPUT_ABSOLUTE_MAX;
    bool is_way = move->x >= -8192 && move->x <= 8192 && move->y >= -8192 && move->y <= 8192;
    return (hid->kind->has_positions ? is_there : is_way) && move->z >= -1024 && move->z <= 1024 &&
           !(move->buttons & ~BUTTONS);
}

static bool hid_after_load(void *dev)
{
    struct usb_hid *hid = dev;
    struct usb_hid_regs *regs = &hid->regs;
    bool ok = usb_function_after_load(&hid->function) && regs->protocol <= PROTOCOL_REPORT && regs->first < HID_MOVES &&
              regs->count <= HID_MOVES && regs->key_first < HID_KEYS && regs->key_count <= HID_KEYS &&
              regs->downs <= HID_DOWN_MAX && move_makes_sense(hid, &regs->told) && move_makes_sense(hid, &regs->last);
    for (unsigned i = 0; i < HID_MOVES; i++)
        ok = ok && move_makes_sense(hid, &regs->move[i]);
    if (!ok)
        return false;
    regs->reported = MIN(MAX(regs->reported, 0), vclock_now());
    if (hid->kind->has_keys)
        regs->count = 0;
    else
        regs->key_count = 0;
    idle_arm(hid);
    return true;
}

static void hid_dump(void *dev, GString *out)
{
    const struct usb_hid *hid = dev;
    g_string_append_printf(out, "%s: address %u, %s, %s protocol, %u moves and %u keys wait, idle %u ms, LEDs %x\n",
                           hid->kind->name, hid->function.regs.address,
                           hid_is_on(dev)       ? "polled"
                           : is_configured(hid) ? "configured"
                                                : "not configured",
                           hid->regs.protocol ? "report" : "boot", hid->regs.count, hid->regs.key_count,
                           hid->regs.idle * 4, hid->regs.leds);
}

static const struct property hid_properties[] = {
    USB_PROPERTIES(usb_hid_config),
    PROPERTY(usb_hid_config, usb_version, "usb_version", PROPERTY_NUMBER, 2, "2", "1: without high speed"),
    PROPERTY_END};

#define HID_CLASS(what, class_name, class_help) \
    static void *what##_create(const struct device_site *site, const void *config, GError **error) \
    { \
        return hid_create(site, &what, config, error); \
    } \
    const struct device_class usb_##what##_class = {.name = class_name, \
                                                    .help = class_help, \
                                                    .bus = BUS_USB, \
                                                    .properties = hid_properties, \
                                                    .config_size = sizeof(struct usb_hid_config), \
                                                    .create = what##_create, \
                                                    .destroy = hid_destroy, \
                                                    .unplug = hid_unplug, \
                                                    .reset = hid_reset, \
                                                    .pieces = hid_pieces, \
                                                    .after_load = hid_after_load, \
                                                    .dump = hid_dump}; \
    DEVICE_CLASS(usb_##what##_class)

HID_CLASS(tablet, "usb-tablet", "USB tablet");
HID_CLASS(mouse, "usb-mouse", "USB mouse");
HID_CLASS(keyboard, "usb-kbd", "USB keyboard");

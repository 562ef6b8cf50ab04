/* The default pipe and standard requests: see usb_function.h. */
#include "usb_function.h"

#include <string.h>

#define MAX_PACKET_0       7 /* offsets in the device descriptor */
#define SERIAL_STRING      16
#define CONFIGURATIONS     17
#define CONFIG_VALUE       5 /* in that of the configuration */
#define CONFIG_FLAGS       7
#define FLAG_SELF_POWERED  0x40u
#define FLAG_REMOTE_WAKEUP 0x20u

enum usb_result usb_answer(struct usb_packet *packet, const void *bytes, uint32_t len)
{
    if (len > packet->len)
        return USB_BABBLE;
    memcpy(packet->buffer, bytes, len);
    packet->actual = len;
    return USB_ACK;
}

void usb_function_wakeup(struct usb_function *function, unsigned endpoint)
{
    usb_wakeup(&function->usb, endpoint, function->regs.remote_wakeup);
}

/* --- Standard requests (9.4) --- */

static uint32_t halt_bit(uint16_t index)
{
    return 1u << (index & 0xf) << (index & USB_DIR_IN ? 16 : 0);
}

static bool get_string(const struct usb_function *function, unsigned n, uint8_t *data, uint16_t *len)
{
    if (n > function->class->strings)
        return false;
    if (n == 0) {
        memcpy(data, (const uint8_t[]){4, USB_DESC_STRING, 0x09, 0x04}, *len = 4); /* English */
        return true;
    }
    const char *text =
        n == function->class->device[SERIAL_STRING] && function->serial ? function->serial : function->class->string[n];
    size_t count = MIN(strlen(text), 126);
    *len = (uint16_t)(2 + 2 * count);
    memset(data, 0, *len);
    data[0] = (uint8_t)*len;
    data[1] = USB_DESC_STRING;
    for (size_t i = 0; i < count; i++)
        data[2 + 2 * i] = (uint8_t)text[i];
    return true;
}

static bool is_high(const struct usb_function *function)
{
    return function->usb.speed == USB_HIGH && function->class->high_device;
}

static const uint8_t *device_descriptor(const struct usb_function *function)
{
    return is_high(function) ? function->class->high_device : function->class->device;
}

const uint8_t *usb_function_configuration(const struct usb_function *function, uint16_t *len)
{
    const struct usb_function_class *class = function->class;
    *len = is_high(function) ? class->high_configuration_len : class->configuration_len;
    return is_high(function) ? class->high_configuration : class->configuration;
}

static const uint8_t *configuration_descriptor(const struct usb_function *function)
{
    uint16_t len;
    return usb_function_configuration(function, &len);
}

/* What it would be at the other one of its speeds (USB 2.0, 9.6.2, 9.6.4). */
static bool get_other_speed(const struct usb_function *function, bool is_qualifier, uint8_t *data, uint16_t *len)
{
    const struct usb_function_class *class = function->class;
    const uint8_t *device = is_high(function) ? class->device : class->high_device;
    if (!device)
        return false;
    if (is_qualifier) {
        memcpy(data, device, 8);
        data[0] = 10;
        data[1] = USB_DESC_QUALIFIER;
        data[8] = device[CONFIGURATIONS];
        data[9] = 0;
        *len = 10;
        return true;
    }
    *len = is_high(function) ? class->configuration_len : class->high_configuration_len;
    memcpy(data, is_high(function) ? class->configuration : class->high_configuration, *len);
    data[1] = USB_DESC_OTHER_SPEED;
    return true;
}

static bool get_descriptor(const struct usb_function *function, uint16_t value, uint8_t *data, uint16_t *len)
{
    const uint8_t *configuration;
    switch (value >> 8) {
    case USB_DESC_DEVICE:
        memcpy(data, device_descriptor(function), *len = 18);
        return true;
    case USB_DESC_CONFIG:
        if (value & 0xff)
            return false;
        configuration = usb_function_configuration(function, len);
        memcpy(data, configuration, *len);
        return true;
    case USB_DESC_STRING:
        return get_string(function, value & 0xff, data, len);
    case USB_DESC_QUALIFIER:
    case USB_DESC_OTHER_SPEED:
        return !(value & 0xff) && get_other_speed(function, value >> 8 == USB_DESC_QUALIFIER, data, len);
    default:
        return false;
    }
}

static void configure(struct usb_function *function, uint8_t value)
{
    function->regs.configuration = value;
    function->regs.halted = 0;
    function->class->was_reset(function);
}

static bool endpoint_is_there(const struct usb_function *function, uint16_t index)
{
    uint16_t len;
    const uint8_t *at = usb_function_configuration(function, &len), *end = at + len;
    if ((index & 0xf) == 0)
        return true;
    for (; at < end; at += at[0]) {
        if (at[1] == 5 && at[2] == (index & 0x8f))
            return function->regs.configuration;
    }
    return false;
}

void usb_function_halt(struct usb_function *function, uint16_t endpoint)
{
    function->regs.halted |= halt_bit(endpoint);
}

static bool feature(struct usb_function *function, const struct usb_setup *setup, bool on)
{
    struct usb_function_regs *regs = &function->regs;
    if (setup->request >> 8 == USB_TO_DEVICE) {
        if (setup->value != USB_REMOTE_WAKEUP ||
            !(configuration_descriptor(function)[CONFIG_FLAGS] & FLAG_REMOTE_WAKEUP))
            return false;
        regs->remote_wakeup = on;
        return true;
    }
    if (setup->value != USB_ENDPOINT_HALT || !endpoint_is_there(function, setup->index))
        return false;
    if ((setup->index & 0xf) == 0)
        return true;
    regs->halted = on ? regs->halted | halt_bit(setup->index) : regs->halted & ~halt_bit(setup->index);
    if (!on)
        usb_function_wakeup(function, setup->index & 0xf);
    return true;
}

static bool standard(struct usb_function *function, const struct usb_setup *setup, uint8_t *data, uint16_t *len)
{
    struct usb_function_regs *regs = &function->regs;
    const uint8_t *configuration = configuration_descriptor(function);
    switch (setup->request) {
    case USB_REQUEST(USB_DIR_IN | USB_TO_DEVICE, USB_GET_STATUS):
        data[0] = (uint8_t)((configuration[CONFIG_FLAGS] & FLAG_SELF_POWERED ? 1 : 0) | regs->remote_wakeup << 1);
        data[1] = 0;
        *len = 2;
        return true;
    case USB_REQUEST(USB_DIR_IN | USB_TO_INTERFACE, USB_GET_STATUS):
        data[0] = data[1] = 0;
        *len = 2;
        return true;
    case USB_REQUEST(USB_DIR_IN | USB_TO_ENDPOINT, USB_GET_STATUS):
        data[0] = (regs->halted & halt_bit(setup->index)) != 0;
        data[1] = 0;
        *len = 2;
        return endpoint_is_there(function, setup->index);
    case USB_REQUEST(USB_TO_DEVICE, USB_CLEAR_FEATURE):
    case USB_REQUEST(USB_TO_ENDPOINT, USB_CLEAR_FEATURE):
        return feature(function, setup, false);
    case USB_REQUEST(USB_TO_DEVICE, USB_SET_FEATURE):
    case USB_REQUEST(USB_TO_ENDPOINT, USB_SET_FEATURE):
        return feature(function, setup, true);
    case USB_REQUEST(USB_TO_DEVICE, USB_SET_ADDRESS): /* counts when the request is over (9.4.6) */
        regs->new_address = setup->value & 0x7f;
        return setup->value <= 127;
    case USB_REQUEST(USB_DIR_IN | USB_TO_DEVICE, USB_GET_DESCRIPTOR):
        return get_descriptor(function, setup->value, data, len);
    case USB_REQUEST(USB_DIR_IN | USB_TO_DEVICE, USB_GET_CONFIG):
        data[0] = regs->configuration;
        *len = 1;
        return true;
    case USB_REQUEST(USB_TO_DEVICE, USB_SET_CONFIG):
        if (setup->value && setup->value != configuration[CONFIG_VALUE])
            return false;
        configure(function, (uint8_t)setup->value);
        return true;
    case USB_REQUEST(USB_DIR_IN | USB_TO_INTERFACE, USB_GET_INTERFACE):
        data[0] = 0;
        *len = 1;
        return regs->configuration;
    case USB_REQUEST(USB_TO_INTERFACE, USB_SET_INTERFACE):
        return regs->configuration && !setup->value && !setup->index;
    default:
        return function->class->request(function, setup, data, len);
    }
}

/* --- The default pipe (8.5.2) --- */

static bool carry_out(struct usb_function *function)
{
    struct usb_function_regs *regs = &function->regs;
    uint16_t len = regs->len;
    regs->new_address = regs->address;
    if (!standard(function, &regs->setup, regs->data, &len))
        return false;
    if (regs->setup.request >> 8 & USB_DIR_IN)
        regs->len = MIN(len, regs->setup.length);
    return true;
}

static enum usb_result setup_packet(struct usb_function *function, struct usb_packet *packet)
{
    struct usb_function_regs *regs = &function->regs;
    const uint8_t *bytes = packet->buffer;
    bool ok = true;
    if (packet->len != 8)
        return USB_NONE; /* it is no SETUP, and nobody hears it */
    packet->actual = 8;
    regs->setup = (struct usb_setup){USB_REQUEST(bytes[0], bytes[1]), (uint16_t)(bytes[2] | bytes[3] << 8),
                                     (uint16_t)(bytes[4] | bytes[5] << 8), (uint16_t)(bytes[6] | bytes[7] << 8)};
    regs->len = regs->moved = 0;
    if (bytes[0] & USB_DIR_IN) {
        ok = carry_out(function);
        regs->stage = USB_STAGE_IN;
    } else if (regs->setup.length) {
        ok = regs->setup.length <= USB_CONTROL_MAX;
        regs->len = ok ? regs->setup.length : 0;
        regs->stage = USB_STAGE_OUT;
    } else {
        ok = carry_out(function);
        regs->stage = USB_STAGE_STATUS;
    }
    if (!ok)
        regs->stage = USB_STAGE_STALL; /* SETUP itself is always taken (8.5.2.2) */
    return USB_ACK;
}

static enum usb_result control_in(struct usb_function *function, struct usb_packet *packet)
{
    struct usb_function_regs *regs = &function->regs;
    if (regs->stage == USB_STAGE_IN) {
        uint16_t len = (uint16_t)MIN(regs->len - regs->moved, device_descriptor(function)[MAX_PACKET_0]);
        enum usb_result result = usb_answer(packet, regs->data + regs->moved, len);
        if (result == USB_ACK)
            regs->moved = (uint16_t)(regs->moved + len);
        return result;
    }
    if (regs->stage != USB_STAGE_STATUS)
        return USB_STALL;
    regs->stage = USB_STAGE_IDLE;
    regs->address = function->usb.address = regs->new_address;
    return USB_ACK;
}

static enum usb_result control_out(struct usb_function *function, struct usb_packet *packet)
{
    struct usb_function_regs *regs = &function->regs;
    if (regs->stage == USB_STAGE_IN) { /* the host has had enough: the status stage */
        regs->stage = USB_STAGE_IDLE;
        packet->actual = packet->len;
        return USB_ACK;
    }
    if (regs->stage != USB_STAGE_OUT || packet->len > (uint32_t)(regs->len - regs->moved)) {
        regs->stage = USB_STAGE_STALL;
        return USB_STALL;
    }
    memcpy(regs->data + regs->moved, packet->buffer, packet->len);
    regs->moved = (uint16_t)(regs->moved + packet->len);
    packet->actual = packet->len;
    if (regs->moved == regs->len)
        regs->stage = carry_out(function) ? USB_STAGE_STATUS : USB_STAGE_STALL;
    return USB_ACK;
}

enum usb_result usb_function_packet(struct usb_device *dev, struct usb_packet *packet)
{
    struct usb_function *function = (struct usb_function *)dev;
    uint16_t index = packet->endpoint | (packet->pid == USB_IN ? USB_DIR_IN : 0);
    if (packet->endpoint == 0)
        return packet->pid == USB_SETUP ? setup_packet(function, packet)
               : packet->pid == USB_IN  ? control_in(function, packet)
                                        : control_out(function, packet);
    if (packet->pid == USB_SETUP || !endpoint_is_there(function, index))
        return USB_NONE;
    if (function->regs.halted & halt_bit(index))
        return USB_STALL;
    return function->class->packet(function, packet);
}

void usb_function_reset(struct usb_device *dev)
{
    struct usb_function *function = (struct usb_function *)dev;
    function->regs = (struct usb_function_regs){0};
    dev->address = 0;
    function->class->was_reset(function);
}

/* --- Life --- */

bool usb_function_init(struct usb_function *function, const struct usb_function_class *class, const char *product,
                       const struct device_site *site, const struct usb_options *options, GError **error)
{
    static const struct usb_device_ops ops = {.packet = usb_function_packet, .reset = usb_function_reset};
    function->class = class;
    if (!function->usb.ops)
        function->usb.ops = &ops;
    function->usb.product = product;
    function->usb.id = strchr(site->id, '/') ? NULL : site->id; /* the board's own have one */
    function->usb.speeds = (uint8_t)(1u << USB_FULL | (class->high_device && !options->full_only ? 1u << USB_HIGH : 0));
    return usb_attach(site->controller, &function->usb, options->port, error);
}

void usb_function_destroy(struct usb_function *function)
{
    usb_forget(&function->usb);
}

void usb_function_unplug(void *dev)
{
    struct usb_function *function = dev;
    usb_detach(&function->usb);
}

static const struct state_field function_fields[] = {
    STATE_FIELD(usb_function_regs, setup),         STATE_FIELD(usb_function_regs, stage),
    STATE_FIELD(usb_function_regs, address),       STATE_FIELD(usb_function_regs, new_address),
    STATE_FIELD(usb_function_regs, configuration), STATE_FIELD(usb_function_regs, remote_wakeup),
    STATE_FIELD(usb_function_regs, halted),        STATE_FIELD(usb_function_regs, len),
    STATE_FIELD(usb_function_regs, moved),         STATE_FIELD(usb_function_regs, data),
};
static const struct state_layout function_layout = STATE_LAYOUT(1, usb_function_regs, function_fields);

void usb_function_pieces(struct usb_function *function, struct state_pieces *pieces)
{
    state_add(pieces, "function", 0, &function_layout, &function->regs);
}

bool usb_function_after_load(struct usb_function *function)
{
    const struct usb_function_regs *regs = &function->regs;
    uint8_t value = function->class->configuration[CONFIG_VALUE];
    if (regs->stage >= USB_STAGES || regs->address > 127 || regs->new_address > 127 ||
        (regs->configuration && regs->configuration != value) || regs->len > USB_CONTROL_MAX || regs->moved > regs->len)
        return false;
    function->usb.address = regs->address;
    return true;
}

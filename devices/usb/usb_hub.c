/* A hub of eight ports, as QEMU's. USB 1.1, 11. Its ports have power always; full speed upstream, full and low down. */
#include <string.h>

#include "usb_function.h"

#define PORTS 8u

/* Port features and status bits have the same numbers (tables 11-15 to 11-17). */
#define PORT_CONNECTION 0u
#define PORT_ENABLE     1u
#define PORT_SUSPEND    2u
#define PORT_RESET      4u
#define PORT_POWER      8u
#define PORT_LOW_SPEED  9u
#define C_PORT          16u /* changes: of connection, enable, suspend, over-current, reset */
#define CHANGES         0x1fu

#define DESC_HUB 0x29u

/* Saved. */
struct usb_hub_regs {
    uint16_t status[PORTS], change[PORTS];
};

struct usb_hub_config {
    struct usb_options usb;
};

struct usb_hub {
    struct usb_function function; /* first */
    struct usb_hub_regs regs;
    struct usb_bus *bus;
    struct usb_port port[PORTS];
};

static const uint8_t device_desc[] = {
    18, USB_DESC_DEVICE, 0x10, 0x01, 9, 0, 0, 8, 0x09, 0x04, 0xaa, 0x55, 0x01, 0x01, 1, 2, 3, 1};
static const uint8_t hub_config[] = {9,    USB_DESC_CONFIG,
                                     25,   0,
                                     1,    1,
                                     0,    0xe0,
                                     0, /* self-powered, remote wake-up */
                                     9,    4,
                                     0,    0,
                                     1,    9,
                                     0,    0,
                                     0, /* interface */
                                     7,    5,
                                     0x81, 3,
                                     2,    0,
                                     0xff}; /* status changes */
/* Ports, no power switching, 2 * 1 ms until power is good, nothing for itself, all removable. */
static const uint8_t hub_desc[] = {11, DESC_HUB, PORTS, 0x0a, 0, 1, 0, 0, 0, 0xff, 0xff};
static const char *const hub_strings[] = {NULL, "QEMU", "QEMU USB Hub", "314159"};

/* --- Ports --- */

static bool is_reachable(const struct usb_hub *hub, unsigned n)
{
    return (hub->regs.status[n] & (1u << PORT_ENABLE | 1u << PORT_SUSPEND)) == 1u << PORT_ENABLE;
}

static struct usb_device *hub_find(struct usb_device *dev, uint8_t address)
{
    struct usb_hub *hub = (struct usb_hub *)dev;
    for (unsigned i = 0; i < PORTS; i++) {
        struct usb_device *found = is_reachable(hub, i) ? usb_find(&hub->port[i], address) : NULL;
        if (found)
            return found;
    }
    return NULL;
}

static void port_change(struct usb_hub *hub, unsigned n, unsigned what)
{
    hub->regs.change[n] |= (uint16_t)(1u << what);
    if (hub->function.regs.configuration)
        usb_function_wakeup(&hub->function, 1);
}

static uint16_t port_status(const struct usb_port *port)
{
    return (uint16_t)(1u << PORT_POWER | (port->device ? 1u << PORT_CONNECTION : 0) |
                      (port->device && port->device->speed == USB_LOW ? 1u << PORT_LOW_SPEED : 0));
}

static void port_changed(struct usb_port *port)
{
    struct usb_hub *hub = port->opaque;
    unsigned n = (unsigned)(port - hub->port);
    hub->regs.status[n] = port_status(port);
    port_change(hub, n, PORT_CONNECTION);
}

static void port_wakeup(struct usb_port *port, struct usb_device *dev, unsigned endpoint, bool can_resume)
{
    struct usb_hub *hub = port->opaque;
    unsigned n = (unsigned)(port - hub->port);
    struct usb_port *above = hub->function.usb.port;
    if (can_resume && (hub->regs.status[n] & 1u << PORT_SUSPEND)) {
        hub->regs.status[n] &= (uint16_t) ~(1u << PORT_SUSPEND);
        port_change(hub, n, PORT_SUSPEND);
    }
    if (above)
        above->ops->wakeup(above, dev, endpoint, can_resume);
}

static const struct usb_port_ops port_ops = {port_changed, port_wakeup};

static void was_reset(struct usb_function *function)
{
    struct usb_hub *hub = (struct usb_hub *)function;
    for (unsigned i = 0; i < PORTS; i++) {
        hub->regs.status[i] = port_status(&hub->port[i]);
        hub->regs.change[i] = hub->port[i].device ? 1u << PORT_CONNECTION : 0;
    }
}

/* --- Requests (11.16) --- */

static bool set_port_feature(struct usb_hub *hub, unsigned n, unsigned feature)
{
    uint16_t *status = &hub->regs.status[n];
    struct usb_device *dev = hub->port[n].device;
    switch (feature) {
    case PORT_SUSPEND:
        if (*status & 1u << PORT_ENABLE)
            *status |= 1u << PORT_SUSPEND;
        return true;
    case PORT_RESET: /* over at once */
        if (!dev)
            return true;
        dev->ops->reset(dev);
        *status = (uint16_t)(port_status(&hub->port[n]) | 1u << PORT_ENABLE);
        port_change(hub, n, PORT_RESET);
        return true;
    default:
        return feature == PORT_POWER;
    }
}

static bool clear_port_feature(struct usb_hub *hub, unsigned n, unsigned feature)
{
    uint16_t *status = &hub->regs.status[n];
    if (feature >= C_PORT && feature <= C_PORT + PORT_RESET) {
        hub->regs.change[n] &= (uint16_t) ~(1u << (feature - C_PORT));
        return true;
    }
    if (feature == PORT_ENABLE) {
        *status &= (uint16_t) ~(1u << PORT_ENABLE | 1u << PORT_SUSPEND);
    } else if (feature == PORT_SUSPEND && (*status & 1u << PORT_SUSPEND)) {
        *status &= (uint16_t) ~(1u << PORT_SUSPEND);
        port_change(hub, n, PORT_SUSPEND);
    }
    return feature == PORT_ENABLE || feature == PORT_SUSPEND || feature == PORT_POWER;
}

static void put16(uint8_t *data, uint16_t value)
{
    data[0] = (uint8_t)value;
    data[1] = (uint8_t)(value >> 8);
}

static bool hub_request(struct usb_function *function, const struct usb_setup *setup, uint8_t *data, uint16_t *len)
{
    struct usb_hub *hub = (struct usb_hub *)function;
    const uint8_t to_hub = USB_TYPE_CLASS | USB_TO_DEVICE, to_port = USB_TYPE_CLASS | USB_TO_OTHER;
    unsigned n = (setup->index & 0xff) - 1u;
    bool is_port = n < PORTS && function->regs.configuration;
    switch (setup->request) {
    case USB_REQUEST(USB_DIR_IN | to_hub, USB_GET_DESCRIPTOR):
        memcpy(data, hub_desc, *len = sizeof(hub_desc));
        return setup->value >> 8 == DESC_HUB || setup->value >> 8 == 0;
    case USB_REQUEST(USB_DIR_IN | to_hub, USB_GET_STATUS):
        memset(data, 0, *len = 4);
        return true;
    case USB_REQUEST(to_hub, USB_CLEAR_FEATURE):
        return setup->value <= 1; /* changes of local power, over-current */
    case USB_REQUEST(USB_DIR_IN | to_port, USB_GET_STATUS):
        if (!is_port)
            return false;
        put16(data, hub->regs.status[n]);
        put16(data + 2, hub->regs.change[n]);
        *len = 4;
        return true;
    case USB_REQUEST(to_port, USB_SET_FEATURE):
        return is_port && set_port_feature(hub, n, setup->value);
    case USB_REQUEST(to_port, USB_CLEAR_FEATURE):
        return is_port && clear_port_feature(hub, n, setup->value);
    default:
        return false;
    }
}

static enum usb_result hub_packet(struct usb_function *function, struct usb_packet *packet)
{
    const struct usb_hub *hub = (struct usb_hub *)function;
    uint16_t changed = 0;
    uint8_t bytes[2];
    for (unsigned i = 0; i < PORTS; i++)
        changed |= (uint16_t)((hub->regs.change[i] != 0) << (i + 1));
    put16(bytes, changed);
    return changed ? usb_answer(packet, bytes, MIN(packet->len, 2)) : USB_NAK; /* hosts may ask for one byte only */
}

static const struct usb_function_class hub_function = {.device = device_desc,
                                                       .configuration = hub_config,
                                                       .configuration_len = sizeof(hub_config),
                                                       .strings = 3,
                                                       .string = hub_strings,
                                                       .request = hub_request,
                                                       .packet = hub_packet,
                                                       .was_reset = was_reset};

/* --- The device --- */

static void *hub_create(const struct device_site *site, const void *config_opaque, GError **error)
{
    static const struct usb_device_ops ops = {
        .packet = usb_function_packet, .reset = usb_function_reset, .find = hub_find};
    const struct usb_hub_config *config = config_opaque;
    struct usb_hub *hub = g_new0(struct usb_hub, 1);
    hub->function.usb.ops = &ops;
    hub->bus = site->controller;
    if (!usb_function_init(&hub->function, &hub_function, "QEMU USB Hub", site, &config->usb, error)) {
        g_free(hub);
        return NULL;
    }
    if (hub->function.usb.port->depth >= USB_HUBS_DEEP) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: no more than %d hubs, one behind the other", site->id,
                    USB_HUBS_DEEP);
        usb_function_destroy(&hub->function);
        g_free(hub);
        return NULL;
    }
    for (unsigned i = 0; i < PORTS; i++) {
        hub->port[i] = (struct usb_port){.ops = &port_ops, .opaque = hub, .speeds = 1u << USB_LOW | 1u << USB_FULL};
        usb_port_add(hub->bus, &hub->port[i], hub->function.usb.port, i + 1);
    }
    was_reset(&hub->function);
    return hub;
}

static void hub_destroy(void *dev)
{
    struct usb_hub *hub = dev;
    for (unsigned i = 0; i < PORTS; i++)
        usb_port_remove(hub->bus, &hub->port[i]);
    usb_function_destroy(&hub->function);
    g_free(hub);
}

static void hub_reset(void *dev)
{
    usb_function_reset(dev);
}

static const struct state_field hub_fields[] = {STATE_FIELD(usb_hub_regs, status), STATE_FIELD(usb_hub_regs, change)};
static const struct state_layout hub_layout = STATE_LAYOUT(1, usb_hub_regs, hub_fields);

static void hub_pieces(void *dev, struct state_pieces *pieces)
{
    struct usb_hub *hub = dev;
    usb_function_pieces(&hub->function, pieces);
    state_add(pieces, "hub", 0, &hub_layout, &hub->regs);
}

static bool hub_after_load(void *dev)
{
    struct usb_hub *hub = dev;
    for (unsigned i = 0; i < PORTS; i++) {
        uint16_t *status = &hub->regs.status[i];
        if (hub->regs.change[i] & ~CHANGES)
            return false;
        *status &= hub->port[i].device ? 1u << PORT_ENABLE | 1u << PORT_SUSPEND : 0;
        *status |= port_status(&hub->port[i]);
    }
    return usb_function_after_load(&hub->function);
}

static void hub_dump(void *dev, GString *out)
{
    const struct usb_hub *hub = dev;
    g_string_append_printf(out, "QEMU USB Hub: address %u\n", hub->function.regs.address);
    for (unsigned i = 0; i < PORTS; i++) {
        g_string_append_printf(out, "  port %s: status %03x change %02x\n", hub->port[i].path, hub->regs.status[i],
                               hub->regs.change[i]);
    }
}

static const struct property hub_properties[] = {USB_PROPERTIES(usb_hub_config), PROPERTY_END};

const struct device_class usb_hub_class = {
    .name = "usb-hub",
    .help = "USB hub, 8 ports",
    .bus = BUS_USB,
    .properties = hub_properties,
    .config_size = sizeof(struct usb_hub_config),
    .create = hub_create,
    .destroy = hub_destroy,
    .unplug = usb_function_unplug,
    .reset = hub_reset,
    .pieces = hub_pieces,
    .after_load = hub_after_load,
    .dump = hub_dump,
};
DEVICE_CLASS(usb_hub_class);

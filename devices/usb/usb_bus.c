/* Ports, and what is in them: see usb.h. */
#include <string.h>

#include "usb.h"

#define FAIL(...) (g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, __VA_ARGS__), false)

void usb_bus_add(struct board *board, struct usb_bus *bus, void *controller, const char *id)
{
    unsigned nameless = 0;
    struct usb_bus *first = board_service(board, "usb"), **end = &first;
    bus->controller = controller;
    bus->next = NULL;
    while (*end) {
        bus->number = (*end)->number + 1;
        nameless += g_str_has_prefix((*end)->name, "usb-bus.");
        end = &(*end)->next;
    }
    *end = bus;
    if (strchr(id, '/')) /* the user gave it no id */
        g_snprintf(bus->name, sizeof(bus->name), "usb-bus.%u", nameless);
    else
        g_snprintf(bus->name, sizeof(bus->name), "%s.0", id);
    board_provide(board, "usb", first);
}

struct usb_bus *usb_bus_of(struct board *board, const void *controller)
{
    struct usb_bus *bus = board_service(board, "usb");
    while (bus && bus->controller != controller)
        bus = bus->next;
    return bus;
}

struct usb_bus *usb_bus_named(struct board *board, const char *name)
{
    struct usb_bus *bus = board_service(board, "usb");
    while (bus && strcmp(bus->name, name) != 0)
        bus = bus->next;
    return bus;
}

unsigned usb_bus_free_ports(const struct usb_bus *bus)
{
    unsigned count = 0;
    for (const struct usb_port *port = bus->ports; port; port = port->next)
        count += !port->claimer;
    return count;
}

void usb_port_add(struct usb_bus *bus, struct usb_port *port, const struct usb_port *above, unsigned number)
{
    struct usb_port **end = &bus->ports;
    if (above)
        g_snprintf(port->path, sizeof(port->path), "%s.%u", above->path, number);
    else
        g_snprintf(port->path, sizeof(port->path), "%u", number);
    port->depth = above ? above->depth + 1 : 0;
    port->next = NULL;
    while (*end)
        end = &(*end)->next;
    *end = port;
}

void usb_forget(struct usb_device *dev)
{
    if (dev->port)
        dev->port->device = dev->port->claimer = NULL;
    dev->port = NULL;
}

void usb_port_remove(struct usb_bus *bus, struct usb_port *port)
{
    for (struct usb_port **at = &bus->ports; *at; at = &(*at)->next) {
        if (*at == port) {
            *at = port->next;
            break;
        }
    }
    if (port->claimer)
        usb_forget(port->claimer);
}

/* speeds: that are of use. */
static bool claim(struct usb_bus *bus, struct usb_device *dev, const char *path, uint8_t speeds, GError **error)
{
    struct usb_port *port = bus->ports;
    while (port && (path ? strcmp(port->path, path) != 0 : port->claimer || !(port->speeds & speeds)))
        port = port->next;
    if (!port)
        return path ? FAIL("%s: there is no USB port '%s'; see 'info usb'", dev->product, path)
               : usb_bus_free_ports(bus)
                   ? FAIL("%s: USB bus '%s' has no free port of its speed", dev->product, bus->name)
                   : FAIL("%s: all USB ports are taken", dev->product);
    if (port->claimer)
        return FAIL("%s: USB port '%s' is taken by %s", dev->product, path, port->claimer->product);
    if (!(port->speeds & speeds))
        return FAIL("%s: USB port '%s' has not its speed", dev->product, path);
    port->claimer = dev;
    dev->port = port;
    return true;
}

bool usb_claim(struct usb_bus *bus, struct usb_device *dev, const char *path, GError **error)
{
    return claim(bus, dev, path, UINT8_MAX, error);
}

bool usb_appear(struct usb_device *dev, GError **error)
{
    struct usb_port *port = dev->port;
    if (!(port->speeds & dev->speeds))
        return FAIL("%s: USB port '%s' has not its speed", dev->product, port->path);
    for (int speed = USB_SUPER; speed >= USB_LOW; speed--) {
        if (port->speeds & dev->speeds & 1u << speed) {
            dev->speed = (enum usb_speed)speed;
            break;
        }
    }
    dev->address = 0;
    port->device = dev;
    port->ops->changed(port);
    return true;
}

void usb_vanish(struct usb_device *dev)
{
    if (!usb_is_present(dev))
        return;
    dev->port->device = NULL;
    dev->port->ops->changed(dev->port);
}

bool usb_attach(struct usb_bus *bus, struct usb_device *dev, const char *path, GError **error)
{
    return claim(bus, dev, path, dev->speeds, error) && usb_appear(dev, error);
}

void usb_detach(struct usb_device *dev)
{
    struct usb_port *port = dev->port;
    if (!port)
        return;
    bool was_present = usb_is_present(dev);
    usb_forget(dev);
    if (was_present)
        port->ops->changed(port);
}

struct usb_device *usb_find(const struct usb_port *port, uint8_t address)
{
    struct usb_device *dev = port->device;
    if (!dev || dev->address == address)
        return dev;
    return dev->ops->find ? dev->ops->find(dev, address) : NULL;
}

void usb_wakeup(struct usb_device *dev, unsigned endpoint, bool can_resume)
{
    if (usb_is_present(dev))
        dev->port->ops->wakeup(dev->port, dev, endpoint, can_resume);
}

void usb_dump(struct board *board, GString *out)
{
    static const char *const speeds[] = {"1.5", "12", "480", "5000"};
    const struct usb_bus *bus = board_service(board, "usb");
    if (!bus)
        g_string_append(out, "USB support not enabled\n");
    for (; bus; bus = bus->next) {
        for (const struct usb_port *port = bus->ports; port; port = port->next) {
            const struct usb_device *dev = port->claimer;
            if (!dev)
                continue;
            g_string_append_printf(out, "  Device %u.%u, Port %s, Speed %s Mb/s, Product %s%s%s\n", bus->number,
                                   dev->address, port->path, speeds[dev->speed], dev->product, dev->id ? ", ID: " : "",
                                   dev->id ? dev->id : "");
        }
    }
}

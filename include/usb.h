/* USB: the contract between a host controller and what is plugged into it, both in devices/usb/. USB 1.1 and 2.0,
 * chapters 5, 8, 9. All calls are made with the machine lock held.
 *
 * A controller has a bus with root ports; a hub adds ports to it. A device is in one port and answers packets. It
 * touches no guest memory: a packet's buffer is the controller's, who moves the bytes where bus masters may.
 *
 * A device that has nothing to say answers NAK, and when that has changed it calls usb_wakeup(), once: a controller
 * does not have to ask a device again that said NAK, though it may at any time. What takes long (a disk, a device of
 * the host's) is answered USB_ASYNC if the packet has a done(); to a packet without one, NAK until there is an answer,
 * then usb_wakeup(). So a controller chooses whether it keeps packets that are under way.
 */
#pragma once

#include "device.h"

enum usb_speed { USB_LOW, USB_FULL, USB_HIGH, USB_SUPER };

/* As on the wire (USB 1.1, 8.3.1). */
enum usb_pid { USB_OUT = 0xe1, USB_IN = 0x69, USB_SETUP = 0x2d };

enum usb_result {
    USB_ACK,    /* done; of IN: packet->actual bytes came, perhaps fewer than asked for */
    USB_NAK,    /* not now */
    USB_STALL,  /* the endpoint is halted, or takes no such request */
    USB_BABBLE, /* more came than was asked for */
    USB_NONE,   /* nobody answers */
    USB_ASYNC,  /* done() is called later */
};

#define USB_ENDPOINTS 16

struct usb_packet {
    uint8_t pid; /* enum usb_pid */
    uint8_t address, endpoint;
    bool is_isochronous;
    uint8_t *buffer; /* of USB_ASYNC: valid until done() or cancel() */
    uint32_t len;
    uint32_t actual; /* bytes moved, when it is done */
    uint32_t more;   /* bytes that the same transfer moves behind this packet; 0: none, or nobody knows */
    /* What USB_ASYNC ends with; NULL: the controller does not wait. Not called within packet(). */
    void (*done)(struct usb_packet *packet, enum usb_result result);
    void *owner; /* the controller's */
    void *under; /* the device's, while it has the packet */
};

struct usb_device;
struct usb_port;

struct usb_device_ops {
    enum usb_result (*packet)(struct usb_device *dev, struct usb_packet *packet);
    /* Of a packet that was answered USB_ASYNC: forgets it, done() is not called. NULL: it answers none so. */
    void (*cancel)(struct usb_device *dev, struct usb_packet *packet);
    void (*reset)(struct usb_device *dev); /* by its port (7.1.7.3): address 0, not configured */
    /* The device that has this address, behind a hub and reachable now; NULL: none. Not a hub: NULL. */
    struct usb_device *(*find)(struct usb_device *dev, uint8_t address);
};

struct usb_device {
    const struct usb_device_ops *ops;
    const char *product, *id; /* for people; id NULL: the user gave none */
    uint8_t speeds;           /* 1 << enum usb_speed: what it can do */
    enum usb_speed speed;     /* as it is plugged in */
    uint8_t address;          /* what it answers to: changes by SET_ADDRESS and reset */
    struct usb_port *port;    /* NULL: it is nowhere; who has claimed a port may be absent from it */
};

struct usb_port_ops {
    /* port->device came or went. */
    void (*changed)(struct usb_port *port);
    /* dev, in the port or behind a hub in it, has something now for an endpoint at which it said NAK. can_resume: it
     * may wake the bus, too (its driver has switched remote wake-up on: 9.4.5). */
    void (*wakeup)(struct usb_port *port, struct usb_device *dev, unsigned endpoint, bool can_resume);
};

#define USB_PATH_MAX  20
#define USB_HUBS_DEEP 5 /* one behind the other (4.1.1) */

struct usb_port {
    const struct usb_port_ops *ops;
    void *opaque;
    char path[USB_PATH_MAX];    /* "2", behind hubs "2.1" */
    uint8_t depth;              /* hubs above it */
    uint8_t speeds;             /* 1 << enum usb_speed */
    struct usb_device *device;  /* that is there */
    struct usb_device *claimer; /* whose the port is, though it may be absent; NULL: it is free */
    struct usb_port *next;      /* of the bus */
};

/* One of a board: its controllers are a list, the service "usb". */
struct usb_bus {
    void *controller; /* the device that has it */
    unsigned number;
    struct usb_port *ports; /* free ones in the order in which they are taken */
    struct usb_bus *next;   /* the one made later */
    char name[40];          /* as in bus= of -device */
    /* Ports of another controller that take what this one, a faster one, does not want, from its port number first
     * (0 up); NULL: it has no such. False with a sentence. They are in no bus: a device's port is this one's. */
    bool (*add_companion)(struct usb_bus *bus, unsigned first, struct usb_port *ports, unsigned count, GError **error);
};

/* While the controller is made. The bus lives as long as the board. */
/* id: the controller's. */
void usb_bus_add(struct board *board, struct usb_bus *bus, void *controller, const char *id);
struct usb_bus *usb_bus_named(struct board *board, const char *name);
struct usb_bus *usb_bus_of(struct board *board, const void *controller);
unsigned usb_bus_free_ports(const struct usb_bus *bus);
/* above: of the hub that has it; NULL: a root port. number from 1. ops, opaque and speeds are set by the caller. */
void usb_port_add(struct usb_bus *bus, struct usb_port *port, const struct usb_port *above, unsigned number);
void usb_port_remove(struct usb_bus *bus, struct usb_port *port);

/* Into the port of that name, or the first free one. False with a sentence. */
bool usb_attach(struct usb_bus *bus, struct usb_device *dev, const char *path, GError **error);
void usb_detach(struct usb_device *dev);
/* The same in two steps, for one that comes and goes while it has its port, whatever speed it will have. */
bool usb_claim(struct usb_bus *bus, struct usb_device *dev, const char *path, GError **error);
bool usb_appear(struct usb_device *dev, GError **error);
void usb_vanish(struct usb_device *dev);
static inline bool usb_is_present(const struct usb_device *dev)
{
    return dev->port && dev->port->device == dev;
}
/* When the board goes: nobody hears of it, as there may be no processor left that would grant a bus. */
void usb_forget(struct usb_device *dev);

/* Who answers to this address behind the port, which is enabled; NULL: nobody. */
struct usb_device *usb_find(const struct usb_port *port, uint8_t address);
void usb_wakeup(struct usb_device *dev, unsigned endpoint, bool can_resume);

/* "info usb", in QEMU's words. */
void usb_dump(struct board *board, GString *out);

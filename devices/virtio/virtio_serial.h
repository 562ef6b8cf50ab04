/* virtio-serial: what the controller (virtio_serial.c) and its ports (virtio_serial_port.c) know of each other. VIRTIO
 * 1.1, 5.3.
 *
 * A port has two queues: the driver gives buffers into the first, which we fill with what the back end brings, and
 * bytes to send into the second. Both ways go through run(), as guest memory is touched there alone: what comes waits
 * in the port's FIFO, and what the back end does not take waits in the guest's buffer.
 */
#pragma once

#include "backend.h"
#include "virtio_pci.h"

#define SERIAL_F_SIZE        (1ull << 0)
#define SERIAL_F_MULTIPORT   (1ull << 1)
#define SERIAL_F_EMERG_WRITE (1ull << 2)

#define SERIAL_PORTS_MAX 31u /* two queues each, and two for the controller */
#define SERIAL_FIFO      4096u
#define SERIAL_NAME_MAX  63u

/* Messages that the driver is still to get, in this order. */
#define SERIAL_TELL_ADD     1u
#define SERIAL_TELL_CONSOLE 2u
#define SERIAL_TELL_NAME    4u

/* Saved with the port. */
struct serial_port_regs {
    uint64_t sent; /* bytes of the first chain of the driver's that the back end has taken */
    uint16_t count;
    uint8_t fifo[SERIAL_FIFO]; /* what is to go to the driver, from its start on */
    uint8_t tell;              /* SERIAL_TELL_* */
    bool is_ready;             /* the driver knows of it: it is told whether somebody is at the other end */
    bool told_open;            /* what it was told last */
    bool guest_is_open;
};

struct serial;

struct serial_port {
    struct serial_port_regs regs;
    struct serial *serial;
    struct chardev *chardev; /* or NULL */
    const struct board_news *news;
    const char *id;
    const char *name; /* or NULL */
    unsigned number;
    bool is_console;
    bool host_is_open;
    bool owes_room; /* the back end waits for room */
};

struct serial {
    struct virtio virtio; /* first */
    unsigned ports_max;
    struct serial_port *port[SERIAL_PORTS_MAX];
};

/* --- The controller, for a port --- */

/* Takes the port in under its number, or the next if that is SERIAL_NUMBER_ANY. False with a sentence. */
#define SERIAL_NUMBER_ANY UINT32_MAX
bool serial_add_port(struct serial *serial, struct serial_port *port, uint32_t number, GError **error);
void serial_remove_port(struct serial_port *port);
/* There is something to tell the driver of the port. */
void serial_tell(struct serial *serial);
bool serial_has_control(const struct serial *serial); /* ports are opened and closed */

#define SERIAL_QUEUE_IN(port)    ((port) ? 2 * (port) + 2 : 0)
#define SERIAL_QUEUE_OUT(port)   (SERIAL_QUEUE_IN(port) + 1)
#define SERIAL_QUEUE_CONTROL_IN  2
#define SERIAL_QUEUE_CONTROL_OUT 3

/* --- A port, for the controller --- */

bool serial_port_fill(struct serial_port *port); /* runs of its queues */
bool serial_port_drain(struct serial_port *port);
void serial_port_set_guest_open(struct serial_port *port, bool open);
/* The driver may have become ready for bytes. */
void serial_port_check_room(struct serial_port *port);
void serial_port_reset(struct serial_port *port);
void serial_port_emergency(struct serial_port *port, uint8_t byte);

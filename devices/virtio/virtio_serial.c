/* virtio-serial: the controller, whose queues and control messages its ports (virtio_serial_port.c) share. VIRTIO 1.1,
 * 5.3.
 */
#include "virtio_serial.h"

#include <string.h>

#include "log.h"

/* Control messages, 5.3.6.2 */
#define MESSAGE_DEVICE_READY 0
#define MESSAGE_PORT_ADD     1
#define MESSAGE_PORT_READY   3
#define MESSAGE_CONSOLE_PORT 4
#define MESSAGE_PORT_OPEN    6
#define MESSAGE_PORT_NAME    7

struct message {
    uint32_t id;
    uint16_t event, value;
};

/* struct virtio_console_config, 5.3.4 */
struct layout_config {
    uint16_t cols, rows;
    uint32_t max_nr_ports, emerg_wr;
};

struct serial_config {
    struct virtio_options virtio;
    uint32_t max_ports;
    bool emergency_write;
};

#define QUEUE_SIZE   128
#define CONTROL_SIZE 32
#define RUN_CHAINS   64u

bool serial_has_control(const struct serial *serial)
{
    return virtio_has(&serial->virtio, SERIAL_F_MULTIPORT);
}

/* --- Ports --- */

bool serial_add_port(struct serial *serial, struct serial_port *port, uint32_t number, GError **error)
{
    const char *why = NULL;
    if (number == SERIAL_NUMBER_ANY) { /* the first is for a console: old drivers know no other */
        number = port->is_console && !serial->port[0] ? 0 : 1;
        while (number < serial->ports_max && serial->port[number])
            number++;
        if (number >= serial->ports_max)
            why = "Maximum port limit for this device reached; raise the controller's max_ports";
    } else if (number >= serial->ports_max) {
        why = "Out-of-range port id specified: nr= is below the controller's max_ports";
    } else if (!number && !port->is_console) {
        why = "Port number 0 on virtio-serial devices reserved for virtconsole devices for backward compatibility";
    } else if (serial->port[number]) {
        why = "A port already exists at this number";
    }
    for (unsigned i = 0; port->name && i < serial->ports_max; i++) {
        if (serial->port[i] && serial->port[i]->name && strcmp(serial->port[i]->name, port->name) == 0)
            why = "A port already exists by this name";
    }
    if (why) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: %s", port->id, why);
        return false;
    }
    port->serial = serial;
    port->number = number;
    serial->port[number] = port;
    return true;
}

void serial_remove_port(struct serial_port *port)
{
    port->serial->port[port->number] = NULL;
}

/* --- Control messages to the driver --- */

static bool message_send(struct serial *serial, const struct serial_port *port, uint16_t event, uint16_t value,
                         const char *text)
{
    struct virtio *virtio = &serial->virtio;
    const struct message message = {port->number, event, value};
    uint32_t written;
    if (!virtqueue_pop(virtio, SERIAL_QUEUE_CONTROL_IN, virtio->chain))
        return false;
    written = virtio_chain_write(virtio, virtio->chain, 0, &message, sizeof(message));
    if (text)
        written += virtio_chain_write(virtio, virtio->chain, written, text, (uint32_t)strlen(text) + 1);
    virtqueue_push(virtio, SERIAL_QUEUE_CONTROL_IN, virtio->chain->head, written);
    return true;
}

/* What is to be told of it first; false: there is no buffer for that. */
static bool port_tell(struct serial *serial, struct serial_port *port)
{
    struct serial_port_regs *regs = &port->regs;
    if (regs->tell & SERIAL_TELL_ADD) {
        if (!message_send(serial, port, MESSAGE_PORT_ADD, 1, NULL))
            return false;
        regs->tell &= (uint8_t)~SERIAL_TELL_ADD;
    } else if (regs->tell & SERIAL_TELL_CONSOLE) {
        if (!message_send(serial, port, MESSAGE_CONSOLE_PORT, 1, NULL))
            return false;
        regs->tell &= (uint8_t)~SERIAL_TELL_CONSOLE;
    } else if (regs->tell & SERIAL_TELL_NAME) {
        if (!message_send(serial, port, MESSAGE_PORT_NAME, 1, port->name ? port->name : ""))
            return false;
        regs->tell &= (uint8_t)~SERIAL_TELL_NAME;
    } else {
        bool open = port->host_is_open;
        if (!message_send(serial, port, MESSAGE_PORT_OPEN, open, NULL))
            return false;
        regs->told_open = open;
    }
    return true;
}

static bool has_news(const struct serial_port *port)
{
    return port->regs.tell || (port->regs.is_ready && port->regs.told_open != port->host_is_open);
}

static bool control_in_run(struct serial *serial)
{
    struct virtio *virtio = &serial->virtio;
    unsigned left = RUN_CHAINS;
    bool waits = false;
    virtqueue_hush(virtio, SERIAL_QUEUE_CONTROL_IN);
    for (unsigned i = 0; i < serial->ports_max && !waits; i++) {
        while (serial->port[i] && has_news(serial->port[i]) && left && !waits) {
            waits = !port_tell(serial, serial->port[i]) && !virtqueue_listen(virtio, SERIAL_QUEUE_CONTROL_IN);
            left--;
        }
    }
    virtqueue_interrupt(virtio, SERIAL_QUEUE_CONTROL_IN);
    return !left && !waits;
}

void serial_tell(struct serial *serial)
{
    if (serial_has_control(serial))
        virtio_kick(&serial->virtio, SERIAL_QUEUE_CONTROL_IN);
}

/* --- And from it --- */

static void message_take(struct serial *serial, const struct message *message)
{
    struct serial_port *port = message->id < serial->ports_max ? serial->port[message->id] : NULL;
    if (message->event == MESSAGE_DEVICE_READY) {
        for (unsigned i = 0; i < serial->ports_max; i++) {
            if (serial->port[i] && message->value)
                serial->port[i]->regs.tell |= SERIAL_TELL_ADD;
        }
    } else if (!port) {
        log_guest("virtio-serial: message %u is about port %u, which is not there", message->event, message->id);
    } else if (message->event == MESSAGE_PORT_READY && message->value) {
        port->regs.tell |=
            (uint8_t)((port->is_console ? SERIAL_TELL_CONSOLE : 0) | (port->name ? SERIAL_TELL_NAME : 0));
        port->regs.is_ready = true;
        port->regs.told_open = false;
    } else if (message->event == MESSAGE_PORT_OPEN) {
        serial_port_set_guest_open(port, message->value);
    }
}

static bool control_out_run(struct serial *serial)
{
    struct virtio *virtio = &serial->virtio;
    unsigned left = RUN_CHAINS;
    virtqueue_hush(virtio, SERIAL_QUEUE_CONTROL_OUT);
    do {
        while (left && virtqueue_pop(virtio, SERIAL_QUEUE_CONTROL_OUT, virtio->chain)) {
            struct message message;
            bool whole = virtio_chain_read(virtio, virtio->chain, 0, &message, sizeof(message)) == sizeof(message);
            virtqueue_push(virtio, SERIAL_QUEUE_CONTROL_OUT, virtio->chain->head, 0);
            if (whole)
                message_take(serial, &message);
            left--;
        }
    } while (left && virtqueue_listen(virtio, SERIAL_QUEUE_CONTROL_OUT));
    virtqueue_interrupt(virtio, SERIAL_QUEUE_CONTROL_OUT);
    control_in_run(serial); /* what it is answered with */
    return !left;
}

static bool serial_run(struct virtio *virtio, unsigned queue)
{
    struct serial *serial = (struct serial *)virtio;
    if (queue == SERIAL_QUEUE_CONTROL_IN)
        return control_in_run(serial);
    if (queue == SERIAL_QUEUE_CONTROL_OUT)
        return control_out_run(serial);
    struct serial_port *port = serial->port[queue < 2 ? 0 : queue / 2 - 1];
    if (!port)
        return false;
    return queue % 2 ? serial_port_drain(port) : serial_port_fill(port);
}

/* --- The card --- */

static void serial_get_config(struct virtio *virtio, uint8_t *bytes)
{
    const struct layout_config layout = {.max_nr_ports = ((struct serial *)virtio)->ports_max};
    memcpy(bytes, &layout, sizeof(layout));
}

/* 5.3.6.1: a character of a driver that is not there yet, or not any more. */
static void serial_set_config(struct virtio *virtio, const uint8_t *config, uint32_t offset, unsigned size)
{
    struct serial *serial = (struct serial *)virtio;
    const unsigned at = offsetof(struct layout_config, emerg_wr);
    if ((virtio->features & SERIAL_F_EMERG_WRITE) && offset <= at && offset + size > at && serial->port[0])
        serial_port_emergency(serial->port[0], config[at]);
}

static void serial_driver_ok(struct virtio *virtio)
{
    struct serial *serial = (struct serial *)virtio;
    for (unsigned i = 0; i < serial->ports_max; i++) {
        if (serial->port[i])
            serial_port_check_room(serial->port[i]);
    }
}

static void serial_was_reset(struct virtio *virtio)
{
    struct serial *serial = (struct serial *)virtio;
    for (unsigned i = 0; i < serial->ports_max; i++) {
        if (serial->port[i])
            serial_port_reset(serial->port[i]);
    }
}

static const struct virtio_ops serial_ops = {serial_run, serial_get_config, serial_set_config, serial_driver_ok,
                                             serial_was_reset};
static const struct virtio_identity serial_identity = {"virtio-serial", 3, 0x1003, 0x078000,
                                                       sizeof(struct layout_config)};

static void *serial_create(const struct device_site *site, enum virtio_variant variant, const void *opaque,
                           GError **error)
{
    const struct serial_config *config = opaque;
    if (config->max_ports < 1 || config->max_ports > SERIAL_PORTS_MAX) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: max_ports is 1 to %u", site->id, SERIAL_PORTS_MAX);
        return NULL;
    }
    struct serial *serial = g_new0(struct serial, 1);
    if (!virtio_init(&serial->virtio, site, &serial_identity, variant, &config->virtio, &serial_ops, error)) {
        g_free(serial);
        return NULL;
    }
    serial->ports_max = config->max_ports;
    serial->virtio.features |=
        (config->max_ports > 1 ? SERIAL_F_MULTIPORT : 0) | (config->emergency_write ? SERIAL_F_EMERG_WRITE : 0);
    if (serial->virtio.vectors == VIRTIO_VECTORS_BY_QUEUES)
        serial->virtio.vectors = config->max_ports + 1;
    virtio_add_queue(&serial->virtio, QUEUE_SIZE);
    virtio_add_queue(&serial->virtio, QUEUE_SIZE);
    for (unsigned i = 1; config->max_ports > 1 && i <= config->max_ports; i++) { /* the control queues come first */
        virtio_add_queue(&serial->virtio, i == 1 ? CONTROL_SIZE : QUEUE_SIZE);
        virtio_add_queue(&serial->virtio, i == 1 ? CONTROL_SIZE : QUEUE_SIZE);
    }
    virtio_plug(&serial->virtio, site);
    return serial;
}

/* Its ports are gone already. */
static void serial_destroy(void *dev)
{
    struct serial *serial = dev;
    virtio_destroy(&serial->virtio);
    g_free(serial);
}

static void serial_reset(void *dev)
{
    virtio_reset(dev);
}

static void serial_pieces(void *dev, struct state_pieces *pieces)
{
    virtio_pieces(dev, pieces);
}

static void serial_before_save(void *dev)
{
}

static void serial_before_load(void *dev)
{
}

static bool serial_after_load(void *dev)
{
    return virtio_after_load(dev);
}

static void serial_dump(void *dev, GString *out)
{
    const struct serial *serial = dev;
    virtio_dump(&serial->virtio, out);
    for (unsigned i = 0; i < serial->ports_max; i++) {
        const struct serial_port *port = serial->port[i];
        if (port)
            g_string_append_printf(out, "  port %u (%s): guest %s, host %s, %u bytes wait\n", i,
                                   port->name ? port->name : port->id, port->regs.guest_is_open ? "on" : "off",
                                   port->host_is_open ? "on" : "off", port->regs.count);
    }
}

static const struct property serial_properties[] = {
    VIRTIO_PROPERTIES(serial_config),
    PROPERTY(serial_config, max_ports, "max_ports", PROPERTY_NUMBER, UINT32_MAX, "31", "how many ports it can have"),
    PROPERTY(serial_config, emergency_write, "emergency-write", PROPERTY_BOOL, 0, "on",
             "characters before a driver is there"),
    PROPERTY_END};

VIRTIO_CLASSES(serial, "virtio-serial", "Virtio controller of serial ports", .provides_bus = BUS_VIRTIO_SERIAL,
               .provides_count = 1);

/* A port of a virtio-serial controller: a console (virtconsole), or a stream of bytes with a name (virtserialport). See
 * virtio_serial.h.
 */
#include <string.h>

#include "log.h"
#include "virtio_serial.h"

#define PIECE      4096u
#define RUN_CHAINS 64u
#define RUN_BYTES  (256u * KiB)

/* --- From the back end to the driver --- */

static bool driver_reads(const struct serial_port *port)
{
    const struct virtio *virtio = &port->serial->virtio;
    return virtio_is_running(virtio) && virtio_queue_is_on(virtio, SERIAL_QUEUE_IN(port->number)) &&
           (port->regs.guest_is_open || !serial_has_control(port->serial));
}

static size_t port_room(void *opaque)
{
    struct serial_port *port = opaque;
    size_t room = driver_reads(port) ? SERIAL_FIFO - port->regs.count : 0;
    port->owes_room = port->owes_room || !room;
    return room;
}

void serial_port_check_room(struct serial_port *port)
{
    if (!port->chardev || !port->owes_room || !driver_reads(port) || port->regs.count == SERIAL_FIFO)
        return;
    port->owes_room = false;
    port->chardev->ops->room_changed(port->chardev);
}

static void port_receive(void *opaque, const uint8_t *bytes, size_t len)
{
    struct serial_port *port = opaque;
    len = MIN(len, SERIAL_FIFO - (size_t)port->regs.count);
    memcpy(port->regs.fifo + port->regs.count, bytes, len);
    port->regs.count += (uint16_t)len;
    virtio_kick(&port->serial->virtio, SERIAL_QUEUE_IN(port->number));
}

bool serial_port_fill(struct serial_port *port)
{
    struct virtio *virtio = &port->serial->virtio;
    struct serial_port_regs *regs = &port->regs;
    unsigned queue = SERIAL_QUEUE_IN(port->number), left = RUN_CHAINS;
    uint32_t done = 0;
    virtqueue_hush(virtio, queue);
    do {
        while (left && done < regs->count && virtqueue_pop(virtio, queue, virtio->chain)) {
            uint32_t part = virtio_chain_write(virtio, virtio->chain, 0, regs->fifo + done, regs->count - done);
            virtqueue_push(virtio, queue, virtio->chain->head, part);
            done += part;
            left--;
        }
    } while (left && done < regs->count && virtqueue_listen(virtio, queue));
    regs->count -= (uint16_t)done;
    memmove(regs->fifo, regs->fifo + done, regs->count);
    virtqueue_interrupt(virtio, queue);
    serial_port_check_room(port);
    return !left;
}

/* --- From the driver to the back end --- */

/* virtio->chain, from where it was left. False: what is left of it waits, for the back end or, with *bytes 0, for the
 * next run. */
static bool chain_send(struct serial_port *port, uint32_t *bytes)
{
    struct virtio *virtio = &port->serial->virtio;
    struct serial_port_regs *regs = &port->regs;
    uint8_t piece[PIECE];
    if (!port->chardev || !port->host_is_open)
        return true; /* there is nobody to whom it could go */
    while (regs->sent < virtio->chain->out_len) {
        uint32_t len = virtio_chain_read(virtio, virtio->chain, regs->sent, piece, MIN(PIECE, *bytes));
        if (!len)
            return false;
        size_t taken = port->chardev->ops->write(port->chardev, piece, len);
        regs->sent += taken;
        *bytes -= (uint32_t)taken;
        if (taken < len)
            return false;
    }
    return true;
}

bool serial_port_drain(struct serial_port *port)
{
    struct virtio *virtio = &port->serial->virtio;
    unsigned queue = SERIAL_QUEUE_OUT(port->number), left = RUN_CHAINS;
    uint32_t bytes = RUN_BYTES;
    bool waits = false;
    virtqueue_hush(virtio, queue);
    do {
        while (left && !waits && virtqueue_pop(virtio, queue, virtio->chain)) {
            waits = !chain_send(port, &bytes);
            if (waits) {
                virtqueue_unpop(virtio, queue);
            } else {
                port->regs.sent = 0;
                virtqueue_push(virtio, queue, virtio->chain->head, 0);
            }
            left--;
        }
    } while (left && !waits && virtqueue_listen(virtio, queue));
    virtqueue_interrupt(virtio, queue);
    return !bytes || (!left && !waits);
}

static void port_writable(void *opaque)
{
    struct serial_port *port = opaque;
    virtio_kick(&port->serial->virtio, SERIAL_QUEUE_OUT(port->number));
}

/* 5.3.6.1; it may be lost. */
void serial_port_emergency(struct serial_port *port, uint8_t byte)
{
    if (port->chardev)
        port->chardev->ops->write(port->chardev, &byte, 1);
}

/* --- Who is there --- */

static void port_event(void *opaque, enum chardev_event event)
{
    struct serial_port *port = opaque;
    if (event != CHARDEV_OPENED && event != CHARDEV_CLOSED)
        return;
    if (!port->is_console)
        port->host_is_open = event == CHARDEV_OPENED;
    if (port->serial) {
        serial_tell(port->serial);
        port_writable(port); /* what nobody waits for any more is dropped */
    }
}

void serial_port_set_guest_open(struct serial_port *port, bool open)
{
    if (port->regs.guest_is_open == open)
        return;
    port->regs.guest_is_open = open;
    if (!open)
        port->regs.count = 0;
    if (port->news)
        port->news->port_changed(port->news->opaque, port->id, open);
    serial_port_check_room(port);
}

void serial_port_reset(struct serial_port *port)
{
    serial_port_set_guest_open(port, false);
    memset(&port->regs, 0, sizeof(port->regs));
}

/* --- The port as a device --- */

struct port_config {
    struct chardev *chardev;
    const char *name;
    uint32_t nr;
};

static void *port_create(const struct device_site *site, bool is_console, const struct port_config *config,
                         GError **error)
{
    static const struct chardev_front front = {port_room, port_receive, port_writable, port_event, .can_wait = true};
    struct serial_port *port = g_new0(struct serial_port, 1);
    port->id = site->id;
    port->name = config->name;
    port->chardev = config->chardev;
    port->news = board_service(site->board, "news");
    port->is_console = port->host_is_open = is_console;
    if (!serial_add_port(site->controller, port, config->nr, error)) {
        g_free(port);
        return NULL;
    }
    if (port->chardev && !chardev_attach(port->chardev, &front, port)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: the chardev is in use already", site->id);
        serial_remove_port(port);
        g_free(port);
        return NULL;
    }
    return port;
}

static void *console_create(const struct device_site *site, const void *config, GError **error)
{
    return port_create(site, true, config, error);
}

static void *stream_create(const struct device_site *site, const void *config, GError **error)
{
    return port_create(site, false, config, error);
}

static void port_destroy(void *dev)
{
    struct serial_port *port = dev;
    if (port->chardev)
        chardev_detach(port->chardev, port);
    serial_remove_port(port);
    g_free(port);
}

static const struct state_field serial_port_fields[] = {
    STATE_FIELD(serial_port_regs, sent),          STATE_FIELD(serial_port_regs, count),
    STATE_FIELD(serial_port_regs, fifo),          STATE_FIELD(serial_port_regs, tell),
    STATE_FIELD(serial_port_regs, is_ready),      STATE_FIELD(serial_port_regs, told_open),
    STATE_FIELD(serial_port_regs, guest_is_open),
};
static const struct state_layout serial_port_layout = STATE_LAYOUT(1, serial_port_regs, serial_port_fields);

/* The controller runs all queues once it is loaded. */
static bool port_after_load(void *dev)
{
    struct serial_port *port = dev;
    if (port->regs.count > SERIAL_FIFO || port->regs.tell > (SERIAL_TELL_ADD | SERIAL_TELL_CONSOLE | SERIAL_TELL_NAME))
        return false;
    serial_port_check_room(port);
    virtio_kick(&port->serial->virtio, SERIAL_QUEUE_IN(port->number));
    return true;
}

static void port_dump(void *dev, GString *out)
{
    const struct serial_port *port = dev;
    g_string_append_printf(out, "%s: port %u, guest %s, host %s, %u bytes wait for the guest\n", port->id, port->number,
                           port->regs.guest_is_open ? "on" : "off", port->host_is_open ? "on" : "off",
                           port->regs.count);
}

static const struct property port_properties[] = {
    PROPERTY(port_config, chardev, "chardev", PROPERTY_CHARDEV, 0, NULL, "who is at the other end"),
    PROPERTY(port_config, name, "name", PROPERTY_STRING, SERIAL_NAME_MAX, NULL,
             "by which programs in the guest find it"),
    PROPERTY(port_config, nr, "nr", PROPERTY_NUMBER, UINT32_MAX, "0xffffffff", "number of the port; the next free one"),
    PROPERTY_END};

#define PORT_CLASS(what, class_name, class_help) \
    const struct device_class what##_class = {.name = class_name, \
                                              .help = class_help, \
                                              .bus = BUS_VIRTIO_SERIAL, \
                                              .properties = port_properties, \
                                              .config_size = sizeof(struct port_config), \
                                              .create = what##_create, \
                                              .destroy = port_destroy, \
                                              .layout = &serial_port_layout, \
                                              .regs_offset = offsetof(struct serial_port, regs), \
                                              .after_load = port_after_load, \
                                              .dump = port_dump}; \
    DEVICE_CLASS(what##_class)

PORT_CLASS(console, "virtconsole", "Virtio serial console");
PORT_CLASS(stream, "virtserialport", "Virtio serial port with a name");

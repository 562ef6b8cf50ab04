/* The test ports of QEMU: isa-debug-exit and isa-debugcon. Stateless: nothing to reset or save. */
#include "backend.h"
#include "device.h"
#include "ioport.h"

/* --- isa-debug-exit: a write of v ends the process with (v << 1) | 1 --- */

struct debugexit_config {
    uint32_t iobase, iosize;
};

struct debugexit {
    uint16_t base, count;
    const struct board_exit *exit;
};

static uint32_t debugexit_read(void *opaque, uint16_t port, unsigned size)
{
    return 0;
}

static void debugexit_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct debugexit *debugexit = opaque;
    debugexit->exit->exit(debugexit->exit->opaque, (int)((value << 1 | 1) & 0xff));
}

static const struct io_ops debugexit_io = {.widths = 1 | 2 | 4, .read = debugexit_read, .write = debugexit_write};

static void *debugexit_create(const struct device_site *site, const void *config, GError **error)
{
    const struct debugexit_config *wanted = config;
    if (!isa_ports_claim(site, wanted->iobase, wanted->iosize, error))
        return NULL;
    struct debugexit *debugexit = g_new0(struct debugexit, 1);
    debugexit->base = (uint16_t)wanted->iobase;
    debugexit->count = (uint16_t)wanted->iosize;
    debugexit->exit = board_service(site->board, "exit");
    ioport_register(debugexit->base, debugexit->count, &debugexit_io, debugexit, "isa-debug-exit");
    return debugexit;
}

static void debugexit_destroy(void *dev)
{
    struct debugexit *debugexit = dev;
    ioport_unregister(debugexit->base, debugexit->count);
    g_free(debugexit);
}

static const struct property debugexit_properties[] = {
    PROPERTY(debugexit_config, iobase, "iobase", PROPERTY_NUMBER, 0xffff, "0x501", "first port"),
    PROPERTY(debugexit_config, iosize, "iosize", PROPERTY_NUMBER, 0x100, "2", "number of ports"),
    PROPERTY_END,
};

const struct device_class debugexit_class = {
    .name = "isa-debug-exit",
    .help = "a port through which a guest ends the program with a status",
    .bus = BUS_ISA,
    .properties = debugexit_properties,
    .config_size = sizeof(struct debugexit_config),
    .create = debugexit_create,
    .destroy = debugexit_destroy,
};
DEVICE_CLASS(debugexit_class);

/* --- isa-debugcon: bytes written to the port go to the back; reads return E9h, which is how it is probed --- */

struct debugcon_config {
    struct chardev *chardev;
    uint32_t iobase, readback;
};

struct debugcon {
    uint16_t port;
    uint8_t readback;
    struct chardev *backend;
};

static uint32_t debugcon_read(void *opaque, uint16_t port, unsigned size)
{
    const struct debugcon *debugcon = opaque;
    return debugcon->readback;
}

static void debugcon_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct debugcon *debugcon = opaque;
    uint8_t byte = (uint8_t)value;
    if (!debugcon->backend)
        return;
    chardev_write_all(debugcon->backend, &byte, 1);
}

static const struct io_ops debugcon_io = {.widths = 1, .read = debugcon_read, .write = debugcon_write};

static const struct chardev_front debugcon_front; /* only writes */

static void *debugcon_create(const struct device_site *site, const void *config, GError **error)
{
    const struct debugcon_config *wanted = config;
    if (!isa_ports_claim(site, wanted->iobase, 1, error))
        return NULL;
    struct debugcon *debugcon = g_new0(struct debugcon, 1);
    debugcon->port = (uint16_t)wanted->iobase;
    debugcon->readback = (uint8_t)wanted->readback;
    debugcon->backend = wanted->chardev;
    if (debugcon->backend)
        chardev_attach(debugcon->backend, &debugcon_front, debugcon);
    ioport_register(debugcon->port, 1, &debugcon_io, debugcon, "isa-debugcon");
    return debugcon;
}

static void debugcon_destroy(void *dev)
{
    struct debugcon *debugcon = dev;
    ioport_unregister(debugcon->port, 1);
    if (debugcon->backend)
        chardev_detach(debugcon->backend, debugcon);
    g_free(debugcon);
}

static const struct property debugcon_properties[] = {
    PROPERTY(debugcon_config, chardev, "chardev", PROPERTY_CHARDEV, 0, NULL, "where the bytes go"),
    PROPERTY(debugcon_config, iobase, "iobase", PROPERTY_NUMBER, 0xffff, "0xe9", "the port"),
    PROPERTY(debugcon_config, readback, "readback", PROPERTY_NUMBER, 0xff, "0xe9", "what a read returns"),
    PROPERTY_END,
};

const struct device_class debugcon_class = {
    .name = "isa-debugcon",
    .help = "a port that takes text",
    .bus = BUS_ISA,
    .properties = debugcon_properties,
    .config_size = sizeof(struct debugcon_config),
    .create = debugcon_create,
    .destroy = debugcon_destroy,
};
DEVICE_CLASS(debugcon_class);

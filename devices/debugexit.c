/* The test ports of QEMU: isa-debug-exit and isa-debugcon. Stateless: nothing to reset or save. */
#include "debugexit.h"

#include "ioport.h"

struct debugexit {
    uint16_t base, count;
    void (*done)(void *opaque, int status);
    void *opaque;
};

static uint32_t debugexit_read(void *opaque, uint16_t port, unsigned size)
{
    return 0;
}

static void debugexit_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct debugexit *debugexit = opaque;
    debugexit->done(debugexit->opaque, (int)((value << 1 | 1) & 0xff));
}

static const struct io_ops debugexit_io = {.widths = 1 | 2 | 4, .read = debugexit_read, .write = debugexit_write};

struct debugexit *debugexit_new(uint16_t base, uint16_t count, void (*done)(void *opaque, int status), void *opaque)
{
    struct debugexit *debugexit = g_new0(struct debugexit, 1);
    debugexit->base = base;
    debugexit->count = count;
    debugexit->done = done;
    debugexit->opaque = opaque;
    ioport_register(base, count, &debugexit_io, debugexit, "isa-debug-exit");
    return debugexit;
}

void debugexit_free(struct debugexit *debugexit)
{
    ioport_unregister(debugexit->base, debugexit->count);
    g_free(debugexit);
}

struct debugcon {
    uint16_t port;
    struct chardev *backend;
};

static uint32_t debugcon_read(void *opaque, uint16_t port, unsigned size)
{
    return 0xe9;
}

static void debugcon_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct debugcon *debugcon = opaque;
    uint8_t byte = (uint8_t)value;
    /* No handshake on this port: what the back cannot take is lost. */
    debugcon->backend->ops->write(debugcon->backend, &byte, 1);
}

static const struct io_ops debugcon_io = {.widths = 1, .read = debugcon_read, .write = debugcon_write};

struct debugcon *debugcon_new(uint16_t port, struct chardev *backend)
{
    struct debugcon *debugcon = g_new0(struct debugcon, 1);
    debugcon->port = port;
    debugcon->backend = backend;
    ioport_register(port, 1, &debugcon_io, debugcon, "isa-debugcon");
    return debugcon;
}

void debugcon_free(struct debugcon *debugcon)
{
    ioport_unregister(debugcon->port, 1);
    g_free(debugcon);
}

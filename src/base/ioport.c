/* The 64 Ki I/O ports and who answers on them. See ioport.h. */
#include "ioport.h"

#include <glib.h>

#include "log.h"

#define PORT_COUNT 65536u

struct io_range {
    uint16_t first;
    uint32_t count;
    const struct io_ops *ops;
    void *opaque;
    const char *name;
};

static struct io_range *ports[PORT_COUNT];
static uint32_t *registers;

uint32_t *ioport_registers(void)
{
    return registers;
}

void ioport_set_registers(uint32_t *gpr)
{
    registers = gpr;
}

bool ioport_uses_registers(uint16_t port)
{
    return ports[port] && ports[port]->ops->uses_registers;
}

void ioport_register(uint16_t first, uint16_t count, const struct io_ops *ops, void *opaque, const char *name)
{
    struct io_range *range = g_new(struct io_range, 1);

    assert_always(count > 0 && first + count <= PORT_COUNT);
    *range = (struct io_range){first, count, ops, opaque, name};
    for (unsigned port = first; port < (unsigned)first + count; port++) {
        assert_always(!ports[port]);
        ports[port] = range;
    }
}

bool ioport_is_free(uint16_t first, uint16_t count)
{
    for (unsigned port = first; port < (unsigned)first + count; port++) {
        if (port >= PORT_COUNT || ports[port])
            return false;
    }
    return true;
}

void ioport_unregister(uint16_t first, uint16_t count)
{
    struct io_range *range = ports[first];

    assert_always(range && range->first == first && range->count == count);
    for (unsigned port = first; port < (unsigned)first + count; port++)
        ports[port] = NULL;
    g_free(range);
}

void ioport_clear(void)
{
    for (unsigned port = 0; port < PORT_COUNT; port++) {
        if (ports[port] && ports[port]->first == port)
            ioport_unregister((uint16_t)port, (uint16_t)ports[port]->count);
    }
}

void ioport_print(GString *out)
{
    for (unsigned port = 0; port < PORT_COUNT; port++) {
        const struct io_range *range = ports[port];
        if (range && range->first == port)
            g_string_append_printf(out, "  %016x-%016x (prio 0, i/o): %s\n", port, port + range->count - 1,
                                   range->name);
    }
}

/* The range that takes an access of this width whole, or NULL. */
static struct io_range *ioport_find(uint32_t port, unsigned size)
{
    struct io_range *range = ports[port];

    if (!range || !(range->ops->widths & size) || port + size > range->first + range->count)
        return NULL;
    return range;
}

static uint32_t ioport_ones(unsigned size)
{
    return size == 4 ? 0xffffffffu : (1u << (size * 8)) - 1;
}

uint32_t ioport_read(uint16_t port, unsigned size)
{
    struct io_range *range = ioport_find(port, size);

    if (range && range->ops->read)
        return range->ops->read(range->opaque, port, size) & ioport_ones(size);
    if (size == 1 || !ports[port]) {
        bool split = false;
        for (unsigned i = 1; i < size && !split; i++)
            split = ports[(uint16_t)(port + i)] != NULL;
        if (!split) {
            log_at(LOG_IO, "io: read%u %04x: nobody\n", size * 8, port);
            return ioport_ones(size);
        }
    }
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= ioport_read((uint16_t)(port + i), 1) << (i * 8);
    return value;
}

void ioport_write(uint16_t port, unsigned size, uint32_t value)
{
    struct io_range *range = ioport_find(port, size);

    value &= ioport_ones(size);
    if (range) {
        if (range->ops->write)
            range->ops->write(range->opaque, port, size, value);
        return;
    }
    if (size == 1) {
        log_at(LOG_IO, "io: write %04x = %02x: nobody\n", port, value);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        ioport_write((uint16_t)(port + i), 1, (value >> (i * 8)) & 0xff);
}

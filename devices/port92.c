/* Port 92h, PS/2 system control A: bit 1 gates A20, the rising edge of bit 0 resets the CPU.
 *
 * IBM PS/2 Hardware Interface Technical Reference, "System Control Port A"; 82371SB, 2.5.
 */
#include "port92.h"

#include "ioport.h"
#include "state.h"

struct port92_regs {
    uint8_t value;
};

struct port92 {
    struct port92_regs regs;
    struct irq a20, reset;
};

static uint32_t port92_read(void *opaque, uint16_t port, unsigned size)
{
    struct port92 *port92 = opaque;
    return port92->regs.value;
}

static void port92_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct port92 *port92 = opaque;
    bool resets = value & ~port92->regs.value & 1;
    port92->regs.value = value & 0x0b;
    irq_set(&port92->a20, value & 2);
    if (resets)
        irq_set(&port92->reset, true);
}

static const struct io_ops port92_io = {.widths = 1, .read = port92_read, .write = port92_write};

static void port92_reset(void *dev)
{
    struct port92 *port92 = dev;
    port92->regs.value = 0x02; /* a PC comes out of reset with A20 open */
    irq_set(&port92->a20, true);
}

static const struct state_field port92_fields[] = {STATE_FIELD(port92_regs, value)};
static const struct state_layout port92_layout = STATE_LAYOUT(1, port92_regs, port92_fields);

static bool port92_after_load(void *dev)
{
    struct port92 *port92 = dev;
    irq_set(&port92->a20, port92->regs.value & 2);
    return true;
}

static void port92_dump(void *dev, GString *out)
{
    struct port92 *port92 = dev;
    g_string_append_printf(out, "port92: %02x\n", port92->regs.value);
}

struct port92 *port92_new(const struct irq *a20, const struct irq *reset)
{
    struct port92 *port92 = g_new0(struct port92, 1);
    port92->a20 = *a20;
    port92->reset = *reset;
    ioport_register(0x92, 1, &port92_io, port92, "port92");
    port92_reset(port92);
    return port92;
}

void port92_free(struct port92 *port92)
{
    ioport_unregister(0x92, 1);
    g_free(port92);
}

static void *port92_create(const struct device_site *site, const void *config, GError **error)
{
    struct irq a20 = board_wire(site->board, "a20"), reset = board_wire(site->board, "reset");
    return port92_new(&a20, &reset);
}

static void port92_destroy(void *dev)
{
    port92_free(dev);
}

const struct device_class port92_class = {
    .name = "port92",
    .help = "PS/2 system control port A",
    .bus = BUS_ISA,
    .internal = true,
    .create = port92_create,
    .destroy = port92_destroy,
    .reset = port92_reset,
    .layout = &port92_layout,
    .regs_offset = offsetof(struct port92, regs),
    .after_load = port92_after_load,
    .dump = port92_dump,
};
DEVICE_CLASS(port92_class);

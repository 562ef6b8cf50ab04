/* The PC's parallel port, in its standard (one-way) mode: IBM PC Technical Reference, printer adapter.
 *
 *   base + 0  data latch
 *   base + 1  status: -BUSY 80h, -ACK 40h, PE 20h, SLCT 10h, -ERROR 08h
 *   base + 2  control: interrupt enable 10h, SLCT IN 08h, -INIT 04h, AUTO FD 02h, STROBE 01h
 *
 * The printer takes a byte when STROBE begins and acknowledges it at once: programs that wait for BUSY to fall never
 * see it high.
 */
#include "lpt.h"

#include "ioport.h"
#include "state.h"

#define STATUS_READY   0xdfu /* not busy, selected, no error; -ACK high; low bits read as ones */
#define CONTROL_IRQ    0x10u
#define CONTROL_INIT   0x04u
#define CONTROL_STROBE 0x01u
#define CONTROL_BITS   0x1fu

struct lpt_regs {
    uint8_t data, control;
};

struct lpt {
    struct lpt_regs regs;
    uint16_t base;
    struct irq irq;
    struct chardev *backend;
};

static uint32_t lpt_read(void *opaque, uint16_t port, unsigned size)
{
    const struct lpt *lpt = opaque;
    switch (port - lpt->base) {
    case 0:
        return lpt->regs.data;
    case 1:
        return STATUS_READY;
    default:
        return lpt->regs.control | (uint8_t)~CONTROL_BITS;
    }
}

static void control_write(struct lpt *lpt, uint8_t value)
{
    bool strobe = (value & CONTROL_STROBE) && !(lpt->regs.control & CONTROL_STROBE);
    lpt->regs.control = value & CONTROL_BITS;
    if (!strobe || !(value & CONTROL_INIT)) /* a printer held in reset prints nothing */
        return;
    chardev_write_all(lpt->backend, &lpt->regs.data, 1);
    if (value & CONTROL_IRQ) { /* the edge of -ACK */
        irq_set(&lpt->irq, true);
        irq_set(&lpt->irq, false);
    }
}

static void lpt_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct lpt *lpt = opaque;
    switch (port - lpt->base) {
    case 0:
        lpt->regs.data = (uint8_t)value;
        break;
    case 2:
        control_write(lpt, (uint8_t)value);
        break;
    }
}

static const struct io_ops lpt_io = {.widths = 1, .read = lpt_read, .write = lpt_write};

static void lpt_reset(void *dev)
{
    struct lpt *lpt = dev;
    lpt->regs = (struct lpt_regs){.control = 0x0c};
}

static const struct state_field lpt_fields[] = {STATE_FIELD(lpt_regs, data), STATE_FIELD(lpt_regs, control)};
static const struct state_layout lpt_layout = STATE_LAYOUT(1, lpt_regs, lpt_fields);

static void lpt_dump(void *dev, GString *out)
{
    struct lpt *lpt = dev;
    g_string_append_printf(out, "lpt: data %02x control %02x\n", lpt->regs.data, lpt->regs.control);
}

static const struct chardev_front lpt_front; /* only writes */

struct lpt *lpt_new(uint16_t base, const struct irq *irq, struct chardev *backend)
{
    struct lpt *lpt = g_new0(struct lpt, 1);
    lpt->base = base;
    lpt->irq = *irq;
    lpt->backend = backend;
    if (backend)
        chardev_attach(backend, &lpt_front, lpt);
    ioport_register(base, 3, &lpt_io, lpt, "lpt");
    lpt_reset(lpt);
    return lpt;
}

void lpt_free(struct lpt *lpt)
{
    ioport_unregister(lpt->base, 3);
    if (lpt->backend)
        chardev_detach(lpt->backend, lpt);
    g_free(lpt);
}

struct lpt_config {
    struct chardev *chardev;
    uint32_t iobase, irq;
};

static void *lpt_create(const struct device_site *site, const void *config, GError **error)
{
    const struct lpt_config *wanted = config;
    struct irq irq = board_isa_irq(site->board, wanted->irq);
    if (!isa_ports_claim(site, wanted->iobase, 3, error))
        return NULL;
    return lpt_new((uint16_t)wanted->iobase, &irq, wanted->chardev);
}

static void lpt_destroy(void *dev)
{
    lpt_free(dev);
}

static const struct property lpt_properties[] = {
    PROPERTY(lpt_config, chardev, "chardev", PROPERTY_CHARDEV, 0, NULL, "where the printed bytes go"),
    PROPERTY(lpt_config, iobase, "iobase", PROPERTY_NUMBER, 0xfff8, "0x378", "first port"),
    PROPERTY(lpt_config, irq, "irq", PROPERTY_NUMBER, 15, "7", "interrupt line"),
    PROPERTY_END,
};

const struct device_class lpt_class = {
    .name = "isa-parallel",
    .info = "lpt",
    .help = "parallel port with a printer that takes everything",
    .bus = BUS_ISA,
    .properties = lpt_properties,
    .config_size = sizeof(struct lpt_config),
    .create = lpt_create,
    .destroy = lpt_destroy,
    .reset = lpt_reset,
    .layout = &lpt_layout,
    .regs_offset = offsetof(struct lpt, regs),
    .dump = lpt_dump,
};
DEVICE_CLASS(lpt_class);

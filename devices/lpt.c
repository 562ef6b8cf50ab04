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
    lpt->backend->ops->write(lpt->backend, &lpt->regs.data, 1);
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
static const struct state_layout lpt_layout = {1, G_N_ELEMENTS(lpt_fields), lpt_fields};

static void lpt_save(void *dev, GByteArray *out)
{
    struct lpt *lpt = dev;
    state_save(&lpt_layout, &lpt->regs, out);
}

static bool lpt_load(void *dev, const uint8_t *bytes, size_t len)
{
    struct lpt *lpt = dev;
    return state_load(&lpt_layout, &lpt->regs, sizeof lpt->regs, bytes, len);
}

static void lpt_dump(void *dev, GString *out)
{
    struct lpt *lpt = dev;
    g_string_append_printf(out, "lpt: data %02x control %02x\n", lpt->regs.data, lpt->regs.control);
}

const struct device_ops lpt_ops = {"lpt", lpt_reset, lpt_save, lpt_load, lpt_dump};

struct lpt *lpt_new(uint16_t base, const struct irq *irq, struct chardev *backend)
{
    struct lpt *lpt = g_new0(struct lpt, 1);
    lpt->base = base;
    lpt->irq = *irq;
    lpt->backend = backend;
    ioport_register(base, 3, &lpt_io, lpt, "lpt");
    lpt_reset(lpt);
    return lpt;
}

void lpt_free(struct lpt *lpt)
{
    ioport_unregister(lpt->base, 3);
    g_free(lpt);
}

/* How x87 errors reach the AT: FERR# drives IRQ 13 until the handler writes port F0h, which also lets the processor go
 * on (IGNNE#). */
#include "device.h"
#include "ioport.h"

struct ferr_regs {
    bool pending; /* level of IRQ 13 */
};

struct ferr {
    struct ferr_regs regs;
    struct irq irq13, ignne;
};

static void ferr_set(struct ferr *ferr, bool level)
{
    ferr->regs.pending = level;
    irq_set(&ferr->irq13, level);
}

/* The processor's pin. */
static void ferr_pin(void *opaque, int line, bool level)
{
    ferr_set(opaque, level);
}

static void ferr_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct ferr *ferr = opaque;
    irq_set(&ferr->ignne, true);
    ferr_set(ferr, false);
}

static const struct io_ops ferr_io = {.widths = 1, .write = ferr_write};

static void ferr_reset(void *dev)
{
    ferr_set(dev, false);
}

static const struct state_field ferr_fields[] = {STATE_FIELD(ferr_regs, pending)};
static const struct state_layout ferr_layout = STATE_LAYOUT(1, ferr_regs, ferr_fields);

static bool ferr_after_load(void *dev)
{
    struct ferr *ferr = dev;
    ferr_set(ferr, ferr->regs.pending);
    return true;
}

static void *ferr_create(const struct device_site *site, const void *config, GError **error)
{
    struct ferr *ferr = g_new0(struct ferr, 1);
    ferr->irq13 = board_isa_irq(site->board, 13);
    ferr->ignne = board_wire(site->board, "ignne");
    ioport_register(0xf0, 1, &ferr_io, ferr, "ferr");
    board_provide_wire(site->board, "ferr", (struct irq){ferr_pin, ferr, 0});
    return ferr;
}

static void ferr_destroy(void *dev)
{
    ioport_unregister(0xf0, 1);
    g_free(dev);
}

static const struct device_class ferr_class = {
    .name = "ferr",
    .help = "x87 errors as IRQ 13, and port F0h",
    .bus = BUS_ISA,
    .internal = true,
    .create = ferr_create,
    .destroy = ferr_destroy,
    .reset = ferr_reset,
    .layout = &ferr_layout,
    .regs_offset = offsetof(struct ferr, regs),
    .after_load = ferr_after_load,
};
DEVICE_CLASS(ferr_class);

/* A made-up ISA card: nothing but this file, its test and a line in meson knows of it. A counter at iobase, an
 * interrupt when it is written, and a message port. */
#include "backend.h"
#include "device.h"
#include "ioport.h"

struct toy_isa_regs {
    uint8_t count, level;
};

struct toy_isa_config {
    uint32_t iobase, irq;
    bool loud;
    const char *greeting;
    struct chardev *chardev;
};

struct toy_isa {
    struct toy_isa_regs regs;
    struct toy_isa_config config;
    struct irq irq;
};

static uint32_t toy_isa_read(void *opaque, uint16_t port, unsigned size)
{
    struct toy_isa *toy = opaque;
    if (port == toy->config.iobase)
        return toy->regs.count;
    return toy->config.greeting ? (uint8_t)toy->config.greeting[toy->regs.count % 8] : 0xff;
}

static void toy_isa_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct toy_isa *toy = opaque;
    toy->regs.count += toy->config.loud ? 2 : 1;
    toy->regs.level = value & 1;
    irq_set(&toy->irq, toy->regs.level);
}

static const struct io_ops toy_isa_io = {.widths = 1, .read = toy_isa_read, .write = toy_isa_write};

static void toy_isa_reset(void *dev)
{
    struct toy_isa *toy = dev;
    toy->regs = (struct toy_isa_regs){0};
    irq_set(&toy->irq, false);
}

static const struct state_field toy_isa_fields[] = {STATE_FIELD(toy_isa_regs, count), STATE_FIELD(toy_isa_regs, level)};
static const struct state_layout toy_isa_layout = STATE_LAYOUT(1, toy_isa_regs, toy_isa_fields);

static bool toy_isa_after_load(void *dev)
{
    struct toy_isa *toy = dev;
    if (toy->regs.level > 1)
        return false;
    irq_set(&toy->irq, toy->regs.level);
    return true;
}

static void *toy_isa_create(const struct device_site *site, const void *config, GError **error)
{
    const struct toy_isa_config *wanted = config;
    if (!isa_ports_claim(site, wanted->iobase, 2, error))
        return NULL;
    struct toy_isa *toy = g_new0(struct toy_isa, 1);
    toy->config = *wanted;
    toy->irq = board_isa_irq(site->board, wanted->irq);
    ioport_register((uint16_t)wanted->iobase, 2, &toy_isa_io, toy, site->id);
    return toy;
}

static void toy_isa_destroy(void *dev)
{
    struct toy_isa *toy = dev;
    ioport_unregister((uint16_t)toy->config.iobase, 2);
    g_free(toy);
}

static const struct property toy_isa_properties[] = {
    PROPERTY(toy_isa_config, iobase, "iobase", PROPERTY_NUMBER, 0xfffe, "0x220", "first port"),
    PROPERTY(toy_isa_config, irq, "irq", PROPERTY_NUMBER, 15, "5", "interrupt line"),
    PROPERTY(toy_isa_config, loud, "loud", PROPERTY_BOOL, 0, "off", "counts by two"),
    PROPERTY(toy_isa_config, greeting, "greeting", PROPERTY_STRING, 8, NULL, "what the second port says"),
    PROPERTY(toy_isa_config, chardev, "chardev", PROPERTY_CHARDEV, 0, NULL, "not used"),
    PROPERTY_END,
};

static const struct device_class toy_isa_class = {
    .name = "toy-isa",
    .help = "a card for tests",
    .bus = BUS_ISA,
    .properties = toy_isa_properties,
    .config_size = sizeof(struct toy_isa_config),
    .create = toy_isa_create,
    .destroy = toy_isa_destroy,
    .reset = toy_isa_reset,
    .layout = &toy_isa_layout,
    .regs_offset = offsetof(struct toy_isa, regs),
    .after_load = toy_isa_after_load,
};
DEVICE_CLASS(toy_isa_class);

/* PIIX3 (82371SB) function 0: ISA bridge, PIRQ routing, reset control. Intel 290550. */
#include "piix3.h"

#include "state.h"

#define PIRQRC       0x60 /* A to D at 60h to 63h */
#define PIRQ_OFF     0x80u
#define PIRQ_ALLOWED 0xdef8u /* IRQs 0, 1, 2, 8 and 13 are reserved: PIRQs do not reach them */

#define RESET_HARD 0x02u
#define RESET_NOW  0x04u

struct piix3_regs {
    uint8_t reset_control; /* CF9h */
};

struct piix3 {
    struct piix3_regs regs;
    struct pci_device dev;
    struct piix3_wiring wiring;
    bool pirq[PCI_PIRQS]; /* levels, as the bus says */
    uint16_t irq_level;   /* what the interrupt controller was last told */
};

/* Must be called when a PIRQ or the routing may have changed. */
static void piix3_update_irq(struct piix3 *isa)
{
    uint16_t level = 0;
    for (unsigned i = 0; i < PCI_PIRQS; i++) {
        uint8_t route = isa->dev.config[PIRQRC + i];
        if (isa->pirq[i] && !(route & PIRQ_OFF))
            level |= 1u << (route & 15);
    }
    level &= PIRQ_ALLOWED;
    uint16_t changed = level ^ isa->irq_level;
    isa->irq_level = level;
    for (unsigned irq = 0; irq < 16; irq++) {
        if (changed & 1u << irq)
            irq_set(&isa->wiring.irq[irq], level >> irq & 1);
    }
}

static void piix3_pirq(void *opaque, int line, bool level)
{
    struct piix3 *isa = opaque;
    isa->pirq[line] = level;
    piix3_update_irq(isa);
}

static void piix3_config_written(struct pci_device *dev, uint8_t offset, unsigned size)
{
    piix3_update_irq(dev->opaque);
}

static void piix3_plug(struct piix3 *isa, struct pci_bus *bus)
{
    struct pci_device *dev = &isa->dev;
    pci_device_init(dev, "piix3-isa", 0x8086, 0x7000, 0x060100, 0);
    dev->config[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    dev->writable[PCI_COMMAND] = 0;
    dev->config[PCI_HEADER_TYPE] = 0x80; /* IDE, USB, PM follow as functions */
    dev->config[0x4c] = 0x4d;            /* I/O recovery */
    dev->writable[0x4c] = 0x7f;
    dev->config[0x4e] = 0x03; /* X-bus chip select */
    dev->writable[0x4e] = dev->writable[0x4f] = 0xff;
    for (unsigned i = 0; i < PCI_PIRQS; i++) {
        dev->config[PIRQRC + i] = PIRQ_OFF;
        dev->writable[PIRQRC + i] = 0x8f;
    }
    dev->config[0x69] = 0x02; /* top of memory */
    dev->writable[0x69] = 0xfe;
    dev->config_written = piix3_config_written;
    dev->opaque = isa;
    pci_plug(bus, dev, PCI_DEVFN(1, 0));
}

static uint32_t reset_control_read(void *opaque, uint16_t port, unsigned size)
{
    const struct piix3 *isa = opaque;
    return isa->regs.reset_control;
}

/* The rising edge does it. */
static void reset_control_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct piix3 *isa = opaque;
    bool rises = value & ~isa->regs.reset_control & RESET_NOW;
    isa->regs.reset_control = value & (RESET_HARD | RESET_NOW);
    if (rises)
        irq_set(&isa->wiring.reset, true);
}

static const struct io_ops reset_control_io = {.widths = 1, .read = reset_control_read, .write = reset_control_write};

static void piix3_reset(void *opaque)
{
    struct piix3 *isa = opaque;
    isa->regs = (struct piix3_regs){0};
    pci_device_reset(&isa->dev);
    piix3_update_irq(isa);
}

static const struct state_field piix3_fields[] = {
    STATE_FIELD(piix3_regs, reset_control),
};
static const struct state_layout piix3_layout = STATE_LAYOUT(1, piix3_regs, piix3_fields);

/* The bus has loaded config space and pins by now, or will drive the PIRQs when it does. */
static bool piix3_after_load(void *opaque)
{
    piix3_update_irq(opaque);
    return true;
}

struct piix3 *piix3_new(struct pci_bus *bus, const struct piix3_wiring *wiring)
{
    struct piix3 *isa = g_new0(struct piix3, 1);
    struct irq pirq[PCI_PIRQS];
    isa->wiring = *wiring;
    for (int i = 0; i < PCI_PIRQS; i++)
        pirq[i] = (struct irq){piix3_pirq, isa, i};
    piix3_plug(isa, bus);
    pci_bus_set_router(bus, pirq);
    pci_bus_claim_reset_control(bus, &reset_control_io, isa);
    return isa;
}

void piix3_free(struct piix3 *isa)
{
    struct pci_bus *bus = isa->dev.bus;
    pci_bus_set_router(bus, (const struct irq[PCI_PIRQS]){0});
    pci_bus_claim_reset_control(bus, NULL, NULL);
    pci_unplug(&isa->dev);
    g_free(isa);
}

static void *piix3_create(const struct device_site *site, const void *config, GError **error)
{
    struct piix3_wiring wiring = {.reset = board_wire(site->board, "reset")};
    for (unsigned i = 0; i < 16; i++)
        wiring.irq[i] = board_pci_irq(site->board, i);
    return piix3_new(board_service(site->board, "pci"), &wiring);
}

static void piix3_destroy(void *dev)
{
    piix3_free(dev);
}

const struct device_class piix3_class = {
    .name = "PIIX3",
    .help = "PIIX3 ISA bridge: interrupt routing, reset control",
    .bus = BUS_PCI,
    .internal = true,
    .devfn = PCI_DEVFN(1, 0),
    .create = piix3_create,
    .destroy = piix3_destroy,
    .reset = piix3_reset,
    .layout = &piix3_layout,
    .regs_offset = offsetof(struct piix3, regs),
    .after_load = piix3_after_load,
};
DEVICE_CLASS(piix3_class);

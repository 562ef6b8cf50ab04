/* A made-up PCI card: nothing but this file, its test and a line in meson knows of it. A BAR of one register: bit 0
 * drives INTA#, and writing bit 1 sends a message-signalled interrupt. */
#include "device.h"
#include "devices/pci.h"

struct toy_pci_regs {
    uint32_t value;
};

struct toy_pci {
    struct pci_device pci; /* first */
    struct toy_pci_regs regs;
};

static void toy_pci_update_irq(struct toy_pci *toy)
{
    pci_set_intx(&toy->pci, toy->regs.value & 1);
}

static uint64_t toy_pci_read(void *opaque, uint32_t offset, unsigned size)
{
    struct toy_pci *toy = opaque;
    return offset ? 0 : toy->regs.value;
}

static void toy_pci_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    struct toy_pci *toy = opaque;
    toy->regs.value = (uint32_t)value;
    toy_pci_update_irq(toy);
    if (value & 2)
        pci_msi_notify(&toy->pci);
}

static const struct mmio_ops toy_pci_io = {toy_pci_read, toy_pci_write};

static void toy_pci_reset(void *dev)
{
    struct toy_pci *toy = dev;
    toy->regs = (struct toy_pci_regs){0};
    toy_pci_update_irq(toy);
}

static const struct state_field toy_pci_fields[] = {STATE_FIELD(toy_pci_regs, value)};
static const struct state_layout toy_pci_layout = STATE_LAYOUT(1, toy_pci_regs, toy_pci_fields);

static bool toy_pci_after_load(void *dev)
{
    toy_pci_update_irq(dev);
    return true;
}

static void *toy_pci_create(const struct device_site *site, const void *config, GError **error)
{
    struct toy_pci *toy = g_new0(struct toy_pci, 1);
    pci_device_init(&toy->pci, "toy-pci", 0x1234, 0x4321, 0xff0000, 0);
    toy->pci.config[PCI_INTERRUPT_PIN] = 1;
    pci_add_mmio_bar(&toy->pci, 0, PAGE_SIZE, &toy_pci_io, toy);
    pci_add_msi(&toy->pci, 0x40);
    pci_plug(board_service(site->board, "pci"), &toy->pci, (uint8_t)site->unit);
    return toy;
}

static void toy_pci_destroy(void *dev)
{
    struct toy_pci *toy = dev;
    pci_unplug(&toy->pci);
    g_free(toy);
}

static const struct device_class toy_pci_class = {
    .name = "toy-pci",
    .help = "a card for tests",
    .bus = BUS_PCI,
    .create = toy_pci_create,
    .destroy = toy_pci_destroy,
    .reset = toy_pci_reset,
    .layout = &toy_pci_layout,
    .regs_offset = offsetof(struct toy_pci, regs),
    .after_load = toy_pci_after_load,
};
DEVICE_CLASS(toy_pci_class);

/* The cards with a DP8390: Novell's NE2000 on the ISA bus, and Realtek's RTL8029 on PCI. */
#include "devices/pci.h"
#include "dp8390.h"
#include "ioport.h"

/* --- ISA --- */

struct ne2k_isa {
    struct dp8390 nic; /* first */
    uint16_t base;
};

static uint32_t isa_read(void *opaque, uint16_t port, unsigned size)
{
    struct ne2k_isa *card = opaque;
    return dp8390_read(&card->nic, port - card->base, size);
}

static void isa_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct ne2k_isa *card = opaque;
    dp8390_write(&card->nic, port - card->base, size, value);
}

static const struct io_ops isa_io = {.widths = 1 | 2 | 4, .read = isa_read, .write = isa_write};

struct ne2k_isa_config {
    struct netdev *netdev;
    uint8_t mac[6];
    uint32_t iobase, irq;
};

static void *ne2k_isa_create(const struct device_site *site, const void *config, GError **error)
{
    const struct ne2k_isa_config *wanted = config;
    if (!isa_ports_claim(site, wanted->iobase, DP8390_PORTS, error))
        return NULL;
    struct ne2k_isa *card = g_new0(struct ne2k_isa, 1);
    card->base = (uint16_t)wanted->iobase;
    card->nic.irq = board_isa_irq(site->board, wanted->irq);
    dp8390_init(&card->nic, site->board, wanted->netdev, wanted->mac);
    ioport_register(card->base, DP8390_PORTS, &isa_io, card, "ne2k_isa");
    return card;
}

static void ne2k_isa_destroy(void *dev)
{
    struct ne2k_isa *card = dev;
    ioport_unregister(card->base, DP8390_PORTS);
    dp8390_destroy(&card->nic);
    g_free(card);
}

static void ne2k_isa_reset(void *dev)
{
    dp8390_reset(&((struct ne2k_isa *)dev)->nic);
}

static void ne2k_isa_pieces(void *dev, struct state_pieces *pieces)
{
    dp8390_pieces(&((struct ne2k_isa *)dev)->nic, pieces);
}

static bool ne2k_isa_after_load(void *dev)
{
    return dp8390_after_load(&((struct ne2k_isa *)dev)->nic);
}

static void ne2k_isa_dump(void *dev, GString *out)
{
    dp8390_dump(&((struct ne2k_isa *)dev)->nic, "ne2k_isa", out);
}

static const struct property ne2k_isa_properties[] = {
    PROPERTY(ne2k_isa_config, netdev, "netdev", PROPERTY_NETDEV, 0, NULL, "id of a -netdev"),
    PROPERTY(ne2k_isa_config, mac, "mac", PROPERTY_MAC, 0, NULL, "Ethernet address"),
    PROPERTY(ne2k_isa_config, iobase, "iobase", PROPERTY_NUMBER, 0xffe0, "0x300", "first port"),
    PROPERTY(ne2k_isa_config, irq, "irq", PROPERTY_NUMBER, 15, "9", "interrupt line"),
    PROPERTY_END,
};

const struct device_class ne2k_isa_class = {
    .name = "ne2k_isa",
    .help = "Novell NE2000 network card",
    .bus = BUS_ISA,
    .properties = ne2k_isa_properties,
    .config_size = sizeof(struct ne2k_isa_config),
    .create = ne2k_isa_create,
    .destroy = ne2k_isa_destroy,
    .reset = ne2k_isa_reset,
    .pieces = ne2k_isa_pieces,
    .after_load = ne2k_isa_after_load,
    .dump = ne2k_isa_dump,
};
DEVICE_CLASS(ne2k_isa_class);

/* --- PCI --- */

struct ne2k_pci {
    struct pci_device pci; /* first */
    struct dp8390 nic;
};

static uint32_t bar_read(void *opaque, uint16_t port, unsigned size)
{
    struct ne2k_pci *card = opaque;
    return dp8390_read(&card->nic, port - card->pci.bar[0].base, size);
}

static void bar_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct ne2k_pci *card = opaque;
    dp8390_write(&card->nic, port - card->pci.bar[0].base, size, value);
}

static const struct io_ops bar_io = {.widths = 1 | 2 | 4, .read = bar_read, .write = bar_write};

static void inta_set(void *opaque, int line, bool level)
{
    pci_set_intx(opaque, level);
}

struct ne2k_pci_config {
    struct netdev *netdev;
    uint8_t mac[6];
    const struct board_rom *rom;
};

static void *ne2k_pci_create(const struct device_site *site, const void *config, GError **error)
{
    const struct ne2k_pci_config *wanted = config;
    struct ne2k_pci *card = g_new0(struct ne2k_pci, 1);
    pci_device_init(&card->pci, "ne2k_pci", 0x10ec, 0x8029, 0x020000, 0);
    card->pci.config[PCI_INTERRUPT_PIN] = 1;
    pci_add_io_bar(&card->pci, 0, DP8390_PORTS, &bar_io, card);
    if (!pci_add_rom(&card->pci, wanted->rom, error)) {
        g_free(card);
        return NULL;
    }
    pci_plug(board_service(site->board, "pci"), &card->pci, (uint8_t)site->unit);
    card->nic.is_8029 = true;
    card->nic.irq = (struct irq){inta_set, &card->pci, 0};
    dp8390_init(&card->nic, site->board, wanted->netdev, wanted->mac);
    return card;
}

static void ne2k_pci_destroy(void *dev)
{
    struct ne2k_pci *card = dev;
    pci_unplug(&card->pci);
    dp8390_destroy(&card->nic);
    g_free(card);
}

static void ne2k_pci_reset(void *dev)
{
    dp8390_reset(&((struct ne2k_pci *)dev)->nic);
}

static void ne2k_pci_pieces(void *dev, struct state_pieces *pieces)
{
    dp8390_pieces(&((struct ne2k_pci *)dev)->nic, pieces);
}

static bool ne2k_pci_after_load(void *dev)
{
    return dp8390_after_load(&((struct ne2k_pci *)dev)->nic);
}

static void ne2k_pci_dump(void *dev, GString *out)
{
    dp8390_dump(&((struct ne2k_pci *)dev)->nic, "ne2k_pci", out);
}

static const struct property ne2k_pci_properties[] = {
    NIC_PROPERTIES(ne2k_pci_config, "pxe-ne2k_pci.rom"),
    PROPERTY_END,
};

const struct device_class ne2k_pci_class = {
    .name = "ne2k_pci",
    .help = "Realtek RTL8029 network card (an NE2000 for PCI)",
    .bus = BUS_PCI,
    .properties = ne2k_pci_properties,
    .config_size = sizeof(struct ne2k_pci_config),
    .create = ne2k_pci_create,
    .destroy = ne2k_pci_destroy,
    .reset = ne2k_pci_reset,
    .pieces = ne2k_pci_pieces,
    .after_load = ne2k_pci_after_load,
    .dump = ne2k_pci_dump,
};
DEVICE_CLASS(ne2k_pci_class);

/* i440FX (82441FX PMC): host bridge, configuration mechanism #1, programmable attribute map.
 *
 * Intel 290549 (440FX); PCI Local Bus Specification 2.1, 3.7.4.1.
 */
#include "i440fx.h"

#include <string.h>

#include "ioport.h"
#include "lapic.h"
#include "state.h"

#define PAM0          0x59 /* to 5Fh: RE and WE, two bits per segment */
#define SMRAMC        0x72
#define CONFIG_ENABLE 0x80000000u

struct i440fx_regs {
    uint32_t address; /* CF8h */
};

struct i440fx {
    struct i440fx_regs regs;
    struct pci_bus *bus;
    struct pci_device dev;
    void (*pam_changed)(void *opaque, gpa_t base, uint32_t size, bool readable, bool writable);
    void *pam_opaque;
};

/* 59h: low nibble reserved, high nibble F0000h. 5Ah to 5Fh: C0000h up, 16 KiB a nibble. Per nibble: bit 0
 * reads, bit 1 writes go to RAM. */
static void pam_tell(struct i440fx *host, unsigned first, unsigned last)
{
    if (!host->pam_changed)
        return;
    for (unsigned reg = first; reg <= last; reg++) {
        for (unsigned half = 0; half < 2; half++) {
            unsigned bits = host->dev.config[reg] >> (4 * half) & 3;
            gpa_t base = 0xc0000 + (reg - PAM0 - 1) * 0x8000ull + half * 0x4000;
            uint32_t size = 0x4000;
            if (reg == PAM0) {
                if (half == 0)
                    continue;
                base = 0xf0000;
                size = 0x10000;
            }
            host->pam_changed(host->pam_opaque, base, size, bits & 1, bits & 2);
        }
    }
}

static void i440fx_config_written(struct pci_device *dev, uint8_t offset, unsigned size)
{
    unsigned last = offset + size - 1;
    if (last >= PAM0 && offset <= PAM0 + 6)
        pam_tell(dev->opaque, offset < PAM0 ? PAM0 : offset, last > PAM0 + 6 ? PAM0 + 6 : last);
}

static void i440fx_plug(struct i440fx *host)
{
    struct pci_device *dev = &host->dev;
    pci_device_init(dev, "i440fx", 0x8086, 0x1237, 0x060000, 2);
    dev->config[PCI_COMMAND] = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    dev->writable[PCI_COMMAND] = 0x40;
    dev->config[PCI_STATUS] = 0x80;
    for (unsigned reg = 0x50; reg <= 0x58; reg++)
        dev->writable[reg] = 0xff; /* PMC configuration, DRAM timing */
    dev->writable[PAM0] = 0x30;
    for (unsigned reg = PAM0 + 1; reg <= PAM0 + 6; reg++)
        dev->writable[reg] = 0x33;
    for (unsigned reg = 0x60; reg <= 0x67; reg++)
        dev->writable[reg] = 0xff; /* DRAM row boundaries */
    dev->config[SMRAMC] = 0x02;
    dev->writable[SMRAMC] = 0x70;
    dev->config_written = i440fx_config_written;
    dev->opaque = host;
    pci_plug(host->bus, dev, PCI_DEVFN(0, 0));
}

/* --- Ports CF8h to CFFh --- */

/* CF8h is decoded as a dword only; anything else there is an ordinary access on the bus. */
static uint32_t address_read(void *opaque, uint16_t port, unsigned size)
{
    struct i440fx *host = opaque;
    if (size == 4)
        return host->regs.address;
    return port == PCI_RESET_CONTROL ? pci_bus_reset_control_read(host->bus) : 0xff;
}

static void address_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct i440fx *host = opaque;
    if (size == 4)
        host->regs.address = value & 0x80fffffc;
    else if (port == PCI_RESET_CONTROL)
        pci_bus_reset_control_write(host->bus, (uint8_t)value);
}

static const struct io_ops address_io = {.widths = 1 | 4, .read = address_read, .write = address_write};

/* Bus 0 is all there is; other buses read as all ones. */
static bool is_bus0(const struct i440fx *host)
{
    return (host->regs.address & CONFIG_ENABLE) && (host->regs.address >> 16 & 0xff) == 0;
}

static uint32_t data_read(void *opaque, uint16_t port, unsigned size)
{
    struct i440fx *host = opaque;
    if (!is_bus0(host))
        return 0xffffffffu;
    return pci_config_read(host->bus, host->regs.address >> 8, (host->regs.address & 0xfc) + (port & 3), size);
}

static void data_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct i440fx *host = opaque;
    if (is_bus0(host))
        pci_config_write(host->bus, host->regs.address >> 8, (host->regs.address & 0xfc) + (port & 3), size, value);
}

static const struct io_ops data_io = {.widths = 1 | 2 | 4, .read = data_read, .write = data_write};

static void i440fx_reset(void *opaque)
{
    struct i440fx *host = opaque;
    memset(&host->regs, 0, sizeof(host->regs));
    pci_bus_reset(host->bus);
    pam_tell(host, PAM0, PAM0 + 6);
}

/* --- State --- */

static const struct state_field i440fx_fields[] = {
    STATE_FIELD(i440fx_regs, address),
};
static const struct state_layout i440fx_layout = STATE_LAYOUT(1, i440fx_regs, i440fx_fields);

static void i440fx_pieces(void *opaque, struct state_pieces *pieces)
{
    struct i440fx *host = opaque;
    pci_bus_pieces(host->bus, pieces);
}

static void i440fx_before_save(void *opaque)
{
    struct i440fx *host = opaque;
    pci_bus_before_save(host->bus);
}

static bool i440fx_after_load(void *opaque)
{
    struct i440fx *host = opaque;
    pci_bus_after_load(host->bus);
    return true;
}

static void i440fx_dump(void *opaque, GString *out)
{
    struct i440fx *host = opaque;
    pci_bus_dump(host->bus, out);
}

/* --- Life --- */

struct i440fx *i440fx_new(void (*pam_changed)(void *opaque, gpa_t base, uint32_t size, bool readable, bool writable),
                          void *opaque)
{
    struct i440fx *host = g_new0(struct i440fx, 1);
    host->pam_changed = pam_changed;
    host->pam_opaque = opaque;
    host->bus = pci_bus_new();
    i440fx_plug(host);
    ioport_register(0xcf8, 4, &address_io, host, "pci-address");
    ioport_register(0xcfc, 4, &data_io, host, "pci-data");
    i440fx_reset(host);
    return host;
}

void i440fx_free(struct i440fx *host)
{
    ioport_unregister(0xcf8, 4);
    ioport_unregister(0xcfc, 4);
    pci_bus_free(host->bus);
    g_free(host);
}

struct pci_bus *i440fx_bus(struct i440fx *host)
{
    return host->bus;
}

static void i440fx_set_pam(void *opaque, gpa_t base, uint32_t size, bool readable, bool writable)
{
    mem_set_pam(base, size, readable, writable);
}

static void *i440fx_create(const struct device_site *site, const void *config, GError **error)
{
    struct i440fx *host = i440fx_new(i440fx_set_pam, NULL);
    void *apic = board_service(site->board, "apic");
    if (apic)
        pci_bus_set_msi(host->bus, lapic_msi, apic);
    pci_bus_set_request(host->bus, board_wire(site->board, "bus-request"));
    board_add_bus_hook(site->board, pci_bus_granted, host->bus);
    board_provide(site->board, "pci", host->bus);
    return host;
}

static void i440fx_destroy(void *dev)
{
    i440fx_free(dev);
}

const struct device_class i440fx_class = {
    .name = "i440FX-pcihost",
    .info = "pci",
    .help = "i440FX host bridge",
    .bus = BUS_SYSTEM,
    .internal = true,
    .provides_bus = BUS_PCI,
    .provides_count = 1,
    .create = i440fx_create,
    .destroy = i440fx_destroy,
    .reset = i440fx_reset,
    .layout = &i440fx_layout,
    .regs_offset = offsetof(struct i440fx, regs),
    .pieces = i440fx_pieces,
    .before_save = i440fx_before_save,
    .before_load = i440fx_before_save, /* what the bytes lack stays */
    .after_load = i440fx_after_load,
    .dump = i440fx_dump,
};
DEVICE_CLASS(i440fx_class);

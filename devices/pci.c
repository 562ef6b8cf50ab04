/* PCI bus 0: mechanism #1, i440FX (82441FX PMC) host bridge, PIIX3 (82371SB) ISA bridge.
 *
 * PCI Local Bus Specification 2.1; Intel 290549 (440FX), 290550 (PIIX3). The four PIRQ wires are the OR
 * of the devices' pins; slot s, pin p is wired to PIRQ (p + s - 1) mod 4.
 */
#include "pci.h"

#include <string.h>

#include "lapic.h"
#include "log.h"
#include "state.h"

#define HOST_BRIDGE PCI_DEVFN(0, 0)
#define ISA_BRIDGE  PCI_DEVFN(1, 0)

#define PAM0          0x59 /* to 5Fh: RE and WE, two bits per segment */
#define PIRQRC        0x60 /* PIIX3: A to D at 60h to 63h */
#define PIRQ_OFF      0x80u
#define CONFIG_ENABLE 0x80000000u

struct pci_regs {
    uint32_t address;   /* CF8h */
    uint8_t reset_ctrl; /* CF9h */
};

struct pci_bus {
    struct pci_regs regs;
    struct pci_wiring wiring;
    struct pci_device *device[256];
    struct pci_device host, isa;
    struct pci_saved *saved[256];
    uint16_t irq_level; /* what the interrupt controller was last told */
};

static uint32_t get32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, 4);
    return value;
}

static void put32(uint8_t *bytes, uint32_t value)
{
    memcpy(bytes, &value, 4);
}

static unsigned pirq_of(const struct pci_device *dev)
{
    return (dev->config[PCI_INTERRUPT_PIN] - 1u + (dev->devfn >> 3) - 1u) & 3;
}

/* Must be called when a pin or the routing may have changed. */
static void pci_update_irq(struct pci_bus *bus)
{
    unsigned pirq_level = 0;
    for (unsigned i = 0; i < 256; i++) {
        const struct pci_device *dev = bus->device[i];
        if (dev && dev->intx && dev->config[PCI_INTERRUPT_PIN] && !pci_msi_is_on(dev) &&
            !(dev->config[PCI_COMMAND + 1] & PCI_COMMAND_INTX_DISABLE >> 8))
            pirq_level |= 1u << pirq_of(dev);
    }
    uint16_t level = 0;
    for (unsigned pirq = 0; pirq < 4; pirq++) {
        uint8_t route = bus->isa.config[PIRQRC + pirq];
        if (!(route & PIRQ_OFF) && (pirq_level & 1u << pirq))
            level |= 1u << (route & 15);
    }
    level &= 0xdef8; /* IRQs 0, 1, 2, 8 and 13 are reserved: PIRQs do not reach them */
    for (unsigned irq = 0; irq < 16; irq++) {
        if ((level ^ bus->irq_level) & 1u << irq)
            irq_set(&bus->wiring.irq[irq], level >> irq & 1);
    }
    bus->irq_level = level;
}

void pci_set_intx(struct pci_device *dev, bool level)
{
    if (dev->intx == level)
        return;
    dev->intx = level;
    if (dev->bus)
        pci_update_irq(dev->bus);
}

static void bar_unmap(struct pci_bar *bar)
{
    if (!bar->mapped)
        return;
    if (bar->is_io)
        ioport_unregister((uint16_t)bar->base, (uint16_t)bar->size);
    else if (bar->moved)
        bar->moved(bar->opaque, bar->base, false);
    else
        mem_remove_mmio(bar->base);
    bar->mapped = false;
}

/* Where the BAR should be mapped now; false if it should not. */
static bool bar_wanted(const struct pci_device *dev, unsigned n, uint32_t *base)
{
    const struct pci_bar *bar = &dev->bar[n];
    unsigned command = dev->config[PCI_COMMAND];
    if (!bar->size || !(command & (bar->is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
        return false;
    *base = get32(&dev->config[PCI_BAR0 + 4 * n]) & (bar->is_io ? ~3u : ~15u);
    if (bar->is_io)
        return *base != 0 && *base + bar->size <= 0x10000;
    return *base != 0 && (uint64_t)*base + bar->size <= 0xfffff000u;
}

/* Moves the BARs to where the config spaces say. In two passes, as one may take another's old place. A BAR
 * put on top of something else stays unmapped: the board and the memory decode first. */
static void pci_update_maps(struct pci_bus *bus)
{
    uint32_t base;
    for (unsigned i = 0; i < 256; i++) {
        struct pci_device *dev = bus->device[i];
        for (unsigned n = 0; dev && n < 6; n++) {
            struct pci_bar *bar = &dev->bar[n];
            if (bar->mapped && (!bar_wanted(dev, n, &base) || base != bar->base))
                bar_unmap(bar);
        }
    }
    for (unsigned i = 0; i < 256; i++) {
        struct pci_device *dev = bus->device[i];
        for (unsigned n = 0; dev && n < 6; n++) {
            struct pci_bar *bar = &dev->bar[n];
            if (bar->mapped || !bar_wanted(dev, n, &base))
                continue;
            bool is_free =
                bar->is_io ? ioport_is_free((uint16_t)base, (uint16_t)bar->size) : mem_is_free(base, bar->size);
            if (!is_free) {
                log_guest("pci: %s BAR%u at %x collides with something else", dev->name, n, base);
                continue;
            }
            bar->base = base;
            bar->mapped = true;
            if (bar->is_io)
                ioport_register((uint16_t)base, (uint16_t)bar->size, bar->io, bar->opaque, dev->name);
            else if (bar->moved)
                bar->moved(bar->opaque, base, true);
            else
                mem_add_mmio(base, bar->size, bar->mmio, bar->opaque, dev->name);
        }
    }
}

struct pci_device *pci_find(struct pci_bus *bus, uint8_t devfn)
{
    return bus->device[devfn];
}

uint32_t pci_config_read(struct pci_bus *bus, uint8_t devfn, uint8_t offset, unsigned size)
{
    const struct pci_device *dev = bus->device[devfn];
    uint32_t value = 0xffffffffu;
    if (dev && offset + size <= 256)
        value = 0, memcpy(&value, &dev->config[offset], size);
    return value;
}

void pci_config_write(struct pci_bus *bus, uint8_t devfn, uint8_t offset, unsigned size, uint32_t value)
{
    struct pci_device *dev = bus->device[devfn];
    if (!dev || offset + size > 256)
        return;
    for (unsigned i = 0; i < size; i++) {
        uint8_t *byte = &dev->config[offset + i];
        uint8_t written = value >> (8 * i);
        uint8_t writable = dev->writable[offset + i];
        *byte = (*byte & ~writable) | (written & writable);
        *byte &= ~(written & dev->clearable[offset + i]);
    }
    if (dev->config_written)
        dev->config_written(dev, offset, size);
    if (offset < PCI_COMMAND + 2 || (offset < PCI_BAR0 + 24 && offset + size > PCI_BAR0))
        pci_update_maps(bus);
    pci_update_irq(bus);
}

void pci_device_init(struct pci_device *dev, const char *name, uint16_t vendor, uint16_t device, uint32_t class_code,
                     uint8_t revision)
{
    memset(dev, 0, sizeof(*dev));
    dev->name = name;
    memcpy(&dev->config[PCI_VENDOR_ID], &vendor, 2);
    memcpy(&dev->config[PCI_DEVICE_ID], &device, 2);
    dev->config[PCI_REVISION] = revision;
    dev->config[PCI_CLASS] = class_code;
    dev->config[PCI_CLASS + 1] = class_code >> 8;
    dev->config[PCI_CLASS + 2] = class_code >> 16;
    /* The subsystem by which firmware knows QEMU's board, which this one is modelled on. */
    memcpy(&dev->config[0x2c], "\xf4\x1a\x00\x11", 4);
    dev->config[PCI_STATUS + 1] = 0x02;               /* medium DEVSEL */
    dev->writable[PCI_COMMAND] = 0x47;                /* I/O, memory, master, parity response */
    dev->writable[PCI_COMMAND + 1] = 0x05;            /* SERR#, interrupt disable */
    dev->writable[0x0c] = dev->writable[0x0d] = 0xff; /* cache line size, latency timer */
    dev->writable[PCI_INTERRUPT_LINE] = 0xff;
    dev->clearable[PCI_STATUS + 1] = 0xf9;
}

static void bar_add(struct pci_device *dev, unsigned n, const struct pci_bar *bar)
{
    assert_always(n < 6 && bar->size && !(bar->size & (bar->size - 1)) && !dev->bus);
    assert_always(bar->size >= (bar->is_io ? 4 : PAGE_SIZE));
    dev->bar[n] = *bar;
    put32(&dev->config[PCI_BAR0 + 4 * n], bar->is_io ? 1 : 0);
    put32(&dev->writable[PCI_BAR0 + 4 * n], ~(bar->size - 1));
}

void pci_add_io_bar(struct pci_device *dev, unsigned bar, uint32_t size, const struct io_ops *ops, void *opaque)
{
    bar_add(dev, bar, &(struct pci_bar){.size = size, .is_io = true, .io = ops, .opaque = opaque});
}

void pci_add_mmio_bar(struct pci_device *dev, unsigned bar, uint32_t size, const struct mmio_ops *ops, void *opaque)
{
    bar_add(dev, bar, &(struct pci_bar){.size = size, .mmio = ops, .opaque = opaque});
}

void pci_add_ram_bar(struct pci_device *dev, unsigned bar, uint32_t size,
                     void (*moved)(void *opaque, uint32_t base, bool mapped), void *opaque)
{
    bar_add(dev, bar, &(struct pci_bar){.size = size, .moved = moved, .opaque = opaque});
    dev->config[PCI_BAR0 + 4 * bar] |= 8; /* prefetchable */
}

/* --- Message-signalled interrupts (PCI 2.2, 6.8.1) --- */

#define MSI_CAPABILITY 0x05
#define MSI_CONTROL    2
#define MSI_ADDRESS    4
#define MSI_DATA       12
#define MSI_ENABLE     0x01u
#define MSI_64BIT      0x80u

void pci_add_msi(struct pci_device *dev, uint8_t offset)
{
    static const uint32_t address_bits = ~3u;
    assert_always(!dev->bus && offset >= 0x40 && offset % 4 == 0 && offset <= 256 - 16);
    dev->msi = offset;
    dev->config[offset] = MSI_CAPABILITY;
    dev->config[offset + 1] = dev->config[PCI_CAPABILITIES];
    dev->config[PCI_CAPABILITIES] = offset;
    dev->config[PCI_STATUS] |= 0x10; /* there is a list of capabilities */
    dev->config[offset + MSI_CONTROL] = MSI_64BIT;
    dev->writable[offset + MSI_CONTROL] = MSI_ENABLE;
    memcpy(&dev->writable[offset + MSI_ADDRESS], &address_bits, 4);
    memset(&dev->writable[offset + MSI_ADDRESS + 4], 0xff, 4);
    memset(&dev->writable[offset + MSI_DATA], 0xff, 2);
}

bool pci_msi_is_on(const struct pci_device *dev)
{
    return dev->msi && (dev->config[dev->msi + MSI_CONTROL] & MSI_ENABLE);
}

void pci_msi_notify(struct pci_device *dev)
{
    const struct pci_wiring *wiring = dev->bus ? &dev->bus->wiring : NULL;
    if (!wiring || !wiring->msi || !pci_msi_is_on(dev) || !(dev->config[PCI_COMMAND] & PCI_COMMAND_MASTER))
        return;
    uint64_t address;
    memcpy(&address, &dev->config[dev->msi + MSI_ADDRESS], 8);
    wiring->msi(wiring->msi_opaque, address, get32(&dev->config[dev->msi + MSI_DATA]) & 0xffff);
}

void pci_plug(struct pci_bus *bus, struct pci_device *dev, uint8_t devfn)
{
    assert_always(!bus->device[devfn] && !dev->bus);
    dev->bus = bus;
    dev->devfn = devfn;
    bus->device[devfn] = dev;
    memcpy(dev->reset_config, dev->config, sizeof(dev->config));
}

void pci_unplug(struct pci_device *dev)
{
    for (unsigned n = 0; n < 6; n++)
        bar_unmap(&dev->bar[n]);
    dev->bus->device[dev->devfn] = NULL;
    pci_update_irq(dev->bus);
    dev->bus = NULL;
}

void pci_device_reset(struct pci_device *dev)
{
    memcpy(dev->config, dev->reset_config, sizeof(dev->config));
    dev->intx = false;
    if (dev->bus) {
        pci_update_maps(dev->bus);
        pci_update_irq(dev->bus);
    }
}

/* --- The two bridges --- */

/* 59h: low nibble reserved, high nibble F0000h. 5Ah to 5Fh: C0000h up, 16 KiB a nibble. Per nibble: bit 0
 * reads, bit 1 writes go to RAM. */
static void pam_tell(struct pci_bus *bus, unsigned first, unsigned last)
{
    if (!bus->wiring.pam_changed)
        return;
    for (unsigned reg = first; reg <= last; reg++) {
        for (unsigned half = 0; half < 2; half++) {
            unsigned bits = bus->host.config[reg] >> (4 * half) & 3;
            gpa_t base = 0xc0000 + (reg - PAM0 - 1) * 0x8000ull + half * 0x4000;
            uint32_t size = 0x4000;
            if (reg == PAM0) {
                if (half == 0)
                    continue;
                base = 0xf0000;
                size = 0x10000;
            }
            bus->wiring.pam_changed(bus->wiring.pam_opaque, base, size, bits & 1, bits & 2);
        }
    }
}

static void host_config_written(struct pci_device *dev, uint8_t offset, unsigned size)
{
    unsigned last = offset + size - 1;
    if (last >= PAM0 && offset <= PAM0 + 6)
        pam_tell(dev->bus, offset < PAM0 ? PAM0 : offset, last > PAM0 + 6 ? PAM0 + 6 : last);
}

static void bridges_init(struct pci_bus *bus)
{
    pci_device_init(&bus->host, "i440fx", 0x8086, 0x1237, 0x060000, 2);
    bus->host.config[PCI_COMMAND] = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    bus->host.writable[PCI_COMMAND] = 0x40;
    bus->host.config[PCI_STATUS] = 0x80;
    for (unsigned reg = 0x50; reg <= 0x58; reg++)
        bus->host.writable[reg] = 0xff; /* PMC configuration, DRAM timing */
    bus->host.writable[PAM0] = 0x30;
    for (unsigned reg = PAM0 + 1; reg <= PAM0 + 6; reg++)
        bus->host.writable[reg] = 0x33;
    for (unsigned reg = 0x60; reg <= 0x67; reg++)
        bus->host.writable[reg] = 0xff; /* DRAM row boundaries */
    bus->host.config[0x72] = 0x02;      /* SMRAMC */
    bus->host.writable[0x72] = 0x70;
    bus->host.config_written = host_config_written;
    pci_plug(bus, &bus->host, HOST_BRIDGE);

    pci_device_init(&bus->isa, "piix3-isa", 0x8086, 0x7000, 0x060100, 0);
    bus->isa.config[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    bus->isa.writable[PCI_COMMAND] = 0;
    bus->isa.config[PCI_HEADER_TYPE] = 0x80; /* IDE, USB, PM follow as functions */
    bus->isa.config[0x4c] = 0x4d;            /* I/O recovery */
    bus->isa.writable[0x4c] = 0x7f;
    bus->isa.config[0x4e] = 0x03; /* X-bus chip select */
    bus->isa.writable[0x4e] = bus->isa.writable[0x4f] = 0xff;
    for (unsigned pirq = 0; pirq < 4; pirq++) {
        bus->isa.config[PIRQRC + pirq] = PIRQ_OFF;
        bus->isa.writable[PIRQRC + pirq] = 0x8f;
    }
    bus->isa.config[0x69] = 0x02; /* top of memory */
    bus->isa.writable[0x69] = 0xfe;
    pci_plug(bus, &bus->isa, ISA_BRIDGE);
}

/* --- Ports CF8h to CFFh --- */

/* CF8h is decoded as a dword only; the byte at CF9h is the PIIX3's reset control: bit 1 chooses hard
 * reset, the rising edge of bit 2 does it. */
static uint32_t address_read(void *opaque, uint16_t port, unsigned size)
{
    struct pci_bus *bus = opaque;
    if (size == 4)
        return bus->regs.address;
    return port == 0xcf9 ? bus->regs.reset_ctrl : 0xff;
}

static void address_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct pci_bus *bus = opaque;
    if (size == 4) {
        bus->regs.address = value & 0x80fffffc;
    } else if (port == 0xcf9) {
        bool rises = value & ~bus->regs.reset_ctrl & 0x04;
        bus->regs.reset_ctrl = value & 0x06;
        if (rises)
            irq_set(&bus->wiring.reset, true);
    }
}

static const struct io_ops address_io = {.widths = 1 | 4, .read = address_read, .write = address_write};

/* Bus 0 is all there is; other buses read as all ones. */
static bool is_bus0(const struct pci_bus *bus)
{
    return (bus->regs.address & CONFIG_ENABLE) && (bus->regs.address >> 16 & 0xff) == 0;
}

static uint32_t data_read(void *opaque, uint16_t port, unsigned size)
{
    struct pci_bus *bus = opaque;
    if (!is_bus0(bus))
        return 0xffffffffu;
    return pci_config_read(bus, bus->regs.address >> 8, (bus->regs.address & 0xfc) + (port & 3), size);
}

static void data_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct pci_bus *bus = opaque;
    if (is_bus0(bus))
        pci_config_write(bus, bus->regs.address >> 8, (bus->regs.address & 0xfc) + (port & 3), size, value);
}

static const struct io_ops data_io = {.widths = 1 | 2 | 4, .read = data_read, .write = data_write};

static void pci_reset(void *dev)
{
    struct pci_bus *bus = dev;
    memset(&bus->regs, 0, sizeof(bus->regs));
    for (unsigned i = 0; i < 256; i++) {
        if (bus->device[i])
            pci_device_reset(bus->device[i]);
    }
    pam_tell(bus, PAM0, PAM0 + 6);
}

static const struct state_field pci_fields[] = {
    STATE_FIELD(pci_regs, address),
    STATE_FIELD(pci_regs, reset_ctrl),
};
static const struct state_layout pci_layout = STATE_LAYOUT(1, pci_regs, pci_fields);

/* What of a device on the bus can change, on its way out or in. */
struct pci_saved {
    uint8_t config[256], intx;
};

static void pci_before_save(void *dev)
{
    struct pci_bus *bus = dev;
    for (unsigned i = 0; i < 256; i++) {
        const struct pci_device *d = bus->device[i];
        if (!d)
            continue;
        if (!bus->saved[i])
            bus->saved[i] = g_new0(struct pci_saved, 1);
        memcpy(bus->saved[i]->config, d->config, sizeof(d->config));
        bus->saved[i]->intx = d->intx;
    }
}

static void pci_pieces(void *dev, struct state_pieces *pieces)
{
    struct pci_bus *bus = dev;
    for (unsigned i = 0; i < 256; i++) {
        if (bus->device[i])
            state_add_bytes(pieces, "config", i, bus->saved[i], sizeof(*bus->saved[i]));
    }
}

static bool pci_after_load(void *dev)
{
    struct pci_bus *bus = dev;
    for (unsigned n = 0; n < 256; n++) {
        struct pci_device *d = bus->device[n];
        if (!d)
            continue;
        d->intx = bus->saved[n]->intx;
        /* Only what a guest can change: identity and BAR sizes stay this machine's. */
        for (unsigned i = 0; i < 256; i++) {
            uint8_t mask = d->writable[i] | d->clearable[i];
            d->config[i] = (d->config[i] & ~mask) | (bus->saved[n]->config[i] & mask);
        }
        if (d->config_written)
            d->config_written(d, 0x40, 0xc0);
    }
    pci_update_maps(bus);
    pci_update_irq(bus);
    return true;
}

static const char *class_name(const struct pci_device *dev)
{
    static const struct {
        uint16_t class;
        const char *name;
    } names[] = {{0x0100, "SCSI controller"}, {0x0101, "IDE controller"},   {0x0200, "Ethernet controller"},
                 {0x0300, "VGA controller"},  {0x0401, "Audio controller"}, {0x0600, "Host bridge"},
                 {0x0601, "ISA bridge"},      {0x0680, "Bridge"},           {0x0c03, "USB controller"}};
    uint16_t class = (uint16_t)(dev->config[PCI_CLASS + 2] << 8 | dev->config[PCI_CLASS + 1]);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (names[i].class == class)
            return names[i].name;
    }
    return "Device";
}

static void bar_dump(const struct pci_device *dev, unsigned n, GString *out)
{
    const struct pci_bar *bar = &dev->bar[n];
    uint32_t base = get32(&dev->config[PCI_BAR0 + 4 * n]) & (bar->is_io ? ~3u : ~15u);
    if (!bar->size)
        return;
    g_string_append_printf(out, "      BAR%u: %s at 0x%0*x [0x%0*x]%s\n", n,
                           bar->is_io                          ? "I/O"
                           : dev->config[PCI_BAR0 + 4 * n] & 8 ? "32 bit prefetchable memory"
                                                               : "32 bit memory",
                           bar->is_io ? 4 : 8, base, bar->is_io ? 4 : 8, base + bar->size - 1,
                           bar->mapped ? "." : ", off.");
}

/* As QEMU's info pci, and what the command register says. */
static void pci_dump(void *dev, GString *out)
{
    struct pci_bus *bus = dev;
    for (unsigned i = 0; i < 256; i++) {
        const struct pci_device *d = bus->device[i];
        if (!d)
            continue;
        g_string_append_printf(out, "  Bus  0, device %3u, function %u:\n    %s: PCI device %02x%02x:%02x%02x (%s)\n",
                               i >> 3, i & 7, class_name(d), d->config[1], d->config[0], d->config[3], d->config[2],
                               d->name);
        g_string_append_printf(out, "      PCI subsystem %02x%02x:%02x%02x\n", d->config[PCI_SUBSYSTEM + 1],
                               d->config[PCI_SUBSYSTEM], d->config[PCI_SUBSYSTEM + 3], d->config[PCI_SUBSYSTEM + 2]);
        if (d->config[PCI_INTERRUPT_PIN])
            g_string_append_printf(out, "      IRQ %u, pin %c%s\n", d->config[PCI_INTERRUPT_LINE],
                                   'A' + d->config[PCI_INTERRUPT_PIN] - 1, d->intx ? ", raised" : "");
        for (unsigned n = 0; n < 6; n++)
            bar_dump(d, n, out);
        g_string_append_printf(out, "      command=%02x%02x%s\n", d->config[PCI_COMMAND + 1], d->config[PCI_COMMAND],
                               pci_msi_is_on(d) ? " msi" : "");
    }
}

struct pci_bus *pci_new(const struct pci_wiring *wiring)
{
    struct pci_bus *bus = g_new0(struct pci_bus, 1);
    bus->wiring = *wiring;
    bridges_init(bus);
    ioport_register(0xcf8, 4, &address_io, bus, "pci-address");
    ioport_register(0xcfc, 4, &data_io, bus, "pci-data");
    pci_reset(bus);
    return bus;
}

void pci_free(struct pci_bus *bus)
{
    ioport_unregister(0xcf8, 4);
    ioport_unregister(0xcfc, 4);
    for (unsigned i = 0; i < 256; i++) {
        if (bus->device[i])
            pci_unplug(bus->device[i]);
        g_free(bus->saved[i]);
    }
    g_free(bus);
}

static void pci_pam_changed(void *opaque, gpa_t base, uint32_t size, bool readable, bool writable)
{
    mem_set_pam(base, size, readable, writable);
}

static void *pci_create(const struct device_site *site, const void *config, GError **error)
{
    struct pci_wiring wiring = {.reset = board_wire(site->board, "reset"), .pam_changed = pci_pam_changed};
    if ((wiring.msi_opaque = board_service(site->board, "apic")))
        wiring.msi = lapic_msi;
    for (unsigned i = 0; i < 16; i++)
        wiring.irq[i] = board_pci_irq(site->board, i);
    struct pci_bus *bus = pci_new(&wiring);
    board_provide(site->board, "pci", bus);
    return bus;
}

static void pci_destroy(void *dev)
{
    pci_free(dev);
}

const struct device_class pci_class = {
    .name = "i440FX-pcihost",
    .info = "pci",
    .help = "i440FX host bridge and PIIX3 ISA bridge",
    .bus = BUS_SYSTEM,
    .internal = true,
    .provides_bus = BUS_PCI,
    .provides_count = 1,
    .create = pci_create,
    .destroy = pci_destroy,
    .reset = pci_reset,
    .layout = &pci_layout,
    .regs_offset = offsetof(struct pci_bus, regs),
    .pieces = pci_pieces,
    .before_save = pci_before_save,
    .before_load = pci_before_save, /* what the bytes lack stays */
    .after_load = pci_after_load,
    .dump = pci_dump,
};
DEVICE_CLASS(pci_class);

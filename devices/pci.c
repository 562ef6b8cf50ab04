/* PCI bus 0: who is on it, where their BARs are, the PIRQ wires. The bridges are i440fx.c and piix3.c, messages
 * pci_msi.c.
 *
 * PCI Local Bus Specification 2.1. The four PIRQ wires are the OR of the devices' pins; slot s, pin p is wired to
 * PIRQ (p + s - 1) mod 4.
 */
#include "pci.h"

#include <string.h>

#include "log.h"
#include "state.h"

/* What of a device on the bus can change, on its way out or in. */
struct pci_saved {
    uint8_t config[256], intx;
};

#define STATUS_INTX 0x08u

struct pci_bus {
    struct pci_device *device[256];
    struct pci_saved *saved[256];
    struct irq pirq[PCI_PIRQS];
    uint8_t pirq_level; /* what the router was last told, a bit a wire */
    void (*msi)(void *opaque, uint64_t address, uint32_t data);
    void *msi_opaque;
    struct pci_works works;
    const struct io_ops *reset_control;
    void *reset_control_opaque;
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

/* Must be called when a pin, or whether it is driven, may have changed. */
static void pci_update_irq(struct pci_bus *bus)
{
    uint8_t level = 0;
    for (unsigned i = 0; i < 256; i++) {
        const struct pci_device *dev = bus->device[i];
        if (dev && dev->intx && dev->config[PCI_INTERRUPT_PIN] && !pci_messages_are_on(dev) &&
            !(dev->config[PCI_COMMAND + 1] & PCI_COMMAND_INTX_DISABLE >> 8))
            level |= 1u << pirq_of(dev);
    }
    uint8_t changed = level ^ bus->pirq_level;
    bus->pirq_level = level;
    for (unsigned pirq = 0; pirq < PCI_PIRQS; pirq++) {
        if (changed & 1u << pirq)
            irq_set(&bus->pirq[pirq], level >> pirq & 1);
    }
}

/* PCI 2.3, 6.2.3: whether it asks for an interrupt, also while the command register keeps that from its pin. */
static void intx_status_update(struct pci_device *dev)
{
    dev->config[PCI_STATUS] = (uint8_t)((dev->config[PCI_STATUS] & ~STATUS_INTX) | (dev->intx ? STATUS_INTX : 0));
}

void pci_set_intx(struct pci_device *dev, bool level)
{
    if (dev->intx == level)
        return;
    dev->intx = level;
    intx_status_update(dev);
    if (dev->bus)
        pci_update_irq(dev->bus);
}

#define ROM_ENABLE  1u
#define ROM_ADDRESS 0xfffff800u

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

static void rom_unmap(struct pci_device *dev)
{
    if (dev->rom_base)
        mem_remove_mmio(dev->rom_base);
    dev->rom_base = 0;
}

/* Where the expansion ROM should be mapped now; 0: nowhere. */
static uint32_t rom_wanted(const struct pci_device *dev)
{
    uint32_t bar = get32(&dev->config[PCI_ROM_BAR]), base = bar & ROM_ADDRESS;
    if (!dev->rom || !(bar & ROM_ENABLE) || !(dev->config[PCI_COMMAND] & PCI_COMMAND_MEMORY))
        return 0;
    return (uint64_t)base + dev->rom->size <= 0xfffff000u ? base : 0;
}

static void rom_map(struct pci_device *dev)
{
    uint32_t base = rom_wanted(dev);
    if (!base || dev->rom_base)
        return;
    if (!mem_is_free(base, dev->rom->size)) {
        log_guest("pci: %s ROM at %x collides with something else", dev->name, base);
        return;
    }
    dev->rom_base = base;
    mem_map_block(base, dev->rom->size, dev->rom, 0, true, dev->name);
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
        return *base != 0 && (uint64_t)*base + bar->size <= 0x10000;
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
        if (dev && dev->rom_base && rom_wanted(dev) != dev->rom_base)
            rom_unmap(dev);
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
        if (dev)
            rom_map(dev);
    }
}

struct pci_device *pci_find(struct pci_bus *bus, uint8_t devfn)
{
    return bus->device[devfn];
}

uint32_t pci_config_read(struct pci_bus *bus, uint8_t devfn, uint8_t offset, unsigned size)
{
    struct pci_device *dev = bus->device[devfn];
    uint32_t value = 0xffffffffu;
    if (dev && offset + size <= 256 && dev->config_reading)
        dev->config_reading(dev, offset, size);
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
    if (offset < PCI_COMMAND + 2 || (offset < PCI_BAR0 + 24 && offset + size > PCI_BAR0) ||
        (offset < PCI_ROM_BAR + 4 && offset + size > PCI_ROM_BAR))
        pci_update_maps(bus);
    pci_update_irq(bus);
    pci_msix_update(dev);
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

/* --- Expansion ROM (PCI 2.1, 6.3) --- */

#define ROM_PCI_DATA 0x18 /* where the offset of "PCIR" is */
#define ROM_BLOCK    512u

/* The image names the chip it was made for; its checksum, of all bytes, stays what it was. */
static void rom_take_identity(uint8_t *image, uint32_t size, const struct pci_device *dev)
{
    if (size < 0x1a || image[0] != 0x55 || image[1] != 0xaa)
        return;
    uint32_t data = image[ROM_PCI_DATA] | (uint32_t)image[ROM_PCI_DATA + 1] << 8;
    if (data + 8 > size || memcmp(&image[data], "PCIR", 4) != 0)
        return;
    uint8_t sum = 0;
    for (unsigned i = 0; i < 4; i++)
        sum += image[data + 4 + i] - dev->config[PCI_VENDOR_ID + i];
    memcpy(&image[data + 4], &dev->config[PCI_VENDOR_ID], 4);
    image[6] += sum; /* behind the jump at 3, where ROM builders leave a byte for it */
}

bool pci_add_rom(struct pci_device *dev, const struct board_rom *rom, GError **error)
{
    uint32_t size = PAGE_SIZE;
    if (!rom)
        return true;
    while (size < rom->size)
        size *= 2;
    dev->rom = mem_block_new(size, error);
    if (!dev->rom)
        return false;
    memcpy(dev->rom->host, rom->bytes, rom->size);
    rom_take_identity(dev->rom->host, rom->size, dev);
    put32(&dev->writable[PCI_ROM_BAR], (~(size - 1) & ROM_ADDRESS) | ROM_ENABLE);
    return true;
}

/* --- The device as master --- */

static uint32_t dma_piece(uint64_t address, uint32_t len)
{
    uint32_t piece = PAGE_SIZE - (uint32_t)(address & (PAGE_SIZE - 1));
    return piece < len ? piece : len;
}

static bool dma_reaches(const struct pci_device *dev, uint64_t address)
{
    if (!(dev->config[PCI_COMMAND] & PCI_COMMAND_MASTER))
        return false;
    if (address >> PAGE_SHIFT < MEM_PAGES && mem_ptr(address))
        return true;
    log_guest("pci: %s reaches for %llx, where there is no memory", dev->name, (unsigned long long)address);
    return false;
}

void pci_dma_read(const struct pci_device *dev, uint64_t address, void *buffer, uint32_t len)
{
    for (uint8_t *to = buffer; len > 0;) {
        uint32_t piece = dma_piece(address, len);
        if (dma_reaches(dev, address))
            mem_read(address, to, piece);
        else
            memset(to, 0xff, piece);
        address += piece;
        to += piece;
        len -= piece;
    }
}

void pci_dma_write(const struct pci_device *dev, uint64_t address, const void *buffer, uint32_t len)
{
    for (const uint8_t *from = buffer; len > 0;) {
        uint32_t piece = dma_piece(address, len);
        if (dma_reaches(dev, address))
            mem_write(address, from, piece);
        address += piece;
        from += piece;
        len -= piece;
    }
}

const uint8_t *pci_dma_ptr(const struct pci_device *dev, uint64_t address, uint32_t len)
{
    if (!(dev->config[PCI_COMMAND] & PCI_COMMAND_MASTER) || !len || address >= guest_mem.ram_below ||
        len > guest_mem.ram_below - address)
        return NULL;
    for (uint64_t page = address >> PAGE_SHIFT; page <= (address + len - 1) >> PAGE_SHIFT; page++) {
        if (!mem_is_ram(page << PAGE_SHIFT))
            return NULL;
    }
    return mem_ptr(address);
}

void pci_bus_message(const struct pci_device *dev, uint64_t address, uint32_t data)
{
    const struct pci_bus *bus = dev->bus;
    if (bus && bus->msi && (dev->config[PCI_COMMAND] & PCI_COMMAND_MASTER))
        bus->msi(bus->msi_opaque, address, data);
}

void pci_add_capability(struct pci_device *dev, uint8_t id, uint8_t offset, const void *body, uint8_t len)
{
    assert_always(!dev->bus && offset >= 0x40 && offset % 4 == 0 && offset + 2 + len <= 256);
    dev->config[offset] = id;
    dev->config[offset + 1] = dev->config[PCI_CAPABILITIES];
    if (len)
        memcpy(&dev->config[offset + 2], body, len);
    dev->config[PCI_CAPABILITIES] = offset;
    dev->config[PCI_STATUS] |= 0x10; /* there is a list of capabilities */
}

void pci_plug(struct pci_bus *bus, struct pci_device *dev, uint8_t devfn)
{
    assert_always(!bus->device[devfn] && !dev->bus);
    dev->bus = bus;
    dev->devfn = devfn;
    bus->device[devfn] = dev;
    memcpy(dev->reset_config, dev->config, sizeof(dev->config));
    /* A slot with more than function 0 says so there (6.2.1), or nobody looks for the others. */
    struct pci_device *first = bus->device[devfn & ~7u];
    for (unsigned function = 1; first && function < 8; function++) {
        if (bus->device[(devfn & ~7u) | function]) {
            first->config[PCI_HEADER_TYPE] |= 0x80;
            first->reset_config[PCI_HEADER_TYPE] |= 0x80;
        }
    }
}

void pci_unplug(struct pci_device *dev)
{
    for (unsigned n = 0; n < 6; n++)
        bar_unmap(&dev->bar[n]);
    rom_unmap(dev);
    dev->bus->device[dev->devfn] = NULL;
    pci_update_irq(dev->bus);
    dev->bus = NULL;
    pci_msix_free(dev);
}

void pci_device_reset(struct pci_device *dev)
{
    memcpy(dev->config, dev->reset_config, sizeof(dev->config));
    dev->intx = false;
    pci_msix_reset(dev);
    if (dev->bus) {
        pci_update_maps(dev->bus);
        pci_update_irq(dev->bus);
    }
}

/* --- The bus, for its host bridge --- */

struct pci_bus *pci_bus_new(void)
{
    return g_new0(struct pci_bus, 1);
}

void pci_bus_free(struct pci_bus *bus)
{
    for (unsigned i = 0; i < 256; i++) {
        if (bus->device[i])
            pci_unplug(bus->device[i]);
        g_free(bus->saved[i]);
    }
    pci_works_clear(&bus->works);
    g_free(bus);
}

void pci_bus_set_router(struct pci_bus *bus, const struct irq pirq[PCI_PIRQS])
{
    memcpy(bus->pirq, pirq, sizeof(bus->pirq));
}

void pci_bus_set_msi(struct pci_bus *bus, void (*msi)(void *opaque, uint64_t address, uint32_t data), void *opaque)
{
    bus->msi = msi;
    bus->msi_opaque = opaque;
}

struct pci_works *pci_bus_works(struct pci_bus *bus)
{
    return &bus->works;
}

void pci_bus_claim_reset_control(struct pci_bus *bus, const struct io_ops *ops, void *opaque)
{
    bus->reset_control = ops;
    bus->reset_control_opaque = opaque;
}

uint32_t pci_bus_reset_control_read(struct pci_bus *bus)
{
    return bus->reset_control ? bus->reset_control->read(bus->reset_control_opaque, PCI_RESET_CONTROL, 1) : 0xff;
}

void pci_bus_reset_control_write(struct pci_bus *bus, uint8_t value)
{
    if (bus->reset_control)
        bus->reset_control->write(bus->reset_control_opaque, PCI_RESET_CONTROL, 1, value);
}

void pci_bus_reset(struct pci_bus *bus)
{
    for (unsigned i = 0; i < 256; i++) {
        if (bus->device[i])
            pci_device_reset(bus->device[i]);
    }
}

void pci_bus_before_save(struct pci_bus *bus)
{
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

void pci_bus_pieces(struct pci_bus *bus, struct state_pieces *pieces)
{
    for (unsigned i = 0; i < 256; i++) {
        if (!bus->device[i])
            continue;
        state_add_bytes(pieces, "config", i, bus->saved[i], sizeof(*bus->saved[i]));
        pci_msix_pieces(bus->device[i], pieces);
    }
}

void pci_bus_after_load(struct pci_bus *bus)
{
    for (unsigned n = 0; n < 256; n++) {
        struct pci_device *d = bus->device[n];
        if (!d)
            continue;
        d->intx = bus->saved[n]->intx;
        intx_status_update(d);
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
void pci_bus_dump(const struct pci_bus *bus, GString *out)
{
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
                               pci_msi_is_on(d)    ? " msi"
                               : pci_msix_is_on(d) ? " msi-x"
                                                   : "");
    }
}

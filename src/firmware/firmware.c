/* The board set up as a BIOS leaves it: interrupt controllers, timer, PCI resources, ACPI base.
 *
 * IBM AT Technical Reference (BIOS listing) for the legacy parts; PCI BIOS 2.1 conventions.
 */
#include "firmware.h"

#include "acpi_tables.h"
#include "ioport.h"

#define IO_FIRST   0xc000u
#define MMIO_FIRST 0xe0000000u

static void outb(uint16_t port, uint8_t value)
{
    ioport_write(port, 1, value);
}

static void legacy_init(void)
{
    /* Vectors 08h and 70h, everything masked, as after the power-on self-test without users. */
    static const uint8_t icw[2][4] = {{0x11, 0x08, 0x04, 0x01}, {0x11, 0x70, 0x02, 0x01}};
    for (unsigned chip = 0; chip < 2; chip++) {
        uint16_t port = chip ? 0xa0 : 0x20;
        outb(port, icw[chip][0]);
        for (unsigned i = 1; i < 4; i++)
            outb(port + 1, icw[chip][i]);
        outb(port + 1, 0xff);
    }
    outb(0xd6, 0xc0); /* the first DMA controller behind channel 4 */
    outb(0xd4, 0x00);
    outb(0x43, 0x34); /* counter 0: mode 2, 65536 */
    outb(0x40, 0);
    outb(0x40, 0);
    outb(0x43, 0x54); /* counter 1: refresh, low byte, mode 2, 18 */
    outb(0x41, 18);
}

/* The size a BAR asks for, found by writing ones, as the specification says. 0: not there. */
static uint32_t bar_size(struct pci_bus *pci, uint8_t devfn, uint8_t offset, bool *is_io)
{
    uint32_t old = pci_config_read(pci, devfn, offset, 4);
    pci_config_write(pci, devfn, offset, 4, 0xffffffffu);
    uint32_t mask = pci_config_read(pci, devfn, offset, 4);
    pci_config_write(pci, devfn, offset, 4, old);
    *is_io = mask & 1;
    mask &= *is_io ? ~3u : ~15u;
    return mask ? (uint32_t)(0u - mask) : 0;
}

static void pci_assign(struct pci_bus *pci, uint32_t *next_io, uint32_t *next_mmio, uint8_t devfn)
{
    static const uint8_t pirq_irq[4] = {10, 10, 11, 11};
    uint16_t command = 0;

    for (unsigned n = 0; n < 6; n++) {
        uint8_t offset = (uint8_t)(PCI_BAR0 + 4 * n);
        bool is_io;
        uint32_t size = bar_size(pci, devfn, offset, &is_io);
        if (!size)
            continue;
        uint32_t *next = is_io ? next_io : next_mmio;
        uint32_t align = !is_io && size < PAGE_SIZE ? PAGE_SIZE : size;
        uint32_t base = (*next + align - 1) & ~(align - 1);
        *next = base + align;
        pci_config_write(pci, devfn, offset, 4, base);
        command |= is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    }
    uint8_t pin = (uint8_t)pci_config_read(pci, devfn, PCI_INTERRUPT_PIN, 1);
    if (pin && pin <= 4 && !pci_config_read(pci, devfn, PCI_INTERRUPT_LINE, 1))
        pci_config_write(pci, devfn, PCI_INTERRUPT_LINE, 1, pirq_irq[(pin - 1u + (devfn >> 3) - 1u) & 3]);
    if (command)
        pci_config_write(pci, devfn, PCI_COMMAND, 2, pci_config_read(pci, devfn, PCI_COMMAND, 2) | command);
}

static void pci_init(struct pci_bus *pci)
{
    const uint8_t host = PCI_DEVFN(0, 0), isa = PCI_DEVFN(1, 0), ide = PCI_DEVFN(1, 1), pm = PCI_DEVFN(1, 3);
    uint32_t next_io = IO_FIRST, next_mmio = MMIO_FIRST;

    pci_config_write(pci, host, 0x59, 1, 0x30); /* C0000h to FFFFFh is RAM */
    for (uint8_t pam = 0x5a; pam <= 0x5f; pam++)
        pci_config_write(pci, host, pam, 1, 0x33);

    for (unsigned devfn = 0; devfn < 256; devfn++) {
        if (pci_find(pci, (uint8_t)devfn))
            pci_assign(pci, &next_io, &next_mmio, (uint8_t)devfn);
    }
    pci_config_write(pci, isa, 0x60, 4, 0x0b0b0a0a);
    outb(0x4d1, 0x0e); /* IRQs 9 (SCI), 10 and 11 are level triggered */

    if (pci_find(pci, ide)) {
        pci_config_write(pci, ide, 0x40, 4, 0x80008000); /* both channels are decoded */
        pci_config_write(pci, ide, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    }
    if (pci_find(pci, pm)) {
        pci_config_write(pci, pm, 0x40, 4, ACPI_PM_BASE | 1);
        pci_config_write(pci, pm, 0x80, 1, 1);
    }
}

void firmware_init_board(struct pci_bus *pci)
{
    legacy_init();
    pci_init(pci);
    if (pci_find(pci, PCI_DEVFN(1, 3))) /* -no-acpi */
        acpi_tables_install();
}

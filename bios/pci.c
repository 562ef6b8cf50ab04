/* PCI: configuration, resources and interrupt lines, shadow RAM, and INT 1Ah function B1h.
 *
 * PCI BIOS Specification 2.1; Intel 82441FX (PAM) and 82371SB (PIRQ routing). One bus.
 */
#include "bios.h"

#define VENDOR         0x00
#define COMMAND        0x04
#define CLASS_REVISION 0x08
#define HEADER_TYPE    0x0e
#define BAR0           0x10
#define ROM_BAR        0x30
#define IRQ_LINE       0x3c
#define IRQ_PIN        0x3d

#define CMD_IO     1u
#define CMD_MEMORY 2u
#define CMD_MASTER 4u

#define IO_FIRST   0xc000u
#define MMIO_FIRST 0xe0000000u
#define MMIO_END   0xfec00000u
#define PM_BASE    0x600u /* where V86 monitors that know QEMU's PC let a BIOS at it */

#define PIIX_ISA  0x70008086u /* PIIX3, device:vendor */
#define PIIX4_ISA 0x71108086u
#define PIIX4_PM  0x71138086u

uint8_t pci_max_bus;

static uint32_t next_io = IO_FIRST, next_mmio = MMIO_FIRST;

uint32_t pci_read(uint16_t bdf, uint8_t reg, unsigned size)
{
    outl(0xcf8, 0x80000000u | (uint32_t)bdf << 8 | (reg & 0xfcu));
    uint16_t port = (uint16_t)(0xcfc + (reg & 3));
    return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
}

void pci_write(uint16_t bdf, uint8_t reg, unsigned size, uint32_t value)
{
    outl(0xcf8, 0x80000000u | (uint32_t)bdf << 8 | (reg & 0xfcu));
    uint16_t port = (uint16_t)(0xcfc + (reg & 3));
    if (size == 1)
        outb(port, (uint8_t)value);
    else if (size == 2)
        outw(port, (uint16_t)value);
    else
        outl(port, value);
}

static bool is_present(uint16_t bdf)
{
    uint16_t vendor = (uint16_t)pci_read(bdf, VENDOR, 2);
    return vendor != 0xffff && vendor != 0;
}

int pci_next(unsigned bdf)
{
    for (; bdf < 256; bdf++) {
        uint16_t first = (uint16_t)(bdf & ~7u);
        if (!is_present(first) || ((bdf & 7) && !(pci_read(first, HEADER_TYPE, 1) & 0x80)))
            bdf |= 7; /* nothing in the slot, or one function only */
        else if (is_present((uint16_t)bdf))
            return (int)bdf;
    }
    return -1;
}

int pci_find_class(uint32_t class_mask, uint32_t class_code, unsigned index)
{
    for (int bdf = pci_next(0); bdf >= 0; bdf = pci_next((unsigned)bdf + 1)) {
        if (((pci_read((uint16_t)bdf, CLASS_REVISION, 4) >> 8) & class_mask) == class_code && !index--)
            return bdf;
    }
    return -1;
}

int pci_find_device(uint16_t vendor, uint16_t device, unsigned index)
{
    for (int bdf = pci_next(0); bdf >= 0; bdf = pci_next((unsigned)bdf + 1)) {
        if (pci_read((uint16_t)bdf, VENDOR, 4) == ((uint32_t)device << 16 | vendor) && !index--)
            return bdf;
    }
    return -1;
}

/* --- Shadow RAM --- */

void pci_shadow_roms(void)
{
    if (!is_present(0))
        return; /* a board without PCI: its ROMs are there, shadowed by the board itself */
    for (uint8_t pam = 0x5a; pam <= 0x5d; pam++)
        pci_write(0, pam, 1, 0x33);
    /* What a reset left there is no ROM any more: each is copied there anew. */
    for (uint32_t at = 0xc0000; at < 0xe0000; at += 0x800)
        poke32((uint16_t)(at >> 4), 0, 0);
}

void pci_lock_roms(uint32_t used_end)
{
    /* One nibble is 16 KiB from C0000h. What ends inside one keeps all of it read-only; from there to our own there is
     * nothing, where memory managers look for room. All of that reads FFh. */
    uint32_t end = (used_end + 0x3fff) & ~0x3fffu;
    for (uint32_t at = used_end; at < end; at += 4)
        poke32((uint16_t)(at >> 4), (uint16_t)(at & 15), 0xffffffff);
    for (uint32_t at = 0xc0000; at < 0xe0000; at += 0x4000) {
        uint8_t pam = (uint8_t)(0x5a + ((at - 0xc0000) >> 15)), shift = (at >> 14 & 1) ? 4 : 0;
        uint32_t old = pci_read(0, pam, 1);
        pci_write(0, pam, 1, (old & ~(0xfu << shift)) | (at < end ? 1u << shift : 0));
    }
    pci_write(0, 0x59, 1, 0x10);
}

/* --- Resources --- */

static void assign_bars(uint16_t bdf)
{
    uint32_t command = pci_read(bdf, COMMAND, 2) & ~(CMD_IO | CMD_MEMORY);
    unsigned bars = (pci_read(bdf, HEADER_TYPE, 1) & 0x7f) == 0 ? 6 : 0;

    pci_write(bdf, COMMAND, 2, command);
    for (unsigned n = 0; n < bars; n++) {
        uint8_t reg = (uint8_t)(BAR0 + 4 * n);
        pci_write(bdf, reg, 4, 0xffffffffu);
        uint32_t mask = pci_read(bdf, reg, 4);
        if (!mask)
            continue;
        bool is_io = mask & 1, is_64 = !is_io && (mask & 6) == 4;
        uint32_t size = is_io ? (~(mask & ~3u) + 1) & 0xffff : ~(mask & ~15u) + 1;
        uint32_t *next = is_io ? &next_io : &next_mmio;
        uint32_t align = !is_io && size < 0x1000 ? 0x1000 : size;
        uint32_t base = (*next + align - 1) & ~(align - 1);
        if (!size || base + size > (is_io ? 0x10000u : MMIO_END) || base < *next) {
            dprintf("pci %02x.%u: no room for BAR %u\n", bdf >> 3, bdf & 7u, n);
            pci_write(bdf, reg, 4, 0);
        } else {
            *next = base + align;
            pci_write(bdf, reg, 4, base);
            command |= is_io ? CMD_IO : CMD_MEMORY;
        }
        if (is_64)
            pci_write(bdf, (uint8_t)(BAR0 + 4 * ++n), 4, 0);
    }
    uint32_t class = pci_read(bdf, CLASS_REVISION, 4) >> 16;
    if (class == 0x0300)
        command |= CMD_IO | CMD_MEMORY;
    if (class == 0x0101) {
        command |= CMD_IO | CMD_MASTER;
        pci_write(bdf, 0x40, 2, 0x8000); /* PIIX: both channels answer at their ISA ports */
        pci_write(bdf, 0x42, 2, 0x8000);
    }
    pci_write(bdf, COMMAND, 2, command);

    uint8_t pin = (uint8_t)pci_read(bdf, IRQ_PIN, 1);
    static const uint8_t pirq_irq[4] = {10, 10, 11, 11};
    if (pin && pin <= 4)
        pci_write(bdf, IRQ_LINE, 1, pirq_irq[(pin - 1u + (bdf >> 3) - 1u) & 3]);
}

static void init_bridge(uint16_t bdf)
{
    pci_write(bdf, 0x60, 4, 0x0b0b0a0a);
    outb(0x4d0, 0);
    outb(0x4d1, 0x0e); /* 9 (SCI), 10 and 11 are level triggered */
}

static void init_pm(uint16_t bdf)
{
    pci_write(bdf, IRQ_LINE, 1, 9);
    pci_write(bdf, 0x40, 4, PM_BASE | 1);
    pci_write(bdf, 0x80, 1, 1);
    pm_base = PM_BASE;
}

void pci_init(void)
{
    for (int bdf = pci_next(0); bdf >= 0; bdf = pci_next((unsigned)bdf + 1)) {
        uint32_t id = pci_read((uint16_t)bdf, VENDOR, 4);
        assign_bars((uint16_t)bdf);
        if (id == PIIX_ISA || id == PIIX4_ISA)
            init_bridge((uint16_t)bdf);
        if (id == PIIX4_PM)
            init_pm((uint16_t)bdf);
        dprintf("pci %02x.%u: %04x:%04x class %04x irq %u\n", bdf >> 3, bdf & 7, id & 0xffff, id >> 16,
                pci_read((uint16_t)bdf, CLASS_REVISION, 4) >> 16, pci_read((uint16_t)bdf, IRQ_LINE, 1));
    }
}

/* Gives the ROM BAR an address; 0: there is none. The caller turns it off again with pci_write(ROM_BAR, 0). */
uint32_t pci_map_rom(uint16_t bdf, uint32_t *size)
{
    pci_write(bdf, ROM_BAR, 4, 0xfffff800u);
    uint32_t mask = pci_read(bdf, ROM_BAR, 4) & 0xfffff800u;
    if (!mask || (pci_read(bdf, HEADER_TYPE, 1) & 0x7f)) {
        pci_write(bdf, ROM_BAR, 4, 0);
        return 0;
    }
    *size = ~mask + 1;
    uint32_t base = (next_mmio + *size - 1) & ~(*size - 1);
    pci_write(bdf, ROM_BAR, 4, base | 1);
    pci_write(bdf, COMMAND, 2, pci_read(bdf, COMMAND, 2) | CMD_MEMORY);
    return base;
}

/* --- INT 1Ah, B1xx --- */

#define PCI_OK               0x00
#define PCI_UNSUPPORTED      0x81
#define PCI_BAD_VENDOR       0x83
#define PCI_NOT_FOUND        0x86
#define PCI_BAD_REGISTER     0x87
#define PCI_BUFFER_TOO_SMALL 0x89

static void pci_return(struct bregs *regs, uint8_t code)
{
    regs->ah = code;
    set_cf(regs, code != PCI_OK);
}

static void pci_found(struct bregs *regs, int bdf)
{
    if (bdf < 0) {
        pci_return(regs, PCI_NOT_FOUND);
        return;
    }
    regs->bx = (uint16_t)bdf;
    pci_return(regs, PCI_OK);
}

/* 08-0A read, 0B-0D write: bytes, words, dwords. */
static void pci_access(struct bregs *regs)
{
    unsigned kind = (regs->al - 8u) % 3, size = 1u << kind;
    bool is_write = regs->al >= 0x0b;
    if (regs->di > 0xff || (regs->di & (size - 1))) {
        pci_return(regs, PCI_BAD_REGISTER);
        return;
    }
    if (is_write) {
        pci_write(regs->bx, (uint8_t)regs->di, size, regs->ecx);
    } else {
        uint32_t value = pci_read(regs->bx, (uint8_t)regs->di, size);
        if (size == 1)
            regs->cl = (uint8_t)value;
        else if (size == 2)
            regs->cx = (uint16_t)value;
        else
            regs->ecx = value;
    }
    pci_return(regs, PCI_OK);
}

static const void *routing;
static uint16_t routing_len;

void pci_set_routing(const void *slots, uint16_t len)
{
    routing = slots;
    routing_len = len;
}

void pci_bios(struct bregs *regs)
{
    switch (regs->al) {
    case 0x01:
        regs->edx = 0x20494350; /* "PCI " */
        regs->al = 0x01;        /* mechanism 1, no special cycles */
        regs->bx = 0x0210;
        regs->cl = pci_max_bus;
        pci_return(regs, PCI_OK);
        break;
    case 0x02:
        if (regs->dx == 0xffff)
            pci_return(regs, PCI_BAD_VENDOR);
        else
            pci_found(regs, pci_find_device(regs->dx, regs->cx, regs->si));
        break;
    case 0x03:
        pci_found(regs, pci_find_class(0xffffff, regs->ecx & 0xffffff, regs->si));
        break;
    case 0x08:
    case 0x09:
    case 0x0a:
    case 0x0b:
    case 0x0c:
    case 0x0d:
        pci_access(regs);
        break;
    case 0x0e: { /* ES:DI: size, offset, segment of a buffer */
        uint16_t room = peek16(regs->es, regs->di), off = peek16(regs->es, (uint16_t)(regs->di + 2));
        uint16_t seg = peek16(regs->es, (uint16_t)(regs->di + 4));
        poke16(regs->es, regs->di, routing_len);
        if (room < routing_len) {
            pci_return(regs, PCI_BUFFER_TOO_SMALL);
            break;
        }
        far_copy(seg, off, DATA_SEG, (uint16_t)(uint32_t)routing, routing_len);
        regs->bx = 0x0c00; /* IRQs 10 and 11 are PCI's alone */
        pci_return(regs, PCI_OK);
        break;
    }
    default:
        log_unknown("int 1a pci", regs);
        pci_return(regs, PCI_UNSUPPORTED);
        break;
    }
}

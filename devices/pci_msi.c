/* Message-signalled interrupts of PCI devices: MSI (PCI 2.2, 6.8.1) and MSI-X (PCI 3.0, 6.8.2).
 *
 * A BAR with an MSI-X table: the first half has the vectors, 16 bytes each, the second half the pending bits.
 */
#include <string.h>

#include "log.h"
#include "pci.h"

static uint32_t get32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, 4);
    return value;
}

static uint64_t get64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, 8);
    return value;
}

/* --- MSI --- */

#define MSI_CAPABILITY 0x05
#define MSI_CONTROL    2
#define MSI_ADDRESS    4
#define MSI_DATA       12
#define MSI_ENABLE     0x01u
#define MSI_64BIT      0x80u

void pci_add_msi(struct pci_device *dev, uint8_t offset)
{
    static const uint32_t address_bits = ~3u;
    static const uint8_t body[14] = {MSI_64BIT};
    pci_add_capability(dev, MSI_CAPABILITY, offset, body, sizeof(body));
    dev->msi = offset;
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
    if (pci_msi_is_on(dev))
        pci_bus_message(dev, get64(&dev->config[dev->msi + MSI_ADDRESS]),
                        get32(&dev->config[dev->msi + MSI_DATA]) & 0xffff);
}

/* --- MSI-X --- */

#define MSIX_CAPABILITY 0x11
#define MSIX_CONTROL    2 /* its high byte has the bits that can be written */
#define MSIX_ENABLE     0x80u
#define MSIX_MASK_ALL   0x40u
#define MSIX_TABLE      4
#define MSIX_PBA        8

#define VECTOR_SIZE    16u
#define VECTOR_DATA    8
#define VECTOR_CONTROL 12
#define VECTOR_MASKED  1u

struct pci_msix {
    uint8_t offset; /* of the capability */
    unsigned vectors;
    uint32_t half;  /* of the BAR, in bytes */
    uint8_t *bytes; /* the BAR's: vectors, and at half the pending bits */
};

bool pci_msix_is_on(const struct pci_device *dev)
{
    return dev->msix && (dev->config[dev->msix->offset + MSIX_CONTROL + 1] & MSIX_ENABLE);
}

bool pci_messages_are_on(const struct pci_device *dev)
{
    return pci_msi_is_on(dev) || pci_msix_is_on(dev);
}

static bool is_masked(const struct pci_device *dev, unsigned vector)
{
    const struct pci_msix *msix = dev->msix;
    return (dev->config[msix->offset + MSIX_CONTROL + 1] & MSIX_MASK_ALL) ||
           (msix->bytes[VECTOR_SIZE * vector + VECTOR_CONTROL] & VECTOR_MASKED);
}

static void vector_send(const struct pci_device *dev, unsigned vector)
{
    const uint8_t *entry = &dev->msix->bytes[VECTOR_SIZE * vector];
    pci_bus_message(dev, get64(entry) & ~3ull, get32(entry + VECTOR_DATA));
}

void pci_msix_notify(struct pci_device *dev, unsigned vector)
{
    if (!pci_msix_is_on(dev) || vector >= dev->msix->vectors)
        return;
    if (is_masked(dev, vector))
        dev->msix->bytes[dev->msix->half + vector / 8] |= (uint8_t)(1u << vector % 8);
    else
        vector_send(dev, vector);
}

/* Sends it if it waited for its mask to go away. */
static void vector_update(struct pci_device *dev, unsigned vector)
{
    uint8_t *pending = &dev->msix->bytes[dev->msix->half + vector / 8], bit = (uint8_t)(1u << vector % 8);
    if ((*pending & bit) && pci_msix_is_on(dev) && !is_masked(dev, vector)) {
        *pending &= (uint8_t)~bit;
        vector_send(dev, vector);
    }
}

void pci_msix_update(struct pci_device *dev)
{
    for (unsigned i = 0; dev->msix && i < dev->msix->vectors; i++)
        vector_update(dev, i);
}

static uint64_t msix_read(void *opaque, uint32_t offset, unsigned size)
{
    const struct pci_device *dev = opaque;
    uint64_t value = 0;
    if (offset + size <= 2 * dev->msix->half)
        memcpy(&value, &dev->msix->bytes[offset], size);
    return value;
}

/* The pending bits cannot be written, nor what of a vector's control is reserved. */
static void msix_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    struct pci_device *dev = opaque;
    uint32_t end = VECTOR_SIZE * dev->msix->vectors;
    for (unsigned i = 0; i < size && offset + i < end; i++) {
        unsigned within = (offset + i) % VECTOR_SIZE;
        uint8_t mask = within == VECTOR_CONTROL ? VECTOR_MASKED : within > VECTOR_CONTROL ? 0 : 0xff;
        dev->msix->bytes[offset + i] = (uint8_t)(value >> (8 * i)) & mask;
    }
    if (offset < end)
        vector_update(dev, offset / VECTOR_SIZE);
}

void pci_add_msix(struct pci_device *dev, uint8_t offset, unsigned bar, unsigned vectors)
{
    static const struct mmio_ops ops = {msix_read, msix_write};
    assert_always(vectors >= 1 && vectors <= PCI_MSIX_VECTORS && !dev->msix);
    struct pci_msix *msix = g_new0(struct pci_msix, 1);
    msix->offset = offset;
    msix->vectors = vectors;
    msix->half = PAGE_SIZE / 2;
    while (msix->half < VECTOR_SIZE * vectors)
        msix->half *= 2;
    msix->bytes = g_malloc0(2ul * msix->half);
    dev->msix = msix;
    uint8_t body[10] = {(uint8_t)(vectors - 1), (uint8_t)((vectors - 1) >> 8)};
    uint32_t table = bar, pba = msix->half | bar;
    memcpy(body + MSIX_TABLE - 2, &table, 4);
    memcpy(body + MSIX_PBA - 2, &pba, 4);
    pci_add_capability(dev, MSIX_CAPABILITY, offset, body, sizeof(body));
    dev->writable[offset + MSIX_CONTROL + 1] = MSIX_ENABLE | MSIX_MASK_ALL;
    pci_add_mmio_bar(dev, bar, 2 * msix->half, &ops, dev);
    pci_msix_reset(dev);
}

void pci_msix_reset(struct pci_device *dev)
{
    if (!dev->msix)
        return;
    memset(dev->msix->bytes, 0, 2ul * dev->msix->half);
    for (unsigned i = 0; i < dev->msix->vectors; i++)
        dev->msix->bytes[VECTOR_SIZE * i + VECTOR_CONTROL] = VECTOR_MASKED;
}

void pci_msix_free(struct pci_device *dev)
{
    if (dev->msix)
        g_free(dev->msix->bytes);
    g_free(dev->msix);
    dev->msix = NULL;
}

/* Vectors without a meaning cannot be: any byte of them is what a guest could have written. Pending bits of vectors
 * that are not there are never looked at. */
void pci_msix_pieces(struct pci_device *dev, struct state_pieces *pieces)
{
    if (dev->msix)
        state_add_bytes(pieces, "msix", dev->devfn, dev->msix->bytes, 2 * dev->msix->half);
}

/* pc-testdev (hw/misc/pc-testdev.c of QEMU says what it does):
 *
 *   E0h to E3h     a register of 32 bits, any width and offset
 *   E4h            flush a page: nothing to do here, mappings are kept right by themselves
 *   E8h to EBh     the same register, byte by byte however wide the access
 *   2000h + n      interrupt line n takes the level written
 *   FF000000h      64 KiB of memory behind a device's interface: each access traps
 *
 * A reset leaves what a test has written.
 */
#include <string.h>

#include "device.h"
#include "ioapic.h"
#include "ioport.h"
#include "mem.h"

#define MEMORY_BASE 0xff000000u
#define MEMORY_SIZE 0x10000u
#define IRQ_PORT    0x2000
#define IRQ_COUNT   24

struct testdev {
    uint8_t port[4];
    uint8_t memory[MEMORY_SIZE];
    struct irq irq[IRQ_COUNT];
};

static uint32_t port_read(void *opaque, uint16_t port, unsigned size)
{
    const struct testdev *testdev = opaque;
    uint32_t value = 0;
    unsigned at = port & 3;
    memcpy(&value, testdev->port + at, MIN(size, 4 - at));
    return value;
}

static void port_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct testdev *testdev = opaque;
    unsigned at = port & 3;
    memcpy(testdev->port + at, &value, MIN(size, 4 - at));
}

static void irq_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct testdev *testdev = opaque;
    irq_set(&testdev->irq[port - IRQ_PORT], value != 0);
}

static uint32_t nothing_read(void *opaque, uint16_t port, unsigned size)
{
    return 0;
}

static void nothing_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
}

static uint64_t memory_read(void *opaque, uint32_t offset, unsigned size)
{
    const struct testdev *testdev = opaque;
    uint64_t value = 0;
    memcpy(&value, testdev->memory + offset, size);
    return value;
}

static void memory_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    struct testdev *testdev = opaque;
    memcpy(testdev->memory + offset, &value, size);
}

static const struct io_ops word_io = {.widths = 1 | 2 | 4, .read = port_read, .write = port_write};
static const struct io_ops byte_io = {.widths = 1, .read = port_read, .write = port_write};
static const struct io_ops flush_io = {.widths = 1 | 2 | 4, .read = nothing_read, .write = nothing_write};
static const struct io_ops irq_io = {.widths = 1 | 2 | 4, .read = nothing_read, .write = irq_write};
static const struct mmio_ops memory_io = {memory_read, memory_write};

static void *testdev_create(const struct device_site *site, const void *config, GError **error)
{
    static const struct {
        uint16_t first, count;
    } ranges[] = {{0xe0, 12}, {IRQ_PORT, IRQ_COUNT}};
    for (unsigned i = 0; i < G_N_ELEMENTS(ranges); i++) {
        if (!isa_ports_claim(site, ranges[i].first, ranges[i].count, error))
            return NULL;
    }
    if (!mem_is_free(MEMORY_BASE, MEMORY_SIZE)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: its memory at %x is taken; give it once only",
                    site->id, MEMORY_BASE);
        return NULL;
    }
    struct testdev *testdev = g_new0(struct testdev, 1);
    struct ioapic *ioapic = board_service(site->board, "ioapic");
    for (int n = 0; n < IRQ_COUNT; n++)
        testdev->irq[n] =
            n < 16 || !ioapic ? board_isa_irq(site->board, n & 15) : (struct irq){ioapic_set_line, ioapic, n};
    ioport_register(0xe0, 4, &word_io, testdev, "pc-testdev");
    ioport_register(0xe4, 4, &flush_io, testdev, "pc-testdev-flush");
    ioport_register(0xe8, 4, &byte_io, testdev, "pc-testdev-byte");
    ioport_register(IRQ_PORT, IRQ_COUNT, &irq_io, testdev, "pc-testdev-irq");
    mem_add_mmio(MEMORY_BASE, MEMORY_SIZE, &memory_io, testdev, "pc-testdev");
    return testdev;
}

static void testdev_destroy(void *dev)
{
    ioport_unregister(0xe0, 4);
    ioport_unregister(0xe4, 4);
    ioport_unregister(0xe8, 4);
    ioport_unregister(IRQ_PORT, IRQ_COUNT);
    mem_remove_mmio(MEMORY_BASE);
    g_free(dev);
}

static void testdev_pieces(void *dev, struct state_pieces *pieces)
{
    struct testdev *testdev = dev;
    state_add_bytes(pieces, "port", 0, testdev->port, sizeof(testdev->port));
    state_add_bytes(pieces, "memory", 0, testdev->memory, sizeof(testdev->memory));
}

const struct device_class testdev_class = {
    .name = "pc-testdev",
    .help = "what kvm-unit-tests use to try accesses and interrupt lines",
    .bus = BUS_ISA,
    .create = testdev_create,
    .destroy = testdev_destroy,
    .pieces = testdev_pieces,
};
DEVICE_CLASS(testdev_class);

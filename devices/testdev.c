/* pc-testdev (hw/misc/pc-testdev.c of QEMU says what it does):
 *
 *   E0h to E3h     a register of 32 bits, any width and offset
 *   E4h            flush a page: nothing to do here, mappings are kept right by themselves
 *   E8h to EBh     the same register, byte by byte however wide the access
 *   2000h + n      interrupt line n takes the level written
 *   FF000000h      64 KiB of memory behind a device's interface: each access traps
 *
 * Stateless but for what a test writes: nothing to reset or save.
 */
#include "testdev.h"

#include <string.h>

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

struct testdev *testdev_new(const struct irq irq[IRQ_COUNT])
{
    struct testdev *testdev = g_new0(struct testdev, 1);
    memcpy(testdev->irq, irq, sizeof testdev->irq);
    ioport_register(0xe0, 4, &word_io, testdev, "pc-testdev");
    ioport_register(0xe4, 4, &flush_io, testdev, "pc-testdev-flush");
    ioport_register(0xe8, 4, &byte_io, testdev, "pc-testdev-byte");
    ioport_register(IRQ_PORT, IRQ_COUNT, &irq_io, testdev, "pc-testdev-irq");
    mem_add_mmio(MEMORY_BASE, MEMORY_SIZE, &memory_io, testdev, "pc-testdev");
    return testdev;
}

void testdev_free(struct testdev *testdev)
{
    ioport_unregister(0xe0, 4);
    ioport_unregister(0xe4, 4);
    ioport_unregister(0xe8, 4);
    ioport_unregister(IRQ_PORT, IRQ_COUNT);
    mem_remove_mmio(MEMORY_BASE);
    g_free(testdev);
}

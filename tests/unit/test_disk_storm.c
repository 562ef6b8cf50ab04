/* Random register accesses to IDE, floppy and DMA controllers: nothing a guest writes may end the process, and
 * after a reset each drive works again. More and other numbers: test_disk_storm --seed=R02S...; -m slow.
 */
#include "board.h"
#include "devices/fdc.h"
#include "devices/ide.h"
#include "mem.h"
#include "ram_block.h"

#define BM 0xc000

static struct wire wires[3];
static unsigned bus_requests;
static struct pci_bus *pci;
static struct ide *ide;
static struct dma8237 *dma;
static struct fdc *fdc;
static struct ram_block disk, slave, disc, floppy;

static void settle(unsigned steps)
{
    struct ram_block *all[] = {&disk, &slave, &disc, &floppy};
    for (unsigned i = 0; i < steps; i++) {
        for (unsigned k = 0; k < G_N_ELEMENTS(all); k++) {
            if (all[k]->count)
                ram_block_complete(all[k]);
        }
        if (bus_requests) {
            bus_requests = 0;
            ide_bus_granted(ide);
            fdc_bus_granted(fdc);
        }
    }
}

static const uint16_t ports[] = {0x1f0,   0x1f1,   0x1f2, 0x1f3, 0x1f4, 0x1f5, 0x1f6, 0x1f7, 0x3f6,  0x170,  0x171,
                                 0x172,   0x173,   0x174, 0x175, 0x176, 0x177, 0x376, BM,    BM + 2, BM + 4, BM + 8,
                                 BM + 10, BM + 12, 0x3f2, 0x3f4, 0x3f5, 0x3f5, 0x3f5, 0x3f7, 0x04,   0x05,   0x08,
                                 0x0a,    0x0b,    0x0c,  0x0d,  0x0f,  0x81,  0xd4,  0xd6};

/* Commands that lead somewhere, more often than chance would. */
static uint8_t byte_for(uint16_t port)
{
    static const uint8_t ide_commands[] = {0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0xc4, 0xc5, 0xc8, 0xca,
                                           0xa0, 0xa1, 0xec, 0xef, 0xe7, 0x91, 0xc6, 0x08, 0x90, 0xb0, 0x40};
    static const uint8_t fdc_commands[] = {0x46, 0xe6, 0xc5, 0x4d, 0x4a, 0x07, 0x0f, 0x08, 0x03, 0x42,
                                           0x16, 0x13, 0x4c, 0x8f, 0x0e, 0x00, 0x01, 0x02, 0x12};
    uint8_t byte = (uint8_t)g_test_rand_int();
    if (g_test_rand_int_range(0, 3) == 0)
        return byte;
    if (port == 0x1f7 || port == 0x177)
        return ide_commands[byte % sizeof(ide_commands)];
    if (port == 0x1f6 || port == 0x176)
        return byte & 0x5f;
    if (port == 0x3f5)
        return fdc_commands[byte % sizeof(fdc_commands)];
    if (port == 0x3f2)
        return 0x1c | (byte & 1);
    if (port == 0x0a)
        return byte & 3;
    if ((port & 0xf) >= 2 && (port & 0xf) <= 5)
        return byte & 3;
    return byte;
}

static void step(void)
{
    uint16_t port = ports[g_test_rand_int_range(0, G_N_ELEMENTS(ports))];
    unsigned kind = (unsigned)g_test_rand_int_range(0, 40);

    if (kind < 18) {
        outb(port, byte_for(port));
    } else if (kind < 24) {
        inb(port);
    } else if (kind < 27) { /* a whole sector, or a packet */
        unsigned words = kind == 24 ? 6 : 256;
        uint16_t data = g_test_rand_bit() ? 0x1f0 : 0x170;
        for (unsigned i = 0; i < words; i++)
            ioport_write(data, 2, (uint32_t)g_test_rand_int() & (kind == 24 ? 0x033f : 0xffff));
    } else if (kind < 30) {
        uint16_t data = g_test_rand_bit() ? 0x1f0 : 0x170;
        for (unsigned i = 0; i < 1024; i++)
            ioport_read(data, kind == 28 ? 4 : 2);
    } else if (kind < 32) { /* a descriptor table */
        uint32_t words[4] = {(uint32_t)g_test_rand_int() & 0x1fffff, (uint32_t)g_test_rand_int() & 0x8000ffff,
                             (uint32_t)g_test_rand_int() & 0x1fffff, (uint32_t)g_test_rand_int() | 0x80000000u};
        mem_write(0x10000, words, sizeof(words));
        ioport_write(g_test_rand_bit() ? BM + 4 : BM + 12, 4, 0x10000);
    } else if (kind < 34) {
        vclock_fake_advance(g_test_rand_int_range(0, 20000000));
    } else if (kind == 34) {
        disc.block.has_medium = !disc.block.has_medium;
        disc.block.size = disc.block.has_medium ? 400 * 2048 : 0;
        ide_medium_changed(ide, 2);
    } else if (kind == 35) {
        floppy.block.has_medium = !floppy.block.has_medium;
        floppy.block.size = floppy.block.has_medium ? 1474560 : 0;
        fdc_medium_changed(fdc, 0);
    } else if (kind == 36) {
        disk.error = floppy.error = disc.error = g_test_rand_int_range(0, 4) == 0 ? EIO : 0;
    } else {
        settle(4);
    }
    if (g_test_rand_int_range(0, 3) == 0)
        settle(2);
}

static void reset_works(void)
{
    disk.error = disc.error = floppy.error = 0;
    ide_class.reset(ide);
    fdc_class.reset(fdc); /* a LOCKed configuration without polling would survive the software reset */
    settle(100);
    outb(0x3f6, 0);
    outb(0x1f6, 0xe0);
    outb(0x1f2, 1);
    outb(0x1f3, 7);
    outb(0x1f4, 0);
    outb(0x1f5, 0);
    outb(0x1f7, 0x20);
    settle(10);
    g_assert_cmphex(inb(0x1f7), ==, 0x58);
    for (unsigned i = 0; i < 256; i++) {
        uint16_t want;
        memcpy(&want, disk.bytes + 7 * 512 + 2 * i, 2);
        g_assert_cmphex(ioport_read(0x1f0, 2), ==, want);
    }
    outb(0x3f2, 0x00);
    outb(0x3f2, 0x1c);
    vclock_fake_advance(10 * MS);
    settle(100);
    outb(0x3f5, 0x08);
    g_assert_cmphex(inb(0x3f5), ==, 0xc0);
    inb(0x3f5);
    pci_config_write(pci, PCI_DEVFN(1, 1), PCI_BAR0 + 16, 4, BM);
    pci_config_write(pci, PCI_DEVFN(1, 1), PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static void test_storm(void)
{
    GError *error = NULL;
    unsigned rounds = g_test_slow() ? 2000 : 60;

    ioport_clear();
    vclock_fake_start();
    mem_init(2 * MiB, &error);
    g_assert_no_error(error);
    ram_block_init(&disk, 2048 * 512);
    ram_block_init(&slave, 999 * 512);
    ram_block_init(&disc, 400 * 2048);
    ram_block_init(&floppy, 1474560);
    pci = pci_bus_new();
    struct irq bus_request = {pulse_count, &bus_requests, 0};
    struct ide_wiring ide_wiring = {{wire_irq(&wires[0]), wire_irq(&wires[1])}, bus_request};
    struct ide_drive_config config[4] = {
        {.kind = IDE_DISK, .block = &disk.block, .cylinders = 2, .heads = 16, .sectors = 63},
        {.kind = IDE_DISK, .block = &slave.block, .cylinders = 2, .heads = 16, .sectors = 31},
        {.kind = IDE_CD, .block = &disc.block}};
    ide = ide_new(pci, &ide_wiring, config);
    dma = dma8237_new();
    struct block *const floppies[2] = {&floppy.block, NULL};
    struct fdc_wiring fdc_wiring = {wire_irq(&wires[2]), bus_request, dma};
    fdc = fdc_new(&fdc_wiring, floppies);
    outb(0xd6, 0xc0);
    outb(0xd4, 0x00);
    for (unsigned round = 0; round < rounds; round++) {
        reset_works();
        for (unsigned i = 0; i < 2000; i++)
            step();
        /* A save in the middle of it all loads, and the machine goes on. */
        GByteArray *ide_bytes = device_saved(&ide_class, ide), *fdc_bytes = device_saved(&fdc_class, fdc);
        settle(50);
        if (disc.block.has_medium && floppy.block.has_medium) {
            g_assert_true(device_load(&ide_class, ide, ide_bytes->data, ide_bytes->len));
            g_assert_true(device_load(&fdc_class, fdc, fdc_bytes->data, fdc_bytes->len));
        }
        g_byte_array_unref(ide_bytes);
        g_byte_array_unref(fdc_bytes);
        settle(50);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/disk_storm/registers", test_storm);
    return g_test_run();
}

/* IDE: registers, ATA commands through PIO and the bus master, resets, errors. */
#include "board.h"
#include "devices/ide.h"
#include "devices/ide_dma.h"
#include "mem.h"
#include "ram_block.h"

#define BASE         0x1f0
#define CTL          0x3f6
#define IDE          PCI_DEVFN(1, 1)
#define BM           0xc000
#define DISK_SECTORS (20 * 16 * 63)

#define BSY  0x80
#define DRDY 0x40
#define DRQ  0x08
#define ERR  0x01

static struct wire irq[2];
static unsigned bus_requests;
static struct pci_bus *pci;
static struct ide *ide;
static struct ram_block disk;

static void create(enum ide_kind slave)
{
    struct ide_wiring ide_wiring = {{wire_irq(&irq[0]), wire_irq(&irq[1])}, {pulse_count, &bus_requests, 0}};
    struct ide_drive_config config[4] = {
        {.kind = IDE_DISK, .block = &disk.block, .cylinders = 20, .heads = 16, .sectors = 63},
        {.kind = slave, .block = &disk.block, .cylinders = 20, .heads = 16, .sectors = 63}};
    memset(irq, 0, sizeof(irq));
    bus_requests = 0;
    pci = pci_bus_new();
    ide = ide_new(pci, &ide_wiring, config);
    pci_config_write(pci, IDE, PCI_BAR0 + 16, 4, BM);
    pci_config_write(pci, IDE, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static void destroy(void)
{
    ide_free(ide);
    pci_bus_free(pci);
}

static void setup(void)
{
    if (ide) {
        destroy();
        g_free(disk.bytes);
    }
    ioport_clear();
    vclock_fake_start();
    ram_block_init(&disk, DISK_SECTORS * 512);
    create(IDE_NONE);
}

/* Ends all requests and grants the bus until nothing moves any more. */
static void settle(void)
{
    for (unsigned i = 0; i < 1000; i++) {
        if (disk.count)
            ram_block_complete(&disk);
        else if (bus_requests)
            bus_requests = 0, ide_bus_granted(ide);
        else
            return;
    }
    g_assert_not_reached();
}

static void address_lba(uint32_t lba, uint8_t count)
{
    outb(BASE + 2, count);
    outb(BASE + 3, lba & 0xff);
    outb(BASE + 4, lba >> 8 & 0xff);
    outb(BASE + 5, lba >> 16 & 0xff);
    outb(BASE + 6, 0xe0 | lba >> 24);
}

static void address_lba48(uint64_t lba, uint16_t count)
{
    outb(BASE + 2, count >> 8);
    outb(BASE + 3, lba >> 24 & 0xff);
    outb(BASE + 4, lba >> 32 & 0xff);
    outb(BASE + 5, lba >> 40 & 0xff);
    address_lba(lba & 0xffffff, count & 0xff);
}

static void command(uint8_t code)
{
    outb(BASE + 7, code);
    settle();
}

static uint8_t status(void)
{
    return inb(CTL);
}

static void read_data(uint8_t *bytes, unsigned len)
{
    for (unsigned i = 0; i < len; i += 2) {
        uint16_t word = (uint16_t)ioport_read(BASE, 2);
        memcpy(bytes + i, &word, 2);
    }
    settle();
}

static void write_data(const uint8_t *bytes, unsigned len)
{
    for (unsigned i = 0; i < len; i += 2) {
        uint16_t word;
        memcpy(&word, bytes + i, 2);
        ioport_write(BASE, 2, word);
    }
    settle();
}

static uint16_t identify_word(const uint8_t *words, unsigned n)
{
    return (uint16_t)(words[2 * n] | words[2 * n + 1] << 8);
}

static void identify(uint8_t words[512])
{
    outb(BASE + 6, 0xe0);
    command(0xec);
    g_assert_cmphex(status() & (BSY | DRQ | ERR), ==, DRQ);
    read_data(words, 512);
}

static void assert_error(uint8_t error)
{
    g_assert_cmphex(status() & (BSY | DRQ | ERR), ==, ERR);
    g_assert_cmphex(inb(BASE + 1), ==, error);
}

/* --- Presence and resets --- */

static void test_pci_function(void)
{
    setup();
    g_assert_cmphex(pci_config_read(pci, IDE, 0, 4), ==, 0x70108086);
    g_assert_cmphex(pci_config_read(pci, IDE, 8, 4), ==, 0x01018000);
}

static void test_signature_after_power_on(void)
{
    setup();
    g_assert_cmphex(inb(BASE + 7), ==, 0x50);
    g_assert_cmphex(inb(BASE + 1), ==, 1);
    g_assert_cmphex(inb(BASE + 2), ==, 1);
    g_assert_cmphex(inb(BASE + 3), ==, 1);
    g_assert_cmphex(inb(BASE + 4), ==, 0);
    g_assert_cmphex(inb(BASE + 5), ==, 0);
}

/* As QEMU's: a driver that waits for a drive to become ready, or for its data, sees at once that there is none. */
static void test_empty_channel_reads_zeros(void)
{
    setup();
    for (unsigned reg = 1; reg < 8; reg++)
        g_assert_cmphex(inb(0x170 + reg), ==, 0);
    g_assert_cmphex(ioport_read(0x170, 2), ==, 0);
    g_assert_cmphex(inb(0x376), ==, 0);
    outb(0x172, 0x55); /* nothing keeps it */
    g_assert_cmphex(inb(0x172), ==, 0);
    outb(0x177, 0xec);
    g_assert_cmphex(inb(0x177), ==, 0);
    outb(0x376, 0x04);
    outb(0x376, 0x00);
    g_assert_cmphex(inb(0x177), ==, 0);
}

static void test_absent_slave_has_status_zero(void)
{
    setup();
    outb(BASE + 6, 0xb0);
    g_assert_cmphex(inb(BASE + 7), ==, 0);
    g_assert_cmphex(inb(CTL), ==, 0);
    outb(BASE + 7, 0xec);
    g_assert_cmpuint(irq[0].rises, ==, 0);
    outb(BASE + 6, 0xa0);
    g_assert_cmphex(inb(BASE + 7), ==, 0x50);
}

static void test_software_reset(void)
{
    setup();
    address_lba(77, 3);
    outb(CTL, 0x04);
    g_assert_cmphex(status() & BSY, ==, BSY);
    outb(CTL, 0x00);
    g_assert_cmphex(status(), ==, 0x50);
    g_assert_cmphex(inb(BASE + 2), ==, 1);
    g_assert_cmphex(inb(BASE + 3), ==, 1);
    g_assert_cmphex(inb(BASE + 1), ==, 1);
    g_assert_cmpuint(irq[0].rises, ==, 0);
}

static void test_diagnostic_interrupts_and_selects_drive_0(void)
{
    setup();
    outb(BASE + 6, 0xb0);
    outb(BASE + 7, 0x90);
    g_assert_true(irq[0].level);
    g_assert_cmphex(inb(BASE + 6) & 0x10, ==, 0);
    g_assert_cmphex(inb(BASE + 1), ==, 1);
}

static void test_reset_during_read_forgets_it(void)
{
    setup();
    address_lba(5, 1);
    outb(BASE + 7, 0x20);
    g_assert_cmphex(status() & BSY, ==, BSY);
    for (unsigned i = 0; i < 100; i++) { /* a medium that hangs: the guest collects no requests */
        outb(CTL, 0x04);
        outb(CTL, 0x00);
        address_lba(6, 1);
        outb(BASE + 7, 0x20);
        g_assert_cmphex(status() & BSY, ==, BSY);
    }
    ide_class.reset(ide);
    g_assert_cmphex(status() & BSY, ==, BSY);
    outb(CTL, 0x04);
    g_assert_cmpuint(disk.count, ==, 1);
    ram_block_complete(&disk); /* it comes too late */
    g_assert_cmphex(status() & BSY, ==, BSY);
    outb(CTL, 0x00);
    g_assert_cmphex(status(), ==, 0x50);
    g_assert_cmpuint(irq[0].rises, ==, 0);
    uint8_t words[512];
    identify(words);
    g_assert_cmphex(identify_word(words, 0), ==, 0x0040);
}

static void test_reset_waits_and_is_moved(void)
{
    setup();
    address_lba(5, 1);
    outb(BASE + 7, 0x20);
    outb(CTL, 0x04);
    outb(CTL, 0x00);
    g_assert_cmphex(status() & BSY, ==, BSY);
    GByteArray *saved = device_saved(&ide_class, ide);
    ram_block_complete(&disk);
    g_assert_cmphex(status(), ==, 0x50);
    destroy();
    create(IDE_NONE);
    g_assert_true(device_load(&ide_class, ide, saved->data, saved->len));
    g_byte_array_unref(saved);
    g_assert_cmphex(status(), ==, 0x50); /* here nothing was under way */
    g_assert_cmpuint(disk.count, ==, 0);
}

/* --- Interrupts --- */

static void test_status_read_clears_interrupt(void)
{
    setup();
    command(0x10);
    g_assert_true(irq[0].level);
    g_assert_cmphex(inb(CTL), ==, 0x50); /* the alternate status does not */
    g_assert_true(irq[0].level);
    inb(BASE + 7);
    g_assert_false(irq[0].level);
}

static void test_nien_masks_the_pin(void)
{
    setup();
    outb(CTL, 0x02);
    command(0x10);
    g_assert_false(irq[0].level);
    outb(CTL, 0x00); /* it is still pending */
    g_assert_true(irq[0].level);
}

/* --- IDENTIFY --- */

static void test_identify(void)
{
    uint8_t words[512], sum = 0;
    setup();
    identify(words);
    g_assert_cmpuint(identify_word(words, 1), ==, 20);
    g_assert_cmpuint(identify_word(words, 3), ==, 16);
    g_assert_cmpuint(identify_word(words, 6), ==, 63);
    g_assert_cmpuint(identify_word(words, 60) | identify_word(words, 61) << 16, ==, DISK_SECTORS);
    g_assert_cmpuint(identify_word(words, 100), ==, DISK_SECTORS & 0xffff);
    g_assert_cmphex(identify_word(words, 49) & 0x0300, ==, 0x0300);
    g_assert_cmphex(identify_word(words, 83) & 0x0400, ==, 0x0400);
    g_assert_cmpmem(words + 54, 8, "IRGNREH ", 8); /* RINGER H.., words swapped */
    for (unsigned i = 0; i < 512; i++)
        sum += words[i];
    g_assert_cmphex(sum, ==, 0);
    g_assert_cmphex(status(), ==, 0x50);
}

static void test_default_geometry(void)
{
    uint16_t c, h, s;
    ide_default_geometry(16514064, &c, &h, &s);
    g_assert_cmpuint(c, ==, 16383);
    ide_default_geometry(1ull << 40, &c, &h, &s);
    g_assert_cmpuint(c, ==, 16383);
    ide_default_geometry(100 * 16 * 63 + 5, &c, &h, &s);
    g_assert_cmpuint(c, ==, 100);
    g_assert_cmpuint(h, ==, 16);
    g_assert_cmpuint(s, ==, 63);
}

/* --- PIO --- */

static void test_read_one_sector_lba(void)
{
    uint8_t bytes[512];
    setup();
    address_lba(1234, 1);
    outb(BASE + 7, 0x20);
    g_assert_cmphex(status() & BSY, ==, BSY);
    settle();
    g_assert_cmphex(status(), ==, 0x58);
    g_assert_true(irq[0].level);
    read_data(bytes, 512);
    g_assert_cmpmem(bytes, 512, disk.bytes + 1234 * 512, 512);
    g_assert_cmphex(status(), ==, 0x50);
    g_assert_cmpuint(irq[0].rises, ==, 1); /* none after the last data */
}

static void test_read_chs(void)
{
    uint8_t bytes[512];
    setup();
    outb(BASE + 2, 1);
    outb(BASE + 3, 63);
    outb(BASE + 4, 2);
    outb(BASE + 5, 0);
    outb(BASE + 6, 0xa5);
    command(0x20);
    read_data(bytes, 512);
    g_assert_cmpmem(bytes, 512, disk.bytes + ((2 * 16 + 5) * 63 + 62) * 512, 512);
}

static void test_set_parameters_changes_translation(void)
{
    uint8_t bytes[512];
    setup();
    outb(BASE + 2, 17);
    outb(BASE + 6, 0xa3); /* 4 heads, 17 sectors */
    command(0x91);
    g_assert_cmphex(status(), ==, 0x50);
    outb(BASE + 2, 1);
    outb(BASE + 3, 1);
    outb(BASE + 4, 10);
    outb(BASE + 5, 0);
    outb(BASE + 6, 0xa1);
    command(0x20);
    read_data(bytes, 512);
    g_assert_cmpmem(bytes, 512, disk.bytes + (10 * 4 + 1) * 17 * 512, 512);
    identify(bytes);
    g_assert_cmpuint(identify_word(bytes, 55), ==, 4);
    g_assert_cmpuint(identify_word(bytes, 56), ==, 17);
    g_assert_cmpuint(identify_word(bytes, 54), ==, DISK_SECTORS / 68);
}

static void test_read_many_sectors_interrupts_each(void)
{
    uint8_t bytes[512];
    setup();
    address_lba(100, 0); /* 256 */
    command(0x20);
    for (unsigned i = 0; i < 256; i++) {
        g_assert_cmphex(inb(BASE + 7), ==, 0x58);
        read_data(bytes, 512);
        g_assert_cmpmem(bytes, 512, disk.bytes + (100 + i) * 512, 512);
    }
    g_assert_cmphex(status(), ==, 0x50);
    g_assert_cmpuint(irq[0].rises, ==, 256);
    g_assert_cmphex(inb(BASE + 2), ==, 0);
    g_assert_cmphex(inb(BASE + 3) | inb(BASE + 4) << 8, ==, 355); /* the last sector */
    g_assert_cmpuint(disk.reads, ==, 1);                          /* one request to the medium, not 256 */
}

static void test_read_multiple(void)
{
    uint8_t bytes[8 * 512];
    setup();
    outb(BASE + 2, 8);
    command(0xc6);
    address_lba(50, 10);
    inb(BASE + 7);
    irq[0].rises = 0;
    command(0xc4);
    inb(BASE + 7);
    read_data(bytes, 8 * 512);
    inb(BASE + 7);
    g_assert_cmpmem(bytes, 8 * 512, disk.bytes + 50 * 512, 8 * 512);
    read_data(bytes, 2 * 512); /* the rest is shorter */
    g_assert_cmpmem(bytes, 2 * 512, disk.bytes + 58 * 512, 2 * 512);
    g_assert_cmphex(inb(BASE + 7), ==, 0x50);
    g_assert_cmpuint(irq[0].rises, ==, 2);
}

static void test_set_multiple_refuses_odd_counts(void)
{
    setup();
    outb(BASE + 2, 3);
    command(0xc6);
    assert_error(0x04);
    outb(BASE + 2, 32);
    command(0xc6);
    assert_error(0x04);
    outb(BASE + 2, 0); /* off */
    command(0xc6);
    address_lba(0, 1);
    command(0xc4);
    assert_error(0x04);
}

static void test_dword_data_port(void)
{
    setup();
    address_lba(9, 1);
    command(0x20);
    for (unsigned i = 0; i < 512; i += 4) {
        uint32_t want;
        memcpy(&want, disk.bytes + 9 * 512 + i, 4);
        g_assert_cmphex(ioport_read(BASE, 4), ==, want);
    }
    g_assert_cmphex(status(), ==, 0x50);
}

static void test_write_sectors(void)
{
    uint8_t bytes[1024];
    setup();
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 3 + 1);
    address_lba(321, 2);
    command(0x30);
    g_assert_cmphex(status(), ==, 0x58);
    g_assert_false(irq[0].level); /* none before the first data */
    write_data(bytes, 512);
    g_assert_true(irq[0].level);
    g_assert_cmphex(inb(BASE + 7), ==, 0x58);
    write_data(bytes + 512, 512);
    g_assert_cmphex(inb(BASE + 7), ==, 0x50);
    g_assert_cmpmem(disk.bytes + 321 * 512, 1024, bytes, 1024);
    g_assert_cmpuint(irq[0].rises, ==, 2);
    g_assert_cmpuint(disk.flushes, ==, 0);
}

static void test_write_without_cache_flushes(void)
{
    uint8_t bytes[512] = {0};
    setup();
    outb(BASE + 1, 0x82);
    command(0xef);
    g_assert_cmpuint(disk.flushes, ==, 1); /* what was in the cache */
    address_lba(1, 1);
    command(0x30);
    write_data(bytes, 512);
    g_assert_cmpuint(disk.flushes, ==, 2);
    g_assert_cmphex(status(), ==, 0x50);
}

static void test_flush_ends_when_the_medium_has_it(void)
{
    setup();
    outb(BASE + 6, 0xe0);
    outb(BASE + 7, 0xe7);
    g_assert_cmphex(status() & BSY, ==, BSY);
    g_assert_cmpuint(disk.flushes, ==, 1);
    settle();
    g_assert_cmphex(status(), ==, 0x50);
    g_assert_true(irq[0].level);
    command(0xea);
    g_assert_cmpuint(disk.flushes, ==, 2);
}

static void test_verify_moves_no_data(void)
{
    setup();
    address_lba(10, 5);
    command(0x40);
    g_assert_cmphex(status(), ==, 0x50);
    g_assert_cmpuint(irq[0].rises, ==, 1);
    disk.error = EIO;
    command(0x40);
    assert_error(0x40);
}

static void test_lba48_registers(void)
{
    uint8_t bytes[512];
    setup();
    address_lba48(19000, 1);
    outb(CTL, 0x80); /* HOB: what was written before */
    g_assert_cmphex(inb(BASE + 3), ==, 0);
    outb(CTL, 0);
    g_assert_cmphex(inb(BASE + 3), ==, 19000 & 0xff);
    command(0x24);
    read_data(bytes, 512);
    g_assert_cmpmem(bytes, 512, disk.bytes + 19000 * 512, 512);
    address_lba48(1ull << 33, 1);
    command(0x24);
    assert_error(0x10);
}

static void test_native_max(void)
{
    setup();
    outb(BASE + 6, 0xe0);
    command(0xf8);
    uint32_t last = inb(BASE + 3) | inb(BASE + 4) << 8 | inb(BASE + 5) << 16 | (inb(BASE + 6) & 15) << 24;
    g_assert_cmpuint(last, ==, DISK_SECTORS - 1);
}

/* --- Errors --- */

static void test_behind_the_end_is_idnf(void)
{
    setup();
    address_lba(DISK_SECTORS, 1);
    command(0x20);
    assert_error(0x10);
    g_assert_true(irq[0].level);
    address_lba(DISK_SECTORS - 1, 2);
    command(0x20);
    assert_error(0x10);
    outb(BASE + 2, 1);
    outb(BASE + 3, 0); /* CHS: there is no sector 0 */
    outb(BASE + 6, 0xa0);
    command(0x20);
    assert_error(0x10);
}

static void test_unknown_command_aborts(void)
{
    static const uint8_t codes[] = {0x00, 0x22, 0x50, 0xa0, 0xa1, 0xf1, 0xff};
    for (unsigned i = 0; i < sizeof(codes); i++) {
        setup();
        command(codes[i]);
        assert_error(0x04);
        g_assert_true(irq[0].level);
    }
}

static void test_host_errors(void)
{
    uint8_t bytes[512] = {0};
    setup();
    disk.error = EIO;
    address_lba(700, 4);
    command(0x20);
    assert_error(0x40); /* uncorrectable data */
    g_assert_cmpuint(inb(BASE + 2), ==, 4);
    g_assert_cmpuint(inb(BASE + 3) | inb(BASE + 4) << 8, ==, 700);
    command(0x30);
    write_data(bytes, 512);
    assert_error(0x04);
    command(0xe7);
    assert_error(0x04);
    disk.error = 0;
    command(0x20);
    g_assert_cmphex(status(), ==, 0x58);
}

static void test_read_only_disk(void)
{
    setup();
    disk.block.read_only = true;
    address_lba(1, 1);
    command(0x30);
    assert_error(0x04);
    command(0x20);
    g_assert_cmphex(status(), ==, 0x58);
}

static void test_set_features(void)
{
    uint8_t words[512];
    setup();
    outb(BASE + 1, 0x03);
    outb(BASE + 2, 0x45); /* UDMA 5 */
    command(0xef);
    identify(words);
    g_assert_cmphex(identify_word(words, 88), ==, 0x203f);
    g_assert_cmphex(identify_word(words, 63), ==, 0x0007);
    outb(BASE + 1, 0x03);
    outb(BASE + 2, 0x22); /* multi-word DMA 2 */
    command(0xef);
    identify(words);
    g_assert_cmphex(identify_word(words, 63), ==, 0x0407);
    g_assert_cmphex(identify_word(words, 88), ==, 0x003f);
    outb(BASE + 1, 0x03);
    outb(BASE + 2, 0x47); /* there is no UDMA 7 */
    command(0xef);
    assert_error(0x04);
    outb(BASE + 1, 0x99);
    command(0xef);
    assert_error(0x04);
}

static void test_power_modes(void)
{
    setup();
    command(0xe5);
    g_assert_cmphex(inb(BASE + 2), ==, 0xff);
    command(0xe0);
    g_assert_cmpuint(disk.flushes, ==, 1);
    command(0xe5);
    g_assert_cmphex(inb(BASE + 2), ==, 0x00);
    command(0x95); /* idle, by its older code */
    command(0x98);
    g_assert_cmphex(inb(BASE + 2), ==, 0xff);
}

static void smart(uint8_t feature)
{
    outb(BASE + 1, feature);
    outb(BASE + 4, 0x4f);
    outb(BASE + 5, 0xc2);
    outb(BASE + 6, 0xa0);
    command(0xb0);
}

static void test_smart(void)
{
    uint8_t bytes[512], sum = 0;
    setup();
    smart(0xda); /* not enabled */
    assert_error(0x04);
    smart(0xd8);
    smart(0xda);
    g_assert_cmphex(status(), ==, 0x50);
    g_assert_cmphex(inb(BASE + 4) | inb(BASE + 5) << 8, ==, 0xc24f); /* no threshold exceeded */
    smart(0xd0);
    read_data(bytes, 512);
    for (unsigned i = 0; i < 512; i++)
        sum += bytes[i];
    g_assert_cmphex(sum, ==, 0);
}

/* --- Bus master --- */

#define TABLE 0x10000
#define DATA  0x20000

static void descriptor(unsigned n, uint32_t address, uint32_t count, bool last)
{
    uint32_t words[2] = {address, (count & 0xffff) | (last ? 0x80000000u : 0)};
    mem_write(TABLE + 8 * n, words, 8);
}

static void dma_setup(void)
{
    GError *error = NULL;
    if (!guest_mem.ram)
        mem_init(16 * MiB, &error);
    g_assert_no_error(error);
    uint8_t zero[PAGE_SIZE] = {0};
    for (unsigned i = 0; i < 64; i++)
        mem_write(DATA + i * PAGE_SIZE, zero, PAGE_SIZE);
    setup();
}

/* The master's address has 32 bits: nothing goes on above 4 GiB, where RAM may be. */
static void test_dma_stays_below_4_gib(void)
{
    struct ide_dma_regs dma;
    uint8_t bytes[0x2000];
    mem_destroy();
    g_assert_true(mem_init(4 * GiB, NULL));
    descriptor(0, 0xfffff000, sizeof bytes, true);
    memset(bytes, 0x55, sizeof bytes);
    ide_dma_reset(&dma);
    ide_dma_write(&dma, 4, 4, TABLE);
    g_assert_true(ide_dma_write(&dma, 0, 1, 9));
    g_assert_cmpuint(ide_dma_move(&dma, bytes, sizeof bytes, true), ==, sizeof bytes);
    g_assert_cmphex(*mem_ptr(4 * GiB), ==, 0);
    g_assert_cmphex(*mem_ptr(0), ==, 0x55);
    mem_destroy();
}

static void test_dma_read_scattered(void)
{
    uint8_t bytes[4096];
    dma_setup();
    descriptor(0, DATA + 2, 510, false);
    descriptor(1, DATA + 0x8000, 2, false);
    descriptor(2, DATA + 0x9000, 512 * 7, true);
    ioport_write(BM + 4, 4, TABLE);
    address_lba(40, 8);
    command(0xc8); /* before the master starts */
    g_assert_false(irq[0].level);
    outb(BM, 0x09);
    g_assert_cmphex(inb(BM + 2) & 1, ==, 1);
    settle();
    g_assert_true(irq[0].level);
    g_assert_cmphex(inb(BM + 2) & 7, ==, 4); /* interrupt, not active, no error */
    g_assert_cmphex(inb(BASE + 7), ==, 0x50);
    mem_read(DATA + 2, bytes, 510);
    mem_read(DATA + 0x8000, bytes + 510, 2);
    mem_read(DATA + 0x9000, bytes + 512, 512 * 7);
    g_assert_cmpmem(bytes, 4096, disk.bytes + 40 * 512, 4096);
    outb(BM + 2, 0x04);
    g_assert_cmphex(inb(BM + 2) & 4, ==, 0);
}

static void test_dma_master_started_first(void)
{
    uint8_t bytes[512];
    dma_setup();
    descriptor(0, DATA, 512, true);
    ioport_write(BM + 4, 4, TABLE);
    outb(BM, 0x09);
    address_lba(41, 1);
    command(0xc8);
    mem_read(DATA, bytes, 512);
    g_assert_cmpmem(bytes, 512, disk.bytes + 41 * 512, 512);
    g_assert_true(irq[0].level);
}

static void test_dma_write(void)
{
    uint8_t bytes[1024];
    dma_setup();
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i ^ 0x5a);
    mem_write(DATA, bytes, sizeof(bytes));
    descriptor(0, DATA, 1024, true);
    ioport_write(BM + 4, 4, TABLE);
    address_lba(60, 2);
    command(0xca);
    g_assert_cmpuint(disk.writes, ==, 0);
    outb(BM, 0x01);
    settle();
    g_assert_cmpmem(disk.bytes + 60 * 512, 1024, bytes, 1024);
    g_assert_cmphex(inb(BM + 2) & 7, ==, 4);
}

static void test_dma_64k_descriptor_and_long_transfer(void)
{
    static uint8_t bytes[0x20000];
    dma_setup();
    descriptor(0, DATA, 0, false); /* 0 is 64 KiB */
    descriptor(1, DATA + 0x10000, 0, true);
    ioport_write(BM + 4, 4, TABLE);
    address_lba(0, 0);
    command(0xc8);
    outb(BM, 0x09);
    settle();
    mem_read(DATA, bytes, sizeof(bytes));
    g_assert_cmpmem(bytes, sizeof(bytes), disk.bytes, sizeof(bytes));
    g_assert_cmphex(inb(BM + 2) & 7, ==, 4);
}

static void test_dma_descriptors_too_short(void)
{
    dma_setup();
    descriptor(0, DATA, 512, true);
    ioport_write(BM + 4, 4, TABLE);
    address_lba(0, 2);
    command(0xc8);
    outb(BM, 0x09);
    settle();
    g_assert_false(irq[0].level);
    g_assert_cmphex(inb(BM + 2) & 7, ==, 0); /* neither active nor interrupt */
    g_assert_cmphex(status() & (BSY | DRQ), ==, 0);
    command(0x10); /* the drive lives */
    g_assert_cmphex(status(), ==, 0x50);
}

static void test_dma_descriptors_too_long(void)
{
    dma_setup();
    descriptor(0, DATA, 2048, true);
    ioport_write(BM + 4, 4, TABLE);
    address_lba(0, 2);
    command(0xc8);
    outb(BM, 0x09);
    settle();
    g_assert_true(irq[0].level);
    g_assert_cmphex(inb(BM + 2) & 7, ==, 5); /* interrupt, and still active */
    outb(BM, 0x08);
    g_assert_cmphex(inb(BM + 2) & 1, ==, 0);
}

static void test_dma_needs_bus_mastering(void)
{
    dma_setup();
    pci_config_write(pci, IDE, PCI_COMMAND, 2, PCI_COMMAND_IO);
    descriptor(0, DATA, 512, true);
    ioport_write(BM + 4, 4, TABLE);
    address_lba(3, 1);
    command(0xc8);
    outb(BM, 0x09);
    settle();
    g_assert_false(irq[0].level);
    pci_config_write(pci, IDE, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    settle();
    g_assert_true(irq[0].level);
}

static void test_dma_error_ends_with_interrupt(void)
{
    dma_setup();
    descriptor(0, DATA, 512, true);
    ioport_write(BM + 4, 4, TABLE);
    outb(BM, 0x09);
    address_lba(3, 1);
    disk.error = EIO;
    command(0xc8);
    g_assert_true(irq[0].level);
    assert_error(0x40);
    g_assert_cmphex(inb(BM + 2) & 4, ==, 4);
}

static void test_dma_lba48_in_pieces(void)
{
    dma_setup();
    for (unsigned i = 0; i < 12; i++) /* all to the same place: what counts is the number of bytes */
        descriptor(i, DATA, 0, i == 11);
    ioport_write(BM + 4, 4, TABLE);
    address_lba48(0, 12 * 128);
    command(0x25);
    outb(BM, 0x09);
    settle();
    g_assert_true(irq[0].level);
    g_assert_cmphex(inb(BM + 2) & 7, ==, 4);
    g_assert_cmpuint(disk.reads, >, 1);
    g_assert_cmpuint(disk.largest, <=, 256 * 1024);
}

/* --- Save and load --- */

static void test_save_load_in_read(void)
{
    uint8_t bytes[512];
    setup();
    address_lba(30, 3);
    command(0x20);
    read_data(bytes, 100);
    GByteArray *saved = device_saved(&ide_class, ide);
    destroy();
    create(IDE_NONE);
    device_load_checked(&ide_class, ide, saved);
    read_data(bytes + 100, 412);
    g_assert_cmpmem(bytes, 512, disk.bytes + 30 * 512, 512);
    read_data(bytes, 512);
    read_data(bytes, 512);
    g_assert_cmpmem(bytes, 512, disk.bytes + 32 * 512, 512);
    g_assert_cmphex(status(), ==, 0x50);
}

static void test_save_load_with_request_under_way(void)
{
    uint8_t bytes[512];
    setup();
    address_lba(33, 1);
    outb(BASE + 7, 0x20);
    GByteArray *saved = device_saved(&ide_class, ide);
    destroy();
    ram_block_complete(&disk); /* the old machine's */
    create(IDE_NONE);
    device_load_checked(&ide_class, ide, saved);
    settle();
    g_assert_cmphex(status(), ==, 0x58);
    read_data(bytes, 512);
    g_assert_cmpmem(bytes, 512, disk.bytes + 33 * 512, 512);
}

static void test_slave_has_its_own_state(void)
{
    uint8_t words[512];
    setup();
    destroy();
    create(IDE_DISK);
    outb(BASE + 6, 0xf0);
    command(0xec);
    read_data(words, 512);
    g_assert_cmphex(identify_word(words, 93), ==, 0x6200);
    outb(BASE + 6, 0xe0);
    g_assert_cmphex(inb(BASE + 7), ==, 0x50);
}

#define TEST(name) g_test_add_func("/ide/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(pci_function);
    TEST(signature_after_power_on);
    TEST(empty_channel_reads_zeros);
    TEST(absent_slave_has_status_zero);
    TEST(software_reset);
    TEST(diagnostic_interrupts_and_selects_drive_0);
    TEST(reset_during_read_forgets_it);
    TEST(reset_waits_and_is_moved);
    TEST(status_read_clears_interrupt);
    TEST(nien_masks_the_pin);
    TEST(identify);
    TEST(default_geometry);
    TEST(read_one_sector_lba);
    TEST(read_chs);
    TEST(set_parameters_changes_translation);
    TEST(read_many_sectors_interrupts_each);
    TEST(read_multiple);
    TEST(set_multiple_refuses_odd_counts);
    TEST(dword_data_port);
    TEST(write_sectors);
    TEST(write_without_cache_flushes);
    TEST(flush_ends_when_the_medium_has_it);
    TEST(verify_moves_no_data);
    TEST(lba48_registers);
    TEST(native_max);
    TEST(behind_the_end_is_idnf);
    TEST(unknown_command_aborts);
    TEST(host_errors);
    TEST(read_only_disk);
    TEST(set_features);
    TEST(power_modes);
    TEST(smart);
    TEST(dma_read_scattered);
    TEST(dma_master_started_first);
    TEST(dma_write);
    TEST(dma_64k_descriptor_and_long_transfer);
    TEST(dma_descriptors_too_short);
    TEST(dma_descriptors_too_long);
    TEST(dma_needs_bus_mastering);
    TEST(dma_error_ends_with_interrupt);
    TEST(dma_lba48_in_pieces);
    TEST(save_load_in_read);
    TEST(save_load_with_request_under_way);
    TEST(slave_has_its_own_state);
    TEST(dma_stays_below_4_gib);
    return g_test_run();
}

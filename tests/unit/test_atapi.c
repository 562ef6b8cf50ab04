/* ATAPI: the packet protocol through PIO and DMA, sense data, each command's reply. */
#include "board.h"
#include "devices/ide.h"
#include "mem.h"
#include "ram_block.h"

#define BASE         0x170
#define CTL          0x376
#define IDE          PCI_DEVFN(1, 1)
#define BM           0xc008
#define DISC_SECTORS 400

static struct wire irq[2];
static unsigned bus_requests;
static struct pci_bus *pci;
static struct ide *ide;
static struct ram_block disc;
static uint8_t reply[0x20000];

static void create(void)
{
    struct ide_wiring ide_wiring = {{wire_irq(&irq[0]), wire_irq(&irq[1])}, {pulse_count, &bus_requests, 0}};
    struct ide_drive_config config[4] = {[2] = {.kind = IDE_CD, .block = &disc.block}};
    memset(irq, 0, sizeof(irq));
    bus_requests = 0;
    pci = pci_bus_new();
    ide = ide_new(pci, &ide_wiring, config);
    pci_config_write(pci, IDE, PCI_BAR0 + 16, 4, BM - 8);
    pci_config_write(pci, IDE, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static void setup_size(uint64_t size)
{
    if (ide) {
        ide_free(ide);
        pci_bus_free(pci);
        g_free(disc.bytes);
    }
    ioport_clear();
    vclock_fake_start();
    ram_block_init(&disc, size);
    disc.block.read_only = true;
    create();
}

static void setup(void)
{
    setup_size(DISC_SECTORS * 2048);
}

static void settle(void)
{
    for (unsigned i = 0; i < 1000; i++) {
        if (disc.count)
            ram_block_complete(&disc);
        else if (bus_requests)
            bus_requests = 0, ide_bus_granted(ide);
        else
            return;
    }
    g_assert_not_reached();
}

static void packet_begin(uint16_t limit, uint8_t feature)
{
    outb(BASE + 6, 0xa0);
    outb(BASE + 1, feature);
    outb(BASE + 4, limit & 0xff);
    outb(BASE + 5, limit >> 8);
    outb(BASE + 7, 0xa0);
    g_assert_cmphex(inb(CTL), ==, 0x58);
    g_assert_cmphex(inb(BASE + 2), ==, 0x01); /* command, from the host */
    g_assert_false(irq[1].level);
}

static void packet_send(const uint8_t *packet)
{
    for (unsigned i = 0; i < 12; i += 2)
        ioport_write(BASE, 2, packet[i] | packet[i + 1] << 8);
    settle();
}

/* Runs a command by PIO; its whole reply into reply[]; returns its length. */
static unsigned run(const uint8_t *bytes, unsigned len, uint16_t limit)
{
    uint8_t packet[12] = {0};
    unsigned total = 0;
    memcpy(packet, bytes, len);
    packet_begin(limit, 0);
    packet_send(packet);
    while (inb(CTL) & 0x08) {
        unsigned here = inb(BASE + 4) | inb(BASE + 5) << 8;
        g_assert_true(irq[1].level);
        inb(BASE + 7);
        g_assert_cmphex(inb(BASE + 2), ==, 0x02); /* data, to the host */
        g_assert_cmpuint(here, >, 0);
        g_assert_cmpuint(here, <=, limit);
        for (unsigned i = 0; i < here; i += 2) {
            uint16_t word = (uint16_t)ioport_read(BASE, 2);
            memcpy(reply + total + i, &word, MIN(2, here - i));
        }
        total += here;
        settle();
    }
    g_assert_true(irq[1].level);
    inb(BASE + 7);
    g_assert_cmphex(inb(BASE + 2), ==, 0x03); /* status */
    return total;
}
#define RUN(limit, ...) run((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), limit)

static void assert_ok(void)
{
    g_assert_cmphex(inb(CTL), ==, 0x50);
}

static void assert_sense(uint8_t key, uint8_t asc)
{
    g_assert_cmphex(inb(CTL) & 0x01, ==, 0x01);
    g_assert_cmphex(inb(BASE + 1) >> 4, ==, key);
    g_assert_cmpuint(RUN(64, 0x03, 0, 0, 0, 18), ==, 18);
    g_assert_cmphex(reply[2], ==, key);
    g_assert_cmphex(reply[12], ==, asc);
    assert_ok();
    RUN(64, 0x03, 0, 0, 0, 18); /* told once */
    g_assert_cmphex(reply[2], ==, 0);
}

static uint32_t be32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void test_signature(void)
{
    setup();
    g_assert_cmphex(inb(BASE + 4), ==, 0x14);
    g_assert_cmphex(inb(BASE + 5), ==, 0xeb);
    g_assert_cmphex(inb(BASE + 7), ==, 0x00);
    outb(BASE + 7, 0xec); /* IDENTIFY DEVICE aborts, and shows who it is */
    g_assert_cmphex(inb(BASE + 7) & 1, ==, 1);
    g_assert_cmphex(inb(BASE + 1), ==, 0x04);
    g_assert_cmphex(inb(BASE + 4) | inb(BASE + 5) << 8, ==, 0xeb14);
}

static void test_device_reset(void)
{
    setup();
    outb(BASE + 7, 0xec);
    irq[1].rises = 0;
    outb(BASE + 7, 0x08);
    g_assert_cmphex(inb(CTL), ==, 0x00);
    g_assert_cmphex(inb(BASE + 1), ==, 0x01);
    g_assert_cmpuint(irq[1].rises, ==, 0);
}

static void test_identify_packet_device(void)
{
    uint8_t words[512];
    setup();
    outb(BASE + 7, 0xa1);
    for (unsigned i = 0; i < 512; i += 2) {
        uint16_t word = (uint16_t)ioport_read(BASE, 2);
        memcpy(words + i, &word, 2);
    }
    g_assert_cmphex(words[0] | words[1] << 8, ==, 0x85c0);
    g_assert_cmphex((words[98] | words[99] << 8) & 0x0300, ==, 0x0300);
    assert_ok();
}

static void test_inquiry(void)
{
    setup();
    g_assert_cmpuint(RUN(0xfffe, 0x12, 0, 0, 0, 96), ==, 36);
    g_assert_cmphex(reply[0], ==, 0x05);
    g_assert_cmphex(reply[1], ==, 0x80);
    g_assert_cmpmem(reply + 8, 6, "RINGER", 6);
    assert_ok();
    g_assert_cmpuint(RUN(0xfffe, 0x12, 0, 0, 0, 5), ==, 5); /* the allocation length cuts */
}

static void test_byte_count_limit(void)
{
    setup();
    g_assert_cmpuint(RUN(10, 0x12, 0, 0, 0, 36), ==, 36);
    assert_ok();
}

static void test_read_capacity(void)
{
    setup();
    g_assert_cmpuint(RUN(64, 0x25), ==, 8);
    g_assert_cmpuint(be32(reply), ==, DISC_SECTORS - 1);
    g_assert_cmpuint(be32(reply + 4), ==, 2048);
}

static void test_read10(void)
{
    setup();
    g_assert_cmpuint(RUN(0xfffe, 0x28, 0, 0, 0, 0, 50, 0, 0, 3), ==, 3 * 2048);
    g_assert_cmpmem(reply, 3 * 2048, disc.bytes + 50 * 2048, 3 * 2048);
    assert_ok();
    g_assert_cmpuint(RUN(2048, 0x28, 0, 0, 0, 0, 60, 0, 0, 2), ==, 2 * 2048); /* sector by sector */
    g_assert_cmpmem(reply, 2 * 2048, disc.bytes + 60 * 2048, 2 * 2048);
}

static void test_read12_and_nothing(void)
{
    setup();
    g_assert_cmpuint(RUN(0xfffe, 0xa8, 0, 0, 0, 0, 7, 0, 0, 0, 1), ==, 2048);
    g_assert_cmpmem(reply, 2048, disc.bytes + 7 * 2048, 2048);
    g_assert_cmpuint(RUN(0xfffe, 0x28, 0, 0, 0, 0, 7, 0, 0, 0), ==, 0);
    assert_ok();
}

static void test_read_long(void)
{
    static uint8_t packet[12] = {0x28, 0, 0, 0, 0, 10, 0, 1, 0}; /* 256 sectors: more than the buffer */
    unsigned at = 10 * 2048;
    setup();
    packet_begin(0xf000, 0);
    packet_send(packet);
    while (inb(CTL) & 0x08) {
        unsigned here = inb(BASE + 4) | inb(BASE + 5) << 8;
        for (unsigned i = 0; i < here; i += 2, at += 2)
            g_assert_cmphex(ioport_read(BASE, 2), ==, disc.bytes[at] | disc.bytes[at + 1] << 8);
        settle();
    }
    g_assert_cmpuint(at, ==, (10 + 256) * 2048);
    assert_ok();
}

static void test_read_behind_the_end(void)
{
    setup();
    RUN(0xfffe, 0x28, 0, 0, 0, 1, 0x90, 0, 0, 1);
    assert_sense(5, 0x21);
    RUN(0xfffe, 0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 2);
    assert_sense(5, 0x21);
}

static void test_read_cd(void)
{
    setup();
    g_assert_cmpuint(RUN(0xfffe, 0xbe, 0, 0, 0, 0, 16, 0, 0, 1, 0x10), ==, 2048);
    g_assert_cmpmem(reply, 2048, disc.bytes + 16 * 2048, 2048);
    g_assert_cmpuint(RUN(0xfffe, 0xbe, 0, 0, 0, 0, 16, 0, 0, 2, 0xf8), ==, 2 * 2352);
    g_assert_cmphex(reply[0], ==, 0);
    g_assert_cmphex(reply[1], ==, 0xff);
    g_assert_cmpuint(reply[13], ==, 2); /* 0:02:16 */
    g_assert_cmpuint(reply[14], ==, 16);
    g_assert_cmpuint(reply[15], ==, 1);
    g_assert_cmpmem(reply + 16, 2048, disc.bytes + 16 * 2048, 2048);
    g_assert_cmpmem(reply + 2352 + 16, 2048, disc.bytes + 17 * 2048, 2048);
    RUN(0xfffe, 0xbe, 0x04, 0, 0, 0, 16, 0, 0, 1, 0x10); /* CD-DA */
    assert_sense(5, 0x64);
}

static void test_medium_error(void)
{
    setup();
    disc.error = EIO;
    RUN(0xfffe, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
    disc.error = 0;
    assert_sense(3, 0x11);
}

static void test_unknown_command(void)
{
    setup();
    RUN(64, 0xfe);
    assert_sense(5, 0x20);
}

static void test_no_medium(void)
{
    setup_size(0);
    RUN(64, 0x00);
    assert_sense(2, 0x3a);
    RUN(64, 0x25);
    assert_sense(2, 0x3a);
    g_assert_cmpuint(RUN(64, 0x12, 0, 0, 0, 36), ==, 36); /* asks who it is all the same */
}

static void test_medium_change_is_a_unit_attention(void)
{
    setup();
    RUN(64, 0x00);
    assert_ok();
    ide_medium_changed(ide, 2);
    g_assert_cmpuint(RUN(64, 0x12, 0, 0, 0, 36), ==, 36); /* INQUIRY does not take it away */
    RUN(64, 0x00);
    assert_sense(6, 0x28);
    RUN(64, 0x00);
    assert_ok();
}

static void test_medium_taken_out_in_a_read(void)
{
    static uint8_t packet[12] = {0x28, 0, 0, 0, 0, 0, 0, 1, 0}; /* 256 sectors, more than one piece */
    setup();
    packet_begin(0xf000, 0);
    packet_send(packet);
    disc.block.has_medium = false;
    disc.block.size = 0;
    ide_medium_changed(ide, 2);
    while (inb(CTL) & 0x08) {
        ioport_read(BASE, 2);
        settle();
    }
    assert_sense(2, 0x3a);
}

/* --- A tray that the user moves, too --- */

static struct {
    void (*move)(void *opaque, bool open);
    void (*request)(void *opaque);
    void *opaque;
    unsigned told;
} tray;

static void tray_set(struct block *block, void (*move)(void *opaque, bool open), void (*request)(void *opaque),
                     void *opaque)
{
    tray.move = move;
    tray.request = request;
    tray.opaque = opaque;
}

static void tray_changed(struct block *block)
{
    tray.told++;
}

static void setup_tray(void)
{
    static const struct block_ops ops = {ram_read, ram_write, ram_flush, .set_tray = tray_set,
                                         .tray_changed = tray_changed};
    setup();
    disc.block.ops = &ops;
    ide_attach(ide, 2, &(struct ide_drive_config){.kind = IDE_CD, .block = &disc.block});
    RUN(64, 0x00); /* power-on's unit attention */
    RUN(64, 0x00);
    assert_ok();
    tray.told = 0;
}

static void test_tray_moved_by_the_user(void)
{
    setup_tray();
    tray.move(tray.opaque, true);
    g_assert_true(disc.block.tray_open);
    RUN(64, 0x00);
    assert_sense(2, 0x3a);
    RUN(64, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
    g_assert_cmphex(reply[4], ==, 3);
    tray.move(tray.opaque, false);
    RUN(64, 0x00);
    assert_sense(6, 0x28); /* it may be another disc */
    g_assert_cmpuint(tray.told, ==, 2);
}

static void test_tray_moved_by_the_guest(void)
{
    setup_tray();
    RUN(64, 0x1b, 0, 0, 0, 2);
    assert_ok();
    g_assert_true(disc.block.tray_open);
    /* The medium is changed meanwhile: the tray stays as it is. */
    ide_medium_changed(ide, 2);
    g_assert_true(disc.block.tray_open);
    RUN(64, 0x1b, 0, 0, 0, 3);
    g_assert_false(disc.block.tray_open);
}

static void test_locked_tray(void)
{
    setup_tray();
    RUN(64, 0x1e, 0, 0, 0, 1);
    g_assert_true(disc.block.tray_locked);
    tray.request(tray.opaque);
    RUN(64, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
    g_assert_cmphex(reply[4], ==, 1); /* the user wants it out */
    RUN(64, 0x1b, 0, 0, 0, 2);
    g_assert_false(disc.block.tray_open);
    RUN(64, 0x1e, 0, 0, 0, 0);
    g_assert_false(disc.block.tray_locked);
}

static void test_eject_and_load(void)
{
    setup();
    RUN(64, 0x1b, 0, 0, 0, 2);
    assert_ok();
    RUN(64, 0x00);
    assert_sense(2, 0x3a);
    g_assert_cmpuint(RUN(64, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), ==, 8);
    g_assert_cmphex(reply[4], ==, 3); /* media removal */
    g_assert_cmphex(reply[5], ==, 1); /* the tray is open */
    RUN(64, 0x1b, 0, 0, 0, 3);
    RUN(64, 0x00);
    assert_sense(6, 0x28);
    RUN(64, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
    g_assert_cmphex(reply[4], ==, 2); /* new media */
    g_assert_cmphex(reply[5], ==, 2);
}

static void test_prevent_removal(void)
{
    setup();
    RUN(64, 0x1e, 0, 0, 0, 1);
    RUN(64, 0x1b, 0, 0, 0, 2);
    assert_sense(5, 0x53);
    RUN(64, 0x1e, 0, 0, 0, 0);
    RUN(64, 0x1b, 0, 0, 0, 2);
    assert_ok();
}

static void test_toc(void)
{
    setup();
    g_assert_cmpuint(RUN(0xfffe, 0x43, 0, 0, 0, 0, 0, 0, 0, 100), ==, 20);
    g_assert_cmpuint(reply[0] << 8 | reply[1], ==, 18);
    g_assert_cmpuint(reply[2], ==, 1);
    g_assert_cmpuint(reply[3], ==, 1);
    g_assert_cmphex(reply[5], ==, 0x14);
    g_assert_cmpuint(reply[6], ==, 1);
    g_assert_cmpuint(be32(reply + 8), ==, 0);
    g_assert_cmphex(reply[14], ==, 0xaa);
    g_assert_cmpuint(be32(reply + 16), ==, DISC_SECTORS);
    g_assert_cmpuint(RUN(0xfffe, 0x43, 2, 0, 0, 0, 0, 0xaa, 0, 100), ==, 12); /* MSF, only the lead-out */
    g_assert_cmpuint(reply[9], ==, (DISC_SECTORS + 150) / 75 / 60);
    g_assert_cmpuint(reply[10], ==, (DISC_SECTORS + 150) / 75 % 60);
    g_assert_cmpuint(reply[11], ==, (DISC_SECTORS + 150) % 75);
    g_assert_cmpuint(RUN(0xfffe, 0x43, 0, 1, 0, 0, 0, 0, 0, 100), ==, 12);       /* sessions */
    g_assert_cmpuint(RUN(0xfffe, 0x43, 0, 0, 0, 0, 0, 0, 0, 100, 0x40), ==, 12); /* as SFF-8020i asks */
    g_assert_cmpuint(RUN(0xfffe, 0x43, 2, 2, 0, 0, 0, 0, 0, 100), ==, 48);       /* full */
    g_assert_cmphex(reply[7], ==, 0xa0);
    g_assert_cmpuint(RUN(0xfffe, 0x43, 0, 0, 0, 0, 0, 0, 0, 4), ==, 4);
    RUN(0xfffe, 0x43, 0, 0, 0, 0, 0, 2, 0, 100); /* there is no track 2 */
    assert_sense(5, 0x24);
}

static void test_mode_sense(void)
{
    setup();
    g_assert_cmpuint(RUN(0xfffe, 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128), ==, 28);
    g_assert_cmpuint(reply[0] << 8 | reply[1], ==, 26);
    g_assert_cmphex(reply[2], ==, 0x01);
    g_assert_cmphex(reply[8], ==, 0x2a);
    g_assert_cmpuint(reply[9], ==, 18);
    g_assert_cmpuint(RUN(0xfffe, 0x1a, 0, 0x01, 0, 128), ==, 12);
    g_assert_cmphex(reply[4], ==, 0x01);
    g_assert_cmpuint(RUN(0xfffe, 0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255), ==, 8 + 8 + 8 + 16 + 20);
    RUN(0xfffe, 0x5a, 0, 0x33, 0, 0, 0, 0, 0, 128);
    assert_sense(5, 0x24);
    RUN(0xfffe, 0x5a, 0, 0xea, 0, 0, 0, 0, 0, 128); /* saved values */
    assert_sense(5, 0x39);
}

static void test_get_configuration(void)
{
    setup();
    unsigned len = RUN(0xfffe, 0x46, 0, 0, 0, 0, 0, 0, 1, 0);
    g_assert_cmpuint(be32(reply), ==, len - 4);
    g_assert_cmphex(reply[6] << 8 | reply[7], ==, 0x0008); /* CD-ROM */
    g_assert_cmpuint(RUN(0xfffe, 0x46, 2, 0, 1, 0, 0, 0, 1, 0), ==, 20);
    g_assert_cmphex(reply[9], ==, 1);
}

static void test_disc_and_track_information(void)
{
    setup();
    g_assert_cmpuint(RUN(0xfffe, 0x51, 0, 0, 0, 0, 0, 0, 0, 34), ==, 34);
    g_assert_cmphex(reply[2], ==, 0x0e);
    g_assert_cmpuint(RUN(0xfffe, 0x52, 1, 0, 0, 0, 1, 0, 0, 28), ==, 28);
    g_assert_cmpuint(be32(reply + 24), ==, DISC_SECTORS);
    g_assert_cmpuint(RUN(0xfffe, 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), ==, 8);
}

static void test_mode_select_takes_its_list(void)
{
    uint8_t packet[12] = {0x55, 0x10, 0, 0, 0, 0, 0, 0, 24};
    setup();
    packet_begin(0xfffe, 0);
    packet_send(packet);
    g_assert_cmphex(inb(CTL), ==, 0x58);
    g_assert_cmphex(inb(BASE + 2), ==, 0x00); /* data, from the host */
    g_assert_cmpuint(inb(BASE + 4), ==, 24);
    for (unsigned i = 0; i < 12; i++)
        ioport_write(BASE, 2, 0);
    g_assert_cmphex(inb(BASE + 2), ==, 0x03);
    assert_ok();
}

static void test_dma(void)
{
    static uint8_t bytes[8 * 2048];
    uint8_t packet[12] = {0x28, 0, 0, 0, 0, 20, 0, 0, 8};
    uint32_t descriptor[2] = {0x20000, 0x80000000u | sizeof(bytes)};
    GError *error = NULL;
    setup();
    if (!guest_mem.ram)
        mem_init(16 * MiB, &error);
    g_assert_no_error(error);
    mem_write(0x10000, descriptor, 8);
    ioport_write(BM + 4, 4, 0x10000);
    packet_begin(0, 1);
    packet_send(packet);
    g_assert_false(irq[1].level);
    outb(BM, 0x09);
    settle();
    g_assert_true(irq[1].level);
    g_assert_cmphex(inb(BM + 2) & 7, ==, 4);
    g_assert_cmphex(inb(BASE + 2), ==, 3);
    assert_ok();
    mem_read(0x20000, bytes, sizeof(bytes));
    g_assert_cmpmem(bytes, sizeof(bytes), disc.bytes + 20 * 2048, sizeof(bytes));
}

static void test_save_load_in_reply(void)
{
    uint8_t packet[12] = {0x28, 0, 0, 0, 0, 33, 0, 0, 2};
    setup();
    packet_begin(2048, 0);
    packet_send(packet);
    for (unsigned i = 0; i < 100; i += 2)
        ioport_read(BASE, 2);
    GByteArray *saved = device_saved(&ide_class, ide);
    ide_free(ide);
    pci_bus_free(pci);
    create();
    device_load_checked(&ide_class, ide, saved);
    for (unsigned at = 33 * 2048 + 100; at < 35 * 2048; at += 2)
        g_assert_cmphex(ioport_read(BASE, 2), ==, disc.bytes[at] | disc.bytes[at + 1] << 8);
    assert_ok();
}

#define TEST(name) g_test_add_func("/atapi/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(signature);
    TEST(device_reset);
    TEST(identify_packet_device);
    TEST(inquiry);
    TEST(byte_count_limit);
    TEST(read_capacity);
    TEST(read10);
    TEST(read12_and_nothing);
    TEST(read_long);
    TEST(read_behind_the_end);
    TEST(read_cd);
    TEST(medium_error);
    TEST(unknown_command);
    TEST(no_medium);
    TEST(medium_change_is_a_unit_attention);
    TEST(medium_taken_out_in_a_read);
    TEST(eject_and_load);
    TEST(tray_moved_by_the_user);
    TEST(tray_moved_by_the_guest);
    TEST(locked_tray);
    TEST(prevent_removal);
    TEST(toc);
    TEST(mode_sense);
    TEST(get_configuration);
    TEST(disc_and_track_information);
    TEST(mode_select_takes_its_list);
    TEST(dma);
    TEST(save_load_in_reply);
    return g_test_run();
}

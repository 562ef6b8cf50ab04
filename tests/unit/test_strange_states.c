/* States in the middle of things: legal ones that a device must take back, and ones that nobody's device was ever in,
 * which it refuses, or lives with whatever the guest does next.
 */
#include "board.h"
#include "ram_block.h"
#include "devices/fdc.h"
#include "devices/hpet.h"
#include "devices/ide.h"
#include "devices/lapic.h"
#include "devices/pit.h"
#include "devices/rtc.h"
#include "devices/vga/vga.h"
#include "mem.h"

static struct wire irq[16], pin[32];
static unsigned bus_requests;
static struct pci_bus *pci;
static struct ide *ide;
static struct fdc *fdc;
static struct ram_block disk, disc;

static void setup(void)
{
    ioport_clear();
    vclock_fake_start();
    mem_destroy();
    g_assert_true(mem_init(8 * MiB, NULL));
    memset(irq, 0, sizeof(irq));
    memset(pin, 0, sizeof(pin));
}

/* Sets the nth field of that name and size in what a device has saved (state.h). */
static void set_field(GByteArray *saved, const char *name, unsigned nth, const void *value, uint32_t size)
{
    size_t len = strlen(name);
    for (guint i = 0; i + 1 + len + 4 + size <= saved->len; i++) {
        uint32_t its_size;
        memcpy(&its_size, saved->data + i + 1 + len, 4);
        if (saved->data[i] == len && memcmp(saved->data + i + 1, name, len) == 0 && its_size == size && !nth--) {
            memcpy(saved->data + i + 1 + len + 4, value, size);
            return;
        }
    }
    g_error("there is no field %s", name);
}
#define SET(saved, name, nth, type, value) set_field(saved, name, nth, &(type){value}, sizeof(type))

static bool load(const struct device_class *class, void *dev, GByteArray *saved)
{
    bool ok = device_load(class, dev, saved->data, saved->len);
    g_byte_array_unref(saved);
    return ok;
}

/* --- IDE --- */

static void setup_ide(void)
{
    setup();
    struct ide_wiring wiring = {{wire_irq(&irq[14]), wire_irq(&irq[15])}, {pulse_count, &bus_requests, 0}};
    struct ide_drive_config config[4] = {
        {.kind = IDE_DISK, .block = &disk.block, .cylinders = 20, .heads = 16, .sectors = 63},
        {0},
        {.kind = IDE_CD, .block = &disc.block}};
    ram_block_init(&disk, 20 * 16 * 63 * 512);
    ram_block_init(&disc, 400 * 2048);
    pci = pci_bus_new();
    ide = ide_new(pci, &wiring, config);
    pci_config_write(pci, PCI_DEVFN(1, 1), PCI_BAR0 + 16, 4, 0xc000);
    pci_config_write(pci, PCI_DEVFN(1, 1), PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static void command(uint8_t select, uint8_t count, uint8_t opcode)
{
    outb(0x1f6, select);
    outb(0x1f2, count);
    outb(0x1f3, 1);
    outb(0x1f4, 0);
    outb(0x1f5, 0);
    outb(0x1f7, opcode);
}

static void read_cd(uint8_t sectors)
{
    const uint8_t packet[12] = {0x28, [8] = sectors};
    outb(0x176, 0xa0);
    outb(0x171, 0);
    outb(0x174, 0x00);
    outb(0x175, 0x08);
    outb(0x177, 0xa0);
    for (unsigned i = 0; i < 12; i += 2)
        ioport_write(0x170, 2, packet[i] | packet[i + 1] << 8);
}

static void complete_all(void)
{
    while (disk.count)
        ram_block_complete(&disk);
    while (disc.count)
        ram_block_complete(&disc);
}

/* As many sectors as the buffer holds, and a piece of them read. */
static void test_long_reply(void)
{
    setup_ide();
    read_cd(128);
    ram_block_complete(&disc);
    for (unsigned i = 0; i < 100; i += 2)
        ioport_read(0x170, 2);
    g_assert_true(load(&ide_class, ide, device_saved(&ide_class, ide)));
    for (unsigned i = 100; i < 128 * 2048; i += 2) {
        uint16_t want;
        memcpy(&want, disc.bytes + i, 2);
        g_assert_cmphex(ioport_read(0x170, 2), ==, want);
    }
}

static void test_raw_sectors_of_too_many(void)
{
    setup_ide();
    read_cd(128);
    GByteArray *saved = device_saved(&ide_class, ide);
    SET(saved, "cd_bytes", 1, uint16_t, 2352);
    g_assert_false(load(&ide_class, ide, saved));
    complete_all();
}

static void test_impossible_drives(void)
{
    static const struct {
        const char *name;
        unsigned nth;
        uint32_t size;
        uint64_t value;
    } fields[] = {{"multiple", 0, 1, 0},    {"track_sectors", 0, 2, 0}, {"heads", 0, 2, 0},
                  {"status", 1, 1, 0x50},   {"left", 1, 4, 100000},     {"left", 1, 4, 0},
                  {"filled", 0, 4, 262144}, {"lba", 0, 8, UINT64_MAX},  {"byte_limit", 1, 4, 1234567}};
    static const uint8_t opcodes[] = {0x20, 0x30, 0x40, 0xc4, 0xc5, 0xc8, 0xca};
    for (unsigned i = 0; i < G_N_ELEMENTS(fields) * G_N_ELEMENTS(opcodes); i++) {
        setup_ide();
        command(i & 1 ? 0xe0 : 0xa0, 8, opcodes[i % G_N_ELEMENTS(opcodes)]);
        read_cd(2);
        GByteArray *saved = device_saved(&ide_class, ide);
        set_field(saved, fields[i / G_N_ELEMENTS(opcodes)].name, fields[i / G_N_ELEMENTS(opcodes)].nth,
                  &fields[i / G_N_ELEMENTS(opcodes)].value, fields[i / G_N_ELEMENTS(opcodes)].size);
        load(&ide_class, ide, saved);
        for (unsigned n = 0; n < 3000; n++) {
            complete_all();
            ioport_read(0x1f0, 2);
            ioport_write(0x1f0, 2, n);
            ioport_read(0x170, 2);
        }
        command(0xe0, 1, 0x20);
        complete_all();
    }
}

/* A guest's: a table of two-byte descriptors that all point at the register which clears video memory. */
static void test_dma_to_a_slow_register(void)
{
    GError *error = NULL;
    setup_ide();
    vga_new(pci, PCI_DEVFN(2, 0), NULL, 0, &error);
    g_assert_no_error(error);
    pci_config_write(pci, PCI_DEVFN(2, 0), PCI_BAR0, 4, 0xe0000000);
    pci_config_write(pci, PCI_DEVFN(2, 0), PCI_BAR0 + 8, 4, 0xe2000000);
    pci_config_write(pci, PCI_DEVFN(2, 0), PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    static const uint16_t mode[] = {2048, 2048, 32};
    for (uint16_t i = 0; i < 3; i++) {
        ioport_write(0x1ce, 2, i + 1);
        ioport_write(0x1cf, 2, mode[i]);
    }
    for (unsigned i = 0; i < 8 * 512; i += 4)
        memcpy(disk.bytes + 512 + i, "\x41\0\0\0", 4);
    for (unsigned i = 0; i < 8192; i++) {
        const uint32_t descriptor[2] = {0xe2000508, 2};
        mem_write(0x100000 + 8 * i, descriptor, 8);
    }
    command(0xe0, 8, 0xc8);
    ram_block_complete(&disk);
    ioport_write(0xc004, 4, 0x100000);
    ioport_write(0xc000, 1, 9);
    unsigned before = (unsigned)guest_mem.device_accesses;
    ide_bus_granted(ide);
    g_assert_cmpuint((unsigned)guest_mem.device_accesses - before, <=, 16);
    for (unsigned i = 0; i < 500 && inb(0x1f7) & 0x80; i++) {
        bus_requests = 0;
        ide_bus_granted(ide);
    }
    g_assert_cmphex(inb(0x1f7), ==, 0x50); /* all of it has gone there in the end */
}

static void test_io_bar_at_the_end(void)
{
    setup_ide();
    pci_config_write(pci, PCI_DEVFN(1, 1), PCI_BAR0 + 16, 4, 0xffffffff);
    g_assert_true(ioport_is_free(0xfff0, 16));
}

/* --- Timers --- */

static void test_pit_between_mode_and_count(void)
{
    struct irq irq0 = wire_irq(&irq[0]);
    setup();
    struct pit *pit = pit_new(&irq0);
    outb(0x43, 0x30); /* mode 0, count 1 */
    outb(0x40, 1);
    outb(0x40, 0);
    vclock_fake_advance(MS);
    outb(0x43, 0x34);
    g_assert_true(load(&pit_class, pit, device_saved(&pit_class, pit)));
    GByteArray *saved = device_saved(&pit_class, pit);
    SET(saved, "load_tick", 0, int64_t, 11007000000000000);
    g_assert_false(load(&pit_class, pit, saved));
    vclock_fake_advance(MS);
}

static void test_rtc_of_long_ago(void)
{
    struct irq irq8 = wire_irq(&irq[8]);
    setup();
    struct rtc *rtc = rtc_new(&irq8);
    GByteArray *saved = device_saved(&rtc_class, rtc);
    SET(saved, "seen_seconds", 0, int64_t, INT64_MIN);
    g_assert_false(load(&rtc_class, rtc, saved));
}

static void no_eoi(void *opaque, uint8_t vector)
{
}

static void lapic_put(uint32_t offset, uint32_t value)
{
    mem_write(LAPIC_BASE + offset, &value, 4);
}

/* SDM vol. 3A, 10.5.4: a one-shot that is over starts again with the next initial count only. */
static void test_one_shot_stays_over(void)
{
    struct wire intr = {0};
    setup();
    struct lapic_wiring wiring = {.intr = wire_irq(&intr), .eoi = no_eoi};
    struct lapic *lapic = lapic_new(&wiring);
    lapic_put(0xf0, 0x1ff);
    lapic_put(0x320, 0x50);
    lapic_put(0x3e0, 0xb);
    lapic_put(0x380, 1000);
    vclock_fake_advance(MS);
    g_assert_cmphex(lapic_ack(lapic), ==, 0x50);
    lapic_put(0xb0, 0);
    vclock_fake_advance(MS);
    lapic_put(0x3e0, 0xa);
    vclock_fake_advance(MS);
    g_assert_false(intr.level);
    g_assert_true(load(&lapic_class, lapic, device_saved(&lapic_class, lapic)));
    vclock_fake_advance(MS);
    g_assert_false(intr.level);
    lapic_put(0x380, 1000);
    vclock_fake_advance(MS);
    g_assert_true(intr.level);
}

static void hpet_put(uint32_t offset, uint64_t value, uint32_t size)
{
    mem_write(HPET_BASE + offset, &value, size);
}

static struct hpet *hpet_start(void)
{
    setup();
    struct hpet_wiring wiring = {.legacy = {wire_irq(&irq[0]), wire_irq(&irq[8])}};
    for (unsigned i = 0; i < 32; i++)
        wiring.pin[i] = wire_irq(&pin[i]);
    return hpet_new(&wiring);
}

static void test_hpet_level_request_moves(void)
{
    hpet_start();
    hpet_put(0x100, 20 << 9 | 0x06, 8);
    hpet_put(0x108, 100, 8);
    hpet_put(0x10, 1, 8);
    vclock_fake_advance(MS);
    g_assert_true(pin[20].level);
    hpet_put(0x100, 21 << 9 | 0x06, 8);
    g_assert_true(pin[21].level && !pin[20].level);
    hpet_put(0x20, 1, 8);
    g_assert_false(pin[21].level);
}

static void test_hpet_level_request_is_loaded(void)
{
    struct hpet *hpet = hpet_start();
    hpet_put(0x100, 0x06, 8);
    hpet_put(0x108, 100, 8);
    hpet_put(0x10, 3, 8);
    vclock_fake_advance(MS);
    g_assert_true(irq[0].level);
    GByteArray *saved = device_saved(&hpet_class, hpet);
    hpet_class.reset(hpet);
    g_assert_false(irq[0].level);
    g_assert_true(load(&hpet_class, hpet, saved));
    g_assert_true(irq[0].level);
}

/* The period's other half is the period's, not the comparator's. */
static void test_hpet_period_in_halves(void)
{
    hpet_start();
    hpet_put(0x100, 20 << 9 | 0x4c, 4);
    hpet_put(0x10c, 0, 4);
    hpet_put(0x100, 20 << 9 | 0x4c, 4);
    hpet_put(0x108, 10000, 4);
    hpet_put(0x108, 5000, 4);
    hpet_put(0x10c, 0, 4);
    hpet_put(0x10, 1, 8);
    vclock_fake_advance(100000 * 10 + 5);
    g_assert_cmpuint(pin[20].rises, ==, 19); /* at 10,000, then each 5,000 */
}

/* --- The floppy controller --- */

static void fdc_start(void)
{
    struct block *const blocks[2] = {&disk.block, NULL};
    setup();
    ram_block_init(&disk, 1474560);
    struct fdc_wiring wiring = {wire_irq(&irq[6]), {pulse_count, &bus_requests, 0}, dma8237_new()};
    fdc = fdc_new(&wiring, blocks);
    outb(0x3f2, 0x1c);
    outb(0x3f7, 0);
    vclock_fake_advance(MS);
    for (unsigned i = 0; i < 4; i++) {
        outb(0x3f5, 0x08);
        inb(0x3f5);
        inb(0x3f5);
    }
}

/* Through the data register: the processor is to give the bytes. */
static void fdc_write_begin(void)
{
    static const uint8_t bytes[9] = {0x45, 0, 0, 0, 1, 2, 18, 27, 255};
    outb(0x3f2, 0x14);
    for (unsigned i = 0; i < 9; i++)
        outb(0x3f5, bytes[i]);
    vclock_fake_advance(MS);
    g_assert_cmphex(inb(0x3f4) & 0xe0, ==, 0xa0);
}

static void test_disk_taken_out_while_written(void)
{
    fdc_start();
    fdc_write_begin();
    disk.block.has_medium = false;
    disk.block.size = 0;
    fdc_medium_changed(fdc, 0);
    g_assert_true(load(&fdc_class, fdc, device_saved(&fdc_class, fdc)));
    for (unsigned i = 0; i < 1000; i++)
        outb(0x3f5, 0);
}

static void test_fdc_beyond_its_buffers(void)
{
    const uint8_t fifo[16] = {0x46};
    fdc_start();
    fdc_write_begin();
    GByteArray *saved = device_saved(&fdc_class, fdc);
    SET(saved, "pos", 0, uint32_t, 40960);
    SET(saved, "len", 0, uint32_t, 40960);
    g_assert_false(load(&fdc_class, fdc, saved));
    fdc_start();
    saved = device_saved(&fdc_class, fdc);
    set_field(saved, "fifo", 0, fifo, 16);
    SET(saved, "fifo_pos", 0, uint8_t, 10);
    SET(saved, "fifo_len", 0, uint8_t, 16);
    g_assert_false(load(&fdc_class, fdc, saved));
}

/* --- The Cirrus card's blitter --- */

static struct cirrus *cirrus_start(void)
{
    GError *error = NULL;
    setup();
    pci = pci_bus_new();
    struct cirrus *cirrus = cirrus_new(pci, PCI_DEVFN(2, 0), NULL, &error);
    g_assert_no_error(error);
    pci_config_write(pci, PCI_DEVFN(2, 0), PCI_BAR0, 4, 0xe0000000);
    pci_config_write(pci, PCI_DEVFN(2, 0), PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    outb(0x3c4, 0x06);
    outb(0x3c5, 0x12);
    return cirrus;
}

static void cirrus_gr(uint8_t index, uint8_t value)
{
    outb(0x3ce, index);
    outb(0x3cf, value);
}

/* A row of 64 bytes comes from the processor, and half of it has. */
static struct cirrus *cirrus_amid_a_row(void)
{
    struct cirrus *cirrus = cirrus_start();
    cirrus_gr(0x20, 63);
    cirrus_gr(0x22, 1);
    cirrus_gr(0x30, 0x04);
    cirrus_gr(0x32, 0x0d);
    cirrus_gr(0x31, 0x02);
    for (unsigned i = 0; i < 32; i += 4)
        mem_write(0xe0000000, &i, 4);
    return cirrus;
}

static void test_cirrus_beyond_its_row(void)
{
    static const struct {
        const char *name;
        uint32_t size;
        uint64_t value;
    } fields[] = {{"cpu_filled", 4, 64},  {"cpu_filled", 4, UINT32_MAX}, {"cpu_size", 4, 0},
                  {"cpu_size", 4, 32},    {"cpu_size", 4, 8193},         {"blt_state", 1, 4},
                  {"blt_is_next", 1, 1},  {"blt_is_next", 1, 2},         {"cursor_x", 2, 2048},
                  {"cursor_y", 2, 65535}, {"hidden_dac_count", 1, 5}};
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        struct cirrus *cirrus = cirrus_amid_a_row();
        GByteArray *saved = device_saved(&cirrus_class, cirrus);
        set_field(saved, fields[i].name, 0, &fields[i].value, fields[i].size);
        g_assert_false(load(&cirrus_class, cirrus, saved));
        for (unsigned n = 0; n < 200; n++)
            mem_write(0xe0000000, &n, 4);
        cirrus_free(cirrus);
        pci_bus_free(pci);
    }
}

/* Nobody's blit, byte by byte: refused, or one that ends and stays in memory. */
static void test_cirrus_any_blit(void)
{
    for (unsigned i = 0; i < 400; i++) {
        struct cirrus *cirrus = cirrus_amid_a_row();
        GByteArray *saved = device_saved(&cirrus_class, cirrus);
        uint8_t *blt = NULL;
        for (guint at = 0; !blt && at + 12 < saved->len; at++) {
            if (saved->data[at] == 3 && memcmp(saved->data + at + 1, "blt", 3) == 0)
                blt = saved->data + at + 8;
        }
        g_assert_nonnull(blt);
        for (unsigned n = 0; n < 3; n++)
            blt[g_random_int_range(0, 5) ? g_random_int_range(260, 290) : g_random_int_range(0, 5)] =
                (uint8_t)g_random_int();
        SET(saved, "blt_state", 0, uint8_t, (uint8_t)(1 + i % 3));
        if (load(&cirrus_class, cirrus, saved)) {
            for (unsigned n = 0; n < 3000; n++) {
                uint32_t value;
                mem_write(0xe0000000, &n, 4);
                mem_read(0xe0000000, &value, 4);
            }
            vclock_fake_advance(1000 * MS);
        }
        cirrus_free(cirrus);
        pci_bus_free(pci);
    }
}

/* --- The SVGA card, in the middle of a copy --- */

static void test_svga_beyond_its_memory(void)
{
    static const struct {
        uint8_t at; /* in struct svga_op: dst, src, step, bytes, rows, pixel and rop and is_copy */
        uint32_t value;
    } fields[] = {{0, 16 * MiB},   {0, 16 * MiB - 100}, {0, UINT32_MAX}, {4, 16 * MiB},    {4, 16 * MiB - 9000},
                  {8, 0x7fffffff}, {8, 0x80000000},     {8, 0x10000},    {12, UINT32_MAX}, {12, 10244},
                  {12, 1023},      {16, UINT32_MAX},    {16, 1601},      {24, 0x010300},   {24, 0x010305},
                  {24, 0x011004},  {24, 0x020304}};
    for (unsigned i = 0; i < G_N_ELEMENTS(fields) + 30; i++) {
        GError *error = NULL;
        bool is_any = i >= G_N_ELEMENTS(fields);
        setup();
        pci = pci_bus_new();
        struct svga *svga = svga_new(pci, PCI_DEVFN(2, 0), 16 * MiB, NULL, &error);
        g_assert_no_error(error);
        GByteArray *saved = device_saved(&svga_class, svga);
        uint32_t op[8] = {0x100000, 0x300000, 10240, 1024, 900, 0, 0x010304, 0};
        if (is_any)
            op[g_random_int_range(0, 5)] = (uint32_t)g_random_int() >> g_random_int_range(0, 24);
        else
            op[fields[i].at / 4] = fields[i].value;
        set_field(saved, "op", 0, op, 28);
        SET(saved, "config_done", 0, uint8_t, 1);
        bool ok = load(&svga_class, svga, saved);
        g_assert_true(is_any || !ok);
        if (ok)
            vclock_fake_advance(100 * MS);
        svga_free(svga);
        pci_bus_free(pci);
    }
}

#define TEST(name) g_test_add_func("/strange_states/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(long_reply);
    TEST(raw_sectors_of_too_many);
    TEST(impossible_drives);
    TEST(dma_to_a_slow_register);
    TEST(io_bar_at_the_end);
    TEST(pit_between_mode_and_count);
    TEST(rtc_of_long_ago);
    TEST(one_shot_stays_over);
    TEST(hpet_level_request_moves);
    TEST(hpet_level_request_is_loaded);
    TEST(hpet_period_in_halves);
    TEST(disk_taken_out_while_written);
    TEST(fdc_beyond_its_buffers);
    TEST(cirrus_beyond_its_row);
    TEST(cirrus_any_blit);
    TEST(svga_beyond_its_memory);
    return g_test_run();
}

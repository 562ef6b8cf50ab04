/* 82077AA: registers, resets, seeks, data transfers by DMA and by the processor, errors. */
#include "board.h"
#include "devices/fdc.h"
#include "mem.h"
#include "ram_block.h"

#define DATA 0x20000

static struct wire irq6;
static unsigned bus_requests;
static struct dma8237 *dma;
static struct fdc *fdc;
static struct ram_block disk;

static void create(void)
{
    struct block *const blocks[2] = {&disk.block, NULL};
    memset(&irq6, 0, sizeof(irq6));
    bus_requests = 0;
    dma = dma8237_new();
    struct fdc_wiring wiring = {wire_irq(&irq6), {pulse_count, &bus_requests, 0}, dma};
    fdc = fdc_new(&wiring, blocks);
}

static void destroy(void)
{
    fdc_free(fdc);
    dma8237_free(dma);
}

/* Lets time pass and ends all that waits. */
static void settle(void)
{
    for (unsigned i = 0; i < 200; i++) {
        vclock_fake_advance(1 * MS);
        while (disk.count || bus_requests) {
            bus_requests = 0;
            fdc_bus_granted(fdc);
            if (disk.count)
                ram_block_complete(&disk);
        }
    }
}

static uint8_t result[16];

static unsigned read_result(void)
{
    unsigned n = 0;
    while ((inb(0x3f4) & 0xd0) == 0xd0 && n < sizeof(result))
        result[n++] = inb(0x3f5);
    return n;
}

static void command(const uint8_t *bytes, unsigned len)
{
    for (unsigned i = 0; i < len; i++) {
        g_assert_cmphex(inb(0x3f4) & 0xc0, ==, 0x80);
        outb(0x3f5, bytes[i]);
    }
}
#define COMMAND(...) command((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void setup_size(uint64_t size)
{
    GError *error = NULL;
    if (fdc) {
        destroy();
        g_free(disk.bytes);
    }
    ioport_clear();
    vclock_fake_start();
    if (!guest_mem.ram)
        mem_init(16 * MiB, &error);
    g_assert_no_error(error);
    ram_block_init(&disk, size);
    create();
    outb(0xd6, 0xc0);
    outb(0xd4, 0x00);
    outb(0x3f2, 0x1c); /* out of reset, motor of drive 0 */
    settle();
    for (unsigned i = 0; i < 4; i++) {
        COMMAND(0x08);
        read_result();
    }
    outb(0x3f7, size == 368640 || size == 737280 ? 2 : size == 2949120 ? 3 : 0);
}

static void setup(void)
{
    setup_size(1474560);
}

static void dma_program(bool to_memory, uint32_t count)
{
    outb(0x0a, 0x06);
    outb(0x0c, 0);
    outb(0x0b, to_memory ? 0x46 : 0x4a);
    outb(0x04, DATA & 0xff);
    outb(0x04, DATA >> 8 & 0xff);
    outb(0x05, (count - 1) & 0xff);
    outb(0x05, (count - 1) >> 8);
    outb(0x81, DATA >> 16);
    outb(0x0a, 0x02);
}

static void seek(uint8_t cylinder)
{
    COMMAND(0x0f, 0, cylinder);
    settle();
    COMMAND(0x08);
    g_assert_cmpuint(read_result(), ==, 2);
    g_assert_cmphex(result[0] & 0xf8, ==, 0x20);
    g_assert_cmpuint(result[1], ==, cylinder);
}

static void assert_sectors(unsigned lba, unsigned count)
{
    uint8_t bytes[512];
    for (unsigned i = 0; i < count; i++) {
        mem_read(DATA + i * 512, bytes, 512);
        g_assert_cmpmem(bytes, 512, disk.bytes + (lba + i) * 512, 512);
    }
}

/* --- Registers and resets --- */

static void test_reset_interrupt_and_four_senses(void)
{
    setup();
    outb(0x3f2, 0x00);
    g_assert_cmphex(inb(0x3f4), ==, 0);
    outb(0x3f2, 0x0c);
    g_assert_false(irq6.level);
    settle();
    g_assert_true(irq6.level);
    for (unsigned i = 0; i < 4; i++) {
        COMMAND(0x08);
        g_assert_cmpuint(read_result(), ==, 2);
        g_assert_cmphex(result[0], ==, 0xc0 + i);
        g_assert_false(irq6.level);
    }
    COMMAND(0x08); /* nothing to sense: an invalid command */
    g_assert_cmpuint(read_result(), ==, 1);
    g_assert_cmphex(result[0], ==, 0x80);
}

static void test_dsr_reset(void)
{
    setup();
    irq6.rises = 0;
    outb(0x3f4, 0x80);
    settle();
    g_assert_cmpuint(irq6.rises, ==, 1);
    COMMAND(0x08);
    read_result();
    g_assert_cmphex(result[0], ==, 0xc0);
}

/* QEMU's interrupt does not go through the DOR's DMA gate; with it closed the processor moves the data. */
static void test_closed_dma_gate(void)
{
    setup();
    outb(0x3f2, 0x00);
    outb(0x3f2, 0x14);
    settle();
    g_assert_true(irq6.level);
    COMMAND(0x08);
    read_result();
    g_assert_false(irq6.level);
    outb(0x3f7, 0);
    COMMAND(0xe6, 0x00, 0, 0, 7, 2, 7, 27, 255);
    settle();
    g_assert_true(irq6.level);
    for (unsigned i = 0; i < 512; i++) {
        g_assert_cmphex(inb(0x3f4) & 0xf0, ==, 0xf0);
        g_assert_cmphex(inb(0x3f5), ==, disk.bytes[6 * 512 + i]);
    }
    settle();
    outb(0x3f2, 0x00);
    outb(0x3f2, 0x14);
    settle();
    COMMAND(0x03, 0xdf, 0x02); /* SPECIFY with DMA opens it */
    g_assert_cmphex(inb(0x3f2), ==, 0x1c);
    COMMAND(0x03, 0xdf, 0x03);
    g_assert_cmphex(inb(0x3f2), ==, 0x14);
}

static void test_version_and_invalid(void)
{
    setup();
    COMMAND(0x10);
    g_assert_cmpuint(read_result(), ==, 1);
    g_assert_cmphex(result[0], ==, 0x90);
    COMMAND(0x1f);
    g_assert_cmpuint(read_result(), ==, 1);
    g_assert_cmphex(result[0], ==, 0x80);
    g_assert_cmphex(inb(0x3f4), ==, 0x80);
}

static void test_specify_configure_lock_dump(void)
{
    setup();
    COMMAND(0x03, 0xdf, 0x02);
    COMMAND(0x13, 0x00, 0x57, 0x00);
    COMMAND(0x94);
    g_assert_cmpuint(read_result(), ==, 1);
    g_assert_cmphex(result[0], ==, 0x10);
    outb(0x3f4, 0x80); /* locked: the configuration survives */
    settle();
    COMMAND(0x0e);
    g_assert_cmpuint(read_result(), ==, 10);
    g_assert_cmphex(result[4], ==, 0xdf);
    g_assert_cmphex(result[5], ==, 0x02);
    g_assert_cmphex(result[7] & 0x80, ==, 0x80);
    g_assert_cmphex(result[8], ==, 0x57);
    COMMAND(0x14);
    read_result();
    outb(0x3f4, 0x80);
    settle();
    COMMAND(0x0e);
    read_result();
    g_assert_cmphex(result[8], ==, 0x20);
}

/* --- Mechanics --- */

static void test_recalibrate_and_seek(void)
{
    setup();
    COMMAND(0x0f, 0x00, 40);
    g_assert_cmphex(inb(0x3f4), ==, 0x81); /* drive 0 is busy, commands are taken */
    settle();
    g_assert_true(irq6.level);
    g_assert_cmphex(inb(0x3f4), ==, 0x80);
    COMMAND(0x08);
    read_result();
    g_assert_cmphex(result[0], ==, 0x20);
    g_assert_cmpuint(result[1], ==, 40);
    g_assert_false(irq6.level);
    COMMAND(0x04, 0x00);
    read_result();
    g_assert_cmphex(result[0] & 0x10, ==, 0x00);
    COMMAND(0x07, 0x00);
    settle();
    COMMAND(0x08);
    read_result();
    g_assert_cmphex(result[0], ==, 0x20);
    g_assert_cmpuint(result[1], ==, 0);
    COMMAND(0x04, 0x00);
    read_result();
    g_assert_cmphex(result[0] & 0x10, ==, 0x10); /* track 0 */
}

static void test_relative_seek(void)
{
    setup();
    seek(10);
    COMMAND(0xcf, 0x00, 5);
    settle();
    COMMAND(0x08);
    read_result();
    g_assert_cmpuint(result[1], ==, 15);
    COMMAND(0x8f, 0x00, 3);
    settle();
    COMMAND(0x08);
    read_result();
    g_assert_cmpuint(result[1], ==, 12);
}

static void test_seek_takes_time_by_distance(void)
{
    setup();
    COMMAND(0x0f, 0x00, 70);
    vclock_fake_advance(2 * MS);
    g_assert_false(irq6.level);
    settle();
    g_assert_true(irq6.level);
}

static void test_drive_that_is_not_there(void)
{
    setup();
    COMMAND(0x07, 0x01);
    settle();
    COMMAND(0x08);
    read_result();
    g_assert_cmphex(result[0], ==, 0x71); /* abnormal, seek end, equipment check, drive 1 */
}

static void test_disk_change_line(void)
{
    setup();
    g_assert_cmphex(inb(0x3f7) & 0x80, ==, 0x80);
    seek(1);
    g_assert_cmphex(inb(0x3f7) & 0x80, ==, 0x00);
    seek(0);
    fdc_medium_changed(fdc, 0);
    g_assert_cmphex(inb(0x3f7) & 0x80, ==, 0x80);
    seek(0); /* no step: it stays */
    g_assert_cmphex(inb(0x3f7) & 0x80, ==, 0x80);
    seek(1);
    g_assert_cmphex(inb(0x3f7) & 0x80, ==, 0x00);
    outb(0x3f2, 0x0d); /* drive 1 is not there */
    g_assert_cmphex(inb(0x3f7) & 0x80, ==, 0x00);
}

static void test_empty_drive(void)
{
    setup();
    disk.block.has_medium = false;
    fdc_medium_changed(fdc, 0);
    COMMAND(0x46, 0, 0, 0, 1, 2, 18, 27, 255);
    settle();
    g_assert_cmpuint(read_result(), ==, 7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0x40);
    seek(1);
    g_assert_cmphex(inb(0x3f7) & 0x80, ==, 0x80);
}

/* --- Reading --- */

static void test_read_one_sector(void)
{
    setup();
    dma_program(true, 512);
    COMMAND(0x46, 0x00, 0, 0, 3, 2, 18, 27, 255);
    g_assert_cmphex(inb(0x3f4), ==, 0x10); /* busy */
    g_assert_false(irq6.level);
    settle();
    g_assert_true(irq6.level);
    g_assert_cmphex(inb(0x3f4), ==, 0xd0);
    g_assert_cmpuint(read_result(), ==, 7);
    const uint8_t want[7] = {0, 0, 0, 0, 0, 4, 2};
    g_assert_cmpmem(result, 7, want, 7);
    g_assert_false(irq6.level);
    assert_sectors(2, 1);
}

static void test_read_seeks_first(void)
{
    setup();
    seek(5);
    dma_program(true, 512 * 2);
    COMMAND(0x46, 0x04, 5, 1, 17, 2, 18, 27, 255);
    settle();
    read_result();
    const uint8_t want[7] = {4, 0, 0, 6, 1, 1, 2}; /* behind the last sector: the next cylinder */
    g_assert_cmpmem(result, 7, want, 7);
    assert_sectors((5 * 2 + 1) * 18 + 16, 2);
}

static void test_multi_track(void)
{
    setup();
    seek(2);
    dma_program(true, 36 * 512);
    COMMAND(0xc6, 0x00, 2, 0, 1, 2, 18, 27, 255);
    settle();
    read_result();
    const uint8_t want[7] = {0, 0, 0, 3, 0, 1, 2};
    g_assert_cmpmem(result, 7, want, 7);
    assert_sectors(72, 36);
    g_assert_cmpuint(disk.reads, ==, 1);
}

static void test_end_of_cylinder_without_terminal_count(void)
{
    setup();
    dma_program(true, 10 * 512);
    COMMAND(0x46, 0x00, 0, 0, 17, 2, 18, 27, 255);
    settle();
    read_result();
    g_assert_cmphex(result[0] & 0xc0, ==, 0x40);
    g_assert_cmphex(result[1], ==, 0x80);
    assert_sectors(16, 2);
}

static void test_sector_that_is_not_there(void)
{
    setup();
    dma_program(true, 512);
    COMMAND(0x46, 0x00, 0, 0, 19, 2, 19, 27, 255);
    settle();
    read_result();
    g_assert_cmphex(result[1], ==, 0x04);         /* no data */
    COMMAND(0x46, 0x00, 7, 0, 1, 2, 18, 27, 255); /* the head is at 0 */
    settle();
    read_result();
    g_assert_cmphex(result[1], ==, 0x04);
    g_assert_cmphex(result[2], ==, 0x10);         /* wrong cylinder */
    COMMAND(0x46, 0x00, 0, 0, 1, 3, 18, 27, 255); /* 1024-byte sectors */
    settle();
    read_result();
    g_assert_cmphex(result[1], ==, 0x04);
}

static void test_wrong_data_rate(void)
{
    setup();
    outb(0x3f7, 2);
    dma_program(true, 512);
    COMMAND(0x46, 0x00, 0, 0, 1, 2, 18, 27, 255);
    settle();
    read_result();
    g_assert_cmphex(result[1], ==, 0x01); /* no address mark */
    COMMAND(0x4a, 0x00);
    settle();
    read_result();
    g_assert_cmphex(result[1], ==, 0x01);
    outb(0x3f7, 0);
    COMMAND(0x4a, 0x00);
    settle();
    read_result();
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
}

static void test_read_id_turns(void)
{
    unsigned seen = 0;
    setup();
    seek(3);
    for (unsigned i = 0; i < 18; i++) {
        COMMAND(0x4a, 0x04);
        settle();
        read_result();
        g_assert_cmpuint(result[3], ==, 3);
        g_assert_cmpuint(result[4], ==, 1);
        seen |= 1u << result[5];
    }
    g_assert_cmphex(seen, ==, 0x7fffe);
}

static void test_read_track(void)
{
    setup();
    dma_program(true, 18 * 512);
    COMMAND(0x42, 0x00, 0, 0, 5, 2, 18, 27, 255);
    settle();
    read_result();
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    assert_sectors(0, 18);
}

static void test_read_deleted_marks_ordinary_sector(void)
{
    setup();
    dma_program(true, 1024);
    COMMAND(0x4c, 0x00, 0, 0, 1, 2, 18, 27, 255);
    settle();
    read_result();
    g_assert_cmphex(result[2] & 0x40, ==, 0x40);
    assert_sectors(0, 1);
}

static void test_verify(void)
{
    setup();
    COMMAND(0xd6, 0x80, 0, 0, 1, 2, 18, 27, 9);
    settle();
    read_result();
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    g_assert_cmpuint(result[5], ==, 10);
}

static void test_processor_transfer(void)
{
    setup();
    COMMAND(0x03, 0xdf, 0x03); /* no DMA */
    COMMAND(0x46, 0x00, 0, 0, 18, 2, 18, 27, 255);
    settle();
    g_assert_true(irq6.level);
    for (unsigned i = 0; i < 512; i++) {
        g_assert_cmphex(inb(0x3f4), ==, 0xf0);
        g_assert_cmphex(inb(0x3f5), ==, disk.bytes[17 * 512 + i]);
    }
    g_assert_true(irq6.level); /* the result's */
    read_result();
    g_assert_cmphex(result[1], ==, 0x80); /* there is no terminal count here */
}

static void test_implied_seek(void)
{
    setup();
    COMMAND(0x13, 0x00, 0x57, 0x00);
    dma_program(true, 512);
    COMMAND(0x46, 0x00, 20, 0, 1, 2, 18, 27, 255);
    settle();
    read_result();
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    assert_sectors(720, 1);
}

static void test_dma_channel_opened_later(void)
{
    setup();
    outb(0x0a, 0x06);
    COMMAND(0x46, 0x00, 0, 0, 1, 2, 18, 27, 255);
    settle();
    g_assert_false(irq6.level);
    dma_program(true, 512);
    settle();
    g_assert_true(irq6.level);
    assert_sectors(0, 1);
}

/* --- Writing --- */

static void test_write(void)
{
    uint8_t bytes[1024];
    setup();
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 5 + 3);
    mem_write(DATA, bytes, sizeof(bytes));
    seek(1);
    dma_program(false, 1024);
    COMMAND(0x45, 0x00, 1, 0, 4, 2, 18, 27, 255);
    settle();
    read_result();
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    g_assert_cmpuint(result[5], ==, 6);
    g_assert_cmpmem(disk.bytes + (36 + 3) * 512, 1024, bytes, 1024);
}

static void test_terminal_count_in_a_sector_fills_it(void)
{
    uint8_t bytes[100], zero[412] = {0};
    setup();
    memset(bytes, 0xee, sizeof(bytes));
    mem_write(DATA, bytes, sizeof(bytes));
    dma_program(false, 100);
    COMMAND(0x45, 0x00, 0, 0, 1, 2, 18, 27, 255);
    settle();
    read_result();
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    g_assert_cmpmem(disk.bytes, 100, bytes, 100);
    g_assert_cmpmem(disk.bytes + 100, 412, zero, 412);
}

static void test_write_protect(void)
{
    setup();
    disk.block.read_only = true;
    dma_program(false, 512);
    COMMAND(0x45, 0x00, 0, 0, 1, 2, 18, 27, 255);
    settle();
    read_result();
    g_assert_cmphex(result[0] & 0xc0, ==, 0x40);
    g_assert_cmphex(result[1], ==, 0x02);
    g_assert_cmpuint(disk.writes, ==, 0);
    COMMAND(0x04, 0x00);
    read_result();
    g_assert_cmphex(result[0] & 0x40, ==, 0x40);
}

static void test_medium_taken_out_in_a_write(void)
{
    setup();
    outb(0x0a, 0x06); /* the data does not come yet */
    COMMAND(0x45, 0x00, 0, 0, 1, 2, 18, 27, 255);
    settle();
    disk.block.has_medium = false;
    fdc_medium_changed(fdc, 0);
    dma_program(false, 512);
    settle();
    read_result();
    g_assert_cmphex(result[0] & 0xc0, ==, 0x40);
    g_assert_cmphex(result[1], ==, 0x01);
    g_assert_cmpuint(disk.writes, ==, 0);
}

static void test_format_track(void)
{
    uint8_t ids[18 * 4], want[512];
    setup();
    seek(2);
    for (unsigned i = 0; i < 18; i++) {
        ids[4 * i] = 2;
        ids[4 * i + 1] = 1;
        ids[4 * i + 2] = (uint8_t)(i + 1);
        ids[4 * i + 3] = 2;
    }
    mem_write(DATA, ids, sizeof(ids));
    dma_program(false, sizeof(ids));
    COMMAND(0x4d, 0x04, 2, 18, 0x54, 0xf6);
    settle();
    g_assert_cmpuint(read_result(), ==, 7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    memset(want, 0xf6, sizeof(want));
    for (unsigned i = 0; i < 18; i++)
        g_assert_cmpmem(disk.bytes + ((2 * 2 + 1) * 18 + i) * 512, 512, want, 512);
}

static void test_host_error_is_a_data_error(void)
{
    setup();
    disk.error = EIO;
    dma_program(true, 512);
    COMMAND(0x46, 0x00, 0, 0, 1, 2, 18, 27, 255);
    settle();
    read_result();
    g_assert_cmphex(result[0] & 0xc0, ==, 0x40);
    g_assert_cmphex(result[1], ==, 0x20);
}

static void test_reset_during_read(void)
{
    setup();
    dma_program(true, 512);
    COMMAND(0x46, 0x00, 0, 0, 1, 2, 18, 27, 255);
    vclock_fake_advance(1 * MS);
    g_assert_cmpuint(disk.count, ==, 1);
    for (unsigned i = 0; i < 100; i++) { /* a medium that hangs: the guest collects no requests */
        outb(0x3f2, 0x00);
        outb(0x3f2, 0x1c);
        vclock_fake_advance(1 * MS);
        g_assert_cmphex(inb(0x3f4) & 0x80, ==, 0);
        g_assert_cmpuint(disk.count, ==, 1);
    }
    fdc_class.reset(fdc);
    outb(0x3f2, 0x1c);
    vclock_fake_advance(1 * MS);
    g_assert_cmphex(inb(0x3f4) & 0x80, ==, 0);
    ram_block_complete(&disk); /* it comes too late */
    settle();
    COMMAND(0x08);
    read_result();
    g_assert_cmphex(result[0], ==, 0xc0);
}

/* --- Sizes --- */

static void test_sizes(void)
{
    static const struct {
        unsigned kib, sectors;
        enum fdc_drive_type type;
    } sizes[] = {{160, 8, FDC_360K},    {180, 9, FDC_360K},    {320, 8, FDC_360K},    {360, 9, FDC_360K},
                 {720, 9, FDC_1440K},   {1200, 15, FDC_1200K}, {1440, 18, FDC_1440K}, {2880, 36, FDC_2880K},
                 {1680, 21, FDC_1440K}, {800, 10, FDC_1440K},  {1743, 21, FDC_1440K}, {1920, 24, FDC_1440K},
                 {880, 11, FDC_1200K},  {1476, 18, FDC_1200K}};
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        setup_size(sizes[i].kib * 1024ull);
        g_assert_cmpint(fdc_type_of(&disk.block), ==, sizes[i].type);
        outb(0x3f7, sizes[i].kib <= 880 ? 2 : sizes[i].kib == 2880 ? 3 : 0);
        dma_program(true, 512);
        COMMAND(0x46, 0x00, 0, 0, (uint8_t)sizes[i].sectors, 2, (uint8_t)sizes[i].sectors, 27, 255);
        settle();
        read_result();
        g_assert_cmphex(result[0] & 0xc0, ==, 0);
        assert_sectors(sizes[i].sectors - 1, 1);
        COMMAND(0x46, 0x00, 0, 0, (uint8_t)(sizes[i].sectors + 1), 2, 99, 27, 255);
        settle();
        read_result();
        g_assert_cmphex(result[1], ==, 0x04);
    }
    g_assert_true(fdc_fits(2949120));
    g_assert_false(fdc_fits(2949120 + 512));
}

/* Of no known size: what QEMU makes of it, the format of a 2.88M drive, whose end the image lacks. */
static void test_short_image_reads_zeros_behind_its_end(void)
{
    static const uint64_t sizes[] = {512, 3584, 26112, 1296384, 2949120 - 512};
    uint8_t bytes[512], zero[512] = {0};
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        setup_size(sizes[i]);
        outb(0x3f7, 3);
        g_assert_cmpint(fdc_type_of(&disk.block), ==, FDC_2880K);
        seek(79);
        dma_program(true, 512);
        COMMAND(0x46, 0x04, 79, 1, 36, 2, 36, 27, 255);
        settle();
        read_result();
        g_assert_cmphex(result[0] & 0xc0, ==, 0);
        mem_read(DATA, bytes, 512);
        g_assert_cmpmem(bytes, 512, zero, 512);
        dma_program(false, 512);
        COMMAND(0x45, 0x04, 79, 1, 36, 2, 36, 27, 255);
        settle();
        read_result();
        g_assert_cmphex(result[1], ==, 0x20);
    }
}

/* The drive keeps its kind: a medium of no known size in it is read as that kind's own. */
static void test_drive_keeps_its_kind(void)
{
    setup();
    disk.block.size = 100 * 512;
    fdc_medium_changed(fdc, 0);
    seek(1);
    dma_program(true, 512);
    COMMAND(0x46, 0x00, 1, 0, 18, 2, 18, 27, 255); /* 53 of 100 sectors */
    settle();
    read_result();
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    assert_sectors(53, 1);
}

/* A read with MT ends with the terminal count, not with a side or a cylinder: so do QEMU's. */
static void test_multi_track_goes_over_cylinders(void)
{
    setup();
    seek(3);
    dma_program(true, 100 * 512);
    COMMAND(0xe6, 0x00, 3, 0, 2, 2, 101, 27, 255);
    settle();
    g_assert_cmpuint(read_result(), ==, 7);
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    assert_sectors(3 * 36 + 1, 100);
    g_assert_cmpuint(result[3], ==, 5);
    g_assert_cmpuint(result[4], ==, 1);
    g_assert_cmpuint(result[5], ==, 12);

    seek(3); /* EOT before the end of a side */
    dma_program(true, 30 * 512);
    COMMAND(0xc6, 0x00, 3, 0, 1, 2, 10, 27, 255);
    settle();
    read_result();
    g_assert_cmphex(result[0] & 0xc0, ==, 0x40); /* 10 and 10: EOT and MT allow no more */
    assert_sectors(3 * 36, 10);
    seek(79); /* the disk's end is an end */
    dma_program(true, 40 * 512);
    COMMAND(0xe6, 0x00, 79, 0, 1, 2, 40, 27, 255);
    settle();
    read_result();
    g_assert_cmphex(result[0] & 0xc0, ==, 0x40);
    g_assert_cmphex(result[1], ==, 0x80);
}

static void test_multi_track_writes_over_cylinders(void)
{
    uint8_t bytes[512];
    setup();
    seek(3);
    for (unsigned i = 0; i < 50; i++) {
        memset(bytes, (int)i + 1, sizeof(bytes));
        mem_write(DATA + 512 * i, bytes, sizeof(bytes));
    }
    dma_program(false, 50 * 512);
    COMMAND(0xc5, 0x00, 3, 0, 2, 2, 51, 27, 255);
    settle();
    read_result();
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    assert_sectors(3 * 36 + 1, 50);
}

/* Simple kernels sense once after a reset, recalibrate and sense again: that answer is the recalibration's. */
static void test_reset_needs_no_four_senses(void)
{
    setup();
    outb(0x3f2, 0x00);
    outb(0x3f2, 0x1c);
    settle();
    COMMAND(0x08);
    read_result();
    g_assert_cmphex(result[0], ==, 0xc0);
    COMMAND(0x07, 0x00);
    settle();
    g_assert_true(irq6.level);
    COMMAND(0x08);
    g_assert_cmpuint(read_result(), ==, 2);
    g_assert_cmphex(result[0], ==, 0x20);
    g_assert_cmphex(result[1], ==, 0);
    COMMAND(0x08);
    g_assert_cmpuint(read_result(), ==, 1);
    g_assert_cmphex(result[0], ==, 0x80);
}

/* --- Save and load --- */

static void test_save_load_in_seek_and_in_read(void)
{
    setup();
    seek(9);
    COMMAND(0x0f, 0x00, 50);
    GByteArray *saved = device_saved(&fdc_class, fdc);
    destroy();
    create();
    device_load_checked(&fdc_class, fdc, saved);
    settle();
    COMMAND(0x08);
    read_result();
    g_assert_cmpuint(result[1], ==, 50);

    COMMAND(0x46, 0x00, 50, 0, 1, 2, 18, 27, 255);
    vclock_fake_advance(1 * MS);
    g_assert_cmpuint(disk.count, ==, 1);
    saved = device_saved(&fdc_class, fdc);
    GByteArray *dma_saved = device_saved(&dma8237_class, dma);
    destroy();
    ram_block_complete(&disk);
    create();
    device_load_checked(&dma8237_class, dma, dma_saved);
    g_assert_true(device_load(&fdc_class, fdc, saved->data, saved->len));
    g_byte_array_unref(saved);
    outb(0xd6, 0xc0);
    outb(0xd4, 0x00);
    dma_program(true, 512);
    settle();
    read_result();
    g_assert_cmphex(result[0] & 0xc0, ==, 0);
    assert_sectors(1800, 1);
}

#define TEST(name) g_test_add_func("/fdc/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(reset_interrupt_and_four_senses);
    TEST(dsr_reset);
    TEST(closed_dma_gate);
    TEST(version_and_invalid);
    TEST(specify_configure_lock_dump);
    TEST(recalibrate_and_seek);
    TEST(relative_seek);
    TEST(seek_takes_time_by_distance);
    TEST(drive_that_is_not_there);
    TEST(disk_change_line);
    TEST(empty_drive);
    TEST(read_one_sector);
    TEST(read_seeks_first);
    TEST(multi_track);
    TEST(end_of_cylinder_without_terminal_count);
    TEST(sector_that_is_not_there);
    TEST(wrong_data_rate);
    TEST(read_id_turns);
    TEST(read_track);
    TEST(read_deleted_marks_ordinary_sector);
    TEST(verify);
    TEST(processor_transfer);
    TEST(implied_seek);
    TEST(dma_channel_opened_later);
    TEST(write);
    TEST(terminal_count_in_a_sector_fills_it);
    TEST(write_protect);
    TEST(medium_taken_out_in_a_write);
    TEST(format_track);
    TEST(host_error_is_a_data_error);
    TEST(reset_during_read);
    TEST(sizes);
    TEST(short_image_reads_zeros_behind_its_end);
    TEST(drive_keeps_its_kind);
    TEST(multi_track_goes_over_cylinders);
    TEST(multi_track_writes_over_cylinders);
    TEST(reset_needs_no_four_senses);
    TEST(save_load_in_seek_and_in_read);
    return g_test_run();
}

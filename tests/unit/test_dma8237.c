/* The two 8237A DMA controllers: programming, counts, wraps, cascade. */
#include "board.h"
#include "devices/dma8237.h"
#include "mem.h"

static struct dma8237 *dma;
static unsigned ready;

static void setup(void)
{
    GError *error = NULL;
    if (dma)
        dma8237_free(dma);
    ioport_clear();
    vclock_fake_start();
    if (!guest_mem.ram)
        mem_init(16 * MiB, &error);
    g_assert_no_error(error);
    dma = dma8237_new();
    ready = 0;
    /* As firmware leaves it: channel 4 passes the first controller on. */
    outb(0xd6, 0xc0);
    outb(0xd4, 0x00);
}

/* Channel 2: single mode. type 4 = to memory, 8 = from memory, 0 = verify; 10h added = autoinit. */
static void program(uint8_t type, uint32_t address, uint16_t count)
{
    outb(0x0a, 0x06);
    outb(0x0c, 0);
    outb(0x0b, 0x40 | type | 2);
    outb(0x04, address & 0xff);
    outb(0x04, address >> 8 & 0xff);
    outb(0x05, count & 0xff);
    outb(0x05, count >> 8);
    outb(0x81, address >> 16 & 0xff);
    outb(0x0a, 0x02);
}

static uint32_t move(unsigned channel, uint8_t *buffer, uint32_t len, bool to_memory, bool *tc)
{
    return dma8237_move(dma, channel, buffer, len, to_memory, tc);
}

static uint16_t read16(uint16_t port)
{
    uint16_t low = inb(port);
    return (uint16_t)(low | inb(port) << 8);
}

/* As QEMU's: programs that save the whole chip get zeros from what can only be written. */
static void test_write_only_registers_read_zero(void)
{
    setup();
    for (unsigned reg = 9; reg < 15; reg++) {
        g_assert_cmphex(inb((uint16_t)reg), ==, 0);
        g_assert_cmphex(inb((uint16_t)(0xc0 + 2 * reg)), ==, 0);
    }
}

static void test_to_memory(void)
{
    uint8_t bytes[64], got[64];
    bool tc;
    setup();
    memset(bytes, 0x5a, sizeof(bytes));
    program(4, 0x123450, 63);
    g_assert_cmpuint(move(2, bytes, 40, true, &tc), ==, 40);
    g_assert_false(tc);
    g_assert_cmpuint(move(2, bytes, 64, true, &tc), ==, 24); /* the count ends it */
    g_assert_true(tc);
    mem_read(0x123450, got, 64);
    g_assert_cmpmem(got, 64, bytes, 64);
}

static void test_from_memory(void)
{
    uint8_t bytes[16], got[16];
    bool tc;
    setup();
    for (unsigned i = 0; i < 16; i++)
        bytes[i] = (uint8_t)(i + 1);
    mem_write(0x54321, bytes, 16);
    program(8, 0x54321, 15);
    g_assert_cmpuint(move(2, got, 16, false, &tc), ==, 16);
    g_assert_true(tc);
    g_assert_cmpmem(got, 16, bytes, 16);
}

static void test_verify_moves_nothing(void)
{
    uint8_t bytes[16], got[16], before[16];
    bool tc;
    setup();
    mem_read(0x30000, before, 16);
    memset(bytes, 0x77, 16);
    program(0, 0x30000, 15);
    g_assert_cmpuint(move(2, bytes, 16, true, &tc), ==, 16);
    g_assert_true(tc);
    mem_read(0x30000, got, 16);
    g_assert_cmpmem(got, 16, before, 16);
}

static void test_registers_follow_the_transfer(void)
{
    uint8_t bytes[8] = {0};
    bool tc;
    setup();
    program(4, 0x21000, 99);
    move(2, bytes, 8, true, &tc);
    outb(0x0c, 0);
    g_assert_cmphex(read16(0x04), ==, 0x1008);
    g_assert_cmphex(read16(0x05), ==, 91);
}

static void test_flip_flop(void)
{
    setup();
    outb(0x0c, 0);
    outb(0x04, 0x34);
    outb(0x0c, 0); /* the next one is the low byte again */
    outb(0x04, 0x78);
    outb(0x04, 0x56);
    outb(0x0c, 0);
    g_assert_cmphex(read16(0x04), ==, 0x5678);
}

static void test_terminal_count_masks_and_is_told_once(void)
{
    uint8_t bytes[4] = {0};
    bool tc;
    setup();
    program(4, 0x21000, 3);
    move(2, bytes, 4, true, &tc);
    g_assert_true(tc);
    g_assert_cmphex(inb(0x08) & 0x0f, ==, 0x04);
    g_assert_cmphex(inb(0x08) & 0x0f, ==, 0x00);
    g_assert_cmphex(inb(0x0f) & 0x04, ==, 0x04);
    g_assert_cmpuint(move(2, bytes, 4, true, &tc), ==, 0);
}

static void test_autoinit_starts_over(void)
{
    uint8_t bytes[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, got[4];
    bool tc;
    setup();
    program(0x14, 0x21000, 3);
    g_assert_cmpuint(move(2, bytes, 10, true, &tc), ==, 4);
    g_assert_true(tc);
    g_assert_cmpuint(move(2, bytes + 4, 6, true, &tc), ==, 4);
    mem_read(0x21000, got, 4);
    g_assert_cmpmem(got, 4, bytes + 4, 4);
}

static void test_decrement(void)
{
    uint8_t bytes[4] = {1, 2, 3, 4}, got[4];
    bool tc;
    setup();
    program(0x24, 0x21003, 3);
    g_assert_cmpuint(move(2, bytes, 4, true, &tc), ==, 4);
    mem_read(0x21000, got, 4);
    const uint8_t want[4] = {4, 3, 2, 1};
    g_assert_cmpmem(got, 4, want, 4);
}

static void test_address_wraps_in_its_page(void)
{
    uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8}, got[4], zero[4] = {0};
    bool tc;
    setup();
    mem_write(0x30000, zero, 4);
    program(4, 0x2fffc, 7);
    g_assert_cmpuint(move(2, bytes, 8, true, &tc), ==, 8);
    mem_read(0x20000, got, 4); /* not 0x30000 */
    g_assert_cmpmem(got, 4, bytes + 4, 4);
    mem_read(0x30000, got, 4);
    g_assert_cmpmem(got, 4, zero, 4);
}

static void test_masks(void)
{
    uint8_t bytes[4] = {0};
    bool tc;
    setup();
    program(4, 0x21000, 3);
    outb(0x0f, 0x0f);
    g_assert_cmpuint(move(2, bytes, 1, true, &tc), ==, 0);
    outb(0x0e, 0);
    g_assert_cmpuint(move(2, bytes, 1, true, &tc), ==, 1);
    outb(0x08, 0x04); /* controller off */
    g_assert_cmpuint(move(2, bytes, 1, true, &tc), ==, 0);
    outb(0x08, 0x00);
    outb(0xd4, 0x04); /* the way through channel 4 closed */
    g_assert_cmpuint(move(2, bytes, 1, true, &tc), ==, 0);
    outb(0xd4, 0x00);
    g_assert_cmpuint(move(2, bytes, 1, true, &tc), ==, 1);
    outb(0x0d, 0); /* master clear masks all */
    g_assert_cmpuint(move(2, bytes, 1, true, &tc), ==, 0);
}

static void test_word_channel(void)
{
    uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8}, got[8];
    bool tc;
    setup();
    outb(0xd8, 0);
    outb(0xd6, 0x45); /* channel 5, to memory */
    outb(0xc4, 0x00);
    outb(0xc4, 0x08); /* words: 1000h bytes into the 128 KiB page */
    outb(0xc6, 3);
    outb(0xc6, 0);
    outb(0x8b, 0x03); /* bit 0 does not count */
    outb(0xd4, 0x01);
    g_assert_cmpuint(move(5, bytes, 8, true, &tc), ==, 8);
    g_assert_true(tc);
    mem_read(0x21000, got, 8);
    g_assert_cmpmem(got, 8, bytes, 8);
}

static void test_page_registers(void)
{
    setup();
    for (unsigned i = 0; i < 16; i++)
        outb((uint16_t)(0x80 + i), (uint8_t)(0xa0 + i));
    for (unsigned i = 0; i < 16; i++)
        g_assert_cmphex(inb((uint16_t)(0x80 + i)), ==, 0xa0 + i);
}

static void test_ready_hook(void)
{
    setup();
    dma8237_set_hook(dma, 2, &(struct irq){pulse_count, &ready, 0});
    outb(0x0a, 0x06);
    dma8237_set_dreq(dma, 2, true);
    ready = 0;
    g_assert_cmphex(inb(0x08), ==, 0x40); /* the request is seen */
    program(4, 0x21000, 3);
    g_assert_cmpuint(ready, >, 0);
    dma8237_set_dreq(dma, 2, false);
    ready = 0;
    program(4, 0x21000, 3);
    g_assert_cmpuint(ready, ==, 0);
}

static void test_save_load(void)
{
    uint8_t bytes[8] = {9, 8, 7, 6, 5, 4, 3, 2}, got[8];
    bool tc;
    setup();
    program(4, 0x21000, 7);
    move(2, bytes, 3, true, &tc);
    GByteArray *saved = device_saved(&dma8237_class, dma);
    dma8237_free(dma);
    dma = dma8237_new();
    device_load_checked(&dma8237_class, dma, saved);
    g_assert_cmpuint(move(2, bytes + 3, 5, true, &tc), ==, 5);
    g_assert_true(tc);
    mem_read(0x21000, got, 8);
    g_assert_cmpmem(got, 8, bytes, 8);
}

#define TEST(name) g_test_add_func("/dma8237/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(to_memory);
    TEST(write_only_registers_read_zero);
    TEST(from_memory);
    TEST(verify_moves_nothing);
    TEST(registers_follow_the_transfer);
    TEST(flip_flop);
    TEST(terminal_count_masks_and_is_told_once);
    TEST(autoinit_starts_over);
    TEST(decrement);
    TEST(address_wraps_in_its_page);
    TEST(masks);
    TEST(word_channel);
    TEST(page_registers);
    TEST(ready_hook);
    TEST(save_load);
    return g_test_run();
}

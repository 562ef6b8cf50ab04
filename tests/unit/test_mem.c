/* Guest memory: long writes, which take another way than short ones, and blocks. */
#include <string.h>

#include <glib.h>

#include "mem.h"

#define RAM  (4 * MiB)
#define LONG (1 * MiB) /* bytes of a write that is certainly long */

static uint8_t pattern[2 * LONG];
static gpa_t told[8];
static unsigned told_count;

static void tell(void *opaque, gpa_t gpa, uint32_t len)
{
    g_assert_cmpuint(told_count, <, G_N_ELEMENTS(told));
    told[told_count++] = gpa;
}

static void setup(void)
{
    GError *error = NULL;
    g_assert_true(mem_init(RAM, &error));
    for (unsigned i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 7 + (i >> 8) + (i >> 16));
    told_count = 0;
    guest_mem.code_written = tell;
}

static void teardown(void)
{
    guest_mem.code_written = NULL;
    mem_destroy();
}

static void test_long_write(void)
{
    static uint8_t back[LONG + 3];
    for (unsigned k = 0; k < 2; k++) { /* from a page's start, and not */
        setup();
        gpa_t at = 2 * MiB + (k ? 5 : 0);
        mem_write(at, pattern, LONG + 3);
        g_assert_cmpmem(guest_mem.ram + at, LONG + 3, pattern, LONG + 3);
        g_assert_cmpuint(guest_mem.ram[at - 1], ==, 0);
        g_assert_cmpuint(guest_mem.ram[at + LONG + 3], ==, 0);
        mem_read(at, back, LONG + 3);
        g_assert_cmpmem(back, LONG + 3, pattern, LONG + 3);
        teardown();
    }
}

static void test_long_write_spares_rom(void)
{
    static const uint8_t zero[PAGE_SIZE];
    setup();
    gpa_t rom = MiB + 512 * KiB;
    mem_set_rom(rom, PAGE_SIZE, true);
    mem_write(MiB, pattern, LONG);
    g_assert_cmpmem(guest_mem.ram + MiB, 512 * KiB, pattern, 512 * KiB);
    g_assert_cmpmem(guest_mem.ram + rom, PAGE_SIZE, zero, PAGE_SIZE);
    g_assert_cmpmem(guest_mem.ram + rom + PAGE_SIZE, 512 * KiB - PAGE_SIZE, pattern + 512 * KiB + PAGE_SIZE,
                    512 * KiB - PAGE_SIZE);
    teardown();
}

static void test_long_write_tells_of_code(void)
{
    setup();
    gpa_t code = MiB + 600 * KiB;
    guest_mem.page_flags[code >> PAGE_SHIFT] |= MEM_PAGE_CODE;
    mem_write(MiB, pattern, LONG);
    g_assert_cmpuint(told_count, ==, 1);
    g_assert_cmphex(told[0], ==, code);
    g_assert_cmpmem(guest_mem.ram + MiB, LONG, pattern, LONG);
    teardown();
}

static void test_long_write_beyond_the_end(void)
{
    setup();
    mem_write(RAM - LONG / 2, pattern, LONG);
    g_assert_cmpmem(guest_mem.ram + RAM - LONG / 2, LONG / 2, pattern, LONG / 2);
    teardown();
}

static void test_block_clear(void)
{
    setup();
    const struct mem_block *block = mem_block_new(64 * KiB, NULL);
    g_assert_nonnull(block);
    for (unsigned i = 0; i < block->size; i++)
        g_assert_cmpuint(block->host[i], ==, 0);
    memset(block->host, 0xaa, block->size);
    mem_block_clear(block, 32 * KiB);
    for (unsigned i = 0; i < block->size; i++)
        g_assert_cmpuint(block->host[i], ==, i < 32 * KiB ? 0 : 0xaa);
    teardown();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mem/long-write", test_long_write);
    g_test_add_func("/mem/long-write-spares-rom", test_long_write_spares_rom);
    g_test_add_func("/mem/long-write-tells-of-code", test_long_write_tells_of_code);
    g_test_add_func("/mem/long-write-beyond-the-end", test_long_write_beyond_the_end);
    g_test_add_func("/mem/block-clear", test_block_clear);
    return g_test_run();
}

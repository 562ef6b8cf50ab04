/* Guest memory: long writes, which take another way than short ones, and blocks. */
#include <string.h>
#include <sys/stat.h>

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

/* Sizes of the file, not memory: nothing is touched. */
static void test_above_4_gib(void)
{
    static uint8_t back[LONG + 3];
    g_assert_true(mem_init(MEM_MAX, NULL));
    for (unsigned i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 5 + (i >> 9));
    const gpa_t end = MEM_HIGH + MEM_MAX - MEM_BELOW_4G_MAX;
    g_assert_cmphex(guest_mem.ram_below, ==, 3 * GiB);
    g_assert_true(mem_is_ram(3 * GiB - 1) && !mem_is_ram(3 * GiB) && !mem_is_ram(4 * GiB - 1));
    g_assert_true(mem_is_ram(4 * GiB) && mem_is_ram(end - 1) && !mem_is_ram(end) && !mem_is_ram(1ull << 36));
    g_assert_true(mem_ptr(3 * GiB - 1) == guest_mem.ram + 3 * GiB - 1);
    g_assert_true(mem_ptr(4 * GiB) == guest_mem.ram + 3 * GiB);
    g_assert_true(mem_ptr(end - 1) == guest_mem.ram + 16 * GiB - 1);
    g_assert_null(mem_ptr(3 * GiB));
    g_assert_null(mem_ptr(end));
    g_assert_cmphex(mem_file_offset(5 * GiB), ==, 4 * GiB);
    g_assert_cmphex(mem_ram_gpa(4 * GiB), ==, 5 * GiB);
    g_assert_cmphex(mem_ram_gpa(3 * GiB - 1), ==, 3 * GiB - 1);

    g_assert_true(mem_is_free(3 * GiB, GiB) && !mem_is_free(3 * GiB - PAGE_SIZE, PAGE_SIZE));
    g_assert_true(!mem_is_free(4 * GiB - PAGE_SIZE, 2 * PAGE_SIZE) && !mem_is_free(4 * GiB, PAGE_SIZE));
    struct mem_piece piece = mem_piece_at(3 * GiB);
    g_assert_true(!piece.host && piece.size == GiB);
    piece = mem_piece_at(4 * GiB + PAGE_SIZE);
    g_assert_true(piece.host == mem_ptr(4 * GiB + PAGE_SIZE) && piece.size == 13 * GiB - PAGE_SIZE && !piece.rom);

    /* From where nothing is into RAM, long and short; up to the end and beyond. */
    mem_write(4 * GiB - LONG, pattern, 2 * LONG);
    g_assert_cmpmem(guest_mem.ram + 3 * GiB, LONG, pattern + LONG, LONG);
    g_assert_cmpuint(guest_mem.ram[3 * GiB - 1], ==, 0);
    mem_write(end - 5, pattern, 10);
    memset(back, 0, 10);
    mem_read(end - 5, back, 10);
    g_assert_cmpmem(back, 5, pattern, 5);
    g_assert_true(back[5] == 0xff && back[9] == 0xff);

    guest_mem.code_written = tell;
    told_count = 0;
    guest_mem.page_flags[(5 * GiB) >> PAGE_SHIFT] |= MEM_PAGE_CODE;
    mem_write(GiB, pattern, 4); /* the same low 32 bits */
    g_assert_cmpuint(told_count, ==, 0);
    mem_write(5 * GiB + 8, pattern, 4);
    g_assert_cmpuint(told_count, ==, 1);
    g_assert_cmphex(told[0], ==, 5 * GiB + 8);
    told_count = 0;

    GByteArray *saved = g_byte_array_new();
    mem_save_ram(saved);
    g_assert_cmpuint(saved->len, <, 3 * MiB);
    struct stat st;
    g_assert_cmpint(fstat(guest_mem.fd, &st), ==, 0);
    g_assert_cmpuint((uint64_t)st.st_blocks * 512, <, 64 * MiB); /* saving took no memory */
    mem_write(6 * GiB, pattern, 4);
    mem_write(5 * GiB + 8, pattern + 100, 4);
    told_count = 0;
    g_assert_true(mem_load_ram(saved->data, saved->len));
    g_assert_cmpuint(told_count, ==, 1);
    g_assert_cmphex(told[0], ==, 5 * GiB);
    g_byte_array_unref(saved);
    g_assert_cmpuint(*mem_ptr(6 * GiB), ==, 0);
    g_assert_cmpmem(mem_ptr(5 * GiB + 8), 4, pattern, 4);
    g_assert_cmpmem(mem_ptr(end - 5), 5, pattern, 5);
    teardown();

    g_assert_true(mem_init(3 * GiB, NULL));
    g_assert_true(!mem_is_ram(4 * GiB) && !mem_ptr(4 * GiB) && mem_is_free(4 * GiB, PAGE_SIZE));
    mem_destroy();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mem/long-write", test_long_write);
    g_test_add_func("/mem/long-write-spares-rom", test_long_write_spares_rom);
    g_test_add_func("/mem/long-write-tells-of-code", test_long_write_tells_of_code);
    g_test_add_func("/mem/long-write-beyond-the-end", test_long_write_beyond_the_end);
    g_test_add_func("/mem/block-clear", test_block_clear);
    g_test_add_func("/mem/above-4-gib", test_above_4_gib);
    return g_test_run();
}

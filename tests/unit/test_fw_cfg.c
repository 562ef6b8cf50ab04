/* QEMU's firmware configuration device, and the ROM area with the chipset's shadow RAM. */
#include "board.h"
#include "devices/fw_cfg.h"
#include "mem.h"

static struct fw_cfg *fw;

static void setup(void)
{
    if (fw)
        fw_cfg_free(fw);
    else
        g_assert_true(mem_init(8 * MiB, NULL));
    ioport_clear();
    fw = fw_cfg_new();
}

static void select_item(uint16_t selector)
{
    ioport_write(0x510, 2, selector);
}

static void test_signature_and_end(void)
{
    setup();
    select_item(FW_CFG_SIGNATURE);
    g_assert_cmphex(inb(0x511), ==, 'Q');
    g_assert_cmphex(inb(0x511), ==, 'E');
    g_assert_cmphex(inb(0x511), ==, 'M');
    g_assert_cmphex(inb(0x511), ==, 'U');
    g_assert_cmphex(inb(0x511), ==, 0); /* behind the end */
    select_item(FW_CFG_SIGNATURE);
    g_assert_cmphex(inb(0x511), ==, 'Q'); /* from the start again */
}

static void test_directory_is_sorted(void)
{
    setup();
    fw_cfg_add_file(fw, "zeta", "z", 1);
    fw_cfg_add_file(fw, "alpha", "abc", 3);
    uint8_t dir[4 + 2 * 64];
    select_item(FW_CFG_FILE_DIR);
    for (unsigned i = 0; i < sizeof dir; i++)
        dir[i] = inb(0x511);
    g_assert_cmpuint(dir[3], ==, 2);
    g_assert_cmpstr((char *)dir + 4 + 8, ==, "alpha");
    g_assert_cmpuint(dir[4 + 3], ==, 3);
    select_item((uint16_t)(dir[4 + 4] << 8 | dir[4 + 5]));
    g_assert_cmphex(inb(0x511), ==, 'a');
    g_assert_cmpstr((char *)dir + 68 + 8, ==, "zeta");
}

static void test_dma_reads(void)
{
    setup();
    fw_cfg_add_file(fw, "file", "0123456789", 10);
    /* control: select, read; 12 bytes to 2000h */
    static const uint8_t descriptor[16] = {0, 0x20, 0, 0x0a, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0x20, 0};
    mem_write(0x1000, descriptor, sizeof descriptor);
    mem_write(0x2000, "xxxxxxxxxxxxyy", 14);
    g_assert_cmphex(ioport_read(0x514, 4), ==, 0x554d4551); /* "QEMU" */
    ioport_write(0x518, 4, 0x00100000);                     /* 1000h, big endian */
    uint8_t got[14], control[4];
    mem_read(0x2000, got, sizeof got);
    g_assert_cmpmem(got, 14, "0123456789\0\0yy", 14); /* zeroes behind the end */
    mem_read(0x1000, control, 4);
    g_assert_cmpmem(control, 4, "\0\0\0\0", 4); /* done */
}

static uint32_t control_word(void)
{
    uint32_t control;
    mem_read(0x1000, &control, 4);
    return control;
}

/* A guest may ask for 4 GiB: the machine's other parts are heard in between. */
static void test_long_dma_comes_in_pieces(void)
{
    static const uint8_t descriptor[16] = {0, 0x20, 0, 0x0a, 0, 0x50, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0}; /* 5 MiB */
    const uint32_t size = 3 * MiB + 77;
    unsigned requests = 0, granted = 0;
    uint8_t *bytes = g_malloc(size), *got = g_malloc(6 * MiB);
    setup();
    fw_cfg_set_bus_request(fw, (struct irq){pulse_count, &requests, 0});
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)((i ^ i >> 8 ^ i >> 16) | 1);
    fw_cfg_add_file(fw, "file", bytes, size);
    memset(got, 0xcc, 6 * MiB);
    mem_write(MiB, got, 6 * MiB);
    mem_write(0x1000, descriptor, sizeof descriptor);
    ioport_write(0x518, 4, 0x00100000);
    g_assert_cmphex(control_word(), !=, 0);
    GByteArray *saved = device_saved(&fw_cfg_class, fw);
    fw_cfg_class.reset(fw);
    fw_cfg_bus_granted(fw);
    g_assert_cmphex(control_word(), !=, 0); /* a reset ends it */
    device_load_checked(&fw_cfg_class, fw, saved);
    while (control_word() && granted < 100) {
        g_assert_cmpuint(requests, >, granted);
        granted++;
        fw_cfg_bus_granted(fw);
    }
    g_assert_cmpuint(granted, ==, 4);
    mem_read(MiB, got, 6 * MiB);
    g_assert_cmpmem(got, size, bytes, size);
    for (uint32_t i = size; i < 6 * MiB; i++)
        g_assert_cmphex(got[i], ==, i < 5 * MiB ? 0 : 0xcc);
    g_free(bytes);
    g_free(got);
}

static void test_writes_are_refused(void)
{
    setup();
    static const uint8_t descriptor[16] = {0, 0, 0, 0x18, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0x20, 0};
    mem_write(0x1000, descriptor, sizeof descriptor);
    ioport_write(0x518, 4, 0x00100000);
    uint8_t control[4];
    mem_read(0x1000, control, 4);
    g_assert_cmpuint(control[3], ==, 1); /* error */
}

static uint8_t byte_at(gpa_t gpa)
{
    uint8_t value;
    mem_read(gpa, &value, 1);
    return value;
}

static void poke(gpa_t gpa, uint8_t value)
{
    mem_write(gpa, &value, 1);
}

static void test_pam_chooses_rom_or_dram(void)
{
    setup();
    mem_set_isa_rom(0xf0000, "ROM", 3);
    mem_set_pam(0xf0000, 0x10000, false, false);
    poke(0xf0000, 'x');
    g_assert_cmphex(byte_at(0xf0000), ==, 'R'); /* dropped */
    mem_set_pam(0xf0000, 0x10000, false, true);
    poke(0xf0000, 'd');
    g_assert_cmphex(byte_at(0xf0000), ==, 'R'); /* reads the ROM, writes the DRAM behind it */
    mem_set_pam(0xf0000, 0x10000, true, true);
    g_assert_cmphex(byte_at(0xf0000), ==, 'd');
    poke(0xf0000, 'e');
    mem_set_pam(0xf0000, 0x10000, true, false);
    poke(0xf0000, 'f');
    g_assert_cmphex(byte_at(0xf0000), ==, 'e'); /* write-protected */
    mem_set_pam(0xf0000, 0x10000, false, false);
    g_assert_cmphex(byte_at(0xf0000), ==, 'R');
}

static void test_block_at_two_places(void)
{
    setup();
    const struct mem_block *block = mem_block_new(0x4000, NULL);
    g_assert_nonnull(block);
    mem_map_block(0xe0000000, 0x4000, block, 0, false, "video");
    mem_map_block(0xa0000, 0x2000, block, 0x1000, false, "window");
    poke(0xa0005, 7);
    g_assert_cmpuint(byte_at(0xe0001005), ==, 7);
    g_assert_true(mem_ptr(0xe0001005) == block->host + 0x1005);
    g_assert_cmpuint(mem_file_offset(0xa0000), ==, block->offset + 0x1000);
    mem_remove_mmio(0xa0000);
    poke(0xa0005, 9);
    g_assert_cmpuint(byte_at(0xe0001005), ==, 7); /* RAM again */
    mem_remove_mmio(0xe0000000);
    g_assert_cmphex(byte_at(0xe0001005), ==, 0xff);
}

#define ADD(name) g_test_add_func("/firmware/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD(signature_and_end);
    ADD(directory_is_sorted);
    ADD(dma_reads);
    ADD(long_dma_comes_in_pieces);
    ADD(writes_are_refused);
    ADD(pam_chooses_rom_or_dram);
    ADD(block_at_two_places);
    return g_test_run();
}

/* VGA memory: every write and read mode against a model made straight from the manual's figures, the address maps, and
 * that a window that is plain memory shows what the data path would have made.
 */
#include "board.h"
#include "mem.h"
#include "devices/vga/vga.h"

static struct vga *vga;

static void set(uint16_t port, uint8_t index, uint8_t value)
{
    outb(port, index);
    outb(port + 1, value);
}

/* --- The model: four planes of 64 KiB, as the chip has them (but chain-4, see vga_regs.h) --- */

static struct {
    uint8_t plane[4][65536];
    uint8_t latch[4];
    uint8_t seq[5], gc[9];
} model;

static void seq(uint8_t index, uint8_t value)
{
    set(0x3c4, index, value);
    model.seq[index] = value;
}

static void gc(uint8_t index, uint8_t value)
{
    set(0x3ce, index, value);
    model.gc[index] = value;
}

static void setup(void)
{
    GError *error = NULL;
    if (vga) {
        vga_free(vga);
        mem_destroy();
    }
    ioport_clear();
    vclock_fake_start();
    g_assert_true(mem_init(4 * MiB, &error));
    vga = vga_new(NULL, 0, NULL, 0, &error);
    g_assert_no_error(error);
    outb(0x3c2, 0x67);
    memset(&model, 0, sizeof(model));
    seq(2, 0x0f);
    seq(4, 0x06); /* all memory, sequential */
    gc(6, 0x05);  /* A0000h, 64 KiB, graphics */
    gc(7, 0x0f);
    gc(8, 0xff);
}

static uint8_t bit_byte(unsigned bits, unsigned n)
{
    return bits >> n & 1 ? 0xff : 0x00;
}

static void model_write(uint32_t a, uint8_t cpu)
{
    unsigned mode = model.gc[5] & 3;
    unsigned planes = model.seq[2];
    uint32_t at = a;
    if (!(model.seq[4] & 4)) {
        planes &= a & 1 ? 0x0a : 0x05;
        at = model.gc[6] & 2 ? a & ~1u : a;
    }
    for (unsigned p = 0; p < 4; p++) {
        uint8_t rotated = (uint8_t)((cpu >> (model.gc[3] & 7)) | (cpu << (8 - (model.gc[3] & 7))));
        uint8_t value, mask = model.gc[8];
        if (!(planes >> p & 1))
            continue;
        if (mode == 1) {
            model.plane[p][at] = model.latch[p];
            continue;
        }
        if (mode == 0)
            value = model.gc[1] >> p & 1 ? bit_byte(model.gc[0], p) : rotated;
        else if (mode == 2)
            value = bit_byte(cpu, p);
        else {
            value = bit_byte(model.gc[0], p);
            mask &= rotated;
        }
        switch (model.gc[3] >> 3 & 3) {
        case 1:
            value &= model.latch[p];
            break;
        case 2:
            value |= model.latch[p];
            break;
        case 3:
            value ^= model.latch[p];
            break;
        }
        model.plane[p][at] = 0;
        for (unsigned bit = 0; bit < 8; bit++) {
            unsigned from = mask >> bit & 1 ? value : model.latch[p];
            model.plane[p][at] |= (uint8_t)((from >> bit & 1) << bit);
        }
    }
}

static uint8_t model_read(uint32_t a)
{
    uint32_t at = model.gc[6] & 2 ? a & ~1u : a;
    for (unsigned p = 0; p < 4; p++)
        model.latch[p] = model.plane[p][at];
    if (model.gc[5] & 8) {
        uint8_t result = 0;
        for (unsigned bit = 0; bit < 8; bit++) {
            bool equal = true;
            for (unsigned p = 0; p < 4; p++) {
                if ((model.gc[7] >> p & 1) && (model.latch[p] >> bit & 1) != (model.gc[2] >> p & 1))
                    equal = false;
            }
            result |= (uint8_t)(equal << bit);
        }
        return result;
    }
    unsigned plane = model.gc[4];
    if (model.gc[5] & 0x10)
        plane = (plane & 2) | (a & 1);
    return model.latch[plane];
}

static uint8_t peek(gpa_t gpa)
{
    uint8_t byte;
    mem_read(gpa, &byte, 1);
    return byte;
}

static void poke(gpa_t gpa, uint8_t byte)
{
    mem_write(gpa, &byte, 1);
}

/* Random accesses at a few addresses, where registers change between them; odd: also the odd/even paths. */
static void compare(unsigned write_mode, unsigned read_mode, bool odd_even, unsigned base)
{
    setup();
    if (odd_even)
        gc(6, base == 0xb8000 ? 0x0f : 0x07);
    gc(5, (uint8_t)(write_mode | read_mode << 3 | (odd_even ? 0x10 : 0)));
    if (odd_even)
        seq(4, 0x02);
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t a = (uint32_t)g_test_rand_int_range(0, 64);
        uint8_t value = (uint8_t)g_test_rand_int();
        switch (g_test_rand_int_range(0, 12)) {
        case 0:
            gc(0, value & 0x0f);
            break;
        case 1:
            gc(1, value & 0x0f);
            break;
        case 2:
            gc(2, value & 0x0f);
            break;
        case 3:
            gc(3, value & 0x1f);
            break;
        case 4:
            gc(4, value & 0x03);
            break;
        case 5:
            gc(7, value & 0x0f);
            break;
        case 6:
            gc(8, value);
            break;
        case 7:
            seq(2, value & 0x0f);
            break;
        case 8:
        case 9:
            poke(base + a, value);
            model_write(a, value);
            break;
        default:
            g_assert_cmphex(peek(base + a), ==, model_read(a));
        }
    }
}

static void test_write_mode_0(void)
{
    compare(0, 0, false, 0xa0000);
}

static void test_write_mode_1(void)
{
    compare(1, 0, false, 0xa0000);
}

static void test_write_mode_2(void)
{
    compare(2, 0, false, 0xa0000);
}

static void test_write_mode_3(void)
{
    compare(3, 0, false, 0xa0000);
}

static void test_read_mode_1(void)
{
    compare(0, 1, false, 0xa0000);
    compare(2, 1, false, 0xa0000);
}

/* Whole data path at 64 KiB: never plain memory. */
static void test_odd_even(void)
{
    compare(0, 0, true, 0xa0000);
    compare(2, 1, true, 0xa0000);
}

/* A byte in mode 1 goes through all four latches: the usual screen copy. */
static void test_latches_copy_four_planes(void)
{
    setup();
    for (unsigned p = 0; p < 4; p++) {
        seq(2, (uint8_t)(1 << p));
        poke(0xa0000, (uint8_t)(0x11 * (p + 1)));
    }
    seq(2, 0x0f);
    gc(5, 1);
    peek(0xa0000);
    poke(0xa8000, 0x99);
    gc(5, 0);
    for (uint8_t p = 0; p < 4; p++) {
        gc(4, p);
        g_assert_cmphex(peek(0xa8000), ==, 0x11 * (p + 1));
    }
}

/* The latches can be seen at CRTC index 22h. */
static void test_latch_reads_at_crtc_22(void)
{
    setup();
    poke(0xa0005, 0xa7);
    peek(0xa0005);
    outb(0x3d4, 0x22);
    g_assert_cmphex(inb(0x3d5), ==, 0xa7);
}

/* --- Chain-4 --- */

static void test_chain_4(void)
{
    setup();
    for (unsigned i = 0; i < 64; i++) {
        seq(4, 0x0e);
        poke(0xa0000 + i, (uint8_t)(i + 1));
        g_assert_cmphex(peek(0xa0000 + i), ==, i + 1);
    }
    /* Unchained, plane A & 3 has it. */
    seq(4, 0x06);
    for (unsigned i = 0; i < 64; i++) {
        gc(4, i & 3);
        g_assert_cmphex(peek(0xa0000 + i / 4), ==, i + 1);
    }
}

static void test_chain_4_honours_the_map_mask(void)
{
    setup();
    seq(4, 0x0e);
    seq(2, 0x05);
    for (unsigned i = 0; i < 4; i++)
        poke(0xa0000 + i, 0x77);
    seq(2, 0x0f);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmphex(peek(0xa0000 + i), ==, i & 1 ? 0 : 0x77);
}

/* --- The address maps of GC6 --- */

static bool responds(gpa_t gpa)
{
    poke(gpa, 0x3c);
    return peek(gpa) == 0x3c;
}

static void test_memory_maps(void)
{
    static const struct {
        uint8_t misc;
        uint32_t first, last;
    } maps[] = {{0x01, 0xa0000, 0xbffff}, {0x05, 0xa0000, 0xaffff}, {0x09, 0xb0000, 0xb7fff}, {0x0d, 0xb8000, 0xbffff}};
    for (unsigned chained = 0; chained < 2; chained++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(maps); i++) {
            setup();
            seq(4, chained ? 0x0e : 0x06);
            gc(6, maps[i].misc);
            for (uint32_t gpa = 0xa0000; gpa < 0xc0000; gpa += 0x4000)
                g_assert_cmpint(responds(gpa), ==, gpa >= maps[i].first && gpa <= maps[i].last);
            g_assert_true(responds(maps[i].last));
            if (maps[i].last != 0xbffff)
                g_assert_cmphex(peek(maps[i].last + 1), ==, 0xff);
        }
    }
}

static void test_misc_output_turns_memory_off(void)
{
    setup();
    g_assert_true(responds(0xa0000));
    outb(0x3c2, 0x65);
    g_assert_cmphex(peek(0xa0000), ==, 0xff);
    outb(0x3c2, 0x67);
    g_assert_cmphex(peek(0xa0000), ==, 0x3c);
}

/* --- Windows of plain memory --- */

static void text_mode(void)
{
    seq(2, 0x03);
    seq(4, 0x02);
    gc(4, 0x00);
    gc(5, 0x10);
    gc(6, 0x0e);
}

/* Characters go to plane 0, attributes to plane 1, at the even address. */
static void test_text_window_is_planes_0_and_1(void)
{
    setup();
    text_mode();
    g_assert_nonnull(mem_ptr(0xb8000)); /* at full speed */
    g_assert_null(mem_ptr(0xb0000));
    for (unsigned i = 0; i < 0x8000; i++)
        poke(0xb8000 + i, (uint8_t)(i * 7));
    gc(5, 0x00);
    gc(6, 0x04);
    seq(4, 0x06);
    g_assert_null(mem_ptr(0xb8000));
    for (uint8_t plane = 0; plane < 2; plane++) {
        gc(4, plane);
        for (unsigned i = 0; i < 0x8000; i += 2)
            g_assert_cmphex(peek(0xa0000 + i), ==, (uint8_t)((i + plane) * 7));
    }
    /* And what the planes got meanwhile is seen through the window. */
    seq(2, 0x01);
    poke(0xa0100, 0xee);
    text_mode();
    g_assert_cmphex(peek(0xb8100), ==, 0xee);
    g_assert_cmphex(peek(0xb8101), ==, (uint8_t)(0x101 * 7));
}

/* Loading a font between must leave the text alone. */
static void test_text_survives_a_font(void)
{
    setup();
    text_mode();
    poke(0xb8000, 'A');
    poke(0xb8001, 0x07);
    seq(2, 0x04);
    seq(4, 0x07);
    gc(4, 0x02);
    gc(5, 0x00);
    gc(6, 0x04);
    poke(0xa0000 + 'A' * 32, 0x81);
    g_assert_cmphex(peek(0xa0000 + 'A' * 32), ==, 0x81);
    text_mode();
    g_assert_cmphex(peek(0xb8000), ==, 'A');
    g_assert_cmphex(peek(0xb8001), ==, 0x07);
}

static void test_monochrome_text_window(void)
{
    setup();
    text_mode();
    gc(6, 0x0a);
    g_assert_nonnull(mem_ptr(0xb0000));
    g_assert_null(mem_ptr(0xb8000));
    poke(0xb0002, 'x');
    gc(6, 0x0e);
    g_assert_cmphex(peek(0xb8002), ==, 'x'); /* the same planes */
}

static void test_linear_window_is_plain_only_when_the_path_is(void)
{
    setup();
    seq(4, 0x0e);
    gc(5, 0x40);
    g_assert_nonnull(mem_ptr(0xa0000));
    gc(8, 0x0f);
    g_assert_null(mem_ptr(0xa0000));
    gc(8, 0xff);
    g_assert_nonnull(mem_ptr(0xa0000));
    seq(2, 0x0e);
    g_assert_null(mem_ptr(0xa0000));
    seq(2, 0x0f);
    gc(3, 0x08);
    g_assert_null(mem_ptr(0xa0000));
    gc(3, 0x00);
    gc(5, 0x41);
    g_assert_null(mem_ptr(0xa0000));
}

/* --- DISPI banks --- */

static void dispi(uint16_t index, uint16_t value)
{
    ioport_write(0x1ce, 2, index);
    ioport_write(0x1cf, 2, value);
}

static void test_banks(void)
{
    setup();
    dispi(1, 1024);
    dispi(2, 768);
    dispi(3, 32);
    dispi(4, 0x01);
    for (uint16_t bank = 0; bank < 256; bank += 15) {
        dispi(5, bank);
        poke(0xa0010, (uint8_t)(bank + 1));
    }
    for (uint16_t bank = 0; bank < 256; bank += 15) {
        dispi(5, bank);
        g_assert_cmphex(peek(0xa0010), ==, (uint8_t)(bank + 1));
    }
    dispi(5, 0x1ff); /* as many as there are */
    ioport_write(0x1ce, 2, 5);
    g_assert_cmpuint(ioport_read(0x1cf, 2), ==, 0xff);
}

static void test_planar_dispi(void)
{
    setup();
    dispi(1, 800);
    dispi(2, 600);
    dispi(3, 4);
    dispi(4, 0x01);
    set(0x3c4, 2, 0x02);
    poke(0xa0000 + 59999, 0x5a);
    set(0x3ce, 4, 0x01);
    g_assert_cmphex(peek(0xa0000 + 59999), ==, 0x5a);
    set(0x3ce, 4, 0x00);
    g_assert_cmphex(peek(0xa0000 + 59999), ==, 0x00);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vga_memory/write_mode_0", test_write_mode_0);
    g_test_add_func("/vga_memory/write_mode_1", test_write_mode_1);
    g_test_add_func("/vga_memory/write_mode_2", test_write_mode_2);
    g_test_add_func("/vga_memory/write_mode_3", test_write_mode_3);
    g_test_add_func("/vga_memory/read_mode_1", test_read_mode_1);
    g_test_add_func("/vga_memory/odd_even", test_odd_even);
    g_test_add_func("/vga_memory/latches_copy_four_planes", test_latches_copy_four_planes);
    g_test_add_func("/vga_memory/latch_reads_at_crtc_22", test_latch_reads_at_crtc_22);
    g_test_add_func("/vga_memory/chain_4", test_chain_4);
    g_test_add_func("/vga_memory/chain_4_honours_the_map_mask", test_chain_4_honours_the_map_mask);
    g_test_add_func("/vga_memory/memory_maps", test_memory_maps);
    g_test_add_func("/vga_memory/misc_output_turns_memory_off", test_misc_output_turns_memory_off);
    g_test_add_func("/vga_memory/text_window_is_planes_0_and_1", test_text_window_is_planes_0_and_1);
    g_test_add_func("/vga_memory/text_survives_a_font", test_text_survives_a_font);
    g_test_add_func("/vga_memory/monochrome_text_window", test_monochrome_text_window);
    g_test_add_func("/vga_memory/linear_window_is_plain_only_when_the_path_is",
                    test_linear_window_is_plain_only_when_the_path_is);
    g_test_add_func("/vga_memory/banks", test_banks);
    g_test_add_func("/vga_memory/planar_dispi", test_planar_dispi);
    return g_test_run();
}

/* VGA registers: one test per behaviour of the manual. Memory is in test_vga_memory.c, pictures in test_vga_render.c.
 */
#include "board.h"
#include "mem.h"
#include "devices/pci.h"
#include "devices/vga/vga.h"

static struct vga *vga;
static struct pci_bus *pci;

static void setup(void)
{
    GError *error = NULL;
    if (vga) {
        vga_free(vga);
        pci_bus_free(pci);
        mem_destroy();
    }
    ioport_clear();
    vclock_fake_start();
    g_assert_true(mem_init(4 * MiB, &error));
    static const uint8_t rom[1024] = {0x55, 0xaa, 2};
    pci = pci_bus_new();
    vga = vga_new(pci, VGA_DEVFN, rom, sizeof(rom), &error);
    g_assert_no_error(error);
    outb(0x3c2, 0x67); /* colour ports, memory on */
}

static uint8_t get(uint16_t port, uint8_t index)
{
    outb(port, index);
    return inb(port + 1);
}

static void set(uint16_t port, uint8_t index, uint8_t value)
{
    outb(port, index);
    outb(port + 1, value);
}

static uint8_t attr_get(uint8_t index)
{
    inb(0x3da);
    outb(0x3c0, index);
    return inb(0x3c1);
}

static void attr_set(uint8_t index, uint8_t value)
{
    inb(0x3da);
    outb(0x3c0, index);
    outb(0x3c0, value);
}

/* Which bits of each register can be read back after writing ones. */
static void masks_check(uint16_t port, const uint8_t *mask, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        set(port, (uint8_t)i, 0xff);
        g_assert_cmphex(get(port, (uint8_t)i), ==, mask[i]);
        set(port, (uint8_t)i, 0x00);
        g_assert_cmphex(get(port, (uint8_t)i), ==, 0);
    }
}

static void test_sequencer_masks(void)
{
    static const uint8_t mask[8] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0};
    setup();
    masks_check(0x3c4, mask, 8);
}

static void test_graphics_controller_masks(void)
{
    static const uint8_t mask[16] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};
    setup();
    masks_check(0x3ce, mask, 16);
}

static void test_attribute_masks(void)
{
    static const uint8_t special[5] = {0xef, 0xff, 0x3f, 0x0f, 0x0f};
    setup();
    for (uint8_t i = 0; i < 0x15; i++) {
        attr_set(i, 0xff);
        g_assert_cmphex(attr_get(i), ==, i < 16 ? 0x3f : special[i - 16]);
    }
    attr_set(0x15, 0xff);
    g_assert_cmphex(attr_get(0x15), ==, 0);
}

static void test_crtc_reads_back(void)
{
    setup();
    for (uint8_t i = 0; i < 0x19; i++) {
        uint8_t value = i == 0x11 ? 0x2a : (uint8_t)(0xa0 ^ i);
        set(0x3d4, i, value);
        g_assert_cmphex(get(0x3d4, i), ==, value);
    }
    set(0x3d4, 0x19, 0xff);
    g_assert_cmphex(get(0x3d4, 0x19), ==, 0);
}

static void test_crtc_write_protection(void)
{
    setup();
    for (uint8_t i = 0; i < 8; i++)
        set(0x3d4, i, 0x00);
    set(0x3d4, 0x11, 0x80);
    for (uint8_t i = 0; i < 8; i++)
        set(0x3d4, i, 0xff);
    for (uint8_t i = 0; i < 7; i++)
        g_assert_cmphex(get(0x3d4, i), ==, 0x00);
    g_assert_cmphex(get(0x3d4, 7), ==, 0x10); /* line compare bit 8 */
    set(0x3d4, 0x08, 0x1f);
    g_assert_cmphex(get(0x3d4, 0x08), ==, 0x1f);
    set(0x3d4, 0x11, 0x00);
    set(0x3d4, 0x00, 0x5f);
    g_assert_cmphex(get(0x3d4, 0x00), ==, 0x5f);
}

static void test_ports_move_for_monochrome(void)
{
    setup();
    set(0x3d4, 0x0f, 0x12);
    g_assert_cmphex(inb(0x3b5), ==, 0xff);
    outb(0x3c2, 0x66);
    g_assert_cmphex(inb(0x3d5), ==, 0xff);
    g_assert_cmphex(inb(0x3da), ==, 0xff);
    g_assert_cmphex(get(0x3b4, 0x0f), ==, 0x12);
    outb(0x3d5, 0x55); /* nobody hears it */
    g_assert_cmphex(get(0x3b4, 0x0f), ==, 0x12);
    outb(0x3c2, 0x67);
    g_assert_cmphex(get(0x3d4, 0x0f), ==, 0x12);
}

static void test_misc_output_reads_at_3cc(void)
{
    setup();
    outb(0x3c2, 0xff);
    g_assert_cmphex(inb(0x3cc), ==, 0xef);
    outb(0x3c2, 0x63);
    g_assert_cmphex(inb(0x3cc), ==, 0x63);
}

static void test_indexes_read_back(void)
{
    setup();
    outb(0x3c4, 0xfa);
    g_assert_cmphex(inb(0x3c4), ==, 0x02);
    outb(0x3ce, 0xf5);
    g_assert_cmphex(inb(0x3ce), ==, 0x05);
    outb(0x3d4, 0xd8);
    g_assert_cmphex(inb(0x3d4), ==, 0x18);
    inb(0x3da);
    outb(0x3c0, 0x30);
    g_assert_cmphex(inb(0x3c0), ==, 0x30);
}

static void test_attribute_flip_flop(void)
{
    setup();
    inb(0x3da);
    g_assert_cmphex(get(0x3d4, 0x24), ==, 0x00);
    outb(0x3c0, 0x01);
    g_assert_cmphex(get(0x3d4, 0x24), ==, 0x80); /* data comes next */
    outb(0x3c0, 0x2a);
    outb(0x3c0, 0x02);
    outb(0x3c0, 0x15);
    g_assert_cmphex(attr_get(1), ==, 0x2a);
    g_assert_cmphex(attr_get(2), ==, 0x15);
    inb(0x3da);
    outb(0x3c0, 0x01);
    inb(0x3da); /* resets it in between */
    outb(0x3c0, 0x02);
    g_assert_cmphex(inb(0x3c1), ==, 0x15);
}

static void test_feature_control(void)
{
    setup();
    outb(0x3da, 0xff);
    g_assert_cmphex(inb(0x3ca), ==, 0x10);
}

/* --- DAC --- */

static void test_dac_takes_three_parts(void)
{
    setup();
    outb(0x3c8, 5);
    outb(0x3c9, 0xff);
    outb(0x3c9, 0x12);
    outb(0x3c9, 0x3f);
    g_assert_cmphex(inb(0x3c8), ==, 6); /* the next one */
    outb(0x3c7, 5);
    g_assert_cmphex(inb(0x3c9), ==, 0x3f); /* six bits */
    g_assert_cmphex(inb(0x3c9), ==, 0x12);
    g_assert_cmphex(inb(0x3c9), ==, 0x3f);
    g_assert_cmphex(inb(0x3c9), ==, 0x00); /* colour 6 */
}

static void test_dac_colour_changes_whole(void)
{
    setup();
    outb(0x3c8, 7);
    outb(0x3c9, 0x11);
    outb(0x3c9, 0x22);
    outb(0x3c7, 7); /* begins anew: two parts are forgotten */
    g_assert_cmphex(inb(0x3c9), ==, 0);
    g_assert_cmphex(inb(0x3c9), ==, 0);
}

static void test_dac_index_wraps(void)
{
    setup();
    outb(0x3c8, 255);
    for (unsigned i = 0; i < 6; i++)
        outb(0x3c9, (uint8_t)(10 + i));
    outb(0x3c7, 255);
    g_assert_cmphex(inb(0x3c9), ==, 10);
    outb(0x3c7, 0);
    g_assert_cmphex(inb(0x3c9), ==, 13);
}

static void test_dac_state(void)
{
    setup();
    outb(0x3c7, 1);
    g_assert_cmphex(inb(0x3c7), ==, 3);
    outb(0x3c8, 1);
    g_assert_cmphex(inb(0x3c7), ==, 0);
}

static void test_dac_mask(void)
{
    setup();
    g_assert_cmphex(inb(0x3c6), ==, 0xff);
    outb(0x3c6, 0x5a);
    g_assert_cmphex(inb(0x3c6), ==, 0x5a);
}

/* DISPI makes the DAC's entries eight bits wide; what is in them stays as it is. */
static void test_dac_of_eight_bits(void)
{
    setup();
    outb(0x3c8, 1);
    outb(0x3c9, 0xff);
    outb(0x3c9, 0x20);
    outb(0x3c9, 0x00);
    ioport_write(0x1ce, 2, 4);
    ioport_write(0x1cf, 2, 0x20);
    outb(0x3c7, 1);
    g_assert_cmphex(inb(0x3c9), ==, 0x3f);
    g_assert_cmphex(inb(0x3c9), ==, 0x20);
    outb(0x3c8, 2);
    outb(0x3c9, 0xab);
    outb(0x3c9, 0);
    outb(0x3c9, 0);
    outb(0x3c7, 2);
    g_assert_cmphex(inb(0x3c9), ==, 0xab);
}

/* --- Status --- */

/* 80x25 text: 31.5 kHz lines, 70 frames a second. */
static void program_text(void)
{
    static const uint8_t crtc[25] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0,    0x4f, 0x0d, 0x0e, 0,
                                     0,    0,    0,    0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
    set(0x3d4, 0x11, 0);
    for (uint8_t i = 0; i < 25; i++)
        set(0x3d4, i, crtc[i]);
    set(0x3c4, 1, 0x00);
}

static unsigned edges(uint8_t bit, int64_t step, unsigned steps)
{
    unsigned rises = 0;
    bool was = inb(0x3da) & bit;
    for (unsigned i = 0; i < steps; i++) {
        vclock_fake_advance(step);
        bool now = inb(0x3da) & bit;
        rises += now && !was;
        was = now;
    }
    return rises;
}

static void test_vertical_retrace_70_hz(void)
{
    setup();
    program_text();
    unsigned rises = edges(0x08, 20 * US, 50000); /* a second */
    g_assert_cmpuint(rises, >=, 69);
    g_assert_cmpuint(rises, <=, 71);
}

static void test_display_enable_at_line_rate(void)
{
    setup();
    program_text();
    unsigned rises = edges(0x01, 1 * US, 10000); /* 10 ms: most of a frame */
    g_assert_cmpuint(rises, >=, 250);
    g_assert_cmpuint(rises, <=, 330);
}

static void test_retrace_is_within_blanking(void)
{
    setup();
    program_text();
    unsigned seen = 0;
    for (unsigned i = 0; i < 20000; i++) {
        vclock_fake_advance(1 * US);
        uint8_t status = inb(0x3da);
        if (status & 0x08) {
            g_assert_cmphex(status & 0x01, ==, 0x01);
            seen++;
        }
    }
    g_assert_cmpuint(seen, >, 40); /* two lines of 32 us, once or twice */
}

static void test_unprogrammed_chip_still_moves(void)
{
    setup();
    g_assert_cmpuint(edges(0x08, 20 * US, 50000), >, 30);
}

static void test_vertical_interrupt_flag(void)
{
    setup();
    program_text();
    set(0x3d4, 0x11, 0x0e); /* clears */
    g_assert_cmphex(inb(0x3c2) & 0x80, ==, 0);
    set(0x3d4, 0x11, 0x1e);
    vclock_fake_advance(20 * MS);
    g_assert_cmphex(inb(0x3c2) & 0x80, ==, 0x80);
    set(0x3d4, 0x11, 0x0e);
    set(0x3d4, 0x11, 0x1e);
    g_assert_cmphex(inb(0x3c2) & 0x80, ==, 0);
}

/* --- DISPI --- */

static uint16_t dispi_get(uint16_t index)
{
    ioport_write(0x1ce, 2, index);
    return (uint16_t)ioport_read(0x1cf, 2);
}

static void dispi_set(uint16_t index, uint16_t value)
{
    ioport_write(0x1ce, 2, index);
    ioport_write(0x1d0, 2, value);
}

static void test_dispi_identity(void)
{
    setup();
    g_assert_cmphex(dispi_get(0), ==, 0xb0c5);
    dispi_set(0, 0xb0c2);
    g_assert_cmphex(dispi_get(0), ==, 0xb0c2);
    dispi_set(0, 0x1234);
    g_assert_cmphex(dispi_get(0), ==, 0xb0c2);
    g_assert_cmpuint(dispi_get(10), ==, 256);
}

static void test_dispi_capabilities(void)
{
    setup();
    dispi_set(1, 800);
    dispi_set(4, 2);
    g_assert_cmpuint(dispi_get(1), ==, 16000);
    g_assert_cmpuint(dispi_get(2), ==, 12000);
    g_assert_cmpuint(dispi_get(3), ==, 32);
    dispi_set(4, 0);
    g_assert_cmpuint(dispi_get(1), ==, 800);
}

static void mode(uint16_t width, uint16_t height, uint16_t bpp, uint16_t flags)
{
    dispi_set(4, 0);
    dispi_set(1, width);
    dispi_set(2, height);
    dispi_set(3, bpp);
    dispi_set(4, 0x41 | flags);
}

static void test_dispi_virtual_size(void)
{
    setup();
    mode(1024, 768, 16, 0);
    g_assert_cmpuint(dispi_get(6), ==, 1024);
    g_assert_cmpuint(dispi_get(7), ==, 16 * 1024 * 1024 / 2048);
    dispi_set(6, 2048);
    g_assert_cmpuint(dispi_get(6), ==, 2048);
    g_assert_cmpuint(dispi_get(7), ==, 4096);
    dispi_set(6, 100); /* not less than the screen */
    g_assert_cmpuint(dispi_get(6), ==, 1024);
    dispi_set(9, 0xffff); /* not beyond the memory */
    g_assert_cmpuint(dispi_get(9), ==, 8192 - 768);
}

static void test_dispi_clears_unless_told_not_to(void)
{
    const uint32_t lfb = 0xe0000000u;
    uint32_t value = 0x12345678;
    setup();
    pci_config_write(pci, VGA_DEVFN, PCI_BAR0, 4, lfb);
    pci_config_write(pci, VGA_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    mem_write(lfb + 100, &value, 4);
    mode(640, 480, 8, 0x80);
    mem_read(lfb + 100, &value, 4);
    g_assert_cmphex(value, ==, 0x12345678);
    mode(640, 480, 8, 0);
    mem_read(lfb + 100, &value, 4);
    g_assert_cmphex(value, ==, 0);
}

static void test_dispi_too_large_is_cut(void)
{
    setup();
    mode(4096, 4096, 32, 0);
    g_assert_cmpuint(dispi_get(1) * dispi_get(2) * 4u, <=, 16 * MiB);
    mode(0, 0, 77, 0);
    g_assert_cmpuint(dispi_get(1), ==, 8);
    g_assert_cmpuint(dispi_get(2), ==, 1);
    g_assert_cmpuint(dispi_get(3), ==, 8);
}

/* --- PCI --- */

static void test_pci_identity(void)
{
    setup();
    g_assert_cmphex(pci_config_read(pci, VGA_DEVFN, 0, 4), ==, 0x11111234);
    g_assert_cmphex(pci_config_read(pci, VGA_DEVFN, PCI_CLASS, 1), ==, 0x00);
    g_assert_cmphex(pci_config_read(pci, VGA_DEVFN, PCI_CLASS + 1, 2), ==, 0x0300);
    pci_config_write(pci, VGA_DEVFN, PCI_BAR0, 4, 0xffffffff);
    g_assert_cmphex(pci_config_read(pci, VGA_DEVFN, PCI_BAR0, 4), ==, 0xff000008);
    pci_config_write(pci, VGA_DEVFN, PCI_BAR0 + 8, 4, 0xffffffff);
    g_assert_cmphex(pci_config_read(pci, VGA_DEVFN, PCI_BAR0 + 8, 4), ==, 0xfffff000);
    pci_config_write(pci, VGA_DEVFN, PCI_ROM_BAR, 4, 0xfffffffe);
    g_assert_cmphex(pci_config_read(pci, VGA_DEVFN, PCI_ROM_BAR, 4), ==, 0xfffff000);
}

static void test_rom_bar(void)
{
    uint32_t value;
    setup();
    pci_config_write(pci, VGA_DEVFN, PCI_ROM_BAR, 4, 0xe8000001);
    mem_read(0xe8000000, &value, 4);
    g_assert_cmphex(value, ==, 0xffffffff); /* memory is off */
    pci_config_write(pci, VGA_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    mem_read(0xe8000000, &value, 4);
    g_assert_cmphex(value, ==, 0x0002aa55);
    value = 0;
    mem_write(0xe8000000, &value, 4);
    mem_read(0xe8000000, &value, 4);
    g_assert_cmphex(value, ==, 0x0002aa55);
    pci_config_write(pci, VGA_DEVFN, PCI_ROM_BAR, 4, 0xe8000000);
    mem_read(0xe8000000, &value, 4);
    g_assert_cmphex(value, ==, 0xffffffff);
}

static void test_registers_in_memory(void)
{
    uint8_t byte = 0x1e, low[2];
    uint16_t id;
    setup();
    pci_config_write(pci, VGA_DEVFN, PCI_BAR0 + 8, 4, 0xe9000000);
    pci_config_write(pci, VGA_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    mem_read(0xe9000500, &id, 2);
    g_assert_cmphex(id, ==, 0xb0c5);
    mem_write(0xe9000400 + 0x14, &byte, 1); /* 3D4h */
    g_assert_cmphex(inb(0x3d4), ==, 0x1e);
    low[0] = 0x0e;
    low[1] = 0x77;
    mem_write(0xe9000400 + 0x14, low, 2);
    g_assert_cmphex(get(0x3d4, 0x0e), ==, 0x77);
    uint16_t width = 640;
    mem_write(0xe9000502, &width, 2);
    g_assert_cmpuint(dispi_get(1), ==, 640);
}

static void test_reset(void)
{
    setup();
    mode(640, 480, 32, 0);
    set(0x3c4, 2, 0x0f);
    vga_class.reset(vga);
    g_assert_cmpuint(dispi_get(4), ==, 0);
    g_assert_cmphex(get(0x3c4, 2), ==, 0);
    g_assert_cmphex(inb(0x3cc), ==, 0);
    g_assert_cmphex(inb(0x3c6), ==, 0xff);
}

static void test_save_and_load(void)
{
    setup();
    program_text();
    set(0x3c4, 4, 0x0e);
    set(0x3c4, 2, 0x0f);
    set(0x3ce, 6, 0x05);
    set(0x3ce, 8, 0xff);
    uint8_t byte = 0x42;
    mem_write(0xa1234, &byte, 1);
    outb(0x3c8, 9);
    outb(0x3c9, 1); /* in the middle of a colour */
    GByteArray *saved = device_saved(&vga_class, vga);
    byte = 0;
    mem_write(0xa1234, &byte, 1);
    set(0x3d4, 0x0f, 0x99);
    device_load_checked(&vga_class, vga, saved);
    mem_read(0xa1234, &byte, 1);
    g_assert_cmphex(byte, ==, 0x42);
    g_assert_cmphex(get(0x3d4, 0x0f), ==, 0x00);
    outb(0x3c9, 2);
    outb(0x3c9, 3);
    outb(0x3c7, 9);
    g_assert_cmphex(inb(0x3c9), ==, 1);
}

/* Any sequence of accesses leaves the card working: it can be read, drawn, saved, loaded and reset. */
static void test_register_storm(void)
{
    static const struct {
        uint32_t base, size;
    } places[] = {{0xa0000, 0x20000}, {0xe0000000, 16 * MiB}, {0xe9000000, 4096}};
    struct display_pixels picture = {0};
    struct display_text screen = {0};

    setup();
    pci_config_write(pci, VGA_DEVFN, PCI_BAR0, 4, 0xe0000000);
    pci_config_write(pci, VGA_DEVFN, PCI_BAR0 + 8, 4, 0xe9000000);
    pci_config_write(pci, VGA_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    for (unsigned i = 0; i < 30000; i++) {
        uint32_t value = (uint32_t)g_test_rand_int();
        uint16_t port = (uint16_t)g_test_rand_int_range(0x3b4, 0x3e0);
        unsigned place = (unsigned)g_test_rand_int_range(0, 3);
        uint32_t at = places[place].base + (uint32_t)g_test_rand_int_range(0, (gint32)places[place].size);
        uint8_t buffer[16];
        switch (g_test_rand_int_range(0, 8)) {
        case 0:
        case 1:
        case 2:
            ioport_write(port, 1u << g_test_rand_int_range(0, 3), value);
            break;
        case 3:
            ioport_read(port, 1u << g_test_rand_int_range(0, 3));
            break;
        case 4:
            dispi_set((uint16_t)g_test_rand_int_range(0, 12), (uint16_t)(value >> (value & 15)));
            break;
        case 5:
            memset(buffer, (int)value, sizeof(buffer));
            mem_write(at, buffer, (uint32_t)g_test_rand_int_range(1, 17));
            break;
        case 6:
            mem_read(at, buffer, (uint32_t)g_test_rand_int_range(1, 17));
            break;
        default:
            if (i % 97 == 0) {
                const struct display *display = vga_display(vga);
                unsigned width, height;
                display->size(display->opaque, &width, &height);
                unsigned first = (unsigned)g_test_rand_int_range(0, (gint32)height + 2);
                unsigned count = (unsigned)g_test_rand_int_range(0, 32);
                picture.pixels = g_renew(uint32_t, picture.pixels, (size_t)width * 32);
                bool fits = display->rows(display->opaque, width, height, first, count, picture.pixels);
                g_assert_true(fits == (first <= height && count <= height - MIN(first, height)));
                display->text(display->opaque, &screen);
            }
            vclock_fake_advance(value & 0xfffff);
        }
    }
    display_pixels_clear(&picture);
    display_text_clear(&screen);
    GByteArray *saved = device_saved(&vga_class, vga);
    device_load_checked(&vga_class, vga, saved);
    vga_class.reset(vga);
    g_assert_cmphex(dispi_get(0), ==, 0xb0c5);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vga/sequencer_masks", test_sequencer_masks);
    g_test_add_func("/vga/graphics_controller_masks", test_graphics_controller_masks);
    g_test_add_func("/vga/attribute_masks", test_attribute_masks);
    g_test_add_func("/vga/crtc_reads_back", test_crtc_reads_back);
    g_test_add_func("/vga/crtc_write_protection", test_crtc_write_protection);
    g_test_add_func("/vga/ports_move_for_monochrome", test_ports_move_for_monochrome);
    g_test_add_func("/vga/misc_output_reads_at_3cc", test_misc_output_reads_at_3cc);
    g_test_add_func("/vga/indexes_read_back", test_indexes_read_back);
    g_test_add_func("/vga/attribute_flip_flop", test_attribute_flip_flop);
    g_test_add_func("/vga/feature_control", test_feature_control);
    g_test_add_func("/vga/dac_takes_three_parts", test_dac_takes_three_parts);
    g_test_add_func("/vga/dac_colour_changes_whole", test_dac_colour_changes_whole);
    g_test_add_func("/vga/dac_index_wraps", test_dac_index_wraps);
    g_test_add_func("/vga/dac_state", test_dac_state);
    g_test_add_func("/vga/dac_mask", test_dac_mask);
    g_test_add_func("/vga/dac_of_eight_bits", test_dac_of_eight_bits);
    g_test_add_func("/vga/vertical_retrace_70_hz", test_vertical_retrace_70_hz);
    g_test_add_func("/vga/display_enable_at_line_rate", test_display_enable_at_line_rate);
    g_test_add_func("/vga/retrace_is_within_blanking", test_retrace_is_within_blanking);
    g_test_add_func("/vga/unprogrammed_chip_still_moves", test_unprogrammed_chip_still_moves);
    g_test_add_func("/vga/vertical_interrupt_flag", test_vertical_interrupt_flag);
    g_test_add_func("/vga/dispi_identity", test_dispi_identity);
    g_test_add_func("/vga/dispi_capabilities", test_dispi_capabilities);
    g_test_add_func("/vga/dispi_virtual_size", test_dispi_virtual_size);
    g_test_add_func("/vga/dispi_clears_unless_told_not_to", test_dispi_clears_unless_told_not_to);
    g_test_add_func("/vga/dispi_too_large_is_cut", test_dispi_too_large_is_cut);
    g_test_add_func("/vga/pci_identity", test_pci_identity);
    g_test_add_func("/vga/rom_bar", test_rom_bar);
    g_test_add_func("/vga/registers_in_memory", test_registers_in_memory);
    g_test_add_func("/vga/reset", test_reset);
    g_test_add_func("/vga/save_and_load", test_save_and_load);
    g_test_add_func("/vga/register_storm", test_register_storm);
    return g_test_run();
}

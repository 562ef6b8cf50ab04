/* CL-GD5446: one test per behaviour of its manual; blits against a model that knows what is asked of a pixel. */
#include "board.h"
#include "display.h"
#include "display_number.h"
#include "mem.h"
#include "devices/pci.h"
#include "devices/vga/vga.h"

#define DEVFN  PCI_DEVFN(2, 0)
#define LFB    0xe0000000u
#define MMIO   0xe3000000u
#define MEMORY (4 * MiB)
#define MASK   (MEMORY - 1u)

static struct cirrus *card;
static struct pci_bus *pci;
static const struct display *screen;
static uint8_t *model, *seen; /* of video memory */

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

#define sr(index, value) set(0x3c4, index, value)
#define gr(index, value) set(0x3ce, index, value)
#define cr(index, value) set(0x3d4, index, value)

static uint32_t number(uint32_t below)
{
    return (uint32_t)g_random_int() % below;
}

static void setup(void)
{
    GError *error = NULL;
    static uint8_t rom[1024] = {0x55, 0xaa, 2};
    static const struct board_rom board_rom = {rom, sizeof(rom)};

    if (card) {
        cirrus_free(card);
        pci_bus_free(pci);
        mem_destroy();
    }
    ioport_clear();
    vclock_fake_start();
    g_assert_true(mem_init(4 * MiB, &error));
    pci = pci_bus_new();
    card = cirrus_new(pci, DEVFN, &board_rom, &error);
    g_assert_no_error(error);
    screen = cirrus_display(card);
    pci_config_write(pci, DEVFN, PCI_BAR0, 4, LFB);
    pci_config_write(pci, DEVFN, PCI_BAR0 + 4, 4, MMIO);
    pci_config_write(pci, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
    if (!model) {
        model = g_malloc(MEMORY);
        seen = g_malloc(MEMORY);
    }
    outb(0x3c2, 0x67);
    sr(0x06, 0x12);
    gr(0x06, 0x05);
    sr(0x07, 0x01); /* packed pixels */
}

static void noise(void)
{
    for (uint32_t i = 0; i < MEMORY; i += 4) {
        uint32_t value = g_random_int();
        memcpy(model + i, &value, 4);
    }
    mem_write(LFB, model, MEMORY);
}

static void check_memory(const char *what, unsigned n)
{
    mem_read(LFB, seen, MEMORY);
    for (uint32_t i = 0; i < MEMORY; i++) {
        if (seen[i] != model[i])
            g_error("%s %u: at %x there is %02x, not %02x", what, n, i, seen[i], model[i]);
    }
}

static uint32_t peek(uint32_t at, unsigned size)
{
    uint32_t value = 0;
    mem_read(at, &value, size);
    return value;
}

static void poke(uint32_t at, unsigned size, uint32_t value)
{
    mem_write(at, &value, size);
}

/* --- Registers --- */

static void test_pci_identity(void)
{
    setup();
    g_assert_cmphex(pci_config_read(pci, DEVFN, 0, 4), ==, 0x00b81013);
    g_assert_cmphex(pci_config_read(pci, DEVFN, 8, 4), ==, 0x03000000);
    g_assert_cmphex(pci_config_read(pci, DEVFN, 0x2c, 4), ==, 0x11001af4);
    pci_config_write(pci, DEVFN, PCI_BAR0, 4, 0xffffffff);
    pci_config_write(pci, DEVFN, PCI_BAR0 + 4, 4, 0xffffffff);
    g_assert_cmphex(pci_config_read(pci, DEVFN, PCI_BAR0, 4), ==, 0xfe000008);
    g_assert_cmphex(pci_config_read(pci, DEVFN, PCI_BAR0 + 4, 4), ==, 0xfffff000);
}

static void test_extensions_are_locked(void)
{
    setup();
    sr(0x06, 0x00);
    g_assert_cmphex(get(0x3c4, 0x06), ==, 0x0f);
    sr(0x09, 0x55);
    gr(0x09, 0x55);
    cr(0x1b, 0x55);
    g_assert_cmphex(get(0x3c4, 0x09) | get(0x3ce, 0x09) | get(0x3d4, 0x1b), ==, 0);
    sr(0x06, 0xf2); /* only five bits count */
    g_assert_cmphex(get(0x3c4, 0x06), ==, 0x12);
    sr(0x09, 0x55);
    gr(0x09, 0x56);
    cr(0x1b, 0x57);
    g_assert_cmphex(get(0x3c4, 0x09), ==, 0x55);
    g_assert_cmphex(get(0x3ce, 0x09), ==, 0x56);
    g_assert_cmphex(get(0x3d4, 0x1b), ==, 0x57);
}

static void test_identity_registers(void)
{
    setup();
    g_assert_cmphex(get(0x3d4, 0x27), ==, 0xb8);
    g_assert_cmphex(get(0x3c4, 0x0f), ==, 0x98);
    outb(0x3c4, 0xb0);
    g_assert_cmphex(inb(0x3c4), ==, 0xb0); /* the index is whole */
    outb(0x3ce, 0x31);
    g_assert_cmphex(inb(0x3ce), ==, 0x31);
    outb(0x3c0, 0x25);
    g_assert_cmphex(get(0x3d4, 0x26), ==, 0x25);
}

static void test_hidden_dac(void)
{
    setup();
    outb(0x3c6, 0xfe);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmphex(inb(0x3c6), ==, 0xfe);
    outb(0x3c6, 0xe1);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmphex(inb(0x3c6), ==, 0xfe);
    g_assert_cmphex(inb(0x3c6), ==, 0xe1);
    g_assert_cmphex(inb(0x3c6), ==, 0xfe);
    inb(0x3c8); /* starts over */
    for (unsigned i = 0; i < 3; i++)
        inb(0x3c6);
    outb(0x3c6, 0x7f);
    g_assert_cmphex(inb(0x3c6), ==, 0x7f);
}

static void test_ports_in_memory(void)
{
    setup();
    poke(MMIO + 0x04, 1, 0x09);
    poke(MMIO + 0x05, 1, 0x99);
    g_assert_cmphex(get(0x3c4, 0x09), ==, 0x99);
    poke(MMIO + 0x14, 2, 0x770e);
    g_assert_cmphex(get(0x3d4, 0x0e), ==, 0x77);
    poke(MMIO + 0x108, 4, 0x04560123);
    g_assert_cmphex(get(0x3ce, 0x20), ==, 0x23);
    g_assert_cmphex(get(0x3ce, 0x23), ==, 0x04);
    g_assert_cmphex(peek(MMIO + 0x108, 4), ==, 0x04560123);
}

/* --- Raster operations --- */

static uint8_t rop(uint8_t code, uint8_t s, uint8_t d)
{
    switch (code) { /* the manual's table */
    case 0x00:
        return 0;
    case 0x05:
        return s & d;
    case 0x06:
        return d;
    case 0x09:
        return s & ~d;
    case 0x0b:
        return ~d;
    case 0x0d:
        return s;
    case 0x0e:
        return 0xff;
    case 0x50:
        return ~s & d;
    case 0x59:
        return s ^ d;
    case 0x6d:
        return s | d;
    case 0x90:
        return ~(s | d);
    case 0x95:
        return ~(s ^ d);
    case 0xad:
        return s | ~d;
    case 0xd0:
        return ~s;
    case 0xd6:
        return ~s | d;
    case 0xda:
        return ~(s & d);
    }
    return d;
}

static const uint8_t rops[17] = {0x00, 0x05, 0x06, 0x09, 0x0b, 0x0d, 0x0e, 0x50, 0x59,
                                 0x6d, 0x90, 0x95, 0xad, 0xd0, 0xd6, 0xda, 0x77};

/* --- Blits --- */

#define BACKWARD 0x01
#define TO_CPU   0x02
#define FROM_CPU 0x04
#define CLEAR    0x08
#define PATTERN  0x40
#define EXPAND   0x80
#define DWORDS   0x01
#define INVERT   0x02
#define SOLID    0x04

struct blt {
    uint8_t mode, ext, rop, skip;
    uint32_t width, rows, dst, src, dst_pitch, src_pitch, key, fore, back;
};

static void blt_number(uint8_t index, unsigned bytes, uint32_t value)
{
    for (unsigned i = 0; i < bytes; i++)
        gr((uint8_t)(index + i), (uint8_t)(value >> (8 * i)));
}

static void blt_colour(uint8_t index, uint32_t value)
{
    static const uint8_t plus[4] = {0, 0x10, 0x12, 0x14};
    for (unsigned i = 0; i < 4; i++)
        gr((uint8_t)(index + plus[i]), (uint8_t)(value >> (8 * i)));
}

static void blt_program(const struct blt *b)
{
    blt_number(0x20, 2, b->width - 1);
    blt_number(0x22, 2, b->rows - 1);
    blt_number(0x24, 2, b->dst_pitch);
    blt_number(0x26, 2, b->src_pitch);
    blt_number(0x2c, 3, b->src);
    gr(0x2f, b->skip);
    gr(0x30, b->mode);
    gr(0x32, b->rop);
    gr(0x33, b->ext);
    blt_number(0x34, 2, b->key);
    blt_colour(0, b->back);
    blt_colour(1, b->fore);
    blt_number(0x28, 3, b->dst);
}

static void blt_start(const struct blt *b)
{
    blt_program(b);
    gr(0x31, 0x02);
}

static bool is_busy(void)
{
    uint8_t status = get(0x3ce, 0x31);
    g_assert_cmpint(!!(status & 0x01), ==, !!(status & 0x08));
    return status & 0x01;
}

static void blt_wait(void)
{
    for (unsigned i = 0; is_busy(); i++) {
        g_assert_cmpuint(i, <, 200);
        vclock_fake_advance(MS);
    }
}

static unsigned pixel_size(const struct blt *b)
{
    return (b->mode >> 4 & 3) + 1u;
}

/* One pixel of the model: `source` over what is there. */
static void model_put(const struct blt *b, uint32_t at, const uint8_t *source)
{
    unsigned size = pixel_size(b);
    for (unsigned i = 0; i < size; i++)
        model[(at + i) & MASK] = rop(b->rop, source[i], model[(at + i) & MASK]);
}

static void colour_bytes(uint32_t colour, uint8_t *bytes)
{
    for (unsigned i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(colour >> (8 * i));
}

/* Two colours by a bit: which one goes where it does not show through. */
static void model_bit(const struct blt *b, uint32_t at, bool bit)
{
    uint8_t fore[4], back[4];
    bool inverted = b->ext & INVERT;
    colour_bytes(b->fore, fore);
    colour_bytes(b->back, back);
    if (!(b->mode & CLEAR))
        model_put(b, at, bit ? fore : back);
    else if (bit && !inverted)
        model_put(b, at, fore);
    else if (!bit && inverted)
        model_put(b, at, back);
}

/* given: what the processor wrote. */
static void model_blt(const struct blt *b, const uint8_t *given)
{
    unsigned size = pixel_size(b), pixels = b->width / size;
    unsigned skip = size == 3 ? (b->skip & 31) / 3 : b->skip & 7;
    unsigned pattern_line = size == 1 ? 8 : size == 2 ? 16 : 32;
    uint8_t pattern[256];

    for (unsigned i = 0; i < 256; i++) {
        uint32_t base = b->mode & EXPAND ? b->src & ~7u : b->src & ~(8 * pattern_line - 1);
        pattern[i] = given ? given[i] : model[(base + i) & MASK];
    }
    for (unsigned y = 0; y < b->rows; y++) {
        uint32_t dst = b->dst + (b->mode & BACKWARD ? 0u - y * b->dst_pitch : y * b->dst_pitch);
        if ((b->mode & (PATTERN | EXPAND)) == (PATTERN | EXPAND) && (b->ext & SOLID) && !(b->mode & CLEAR)) {
            uint8_t fore[4];
            colour_bytes(b->fore, fore);
            for (unsigned x = 0; x < pixels; x++)
                model_put(b, dst + x * size, fore);
        } else if (b->mode & PATTERN) {
            unsigned row = (b->src + y) & 7;
            for (unsigned x = skip; x < pixels; x++) {
                if (b->mode & EXPAND)
                    model_bit(b, dst + x * size, pattern[row] & 0x80 >> (x & 7));
                else
                    model_put(b, dst + x * size, &pattern[row * pattern_line + (x & 7) * size]);
            }
        } else if (b->mode & EXPAND) {
            unsigned line = !given ? (pixels + 7) / 8 : b->ext & DWORDS ? (pixels + 31) / 32 * 4 : (pixels + 7) / 8;
            for (unsigned x = skip; x < pixels; x++) {
                uint8_t bits = given ? given[y * line + x / 8] : model[(b->src + y * line + x / 8) & MASK];
                model_bit(b, dst + x * size, bits & 0x80 >> (x & 7));
            }
        } else {
            uint32_t src = b->src + (b->mode & BACKWARD ? 0u - y * b->src_pitch : y * b->src_pitch);
            unsigned step = b->mode & CLEAR ? size : 1;
            for (unsigned x = 0; x < b->width; x += step) {
                uint8_t result[2];
                uint32_t at = b->mode & BACKWARD ? 0u - x - (step - 1) : x;
                for (unsigned i = 0; i < step; i++) {
                    uint8_t s = given ? given[y * ((b->width + 3) & ~3u) + x + i] : model[(src + at + i) & MASK];
                    result[i] = rop(b->rop, s, model[(dst + at + i) & MASK]);
                }
                if ((b->mode & CLEAR) &&
                    memcmp(result, (uint8_t[]){(uint8_t)b->key, (uint8_t)(b->key >> 8)}, step) == 0)
                    continue;
                for (unsigned i = 0; i < step; i++)
                    model[(dst + at + i) & MASK] = result[i];
            }
        }
    }
}

/* Something anywhere, also over the end of memory and over itself. mode without the pixels' size. */
static struct blt any_blt(uint8_t mode, unsigned size)
{
    struct blt b = {.mode = (uint8_t)(mode | (size - 1) << 4),
                    .rop = rops[number(17)],
                    .width = (1 + number(150)) * size,
                    .rows = 1 + number(30),
                    .dst = number(4) ? number(0x10000) : MEMORY - number(5000),
                    .src = number(4) ? number(0x10000) : MEMORY - number(5000),
                    .dst_pitch = number(8192),
                    .src_pitch = number(8192),
                    .key = number(65536),
                    .fore = g_random_int(),
                    .back = g_random_int()};
    b.skip = (uint8_t)(size == 3 ? 3 * number(8) : number(8));
    b.ext = (uint8_t)number(4);
    if (!number(3)) {
        b.src_pitch = b.dst_pitch;
        b.src = (b.dst + number(200)) & MASK;
    }
    return b;
}

static void test_copies(void)
{
    setup();
    noise();
    for (unsigned n = 0; n < 400; n++) {
        struct blt b = any_blt(n & 1 ? BACKWARD : 0, 1 + n / 2 % 4);
        blt_start(&b);
        g_assert_false(is_busy());
        model_blt(&b, NULL);
        if (n % 8 == 7)
            check_memory("copy", n);
    }
}

static void test_keyed_copies(void)
{
    setup();
    for (unsigned n = 0; n < 400; n++) {
        if (n % 50 == 0)
            noise();
        struct blt b = any_blt((uint8_t)(CLEAR | (n & 1 ? BACKWARD : 0)), 1 + n / 2 % 2);
        if (n & 4) { /* a key that is there */
            b.rop = 0x0d;
            b.key = model[b.src] | model[(b.src + 1) & MASK] << 8;
        }
        blt_start(&b);
        model_blt(&b, NULL);
        if (n % 8 == 7)
            check_memory("keyed copy", n);
    }
}

static void test_expansions(void)
{
    setup();
    noise();
    for (unsigned n = 0; n < 400; n++) {
        struct blt b = any_blt((uint8_t)(EXPAND | (n & 1 ? CLEAR : 0)), 1 + n / 2 % 4);
        b.src = 0x200000 + number(0x10000); /* its bits stay what they are while it goes on */
        blt_start(&b);
        model_blt(&b, NULL);
        if (n % 8 == 7)
            check_memory("expansion", n);
    }
}

static void test_patterns(void)
{
    setup();
    noise();
    for (unsigned n = 0; n < 600; n++) {
        static const uint8_t modes[3] = {PATTERN, PATTERN | EXPAND, PATTERN | EXPAND | CLEAR};
        struct blt b = any_blt(modes[n % 3], 1 + n / 3 % 4);
        if (n % 5 == 0)
            b.ext |= SOLID;
        if ((b.ext & SOLID) && !(b.mode & CLEAR))
            b.skip = 0;
        b.src = 0x200000 + number(0x10000);
        blt_start(&b);
        model_blt(&b, NULL);
        if (n % 8 == 7)
            check_memory("pattern", n);
    }
}

static uint32_t given_bytes(const struct blt *b)
{
    unsigned size = pixel_size(b), pixels = b->width / size;
    if (b->mode & PATTERN)
        return b->mode & EXPAND ? 8 : 64 * (size == 3 ? 4 : size);
    if (b->mode & EXPAND)
        return b->rows * (b->ext & DWORDS ? (pixels + 31) / 32 * 4 : (pixels + 7) / 8);
    return b->rows * ((b->width + 3) & ~3u);
}

/* Through any of the ways, in pieces of any size; the last one may have bytes too many. */
static void test_from_processor(void)
{
    static uint8_t given[65536];
    setup();
    noise();
    for (unsigned n = 0; n < 600; n++) {
        static const uint8_t modes[6] = {0,       EXPAND,           EXPAND | CLEAR,
                                         PATTERN, PATTERN | EXPAND, PATTERN | EXPAND | CLEAR};
        struct blt b = any_blt((uint8_t)(FROM_CPU | modes[n % 6]), 1 + n / 6 % 4);
        uint32_t bytes = given_bytes(&b);
        static const uint32_t ways[4] = {0xa0000, LFB, LFB + 0x1000000, LFB + 0x400000};
        for (uint32_t i = 0; i < sizeof(given); i++)
            given[i] = (uint8_t)g_random_int();
        blt_start(&b);
        for (uint32_t at = 0; at < bytes;) {
            unsigned size = 1u << number(3);
            g_assert_true(is_busy());
            mem_write(ways[number(4)] + 4 * number(100), given + at, size);
            at += size;
        }
        g_assert_false(is_busy());
        model_blt(&b, given);
        if (n % 8 == 7)
            check_memory("from the processor", n);
    }
}

static void test_to_processor(void)
{
    setup();
    noise();
    for (unsigned n = 0; n < 100; n++) {
        struct blt b = any_blt(TO_CPU, 1 + n % 4);
        uint32_t line = (b.width + 3) & ~3u;
        blt_start(&b);
        for (uint32_t at = 0; at < line * b.rows; at += 4) {
            uint32_t got = peek(number(2) ? 0xa0000 : LFB, 4), src = b.src + at / line * b.src_pitch + at % line;
            g_assert_true(got == (model[src & MASK] | (uint32_t)model[(src + 1) & MASK] << 8 |
                                  (uint32_t)model[(src + 2) & MASK] << 16 | (uint32_t)model[(src + 3) & MASK] << 24));
        }
        g_assert_false(is_busy());
    }
    check_memory("to the processor", 0);
}

static void test_autostart(void)
{
    setup();
    noise();
    struct blt b = any_blt(0, 1);
    gr(0x31, 0x80);
    blt_program(&b); /* ends with GR2A */
    blt_wait();
    model_blt(&b, NULL);
    check_memory("autostart", 0);
}

/* The largest blit there is, with one more behind it: in pieces, on the clock. */
static void test_long_blits_go_on(void)
{
    setup();
    noise();
    struct blt b = {
        .mode = 0, .rop = 0x59, .width = 8192, .rows = 2048, .src = 5, .dst_pitch = 8191, .src_pitch = 8190};
    struct blt next = {.mode = PATTERN | EXPAND,
                       .ext = SOLID,
                       .rop = 0x0d,
                       .width = 100,
                       .rows = 10,
                       .dst = 1000,
                       .dst_pitch = 200,
                       .fore = 0x7b};
    blt_start(&b);
    g_assert_true(is_busy());
    mem_read(LFB, seen, MEMORY);
    g_assert_cmpmem(seen + 2 * MiB, 8192, model + 2 * MiB, 8192); /* it has not come there yet */
    blt_start(&next);
    g_assert_cmphex(get(0x3ce, 0x31) & 0x10, ==, 0x10);
    blt_wait();
    g_assert_cmphex(get(0x3ce, 0x31), ==, 0);
    model_blt(&b, NULL);
    model_blt(&next, NULL);
    check_memory("long", 0);
}

static void test_reset_ends_a_blit(void)
{
    setup();
    struct blt b = {.rop = 0x0d, .width = 8192, .rows = 2048, .src = 5, .dst_pitch = 8191, .src_pitch = 8190};
    blt_start(&b);
    g_assert_true(is_busy());
    gr(0x31, 0x04);
    g_assert_false(is_busy());
    g_assert_cmpint(vclock_fake_first_due(), ==, INT64_MAX);
    gr(0x31, 0x00);
    b.mode = FROM_CPU;
    blt_start(&b);
    g_assert_true(is_busy());
    gr(0x31, 0x04);
    gr(0x31, 0x00);
    poke(LFB + 100, 1, 0xa5); /* is memory again */
    g_assert_cmphex(peek(LFB + 100, 1), ==, 0xa5);
}

/* --- Memory --- */

static void test_banks(void)
{
    setup();
    noise();
    for (unsigned n = 0; n < 200; n++) {
        uint8_t mode = (uint8_t)((n & 1) | (n & 2) << 4);
        uint8_t bank[2] = {(uint8_t)g_random_int(), (uint8_t)g_random_int()};
        unsigned shift = mode & 0x20 ? 14 : 12;
        gr(0x0b, mode);
        gr(0x09, bank[0]);
        gr(0x0a, bank[1]);
        unsigned times = n % 20 == 0 ? 2000 : 20; /* long enough to become plain memory */
        for (unsigned i = 0; i < times; i++) {
            uint32_t offset = number(0x10000);
            uint32_t at = mode & 1 ? ((uint32_t)bank[offset >> 15] << shift) + (offset & 0x7fff)
                                   : ((uint32_t)bank[0] << shift) + offset;
            g_assert_cmphex(peek(0xa0000 + offset, 1), ==, at < MEMORY ? model[at] : 0xff);
            uint8_t value = (uint8_t)g_random_int();
            poke(0xa0000 + offset, 1, value);
            if (at < MEMORY)
                model[at] = value;
        }
        if (n % 20 == 0)
            check_memory("banks", n);
    }
}

/* A pixel costs no access of the device's. */
static void test_frame_buffer_is_plain(void)
{
    setup();
    uint64_t before = guest_mem.device_accesses;
    for (unsigned i = 0; i < 1000; i++)
        poke(LFB + 4 * i, 4, i);
    g_assert_cmpuint(guest_mem.device_accesses, ==, before);
    /* The window becomes it, and stays it until the bank moves. */
    for (unsigned i = 0; i < 2000; i++)
        poke(0xa0000 + i, 1, i);
    g_assert_cmpuint(guest_mem.device_accesses - before, <, 1000);
    before = guest_mem.device_accesses;
    for (unsigned i = 0; i < 2000; i++)
        poke(0xa0000 + i, 1, i + 1);
    g_assert_cmpuint(guest_mem.device_accesses, ==, before);
    g_assert_cmphex(peek(LFB + 100, 1), ==, 101);
    gr(0x09, 1);
    g_assert_cmphex(peek(0xa0000, 1), ==, peek(LFB + 4096, 1));
    /* After a blit through the processor the frame buffer is it again, after a while. */
    struct blt b = {.mode = FROM_CPU, .rop = 0x0d, .width = 4, .rows = 1};
    blt_start(&b);
    poke(LFB, 4, 0x12345678);
    g_assert_cmphex(peek(LFB, 4), ==, 0x12345678);
    for (unsigned i = 0; i < 1000; i++)
        poke(LFB + 4 * i, 4, i);
    before = guest_mem.device_accesses;
    poke(LFB, 4, 1);
    g_assert_cmpuint(guest_mem.device_accesses, ==, before);
}

static void test_write_modes(void)
{
    setup();
    noise();
    for (unsigned n = 0; n < 400; n++) {
        unsigned size = 1 + (n & 1), mode = 4 + (n >> 1 & 1);
        uint16_t fore = (uint16_t)g_random_int(), back = (uint16_t)g_random_int();
        blt_colour(1, fore);
        blt_colour(0, back);
        gr(0x0b, size == 1 ? 0x06 : 0x14);
        gr(0x05, (uint8_t)(0x40 | mode));
        uint32_t at = number(0x10000);
        uint8_t bits = (uint8_t)g_random_int();
        poke((n & 4 ? 0xa0000 : LFB) + at, 1, bits);
        for (unsigned x = 0; x < 8; x++) {
            for (unsigned i = 0; i < size; i++) {
                uint8_t *pixel = &model[((at << (size == 1 ? 3 : 4)) + x * size + i) & MASK];
                if (bits & 0x80 >> x)
                    *pixel = (uint8_t)(fore >> (8 * i));
                else if (mode == 5)
                    *pixel = (uint8_t)(back >> (8 * i));
            }
        }
    }
    gr(0x05, 0x40);
    gr(0x0b, 0);
    check_memory("write modes", 0);
}

static void test_eight_byte_latches(void)
{
    setup();
    noise();
    gr(0x0b, 0x0a);
    gr(0x05, 0x41);
    peek(0xa0000 + 5, 1);
    poke(0xa0000 + 9, 1, 0);
    memcpy(model + 9 * 8, model + 5 * 8, 8);
    gr(0x05, 0x40);
    gr(0x0b, 0);
    check_memory("latches", 0);
}

static void test_swapped_apertures(void)
{
    setup();
    poke(LFB + 0x100, 4, 0x44332211);
    g_assert_cmphex(peek(LFB + 0x400100, 4), ==, 0x33441122);
    g_assert_cmphex(peek(LFB + 0x800100, 4), ==, 0x11223344);
    poke(LFB + 0x800200, 4, 0xaabbccdd);
    g_assert_cmphex(peek(LFB + 0x200, 4), ==, 0xddccbbaa);
    poke(LFB + 0x400200, 2, 0x1234);
    g_assert_cmphex(peek(LFB + 0x200, 2), ==, 0x3412);
    g_assert_cmphex(peek(LFB + 0xc00000, 4), ==, 0xffffffff);
    g_assert_cmphex(peek(LFB + 0x1000000, 4), ==, 0xffffffff);
}

static void test_blitter_registers_in_memory(void)
{
    setup();
    sr(0x17, 0x04);
    poke(0xb8008, 2, 0x0123);
    g_assert_cmphex(get(0x3ce, 0x20) | get(0x3ce, 0x21) << 8, ==, 0x0123);
    g_assert_cmphex(peek(0xb8008, 2), ==, 0x0123);
    sr(0x17, 0x44);
    g_assert_cmphex(peek(0xb8008, 2), ==, 0xffff);
    poke(LFB + MEMORY - 0x100 + 0x08, 2, 0x0456);
    g_assert_cmphex(get(0x3ce, 0x20) | get(0x3ce, 0x21) << 8, ==, 0x0456);
    uint64_t before = guest_mem.device_accesses;
    poke(LFB + 0x1000, 4, 7);
    g_assert_cmpuint(guest_mem.device_accesses, ==, before); /* the rest is memory */
    poke(LFB + MEMORY - 0x200, 4, 9);
    g_assert_cmphex(peek(LFB + MEMORY - 0x200, 4), ==, 9);
    sr(0x17, 0x00);
    poke(LFB + MEMORY - 0x100 + 0x08, 2, 0x0789);
    g_assert_cmphex(get(0x3ce, 0x20), ==, 0x56);
}

static void test_text_modes_are_the_vgas(void)
{
    setup();
    sr(0x07, 0x00);
    sr(0x02, 0x03);
    sr(0x04, 0x02);
    gr(0x05, 0x10);
    gr(0x06, 0x0e);
    gr(0x08, 0xff);
    poke(0xb8000, 2, 0x0741);
    g_assert_cmphex(peek(0xb8000, 2), ==, 0x0741);
    gr(0x06, 0x05); /* plane 0, then 1 */
    sr(0x04, 0x06);
    gr(0x05, 0x00);
    g_assert_cmphex(peek(0xa0000, 1), ==, 0x41);
    gr(0x04, 1);
    g_assert_cmphex(peek(0xa0000, 1), ==, 0x07);
}

/* --- Pictures --- */

static void picture_mode(unsigned width, unsigned height, uint8_t depth, uint8_t hidden, unsigned pitch)
{
    unsigned last = height - 1;
    sr(0x00, 3);
    sr(0x01, 1);
    cr(0x11, 0);
    cr(0x01, (uint8_t)(width / 8 - 1));
    cr(0x07, (uint8_t)(0x10 | (last >> 7 & 2) | (last >> 3 & 0x40)));
    cr(0x09, 0x40);
    cr(0x12, (uint8_t)last);
    cr(0x13, (uint8_t)(pitch / 8));
    cr(0x18, 0xff);
    cr(0x1b, (uint8_t)(pitch / 8 >> 4 & 0x10));
    sr(0x07, depth);
    inb(0x3c8);
    for (unsigned i = 0; i < 4; i++)
        inb(0x3c6);
    outb(0x3c6, hidden);
    outb(0x3c6, 0xff);
    outb(0x3c8, 0);
    for (unsigned i = 0; i < 256; i++) {
        outb(0x3c9, i & 0x3f);
        outb(0x3c9, (uint8_t)(i >> 2));
        outb(0x3c9, (i * 7) & 0x3f);
    }
    inb(0x3da);
    outb(0x3c0, 0x20);
}

static uint32_t widen(uint32_t value, unsigned bits)
{
    return (value << (8 - bits) | value >> (2 * bits - 8)) & 0xff;
}

static uint32_t model_pixel(uint32_t at, unsigned bits)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < 4; i++)
        v |= (uint32_t)model[(at + i) & MASK] << (8 * i);
    switch (bits) {
    case 8:
        v &= 0xff;
        return widen(v & 0x3f, 6) << 16 | widen(v >> 2, 6) << 8 | widen((v * 7) & 0x3f, 6);
    case 15:
        return widen(v >> 10 & 31, 5) << 16 | widen(v >> 5 & 31, 5) << 8 | widen(v & 31, 5);
    case 16:
        return widen(v >> 11 & 31, 5) << 16 | widen(v >> 5 & 63, 6) << 8 | widen(v & 31, 5);
    }
    return v & 0xffffff;
}

static uint32_t *picture_get(unsigned width, unsigned height)
{
    unsigned w, h;
    screen->size(screen->opaque, &w, &h);
    g_assert_cmpuint(w, ==, width);
    g_assert_cmpuint(h, ==, height);
    uint32_t *pixels = g_new0(uint32_t, width * height);
    g_assert_true(screen->rows(screen->opaque, width, height, 0, 10, pixels));
    g_assert_true(screen->rows(screen->opaque, width, height, 10, height - 10, pixels + 10 * width));
    return pixels;
}

static const struct depth {
    unsigned bits;
    uint8_t sr7, hidden;
} depths[] = {{8, 0x01, 0x00},  {15, 0x07, 0xf0}, {16, 0x07, 0xe1},
              {24, 0x05, 0xe5}, {32, 0x09, 0xe5}, {15, 0x03, 0x80}};

static void test_pictures(void)
{
    setup();
    noise();
    for (unsigned i = 0; i < G_N_ELEMENTS(depths); i++) {
        const struct depth *d = &depths[i];
        unsigned bytes = (d->bits + 7) / 8, pitch = 640 * bytes + 8 * i;
        picture_mode(640, 480, d->sr7, d->hidden, pitch);
        for (unsigned n = 0; n < 4; n++) {
            static const uint32_t starts[4] = {0, 0x12345, 0x81234, 0xfff00}; /* in doublewords: all twenty bits */
            uint32_t start = starts[n];
            cr(0x0c, (uint8_t)(start >> 8));
            cr(0x0d, (uint8_t)start);
            cr(0x1b, (uint8_t)((pitch / 8 >> 4 & 0x10) | (start >> 16 & 1) | (start >> 15 & 0x0c)));
            cr(0x1d, (uint8_t)(start >> 12 & 0x80));
            uint32_t *pixels = picture_get(640, 480);
            for (unsigned y = 0; y < 480; y++) {
                for (unsigned x = 0; x < 640; x++)
                    g_assert_cmphex(pixels[y * 640 + x], ==, model_pixel(4 * start + y * pitch + x * bytes, d->bits));
            }
            g_free(pixels);
        }
        cr(0x0c, 0);
        cr(0x0d, 0);
        cr(0x1d, 0);
    }
}

static void test_double_lines_and_split(void)
{
    setup();
    noise();
    picture_mode(320, 400, 0x01, 0, 320);
    cr(0x09, 0xc0); /* each line twice */
    cr(0x0d, 0x40);
    cr(0x18, 199);
    cr(0x07, get(0x3d4, 0x07) & ~0x10);
    cr(0x09, 0x80);
    uint32_t *pixels = picture_get(320, 400);
    g_assert_cmphex(pixels[0], ==, model_pixel(0x100, 8));
    g_assert_cmphex(pixels[320], ==, model_pixel(0x100, 8));
    g_assert_cmphex(pixels[2 * 320], ==, model_pixel(0x100 + 320, 8));
    g_assert_cmphex(pixels[199 * 320 + 7], ==, model_pixel(0x100 + 99 * 320 + 7, 8));
    g_assert_cmphex(pixels[200 * 320 + 7], ==, model_pixel(7, 8));
    g_assert_cmphex(pixels[202 * 320 + 7], ==, model_pixel(320 + 7, 8));
    g_free(pixels);
    sr(0x01, 0x21); /* off */
    pixels = picture_get(320, 400);
    for (unsigned i = 0; i < 320 * 400; i++)
        g_assert_cmphex(pixels[i], ==, 0);
    g_free(pixels);
}

static void test_cursor(void)
{
    setup();
    noise();
    picture_mode(640, 480, 0x09, 0xe5, 2560);
    sr(0x12, 0x02); /* its colours */
    outb(0x3c8, 0x00);
    outb(0x3c9, 0x3f), outb(0x3c9, 0x00), outb(0x3c9, 0x20);
    outb(0x3c8, 0x0f);
    outb(0x3c9, 0x00), outb(0x3c9, 0x3f), outb(0x3c9, 0x10);
    outb(0x3c7, 0x0f);
    g_assert_cmphex(inb(0x3c9) << 16 | inb(0x3c9) << 8 | inb(0x3c9), ==, 0x003f10);
    for (unsigned n = 0; n < 60; n++) {
        unsigned size = n & 1 ? 64 : 32, select = number(n & 1 ? 16 : 64);
        unsigned left = number(700), top = number(500);
        uint32_t at = MEMORY - 0x4000 + (n & 1 ? select * 1024 : select * 256);
        unsigned line = size == 64 ? 16 : 4, other = size == 64 ? 8 : 128;
        sr(0x13, (uint8_t)(n & 1 ? select << 2 : select));
        sr((uint8_t)(0x10 | (left & 7) << 5), (uint8_t)(left >> 3));
        sr((uint8_t)(0x11 | (top & 7) << 5), (uint8_t)(top >> 3));
        sr(0x12, n & 1 ? 0x05 : 0x01);
        uint32_t *pixels = picture_get(640, 480);
        for (unsigned y = 0; y < 480; y++) {
            for (unsigned x = 0; x < 640; x++) {
                uint32_t want = model_pixel(y * 2560 + x * 4, 32);
                unsigned cx = x - left, cy = y - top;
                if (cx < size && cy < size) {
                    const uint8_t *row = &model[at + cy * line + cx / 8];
                    bool low = row[0] & 0x80 >> (cx & 7), high = row[other] & 0x80 >> (cx & 7);
                    want = high ? (low ? 0x00ff41 : 0xff0082) : low ? want ^ 0xffffff : want;
                }
                g_assert_cmphex(pixels[y * 640 + x], ==, want);
            }
        }
        g_free(pixels);
    }
}

static bool changed(void)
{
    static uint64_t last;
    uint64_t now = display_number(screen);
    bool is = now != last;
    last = now;
    return is;
}

static void test_serial(void)
{
    setup();
    picture_mode(640, 480, 0x01, 0, 640);
    changed();
    g_assert_false(changed());
    poke(LFB + 640 * 479 + 639, 1, 5);
    g_assert_true(changed());
    poke(LFB + 640 * 490, 1, 5); /* below the screen */
    gr(0x09, 3);
    gr(0x20, 3);
    g_assert_false(changed());
    cr(0x1b, 0x01);
    g_assert_true(changed());
    sr(0x12, 0x01);
    g_assert_true(changed());
    poke(LFB + MEMORY - 0x4000, 1, 5); /* its picture */
    g_assert_true(changed());
    sr(0x30, 0x10);
    g_assert_true(changed());
    sr(0x07, 0x07);
    g_assert_true(changed());
    g_assert_false(changed());
    struct blt b = {.mode = 0xc0, .ext = SOLID, .rop = 0x0d, .width = 8, .rows = 1, .dst = 0x40000, .fore = 0x77};
    blt_start(&b);
    g_assert_true(changed());
}

/* --- States --- */

static void test_state_amid_blits(void)
{
    setup();
    noise();
    struct blt b = any_blt(FROM_CPU, 1);
    b.rop = 0x59;
    uint32_t bytes = given_bytes(&b);
    uint8_t *given = g_malloc0(MAX(bytes, 256u) + 4); /* the model looks at a whole pattern */
    blt_start(&b);
    for (uint32_t i = 0; i < bytes; i++) {
        given[i] = (uint8_t)g_random_int();
        if (i == bytes / 2)
            device_load_checked(&cirrus_class, card, device_saved(&cirrus_class, card));
        poke(LFB, 1, given[i]);
    }
    model_blt(&b, given);
    g_free(given);
    g_assert_false(is_busy());
    check_memory("loaded amid a blit", 0);

    struct blt larger = {.rop = 0x59,
                         .width = 8192,
                         .rows = 2048,
                         .dst = MEMORY - 9000, /* round the end */
                         .src = 5,
                         .dst_pitch = 8191,
                         .src_pitch = 8190};
    blt_start(&larger);
    GByteArray *saved = device_saved(&cirrus_class, card);
    cirrus_class.reset(card);
    g_assert_cmpint(vclock_fake_first_due(), ==, INT64_MAX);
    pci_config_write(pci, DEVFN, PCI_BAR0, 4, LFB);
    pci_config_write(pci, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
    device_load_checked(&cirrus_class, card, saved);
    blt_wait();
    model_blt(&larger, NULL);
    check_memory("the rest after loading", 0);
}

static void test_reset(void)
{
    setup();
    noise();
    sr(0x12, 0x05);
    gr(0x0b, 0x06);
    cirrus_class.reset(card);
    outb(0x3c2, 0x67);
    g_assert_cmphex(get(0x3c4, 0x06), ==, 0x0f);
    g_assert_cmphex(get(0x3c4, 0x07), ==, 0x00);
    g_assert_cmphex(get(0x3c4, 0x12), ==, 0x00);
    g_assert_cmphex(get(0x3ce, 0x0b), ==, 0x00);
    g_assert_cmphex(peek(LFB, 4), ==, 0xffffffff); /* not mapped any more */
}

/* Anything into any register, and accesses meanwhile: nothing breaks, and no access takes long. */
static void test_hostile(void)
{
    setup();
    for (unsigned n = 0; n < 60000; n++) {
        uint8_t index = (uint8_t)number(n & 1 ? 0x40 : 0x100), value = (uint8_t)g_random_int();
        switch (number(10)) {
        case 0:
            sr(index, index == 6 ? 0x12 : value);
            break;
        case 1:
            cr(index, value);
            break;
        case 2:
            poke(0xa0000 + number(0x20000 - 4), 1u << number(3), g_random_int());
            break;
        case 3:
            peek(LFB + number(0x2000000 - 4), 1u << number(3));
            break;
        case 4:
            poke(LFB + number(0x2000000 - 4), 1u << number(3), g_random_int());
            break;
        case 5:
            poke(MMIO + number(0x300), 1u << number(3), g_random_int());
            break;
        case 6:
            vclock_fake_advance(number(3) * MS);
            if (n % 500 == 0)
                display_number(screen);
            break;
        default:
            gr(index, value);
        }
    }
}

#define TEST(name) g_test_add_func("/cirrus/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(pci_identity);
    TEST(extensions_are_locked);
    TEST(identity_registers);
    TEST(hidden_dac);
    TEST(ports_in_memory);
    TEST(copies);
    TEST(keyed_copies);
    TEST(expansions);
    TEST(patterns);
    TEST(from_processor);
    TEST(to_processor);
    TEST(autostart);
    TEST(long_blits_go_on);
    TEST(reset_ends_a_blit);
    TEST(banks);
    TEST(frame_buffer_is_plain);
    TEST(write_modes);
    TEST(eight_byte_latches);
    TEST(swapped_apertures);
    TEST(blitter_registers_in_memory);
    TEST(text_modes_are_the_vgas);
    TEST(pictures);
    TEST(double_lines_and_split);
    TEST(cursor);
    TEST(serial);
    TEST(state_amid_blits);
    TEST(reset);
    TEST(hostile);
    return g_test_run();
}

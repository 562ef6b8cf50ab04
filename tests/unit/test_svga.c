/* VMware SVGA II: one test per behaviour of its documents; drawing commands against a model that goes pixel by pixel.
 */
#include "board.h"
#include "display.h"
#include "display_number.h"
#include "mem.h"
#include "devices/pci.h"
#include "devices/vga/svga.h"

#define DEVFN  PCI_DEVFN(2, 0)
#define PORT   0xc000
#define FB     0xe0000000u
#define FIFO   0xe2000000u
#define MEMORY (16 * MiB)
#define MS     1000000ll
#define MIN_AT 128u /* FIFO: where commands begin */

static struct svga *card;
static struct pci_bus *pci;
static const struct display *screen;
static uint8_t *model, *seen; /* of the frame buffer */
static uint32_t next, max;

static void set(uint32_t reg, uint32_t value)
{
    ioport_write(PORT, 4, reg);
    ioport_write(PORT + 1, 4, value);
}

static uint32_t get(uint32_t reg)
{
    ioport_write(PORT, 4, reg);
    return ioport_read(PORT + 1, 4);
}

static uint32_t number(uint32_t below)
{
    return (uint32_t)g_random_int() % below;
}

static void fifo_set(uint32_t word, uint32_t value)
{
    mem_write(FIFO + 4 * word, &value, 4);
}

static uint32_t fifo_get(uint32_t word)
{
    uint32_t value;
    mem_read(FIFO + 4 * word, &value, 4);
    return value;
}

static void fifo_start(uint32_t size)
{
    set(SVGA_REG_CONFIG_DONE, 0);
    max = size;
    next = MIN_AT;
    fifo_set(SVGA_FIFO_MIN, MIN_AT);
    fifo_set(SVGA_FIFO_MAX, max);
    fifo_set(SVGA_FIFO_NEXT_CMD, next);
    fifo_set(SVGA_FIFO_STOP, next);
    set(SVGA_REG_CONFIG_DONE, 1);
    g_assert_cmpuint(get(SVGA_REG_CONFIG_DONE), ==, 1);
}

static void mode(uint32_t width, uint32_t height, uint32_t bits)
{
    set(SVGA_REG_WIDTH, width);
    set(SVGA_REG_HEIGHT, height);
    set(SVGA_REG_BITS_PER_PIXEL, bits);
}

static void setup(void)
{
    GError *error = NULL;
    static uint8_t rom[1024] = {0x55, 0xaa, 2};
    static const struct board_rom board_rom = {rom, sizeof(rom)};

    if (card) {
        svga_free(card);
        pci_bus_free(pci);
        mem_destroy();
    }
    ioport_clear();
    vclock_fake_start();
    g_assert_true(mem_init(4 * MiB, &error));
    pci = pci_bus_new();
    card = svga_new(pci, DEVFN, MEMORY, &board_rom, &error);
    g_assert_no_error(error);
    screen = svga_display(card);
    pci_config_write(pci, DEVFN, PCI_BAR0, 4, PORT);
    pci_config_write(pci, DEVFN, PCI_BAR0 + 4, 4, FB);
    pci_config_write(pci, DEVFN, PCI_BAR0 + 8, 4, FIFO);
    pci_config_write(pci, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
    if (!model) {
        model = g_malloc(MEMORY);
        seen = g_malloc(MEMORY);
    }
    mode(320, 200, 32);
    set(SVGA_REG_ENABLE, 1);
    fifo_start(SVGA_FIFO_SIZE);
}

/* Into the FIFO, without a word to the card. */
static void put(uint32_t value)
{
    fifo_set(next / 4, value);
    next = next + 4 == max ? MIN_AT : next + 4;
}

static void go(void)
{
    fifo_set(SVGA_FIFO_NEXT_CMD, next);
}

#define command(...) \
    do { \
        const uint32_t words_[] = {__VA_ARGS__}; \
        for (unsigned i_ = 0; i_ < G_N_ELEMENTS(words_); i_++) \
            put(words_[i_]); \
        go(); \
    } while (0)

static void sync_all(void)
{
    unsigned n = 0;
    set(SVGA_REG_SYNC, 1);
    while (get(SVGA_REG_BUSY))
        g_assert_cmpuint(n++, <, 10000);
}

static void noise(uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i += 4) {
        uint32_t value = g_random_int();
        memcpy(model + i, &value, 4);
    }
    mem_write(FB, model, bytes);
}

static void check_memory(const char *what, unsigned n, uint32_t bytes)
{
    mem_read(FB, seen, bytes);
    for (uint32_t i = 0; i < bytes; i++) {
        if (seen[i] != model[i])
            g_error("%s %u: at %x there is %02x, not %02x", what, n, i, seen[i], model[i]);
    }
}

/* --- Registers --- */

static void test_pci_identity(void)
{
    setup();
    g_assert_cmphex(pci_config_read(pci, DEVFN, 0, 4), ==, 0x040515ad);
    g_assert_cmphex(pci_config_read(pci, DEVFN, 8, 4), ==, 0x03000000);
    g_assert_cmphex(pci_config_read(pci, DEVFN, 0x2c, 4), ==, 0x040515ad);
    g_assert_cmphex(get(SVGA_REG_FB_START), ==, FB);
    g_assert_cmphex(get(SVGA_REG_MEM_START), ==, FIFO);
    g_assert_cmphex(get(SVGA_REG_FB_OFFSET), ==, 0);
    g_assert_cmphex(get(SVGA_REG_VRAM_SIZE), ==, MEMORY);
    g_assert_cmphex(get(SVGA_REG_MEM_SIZE), ==, SVGA_FIFO_SIZE);
    for (unsigned bar = 0; bar < 3; bar++)
        pci_config_write(pci, DEVFN, (uint8_t)(PCI_BAR0 + 4 * bar), 4, 0xffffffff);
    g_assert_cmphex(pci_config_read(pci, DEVFN, PCI_BAR0, 4), ==, 0xfffffff1);
    g_assert_cmphex(pci_config_read(pci, DEVFN, PCI_BAR0 + 4, 4), ==, 0xff000008);
    g_assert_cmphex(pci_config_read(pci, DEVFN, PCI_BAR0 + 8, 4), ==, 0xfffc0008);
}

static void test_id_is_negotiated(void)
{
    setup();
    set(SVGA_REG_ID, 0x90000005);
    g_assert_cmphex(get(SVGA_REG_ID), ==, SVGA_ID_2);
    set(SVGA_REG_ID, 0x90000001);
    g_assert_cmphex(get(SVGA_REG_ID), ==, 0x90000001);
    g_assert_cmphex(get(SVGA_REG_CAPABILITIES), !=, 0);
    set(SVGA_REG_ID, SVGA_ID_0);
    g_assert_cmphex(get(SVGA_REG_ID), ==, SVGA_ID_0);
    g_assert_cmphex(get(SVGA_REG_CAPABILITIES), ==, 0);
    set(SVGA_REG_ID, 0x1234);
    g_assert_cmphex(get(SVGA_REG_ID), ==, SVGA_ID_0);
}

static void test_registers_keep(void)
{
    setup();
    for (unsigned i = 0; i < 768; i++)
        set(SVGA_PALETTE_BASE + i, i * 7);
    for (unsigned i = 0; i < SVGA_SCRATCH; i++)
        set(SVGA_SCRATCH_BASE + i, i * 0x1010101u);
    for (unsigned i = 0; i < 768; i++)
        g_assert_cmphex(get(SVGA_PALETTE_BASE + i), ==, (uint8_t)(i * 7));
    for (unsigned i = 0; i < get(SVGA_REG_SCRATCH_SIZE); i++)
        g_assert_cmphex(get(SVGA_SCRATCH_BASE + i), ==, i * 0x1010101u);
    set(SVGA_REG_GUEST_ID, 0x5004);
    g_assert_cmphex(get(SVGA_REG_GUEST_ID), ==, 0x5004);
    set(SVGA_SCRATCH_BASE + SVGA_SCRATCH, 5);
    g_assert_cmphex(get(SVGA_SCRATCH_BASE + SVGA_SCRATCH), ==, 0);
    set(0xffffffff, 5);
    g_assert_cmphex(get(0xffffffff), ==, 0);
}

static void test_modes(void)
{
    static const struct {
        uint32_t bits, depth, line, red, green, blue;
    } want[] = {{8, 8, 640, 0, 0, 0},
                {16, 16, 1280, 0xf800, 0x7e0, 0x1f},
                {24, 24, 1920, 0xff0000, 0xff00, 0xff},
                {32, 24, 2560, 0xff0000, 0xff00, 0xff}};
    setup();
    for (unsigned i = 0; i < G_N_ELEMENTS(want); i++) {
        mode(640, 480, want[i].bits);
        g_assert_cmpuint(get(SVGA_REG_DEPTH), ==, want[i].depth);
        g_assert_cmpuint(get(SVGA_REG_BYTES_PER_LINE), ==, want[i].line);
        g_assert_cmpuint(get(SVGA_REG_PSEUDOCOLOR), ==, want[i].bits == 8);
        g_assert_cmphex(get(SVGA_REG_RED_MASK), ==, want[i].red);
        g_assert_cmphex(get(SVGA_REG_GREEN_MASK), ==, want[i].green);
        g_assert_cmphex(get(SVGA_REG_BLUE_MASK), ==, want[i].blue);
    }
    mode(get(SVGA_REG_MAX_WIDTH) + 1, 0, 7);
    g_assert_cmpuint(get(SVGA_REG_WIDTH), ==, 640);
    g_assert_cmpuint(get(SVGA_REG_HEIGHT), ==, 480);
    g_assert_cmpuint(get(SVGA_REG_BITS_PER_PIXEL), ==, 32);
    set(SVGA_REG_PITCHLOCK, 4096);
    g_assert_cmpuint(get(SVGA_REG_BYTES_PER_LINE), ==, 4096);
    set(SVGA_REG_PITCHLOCK, 0);
    g_assert_cmpuint(get(SVGA_REG_BYTES_PER_LINE), ==, 2560);
}

/* --- Drawing --- */

static uint8_t rop_of(unsigned rop, uint8_t s, uint8_t d)
{
    switch (rop) { /* X11's names */
    case 0:        /* clear */
        return 0;
    case 1: /* and */
        return s & d;
    case 2: /* andReverse */
        return s & (uint8_t)~d;
    case 3: /* copy */
        return s;
    case 4: /* andInverted */
        return (uint8_t)~s & d;
    case 5: /* noop */
        return d;
    case 6: /* xor */
        return s ^ d;
    case 7: /* or */
        return s | d;
    case 8: /* nor */
        return (uint8_t) ~(s | d);
    case 9: /* equiv */
        return (uint8_t)~s ^ d;
    case 10: /* invert */
        return (uint8_t)~d;
    case 11: /* orReverse */
        return s | (uint8_t)~d;
    case 12: /* copyInverted */
        return (uint8_t)~s;
    case 13: /* orInverted */
        return (uint8_t)~s | d;
    case 14: /* nand */
        return (uint8_t) ~(s & d);
    default: /* set */
        return 0xff;
    }
}

static struct {
    uint32_t width, height, pixel, pitch;
} now;

static void now_set(uint32_t width, uint32_t height, uint32_t bits, uint32_t pitch)
{
    mode(width, height, bits);
    set(SVGA_REG_PITCHLOCK, pitch);
    now.width = width;
    now.height = height;
    now.pixel = (bits + 7) / 8;
    now.pitch = pitch ? pitch : width * now.pixel;
}

static bool is_inside(uint64_t x, uint64_t y)
{
    return x < now.width && y < now.height && y * now.pitch + now.width * now.pixel <= MEMORY;
}

static uint8_t *model_at(uint64_t x, uint64_t y)
{
    return model + y * now.pitch + x * now.pixel;
}

static void model_fill(uint32_t colour, uint32_t x, uint32_t y, uint32_t w, uint32_t h, unsigned rop)
{
    for (uint64_t j = 0; j < MIN(h, 4096); j++) {
        for (uint64_t i = 0; i < MIN(w, 4096); i++) {
            for (unsigned b = 0; b < now.pixel && is_inside(x + i, y + j); b++) {
                uint8_t *at = model_at(x + i, y + j) + b;
                *at = rop_of(rop, (uint8_t)(colour >> (8 * b)), *at);
            }
        }
    }
}

static void model_copy(uint32_t sx, uint32_t sy, uint32_t dx, uint32_t dy, uint32_t w, uint32_t h, unsigned rop)
{
    uint8_t *before = g_memdup2(model, MIN(now.pitch * now.height + now.width * 4, MEMORY));
    for (uint64_t j = 0; j < MIN(h, 4096); j++) {
        for (uint64_t i = 0; i < MIN(w, 4096); i++) {
            if (!is_inside(sx + i, sy + j) || !is_inside(dx + i, dy + j))
                continue;
            for (unsigned b = 0; b < now.pixel; b++) {
                uint8_t *at = model_at(dx + i, dy + j) + b;
                *at = rop_of(rop, before[model_at(sx + i, sy + j) + b - model], *at);
            }
        }
    }
    g_free(before);
}

static uint32_t place(uint32_t most)
{
    return number(12) ? number(most + 20) : number(2) ? 0u - number(10) : (uint32_t)g_random_int();
}

static void draw_one(void)
{
    uint32_t colour = g_random_int(), x = place(now.width), y = place(now.height), dx = place(now.width),
             dy = place(now.height), w = place(now.width), h = place(now.height);
    unsigned rop = number(16);

    if (!number(2)) { /* near each other */
        dx = x + number(9) - 4;
        dy = y + number(9) - 4;
    }
    switch (number(5)) {
    case 0:
        command(2, colour, x, y, w, h);
        model_fill(colour, x, y, w, h, 3);
        break;
    case 1:
        command(13, colour, x, y, w, h, rop);
        model_fill(colour, x, y, w, h, rop);
        break;
    case 2:
        command(29, colour, x, y, w, h, rop);
        model_fill(colour, x, y, w, h, rop);
        break;
    case 3:
        command(3, x, y, dx, dy, w, h);
        model_copy(x, y, dx, dy, w, h, 3);
        break;
    case 4:
        command(14, x, y, dx, dy, w, h, rop);
        model_copy(x, y, dx, dy, w, h, rop);
        break;
    }
}

static void any_mode(void)
{
    static const uint32_t bits[] = {8, 15, 16, 24, 32};
    uint32_t b = bits[number(5)], width = 1 + number(120);
    now_set(width, 1 + number(90), b, number(2) ? 0 : width * ((b + 7) / 8) + number(50));
}

static void test_drawing(void)
{
    setup();
    for (unsigned n = 0; n < 300; n++) {
        any_mode();
        uint32_t area = now.pitch * now.height + 4096;
        area &= ~3u;
        noise(area);
        for (unsigned i = number(12); i--;)
            draw_one();
        sync_all();
        check_memory("drawing", n, area);
    }
}

/* As the timer finds them, in a FIFO that is small. */
static void test_wrapping(void)
{
    setup();
    fifo_start(MIN_AT + 4 * 53);
    now_set(64, 64, 32, 0);
    noise(64 * 64 * 4 + 4096);
    for (unsigned n = 0; n < 500; n++) {
        for (unsigned i = 1 + number(4); i--;)
            draw_one();
        vclock_fake_advance(100 * MS);
        g_assert_cmphex(fifo_get(SVGA_FIFO_STOP), ==, next);
        check_memory("wrapping", n, 64 * 64 * 4 + 4096);
    }
}

static void test_no_room_for_the_mode(void)
{
    setup();
    now_set(2560, 1600, 32, 0x4000); /* 25 MiB */
    noise(MEMORY);
    command(2, 0x123456, 0, 0, 2560, 1600);
    model_fill(0x123456, 0, 0, 2560, 1600, 3);
    command(3, 0, 1000, 5, 1020, 2560, 600);
    model_copy(0, 1000, 5, 1020, 2560, 600, 3);
    sync_all();
    check_memory("large", 0, MEMORY);
    for (unsigned i = 0; i < VGA_TEXT_SIZE; i++) /* what is behind it */
        g_assert_cmphex(card->vga.text[i], ==, 0);
}

/* --- The FIFO --- */

static void test_commands_come_in_pieces(void)
{
    setup();
    noise(MEMORY / 16);
    const uint32_t fill[] = {2, 0xabcdef, 0, 0, 320, 1};
    for (unsigned i = 0; i < 5; i++) {
        put(fill[i]);
        go();
        sync_all();
        g_assert_cmphex(fifo_get(SVGA_FIFO_STOP), ==, MIN_AT);
    }
    put(fill[5]);
    go();
    sync_all();
    g_assert_cmphex(fifo_get(SVGA_FIFO_STOP), ==, next);
    uint32_t pixel;
    mem_read(FB + 4 * 319, &pixel, 4);
    g_assert_cmphex(pixel, ==, 0xabcdef);
}

static void test_other_commands_are_passed(void)
{
    static const struct {
        uint8_t command, words;
    } fixed[] = {{1, 4},   {8, 7},  {9, 5},  {10, 9}, {11, 7}, {12, 1}, {15, 8}, {16, 6},
                 {17, 10}, {18, 8}, {20, 2}, {21, 2}, {25, 5}, {26, 7}, {27, 9}, {28, 12}};
    setup();
    for (unsigned i = 0; i < G_N_ELEMENTS(fixed); i++) {
        put(fixed[i].command);
        for (unsigned n = 0; n < fixed[i].words; n++)
            put(2);
        command(30, 1000 + i);
        sync_all();
        g_assert_cmpuint(fifo_get(SVGA_FIFO_FENCE), ==, 1000 + i);
    }
    static const struct {
        uint32_t head[10], words, payload;
    } long_ones[] = {{{4, 1, 33, 5}, 4, 10},
                     {{5, 1, 33, 5, 2}, 5, 2},
                     {{6, 1, 33, 5, 16}, 5, 17 * 5},
                     {{7, 1, 33, 5, 16, 2}, 6, 17},
                     {{19, 1, 0, 0, 65, 3, 1, 8}, 8, 9 + 17 * 3},
                     {{22, 1, 0, 0, 1, 300}, 6, 300},
                     {{23, 0, 0, 9, 5, 0}, 6, 3},
                     {{24, 0, 0, 9, 5, 0, 0, 0, 0, 0}, 10, 3},
                     {{33, 7, 9}, 3, 3},
                     {{19, 1, 0, 0, 4, 4, 3, 1}, 8, 8},
                     {{6, 1, 1000, 500, 32}, 5, 500000}}; /* more than the FIFO holds */
    for (unsigned i = 0; i < G_N_ELEMENTS(long_ones); i++) {
        for (unsigned n = 0; n < long_ones[i].words; n++)
            put(long_ones[i].head[n]);
        for (unsigned n = 0; n < long_ones[i].payload; n++) {
            put(30);
            if (n % 5000 == 0) {
                go();
                sync_all();
            }
        }
        command(30, 2000 + i);
        sync_all();
        g_assert_cmpuint(fifo_get(SVGA_FIFO_FENCE), ==, 2000 + i);
    }
}

/* Without a fence's field, its word is a command's. */
static void test_fence_needs_its_field(void)
{
    setup();
    set(SVGA_REG_CONFIG_DONE, 0);
    fifo_set(SVGA_FIFO_MIN, 16);
    fifo_set(SVGA_FIFO_MAX, 4096);
    fifo_set(SVGA_FIFO_NEXT_CMD, 24);
    fifo_set(SVGA_FIFO_STOP, 16);
    fifo_set(4, 30);
    fifo_set(5, 77);
    fifo_set(6, 0x55);
    set(SVGA_REG_CONFIG_DONE, 1);
    sync_all();
    g_assert_cmphex(fifo_get(SVGA_FIFO_STOP), ==, 24);
    g_assert_cmphex(fifo_get(4), ==, 30);
    g_assert_cmphex(fifo_get(6), ==, 0x55);
}

static void test_damaged_fifo_stops(void)
{
    static const struct {
        uint32_t word, value;
    } damage[] = {{0, 12},
                  {0, 129},
                  {0, 0},
                  {0, SVGA_FIFO_SIZE},
                  {0, UINT32_MAX},
                  {1, 0},
                  {1, 128},
                  {1, 130},
                  {1, SVGA_FIFO_SIZE + 4},
                  {1, UINT32_MAX & ~3u},
                  {2, 124},
                  {2, 4},
                  {2, 131},
                  {2, SVGA_FIFO_SIZE},
                  {2, UINT32_MAX},
                  {3, 124},
                  {3, 129},
                  {3, SVGA_FIFO_SIZE},
                  {3, UINT32_MAX - 3},
                  {3, 0}};
    for (unsigned i = 0; i < G_N_ELEMENTS(damage); i++) {
        setup();
        command(2, 5, 0, 0, 10, 10);
        fifo_set(damage[i].word, damage[i].value);
        sync_all();
        g_assert_cmpuint(get(SVGA_REG_CONFIG_DONE), ==, 0);
        g_assert_cmpuint(get(SVGA_REG_BUSY), ==, 0);
        fifo_start(SVGA_FIFO_SIZE);
        command(30, 9);
        sync_all();
        g_assert_cmpuint(fifo_get(SVGA_FIFO_FENCE), ==, 9);
    }
}

/* A command that no FIFO of that size can ever hold. */
static void test_fifo_too_small(void)
{
    setup();
    fifo_start(MIN_AT + 16);
    fifo_set(MIN_AT / 4, 2);
    fifo_set(SVGA_FIFO_NEXT_CMD, MIN_AT + 12);
    sync_all();
    g_assert_cmpuint(get(SVGA_REG_CONFIG_DONE), ==, 0);
}

/* Nobody's guest: any words, any registers, while it is looked at. */
static void test_hostile(void)
{
    uint32_t *pixels = g_malloc(SVGA_MAX_WIDTH * SVGA_MAX_HEIGHT * 4ul);
    setup();
    for (unsigned n = 0; n < 5000; n++) {
        switch (number(8)) {
        case 0:
            fifo_set(number(4), number(3) ? number(SVGA_FIFO_SIZE) & ~3u : (uint32_t)g_random_int());
            break;
        case 1:
            set(number(40), number(2) ? number(4000) : (uint32_t)g_random_int());
            set(SVGA_REG_ENABLE, 1);
            break;
        case 2:
            for (unsigned i = number(30); i--;)
                put(number(2) ? number(40) : (uint32_t)g_random_int());
            go();
            break;
        case 3:
            draw_one();
            break;
        case 4:
            set(SVGA_REG_SYNC, 1);
            get(SVGA_REG_BUSY);
            break;
        case 5:
            vclock_fake_advance(number(50) * MS);
            break;
        case 6:
            if (!number(8))
                fifo_start(number(2) ? SVGA_FIFO_SIZE : MIN_AT + 4 * (2 + number(200)));
            break;
        case 7: {
            unsigned width, height;
            screen->size(screen->opaque, &width, &height);
            g_assert_cmpuint(width * height, <=, DISPI_MAX_XRES * DISPI_MAX_YRES);
            if (!number(10) && width <= SVGA_MAX_WIDTH && height <= SVGA_MAX_HEIGHT)
                screen->rows(screen->opaque, width, height, 0, height, pixels);
            display_number(screen);
            break;
        }
        }
    }
    g_free(pixels);
}

/* However much there is to do, an access is short. */
static void test_budget(void)
{
    setup();
    now_set(2560, 1600, 32, 0);
    for (unsigned i = 0; i < 20; i++)
        command(3, 0, 0, 1, 1, 2559, 1599);
    set(SVGA_REG_SYNC, 1);
    g_assert_cmpuint((fifo_get(SVGA_FIFO_STOP) - MIN_AT) / 28, <=, 1);
    unsigned looks = 0;
    while (get(SVGA_REG_BUSY))
        looks++;
    g_assert_cmpuint(looks, >, 60);
    g_assert_cmphex(fifo_get(SVGA_FIFO_STOP), ==, next);
}

/* --- The picture --- */

static uint32_t *picture(unsigned *width, unsigned *height)
{
    screen->size(screen->opaque, width, height);
    uint32_t *pixels = g_new(uint32_t, *width * *height);
    g_assert_true(screen->rows(screen->opaque, *width, *height, 0, *height, pixels));
    return pixels;
}

static uint32_t pixel_at(unsigned x, unsigned y)
{
    unsigned width, height;
    uint32_t *pixels = picture(&width, &height);
    uint32_t pixel = pixels[y * width + x];
    g_free(pixels);
    return pixel;
}

static void test_picture(void)
{
    static const uint8_t bytes[4] = {0x34, 0x92, 0xab, 0xff};
    setup();
    mem_write(FB + 4 * 320 * 2 + 4 * 3, bytes, 4);
    g_assert_cmphex(pixel_at(3, 2), ==, 0xab9234);
    mode(320, 200, 16);
    mem_write(FB + 2 * 320 * 2 + 2 * 3, bytes, 2);
    g_assert_cmphex(pixel_at(3, 2), ==, 0x9445a5);
    mode(320, 200, 8);
    set(SVGA_PALETTE_BASE + 3 * 0x34, 0x81);
    set(SVGA_PALETTE_BASE + 3 * 0x34 + 1, 0x82);
    set(SVGA_PALETTE_BASE + 3 * 0x34 + 2, 0x83);
    mem_write(FB + 320 * 2 + 3, bytes, 1);
    g_assert_cmphex(pixel_at(3, 2), ==, 0x818283);
    set(SVGA_REG_PITCHLOCK, 640);
    mem_write(FB + 640 * 4 + 5, bytes, 1);
    g_assert_cmphex(pixel_at(5, 4), ==, 0x818283);
    set(SVGA_REG_ENABLE, 3); /* hidden */
    g_assert_cmphex(pixel_at(5, 4), ==, 0);
}

/* Until ENABLE, and after it, a VGA with the Bochs interface. */
static void test_vga_beside_it(void)
{
    unsigned width, height;
    setup();
    set(SVGA_REG_ENABLE, 0);
    g_assert_cmpuint(get(SVGA_REG_CONFIG_DONE), ==, 0);
    ioport_write(0x1ce, 2, 1);
    ioport_write(0x1cf, 2, 800);
    ioport_write(0x1ce, 2, 2);
    ioport_write(0x1cf, 2, 600);
    ioport_write(0x1ce, 2, 3);
    ioport_write(0x1cf, 2, 32);
    ioport_write(0x1ce, 2, 4);
    ioport_write(0x1cf, 2, 0x41);
    screen->size(screen->opaque, &width, &height);
    g_assert_cmpuint(width, ==, 800);
    g_assert_cmpuint(height, ==, 600);
    set(SVGA_REG_ENABLE, 1);
    screen->size(screen->opaque, &width, &height);
    g_assert_cmpuint(width, ==, 320);
}

/* What was text before does not come back into the frame buffer. */
static void test_text_stays_out(void)
{
    setup();
    set(SVGA_REG_ENABLE, 0);
    static const uint8_t seq[] = {3, 0, 3, 0, 2}, gc[] = {0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff};
    outb(0x3c2, 0x67);
    for (uint8_t i = 0; i < 5; i++) {
        outb(0x3c4, i);
        outb(0x3c5, seq[i]);
    }
    for (uint8_t i = 0; i < 9; i++) {
        outb(0x3ce, i);
        outb(0x3cf, gc[i]);
    }
    g_assert_cmpint(card->vga.window, ==, VGA_WINDOW_TEXT);
    for (uint32_t at = 0xb8000; at < 0xb9000; at += 2)
        mem_write(at, "\x41\x07", 2);
    set(SVGA_REG_ENABLE, 1);
    noise(320 * 200 * 4);
    display_number(screen);
    pixel_at(0, 0);
    GByteArray *saved = device_saved(&svga_class, card);
    check_memory("saved", 0, 320 * 200 * 4);
    device_load_checked(&svga_class, card, saved);
    display_number(screen);
    check_memory("loaded", 0, 320 * 200 * 4);
}

static void test_looking_runs_the_fifo(void)
{
    setup();
    uint64_t serial = display_number(screen);
    command(2, 0x112233, 5, 5, 1, 1);
    g_assert_cmpuint(display_number(screen), !=, serial);
    command(2, 0x445566, 5, 5, 1, 1);
    g_assert_cmphex(pixel_at(5, 5), ==, 0x445566);
    serial = display_number(screen);
    g_assert_cmpuint(display_number(screen), ==, serial);
}

/* --- Cursors --- */

static void test_cursor_masks(void)
{
    static const uint32_t depths[] = {1, 8, 16, 24, 32};
    setup();
    for (unsigned i = 0; i < 768; i++)
        set(SVGA_PALETTE_BASE + i, (i * 11) & 255);
    for (unsigned n = 0; n < 60; n++) {
        uint32_t w = 1 + number(64), h = 1 + number(64), hx = number(w), hy = number(h), x = number(330),
                 y = number(210), depth[2] = {depths[number(2) ? 0 : number(5)], depths[number(5)]};
        uint32_t *value[2];
        command(19, 0, hx, hy, w, h, depth[0], depth[1]);
        for (unsigned m = 0; m < 2; m++) {
            value[m] = g_new0(uint32_t, w * h);
            uint32_t line = (w * depth[m] + 31) / 32;
            for (unsigned j = 0; j < h; j++) {
                uint8_t row[260] = {0};
                for (unsigned i = 0; i < w; i++) {
                    uint32_t v = g_random_int() & (depth[m] == 32 ? ~0u : (1u << depth[m]) - 1);
                    value[m][j * w + i] = v;
                    if (depth[m] == 1)
                        row[i / 8] |= (uint8_t)(v << (7 - i % 8));
                    else
                        memcpy(row + i * depth[m] / 8, &v, depth[m] / 8);
                }
                for (unsigned i = 0; i < line; i++) {
                    uint32_t word;
                    memcpy(&word, row + 4 * i, 4);
                    put(word);
                }
            }
        }
        go();
        if (number(2)) {
            command(21, x, y);
            command(20, 0, 1);
        } else {
            set(SVGA_REG_CURSOR_X, x);
            set(SVGA_REG_CURSOR_Y, y);
            set(SVGA_REG_CURSOR_ON, number(2) ? 1 : 3);
        }
        noise(320 * 200 * 4);
        unsigned width, height;
        uint32_t *pixels = picture(&width, &height);
        for (unsigned j = 0; j < height; j++) {
            for (unsigned i = 0; i < width; i++) {
                uint32_t want, cx = i - (x - hx), cy = j - (y - hy);
                memcpy(&want, model + 4 * (j * 320 + i), 4);
                for (unsigned m = 0; m < 2 && cx < w && cy < h; m++) {
                    uint32_t v = value[m][cy * w + cx], r, g, b, full;
                    switch (depth[m]) {
                    case 1:
                        full = v ? 0xffffff : 0;
                        break;
                    case 8:
                        r = (v * 33) & 255, g = (v * 33 + 11) & 255, b = (v * 33 + 22) & 255;
                        full = m ? r << 16 | g << 8 | b : v << 16 | v << 8 | v;
                        break;
                    case 16:
                        r = v >> 11, g = v >> 5 & 63, b = v & 31;
                        full = (r << 3 | r >> 2) << 16 | (g << 2 | g >> 4) << 8 | (b << 3 | b >> 2);
                        break;
                    default:
                        full = v & 0xffffff;
                    }
                    want = m ? want ^ full : want & full;
                }
                if (pixels[j * width + i] != (want & 0xffffff))
                    g_error("cursor %u: at %u,%u there is %06x, not %06x", n, i, j, pixels[j * width + i], want);
            }
        }
        g_free(pixels);
        g_free(value[0]);
        g_free(value[1]);
    }
    set(SVGA_REG_CURSOR_ON, 0);
    uint32_t want;
    memcpy(&want, model, 4);
    g_assert_cmphex(pixel_at(0, 0), ==, want & 0xffffff);
}

/* Whoever has the picture without the cursor, and its shape, can put together what the card shows. */
static void shape_is_right(bool is_colours)
{
    static struct display_cursor cursor;
    unsigned width, height;
    screen->size(screen->opaque, &width, &height);
    uint32_t *all = g_new(uint32_t, width * height), *bare = g_new(uint32_t, width * height);
    g_assert_true(screen->rows(screen->opaque, width, height, 0, height, all));
    g_assert_true(screen->bare_rows(screen->opaque, width, height, 0, height, bare));
    g_assert_true(screen->cursor(screen->opaque, &cursor) == is_colours);
    for (unsigned i = 0; is_colours && i < cursor.width * cursor.height; i++) {
        int64_t x = (int64_t)cursor.x + i % cursor.width, y = (int64_t)cursor.y + i / cursor.width;
        uint32_t pixel = cursor.pixels[i], rest = 255 - (pixel >> 24);
        if (x < 0 || x >= width || y < 0 || y >= height)
            continue;
        uint32_t *at = &bare[y * width + x], below = *at;
        *at = 0;
        for (unsigned shift = 0; shift < 24; shift += 8)
            *at |= MIN((pixel >> shift & 255) + ((below >> shift & 255) * rest + 127) / 255, 255u) << shift;
    }
    if (!is_colours)
        screen->overlay(screen->opaque, width, 0, height, bare);
    g_assert_cmpmem(bare, width * height * 4, all, width * height * 4);
    g_free(all);
    g_free(bare);
}

static void test_cursor_shapes(void)
{
    setup();
    noise(320 * 200 * 4);
    /* A black, a white, a clear and a last pixel: red; or one that inverts. */
    for (unsigned inverts = 0; inverts < 2; inverts++) {
        command(19, 0, 1, 1, 2, 2, 1, 32);
        put(0x00000000);
        put(inverts ? 0x000000c0 : 0x00000080);
        put(0x000000);
        put(0xffffff);
        put(0);
        put(0xff0000);
        go();
        command(21, 100, 50);
        command(20, 0, 1);
        sync_all();
        shape_is_right(!inverts);
    }
    set(SVGA_REG_CURSOR_ON, 0);
    static struct display_cursor cursor;
    cursor.width = 5;
    g_assert_true(screen->cursor(screen->opaque, &cursor));
    g_assert_cmpuint(cursor.width, ==, 0);
    /* Alpha, partly outside, in each corner; and a pixel that points beside it. */
    for (unsigned n = 0; n < 40; n++) {
        command(22, 0, 2, n == 39 ? 3 : 1, 5, 3);
        for (unsigned i = 0; i < 15; i++) {
            uint32_t alpha = number(256);
            put(alpha << 24 | number(alpha + 1) << 16 | number(alpha + 1) << 8 | number(alpha + 1));
        }
        go();
        set(SVGA_REG_CURSOR_X, n & 1 ? 320 - number(4) : number(4));
        set(SVGA_REG_CURSOR_Y, n & 2 ? 200 - number(4) : number(4));
        set(SVGA_REG_CURSOR_ON, 1);
        sync_all();
        shape_is_right(n != 39);
        g_assert_true(n == 39 || (screen->cursor(screen->opaque, &cursor) && cursor.hot_x == 2 && cursor.hot_y == 1));
    }
}

static void test_alpha_cursor(void)
{
    setup();
    static const uint32_t below = 0x804020;
    for (unsigned i = 0; i < 320 * 200; i++)
        mem_write(FB + 4 * i, &below, 4);
    command(22, 0, 1, 0, 3, 1, 0x00000000, 0xff112233, 0x80403020);
    set(SVGA_REG_CURSOR_X, 11);
    set(SVGA_REG_CURSOR_Y, 7);
    set(SVGA_REG_CURSOR_ON, 1);
    g_assert_cmphex(pixel_at(10, 7), ==, 0x804020);
    g_assert_cmphex(pixel_at(11, 7), ==, 0x112233);
    g_assert_cmphex(pixel_at(12, 7), ==, 0x805030); /* 127/255 of what is below */
    g_assert_cmphex(pixel_at(13, 7), ==, 0x804020);
    uint64_t serial = display_number(screen);
    set(SVGA_REG_CURSOR_X, 12);
    g_assert_cmpuint(display_number(screen), !=, serial);
    set(SVGA_REG_CURSOR_X, 0x80000000); /* far away */
    g_assert_cmphex(pixel_at(0, 7), ==, 0x804020);
}

static void test_cursor_comes_in_pieces(void)
{
    setup();
    set(SVGA_REG_CURSOR_ON, 1);
    command(22, 0, 0, 0, 2, 2, 0xff111111, 0xff222222, 0xff333333);
    sync_all();
    g_assert_cmphex(fifo_get(SVGA_FIFO_STOP), ==, MIN_AT);
    g_assert_cmphex(pixel_at(0, 0), ==, 0);
    command(0xff444444);
    sync_all();
    g_assert_cmphex(fifo_get(SVGA_FIFO_STOP), ==, next);
    g_assert_cmphex(pixel_at(1, 1), ==, 0x444444);
}

/* CURSOR_BYPASS_3: in the FIFO's registers. */
static void test_cursor_in_the_fifo(void)
{
    setup();
    command(22, 0, 0, 0, 1, 1, 0xffabcdef);
    fifo_set(SVGA_FIFO_CURSOR_ON, 1);
    fifo_set(SVGA_FIFO_CURSOR_X, 20);
    fifo_set(SVGA_FIFO_CURSOR_Y, 30);
    g_assert_cmphex(pixel_at(20, 30), ==, 0);
    fifo_set(SVGA_FIFO_CURSOR_COUNT, fifo_get(SVGA_FIFO_CURSOR_COUNT) + 1);
    g_assert_cmphex(pixel_at(20, 30), ==, 0xabcdef);
}

/* --- Saved in the middle --- */

static void test_state_amid_the_fifo(void)
{
    for (unsigned n = 0; n < 20; n += 5) {
        setup();
        now_set(2560, 800, 32, 0);
        noise(2560 * 800 * 4);
        for (unsigned i = 0; i < 4; i++) {
            command(14, 0, 0, 1, 2, 2000, 790, 6);
            model_copy(0, 0, 1, 2, 2000, 790, 6);
        }
        command(6, 1, 64, 64, 32);
        for (unsigned i = 0; i < 64 * 32; i++)
            put(30);
        go();
        set(SVGA_REG_SYNC, 1);
        for (unsigned i = n; i--;)
            get(SVGA_REG_BUSY);
        GByteArray *saved = device_saved(&svga_class, card);
        uint32_t at = next, top = max;
        setup();
        device_load_checked(&svga_class, card, saved);
        next = at;
        max = top;
        for (unsigned i = 0; i < 64 * 32; i++)
            put(30);
        command(30, 4711);
        vclock_fake_advance(NS_PER_SECOND);
        g_assert_cmpuint(fifo_get(SVGA_FIFO_FENCE), ==, 4711);
        check_memory("after the move", n, 2560 * 800 * 4);
    }
}

static void test_reset(void)
{
    setup();
    command(2, 5, 0, 0, 10, 10);
    set(SVGA_SCRATCH_BASE, 5);
    svga_class.reset(card);
    pci_config_write(pci, DEVFN, PCI_BAR0, 4, PORT);
    pci_config_write(pci, DEVFN, PCI_BAR0 + 8, 4, FIFO);
    pci_config_write(pci, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
    g_assert_cmpuint(get(SVGA_REG_ENABLE), ==, 0);
    g_assert_cmpuint(get(SVGA_REG_CONFIG_DONE), ==, 0);
    g_assert_cmpuint(get(SVGA_SCRATCH_BASE), ==, 0);
    g_assert_cmpuint(fifo_get(SVGA_FIFO_MAX), ==, 0);
    g_assert_cmpint(vclock_fake_first_due(), ==, INT64_MAX);
}

#define TEST(name) g_test_add_func("/svga/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(pci_identity);
    TEST(id_is_negotiated);
    TEST(registers_keep);
    TEST(modes);
    TEST(drawing);
    TEST(wrapping);
    TEST(no_room_for_the_mode);
    TEST(commands_come_in_pieces);
    TEST(other_commands_are_passed);
    TEST(fence_needs_its_field);
    TEST(damaged_fifo_stops);
    TEST(fifo_too_small);
    TEST(hostile);
    TEST(budget);
    TEST(picture);
    TEST(vga_beside_it);
    TEST(text_stays_out);
    TEST(looking_runs_the_fifo);
    TEST(cursor_masks);
    TEST(cursor_shapes);
    TEST(alpha_cursor);
    TEST(cursor_comes_in_pieces);
    TEST(cursor_in_the_fifo);
    TEST(state_amid_the_fifo);
    TEST(reset);
    return g_test_run();
}

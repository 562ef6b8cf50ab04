/* VGA pictures: each kind of mode, whole, against a model that knows the mode instead of the registers. */
#include "board.h"
#include "display.h"
#include "display_number.h"
#include "mem.h"
#include "devices/vga/vga.h"

static struct vga *vga;
static struct display_pixels picture;
static struct display_text screen;

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
}

static void set(uint16_t port, uint8_t index, uint8_t value)
{
    outb(port, index);
    outb(port + 1, value);
}

static void attr(uint8_t index, uint8_t value)
{
    outb(0x3c2, (uint8_t)(inb(0x3cc) | 1)); /* status at 3DAh */
    inb(0x3da);
    outb(0x3c0, index);
    outb(0x3c0, value);
    inb(0x3da);
    outb(0x3c0, 0x20);
}

static void crtc(uint8_t index, uint8_t value)
{
    set(0x3d4, index, value);
}

struct mode {
    uint8_t seq[4], misc, crtc[25], attr[20], gc[9];
};

/* From the IBM VGA's parameter tables. */
static const struct mode mode_03 = {{0x00, 0x03, 0x00, 0x02},
                                    0x67,
                                    {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0,    0x4f, 0x20, 0x0e, 0,
                                     0,    0,    0,    0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
                                    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x0c, 0, 0x0f, 8},
                                    {0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff}};
static const struct mode mode_04 = {{0x09, 0x03, 0x00, 0x02},
                                    0x63,
                                    {0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0,    0xc1, 0,    0,   0,
                                     0,    0,    0,    0x9c, 0x8e, 0x8f, 0x14, 0,    0x96, 0xb9, 0xa2, 0xff},
                                    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x01, 0, 0x03, 0},
                                    {0, 0, 0, 0, 0, 0x30, 0x0f, 0x0f, 0xff}};
static const struct mode mode_06 = {{0x01, 0x01, 0x00, 0x06},
                                    0x63,
                                    {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0,    0xc1, 0,    0,   0,
                                     0,    0,    0,    0x9c, 0x8e, 0x8f, 0x28, 0,    0x96, 0xb9, 0xc2, 0xff},
                                    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x01, 0, 0x01, 0},
                                    {0, 0, 0, 0, 0, 0x00, 0x0d, 0x0f, 0xff}};
static const struct mode mode_0d = {{0x09, 0x0f, 0x00, 0x06},
                                    0x63,
                                    {0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0,    0xc0, 0,    0,   0,
                                     0,    0,    0,    0x9c, 0x8e, 0x8f, 0x14, 0,    0x96, 0xb9, 0xe3, 0xff},
                                    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x01, 0, 0x0f, 0},
                                    {0, 0, 0, 0, 0, 0x00, 0x05, 0x0f, 0xff}};
static const struct mode mode_12 = {{0x01, 0x0f, 0x00, 0x06},
                                    0xe3,
                                    {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0,    0x40, 0,    0,   0,
                                     0,    0,    0,    0xea, 0x8c, 0xdf, 0x28, 0,    0xe7, 0x04, 0xe3, 0xff},
                                    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x01, 0, 0x0f, 0},
                                    {0, 0, 0, 0, 0, 0x00, 0x05, 0x0f, 0xff}};
static const struct mode mode_13 = {{0x01, 0x0f, 0x00, 0x0e},
                                    0x63,
                                    {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0,    0x41, 0,    0,   0,
                                     0,    0,    0,    0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff},
                                    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x41, 0, 0x0f, 0},
                                    {0, 0, 0, 0, 0, 0x40, 0x05, 0x0f, 0xff}};

/* A colour for each DAC entry that is different from all others. */
static uint32_t dac_rgb(unsigned index)
{
    unsigned r = index & 0x3f, g = index >> 2, b = (index * 7) & 0x3f;
    return (r << 2 | r >> 4) << 16 | (g << 2 | g >> 4) << 8 | (b << 2 | b >> 4);
}

static void mode_set(const struct mode *mode)
{
    setup();
    set(0x3c4, 0, 1);
    for (uint8_t i = 0; i < 4; i++)
        set(0x3c4, i + 1, mode->seq[i]);
    outb(0x3c2, mode->misc);
    set(0x3c4, 0, 3);
    for (uint8_t i = 0; i < 25; i++)
        crtc(i, mode->crtc[i]);
    for (uint8_t i = 0; i < 9; i++)
        set(0x3ce, i, mode->gc[i]);
    for (uint8_t i = 0; i < 20; i++)
        attr(i, mode->attr[i]);
    outb(0x3c8, 0);
    for (unsigned i = 0; i < 256; i++) {
        outb(0x3c9, i & 0x3f);
        outb(0x3c9, (uint8_t)(i >> 2));
        outb(0x3c9, (i * 7) & 0x3f);
    }
}

static void crtc_unlock(void)
{
    set(0x3d4, 0x11, 0x0e);
}

static void poke(gpa_t gpa, uint8_t byte)
{
    mem_write(gpa, &byte, 1);
}

/* In pieces of a few rows: where they meet nothing may be seen. False: the picture is the same as before. */
static bool grab(void)
{
    const struct display *display = vga_display(vga);
    struct display_pixels now = {0};
    display->size(display->opaque, &now.width, &now.height);
    now.pixels = g_new(uint32_t, (size_t)now.width * now.height);
    for (unsigned first = 0; first < now.height; first += 37) {
        g_assert_true(display->rows(display->opaque, now.width, now.height, first, MIN(37u, now.height - first),
                                    now.pixels + (size_t)first * now.width));
    }
    g_assert_false(display->rows(display->opaque, now.width + 1, now.height, 0, 1, now.pixels));
    g_assert_false(display->rows(display->opaque, now.width, now.height, now.height, 1, now.pixels));
    bool changed = !picture.pixels || picture.width != now.width || picture.height != now.height ||
                   memcmp(picture.pixels, now.pixels, (size_t)now.width * now.height * 4) != 0;
    display_pixels_clear(&picture);
    picture = now;
    return changed;
}

static void draw(unsigned width, unsigned height)
{
    grab();
    g_assert_cmpuint(picture.width, ==, width);
    g_assert_cmpuint(picture.height, ==, height);
}

static uint32_t pixel(unsigned x, unsigned y)
{
    return picture.pixels[y * picture.width + x];
}

static uint8_t noise(unsigned seed, unsigned at)
{
    uint32_t x = at * 2654435761u + seed * 40503u;
    x ^= x >> 15;
    x *= 2246822519u;
    return (uint8_t)(x >> 13);
}

/* --- Text --- */

static uint8_t font[256][16];

static void text_fill(unsigned seed)
{
    set(0x3c4, 2, 0x04);
    set(0x3c4, 4, 0x06);
    set(0x3ce, 5, 0x00);
    set(0x3ce, 6, 0x04);
    for (unsigned c = 0; c < 256; c++) {
        for (unsigned y = 0; y < 16; y++) {
            font[c][y] = noise(seed + 1, c * 16 + y);
            poke(0xa0000 + c * 32 + y, font[c][y]);
        }
    }
    set(0x3c4, 2, 0x03);
    set(0x3c4, 4, 0x02);
    set(0x3ce, 5, 0x10);
    set(0x3ce, 6, 0x0e);
    for (unsigned i = 0; i < 4000; i++)
        poke(0xb8000 + i, noise(seed, i));
}

/* x in dots of nine a character */
static unsigned text_dot(unsigned seed, unsigned x, unsigned y, bool nine, bool blink_off)
{
    unsigned wide = nine ? 9 : 8;
    unsigned cell = y / 16 * 80 + x / wide, dot = x % wide;
    uint8_t ch = noise(seed, 2 * cell), attribute = noise(seed, 2 * cell + 1);
    unsigned foreground = attribute & 15, background = attribute >> 4 & 7;
    bool on = dot < 8 ? font[ch][y % 16] >> (7 - dot) & 1 : (ch >= 0xc0 && ch < 0xe0 && (font[ch][y % 16] & 1));
    if ((attribute & 0x80) && blink_off)
        on = false;
    return on ? foreground : background;
}

static void text_check(unsigned seed, bool nine, bool blink_off)
{
    draw(nine ? 720 : 640, 400);
    for (unsigned y = 0; y < 400; y++) {
        for (unsigned x = 0; x < picture.width; x++)
            g_assert_cmphex(pixel(x, y), ==, dac_rgb(text_dot(seed, x, y, nine, blink_off)));
    }
}

static void test_text_of_nine_dots(void)
{
    mode_set(&mode_03);
    text_fill(1);
    text_check(1, true, false);
}

static void test_text_of_eight_dots(void)
{
    mode_set(&mode_03);
    text_fill(2);
    set(0x3c4, 1, 0x01);
    attr(0x13, 0);
    text_check(2, false, false);
}

static void test_text_blinks(void)
{
    mode_set(&mode_03);
    text_fill(3);
    text_check(3, true, false);
    vclock_fake_advance(16 * NS_PER_SECOND / 60 + MS);
    text_check(3, true, true);
    vclock_fake_advance(16 * NS_PER_SECOND / 60);
    text_check(3, true, false);
}

static void test_text_with_sixteen_backgrounds(void)
{
    mode_set(&mode_03);
    attr(0x10, 0x04);
    poke(0xb8000, ' ');
    poke(0xb8001, 0xf0);
    draw(720, 400);
    g_assert_cmphex(pixel(0, 0), ==, dac_rgb(15));
}

static void test_cursor(void)
{
    mode_set(&mode_03);
    crtc(0x0a, 0x0d);
    crtc(0x0b, 0x0e);
    crtc(0x0e, 0);
    crtc(0x0f, 81); /* row 1, column 1 */
    for (unsigned i = 0; i < 4000; i += 2)
        poke(0xb8001 + i, 0x07);
    draw(720, 400);
    for (unsigned y = 16; y < 32; y++)
        g_assert_cmphex(pixel(9 + 4, y), ==, dac_rgb(y == 16 + 13 || y == 16 + 14 ? 7 : 0));
    g_assert_cmphex(pixel(8, 16 + 13), ==, dac_rgb(0));
    g_assert_cmphex(pixel(18, 16 + 13), ==, dac_rgb(0));
    vclock_fake_advance(8 * NS_PER_SECOND / 60 + MS); /* off in the other half of its period */
    draw(720, 400);
    g_assert_cmphex(pixel(13, 16 + 13), ==, dac_rgb(0));
    vclock_fake_advance(8 * NS_PER_SECOND / 60);
    crtc(0x0a, 0x2d); /* bit 5: none */
    draw(720, 400);
    g_assert_cmphex(pixel(13, 16 + 13), ==, dac_rgb(0));
}

static void test_underline(void)
{
    mode_set(&mode_03);
    poke(0xb8000, ' ');
    poke(0xb8001, 0x01);
    draw(720, 400);
    g_assert_cmphex(pixel(4, 12), ==, dac_rgb(0));
    crtc(0x14, 0x0c); /* as in mode 7 */
    draw(720, 400);
    g_assert_cmphex(pixel(4, 12), ==, dac_rgb(1));
    g_assert_cmphex(pixel(4, 11), ==, dac_rgb(0));
}

static void test_two_fonts(void)
{
    mode_set(&mode_03);
    set(0x3c4, 2, 0x04);
    set(0x3c4, 4, 0x06);
    set(0x3ce, 5, 0x00);
    set(0x3ce, 6, 0x04);
    poke(0xa0000 + 'A' * 32, 0x80);
    poke(0xa4000 + 'A' * 32, 0x01);
    set(0x3c4, 2, 0x03);
    set(0x3c4, 4, 0x02);
    set(0x3ce, 5, 0x10);
    set(0x3ce, 6, 0x0e);
    set(0x3c4, 3, 0x04); /* attribute bit 3: table 1 */
    poke(0xb8000, 'A');
    poke(0xb8001, 0x07);
    poke(0xb8002, 'A');
    poke(0xb8003, 0x0f);
    draw(720, 400);
    g_assert_cmphex(pixel(0, 0), ==, dac_rgb(7));
    g_assert_cmphex(pixel(7, 0), ==, dac_rgb(0));
    g_assert_cmphex(pixel(9, 0), ==, dac_rgb(0));
    g_assert_cmphex(pixel(16, 0), ==, dac_rgb(15));
}

static void test_text_panning(void)
{
    mode_set(&mode_03);
    text_fill(4);
    attr(0x13, 2); /* nine dots: three to the left */
    draw(720, 400);
    for (unsigned x = 0; x < 700; x++)
        g_assert_cmphex(pixel(x, 100), ==, dac_rgb(text_dot(4, x + 3, 100, true, false)));
}

static void test_text_start_and_split(void)
{
    mode_set(&mode_03);
    text_fill(5);
    crtc(0x0d, 160); /* two rows down */
    crtc_unlock();
    crtc(0x18, 199); /* from line 200 on: address 0 */
    crtc(0x07, 0x0f);
    crtc(0x09, 0x0f);
    draw(720, 400);
    for (unsigned x = 0; x < 720; x += 7) {
        g_assert_cmphex(pixel(x, 10), ==, dac_rgb(text_dot(5, x, 42, true, false)));
        g_assert_cmphex(pixel(x, 199), ==, dac_rgb(text_dot(5, x, 199 + 32, true, false)));
        g_assert_cmphex(pixel(x, 200), ==, dac_rgb(text_dot(5, x, 0, true, false)));
        g_assert_cmphex(pixel(x, 399), ==, dac_rgb(text_dot(5, x, 199, true, false)));
    }
}

static void test_text_cells(void)
{
    const struct display *display;
    mode_set(&mode_03);
    display = vga_display(vga);
    text_fill(6);
    crtc(0x0a, 0x0d);
    crtc(0x0e, (3 * 80 + 5) >> 8);
    crtc(0x0f, (3 * 80 + 5) & 0xff);
    g_assert_true(display->text(display->opaque, &screen));
    g_assert_cmpuint(screen.columns, ==, 80);
    g_assert_cmpuint(screen.rows, ==, 25);
    for (unsigned i = 0; i < 2000; i++) {
        uint8_t attribute = noise(6, 2 * i + 1);
        g_assert_cmphex(screen.cells[i].ch, ==, noise(6, 2 * i));
        g_assert_cmphex(screen.cells[i].foreground, ==, attribute & 15);
        g_assert_cmphex(screen.cells[i].background, ==, attribute >> 4 & 7);
        g_assert_cmpint(!!(screen.cells[i].flags & DISPLAY_BLINK), ==, attribute >> 7);
    }
    g_assert_true(screen.cursor_visible);
    g_assert_cmpuint(screen.cursor_column, ==, 5);
    g_assert_cmpuint(screen.cursor_row, ==, 3);
    g_assert_cmphex(screen.palette[9], ==, dac_rgb(9));
}

static void test_unchanged_is_said(void)
{
    mode_set(&mode_03);
    grab();
    g_assert_false(grab());
    poke(0xb8001, 0x70);
    g_assert_true(grab());
}

static uint64_t serial(void)
{
    return display_number(vga_display(vga));
}

#define EXPECT_SAME(now) g_assert_cmpuint(serial(), ==, now)
#define EXPECT_NEW(now) \
    do { \
        uint64_t next = serial(); \
        g_assert_cmpuint(next, !=, now); \
        now = next; \
    } while (0)

/* What shows nothing leaves the serial alone: a host side that trusts it draws nothing then. */
static void test_serial(void)
{
    mode_set(&mode_03);
    crtc(0x0a, 0x20); /* no cursor */
    for (unsigned i = 0; i < 4000; i++)
        poke(0xb8000 + i, i & 1 ? 0x07 : ' ');
    uint64_t now = serial();
    vclock_fake_advance(NS_PER_SECOND); /* nothing blinks */
    EXPECT_SAME(now);
    poke(0xb8000 + 3998, 'x');
    EXPECT_NEW(now);
    inb(0x3da);
    set(0x3c4, 2, 1);
    set(0x3ce, 4, 1);
    EXPECT_SAME(now);
    set(0x3c4, 2, 3);
    outb(0x3c8, 7); /* grey gets another colour */
    outb(0x3c9, 0x11);
    outb(0x3c9, 0x22);
    outb(0x3c9, 0x33);
    EXPECT_NEW(now);
    crtc(0x0d, 80); /* the start address */
    EXPECT_NEW(now);
    attr(0x11, 3);
    EXPECT_NEW(now);
    inb(0x3da);
    outb(0x3c0, 0); /* off */
    EXPECT_NEW(now);
    inb(0x3da);
    outb(0x3c0, 0x20);
    EXPECT_NEW(now);
    /* A cursor, and a cell, blink; each at its pace. */
    crtc(0x0f, 90);
    crtc(0x0a, 0x0d);
    EXPECT_NEW(now);
    vclock_fake_advance(8 * NS_PER_SECOND / 60);
    EXPECT_NEW(now);
    EXPECT_SAME(now);
    crtc(0x0a, 0x20);
    EXPECT_NEW(now);
    poke(0xb8000 + 161, 0x87);
    EXPECT_NEW(now);
    vclock_fake_advance(16 * NS_PER_SECOND / 60);
    EXPECT_NEW(now);
    /* Its last byte, and only what is seen of a frame buffer. */
    mode_set(&mode_13);
    EXPECT_NEW(now);
    poke(0xa0000 + 63999, 1);
    EXPECT_NEW(now);
    EXPECT_SAME(now);
}

static void test_blank(void)
{
    mode_set(&mode_03);
    poke(0xb8001, 0x70);
    draw(720, 400);
    g_assert_cmphex(pixel(0, 0), ==, dac_rgb(7));
    set(0x3c4, 1, 0x20);
    draw(720, 400);
    g_assert_cmphex(pixel(0, 0), ==, 0);
    set(0x3c4, 1, 0x00);
    inb(0x3da);
    outb(0x3c0, 0x00); /* the palette belongs to the processor */
    draw(720, 400);
    g_assert_cmphex(pixel(0, 0), ==, 0);
}

/* --- Graphics --- */

static void planes_fill(unsigned seed, unsigned bytes)
{
    for (unsigned p = 0; p < 4; p++) {
        set(0x3c4, 2, (uint8_t)(1 << p));
        for (unsigned i = 0; i < bytes; i++)
            poke(0xa0000 + i, noise(seed + p, i));
    }
    set(0x3c4, 2, 0x0f);
}

static unsigned planar_pixel(unsigned seed, unsigned x, unsigned y, unsigned line)
{
    unsigned colour = 0;
    for (unsigned p = 0; p < 4; p++)
        colour |= (noise(seed + p, y * line + x / 8) >> (7 - x % 8) & 1u) << p;
    return colour;
}

static void test_mode_12(void)
{
    mode_set(&mode_12);
    planes_fill(10, 38400);
    draw(640, 480);
    for (unsigned y = 0; y < 480; y++) {
        for (unsigned x = 0; x < 640; x++)
            g_assert_cmphex(pixel(x, y), ==, dac_rgb(planar_pixel(10, x, y, 80)));
    }
}

static void test_mode_0d_doubles_dots_and_lines(void)
{
    mode_set(&mode_0d);
    planes_fill(20, 8000);
    draw(640, 400);
    for (unsigned y = 0; y < 400; y++) {
        for (unsigned x = 0; x < 640; x++)
            g_assert_cmphex(pixel(x, y), ==, dac_rgb(planar_pixel(20, x / 2, y / 2, 40)));
    }
}

static void test_plane_enable_and_palette(void)
{
    mode_set(&mode_12);
    planes_fill(30, 38400);
    attr(0x12, 0x05);
    attr(5, 0x2a);
    attr(0x14, 0x05); /* bits 7 and 6: 01; with P54S bits 5 and 4: 01 */
    draw(640, 480);
    for (unsigned x = 0; x < 640; x++) {
        unsigned colour = planar_pixel(30, x, 7, 80) & 5;
        unsigned index = colour == 5 ? 0x2a : colour;
        g_assert_cmphex(pixel(x, 7), ==, dac_rgb(index | 0x40));
    }
    attr(0x10, 0x81);
    draw(640, 480);
    for (unsigned x = 0; x < 640; x++) {
        unsigned colour = planar_pixel(30, x, 7, 80) & 5;
        unsigned index = colour == 5 ? 0x2a : colour;
        g_assert_cmphex(pixel(x, 7), ==, dac_rgb((index & 15) | 0x50));
    }
}

static void test_dac_mask(void)
{
    mode_set(&mode_13);
    poke(0xa0000, 0xff);
    outb(0x3c6, 0x0f);
    draw(640, 400);
    g_assert_cmphex(pixel(0, 0), ==, dac_rgb(0x0f));
}

static void test_mode_13(void)
{
    mode_set(&mode_13);
    for (unsigned i = 0; i < 64000; i++)
        poke(0xa0000 + i, noise(40, i));
    draw(640, 400);
    for (unsigned y = 0; y < 400; y++) {
        for (unsigned x = 0; x < 640; x++)
            g_assert_cmphex(pixel(x, y), ==, dac_rgb(noise(40, y / 2 * 320 + x / 2)));
    }
}

/* Unchained 320x240 with page flip and panning, as games set it. */
static void test_mode_x(void)
{
    static const uint8_t change[][2] = {{0x06, 0x0d}, {0x07, 0x3e}, {0x09, 0x41}, {0x10, 0xea}, {0x11, 0xac},
                                        {0x12, 0xdf}, {0x14, 0x00}, {0x15, 0xe7}, {0x16, 0x06}, {0x17, 0xe3}};
    mode_set(&mode_13);
    set(0x3c4, 4, 0x06);
    outb(0x3c2, 0xe3);
    crtc_unlock();
    for (unsigned i = 0; i < G_N_ELEMENTS(change); i++)
        crtc(change[i][0], change[i][1]);
    planes_fill(50, 65536);
    crtc(0x0c, 0x4b); /* the second page */
    crtc(0x0d, 0x00);
    draw(640, 480);
    for (unsigned y = 0; y < 480; y++) {
        for (unsigned x = 0; x < 640; x++)
            g_assert_cmphex(pixel(x, y), ==, dac_rgb(noise(50 + x / 2 % 4, 0x4b00 + y / 2 * 80 + x / 2 / 4)));
    }
    attr(0x13, 4); /* two pixels */
    draw(640, 480);
    for (unsigned x = 0; x < 636; x++)
        g_assert_cmphex(pixel(x, 0), ==, dac_rgb(noise(50 + (x / 2 + 2) % 4, 0x4b00 + (x / 2 + 2) / 4)));
}

/* Below the split, panning ends if the attribute controller is told so. */
static void test_split_screen_panning(void)
{
    mode_set(&mode_12);
    planes_fill(60, 38400);
    attr(0x13, 3);
    attr(0x10, 0x21);
    crtc_unlock();
    crtc(0x18, 99);
    crtc(0x07, 0x2e);
    crtc(0x09, 0x00);
    crtc(0x0d, 80);
    draw(640, 480);
    for (unsigned x = 0; x < 600; x++) {
        g_assert_cmphex(pixel(x, 99), ==, dac_rgb(planar_pixel(60, x + 3, 100, 80)));
        g_assert_cmphex(pixel(x, 100), ==, dac_rgb(planar_pixel(60, x, 0, 80)));
    }
    attr(0x10, 0x01);
    draw(640, 480);
    for (unsigned x = 0; x < 600; x++)
        g_assert_cmphex(pixel(x, 100), ==, dac_rgb(planar_pixel(60, x + 3, 0, 80)));
}

static void test_mode_4(void)
{
    mode_set(&mode_04);
    for (unsigned i = 0; i < 0x4000; i++)
        poke(0xb8000 + i, noise(70, i));
    draw(640, 400);
    for (unsigned y = 0; y < 400; y++) {
        for (unsigned x = 0; x < 640; x++) {
            unsigned px = x / 2, py = y / 2;
            unsigned byte = noise(70, (py & 1) * 0x2000 + py / 2 * 80 + px / 4);
            g_assert_cmphex(pixel(x, y), ==, dac_rgb(byte >> (6 - 2 * (px % 4)) & 3));
        }
    }
}

static void test_mode_6(void)
{
    mode_set(&mode_06);
    for (unsigned i = 0; i < 0x4000; i++)
        poke(0xb8000 + i, noise(80, i));
    draw(640, 400);
    for (unsigned y = 0; y < 400; y++) {
        for (unsigned x = 0; x < 640; x++) {
            unsigned py = y / 2;
            unsigned byte = noise(80, (py & 1) * 0x2000 + py / 2 * 80 + x / 8);
            g_assert_cmphex(pixel(x, y), ==, dac_rgb(byte >> (7 - x % 8) & 1));
        }
    }
}

/* --- DISPI --- */

static void dispi(uint16_t index, uint16_t value)
{
    ioport_write(0x1ce, 2, index);
    ioport_write(0x1cf, 2, value);
}

static void dispi_check(unsigned bpp, uint32_t (*colour)(uint32_t value))
{
    unsigned bytes = (bpp + 7) / 8;
    mode_set(&mode_13);
    dispi(1, 320);
    dispi(2, 200);
    dispi(3, (uint16_t)bpp);
    dispi(4, 0x41);
    dispi(6, 400);
    dispi(8, 24);
    dispi(9, 10);
    for (unsigned bank = 0; bank < 6; bank++) {
        dispi(5, (uint16_t)bank);
        for (unsigned i = 0; i < 0x10000; i++)
            poke(0xa0000 + i, noise(90, bank * 0x10000 + i));
    }
    draw(320, 200);
    for (unsigned y = 0; y < 200; y++) {
        for (unsigned x = 0; x < 320; x++) {
            uint32_t value = 0;
            for (unsigned i = 0; i < bytes; i++)
                value |= (uint32_t)noise(90, ((y + 10) * 400 + x + 24) * bytes + i) << (8 * i);
            g_assert_cmphex(pixel(x, y), ==, colour(value));
        }
    }
}

/* --- Which rows have changed --- */

static uint32_t *whole(unsigned *width, unsigned *height)
{
    const struct display *display = vga_display(vga);
    display->size(display->opaque, width, height);
    uint32_t *pixels = g_new(uint32_t, *width * *height);
    g_assert_true(display->rows(display->opaque, *width, *height, 0, *height, pixels));
    return pixels;
}

/* Something that a guest does in this mode; true: the picture is another one as a whole. */
static bool do_something(unsigned kind, bool text, unsigned step)
{
    unsigned where = noise(3, step) * 97u + noise(4, step) * 13u;
    switch (kind % 8) {
    case 0: /* a few cells or pixels */
    case 1:
        for (unsigned i = 0; i <= step % 3; i++)
            poke((text ? 0xb8000 : 0xa0000) + (where + i * 161) % (text ? 4000 : 32000), noise(5, step + i));
        break;
    case 2:
        crtc(0x0e, (uint8_t)(where % 2000 >> 8));
        crtc(0x0f, (uint8_t)(where % 2000));
        break;
    case 3:
        crtc(0x0a, step & 1 ? 0x20 : 0x0d);
        break;
    case 4:
        vclock_fake_advance((step % 20) * NS_PER_SECOND / 60);
        break;
    case 5: /* a letter's shape, or a pixel of plane 2 */
        set(0x3c4, 2, 4);
        set(0x3c4, 4, 6);
        set(0x3ce, 5, 0);
        set(0x3ce, 6, 4);
        poke(0xa0000 + where % 8192, noise(6, step));
        return true; /* the mode is set again behind it */
    case 6:
        outb(0x3c8, step & 15);
        outb(0x3c9, noise(7, step) & 63);
        outb(0x3c9, 1);
        outb(0x3c9, 2);
        break;
    default:
        attr(0x13, step % 5 ? (text ? 8 : 0) : 3); /* panned now and then */
        break;
    }
    return false;
}

static void registers_restore(const struct mode *mode)
{
    for (uint8_t i = 1; i < 4; i++)
        set(0x3c4, i + 1, mode->seq[i]);
    for (uint8_t i = 0; i < 9; i++)
        set(0x3ce, i, mode->gc[i]);
}

/* Rows that are not said to have changed have not; and most changes of a text screen are of some rows only. */
static void test_changed_rows(void)
{
    static const struct mode *const modes[] = {&mode_03, &mode_13, &mode_12};
    for (unsigned m = 0; m < G_N_ELEMENTS(modes); m++) {
        const struct display *display;
        unsigned width, height, small = 0;
        uint64_t now = 0;
        mode_set(modes[m]);
        attr(0x13, m == 0 ? 8 : 0);
        display = vga_display(vga);
        uint32_t *before = whole(&width, &height);
        now = serial();
        for (unsigned step = 0; step < 600; step++) {
            unsigned first, end, w, h, kind = noise(1, step * 3 + m);
            if (do_something(kind, m == 0, step))
                registers_restore(modes[m]);
            if (step % 7 == 3)
                do_something(kind / 8 % 5, m == 0, step + 1); /* two at once */
            uint64_t next = serial();
            uint32_t *after = whole(&w, &h);
            display->changed_rows(display->opaque, now, &first, &end);
            g_assert_true(w == width && h == height);
            if (next == now)
                g_assert_cmpuint(first, ==, end);
            small += end > first && end - first <= 64;
            for (unsigned y = 0; y < height; y++) {
                if (y < first || y >= end)
                    g_assert_cmpmem(before + y * width, width * 4, after + y * width, width * 4);
            }
            g_free(before);
            before = after;
            now = step % 11 == 10 ? now : next; /* who looks seldom is told of all */
        }
        if (m == 0)
            g_assert_cmpuint(small, >, 50);
        g_free(before);
    }
}

/* Of a linear frame buffer exactly the pixel's row, wherever the picture begins. */
static void test_changed_pixel(void)
{
    static const unsigned bits[] = {8, 15, 16, 24, 32};
    for (unsigned i = 0; i < G_N_ELEMENTS(bits); i++) {
        const struct display *display;
        unsigned first, end, bytes = (bits[i] + 7) / 8;
        mode_set(&mode_13);
        display = vga_display(vga);
        dispi(1, 320);
        dispi(2, 100);
        dispi(3, (uint16_t)bits[i]);
        dispi(4, 0x41);
        dispi(6, 400);
        dispi(8, 24);
        dispi(9, 10);
        for (unsigned y = 0; y < 100; y += 33) {
            uint64_t now = serial();
            uint32_t at = ((y + 10) * 400 + 24 + 319) * bytes;
            dispi(5, (uint16_t)(at >> 16));
            poke(0xa0000 + (at & 0xffff), 0x5a + y);
            serial();
            display->changed_rows(display->opaque, now, &first, &end);
            g_assert_cmpuint(first, <=, y);
            g_assert_cmpuint(end, >, y);
            g_assert_cmpuint(end - first, <=, 2);
        }
    }
}

/* A pixel through the VGA's window, which shows 64 KiB at a time. */
static void poke_far(uint32_t at, uint8_t value)
{
    dispi(5, (uint16_t)(at >> 16));
    poke(0xa0000 + (at & 0xffff), value);
}

static void mode_large(unsigned width, unsigned height)
{
    dispi(4, 0);
    dispi(1, (uint16_t)width);
    dispi(2, (uint16_t)height);
    dispi(3, 32);
    dispi(4, 0x41);
}

/* Many megabytes are looked at piece by piece: what differs in some of them makes one number, and its rows are between
 * the first and the last. */
static void test_changed_in_pieces(void)
{
    unsigned first, end, looks = 0;
    uint64_t number;
    mode_set(&mode_13);
    const struct display *display = vga_display(vga);
    mode_large(1600, 1200);
    uint64_t now = serial();
    EXPECT_SAME(now);
    poke_far(300 * 1600 * 4, 1);
    poke_far(900 * 1600 * 4, 1);
    while (!display->serial(display->opaque, &number))
        looks++;
    g_assert_cmpuint(looks, >, 10); /* none long */
    g_assert_cmpuint(number, ==, now + 1);
    display->changed_rows(display->opaque, now, &first, &end);
    g_assert_cmpuint(first, ==, 300);
    g_assert_cmpuint(end, ==, 901);
    now = number;
    /* What comes where it was looked at already is found the next time. */
    g_assert_false(display->serial(display->opaque, &number));
    poke_far(0, 0x77);
    EXPECT_SAME(now);
    EXPECT_NEW(now);
    display->changed_rows(display->opaque, now - 1, &first, &end);
    g_assert_cmpuint(first, ==, 0);
    g_assert_cmpuint(end, ==, 1);
    EXPECT_SAME(now);
}

/* Another mode in the middle of a look ends it; all is new then, and once more when it was seen. */
static void test_mode_changes_in_a_look(void)
{
    unsigned first, end;
    uint64_t number;
    mode_set(&mode_13);
    const struct display *display = vga_display(vga);
    for (unsigned size = 0; size < 6; size++) {
        mode_large(1600, 1200);
        uint64_t now = serial();
        g_assert_false(display->serial(display->opaque, &number));
        mode_large(1024 + 8 * size, 768);
        g_assert_true(display->serial(display->opaque, &number));
        g_assert_cmpuint(number, !=, now);
        display->changed_rows(display->opaque, now, &first, &end);
        g_assert_cmpuint(end, ==, UINT_MAX);
        now = number;
        poke_far((1024 + 8 * size) * 4 * 767, (uint8_t)(0x80 + size));
        EXPECT_NEW(now);
        EXPECT_SAME(now);
        poke_far((1024 + 8 * size) * 4 * 767, (uint8_t)size);
        EXPECT_NEW(now);
        display->changed_rows(display->opaque, now - 1, &first, &end);
        g_assert_cmpuint(first, ==, 767);
        g_assert_cmpuint(end, ==, 768);
    }
}

static uint32_t five(uint32_t v)
{
    return (v & 31) << 3 | (v & 31) >> 2;
}

static uint32_t colour8(uint32_t v)
{
    return dac_rgb(v);
}

static uint32_t colour15(uint32_t v)
{
    return five(v >> 10) << 16 | five(v >> 5) << 8 | five(v);
}

static uint32_t colour16(uint32_t v)
{
    uint32_t green = v >> 5 & 63;
    return five(v >> 11) << 16 | (green << 2 | green >> 4) << 8 | five(v);
}

static uint32_t colour24(uint32_t v)
{
    return v & 0xffffff;
}

static void test_dispi_8(void)
{
    dispi_check(8, colour8);
}

static void test_dispi_15(void)
{
    dispi_check(15, colour15);
}

static void test_dispi_16(void)
{
    dispi_check(16, colour16);
}

static void test_dispi_24(void)
{
    dispi_check(24, colour24);
}

static void test_dispi_32(void)
{
    dispi_check(32, colour24);
}

static void test_dispi_4(void)
{
    mode_set(&mode_12);
    dispi(1, 800);
    dispi(2, 600);
    dispi(3, 4);
    dispi(4, 0x01);
    planes_fill(100, 60000);
    draw(800, 600);
    for (unsigned y = 0; y < 600; y++) {
        for (unsigned x = 0; x < 800; x++)
            g_assert_cmphex(pixel(x, y), ==, dac_rgb(planar_pixel(100, x, y, 100)));
    }
}

/* Any register contents whatever give some picture: nothing is read outside the memory (run with ASan). */
static void test_random_registers(void)
{
    mode_set(&mode_03);
    for (unsigned i = 0; i < 300; i++) {
        for (unsigned n = 0; n < 20; n++) {
            static const uint16_t ports[] = {0x3c4, 0x3ce, 0x3d4};
            uint8_t value = (uint8_t)g_test_rand_int();
            uint16_t port = ports[g_test_rand_int_range(0, 3)];
            uint8_t index = (uint8_t)g_test_rand_int_range(0, 26);
            if (port != 0x3d4 || (index != 0x12 && index != 0x07)) /* not too high, or it takes too long */
                set(port, index, value);
            attr((uint8_t)g_test_rand_int_range(0, 0x15), value);
            if (g_test_rand_int_range(0, 10) == 0)
                dispi((uint16_t)g_test_rand_int_range(3, 10), (uint16_t)g_test_rand_int());
        }
        dispi(1, 64);
        dispi(2, 64);
        const struct display *display = vga_display(vga);
        grab();
        display->text(display->opaque, &screen);
        g_assert_cmpuint(picture.width, >, 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vga_render/text_of_nine_dots", test_text_of_nine_dots);
    g_test_add_func("/vga_render/text_of_eight_dots", test_text_of_eight_dots);
    g_test_add_func("/vga_render/text_blinks", test_text_blinks);
    g_test_add_func("/vga_render/text_with_sixteen_backgrounds", test_text_with_sixteen_backgrounds);
    g_test_add_func("/vga_render/cursor", test_cursor);
    g_test_add_func("/vga_render/underline", test_underline);
    g_test_add_func("/vga_render/two_fonts", test_two_fonts);
    g_test_add_func("/vga_render/text_panning", test_text_panning);
    g_test_add_func("/vga_render/text_start_and_split", test_text_start_and_split);
    g_test_add_func("/vga_render/text_cells", test_text_cells);
    g_test_add_func("/vga_render/unchanged_is_said", test_unchanged_is_said);
    g_test_add_func("/vga_render/serial", test_serial);
    g_test_add_func("/vga_render/changed_in_pieces", test_changed_in_pieces);
    g_test_add_func("/vga_render/mode_changes_in_a_look", test_mode_changes_in_a_look);
    g_test_add_func("/vga_render/changed_rows", test_changed_rows);
    g_test_add_func("/vga_render/changed_pixel", test_changed_pixel);
    g_test_add_func("/vga_render/blank", test_blank);
    g_test_add_func("/vga_render/mode_12", test_mode_12);
    g_test_add_func("/vga_render/mode_0d_doubles_dots_and_lines", test_mode_0d_doubles_dots_and_lines);
    g_test_add_func("/vga_render/plane_enable_and_palette", test_plane_enable_and_palette);
    g_test_add_func("/vga_render/dac_mask", test_dac_mask);
    g_test_add_func("/vga_render/mode_13", test_mode_13);
    g_test_add_func("/vga_render/mode_x", test_mode_x);
    g_test_add_func("/vga_render/split_screen_panning", test_split_screen_panning);
    g_test_add_func("/vga_render/mode_4", test_mode_4);
    g_test_add_func("/vga_render/mode_6", test_mode_6);
    g_test_add_func("/vga_render/dispi_4", test_dispi_4);
    g_test_add_func("/vga_render/dispi_8", test_dispi_8);
    g_test_add_func("/vga_render/dispi_15", test_dispi_15);
    g_test_add_func("/vga_render/dispi_16", test_dispi_16);
    g_test_add_func("/vga_render/dispi_24", test_dispi_24);
    g_test_add_func("/vga_render/dispi_32", test_dispi_32);
    g_test_add_func("/vga_render/random_registers", test_random_registers);
    return g_test_run();
}

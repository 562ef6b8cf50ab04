/* A picture is taken of a display that never rests, too. */
#include <glib.h>
#include <limits.h>

#include "host/display/grab.h"
#include "lock.h"

static unsigned asked;

static void size(void *opaque, unsigned *width, unsigned *height)
{
    *width = 1024 + asked % 8;
    *height = 768;
}

static bool rows(void *opaque, unsigned width, unsigned height, unsigned first, unsigned count, uint32_t *pixels)
{
    asked++;
    return false; /* it has another size by now */
}

static bool steady_rows(void *opaque, unsigned width, unsigned height, unsigned first, unsigned count, uint32_t *pixels)
{
    for (unsigned i = 0; i < width * count; i++)
        pixels[i] = first * width + i;
    return true;
}

static void test_restless(void)
{
    const struct display display = {.size = size, .rows = rows};
    struct display_pixels out = {0};
    display_grab(&display, &out);
    g_assert_cmpuint(asked, <, 1000);
    g_assert_cmpuint(out.height, ==, 768);
    g_assert_cmpuint(out.pixels[0], ==, 0);
    display_pixels_clear(&out);
}

static void test_in_pieces(void)
{
    const struct display display = {.size = size, .rows = steady_rows};
    struct display_pixels out = {0};
    g_assert_true(display_grab(&display, &out));
    for (unsigned i = 0; i < out.width * out.height; i++)
        g_assert_cmpuint(out.pixels[i], ==, i);
    g_assert_false(display_grab(&display, &out));
    display_pixels_clear(&out);
}

/* A card that says which rows have changed: only those are drawn again. */
static uint64_t news;
static unsigned change_first, change_end, drawn, shade;
static bool is_large;

static void card_size(void *opaque, unsigned *width, unsigned *height)
{
    *width = is_large ? 200 : 100;
    *height = 60;
}

static bool card_rows(void *opaque, unsigned width, unsigned height, unsigned first, unsigned count, uint32_t *pixels)
{
    if (width != (is_large ? 200u : 100u))
        return false;
    drawn += count;
    for (unsigned i = 0; i < width * count; i++)
        pixels[i] = shade + (first * width + i);
    return true;
}

static bool card_serial(void *opaque, uint64_t *serial)
{
    static unsigned looks;
    g_assert_true(machine_is_locked());
    *serial = news;
    return ++looks % 3 == 0; /* a look has three pieces */
}

static void card_changed(void *opaque, uint64_t since, unsigned *first, unsigned *end)
{
    *first = change_first;
    *end = change_end;
}

static void test_reader(void)
{
    const struct display display = {
        .size = card_size, .rows = card_rows, .serial = card_serial, .changed_rows = card_changed};
    struct display_reader reader = {0};
    unsigned first, end;
    bool is_other;
    news = 7;
    change_end = 1; /* not the first time */
    g_assert_true(display_read(&display, &reader, &first, &end, &is_other));
    g_assert_true(is_other);
    g_assert_cmpuint(first, ==, 0);
    g_assert_cmpuint(end, ==, 60);
    g_assert_false(display_read(&display, &reader, &first, &end, &is_other));
    drawn = 0;
    news = 8;
    shade = 1000000;
    change_first = 10;
    change_end = 12;
    g_assert_true(display_read(&display, &reader, &first, &end, &is_other));
    g_assert_false(is_other);
    g_assert_cmpuint(drawn, ==, 2);
    g_assert_cmpuint(first, ==, 10);
    g_assert_cmpuint(end, ==, 12);
    g_assert_cmpuint(reader.picture.pixels[999], ==, 999);
    g_assert_cmpuint(reader.picture.pixels[1000], ==, 1001000);
    g_assert_cmpuint(reader.picture.pixels[1199], ==, 1001199);
    g_assert_cmpuint(reader.picture.pixels[1200], ==, 1200);
    news = 9;
    change_first = 0;
    change_end = UINT_MAX;
    g_assert_true(display_read(&display, &reader, &first, &end, &is_other));
    g_assert_cmpuint(end, ==, 60);
    g_assert_cmpuint(reader.picture.pixels[0], ==, 1000000);
    news = 10;
    is_large = true;
    g_assert_true(display_read(&display, &reader, &first, &end, &is_other));
    g_assert_true(is_other);
    g_assert_cmpuint(reader.picture.width, ==, 200);
    news = 11;
    change_first = change_end = 0; /* a change that nobody sees */
    g_assert_false(display_read(&display, &reader, &first, &end, &is_other));
    display_pixels_clear(&reader.picture);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/grab/restless", test_restless);
    g_test_add_func("/grab/in_pieces", test_in_pieces);
    g_test_add_func("/grab/reader", test_reader);
    return g_test_run();
}

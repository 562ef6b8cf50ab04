/* A picture is taken of a display that never rests, too. */
#include <glib.h>

#include "host/display/grab.h"

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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/grab/restless", test_restless);
    g_test_add_func("/grab/in_pieces", test_in_pieces);
    return g_test_run();
}

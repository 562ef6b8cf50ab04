/* How many mappings a window has, which src/native/window.c counts itself, against what the kernel says. */
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>

#include "mem.h"
#include "native/window.h"

#define PAGES 256u /* played with, from page FIRST on */
#define FIRST 0x8040u

/* Mappings of the first window, and of all else. */
static void kernel_says(unsigned *inside)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    uintptr_t base = (uintptr_t)window_base(0);
    char line[4096];
    *inside = 0;
    while (fgets(line, sizeof line, maps)) {
        uintptr_t first;
        if (sscanf(line, "%" SCNxPTR, &first) == 1)
            *inside += first >= base && first < base + WINDOW_SIZE;
    }
    fclose(maps);
}

static void counts(void)
{
    GRand *chance = g_rand_new_with_seed(g_test_rand_int());
    bool mapped[PAGES] = {false};
    unsigned kernel, most = 0;
    for (unsigned n = 0; n < 4000; n++) {
        unsigned first = g_rand_int_range(chance, 0, PAGES), pages = g_rand_int_range(chance, 1, 9);
        unsigned page = g_rand_int_range(chance, 0, 512);
        pages = MIN(pages, PAGES - first);
        gla_t gla = (FIRST + first) << PAGE_SHIFT;
        bool all = true;
        for (unsigned i = first; i < first + pages; i++)
            all &= mapped[i];
        switch (g_rand_int_range(chance, 0, 4)) {
        case 0:
            window_unmap(window_base(0), gla, pages * PAGE_SIZE);
            break;
        case 1:
            if (!all)
                continue;
            g_assert_true(window_protect(window_base(0), gla, pages * PAGE_SIZE, g_rand_boolean(chance)));
            continue;
        default:
            g_assert_true(
                window_map(window_base(0), gla, page * PAGE_SIZE, pages * PAGE_SIZE, g_rand_boolean(chance), false));
        }
        for (unsigned i = first; i < first + pages; i++) {
            mapped[i] = window_lists(window_base(0), (FIRST + i) << PAGE_SHIFT, false);
            g_assert_true(mapped[i] || window_mappings() < PAGES);
        }
        if (n % 16)
            continue;
        kernel_says(&kernel);
        g_assert_cmpuint(window_mappings(), >=, kernel);
        g_assert_cmpuint(window_mappings(), <=, PAGES);
        most = MAX(most, kernel);
    }
    g_assert_cmpuint(most, >, PAGES / 8);
    window_unmap(window_base(0), 0, WINDOW_SIZE);
    g_assert_cmpuint(window_mappings(), ==, 0);
    kernel_says(&kernel);
    g_assert_cmpuint(kernel, ==, 0);
    g_rand_free(chance);
}

/* Page by page, from both ends: as many as there are pages, and none when they have gone in one piece. */
static void each_page(void)
{
    for (unsigned i = 0; i < PAGES; i++) /* no two that the kernel could join */
        g_assert_true(
            window_map(window_base(0), (FIRST + i) << PAGE_SHIFT, (PAGES - i) * PAGE_SIZE, PAGE_SIZE, true, false));
    g_assert_cmpuint(window_mappings(), ==, PAGES);
    window_unmap(window_base(0), (FIRST + 1) << PAGE_SHIFT, (PAGES - 2) * PAGE_SIZE);
    g_assert_cmpuint(window_mappings(), ==, 2);
    window_unmap(window_base(0), FIRST << PAGE_SHIFT, PAGES * PAGE_SIZE);
    g_assert_cmpuint(window_mappings(), ==, 0);
    /* One in the middle of a large one. */
    g_assert_true(window_map(window_base(0), FIRST << PAGE_SHIFT, 0, PAGES * PAGE_SIZE, true, false));
    g_assert_cmpuint(window_mappings(), ==, 1);
    g_assert_true(window_protect(window_base(0), (FIRST + 7) << PAGE_SHIFT, PAGE_SIZE, false));
    g_assert_cmpuint(window_mappings(), ==, 3);
    window_unmap(window_base(0), (FIRST + 7) << PAGE_SHIFT, PAGE_SIZE);
    g_assert_cmpuint(window_mappings(), ==, 2);
    window_unmap(window_base(0), 0, WINDOW_SIZE);
    g_assert_cmpuint(window_mappings(), ==, 0);
}

int main(int argc, char **argv)
{
    GError *error = NULL;
    g_test_init(&argc, &argv, NULL);
    g_assert_true(mem_init(4 * MiB, &error));
    window_init();
    g_assert_true(window_reserve(1));
    g_test_add_func("/window/counts", counts);
    g_test_add_func("/window/each_page", each_page);
    return g_test_run();
}

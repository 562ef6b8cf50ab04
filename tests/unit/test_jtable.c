/* Jump tables: what processes share of them, and what each has for itself. */
#include <glib.h>

#include "translator/cache.h"
#include "translator/jtable.h"
#include "translator/tcache.h"

static struct jpage *page_of(gpa_t page)
{
    return jtable_page(page, 0x1234);
}

static void set(struct jtable *t, uint32_t eip, struct jpage *page, unsigned host)
{
    static struct tblock block;
    static struct tentry entry;
    block.jpage = page;
    entry = (struct tentry){.block = &block, .eip = eip, .host = (uint8_t *)(uintptr_t)(0x1000000 + host)};
    jtable_set(t, eip, &entry);
}

static unsigned host_at(const struct jtable *t, uint32_t eip)
{
    const void *host = jtable_get(t, eip);
    return host ? (unsigned)(uintptr_t)host - 0x1000000 : 0;
}

/* A page's code is known to a table as a whole, wherever it has the page, once anything of it is. */
static void test_page(void)
{
    struct jtable *first = jtable_new(), *second = jtable_new();
    struct jpage *page = page_of(0x100000);
    for (unsigned k = 0; k < 16; k += 2)
        set(first, 0xb7001010 + k * 256, page, k + 1);
    g_assert_cmpuint(host_at(second, 0xb6005010), ==, 0);
    set(second, 0xb6005010 + 4 * 256, page, 5);
    for (unsigned k = 0; k < 16; k++)
        g_assert_cmpuint(host_at(second, 0xb6005010 + k * 256), ==, k % 2 ? 0 : k + 1);
    /* Nothing of it in the pages around. */
    g_assert_cmpuint(host_at(second, 0xb6004f10), ==, 0);
    g_assert_cmpuint(host_at(second, 0xb6006010), ==, 0);
    /* Nor after the page is another. */
    jtable_drop_page(second, 0xb6005000);
    for (unsigned k = 0; k < 16; k++)
        g_assert_cmpuint(host_at(second, 0xb6005010 + k * 256), ==, 0);
    g_assert_true(jtable_is_empty(second));
    g_assert_cmpuint(host_at(first, 0xb7001010), ==, 1);
    jtable_clear(first);
    jtable_give_back(first);
    jtable_give_back(second);
}

/* What a table has for itself in the page stays, but where the page's own takes its place. */
static void test_own(void)
{
    struct jtable *first = jtable_new(), *second = jtable_new();
    struct jpage *page = page_of(0x200000);
    set(first, 0x8048010, page, 1);
    set(first, 0x8048310, page, 2);
    set(second, 0x8048320, NULL, 3);
    set(second, 0x8048010, page, 1);
    g_assert_cmpuint(host_at(second, 0x8048010), ==, 1);
    g_assert_cmpuint(host_at(second, 0x8048320), ==, 3);
    g_assert_cmpuint(host_at(second, 0x8048310), ==, 0);
    set(second, 0x8048310, page, 2);
    g_assert_cmpuint(host_at(second, 0x8048310), ==, 2);
    g_assert_cmpuint(host_at(second, 0x8048320), ==, 0);
    jtable_clear(first);
    jtable_clear(second);
    jtable_give_back(first);
    jtable_give_back(second);
}

/* Units that are shared come back from no table: they are no reason to take one from a process for another. */
static void test_budget(void)
{
    struct jtable *t = jtable_new();
    for (unsigned n = 0; n < 1700; n++)
        for (unsigned k = 0; k < 16; k++)
            set(t, 0x40000000 + n * PAGE_SIZE + k * 256, page_of(0x1000000 + n * PAGE_SIZE), 1);
    g_assert_false(jtable_should_share());
    jtable_clear(t);
    g_assert_false(jtable_crowded());
    for (unsigned n = 0; n < 3500; n++)
        for (unsigned k = 0; k < 16 && !jtable_crowded(); k++)
            set(t, 0x40000000 + n * PAGE_SIZE + k * 256, NULL, 1);
    g_assert_true(jtable_crowded());
    jtable_make_room(); /* nobody uses the pages */
    g_assert_false(jtable_crowded());
    g_assert_true(jtable_is_empty(t));
    for (unsigned n = 0; n < 1700; n++)
        for (unsigned k = 0; k < 16; k++)
            set(t, 0x40000000 + n * PAGE_SIZE + k * 256, NULL, 1);
    g_assert_true(jtable_should_share());
    jtable_clear(t);
    g_assert_false(jtable_should_share());
    jtable_give_back(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    GError *error = NULL;
    g_assert_true(tcache_init(TCACHE_MIN, &error));
    g_test_add_func("/jtable/page", test_page);
    g_test_add_func("/jtable/own", test_own);
    g_test_add_func("/jtable/budget", test_budget);
    return g_test_run();
}

/* Lists of options and their values. */
#include <glib.h>
#include <string.h>

#include "keyvalue.h"

static struct keyvalues *good(const char *text)
{
    GError *error = NULL;
    struct keyvalues *list = keyvalues_parse(text, "-x", "first", &error);
    g_assert_no_error(error);
    return list;
}

static void test_lists(void)
{
    struct keyvalues *list = good("what,a=1,b=x,,y,c=,a=2,on,nod,e==");
    g_assert_cmpstr(keyvalues_get(list, "first"), ==, "what");
    g_assert_cmpstr(keyvalues_get(list, "a"), ==, "2");
    g_assert_cmpstr(keyvalues_get(list, "b"), ==, "x,y");
    g_assert_cmpstr(keyvalues_get(list, "c"), ==, "");
    g_assert_cmpstr(keyvalues_get(list, "on"), ==, "on");
    g_assert_cmpstr(keyvalues_unused(list), ==, "d");
    g_assert_cmpstr(keyvalues_get(list, "d"), ==, "off");
    g_assert_cmpstr(keyvalues_get(list, "e"), ==, "=");
    g_assert_null(keyvalues_unused(list));
    g_assert_null(keyvalues_get(list, "z"));
    keyvalues_free(list);
    list = good("a=1");
    g_assert_null(keyvalues_get(list, "first"));
    keyvalues_free(list);
    list = good("");
    g_assert_null(keyvalues_unused(list));
    keyvalues_free(list);
    list = good("x,,y");
    g_assert_cmpstr(keyvalues_get(list, "first"), ==, "x,y");
    keyvalues_free(list);
}

static void test_json(void)
{
    struct keyvalues *list = good("{\"a\": \"x,y\", \"b\": {\"c\": 7, \"d\": [true, 1.5]}, \"e\": null}");
    g_assert_cmpstr(keyvalues_get(list, "a"), ==, "x,y");
    g_assert_cmpstr(keyvalues_get(list, "b.c"), ==, "7");
    g_assert_cmpstr(keyvalues_get(list, "b.d.0"), ==, "on");
    g_assert_cmpstr(keyvalues_get(list, "b.d.1"), ==, "1.5");
    g_assert_null(keyvalues_unused(list));
    keyvalues_free(list);

    static const char *const wrong[] = {"{", "{\"a\"}", "{\"a\": 1, \"a\": 2}", "{} x", "{\"a\": nope}"};
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        GError *error = NULL;
        g_assert_null(keyvalues_parse(wrong[i], "-x", NULL, &error));
        g_assert_true(g_str_has_prefix(error->message, "-x: this JSON"));
        g_error_free(error);
    }
    GString *deep = g_string_new("");
    for (unsigned i = 0; i < 100; i++)
        g_string_append(deep, "{\"a\":");
    g_string_append_c(deep, '1');
    for (unsigned i = 0; i < 100; i++)
        g_string_append_c(deep, '}');
    g_assert_null(keyvalues_parse(deep->str, "-x", NULL, NULL));
    g_string_free(deep, TRUE);
}

static void test_values(void)
{
    uint64_t number;
    bool on;
    g_assert_true(value_is_switch("on", &on) && on);
    g_assert_true(value_is_switch("false", &on) && !on);
    g_assert_false(value_is_switch("", &on));
    g_assert_true(value_is_number("0x10", 16, &number) && number == 16);
    g_assert_false(value_is_number("17", 16, &number));
    g_assert_false(value_is_number("-1", UINT64_MAX, &number));
    g_assert_false(value_is_number("1x", 16, &number));
    g_assert_false(value_is_number("99999999999999999999", UINT64_MAX, &number));
    g_assert_true(value_is_size("2", 20, &number) && number == 2 * MiB);
    g_assert_true(value_is_size("2k", 20, &number) && number == 2 * KiB);
    g_assert_true(value_is_size("3GiB", 20, &number) && number == 3 * GiB);
    g_assert_false(value_is_size("3Q", 20, &number));
    g_assert_false(value_is_size("99999999999T", 20, &number));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/keyvalue/lists", test_lists);
    g_test_add_func("/keyvalue/json", test_json);
    g_test_add_func("/keyvalue/values", test_values);
    return g_test_run();
}

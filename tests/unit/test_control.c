/* What monitors are made of: expressions, types, JSON out of a stream, the line editor, the human's line. */
#include <glib.h>
#include <string.h>

#include "host/control/command.h"
#include "host/control/events.h"
#include "host/control/expression.h"
#include "host/control/json_stream.h"
#include "host/control/lineedit.h"

/* --- Expressions --- */

static bool read_register(void *opaque, const char *name, int64_t *value)
{
    *value = 0x7c00;
    return strcmp(name, "eip") == 0;
}

static void evaluates(const char *text, int64_t expected, const char *rest)
{
    GError *error = NULL;
    int64_t value = 0;
    const char *at = text;
    g_assert_true(expression_parse(&at, read_register, NULL, &value, &error));
    g_assert_cmpint(value, ==, expected);
    g_assert_cmpstr(at, ==, rest);
}

static void fails(const char *text, const char *word)
{
    GError *error = NULL;
    int64_t value;
    g_assert_false(expression_parse(&text, read_register, NULL, &value, &error));
    g_assert_nonnull(strstr(error->message, word));
    g_error_free(error);
}

static void test_expressions(void)
{
    evaluates("0x10", 16, "");
    evaluates("1+2*3", 7, "");
    evaluates("(1+2)*3", 9, "");
    evaluates("6&3+1", 3, ""); /* & binds before +, as in QEMU */
    evaluates("~0", -1, "");
    evaluates("-5 % 3", -2, "");
    evaluates("'A'", 65, "");
    evaluates("$eip + 4", 0x7c04, "");
    evaluates("0xffffffffffffffff", -1, "");
    evaluates("-9223372036854775807-1", INT64_MIN, "");
    evaluates("(-9223372036854775807-1)/-1", INT64_MIN, ""); /* the quotient that does not fit */
    /* The next word is not an operator. */
    evaluates("16 /tmp/file", 16, " /tmp/file");
    evaluates("1 -2", 1, " -2");
    evaluates("1 - 2", -1, "");
    fails("", "expression");
    fails("1/0", "division by zero");
    fails("1%0", "division by zero");
    fails("$nothing", "unknown register");
    fails("(1", "')' expected");
    fails("'A", "missing terminating");
    fails("99999999999999999999", "too large");
    GString *deep = g_string_new(NULL);
    for (unsigned i = 0; i < 100000; i++)
        g_string_append_c(deep, i % 2 ? '(' : '-');
    fails(deep->str, "too deep");
    g_string_free(deep, TRUE);
}

/* --- Types --- */

static const struct schema_type types[] = {
    {"Colour", "<red green>"},
    {"Point", "x:int y:int?"},
    {"Kind", "<none point list>"},
    {"Points", "points:[Point]"},
    {"Shape", "kind:Kind colour:Colour? | kind=point:Point | kind=list:Points"},
    {"Open", "name:str *"},
    {"Tree", "left:Tree? right:Tree?"},
    {"Empty", ""},
};

/* error: NULL where the value fits, else its words. */
static void checks(const char *type, const char *json, const char *expected)
{
    GError *error = NULL;
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    g_assert_nonnull(value);
    bool ok = schema_check(type, value, "v", &error);
    g_assert_cmpstr(ok ? NULL : error->message, ==, expected);
    g_clear_error(&error);
    json_decref(value);
}

static void test_types(void)
{
    checks("int", "5", NULL);
    checks("int", "5.5", "Invalid parameter type for 'v', expected: integer");
    checks("int", "true", "Invalid parameter type for 'v', expected: integer");
    checks("number", "5", NULL);
    checks("bool", "0", "Invalid parameter type for 'v', expected: boolean");
    checks("[str]", "[\"a\",\"b\"]", NULL);
    checks("[str]", "[\"a\",1]", "Invalid parameter type for 'v[1]', expected: string");
    checks("[str]", "{}", "Invalid parameter type for 'v', expected: array");
    checks("Colour", "\"red\"", NULL);
    checks("Colour", "\"blue\"", "Parameter 'v' does not accept value 'blue'");
    checks("Point", "{\"x\":1}", NULL);
    checks("Point", "{\"y\":1}", "Parameter 'v.x' is missing");
    checks("Point", "{\"x\":1,\"z\":1}", "Parameter 'v.z' is unexpected");
    checks("Shape", "{\"kind\":\"none\"}", NULL);
    checks("Shape", "{\"kind\":\"none\",\"x\":1}", "Parameter 'v.x' is unexpected");
    checks("Shape", "{\"kind\":\"point\",\"x\":1,\"colour\":\"green\"}", NULL);
    checks("Shape", "{\"kind\":\"point\"}", "Parameter 'v.x' is missing");
    checks("Shape", "{\"kind\":\"list\",\"points\":[{\"x\":1},{}]}", "Parameter 'v.points[1].x' is missing");
    checks("Open", "{\"name\":\"a\",\"whatever\":[1]}", NULL);
    checks("Tree", "{\"left\":{\"right\":{}}}", NULL);
    checks("Tree", "{\"left\":{\"right\":{\"up\":1}}}", "Parameter 'v.left.right.up' is unexpected");
    checks("any", "[1,null]", NULL);
}

static const json_t *entity(const json_t *list, const char *name)
{
    size_t index;
    json_t *one;
    json_array_foreach((json_t *)list, index, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "name")), name) == 0)
            return one;
    }
    return NULL;
}

static void test_introspection(void)
{
    struct schema_writer *writer = schema_writer_new();
    schema_write_command(writer, "draw", "shape:Shape tree:Tree?", "[Point]");
    schema_write_event(writer, "DRAWN", NULL);
    json_t *list = schema_writer_free(writer);
    const json_t *draw = entity(list, "draw");
    const json_t *args = entity(list, json_string_value(json_object_get(draw, "arg-type")));
    const json_t *member = json_array_get(json_object_get(args, "members"), 0);
    const json_t *shape = entity(list, json_string_value(json_object_get(member, "type")));
    g_assert_cmpstr(json_string_value(json_object_get(shape, "tag")), ==, "kind");
    g_assert_cmpuint(json_array_size(json_object_get(shape, "variants")), ==, 3); /* one for each value of the tag */
    g_assert_true(json_object_get(json_array_get(json_object_get(args, "members"), 1), "default"));
    g_assert_nonnull(entity(list, json_string_value(json_object_get(entity(list, "DRAWN"), "arg-type"))));
    /* Every type that is named is there. */
    size_t index, number;
    json_t *one, *inner;
    json_array_foreach(list, index, one)
    {
        json_array_foreach(json_object_get(one, "members"), number, inner)
        {
            if (json_object_get(inner, "type"))
                g_assert_nonnull(entity(list, json_string_value(json_object_get(inner, "type"))));
        }
    }
    json_decref(list);
}

/* --- JSON out of a stream --- */

static GString *heard;

static void hear(void *opaque, json_t *value, const char *error)
{
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : g_strndup(error, 10);
    g_string_append_printf(heard, "%s%s;", value ? "" : "!", text);
    free(text);
    json_decref(value);
}

static void streams(const char *text, const char *expected)
{
    for (size_t piece = 1; piece <= strlen(text); piece++) { /* cut in every way of equal pieces */
        struct json_stream *stream = json_stream_new(64, hear, NULL);
        heard = g_string_new(NULL);
        for (size_t at = 0; at < strlen(text); at += piece)
            json_stream_feed(stream, (const uint8_t *)text + at, MIN(piece, strlen(text) - at));
        g_assert_cmpstr(heard->str, ==, expected);
        g_string_free(heard, TRUE);
        json_stream_free(stream);
    }
}

static void test_stream(void)
{
    streams("{\"a\":1}\n", "{\"a\":1};");
    streams("{\"a\":1}{\"b\":2}[3]", "{\"a\":1};{\"b\":2};[3];");
    streams("{'a':'b\"c\\'d'}", "{\"a\":\"b\\\"c'd\"};");
    streams("{\"a\":\"}]\\\"{\"}", "{\"a\":\"}]\\\"{\"};");
    streams(" \n\t true 5 \"x\" ", "true;5;\"x\";");
    streams("}\n{}", "!JSON parse;{};");
    streams("{\"a\" 1}\n{}", "!JSON parse;{};");
    /* What is too long costs no more than the limit, and the rest of its line is not looked at. */
    char *longer = g_strnfill(100, 'x'), *text = g_strdup_printf("{\"%s\":1}\n{}", longer);
    streams(text, "!JSON token;{};");
    g_free(longer);
    g_free(text);
}

/* --- The line editor --- */

static GString *shown;
static GPtrArray *entered;

static void show(void *opaque, const char *text, size_t len)
{
    g_string_append_len(shown, text, (gssize)len);
}

static void enter(void *opaque, const char *line)
{
    g_ptr_array_add(entered, g_strdup(line));
}

static GPtrArray *complete(void *opaque, const char *text)
{
    static const char *const words[] = {"info", "insert", "quit"};
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    const char *blank = strrchr(text, ' ');
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        if (g_str_has_prefix(words[i], blank ? blank + 1 : text))
            g_ptr_array_add(list, g_strdup(words[i]));
    }
    return list;
}

/* What a terminal shows: one line, on which only these control sequences move. */
static char *terminal(void)
{
    GString *line = g_string_new(NULL);
    gsize cursor = 0;
    for (const char *c = shown->str; *c; c++) {
        if (g_str_has_prefix(c, "\r\n")) {
            g_string_truncate(line, 0);
            cursor = 0;
            c++;
        } else if (g_str_has_prefix(c, "\033[K")) {
            g_string_truncate(line, cursor);
            c += 2;
        } else if (*c == '\b') {
            cursor--;
        } else {
            if (cursor == line->len)
                g_string_append_c(line, *c);
            else
                line->str[cursor] = *c;
            cursor++;
        }
    }
    g_string_insert_c(line, (gssize)cursor, '|');
    return g_string_free(line, FALSE);
}

static struct lineedit *edit;

static void keys(const char *text)
{
    lineedit_feed(edit, (const uint8_t *)text, strlen(text));
}

static void looks(const char *expected)
{
    char *line = terminal();
    g_assert_cmpstr(line, ==, expected);
    g_free(line);
}

static void edit_begin(void)
{
    static const struct lineedit_ops ops = {show, enter, complete};
    shown = g_string_new(NULL);
    entered = g_ptr_array_new_with_free_func(g_free);
    edit = lineedit_new(&ops, NULL, "> ", 20);
    lineedit_prompt(edit);
}

static void edit_end(void)
{
    lineedit_free(edit);
    g_string_free(shown, TRUE);
    g_ptr_array_unref(entered);
}

static void test_editing(void)
{
    edit_begin();
    keys("hello");
    looks("> hello|");
    keys("\x01X\x05Y");
    looks("> XhelloY|");
    keys("\033[D\033[D\x7f");
    looks("> Xhel|oY");
    keys("\x0b");
    looks("> Xhel|");
    keys(" two three\x17");
    looks("> Xhel two |");
    keys("\033b\033b");
    looks("> |Xhel two ");
    keys("\033f!\033[3~");
    looks("> Xhel!|two ");
    keys("\x15");
    looks("> |two ");
    keys("\033[F\033[H\x04");
    looks("> |wo ");
    keys("\r");
    g_assert_cmpstr(g_ptr_array_index(entered, 0), ==, "wo ");
    edit_end();
}

static void test_history(void)
{
    edit_begin();
    keys("one\r\ntwo\nthree\r"); /* each end of line counts once */
    g_assert_cmpuint(entered->len, ==, 3);
    keys("dra\x10");
    looks("three|");
    keys("\033[A\033[A\033[A");
    looks("one|");
    keys("\x0e\x0e\x0e\x0e");
    looks("dra|");
    keys("\x15one\r");
    g_assert_cmpstr(lineedit_history(edit, 0), ==, "two"); /* the same again moves to the end */
    g_assert_cmpstr(lineedit_history(edit, 2), ==, "one");
    g_assert_null(lineedit_history(edit, 3));
    edit_end();
}

static void test_long_lines(void)
{
    edit_begin();
    keys("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r");
    g_assert_cmpuint(entered->len, ==, 0); /* not half of it */
    g_assert_nonnull(strstr(shown->str, "too long"));
    keys("ok\r");
    g_assert_cmpstr(g_ptr_array_index(entered, 0), ==, "ok");
    edit_end();
}

static void test_completion(void)
{
    edit_begin();
    keys("q\t");
    looks("> quit |");
    keys("\x15i\t");
    looks("> in|");
    keys("\t");
    g_assert_nonnull(strstr(shown->str, "info                insert"));
    looks("> in|");
    keys("f\t");
    looks("> info |");
    keys("x\tq\t");
    looks("> info xq|");
    edit_end();
}

/* --- The human's line --- */

static char *said;

static json_t *run_record(struct command_context *context, json_t *args, GError **error)
{
    g_free(said);
    char *text = json_dumps(args, JSON_COMPACT | JSON_SORT_KEYS);
    said = g_strdup(text);
    free(text);
    return json_object();
}

static json_t *run_fail(struct command_context *context, json_t *args, GError **error)
{
    return COMMAND_FAIL(NO_DEVICE, "no such thing");
}

static const struct command rows[] = {
    {"record", "record|r [-f:force] [-n=name] /fmt what [size] [rest...]",
     "force:bool? name:str? count:int? format:str? size:int? what:str rest:str?", NULL, "keeps its arguments",
     run_record, NULL},
    {NULL, "number value [on]", "value:int on:bool?", NULL, "a number", run_record, NULL},
    {NULL, "megabytes value:M", "value:int", NULL, "a size", run_record, NULL},
    {"colour", "colour which", "which:Colour", NULL, "an enum", run_record, NULL},
    {"fail", "fail", NULL, NULL, "fails", run_fail, NULL},
};

static void line(const char *text, const char *args, const char *output)
{
    struct command_context context = {0};
    GString *out = g_string_new(NULL);
    g_free(said);
    said = NULL;
    command_line(&context, text, out);
    g_assert_cmpstr(said, ==, args);
    if (output)
        g_assert_nonnull(strstr(out->str, output));
    else
        g_assert_cmpstr(out->str, ==, "");
    g_string_free(out, TRUE);
}

static void test_lines(void)
{
    line("record a", "{\"what\":\"a\"}", NULL);
    line("  r   a  ", "{\"what\":\"a\"}", NULL);
    line("record -f a", "{\"force\":true,\"what\":\"a\"}", NULL);
    line("record a -f", "{\"force\":true,\"what\":\"a\"}", NULL);
    line("record -n x -f a", "{\"force\":true,\"name\":\"x\",\"what\":\"a\"}", NULL);
    line("record/3xh a", "{\"count\":3,\"format\":\"x\",\"size\":2,\"what\":\"a\"}", NULL);
    line("record \"a b\\n\\\"c\\\"\" 2 the  rest ", "{\"rest\":\"the  rest\",\"size\":2,\"what\":\"a b\\n\\\"c\\\"\"}",
         NULL);
    line("record", NULL, "what is missing");
    line("record \"a", NULL, "unterminated");
    line("record \"\\q\"", NULL, "escape code");
    line("record /z a", NULL, "invalid char in format");
    line("number 1+1", "{\"value\":2}", NULL);
    line("number 5 off", "{\"on\":false,\"value\":5}", NULL);
    line("number 5 maybe", NULL, "neither on nor off");
    line("number 5x", NULL, "does not belong");
    line("number 5 on more", NULL, "extraneous characters");
    line("megabytes 64", "{\"value\":67108864}", NULL);
    line("megabytes 1G", "{\"value\":1073741824}", NULL);
    line("colour red", "{\"which\":\"red\"}", NULL);
    line("colour blue", NULL, "does not accept value 'blue'");
    line("fail", NULL, "Error: no such thing");
    line("nothing", NULL, "unknown command: 'nothing'");
    line("info nothing", NULL, "unknown command: 'info nothing'");
    line("", NULL, NULL);
    line("# a remark", NULL, NULL);
}

static void test_programs(void)
{
    struct command_context context = {0};
    GError *error = NULL;
    json_t *args = json_pack("{s:s}", "which", "green"), *value = command_execute(&context, "colour", args, &error);
    g_assert_cmpuint(json_object_size(value), ==, 0);
    json_decref(value);
    json_decref(args);
    g_assert_null(command_execute(&context, "nothing", NULL, &error));
    g_assert_cmpstr(command_error_class(error), ==, "CommandNotFound");
    g_clear_error(&error);
    g_assert_null(command_execute(&context, "fail", NULL, &error));
    g_assert_cmpstr(command_error_class(error), ==, "DeviceNotFound");
    g_clear_error(&error);
    g_assert_null(command_execute(&context, "colour", NULL, &error));
    g_assert_cmpstr(command_error_class(error), ==, "GenericError");
    g_clear_error(&error);
}

static void test_help(void)
{
    struct command_context context = {0};
    GString *out = g_string_new(NULL);
    command_help(&context, NULL, out);
    g_assert_nonnull(strstr(out->str, "record|r [-f] [-n name] /fmt what [size] [rest...] -- keeps its arguments\n"));
    g_string_truncate(out, 0);
    command_help(&context, "r", out);
    g_assert_nonnull(strstr(out->str, "record|r"));
    g_assert_null(strstr(out->str, "megabytes"));
    g_string_free(out, TRUE);
    GPtrArray *list = command_complete(&context, "re");
    g_assert_cmpuint(list->len, ==, 1);
    g_assert_cmpstr(g_ptr_array_index(list, 0), ==, "record");
    g_ptr_array_unref(list);
}

/* --- Events --- */

static unsigned floods, shutdowns;

static void told(void *opaque, json_t *message)
{
    const char *name = json_string_value(json_object_get(message, "event"));
    floods += strcmp(name, "FLOOD") == 0;
    shutdowns += strcmp(name, "SHUTDOWN") == 0;
}

static void test_events(void)
{
    events_listen(told, NULL);
    for (unsigned i = 0; i < 1000; i++)
        event_emit("FLOOD", NULL);
    event_emit("SHUTDOWN", json_object());
    for (unsigned i = 0; i < 1000; i++)
        event_emit("FLOOD", NULL);
    events_flush();
    g_assert_cmpuint(shutdowns, ==, 1);
    g_assert_cmpuint(floods, <, 300);
    events_unlisten(NULL);
    event_emit("SHUTDOWN", NULL);
    events_flush();
    g_assert_cmpuint(shutdowns, ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    schema_add(types, G_N_ELEMENTS(types));
    commands_add(rows, G_N_ELEMENTS(rows));
    g_test_add_func("/control/expressions", test_expressions);
    g_test_add_func("/control/types", test_types);
    g_test_add_func("/control/introspection", test_introspection);
    g_test_add_func("/control/stream", test_stream);
    g_test_add_func("/control/editing", test_editing);
    g_test_add_func("/control/history", test_history);
    g_test_add_func("/control/long_lines", test_long_lines);
    g_test_add_func("/control/completion", test_completion);
    g_test_add_func("/control/lines", test_lines);
    g_test_add_func("/control/programs", test_programs);
    g_test_add_func("/control/help", test_help);
    g_test_add_func("/control/events", test_events);
    return g_test_run();
}

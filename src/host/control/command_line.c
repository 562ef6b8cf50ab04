/* A human's line: found in the table, its words turned into typed arguments, help, completion. See command.h. Words and
 * quotes are those of QEMU's human monitor. */
#include "command.h"

#include <string.h>

#include "expression.h"
#include "keyvalue.h"
#include "log.h"

#define FAIL(...) (g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, __VA_ARGS__), false)

static struct {
    void (*complete)(struct command_context *context, const char *argument, GPtrArray *list);
    bool (*read)(struct command_context *context, const char *name, int64_t *value);
    bool (*info)(struct command_context *context, const char *word, GString *out);
    void (*info_words)(struct command_context *context, GPtrArray *list);
} hooks;

void command_set_info_fallback(bool (*print)(struct command_context *context, const char *word, GString *out),
                               void (*words)(struct command_context *context, GPtrArray *list))
{
    hooks.info = print;
    hooks.info_words = words;
}

void command_set_completer(void (*complete)(struct command_context *context, const char *argument, GPtrArray *list))
{
    hooks.complete = complete;
}

void command_set_register_reader(bool (*read)(struct command_context *context, const char *name, int64_t *value))
{
    hooks.read = read;
}

static bool register_read(void *opaque, const char *name, int64_t *value)
{
    return hooks.read && hooks.read(opaque, name, value);
}

/* --- How a command is written --- */

/* One word of a row's `human`, taken apart. */
struct slot {
    bool optional, rest, format, mega;
    char flag; /* 0: none */
    bool flag_has_word;
    char name[32];
};

/* The end of the row's names: what stands behind is how arguments are written. "info NAME" is a name. */
static size_t names_length(const char *human)
{
    size_t len = strcspn(human, " ");
    if (strncmp(human, "info ", 5) == 0 && g_ascii_isalpha(human[5]))
        len = 5 + strcspn(human + 5, " ");
    return len;
}

/* The slot that begins at *spec; false: there is no more. */
static bool slot_next(const char **spec, struct slot *slot)
{
    const char *at = *spec + strspn(*spec, " ");
    *slot = (struct slot){0};
    if (!*at)
        return false;
    size_t len = *at == '[' ? strcspn(at, "]") + 1 : strcspn(at, " ");
    *spec = at + len;
    char *word = *at == '[' ? g_strndup(at + 1, len - 2) : g_strndup(at, len), *name = word;
    slot->optional = *at == '[';
    if (*name == '/') {
        slot->format = true;
        name++;
    }
    if (*name == '-') {
        slot->flag = name[1];
        slot->flag_has_word = name[2] == '=';
        name += 3;
    }
    if (g_str_has_suffix(name, "...")) {
        slot->rest = true;
        name[strlen(name) - 3] = 0;
    }
    if (g_str_has_suffix(name, ":M")) {
        slot->mega = true;
        name[strlen(name) - 2] = 0;
    }
    g_strlcpy(slot->name, name, sizeof(slot->name));
    g_free(word);
    return true;
}

static bool names_have(const char *human, const char *name)
{
    size_t all = names_length(human), len = strlen(name);
    for (const char *at = human; at < human + all;) {
        size_t one = strcspn(at, "|");
        one = MIN(one, (size_t)(human + all - at));
        if (one == len && strncmp(at, name, len) == 0)
            return true;
        at += one + 1;
    }
    return false;
}

static const struct command *line_find(const char *name)
{
    const struct command *command;
    for (unsigned i = 0; (command = command_at(i)); i++) {
        if (command->human && names_have(command->human, name))
            return command;
    }
    return NULL;
}

/* --- Words --- */

static void skip_blanks(const char **at)
{
    while (g_ascii_isspace(**at))
        (*at)++;
}

/* The next word, quotes undone. NULL: the line has none; with *error: it does not end. */
static char *word_take(const char **at, GError **error)
{
    skip_blanks(at);
    if (!**at)
        return NULL;
    GString *word = g_string_new(NULL);
    if (**at != '"') {
        size_t len = strcspn(*at, " \t\n\r\v\f");
        g_string_append_len(word, *at, (gssize)len);
        *at += len;
        return g_string_free(word, FALSE);
    }
    const char *c = *at + 1;
    for (; *c && *c != '"'; c++) {
        static const char escaped[] = "nr\\'\"", meant[] = "\n\r\\'\"";
        const char *found = *c == '\\' && c[1] ? strchr(escaped, c[1]) : NULL;
        if (*c != '\\') {
            g_string_append_c(word, *c);
        } else if (found) {
            g_string_append_c(word, meant[found - escaped]);
            c++;
        } else {
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "unsupported escape code: '\\%c'", c[1]);
            break;
        }
    }
    if (*c != '"') {
        if (error && !*error)
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "unterminated string literal");
        g_string_free(word, TRUE);
        return NULL;
    }
    *at = c + 1;
    return g_string_free(word, FALSE);
}

/* "/10xw": count, letters of format and size, as arguments "count", "format", "size". */
static bool format_take(const char **at, json_t *args, GError **error)
{
    skip_blanks(at);
    if (**at != '/')
        return true;
    (*at)++;
    if (g_ascii_isdigit(**at)) {
        char *end;
        guint64 count = g_ascii_strtoull(*at, &end, 10);
        if (count > 1000000)
            return FAIL("at most 1000000 at a time");
        json_object_set_new(args, "count", json_integer((json_int_t)count));
        *at = end;
    }
    for (; **at && !g_ascii_isspace(**at); (*at)++) {
        char letter[2] = {**at, 0};
        if (strchr("xduoics", **at))
            json_object_set_new(args, "format", json_string(letter));
        else if (strchr("bhwg", **at))
            json_object_set_new(args, "size", json_integer(**at == 'b' ? 1 : **at == 'h' ? 2 : **at == 'w' ? 4 : 8));
        else
            return FAIL("invalid char in format: '%c'", **at);
    }
    return true;
}

static bool value_convert(const char *type, const struct slot *slot, const char *word, json_t **value, GError **error)
{
    bool on;
    uint64_t size;
    if (slot->mega) {
        if (!value_is_size(word, 20, &size))
            return FAIL("'%s' is not a size", word);
        *value = json_integer((json_int_t)size);
    } else if (strcmp(type, "bool") == 0) {
        if (!value_is_switch(word, &on))
            return FAIL("'%s' is neither on nor off", word);
        *value = json_boolean(on);
    } else {
        *value = json_text(word);
    }
    return true;
}

static bool number_take(struct command_context *context, const char **at, json_t **value, GError **error)
{
    int64_t number;
    if (!expression_parse(at, register_read, context, &number, error))
        return false;
    if (**at && !g_ascii_isspace(**at))
        return FAIL("'%c' does not belong to a number", **at);
    *value = json_integer(number);
    return true;
}

/* Flags may stand before any word. */
static bool flag_take(const struct command *command, const char **at, json_t *args, GError **error)
{
    for (;;) {
        const char *spec = command->human + names_length(command->human);
        struct slot slot;
        bool found = false;
        skip_blanks(at);
        if (**at != '-' || !g_ascii_isalpha((*at)[1]) || ((*at)[2] && !g_ascii_isspace((*at)[2])))
            return true;
        while (!found && slot_next(&spec, &slot))
            found = slot.flag == (*at)[1];
        if (!found)
            return true; /* the next word, perhaps; or told as one too many */
        *at += 2;
        if (slot.flag_has_word) {
            char *word = word_take(at, error);
            if (!word)
                return (error && *error) || FAIL("-%c: a word is missing behind it", slot.flag);
            json_object_set_new(args, slot.name, json_text(word));
            g_free(word);
        } else {
            json_object_set_new(args, slot.name, json_true());
        }
    }
}

static bool slot_take(struct command_context *context, const struct command *command, const struct slot *slot,
                      const char **at, json_t *args, GError **error)
{
    bool is_optional, ok = true;
    json_t *value = NULL;
    char *type = schema_member_type(command->args ? command->args : "", slot->name, &is_optional), *word = NULL;
    assert_always(type); /* a row of the table */
    skip_blanks(at);
    if (!**at) {
        ok = slot->optional || FAIL("%s is missing; see help", slot->name);
    } else if (slot->rest) {
        char *rest = g_strchomp(g_strdup(*at));
        value = json_text(rest);
        *at += strlen(*at);
        g_free(rest);
    } else if (strcmp(type, "int") == 0 && !slot->mega) {
        ok = number_take(context, at, &value, error);
    } else if ((word = word_take(at, error))) {
        ok = value_convert(type, slot, word, &value, error);
    } else {
        ok = false;
    }
    if (value)
        json_object_set_new(args, slot->name, value);
    g_free(word);
    g_free(type);
    return ok;
}

static bool args_take(struct command_context *context, const struct command *command, const char *at, json_t *args,
                      GError **error)
{
    const char *spec = command->human + names_length(command->human);
    struct slot slot;
    while (slot_next(&spec, &slot)) {
        if (slot.format) {
            if (!format_take(&at, args, error))
                return false;
            continue;
        }
        if (!slot.rest && !flag_take(command, &at, args, error))
            return false;
        if (!slot.flag && !slot_take(context, command, &slot, &at, args, error))
            return false;
    }
    if (!flag_take(command, &at, args, error))
        return false;
    skip_blanks(&at);
    return !*at || FAIL("extraneous characters at the end of line: '%.40s'", at);
}

/* --- Running --- */

static void run(struct command_context *context, const struct command *command, json_t *args, GString *out)
{
    GError *error = NULL;
    json_t *value = NULL;
    if (schema_check_members(command->args ? command->args : "", args, &error) && command->run)
        value = command->run(context, args, &error);
    if (error)
        g_string_append_printf(out, "Error: %s\n", error->message);
    else if (command->print)
        command->print(context, args, value, out);
    g_clear_error(&error);
    json_decref(value);
}

void command_line(struct command_context *context, const char *line, GString *out)
{
    const char *at = line;
    skip_blanks(&at);
    if (!*at || *at == '#')
        return;
    size_t len = strcspn(at, " \t\n\r/"); /* x/10i is x /10i */
    char *name = g_strndup(at, len);
    at += len;
    if (strcmp(name, "info") == 0 && at[strspn(at, " \t")]) {
        skip_blanks(&at);
        len = strcspn(at, " \t\n\r");
        char *both = g_strdup_printf("info %.*s", (int)MIN(len, 64), at);
        at += len;
        g_free(name);
        name = both;
    }
    const struct command *command = line_find(name);
    if (command) {
        GError *error = NULL;
        json_t *args = json_object();
        if (args_take(context, command, at, args, &error))
            run(context, command, args, out);
        else
            g_string_append_printf(out, "%s: %s\nTry \"help %s\" for more information\n", name, error->message, name);
        g_clear_error(&error);
        json_decref(args);
    } else if (!hooks.info || strncmp(name, "info ", 5) != 0 || !hooks.info(context, name + 5, out)) {
        g_string_append_printf(out, "unknown command: '%.64s'\n", name);
    }
    g_free(name);
}

/* --- Help --- */

static void row_print(const struct command *command, GString *out)
{
    size_t len = names_length(command->human);
    const char *spec = command->human + len;
    struct slot slot;
    g_string_append_len(out, command->human, (gssize)len);
    while (slot_next(&spec, &slot)) {
        g_string_append_printf(out, " %s", slot.optional ? "[" : "");
        if (slot.flag)
            g_string_append_printf(out, "-%c%s%s", slot.flag, slot.flag_has_word ? " " : "",
                                   slot.flag_has_word ? slot.name : "");
        else
            g_string_append_printf(out, "%s%s%s", slot.format ? "/" : "", slot.name, slot.rest ? "..." : "");
        g_string_append(out, slot.optional ? "]" : "");
    }
    g_string_append_printf(out, " -- %s\n", command->help);
}

static int by_human(gconstpointer a, gconstpointer b)
{
    const struct command *const *x = a, *const *y = b;
    return strcmp((*x)->human, (*y)->human);
}

static GPtrArray *info_words(struct command_context *context)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    if (hooks.info_words)
        hooks.info_words(context, list);
    return list;
}

void command_help(struct command_context *context, const char *about, GString *out)
{
    const struct command *command;
    bool infos = about && strcmp(about, "info") == 0;
    GPtrArray *rows = g_ptr_array_new();
    for (unsigned i = 0; (command = command_at(i)); i++) {
        if (!command->human)
            continue;
        bool is_info = names_length(command->human) > 5 && strncmp(command->human, "info ", 5) == 0;
        if (about ? (infos && is_info) || names_have(command->human, about) : !is_info)
            g_ptr_array_add(rows, (gpointer)command);
    }
    bool found = rows->len;
    g_ptr_array_sort(rows, by_human);
    for (unsigned i = 0; i < rows->len; i++)
        row_print(g_ptr_array_index(rows, i), out);
    g_ptr_array_unref(rows);
    if (infos) {
        GPtrArray *words = info_words(context);
        for (unsigned i = 0; i < words->len; i++)
            g_string_append_printf(out, "info %s -- a device's own state\n", (char *)g_ptr_array_index(words, i));
        g_ptr_array_unref(words);
    }
    if (!found)
        g_string_append_printf(out, "there is no command '%.64s'; help lists all\n", about ? about : "");
}

/* --- Completion --- */

static void names_complete(GPtrArray *list, const char *prefix, const char *word)
{
    const struct command *command;
    for (unsigned i = 0; (command = command_at(i)); i++) {
        if (!command->human || !g_str_has_prefix(command->human, prefix))
            continue;
        if (!*prefix && strncmp(command->human, "info ", 5) == 0)
            continue;
        size_t all = names_length(command->human);
        if (all <= strlen(prefix)) /* "info" itself */
            continue;
        char *names = g_strndup(command->human + strlen(prefix), all - strlen(prefix));
        char **one = g_strsplit(names, "|", -1);
        for (unsigned n = 0; one[n]; n++) {
            if (g_str_has_prefix(one[n], word))
                g_ptr_array_add(list, g_strdup(one[n]));
        }
        g_strfreev(one);
        g_free(names);
    }
}

static void argument_complete(struct command_context *context, GPtrArray *list, const struct command *command,
                              unsigned position, const char *word)
{
    const char *spec = command->human + names_length(command->human);
    struct slot slot;
    while (slot_next(&spec, &slot)) {
        if (slot.flag || slot.format)
            continue;
        if (position-- != 0)
            continue;
        GPtrArray *all = g_ptr_array_new_with_free_func(g_free);
        if (hooks.complete)
            hooks.complete(context, slot.name, all);
        for (unsigned i = 0; i < all->len; i++) {
            const char *name = g_ptr_array_index(all, i);
            if (g_str_has_prefix(name, word))
                g_ptr_array_add(list, g_strdup(name));
        }
        g_ptr_array_unref(all);
        return;
    }
}

GPtrArray *command_complete(struct command_context *context, const char *line)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    char *copy = g_strchug(g_strdup(line));
    char **words = g_strsplit_set(copy, " \t", -1);
    g_free(copy);
    unsigned count = g_strv_length(words), first = 0;
    const char *last = count ? words[count - 1] : "";
    if (count <= 1) {
        names_complete(list, "", last);
    } else if (count == 2 && strcmp(words[0], "info") == 0) {
        names_complete(list, "info ", last);
        GPtrArray *all = info_words(context);
        for (unsigned i = 0; i < all->len; i++) {
            if (g_str_has_prefix(g_ptr_array_index(all, i), last))
                g_ptr_array_add(list, g_strdup(g_ptr_array_index(all, i)));
        }
        g_ptr_array_unref(all);
    } else if (count == 2 && (strcmp(words[0], "help") == 0 || strcmp(words[0], "?") == 0)) {
        names_complete(list, "", last);
    } else {
        char *name = strcmp(words[0], "info") == 0 ? g_strdup_printf("info %s", words[++first]) : g_strdup(words[0]);
        const struct command *command = line_find(name);
        if (command)
            argument_complete(context, list, command, count - 2 - first, last);
        g_free(name);
    }
    g_strfreev(words);
    return list;
}

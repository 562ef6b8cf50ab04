/* The table of commands and the program's way to it. See command.h; the human's is in command_line.c. */
#include "command.h"

#include <string.h>

#include "log.h"

static struct {
    GPtrArray *rows;     /* const struct command * */
    GHashTable *by_name; /* of programs */
} table;

GQuark command_error(void)
{
    return g_quark_from_static_string("ringer-command");
}

const char *command_error_class(const GError *error)
{
    static const char *const names[] = {"GenericError", "CommandNotFound", "DeviceNotActive", "DeviceNotFound"};
    return names[error->domain == command_error() ? error->code : COMMAND_ERROR_GENERIC];
}

void commands_add(const struct command *rows, size_t count)
{
    if (!table.rows) {
        table.rows = g_ptr_array_new();
        table.by_name = g_hash_table_new(g_str_hash, g_str_equal);
    }
    for (size_t i = 0; i < count; i++) {
        g_ptr_array_add(table.rows, (gpointer)&rows[i]);
        if (rows[i].name) {
            bool is_new = g_hash_table_insert(table.by_name, (gpointer)rows[i].name, (gpointer)&rows[i]);
            assert_always(is_new);
        }
    }
}

const struct command *command_at(unsigned i)
{
    return table.rows && i < table.rows->len ? g_ptr_array_index(table.rows, i) : NULL;
}

const struct command *command_find(const char *name)
{
    return table.by_name ? g_hash_table_lookup(table.by_name, name) : NULL;
}

json_t *command_execute(struct command_context *context, const char *name, json_t *args, GError **error)
{
    const struct command *command = command_find(name);
    json_t *none = NULL, *value = NULL;
    if (!command)
        return COMMAND_FAIL(NOT_FOUND, "The command %s has not been found", name);
    if (!args)
        args = none = json_object();
    if (schema_check_members(command->args ? command->args : "", args, error))
        value = command->run(context, args, error);
    if (value && !command->returns) {
        json_decref(value);
        value = json_object();
    }
    json_decref(none);
    return value;
}

const char *arg_str(const json_t *args, const char *name)
{
    return json_string_value(json_object_get(args, name));
}

int64_t arg_int(const json_t *args, const char *name, int64_t otherwise)
{
    const json_t *value = json_object_get(args, name);
    return value ? json_integer_value(value) : otherwise;
}

bool arg_bool(const json_t *args, const char *name, bool otherwise)
{
    const json_t *value = json_object_get(args, name);
    return value ? json_is_true(value) : otherwise;
}

json_t *json_text(const char *text)
{
    char *valid = g_utf8_make_valid(text, -1);
    json_t *string = json_string(valid);
    g_free(valid);
    return string;
}

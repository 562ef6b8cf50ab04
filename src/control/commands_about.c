/* Of the table itself: help, and what programs ask before they ask. */
#include "commands.h"

static void print_help(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    command_help(context, arg_str(args, "name"), out);
}

static void print_info(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    command_help(context, "info", out);
}

static json_t *run_human(struct command_context *context, json_t *args, GError **error)
{
    GString *out = g_string_new(NULL);
    command_line(context, arg_str(args, "command-line"), out);
    g_string_replace(out, "\n", "\r\n", 0); /* as QEMU's, which is a terminal's */
    json_t *value = json_text(out->str);
    g_string_free(out, TRUE);
    return value;
}

static json_t *query_commands(struct command_context *context, json_t *args, GError **error)
{
    const struct command *command;
    json_t *list = json_array();
    json_array_append_new(list, json_pack("{s:s}", "name", "qmp_capabilities"));
    for (unsigned i = 0; (command = command_at(i)); i++) {
        if (command->name)
            json_array_append_new(list, json_pack("{s:s}", "name", command->name));
    }
    return list;
}

static json_t *query_events(struct command_context *context, json_t *args, GError **error)
{
    const struct event_type *event;
    json_t *list = json_array();
    for (unsigned i = 0; (event = event_at(i)); i++)
        json_array_append_new(list, json_pack("{s:s}", "name", event->name));
    return list;
}

static json_t *query_schema(struct command_context *context, json_t *args, GError **error)
{
    struct schema_writer *writer = schema_writer_new();
    const struct command *command;
    const struct event_type *event;
    schema_write_command(writer, "qmp_capabilities", "enable:[QMPCapability]?", NULL);
    for (unsigned i = 0; (command = command_at(i)); i++) {
        if (command->name)
            schema_write_command(writer, command->name, command->args, command->returns);
    }
    for (unsigned i = 0; (event = event_at(i)); i++)
        schema_write_event(writer, event->name, event->data);
    return schema_writer_free(writer);
}

static const struct schema_type types[] = {
    {"Empty", ""},
    {"QMPCapability", "<oob>"},
    {"CommandInfo", "name:str"},
    {"EventInfo", "name:str"},
    {"SchemaMetaType", "<builtin enum array object alternate command event>"},
    {"JSONType", "<string number int boolean null object array value>"},
    {"SchemaInfo", "name:str meta-type:SchemaMetaType features:[str]? | meta-type=builtin:SchemaInfoBuiltin | "
                   "meta-type=enum:SchemaInfoEnum | meta-type=array:SchemaInfoArray | "
                   "meta-type=object:SchemaInfoObject | meta-type=alternate:SchemaInfoAlternate | "
                   "meta-type=command:SchemaInfoCommand | meta-type=event:SchemaInfoEvent"},
    {"SchemaInfoBuiltin", "json-type:JSONType"},
    {"SchemaInfoEnum", "members:[SchemaInfoEnumMember] values:[str]"},
    {"SchemaInfoEnumMember", "name:str features:[str]?"},
    {"SchemaInfoArray", "element-type:str"},
    {"SchemaInfoObject", "members:[SchemaInfoObjectMember] tag:str? variants:[SchemaInfoObjectVariant]?"},
    {"SchemaInfoObjectMember", "name:str type:str default:any? features:[str]?"},
    {"SchemaInfoObjectVariant", "case:str type:str"},
    {"SchemaInfoAlternate", "members:[SchemaInfoAlternateMember]"},
    {"SchemaInfoAlternateMember", "type:str"},
    {"SchemaInfoCommand", "arg-type:str ret-type:str allow-oob:bool?"},
    {"SchemaInfoEvent", "arg-type:str"},
};

static const struct command rows[] = {
    {NULL, "help|? [name...]", "name:str?", NULL, "this list, or one command", NULL, print_help},
    {NULL, "info [item...]", "item:str?", NULL, "what is asked for; without a word: what can be", NULL, print_info},
    {NULL, "info history", NULL, NULL, "the lines given before", NULL, NULL},
    {"human-monitor-command", NULL, "command-line:str cpu-index:int?", "str", "a human's command", run_human, NULL},
    {"query-commands", NULL, NULL, "[CommandInfo]", "all commands", query_commands, NULL},
    {"query-events", NULL, NULL, "[EventInfo]", "all events", query_events, NULL},
    {"query-qmp-schema", NULL, NULL, "[SchemaInfo]", "all commands and events with their types", query_schema, NULL},
};

void commands_about_add(void)
{
    schema_add(types, G_N_ELEMENTS(types));
    commands_add(rows, G_N_ELEMENTS(rows));
}

/* qom-*: the board as a tree of objects (object.h), and which types there are. */
#include <string.h>

#include "commands.h"
#include "commands_balloon.h"
#include "cpu/cpuid.h"
#include "host/char/chardev.h"
#include "object.h"

static json_t *run_list(struct command_context *context, json_t *args, GError **error)
{
    json_t *list = object_list(context->machine, arg_str(args, "path"));
    return list ? list : COMMAND_FAIL(NO_DEVICE, "Device '%s' not found", arg_str(args, "path"));
}

static void print_list(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    size_t index;
    json_t *one;
    json_array_foreach(value, index, one)
        g_string_append_printf(out, "%s (%s)\n", arg_str(one, "name"), arg_str(one, "type"));
}

static json_t *run_get(struct command_context *context, json_t *args, GError **error)
{
    return object_get(context->machine, arg_str(args, "path"), arg_str(args, "property"), error);
}

static void print_get(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_INDENT(4));
    g_string_append_printf(out, "%s\n", text);
    free(text);
}

/* Devices are what they were made as. */
static json_t *run_set(struct command_context *context, json_t *args, GError **error)
{
    const char *path = arg_str(args, "path"), *property = arg_str(args, "property");
    json_t *value = object_get(context->machine, path, property, error);
    if (!value)
        return NULL;
    json_decref(value);
    const struct instance *instance = object_instance(context->machine, path);
    GError *why = NULL;
    if (instance && balloon_property_set(context->machine, instance, property, json_object_get(args, "value"), &why)) {
        if (!why)
            return json_object();
        g_propagate_error(error, why);
        return NULL;
    }
    if (!instance || strcmp(property, "type") == 0)
        return COMMAND_FAIL(GENERIC, "Property '%s.%s' is not writable", object_type(context->machine, path), property);
    return COMMAND_FAIL(GENERIC, "Attempt to set property '%s' on device '%s' (type '%s') after it was realized",
                        property, instance->has_id ? instance->id : "(unnamed)", instance->class->name);
}

/* --- Types --- */

static const char *const bus_parents[BUS_COUNT] = {
    [BUS_SYSTEM] = "sys-bus-device", [BUS_ISA] = "isa-device", [BUS_PCI] = "pci-device",
    [BUS_IDE] = "ide-device",        [BUS_FLOPPY] = "floppy",  [BUS_VIRTIO_SERIAL] = "virtio-serial-port",
    [BUS_USB] = "usb-device"};

/* Types that nothing is of itself, with theirs. */
static const char *const abstract_types[][2] = {{"object", NULL},
                                                {"device", "object"},
                                                {"sys-bus-device", "device"},
                                                {"isa-device", "device"},
                                                {"pci-device", "device"},
                                                {"ide-device", "device"},
                                                {"virtio-serial-port", "device"},
                                                {"usb-device", "device"},
                                                {"machine", "object"},
                                                {"cpu", "device"},
                                                {"i386-cpu", "cpu"},
                                                {"chardev", "object"}};

static const char *abstract_parent(const char *type)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(abstract_types); i++) {
        if (strcmp(abstract_types[i][0], type) == 0)
            return abstract_types[i][1];
    }
    return NULL;
}

static bool is_a(const char *parent, const char *wanted)
{
    for (; parent; parent = abstract_parent(parent)) {
        if (strcmp(parent, wanted) == 0)
            return true;
    }
    return false;
}

struct type_list {
    json_t *list;
    const char *implements; /* NULL: all */
};

static void type_add(struct type_list *types, const char *name, const char *parent, bool is_abstract)
{
    if (types->implements && strcmp(types->implements, name) != 0 && !is_a(parent, types->implements))
        return;
    json_t *one = json_pack("{s:s}", "name", name);
    if (is_abstract)
        json_object_set_new(one, "abstract", json_true());
    if (parent)
        json_object_set_new(one, "parent", json_string(parent));
    json_array_append_new(types->list, one);
}

static void chardev_type_add(void *opaque, const char *name)
{
    char *type = g_strdup_printf("chardev-%s", name);
    type_add(opaque, type, "chardev", false);
    g_free(type);
}

static json_t *run_list_types(struct command_context *context, json_t *args, GError **error)
{
    struct type_list types = {json_array(), arg_str(args, "implements")};
    const struct device_class *class;
    const char *name;
    if (arg_bool(args, "abstract", false)) {
        for (unsigned i = 0; i < G_N_ELEMENTS(abstract_types); i++)
            type_add(&types, abstract_types[i][0], abstract_types[i][1], true);
    }
    for (unsigned i = 0; (class = device_class_number(i)); i++) {
        const char *parent = bus_parents[class->bus];
        type_add(&types, class->name, strcmp(parent, class->name) == 0 ? "device" : parent, false);
    }
    for (unsigned i = 0; (name = cpu_model_name(i)); i++) {
        char *type = g_strdup_printf("%s-i386-cpu", name);
        type_add(&types, type, "i386-cpu", false);
        g_free(type);
    }
    chardev_backends_each(chardev_type_add, &types);
    const struct machine_type *machine;
    for (unsigned i = 0; (machine = machine_type_at(i)); i++) {
        char *type = g_strconcat(machine->name, "-machine", NULL);
        type_add(&types, type, "machine", false);
        g_free(type);
    }
    return types.list;
}

static json_t *properties_json(const struct device_class *class)
{
    json_t *list = json_array();
    for (const struct property *p = class->properties; p && p->name; p++) {
        json_t *one = json_pack("{s:s s:s}", "name", p->name, "type", object_property_type(p));
        uint64_t number;
        bool on;
        if (p->help)
            json_object_set_new(one, "description", json_text(p->help));
        if (p->preset && p->type == PROPERTY_NUMBER && value_is_number(p->preset, UINT64_MAX, &number))
            json_object_set_new(one, "default-value", json_integer((json_int_t)number));
        else if (p->type == PROPERTY_BOOL && value_is_switch(p->preset ? p->preset : "off", &on))
            json_object_set_new(one, "default-value", json_boolean(on));
        json_array_append_new(list, one);
    }
    if (class->bus == BUS_PCI)
        json_array_append_new(list, json_pack("{s:s s:s}", "name", "addr", "type", "int32"));
    if (class->bus == BUS_IDE || class->bus == BUS_FLOPPY)
        json_array_append_new(list, json_pack("{s:s s:s}", "name", "unit", "type", "uint32"));
    if (class->bus == BUS_IDE || class->bus == BUS_FLOPPY || class->bus == BUS_PCI)
        json_array_append_new(list, json_pack("{s:s s:s}", "name", "bootindex", "type", "int32"));
    return list;
}

static json_t *run_device_properties(struct command_context *context, json_t *args, GError **error)
{
    const struct device_class *class = device_class_find(arg_str(args, "typename"));
    return class ? properties_json(class) : COMMAND_FAIL(NO_DEVICE, "Device '%s' not found", arg_str(args, "typename"));
}

static json_t *run_properties(struct command_context *context, json_t *args, GError **error)
{
    const struct device_class *class = device_class_find(arg_str(args, "typename"));
    return class ? properties_json(class) : COMMAND_FAIL(NO_DEVICE, "Class '%s' not found", arg_str(args, "typename"));
}

/* info qom-tree: everything below a path. */
static void tree_print(struct machine *machine, const char *path, unsigned depth, GString *out)
{
    json_t *list = object_list(machine, path), *one;
    const char *name = strrchr(path, '/');
    size_t index;
    g_string_append_printf(out, "%*s/%s (%s)\n", (int)(2 * depth), "", name ? name + 1 : "",
                           object_type(machine, path) ? object_type(machine, path) : "chardev");
    json_array_foreach(list, index, one)
    {
        if (!g_str_has_prefix(arg_str(one, "type"), "child<"))
            continue;
        char *inner = g_strdup_printf("%s/%s", strcmp(path, "/") == 0 ? "" : path, arg_str(one, "name"));
        tree_print(machine, inner, depth + 1, out);
        g_free(inner);
    }
    json_decref(list);
}

static void print_tree(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    const char *path = arg_str(args, "path");
    if (!object_type(context->machine, path ? path : "/machine"))
        g_string_append_printf(out, "Path '%s' could not be resolved.\n", path);
    else
        tree_print(context->machine, path ? path : "/machine", 0, out);
}

static const struct schema_type types[] = {
    {"ObjectPropertyInfo", "name:str type:str description:str? default-value:any?"},
    {"ObjectTypeInfo", "name:str abstract:bool? parent:str?"},
};

static const struct command rows[] = {
    {"qom-list", "qom-list path", "path:str", "[ObjectPropertyInfo]", "what is under a path", run_list, print_list},
    {"qom-get", "qom-get path property", "path:str property:str", "any", "a property's value", run_get, print_get},
    {"qom-set", "qom-set path property value", "path:str property:str value:any", NULL, "give a property a value",
     run_set, NULL},
    {"qom-list-types", NULL, "implements:str? abstract:bool?", "[ObjectTypeInfo]", "all types", run_list_types, NULL},
    {"qom-list-properties", NULL, "typename:str", "[ObjectPropertyInfo]", "what a type can be given", run_properties,
     NULL},
    {"device-list-properties", NULL, "typename:str", "[ObjectPropertyInfo]", "what -device takes",
     run_device_properties, NULL},
    {NULL, "info qom-tree [path]", "path:str?", NULL, "all objects", NULL, print_tree},
};

void commands_object_add(void)
{
    schema_add(types, G_N_ELEMENTS(types));
    commands_add(rows, G_N_ELEMENTS(rows));
}

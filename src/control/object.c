/* The board as a tree of objects. See object.h. */
#include "object.h"

#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "commands_balloon.h"
#include "lock.h"
#include "cpu/cpuid.h"
#include "host/char/chardev.h"

#define UNATTACHED "/machine/unattached/"
#define PERIPHERAL "/machine/peripheral/"
#define ANONYMOUS  "/machine/peripheral-anon/"

enum place { PLACE_BOARD, PLACE_NAMED, PLACE_ANONYMOUS };

static enum place place_of(const struct instance *instance)
{
    return !instance->is_users ? PLACE_BOARD : instance->has_id ? PLACE_NAMED : PLACE_ANONYMOUS;
}

char *object_path(struct machine *machine, const struct instance *wanted)
{
    const struct instance *instance;
    unsigned number = place_of(wanted) == PLACE_BOARD; /* device[0] is the processor */
    if (place_of(wanted) == PLACE_NAMED)
        return g_strconcat(PERIPHERAL, wanted->id, NULL);
    for (unsigned i = 0; (instance = registry_instance(machine->registry, i)) != wanted; i++)
        number += place_of(instance) == place_of(wanted);
    return g_strdup_printf("%sdevice[%u]", place_of(wanted) == PLACE_BOARD ? UNATTACHED : ANONYMOUS, number);
}

const struct instance *object_instance(struct machine *machine, const char *path)
{
    const struct instance *instance;
    for (unsigned i = 0; (instance = registry_instance(machine->registry, i)); i++) {
        if (instance->has_id && strcmp(instance->id, path) == 0)
            return instance;
    }
    for (unsigned i = 0; (instance = registry_instance(machine->registry, i)); i++) {
        char *own = object_path(machine, instance);
        const char *last = strrchr(own, '/') + 1;
        bool found = strcmp(own, path) == 0 || strcmp(last, path) == 0;
        g_free(own);
        if (found)
            return instance;
    }
    return NULL;
}

const char *object_drive(const struct instance *instance)
{
    return keyvalues_get(instance->request, "drive");
}

char *object_path_of_drive(struct machine *machine, const char *drive)
{
    const struct instance *instance = registry_user(machine->registry, "drive", drive);
    return instance ? object_path(machine, instance) : NULL;
}

/* --- Properties --- */

const char *object_property_type(const struct property *property)
{
    switch (property->type) {
    case PROPERTY_BOOL:
        return "bool";
    case PROPERTY_NUMBER:
        return property->size == 1   ? "uint8"
               : property->size == 2 ? "uint16"
               : property->size == 4 ? "uint32"
                                     : "uint64";
    case PROPERTY_DRIVE:
    case PROPERTY_CHARDEV:
    default:
        return "str";
    }
}

static json_t *property_value(const struct instance *instance, const struct property *p)
{
    const uint8_t *at = (const uint8_t *)instance->config + p->offset;
    uint64_t number = 0;
    const char *text;
    switch (p->type) {
    case PROPERTY_BOOL:
        return json_boolean(*(const bool *)at);
    case PROPERTY_NUMBER:
        memcpy(&number, at, p->size);
        return json_integer((json_int_t)number);
    case PROPERTY_STRING:
        text = *(const char *const *)at;
        return json_text(text ? text : "");
    default:
        text = keyvalues_get(instance->request, p->name);
        return json_text(text ? text : "");
    }
}

/* What every device has. */
static const char *const device_common[][2] = {{"type", "string"},
                                               {"parent_bus", "link<bus>"},
                                               {"realized", "bool"},
                                               {"hotplugged", "bool"},
                                               {"hotpluggable", "bool"}};

static json_t *common_value(struct machine *machine, const struct instance *instance, const char *property)
{
    if (strcmp(property, "type") == 0)
        return json_string(instance->class->name);
    if (strcmp(property, "parent_bus") == 0) {
        char *bus = registry_bus_name(machine->registry, instance->class->bus, instance->site.bus);
        json_t *value = json_text(bus);
        g_free(bus);
        return value;
    }
    if (strcmp(property, "realized") == 0)
        return json_true();
    if (strcmp(property, "hotplugged") == 0 || strcmp(property, "hotpluggable") == 0)
        return json_false();
    return NULL;
}

static const char *machine_type(const struct machine *machine)
{
    const struct machine_type *type;
    for (unsigned i = 0; (type = machine_type_at(i)); i++) {
        if (type->is_isa == machine->options.isapc)
            break;
    }
    char *name = g_strconcat(type->name, "-machine", NULL);
    const char *interned = g_intern_string(name);
    g_free(name);
    return interned;
}

static char *cpu_type(const struct machine *machine)
{
    return g_strdup_printf("%s-i386-cpu", machine->model->name);
}

static json_t *machine_value(const struct machine *machine, const char *property)
{
    const struct options *options = &machine->options;
    if (strcmp(property, "type") == 0)
        return json_string(machine_type(machine));
    if (strcmp(property, "accel") == 0)
        return json_string(vcpu_accel_name(options->accel));
    if (strcmp(property, "hpet") == 0)
        return json_boolean(!options->no_hpet);
    if (strcmp(property, "acpi") == 0)
        return json_string(options->no_acpi || options->isapc ? "off" : "on");
    if (strcmp(property, "kernel") == 0)
        return json_text(options->kernel ? options->kernel : "");
    if (strcmp(property, "initrd") == 0)
        return json_text(options->initrd ? options->initrd : "");
    if (strcmp(property, "append") == 0)
        return json_text(options->append ? options->append : "");
    return NULL;
}

static const char *const machine_properties[][2] = {{"type", "string"},    {"accel", "string"},  {"hpet", "bool"},
                                                    {"acpi", "OnOffAuto"}, {"kernel", "string"}, {"initrd", "string"},
                                                    {"append", "string"}};

/* --- The tree --- */

static void add(json_t *list, const char *name, const char *type)
{
    json_array_append_new(list, json_pack("{s:o s:s}", "name", json_text(name), "type", type));
}

static void add_child(json_t *list, const char *name, const char *type)
{
    char *child = g_strdup_printf("child<%s>", type);
    add(list, name, child);
    g_free(child);
}

static json_t *devices_list(struct machine *machine, enum place place)
{
    const struct instance *instance;
    json_t *list = json_array();
    add(list, "type", "string");
    if (place == PLACE_BOARD) {
        char *type = cpu_type(machine);
        add_child(list, "device[0]", type);
        g_free(type);
    }
    for (unsigned i = 0; (instance = registry_instance(machine->registry, i)); i++) {
        if (place_of(instance) != place)
            continue;
        char *path = object_path(machine, instance);
        add_child(list, strrchr(path, '/') + 1, instance->class->name);
        g_free(path);
    }
    return list;
}

static json_t *instance_list(const struct instance *instance)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < G_N_ELEMENTS(device_common); i++)
        add(list, device_common[i][0], device_common[i][1]);
    for (const struct property *p = instance->class->properties; p && p->name; p++)
        add(list, p->name, object_property_type(p));
    return list;
}

static json_t *machine_list(void)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < G_N_ELEMENTS(machine_properties); i++)
        add(list, machine_properties[i][0], machine_properties[i][1]);
    add_child(list, "unattached", "container");
    add_child(list, "peripheral", "container");
    add_child(list, "peripheral-anon", "container");
    return list;
}

static void chardev_add(void *opaque, const struct chardev_description *description)
{
    add_child(opaque, description->id, "chardev");
}

static json_t *chardevs_list(void)
{
    json_t *list = json_array();
    add(list, "type", "string");
    machine_lock();
    chardev_each(chardev_add, list);
    machine_unlock();
    return list;
}

static bool is_path(const char *path, const char *name)
{
    size_t len = strlen(name);
    return strncmp(path, name, len) == 0 && (!path[len] || strcmp(path + len, "/") == 0);
}

static bool is_cpu(const char *path)
{
    return strcmp(path, UNATTACHED "device[0]") == 0;
}

const char *object_type(struct machine *machine, const char *path)
{
    if (is_path(path, "/machine"))
        return machine_type(machine);
    if (is_path(path, "") || is_path(path, "/") || is_path(path, "/chardevs") || is_path(path, "/objects") ||
        is_path(path, "/machine/unattached") || is_path(path, "/machine/peripheral") ||
        is_path(path, "/machine/peripheral-anon"))
        return "container";
    if (is_cpu(path)) {
        char *type = cpu_type(machine);
        const char *interned = g_intern_string(type);
        g_free(type);
        return interned;
    }
    const struct instance *instance = object_instance(machine, path);
    return instance ? instance->class->name : NULL;
}

json_t *object_list(struct machine *machine, const char *path)
{
    json_t *list;
    if (is_path(path, "") || is_path(path, "/")) {
        list = json_array();
        add(list, "type", "string");
        add_child(list, "machine", machine_type(machine));
        add_child(list, "chardevs", "container");
        add_child(list, "objects", "container");
        return list;
    }
    if (is_path(path, "/machine"))
        return machine_list();
    if (is_path(path, "/machine/unattached"))
        return devices_list(machine, PLACE_BOARD);
    if (is_path(path, "/machine/peripheral"))
        return devices_list(machine, PLACE_NAMED);
    if (is_path(path, "/machine/peripheral-anon"))
        return devices_list(machine, PLACE_ANONYMOUS);
    if (is_path(path, "/chardevs"))
        return chardevs_list();
    if (is_path(path, "/objects") || is_cpu(path)) {
        list = json_array();
        add(list, "type", "string");
        return list;
    }
    const struct instance *instance = object_instance(machine, path);
    return instance ? instance_list(instance) : NULL;
}

json_t *object_get(struct machine *machine, const char *path, const char *property, GError **error)
{
    const char *type = object_type(machine, path);
    json_t *value = NULL;
    if (!type) {
        g_set_error(error, command_error(), COMMAND_ERROR_NO_DEVICE, "Device '%s' not found", path);
        return NULL;
    }
    const struct instance *instance = object_instance(machine, path);
    if (is_path(path, "/machine")) {
        value = machine_value(machine, property);
    } else if (instance) {
        value = common_value(machine, instance, property);
        if (!value)
            value = balloon_property_get(machine, instance, property);
        for (const struct property *p = instance->class->properties; !value && p && p->name; p++) {
            if (strcmp(p->name, property) == 0)
                value = property_value(instance, p);
        }
    } else if (strcmp(property, "type") == 0) {
        value = json_string(type);
    }
    if (!value)
        g_set_error(error, command_error(), COMMAND_ERROR_GENERIC, "Property '%s.%s' not found", type, property);
    return value;
}

/* What users see of classes and instances: -device help, -device NAME,help, info qtree. */
#include <string.h>

#include "registry.h"
#include "registry_internal.h"

static const char *const bus_types[BUS_COUNT] = {
    [BUS_SYSTEM] = "System", [BUS_ISA] = "ISA",           [BUS_PCI] = "PCI",
    [BUS_IDE] = "IDE",       [BUS_FLOPPY] = "floppy-bus", [BUS_VIRTIO_SERIAL] = "virtio-serial-bus",
    [BUS_USB] = "usb-bus"};

static int by_name(gconstpointer a, gconstpointer b)
{
    const struct device_class *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

void device_classes_print(GString *out)
{
    GPtrArray *classes = g_ptr_array_new();
    for (unsigned i = 0; i < device_class_count(); i++) {
        if (!device_class_at(i)->internal)
            g_ptr_array_add(classes, (gpointer)device_class_at(i));
    }
    g_ptr_array_sort(classes, by_name);
    for (unsigned i = 0; i < classes->len; i++) {
        const struct device_class *class = g_ptr_array_index(classes, i);
        g_string_append_printf(out, "name \"%s\", bus %s, %s%s%sdesc \"%s\"\n", class->name, bus_types[class->bus],
                               class->alias ? "alias \"" : "", class->alias ? class->alias : "",
                               class->alias ? "\", " : "", class->help);
    }
    g_ptr_array_unref(classes);
}

static const char *type_name(const struct property *property)
{
    static const char *const names[] = {[PROPERTY_BOOL] = "bool",
                                        [PROPERTY_STRING] = "str",
                                        [PROPERTY_CHARDEV] = "id of a -chardev",
                                        [PROPERTY_DRIVE] = "id of a -drive",
                                        [PROPERTY_NETDEV] = "id of a -netdev",
                                        [PROPERTY_FSDEV] = "id of a -fsdev",
                                        [PROPERTY_AUDIODEV] = "id of an -audiodev",
                                        [PROPERTY_MAC] = "Ethernet address",
                                        [PROPERTY_ROM] = "file"};
    if (property->type != PROPERTY_NUMBER)
        return names[property->type];
    return property->size == 1 ? "uint8" : property->size == 2 ? "uint16" : property->size == 4 ? "uint32" : "uint64";
}

static void property_print(GString *out, const char *name, const char *type, const char *help, const char *preset)
{
    char left[48];
    g_snprintf(left, sizeof(left), "%s=<%s>", name, type);
    g_string_append_printf(out, "  %-28s%s%s", left, help ? "- " : "", help ? help : "");
    if (preset)
        g_string_append_printf(out, " (default: %s)", preset);
    g_string_append_c(out, '\n');
}

bool device_class_print(const char *name, GString *out)
{
    const struct device_class *class = device_class_find(name);
    if (!class)
        return false;
    g_string_append_printf(out, "%s options:\n", name);
    for (const struct property *p = class->properties; p && p->name; p++)
        property_print(out, p->name, type_name(p), p->help, p->preset);
    if (class->bus == BUS_PCI)
        property_print(out, "addr", "slot[.function]", "where on the bus, hexadecimal", NULL);
    if (class->bus == BUS_IDE || class->bus == BUS_FLOPPY)
        property_print(out, "unit", "0 or 1", "which drive of the bus", NULL);
    if (class->bus == BUS_IDE || class->bus == BUS_FLOPPY || class->bus == BUS_PCI)
        property_print(out, "bootindex", "number", "the lowest boots first", NULL);
    return true;
}

/* --- info qtree --- */

static void tree_line(GString *out, unsigned depth, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void tree_line(GString *out, unsigned depth, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_string_append_printf(out, "%*s", (int)(2 * depth), "");
    g_string_append_vprintf(out, format, args);
    g_string_append_c(out, '\n');
    va_end(args);
}

static void value_print(GString *out, unsigned depth, const struct instance *instance, const struct property *p)
{
    const uint8_t *at = (const uint8_t *)instance->config + p->offset;
    uint64_t number = 0;
    switch (p->type) {
    case PROPERTY_BOOL:
        tree_line(out, depth, "%s = %s", p->name, *(const bool *)at ? "true" : "false");
        return;
    case PROPERTY_NUMBER:
        memcpy(&number, at, p->size);
        tree_line(out, depth, "%s = %llu (0x%llx)", p->name, (unsigned long long)number, (unsigned long long)number);
        return;
    case PROPERTY_STRING:
        tree_line(out, depth, "%s = \"%s\"", p->name, *(const char *const *)at ? *(const char *const *)at : "");
        return;
    case PROPERTY_CHARDEV:
    case PROPERTY_DRIVE:
    case PROPERTY_NETDEV:
    case PROPERTY_FSDEV:
    case PROPERTY_AUDIODEV:
    case PROPERTY_MAC:
    case PROPERTY_ROM: {
        const char *id = keyvalues_get(instance->request, p->name);
        tree_line(out, depth, "%s = \"%s\"", p->name, id ? id : "");
        return;
    }
    }
}

static void bus_print(const struct registry *registry, GString *out, unsigned depth, enum device_bus bus,
                      unsigned number);

static void instance_print(const struct registry *registry, GString *out, unsigned depth,
                           const struct instance *instance)
{
    const struct device_class *class = instance->class;
    tree_line(out, depth, "dev: %s, id \"%s\"", class->name, instance->has_id ? instance->id : "");
    for (const struct property *p = class->properties; p && p->name; p++)
        value_print(out, depth + 1, instance, p);
    if (class->bus == BUS_PCI)
        tree_line(out, depth + 1, "addr = %02x.%x", instance->site.unit >> 3, instance->site.unit & 7);
    if (class->bus == BUS_IDE || class->bus == BUS_FLOPPY)
        tree_line(out, depth + 1, "unit = %u (0x%x)", instance->site.unit, instance->site.unit);
    for (unsigned n = 0; class->provides_bus != BUS_SYSTEM && n < class->provides_count; n++)
        bus_print(registry, out, depth + 1, class->provides_bus, registry_bus_first(registry, instance) + n);
}

static void bus_print(const struct registry *registry, GString *out, unsigned depth, enum device_bus bus,
                      unsigned number)
{
    const struct instance *instance;
    char *name = registry_bus_name(registry, bus, number);
    tree_line(out, depth, "bus: %s", name);
    tree_line(out, depth + 1, "type %s", bus_types[bus]);
    g_free(name);
    for (unsigned i = 0; (instance = registry_instance(registry, i)); i++) {
        if (instance->class->bus == bus && instance->site.bus == number)
            instance_print(registry, out, depth + 1, instance);
    }
}

void registry_print_tree(const struct registry *registry, GString *out)
{
    bus_print(registry, out, 0, BUS_SYSTEM, 0);
    bus_print(registry, out, 0, BUS_ISA, 0);
}

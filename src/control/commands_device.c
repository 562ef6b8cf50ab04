/* The board and what is on it: device trees, PCI, memory and ports, hot plug. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "devices/pci.h"
#include "host/usb/usb.h"
#include "lock.h"
#include "mem.h"
#include "object.h"
#include "usb.h"

/* --- Devices by their own words: "info pic" --- */

/* The word behind "info" for a device that has something to say. */
static const char *device_word(const struct instance *instance)
{
    const struct device_class *class = instance->class;
    return !class->dump ? NULL : class->info ? class->info : class->name;
}

static bool device_print(struct command_context *context, const char *word, GString *out)
{
    struct machine *machine = context->machine;
    const struct instance *instance;
    bool found = false;
    for (unsigned i = 0; (instance = registry_instance(machine->registry, i)); i++) {
        const char *own = device_word(instance);
        if (!own ||
            (strcmp(own, word) != 0 && strcmp(instance->class->name, word) != 0 && strcmp(instance->id, word) != 0))
            continue;
        machine_lock();
        instance->class->dump(instance->dev, out);
        machine_unlock();
        found = true;
    }
    return found;
}

static void device_words(struct command_context *context, GPtrArray *list)
{
    struct machine *machine = context->machine;
    const struct instance *instance;
    for (unsigned i = 0; (instance = registry_instance(machine->registry, i)); i++) {
        const char *word = device_word(instance);
        if (word && !g_ptr_array_find_with_equal_func(list, word, g_str_equal, NULL))
            g_ptr_array_add(list, g_strdup(word));
    }
}

/* --- Trees --- */

static void print_qtree(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    struct machine *machine = context->machine;
    registry_print_tree(machine->registry, out);
}

static void print_mtree(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    machine_lock();
    g_string_append(out, "address-space: memory\n");
    mem_print(out);
    g_string_append(out, "\naddress-space: I/O\n");
    ioport_print(out);
    machine_unlock();
}

static void print_usb(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    struct machine *machine = context->machine;
    machine_lock();
    usb_dump(registry_board(machine->registry), out);
    machine_unlock();
}

static void print_usbhost(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    if (usb_host_service())
        usb_host_list(out);
    else
        g_string_append(out, "USB support not enabled\n");
}

static void print_roms(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    machine_lock();
    mem_print_roms(out);
    machine_unlock();
}

/* --- PCI --- */

static const struct {
    uint16_t class;
    const char *name;
} pci_classes[] = {{0x0101, "IDE controller"}, {0x0100, "SCSI controller"},  {0x0200, "Ethernet controller"},
                   {0x0300, "VGA controller"}, {0x0401, "Audio controller"}, {0x0600, "Host bridge"},
                   {0x0601, "ISA bridge"},     {0x0604, "PCI bridge"},       {0x0680, "Bridge"},
                   {0x0c03, "USB controller"}, {0x00ff, "Class 00ff"}};

static const char *pci_class_name(unsigned class)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(pci_classes); i++) {
        if (pci_classes[i].class == class)
            return pci_classes[i].name;
    }
    return NULL;
}

static uint32_t config_word(const struct pci_device *dev, unsigned offset)
{
    return dev->config[offset] | (uint32_t)dev->config[offset + 1] << 8;
}

static json_t *pci_regions(const struct pci_device *dev)
{
    json_t *regions = json_array();
    for (unsigned i = 0; i < 6; i++) {
        const struct pci_bar *bar = &dev->bar[i];
        if (!bar->size)
            continue;
        json_t *region = json_pack("{s:i s:I s:I s:s}", "bar", i, "size", (json_int_t)bar->size, "address",
                                   bar->mapped ? (json_int_t)bar->base : -1, "type", bar->is_io ? "io" : "memory");
        if (!bar->is_io) {
            json_object_set_new(region, "prefetch", json_boolean(dev->config[PCI_BAR0 + 4 * i] & 8));
            json_object_set_new(region, "mem_type_64", json_boolean(dev->config[PCI_BAR0 + 4 * i] & 4));
        }
        json_array_append_new(regions, region);
    }
    return regions;
}

/* The id that the user gave to the device in that slot, else "". */
static const char *pci_id(struct machine *machine, unsigned devfn)
{
    const struct instance *instance;
    for (unsigned i = 0; (instance = registry_instance(machine->registry, i)); i++) {
        if (instance->class->bus == BUS_PCI && instance->site.unit == devfn && instance->has_id)
            return instance->id;
    }
    return "";
}

static json_t *pci_json(struct machine *machine, const struct pci_device *dev)
{
    unsigned class = config_word(dev, PCI_CLASS + 1);
    json_t *about = json_pack("{s:i}", "class", class);
    json_t *id =
        json_pack("{s:i s:i}", "device", config_word(dev, PCI_DEVICE_ID), "vendor", config_word(dev, PCI_VENDOR_ID));
    if (pci_class_name(class))
        json_object_set_new(about, "desc", json_string(pci_class_name(class)));
    if (config_word(dev, PCI_SUBSYSTEM)) {
        json_object_set_new(id, "subsystem-vendor", json_integer(config_word(dev, PCI_SUBSYSTEM)));
        json_object_set_new(id, "subsystem", json_integer(config_word(dev, PCI_SUBSYSTEM + 2)));
    }
    json_t *json = json_pack("{s:i s:i s:s s:i s:o s:o s:i s:o}", "irq_pin", dev->config[PCI_INTERRUPT_PIN], "bus", 0,
                             "qdev_id", pci_id(machine, dev->devfn), "slot", dev->devfn >> 3, "class_info", about, "id",
                             id, "function", dev->devfn & 7, "regions", pci_regions(dev));
    if (dev->config[PCI_INTERRUPT_PIN])
        json_object_set_new(json, "irq", json_integer(dev->config[PCI_INTERRUPT_LINE]));
    return json;
}

static json_t *query_pci(struct command_context *context, json_t *args, GError **error)
{
    struct machine *machine = context->machine;
    json_t *devices = json_array();
    machine_lock();
    struct pci_bus *bus = board_service(registry_board(machine->registry), "pci");
    for (unsigned devfn = 0; bus && devfn < 256; devfn++) {
        const struct pci_device *dev = pci_find(bus, (uint8_t)devfn);
        if (dev)
            json_array_append_new(devices, pci_json(machine, dev));
    }
    machine_unlock();
    if (bus)
        return json_pack("[{s:i s:o}]", "bus", 0, "devices", devices);
    json_decref(devices);
    return json_array();
}

static void region_print(const json_t *region, GString *out)
{
    long long address = arg_int(region, "address", -1), size = arg_int(region, "size", 0);
    if (strcmp(arg_str(region, "type"), "io") == 0)
        g_string_append_printf(out, "      BAR%lld: I/O at 0x%04llx [0x%04llx].\n",
                               (long long)arg_int(region, "bar", 0), address & 0xffff, (address + size - 1) & 0xffff);
    else
        g_string_append_printf(out, "      BAR%lld: %u bit%s memory at 0x%08llx [0x%08llx].\n",
                               (long long)arg_int(region, "bar", 0), arg_bool(region, "mem_type_64", false) ? 64 : 32,
                               arg_bool(region, "prefetch", false) ? " prefetchable" : "", address & 0xffffffff,
                               (address + size - 1) & 0xffffffff);
}

static void print_pci(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    const json_t *devices = json_object_get(json_array_get(value, 0), "devices");
    size_t index, number;
    json_t *one, *region;
    json_array_foreach((json_t *)devices, index, one)
    {
        const json_t *about = json_object_get(one, "class_info"), *id = json_object_get(one, "id");
        g_string_append_printf(out, "  Bus  0, device %3lld, function %lld:\n", (long long)arg_int(one, "slot", 0),
                               (long long)arg_int(one, "function", 0));
        if (arg_str(about, "desc"))
            g_string_append_printf(out, "    %s", arg_str(about, "desc"));
        else
            g_string_append_printf(out, "    Class %04llx", (long long)arg_int(about, "class", 0));
        g_string_append_printf(out, ": PCI device %04llx:%04llx\n", (long long)arg_int(id, "vendor", 0),
                               (long long)arg_int(id, "device", 0));
        if (json_object_get(id, "subsystem"))
            g_string_append_printf(out, "      PCI subsystem %04llx:%04llx\n",
                                   (long long)arg_int(id, "subsystem-vendor", 0),
                                   (long long)arg_int(id, "subsystem", 0));
        if (json_object_get(one, "irq"))
            g_string_append_printf(out, "      IRQ %lld, pin %c\n", (long long)arg_int(one, "irq", 0),
                                   (char)('A' + arg_int(one, "irq_pin", 1) - 1));
        json_array_foreach(json_object_get(one, "regions"), number, region) region_print(region, out);
        g_string_append_printf(out, "      id \"%s\"\n", arg_str(one, "qdev_id"));
    }
}

/* --- Hot plug --- */

static json_t *device_add(struct machine *machine, struct keyvalues *request, GError **error)
{
    const char *driver = keyvalues_get(request, "driver"), *id = keyvalues_get(request, "id");
    const char *wanted = keyvalues_get(request, "bus");
    const struct device_class *class = driver ? device_class_find(driver) : NULL;
    bool is_going_on = false;
    if (!driver) {
        g_set_error(error, command_error(), COMMAND_ERROR_GENERIC, "Parameter 'driver' is missing");
    } else if (!class || class->internal) {
        g_set_error(error, command_error(), COMMAND_ERROR_GENERIC, "'%s' is not a valid device model name", driver);
    } else if (id && object_instance(machine, id)) {
        g_set_error(error, command_error(), COMMAND_ERROR_GENERIC, "Duplicate device ID '%s'", id);
    } else if (class->bus == BUS_USB && !board_service(registry_board(machine->registry), "usb")) {
        g_set_error(error, command_error(), COMMAND_ERROR_GENERIC, "No 'usb-bus' bus found for device '%s'", driver);
    } else if (!class->unplug || !registry_takes_hotplug(machine->registry, class->bus)) {
        char *bus = wanted ? g_strdup(wanted) : registry_bus_name(machine->registry, class->bus, 0);
        g_set_error(error, command_error(), COMMAND_ERROR_GENERIC, "Bus '%s' does not support hotplugging", bus);
        g_free(bus);
    } else {
        is_going_on = true;
    }
    if (is_going_on)
        return machine_plug(machine, request, error) ? json_object() : NULL;
    keyvalues_free(request);
    return NULL;
}

static json_t *run_device_add(struct command_context *context, json_t *args, GError **error)
{
    char *text = json_dumps(args, JSON_COMPACT);
    struct keyvalues *request = keyvalues_parse(text, "device_add", "driver", error);
    free(text);
    return request ? device_add(context->machine, request, error) : NULL;
}

/* The human's form: driver,key=value,... */
static json_t *run_device_add_line(struct command_context *context, json_t *args, GError **error)
{
    struct keyvalues *request = keyvalues_parse(arg_str(args, "device"), "device_add", "driver", error);
    return request ? device_add(context->machine, request, error) : NULL;
}

static void tell_deleted(void *opaque, const struct instance *instance)
{
    char *path = object_path(opaque, instance);
    json_t *data = json_pack("{s:s}", "path", path);
    if (instance->has_id)
        json_object_set_new(data, "device", json_string(instance->id));
    event_emit("DEVICE_DELETED", data);
    g_free(path);
}

static json_t *run_device_del(struct command_context *context, json_t *args, GError **error)
{
    struct machine *machine = context->machine;
    const char *id = arg_str(args, "id");
    const struct instance *instance = object_instance(machine, id);
    if (!instance)
        return COMMAND_FAIL(NO_DEVICE, "Device '%s' not found", id);
    return machine_unplug(machine, instance, tell_deleted, machine, error) ? json_object() : NULL;
}

/* --- Boards --- */

static json_t *query_machines(struct command_context *context, json_t *args, GError **error)
{
    const struct machine_type *type;
    json_t *list = json_array();
    for (unsigned i = 0; (type = machine_type_at(i)); i++) {
        char *cpu = g_strdup_printf("%s-i386-cpu", type->cpu);
        json_t *one =
            json_pack("{s:s s:i s:b s:b s:b s:s s:s}", "name", type->name, "cpu-max", 1, "hotpluggable-cpus", 0,
                      "numa-mem-supported", 0, "deprecated", 0, "default-cpu-type", cpu, "default-ram-id", "pc.ram");
        if (type->alias)
            json_object_set_new(one, "alias", json_string(type->alias));
        if (i == 0)
            json_object_set_new(one, "is-default", json_true());
        json_array_append_new(list, one);
        g_free(cpu);
    }
    return list;
}

static json_t *run_rtc_reset(struct command_context *context, json_t *args, GError **error)
{
    return json_object(); /* ticks that a guest has missed are not made up for by more of them, so none wait */
}

static const struct schema_type types[] = {
    {"MachineInfo", "name:str alias:str? is-default:bool? cpu-max:int hotpluggable-cpus:bool numa-mem-supported:bool "
                    "deprecated:bool default-cpu-type:str? default-ram-id:str?"},
    {"PciDeviceClass", "desc:str? class:int"},
    {"PciDeviceId", "device:int vendor:int subsystem:int? subsystem-vendor:int?"},
    {"PciMemoryRegion", "bar:int type:str address:int size:int prefetch:bool? mem_type_64:bool?"},
    {"PciDeviceInfo", "bus:int slot:int function:int class_info:PciDeviceClass id:PciDeviceId irq:int? irq_pin:int "
                      "qdev_id:str regions:[PciMemoryRegion]"},
    {"PciInfo", "bus:int devices:[PciDeviceInfo]"},
};

static const struct command rows[] = {
    {NULL, "info qtree", NULL, NULL, "all devices on their buses", NULL, print_qtree},
    {NULL, "info mtree [-f:flat]", "flat:bool?", NULL, "memory and I/O ports", NULL, print_mtree},
    {NULL, "info usb", NULL, NULL, "USB devices", NULL, print_usb},
    {NULL, "info usbhost", NULL, NULL, "USB devices of the host", NULL, print_usbhost},
    {NULL, "info roms", NULL, NULL, "ROMs", NULL, print_roms},
    {"query-pci", "info pci", NULL, "[PciInfo]", "devices on the PCI bus", query_pci, print_pci},
    {"device_add", NULL, "driver:str bus:str? id:str? *", NULL, "one more device", run_device_add, NULL},
    {NULL, "device_add device", "device:str", NULL, "one more device, as -device has it", run_device_add_line, NULL},
    {"device_del", "device_del id", "id:str", NULL, "take a device away", run_device_del, NULL},
    {"query-machines", NULL, NULL, "[MachineInfo]", "what -machine knows", query_machines, NULL},
    {"rtc-reset-reinjection", NULL, NULL, NULL, "forget ticks that the guest has missed", run_rtc_reset, NULL},
};

static const struct event_type events[] = {{"DEVICE_DELETED", "device:str? path:str"}};

void commands_device_add(void)
{
    events_add(events, G_N_ELEMENTS(events));
    schema_add(types, G_N_ELEMENTS(types));
    commands_add(rows, G_N_ELEMENTS(rows));
    command_set_info_fallback(device_print, device_words);
}

/* Classes, instances, wires: see registry.h. What -device and info qtree print: registry_print.c. */
#include "registry.h"

#include <string.h>

#include "backend.h"
#include "devices/pci.h"
#include "log.h"
#include "registry_internal.h"
#include "usb.h"

extern const struct device_class *const __start_device_classes[];
extern const struct device_class *const __stop_device_classes[];

struct irq_sink {
    void (*set)(void *opaque, int line, bool level);
    void *opaque;
};

/* One of the devices that drive an interrupt line. */
struct irq_driver {
    struct registry *registry;
    bool level;
};

struct bus_hook {
    void (*hook)(void *opaque);
    void *opaque;
};

struct global {
    char *driver, *property, *value;
    bool used;
};

struct registry {
    struct board board; /* first */
    struct registry_backends backends;
    GPtrArray *instances;
    GPtrArray *globals;
    GHashTable *wires;    /* name: struct irq */
    GHashTable *services; /* name: whatever it is */
    GArray *sinks, *hooks;
    GPtrArray *drivers;                  /* struct irq_driver */
    unsigned driven[2 * BOARD_LINE_PCI]; /* by how many of them the line is high */
    uint64_t requests[2 * BOARD_LINE_PCI];
};

#define FAIL(...) (g_set_error(error, registry_error(), 0, __VA_ARGS__), false)

static GQuark registry_error(void)
{
    return g_quark_from_static_string("ringer-device");
}

/* --- Classes --- */

unsigned device_class_count(void)
{
    return (unsigned)(__stop_device_classes - __start_device_classes);
}

const struct device_class *device_class_at(unsigned i)
{
    return __start_device_classes[i];
}

const struct device_class *device_class_number(unsigned i)
{
    return i < device_class_count() ? device_class_at(i) : NULL;
}

const struct device_class *device_class_find(const char *name)
{
    for (unsigned i = 0; i < device_class_count(); i++) {
        const struct device_class *class = device_class_at(i);
        if (strcmp(class->name, name) == 0 || (class->alias && strcmp(class->alias, name) == 0))
            return class;
    }
    return NULL;
}

const struct property *device_class_property(const struct device_class *class, const char *name)
{
    for (const struct property *p = class->properties; p && p->name; p++) {
        if (strcmp(p->name, name) == 0)
            return p;
    }
    return NULL;
}

/* --- Wires and services --- */

static struct registry *registry_of(struct board *board)
{
    return (struct registry *)board;
}

static struct irq wire(struct board *board, const char *name)
{
    const struct irq *irq = g_hash_table_lookup(registry_of(board)->wires, name);
    return irq ? *irq : (struct irq){0};
}

static void provide_wire(struct board *board, const char *name, struct irq irq)
{
    g_hash_table_replace(registry_of(board)->wires, g_strdup(name), g_memdup2(&irq, sizeof(irq)));
}

static void *service(struct board *board, const char *name)
{
    return g_hash_table_lookup(registry_of(board)->services, name);
}

static void provide(struct board *board, const char *name, void *what)
{
    g_hash_table_replace(registry_of(board)->services, g_strdup(name), what);
}

/* An interrupt line is high while any of its drivers holds it so, and goes to each controller: two serial ports on one
 * line do not take each other's requests away. */
static void line_set(void *opaque, int line, bool level)
{
    struct irq_driver *driver = opaque;
    struct registry *registry = driver->registry;
    if (level != driver->level)
        registry->driven[line] += level ? 1 : -1u;
    if (level && !driver->level && registry->driven[line] == 1)
        registry->requests[line]++;
    driver->level = level;
    level = registry->driven[line] > 0;
    for (unsigned i = 0; i < registry->sinks->len; i++) {
        const struct irq_sink *sink = &g_array_index(registry->sinks, struct irq_sink, i);
        sink->set(sink->opaque, line, level);
    }
}

uint64_t registry_irq_requests(const struct registry *registry, unsigned line)
{
    return line < BOARD_LINE_PCI ? registry->requests[line] + registry->requests[line + BOARD_LINE_PCI] : 0;
}

static struct irq line_driver(struct registry *registry, int line)
{
    struct irq_driver *driver = g_new0(struct irq_driver, 1);
    driver->registry = registry;
    g_ptr_array_add(registry->drivers, driver);
    return (struct irq){line_set, driver, line};
}

static struct irq isa_irq(struct board *board, unsigned line)
{
    return line_driver(registry_of(board), (int)(line & 15));
}

static struct irq pci_irq(struct board *board, unsigned line)
{
    return line_driver(registry_of(board), (int)(line & 15) + BOARD_LINE_PCI);
}

static void add_irq_sink(struct board *board, void (*set)(void *opaque, int line, bool level), void *opaque)
{
    struct irq_sink sink = {set, opaque};
    g_array_append_val(registry_of(board)->sinks, sink);
}

static void add_bus_hook(struct board *board, void (*hook)(void *opaque), void *opaque)
{
    struct bus_hook entry = {hook, opaque};
    g_array_append_val(registry_of(board)->hooks, entry);
}

void registry_bus_granted(struct registry *registry)
{
    for (unsigned i = 0; i < registry->hooks->len; i++) {
        const struct bus_hook *entry = &g_array_index(registry->hooks, struct bus_hook, i);
        entry->hook(entry->opaque);
    }
}

struct board *registry_board(struct registry *registry)
{
    return &registry->board;
}

/* --- Life --- */

static void global_free(gpointer opaque)
{
    struct global *global = opaque;
    g_free(global->driver);
    g_free(global->property);
    g_free(global->value);
    g_free(global);
}

static void instance_free(struct instance *instance)
{
    if (instance->dev && instance->class->destroy)
        instance->class->destroy(instance->dev);
    keyvalues_free(instance->request);
    g_ptr_array_unref(instance->strings);
    g_free(instance->config);
    g_free(instance->id);
    g_free(instance);
}

struct registry *registry_new(const struct registry_backends *backends)
{
    static const struct board_ops ops = {wire,    provide_wire, service,      provide,
                                         isa_irq, pci_irq,      add_irq_sink, add_bus_hook};
    struct registry *registry = g_new0(struct registry, 1);
    registry->board.ops = &ops;
    registry->backends = *backends;
    registry->instances = g_ptr_array_new();
    registry->globals = g_ptr_array_new_with_free_func(global_free);
    registry->wires = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    registry->services = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    registry->drivers = g_ptr_array_new_with_free_func(g_free);
    registry->sinks = g_array_new(FALSE, FALSE, sizeof(struct irq_sink));
    registry->hooks = g_array_new(FALSE, FALSE, sizeof(struct bus_hook));
    return registry;
}

void registry_free(struct registry *registry)
{
    for (unsigned i = registry->instances->len; i-- > 0;)
        instance_free(g_ptr_array_index(registry->instances, i));
    g_ptr_array_unref(registry->instances);
    g_ptr_array_unref(registry->globals);
    g_hash_table_unref(registry->wires);
    g_hash_table_unref(registry->services);
    g_ptr_array_unref(registry->drivers);
    g_array_unref(registry->sinks);
    g_array_unref(registry->hooks);
    g_free(registry);
}

void registry_reset(struct registry *registry)
{
    for (unsigned i = 0; i < registry->instances->len; i++) {
        const struct instance *instance = g_ptr_array_index(registry->instances, i);
        if (instance->class->reset)
            instance->class->reset(instance->dev);
    }
}

const struct instance *registry_instance(const struct registry *registry, unsigned i)
{
    return i < registry->instances->len ? g_ptr_array_index(registry->instances, i) : NULL;
}

void registry_set_global(struct registry *registry, const char *driver, const char *property, const char *value)
{
    struct global *global = g_new0(struct global, 1);
    global->driver = g_strdup(driver);
    global->property = g_strdup(property);
    global->value = g_strdup(value);
    g_ptr_array_add(registry->globals, global);
}

const char *registry_unused_global(const struct registry *registry)
{
    for (unsigned i = 0; i < registry->globals->len; i++) {
        const struct global *global = g_ptr_array_index(registry->globals, i);
        if (!global->used)
            return global->driver;
    }
    return NULL;
}

/* --- Properties --- */

static void number_put(void *at, uint32_t size, uint64_t number)
{
    memcpy(at, &number, size); /* little endian */
}

const struct instance *registry_user(const struct registry *registry, const char *key, const char *id)
{
    for (unsigned i = 0; i < registry->instances->len; i++) {
        const struct instance *other = g_ptr_array_index(registry->instances, i);
        const char *taken = keyvalues_get(other->request, key);
        if (taken && strcmp(taken, id) == 0)
            return other;
    }
    return NULL;
}

/* QEMU's addresses for cards that are given none: the first free of 52:54:00:12:34:56 up. */
static void mac_next(const struct registry *registry, char mac[18])
{
    for (unsigned last = 0x56; last < 0x100; last++) {
        g_snprintf(mac, 18, "52:54:00:12:34:%02x", last);
        if (!registry_user(registry, "mac", mac))
            break;
    }
}

/* text NULL: what the property is when nobody says anything. */
static bool property_set(struct registry *registry, struct instance *instance, const struct property *property,
                         const char *text, GError **error)
{
    uint8_t *at = (uint8_t *)instance->config + property->offset;
    bool is_preset = !text, on;
    const struct instance *other;
    uint64_t number;

    if (is_preset && property->type == PROPERTY_DRIVE && property->max != DRIVE_NEEDED && registry->backends.empty) {
        const struct device_drive *drive =
            registry->backends.empty(registry->backends.opaque, instance->id, property->max == DRIVE_EMPTY_CD, error);
        if (drive) { /* it is told as if it had been given */
            keyvalues_add(instance->request, property->name, drive->id);
            (void)keyvalues_get(instance->request, property->name);
        }
        *(const struct device_drive **)at = drive;
        return drive;
    }
    if (is_preset && property->type == PROPERTY_MAC) {
        char mac[18]; /* told as if it had been given */
        mac_next(registry, mac);
        keyvalues_add(instance->request, property->name, mac);
        text = keyvalues_get(instance->request, property->name);
    } else if (is_preset && !(text = property->preset)) {
        return true;
    }
    switch (property->type) {
    case PROPERTY_BOOL:
        if (!value_is_switch(text, &on))
            return FAIL("%s: '%s' is on or off, not '%s'", instance->id, property->name, text);
        *(bool *)at = on;
        return true;
    case PROPERTY_NUMBER:
        if (!value_is_number(text, is_preset ? UINT64_MAX : property->max, &number))
            return FAIL("%s: '%s' is a number from 0 to %llu, not '%s'", instance->id, property->name,
                        (unsigned long long)property->max, text);
        number_put(at, property->size, number);
        return true;
    case PROPERTY_STRING: {
        if (property->max && strlen(text) > property->max)
            return FAIL("%s: '%s' has at most %llu characters", instance->id, property->name,
                        (unsigned long long)property->max);
        char *copy = g_strdup(text);
        g_ptr_array_add(instance->strings, copy);
        *(const char **)at = copy;
        return true;
    }
    case PROPERTY_CHARDEV: {
        struct chardev *chardev =
            registry->backends.chardev ? registry->backends.chardev(registry->backends.opaque, text) : NULL;
        if (!chardev)
            return FAIL("%s: there is no -chardev with the id '%s'", instance->id, text);
        if (!chardev->is_shared && /* by way of mux=on */
            (other = registry_user(registry, "chardev", text)))
            return FAIL("%s: chardev '%s' is in %s already", instance->id, text, other->id);
        *(struct chardev **)at = chardev;
        return true;
    }
    case PROPERTY_DRIVE: {
        const struct device_drive *drive =
            registry->backends.drive ? registry->backends.drive(registry->backends.opaque, text) : NULL;
        if (!drive)
            return FAIL("%s: there is no -drive with the id '%s'", instance->id, text);
        if ((other = registry_user(registry, "drive", text)))
            return FAIL("%s: drive '%s' is in %s already", instance->id, text, other->id);
        *(const struct device_drive **)at = drive;
        return true;
    }
    case PROPERTY_NETDEV: {
        struct netdev *netdev =
            registry->backends.netdev ? registry->backends.netdev(registry->backends.opaque, text) : NULL;
        if (!netdev)
            return FAIL("%s: there is no -netdev with the id '%s'", instance->id, text);
        if ((other = registry_user(registry, "netdev", text)))
            return FAIL("%s: netdev '%s' is in %s already", instance->id, text, other->id);
        *(struct netdev **)at = netdev;
        return true;
    }
    case PROPERTY_FSDEV: {
        struct fsdev *fsdev =
            registry->backends.fsdev ? registry->backends.fsdev(registry->backends.opaque, text) : NULL;
        if (!fsdev)
            return FAIL("%s: there is no -fsdev with the id '%s'", instance->id, text);
        if ((other = registry_user(registry, "fsdev", text)))
            return FAIL("%s: fsdev '%s' is in %s already", instance->id, text, other->id);
        *(struct fsdev **)at = fsdev;
        return true;
    }
    case PROPERTY_AUDIODEV: { /* many cards may have the same */
        struct audiodev *audiodev =
            registry->backends.audiodev ? registry->backends.audiodev(registry->backends.opaque, text) : NULL;
        if (!audiodev)
            return FAIL("%s: there is no -audiodev with the id '%s'", instance->id, text);
        *(struct audiodev **)at = audiodev;
        return true;
    }
    case PROPERTY_MAC:
        if (!value_is_mac(text, at))
            return FAIL("%s: '%s' is an Ethernet address such as 52:54:00:12:34:56, not '%s'", instance->id,
                        property->name, text);
        return true;
    case PROPERTY_ROM: {
        GError *why = NULL;
        if (!*text || !registry->backends.rom)
            return true;
        const struct board_rom *rom = registry->backends.rom(registry->backends.opaque, text, &why);
        *(const struct board_rom **)at = rom;
        if (rom || is_preset) {
            g_clear_error(&why);
            return true;
        }
        g_propagate_prefixed_error(error, why, "%s: ", instance->id);
        return false;
    }
    }
    return FAIL("%s: '%s' cannot be set", instance->id, property->name);
}

static const char *global_get(struct registry *registry, const char *driver, const char *property)
{
    const char *value = NULL;
    for (unsigned i = 0; i < registry->globals->len; i++) {
        struct global *global = g_ptr_array_index(registry->globals, i);
        if (strcmp(global->driver, driver) == 0 && strcmp(global->property, property) == 0) {
            global->used = true;
            value = global->value;
        }
    }
    return value;
}

static bool config_build(struct registry *registry, struct instance *instance, GError **error)
{
    instance->config = g_malloc0(MAX(instance->class->config_size, 1u));
    for (const struct property *p = instance->class->properties; p && p->name; p++) {
        const char *given = keyvalues_get(instance->request, p->name);
        const char *everywhere = global_get(registry, instance->class->name, p->name);
        if (!property_set(registry, instance, p, given ? given : everywhere, error))
            return false;
    }
    return true;
}

/* --- Buses --- */

/* Names as in -device bus=; the kind of a bus is the part before the dot. */
static const char *const bus_names[BUS_COUNT] = {[BUS_SYSTEM] = "main-system-bus",
                                                 [BUS_ISA] = "isa",
                                                 [BUS_PCI] = "pci",
                                                 [BUS_IDE] = "ide",
                                                 [BUS_FLOPPY] = "floppy-bus",
                                                 [BUS_VIRTIO_SERIAL] = "virtio-serial-bus",
                                                 [BUS_USB] = "usb-bus"};

/* Who has bus `number` of this kind, which is its bus *within; NULL: nobody. Of the board's kinds there is one owner.
 */
static const struct instance *bus_owner(const struct registry *registry, enum device_bus bus, unsigned number,
                                        unsigned *within)
{
    for (unsigned i = 0; i < registry->instances->len; i++) {
        const struct instance *instance = g_ptr_array_index(registry->instances, i);
        if (instance->class->provides_bus != bus)
            continue;
        *within = number;
        if (number < instance->class->provides_count)
            return instance;
        number -= instance->class->provides_count;
    }
    return NULL;
}

static unsigned bus_count(const struct registry *registry, enum device_bus bus)
{
    unsigned count = 0, within;
    while (bus_owner(registry, bus, count, &within))
        count++;
    return count;
}

unsigned registry_bus_first(const struct registry *registry, const struct instance *owner)
{
    unsigned number = 0, within;
    while (bus_owner(registry, owner->class->provides_bus, number, &within) != owner)
        number++;
    return number;
}

/* A controller's of the user's is named after it, the others are numbered. */
char *registry_bus_name(const struct registry *registry, enum device_bus bus, unsigned number)
{
    unsigned within, nameless = 0;
    if (bus == BUS_SYSTEM)
        return g_strdup(bus_names[bus]);
    if (bus != BUS_VIRTIO_SERIAL && bus != BUS_USB)
        return g_strdup_printf("%s.%u", bus_names[bus], number);
    const struct instance *owner = bus_owner(registry, bus, number, &within);
    if (owner && owner->has_id)
        return g_strdup_printf("%s.%u", owner->id, within);
    for (unsigned i = 0; i < number; i++)
        nameless += !bus_owner(registry, bus, i, &within)->has_id;
    return g_strdup_printf("%s.%u", bus_names[bus], nameless);
}

static bool unit_is_taken(const struct registry *registry, enum device_bus bus, unsigned number, unsigned unit)
{
    for (unsigned i = 0; i < registry->instances->len; i++) {
        const struct instance *other = g_ptr_array_index(registry->instances, i);
        if (other->class->bus == bus && other->site.bus == number && other->site.unit == unit)
            return true;
    }
    return false;
}

#define PCI_SLOTS     32
#define UNITS_PER_BUS 2 /* IDE channels and floppy controllers have two drives */

/* "5", "05.1", "0x5": slot and function, both hexadecimal as in QEMU. */
static bool pci_addr_parse(const char *text, uint8_t *devfn)
{
    char *end;
    unsigned long slot = strtoul(text, &end, 16), function = 0;
    if (end == text || (*end && *end != '.'))
        return false;
    if (*end == '.') {
        const char *second = end + 1;
        function = strtoul(second, &end, 16);
        if (end == second || *end)
            return false;
    }
    *devfn = PCI_DEVFN(slot, function);
    return slot < PCI_SLOTS && function < 8;
}

static bool pci_place(struct registry *registry, struct instance *instance, GError **error)
{
    struct pci_bus *bus = service(&registry->board, "pci");
    const char *addr = keyvalues_get(instance->request, "addr");
    uint8_t devfn = 0;

    if (addr && !pci_addr_parse(addr, &devfn))
        return FAIL("%s: addr= is a slot from 0 to 1f and perhaps a function, as in addr=5 or addr=5.1, not '%s'",
                    instance->id, addr);
    /* QEMU's; here the bus knows by itself. */
    const char *multifunction = keyvalues_get(instance->request, "multifunction");
    bool ignored;
    if (multifunction && !value_is_switch(multifunction, &ignored))
        return FAIL("%s: multifunction= is on or off, not '%s'", instance->id, multifunction);
    if (addr && pci_find(bus, devfn))
        return FAIL("%s: PCI slot %x.%x is taken", instance->id, devfn >> 3, devfn & 7);
    if (!addr && instance->class->internal) {
        devfn = (uint8_t)instance->class->devfn;
    } else if (!addr) {
        unsigned slot = 2;
        while (slot < PCI_SLOTS && pci_find(bus, PCI_DEVFN(slot, 0)))
            slot++;
        if (slot == PCI_SLOTS)
            return FAIL("%s: all PCI slots are taken", instance->id);
        devfn = PCI_DEVFN(slot, 0);
    }
    instance->site.unit = devfn;
    return true;
}

/* IDE and floppies: on the bus that was asked for, or the first with a free unit. */
static bool unit_place(struct registry *registry, struct instance *instance, bool has_bus, GError **error)
{
    enum device_bus bus = instance->class->bus;
    const char *wanted = keyvalues_get(instance->request, "unit");
    uint64_t unit = 0;
    unsigned within;
    const struct instance *owner = bus_owner(registry, bus, 0, &within);

    if (wanted && !value_is_number(wanted, UNITS_PER_BUS - 1, &unit))
        return FAIL("%s: unit= is 0 or 1, not '%s'", instance->id, wanted);
    for (unsigned number = 0; number < owner->class->provides_count; number++) {
        if (has_bus && number != instance->site.bus)
            continue;
        for (unsigned n = 0; n < UNITS_PER_BUS; n++) {
            if ((wanted && n != unit) || unit_is_taken(registry, bus, number, n))
                continue;
            instance->site.bus = number;
            instance->site.unit = n;
            instance->site.controller = owner->dev;
            return true;
        }
    }
    return FAIL("%s: %s", instance->id,
                wanted ? "that unit of the bus is taken" : "all drives that the controller can have are there");
}

/* Which ports there are, and how many, is the controller's matter: the first one takes those that name none. */
static bool serial_place(struct registry *registry, struct instance *instance, bool has_bus, GError **error)
{
    unsigned within;
    if (!has_bus)
        instance->site.bus = 0;
    instance->site.controller = bus_owner(registry, BUS_VIRTIO_SERIAL, instance->site.bus, &within)->dev;
    return true;
}

/* Which ports there are is the controller's matter, too: the first one with a free port. The last port of one that is
 * not asked for by name becomes a hub, as in QEMU. */
static bool usb_place(struct registry *registry, struct instance *instance, bool has_bus, GError **error)
{
    unsigned within, count = bus_count(registry, BUS_USB), number = has_bus ? instance->site.bus : 0;
    struct usb_bus *bus = NULL;
    for (; number < count; number++) {
        bus = usb_bus_of(&registry->board, bus_owner(registry, BUS_USB, number, &within)->dev);
        if (bus && (has_bus || usb_bus_free_ports(bus)))
            break; /* a companion has none of its own */
    }
    if (number == count)
        return FAIL("%s: all USB ports are taken", instance->id);
    instance->site.bus = number;
    instance->site.controller = bus;
    if (keyvalues_get(instance->request, "port") || strcmp(instance->class->name, "usb-hub") == 0 ||
        usb_bus_free_ports(bus) != 1)
        return true;
    char *name = registry_bus_name(registry, BUS_USB, number);
    GError *ignored = NULL; /* hubs are too deep, or there are none: then it takes the port itself */
    if (!registry_add_pairs(registry, &ignored, "usb-hub", "bus", name, NULL))
        g_clear_error(&ignored);
    g_free(name);
    return true;
}

static bool place(struct registry *registry, struct instance *instance, GError **error)
{
    enum device_bus bus = instance->class->bus;
    const char *wanted = keyvalues_get(instance->request, "bus");
    unsigned count = bus_count(registry, bus), number = 0;
    bool is_there = bus == BUS_SYSTEM || bus == BUS_ISA || count;

    if (!is_there && bus == BUS_VIRTIO_SERIAL)
        return FAIL("%s: No '%s' bus found for device '%s': put a -device virtio-serial before it", instance->id,
                    bus_names[bus], instance->class->name);
    if (!is_there && bus == BUS_USB)
        return FAIL("%s: No '%s' bus found for device '%s': give -usb, or a controller before it", instance->id,
                    bus_names[bus], instance->class->name);
    if (!is_there)
        return FAIL("%s: this machine has no %s bus", instance->id, bus_names[bus]);
    if (wanted) {
        for (count = MAX(count, 1); number < count; number++) {
            char *name = registry_bus_name(registry, bus, number);
            bool same = strcmp(name, wanted) == 0;
            g_free(name);
            if (same)
                break;
        }
        if (number == count)
            return FAIL("%s: it goes to a %s bus, and '%s' is none here; leave bus= out, or see 'info qtree'",
                        instance->id, bus_names[bus], wanted);
        instance->site.bus = number;
    }
    if (bus == BUS_PCI)
        return pci_place(registry, instance, error);
    if (bus == BUS_IDE || bus == BUS_FLOPPY)
        return unit_place(registry, instance, wanted, error);
    if (bus == BUS_VIRTIO_SERIAL)
        return serial_place(registry, instance, wanted, error);
    if (bus == BUS_USB)
        return usb_place(registry, instance, wanted, error);
    return true;
}

/* --- Instances --- */

static const struct instance *instance_find(const struct registry *registry, const char *id)
{
    for (unsigned i = 0; i < registry->instances->len; i++) {
        const struct instance *instance = g_ptr_array_index(registry->instances, i);
        if (strcmp(instance->id, id) == 0)
            return instance;
    }
    return NULL;
}

static bool id_settle(struct registry *registry, struct instance *instance, GError **error)
{
    const char *id = keyvalues_get(instance->request, "id");
    if (id && !g_ascii_isalpha(*id))
        return FAIL("-device: an id begins with a letter, unlike '%s'", id);
    if (id && instance_find(registry, id))
        return FAIL("-device: two devices have the id '%s'", id);
    instance->has_id = id;
    if (id) {
        instance->id = g_strdup(id);
        return true;
    }
    unsigned number = 0;
    do { /* one before it may be gone */
        g_free(instance->id);
        instance->id = g_strdup_printf("%s/%u", instance->class->name, number++);
    } while (instance_find(registry, instance->id));
    return true;
}

static bool instance_build(struct registry *registry, struct instance *instance, bool user, GError **error)
{
    const char *driver = keyvalues_get(instance->request, "driver");
    const char *bootindex;
    uint64_t number;

    if (!driver)
        return FAIL("-device: which device? -device help lists them");
    instance->class = device_class_find(driver);
    if (!instance->class)
        return FAIL("-device: there is no '%s'; -device help lists what there is", driver);
    if (user && instance->class->internal)
        return FAIL("-device: '%s' is part of the board, which has it already", driver);
    if (!id_settle(registry, instance, error))
        return false;
    bootindex = keyvalues_get(instance->request, "bootindex");
    if (bootindex && !value_is_number(bootindex, INT32_MAX, &number))
        return FAIL("%s: bootindex= is a number, not '%s'", instance->id, bootindex);
    instance->bootindex = bootindex ? (int)number : -1;
    if (!place(registry, instance, error) || !config_build(registry, instance, error))
        return false;
    const char *unknown = keyvalues_unused(instance->request);
    if (unknown)
        return FAIL("%s: there is no property '%s'; -device %s,help lists them", instance->id, unknown, driver);
    instance->site.board = &registry->board;
    instance->site.id = instance->id;
    instance->dev = instance->class->create(&instance->site, instance->config, error);
    return instance->dev;
}

bool registry_add(struct registry *registry, struct keyvalues *request, bool user, GError **error)
{
    struct instance *instance = g_new0(struct instance, 1);
    instance->request = request;
    instance->is_users = user;
    instance->strings = g_ptr_array_new_with_free_func(g_free);
    if (!instance_build(registry, instance, user, error)) {
        instance_free(instance);
        return false;
    }
    g_ptr_array_add(registry->instances, instance);
    return true;
}

bool registry_add_row(struct registry *registry, const char *row, GError **error)
{
    struct keyvalues *request = keyvalues_parse(row, "board", "driver", error);
    return request && registry_add(registry, request, false, error);
}

bool registry_add_pairs(struct registry *registry, GError **error, const char *driver, ...)
{
    struct keyvalues *request = keyvalues_new();
    const char *key;
    va_list args;
    keyvalues_add(request, "driver", driver);
    va_start(args, driver);
    while ((key = va_arg(args, const char *)))
        keyvalues_add(request, key, va_arg(args, const char *));
    va_end(args);
    return registry_add(registry, request, false, error);
}

/* --- Coming and going --- */

bool registry_takes_hotplug(const struct registry *registry, enum device_bus bus)
{
    unsigned within;
    const struct instance *owner = bus_owner(registry, bus, 0, &within);
    return owner && owner->class->takes_hotplug;
}

/* Behind that hub. */
static bool is_behind(const struct instance *instance, const struct instance *hub)
{
    if (instance->class->bus != BUS_USB || hub->class->bus != BUS_USB || instance->site.bus != hub->site.bus)
        return false;
    const struct usb_port *port = ((const struct usb_device *)instance->dev)->port;
    const struct usb_port *above = ((const struct usb_device *)hub->dev)->port;
    return port && above && port->depth > above->depth && g_str_has_prefix(port->path, above->path) &&
           port->path[strlen(above->path)] == '.';
}

bool registry_remove(struct registry *registry, const struct instance *instance,
                     void (*going)(void *opaque, const struct instance *instance), void *opaque, GError **error)
{
    if (!instance->class->unplug) {
        char *bus = registry_bus_name(registry, instance->class->bus, instance->site.bus);
        bool ok = FAIL("Bus '%s' does not support hotplugging", bus);
        g_free(bus);
        return ok;
    }
    for (unsigned i = registry->instances->len; i-- > 0;) {
        const struct instance *other = registry_instance(registry, i);
        if (other && is_behind(other, instance) && !registry_remove(registry, other, going, opaque, error))
            return false;
    }
    instance->class->unplug(instance->dev);
    going(opaque, instance);
    g_ptr_array_remove(registry->instances, (gpointer)instance);
    instance_free((struct instance *)instance);
    return true;
}

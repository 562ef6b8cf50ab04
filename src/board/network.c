/* What the command line says of networks, made: back ends, cards, and objects (-object), which so far have to do with
 * them. */
#include "machine_internal.h"

#include <string.h>

#include "host/net/net.h"
#include "log.h"

bool network_open(const struct options *options, GError **error)
{
    for (unsigned i = 0; options->netdevs && i < options->netdevs->len; i++) {
        struct keyvalues *list = g_ptr_array_index(options->netdevs, i);
        if (!net_new(list, error)) {
            const char *type = keyvalues_get(list, "type");
            g_prefix_error(error, "-netdev %s: ", type ? type : "");
            return false;
        }
    }
    return true;
}

/* --- Objects --- */

/* Of those that are only named: by type and id. */
static GHashTable *named;

/* Kinds that a device may name, and that need nothing here. */
static bool is_only_named(const char *type)
{
    static const char *const types[] = {"rng-random", "rng-builtin", "iothread", "secret", "memory-backend-ram"};
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        if (strcmp(types[i], type) == 0)
            return true;
    }
    return false;
}

bool object_make(struct keyvalues *options, GError **error)
{
    const char *type = keyvalues_get(options, "qom-type"), *id = keyvalues_get(options, "id");
    if (!type || !id) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "Parameter '%s' is missing", type ? "id" : "qom-type");
        return false;
    }
    if (strcmp(type, "filter-dump") == 0)
        return net_dump_add(options, error);
    if (!is_only_named(type)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "invalid object type: %s", type);
        return false;
    }
    if (!named)
        named = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (g_hash_table_contains(named, id)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_EXIST, "attempt to add duplicate property '%s' to object", id);
        return false;
    }
    g_hash_table_add(named, g_strdup(id));
    return true;
}

bool object_delete(const char *id, GError **error)
{
    return (named && g_hash_table_remove(named, id)) || net_dump_remove(id, error);
}

bool objects_make(const struct options *options, GError **error)
{
    for (unsigned i = 0; options->objects && i < options->objects->len; i++) {
        if (!object_make(g_ptr_array_index(options->objects, i), error)) {
            g_prefix_error(error, "-object: ");
            return false;
        }
    }
    return true;
}

/* --- Cards --- */

static void request_bus(void *opaque)
{
    const struct irq *request = opaque;
    irq_set(request, true);
}

static void bus_granted(void *opaque)
{
    net_granted();
}

/* Frames are handed over as bus masters write to memory. */
static void bus_connect(struct machine *machine)
{
    struct board *board = registry_board(machine->registry);
    machine->bus_request = board_wire(board, "bus-request");
    net_set_bus(request_bus, &machine->bus_request);
    board_add_bus_hook(board, bus_granted, machine);
}

bool network_add_cards(struct machine *machine, GError **error)
{
    GPtrArray *nics = machine->options.nics;
    bus_connect(machine);
    for (unsigned i = 0; nics && i < nics->len; i++) {
        struct keyvalues *request = g_ptr_array_index(nics, i);
        if (strcmp(keyvalues_get(request, "driver"), "default") == 0)
            keyvalues_add(request, "driver", machine->options.isapc ? "ne2k_isa" : "e1000");
        const struct device_class *class = device_class_find(keyvalues_get(request, "driver"));
        if (!class || !device_class_property(class, "netdev")) {
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "Unsupported NIC model: %s",
                        keyvalues_get(request, "driver"));
            return false;
        }
        const char *mac = keyvalues_get(request, "mac");
        uint8_t bytes[6];
        if (mac && value_is_mac(mac, bytes) && (bytes[0] & 1)) { /* -device takes it, as QEMU's does */
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                        "NIC cannot have multicast MAC address '%s': its first byte is odd", mac);
            return false;
        }
        g_ptr_array_index(nics, i) = NULL;
        if (!registry_add(machine->registry, request, true, error))
            return false;
    }
    return true;
}

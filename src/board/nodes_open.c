/* -blockdev: images by names of the user's, and the drives of devices that name them. */
#include "machine_internal.h"

#include <string.h>

#include "host/block/nodes.h"

#define FAIL(...) (g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, __VA_ARGS__), false)

static bool switch_of(struct keyvalues *list, const char *key, bool *value, GError **error)
{
    const char *text = keyvalues_get(list, key);
    if (text && !value_is_switch(text, value))
        return FAIL("-blockdev: %s is on or off, not '%s'", key, text);
    return true;
}

/* "file" is the name of a node, or what is in "file." describes one without a name. */
static bool node_make(struct keyvalues *list, GError **error)
{
    static const char *const idle[] = {"discard",       "auto-read-only", "detect-zeroes", "force-share",
                                       "aio",           "locking",        "cache.direct",  "cache.writeback",
                                       "file.aio",      "file.locking",   "file.discard",  "file.auto-read-only",
                                       "file.node-name"};
    bool no_flush = false, direct = false;
    struct node node = {.name = (char *)keyvalues_get(list, "node-name"),
                        .driver = (char *)keyvalues_get(list, "driver"),
                        .path = (char *)keyvalues_get(list, "filename"),
                        .below = (char *)keyvalues_get(list, "file")};
    const char *inner = keyvalues_get(list, "file.driver"), *path = keyvalues_get(list, "file.filename");
    if (!switch_of(list, "read-only", &node.read_only, error) || !switch_of(list, "cache.no-flush", &no_flush, error) ||
        !switch_of(list, "cache.direct", &direct, error))
        return false;
    for (unsigned i = 0; i < G_N_ELEMENTS(idle); i++)
        keyvalues_get(list, idle[i]);
    const char *unknown = keyvalues_unused(list);
    if (unknown)
        return FAIL("-blockdev: Invalid parameter '%s'", unknown);
    if (!node.name || !node.driver)
        return FAIL("-blockdev: '%s' must be specified", node.name ? "driver" : "node-name");
    if (inner && strcmp(inner, "file") != 0)
        return FAIL("-blockdev: file.driver is 'file', not '%s'", inner);
    if (path)
        node.path = (char *)path;
    if (no_flush)
        node.cache = IMAGE_UNSAFE;
    if (!nodes_add(&node, error)) {
        g_prefix_error(error, "-blockdev: ");
        return false;
    }
    return true;
}

bool nodes_open(struct machine *machine, GError **error)
{
    const struct options *options = &machine->options;
    for (unsigned i = 0; options->blockdevs && i < options->blockdevs->len; i++) {
        if (!node_make(g_ptr_array_index(options->blockdevs, i), error))
            return false;
    }
    for (unsigned i = 0; options->blockdevs && options->devices && i < options->devices->len; i++) {
        struct keyvalues *device = g_ptr_array_index(options->devices, i);
        const char *drive = keyvalues_get(device, "drive"), *driver = keyvalues_get(device, "driver");
        if (!drive || storage_find(&machine->storage, drive) || !nodes_is_there(drive))
            continue;
        if (!storage_add_node(&machine->storage, drive, driver && g_str_has_suffix(driver, "-cd"), error))
            return false;
    }
    return true;
}

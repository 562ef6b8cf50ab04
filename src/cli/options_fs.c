/* The command line: folders of the host. -fsdev is a back end; -virtfs is that and its device. */
#include "options_internal.h"

#include <string.h>

bool set_fsdev(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-fsdev", "fsdriver", error);
    if (!list)
        return false;
    list_append(&parse->options->fsdevs, list);
    return true;
}

bool set_virtfs(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-virtfs", "fsdriver", error), *fsdev, *device;
    if (!list)
        return false;
    const char *tag = keyvalues_get(list, "mount_tag"), *id = keyvalues_get(list, "id");
    bool ok = tag || FAIL("-virtfs: mount_tag= is needed: the name by which the guest mounts it");
    if (ok) {
        fsdev = keyvalues_new();
        keyvalues_add(fsdev, "id", id ? id : tag);
        for (unsigned i = 0; i < list->item->len; i++) {
            const struct keyvalue *item = g_ptr_array_index(list->item, i);
            if (strcmp(item->key, "mount_tag") != 0 && strcmp(item->key, "id") != 0)
                keyvalues_add(fsdev, item->key, item->value);
        }
        device = keyvalues_new();
        keyvalues_add(device, "driver", "virtio-9p-pci");
        keyvalues_add(device, "fsdev", id ? id : tag);
        keyvalues_add(device, "mount_tag", tag);
        list_append(&parse->options->fsdevs, fsdev);
        list_append(&parse->options->devices, device);
    }
    keyvalues_free(list);
    return ok;
}

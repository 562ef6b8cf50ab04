/* bootindex=: the file "bootorder" of the firmware configuration device, a line for each such device, the lowest first.
 * Its names are Open Firmware paths as QEMU makes them; SeaBIOS reads the same.
 */
#include "machine_internal.h"

#include <string.h>

#include "devices/fw_cfg.h"

static bool is_one_of(const struct instance *instance, const char *prefix)
{
    return g_str_has_prefix(instance->class->name, prefix);
}

/* NULL: nothing can be booted from it. */
static char *path_of(const struct machine *machine, const struct instance *instance)
{
    const char *root = machine->options.isapc ? "/isa" : "/pci@i0cf8/isa@1";
    unsigned slot = instance->site.unit >> 3, function = instance->site.unit & 7;
    char place[16];

    if (instance->class->bus == BUS_FLOPPY)
        return g_strdup_printf("%s/fdc@03f0/floppy@%x", root, instance->site.unit);
    if (instance->class->bus == BUS_IDE && machine->options.isapc)
        return g_strdup_printf("/isa/ide@%04x/drive@%x/disk@0", instance->site.bus ? 0x170u : 0x1f0u,
                               instance->site.unit);
    if (instance->class->bus == BUS_IDE)
        return g_strdup_printf("/pci@i0cf8/ide@1,1/drive@%x/disk@%x", instance->site.bus, instance->site.unit);
    if (instance->class->bus != BUS_PCI)
        return NULL;
    if (function)
        g_snprintf(place, sizeof(place), "%x,%x", slot, function);
    else
        g_snprintf(place, sizeof(place), "%x", slot);
    if (is_one_of(instance, "virtio-blk-pci"))
        return g_strdup_printf("/pci@i0cf8/scsi@%s/disk@0,0", place);
    if (device_class_property(instance->class, "netdev"))
        return g_strdup_printf("/pci@i0cf8/ethernet@%s/ethernet-phy@0", place);
    return NULL;
}

static int by_index(gconstpointer a, gconstpointer b)
{
    const struct instance *x = *(const struct instance *const *)a, *y = *(const struct instance *const *)b;
    return x->bootindex < y->bootindex ? -1 : x->bootindex > y->bootindex;
}

void boot_order_offer(struct machine *machine)
{
    GPtrArray *devices = g_ptr_array_new();
    GString *text = g_string_new(NULL);
    const struct instance *instance;

    for (unsigned i = 0; (instance = registry_instance(machine->registry, i)); i++) {
        if (instance->bootindex >= 0)
            g_ptr_array_add(devices, (gpointer)instance);
    }
    g_ptr_array_sort(devices, by_index);
    for (unsigned i = 0; i < devices->len; i++) {
        char *path = path_of(machine, g_ptr_array_index(devices, i));
        if (path)
            g_string_append_printf(text, "%s%s", text->len ? "\n" : "", path);
        g_free(path);
    }
    /* once= is before anything else, and CMOS RAM has it. */
    if (text->len && !machine->options.drives.boot_once[0])
        fw_cfg_add_file(board_service(registry_board(machine->registry), "fw_cfg"), "bootorder", text->str,
                        text->len + 1);
    g_string_free(text, TRUE);
    g_ptr_array_unref(devices);
}

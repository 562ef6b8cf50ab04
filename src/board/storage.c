/* Drives, controllers and CMOS RAM.
 *
 * The CMOS bytes are those of the IBM AT (types of drives, type 47's geometry) and, for boot order and
 * translation, those that QEMU and Bochs use and their BIOSes read.
 */
#include "storage.h"

#include <string.h>

#include "devices/fdc.h"
#include "devices/ide.h"
#include "devices/rtc.h"
#include "host/block/blockdev.h"
#include "host/block/nodes.h"

#define CMOS_FLOPPY_TYPES  0x10
#define CMOS_DISK_TYPES    0x12
#define CMOS_EQUIPMENT     0x14
#define CMOS_DISK_EXTENDED 0x19 /* C:, then D: */
#define CMOS_DISK_GEOMETRY 0x1b /* nine bytes each */
#define CMOS_BOOT_THIRD    0x38
#define CMOS_TRANSLATION   0x39
#define CMOS_BOOT_ORDER    0x3d

enum translation { TRANSLATION_NONE, TRANSLATION_LBA, TRANSLATION_LARGE, TRANSLATION_RECHS };

struct geometry {
    uint16_t cylinders, heads, sectors;
    enum translation translation;
};

/* The geometry that made the partition table: its entries end at the end of a cylinder. */
static bool geometry_of_partitions(struct block *block, struct geometry *geometry)
{
    uint8_t mbr[512];
    if (!blockdev_peek(block, 0, mbr, sizeof(mbr)) || mbr[510] != 0x55 || mbr[511] != 0xaa)
        return false;
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *entry = mbr + 446 + 16 * i;
        uint32_t count = entry[12] | entry[13] << 8 | entry[14] << 16 | (uint32_t)entry[15] << 24;
        unsigned heads = entry[5] + 1u, sectors = entry[6] & 63;
        if (!count || sectors == 0 || heads == 1)
            continue;
        uint64_t cylinders = block_sectors(block) / (heads * sectors);
        if (cylinders < 1 || cylinders > 16383)
            continue;
        *geometry = (struct geometry){(uint16_t)cylinders, (uint16_t)heads, (uint16_t)sectors, 0};
        return true;
    }
    return false;
}

static struct geometry geometry_guess(struct block *block)
{
    struct geometry drive = {0}, table;
    ide_default_geometry(block_sectors(block), &drive.cylinders, &drive.heads, &drive.sectors);
    bool has_table = geometry_of_partitions(block, &table);
    if (has_table && table.heads <= 16) {
        drive = table;
        drive.translation = TRANSLATION_NONE;
    } else if (has_table) {
        /* The system that made it saw a BIOS's translation of the drive's own geometry. */
        drive.translation =
            drive.cylinders * drive.heads <= 131072 && table.heads < 128 ? TRANSLATION_LARGE : TRANSLATION_LBA;
    } else {
        drive.translation = drive.cylinders <= 1024                   ? TRANSLATION_NONE
                            : drive.cylinders * drive.heads <= 131072 ? TRANSLATION_LARGE
                                                                      : TRANSLATION_LBA;
    }
    return drive;
}

static void cmos_disk(struct rtc *rtc, unsigned n, const struct geometry *geometry)
{
    uint8_t at = (uint8_t)(CMOS_DISK_GEOMETRY + 9 * n);
    uint8_t types = rtc_get_cmos(rtc, CMOS_DISK_TYPES);

    rtc_set_cmos(rtc, CMOS_DISK_TYPES, types | (n ? 0x0f : 0xf0)); /* see the extended type */
    rtc_set_cmos(rtc, (uint8_t)(CMOS_DISK_EXTENDED + n), 47);
    rtc_set_cmos(rtc, at, (uint8_t)geometry->cylinders);
    rtc_set_cmos(rtc, at + 1, (uint8_t)(geometry->cylinders >> 8));
    rtc_set_cmos(rtc, at + 2, (uint8_t)geometry->heads);
    rtc_set_cmos(rtc, at + 3, 0xff); /* no write precompensation */
    rtc_set_cmos(rtc, at + 4, 0xff);
    rtc_set_cmos(rtc, at + 5, 0xc0 | (geometry->heads > 8 ? 0x08 : 0)); /* control byte: no retries */
    rtc_set_cmos(rtc, at + 6, (uint8_t)geometry->cylinders);            /* landing zone */
    rtc_set_cmos(rtc, at + 7, (uint8_t)(geometry->cylinders >> 8));
    rtc_set_cmos(rtc, at + 8, (uint8_t)geometry->sectors);
}

static void cmos_boot_order(struct rtc *rtc, const char *order, bool no_floppy_signature)
{
    uint8_t code[3] = {0};
    for (unsigned i = 0; i < 3 && order[i]; i++)
        code[i] = order[i] == 'a' ? 1 : order[i] == 'c' ? 2 : order[i] == 'd' ? 3 : 4;
    rtc_set_cmos(rtc, CMOS_BOOT_ORDER, (uint8_t)(code[1] << 4 | code[0]));
    rtc_set_cmos(rtc, CMOS_BOOT_THIRD, (uint8_t)(code[2] << 4 | no_floppy_signature));
}

/* --- Media --- */

struct storage_drive {
    struct device_drive base; /* first */
    enum translation translation;
};

static const struct device_drive *drive_open(struct storage *storage, const struct drive_option *option,
                                             const char *label, GError **error)
{
    if (storage_find(storage, label)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "-drive: two drives have the id '%s'", label);
        return NULL;
    }
    struct image_options image = option->image;
    image.read_only |= option->is_cd; /* nobody writes on it: others may read it, too */
    struct block *block = blockdev_open(&image, label, error);
    if (!block)
        return NULL;
    struct storage_drive *drive = g_new0(struct storage_drive, 1);
    drive->base = (struct device_drive){
        .id = g_intern_string(label), .block = block, .is_cd = option->is_cd, .serial = option->serial};
    if (block->has_medium && !option->is_cd) {
        struct geometry geometry = geometry_guess(block);
        drive->base.cylinders = geometry.cylinders;
        drive->base.heads = geometry.heads;
        drive->base.sectors = geometry.sectors;
        drive->translation = geometry.translation;
    }
    g_ptr_array_add(storage->drives, drive);
    return &drive->base;
}

bool storage_open(struct storage *storage, const struct drive_options *drives, GError **error)
{
    char label[16];

    storage->options = drives;
    storage->drives = g_ptr_array_new_with_free_func(g_free);
    for (unsigned n = 0; n < DRIVES_IDE; n++) {
        const struct drive_option *option = &drives->ide[n];
        g_snprintf(label, sizeof(label), "ide%u-%s%u", n / 2, option->is_cd ? "cd" : "hd", n % 2);
        if (option->present && !(storage->ide[n] = drive_open(storage, option, option->id ? option->id : label, error)))
            return false;
    }
    for (unsigned n = 0; n < DRIVES_FLOPPY; n++) {
        const struct drive_option *option = &drives->floppy[n];
        g_snprintf(label, sizeof(label), "floppy%u", n);
        if (option->present &&
            !(storage->floppy[n] = drive_open(storage, option, option->id ? option->id : label, error)))
            return false;
    }
    for (unsigned n = 0; n < DRIVES_VIRTIO; n++) {
        const struct drive_option *option = &drives->virtio[n];
        g_snprintf(label, sizeof(label), "virtio%u", n);
        if (option->present &&
            !(storage->virtio[n] = drive_open(storage, option, option->id ? option->id : label, error)))
            return false;
    }
    for (unsigned n = 0; n < drives->other_count; n++) {
        if (!drive_open(storage, &drives->other[n], drives->other[n].id, error))
            return false;
    }
    return true;
}

bool storage_add_devices(struct storage *storage, struct registry *registry, GError **error)
{
    for (unsigned n = 0; n < DRIVES_IDE; n++) {
        const struct device_drive *drive = storage->ide[n];
        const char *bus = n < 2 ? "ide.0" : "ide.1", *unit = n % 2 ? "1" : "0";
        if (drive && !registry_add_pairs(registry, error, drive->is_cd ? "ide-cd" : "ide-hd", "drive", drive->id, "bus",
                                         bus, "unit", unit, NULL))
            return false;
    }
    for (unsigned n = 0; n < DRIVES_FLOPPY; n++) {
        const struct device_drive *drive = storage->floppy[n];
        if (drive && !registry_add_pairs(registry, error, "floppy", "drive", drive->id, "unit", n ? "1" : "0", NULL))
            return false;
    }
    for (unsigned n = 0; n < DRIVES_VIRTIO; n++) {
        const struct device_drive *drive = storage->virtio[n];
        if (drive && !registry_add_pairs(registry, error, "virtio-blk-pci", "drive", drive->id, NULL))
            return false;
    }
    return true;
}

const struct device_drive *storage_find(void *opaque, const char *id)
{
    const struct storage *storage = opaque;
    for (unsigned i = 0; storage->drives && i < storage->drives->len; i++) {
        const struct storage_drive *drive = g_ptr_array_index(storage->drives, i);
        if (strcmp(drive->base.id, id) == 0)
            return &drive->base;
    }
    return NULL;
}

/* --- What the BIOS is told --- */

/* bootindex= of devices goes before -boot: the kinds of devices in the order of their lowest one. For each device there
 * is a line of boot_order.c. */
static void order_by_index(struct storage *storage, const struct registry *registry)
{
    static const struct {
        const char *class;
        char letter;
    } kinds[] = {{"floppy", 'a'},
                 {"ide-hd", 'c'},
                 {"virtio-blk-pci", 'c'},
                 {"virtio-blk-pci-transitional", 'c'},
                 {"virtio-blk-pci-non-transitional", 'c'},
                 {"ide-cd", 'd'}};
    const struct instance *instance;
    GString *order = g_string_new(NULL);
    int last = -1;

    for (;;) {
        const struct instance *next = NULL;
        for (unsigned i = 0; (instance = registry_instance(registry, i)); i++) {
            if (instance->bootindex > last && (!next || instance->bootindex < next->bootindex))
                next = instance;
        }
        if (!next)
            break;
        last = next->bootindex;
        if (device_class_property(next->class, "netdev") && !strchr(order->str, 'n'))
            g_string_append_c(order, 'n');
        for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
            if (strcmp(next->class->name, kinds[k].class) == 0 && !strchr(order->str, kinds[k].letter))
                g_string_append_c(order, kinds[k].letter);
        }
    }
    for (const char *at = storage->boot_order; *at && order->len; at++) {
        if (!strchr(order->str, *at))
            g_string_append_c(order, *at);
    }
    if (order->len)
        g_strlcpy(storage->boot_order, order->str, sizeof(storage->boot_order));
    g_string_free(order, TRUE);
}

bool storage_settle(struct storage *storage, const struct registry *registry, struct rtc *rtc, GError **error)
{
    const struct instance *instance;
    uint8_t translation = 0, types = 0;
    unsigned floppies = 0;

    storage->rtc = rtc;
    rtc_set_cmos(rtc, CMOS_DISK_TYPES, 0);
    for (unsigned i = 0; (instance = registry_instance(registry, i)); i++) {
        const char *id = keyvalues_get(instance->request, "drive");
        const struct storage_drive *drive = id ? (const struct storage_drive *)storage_find(storage, id) : NULL;
        unsigned n = 2 * instance->site.bus + instance->site.unit;
        if (drive && instance->class->bus == BUS_FLOPPY) {
            types |= (uint8_t)((unsigned)fdc_type_of(drive->base.block) << (instance->site.unit ? 0 : 4));
            floppies++;
        }
        if (!drive || instance->class->bus != BUS_IDE || strcmp(instance->class->name, "ide-hd") != 0)
            continue;
        struct geometry geometry = {drive->base.cylinders, drive->base.heads, drive->base.sectors, drive->translation};
        translation |= (uint8_t)(geometry.translation << (2 * n));
        if (n < 2)
            cmos_disk(rtc, n, &geometry);
    }
    rtc_set_cmos(rtc, CMOS_TRANSLATION, translation);
    rtc_set_cmos(rtc, CMOS_FLOPPY_TYPES, types);
    uint8_t equipment = rtc_get_cmos(rtc, CMOS_EQUIPMENT) & 0x3e;
    if (floppies)
        equipment |= (uint8_t)(0x01 | (floppies - 1) << 6);
    rtc_set_cmos(rtc, CMOS_EQUIPMENT, equipment);

    g_strlcpy(storage->boot_order, storage->options->boot_order, sizeof(storage->boot_order));
    order_by_index(storage, registry);
    cmos_boot_order(rtc, storage->options->boot_once[0] ? storage->options->boot_once : storage->boot_order,
                    storage->options->no_floppy_signature);
    return true;
}

void storage_end_boot_once(struct storage *storage)
{
    cmos_boot_order(storage->rtc, storage->boot_order, storage->options->no_floppy_signature);
}

const struct device_drive *storage_empty(void *storage, const char *id, bool is_cd, GError **error)
{
    struct drive_option option = {.is_cd = is_cd};
    return drive_open(storage, &option, id, error);
}

bool storage_add(struct storage *storage, const char *list, GError **error)
{
    struct drive_options *one = g_new0(struct drive_options, 1);
    bool ok = drives_set_drive(one, list, error);
    if (ok && !one->other_count) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "Can't hot-add drive to this bus; write if=none,id=...");
        ok = false;
    }
    ok = ok && drive_open(storage, &one->other[0], one->other[0].id, error);
    g_free(one);
    return ok;
}

bool storage_add_node(struct storage *storage, const char *name, bool is_cd, GError **error)
{
    struct drive_option option = {.present = true, .is_cd = is_cd};
    if (!nodes_claim(name, name, &option.image, error))
        return false;
    if (drive_open(storage, &option, name, error))
        return true;
    nodes_release(name);
    return false;
}

bool storage_remove(struct storage *storage, const struct registry *registry, const char *id, GError **error)
{
    if (registry_user(registry, "drive", id)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "Device '%s' is in use", id);
        return false;
    }
    struct device_drive *drive = (struct device_drive *)storage_find(storage, id);
    if (!drive) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "Device '%s' not found", id);
        return false;
    }
    blockdev_close(drive->block);
    nodes_release(id);
    g_ptr_array_remove(storage->drives, drive);
    return true;
}

void storage_close(struct storage *storage)
{
    blockdev_close_all();
}

void storage_free(struct storage *storage)
{
    if (storage->drives)
        g_ptr_array_unref(storage->drives);
}

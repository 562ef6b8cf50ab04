/* The drive flags of the command line; their language is QEMU's. See drives.h. */
#include "drives.h"

#include "keyvalue.h"

#include <stdlib.h>
#include <string.h>

static GQuark drives_error(void)
{
    return g_quark_from_static_string("ringer-options");
}

#define FAIL(...) (g_set_error(error, drives_error(), 0, __VA_ARGS__), false)

static bool slot_take(struct drive_option *slots, unsigned n, const struct drive_option *drive, const char *flag,
                      const char *kind, GError **error)
{
    if (slots[n].present)
        return FAIL("%s: %s drive %u is given twice", flag, kind, n);
    slots[n] = *drive;
    slots[n].present = true;
    return true;
}

bool drives_set_file(struct drive_options *drives, const char *flag, const char *path, GError **error)
{
    struct drive_option drive = {.image.path = path};
    char given[16];

    g_snprintf(given, sizeof(given), "-%s", flag);
    if (strcmp(flag, "cdrom") == 0) {
        drive.is_cd = true;
        return slot_take(drives->ide, 2, &drive, given, "IDE", error);
    }
    if (flag[0] == 'f')
        return slot_take(drives->floppy, (unsigned)(flag[2] - 'a'), &drive, given, "floppy", error);
    return slot_take(drives->ide, (unsigned)(flag[2] - 'a'), &drive, given, "IDE", error);
}

/* What says of a folder how it is a disk: driver=vvfat, dir= and so on. */
struct folder_keys {
    bool is_vvfat, is_floppy, is_writable;
    unsigned type;
    const char *label, *dir;
};

struct drive_keys {
    struct drive_option drive;
    struct folder_keys folder;
    bool is_floppy, is_virtio, is_other, has_media;
    int index, bus, unit;
};

static bool place_parse(const char *value, int *place)
{
    uint64_t number;
    if (!value_is_number(value, DRIVES_VIRTIO - 1, &number))
        return false;
    *place = (int)number;
    return true;
}

/* False: it is none of these. */
static bool folder_key_set(struct folder_keys *keys, const char *key, const char *value, bool *ok)
{
    uint64_t type;
    if (g_str_has_prefix(key, "file.")) /* the folder is below a format that adds nothing to it */
        key += 5;
    *ok = true;
    if (strcmp(key, "driver") == 0) {
        keys->is_vvfat = keys->is_vvfat || strcmp(value, "vvfat") == 0;
        *ok = keys->is_vvfat || strcmp(value, "raw") == 0;
    } else if (strcmp(key, "dir") == 0) {
        keys->dir = g_intern_string(value);
    } else if (strcmp(key, "floppy") == 0) {
        *ok = value_is_switch(value, &keys->is_floppy);
    } else if (strcmp(key, "rw") == 0) {
        *ok = value_is_switch(value, &keys->is_writable);
    } else if (strcmp(key, "fat-type") == 0) {
        *ok = value_is_number(value, 32, &type) && (type == 12 || type == 16 || type == 32);
        keys->type = *ok ? (unsigned)type : 0;
    } else if (strcmp(key, "label") == 0) {
        keys->label = g_intern_string(value);
    } else {
        return false;
    }
    return true;
}

/* The same as one name. */
static bool folder_name(struct drive_keys *keys, GError **error)
{
    const struct folder_keys *folder = &keys->folder;
    if (!folder->is_vvfat && !folder->dir)
        return true;
    if (!folder->is_vvfat)
        return FAIL("-drive: dir= is for driver=vvfat");
    if (keys->drive.image.path)
        return FAIL("-drive: driver=vvfat has a folder, dir=, and no file=");
    if (!folder->dir || !*folder->dir)
        return FAIL("-drive: driver=vvfat needs dir=, the folder");
    char *type = folder->type ? g_strdup_printf("%u:", folder->type) : g_strdup("");
    char *label = folder->label ? g_strdup_printf("label=%s:", folder->label) : g_strdup("");
    char *name = g_strconcat("fat:", type, folder->is_floppy ? "floppy:" : "", folder->is_writable ? "rw:" : "", label,
                             folder->dir, NULL);
    keys->drive.image.path = g_intern_string(name);
    g_free(type);
    g_free(label);
    g_free(name);
    return true;
}

/* False: the value is not one of the key's. */
static bool drive_key_set(struct drive_keys *keys, const char *key, const char *value, bool *known)
{
    struct drive_option *drive = &keys->drive;
    bool ignored, ok;

    *known = true;
    if (folder_key_set(&keys->folder, key, value, &ok))
        return ok;
    if (strcmp(key, "file") == 0) {
        drive->image.path = *value ? g_intern_string(value) : NULL;
        return true;
    }
    if (strcmp(key, "if") == 0) {
        keys->is_floppy = strcmp(value, "floppy") == 0;
        keys->is_virtio = strcmp(value, "virtio") == 0;
        keys->is_other = strcmp(value, "none") == 0;
        return keys->is_floppy || keys->is_virtio || keys->is_other || strcmp(value, "ide") == 0;
    }
    if (strcmp(key, "index") == 0)
        return place_parse(value, &keys->index);
    if (strcmp(key, "bus") == 0)
        return place_parse(value, &keys->bus);
    if (strcmp(key, "unit") == 0)
        return place_parse(value, &keys->unit);
    if (strcmp(key, "media") == 0) {
        drive->is_cd = strcmp(value, "cdrom") == 0;
        keys->has_media = true;
        return drive->is_cd || strcmp(value, "disk") == 0;
    }
    if (strcmp(key, "format") == 0) {
        drive->image.format = g_intern_string(value);
        return *value != 0; /* opening the image says which there are, and how to make one of them */
    }
    if (strcmp(key, "snapshot") == 0)
        return drive->snapshot_given = true, value_is_switch(value, &drive->image.snapshot);
    if (strcmp(key, "readonly") == 0 || strcmp(key, "read-only") == 0)
        return value_is_switch(value, &drive->image.read_only);
    if (strcmp(key, "cache") == 0) {
        /* "none" and "directsync" bypass the host's page cache in QEMU; what they promise is the same. */
        if (strcmp(value, "writethrough") == 0 || strcmp(value, "directsync") == 0)
            drive->image.cache = IMAGE_WRITETHROUGH;
        else if (strcmp(value, "unsafe") == 0)
            drive->image.cache = IMAGE_UNSAFE;
        else
            return strcmp(value, "writeback") == 0 || strcmp(value, "none") == 0;
        return true;
    }
    if (strcmp(key, "serial") == 0) {
        drive->serial = g_intern_string(value);
        return strlen(value) <= 20;
    }
    if (strcmp(key, "id") == 0) {
        drive->id = g_intern_string(value);
        return g_ascii_isalpha(*value);
    }
    if (strcmp(key, "aio") == 0)
        return strcmp(value, "threads") == 0 || strcmp(value, "native") == 0 || strcmp(value, "io_uring") == 0;
    if (strcmp(key, "discard") == 0) {
        drive->image.discard = strcmp(value, "unmap") == 0 || strcmp(value, "on") == 0;
        return drive->image.discard || strcmp(value, "ignore") == 0 || strcmp(value, "off") == 0;
    }
    if (strcmp(key, "werror") == 0 || strcmp(key, "rerror") == 0)
        return strcmp(value, "report") == 0;
    if (strcmp(key, "copy-on-read") == 0)
        return value_is_switch(value, &ignored) && !ignored;
    *known = false;
    return false;
}

static bool virtio_take(struct drive_options *drives, const struct drive_keys *keys, GError **error)
{
    int n = keys->index >= 0 ? keys->index : keys->unit;
    for (int i = 0; i < DRIVES_VIRTIO && n < 0; i++) {
        if (!drives->virtio[i].present)
            n = i;
    }
    if (n < 0 || keys->bus > 0)
        return FAIL("-drive: there are %u drives with if=virtio at most, all on bus 0", DRIVES_VIRTIO);
    return slot_take(drives->virtio, (unsigned)n, &keys->drive, "-drive", "virtio", error);
}

bool drives_set_drive(struct drive_options *drives, const char *arg, GError **error)
{
    struct drive_keys keys = {.index = -1, .bus = -1, .unit = -1};
    struct keyvalues *list = keyvalues_parse(arg, "-drive", NULL, error);
    bool ok = list, known;

    for (unsigned i = 0; ok && i < list->item->len; i++) {
        const struct keyvalue *item = g_ptr_array_index(list->item, i);
        if (!drive_key_set(&keys, item->key, item->value, &known))
            ok = known ? FAIL("-drive: '%s=%s' is not possible here", item->key, item->value)
                       : FAIL("-drive: option '%s' is not known; write for example -drive file=disk.img,if=ide",
                              item->key);
    }
    keyvalues_free(list);
    if (!ok || !folder_name(&keys, error))
        return false;
    if (keys.is_other) {
        if (!keys.drive.id)
            return FAIL("-drive: if=none is for a -device, which needs an id= to name it");
        if (drives->other_count == DRIVES_OTHER)
            return FAIL("-drive: there are %u drives with if=none at most", DRIVES_OTHER);
        drives->other[drives->other_count++] = keys.drive;
        return true;
    }
    if (!keys.drive.image.path && (keys.is_virtio || !keys.drive.is_cd) && !keys.is_floppy)
        return FAIL("-drive: a disk needs file=");
    if (keys.is_virtio)
        return virtio_take(drives, &keys, error);
    if (keys.is_floppy) {
        int n = keys.index >= 0 ? keys.index : keys.unit >= 0 ? keys.unit : 0;
        if (keys.index < 0 && keys.unit < 0 && drives->floppy[0].present)
            n = 1;
        if (n >= DRIVES_FLOPPY || keys.bus > 0)
            return FAIL("-drive: this PC has two floppy drives, index 0 and 1");
        return slot_take(drives->floppy, (unsigned)n, &keys.drive, "-drive", "floppy", error);
    }
    int n = keys.index;
    if (keys.index >= 0 && (keys.bus >= 0 || keys.unit >= 0))
        return FAIL("-drive: index= and bus=,unit= say the same; give one of them");
    if (n < 0 && (keys.bus >= 0 || keys.unit >= 0)) {
        if (keys.bus > 1 || keys.unit > 1)
            return FAIL("-drive: IDE has bus 0 and 1, each with unit 0 and 1");
        n = 2 * MAX(keys.bus, 0) + MAX(keys.unit, 0);
    }
    for (int i = 0; i < DRIVES_IDE && n < 0; i++) {
        if (!drives->ide[i].present)
            n = i;
    }
    if (n < 0 || n >= DRIVES_IDE)
        return FAIL("-drive: this PC has four IDE drives at most");
    return slot_take(drives->ide, (unsigned)n, &keys.drive, "-drive", "IDE", error);
}

static bool order_set(char *order, size_t size, const char *value, GError **error)
{
    bool ok = *value && strlen(value) < size && strspn(value, "acdn") == strlen(value);
    for (const char *at = value; *at && ok; at++)
        ok = !strchr(at + 1, *at);
    if (!ok)
        return FAIL("-boot: order '%s' is not made of a (floppy), c (disk), d (CD) and n (network), each once", value);
    g_strlcpy(order, value, size);
    return true;
}

static bool boot_key_set(struct drive_options *drives, const char *key, const char *value, GError **error)
{
    bool ignored;
    if (strcmp(key, "order") == 0)
        return order_set(drives->boot_order, sizeof(drives->boot_order), value, error);
    if (strcmp(key, "once") == 0)
        return order_set(drives->boot_once, sizeof(drives->boot_once), value, error);
    if (strcmp(key, "menu") == 0)
        return value_is_switch(value, &drives->boot_menu) || FAIL("-boot: menu is on or off, not '%s'", value);
    if (strcmp(key, "strict") == 0)
        return value_is_switch(value, &ignored) || FAIL("-boot: strict is on or off, not '%s'", value);
    return FAIL("-boot: option '%s' is not known; write for example -boot order=dc", key);
}

bool drives_set_boot(struct drive_options *drives, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-boot", "order", error);
    bool ok = list;
    if (ok && !list->item->len)
        ok = order_set(drives->boot_order, sizeof(drives->boot_order), "", error);
    for (unsigned i = 0; ok && i < list->item->len; i++) {
        const struct keyvalue *item = g_ptr_array_index(list->item, i);
        ok = boot_key_set(drives, item->key, item->value, error);
    }
    keyvalues_free(list);
    return ok;
}

/* Number n of all drives, NULL behind the last. */
static struct drive_option *drive_at(struct drive_options *drives, unsigned n)
{
    if (n < DRIVES_IDE)
        return &drives->ide[n];
    n -= DRIVES_IDE;
    if (n < DRIVES_FLOPPY)
        return &drives->floppy[n];
    n -= DRIVES_FLOPPY;
    if (n < DRIVES_VIRTIO)
        return &drives->virtio[n];
    n -= DRIVES_VIRTIO;
    return n < drives->other_count ? &drives->other[n] : NULL;
}

bool drives_settle(struct drive_options *drives, GError **error)
{
    if (!drives->no_defaults) {
        if (!drives->ide[2].present && !drives->no_default_cd)
            drives->ide[2] = (struct drive_option){.present = true, .is_cd = true};
        if (!drives->floppy[0].present && !drives->no_default_floppy)
            drives->floppy[0].present = true;
    }
    struct drive_option *drive;
    for (unsigned n = 0; (drive = drive_at(drives, n)); n++) {
        if (drives->snapshot && !drive->snapshot_given) /* as with QEMU, what is said of the drive itself counts */
            drive->image.snapshot = true;
        if (drive->is_cd)
            drive->image.read_only = true;
        /* The same file twice is two drivers of one file system, if one of them writes. */
        for (unsigned m = 0; m < n && drive->image.path; m++) {
            const struct drive_option *other = drive_at(drives, m);
            bool writes = !(drive->image.read_only || drive->image.snapshot) ||
                          !(other->image.read_only || other->image.snapshot);
            if (other->image.path && strcmp(other->image.path, drive->image.path) == 0 && writes)
                return FAIL("'%s' is given for two drives; one file can be in one drive only", drive->image.path);
        }
    }
    if (!drives->boot_order[0])
        g_strlcpy(drives->boot_order, "cad", sizeof(drives->boot_order));
    return true;
}

/* The media of drives, opened, and what CMOS RAM says of the drives they are in. */
#pragma once

#include "drives.h"
#include "registry.h"

struct rtc;

struct storage {
    GPtrArray *drives; /* struct storage_drive */
    const struct device_drive *ide[DRIVES_IDE], *floppy[DRIVES_FLOPPY], *virtio[DRIVES_VIRTIO];
    struct rtc *rtc;
    char boot_order[8];
    const struct drive_options *options;
};

/* Opens all images. */
bool storage_open(struct storage *storage, const struct drive_options *drives, GError **error);
/* The drives of -hda, -fda, -drive if=ide and so on, as devices. */
bool storage_add_devices(struct storage *storage, struct registry *registry, GError **error);
/* One more drive, of -drive's list with if=none, while the machine runs; and away with one that is in no device. */
bool storage_add(struct storage *storage, const char *list, GError **error);
/* One of that name whose medium is the node of that name (host/block/nodes.h). */
bool storage_add_node(struct storage *storage, const char *name, bool is_cd, GError **error);
bool storage_remove(struct storage *storage, const struct registry *registry, const char *id, GError **error);
/* For registry_backends: one without a medium. */
const struct device_drive *storage_empty(void *storage, const char *id, bool is_cd, GError **error);
/* By id; for registry_backends. */
const struct device_drive *storage_find(void *storage, const char *id);
/* All devices are there: tells CMOS RAM of their drives and the boot order. */
bool storage_settle(struct storage *storage, const struct registry *registry, struct rtc *rtc, GError **error);
/* What -boot once= said counts until the first reset after power-on. */
void storage_end_boot_once(struct storage *storage);
/* Carries out what the guest has asked for, and closes all images. The machine stands still; the lock is not
 * held. Also after a storage_open() that failed. */
void storage_close(struct storage *storage);
void storage_free(struct storage *storage); /* no device uses them any more */

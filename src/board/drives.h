/* What the command line says of drives: -hda to -hdd, -cdrom, -fda, -fdb, -drive, -boot, -snapshot. */
#pragma once

#include <glib.h>

#include "host/block/image.h"
#include "types.h"

#define DRIVES_IDE    4 /* primary master, primary slave, secondary master, secondary slave */
#define DRIVES_FLOPPY 2
#define DRIVES_VIRTIO 16
#define DRIVES_OTHER  32

struct drive_option {
    bool present; /* there is such a drive */
    bool is_cd;
    bool snapshot_given;        /* snapshot= stood in -drive */
    const char *id;             /* NULL: by its place */
    struct image_options image; /* path NULL: no medium */
    const char *serial;
};

struct drive_options {
    struct drive_option ide[DRIVES_IDE], floppy[DRIVES_FLOPPY];
    struct drive_option virtio[DRIVES_VIRTIO];
    struct drive_option other[DRIVES_OTHER]; /* if=none: for a -device, by id */
    unsigned other_count;
    bool snapshot;    /* for all of them */
    bool no_defaults; /* no empty CD and floppy drives */
    bool no_default_cd, no_default_floppy;
    char boot_order[8], boot_once[8]; /* letters of -boot, "" = not given */
    bool boot_menu;
    bool no_floppy_signature; /* the BIOS starts a floppy without 55AAh, too */
};

/* One flag with its argument, without dashes. False with a sentence in *error. Strings stay referred to. */
bool drives_set_file(struct drive_options *drives, const char *flag, const char *path, GError **error);
bool drives_set_drive(struct drive_options *drives, const char *arg, GError **error);
bool drives_set_boot(struct drive_options *drives, const char *arg, GError **error);
/* What follows from all flags together. */
bool drives_settle(struct drive_options *drives, GError **error);

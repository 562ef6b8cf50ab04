/* A folder of the host as a disk with a FAT file system on it: its tree is read when it is opened, contents when
 * sectors are. Microsoft, FAT: General Overview of On-Disk Format, 1.03.
 *
 * Everything is reached from one descriptor of the folder, one name at a time, never along a link. Used by one thread
 * at a time. Functions return 0 or an errno value.
 */
#pragma once

#include <glib.h>

#include "types.h"

struct fat_options {
    bool floppy;    /* no partition table */
    bool writable;  /* what the guest writes is carried into the folder at each flush */
    unsigned type;  /* 12, 16, 32; 0: as needed */
    char label[12]; /* of the volume, "" is a default */
};

/* Says a sentence to the user. */
typedef void fat_tell_fn(void *opaque, const char *text);

struct fat;

/* folder and store (a file of nobody else's) become its own, also when it fails. */
struct fat *fat_open(int folder, int store, const struct fat_options *options, fat_tell_fn *tell, void *opaque,
                     GError **error);
uint64_t fat_size(const struct fat *fat);
int fat_read(struct fat *fat, uint64_t offset, uint8_t *buffer, uint32_t len);
int fat_write(struct fat *fat, uint64_t offset, const uint8_t *buffer, uint32_t len);
/* What was written is in the folder, or, as long as nobody can make sense of it, in a file there. */
int fat_flush(struct fat *fat);
/* The same, if it makes sense now. */
void fat_settle(struct fat *fat);
/* Nothing more will come for now: what makes no sense yet never will, and is kept in a file in the folder. */
int fat_finish(struct fat *fat);
/* Reads the tree again: what the guest knew of it is void. The size stays. Not while there is something that is not in
 * the folder yet, unless that is to be forgotten. */
int fat_refresh(struct fat *fat, bool forget);
/* Finishes. */
int fat_close(struct fat *fat);

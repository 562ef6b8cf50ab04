/* Folders as disks: who makes their file system. See image_fat.c. */
#pragma once

#include "fat.h"

/* As struct fat, see fat.h; close gives it back. */
struct fat_source {
    int (*read)(struct fat_source *source, uint64_t offset, uint8_t *buffer, uint32_t len);
    int (*write)(struct fat_source *source, uint64_t offset, const uint8_t *buffer, uint32_t len);
    int (*flush)(struct fat_source *source);
    int (*refresh)(struct fat_source *source);
    int (*close)(struct fat_source *source);
    uint64_t size;
    char *name;
};

/* Takes over folder and store, also when it fails. */
typedef struct fat_source *fat_source_starter(const char *name, int folder, int store,
                                              const struct fat_options *options, GError **error);
/* One that was closed before, its folder read anew: NULL without *error if there is none of that name. */
typedef struct fat_source *fat_source_again(const char *name, GError **error);
void image_fat_set_starter(fat_source_starter *starter, fat_source_again *again);

/* Of a name that begins with "fat:" the folder, within name; NULL with *error. */
const char *image_fat_parse(const char *name, struct fat_options *options, GError **error);

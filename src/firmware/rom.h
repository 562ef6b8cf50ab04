/* The ROMs: the BIOS at the top of memory and below 1 MiB, the video BIOS at C0000h. */
#pragma once

#include <glib.h>

#include "types.h"

struct bios {
    uint8_t *image; /* g_malloc'ed */
    size_t len;
};

/* Reads a ROM image for -bios, or takes our own when path is NULL: a multiple of 64 KiB, at most 16 MiB. False with
 * *error. */
bool bios_open(struct bios *bios, const char *path, GError **error);
/* Puts it on the bus. */
void bios_install(const struct bios *bios);
void bios_close(struct bios *bios);

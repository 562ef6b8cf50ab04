/* A cpio archive in memory. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

/* Adds a file, a directory or a character device. mode is st_mode. */
void cpio_add(GByteArray *archive, const char *path, uint32_t mode, const void *content, size_t size, unsigned major,
              unsigned minor);
void cpio_end(GByteArray *archive);

/* A file without a name, for children to read: nothing to be removed, whatever happens to us. */
#pragma once

#include <stddef.h>

#include <glib.h>

/* Returns its path, good as long as this process keeps *fd open; g_free(). NULL with *error; then
 * *fd is -1. */
char *memfile_new(const char *name, const void *content, size_t size, int *fd, GError **error);

/* Which files a process may still open (fence.h). */
#pragma once

#include "types.h"

/* For this thread and what it starts, for good: files are opened for reading only, those named and those below. False:
 * this kernel has no Landlock. */
bool fence_files_only(const char *const *paths, unsigned count);
/* The same, and what is below devices may be written to. */
bool fence_files_devices(const char *const *paths, unsigned count, const char *devices);
/* The same for one folder, by its descriptor: all that has to do with files and folders below it, but running programs
 * and making devices; read_only: only reading. */
bool fence_files_below(int folder, bool read_only);

/* Which files a process may still open (fence.h). */
#pragma once

#include "types.h"

/* For this thread and what it starts, for good: files are opened for reading only, those named and those below. False:
 * this kernel has no Landlock. */
bool fence_files_only(const char *const *paths, unsigned count);

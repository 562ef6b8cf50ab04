/* Processes of our own: what the monitor must not do itself behind its fence (make sockets, talk to networks, reach
 * into an exported folder) is done by a process with a narrower fence, joined to it by descriptors.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

#include "types.h"

/* The process's first descriptor; the others of fds follow it. */
#define PROCESS_FD 3

/* Forks. The child is named, ends when its maker does, is deaf to the terminal's signals, has its standard descriptors
 * on /dev/null, fds from PROCESS_FD on and nothing else that is open; then it is in run(), which does not return.
 * Before there are threads. -1 with *error. */
pid_t process_start(const char *name, const int *fds, unsigned count, void (*run)(void *opaque), void *opaque,
                    GError **error);

/* Files of the host by the names users give them. "/dev/fdset/N" is one that whoever started us has passed: a
 * descriptor of set N whose access mode fits. Any thread.
 */
#pragma once

#include <glib.h>

#include "types.h"

#define FDSET_NEW (-1) /* the lowest number that is free */
#define FDSET_ALL (-1) /* every descriptor of the set */

/* As open(2), with O_CLOEXEC. A passed descriptor is duplicated: its offset and status flags are shared, and nothing
 * is made or cut off. -1 with errno. */
int files_open(const char *path, int flags, mode_t mode);

/* fd belongs to the set from now on. description: what its owner calls it, or NULL. Returns the set, -1 with a sentence
 * in *error. */
int64_t fdset_add(int64_t set, int fd, const char *description, GError **error);
/* As fdset_add() for -add-fd: fd was inherited, and is not one of ours. */
bool fdset_add_inherited(int64_t set, int fd, const char *description, GError **error);
/* Closes fd, or all of the set. What was opened by way of it stays open. */
bool fdset_remove(int64_t set, int fd, GError **error);
/* Every descriptor, set by set. each must not call back. */
void fdset_each(void (*each)(void *opaque, int64_t set, int fd, const char *description), void *opaque);

/* Numbers as people write them to the monitor: 0x10, 'a', $eip + 4 * 2, (1 << is not there, as in QEMU). */
#pragma once

#include <glib.h>

#include "types.h"

/* Reads an expression from *text on, which may have blanks inside only around operators, and leaves *text behind it.
 * read: the value of a register without its $; NULL: there are none. False with *error. Division by 0 is an error. */
bool expression_parse(const char **text, bool (*read)(void *opaque, const char *name, int64_t *value), void *opaque,
                      int64_t *value, GError **error);

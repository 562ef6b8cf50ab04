/* Passwords from the command line: -object secret. */
#pragma once

#include "cli/options.h"

/* What the secret of that id holds; free it. NULL with a sentence. Before the fence. */
char *secret_read(const struct options *options, const char *id, GError **error);

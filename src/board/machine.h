/* The composition root: builds the PC, owns all wires between its parts, resets and ends it. */
#pragma once

#include <glib.h>

#include "cli/options.h"

struct machine;

/* Builds everything; nothing runs yet. NULL with a sentence in *error when the user's wishes or the host do
 * not allow it. One machine per process. */
struct machine *machine_new(const struct options *options, GError **error);
void machine_free(struct machine *machine); /* stopped */

/* Runs the machine on this thread's default main loop until it ends; returns the process's exit status. */
int machine_run(struct machine *machine);

/* Ask it to end, with this status. Any thread. The first request counts. */
void machine_quit(struct machine *machine, int status);

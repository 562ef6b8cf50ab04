/* A monitor: a chardev behind which somebody asks (command.h) as a human or as a program.
 *
 * Behind a listening socket every client has a conversation of its own, several at once.
 */
#pragma once

#include <glib.h>

#include "backend.h"

struct monitor;

/* program: QMP, else the human's. pretty: JSON is indented. machine: what commands get as their context. Main thread
 * without the lock. NULL with a sentence in *error. The chardev stays the caller's. */
struct monitor *monitor_new(struct chardev *chardev, bool program, bool pretty, void *machine, GError **error);
void monitor_free(struct monitor *monitor);

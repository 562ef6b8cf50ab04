/* Host ends of byte streams: terminal, file, pseudo-terminal, nowhere. */
#pragma once

#include <glib.h>

#include "backend.h"

/* spec: stdio, mon:stdio, file:PATH, pty, null. label is for messages. Reading and writing is
 * done on the device thread (devthread.h). */
struct chardev *chardev_open(const char *spec, const char *label, GError **error);

/* The one that was opened under this label, or NULL. */
struct chardev *chardev_find(const char *label);

/* The machine goes on: devices hear of what came while it stood. Machine lock held. */
void chardev_resume(void);

/* Called on the device thread when the user types Ctrl-A x. */
void chardev_set_quit(void (*quit)(void *opaque), void *opaque);

/* While the processor is to stop, no device waits for a reader. Any thread. */
void chardev_set_waiting(bool wait);

/* Standard output, so that writing to it does not block. */
int chardev_stdout_open(void);

/* Writes out what is still buffered (waits up to two seconds for a stuck reader) and gives the terminal
 * back its settings. */
void chardev_close_all(void);

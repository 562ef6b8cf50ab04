/* The device thread: what has to be prompt runs there (timers, serial lines, later network and sound), so that a
 * window, a monitor or a screen dump on the main thread delays nothing the guest can notice. */
#pragma once

#include <glib.h>

#include "types.h"

/* Before machine_run() there is no such thread, but sources may be attached to its context already. */
GMainContext *devthread_context(void);
/* False with *error: the host gives no more threads. */
bool devthread_start(GError **error);
void devthread_stop(void); /* waits; sources stay attached */
bool devthread_is_current(void);
bool devthread_is_running(void);

/* As g_unix_fd_add and g_idle_add, on that thread. */
guint devthread_fd_add(int fd, GIOCondition condition,
                       gboolean (*ready)(gint fd, GIOCondition condition, gpointer opaque), gpointer opaque);
guint devthread_idle_add(GSourceFunc run, gpointer opaque);
/* Takes such a source away again, from any thread; its callback may be running on that thread until it returns. */
void devthread_source_remove(guint id);

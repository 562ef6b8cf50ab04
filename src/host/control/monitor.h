/* The monitor: a person or a test gives commands to a running machine, as in QEMU's human monitor. */
#pragma once

#include <glib.h>

#include "display.h"

/* What commands do. All are called on the main thread without the machine lock. */
struct monitor_hooks {
    void (*quit)(void *opaque);
    void (*reset)(void *opaque);
    void (*stop)(void *opaque);
    bool (*cont)(void *opaque, GError **error);
    const char *(*status)(void *opaque); /* "running", "paused", or why it is paused */
    void (*registers)(void *opaque, GString *out);
    /* A device's own report; false: there is none of that name. NULL name: the list of names. */
    bool (*device)(void *opaque, const char *name, GString *out);
    void (*tree)(void *opaque, GString *out); /* all devices on their buses */
    void (*stats)(void *opaque, bool json, GString *out);
    const struct display *display; /* NULL: no graphics card */
    void *opaque;
};

struct monitor;

/* spec: stdio, or unix:PATH with server=on (or ,server) and wait=off (,nowait). hooks is copied. */
struct monitor *monitor_new(const char *spec, const struct monitor_hooks *hooks, GError **error);
void monitor_free(struct monitor *monitor);

/* The guest's screen in a window of the desktop (SDL2). */
#pragma once

#include <glib.h>

#include "display.h"

struct sdl_options {
    const char *title; /* copied */
    bool full_screen;
    bool no_close; /* the window's button does nothing (window-close=off) */
};

/* What the user may want of the machine; called on the main thread, without the machine lock. */
struct sdl_hooks {
    void (*quit)(void *opaque);
    /* Asks the guest to switch itself off. False: it cannot be told. */
    bool (*power_button)(void *opaque);
    void *opaque;
};

/* Whether there is a desktop to open one on. */
bool sdl_has_desktop(void);
/* Opens the window; keys go to keys_set, the pointer to pointer.h. Before threads are started, so that what SDL needs
 * is open before the process gives up the right to open more. False with a sentence. The default GLib main context must
 * run. */
bool sdl_open(const struct display *display, const struct sdl_options *options, const struct sdl_hooks *hooks,
              GError **error);
void sdl_close(void); /* idempotent */

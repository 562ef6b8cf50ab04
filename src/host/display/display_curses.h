/* The guest's text screen on the terminal (ncurses). */
#pragma once

#include <glib.h>

#include "display.h"

/* Takes over the terminal; keys go to keys_press. quit: the user asks for the end (Alt-2, then q). Only one at a time.
 * False with a sentence in *error where there is no terminal. The default GLib main context must run. */
bool curses_open(const struct display *display, void (*quit)(void *opaque), void *opaque, GError **error);
void curses_close(void); /* idempotent */

/* The guest's screen in a window of the desktop (SDL2), with a bar at its bottom: menu, lamps, a line of news. */
#pragma once

#include <glib.h>

#include "display.h"

enum window_scaling {
    WINDOW_PROPORTIONAL, /* as large as fits, in the guest's proportions */
    WINDOW_INTEGER,      /* whole multiples only */
    WINDOW_FREE,         /* fills the window */
};

struct window_options {
    const char *title; /* copied */
    bool full_screen;
    bool no_close; /* the window's button does nothing (window-close=off) */
    bool no_bar;   /* show-menubar=off; the menu comes by its key all the same */
    bool sharp;    /* pixels are squares also where they are not whole multiples */
    enum window_scaling scaling;
};

/* A row of the menu. */
struct window_item {
    char *label;    /* NULL: a line between rows */
    char *command;  /* what a monitor is told; or */
    char *question; /* what is asked first: the line typed is the command's last word; NULL: nothing */
    char *done;     /* what is said where the monitor says nothing */
    char *page;     /* another page of the menu, with `argument`; or */
    char *argument;
    char *keys; /* that do the same; NULL: none */
    enum window_action {
        WINDOW_NOTHING,
        WINDOW_FULL_SCREEN,
        WINDOW_NATURAL_SIZE,
        WINDOW_SCALING_PROPORTIONAL,
        WINDOW_SCALING_INTEGER,
        WINDOW_SCALING_FREE,
        WINDOW_SHARP,
        WINDOW_COPY,
        WINDOW_TYPE,
        WINDOW_GRAB,
        WINDOW_CLOSE,
    } action;        /* or something the window does */
    bool is_checked; /* shown with a mark */
};

struct window_lamp {
    char name[12];
    uint64_t count; /* it is lit when this has changed */
};
#define WINDOW_LAMPS_MAX 8

/* What the user may want of the machine; called on the main thread, without the machine lock. */
struct window_hooks {
    void (*quit)(void *opaque);
    /* Asks the guest to switch itself off. False: it cannot be told. */
    bool (*power_button)(void *opaque);
    /* "running", or why it does not run. */
    const char *(*status)(void *opaque);
    void *opaque;
};

/* What is in the menu; called as above. */
struct window_menu {
    /* Rows of a page (NULL: the first one): items appended to list, which frees them by window_item_free. argument:
     * that of the row which led here; the page "dropped" is shown when a file is dropped on the window, with its name.
     */
    void (*fill)(void *opaque, const char *page, const char *argument, GPtrArray *list);
    /* What a monitor says to the command; free it. word: one more, as it is; or NULL. */
    char *(*run)(void *opaque, const char *command, const char *word);
    unsigned (*lamps)(void *opaque, struct window_lamp lamps[WINDOW_LAMPS_MAX]);
    void *opaque;
};

/* Whether there is a desktop to open one on. */
bool window_has_desktop(void);
/* Opens the window; keys go to keys_set, the pointer to pointer.h. Before threads are started, so that what SDL needs
 * is open before the process gives up the right to open more. False with a sentence. The default GLib main context must
 * run. */
bool window_open(const struct display *display, const struct window_options *options, const struct window_hooks *hooks,
                 GError **error);
/* Copied; NULL: what the window itself can do. No window: nothing happens. */
void window_set_menu(const struct window_menu *menu);
void window_close(void); /* idempotent */

struct window_item *window_item_new(const char *label);
void window_item_free(void *item);

/* What the window's files share: one window a process. */
#pragma once

#include "host/sdl_load.h"
#include "window.h"

struct window {
    bool is_open;
    const struct display *display;
    struct window_options options;
    struct window_hooks hooks;
    struct window_menu menu;
    char *title;
    SDL_Window *sdl;
    bool exposed; /* draw it all, changed or not */
    bool grabbed; /* the pointer */
    bool asked;   /* the window was closed once: the guest has been asked to end */
};
extern struct window win;

/* window.c */
int window_unit(void); /* pixels in what is one dot of the bar and the menu: more than one on fine screens */
SDL_Surface *window_surface(void);
bool window_is_full_screen(void);
void window_act(enum window_action action);
/* Lets go of keys that the guest believes to be down. */
void window_let_go(void);

/* picture.c: the guest's picture. */
/* Where it is, in pixels of the window. */
SDL_Rect picture_place(void);
void picture_natural_size(void);
/* Draws what has changed, or (win.exposed) all. True: something has changed. */
bool picture_draw(void);
void picture_free(void);

/* bar.c: the line at the bottom. */
int bar_height(void); /* pixels; 0: there is none */
/* True: it has something new to show. */
bool bar_look(void);
void bar_draw(SDL_Surface *surface);
/* A click at this place was meant for it. */
bool bar_click(int x, int y);
/* Shows a line for some seconds; where there is no bar, on the terminal. */
void bar_say(const char *text);

/* menu.c */
bool menu_is_open(void);
void menu_open(const char *page, const char *argument);
void menu_close(void);
void menu_draw(SDL_Surface *surface);
void menu_key(const SDL_Keysym *key);
void menu_text(const char *utf8); /* typed, while a line is asked for */
void menu_point(int x, int y);
void menu_click(int x, int y); /* beside it: closes it */
void menu_wheel(int rows);

/* glyphs.c */
#define GLYPH_WIDTH  8
#define GLYPH_HEIGHT 16
/* UTF-8, as far as code page 437 has it; unit: pixels a dot. */
void glyphs_draw(SDL_Surface *surface, int x, int y, int unit, const char *text, uint32_t colour);
int glyphs_count(const char *text);
void glyphs_fill(SDL_Surface *surface, int x, int y, int width, int height, uint32_t colour);

/* clipboard.c */
void clipboard_copy_screen(void);
void clipboard_type(void);
/* The desktop's text to the guest; and the guest's, if there is a new one, to the desktop. */
void clipboard_give(void);
void clipboard_take(void);

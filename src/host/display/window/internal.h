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
/* The guest's picture as it was looked at last: its size, 0 at first; the pixel of it that is nearest to one of the
 * window. */
unsigned picture_width(void);
unsigned picture_height(void);
void picture_point(int *x, int *y);
/* Rows of it are to be drawn otherwise: up to but without end. */
void picture_touch(unsigned first, unsigned end);
/* Draws what has changed, or (win.exposed) all. True: something has changed. */
bool picture_draw(void);
void picture_free(void);

/* selection.c: marked text. Places are pixels of the window. */
/* The button goes down. False: there is no text. */
bool selection_begin(int x, int y);
bool selection_is_dragging(void);
void selection_move(int x, int y);
/* It comes up. False: it was a click, and nothing was marked before. */
bool selection_end(int x, int y);
void selection_clear(void);
/* The guest's picture has changed: marks go with the text screen they were on. False: they have gone. */
bool selection_look(void);
/* A row of the picture with the marks in it; false: it has none, and `to` is untouched. */
bool selection_invert(unsigned y, const uint32_t *from, uint32_t *to);
void selection_free(void);

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

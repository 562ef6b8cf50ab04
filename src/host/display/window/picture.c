/* The guest's picture in the window: its place, its scale, and drawing what has changed. */
#include <string.h>

#include "host/display/grab.h"
#include "internal.h"

#define SMALL 640 /* pixels across: smaller pictures come twice as large */

static struct {
    struct display_reader reader; /* the guest's picture as it was when it was looked at last */
    SDL_Surface *shown;           /* as it is in the window */
    unsigned first, end;          /* rows of the picture that may not be in it yet; none: both 0 */
    uint32_t *marked;             /* a row with marks in it */
} view;

static SDL_Rect place_in(int across, int down)
{
    SDL_Rect at = {0, 0, across, down};
    int width = view.shown ? view.shown->w : across, height = view.shown ? view.shown->h : down;
    int whole = width && height ? MIN(across / width, down / height) : 0;
    if (win.options.scaling == WINDOW_FREE)
        return at;
    if (win.options.scaling == WINDOW_INTEGER && whole > 0) {
        at.w = width * whole;
        at.h = height * whole;
    } else if ((int64_t)across * height > (int64_t)down * width) {
        at.w = (int)((int64_t)down * width / MAX(height, 1));
    } else {
        at.h = (int)((int64_t)across * height / MAX(width, 1));
    }
    at.x = (across - at.w) / 2;
    at.y = (down - at.h) / 2;
    return at;
}

SDL_Rect picture_place(void)
{
    SDL_Surface *surface = window_surface();
    return surface ? place_in(surface->w, MAX(surface->h - bar_height(), 1)) : (SDL_Rect){0, 0, 1, 1};
}

unsigned picture_width(void)
{
    return view.shown ? (unsigned)view.shown->w : 0;
}

unsigned picture_height(void)
{
    return view.shown ? (unsigned)view.shown->h : 0;
}

void picture_point(int *x, int *y)
{
    SDL_Rect at = picture_place();
    *x = CLAMP((*x - at.x) * (int)picture_width() / MAX(at.w, 1), 0, MAX((int)picture_width() - 1, 0));
    *y = CLAMP((*y - at.y) * (int)picture_height() / MAX(at.h, 1), 0, MAX((int)picture_height() - 1, 0));
}

void picture_touch(unsigned first, unsigned end)
{
    view.first = view.end ? MIN(view.first, first) : first;
    view.end = MAX(view.end, end);
}

void picture_natural_size(void)
{
    int across = 1, down = 1;
    SDL_Surface *surface = window_surface();
    if (!view.shown || !surface)
        return;
    SDL_GetWindowSize(win.sdl, &across, &down);
    int scale = (view.shown->w < SMALL ? 2 : 1) * window_unit(), fine = MAX(surface->w / MAX(across, 1), 1);
    SDL_SetWindowSize(win.sdl, view.shown->w * scale / fine, (view.shown->h * scale + bar_height()) / fine);
}

/* The guest has another mode: the window follows, unless the user has made it full screen or maximised it. */
static bool resize(const struct display_pixels *picture)
{
    if (view.shown)
        SDL_FreeSurface(view.shown);
    view.shown =
        SDL_CreateRGBSurfaceWithFormat(0, (int)picture->width, (int)picture->height, 32, SDL_PIXELFORMAT_RGB888);
    view.marked = g_renew(uint32_t, view.marked, picture->width);
    win.exposed = true;
    view.first = 0;
    view.end = picture->height;
    if (view.shown && !(SDL_GetWindowFlags(win.sdl) & (SDL_WINDOW_FULLSCREEN_DESKTOP | SDL_WINDOW_MAXIMIZED)))
        picture_natural_size();
    return view.shown;
}

/* Takes over the rows that are others now: from *first, up to but without *end. */
static void take_rows(const struct display_pixels *picture, int *first, int *end)
{
    size_t row = picture->width * sizeof(uint32_t);
    *first = *end = 0;
    for (int y = (int)view.first; y < (int)MIN(view.end, picture->height); y++) {
        const uint32_t *from = picture->pixels + (size_t)y * picture->width;
        if (selection_invert((unsigned)y, from, view.marked))
            from = view.marked;
        uint8_t *to = (uint8_t *)view.shown->pixels + (size_t)y * (size_t)view.shown->pitch;
        if (memcmp(to, from, row) == 0)
            continue;
        memcpy(to, from, row);
        *first = *end ? *first : y;
        *end = y + 1;
    }
    view.first = view.end = 0;
}

/* All of it: the picture, what is around it, the bar, and the menu above them. */
static void draw_all(SDL_Surface *surface)
{
    SDL_Rect at = place_in(surface->w, MAX(surface->h - bar_height(), 1));
    SDL_Rect all = {0, 0, view.shown->w, view.shown->h};
    bool is_whole = at.w % all.w == 0 && at.h % all.h == 0;
    if (at.w != surface->w || at.h != surface->h)
        SDL_FillRect(surface, NULL, 0);
    if (is_whole || win.options.sharp)
        SDL_UpperBlitScaled(view.shown, &all, surface, &at);
    else
        SDL_SoftStretchLinear(view.shown, &all, surface, &at);
    bar_draw(surface);
    menu_draw(surface);
    SDL_UpdateWindowSurface(win.sdl);
    win.exposed = false;
}

/* Whole multiples are drawn where they have changed; where each pixel has to do with its neighbours, all is. */
static void draw(bool has_bar)
{
    const struct display_pixels *picture = &view.reader.picture;
    int first = 0, end = 0;
    if (!picture->width || !picture->height)
        return;
    if ((!view.shown || picture->width != (unsigned)view.shown->w || picture->height != (unsigned)view.shown->h) &&
        !resize(picture))
        return;
    SDL_Surface *surface = window_surface();
    if (!surface)
        return;
    take_rows(picture, &first, &end);
    SDL_Rect at = place_in(surface->w, MAX(surface->h - bar_height(), 1));
    int scale = at.w / view.shown->w;
    bool is_whole = scale > 0 && at.w == view.shown->w * scale && at.h == view.shown->h * scale;
    if (win.exposed || (menu_is_open() && first < end) || (!is_whole && first < end)) {
        draw_all(surface);
        return;
    }
    SDL_Rect changed[2];
    int count = 0;
    if (first < end) {
        SDL_Rect from = {0, first, view.shown->w, end - first}, to = {at.x, at.y + first * scale, at.w, from.h * scale};
        changed[count++] = to;
        SDL_UpperBlitScaled(view.shown, &from, surface, &to);
    }
    if (has_bar) {
        bar_draw(surface);
        changed[count++] = (SDL_Rect){0, surface->h - bar_height(), surface->w, bar_height()};
    }
    if (count)
        SDL_UpdateWindowSurfaceRects(win.sdl, changed, count);
}

bool picture_draw(void)
{
    unsigned first, end;
    bool is_other, has_picture = display_read(win.display, &view.reader, &first, &end, &is_other);
    bool has_bar = bar_look();
    if (has_picture) {
        selection_look();
        picture_touch(first, end);
    }
    if (has_picture || has_bar || win.exposed || view.end)
        draw(has_bar);
    return has_picture;
}

void picture_free(void)
{
    if (view.shown)
        SDL_FreeSurface(view.shown);
    view.shown = NULL;
    g_clear_pointer(&view.marked, g_free);
    display_pixels_clear(&view.reader.picture);
}

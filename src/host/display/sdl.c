/* The guest's screen in a window: see sdl.h.
 *
 * The main loop looks at the display 60 times a second while it changes, and 25 times while it does not; drawn is only
 * what has changed. Keys go by their place on the keyboard, so that the guest's layout is the one that counts. A guest
 * that takes positions (a tablet) has the pointer whenever it is over the window; for all others a click takes the
 * pointer, and Ctrl-Alt-G gives it back.
 */
#include "sdl.h"

#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>

#include "grab.h"
#include "host/sdl_load.h"
#include "input.h"
#include "keys.h"
#include "lock.h"
#include "log.h"
#include "pointer.h"
#include "sdl_keys.h"

#define BUSY_MS   16
#define IDLE_MS   40
#define IDLE_LATE 60  /* looks without a change, and it is idle */
#define SMALL     640 /* pixels across: smaller pictures come twice as large */

static struct {
    bool is_open;
    const struct display *display;
    struct sdl_options options;
    struct sdl_hooks hooks;
    char *title;
    SDL_Window *window;
    struct display_pixels picture; /* as the guest's was when it was looked at last */
    SDL_Surface *shown;            /* as it is in the window */
    uint64_t serial;               /* of the picture */
    bool exposed;                  /* draw it all, changed or not */
    unsigned unchanged;            /* looks since it changed */
    bool held[SDL_NUM_SCANCODES];
    bool grabbed, is_inside;
    bool asked; /* the window was closed once: the guest has been asked to end */
    guint timer, socket;
    unsigned interval;
} win;

static gboolean look(gpointer opaque);

static void set_title(void)
{
    char *title = g_strdup_printf("%s%s", win.options.title,
                                  win.asked     ? " - close once more to switch off at once"
                                  : win.grabbed ? " - press Ctrl-Alt-G to release the pointer"
                                                : "");
    SDL_SetWindowTitle(win.window, title);
    g_free(title);
}

static void set_interval(unsigned interval)
{
    if (win.interval == interval)
        return;
    if (win.timer)
        g_source_remove(win.timer);
    win.interval = interval;
    win.timer = g_timeout_add(interval, look, NULL);
}

/* --- The picture --- */

/* Where the picture is in a window of that size, in the proportions of the guest's. */
static SDL_Rect place(int across, int down)
{
    SDL_Rect at = {0, 0, across, down};
    int width = win.shown ? win.shown->w : across, height = win.shown ? win.shown->h : down;
    if ((int64_t)across * height > (int64_t)down * width)
        at.w = (int)((int64_t)down * width / height);
    else
        at.h = (int)((int64_t)across * height / width);
    at.x = (across - at.w) / 2;
    at.y = (down - at.h) / 2;
    return at;
}

static bool is_full_screen(void)
{
    return SDL_GetWindowFlags(win.window) & SDL_WINDOW_FULLSCREEN_DESKTOP;
}

static void natural_size(void)
{
    if (!win.shown)
        return;
    int scale = win.shown->w < SMALL ? 2 : 1;
    SDL_SetWindowSize(win.window, win.shown->w * scale, win.shown->h * scale);
}

/* The guest has another mode: the window follows, unless the user has made it full screen or maximised it. */
static bool resize(const struct display_pixels *picture)
{
    if (win.shown)
        SDL_FreeSurface(win.shown);
    win.shown =
        SDL_CreateRGBSurfaceWithFormat(0, (int)picture->width, (int)picture->height, 32, SDL_PIXELFORMAT_RGB888);
    win.exposed = true;
    if (win.shown && !(SDL_GetWindowFlags(win.window) & (SDL_WINDOW_FULLSCREEN_DESKTOP | SDL_WINDOW_MAXIMIZED)))
        natural_size();
    return win.shown;
}

/* Takes over the rows that are others now: from *first, up to but without *end. */
static void take_rows(const struct display_pixels *picture, int *first, int *end)
{
    size_t row = picture->width * sizeof(uint32_t);
    *first = *end = 0;
    for (int y = 0; y < (int)picture->height; y++) {
        const uint32_t *from = picture->pixels + (size_t)y * picture->width;
        uint8_t *to = (uint8_t *)win.shown->pixels + (size_t)y * (size_t)win.shown->pitch;
        if (memcmp(to, from, row) == 0)
            continue;
        memcpy(to, from, row);
        *first = *end ? *first : y;
        *end = y + 1;
    }
}

/* Whole multiples are sharp, and drawn where they have changed; all else is smooth, where each pixel has to do with its
 * neighbours. */
static void draw(void)
{
    const struct display_pixels *picture = &win.picture;
    int first, end;
    if (!picture->width || !picture->height)
        return;
    if ((!win.shown || picture->width != (unsigned)win.shown->w || picture->height != (unsigned)win.shown->h) &&
        !resize(picture))
        return;
    take_rows(picture, &first, &end);
    SDL_Surface *surface = SDL_GetWindowSurface(win.window);
    if (!surface)
        return;
    SDL_Rect at = place(surface->w, surface->h), all = {0, 0, win.shown->w, win.shown->h};
    int scale = at.w / all.w;
    bool is_whole = scale > 0 && at.w == all.w * scale && at.h == all.h * scale;
    if (win.exposed || !is_whole) {
        if (at.w != surface->w || at.h != surface->h)
            SDL_FillRect(surface, NULL, 0);
        if (is_whole)
            SDL_UpperBlitScaled(win.shown, &all, surface, &at);
        else
            SDL_SoftStretchLinear(win.shown, &all, surface, &at);
        SDL_UpdateWindowSurface(win.window);
    } else if (first < end) {
        SDL_Rect from = {0, first, all.w, end - first}, to = {at.x, at.y + first * scale, at.w, from.h * scale};
        SDL_Rect changed = to;
        SDL_UpperBlitScaled(win.shown, &from, surface, &to);
        SDL_UpdateWindowSurfaceRects(win.window, &changed, 1);
    }
    win.exposed = false;
}

/* Whether the screen may be another one than the one drawn. */
static bool may_have_changed(void)
{
    machine_lock();
    uint64_t serial = win.display->serial(win.display->opaque);
    machine_unlock();
    bool changed = serial != win.serial;
    win.serial = serial;
    return changed;
}

/* --- The pointer --- */

static void grab(bool on)
{
    if (win.grabbed == on)
        return;
    win.grabbed = on;
    SDL_SetRelativeMouseMode(on);
    SDL_SetWindowKeyboardGrab(win.window, on);
    set_title();
}

static bool is_positioned(void)
{
    return pointer_is_absolute() && !win.grabbed;
}

static unsigned button_of(unsigned number)
{
    static const unsigned bits[] = {[SDL_BUTTON_LEFT] = 1,
                                    [SDL_BUTTON_RIGHT] = 2,
                                    [SDL_BUTTON_MIDDLE] = 4,
                                    [SDL_BUTTON_X1] = 8,
                                    [SDL_BUTTON_X2] = 16};
    return number < G_N_ELEMENTS(bits) ? bits[number] : 0;
}

static int scaled(int value, int first, int size)
{
    return size > 1 ? CLAMP((value - first) * INPUT_ABSOLUTE_MAX / (size - 1), 0, INPUT_ABSOLUTE_MAX) : 0;
}

static void move_to(int x, int y)
{
    int across = 1, down = 1;
    SDL_GetWindowSize(win.window, &across, &down);
    SDL_Rect at = place(across, down);
    pointer_place(scaled(x, at.x, at.w), scaled(y, at.y, at.h), 0);
}

static void motion(const SDL_MouseMotionEvent *event)
{
    bool positioned = is_positioned();
    SDL_ShowCursor(positioned ? SDL_DISABLE : SDL_ENABLE);
    if (positioned)
        move_to(event->x, event->y);
    else if (win.grabbed)
        pointer_move(event->xrel, event->yrel, 0);
}

static void button(const SDL_MouseButtonEvent *event)
{
    bool positioned = is_positioned();
    if (!positioned && !win.grabbed) {
        if (event->type == SDL_MOUSEBUTTONDOWN && event->button == SDL_BUTTON_LEFT)
            grab(true);
        return;
    }
    if (positioned)
        move_to(event->x, event->y);
    pointer_button(button_of(event->button), event->type == SDL_MOUSEBUTTONDOWN);
}

/* --- Keys --- */

static void let_go(void)
{
    for (unsigned i = 0; i < SDL_NUM_SCANCODES; i++) {
        if (win.held[i])
            keys_set(sdl_key_code(i), false);
        win.held[i] = false;
    }
    pointer_buttons(0);
}

/* Ctrl-Alt and a letter are the window's. True: it was one. */
static bool shortcut(const SDL_Keysym *key)
{
    if ((key->mod & KMOD_LCTRL) == 0 || (key->mod & KMOD_LALT) == 0)
        return false;
    switch (key->scancode) {
    case SDL_SCANCODE_G:
        grab(!win.grabbed);
        return true;
    case SDL_SCANCODE_F:
        SDL_SetWindowFullscreen(win.window, is_full_screen() ? 0 : SDL_WINDOW_FULLSCREEN_DESKTOP);
        win.exposed = true;
        return true;
    case SDL_SCANCODE_U:
        natural_size();
        return true;
    default:
        return false;
    }
}

static void key(const SDL_KeyboardEvent *event)
{
    unsigned scancode = event->keysym.scancode;
    bool down = event->type == SDL_KEYDOWN;
    uint16_t code = sdl_key_code(scancode);
    if (down && !event->repeat && shortcut(&event->keysym)) {
        let_go(); /* Ctrl and Alt, which the guest has seen go down */
        return;
    }
    if (!code || (!down && !win.held[scancode]))
        return;
    win.held[scancode] = down; /* repeated ones go down again, as a keyboard's do */
    keys_set(code, down);
}

/* --- Events --- */

static void window_event(const SDL_WindowEvent *event)
{
    switch (event->event) {
    case SDL_WINDOWEVENT_FOCUS_LOST:
        let_go();
        grab(false);
        break;
    case SDL_WINDOWEVENT_EXPOSED:
    case SDL_WINDOWEVENT_SIZE_CHANGED:
    case SDL_WINDOWEVENT_SHOWN:
    case SDL_WINDOWEVENT_RESTORED:
        win.exposed = true;
        break;
    default:
        break;
    }
}

/* The power button first; then, or where the guest cannot hear it, the plug. */
static void close_asked(void)
{
    if (win.options.no_close)
        return;
    if (win.asked || !win.hooks.power_button(win.hooks.opaque)) {
        win.hooks.quit(win.hooks.opaque);
        return;
    }
    win.asked = true;
    set_title();
}

static void take_events(void)
{
    SDL_Event event;
    while (win.is_open && SDL_PollEvent(&event)) {
        switch (event.type) {
        case SDL_QUIT:
            close_asked();
            break;
        case SDL_WINDOWEVENT:
            window_event(&event.window);
            break;
        case SDL_KEYDOWN:
        case SDL_KEYUP:
            key(&event.key);
            break;
        case SDL_MOUSEMOTION:
            motion(&event.motion);
            break;
        case SDL_MOUSEBUTTONDOWN:
        case SDL_MOUSEBUTTONUP:
            button(&event.button);
            break;
        case SDL_MOUSEWHEEL:
            if (is_positioned())
                pointer_place(-1, -1, -event.wheel.y);
            else if (win.grabbed)
                pointer_move(0, 0, -event.wheel.y);
            break;
        default:
            break;
        }
    }
}

static gboolean look(gpointer opaque)
{
    unsigned interval = win.interval;
    take_events();
    bool changed = may_have_changed() && display_grab(win.display, &win.picture);
    if (changed || win.exposed)
        draw();
    win.unchanged = changed ? 0 : win.unchanged + 1;
    set_interval(win.unchanged > IDLE_LATE ? IDLE_MS : BUSY_MS);
    return win.interval == interval ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static gboolean socket_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    take_events();
    if (condition & (G_IO_HUP | G_IO_ERR)) {
        win.socket = 0;
        log_user("the desktop has gone: the machine ends");
        win.hooks.quit(win.hooks.opaque);
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

/* X11's connection, so that a key needs not wait for the next look. -1: not X11. */
static int socket_of(SDL_Window *window)
{
#ifdef SDL_VIDEO_DRIVER_X11
    SDL_SysWMinfo info;
    SDL_VERSION(&info.version);
    if (SDL_GetWindowWMInfo(window, &info) && info.subsystem == SDL_SYSWM_X11)
        return ConnectionNumber(info.info.x11.display);
#endif
    return -1;
}

/* --- Life --- */

bool sdl_has_desktop(void)
{
    const char *x11 = g_getenv("DISPLAY"), *wayland = g_getenv("WAYLAND_DISPLAY");
    return (x11 && *x11) || (wayland && *wayland);
}

/* SDL would go on to consoles and to pictures that nobody sees, which is not what a user without a desktop wants,
 * unless he says so (SDL_VIDEODRIVER). */
static bool desktop_open(void)
{
    static const char *const drivers[] = {"x11", "wayland"};
    bool ok = false;
    if (g_getenv("SDL_VIDEODRIVER"))
        return SDL_InitSubSystem(SDL_INIT_VIDEO) == 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers) && !ok; i++) {
        SDL_SetHint(SDL_HINT_VIDEODRIVER, drivers[i]);
        ok = SDL_InitSubSystem(SDL_INIT_VIDEO) == 0;
    }
    return ok;
}

bool sdl_open(const struct display *display, const struct sdl_options *options, const struct sdl_hooks *hooks,
              GError **error)
{
    if (!sdl_load("a window", "use -display curses or none", error))
        return false;
    SDL_SetHint(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");
    SDL_SetHint(SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0");
    SDL_SetHint(SDL_HINT_FRAMEBUFFER_ACCELERATION, "0"); /* it opens drivers of graphics cards as it likes */
    if (!desktop_open()) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NODEV,
                    "there is no desktop for a window (%s); use -display curses, -nographic or -display none",
                    SDL_GetError());
        return false;
    }
    win.display = display;
    win.options = *options;
    win.options.title = win.title = g_strdup(options->title);
    win.hooks = *hooks;
    uint32_t flags =
        SDL_WINDOW_RESIZABLE | SDL_WINDOW_ALLOW_HIGHDPI | (options->full_screen ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
    win.window = SDL_CreateWindow(options->title, SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, 720, 400, flags);
    if (!win.window || !SDL_GetWindowSurface(win.window)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NODEV, "no window can be opened: %s", SDL_GetError());
        win.is_open = true;
        sdl_close();
        return false;
    }
    SDL_StopTextInput();
    win.is_open = win.exposed = true;
    set_title();
    set_interval(BUSY_MS);
    int fd = socket_of(win.window);
    if (fd >= 0)
        win.socket = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, socket_ready, NULL);
    return true;
}

void sdl_close(void)
{
    if (!win.is_open)
        return;
    win.is_open = false;
    if (win.timer)
        g_source_remove(win.timer);
    if (win.socket)
        g_source_remove(win.socket);
    if (win.shown)
        SDL_FreeSurface(win.shown);
    win.shown = NULL;
    if (win.window)
        SDL_DestroyWindow(win.window);
    display_pixels_clear(&win.picture);
    g_clear_pointer(&win.title, g_free);
    SDL_QuitSubSystem(SDL_INIT_VIDEO); /* sound goes on */
}

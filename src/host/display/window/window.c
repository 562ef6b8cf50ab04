/* The guest's screen in a window: see window.h.
 *
 * The main loop looks at the display 60 times a second while it changes or somebody types, else 16 or 10 times; drawn
 * is only what has changed. Keys go by their place on the keyboard, so that the guest's layout is the one that counts.
 * A guest that takes positions (a tablet) has the pointer whenever it is over the window; for all others a click takes
 * the pointer, and Ctrl-Alt-G gives it back. While the pointer is not the guest's, or with Shift where it is over the
 * window only, dragging it marks text (selection.c).
 */
#include "window.h"

#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>

#include "host/display/keys.h"
#include "host/display/pointer.h"
#include "host/sdl_load.h"
#include "input.h"
#include "internal.h"
#include "log.h"
#include "sdl_keys.h"

/* A picture that changes more often than so many times a second is looked at as often as a screen shows pictures;
 * one whose cursor blinks now and then. */
#define BUSY_RATE 12.0
#define BUSY_MS   16
#define SLOW_RATE 3.0
#define SLOW_MS   60
#define IDLE_MS   100
#define RATE_S    0.5 /* over which changes are counted */
#define FINE_DPI  96  /* dots an inch that one pixel each is for */

struct window win;

static struct {
    double rate;    /* of changes, a second */
    int64_t looked; /* monotonic time */
    bool held[SDL_NUM_SCANCODES];
    guint timer, socket;
    unsigned interval;
    int unit;
} own;

static gboolean look(gpointer opaque);

static void set_title(void)
{
    char *title = g_strdup_printf("%s%s", win.options.title,
                                  win.asked     ? " - close once more to switch off at once"
                                  : win.grabbed ? " - press Ctrl-Alt-G to release the pointer"
                                                : "");
    SDL_SetWindowTitle(win.sdl, title);
    g_free(title);
}

static void set_interval(unsigned interval)
{
    if (own.interval == interval)
        return;
    if (own.timer)
        g_source_remove(own.timer);
    own.interval = interval;
    own.timer = g_timeout_add(interval, look, NULL);
}

/* --- For the window's other files --- */

int window_unit(void)
{
    return MAX(own.unit, 1);
}

SDL_Surface *window_surface(void)
{
    return SDL_GetWindowSurface(win.sdl);
}

bool window_is_full_screen(void)
{
    return SDL_GetWindowFlags(win.sdl) & SDL_WINDOW_FULLSCREEN_DESKTOP;
}

/* Fine screens have several pixels for a dot: where the desktop's own units are larger than pixels, and where it says
 * how many of them an inch has. */
static void set_unit(void)
{
    int across = 1, down = 1;
    float dpi = 0;
    SDL_Surface *surface = window_surface();
    SDL_GetWindowSize(win.sdl, &across, &down);
    int fine = surface ? (surface->w + across / 2) / MAX(across, 1) : 1;
    int index = SDL_GetWindowDisplayIndex(win.sdl);
    if (index >= 0 && SDL_GetDisplayDPI(index, &dpi, NULL, NULL) == 0 && dpi > 0 && dpi < 1000)
        fine = MAX(fine, (int)(dpi / FINE_DPI + 0.25f));
    own.unit = CLAMP(fine, 1, 4);
}

/* --- The pointer --- */

static void grab(bool on)
{
    if (win.grabbed == on)
        return;
    win.grabbed = on;
    selection_clear();
    SDL_SetRelativeMouseMode(on);
    SDL_SetWindowKeyboardGrab(win.sdl, on);
    set_title();
}

static bool is_positioned(void)
{
    return pointer_is_absolute() && !win.grabbed;
}

/* The window's units to pixels. */
static void to_pixels(int *x, int *y)
{
    int across = 1, down = 1;
    SDL_Surface *surface = window_surface();
    SDL_GetWindowSize(win.sdl, &across, &down);
    if (surface && surface->w != across) {
        *x = *x * surface->w / MAX(across, 1);
        *y = *y * surface->h / MAX(down, 1);
    }
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
    SDL_Rect at = picture_place();
    pointer_place(scaled(x, at.x, at.w), scaled(y, at.y, at.h), 0);
}

/* Over the window it is ours to mark text with. */
static bool marks_text(bool positioned)
{
    return !win.grabbed && (!positioned || SDL_GetModState() & KMOD_SHIFT);
}

static bool is_on_bar(int y)
{
    SDL_Surface *surface = window_surface();
    return surface && y >= surface->h - bar_height();
}

static void motion(const SDL_MouseMotionEvent *event)
{
    int x = event->x, y = event->y;
    bool positioned = is_positioned();
    to_pixels(&x, &y);
    if (selection_is_dragging() && !(event->state & SDL_BUTTON_LMASK)) /* it came up where we were not told */
        selection_end(x, y);
    bool is_ours = menu_is_open() || is_on_bar(y) || marks_text(positioned) || selection_is_dragging();
    SDL_ShowCursor(positioned && !is_ours ? SDL_DISABLE : SDL_ENABLE);
    if (menu_is_open())
        menu_point(x, y);
    else if (selection_is_dragging())
        selection_move(x, y);
    else if (win.grabbed)
        pointer_move(event->xrel, event->yrel, 0);
    else if (positioned)
        move_to(x, y);
}

static void button(const SDL_MouseButtonEvent *event)
{
    int x = event->x, y = event->y;
    bool positioned = is_positioned(), down = event->type == SDL_MOUSEBUTTONDOWN;
    to_pixels(&x, &y);
    if (down && !win.grabbed && bar_click(x, y))
        return;
    if (menu_is_open()) {
        if (down)
            menu_click(x, y);
        return;
    }
    if (event->button == SDL_BUTTON_LEFT && selection_is_dragging() && !down) {
        if (!selection_end(x, y) && !positioned)
            grab(true);
        return;
    }
    if (event->button == SDL_BUTTON_LEFT && down && marks_text(positioned) && selection_begin(x, y))
        return;
    if (!positioned && !win.grabbed) {
        if (down && event->button == SDL_BUTTON_LEFT)
            grab(true);
        return;
    }
    if (positioned)
        move_to(x, y);
    pointer_button(button_of(event->button), down);
}

static void wheel(const SDL_MouseWheelEvent *event)
{
    if (menu_is_open())
        menu_wheel(event->y);
    else if (is_positioned())
        pointer_place(-1, -1, -event->y);
    else if (win.grabbed)
        pointer_move(0, 0, -event->y);
}

/* --- Keys --- */

void window_let_go(void)
{
    for (unsigned i = 0; i < SDL_NUM_SCANCODES; i++) {
        if (own.held[i])
            keys_set(sdl_key_code(i), false);
        own.held[i] = false;
    }
    pointer_buttons(0);
}

/* The power button first; then, or where the guest cannot hear it, the plug. */
static void close_asked(void)
{
    if (win.asked || !win.hooks.power_button(win.hooks.opaque)) {
        win.hooks.quit(win.hooks.opaque);
        return;
    }
    win.asked = true;
    set_title();
    bar_say("The guest has been asked to switch off; close once more to switch off at once");
}

void window_act(enum window_action action)
{
    switch (action) {
    case WINDOW_FULL_SCREEN:
        SDL_SetWindowFullscreen(win.sdl, window_is_full_screen() ? 0 : SDL_WINDOW_FULLSCREEN_DESKTOP);
        break;
    case WINDOW_NATURAL_SIZE:
        picture_natural_size();
        break;
    case WINDOW_SCALING_PROPORTIONAL:
    case WINDOW_SCALING_INTEGER:
    case WINDOW_SCALING_FREE:
        win.options.scaling = (enum window_scaling)(action - WINDOW_SCALING_PROPORTIONAL);
        break;
    case WINDOW_SHARP:
        win.options.sharp = !win.options.sharp;
        break;
    case WINDOW_COPY:
        clipboard_copy_screen();
        break;
    case WINDOW_TYPE:
        clipboard_type();
        break;
    case WINDOW_GRAB:
        grab(!win.grabbed);
        break;
    case WINDOW_CLOSE:
        close_asked();
        break;
    case WINDOW_NOTHING:
        break;
    }
    win.exposed = true;
}

/* Ctrl-Alt and a letter are the window's. True: it was one. */
static bool shortcut(const SDL_Keysym *key)
{
    static const struct {
        SDL_Scancode scancode;
        enum window_action action;
    } shortcuts[] = {{SDL_SCANCODE_G, WINDOW_GRAB},
                     {SDL_SCANCODE_F, WINDOW_FULL_SCREEN},
                     {SDL_SCANCODE_U, WINDOW_NATURAL_SIZE},
                     {SDL_SCANCODE_C, WINDOW_COPY},
                     {SDL_SCANCODE_V, WINDOW_TYPE}};
    if ((key->mod & KMOD_LCTRL) == 0 || (key->mod & KMOD_LALT) == 0)
        return false;
    if (key->scancode == SDL_SCANCODE_M) {
        menu_is_open() ? menu_close() : menu_open(NULL, NULL);
        return true;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(shortcuts); i++) {
        if (key->scancode == shortcuts[i].scancode) {
            window_let_go(); /* Ctrl and Alt, which the guest has seen go down */
            window_act(shortcuts[i].action);
            return true;
        }
    }
    return false;
}

static void key(const SDL_KeyboardEvent *event)
{
    unsigned scancode = event->keysym.scancode;
    bool down = event->type == SDL_KEYDOWN;
    uint16_t code = sdl_key_code(scancode);
    if (down && !event->repeat && shortcut(&event->keysym))
        return;
    if (menu_is_open()) {
        if (down)
            menu_key(&event->keysym);
        return;
    }
    if (!code || (!down && !own.held[scancode]))
        return;
    own.held[scancode] = down; /* repeated ones go down again, as a keyboard's do */
    keys_set(code, down);
}

/* --- Events --- */

static void window_event(const SDL_WindowEvent *event)
{
    switch (event->event) {
    case SDL_WINDOWEVENT_FOCUS_GAINED:
        clipboard_give();
        break;
    case SDL_WINDOWEVENT_FOCUS_LOST:
        window_let_go();
        grab(false);
        break;
    case SDL_WINDOWEVENT_EXPOSED:
    case SDL_WINDOWEVENT_SIZE_CHANGED:
    case SDL_WINDOWEVENT_SHOWN:
    case SDL_WINDOWEVENT_RESTORED:
        set_unit();
        win.exposed = true;
        break;
    default:
        break;
    }
}

static void take_events(void)
{
    SDL_Event event;
    while (win.is_open && SDL_PollEvent(&event)) {
        if (event.type >= SDL_KEYDOWN && event.type <= SDL_MOUSEWHEEL) { /* the guest will answer */
            own.rate = MAX(own.rate, 2 * BUSY_RATE);
            set_interval(BUSY_MS);
        }
        switch (event.type) {
        case SDL_QUIT:
            if (!win.options.no_close)
                close_asked();
            break;
        case SDL_WINDOWEVENT:
            window_event(&event.window);
            break;
        case SDL_KEYDOWN:
        case SDL_KEYUP:
            key(&event.key);
            break;
        case SDL_TEXTINPUT:
            menu_text(event.text.text);
            break;
        case SDL_MOUSEMOTION:
            motion(&event.motion);
            break;
        case SDL_MOUSEBUTTONDOWN:
        case SDL_MOUSEBUTTONUP:
            button(&event.button);
            break;
        case SDL_MOUSEWHEEL:
            wheel(&event.wheel);
            break;
        case SDL_DROPFILE:
            menu_open("dropped", event.drop.file);
            SDL_free(event.drop.file);
            break;
        default:
            break;
        }
    }
}

static gboolean look(gpointer opaque)
{
    unsigned interval = own.interval;
    take_events();
    clipboard_take();
    int64_t now = g_get_monotonic_time();
    double passed = (double)(now - own.looked) / G_USEC_PER_SEC;
    own.looked = now;
    own.rate *= 1 - MIN(passed / RATE_S, 1);
    if (picture_draw())
        own.rate += 1 / RATE_S;
    set_interval(own.rate > BUSY_RATE ? BUSY_MS : own.rate > SLOW_RATE ? SLOW_MS : IDLE_MS);
    return own.interval == interval ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static gboolean socket_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    take_events();
    if (condition & (G_IO_HUP | G_IO_ERR)) {
        own.socket = 0;
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

bool window_has_desktop(void)
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

bool window_open(const struct display *display, const struct window_options *options, const struct window_hooks *hooks,
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
    win.sdl = SDL_CreateWindow(options->title, SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, 720, 400, flags);
    if (!win.sdl || !SDL_GetWindowSurface(win.sdl)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NODEV, "no window can be opened: %s", SDL_GetError());
        win.is_open = true;
        window_close();
        return false;
    }
    SDL_StopTextInput();
    set_unit();
    win.is_open = win.exposed = true;
    set_title();
    set_interval(BUSY_MS);
    int fd = socket_of(win.sdl);
    if (fd >= 0)
        own.socket = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, socket_ready, NULL);
    return true;
}

void window_set_menu(const struct window_menu *menu)
{
    win.menu = menu ? *menu : (struct window_menu){0};
}

void window_close(void)
{
    if (!win.is_open)
        return;
    win.is_open = false;
    if (own.timer)
        g_source_remove(own.timer);
    if (own.socket)
        g_source_remove(own.socket);
    menu_close();
    selection_free();
    picture_free();
    if (win.sdl)
        SDL_DestroyWindow(win.sdl);
    g_clear_pointer(&win.title, g_free);
    SDL_QuitSubSystem(SDL_INIT_VIDEO); /* sound goes on */
}

/* In place of the window where SDL2 is missing. */
#include "window.h"

bool window_has_desktop(void)
{
    return false;
}

bool window_open(const struct display *display, const struct window_options *options, const struct window_hooks *hooks,
                 GError **error)
{
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NODEV,
                "a window needs SDL2, which this ringer was built without; use -display curses or none");
    return false;
}

void window_set_menu(const struct window_menu *menu)
{
}

void window_close(void)
{
}

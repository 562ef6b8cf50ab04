/* In place of sdl.c where SDL2 is missing. */
#include "sdl.h"

bool sdl_has_desktop(void)
{
    return false;
}

bool sdl_open(const struct display *display, const struct sdl_options *options, const struct sdl_hooks *hooks,
              GError **error)
{
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NODEV,
                "a window needs SDL2, which this ringer was built without; use -display curses or none");
    return false;
}

void sdl_close(void)
{
}

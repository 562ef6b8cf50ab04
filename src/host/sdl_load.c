/* SDL2 at run time: see sdl_load.h. dlopen(3). */
#define SDL_LOAD_C
#include "sdl_load.h"

#include <dlfcn.h>

#define LIBRARY "libSDL2-2.0.so.0"

struct sdl_functions sdl;

#define LOADED_ROW(name) {#name, (void **)&sdl.name##_},
static const struct {
    const char *name;
    void **at;
} rows[] = {LOADED_FUNCTIONS(LOADED_ROW)};

bool sdl_load(const char *what, const char *instead, GError **error)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* it stays */
    if (!library) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "%s needs SDL2 (Debian's package libsdl2-2.0-0): %s; %s",
                    what, dlerror(), instead);
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        *rows[i].at = dlsym(library, rows[i].name);
        if (!*rows[i].at) {
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "this SDL2 is too old for %s: it has no %s", what,
                        rows[i].name);
            return false;
        }
    }
    sdl.SDL_SetHint_(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
    return true;
}

/* Pictures of a display: see grab.h. */
#include "grab.h"

#include <string.h>

#include "lock.h"

#define PIECE 262144u /* pixels drawn at once: about half a millisecond */
#define TRIES 16      /* a guest that changes its mode again and again has a picture that is black where it moved on */

bool display_grab(const struct display *display, struct display_pixels *out)
{
    struct display_pixels picture = {0};
    bool whole = false;

    for (unsigned tries = 0; !whole && tries < TRIES; tries++) {
        machine_lock();
        display->size(display->opaque, &picture.width, &picture.height);
        machine_unlock();
        size_t size = (size_t)picture.width * picture.height * sizeof(uint32_t);
        picture.pixels = g_realloc(picture.pixels, size);
        memset(picture.pixels, 0, size); /* the host brings its pages in now, not under the lock */
        unsigned rows = MAX(1u, PIECE / MAX(picture.width, 1u));
        if (size <= 2 * PIECE * sizeof(uint32_t))
            rows = picture.height;
        whole = true;
        for (unsigned first = 0; first < picture.height && whole; first += rows) {
            unsigned count = MIN(rows, picture.height - first);
            machine_lock();
            whole = display->rows(display->opaque, picture.width, picture.height, first, count,
                                  picture.pixels + (size_t)first * picture.width);
            machine_unlock();
        }
    }
    bool changed = !out->pixels || out->width != picture.width || out->height != picture.height ||
                   memcmp(picture.pixels, out->pixels, (size_t)picture.width * picture.height * sizeof(uint32_t)) != 0;
    g_free(out->pixels);
    *out = picture;
    return changed;
}

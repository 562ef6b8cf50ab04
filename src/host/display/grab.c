/* Pictures of a display: see grab.h. */
#include "grab.h"

#include <limits.h>
#include <string.h>

#include "lock.h"

#define PIECE 65536u /* pixels drawn at once: about 0.1 ms, on a slow host one */
#define TRIES 16     /* a guest that changes its mode again and again has a picture that is black where it moved on */

/* Some rows into a picture of that size; few of them at once, that they fit together. False: it has another one by now.
 */
static bool rows_read(const struct display *display, bool is_bare, struct display_pixels *picture, unsigned first,
                      unsigned end)
{
    __typeof__(display->rows) rows = is_bare ? display->bare_rows : display->rows;
    unsigned piece = MAX(1u, PIECE / MAX(picture->width, 1u));
    bool ok = true;
    if ((uint64_t)(end - first) * picture->width <= 2 * PIECE)
        piece = end - first;
    for (unsigned y = first; y < end && ok; y += piece) {
        unsigned count = MIN(piece, end - y);
        machine_lock();
        ok = rows(display->opaque, picture->width, picture->height, y, count,
                  picture->pixels + (size_t)y * picture->width);
        machine_unlock();
    }
    return ok;
}

static bool grab(const struct display *display, bool is_bare, struct display_pixels *out)
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
        whole = rows_read(display, is_bare, &picture, 0, picture.height);
    }
    bool changed = !out->pixels || out->width != picture.width || out->height != picture.height ||
                   memcmp(picture.pixels, out->pixels, (size_t)picture.width * picture.height * sizeof(uint32_t)) != 0;
    g_free(out->pixels);
    *out = picture;
    return changed;
}

bool display_grab(const struct display *display, struct display_pixels *out)
{
    return grab(display, false, out);
}

bool display_read(const struct display *display, struct display_reader *reader, unsigned *first, unsigned *end,
                  bool *is_other)
{
    unsigned width, height;
    uint64_t serial;
    machine_lock();
    while (!display->serial(display->opaque, &serial)) {
        machine_unlock();
        machine_lock();
    }
    bool is_known = serial == reader->serial && reader->picture.pixels;
    *first = 0;
    *end = UINT_MAX;
    if (!is_known && reader->picture.pixels && display->changed_rows)
        display->changed_rows(display->opaque, reader->serial, first, end);
    display->size(display->opaque, &width, &height);
    machine_unlock();
    *is_other = false;
    if (is_known)
        return false;
    reader->serial = serial;
    *end = MIN(*end, height);
    if (reader->picture.pixels && width == reader->picture.width && height == reader->picture.height &&
        rows_read(display, reader->is_bare, &reader->picture, *first, *end))
        return *first < *end;
    unsigned before[2] = {reader->picture.width, reader->picture.height};
    bool changed = grab(display, reader->is_bare, &reader->picture);
    *first = 0;
    *end = reader->picture.height;
    *is_other = before[0] != reader->picture.width || before[1] != reader->picture.height;
    return changed;
}

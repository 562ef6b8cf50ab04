/* A display's number, of the whole picture: looked at to its end, which has to come. */
#pragma once

#include <glib.h>

#include "display.h"

static inline uint64_t display_number(const struct display *display)
{
    uint64_t number;
    for (unsigned looks = 1; !display->serial(display->opaque, &number); looks++)
        g_assert_cmpuint(looks, <, 10000);
    return number;
}

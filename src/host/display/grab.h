/* Pictures of a display, taken piece by piece so that the machine never waits long. */
#pragma once

#include "display.h"

/* The whole picture into out, whose memory is used again. False: nothing has changed since out was filled. Without the
 * machine lock. */
bool display_grab(const struct display *display, struct display_pixels *out);

/* What a reader of a display has seen of it; zero at first, but for is_bare. */
struct display_reader {
    bool is_bare; /* without the card's pointer: display->bare_rows */
    struct display_pixels picture;
    uint64_t serial;
};
/* Brings the picture up to date. Rows *first up to but without *end may be others now; all of them, with another size,
 * where *is_other. False: nothing has changed. Without the machine lock. */
bool display_read(const struct display *display, struct display_reader *reader, unsigned *first, unsigned *end,
                  bool *is_other);

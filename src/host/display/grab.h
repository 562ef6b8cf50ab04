/* Pictures of a display, taken piece by piece so that the machine never waits long. */
#pragma once

#include "display.h"

/* The whole picture into out, whose memory is used again. False: nothing has changed since out was filled. Without the
 * machine lock. */
bool display_grab(const struct display *display, struct display_pixels *out);

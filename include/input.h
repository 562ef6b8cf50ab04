/* Who takes keys and the pointer's moves from the host side: a keyboard controller, later USB devices. All calls are
 * made with the machine lock held. */
#pragma once

#include "types.h"

struct input_sink {
    /* A key went down or up. code: as scan code set 1 names it, E0xxh for the extended keys, KEY_PAUSE. */
    void (*key)(void *opaque, uint16_t code, bool down);
    /* dx to the right, dy up, dz wheel towards the user; buttons: 0 left, 1 right, 2 middle, 3, 4 sides. */
    void (*mouse)(void *opaque, int dx, int dy, int dz, unsigned buttons);
    void *opaque;
};

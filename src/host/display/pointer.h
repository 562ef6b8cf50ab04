/* Moves and buttons of the pointer, from monitors and windows to the mouse that takes them. Main thread, without the
 * machine lock. */
#pragma once

#include "types.h"

/* name: for people. mouse: as input.h has it, called with the machine lock held. The one added last takes the pointer.
 */
void pointer_add(const char *name, void (*mouse)(void *opaque, int dx, int dy, int dz, unsigned buttons), void *opaque);

/* dx to the right, dy down, dz wheel towards the user. Large moves are given in pieces that a mouse can tell. */
void pointer_move(int dx, int dy, int dz);
/* Bits of input.h: those that are down now; or one of them. */
void pointer_buttons(unsigned buttons);
void pointer_button(unsigned button, bool down);

struct pointer_look {
    const char *name;
    unsigned number; /* stays the same */
    bool is_current, is_absolute;
};
/* Number i, false behind the last. */
bool pointer_look(unsigned i, struct pointer_look *look);
void pointer_choose(unsigned number);

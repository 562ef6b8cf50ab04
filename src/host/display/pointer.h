/* Moves and buttons of the pointer, from monitors and windows to the mouse that takes them. Main thread, without the
 * machine lock. */
#pragma once

#include "input.h"

/* The one added last of those that are on takes the pointer, unless one is chosen that is on. It stays there until
 * it is removed, with the machine lock held. */
void pointer_add(const struct input_sink *sink);
void pointer_remove(const struct input_sink *sink);

/* dx to the right, dy down, dz wheel towards the user. Large moves are given in pieces that a mouse can tell. */
void pointer_move(int dx, int dy, int dz);
/* Whether it takes positions now; and then: 0 to INPUT_ABSOLUTE_MAX, -1 as it was. */
bool pointer_is_absolute(void);
void pointer_place(int x, int y, int dz);
/* Bits of input.h: those that are down now; or one of them. */
void pointer_buttons(unsigned buttons);
void pointer_button(unsigned button, bool down);

struct pointer_look {
    const char *name;
    unsigned number; /* stays the same */
    bool is_current, is_absolute;
};
/* The one in place i, false behind the last. */
bool pointer_look(unsigned i, struct pointer_look *look);
void pointer_choose(unsigned number);

/* Moves and buttons of the pointer. See pointer.h. */
#include "pointer.h"

#include <stdlib.h>

#include "lock.h"

#define MICE_MAX 8
#define STEP_MAX 120 /* a PS/2 mouse tells 255 at most, a serial one 127 */

static struct {
    const struct input_sink *mouse[MICE_MAX]; /* NULL: it is gone */
    unsigned added[MICE_MAX], adds;           /* the later, the larger */
    unsigned count, buttons;
    int chosen; /* by the user; -1: none */
    unsigned x, y;
} pointer = {.chosen = -1};

void pointer_add(const struct input_sink *sink)
{
    unsigned i = 0;
    while (i < pointer.count && pointer.mouse[i])
        i++;
    if (i == MICE_MAX)
        return;
    pointer.mouse[i] = sink;
    pointer.added[i] = ++pointer.adds;
    pointer.count = MAX(pointer.count, i + 1);
}

void pointer_remove(const struct input_sink *sink)
{
    for (unsigned i = 0; i < pointer.count; i++) {
        if (pointer.mouse[i] != sink)
            continue;
        pointer.mouse[i] = NULL;
        pointer.chosen = pointer.chosen == (int)i ? -1 : pointer.chosen;
    }
}

/* --- Who takes it; machine lock held --- */

static bool takes_moves(const struct input_sink *mouse)
{
    return mouse->mouse;
}

static bool takes_all(const struct input_sink *mouse)
{
    return true;
}

/* -1: nobody. */
static int taker(bool (*takes)(const struct input_sink *mouse))
{
    if (pointer.chosen >= 0 && takes(pointer.mouse[pointer.chosen]) && input_sink_is_on(pointer.mouse[pointer.chosen]))
        return pointer.chosen;
    int last = -1;
    for (unsigned i = 0; i < pointer.count; i++) {
        if (pointer.mouse[i] && takes(pointer.mouse[i]) && input_sink_is_on(pointer.mouse[i]) &&
            (last < 0 || pointer.added[i] > pointer.added[last]))
            last = (int)i;
    }
    return last;
}

/* --- What it does --- */

static int step(int *left)
{
    int now = *left > STEP_MAX ? STEP_MAX : *left < -STEP_MAX ? -STEP_MAX : *left;
    *left -= now;
    return now;
}

static void place(const struct input_sink *mouse, int dz)
{
    mouse->absolute(mouse->opaque, pointer.x, pointer.y, dz, pointer.buttons);
}

static void move(const struct input_sink *mouse, int dx, int dy, int dz)
{
    do {
        int x = step(&dx), y = step(&dy), z = step(&dz);
        mouse->mouse(mouse->opaque, x, -y, z, pointer.buttons);
    } while (dx || dy || dz);
}

/* While a tablet has the pointer, its buttons and wheel are that one's, and moves go to the mouse beside it. */
void pointer_move(int dx, int dy, int dz)
{
    machine_lock();
    int current = taker(takes_all), mover = taker(takes_moves);
    if (current >= 0 && pointer.mouse[current]->absolute) {
        place(pointer.mouse[current], dz);
        if ((dx || dy) && mover >= 0)
            move(pointer.mouse[mover], dx, dy, 0);
    } else if (mover >= 0) {
        move(pointer.mouse[mover], dx, dy, dz);
    }
    machine_unlock();
}

bool pointer_is_absolute(void)
{
    machine_lock();
    int current = taker(takes_all);
    bool absolute = current >= 0 && pointer.mouse[current]->absolute;
    machine_unlock();
    return absolute;
}

void pointer_place(int x, int y, int dz)
{
    machine_lock();
    int current = taker(takes_all);
    pointer.x = x < 0 ? pointer.x : (unsigned)x;
    pointer.y = y < 0 ? pointer.y : (unsigned)y;
    if (current >= 0 && pointer.mouse[current]->absolute)
        place(pointer.mouse[current], dz);
    machine_unlock();
}

void pointer_buttons(unsigned buttons)
{
    pointer.buttons = buttons;
    pointer_move(0, 0, 0);
}

void pointer_button(unsigned button, bool down)
{
    pointer_buttons(down ? pointer.buttons | button : pointer.buttons & ~button);
}

/* --- Looking and choosing --- */

bool pointer_look(unsigned i, struct pointer_look *look)
{
    bool found = false;
    machine_lock();
    for (unsigned at = 0; at < pointer.count && !found; at++) {
        const struct input_sink *mouse = pointer.mouse[at];
        if (!mouse || (mouse->is_hidden && !input_sink_is_on(mouse)) || i-- > 0)
            continue;
        *look = (struct pointer_look){mouse->name, at + 2, (int)at == taker(takes_all), mouse->absolute != NULL};
        found = true;
    }
    machine_unlock();
    return found;
}

void pointer_choose(unsigned number)
{
    if (number >= 2 && number - 2 < pointer.count && pointer.mouse[number - 2])
        pointer.chosen = (int)number - 2;
}

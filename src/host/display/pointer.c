/* Moves and buttons of the pointer. See pointer.h. */
#include "pointer.h"

#include <stdlib.h>

#include "lock.h"

#define MICE_MAX 4
#define STEP_MAX 120 /* a PS/2 mouse tells 255 at most, a serial one 127 */

struct mouse {
    const char *name;
    void (*move)(void *opaque, int dx, int dy, int dz, unsigned buttons);
    void *opaque;
};

static struct {
    struct mouse mouse[MICE_MAX];
    unsigned count, current, buttons;
} pointer;

void pointer_add(const char *name, void (*mouse)(void *opaque, int dx, int dy, int dz, unsigned buttons), void *opaque)
{
    if (pointer.count == MICE_MAX)
        return;
    pointer.current = pointer.count;
    pointer.mouse[pointer.count++] = (struct mouse){name, mouse, opaque};
}

static int step(int *left)
{
    int now = *left > STEP_MAX ? STEP_MAX : *left < -STEP_MAX ? -STEP_MAX : *left;
    *left -= now;
    return now;
}

void pointer_move(int dx, int dy, int dz)
{
    if (!pointer.count)
        return;
    const struct mouse *mouse = &pointer.mouse[pointer.current];
    machine_lock();
    do {
        int x = step(&dx), y = step(&dy), z = step(&dz);
        mouse->move(mouse->opaque, x, -y, z, pointer.buttons);
    } while (dx || dy || dz);
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

bool pointer_look(unsigned i, struct pointer_look *look)
{
    if (i >= pointer.count)
        return false;
    *look = (struct pointer_look){pointer.mouse[i].name, i + 2, i == pointer.current, false};
    return true;
}

void pointer_choose(unsigned number)
{
    if (number >= 2 && number - 2 < pointer.count)
        pointer.current = number - 2;
}

/* A serial mouse of Microsoft's protocol, 1200 baud 7N1: three bytes a move, a fourth where the middle button changes,
 * as Logitech's have it.
 *
 *      bit 6  5    4    3   2   1   0
 *          1  left right y7  y6  x7  x6
 *          0  x5                     x0
 *          0  y5                     y0
 *          0  middle
 *
 * It says "M3" when RTS rises: that is where its power comes from, and how drivers look for it.
 */
#include <string.h>

#include "char_internal.h"

#define BUTTON_LEFT   1u
#define BUTTON_RIGHT  2u
#define BUTTON_MIDDLE 4u
/* So many bytes wait at most: old moves are added up rather than told later. */
#define QUEUE_MAX 24u

struct msmouse {
    struct host_chardev dev; /* first */
    int dx, dy;              /* not yet told */
    unsigned buttons, told;
    bool rts;
    struct msmouse *next;
};

static struct msmouse *mice;

static bool msmouse_open(struct host_chardev *dev, struct keyvalues *options, GError **error)
{
    struct msmouse *mouse = (struct msmouse *)dev;
    mouse->next = mice;
    mice = mouse;
    dev->is_open = true;
    return true;
}

static bool msmouse_close(struct host_chardev *dev)
{
    for (struct msmouse **at = &mice; *at; at = &(*at)->next) {
        if (*at == (struct msmouse *)dev) {
            *at = (*at)->next;
            break;
        }
    }
    return false;
}

static int clamp(int value)
{
    return value > 127 ? 127 : value < -128 ? -128 : value;
}

static void report(struct msmouse *mouse)
{
    while (mouse->dev.in->len < QUEUE_MAX && (mouse->dx || mouse->dy || mouse->buttons != mouse->told)) {
        int dx = clamp(mouse->dx), dy = clamp(mouse->dy);
        bool middle = (mouse->buttons ^ mouse->told) & BUTTON_MIDDLE;
        uint8_t packet[4] = {(uint8_t)(0x40 | (mouse->buttons & BUTTON_LEFT ? 0x20 : 0) |
                                       (mouse->buttons & BUTTON_RIGHT ? 0x10 : 0) | (dy & 0xc0) >> 4 |
                                       (dx & 0xc0) >> 6),
                             (uint8_t)(dx & 0x3f), (uint8_t)(dy & 0x3f), mouse->buttons & BUTTON_MIDDLE ? 0x20 : 0};
        mouse->dx -= dx;
        mouse->dy -= dy;
        mouse->told = mouse->buttons;
        chardev_receive(&mouse->dev, packet, middle ? 4 : 3);
    }
}

static void msmouse_in_space(struct host_chardev *dev)
{
    report((struct msmouse *)dev);
}

static void msmouse_set_lines(struct host_chardev *dev, bool dtr, bool rts)
{
    struct msmouse *mouse = (struct msmouse *)dev;
    bool rises = rts && !mouse->rts;
    mouse->rts = rts;
    if (!rises)
        return;
    g_byte_array_set_size(dev->in, 0);
    mouse->dx = mouse->dy = 0;
    mouse->told = mouse->buttons;
    chardev_receive(dev, (const uint8_t *)"M3", 2);
}

bool msmouse_event(int dx, int dy, unsigned buttons)
{
    bool taken = guard_enter();
    for (struct msmouse *mouse = mice; mouse; mouse = mouse->next) {
        mouse->dx = CLAMP(mouse->dx + dx, -32768, 32767);
        mouse->dy = CLAMP(mouse->dy + dy, -32768, 32767);
        mouse->buttons = buttons & (BUTTON_LEFT | BUTTON_RIGHT | BUTTON_MIDDLE);
        report(mouse);
    }
    bool any = mice;
    guard_leave(taken);
    return any;
}

static size_t msmouse_write(struct host_chardev *dev, const uint8_t *bytes, size_t len)
{
    return len;
}

const struct chardev_kind chardev_msmouse = {
    .name = "msmouse",
    .size = sizeof(struct msmouse),
    .open = msmouse_open,
    .write = msmouse_write,
    .in_space = msmouse_in_space,
    .set_lines = msmouse_set_lines,
    .close = msmouse_close,
};

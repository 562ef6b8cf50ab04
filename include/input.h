/* Who takes keys and the pointer's moves from the host side: a keyboard controller, virtio devices, later USB ones. All
 * calls are made with the machine lock held.
 *
 * Keys go to the keyboard that was plugged in last of those that are on; so does the pointer, unless the user has
 * chosen another.
 */
#pragma once

#include "device.h"

struct input_sink {
    /* For people. */
    const char *name;
    /* A driver is there. NULL: whether there is one cannot be told, it takes all. */
    bool (*is_on)(void *opaque);
    bool is_hidden; /* from people, while it is off */
    /* A key went down or up. code: as scan code set 1 names it, E0xxh for the extended keys, KEY_PAUSE. NULL: it has no
     * keys. */
    void (*key)(void *opaque, uint16_t code, bool down);
    /* dx to the right, dy up, dz wheel towards the user; buttons: 0 left, 1 right, 2 middle, 3, 4 sides. NULL: it is no
     * mouse. */
    void (*mouse)(void *opaque, int dx, int dy, int dz, unsigned buttons);
    /* The pointer is at x from the left, y from the top, 0 to INPUT_ABSOLUTE_MAX; the rest as above. NULL: it does not
     * take positions. */
    void (*absolute)(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons);
    /* What its lights show: INPUT_LED_... NULL: it has none, or nobody can tell. */
    unsigned (*leds)(void *opaque);
    void *opaque;
    struct input_sink *next; /* the one plugged in before */
};

#define INPUT_ABSOLUTE_MAX 32767

#define INPUT_LED_SCROLL 1u
#define INPUT_LED_NUM    2u
#define INPUT_LED_CAPS   4u

static inline bool input_sink_is_on(const struct input_sink *sink)
{
    return !sink->is_on || sink->is_on(sink->opaque);
}

/* While a device is made. The sink lives as long as the board, unless it is removed. */
static inline void input_sink_add(struct board *board, struct input_sink *sink)
{
    sink->next = (struct input_sink *)board_service(board, "input");
    board_provide(board, "input", sink);
}

/* When a device is unplugged. */
static inline void input_sink_remove(struct board *board, struct input_sink *sink)
{
    struct input_sink *first = (struct input_sink *)board_service(board, "input"), **at = &first;
    while (*at && *at != sink)
        at = &(*at)->next;
    if (*at)
        *at = sink->next;
    board_provide(board, "input", first);
}

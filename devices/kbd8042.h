/* 8042 keyboard controller with a PS/2 keyboard and a PS/2 mouse on it. */
#pragma once

#include "device.h"
#include "input.h"
#include "irq.h"

struct kbd8042;

struct kbd8042_wiring {
    struct irq irq1, irq12;
    struct irq a20;   /* true = address line 20 passes */
    struct irq reset; /* pulse: output port bit 0 went low */
};

struct kbd8042 *kbd8042_new(const struct kbd8042_wiring *wiring);
void kbd8042_free(struct kbd8042 *kbd);

/* A key went down or up. code: as scan code set 1 names it, E0xxh for the extended keys, KEY_PAUSE. */
#define KEY_PAUSE 0xe11d
#define KEY_PRINT 0xe037
void kbd8042_key(struct kbd8042 *kbd, uint16_t code, bool down);
/* The mouse moved (dx to the right, dy up, dz wheel towards the user); buttons: 0 left, 1 right, 2 middle, 3, 4 sides.
 */
void kbd8042_mouse(struct kbd8042 *kbd, int dx, int dy, int dz, unsigned buttons);
/* An empty report, with which a driver of another mouse is told to look at that one; if the guest wants reports. */
void kbd8042_mouse_nudge(struct kbd8042 *kbd);
/* Num lock 2, caps lock 4, scroll lock 1: as the guest last set them. */
unsigned kbd8042_leds(const struct kbd8042 *kbd);

extern const struct device_class kbd8042_class;

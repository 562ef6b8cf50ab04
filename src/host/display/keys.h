/* Keys by name and by character, and a queue that types them no faster than a guest can read. */
#pragma once

#include "types.h"

#define KEYS_COMBO_MAX 8

/* "ctrl-alt-delete", names as in QEMU's sendkey. Returns how many codes, 0 when a name is unknown. */
unsigned keys_parse(const char *combo, uint16_t code[KEYS_COMBO_MAX]);
/* The keys of a US keyboard that make this ASCII character; 0: none do. */
unsigned keys_of_char(unsigned char c, uint16_t code[KEYS_COMBO_MAX]);

/* Where keys go, and what the keyboard's lights show (input.h); called on the main thread with the machine lock held.
 * code as kbd8042_key takes it. */
void keys_set_sink(void (*send)(void *opaque, uint16_t code, bool down), unsigned (*leds)(void *opaque), void *opaque);
unsigned keys_leds(void); /* without the machine lock */
/* Presses the keys together, holds them and lets go in reverse order. Main thread; does not wait. False: so many wait
 * already that these are lost. */
bool keys_press(const uint16_t *code, unsigned count, unsigned hold_ms);
/* Presses one, or lets it go, behind those that wait. False as above. */
bool keys_set(uint16_t code, bool down);

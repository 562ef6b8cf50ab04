/* Keys of the host's keyboard by their place, as a PS/2 keyboard names them. */
#pragma once

#include "types.h"

/* scancode: SDL's, which is the usage of USB's HID usage tables, page 7. The code of scan code set 1 (E0xxh for the
 * extended keys, E11Dh for Pause); 0: a PC's keyboard has no such key. */
uint16_t sdl_key_code(unsigned scancode);

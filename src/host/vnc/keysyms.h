/* Keys by their symbols, for viewers that do not say where a key is. */
#pragma once

#include "types.h"

/* The key of a US keyboard with that symbol (X11's keysymdef.h): scan code set 1, E0xxh; 0: it has none. *shift:
 * whether the symbol needs Shift, where it matters. */
uint16_t vnc_key_of_symbol(uint32_t symbol, bool *shift, bool *matters);

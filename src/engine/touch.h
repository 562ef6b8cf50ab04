/* Devices' memory, and RAM not worth mapping, for translated code that does not leave for it. */
#pragma once

#include "bt.h"

/* bt->touch: with success, touch_back is TOUCH_DONE further. Returns what was read, zero-extended. */
uint32_t touch_memory(struct bt *bt, gla_t gla, uint32_t what, uint32_t value);

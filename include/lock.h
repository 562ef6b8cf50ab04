/* The machine lock: around all device state. Nothing under it may block. */
#pragma once

#include "types.h"

/* Not recursive. Whoever waits gets it in turn: a processor that asks for it again and again does not keep others out.
 */
void machine_lock(void);
void machine_unlock(void);
/* This thread holds it: for assertions. */
bool machine_is_locked(void);

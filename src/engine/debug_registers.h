/* The processor's registers as a debugger writes them: see struct debug_target. debug_registers.c. */
#pragma once

#include "vcpu.h"

/* While it stands. value: little endian. False: there is no such register, it has not that many bytes, or a processor
 * could not be in the state that would come of it. */
bool debug_write_register(struct vcpu *vcpu, enum debug_register reg, unsigned number, const uint8_t *value,
                          size_t len);

/* Guest memory as a debugger reads and writes it: see struct debug_target. debug_memory.c. */
#pragma once

#include "vcpu.h"

bool debug_read_memory(struct vcpu *vcpu, bool physical, uint64_t address, uint8_t *bytes, size_t len);
bool debug_write_memory(struct vcpu *vcpu, bool physical, uint64_t address, const uint8_t *bytes, size_t len);
/* How many of the bytes from address on there were to be read; cpu NULL: address is physical. On the processor's
 * thread, or while it stands. */
size_t debug_peek(const struct cpu *cpu, uint64_t address, void *bytes, size_t len);

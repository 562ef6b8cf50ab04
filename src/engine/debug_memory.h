/* Guest memory as a debugger reads and writes it: see struct debug_target. debug_memory.c. */
#pragma once

#include "vcpu.h"

bool debug_read_memory(struct vcpu *vcpu, bool physical, uint64_t address, uint8_t *bytes, size_t len);
bool debug_write_memory(struct vcpu *vcpu, bool physical, uint64_t address, const uint8_t *bytes, size_t len);
/* A linear read on the processor's thread, or while it stands. */
bool debug_peek(const struct cpu *cpu, gla_t gla, void *bytes, size_t len);

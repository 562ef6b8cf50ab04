/* Model-specific registers. */
#pragma once

#include "cpu.h"

/* False: #GP(0). */
bool msr_read(struct cpu *cpu, uint32_t index, uint64_t *value);
bool msr_write(struct cpu *cpu, uint32_t index, uint64_t value);

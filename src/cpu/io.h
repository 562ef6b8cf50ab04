/* Port access by guest instructions: permission, debug breakpoints, the machine lock. */
#pragma once

#include "cpu.h"

enum cpu_rc io_check(struct cpu *cpu, uint16_t port, unsigned size);
/* Raw access after io_check; CPU_EXIT while a store log forbids devices. */
enum cpu_rc io_in(struct cpu *cpu, uint16_t port, unsigned size, uint32_t *value);
enum cpu_rc io_out(struct cpu *cpu, uint16_t port, unsigned size, uint32_t value);

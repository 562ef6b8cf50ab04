/* Control registers. interp_sys.c. */
#pragma once

#include "cpu.h"

/* As MOV to CR0, CR2, CR3 or CR4 at CPL 0. False, and nothing changed: it would raise an exception. */
bool control_write(struct cpu *cpu, unsigned number, uint32_t value);

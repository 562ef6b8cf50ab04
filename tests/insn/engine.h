/* What is tested: an engine that runs one instruction in the little guest of guest.c. */
#pragma once

#include "cpu.h"

struct engine {
    const char *name;
    /* Once after the guest is set up, with nothing cached yet. */
    void (*reset)(struct cpu *cpu);
    /* Guest code (at linear addresses [start, start + len)) was rewritten through mem_write. */
    void (*code_changed)(struct cpu *cpu, uint32_t start, uint32_t len);
    /* Registers and FPU state were set from outside; CR0, CR4 and segments are as at reset, except
     * that the previous case may have left CPL 0. Runs the instruction at CS:EIP to its end (a REP
     * instruction to its last iteration), or delivers what it raises. */
    void (*run_one)(struct cpu *cpu);
};

extern const struct engine engine_interp;

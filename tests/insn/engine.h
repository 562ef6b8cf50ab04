/* What is tested: an engine that runs one instruction in the little guest of guest.c. */
#pragma once

#include "cpu.h"

struct engine {
    const char *name;
    /* Makes the CPU, not reset; once per process. */
    struct cpu *(*create)(const struct cpu_model *model);
    /* Once after the guest is set up, with nothing cached yet. */
    void (*reset)(struct cpu *cpu);
    /* Registers and FPU state were set from outside; CR0, CR4 and the segments but CS as at reset. Runs
     * the instruction at CS:EIP to its end (a REP instruction to its last iteration), or delivers
     * what it raises and stops at the handler's first instruction, which is HLT, before or after it.
     * An engine that runs more than one instruction meets a HLT behind each: see ends_at_hlt. */
    void (*run_one)(struct cpu *cpu);
    /* The instruction is followed by HLT, and by HLT where it jumps to: its #GP means "completed". */
    bool ends_at_hlt;
    /* May push other arithmetic flags when an instruction faults (DESIGN.md, 3). */
    bool loses_flags_on_faults;
    /* The host may have lost the address of the last x87 instruction now and then. */
    bool loses_x87_pointers;
};

extern const struct engine engine_interp, engine_bt;

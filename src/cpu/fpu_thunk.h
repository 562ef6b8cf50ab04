/* Runs one host instruction on a given x87/MMX/SSE state: the arithmetic of interp_fpu.c. */
#pragma once

#include "cpu.h"

struct fpu_thunk_regs {
    uint32_t eax, ecx, edx;
    uint32_t host_mxcsr; /* scratch of fpu_thunk_run */
    uint64_t eflags;     /* read and written when the instruction was asked for with flags */
};

#define FPU_THUNK_BYTES_MAX 7

/* Maps the code area. Called by the first fpu_thunk_run; call it earlier where mmap and memfd_create
 * may become forbidden later. */
void fpu_thunk_init(void);

/* Loads fx with FXRSTOR, runs the instruction of len bytes in 64-bit mode with RSI = memory and EAX,
 * ECX, EDX from regs (and with flags: the arithmetic flags from regs->eflags), saves fx with FXSAVE
 * and stores the registers back. fx's FIP, FDP and FOP are garbage afterwards.
 *
 * The caller sees to it that the instruction does not trap: no pending x87 exception in fx before a
 * waiting instruction, all SIMD exceptions masked in fx->mxcsr, memory aligned to 64 and large enough.
 * An x87 exception that the instruction itself raises stays pending in fx and harms nobody. */
void fpu_thunk_run(const uint8_t *bytes, unsigned len, bool flags, struct fxstate *fx, void *memory,
                   struct fpu_thunk_regs *regs);

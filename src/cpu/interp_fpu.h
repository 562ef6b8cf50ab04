/* Between interp_fpu.c (dispatch, MMX, SSE) and interp_x87.c. */
#pragma once

#include "fpu_thunk.h"
#include "interp.h"

/* FSW, SDM vol. 1, 8.1.3; MXCSR has the same six flags in bits 0..5, its masks in bits 7..12. */
#define FSW_IE         0x0001u
#define FSW_DE         0x0002u
#define FSW_ZE         0x0004u
#define FSW_OE         0x0008u
#define FSW_UE         0x0010u
#define FSW_PE         0x0020u
#define FSW_SF         0x0040u
#define FSW_ES         0x0080u
#define FSW_B          0x8000u
#define FSW_EXCEPTIONS 0x003fu
#define FSW_TOP_SHIFT  11

/* The working copy of the FPU state while one instruction runs. */
struct fpu_work {
    struct fxstate fx;
    uint8_t memory[512] __attribute__((aligned(64)));
    struct fpu_thunk_regs regs;
    uint16_t hidden_fsw; /* pending exceptions kept from the host (CR0.NE = 0) */
};

static inline bool fpu_is_pending(const struct cpu *cpu)
{
    return (cpu->fpu.fsw & ~cpu->fpu.fcw & FSW_EXCEPTIONS) != 0;
}

/* The check that every waiting instruction makes. CPU_EXIT: the processor stops, with CR0.NE = 0. */
enum cpu_rc fpu_check_pending(struct cpu *cpu);

/* Before anything looks at cpu->fpu. */
static inline void fpu_here(struct cpu *cpu)
{
    if (unlikely(cpu->fpu_fetch != NULL))
        cpu->fpu_fetch(cpu);
}

/* Copies the guest's state and takes pending exceptions out of it, so that the host sees none. */
void fpu_work_begin(const struct cpu *cpu, struct fpu_work *work);
/* Stores the x87 part (FCW, FSW, FTW, ST) back and drives FERR#. FIP and its like stay. */
void fpu_work_commit_x87(struct cpu *cpu, struct fpu_work *work);

/* The full tag word that the FSAVE family shows, from the abridged one and the registers. */
uint16_t fpu_full_tags(const struct fxstate *fx);

/* FXRSTOR, FXSAVE; everything in D8..DF and FWAIT. */
interp_fn fpu_fxsave, fpu_fxrstor, x87_execute;

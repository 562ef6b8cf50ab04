/* Delivery of interrupts and exceptions. Intel SDM vol. 3A, chapter 6. */
#pragma once

#include "cpu.h"

/* Where a vector comes from: decides the gate's DPL check, EXT, and whether an error code follows. */
enum int_source {
    INT_EXTERNAL,  /* interrupt pin, NMI */
    INT_EXCEPTION, /* fault, trap or abort found by the processor */
    INT_SOFTWARE,  /* INT n, INT3, INTO: gate DPL is checked, EXT is 0 */
    INT_ICEBP,     /* INT1: neither DPL check nor EXT 0 */
};

/* Goes through the IDT once; return_eip is what the handler returns to. On CPU_FAULT nothing has changed
 * (or a task switch has, and the fault belongs to the new task). */
enum cpu_rc exception_enter(struct cpu *cpu, uint8_t vector, enum int_source source, uint32_t return_eip,
                            bool has_error, uint32_t error);
/* Delivers cpu->interp->pending, with double and triple fault rules. trap: RF stays as it is. */
void exception_deliver_pending(struct cpu *cpu, bool trap);
/* SS:ESP of privilege level dpl, from the current TSS. Raises #TS(TSS) when the TSS is too short. */
enum cpu_rc exception_inner_stack(struct cpu *cpu, unsigned dpl, uint16_t *ss, uint32_t *esp);

/* Cells: isolated processes in which guest ring-3 code runs directly on the CPU (DESIGN.md, section 4).
 *
 * A cell is a host process with nothing in it but a stub (cell/stub.S) and, in its low 4 GiB, guest pages. The runner
 * executes guest code in 32-bit compatibility mode; it has no files and its seccomp filter lets no system call
 * through, so a guest that jumps to 64-bit code gains nothing. The manager maps what the monitor orders. The monitor
 * traces both: it writes the runner's registers, lets it go, and is told of its next trap. Nothing in the cell's
 * memory is believed.
 *
 * Tracing instead of a signal handler and a shared page in the cell: the round trip costs the same (8.5 to 9 us against
 * 8 to 11 on a loaded machine, 2026-11-22), and the registers survive even if somebody kills the runner: it stops once
 * more on its way out (PTRACE_EVENT_EXIT).
 *
 * All functions are for the vCPU thread only, which is the tracer. Orders are async-signal-safe.
 */
#pragma once

#include "cpu.h"
#include "types.h"

struct cell;

/* NULL, and *why in words, where the host allows none (ptrace or seccomp forbidden, no 32-bit code). */
struct cell *cell_new(const char **why);
void cell_free(struct cell *cell);

/* Orders to the manager; collected, and carried out by the next cell_flush or cell_run. prot: PROT_*. */
void cell_map(struct cell *cell, gla_t gla, uint64_t ram_offset, uint64_t len, int prot);
void cell_protect(struct cell *cell, gla_t gla, uint64_t len, int prot);
void cell_unmap(struct cell *cell, gla_t gla, uint64_t len); /* len up to 4 GiB */
/* False: an order failed (too many mappings, an address the host reserves) or the cell is dead. Then nothing is
 * mapped any more. */
bool cell_flush(struct cell *cell);

/* How long a stop takes on this host just now, in ticks of its TSC: of the manager, which has nothing to do. 0: it has
 * orders, or the cell is dead. */
uint64_t cell_measure(struct cell *cell);

/* Lowest address at which the host lets a process map something. */
gla_t cell_lowest(void);

enum cell_stop {
    CELL_KICK,  /* cell_kick; state at an instruction boundary */
    CELL_FAULT, /* page fault at *address; state at the instruction */
    CELL_TRAP,  /* the instruction at EIP is one that traps: the interpreter's */
    CELL_ROGUE, /* guest code is not in 32-bit code any more: it left for a host selector */
    CELL_DEAD,  /* the cell is gone; cpu's state is the last one and complete if *complete */
};
/* Runs until something happens, not at all if *kick. The registers are read at each
 * stop: cell_get hands them out. */
enum cell_stop cell_run(struct cell *cell, const volatile int *kick, uint64_t *address);
/* EIP of the runner that cell_run found stopped. */
uint32_t cell_eip(struct cell *cell);
/* Registers into the stopped runner: general ones, EIP, EFLAGS, bases of FS and GS. */
void cell_put(struct cell *cell, const struct cpu *cpu);
/* And back. Also right after CELL_DEAD. */
void cell_get(struct cell *cell, struct cpu *cpu);
/* x87 and SSE state. */
void cell_put_fpu(struct cell *cell, const struct fxstate *fpu);
void cell_get_fpu(struct cell *cell, struct fxstate *fpu);

/* From the kick handler: whoever runs in a cell now comes out. Async-signal-safe. */
void cell_kick(void);
/* The vCPU thread may run on any processor again: it will not be back in a cell soon. */
void cell_unbind(void);
bool cell_is_dead(const struct cell *cell);

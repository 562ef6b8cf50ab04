/* When user code runs directly on the CPU, and running it (DESIGN.md, section 4). The cells themselves:
 * native/cell.h. */
#pragma once

#include "bt.h"

/* Direct execution is wanted; always: of all code that can. False, and *why, where the host allows none. */
bool direct_enable(struct bt *bt, bool always, const char **why);

/* Whether the present code is to run in its cell: cheap. */
bool direct_ready(const struct bt *bt);

/* Runs user code in the present space's cell until it stops for good. EXIT_KICK, EXIT_INTERP (the instruction at EIP is
 * the interpreter's), EXIT_FAULT (#GP(0): it has left 32-bit code), EXIT_LOOKUP (it is to be translated). */
enum exit_reason direct_run(struct bt *bt);

/* The address space, CPL or mode may be another now: sees to it that the way to user code comes by here if it is to. */
void direct_sync(struct bt *bt);

/* An interrupt came while translated user code ran: is it one that computes? */
void direct_sample(struct bt *bt);

/* The FPU state into bt->cpu.fpu, wherever it is. */
void direct_fetch_fpu(struct cpu *cpu);

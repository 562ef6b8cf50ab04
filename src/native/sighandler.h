/* Host signals: faults of translated code become fills of windows or guest exceptions, and the kick
 * signal takes the vCPU thread out of translated code at an instruction boundary.
 *
 * Departure from DESIGN.md section 3, "a signal unchains the block it finds itself in": the handler
 * knows from the block's rows whether the host stands between two guest instructions, and leaves at
 * once if so; if not, it single-steps the host (EFLAGS.TF) to the next boundary, a few instructions.
 * Nothing is patched, running code pays nothing, and the latency is bounded by one instruction
 * instead of one (possibly endless) chain of loops.
 */
#pragma once

#include <glib.h>

#include "bt.h"

/* For the vCPU thread, before it first enters translated code. */
void sighandler_attach(struct bt *bt);
/* Signal number of the kick (for pthread_kill). */
int sighandler_kick_signal(void);
/* No SIGCHLD for children that merely stop: cells do so all the time. */
void sighandler_quiet_children(void);
/* Process-wide handlers. */
void sighandler_init(void);
/* The same for an engine that needs no more of it than the kick: to be interrupted in a system call. */
void sighandler_init_kick(void);
void sighandler_attach_kick(void);

/* After EXIT_FAULT: what the guest's page tables refused. */
struct guest_fault {
    gla_t gla;
    uint32_t error;
    bool premap; /* user code may well have its page mapped at once when the guest has put it there */
};
extern struct guest_fault guest_fault;

/* What a debugger asks of the machine (debug.h), from the engine and the rules of standing still. debugger.c. */
#pragma once

#include "debug.h"

struct machine;

/* Part of struct machine; main thread but where it says otherwise. */
struct debugger {
    struct debug_target target;
    struct debug_client client; /* while attached */
    bool attached;
    bool runs;              /* as the client has been told */
    bool goes;              /* and the processor has not been told yet that it goes on from a stop */
    bool steps;             /* by one instruction */
    unsigned step_flags;    /* DEBUG_STEP_* */
    bool met;               /* stop is of now; machine lock */
    struct debug_stop stop; /* machine lock */
};

/* The machine has been made to stand or go on, perhaps; and it is about to go on. */
void debugger_settled(struct machine *machine);
void debugger_goes_on(struct machine *machine);
/* vcpu_hooks.debug_stop */
void debugger_hook(void *opaque, const struct debug_stop *stop);
void debugger_free(struct machine *machine);

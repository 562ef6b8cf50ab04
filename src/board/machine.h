/* The composition root: builds the PC, owns all wires between its parts, resets and ends it. */
#pragma once

#include <glib.h>

#include "cli/options.h"

struct machine;
struct debug_target;

/* Builds everything; nothing runs yet. NULL with a sentence in *error when the user's wishes or the host do
 * not allow it. One machine per process. */
struct machine *machine_new(const struct options *options, GError **error);
void machine_free(struct machine *machine); /* stopped */

/* Runs the machine on this thread's default main loop until it ends; returns the process's exit status. */
int machine_run(struct machine *machine);

/* What -machine knows: number i, NULL behind the last. */
struct machine_type {
    const char *name;   /* QEMU's */
    const char *alias;  /* or NULL */
    const char *prefix; /* of the names of other versions of the same, or NULL */
    const char *cpu;    /* its model, as -cpu has it */
    bool is_isa;        /* without PCI */
};
const struct machine_type *machine_type_at(unsigned i);
const struct machine_type *machine_type_find(const char *name);

/* What -gdb's device means in full, as -serial has it; free it. */
char *machine_gdb_device(const char *device);

/* Why it may stand still; it goes on when no reason is left. */
enum pause_reason {
    PAUSE_USER,     /* -S, stop */
    PAUSE_RESET,    /* it was off and has been reset */
    PAUSE_SHUTDOWN, /* the guest switched it off, and -no-shutdown */
    PAUSE_INTERNAL, /* it cannot go on */
    PAUSE_SNAPSHOT, /* its state is being looked at as a whole */
    PAUSE_DEBUG,    /* a debugger holds it */
    PAUSE_COUNT
};
/* Counted; main thread. */
void machine_pause(struct machine *machine, enum pause_reason reason);
void machine_resume(struct machine *machine, enum pause_reason reason);
/* The same from any thread with the machine lock held: the processor executes nothing more, the rest follows soon. */
void machine_pause_soon(struct machine *machine, enum pause_reason reason);
/* What the user wants. Main thread. cont: false with a sentence when the machine is off. */
void machine_stop(struct machine *machine);
bool machine_cont(struct machine *machine, GError **error);
void machine_reset(struct machine *machine);
/* The guest hears of it by ACPI, and decides. False: the board has no such button. Without the machine lock. */
bool machine_press_power_button(struct machine *machine);
/* "running", "paused", or QEMU's word for why it is paused. */
const char *machine_status(struct machine *machine);

/* For a debugger: see debug.h. */
const struct debug_target *machine_debug_target(struct machine *machine);

/* Ask it to end, with this status. Any thread. The first request counts. */
void machine_quit(struct machine *machine, int status);
/* The same with status 0, and why, which those who listen are told (QMP's SHUTDOWN). Any thread. */
enum shutdown_reason { SHUTDOWN_QMP_QUIT, SHUTDOWN_SIGNAL, SHUTDOWN_UI };
void machine_shut_down(struct machine *machine, enum shutdown_reason reason);

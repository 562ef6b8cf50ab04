/* The commands, in files by subject; each adds its rows, types and events to the table (host/control/command.h). */
#pragma once

#include "board/machine_internal.h"
#include "host/control/command.h"
#include "host/control/events.h"

void commands_run_add(void);     /* the life of the machine: stop, cont, quit, reset, and what it is */
void commands_cpu_add(void);     /* the processor: registers, page tables, statistics */
void commands_memory_add(void);  /* guest memory: x, xp, memsave */
void commands_block_add(void);   /* drives and media */
void commands_char_add(void);    /* character devices, file descriptors */
void commands_net_add(void);     /* network cards and back ends, objects */
void commands_input_add(void);   /* keys and the pointer */
void commands_audio_add(void);   /* sound */
void commands_screen_add(void);  /* what is on the screen */
void commands_device_add(void);  /* the board and what is on it */
void commands_object_add(void);  /* the same as a tree of objects (qom-*) */
void commands_about_add(void);   /* of the table itself: help, query-commands, query-qmp-schema */
void commands_balloon_add(void); /* memory that the guest gives back */
void commands_vnc_add(void);     /* the screen for viewers far away */
void commands_log_add(void);     /* logs, statistics, the flight recorder */

/* A string, bool or integer as the command line writes it; anything else is nothing. */
void commands_add_scalar(struct keyvalues *list, const char *key, const json_t *value);

/* The machine stands between these; guest registers may be looked at. Not nested. */
static inline const struct cpu *commands_hold(struct machine *machine)
{
    machine_pause(machine, PAUSE_SNAPSHOT);
    return vcpu_cpu(machine->vcpu);
}
static inline void commands_release(struct machine *machine)
{
    machine_resume(machine, PAUSE_SNAPSHOT);
}

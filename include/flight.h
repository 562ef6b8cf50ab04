/* What happened last: a ring of events of the processor, and one of the latest exits of translated code. Written on the
 * processor's thread, where things are slow anyway; read by anybody at any time. For `info flight`, triple faults and
 * our own crashes.
 */
#pragma once

#include <glib.h>

#include "cpu.h"

enum flight_kind {
    FLIGHT_EXCEPTION, /* vector, its error code, CR2 */
    FLIGHT_SOFT_INT,  /* vector */
    FLIGHT_IRQ,       /* vector */
    FLIGHT_CR0,       /* the new value, the old one */
    FLIGHT_TASK,      /* the new task's selector */
    FLIGHT_TRIPLE,    /* a triple fault */
    FLIGHT_RESET,
    FLIGHT_POINT, /* the debugger's: enum debug_why, address */
    FLIGHT_KINDS
};

/* At cpu's CS:EIP. Exceptions and software interrupts have no time. */
void flight_note(enum flight_kind kind, const struct cpu *cpu, uint32_t a, uint32_t b, uint32_t c);
void flight_exit(enum exit_reason reason, uint32_t eip);

void flight_print(GString *out); /* any thread */
/* The same without allocating anything: from a signal handler of ours that is about to end the process. */
void flight_dump(int fd);

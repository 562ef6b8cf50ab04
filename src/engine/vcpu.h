/* The run loop of the virtual CPU: the only caller of the engines, on a thread of its own.
 *
 * The thread runs guest code without the machine lock; devices take it around each access. Everybody else
 * speaks to it through the few functions below, each callable from any thread.
 */
#pragma once

#include <glib.h>
#include <stdio.h>

#include "cpu.h"
#include "debug.h"

enum accel_kind {
    ACCEL_BT,       /* binary translation */
    ACCEL_INTERP,   /* the interpreter */
    ACCEL_LOCKSTEP, /* both, compared block by block */
    ACCEL_DIRECT,   /* translation, and ring 3 directly on the host CPU */
    ACCEL_KVM,      /* the host CPU's virtualization, by /dev/kvm */
    ACCEL_COUNT
};

/* What the run loop needs from the machine. All are called on the vCPU thread. */
struct vcpu_hooks {
    uint8_t (*ack)(void *opaque);               /* INTA cycle; machine lock held */
    void (*reset)(void *opaque);                /* reset everything, CPU state included; machine lock held */
    void (*triple_fault)(void *opaque);         /* machine lock held; usually asks for a reset */
    void (*set_ferr)(void *opaque, bool level); /* FERR# pin changed; machine lock held */
    void *opaque;
    /* After vcpu_request_bus, between two instructions: bus masters may move data; machine lock held. RAM with
     * code in it is written by this thread only. May be NULL. */
    void (*bus)(void *opaque);
    /* A point was met, or a step is done: once for each vcpu_debug_go. Called with the machine lock held, in the middle
     * of an instruction: the processor is to be paused, and stands before the next one. May be NULL. */
    void (*debug_stop)(void *opaque, const struct debug_stop *stop);
    /* Before it sleeps in HLT it looks around for a moment, again and again: what has come asks for the bus. last: it
     * sleeps now, and is to be woken. Machine lock held. May be NULL. */
    void (*look)(void *opaque, bool last);
};

struct vcpu;

const char *vcpu_accel_name(enum accel_kind kind);
/* Whether it would run on this host; else *error says why not. */
bool vcpu_accel_works(enum accel_kind kind, GError **error);

/* Builds the CPU and its engine; nothing is reset yet. NULL with *error set when this engine cannot run
 * here. hooks is copied; model stays the caller's, and stays. */
struct vcpu *vcpu_new(enum accel_kind kind, bool direct_always, unsigned tb_size, const struct cpu_model *model,
                      const struct vcpu_hooks *hooks, GError **error);
void vcpu_free(struct vcpu *vcpu); /* stopped */
/* The architectural state: touched only on the vCPU thread, or while it is stopped. */
struct cpu *vcpu_cpu(struct vcpu *vcpu);

/* Starts the thread. paused: it waits for vcpu_resume. False: the host gives none. */
bool vcpu_start(struct vcpu *vcpu, bool paused);
/* Ends the thread and waits for it. False: it hangs (our bug), and the process can only be left with _exit.
 * Not with the machine lock held, nor from the vCPU thread. */
bool vcpu_stop(struct vcpu *vcpu);

/* Look at interrupt, stop and reset now. */
void vcpu_kick(struct vcpu *vcpu);
void vcpu_request_reset(struct vcpu *vcpu);
void vcpu_request_bus(struct vcpu *vcpu); /* see hooks.bus */
void vcpu_request_nmi(struct vcpu *vcpu); /* one is remembered while another is being handled */
/* The host's number of its thread (gettid); 0: it has not started. */
int vcpu_thread_id(const struct vcpu *vcpu);
/* For how long the host has let the processor's thread run. */
int64_t vcpu_busy_ns(const struct vcpu *vcpu);
/* Stops executing at the next instruction boundary; does not wait. */
void vcpu_pause(struct vcpu *vcpu);
/* Waits until it stands: then all of its state is in struct cpu. Not from the vCPU thread, nor with the machine lock
 * held. */
void vcpu_wait(struct vcpu *vcpu);
void vcpu_resume(struct vcpu *vcpu);
bool vcpu_is_current(const struct vcpu *vcpu); /* this is its thread */

/* Calls fn on the processor's thread between two instructions, and waits for it; before the thread is started, at once.
 * By one thread only, which is not that one, without the machine lock. */
void vcpu_call(struct vcpu *vcpu, void (*fn)(void *opaque), void *opaque);

/* --- For a debugger: see debug.h. Points are points.h's; on the main thread, after all vcpu_debug_works. --- */
bool vcpu_debug_works(const struct vcpu *vcpu, GError **error);
/* The engine is to see the points as they are now. */
void vcpu_points_changed(struct vcpu *vcpu);
/* What the next vcpu_resume is to do first, while it stands. */
enum debug_go {
    DEBUG_GO_RUN, /* on from a breakpoint */
    DEBUG_GO_STEP,
    DEBUG_GO_STEP_NOIRQ,
};
void vcpu_debug_go(struct vcpu *vcpu, enum debug_go go);
/* One instruction while it and its clocks stand, and go on to. Not if it is halted. */
void vcpu_debug_step_now(struct vcpu *vcpu);

/* The INTR pin. Machine lock held. */
void vcpu_set_intr(struct vcpu *vcpu, bool level);
/* The IGNNE#/A20M# pins belong to the CPU's bus: callable with the machine lock held, from a port access
 * of this CPU or from a reset. open: address line 20 passes. */
void vcpu_set_a20(struct vcpu *vcpu, bool open);

/* The processor with its pins as bytes, while it stands and so does time. Load: false when they do not fit. */
void vcpu_save(struct vcpu *vcpu, GByteArray *out);
bool vcpu_load(struct vcpu *vcpu, const uint8_t *bytes, size_t len);

/* The statistics (stats.h) with those of the engine: a table, or one JSON object. Any thread. */
void vcpu_print_stats(struct vcpu *vcpu, bool json, GString *out);

/* How much is translated, in the form of QEMU's "info jit". Any thread. */
void vcpu_print_jit(struct vcpu *vcpu, GString *out);

/* Guest instructions executed so far (exact for the interpreter). */
uint64_t vcpu_instructions(const struct vcpu *vcpu);

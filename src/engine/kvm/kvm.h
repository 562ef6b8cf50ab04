/* Guest code on the CPU's own virtualization, by way of /dev/kvm: the same machine and devices, for comparison, and
 * for hosts that have it. Interrupt controllers and timers stay ours. Linux, Documentation/virt/kvm/api.rst.
 *
 * While guest code runs, KVM holds the registers; struct cpu is brought up to date by kvm_fetch only. Who changes
 * struct cpu in between sets cpu->changed, and what is there replaces KVM's at the next kvm_run_guest.
 *
 * A20: closed, the second MiB is an alias of the first (kvm_state.h). FERR#, the interrupt way of x87 errors, does
 * not exist under KVM: guests with CR0.NE = 0 hear of no error.
 */
#pragma once

#include <glib.h>
#include <pthread.h>

#include "cpu.h"

struct kvm;

/* cpu: not yet reset. NULL with *error, a sentence, where KVM cannot be used (kvm_host.h). One per process. */
struct kvm *kvm_new(struct cpu *cpu, GError **error);
void kvm_free(struct kvm *kvm);
/* For the thread that will call kvm_run_guest, once. */
void kvm_attach_thread(struct kvm *kvm);

/* What the engine asks for while it runs: the vector of the interrupt that waits, as an INTA cycle, or -1 if none
 * does any more. Called without the machine lock. */
struct kvm_irq {
    int (*take)(void *opaque);
    void *opaque;
};

/* Runs until *kick (EXIT_KICK), HLT with nothing to wake it (EXIT_HALT) or triple fault (EXIT_SHUTDOWN). *intr is the
 * level of INTR. */
enum exit_reason kvm_run_guest(struct kvm *kvm, const volatile int *kick, const volatile int *intr,
                               const struct kvm_irq *irq);
/* An NMI: taken as soon as the guest can. vCPU thread. */
void kvm_nmi(struct kvm *kvm);
/* Brings struct cpu up to date. vCPU thread. */
void kvm_fetch(struct kvm *kvm);
/* Makes kvm_run_guest look at *kick, which the caller has set. Any thread. */
void kvm_kick(struct kvm *kvm, pthread_t thread);

/* Between struct cpu and KVM's views of a processor; memory slots. Pure: no system calls. Linux,
 * Documentation/virt/kvm/ api.rst; Intel SDM vol. 3A, 3.4.5 (descriptors).
 */
#pragma once

#include <linux/kvm.h>

#include "cpu.h"

/* All of what a guest can see of its registers, but MSRs and the TSC. */
struct kvm_state {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_fpu fpu;
    struct kvm_debugregs debug;
    struct kvm_vcpu_events events;
};

/* state from cpu; nothing is pending in it. */
void kvm_state_from_cpu(struct kvm_state *state, const struct cpu *cpu);
/* The other way round. PDPTEs, MSRs and halted stay as they are. */
void kvm_state_to_cpu(const struct kvm_state *state, struct cpu *cpu);

/* The MSRs that are carried over one by one. n < KVM_STATE_MSRS: which it is and where it is in struct cpu; 0 in *index
 * where the CPU model lacks it. */
#define KVM_STATE_MSRS 33
uint64_t kvm_state_msr(const struct cpu *cpu, unsigned n, uint32_t *index);
void kvm_state_set_msr(struct cpu *cpu, unsigned n, uint64_t value);

/* What CPUID shows, for KVM_SET_CPUID2. Returns how many of the max entries were filled in. */
#define KVM_STATE_CPUID_MAX 32
unsigned kvm_state_cpuid(const struct cpu *cpu, struct kvm_cpuid_entry2 *entry, unsigned max);

/* One memory slot. */
struct kvm_slot {
    uint64_t gpa, size;
    uint8_t *host;
    bool rom;
};
/* The slots of the present memory map (guest_mem), in ascending order. a20_masked: the second MiB is an alias of the
 * first, all that software of those days reaches; the odd MiBs above it are left alone. Returns how many, at most
 * max. */
#define KVM_SLOTS_MAX 128
unsigned kvm_slots_compute(struct kvm_slot *slot, unsigned max, bool a20_masked);

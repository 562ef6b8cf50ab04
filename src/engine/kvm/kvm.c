/* The run loop around KVM_RUN. See engine_kvm.h. */
#include "kvm.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/msr.h"
#include "cpu/paging.h"
#include "ioport.h"
#include "kvm_host.h"
#include "kvm_state.h"
#include "log.h"
#include "mem.h"
#include "native/sighandler.h"
#include "stats.h"
#include "vclock.h"

/* Older Intel CPUs need four pages of the guest's physical space; where QEMU has them. */
#define IDENTITY_MAP_ADDR 0xfeffc000ull
#define TSS_ADDR          0xfeffd000ull

struct kvm {
    struct cpu *cpu;
    struct kvm_host host;
    int vcpu;
    struct kvm_run *run;
    size_t run_size;
    struct kvm_slot slot[KVM_SLOTS_MAX]; /* size 0: unused */
    struct kvm_slot want[KVM_SLOTS_MAX];
    uint32_t mem_generation;
    bool mem_known, a20_masked;
    uint64_t apic_base;
    bool half_done;                /* the last exit was for an access that KVM finishes at the next entry */
    struct kvm_vcpu_events events; /* of the last fetch */
    bool warned;                   /* about instructions KVM could not do */
};

#define FAIL(...) (g_set_error(error, g_quark_from_static_string("ringer"), 0, __VA_ARGS__), false)

/* --- Building --- */

static bool set_cpuid(const struct kvm *kvm)
{
    struct kvm_cpuid2 *cpuid = g_malloc0(sizeof(*cpuid) + KVM_STATE_CPUID_MAX * sizeof(cpuid->entries[0]));
    cpuid->nent = kvm_state_cpuid(kvm->cpu, cpuid->entries, KVM_STATE_CPUID_MAX);
    int rc = ioctl(kvm->vcpu, KVM_SET_CPUID2, cpuid);
    g_free(cpuid);
    return rc == 0;
}

/* MSRs that KVM does not know come to us, where the kernel can do that; else they are #GP. */
static void route_msrs(const struct kvm *kvm)
{
    struct kvm_enable_cap cap = {.cap = KVM_CAP_X86_USER_SPACE_MSR,
                                 .args = {KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL}};
    if (ioctl(kvm->host.dev, KVM_CHECK_EXTENSION, KVM_CAP_X86_USER_SPACE_MSR) > 0)
        ioctl(kvm->host.vm, KVM_ENABLE_CAP, &cap);
}

struct kvm *kvm_new(struct cpu *cpu, GError **error)
{
    struct kvm *kvm = g_new0(struct kvm, 1);
    kvm->cpu = cpu;
    kvm->vcpu = -1;
    kvm->run = MAP_FAILED;
    kvm->host = (struct kvm_host){-1, -1};
    if (!kvm_host_try(error) || !kvm_host_open(&kvm->host, error))
        goto fail;
    uint64_t identity = IDENTITY_MAP_ADDR;
    if (ioctl(kvm->host.dev, KVM_CHECK_EXTENSION, KVM_CAP_SET_IDENTITY_MAP_ADDR) > 0)
        ioctl(kvm->host.vm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
    if (ioctl(kvm->host.dev, KVM_CHECK_EXTENSION, KVM_CAP_SET_TSS_ADDR) > 0)
        ioctl(kvm->host.vm, KVM_SET_TSS_ADDR, TSS_ADDR);
    route_msrs(kvm);
    kvm->vcpu = ioctl(kvm->host.vm, KVM_CREATE_VCPU, 0);
    int size = ioctl(kvm->host.dev, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (kvm->vcpu >= 0 && size > 0) {
        kvm->run_size = (size_t)size;
        kvm->run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, kvm->vcpu, 0);
    }
    if (kvm->run == MAP_FAILED) {
        (void)FAIL("KVM cannot be used: it makes no processor (%s); use -accel bt, which needs none",
                   g_strerror(errno));
        goto fail;
    }
    if (!set_cpuid(kvm)) {
        (void)FAIL("KVM cannot be used: it refuses this model of processor (%s); try -cpu default, or -accel bt",
                   g_strerror(errno));
        goto fail;
    }
    sighandler_init_kick();
    return kvm;

fail:
    kvm_free(kvm);
    return NULL;
}

void kvm_free(struct kvm *kvm)
{
    if (kvm->run != MAP_FAILED)
        munmap(kvm->run, kvm->run_size);
    if (kvm->vcpu >= 0)
        close(kvm->vcpu);
    kvm_host_close(&kvm->host);
    g_free(kvm);
}

void kvm_attach_thread(struct kvm *kvm)
{
    sighandler_attach_kick();
}

/* --- Memory --- */

static void slot_set(struct kvm *kvm, unsigned n, const struct kvm_slot *slot)
{
    struct kvm_userspace_memory_region region = {.slot = n};
    if (slot) {
        region.guest_phys_addr = slot->gpa;
        region.memory_size = slot->size;
        region.userspace_addr = (uintptr_t)slot->host;
        region.flags = slot->rom ? KVM_MEM_READONLY : 0;
    }
    if (ioctl(kvm->host.vm, KVM_SET_USER_MEMORY_REGION, &region) != 0) {
        log_user("KVM refuses a piece of guest memory at %#llx (%s)", (unsigned long long)(slot ? slot->gpa : 0),
                 g_strerror(errno));
        assert_always(!"memory slot");
    }
    kvm->slot[n] = slot ? *slot : (struct kvm_slot){0};
}

static bool slot_is(const struct kvm_slot *a, const struct kvm_slot *b)
{
    return a->gpa == b->gpa && a->size == b->size && a->host == b->host && a->rom == b->rom;
}

/* Slots that are wanted no more go first: they may not overlap with those that come. */
static void slots_update(struct kvm *kvm)
{
    unsigned count = kvm_slots_compute(kvm->want, KVM_SLOTS_MAX, kvm->cpu->a20_masked);
    for (unsigned n = 0; n < KVM_SLOTS_MAX; n++) {
        bool wanted = false;
        for (unsigned i = 0; i < count && !wanted; i++)
            wanted = slot_is(&kvm->want[i], &kvm->slot[n]);
        if (kvm->slot[n].size && !wanted)
            slot_set(kvm, n, NULL);
    }
    for (unsigned i = 0; i < count; i++) {
        unsigned at = KVM_SLOTS_MAX;
        bool there = false;
        for (unsigned n = 0; n < KVM_SLOTS_MAX && !there; n++) {
            there = slot_is(&kvm->want[i], &kvm->slot[n]);
            if (!kvm->slot[n].size && at == KVM_SLOTS_MAX)
                at = n;
        }
        if (there)
            continue;
        assert_always(at < KVM_SLOTS_MAX);
        slot_set(kvm, at, &kvm->want[i]);
    }
}

static void slots_sync(struct kvm *kvm)
{
    if (likely(kvm->mem_known && kvm->mem_generation == guest_mem.generation &&
               kvm->a20_masked == kvm->cpu->a20_masked))
        return;
    machine_lock();
    kvm->mem_generation = guest_mem.generation;
    kvm->a20_masked = kvm->cpu->a20_masked;
    kvm->mem_known = true;
    slots_update(kvm);
    machine_unlock();
}

/* --- Registers --- */

/* One MSR; false: KVM has none of this number. */
static bool msr_access(const struct kvm *kvm, unsigned long request, uint32_t index, uint64_t *value)
{
    union {
        struct kvm_msrs head;
        uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
    } msrs = {.head = {.nmsrs = 1}};
    msrs.head.entries[0] = (struct kvm_msr_entry){.index = index, .data = *value};
    if (ioctl(kvm->vcpu, request, &msrs) != 1)
        return false;
    *value = msrs.head.entries[0].data;
    return true;
}

/* The guest's TSC is the host's and an offset, as under every engine: exact where the kernel takes the offset
 * itself (5.16), else by setting the counter. */
static void tsc_set(const struct kvm *kvm)
{
    uint64_t value = kvm->cpu->tsc_offset;
    struct kvm_device_attr attr = {.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&value};
    if (ioctl(kvm->vcpu, KVM_SET_DEVICE_ATTR, &attr) == 0)
        return;
    value = cpu_tsc(kvm->cpu);
    msr_access(kvm, KVM_SET_MSRS, MSR_TSC, &value);
}

static void tsc_get(const struct kvm *kvm)
{
    uint64_t value = 0;
    struct kvm_device_attr attr = {.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&value};
    if (ioctl(kvm->vcpu, KVM_GET_DEVICE_ATTR, &attr) == 0)
        kvm->cpu->tsc_offset = value;
    else if (msr_access(kvm, KVM_GET_MSRS, MSR_TSC, &value))
        kvm->cpu->tsc_offset += value - cpu_tsc(kvm->cpu);
}

/* Makes KVM's registers those of struct cpu. */
static void kvm_load(struct kvm *kvm)
{
    struct cpu *cpu = kvm->cpu;
    struct kvm_state state;

    kvm_state_from_cpu(&state, cpu);
    kvm->apic_base = cpu->msr_apicbase;
    if (ioctl(kvm->vcpu, KVM_SET_SREGS, &state.sregs) != 0 || ioctl(kvm->vcpu, KVM_SET_REGS, &state.regs) != 0 ||
        ioctl(kvm->vcpu, KVM_SET_FPU, &state.fpu) != 0 || ioctl(kvm->vcpu, KVM_SET_DEBUGREGS, &state.debug) != 0 ||
        ioctl(kvm->vcpu, KVM_SET_VCPU_EVENTS, &state.events) != 0) {
        log_user("KVM refuses the state of the processor (%s)", g_strerror(errno));
        assert_always(!"processor state");
    }
    for (unsigned n = 0; n < KVM_STATE_MSRS; n++) {
        uint32_t index;
        uint64_t value = kvm_state_msr(cpu, n, &index);
        if (index)
            msr_access(kvm, KVM_SET_MSRS, index, &value); /* what it does not have, it does not show either */
    }
    tsc_set(kvm);
    cpu->changed = 0;
}

void kvm_fetch(struct kvm *kvm)
{
    struct cpu *cpu = kvm->cpu;
    struct kvm_state state;
    uint32_t changed = cpu->changed;

    if (changed & ~CHANGED_A20)
        return; /* struct cpu is ahead */
    int rc = ioctl(kvm->vcpu, KVM_GET_SREGS, &state.sregs) | ioctl(kvm->vcpu, KVM_GET_REGS, &state.regs) |
             ioctl(kvm->vcpu, KVM_GET_FPU, &state.fpu) | ioctl(kvm->vcpu, KVM_GET_DEBUGREGS, &state.debug) |
             ioctl(kvm->vcpu, KVM_GET_VCPU_EVENTS, &state.events);
    assert_always(rc == 0);
    kvm_state_to_cpu(&state, cpu);
    kvm->events = state.events;
    for (unsigned n = 0; n < KVM_STATE_MSRS; n++) {
        uint32_t index;
        uint64_t value = kvm_state_msr(cpu, n, &index);
        if (index && msr_access(kvm, KVM_GET_MSRS, index, &value))
            kvm_state_set_msr(cpu, n, value);
    }
    tsc_get(kvm);
    if (cpu_is_paging(cpu) && (cpu->cr4 & CR4_PAE))
        paging_load_pdptes(cpu, cpu->cr3);
    cpu->changed = changed;
}

/* --- Exits --- */

static void port_exit(struct kvm *kvm, const struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    enum stat_id before = stats_enter(STAT_device_port);
    bool uses_registers = ioport_uses_registers(run->io.port);
    if (uses_registers) /* a call: they come here, and go back with the next entry */
        kvm_fetch(kvm);

    machine_lock();
    for (uint32_t n = 0; n < run->io.count; n++, data += run->io.size) {
        uint32_t value = 0;
        if (run->io.direction == KVM_EXIT_IO_IN) {
            value = ioport_read(run->io.port, run->io.size);
            memcpy(data, &value, run->io.size);
        } else {
            memcpy(&value, data, run->io.size);
            ioport_write(run->io.port, run->io.size, value);
        }
    }
    machine_unlock();
    if (uses_registers)
        kvm->cpu->changed |= CHANGED_MODE;
    stats_leave(before);
}

static void memory_exit(const struct kvm *kvm, struct kvm_run *run)
{
    gpa_t gpa = run->mmio.phys_addr;
    enum stat_id before = stats_enter(STAT_device_memory);

    if (kvm->cpu->a20_masked)
        gpa &= ~(gpa_t)MiB;
    machine_lock();
    if (run->mmio.is_write)
        mem_write(gpa, run->mmio.data, run->mmio.len);
    else
        mem_read(gpa, run->mmio.data, run->mmio.len);
    machine_unlock();
    stats_leave(before);
}

static void msr_exit(const struct kvm *kvm, struct kvm_run *run)
{
    uint64_t value = run->msr.data;
    stats_count(STAT_msr);
    if (run->exit_reason == KVM_EXIT_X86_RDMSR) {
        run->msr.error = !msr_read(kvm->cpu, run->msr.index, &value);
        run->msr.data = value;
    } else {
        run->msr.error = !msr_write(kvm->cpu, run->msr.index, value);
        kvm->cpu->changed = 0; /* what these MSRs hold is not KVM's */
    }
}

/* KVM is at a loss with this instruction: the interpreter executes it. */
static void step_ourselves(struct kvm *kvm, uint64_t why)
{
    if (!kvm->warned)
        log_user("KVM could not run guest code (exit %u, %#llx); such instructions are interpreted",
                 kvm->run->exit_reason, (unsigned long long)why);
    kvm->warned = true;
    kvm_fetch(kvm);
    interp_flush_tlb(kvm->cpu);
    enum stat_id before = stats_enter(STAT_interp);
    stats_count(STAT_interp_insns);
    /* What was on its way into the guest goes first, or it would be lost. */
    if (kvm->events.interrupt.injected && !kvm->events.interrupt.soft)
        cpu_interrupt(kvm->cpu, kvm->events.interrupt.nr);
    else if (kvm->events.exception.injected)
        cpu_exception(kvm->cpu, kvm->events.exception.nr, kvm->events.exception.error_code, kvm->cpu->cr2);
    else
        interp_step(kvm->cpu);
    stats_leave(before);
    kvm->cpu->changed |= CHANGED_MODE;
}

/* An access to IA32_APIC_BASE is KVM's affair, but the local APIC is ours. */
static void apicbase_sync(struct kvm *kvm)
{
    if (likely(kvm->run->apic_base == kvm->apic_base))
        return;
    kvm->apic_base = kvm->run->apic_base;
    uint32_t changed = kvm->cpu->changed;
    msr_write(kvm->cpu, MSR_APICBASE, kvm->apic_base);
    kvm->cpu->changed = changed;
}

void kvm_nmi(struct kvm *kvm)
{
    if (kvm->cpu->changed & ~CHANGED_A20)
        kvm_load(kvm); /* which would forget it */
    ioctl(kvm->vcpu, KVM_NMI, 0);
    kvm->cpu->halted = false;
    stats_count(STAT_irq);
}

/* Hands a waiting interrupt over if the guest can take it now; else asks to hear when it can. */
static void interrupt(struct kvm *kvm, const volatile int *intr, const struct kvm_irq *irq)
{
    struct kvm_run *run = kvm->run;
    if (*intr && run->ready_for_interrupt_injection && run->if_flag) {
        stats_enter(STAT_interrupt);
        int vector = irq->take(irq->opaque);
        if (vector >= 0) {
            struct kvm_interrupt interrupt = {.irq = (uint32_t)vector};
            int rc = ioctl(kvm->vcpu, KVM_INTERRUPT, &interrupt);
            assert_always(rc == 0);
            run->ready_for_interrupt_injection = 0; /* one at a time */
            kvm->cpu->halted = false;
            stats_count(STAT_irq);
        }
        stats_leave(STAT_dispatch);
    }
    run->request_interrupt_window = *intr != 0;
}

/* Returns EXIT_BUDGET to go on. */
static enum exit_reason handle(struct kvm *kvm)
{
    struct kvm_run *run = kvm->run;
    kvm->half_done = run->exit_reason == KVM_EXIT_IO || run->exit_reason == KVM_EXIT_MMIO ||
                     run->exit_reason == KVM_EXIT_X86_RDMSR || run->exit_reason == KVM_EXIT_X86_WRMSR;
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        stats_enter(STAT_port);
        port_exit(kvm, run);
        break;
    case KVM_EXIT_MMIO:
        stats_enter(STAT_memory);
        memory_exit(kvm, run);
        break;
    case KVM_EXIT_HLT:
        stats_count(STAT_hlt);
        kvm->cpu->halted = true;
        break;
    case KVM_EXIT_SHUTDOWN:
        kvm_fetch(kvm);
        kvm->cpu->shutdown = true;
        return EXIT_SHUTDOWN;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        msr_exit(kvm, run);
        break;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_INTR:
    case KVM_EXIT_SET_TPR:
        break;
    case KVM_EXIT_FAIL_ENTRY:
        step_ourselves(kvm, run->fail_entry.hardware_entry_failure_reason);
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        step_ourselves(kvm, run->internal.suberror);
        break;
    default:
        step_ourselves(kvm, run->hw.hardware_exit_reason);
    }
    stats_leave(STAT_dispatch);
    return EXIT_BUDGET;
}

/* A port or memory access may be half done, and the registers not yet what they will be: KVM finishes it on its way in,
 * and comes out at once, perhaps with the rest of the access. */
static enum exit_reason finish_access(struct kvm *kvm)
{
    struct kvm_run *run = kvm->run;
    while (kvm->half_done) {
        __atomic_store_n(&run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        kvm->half_done = false;
        if (ioctl(kvm->vcpu, KVM_RUN, 0) != 0)
            break;
        enum exit_reason reason = handle(kvm);
        if (reason != EXIT_BUDGET)
            return reason;
    }
    return EXIT_KICK;
}

enum exit_reason kvm_run_guest(struct kvm *kvm, const volatile int *kick, const volatile int *intr,
                               const struct kvm_irq *irq)
{
    struct cpu *cpu = kvm->cpu;
    struct kvm_run *run = kvm->run;

    stats_enter(STAT_dispatch);
    for (;;) {
        /* In this order: whoever kicks sets *kick first and immediate_exit last. */
        __atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(kick, __ATOMIC_SEQ_CST)) {
            stats_count(STAT_exit_kick);
            return finish_access(kvm);
        }
        slots_sync(kvm);
        if (cpu->changed & ~CHANGED_A20)
            kvm_load(kvm);
        cpu->changed = 0;
        interrupt(kvm, intr, irq);
        if (cpu->halted)
            return EXIT_HALT;
        run->cr8 = 0;
        kvm->half_done = false;
        stats_enter(STAT_guest);
        int rc = ioctl(kvm->vcpu, KVM_RUN, 0);
        stats_leave(STAT_dispatch);
        if (rc != 0) {
            assert_always(errno == EINTR || errno == EAGAIN);
            continue;
        }
        apicbase_sync(kvm);
        enum exit_reason reason = handle(kvm);
        if (reason != EXIT_BUDGET)
            return reason;
    }
}

void kvm_kick(struct kvm *kvm, pthread_t thread)
{
    __atomic_store_n(&kvm->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    pthread_kill(thread, sighandler_kick_signal());
}

/* Opening and trying /dev/kvm. See kvm_host.h; Linux, Documentation/virt/kvm/api.rst. */
#include "kvm_host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include "x86.h"

/* Every sentence that refuses KVM begins and ends alike. */
#define REFUSE(reason, ...) \
    (g_set_error(error, g_quark_from_static_string("ringer"), 0, \
                 "KVM cannot be used: " reason "; use -accel bt, which needs none", ##__VA_ARGS__), \
     false)

static const struct {
    int cap;
    const char *name;
} needed[] = {{KVM_CAP_USER_MEMORY, "user memory"},       {KVM_CAP_READONLY_MEM, "read-only memory"},
              {KVM_CAP_IMMEDIATE_EXIT, "immediate exit"}, {KVM_CAP_VCPU_EVENTS, "VCPU events"},
              {KVM_CAP_DEBUGREGS, "debug registers"},     {KVM_CAP_EXT_CPUID, "CPUID"}};

bool kvm_host_open(struct kvm_host *host, GError **error)
{
    *host = (struct kvm_host){-1, -1};
    host->dev = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (host->dev < 0)
        return REFUSE("/dev/kvm: %s", g_strerror(errno));
    if (ioctl(host->dev, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
        return REFUSE("/dev/kvm is not what we know");
    for (unsigned i = 0; i < G_N_ELEMENTS(needed); i++) {
        if (ioctl(host->dev, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
            return REFUSE("this kernel's lacks %s", needed[i].name);
    }
    host->vm = ioctl(host->dev, KVM_CREATE_VM, 0);
    if (host->vm < 0)
        return REFUSE("it makes no virtual machine (%s)", g_strerror(errno));
    return true;
}

void kvm_host_close(struct kvm_host *host)
{
    if (host->vm >= 0)
        close(host->vm);
    if (host->dev >= 0)
        close(host->dev);
}

/* --- The trial: a loop in 32-bit protected mode --- */

/* So few that an emulation, some microseconds an instruction, is found out in some milliseconds. */
#define TRIAL_LOOPS 1000u
#define TRIAL_CODE  0x1000u
#define TRIAL_SIZE  (2 * PAGE_SIZE)
/* Ticks that the loops may take beyond one of them alone: a hundred for each instruction. The CPU's own virtualization
 * takes one or two, emulation a thousand and more. */
#define TRIAL_SLOW (TRIAL_LOOPS * 2 * 100ull)
#define TRIALS     3

static bool trial_prepare(int vcpu, uint32_t loops)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = TRIAL_CODE, .rcx = loops, .rflags = FL_FIXED1};
    if (ioctl(vcpu, KVM_GET_SREGS, &sregs) != 0)
        return false;
    struct kvm_segment flat = {.limit = 0xffffffffu, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1};
    sregs.cs = flat;
    flat.selector = 16;
    flat.type = 3;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
    sregs.cr0 |= CR0_PE;
    return ioctl(vcpu, KVM_SET_SREGS, &sregs) == 0 && ioctl(vcpu, KVM_SET_REGS, &regs) == 0;
}

/* Ticks of one trial, 0 if it did not end as it should. */
static uint64_t trial_run(int vcpu, const struct kvm_run *run, uint32_t loops)
{
    struct kvm_regs regs;
    if (!trial_prepare(vcpu, loops))
        return 0;
    uint64_t begin = __rdtsc();
    int rc;
    do
        rc = ioctl(vcpu, KVM_RUN, 0);
    while (rc != 0 && errno == EINTR);
    uint64_t ticks = __rdtsc() - begin;
    bool right =
        rc == 0 && run->exit_reason == KVM_EXIT_HLT && ioctl(vcpu, KVM_GET_REGS, &regs) == 0 && (uint32_t)regs.rcx == 0;
    return right ? ticks : 0;
}

static bool trial(const struct kvm_host *host, int vcpu, uint8_t *ram, const struct kvm_run *run, GError **error)
{
    static const uint8_t code[] = {0x49,       /* 1: dec ecx */
                                   0x75, 0xfd, /* jnz 1b */
                                   0xf4};      /* hlt */
    struct kvm_userspace_memory_region region = {.memory_size = TRIAL_SIZE, .userspace_addr = (uintptr_t)ram};
    memcpy(ram + TRIAL_CODE, code, sizeof(code));
    if (ioctl(host->vm, KVM_SET_USER_MEMORY_REGION, &region) != 0)
        return REFUSE("it takes no memory (%s)", g_strerror(errno));
    /* The least of several: what came between is not its doing. */
    uint64_t one = UINT64_MAX;
    for (unsigned i = 0; i < TRIALS; i++) {
        uint64_t ticks = trial_run(vcpu, run, 1);
        if (!ticks)
            return REFUSE("it does not run 32-bit code");
        one = MIN(one, ticks);
    }
    for (unsigned i = 0; i < TRIALS; i++) {
        uint64_t ticks = trial_run(vcpu, run, TRIAL_LOOPS);
        if (!ticks)
            return REFUSE("it does not run 32-bit code");
        if (ticks < one + TRIAL_SLOW)
            return true;
    }
    return REFUSE("it has no hardware behind it for 32-bit code and emulates that");
}

bool kvm_host_try(GError **error)
{
    struct kvm_host host;
    bool ok = false;
    if (kvm_host_open(&host, error)) {
        int vcpu = ioctl(host.vm, KVM_CREATE_VCPU, 0), size = ioctl(host.dev, KVM_GET_VCPU_MMAP_SIZE, 0);
        struct kvm_run *run = MAP_FAILED;
        uint8_t *ram = mmap(NULL, TRIAL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (vcpu >= 0 && size > 0)
            run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
        if (run == MAP_FAILED || ram == MAP_FAILED)
            ok = REFUSE("it makes no processor (%s)", g_strerror(errno));
        else
            ok = trial(&host, vcpu, ram, run, error);
        if (run != MAP_FAILED)
            munmap(run, (size_t)size);
        if (vcpu >= 0)
            close(vcpu);
        kvm_host_close(&host);
        if (ram != MAP_FAILED)
            munmap(ram, TRIAL_SIZE);
    } else {
        kvm_host_close(&host);
    }
    return ok;
}

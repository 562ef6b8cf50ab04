/* Model-specific registers of the P6 family that kernels touch. Intel SDM vol. 4; vol. 3A, chapter 11
 * (MTRR, PAT). What is not here is #GP, logged once per register. */
#include "msr.h"

#include "cpuid.h"
#include "interp.h"
#include "log.h"

#define MSR_P5_MC_ADDR     0x000u
#define MSR_P5_MC_TYPE     0x001u
#define MSR_PLATFORM_ID    0x017u
#define MSR_EBL_CR_POWERON 0x02au
#define MSR_UCODE_WRITE    0x079u
#define MSR_MTRR_PHYS0     0x200u /* base and mask alternate, 8 pairs */
#define MTRR_PAIRS         8u

/* The eleven fixed MTRRs follow the sixteen variable registers in cpu->msr_mtrr. */
static struct {
    void (*apicbase)(void *opaque, uint64_t value);
    void *apicbase_opaque;
    struct tsc_deadline_hooks deadline;
} hooks;

void cpu_set_apicbase_hook(void (*hook)(void *opaque, uint64_t value), void *opaque)
{
    hooks.apicbase = hook;
    hooks.apicbase_opaque = opaque;
}

void cpu_set_tsc_deadline_hooks(struct tsc_deadline_hooks deadline)
{
    hooks.deadline = deadline;
}

static void deadline_write(const struct cpu *cpu, uint64_t value)
{
    if (hooks.deadline.write)
        hooks.deadline.write(hooks.deadline.opaque, value, value - cpu->tsc_offset);
}

static const uint32_t mtrr_fixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

static uint64_t *mtrr_slot(struct cpu *cpu, uint32_t index)
{
    if (!(cpu->model->edx & CPUID_MTRR))
        return NULL;
    if (index == MSR_MTRR_DEF_TYPE)
        return &cpu->msr_mtrr_def_type;
    if (index >= MSR_MTRR_PHYS0 && index < MSR_MTRR_PHYS0 + MTRR_PAIRS * 2)
        return &cpu->msr_mtrr[index - MSR_MTRR_PHYS0];
    for (unsigned i = 0; i < sizeof(mtrr_fixed) / sizeof(mtrr_fixed[0]); i++) {
        if (mtrr_fixed[i] == index)
            return &cpu->msr_mtrr[MTRR_PAIRS * 2 + i];
    }
    return NULL;
}

static void warn_once(struct cpu *cpu, uint32_t index, const char *what)
{
    uint32_t hash = (index ^ index >> 8) & 0xff;
    uint64_t *word = &cpu->interp->msr_warned[hash / 64];

    if (*word & (1ull << (hash % 64)))
        return;
    *word |= 1ull << (hash % 64);
    log_guest("%s of MSR %x, which this processor does not have: #GP", what, index);
}

bool msr_read(struct cpu *cpu, uint32_t index, uint64_t *value)
{
    const struct cpu_model *model = cpu->model;
    const uint64_t *mtrr = mtrr_slot(cpu, index);
    bool p6 = cpu_model_has(model, FEAT_P6);

    *value = 0;
    if (mtrr) {
        *value = *mtrr;
        return true;
    }
    switch (index) {
    case MSR_P5_MC_ADDR:
    case MSR_P5_MC_TYPE:
        return true;
    case MSR_TSC:
        *value = cpu_tsc(cpu);
        return true;
    case MSR_PLATFORM_ID:
    case MSR_EBL_CR_POWERON:
    case MSR_BIOS_SIGN_ID:
        if (p6)
            return true;
        break;
    case MSR_MISC_ENABLE:
        *value = cpu->msr_misc_enable;
        if (model->signature == 0x106ca)
            return true;
        break;
    case MSR_APICBASE:
        *value = cpu->msr_apicbase;
        if (p6)
            return true;
        break;
    case MSR_MTRRCAP:
        *value = MTRR_PAIRS | 1u << 8 | 1u << 10; /* fixed ranges, write-combining */
        if (model->edx & CPUID_MTRR)
            return true;
        break;
    case MSR_PAT:
        *value = cpu->msr_pat;
        if (model->edx & CPUID_PAT)
            return true;
        break;
    case MSR_SYSENTER_CS:
        *value = cpu->sysenter_cs;
        if (cpu_model_has(model, FEAT_SEP))
            return true;
        break;
    case MSR_SYSENTER_ESP:
        *value = cpu->sysenter_esp;
        if (cpu_model_has(model, FEAT_SEP))
            return true;
        break;
    case MSR_SYSENTER_EIP:
        *value = cpu->sysenter_eip;
        if (cpu_model_has(model, FEAT_SEP))
            return true;
        break;
    case MSR_TSC_DEADLINE:
        if (!(model->ecx & CPUID_TSC_DEADLINE_C))
            break;
        *value = hooks.deadline.read ? hooks.deadline.read(hooks.deadline.opaque) : 0;
        return true;
    case MSR_EFER:
        *value = cpu->efer;
        if (model->ext_edx & CPUID_NX_X)
            return true;
        break;
    default:
        break;
    }
    *value = 0;
    warn_once(cpu, index, "read");
    return false;
}

static bool memory_type_is_valid(uint8_t type, bool pat)
{
    return type <= 1 || (type >= 4 && type <= 6) || (pat && type == 7);
}

static bool pat_is_valid(uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        if (!memory_type_is_valid((uint8_t)(value >> (i * 8)), true))
            return false;
    }
    return true;
}

bool msr_write(struct cpu *cpu, uint32_t index, uint64_t value)
{
    const struct cpu_model *model = cpu->model;
    uint64_t *mtrr = mtrr_slot(cpu, index);
    bool p6 = cpu_model_has(model, FEAT_P6);

    if (mtrr) {
        *mtrr = value; /* caching is not modelled; the value is kept for whoever reads it back */
        return true;
    }
    switch (index) {
    case MSR_P5_MC_ADDR:
    case MSR_P5_MC_TYPE:
        return true;
    case MSR_TSC:
        cpu->tsc_offset += value - cpu_tsc(cpu);
        if (hooks.deadline.read && hooks.deadline.read(hooks.deadline.opaque))
            deadline_write(cpu, hooks.deadline.read(hooks.deadline.opaque)); /* it is due at another time now */
        return true;
    case MSR_EBL_CR_POWERON:
    case MSR_BIOS_SIGN_ID:
    case MSR_UCODE_WRITE:
        if (p6)
            return true;
        break;
    case MSR_MISC_ENABLE:
        if (model->signature != 0x106ca)
            break;
        cpu->msr_misc_enable = value;
        return true;
    case MSR_APICBASE:
        if (!p6)
            break;
        if (value & ~((1ull << model->phys_bits) - 1) || (value & 0x6ff))
            return false; /* reserved; BSP is read-only but written back by everybody */
        cpu->msr_apicbase = value;
        if (hooks.apicbase)
            hooks.apicbase(hooks.apicbase_opaque, value);
        return true;
    case MSR_PAT:
        if (!(model->edx & CPUID_PAT))
            break;
        if (!pat_is_valid(value))
            return false;
        cpu->msr_pat = value;
        return true;
    case MSR_SYSENTER_CS:
        if (!cpu_model_has(model, FEAT_SEP))
            break;
        cpu->sysenter_cs = (uint32_t)value;
        return true;
    case MSR_SYSENTER_ESP:
        if (!cpu_model_has(model, FEAT_SEP))
            break;
        cpu->sysenter_esp = (uint32_t)value;
        return true;
    case MSR_SYSENTER_EIP:
        if (!cpu_model_has(model, FEAT_SEP))
            break;
        cpu->sysenter_eip = (uint32_t)value;
        return true;
    case MSR_TSC_DEADLINE:
        if (!(model->ecx & CPUID_TSC_DEADLINE_C))
            break;
        deadline_write(cpu, value);
        return true;
    case MSR_EFER:
        if (!(model->ext_edx & CPUID_NX_X))
            break;
        if (value & ~(uint64_t)EFER_NXE)
            return false;
        if ((value ^ cpu->efer) & EFER_NXE) {
            cpu->changed |= CHANGED_MODE | CHANGED_TLB;
            cpu->efer = value;
            interp_flush_tlb(cpu);
        }
        return true;
    default:
        break;
    }
    warn_once(cpu, index, "write");
    return false;
}

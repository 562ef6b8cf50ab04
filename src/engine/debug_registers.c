/* A debugger's writes to registers (debug.h). What a MOV to the register would refuse, and what no processor can be in,
 * is refused; engines hear of the rest as they do of the guest's own changes.
 */
#include "debug_registers.h"

#include <string.h>

#include "cpu/control.h"
#include "cpu/msr.h"
#include "cpu/segment.h"
#include "debug_memory.h"

struct job {
    struct cpu *cpu;
    enum debug_register reg;
    unsigned number;
    const uint8_t *value;
    size_t len;
    bool ok;
};

/* Little endian, of any length; false: more than max. */
static bool number_of(const struct job *job, uint64_t max, uint64_t *number)
{
    *number = 0;
    if (job->len < 1 || job->len > 8)
        return false;
    memcpy(number, job->value, job->len);
    return *number <= max;
}

#define EFLAGS_KNOWN \
    (FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID)

/* VM and the protected mode's segments do not go together, so that it is not changed like this. */
static bool write_eflags(struct cpu *cpu, uint32_t value)
{
    if ((value ^ cpu->eflags) & FL_VM)
        return false;
    cpu->eflags = (value & EFLAGS_KNOWN) | FL_FIXED1;
    cpu->changed |= CHANGED_MODE;
    return true;
}

static bool find_descriptor(const struct cpu *cpu, uint16_t sel, struct desc *d)
{
    const struct seg *ldt = &cpu->seg[SEG_LDTR];
    uint32_t base = cpu->gdtr.base, limit = cpu->gdtr.limit, offset = sel & ~7u;
    if (sel & 4) {
        if (!(ldt->access & ACC_P))
            return false;
        base = ldt->base;
        limit = ldt->limit;
    }
    return offset + 7 <= limit && debug_peek(cpu, (gla_t)(base + offset), d, sizeof *d) == sizeof *d &&
           desc_is_present(d) && !desc_is_system(d);
}

/* May the descriptor be in this register at the present level? */
static bool fits_register(const struct cpu *cpu, enum segreg reg, uint16_t sel, const struct desc *d)
{
    unsigned rpl = sel & 3, dpl = desc_dpl(d), cpl = cpu->cpl;
    if (reg == SEG_CS)
        return desc_is_code(d) && rpl == cpl && (desc_is_conforming(d) ? dpl <= cpl : dpl == cpl);
    if (reg == SEG_SS)
        return desc_is_data(d) && (desc_type(d) & ACC_WRITE) && rpl == cpl && dpl == cpl;
    if (desc_is_code(d) && !(desc_type(d) & ACC_READ))
        return false;
    return desc_is_conforming(d) || (dpl >= rpl && dpl >= cpl);
}

static bool write_segment(struct cpu *cpu, unsigned reg, uint16_t sel)
{
    struct desc d;
    if (reg > SEG_GS)
        return false;
    if (sel == cpu->seg[reg].sel)
        return true; /* a debugger that writes all registers means no other descriptor */
    if (!cpu_is_protected(cpu)) {
        seg_set_real(cpu, (enum segreg)reg, sel);
        return true;
    }
    if (sel_is_null(sel) && reg != SEG_CS && reg != SEG_SS) {
        seg_set_null(cpu, (enum segreg)reg, sel);
        return true;
    }
    if (sel_is_null(sel) || !find_descriptor(cpu, sel, &d) || !fits_register(cpu, (enum segreg)reg, sel, &d))
        return false;
    d.high |= ACC_ACCESSED << 8; /* here, not in memory */
    seg_set(cpu, (enum segreg)reg, sel, &d);
    return true;
}

static bool write_base(struct cpu *cpu, unsigned reg, uint32_t base)
{
    if (reg > SEG_GS || (cpu_is_v86(cpu) && base != (uint32_t)cpu->seg[reg].sel << 4))
        return false;
    cpu->seg[reg].base = base;
    cpu->changed |= CHANGED_MODE;
    return true;
}

static bool write_control(struct cpu *cpu, unsigned number, uint32_t value)
{
    if (number == 8)
        return true;
    /* Without protection there is one level, and no V86. */
    if (number == 0 && !(value & CR0_PE) && (cpu->cpl || (cpu->eflags & FL_VM)))
        return false;
    return control_write(cpu, number, value);
}

/* --- FPU --- */

static unsigned top_of(const struct fxstate *fx)
{
    return fx->fsw >> 11 & 7;
}

/* The bits that say an exception waits follow from those that say which. */
static void settle_errors(struct fxstate *fx)
{
    bool waits = fx->fsw & ~fx->fcw & 0x3f;
    fx->fsw = (uint16_t)((fx->fsw & 0x7f7f) | (waits ? 0x8080 : 0));
}

/* The image has registers by their distance from TOP. */
static void write_status(struct fxstate *fx, uint16_t value)
{
    uint8_t st[8][16];
    unsigned before = top_of(fx);
    fx->fsw = value;
    memcpy(st, fx->st, sizeof st);
    for (unsigned i = 0; i < 8; i++)
        memcpy(fx->st[i], st[(top_of(fx) + i - before) & 7], sizeof st[0]);
    settle_errors(fx);
}

static void write_tags(struct fxstate *fx, uint16_t value)
{
    fx->ftw = 0;
    for (unsigned i = 0; i < 8; i++)
        fx->ftw |= (uint8_t)((value >> 2 * i & 3) != 3) << i;
}

static bool write_vector(const struct job *job)
{
    struct fxstate *fx = &job->cpu->fpu;
    bool is_st = job->reg == DEBUG_ST;
    size_t len = is_st ? 10 : 16;
    if (job->number > 7 || job->len != len)
        return false;
    memcpy(is_st ? fx->st[job->number] : fx->xmm[job->number], job->value, len);
    if (is_st)
        fx->ftw |= (uint8_t)(1u << ((top_of(fx) + job->number) & 7));
    return true;
}

static bool write_fpu(const struct job *job)
{
    struct fxstate *fx = &job->cpu->fpu;
    uint64_t value;
    bool is_long = job->reg == DEBUG_FIOFF || job->reg == DEBUG_FOOFF || job->reg == DEBUG_MXCSR;
    if (!number_of(job, is_long ? UINT32_MAX : UINT16_MAX, &value))
        return false;
    switch (job->reg) {
    case DEBUG_FCTRL:
        fx->fcw = (uint16_t)((value & 0x1f3f) | 0x40);
        settle_errors(fx);
        break;
    case DEBUG_FSTAT:
        write_status(fx, (uint16_t)value);
        break;
    case DEBUG_FTAG:
        write_tags(fx, (uint16_t)value);
        break;
    case DEBUG_FISEG:
        fx->fcs = (uint16_t)value;
        break;
    case DEBUG_FIOFF:
        fx->fip = (uint32_t)value;
        break;
    case DEBUG_FOSEG:
        fx->fds = (uint16_t)value;
        break;
    case DEBUG_FOOFF:
        fx->fdp = (uint32_t)value;
        break;
    case DEBUG_FOP:
        fx->fop = value & 0x7ff;
        break;
    case DEBUG_MXCSR:
        if (value & ~(uint64_t)fx->mxcsr_mask & UINT32_MAX)
            return false;
        fx->mxcsr = (uint32_t)value;
        break;
    default:
        return false;
    }
    return true;
}

/* --- All --- */

static bool write_register(const struct job *job)
{
    struct cpu *cpu = job->cpu;
    uint64_t value = 0;
    if (job->reg == DEBUG_ST || job->reg == DEBUG_XMM)
        return write_vector(job);
    if (job->reg >= DEBUG_FCTRL)
        return write_fpu(job);
    if (!number_of(job, job->reg == DEBUG_SEG ? UINT16_MAX : job->reg == DEBUG_EFER ? UINT64_MAX : UINT32_MAX, &value))
        return false;
    switch (job->reg) {
    case DEBUG_GPR:
        if (job->number > 7)
            return false;
        cpu->gpr[job->number] = (uint32_t)value;
        return true;
    case DEBUG_EIP:
        if (cpu->eip != (uint32_t)value)
            cpu->halted = false; /* it is to run there */
        cpu->eip = (uint32_t)value;
        return true;
    case DEBUG_EFLAGS:
        return write_eflags(cpu, (uint32_t)value);
    case DEBUG_SEG:
        return write_segment(cpu, job->number, (uint16_t)value);
    case DEBUG_SEG_BASE:
        return write_base(cpu, job->number, (uint32_t)value);
    case DEBUG_CR:
        return write_control(cpu, job->number, (uint32_t)value);
    case DEBUG_EFER:
        return msr_write(cpu, MSR_EFER, value);
    default:
        return false;
    }
}

static void register_job(void *opaque)
{
    struct job *job = opaque;
    job->ok = write_register(job);
}

bool debug_write_register(struct vcpu *vcpu, enum debug_register reg, unsigned number, const uint8_t *value, size_t len)
{
    struct job job = {.cpu = vcpu_cpu(vcpu), .reg = reg, .number = number, .value = value, .len = len};
    vcpu_call(vcpu, register_job, &job);
    return job.ok;
}

/* Registers, MSRs, CPUID and memory slots in KVM's forms. See kvm_state.h. */
#include "kvm_state.h"

#include <string.h>

#include "cpu/cpuid.h"
#include "mem.h"

/* struct kvm_regs has them by name. */
static __u64 *kvm_gpr(struct kvm_regs *regs, unsigned gpr)
{
    __u64 *const at[8] = {&regs->rax, &regs->rcx, &regs->rdx, &regs->rbx,
                          &regs->rsp, &regs->rbp, &regs->rsi, &regs->rdi};
    return at[gpr];
}

static struct kvm_segment *kvm_seg(struct kvm_sregs *sregs, unsigned seg)
{
    struct kvm_segment *const at[SEG_COUNT] = {&sregs->es, &sregs->cs, &sregs->ss,  &sregs->ds,
                                               &sregs->fs, &sregs->gs, &sregs->ldt, &sregs->tr};
    return at[seg];
}

static struct kvm_segment segment_from(const struct seg *seg)
{
    return (struct kvm_segment){
        .base = seg->base,
        .limit = seg->limit,
        .selector = seg->sel,
        .type = seg->access & ACC_TYPE,
        .s = !!(seg->access & ACC_S),
        .dpl = (seg->access & ACC_DPL) >> ACC_DPL_SHIFT,
        .present = !!(seg->access & ACC_P),
        .avl = !!(seg->access & ACC_AVL),
        .db = !!(seg->access & ACC_DB),
        .g = !!(seg->access & ACC_G),
        .unusable = !(seg->access & ACC_P),
    };
}

static struct seg segment_to(const struct kvm_segment *seg)
{
    unsigned access = seg->type | (seg->s ? ACC_S : 0) | (unsigned)seg->dpl << ACC_DPL_SHIFT |
                      (seg->present && !seg->unusable ? ACC_P : 0) | (seg->avl ? ACC_AVL : 0) | (seg->db ? ACC_DB : 0) |
                      (seg->g ? ACC_G : 0);
    return (struct seg){
        .sel = seg->selector, .access = (uint16_t)access, .base = (uint32_t)seg->base, .limit = seg->limit};
}

void kvm_state_from_cpu(struct kvm_state *state, const struct cpu *cpu)
{
    const struct fxstate *fpu = &cpu->fpu;

    memset(state, 0, sizeof(*state));
    for (unsigned i = 0; i < 8; i++)
        *kvm_gpr(&state->regs, i) = cpu->gpr[i];
    state->regs.rip = cpu->eip;
    state->regs.rflags = cpu->eflags;

    for (unsigned i = 0; i < SEG_COUNT; i++)
        *kvm_seg(&state->sregs, i) = segment_from(&cpu->seg[i]);
    state->sregs.ss.dpl = cpu->cpl; /* KVM takes the CPL from there */
    state->sregs.gdt.base = cpu->gdtr.base;
    state->sregs.gdt.limit = cpu->gdtr.limit;
    state->sregs.idt.base = cpu->idtr.base;
    state->sregs.idt.limit = cpu->idtr.limit;
    state->sregs.cr0 = cpu->cr0;
    state->sregs.cr2 = cpu->cr2;
    state->sregs.cr3 = cpu->cr3;
    state->sregs.cr4 = cpu->cr4;
    state->sregs.efer = cpu->efer;
    state->sregs.apic_base = cpu->msr_apicbase;

    state->fpu.fcw = fpu->fcw;
    state->fpu.fsw = fpu->fsw;
    state->fpu.ftwx = fpu->ftw;
    state->fpu.last_opcode = fpu->fop;
    state->fpu.last_ip = fpu->fip | (uint64_t)fpu->fcs << 32;
    state->fpu.last_dp = fpu->fdp | (uint64_t)fpu->fds << 32;
    state->fpu.mxcsr = fpu->mxcsr;
    memcpy(state->fpu.fpr, fpu->st, sizeof(fpu->st));
    memcpy(state->fpu.xmm, fpu->xmm, sizeof(fpu->xmm));

    for (unsigned i = 0; i < 4; i++)
        state->debug.db[i] = cpu->dr[i];
    state->debug.dr6 = cpu->dr[6];
    state->debug.dr7 = cpu->dr[7];

    state->events.flags = KVM_VCPUEVENT_VALID_SHADOW;
    if (cpu->inhibit_irq)
        state->events.interrupt.shadow = cpu->inhibit_db ? KVM_X86_SHADOW_INT_MOV_SS : KVM_X86_SHADOW_INT_STI;
    state->events.nmi.masked = cpu->nmi_blocked;
}

void kvm_state_to_cpu(const struct kvm_state *state, struct cpu *cpu)
{
    struct kvm_state *s = (struct kvm_state *)state; /* only read */
    struct fxstate *fpu = &cpu->fpu;

    for (unsigned i = 0; i < 8; i++)
        cpu->gpr[i] = (uint32_t)*kvm_gpr(&s->regs, i);
    cpu->eip = (uint32_t)s->regs.rip;
    cpu->eflags = (uint32_t)s->regs.rflags | FL_FIXED1;

    for (unsigned i = 0; i < SEG_COUNT; i++)
        cpu->seg[i] = segment_to(kvm_seg(&s->sregs, i));
    cpu->cpl = cpu->eflags & FL_VM ? 3 : !(s->sregs.cr0 & CR0_PE) ? 0 : s->sregs.ss.dpl;
    cpu->gdtr = (struct dtable){(uint32_t)s->sregs.gdt.base, s->sregs.gdt.limit};
    cpu->idtr = (struct dtable){(uint32_t)s->sregs.idt.base, s->sregs.idt.limit};
    cpu->cr0 = (uint32_t)s->sregs.cr0;
    cpu->cr2 = (uint32_t)s->sregs.cr2;
    cpu->cr3 = (uint32_t)s->sregs.cr3;
    cpu->cr4 = (uint32_t)s->sregs.cr4;
    cpu->efer = s->sregs.efer;
    cpu->msr_apicbase = s->sregs.apic_base;

    fpu->fcw = s->fpu.fcw;
    fpu->fsw = s->fpu.fsw;
    fpu->ftw = s->fpu.ftwx;
    fpu->fop = s->fpu.last_opcode;
    fpu->fip = (uint32_t)s->fpu.last_ip;
    fpu->fcs = (uint16_t)(s->fpu.last_ip >> 32);
    fpu->fdp = (uint32_t)s->fpu.last_dp;
    fpu->fds = (uint16_t)(s->fpu.last_dp >> 32);
    fpu->mxcsr = s->fpu.mxcsr;
    memcpy(fpu->st, s->fpu.fpr, sizeof(fpu->st));
    memcpy(fpu->xmm, s->fpu.xmm, sizeof(fpu->xmm));

    for (unsigned i = 0; i < 4; i++)
        cpu->dr[i] = (uint32_t)s->debug.db[i];
    cpu->dr[6] = (uint32_t)s->debug.dr6;
    cpu->dr[7] = (uint32_t)s->debug.dr7;

    cpu->inhibit_irq = s->events.interrupt.shadow;
    cpu->inhibit_db = s->events.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS;
    cpu->nmi_blocked = s->events.nmi.masked;
}

/* --- MSRs --- */

static const uint32_t msr_plain[] = {MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
                                     MSR_PAT,         MSR_MISC_ENABLE,  MSR_MTRR_DEF_TYPE};
#define MSR_PLAIN (sizeof(msr_plain) / sizeof(msr_plain[0]))
/* The fixed-range MTRRs behind the sixteen variable ones, in the order of cpu->msr_mtrr. */
static const uint32_t msr_fixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
_Static_assert(MSR_PLAIN + 16 + sizeof(msr_fixed) / sizeof(msr_fixed[0]) == KVM_STATE_MSRS, "number of MSRs");

uint64_t kvm_state_msr(const struct cpu *cpu, unsigned n, uint32_t *index)
{
    const struct cpu_model *model = cpu->model;
    const uint64_t plain[MSR_PLAIN] = {cpu->sysenter_cs, cpu->sysenter_esp,    cpu->sysenter_eip,
                                       cpu->msr_pat,     cpu->msr_misc_enable, cpu->msr_mtrr_def_type};
    bool there = true;

    if (n >= MSR_PLAIN) {
        unsigned mtrr = n - MSR_PLAIN;
        *index = !(model->edx & CPUID_MTRR) ? 0 : mtrr < 16 ? 0x200 + mtrr : msr_fixed[mtrr - 16];
        return cpu->msr_mtrr[mtrr];
    }
    if (n < 3)
        there = cpu_model_has(model, FEAT_SEP);
    else if (msr_plain[n] == MSR_PAT)
        there = model->edx & CPUID_PAT;
    else if (msr_plain[n] == MSR_MTRR_DEF_TYPE)
        there = model->edx & CPUID_MTRR;
    *index = there ? msr_plain[n] : 0;
    return plain[n];
}

void kvm_state_set_msr(struct cpu *cpu, unsigned n, uint64_t value)
{
    switch (n) {
    case 0:
        cpu->sysenter_cs = (uint32_t)value;
        break;
    case 1:
        cpu->sysenter_esp = (uint32_t)value;
        break;
    case 2:
        cpu->sysenter_eip = (uint32_t)value;
        break;
    case 3:
        cpu->msr_pat = value;
        break;
    case 4:
        cpu->msr_misc_enable = value;
        break;
    case 5:
        cpu->msr_mtrr_def_type = value;
        break;
    default:
        cpu->msr_mtrr[n - MSR_PLAIN] = value;
    }
}

#define CPUID_CACHES 4 /* the leaf with subleaves: their low five bits of EAX are 0 behind the last cache */

/* Returns the new count. */
static unsigned cpuid_add(const struct cpu_model *model, uint32_t leaf, struct kvm_cpuid_entry2 *entry, unsigned count,
                          unsigned max)
{
    for (uint32_t subleaf = 0; count < max; subleaf++) {
        uint32_t out[4];
        cpu_model_cpuid(model, leaf, subleaf, out);
        if (leaf == 1)
            out[2] &= ~CPUID_TSC_DEADLINE_C; /* KVM has that timer only in an APIC of its own */
        if (leaf == 0x80000008)
            out[0] &= ~0xff00u; /* linear address bits: KVM wants those of a 64-bit CPU, or none */
        entry[count++] = (struct kvm_cpuid_entry2){
            .function = leaf, .index = subleaf, .eax = out[0], .ebx = out[1], .ecx = out[2], .edx = out[3]};
        if (leaf != CPUID_CACHES)
            break;
        entry[count - 1].flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        if (!(out[0] & 0x1f))
            break;
    }
    return count;
}

unsigned kvm_state_cpuid(const struct cpu *cpu, struct kvm_cpuid_entry2 *entry, unsigned max)
{
    const struct cpu_model *model = cpu->model;
    unsigned count = 0;

    for (unsigned range = 0; range < 2; range++) {
        uint32_t first = range ? 0x80000000 : 0, last = range ? model->max_ext_leaf : model->max_leaf;
        if (range && !last)
            break;
        for (uint32_t leaf = first; leaf <= last; leaf++)
            count = cpuid_add(model, leaf, entry, count, max);
    }
    return count;
}

/* --- memory --- */

static unsigned slots_add(struct kvm_slot *slot, unsigned count, unsigned max, uint64_t from, uint64_t to,
                          uint64_t shift)
{
    while (from < to) {
        struct mem_piece piece = mem_piece_at(from);
        uint64_t size = MIN(piece.size, to - from);
        if (piece.host && count < max)
            slot[count++] = (struct kvm_slot){from + shift, size, piece.host, piece.rom};
        from += size;
    }
    return count;
}

unsigned kvm_slots_compute(struct kvm_slot *slot, unsigned max, bool a20_masked)
{
    if (!a20_masked)
        return slots_add(slot, 0, max, 0, (uint64_t)MEM_PAGES << PAGE_SHIFT, 0);
    unsigned count = slots_add(slot, 0, max, 0, MiB, 0);
    count = slots_add(slot, count, max, 0, MiB, MiB);
    return slots_add(slot, count, max, 2 * MiB, (uint64_t)MEM_PAGES << PAGE_SHIFT, 0);
}

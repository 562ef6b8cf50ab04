/* RESET# state and the time-stamp counter. Intel SDM vol. 3A, table 9-1. */
#include "cpu.h"

#include <string.h>
#include <x86intrin.h>

#include "cpuid.h"
#include "interp.h"

uint64_t cpu_tsc(const struct cpu *cpu)
{
    const struct interp *ip = cpu->interp;

    return (ip && unlikely(ip->standing_tsc) ? ip->standing_tsc : __rdtsc()) + cpu->tsc_offset;
}

void cpu_reset(struct cpu *cpu)
{
    const struct cpu_model *model = cpu->model;
    struct interp *ip = cpu->interp;

    memset(cpu, 0, sizeof(*cpu));
    cpu->model = model;
    cpu->interp = ip;
    cpu->gpr[EDX] = model->signature;
    cpu->eip = 0xfff0;
    cpu->eflags = FL_FIXED1;
    cpu->cr0 = CR0_CD | CR0_NW | CR0_ET;
    for (unsigned i = 0; i <= SEG_GS; i++)
        cpu->seg[i] = (struct seg){.limit = 0xffff, .access = ACC_P | ACC_S | ACC_WRITE | ACC_ACCESSED};
    cpu->seg[SEG_CS].sel = 0xf000;
    cpu->seg[SEG_CS].base = 0xffff0000;
    cpu->seg[SEG_LDTR] = (struct seg){.limit = 0xffff, .access = ACC_P | 2};
    cpu->seg[SEG_TR] = (struct seg){.limit = 0xffff, .access = ACC_P | 11};
    cpu->gdtr.limit = 0xffff;
    cpu->idtr.limit = 0xffff;
    cpu->dr[6] = 0xffff0ff0;
    cpu->dr[7] = 0x400;
    cpu->tsc_offset = 0 - __rdtsc();
    cpu->msr_pat = 0x0007040600070406ull;
    /* Boot processor; enabled where there is a local APIC. */
    cpu->msr_apicbase = 0xfee00100 | (cpu->model && (cpu->model->edx & CPUID_APIC) ? APICBASE_ENABLE : 0);
    cpu->msr_misc_enable = 1; /* fast strings */
    /* As after FNINIT. A chip shows control word 0040h and eight zeroes in use until then; QEMU does not, and kernels
     * that never give FNINIT rely on that. */
    cpu->fpu.fcw = 0x37f;
    cpu->fpu.ftw = 0;
    cpu->fpu.mxcsr = 0x1f80;
    cpu->fpu.mxcsr_mask = 0xffff;
    cpu->changed = CHANGED_MODE | CHANGED_TLB | CHANGED_CR3 | CHANGED_A20 | CHANGED_DR;
    if (ip) {
        ip->db_hits = 0;
        ip->ext = 0;
        interp_flush_tlb(cpu);
    }
}

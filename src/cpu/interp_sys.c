/* System instructions: descriptor tables, control and debug registers, ports, CPUID, MSRs, segment
 * queries. Intel SDM vol. 2; vol. 3A, 2.5 (control registers); vol. 3B, 17.2 (debug registers). */
#include "control.h"
#include "cpuid.h"
#include "flight.h"
#include "interp.h"
#include "io.h"
#include "msr.h"
#include "paging.h"

#define REG16(cpu, r) (*interp_reg16(cpu, r))
#define OP(name)      static enum cpu_rc name(struct cpu *cpu, const struct insn *insn)

static enum cpu_rc read_e16(struct cpu *cpu, const struct insn *insn, uint16_t *value)
{
    uint32_t wide;

    if (insn->mod == 3) {
        *value = REG16(cpu, insn->rm);
        return CPU_OK;
    }
    enum cpu_rc rc = interp_read(cpu, insn->seg, interp_ea(cpu, insn), 2, &wide);
    *value = (uint16_t)wide;
    return rc;
}

/* Memory gets 16 bits, a register the operand size. */
static enum cpu_rc store_e16(struct cpu *cpu, const struct insn *insn, uint32_t value)
{
    if (insn->mod != 3)
        return interp_write(cpu, insn->seg, interp_ea(cpu, insn), 2, value);
    if (insn->opsize == 4)
        cpu->gpr[insn->rm] = value;
    else
        REG16(cpu, insn->rm) = (uint16_t)value;
    return CPU_OK;
}

/* --- descriptor tables --- */

static enum cpu_rc store_dtable(struct cpu *cpu, const struct insn *insn, const struct dtable *t)
{
    uint8_t image[6];

    memcpy(image, &t->limit, 2);
    memcpy(image + 2, &t->base, 4);
    return interp_store(cpu, insn, image, 6);
}
OP(SGDT)
{
    return store_dtable(cpu, insn, &cpu->gdtr);
}
OP(SIDT)
{
    return store_dtable(cpu, insn, &cpu->idtr);
}

static enum cpu_rc load_dtable(struct cpu *cpu, const struct insn *insn, struct dtable *t)
{
    uint8_t image[6];
    uint32_t base;
    enum cpu_rc rc = interp_load(cpu, insn, image, 6);

    if (rc != CPU_OK)
        return rc;
    memcpy(&t->limit, image, 2);
    memcpy(&base, image + 2, 4);
    t->base = insn->opsize == 2 ? base & 0xffffff : base;
    cpu->changed |= CHANGED_MODE; /* engines remember descriptors by where they are */
    return CPU_OK;
}
OP(LGDT)
{
    return load_dtable(cpu, insn, &cpu->gdtr);
}
OP(LIDT)
{
    return load_dtable(cpu, insn, &cpu->idtr);
}

OP(SLDT)
{
    return store_e16(cpu, insn, cpu->seg[SEG_LDTR].sel);
}
OP(STR)
{
    return store_e16(cpu, insn, cpu->seg[SEG_TR].sel);
}

OP(LLDT)
{
    uint16_t sel;
    enum cpu_rc rc = read_e16(cpu, insn, &sel);

    return rc == CPU_OK ? seg_load_ldtr(cpu, sel, EXC_GP) : rc;
}

OP(LTR)
{
    uint16_t sel;
    struct desc d;
    enum cpu_rc rc = read_e16(cpu, insn, &sel);

    if (rc != CPU_OK)
        return rc;
    if (sel_is_null(sel) || (sel & 4))
        return cpu_raise(cpu, EXC_GP, sel & ~3u);
    rc = desc_read(cpu, sel, EXC_GP, &d);
    if (rc != CPU_OK)
        return rc;
    if (!desc_is_system(&d) || (desc_type(&d) & ~8u) != SYS_TSS16_AVAIL)
        return cpu_raise(cpu, EXC_GP, sel & ~3u);
    if (!desc_is_present(&d))
        return cpu_raise(cpu, EXC_NP, sel & ~3u);
    d.high |= 0x200; /* busy */
    rc = desc_write_high(cpu, sel, d.high);
    if (rc == CPU_OK)
        seg_set(cpu, SEG_TR, sel, &d);
    return rc;
}

/* --- segment queries --- */

static enum cpu_rc set_zf(struct cpu *cpu, bool on)
{
    cpu->eflags = on ? cpu->eflags | FL_ZF : cpu->eflags & ~FL_ZF;
    return CPU_OK;
}

/* May code at CPL with this RPL see the descriptor? Conforming code always. */
static bool desc_is_visible(const struct cpu *cpu, uint16_t sel, const struct desc *d)
{
    return desc_is_conforming(d) || (desc_dpl(d) >= cpu->cpl && desc_dpl(d) >= (sel & 3u));
}

static enum cpu_rc query_desc(struct cpu *cpu, uint16_t sel, struct desc *d, bool *found)
{
    *found = false;
    if (sel_is_null(sel))
        return CPU_OK;
    enum cpu_rc rc = desc_look(cpu, sel, d, found);
    if (rc == CPU_OK && *found)
        *found = desc_is_visible(cpu, sel, d);
    return rc;
}

static void store_g(struct cpu *cpu, const struct insn *insn, uint32_t value)
{
    if (insn->opsize == 4)
        cpu->gpr[insn->reg] = value;
    else
        REG16(cpu, insn->reg) = (uint16_t)value;
}

/* System types each instruction accepts, SDM vol. 2, LAR and LSL tables. */
#define LAR_TYPES 0x1a3eu /* 1..5, 9, 11, 12 */
#define LSL_TYPES 0x0a0eu /* 1..3, 9, 11 */

static enum cpu_rc lar_lsl(struct cpu *cpu, const struct insn *insn, unsigned types, bool limit)
{
    uint16_t sel;
    struct desc d;
    bool found;
    enum cpu_rc rc = read_e16(cpu, insn, &sel);

    if (rc == CPU_OK)
        rc = query_desc(cpu, sel, &d, &found);
    if (rc != CPU_OK)
        return rc;
    if (!found || (desc_is_system(&d) && !((types >> desc_type(&d)) & 1)))
        return set_zf(cpu, false);
    store_g(cpu, insn, limit ? desc_limit(&d) : d.high & 0x00ffff00u);
    return set_zf(cpu, true);
}
OP(LAR)
{
    return lar_lsl(cpu, insn, LAR_TYPES, false);
}
OP(LSL)
{
    return lar_lsl(cpu, insn, LSL_TYPES, true);
}

static enum cpu_rc verify(struct cpu *cpu, const struct insn *insn, bool write)
{
    uint16_t sel;
    struct desc d;
    bool found;
    enum cpu_rc rc = read_e16(cpu, insn, &sel);

    if (rc == CPU_OK)
        rc = query_desc(cpu, sel, &d, &found);
    if (rc != CPU_OK)
        return rc;
    if (!found || desc_is_system(&d))
        return set_zf(cpu, false);
    if (write)
        return set_zf(cpu, desc_is_data(&d) && (desc_type(&d) & ACC_WRITE));
    return set_zf(cpu, desc_is_data(&d) || (desc_type(&d) & ACC_READ));
}
OP(VERR)
{
    return verify(cpu, insn, false);
}
OP(VERW)
{
    return verify(cpu, insn, true);
}

OP(ARPL)
{
    uint16_t rpl = REG16(cpu, insn->reg) & 3;

    if (insn->mod == 3) {
        uint16_t *sel = interp_reg16(cpu, insn->rm);
        bool raise = (*sel & 3) < rpl;
        if (raise)
            *sel = (uint16_t)((*sel & ~3) | rpl);
        return set_zf(cpu, raise);
    }
    /* Not read-modify-write: processors store, and ask for the right to, only what changes. */
    uint16_t sel;
    enum cpu_rc rc = interp_load(cpu, insn, &sel, 2);
    if (rc != CPU_OK)
        return rc;
    bool raise = (sel & 3) < rpl;
    if (raise) {
        sel = (uint16_t)((sel & ~3) | rpl);
        rc = interp_store(cpu, insn, &sel, 2);
    }
    return rc == CPU_OK ? set_zf(cpu, raise) : rc;
}

/* --- control registers --- */

#define CR0_KNOWN (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

static enum cpu_rc set_cr0(struct cpu *cpu, uint32_t value)
{
    uint32_t old = cpu->cr0;

    value = (value & CR0_KNOWN) | CR0_ET;
    if (((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
        return cpu_raise(cpu, EXC_GP, 0);
    if ((value & CR0_PG) && !(old & CR0_PG) && (cpu->cr4 & CR4_PAE) && !paging_load_pdptes(cpu, cpu->cr3))
        return cpu_raise(cpu, EXC_GP, 0);
    cpu->cr0 = value;
    if (value != old)
        cpu->changed |= CHANGED_MODE;
    if ((value ^ old) & (CR0_PG | CR0_PE))
        flight_note(FLIGHT_CR0, cpu, value, old, 0);
    if ((value ^ old) & (CR0_PG | CR0_WP | CR0_PE)) {
        interp_flush_tlb(cpu);
        cpu->changed |= CHANGED_TLB;
    }
    return CPU_OK;
}

static uint32_t cr4_known(const struct cpu_model *model)
{
    uint32_t bits = 0;

    bits |= (model->edx & CPUID_VME) ? CR4_VME | CR4_PVI : 0;
    bits |= (model->edx & CPUID_DE) ? CR4_DE : 0;
    bits |= (model->edx & CPUID_PSE) ? CR4_PSE : 0;
    bits |= (model->edx & CPUID_TSC) ? CR4_TSD : 0;
    bits |= (model->edx & CPUID_PAE) ? CR4_PAE : 0;
    bits |= (model->edx & CPUID_PGE) ? CR4_PGE : 0;
    bits |= cpu_model_has(model, FEAT_P6) ? CR4_PCE : 0;
    bits |= (model->edx & CPUID_FXSR) ? CR4_OSFXSR : 0;
    bits |= (model->edx & CPUID_SSE) ? CR4_OSXMMEXCPT : 0;
    return bits;
}

static enum cpu_rc set_cr4(struct cpu *cpu, uint32_t value)
{
    uint32_t old = cpu->cr4;

    if (value & ~cr4_known(cpu->model))
        return cpu_raise(cpu, EXC_GP, 0);
    if ((value & CR4_PAE) && !(old & CR4_PAE) && cpu_is_paging(cpu) && !paging_load_pdptes(cpu, cpu->cr3))
        return cpu_raise(cpu, EXC_GP, 0);
    cpu->cr4 = value;
    if (value != old)
        cpu->changed |= CHANGED_MODE;
    if ((value ^ old) & (CR4_PSE | CR4_PAE | CR4_PGE)) {
        interp_flush_tlb(cpu);
        cpu->changed |= CHANGED_TLB;
    }
    return CPU_OK;
}

static enum cpu_rc set_cr3(struct cpu *cpu, uint32_t value)
{
    if (cpu_is_paging(cpu) && (cpu->cr4 & CR4_PAE) && !paging_load_pdptes(cpu, value))
        return cpu_raise(cpu, EXC_GP, 0);
    cpu->cr3 = value;
    interp_flush_tlb(cpu);
    cpu->changed |= CHANGED_CR3;
    return CPU_OK;
}

OP(MOV_RdCd)
{
    const uint32_t cr[8] = {cpu->cr0, 0, cpu->cr2, cpu->cr3, cpu->cr4};

    if (insn->reg == 1 || insn->reg > 4)
        return cpu_raise(cpu, EXC_UD, 0);
    cpu->gpr[insn->rm] = cr[insn->reg];
    return CPU_OK;
}

static enum cpu_rc set_control(struct cpu *cpu, unsigned number, uint32_t value)
{
    switch (number) {
    case 0:
        return set_cr0(cpu, value);
    case 2:
        cpu->cr2 = value;
        return CPU_OK;
    case 3:
        return set_cr3(cpu, value);
    case 4:
        return set_cr4(cpu, value);
    default:
        return cpu_raise(cpu, EXC_UD, 0);
    }
}

OP(MOV_CdRd)
{
    return set_control(cpu, insn->reg, cpu->gpr[insn->rm]);
}

bool control_write(struct cpu *cpu, unsigned number, uint32_t value)
{
    return set_control(cpu, number, value) == CPU_OK;
}

OP(SMSW)
{
    return store_e16(cpu, insn, cpu->cr0);
}

OP(LMSW)
{
    uint16_t msw;
    enum cpu_rc rc = read_e16(cpu, insn, &msw);
    const uint32_t bits = CR0_MP | CR0_EM | CR0_TS;

    if (rc != CPU_OK)
        return rc;
    /* PE can be set but not cleared. */
    return set_cr0(cpu, (cpu->cr0 & ~bits) | (msw & (bits | CR0_PE)));
}

OP(CLTS)
{
    if (cpu->cr0 & CR0_TS)
        cpu->changed |= CHANGED_MODE;
    cpu->cr0 &= ~CR0_TS;
    return CPU_OK;
}

OP(INVLPG)
{
    gla_t gla = cpu->seg[insn->seg].base + interp_ea(cpu, insn);

    interp_flush_page(cpu, gla);
    if (cpu->invlpg_count < CPU_INVLPG_MAX)
        cpu->invlpg[cpu->invlpg_count++] = gla;
    else
        cpu->changed |= CHANGED_TLB;
    cpu->changed |= CHANGED_INVLPG;
    return CPU_OK;
}

/* --- debug registers --- */

#define DR6_ONES 0xffff0ff0u
#define DR6_BD   0x00002000u
#define DR7_GD   0x00002000u

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE. Raises #DB when DR7.GD guards them. */
static enum cpu_rc debug_register(struct cpu *cpu, const struct insn *insn, unsigned *index)
{
    *index = insn->reg;
    if (*index == 4 || *index == 5) {
        if (cpu->cr4 & CR4_DE)
            return cpu_raise(cpu, EXC_UD, 0);
        *index += 2;
    }
    if (cpu->dr[7] & DR7_GD) {
        cpu->dr[6] |= DR6_BD;
        return cpu_raise(cpu, EXC_DB, 0);
    }
    return CPU_OK;
}

OP(MOV_RdDd)
{
    unsigned index;
    enum cpu_rc rc = debug_register(cpu, insn, &index);

    if (rc == CPU_OK)
        cpu->gpr[insn->rm] = cpu->dr[index];
    return rc;
}

OP(MOV_DdRd)
{
    unsigned index;
    uint32_t value = cpu->gpr[insn->rm];
    enum cpu_rc rc = debug_register(cpu, insn, &index);

    if (rc != CPU_OK)
        return rc;
    if (index == 6)
        value = (value & 0x0000e00fu) | DR6_ONES;
    else if (index == 7)
        value = (value & 0xffff2bffu) | 0x400;
    cpu->dr[index] = value;
    cpu->changed |= CHANGED_DR;
    return CPU_OK;
}

/* --- the rest --- */

OP(HLT)
{
    cpu->halted = true;
    cpu->eip = cpu->interp->next_eip;
    return CPU_EXIT;
}

OP(NOTHING) /* INVD, WBINVD, CLFLUSH: caches are not modelled */
{
    return CPU_OK;
}

OP(CLFLUSH)
{
    gla_t gla;
    uint8_t byte;
    enum cpu_rc rc = seg_to_linear(cpu, insn->seg, interp_ea(cpu, insn), 1, false, &gla);

    /* Checked like a byte load. */
    return rc == CPU_OK ? interp_linear_load(cpu, gla, &byte, 1, cpu_is_user(cpu)) : rc;
}

OP(CPUID)
{
    uint32_t out[4];

    cpu_model_cpuid(cpu->model, cpu->gpr[EAX], cpu->gpr[ECX], out);
    cpu->gpr[EAX] = out[0];
    cpu->gpr[EBX] = out[1];
    cpu->gpr[ECX] = out[2];
    cpu->gpr[EDX] = out[3];
    return CPU_OK;
}

OP(RDTSC)
{
    if ((cpu->cr4 & CR4_TSD) && cpu->cpl > 0)
        return cpu_raise(cpu, EXC_GP, 0);
    if (cpu->interp->log) {
        cpu->interp->log->device = true;
        return CPU_EXIT;
    }
    uint64_t tsc = cpu_tsc(cpu);
    cpu->gpr[EAX] = (uint32_t)tsc;
    cpu->gpr[EDX] = (uint32_t)(tsc >> 32);
    return CPU_OK;
}

OP(RDPMC)
{
    return cpu_raise(cpu, EXC_GP, 0); /* no counter exists */
}

OP(RDMSR)
{
    uint64_t value;

    if (cpu->interp->log && (cpu->gpr[ECX] == MSR_TSC || cpu->gpr[ECX] == MSR_TSC_DEADLINE)) {
        cpu->interp->log->device = true;
        return CPU_EXIT;
    }
    if (!msr_read(cpu, cpu->gpr[ECX], &value))
        return cpu_raise(cpu, EXC_GP, 0);
    cpu->gpr[EAX] = (uint32_t)value;
    cpu->gpr[EDX] = (uint32_t)(value >> 32);
    return CPU_OK;
}

OP(WRMSR)
{
    uint64_t value = (uint64_t)cpu->gpr[EDX] << 32 | cpu->gpr[EAX];

    return msr_write(cpu, cpu->gpr[ECX], value) ? CPU_OK : cpu_raise(cpu, EXC_GP, 0);
}

static enum cpu_rc in(struct cpu *cpu, uint16_t port, unsigned size)
{
    uint32_t value;
    enum cpu_rc rc = io_check(cpu, port, size);

    if (rc == CPU_OK)
        rc = io_in(cpu, port, size, &value);
    if (rc == CPU_OK)
        memcpy(&cpu->gpr[EAX], &value, size);
    return rc;
}
static enum cpu_rc out(struct cpu *cpu, uint16_t port, unsigned size)
{
    enum cpu_rc rc = io_check(cpu, port, size);

    return rc == CPU_OK ? io_out(cpu, port, size, cpu->gpr[EAX]) : rc;
}
OP(IN_ALIb)
{
    return in(cpu, (uint16_t)insn->imm, 1);
}
OP(IN_eAXIb)
{
    return in(cpu, (uint16_t)insn->imm, insn->opsize);
}
OP(IN_ALDX)
{
    return in(cpu, (uint16_t)cpu->gpr[EDX], 1);
}
OP(IN_eAXDX)
{
    return in(cpu, (uint16_t)cpu->gpr[EDX], insn->opsize);
}
OP(OUT_IbAL)
{
    return out(cpu, (uint16_t)insn->imm, 1);
}
OP(OUT_IbeAX)
{
    return out(cpu, (uint16_t)insn->imm, insn->opsize);
}
OP(OUT_DXAL)
{
    return out(cpu, (uint16_t)cpu->gpr[EDX], 1);
}
OP(OUT_DXeAX)
{
    return out(cpu, (uint16_t)cpu->gpr[EDX], insn->opsize);
}

#define ONE(id, fn) \
    { \
        INSN_##id, fn, fn \
    }

const struct interp_op interp_sys_ops[] = {
    ONE(SGDT, SGDT),         ONE(SIDT, SIDT),
    ONE(LGDT, LGDT),         ONE(LIDT, LIDT),
    ONE(SLDT, SLDT),         ONE(STR, STR),
    ONE(LLDT, LLDT),         ONE(LTR, LTR),
    ONE(LAR, LAR),           ONE(LSL, LSL),
    ONE(VERR, VERR),         ONE(VERW, VERW),
    ONE(ARPL, ARPL),         ONE(MOV_RdCd, MOV_RdCd),
    ONE(MOV_CdRd, MOV_CdRd), ONE(SMSW, SMSW),
    ONE(LMSW, LMSW),         ONE(CLTS, CLTS),
    ONE(INVLPG, INVLPG),     ONE(MOV_RdDd, MOV_RdDd),
    ONE(MOV_DdRd, MOV_DdRd), ONE(HLT, HLT),
    ONE(INVD, NOTHING),      ONE(WBINVD, NOTHING),
    ONE(CLFLUSH, CLFLUSH),   ONE(CPUID, CPUID),
    ONE(RDTSC, RDTSC),       ONE(RDPMC, RDPMC),
    ONE(RDMSR, RDMSR),       ONE(WRMSR, WRMSR),
    ONE(IN_ALIb, IN_ALIb),   ONE(IN_eAXIb, IN_eAXIb),
    ONE(IN_ALDX, IN_ALDX),   ONE(IN_eAXDX, IN_eAXDX),
    ONE(OUT_IbAL, OUT_IbAL), ONE(OUT_IbeAX, OUT_IbeAX),
    ONE(OUT_DXAL, OUT_DXAL), ONE(OUT_DXeAX, OUT_DXeAX),
    {0, NULL, NULL},
};

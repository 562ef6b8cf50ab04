/* Data movement, stack, flag instructions, segment register moves. Intel SDM vol. 2. */
#include "cond.h"
#include "cpuid.h"
#include "hostcpu.h"
#include "interp.h"
#include "stack.h"

#define REG8(cpu, r)  (*interp_reg8(cpu, r))
#define REG16(cpu, r) (*interp_reg16(cpu, r))
#define REG32(cpu, r) ((cpu)->gpr[r])
#define OP(name)      static enum cpu_rc name(struct cpu *cpu, const struct insn *insn)

/* Reads an E operand; leaves the handler on a fault. */
#define READ_E(bits, var) \
    uint32_t var; \
    if (insn->mod == 3) { \
        var = REG##bits(cpu, insn->rm); \
    } else { \
        enum cpu_rc rc_ = interp_read(cpu, insn->seg, interp_ea(cpu, insn), bits / 8, &var); \
        if (rc_ != CPU_OK) \
            return rc_; \
    }

#define DEFINE_MOV(bits) \
    OP(MOV_eg##bits) \
    { \
        if (insn->mod == 3) { \
            REG##bits(cpu, insn->rm) = REG##bits(cpu, insn->reg); \
            return CPU_OK; \
        } \
        return interp_write(cpu, insn->seg, interp_ea(cpu, insn), bits / 8, REG##bits(cpu, insn->reg)); \
    } \
    OP(MOV_ge##bits) \
    { \
        READ_E(bits, value) \
        REG##bits(cpu, insn->reg) = (uint##bits##_t)value; \
        return CPU_OK; \
    } \
    OP(MOV_ei##bits) \
    { \
        if (insn->mod == 3) { \
            REG##bits(cpu, insn->rm) = (uint##bits##_t)insn->imm; \
            return CPU_OK; \
        } \
        return interp_write(cpu, insn->seg, interp_ea(cpu, insn), bits / 8, insn->imm); \
    } \
    OP(MOV_zi##bits) \
    { \
        REG##bits(cpu, insn->opcode & 7) = (uint##bits##_t)insn->imm; \
        return CPU_OK; \
    } \
    OP(MOV_ao##bits) \
    { \
        uint32_t value; \
        enum cpu_rc rc = interp_read(cpu, insn->seg, (goff_t)insn->disp, bits / 8, &value); \
        if (rc == CPU_OK) \
            REG##bits(cpu, EAX) = (uint##bits##_t)value; \
        return rc; \
    } \
    OP(MOV_oa##bits) \
    { \
        return interp_write(cpu, insn->seg, (goff_t)insn->disp, bits / 8, REG##bits(cpu, EAX)); \
    } \
    OP(XCHG_eg##bits) \
    { \
        uint##bits##_t mine = REG##bits(cpu, insn->reg); \
        if (insn->mod == 3) { \
            REG##bits(cpu, insn->reg) = REG##bits(cpu, insn->rm); \
            REG##bits(cpu, insn->rm) = mine; \
            return CPU_OK; \
        } \
        uint32_t value; \
        struct interp_rmw rmw; \
        enum cpu_rc rc = interp_rmw_begin(cpu, insn, bits / 8, &value, &rmw); \
        if (rc == CPU_OK) \
            rc = interp_rmw_end(cpu, &rmw, bits / 8, mine); \
        if (rc == CPU_OK) \
            REG##bits(cpu, insn->reg) = (uint##bits##_t)value; \
        return rc; \
    }
DEFINE_MOV(8)
DEFINE_MOV(16)
DEFINE_MOV(32)

#define DEFINE_MOV_WIDE(bits) \
    OP(LEA_##bits) \
    { \
        REG##bits(cpu, insn->reg) = (uint##bits##_t)interp_ea(cpu, insn); \
        return CPU_OK; \
    } \
    OP(XCHG_za##bits) \
    { \
        uint##bits##_t mine = REG##bits(cpu, EAX); \
        REG##bits(cpu, EAX) = REG##bits(cpu, insn->opcode & 7); \
        REG##bits(cpu, insn->opcode & 7) = mine; \
        return CPU_OK; \
    } \
    OP(MOVZX_b##bits) \
    { \
        READ_E(8, value) \
        REG##bits(cpu, insn->reg) = (uint8_t)value; \
        return CPU_OK; \
    } \
    OP(MOVZX_w##bits) \
    { \
        READ_E(16, value) \
        REG##bits(cpu, insn->reg) = (uint16_t)value; \
        return CPU_OK; \
    } \
    OP(MOVSX_b##bits) \
    { \
        READ_E(8, value) \
        REG##bits(cpu, insn->reg) = (uint##bits##_t)(int8_t)value; \
        return CPU_OK; \
    } \
    OP(MOVSX_w##bits) \
    { \
        READ_E(16, value) \
        REG##bits(cpu, insn->reg) = (uint##bits##_t)(int16_t)value; \
        return CPU_OK; \
    } \
    OP(CMOV_##bits) \
    { \
        READ_E(bits, value) /* faults whether or not the condition holds */ \
        if (cond_holds(cpu->eflags, insn->opcode)) \
            REG##bits(cpu, insn->reg) = (uint##bits##_t)value; \
        return CPU_OK; \
    }
DEFINE_MOV_WIDE(16)
DEFINE_MOV_WIDE(32)

OP(SETCC)
{
    uint8_t value = cond_holds(cpu->eflags, insn->opcode);

    if (insn->mod == 3) {
        REG8(cpu, insn->rm) = value;
        return CPU_OK;
    }
    return interp_write(cpu, insn->seg, interp_ea(cpu, insn), 1, value);
}

OP(CBW_16)
{
    REG16(cpu, EAX) = (uint16_t)(int8_t)cpu->gpr[EAX];
    return CPU_OK;
}
OP(CBW_32)
{
    cpu->gpr[EAX] = (uint32_t)(int16_t)cpu->gpr[EAX];
    return CPU_OK;
}
OP(CWD_16)
{
    REG16(cpu, EDX) = (cpu->gpr[EAX] & 0x8000) ? 0xffff : 0;
    return CPU_OK;
}
OP(CWD_32)
{
    cpu->gpr[EDX] = (cpu->gpr[EAX] & 0x80000000u) ? 0xffffffffu : 0;
    return CPU_OK;
}

OP(SALC)
{
    REG8(cpu, 0) = (cpu->eflags & FL_CF) ? 0xff : 0;
    return CPU_OK;
}

OP(XLAT)
{
    uint32_t value, ea = cpu->gpr[EBX] + (uint8_t)cpu->gpr[EAX];
    enum cpu_rc rc = interp_read(cpu, insn->seg, insn->adsize == 2 ? (uint16_t)ea : ea, 1, &value);

    if (rc == CPU_OK)
        REG8(cpu, 0) = (uint8_t)value;
    return rc;
}

OP(BSWAP_16)
{
    REG16(cpu, insn->opcode & 7) = 0; /* undefined; processors clear it */
    return CPU_OK;
}
OP(BSWAP_32)
{
    cpu->gpr[insn->opcode & 7] = __builtin_bswap32(cpu->gpr[insn->opcode & 7]);
    return CPU_OK;
}

#define DEFINE_MOVBE(bits) \
    OP(MOVBE_gm##bits) \
    { \
        READ_E(bits, value) \
        REG##bits(cpu, insn->reg) = __builtin_bswap##bits((uint##bits##_t)value); \
        return CPU_OK; \
    } \
    OP(MOVBE_mg##bits) \
    { \
        return interp_write(cpu, insn->seg, interp_ea(cpu, insn), bits / 8, \
                            __builtin_bswap##bits(REG##bits(cpu, insn->reg))); \
    }
DEFINE_MOVBE(16)
DEFINE_MOVBE(32)

OP(NOP)
{
    return CPU_OK;
}

/* --- stack --- */

/* An element of step bytes, of which the lower `size` are stored. */
static enum cpu_rc push_part(struct cpu *cpu, unsigned step, unsigned size, uint32_t value)
{
    struct stack st;

    stack_begin(&st, cpu);
    stack_push_part(&st, step, size, value);
    if (likely(st.rc == CPU_OK))
        stack_commit(&st);
    return st.rc;
}

static enum cpu_rc push(struct cpu *cpu, unsigned size, uint32_t value)
{
    return push_part(cpu, size, size, value);
}

#define DEFINE_STACK(bits) \
    OP(PUSH_z##bits) \
    { \
        return push(cpu, bits / 8, cpu->gpr[insn->opcode & 7]); \
    } \
    OP(PUSH_i##bits) \
    { \
        return push(cpu, bits / 8, insn->imm); \
    } \
    OP(PUSH_e##bits) \
    { \
        READ_E(bits, value) \
        return push(cpu, bits / 8, value); \
    } \
    OP(POP_z##bits) \
    { \
        struct stack st; \
        stack_begin(&st, cpu); \
        uint32_t value = stack_pop(&st, bits / 8); \
        if (st.rc != CPU_OK) \
            return st.rc; \
        stack_commit(&st); \
        REG##bits(cpu, insn->opcode & 7) = (uint##bits##_t)value; \
        return CPU_OK; \
    } \
    OP(POP_e##bits) \
    { \
        struct stack st; \
        uint32_t old_esp = cpu->gpr[ESP]; \
        stack_begin(&st, cpu); \
        uint32_t value = stack_pop(&st, bits / 8); \
        if (st.rc != CPU_OK) \
            return st.rc; \
        stack_commit(&st); /* an ESP-based operand is addressed after the increment */ \
        if (insn->mod == 3) { \
            REG##bits(cpu, insn->rm) = (uint##bits##_t)value; \
            return CPU_OK; \
        } \
        enum cpu_rc rc = interp_write(cpu, insn->seg, interp_ea(cpu, insn), bits / 8, value); \
        if (rc != CPU_OK) \
            cpu->gpr[ESP] = old_esp; \
        return rc; \
    } \
    OP(PUSHA_##bits) \
    { \
        struct stack st; \
        stack_begin(&st, cpu); \
        for (unsigned i = 0; i < 8; i++) \
            stack_push(&st, bits / 8, cpu->gpr[i]); \
        if (st.rc == CPU_OK) \
            stack_commit(&st); \
        return st.rc; \
    } \
    OP(POPA_##bits) \
    { \
        /* A fault in the middle leaves what was popped before it in its registers, and ESP as it was. */ \
        struct stack st; \
        stack_begin(&st, cpu); \
        for (unsigned i = 8; i-- > 0;) { \
            uint32_t value = stack_pop(&st, bits / 8); \
            if (st.rc != CPU_OK) \
                return st.rc; \
            if (i != ESP) \
                REG##bits(cpu, i) = (uint##bits##_t)value; \
        } \
        stack_commit(&st); \
        return CPU_OK; \
    } \
    OP(LEAVE_##bits) \
    { \
        struct stack st; \
        stack_begin(&st, cpu); \
        st.esp = (st.esp & ~st.mask) | (cpu->gpr[EBP] & st.mask); \
        uint32_t value = stack_pop(&st, bits / 8); \
        if (st.rc != CPU_OK) \
            return st.rc; \
        stack_commit(&st); \
        REG##bits(cpu, EBP) = (uint##bits##_t)value; \
        return CPU_OK; \
    } \
    OP(ENTER_##bits) \
    { \
        return enter(cpu, insn, bits / 8); \
    }

/* ENTER size, level; the last access is a probe of the new top of stack (SDM: #SS, #PF). */
static enum cpu_rc enter(struct cpu *cpu, const struct insn *insn, unsigned size)
{
    unsigned level = insn->imm2 & 31;
    struct stack st;

    stack_begin(&st, cpu);
    stack_push(&st, size, cpu->gpr[EBP]);
    uint32_t frame = st.esp;
    if (level > 0) {
        struct stack links = st;
        links.esp = cpu->gpr[EBP];
        for (unsigned i = 1; i < level && st.rc == CPU_OK; i++) {
            links.esp -= size;
            goff_t offset = links.esp & links.mask;
            uint32_t link = 0;
            enum cpu_rc rc =
                size == 4 ? interp_read(cpu, SEG_SS, offset, 4, &link) : interp_read(cpu, SEG_SS, offset, 2, &link);
            if (rc != CPU_OK)
                return rc;
            stack_push(&st, size, link);
        }
        stack_push(&st, size, frame);
    }
    stack_skip(&st, 0u - insn->imm);
    if (st.rc != CPU_OK)
        return st.rc;
    gla_t gla;
    enum cpu_rc rc = seg_to_linear(cpu, SEG_SS, st.esp & st.mask, size, true, &gla);
    if (rc == CPU_OK)
        rc = interp_linear_probe(cpu, gla, size, true, cpu_is_user(cpu));
    if (rc != CPU_OK)
        return rc;
    stack_commit(&st);
    if (size == 4)
        cpu->gpr[EBP] = frame;
    else
        REG16(cpu, EBP) = (uint16_t)frame;
    return CPU_OK;
}
DEFINE_STACK(16)
DEFINE_STACK(32)

/* --- segment registers --- */

static enum cpu_rc push_seg(struct cpu *cpu, const struct insn *insn, enum segreg reg)
{
    return push_part(cpu, insn->opsize, hostcpu()->push_seg_16 ? 2 : insn->opsize, cpu->seg[reg].sel);
}
OP(PUSH_ES)
{
    return push_seg(cpu, insn, SEG_ES);
}
OP(PUSH_CS)
{
    return push_seg(cpu, insn, SEG_CS);
}
OP(PUSH_SS)
{
    return push_seg(cpu, insn, SEG_SS);
}
OP(PUSH_DS)
{
    return push_seg(cpu, insn, SEG_DS);
}
OP(PUSH_FS)
{
    return push_seg(cpu, insn, SEG_FS);
}
OP(PUSH_GS)
{
    return push_seg(cpu, insn, SEG_GS);
}

static void shadow_after_ss(struct cpu *cpu)
{
    cpu->inhibit_irq = true;
    cpu->inhibit_db = true;
}

static enum cpu_rc pop_seg(struct cpu *cpu, const struct insn *insn, enum segreg reg)
{
    struct stack st;

    stack_begin(&st, cpu);
    uint16_t sel = (uint16_t)stack_pop(&st, insn->opsize); /* all of it is read */
    if (st.rc != CPU_OK)
        return st.rc;
    enum cpu_rc rc = seg_load(cpu, reg, sel);
    if (rc != CPU_OK)
        return rc;
    /* The new SS does not change how the increment wraps: it was computed with the old one. */
    stack_commit(&st);
    if (reg == SEG_SS)
        shadow_after_ss(cpu);
    return CPU_OK;
}
OP(POP_ES)
{
    return pop_seg(cpu, insn, SEG_ES);
}
OP(POP_SS)
{
    return pop_seg(cpu, insn, SEG_SS);
}
OP(POP_DS)
{
    return pop_seg(cpu, insn, SEG_DS);
}
OP(POP_FS)
{
    return pop_seg(cpu, insn, SEG_FS);
}
OP(POP_GS)
{
    return pop_seg(cpu, insn, SEG_GS);
}

OP(MOV_EvSw)
{
    if (insn->reg > SEG_GS)
        return cpu_raise(cpu, EXC_UD, 0);
    uint16_t sel = cpu->seg[insn->reg].sel;
    if (insn->mod != 3)
        return interp_write(cpu, insn->seg, interp_ea(cpu, insn), 2, sel);
    if (insn->opsize == 4)
        cpu->gpr[insn->rm] = sel;
    else
        REG16(cpu, insn->rm) = sel;
    return CPU_OK;
}

OP(MOV_SwEw)
{
    if (insn->reg > SEG_GS || insn->reg == SEG_CS)
        return cpu_raise(cpu, EXC_UD, 0);
    READ_E(16, sel)
    enum cpu_rc rc = seg_load(cpu, insn->reg, (uint16_t)sel);
    if (rc == CPU_OK && insn->reg == SEG_SS)
        shadow_after_ss(cpu);
    return rc;
}

static enum cpu_rc load_far_pointer(struct cpu *cpu, const struct insn *insn, enum segreg reg)
{
    uint32_t offset;
    uint16_t sel;
    enum cpu_rc rc = interp_load_far(cpu, insn, &sel, &offset);

    if (rc == CPU_OK)
        rc = seg_load(cpu, reg, sel);
    if (rc != CPU_OK)
        return rc;
    if (insn->opsize == 4)
        cpu->gpr[insn->reg] = offset;
    else
        REG16(cpu, insn->reg) = (uint16_t)offset;
    return CPU_OK;
}
OP(LES)
{
    return load_far_pointer(cpu, insn, SEG_ES);
}
OP(LDS)
{
    return load_far_pointer(cpu, insn, SEG_DS);
}
OP(LSS)
{
    return load_far_pointer(cpu, insn, SEG_SS);
}
OP(LFS)
{
    return load_far_pointer(cpu, insn, SEG_FS);
}
OP(LGS)
{
    return load_far_pointer(cpu, insn, SEG_GS);
}

/* --- flags --- */

OP(CMC)
{
    cpu->eflags ^= FL_CF;
    return CPU_OK;
}
OP(CLC)
{
    cpu->eflags &= ~FL_CF;
    return CPU_OK;
}
OP(STC)
{
    cpu->eflags |= FL_CF;
    return CPU_OK;
}
OP(CLD)
{
    cpu->eflags &= ~FL_DF;
    return CPU_OK;
}
OP(STD)
{
    cpu->eflags |= FL_DF;
    return CPU_OK;
}
OP(SAHF)
{
    cpu->eflags = (cpu->eflags & ~0xd5u) | (REG8(cpu, 4) & 0xd5u);
    return CPU_OK;
}
OP(LAHF)
{
    REG8(cpu, 4) = (uint8_t)((cpu->eflags & 0xd5) | FL_FIXED1);
    return CPU_OK;
}

static unsigned iopl(const struct cpu *cpu)
{
    return (cpu->eflags & FL_IOPL) >> FL_IOPL_SHIFT;
}

/* CLI and STI act on VIF (SDM vol. 3B, 20.3 and 20.4). */
static bool has_virtual_if(const struct cpu *cpu)
{
    return cpu_is_v86(cpu) ? cpu->cr4 & CR4_VME : cpu->cpl == 3 && (cpu->cr4 & CR4_PVI);
}

OP(CLI)
{
    if (!cpu_is_real(cpu) && cpu->cpl > iopl(cpu)) {
        if (!has_virtual_if(cpu))
            return cpu_raise(cpu, EXC_GP, 0);
        cpu->eflags &= ~FL_VIF;
        return CPU_OK;
    }
    cpu->eflags &= ~FL_IF;
    return CPU_OK;
}
OP(STI)
{
    if (!cpu_is_real(cpu) && cpu->cpl > iopl(cpu)) {
        if (!has_virtual_if(cpu) || (cpu->eflags & FL_VIP))
            return cpu_raise(cpu, EXC_GP, 0);
        cpu->eflags |= FL_VIF;
        return CPU_OK;
    }
    if (!(cpu->eflags & FL_IF))
        cpu->inhibit_irq = true;
    cpu->eflags |= FL_IF;
    return CPU_OK;
}

uint32_t v86_flags_image(const struct cpu *cpu)
{
    uint32_t image = (cpu->eflags | FL_IOPL) & ~FL_IF;
    return (image | (cpu->eflags & FL_VIF ? FL_IF : 0)) & 0xffff;
}

bool v86_flags_fault(const struct cpu *cpu, uint32_t image)
{
    return (image & FL_TF) || ((image & FL_IF) && (cpu->eflags & FL_VIP));
}

OP(PUSHF)
{
    if (cpu_is_v86(cpu) && iopl(cpu) < 3) {
        if (!(cpu->cr4 & CR4_VME) || insn->opsize != 2)
            return cpu_raise(cpu, EXC_GP, 0);
        return push(cpu, 2, v86_flags_image(cpu));
    }
    return push(cpu, insn->opsize, cpu->eflags & ~(FL_VM | FL_RF));
}

OP(POPF)
{
    uint32_t mask = FL_ARITH | FL_TF | FL_DF | FL_NT;
    struct stack st;

    bool virtual_if = cpu_is_v86(cpu) && iopl(cpu) < 3;
    if (virtual_if && (!(cpu->cr4 & CR4_VME) || insn->opsize != 2))
        return cpu_raise(cpu, EXC_GP, 0);
    stack_begin(&st, cpu);
    uint32_t image = stack_pop(&st, insn->opsize);
    if (st.rc != CPU_OK)
        return st.rc;
    if (virtual_if && v86_flags_fault(cpu, image))
        return cpu_raise(cpu, EXC_GP, 0);
    stack_commit(&st);
    if (virtual_if)
        cpu->eflags = (cpu->eflags & ~FL_VIF) | (image & FL_IF ? FL_VIF : 0);
    if (cpu->cpl == 0)
        mask |= FL_IOPL;
    if (cpu_is_real(cpu) || cpu->cpl <= iopl(cpu))
        mask |= FL_IF;
    if (insn->opsize == 4)
        mask |= FL_AC | (cpu_model_has(cpu->model, FEAT_CPUID) ? FL_ID : 0);
    cpu_set_eflags(cpu, (cpu->eflags & ~(mask | FL_RF)) | (image & mask));
    return CPU_OK;
}

#define ONE(id, fn) \
    { \
        INSN_##id, fn, fn \
    }
#define TWO(id, fn) \
    { \
        INSN_##id, fn##16, fn##32 \
    }

const struct interp_op interp_mov_ops[] = {
    ONE(MOV_EbGb, MOV_eg8),
    TWO(MOV_EvGv, MOV_eg),
    ONE(MOV_GbEb, MOV_ge8),
    TWO(MOV_GvEv, MOV_ge),
    ONE(MOV_EbIb, MOV_ei8),
    TWO(MOV_EvIz, MOV_ei),
    ONE(MOV_ZbIb, MOV_zi8),
    TWO(MOV_ZvIz, MOV_zi),
    ONE(MOV_ALOb, MOV_ao8),
    TWO(MOV_eAXOv, MOV_ao),
    ONE(MOV_ObAL, MOV_oa8),
    TWO(MOV_OveAX, MOV_oa),
    ONE(XCHG_EbGb, XCHG_eg8),
    TWO(XCHG_EvGv, XCHG_eg),
    TWO(XCHG_ZveAX, XCHG_za),
    TWO(LEA, LEA_),
    TWO(MOVZX_GvEb, MOVZX_b),
    TWO(MOVZX_GvEw, MOVZX_w),
    TWO(MOVSX_GvEb, MOVSX_b),
    TWO(MOVSX_GvEw, MOVSX_w),
    TWO(CMOVCC, CMOV_),
    ONE(SETCC, SETCC),
    TWO(CBW, CBW_),
    TWO(CWD, CWD_),
    ONE(SALC, SALC),
    ONE(XLAT, XLAT),
    TWO(BSWAP, BSWAP_),
    TWO(MOVBE_GvMv, MOVBE_gm),
    TWO(MOVBE_MvGv, MOVBE_mg),
    ONE(NOP_Ev, NOP),
    ONE(PREFETCH, NOP),
    ONE(PREFETCHW, NOP),
    ONE(LFENCE, NOP),
    ONE(MFENCE, NOP),
    ONE(SFENCE, NOP),
    TWO(PUSH_Zv, PUSH_z),
    TWO(POP_Zv, POP_z),
    TWO(PUSH_Iz, PUSH_i),
    TWO(PUSH_Ibs, PUSH_i),
    TWO(PUSH_Ev, PUSH_e),
    TWO(POP_Ev, POP_e),
    TWO(PUSHA, PUSHA_),
    TWO(POPA, POPA_),
    TWO(ENTER, ENTER_),
    TWO(LEAVE, LEAVE_),
    ONE(PUSH_ES, PUSH_ES),
    ONE(PUSH_CS, PUSH_CS),
    ONE(PUSH_SS, PUSH_SS),
    ONE(PUSH_DS, PUSH_DS),
    ONE(PUSH_FS, PUSH_FS),
    ONE(PUSH_GS, PUSH_GS),
    ONE(POP_ES, POP_ES),
    ONE(POP_SS, POP_SS),
    ONE(POP_DS, POP_DS),
    ONE(POP_FS, POP_FS),
    ONE(POP_GS, POP_GS),
    ONE(MOV_EvSw, MOV_EvSw),
    ONE(MOV_SwEw, MOV_SwEw),
    ONE(LES, LES),
    ONE(LDS, LDS),
    ONE(LSS, LSS),
    ONE(LFS, LFS),
    ONE(LGS, LGS),
    ONE(CMC, CMC),
    ONE(CLC, CLC),
    ONE(STC, STC),
    ONE(CLD, CLD),
    ONE(STD, STD),
    ONE(SAHF, SAHF),
    ONE(LAHF, LAHF),
    ONE(CLI, CLI),
    ONE(STI, STI),
    ONE(PUSHF, PUSHF),
    ONE(POPF, POPF),
    {0, NULL, NULL},
};

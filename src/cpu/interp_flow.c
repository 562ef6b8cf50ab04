/* Jumps, calls, returns, gates, interrupts by instruction, IRET, SYSENTER. Intel SDM vol. 2 (the
 * pseudocode gives the order of checks), vol. 3A, 5.8 and 6.12. */
#include <glib.h>

#include "cond.h"
#include "exception.h"
#include "interp.h"
#include "log.h"
#include "stack.h"
#include "task.h"

#define REG16(cpu, r) (*interp_reg16(cpu, r))
#define REG32(cpu, r) ((cpu)->gpr[r])
#define OP(name)      static enum cpu_rc name(struct cpu *cpu, const struct insn *insn)

/* --- near --- */

static inline enum cpu_rc jump_near(struct cpu *cpu, uint32_t target)
{
    if (unlikely(target > cpu->seg[SEG_CS].limit))
        return cpu_raise(cpu, EXC_GP, 0);
    cpu->interp->next_eip = target;
    return CPU_OK;
}

static inline enum cpu_rc jump_relative(struct cpu *cpu, const struct insn *insn)
{
    uint32_t target = cpu->interp->next_eip + insn->imm;

    return jump_near(cpu, insn->opsize == 2 ? target & 0xffff : target);
}

OP(JMP_J)
{
    return jump_relative(cpu, insn);
}

OP(JCC)
{
    return cond_holds(cpu->eflags, insn->opcode) ? jump_relative(cpu, insn) : CPU_OK;
}

/* Two very common conditions without the switch. */
OP(JZ)
{
    return (cpu->eflags & FL_ZF) ? jump_relative(cpu, insn) : CPU_OK;
}
OP(JNZ)
{
    return (cpu->eflags & FL_ZF) ? CPU_OK : jump_relative(cpu, insn);
}

OP(JCC_any)
{
    switch (insn->opcode & 0xf) {
    case 4:
        return JZ(cpu, insn);
    case 5:
        return JNZ(cpu, insn);
    default:
        return JCC(cpu, insn);
    }
}

static inline enum cpu_rc call_near(struct cpu *cpu, const struct insn *insn, uint32_t target)
{
    struct stack st;

    if (unlikely(target > cpu->seg[SEG_CS].limit))
        return cpu_raise(cpu, EXC_GP, 0);
    stack_begin(&st, cpu);
    stack_push(&st, insn->opsize, cpu->interp->next_eip);
    if (st.rc != CPU_OK)
        return st.rc;
    stack_commit(&st);
    cpu->interp->next_eip = target;
    return CPU_OK;
}

OP(CALL_J)
{
    uint32_t target = cpu->interp->next_eip + insn->imm;

    return call_near(cpu, insn, insn->opsize == 2 ? target & 0xffff : target);
}

static enum cpu_rc read_e(struct cpu *cpu, const struct insn *insn, uint32_t *value)
{
    if (insn->mod == 3) {
        *value = insn->opsize == 4 ? REG32(cpu, insn->rm) : REG16(cpu, insn->rm);
        return CPU_OK;
    }
    return insn->opsize == 4 ? interp_read(cpu, insn->seg, interp_ea(cpu, insn), 4, value)
                             : interp_read(cpu, insn->seg, interp_ea(cpu, insn), 2, value);
}

OP(CALL_E)
{
    uint32_t target;
    enum cpu_rc rc = read_e(cpu, insn, &target);

    return rc == CPU_OK ? call_near(cpu, insn, target) : rc;
}

OP(JMP_E)
{
    uint32_t target;
    enum cpu_rc rc = read_e(cpu, insn, &target);

    return rc == CPU_OK ? jump_near(cpu, target) : rc;
}

/* RET and RET imm16; imm is 0 for the former. */
OP(RET_near)
{
    struct stack st;

    stack_begin(&st, cpu);
    uint32_t target = stack_pop(&st, insn->opsize);
    if (st.rc != CPU_OK)
        return st.rc;
    if (unlikely(target > cpu->seg[SEG_CS].limit))
        return cpu_raise(cpu, EXC_GP, 0);
    stack_skip(&st, insn->imm);
    stack_commit(&st);
    cpu->interp->next_eip = target;
    return CPU_OK;
}

static uint32_t loop_count(const struct cpu *cpu, const struct insn *insn)
{
    return insn->adsize == 4 ? cpu->gpr[ECX] : cpu->gpr[ECX] & 0xffff;
}

static enum cpu_rc loop_if(struct cpu *cpu, const struct insn *insn, bool condition)
{
    uint32_t count = insn->adsize == 4 ? cpu->gpr[ECX] - 1 : (cpu->gpr[ECX] - 1) & 0xffff;

    if (count != 0 && condition) {
        enum cpu_rc rc = jump_relative(cpu, insn);
        if (rc != CPU_OK)
            return rc;
    }
    if (insn->adsize == 4)
        cpu->gpr[ECX] = count;
    else
        REG16(cpu, ECX) = (uint16_t)count;
    return CPU_OK;
}
OP(LOOP)
{
    return loop_if(cpu, insn, true);
}
OP(LOOPE)
{
    return loop_if(cpu, insn, cpu->eflags & FL_ZF);
}
OP(LOOPNE)
{
    return loop_if(cpu, insn, !(cpu->eflags & FL_ZF));
}
OP(JCXZ)
{
    return loop_count(cpu, insn) == 0 ? jump_relative(cpu, insn) : CPU_OK;
}

/* --- far --- */

/* The checks on a code segment that a far JMP or CALL names directly. */
static enum cpu_rc check_direct_code(struct cpu *cpu, uint16_t sel, const struct desc *d)
{
    if (desc_is_conforming(d) ? desc_dpl(d) > cpu->cpl : (sel & 3u) > cpu->cpl || desc_dpl(d) != cpu->cpl)
        return cpu_raise(cpu, EXC_GP, sel & ~3u);
    return desc_is_present(d) ? CPU_OK : cpu_raise(cpu, EXC_NP, sel & ~3u);
}

static void enter_code(struct cpu *cpu, uint16_t sel, const struct desc *d, unsigned cpl, uint32_t target)
{
    cpu->cpl = (uint8_t)cpl;
    seg_set(cpu, SEG_CS, (uint16_t)((sel & ~3u) | cpl), d);
    cpu->interp->next_eip = target;
}

/* Pushes CS and EIP onto the present stack. */
static enum cpu_rc push_return(struct cpu *cpu, unsigned size)
{
    struct stack st;

    stack_begin(&st, cpu);
    stack_push(&st, size, cpu->seg[SEG_CS].sel);
    stack_push(&st, size, cpu->interp->next_eip);
    if (st.rc == CPU_OK)
        stack_commit(&st);
    return st.rc;
}

/* Call gate: fetches the code segment behind it. For JMP the level may not change. */
static enum cpu_rc read_gate_code(struct cpu *cpu, const struct desc *gate, bool is_call, uint16_t *sel,
                                  struct desc *code)
{
    *sel = (uint16_t)(gate->low >> 16);
    if (sel_is_null(*sel))
        return cpu_raise(cpu, EXC_GP, 0);
    enum cpu_rc rc = desc_read(cpu, *sel, EXC_GP, code);
    if (rc != CPU_OK)
        return rc;
    if (!desc_is_code(code) || desc_dpl(code) > cpu->cpl ||
        (!is_call && !desc_is_conforming(code) && desc_dpl(code) != cpu->cpl))
        return cpu_raise(cpu, EXC_GP, *sel & ~3u);
    return desc_is_present(code) ? CPU_OK : cpu_raise(cpu, EXC_NP, *sel & ~3u);
}

static uint32_t gate_offset(const struct desc *gate)
{
    uint32_t offset = gate->low & 0xffff;

    return desc_type(gate) & 8 ? offset | (gate->high & 0xffff0000u) : offset;
}

/* CALL through a gate to an inner level: new stack from the TSS, parameters copied. */
static enum cpu_rc call_inner(struct cpu *cpu, const struct desc *gate, uint16_t sel, struct desc *code)
{
    unsigned size = desc_type(gate) & 8 ? 4 : 2, cpl = desc_dpl(code);
    unsigned params = gate->high & 31;
    uint32_t param[31], esp;
    uint16_t ss;
    struct desc ss_desc;
    struct stack outer, st;
    enum cpu_rc rc = exception_inner_stack(cpu, cpl, &ss, &esp);

    if (rc == CPU_OK)
        rc = seg_check_ss(cpu, ss, cpl, EXC_TS, &ss_desc);
    if (rc != CPU_OK)
        return rc;
    stack_begin(&outer, cpu);
    for (unsigned i = 0; i < params; i++)
        param[i] = stack_pop(&outer, size);
    if (outer.rc != CPU_OK)
        return outer.rc;
    stack_begin_inner(&st, cpu, ss, &ss_desc, esp, cpl);
    stack_push(&st, size, cpu->seg[SEG_SS].sel);
    stack_push(&st, size, cpu->gpr[ESP]);
    for (unsigned i = params; i-- > 0;)
        stack_push(&st, size, param[i]);
    stack_push(&st, size, cpu->seg[SEG_CS].sel);
    stack_push(&st, size, cpu->interp->next_eip);
    if (st.rc != CPU_OK)
        return st.rc;
    if (gate_offset(gate) > desc_limit(code))
        return cpu_raise(cpu, EXC_GP, 0);
    rc = desc_touch(cpu, sel, code);
    if (rc == CPU_OK)
        rc = desc_touch(cpu, ss, &ss_desc);
    if (rc != CPU_OK)
        return rc;
    seg_set(cpu, SEG_SS, ss, &ss_desc);
    stack_commit(&st);
    enter_code(cpu, sel, code, cpl, gate_offset(gate));
    return CPU_OK;
}

static enum cpu_rc through_call_gate(struct cpu *cpu, const struct desc *gate, bool is_call)
{
    uint16_t sel;
    struct desc code;
    enum cpu_rc rc = read_gate_code(cpu, gate, is_call, &sel, &code);

    if (rc != CPU_OK)
        return rc;
    if (is_call && !desc_is_conforming(&code) && desc_dpl(&code) < cpu->cpl)
        return call_inner(cpu, gate, sel, &code);
    if (gate_offset(gate) > desc_limit(&code))
        return cpu_raise(cpu, EXC_GP, 0);
    rc = desc_touch(cpu, sel, &code);
    if (rc == CPU_OK && is_call)
        rc = push_return(cpu, desc_type(gate) & 8 ? 4 : 2);
    if (rc == CPU_OK)
        enter_code(cpu, sel, &code, cpu->cpl, gate_offset(gate));
    return rc;
}

static enum cpu_rc far_through_system(struct cpu *cpu, uint16_t sel, const struct desc *d, bool is_call)
{
    enum task_source source = is_call ? TASK_CALL : TASK_JMP;
    unsigned rpl = sel & 3;

    if (!desc_is_system(d) || desc_dpl(d) < cpu->cpl || desc_dpl(d) < rpl)
        return cpu_raise(cpu, EXC_GP, sel & ~3u);
    switch (desc_type(d)) {
    case SYS_TSS16_AVAIL:
    case SYS_TSS32_AVAIL:
        return task_switch(cpu, sel, source, cpu->interp->next_eip, false, 0);
    case SYS_TASK_GATE:
        if (!desc_is_present(d))
            return cpu_raise(cpu, EXC_NP, sel & ~3u);
        return task_switch(cpu, (uint16_t)(d->low >> 16), source, cpu->interp->next_eip, false, 0);
    case SYS_CALL16:
    case SYS_CALL32:
        if (!desc_is_present(d))
            return cpu_raise(cpu, EXC_NP, sel & ~3u);
        return through_call_gate(cpu, d, is_call);
    default:
        return cpu_raise(cpu, EXC_GP, sel & ~3u);
    }
}

/* -d pcall, in QEMU's form. */
static __attribute__((noinline, cold)) void log_call(const struct cpu *cpu, const char *what, uint16_t sel,
                                                     uint32_t offset, unsigned size, const uint32_t *addend)
{
    GString *out = g_string_new(NULL);
    g_string_append_printf(out, "%s %04x:%08x s=%d", what, sel, offset, size == 4);
    if (addend)
        g_string_append_printf(out, " addend=0x%x", *addend);
    g_string_append(out, "\n");
    cpu_print_short(cpu, out);
    log_printf("%s", out->str);
    g_string_free(out, TRUE);
}

static enum cpu_rc far_transfer(struct cpu *cpu, uint16_t sel, uint32_t offset, unsigned size, bool is_call)
{
    struct desc d;
    enum cpu_rc rc;

    if (!cpu_is_protected(cpu)) {
        /* Real-mode code has the limit that CS has now; V86 is always 64 KiB. */
        if (offset > cpu->seg[SEG_CS].limit)
            return cpu_raise(cpu, EXC_GP, 0);
        rc = is_call ? push_return(cpu, size) : CPU_OK;
        if (rc != CPU_OK)
            return rc;
        seg_set_real(cpu, SEG_CS, sel);
        cpu->interp->next_eip = offset;
        return CPU_OK;
    }
    if (log_on(LOG_PCALL))
        log_call(cpu, is_call ? "lcall" : "ljmp", sel, offset, size, NULL);
    if (sel_is_null(sel))
        return cpu_raise(cpu, EXC_GP, 0);
    rc = desc_read(cpu, sel, EXC_GP, &d);
    if (rc != CPU_OK)
        return rc;
    if (!desc_is_code(&d))
        return far_through_system(cpu, sel, &d, is_call);
    rc = check_direct_code(cpu, sel, &d);
    if (rc != CPU_OK)
        return rc;
    if (offset > desc_limit(&d))
        return cpu_raise(cpu, EXC_GP, 0);
    rc = desc_touch(cpu, sel, &d);
    if (rc == CPU_OK && is_call)
        rc = push_return(cpu, size);
    if (rc == CPU_OK)
        enter_code(cpu, sel, &d, cpu->cpl, offset);
    return rc;
}

OP(JMPF_A)
{
    return far_transfer(cpu, (uint16_t)insn->imm2, insn->imm, insn->opsize, false);
}
OP(CALLF_A)
{
    return far_transfer(cpu, (uint16_t)insn->imm2, insn->imm, insn->opsize, true);
}

static enum cpu_rc far_indirect(struct cpu *cpu, const struct insn *insn, bool is_call)
{
    uint32_t offset;
    uint16_t sel;
    enum cpu_rc rc = interp_load_far(cpu, insn, &sel, &offset);

    if (rc != CPU_OK)
        return rc;
    return far_transfer(cpu, sel, offset, insn->opsize, is_call);
}
OP(JMPF_M)
{
    return far_indirect(cpu, insn, false);
}
OP(CALLF_M)
{
    return far_indirect(cpu, insn, true);
}

/* After a return to an outer level: data segments it may not see become null. */
static void drop_inner_segments(struct cpu *cpu)
{
    static const uint8_t regs[] = {SEG_ES, SEG_FS, SEG_GS, SEG_DS};

    for (unsigned i = 0; i < sizeof(regs); i++) {
        struct seg *s = &cpu->seg[regs[i]];
        bool conforming = (s->access & (ACC_CODE | ACC_CONFORM)) == (ACC_CODE | ACC_CONFORM);
        unsigned dpl = (s->access & ACC_DPL) >> ACC_DPL_SHIFT;
        if ((s->access & ACC_P) && !conforming && dpl < cpu->cpl)
            seg_set_null(cpu, regs[i], 0);
    }
}

/* Checks the code segment a RETF or IRET returns to. */
static enum cpu_rc check_return_code(struct cpu *cpu, uint16_t sel, struct desc *d)
{
    if (sel_is_null(sel))
        return cpu_raise(cpu, EXC_GP, 0);
    enum cpu_rc rc = desc_read(cpu, sel, EXC_GP, d);
    if (rc != CPU_OK)
        return rc;
    unsigned rpl = sel & 3;
    if (rpl < cpu->cpl || !desc_is_code(d) || (desc_is_conforming(d) ? desc_dpl(d) > rpl : desc_dpl(d) != rpl))
        return cpu_raise(cpu, EXC_GP, sel & ~3u);
    return desc_is_present(d) ? CPU_OK : cpu_raise(cpu, EXC_NP, sel & ~3u);
}

/* The common end of RETF and IRET in protected mode. st stands behind what was popped so far; extra
 * is RETF's immediate. Pops SS:ESP when the level changes. */
static enum cpu_rc return_far(struct cpu *cpu, struct stack *st, uint16_t sel, uint32_t target, unsigned size,
                              uint32_t extra, unsigned *old_cpl)
{
    struct desc cs, ss_desc;
    enum cpu_rc rc = check_return_code(cpu, sel, &cs);
    unsigned rpl = sel & 3;
    uint32_t esp = 0;
    uint16_t ss = 0;
    bool outer = rpl > cpu->cpl;

    *old_cpl = cpu->cpl;
    if (log_on(LOG_PCALL))
        log_call(cpu, "lret new", sel, target, size, &extra);
    if (rc != CPU_OK)
        return rc;
    stack_skip(st, extra);
    if (outer) {
        ss = (uint16_t)stack_peek(st, size, size);
        esp = stack_peek(st, 0, size);
        if (st->rc != CPU_OK)
            return st->rc;
        rc = seg_check_ss(cpu, ss, rpl, EXC_GP, &ss_desc);
        if (rc != CPU_OK)
            return rc;
    }
    if (target > desc_limit(&cs))
        return cpu_raise(cpu, EXC_GP, 0);
    rc = desc_touch(cpu, sel, &cs);
    if (rc == CPU_OK && outer)
        rc = desc_touch(cpu, ss, &ss_desc);
    if (rc != CPU_OK)
        return rc;
    enter_code(cpu, sel, &cs, rpl, target);
    if (!outer) {
        stack_commit(st);
        return CPU_OK;
    }
    seg_set(cpu, SEG_SS, ss, &ss_desc);
    esp += extra;
    if (desc_access(&ss_desc) & ACC_DB)
        cpu->gpr[ESP] = esp;
    else
        REG16(cpu, ESP) = (uint16_t)esp;
    drop_inner_segments(cpu);
    return CPU_OK;
}

OP(RETF)
{
    unsigned old_cpl;
    struct stack st;

    stack_begin(&st, cpu);
    uint16_t sel = (uint16_t)stack_peek(&st, insn->opsize, insn->opsize);
    uint32_t target = stack_peek(&st, 0, insn->opsize);
    if (st.rc != CPU_OK)
        return st.rc;
    stack_skip(&st, 2u * insn->opsize);
    if (cpu_is_protected(cpu))
        return return_far(cpu, &st, sel, target, insn->opsize, insn->imm, &old_cpl);
    if (target > cpu->seg[SEG_CS].limit)
        return cpu_raise(cpu, EXC_GP, 0);
    stack_skip(&st, insn->imm);
    stack_commit(&st);
    seg_set_real(cpu, SEG_CS, sel);
    cpu->interp->next_eip = target;
    return CPU_OK;
}

/* --- IRET --- */

#define IRET_FLAGS (FL_ARITH | FL_TF | FL_DF | FL_NT | FL_RF | FL_AC | FL_ID)

static void iret_flags(struct cpu *cpu, uint32_t image, unsigned size, uint32_t mask)
{
    if (size == 2)
        mask &= 0xffff;
    cpu_set_eflags(cpu, (cpu->eflags & ~mask) | (image & mask));
}

static enum cpu_rc iret_real(struct cpu *cpu, unsigned size)
{
    struct stack st;
    uint32_t mask = IRET_FLAGS | FL_IF;
    bool virtual_if = false;

    if (!cpu_is_v86(cpu)) {
        mask |= FL_IOPL;
    } else if ((cpu->eflags & FL_IOPL) != FL_IOPL) {
        if (!(cpu->cr4 & CR4_VME) || size != 2)
            return cpu_raise(cpu, EXC_GP, 0);
        virtual_if = true;
        mask &= ~FL_IF;
    }
    stack_begin(&st, cpu);
    uint32_t image = stack_peek(&st, 2 * size, size);
    uint16_t sel = (uint16_t)stack_peek(&st, size, size);
    uint32_t target = stack_peek(&st, 0, size);
    if (st.rc != CPU_OK)
        return st.rc;
    stack_skip(&st, 3 * size);
    if (target > cpu->seg[SEG_CS].limit || (virtual_if && v86_flags_fault(cpu, image)))
        return cpu_raise(cpu, EXC_GP, 0);
    stack_commit(&st);
    seg_set_real(cpu, SEG_CS, sel);
    cpu->interp->next_eip = target;
    iret_flags(cpu, image, size, mask);
    if (virtual_if)
        cpu->eflags = (cpu->eflags & ~FL_VIF) | (image & FL_IF ? FL_VIF : 0);
    return CPU_OK;
}

static enum cpu_rc iret_to_v86(struct cpu *cpu, struct stack *st, uint16_t cs, uint32_t target, uint32_t image)
{
    uint32_t esp = stack_pop(st, 4);
    uint16_t sel[6];
    static const uint8_t order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};

    sel[SEG_CS] = cs;
    for (unsigned i = 0; i < sizeof(order); i++)
        sel[order[i]] = (uint16_t)stack_pop(st, 4);
    if (st->rc != CPU_OK)
        return st->rc;
    if ((target & 0xffff) != target)
        return cpu_raise(cpu, EXC_GP, 0);
    cpu_set_eflags(cpu, (image & (IRET_FLAGS | FL_IF | FL_IOPL | FL_VIF | FL_VIP)) | FL_VM);
    cpu->cpl = 3;
    for (unsigned i = 0; i < 6; i++)
        seg_set_real(cpu, i, sel[i]);
    cpu->gpr[ESP] = esp;
    cpu->interp->next_eip = target;
    return CPU_OK;
}

static enum cpu_rc iret_task(struct cpu *cpu)
{
    uint32_t link;
    enum cpu_rc rc = interp_read_linear(cpu, cpu->seg[SEG_TR].base, 2, false, &link);

    return rc == CPU_OK ? task_switch(cpu, (uint16_t)link, TASK_IRET, cpu->interp->next_eip, false, 0) : rc;
}

static enum cpu_rc iret_protected(struct cpu *cpu, unsigned size)
{
    struct stack st;
    unsigned old_cpl;
    uint32_t old_iopl = (cpu->eflags & FL_IOPL) >> FL_IOPL_SHIFT;

    if (cpu->eflags & FL_NT)
        return iret_task(cpu);
    stack_begin(&st, cpu);
    uint32_t image = stack_peek(&st, 2 * size, size);
    uint16_t sel = (uint16_t)stack_peek(&st, size, size);
    uint32_t target = stack_peek(&st, 0, size);
    if (st.rc != CPU_OK)
        return st.rc;
    stack_skip(&st, 3 * size);
    if (size == 4 && (image & FL_VM) && cpu->cpl == 0)
        return iret_to_v86(cpu, &st, sel, target, image);
    enum cpu_rc rc = return_far(cpu, &st, sel, target, size, 0, &old_cpl);
    if (rc != CPU_OK)
        return rc;
    uint32_t mask = IRET_FLAGS;
    if (old_cpl <= old_iopl)
        mask |= FL_IF;
    if (old_cpl == 0)
        mask |= FL_IOPL | FL_VIF | FL_VIP;
    iret_flags(cpu, image, size, mask);
    return CPU_OK;
}

OP(IRET)
{
    enum cpu_rc rc = cpu_is_protected(cpu) ? iret_protected(cpu, insn->opsize) : iret_real(cpu, insn->opsize);

    if (rc != CPU_EXIT)
        cpu->nmi_blocked = false; /* a fault, too, unblocks (SDM vol. 3A, 6.7.1) */
    return rc;
}

/* --- interrupts by instruction --- */

static enum cpu_rc software_interrupt(struct cpu *cpu, uint8_t vector, enum int_source source)
{
    enum cpu_rc rc = exception_enter(cpu, vector, source, cpu->interp->next_eip, false, 0);

    if (rc == CPU_OK) {
        cpu->interp->next_eip = cpu->eip;
        cpu->interp->no_trap = true;
    }
    return rc;
}

/* With CR4.VME a bit per vector in the TSS, below the I/O bitmap, says whether INT n goes to the 8086 program's own
 * handler (SDM vol. 3B, table 20-2). */
static enum cpu_rc is_redirected(struct cpu *cpu, uint8_t vector, bool *redirected)
{
    const struct seg *tr = &cpu->seg[SEG_TR];
    uint32_t value;

    *redirected = false;
    if (!(cpu->cr4 & CR4_VME) || !(tr->access & 8) || tr->limit < 0x67)
        return CPU_OK;
    enum cpu_rc rc = interp_read_linear(cpu, tr->base + 0x66, 2, false, &value);
    if (rc != CPU_OK)
        return rc;
    uint32_t at = value - 32 + vector / 8;
    if (value < 32 || at > tr->limit)
        return CPU_OK;
    rc = interp_read_linear(cpu, tr->base + at, 1, false, &value);
    *redirected = rc == CPU_OK && !(value >> (vector & 7) & 1);
    return rc;
}

static enum cpu_rc redirect(struct cpu *cpu, uint8_t vector)
{
    bool virtual_if = (cpu->eflags & FL_IOPL) != FL_IOPL;
    uint32_t target;
    struct stack st;

    enum cpu_rc rc = interp_read_linear(cpu, vector * 4u, 4, true, &target);
    if (rc != CPU_OK)
        return rc;
    stack_begin(&st, cpu);
    stack_push(&st, 2, virtual_if ? v86_flags_image(cpu) : cpu->eflags);
    stack_push(&st, 2, cpu->seg[SEG_CS].sel);
    stack_push(&st, 2, cpu->interp->next_eip);
    if (st.rc != CPU_OK)
        return st.rc;
    stack_commit(&st);
    cpu->eflags &= ~(FL_TF | (virtual_if ? FL_VIF : FL_IF));
    seg_set_real(cpu, SEG_CS, (uint16_t)(target >> 16));
    cpu->interp->next_eip = target & 0xffff;
    return CPU_OK;
}

OP(INT_n)
{
    if (cpu_is_v86(cpu)) {
        bool redirected;
        enum cpu_rc rc = is_redirected(cpu, (uint8_t)insn->imm, &redirected);
        if (rc != CPU_OK)
            return rc;
        if (redirected)
            return redirect(cpu, (uint8_t)insn->imm);
    }
    if (cpu_is_v86(cpu) && (cpu->eflags & FL_IOPL) != FL_IOPL)
        return cpu_raise(cpu, EXC_GP, 0);
    return software_interrupt(cpu, (uint8_t)insn->imm, INT_SOFTWARE);
}
OP(INT3)
{
    return software_interrupt(cpu, EXC_BP, INT_SOFTWARE);
}
OP(ICEBP)
{
    return software_interrupt(cpu, EXC_DB, INT_ICEBP);
}
OP(INTO)
{
    return (cpu->eflags & FL_OF) ? software_interrupt(cpu, EXC_OF, INT_SOFTWARE) : CPU_OK;
}

OP(BOUND)
{
    unsigned size = insn->opsize;
    goff_t offset = interp_ea(cpu, insn);
    uint32_t low = 0, high = 0, index = cpu->gpr[insn->reg];
    enum cpu_rc rc = interp_load_at(cpu, insn->seg, offset, &low, size);

    if (rc == CPU_OK) {
        offset = insn->adsize == 2 ? (uint16_t)(offset + size) : offset + size;
        rc = interp_load_at(cpu, insn->seg, offset, &high, size);
    }
    if (rc != CPU_OK)
        return rc;
    if (size == 2) {
        low = (uint32_t)(int16_t)low;
        high = (uint32_t)(int16_t)high;
        index = (uint32_t)(int16_t)index;
    }
    return (int32_t)index < (int32_t)low || (int32_t)index > (int32_t)high ? cpu_raise(cpu, EXC_BR, 0) : CPU_OK;
}

/* --- SYSENTER, SYSEXIT --- */

static void set_flat(struct cpu *cpu, enum segreg reg, uint16_t sel, unsigned dpl, unsigned type)
{
    cpu->seg[reg] = (struct seg){.sel = sel,
                                 .limit = 0xffffffffu,
                                 .access = (uint16_t)(ACC_G | ACC_DB | ACC_P | ACC_S | dpl << ACC_DPL_SHIFT | type)};
    cpu->changed |= CHANGED_MODE;
}

OP(SYSENTER)
{
    if (cpu_is_real(cpu) || sel_is_null((uint16_t)cpu->sysenter_cs))
        return cpu_raise(cpu, EXC_GP, 0);
    cpu_set_eflags(cpu, cpu->eflags & ~(FL_VM | FL_IF | FL_RF));
    cpu->cpl = 0;
    set_flat(cpu, SEG_CS, (uint16_t)(cpu->sysenter_cs & 0xfffc), 0, 0xb);
    set_flat(cpu, SEG_SS, (uint16_t)((cpu->sysenter_cs & 0xfffc) + 8), 0, 0x3);
    cpu->gpr[ESP] = cpu->sysenter_esp;
    cpu->interp->next_eip = cpu->sysenter_eip;
    return CPU_OK;
}

OP(SYSEXIT)
{
    if (cpu_is_real(cpu) || sel_is_null((uint16_t)cpu->sysenter_cs))
        return cpu_raise(cpu, EXC_GP, 0);
    cpu->cpl = 3;
    set_flat(cpu, SEG_CS, (uint16_t)((cpu->sysenter_cs + 16) | 3), 3, 0xb);
    set_flat(cpu, SEG_SS, (uint16_t)((cpu->sysenter_cs + 24) | 3), 3, 0x3);
    cpu->gpr[ESP] = cpu->gpr[ECX];
    cpu->interp->next_eip = cpu->gpr[EDX];
    return CPU_OK;
}

#define ONE(id, fn) \
    { \
        INSN_##id, fn, fn \
    }

const struct interp_op interp_flow_ops[] = {
    ONE(JCC_Jb, JCC_any),    ONE(JCC_Jz, JCC_any),   ONE(JMP_Jb, JMP_J), ONE(JMP_Jz, JMP_J),    ONE(JMP_Ev, JMP_E),
    ONE(CALL_Jz, CALL_J),    ONE(CALL_Ev, CALL_E),   ONE(RET, RET_near), ONE(RET_Iw, RET_near), ONE(LOOP, LOOP),
    ONE(LOOPE, LOOPE),       ONE(LOOPNE, LOOPNE),    ONE(JCXZ, JCXZ),    ONE(JMPF_Ap, JMPF_A),  ONE(JMPF_Mp, JMPF_M),
    ONE(CALLF_Ap, CALLF_A),  ONE(CALLF_Mp, CALLF_M), ONE(RETF, RETF),    ONE(RETF_Iw, RETF),    ONE(IRET, IRET),
    ONE(INT_Ib, INT_n),      ONE(INT3, INT3),        ONE(INTO, INTO),    ONE(ICEBP, ICEBP),     ONE(BOUND, BOUND),
    ONE(SYSENTER, SYSENTER), ONE(SYSEXIT, SYSEXIT),  {0, NULL, NULL},
};

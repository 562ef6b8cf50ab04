/* Delivery of interrupts and exceptions through IDT or real-mode table. Intel SDM vol. 3A, chapter 6;
 * the pseudocode of INT n in vol. 2 gives order and error codes. */
#include "exception.h"

#include <glib.h>

#include "flight.h"
#include "interp.h"
#include "log.h"
#include "segment.h"
#include "stack.h"
#include "stats.h"
#include "task.h"

#define VECTORS_WITH_ERROR \
    (1u << EXC_DF | 1u << EXC_TS | 1u << EXC_NP | 1u << EXC_SS | 1u << EXC_GP | 1u << EXC_PF | 1u << EXC_AC)
#define VECTORS_CONTRIBUTORY (1u << EXC_DE | 1u << EXC_TS | 1u << EXC_NP | 1u << EXC_SS | 1u << EXC_GP)

static bool vector_in(unsigned vector, uint32_t set)
{
    return vector < 32 && ((set >> vector) & 1);
}

enum cpu_rc cpu_raise(struct cpu *cpu, enum vector vector, uint32_t error)
{
    struct interp *ip = cpu->interp;

    /* EXT: the fault was met while delivering something that the program did not ask for. */
    if (vector_in(vector, 1u << EXC_TS | 1u << EXC_NP | 1u << EXC_SS | 1u << EXC_GP))
        error |= ip->ext;
    ip->pending.vector = (uint8_t)vector;
    ip->pending.error = error;
    return CPU_FAULT;
}

static enum cpu_rc enter_real(struct cpu *cpu, uint8_t vector, uint32_t return_eip)
{
    uint32_t target;
    struct stack st;
    enum cpu_rc rc;

    if (vector * 4u + 3 > cpu->idtr.limit)
        return cpu_raise(cpu, EXC_GP, 0);
    rc = interp_read_linear(cpu, cpu->idtr.base + vector * 4u, 4, false, &target);
    if (rc != CPU_OK)
        return rc;
    stack_begin(&st, cpu);
    stack_push(&st, 2, cpu->eflags);
    stack_push(&st, 2, cpu->seg[SEG_CS].sel);
    stack_push(&st, 2, return_eip);
    if (st.rc != CPU_OK)
        return st.rc;
    stack_commit(&st);
    cpu->eflags &= ~(FL_IF | FL_TF | FL_AC | FL_RF);
    seg_set_real(cpu, SEG_CS, (uint16_t)(target >> 16));
    cpu->eip = target & 0xffff;
    return CPU_OK;
}

/* Inner-level entry: SS:ESP of level dpl from the TSS (SDM vol. 3A, 6.12.1). */
enum cpu_rc exception_inner_stack(struct cpu *cpu, unsigned dpl, uint16_t *ss, uint32_t *esp)
{
    const struct seg *tr = &cpu->seg[SEG_TR];
    bool is32 = tr->access & 8;
    uint32_t offset = is32 ? 4 + dpl * 8 : 2 + dpl * 4;
    uint32_t value;
    enum cpu_rc rc;

    if (offset + (is32 ? 5u : 3u) > tr->limit)
        return cpu_raise(cpu, EXC_TS, tr->sel & ~3u);
    rc = interp_read_linear(cpu, tr->base + offset, 4, false, &value);
    if (rc != CPU_OK)
        return rc;
    if (!is32) {
        *esp = value & 0xffff;
        *ss = (uint16_t)(value >> 16);
        return CPU_OK;
    }
    *esp = value;
    rc = interp_read_linear(cpu, tr->base + offset + 4, 2, false, &value);
    *ss = (uint16_t)value;
    return rc;
}

static void clear_data_segments(struct cpu *cpu)
{
    seg_set_null(cpu, SEG_ES, 0);
    seg_set_null(cpu, SEG_DS, 0);
    seg_set_null(cpu, SEG_FS, 0);
    seg_set_null(cpu, SEG_GS, 0);
}

struct gate {
    unsigned type;
    uint16_t sel;
    uint32_t offset;
};

static enum cpu_rc enter_through_gate(struct cpu *cpu, const struct gate *gate, uint32_t return_eip, bool has_error,
                                      uint32_t error)
{
    unsigned size = gate->type & 8 ? 4 : 2;
    bool was_v86 = cpu->eflags & FL_VM;
    struct desc cs, ss_desc;
    struct stack st;
    enum cpu_rc rc;

    if (sel_is_null(gate->sel))
        return cpu_raise(cpu, EXC_GP, 0);
    rc = desc_read(cpu, gate->sel, EXC_GP, &cs);
    if (rc != CPU_OK)
        return rc;
    if (!desc_is_code(&cs) || desc_dpl(&cs) > cpu->cpl)
        return cpu_raise(cpu, EXC_GP, gate->sel & ~3u);
    if (!desc_is_present(&cs))
        return cpu_raise(cpu, EXC_NP, gate->sel & ~3u);

    unsigned new_cpl = cpu->cpl;
    uint16_t new_ss = 0;
    bool inner = !desc_is_conforming(&cs) && desc_dpl(&cs) < cpu->cpl;
    if (was_v86 && (!inner || desc_dpl(&cs) != 0))
        return cpu_raise(cpu, EXC_GP, gate->sel & ~3u);
    if (inner) {
        uint32_t new_esp;
        new_cpl = desc_dpl(&cs);
        rc = exception_inner_stack(cpu, new_cpl, &new_ss, &new_esp);
        if (rc == CPU_OK)
            rc = seg_check_ss(cpu, new_ss, new_cpl, EXC_TS, &ss_desc);
        if (rc != CPU_OK)
            return rc;
        stack_begin_inner(&st, cpu, new_ss, &ss_desc, new_esp, new_cpl);
        if (was_v86) {
            stack_push(&st, size, cpu->seg[SEG_GS].sel);
            stack_push(&st, size, cpu->seg[SEG_FS].sel);
            stack_push(&st, size, cpu->seg[SEG_DS].sel);
            stack_push(&st, size, cpu->seg[SEG_ES].sel);
        }
        stack_push(&st, size, cpu->seg[SEG_SS].sel);
        stack_push(&st, size, cpu->gpr[ESP]);
    } else {
        stack_begin(&st, cpu);
    }
    stack_push(&st, size, cpu->eflags);
    stack_push(&st, size, cpu->seg[SEG_CS].sel);
    stack_push(&st, size, return_eip);
    if (has_error)
        stack_push(&st, size, error);
    if (st.rc != CPU_OK)
        return st.rc;
    if (gate->offset > desc_limit(&cs))
        return cpu_raise(cpu, EXC_GP, 0);
    rc = desc_touch(cpu, gate->sel, &cs);
    if (rc == CPU_OK && inner)
        rc = desc_touch(cpu, new_ss, &ss_desc);
    if (rc != CPU_OK)
        return rc;

    cpu->eflags &= ~(FL_TF | FL_NT | FL_RF | FL_VM);
    if (!(gate->type & 1))
        cpu->eflags &= ~FL_IF;
    cpu->cpl = (uint8_t)new_cpl;
    if (inner)
        seg_set(cpu, SEG_SS, new_ss, &ss_desc);
    stack_commit(&st);
    if (was_v86)
        clear_data_segments(cpu);
    seg_set(cpu, SEG_CS, (uint16_t)((gate->sel & ~3u) | new_cpl), &cs);
    cpu->eip = gate->offset;
    cpu->changed |= CHANGED_MODE;
    return CPU_OK;
}

static enum cpu_rc enter_protected(struct cpu *cpu, uint8_t vector, enum int_source source, uint32_t return_eip,
                                   bool has_error, uint32_t error)
{
    uint32_t idt_error = vector * 8u + 2;
    struct desc d;
    enum cpu_rc rc;

    if (vector * 8u + 7 > cpu->idtr.limit)
        return cpu_raise(cpu, EXC_GP, idt_error);
    rc = interp_read_linear(cpu, cpu->idtr.base + vector * 8u, 4, false, &d.low);
    if (rc == CPU_OK)
        rc = interp_read_linear(cpu, cpu->idtr.base + vector * 8u + 4, 4, false, &d.high);
    if (rc != CPU_OK)
        return rc;

    unsigned type = desc_type(&d);
    if (!desc_is_system(&d) ||
        !(type == SYS_TASK_GATE || type == SYS_INT16 || type == SYS_TRAP16 || type == SYS_INT32 || type == SYS_TRAP32))
        return cpu_raise(cpu, EXC_GP, idt_error);
    if (source == INT_SOFTWARE && desc_dpl(&d) < cpu->cpl)
        return cpu_raise(cpu, EXC_GP, idt_error);
    if (!desc_is_present(&d))
        return cpu_raise(cpu, EXC_NP, idt_error);

    if (type == SYS_TASK_GATE)
        return task_switch(cpu, (uint16_t)(d.low >> 16), TASK_INT, return_eip, has_error, error);
    struct gate gate = {type, (uint16_t)(d.low >> 16), d.low & 0xffff};
    if (type & 8)
        gate.offset |= d.high & 0xffff0000u;
    return enter_through_gate(cpu, &gate, return_eip, has_error, error);
}

static void count(uint8_t vector, enum int_source source)
{
    static const uint8_t known[] = {[EXC_DE] = STAT_exc_de,
                                    [EXC_UD] = STAT_exc_ud,
                                    [EXC_NM] = STAT_exc_nm,
                                    [EXC_GP] = STAT_exc_gp,
                                    [EXC_PF] = STAT_exc_pf};

    if (source == INT_EXTERNAL)
        stats_count(STAT_irq);
    else if (source == INT_SOFTWARE)
        stats_count(STAT_soft_int);
    else
        stats_count(vector < sizeof(known) && known[vector] ? known[vector] : STAT_exc_other);
}

/* -d int, in QEMU's form, which has nothing for real mode. */
static void log_interrupt(const struct cpu *cpu, uint8_t vector, enum int_source source, uint32_t error)
{
    static unsigned number;
    GString *out = g_string_new(NULL);
    g_string_append_printf(out, "%6u: v=%02x e=%04x i=%d cpl=%u IP=%04x:%08x pc=%08x SP=%04x:%08x", number++, vector,
                           error, source == INT_SOFTWARE, cpu->cpl, cpu->seg[SEG_CS].sel, cpu->eip,
                           cpu->seg[SEG_CS].base + cpu->eip, cpu->seg[SEG_SS].sel, cpu->gpr[ESP]);
    if (vector == EXC_PF)
        g_string_append_printf(out, " CR2=%08x\n", cpu->cr2);
    else
        g_string_append_printf(out, " env->regs[R_EAX]=%08x\n", cpu->gpr[EAX]);
    struct cpu shown = *cpu;
    if (source == INT_EXCEPTION)
        shown.eflags &= ~FL_RF; /* set for the image in the handler's frame */
    cpu_print_short(&shown, out);
    log_printf("%s", out->str);
    g_string_free(out, TRUE);
}

enum cpu_rc exception_enter(struct cpu *cpu, uint8_t vector, enum int_source source, uint32_t return_eip,
                            bool has_error, uint32_t error)
{
    enum cpu_rc rc;

    flight_note(source == INT_EXTERNAL   ? FLIGHT_IRQ
                : source == INT_SOFTWARE ? FLIGHT_SOFT_INT
                                         : FLIGHT_EXCEPTION,
                cpu, vector, has_error ? error : 0, cpu->cr2);
    if (log_on(LOG_INT) && !cpu_is_real(cpu))
        log_interrupt(cpu, vector, source, has_error ? error : 0);
    cpu->interp->ext = source != INT_SOFTWARE;
    if (cpu_is_real(cpu))
        rc = enter_real(cpu, vector, return_eip);
    else
        rc = enter_protected(cpu, vector, source, return_eip, has_error, error);
    cpu->interp->ext = 0;
    if (rc == CPU_OK) {
        count(vector, source);
        cpu->halted = false;
        cpu->inhibit_irq = cpu->inhibit_db = false;
        cpu->changed |= CHANGED_MODE;
    }
    return rc;
}

/* SDM vol. 3A, table 6-5: does second, met while delivering first, make a double fault? */
static bool is_double_fault(unsigned first, unsigned second)
{
    if (vector_in(first, VECTORS_CONTRIBUTORY))
        return vector_in(second, VECTORS_CONTRIBUTORY);
    if (first == EXC_PF)
        return second == EXC_PF || vector_in(second, VECTORS_CONTRIBUTORY);
    return false;
}

static void deliver(struct cpu *cpu, uint8_t vector, enum int_source source, bool has_error, uint32_t error)
{
    struct interp *ip = cpu->interp;
    unsigned current = source == INT_EXCEPTION ? vector : 0xffu;

    if (source == INT_EXCEPTION)
        log_at(LOG_INT, "check_exception old: 0xffffffff new 0x%x\n", vector);
    while (exception_enter(cpu, vector, source, cpu->eip, has_error, error) != CPU_OK) {
        unsigned second = ip->pending.vector;
        log_at(LOG_INT, "check_exception old: 0x%x new 0x%x\n", current == 0xffu ? UINT32_MAX : current, second);
        if (second == EXC_PF)
            cpu->cr2 = ip->pending.cr2;
        if (current == EXC_DF) {
            flight_note(FLIGHT_TRIPLE, cpu, 0, 0, 0);
            log_guest("triple fault at %04x:%08x", cpu->seg[SEG_CS].sel, cpu->eip);
            cpu->shutdown = true;
            return;
        }
        if (is_double_fault(current, second)) {
            vector = EXC_DF;
            error = 0;
        } else {
            vector = (uint8_t)second;
            error = ip->pending.error;
        }
        current = vector;
        source = INT_EXCEPTION;
        has_error = vector_in(vector, VECTORS_WITH_ERROR);
        cpu->eflags |= FL_RF;
    }
}

void exception_deliver_pending(struct cpu *cpu, bool trap)
{
    struct interp *ip = cpu->interp;
    uint8_t vector = ip->pending.vector;

    if (vector == EXC_PF)
        cpu->cr2 = ip->pending.cr2;
    /* Faults push an image with RF set, so that an instruction breakpoint does not hit twice. */
    if (!trap && vector != EXC_DF)
        cpu->eflags |= FL_RF;
    deliver(cpu, vector, INT_EXCEPTION, vector_in(vector, VECTORS_WITH_ERROR), ip->pending.error);
}

void cpu_interrupt(struct cpu *cpu, uint8_t vector)
{
    if (vector == EXC_NMI)
        cpu->nmi_blocked = true;
    deliver(cpu, vector, INT_EXTERNAL, false, 0);
}

void cpu_exception(struct cpu *cpu, uint8_t vector, uint32_t error, gla_t cr2)
{
    struct interp *ip = cpu->interp;

    ip->pending.vector = vector;
    ip->pending.error = error;
    ip->pending.cr2 = cr2;
    /* Breakpoint, overflow and single-step traps come with EIP past the instruction. */
    exception_deliver_pending(cpu, vector == EXC_DB || vector == EXC_BP || vector == EXC_OF);
}

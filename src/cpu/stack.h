/* Pushes and pops that take effect all or not at all: ESP moves only at stack_commit. */
#pragma once

#include "interp.h"

struct stack {
    struct cpu *cpu;
    struct seg ss;
    uint32_t esp, mask;
    bool user;
    uint16_t fault_sel; /* error code of #SS: 0 for the present stack, the selector for a new one */
    enum cpu_rc rc;     /* first failure; later operations do nothing */
};

static inline void stack_begin(struct stack *st, struct cpu *cpu)
{
    st->cpu = cpu;
    st->ss = cpu->seg[SEG_SS];
    st->esp = cpu->gpr[ESP];
    st->mask = cpu_stack32(cpu) ? 0xffffffffu : 0xffffu;
    st->user = cpu_is_user(cpu);
    st->fault_sel = 0;
    st->rc = CPU_OK;
}

static inline void stack_begin_inner(struct stack *st, struct cpu *cpu, uint16_t sel, const struct desc *d,
                                     uint32_t esp, unsigned cpl)
{
    st->cpu = cpu;
    st->ss = (struct seg){sel, desc_access(d), desc_base(d), desc_limit(d)};
    st->esp = esp;
    st->mask = (st->ss.access & ACC_DB) ? 0xffffffffu : 0xffffu;
    st->user = cpl == 3;
    st->fault_sel = sel & 0xfffc;
    st->rc = CPU_OK;
}

static inline bool stack_check(struct stack *st, goff_t offset, unsigned size, bool write)
{
    if (st->rc != CPU_OK)
        return false;
    if (likely(interp_segment_is_fast(&st->ss, offset, size, SEG_FAST_WRITE_TYPES)))
        return true;
    /* V86 state must not relax the checks of a protected-mode stack being switched to. */
    if (!seg_allows(st->cpu, &st->ss, offset, size, write)) {
        st->rc = cpu_raise(st->cpu, EXC_SS, st->fault_sel);
        return false;
    }
    return true;
}

/* size is 2 or 4. */
/* An element of step bytes, of which the lower `size` are stored. */
static inline void stack_push_part(struct stack *st, unsigned step, unsigned size, uint32_t value)
{
    goff_t offset = (st->esp - step) & st->mask;

    if (!stack_check(st, offset, size, true))
        return;
    st->rc = size == 4 ? interp_write_linear(st->cpu, st->ss.base + offset, 4, st->user, value)
                       : interp_write_linear(st->cpu, st->ss.base + offset, 2, st->user, value);
    st->esp = (st->esp & ~st->mask) | offset;
}

static inline void stack_push(struct stack *st, unsigned size, uint32_t value)
{
    stack_push_part(st, size, size, value);
}

static inline uint32_t stack_pop(struct stack *st, unsigned size)
{
    goff_t offset = st->esp & st->mask;
    uint32_t value = 0;

    if (!stack_check(st, offset, size, false))
        return 0;
    st->rc = size == 4 ? interp_read_linear(st->cpu, st->ss.base + offset, 4, st->user, &value)
                       : interp_read_linear(st->cpu, st->ss.base + offset, 2, st->user, &value);
    st->esp = (st->esp & ~st->mask) | ((offset + size) & st->mask);
    return value;
}

/* What stands depth bytes above the top. Far returns read what they pop from the highest word down (measured on AMD's
 * family 1Ah; no manual says): a page fault names the first that is missing in that order. */
static inline uint32_t stack_peek(struct stack *st, uint32_t depth, unsigned size)
{
    goff_t offset = (st->esp + depth) & st->mask;
    uint32_t value = 0;

    if (!stack_check(st, offset, size, false))
        return 0;
    st->rc = size == 4 ? interp_read_linear(st->cpu, st->ss.base + offset, 4, st->user, &value)
                       : interp_read_linear(st->cpu, st->ss.base + offset, 2, st->user, &value);
    return value;
}

static inline void stack_skip(struct stack *st, uint32_t bytes)
{
    st->esp = (st->esp & ~st->mask) | ((st->esp + bytes) & st->mask);
}

static inline void stack_commit(struct stack *st)
{
    st->cpu->gpr[ESP] = st->esp;
}

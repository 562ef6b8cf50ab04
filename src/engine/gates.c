/* What translated code knows of descriptors and gates (see gates.h; Intel SDM vol. 3A, 3.4.5, 5.8, 6.11). */
#include "gates.h"

#include <string.h>

#include "cpu/interp.h"
#include "cpu/segment.h"
#include "log.h"
#include "translator/block.h"

static struct gate_basis basis_of(const struct cpu *cpu)
{
    struct gate_basis b;
    memset(&b, 0, sizeof b); /* compared as bytes */
    b.gdtr.base = cpu->gdtr.base;
    b.gdtr.limit = cpu->gdtr.limit;
    b.idtr.base = cpu->idtr.base;
    b.idtr.limit = cpu->idtr.limit;
    b.ldt_base = cpu->seg[SEG_LDTR].base;
    b.ldt_limit = cpu->seg[SEG_LDTR].limit;
    b.ldt_access = cpu->seg[SEG_LDTR].access;
    b.tss_base = cpu->seg[SEG_TR].base;
    b.tss_limit = cpu->seg[SEG_TR].limit;
    b.tss_access = cpu->seg[SEG_TR].access;
    b.cr0 = cpu->cr0;
    b.cr4 = cpu->cr4;
    return b;
}

void gates_clear(struct bt *bt)
{
    for (unsigned i = 0; i < GATES_DESC; i++)
        bt->gate_desc[i].tag = GATES_NONE;
    for (unsigned i = 0; i < GATES_IN; i++)
        bt->gate_in[i].tag = GATES_NONE;
    bt->gate_out.tag = bt->gate_out.same_tag = GATES_NONE;
}

void gates_check(struct bt *bt)
{
    struct gate_basis now = basis_of(&bt->cpu);
    if (likely(!memcmp(&now, &bt->gate_basis, sizeof now)))
        return;
    bt->gate_basis = now;
    gates_clear(bt);
}

static bool read64(struct cpu *cpu, gla_t gla, uint64_t *value)
{
    uint32_t low, high;
    if (interp_read_linear(cpu, gla, 4, false, &low) != CPU_OK ||
        interp_read_linear(cpu, gla + 4, 4, false, &high) != CPU_OK)
        return false;
    *value = (uint64_t)high << 32 | low;
    return true;
}

static gla_t desc_gla(const struct cpu *cpu, uint16_t sel)
{
    return (sel & 4 ? cpu->seg[SEG_LDTR].base : cpu->gdtr.base) + (sel & ~7u);
}

/* The raw descriptor of a segment register, if memory still has what the register holds. */
static bool raw_of(struct cpu *cpu, enum segreg reg, gla_t *gla, uint64_t *raw)
{
    const struct seg *s = &cpu->seg[reg];
    *gla = desc_gla(cpu, s->sel);
    if (!read64(cpu, *gla, raw))
        return false;
    struct desc d = {(uint32_t)*raw, (uint32_t)(*raw >> 32)};
    return desc_access(&d) == s->access && desc_base(&d) == s->base && desc_limit(&d) == s->limit;
}

static bool is_flat(const struct seg *s)
{
    return s->base == 0 && s->limit == UINT32_MAX && (s->access & (ACC_P | ACC_DB)) == (ACC_P | ACC_DB);
}

static void learn_seg(struct bt *bt, enum segreg reg)
{
    struct cpu *cpu = &bt->cpu;
    uint16_t sel = cpu->seg[reg].sel;
    struct gate_desc g = {.tag = sel, .seg = cpu->seg[reg]};
    if (cpu->cpl != 0 || !cpu_is_protected(cpu))
        return; /* it faulted, into another mode */
    if (sel_is_null(sel)) {
        /* Nothing is read for it; the table's first entry stands in, that there is one way for all. */
        g.gla = cpu->gdtr.base;
        if (cpu->seg[reg].access & ACC_P || !read64(cpu, g.gla, &g.raw))
            return;
    } else if (!raw_of(cpu, reg, &g.gla, &g.raw)) {
        return;
    }
    g.shape = bt_seg_shape(cpu, reg);
    bt->gate_desc[sel >> 3 & (GATES_DESC - 1)] = g;
}

/* The bits of the present mode that a transition to it brings along. */
static bool new_mode(const struct bt *bt, uint32_t *bits)
{
    bool ok;
    uint32_t mode = bt_mode(bt, &ok);
    *bits = mode & ~MODE_INHERITED;
    return ok && is_flat(&bt->cpu.seg[SEG_CS]) && is_flat(&bt->cpu.seg[SEG_SS]);
}

static void learn_int(struct bt *bt, uint8_t vector)
{
    struct cpu *cpu = &bt->cpu;
    const struct seg *tr = &cpu->seg[SEG_TR];
    struct gate_in g = {.tag = vector, .eip = cpu->eip, .cs = cpu->seg[SEG_CS], .ss = cpu->seg[SEG_SS]};
    gla_t ss_gla;
    if (cpu->cpl != 0 || !cpu_is_protected(cpu) || !new_mode(bt, &g.mode_bits))
        return;
    g.idt_gla = cpu->idtr.base + vector * 8u;
    if (!read64(cpu, g.idt_gla, &g.idt_raw) || !raw_of(cpu, SEG_CS, &g.cs_gla, &g.cs_raw) ||
        !raw_of(cpu, SEG_SS, &ss_gla, &g.ss_raw))
        return;
    struct desc d = {(uint32_t)g.idt_raw, (uint32_t)(g.idt_raw >> 32)};
    unsigned type = desc_type(&d);
    /* The instruction may have faulted and another gate been taken. */
    if (!desc_is_system(&d) || (type != SYS_INT32 && type != SYS_TRAP32) || !desc_is_present(&d) || desc_dpl(&d) != 3 ||
        ((d.low & 0xffff) | (d.high & 0xffff0000u)) != cpu->eip || (d.low >> 16 & ~3u) != (cpu->seg[SEG_CS].sel & ~3u))
        return;
    if ((tr->access & 0xf) != SYS_TSS32_BUSY || tr->limit < 11)
        return;
    g.ss_gla = ss_gla;
    g.ss_sel = cpu->seg[SEG_SS].sel;
    g.tss_gla = tr->base + 4;
    g.vif_mask = type == SYS_INT32 ? 0 : UINT32_MAX;
    bt->gate_in[vector % GATES_IN] = g;
}

static void learn_iret(struct bt *bt)
{
    struct cpu *cpu = &bt->cpu;
    struct gate_out *out = &bt->gate_out, g = *out;
    if (!cpu_is_protected(cpu) || !is_flat(&cpu->seg[SEG_CS]))
        return;
    if (cpu->cpl == 0) {
        if (!raw_of(cpu, SEG_CS, &g.same_gla, &g.same_raw))
            return;
        g.same_tag = cpu->seg[SEG_CS].sel;
        memcpy(&g.same_seg, &cpu->seg[SEG_CS], sizeof g.same_seg);
        *out = g;
        return;
    }
    if (cpu->cpl != 3 || !new_mode(bt, &g.mode_bits) || (g.mode_bits & MODE_IOPL_OK) ||
        !raw_of(cpu, SEG_CS, &g.cs_gla, &g.cs_raw) || !raw_of(cpu, SEG_SS, &g.ss_gla, &g.ss_raw))
        return;
    g.tag = cpu->seg[SEG_CS].sel;
    g.ss_sel = cpu->seg[SEG_SS].sel;
    g.cs = cpu->seg[SEG_CS];
    g.ss = cpu->seg[SEG_SS];
    *out = g;
}

void gates_learn(struct bt *bt, uint32_t arg)
{
    gates_check(bt);
    if (log_on(LOG_INT | LOG_PCALL))
        return; /* the interpreter tells of each */
    switch (arg & GATE_KIND) {
    case GATE_SEG:
        learn_seg(bt, arg & 7);
        break;
    case GATE_INT:
        learn_int(bt, (uint8_t)arg);
        break;
    case GATE_IRET:
        learn_iret(bt);
        break;
    }
}

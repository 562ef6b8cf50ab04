/* Task switches: 16- and 32-bit TSS, nesting, busy bits, T bit. Intel SDM vol. 3A, 7.2 and 7.3. */
#include "task.h"

#include "flight.h"
#include "interp.h"
#include "paging.h"
#include "segment.h"
#include "stack.h"

/* The dynamic part of either TSS, in one form. */
struct task_state {
    uint32_t eip, eflags, gpr[8], cr3;
    uint16_t seg[6]; /* in enum segreg order */
    uint16_t ldt;
    bool trap;
};

#define TSS32_LIMIT 0x67u
#define TSS16_LIMIT 0x2bu

static enum cpu_rc read_tss(struct cpu *cpu, gla_t base, bool is32, struct task_state *t)
{
    uint32_t w[26] = {0};
    uint16_t h[22] = {0};
    enum cpu_rc rc;

    memset(t, 0, sizeof(*t));
    if (is32) {
        rc = interp_linear_load(cpu, base, w, sizeof(w), false);
        t->cr3 = w[7];
        t->eip = w[8];
        t->eflags = w[9];
        memcpy(t->gpr, &w[10], sizeof(t->gpr));
        for (unsigned i = 0; i < 6; i++)
            t->seg[i] = (uint16_t)w[18 + i];
        t->ldt = (uint16_t)w[24];
        t->trap = w[25] & 1;
        return rc;
    }
    rc = interp_linear_load(cpu, base, h, sizeof(h), false);
    t->eip = h[7];
    t->eflags = h[8];
    for (unsigned i = 0; i < 8; i++)
        t->gpr[i] = h[9 + i] | 0xffff0000u; /* high halves are undefined; processors give ones */
    for (unsigned i = 0; i < 4; i++)
        t->seg[i] = h[17 + i];
    t->ldt = h[21];
    return rc;
}

static enum cpu_rc write_tss(struct cpu *cpu, gla_t base, bool is32, uint32_t eip, uint32_t eflags)
{
    if (is32) {
        uint32_t w[16];
        w[0] = eip;
        w[1] = eflags;
        memcpy(&w[2], cpu->gpr, sizeof(cpu->gpr));
        for (unsigned i = 0; i < 6; i++)
            w[10 + i] = cpu->seg[i].sel;
        return interp_linear_store(cpu, base + 32, w, sizeof(w), false);
    }
    uint16_t h[14];
    h[0] = (uint16_t)eip;
    h[1] = (uint16_t)eflags;
    for (unsigned i = 0; i < 8; i++)
        h[2 + i] = (uint16_t)cpu->gpr[i];
    for (unsigned i = 0; i < 4; i++)
        h[10 + i] = cpu->seg[i].sel;
    return interp_linear_store(cpu, base + 14, h, sizeof(h), false);
}

static enum cpu_rc set_busy(struct cpu *cpu, uint16_t sel, bool busy)
{
    struct desc d;
    enum cpu_rc rc = desc_read(cpu, sel, EXC_TS, &d);

    if (rc != CPU_OK)
        return rc;
    return desc_write_high(cpu, sel, busy ? d.high | 0x200u : d.high & ~0x200u);
}

/* The new task's code segment, SDM vol. 3A, table 7-1. */
static enum cpu_rc load_task_cs(struct cpu *cpu, uint16_t sel)
{
    struct desc d;

    if (sel_is_null(sel))
        return cpu_raise(cpu, EXC_TS, 0);
    enum cpu_rc rc = desc_read(cpu, sel, EXC_TS, &d);
    if (rc != CPU_OK)
        return rc;
    if (!desc_is_code(&d) || (desc_is_conforming(&d) ? desc_dpl(&d) > (sel & 3u) : desc_dpl(&d) != (sel & 3u)))
        return cpu_raise(cpu, EXC_TS, sel & ~3u);
    if (!desc_is_present(&d))
        return cpu_raise(cpu, EXC_NP, sel & ~3u);
    rc = desc_touch(cpu, sel, &d);
    if (rc == CPU_OK)
        seg_set(cpu, SEG_CS, sel, &d);
    return rc;
}

static enum cpu_rc load_task_ss(struct cpu *cpu, uint16_t sel)
{
    struct desc d;
    enum cpu_rc rc = seg_check_ss(cpu, sel, cpu->cpl, EXC_TS, &d);

    if (rc == CPU_OK)
        rc = desc_touch(cpu, sel, &d);
    if (rc == CPU_OK)
        seg_set(cpu, SEG_SS, sel, &d);
    return rc;
}

static enum cpu_rc load_task_data(struct cpu *cpu, enum segreg reg, uint16_t sel)
{
    struct desc d;

    if (sel_is_null(sel)) {
        seg_set_null(cpu, reg, sel);
        return CPU_OK;
    }
    enum cpu_rc rc = desc_read(cpu, sel, EXC_TS, &d);
    if (rc != CPU_OK)
        return rc;
    if (desc_is_system(&d) || (desc_is_code(&d) && !(desc_type(&d) & ACC_READ)) ||
        (!desc_is_conforming(&d) && (desc_dpl(&d) < (sel & 3u) || desc_dpl(&d) < cpu->cpl)))
        return cpu_raise(cpu, EXC_TS, sel & ~3u);
    if (!desc_is_present(&d))
        return cpu_raise(cpu, EXC_NP, sel & ~3u);
    rc = desc_touch(cpu, sel, &d);
    if (rc == CPU_OK)
        seg_set(cpu, reg, sel, &d);
    return rc;
}

/* After the commit point: segment registers of the new task, in the order of the manual's checks. */
static enum cpu_rc load_task_segments(struct cpu *cpu, const struct task_state *t)
{
    enum cpu_rc rc = seg_load_ldtr(cpu, t->ldt, EXC_TS);

    if (rc != CPU_OK)
        return rc;
    if (cpu->eflags & FL_VM) {
        cpu->cpl = 3;
        for (unsigned i = 0; i < 6; i++)
            seg_set_real(cpu, i, t->seg[i]);
        return CPU_OK;
    }
    cpu->cpl = t->seg[SEG_CS] & 3;
    rc = load_task_cs(cpu, t->seg[SEG_CS]);
    if (rc == CPU_OK)
        rc = load_task_ss(cpu, t->seg[SEG_SS]);
    static const uint8_t order[] = {SEG_DS, SEG_ES, SEG_FS, SEG_GS};
    for (unsigned i = 0; rc == CPU_OK && i < sizeof(order); i++)
        rc = load_task_data(cpu, order[i], t->seg[order[i]]);
    return rc;
}

static enum cpu_rc check_new_tss(struct cpu *cpu, uint16_t sel, enum task_source source, struct desc *d)
{
    enum vector vector = source == TASK_IRET ? EXC_TS : EXC_GP;
    enum cpu_rc rc;

    if (sel_is_null(sel) || (sel & 4))
        return cpu_raise(cpu, vector, sel & ~3u);
    rc = desc_read(cpu, sel, vector, d);
    if (rc != CPU_OK)
        return rc;
    unsigned wanted = source == TASK_IRET ? SYS_TSS16_BUSY : SYS_TSS16_AVAIL;
    if (!desc_is_system(d) || (desc_type(d) & ~8u) != wanted)
        return cpu_raise(cpu, vector, sel & ~3u);
    if (!desc_is_present(d))
        return cpu_raise(cpu, EXC_NP, sel & ~3u);
    if (desc_limit(d) < ((desc_type(d) & 8) ? TSS32_LIMIT : TSS16_LIMIT))
        return cpu_raise(cpu, EXC_TS, sel & ~3u);
    return CPU_OK;
}

enum cpu_rc task_switch(struct cpu *cpu, uint16_t sel, enum task_source source, uint32_t return_eip, bool has_error,
                        uint32_t error)
{
    struct seg old = cpu->seg[SEG_TR];
    bool old32 = old.access & 8;
    bool nested = source == TASK_CALL || source == TASK_INT;
    struct task_state t;
    struct desc d;
    enum cpu_rc rc = check_new_tss(cpu, sel, source, &d);

    if (rc != CPU_OK)
        return rc;
    flight_note(FLIGHT_TASK, cpu, sel, 0, 0);
    bool new32 = desc_type(&d) & 8;
    if (old.limit < (old32 ? TSS32_LIMIT : TSS16_LIMIT))
        return cpu_raise(cpu, EXC_TS, old.sel & ~3u);
    rc = read_tss(cpu, desc_base(&d), new32, &t);
    if (rc == CPU_OK && nested) /* the back link must be writable before anything changes */
        rc = interp_linear_probe(cpu, desc_base(&d), 2, true, false);
    if (rc != CPU_OK)
        return rc;
    uint32_t old_eflags = source == TASK_IRET ? cpu->eflags & ~FL_NT : cpu->eflags;
    rc = write_tss(cpu, old.base, old32, return_eip, old_eflags);
    if (rc == CPU_OK && !nested)
        rc = set_busy(cpu, old.sel, false);
    if (rc == CPU_OK && source != TASK_IRET)
        rc = set_busy(cpu, sel, true);
    if (rc == CPU_OK && nested)
        rc = interp_write_linear(cpu, desc_base(&d), 2, false, old.sel);
    if (rc != CPU_OK)
        return rc;

    /* Commit: from here on everything belongs to the new task. */
    d.high |= 0x200; /* TR shows a busy TSS */
    seg_set(cpu, SEG_TR, sel, &d);
    cpu->cr0 |= CR0_TS;
    if (new32 && cpu_is_paging(cpu) && t.cr3 != cpu->cr3) {
        if ((cpu->cr4 & CR4_PAE) && !paging_load_pdptes(cpu, t.cr3))
            return cpu_raise(cpu, EXC_GP, 0);
        cpu->cr3 = t.cr3;
        cpu->changed |= CHANGED_CR3;
        interp_flush_tlb(cpu);
    }
    memcpy(cpu->gpr, t.gpr, sizeof(t.gpr));
    cpu->eip = cpu->interp->next_eip = t.eip;
    cpu->eflags =
        (t.eflags & (FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | FL_ID)) | FL_FIXED1;
    if (!new32)
        cpu->eflags &= 0xffff;
    if (nested)
        cpu->eflags |= FL_NT;
    cpu->dr[7] &= ~0x55u; /* local breakpoints belong to the old task */
    cpu->changed |= CHANGED_MODE | CHANGED_DR;
    cpu->interp->ext = 0;
    for (unsigned i = 0; i < 6; i++)
        cpu->seg[i].access &= (uint16_t)~ACC_P; /* unusable until checked */
    rc = load_task_segments(cpu, &t);
    if (rc != CPU_OK)
        return rc;
    if (cpu->eip > cpu->seg[SEG_CS].limit)
        return cpu_raise(cpu, EXC_GP, 0);
    if (has_error) {
        struct stack st;
        stack_begin(&st, cpu);
        stack_push(&st, new32 ? 4 : 2, error);
        if (st.rc != CPU_OK)
            return st.rc;
        stack_commit(&st);
    }
    if (t.trap)
        cpu->interp->db_hits |= 1u << 15; /* BT: #DB before the new task's first instruction */
    return CPU_OK;
}

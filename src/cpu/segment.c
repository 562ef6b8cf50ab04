/* Segment registers and descriptors. Intel SDM vol. 3A, chapters 3 (segmentation), 5 (protection). */
#include "segment.h"

#include "interp.h"

enum cpu_rc desc_look(struct cpu *cpu, uint16_t sel, struct desc *d, bool *found)
{
    uint32_t base = cpu->gdtr.base, limit = cpu->gdtr.limit;
    uint32_t offset = sel & ~7u;

    *found = false;
    if (sel & 4) {
        const struct seg *ldt = &cpu->seg[SEG_LDTR];
        if (!(ldt->access & ACC_P))
            return CPU_OK;
        base = ldt->base;
        limit = ldt->limit;
    }
    if (offset + 7 > limit)
        return CPU_OK;
    *found = true;
    enum cpu_rc rc = interp_read_linear(cpu, base + offset, 4, false, &d->low);
    if (rc != CPU_OK)
        return rc;
    return interp_read_linear(cpu, base + offset + 4, 4, false, &d->high);
}

enum cpu_rc desc_read(struct cpu *cpu, uint16_t sel, enum vector vector, struct desc *d)
{
    bool found;
    enum cpu_rc rc = desc_look(cpu, sel, d, &found);

    if (rc != CPU_OK)
        return rc;
    return found ? CPU_OK : cpu_raise(cpu, vector, sel & ~3u);
}

enum cpu_rc desc_write_high(struct cpu *cpu, uint16_t sel, uint32_t high)
{
    uint32_t base = (sel & 4) ? cpu->seg[SEG_LDTR].base : cpu->gdtr.base;

    return interp_write_linear(cpu, base + (sel & ~7u) + 4, 4, false, high);
}

enum cpu_rc desc_touch(struct cpu *cpu, uint16_t sel, struct desc *d)
{
    if (d->high & (ACC_ACCESSED << 8))
        return CPU_OK;
    d->high |= ACC_ACCESSED << 8;
    return desc_write_high(cpu, sel, d->high);
}

void seg_set(struct cpu *cpu, enum segreg reg, uint16_t sel, const struct desc *d)
{
    cpu->seg[reg] = (struct seg){sel, desc_access(d), desc_base(d), desc_limit(d)};
    cpu->changed |= CHANGED_MODE;
}

void seg_set_null(struct cpu *cpu, enum segreg reg, uint16_t sel)
{
    struct seg *s = &cpu->seg[reg];

    /* With DPL 3, the only field that still matters: a return to an outer level leaves it alone. */
    *s = (struct seg){.sel = sel, .access = ACC_DPL};
    cpu->changed |= CHANGED_MODE;
}

void seg_set_real(struct cpu *cpu, enum segreg reg, uint16_t sel)
{
    struct seg *s = &cpu->seg[reg];

    s->sel = sel;
    s->base = (uint32_t)sel << 4;
    if (cpu_is_v86(cpu)) {
        s->limit = 0xffff;
        s->access = ACC_P | ACC_DPL | ACC_S | ACC_WRITE | ACC_ACCESSED;
    } else {
        /* Limit and D/B survive: "unreal" mode depends on it. */
        s->access = (s->access & (ACC_DB | ACC_G)) | ACC_P | ACC_S | ACC_WRITE | ACC_ACCESSED;
    }
    cpu->changed |= CHANGED_MODE;
}

enum cpu_rc seg_check_ss(struct cpu *cpu, uint16_t sel, unsigned cpl, enum vector vector, struct desc *d)
{
    if (sel_is_null(sel))
        return cpu_raise(cpu, vector, vector == EXC_TS ? sel & ~3u : 0);
    enum cpu_rc rc = desc_read(cpu, sel, vector, d);
    if (rc != CPU_OK)
        return rc;
    if ((sel & 3u) != cpl || desc_dpl(d) != cpl || !desc_is_data(d) || !(desc_type(d) & ACC_WRITE))
        return cpu_raise(cpu, vector, sel & ~3u);
    if (!desc_is_present(d))
        return cpu_raise(cpu, EXC_SS, sel & ~3u);
    return CPU_OK;
}

enum cpu_rc seg_load(struct cpu *cpu, enum segreg reg, uint16_t sel)
{
    struct desc d;
    enum cpu_rc rc;

    if (!cpu_is_protected(cpu)) {
        seg_set_real(cpu, reg, sel);
        return CPU_OK;
    }
    if (reg == SEG_SS) {
        rc = seg_check_ss(cpu, sel, cpu->cpl, EXC_GP, &d);
    } else if (sel_is_null(sel)) {
        seg_set_null(cpu, reg, sel);
        return CPU_OK;
    } else {
        rc = desc_read(cpu, sel, EXC_GP, &d);
        if (rc != CPU_OK)
            return rc;
        if (desc_is_system(&d) || (desc_is_code(&d) && !(desc_type(&d) & ACC_READ)))
            return cpu_raise(cpu, EXC_GP, sel & ~3u);
        if (!desc_is_conforming(&d) && (desc_dpl(&d) < (sel & 3u) || desc_dpl(&d) < cpu->cpl))
            return cpu_raise(cpu, EXC_GP, sel & ~3u);
        if (!desc_is_present(&d))
            return cpu_raise(cpu, EXC_NP, sel & ~3u);
    }
    if (rc == CPU_OK)
        rc = desc_touch(cpu, sel, &d);
    if (rc == CPU_OK)
        seg_set(cpu, reg, sel, &d);
    return rc;
}

enum cpu_rc seg_load_ldtr(struct cpu *cpu, uint16_t sel, enum vector vector)
{
    struct desc d;

    if (sel_is_null(sel)) {
        seg_set_null(cpu, SEG_LDTR, sel);
        return CPU_OK;
    }
    if (sel & 4)
        return cpu_raise(cpu, vector, sel & ~3u);
    enum cpu_rc rc = desc_read(cpu, sel, vector, &d);
    if (rc != CPU_OK)
        return rc;
    if (!desc_is_system(&d) || desc_type(&d) != SYS_LDT)
        return cpu_raise(cpu, vector, sel & ~3u);
    if (!desc_is_present(&d))
        return cpu_raise(cpu, vector == EXC_TS ? EXC_TS : EXC_NP, sel & ~3u);
    seg_set(cpu, SEG_LDTR, sel, &d);
    return CPU_OK;
}

bool seg_allows(const struct cpu *cpu, const struct seg *s, goff_t offset, unsigned n, bool write)
{
    uint32_t last = offset + (n - 1);
    uint16_t access = s->access;

    if (!(access & ACC_P))
        return false;
    if (cpu_is_protected(cpu)) {
        if (write && (access & (ACC_CODE | ACC_WRITE)) != ACC_WRITE)
            return false;
        if (!write && (access & (ACC_CODE | ACC_READ)) == ACC_CODE)
            return false;
    }
    if ((access & (ACC_CODE | ACC_EXPDOWN)) == ACC_EXPDOWN) {
        uint32_t top = (access & ACC_DB) ? 0xffffffffu : 0xffffu;
        return offset > s->limit && last >= offset && last <= top;
    }
    return offset <= s->limit && s->limit - offset >= n - 1;
}

enum cpu_rc seg_to_linear(struct cpu *cpu, unsigned reg, goff_t offset, unsigned n, bool write, gla_t *gla)
{
    const struct seg *s = &cpu->seg[reg];

    if (!seg_allows(cpu, s, offset, n, write))
        return cpu_raise(cpu, reg == SEG_SS ? EXC_SS : EXC_GP, 0);
    *gla = s->base + offset;
    return CPU_OK;
}

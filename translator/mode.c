/* What a translation depends on besides its bytes: segment shapes, privilege, FPU and paging state; and
 * EFLAGS taken apart for translated code. See bt.h. */
#include "log.h"
#include "bt.h"
#include "block.h"

enum seg_shape bt_seg_shape(const struct cpu *cpu, unsigned s)
{
    const struct seg *seg = &cpu->seg[s];
    bool real = !cpu_is_protected(cpu); /* or V86: rights are what they are not in protected mode */
    if (!(seg->access & ACC_P) || !(seg->access & ACC_S))
        return SHAPE_SLOW;
    /* What may be read through CS is MODE_CS_READ's matter. */
    if (s != SEG_CS && !real && ((seg->access & ACC_CODE) || !(seg->access & ACC_WRITE)))
        return SHAPE_SLOW;
    if (s != SEG_CS && (seg->access & (ACC_CODE | ACC_EXPDOWN)) == ACC_EXPDOWN)
        return SHAPE_SLOW;
    if (seg->limit == UINT32_MAX)
        return seg->base ? SHAPE_BASED : SHAPE_FLAT;
    return seg->limit == 0xffff ? SHAPE_64K : SHAPE_CHECKED;
}

uint32_t bt_mode(const struct bt *bt, bool *ok)
{
    const struct cpu *cpu = &bt->cpu;
    uint32_t mode = (uint32_t)cpu->cpl << MODE_CPL_SHIFT;
    if (cpu_code32(cpu))
        mode |= MODE_CODE32;
    if (cpu_stack32(cpu))
        mode |= MODE_STACK32;
    if (cpu_is_paging(cpu))
        mode |= MODE_PAGING;
    if (cpu_is_protected(cpu))
        mode |= MODE_PROT;
    if ((cpu->cr0 & (CR0_EM | CR0_TS)) || cpu->ferr)
        mode |= MODE_NOFPU;
    if (!bt->fpu_on)
        mode |= MODE_FPU_OFF;
    if (!(cpu->cr4 & CR4_OSFXSR))
        mode |= MODE_NOSSE;
    if ((cpu->cr4 & CR4_TSD) && cpu->cpl)
        mode |= MODE_TSD;
    if (!cpu_is_v86(cpu) && cpu->cpl <= (cpu->eflags & FL_IOPL) >> FL_IOPL_SHIFT)
        mode |= MODE_IOPL_OK;
    if (!cpu_is_protected(cpu) || (cpu->seg[SEG_CS].access & ACC_READ))
        mode |= MODE_CS_READ;
    for (unsigned s = SEG_ES; s <= SEG_GS; s++)
        mode |= (uint32_t)bt_seg_shape(cpu, s) << (MODE_SHAPE_SHIFT + MODE_SHAPE_BITS * s);
    if (bt_hides_gs(bt, mode))
        mode = (mode & ~MODE_SHAPE_OF(SEG_GS)) | MODE_GS_SLOW;
    *ok = mode_shape(mode, SEG_CS) != SHAPE_SLOW && !(cpu->eflags & FL_TF) &&
          !((cpu->eflags & FL_AC) && (cpu->cr0 & CR0_AM) && cpu->cpl == 3) && !(cpu->dr[7] & 0xff) && !cpu->a20_masked;
    return mode;
}

void bt_split_flags(struct bt *bt)
{
    uint32_t fl = bt->cpu.eflags;
    bt->host_flags = (fl & (FL_ARITH | FL_DF)) | FL_FIXED1 | FL_IF;
    bt->vif = fl & FL_IF;
    /* RF ends with the next instruction that completes; without breakpoints nothing else sees it. */
    bt->sysflags = fl & ~(FL_ARITH | FL_DF | FL_IF | FL_RF);
}

void bt_merge_flags(struct bt *bt)
{
    bt->cpu.eflags = (bt->host_flags & (FL_ARITH | FL_DF)) | bt->vif | bt->sysflags;
}

/* The guest's x87 pointers from the host's (see x87.h). */
#include "x87.h"

#include <string.h>

#include "native/world.h"
#include "translator/block.h"

enum { ENV_FIP = 3, ENV_FDP = 5 };

/* CS as it was when the instruction was executed. Without leaving translated code it changes by gates and, in real mode
 * and V86, by far transfers. */
static uint16_t code_selector(const struct bt *bt, const struct x87_place *p)
{
    const struct cpu *cpu = &bt->cpu;
    const struct seg *cs = &cpu->seg[SEG_CS];
    unsigned cpl = (p->mode & MODE_CPL) >> MODE_CPL_SHIFT;

    if (cpl == cpu->cpl && cs->base == p->cs_base)
        return cs->sel;
    if (!(p->mode & MODE_PROT))
        return (uint16_t)(p->cs_base >> 4);
    return bt->left_cs;
}

static void note(struct bt *bt)
{
    struct cpu *cpu = &bt->cpu;
    const uint32_t *env = bt->x87_env;
    struct x87_place p;

    if (likely(!env[ENV_FIP] && !bt->x87_at))
        return;
    bool lost = !tr_x87_find(env[ENV_FIP], &p);
    if (lost && !tr_x87_find(bt->x87_at, &p))
        return;
    uint16_t fcs = code_selector(bt, &p);
    cpu->fpu.fip = p.eip;
    cpu->fpu.fcs = fcs;
    cpu->fpu.fop = p.fop;
    if (lost || (!p.has_operand && !env[ENV_FDP]))
        return;
    const struct seg *s = &cpu->seg[p.operand_seg];
    bool left = (p.mode & MODE_CPL) >> MODE_CPL_SHIFT != cpu->cpl; /* by a gate, from a flat stack */
    uint16_t sel = s->sel;
    if (left && p.operand_seg == SEG_SS)
        sel = bt->left_ss;
    else if (left && p.operand_seg == SEG_DS)
        sel = bt->left_ds;
    cpu->fpu.fdp = env[ENV_FDP] - (left && p.operand_seg == SEG_SS ? 0 : s->base);
    cpu->fpu.fds = sel;
}

enum exit_reason x87_enter(struct bt *bt, const void *host)
{
    struct fxstate *fx = &bt->cpu.fpu;

    if (!bt->fpu_on)
        return world_enter(bt, host);
    struct fxstate before;
    memcpy(&before, fx, offsetof(struct fxstate, st)); /* with what MXCSR may be in the processor shown */
    fx->fop = 0;
    fx->fip = fx->fdp = 0;
    fx->fcs = fx->fds = 0;
    bt->x87_at = bt->x87_env[ENV_FIP] = 0;
    enum exit_reason reason = world_enter(bt, host);
    fx->fop = before.fop;
    fx->fip = before.fip;
    fx->fcs = before.fcs;
    fx->fdp = before.fdp;
    fx->fds = before.fds;
    fx->rsvd1 = fx->rsvd2 = 0;
    fx->mxcsr_mask = before.mxcsr_mask;
    note(bt);
    return reason;
}

bool x87_pointers_lost(const struct bt *bt)
{
    return !bt->x87_env[ENV_FIP];
}

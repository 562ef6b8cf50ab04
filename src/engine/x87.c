/* The guest's x87 pointers from the host's (see x87.h). */
#include "x87.h"

#include <string.h>

#include "hostcpu.h"
#include "native/world.h"
#include "translator/block.h"

enum { ENV_FIP = 3, ENV_FDP = 5 };

#define NO_OPERAND UINT64_MAX
_Static_assert(offsetof(struct seg, sel) == 0 && offsetof(struct seg, base) == 4, "struct bt's x87_operand");

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

/* The image's head in four words: between FXSAVE and FXRSTOR, and what comes next to them, a processor would wait for
 * each store that is narrower than a load behind it. */
struct head {
    uint64_t control; /* FCW, FSW, FTW; FOP */
    uint64_t fip_fcs, fdp_fds;
    uint64_t mxcsr; /* and in the upper half what MXCSR may be, in the processor shown */
};
#define HEAD_FOP  0xffff000000000000u
#define HEAD_MASK 0xffffffff00000000u
_Static_assert(offsetof(struct fxstate, fop) == 6 && offsetof(struct fxstate, fip) == 8 &&
                   offsetof(struct fxstate, fdp) == 16 && offsetof(struct fxstate, mxcsr_mask) == 28,
               "struct head");

static void note(struct bt *bt)
{
    struct cpu *cpu = &bt->cpu;
    const uint32_t *env = bt->x87_env;
    struct x87_place p;

    if (likely(!env[ENV_FIP] && !bt->x87_at))
        return;
    bool lost = !tr_x87_find(bt, env[ENV_FIP], &p);
    if (lost && !tr_x87_find(bt, bt->x87_at, &p))
        return;
    uint16_t fcs = code_selector(bt, &p);
    cpu->fpu.fip = p.eip;
    cpu->fpu.fcs = fcs;
    cpu->fpu.fop = p.fop;
    /* Without FDP there was no operand since translated code was entered, or it is lost, or the host has it with an
     * exception only. */
    bool noted = p.has_operand && !hostcpu()->fdp_on_exception;
    if (lost || bt->x87_operand == NO_OPERAND || !(noted || env[ENV_FDP]))
        return;
    cpu->fpu.fdp = env[ENV_FDP] - (uint32_t)(bt->x87_operand >> 32);
    cpu->fpu.fds = (uint16_t)bt->x87_operand;
}

enum exit_reason x87_enter(struct bt *bt, const void *host)
{
    struct fxstate *fx = &bt->cpu.fpu;

    if (!bt->fpu_on)
        return world_enter(bt, host);
    struct head before, head;
    memcpy(&before, fx, sizeof before);
    head = before;
    head.control &= ~HEAD_FOP;
    head.fip_fcs = head.fdp_fds = 0;
    memcpy(fx, &head, sizeof head);
    bt->x87_at = bt->x87_ran = bt->x87_env[ENV_FIP] = bt->x87_env[ENV_FDP] = 0;
    bt->x87_operand = NO_OPERAND;
    enum exit_reason reason = world_enter(bt, host);
    memcpy(&head, fx, sizeof head);
    head.control = (head.control & ~HEAD_FOP) | (before.control & HEAD_FOP);
    head.fip_fcs = before.fip_fcs;
    head.fdp_fds = before.fdp_fds;
    head.mxcsr = (head.mxcsr & ~HEAD_MASK) | (before.mxcsr & HEAD_MASK);
    memcpy(fx, &head, sizeof head);
    note(bt);
    return reason;
}

bool x87_pointers_lost(const struct bt *bt, uint16_t fcw_before)
{
    const struct fxstate *fx = &bt->cpu.fpu;
    if (!bt->x87_env[ENV_FIP])
        return !(fx->fsw & 0x80) || fx->fcw != fcw_before;
    return bt->x87_operand != NO_OPERAND && !bt->x87_env[ENV_FDP];
}

/* Sites whose page is a device's (registers of interrupt controllers, video memory that is not plain) or RAM that is
 * not worth mapping (tr_site.c), and ports.
 *
 * To leave translated code, interpret the instruction and come back costs some hundred cycles, and kernels ask the
 * local APIC in each system call. So before a site leaves, it calls bt->touch, which does the access if it is one of
 * these. The instruction itself is then done on a register. What the access has set off (an interrupt, another
 * memory map, code written by a bus master) is taken notice of behind the instruction: it sets bt->kick. INVLPG is
 * done by such a call, too.
 */
#include <string.h>

#include "jtable.h"
#include "tr.h"

enum touch tr_touch_of(const struct tr *t, const struct ginsn *g)
{
    if (t->single || (g->mem_size != 1 && g->mem_size != 2 && g->mem_size != 4 && g->gclass != G_MOFFS))
        return TOUCH_NOT;
    if (g->gclass == G_MOFFS)
        return g->opcode < 0xa2 ? TOUCH_LOADS : TOUCH_STORES;
    if (g->gclass != G_GENERIC || g->fpu || g->rep || !g->is_mem)
        return TOUCH_NOT;
    if (g->map == 1) /* CMOVcc, IMUL, MOVZX, MOVSX */
        return (g->opcode & 0xf0) == 0x40 || g->opcode == 0xaf || (g->opcode & 0xf6) == 0xb6 ? TOUCH_LOADS : TOUCH_NOT;
    if (g->map != 0)
        return TOUCH_NOT;
    if (g->opcode < 0x40 && (g->opcode & 7) < 4) /* ADD and its like; 7: CMP */
        return g->opcode & 2 || g->opcode >> 3 == 7 ? TOUCH_LOADS : TOUCH_CHANGES;
    switch (g->opcode) {
    case 0x80: /* the same with an immediate operand */
    case 0x81:
    case 0x83:
        return g->reg == 7 ? TOUCH_LOADS : TOUCH_CHANGES;
    case 0x84: /* TEST */
    case 0x85:
    case 0x8a: /* MOV */
    case 0x8b:
        return TOUCH_LOADS;
    case 0x86: /* XCHG */
    case 0x87:
        return TOUCH_CHANGES;
    case 0x88: /* MOV */
    case 0x89:
        return TOUCH_STORES;
    case 0xc6:
    case 0xc7:
        return g->reg == 0 ? TOUCH_STORES : TOUCH_NOT;
    case 0xf6: /* TEST, NOT, NEG */
    case 0xf7:
        return g->reg == 0 ? TOUCH_LOADS : g->reg == 2 || g->reg == 3 ? TOUCH_CHANGES : TOUCH_NOT;
    case 0xfe: /* INC, DEC */
    case 0xff:
        return g->reg < 2 ? TOUCH_CHANGES : TOUCH_NOT;
    }
    return TOUCH_NOT;
}

void tr_touch_back(struct tr *t)
{
    struct pend *p = t->pend_count ? &t->pend[t->pend_count - 1] : NULL;
    if (p && p->touch && p->insn == t->i && !p->back)
        p->back = emit_rx(&t->e);
}

static uint8_t host_reg(const struct ginsn *g)
{
    return g->reg_kind == GO_GPR ? host_gpr(g->reg) : g->reg;
}

/* The instruction with R10 for its memory operand. LOCK is about memory. */
static void emit_on_r10(struct emit *e, const struct ginsn *g)
{
    struct hop op = {.p66 = g->p66,
                     .map = g->map,
                     .opcode = g->opcode,
                     .modrm = true,
                     .reg = host_reg(g),
                     .rm = R10,
                     .imm_size = g->imm_size,
                     .imm = g->imm};
    if (g->gclass == G_MOFFS)
        op = (struct hop){
            .p66 = g->opsize == 16, .opcode = g->opcode & 1 ? 0x8b : 0x8a, .modrm = true, .reg = RAX, .rm = R10};
    emit_hop(e, &op);
}

/* R10 = what is stored; bits beyond the operand's are anything. */
static void emit_stored(struct emit *e, const struct ginsn *g)
{
    if (g->gclass == G_MOFFS)
        emit_mov_rr(e, R10, RAX);
    else if (g->opcode >= 0xc6)
        emit_mov_ri(e, R10, g->imm);
    else
        emit_mov_rr(e, R10, host_reg(g));
}

/* Returns the RX address to which the call comes back at once, or TOUCH_DONE further. */
static const uint8_t *emit_call_touch(struct tr *t, uint32_t what)
{
    struct emit *e = &t->e;
    emit_mov_ri(e, R9, what);
    emit_mov_ri(e, R11, 0);
    uint8_t *back = e->pos - 4;
    tr_jmp_out(t, TRAMP_TOUCH);
    uint32_t at = (uint32_t)(uintptr_t)emit_rx(e);
    memcpy(back, &at, 4);
    return emit_rx(e);
}

/* Leaves behind instruction g if somebody wants the run loop. */
static void emit_look_at_kick(struct tr *t, const struct ginsn *g, int delta)
{
    struct emit *e = &t->e;
    struct hmem kick = BT_FIELD(kick);
    emit_mov_rr(e, R11, RCX);
    emit_load32(e, RCX, &kick);
    uint8_t *go_on = emit_jecxz_fwd(e);
    emit_mov_rr(e, RCX, R11);
    if (delta)
        tr_lea_esp(t, R13, delta);
    tr_exit(t, tr_next_eip(g), TRAMP_LOOKUP);
    emit_fix8(e, go_on);
    emit_mov_rr(e, RCX, R11);
}

bool tr_port(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    unsigned size = !(g->opcode & 1) ? 1 : g->opsize == 16 ? 2 : 4;
    bool in = g->gclass == G_IN;
    if (!tr_may_call_ports(t))
        return false; /* one that crosses the page's end */
    if (g->opcode & 8)
        emit_movzw(e, R8, RDX);
    else
        emit_mov_ri(e, R8, g->imm & 0xff);
    if (!in)
        emit_mov_rr(e, R10, RAX);
    tr_row(t, ROW_GLUE, 0);
    emit_call_touch(t, TOUCH_PORT | size << TOUCH_SIZE_SHIFT | (in ? 0 : TOUCH_WRITE));
    tr_pend_slow(t, emit_jmp_fwd(e), false);
    if (in)
        emit_hop(e, &(struct hop){
                        .p66 = size == 2, .opcode = size == 1 ? 0x88 : 0x89, .modrm = true, .reg = R10, .rm = RAX});
    emit_look_at_kick(t, g, t->delta);
    return true;
}

void tr_near(struct tr *t)
{
    struct emit *e = &t->e;
    if (!t->shared)
        return; /* others go when the page goes: jtable_depends */
    struct hmem jtable = BT_FIELD(jtable), number = {.base = R10, .index = R9, .scale = 2};
    uint32_t known = jtable_page_number(jtable_page(t->phys2, t->key_mode));
    number.disp = ((int32_t)(t->gla2 - t->bias) >> JTABLE_UNIT_SHIFT) * 4;
    tcache_load_middle(e, R12);
    emit_load64(e, R10, &jtable);
    if (!t->live_in[t->i]) {
        emit_cmp_mi(e, 4, &number, known);
        tr_pend_slow(t, emit_jcc_fwd(e, 5), false);
    } else {
        struct hmem diff = {.base = R9, .index = HREG_NONE, .disp = -(int32_t)known};
        emit_load32(e, R9, &number);
        emit_mov_rr(e, R11, RCX);
        tr_row(t, ROW_GLUE, 0);
        emit_lea32(e, RCX, &diff);
        uint8_t *near = emit_jecxz_fwd(e);
        emit_mov_rr(e, RCX, R11);
        tr_pend_slow(t, emit_jmp_fwd(e), false);
        emit_fix8(e, near);
        emit_mov_rr(e, RCX, R11);
    }
    struct pend *p = &t->pend[t->pend_count - 1];
    p->kind = PEND_NEAR;
    p->back = emit_rx(e);
}

void tr_settle_near(struct tr *t, const struct pend *p)
{
    struct emit *e = &t->e;
    tr_eip(t, R8, t->gla2);
    emit_mov_ri(e, R10, (uint32_t)(t->phys2 >> PAGE_SHIFT));
    emit_call_touch(t, TOUCH_NEAR);
    uint8_t *failed = emit_jmp_fwd(e);
    emit_jmp(e, p->back);
    emit_fix(e, failed);
    if (p->delta)
        tr_lea_esp(t, R13, p->delta);
    tr_exit(t, p->eip, TRAMP_INTERP);
}

/* Kernels that have more RAM than they map drop a page with each use of one that they do not. */
bool tr_invlpg(struct tr *t, const struct ginsn *g)
{
    if (!tr_may_call_invlpg(t, g))
        return false;
    tr_ea(t, g, R8);
    tr_row(t, ROW_GLUE, 0);
    emit_call_touch(t, TOUCH_INVLPG);
    tr_pend_slow(t, emit_jmp_fwd(&t->e), false);
    emit_look_at_kick(t, g, t->delta);
    return true;
}

void tr_settle_touch(struct tr *t, const struct pend *p)
{
    struct emit *e = &t->e;
    const struct ginsn *g = &t->g[p->insn];
    unsigned size = g->gclass == G_MOFFS ? (g->opcode & 1 ? g->opsize / 8u : 1) : g->mem_size;
    uint32_t site = (p->site - 1) & (SITES - 1);
    uint32_t what = site | size << TOUCH_SIZE_SHIFT | (t->cpl == 3 ? TOUCH_USER : 0);

    if (p->touch == TOUCH_STORES)
        emit_stored(e, g);
    emit_call_touch(t, what | (p->touch == TOUCH_STORES ? TOUCH_WRITE : p->touch == TOUCH_CHANGES ? TOUCH_CHANGE : 0));
    uint8_t *failed = emit_jmp_fwd(e);
    if (p->touch != TOUCH_STORES)
        emit_on_r10(e, g);
    if (p->touch == TOUCH_CHANGES)
        emit_call_touch(t, what | TOUCH_WRITE | TOUCH_AGAIN);
    emit_look_at_kick(t, g, p->delta);
    emit_jmp(e, p->back);
    emit_fix(e, failed);
    if (p->delta)
        tr_lea_esp(t, R13, p->delta);
    emit_mov_ri(e, R8, p->site - 1);
    tr_exit(t, p->eip, TRAMP_SITE);
}

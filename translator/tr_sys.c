/* Privileged and sensitive instructions that run on the virtual state without leaving translated
 * code: CLI, STI, PUSHF, POPF, MOV from segment and control registers, RDTSC. */
#include "tr.h"

static bool tr_pushf(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    if (!(t->mode & MODE_PROT) || !t->fast_stack || g->opsize != 32)
        return false;
    struct hmem vif = BT_FIELD(vif), sys = BT_FIELD(sysflags);
    struct hmem slot = {.gs = true, .a32 = true, .base = R13, .index = HREG_NONE, .disp = t->delta - 4};
    bool live = t->live_out[t->i] != 0;
    emit_pushfq(e);
    emit_pop(e, R8);
    /* A store that faults must do so while the flags are still the guest's: the instruction is done
     * again. After this one the next, to the same place, cannot fault. */
    emit_store32(e, &slot, R8);
    if (live)
        emit_push(e, R8);
    emit_alu_ri(e, 4, R8, FL_ARITH | FL_DF);
    emit_alu_rm(e, 1, R8, &vif);
    emit_alu_rm(e, 1, R8, &sys);
    emit_store32(e, &slot, R8);
    if (live)
        tr_popfq(t);
    t->delta -= 4;
    return true;
}

static bool tr_popf(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    if (!(t->mode & MODE_PROT) || !t->fast_stack || g->opsize != 32)
        return false;
    bool changes_if = t->mode & MODE_IOPL_OK;
    if (changes_if && t->cpl != 0)
        return false;
    struct hmem top = {.gs = true, .a32 = true, .base = R13, .index = HREG_NONE, .disp = t->delta};
    struct hmem sys = BT_FIELD(sysflags), vif = BT_FIELD(vif), pending = BT_FIELD(irq_pending);
    /* POPF defines all flags: the guest's old ones are dead once its operand has been read. */
    emit_load32(e, R8, &top);
    emit_mov_rr(e, R9, R8);
    emit_alu_rm(e, 6, R9, &sys);
    /* What has effects beyond the flag itself is the interpreter's. */
    emit_test_ri(e, R9, FL_TF | FL_NT | FL_AC | FL_ID | (t->cpl == 0 ? FL_IOPL : 0));
    tr_pend_slow(t, emit_jcc_fwd(e, 5), false);
    if (changes_if) {
        emit_test_ri(e, R8, FL_IF);
        uint8_t *off = emit_jcc_fwd(e, 4);
        emit_alu_mi(e, 7, &pending, 0);
        tr_pend_slow(t, emit_jcc_fwd(e, 5), false);
        emit_fix(e, off);
        emit_mov_rr(e, R9, R8);
        emit_alu_ri(e, 4, R9, FL_IF);
        emit_store32(e, &vif, R9);
    }
    emit_alu_ri(e, 4, R8, FL_ARITH | FL_DF);
    emit_alu_ri(e, 1, R8, FL_IF | FL_FIXED1);
    emit_push(e, R8);
    tr_popfq(t);
    t->delta += 4;
    return true;
}

static bool tr_sti(struct tr *t)
{
    struct emit *e = &t->e;
    /* The instruction after STI runs before any interrupt. If that one is the interpreter's (STI;
     * HLT), the shadow must be in struct cpu, so STI is the interpreter's too. */
    if (!(t->mode & MODE_IOPL_OK) || t->after[t->i] != AFTER_NEXT || t->g[t->i + 1].gclass == G_INTERP ||
        (tr_is_far(&t->g[t->i + 1]) && !tr_real_can_far(t, &t->g[t->i + 1])) || t->single)
        return false;
    struct hmem vif = BT_FIELD(vif), pending = BT_FIELD(irq_pending);
    if (t->live_out[t->i] == 0) {
        emit_alu_mi(e, 7, &pending, 0);
        tr_pend_slow(t, emit_jcc_fwd(e, 5), false);
    } else {
        emit_mov_rr(e, R10, RCX);
        emit_load32(e, RCX, &pending);
        uint8_t *none = emit_jecxz_fwd(e);
        emit_mov_rr(e, RCX, R10);
        tr_pend_slow(t, emit_jmp_fwd(e), false);
        emit_fix8(e, none);
        emit_mov_rr(e, RCX, R10);
    }
    emit_store32_i(e, &vif, FL_IF);
    return true;
}

static bool tr_mov_from_seg(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    if (g->reg > SEG_GS)
        return false;
    struct hmem sel = TR_SEG_FIELD(g->reg, sel);
    if (g->is_mem) {
        struct hmem m;
        if (!tr_mem(t, g, 2, true, false, &m))
            return false;
        emit_load16z(e, R10, &sel);
        emit_store16(e, &m, R10);
        return true;
    }
    if (g->rm == ESP)
        return false;
    if (g->opsize == 32) {
        emit_load16z(e, g->rm, &sel);
    } else {
        emit_load16z(e, R10, &sel);
        emit_hop(e, &(struct hop){.p66 = 1, .opcode = 0x89, .modrm = true, .reg = R10, .rm = g->rm});
    }
    return true;
}

static bool tr_mov_from_cr(struct tr *t, const struct ginsn *g)
{
    if (t->cpl != 0 || g->rm == ESP || g->is_mem)
        return false;
    size_t off = g->reg == 0   ? offsetof(struct cpu, cr0)
                 : g->reg == 2 ? offsetof(struct cpu, cr2)
                 : g->reg == 3 ? offsetof(struct cpu, cr3)
                 : g->reg == 4 ? offsetof(struct cpu, cr4)
                               : 0;
    if (!off)
        return false;
    struct hmem m = cpu_field(off);
    emit_load32(&t->e, g->rm, &m);
    return true;
}

static bool tr_rdtsc(struct tr *t)
{
    struct emit *e = &t->e;
    if ((t->mode & MODE_TSD) || t->single)
        return false;
    bool live = t->live_out[t->i] != 0;
    struct hmem offset = BT_FIELD(cpu.tsc_offset);
    if (live)
        emit_pushfq(e);
    emit_rdtsc(e);
    emit_shift64_i(e, true, RDX, 32);
    emit_alu_rr64(e, 1, RAX, RDX);
    emit_load64(e, R8, &offset);
    emit_alu_rr64(e, 0, RAX, R8);
    emit_mov_rr64(e, RDX, RAX);
    emit_shift64_i(e, false, RDX, 32);
    emit_mov_rr(e, RAX, RAX);
    if (live)
        tr_popfq(t);
    return true;
}

bool tr_sys(struct tr *t, const struct ginsn *g)
{
    struct hmem vif = BT_FIELD(vif);
    switch (g->gclass) {
    case G_PUSHF:
        return tr_pushf(t, g);
    case G_POPF:
        return tr_popf(t, g);
    case G_CLI:
        if (!(t->mode & MODE_IOPL_OK))
            return false;
        emit_store32_i(&t->e, &vif, 0);
        return true;
    case G_STI:
        return tr_sti(t);
    case G_MOV_FROM_SEG:
        return tr_mov_from_seg(t, g);
    case G_MOV_FROM_CR:
        return tr_mov_from_cr(t, g);
    case G_RDTSC:
        return tr_rdtsc(t);
    }
    return false;
}

/* Segment loads in protected mode, and the ways into and out of the supervisor: INT n, IRET, SYSENTER, SYSEXIT
 * (Intel SDM vol. 2; vol. 3A, 5.8.7, 6.12.1). Code here does what the interpreter did before on the same
 * descriptors (struct gate_desc and others in bt.h) and leaves everything else to it, before anything
 * has changed.
 *
 * Most of these end in another mode, with other translations: TRAMP_MODE finds the mode's jump table and goes on
 * there.
 */
#include "tr.h"
#include "block.h"

#define FLAT_CODE_ACCESS (ACC_G | ACC_DB | ACC_P | ACC_S | ACC_CODE | ACC_READ | ACC_ACCESSED)
#define FLAT_DATA_ACCESS (ACC_G | ACC_DB | ACC_P | ACC_S | ACC_WRITE | ACC_ACCESSED)
#define FLAT_MODE_BITS   (MODE_CODE32 | MODE_STACK32 | MODE_CS_READ)

/* Flags that IRET to CPL 3 or 0 may not bring with it here. */
#define IRET_SLOW (FL_TF | FL_NT | FL_VM | FL_IOPL | FL_AC | FL_VIF | FL_VIP)

#define RAS_FIELD(cls, field) \
    cpu_field(offsetof(struct bt, ras) + (cls) * sizeof(struct ras) + offsetof(struct ras, field))
#define OUT_FIELD(field) BT_FIELD(gate_out.field)

static void load_cmp64(struct tr *t, uint8_t window, const struct hmem *gla, const struct hmem *raw)
{
    struct emit *e = &t->e;
    struct hmem at = {.base = window, .index = R9};
    emit_load32(e, R9, gla);
    emit_load64(e, R9, &at);
    emit_alu_rm64(e, 7, R9, raw);
}

/* On condition cc (as in Jcc) the interpreter is asked, and what it does is learnt (EXIT_GATE with argument gate). */
static void slow_if(struct tr *t, unsigned cc, unsigned gate, bool pop_flags)
{
    tr_pend_slow(t, emit_jcc_fwd(&t->e, cc), pop_flags);
    t->pend[t->pend_count - 1].gate = (uint16_t)gate;
}

static void slow_unless_equal(struct tr *t, unsigned gate, bool pop_flags)
{
    slow_if(t, 5, gate, pop_flags);
}

/* seg = the struct seg at `from`. Uses R9. */
static void copy_seg(struct tr *t, unsigned seg, struct hmem from)
{
    struct emit *e = &t->e;
    struct hmem to = TR_SEG_FIELD(seg, sel);
    emit_load64(e, R9, &from);
    emit_store64(e, &to, R9);
    from.disp += 8;
    to.disp += 8;
    emit_load32(e, R9, &from);
    emit_store32(e, &to, R9);
}

/* IRET: what of the image in R8 is not in the host's flags. Uses r. */
static void take_system_flags(struct tr *t, uint8_t r)
{
    struct emit *e = &t->e;
    struct hmem vif = BT_FIELD(vif), sys = BT_FIELD(sysflags);
    emit_mov_rr(e, r, R8);
    emit_alu_ri(e, 4, r, FL_IF);
    emit_store32(e, &vif, r);
    emit_mov_rr(e, r, R8);
    emit_alu_ri(e, 4, r, FL_ID);
    emit_alu_ri(e, 1, r, FL_FIXED1);
    emit_store32(e, &sys, r);
}

/* The selector that an x87 instruction before the change of CPL had, for FCS (src/engine/x87.h). Uses r. */
static void keep_selector(struct tr *t, uint8_t r)
{
    struct hmem from = TR_SEG_FIELD(SEG_CS, sel), to = BT_FIELD(left_cs);
    if (t->mode & (MODE_NOFPU | MODE_FPU_OFF))
        return;
    emit_load16z(&t->e, r, &from);
    emit_store16(&t->e, &to, r);
}

/* R10 = window of the other privilege level becomes the window. */
static void switch_window(struct tr *t)
{
    struct emit *e = &t->e;
    struct hmem window = BT_FIELD(window), gs = BT_FIELD(gs_base);
    emit_store64(e, &window, R10);
    emit_store64(e, &gs, R10);
    emit_mov_rr64(e, R14, R10);
    emit_wrgsbase(e, R10);
}

/* Goes on at EIP R8 in mode R9; with_flags: flags as in R11. Delta must be 0. */
static void leave_in_mode(struct tr *t, bool with_flags)
{
    struct emit *e = &t->e;
    if (!t->single) {
        tr_jmp_out(t, with_flags ? TRAMP_MODE_FLAGS : TRAMP_MODE);
        return;
    }
    struct hmem eip = BT_FIELD(cpu.eip), changed = BT_FIELD(cpu.changed);
    emit_store32(e, &eip, R8);
    if (!with_flags) { /* they may be live where it goes, in lockstep they are compared */
        emit_pushfq(e);
        emit_pop(e, R11);
    }
    emit_alu_mi(e, 1, &changed, CHANGED_MODE);
    emit_push(e, R11);
    tr_popfq(t);
    tr_jmp_out(t, TRAMP_LOOKUP);
}

/* The supervisor's private stack, empty. For mode R9. Uses nothing. */
static void enter_supervisor_stack(struct tr *t)
{
    struct emit *e = &t->e;
    struct hmem base = RAS_FIELD(0, base), mode = RAS_FIELD(0, mode), present = BT_FIELD(ras_base);
    emit_load64(e, RSP, &base);
    emit_store64(e, &present, RSP);
    emit_store32(e, &mode, R9);
}

/* The bits that the mode of the supervisor has from the present one, user code's. */
static uint32_t supervisors_mode(const struct tr *t)
{
    uint32_t mode = t->mode & MODE_INHERITED;
    if (t->single)
        return mode;
    if (!t->bt->gs_matters)
        mode = (mode & ~MODE_SHAPE_OF(SEG_GS)) | MODE_GS_SLOW;
    return mode | MODE_FPU_OFF;
}

/* R9, a mode without MODE_INHERITED, becomes user code's. */
static void users_mode(struct tr *t)
{
    struct emit *e = &t->e;
    if (t->single) {
        emit_alu_ri(e, 1, R9, (int32_t)(t->mode & MODE_INHERITED));
        return;
    }
    struct hmem gs = BT_FIELD(user_gs), fpu = BT_FIELD(user_fpu);
    emit_alu_ri(e, 1, R9, (int32_t)(t->mode & MODE_INHERITED & ~MODE_USERS));
    emit_alu_rm(e, 1, R9, &gs);
    emit_alu_rm(e, 1, R9, &fpu);
}

/* --- segment loads --- */

bool tr_load_selector(struct tr *t, const struct ginsn *g)
{
    struct hmem m;
    if (!g->is_mem) {
        if (g->rm == ESP && t->fast_stack) /* may be displaced, and nobody loads it from there */
            return false;
        emit_movzw(&t->e, R10, host_gpr(g->rm));
        return true;
    }
    if (!tr_mem(t, g, 2, false, false, &m))
        return false;
    emit_load16z(&t->e, R10, &m);
    return true;
}

static bool can_load(const struct tr *t)
{
    return (t->mode & MODE_PROT) && t->cpl == 0 && t->shape[SEG_CS] == SHAPE_FLAT;
}

/* Segment register seg = selector in R10, zero-extended. after: added to the guest's ESP when it is done. */
static void load_seg(struct tr *t, unsigned seg, int after)
{
    struct emit *e = &t->e;
    bool live = t->live_out[t->i] != 0 || t->single;
    unsigned shift = MODE_SHAPE_SHIFT + MODE_SHAPE_BITS * seg;
    size_t cache = offsetof(struct bt, gate_desc);
#define ENTRY(field) \
    ((struct hmem){.base = R15, .index = R8, .disp = (int32_t)(cache + offsetof(struct gate_desc, field))})
    struct hmem tag = ENTRY(tag), gla = ENTRY(gla), raw = ENTRY(raw), value = ENTRY(seg), shape = ENTRY(shape);
#undef ENTRY
    _Static_assert(sizeof(struct gate_desc) == 32 && GATES_DESC == 32, "index = (selector & F8h) * 4");
    if (live) {
        emit_pushfq(e);
        tr_row(t, ROW_FLAGS, 0);
    }
    emit_mov_rr(e, R8, R10);
    emit_alu_ri(e, 4, R8, 0xf8);
    emit_shift64_i(e, true, R8, 2);
    emit_alu_rm(e, 7, R10, &tag);
    slow_unless_equal(t, GATE_SEG | seg, live);
    load_cmp64(t, R14, &gla, &raw);
    slow_unless_equal(t, GATE_SEG | seg, live);
    copy_seg(t, seg, value);
    t->delta += after;
    if (seg == SEG_GS && !t->single) {
        struct hmem gs = BT_FIELD(user_gs);
        emit_load32(e, R9, &shape);
        emit_shift64_i(e, true, R9, (uint8_t)shift);
        emit_store32(e, &gs, R9);
        if (bt_hides_gs(t->bt, t->mode)) {
            if (live)
                tr_popfq(t);
            return;
        }
    }
    emit_load32(e, R9, &shape);
    emit_alu_ri(e, 7, R9, t->shape[seg]);
    tr_pend(t, PEND_MODE, emit_jcc_fwd(e, 5), t->g[t->i].eip + t->g[t->i].len);
    struct pend *p = &t->pend[t->pend_count - 1];
    p->delta = (int16_t)t->delta;
    p->pop_flags = live;
    p->shift = (uint8_t)shift;
    if (live)
        tr_popfq(t);
}

void tr_settle_mode(struct tr *t, const struct pend *p)
{
    struct emit *e = &t->e;
    if (p->pop_flags)
        emit_pop(e, R11);
    emit_shift64_i(e, true, R9, p->shift);
    emit_alu_ri(e, 1, R9, (int32_t)(t->mode & ~(((1u << MODE_SHAPE_BITS) - 1) << p->shift)));
    if (p->delta)
        tr_lea_esp(t, R13, p->delta);
    tr_eip(t, R8, p->target);
    if (!t->single)
        enter_supervisor_stack(t);
    leave_in_mode(t, p->pop_flags);
}

static bool tr_mov_to_seg(struct tr *t, const struct ginsn *g)
{
    if (!can_load(t) || !tr_load_selector(t, g))
        return false;
    load_seg(t, g->reg, 0);
    return true;
}

static bool tr_pop_seg(struct tr *t, const struct ginsn *g)
{
    if (!can_load(t) || !t->fast_stack || g->opsize != 32)
        return false;
    struct hmem top = {.gs = true, .a32 = true, .base = R13, .index = HREG_NONE, .disp = t->delta};
    emit_load32(&t->e, R10, &top);
    emit_movzw(&t->e, R10, R10);
    load_seg(t, tr_popped_seg(g), 4);
    return true;
}

/* --- into the supervisor --- */

static bool can_enter(const struct tr *t)
{
    return t->bt->inline_gates && (t->mode & MODE_PROT) && t->cpl == 3 && t->code32 && t->shape[SEG_CS] == SHAPE_FLAT &&
           t->fast_stack;
}

/* The private stack has the flags on top: takes them to R11, the user's stack to where IRET finds it. */
static void save_user_stack(struct tr *t)
{
    struct hmem rsp = RAS_FIELD(1, rsp), exits = BT_FIELD(user_exits);
    emit_alu_mi(&t->e, 0, &exits, 1);
    emit_pop(&t->e, R11);
    tr_row(t, ROW_GLUE, 0);
    emit_store64(&t->e, &rsp, RSP);
}

static bool tr_int(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    uint8_t vector = (uint8_t)g->imm;
    unsigned gate = GATE_INT | vector;
    if (!can_enter(t))
        return false;
    size_t at = offsetof(struct bt, gate_in) + (vector % GATES_IN) * sizeof(struct gate_in);
#define IN(field) cpu_field(at + offsetof(struct gate_in, field))
    struct hmem tag = IN(tag), idt_gla = IN(idt_gla), idt_raw = IN(idt_raw), cs_gla = IN(cs_gla), cs_raw = IN(cs_raw),
                ss_gla = IN(ss_gla), ss_raw = IN(ss_raw), tss = IN(tss_gla), ss_sel = IN(ss_sel),
                vif_mask = IN(vif_mask), mode_bits = IN(mode_bits), eip = IN(eip), cs = IN(cs), ss = IN(ss);
#undef IN
    struct hmem view = BT_FIELD(view[0]), vif = BT_FIELD(vif), sys = BT_FIELD(sysflags);
    struct hmem cpl = BT_FIELD(cpu.cpl);
    tr_flush_delta(t);
    emit_pushfq(e);
    tr_row(t, ROW_FLAGS, 0);
    emit_cmp_mi(e, 4, &tag, vector);
    slow_unless_equal(t, gate, true);
    emit_load64(e, R10, &view);
    load_cmp64(t, R10, &idt_gla, &idt_raw);
    slow_unless_equal(t, gate, true);
    load_cmp64(t, R10, &cs_gla, &cs_raw);
    slow_unless_equal(t, gate, true);
    load_cmp64(t, R10, &ss_gla, &ss_raw);
    slow_unless_equal(t, gate, true);
    /* R8 = ESP0, SS0 as remembered */
    struct hmem pair = {.base = R10, .index = R9};
    emit_load32(e, R9, &tss);
    emit_load64(e, R9, &pair);
    emit_mov_rr(e, R8, R9);
    emit_shift64_i(e, false, R9, 32);
    emit_movzw(e, R9, R9);
    emit_alu_rm(e, 7, R9, &ss_sel);
    slow_unless_equal(t, gate, true);
    emit_alu_ri(e, 5, R8, 20);
    slow_if(t, 2 /* below: would wrap */, gate, true);
    struct hmem slot = {.base = R10, .index = R8}, flags = {.base = RSP, .index = HREG_NONE};
    struct hmem user_ss = TR_SEG_FIELD(SEG_SS, sel);
    struct hmem user_cs = TR_SEG_FIELD(SEG_CS, sel);
    slot.disp = 16;
    emit_load16z(e, R9, &user_ss);
    emit_store32(e, &slot, R9);
    slot.disp = 12;
    emit_store32(e, &slot, R13);
    emit_load32(e, R9, &flags);
    emit_alu_ri(e, 4, R9, FL_ARITH | FL_DF);
    emit_alu_rm(e, 1, R9, &vif);
    emit_alu_rm(e, 1, R9, &sys);
    slot.disp = 8;
    emit_store32(e, &slot, R9);
    slot.disp = 4;
    emit_load16z(e, R9, &user_cs);
    emit_store32(e, &slot, R9);
    slot.disp = 0;
    tr_store_eip(t, &slot, g->eip + g->len);
    /* Nothing can go wrong from here on. */
    keep_selector(t, R9);
    emit_mov_rr(e, R13, R8);
    copy_seg(t, SEG_CS, cs);
    copy_seg(t, SEG_SS, ss);
    emit_store8_i(e, &cpl, 0);
    emit_load32(e, R9, &vif_mask);
    emit_alu_mr(e, 4, &vif, R9);
    emit_alu_mi(e, 4, &sys, (int32_t) ~(FL_TF | FL_NT | FL_VM));
    switch_window(t);
    save_user_stack(t);
    emit_load32(e, R9, &mode_bits);
    emit_alu_ri(e, 1, R9, (int32_t)supervisors_mode(t));
    enter_supervisor_stack(t);
    emit_load32(e, R8, &eip);
    leave_in_mode(t, true);
    return true;
}

/* A flat segment register with the selector in R9. */
static void set_flat(struct tr *t, unsigned seg, uint32_t access)
{
    struct emit *e = &t->e;
    struct hmem sel = TR_SEG_FIELD(seg, sel), acc = TR_SEG_FIELD(seg, access);
    struct hmem base = TR_SEG_FIELD(seg, base), limit = TR_SEG_FIELD(seg, limit);
    emit_store16(e, &sel, R9);
    emit_store16_i(e, &acc, (uint16_t)access);
    emit_store32_i(e, &base, 0);
    emit_store32_i(e, &limit, UINT32_MAX);
}

static bool tr_sysenter(struct tr *t)
{
    struct emit *e = &t->e;
    if (!can_enter(t))
        return false;
    struct hmem msr_cs = BT_FIELD(cpu.sysenter_cs), msr_esp = BT_FIELD(cpu.sysenter_esp);
    struct hmem msr_eip = BT_FIELD(cpu.sysenter_eip), view = BT_FIELD(view[0]), vif = BT_FIELD(vif);
    struct hmem cpl = BT_FIELD(cpu.cpl), next = {.base = R9, .index = HREG_NONE, .disp = 8};
    tr_flush_delta(t);
    emit_pushfq(e);
    tr_row(t, ROW_FLAGS, 0);
    emit_load32(e, R9, &msr_cs);
    emit_alu_ri(e, 4, R9, 0xfffc);
    slow_if(t, 4, GATE_IRET, true);
    keep_selector(t, R10);
    set_flat(t, SEG_CS, FLAT_CODE_ACCESS);
    emit_lea32(e, R9, &next);
    set_flat(t, SEG_SS, FLAT_DATA_ACCESS);
    emit_load32(e, R13, &msr_esp);
    emit_store8_i(e, &cpl, 0);
    emit_store32_i(e, &vif, 0);
    emit_load64(e, R10, &view);
    switch_window(t);
    save_user_stack(t);
    emit_mov_ri(e, R9, supervisors_mode(t) | FLAT_MODE_BITS | MODE_IOPL_OK);
    enter_supervisor_stack(t);
    emit_load32(e, R8, &msr_eip);
    leave_in_mode(t, true);
    return true;
}

/* --- out of it --- */

static bool can_leave(const struct tr *t)
{
    return t->bt->inline_gates && can_load(t) && t->code32 && t->fast_stack;
}

/* To user code: the window, the private stack (the old one if it is for mode R9). Uses R8, R10. */
static void enter_user(struct tr *t)
{
    struct emit *e = &t->e;
    struct hmem view = BT_FIELD(view[1]), base = RAS_FIELD(1, base), rsp = RAS_FIELD(1, rsp);
    struct hmem mode = RAS_FIELD(1, mode), present = BT_FIELD(ras_base);
    emit_load64(e, R10, &view);
    switch_window(t);
    emit_load64(e, R10, &base);
    emit_store64(e, &present, R10);
    emit_load64(e, RSP, &rsp);
    emit_alu_rm(e, 7, R9, &mode);
    uint8_t *same = emit_jcc_fwd(e, 4);
    emit_mov_rr64(e, RSP, R10);
    emit_store32(e, &mode, R9);
    emit_fix(e, same);
}

static bool tr_iret(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    if (!can_leave(t) || g->opsize != 32)
        return false;
    struct hmem top = {.gs = true, .a32 = true, .base = R13, .index = HREG_NONE};
    struct hmem sys = BT_FIELD(sysflags), pending = BT_FIELD(irq_pending);
    struct hmem nmi = BT_FIELD(cpu.nmi_blocked), cpl = BT_FIELD(cpu.cpl), leave_out = BT_FIELD(leave_out);
    struct hmem out_tag = OUT_FIELD(tag), same_tag = OUT_FIELD(same_tag), same_gla = OUT_FIELD(same_gla);
    struct hmem same_raw = OUT_FIELD(same_raw), cs_gla = OUT_FIELD(cs_gla), cs_raw = OUT_FIELD(cs_raw);
    struct hmem ss_gla = OUT_FIELD(ss_gla), ss_raw = OUT_FIELD(ss_raw), ss_sel = OUT_FIELD(ss_sel);
    struct hmem cs = OUT_FIELD(cs), ss = OUT_FIELD(ss), mode_bits = OUT_FIELD(mode_bits);
    int at = t->delta;
    /* IRET defines all flags: the old ones are dead, unless it faults and lockstep looks at the frame. */
    bool keep = t->single;
    if (keep) {
        emit_pushfq(e);
        tr_row(t, ROW_FLAGS, 0);
    }
    /* Read in the processor's order, see stack_peek: a page fault names the first that is missing. R8 = the image of
     * the flags, R10 = CS. */
    top.disp = at + 8;
    emit_load32(e, R8, &top);
    top.disp = at + 4;
    emit_load32(e, R10, &top);
    top.disp = at;
    emit_load32(e, R9, &top);
    emit_test_ri(e, R8, IRET_SLOW);
    slow_unless_equal(t, GATE_IRET, keep);
    emit_load32(e, R9, &sys);
    emit_test_ri(e, R9, IRET_SLOW);
    slow_unless_equal(t, GATE_IRET, keep);
    emit_test_ri(e, R8,
                 FL_IF); /* what waits may wait on where interrupts stay off: Linux's sync_core() in long loops */
    uint8_t *off = emit_jcc_fwd(e, 4);
    emit_alu_mi(e, 7, &pending, 0);
    slow_unless_equal(t, GATE_IRET, keep);
    emit_fix(e, off);
    emit_alu_mi(e, 7, &leave_out, 0);
    slow_unless_equal(t, GATE_IRET, keep);
    emit_movzw(e, R10, R10);
    emit_alu_rm(e, 7, R10, &out_tag);
    uint8_t *to_user = emit_jcc_fwd(e, 4);

    /* The same level: CS is loaded anew with what it has. */
    emit_alu_rm(e, 7, R10, &same_tag);
    slow_unless_equal(t, GATE_IRET, keep);
    load_cmp64(t, R14, &same_gla, &same_raw);
    slow_unless_equal(t, GATE_IRET, keep);
    struct hmem now = TR_SEG_FIELD(SEG_CS, sel), same_seg = OUT_FIELD(same_seg);
    emit_load64(e, R9, &now);
    emit_alu_rm64(e, 7, R9, &same_seg);
    slow_unless_equal(t, GATE_IRET, keep);
    top.disp = at;
    emit_load32(e, R10, &top);
    if (keep) {
        emit_pop(e, R9);
        tr_row(t, ROW_GLUE, 0);
    }
    emit_store8_i(e, &nmi, 0);
    take_system_flags(t, R11);
    emit_alu_ri(e, 4, R8, FL_ARITH | FL_DF);
    emit_alu_ri(e, 1, R8, FL_FIXED1 | FL_IF);
    tr_lea_esp(t, R13, at + 12);
    emit_push(e, R8);
    tr_popfq(t);
    emit_mov_rr(e, R8, R10);
    if (!t->single) {
        tr_load_slot(t);
        emit_jmp_reg(e, R9);
    } else {
        struct hmem eip = BT_FIELD(cpu.eip);
        emit_store32(e, &eip, R8);
        tr_jmp_out(t, TRAMP_LOOKUP);
    }

    emit_fix(e, to_user);
    tr_row(t, keep ? ROW_FLAGS : ROW_GLUE, 0);
    load_cmp64(t, R14, &cs_gla, &cs_raw);
    slow_unless_equal(t, GATE_IRET, keep);
    top.disp = at + 16;
    emit_load32(e, R9, &top);
    top.disp = at + 12;
    emit_load32(e, R11, &top);
    emit_movzw(e, R9, R9);
    emit_alu_rm(e, 7, R9, &ss_sel);
    slow_unless_equal(t, GATE_IRET, keep);
    load_cmp64(t, R14, &ss_gla, &ss_raw);
    slow_unless_equal(t, GATE_IRET, keep);
    /* Data segments with DPL below 3 would become null. */
    static const uint8_t data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    for (unsigned i = 0; i < 4; i++) {
        struct hmem words = TR_SEG_FIELD(data[i], sel); /* selector, access */
        if (i == 0)
            emit_load32(e, R9, &words);
        else
            emit_alu_rm(e, 4, R9, &words);
    }
    emit_not(e, R9);
    emit_test_ri(e, R9, (uint32_t)ACC_DPL << 16);
    slow_unless_equal(t, GATE_IRET, keep);
    top.disp = at;
    emit_load32(e, R10, &top);
    /* Nothing can go wrong from here on. */
    if (keep) {
        emit_pop(e, R9);
        tr_row(t, ROW_GLUE, 0);
    }
    keep_selector(t, R9);
    emit_mov_rr(e, R13, R11);
    emit_mov_rr(e, R11, R10);
    emit_store8_i(e, &cpl, 3);
    emit_store8_i(e, &nmi, 0);
    copy_seg(t, SEG_CS, cs);
    copy_seg(t, SEG_SS, ss);
    take_system_flags(t, R9);
    emit_load32(e, R9, &mode_bits);
    users_mode(t);
    enter_user(t);
    emit_alu_ri(e, 4, R8, FL_ARITH | FL_DF);
    emit_alu_ri(e, 1, R8, FL_FIXED1 | FL_IF);
    emit_mov_rr(e, R10, R11);
    emit_mov_rr(e, R11, R8);
    emit_mov_rr(e, R8, R10);
    leave_in_mode(t, true);
    t->delta = 0;
    return true;
}

static bool tr_sysexit(struct tr *t)
{
    struct emit *e = &t->e;
    if (!can_leave(t))
        return false;
    struct hmem msr_cs = BT_FIELD(cpu.sysenter_cs), sys = BT_FIELD(sysflags), cpl = BT_FIELD(cpu.cpl);
    struct hmem tsd = BT_FIELD(user_tsd), leave_out = BT_FIELD(leave_out);
    tr_flush_delta(t);
    emit_pushfq(e);
    tr_row(t, ROW_FLAGS, 0);
    emit_load32(e, R8, &sys);
    emit_test_ri(e, R8, IRET_SLOW);
    slow_unless_equal(t, GATE_IRET, true);
    emit_alu_mi(e, 7, &leave_out, 0);
    slow_unless_equal(t, GATE_IRET, true);
    emit_load32(e, R8, &msr_cs);
    emit_test_ri(e, R8, 0xfffc);
    slow_if(t, 4, GATE_IRET, true);
    keep_selector(t, R9);
    struct hmem sel = {.base = R8, .index = HREG_NONE, .disp = 16};
    emit_lea32(e, R9, &sel);
    emit_alu_ri(e, 1, R9, 3);
    set_flat(t, SEG_CS, FLAT_CODE_ACCESS | ACC_DPL);
    sel.disp = 24;
    emit_lea32(e, R9, &sel);
    emit_alu_ri(e, 1, R9, 3);
    set_flat(t, SEG_SS, FLAT_DATA_ACCESS | ACC_DPL);
    emit_mov_rr(e, R13, RCX);
    emit_store8_i(e, &cpl, 3);
    emit_pop(e, R11);
    tr_row(t, ROW_GLUE, 0);
    emit_load32(e, R9, &tsd);
    emit_alu_ri(e, 1, R9, FLAT_MODE_BITS | MODE_CPL);
    users_mode(t);
    enter_user(t);
    emit_mov_rr(e, R8, RDX);
    leave_in_mode(t, true);
    return true;
}

bool tr_gate(struct tr *t, const struct ginsn *g)
{
    switch (g->gclass) {
    case G_MOV_TO_SEG:
        return tr_mov_to_seg(t, g);
    case G_POP_SEG:
        return tr_pop_seg(t, g);
    case G_INT:
        return tr_int(t, g);
    case G_IRET:
        return tr_iret(t, g);
    case G_SYSENTER:
        return tr_sysenter(t);
    case G_SYSEXIT:
        return tr_sysexit(t);
    }
    return false;
}

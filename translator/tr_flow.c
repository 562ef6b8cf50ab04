/* Jumps, calls, returns, loops and stack operations.
 *
 * A guest CALL becomes a store of the return address and a host call on the private stack; the guest
 * RET loads the return address into R8 and does a host ret; the return site compares R8 with the
 * address it stands for and goes through the jump table when they differ (FACTS.md, part B, 2).
 */
#include <string.h>

#include "hostcpu.h"
#include "log.h"
#include "tr.h"

/* --- stack accesses --- */

static unsigned stack_bits(const struct tr *t)
{
    return t->stack32 ? 32 : 16;
}

/* R8 becomes SP or ESP. */
static void set_sp(struct tr *t)
{
    if (t->stack32)
        emit_mov_rr(&t->e, R13, R8);
    else
        emit_hop(&t->e, &(struct hop){.p66 = 1, .opcode = 0x89, .modrm = true, .reg = R8, .rm = R13});
}

/* An element of step bytes, of which the lower `size` are stored. */
static bool push_part(struct tr *t, unsigned step, unsigned size, uint8_t src, uint32_t imm)
{
    struct emit *e = &t->e;
    struct hmem m;
    if (t->fast_stack) {
        m = (struct hmem){.gs = true, .a32 = true, .base = R13, .index = HREG_NONE, .disp = t->delta - (int)step};
    } else {
        struct hmem next = {.base = R13, .index = HREG_NONE, .disp = -(int)step};
        assert_always(!t->delta);
        emit_lea32(e, R8, &next);
        if (!t->stack32)
            emit_movzw(e, R8, R8);
        if (!tr_mem_r8(t, SEG_SS, stack_bits(t), size, &m))
            return false;
    }
    if (src == HREG_NONE && size == 4)
        emit_store32_i(e, &m, imm);
    else if (src == HREG_NONE)
        emit_store16_i(e, &m, (uint16_t)imm);
    else if (size == 4)
        emit_store32(e, &m, src);
    else
        emit_store16(e, &m, src);
    if (t->fast_stack)
        t->delta -= (int)step;
    else
        set_sp(t);
    return true;
}

bool tr_push(struct tr *t, unsigned size, uint8_t src, uint32_t imm)
{
    return push_part(t, size, size, src, imm);
}

bool tr_push_eip(struct tr *t, unsigned size, uint32_t eip)
{
    if (!t->pic)
        return push_part(t, size, size, HREG_NONE, eip);
    tr_eip(t, R9, eip); /* its stack is flat */
    return push_part(t, size, size, R9, 0);
}

/* Loads what is on top of a stack that is not flat into dst, zero-extended; R8 is then its offset. */
static bool load_top(struct tr *t, unsigned size, uint8_t dst)
{
    struct emit *e = &t->e;
    struct hmem m;
    assert_always(!t->delta && dst != R8);
    if (t->stack32)
        emit_mov_rr(e, R8, R13);
    else
        emit_movzw(e, R8, R13);
    if (!tr_mem_r8(t, SEG_SS, stack_bits(t), size, &m))
        return false;
    if (size == 4)
        emit_load32(e, dst, &m);
    else
        emit_load16z(e, dst, &m);
    return true;
}

bool tr_pop(struct tr *t, unsigned size, uint8_t dst)
{
    struct emit *e = &t->e;
    struct hmem m;
    if (t->fast_stack) {
        m = (struct hmem){.gs = true, .a32 = true, .base = R13, .index = HREG_NONE, .disp = t->delta};
        if (size == 4)
            emit_load32(e, dst, &m);
        else
            emit_load16z(e, dst, &m);
        t->delta += (int)size;
        return true;
    }
    if (!load_top(t, size, dst))
        return false;
    struct hmem next = {.base = R8, .index = HREG_NONE, .disp = (int)size};
    emit_lea32(e, R8, &next);
    set_sp(t);
    return true;
}

static bool tr_pusha(struct tr *t)
{
    if (!t->fast_stack)
        return false;
    struct hmem m = {.gs = true, .a32 = true, .base = R13, .index = HREG_NONE};
    tr_lea_esp(t, R8, t->delta);
    for (unsigned r = EAX; r <= EDI; r++) {
        m.disp = t->delta - 4 * (int)(r + 1);
        emit_store32(&t->e, &m, r == ESP ? R8 : r);
    }
    t->delta -= 32;
    return true;
}

static bool tr_popa(struct tr *t)
{
    if (!t->fast_stack)
        return false;
    struct hmem m = {.gs = true, .a32 = true, .base = R13, .index = HREG_NONE};
    /* In the processor's order, which reads ESP's place too: what was popped before a fault stays in its registers. */
    for (unsigned r = EDI + 1; r-- > EAX;) {
        m.disp = t->delta + 4 * (int)(EDI - r);
        emit_load32(&t->e, r == ESP ? R8 : (uint8_t)r, &m);
    }
    t->delta += 32;
    return true;
}

bool tr_stack(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    unsigned size = g->opsize / 8;
    uint8_t r = g->opcode & 7;
    struct hmem m;

    if (size != 2 && size != 4)
        return false;
    switch (g->gclass) {
    case G_PUSH_R:
        if (r == ESP) {
            tr_lea_esp(t, R10, t->delta);
            return tr_push(t, size, R10, 0);
        }
        return tr_push(t, size, r, 0);
    case G_PUSH_I:
        return tr_push(t, size, HREG_NONE, g->imm);
    case G_PUSH_M:
        if (g->is_mem) {
            if (!tr_mem(t, g, size, false, false, &m))
                return false;
            if (size == 4)
                emit_load32(e, R10, &m);
            else
                emit_load16z(e, R10, &m);
        } else {
            if (g->rm == ESP)
                tr_flush_delta(t);
            emit_mov_rr(e, R10, host_gpr(g->rm));
        }
        return tr_push(t, size, R10, 0);
    case G_PUSH_SEG: {
        static const struct {
            uint8_t map, opcode, seg;
        } forms[] = {{0, 0x06, SEG_ES}, {0, 0x0e, SEG_CS}, {0, 0x16, SEG_SS},
                     {0, 0x1e, SEG_DS}, {1, 0xa0, SEG_FS}, {1, 0xa8, SEG_GS}};
        for (unsigned i = 0; i < 6; i++)
            if (forms[i].map == g->map && forms[i].opcode == g->opcode) {
                struct hmem sel = TR_SEG_FIELD(forms[i].seg, sel);
                emit_load16z(e, R10, &sel);
                return push_part(t, size, hostcpu()->push_seg_16 ? 2 : size, R10, 0);
            }
        return false;
    }
    case G_POP_R:
        if (size == 4 && r != ESP)
            return tr_pop(t, 4, r);
        if (!tr_pop(t, size, R10))
            return false;
        if (size == 4) { /* POP ESP: the value read replaces the incremented ESP */
            emit_mov_rr(e, R13, R10);
            t->delta = 0;
        } else {
            if (r == ESP) {
                /* The value replaces the low half only; R13 must be right first. */
                struct hmem sp = {.base = R13, .index = HREG_NONE, .disp = t->delta};
                if (t->delta)
                    emit_lea32(e, R13, &sp);
                t->delta = 0;
            }
            emit_hop(e, &(struct hop){.p66 = 1, .opcode = 0x89, .modrm = true, .reg = R10, .rm = host_gpr(r)});
        }
        return true;
    case G_POP_M:
        if (!g->is_mem)
            return false;
        if (!t->fast_stack)
            return false;
        {
            struct hmem top = {.gs = true, .a32 = true, .base = R13, .index = HREG_NONE, .disp = t->delta};
            if (size == 4)
                emit_load32(e, R10, &top);
            else
                emit_load16z(e, R10, &top);
            /* An ESP base means ESP after the increment. The delta itself stays until the store is done: rows in
             * between (of a limit check, say) and the fault's frame show ESP as it was before. */
            struct ginsn after = *g;
            if (g->base == ESP)
                after.disp += size;
            if (!tr_mem(t, &after, size, true, false, &m))
                return false;
            if (size == 4)
                emit_store32(e, &m, R10);
            else
                emit_store16(e, &m, R10);
            t->delta += (int)size;
        }
        return true;
    case G_PUSHA:
        return size == 4 && tr_pusha(t);
    case G_POPA:
        return size == 4 && tr_popa(t);
    case G_LEAVE: {
        if (size != 4 || !t->fast_stack)
            return false;
        struct hmem top = {.base = R14, .index = RBP};
        struct hmem next = {.base = RBP, .index = HREG_NONE, .disp = 4};
        emit_load32(e, R8, &top);
        emit_lea32(e, R13, &next);
        emit_mov_rr(e, RBP, R8);
        t->delta = 0;
        return true;
    }
    }
    return false;
}

/* --- jumps --- */

/* Settles where a jump to guest EIP target (delta 0 there) goes. */
static void jump_target(struct tr *t, uint8_t *rel32, uint32_t target)
{
    int at = tr_insn_at(t, target);
    if (at >= 0 && t->join[at])
        tr_pend(t, PEND_INTERNAL, rel32, (uint32_t)at);
    else
        tr_pend(t, PEND_EXIT, rel32, target);
}

/* Leaves to the guest EIP in R8. Delta must be 0. */
static void jump_r8(struct tr *t)
{
    struct emit *e = &t->e;
    if (!t->single) {
        tr_note_x87(t, tr_x87_before(t, t->i));
        tr_load_slot(t);
        emit_jmp_reg(e, R9);
    } else {
        struct hmem eip = BT_FIELD(cpu.eip);
        emit_store32(e, &eip, R8);
        tr_jmp_out(t, TRAMP_LOOKUP);
    }
}

void tr_check_16(struct tr *t, uint8_t r)
{
    struct emit *e = &t->e;
    struct hmem upper = {.base = r, .index = R9, .disp = 1};
    emit_mov_rr(e, R11, RCX);
    emit_movzw(e, R9, r);
    emit_not(e, R9);
    emit_lea32(e, RCX, &upper);
    uint8_t *ok = emit_jecxz_fwd(e);
    emit_mov_rr(e, RCX, R11);
    tr_pend_slow(t, emit_jmp_fwd(e), false);
    emit_fix8(e, ok);
    emit_mov_rr(e, RCX, R11);
}

/* The EIP in r, from an operand of size bytes, may lie beyond the CS limit: leaves to the interpreter then, which
 * raises #GP before the jump has done anything. Uses R9 and R11. */
static void check_target(struct tr *t, uint8_t r, unsigned size)
{
    struct emit *e = &t->e;
    if (t->cs_limit == UINT32_MAX || (size == 2 && t->cs_limit >= 0xffff))
        return;
    if (t->cs_limit == 0xffff) {
        tr_check_16(t, r);
        return;
    }
    emit_pushfq(e);
    tr_row(t, ROW_GLUE, 0);
    emit_alu_ri(e, 7, r, (int32_t)t->cs_limit);
    tr_pend_slow(t, emit_jcc_fwd(e, 7 /* above */), true);
    tr_popfq(t);
}

static void flush_after(struct tr *t)
{
    if (!t->delta)
        return;
    tr_lea_esp(t, R13, t->delta);
    t->delta = 0;
}

/* The return site of the call just emitted: R8 = address returned to.
 *
 * A return may come to a site that is not its own, whose check must not change flags that live where it really goes.
 * In compiled 32-bit code none do; in 16-bit code procedures that return flags are usual, and so are far returns from
 * near calls, which leave the stack with too much on it. */
static void return_site(struct tr *t, uint32_t ra)
{
    struct emit *e = &t->e;
    struct hmem want = {.base = R12, .index = HREG_NONE, .disp = (int32_t)(ra - t->bias)};
    bool last = t->after[t->i] != AFTER_NEXT;
    bool dead = t->live_out[t->i] == 0 && t->code32;
    bool interp = !last && t->g[t->i + 1].gclass == G_INTERP; /* parity: see tr_leads_to_interp */
    unsigned call = t->i;
    t->i = last ? call : call + 1;
    tr_row(t, ROW_GLUE, 0);
    t->i = call;
    if (t->pic) {
        emit_pop(e, R12);
        emit_lea32(e, R9, &want);
    }
    if (dead) {
        if (t->pic)
            emit_alu_rr(e, 7, R8, R9);
        else
            emit_alu_ri(e, 7, R8, (int32_t)ra);
        tr_pend(t, PEND_MISS, emit_jcc_fwd(e, 5), 0);
    } else {
        struct hmem diff = {.base = R8, .index = HREG_NONE, .disp = (int32_t)(0u - ra)};
        if (t->pic) {
            emit_not(e, R9);
            diff = (struct hmem){.base = R8, .index = R9, .disp = 1};
        }
        emit_mov_rr(e, R10, RCX);
        emit_lea32(e, RCX, &diff);
        uint8_t *hit = emit_jecxz_fwd(e);
        emit_mov_rr(e, RCX, R10);
        tr_load_slot(t);
        emit_jmp_reg(e, R9);
        emit_fix8(e, hit);
        emit_mov_rr(e, RCX, R10);
    }
    if (((uintptr_t)e->pos & 1) != interp)
        emit_nop(e);
    if (last)
        return; /* what follows is the exit to RA itself, which must not find itself there */
    t->entry[t->entry_count++] =
        (struct tentry){.phys = (t->phys & ~(gpa_t)(PAGE_SIZE - 1)) + ((t->cs_base + ra) & (PAGE_SIZE - 1)),
                        .eip = ra,
                        .host = emit_rx(e),
                        .natural = true};
}

/* For the return site. */
static void keep_page(struct tr *t)
{
    if (t->pic)
        emit_push(&t->e, R12);
}

static bool tr_call(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    unsigned size = g->opsize / 8;
    uint32_t ra = g->eip + g->len;
    if (size != 4 && t->code32)
        return false;
    if (size == 2)
        ra &= 0xffff;

    if (g->gclass == G_CALL) {
        if (g->target == ra && !t->single) {
            /* call .+5; pop: reads EIP, never returns */
            if (!tr_push_eip(t, size, ra))
                return false;
            flush_after(t);
            jump_target(t, emit_jmp_fwd(e), g->target);
            return true;
        }
        if (!tr_push_eip(t, size, ra))
            return false;
        flush_after(t);
        if (t->single) {
            jump_target(t, emit_jmp_fwd(e), g->target);
            return true;
        }
        if (tr_may_chain(t, g->target)) {
            keep_page(t);
            tr_pend(t, PEND_EXIT, emit_call_fwd(e), g->target);
        } else {
            tr_note_x87(t, tr_x87_before(t, t->i));
            tr_load_slot_of(t, g->target);
            keep_page(t);
            emit_call_reg(e, R9);
        }
    } else {
        /* Target first: the memory operand may be relative to the ESP before the push, which on a
         * stack that is not flat needs R8 itself. */
        uint8_t to = t->fast_stack ? R8 : R10;
        if (g->is_mem) {
            struct hmem m;
            if (!tr_mem(t, g, size, false, false, &m))
                return false;
            if (size == 4)
                emit_load32(e, to, &m);
            else
                emit_load16z(e, to, &m);
        } else {
            if (g->rm == ESP)
                return false;
            if (size == 4)
                emit_mov_rr(e, to, g->rm);
            else
                emit_movzw(e, to, g->rm);
        }
        check_target(t, to, size);
        if (!tr_push_eip(t, size, ra))
            return false;
        flush_after(t);
        if (to != R8)
            emit_mov_rr(e, R8, to);
        if (t->single) {
            jump_r8(t);
            return true;
        }
        tr_load_slot(t);
        keep_page(t);
        emit_call_reg(e, R9);
    }
    if (t->after[t->i] != AFTER_NONE) {
        return_site(t, ra);
    } else {
        /* What follows in a mixed page may have changed: it is another block's. Or the return address, of 16 bits, is
         * not what follows. */
        assert_always(!t->pic);
        tr_row(t, ROW_GLUE, 0);
        tr_jmp_out(t, TRAMP_JUMP);
    }
    return true;
}

static bool tr_ret(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    unsigned size = g->opsize / 8;
    uint32_t extra = g->opcode == 0xc2 ? g->imm & 0xffff : 0;
    if (size == 2 && t->code32)
        return false;
    if (t->fast_stack) {
        struct hmem top = {.gs = true, .a32 = true, .base = R13, .index = HREG_NONE, .disp = t->delta};
        if (size == 4)
            emit_load32(e, R8, &top);
        else
            emit_load16z(e, R8, &top);
        check_target(t, R8, size);
        t->delta += (int)(size + extra);
        flush_after(t);
    } else {
        if (!load_top(t, size, R10))
            return false;
        check_target(t, R10, size);
        struct hmem sp = {.base = R8, .index = HREG_NONE, .disp = (int32_t)(size + extra)};
        emit_lea32(e, R8, &sp);
        set_sp(t);
        emit_mov_rr(e, R8, R10);
    }
    if (t->single)
        jump_r8(t);
    else
        emit_ret(e);
    return true;
}

static bool tr_jmp_ind(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    unsigned size = g->opsize / 8;
    if (g->is_mem) {
        struct hmem m;
        if (!tr_mem(t, g, size, false, false, &m))
            return false;
        if (size == 4)
            emit_load32(e, R8, &m);
        else
            emit_load16z(e, R8, &m);
    } else {
        if (g->rm == ESP)
            tr_flush_delta(t);
        if (size == 4)
            emit_mov_rr(e, R8, host_gpr(g->rm));
        else
            emit_movzw(e, R8, host_gpr(g->rm));
    }
    check_target(t, R8, size);
    flush_after(t);
    jump_r8(t);
    return true;
}

/* JCXZ and LOOP with a 16-bit counter. Flags are kept. */
static void tr_loop16(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    uint8_t *not_taken1 = NULL;
    if (g->gclass == G_LOOP) {
        struct hmem dec = {.base = RCX, .index = HREG_NONE, .disp = -1};
        emit_lea32(e, R8, &dec);
        emit_hop(e, &(struct hop){.p66 = 1, .opcode = 0x89, .modrm = true, .reg = R8, .rm = RCX});
        if (g->opcode == 0xe0) /* LOOPNE: ends on ZF */
            not_taken1 = emit_jcc_fwd(e, 4);
        else if (g->opcode == 0xe1)
            not_taken1 = emit_jcc_fwd(e, 5);
    }
    emit_mov_rr(e, R8, RCX);
    emit_movzw(e, RCX, RCX);
    uint8_t *zero = emit_jecxz_fwd(e);
    emit_mov_rr(e, RCX, R8);
    uint8_t *over = NULL;
    if (g->gclass == G_LOOP)
        jump_target(t, emit_jmp_fwd(e), g->target);
    else
        over = emit_jmp_fwd(e);
    emit_fix8(e, zero);
    emit_mov_rr(e, RCX, R8);
    if (g->gclass == G_JCXZ) {
        jump_target(t, emit_jmp_fwd(e), g->target);
        emit_fix(e, over);
    }
    if (not_taken1)
        emit_fix(e, not_taken1);
}

bool tr_flow(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    bool to_next = (g->gclass == G_JCC || g->gclass == G_JCXZ || g->gclass == G_LOOP) && g->target == g->eip + g->len;
    if (to_next) /* a patched-out branch (Linux's jump labels): nothing, but for LOOP's counter */
        return g->gclass != G_LOOP;
    if ((tr_is_branch(g) || g->gclass == G_CALL) && g->target > t->cs_limit)
        return false; /* #GP, if it is taken */
    if (t->pic && (tr_is_branch(g) || g->gclass == G_CALL) && g->opsize == 16)
        return false; /* the upper half of its target is zero wherever it lies */
    switch (g->gclass) {
    case G_CALL:
    case G_CALL_IND:
        return tr_call(t, g);
    case G_RET:
        return tr_ret(t, g);
    case G_THUNK: {
        /* The return address stays below the stack's end, as it would. */
        struct hmem below = {.gs = true, .a32 = true, .base = R13, .index = HREG_NONE, .disp = t->delta - 4};
        if (!tr_same_page(t, g->target))
            tr_near(t);
        tr_store_eip(t, &below, g->eip + g->len);
        tr_eip(t, g->reg, g->eip + g->len);
        return true;
    }
    case G_JMP:
        tr_flush_delta(t);
        jump_target(t, emit_jmp_fwd(e), g->target);
        return true;
    case G_JMP_IND:
        return tr_jmp_ind(t, g);
    case G_JCC:
        tr_flush_delta(t);
        jump_target(t, emit_jcc_fwd(e, g->opcode & 15), g->target);
        return true;
    case G_JCXZ:
        tr_flush_delta(t);
        if (g->adsize == 16) {
            tr_loop16(t, g);
        } else {
            uint8_t *taken = emit_jecxz_fwd(e);
            uint8_t *over = emit_jmp_fwd(e);
            emit_fix8(e, taken);
            jump_target(t, emit_jmp_fwd(e), g->target);
            emit_fix(e, over);
        }
        return true;
    case G_LOOP:
        tr_flush_delta(t);
        if (g->adsize == 16)
            tr_loop16(t, g);
        else
            jump_target(t, emit_loop_fwd(e, g->opcode), g->target);
        return true;
    }
    return false;
}

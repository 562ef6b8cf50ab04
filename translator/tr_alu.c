/* Instructions that compute or move: re-encoded one to one where 64-bit mode has them, expanded where not. */
#include <stdlib.h>

#include "log.h"
#include "tr.h"

/* ESP arithmetic that needs no code, or one LEA. True if that was all. */
static bool tr_esp_idiom(struct tr *t, const struct ginsn *g)
{
    if (g->opsize != 32 || g->map || g->is_mem || !t->fast_stack)
        return false;
    bool alu_imm = (g->opcode == 0x81 || g->opcode == 0x83) && g->rm == ESP;
    if (alu_imm && (g->reg == 0 || g->reg == 5)) { /* add, sub */
        int32_t imm = g->reg == 0 ? (int32_t)g->imm : -(int32_t)g->imm;
        bool dead = !(t->live_out[t->i] & g->flags_write);
        if (dead && abs(imm) <= 0x3000 && abs(t->delta + imm) <= 0x7000) {
            t->delta += imm;
            return true;
        }
        return false;
    }
    uint8_t dst, src;
    if (g->opcode == 0x89) {
        dst = g->rm;
        src = g->reg;
    } else if (g->opcode == 0x8b) {
        dst = g->reg;
        src = g->rm;
    } else {
        return false;
    }
    if (src == ESP && dst != ESP) {
        tr_lea_esp(t, dst, t->delta);
        return true;
    }
    if (dst == ESP && src != ESP) {
        emit_mov_rr(&t->e, R13, src);
        t->delta = 0;
        return true;
    }
    return false;
}

bool tr_generic(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    if (tr_esp_idiom(t, g))
        return true;
    bool reg_esp = g->reg_kind == GO_GPR && g->reg == ESP;
    bool rm_esp = g->rm_kind == GO_GPR && g->rm == ESP;
    if (reg_esp || rm_esp)
        tr_flush_delta(t);

    struct hop op = {.lock = g->lock,
                     .rep = g->rep,
                     .p66 = g->p66,
                     .map = g->map,
                     .opcode = g->opcode,
                     .modrm = g->has_modrm,
                     .imm_size = g->imm_size,
                     .imm = g->imm};
    if (!g->has_modrm) {
        emit_hop(e, &op);
        return true;
    }
    bool reg_high = g->reg_kind == GO_GPR8 && g->reg >= 4;
    bool rm_high = g->rm_kind == GO_GPR8 && g->rm >= 4;
    op.reg = reg_esp ? R13 : g->reg;
    op.rm = rm_esp ? R13 : g->rm;
    struct hmem m;
    if (g->is_mem) {
        /* BT and friends with a register operand reach beyond their operand */
        bool far_bit =
            g->map == 1 && (g->opcode == 0xa3 || g->opcode == 0xab || g->opcode == 0xb3 || g->opcode == 0xbb);
        if (far_bit && (t->shape[g->seg] != SHAPE_FLAT || g->adsize != 32))
            return false;
        if (!tr_mem(t, g, g->mem_size, g->mem_write, reg_high, &m))
            return false;
        if (!far_bit && !reg_high)
            tr_site_look(t, g, g->mem_size, g->mem_write, &m);
        if (g->map == 1 && g->opcode == 0xae && g->reg == 2) {
            /* LDMXCSR: the host may have bits that the processor shown has not. */
            emit_load32(e, R10, &m);
            tr_check_16(t, R10);
            m = BT_FIELD(mxcsr_new);
            emit_store32(e, &m, R10);
        }
        op.mem = &m;
    }
    if ((reg_high || rm_high) && emit_hop_needs_rex(&op)) {
        /* AH..BH cannot be named beside REX: swap the two bytes, use the low one, swap back. */
        if (!reg_high || !g->is_mem || g->map != 0 || g->opcode > 0x8b)
            return false;
        uint8_t low = g->reg - 4;
        if (m.base == low || m.index == low) {
            emit_lea32(e, R8, &m);
            m.base = R8;
            m.index = HREG_NONE;
            m.scale = 0;
            m.disp = 0;
        }
        struct hop swap = {.opcode = 0x86, .modrm = true, .reg = g->reg, .rm = low};
        emit_hop(e, &swap);
        tr_row(t, ROW_SWAPPED, low);
        op.reg = low;
        emit_hop(e, &op);
        emit_hop(e, &swap);
        return true;
    }
    tr_site_look_divisor(t, g, &op);
    emit_hop(e, &op);
    tr_touch_back(t);
    return true;
}

bool tr_lea(struct tr *t, const struct ginsn *g)
{
    uint8_t dst = host_gpr(g->reg);
    if (g->opsize == 32 && g->reg == ESP && g->base == ESP && g->index == GREG_NONE && g->adsize == 32 &&
        t->fast_stack && abs((int32_t)g->disp) <= 0x3000 && abs(t->delta + (int32_t)g->disp) <= 0x7000) {
        t->delta += (int32_t)g->disp;
        return true;
    }
    if (g->opsize == 32 && g->adsize == 32) {
        tr_ea(t, g, dst);
        if (g->reg == ESP)
            t->delta = 0;
        return true;
    }
    if (g->reg == ESP)
        tr_flush_delta(t);
    tr_ea(t, g, R8);
    emit_hop(&t->e, &(struct hop){.p66 = g->opsize == 16, .opcode = 0x89, .modrm = true, .reg = R8, .rm = dst});
    return true;
}

bool tr_moffs(struct tr *t, const struct ginsn *g)
{
    struct hmem m;
    static const uint8_t opcode[] = {0x8a, 0x8b, 0x88, 0x89};
    unsigned k = g->opcode - 0xa0u;
    unsigned size = k & 1 ? g->opsize / 8 : 1;
    if (!tr_mem(t, g, size, k >= 2, false, &m))
        return false;
    tr_site_look(t, g, size, k >= 2, &m);
    emit_hop(&t->e, &(struct hop){.p66 = size == 2, .opcode = opcode[k], .modrm = true, .reg = RAX, .mem = &m});
    tr_touch_back(t);
    return true;
}

bool tr_xlat(struct tr *t, const struct ginsn *g)
{
    struct hmem m, ea = {.base = RBX, .index = R8};
    emit_movzb(&t->e, R8, RAX);
    emit_lea32(&t->e, R8, &ea);
    if (g->adsize == 16)
        emit_movzw(&t->e, R8, R8);
    if ((g->seg == SEG_CS && !(t->mode & MODE_CS_READ)) || !tr_mem_r8(t, g->seg, g->adsize, 1, &m))
        return false;
    emit_hop(&t->e, &(struct hop){.opcode = 0x8a, .modrm = true, .reg = RAX, .mem = &m});
    return true;
}

/* Instructions with the register in the opcode byte. */
bool tr_opreg(struct tr *t, const struct ginsn *g)
{
    uint8_t r = g->opcode & 7;
    struct emit *e = &t->e;
    switch (g->gclass) {
    case G_OPREG_IMM:
        if (g->opcode < 0xb8) { /* AL..BH */
            emit_hop(e, &(struct hop){.opcode = 0xb0, .rm = r, .imm_size = 1, .imm = g->imm});
        } else if (r == ESP && g->opsize == 32) {
            emit_mov_ri(e, R13, g->imm);
            t->delta = 0;
        } else {
            if (r == ESP)
                tr_flush_delta(t);
            emit_hop(e, &(struct hop){.p66 = g->opsize == 16,
                                      .opcode = 0xb8,
                                      .rm = host_gpr(r),
                                      .imm_size = g->opsize / 8,
                                      .imm = g->imm});
        }
        return true;
    case G_INCDEC:
        if (r == ESP)
            tr_flush_delta(t);
        emit_hop(
            e, &(struct hop){
                   .p66 = g->opsize == 16, .opcode = 0xff, .modrm = true, .reg = g->opcode >= 0x48, .rm = host_gpr(r)});
        return true;
    case G_XCHG_AX:
        if (r == ESP)
            tr_flush_delta(t);
        emit_hop(e,
                 &(struct hop){.p66 = g->opsize == 16, .opcode = 0x87, .modrm = true, .reg = RAX, .rm = host_gpr(r)});
        return true;
    case G_BSWAP:
        if (r == ESP)
            tr_flush_delta(t);
        emit_hop(e, &(struct hop){.map = 1, .opcode = 0xc8, .rm = host_gpr(r)});
        return true;
    }
    return false;
}

/* Segment loads and far transfers in real mode and virtual-8086 mode, where a selector is a base (Intel SDM vol. 3A,
 * 20.1): only on segments of 64 KiB, as nearly all are, so that neither their shapes nor the limit change.
 *
 * A far transfer goes on in the jump table of the new base, which TRAMP_CS finds among those that were used before
 * (bt->cs_slot). Return addresses on the private stack are offsets in the old segment, so it is emptied.
 */
#include "tr.h"

/* What the interpreter makes of a segment register there (seg_set_real). */
#define REAL_ACCESS (ACC_P | ACC_S | ACC_WRITE | ACC_ACCESSED)

static bool is_64k(const struct tr *t, unsigned seg)
{
    return !(t->mode & MODE_PROT) && t->shape[seg] == SHAPE_64K;
}

/* seg = the selector in r (zero-extended), whose base R9 becomes. No flags. */
static void set_seg(struct tr *t, unsigned seg, uint8_t r)
{
    struct emit *e = &t->e;
    struct hmem sel = TR_SEG_FIELD(seg, sel), access = TR_SEG_FIELD(seg, access);
    struct hmem base = TR_SEG_FIELD(seg, base);
    struct hmem times8 = {.base = HREG_NONE, .index = r, .scale = 3}, twice = {.base = R9, .index = R9};
    emit_store16(e, &sel, r);
    if (t->cpl == 3) /* V86 */
        emit_store16_i(e, &access, REAL_ACCESS | ACC_DPL);
    else
        emit_store8_i(e, &access, REAL_ACCESS); /* D/B and G, in the upper byte, survive */
    emit_lea32(e, R9, &times8);
    emit_lea32(e, R9, &twice);
    emit_store32(e, &base, R9);
}

static bool tr_mov_to_seg(struct tr *t, const struct ginsn *g)
{
    if (!is_64k(t, g->reg) || t->fast_stack || !tr_load_selector(t, g))
        return false;
    set_seg(t, g->reg, R10);
    return true;
}

static bool tr_pop_seg(struct tr *t, const struct ginsn *g)
{
    unsigned seg = tr_popped_seg(g);
    if (!is_64k(t, seg) || t->fast_stack || g->opsize != 16 || !tr_pop(t, 2, R10))
        return false;
    set_seg(t, seg, R10);
    return true;
}

/* LES, LDS, LFS, LGS */
static bool tr_load_far(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    unsigned seg = g->map ? g->opcode & 7 /* 0F B4, 0F B5 */ : g->opcode == 0xc4 ? SEG_ES : SEG_DS;
    unsigned size = g->opsize / 8;
    struct hmem m, to_sel;
    if (!is_64k(t, seg) || t->shape[g->seg] != SHAPE_64K || g->reg == ESP || !tr_mem(t, g, size + 2, false, false, &m))
        return false;
    to_sel = m;
    to_sel.disp += (int)size;
    if (size == 4)
        emit_load32(e, R10, &m);
    else
        emit_load16z(e, R10, &m);
    emit_load16z(e, R11, &to_sel);
    if (size == 4)
        emit_mov_rr(e, host_gpr(g->reg), R10);
    else
        emit_hop(e, &(struct hop){.p66 = 1, .opcode = 0x89, .modrm = true, .reg = R10, .rm = host_gpr(g->reg)});
    set_seg(t, seg, R11);
    return true;
}

bool tr_real_can_far(const struct tr *t, const struct ginsn *g)
{
    return is_64k(t, SEG_CS) && is_64k(t, SEG_SS) && t->cs_limit == 0xffff && !t->code32 && !t->stack32 &&
           g->opsize == 16;
}

/* Goes on at R8 in the segment with selector R10. */
static void go_far(struct tr *t)
{
    struct emit *e = &t->e;
    size_t ras = offsetof(struct bt, ras) + (t->cpl == 3) * sizeof(struct ras);
    struct hmem ras_base = cpu_field(ras + offsetof(struct ras, base));
    struct hmem ras_cs_base = cpu_field(ras + offsetof(struct ras, cs_base));
    set_seg(t, SEG_CS, R10);
    if (t->use_table) {
        emit_load64(e, RSP, &ras_base);
        emit_store32(e, &ras_cs_base, R9);
        tr_jmp_out(t, TRAMP_CS);
    } else {
        struct hmem eip = BT_FIELD(cpu.eip), changed = BT_FIELD(cpu.changed);
        emit_store32(e, &eip, R8);
        emit_store32_i(e, &changed, CHANGED_MODE);
        tr_jmp_out(t, TRAMP_LOOKUP);
    }
}

/* Takes the far pointer in R10 apart: R8 = offset, R10 = selector. No flags, which far calls and returns pass on. */
static void split_pointer(struct tr *t)
{
    struct hmem low = BT_FIELD(exit_arg), high = low; /* unused until the next exit */
    high.disp += 2;
    emit_store32(&t->e, &low, R10);
    emit_load16z(&t->e, R8, &low);
    emit_load16z(&t->e, R10, &high);
}

static void set_sp(struct tr *t)
{
    emit_hop(&t->e, &(struct hop){.p66 = 1, .opcode = 0x89, .modrm = true, .reg = R8, .rm = R13});
}

/* CALL and JMP with a pointer in the instruction or in memory. */
static bool tr_far(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    struct hmem m;
    bool call = g->gclass == G_CALL_FAR;
    if (!tr_real_can_far(t, g))
        return false;
    if (g->is_mem) {
        if (t->shape[g->seg] != SHAPE_64K || !tr_mem(t, g, 4, false, false, &m))
            return false;
        emit_load32(e, R10, &m);
    }
    if (call) {
        struct hmem next = {.base = R13, .index = HREG_NONE, .disp = -4};
        struct hmem cs = TR_SEG_FIELD(SEG_CS, sel);
        emit_lea32(e, R8, &next);
        emit_movzw(e, R8, R8);
        if (!tr_mem_r8(t, SEG_SS, 16, 4, &m))
            return false;
        emit_load16z(e, R11, &cs);
        struct hmem higher = m;
        higher.disp += 2;
        emit_store16(e, &higher, R11); /* pushed first */
        emit_store16_i(e, &m, (uint16_t)(g->eip + g->len));
        set_sp(t);
    }
    if (g->is_mem) {
        split_pointer(t);
    } else {
        emit_mov_ri(e, R8, g->imm & 0xffff);
        emit_mov_ri(e, R10, g->far_sel);
    }
    go_far(t);
    return true;
}

static bool tr_ret_far(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    struct hmem m;
    uint32_t extra = g->opcode == 0xca ? g->imm & 0xffff : 0;
    if (!tr_real_can_far(t, g))
        return false;
    emit_movzw(e, R8, R13);
    if (!tr_mem_r8(t, SEG_SS, 16, 4, &m))
        return false;
    struct hmem next = {.base = R8, .index = HREG_NONE, .disp = (int32_t)(4 + extra)}, cs = m;
    cs.disp += 2;
    emit_load16z(e, R10, &cs); /* first, see stack_peek in src/cpu/stack.h */
    emit_load32(e, R10, &m);
    emit_lea32(e, R8, &next);
    set_sp(t);
    split_pointer(t);
    go_far(t);
    return true;
}

bool tr_real(struct tr *t, const struct ginsn *g)
{
    switch (g->gclass) {
    case G_MOV_TO_SEG:
        return tr_mov_to_seg(t, g);
    case G_POP_SEG:
        return tr_pop_seg(t, g);
    case G_LOAD_FAR:
        return tr_load_far(t, g);
    case G_CALL_FAR:
    case G_JMP_FAR:
        return tr_far(t, g);
    case G_RET_FAR:
        return tr_ret_far(t, g);
    }
    return false;
}

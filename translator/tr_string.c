/* MOVS STOS LODS SCAS CMPS, with and without REP.
 *
 * RSI and RDI become host pointers for the instruction. On flat segments with 32-bit addresses the window's
 * base, 4 GiB aligned, falls off again when the low half is taken, also when a fault or an interrupt stops the
 * instruction in the middle (ROW_STRING). Else the guest's registers are kept in R9 to R11 meanwhile and the
 * offsets computed back from the pointers, here and in recover.c (ROW_STRING_SEG).
 */
#include "tr.h"

/* May the string pointer of adsize bits go through seg without a check of each element but the one below? */
static bool seg_fits(const struct tr *t, unsigned seg, unsigned adsize)
{
    uint8_t shape = t->shape[seg];
    if (seg == SEG_CS && !(t->mode & MODE_CS_READ))
        return false;
    return shape == SHAPE_FLAT || shape == SHAPE_BASED || (shape == SHAPE_64K && adsize == 16);
}

/* One element at the offset in reg must not go beyond FFFFh, or 4 GiB. */
static void check_one(struct tr *t, uint8_t reg, unsigned seg, unsigned size, unsigned adsize)
{
    if (size == 1 || (adsize == 32 && t->shape[seg] == SHAPE_FLAT))
        return;
    if (adsize == 32) {
        emit_mov_rr(&t->e, R8, reg);
        tr_check_offset(t, 0u - size);
        return;
    }
    emit_movzw(&t->e, R8, reg);
    tr_probe_64k(t, size);
}

/* (E)CX elements from the offset in reg on must not wrap, nor go downward. Flags are saved around it. */
static void check_all(struct tr *t, bool si, bool di, unsigned size, unsigned adsize)
{
    struct emit *e = &t->e;
    struct hmem flags = hmem_base(RSP, 1), bytes = {.base = HREG_NONE, .index = R8};
    emit_pushfq(e);
    tr_row(t, ROW_GLUE, 0);
    emit_hop(e, &(struct hop){.opcode = 0xf6, .modrm = true, .mem = &flags, .imm_size = 1, .imm = FL_DF >> 8});
    tr_pend_slow(t, emit_jcc_fwd(e, 5), true);
    while (1u << bytes.scale < size)
        bytes.scale++;
    if (adsize == 16)
        emit_movzw(e, R8, RCX);
    else
        emit_mov_rr(e, R8, RCX);
    if (bytes.scale && adsize == 16)
        emit_lea32(e, R8, &bytes);
    else if (bytes.scale)
        emit_lea64(e, R8, &bytes);
    for (unsigned k = 0; k < 2; k++) {
        struct hmem end = {.base = R9, .index = R8};
        if (!(k ? di : si))
            continue;
        if (adsize == 16) {
            emit_movzw(e, R9, k ? RDI : RSI);
            emit_lea32(e, R9, &end);
            emit_alu_ri(e, 7, R9, 0x10000);
            tr_pend_slow(t, emit_jcc_fwd(e, 7), true);
        } else { /* nothing but zeros above bit 31 of the last byte's offset */
            end.disp = -1;
            emit_mov_rr(e, R9, k ? RDI : RSI);
            emit_lea64(e, R9, &end);
            emit_shift64_i(e, false, R9, 32);
            tr_pend_slow(t, emit_jcc_fwd(e, 5), true);
        }
    }
    tr_popfq(t);
}

/* The offset in reg, of adsize bits, in seg: reg becomes a host pointer. */
static void to_pointer(struct tr *t, uint8_t reg, unsigned seg, unsigned adsize)
{
    struct emit *e = &t->e;
    struct hmem linear = {.base = R8, .index = reg}, pointer = {.base = R14, .index = reg};
    struct hmem base = tr_seg_base(seg);
    if (adsize == 16)
        emit_movzw(e, reg, reg);
    if (t->shape[seg] != SHAPE_FLAT) {
        emit_load32(e, R8, &base);
        emit_lea32(e, reg, &linear);
    }
    emit_lea64(e, reg, &pointer);
}

/* And back: the new offset, in as many bits as it has; the rest of the register from saved. */
static void to_offset(struct tr *t, uint8_t reg, unsigned seg, unsigned adsize, uint8_t saved)
{
    struct emit *e = &t->e;
    struct hmem offset = {.base = reg, .index = R8, .disp = 1}, base = tr_seg_base(seg);
    if (t->shape[seg] != SHAPE_FLAT) {
        emit_load32(e, R8, &base);
        emit_not(e, R8);
        emit_lea32(e, R8, &offset);
    } else {
        emit_mov_rr(e, R8, reg);
    }
    if (adsize == 16) {
        emit_mov_rr(e, reg, saved);
        emit_hop(e, &(struct hop){.p66 = 1, .opcode = 0x89, .modrm = true, .reg = R8, .rm = reg});
    } else {
        emit_mov_rr(e, reg, R8);
    }
}

static bool string_by_segments(struct tr *t, const struct ginsn *g, bool si, bool di)
{
    struct emit *e = &t->e;
    unsigned size = g->opcode & 1 ? g->opsize / 8 : 1;
    if ((si && !seg_fits(t, g->seg, g->adsize)) || (di && !seg_fits(t, SEG_ES, g->adsize)))
        return false;
    /* What runs off a flat segment runs off the window. In one with a base linear addresses go on where offsets wrap at
     * 4 GiB; only an element across that is wrong. */
    bool si_wraps = si && (g->adsize == 16 || (t->shape[g->seg] == SHAPE_BASED && size > 1));
    bool di_wraps = di && (g->adsize == 16 || (t->shape[SEG_ES] == SHAPE_BASED && size > 1));
    if (g->rep && (si_wraps || di_wraps)) {
        check_all(t, si_wraps, di_wraps, size, g->adsize);
    } else {
        if (si)
            check_one(t, RSI, g->seg, size, g->adsize);
        if (di)
            check_one(t, RDI, SEG_ES, size, g->adsize);
    }
    emit_mov_rr(e, R9, RCX);
    if (si)
        emit_mov_rr(e, R10, RSI);
    if (di)
        emit_mov_rr(e, R11, RDI);
    uint8_t arg = (uint8_t)((si ? g->seg : 0) | (si ? STRING_SI : 0) | (di ? STRING_DI : 0) |
                            (g->adsize == 16 ? STRING_16 : 0) | (g->rep ? STRING_REP : 0));
    if (si)
        to_pointer(t, RSI, g->seg, g->adsize);
    if (di)
        to_pointer(t, RDI, SEG_ES, g->adsize);
    if (g->rep && g->adsize == 16)
        emit_movzw(e, RCX, RCX);
    tr_row(t, ROW_STRING_SEG, arg);
    emit_hop(e, &(struct hop){.rep = g->rep, .p66 = size == 2, .opcode = g->opcode});
    tr_row(t, ROW_GLUE, 0);
    if (si)
        to_offset(t, RSI, g->seg, g->adsize, R10);
    if (di)
        to_offset(t, RDI, SEG_ES, g->adsize, R11);
    if (g->rep && g->adsize == 16) {
        emit_mov_rr(e, R8, RCX);
        emit_mov_rr(e, RCX, R9);
        emit_hop(e, &(struct hop){.p66 = 1, .opcode = 0x89, .modrm = true, .reg = R8, .rm = RCX});
    }
    return true;
}

bool tr_string(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    uint8_t op = g->opcode & 0xfe;
    bool si = op == 0xa4 || op == 0xa6 || op == 0xac;
    bool di = op != 0xac;
    bool flat =
        (!si || (t->shape[g->seg] == SHAPE_FLAT && g->seg != SEG_CS)) && (!di || t->shape[SEG_ES] == SHAPE_FLAT);
    if (g->adsize != 32 || !flat)
        return string_by_segments(t, g, si, di);
    struct hmem src = {.base = R14, .index = RSI}, dst = {.base = R14, .index = RDI};
    bool stores = op == 0xa4 || op == 0xaa, bulk = stores && g->rep; /* MOVS, STOS */
    if (si)
        tr_site_look_at(t, RSI, false, g->rep, bulk);
    if (di)
        tr_site_look_at(t, RDI, stores, g->rep, bulk);
    if (si)
        emit_lea64(e, RSI, &src);
    if (di)
        emit_lea64(e, RDI, &dst);
    tr_row(t, ROW_STRING, 0);
    emit_hop(e, &(struct hop){.rep = g->rep, .p66 = (g->opcode & 1) && g->opsize == 16, .opcode = g->opcode});
    tr_row(t, ROW_GLUE, 0);
    if (si)
        emit_mov_rr(e, RSI, RSI);
    if (di)
        emit_mov_rr(e, RDI, RDI);
    return true;
}

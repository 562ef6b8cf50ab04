/* Memory operands: the guest's address in a form of the host's, checked as the segment's shape asks. */
#include "tr.h"

/* A load from a mapping that ends at FFFFh finds out without touching flags or a second register. */
void tr_probe_64k(struct tr *t, unsigned size)
{
    if (size < 2)
        return;
    struct hmem last = {.base = R8, .index = HREG_NONE, .disp = (int32_t)(tcache_probe() + size - 1)};
    emit_hop(&t->e, &(struct hop){.map = 1, .opcode = 0xb6, .modrm = true, .reg = R9, .mem = &last});
}

void tr_check_offset(struct tr *t, uint32_t last)
{
    struct emit *e = &t->e;
    bool live = t->live_in[t->i] != 0;
    if (live) {
        emit_pushfq(e);
        tr_row(t, ROW_GLUE, 0);
    }
    emit_alu_ri(e, 7, R8, (int32_t)last);
    tr_pend_slow(t, emit_jcc_fwd(e, 7 /* above */), live);
    if (live)
        tr_popfq(t);
}

bool tr_mem_r8(struct tr *t, uint8_t seg, unsigned adsize, unsigned size, struct hmem *m)
{
    struct emit *e = &t->e;
    uint8_t shape = t->shape[seg];
    bool checked = shape == SHAPE_CHECKED || shape == SHAPE_64K;
    if (shape == SHAPE_SLOW || (checked && !size))
        return false;
    if (shape == SHAPE_FLAT) {
        *m = (struct hmem){.base = R14, .index = R8}; /* R8 is zero-extended: no wrap possible */
        return true;
    }
    if (shape == SHAPE_64K && adsize == 16) {
        tr_probe_64k(t, size);
    } else if (checked) {
        bool live = t->live_in[t->i] != 0;
        if (live) {
            emit_pushfq(e);
            tr_row(t, ROW_GLUE, 0);
        }
        struct hmem last = {.base = R8, .index = HREG_NONE, .disp = (int32_t)size - 1};
        struct hmem limit = TR_SEG_FIELD(seg, limit);
        emit_lea64(e, R9, &last);
        emit_load32(e, R11, &limit);
        emit_alu_rr64(e, 7, R9, R11);
        tr_pend_slow(t, emit_jcc_fwd(e, 7 /* above */), live);
        if (live)
            tr_popfq(t);
    } else if (adsize == 32 && size > 1) {
        tr_check_offset(t, 0u - size); /* SHAPE_BASED: linear addresses wrap at 4 GiB, offsets do not */
    }
    struct hmem base = tr_seg_base(seg);
    emit_load32(e, R9, &base);
    *m = (struct hmem){.gs = true, .a32 = true, .base = R9, .index = R8};
    return true;
}

/* The effective address (offset) of g into host register dst. */
void tr_ea(struct tr *t, const struct ginsn *g, uint8_t dst)
{
    struct hmem m = {.base = HREG_NONE, .index = HREG_NONE, .disp = (int32_t)g->disp};
    if (g->base != GREG_NONE) {
        m.base = host_gpr(g->base);
        if (g->base == ESP)
            m.disp += t->delta;
    }
    if (g->index != GREG_NONE) {
        m.index = host_gpr(g->index);
        m.scale = g->scale;
    }
    if (m.base == HREG_NONE && m.index == HREG_NONE)
        emit_mov_ri(&t->e, dst, (uint32_t)m.disp);
    else
        emit_lea32(&t->e, dst, &m);
    if (g->adsize == 16)
        emit_movzw(&t->e, dst, dst);
}

bool tr_mem(struct tr *t, const struct ginsn *g, unsigned size, bool write, bool no_rex, struct hmem *m)
{
    uint8_t shape = t->shape[g->seg];
    /* Through CS: reads if it is readable, writes only outside protected mode. */
    if (g->seg == SEG_CS && (!(t->mode & MODE_CS_READ) || (write && (t->mode & MODE_PROT))))
        return false;
    bool checked = shape == SHAPE_CHECKED || shape == SHAPE_64K;
    if (shape == SHAPE_SLOW || (checked && !size))
        return false;
    bool known = g->base == GREG_NONE && g->index == GREG_NONE; /* the offset, now */
    if (shape == SHAPE_BASED && known && size && g->disp > 0u - size)
        return false; /* beyond 4 GiB */
    if (g->adsize == 16 || checked || (shape == SHAPE_BASED && !known && size > 1)) {
        tr_ea(t, g, R8);
        return tr_mem_r8(t, g->seg, g->adsize, size, m);
    }
    *m = (struct hmem){.gs = true, .a32 = true, .base = HREG_NONE, .index = HREG_NONE, .disp = (int32_t)g->disp};
    if (g->base != GREG_NONE) {
        m->base = host_gpr(g->base);
        if (g->base == ESP)
            m->disp += t->delta;
    }
    if (g->index != GREG_NONE) {
        m->index = host_gpr(g->index);
        m->scale = g->scale;
    }
    if (shape == SHAPE_FLAT) {
        /* One cycle less latency than a segment base: FACTS, "hyb". Wrap-correct without 67. */
        if (m->base != HREG_NONE && m->index == HREG_NONE && !m->disp && !no_rex)
            *m = (struct hmem){.base = R14, .index = m->base};
        return true;
    }
    /* SHAPE_BASED: the segment base goes into whichever part of the address is free. */
    struct hmem base = tr_seg_base(g->seg);
    if (m->base != HREG_NONE && m->index != HREG_NONE) {
        emit_lea32(&t->e, R8, m);
        *m = (struct hmem){.gs = true, .a32 = true, .base = R8, .index = HREG_NONE};
    }
    emit_load32(&t->e, R9, &base);
    if (m->base == HREG_NONE) {
        m->base = R9;
    } else {
        m->index = R9;
        m->scale = 0;
    }
    return true;
}

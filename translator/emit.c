/* Host code emitter: the one owner of host opcode bytes (AMD64 APM vol. 3, chapter 1). */
#include "emit.h"

#include <string.h>

#include "log.h"

void emit8(struct emit *e, uint8_t byte)
{
    if (unlikely(e->pos >= e->end)) {
        e->full = true;
        return;
    }
    *e->pos++ = byte;
}

void emit_nop(struct emit *e)
{
    emit8(e, 0x90);
}

void emit_align(struct emit *e, unsigned alignment)
{
    /* The recommended multi-byte NOPs: SDM vol. 2B, NOP, table 4-12. */
    static const uint8_t nops[9][9] = {{0x90},
                                       {0x66, 0x90},
                                       {0x0f, 0x1f, 0x00},
                                       {0x0f, 0x1f, 0x40, 0x00},
                                       {0x0f, 0x1f, 0x44, 0x00, 0x00},
                                       {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
                                       {0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00},
                                       {0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
                                       {0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00}};
    unsigned n = (unsigned)(-(uintptr_t)emit_rx(e) & (alignment - 1));
    while (n) {
        unsigned part = n < 9 ? n : 9;
        for (unsigned i = 0; i < part; i++)
            emit8(e, nops[part - 1][i]);
        n -= part;
    }
}

void emit32(struct emit *e, uint32_t value)
{
    if (unlikely(e->end - e->pos < 4)) {
        e->full = true;
        e->pos = e->end;
        return;
    }
    memcpy(e->pos, &value, 4);
    e->pos += 4;
}

static uint8_t hop_rex(const struct hop *op)
{
    uint8_t rex = 0;
    if (op->w)
        rex |= 8;
    if (op->modrm) {
        if (op->reg & 8)
            rex |= 4;
        if (op->mem) {
            if (op->mem->base != HREG_NONE && (op->mem->base & 8))
                rex |= 1;
            if (op->mem->index != HREG_NONE && (op->mem->index & 8))
                rex |= 2;
        } else if (op->rm & 8) {
            rex |= 1;
        }
    } else if (op->rm & 8) {
        rex |= 1; /* register in the opcode byte */
    }
    return rex;
}

bool emit_hop_needs_rex(const struct hop *op)
{
    return op->rex || hop_rex(op) != 0;
}

static uint8_t *put32(uint8_t *p, uint32_t value)
{
    memcpy(p, &value, 4);
    return p + 4;
}

static uint8_t *put_modrm_mem(uint8_t *p, uint8_t reg, const struct hmem *m)
{
    uint8_t r = (uint8_t)((reg & 7) << 3);
    if (m->base == HREG_NONE) {
        /* SIB without base: disp32. mod=00 rm=101 would be RIP-relative in 64-bit mode. */
        *p++ = r | 4;
        *p++ = (uint8_t)((m->scale << 6) | ((m->index == HREG_NONE ? 4 : m->index & 7) << 3) | 5);
        return put32(p, (uint32_t)m->disp);
    }
    bool sib = m->index != HREG_NONE || (m->base & 7) == 4;
    uint8_t mod = m->disp == 0 && (m->base & 7) != 5 ? 0 : m->disp == (int8_t)m->disp ? 1 : 2;
    *p++ = (uint8_t)((mod << 6) | r | (sib ? 4 : m->base & 7));
    if (sib)
        *p++ = (uint8_t)((m->scale << 6) | ((m->index == HREG_NONE ? 4 : m->index & 7) << 3) | (m->base & 7));
    if (mod == 1)
        *p++ = (uint8_t)m->disp;
    else if (mod == 2)
        p = put32(p, (uint32_t)m->disp);
    return p;
}

void emit_hop(struct emit *e, const struct hop *op)
{
    /* One look at the room left instead of one for each byte; near the end the bytes are made elsewhere. */
    uint8_t elsewhere[24];
    bool near_end = unlikely(e->end - e->pos < (ptrdiff_t)sizeof elsewhere);
    uint8_t *start = near_end ? elsewhere : e->pos, *p = start;
    if (op->lock)
        *p++ = 0xf0;
    if (op->mem) {
        assert_always(op->mem->index != RSP);
        if (op->mem->gs)
            *p++ = 0x65;
        if (op->mem->a32)
            *p++ = 0x67;
    }
    if (op->p66)
        *p++ = 0x66;
    if (op->rep)
        *p++ = op->rep;
    uint8_t rex = hop_rex(op);
    if (rex || op->rex)
        *p++ = 0x40 | rex;
    if (op->map) {
        *p++ = 0x0f;
        if (op->map == 2)
            *p++ = 0x38;
        else if (op->map == 3)
            *p++ = 0x3a;
    }
    if (op->modrm) {
        *p++ = op->opcode;
        if (op->mem)
            p = put_modrm_mem(p, op->reg, op->mem);
        else
            *p++ = (uint8_t)(0xc0 | ((op->reg & 7) << 3) | (op->rm & 7));
    } else {
        *p++ = op->opcode | (op->rm & 7);
    }
    if (op->imm_size == 1) {
        *p++ = (uint8_t)op->imm;
    } else if (op->imm_size == 2) {
        *p++ = (uint8_t)op->imm;
        *p++ = (uint8_t)(op->imm >> 8);
    } else if (op->imm_size == 4) {
        p = put32(p, op->imm);
    }
    if (!near_end)
        e->pos = p;
    else
        for (const uint8_t *q = elsewhere; q < p; q++)
            emit8(e, *q);
}

static void emit_rr(struct emit *e, uint8_t map, uint8_t opcode, bool w, uint8_t reg, uint8_t rm)
{
    emit_hop(e, &(struct hop){.map = map, .opcode = opcode, .modrm = true, .w = w, .reg = reg, .rm = rm});
}

static void emit_rm(struct emit *e, uint8_t map, uint8_t opcode, bool w, uint8_t reg, const struct hmem *mem)
{
    emit_hop(e, &(struct hop){.map = map, .opcode = opcode, .modrm = true, .w = w, .reg = reg, .mem = mem});
}

void emit_mov_rr(struct emit *e, uint8_t dst, uint8_t src)
{
    emit_rr(e, 0, 0x89, false, src, dst);
}

void emit_mov_rr64(struct emit *e, uint8_t dst, uint8_t src)
{
    emit_rr(e, 0, 0x89, true, src, dst);
}

void emit_mov_ri(struct emit *e, uint8_t dst, uint32_t imm)
{
    emit_hop(e, &(struct hop){.opcode = 0xb8, .rm = dst, .imm_size = 4, .imm = imm});
}

void emit_not(struct emit *e, uint8_t reg)
{
    emit_hop(e, &(struct hop){.opcode = 0xf7, .modrm = true, .reg = 2, .rm = reg});
}

void emit_load32(struct emit *e, uint8_t dst, const struct hmem *src)
{
    emit_rm(e, 0, 0x8b, false, dst, src);
}

void emit_load64(struct emit *e, uint8_t dst, const struct hmem *src)
{
    emit_rm(e, 0, 0x8b, true, dst, src);
}

void emit_load16z(struct emit *e, uint8_t dst, const struct hmem *src)
{
    emit_rm(e, 1, 0xb7, false, dst, src);
}

void emit_store32(struct emit *e, const struct hmem *dst, uint8_t src)
{
    emit_rm(e, 0, 0x89, false, src, dst);
}

void emit_store16(struct emit *e, const struct hmem *dst, uint8_t src)
{
    emit_hop(e, &(struct hop){.p66 = 1, .opcode = 0x89, .modrm = true, .reg = src, .mem = dst});
}

void emit_store64(struct emit *e, const struct hmem *dst, uint8_t src)
{
    emit_rm(e, 0, 0x89, true, src, dst);
}

void emit_store32_i(struct emit *e, const struct hmem *dst, uint32_t imm)
{
    emit_hop(e, &(struct hop){.opcode = 0xc7, .modrm = true, .mem = dst, .imm_size = 4, .imm = imm});
}

void emit_store8_i(struct emit *e, const struct hmem *dst, uint8_t imm)
{
    emit_hop(e, &(struct hop){.opcode = 0xc6, .modrm = true, .mem = dst, .imm_size = 1, .imm = imm});
}

void emit_wrgsbase(struct emit *e, uint8_t src)
{
    emit_hop(e, &(struct hop){.rep = 0xf3, .w = true, .map = 1, .opcode = 0xae, .modrm = true, .reg = 3, .rm = src});
}

void emit_store16_i(struct emit *e, const struct hmem *dst, uint16_t imm)
{
    emit_hop(e, &(struct hop){.p66 = 1, .opcode = 0xc7, .modrm = true, .mem = dst, .imm_size = 2, .imm = imm});
}

void emit_lea32(struct emit *e, uint8_t dst, const struct hmem *src)
{
    struct hmem m = *src;
    m.gs = m.a32 = false; /* a 32-bit destination wraps by itself */
    emit_rm(e, 0, 0x8d, false, dst, &m);
}

void emit_lea64(struct emit *e, uint8_t dst, const struct hmem *src)
{
    struct hmem m = *src;
    m.gs = m.a32 = false;
    emit_rm(e, 0, 0x8d, true, dst, &m);
}

void emit_movzw(struct emit *e, uint8_t dst, uint8_t src)
{
    emit_rr(e, 1, 0xb7, false, dst, src);
}

void emit_movzb(struct emit *e, uint8_t dst, uint8_t src)
{
    emit_hop(e, &(struct hop){.map = 1, .opcode = 0xb6, .modrm = true, .reg = dst, .rm = src, .rex = src >= 4});
}

void emit_alu_rr(struct emit *e, unsigned op, uint8_t dst, uint8_t src)
{
    emit_rr(e, 0, (uint8_t)(op << 3 | 1), false, src, dst);
}

void emit_alu_rr64(struct emit *e, unsigned op, uint8_t dst, uint8_t src)
{
    emit_rr(e, 0, (uint8_t)(op << 3 | 1), true, src, dst);
}

void emit_alu_ri(struct emit *e, unsigned op, uint8_t dst, int32_t imm)
{
    bool small = imm == (int8_t)imm;
    emit_hop(e, &(struct hop){.opcode = small ? 0x83 : 0x81,
                              .modrm = true,
                              .reg = (uint8_t)op,
                              .rm = dst,
                              .imm_size = small ? 1 : 4,
                              .imm = (uint32_t)imm});
}

void emit_alu_rm64(struct emit *e, unsigned op, uint8_t dst, const struct hmem *src)
{
    emit_rm(e, 0, (uint8_t)(op << 3 | 3), true, dst, src);
}

void emit_alu_mr(struct emit *e, unsigned op, const struct hmem *dst, uint8_t src)
{
    emit_rm(e, 0, (uint8_t)(op << 3 | 1), false, src, dst);
}

void emit_shrx(struct emit *e, bool wide, uint8_t dst, uint8_t src, uint8_t count)
{
    /* VEX.LZ.F2.0F38 F7 /r, the three-byte prefix with R, B and vvvv inverted */
    emit8(e, 0xc4);
    emit8(e, (uint8_t)((dst & 8 ? 0 : 0x80) | 0x40 | (src & 8 ? 0 : 0x20) | 2));
    emit8(e, (uint8_t)((wide ? 0x80 : 0) | (~count & 15) << 3 | 3));
    emit8(e, 0xf7);
    emit8(e, (uint8_t)(0xc0 | (dst & 7) << 3 | (src & 7)));
}

void emit_imul_rm(struct emit *e, uint8_t reg, const struct hmem *src)
{
    emit_hop(e, &(struct hop){.map = 1, .opcode = 0xaf, .modrm = true, .reg = reg, .mem = src});
}

void emit_alu_mi(struct emit *e, unsigned op, const struct hmem *dst, int32_t imm)
{
    bool small = imm == (int8_t)imm;
    emit_hop(e, &(struct hop){.opcode = small ? 0x83 : 0x81,
                              .modrm = true,
                              .reg = (uint8_t)op,
                              .mem = dst,
                              .imm_size = small ? 1 : 4,
                              .imm = (uint32_t)imm});
}

void emit_alu_rm(struct emit *e, unsigned op, uint8_t dst, const struct hmem *src)
{
    emit_rm(e, 0, (uint8_t)(op << 3 | 3), false, dst, src);
}

void emit_cmp_mi(struct emit *e, unsigned size, const struct hmem *mem, uint32_t imm)
{
    emit_hop(e, &(struct hop){.p66 = size == 2,
                              .opcode = size == 1 ? 0x80 : 0x81,
                              .modrm = true,
                              .reg = 7,
                              .mem = mem,
                              .imm_size = (uint8_t)size,
                              .imm = imm});
}

void emit_test_ri(struct emit *e, uint8_t reg, uint32_t imm)
{
    emit_hop(e, &(struct hop){.opcode = 0xf7, .modrm = true, .rm = reg, .imm_size = 4, .imm = imm});
}

void emit_push(struct emit *e, uint8_t reg)
{
    emit_hop(e, &(struct hop){.opcode = 0x50, .rm = reg});
}

void emit_pop(struct emit *e, uint8_t reg)
{
    emit_hop(e, &(struct hop){.opcode = 0x58, .rm = reg});
}

void emit_pushfq(struct emit *e)
{
    emit8(e, 0x9c);
}

void emit_cld(struct emit *e)
{
    emit8(e, 0xfc);
}

void emit_popfq(struct emit *e)
{
    emit8(e, 0x9d);
}

static uint8_t *emit_rel32(struct emit *e)
{
    uint8_t *at = e->pos;
    emit32(e, 0);
    return at;
}

uint8_t *emit_jmp_fwd(struct emit *e)
{
    emit8(e, 0xe9);
    return emit_rel32(e);
}

uint8_t *emit_jcc_fwd(struct emit *e, unsigned cc)
{
    emit8(e, 0x0f);
    emit8(e, (uint8_t)(0x80 | cc));
    return emit_rel32(e);
}

uint8_t *emit_call_fwd(struct emit *e)
{
    emit8(e, 0xe8);
    return emit_rel32(e);
}

void emit_jmp(struct emit *e, const void *target_rx)
{
    uint8_t *at = emit_jmp_fwd(e);
    if (!e->full)
        emit_patch(at, e->rx_delta, target_rx);
}

void emit_jcc(struct emit *e, unsigned cc, const void *target_rx)
{
    uint8_t *at = emit_jcc_fwd(e, cc);
    if (!e->full)
        emit_patch(at, e->rx_delta, target_rx);
}

void emit_call(struct emit *e, const void *target_rx)
{
    uint8_t *at = emit_call_fwd(e);
    if (!e->full)
        emit_patch(at, e->rx_delta, target_rx);
}

void emit_jmp_reg(struct emit *e, uint8_t reg)
{
    emit_rr(e, 0, 0xff, false, 4, reg);
}

void emit_call_reg(struct emit *e, uint8_t reg)
{
    emit_rr(e, 0, 0xff, false, 2, reg);
}

void emit_ret(struct emit *e)
{
    emit8(e, 0xc3);
}

uint8_t *emit_jecxz_fwd(struct emit *e)
{
    emit8(e, 0x67);
    emit8(e, 0xe3);
    uint8_t *at = e->pos;
    emit8(e, 0);
    return at;
}

uint8_t *emit_loop_fwd(struct emit *e, uint8_t opcode)
{
    emit8(e, 0x67); /* ECX, not RCX */
    emit8(e, opcode);
    emit8(e, 2);
    emit8(e, 0xeb);
    emit8(e, 5);
    return emit_jmp_fwd(e);
}

void emit_shift64_i(struct emit *e, bool left, uint8_t reg, uint8_t count)
{
    emit_hop(
        e, &(struct hop){
               .w = true, .opcode = 0xc1, .modrm = true, .reg = left ? 4 : 5, .rm = reg, .imm_size = 1, .imm = count});
}

void emit_rdtsc(struct emit *e)
{
    emit8(e, 0x0f);
    emit8(e, 0x31);
}

void emit_fix(struct emit *e, uint8_t *rel32)
{
    if (e->full)
        return;
    uint32_t rel = (uint32_t)(e->pos - (rel32 + 4));
    memcpy(rel32, &rel, 4);
}

void emit_fix8(struct emit *e, uint8_t *rel8)
{
    if (e->full)
        return;
    assert_always(e->pos - (rel8 + 1) < 128);
    *rel8 = (uint8_t)(e->pos - (rel8 + 1));
}

void emit_patch(uint8_t *rel32_rw, intptr_t rx_delta, const void *target_rx)
{
    intptr_t rel = (intptr_t)target_rx - (intptr_t)(rel32_rw + 4 + rx_delta);
    assert_always(rel == (int32_t)rel);
    uint32_t value = (uint32_t)rel;
    /* One aligned-or-not 4-byte store: only the vCPU thread executes this code, and it is here. */
    memcpy(rel32_rw, &value, 4);
}

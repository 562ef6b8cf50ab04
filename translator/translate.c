/* Guest code to host code, one extended block at a time: decode, analyse, emit, commit.
 *
 * A block runs from its entry past calls and not-taken branches to the first unconditional jump, the
 * end of the page, or an instruction that is the interpreter's. See translator.h for the invariants.
 */
#include <glib.h>
#include <string.h>

#include "log.h"
#include "mem.h"
#include "tr.h"

static code_page_fn *code_page;

void tr_set_code_page(code_page_fn *fn)
{
    code_page = fn;
}

/* --- the mode --- */

static enum seg_shape seg_shape_of(const struct cpu *cpu, unsigned s)
{
    const struct seg *seg = &cpu->seg[s];
    if (!(seg->access & ACC_P) || !(seg->access & ACC_S))
        return SHAPE_SLOW;
    if (s == SEG_CS) {
        if (seg->limit == UINT32_MAX)
            return seg->base ? SHAPE_BASED : SHAPE_FLAT;
        /* Real and V86 mode, 16-bit segments: EIP wraps or faults only at the very end. */
        return seg->limit >= 0xffff && !(seg->access & ACC_DB) ? SHAPE_BASED : SHAPE_SLOW;
    }
    if ((seg->access & ACC_CODE) || !(seg->access & ACC_WRITE) || (seg->access & ACC_EXPDOWN))
        return cpu_is_protected(cpu) ? SHAPE_SLOW : SHAPE_CHECKED;
    if (seg->limit == UINT32_MAX)
        return seg->base ? SHAPE_BASED : SHAPE_FLAT;
    return SHAPE_CHECKED;
}

uint32_t bt_mode(const struct bt *bt, bool *ok)
{
    const struct cpu *cpu = &bt->cpu;
    uint32_t mode = (uint32_t)cpu->cpl << MODE_CPL_SHIFT;
    if (cpu_code32(cpu))
        mode |= MODE_CODE32;
    if (cpu_stack32(cpu))
        mode |= MODE_STACK32;
    if (cpu_is_paging(cpu))
        mode |= MODE_PAGING;
    if (cpu_is_protected(cpu))
        mode |= MODE_PROT;
    if (cpu->cr0 & (CR0_EM | CR0_TS))
        mode |= MODE_NOFPU;
    if (!bt->fpu_on)
        mode |= MODE_FPU_OFF;
    if (!(cpu->cr4 & CR4_OSFXSR))
        mode |= MODE_NOSSE;
    if ((cpu->cr4 & CR4_TSD) && cpu->cpl)
        mode |= MODE_TSD;
    if (!cpu_is_v86(cpu) && cpu->cpl <= (cpu->eflags & FL_IOPL) >> FL_IOPL_SHIFT)
        mode |= MODE_IOPL_OK;
    for (unsigned s = SEG_ES; s <= SEG_GS; s++)
        mode |= (uint32_t)seg_shape_of(cpu, s) << (MODE_SHAPE_SHIFT + 2 * s);
    *ok = (mode >> (MODE_SHAPE_SHIFT + 2 * SEG_CS) & 3) != SHAPE_SLOW && !(cpu->eflags & FL_TF) &&
          !((cpu->eflags & FL_AC) && (cpu->cr0 & CR0_AM) && cpu->cpl == 3) &&
          !(cpu->dr[7] & 0xff) && !cpu->a20_masked;
    return mode;
}

void bt_split_flags(struct bt *bt)
{
    uint32_t fl = bt->cpu.eflags;
    bt->host_flags = (fl & (FL_ARITH | FL_DF)) | FL_FIXED1 | FL_IF;
    bt->vif = fl & FL_IF;
    /* RF ends with the next instruction that completes; without breakpoints nothing else sees it. */
    bt->sysflags = fl & ~(FL_ARITH | FL_DF | FL_IF | FL_RF);
}

void bt_merge_flags(struct bt *bt)
{
    bt->cpu.eflags = (bt->host_flags & (FL_ARITH | FL_DF)) | bt->vif | bt->sysflags;
}

/* --- shared helpers --- */

void tr_row(struct tr *t, enum row_kind kind, uint8_t arg)
{
    uint32_t host = (uint32_t)(t->e.pos - t->start_rw);
    struct trow *last = t->row_count ? &t->row[t->row_count - 1] : NULL;
    if (!last || last->host != host) {
        assert_always(t->row_count < TR_MAX_ROWS);
        last = &t->row[t->row_count++];
    }
    *last = (struct trow){.host = host,
                          .insn = (uint16_t)t->i,
                          .delta = (int16_t)t->delta,
                          .kind = (uint8_t)kind,
                          .arg = arg};
}

void tr_popfq(struct tr *t)
{
    tr_row(t, ROW_POPF, 0);
    emit_popfq(&t->e);
    tr_row(t, ROW_GLUE, 0);
}

void tr_flush_delta(struct tr *t)
{
    if (!t->delta)
        return;
    struct hmem m = {.base = R13, .index = HREG_NONE, .disp = t->delta};
    emit_lea32(&t->e, R13, &m);
    t->delta = t->insn_delta = 0;
    tr_row(t, ROW_INSN, 0);
}

void tr_pend(struct tr *t, enum pend_kind kind, uint8_t *rel32, uint32_t target)
{
    assert_always(t->pend_count < TR_MAX_PENDS);
    t->pend[t->pend_count++] = (struct pend){.rel32 = rel32, .target = target, .kind = (uint8_t)kind};
}

void tr_pend_slow(struct tr *t, uint8_t *rel32, bool pop_flags)
{
    tr_pend(t, PEND_SLOW, rel32, 0);
    struct pend *p = &t->pend[t->pend_count - 1];
    p->delta = (int16_t)t->insn_delta;
    p->eip = t->g[t->i].eip;
    p->pop_flags = pop_flags;
}

static void emit_exit(struct tr *t, uint32_t eip, enum tramp tramp)
{
    struct hmem m = BT_FIELD(cpu.eip);
    emit_store32_i(&t->e, &m, eip);
    emit_jmp(&t->e, tcache_tramp(tramp));
}

void tr_interp(struct tr *t)
{
    const struct ginsn *g = &t->g[t->i];
    tr_flush_delta(t);
    emit_exit(t, g->eip, g->fpu && (t->mode & MODE_FPU_OFF) && !(t->mode & MODE_NOFPU) ? TRAMP_FPU : TRAMP_INTERP);
}

/* --- memory operands --- */

bool tr_mem_r8(struct tr *t, uint8_t seg, unsigned size, struct hmem *m)
{
    struct emit *e = &t->e;
    uint8_t shape = t->shape[seg];
    if (shape == SHAPE_SLOW || (shape == SHAPE_CHECKED && !size))
        return false;
    if (shape == SHAPE_FLAT) {
        *m = (struct hmem){.base = R14, .index = R8}; /* R8 is zero-extended: no wrap possible */
        return true;
    }
    if (shape == SHAPE_CHECKED) {
        bool live = t->live_in[t->i] != 0;
        if (live) {
            emit_pushfq(e);
            tr_row(t, ROW_GLUE, 0);
        }
        struct hmem last = {.base = R8, .index = HREG_NONE, .disp = (int32_t)size - 1};
        struct hmem limit = cpu_field(offsetof(struct cpu, seg) + seg * sizeof(struct seg) +
                                      offsetof(struct seg, limit));
        emit_lea64(e, R9, &last);
        emit_load32(e, R11, &limit);
        emit_alu_rr64(e, 7, R9, R11);
        tr_pend_slow(t, emit_jcc_fwd(e, 7 /* above */), live);
        if (live)
            tr_popfq(t);
    }
    struct hmem base =
        cpu_field(offsetof(struct cpu, seg) + seg * sizeof(struct seg) + offsetof(struct seg, base));
    emit_load32(e, R9, &base);
    *m = (struct hmem){.gs = true, .a32 = true, .base = R9, .index = R8};
    return true;
}

/* The effective address (offset) of g into host register dst. */
static void tr_ea(struct tr *t, const struct ginsn *g, uint8_t dst)
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
    uint8_t shape = g->seg == SEG_CS ? SHAPE_SLOW : t->shape[g->seg];
    if (g->seg == SEG_CS && t->shape[SEG_CS] == SHAPE_FLAT && !write)
        shape = SHAPE_FLAT; /* readability of CS is checked at load for flat kernels: see below */
    if (g->seg == SEG_CS && !(t->bt->cpu.seg[SEG_CS].access & ACC_READ))
        shape = SHAPE_SLOW;
    if (shape == SHAPE_SLOW || (shape == SHAPE_CHECKED && !size))
        return false;
    if (g->adsize == 16 || shape == SHAPE_CHECKED) {
        tr_ea(t, g, R8);
        return tr_mem_r8(t, g->seg, size, m);
    }
    *m = (struct hmem){
        .gs = true, .a32 = true, .base = HREG_NONE, .index = HREG_NONE, .disp = (int32_t)g->disp};
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
    struct hmem base = cpu_field(offsetof(struct cpu, seg) + g->seg * sizeof(struct seg) +
                                 offsetof(struct seg, base));
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

/* --- re-encoding --- */

static void lea_delta(struct tr *t, uint8_t dst)
{
    struct hmem m = {.base = R13, .index = HREG_NONE, .disp = t->delta};
    emit_lea32(&t->e, dst, &m);
}

/* ESP arithmetic that needs no code, or one LEA. True if that was all. */
static bool tr_esp_idiom(struct tr *t, const struct ginsn *g)
{
    if (g->opsize != 32 || g->map || g->is_mem || !t->fast_stack)
        return false;
    bool alu_imm = (g->opcode == 0x81 || g->opcode == 0x83) && g->rm == ESP;
    if (alu_imm && (g->reg == 0 || g->reg == 5)) { /* add, sub */
        int32_t imm = g->reg == 0 ? (int32_t)g->imm : -(int32_t)g->imm;
        bool dead = !(t->live_in[t->i + 1] & g->flags_write);
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
        lea_delta(t, dst);
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
        bool far_bit = g->map == 1 && (g->opcode == 0xa3 || g->opcode == 0xab || g->opcode == 0xb3 ||
                                       g->opcode == 0xbb);
        if (far_bit && (t->shape[g->seg] != SHAPE_FLAT || g->adsize != 32))
            return false;
        if (!tr_mem(t, g, g->mem_size, g->mem_write, reg_high, &m))
            return false;
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
    emit_hop(e, &op);
    return true;
}

static bool tr_lea(struct tr *t, const struct ginsn *g)
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

static bool tr_moffs(struct tr *t, const struct ginsn *g)
{
    struct hmem m;
    static const uint8_t opcode[] = {0x8a, 0x8b, 0x88, 0x89};
    unsigned k = g->opcode - 0xa0u;
    unsigned size = k & 1 ? g->opsize / 8 : 1;
    if (!tr_mem(t, g, size, k >= 2, false, &m))
        return false;
    emit_hop(&t->e, &(struct hop){.p66 = size == 2, .opcode = opcode[k], .modrm = true, .reg = RAX, .mem = &m});
    return true;
}

static bool tr_xlat(struct tr *t, const struct ginsn *g)
{
    struct hmem m, ea = {.base = RBX, .index = R8};
    if (g->adsize != 32)
        return false;
    emit_movzb(&t->e, R8, RAX);
    emit_lea32(&t->e, R8, &ea);
    if (!tr_mem_r8(t, g->seg == SEG_CS ? SEG_CS : g->seg, 1, &m) || g->seg == SEG_CS)
        return false;
    emit_hop(&t->e, &(struct hop){.opcode = 0x8a, .modrm = true, .reg = RAX, .mem = &m});
    return true;
}

/* Instructions with the register in the opcode byte. */
static bool tr_opreg(struct tr *t, const struct ginsn *g)
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
        emit_hop(e, &(struct hop){.p66 = g->opsize == 16,
                                  .opcode = 0xff,
                                  .modrm = true,
                                  .reg = g->opcode >= 0x48,
                                  .rm = host_gpr(r)});
        return true;
    case G_XCHG_AX:
        if (r == ESP)
            tr_flush_delta(t);
        emit_hop(e, &(struct hop){
                        .p66 = g->opsize == 16, .opcode = 0x87, .modrm = true, .reg = RAX, .rm = host_gpr(r)});
        return true;
    case G_BSWAP:
        if (r == ESP)
            tr_flush_delta(t);
        emit_hop(e, &(struct hop){.map = 1, .opcode = 0xc8, .rm = host_gpr(r)});
        return true;
    }
    return false;
}

static bool tr_insn(struct tr *t, const struct ginsn *g)
{
    if (g->fpu && ((t->mode & (MODE_NOFPU | MODE_FPU_OFF)) || (g->sse && (t->mode & MODE_NOSSE))))
        return false;
    switch ((enum gclass)g->gclass) {
    case G_INTERP:
        return false;
    case G_NOP:
    case G_FOLLOWED:
        return true;
    case G_GENERIC:
        return tr_generic(t, g);
    case G_OPREG_IMM:
    case G_INCDEC:
    case G_XCHG_AX:
    case G_BSWAP:
        return tr_opreg(t, g);
    case G_MOFFS:
        return tr_moffs(t, g);
    case G_LEA:
        return tr_lea(t, g);
    case G_XLAT:
        return tr_xlat(t, g);
    case G_PUSH_R:
    case G_PUSH_I:
    case G_PUSH_M:
    case G_PUSH_SEG:
    case G_POP_R:
    case G_POP_M:
    case G_PUSHA:
    case G_POPA:
    case G_LEAVE:
        return tr_stack(t, g);
    case G_CALL:
    case G_CALL_IND:
    case G_RET:
    case G_JMP:
    case G_JMP_IND:
    case G_JCC:
    case G_JCXZ:
    case G_LOOP:
    case G_THUNK:
        return tr_flow(t, g);
    case G_STRING:
        return tr_string(t, g);
    case G_PUSHF:
    case G_POPF:
    case G_CLI:
    case G_STI:
    case G_MOV_FROM_SEG:
    case G_MOV_FROM_CR:
    case G_RDTSC:
        return tr_sys(t, g);
    }
    return false;
}

/* --- decoding and analysis --- */

static bool is_call(const struct ginsn *g)
{
    return g->gclass == G_CALL || g->gclass == G_CALL_IND;
}

static bool stores(const struct ginsn *g)
{
    switch (g->gclass) {
    case G_PUSH_R:
    case G_PUSH_I:
    case G_PUSH_M:
    case G_PUSH_SEG:
    case G_POP_M:
    case G_PUSHA:
    case G_PUSHF:
    case G_STRING:
    case G_MOFFS:
    case G_MOV_FROM_SEG:
    case G_THUNK:
        return true;
    default:
        return g->mem_write;
    }
}

static bool same_page(const struct tr *t, uint32_t eip)
{
    return (((t->cs_base + eip) ^ (t->cs_base + t->eip)) & PAGE_MASK) == 0;
}

/* --- calls of "mov (%esp), reg; ret" --- */

/* How position-independent 32-bit code learns its address (gcc's __x86.get_pc_thunk.*): as frequent as a
 * prologue, and a call and a return for what is one move here. */
#define THUNK_LEN 4
static bool is_thunk(const uint8_t *code)
{
    unsigned reg = code[1] >> 3 & 7;
    return code[0] == 0x8b && (code[1] & 0xc7) == 0x04 && reg != ESP && code[2] == 0x24 && code[3] == 0xc3;
}

/* Call sites whose target was not mapped when they were translated: EIP called -> where they are. */
static GHashTable *undecided;
#define UNDECIDED_MAX 4096

static void undecided_add(uint32_t target, gpa_t site)
{
    if (!undecided)
        undecided = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_array_unref);
    if (g_hash_table_size(undecided) >= UNDECIDED_MAX)
        g_hash_table_remove_all(undecided);
    GArray *sites = g_hash_table_lookup(undecided, GUINT_TO_POINTER(target));
    if (!sites) {
        sites = g_array_new(FALSE, FALSE, sizeof(gpa_t));
        g_hash_table_insert(undecided, GUINT_TO_POINTER(target), sites);
    }
    g_array_append_val(sites, site);
}

/* Code at eip gets translated: if it is a thunk, its callers are to be translated anew with it inside. */
static void decide(const struct tr *t)
{
    GArray *sites = undecided ? g_hash_table_lookup(undecided, GUINT_TO_POINTER(t->eip)) : NULL;
    if (!sites)
        return;
    unsigned off = (t->cs_base + t->eip) & (PAGE_SIZE - 1);
    if (off + THUNK_LEN <= PAGE_SIZE && is_thunk(t->page + off))
        for (unsigned i = 0; i < sites->len; i++)
            tcache_invalidate(g_array_index(sites, gpa_t, i), 1);
    g_hash_table_remove(undecided, GUINT_TO_POINTER(t->eip));
}

/* Makes the CALL g a G_THUNK if it is one and may be: the thunk's page becomes the block's second page
 * unless it is the block's own. */
static void try_thunk(struct tr *t, struct ginsn *g)
{
    unsigned off = (t->cs_base + g->target) & (PAGE_SIZE - 1);
    const uint8_t *page = t->page;
    gpa_t phys = TBLOCK_NO_PAGE;
    gla_t gla = (t->cs_base + g->target) & PAGE_MASK;
    if (g->opsize != 32 || !t->code32 || !t->fast_stack || t->mixed || off + THUNK_LEN > PAGE_SIZE ||
        t->shape[SEG_CS] != SHAPE_FLAT)
        return;
    if (!same_page(t, g->target)) {
        bool global;
        if (!code_page(t->bt, gla, &phys, &global)) {
            undecided_add(g->target, (t->phys & ~(gpa_t)(PAGE_SIZE - 1)) + (g->eip & (PAGE_SIZE - 1)));
            return;
        }
        page = mem_ptr(phys);
        if (!page || tcache_page_is_mixed(phys) || (t->phys2 != TBLOCK_NO_PAGE && t->gla2 != gla) ||
            (t->cpl != 3 && !(t->global && global)))
            return;
    }
    if (!is_thunk(page + off))
        return;
    if (phys != TBLOCK_NO_PAGE) {
        t->phys2 = phys;
        t->gla2 = gla;
    }
    g->gclass = G_THUNK;
    g->reg = page[off + 1] >> 3 & 7;
}

static int insn_at(const struct tr *t, uint32_t eip)
{
    for (unsigned i = 0; i < t->count; i++)
        if (t->g[i].eip == eip)
            return (int)i;
    return -1;
}

/* --- the shared end of many paths --- */

/* Whether a block that comes to "jmp target" should have a copy of what is there: a short way to an
 * indirect jump or a return. A switch in a loop has one such way behind all its cases; with a copy each,
 * the host predicts each by itself. Returns the number of instructions to copy. */
#define TAIL_MAX 16
static unsigned tail_length(const struct tr *t, uint32_t target)
{
    unsigned n = 0;
    for (uint32_t eip = target; n < TAIL_MAX && same_page(t, eip);) {
        uint32_t off = (t->cs_base + eip) & (PAGE_SIZE - 1);
        struct ginsn g;
        if (!ginsn_decode(&g, t->page + off, PAGE_SIZE - off, eip, t->code32, t->bt->isa))
            return 0;
        n++;
        switch (g.gclass) {
        case G_JMP_IND:
            return n;
        case G_RET:
            return n <= TAIL_MAX / 2 ? n : 0;
        case G_INTERP:
        case G_CALL:
        case G_CALL_IND:
        case G_JCXZ:
        case G_LOOP:
            return 0;
        case G_JMP:
            eip = g.target;
            break;
        default:
            eip = g.eip + g.len;
        }
    }
    return 0;
}

static bool ends_block(const struct tr *t, const struct ginsn *g)
{
    if (t->mixed && stores(g))
        return false; /* see tr_decode: ends, but falls through */
    switch (g->gclass) {
    case G_INTERP:
    case G_RET:
    case G_JMP:
    case G_JMP_IND:
        return true;
    case G_CALL:
    case G_CALL_IND:
        return !t->use_table; /* no private stack: the return comes as a lookup */
    default:
        return false;
    }
}

/* Decodes into t->g from t->eip on. False: not even one instruction. */
static bool tr_decode(struct tr *t)
{
    uint32_t eip = t->eip;
    unsigned tail = 0; /* instructions that are being copied */
    t->phys2 = TBLOCK_NO_PAGE;
    while (t->count < TR_MAX_INSNS) {
        uint32_t off = (t->cs_base + eip) & (PAGE_SIZE - 1);
        unsigned avail = PAGE_SIZE - off;
        struct ginsn *g = &t->g[t->count];
        if (tail) {
            tail--;
        } else if (t->count && !t->single) {
            const struct tentry *known =
                tcache_find((t->phys & ~(gpa_t)(PAGE_SIZE - 1)) + off, eip, t->mode, t->cs_base);
            if (known && known->natural)
                return true; /* joins a known block */
        }
        if (!ginsn_decode(g, t->page + off, avail, eip, t->code32, t->bt->isa)) {
            if (avail >= 15) { /* does not decode: #UD and the like are the interpreter's */
                memset(g, 0, sizeof *g);
                g->eip = eip;
                g->len = 1;
                g->gclass = G_INTERP;
            } else {
                if (t->count)
                    return true; /* the crossing instruction gets a block of its own */
                uint8_t bytes[30];
                gpa_t next;
                bool global;
                memcpy(bytes, t->page + off, avail);
                if (!code_page(t->bt, (t->cs_base + eip + avail) & PAGE_MASK, &next, &global) ||
                    !mem_ptr(next))
                    return false;
                memcpy(bytes + avail, mem_ptr(next), 15);
                if (!ginsn_decode(g, bytes, 15, eip, t->code32, t->bt->isa))
                    return false;
                t->phys2 = next;
                t->gla2 = (t->cs_base + eip + avail) & PAGE_MASK;
                t->global = t->global && global;
                t->count = 1;
                t->ends = ends_block(t, g);
                return true;
            }
        }
        if (t->single && t->count && g->gclass == G_INTERP)
            return true; /* lockstep lets the interpreter have it alone */
        t->count++;
        eip = g->eip + g->len;
        if (!t->code32)
            eip &= 0xffff;
        if (t->mixed && stores(g))
            return true; /* it may have changed the instruction that follows */
        if (g->gclass == G_CALL)
            try_thunk(t, g);
        if (g->gclass == G_JMP && t->use_table && insn_at(t, g->target) < 0) {
            if (!tail && t->count < TR_MAX_INSNS - TAIL_MAX)
                tail = tail_length(t, g->target);
            if (tail) {
                g->gclass = G_FOLLOWED;
                eip = g->target;
                continue;
            }
        }
        if (ends_block(t, g)) {
            t->ends = true;
            return true;
        }
        if (!same_page(t, eip) || eip < g->eip)
            return true;
    }
    return true;
}

/* Flags live at eip, by a short look at the instructions there. */
static uint32_t flags_live_at(struct tr *t, uint32_t eip)
{
    uint32_t live = 0, unknown = FL_ARITH;
    for (unsigned n = 0; n < 4 && unknown; n++) {
        if (!same_page(t, eip))
            break;
        uint32_t off = (t->cs_base + eip) & (PAGE_SIZE - 1);
        struct ginsn g;
        if (!ginsn_decode(&g, t->page + off, PAGE_SIZE - off, eip, t->code32, t->bt->isa))
            break;
        if (g.gclass == G_INTERP)
            break;
        live |= g.flags_read & unknown;
        unknown &= ~(g.flags_read | g.flags_kill);
        if (g.gclass == G_JMP)
            eip = g.target;
        else if (is_call(&g) || g.gclass == G_RET || g.gclass == G_JMP_IND || g.gclass == G_JCC ||
                 g.gclass == G_JCXZ || g.gclass == G_LOOP)
            break;
        else
            eip = g.eip + g.len;
    }
    return live | unknown;
}

static void tr_analyse(struct tr *t)
{
    for (unsigned i = 0; i < t->count && !t->single && !t->mixed; i++) {
        const struct ginsn *g = &t->g[i];
        if (g->gclass == G_JCC || g->gclass == G_JMP || g->gclass == G_JCXZ || g->gclass == G_LOOP) {
            int at = insn_at(t, g->target);
            if (at >= 0)
                t->join[at] = true;
            if (at >= 0 && at <= (int)i)
                t->loop[at] = true;
        }
    }
    t->live_in[t->count] = t->ends ? 0 : t->single ? FL_ARITH : flags_live_at(t, t->g[t->count - 1].eip + t->g[t->count - 1].len);
    for (unsigned i = t->count; i-- > 0;) {
        const struct ginsn *g = &t->g[i];
        uint32_t out = t->live_in[i + 1];
        switch (g->gclass) {
        case G_JCC:
        case G_JCXZ:
        case G_LOOP: {
            int at = insn_at(t, g->target);
            out |= t->single ? FL_ARITH : at > (int)i ? t->live_in[at] : flags_live_at(t, g->target);
            break;
        }
        case G_JMP:
            out = t->single ? FL_ARITH : flags_live_at(t, g->target);
            break;
        case G_CALL:
            out = t->single ? FL_ARITH : flags_live_at(t, g->target);
            break;
        case G_CALL_IND:
        case G_RET:
        case G_JMP_IND:
        case G_INTERP:
            out = FL_ARITH;
            break;
        default:
            break;
        }
        t->live_in[i] = (out & ~g->flags_kill) | g->flags_read;
        /* In lockstep the flags in the frame of a fault are compared. */
        if (t->single && (g->is_mem || g->gclass != G_GENERIC))
            t->live_in[i] = FL_ARITH;
    }
}

/* --- emission --- */

static struct hmem slot_of_r8(void)
{
    return (struct hmem){.base = R12, .index = R8, .scale = 2};
}

/* May an exit to target, in the present address space, be patched for good? Within the page the
 * mapping is the block's own; beyond it only if it is the same everywhere. */
bool tr_may_chain(const struct tr *t, uint32_t target)
{
    if (t->single)
        return false;
    return same_page(t, target) || !(t->mode & MODE_PAGING) || t->global;
}

static void settle(struct tr *t, struct texit *exits, unsigned *exit_count)
{
    struct emit *e = &t->e;
    for (unsigned k = 0; k < t->pend_count; k++) {
        struct pend *p = &t->pend[k];
        tr_row(t, ROW_GLUE, 0);
        if (p->kind == PEND_INTERNAL) {
            emit_patch(p->rel32, e->rx_delta, t->label[p->target]);
            continue;
        }
        if (p->kind == PEND_MISS) {
            emit_patch(p->rel32, e->rx_delta, tcache_tramp(TRAMP_JUMP));
            continue;
        }
        if (p->kind == PEND_STALE) {
            emit_fix(e, p->rel32);
            if (p->pop_flags)
                tr_popfq(t);
            emit_exit(t, p->target, TRAMP_STALE);
            continue;
        }
        if (p->kind == PEND_SLOW) {
            emit_fix(e, p->rel32);
            if (p->pop_flags)
                tr_popfq(t);
            if (p->delta) {
                struct hmem m = {.base = R13, .index = HREG_NONE, .disp = p->delta};
                emit_lea32(e, R13, &m);
            }
            emit_exit(t, p->eip, TRAMP_INTERP);
            continue;
        }
        emit_fix(e, p->rel32);
        if (tr_may_chain(t, p->target)) {
            struct texit *x = &exits[(*exit_count)++];
            x->rel32 = p->rel32;
            x->stub = emit_rx(e);
            x->target = p->target;
            x->cross_page = !same_page(t, p->target);
            x->has_table = t->use_table;
            emit_mov_ri(e, R8, tcache_exit_id(x));
            emit_jmp(e, tcache_tramp(TRAMP_CHAIN));
        } else if (t->use_table) {
            struct hmem slot = slot_of_r8();
            emit_mov_ri(e, R8, p->target);
            emit_load32(e, R9, &slot);
            emit_jmp_reg(e, R9);
        } else {
            struct hmem m = BT_FIELD(cpu.eip);
            emit_store32_i(e, &m, p->target);
            emit_jmp(e, tcache_tramp(TRAMP_LOOKUP));
        }
    }
}

/* Does instruction i need delta 0 before it, and its predecessor leave flags that it reads? */
static bool wants_flush(const struct tr *t, unsigned i)
{
    return i < t->count && (t->g[i].gclass == G_JCC || t->join[i]);
}

/* Compares the block's source bytes with what they were when it was made. */
static void emit_entry_check(struct tr *t)
{
    struct emit *e = &t->e;
    const struct ginsn *last = &t->g[t->count - 1];
    uint32_t len = last->eip + last->len - t->eip, done = 0;
    uint8_t bytes[TR_MAX_INSNS * 15];
    for (unsigned i = 0; i < t->count; i++)
        memcpy(bytes + (t->g[i].eip - t->eip), t->g[i].bytes, t->g[i].len);
    /* Should the bytes have changed, nothing is known of which flags the new ones read. */
    emit_pushfq(e);
    while (done < len) {
        unsigned n = len - done >= 4 ? 4 : len - done >= 2 ? 2 : 1;
        struct hmem m = {.gs = true,
                         .a32 = true,
                         .base = HREG_NONE,
                         .index = HREG_NONE,
                         .disp = (int32_t)(t->cs_base + t->eip + done)};
        uint32_t want = 0;
        memcpy(&want, bytes + done, n);
        emit_cmp_mi(e, n, &m, want);
        tr_pend(t, PEND_STALE, emit_jcc_fwd(e, 5), t->eip);
        t->pend[t->pend_count - 1].pop_flags = true;
        done += n;
    }
    if (t->live_in[0])
        tr_popfq(t);
    else
        emit_pop(e, R8);
}

static void tr_emit(struct tr *t)
{
    t->start_rw = t->e.pos;
    t->i = 0;
    tr_row(t, ROW_INSN, 0);
    if (t->mixed)
        emit_entry_check(t);
    for (t->i = 0; t->i < t->count; t->i++) {
        const struct ginsn *g = &t->g[t->i];
        bool shadow = t->i && t->g[t->i - 1].gclass == G_STI;
        t->insn_delta = t->delta;
        tr_row(t, shadow ? ROW_SHADOW : ROW_INSN, 0);
        if (t->join[t->i]) {
            tr_flush_delta(t);
            if (t->loop[t->i]) {
                emit_align(&t->e, 32); /* a short loop across two lines of the op cache costs up to 40 % */
                tr_row(t, ROW_INSN, 0);
            }
            t->label[t->i] = emit_rx(&t->e);
        }
        /* Before the flag setter of a fused compare and branch, not between the two. */
        if (g->gclass == G_GENERIC && wants_flush(t, t->i + 1) && t->g[t->i + 1].gclass == G_JCC)
            tr_flush_delta(t);
        if (t->delta > 0x7000 || t->delta < -0x7000)
            tr_flush_delta(t);
        unsigned pends = t->pend_count;
        uint8_t *pos = t->e.pos;
        unsigned rows = t->row_count;
        int delta = t->delta;
        if (!tr_insn(t, g)) {
            /* Take back what was emitted for it and end the block here. */
            t->pend_count = pends;
            t->e.pos = pos;
            t->row_count = rows;
            t->delta = t->insn_delta = delta;
            if (rows)
                tr_row(t, ROW_INSN, 0);
            tr_interp(t);
            t->interp_first = t->i == 0;
            t->count = t->i + 1;
            t->ends = true;
            /* joins beyond the new end must become exits */
            break;
        }
        if (t->e.full)
            return;
    }
    if (!t->ends) {
        const struct ginsn *last = &t->g[t->count - 1];
        t->i = t->count - 1;
        uint32_t next = last->eip + last->len;
        if (!t->code32)
            next &= 0xffff;
        if (t->delta) {
            struct hmem m = {.base = R13, .index = HREG_NONE, .disp = t->delta};
            tr_row(t, ROW_GLUE, 0);
            emit_lea32(&t->e, R13, &m);
            t->delta = 0;
        }
        tr_row(t, ROW_GLUE, 0);
        tr_pend(t, PEND_EXIT, emit_jmp_fwd(&t->e), next);
    }
    for (unsigned k = 0; k < t->pend_count; k++)
        if (t->pend[k].kind == PEND_INTERNAL && !t->label[t->pend[k].target]) {
            t->pend[k].kind = PEND_EXIT;
            t->pend[k].target = t->g[t->pend[k].target].eip;
        }
}

/* Whether a block entered from `from` needs no look at its second page. */
static bool depends_alike(const struct tblock *from, const struct tentry *to)
{
    const struct tblock *b = to->block;
    return b->phys2 == TBLOCK_NO_PAGE || (b->phys2 == from->phys2 && b->gla2 == from->gla2);
}

/* Links the exits to translations that exist already. */
static void link_known(struct tblock *b)
{
    for (unsigned i = 0; i < b->exit_count; i++) {
        struct texit *x = &b->exit[i];
        if (x->cross_page || !x->rel32)
            continue;
        uint32_t lin = b->cs_base + x->target;
        gpa_t phys = (b->phys & ~(gpa_t)(PAGE_SIZE - 1)) + (lin & (PAGE_SIZE - 1));
        struct tentry *to = tcache_find(phys, x->target, b->mode, b->cs_base);
        if (to && (depends_alike(b, to) || !(b->mode & MODE_PAGING))) {
            to->natural = true;
            tcache_link(x, to);
        }
    }
}

static struct tentry *tr_translate(struct bt *bt, uint32_t eip, gpa_t phys, bool global)
{
    static struct tr t; /* one vCPU thread */
    size_t keep = offsetof(struct tr, g);
    memset(&t, 0, keep);
    memset(t.join, 0, sizeof t.join);
    memset(t.loop, 0, sizeof t.loop);
    memset(t.label, 0, sizeof t.label);
    t.count = t.i = t.row_count = t.pend_count = t.entry_count = 0;
    t.ends = t.interp_first = false;
    t.delta = 0;
    t.bt = bt;
    t.mode = bt->mode;
    t.cs_base = bt->cs_base;
    t.eip = eip;
    t.phys = phys;
    t.page = mem_ptr(phys & ~(gpa_t)(PAGE_SIZE - 1));
    t.global = global;
    t.code32 = t.mode & MODE_CODE32;
    t.stack32 = t.mode & MODE_STACK32;
    t.cpl = (t.mode & MODE_CPL) >> MODE_CPL_SHIFT;
    t.single = bt->single;
    for (unsigned s = 0; s < 6; s++)
        t.shape[s] = t.mode >> (MODE_SHAPE_SHIFT + 2 * s) & 3;
    t.fast_stack = t.shape[SEG_SS] == SHAPE_FLAT && t.stack32;
    t.mixed = tcache_page_is_mixed(phys);
    t.use_table =
        t.shape[SEG_CS] == SHAPE_FLAT && t.code32 && t.fast_stack && !t.single && !t.mixed;
    if (!t.page)
        return NULL;
    decide(&t);
    if (!tr_decode(&t))
        return NULL;

    /* Room for the worst case: about 100 bytes an instruction. */
    if (!tcache_room(32 * KiB))
        tcache_flush();
    tr_analyse(&t);
    t.e = tcache_begin();
    /* Even addresses for entries into real code, odd ones for those that lead to the interpreter. */
    if ((uintptr_t)t.e.pos & 1)
        emit_nop(&t.e);
    tr_emit(&t);
    if (t.count == 1 && t.interp_first && !(t.g[0].fpu && (t.mode & MODE_FPU_OFF))) {
        t.e.pos = t.start_rw;
        t.row_count = t.pend_count = 0;
        t.i = 0;
        emit_nop(&t.e);
        t.start_rw = t.e.pos;
        tr_row(&t, ROW_INSN, 0);
        tr_interp(&t);
    }

    struct texit *exits = tcache_alloc_exits(t.pend_count);
    unsigned exit_count = 0;
    settle(&t, exits, &exit_count);
    assert_always(!t.e.full);

    struct tblock *b = tcache_alloc(sizeof *b);
    b->phys = phys;
    b->phys2 = t.phys2;
    b->gla2 = t.gla2;
    b->eip = eip;
    b->cs_base = t.cs_base;
    b->mode = t.mode;
    b->host = t.start_rw + t.e.rx_delta;
    b->host_len = (uint32_t)(t.e.pos - t.start_rw);
    b->row_count = t.row_count;
    b->row = tcache_alloc(t.row_count * sizeof *b->row);
    memcpy(b->row, t.row, t.row_count * sizeof *b->row);
    b->insn_count = t.count;
    b->insn_off = tcache_alloc(t.count * sizeof *b->insn_off);
    b->insn_steps = tcache_alloc(t.count * sizeof *b->insn_steps);
    for (unsigned i = 0; i < t.count; i++) {
        int32_t off = (int32_t)(t.g[i].eip - eip), end = off + t.g[i].len;
        b->insn_off[i] = (int16_t)off;
        b->insn_steps[i] = t.g[i].gclass == G_THUNK ? 3 : 1;
        b->first = off < b->first ? (int16_t)off : b->first;
        b->guest_len = end > (int32_t)b->guest_len ? (uint32_t)end : b->guest_len;
    }
    b->entry_count = t.entry_count + 1;
    b->entry = tcache_alloc(b->entry_count * sizeof *b->entry);
    b->entry[0] = (struct tentry){.phys = phys, .eip = eip, .host = b->host};
    memcpy(b->entry + 1, t.entry, t.entry_count * sizeof *t.entry);
    for (unsigned i = 0; i < b->entry_count; i++) {
        b->entry[i].block = b;
        b->entry[i].mode = t.mode;
        b->entry[i].cs_base = t.cs_base;
    }
    b->exit = exits;
    b->exit_count = exit_count;
    for (unsigned i = 0; i < exit_count; i++)
        exits[i].block = b;
    tcache_commit(b, &t.e);
    if (!t.single)
        link_known(b);
    if (!t.mixed)
        guest_mem.page_flags[phys >> PAGE_SHIFT] |= MEM_PAGE_CODE;
    if (t.phys2 != TBLOCK_NO_PAGE) {
        guest_mem.page_flags[t.phys2 >> PAGE_SHIFT] |= MEM_PAGE_CODE;
        jtable_depends(t.cs_base + eip, t.gla2);
    }
    if (log_on(LOG_TR))
        tr_dump(&t, b);
    return &b->entry[0];
}

static tr_protect_fn *protect;

void tr_set_protect(tr_protect_fn *fn)
{
    protect = fn;
}

struct tentry *tr_lookup(struct bt *bt, uint32_t eip, bool natural)
{
    gla_t gla = bt->cs_base + eip;
    gpa_t page;
    bool global;
    if (!code_page(bt, gla & PAGE_MASK, &page, &global))
        return NULL;
    gpa_t phys = page + (gla & (PAGE_SIZE - 1));
    struct tentry *t = tcache_find(phys, eip, bt->mode, bt->cs_base);
    if (t && t->block->phys2 != TBLOCK_NO_PAGE) {
        gpa_t next;
        bool g2;
        bool mapped = code_page(bt, t->block->gla2, &next, &g2);
        if (!mapped && t->block->gla2 == (gla & PAGE_MASK) + PAGE_SIZE && (gla & (PAGE_SIZE - 1)) > PAGE_SIZE - 15)
            return NULL; /* the instruction at its entry may reach into it: the interpreter finds out */
        if (!mapped || next != t->block->phys2) {
            tcache_invalidate(phys, 1);
            t = NULL;
        }
    }
    if (t) {
        t->natural |= natural;
        return t;
    }
    uint8_t before = mem_page_flags(phys);
    t = tr_translate(bt, eip, phys, global);
    if (t)
        t->natural = natural;
    if (t && !(before & MEM_PAGE_CODE) && (mem_page_flags(phys) & MEM_PAGE_CODE))
        protect(phys & ~(gpa_t)(PAGE_SIZE - 1));
    if (t && t->block->phys2 != TBLOCK_NO_PAGE)
        protect(t->block->phys2);
    return t;
}

void tr_publish(struct bt *bt, const struct tentry *entry)
{
    jtable_set(bt->table, entry->eip, entry);
}

const void *tr_ret_slow(void)
{
    return tcache_tramp(TRAMP_RET_SLOW);
}

void tr_code_written(void *opaque, gpa_t gpa, uint32_t len)
{
    tcache_written(gpa, len);
}

const void *tentry_host(const struct tentry *entry)
{
    return entry->host;
}

unsigned tentry_insn_count(const struct tentry *entry)
{
    return entry->block->insn_count;
}

uint32_t tentry_insn_eip(const struct tentry *entry, unsigned i)
{
    return entry->block->eip + (uint32_t)entry->block->insn_off[i];
}

unsigned tentry_insn_steps(const struct tentry *entry, unsigned i)
{
    return entry->block->insn_steps[i];
}

bool tentry_crosses(const struct tentry *entry)
{
    return entry->block->phys2 != TBLOCK_NO_PAGE;
}

uint32_t tr_exit_target(uint32_t arg)
{
    return tcache_exit_by_id(arg)->target;
}

void tr_chain(struct bt *bt, uint32_t arg, struct tentry *entry)
{
    struct texit *x = tcache_exit_by_id(arg);
    if (x->to || x->block->dead || x->block->mode != entry->mode || x->target != entry->eip)
        return;
    bool paging = entry->mode & MODE_PAGING;
    if (paging) {
        gpa_t page;
        bool global;
        if (x->cross_page &&
            !(code_page(bt, (entry->cs_base + entry->eip) & PAGE_MASK, &page, &global) && global))
            return;
        if (!depends_alike(x->block, entry) &&
            !(code_page(bt, entry->block->gla2, &page, &global) && global)) {
            if (x->has_table)
                tcache_exit_by_table(x);
            return;
        }
    }
    tcache_link(x, entry);
}

/* --- recovery --- */

static const struct trow *row_at(const uint8_t *pc, const struct tblock **block, bool *exact)
{
    const struct tblock *b = tcache_block_at(pc);
    if (!b)
        return NULL;
    uint32_t off = (uint32_t)(pc - b->host);
    unsigned lo = 0, hi = b->row_count;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (b->row[mid].host <= off)
            lo = mid + 1;
        else
            hi = mid;
    }
    assert_always(lo);
    *block = b;
    *exact = b->row[lo - 1].host == off;
    return &b->row[lo - 1];
}

enum tr_where tr_where(const void *pc)
{
    const struct tblock *b;
    bool exact;
    const struct trow *row = row_at(pc, &b, &exact);
    if (!row || !exact)
        return TR_INSIDE;
    return row->kind == ROW_POPF                               ? TR_POPF
           : row->kind == ROW_INSN || row->kind == ROW_STRING ? TR_BOUNDARY
                                                               : TR_INSIDE;
}

void tr_take_registers(struct bt *bt, const ucontext_t *uc, int32_t delta)
{
    const greg_t *r = uc->uc_mcontext.gregs;
    struct cpu *cpu = &bt->cpu;
    cpu->gpr[EAX] = (uint32_t)r[REG_RAX];
    cpu->gpr[ECX] = (uint32_t)r[REG_RCX];
    cpu->gpr[EDX] = (uint32_t)r[REG_RDX];
    cpu->gpr[EBX] = (uint32_t)r[REG_RBX];
    cpu->gpr[ESP] = (uint32_t)r[REG_R13] + (uint32_t)delta;
    cpu->gpr[EBP] = (uint32_t)r[REG_RBP];
    cpu->gpr[ESI] = (uint32_t)r[REG_RSI];
    cpu->gpr[EDI] = (uint32_t)r[REG_RDI];
    bt->host_flags = ((uint32_t)r[REG_EFL] & (FL_ARITH | FL_DF)) | FL_FIXED1 | FL_IF;
}

bool tr_recover(struct bt *bt, const ucontext_t *uc)
{
    const struct tblock *b;
    bool exact;
    const struct trow *row = row_at((const uint8_t *)uc->uc_mcontext.gregs[REG_RIP], &b, &exact);
    if (!row)
        return false;
    tr_take_registers(bt, uc, row->delta);
    bt->cpu.eip = b->eip + (uint32_t)b->insn_off[row->insn];
    if (row->kind == ROW_SWAPPED) {
        uint32_t *v = &bt->cpu.gpr[row->arg];
        *v = (*v & 0xffff0000) | (*v & 0xff) << 8 | (*v >> 8 & 0xff);
    }
    return true;
}

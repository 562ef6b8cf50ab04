/* Guest code to host code, one extended block at a time: decode, analyse, emit, commit.
 *
 * A block runs from its entry past calls and not-taken branches to the first unconditional jump, the
 * end of the page, or an instruction that is the interpreter's. See bt.h for the invariants.
 */
#include <glib.h>
#include <string.h>

#include "log.h"
#include "mem.h"
#include "points.h"
#include "stats.h"
#include "tr.h"
#include "block.h"
#include "cache.h"
#include "jtable.h"

struct tr_state tr_state;

void tr_set_code_page(code_page_fn *fn)
{
    tr_state.code_page = fn;
}

/* --- shared helpers --- */

void tr_row(struct tr *t, enum row_kind kind, uint8_t arg)
{
    uint32_t host = (uint32_t)(t->e.pos - t->start_rw);
    struct trow *last = t->row_count ? &t->row[t->row_count - 1] : NULL;
    if (!last || last->host != host) {
        assert_always(t->row_count < TR_MAX_ROWS && host <= UINT16_MAX); /* see has_room */
        last = &t->row[t->row_count++];
    }
    /* In the middle of an instruction R13 is still what it was, whatever delta the next one will have. */
    int delta = kind == ROW_INSN || kind == ROW_SHADOW ? t->delta : t->insn_delta;
    *last = (struct trow){
        .host = (uint16_t)host, .delta = (int16_t)delta, .insn = (uint8_t)t->i, .kind = (uint8_t)kind, .arg = arg};
}

void tr_eip(struct tr *t, uint8_t dst, uint32_t eip)
{
    struct hmem m = {.base = R12, .index = HREG_NONE, .disp = (int32_t)(eip - t->bias)};
    if (t->pic)
        emit_lea32(&t->e, dst, &m);
    else
        emit_mov_ri(&t->e, dst, eip);
}

void tr_store_eip(struct tr *t, const struct hmem *to, uint32_t eip)
{
    if (!t->pic) {
        emit_store32_i(&t->e, to, eip);
        return;
    }
    tr_eip(t, R9, eip);
    emit_store32(&t->e, to, R9);
}

void tr_jmp_out(struct tr *t, enum tramp tramp)
{
    emit_jmp(&t->e, tcache_tramp(tramp));
}

/* The register that has the table's base. */
static uint8_t load_table(struct tr *t)
{
    struct hmem jtable = BT_FIELD(jtable);
    if (!t->meets_pic)
        return R12;
    emit_load64(&t->e, R11, &jtable);
    return R11;
}

void tr_load_slot(struct tr *t)
{
    tcache_load_slot(&t->e, load_table(t));
}

void tr_load_slot_of(struct tr *t, uint32_t eip)
{
    tr_eip(t, R8, eip);
    if (t->pic) /* a page's address ends in zeros */
        tcache_load_slot_low(&t->e, load_table(t), (uint8_t)eip);
    else
        tcache_load_slot_of(&t->e, eip, load_table(t));
}

void tr_popfq(struct tr *t)
{
    tr_row(t, ROW_POPF, 0);
    emit_popfq(&t->e);
    tr_row(t, ROW_GLUE, 0);
}

void tr_lea_esp(struct tr *t, uint8_t dst, int delta)
{
    struct hmem m = {.base = R13, .index = HREG_NONE, .disp = delta};
    emit_lea32(&t->e, dst, &m);
}

void tr_flush_delta(struct tr *t)
{
    if (!t->delta)
        return;
    tr_lea_esp(t, R13, t->delta);
    t->delta = t->insn_delta = 0;
    tr_row(t, ROW_INSN, 0);
}

void tr_pend(struct tr *t, enum pend_kind kind, uint8_t *rel32, uint32_t target)
{
    assert_always(t->pend_count < TR_MAX_PENDS); /* see has_room */
    t->settle_count += kind != PEND_STALE || !t->pend_count;
    t->pend[t->pend_count++] = (struct pend){.rel32 = rel32,
                                             .target = target,
                                             .kind = (uint8_t)kind,
                                             .x87 = kind == PEND_EXIT ? tr_x87_before(t, t->i + 1) : 0};
}

void tr_pend_slow(struct tr *t, uint8_t *rel32, bool pop_flags)
{
    tr_pend(t, PEND_SLOW, rel32, 0);
    struct pend *p = &t->pend[t->pend_count - 1];
    p->delta = (int16_t)t->insn_delta;
    p->eip = t->g[t->i].eip;
    p->pop_flags = pop_flags;
}

void tr_exit(struct tr *t, uint32_t eip, enum tramp tramp)
{
    struct hmem m = BT_FIELD(cpu.eip);
    tr_store_eip(t, &m, eip);
    tr_jmp_out(t, tramp);
}

uint16_t tr_x87_of(const struct ginsn *g)
{
    if (g->map != 0 || g->opcode < 0xd8 || g->opcode > 0xdf)
        return 0;
    /* FLDENV FLDCW FNSTENV FNSTCW, FRSTOR FNSAVE FNSTSW; FNENI FNDISI FNCLEX FNINIT FNSETPM, FNSTSW AX */
    bool control = g->is_mem ? (g->opcode == 0xd9 && g->reg >= 4) || (g->opcode == 0xdd && (0xd0u >> g->reg & 1))
                             : (g->opcode == 0xdb && g->reg == 4) || (g->opcode == 0xdf && g->reg == 4);
    if (control)
        return 0;
    const uint8_t *p = g->bytes;
    while (*p < 0xd8 || *p > 0xdf) /* no prefix is one of these */
        p++;
    return (uint16_t)(X87_INSN | (p[0] & 7) << 8 | p[1] | (g->is_mem ? X87_MEM : 0));
}

uint32_t tr_x87_before(const struct tr *t, unsigned end)
{
    if (t->mode & (MODE_NOFPU | MODE_FPU_OFF))
        return 0;
    for (unsigned i = end; i-- > 0;) {
        const struct ginsn *g = &t->g[i];
        if (tr_x87_of(g)) {
            for (unsigned k = t->row_count; k-- > 0;)
                if (t->row[k].insn == i)
                    return (uint32_t)(uintptr_t)(t->start_rw + t->row[k].host + t->e.rx_delta);
            return 0;
        }
        if (g->gclass == G_CALL || g->gclass == G_CALL_IND || t->join[i] || (i && t->after[i - 1] != AFTER_NEXT))
            return 0;
    }
    return 0;
}

void tr_note_x87(struct tr *t, uint32_t at)
{
    struct hmem m = BT_FIELD(x87_at);
    if (!at)
        return;
    emit_store32_i(&t->e, &m, at);
}

/* The nearest x87 instruction with one of the properties (X87_*) that comes before in each way to this one, without an
 * exit of this block and a return into it between them; NULL: none is known. */
static const struct ginsn *always_before(const struct tr *t, uint16_t properties)
{
    for (unsigned k = t->i; k-- > 0;) {
        const struct ginsn *g = &t->g[k];
        if (t->join[k + 1] || t->after[k] != AFTER_NEXT)
            return NULL;
        if (g->gclass == G_GENERIC && (tr_x87_of(g) & properties))
            return g;
        if (g->gclass == G_INTERP || (g->gclass > G_LEAVE && g->gclass != G_JCC))
            return NULL; /* what may load segment registers, and what is not worth a thought */
    }
    return NULL;
}

/* Before an x87 instruction that leaves its address behind: world_exit is to ask for it. Changes no flags. */
static void tr_note_ran(struct tr *t, const struct ginsn *g)
{
    struct hmem m = BT_FIELD(x87_ran), bias = BT_FIELD(x87_bias);
    if (!tr_x87_of(g) || always_before(t, X87_INSN))
        return;
    emit_store32_i(&t->e, &m, 1);
    if (t->pic)
        emit_store32(&t->e, &bias, R12);
}

/* Behind an x87 instruction with an operand in memory: its segment register may be another by the time that somebody
 * asks (src/engine/x87.h). Changes no flags. */
static void tr_note_operand(struct tr *t, const struct ginsn *g)
{
    struct hmem from = TR_SEG_FIELD(g->seg, sel), to = BT_FIELD(x87_operand);
    if (!(tr_x87_of(g) & X87_MEM))
        return;
    const struct ginsn *before = always_before(t, X87_MEM);
    if (before && before->seg == g->seg)
        return; /* noted already */
    emit_load64(&t->e, R9, &from);
    emit_store64(&t->e, &to, R9);
}

/* Does the instruction store FIP? */
static bool stores_fip(const struct ginsn *g)
{
    return g->is_mem && ((g->map == 0 && (g->opcode == 0xd9 || g->opcode == 0xdd) && g->reg == 6) ||
                         (g->map == 1 && g->opcode == 0xae && g->reg == 0));
}

void tr_interp(struct tr *t)
{
    const struct ginsn *g = &t->g[t->i];
    tr_flush_delta(t);
    if (stores_fip(g) && !t->join[t->i])
        tr_note_x87(t, tr_x87_before(t, t->i));
    tr_exit(t, g->eip, g->fpu && (t->mode & MODE_FPU_OFF) && !(t->mode & MODE_NOFPU) ? TRAMP_FPU : TRAMP_INTERP);
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
        tr_note_ran(t, g);
        if (!tr_generic(t, g))
            return false;
        tr_note_operand(t, g);
        return true;
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
    case G_IN:
    case G_OUT:
        return tr_port(t, g);
    case G_INVLPG:
        return tr_invlpg(t, g);
    case G_LOAD_FAR:
    case G_CALL_FAR:
    case G_JMP_FAR:
    case G_RET_FAR:
        return tr_real(t, g);
    case G_MOV_TO_SEG:
    case G_POP_SEG:
        if (!(t->mode & MODE_PROT))
            return tr_real(t, g);
        return tr_gate(t, g);
    case G_INT:
    case G_IRET:
    case G_SYSENTER:
    case G_SYSEXIT:
        return tr_gate(t, g);
    }
    return false;
}

/* --- emission --- */

/* May an exit to target, in the present address space, be patched for good? Within the page the
 * mapping is the block's own; beyond it only if it is the same everywhere. */
bool tr_may_chain(const struct tr *t, uint32_t target)
{
    if (t->single)
        return false;
    return tr_same_page(t, target) || !(t->mode & MODE_PAGING) || t->global;
}

static void settle(struct tr *t, struct texit *exits, unsigned *exit_count)
{
    struct emit *e = &t->e;
    t->i = t->count - 1;
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
        if (p->kind == PEND_STALE && t->stale) {
            emit_patch(p->rel32, e->rx_delta, t->stale);
            continue;
        }
        if (p->kind == PEND_STALE) {
            t->stale = emit_rx(e);
            emit_fix(e, p->rel32);
            if (p->pop_flags)
                tr_popfq(t);
            tr_exit(t, p->target, TRAMP_STALE);
            continue;
        }
        if (p->kind == PEND_SLOW && p->touch) {
            emit_fix(e, p->rel32);
            tr_settle_touch(t, p);
            continue;
        }
        if (p->kind == PEND_NEAR) {
            emit_fix(e, p->rel32);
            tr_settle_near(t, p);
            continue;
        }
        if (p->kind == PEND_SLOW) {
            emit_fix(e, p->rel32);
            if (p->pop_flags)
                tr_popfq(t);
            if (p->delta)
                tr_lea_esp(t, R13, p->delta);
            if (p->site) {
                struct hmem gla = BT_FIELD(site_gla);
                emit_store32(e, &gla, R8);
                emit_mov_ri(e, R8, p->site - 1);
            } else if (p->gate) {
                emit_mov_ri(e, R8, p->gate);
            }
            tr_exit(t, p->eip, p->site ? TRAMP_SITE : p->gate ? TRAMP_GATE : TRAMP_INTERP);
            continue;
        }
        if (p->kind == PEND_MODE) {
            emit_fix(e, p->rel32);
            tr_settle_mode(t, p);
            continue;
        }
        emit_fix(e, p->rel32);
        if (tr_may_chain(t, p->target)) {
            struct texit *x = &exits[(*exit_count)++];
            x->rel32 = p->rel32;
            x->target = p->target - t->key_bias;
            x->cross_page = !tr_same_page(t, p->target);
            x->has_table = t->use_table;
            tcache_exit_stub(e, x);
        } else if (!t->single) {
            tr_note_x87(t, p->x87);
            tr_load_slot_of(t, p->target);
            emit_jmp_reg(e, R9);
        } else {
            struct hmem m = BT_FIELD(cpu.eip);
            tr_store_eip(t, &m, p->target);
            tr_jmp_out(t, TRAMP_LOOKUP);
        }
    }
}

/* Where position-independent code is entered through the table, at an instruction of the block: R12 is to be its page.
 */
static void emit_arrival(struct tr *t, uint32_t eip)
{
    struct hmem m = {.base = R8, .index = HREG_NONE, .disp = (int32_t)(t->bias - eip)};
    tr_row(t, ROW_GLUE, 0);
    emit_lea32(&t->e, R12, &m);
}

/* The same for return sites and labels, behind the block. */
static void settle_entries(struct tr *t)
{
    struct emit *e = &t->e;
    for (unsigned k = 0; k < t->entry_count; k++) {
        struct tentry *entry = &t->entry[k];
        entry->direct = entry->host;
        if (!t->pic)
            continue;
        if (((uintptr_t)e->pos ^ (uintptr_t)entry->direct) & 1) /* see tr_leads_to_interp */
            emit_nop(e);
        entry->host = emit_rx(e);
        emit_arrival(t, entry->eip);
        emit_jmp(e, entry->direct);
    }
}

/* Does instruction i need delta 0 before it, and its predecessor leave flags that it reads? */
static bool wants_flush(const struct tr *t, unsigned i)
{
    return i < t->count && (t->g[i].gclass == G_JCC || t->join[i]);
}

/* Where emission stood before an instruction. */
struct tr_mark {
    uint8_t *pos;
    unsigned pend_count, settle_count, row_count;
    int delta;
};

/* Are there rows, pends and bytes for n more of the worst instructions and for settling the block? */
static bool has_room(const struct tr *t, unsigned n)
{
    unsigned settle = t->settle_count + n * TR_INSN_PENDS, entries = t->entry_count + t->count;
    return t->pend_count + n * TR_INSN_PENDS <= TR_MAX_PENDS &&
           t->row_count + n * TR_INSN_ROWS + settle * TR_SETTLE_ROWS + entries <= TR_MAX_ROWS &&
           (size_t)(t->e.pos - t->start_rw) + n * TR_INSN_BYTES + settle * TR_SETTLE_BYTES + entries * TR_ENTRY_BYTES <=
               TR_BLOCK_BYTES;
}

/* An instruction took no more than has_room assumes. */
static void check_cost(const struct tr *t, const struct tr_mark *before)
{
    assert_always(t->row_count <= before->row_count + TR_INSN_ROWS &&
                  t->pend_count <= before->pend_count + TR_INSN_PENDS && t->e.pos <= before->pos + TR_INSN_BYTES);
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
    tr_row(t, ROW_FLAGS, 0); /* the page may not be there for reading */
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

/* The end of a run that falls through to what is not in the block. */
static void emit_leave(struct tr *t)
{
    tr_row(t, ROW_GLUE, 0);
    if (t->delta) {
        tr_lea_esp(t, R13, t->delta);
        t->delta = 0;
        tr_row(t, ROW_GLUE, 0);
    }
    tr_pend(t, PEND_EXIT, emit_jmp_fwd(&t->e), tr_next_eip(&t->g[t->i]));
}

static void emit_label(struct tr *t)
{
    tr_flush_delta(t);
    /* A short loop across two lines of the op cache costs up to 40 %; entries must be even. */
    if (t->loop[t->i])
        emit_align(&t->e, 32);
    else if ((uintptr_t)t->e.pos & 1)
        emit_nop(&t->e);
    tr_row(t, ROW_INSN, 0);
    t->label[t->i] = emit_rx(&t->e);
}

/* Instruction t->i turned out to be the interpreter's: takes back what was emitted for it and goes on at the
 * next place that is reached by a jump, or ends the block. */
static void give_up(struct tr *t, const struct tr_mark *mark)
{
    t->pend_count = mark->pend_count;
    t->settle_count = mark->settle_count;
    t->e.pos = mark->pos;
    t->row_count = mark->row_count;
    t->delta = t->insn_delta = mark->delta;
    if (t->row_count)
        tr_row(t, ROW_INSN, 0);
    tr_interp(t);
    t->delta = 0;
    t->interp_first |= t->i == 0;
    t->after[t->i] = AFTER_NONE;
    unsigned next = t->i + 1;
    while (next < t->count && !t->join[next])
        next++;
    if (next == t->count)
        t->count = t->i + 1;
    t->i = next - 1;
}

static void begin(struct tr *t)
{
    t->start_rw = t->e.pos;
    t->i = 0;
    if (t->pic)
        emit_arrival(t, t->eip);
    t->start = emit_rx(&t->e);
    tr_row(t, ROW_INSN, 0);
}

static void tr_emit(struct tr *t)
{
    begin(t);
    if (t->mixed)
        emit_entry_check(t);
    for (t->i = 0; t->i < t->count; t->i++) {
        const struct ginsn *g = &t->g[t->i];
        unsigned i = t->i;
        struct tr_mark begin = {t->e.pos, t->pend_count, t->settle_count, t->row_count, t->delta};
        /* The last one must know that it is: a call has no return site then, and STI is the interpreter's. */
        if (!has_room(t, 2)) {
            t->count = i + 1;
            if (t->after[i] == AFTER_NEXT)
                t->after[i] = AFTER_EXIT;
        }
        bool shadow = i && t->after[i - 1] == AFTER_NEXT && t->g[i - 1].gclass == G_STI;
        t->insn_delta = t->delta;
        tr_row(t, shadow ? ROW_SHADOW : ROW_INSN, 0);
        if (t->join[i])
            emit_label(t);
        /* Before the flag setter of a fused compare and branch, not between the two. */
        if (g->gclass == G_GENERIC && t->after[i] == AFTER_NEXT && wants_flush(t, i + 1) && t->g[i + 1].gclass == G_JCC)
            tr_flush_delta(t);
        if (t->delta > 0x7000 || t->delta < -0x7000)
            tr_flush_delta(t);
        t->site = tr_site_of(t, g->eip);
        if (t->phys2 != TBLOCK_NO_PAGE && !tr_same_page(t, g->eip + g->len - 1))
            tr_near(t);
        struct tr_mark mark = {t->e.pos, t->pend_count, t->settle_count, t->row_count, t->delta};
        if (!tr_insn(t, g))
            give_up(t, &mark);
        else if (t->after[i] == AFTER_EXIT)
            emit_leave(t);
        check_cost(t, &begin);
    }
    for (unsigned k = 0; k < t->pend_count; k++)
        if (t->pend[k].kind == PEND_INTERNAL && !t->label[t->pend[k].target]) {
            /* given up before it was reached */
            t->pend[k].kind = PEND_EXIT;
            t->pend[k].target = t->g[t->pend[k].target].eip;
        }
}

/* Jumps from elsewhere may enter where jumps of the block's own do. */
static void enter_labels(struct tr *t)
{
    unsigned sites = t->entry_count;
    for (unsigned i = 1; i < t->count; i++) {
        if (!t->label[i] || t->g[i].gclass == G_INTERP)
            continue;
        uint32_t eip = t->g[i].eip;
        bool site = false;
        for (unsigned k = 0; k < sites && !site; k++)
            site = t->entry[k].eip == eip;
        if (!site)
            t->entry[t->entry_count++] =
                (struct tentry){.phys = (t->phys & ~(gpa_t)(PAGE_SIZE - 1)) + ((t->cs_base + eip) & (PAGE_SIZE - 1)),
                                .eip = eip,
                                .host = t->label[i]};
    }
}

/* Whether a block entered from `from` needs no look at its second page (a shared one looks itself). */
static bool depends_alike(const struct tblock *from, const struct tentry *to)
{
    const struct tblock *b = to->block;
    return b->phys2 == TBLOCK_NO_PAGE || b->jpage || (b->phys2 == from->phys2 && b->gla2 == from->gla2);
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
        struct tentry *to = tcache_find(phys, x->target, b->mode, b->cs_base, b->cs_limit);
        if (to && (depends_alike(b, to) || !(b->mode & MODE_PAGING))) {
            to->natural = true;
            tcache_link(x, to);
        }
    }
}

_Static_assert(TR_MAX_PENDS <= TCACHE_BLOCK_EXITS, "exits");
_Static_assert(TR_MAX_ROWS * sizeof(struct trow) + (2 * TR_MAX_INSNS + 1) * sizeof(struct tentry) +
                       sizeof(struct tblock) + TR_MAX_INSNS * 16 + 2 * PAGE_SIZE + 256 <=
                   TR_BLOCK_BYTES,
               "metadata");

/* Stores to the page are to be heard of. */
static void mark_code(gpa_t gpa)
{
    uint8_t *flags = &guest_mem.page_flags[gpa >> PAGE_SHIFT];
    if (*flags & MEM_PAGE_CODE)
        return;
    *flags |= MEM_PAGE_CODE;
    tr_state.protect(gpa & ~(gpa_t)(PAGE_SIZE - 1));
}

/* Does code at eip become position-independent, so that one block stands for it wherever its page is mapped? The
 * programs' code, which is where the loader wants it to be; the supervisor's is where it is for good. An EIP may have
 * no limit, and no jump leads across the end of the address space. Breakpoints are at linear addresses. */
static bool is_pic(const struct bt *bt, uint32_t eip, gpa_t phys, bool global)
{
    uint32_t mode = bt->mode;
    return (mode & MODE_CPL) == MODE_CPL && (mode & MODE_PAGING) && (mode & MODE_CODE32) && (mode & MODE_STACK32) &&
           mode_shape(mode, SEG_SS) == SHAPE_FLAT && mode_shape(mode, SEG_CS) == SHAPE_FLAT && !global &&
           !bt->cs_base && bt->cs_limit == UINT32_MAX && eip >= 64 * KiB && eip <= UINT32_MAX - 64 * KiB &&
           !tcache_page_is_mixed(phys) && !points_of_page(eip) && jtable_may_share();
}

static struct tentry *tr_translate(struct bt *bt, uint32_t eip, gpa_t phys, bool global, bool pic)
{
    struct tr *const t = &tr_state.block;
    size_t keep = offsetof(struct tr, g);
    memset(t, 0, keep);
    memset(t->join, 0, sizeof t->join);
    memset(t->loop, 0, sizeof t->loop);
    memset(t->label, 0, sizeof t->label);
    t->count = t->i = t->row_count = t->pend_count = t->settle_count = t->entry_count = 0;
    t->stale = NULL;
    t->interp_first = false;
    t->delta = t->insn_delta = 0;
    t->bt = bt;
    t->mode = bt->mode;
    t->cs_base = bt->cs_base;
    t->cs_limit = bt->cs_limit;
    t->eip = eip;
    t->phys = phys;
    t->page = mem_ptr(phys & ~(gpa_t)(PAGE_SIZE - 1));
    t->global = global;
    t->code32 = t->mode & MODE_CODE32;
    t->stack32 = t->mode & MODE_STACK32;
    t->cpl = (t->mode & MODE_CPL) >> MODE_CPL_SHIFT;
    t->single = bt->single;
    for (unsigned s = 0; s < 6; s++)
        t->shape[s] = (uint8_t)mode_shape(t->mode, s);
    t->fast_stack = t->shape[SEG_SS] == SHAPE_FLAT && t->stack32;
    t->mixed = tcache_page_is_mixed(phys);
    t->regions = !t->mixed;
    t->use_table = t->regions && !t->single;
    t->pic = pic;
    t->shared = t->pic && !t->single;
    t->meets_pic = t->cpl == 3 && (t->mode & MODE_PAGING);
    t->bias = eip & PAGE_MASK;
    t->key_bias = t->shared ? t->bias : 0;
    t->key_mode = t->mode | (t->shared ? MODE_SHARED : 0);
    if (!t->page)
        return NULL;
    if (t->mixed && unlikely(points_of_page(t->cs_base + eip) & POINT_READ))
        return NULL; /* its blocks could not look at their own bytes */
    if (!tr_decode(t))
        return NULL;

    if (jtable_depends_crowded())
        tcache_flush();
    tcache_make_room(TR_BLOCK_BYTES);
    if (tcache_page_is_crowded(phys))
        tcache_invalidate(phys & ~(gpa_t)(PAGE_SIZE - 1), PAGE_SIZE);
    if (t->phys2 != TBLOCK_NO_PAGE && tcache_page_is_crowded(t->phys2))
        tcache_invalidate(t->phys2, PAGE_SIZE);
    tr_analyse(t);
    t->e = tcache_begin();
    /* Even addresses for entries into real code, odd ones for those that lead to the interpreter. */
    if ((uintptr_t)t->e.pos & 1)
        emit_nop(&t->e);
    tr_emit(t);
    enter_labels(t);
    if (t->count == 1 && t->interp_first && !(t->g[0].fpu && (t->mode & MODE_FPU_OFF))) {
        t->e.pos = t->start_rw;
        t->row_count = t->pend_count = t->settle_count = 0;
        emit_nop(&t->e);
        begin(t);
        tr_interp(t);
    }

    struct texit *exits = tcache_alloc_exits(t->pend_count);
    unsigned exit_count = 0;
    unsigned rows = t->row_count;
    const uint8_t *pos = t->e.pos;
    settle(t, exits, &exit_count);
    settle_entries(t);
    tcache_return_exits(t->pend_count - exit_count);
    assert_always(!t->e.full && t->row_count <= rows + t->settle_count * TR_SETTLE_ROWS + t->entry_count &&
                  t->e.pos <= pos + t->settle_count * TR_SETTLE_BYTES + t->entry_count * TR_ENTRY_BYTES);

    struct tblock *b = tcache_alloc(sizeof *b);
    b->phys = phys;
    b->phys2 = t->phys2;
    b->gla2 = t->phys2 != TBLOCK_NO_PAGE ? t->gla2 - t->key_bias : 0;
    b->eip = eip - t->key_bias;
    b->cs_base = t->cs_base;
    b->cs_limit = t->cs_limit;
    b->mode = t->key_mode;
    b->host = t->start_rw + t->e.rx_delta;
    b->host_len = (uint32_t)(t->e.pos - t->start_rw);
    b->row_count = t->row_count;
    b->row = tcache_alloc(t->row_count * sizeof *b->row);
    memcpy(b->row, t->row, t->row_count * sizeof *b->row);
    b->insn_count = t->count;
    b->insn_off = tcache_alloc(t->count * sizeof *b->insn_off);
    for (unsigned i = 0; i < t->count; i++) {
        int32_t off = (int32_t)(t->g[i].eip - eip), end = off + t->g[i].len;
        b->insn_off[i] = (int16_t)off;
        b->first = off < b->first ? (int16_t)off : b->first;
        b->guest_len = end > (int32_t)b->guest_len ? (uint32_t)end : b->guest_len;
    }
    for (unsigned i = 0; i < t->count; i++) {
        uint16_t x87 = tr_x87_of(&t->g[i]);
        if (!x87)
            continue;
        if (!b->x87)
            b->x87 = tcache_alloc(t->count * sizeof *b->x87);
        b->x87[i] = x87;
    }
    if (t->single) {
        b->seen = tcache_alloc(2 * sizeof *b->seen);
        for (unsigned n = 0; n < 2; n++) {
            const uint8_t *page = n ? mem_ptr(t->phys2) : t->page;
            if (t->seen[n].from >= t->seen[n].to)
                continue;
            b->seen[n].from = (uint16_t)t->seen[n].from;
            b->seen[n].len = (uint16_t)(t->seen[n].to - t->seen[n].from);
            b->seen[n].bytes = tcache_alloc(b->seen[n].len);
            memcpy(b->seen[n].bytes, page + t->seen[n].from, b->seen[n].len);
        }
        b->insn_next = tcache_alloc(t->count * sizeof *b->insn_next);
        b->insn_steps = tcache_alloc(t->count * sizeof *b->insn_steps);
        for (unsigned i = 0; i < t->count; i++) {
            const struct ginsn *g = &t->g[i];
            b->insn_steps[i] = g->gclass == G_THUNK ? 3 : 1;
            int to = tr_is_branch(g) ? tr_insn_at(t, g->target) : -1;
            b->insn_next[i][0] = t->after[i] == AFTER_NEXT ? (int16_t)(i + 1) : -1;
            b->insn_next[i][1] = to >= 0 && t->label[to] ? (int16_t)to : -1;
        }
    }
    b->entry_count = t->entry_count + 1;
    b->entry = tcache_alloc(b->entry_count * sizeof *b->entry);
    b->entry[0] = (struct tentry){.phys = phys, .eip = eip, .host = b->host, .direct = (uint8_t *)(uintptr_t)t->start};
    memcpy(b->entry + 1, t->entry, t->entry_count * sizeof *t->entry);
    for (unsigned i = 0; i < b->entry_count; i++) {
        b->entry[i].block = b;
        b->entry[i].eip -= t->key_bias;
        b->entry[i].mode = t->key_mode;
        b->entry[i].cs_base = t->cs_base;
        b->entry[i].cs_limit = t->cs_limit;
    }
    b->exit = exits;
    b->exit_count = exit_count;
    for (unsigned i = 0; i < exit_count; i++)
        exits[i].block = b;
    b->jpage = t->shared ? jtable_page(phys, t->key_mode) : NULL;
    b->near = t->shared && t->phys2 != TBLOCK_NO_PAGE ? jtable_page(t->phys2, t->key_mode) : NULL;
    tcache_commit(b, &t->e);
    if (!t->single && !log_on(LOG_NOCHAIN))
        link_known(b);
    if (!t->mixed)
        mark_code(phys);
    if (t->phys2 != TBLOCK_NO_PAGE) {
        mark_code(t->phys2);
        if (!t->shared)
            jtable_depends(t->cs_base + eip, t->gla2);
    }
    if (log_on(LOG_TR | LOG_ASM) && log_wants(t->cs_base + eip))
        tr_dump(t, b);
    return &b->entry[0];
}

void tr_set_protect(tr_protect_fn *fn)
{
    tr_state.protect = fn;
}

struct tentry *tr_lookup(struct bt *bt, uint32_t eip, bool natural)
{
    gla_t gla = bt->cs_base + eip;
    gpa_t page;
    if (eip > bt->cs_limit)
        return NULL; /* the interpreter raises #GP */
    bool global;
    if (!tr_state.code_page(bt, gla & PAGE_MASK, &page, &global))
        return NULL;
    gpa_t phys = page + (gla & (PAGE_SIZE - 1));
    bool pic = is_pic(bt, eip, phys, global), shared = pic && !bt->single;
    tr_decide(bt, eip, phys);
    struct tentry *t = tcache_find(phys, shared ? eip & (PAGE_SIZE - 1) : eip, bt->mode | (shared ? MODE_SHARED : 0),
                                   bt->cs_base, bt->cs_limit);
    if (t && !shared && t->block->phys2 != TBLOCK_NO_PAGE) {
        gpa_t next;
        bool g2;
        bool mapped = tr_state.code_page(bt, t->block->gla2, &next, &g2);
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
    enum stat_id phase = stats_enter(STAT_translate);
    if ((t = tr_translate(bt, eip, phys, global, pic))) {
        stats_add(STAT_guest_bytes, t->block->guest_len);
        stats_add(STAT_guest_insns, t->block->insn_count);
        stats_add(STAT_host_bytes, t->block->host_len);
    }
    stats_leave(phase);
    if (t)
        t->natural = natural;
    return t;
}

bool tr_know_page(struct bt *bt, gla_t gla, uint32_t page)
{
    gpa_t phys;
    bool global;
    return tr_state.code_page(bt, gla, &phys, &global) && phys >> PAGE_SHIFT == page && !points_of_page(gla) &&
           !jtable_crowded() && jtable_know(bt->table, gla, jtable_page(phys, bt->mode | MODE_SHARED));
}

void tr_publish(struct bt *bt, uint32_t eip, struct tentry *entry)
{
    jtable_set(bt->table, eip, entry);
}

const void *tr_ret_slow(void)
{
    return tcache_tramp(TRAMP_RET_SLOW);
}

const void *tr_leave(void)
{
    return tcache_tramp(TRAMP_LEAVE);
}

void tr_code_written(void *opaque, gpa_t gpa, uint32_t len)
{
    stats_callout(STAT_code_write);
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

int tentry_insn_next(const struct tentry *entry, unsigned i, uint32_t eip)
{
    const struct tblock *b = entry->block;
    for (unsigned k = 0; k < 2; k++) {
        int next = b->insn_next[i][k];
        if (next >= 0 && tentry_insn_eip(entry, (unsigned)next) == eip)
            return next;
    }
    return -1;
}

unsigned tentry_insn_steps(const struct tentry *entry, unsigned i)
{
    return entry->block->insn_steps[i];
}

bool tentry_is_current(const struct tentry *entry)
{
    const struct tblock *b = entry->block;
    for (unsigned n = 0; n < 2; n++) {
        gpa_t page = (n ? b->phys2 : b->phys) & ~(gpa_t)(PAGE_SIZE - 1);
        if (b->seen[n].len && memcmp(mem_ptr(page) + b->seen[n].from, b->seen[n].bytes, b->seen[n].len))
            return false;
    }
    return true;
}

bool tentry_crosses(const struct tentry *entry)
{
    return entry->block->phys2 != TBLOCK_NO_PAGE;
}

uint32_t tr_exit_target(const struct bt *bt, uint32_t arg)
{
    const struct texit *x = tcache_exit_by_id(arg);
    return x->target + (x->block->jpage ? bt->bias : 0);
}

void tr_chain(struct bt *bt, uint32_t arg, struct tentry *entry)
{
    struct texit *x = tcache_exit_by_id(arg);
    if (x->to || x->block->dead || x->block->mode != entry->mode || x->target != entry->eip ||
        x->block->cs_limit != entry->cs_limit)
        return;
    bool paging = entry->mode & MODE_PAGING;
    if (paging) {
        gpa_t page;
        bool global;
        if (x->cross_page &&
            !(tr_state.code_page(bt, (entry->cs_base + entry->eip) & PAGE_MASK, &page, &global) && global))
            return;
        if (!depends_alike(x->block, entry) &&
            !(tr_state.code_page(bt, entry->block->gla2, &page, &global) && global)) {
            if (x->has_table)
                tcache_exit_by_table(x);
            return;
        }
    }
    tcache_link(x, entry);
}

/* Which instructions make a block, and which flags are live between them.
 *
 * A block is a region of one page: from its entry past calls and not-taken branches to an unconditional end,
 * then on at the nearest forward target of its own branches, and so on. Most loops and small functions become
 * one block, whose inner jumps need no chaining.
 */
#include <glib.h>
#include <string.h>

#include "log.h"
#include "mem.h"
#include "points.h"
#include "tr.h"
#include "block.h"
#include "cache.h"
#include "jtable.h"

static bool is_call(const struct ginsn *g)
{
    return g->gclass == G_CALL || g->gclass == G_CALL_IND;
}

static bool loads_segment(const struct ginsn *g)
{
    return g->gclass == G_MOV_TO_SEG || g->gclass == G_POP_SEG || g->gclass == G_LOAD_FAR;
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

bool tr_same_page(const struct tr *t, uint32_t eip)
{
    return (((t->cs_base + eip) ^ (t->cs_base + t->eip)) & PAGE_MASK) == 0;
}

/* The block depends on these bytes of its page (which = 1: of phys2). */
static void see(struct tr *t, unsigned which, unsigned off, unsigned len)
{
    t->seen[which].from = MIN(t->seen[which].from, off);
    t->seen[which].to = MAX(t->seen[which].to, off + len);
}

/* The interpreter is to have what is at eip, as it finds out (#UD), or knows (a breakpoint). */
static void make_interp(const struct tr *t, struct ginsn *g, uint32_t eip)
{
    memset(g, 0, sizeof *g);
    g->eip = eip;
    g->len = 1;
    g->bytes[0] = t->page[(t->cs_base + eip) & (PAGE_SIZE - 1)]; /* for the entry check, or the block would be stale for
                                                                    ever */
    g->gclass = G_INTERP;
}

/* An instruction that is not to be in the block, but decides what the block is. In a mixed page nothing may depend on
 * one: nobody would notice its change. At a breakpoint all that is known is that the block is left. */
static bool look_beyond(struct tr *t, uint32_t eip, struct ginsn *g)
{
    unsigned off = (t->cs_base + eip) & (PAGE_SIZE - 1);
    if (t->mixed || !tr_same_page(t, eip) ||
        !ginsn_decode(g, t->page + off, PAGE_SIZE - off, eip, t->code32, t->bt->isa))
        return false;
    if (unlikely(points_break_at(t->cs_base + eip)))
        make_interp(t, g, eip);
    see(t, 0, off, g->len);
    return true;
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

/* tr_state.undecided: call sites whose target was not mapped when they were translated, by the EIP called. */
#define UNDECIDED_MAX   4096
#define UNDECIDED_SITES 64

static void undecided_add(uint32_t target, gpa_t site)
{
    if (!tr_state.undecided)
        tr_state.undecided = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_array_unref);
    if (g_hash_table_size(tr_state.undecided) >= UNDECIDED_MAX)
        g_hash_table_remove_all(tr_state.undecided);
    GArray *sites = g_hash_table_lookup(tr_state.undecided, GUINT_TO_POINTER(target));
    if (!sites) {
        sites = g_array_new(FALSE, FALSE, sizeof(gpa_t));
        g_hash_table_insert(tr_state.undecided, GUINT_TO_POINTER(target), sites);
    }
    if (sites->len < UNDECIDED_SITES)
        g_array_append_val(sites, site);
}

/* If what is at eip is a thunk, its callers are to be translated anew with it inside. */
void tr_decide(const struct bt *bt, uint32_t eip, gpa_t phys)
{
    GArray *sites = tr_state.undecided ? g_hash_table_lookup(tr_state.undecided, GUINT_TO_POINTER(eip)) : NULL;
    if (!sites)
        return;
    const uint8_t *page = mem_ptr(phys & ~(gpa_t)(PAGE_SIZE - 1));
    unsigned off = (bt->cs_base + eip) & (PAGE_SIZE - 1);
    if (page && off + THUNK_LEN <= PAGE_SIZE && is_thunk(page + off))
        for (unsigned i = 0; i < sites->len; i++)
            tcache_invalidate(g_array_index(sites, gpa_t, i), 1);
    g_hash_table_remove(tr_state.undecided, GUINT_TO_POINTER(eip));
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
    if (!tr_same_page(t, g->target)) {
        bool global;
        if (!tr_state.code_page(t->bt, gla, &phys, &global)) {
            undecided_add(g->target, (t->phys & ~(gpa_t)(PAGE_SIZE - 1)) + (g->eip & (PAGE_SIZE - 1)));
            return;
        }
        int64_t far = (int64_t)(int32_t)(gla - t->bias);
        page = mem_ptr(phys);
        if (!page || (t->shared && ABS(far) >= (int64_t)(JTABLE_MARGIN / 4) << JTABLE_UNIT_SHIFT) ||
            tcache_page_is_mixed(phys) || (t->phys2 != TBLOCK_NO_PAGE && t->gla2 != gla) ||
            (t->cpl != 3 && !(t->global && global)))
            return;
    }
    if (!is_thunk(page + off) || points_break_at(g->target) || points_break_at(g->target + THUNK_LEN - 1))
        return;
    see(t, phys != TBLOCK_NO_PAGE, off, THUNK_LEN);
    if (phys != TBLOCK_NO_PAGE) {
        t->phys2 = phys;
        t->gla2 = gla;
    }
    g->gclass = G_THUNK;
    g->reg = page[off + 1] >> 3 & 7;
}

/* Marks differ from block to block, so that the numbers need not be cleared for each. */
#define MARK_SHIFT 7
_Static_assert(TR_MAX_INSNS <= 1 << MARK_SHIFT, "a number and a mark");

static void numbers_begin(struct tr *t)
{
    t->mark = (uint16_t)(t->mark + (1u << MARK_SHIFT));
    if (!t->mark) {
        memset(t->number, 0, sizeof t->number);
        t->mark = 1u << MARK_SHIFT;
    }
}

/* Instruction t->count is in the block. */
static void count_insn(struct tr *t)
{
    unsigned off = (t->cs_base + t->g[t->count].eip) & (PAGE_SIZE - 1);
    uint16_t *n = &t->number[off];
    see(t, 0, off, MIN(t->g[t->count].len, PAGE_SIZE - off));
    if (*n >> MARK_SHIFT != t->mark >> MARK_SHIFT) /* else it is a copy */
        *n = (uint16_t)(t->mark | t->count);
    t->count++;
}

int tr_insn_at(const struct tr *t, uint32_t eip)
{
    uint16_t n = t->number[(t->cs_base + eip) & (PAGE_SIZE - 1)];
    unsigned i = n & ((1u << MARK_SHIFT) - 1);
    return n >> MARK_SHIFT == t->mark >> MARK_SHIFT && i < t->count && t->g[i].eip == eip ? (int)i : -1;
}

/* --- the shared end of many paths --- */

/* Whether a block that comes to "jmp target" should have a copy of what is there: a short way to an
 * indirect jump or a return. A switch in a loop has one such way behind all its cases; with a copy each,
 * the host predicts each by itself. Returns the number of instructions to copy. */
#define TAIL_MAX 16
static unsigned tail_length(struct tr *t, uint32_t target)
{
    unsigned n = 0;
    for (uint32_t eip = target; n < TAIL_MAX && tr_same_page(t, eip);) {
        struct ginsn g;
        if (!look_beyond(t, eip, &g))
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
        case G_INT:
        case G_IRET:
        case G_SYSENTER:
        case G_SYSEXIT:
        case G_CALL_FAR:
        case G_JMP_FAR:
        case G_RET_FAR:
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

/* A CALL that pushes 16 bits of an EIP beyond 64 KiB: what follows it is not where it returns to. */
static bool returns_elsewhere(const struct ginsn *g)
{
    return g->opsize == 16 && g->eip + g->len > 0xffff;
}

static bool ends_block(const struct tr *t, const struct ginsn *g)
{
    if (is_call(g) && returns_elsewhere(g))
        return true;
    if (t->mixed && stores(g))
        return false; /* see decode_run: ends, but falls through */
    switch (g->gclass) {
    case G_INTERP:
    case G_RET:
    case G_JMP:
    case G_JMP_IND:
    case G_INT:
    case G_IRET:
    case G_SYSENTER:
    case G_SYSEXIT:
    case G_CALL_FAR:
    case G_JMP_FAR:
    case G_RET_FAR:
        return true;
    case G_CALL:
    case G_CALL_IND:
        return !t->use_table; /* no private stack: the return comes as a lookup */
    default:
        return false;
    }
}

/* In 16-bit code too EIP has 32 bits as long as nothing jumps: it runs past FFFFh if the limit lets it, and #GP is the
 * interpreter's if not. */
uint32_t tr_next_eip(const struct ginsn *g)
{
    return g->gclass == G_FOLLOWED ? g->target : g->eip + g->len;
}

static bool is_known(const struct tr *t, uint32_t eip)
{
    gpa_t phys = (t->phys & ~(gpa_t)(PAGE_SIZE - 1)) + ((t->cs_base + eip) & (PAGE_SIZE - 1));
    const struct tentry *known =
        tcache_find(phys, t->shared ? eip & (PAGE_SIZE - 1) : eip, t->key_mode, t->cs_base, t->cs_limit);
    return known && known->natural;
}

/* The instruction at the page's end that reaches into the next page, as a block of its own. */
static bool decode_crossing(struct tr *t, uint32_t eip, unsigned avail)
{
    struct ginsn *g = &t->g[0];
    uint8_t bytes[30];
    gpa_t next;
    bool global;
    memcpy(bytes, t->page + PAGE_SIZE - avail, avail);
    if (!tr_state.code_page(t->bt, (t->cs_base + eip + avail) & PAGE_MASK, &next, &global) || !mem_ptr(next))
        return false;
    memcpy(bytes + avail, mem_ptr(next), 15);
    if (!ginsn_decode(g, bytes, 15, eip, t->code32, t->bt->isa))
        return false;
    uint32_t last = g->eip + g->len - 1;
    if (last > t->cs_limit || last < g->eip)
        return false; /* #GP */
    t->phys2 = next;
    t->gla2 = (t->cs_base + eip + avail) & PAGE_MASK;
    t->global = t->global && global;
    see(t, 1, 0, g->len - avail);
    count_insn(t);
    t->after[0] = ends_block(t, g) ? AFTER_NONE : AFTER_EXIT;
    return true;
}

/* An instruction accesses memory through GS. */
static void see_gs(struct tr *t)
{
    if (!bt_hides_gs(t->bt, t->mode))
        return;
    t->bt->gs_seen = true;
    t->bt->cpu.changed |= CHANGED_MODE; /* taken notice of after this visit */
}

/* Instructions from eip to an unconditional end, a known block, or a limit. *high: EIP behind the highest
 * instruction decoded, copies apart. */
static void decode_run(struct tr *t, uint32_t eip, uint32_t *high)
{
    unsigned tail = 0; /* instructions that are being copied */
    unsigned first = t->count;
    while (t->count < TR_MAX_INSNS) {
        unsigned off = (t->cs_base + eip) & (PAGE_SIZE - 1), avail = PAGE_SIZE - off;
        struct ginsn *g = &t->g[t->count];
        if (!tail && t->count && !t->single && is_known(t, eip))
            break;
        if (unlikely(points_break_at(t->cs_base + eip))) {
            make_interp(t, g, eip);
        } else if (!ginsn_decode(g, t->page + off, avail, eip, t->code32, t->bt->isa)) {
            if (avail < 15) {
                if (!t->count)
                    decode_crossing(t, eip, avail);
                break;
            }
            make_interp(t, g, eip);
        }
        if ((g->gclass == G_IN || g->gclass == G_OUT) && !tr_may_call_ports(t))
            g->gclass = G_INTERP;
        if (g->gclass == G_INVLPG && !tr_may_call_invlpg(t, g))
            g->gclass = G_INTERP;
        uint32_t last = g->eip + g->len - 1;
        if (last > t->cs_limit || last < g->eip)
            break; /* #GP: not even fetched */
        if (t->single && t->count && g->gclass == G_INTERP)
            break; /* lockstep lets the interpreter have it alone */
        uint8_t *after = &t->after[t->count];
        count_insn(t);
        *after = AFTER_NEXT;
        eip = tr_next_eip(g);
        if (!tail)
            *high = g->eip + g->len;
        if (g->gclass == G_CALL)
            try_thunk(t, g);
        else if (unlikely(g->seg == SEG_GS))
            see_gs(t);
        if (g->gclass == G_JMP && t->regions && tr_insn_at(t, g->target) < 0 && g->target <= t->cs_limit) {
            if (tail)
                tail--;
            else if (t->count < TR_MAX_INSNS - TAIL_MAX)
                tail = tail_length(t, g->target);
            if (tail) {
                g->gclass = G_FOLLOWED;
                eip = g->target;
                continue;
            }
        } else if (tail) {
            tail--;
        }
        if (ends_block(t, g)) {
            *after = AFTER_NONE;
            return;
        }
        /* In a mixed page, a store may have changed the instruction that follows. Lockstep looks at a new segment
         * before it goes on. */
        if ((t->mixed && stores(g)) || (t->single && loads_segment(g)) || !tr_same_page(t, eip) || eip < g->eip)
            break;
    }
    if (t->count > first && t->after[t->count - 1] == AFTER_NEXT)
        t->after[t->count - 1] = AFTER_EXIT;
}

/* The lowest target, from EIP `from` on and not far from `high`, of the block's jumps that is not in it. */
#define REGION_GAP 64
static bool find_target(const struct tr *t, uint32_t from, uint32_t high, uint32_t *target)
{
    bool found = false;
    for (unsigned i = 0; i < t->count; i++) {
        const struct ginsn *g = &t->g[i];
        if (!tr_is_branch(g))
            continue;
        if (g->target < from || g->target - high > REGION_GAP || !tr_same_page(t, g->target) ||
            tr_insn_at(t, g->target) >= 0 || (found && g->target >= *target))
            continue;
        *target = g->target;
        found = true;
    }
    return found;
}

bool tr_decode(struct tr *t)
{
    uint32_t high = t->eip, from, target = 0;
    t->phys2 = TBLOCK_NO_PAGE;
    numbers_begin(t);
    for (unsigned n = 0; n < 2; n++) {
        t->seen[n].from = PAGE_SIZE;
        t->seen[n].to = 0;
    }
    decode_run(t, t->eip, &high);
    if (!t->count)
        return false;
    if (!t->regions)
        return true;
    from = high;
    while (t->count < TR_MAX_INSNS && find_target(t, from, high, &target)) {
        unsigned count = t->count;
        if (t->single || !is_known(t, target))
            decode_run(t, target, &high);
        from = t->count > count ? high : target + 1;
    }
    return true;
}

/* Flags live at eip, by a short look at the instructions there. In lockstep, which compares them, all of them are. */
static uint32_t flags_live_at(struct tr *t, uint32_t eip)
{
    uint32_t live = 0, unknown = FL_ARITH;
    for (unsigned n = 0; n < 4 && unknown; n++) {
        struct ginsn g;
        if (!look_beyond(t, eip, &g))
            break;
        if (g.gclass == G_INTERP || g.gclass == G_INT || g.gclass == G_SYSENTER || g.gclass == G_SYSEXIT ||
            g.gclass == G_CALL_FAR || g.gclass == G_JMP_FAR || g.gclass == G_RET_FAR)
            break;
        if (g.gclass == G_IRET) {
            unknown = 0;
            break;
        }
        live |= g.flags_read & unknown;
        unknown &= ~(g.flags_read | g.flags_kill);
        if (g.gclass == G_JMP)
            eip = g.target;
        else if (is_call(&g) || g.gclass == G_RET || g.gclass == G_JMP_IND || g.gclass == G_JCC || g.gclass == G_JCXZ ||
                 g.gclass == G_LOOP)
            break;
        else
            eip = g.eip + g.len;
    }
    return t->single ? FL_ARITH : live | unknown;
}

/* A G_GENERIC that may raise something: by its operand, an x87 or SSE error, DIV and IDIV. */
static bool may_fault(const struct ginsn *g)
{
    return g->is_mem || g->fpu || ginsn_divides(g);
}

void tr_analyse(struct tr *t)
{
    for (unsigned i = 0; i < t->count && !t->mixed; i++) {
        const struct ginsn *g = &t->g[i];
        if (tr_is_branch(g)) {
            int at = tr_insn_at(t, g->target);
            if (at >= 0)
                t->join[at] = true;
            if (at >= 0 && at <= (int)i)
                t->loop[at] = true;
        }
    }
    for (unsigned i = t->count; i-- > 0;) {
        const struct ginsn *g = &t->g[i];
        uint32_t out = t->after[i] == AFTER_NEXT   ? t->live_in[i + 1]
                       : t->after[i] == AFTER_NONE ? 0
                                                   : flags_live_at(t, tr_next_eip(g));
        t->live_out[i] = out;
        switch (g->gclass) {
        case G_JCC:
        case G_JCXZ:
        case G_LOOP: {
            int at = tr_insn_at(t, g->target);
            out |= t->single && at >= 0 ? FL_ARITH : at > (int)i ? t->live_in[at] : flags_live_at(t, g->target);
            break;
        }
        case G_JMP:
        case G_CALL:
            out = flags_live_at(t, g->target);
            break;
        case G_CALL_IND:
        case G_RET:
        case G_JMP_IND:
        case G_INTERP:
        case G_INT:
        case G_SYSENTER:
        case G_SYSEXIT:
        case G_CALL_FAR:
        case G_JMP_FAR:
        case G_RET_FAR:
            out = FL_ARITH;
            break;
        default:
            break;
        }
        t->live_in[i] = (out & ~g->flags_kill) | g->flags_read;
        /* In lockstep the flags in the frame of a fault are compared. */
        if (t->single && (g->gclass != G_GENERIC || may_fault(g)))
            t->live_in[i] = FL_ARITH;
    }
}

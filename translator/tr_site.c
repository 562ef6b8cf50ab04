/* Sites: instructions that look before they touch.
 *
 * An access to what is not mapped costs a host signal, some microseconds; to look first costs a nanosecond or two. So
 * an instruction whose memory operand faults again and again (touching fresh memory, copying to and from programs, a
 * device's memory) is translated anew with a look into the window's list of mapped pages in front, and leaves with
 * EXIT_SITE where the page is not there. Where interrupts find the processor at one again and again, and it has seldom
 * missed in between, it costs more than it saves: it is translated as before, and has to fault more often the next
 * time. (Counting looks would tell the same, but makes each wait for the last: a loop that fills memory word by word
 * took half as long again.)
 *
 * Some pages are touched a few times and then unmapped by the guest: Linux patches its own code through such mappings,
 * thousands of times while it starts, and where memory is high it reaches page tables and fresh pages by no other way.
 * To map a page and take it out again costs as much as some sixty touches by a call out of translated code (tr_touch.c)
 * or a few interpreted instructions. So a page is mapped when that much has been spent on touching it without; who
 * does so at most pays twice. A site whose pages are all mapped in the end pays once: it maps at once for a while.
 *
 * A division by zero costs the same signal, and is looked for in the same way.
 *
 * What is found by looking is what the access would have found, but for what lies beyond the operand's first page: the
 * access itself finds that out. RCX serves for the look, as JECXZ is the one conditional jump without flags.
 */
#include "tr.h"

#include "stats.h"
#include "cache.h"
#include "site.h"

#define FAULTS     8  /* before it is a site: retranslating costs as much */
#define IDLE       32 /* before another one gets its place */
#define TIMES_MAX  8  /* twice as many each time it was given up */
#define SELDOM     64 /* misses between two samples: their signals would cost less than the looks of some milliseconds */
#define SELDOM_MAX 4  /* samples of an instruction that seldom misses */

static struct {
    struct site {
        gpa_t phys;      /* of the instruction; 0: free */
        uint32_t faults; /* while it is off, see FAULTS */
        uint8_t times;   /* it was given up, see TIMES_MAX */
        uint8_t idle;    /* while it is on: faults of others that want its place, since its own last miss; */
        uint8_t seldom;  /* samples, one after the other, with few misses since the one before; */
        uint16_t misses; /* since the last sample */
        bool on;         /* it looks */
        bool device;     /* it has found one's memory */
        bool due;        /* to be turned on by tr_sites_take */
        bool leave;      /* to be turned off by it */
        uint8_t sure;    /* that pages it touches are not worth mapping */
        uint8_t rest;    /* misses until that is tried again */
    } site[SITES];
    /* Pages that were touched without being mapped, by hash. */
    struct guess {
        struct site *site; /* the first that did; NULL: free */
        uint64_t page;     /* its number, see tr_site_interprets */
        gpa_t frame;       /* where it was then */
        uint32_t spent;    /* on its touches, see MAPPING_COSTS */
    } guess[64];
    /* How many sites are on in the pages of physical memory, by the low bits of their number: most have none. */
    uint16_t on_in_page[256];
} sites;

static uint16_t *on_in(gpa_t phys)
{
    return &sites.on_in_page[phys >> PAGE_SHIFT & (G_N_ELEMENTS(sites.on_in_page) - 1)];
}

static unsigned site_number(gpa_t phys)
{
    return (unsigned)(phys * 0x9e3779b97f4a7c15ull >> 54);
}
_Static_assert(SITES == 1 << (64 - 54), "site_number's range");

static bool host_has_shrx(void)
{
    return __builtin_cpu_supports("bmi2");
}

/* --- who is one --- */

/* Where instruction number insn of the block is; 0: in its second page, which nobody asks for. */
static gpa_t phys_of(const struct tblock *b, unsigned insn)
{
    gla_t first = b->cs_base + b->eip, at = first + (uint32_t)b->insn_off[insn];
    return (first ^ at) & PAGE_MASK ? 0 : b->phys + (gpa_t)(int64_t)b->insn_off[insn];
}

void tr_site_fault(struct bt *bt, const void *pc)
{
    const struct tblock *b = tcache_block_at(pc);
    gpa_t phys = b ? phys_of(b, tblock_row(b, pc)->insn) : 0;
    if (!phys || !host_has_shrx())
        return;
    struct site *s = &sites.site[site_number(phys)];
    if (s->phys != phys) {
        if (s->on || s->due) { /* taken */
            s->leave = ++s->idle >= IDLE;
            bt->sites_due |= s->leave;
            return;
        }
        *s = (struct site){.phys = phys};
    }
    if (s->on || ++s->faults < (uint32_t)FAULTS << s->times)
        return;
    s->due = true;
    bt->sites_due = true;
}

static void turn_off(struct site *s)
{
    s->leave = false;
    s->idle = 0;
    if (!s->on)
        return;
    s->on = false;
    --*on_in(s->phys);
    stats_count(STAT_sites_off);
    tcache_invalidate(s->phys, 1);
}

void tr_sites_take(struct bt *bt)
{
    bt->sites_due = false;
    for (unsigned n = 0; n < SITES; n++) {
        struct site *s = &sites.site[n];
        if (s->leave)
            turn_off(s);
        if (!s->due)
            continue;
        s->due = false;
        s->on = true;
        ++*on_in(s->phys);
        s->faults = 0;
        s->seldom = 0;
        s->misses = 0;
        stats_count(STAT_sites_on);
        tcache_invalidate(s->phys, 1);
    }
}

static bool missed(struct site *s)
{
    if (!s->on)
        return false;
    s->misses += s->misses < UINT16_MAX;
    s->idle = 0;
    return true;
}

bool tr_site_missed(struct bt *bt)
{
    return missed(&sites.site[bt->exit_arg % SITES]);
}

static void sample(struct bt *bt, struct site *s)
{
    s->seldom = s->misses < SELDOM ? s->seldom + 1 : 0;
    s->misses = 0;
    if (s->seldom < SELDOM_MAX)
        return;
    s->seldom = 0;
    s->times += s->times < TIMES_MAX;
    s->leave = true;
    bt->sites_due = true;
}

void tr_site_sample(struct bt *bt, const void *pc)
{
    const struct tblock *b = tcache_block_at(pc);
    if (!b || !*on_in(b->phys))
        return;
    for (unsigned i = 0; i < b->insn_count; i++) {
        gpa_t phys = phys_of(b, i);
        struct site *s = &sites.site[site_number(phys)];
        if (phys && s->on && s->phys == phys)
            sample(bt, s);
    }
}

bool tr_site_answers(unsigned n)
{
    struct site *s = &sites.site[n];
    if (!missed(s))
        return false;
    s->device = true;
    return true;
}

bool tr_site_is_device(unsigned n)
{
    return sites.site[n].device;
}

/* --- pages that are not worth mapping --- */

#define MAPPING_COSTS 64 /* calls by translated code: that is the unit */
#define INTERPRETING  16
#define SURE_MAX      8
#define SURE_LESS     4
#define REST          64

static struct guess *guess_of(uint64_t page)
{
    return &sites.guess[page * 0x9e3779b97f4a7c15ull >> 58];
}
_Static_assert(G_N_ELEMENTS(sites.guess) == 1 << (64 - 58), "guess_of's range");

static void was_right(struct site *s)
{
    s->sure += s->sure < SURE_MAX;
}

/* What is known of the page where it is now. */
static struct guess *known(uint64_t page, gpa_t frame)
{
    struct guess *g = guess_of(page);
    return g->site && g->page == page && g->frame == frame ? g : NULL;
}

static bool is_worth(const struct site *s, const struct guess *g, unsigned cost)
{
    return g ? g->spent + cost <= MAPPING_COSTS : !s->rest;
}

static void spend(struct site *s, uint64_t page, gpa_t frame, unsigned cost)
{
    struct guess *g = known(page, frame);
    if (g) {
        g->spent += cost;
        return;
    }
    g = guess_of(page);
    if (g->site)
        was_right(g->site); /* nobody has come back to that one for a while, or it has become another */
    *g = (struct guess){s, page, frame, cost};
}

void tr_site_mapped(uint64_t page, gpa_t frame)
{
    struct guess *g = known(page, frame);
    if (!g)
        return;
    struct site *s = g->site;
    g->site = NULL;
    if (s->sure >= SURE_LESS) {
        s->sure -= SURE_LESS;
    } else {
        s->sure = 0;
        s->rest = REST;
    }
}

void tr_site_unmapped(uint64_t page)
{
    struct guess *g = guess_of(page);
    if (!g->site || g->page != page)
        return;
    was_right(g->site);
    g->site = NULL;
}

bool tr_site_interprets(const struct bt *bt, uint64_t page, gpa_t frame)
{
    struct site *s = &sites.site[bt->exit_arg % SITES];
    if (is_worth(s, known(page, frame), INTERPRETING))
        return true;
    s->rest -= s->rest > 0;
    return false;
}

void tr_site_interpreted(const struct bt *bt, uint64_t page, gpa_t frame)
{
    spend(&sites.site[bt->exit_arg % SITES], page, frame, INTERPRETING);
}

bool tr_site_touches(unsigned n, uint64_t page, gpa_t frame)
{
    struct site *s = &sites.site[n];
    if (!is_worth(s, known(page, frame), 1) || !missed(s))
        return false;
    spend(s, page, frame, 1);
    return true;
}

/* --- looking --- */

unsigned tr_site_of(const struct tr *t, uint32_t eip)
{
    gla_t first = t->cs_base + t->eip, at = t->cs_base + eip;
    if (!*on_in(t->phys) || (first ^ at) & PAGE_MASK)
        return 0;
    gpa_t phys = t->phys + (gpa_t)(int64_t)(int32_t)(at - first);
    unsigned n = site_number(phys);
    return sites.site[n].on && sites.site[n].phys == phys ? n + 1 : 0;
}

_Static_assert(SITE_WRITE + SITE_EXACT + SITE_COUNT + SITE_CALLS + SITE_BULK + SITE_DIV ==
                       (SITE_WRITE | SITE_EXACT | SITE_COUNT | SITE_CALLS | SITE_BULK | SITE_DIV) &&
                   SITE_WRITE >= SITES,
               "a bit each, beside the number");

/* Leaves if RCX is 0. The guest's ECX is in R11. */
static void leave_if_missed(struct tr *t, uint32_t flags)
{
    struct emit *e = &t->e;
    uint8_t *missed = emit_jecxz_fwd(e);
    emit_mov_rr(e, RCX, R11);
    uint8_t *there = emit_jmp_fwd(e);
    emit_fix8(e, missed);
    emit_mov_rr(e, RCX, R11);
    tr_pend_slow(t, emit_jmp_fwd(e), false);
    t->pend[t->pend_count - 1].site = ((t->site - 1) | flags) + 1;
    emit_fix(e, there);
}

/* The linear address is in R8. */
static void look(struct tr *t, uint32_t flags)
{
    struct emit *e = &t->e;
    struct hmem page = {.base = R14, .index = R9, .disp = flags & SITE_WRITE ? -WINDOW_WRITABLE : -WINDOW_READABLE};
    emit_mov_rr(e, R11, RCX);
    tr_row(t, ROW_GLUE, 0);
    emit_mov_ri(e, R9, PAGE_SHIFT);
    emit_shrx(e, false, R9, R8, R9);
    emit_hop(e, &(struct hop){.map = 1, .opcode = 0xb6, .modrm = true, .reg = RCX, .mem = &page});
    leave_if_missed(t, flags);
}

/* The divisor into R9: zero-extended, so that what it is compared with is, too. */
static void load_divisor(struct emit *e, const struct hop *op)
{
    if (op->opcode == 0xf6)
        emit_hop(e, &(struct hop){
                        .map = 1, .opcode = 0xb6, .modrm = true, .reg = R9, .rm = op->rm, .mem = op->mem, .rex = true});
    else if (op->p66)
        emit_hop(e, &(struct hop){.map = 1, .opcode = 0xb7, .modrm = true, .reg = R9, .rm = op->rm, .mem = op->mem});
    else
        emit_hop(e, &(struct hop){.opcode = 0x8b, .modrm = true, .reg = R9, .rm = op->rm, .mem = op->mem});
}

void tr_site_look_divisor(struct tr *t, const struct ginsn *g, const struct hop *op)
{
    struct emit *e = &t->e;
    if (!t->site || !ginsn_divides(g))
        return;
    if (g->rm_kind == GO_GPR8 && g->rm >= 4)
        return; /* AH to BH cannot be named beside R9 */
    load_divisor(e, op);
    emit_mov_rr(e, R11, RCX);
    tr_row(t, ROW_GLUE, 0);
    if (g->reg == 7) {
        emit_mov_rr(e, RCX, R9); /* IDIV: whether the quotient has room would take too long to find out */
    } else {
        /* DIV: the dividend's upper half is to be less than the divisor, so that divisor + ~half has a carry. */
        if (op->opcode == 0xf6) {
            emit_movzw(e, R10, RAX);
            emit_mov_ri(e, RCX, 8);
            emit_shrx(e, false, R10, R10, RCX);
        } else if (op->p66) {
            emit_movzw(e, R10, RDX);
        } else {
            emit_mov_rr(e, R10, RDX);
        }
        struct hmem sum = {.base = R9, .index = R10};
        emit_not(e, R10);
        emit_lea64(e, R9, &sum);
        emit_mov_ri(e, RCX, 32);
        emit_shrx(e, true, RCX, R9, RCX);
    }
    leave_if_missed(t, SITE_DIV);
}

void tr_site_look(struct tr *t, const struct ginsn *g, unsigned size, bool write, struct hmem *m)
{
    if (!t->site || !size)
        return;
    if (m->gs) {
        struct hmem linear = {.base = m->base, .index = m->index, .scale = m->scale, .disp = m->disp};
        if (m->base == HREG_NONE && m->index == HREG_NONE)
            emit_mov_ri(&t->e, R8, (uint32_t)m->disp);
        else
            emit_lea32(&t->e, R8, &linear);
    } else if (m->index != R8) { /* R14 + a register */
        emit_mov_rr(&t->e, R8, m->index);
    }
    /* What an FPU instruction raises depends on more than the page. Nor must a hint (PREFETCH, NOP) raise anything,
     * should there be one by now where an access was. */
    bool hint = g->map == 1 && (g->opcode == 0x0d || g->opcode == 0x18 || g->opcode == 0x1f);
    enum touch touch = tr_touch_of(t, g);
    look(t, (write ? SITE_WRITE : 0) | (!g->fpu && !hint ? SITE_EXACT : 0) | (touch ? SITE_CALLS : 0));
    if (touch) {
        struct pend *p = &t->pend[t->pend_count - 1];
        p->touch = (uint8_t)touch;
        p->insn = (uint8_t)t->i;
        p->back = NULL;
        t->settle_count++; /* it takes more room than others */
    }
    *m = (struct hmem){.base = R14, .index = R8};
}

void tr_site_look_at(struct tr *t, uint8_t reg, bool write, bool rep, bool bulk)
{
    if (!t->site)
        return;
    emit_mov_rr(&t->e, R8, reg);
    look(t, (write ? SITE_WRITE : 0) | (rep ? SITE_COUNT : 0) | (bulk ? SITE_BULK : 0));
}

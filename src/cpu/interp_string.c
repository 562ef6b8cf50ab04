/* String instructions and their repetition. Intel SDM vol. 2, MOVS to STOS, REP.
 *
 * A REP instruction runs many iterations per step: each one is complete (registers and memory) before
 * the next, so a fault or a pause leaves the state the processor would leave. REP MOVS and STOS on plain
 * memory go page piece by page piece. */
#include "interp.h"

#include "hostcpu.h"
#include "io.h"

#define OP(name) static enum cpu_rc name(struct cpu *cpu, const struct insn *insn)

/* Iterations of the slow loop per step: bounds how long an interrupt waits. */
#define REP_BATCH 64u

/* Element size: opcode bit 0 clear means bytes. */
static inline unsigned element_size(const struct insn *insn)
{
    return insn->opcode & 1 ? insn->opsize : 1u;
}

static inline uint32_t index_get(const struct cpu *cpu, const struct insn *insn, enum gpr reg)
{
    return insn->adsize == 4 ? cpu->gpr[reg] : cpu->gpr[reg] & 0xffff;
}

static inline void index_set(struct cpu *cpu, const struct insn *insn, enum gpr reg, uint32_t value)
{
    if (insn->adsize == 4)
        cpu->gpr[reg] = value;
    else
        *interp_reg16(cpu, reg) = (uint16_t)value;
}

static inline void index_move(struct cpu *cpu, const struct insn *insn, enum gpr reg, unsigned size)
{
    index_set(cpu, insn, reg, (cpu->eflags & FL_DF) ? cpu->gpr[reg] - size : cpu->gpr[reg] + size);
}

static inline enum cpu_rc read_element(struct cpu *cpu, unsigned seg, goff_t offset, unsigned size, uint32_t *value)
{
    switch (size) {
    case 1:
        return interp_read(cpu, seg, offset, 1, value);
    case 2:
        return interp_read(cpu, seg, offset, 2, value);
    default:
        return interp_read(cpu, seg, offset, 4, value);
    }
}

static inline enum cpu_rc write_element(struct cpu *cpu, unsigned seg, goff_t offset, unsigned size, uint32_t value)
{
    switch (size) {
    case 1:
        return interp_write(cpu, seg, offset, 1, value);
    case 2:
        return interp_write(cpu, seg, offset, 2, value);
    default:
        return interp_write(cpu, seg, offset, 4, value);
    }
}

/* One iteration each; *stop ends REPE/REPNE. */
typedef enum cpu_rc iteration_fn(struct cpu *cpu, const struct insn *insn, unsigned size);

static enum cpu_rc one_movs(struct cpu *cpu, const struct insn *insn, unsigned size)
{
    uint32_t value;
    enum cpu_rc rc = read_element(cpu, insn->seg, index_get(cpu, insn, ESI), size, &value);

    if (rc == CPU_OK)
        rc = write_element(cpu, SEG_ES, index_get(cpu, insn, EDI), size, value);
    if (rc != CPU_OK)
        return rc;
    index_move(cpu, insn, ESI, size);
    index_move(cpu, insn, EDI, size);
    return CPU_OK;
}

static enum cpu_rc one_stos(struct cpu *cpu, const struct insn *insn, unsigned size)
{
    enum cpu_rc rc = write_element(cpu, SEG_ES, index_get(cpu, insn, EDI), size, cpu->gpr[EAX]);

    if (rc == CPU_OK)
        index_move(cpu, insn, EDI, size);
    return rc;
}

static void set_accumulator(struct cpu *cpu, unsigned size, uint32_t value)
{
    memcpy(&cpu->gpr[EAX], &value, size);
}

static enum cpu_rc one_lods(struct cpu *cpu, const struct insn *insn, unsigned size)
{
    uint32_t value;
    enum cpu_rc rc = read_element(cpu, insn->seg, index_get(cpu, insn, ESI), size, &value);

    if (rc != CPU_OK)
        return rc;
    set_accumulator(cpu, size, value);
    index_move(cpu, insn, ESI, size);
    return CPU_OK;
}

static void compare(struct cpu *cpu, uint32_t a, uint32_t b, unsigned size)
{
    uint32_t ax;

    switch (size) {
    case 1:
        __asm__("cmpb %b2, %b1\n\tlahf\n\tseto %%al" : "=a"(ax) : "q"(a), "q"(b) : "cc");
        break;
    case 2:
        __asm__("cmpw %w2, %w1\n\tlahf\n\tseto %%al" : "=a"(ax) : "r"(a), "r"(b) : "cc");
        break;
    default:
        __asm__("cmpl %2, %1\n\tlahf\n\tseto %%al" : "=a"(ax) : "r"(a), "r"(b) : "cc");
        break;
    }
    cpu->eflags = (cpu->eflags & ~FL_ARITH) | ((ax >> 8) & 0xd5) | (ax & 1) << 11;
}

static enum cpu_rc one_cmps(struct cpu *cpu, const struct insn *insn, unsigned size)
{
    uint32_t a, b;
    /* What is missing is found in this order by AMD's family 1Ah; no manual says. */
    bool si_first = size == 1 && insn->rep == REP;
    enum cpu_rc rc = CPU_OK;

    if (si_first)
        rc = read_element(cpu, insn->seg, index_get(cpu, insn, ESI), size, &a);
    if (rc == CPU_OK)
        rc = read_element(cpu, SEG_ES, index_get(cpu, insn, EDI), size, &b);
    if (rc == CPU_OK && !si_first)
        rc = read_element(cpu, insn->seg, index_get(cpu, insn, ESI), size, &a);
    if (rc != CPU_OK)
        return rc;
    compare(cpu, a, b, size);
    index_move(cpu, insn, ESI, size);
    index_move(cpu, insn, EDI, size);
    return CPU_OK;
}

static enum cpu_rc one_scas(struct cpu *cpu, const struct insn *insn, unsigned size)
{
    uint32_t b;
    enum cpu_rc rc = read_element(cpu, SEG_ES, index_get(cpu, insn, EDI), size, &b);

    if (rc != CPU_OK)
        return rc;
    compare(cpu, cpu->gpr[EAX], b, size);
    index_move(cpu, insn, EDI, size);
    return CPU_OK;
}

static enum cpu_rc one_ins(struct cpu *cpu, const struct insn *insn, unsigned size)
{
    uint16_t port = (uint16_t)cpu->gpr[EDX];
    goff_t offset = index_get(cpu, insn, EDI);
    uint32_t value;
    gla_t gla;
    enum cpu_rc rc = io_check(cpu, port, size);

    /* The destination must be writable before the device gives the value away. */
    if (rc == CPU_OK)
        rc = seg_to_linear(cpu, SEG_ES, offset, size, true, &gla);
    if (rc == CPU_OK)
        rc = interp_linear_probe(cpu, gla, size, true, cpu_is_user(cpu));
    if (rc == CPU_OK)
        rc = io_in(cpu, port, size, &value);
    if (rc == CPU_OK)
        rc = write_element(cpu, SEG_ES, offset, size, value);
    if (rc == CPU_OK)
        index_move(cpu, insn, EDI, size);
    return rc;
}

static enum cpu_rc one_outs(struct cpu *cpu, const struct insn *insn, unsigned size)
{
    uint16_t port = (uint16_t)cpu->gpr[EDX];
    uint32_t value;
    enum cpu_rc rc = io_check(cpu, port, size);

    if (rc == CPU_OK)
        rc = read_element(cpu, insn->seg, index_get(cpu, insn, ESI), size, &value);
    if (rc == CPU_OK)
        rc = io_out(cpu, port, size, value);
    if (rc == CPU_OK)
        index_move(cpu, insn, ESI, size);
    return rc;
}

/* One iteration per step when something watches: single step, breakpoints, lockstep. */
static bool step_by_step(const struct cpu *cpu)
{
    return (cpu->eflags & FL_TF) || (cpu->dr[7] & 0xff) || cpu->interp->log || cpu->interp->stepping;
}

/* Not finished: the same instruction again. */
static void again(struct cpu *cpu)
{
    cpu->interp->next_eip = cpu->eip;
}

/* Flags before the first iteration, if this goes on with a comparison that has been left with again(). */
static bool is_continued(const struct cpu *cpu)
{
    const struct comparing *c = &cpu->interp->comparing;
    return c->eip == cpu->eip && c->ecx == cpu->gpr[ECX] && c->esi == cpu->gpr[ESI] && c->edi == cpu->gpr[EDI] &&
           c->left == cpu->eflags;
}

static uint32_t flags_before(const struct cpu *cpu)
{
    return is_continued(cpu) ? cpu->interp->comparing.before : cpu->eflags;
}

static void note_flags(struct cpu *cpu, uint32_t before)
{
    cpu->interp->comparing = (struct comparing){
        cpu->eip, cpu->gpr[ECX], cpu->gpr[ESI], cpu->gpr[EDI], cpu->eflags, before,
    };
}

static enum cpu_rc repeat(struct cpu *cpu, const struct insn *insn, iteration_fn *one)
{
    unsigned size = element_size(insn);

    if (insn->rep == REP_NONE)
        return one(cpu, insn, size);

    bool compares = insn->row->attr & IA_REPCC;
    unsigned batch = step_by_step(cpu) ? 1 : REP_BATCH;
    uint32_t count = index_get(cpu, insn, ECX), before = compares ? flags_before(cpu) : 0;
    while (count > 0) {
        if (batch-- == 0) {
            again(cpu);
            if (compares)
                note_flags(cpu, before);
            return CPU_OK;
        }
        enum cpu_rc rc = one(cpu, insn, size);
        if (rc == CPU_FAULT && compares && hostcpu()->strings_keep_flags)
            cpu->eflags = (cpu->eflags & ~FL_ARITH) | (before & FL_ARITH);
        if (rc != CPU_OK)
            return rc;
        index_set(cpu, insn, ECX, --count);
        if (compares && !(cpu->eflags & FL_ZF) == (insn->rep == REP))
            return CPU_OK;
        if (unlikely(cpu->interp->point_hit) && count > 0) {
            again(cpu);
            if (compares)
                note_flags(cpu, before);
            return CPU_OK;
        }
        /* The iteration may have overwritten this very instruction. */
    }
    return CPU_OK;
}

/* How many elements can be taken forward from reg without leaving its page or its segment. */
static uint32_t run_length(const struct cpu *cpu, const struct insn *insn, unsigned seg, enum gpr reg, unsigned size,
                           unsigned types, gla_t *gla)
{
    const struct seg *s = &cpu->seg[seg];
    goff_t offset = index_get(cpu, insn, reg);

    if (!interp_segment_is_fast(s, offset, size, types))
        return 0;
    *gla = s->base + offset;
    uint32_t bytes = PAGE_SIZE - (*gla & ~PAGE_MASK);
    uint32_t room = s->limit - offset;
    if (room < bytes - 1)
        bytes = room + 1;
    if (insn->adsize == 2 && 0x10000 - offset < bytes)
        bytes = 0x10000 - offset;
    return bytes / size;
}

static uint8_t *tlb_host(const struct cpu *cpu, enum tlb_kind kind, gla_t gla)
{
    const struct tlb_entry *e = &cpu->interp->tlb[cpu_is_user(cpu)][kind][(gla >> PAGE_SHIFT) & (TLB_SIZE - 1)];

    if (e->tag != (gla & PAGE_MASK) || (kind == TLB_WRITE && *e->flags))
        return NULL;
    return e->host + (gla & ~PAGE_MASK);
}

/* The same, having looked for the page if need be: NULL if it is no plain memory. May raise what the access would. */
static enum cpu_rc find_host(struct cpu *cpu, enum tlb_kind kind, gla_t gla, uint8_t **host)
{
    *host = tlb_host(cpu, kind, gla);
    if (*host || points.page)
        return CPU_OK;
    enum cpu_rc rc = interp_linear_probe(cpu, gla, 1, kind == TLB_WRITE, cpu_is_user(cpu));
    if (rc == CPU_OK)
        *host = tlb_host(cpu, kind, gla);
    return rc;
}

static bool ac_is_on(const struct cpu *cpu)
{
    return cpu_is_user(cpu) && (cpu->cr0 & CR0_AM) && (cpu->eflags & FL_AC);
}

static bool may_run_fast(const struct cpu *cpu, const struct insn *insn)
{
    return insn->rep != REP_NONE && !(cpu->eflags & FL_DF) && !step_by_step(cpu) && !ac_is_on(cpu);
}

/* Advances the registers after n elements and decides whether the instruction is done. */
static void run_done(struct cpu *cpu, const struct insn *insn, uint32_t n, uint32_t count)
{
    index_set(cpu, insn, ECX, count - n);
    if (count != n)
        again(cpu);
}

OP(MOVS)
{
    unsigned size = element_size(insn);
    uint32_t count = index_get(cpu, insn, ECX);
    gla_t from_gla = 0, to_gla = 0;

    if (may_run_fast(cpu, insn) && count > 1) {
        uint32_t n = run_length(cpu, insn, insn->seg, ESI, size, SEG_FAST_READ_TYPES, &from_gla);
        uint32_t m = run_length(cpu, insn, SEG_ES, EDI, size, SEG_FAST_WRITE_TYPES, &to_gla);
        n = n < m ? n : m;
        n = n < count ? n : count;
        if (n > 1) {
            uint8_t *from, *to;
            enum cpu_rc rc = find_host(cpu, TLB_READ, from_gla, &from);
            if (rc == CPU_OK)
                rc = find_host(cpu, TLB_WRITE, to_gla, &to);
            if (rc != CPU_OK)
                return rc;
            /* Overlap with the destination ahead repeats a pattern: that needs element order. */
            if (from && to && (to <= from || to >= from + n * size)) {
                memmove(to, from, n * size);
                index_set(cpu, insn, ESI, cpu->gpr[ESI] + n * size);
                index_set(cpu, insn, EDI, cpu->gpr[EDI] + n * size);
                run_done(cpu, insn, n, count);
                return CPU_OK;
            }
        }
    }
    return repeat(cpu, insn, one_movs);
}

/* n elements of size bytes, each with the low ones of value. */
static void fill(uint8_t *to, uint32_t n, unsigned size, uint32_t value)
{
    switch (size) {
    case 1:
        memset(to, (uint8_t)value, n);
        break;
    case 2:
        for (uint32_t i = 0; i < n; i++)
            memcpy(to + i * 2, &value, 2);
        break;
    default:
        for (uint32_t i = 0; i < n; i++)
            memcpy(to + i * 4, &value, 4);
    }
}

OP(STOS)
{
    unsigned size = element_size(insn);
    uint32_t count = index_get(cpu, insn, ECX);
    gla_t to_gla;

    if (may_run_fast(cpu, insn) && count > 1) {
        uint32_t n = run_length(cpu, insn, SEG_ES, EDI, size, SEG_FAST_WRITE_TYPES, &to_gla);
        n = n < count ? n : count;
        uint8_t *to = NULL;
        enum cpu_rc rc = n > 1 ? find_host(cpu, TLB_WRITE, to_gla, &to) : CPU_OK;
        if (rc != CPU_OK)
            return rc;
        if (to) {
            fill(to, n, size, cpu->gpr[EAX]);
            index_set(cpu, insn, EDI, cpu->gpr[EDI] + n * size);
            run_done(cpu, insn, n, count);
            return CPU_OK;
        }
    }
    return repeat(cpu, insn, one_stos);
}

OP(LODS)
{
    return repeat(cpu, insn, one_lods);
}
OP(CMPS)
{
    return repeat(cpu, insn, one_cmps);
}
OP(SCAS)
{
    return repeat(cpu, insn, one_scas);
}

/* Port rights are checked even when there is nothing left to repeat. */
static enum cpu_rc repeat_io(struct cpu *cpu, const struct insn *insn, iteration_fn *one)
{
    enum cpu_rc rc = io_check(cpu, (uint16_t)cpu->gpr[EDX], element_size(insn));

    return rc == CPU_OK ? repeat(cpu, insn, one) : rc;
}
OP(INS)
{
    return repeat_io(cpu, insn, one_ins);
}
OP(OUTS)
{
    return repeat_io(cpu, insn, one_outs);
}

#define ONE(id, fn) \
    { \
        INSN_##id, fn, fn \
    }

const struct interp_op interp_string_ops[] = {
    ONE(MOVSB, MOVS), ONE(MOVSV, MOVS), ONE(CMPSB, CMPS), ONE(CMPSV, CMPS), ONE(STOSB, STOS),
    ONE(STOSV, STOS), ONE(LODSB, LODS), ONE(LODSV, LODS), ONE(SCASB, SCAS), ONE(SCASV, SCAS),
    ONE(INSB, INS),   ONE(INSV, INS),   ONE(OUTSB, OUTS), ONE(OUTSV, OUTS), {0, NULL, NULL},
};

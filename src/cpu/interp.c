/* The interpreter's loop: fetch through a cache of decoded instructions, execute, trap, deliver. */
#include "interp.h"

#include <emmintrin.h>
#include <glib.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "callout.h"
#include "cpuid.h"
#include "exception.h"
#include "fpu_thunk.h"
#include "log.h"
#include "stats.h"
#include "vclock.h"

/* handler[id][operand size is 4] */
static interp_fn *handlers[INSN_COUNT][2];

static enum cpu_rc op_ud(struct cpu *cpu, const struct insn *insn)
{
    return cpu_raise(cpu, EXC_UD, 0);
}

/* Rows with IA_PRIV or IA_NOREAL: checks what depends on the mode of the moment. */
static enum cpu_rc op_guarded(struct cpu *cpu, const struct insn *insn)
{
    if ((insn->row->attr & IA_NOREAL) && !cpu_is_protected(cpu))
        return cpu_raise(cpu, EXC_UD, 0);
    /* Before the privilege: there is no CR1, CR5 to CR7. */
    if ((insn->id == INSN_MOV_RdCd || insn->id == INSN_MOV_CdRd) && (0xe2u >> insn->reg & 1))
        return cpu_raise(cpu, EXC_UD, 0);
    if ((insn->row->attr & IA_PRIV) && cpu->cpl != 0)
        return cpu_raise(cpu, EXC_GP, 0);
    return handlers[insn->id][insn->opsize == 4](cpu, insn);
}

static interp_fn *choose_handler(const struct cpu *cpu, const struct insn *insn)
{
    const struct insn_row *row = insn->row;

    if (!cpu_model_has(cpu->model, row->feature))
        return op_ud;
    if (insn->lock && !((row->attr & IA_LOCK) && insn_is_memory(insn)))
        return op_ud;
    if (row->attr & (IA_PRIV | IA_NOREAL))
        return op_guarded;
    return handlers[insn->id][insn->opsize == 4];
}

/* Classes whose instructions cannot change EFLAGS.TF/RF/IF, segments, CPL, breakpoints or shadows, nor
 * reach a port. Far branches and interrupts are excluded by name. */
static bool insn_is_plain(const struct insn *insn)
{
    switch ((enum insn_class)insn->row->class) {
    case CLASS_ALU:
    case CLASS_SHIFT:
    case CLASS_MULDIV:
    case CLASS_BCD:
    case CLASS_BIT:
    case CLASS_MOV:
    case CLASS_STACK:
    case CLASS_NOP:
    case CLASS_X87:
    case CLASS_MMX:
    case CLASS_SSE:
        return true;
    case CLASS_FLOW:
        switch (insn->id) {
        case INSN_JCC_Jb:
        case INSN_JCC_Jz:
        case INSN_JMP_Jb:
        case INSN_JMP_Jz:
        case INSN_JMP_Ev:
        case INSN_CALL_Jz:
        case INSN_CALL_Ev:
        case INSN_RET:
        case INSN_RET_Iw:
        case INSN_LOOP:
        case INSN_LOOPE:
        case INSN_LOOPNE:
        case INSN_JCXZ:
            return true;
        default:
            return false;
        }
    case CLASS_FLAGS:
        return insn->id != INSN_POPF && insn->id != INSN_STI && insn->id != INSN_CLI;
    default:
        return false;
    }
}

static void add_handlers(const struct interp_op *op)
{
    for (; op->fn16; op++) {
        assert_always(!handlers[op->id][0]);
        handlers[op->id][0] = op->fn16;
        handlers[op->id][1] = op->fn32;
    }
}

static void build_handlers(void)
{
    if (handlers[INSN_UD][0])
        return;
    add_handlers(interp_alu_ops);
    add_handlers(interp_mov_ops);
    add_handlers(interp_flow_ops);
    add_handlers(interp_string_ops);
    add_handlers(interp_sys_ops);
    for (unsigned id = 0; id < INSN_COUNT; id++) {
        uint8_t class = insn_rows[id].class;
        interp_fn *fn = class == CLASS_UD                                                ? op_ud
                        : class == CLASS_X87 || class == CLASS_MMX || class == CLASS_SSE ? interp_fpu
                                                                                         : NULL;
        if (fn)
            handlers[id][0] = handlers[id][1] = fn;
        assert_always(handlers[id][0]);
    }
}

struct interp *interp_new(struct cpu *cpu)
{
    struct interp *ip = aligned_alloc(2 * MiB, (sizeof(*ip) + 2 * MiB - 1) & ~(2 * MiB - 1));

    assert_always(ip != NULL);
    madvise(ip, sizeof(*ip), MADV_HUGEPAGE); /* the caches are walked at random */
    memset(ip, 0, sizeof(*ip));
    build_handlers();
    fpu_thunk_init(); /* now: the process may lose the right to map code later */
    ip->cpu = cpu;
    cpu->interp = ip;
    for (unsigned i = 0; i < DCACHE_SIZE; i++)
        ip->dcache[i].key = DKEY_INVALID;
    ip->seen_generation = guest_mem.generation - 1;
    ip->filled_count = TLB_FILLED_MAX; /* nothing is known of the entries */
    ip->device_filled = true;          /* nor of these */
    interp_flush_tlb(cpu);
    return ip;
}

void interp_free(struct interp *ip)
{
    if (!ip)
        return;
    if (guest_mem.decoded_opaque == ip) {
        if (guest_mem.page_flags == ip->seen_flags)
            interp_flush_decoded(ip);
        guest_mem.decoded_written = NULL;
        guest_mem.decoded_opaque = NULL;
    }
    ip->cpu->interp = NULL;
    g_free(ip->decoded_count);
    free(ip);
}

/* --- fetch --- */

/* Bytes of code for an instruction that crosses a page, or lies outside RAM. */
static enum cpu_rc fetch_bytes(struct cpu *cpu, gla_t gla, uint8_t *bytes, unsigned n)
{
    struct interp *ip = cpu->interp;

    while (n > 0) {
        unsigned piece = PAGE_SIZE - (gla & ~PAGE_MASK);
        piece = piece < n ? piece : n;
        enum cpu_rc rc = interp_fetch_page(cpu, gla);
        if (rc != CPU_OK)
            return rc;
        if (ip->fetch_host) {
            memcpy(bytes, ip->fetch_host + (gla & ~PAGE_MASK), piece);
        } else {
            machine_lock();
            mem_read(ip->fetch_gpa + (gla & ~PAGE_MASK), bytes, piece);
            machine_unlock();
        }
        gla += piece;
        bytes += piece;
        n -= piece;
    }
    return CPU_OK;
}

/* Decodes at gla without caching. room: bytes left in the code segment. */
static enum cpu_rc decode_uncached(struct cpu *cpu, gla_t gla, uint32_t room, struct dinsn **out)
{
    struct interp *ip = cpu->interp;
    struct dinsn *d = &ip->uncached;
    uint8_t bytes[INSN_MAX_LEN];
    unsigned have = PAGE_SIZE - (gla & ~PAGE_MASK);
    int len;

    have = have < INSN_MAX_LEN ? have : INSN_MAX_LEN;
    enum cpu_rc rc = fetch_bytes(cpu, gla, bytes, have);
    if (rc != CPU_OK)
        return rc;
    len = insn_decode(&d->insn, bytes, have, cpu_code32(cpu));
    if (len == 0) {
        if (room <= have)
            return cpu_raise(cpu, EXC_GP, 0); /* it would run over the segment's end */
        rc = fetch_bytes(cpu, gla + have, bytes + have, INSN_MAX_LEN - have);
        if (rc != CPU_OK)
            return rc;
        len = insn_decode(&d->insn, bytes, INSN_MAX_LEN, cpu_code32(cpu));
    }
    if (len < 0 || (uint32_t)len > room)
        return cpu_raise(cpu, EXC_GP, 0);
    d->fn = choose_handler(cpu, &d->insn);
    d->plain = insn_is_plain(&d->insn);
    ip->fetch_tag = TLB_INVALID; /* it names the second page, or one that is not RAM */
    *out = d;
    return CPU_OK;
}

static enum cpu_rc fetch_slow(struct cpu *cpu, struct dinsn **out)
{
    struct interp *ip = cpu->interp;
    const struct seg *cs = &cpu->seg[SEG_CS];
    gla_t gla = cs->base + cpu->eip;

    if (cpu->eip > cs->limit)
        return cpu_raise(cpu, EXC_GP, 0);
    uint32_t room = cs->limit - cpu->eip;
    room = room == UINT32_MAX ? room : room + 1;
    enum cpu_rc rc = interp_fetch_page(cpu, gla);
    if (rc != CPU_OK)
        return rc;
    if (unlikely(points_break_at(gla)) && !ip->stepping) {
        interp_tell_point(ip, &(struct debug_stop){.why = DEBUG_BREAK, .address = gla});
        return CPU_EXIT;
    }
    unsigned offset = gla & ~PAGE_MASK, avail = PAGE_SIZE - offset;
    if (!ip->fetch_host || !ip->decoded_count || points_break_like(gla)) /* or it would not be asked for again */
        return decode_uncached(cpu, gla, room, out);

    struct insn insn;
    int len = insn_decode(&insn, ip->fetch_host + offset, avail, cpu_code32(cpu));
    if (len == 0)
        return decode_uncached(cpu, gla, room, out);
    if (len < 0 || (uint32_t)len > room)
        return cpu_raise(cpu, EXC_GP, 0);

    gpa_t gpa = ip->fetch_gpa + offset;
    struct dinsn *d = &ip->dcache[dcache_slot(gpa)];
    if (d->key != DKEY_INVALID)
        interp_drop_decoded(ip, d);
    d->key = dinsn_key(gpa, cpu_code32(cpu));
    d->insn = insn;
    d->fn = choose_handler(cpu, &insn);
    d->plain = insn_is_plain(&insn);
    d->next[0] = d->next[1] = 0;
    ip->decoded_count[gpa >> PAGE_SHIFT]++;
    *ip->fetch_flags |= MEM_PAGE_DECODED;
    *out = d;
    return CPU_OK;
}

void interp_share_ram(struct cpu *cpu)
{
    cpu->interp->compare_bytes = true;
}

/* Is the cached instruction still what memory holds? Only to be asked when others store to RAM without
 * telling: it is len bytes within one page. */
static inline bool fetch_is_current(const struct interp *ip, gla_t gla, const struct dinsn *d)
{
    if (likely(!ip->compare_bytes))
        return true;
    const uint8_t *memory = ip->fetch_host + (gla & ~PAGE_MASK);
    if (unlikely((gla & ~PAGE_MASK) > PAGE_SIZE - 16))
        return memcmp(memory, d->insn.bytes, d->insn.len) == 0;
    /* Sixteen at once: what is compared for nothing is within d and within the page. */
    const uint8_t *decoded = (const uint8_t *)d + offsetof(struct dinsn, insn.bytes);
    __m128i same = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)memory), _mm_loadu_si128((const __m128i *)decoded));
    return (~(unsigned)_mm_movemask_epi8(same) & ((1u << d->insn.len) - 1)) == 0;
}
_Static_assert(offsetof(struct dinsn, insn.bytes) + 16 <= sizeof(struct dinsn), "fetch_is_current");

static inline enum cpu_rc fetch(struct cpu *cpu, struct interp *ip, struct dinsn **out)
{
    const struct seg *cs = &cpu->seg[SEG_CS];
    gla_t gla = cs->base + cpu->eip;

    if (unlikely(cpu->eip > cs->limit))
        return fetch_slow(cpu, out);
    if (unlikely((gla & PAGE_MASK) != ip->fetch_tag || ip->fetch_user != cpu_is_user(cpu))) {
        enum cpu_rc rc = interp_fetch_page(cpu, gla);
        if (rc != CPU_OK)
            return rc;
    }
    gpa_t gpa = ip->fetch_gpa + (gla & ~PAGE_MASK);
    struct dinsn *d = &ip->dcache[dcache_slot(gpa)];
    if (likely(d->key == dinsn_key(gpa, cpu_code32(cpu)) && ip->fetch_host &&
               cs->limit - cpu->eip >= d->insn.len - 1u && fetch_is_current(ip, gla, d))) {
        *out = d;
        return CPU_OK;
    }
    return fetch_slow(cpu, out);
}

/* --- one instruction --- */

static __attribute__((noinline, cold)) void log_registers(const struct cpu *cpu)
{
    if (!log_wants(cpu->seg[SEG_CS].base + cpu->eip))
        return;
    GString *out = g_string_new(NULL);
    (log_on(LOG_FPU) ? cpu_print : cpu_print_short)(cpu, out);
    log_printf("%s", out->str);
    g_string_free(out, TRUE);
}

/* Fetches and executes. On CPU_OK next_eip is where to go on; cpu->eip has not moved. */
static inline enum cpu_rc execute(struct cpu *cpu, struct interp *ip)
{
    struct dinsn *d;
    enum cpu_rc rc = fetch(cpu, ip, &d);

    if (unlikely(rc != CPU_OK))
        return rc;
    if (log_on(LOG_CPU))
        log_registers(cpu);
    if (stats.phase == STAT_callout)
        callout_note(&d->insn);
    ip->next_eip = cpu->eip + d->insn.len;
    return d->fn(cpu, &d->insn);
}

static enum cpu_rc after_delivery(const struct cpu *cpu)
{
    return cpu->shutdown ? CPU_EXIT : CPU_OK;
}

#define DR6_BS 0x4000u
#define DR7_GD 0x2000u

static enum cpu_rc deliver_db(struct cpu *cpu, uint32_t hits, bool trap)
{
    cpu->dr[6] |= hits;
    cpu->dr[7] &= ~DR7_GD;
    cpu_raise(cpu, EXC_DB, 0);
    exception_deliver_pending(cpu, trap);
    return after_delivery(cpu);
}

static uint32_t instruction_breakpoints(const struct cpu *cpu)
{
    gla_t gla = cpu->seg[SEG_CS].base + cpu->eip;
    uint32_t hits = 0;

    for (unsigned i = 0; i < 4; i++) {
        if (((cpu->dr[7] >> (i * 2)) & 3) && !((cpu->dr[7] >> (16 + i * 4)) & 3) && cpu->dr[i] == gla)
            hits |= 1u << i;
    }
    return hits;
}

/* A step while something watches: TF, RF, breakpoints, or a shadow after MOV SS or STI. */
static enum cpu_rc step_watched(struct cpu *cpu, struct interp *ip)
{
    bool tf = cpu->eflags & FL_TF, rf = cpu->eflags & FL_RF;
    bool shadow_irq = cpu->inhibit_irq, shadow_db = cpu->inhibit_db;

    if (ip->db_hits) { /* the T bit of a TSS just entered */
        uint32_t hits = ip->db_hits;
        ip->db_hits = 0;
        return deliver_db(cpu, hits, true);
    }
    if (!rf && !shadow_db) {
        uint32_t hits = instruction_breakpoints(cpu);
        if (hits)
            return deliver_db(cpu, hits, false);
    }
    cpu->inhibit_irq = cpu->inhibit_db = false;
    cpu->eflags &= ~FL_RF;
    ip->no_trap = false;

    enum cpu_rc rc = execute(cpu, ip);
    if (rc == CPU_FAULT) {
        ip->db_hits = 0;
        if (ip->pending.vector == EXC_DB)
            return deliver_db(cpu, 0, false);
        exception_deliver_pending(cpu, false);
        return after_delivery(cpu);
    }
    if (rc == CPU_EXIT && !cpu->halted) { /* forbidden device: nothing has happened */
        cpu->inhibit_irq = shadow_irq;
        cpu->inhibit_db = shadow_db;
        cpu->eflags |= rf ? FL_RF : 0;
        ip->db_hits = 0;
        return rc;
    }
    if (rc == CPU_OK) {
        if (rf && ip->next_eip == cpu->eip)
            cpu->eflags |= FL_RF; /* an unfinished REP is still the same instruction */
        cpu->eip = ip->next_eip;
    }
    uint32_t hits = ip->db_hits;
    ip->db_hits = 0;
    if (tf && !ip->no_trap && !cpu->inhibit_db)
        hits |= DR6_BS;
    if (!hits)
        return rc;
    return deliver_db(cpu, hits, true);
}

static inline bool is_watched(const struct cpu *cpu, const struct interp *ip)
{
    return ((cpu->eflags & (FL_TF | FL_RF)) | (cpu->dr[7] & 0xff) | cpu->inhibit_irq | cpu->inhibit_db | ip->db_hits) !=
           0;
}

static inline bool needs_sync(const struct cpu *cpu, const struct interp *ip)
{
    return ip->seen_generation != guest_mem.generation || ip->seen_a20 != cpu->a20_masked ||
           ip->seen_dr7 != cpu->dr[7] || ip->forget_decoded;
}

static inline enum cpu_rc step(struct cpu *cpu, struct interp *ip)
{
    if (unlikely(needs_sync(cpu, ip)))
        interp_sync(cpu);
    if (unlikely(is_watched(cpu, ip)))
        return step_watched(cpu, ip);

    enum cpu_rc rc = execute(cpu, ip);
    if (likely(rc == CPU_OK)) {
        cpu->eip = ip->next_eip;
        return CPU_OK;
    }
    if (rc == CPU_EXIT)
        return rc;
    if (ip->pending.vector == EXC_DB)
        return deliver_db(cpu, 0, false);
    exception_deliver_pending(cpu, false);
    return after_delivery(cpu);
}

bool interp_db_pending(const struct cpu *cpu)
{
    return cpu->interp->db_hits != 0;
}

enum cpu_rc interp_step(struct cpu *cpu)
{
    if (unlikely(cpu->halted || cpu->shutdown))
        return CPU_EXIT;
    interp_claim(cpu->interp);
    return step(cpu, cpu->interp);
}

enum cpu_rc interp_step_one(struct cpu *cpu, uint64_t host_tsc)
{
    cpu->interp->stepping = true;
    cpu->interp->standing_tsc = host_tsc;
    enum cpu_rc rc = interp_step(cpu);
    cpu->interp->standing_tsc = 0;
    cpu->interp->stepping = false;
    return rc;
}

void interp_set_point_hook(struct cpu *cpu, struct point_hook hook)
{
    cpu->interp->hook = hook;
}

bool interp_point_hit(const struct cpu *cpu)
{
    return cpu->interp->point_hit;
}

void interp_points_changed(struct cpu *cpu)
{
    interp_flush_tlb(cpu);
    cpu->interp->forget_decoded = true;
}

void interp_points_begin(struct cpu *cpu)
{
    cpu->interp->point_hit = false;
}

void interp_tell_point(struct interp *ip, const struct debug_stop *stop)
{
    ip->recheck = true;
    if (ip->point_hit)
        return;
    ip->point_hit = true;
    ip->hook.stop(ip->hook.opaque, stop);
}

/* Instructions between two looks at the outside world. */
#define BURST 64u

/* Runs plain instructions, at most burst, with nothing watching. Each finds its successor through the
 * slots that it led to before, which takes the hash out of the loop's critical path. Returns CPU_OK after
 * an instruction that is not plain too; counts what was executed, faulting instructions included. */
static enum cpu_rc run_burst(struct cpu *cpu, struct interp *ip, unsigned burst, uint64_t *n)
{
    const uint32_t base = cpu->seg[SEG_CS].base, limit = cpu->seg[SEG_CS].limit;
    const uint64_t mode = dinsn_key(0, cpu_code32(cpu));
    const bool user = cpu_is_user(cpu);
    struct dinsn *d;
    enum cpu_rc rc = fetch(cpu, ip, &d);

    ip->recheck = false;
    while (likely(rc == CPU_OK)) {
        if (log_on(LOG_CPU))
            log_registers(cpu);
        uint32_t in_sequence = cpu->eip + d->insn.len;
        ip->next_eip = in_sequence;
        rc = d->fn(cpu, &d->insn);
        if (unlikely(rc != CPU_OK))
            break;
        uint32_t eip = ip->next_eip;
        cpu->eip = eip;
        ++*n;
        if (--burst == 0 || unlikely(!d->plain || ip->recheck))
            return CPU_OK;

        gla_t gla = base + eip;
        uint32_t *guess = &d->next[eip != in_sequence];
        struct dinsn *s = &ip->dcache[*guess];
        if (likely((gla & PAGE_MASK) == ip->fetch_tag && ip->fetch_user == user)) {
            uint64_t key = mode | (ip->fetch_gpa + (gla & ~PAGE_MASK));
            if (likely(s->key == key && eip <= limit && limit - eip >= s->insn.len - 1u &&
                       fetch_is_current(ip, gla, s))) {
                d = s;
                continue;
            }
        }
        rc = fetch(cpu, ip, &s);
        if (rc == CPU_OK && s != &ip->uncached)
            *guess = (uint32_t)(s - ip->dcache);
        d = s;
    }
    if (rc == CPU_FAULT) {
        ++*n;
        if (ip->pending.vector == EXC_DB)
            return deliver_db(cpu, 0, false);
        exception_deliver_pending(cpu, false);
        return after_delivery(cpu);
    }
    *n += cpu->halted;
    return rc;
}

enum exit_reason interp_run(struct cpu *cpu, uint64_t budget, const volatile int *kick, const volatile int *irq_pending,
                            uint64_t *done)
{
    struct interp *ip = cpu->interp;
    uint64_t n = 0;
    enum exit_reason reason = EXIT_BUDGET;

    interp_claim(ip);
    if (cpu->shutdown || cpu->halted)
        return cpu->shutdown ? EXIT_SHUTDOWN : EXIT_HALT;
    while (n < budget) {
        enum cpu_rc rc;
        if (unlikely(*kick) ||
            (irq_pending && unlikely(*irq_pending) && (cpu->eflags & FL_IF) && !cpu->inhibit_irq && !ip->db_hits)) {
            reason = EXIT_KICK;
            break;
        }
        if (unlikely(needs_sync(cpu, ip)))
            interp_sync(cpu);
        if (unlikely(is_watched(cpu, ip))) {
            rc = step_watched(cpu, ip);
            n += rc == CPU_OK || cpu->halted || cpu->shutdown;
        } else {
            rc = run_burst(cpu, ip, budget - n < BURST ? (unsigned)(budget - n) : BURST, &n);
        }
        if (unlikely(rc != CPU_OK)) {
            reason = cpu->shutdown ? EXIT_SHUTDOWN : cpu->halted ? EXIT_HALT : EXIT_DEVICE;
            break;
        }
    }
    *done += n;
    return reason;
}

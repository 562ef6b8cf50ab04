/* Inside the interpreter: its caches, memory access for handlers, raising of exceptions.
 *
 * For src/cpu only. What others may call is in include/cpu.h and in paging.h and segment.h.
 *
 * A handler executes one decoded instruction: enum cpu_rc fn(struct cpu *, const struct insn *).
 * - cpu->eip is the instruction's own first byte (prefixes included) while it runs, for FIP and for
 *   faults. A jump stores cpu->interp->next_eip; interp_step copies it to cpu->eip on CPU_OK.
 * - A handler that returns anything but CPU_OK has changed no architectural state: it reads and checks
 *   everything, stores to memory, then writes registers and flags.
 * - The row's feature bit, LOCK legality, IA_PRIV and IA_NOREAL are checked before the call.
 * - Memory accesses return CPU_FAULT with the exception recorded (#PF, #GP, #SS, #AC), or CPU_EXIT
 *   when a store log forbids touching a device. Hand both up unchanged.
 */
#pragma once

#include <string.h>

#include "cpu.h"
#include "insn.h"
#include "mem.h"
#include "points.h"
#include "segment.h"

/* --- for every handler, and all that interp_fpu.c needs --- */

typedef enum cpu_rc interp_fn(struct cpu *cpu, const struct insn *insn);

/* Every row of class X87, MMX and SSE comes here (src/cpu/interp_fpu.c). It does its own checks of
 * CR0.EM/TS/MP, CR4.OSFXSR and pending x87 errors. */
interp_fn interp_fpu;

/* Records an exception and returns CPU_FAULT. error is ignored for vectors that push none. */
enum cpu_rc cpu_raise(struct cpu *cpu, enum vector vector, uint32_t error);

/* Offset of the instruction's memory operand in segment insn->seg, cut to the address size. */
static inline goff_t interp_ea(const struct cpu *cpu, const struct insn *insn)
{
    uint32_t ea = (uint32_t)insn->disp;

    if (insn->base != REG_NONE)
        ea += cpu->gpr[insn->base];
    if (insn->index != REG_NONE)
        ea += cpu->gpr[insn->index] << insn->scale;
    return insn->adsize == 2 ? (uint16_t)ea : ea;
}

/* Reads and writes n bytes (1..512) at seg:offset with all checks; a fault leaves memory unchanged
 * (both pages of a crossing access are checked before the first byte is stored). */
enum cpu_rc interp_load_at(struct cpu *cpu, unsigned seg, goff_t offset, void *buffer, unsigned n);
enum cpu_rc interp_store_at(struct cpu *cpu, unsigned seg, goff_t offset, const void *buffer, unsigned n);
/* The same, for the instruction's memory operand. */
enum cpu_rc interp_load(struct cpu *cpu, const struct insn *insn, void *buffer, unsigned n);
/* A far pointer there: an offset of the operand size, then a selector. */
enum cpu_rc interp_load_far(struct cpu *cpu, const struct insn *insn, uint16_t *sel, uint32_t *offset);
enum cpu_rc interp_store(struct cpu *cpu, const struct insn *insn, const void *buffer, unsigned n);
/* The same, and #GP(0) first when the linear address is not aligned to n (16-byte SSE operands). */
enum cpu_rc interp_load_aligned(struct cpu *cpu, const struct insn *insn, void *buffer, unsigned n);
enum cpu_rc interp_store_aligned(struct cpu *cpu, const struct insn *insn, const void *buffer, unsigned n);
/* Only checks that a store of n bytes to the memory operand would succeed (and sets A and D). */
enum cpu_rc interp_probe_store(struct cpu *cpu, const struct insn *insn, unsigned n);

/* 8-bit registers: AL CL DL BL AH CH DH BH. */
static inline uint8_t *interp_reg8(struct cpu *cpu, unsigned reg)
{
    return (uint8_t *)&cpu->gpr[reg & 3] + (reg >> 2);
}
static inline uint16_t *interp_reg16(struct cpu *cpu, unsigned reg)
{
    return (uint16_t *)&cpu->gpr[reg];
}

/* --- the caches --- */

#define TLB_SIZE       1024u /* entries per kind and privilege; direct mapped */
#define TLB_FILLED_MAX 256u
#define TLB_INVALID    0x800u /* equals no page address, nor one with misalignment bits 0..2 left in */

enum tlb_kind { TLB_READ, TLB_WRITE, TLB_EXEC, TLB_KINDS };

/* tag: linear page address. Only plain memory is entered, so host + (gla - tag) is always RAM or ROM.
 * flags points at the page's MEM_PAGE_* byte: others set MEM_PAGE_CODE at any time, and a store must
 * see it. */
struct tlb_entry {
    gla_t tag;
    uint32_t page; /* number of the physical page */
    uint8_t *host;
    uint8_t *flags;
};

/* Where a page of a device is, so that a program that draws on one need not have its tables walked each time. */
#define DEVICE_PAGES 16u /* per kind and privilege; direct mapped */
struct device_page {
    gla_t tag;
    gpa_t page;
};

#define DCACHE_SIZE  32768u /* decoded instructions; direct mapped by physical address */
#define DKEY_INVALID UINT64_MAX

/* One decoded instruction. It lies within one page; those that cross are decoded afresh each time.
 * What the loop and most handlers read is the first cache line. */
struct dinsn {
    uint64_t key; /* gpa, and bit 63: CS.D; DKEY_INVALID if empty */
    interp_fn *fn;
    uint32_t next[2]; /* slots of the last successors: in sequence, by a jump. A guess: keys decide */
    struct insn insn;
    bool plain; /* cannot change what interp_run looks at between instructions */
} __attribute__((aligned(64)));

static inline uint64_t dinsn_key(gpa_t gpa, bool code32)
{
    return gpa | (uint64_t)code32 << 63;
}
static inline gpa_t dinsn_gpa(uint64_t key)
{
    return key & ~(1ull << 63);
}

struct interp {
    struct cpu *cpu;
    uint32_t next_eip;

    /* Code fetch: the page that EIP was last in. */
    gla_t fetch_tag; /* linear page, or TLB_INVALID */
    bool fetch_user;
    gpa_t fetch_gpa;
    const uint8_t *fetch_host; /* NULL: nothing of it is cached (mem_code_ptr) */
    uint8_t *fetch_flags;

    /* What the caches were filled under; interp_sync flushes when it is no longer so. */
    uint32_t seen_generation;
    uint32_t seen_dr7;
    bool seen_a20;
    bool compare_bytes;        /* see interp_share_ram */
    const uint8_t *seen_flags; /* guest_mem.page_flags */
    uint64_t seen_ram_size;
    volatile bool forget_decoded; /* another thread (DMA) wrote to decoded pages */
    bool recheck;                 /* a device was accessed: the world may have changed in the middle of a burst */

    bool no_fill;                 /* data breakpoints: every access takes the slow path */
    gla_t large_base, large_mask; /* a region that covers all large pages in the TLB; mask 0: none */
    struct store_log *log;
    const void *thread; /* who runs the interpreter */

    /* The exception being raised. */
    struct {
        uint8_t vector;
        uint32_t error;
        gla_t cr2;
    } pending;
    uint32_t ext;           /* 1 while an external event or exception is being delivered: error code's EXT */
    uint32_t db_hits;       /* DR6 bits earned by this instruction: data and I/O breakpoints, task switch */
    bool no_trap;           /* this instruction (INT n) swallows the single-step trap */
    struct point_hook hook; /* see interp_set_point_hook */
    bool point_hit;         /* it has been told, and the processor is to stand after this instruction */
    bool stepping;          /* see interp_step_one */
    uint64_t standing_tsc;  /* its argument */
    uint64_t msr_warned[4]; /* hashed set of MSRs already complained about */
    /* A repeated CMPS or SCAS that is to go on: where it stands, and the flags before it began (hostcpu.h). */
    struct comparing {
        uint32_t eip, ecx, esi, edi, left, before;
    } comparing;

    struct tlb_entry tlb[2][TLB_KINDS][TLB_SIZE]; /* [user] */
    uint16_t filled[TLB_FILLED_MAX];              /* entries filled since the last flush */
    unsigned filled_count;                        /* TLB_FILLED_MAX: more than were noted */
    struct device_page device[2][TLB_KINDS][DEVICE_PAGES];
    bool device_filled; /* some of them may be valid: most flushes find none */
    struct dinsn dcache[DCACHE_SIZE];
    uint16_t *decoded_count; /* per RAM page: entries in dcache */
    struct dinsn uncached;   /* for an instruction that crosses a page or is not in RAM */
};

/* A handler for operand size 2 and for 4; the same one twice where it does not matter. */
struct interp_op {
    uint16_t id;
    interp_fn *fn16, *fn32;
};

extern const struct interp_op interp_alu_ops[], interp_mov_ops[], interp_flow_ops[], interp_string_ops[],
    interp_sys_ops[]; /* each ends in a row with fn16 NULL */

/* Stores EFLAGS and says so when bits changed that other engines translate by. */
static inline void cpu_set_eflags(struct cpu *cpu, uint32_t eflags)
{
    if ((cpu->eflags ^ eflags) & (FL_VM | FL_TF | FL_AC | FL_NT | FL_IOPL))
        cpu->changed |= CHANGED_MODE;
    cpu->eflags = eflags | FL_FIXED1;
}

static inline bool cpu_is_user(const struct cpu *cpu)
{
    return cpu->cpl == 3;
}

/* Linear access; user says with whose rights. The slow paths behind the inline ones below. */
enum cpu_rc interp_linear_load(struct cpu *cpu, gla_t gla, void *buffer, unsigned n, bool user);
enum cpu_rc interp_linear_store(struct cpu *cpu, gla_t gla, const void *buffer, unsigned n, bool user);
/* Checks that n bytes can be read, or written, without doing so. */
enum cpu_rc interp_linear_probe(struct cpu *cpu, gla_t gla, unsigned n, bool write, bool user);

/* One read-modify-write of a memory operand. host: plain memory, the new value goes straight there. */
struct interp_rmw {
    uint8_t *host;
    gla_t gla;
};

/* Page-level bookkeeping of a store about to happen to RAM at gpa: store log, code invalidation. */
/* Virtual-8086 mode with CR4.VME and IOPL below 3: the FLAGS that PUSHF and INT push, with VIF for IF and an IOPL of
 * 3; and whether POPF or IRET of image faults (SDM vol. 2, POPF). */
uint32_t v86_flags_image(const struct cpu *cpu);
bool v86_flags_fault(const struct cpu *cpu, uint32_t image);
void interp_before_store(struct cpu *cpu, gpa_t gpa, unsigned n);
void interp_flush_page(struct cpu *cpu, gla_t gla); /* INVLPG */
/* Forgets what the caches know when the world changed behind the interpreter's back. */
void interp_sync(struct cpu *cpu);
void interp_flush_decoded(struct interp *interp);
void interp_drop_decoded(struct interp *interp, struct dinsn *d);
/* Makes fetch_* describe the code page of gla. */
enum cpu_rc interp_fetch_page(struct cpu *cpu, gla_t gla);
/* Names the calling thread as the one that owns the caches. */
void interp_claim(struct interp *interp);

static inline unsigned dcache_slot(gpa_t gpa)
{
    return ((uint32_t)gpa ^ ((uint32_t)(gpa >> PAGE_SHIFT) * 0x9e3779b1u >> 17)) & (DCACHE_SIZE - 1);
}
/* An instruction or an access has met a point: see struct point_hook. */
void interp_tell_point(struct interp *interp, const struct debug_stop *stop);
void interp_decoded_written(void *opaque, gpa_t gpa, uint32_t len);
enum cpu_rc interp_rmw_slow(struct cpu *cpu, gla_t gla, unsigned n, uint32_t *value);

#define SEG_FAST_READ_TYPES  0xcc0fu /* data expand-up; readable code */
#define SEG_FAST_WRITE_TYPES 0x000cu /* writable data, expand-up */

static inline bool interp_segment_is_fast(const struct seg *s, goff_t offset, unsigned n, unsigned types)
{
    return ((types >> (s->access & ACC_TYPE)) & 1) && (s->access & ACC_P) && offset <= s->limit &&
           s->limit - offset >= n - 1;
}

/* n is 1, 2 or 4, a constant at each call. */
static inline enum cpu_rc interp_read_linear(struct cpu *cpu, gla_t gla, unsigned n, bool user, uint32_t *value)
{
    const struct tlb_entry *e = &cpu->interp->tlb[user][TLB_READ][(gla >> PAGE_SHIFT) & (TLB_SIZE - 1)];

    *value = 0;
    /* A misaligned address never equals a tag: it takes the slow path with its own checks. */
    if (likely((gla & (PAGE_MASK | (n - 1))) == e->tag)) {
        memcpy(value, e->host + (gla & ~PAGE_MASK), n);
        return CPU_OK;
    }
    return interp_linear_load(cpu, gla, value, n, user);
}

static inline enum cpu_rc interp_write_linear(struct cpu *cpu, gla_t gla, unsigned n, bool user, uint32_t value)
{
    const struct tlb_entry *e = &cpu->interp->tlb[user][TLB_WRITE][(gla >> PAGE_SHIFT) & (TLB_SIZE - 1)];

    if (likely((gla & (PAGE_MASK | (n - 1))) == e->tag) && likely(*e->flags == 0)) {
        memcpy(e->host + (gla & ~PAGE_MASK), &value, n);
        return CPU_OK;
    }
    return interp_linear_store(cpu, gla, &value, n, user);
}

static inline enum cpu_rc interp_read(struct cpu *cpu, unsigned seg, goff_t offset, unsigned n, uint32_t *value)
{
    const struct seg *s = &cpu->seg[seg];
    gla_t gla = s->base + offset;

    if (unlikely(!interp_segment_is_fast(s, offset, n, SEG_FAST_READ_TYPES))) {
        enum cpu_rc rc = seg_to_linear(cpu, seg, offset, n, false, &gla);
        if (rc != CPU_OK)
            return rc;
    }
    return interp_read_linear(cpu, gla, n, cpu_is_user(cpu), value);
}

static inline enum cpu_rc interp_write(struct cpu *cpu, unsigned seg, goff_t offset, unsigned n, uint32_t value)
{
    const struct seg *s = &cpu->seg[seg];
    gla_t gla = s->base + offset;

    if (unlikely(!interp_segment_is_fast(s, offset, n, SEG_FAST_WRITE_TYPES))) {
        enum cpu_rc rc = seg_to_linear(cpu, seg, offset, n, true, &gla);
        if (rc != CPU_OK)
            return rc;
    }
    return interp_write_linear(cpu, gla, n, cpu_is_user(cpu), value);
}

/* Starts a read-modify-write. Write permission is checked first, so that a fault says W=1 as the
 * processor's does. */
static inline enum cpu_rc interp_rmw_begin(struct cpu *cpu, const struct insn *insn, unsigned n, uint32_t *value,
                                           struct interp_rmw *rmw)
{
    goff_t offset = interp_ea(cpu, insn);
    const struct seg *s = &cpu->seg[insn->seg];

    rmw->gla = s->base + offset;
    if (unlikely(!interp_segment_is_fast(s, offset, n, SEG_FAST_WRITE_TYPES & SEG_FAST_READ_TYPES))) {
        enum cpu_rc rc = seg_to_linear(cpu, insn->seg, offset, n, true, &rmw->gla);
        if (rc != CPU_OK)
            return rc;
    }
    const struct tlb_entry *e =
        &cpu->interp->tlb[cpu_is_user(cpu)][TLB_WRITE][(rmw->gla >> PAGE_SHIFT) & (TLB_SIZE - 1)];
    if (likely((rmw->gla & (PAGE_MASK | (n - 1))) == e->tag) && likely(*e->flags == 0)) {
        rmw->host = e->host + (rmw->gla & ~PAGE_MASK);
        *value = 0;
        memcpy(value, rmw->host, n);
        return CPU_OK;
    }
    rmw->host = NULL;
    return interp_rmw_slow(cpu, rmw->gla, n, value);
}

static inline enum cpu_rc interp_rmw_end(struct cpu *cpu, const struct interp_rmw *rmw, unsigned n, uint32_t value)
{
    if (likely(rmw->host != NULL)) {
        memcpy(rmw->host, &value, n);
        return CPU_OK;
    }
    return interp_linear_store(cpu, rmw->gla, &value, n, cpu_is_user(cpu));
}

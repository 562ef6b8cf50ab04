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
enum cpu_rc interp_store_at(struct cpu *cpu, unsigned seg, goff_t offset, const void *buffer,
                            unsigned n);
/* The same, for the instruction's memory operand. */
enum cpu_rc interp_load(struct cpu *cpu, const struct insn *insn, void *buffer, unsigned n);
enum cpu_rc interp_store(struct cpu *cpu, const struct insn *insn, const void *buffer, unsigned n);
/* The same, and #GP(0) first when the linear address is not aligned to n (16-byte SSE operands). */
enum cpu_rc interp_load_aligned(struct cpu *cpu, const struct insn *insn, void *buffer, unsigned n);
enum cpu_rc interp_store_aligned(struct cpu *cpu, const struct insn *insn, const void *buffer,
                                 unsigned n);
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

#define TLB_SIZE    1024u /* entries per kind and privilege; direct mapped */
#define TLB_INVALID 0x800u /* equals no page address, nor one with misalignment bits 0..2 left in */

enum tlb_kind { TLB_READ, TLB_WRITE, TLB_KINDS };

/* tag: linear page address. Only plain memory is entered, so host + (gla - tag) is always RAM or ROM.
 * flags points at the page's MEM_PAGE_* byte: others set MEM_PAGE_CODE at any time, and a store must
 * see it. */
struct tlb_entry {
    gla_t tag;
    uint32_t gpa;
    uint8_t *host;
    uint8_t *flags;
};

#define DCACHE_SIZE 16384u /* decoded instructions; direct mapped by physical address */
#define DKEY_INVALID UINT32_MAX

/* One decoded instruction. It lies within one page; those that cross are decoded afresh each time. */
struct dinsn {
    uint32_t key; /* gpa; DKEY_INVALID if empty */
    uint32_t mode; /* CS.D, and the CPU model's and mode's part that chose fn */
    interp_fn *fn;
    struct insn insn;
};

struct interp {
    uint32_t next_eip;
    uint32_t model_stamp; /* grows when rows may have become legal or illegal */

    /* Code fetch: the page that EIP was last in. */
    gla_t fetch_tag; /* linear page, or TLB_INVALID */
    bool fetch_user;
    uint32_t fetch_gpa;
    const uint8_t *fetch_host;

    gla_t ac_mask; /* ~0 while #AC checking is on (CPL 3, CR0.AM, EFLAGS.AC), else 0 */
    uint32_t tlb_generation; /* guest_mem.generation and A20 at the last flush */
    bool tlb_a20;
    bool no_fill; /* store log or data breakpoints: writes always take the slow path */
    struct store_log *log;

    /* The exception being raised. */
    struct {
        uint8_t vector;
        uint32_t error;
        gla_t cr2;
    } pending;
    bool suppress_rf; /* the fault being delivered is a trap: RF in its image is clear */
    uint32_t db_status; /* DR6 bits of data and I/O breakpoints hit by this instruction */
    bool trap_after; /* T bit of a new TSS */
    uint64_t insn_count;

    struct tlb_entry tlb[2][TLB_KINDS][TLB_SIZE]; /* [user] */
    struct dinsn dcache[DCACHE_SIZE];
    uint16_t *decoded_count; /* per RAM page: entries in dcache */
    struct dinsn crossing;   /* for an instruction that crosses a page */
};

static inline bool cpu_is_user(const struct cpu *cpu)
{
    return cpu->cpl == 3;
}

/* Linear access; user says with whose rights. The slow paths behind the inline ones below. */
enum cpu_rc interp_linear_load(struct cpu *cpu, gla_t gla, void *buffer, unsigned n, bool user);
enum cpu_rc interp_linear_store(struct cpu *cpu, gla_t gla, const void *buffer, unsigned n,
                                bool user);
/* Checks that n bytes can be written, without writing. */
enum cpu_rc interp_linear_probe(struct cpu *cpu, gla_t gla, unsigned n, bool user);

/* Segment check of an access [offset, offset + n); raises #GP(0) or #SS(0). */
enum cpu_rc interp_segment(struct cpu *cpu, unsigned seg, goff_t offset, unsigned n, bool write,
                           gla_t *gla);

#define SEG_FAST_READ_TYPES  0xcc0fu /* data expand-up; readable code */
#define SEG_FAST_WRITE_TYPES 0x000cu /* writable data, expand-up */

static inline bool interp_segment_is_fast(const struct seg *s, goff_t offset, unsigned n,
                                          unsigned types)
{
    return ((types >> (s->access & ACC_TYPE)) & 1) && (s->access & ACC_P) &&
           offset <= s->limit && s->limit - offset >= n - 1;
}

/* n is 1, 2 or 4, a constant at each call. */
static inline enum cpu_rc interp_read_linear(struct cpu *cpu, gla_t gla, unsigned n, bool user,
                                             uint32_t *value)
{
    const struct tlb_entry *e =
        &cpu->interp->tlb[user][TLB_READ][(gla >> PAGE_SHIFT) & (TLB_SIZE - 1)];

    *value = 0;
    /* A misaligned address never equals a tag: it takes the slow path with its own checks. */
    if (likely((gla & (PAGE_MASK | (n - 1))) == e->tag)) {
        memcpy(value, e->host + (gla & ~PAGE_MASK), n);
        return CPU_OK;
    }
    return interp_linear_load(cpu, gla, value, n, user);
}

static inline enum cpu_rc interp_write_linear(struct cpu *cpu, gla_t gla, unsigned n, bool user,
                                              uint32_t value)
{
    const struct tlb_entry *e =
        &cpu->interp->tlb[user][TLB_WRITE][(gla >> PAGE_SHIFT) & (TLB_SIZE - 1)];

    if (likely((gla & (PAGE_MASK | (n - 1))) == e->tag) && likely(*e->flags == 0)) {
        memcpy(e->host + (gla & ~PAGE_MASK), &value, n);
        return CPU_OK;
    }
    return interp_linear_store(cpu, gla, &value, n, user);
}

static inline enum cpu_rc interp_read(struct cpu *cpu, unsigned seg, goff_t offset, unsigned n,
                                      uint32_t *value)
{
    const struct seg *s = &cpu->seg[seg];
    gla_t gla = s->base + offset;

    if (unlikely(!interp_segment_is_fast(s, offset, n, SEG_FAST_READ_TYPES))) {
        enum cpu_rc rc = interp_segment(cpu, seg, offset, n, false, &gla);
        if (rc != CPU_OK)
            return rc;
    }
    return interp_read_linear(cpu, gla, n, cpu_is_user(cpu), value);
}

static inline enum cpu_rc interp_write(struct cpu *cpu, unsigned seg, goff_t offset, unsigned n,
                                       uint32_t value)
{
    const struct seg *s = &cpu->seg[seg];
    gla_t gla = s->base + offset;

    if (unlikely(!interp_segment_is_fast(s, offset, n, SEG_FAST_WRITE_TYPES))) {
        enum cpu_rc rc = interp_segment(cpu, seg, offset, n, true, &gla);
        if (rc != CPU_OK)
            return rc;
    }
    return interp_write_linear(cpu, gla, n, cpu_is_user(cpu), value);
}

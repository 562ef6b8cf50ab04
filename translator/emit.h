/* Emits x86-64 host code. Forward, destination first; one function per form, each saying whether it
 * changes flags. Pure: knows neither guest state nor the code cache (AMD64 APM vol. 3, chapter 1).
 *
 * The buffer is written through one mapping and executed through another: `pos` is where bytes go,
 * `pos + rx_delta` is where they will run.
 */
#pragma once

#include "types.h"

enum hreg { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, HREG_NONE = 0xff };

struct emit {
    uint8_t *pos, *end;
    intptr_t rx_delta;
    bool full; /* ran out of room: everything after that is garbage, start over elsewhere */
};

/* A host memory operand. Effective address = base + (index << scale) + disp; `gs` adds the window's
 * base; `a32` wraps the effective address at 4 GiB (67 prefix). HREG_NONE for both = absolute. */
struct hmem {
    bool gs, a32;
    uint8_t base, index, scale;
    int32_t disp;
};

static inline struct hmem hmem_base(uint8_t base, int32_t disp) /* monitor memory, e.g. disp(%r15) */
{
    return (struct hmem){.base = base, .index = HREG_NONE, .disp = disp};
}

/* One instruction in general form. */
struct hop {
    uint8_t lock, rep, p66; /* F0; F2 or F3; 66 */
    uint8_t map;            /* 0 one-byte, 1 0F, 2 0F38, 3 0F3A */
    uint8_t opcode;
    bool modrm;
    bool w;      /* REX.W */
    uint8_t reg; /* modrm.reg: register 0..15 or opcode extension */
    uint8_t rm;  /* register 0..15 unless mem */
    const struct hmem *mem;
    uint8_t imm_size; /* 0, 1, 2, 4 */
    uint32_t imm;
    bool rex; /* force REX (SPL..DIL as byte registers) */
};
/* Needs a REX prefix? Then AH..BH cannot be named in the same instruction. */
bool emit_hop_needs_rex(const struct hop *op);
void emit_hop(struct emit *e, const struct hop *op);

void emit_nop(struct emit *e);
void emit_align(struct emit *e, unsigned alignment); /* long NOPs up to a multiple of a power of two */
void emit8(struct emit *e, uint8_t byte);
void emit32(struct emit *e, uint32_t value);
static inline uint8_t *emit_rx(const struct emit *e)
{
    return e->pos + e->rx_delta;
}

/* mov r32, r32 (clears the upper half of dst); no flags */
void emit_mov_rr(struct emit *e, uint8_t dst, uint8_t src);
void emit_mov_rr64(struct emit *e, uint8_t dst, uint8_t src);
void emit_mov_ri(struct emit *e, uint8_t dst, uint32_t imm);               /* no flags */
void emit_load32(struct emit *e, uint8_t dst, const struct hmem *src);     /* no flags */
void emit_load64(struct emit *e, uint8_t dst, const struct hmem *src);     /* no flags */
void emit_load16z(struct emit *e, uint8_t dst, const struct hmem *src);    /* movzwl; no flags */
void emit_store32(struct emit *e, const struct hmem *dst, uint8_t src);    /* no flags */
void emit_store16(struct emit *e, const struct hmem *dst, uint8_t src);    /* no flags */
void emit_store64(struct emit *e, const struct hmem *dst, uint8_t src);    /* no flags */
void emit_store32_i(struct emit *e, const struct hmem *dst, uint32_t imm); /* no flags */
void emit_store8_i(struct emit *e, const struct hmem *dst, uint8_t imm);   /* no flags */
void emit_wrgsbase(struct emit *e, uint8_t src);                           /* 64 bits; no flags */
void emit_store16_i(struct emit *e, const struct hmem *dst, uint16_t imm); /* no flags */
void emit_lea32(struct emit *e, uint8_t dst, const struct hmem *src);      /* no flags; gs ignored */
void emit_lea64(struct emit *e, uint8_t dst, const struct hmem *src);      /* no flags; gs ignored */
void emit_not(struct emit *e, uint8_t reg);                                /* 32 bits; no flags */
void emit_movzw(struct emit *e, uint8_t dst, uint8_t src);                 /* movzwl r, r; no flags */
void emit_movzb(struct emit *e, uint8_t dst, uint8_t src);                 /* movzbl low byte; no flags */
/* op: 0 add 1 or 2 adc 3 sbb 4 and 5 sub 6 xor 7 cmp; changes flags */
void emit_alu_rr(struct emit *e, unsigned op, uint8_t dst, uint8_t src);
void emit_alu_ri(struct emit *e, unsigned op, uint8_t dst, int32_t imm);
void emit_alu_rm(struct emit *e, unsigned op, uint8_t dst, const struct hmem *src);
void emit_alu_rr64(struct emit *e, unsigned op, uint8_t dst, uint8_t src);
void emit_alu_rm64(struct emit *e, unsigned op, uint8_t dst, const struct hmem *src);
void emit_alu_mr(struct emit *e, unsigned op, const struct hmem *dst, uint8_t src);
void emit_alu_mi(struct emit *e, unsigned op, const struct hmem *dst, int32_t imm);
void emit_shrx(struct emit *e, bool wide, uint8_t dst, uint8_t src, uint8_t count);    /* BMI2; no flags */
void emit_imul_rm(struct emit *e, uint8_t reg, const struct hmem *src);                /* changes flags */
void emit_cmp_mi(struct emit *e, unsigned size, const struct hmem *mem, uint32_t imm); /* 1, 2, 4 */
void emit_test_ri(struct emit *e, uint8_t reg, uint32_t imm);                          /* changes flags */
void emit_push(struct emit *e, uint8_t reg);                                           /* on the private stack */
void emit_pop(struct emit *e, uint8_t reg);
void emit_shift64_i(struct emit *e, bool left, uint8_t reg, uint8_t count); /* changes flags */
void emit_rdtsc(struct emit *e);                                            /* no flags */
void emit_pushfq(struct emit *e);
void emit_popfq(struct emit *e);
void emit_cld(struct emit *e);

/* Jumps. Those with a target take a host RX address; those returning a fixup return the address (in
 * the RW mapping) of a rel32 to be given to emit_fix or emit_patch. cc: 0 o, 1 no, 2 b ... as in Jcc. */
uint8_t *emit_jmp_fwd(struct emit *e);
uint8_t *emit_jcc_fwd(struct emit *e, unsigned cc);
uint8_t *emit_call_fwd(struct emit *e);
void emit_jmp(struct emit *e, const void *target_rx);
void emit_jcc(struct emit *e, unsigned cc, const void *target_rx);
void emit_call(struct emit *e, const void *target_rx);
void emit_jmp_reg(struct emit *e, uint8_t reg);
void emit_call_reg(struct emit *e, uint8_t reg);
void emit_ret(struct emit *e);
/* jecxz to a label less than 127 bytes ahead; returns the rel8's address for emit_fix8 */
uint8_t *emit_jecxz_fwd(struct emit *e);
/* LOOP/LOOPE/LOOPNE (opcode E2, E1, E0) on ECX over a jump: taken goes to the code after the next
 * jmp rel32 slot that the caller emits: "loop +2; jmp short +5; jmp rel32". Returns that rel32. No
 * flags; ECX is zero-extended. */
uint8_t *emit_loop_fwd(struct emit *e, uint8_t opcode);
void emit_fix(struct emit *e, uint8_t *rel32); /* lands at the current position */
void emit_fix8(struct emit *e, uint8_t *rel8);
/* Points the rel32 at rel32_rw (runs at rel32_rw + rx_delta) to target_rx. */
void emit_patch(uint8_t *rel32_rw, intptr_t rx_delta, const void *target_rx);

/* One decoded IA-32 instruction, and the table that describes them all (translator/insn.def).
 *
 * The decoder is ours, pure and table-driven; it serves the interpreter and the instruction tests.
 * The translator decodes with Zydis, so that the two check each other.
 */
#pragma once

#include "types.h"
#include "x86.h"

#define INSN_MAX_LEN 15
#define REG_NONE 0xff

enum insn_rep { REP_NONE = 0, REPNE = 0xf2, REP = 0xf3 };

struct insn_row; /* insn.def row: name, handler index, operand kinds, flags */

struct insn {
    const struct insn_row *row;
    uint16_t id;      /* enum insn_id, generated from insn.def */
    uint8_t len;      /* bytes, 1..15 */
    uint8_t map;      /* 0 one-byte, 1 0F, 2 0F38, 3 0F3A */
    uint8_t opcode;   /* last opcode byte */
    uint8_t opsize;   /* effective operand size: 2 or 4 (1 is up to the row) */
    uint8_t adsize;   /* effective address size: 2 or 4 */
    uint8_t rep;      /* enum insn_rep, the last of F2/F3 seen */
    bool lock;
    bool prefix66;    /* operand-size prefix seen (mandatory prefix of SSE) */
    bool has_modrm;
    uint8_t modrm, mod, reg, rm;
    uint8_t seg;      /* segment of the memory operand: override, or the default for its base */
    uint8_t seg_override; /* enum segreg or REG_NONE */
    uint8_t base, index, scale; /* memory operand: base + (index << scale) + disp; REG_NONE if absent */
    int32_t disp;     /* sign-extended */
    uint32_t imm;     /* sign-extended where the instruction says so */
    uint32_t imm2;    /* ENTER's level, far pointers' selector */
    uint8_t bytes[INSN_MAX_LEN];
};

/* Decodes at most avail bytes. code32: CS.D. Returns the length, 0 when more than avail bytes are
 * needed (avail < 15), or -1 for an instruction longer than 15 bytes (#GP). Undefined opcodes decode
 * to the row INSN_UD (length as far as known). Pure. */
int insn_decode(struct insn *insn, const uint8_t *bytes, unsigned avail, bool code32);

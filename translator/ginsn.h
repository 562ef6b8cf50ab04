/* A guest instruction as the translator sees it: decoded by Zydis, classed by how it is translated. */
#pragma once

#include "types.h"
#include "x86.h"

#define GREG_NONE 0xff

/* How an instruction is translated (one case each in translate.c and its tr_*.c). */
enum gclass {
    G_INTERP,    /* left to the interpreter; ends the block */
    G_GENERIC,   /* re-encoded one to one */
    G_NOP,       /* no effect that the guest could see */
    G_OPREG_IMM, /* B0..BF mov imm */
    G_INCDEC,    /* 40..4F, which are REX prefixes in 64-bit mode */
    G_XCHG_AX,   /* 91..97 */
    G_BSWAP,
    G_MOFFS, /* A0..A3 */
    G_LEA,
    G_XLAT,
    G_PUSH_R,
    G_PUSH_I,
    G_PUSH_M,
    G_PUSH_SEG,
    G_POP_R,
    G_POP_M,
    G_PUSHA,
    G_POPA,
    G_PUSHF,
    G_POPF,
    G_LEAVE,
    G_CALL,     /* near relative */
    G_CALL_IND, /* near through register or memory */
    G_RET,
    G_JMP,
    G_JMP_IND,
    G_JCC,
    G_JCXZ,
    G_LOOP,   /* LOOP, LOOPE, LOOPNE */
    G_STRING, /* MOVS STOS LODS SCAS CMPS */
    G_CLI,
    G_STI,
    G_MOV_FROM_SEG,
    G_MOV_FROM_CR,
    G_RDTSC,
    G_INVLPG,
    G_IN, /* not strings */
    G_OUT,
    G_MOV_TO_SEG, /* not SS, CS */
    G_POP_SEG,    /* not SS */
    G_INT,        /* INT n */
    G_IRET,
    G_SYSENTER,
    G_SYSEXIT,
    G_LOAD_FAR, /* LES, LDS, LFS, LGS; not LSS */
    G_CALL_FAR, /* pointer in far_sel:imm or in memory */
    G_JMP_FAR,
    G_RET_FAR,
    /* Made by tr_decode out of others: */
    G_FOLLOWED, /* a JMP whose target comes next in the block: no code */
    G_THUNK,    /* a CALL of "mov (%esp), reg; ret", all three as one; reg is in ginsn.reg */
};

enum goperand { GO_NONE, GO_GPR, GO_GPR8, GO_OTHER /* MMX, XMM, x87, opcode extension */ };

struct ginsn {
    uint32_t eip; /* offset in CS */
    uint8_t len;
    uint8_t bytes[15]; /* those behind len are anything */
    uint8_t gclass;    /* enum gclass */
    uint16_t mnemonic; /* ZydisMnemonic */
    uint8_t map, opcode;
    uint8_t opsize;         /* bits: 8, 16, 32 */
    uint8_t adsize;         /* bits: 16, 32 */
    uint8_t p66, rep, lock; /* prefixes to re-emit (rep: F2/F3 where they mean something) */
    bool has_modrm, is_mem, fpu, sse;
    uint8_t reg, rm;                 /* modrm fields */
    uint8_t reg_kind, rm_kind;       /* enum goperand; rm_kind GO_NONE when memory */
    uint8_t seg, base, index, scale; /* memory operand */
    uint8_t mem_size;                /* bytes accessed, 0 = unknown */
    uint32_t disp;
    uint8_t imm_size;
    bool imm_signed, relative; /* imm is sign-extended; and says where target is */
    uint32_t imm;
    uint16_t far_sel;
    uint32_t target;                              /* relative branches: offset in CS, wrapped to operand size */
    uint32_t flags_read, flags_kill, flags_write; /* FL_ARITH bits; kill = surely written */
    bool mem_write;
};

/* DIV or IDIV? */
static inline bool ginsn_divides(const struct ginsn *g)
{
    return g->map == 0 && (g->opcode == 0xf6 || g->opcode == 0xf7) && g->reg >= 6;
}

/* What the guest CPU has; instructions outside it are left to the interpreter, which knows best. */
#define GISA_FPU     0x001u
#define GISA_CMOV    0x002u
#define GISA_MMX     0x004u
#define GISA_SSE     0x008u
#define GISA_SSE2    0x010u
#define GISA_SSE3    0x020u
#define GISA_SSSE3   0x040u
#define GISA_SSE41   0x080u
#define GISA_SSE42   0x100u
#define GISA_POPCNT  0x200u
#define GISA_SSE_ALL (GISA_SSE | GISA_SSE2 | GISA_SSE3 | GISA_SSSE3 | GISA_SSE41 | GISA_SSE42)
#define GISA_MOVBE   0x400u
#define GISA_SEP     0x800u

/* Decodes the instruction at bytes (avail of them, up to the page's end or beyond). False when the
 * bytes do not suffice or do not decode: the caller leaves that to the interpreter. */
bool ginsn_decode(struct ginsn *g, const uint8_t *bytes, unsigned avail, uint32_t eip, bool code32, uint32_t isa);
/* The same with Zydis alone. */
bool ginsn_decode_zydis(struct ginsn *g, const uint8_t *bytes, unsigned avail, uint32_t eip, bool code32, uint32_t isa);

/* The same without Zydis: false unless an instruction of this form has been decoded before. 15 bytes can be read. */
bool ginsn_by_form(struct ginsn *g, const uint8_t *bytes, uint32_t eip, bool code32, uint32_t isa);

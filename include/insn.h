/* One decoded IA-32 instruction, and the table that describes them all (src/cpu/decode/insn.def).
 *
 * The decoder is ours, pure and table-driven; it serves the interpreter and the instruction tests.
 * The translator decodes with Zydis, so that the two check each other.
 */
#pragma once

#include "types.h"
#include "x86.h"

#define INSN_MAX_LEN 15
#define REG_NONE     0xff

enum insn_rep { REP_NONE = 0, REPNE = 0xf2, REP = 0xf3 };

/* Operand kinds, the letters of SDM vol. 2, A.2. E: ModRM.rm, register or memory; G: ModRM.reg; M: memory
 * only; R: register only; Z: register in the opcode's low bits. b, w, d, q, x (16 bytes): width;
 * v: 2 or 4 by operand size; z: the same for immediates. Those up to OP_MODRM_LAST mean a ModRM byte. */
enum insn_operand {
    OP_Eb,
    OP_Ew,
    OP_Ed,
    OP_Ev,
    OP_Gb,
    OP_Gw,
    OP_Gd,
    OP_Gv,
    OP_M,
    OP_Mb,
    OP_Md,
    OP_Mq,
    OP_Mx,
    OP_Mv,
    OP_M512,
    OP_Ma, /* BOUND's pair */
    OP_Mp, /* far pointer */
    OP_Ms, /* 6-byte pseudo descriptor */
    OP_Mf32,
    OP_Mf64,
    OP_Mf80,
    OP_Mi16,
    OP_Mi32,
    OP_Mi64, /* x87 memory formats */
    OP_Menv,
    OP_Mstate, /* x87 environment (14/28), state (94/108) */
    OP_Rd,
    OP_RdMb,
    OP_RdMw, /* Rd: register; RdMb: 32-bit register or byte in memory */
    OP_Sw,
    OP_Cd,
    OP_Dd, /* segment, control, debug register in ModRM.reg */
    OP_Pq,
    OP_Nq,
    OP_Qd,
    OP_Qq, /* MMX: P in reg, N in rm (register), Q in rm or memory */
    OP_Vx,
    OP_Ux,
    OP_Ww,
    OP_Wd,
    OP_Wq,
    OP_Wx, /* XMM: V in reg, U in rm (register), W in rm or memory */
    OP_ST0,
    OP_STi,
    OP_MODRM_LAST = OP_STi,
    OP_NONE,
    OP_Zb,
    OP_Zv,
    OP_AL,
    OP_eAX,
    OP_CL,
    OP_DX,
    OP_K1, /* K1: the constant 1 */
    OP_ES,
    OP_CS,
    OP_SS,
    OP_DS,
    OP_FS,
    OP_GS,
    OP_Ib,
    OP_Ib2,
    OP_Ibs,
    OP_Iw,
    OP_Iz, /* Ibs: byte, sign-extended; Ib2: byte, into imm2 */
    OP_Jb,
    OP_Jz,
    OP_Ap,
    OP_Ob,
    OP_Ov,
    OP_Xb,
    OP_Xv,
    OP_Yb,
    OP_Yv,
};

enum insn_class {
    CLASS_UD,
    CLASS_ALU,
    CLASS_SHIFT,
    CLASS_MULDIV,
    CLASS_BCD,
    CLASS_BIT,
    CLASS_MOV,
    CLASS_STACK,
    CLASS_STRING,
    CLASS_FLOW,
    CLASS_FLAGS,
    CLASS_IO,
    CLASS_SEG,
    CLASS_SYS,
    CLASS_CPU,
    CLASS_NOP,
    CLASS_X87,
    CLASS_MMX,
    CLASS_SSE,
};

/* What a processor must have for the row not to be #UD. cpuid.h says which of them a model has. */
enum insn_feature {
    FEAT_BASE,
    FEAT_I486,
    FEAT_P6,
    FEAT_FPU,
    FEAT_CPUID,
    FEAT_TSC,
    FEAT_MSR,
    FEAT_CX8,
    FEAT_SEP,
    FEAT_CMOV,
    FEAT_FCMOV,
    FEAT_NOPL,
    FEAT_MMX,
    FEAT_FXSR,
    FEAT_SSE,
    FEAT_SSE2,
    FEAT_SSE3,
    FEAT_SSSE3,
    FEAT_SSE41,
    FEAT_SSE42,
    FEAT_POPCNT,
    FEAT_MOVBE,
    FEAT_CLFLUSH,
    FEAT_COUNT
};

#define IA_USER       0x001u /* ring 3 may test it natively: touches registers, flags, memory only */
#define IA_PRIV       0x002u /* #GP(0) unless CPL = 0 */
#define IA_LOCK       0x004u /* LOCK is legal when the destination is memory */
#define IA_REP        0x008u /* F2/F3 repeat it */
#define IA_REPCC      0x010u /* ... and F2 and F3 differ: CMPS, SCAS */
#define IA_FLOW       0x020u /* may set EIP otherwise than to the next instruction */
#define IA_STACK      0x040u /* implicit stack access */
#define IA_IO         0x080u /* port access: IOPL and I/O bitmap */
#define IA_NOREAL     0x100u /* #UD in real and V86 mode */
#define IA_FLAGS_COND 0x200u /* flags unchanged when the count is 0 */
#define IA_BITSTRING  0x400u /* register bit offset also moves the memory operand */
#define IA_ALIGN16    0x800u /* 16-byte memory operand must be aligned: #GP(0) */

#define INSN_EXT_ANY 0x80 /* neither a reg field nor an x87 ModRM byte */

enum insn_prefix { PFX_ANY, PFX_NP, PFX_PN, PFX_P66, PFX_PF2, PFX_PF3 };
enum insn_mod { MOD_ANY, MOD_MEM, MOD_REG };

struct insn_row {
    const char *name;
    uint16_t id;
    uint8_t map, opcode, count; /* opcodes opcode .. opcode + count - 1 */
    uint8_t ext;                /* INSN_EXT_ANY, ModRM.reg, or >= 0xc0 the whole ModRM byte */
    uint8_t prefix, mod;        /* enum insn_prefix, insn_mod */
    uint8_t op[3];              /* enum insn_operand */
    uint8_t class;              /* enum insn_class */
    uint8_t feature;            /* enum insn_feature */
    bool has_modrm;
    uint16_t attr;                                       /* IA_* */
    uint32_t flags_read, flags_written, flags_undefined; /* FL_*; undefined is not in written */
};

/* INSN_ADD_EbGb and so on, from insn.def. */
enum insn_id {
    INSN_UD, /* no such instruction */
#define INSN(id, ...) INSN_##id,
#include "cpu/decode/insn.def"
#undef INSN
    INSN_COUNT
};

extern const struct insn_row insn_rows[INSN_COUNT];

struct insn {
    const struct insn_row *row;
    uint16_t id;    /* enum insn_id, generated from insn.def */
    uint8_t len;    /* bytes, 1..15 */
    uint8_t map;    /* 0 one-byte, 1 0F, 2 0F38, 3 0F3A */
    uint8_t opcode; /* last opcode byte */
    uint8_t opsize; /* effective operand size: 2 or 4 (1 is up to the row) */
    uint8_t adsize; /* effective address size: 2 or 4 */
    uint8_t rep;    /* enum insn_rep, the last of F2/F3 seen */
    bool lock;
    bool prefix66; /* operand-size prefix seen (mandatory prefix of SSE) */
    bool has_modrm;
    uint8_t modrm, mod, reg, rm;
    uint8_t seg;                /* segment of the memory operand: override, or the default for its base */
    uint8_t seg_override;       /* enum segreg or REG_NONE */
    uint8_t base, index, scale; /* memory operand: base + (index << scale) + disp; REG_NONE if absent */
    int32_t disp;               /* sign-extended */
    uint32_t imm;               /* sign-extended where the instruction says so */
    uint32_t imm2;              /* ENTER's level, far pointers' selector */
    uint8_t bytes[INSN_MAX_LEN];
};

/* Rows of one opcode: the last one, or INSN_UD; its siblings stand directly before it. */
uint16_t insn_last_row(unsigned map, unsigned opcode);

/* True when the instruction has a memory operand named by ModRM (or a direct offset). */
static inline bool insn_is_memory(const struct insn *insn)
{
    return insn->has_modrm && insn->mod != 3;
}

/* Decodes at most avail bytes. code32: CS.D. Returns the length, 0 when more than avail bytes are
 * needed (avail < 15), or -1 for an instruction longer than 15 bytes (#GP). Undefined opcodes decode
 * to the row INSN_UD (length as far as known). Pure. */
int insn_decode(struct insn *insn, const uint8_t *bytes, unsigned avail, bool code32);

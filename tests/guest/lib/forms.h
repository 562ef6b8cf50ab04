/* Every form of instruction there is, from the instruction table, and random instructions of a form. */
#pragma once

#include "guest.h"

/* --- The forms, from the instruction table --- */

enum operand_size { /* what follows ModRM */
                    IMM_NONE,
                    IMM_8,
                    IMM_16,
                    IMM_Z,   /* 2 or 4 */
                    IMM_FAR, /* Z and a selector */
                    IMM_REL8,
                    IMM_RELZ,
                    IMM_OFFSET, /* by address size */
};
#define WHOLE_MODRM(ext) ((ext) >= 0xc0)
#define X                0xfe
#define ANY              0
#define NP               0
#define PN               0
#define P66              0x66
#define PF2              0xf2
#define PF3              0xf3
#define MEM              1
#define REG              2

/* Kinds of operands that need bytes; all others are in ModRM or nowhere. */
enum operand {
    I_none,
    I_modrm,
    I_Ib = 0x10 + IMM_8,
    I_Iw = 0x10 + IMM_16,
    I_Iz = 0x10 + IMM_Z,
    I_Ap = 0x10 + IMM_FAR,
    I_Jb = 0x10 + IMM_REL8,
    I_Jz = 0x10 + IMM_RELZ,
    I_Ov = 0x10 + IMM_OFFSET,
};
/* insn.def's letters */
#define I_Ibs    I_Ib
#define I_Ib2    I_Ib
#define I_Ob     I_Ov
#define I_NONE   I_none
#define I_AL     I_none
#define I_eAX    I_none
#define I_CL     I_none
#define I_DX     I_none
#define I_K1     I_none
#define I_Zb     I_none
#define I_Zv     I_none
#define I_ES     I_none
#define I_CS     I_none
#define I_SS     I_none
#define I_DS     I_none
#define I_FS     I_none
#define I_GS     I_none
#define I_Xb     I_none
#define I_Xv     I_none
#define I_Yb     I_none
#define I_Yv     I_none
#define I_ST0    I_none
#define I_STi    I_none
#define I_Eb     I_modrm
#define I_Ew     I_modrm
#define I_Ed     I_modrm
#define I_Ev     I_modrm
#define I_Gb     I_modrm
#define I_Gw     I_modrm
#define I_Gd     I_modrm
#define I_Gv     I_modrm
#define I_M      I_modrm
#define I_Ma     I_modrm
#define I_Mb     I_modrm
#define I_Md     I_modrm
#define I_Mq     I_modrm
#define I_Mx     I_modrm
#define I_Mv     I_modrm
#define I_M512   I_modrm
#define I_Mp     I_modrm
#define I_Ms     I_modrm
#define I_Mf32   I_modrm
#define I_Mf64   I_modrm
#define I_Mf80   I_modrm
#define I_Mi16   I_modrm
#define I_Mi32   I_modrm
#define I_Mi64   I_modrm
#define I_Menv   I_modrm
#define I_Mstate I_modrm
#define I_Rd     I_modrm
#define I_RdMb   I_modrm
#define I_RdMw   I_modrm
#define I_Sw     I_modrm
#define I_Cd     I_modrm
#define I_Dd     I_modrm
#define I_Pq     I_modrm
#define I_Nq     I_modrm
#define I_Qd     I_modrm
#define I_Qq     I_modrm
#define I_Vx     I_modrm
#define I_Ux     I_modrm
#define I_Wx     I_modrm
#define I_Ww     I_modrm
#define I_Wd     I_modrm
#define I_Wq     I_modrm

static const struct form {
    const char *id;
    uint8_t map, opcode, count, ext, prefix, mod, op[3];
} forms[] = {
#define INSN(id, mnemonic, map, opcode, count, ext, prefix, mod, op1, op2, op3, ...) \
    {#id, map, opcode, count, ext, prefix, mod, {I_##op1, I_##op2, I_##op3}},
#include "cpu/decode/insn.def"
#undef INSN
};

static bool has_modrm(const struct form *f)
{
    return f->ext != X || f->mod || f->op[0] == I_modrm || f->op[1] == I_modrm || f->op[2] == I_modrm;
}

/* What ring 0 must not execute here: the kernel would be gone, or wait for ever. */
static inline bool form_is_fatal(const struct form *f)
{
    if (f->map == 0)
        return f->opcode == 0xf4 || f->opcode == 0xc9; /* HLT; LEAVE, whose second one has its stack from the first */
    if (f->map != 1)
        return false;
    switch (f->opcode) {
    case 0x01:
        return f->ext == 2 || f->ext == 3; /* LGDT, LIDT */
    case 0x22:                             /* MOV to control and debug registers */
    case 0x23:
    case 0x30: /* WRMSR */
        return true;
    }
    return false;
}

/* --- One instruction --- */

static unsigned put(uint8_t *p, uint32_t value, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        p[i] = (uint8_t)(value >> (8 * i));
    return n;
}

/* A register's number; ring 0 keeps its stack. */
static uint8_t any_register(unsigned ring)
{
    uint8_t r = (uint8_t)(rnd() % 8);
    return ring == 0 && r == 4 ? 5 : r;
}

/* EBX, ESI, EDI point to data, ECX is small, EAX a selector or something else. */
static unsigned form_encode(const struct form *f, unsigned ring, bool code16, uint32_t offset, uint32_t landing,
                            uint16_t selector, uint8_t *p)
{

    static const uint8_t prefixes[][4] = {{0},
                                          {0},
                                          {0x66},
                                          {0x67},
                                          {0xf0},
                                          {0xf3},
                                          {0xf2},
                                          {0x26, 0x66},
                                          {0x64, 0x67},
                                          {0x66, 0x67},
                                          {0x3e, 0x3e, 0x3e, 0x3e}};
    const uint8_t *prefix = prefixes[rnd() % ARRAY_COUNT(prefixes)];
    uint8_t *start = p;
    bool op16 = code16, ad16 = code16;

    for (unsigned i = 0; i < 4 && prefix[i]; i++) {
        op16 ^= prefix[i] == 0x66;
        ad16 ^= prefix[i] == 0x67;
        *p++ = prefix[i];
    }
    if (f->prefix) {
        op16 ^= f->prefix == 0x66;
        *p++ = f->prefix;
    }
    if (f->map)
        *p++ = 0x0f;
    if (f->map >= 2)
        *p++ = f->map == 2 ? 0x38 : 0x3a;
    *p++ = (uint8_t)(f->opcode + (f->count == 8 ? any_register(ring) : rnd() % f->count));
    if (has_modrm(f) && WHOLE_MODRM(f->ext) && f->ext != X) {
        *p++ = f->ext;
    } else if (has_modrm(f)) {
        uint8_t reg = (uint8_t)((f->ext == X ? any_register(ring) : f->ext) << 3);
        bool memory = f->mod == MEM || (f->mod == 0 && rnd() % 4 != 0);
        if (f->map == 1 && (f->opcode & 0xfc) == 0x20) /* MOV of control and debug registers names one in any form */
            memory = false;
        unsigned kind = rnd() % 5;
        if (!memory) {
            *p++ = (uint8_t)(0xc0 | reg | any_register(ring));
        } else if (ad16) {
            static const uint8_t rm[5] = {0x07, 0x44, 0x85, 0x06, 0x47}; /* [BX] [SI+d8] [DI+d16] [d16] [BX+d8] */
            *p++ = rm[kind] | reg;
            if (kind == 3)
                p += put(p, offset, 2);
            else if (kind)
                p += put(p, kind == 2 ? 0x20 : (uint8_t)-4, kind == 2 ? 2 : 1);
        } else {
            static const uint8_t rm[5] = {0x03, 0x46, 0x84, 0x05,
                                          0x44}; /* [EBX] [ESI+d8] [EBX+ECX*4+d32] [d32] [ESP+d8] */
            *p++ = rm[kind] | reg;
            if (kind == 2)
                *p++ = 0x8b;
            else if (kind == 4)
                *p++ = 0x24;
            if (kind == 3)
                p += put(p, offset, 4);
            else if (kind)
                p += put(p, kind == 2 ? 0x20 : 8, kind == 2 ? 4 : 1);
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        unsigned z = op16 ? 2 : 4;
        switch (f->op[i]) {
        case I_Ib:
            p += put(p,
                     f->map == 0 && (f->opcode & 0xf4) == 0xe4 ? 0x80
                     : f->map == 0 && f->opcode == 0xcd        ? 0x81
                                                               : rnd(),
                     1);
            break;
        case I_Iw:
            p += put(p, 8, 2); /* RET, ENTER */
            break;
        case I_Iz:
            p += put(p, rnd(), z);
            break;
        case I_Ap:
            p += put(p, landing, z);
            p += put(p, rnd() % 2 ? selector : 0x7f8, 2);
            break;
        case I_Jb:
            p += put(p, 0, 1);
            break;
        case I_Jz:
            p += put(p, 0, z);
            break;
        case I_Ov:
            p += put(p, offset, ad16 ? 2 : 4);
            break;
        }
    }
    if (p - start > 15)
        p = start + 15; /* is cut, and then something else */
    return (unsigned)(p - start);
}

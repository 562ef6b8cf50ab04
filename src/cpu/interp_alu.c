/* Arithmetic, logic, shifts, multiplication, BCD, bit operations. Intel SDM vol. 2.
 *
 * Computing is done by the host's own instruction, with the guest's flags loaded before it and read after
 * it, so that undefined flags come out as this processor makes them. */
#include "hostcpu.h"
#include "interp.h"

/* LAHF and SETO leave AH = SF ZF 0 AF 0 PF 1 CF and AL = OF. */
#define FLAGS_GET "lahf\n\tseto %%al"
/* The reverse; adding 7Fh to AL sets OF when AL is 1. */
#define FLAGS_PUT "addb $0x7f, %%al\n\tsahf\n\t"

static inline void flags_set(struct cpu *cpu, uint32_t ax)
{
    cpu->eflags = (cpu->eflags & ~FL_ARITH) | ((ax >> 8) & 0xd5) | (ax & 1) << 11;
}

static inline uint32_t flags_ax(const struct cpu *cpu)
{
    return (cpu->eflags & 0xd5) << 8 | ((cpu->eflags >> 11) & 1);
}

/* Two-operand operations that read no flags, that read CF, and one-operand ones that keep some flags. */
#define HOST2(name, insn, bits) \
    static inline uint##bits##_t name##bits(struct cpu *cpu, uint##bits##_t a, uint##bits##_t b) \
    { \
        uint32_t ax; \
        __asm__(insn " %2, %0\n\t" FLAGS_GET : "+q"(a), "=a"(ax) : "q"(b) : "cc"); \
        flags_set(cpu, ax); \
        return a; \
    }
#define HOST2C(name, insn, bits) \
    static inline uint##bits##_t name##bits(struct cpu *cpu, uint##bits##_t a, uint##bits##_t b) \
    { \
        uint32_t ax; \
        __asm__("btl $0, %3\n\t" insn " %2, %0\n\t" FLAGS_GET : "+q"(a), "=a"(ax) : "q"(b), "r"(cpu->eflags) : "cc"); \
        flags_set(cpu, ax); \
        return a; \
    }
#define HOST1(name, insn, bits) \
    static inline uint##bits##_t name##bits(struct cpu *cpu, uint##bits##_t a) \
    { \
        uint32_t ax = flags_ax(cpu); \
        __asm__(FLAGS_PUT insn " %0\n\t" FLAGS_GET : "+q"(a), "+a"(ax) : : "cc"); \
        flags_set(cpu, ax); \
        return a; \
    }
#define HOST_SHIFT(name, insn, bits) \
    static inline uint##bits##_t name##bits(struct cpu *cpu, uint##bits##_t a, uint8_t count) \
    { \
        uint32_t ax = flags_ax(cpu); \
        __asm__(FLAGS_PUT insn " %%cl, %0\n\t" FLAGS_GET : "+q"(a), "+a"(ax) : "c"(count) : "cc"); \
        flags_set(cpu, ax); \
        return a; \
    }
#define HOST_ALL(host, name, insn) host(name, insn "b", 8) host(name, insn "w", 16) host(name, insn "l", 32)

HOST_ALL(HOST2, alu_ADD, "add")
HOST_ALL(HOST2, alu_OR, "or")
HOST_ALL(HOST2C, alu_ADC, "adc")
HOST_ALL(HOST2C, alu_SBB, "sbb")
HOST_ALL(HOST2, alu_AND, "and")
HOST_ALL(HOST2, alu_SUB, "sub")
HOST_ALL(HOST2, alu_XOR, "xor")
HOST_ALL(HOST2, alu_CMP, "cmp")
HOST_ALL(HOST2, alu_TEST, "test")
HOST_ALL(HOST1, alu_INC, "inc")
HOST_ALL(HOST1, alu_DEC, "dec")
HOST_ALL(HOST1, alu_NEG, "neg")
HOST_ALL(HOST_SHIFT, alu_ROL, "rol")
HOST_ALL(HOST_SHIFT, alu_ROR, "ror")
HOST_ALL(HOST_SHIFT, alu_RCL, "rcl")
HOST_ALL(HOST_SHIFT, alu_RCR, "rcr")
HOST_ALL(HOST_SHIFT, alu_SHL, "shl")
HOST_ALL(HOST_SHIFT, alu_SHR, "shr")
HOST_ALL(HOST_SHIFT, alu_SAR, "sar")

static inline uint8_t alu_NOT8(struct cpu *cpu, uint8_t a)
{
    return (uint8_t)~a;
}
static inline uint16_t alu_NOT16(struct cpu *cpu, uint16_t a)
{
    return (uint16_t)~a;
}
static inline uint32_t alu_NOT32(struct cpu *cpu, uint32_t a)
{
    return ~a;
}

/* Register access by width, for the macros below. */
#define REG8(cpu, r)  (*interp_reg8(cpu, r))
#define REG16(cpu, r) (*interp_reg16(cpu, r))
#define REG32(cpu, r) ((cpu)->gpr[r])

/* E, b: E = E op b, where b is a C expression. store: the result is written back. */
#define BODY_E(op, bits, b, store) \
    { \
        if (insn->mod == 3) { \
            uint##bits##_t result = op##bits(cpu, REG##bits(cpu, insn->rm), b); \
            if (store) \
                REG##bits(cpu, insn->rm) = result; \
            return CPU_OK; \
        } \
        uint32_t value; \
        enum cpu_rc rc; \
        if (!(store)) { \
            rc = interp_read(cpu, insn->seg, interp_ea(cpu, insn), bits / 8, &value); \
            if (rc == CPU_OK) \
                op##bits(cpu, (uint##bits##_t)value, b); \
            return rc; \
        } \
        struct interp_rmw rmw; \
        rc = interp_rmw_begin(cpu, insn, bits / 8, &value, &rmw); \
        if (rc != CPU_OK) \
            return rc; \
        uint32_t before = cpu->eflags; \
        rc = interp_rmw_end(cpu, &rmw, bits / 8, op##bits(cpu, (uint##bits##_t)value, b)); \
        if (unlikely(rc != CPU_OK)) \
            cpu->eflags = before; \
        return rc; \
    }
#define BODY_G(op, bits, store) \
    { \
        uint32_t value; \
        if (insn->mod == 3) { \
            value = REG##bits(cpu, insn->rm); \
        } else { \
            enum cpu_rc rc = interp_read(cpu, insn->seg, interp_ea(cpu, insn), bits / 8, &value); \
            if (rc != CPU_OK) \
                return rc; \
        } \
        uint##bits##_t result = op##bits(cpu, REG##bits(cpu, insn->reg), (uint##bits##_t)value); \
        if (store) \
            REG##bits(cpu, insn->reg) = result; \
        return CPU_OK; \
    }
#define OP(name) static enum cpu_rc name(struct cpu *cpu, const struct insn *insn)

/* clang-format off */
#define DEFINE_ALU(NAME, store) \
    OP(NAME##_eg8) BODY_E(alu_##NAME, 8, REG8(cpu, insn->reg), store) \
    OP(NAME##_eg16) BODY_E(alu_##NAME, 16, REG16(cpu, insn->reg), store) \
    OP(NAME##_eg32) BODY_E(alu_##NAME, 32, REG32(cpu, insn->reg), store) \
    OP(NAME##_ge8) BODY_G(alu_##NAME, 8, store) \
    OP(NAME##_ge16) BODY_G(alu_##NAME, 16, store) \
    OP(NAME##_ge32) BODY_G(alu_##NAME, 32, store) \
    OP(NAME##_ei8) BODY_E(alu_##NAME, 8, (uint8_t)insn->imm, store) \
    OP(NAME##_ei16) BODY_E(alu_##NAME, 16, (uint16_t)insn->imm, store) \
    OP(NAME##_ei32) BODY_E(alu_##NAME, 32, insn->imm, store) \
    DEFINE_ALU_A(NAME, 8, store) DEFINE_ALU_A(NAME, 16, store) DEFINE_ALU_A(NAME, 32, store)
/* clang-format on */
#define DEFINE_ALU_A(NAME, bits, store) \
    OP(NAME##_ai##bits) \
    { \
        uint##bits##_t result = alu_##NAME##bits(cpu, REG##bits(cpu, EAX), (uint##bits##_t)insn->imm); \
        if (store) \
            REG##bits(cpu, EAX) = result; \
        return CPU_OK; \
    }

DEFINE_ALU(ADD, true)
DEFINE_ALU(OR, true)
DEFINE_ALU(ADC, true)
DEFINE_ALU(SBB, true)
DEFINE_ALU(AND, true)
DEFINE_ALU(SUB, true)
DEFINE_ALU(XOR, true)
DEFINE_ALU(CMP, false)

OP(TEST_eg8)
BODY_E(alu_TEST, 8, REG8(cpu, insn->reg), false)
OP(TEST_eg16)
BODY_E(alu_TEST, 16, REG16(cpu, insn->reg), false)
OP(TEST_eg32)
BODY_E(alu_TEST, 32, REG32(cpu, insn->reg), false)
OP(TEST_ei8)
BODY_E(alu_TEST, 8, (uint8_t)insn->imm, false)
OP(TEST_ei16)
BODY_E(alu_TEST, 16, (uint16_t)insn->imm, false)
OP(TEST_ei32)
BODY_E(alu_TEST, 32, insn->imm, false)
DEFINE_ALU_A(TEST, 8, false)
DEFINE_ALU_A(TEST, 16, false)
DEFINE_ALU_A(TEST, 32, false)

/* One operand, read-modify-write. */
#define BODY_E1(op, bits) \
    { \
        if (insn->mod == 3) { \
            REG##bits(cpu, insn->rm) = op##bits(cpu, REG##bits(cpu, insn->rm)); \
            return CPU_OK; \
        } \
        uint32_t value; \
        struct interp_rmw rmw; \
        enum cpu_rc rc = interp_rmw_begin(cpu, insn, bits / 8, &value, &rmw); \
        if (rc != CPU_OK) \
            return rc; \
        return interp_rmw_end(cpu, &rmw, bits / 8, op##bits(cpu, (uint##bits##_t)value)); \
    }
#define DEFINE_E1(NAME) \
    OP(NAME##_e8) \
    BODY_E1(alu_##NAME, 8) \
    OP(NAME##_e16) \
    BODY_E1(alu_##NAME, 16) \
    OP(NAME##_e32) \
    BODY_E1(alu_##NAME, 32)
DEFINE_E1(INC)
DEFINE_E1(DEC)
DEFINE_E1(NEG)
DEFINE_E1(NOT)

#define DEFINE_Z1(NAME, bits) \
    OP(NAME##_z##bits) \
    { \
        unsigned r = insn->opcode & 7; \
        REG##bits(cpu, r) = alu_##NAME##bits(cpu, REG##bits(cpu, r)); \
        return CPU_OK; \
    }
DEFINE_Z1(INC, 16)
DEFINE_Z1(INC, 32)
DEFINE_Z1(DEC, 16)
DEFINE_Z1(DEC, 32)

/* --- shifts: a masked count of 0 changes nothing, but memory is still accessed for writing --- */

/* reg_op: for an operand in a register */
#define BODY_SHIFT(reg_op, op, bits, count_expr) \
    { \
        uint8_t count = (count_expr)&31; \
        if (insn->mod == 3) { \
            if (count) \
                REG##bits(cpu, insn->rm) = reg_op##bits(cpu, REG##bits(cpu, insn->rm), count); \
            return CPU_OK; \
        } \
        uint32_t value; \
        struct interp_rmw rmw; \
        enum cpu_rc rc = interp_rmw_begin(cpu, insn, bits / 8, &value, &rmw); \
        if (rc != CPU_OK || !count) \
            return rc; \
        return interp_rmw_end(cpu, &rmw, bits / 8, op##bits(cpu, (uint##bits##_t)value, count)); \
    }
/* Of a register by an immediate, as the host has it: see hostcpu.h. */
#define ROTATE_IMM(NAME, bits) \
    static inline uint##bits##_t alu_##NAME##_IMM##bits(struct cpu *cpu, uint##bits##_t a, uint8_t count) \
    { \
        uint32_t before = cpu->eflags; \
        a = alu_##NAME##bits(cpu, a, count); \
        if (count != 1 && hostcpu()->rotate_keeps_of) \
            cpu->eflags = (cpu->eflags & ~FL_OF) | (before & FL_OF); \
        return a; \
    }
ROTATE_IMM(ROL, 8)
ROTATE_IMM(ROL, 16)
ROTATE_IMM(ROL, 32)
ROTATE_IMM(ROR, 8)
ROTATE_IMM(ROR, 16)
ROTATE_IMM(ROR, 32)

/* IMM: what does it by an immediate. */
#define DEFINE_SHIFT_BITS(NAME, IMM, bits) \
    OP(NAME##_i##bits) \
    BODY_SHIFT(alu_##IMM, alu_##NAME, bits, insn->imm) \
    OP(NAME##_1##bits) \
    BODY_SHIFT(alu_##NAME, alu_##NAME, bits, 1) \
    OP(NAME##_c##bits) \
    BODY_SHIFT(alu_##NAME, alu_##NAME, bits, cpu->gpr[ECX])
#define DEFINE_SHIFT(NAME, IMM) \
    DEFINE_SHIFT_BITS(NAME, IMM, 8) \
    DEFINE_SHIFT_BITS(NAME, IMM, 16) \
    DEFINE_SHIFT_BITS(NAME, IMM, 32)
DEFINE_SHIFT(ROL, ROL_IMM)
DEFINE_SHIFT(ROR, ROR_IMM)
DEFINE_SHIFT(RCL, RCL)
DEFINE_SHIFT(RCR, RCR)
DEFINE_SHIFT(SHL, SHL)
DEFINE_SHIFT(SHR, SHR)
DEFINE_SHIFT(SAR, SAR)

#define HOST_DOUBLE(name, insn, bits) \
    static inline uint##bits##_t name##bits(struct cpu *cpu, uint##bits##_t a, uint##bits##_t b, uint8_t count) \
    { \
        uint32_t ax = flags_ax(cpu); \
        __asm__(FLAGS_PUT insn " %%cl, %2, %0\n\t" FLAGS_GET : "+r"(a), "+a"(ax) : "r"(b), "c"(count) : "cc"); \
        flags_set(cpu, ax); \
        return a; \
    }
HOST_DOUBLE(alu_SHLD, "shldw", 16)
HOST_DOUBLE(alu_SHLD, "shldl", 32)
HOST_DOUBLE(alu_SHRD, "shrdw", 16)
HOST_DOUBLE(alu_SHRD, "shrdl", 32)

#define BODY_DOUBLE(op, bits, count_expr) \
    { \
        uint8_t count = (count_expr)&31; \
        uint##bits##_t b = REG##bits(cpu, insn->reg); \
        if (insn->mod == 3) { \
            if (count) \
                REG##bits(cpu, insn->rm) = op##bits(cpu, REG##bits(cpu, insn->rm), b, count); \
            return CPU_OK; \
        } \
        uint32_t value; \
        struct interp_rmw rmw; \
        enum cpu_rc rc = interp_rmw_begin(cpu, insn, bits / 8, &value, &rmw); \
        if (rc != CPU_OK || !count) \
            return rc; \
        return interp_rmw_end(cpu, &rmw, bits / 8, op##bits(cpu, (uint##bits##_t)value, b, count)); \
    }
#define DEFINE_DOUBLE(NAME, bits) \
    OP(NAME##_i##bits) \
    BODY_DOUBLE(alu_##NAME, bits, insn->imm) \
    OP(NAME##_c##bits) \
    BODY_DOUBLE(alu_##NAME, bits, cpu->gpr[ECX])
DEFINE_DOUBLE(SHLD, 16)
DEFINE_DOUBLE(SHLD, 32)
DEFINE_DOUBLE(SHRD, 16)
DEFINE_DOUBLE(SHRD, 32)

/* --- multiplication, division --- */

/* Reads an E operand of n bytes; leaves the handler on a fault. */
#define READ_E(bits, var) \
    uint32_t var; \
    if (insn->mod == 3) { \
        var = REG##bits(cpu, insn->rm); \
    } else { \
        enum cpu_rc rc_ = interp_read(cpu, insn->seg, interp_ea(cpu, insn), bits / 8, &var); \
        if (rc_ != CPU_OK) \
            return rc_; \
    }

/* EAX is operand and result, so the flags travel through another register: PUSHF would disturb the
 * red zone, hence the exchange. */
#define DEFINE_MUL8(name, insn_text) \
    OP(name##_e8) \
    { \
        READ_E(8, value) \
        uint32_t ax = flags_ax(cpu), product = (uint8_t)cpu->gpr[EAX]; \
        __asm__(FLAGS_PUT "xchgl %%eax, %1\n\t" insn_text " %b2\n\t" \
                          "xchgl %%eax, %1\n\t" FLAGS_GET \
                : "+a"(ax), "+r"(product) \
                : "q"(value) \
                : "cc"); \
        flags_set(cpu, ax); \
        *interp_reg16(cpu, EAX) = (uint16_t)product; \
        return CPU_OK; \
    }
#define DEFINE_MUL(name, insn_text, bits) \
    OP(name##_e##bits) \
    { \
        READ_E(bits, value) \
        uint32_t ax = flags_ax(cpu), low = cpu->gpr[EAX], high; \
        __asm__(FLAGS_PUT "xchgl %%eax, %1\n\t" insn_text "\n\t" \
                          "xchgl %%eax, %1\n\t" FLAGS_GET \
                : "+a"(ax), "+r"(low), "=&d"(high) \
                : "r"(value) \
                : "cc"); \
        flags_set(cpu, ax); \
        REG##bits(cpu, EAX) = (uint##bits##_t)low; \
        REG##bits(cpu, EDX) = (uint##bits##_t)high; \
        return CPU_OK; \
    }
DEFINE_MUL8(MUL, "mulb")
DEFINE_MUL8(IMUL, "imulb")
DEFINE_MUL(MUL, "mulw %w3", 16)
DEFINE_MUL(MUL, "mull %k3", 32)
DEFINE_MUL(IMUL, "imulw %w3", 16)
DEFINE_MUL(IMUL, "imull %k3", 32)

#define HOST_IMUL2(bits, suffix) \
    static inline uint##bits##_t alu_IMUL2_##bits(struct cpu *cpu, uint##bits##_t a, uint##bits##_t b) \
    { \
        uint32_t ax = flags_ax(cpu); \
        __asm__(FLAGS_PUT "imul" suffix " %2, %0\n\t" FLAGS_GET : "+r"(a), "+a"(ax) : "r"(b) : "cc"); \
        flags_set(cpu, ax); \
        return a; \
    }
HOST_IMUL2(16, "w")
HOST_IMUL2(32, "l")
#define DEFINE_IMUL2(bits) \
    OP(IMUL_ge##bits) \
    { \
        READ_E(bits, value) \
        REG##bits(cpu, insn->reg) = alu_IMUL2_##bits(cpu, REG##bits(cpu, insn->reg), (uint##bits##_t)value); \
        return CPU_OK; \
    } \
    OP(IMUL_gei##bits) \
    { \
        READ_E(bits, value) \
        REG##bits(cpu, insn->reg) = alu_IMUL2_##bits(cpu, (uint##bits##_t)value, (uint##bits##_t)insn->imm); \
        return CPU_OK; \
    }
DEFINE_IMUL2(16)
DEFINE_IMUL2(32)

/* Whether the quotient fits is decided in C; the host's division then cannot trap. Its flags are
 * undefined, and taken from the host. */
#define HOST_DIV_FLAGS(insn_text, ...) \
    do { \
        uint32_t ax = flags_ax(cpu); \
        __asm__(FLAGS_PUT "xchgl %%eax, %1\n\t" insn_text "\n\t" \
                          "xchgl %%eax, %1\n\t" FLAGS_GET \
                : "+a"(ax), "+r"(low), "+d"(high) \
                : "r"(value) \
                : "cc"); \
        flags_set(cpu, ax); \
    } while (0)

OP(DIV_e8)
{
    READ_E(8, value)
    uint32_t low = (uint16_t)cpu->gpr[EAX], high = 0;
    if (value == 0 || low / value > 0xff)
        return cpu_raise(cpu, EXC_DE, 0);
    HOST_DIV_FLAGS("divb %b3");
    *interp_reg16(cpu, EAX) = (uint16_t)low;
    return CPU_OK;
}
OP(IDIV_e8)
{
    READ_E(8, value)
    uint32_t low = (uint16_t)cpu->gpr[EAX], high = 0;
    int32_t dividend = (int16_t)low, divisor = (int8_t)value;
    if (divisor == 0 || dividend / divisor > 127 || dividend / divisor < -128)
        return cpu_raise(cpu, EXC_DE, 0);
    HOST_DIV_FLAGS("idivb %b3");
    *interp_reg16(cpu, EAX) = (uint16_t)low;
    return CPU_OK;
}
OP(DIV_e16)
{
    READ_E(16, value)
    uint32_t low = (uint16_t)cpu->gpr[EAX], high = (uint16_t)cpu->gpr[EDX];
    if (value == 0 || (high << 16 | low) / value > 0xffff)
        return cpu_raise(cpu, EXC_DE, 0);
    HOST_DIV_FLAGS("divw %w3");
    *interp_reg16(cpu, EAX) = (uint16_t)low;
    *interp_reg16(cpu, EDX) = (uint16_t)high;
    return CPU_OK;
}
OP(IDIV_e16)
{
    READ_E(16, value)
    uint32_t low = (uint16_t)cpu->gpr[EAX], high = (uint16_t)cpu->gpr[EDX];
    int64_t dividend = (int32_t)(high << 16 | low), divisor = (int16_t)value;
    if (divisor == 0 || dividend / divisor > 32767 || dividend / divisor < -32768)
        return cpu_raise(cpu, EXC_DE, 0);
    HOST_DIV_FLAGS("idivw %w3");
    *interp_reg16(cpu, EAX) = (uint16_t)low;
    *interp_reg16(cpu, EDX) = (uint16_t)high;
    return CPU_OK;
}
OP(DIV_e32)
{
    READ_E(32, value)
    uint32_t low = cpu->gpr[EAX], high = cpu->gpr[EDX];
    if (high >= value) /* also when value is 0 */
        return cpu_raise(cpu, EXC_DE, 0);
    HOST_DIV_FLAGS("divl %k3");
    cpu->gpr[EAX] = low;
    cpu->gpr[EDX] = high;
    return CPU_OK;
}
OP(IDIV_e32)
{
    READ_E(32, value)
    uint32_t low = cpu->gpr[EAX], high = cpu->gpr[EDX];
    int64_t dividend = (int64_t)((uint64_t)high << 32 | low), divisor = (int32_t)value;
    if (divisor == 0 || (dividend == INT64_MIN && divisor == -1) || dividend / divisor > INT32_MAX ||
        dividend / divisor < INT32_MIN)
        return cpu_raise(cpu, EXC_DE, 0);
    HOST_DIV_FLAGS("idivl %k3");
    cpu->gpr[EAX] = low;
    cpu->gpr[EDX] = high;
    return CPU_OK;
}

/* --- BCD: 64-bit mode has none of these, so they are spelt out --- */

static void set_szp(struct cpu *cpu, uint8_t al, uint32_t others)
{
    uint32_t fl = others;

    fl |= al & 0x80 ? FL_SF : 0;
    fl |= al == 0 ? FL_ZF : 0;
    fl |= __builtin_parity(al) ? 0 : FL_PF;
    cpu->eflags = (cpu->eflags & ~FL_ARITH) | fl;
}

static enum cpu_rc decimal_adjust(struct cpu *cpu, bool subtract)
{
    uint8_t *al = interp_reg8(cpu, 0), old = *al;
    uint32_t fl = 0;

    if ((old & 0xf) > 9 || (cpu->eflags & FL_AF)) {
        fl |= FL_AF;
        if (subtract) {
            if (old < 6)
                fl |= FL_CF; /* borrow out of the first correction */
            *al = (uint8_t)(*al - 6);
        } else {
            *al = (uint8_t)(*al + 6);
        }
    }
    if (old > 0x99 || (cpu->eflags & FL_CF)) {
        *al = (uint8_t)(subtract ? *al - 0x60 : *al + 0x60);
        fl |= FL_CF;
    }
    set_szp(cpu, *al, fl);
    return CPU_OK;
}
OP(DAA)
{
    return decimal_adjust(cpu, false);
}
OP(DAS)
{
    return decimal_adjust(cpu, true);
}

static enum cpu_rc ascii_adjust(struct cpu *cpu, int sign)
{
    uint16_t *ax = interp_reg16(cpu, EAX);
    uint32_t fl = 0;

    if ((*ax & 0xf) > 9 || (cpu->eflags & FL_AF)) {
        *ax = (uint16_t)(*ax + sign * 0x106);
        fl = FL_AF | FL_CF;
    }
    *ax &= 0xff0f;
    set_szp(cpu, (uint8_t)*ax, fl);
    return CPU_OK;
}
OP(AAA)
{
    return ascii_adjust(cpu, 1);
}
OP(AAS)
{
    return ascii_adjust(cpu, -1);
}

OP(AAM)
{
    uint8_t base = (uint8_t)insn->imm, al = *interp_reg8(cpu, 0);

    if (base == 0)
        return cpu_raise(cpu, EXC_DE, 0);
    *interp_reg16(cpu, EAX) = (uint16_t)((al / base) << 8 | al % base);
    set_szp(cpu, al % base, 0);
    return CPU_OK;
}
OP(AAD)
{
    uint16_t *ax = interp_reg16(cpu, EAX);
    uint8_t product = (uint8_t)((*ax >> 8) * insn->imm);
    uint8_t al = alu_ADD8(cpu, (uint8_t)*ax, product); /* flags as the addition leaves them */

    *ax = al;
    return CPU_OK;
}

/* --- bits --- */

#define HOST_BIT(name, insn, bits) \
    static inline uint##bits##_t name##bits(struct cpu *cpu, uint##bits##_t a, uint##bits##_t b) \
    { \
        uint32_t ax = flags_ax(cpu); \
        __asm__(FLAGS_PUT insn " %2, %0\n\t" FLAGS_GET : "+r"(a), "+a"(ax) : "r"(b) : "cc"); \
        flags_set(cpu, ax); \
        return a; \
    }
#define HOST_SCAN(name, insn, bits) \
    static inline uint##bits##_t name##bits(struct cpu *cpu, uint##bits##_t a, uint##bits##_t b) \
    { \
        uint32_t ax = flags_ax(cpu); \
        __asm__(FLAGS_PUT insn " %2, %0\n\t" FLAGS_GET : "+r"(a), "+a"(ax) : "r"(b) : "cc"); \
        flags_set(cpu, ax); \
        return a; \
    }
HOST_BIT(alu_BT, "btw", 16)
HOST_BIT(alu_BT, "btl", 32)
HOST_BIT(alu_BTS, "btsw", 16)
HOST_BIT(alu_BTS, "btsl", 32)
HOST_BIT(alu_BTR, "btrw", 16)
HOST_BIT(alu_BTR, "btrl", 32)
HOST_BIT(alu_BTC, "btcw", 16)
HOST_BIT(alu_BTC, "btcl", 32)
HOST_SCAN(alu_BSF, "bsfw", 16)
HOST_SCAN(alu_BSF, "bsfl", 32)
HOST_SCAN(alu_BSR, "bsrw", 16)
HOST_SCAN(alu_BSR, "bsrl", 32)

/* The register form addresses bits beyond the operand: the memory operand moves with the bit offset. */
#define BODY_BITSTRING(op, bits, store) \
    { \
        if (insn->mod == 3) \
            BODY_E(op, bits, REG##bits(cpu, insn->reg), store) \
        struct insn moved = *insn; \
        int32_t bit = (int##bits##_t)REG##bits(cpu, insn->reg); \
        uint32_t bytes = (uint32_t)(bit >> (bits == 16 ? 4 : 5)) * (bits / 8); \
        moved.disp = (int32_t)((uint32_t)moved.disp + bytes); /* wraps, as addresses do */ \
        insn = &moved; \
        BODY_E(op, bits, REG##bits(cpu, insn->reg), store) \
    }
#define DEFINE_BT(NAME, bits, store) \
    OP(NAME##_eg##bits) \
    BODY_BITSTRING(alu_##NAME, bits, store) \
    OP(NAME##_ei##bits) \
    BODY_E(alu_##NAME, bits, (uint##bits##_t)insn->imm, store)
DEFINE_BT(BT, 16, false)
DEFINE_BT(BT, 32, false)
DEFINE_BT(BTS, 16, true)
DEFINE_BT(BTS, 32, true)
DEFINE_BT(BTR, 16, true)
DEFINE_BT(BTR, 32, true)
DEFINE_BT(BTC, 16, true)
DEFINE_BT(BTC, 32, true)
OP(BSF_ge16)
BODY_G(alu_BSF, 16, true)
OP(BSF_ge32)
BODY_G(alu_BSF, 32, true)
OP(BSR_ge16)
BODY_G(alu_BSR, 16, true)
OP(BSR_ge32)
BODY_G(alu_BSR, 32, true)

#define DEFINE_POPCNT(bits) \
    OP(POPCNT_##bits) \
    { \
        READ_E(bits, value) \
        REG##bits(cpu, insn->reg) = (uint##bits##_t)__builtin_popcount(value); \
        cpu->eflags = (cpu->eflags & ~FL_ARITH) | (value ? 0 : FL_ZF); \
        return CPU_OK; \
    }
DEFINE_POPCNT(16)
DEFINE_POPCNT(32)

static uint32_t crc32c(uint32_t crc, uint32_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        crc ^= (value >> (i * 8)) & 0xff;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    return crc;
}
#define DEFINE_CRC32(bits) \
    OP(CRC32_##bits) \
    { \
        READ_E(bits, value) \
        cpu->gpr[insn->reg] = crc32c(cpu->gpr[insn->reg], value, bits / 8); \
        return CPU_OK; \
    }
DEFINE_CRC32(8)
DEFINE_CRC32(16)
DEFINE_CRC32(32)

/* --- CMPXCHG, XADD --- */

/* Memory is written in either case, with what it held when the comparison fails. */
#define DEFINE_CMPXCHG(bits) \
    OP(CMPXCHG_##bits) \
    { \
        struct interp_rmw rmw; \
        uint32_t value; \
        uint##bits##_t accumulator = REG##bits(cpu, EAX); \
        if (insn->mod == 3) { \
            value = REG##bits(cpu, insn->rm); \
            alu_CMP##bits(cpu, accumulator, (uint##bits##_t)value); \
            if (accumulator == value) \
                REG##bits(cpu, insn->rm) = REG##bits(cpu, insn->reg); \
            else \
                REG##bits(cpu, EAX) = (uint##bits##_t)value; \
            return CPU_OK; \
        } \
        enum cpu_rc rc = interp_rmw_begin(cpu, insn, bits / 8, &value, &rmw); \
        if (rc != CPU_OK) \
            return rc; \
        bool equal = accumulator == value; \
        rc = interp_rmw_end(cpu, &rmw, bits / 8, equal ? REG##bits(cpu, insn->reg) : value); \
        if (rc != CPU_OK) \
            return rc; \
        alu_CMP##bits(cpu, accumulator, (uint##bits##_t)value); \
        if (!equal) \
            REG##bits(cpu, EAX) = (uint##bits##_t)value; \
        return CPU_OK; \
    } \
    OP(XADD_##bits) \
    { \
        struct interp_rmw rmw; \
        uint32_t value; \
        if (insn->mod == 3) { \
            value = REG##bits(cpu, insn->rm); \
            uint##bits##_t sum = alu_ADD##bits(cpu, (uint##bits##_t)value, REG##bits(cpu, insn->reg)); \
            REG##bits(cpu, insn->reg) = (uint##bits##_t)value; \
            REG##bits(cpu, insn->rm) = sum; \
            return CPU_OK; \
        } \
        enum cpu_rc rc = interp_rmw_begin(cpu, insn, bits / 8, &value, &rmw); \
        if (rc != CPU_OK) \
            return rc; \
        uint32_t sum = (uint##bits##_t)(value + REG##bits(cpu, insn->reg)); \
        rc = interp_rmw_end(cpu, &rmw, bits / 8, sum); \
        if (rc != CPU_OK) \
            return rc; \
        alu_ADD##bits(cpu, (uint##bits##_t)value, REG##bits(cpu, insn->reg)); \
        REG##bits(cpu, insn->reg) = (uint##bits##_t)value; \
        return CPU_OK; \
    }
DEFINE_CMPXCHG(8)
DEFINE_CMPXCHG(16)
DEFINE_CMPXCHG(32)

OP(CMPXCHG8B)
{
    uint64_t memory, wanted = (uint64_t)cpu->gpr[EDX] << 32 | cpu->gpr[EAX];
    gla_t gla;
    enum cpu_rc rc = seg_to_linear(cpu, insn->seg, interp_ea(cpu, insn), 8, true, &gla);

    if (rc == CPU_OK)
        rc = interp_linear_probe(cpu, gla, 8, true, cpu_is_user(cpu));
    if (rc == CPU_OK)
        rc = interp_linear_load(cpu, gla, &memory, 8, cpu_is_user(cpu));
    if (rc != CPU_OK)
        return rc;
    bool equal = memory == wanted;
    uint64_t result = equal ? (uint64_t)cpu->gpr[ECX] << 32 | cpu->gpr[EBX] : memory;
    rc = interp_linear_store(cpu, gla, &result, 8, cpu_is_user(cpu));
    if (rc != CPU_OK)
        return rc;
    if (equal) {
        cpu->eflags |= FL_ZF;
    } else {
        cpu->eflags &= ~FL_ZF;
        cpu->gpr[EAX] = (uint32_t)memory;
        cpu->gpr[EDX] = (uint32_t)(memory >> 32);
    }
    return CPU_OK;
}

#define ONE(id, fn) \
    { \
        INSN_##id, fn, fn \
    }
#define TWO(id, fn) \
    { \
        INSN_##id, fn##16, fn##32 \
    }
#define ROWS_ALU(N) \
    ONE(N##_EbGb, N##_eg8), TWO(N##_EvGv, N##_eg), ONE(N##_GbEb, N##_ge8), TWO(N##_GvEv, N##_ge), \
        ONE(N##_ALIb, N##_ai8), TWO(N##_eAXIz, N##_ai), ONE(N##_EbIb, N##_ei8), TWO(N##_EvIz, N##_ei), \
        ONE(N##_EbIb82, N##_ei8), TWO(N##_EvIbs, N##_ei)
#define ROWS_SHIFT(ID, N) \
    ONE(ID##_EbIb, N##_i8), TWO(ID##_EvIb, N##_i), ONE(ID##_Eb1, N##_18), TWO(ID##_Ev1, N##_1), \
        ONE(ID##_EbCL, N##_c8), TWO(ID##_EvCL, N##_c)

const struct interp_op interp_alu_ops[] = {
    ROWS_ALU(ADD),
    ROWS_ALU(OR),
    ROWS_ALU(ADC),
    ROWS_ALU(SBB),
    ROWS_ALU(AND),
    ROWS_ALU(SUB),
    ROWS_ALU(XOR),
    ROWS_ALU(CMP),
    ONE(TEST_EbGb, TEST_eg8),
    TWO(TEST_EvGv, TEST_eg),
    ONE(TEST_ALIb, TEST_ai8),
    TWO(TEST_eAXIz, TEST_ai),
    ONE(TEST_EbIb, TEST_ei8),
    ONE(TEST1_EbIb, TEST_ei8),
    TWO(TEST_EvIz, TEST_ei),
    TWO(TEST1_EvIz, TEST_ei),
    TWO(INC_Zv, INC_z),
    TWO(DEC_Zv, DEC_z),
    ONE(INC_Eb, INC_e8),
    TWO(INC_Ev, INC_e),
    ONE(DEC_Eb, DEC_e8),
    TWO(DEC_Ev, DEC_e),
    ONE(NEG_Eb, NEG_e8),
    TWO(NEG_Ev, NEG_e),
    ONE(NOT_Eb, NOT_e8),
    TWO(NOT_Ev, NOT_e),
    ROWS_SHIFT(ROL, ROL),
    ROWS_SHIFT(ROR, ROR),
    ROWS_SHIFT(RCL, RCL),
    ROWS_SHIFT(RCR, RCR),
    ROWS_SHIFT(SHL, SHL),
    ROWS_SHIFT(SHR, SHR),
    ROWS_SHIFT(SAL6, SHL),
    ROWS_SHIFT(SAR, SAR),
    TWO(SHLD_Ib, SHLD_i),
    TWO(SHLD_CL, SHLD_c),
    TWO(SHRD_Ib, SHRD_i),
    TWO(SHRD_CL, SHRD_c),
    ONE(MUL_Eb, MUL_e8),
    TWO(MUL_Ev, MUL_e),
    ONE(IMUL_Eb, IMUL_e8),
    TWO(IMUL_Ev, IMUL_e),
    ONE(DIV_Eb, DIV_e8),
    TWO(DIV_Ev, DIV_e),
    ONE(IDIV_Eb, IDIV_e8),
    TWO(IDIV_Ev, IDIV_e),
    TWO(IMUL_GvEv, IMUL_ge),
    TWO(IMUL_GvEvIz, IMUL_gei),
    TWO(IMUL_GvEvIbs, IMUL_gei),
    ONE(DAA, DAA),
    ONE(DAS, DAS),
    ONE(AAA, AAA),
    ONE(AAS, AAS),
    ONE(AAM, AAM),
    ONE(AAD, AAD),
    TWO(BT_EvGv, BT_eg),
    TWO(BTS_EvGv, BTS_eg),
    TWO(BTR_EvGv, BTR_eg),
    TWO(BTC_EvGv, BTC_eg),
    TWO(BT_EvIb, BT_ei),
    TWO(BTS_EvIb, BTS_ei),
    TWO(BTR_EvIb, BTR_ei),
    TWO(BTC_EvIb, BTC_ei),
    TWO(BSF, BSF_ge),
    TWO(BSR, BSR_ge),
    TWO(POPCNT, POPCNT_),
    ONE(CRC32_GdEb, CRC32_8),
    TWO(CRC32_GdEv, CRC32_),
    ONE(CMPXCHG_EbGb, CMPXCHG_8),
    TWO(CMPXCHG_EvGv, CMPXCHG_),
    ONE(CMPXCHG8B, CMPXCHG8B),
    ONE(XADD_EbGb, XADD_8),
    TWO(XADD_EvGv, XADD_),
    {0, NULL, NULL},
};

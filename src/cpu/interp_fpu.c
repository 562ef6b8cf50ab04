/* MMX and SSE to SSE4.2 for the interpreter, and the way in for all of x87/MMX/SSE.
 *
 * Intel SDM vol. 1, chapters 9 to 12; vol. 2A, 2.7 (exception classes); vol. 3A, chapter 13.
 *
 * Every instruction that computes or moves is the host's own, run by fpu_thunk.c on a copy of the
 * guest's state, its memory operand replaced by a scratch buffer and its general register by EAX. The
 * row of insn.def says what the operands are. SIMD exceptions are always masked for the host; if the
 * guest has unmasked one, simd_check() finds out from the flags whether it would have been raised.
 */
#include "interp_fpu.h"

#include "hostcpu.h"
#include "log.h"

#define MXCSR_FTZ        0x8000u
#define MXCSR_MASKS      0x1f80u
#define MXCSR_MASK_SHIFT 7
#define MXCSR_PRE        (FSW_IE | FSW_DE | FSW_ZE) /* found before computing: nothing else is reported then */

static unsigned rm_memory_size(unsigned operand)
{
    switch (operand) {
    case OP_Mb:
    case OP_RdMb:
        return 1;
    case OP_RdMw:
    case OP_Ww:
        return 2;
    case OP_Ed:
    case OP_Md:
    case OP_Qd:
    case OP_Wd:
        return 4;
    case OP_Mq:
    case OP_Qq:
    case OP_Wq:
        return 8;
    case OP_Mx:
    case OP_Wx:
        return 16;
    default:
        return 0;
    }
}

static bool is_rm_gpr(unsigned operand)
{
    return operand == OP_Ed || operand == OP_Rd || operand == OP_RdMb || operand == OP_RdMw;
}

static bool is_mmx(unsigned operand)
{
    return operand == OP_Pq || operand == OP_Nq || operand == OP_Qd || operand == OP_Qq;
}

/* The host instruction: mandatory prefix, opcode, ModRM with memory as [rsi] and a general register
 * as EAX, immediate. */
static unsigned assemble(const struct insn *insn, uint8_t *out)
{
    const struct insn_row *row = insn->row;
    bool memory = insn->has_modrm && insn->mod != 3;
    unsigned n = 0;

    if (row->prefix == PFX_P66)
        out[n++] = 0x66;
    else if (row->prefix == PFX_PF2)
        out[n++] = 0xf2;
    else if (row->prefix == PFX_PF3)
        out[n++] = 0xf3;
    out[n++] = 0x0f;
    if (insn->map == 2)
        out[n++] = 0x38;
    else if (insn->map == 3)
        out[n++] = 0x3a;
    out[n++] = insn->opcode;
    if (insn->has_modrm) {
        uint8_t modrm = insn->modrm;

        if (memory)
            modrm = (uint8_t)((modrm & 0x38) | ESI);
        for (unsigned i = 0; i < 3; i++) {
            if (row->op[i] == OP_Gd)
                modrm &= (uint8_t)~0x38;
            else if (!memory && is_rm_gpr(row->op[i]))
                modrm &= (uint8_t)~0x07;
        }
        out[n++] = modrm;
    }
    for (unsigned i = 0; i < 3; i++)
        if (row->op[i] == OP_Ib)
            out[n++] = (uint8_t)insn->imm;
    return n;
}

/* The general register among the operands, or REG_NONE; *written: it is the destination. */
static unsigned gpr_operand(const struct insn *insn, bool *written)
{
    for (unsigned i = 0; i < 3; i++) {
        *written = i == 0;
        if (insn->row->op[i] == OP_Gd)
            return insn->reg;
        if (insn->mod == 3 && is_rm_gpr(insn->row->op[i]))
            return insn->rm;
    }
    *written = false;
    return REG_NONE;
}

struct code {
    uint8_t bytes[FPU_THUNK_BYTES_MAX];
    unsigned len;
    bool flags;
};

static void run(const struct code *code, struct fpu_work *work)
{
    fpu_thunk_run(code->bytes, code->len, code->flags, &work->fx, work->memory, &work->regs);
}

/* One element of ADDxx, SUBxx, MULxx, DIVxx, CVTxD2xS on the x87: its exponent never runs out, and its
 * precision control rounds to the element's significand. Returns FSW; *result is the rounded value. */
static uint16_t element_on_x87(uint8_t opcode, double a, double b, uint16_t fcw, long double *result)
{
    uint16_t fsw;

    __asm__ volatile("fninit; fldcw %2; fldl %3; fldl %4\n\t"
                     "cmpb $0x59, %b5; je 1f; cmpb $0x5c, %b5; je 2f; cmpb $0x5e, %b5; je 3f\n\t"
                     "fadd %%st(1), %%st; jmp 4f\n"
                     "1: fmul %%st(1), %%st; jmp 4f\n"
                     "2: fsub %%st(1), %%st; jmp 4f\n"
                     "3: fdiv %%st(1), %%st\n"
                     "4: fnstsw %0; fstpt %1; fninit"
                     : "=m"(fsw), "=m"(*result)
                     : "m"(fcw), "m"(b), "m"(a), "q"(opcode)
                     : "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
    return fsw;
}

static double element(const uint8_t *operand, unsigned i, bool single, bool daz)
{
    double value;
    float value32;

    if (!single) {
        memcpy(&value, operand + 8 * i, 8);
        return daz && __builtin_fabs(value) < __DBL_MIN__ ? 0 : value;
    }
    memcpy(&value32, operand + 4 * i, 4);
    return daz && __builtin_fabsf(value32) < __FLT_MIN__ ? 0 : (double)value32;
}

/* PE when an unmasked OE or UE is raised. A processor then tells whether the result would be inexact if
 * exponents had no bounds; the masked run only knows about the bounded result. Where this cannot be
 * found out (HADDxx, DPxx and the like) that one, pe, has to do. */
static uint32_t exact_pe(const struct insn *insn, const struct fpu_work *work, uint32_t unmasked, uint32_t pe)
{
    unsigned prefix = insn->row->prefix, opcode = insn->opcode, count;
    bool narrow = opcode == 0x5a && (prefix == PFX_P66 || prefix == PFX_PF2);
    bool single_in = (prefix == PFX_NP || prefix == PFX_PF3), single_out = single_in || narrow;
    bool daz = work->fx.mxcsr & 0x40;
    const uint8_t *a = work->fx.xmm[insn->reg];
    const uint8_t *b = insn->mod == 3 ? work->fx.xmm[insn->rm] : work->memory;
    uint16_t fcw = (uint16_t)(0x3f | (single_out ? 0 : 0x200) | (work->fx.mxcsr >> 3 & 0xc00));
    uint32_t exact = 0;

    if (insn->map != 1 || !(opcode == 0x58 || opcode == 0x59 || opcode == 0x5c || opcode == 0x5e || narrow))
        return pe;
    count = prefix == PFX_PF2 || prefix == PFX_PF3 ? 1 : single_in ? 4 : 2;
    for (unsigned i = 0; i < count; i++) {
        double x = element(a, i, single_in, daz), y = element(b, i, single_in, daz);
        long double r, least = single_out ? __FLT_MIN__ : __DBL_MIN__;
        long double most = single_out ? __FLT_MAX__ : __DBL_MAX__, size;
        uint16_t fsw = element_on_x87((uint8_t)opcode, narrow ? y : x, narrow ? 0 : y, fcw, &r);

        exact |= fsw & FSW_PE;
        size = __builtin_fabsl(r);
        if (size > most && size < __builtin_infl() && !(unmasked & FSW_OE))
            exact |= FSW_PE; /* masked: infinity or the largest number */
        if (size > 0 && size < least && !(unmasked & FSW_UE) &&
            ((work->fx.mxcsr & MXCSR_FTZ) || (single_out ? (long double)(float)r != r : (long double)(double)r != r)))
            exact |= FSW_PE; /* masked: flushed, or a denormal with fewer bits */
    }
    return exact;
}

/* Which exceptions would the guest get that has unmasked some? Runs the instruction on copies of work
 * and leaves work itself as it was. Returns the flags to set in MXCSR; *trap: #XM.
 *
 * Not exact: DPPS and DPPD stop at their first step that raises something; here the flags are those of
 * all steps. */
static uint32_t simd_flags(const struct insn *insn, const struct code *code, const struct fpu_work *work, bool *trap)
{
    uint32_t guest = work->fx.mxcsr;
    uint32_t unmasked = ~(guest >> MXCSR_MASK_SHIFT) & FSW_EXCEPTIONS;
    uint32_t flags, pre;
    struct fpu_work trial = *work;

    trial.fx.mxcsr = (guest | MXCSR_MASKS) & ~FSW_EXCEPTIONS;
    if (unmasked & FSW_UE) /* flushing is for masked underflow only */
        trial.fx.mxcsr &= ~MXCSR_FTZ;
    run(code, &trial);
    flags = trial.fx.mxcsr & FSW_EXCEPTIONS;
    pre = flags & MXCSR_PRE;
    *trap = true;
    if (pre & unmasked)
        return pre;
    if (unmasked & FSW_UE) {
        /* Masked, an exact tiny result raises nothing; unmasked, tiny is enough. Flush-to-zero
         * reports exactly that. */
        trial = *work;
        trial.fx.mxcsr = ((guest | MXCSR_MASKS) & ~FSW_EXCEPTIONS) | MXCSR_FTZ;
        run(code, &trial);
        if (trial.fx.mxcsr & FSW_UE)
            flags |= FSW_UE;
    }
    *trap = (flags & unmasked) != 0;
    if (flags & unmasked & (FSW_OE | FSW_UE))
        flags = (flags & ~FSW_PE) | exact_pe(insn, work, unmasked, flags & FSW_PE);
    return flags;
}

/* #NM and #UD as the tables in SDM vol. 2A, 2.7 and 22.25 (MMX forms) have them. */
static enum cpu_rc check_available(struct cpu *cpu, bool xmm)
{
    fpu_here(cpu);
    if ((cpu->cr0 & CR0_EM) || (xmm && !(cpu->cr4 & CR4_OSFXSR)))
        return cpu_raise(cpu, EXC_UD, 0);
    if (cpu->cr0 & CR0_TS)
        return cpu_raise(cpu, EXC_NM, 0);
    return CPU_OK;
}

static enum cpu_rc ldmxcsr(struct cpu *cpu, const struct insn *insn)
{
    uint32_t value;
    enum cpu_rc rc = interp_load(cpu, insn, &value, 4);

    if (rc != CPU_OK)
        return rc;
    if (value & ~cpu->fpu.mxcsr_mask)
        return cpu_raise(cpu, EXC_GP, 0);
    cpu->fpu.mxcsr = value;
    return CPU_OK;
}

/* What every MMX instruction does first: TOP 0, all tags valid. */
static void enter_mmx(struct fpu_work *work)
{
    static const uint8_t movd_eax_mm0[] = {0x0f, 0x7e, 0xc0};

    fpu_thunk_run(movd_eax_mm0, sizeof(movd_eax_mm0), false, &work->fx, work->memory, &work->regs);
}

/* MASKMOVQ, MASKMOVDQU: bytes of the first register whose mask bit is set go to DS:EDI. As on AMD's
 * processors all of the operand must be writable, whatever the mask; the manual leaves that open. */
static enum cpu_rc maskmov(struct cpu *cpu, const struct insn *insn, bool mmx)
{
    unsigned n = mmx ? 8 : 16, seg = insn->seg_override == REG_NONE ? SEG_DS : insn->seg_override;
    goff_t offset = insn->adsize == 2 ? (uint16_t)cpu->gpr[EDI] : cpu->gpr[EDI];
    const uint8_t *from, *mask;
    struct fpu_work work;
    enum cpu_rc rc;
    gla_t gla;

    fpu_work_begin(cpu, &work);
    if (mmx)
        enter_mmx(&work);
    from = mmx ? work.fx.st[insn->reg] : work.fx.xmm[insn->reg];
    mask = mmx ? work.fx.st[insn->rm] : work.fx.xmm[insn->rm];
    rc = seg_to_linear(cpu, seg, offset, n, true, &gla);
    if (rc == CPU_OK && !mmx && hostcpu()->maskmov_high_first) { /* where the low half is within the address size */
        goff_t high = insn->adsize == 2 ? (uint16_t)(offset + 8) : offset + 8;
        rc = interp_linear_probe(cpu, gla - offset + high, 8, true, cpu_is_user(cpu));
    }
    if (rc == CPU_OK)
        rc = interp_linear_probe(cpu, gla, n, true, cpu_is_user(cpu));
    for (unsigned i = 0; i < n && rc == CPU_OK; i++)
        if (mask[i] & 0x80)
            rc = interp_store_at(cpu, seg, offset + i, &from[i], 1);
    if (rc == CPU_OK && mmx)
        fpu_work_commit_x87(cpu, &work);
    return rc;
}

static enum cpu_rc load_operand(struct cpu *cpu, const struct insn *insn, void *buffer, unsigned size)
{
    if (insn->row->attr & IA_ALIGN16)
        return interp_load_aligned(cpu, insn, buffer, size);
    return interp_load(cpu, insn, buffer, size);
}

static enum cpu_rc store_operand(struct cpu *cpu, const struct insn *insn, const void *buffer, unsigned size)
{
    if (insn->row->attr & IA_ALIGN16)
        return interp_store_aligned(cpu, insn, buffer, size);
    return interp_store(cpu, insn, buffer, size);
}

static enum cpu_rc compute(struct cpu *cpu, const struct insn *insn, bool mmx)
{
    const struct insn_row *row = insn->row;
    bool memory = insn->has_modrm && insn->mod != 3, store = false, gpr_written;
    unsigned gpr = gpr_operand(insn, &gpr_written), size = 0;
    struct code code = {.flags = row->flags_read || row->flags_written};
    uint32_t guest_mxcsr = cpu->fpu.mxcsr;
    struct fpu_work work;
    enum cpu_rc rc;

    code.len = assemble(insn, code.bytes);
    fpu_work_begin(cpu, &work);
    work.regs.eax = cpu->gpr[gpr == REG_NONE ? EAX : gpr];
    work.regs.ecx = cpu->gpr[ECX];
    work.regs.edx = cpu->gpr[EDX]; /* EAX and EDX: the lengths of PCMPESTRx */
    work.regs.eflags = cpu->eflags;
    if (memory) {
        for (unsigned i = 0; i < 3 && !size; i++) {
            size = rm_memory_size(row->op[i]);
            store = i == 0;
        }
        assert_always(size != 0);
        if (!store) {
            rc = load_operand(cpu, insn, work.memory, size);
            if (rc != CPU_OK)
                return rc;
        }
    }
    if (unlikely((guest_mxcsr & MXCSR_MASKS) != MXCSR_MASKS)) {
        bool trap;
        uint32_t flags = simd_flags(insn, &code, &work, &trap);

        if (trap) {
            cpu->fpu.mxcsr = guest_mxcsr | flags;
            if (mmx) { /* CVTPI2PS and the like: the change to MMX comes before the arithmetic */
                enter_mmx(&work);
                fpu_work_commit_x87(cpu, &work);
            }
            return cpu_raise(cpu, cpu->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD, 0);
        }
        work.fx.mxcsr |= MXCSR_MASKS;
        if (!(guest_mxcsr & (FSW_UE << MXCSR_MASK_SHIFT)))
            work.fx.mxcsr &= ~MXCSR_FTZ;
    }
    run(&code, &work);
    if (store) {
        rc = store_operand(cpu, insn, work.memory, size);
        if (rc == CPU_FAULT && mmx && hostcpu()->mmx_store_clears_top) {
            work.fx.ftw = cpu->fpu.ftw;
            fpu_work_commit_x87(cpu, &work);
        }
        if (rc != CPU_OK)
            return rc;
    }
    cpu->fpu.mxcsr = guest_mxcsr | (work.fx.mxcsr & FSW_EXCEPTIONS);
    memcpy(cpu->fpu.xmm, work.fx.xmm, 8 * sizeof(work.fx.xmm[0]));
    if (mmx)
        fpu_work_commit_x87(cpu, &work);
    if (gpr != REG_NONE && gpr_written)
        cpu->gpr[gpr] = work.regs.eax;
    if (insn->id == INSN_PCMPESTRI || insn->id == INSN_PCMPISTRI)
        cpu->gpr[ECX] = work.regs.ecx;
    if (row->flags_written)
        cpu->eflags = (cpu->eflags & ~FL_ARITH) | ((uint32_t)work.regs.eflags & FL_ARITH);
    return CPU_OK;
}

enum cpu_rc interp_fpu(struct cpu *cpu, const struct insn *insn)
{
    const struct insn_row *row = insn->row;
    bool mmx = row->class == CLASS_MMX, xmm = row->class == CLASS_SSE;
    enum cpu_rc rc;

    switch (insn->id) {
    case INSN_FXSAVE:
        return fpu_fxsave(cpu, insn);
    case INSN_FXRSTOR:
        return fpu_fxrstor(cpu, insn);
    case INSN_MOVNTI: /* general registers only: works whatever CR0 says */
        return interp_store(cpu, insn, &cpu->gpr[insn->reg], 4);
    default:
        break;
    }
    if (row->class == CLASS_X87)
        return x87_execute(cpu, insn);

    rc = check_available(cpu, xmm);
    if (rc != CPU_OK)
        return rc;
    for (unsigned i = 0; i < 3; i++)
        mmx |= is_mmx(row->op[i]);
    if (xmm && row->op[1] == OP_Qq && insn->mod != 3)
        mmx = false; /* CVTPI2PS and CVTPI2PD from memory leave x87 alone, pending errors too */
    if (mmx) {
        rc = fpu_check_pending(cpu);
        if (rc != CPU_OK)
            return rc;
    }
    switch (insn->id) {
    case INSN_LDMXCSR:
        return ldmxcsr(cpu, insn);
    case INSN_STMXCSR:
        return interp_store(cpu, insn, &cpu->fpu.mxcsr, 4);
    case INSN_MASKMOVQ:
    case INSN_MASKMOVDQU:
        return maskmov(cpu, insn, mmx);
    default:
        return compute(cpu, insn, mmx);
    }
}

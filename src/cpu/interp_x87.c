/* x87 for the interpreter, FXSAVE and FXRSTOR. Intel SDM vol. 1, chapter 8 and 10.5; vol. 3A, 23.18.
 *
 * What computes is run on the host's x87 with the guest's own control word, so results, C1, stack
 * faults and exceptions (unmasked ones too: FXSAVE raises nothing) are the hardware's. Only the last
 * instruction's address and operand are ours: the host would note the thunk's.
 *
 * Where the manual is silent and processors agree:
 * - ES and B follow from the flags and masks whenever either is loaded.
 * - A store that raises an unmasked IE, OE or UE does not touch memory; with PE alone it does.
 *
 * Without CR0.NE an unmasked error is reported as on an AT (SDM vol. 1, appendix D.2): the next waiting instruction
 * asserts FERR#, which is IRQ 13, and stops until an interrupt is taken; a write to port F0h asserts IGNNE#, under
 * which the handler may use waiting instructions, and which ends with FERR#.
 */
#include "interp_fpu.h"

#include "hostcpu.h"
#include "log.h"

/* Environment in memory, 32-bit protected-mode form: seven dwords, FCW to FDS. */
enum env { ENV_FCW, ENV_FSW, ENV_FTW, ENV_FIP, ENV_FCS, ENV_FDP, ENV_FDS, ENV_DWORDS };

#define STORE_PATTERN 0xa7

enum cpu_rc fpu_check_pending(struct cpu *cpu)
{
    if (likely(!fpu_is_pending(cpu)))
        return CPU_OK;
    if (cpu->cr0 & CR0_NE)
        return cpu_raise(cpu, EXC_MF, 0);
    if (cpu->ignne)
        return CPU_OK;
    /* Stops before the instruction, as HLT does behind itself. While FERR# is there, all FPU instructions are the
     * interpreter's (bt_mode): it sees the error end, and IGNNE# with it. */
    cpu->ferr = cpu->ferr_news = true;
    cpu->changed |= CHANGED_MODE;
    cpu->interp->no_trap = true;
    cpu->halted = true;
    return CPU_EXIT;
}

void fpu_work_begin(const struct cpu *cpu, struct fpu_work *work)
{
    work->fx = cpu->fpu;
    work->fx.fip = work->fx.fdp = 0;
    work->fx.fcs = work->fx.rsvd1 = work->fx.fds = work->fx.rsvd2 = 0;
    work->fx.mxcsr &= 0xffff;
    work->hidden_fsw = 0;
    if (unlikely(fpu_is_pending(cpu))) {
        work->hidden_fsw = cpu->fpu.fsw & (FSW_EXCEPTIONS | FSW_SF | FSW_ES | FSW_B);
        work->fx.fsw &= ~work->hidden_fsw;
    }
}

void fpu_work_commit_x87(struct cpu *cpu, struct fpu_work *work)
{
    cpu->fpu.fcw = work->fx.fcw;
    cpu->fpu.fsw = work->fx.fsw | work->hidden_fsw;
    cpu->fpu.ftw = work->fx.ftw;
    memcpy(cpu->fpu.st, work->fx.st, sizeof(cpu->fpu.st));
    if (unlikely(cpu->ferr) && !fpu_is_pending(cpu)) {
        cpu->ferr = cpu->ignne = false;
        cpu->ferr_news = true;
        cpu->changed |= CHANGED_MODE;
    }
}

uint16_t fpu_full_tags(const struct fxstate *fx)
{
    unsigned top = (fx->fsw >> FSW_TOP_SHIFT) & 7;
    uint16_t tags = 0;

    for (unsigned i = 0; i < 8; i++) { /* i: physical register */
        const uint8_t *r = fx->st[(i - top) & 7];
        uint64_t significand;
        uint16_t exponent;
        unsigned tag;

        memcpy(&significand, r, 8);
        memcpy(&exponent, r + 8, 2);
        exponent &= 0x7fff;
        if (!(fx->ftw & (1u << i)))
            tag = 3;
        else if (exponent == 0 && significand == 0)
            tag = 1;
        else if (exponent == 0 || exponent == 0x7fff || !(significand >> 63))
            tag = 2;
        else
            tag = 0;
        tags |= (uint16_t)(tag << (2 * i));
    }
    return tags;
}

static void run(struct fpu_work *work, uint8_t opcode, uint8_t modrm, bool flags)
{
    const uint8_t bytes[2] = {opcode, modrm};

    fpu_thunk_run(bytes, 2, flags, &work->fx, work->memory, &work->regs);
}

/* Bytes of an x87 memory operand. */
static unsigned operand_size(const struct insn *insn)
{
    switch (insn->row->op[0]) {
    case OP_Mi16:
        return 2;
    case OP_Mf32:
    case OP_Mi32:
        return 4;
    case OP_Mf64:
    case OP_Mi64:
        return 8;
    case OP_Mf80:
        return 10;
    default:
        assert_failed("x87 memory operand", __FILE__, __LINE__);
    }
}

/* FST, FSTP, FIST, FISTP, FISTTP, FBSTP */
static bool is_store(const struct insn *insn)
{
    switch (insn->opcode) {
    case 0xd9:
        return insn->reg == 2 || insn->reg == 3;
    case 0xdb:
        return (insn->reg >= 1 && insn->reg <= 3) || insn->reg == 7;
    case 0xdd:
        return insn->reg >= 1 && insn->reg <= 3;
    case 0xdf:
        return (insn->reg >= 1 && insn->reg <= 3) || insn->reg >= 6;
    default:
        return false;
    }
}

/* fsw: as the instruction leaves it. */
static void note_pointers(struct cpu *cpu, const struct insn *insn, uint16_t fsw)
{
    cpu->fpu.fop = (uint16_t)((insn->opcode & 7) << 8 | insn->modrm);
    cpu->fpu.fip = cpu->eip;
    cpu->fpu.fcs = cpu->seg[SEG_CS].sel;
    if (insn->mod != 3 && ((fsw & FSW_ES) || !hostcpu()->fdp_on_exception)) {
        cpu->fpu.fdp = interp_ea(cpu, insn);
        cpu->fpu.fds = cpu->seg[insn->seg].sel;
    }
}

/* Environments and images are many accesses in microcode, so that which fault comes first is the model's affair, in no
 * manual. AMD's processors: FXSAVE and FXRSTOR begin with the last byte, the others with the first element and then the
 * last byte. */
static enum cpu_rc check_last(struct cpu *cpu, const struct insn *insn, unsigned n, bool write)
{
    goff_t offset = interp_ea(cpu, insn) + n - 1;
    uint8_t byte;
    gla_t gla;
    enum cpu_rc rc = seg_to_linear(cpu, insn->seg, offset, 1, write, &gla);

    if (rc != CPU_OK)
        return rc;
    return write ? interp_linear_probe(cpu, gla, 1, true, cpu_is_user(cpu))
                 : interp_linear_load(cpu, gla, &byte, 1, cpu_is_user(cpu));
}

static enum cpu_rc check_env(struct cpu *cpu, const struct insn *insn, unsigned n, bool write)
{
    uint32_t element;
    enum cpu_rc rc =
        write ? interp_probe_store(cpu, insn, insn->opsize) : interp_load(cpu, insn, &element, insn->opsize);

    return rc == CPU_OK ? check_last(cpu, insn, n, write) : rc;
}

/* --- environments --- */

/* Real and V86 mode keep linear addresses. */
static uint32_t fip_linear(const struct cpu *cpu)
{
    return ((uint32_t)cpu->fpu.fcs << 4) + cpu->fpu.fip;
}
static uint32_t fdp_linear(const struct cpu *cpu)
{
    return ((uint32_t)cpu->fpu.fds << 4) + cpu->fpu.fdp;
}

/* Writes the environment of the guest's mode and operand size from the host's form env (whose pointer
 * part is garbage). Returns its length. */
static unsigned env_put(const struct cpu *cpu, const struct insn *insn, const uint32_t *env, uint8_t *out)
{
    const struct fxstate *fx = &cpu->fpu;
    uint32_t ip = fip_linear(cpu), dp = fdp_linear(cpu);
    uint32_t e[ENV_DWORDS];
    uint16_t e16[ENV_DWORDS];

    memcpy(e, env, sizeof(e));
    if (cpu_is_protected(cpu)) {
        e[ENV_FIP] = fx->fip;
        e[ENV_FCS] = (uint32_t)fx->fop << 16 | fx->fcs;
        e[ENV_FDP] = fx->fdp;
        e[ENV_FDS] = 0xffff0000u | fx->fds;
    } else {
        e[ENV_FIP] = 0xffff0000u | (ip & 0xffff);
        e[ENV_FCS] = (ip >> 16) << 12 | fx->fop;
        e[ENV_FDP] = 0xffff0000u | (dp & 0xffff);
        e[ENV_FDS] = (dp >> 16) << 12;
    }
    if (insn->opsize == 4) {
        memcpy(out, e, sizeof(e));
        return sizeof(e);
    }
    for (unsigned i = 0; i < ENV_DWORDS; i++)
        e16[i] = (uint16_t)e[i]; /* in all but the real-mode form the high halves just go */
    memcpy(out, e16, sizeof(e16));
    return sizeof(e16);
}

struct pointers {
    uint32_t fip, fdp;
    uint16_t fcs, fds, fop;
};

/* The reverse: brings what the guest has in memory into the host's form. Returns its length there. */
static unsigned env_get(const struct cpu *cpu, const struct insn *insn, const uint8_t *in, uint32_t *env,
                        struct pointers *pointers)
{
    unsigned length;

    if (insn->opsize == 4) {
        memcpy(env, in, 4 * ENV_DWORDS);
        length = 4 * ENV_DWORDS;
    } else {
        uint16_t e16[ENV_DWORDS];

        memcpy(e16, in, sizeof(e16));
        for (unsigned i = 0; i < ENV_DWORDS; i++)
            env[i] = e16[i];
        length = sizeof(e16);
    }
    if (cpu_is_protected(cpu)) {
        *pointers = (struct pointers){
            .fip = env[ENV_FIP],
            .fcs = (uint16_t)env[ENV_FCS],
            .fop = insn->opsize == 4 ? (env[ENV_FCS] >> 16) & 0x7ff : 0,
            .fdp = env[ENV_FDP],
            .fds = (uint16_t)env[ENV_FDS],
        };
    } else {
        *pointers = (struct pointers){
            .fip = (env[ENV_FIP] & 0xffff) | (env[ENV_FCS] & 0x0ffff000u) << 4,
            .fop = env[ENV_FCS] & 0x7ff,
            .fdp = (env[ENV_FDP] & 0xffff) | (env[ENV_FDS] & 0x0ffff000u) << 4,
        };
    }
    env[ENV_FIP] = env[ENV_FCS] = env[ENV_FDP] = env[ENV_FDS] = 0;
    return length;
}

static void set_pointers(struct cpu *cpu, const struct pointers *p)
{
    cpu->fpu.fip = p->fip;
    cpu->fpu.fcs = p->fcs;
    cpu->fpu.fop = p->fop;
    cpu->fpu.fdp = p->fdp;
    cpu->fpu.fds = p->fds;
}

static unsigned env_size(const struct insn *insn)
{
    return insn->opsize == 4 ? 28 : 14;
}

/* FLDENV, FRSTOR: the host loads it, so reserved bits and ES come out as on hardware. */
static enum cpu_rc load_env(struct cpu *cpu, const struct insn *insn, bool state)
{
    uint8_t in[108];
    uint32_t env[ENV_DWORDS];
    struct fpu_work work;
    struct pointers pointers;
    unsigned length;
    unsigned size = env_size(insn) + (state ? 80 : 0);
    enum cpu_rc rc = check_env(cpu, insn, size, false);

    if (rc == CPU_OK)
        rc = interp_load(cpu, insn, in, size);

    if (rc != CPU_OK)
        return rc;
    fpu_work_begin(cpu, &work);
    work.hidden_fsw = 0;
    length = env_get(cpu, insn, in, env, &pointers);
    memcpy(work.memory, env, sizeof(env));
    if (state)
        memcpy(work.memory + sizeof(env), in + length, 80);
    run(&work, insn->opcode, 0x26, false); /* /4 [rsi] in both D9 and DD */
    fpu_work_commit_x87(cpu, &work);
    set_pointers(cpu, &pointers);
    return CPU_OK;
}

/* FNSTENV, FNSAVE. Neither waits, so the host must see what is pending. */
static enum cpu_rc store_env(struct cpu *cpu, const struct insn *insn, bool state)
{
    uint8_t out[108];
    uint32_t env[ENV_DWORDS];
    struct fpu_work work;
    unsigned length;
    enum cpu_rc rc;

    fpu_work_begin(cpu, &work);
    work.fx.fsw |= work.hidden_fsw;
    work.hidden_fsw = 0;
    run(&work, insn->opcode, 0x36, false); /* /6 [rsi] in both D9 and DD */
    memcpy(env, work.memory, sizeof(env));
    length = env_put(cpu, insn, env, out);
    if (state) {
        memcpy(out + length, work.memory + sizeof(env), 80);
        length += 80;
    }
    rc = check_env(cpu, insn, length, true);
    if (rc == CPU_OK)
        rc = interp_store(cpu, insn, out, length);
    if (rc != CPU_OK)
        return rc;
    fpu_work_commit_x87(cpu, &work);
    if (state)
        set_pointers(cpu, &(struct pointers){0});
    return CPU_OK;
}

/* --- instructions that only control: no waiting, no pointers --- */

static enum cpu_rc run_unwaited(struct cpu *cpu, uint8_t opcode, uint8_t modrm)
{
    struct fpu_work work;

    fpu_work_begin(cpu, &work);
    work.fx.fsw |= work.hidden_fsw;
    work.hidden_fsw = 0;
    run(&work, opcode, modrm, false);
    fpu_work_commit_x87(cpu, &work);
    return CPU_OK;
}

static enum cpu_rc load_fcw(struct cpu *cpu, const struct insn *insn)
{
    struct fpu_work work;
    enum cpu_rc rc;

    fpu_work_begin(cpu, &work);
    rc = interp_load(cpu, insn, work.memory, 2);
    if (rc != CPU_OK)
        return rc;
    /* FLDCW waits, but its new masks must meet the old flags: they go back in for the reload. */
    run(&work, 0xd9, 0x2e, false);
    work.fx.fsw |= work.hidden_fsw;
    if (work.fx.fsw & ~work.fx.fcw & FSW_EXCEPTIONS)
        work.fx.fsw |= FSW_ES | FSW_B;
    else
        work.fx.fsw &= ~(FSW_ES | FSW_B);
    work.hidden_fsw = 0;
    fpu_work_commit_x87(cpu, &work);
    return CPU_OK;
}

static enum cpu_rc compute(struct cpu *cpu, const struct insn *insn)
{
    struct fpu_work work;
    bool memory = insn->mod != 3, store = memory && is_store(insn);
    bool flags = insn->row->flags_read || insn->row->flags_written;
    unsigned size = memory ? operand_size(insn) : 0;
    enum cpu_rc rc = CPU_OK;

    fpu_work_begin(cpu, &work);
    if (store) {
        memset(work.memory, STORE_PATTERN, sizeof(work.memory));
    } else if (memory) {
        rc = interp_load(cpu, insn, work.memory, size);
        if (rc != CPU_OK)
            return rc;
    }
    work.regs.eflags = cpu->eflags;
    run(&work, insn->opcode, memory ? (uint8_t)(insn->reg << 3 | ESI) : insn->modrm, flags);
    if (store) {
        static const uint8_t untouched[10] = {[0 ... 9] = STORE_PATTERN};
        unsigned raised = work.fx.fsw & ~work.fx.fcw & (FSW_IE | FSW_OE | FSW_UE);
        bool stored = !raised || memcmp(work.memory, untouched, size) != 0;

        if (stored)
            rc = interp_store(cpu, insn, work.memory, size);
        else if (hostcpu()->x87_store_probes)
            rc = interp_probe_store(cpu, insn, size);
        if (rc != CPU_OK)
            return rc;
    }
    note_pointers(cpu, insn, work.fx.fsw);
    fpu_work_commit_x87(cpu, &work);
    if (insn->row->flags_written)
        cpu->eflags = (cpu->eflags & ~FL_ARITH) | ((uint32_t)work.regs.eflags & FL_ARITH);
    return CPU_OK;
}

enum cpu_rc x87_execute(struct cpu *cpu, const struct insn *insn)
{
    enum cpu_rc rc;

    fpu_here(cpu);
    if (insn->opcode == 0x9b) { /* FWAIT: MP decides whether TS stops it, EM never does */
        if ((cpu->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
            return cpu_raise(cpu, EXC_NM, 0);
        return fpu_check_pending(cpu);
    }
    if (cpu->cr0 & (CR0_EM | CR0_TS))
        return cpu_raise(cpu, EXC_NM, 0);

    switch (insn->id) { /* those that do not wait */
    case INSN_FNSTCW:
        return interp_store(cpu, insn, &cpu->fpu.fcw, 2);
    case INSN_FNSTSW_m16:
        return interp_store(cpu, insn, &cpu->fpu.fsw, 2);
    case INSN_FNSTSW_AX:
        *interp_reg16(cpu, EAX) = cpu->fpu.fsw;
        return CPU_OK;
    case INSN_FNSTENV:
        return store_env(cpu, insn, false);
    case INSN_FNSAVE:
        return store_env(cpu, insn, true);
    case INSN_FNCLEX:
        return run_unwaited(cpu, 0xdb, 0xe2);
    case INSN_FNINIT:
        set_pointers(cpu, &(struct pointers){0});
        return run_unwaited(cpu, 0xdb, 0xe3);
    case INSN_FNENI:
    case INSN_FNDISI:
    case INSN_FNSETPM:
        return CPU_OK;
    default:
        break;
    }
    rc = fpu_check_pending(cpu);
    if (rc != CPU_OK)
        return rc;
    switch (insn->id) {
    case INSN_FLDCW:
        return load_fcw(cpu, insn);
    case INSN_FLDENV:
        return load_env(cpu, insn, false);
    case INSN_FRSTOR:
        return load_env(cpu, insn, true);
    default:
        return compute(cpu, insn);
    }
}

/* --- FXSAVE, FXRSTOR --- */

#define FX_X87_BYTES 160u /* header and ST0..ST7 */
#define FX_XMM_BYTES 128u /* XMM0..XMM7 */

static enum cpu_rc fx_check(struct cpu *cpu, const struct insn *insn, bool write)
{
    fpu_here(cpu);
    if (cpu->cr0 & (CR0_EM | CR0_TS))
        return cpu_raise(cpu, EXC_NM, 0);
    gla_t gla;
    enum cpu_rc rc = seg_to_linear(cpu, insn->seg, interp_ea(cpu, insn), 1, write, &gla);

    /* With AC on, too: the manual leaves it open. */
    return rc == CPU_OK && (gla & 15) ? cpu_raise(cpu, EXC_GP, 0) : rc;
}

/* Bytes 288 up are left as they are, as processors do outside 64-bit mode; without CR4.OSFXSR the XMM
 * registers and MXCSR are, too. */
enum cpu_rc fpu_fxsave(struct cpu *cpu, const struct insn *insn)
{
    struct fxstate image;
    enum cpu_rc rc = fx_check(cpu, insn, true);

    if (rc != CPU_OK)
        return rc;
    rc = check_last(cpu, insn, sizeof(image), true);
    if (rc == CPU_OK)
        rc = interp_probe_store(cpu, insn, sizeof(image));
    if (rc != CPU_OK)
        return rc;
    image = cpu->fpu;
    image.rsvd0 = 0;
    image.rsvd1 = image.rsvd2 = 0;
    if (cpu->cr4 & CR4_OSFXSR)
        return interp_store(cpu, insn, &image, FX_X87_BYTES + FX_XMM_BYTES);
    rc = interp_store(cpu, insn, &image, offsetof(struct fxstate, mxcsr));
    if (rc != CPU_OK)
        return rc;
    return interp_store_at(cpu, insn->seg, interp_ea(cpu, insn) + offsetof(struct fxstate, st), image.st,
                           sizeof(image.st));
}

enum cpu_rc fpu_fxrstor(struct cpu *cpu, const struct insn *insn)
{
    static const uint8_t nop = 0x90;
    struct fxstate image;
    struct fpu_work work;
    bool sse = cpu->cr4 & CR4_OSFXSR;
    enum cpu_rc rc = fx_check(cpu, insn, false);

    if (rc != CPU_OK)
        return rc;
    rc = check_last(cpu, insn, sizeof(image), false);
    if (rc == CPU_OK)
        rc = interp_load(cpu, insn, &image, sizeof(image));
    if (rc != CPU_OK)
        return rc;
    if (sse && (image.mxcsr & ~cpu->fpu.mxcsr_mask))
        return cpu_raise(cpu, EXC_GP, 0);
    /* A round through the host settles reserved bits, and ES and B. */
    work.fx = image;
    work.fx.fip = work.fx.fdp = 0;
    work.fx.fcs = work.fx.rsvd1 = work.fx.fds = work.fx.rsvd2 = 0;
    work.fx.mxcsr = 0x1f80;
    work.hidden_fsw = 0;
    fpu_thunk_run(&nop, 1, false, &work.fx, work.memory, &work.regs);
    cpu->fpu.fop = image.fop & 0x7ff;
    cpu->fpu.fip = image.fip;
    cpu->fpu.fcs = image.fcs;
    cpu->fpu.fdp = image.fdp;
    cpu->fpu.fds = image.fds;
    fpu_work_commit_x87(cpu, &work);
    if (sse) {
        cpu->fpu.mxcsr = image.mxcsr;
        memcpy(cpu->fpu.xmm, image.xmm, FX_XMM_BYTES);
    }
    return CPU_OK;
}

/* Compares an engine with the CPU itself, instruction by instruction, on generated cases.
 *
 *     insn_test [--seed N] [--count N] [--seconds S] [--filter NAME|CLASS] [--engine NAME] [--case N]
 *               [--reports N] [--native PATH] [--list]
 *
 * Case n of a seed is always the same case (with the same filter). A mismatch prints the command that
 * repeats it and the line that keeps it in regress.def. Exit status 1 for any mismatch, and for a row of
 * insn.def that ought to have been run and was not.
 */
#include <capstone/capstone.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gen.h"
#include "guest.h"
#include "hostcpu.h"
#include "oracle.h"

static const struct engine *const engines[] = {
#ifdef INSN_TEST_BT
    &engine_bt,
#endif
    &engine_interp,
};
static const struct engine *engine; /* the one under test */

/* A kept case: see regress.def. */
struct regression {
    const char *name;
    const char *bytes; /* hex */
    struct nt_regs regs;
    uint32_t window;
    uint32_t flags_ignored;
    const char *memory; /* hex; the window's length is its own */
    const char *fx;     /* hex, 288 bytes, or NULL */
    bool code16;
    unsigned inside; /* the instruction crosses a page, with so many bytes before its end */
    unsigned shape;  /* number in nt_shapes */
};

#define FX_EMPTY "7f0300000000000000000000000000000000000000000000801f" /* FNINIT, MXCSR 1F80h */

static const struct regression regressions[] = {
#define REGRESS(...) {__VA_ARGS__},
#include "regress.def"
#undef REGRESS
    {NULL}, /* the end */
};

struct outcome {
    struct guest_result result;
    struct fxstate fx;
    uint8_t memory[NT_WINDOW_MAX];
};

static struct {
    uint64_t seed, count, only;
    bool have_only, have_count, coverage;
    double seconds;
    const char *filter, *native;
    unsigned reports_left;
} options = {.seconds = 10, .reports_left = 5, .coverage = true};

static struct oracle oracle;
static struct gen_case gen[NT_BATCH];
static struct outcome outcomes[NT_BATCH];
static const struct insn_row *rows[INSN_COUNT];
static unsigned row_count;
static struct {
    uint64_t completed, faulted;
} coverage[INSN_COUNT];
static uint64_t done, mismatches, disturbed;
static csh capstone[2]; /* [code16] */

/* What this CPU keeps in its FXSAVE image of the last x87 instruction: always, or (AMD) only while an
 * unmasked exception is pending. */
static bool host_has_pointers, host_has_selectors, host_has_pending_pointers;
static bool host_loads_pointers; /* FXRSTOR does, whatever is pending */
static uint64_t pointers_compared, pointers_lost;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- which rows can run here --- */

static bool host_has_feature(unsigned feature)
{
    static const uint8_t ecx_bit[FEAT_COUNT] = {
        /* CPUID leaf 1 */
        [FEAT_SSE3] = 0, [FEAT_SSSE3] = 9, [FEAT_SSE41] = 19, [FEAT_SSE42] = 20, [FEAT_MOVBE] = 22, [FEAT_POPCNT] = 23,
    };
    unsigned eax = 1, ebx, ecx, edx;

    if (!ecx_bit[feature] && feature != FEAT_SSE3)
        return true; /* every 64-bit CPU has it */
    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
    return ecx & (1u << ecx_bit[feature]);
}

/* A filter is a mnemonic, or a class of insn.def in small letters. */
static bool is_filtered_out(const struct insn_row *row)
{
    static const char *const classes[] = {
        "ud",    "alu", "shift", "muldiv", "bcd", "bit", "mov", "stack", "string", "flow",
        "flags", "io",  "seg",   "sys",    "cpu", "nop", "x87", "mmx",   "sse",
    };

    return options.filter && strcmp(options.filter, row->name) != 0 && strcmp(options.filter, classes[row->class]) != 0;
}

static void choose_rows(void)
{
    for (unsigned id = 0; id < INSN_COUNT; id++) {
        const struct insn_row *row = &insn_rows[id];

        if (!gen_is_testable(row) || !host_has_feature(row->feature))
            continue;
        if (is_filtered_out(row))
            continue;
        rows[row_count++] = row;
    }
}

/* --- printing --- */

static void print_hex(const uint8_t *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        printf("%02x", bytes[i]);
}

static void print_instruction(const struct gen_case *g)
{
    cs_insn *text;
    size_t n = cs_disasm(capstone[g->code16], g->bytes, g->len, g->start, 1, &text);

    print_hex(g->bytes, g->len);
    if (n) {
        printf("  %s %s", text->mnemonic, text->op_str);
        cs_free(text, n);
    }
    printf("  [%s, row %u%s]\n", g->insn.row->name, g->insn.row->id, g->code16 ? ", 16-bit" : "");
    if (g->shape)
        printf("  segments: shape %u\n", g->shape);
}

static void print_regs(const char *title, const struct nt_regs *r)
{
    printf("  %-7s eax=%08x ecx=%08x edx=%08x ebx=%08x esp=%08x ebp=%08x esi=%08x edi=%08x "
           "eip=%08x eflags=%08x\n",
           title, r->gpr[0], r->gpr[1], r->gpr[2], r->gpr[3], r->gpr[4], r->gpr[5], r->gpr[6], r->gpr[7], r->eip,
           r->eflags);
}

static void print_fault(const char *title, bool faulted, uint32_t vector, uint32_t error, uint32_t cr2)
{
    if (faulted)
        printf("  %-7s exception %u error %x cr2 %08x\n", title, vector, error, cr2);
    else
        printf("  %-7s completed\n", title);
}

static void print_fx(const char *title, const struct fxstate *fx)
{
    printf("  %-7s fcw=%04x fsw=%04x ftw=%02x fop=%03x fip=%04x:%08x fdp=%04x:%08x mxcsr=%08x\n", title, fx->fcw,
           fx->fsw, fx->ftw, fx->fop, fx->fcs, fx->fip, fx->fds, fx->fdp, fx->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t significand, low, high;
        uint16_t exponent;

        memcpy(&significand, fx->st[i], 8);
        memcpy(&exponent, fx->st[i] + 8, 2);
        memcpy(&low, fx->xmm[i], 8);
        memcpy(&high, fx->xmm[i] + 8, 8);
        printf("    st%u=%04x:%016lx xmm%u=%016lx_%016lx\n", i, exponent, significand, i, high, low);
    }
}

static void print_memory_diff(const struct nt_case *c, const uint8_t *expected, const uint8_t *got)
{
    printf("  memory  (linear: before, expected, got)\n");
    for (unsigned i = 0; i < c->window_len; i++)
        if (expected[i] != got[i])
            printf("    %08x: %02x %02x %02x\n", c->window + i, c->memory_in[i], expected[i], got[i]);
}

static void report(uint64_t number, unsigned slot, const char *what, const struct nt_regs *native, bool native_faulted)
{
    const struct gen_case *g = &gen[slot];
    const struct nt_case *c = &oracle.cases->c[slot];
    const struct outcome *o = &outcomes[slot];

    mismatches++;
    if (!options.reports_left)
        return;
    options.reports_left--;
    printf("\nMISMATCH in %s: ", what);
    print_instruction(g);
    print_regs("before", &c->in);
    print_regs("native", native);
    print_regs("engine", &o->result.regs);
    if (c->in.eflags != native->eflags || native->eflags != o->result.regs.eflags)
        printf("  ignored flags %08x\n", g->flags_ignored);
    print_fault("native", native_faulted, c->vector, c->error, c->cr2);
    print_fault("engine", o->result.faulted, o->result.vector, o->result.error, o->result.cr2);
    if (c->flags & NT_FPU) {
        print_fx("before", (const struct fxstate *)c->fx_in);
        print_fx("native", (const struct fxstate *)c->fx_out);
        print_fx("engine", &o->fx);
    }
    print_memory_diff(c, c->memory_out, o->memory);
    if (number != UINT64_MAX)
        printf("  again:  insn_test --seed %lu --case %lu%s%s\n", options.seed, number,
               options.filter ? " --filter " : "", options.filter ? options.filter : "");
    printf("  keep:   REGRESS(\"%s\", \"", g->insn.row->name);
    print_hex(g->bytes, g->len);
    printf("\",\n    {{0x%x, 0x%x, 0x%x, 0x%x, 0x%x, 0x%x, 0x%x, 0x%x}, 0x%x}, 0x%x, 0x%x,\n    \"", c->in.gpr[0],
           c->in.gpr[1], c->in.gpr[2], c->in.gpr[3], c->in.gpr[4], c->in.gpr[5], c->in.gpr[6], c->in.gpr[7],
           c->in.eflags, c->window, g->flags_ignored);
    print_hex(c->memory_in, c->window_len);
    if (c->flags & NT_FPU) {
        printf("\",\n    \"");
        print_hex(c->fx_in, 288);
        printf("\", %s, 0, %u)\n", g->code16 ? "true" : "false", g->shape);
    } else {
        printf("\", NULL, %s, 0, %u)\n", g->code16 ? "true" : "false", g->shape);
    }
}

/* --- comparing --- */

/* Takes out of an FXSAVE image what is not architectural or not kept by this CPU. */
static void normalise_fx(struct fxstate *fx)
{
    bool pointers = host_has_pointers || (host_has_pending_pointers && (fx->fsw & 0x80));

    fx->mxcsr_mask = 0;
    fx->rsvd0 = 0;
    fx->rsvd1 = fx->rsvd2 = 0;
    for (unsigned i = 0; i < 8; i++)
        memset(fx->st[i] + 10, 0, 6);
    if (!pointers) {
        fx->fip = fx->fdp = 0;
        fx->fop = 0;
    }
    if (!pointers || !host_has_selectors)
        fx->fcs = fx->fds = 0;
}

/* They may fault before or after the change to MMX, and with an empty mask or not. */
static bool is_maskmov(const struct gen_case *g)
{
    return g->insn.id == INSN_MASKMOVQ || g->insn.id == INSN_MASKMOVDQU;
}

/* FXSAVE, FRSTOR, FBSTP and the like are many accesses in microcode: which of them faults first is the
 * model's. */
static bool is_piecemeal(const struct gen_case *g)
{
    unsigned operand = g->insn.row->op[0];

    return operand == OP_Mf80 || operand == OP_M512 || operand == OP_Menv || operand == OP_Mstate;
}

/* The interpreter finds what is missing in the order of AMD's family 1Ah, on which it was measured. */
static bool host_is_the_model(void)
{
    unsigned a = 0, b, c, d;

    __asm__("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    if (b != 0x68747541 || d != 0x69746e65 || c != 0x444d4163) /* AuthenticAMD */
        return false;
    a = 1;
    __asm__("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    return (a >> 8 & 0xf) == 0xf && (a >> 20 & 0xff) == 0x1a - 0xf;
}

/* The operand that ModRM names, without its segment's base. */
static uint32_t operand_at(const struct gen_case *g, const struct nt_case *c)
{
    uint32_t ea = (uint32_t)g->insn.disp;

    if (g->insn.base != REG_NONE)
        ea += c->in.gpr[g->insn.base];
    if (g->insn.index != REG_NONE)
        ea += c->in.gpr[g->insn.index] << g->insn.scale;
    return ea;
}

/* BOUND may compare with the first bound before it reads the second one. */
static bool reads_twice(const struct insn *insn)
{
    return insn->id == INSN_CMPSB || insn->id == INSN_CMPSV || insn->id == INSN_BOUND;
}

/* Where both fault: what comes first among several accesses, where that is the model's. */
static void forgive(const struct gen_case *g, const struct nt_case *c, struct outcome *o)
{
    bool measured = host_is_the_model();
    bool wraps = c->vector == EXC_PF && c->cr2 > 0u - 512; /* over 4 GiB: what of it is #PF, what #GP */

    if (is_piecemeal(g) ? !measured || wraps : !measured && reads_twice(&g->insn)) {
        o->result.vector = c->vector;
        o->result.error = c->error;
        o->result.cr2 = c->cr2;
    }
    /* An access across 4 GiB: that there are other exceptions is said by the manual (SDM vol. 3A, 5.3). Ours are AMD's.
     */
    wraps |= c->vector == EXC_AC && insn_is_memory(&g->insn) && operand_at(g, c) > 0u - 16;
    if (!measured && wraps && (o->result.vector == EXC_GP || o->result.vector == EXC_SS)) {
        o->result.vector = c->vector;
        o->result.error = c->error;
        o->result.cr2 = c->cr2;
    }
    /* Ten bytes are two accesses: the first may be done by then. */
    if (!measured && is_piecemeal(g))
        memcpy(o->memory, c->memory_out, c->window_len);
    if (!measured && g->insn.id == INSN_POPA) {
        o->result.cr2 = c->cr2;
        memcpy(o->result.regs.gpr, c->out.gpr, sizeof(c->out.gpr));
    }
}

/* Flags of MXCSR that we cannot tell after #XM, see simd_flags() and exact_pe() in interp_fpu.c. */
static uint32_t open_simd_flags(const struct gen_case *g)
{
    switch (g->insn.id) {
    case INSN_DPPS:
    case INSN_DPPD:
        return 0x3f;
    case INSN_ADDSUBPS:
    case INSN_ADDSUBPD:
    case INSN_HADDPS:
    case INSN_HADDPD:
    case INSN_HSUBPS:
    case INSN_HSUBPD:
        return 0x20;
    default:
        return 0;
    }
}

/* The case may read code as data. Code is not the same on both sides where the engine's ends in HLT. */
static bool may_read_code(const struct gen_case *g, const struct nt_case *c)
{
    uint32_t ea = operand_at(g, c), margin = 512;
    const uint32_t bases[] = {0, nt_shapes[g->shape].data.base, nt_shapes[g->shape].stack.base};

    for (unsigned b = 0; b < sizeof(bases) / sizeof(bases[0]); b++) {
        if (bases[b] + ea - (NT_CODE - margin) < NT_CODE_SIZE + 2 * margin)
            return true;
        for (unsigned r = 0; r < 8; r++) /* implied operands: strings, XLAT, the stack */
            if (bases[b] + c->in.gpr[r] - (NT_CODE - margin) < NT_CODE_SIZE + 2 * margin)
                return true;
    }
    return false;
}

/* What FNSTENV finds behind an instruction that completed. A switch of tasks clears it on AMD's processors. */
static bool pointers_differ(const struct gen_case *g, const struct nt_case *c, const struct outcome *o)
{
    enum { FIP = 3, FCS, FDP, FDS };
    const struct fxstate *in = (const struct fxstate *)c->fx_in, *got = &o->fx;
    bool cleared = g->insn.id == INSN_FNINIT || g->insn.id == INSN_FNSAVE;

    if (!host_loads_pointers || (!cleared && !c->env[FIP] && !c->env[FDP]))
        return false;
    pointers_compared++;
    uint16_t fcs = (uint16_t)c->env[FCS], fds = (uint16_t)c->env[FDS];
    bool no_operand = !cleared && !c->env[FDP] && !insn_is_memory(&g->insn); /* cleared before the instruction */
    /* Where FDP waits for an exception, FOP does. Ours is always that of the last instruction. */
    bool same_fop = got->fop == c->env[FCS] >> 16 || (hostcpu()->fdp_on_exception && !(got->fsw & 0x80 /* ES */));
    if (got->fip == c->env[FIP] && same_fop && (got->fcs == fcs || !fcs) &&
        (no_operand || (got->fdp == c->env[FDP] && (got->fds == fds || !fds))))
        return false;
    if (engine->loses_x87_pointers && (got->fip == in->fip || got->fip == c->env[FIP]) && got->fdp == in->fdp &&
        ++pointers_lost < 100 + pointers_compared / 50)
        return false;
    if (options.reports_left)
        printf("\nFNSTENV: fop %03x fip %04x:%08x fdp %04x:%08x", c->env[FCS] >> 16, c->env[FCS] & 0xffff, c->env[FIP],
               c->env[FDS] & 0xffff, c->env[FDP]);
    return true;
}

static void check(uint64_t number, unsigned slot)
{
    const struct gen_case *g = &gen[slot];
    struct nt_case *c = &oracle.cases->c[slot];
    if (engine->ends_at_hlt && may_read_code(g, c))
        return;
    struct outcome *o = &outcomes[slot];
    struct nt_regs native = c->out;
    bool faulted = c->exit == NT_EXIT_SIGNAL;
    uint32_t ignored = 0;
    uint32_t code_base = g->code16 ? NT_CODE : 0;
    uint32_t base = NT_CODE - code_base + slot * NT_SLOT_SIZE, start = g->start - code_base;

    if (faulted && c->vector == EXC_PF)
        c->error &= ~PFERR_I; /* the guest runs without NX */
    if (c->exit == NT_EXIT_NEXT) {
        native.eip = start + g->len;
    } else if (c->exit == NT_EXIT_BACK) {
        native.eip = base + NT_SLOT_BACK;
    } else if (c->exit == NT_EXIT_FORTH) {
        native.eip = base + NT_SLOT_FORTH;
    } else if (c->vector == EXC_PF && c->cr2 == native.eip + code_base && native.eip != start) {
        faulted = false; /* the jump completed; there is no code where it went */
        native.eflags &= ~FL_RF;
    }
    if (!faulted)
        ignored = g->flags_ignored;
    if (faulted && o->result.faulted)
        forgive(g, c, o);
    if (faulted && engine->loses_flags_on_faults)
        ignored |= FL_ARITH;

    if (faulted)
        coverage[g->insn.row->id].faulted++;
    else
        coverage[g->insn.row->id].completed++;

    if (faulted != o->result.faulted || (faulted && (c->vector != o->result.vector || c->error != o->result.error ||
                                                     (c->vector == EXC_PF && c->cr2 != o->result.cr2))))
        report(number, slot, "exception", &native, faulted);
    else if (native.eip != o->result.regs.eip)
        report(number, slot, "eip", &native, faulted);
    else if (memcmp(native.gpr, o->result.regs.gpr, sizeof(native.gpr)) != 0)
        report(number, slot, "registers", &native, faulted);
    else if ((native.eflags ^ o->result.regs.eflags) & ~ignored)
        report(number, slot, "eflags", &native, faulted);
    else if (memcmp(c->memory_out, o->memory, c->window_len) != 0)
        report(number, slot, "memory", &native, faulted);
    else if ((c->flags & NT_FPU) && !(faulted && is_maskmov(g))) {
        struct fxstate expected = *(const struct fxstate *)c->fx_out, got = o->fx;

        normalise_fx(&expected);
        normalise_fx(&got);
        /* While nothing is pending AMD forgets the pointers at any task switch: what an instruction
         * that makes something pending did not set itself may be zero. */
        if (!host_has_pointers) {
            got.fip = expected.fip ? got.fip : 0;
            got.fdp = expected.fdp ? got.fdp : 0;
            got.fop = expected.fop ? got.fop : 0;
        }
        /* The kernel's 64-bit save area has no room for the selectors: a signal or an unlucky task
         * switch loses them. */
        if (!expected.fcs)
            got.fcs = 0;
        if (!expected.fds)
            got.fds = 0;
        if (faulted && c->vector == EXC_XM) {
            uint32_t open = open_simd_flags(g);

            got.mxcsr = (got.mxcsr & ~open) | (expected.mxcsr & open);
        }
        if (memcmp(&expected, &got, 288) != 0)
            report(number, slot, "FPU state", &native, faulted);
        else if (c->exit == NT_EXIT_NEXT && !o->result.faulted && pointers_differ(g, c, o))
            report(number, slot, "x87 pointers", &native, faulted);
    }
}

/* --- running --- */

static uint8_t code_image[NT_CODE_SIZE], guest_image[NT_CODE_SIZE];

static bool native_ends(uint64_t first_number, unsigned first)
{
    if (oracle_wait(&oracle))
        return true;
    unsigned slot = oracle.cases->progress;
    printf("native32 died or hangs in case %lu: ", first_number + (slot - first));
    print_instruction(&gen[slot]);
    print_regs("before", &oracle.cases->c[slot].in);
    return false;
}

/* ENTER reads what it has written by then. If the host has been interrupted in the middle of one (by a page that its
 * hypervisor had put away) and begun it anew, memory is as after one and a half of them. So the host is asked again,
 * with the same cases before; an engine that is wrong is so each time. */
#define ASK_AGAIN 5

static bool memory_differs(unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++) {
        const struct nt_case *c = &oracle.cases->c[i];
        if (memcmp(c->memory_out, outcomes[i].memory, c->window_len) != 0)
            return true;
    }
    return false;
}

/* Runs the prepared cases of slots [first, first + n), case number first_number being the first. */
static bool run_prepared(uint64_t first_number, unsigned first, unsigned n)
{
    uint32_t code_from = first * NT_SLOT_SIZE, code_len = n * NT_SLOT_SIZE;
    uint64_t before = mismatches;

    for (unsigned i = first; i < first + n; i++) {
        gen_code(&gen[i], oracle.cases->exit_entry, code_image);
        if (engine->ends_at_hlt)
            gen_code(&gen[i], NULL, guest_image);
    }
    if (code_from + code_len < NT_CODE_SIZE)
        code_len += NT_SLOT_SIZE; /* the last one may reach into the next slot */
    memcpy(oracle.code + code_from, code_image + code_from, code_len);
    guest_write_code(code_from, (engine->ends_at_hlt ? guest_image : code_image) + code_from, code_len);
    memcpy(guest_data(), oracle.cases->data_first, NT_DATA_SIZE);
    oracle_run(&oracle, first, n);
    for (unsigned i = first; i < first + n; i++) {
        const struct nt_case *c = &oracle.cases->c[i];
        struct outcome *o = &outcomes[i];
        bool fpu = c->flags & NT_FPU;
        uint8_t *window = guest_data() + (c->window - NT_DATA);
        uint32_t code_base = c->flags & NT_CODE16 ? NT_CODE : 0;
        uint32_t slot = NT_CODE - code_base + i * NT_SLOT_SIZE;
        uint32_t pads[3] = {gen[i].start - code_base + gen[i].len, slot + NT_SLOT_BACK, slot + NT_SLOT_FORTH};

        if (fpu)
            memcpy(&o->fx, c->fx_in, sizeof(o->fx));
        memcpy(window, c->memory_in, c->window_len);
        guest_run(&c->in, pads, c->flags & NT_CODE16, c->shape, fpu ? &o->fx : NULL, &o->result);
        memcpy(o->memory, window, c->window_len);
    }
    if (!native_ends(first_number, first))
        return false;
    for (unsigned tries = 0; tries < ASK_AGAIN && memory_differs(first, n); tries++) {
        oracle_run(&oracle, first, n);
        if (!native_ends(first_number, first))
            return false;
        disturbed += !memory_differs(first, n);
    }
    for (unsigned i = first; i < first + n; i++)
        check(first_number == UINT64_MAX ? UINT64_MAX : first_number + (i - first), i);
    done += n;
    if (mismatches == before && memcmp(guest_data(), oracle.cases->data_last, NT_DATA_SIZE) != 0) {
        if (n == 1) {
            struct nt_regs native = oracle.cases->c[first].out;

            report(first_number, first, "memory outside the window", &native,
                   oracle.cases->c[first].exit == NT_EXIT_SIGNAL);
        } else {
            bool ok = true; /* find the culprit: one by one */

            for (unsigned i = 0; i < n && ok && mismatches == before; i++)
                ok = run_prepared(first_number + i, first + i, 1);
            if (ok && mismatches == before) {
                printf("memory differs after cases %lu to %lu, but after none of them alone\n", first_number,
                       first_number + n - 1);
                mismatches++;
            }
            return ok;
        }
    }
    return true;
}

static void prepare(uint64_t number, unsigned slot)
{
    struct rng r;
    unsigned tries = 0;

    rng_seed(&r, options.seed, number);
    /* Where the guest's code differs from the native one, nothing may read it. */
    while (!gen_make(&r, rows[rng_below(&r, row_count)], slot, oracle.cases->has_code16, &gen[slot],
                     &oracle.cases->c[slot]) ||
           (engine->ends_at_hlt && gen[slot].insn.seg == SEG_CS))
        if (++tries > 10000) {
            fprintf(stderr, "insn_test: no case can be made of '%s'\n", options.filter);
            exit(1);
        }
}

static bool run_generated(void)
{
    double end = now() + options.seconds;

    if (options.have_only) {
        unsigned slot = (unsigned)(options.only % NT_BATCH);

        prepare(options.only, slot);
        printf("case %lu: ", options.only);
        print_instruction(&gen[slot]);
        return run_prepared(options.only, slot, 1);
    }
    for (uint64_t number = 0; options.have_count ? number < options.count : now() < end; number += NT_BATCH) {
        for (unsigned i = 0; i < NT_BATCH; i++)
            prepare(number + i, i);
        if (!run_prepared(number, 0, NT_BATCH))
            return false;
        if (mismatches > 1000)
            break;
    }
    return true;
}

static unsigned unhex(const char *text, uint8_t *out, unsigned max)
{
    unsigned n = 0, value;

    for (; n < max && sscanf(text, "%2x", &value) == 1; text += 2)
        out[n++] = (uint8_t)value;
    return n;
}

static bool run_regressions(void)
{
    bool ok = true;

    for (const struct regression *t = regressions; t->name && ok; t++) {
        unsigned slot = t->inside ? NT_SLOTS_PER_PAGE - 1 : 0;
        struct nt_case *c = &oracle.cases->c[slot];
        uint64_t before = mismatches;
        uint8_t bytes[32];
        unsigned len = unhex(t->bytes, bytes, sizeof(bytes));

        c->in = t->regs;
        if (!gen_fixed(bytes, len, slot, t->code16, t->inside, t->shape, &gen[slot])) {
            printf("regression %s: %s does not decode to its whole length\n", t->name, t->bytes);
            mismatches++;
            continue;
        }
        c->in.eip = gen[slot].start - (t->code16 ? NT_CODE : 0);
        gen[slot].flags_ignored = t->flags_ignored;
        c->shape = t->shape;
        c->window = t->window;
        c->window_len = unhex(t->memory, c->memory_in, NT_WINDOW_MAX);
        c->flags = (t->fx ? NT_FPU : 0) | (t->code16 ? NT_CODE16 : 0);
        memset(c->fx_in, 0, sizeof(c->fx_in));
        if (t->fx)
            unhex(t->fx, c->fx_in, sizeof(c->fx_in));
        ok = run_prepared(UINT64_MAX, slot, 1);
        if (mismatches != before)
            printf("regression %s failed\n", t->name);
    }
    return ok;
}

/* Asks the CPU what its FXSAVE keeps of the last instruction's address: an FADD of a signalling NaN
 * through native32, masked and unmasked. */
static void probe_host(void)
{
    static const uint8_t fadd[] = {0xd8, 0x03}; /* fadd dword [ebx] */
    static const uint32_t snan = 0x7f800001;
    struct nt_case *c = &oracle.cases->c[0];
    struct fxstate *fx = (struct fxstate *)c->fx_in;
    const struct fxstate *out = (const struct fxstate *)c->fx_out;

    gen_fixed(fadd, sizeof(fadd), 0, false, 0, 0, &gen[0]);
    gen_code(&gen[0], oracle.cases->exit_entry, oracle.code);
    for (unsigned unmasked = 0; unmasked < 2; unmasked++) {
        memset(c, 0, sizeof(*c));
        fx->fcw = unmasked ? 0x37e : 0x37f;
        fx->ftw = 1;
        fx->mxcsr = 0x1f80;
        c->window = NT_DATA;
        c->window_len = sizeof(snan);
        memcpy(c->memory_in, &snan, sizeof(snan));
        c->in = (struct nt_regs){.gpr = {[EBX] = NT_DATA}, .eflags = 0x202, .eip = gen[0].start};
        c->flags = NT_FPU;
        oracle_run(&oracle, 0, 1);
        if (!oracle_wait(&oracle))
            exit(1);
        host_has_pending_pointers = out->fip == gen[0].start && out->fdp == NT_DATA;
        if (!unmasked)
            host_has_pointers = host_has_pending_pointers;
        host_has_selectors = out->fcs == NT_CS && out->fds == NT_DS;
    }
    static const uint8_t nop[] = {0x90};
    gen_fixed(nop, sizeof(nop), 0, false, 0, 0, &gen[0]);
    gen_code(&gen[0], oracle.cases->exit_entry, oracle.code);
    memset(c, 0, sizeof(*c));
    *fx = (struct fxstate){.fcw = 0x37f, .mxcsr = 0x1f80, .fip = 0x1234567, .fcs = 0x89, .fdp = 0x2345678, .fds = 0x9a};
    c->in = (struct nt_regs){.gpr = {0}, .eflags = 0x202, .eip = gen[0].start};
    c->flags = NT_FPU;
    oracle_run(&oracle, 0, 1);
    if (!oracle_wait(&oracle))
        exit(1);
    host_loads_pointers = c->env[3] == fx->fip && c->env[5] == fx->fdp;
}

static int check_coverage(void)
{
    int missing = 0;

    for (unsigned i = 0; i < row_count; i++) {
        unsigned id = rows[i]->id;

        if (!coverage[id].completed && !coverage[id].faulted) {
            printf("never executed: %s (row %u)\n", rows[i]->name, id);
            missing++;
        } else if (!coverage[id].completed && !(rows[i]->attr & (IA_PRIV | IA_IO)) && rows[i]->class != CLASS_UD &&
                   rows[i]->id != INSN_INT_Ib && rows[i]->id != INSN_INT3) {
            printf("always faulted: %s (row %u, %lu times)\n", rows[i]->name, id, coverage[id].faulted);
            missing++;
        }
    }
    return missing;
}

static void list_coverage(void)
{
    for (unsigned id = 1; id < INSN_COUNT; id++)
        printf("%-12s row %3u  completed %8lu  faulted %8lu%s\n", insn_rows[id].name, id, coverage[id].completed,
               coverage[id].faulted, gen_is_testable(&insn_rows[id]) ? "" : "  (not testable in ring 3)");
}

static void usage(void)
{
    fprintf(stderr, "usage: insn_test [--seed N] [--count N | --seconds S] [--filter NAME] "
                    "[--engine NAME] [--case N] [--reports N] [--native PATH] [--list]\n");
    exit(2);
}

int main(int argc, char **argv)
{
    bool list = false, ok;
    static char path[4096];
    double start;
    int missing = 0;

    engine = engines[0];
    options.seed = (uint64_t)time(NULL);
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (!strcmp(name, "--list")) {
            list = true;
            continue;
        }
        if (!value)
            usage();
        i++;
        if (!strcmp(name, "--seed")) {
            options.seed = strtoull(value, NULL, 0);
        } else if (!strcmp(name, "--count")) {
            options.count = strtoull(value, NULL, 0);
            options.have_count = true;
        } else if (!strcmp(name, "--seconds")) {
            options.seconds = atof(value);
        } else if (!strcmp(name, "--filter")) {
            options.filter = value;
        } else if (!strcmp(name, "--case")) {
            options.only = strtoull(value, NULL, 0);
            options.have_only = true;
        } else if (!strcmp(name, "--reports")) {
            options.reports_left = (unsigned)atoi(value);
        } else if (!strcmp(name, "--native")) {
            options.native = value;
        } else if (!strcmp(name, "--engine")) {
            engine = NULL;
            for (unsigned e = 0; e < sizeof(engines) / sizeof(engines[0]); e++)
                if (!strcmp(value, engines[e]->name))
                    engine = engines[e];
            if (!engine) {
                fprintf(stderr, "insn_test: there is no engine '%s' here\n", value);
                return 2;
            }
        } else {
            usage();
        }
    }
    if (!options.native) {
        char *self = strdup(argv[0]);

        snprintf(path, sizeof(path), "%s/native32", dirname(self));
        free(self);
        options.native = path;
    }
    cs_open(CS_ARCH_X86, CS_MODE_32, &capstone[0]);
    cs_open(CS_ARCH_X86, CS_MODE_16, &capstone[1]);
    choose_rows();
    if (!row_count) {
        fprintf(stderr, "insn_test: no testable row of insn.def is named '%s'\n", options.filter);
        return 2;
    }
    if (!oracle_start(&oracle, options.native))
        return 77; /* skipped: this host cannot judge */
    probe_host();
    for (unsigned i = 0; i < PAGE_SIZE; i++)
        oracle.read_only[i] = (uint8_t)(i * 37 + (i >> 5));
    for (unsigned i = 0; i < NT_DATA_SIZE; i++)
        oracle.cases->data_first[i] = (uint8_t)(i * 73 + (i >> 6) + 5);
    guest_init(engine, oracle.read_only, ((struct fxstate *)oracle.cases->c[0].fx_out)->mxcsr_mask);
    printf("insn_test: engine %s, seed %lu, %u rows%s%s\n", engine->name, options.seed, row_count,
           host_has_pointers           ? ""
           : host_has_pending_pointers ? ", x87 pointers compared when an exception is pending"
                                       : ", x87 pointers not compared",
           host_has_selectors ? "" : ", x87 selectors not compared");
    if (!host_loads_pointers)
        printf("insn_test: FNSTENV's x87 pointers not compared: FXRSTOR loads none here\n");
    if (!oracle.cases->has_code16)
        printf("insn_test: this kernel allows no segments of our own: 32-bit code and flat data only\n");
    fflush(stdout);

    ok = run_regressions();
    start = now();
    done = 0;
    ok = ok && run_generated();
    if (!options.have_only && ok) {
        double seconds = now() - start;

        printf("%lu cases in %.1f s (%.0f per second), %lu mismatches\n", done, seconds, (double)done / seconds,
               mismatches);
        if (disturbed)
            printf("%lu times the host had another answer when asked again\n", disturbed);
        printf("x87 pointers compared %lu times, lost by the host %lu times\n", pointers_compared, pointers_lost);
        if (done >= 200ull * row_count)
            missing = check_coverage();
        else
            printf("too few cases to judge the coverage\n");
    }
    if (list)
        list_coverage();
    oracle_stop(&oracle);
    return !ok || mismatches || missing;
}

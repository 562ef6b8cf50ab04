/* x87, MMX and SSE state in an operating system: lazy switching with CR0.TS, #NM, #MF, #XM, FXSAVE, interrupts.
 * Intel SDM vol. 3A, chapters 2.5 (CR0), 12, 13; vol. 1, chapters 8, 10, 11. Built without SSE: all FPU
 * instructions here are in assembler text. */
#include "guest.h"

struct fx {
    uint16_t fcw, fsw;
    uint8_t ftw, rsvd0;
    uint16_t fop;
    uint32_t fip;
    uint16_t fcs, rsvd1;
    uint32_t fdp;
    uint16_t fds, rsvd2;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16], xmm[16][16], rsvd3[96];
} __attribute__((aligned(16)));

static void clts(void)
{
    __asm__ volatile("clts");
}
static void set_ts(void)
{
    write_cr0(read_cr0() | CR0_TS);
}
static void fxsave(struct fx *f)
{
    __asm__ volatile("fxsave (%0)" : : "r"(f) : "memory");
}
static void fxrstor(const struct fx *f)
{
    __asm__ volatile("fxrstor (%0)" : : "r"(f) : "memory");
}
static void fninit(void)
{
    __asm__ volatile("fninit; ldmxcsr %0" : : "m"((uint32_t){0x1f80}));
}

SNIPPET(code_fld1, "fld1");
SNIPPET(code_fninit, "fninit");
SNIPPET(code_wait, "fwait");
SNIPPET(code_mmx, "movd %eax, %mm0");
SNIPPET(code_sse, "movd %eax, %xmm0");
SNIPPET(code_fxsave, "fxsave (%esi)");
SNIPPET(code_ldmxcsr, "ldmxcsr (%esi)");
SNIPPET(code_fnstsw, "fnstsw %ax");
SNIPPET(code_pause, "pause\n prefetchnta (%esi)\n sfence");

/* Which instructions raise what under EM, TS, MP, OSFXSR. */
static void test_cr0(void)
{
    struct state s;
    static struct fx scratch;
    static const struct {
        const char *name, *code;
        unsigned em, ts, ts_mp, no_osfxsr;
    } cases[] = {
        {"fld1", code_fld1, EXC_NM, EXC_NM, EXC_NM, VEC_DONE},
        {"fninit", code_fninit, EXC_NM, EXC_NM, EXC_NM, VEC_DONE},
        {"fnstsw", code_fnstsw, EXC_NM, EXC_NM, EXC_NM, VEC_DONE},
        {"fwait", code_wait, VEC_DONE, VEC_DONE, EXC_NM, VEC_DONE},
        {"mmx", code_mmx, EXC_UD, EXC_NM, EXC_NM, VEC_DONE},
        {"sse", code_sse, EXC_UD, EXC_NM, EXC_NM, EXC_UD},
        {"ldmxcsr", code_ldmxcsr, EXC_UD, EXC_NM, EXC_NM, EXC_UD},
        {"fxsave", code_fxsave, EXC_NM, EXC_NM, EXC_NM, VEC_DONE},
        {"pause, prefetch, sfence", code_pause, VEC_DONE, VEC_DONE, VEC_DONE, VEC_DONE},
    };
    uint32_t cr0 = read_cr0() & ~(CR0_EM | CR0_TS | CR0_MP);

    scratch.mxcsr = 0x1f80;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
        for (unsigned mode = 0; mode < 5; mode++)
            for (unsigned ring = 0; ring < 4; ring += 3) {
                static const char *const names[] = {"plain", "EM", "TS", "TS and MP", "no OSFXSR"};
                static const uint32_t bits[] = {0, CR0_EM, CR0_TS, CR0_TS | CR0_MP, 0};
                unsigned want = mode == 0   ? VEC_DONE
                                : mode == 1 ? cases[i].em
                                : mode == 2 ? cases[i].ts
                                : mode == 3 ? cases[i].ts_mp
                                            : cases[i].no_osfxsr;
                state_init(&s, ring, cases[i].code);
                s.esi = cases[i].code == code_ldmxcsr ? (uint32_t)&scratch.mxcsr : (uint32_t)&scratch;
                write_cr0(cr0 | bits[mode]);
                if (mode == 4)
                    write_cr4(read_cr4() & ~CR4_OSFXSR);
                run(&s);
                write_cr4(read_cr4() | CR4_OSFXSR);
                clts();
                write_cr0(cr0);
                scratch.mxcsr = 0x1f80;
                check(s.vector == want && (want == VEC_DONE || s.eip == (uint32_t)cases[i].code), "%s: %s, ring %u",
                      cases[i].name, names[mode], ring);
            }
    fninit();
}

/* --- Lazy switching among threads --- */

#define THREADS 5
static struct fx saved[THREADS];
static unsigned owner;
static unsigned current;
static unsigned nm_count;
static bool lazy_nm(struct trap *t)
{
    (void)t;
    nm_count++;
    clts();
    if (owner != current) {
        fxsave(&saved[owner]);
        fxrstor(&saved[current]);
        owner = current;
    }
    return true;
}

/* Each thread counts in x87, MMX-free registers and SSE: its numbers must stay its own. */
SNIPPET(thread_step, "fldl (%esi)\n faddp\n addps %xmm1, %xmm0\n paddd %xmm3, %xmm2\n");

static void test_lazy(void)
{
    static const double one = 1.0;
    static const float ones[4] __attribute__((aligned(16))) = {1, 1, 1, 1};
    static const uint32_t ints[4] __attribute__((aligned(16))) = {1, 2, 3, 4};
    struct state s;
    unsigned wrong = 0, rounds = 400, mine[THREADS] = {0};

    for (unsigned i = 0; i < THREADS; i++) {
        fninit();
        __asm__ volatile("fldz; xorps %%xmm0, %%xmm0; xorps %%xmm2, %%xmm2; movaps %0, %%xmm1; movaps %1, %%xmm3"
                         :
                         : "m"(ones), "m"(ints));
        fxsave(&saved[i]);
    }
    owner = 0;
    nm_count = 0;
    trap_handlers[EXC_NM] = lazy_nm;
    for (unsigned i = 0; i < rounds; i++) {
        current = rnd() % THREADS;
        set_ts();
        /* Some turns do not touch the FPU at all. */
        if (rnd() % 4 == 0)
            continue;
        for (unsigned k = rnd() % 3; k < 3; k++) {
            state_init(&s, rnd() & 1 ? 3 : 0, thread_step);
            s.esi = (uint32_t)&one;
            run(&s);
            wrong += s.vector != VEC_DONE;
            mine[current]++;
        }
    }
    trap_handlers[EXC_NM] = NULL;
    clts();
    fxsave(&saved[owner]);
    check_equal(wrong, 0, "lazy: every step ran");
    check(nm_count > 100, "lazy: #NM came");
    for (unsigned i = 0; i < THREADS; i++) {
        uint32_t sum_x87, ints_seen[4], single;
        fxrstor(&saved[i]);
        __asm__ volatile("fistl %0; movups %%xmm2, %1; cvtss2si %%xmm0, %2"
                         : "=m"(sum_x87), "=m"(ints_seen), "=r"(single));
        check(sum_x87 == mine[i] && single == mine[i] && ints_seen[0] == mine[i] && ints_seen[3] == 4 * mine[i],
              "lazy: thread %u has its own numbers", i);
    }
    fninit();
}

/* --- Exceptions --- */

static void test_x87_errors(void)
{
    struct state s;
    static const uint16_t unmasked = 0x360; /* IM, DM, ZM, OM, UM unmasked; not PM */
    SNIPPET(code_zero,
            "fninit\n fldcw (%esi)\n fld1\n fldz\n fdivrp_here: fdivrp\n nop\n nop\n fdiv_wait: fwait\n nop");
    SNIPPET(code_next, "fninit\n fldcw (%esi)\n fld1\n fldz\n fdivrp\n movl $1, %ebx\n next_fpu: fld1");
    SNIPPET(code_stack, "fninit\n fldcw (%esi)\n fstp %st(0)\n stack_wait: fwait");
    SNIPPET(code_nowait, "fninit\n fldcw (%esi)\n fld1\n fldz\n fdivrp\n fnstsw %ax\n fnclex\n fwait");
    extern char fdiv_wait[], next_fpu[], stack_wait[];

    write_cr0((read_cr0() & ~CR0_TS) | CR0_NE | CR0_MP);
    state_init(&s, 3, code_zero);
    s.esi = (uint32_t)&unmasked;
    run_expect(&s, EXC_MF, 0, "#MF: division by zero");
    check_equal(s.eip, (uint32_t)fdiv_wait, "#MF: comes at the next waiting instruction");
    __asm__ volatile("fnclex");
    state_init(&s, 3, code_next);
    s.esi = (uint32_t)&unmasked;
    run_expect(&s, EXC_MF, 0, "#MF: at the next x87 instruction");
    check(s.eip == (uint32_t)next_fpu && s.ebx == 1, "#MF: integer instructions go on before");
    __asm__ volatile("fnclex");
    state_init(&s, 3, code_stack);
    s.esi = (uint32_t)&unmasked;
    run_expect(&s, EXC_MF, 0, "#MF: stack underflow");
    check_equal(s.eip, (uint32_t)stack_wait, "#MF: stack underflow: EIP");
    uint16_t sw;
    __asm__ volatile("fnstsw %0" : "=a"(sw));
    check((sw & 0x8041) == 0x8041, "#MF: ES, SF and IE in the status word");
    __asm__ volatile("fnclex");
    state_init(&s, 3, code_nowait);
    s.esi = (uint32_t)&unmasked;
    run_expect(&s, VEC_DONE, 0, "#MF: non-waiting instructions do not raise it");
    check((s.eax & 0x8084) == 0x8084, "#MF: FNSTSW shows ZE, ES, B");
    /* NE = 0: interrupt 13 of the PIC instead. */
    fninit();
}

static void test_sse_errors(void)
{
    struct state s;
    static const uint32_t mxcsr_zero = 0x1f80 & ~0x200u;
    SNIPPET(code_divps, "ldmxcsr (%esi)\n xorps %xmm0, %xmm0\n movl $0x3f800000, %eax\n movd %eax, %xmm1\n"
                        "xm_here: divss %xmm0, %xmm1\n movd %xmm1, %ebx");
    extern char xm_here[];

    write_cr4(read_cr4() | CR4_OSXMM);
    state_init(&s, 3, code_divps);
    s.esi = (uint32_t)&mxcsr_zero;
    run_expect(&s, EXC_XM, 0, "#XM: division by zero");
    check_equal(s.eip, (uint32_t)xm_here, "#XM: is a fault");
    uint32_t mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    check(mxcsr & 4, "#XM: ZE in MXCSR");
    write_cr4(read_cr4() & ~CR4_OSXMM);
    state_init(&s, 3, code_divps);
    s.esi = (uint32_t)&mxcsr_zero;
    run_expect(&s, EXC_UD, 0, "#XM: #UD without OSXMMEXCPT");
    write_cr4(read_cr4() | CR4_OSXMM);
    fninit();
    /* Masked: infinity. */
    static const uint32_t masked = 0x1f80;
    state_init(&s, 3, code_divps);
    s.esi = (uint32_t)&masked;
    run(&s);
    check(s.vector == VEC_DONE && s.ebx == 0x7f800000, "masked division by zero: infinity");
    /* Reserved bits of MXCSR, misaligned operands. */
    static const uint32_t bad = 0xffff0000;
    state_init(&s, 3, code_ldmxcsr);
    s.esi = (uint32_t)&bad;
    run_expect(&s, EXC_GP, 0, "ldmxcsr: reserved bits");
    /* What the image says can be loaded, and nothing else. */
    static struct fx masks;
    unsigned wrong = 0;
    fxsave(&masks);
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t value = 0x1f80 | 1u << bit;
        state_init(&s, bit & 1 ? 3 : 0, code_ldmxcsr);
        s.esi = (uint32_t)&value;
        run(&s);
        wrong += s.vector != (masks.mxcsr_mask >> bit & 1 ? VEC_DONE : EXC_GP);
    }
    check(masks.mxcsr_mask == 0xffff && wrong == 0, "ldmxcsr: as the mask in FXSAVE's image says");
    SNIPPET(code_movaps, "movaps (%esi), %xmm0");
    static uint8_t buffer[600] __attribute__((aligned(16)));
    state_init(&s, 3, code_movaps);
    s.esi = (uint32_t)buffer + 4;
    run_expect(&s, EXC_GP, 0, "limit: movaps misaligned");
    state_init(&s, 3, code_fxsave);
    s.esi = (uint32_t)buffer + 8;
    run_expect(&s, EXC_GP, 0, "limit: fxsave misaligned");
    fninit();
}

/* --- The image --- */

static void test_fxsave(void)
{
    static struct fx a, b;
    uint8_t image[108];

    memset(&a, 0xee, sizeof a);
    fninit();
    __asm__ volatile("fld1; fldpi; fldl2e");
    fxsave(&a);
    check(a.fcw == 0x37f && a.mxcsr == 0x1f80 && ((a.fsw >> 11) & 7) == 5 && a.ftw == 0xe0,
          "fxsave: control, status, tags");
    static const uint8_t st_one[10] = {0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f};
    check(!memcmp(a.st[2], st_one, 10), "fxsave: ST(2)");
    bool untouched = true;
    for (unsigned i = 48; i < 96; i++)
        untouched = untouched && a.rsvd3[i] == 0xee;
    check(untouched, "fxsave: the last 48 bytes are software's");
    check(a.mxcsr_mask != 0xeeeeeeee, "fxsave: MXCSR mask");
    fninit();
    fxrstor(&a);
    fxsave(&b);
    bool same = true;
    for (unsigned i = 0; i < 8; i++) /* the other six bytes of each are reserved */
        same = same && !memcmp(a.st[i], b.st[i], 10);
    check(same && !memcmp(a.xmm, b.xmm, 128) && a.fsw == b.fsw && a.ftw == b.ftw, "fxrstor: the state comes back");
    /* MMX aliases x87. */
    uint32_t low = 0x12345678;
    __asm__ volatile("movd %0, %%mm3" : : "r"(low));
    fxsave(&b);
    check(b.ftw == 0xff && ((b.fsw >> 11) & 7) == 0, "mmx: all registers valid, TOP 0");
    check(!memcmp(b.st[3], (uint8_t[]){0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0, 0xff, 0xff}, 10), "mmx: MM3 is ST(3)");
    __asm__ volatile("emms");
    fxsave(&b);
    check(b.ftw == 0, "emms: empty");
    /* FNSAVE and FRSTOR. */
    fninit();
    __asm__ volatile("fld1; fldpi; fnsave %0" : "=m"(image));
    fxsave(&b);
    check(b.ftw == 0 && b.fcw == 0x37f, "fnsave: initialises");
    __asm__ volatile("frstor %0" : : "m"(image));
    fxsave(&b);
    check(b.ftw == 0xc0 && !memcmp(b.st[1], st_one, 10), "frstor: the state comes back");
    fninit();
}

/* --- Across interrupts --- */

static volatile uint32_t ticks;
static bool fpu_tick(struct trap *t)
{
    static struct fx interrupted;
    (void)t;
    /* A handler that uses the FPU itself. */
    fxsave(&interrupted);
    fninit();
    __asm__ volatile("fldpi; fldl2e; pcmpeqd %%xmm0, %%xmm0; pcmpeqd %%xmm1, %%xmm1; pcmpeqd %%xmm7, %%xmm7" : :);
    fxrstor(&interrupted);
    ticks++;
    pic_eoi(0);
    return true;
}

static void test_interrupts(void)
{
    trap_handlers[VEC_IRQ0] = fpu_tick;
    pit_periodic(1193);
    pic_unmask(0);
    unsigned wrong = 0;
    static const float ones[4] __attribute__((aligned(16))) = {1, 1, 1, 1};
    for (unsigned i = 0; i < 100000000 && ticks < 300; i++) {
        uint32_t n = 1000, x87, sse;
        fninit();
        __asm__ volatile("fldz; xorps %%xmm0, %%xmm0; movaps %3, %%xmm1; sti\n"
                         "1: fld1; faddp; addss %%xmm1, %%xmm0; decl %0; jnz 1b\n"
                         "cli; fistpl %1; cvtss2si %%xmm0, %2"
                         : "+r"(n), "=m"(x87), "=&r"(sse)
                         : "m"(ones)
                         : "memory", "cc");
        wrong += x87 != 1000 || sse != 1000;
    }
    pic_mask(0);
    pit_stop();
    check(ticks >= 300, "interrupts: 300 came");
    check_equal(wrong, 0, "interrupts: x87 and SSE sums are right in spite of a handler with FPU code");
    /* The same with rounding control and precision changed. */
    fninit();
    uint16_t cw = 0x0c7f, cw_back;
    uint32_t third;
    __asm__ volatile("fldcw %2; fld1; fadd %%st(0), %%st; fld1; fdivp; fld1; fadd %%st(0), %%st; fdivrp\n"
                     "fistpl %0; fnstcw %1"
                     : "=m"(third), "=m"(cw_back)
                     : "m"(cw));
    check(cw_back == 0x0c7f, "control word keeps");
    fninit();
}

void guest_main(void)
{
    write_cr0((read_cr0() & ~(CR0_EM | CR0_TS)) | CR0_NE);
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMM);
    fninit();
    test_cr0();
    test_fxsave();
    test_x87_errors();
    test_sse_errors();
    test_lazy();
    test_interrupts();
}

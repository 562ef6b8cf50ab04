/* The x87 pointers: FIP, FCS, FOP, FDP, FDS, as FNSTENV, FNSAVE and FXSAVE show them (Intel SDM vol. 1, 8.1.8
 * to 8.1.10).
 *
 * While no exception is pending a processor may forget them when another task runs on it (AMD's do), so a host that is
 * busy may lose some: a check may fail a few times. FXSAVE is looked at with an exception pending only, as some keep
 * nothing else there. Processors with FDP_EXCPTN_ONLY (CPUID.(7,0):EBX[6]; Intel's, since Haswell) set FDP and FDS only
 * with an unmasked exception; which the machine shows, as the processor that it runs on, not as the one that it claims
 * to be.
 */
#include "guest.h"

struct env {
    uint32_t fcw, fsw, ftw, fip, fcs, fdp, fds; /* FOP is in the upper half of fcs */
};

enum { SEL_BASED = GDT_FREE, SEL_C16 = GDT_FREE + 8, SEL_D16 = GDT_FREE + 16 };
_Static_assert(SEL_BASED == 0x50, "in the snippets, with RPL 3");
#define TRIES 8

static uint8_t image[512] __attribute__((aligned(16)));
static struct env *const env = (struct env *)image;
static double operand = 1.5;
static bool with_exception_only; /* FDP_EXCPTN_ONLY */
static uint32_t based_at;        /* base of SEL_BASED: the operand has offset 40h there */

/* ESI: the operand, EDI: the image; the instruction in question is at the label `at`. */
#define FIP(name, before, insn, behind) SNIPPET(name, "fninit\n" before "\n" #name "_at: " insn "\n" behind)
FIP(f_fld1, "", "fld1", "fnstenv (%edi)");
FIP(f_mem, "", "fldl (%esi)", "fnstenv (%edi)");
FIP(f_mem_stack, "movl %esp, %ebp", "fstl -32(%ebp)", "fnstenv (%edi)");
FIP(f_mem_fs, "fld1", "faddl %fs:0x40", "fnstenv (%edi)");
FIP(f_mem_es, "fld1", "fsubl %es:(%esi)", "fnstenv (%edi)");
FIP(f_reg_after_mem, "fldl (%esi)", "fadd %st(0), %st", "fnstenv (%edi)");
FIP(f_fcmov, "fld1; fld1", "fcmove %st(1), %st", "fnstenv (%edi)");
FIP(f_control, "", "fldl (%esi)", "fnstcw (%edi)\n fldcw (%edi)\n fnstsw %ax\n fnclex\n fwait\n fnstenv (%edi)");
FIP(f_far, "", "fldl (%esi)",
    "jmp 1f\n .balign 4096\n 1: movl $100, %ecx\n 2: loop 2b\n call 3f\n jmp 4f\n 3: ret\n"
    "4: fnstenv (%edi)");
FIP(f_page, ".balign 4096\n .fill 4092, 1, 0x90", "fldl (%esi)", "nop\n nop\n nop\n fnstenv (%edi)");
FIP(f_save, "", "fldl (%esi)", "fnsave (%edi)");
FIP(f_prefixes, "", ".byte 0x3e\n fldl (%esi)", "fnstenv (%edi)");
FIP(f_loop, "movl $50, %ecx\n 1:", "fldl (%esi)", "fstp %st(0)\n loop 1b\n fnstenv (%edi)");
/* The segment register is another by the time that somebody asks. */
FIP(f_load_es, "", "faddl %es:(%esi)", "pushl %es\n pushl $0x53\n popl %es\n fnstenv (%edi)\n popl %es");
FIP(f_load_fs, "fldl %fs:0x40\n pushl %ds\n popl %fs\n jmp 1f\n .balign 64\n 1:", "fld1", "fnstenv (%edi)");
FIP(f_load_fs2,
    "movl $30, %ecx\n 1: fldl %fs:0x40\n fstp %st(0)\n loop 1b\n pushl %ds\n popl %fs\n jmp 2f\n 2:", "fld1",
    "fnstenv (%edi)");
extern char f_load_es_at[], f_load_fs_at[], f_load_fs2_at[];
extern char f_fld1_at[], f_mem_at[], f_mem_stack_at[], f_mem_fs_at[], f_mem_es_at[], f_reg_after_mem_at[], f_fcmov_at[],
    f_control_at[], f_far_at[], f_page_at[], f_save_at[], f_prefixes_at[], f_loop_at[];

static void start(struct state *s, const char *code, unsigned ring)
{
    state_init(s, ring, code);
    s->esi = (uint32_t)&operand;
    s->edi = (uint32_t)image;
    s->fs = SEL_BASED | ring;
}

/* fdp 0: the instruction has no memory operand, and none had since FNINIT. */
static void expect(const char *name, const char *code, uint32_t fip, unsigned fop, uint32_t fdp, unsigned sel)
{
    for (unsigned ring = 0; ring < 4; ring += 3) {
        struct state s;
        bool ok = false;
        for (unsigned i = 0; i < TRIES && !ok; i++) {
            memset(image, 0xee, sizeof image);
            start(&s, code, ring);
            uint32_t want_fdp = sel == (unsigned)-1 ? s.esp - 32 : fdp;
            uint32_t want_fds = sel == (unsigned)-1 ? s.ss : sel == SEL_BASED ? (unsigned)s.fs : fdp ? s.ds : 0;
            if (ring == 0 && sel == (unsigned)-1)
                want_fdp = 0; /* the present stack: somewhere */
            if (with_exception_only)
                want_fdp = want_fds = 0;
            run(&s);
            ok = s.vector == VEC_DONE && env->fip == fip && (env->fcs & 0xffff) == (ring ? UCODE : KCODE) &&
                 (env->fcs >> 16 & 0x7ff) == fop && (env->fdp == want_fdp || (ring == 0 && sel == (unsigned)-1)) &&
                 (env->fds & 0xffff) == want_fds;
        }
        if (!check(ok, "%s, ring %u", name, ring))
            print("# vector %u; fip %x:%x fop %x fdp %x:%x, want fip %x fop %x fdp %x\n", (unsigned)s.vector,
                  (unsigned)env->fcs & 0xffff, (unsigned)env->fip, (unsigned)env->fcs >> 16,
                  (unsigned)env->fds & 0xffff, (unsigned)env->fdp, (unsigned)fip, fop, (unsigned)fdp);
    }
}
#define EXPECT(name, code, fop, fdp, sel) expect(name, code, (uint32_t)code##_at, fop, fdp, sel)

static void test_fnstenv(void)
{
    uint32_t at = (uint32_t)&operand;
    EXPECT("fnstenv: fld1", f_fld1, 0x1e8, 0, 0);
    EXPECT("fnstenv: fldl", f_mem, 0x506, at, UDATA);
    EXPECT("fnstenv: an operand on the stack", f_mem_stack, 0x555, 0, (unsigned)-1);
    EXPECT("fnstenv: an operand in a based segment", f_mem_fs, 0x405, 0x40, SEL_BASED);
    EXPECT("fnstenv: an operand through ES", f_mem_es, 0x426, at, UDATA);
    EXPECT("fnstenv: a register form keeps the operand's", f_reg_after_mem, 0x0c0, at, UDATA);
    EXPECT("fnstenv: fcmove", f_fcmov, 0x2c9, 0, 0);
    EXPECT("fnstenv: control instructions change nothing", f_control, 0x506, at, UDATA);
    EXPECT("fnstenv: jumps, a loop and a call in between", f_far, 0x506, at, UDATA);
    EXPECT("fnstenv: on the next page", f_page, 0x506, at, UDATA);
    EXPECT("fnsave", f_save, 0x506, at, UDATA);
    EXPECT("fnstenv: prefixes count", f_prefixes, 0x506, at, UDATA);
    EXPECT("fnstenv: ES loaded behind its operand", f_load_es, 0x406, at, UDATA);
    EXPECT("fnstenv: FS loaded behind its operand, then a register form", f_load_fs, 0x1e8, 0x40, SEL_BASED);
    EXPECT("fnstenv: the same behind a loop", f_load_fs2, 0x1e8, 0x40, SEL_BASED);
    expect("fnstenv: behind a loop", f_loop, (uint32_t)f_loop_at + 2, 0x5d8, at, UDATA);
}

/* The idiom by which code learns where it is. */
SNIPPET(f_getpc,
        "movl $20000, %ecx\n xorl %ebx, %ebx\n"
        "1: getpc_at: fldz\n fnstenv -28(%esp)\n movl -16(%esp), %eax\n cmpl $getpc_at, %eax\n je 2f\n incl %ebx\n"
        "2: fstp %st(0)\n loop 1b");
/* With code in between that is not always there. */
SNIPPET(f_getpc2, "movl $20000, %ecx\n xorl %ebx, %ebx\n"
                  "1: getpc2_at: fldz\n testb $3, %cl\n jz 3f\n jmp 4f\n .fill 200, 1, 0x90\n 3: nop\n"
                  "4: fnstenv -28(%esp)\n movl -16(%esp), %eax\n cmpl $getpc2_at, %eax\n je 2f\n incl %ebx\n"
                  "2: fstp %st(0)\n decl %ecx\n jnz 1b");
static void test_getpc(void)
{
    struct state s;
    for (unsigned k = 0; k < 2; k++) {
        __asm__ volatile("fninit");
        start(&s, k ? f_getpc2 : f_getpc, 3);
        run(&s);
        if (!check(s.vector == VEC_DONE && s.ebx < (k ? 400 : 20), "getpc%s", k ? ", with a branch in between" : ""))
            print("# %u of 20000 wrong\n", (unsigned)s.ebx);
    }
}

SNIPPET(f_init, "fldl (%esi)\n fninit\n fnstenv (%edi)");
SNIPPET(f_loadenv, "fninit\n fldl (%esi)\n fldenv (%edi)\n fnstenv (%edi)");
SNIPPET(f_restore, "fninit\n fldl (%esi)\n fxrstor (%edi)\n fnstenv (%edi)");
static void test_set(void)
{
    struct state s;
    start(&s, f_init, 3);
    run(&s);
    check(s.vector == VEC_DONE && !env->fip && !env->fcs && !env->fdp && !(env->fds & 0xffff), "fninit clears them");
    *env = (struct env){0xffff037f, 0xffff0000, 0xffffffff, 0x12345678, 0x123 << 16 | 0x9abc, 0x87654321, 0xffffdef0};
    start(&s, f_loadenv, 3);
    run(&s);
    check(s.vector == VEC_DONE && env->fip == 0x12345678 && env->fcs == (0x123 << 16 | 0x9abc) &&
              env->fdp == 0x87654321 && (env->fds & 0xffff) == 0xdef0,
          "fldenv sets them");
}

/* An unmasked exception: the instruction that raised it, in the handler and in FXSAVE's image. */
SNIPPET(f_divide, "fninit\n fldcw (%ebx)\n fldz\n fld1\n divide_at: fdivl (%esi)\n nop\n wait_at: fwait");
SNIPPET(f_divide_fs, "fninit\n fldcw (%ebx)\n fld1\n divide3_at: fdivl %fs:0x40\n fnstenv (%edi)\n fnclex");
SNIPPET(f_divide_save, "fninit\n fldcw (%ebx)\n fldz\n fld1\n divide2_at: fdivl (%esi)\n nop\n fxsave (%edi)\n fnclex");
extern char divide_at[], wait_at[], divide2_at[], divide3_at[];
static void test_error(void)
{
    static const uint16_t unmasked = 0x360;
    static const double zero = 0;
    struct state s;
    for (unsigned round = 0; round < 3; round++) {
        start(&s, f_divide, 3);
        s.ebx = (uint32_t)&unmasked;
        s.esi = (uint32_t)&zero;
        run(&s);
        memset(image, 0xee, sizeof image);
        __asm__ volatile("fxsave (%0)" : : "r"(image) : "memory");
        uint32_t *w = (uint32_t *)image;
        uint16_t fop = *(uint16_t *)(image + 6);
        __asm__ volatile("fnstenv (%0)\n fnclex" : : "r"(image + 256) : "memory");
        const struct env *e = (const struct env *)(image + 256);
        bool ok = s.vector == EXC_MF && s.eip == (uint32_t)wait_at && w[2] == (uint32_t)divide_at && fop == 0x436 &&
                  (w[3] & 0xffff) == UCODE && w[4] == (uint32_t)&zero && (w[5] & 0xffff) == UDATA;
        ok = ok && e->fip == (uint32_t)divide_at && e->fcs == (0x436u << 16 | UCODE) && e->fdp == (uint32_t)&zero;
        if (!check(ok, "#MF: the handler finds the instruction, round %u", round))
            print("# vector %u eip %x: fxsave fip %x:%x fop %x fdp %x:%x, fnstenv fip %x fcs %x fdp %x\n",
                  (unsigned)s.vector, (unsigned)s.eip, (unsigned)w[3], (unsigned)w[2], fop, (unsigned)w[5],
                  (unsigned)w[4], (unsigned)e->fip, (unsigned)e->fcs, (unsigned)e->fdp);
        start(&s, f_divide_save, 3);
        s.ebx = (uint32_t)&unmasked;
        s.esi = (uint32_t)&zero;
        run(&s);
        check(s.vector == VEC_DONE && w[2] == (uint32_t)divide2_at && *(uint16_t *)(image + 6) == 0x436 &&
                  (w[3] & 0xffff) == UCODE && w[4] == (uint32_t)&zero,
              "fxsave with an exception pending, round %u", round);
        start(&s, f_divide_fs, 3);
        s.ebx = (uint32_t)&unmasked;
        operand = 0;
        run(&s);
        operand = 1.5;
        check(s.vector == VEC_DONE && env->fip == (uint32_t)divide3_at && env->fcs >> 16 == 0x435 && env->fdp == 0x40 &&
                  (env->fds & 0xffff) == (SEL_BASED | 3),
              "fnstenv with an exception pending, a based segment, round %u", round);
    }
    __asm__ volatile("fninit");
}

/* What was translated is gone before FIP is asked for. */
SNIPPET(f_modify,
        "fninit\n modify_at: fldl (%esi)\n movb $0x90, 2f\n movl $3, %ecx\n 1: decl %ecx\n jnz 1b\n fnstenv (%edi)\n"
        " jmp 3f\n 2: nop\n 3:");
extern char modify_at[];
static void test_modified(void)
{
    struct state s;
    bool ok = false;
    for (unsigned i = 0; i < TRIES && !ok; i++) {
        start(&s, f_modify, 0);
        run(&s);
        ok = s.vector == VEC_DONE && env->fcs >> 16 == 0x506 && env->fip == (uint32_t)modify_at;
    }
    check(ok, "fnstenv: the code has been written to meanwhile");
}

/* 16-bit code and V86: the formats of FNSTENV there. */
extern uint8_t f16[], f16_end[], f16_lds[], f16_lds_end[];
__asm__(".pushsection .data.f16,\"aw\"\n.code16\nf16: fninit\n fldl (%si)\n fnstenv (%di)\n data32 fnstenv 32(%di)\n"
        " int $0x80\nf16_end:\n"
        "f16_lds: fninit\n fldl (%si)\n lds 0x80(%si), %bx\n fld1\n fnstenv %es:(%di)\n data32 fnstenv %es:32(%di)\n"
        " int $0x80\nf16_lds_end:\n.code32\n.popsection");
static void test_16(void)
{
    enum { CODE = 0x8000, DATA = 0x9000 };
    const uint16_t *e = (const uint16_t *)(DATA + 0x100);
    const uint32_t *l = (const uint32_t *)(DATA + 0x100 + 32);
    struct state s;
    gdt[SEL_C16 / 8] = desc_make(CODE, 0xffff, D_CODE | D_DPL(3));
    gdt[SEL_D16 / 8] = desc_make(DATA, 0xffff, D_DATA | D_DPL(3));
    for (unsigned v86 = 0; v86 < 3; v86++) {
        bool ok = false, lds = v86 == 2;
        memcpy((void *)CODE, lds ? f16_lds : f16, lds ? (uint32_t)(f16_lds_end - f16_lds) : (uint32_t)(f16_end - f16));
        uint32_t at = CODE + (lds ? 8 : 2), fop = lds ? 0x1e8 : 0x504;
        for (unsigned i = 0; i < TRIES && !ok; i++) {
            memset((void *)DATA, 0, 512);
            state_init(&s, 3, 0);
            s.cs = v86 ? CODE >> 4 : SEL_C16 | 3;
            s.ds = s.es = s.fs = s.gs = v86 ? DATA >> 4 : SEL_D16 | 3;
            if (v86) {
                s.eflags |= FL_VM | FL_IOPL3;
                s.ss = DATA >> 4;
                s.esp = 0x800;
            }
            s.esi = 0x40;
            s.edi = 0x100;
            run(&s);
            uint16_t fdp = with_exception_only ? 0 : 0x40, fds = with_exception_only ? 0 : SEL_D16 | 3;
            uint16_t fdp_linear = with_exception_only ? 0 : DATA + 0x40;
            if (!v86)
                ok = e[3] == 2 && e[4] == (SEL_C16 | 3) && e[5] == fdp && e[6] == fds && l[3] == 2 &&
                     l[4] == (0x504u << 16 | SEL_C16 | 3) && l[5] == fdp;
            else
                ok = e[3] == at && e[4] == fop && e[5] == fdp_linear && (l[3] & 0xffff) == at && l[4] == fop &&
                     (l[5] & 0xffff) == fdp_linear;
        }
        if (!check(ok, "fnstenv: %s", lds ? "V86, LDS behind the operand" : v86 ? "V86" : "16-bit segments"))
            print("# vector %u: %x %x %x %x; %x %x %x %x\n", (unsigned)s.vector, e[3], e[4], e[5], e[6], (unsigned)l[3],
                  (unsigned)l[4], (unsigned)l[5], (unsigned)l[6]);
    }
}

void guest_main(void)
{
    write_cr0((read_cr0() & ~(CR0_EM | CR0_TS)) | CR0_NE | CR0_MP);
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMM);
    based_at = (uint32_t)&operand - 0x40;
    gdt[SEL_BASED / 8] = desc_make(based_at, 0xfffff, D_DATA | D_DPL(3) | D_FLAT);
    bool seen = false;
    for (unsigned i = 0; i < TRIES; i++) {
        __asm__ volatile("fninit\n fldl %1\n fnstenv %0\n fninit" : "=m"(*env) : "m"(operand));
        seen |= env->fdp == (uint32_t)&operand;
    }
    with_exception_only = !seen;
    if (with_exception_only)
        print("# FDP changes with an exception only\n");
    test_fnstenv();
    test_getpc();
    test_set();
    test_error();
    test_modified();
    test_16();
}

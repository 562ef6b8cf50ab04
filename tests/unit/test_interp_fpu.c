/* x87, MMX and SSE in the interpreter: what the generated tests cannot see from ring 3. Control
 * registers, environments in all modes, exceptions and FERR#. Intel SDM vol. 1, chapter 8; vol. 2A. */
#include <glib.h>
#include <string.h>

#include "hostcpu.h"
#include "cpu.h"
#include "cpu/cpuid.h"
#include "mem.h"

#define IDT_AT   0x1000u
#define GDT_AT   0x2000u
#define CODE_AT  0x4000u
#define STACK_AT 0x7000u
#define DATA_AT  0x8000u
#define STUBS_AT 0xa000u /* handler of vector v: STUBS_AT + 16 v; never run */

#define FLAT_CODE 0xc09bu
#define FLAT_DATA 0xc093u

static struct cpu cpu;

static struct seg flat(uint16_t selector, uint16_t access)
{
    return (struct seg){.sel = selector, .access = access, .base = 0, .limit = 0xffffffff};
}

/* Protected mode, ring 0, flat, unpaged; native x87 errors; SSE on. */
static void start(void)
{
    static bool ready;
    uint32_t *idt;

    if (!ready) {
        GError *error = NULL;

        g_assert_true(mem_init(1 * MiB, &error));
        cpu.model = cpu_model_parse(NULL, &error);
        g_assert_no_error(error);
        interp_new(&cpu);
        ready = true;
    }
    cpu_reset(&cpu);
    memset(guest_mem.ram, 0, 0x10000);
    idt = (uint32_t *)(guest_mem.ram + IDT_AT);
    for (uint32_t v = 0; v < 32; v++) {
        idt[2 * v] = 0x08u << 16 | (STUBS_AT + 16 * v);
        idt[2 * v + 1] = 0x8e00;
    }
    memcpy(guest_mem.ram + GDT_AT + 8, "\xff\xff\x00\x00\x00\x9b\xcf\x00", 8);
    memcpy(guest_mem.ram + GDT_AT + 16, "\xff\xff\x00\x00\x00\x93\xcf\x00", 8);
    cpu.cr0 = CR0_PE | CR0_ET | CR0_NE;
    cpu.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
    cpu.seg[SEG_CS] = flat(0x08, FLAT_CODE);
    for (unsigned i = 0; i <= SEG_GS; i++)
        if (i != SEG_CS)
            cpu.seg[i] = flat(0x10, FLAT_DATA);
    cpu.gdtr = (struct dtable){GDT_AT, 0x17};
    cpu.idtr = (struct dtable){IDT_AT, 0xff};
    cpu.cpl = 0;
    cpu.eflags = FL_FIXED1;
    cpu.eip = CODE_AT;
    cpu.gpr[ESP] = STACK_AT;
    cpu.gpr[EBX] = DATA_AT;
    cpu.fpu.fcw = 0x37f;
    cpu.fpu.fsw = 0;
    cpu.fpu.ftw = 0;
    cpu.fpu.mxcsr = 0x1f80;
    cpu.ferr = false;
    interp_flush_tlb(&cpu);
}

static void real_mode(uint16_t cs)
{
    cpu.cr0 &= ~CR0_PE;
    for (unsigned i = 0; i <= SEG_GS; i++)
        cpu.seg[i] = (struct seg){.sel = 0, .access = 0x0093, .base = 0, .limit = 0xffff};
    cpu.seg[SEG_CS] = (struct seg){.sel = cs, .access = 0x009b, .base = cs << 4, .limit = 0xffff};
    cpu.eip = CODE_AT - (cs << 4);
    interp_flush_tlb(&cpu);
}

static void *data(unsigned offset)
{
    return guest_mem.ram + DATA_AT + offset;
}

/* Executes one instruction placed where EIP is. Returns the exception's vector, or -1. */
static int step(const void *bytes, unsigned n)
{
    uint32_t at = cpu.seg[SEG_CS].base + cpu.eip;

    mem_write(at, bytes, n);
    interp_step(&cpu);
    if (cpu.eip >= STUBS_AT && cpu.eip < STUBS_AT + 16 * 32)
        return (int)(cpu.eip - STUBS_AT) / 16;
    return -1;
}
#define STEP(...) step((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static uint32_t word(const void *at, unsigned i)
{
    uint32_t v;

    memcpy(&v, (const uint8_t *)at + 4 * i, 4);
    return v;
}

static void put_double(unsigned offset, double value)
{
    memcpy(data(offset), &value, 8);
}

/* --- pointers and environments --- */

static void test_fnstenv_protected32(void)
{
    start();
    STEP(0xdb, 0xe3); /* fninit */
    cpu.eip = CODE_AT + 0x123;
    g_assert_cmpint(STEP(0xd9, 0x43, 0x40), ==, -1); /* fld dword [ebx + 40h] */
    g_assert_cmpint(STEP(0xd9, 0x33), ==, -1);       /* fnstenv [ebx] */
    g_assert_cmphex(word(data(0), 0), ==, 0xffff037f);
    g_assert_cmphex(word(data(0), 1), ==, 0xffff3800);
    g_assert_cmphex(word(data(0), 2), ==, 0xffff7fff); /* R7 holds zero: tag 01 */
    g_assert_cmphex(word(data(0), 3), ==, CODE_AT + 0x123);
    g_assert_cmphex(word(data(0), 4), ==, 0x01430008); /* FOP, CS */
    g_assert_cmphex(word(data(0), 5), ==, DATA_AT + 0x40);
    g_assert_cmphex(word(data(0), 6), ==, 0xffff0010);
}

static void test_fnstenv_masks_exceptions(void)
{
    start();
    cpu.fpu.fcw = 0x340;
    g_assert_cmpint(STEP(0xd9, 0x33), ==, -1);
    g_assert_cmphex(word(data(0), 0) & 0xffff, ==, 0x340);
    g_assert_cmphex(cpu.fpu.fcw, ==, 0x37f);
}

static void test_fnstenv_protected16(void)
{
    start();
    g_assert_cmpint(STEP(0xd9, 0x43, 0x40), ==, -1);
    g_assert_cmpint(STEP(0x66, 0xd9, 0x33), ==, -1);
    g_assert_cmphex(word(data(0), 1) >> 16, ==, CODE_AT); /* IP */
    g_assert_cmphex(word(data(0), 2), ==, (DATA_AT + 0x40) << 16 | 0x08);
    g_assert_cmphex(word(data(0), 3), ==, 0x10); /* DS, and nothing behind */
}

static void test_fnstenv_real16(void)
{
    start();
    real_mode(0x100);
    g_assert_cmpint(STEP(0xd9, 0x87, 0x40, 0x00), ==, -1); /* fld dword [bx + 40h] */
    g_assert_cmpint(STEP(0xd9, 0x37), ==, -1);             /* fnstenv [bx] */
    g_assert_cmphex(word(data(0), 1) >> 16, ==, CODE_AT);  /* linear 15:0 */
    g_assert_cmphex(word(data(0), 2), ==, (DATA_AT + 0x40) << 16 | 0x0187);
    g_assert_cmphex(word(data(0), 3) & 0xffff, ==, 0);
}

static void test_fnstenv_real32(void)
{
    start();
    real_mode(0x100);
    cpu.seg[SEG_ES].sel = 0x2000; /* a data pointer above 64 KiB */
    cpu.seg[SEG_ES].base = 0x20000;
    g_assert_cmpint(STEP(0x26, 0xd9, 0x87, 0x40, 0x00), ==, -1);
    g_assert_cmpint(STEP(0x66, 0xd9, 0x37), ==, -1);
    g_assert_cmphex(word(data(0), 3) & 0xffff, ==, CODE_AT);
    g_assert_cmphex(word(data(0), 4), ==, 0x0187);
    g_assert_cmphex(word(data(0), 5) & 0xffff, ==, DATA_AT + 0x40);
    g_assert_cmphex(word(data(0), 6), ==, 0x2000);
}

static void test_fldenv_round_trip(void)
{
    struct fxstate before;

    start();
    STEP(0xd9, 0xe8); /* fld1 */
    STEP(0xd9, 0x43, 0x40);
    before = cpu.fpu;
    g_assert_cmpint(STEP(0xd9, 0x33), ==, -1);
    STEP(0xdb, 0xe3);
    g_assert_cmphex(cpu.fpu.fop, ==, 0);
    g_assert_cmphex(cpu.fpu.fip, ==, 0);
    g_assert_cmpint(STEP(0xd9, 0x23), ==, -1); /* fldenv [ebx] */
    g_assert_cmpmem(&before, offsetof(struct fxstate, mxcsr), &cpu.fpu, offsetof(struct fxstate, mxcsr));
}

static void test_fnsave_frstor(void)
{
    struct fxstate before;

    start();
    STEP(0xd9, 0xe8);
    STEP(0xd9, 0xeb); /* fldpi */
    before = cpu.fpu;
    g_assert_cmpint(STEP(0xdd, 0x33), ==, -1); /* fnsave [ebx] */
    g_assert_cmphex(cpu.fpu.fcw, ==, 0x37f);
    g_assert_cmphex(cpu.fpu.fsw, ==, 0);
    g_assert_cmphex(cpu.fpu.ftw, ==, 0);
    g_assert_cmphex(cpu.fpu.fop, ==, 0);
    /* ST(0) comes first in memory: pi. */
    g_assert_cmphex(word(data(28), 1), ==, 0xc90fdaa2);
    g_assert_cmpint(STEP(0xdd, 0x23), ==, -1); /* frstor [ebx] */
    g_assert_cmpmem(&before, offsetof(struct fxstate, mxcsr), &cpu.fpu, offsetof(struct fxstate, mxcsr));
    g_assert_cmpmem(before.st[0], 10, cpu.fpu.st[0], 10);
    g_assert_cmpmem(before.st[1], 10, cpu.fpu.st[1], 10);
}

static void test_control_keeps_pointers(void)
{
    uint32_t fip;

    start();
    STEP(0xd9, 0xe8);
    fip = cpu.fpu.fip;
    g_assert_cmphex(fip, ==, CODE_AT);
    STEP(0xd9, 0x3b); /* fnstcw [ebx] */
    STEP(0xd9, 0x2b); /* fldcw [ebx] */
    STEP(0xdf, 0xe0); /* fnstsw ax */
    STEP(0xdb, 0xe2); /* fnclex */
    g_assert_cmphex(cpu.fpu.fip, ==, fip);
}

/* --- x87 exceptions --- */

static void divide_by_zero_pending(void)
{
    cpu.fpu.fcw = 0x37b; /* ZM clear */
    STEP(0xd9, 0xe8);
    g_assert_cmpint(STEP(0xd8, 0x73, 0x40), ==, -1); /* fdiv dword [ebx + 40h]: noticed, not raised */
    g_assert_cmphex(cpu.fpu.fsw & 0x8084, ==, 0x8084);
}

static void test_mf_at_next_waiting(void)
{
    uint32_t at;

    start();
    divide_by_zero_pending();
    g_assert_cmpint(STEP(0xdf, 0xe0), ==, -1); /* fnstsw ax does not wait */
    g_assert_cmphex(cpu.gpr[EAX] & 0x84, ==, 0x84);
    at = cpu.eip;
    g_assert_cmpint(STEP(0xd9, 0xe8), ==, EXC_MF);
    g_assert_cmphex(word(guest_mem.ram + cpu.gpr[ESP], 0), ==, at);
    /* The divisor that failed left ST(0) as it was. */
    g_assert_cmphex(word(cpu.fpu.st[0], 1), ==, 0x80000000);
    g_assert_cmphex(word(cpu.fpu.st[0], 2) & 0xffff, ==, 0x3fff);
}

static void test_mf_at_fwait_and_mmx(void)
{
    start();
    divide_by_zero_pending();
    g_assert_cmpint(STEP(0x9b), ==, EXC_MF);
    start();
    divide_by_zero_pending();
    g_assert_cmpint(STEP(0x0f, 0x6f, 0xc1), ==, EXC_MF); /* movq mm0, mm1 */
    start();
    divide_by_zero_pending();
    g_assert_cmpint(STEP(0x0f, 0x28, 0xc1), ==, -1); /* movaps does not look */
}

static void test_fnclex_ends_pending(void)
{
    start();
    divide_by_zero_pending();
    g_assert_cmpint(STEP(0xdb, 0xe2), ==, -1);
    g_assert_cmphex(cpu.fpu.fsw & 0x80ff, ==, 0);
    g_assert_cmpint(STEP(0x9b), ==, -1);
}

static void test_ferr_without_ne(void)
{
    start();
    cpu.cr0 &= ~CR0_NE;
    divide_by_zero_pending();
    g_assert_false(cpu.ferr); /* deferred */
    uint32_t eip = cpu.eip;
    g_assert_cmpint(STEP(0xd9, 0xee), ==, -1); /* fldz: stops */
    g_assert_true(cpu.ferr && cpu.halted && cpu.eip == eip);
    g_assert_cmphex(cpu.fpu.fsw & 0x3800, ==, 0x3800);
    cpu.halted = false;                        /* as an interrupt does */
    g_assert_cmpint(STEP(0xdf, 0xe0), ==, -1); /* fnstsw ax does not wait */
    g_assert_false(cpu.halted);
    g_assert_cmpint(STEP(0xd9, 0xee), ==, -1);
    g_assert_true(cpu.halted);
    cpu.halted = false;
    cpu.ignne = true;                          /* port F0h */
    g_assert_cmpint(STEP(0xd9, 0xee), ==, -1); /* executed, and the error stays */
    g_assert_cmphex(cpu.fpu.fsw & 0xb884, ==, 0xb084);
    g_assert_true(cpu.ferr && !cpu.halted);
    g_assert_cmpint(STEP(0xdb, 0xe2), ==, -1); /* fnclex */
    g_assert_false(cpu.ferr || cpu.ignne);
}

static void test_fldcw_unmasks(void)
{
    start();
    STEP(0xd9, 0xe8);
    STEP(0xd8, 0x73, 0x40); /* masked: the flag is set */
    g_assert_cmphex(cpu.fpu.fsw & 0x8084, ==, 0x0004);
    memcpy(data(0), "\x7b\x03", 2);
    g_assert_cmpint(STEP(0xd9, 0x2b), ==, -1);
    g_assert_cmphex(cpu.fpu.fsw & 0x8084, ==, 0x8084);
    g_assert_cmpint(STEP(0x9b), ==, EXC_MF);
}

static void test_unmasked_overflow_store(void)
{
    start();
    memcpy(data(0x80), "\0\0\0\0\0\0\0\x80\xfe\x7f", 10);
    STEP(0xdb, 0xab, 0x80, 0, 0, 0); /* fld tbyte [ebx + 80h] */
    cpu.fpu.fcw = 0x377;             /* OM clear */
    memset(data(0), 0x55, 8);
    g_assert_cmpint(STEP(0xd9, 0x1b), ==, -1); /* fstp dword [ebx] */
    g_assert_cmphex(word(data(0), 0), ==, 0x55555555);
    g_assert_cmphex(cpu.fpu.ftw, ==, 0x80); /* not popped */
    g_assert_cmphex(cpu.fpu.fsw & 0x8088, ==, 0x8088);
}

static void test_store_fault_changes_nothing(void)
{
    struct fxstate before;

    start();
    STEP(0xd9, 0xe8);
    before = cpu.fpu;
    cpu.seg[SEG_DS].limit = DATA_AT + 3;
    g_assert_cmpint(STEP(0xdd, 0x1b), ==, EXC_GP); /* fstp qword [ebx] */
    g_assert_cmpmem(&before, sizeof(before), &cpu.fpu, sizeof(before));
    g_assert_cmphex(word(data(0), 0), ==, 0);
}

static void test_fld_fst_values(void)
{
    double v;

    start();
    put_double(0, 1.5);
    put_double(8, -0.25);
    STEP(0xdd, 0x03);                                /* fld qword [ebx] */
    STEP(0xdc, 0x43, 0x08);                          /* fadd qword [ebx + 8] */
    g_assert_cmpint(STEP(0xdd, 0x5b, 0x10), ==, -1); /* fstp qword [ebx + 10h] */
    memcpy(&v, data(0x10), 8);
    g_assert_true(v == 1.25);
    g_assert_cmphex(cpu.fpu.ftw, ==, 0);
}

static void test_fcomi_sets_eflags(void)
{
    start();
    STEP(0xd9, 0xee);
    STEP(0xd9, 0xe8); /* ST(0) = 1, ST(1) = 0 */
    cpu.eflags |= FL_ZF | FL_CF | FL_OF;
    g_assert_cmpint(STEP(0xdb, 0xf1), ==, -1); /* fcomi st, st(1): greater */
    g_assert_cmphex(cpu.eflags & (FL_ZF | FL_PF | FL_CF), ==, 0);
    g_assert_cmpint(STEP(0xdb, 0xf0), ==, -1); /* equal */
    g_assert_cmphex(cpu.eflags & (FL_ZF | FL_PF | FL_CF), ==, FL_ZF);
}

/* --- CR0 and CR4 --- */

static void test_ts_em_mp(void)
{
    static const struct {
        uint32_t cr0;
        int x87, fwait, mmx, sse;
    } cases[] = {
        {0, -1, -1, -1, -1},
        {CR0_MP, -1, -1, -1, -1},
        {CR0_TS, EXC_NM, -1, EXC_NM, EXC_NM},
        {CR0_TS | CR0_MP, EXC_NM, EXC_NM, EXC_NM, EXC_NM},
        {CR0_EM, EXC_NM, -1, EXC_UD, EXC_UD},
        {CR0_EM | CR0_TS, EXC_NM, -1, EXC_UD, EXC_UD},
        {CR0_EM | CR0_TS | CR0_MP, EXC_NM, EXC_NM, EXC_UD, EXC_UD},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        start();
        cpu.cr0 |= cases[i].cr0;
        g_assert_cmpint(STEP(0xd9, 0xe8), ==, cases[i].x87);
        start();
        cpu.cr0 |= cases[i].cr0;
        g_assert_cmpint(STEP(0x9b), ==, cases[i].fwait);
        start();
        cpu.cr0 |= cases[i].cr0;
        g_assert_cmpint(STEP(0x0f, 0xef, 0xc0), ==, cases[i].mmx); /* pxor mm0, mm0 */
        start();
        cpu.cr0 |= cases[i].cr0;
        g_assert_cmpint(STEP(0x0f, 0x57, 0xc0), ==, cases[i].sse); /* xorps xmm0, xmm0 */
        start();
        cpu.cr0 |= cases[i].cr0;
        g_assert_cmpint(STEP(0x0f, 0xc3, 0x03), ==, -1); /* movnti [ebx], eax: none of its business */
    }
}

static void test_osfxsr(void)
{
    start();
    cpu.cr4 = 0;
    g_assert_cmpint(STEP(0x0f, 0x57, 0xc0), ==, EXC_UD);
    start();
    cpu.cr4 = 0;
    g_assert_cmpint(STEP(0x0f, 0xef, 0xc0), ==, -1);
    start();
    cpu.cr4 = 0;
    g_assert_cmpint(STEP(0x0f, 0xae, 0x13), ==, EXC_UD); /* ldmxcsr [ebx] */
}

static void test_fxsave_without_osfxsr(void)
{
    start();
    cpu.cr4 = 0;
    memset(data(0), 0x55, 512);
    memset(cpu.fpu.xmm, 0xaa, 128);
    g_assert_cmpint(STEP(0x0f, 0xae, 0x03), ==, -1);
    g_assert_cmphex(word(data(0), 0), ==, 0x037f);
    g_assert_cmphex(word(data(160), 0), ==, 0x55555555); /* XMM0 */
    g_assert_cmphex(word(data(24), 0), ==, 0x55555555);  /* MXCSR */
    g_assert_cmphex(word(data(32), 0), ==, 0);           /* ST(0) */
}

static void test_fxsave_layout(void)
{
    start();
    memset(data(0), 0x55, 512);
    memset(cpu.fpu.xmm, 0xaa, 128);
    STEP(0xd9, 0x43, 0x40);
    cpu.eip = CODE_AT;
    g_assert_cmpint(STEP(0x0f, 0xae, 0x03), ==, -1);
    g_assert_cmphex(word(data(0), 1) & 0xff, ==, 0x80); /* abridged tag: R7 */
    g_assert_cmphex(word(data(0), 2), ==, CODE_AT);
    g_assert_cmphex(word(data(0), 3) & 0xffff, ==, 0x08);
    g_assert_cmphex(word(data(0), 4), ==, DATA_AT + 0x40);
    g_assert_cmphex(word(data(24), 0), ==, 0x1f80);
    g_assert_cmphex(word(data(28), 0), ==, 0xffff); /* what LDMXCSR takes */
    g_assert_cmphex(word(data(160), 0), ==, 0xaaaaaaaa);
    g_assert_cmphex(word(data(288), 0), ==, 0x55555555); /* XMM8: not ours to write */
}

static void test_fx_alignment(void)
{
    start();
    cpu.gpr[EBX] += 8;
    g_assert_cmpint(STEP(0x0f, 0xae, 0x03), ==, EXC_GP);
    start();
    cpu.gpr[EBX] += 8;
    g_assert_cmpint(STEP(0x0f, 0xae, 0x0b), ==, EXC_GP);
}

static void test_fxrstor(void)
{
    struct fxstate image = {.fcw = 0x37f,
                            .fsw = 0x3800,
                            .ftw = 0x80,
                            .fop = 0x123,
                            .fip = 0x1234,
                            .fcs = 8,
                            .fdp = 0x5678,
                            .fds = 0x10,
                            .mxcsr = 0x3f80};

    start();
    memset(image.xmm[7], 0x77, 16);
    memcpy(data(0), &image, sizeof(image));
    g_assert_cmpint(STEP(0x0f, 0xae, 0x0b), ==, -1);
    g_assert_cmphex(cpu.fpu.fsw, ==, 0x3800);
    g_assert_cmphex(cpu.fpu.ftw, ==, 0x80);
    g_assert_cmphex(cpu.fpu.fip, ==, 0x1234);
    g_assert_cmphex(cpu.fpu.fdp, ==, 0x5678);
    g_assert_cmphex(cpu.fpu.fop, ==, 0x123);
    g_assert_cmphex(cpu.fpu.mxcsr, ==, 0x3f80);
    g_assert_cmpmem(cpu.fpu.xmm[7], 16, image.xmm[7], 16);
    image.mxcsr = 0x10000;
    image.fcw = 0x27f;
    memcpy(data(0), &image, sizeof(image));
    g_assert_cmpint(STEP(0x0f, 0xae, 0x0b), ==, EXC_GP);
    g_assert_cmphex(cpu.fpu.fcw, ==, 0x37f);
}

/* --- SSE --- */

static void test_ldmxcsr_reserved(void)
{
    start();
    memcpy(data(0), "\x80\x1f\x01\x00", 4);
    g_assert_cmpint(STEP(0x0f, 0xae, 0x13), ==, EXC_GP);
    g_assert_cmphex(cpu.fpu.mxcsr, ==, 0x1f80);
    start();
    memcpy(data(0), "\xbf\x9f\x00\x00", 4);
    g_assert_cmpint(STEP(0x0f, 0xae, 0x13), ==, -1);
    g_assert_cmphex(cpu.fpu.mxcsr, ==, 0x9fbf);
    g_assert_cmpint(STEP(0x0f, 0xae, 0x5b, 0x04), ==, -1); /* stmxcsr [ebx + 4] */
    g_assert_cmphex(word(data(4), 0), ==, 0x9fbf);
}

static void unmasked_divide(bool osxmmexcpt, int vector)
{
    static const float one[4] = {1, 1, 1, 1};

    start();
    if (!osxmmexcpt)
        cpu.cr4 &= ~CR4_OSXMMEXCPT;
    cpu.fpu.mxcsr = 0x1d80; /* ZM clear */
    memcpy(cpu.fpu.xmm[0], one, 16);
    memset(cpu.fpu.xmm[1], 0, 16);
    g_assert_cmpint(STEP(0x0f, 0x5e, 0xc1), ==, vector); /* divps xmm0, xmm1 */
    g_assert_cmpmem(cpu.fpu.xmm[0], 16, one, 16);
    g_assert_cmphex(cpu.fpu.mxcsr, ==, 0x1d84);
}

static void test_simd_exception(void)
{
    unmasked_divide(true, EXC_XM);
    unmasked_divide(false, EXC_UD);
}

static void test_simd_masked_sets_flag(void)
{
    static const float one[4] = {1, 1, 1, 1};

    start();
    memcpy(cpu.fpu.xmm[0], one, 16);
    memset(cpu.fpu.xmm[1], 0, 16);
    g_assert_cmpint(STEP(0xf3, 0x0f, 0x5e, 0xc1), ==, -1); /* divss */
    g_assert_cmphex(word(cpu.fpu.xmm[0], 0), ==, 0x7f800000);
    g_assert_cmphex(word(cpu.fpu.xmm[0], 1), ==, 0x3f800000);
    g_assert_cmphex(cpu.fpu.mxcsr, ==, 0x1f84);
}

static void test_unmasked_exact_denormal(void)
{
    start();
    cpu.fpu.mxcsr = 0x1780;                                    /* UM clear */
    memcpy(cpu.fpu.xmm[0], "\0\0\x80\0", 4);                   /* smallest normal */
    memcpy(cpu.fpu.xmm[1], "\0\0\0\x3f", 4);                   /* 0.5 */
    g_assert_cmpint(STEP(0xf3, 0x0f, 0x59, 0xc1), ==, EXC_XM); /* mulss: tiny but exact */
    g_assert_cmphex(cpu.fpu.mxcsr & 0x10, ==, 0x10);
    g_assert_cmphex(word(cpu.fpu.xmm[0], 0), ==, 0x00800000);
}

static void test_unmasked_exact_overflow(void)
{
    start();
    cpu.fpu.mxcsr = 0x1b80;                                    /* OM clear */
    memcpy(cpu.fpu.xmm[0], "\xff\xff\x7f\x7f", 4);             /* the largest number */
    memcpy(cpu.fpu.xmm[1], "\0\0\0\x40", 4);                   /* 2.0 */
    g_assert_cmpint(STEP(0xf3, 0x0f, 0x59, 0xc1), ==, EXC_XM); /* mulss: no bit is lost, so no PE */
    g_assert_cmphex(cpu.fpu.mxcsr & 0x3f, ==, 0x08);
}

static void test_alignment(void)
{
    start();
    cpu.gpr[EBX] += 4;
    g_assert_cmpint(STEP(0x0f, 0x28, 0x03), ==, EXC_GP); /* movaps xmm0, [ebx] */
    start();
    cpu.gpr[EBX] += 4;
    g_assert_cmpint(STEP(0x0f, 0x10, 0x03), ==, -1); /* movups */
    start();
    cpu.gpr[EBX] += 4;
    g_assert_cmpint(STEP(0x66, 0x0f, 0xef, 0x03), ==, EXC_GP); /* pxor xmm0, [ebx] */
}

static void test_gpr_operands(void)
{
    start();
    cpu.gpr[ESI] = 0x12345678;
    g_assert_cmpint(STEP(0x66, 0x0f, 0x6e, 0xce), ==, -1); /* movd xmm1, esi */
    g_assert_cmphex(word(cpu.fpu.xmm[1], 0), ==, 0x12345678);
    g_assert_cmphex(word(cpu.fpu.xmm[1], 1), ==, 0);
    g_assert_cmpint(STEP(0x66, 0x0f, 0xc5, 0xf9, 0x01), ==, -1); /* pextrw edi, xmm1, 1 */
    g_assert_cmphex(cpu.gpr[EDI], ==, 0x1234);
    memset(cpu.fpu.xmm[2], 0x80, 16);
    g_assert_cmpint(STEP(0x66, 0x0f, 0xd7, 0xea), ==, -1); /* pmovmskb ebp, xmm2 */
    g_assert_cmphex(cpu.gpr[EBP], ==, 0xffff);
    cpu.gpr[EDX] = 7;
    g_assert_cmpint(STEP(0xf2, 0x0f, 0x2a, 0xda), ==, -1); /* cvtsi2sd xmm3, edx */
    g_assert_cmphex(word(cpu.fpu.xmm[3], 1), ==, 0x401c0000);
    g_assert_cmpint(STEP(0xf2, 0x0f, 0x2d, 0xcb), ==, -1); /* cvtsd2si ecx, xmm3 */
    g_assert_cmphex(cpu.gpr[ECX], ==, 7);
}

static void test_compare_sets_eflags(void)
{
    start();
    memcpy(cpu.fpu.xmm[0], "\0\0\x80\x3f", 4); /* 1.0 against 0.0 */
    memset(cpu.fpu.xmm[1], 0, 16);
    cpu.eflags |= FL_ARITH;
    g_assert_cmpint(STEP(0x0f, 0x2e, 0xc1), ==, -1); /* ucomiss xmm0, xmm1 */
    g_assert_cmphex(cpu.eflags & FL_ARITH, ==, 0);
    g_assert_cmpint(STEP(0x0f, 0x2e, 0xc8), ==, -1); /* the other way: below */
    g_assert_cmphex(cpu.eflags & FL_ARITH, ==, FL_CF);
}

static void test_maskmovdqu(void)
{
    start();
    memset(data(0), 0x11, 16);
    memset(cpu.fpu.xmm[0], 0x22, 16);
    memset(cpu.fpu.xmm[1], 0, 16);
    cpu.fpu.xmm[1][3] = 0x80;
    cpu.fpu.xmm[1][4] = 0x7f;
    cpu.gpr[EDI] = DATA_AT;
    g_assert_cmpint(STEP(0x66, 0x0f, 0xf7, 0xc1), ==, -1);
    g_assert_cmphex(word(data(0), 0), ==, 0x22111111);
    g_assert_cmphex(word(data(0), 1), ==, 0x11111111);
}

/* --- MMX --- */

static void test_mmx_enters(void)
{
    start();
    STEP(0xd9, 0xe8); /* TOP = 7 */
    cpu.gpr[EAX] = 0xcafebabe;
    g_assert_cmpint(STEP(0x0f, 0x6e, 0xc8), ==, -1); /* movd mm1, eax */
    g_assert_cmphex(cpu.fpu.fsw & 0x3800, ==, 0);
    g_assert_cmphex(cpu.fpu.ftw, ==, 0xff);
    g_assert_cmphex(word(cpu.fpu.st[1], 0), ==, 0xcafebabe);
    g_assert_cmphex(word(cpu.fpu.st[1], 2) & 0xffff, ==, 0xffff);
    g_assert_cmphex(word(cpu.fpu.st[7], 1), ==, 0x80000000); /* R7 still holds 1.0 */
    g_assert_cmpint(STEP(0x0f, 0x77), ==, -1);               /* emms */
    g_assert_cmphex(cpu.fpu.ftw, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    hostcpu_assume(&(struct hostcpu){.x87_store_probes = true, .unaligned16_ac = true}); /* one expectation anywhere */
    g_test_add_func("/interp_fpu/fnstenv_protected32", test_fnstenv_protected32);
    g_test_add_func("/interp_fpu/fnstenv_masks_exceptions", test_fnstenv_masks_exceptions);
    g_test_add_func("/interp_fpu/fnstenv_protected16", test_fnstenv_protected16);
    g_test_add_func("/interp_fpu/fnstenv_real16", test_fnstenv_real16);
    g_test_add_func("/interp_fpu/fnstenv_real32", test_fnstenv_real32);
    g_test_add_func("/interp_fpu/fldenv_round_trip", test_fldenv_round_trip);
    g_test_add_func("/interp_fpu/fnsave_frstor", test_fnsave_frstor);
    g_test_add_func("/interp_fpu/control_keeps_pointers", test_control_keeps_pointers);
    g_test_add_func("/interp_fpu/mf_at_next_waiting", test_mf_at_next_waiting);
    g_test_add_func("/interp_fpu/mf_at_fwait_and_mmx", test_mf_at_fwait_and_mmx);
    g_test_add_func("/interp_fpu/fnclex_ends_pending", test_fnclex_ends_pending);
    g_test_add_func("/interp_fpu/ferr_without_ne", test_ferr_without_ne);
    g_test_add_func("/interp_fpu/fldcw_unmasks", test_fldcw_unmasks);
    g_test_add_func("/interp_fpu/unmasked_overflow_store", test_unmasked_overflow_store);
    g_test_add_func("/interp_fpu/store_fault_changes_nothing", test_store_fault_changes_nothing);
    g_test_add_func("/interp_fpu/fld_fst_values", test_fld_fst_values);
    g_test_add_func("/interp_fpu/fcomi_sets_eflags", test_fcomi_sets_eflags);
    g_test_add_func("/interp_fpu/ts_em_mp", test_ts_em_mp);
    g_test_add_func("/interp_fpu/osfxsr", test_osfxsr);
    g_test_add_func("/interp_fpu/fxsave_without_osfxsr", test_fxsave_without_osfxsr);
    g_test_add_func("/interp_fpu/fxsave_layout", test_fxsave_layout);
    g_test_add_func("/interp_fpu/fx_alignment", test_fx_alignment);
    g_test_add_func("/interp_fpu/fxrstor", test_fxrstor);
    g_test_add_func("/interp_fpu/ldmxcsr_reserved", test_ldmxcsr_reserved);
    g_test_add_func("/interp_fpu/simd_exception", test_simd_exception);
    g_test_add_func("/interp_fpu/simd_masked_sets_flag", test_simd_masked_sets_flag);
    g_test_add_func("/interp_fpu/unmasked_exact_denormal", test_unmasked_exact_denormal);
    g_test_add_func("/interp_fpu/unmasked_exact_overflow", test_unmasked_exact_overflow);
    g_test_add_func("/interp_fpu/alignment", test_alignment);
    g_test_add_func("/interp_fpu/gpr_operands", test_gpr_operands);
    g_test_add_func("/interp_fpu/compare_sets_eflags", test_compare_sets_eflags);
    g_test_add_func("/interp_fpu/maskmovdqu", test_maskmovdqu);
    g_test_add_func("/interp_fpu/mmx_enters", test_mmx_enters);
    return g_test_run();
}

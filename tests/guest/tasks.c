/* Hardware tasks: switches by JMP, CALL, INT and IRET, task gates, 16- and 32-bit TSS, busy bits, CR3, LDT, T bit,
 * double fault by task gate. Intel SDM vol. 3A, chapter 7. */
#include "guest.h"

enum {
    SEL_A = GDT_FREE,
    SEL_B = GDT_FREE + 8,
    SEL_16 = GDT_FREE + 16,
    SEL_GATE = GDT_FREE + 24,
    SEL_DF = GDT_FREE + 32,
    SEL_GATE3 = GDT_FREE + 40,
    SEL_LDT = GDT_FREE + 48,
    SEL_BAD = GDT_FREE + 56,
    SEL_DATA16 = GDT_FREE + 64,
};
_Static_assert(SEL_A == 0x50 && SEL_B == 0x58 && SEL_16 == 0x60 && SEL_GATE == 0x68 && SEL_GATE3 == 0x78,
               "selectors in the snippets");

struct tss16 {
    uint16_t link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
};

static struct tss tss_a, tss_df;
static struct tss16 tss_16;
static uint8_t stack_a[8192], stack_df[8192];
static uint32_t pd[1024] __attribute__((aligned(4096)));
volatile uint32_t seen[16];

static void tss_fill(struct tss *t, const void *eip, const void *stack, size_t size)
{
    memset(t, 0, sizeof *t);
    t->eip = (uint32_t)eip;
    t->cs = KCODE;
    t->ds = t->es = t->fs = t->gs = t->ss = t->ss0 = KDATA;
    t->esp = t->esp0 = (uint32_t)stack + size;
    t->eflags = 2;
    t->cr3 = (uint32_t)pd;
    t->iomap = sizeof *t;
}

static bool busy(unsigned sel)
{
    return gdt[sel / 8] >> 41 & 1;
}

static void tss_put(unsigned sel, const void *t, size_t size, unsigned type)
{
    gdt[sel / 8] = desc_make((uint32_t)t, size - 1, type);
}

/* Task A writes down what it sees and comes back by IRET or JMP, as asked. */
__asm__(".pushsection .text\n"
        "task_a_call:\n"
        "1: str %eax\n movl %eax, seen\n pushfl\n popl seen+4\n movl %esp, seen+8\n movl %ecx, seen+12\n"
        " movl %cr0, %eax\n movl %eax, seen+16\n movl %cr3, %eax\n movl %eax, seen+20\n"
        " incl seen+24\n incl %ecx\n iret\n jmp 1b\n"
        "task_a_jmp:\n"
        "1: incl seen+24\n pushfl\n popl seen+4\n ljmp $0x48, $0\n jmp 1b\n"
        "task_int:\n"
        "1: incl seen+24\n movl %esp, seen+8\n movl (%esp), %eax\n movl %eax, seen+28\n iret\n jmp 1b\n"
        "task_df:\n"
        "1: popl seen+28\n incl seen+24\n str %eax\n movl %eax, seen\n iret\n jmp 1b\n"
        ".popsection\n");
extern char task_a_call[], task_a_jmp[], task_int[], task_df[];

static void test_call(void)
{
    tss_fill(&tss_a, task_a_call, stack_a, sizeof stack_a);
    tss_a.ecx = 100;
    tss_put(SEL_A, &tss_a, sizeof tss_a, D_TSS32);
    memset((void *)seen, 0, sizeof seen);
    write_cr0(read_cr0() & ~CR0_TS);
    uint32_t ebx = 0x1234, ecx = 0x5678;
    for (unsigned i = 0; i < 20; i++)
        __asm__ volatile("lcall $0x50, $0" : "+b"(ebx), "+c"(ecx) : : "memory");
    check_equal(seen[6], 20, "call: task entered each time");
    check_equal(seen[0], SEL_A, "call: TR");
    check(seen[1] & FL_NT, "call: NT set in the new task");
    check_equal(seen[2], (uint32_t)stack_a + sizeof stack_a, "call: its own stack");
    check_equal(seen[3], 119, "call: registers kept between visits");
    check(seen[4] & CR0_TS, "call: CR0.TS set");
    check(ebx == 0x1234 && ecx == 0x5678, "call: the caller's registers come back");
    check_equal(tss_a.link, TSS_SEL, "call: back link");
    check(busy(TSS_SEL) && !busy(SEL_A), "iret: busy bits after the return");
    check(!(read_eflags() & FL_NT) && !(tss_a.eflags & FL_NT), "iret: NT cleared in the task left");
    write_cr0(read_cr0() & ~CR0_TS);
    /* Through a task gate; the offset means nothing. */
    gdt[SEL_GATE / 8] = gate_make(SEL_A, 0, D_TASK_GATE, 0);
    __asm__ volatile("lcall $0x68, $0x1234567" : : : "memory", "ecx");
    check_equal(seen[6], 21, "call: through a task gate");
}

static void test_jmp(void)
{
    tss_fill(&tss_a, task_a_jmp, stack_a, sizeof stack_a);
    tss_put(SEL_A, &tss_a, sizeof tss_a, D_TSS32);
    seen[6] = 0;
    uint32_t esi = 77;
    for (unsigned i = 0; i < 20; i++)
        __asm__ volatile("ljmp $0x50, $0" : "+S"(esi) : : "memory");
    check(seen[6] == 20 && esi == 77, "jmp: there and back 20 times");
    check(!(seen[1] & FL_NT), "jmp: NT stays clear");
    check(busy(TSS_SEL) && !busy(SEL_A), "jmp: the task left is not busy");
    check(tss.esi == 77 && tss.cs == KCODE, "jmp: the state is saved in the old TSS");
}

static void test_faults(void)
{
    struct state s;
    SNIPPET(code_jmp_a, "ljmp $0x50, $0");
    SNIPPET(code_call_gate3, "lcall $0x78, $0");
    SNIPPET(code_jmp_self, "ljmp $0x48, $0");
    SNIPPET(code_iret_nt, "pushfl\n orl $0x4000, (%esp)\n popfl\n iret");

    tss_put(SEL_A, &tss_a, sizeof tss_a, D_TSS32 | 2);
    state_init(&s, 0, code_jmp_a);
    run_expect(&s, EXC_GP, SEL_A, "fault: busy TSS");
    state_init(&s, 0, code_jmp_self);
    run_expect(&s, EXC_GP, TSS_SEL, "fault: the own TSS");
    tss_put(SEL_A, &tss_a, sizeof tss_a, D_TSS32 & ~0x80);
    state_init(&s, 0, code_jmp_a);
    run_expect(&s, EXC_NP, SEL_A, "fault: TSS not present");
    tss_put(SEL_A, &tss_a, 103, D_TSS32);
    state_init(&s, 0, code_jmp_a);
    run_expect(&s, EXC_TS, SEL_A, "fault: TSS too short");
    tss_put(SEL_A, &tss_a, sizeof tss_a, D_TSS32);
    state_init(&s, 3, code_jmp_a);
    run_expect(&s, EXC_GP, SEL_A, "fault: ring 3 jumps to a ring 0 TSS");
    gdt[SEL_GATE3 / 8] = gate_make(SEL_A, 0, D_TASK_GATE | D_DPL(3), 0) & ~(1ull << 47);
    state_init(&s, 3, code_call_gate3);
    run_expect(&s, EXC_NP, SEL_GATE3, "fault: task gate not present");
    gdt[SEL_GATE3 / 8] = gate_make(KDATA, 0, D_TASK_GATE | D_DPL(3), 0);
    state_init(&s, 3, code_call_gate3);
    run_expect(&s, EXC_GP, KDATA, "fault: task gate to a data segment");
    /* A gate of DPL 3 lets ring 3 through. */
    tss_fill(&tss_a, task_a_call, stack_a, sizeof stack_a);
    gdt[SEL_GATE3 / 8] = gate_make(SEL_A, 0, D_TASK_GATE | D_DPL(3), 0);
    seen[6] = 0;
    state_init(&s, 3, code_call_gate3);
    run_expect(&s, VEC_DONE, 0, "gate: ring 3 to a ring 0 task and back");
    check(seen[6] == 1 && (s.cs & 3) == 3, "gate: the task ran");
    /* IRET with NT and a link to a task that is not busy. */
    uint16_t link = (uint16_t)tss.link;
    tss.link = SEL_A;
    state_init(&s, 0, code_iret_nt);
    run(&s);
    check(s.vector == EXC_TS && s.error == SEL_A, "fault: IRET to a task that is not busy");
    tss.link = link;
}

static void test_int(void)
{
    struct state s;
    SNIPPET(code_int90, "int $0x90\n movl $0x99, %ebp");

    tss_fill(&tss_a, task_int, stack_a, sizeof stack_a);
    tss_put(SEL_A, &tss_a, sizeof tss_a, D_TSS32);
    idt[0x90] = gate_make(SEL_A, 0, D_TASK_GATE | D_DPL(3), 0);
    seen[6] = 0;
    for (unsigned i = 0; i < 5; i++) {
        state_init(&s, 3, code_int90);
        run(&s);
    }
    check(s.vector == VEC_DONE && s.ebp == 0x99, "int: task gate in the IDT from ring 3");
    check_equal(seen[6], 5, "int: task ran");
    check_equal(seen[2], (uint32_t)stack_a + sizeof stack_a, "int: nothing is pushed without an error code");
    /* A fault with an error code: it is pushed on the new task's stack. */
    tss_fill(&tss_a, task_df, stack_a, sizeof stack_a);
    idt[EXC_NP] = gate_make(SEL_A, 0, D_TASK_GATE, 0);
    SNIPPET(code_np, "movl %eax, %ds\n np_after: nop");
    gdt[SEL_BAD / 8] = desc_make(0, 0xfffff, (D_DATA & ~0x80) | D_DPL(3) | D_FLAT);
    seen[6] = 0;
    seen[7] = 0;
    /* The fault would come for ever: the handler's IRET runs the instruction again. Make it present then. */
    tss_a.eip = (uint32_t)task_df;
    state_init(&s, 3, code_np);
    s.eax = SEL_BAD | 3;
    trap_handlers[EXC_NP] = NULL;
    extern char task_np_fix[];
    __asm__(".pushsection .text.snippet,\"ax\"\n"
            "task_np_fix: popl seen+28\n incl seen+24\n orb $0x80, gdt+0x88+5\n iret\n.popsection\n");
    _Static_assert(SEL_BAD == 0x88, "selector above");
    tss_a.eip = (uint32_t)task_np_fix;
    run_expect(&s, VEC_DONE, 0, "fault by task gate: mended and repeated");
    check(seen[6] == 1 && seen[7] == SEL_BAD, "fault by task gate: error code on the task's stack");
    gate_set(EXC_NP, D_INT32);
}

static void test_double_fault(void)
{
    struct state s;
    SNIPPET(code_bad_stack, "movl $0x10, %eax\n nop\n hlt");

    tss_fill(&tss_df, 0, stack_df, sizeof stack_df);
    extern char df_handler[];
    __asm__(".pushsection .text.snippet,\"ax\"\n"
            /* Leaves by a mended TSS: the interrupted state is in the old TSS. */
            "df_handler: popl seen+28\n incl seen+24\n movw tss, %ax\n movl tss+32, %eax\n movl %eax, seen+32\n"
            " movl $df_out, tss+32\n movw $0x08, tss+76\n movw $0x10, tss+80\n movw $0x10, tss+84\n"
            " movw $0x10, tss+72\n movl $ring_stacks+4096, tss+56\n movl $2, tss+36\n iret\n"
            "df_out: int $0x80\n.popsection\n");
    tss_df.eip = (uint32_t)df_handler;
    tss_put(SEL_DF, &tss_df, sizeof tss_df, D_TSS32);
    idt[EXC_DF] = gate_make(SEL_DF, 0, D_TASK_GATE, 0);
    /* #GP from ring 3, whose gate has no usable stack: #TS while delivering #GP is a double fault. */
    uint32_t ss0 = tss.ss0;
    tss.ss0 = 0;
    seen[6] = 0;
    seen[7] = 0x55;
    state_init(&s, 3, code_bad_stack);
    run(&s);
    tss.ss0 = ss0;
    check_equal(s.vector, VEC_DONE, "double fault: task gate with no kernel stack");
    check(seen[6] == 1 && seen[7] == 0, "double fault: error code 0 on the task's stack");
    check(seen[8] == (uint32_t)code_bad_stack + 6, "double fault: EIP of the first fault in the old TSS");
    gate_set(EXC_DF, D_INT32);
}

static void test_cr3_ldt(void)
{
    static uint32_t pd2[1024] __attribute__((aligned(4096)));
    static uint32_t pt2[1024] __attribute__((aligned(4096)));
    static uint64_t ldt[2];
    static uint32_t frames[2][1024] __attribute__((aligned(4096)));

    for (unsigned i = 0; i < 32; i++)
        pd[i] = pd2[i] = i << 22 | 0x87;
    static uint32_t pt[1024] __attribute__((aligned(4096)));
    pt[0] = (uint32_t)frames[0] | 7;
    pt2[0] = (uint32_t)frames[1] | 7;
    pd[256] = (uint32_t)pt | 7;
    pd2[256] = (uint32_t)pt2 | 7;
    frames[0][0] = 0x1111;
    frames[1][0] = 0x2222;
    ldt[1] = desc_make((uint32_t)frames[1], 15, D_DATA | D_32);
    gdt[SEL_LDT / 8] = desc_make((uint32_t)ldt, sizeof ldt - 1, D_LDT);
    extern char task_cr3[];
    __asm__(".pushsection .text.snippet,\"ax\"\n"
            "task_cr3: movl 0x40000000, %eax\n movl %eax, seen\n movl %cr3, %eax\n movl %eax, seen+4\n"
            " sldt %eax\n movl %eax, seen+8\n movl %fs:0, %eax\n movl %eax, seen+12\n"
            " incl seen+24\n iret\n jmp task_cr3\n.popsection\n");
    tss_fill(&tss_a, task_cr3, stack_a, sizeof stack_a);
    tss_a.cr3 = (uint32_t)pd2;
    tss_a.ldt = SEL_LDT;
    tss_a.fs = 0xc;
    tss_put(SEL_A, &tss_a, sizeof tss_a, D_TSS32);
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3((uint32_t)pd);
    tss.cr3 = (uint32_t)pd;
    write_cr0(read_cr0() | CR0_PG);
    seen[6] = 0;
    unsigned wrong = 0;
    for (unsigned i = 0; i < 50; i++) {
        frames[0][0] = 0x1111 + i;
        frames[1][0] = 0x2222 + i;
        __asm__ volatile("lcall $0x50, $0" : : : "memory");
        wrong += seen[0] != 0x2222 + i || seen[1] != (uint32_t)pd2 || seen[3] != 0x2222 + i;
        uint32_t v;
        __asm__ volatile("movl 0x40000000, %0" : "=r"(v) : : "memory");
        wrong += v != 0x1111 + i || read_cr3() != (uint32_t)pd;
    }
    check(wrong == 0 && seen[6] == 50, "cr3: each task sees its own memory");
    check_equal(seen[2] & 0xffff, SEL_LDT, "ldt: loaded from the TSS");
    uint32_t ldtr;
    __asm__ volatile("sldt %0" : "=r"(ldtr));
    check_equal(ldtr & 0xffff, 0, "ldt: the old one comes back");
    write_cr0(read_cr0() & ~CR0_PG);
}

static void test_tbit(void)
{
    struct state s;
    SNIPPET(code_call_a, "lcall $0x50, $0");

    tss_fill(&tss_a, task_a_call, stack_a, sizeof stack_a);
    tss_a.trap = 1;
    tss_put(SEL_A, &tss_a, sizeof tss_a, D_TSS32);
    __asm__ volatile("movl %0, %%dr6" : : "r"(0));
    state_init(&s, 0, code_call_a);
    run_expect(&s, EXC_DB, 0, "t bit: #DB in the new task");
    check(s.eip == (uint32_t)task_a_call, "t bit: before its first instruction");
    uint32_t dr6, tr;
    __asm__ volatile("movl %%dr6, %0" : "=r"(dr6));
    check(dr6 & 0x8000, "t bit: DR6.BT");
    /* We stand in task A: go home. */
    __asm__ volatile("str %0" : "=r"(tr));
    if ((tr & 0xffff) != TSS_SEL) {
        gdt[TSS_SEL / 8] &= ~(2ull << 40);
        __asm__ volatile("ltr %w0" : : "r"(TSS_SEL));
    }
    __asm__ volatile("pushfl; andl $~0x4000, (%%esp); popfl" : : : "memory", "cc");
}

/* The 286's TSS: 16-bit registers; upper halves become undefined, so only lower ones are looked at. */
static void test_16(void)
{
    extern char task16_code[], task16_end[];
    __asm__(".pushsection .text.snippet,\"ax\"\n.code16\n"
            "task16_code: incw 0x100\n movw %ax, 0x102\n str %bx\n movw %bx, 0x104\n pushfw\n popw 0x106\n"
            " incw %ax\n iretw\n jmp task16_code\ntask16_end:\n.code32\n.popsection\n");
    static uint8_t low[4096] __attribute__((aligned(16)));

    memcpy(low, task16_code, (size_t)(task16_end - task16_code));
    /* One small code and data segment over the same bytes. */
    gdt[SEL_B / 8] = desc_make((uint32_t)low, 0xfff, D_CODE);
    gdt[SEL_DATA16 / 8] = desc_make((uint32_t)low, 0xfff, D_DATA);
    tss_16 = (struct tss16){.ip = 0,
                            .flags = 2,
                            .ax = 0x1000,
                            .sp = 0x800,
                            .cs = SEL_B,
                            .ss = SEL_DATA16,
                            .ds = SEL_DATA16,
                            .es = SEL_DATA16,
                            .bp = 0x42};
    tss_put(SEL_16, &tss_16, sizeof tss_16, D_TSS16);
    uint32_t edi = 0x12345678;
    for (unsigned i = 0; i < 10; i++)
        __asm__ volatile("lcall $0x60, $0" : "+D"(edi) : : "memory");
    const uint16_t *words = (const uint16_t *)(low + 0x100);
    check(words[0] == 10 && words[1] == 0x1009, "16-bit: entered ten times, registers kept");
    check(words[2] == SEL_16 && (words[3] & FL_NT), "16-bit: TR and NT");
    check(tss_16.link == TSS_SEL && tss_16.ax == 0x100a && tss_16.bp == 0x42, "16-bit: saved state");
    check(edi == 0x12345678, "16-bit: the 32-bit task's registers come back whole");
    check(busy(TSS_SEL) && !busy(SEL_16), "16-bit: busy bits");
}

void guest_main(void)
{
    for (unsigned i = 0; i < 32; i++)
        pd[i] = i << 22 | 0x87;
    test_call();
    test_jmp();
    test_faults();
    test_int();
    test_double_fault();
    test_16();
    test_tbit();
    test_cr3_ldt();
}

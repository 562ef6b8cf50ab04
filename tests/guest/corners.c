/* Where caches, fast paths and cells meet rules that are seldom asked for: IRET to another segment of the same level,
 * INVLPG of large pages, page tables in ROM, as code, or nowhere, DR7 in a single step, descriptor caches in real mode,
 * the T bit, an IRET that faults in an NMI handler, and what user code may not have.
 */
#include "code.h"

#define TEST 0x40000000u

enum {
    SEL_A = GDT_FREE,
    SEL_X = GDT_FREE + 8,
    SEL_C16 = GDT_FREE + 16,
    SEL_D16 = GDT_FREE + 24,
    SEL_ED = GDT_FREE + 32
};
static uint32_t pd[1024] __attribute__((aligned(4096)));
static uint32_t pt[1024] __attribute__((aligned(4096)));
static uint64_t pdpt[4] __attribute__((aligned(32)));
static uint64_t pae_pd[4][512] __attribute__((aligned(4096)));

/* IRET to another flat code segment of ring 0 */
static void test_iret(void)
{
    unsigned bad = 0;
    gdt[SEL_A / 8] = desc_make(0, 0xfffff, D_CODE | D_FLAT);
    for (unsigned i = 0; i < 20; i++) {
        uint32_t cs;
        __asm__ volatile("pushfl\n pushl $0x50\n pushl $1f\n iret\n1: movl %%cs, %0\n ljmp $0x08, $2f\n2:"
                         : "=r"(cs)
                         :
                         : "memory", "cc");
        bad += (cs & 0xffff) != SEL_A;
    }
    check_equal(bad, 0, "iret: CS is what was popped");
    /* execute-only */
    SNIPPET(code_xo, "movl $20, %ecx\n1: pushfl\n pushl $0x58\n pushl $2f\n iret\n2: ljmp $0x08, $3f\n3: loop 1b\n"
                     "pushfl\n pushl $0x58\n pushl $4f\n iret\n4: movl %cs:0x100000, %eax");
    struct state s;
    gdt[SEL_X / 8] = desc_make(0, 0xfffff, 0x99 | D_FLAT);
    state_init(&s, 0, code_xo);
    run(&s);
    check(s.vector == EXC_GP, "iret: execute-only code cannot be read");
}

/* INVLPG of a large page with code */
#define FR_A 0x2000000u
#define FR_B 0x2400000u
static void test_invlpg(void)
{
    for (unsigned i = 0; i < 32; i++)
        pd[i] = i << 22 | P_PS | P_P | P_W;
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3((uint32_t)pd);
    put_function(FR_A + 0x1000, 1);
    put_function(FR_B + 0x1000, 2);
    pd[TEST >> 22] = FR_A | P_PS | P_P | P_W;
    write_cr0(read_cr0() | CR0_PG);
    bool a = gives(TEST + 0x1000, 1);
    pd[TEST >> 22] = FR_B | P_PS | P_P | P_W;
    invlpg(TEST + 0x5000);
    uint32_t got = call(TEST + 0x1000, 99);
    check(a && got == 2, "invlpg: code in a large page, by another address of it");
    write_cr3(read_cr3());
    got = call(TEST + 0x1000, 99);
    check(got == 2, "cr3: same");
    for (unsigned i = 0; i < 1024; i++)
        pt[i] = (FR_A + i * 4096) | P_P | P_W;
    pd[TEST >> 22] = (uint32_t)pt | P_P | P_W;
    invlpg(TEST);
    got = call(TEST + 0x1000, 99);
    check(got == 1, "invlpg: a large page is split");
    write_cr0(read_cr0() & ~CR0_PG);
}

/* T bit, plain instructions first */
static struct tss tss_a;
static uint8_t stack_a[8192];
__asm__(".pushsection .text\ntask_plain: incl %ebx\n incl %ebx\n movl %ebx, %edx\n incl %edx\n jmp 1f\n1: incl %edx\n "
        "int $0x80\n.popsection\n");
extern char task_plain[];
SNIPPET(code_task, "lcall $0x50, $0");

/* Of the task behind SEL_A, whose T bit is set. */
static void task_make(uint32_t eflags)
{
    memset(&tss_a, 0, sizeof tss_a);
    tss_a.eip = (uint32_t)task_plain;
    tss_a.cs = KCODE;
    tss_a.ds = tss_a.es = tss_a.fs = tss_a.gs = tss_a.ss = tss_a.ss0 = KDATA;
    tss_a.esp = tss_a.esp0 = (uint32_t)stack_a + sizeof stack_a;
    tss_a.eflags = eflags;
    tss_a.iomap = sizeof tss_a;
    tss_a.trap = 1;
    gdt[SEL_A / 8] = desc_make((uint32_t)&tss_a, sizeof tss_a - 1, D_TSS32);
}

/* Our own task again, and no nested one. */
static void task_leave(void)
{
    uint32_t tr;
    __asm__ volatile("str %0" : "=r"(tr));
    if ((tr & 0xffff) != TSS_SEL) {
        gdt[TSS_SEL / 8] &= ~(2ull << 40);
        __asm__ volatile("ltr %w0" : : "r"(TSS_SEL));
    }
    __asm__ volatile("pushfl; andl $~0x4000, (%%esp); popfl" : : : "memory", "cc");
}

static void test_tbit(void)
{
    struct state s;
    for (unsigned i = 0; i < 3; i++) {
        task_make(2);
        __asm__ volatile("movl %0, %%dr6" : : "r"(0));
        state_init(&s, 0, code_task);
        run(&s);
        check(s.vector == EXC_DB && s.eip == (uint32_t)task_plain,
              "t bit: the trap comes before the first instruction");
        task_leave();
    }
}

/* DR7 loaded while single-stepping */
static uint32_t watched[4];
static unsigned dbs;
static uint32_t dr6s[8];
static bool on_db(struct trap *t)
{
    uint32_t d;
    __asm__ volatile("movl %%dr6, %0" : "=r"(d));
    if (dbs < 8)
        dr6s[dbs] = d;
    dbs++;
    if (dbs == 1 && (t->eflags & FL_TF) == 0)
        return true;
    t->eflags &= ~FL_TF;
    __asm__ volatile("movl %0, %%dr6" : : "r"(0));
    return true;
}
static void test_dr7(void)
{
    struct state s;
    /* the first trap comes behind the instruction after POPF: MOV DR7 */
    SNIPPET(code_dr, "movl %edi, %dr0\n pushfl\n orl $0x100, (%esp)\n popfl\n movl %eax, %dr7\n nop\n movl %ecx, "
                     "(%edi)\n nop\n xorl %eax, %eax\n movl %eax, %dr7");
    trap_handlers[EXC_DB] = on_db;
    dbs = 0;
    __asm__ volatile("movl %0, %%dr6" : : "r"(0));
    state_init(&s, 0, code_dr);
    s.edi = (uint32_t)watched;
    s.eax = 0xd0002 | 0x400;
    run(&s);
    check(s.vector == VEC_DONE && dbs == 2 && (dr6s[0] & 0x400f) == 0x4000 && (dr6s[1] & 0x400f) == 1,
          "dr7: loaded in a single step");
    __asm__ volatile("movl %0, %%dr7" : : "r"(0x400));
    trap_handlers[EXC_DB] = NULL;
}

/* page table in shadow RAM that is read-only */
static void test_rom_table(void)
{
    volatile uint32_t *t = (volatile uint32_t *)SHADOW;
    for (unsigned i = 0; i < 32; i++)
        pd[i] = i << 22 | P_PS | P_P | P_W;
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3((uint32_t)pd);
    pam(3);
    for (unsigned i = 0; i < 1024; i++)
        t[i] = 0;
    t[1] = FR_A | P_P | P_W;
    t[2] = FR_A | P_P | P_W;
    pam(1);
    *(volatile uint32_t *)FR_A = 0x12345;
    pd[TEST >> 22] = SHADOW | P_P | P_W;
    write_cr0(read_cr0() | CR0_PG);
    uint32_t v = *(volatile uint32_t *)(TEST + 0x1000);
    *(volatile uint32_t *)(TEST + 0x2000) = 77;
    uint32_t w = *(volatile uint32_t *)FR_A;
    write_cr0(read_cr0() & ~CR0_PG);
    check(v == 0x12345 && w == 77, "rom table: it maps");
    check(t[1] == (FR_A | P_P | P_W) && t[2] == (FR_A | P_P | P_W), "rom table: stays as it is");
    pam(3);
}

/* PTEs as code */
static void test_pte_code(void)
{
    static uint32_t tab[1024] __attribute__((aligned(4096)));
    uint32_t cell;
    /* 03 00 add (%eax),%eax / 23 00 and (%eax),%eax; then 40 inc %eax; 00 c3 add %al,%bl ; c3 ret */
    for (unsigned i = 0; i < 32; i++)
        pd[i] = i << 22 | P_PS | P_P | P_W;
    tab[0] = 0x00400003;
    tab[1] = 0x0000c3c3;
    pd[TEST >> 22] = (uint32_t)tab | P_P | P_W;
    write_cr3((uint32_t)pd);
    write_cr0(read_cr0() | CR0_PG);
    bool before = true;
    uint32_t r = 0;
    for (unsigned i = 0; i < HOT; i++) {
        cell = 0;
        r = (uint32_t)&cell;
        __asm__ volatile("call *%1" : "+a"(r) : "r"((uint32_t)tab) : "ebx", "ecx", "edx", "memory", "cc");
        before &= r == (uint32_t)&cell + 1;
    }
    uint32_t x = *(volatile uint32_t *)TEST;
    (void)x;
    r = (uint32_t)&cell;
    __asm__ volatile("call *%1" : "+a"(r) : "r"((uint32_t)tab) : "ebx", "ecx", "edx", "memory", "cc");
    write_cr0(read_cr0() & ~CR0_PG);
    check(before && tab[0] == 0x00400023 && r == 1, "a PTE that is code: A changes it");
}

/* PAE: a page directory where nothing is; 32-bit: the same */
static void test_nowhere(void)
{
    struct state s;
    SNIPPET(code_read, "movl (%esi), %eax");
    for (unsigned i = 0; i < 64; i++)
        pae_pd[0][i] = i << 21 | P_PS | P_P | P_W | P_U;
    pdpt[0] = (uint32_t)pae_pd[0] | P_P;
    pdpt[1] = 0xd0000000u | P_P;
    write_cr4(read_cr4() | CR4_PAE);
    write_cr3((uint32_t)pdpt);
    write_cr0(read_cr0() | CR0_PG);
    state_init(&s, 0, code_read);
    s.esi = TEST;
    run(&s);
    write_cr0(read_cr0() & ~CR0_PG);
    write_cr4(read_cr4() & ~CR4_PAE);
    check(s.vector == EXC_PF && s.error == 9, "pae: a directory where nothing is reads as ones");
}

/* an expand-down segment that real mode inherits */
#define BLOB 0x8000u
extern char blob[], blob_end[], ed_run[], ed_results[], ed_esp[], ed_idt[], ed_gdt[], ed_ivt[];
__asm__(".pushsection .data.blob,\"aw\"\n.balign 16\nblob:\n"
        "ed_run: pushal\n movl %esp, ed_esp-blob+0x8000\n sidt ed_idt-blob+0x8000\n sgdt ed_gdt-blob+0x8000\n"
        " ljmp $0x60, $(1f-blob)\n.code16\n"
        "1: movw $0x68, %ax\n movw %ax, %ss\n movw %ax, %ds\n movw %ax, %es\n movw %ax, %fs\n movw $0x70, %ax\n movw "
        "%ax, %gs\n"
        " lidtl %cs:(ed_ivt-blob)\n movl %cr0, %eax\n andb $0xfe, %al\n movl %eax, %cr0\n ljmp $0x800, $(2f-blob)\n"
        "2: movw %cs, %ax\n movw %ax, %ds\n movw $0, %ax\n movw %ax, %es\n movw $0x1000, %ax\n movw %ax, %ss\n movl "
        "$0xf000, %esp\n"
        " movw $(ed_gp-blob), %es:(4*13)\n movw %cs, %es:(4*13+2)\n"
        " xorl %edx, %edx\n movw $30, %cx\n"
        "3: xorl %ebx, %ebx\n movb %gs:(0x2000), %al\n movl %ebx, %cs:(ed_results-blob)\n"
        " xorl %ebx, %ebx\n movb %gs:(0x100), %al\n addl %ebx, %edx\n loop 3b\n movl %edx, %cs:(ed_results-blob+4)\n"
        " cli\n lgdtl %cs:(ed_gdt-blob)\n lidtl %cs:(ed_idt-blob)\n movl %cr0, %eax\n orb $1, %al\n movl %eax, %cr0\n"
        " ljmpl $0x08, $(3f-blob+0x8000)\n.code32\n"
        "3: movw $0x10, %ax\n movw %ax, %ds\n movw %ax, %es\n movw %ax, %fs\n movw %ax, %gs\n movw %ax, %ss\n"
        " movl ed_esp-blob+0x8000, %esp\n popal\n ret\n.code16\n"
        "ed_gp: movw %sp, %bp\n movl $1, %ebx\n addw $4, (%bp)\n iretw\n"
        ".balign 4\ned_esp: .long 0\n ed_idt: .space 8\n ed_gdt: .space 8\n ed_ivt: .word 0x3ff\n .long 0\n.balign 4\n "
        "ed_results: .space 32\n"
        ".code32\nblob_end:\n.popsection\n");
static void test_expand_down(void)
{
    memcpy((void *)BLOB, blob, (size_t)(blob_end - blob));
    gdt[SEL_C16 / 8] = desc_make(BLOB, 0xffff, D_CODE);
    gdt[SEL_D16 / 8] = desc_make(BLOB, 0xffff, D_DATA);
    gdt[SEL_ED / 8] = desc_make(BLOB, 0xfff, 0x97);
    __asm__ volatile("call *%0" : : "r"(BLOB + (uint32_t)(ed_run - blob)) : "memory", "cc");
    uint32_t *r = (uint32_t *)(BLOB + (uint32_t)(ed_results - blob));
    check(r[0] == 0 && r[1] == 30, "real mode: an expand-down GS stays one");
}

extern char u_lzcnt[], u_sse[], u_sse_at[], u_pushf[];
__asm__(".pushsection .text.snippet,\"ax\"\n.balign 4096\n.fill 256,1,0x90\n"
        "u_lzcnt: movl $3000000, %ecx\n1: decl %ecx\n jnz 1b\n movl $0x1000, %edx\n .byte 0xf3, 0x0f, 0xbd, 0xc2\n int "
        "$0x80\n"
        "u_sse: movl $3000000, %ecx\n1: decl %ecx\n jnz 1b\n u_sse_at: xorps %xmm0, %xmm0\n nop\n int $0x80\n"
        "u_pushf: movl $3000000, %ecx\n1: decl %ecx\n jnz 1b\n pushfl\n popl %eax\n int $0x80\n"
        ".balign 4096\n.popsection\n");
static uint32_t tabs[32][1024] __attribute__((aligned(4096)));
static void test_user(void)
{
    struct state s;
    for (unsigned i = 0; i < 32; i++) {
        for (unsigned j = 0; j < 1024; j++)
            tabs[i][j] = (i << 22 | j << 12) | 7;
        pd[i] = (uint32_t)tabs[i] | 7;
    }
    write_cr3((uint32_t)pd);
    write_cr0(read_cr0() | CR0_PG);
    for (unsigned i = 0; i < 3; i++) {
        state_init(&s, 3, u_lzcnt);
        s.eflags |= FL_IF;
        run(&s);
        check(s.vector == VEC_DONE && s.eax == 12, "F3 0F BD is BSR where there is no LZCNT");
    }
    write_cr4(read_cr4() & ~CR4_OSFXSR);
    for (unsigned i = 0; i < 3; i++) {
        state_init(&s, 3, u_sse);
        s.eflags |= FL_IF;
        run(&s);
        check(s.vector == EXC_UD && s.eip == (uint32_t)u_sse_at, "sse without OSFXSR: #UD");
    }
    for (unsigned i = 0; i < 3; i++) {
        state_init(&s, 3, u_pushf);
        s.eflags |= FL_IF | 0x1000;
        run(&s);
        check(s.vector == VEC_DONE && (s.eax & 0x3000) == 0x1000, "pushf: IOPL 1");
    }
    write_cr0(read_cr0() & ~CR0_PG);
}
static unsigned irqs;
static bool on_irq(struct trap *t)
{
    irqs++;
    pic_eoi(0);
    return true;
}
static void test_irq_tbit(void)
{
    struct state s;
    pic_init();
    trap_handlers[VEC_IRQ0] = on_irq;
    task_make(2 | FL_IF);
    pic_unmask(0);
    pit_oneshot(100);
    for (volatile unsigned i = 0; i < 3000000; i++)
        continue;
    irqs = 0;
    state_init(&s, 0, code_task);
    run(&s);
    unsigned n = irqs;
    check(s.vector == EXC_DB && s.eip == (uint32_t)task_plain && n == 0, "t bit: before an interrupt that waits");
    task_leave();
    pic_mask(0);
}
static volatile unsigned nmis, at_gp = 99;
static void send_nmi(void)
{
    *(volatile uint32_t *)0xfee00310 = (*(volatile uint32_t *)0xfee00020 >> 24) << 24;
    *(volatile uint32_t *)0xfee00300 = 0x4400;
}
extern char bad_iret[], bad_iret_after[];
static bool on_gp(struct trap *t)
{
    if (t->eip != (uint32_t)bad_iret)
        return false;
    for (volatile unsigned i = 0; i < 100000; i++)
        continue;
    at_gp = nmis;
    t->eip = (uint32_t)bad_iret_after;
    return true;
}
static bool on_nmi(struct trap *t)
{
    if (++nmis > 1)
        return true;
    send_nmi();
    for (volatile unsigned i = 0; i < 1000; i++)
        continue;
    check(nmis == 1, "nmi: blocked in its handler");
    __asm__ volatile("pushfl\n pushl $0\n pushl $0\n .globl bad_iret, bad_iret_after\nbad_iret: iret\nbad_iret_after: "
                     "addl $12, %%esp"
                     :
                     :
                     : "memory", "cc");
    return true;
}
static void test_nmi(void)
{
    trap_handlers[EXC_NMI] = on_nmi;
    trap_handlers[EXC_GP] = on_gp;
    send_nmi();
    for (volatile unsigned i = 0; i < 100000; i++)
        continue;
    check(nmis == 2 && at_gp == 2, "nmi: IRET that faults unblocks");
    trap_handlers[EXC_GP] = NULL;
}

void guest_main(void)
{
    test_iret();
    test_invlpg();
    test_rom_table();
    test_pte_code();
    test_nowhere();
    test_dr7();
    test_expand_down();
    test_tbit();
    test_nmi();
    test_irq_tbit();
    test_user();
}

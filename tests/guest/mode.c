/* Real mode, V86, 16-bit protected mode, far transfers between code sizes, 16-bit addressing.
 * Intel SDM vol. 3A, chapters 9.9 (switching modes), 20 (8086 emulation), 21 (mixing code sizes). */
#include "guest.h"

enum {
    SEL_C16 = GDT_FREE,
    SEL_D16 = GDT_FREE + 8, /* over the blob, ring 0 */
    SEL_U16 = GDT_FREE + 16,
    SEL_UD16 = GDT_FREE + 24, /* 64 KiB at seg64, ring 3 */
};
_Static_assert(SEL_C16 == 0x50 && SEL_D16 == 0x58 && SEL_U16 == 0x60 && SEL_UD16 == 0x68, "in the snippets");

#define BLOB     0x8000u
#define BLOB_SEG "0x800"
static uint8_t seg64[65536 + 16] __attribute__((aligned(16)));

/* Everything here runs at BLOB, in segment 800h: offsets count from blob. */
extern char blob[], blob_end[], blob_results[];
extern char real_run[];
__asm__(
    ".pushsection .data.blob,\"aw\"\n.balign 16\nblob:\n"
    /* From flat 32-bit protected mode to real mode and back. */
    "real_run: pushal\n movl %esp, blob_esp-blob+0x8000\n sidt blob_idt-blob+0x8000\n sgdt blob_gdt-blob+0x8000\n"
    " ljmp $0x50, $(1f-blob)\n"
    ".code16\n"
    "1: movw $0x58, %ax\n movw %ax, %ss\n movw %ax, %ds\n movw %ax, %es\n movw %ax, %fs\n movw %ax, %gs\n"
    /* Unreal: FS keeps a limit of 4 GiB. */
    " movw $0x10, %ax\n movw %ax, %fs\n"
    " lidtl %cs:(blob_ivt-blob)\n"
    " movl %cr0, %eax\n andb $0xfe, %al\n movl %eax, %cr0\n"
    " ljmp $" BLOB_SEG ", $(2f-blob)\n"
    "2: movw %cs, %ax\n movw %ax, %ds\n movw %ax, %es\n movw $0, %ax\n movw %ax, %fs\n movw %ax, %gs\n"
    " movw $0x1000, %ax\n movw %ax, %ss\n movl $0xf000, %esp\n"
    " call real_tests\n"
    " cli\n lgdtl %cs:(blob_gdt-blob)\n lidtl %cs:(blob_idt-blob)\n"
    " movl %cr0, %eax\n orb $1, %al\n movl %eax, %cr0\n"
    " ljmpl $0x08, $(3f-blob+0x8000)\n"
    ".code32\n"
    "3: movw $0x10, %ax\n movw %ax, %ds\n movw %ax, %es\n movw %ax, %fs\n movw %ax, %gs\n movw %ax, %ss\n"
    " movl blob_esp-blob+0x8000, %esp\n popal\n ret\n"
    ".code16\n"
    ".macro R n, reg\n movl \\reg, %cs:(blob_results-blob+4*\\n)\n .endm\n"
    "real_tests:\n"
    /* 0, 1: segment arithmetic */
    " movw $0x2345, %ax\n movw %ax, %es\n movl $0xcafe0001, %es:(0x10)\n"
    " movw $0x2346, %ax\n movw %ax, %es\n movl %es:(0), %eax\n R 0, %eax\n"
    " movw $0x2000, %ax\n movw %ax, %es\n movl %es:(0x3460), %eax\n R 1, %eax\n"
    /* 2: INT and IRET; 3: flags inside; 4: CS:IP pushed */
    " xorw %ax, %ax\n movw %ax, %es\n movw $(real_int-blob), %es:(4*0x60)\n movw %cs, %es:(4*0x60+2)\n"
    " movw $(real_de-blob), %es:(0)\n movw %cs, %es:(2)\n movw $(real_gp-blob), %es:(4*13)\n movw %cs, %es:(4*13+2)\n"
    " xorl %ebx, %ebx\n pushw $0x0203\n popfw\n int $0x60\n"
    "real_after_int: pushfw\n cli\n popw %cx\n movzwl %cx, %ecx\n R 2, %ebx\n R 5, %ecx\n"
    /* 6: BX+SI wraps at 64 KiB; 7: with 32-bit addressing and small registers */
    " movw $0x2000, %ax\n movw %ax, %es\n movl $0x11223344, %es:(0x1)\n"
    " movw $0xffff, %bx\n movw $2, %si\n movl %es:(%bx,%si), %eax\n R 6, %eax\n"
    " movl $1, %ebx\n movl %es:(%ebx), %eax\n R 7, %eax\n"
    /* 8: PUSH wraps from SP = 0 */
    " movw %sp, %bp\n xorw %sp, %sp\n pushw $0x7788\n movzwl %sp, %eax\n movw %bp, %sp\n R 8, %eax\n"
    " movzwl %ss:(0xfffe), %eax\n R 9, %eax\n"
    /* 10, 11: far call and return, with and without parameters */
    " movl $5, %eax\n lcall $" BLOB_SEG ", $(real_far-blob)\n R 10, %eax\n"
    " movw %sp, %bp\n pushw $1\n pushw $2\n lcall *%cs:(real_far_ptr-blob)\n subw %sp, %bp\n movzwl %bp, %eax\n"
    " R 11, %eax\n"
    /* 12: unreal mode */
    " movl $0x2000000, %esi\n movl $0x600df00d, %fs:(%esi)\n movl %fs:(%esi), %eax\n R 12, %eax\n"
    /* 13: 386 instructions in 16-bit code */
    " movl $0x12345678, %eax\n pushal\n popal\n bswap %eax\n movzbl %al, %eax\n shll $20, %eax\n R 13, %eax\n"
    /* 14: REP MOVSB wraps SI; 15: SI after */
    " movw $0x2000, %ax\n movw %ax, %ds\n movw $0x3000, %ax\n movw %ax, %es\n"
    " movb $0xa1, (0xfffe)\n movb $0xa2, (0xffff)\n movb $0xa3, (0)\n movb $0xa4, (1)\n"
    " movl $0x5555fffe, %esi\n movl $0x66660100, %edi\n movl $0x77770004, %ecx\n cld\n rep movsb\n"
    " movl %es:(0x100), %eax\n R 14, %eax\n R 15, %esi\n R 16, %ecx\n"
    " movw %cs, %ax\n movw %ax, %ds\n"
    /* 17: divide error comes as a fault with the address of the DIV; 18: what was there */
    " xorl %ebx, %ebx\n xorw %cx, %cx\n"
    "real_div: divw %cx\n R 17, %ebx\n"
    /* 18: LOOP counts CX or ECX */
    " movl $0x10003, %ecx\n xorl %eax, %eax\n"
    "1: incl %eax\n loop 1b\n R 18, %eax\n R 19, %ecx\n"
    " movl $3, %ecx\n xorl %eax, %eax\n"
    "1: incl %eax\n .byte 0x67, 0xe2, 1b-.-1\n R 20, %eax\n"
    " movl $0x10000, %ecx\n xorl %eax, %eax\n jcxz 1f\n incl %eax\n 1: R 21, %eax\n"
    /* 22: JMP across the end of the segment: IP wraps */
    " movl $0x9090c390, %cs:(0xfff0)\n movl $1, %eax\n movw $0xfff0, %bx\n call *%bx\n movl $2, %eax\n R 22, %eax\n"
    /* 23: SMSW, 24: CS base after a far jump with a 32-bit offset */
    " smsw %ax\n movzwl %ax, %eax\n andl $1, %eax\n R 23, %eax\n"
    " ljmpl $" BLOB_SEG ", $(1f-blob)\n 1: movl $24, %eax\n R 24, %eax\n"
    /* 25, 26: A20 by port 92h */
    " movw $0xffff, %ax\n movw %ax, %es\n xorw %ax, %ax\n movw %ax, %gs\n"
    " movl $0x11111111, %gs:(0x500)\n inb $0x92, %al\n orb $2, %al\n andb $0xfe, %al\n outb %al, $0x92\n"
    " movl %es:(0x510), %ecx\n movl $0x22222222, %es:(0x510)\n movl %gs:(0x500), %edx\n R 25, %edx\n"
    " andb $0xfc, %al\n outb %al, $0x92\n movl %es:(0x510), %edx\n R 26, %edx\n"
    " movl $0x33333333, %es:(0x510)\n movl %gs:(0x500), %edx\n R 27, %edx\n"
    " orb $2, %al\n outb %al, $0x92\n movl %es:(0x510), %edx\n R 28, %edx\n movl %ecx, %es:(0x510)\n"
    /* 29: an access across the end of the segment raises vector 13 */
    " movl $0, %ebx\n movw $0xffff, %si\n"
    "real_cross: movw (%si), %ax\n R 29, %ebx\n"
    " ret\n"
    "real_int: movw %sp, %bp\n pushfw\n popw %cx\n movzwl %cx, %ecx\n R 3, %ecx\n movl (%bp), %ecx\n R 4, %ecx\n"
    " movl $0x60, %ebx\n iretw\n"
    "real_de: movw %sp, %bp\n movl $1, %ebx\n cmpw $(real_div-blob), (%bp)\n jne 1f\n movl $2, %ebx\n"
    "1: addw $2, (%bp)\n iretw\n"
    "real_gp: movw %sp, %bp\n movl $1, %ebx\n cmpw $(real_cross-blob), (%bp)\n jne 1f\n movl $2, %ebx\n"
    "1: addw $2, (%bp)\n iretw\n"
    "real_far: addl $6, %eax\n lretw\n"
    "real_far2: lretw $4\n"
    "real_far_ptr: .word (real_far2-blob), " BLOB_SEG "\n"
    ".balign 4\n"
    "blob_esp: .long 0\n blob_idt: .space 8\n blob_gdt: .space 8\n blob_ivt: .word 0x3ff\n .long 0\n"
    ".balign 4\n blob_results: .space 4*32\n"

    /* V86 programs, entered at their labels with CS = 800h. */
    ".globl v86_cli, v86_sti, v86_pushf, v86_popf, v86_int, v86_iret, v86_hlt, v86_in, v86_lar, v86_movcr,"
    " v86_seg, v86_program, v86_far, v86_cross, v86_smsw, v86_int3\n"
    "v86_cli: cli\n int $0x80\n v86_sti: sti\n int $0x80\n v86_pushf: pushfw\n int $0x80\n"
    "v86_popf: popfw\n int $0x80\n v86_int: int $0x60\n int $0x80\n v86_iret: iretw\n int $0x80\n"
    "v86_hlt: hlt\n int $0x80\n v86_in: inb %dx, %al\n int $0x80\n v86_lar: larw %ax, %ax\n int $0x80\n"
    "v86_movcr: movl %cr0, %eax\n int $0x80\n v86_smsw: smsw %ax\n int $0x80\n v86_int3: int3\n int $0x80\n"
    "v86_seg: movw %ax, %ds\n movl (0), %ebx\n movw %ds, %cx\n int $0x80\n"
    "v86_cross: movw (%si), %ax\n int $0x80\n"
    "v86_far: lcall $" BLOB_SEG ", $(real_far-blob)\n int $0x80\n"
    /* Counts with everything that the monitor must emulate. */
    "v86_program: xorl %eax, %eax\n movw $50, %cx\n"
    "1: cli\n pushfw\n popw %dx\n testw $0x200, %dx\n jnz 9f\n sti\n pushfw\n popw %dx\n testw $0x200, %dx\n jz 9f\n"
    " int $0x21\n pushfw\n popfw\n pushfw\n pushw %cs\n pushw $(2f-blob)\n iretw\n"
    "2: loop 1b\n hlt\n"
    "9: movl $-1, %eax\n hlt\n"
    "v86_int21: addl $3, %eax\n pushfw\n popw %dx\n testw $0x200, %dx\n jnz 9b\n iretw\n"
    ".globl v86_int21\n"
    ".code32\nblob_end:\n.popsection\n");
extern char v86_cli[], v86_sti[], v86_pushf[], v86_popf[], v86_int[], v86_iret[], v86_hlt[], v86_in[], v86_lar[],
    v86_movcr[], v86_seg[], v86_program[], v86_far[], v86_cross[], v86_smsw[], v86_int3[], v86_int21[],
    real_after_int[];

static void test_real(unsigned round)
{
    uint32_t *r = (uint32_t *)(BLOB + (uint32_t)(blob_results - blob));
    uint32_t entry = BLOB + (uint32_t)(real_run - blob);

    memset(r, 0x5a, 4 * 32);
    __asm__ volatile("call *%0" : : "r"(entry) : "memory", "cc");
    static const struct {
        unsigned n;
        uint32_t want;
        const char *name;
    } wants[] = {
        {0, 0xcafe0001, "segments overlap by 16 bytes"},
        {1, 0xcafe0001, "base is selector times 16"},
        {2, 0x60, "INT through the vector table"},
        {6, 0x11223344, "BX+SI wraps"},
        {7, 0x11223344, "32-bit address"},
        {8, 0xfffe, "PUSH at SP = 0 wraps"},
        {9, 0x7788, "PUSH at SP = 0: value"},
        {10, 11, "far call"},
        {11, 0, "far call, RET n"},
        {12, 0x600df00d, "unreal mode: 4 GiB through FS"},
        {13, 0x01200000, "386 instructions"},
        {14, 0xa4a3a2a1, "REP MOVSB wraps SI"},
        {15, 0x55550002, "REP MOVSB: upper half of ESI"},
        {16, 0x77770000, "REP MOVSB: CX"},
        {17, 2, "divide error is a fault"},
        {18, 3, "LOOP counts CX"},
        {19, 0x10000, "LOOP: upper half of ECX"},
        {20, 3, "LOOP with ECX"},
        {21, 0, "JCXZ looks at CX"},
        {22, 2, "code at the end of the segment"},
        {23, 0, "SMSW: PE clear"},
        {24, 24, "far jump with a 32-bit offset"},
        {25, 0x11111111, "A20 on: no alias"},
        {26, 0x11111111, "A20 off: 1 MiB is 0"},
        {27, 0x33333333, "A20 off: writes go to 0"},
        {28, 0x22222222, "A20 on again"},
        {29, 2, "limit: a word across 64 KiB"},
    };
    if (round) {
        unsigned wrong = 0;
        for (unsigned i = 0; i < ARRAY_COUNT(wants); i++)
            wrong += r[wants[i].n] != wants[i].want && wants[i].n != 29;
        wrong += (r[3] & 0x300) != 0;
        check_equal(wrong, 0, round == 1 ? "real mode: a second visit" : "real mode: a third visit");
        return;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(wants); i++)
        if (!check(r[wants[i].n] == wants[i].want, "real mode: %s", wants[i].name))
            print("# got %x, want %x\n", (unsigned)r[wants[i].n], (unsigned)wants[i].want);
    check((r[3] & 0x300) == 0 && (r[5] & 0x200), "real mode: INT clears IF, IRET restores it");
    check_equal(r[4], 0x8000000 | (uint32_t)(real_after_int - blob), "real mode: CS:IP on the stack");
}

/* --- V86 --- */

static void v86_init(struct state *s, const char *code)
{
    *s = (struct state){.eip = (uint32_t)(code - blob),
                        .cs = BLOB >> 4,
                        .ss = 0x3000,
                        .esp = 0xf000,
                        .ds = 0x800,
                        .es = 0x800,
                        .fs = 0x1234,
                        .gs = 0x4321,
                        .eflags = 2 | FL_VM};
}

static void test_v86(void)
{
    struct state s;
    static const struct {
        const char *name, *code;
        unsigned vector0, vector3; /* by IOPL */
    } cases[] = {
        {"cli", v86_cli, EXC_GP, VEC_DONE},     {"sti", v86_sti, EXC_GP, VEC_DONE},
        {"pushf", v86_pushf, EXC_GP, VEC_DONE}, {"popf", v86_popf, EXC_GP, VEC_DONE},
        {"int", v86_int, EXC_GP, 0x60},         {"hlt", v86_hlt, EXC_GP, EXC_GP},
        {"lar", v86_lar, EXC_UD, EXC_UD},       {"mov cr0", v86_movcr, EXC_GP, EXC_GP},
        {"int3", v86_int3, EXC_BP, EXC_BP},
    };

    gate_set(0x60, D_INT32 | D_DPL(3));
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
        for (unsigned iopl = 0; iopl < 4; iopl += 3) {
            uint32_t want = iopl == 3 ? cases[i].vector3 : cases[i].vector0;
            v86_init(&s, cases[i].code);
            s.eflags |= iopl << 12;
            run(&s);
            /* VEC_DONE itself is an INT: with IOPL 0 it is a #GP behind the instruction. */
            bool right = s.vector == want && (s.eflags & FL_VM) && s.cs == BLOB >> 4;
            if (!check(right, "v86: %s with IOPL %u", cases[i].name, iopl))
                print("# vector %u error %x eip %x\n", (unsigned)s.vector, (unsigned)s.error, (unsigned)s.eip);
            if (want == EXC_GP)
                check(s.error == 0 && s.eip == (uint32_t)(cases[i].code - blob), "v86: %s with IOPL %u: fault",
                      cases[i].name, iopl);
        }
    v86_init(&s, v86_seg);
    s.eflags |= FL_IOPL3;
    s.eax = 0x2340;
    *(uint32_t *)0x23400 = 0xfeedface;
    run(&s);
    check(s.vector == VEC_DONE && s.ebx == 0xfeedface && (s.ecx & 0xffff) == 0x2340 && s.ds == 0x2340,
          "v86: segment loads");
    check(s.fs == 0x1234 && s.gs == 0x4321 && s.es == 0x800 && s.ss == 0x3000,
          "v86: segments are saved on the ring 0 stack");
    v86_init(&s, v86_far);
    s.eflags |= FL_IOPL3;
    s.eax = 1;
    run(&s);
    check(s.vector == VEC_DONE && s.eax == 7 && s.esp == 0xf000, "v86: far call and return");
    v86_init(&s, v86_smsw);
    s.eflags |= FL_IOPL3;
    run(&s);
    check(s.vector == VEC_DONE && (s.eax & 1), "v86: SMSW shows PE");
    /* The bitmap rules I/O, whatever the IOPL. */
    v86_init(&s, v86_in);
    s.eflags |= FL_IOPL3;
    s.edx = 0x320;
    run_expect(&s, EXC_GP, 0, "v86: IN without permission, IOPL 3");
    tss.bitmap[0x320 / 8] &= (uint8_t)~1;
    v86_init(&s, v86_in);
    s.eflags |= FL_IOPL3;
    s.edx = 0x320;
    run_expect(&s, VEC_DONE, 0, "v86: IN with permission");
    v86_init(&s, v86_cross);
    s.eflags |= FL_IOPL3;
    s.esi = 0xffff;
    run_expect(&s, EXC_GP, 0, "limit: v86: a word across 64 KiB");
}

/* The monitor: what IOPL 0 traps, emulated. */
static bool v86_vif, v86_stop;
static unsigned v86_traps;
static bool v86_monitor(struct trap *t)
{
    if (!(t->eflags & FL_VM))
        return false;
    uint8_t *ip = (uint8_t *)((t->cs & 0xffff) * 16 + (t->eip & 0xffff));
    uint16_t *sp = (uint16_t *)((t->ss & 0xffff) * 16 + (t->esp & 0xffff));
    v86_traps++;
    switch (*ip) {
    case 0xfa:
        v86_vif = false;
        t->eip++;
        return true;
    case 0xfb:
        v86_vif = true;
        t->eip++;
        return true;
    case 0x9c:
        sp[-1] = (uint16_t)((t->eflags & ~FL_IF) | (v86_vif ? FL_IF : 0));
        t->esp = (t->esp - 2) & 0xffff;
        t->eip++;
        return true;
    case 0x9d:
        v86_vif = sp[0] & FL_IF;
        t->eflags = (t->eflags & ~0x8d5u) | (sp[0] & 0x8d5);
        t->esp = (t->esp + 2) & 0xffff;
        t->eip++;
        return true;
    case 0xcd: {
        const uint16_t *vector = (const uint16_t *)(ip[1] * 4u);
        uint16_t to_ip = vector[0], to_cs = vector[1];
        sp[-1] = (uint16_t)((t->eflags & ~FL_IF) | (v86_vif ? FL_IF : 0));
        sp[-2] = (uint16_t)t->cs;
        sp[-3] = (uint16_t)(t->eip + 2);
        t->esp = (t->esp - 6) & 0xffff;
        v86_vif = false;
        t->cs = to_cs;
        t->eip = to_ip;
        return true;
    }
    case 0xcf:
        t->eip = sp[0];
        t->cs = sp[1];
        v86_vif = sp[2] & FL_IF;
        t->esp = (t->esp + 6) & 0xffff;
        return true;
    default:
        v86_stop = true;
        return false;
    }
}

static void test_v86_monitor(void)
{
    struct state s;
    uint16_t *vectors;
    __asm__ volatile("xorl %0, %0" : "=r"(vectors));

    vectors[0x21 * 2] = (uint16_t)(v86_int21 - blob);
    vectors[0x21 * 2 + 1] = BLOB >> 4;
    trap_handlers[EXC_GP] = v86_monitor;
    v86_init(&s, v86_program);
    run(&s);
    trap_handlers[EXC_GP] = NULL;
    check(v86_stop && s.vector == EXC_GP, "v86: the program comes to its HLT");
    check_equal(s.eax, 150, "v86: program under a monitor");
    check(v86_traps > 50 * 10, "v86: the monitor was asked");
}

/* --- 16-bit protected mode --- */

/* IRET to a 16-bit stack loads SP only: the upper half of ESP is what it was in ring 0. */
static void state_16(struct state *s, unsigned offset)
{
    state_init(s, 3, (void *)offset);
    s->cs = SEL_U16 | 3;
    s->ss = s->ds = s->es = SEL_UD16 | 3;
    s->esp = 0x8000;
}

static uint8_t *emit(uint8_t *p, const void *bytes, size_t n)
{
    memcpy(p, bytes, n);
    return p + n;
}

/* Every ModRM form of 16-bit addressing with random registers: LEA and a load. */
static void test_addressing(void)
{
    struct state s;
    unsigned wrong_lea = 0, wrong_load = 0, wrong_bp = 0, count = 0;

    for (unsigned i = 0; i < sizeof seg64; i++)
        seg64[i] = (uint8_t)(i * 7 + (i >> 8) * 13);
    for (unsigned mod = 0; mod < 3; mod++)
        for (unsigned rm = 0; rm < 8; rm++)
            for (unsigned round = 0; round < 12; round++) {
                uint32_t bx = rnd(), si = rnd(), di = rnd(), bp = rnd(), disp = rnd();
                if (round < 4) { /* near the edges */
                    bx = round & 1 ? 0xffff0000 | 0xffff : 0xffff8000;
                    si = round & 2 ? 1 : 0x8000;
                    di = 0xfffe;
                }
                uint32_t d = mod == 1 ? (uint32_t)(int8_t)disp : mod == 2 || (mod == 0 && rm == 6) ? disp : 0;
                uint32_t base[8] = {bx + si, bx + di, bp + si, bp + di, si, di, mod ? bp : 0, bx};
                uint32_t ea = (base[rm] + d) & 0xffff;
                uint8_t *p = seg64 + 0x100;
                p = emit(p, (uint8_t[]){0x8d, (uint8_t)(mod << 6 | rm)}, 2); /* lea, %ax */
                size_t n = mod == 1 ? 1 : mod == 2 || (mod == 0 && rm == 6) ? 2 : 0;
                p = emit(p, &d, n);
                p = emit(p, (uint8_t[]){0x8a, (uint8_t)(mod << 6 | 1 << 3 | rm)}, 2); /* movb, %cl */
                p = emit(p, &d, n);
                emit(p, (uint8_t[]){0xcd, VEC_DONE}, 2);
                serialize();
                state_16(&s, 0x100);
                s.eax = 0xabcd0000;
                s.ecx = 0;
                s.ebx = bx;
                s.esi = si;
                s.edi = di;
                s.ebp = bp;
                run(&s);
                count++;
                wrong_lea += s.vector != VEC_DONE || s.eax != (0xabcd0000 | ea);
                wrong_load += (s.ecx & 0xff) != seg64[ea];
                wrong_bp += s.ebp != bp || s.ebx != bx;
            }
    check(wrong_lea == 0, "16-bit addressing: LEA of %u forms and values", count);
    check(wrong_load == 0, "16-bit addressing: loads of %u forms and values", count);
    check(wrong_bp == 0, "16-bit addressing: registers kept");
    /* 32-bit addressing in 16-bit code, and 16-bit addressing in 32-bit code. */
    static const uint8_t a32[] = {0x67, 0x8d, 0x84, 0xb3, 4, 3, 2, 1, 0x67, 0x8a, 0x0b, 0xcd, VEC_DONE};
    memcpy(seg64 + 0x100, a32, sizeof a32); /* lea 0x1020304(%ebx,%esi,4), %ax; movb (%ebx), %cl */
    state_16(&s, 0x100);
    s.ebx = 0x1234;
    s.esi = 0x1000;
    run(&s);
    check((s.eax & 0xffff) == ((0x1020304 + 0x1234 + 0x4000) & 0xffff) && (s.ecx & 0xff) == seg64[0x1234],
          "32-bit addressing in 16-bit code");
    SNIPPET(code_a16, "leal -1(%bx,%si), %eax\n leaw 2(%di), %cx");
    state_init(&s, 3, code_a16);
    s.ebx = 0xffff8000;
    s.esi = 0x8000;
    s.edi = 0xffff;
    s.ecx = 0xeeee0000;
    run(&s);
    check(s.eax == 0xffff && s.ecx == 0xeeee0001, "16-bit addressing in 32-bit code");
}

/* 16-bit code in seg64: labels are offsets from code16. */
extern char code16[], code16_end[];
#define AT(sym) ((unsigned)(sym - code16))
__asm__(
    ".pushsection .data.code16,\"aw\"\ncode16:\n.code16\n"
    ".globl c16_calls, c16_far16, c16_to32, c16_enter, c16_loops, c16_push, c16_jcc, c16_string, c16_ret32, c16_ind,"
    " c16_sp, c16_pusha, c16_flags\n"
    "c16_calls: movw $5, %ax\n call 1f\n addw $1, %ax\n int $0x80\n"
    "1: pushw %ax\n call 2f\n popw %bx\n addw %bx, %ax\n ret\n 2: incw %ax\n retw\n"
    "c16_far16: movw $3, %ax\n lcall $0x63, $(far16-code16)\n incw %ax\n ljmp *%cs:(ptr16-code16)\n ud2\n"
    "far16b: int $0x80\n far16: addw $10, %ax\n lret\n"
    "ptr16: .word (far16b-code16), 0x63\n"
    /* 66-prefixed far call to 32-bit code, which comes back by a 32-bit far return. */
    "c16_to32: movl $0x11110000, %eax\n lcalll $0x1b, $target32\n movw $0x99, %bx\n int $0x80\n"
    "c16_enter: movl $0x1234f000, %ebp\n enter $16, $0\n movw %sp, %ax\n leave\n movw %sp, %bx\n"
    " enter $4, $2\n movw %sp, %cx\n leave\n int $0x80\n"
    "c16_loops: movl $0xffff0005, %ecx\n xorl %eax, %eax\n 1: incl %eax\n loop 1b\n movl %ecx, %edx\n int $0x80\n"
    "c16_push: pushw %ds\n pushl %eax\n pushl $-2\n pushw $-3\n movw %sp, %bx\n popw %cx\n popl %edx\n popl %esi\n"
    " popw %es\n int $0x80\n"
    "c16_jcc: xorw %ax, %ax\n jz 1f\n ud2\n .fill 200, 1, 0x90\n 1: .byte 0x0f, 0x84\n .word 2f-.-2\n ud2\n"
    "2: incw %ax\n int $0x80\n"
    "c16_string: movl $0x1111fffc, %esi\n movl $0x2222c000, %edi\n movl $0x33330008, %ecx\n rep movsb\n int $0x80\n"
    /* near call and return with 32-bit operand size */
    "c16_ret32: movl $0, %eax\n calll 1f\n int $0x80\n 1: incl %eax\n movw %sp, %bx\n retl\n"
    "c16_ind: movw $(1f-code16), %bx\n call *%bx\n movl $(2f-code16), %ebx\n jmpl *%ebx\n ud2\n"
    "1: movw $7, %ax\n ret\n 2: int $0x80\n"
    "c16_sp: movl $0xabcd0000, %esp\n pushw $0x1234\n movl %esp, %eax\n popw %bx\n movl %esp, %ecx\n int $0x80\n"
    "c16_pusha: movw $1, %ax\n movw $2, %bx\n pushaw\n movw %sp, %cx\n xorw %ax, %ax\n xorw %bx, %bx\n"
    " movw %sp, %bp\n movw 6(%bp), %dx\n movw %dx, (0x9000)\n popaw\n int $0x80\n"
    /* Flags as results of procedures, which themselves called one that made its near return a far one. */
    "c16_flags: xorw %bx, %bx\n xorw %dx, %dx\n movw $100, %cx\n"
    "1: stc\n call 3f\n adcw $0, %bx\n clc\n call 3f\n adcw $0, %dx\n loop 1b\n int $0x80\n"
    "3: pushf\n call 4f\n xorw %ax, %ax\n popf\n ret\n 4: popw %ax\n pushw %cs\n pushw %ax\n lret\n"
    ".code32\ncode16_end:\n.popsection\n"
    ".pushsection .text.snippet,\"ax\"\n"
    "target32: movl %esp, %ecx\n addl $5, %eax\n lret\n"
    "call16_far: lcall $0x63, $(back32-code16)\n int $0x80\n"
    ".popsection\n"
    ".pushsection .data.code16,\"aw\"\n.code16\nback32: addw $2, %ax\n lretl\n.code32\ncode16_last:\n.popsection\n");
extern char c16_calls[], c16_far16[], c16_to32[], c16_enter[], c16_loops[], c16_push[], c16_jcc[], c16_string[],
    c16_ret32[], c16_ind[], c16_sp[], c16_pusha[], c16_flags[], code16_last[], call16_far[];

static void test_code16(void)
{
    struct state s;

    memcpy(seg64, code16, (size_t)(code16_last - code16));
    state_16(&s, AT(c16_calls));
    run(&s);
    check(s.vector == VEC_DONE && (s.eax & 0xffff) == 12 && (s.esp & 0xffff) == 0x8000, "16-bit: near calls");
    state_16(&s, AT(c16_far16));
    run(&s);
    check(s.vector == VEC_DONE && (s.eax & 0xffff) == 14, "16-bit: far call and far indirect jump");
    state_16(&s, AT(c16_to32));
    run_expect(&s, VEC_DONE, 0, "16-bit: far call to 32-bit code and back");
    check(s.eax == 0x11110005 && (s.ebx & 0xffff) == 0x99 && (s.ecx & 0xffff) == 0x7ff8 && (s.esp & 0xffff) == 0x8000,
          "16-bit: far call to 32-bit code: stack");
    state_16(&s, AT(c16_enter));
    run(&s);
    check(s.vector == VEC_DONE && (s.eax & 0xffff) == 0x7fee && (s.ebx & 0xffff) == 0x8000 &&
              (s.ecx & 0xffff) == 0x7ff6 && s.ebp == 0x1234f000,
          "16-bit: ENTER and LEAVE");
    state_16(&s, AT(c16_loops));
    run(&s);
    check(s.vector == VEC_DONE && s.eax == 5 && s.edx == 0xffff0000, "16-bit: LOOP counts CX");
    state_16(&s, AT(c16_push));
    s.eax = 0x12345678;
    run(&s);
    check(s.vector == VEC_DONE && (s.ebx & 0xffff) == 0x8000 - 12 && (s.ecx & 0xffff) == 0xfffd &&
              s.edx == 0xfffffffe && s.esi == 0x12345678 && s.es == (SEL_UD16 | 3),
          "16-bit: PUSH and POP of both sizes");
    state_16(&s, AT(c16_jcc));
    run(&s);
    check(s.vector == VEC_DONE && (s.eax & 0xffff) == 1, "16-bit: short and near conditional jumps");
    for (unsigned i = 0; i < 4; i++) {
        seg64[0xfffc + i] = (uint8_t)(0x41 + i);
    }
    uint8_t first[4];
    memcpy(first, seg64, 4);
    state_16(&s, AT(c16_string));
    run(&s);
    check(s.vector == VEC_DONE && s.esi == 0x11110004 && s.edi == 0x2222c008 && s.ecx == 0x33330000,
          "16-bit: REP MOVSB: registers wrap");
    check(!memcmp(seg64 + 0xc000, "ABCD", 4) && !memcmp(seg64 + 0xc004, first, 4), "16-bit: REP MOVSB: bytes");
    state_16(&s, AT(c16_ret32));
    run(&s);
    check(s.vector == VEC_DONE && s.eax == 1 && (s.ebx & 0xffff) == 0x7ffc && (s.esp & 0xffff) == 0x8000,
          "16-bit: CALL and RET with 32-bit operands");
    state_16(&s, AT(c16_ind));
    run(&s);
    check(s.vector == VEC_DONE && (s.eax & 0xffff) == 7, "16-bit: indirect call and jump");
    state_16(&s, AT(c16_sp));
    run(&s);
    check(s.vector == VEC_DONE && s.eax == 0xabcdfffe && (s.ebx & 0xffff) == 0x1234 && s.ecx == 0xabcd0000,
          "16-bit: SP wraps, the upper half of ESP stays");
    state_16(&s, AT(c16_pusha));
    run(&s);
    check(s.vector == VEC_DONE && (s.eax & 0xffff) == 1 && (s.ebx & 0xffff) == 2 && (s.esp & 0xffff) == 0x8000 &&
              *(const uint16_t *)(seg64 + 0x9000) == 0x8000,
          "16-bit: PUSHA and POPA");
    state_16(&s, AT(c16_flags));
    run(&s);
    check(s.vector == VEC_DONE && (s.ebx & 0xffff) == 100 && (s.edx & 0xffff) == 0,
          "16-bit: a return keeps flags, also behind a far return from a near call");
    state_init(&s, 3, call16_far);
    s.eax = 1;
    run(&s);
    check(s.vector == VEC_DONE && s.eax == 3, "32-bit: far call to 16-bit code and back");
}

void guest_main(void)
{
    gdt[SEL_C16 / 8] = desc_make(BLOB, 0xffff, D_CODE);
    gdt[SEL_D16 / 8] = desc_make(BLOB, 0xffff, D_DATA);
    gdt[SEL_U16 / 8] = desc_make((uint32_t)seg64, 0xffff, D_CODE | D_DPL(3));
    gdt[SEL_UD16 / 8] = desc_make((uint32_t)seg64, 0xffff, D_DATA | D_DPL(3));
    memcpy((void *)BLOB, blob, (size_t)(blob_end - blob));
    test_code16();
    test_addressing();
    for (unsigned round = 0; round < 3; round++)
        test_real(round);
    test_v86();
    test_v86_monitor();
}

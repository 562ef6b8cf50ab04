/* A kernel to be debugged: every kind of code that an engine treats in a way of its own, round after round, for ever.
 *
 * A round begins at round_begin, with what the debugger has left in the registers and in `knob`. Without "timer" on the
 * command line it is the same sequence of instructions on each run. `bad` counts what the kernel finds wrong itself.
 */
#include "guest.h"

enum { SEL_C16 = GDT_FREE, SEL_D16 = GDT_FREE + 8, SEL_U16 = GDT_FREE + 16, SEL_UD16 = GDT_FREE + 24 };
_Static_assert(SEL_C16 == 0x50 && SEL_D16 == 0x58, "in the blob");

#define BLOB  0x8000u     /* 16-bit code, run at this address */
#define LOST  0x40000000u /* a page that comes and goes */
#define FRAME 0x1800000u

extern char round_begin[], blob[], blob_end[], real_run[], v86_code[];
extern uint32_t round_inputs[10];
uint32_t knob, bad, ticks, faults, steps, rounds;
uint32_t data[2048] __attribute__((aligned(4096)));
static uint8_t from[8192] __attribute__((aligned(4096))), to[8192];
static uint32_t directory[1024] __attribute__((aligned(4096))), table[3][1024] __attribute__((aligned(4096)));
static double numbers[4];

/* --- Assembler --- */

__asm__(".pushsection .text.round,\"ax\"\n.balign 4096\n.globl round_begin, round_inputs\n"
        "round_begin: movl %eax, round_inputs\n movl %ecx, round_inputs+4\n movl %edx, round_inputs+8\n"
        " movl %ebx, round_inputs+12\n movl %ebp, round_inputs+16\n movl %esi, round_inputs+20\n"
        " movl %edi, round_inputs+24\n pushfl\n popl round_inputs+28\n cld\n call one_round\n jmp round_begin\n"
        /* How code learns its address: the callee in this page, and in another. */
        ".globl thunk_user\nthunk_user: pushl %ebx\n call near_thunk\n1: leal (%eax,%ebx), %eax\n call far_thunk\n"
        " subl %ebx, %eax\n popl %ebx\n ret\nnear_thunk: movl (%esp), %ebx\n ret\n"
        ".balign 4096\nfar_thunk: movl (%esp), %ebx\n ret\n"
        /* One instruction in two pages. */
        ".globl crossing\n.balign 4096\n.space 4093-8, 0x90\ncrossing: xorl %ecx, %ecx\n 1: incl %ecx\n"
        " .byte 0x0f, 0x1f, 0x44, 0, 0\n addl $0x11111111, %eax\n cmpl $3, %ecx\n jb 1b\n ret\n"
        /* Steps itself, then has a breakpoint of its own. */
        ".globl stepped\nstepped: pushfl\n orl $0x100, (%esp)\n popfl\n incl %eax\n incl %eax\n pushfl\n"
        " andl $~0x100, (%esp)\n popfl\n incl %eax\n.globl own_break\nown_break: incl %eax\n ret\n"
        ".popsection\n"
        ".pushsection .data.inputs,\"aw\"\nround_inputs: .space 40\n.popsection\n");
extern char own_break[];

__asm__(
    ".pushsection .data.blob,\"aw\"\n.balign 16\nblob:\n"
    "real_run: pushal\n movl %esp, blob_esp-blob+0x8000\n sidt blob_idt-blob+0x8000\n sgdt blob_gdt-blob+0x8000\n"
    " ljmp $0x50, $(1f-blob)\n"
    ".code16\n"
    "1: movw $0x58, %ax\n movw %ax, %ss\n movw %ax, %ds\n movw %ax, %es\n movw %ax, %fs\n movw %ax, %gs\n"
    " lidtl %cs:(blob_ivt-blob)\n movl %cr0, %eax\n andb $0xfe, %al\n movl %eax, %cr0\n"
    " ljmp $0x800, $(2f-blob)\n"
    "2: movw %cs, %ax\n movw %ax, %ds\n movw %ax, %es\n xorw %ax, %ax\n movw %ax, %fs\n movw %ax, %gs\n"
    " movw $0x1000, %ax\n movw %ax, %ss\n movl $0xf000, %esp\n"
    " movw $(real_int-blob), %fs:(4*0x60)\n movw %cs, %fs:(4*0x60+2)\n"
    " movw $7, %cx\n xorl %ebx, %ebx\n1: pushw %cx\n int $0x60\n lcall $0x800, $(real_far-blob)\n popw %cx\n loop 1b\n"
    " movl %ebx, %cs:(blob_result-blob)\n"
    " cli\n lgdtl %cs:(blob_gdt-blob)\n lidtl %cs:(blob_idt-blob)\n"
    " movl %cr0, %eax\n orb $1, %al\n movl %eax, %cr0\n ljmpl $0x08, $(3f-blob+0x8000)\n"
    ".code32\n"
    "3: movw $0x10, %ax\n movw %ax, %ds\n movw %ax, %es\n movw %ax, %fs\n movw %ax, %gs\n movw %ax, %ss\n"
    " movl blob_esp-blob+0x8000, %esp\n popal\n ret\n"
    ".code16\n"
    "real_int: addl $3, %ebx\n iretw\nreal_far: addl $5, %ebx\n lretw\n"
    ".globl v86_code\nv86_code: movw $20, %cx\n1: addw %cx, (0x100)\n pushw %cx\n call 2f\n popw %cx\n loop 1b\n int "
    "$0x80\n"
    "2: incw (0x102)\n ret\n"
    ".balign 4\nblob_esp: .long 0\nblob_result: .long 0\n blob_idt: .space 8\n blob_gdt: .space 8\n"
    " blob_ivt: .word 0x3ff\n .long 0\n.code32\nblob_end:\n.popsection\n");
extern uint32_t blob_result;

/* Ring 3, in a page of its own: nothing in it must keep it from running directly. */
extern char user_code[];
__asm__(".pushsection .text.user,\"ax\"\n.balign 4096\n.globl user_code\n"
        "user_code: movl $200, %ecx\n1: imull $1664525, %eax\n addl $1013904223, %eax\n movl %eax, (%edi)\n"
        " xorl %eax, 4(%edi)\n pushl %eax\n call 2f\n addl $4, %esp\n testl $63, %ecx\n jnz 3f\n"
        " movb $1, 8(%edi)\n3: decl %ecx\n jnz 1b\n int $0x80\n"
        "2: incl 12(%edi)\n movl 4(%esp), %edx\n ret\n.balign 4096\n.popsection\n");

/* --- Pieces of a round --- */

static bool on_fault(struct trap *t)
{
    uint32_t at = read_cr2();
    if ((at & ~0xfffu) != LOST || table[2][0])
        return false;
    table[2][0] = FRAME | 7;
    faults++;
    return true;
}

static bool on_db(struct trap *t)
{
    uint32_t zero = 0;
    steps++;
    if (t->eip == (uint32_t)own_break) {
        __asm__ volatile("movl %0, %%dr7" : : "r"(0x400));
        t->eflags |= FL_RF;
    }
    __asm__ volatile("movl %0, %%dr6" : : "r"(zero));
    return true;
}

static bool on_tick(struct trap *t)
{
    ticks++;
    pic_eoi(0);
    return true;
}

__attribute__((noinline)) static uint32_t compute(uint32_t x, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned k = (x >> 7) & 2047;
        switch (x & 7) {
        case 0:
            data[k] += x;
            break;
        case 1:
            data[k] ^= x << 3;
            break;
        case 2:
            x -= data[k];
            break;
        case 3:
            data[k]++;
            x = x * 5 + 1;
            break;
        case 4:
            *((uint8_t *)data + (x >> 19)) = (uint8_t)i;
            break;
        case 5:
            x ^= *(uint32_t *)((uint8_t *)data + ((x >> 12) & 8187)); /* across pages too */
            break;
        default:
            x = (x >> 3 | x << 29) + i;
        }
        x = x * 1664525 + 1013904223;
    }
    return x;
}

__attribute__((noinline)) static uint32_t recurse(uint32_t x, unsigned n)
{
    return n ? recurse(x * 3 + n, n - 1) + (x & 1) : x;
}

static void strings(uint32_t x)
{
    uint32_t n = x & 4095, c = n;
    void *s = from + (x >> 12 & 2047), *d = to + (x >> 20 & 2047);
    __asm__ volatile("rep movsb" : "+S"(s), "+D"(d), "+c"(c) : : "memory");
    s = from;
    d = to;
    c = n / 4;
    __asm__ volatile("rep stosl" : "+D"(s), "+c"(c) : "a"(x) : "memory");
    s = from;
    c = 512;
    __asm__ volatile("repe cmpsb" : "+S"(s), "+D"(d), "+c"(c) : : "memory", "cc");
    data[1] += c;
    d = to;
    c = 300;
    __asm__ volatile("repne scasb" : "+D"(d), "+c"(c) : "a"(x) : "memory", "cc");
    data[2] += c;
}

/* Code that is written before it runs. */
static uint8_t patched[64] __attribute__((aligned(64)));
static uint32_t self_changing(uint32_t x)
{
    static const uint8_t code[] = {0xb8, 0, 0, 0, 0, 0x05, 1, 0, 0, 0, 0xc3}; /* mov, add, ret */
    uint32_t sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        memcpy(patched, code, sizeof code);
        memcpy(patched + 1, &x, 4);
        uint32_t got = ((uint32_t(*)(void))patched)();
        bad += got != x + 1;
        sum += got;
        x += 77;
    }
    return sum;
}

static void floating(uint32_t x)
{
    uint32_t saved = x | 1;
    uint8_t *n = (uint8_t *)numbers;
    __asm__ volatile("fninit\n fildl %1\n fld1\n faddp\n fstl %0\n fmull %0\n fsqrt\n fistpl %1"
                     : "+m"(numbers[0]), "+m"(saved));
    data[5] ^= saved;
    __asm__ volatile("movd %1, %%xmm0\n pshufd $0, %%xmm0, %%xmm1\n paddd %%xmm0, %%xmm1\n movdqu %%xmm1, (%0)"
                     :
                     : "r"(n + 8), "r"(x)
                     : "memory");
}

static void other_modes(bool timer)
{
    struct state s;
    state_init(&s, 3, user_code);
    s.edi = (uint32_t)(data + 1000);
    s.eax = knob;
    s.eflags |= FL_IF; /* or it would not run directly */
    run(&s);
    bad += s.vector != VEC_DONE || s.ecx != 0;

    s = (struct state){.eip = (uint32_t)(v86_code - blob),
                       .cs = BLOB >> 4,
                       .ss = 0x3000,
                       .esp = 0xf000,
                       .ds = 0x2000,
                       .es = 0x2000,
                       .eflags = 2 | FL_VM | FL_IOPL3 | (timer ? FL_IF : 0)};
    run(&s);
    bad += s.vector != VEC_DONE;

    /* 16 bits, protected, ring 3: the same code. */
    s = (struct state){.eip = (uint32_t)(v86_code - blob),
                       .cs = SEL_U16 | 3,
                       .ss = SEL_UD16 | 3,
                       .esp = 0xe000,
                       .ds = SEL_UD16 | 3,
                       .es = UDATA,
                       .fs = UDATA,
                       .gs = UDATA,
                       .eflags = 2};
    run(&s);
    bad += s.vector != VEC_DONE;

    uint32_t entry = BLOB + (uint32_t)(real_run - blob), flags;
    __asm__ volatile("pushfl\n popl %0\n cli" : "=r"(flags) : : "memory");
    write_cr0(read_cr0() & ~CR0_PG);
    __asm__ volatile("call *%0" : : "r"(entry) : "memory", "cc");
    write_cr0(read_cr0() | CR0_PG);
    __asm__ volatile("pushl %0\n popfl" : : "r"(flags) : "memory", "cc");
    bad += *(uint32_t *)(BLOB + ((uint32_t)&blob_result - (uint32_t)blob)) != 7 * 8;
}

void one_round(void);
void one_round(void)
{
    static bool timer;
    uint32_t x = knob, thunk;
    if (!rounds)
        timer = string_has(guest_cmdline, "timer");
    for (unsigned i = 0; i < 8; i++)
        x = x * 31 + (i < 7 ? round_inputs[i] : round_inputs[i] & 0xcd5); /* no IF */
    x += rounds++;
    x = compute(x, 200 + (knob & 255));
    data[0] += recurse(x, 5 + (x & 15));
    strings(x);
    data[3] ^= self_changing(x);
    floating(x);
    __asm__ volatile("call thunk_user" : "=a"(thunk) : "0"(x) : "ecx", "edx", "memory", "cc");
    data[4] += thunk;
    __asm__ volatile("call crossing" : "=a"(thunk) : "0"(x) : "ecx", "memory", "cc");
    bad += thunk != x + 0x33333333;
    *(volatile uint32_t *)(LOST + (x & 0xffc)) += x;
    table[2][0] = 0;
    invlpg(LOST);
    uint32_t before = steps;
    __asm__ volatile("movl %0, %%dr0\n movl %1, %%dr7" : : "r"(own_break), "r"(0x402));
    __asm__ volatile("call stepped" : "=a"(thunk) : "0"(x) : "memory", "cc");
    bad += thunk != x + 4 || steps < before + 5;
    other_modes(timer);
    if (timer) {
        __asm__ volatile("sti\n hlt\n");
    }
}

void guest_main(void)
{
    bool timer = string_has(guest_cmdline, "timer");
    for (unsigned i = 0; i < 1024; i++) {
        table[0][i] = i << 12 | 7 | 0x100;
        table[1][i] = (1024 + i) << 12 | 7;
        directory[i] = i < 2 ? (uint32_t)table[i] | 7 : i < 16 ? i << 22 | 0x87 : 0;
    }
    directory[LOST >> 22] = (uint32_t)table[2] | 7;
    memcpy((void *)BLOB, blob, (size_t)(blob_end - blob));
    gdt[SEL_C16 / 8] = desc_make(BLOB, 0xffff, D_CODE);
    gdt[SEL_D16 / 8] = desc_make(BLOB, 0xffff, D_DATA);
    gdt[SEL_U16 / 8] = desc_make(BLOB, 0xffff, D_CODE | D_DPL(3));
    gdt[SEL_UD16 / 8] = desc_make(0x20000, 0xffff, D_DATA | D_DPL(3));
    trap_handlers[EXC_PF] = on_fault;
    trap_handlers[EXC_DB] = on_db;
    write_cr4(read_cr4() | CR4_PSE | CR4_PGE | CR4_OSFXSR);
    write_cr3((uint32_t)directory);
    write_cr0(read_cr0() | CR0_PG | CR0_WP);
    pic_init();
    if (timer) {
        trap_handlers[VEC_IRQ0] = on_tick;
        pit_periodic(1193);
        pic_unmask(0);
        __asm__ volatile("sti");
    }
    /* The same on each machine. */
    __asm__ volatile("xorl %eax, %eax\n xorl %ecx, %ecx\n xorl %edx, %edx\n xorl %ebx, %ebx\n xorl %ebp, %ebp\n"
                     "xorl %esi, %esi\n xorl %edi, %edi\n jmp round_begin");
}

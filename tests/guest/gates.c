/* Descriptors, gates and stacks that change between two uses: what a processor reads anew each time must not be
 * remembered from the time before. Intel SDM vol. 3A, 3.4.3, 5.8, 6.11, 6.12. */
#include "guest.h"

#define TIMES 4 /* each way is gone so often before something changes */

enum { SEL_A = GDT_FREE, SEL_B = GDT_FREE + 8, SEL_C = GDT_FREE + 16 };

static uint32_t words[8] = {11, 22, 33, 44, 55, 66, 77, 88};

static uint64_t data_at(uint32_t base, uint32_t limit)
{
    return desc_make(base, limit, D_DATA | D_32);
}

/* Loads ES from AX and reads through it; in ring 0, where the kernel itself does so. */
SNIPPET(code_load, "movl %eax, %es\n movl %es:(%esi), %ebx");
SNIPPET(code_pop, "pushl %eax\n popl %fs\n movl %fs:(%esi), %ebx");
/* Flags live across the load. */
SNIPPET(code_flags, "cmpl %ecx, %edx\n movl %eax, %gs\n setc %bl\n movzbl %bl, %ebx\n addl %gs:(%esi), %ebx");

static void load(const char *code, uint16_t sel, uint32_t want, const char *name)
{
    struct state s;
    for (unsigned i = 0; i < TIMES; i++) {
        state_init(&s, 0, code);
        s.eax = sel;
        s.esi = 0;
        s.ecx = 2;
        s.edx = 1;
        run_expect(&s, VEC_DONE, 0, "%s %u", name, i);
        check_equal(s.ebx, want, name);
    }
}

static void load_fails(const char *code, uint16_t sel, uint32_t vector, const char *name)
{
    struct state s;
    state_init(&s, 0, code);
    s.eax = sel;
    s.esi = 0;
    run_expect(&s, vector, vector == VEC_DONE ? 0 : sel & ~3u, "%s", name);
}

static void test_loads(const char *code, uint32_t more, const char *name)
{
    gdt[SEL_A / 8] = data_at((uint32_t)&words[0], 31);
    gdt[SEL_B / 8] = data_at((uint32_t)&words[1], 31);
    load(code, SEL_A, 11 + more, name);
    load(code, SEL_B, 22 + more, "another selector");
    load(code, SEL_A, 11 + more, "the first again");
    gdt[SEL_A / 8] = data_at((uint32_t)&words[2], 31);
    load(code, SEL_A, 33 + more, "another base in memory");
    gdt[SEL_A / 8] = data_at((uint32_t)&words[2], 2);
    struct state s;
    state_init(&s, 0, code);
    s.eax = SEL_A;
    s.esi = 0;
    run_expect(&s, EXC_GP, 0, "%s: a smaller limit in memory", name);
    gdt[SEL_A / 8] = data_at((uint32_t)&words[3], 31) & ~(1ull << 47);
    load_fails(code, SEL_A, EXC_NP, "not present any more");
    gdt[SEL_A / 8] = data_at((uint32_t)&words[3], 31) & ~(1ull << 40);
    load(code, SEL_A, 44 + more, "not accessed any more");
    check(gdt[SEL_A / 8] >> 40 & 1, "%s: accessed bit set anew", name);
    gdt[SEL_A / 8] = desc_make((uint32_t)&words[4], 31, D_CODE | D_32);
    load(code, SEL_A, 55 + more, "readable code in its place");
    gdt[SEL_A / 8] = desc_make((uint32_t)&words[4], 31, D_TSS32);
    load_fails(code, SEL_A, EXC_GP, "a system descriptor in its place");
    /* Entry 32 of the table shares a place with entry 0 of any cache of 32; null stays null. */
    gdt[32] = data_at((uint32_t)&words[5], 31);
    load(code, 32 * 8, 66 + more, "entry 32");
    state_init(&s, 0, code);
    s.eax = 0;
    s.esi = 0;
    run_expect(&s, EXC_GP, 0, "%s: null", name);
    load(code, 32 * 8, 66 + more, "entry 32 after null");
    uint64_t first = gdt[0];
    gdt[0] = data_at((uint32_t)&words[6], 31);
    state_init(&s, 0, code);
    s.eax = 0;
    s.esi = 0;
    run_expect(&s, EXC_GP, 0, "%s: null, with a descriptor in entry 0", name);
    gdt[0] = first;
}

static uint64_t other_gdt[GDT_COUNT] __attribute__((aligned(8)));

static void gdt_load(const uint64_t *table)
{
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) r = {sizeof other_gdt - 1, (uint32_t)table};
    __asm__ volatile("lgdt %0" : : "m"(r));
}

static void test_tables(void)
{
    gdt[SEL_A / 8] = data_at((uint32_t)&words[0], 31);
    load(code_load, SEL_A, 11, "before LGDT");
    memcpy(other_gdt, gdt, sizeof other_gdt);
    other_gdt[SEL_A / 8] = data_at((uint32_t)&words[5], 31);
    gdt_load(other_gdt);
    load(code_load, SEL_A, 66, "after LGDT");
    gdt_load(gdt);
    load(code_load, SEL_A, 11, "after LGDT back");
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) r = {SEL_A - 1, (uint32_t)gdt};
    __asm__ volatile("lgdt %0" : : "m"(r));
    load_fails(code_load, SEL_A, EXC_GP, "beyond the new limit");
    gdt_load(gdt);

    static uint64_t ldt[4];
    ldt[1] = data_at((uint32_t)&words[1], 31);
    gdt[SEL_C / 8] = desc_make((uint32_t)ldt, sizeof ldt - 1, D_LDT);
    __asm__ volatile("lldt %w0" : : "r"(SEL_C));
    load(code_load, 8 | 4, 22, "from the LDT");
    load(code_load, SEL_A, 11, "from the GDT again");
    ldt[1] = data_at((uint32_t)&words[2], 31);
    load(code_load, 8 | 4, 33, "from the LDT, changed");
    __asm__ volatile("lldt %w0" : : "r"(0));
    load_fails(code_load, 8 | 4, EXC_GP, "without LDT");
}

/* --- INT n and IRET --- */

uint32_t seen_esp, seen_eflags, seen_by, seen_frame[5];
extern char handler_a[], handler_b[];
__asm__(".pushsection .text\n"
        "handler_a: movl $1, %ss:seen_by\n jmp 1f\n"
        "handler_b: movl $2, %ss:seen_by\n"
        "1: movl %esp, %ss:seen_esp\n"
        " pushfl\n popl %ss:seen_eflags\n"
        " pushl (%esp)\n popl %ss:seen_frame\n"
        " pushl 4(%esp)\n popl %ss:seen_frame+4\n"
        " pushl 8(%esp)\n popl %ss:seen_frame+8\n"
        " pushl 12(%esp)\n popl %ss:seen_frame+12\n"
        " pushl 16(%esp)\n popl %ss:seen_frame+16\n"
        " iret\n"
        ".popsection\n");
SNIPPET(code_int, "stc\n int $0x81\n code_int_after: movl %esp, %ecx");
extern char code_int_after[];

static void go(unsigned times, uint32_t by, uint32_t esp, bool irq, const char *name)
{
    for (unsigned i = 0; i < times; i++) {
        struct state s;
        state_init(&s, 3, code_int);
        s.eflags |= FL_IF;
        uint32_t user_esp = s.esp;
        seen_by = 0;
        run_expect(&s, VEC_DONE, 0, "int: %s %u", name, i);
        check_equal(seen_by, by, name);
        check_equal(seen_esp, esp - 20, name);
        check(!(seen_eflags & FL_IF) == irq, "int: %s: IF", name);
        check(seen_frame[0] == (uint32_t)code_int_after && seen_frame[1] == UCODE && seen_frame[3] == user_esp &&
                  seen_frame[4] == UDATA,
              "int: %s: frame", name);
        check((seen_frame[2] & (FL_IF | FL_CF)) == (FL_IF | FL_CF), "int: %s: EFLAGS in it", name);
        check(s.ecx == user_esp && (s.eflags & (FL_IF | FL_CF)) == (FL_IF | FL_CF), "int: %s: back", name);
    }
}

static void go_fails(uint32_t vector, uint32_t error, const char *name)
{
    struct state s;
    state_init(&s, 3, code_int);
    run_expect(&s, vector, error, "int: %s", name);
    check(s.cs == UCODE && s.eip == (uint32_t)code_int + 1, "int: %s: at the INT", name);
}

static uint64_t other_idt[256] __attribute__((aligned(8)));

static void test_int(void)
{
    uint32_t esp0 = tss.esp0;
    uint64_t ucode = gdt[UCODE / 8], udata = gdt[UDATA / 8];

    idt[0x81] = gate_make(KCODE, handler_a, D_INT32 | D_DPL(3), 0);
    go(TIMES, 1, esp0, true, "interrupt gate");
    idt[0x81] = gate_make(KCODE, handler_b, D_INT32 | D_DPL(3), 0);
    go(TIMES, 2, esp0, true, "another handler");
    idt[0x81] = gate_make(KCODE, handler_b, D_TRAP32 | D_DPL(3), 0);
    go(TIMES, 2, esp0, false, "trap gate");
    idt[0x91] = gate_make(KCODE, handler_a, D_TRAP32 | D_DPL(3), 0); /* the same place modulo 16 */
    tss.esp0 = esp0 - 512;
    go(TIMES, 2, esp0 - 512, false, "another ESP0");
    tss.esp0 = esp0;
    go(TIMES, 2, esp0, false, "the old ESP0");
    gdt[SEL_B / 8] = gdt[KDATA / 8];
    tss.ss0 = SEL_B;
    go(TIMES, 2, esp0, false, "another SS0");
    tss.ss0 = KDATA;
    go(TIMES, 2, esp0, false, "the old SS0");
    idt[0x81] = gate_make(KCODE, handler_b, D_TRAP32, 0);
    go_fails(EXC_GP, 0x81 * 8 + 2, "DPL 0");
    idt[0x81] = gate_make(KCODE, handler_b, D_TRAP32 | D_DPL(3), 0) & ~(1ull << 47);
    go_fails(EXC_NP, 0x81 * 8 + 2, "not present");
    memcpy(other_idt, idt, sizeof other_idt);
    other_idt[0x81] = gate_make(KCODE, handler_a, D_INT32 | D_DPL(3), 0);
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) r = {sizeof other_idt - 1, (uint32_t)other_idt};
    idt[0x81] = gate_make(KCODE, handler_b, D_INT32 | D_DPL(3), 0);
    go(TIMES, 2, esp0, true, "before LIDT");
    __asm__ volatile("lidt %0" : : "m"(r));
    go(TIMES, 1, esp0, true, "after LIDT");
    idt_load(sizeof idt - 1);
    go(TIMES, 2, esp0, true, "after LIDT back");

    /* The way back. */
    gdt[UCODE / 8] &= ~(1ull << 47);
    struct state s;
    state_init(&s, 3, code_int);
    run_expect(&s, EXC_NP, UCODE & ~3, "iret: user code not present any more");
    gdt[UCODE / 8] = ucode;
    go(TIMES, 2, esp0, true, "user code again");
    gdt[UDATA / 8] &= ~(1ull << 41);
    state_init(&s, 3, code_int);
    run_expect(&s, EXC_GP, UDATA & ~3, "iret: user stack not writable any more");
    gdt[UDATA / 8] = udata;
    go(TIMES, 2, esp0, true, "user stack again");
    for (unsigned i = 0; i < TIMES; i++) {
        state_init(&s, 3, code_int);
        s.fs = i & 1 ? KDATA : UDATA;
        run_expect(&s, VEC_DONE, 0, "iret: FS %u", i);
        check_equal(s.fs, i & 1 ? 0 : UDATA, "iret: an inner FS becomes null, a user's stays");
    }
}

/* --- State of user code that its kernel only now and then looks at: GS, the FPU --- */

/* By ECX: nothing; GS = EDX; the FPU is used; memory is read through GS, into EDI. */
extern char handler_state[];
static int32_t fpu_word = 5;
uint32_t handler_one = 1, handler_sink;
__asm__(".pushsection .text\n"
        "handler_state: cmpl $1, %ecx\n je 1f\n cmpl $2, %ecx\n je 2f\n cmpl $3, %ecx\n je 3f\n iret\n"
        "1: movl %edx, %gs\n iret\n"
        "2: fildl %ss:handler_one\n fistpl %ss:handler_sink\n iret\n"
        "3: movl %gs:0, %edi\n iret\n"
        ".popsection\n");
/* ECX: what to have done last in each of EBP rounds. */
SNIPPET(code_state, "movl %ecx, %edx\n movl %eax, %gs\n fninit\n fildl (%esi)\n"
                    "2: pushl %edx\n"
                    "xorl %ecx, %ecx\n int $0x81\n addl %gs:0, %ebx\n"
                    "movl $1, %ecx\n leal 8(%eax), %edx\n int $0x81\n addl %gs:0, %ebx\n"
                    "movl $2, %ecx\n int $0x81\n fiaddl (%esi)\n"
                    "movl $1, %ecx\n movl %eax, %edx\n int $0x81\n addl %gs:0, %ebx\n"
                    "popl %edx\n movl %edx, %ecx\n int $0x81\n addl %edi, %ebx\n"
                    "decl %ebp\n jnz 2b\n fistpl (%esi)");
/* GS = EAX, then EDX by the kernel. */
SNIPPET(code_other_gs, "movl %eax, %gs\n movl $1, %ecx\n int $0x81\n movl %gs:(%esi), %ebx");

static void state_rounds(unsigned rounds, uint32_t last, const char *name)
{
    struct state s;
    state_init(&s, 3, code_state);
    s.eax = SEL_A | 3;
    s.ebx = 0;
    s.ecx = last;
    s.edi = 0;
    s.esi = (uint32_t)&fpu_word;
    s.ebp = rounds;
    fpu_word = 5;
    run_expect(&s, VEC_DONE, 0, "state: %s", name);
    check_equal(s.ebx, rounds * (11 + 22 + 11 + (last == 3 ? 11 : 0)), name);
    check_equal((uint32_t)fpu_word, 5 * (rounds + 1), name);
}

static void others(void)
{
    struct state s;
    gdt[SEL_C / 8] = desc_make((uint32_t)&words[0], 0xfffff, D_DATA | D_FLAT | D_DPL(3));
    for (unsigned i = 0; i < 3 * TIMES; i++) {
        static const struct {
            uint32_t sel, at, vector;
            const char *name;
        } way[] = {
            {SEL_C | 3, 32, VEC_DONE, "without end"}, {SEL_A | 3, 32, EXC_GP, "too short"}, {0, 0, EXC_GP, "null"}};
        state_init(&s, 3, code_other_gs);
        s.eax = SEL_C | 3;
        s.edx = way[i % 3].sel;
        s.esi = way[i % 3].at;
        run_expect(&s, way[i % 3].vector, 0, "state: GS that the kernel made %s", way[i % 3].name);
    }
}

static void test_state(void)
{
    struct state s;
    __asm__ volatile("clts");
    gdt[SEL_A / 8] = desc_make((uint32_t)&words[0], 31, D_DATA | D_32 | D_DPL(3));
    gdt[SEL_B / 8] = desc_make((uint32_t)&words[1], 31, D_DATA | D_32 | D_DPL(3));
    idt[0x81] = gate_make(KCODE, handler_state, D_INT32 | D_DPL(3), 0);
    state_rounds(TIMES, 0, "GS of user code, which the kernel does not use");
    others();
    state_rounds(100, 2, "the kernel uses the FPU often");
    state_rounds(TIMES, 3, "and GS");
    state_rounds(100, 3, "GS");
    state_rounds(TIMES, 0, "and then does not");
    others();
    state_init(&s, 0, code_flags); /* the kernel reads through GS as user code left it */
    s.eax = SEL_A;
    s.esi = 32;
    run_expect(&s, EXC_GP, 0, "state: beyond its limit");
}

/* --- Back and forth in many modes: each pair of them has its way, whichever comes beside it (gates_modes) --- */

extern char handler_loads[];
__asm__(".pushsection .text\n"
        "handler_loads: pushl %ds\n pushl %es\n pushl %fs\n movl %ss, %eax\n movl %eax, %ds\n movl %eax, %es\n"
        " movl %eax, %fs\n popl %fs\n popl %es\n popl %ds\n iret\n"
        ".popsection\n");
SNIPPET(code_round, "1: int $0x81\n decl %ecx\n jnz 1b");

static void test_modes(void)
{
    gdt[SEL_A / 8] = desc_make((uint32_t)&words[0], 31, D_DATA | D_32 | D_DPL(3));
    gdt[SEL_B / 8] = desc_make((uint32_t)&words[0], 0xfffff, D_DATA | D_FLAT | D_DPL(3));
    idt[0x81] = gate_make(KCODE, handler_loads, D_INT32 | D_DPL(3), 0);
    static const uint16_t shape[] = {UDATA, SEL_A | 3, SEL_B | 3, 0};
    for (unsigned i = 0; i < 64; i++) {
        struct state s;
        state_init(&s, 3, code_round);
        s.ds = shape[i & 3];
        s.es = shape[i >> 2 & 3];
        s.fs = shape[i >> 4];
        s.ecx = 2000;
        run_expect(&s, VEC_DONE, 0, "modes: %u", i);
        check_equal(s.ecx, 0, "modes: rounds");
    }
}

/* Flags that IRET brings: at the same level, and outward. */
SNIPPET(code_iret_same, "pushl %eax\n pushl %cs\n pushl $1f\n iret\n 1: pushfl\n popl %ebx");

static void test_iret_flags(void)
{
    static const uint32_t flags[] = {
        0x2, 0x2 | FL_CF, 0x2 | FL_OF | FL_DF, 0x2 | FL_AC, 0x2 | FL_IOPL3, 0x2 | FL_NT, 0x200002 /* ID */, 0x2};
    for (unsigned i = 0; i < 3 * ARRAY_COUNT(flags); i++) {
        uint32_t f = flags[i % ARRAY_COUNT(flags)];
        struct state s;
        state_init(&s, 0, code_iret_same);
        s.eax = f;
        run_expect(&s, VEC_DONE, 0, "iret: flags %x in ring 0", f);
        check_equal(s.ebx & 0x247fd7, f, "iret: flags in ring 0");
    }
}

/* --- SYSENTER --- */

uint32_t entered[3];
extern char enter_a[], enter_b[];
__asm__(".pushsection .text\n"
        "enter_a: movl $1, entered\n jmp 1f\n"
        "enter_b: movl $2, entered\n"
        "1: movl %esp, entered+4\n pushfl\n popl entered+8\n"
        " movl %eax, %ecx\n movl $sysenter_back, %edx\n sti\n sysexit\n"
        ".popsection\n");
SNIPPET(code_sysenter, "movl %esp, %eax\n stc\n sysenter\n .globl sysenter_back\n sysenter_back: movl %esp, %ecx\n"
                       " movl %cs, %ebx");

static void enter(uint32_t by, uint32_t esp, const char *name)
{
    for (unsigned i = 0; i < TIMES; i++) {
        struct state s;
        state_init(&s, 3, code_sysenter);
        s.eflags |= FL_IF;
        uint32_t user_esp = s.esp;
        run_expect(&s, VEC_DONE, 0, "sysenter: %s %u", name, i);
        check(entered[0] == by && entered[1] == esp && (entered[2] & (FL_CF | FL_IF)) == FL_CF, "sysenter: %s: there",
              name);
        check(s.ecx == user_esp && s.ebx == UCODE && (s.eflags & (FL_CF | FL_IF)) == (FL_CF | FL_IF),
              "sysenter: %s: back", name);
    }
}

static void test_sysenter(void)
{
    if (!(cpuid_edx(1) & 1u << 11))
        return;
    wrmsr(0x174, KCODE);
    wrmsr(0x175, tss.esp0 - 1024);
    wrmsr(0x176, (uint32_t)enter_a);
    enter(1, tss.esp0 - 1024, "first");
    wrmsr(0x176, (uint32_t)enter_b);
    enter(2, tss.esp0 - 1024, "another EIP");
    wrmsr(0x175, tss.esp0 - 2048);
    enter(2, tss.esp0 - 2048, "another ESP");
    wrmsr(0x174, 0);
    struct state s;
    state_init(&s, 3, code_sysenter);
    run_expect(&s, EXC_GP, 0, "sysenter: null CS");
}

/* --- Interrupts of user code that enters the supervisor by itself --- */

/* A handler that returns more often than it was called, as a switch of tasks does. What a translator remembers of
 * earlier calls must not matter. */
volatile uint32_t ticks;
extern char irq_chain[];
__asm__(".pushsection .text\n"
        "irq_chain: pushl %eax\n pushl $1f\n"
        ".rept 60\n pushl $irq_ret\n .endr\n"
        " pushfl\n popfl\n"
        "irq_ret: ret\n"
        "1: incl %ss:ticks\n movb $0x20, %al\n outb %al, $0x20\n popl %eax\n iret\n"
        ".popsection\n");
SNIPPET(code_int_loop, "1: int $0x81\n pushfl\n popl %eax\n cmpl $3, %ss:ticks\n jb 1b");

static void deep(unsigned n, struct state *s);
static void (*volatile deeper)(unsigned n, struct state *s) = deep; /* or it becomes a loop */

static void deep(unsigned n, struct state *s)
{
    if (n) {
        deeper(n - 1, s);
    } else {
        write_cr4(read_cr4() ^ CR4_PGE); /* an occasion to take note of where all stacks are */
        run_expect(s, VEC_DONE, 0, "interrupts of user code: 3 ticks");
    }
    __asm__ volatile("" : : : "memory"); /* no tail call */
}

static void test_interrupted(void)
{
    struct state s;
    idt[0x81] = gate_make(KCODE, handler_a, D_INT32 | D_DPL(3), 0);
    pic_init();
    idt[VEC_IRQ0] = gate_make(KCODE, irq_chain, D_INT32, 0);
    for (unsigned n = 0; n < 40; n += 13) {
        ticks = 0;
        pic_unmask(0);
        pit_periodic(0xffff); /* long enough for some thousand INTs before the first */
        state_init(&s, 3, code_int_loop);
        s.eflags |= FL_IF;
        deep(n, &s);
        pit_stop();
        pic_mask(0);
        check(ticks >= 3, "interrupts of user code: called from %u deep", n);
    }
    idt[0x81] = gate_make(KCODE, handler_b, D_INT32 | D_DPL(3), 0);
}

/* --- Under paging: the tables' and stacks' own pages --- */

static uint32_t directory[1024] __attribute__((aligned(4096))), other_directory[1024] __attribute__((aligned(4096)));
static uint32_t low_table[1024] __attribute__((aligned(4096))), window_a[1024] __attribute__((aligned(4096))),
    window_b[1024] __attribute__((aligned(4096)));
static uint8_t frame_a[4096] __attribute__((aligned(4096))), frame_b[4096] __attribute__((aligned(4096)));
#define PAGED_GDT 0x40000000u

/* The GDT in a page that two address spaces map to different frames. */
static void test_paged(void)
{
    for (unsigned i = 0; i < 1024; i++)
        low_table[i] = i << 12 | 7;
    directory[0] = other_directory[0] = (uint32_t)low_table | 7;
    directory[PAGED_GDT >> 22] = (uint32_t)window_a | 3;
    other_directory[PAGED_GDT >> 22] = (uint32_t)window_b | 3;
    window_a[0] = (uint32_t)frame_a | 3;
    window_b[0] = (uint32_t)frame_b | 3;
    gdt[SEL_A / 8] = data_at((uint32_t)&words[0], 31);
    memcpy(frame_a, gdt, sizeof gdt);
    memcpy(frame_b, gdt, sizeof gdt);
    ((uint64_t *)frame_b)[SEL_A / 8] = data_at((uint32_t)&words[7], 31);
    write_cr3((uint32_t)directory);
    write_cr0(read_cr0() | CR0_PG);
    gdt_load((const uint64_t *)PAGED_GDT);
    load(code_load, SEL_A, 11, "paged GDT");
    for (unsigned i = 0; i < TIMES; i++) {
        write_cr3((uint32_t)other_directory);
        load(code_load, SEL_A, 88, "paged GDT, other address space");
        write_cr3((uint32_t)directory);
        load(code_load, SEL_A, 11, "paged GDT, first address space");
        go(1, 2, tss.esp0, true, "with a GDT that user code cannot read");
    }
    window_a[0] = (uint32_t)frame_b | 3;
    invlpg(PAGED_GDT);
    load(code_load, SEL_A, 88, "paged GDT, remapped");
    gdt_load(gdt);
    write_cr0(read_cr0() & ~CR0_PG);
    load(code_load, SEL_A, 11, "paging off");
}

void guest_main(void)
{
    test_state(); /* first: nothing has used GS yet */
    test_loads(code_load, 0, "mov es");
    test_loads(code_pop, 0, "pop fs");
    test_loads(code_flags, 1, "mov gs with live flags");
    test_tables();
    test_int();
    test_modes();
    test_iret_flags();
    test_sysenter();
    test_interrupted();
    test_paged();
}

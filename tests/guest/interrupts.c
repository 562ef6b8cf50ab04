/* Interrupts and debug exceptions: timer, HLT, shadows, nesting, long instructions, tight loops, single step,
 * breakpoints, INT3, INTO, BOUND. Intel SDM vol. 3A, chapter 6; vol. 3B, chapter 17. */
#include "guest.h"

#define IRQ0   VEC_IRQ0
#define IRQ8   (VEC_IRQ0 + 8)
#define PIT_HZ 1193182u

static volatile uint32_t ticks;

static inline void sti(void)
{
    __asm__ volatile("sti" : : : "memory");
}
static inline void cli(void)
{
    __asm__ volatile("cli" : : : "memory");
}

static uint8_t rtc_read(uint8_t reg)
{
    outb(0x70, reg);
    return inb(0x71);
}
static void rtc_write(uint8_t reg, uint8_t v)
{
    outb(0x70, reg);
    outb(0x71, v);
}

static bool tick(struct trap *t)
{
    ticks++;
    pic_eoi(0);
    return true;
}

static void timer_on(unsigned hz, trap_handler *handler)
{
    trap_handlers[IRQ0] = handler;
    pit_periodic(PIT_HZ / hz);
    pic_unmask(0);
}

static void timer_off(void)
{
    cli();
    pic_mask(0);
    pit_stop();
    /* One may still be pending: take it. */
    trap_handlers[IRQ0] = tick;
    pic_unmask(0);
    sti();
    __asm__ volatile("nop; nop");
    cli();
    pic_mask(0);
}

static uint8_t rtc_second(void)
{
    uint8_t s;
    while (rtc_read(0xa) & 0x80)
        ;
    s = rtc_read(0);
    return s;
}

/* --- The timer against the clock --- */

static void test_rate(void)
{
    uint32_t n = 0;
    bool right = false, tsc_right = true;

    timer_on(1000, tick);
    sti();
    uint8_t s = rtc_second();
    while (rtc_second() == s)
        ;
    /* A busy host stops us for a while, and its ticks come late or in a burst: one good second will do. */
    for (unsigned try = 0; try < 8 && !right; try++) {
        uint32_t from = ticks;
        uint64_t tsc = rdtsc();
        s = rtc_second();
        while (rtc_second() == s)
            ;
        n = ticks - from;
        right = n >= 600 && n <= 1100; /* a busy host also loses ticks */
        tsc_right = tsc_right && rdtsc() - tsc > 1000000;
    }
    timer_off();
    if (!check(right, "timer: ticks of 1 kHz in a second of the RTC"))
        print("# %u ticks\n", (unsigned)n);
    check(tsc_right, "timer: TSC runs");
}

static void test_hlt(void)
{
    ticks = 0;
    timer_on(1000, tick);
    for (unsigned i = 0; i < 50; i++)
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    timer_off();
    check(ticks >= 50, "hlt: wakes on each tick");
    /* With IF = 0 an interrupt waits. */
    ticks = 0;
    timer_on(1000, tick);
    for (volatile unsigned i = 0; i < 3000000; i++)
        ;
    check(ticks == 0, "cli: holds interrupts");
    sti();
    for (unsigned i = 0; i < 100000000 && !ticks; i++)
        __asm__ volatile("" : : : "memory");
    check(ticks > 0, "sti: a waiting interrupt comes");
    timer_off();
    /* Level at the PIC: a masked request is kept. */
    ticks = 0;
    pic_mask(0);
    trap_handlers[IRQ0] = tick;
    pit_oneshot(100);
    for (volatile unsigned i = 0; i < 1000000; i++)
        ;
    sti();
    __asm__ volatile("nop; nop");
    check(ticks == 0, "pic: a masked line is quiet");
    pic_unmask(0);
    for (unsigned i = 0; i < 100000000 && !ticks; i++)
        __asm__ volatile("" : : : "memory");
    cli();
    check(ticks == 1, "pic: and comes when unmasked");
    timer_off();
}

/* --- The shadow of STI: interrupt after the HLT, never before it --- */

extern char shadow_hlt[], shadow_after[];
static volatile unsigned shadow_bad;

static bool shadow_tick(struct trap *t)
{
    ticks++;
    if (t->eip == (uint32_t)shadow_hlt) {
        shadow_bad++;
        t->eip = (uint32_t)shadow_after; /* or it would sleep for ever */
    }
    pic_eoi(0);
    return true;
}

static void test_sti_shadow(void)
{
    uint32_t lost = 0;

    trap_handlers[IRQ0] = shadow_tick;
    pic_unmask(0);
    ticks = 0;
    for (unsigned i = 0; i < 10000; i++) {
        uint32_t before = ticks;
        pit_oneshot(1 + rnd() % 40); /* up to 34 us: before, at and after the HLT */
        for (unsigned j = rnd() % 64; j; j--)
            __asm__ volatile("");
        __asm__ volatile(".pushsection .text.shadow,\"ax\"\n.balign 4\n"
                         "shadow_run: sti\nshadow_hlt: hlt\nshadow_after: cli\n ret\n.popsection\n"
                         "call shadow_run"
                         :
                         :
                         : "memory");
        lost += ticks != before + 1;
    }
    cli();
    timer_off();
    check(shadow_bad == 0, "sti shadow: no interrupt between STI and HLT");
    check(lost == 0, "sti shadow: one wake-up for each of 10000 sleeps");
}

/* --- IRET: an interrupt that waits goes on waiting, until one sets IF --- */

extern char iret_target[];
static uint32_t iret_eip;

static bool iret_tick(struct trap *t)
{
    ticks++;
    iret_eip = t->eip;
    pic_eoi(0);
    return true;
}

/* EAX: the flags to return with. */
__asm__(".pushsection .text.shadow,\"ax\"\n"
        "iret_run: pushl %eax\n pushl %cs\n pushl $iret_target\n iret\n"
        "iret_target: nop\n cli\n ret\n.popsection");
static void iret_to(uint32_t eflags)
{
    __asm__ volatile("call iret_run" : : "a"(eflags) : "memory", "cc");
}

static void test_iret_waiting(void)
{
    ticks = 0;
    trap_handlers[IRQ0] = iret_tick;
    pic_unmask(0);
    cli();
    pit_oneshot(20);
    do
        outb(0x20, 0x0a);
    while (!(inb(0x20) & 1));
    for (unsigned i = 0; i < 20000; i++)
        iret_to(0x2);
    check(ticks == 0, "iret: interrupts stay off, and one waits");
    iret_to(0x202);
    check(ticks == 1 && iret_eip == (uint32_t)iret_target, "iret: sets IF, and what waited comes at once");
    timer_off();
}

extern char ss_after_mov[], ss_after_pop[], ss_loop[];
static bool ss_tick(struct trap *t)
{
    ticks++;
    if (t->eip == (uint32_t)ss_after_mov || t->eip == (uint32_t)ss_after_pop)
        shadow_bad++;
    pic_eoi(0);
    return true;
}

static void test_ss_shadow(void)
{
    shadow_bad = 0;
    ticks = 0;
    timer_on(8000, ss_tick);
    sti();
    for (unsigned i = 0; i < 200; i++)
        __asm__ volatile(".pushsection .text.shadow,\"ax\"\n"
                         "ss_loop: movl $500, %%ecx\n movl $0x10, %%eax\n"
                         "1: movl %%eax, %%ss\nss_after_mov: nop\n"
                         " pushl %%ss\n popl %%ss\nss_after_pop: nop\n loop 1b\n ret\n.popsection\n"
                         "call ss_loop"
                         :
                         :
                         : "eax", "ecx", "memory");
    while (ticks < 3)
        __asm__ volatile("" : : : "memory");
    cli();
    timer_off();
    check(shadow_bad == 0, "mov ss shadow: no interrupt after MOV SS and POP SS");
}

/* --- Nesting --- */

static volatile unsigned nested;
static bool rtc_handler(struct trap *t)
{
    (void)rtc_read(0xc);
    uint32_t from = ticks;
    sti(); /* IRQ 0 has the higher priority: it comes before our EOI */
    for (unsigned i = 0; i < 400000000 && ticks < from + 3; i++)
        __asm__ volatile("" : : : "memory");
    cli();
    if (ticks >= from + 3)
        nested++;
    if (nested >= 10)
        pic_mask(8); /* the next is due already: it would never end */
    pic_eoi(8);
    return true;
}

static volatile unsigned inner_ticks, blocked_bad;
static volatile bool in_tick;
static bool tick_then_rtc(struct trap *t)
{
    ticks++;
    in_tick = true;
    sti(); /* IRQ 8 is lower: it must wait for the EOI */
    /* Not in each: a slow machine must come to the EOI before the next tick. */
    for (volatile unsigned i = ticks % 8 ? 5000 : 0; i < 5000; i++)
        ;
    cli();
    in_tick = false;
    pic_eoi(0);
    return true;
}
static bool rtc_low(struct trap *t)
{
    (void)rtc_read(0xc);
    blocked_bad += in_tick;
    inner_ticks++;
    pic_eoi(8);
    return true;
}

static void test_nested(void)
{
    trap_handlers[IRQ8] = rtc_handler;
    ticks = 0;
    rtc_write(0xa, 0x26); /* 1024 Hz */
    rtc_write(0xb, (uint8_t)(rtc_read(0xb) | 0x40));
    (void)rtc_read(0xc);
    pic_unmask(8);
    timer_on(1000, tick);
    sti();
    while (nested < 10)
        __asm__ volatile("" : : : "memory");
    cli();
    check(nested >= 10, "nested: IRQ 0 interrupts the handler of IRQ 8");
    timer_on(200, tick_then_rtc);
    trap_handlers[IRQ8] = rtc_low;
    pic_unmask(8);
    sti();
    while (inner_ticks < 20)
        __asm__ volatile("" : : : "memory");
    cli();
    check(blocked_bad == 0, "nested: IRQ 8 waits for the EOI of IRQ 0");
    rtc_write(0xb, (uint8_t)(rtc_read(0xb) & ~0x40));
    (void)rtc_read(0xc);
    pic_mask(8);
    timer_off();
}

/* --- Long instructions and tight loops --- */

#define COPY_BYTES (4u << 20)
#define COPY_FROM  0x2000000u
#define COPY_TO    0x3000000u
extern char copy_insn[], copy_insn_back[];
static volatile unsigned copy_inside, copy_bad;

static bool copy_tick(struct trap *t)
{
    ticks++;
    if (t->eip == (uint32_t)copy_insn) {
        uint32_t done = t->edi - COPY_TO;
        copy_inside++;
        copy_bad += t->esi - COPY_FROM != done || done + t->ecx * 4 != COPY_BYTES || done % 4;
    } else if (t->eip == (uint32_t)copy_insn_back) {
        uint32_t done = COPY_TO + COPY_BYTES - 1 - t->edi;
        copy_inside++;
        copy_bad += COPY_FROM + COPY_BYTES - 1 - t->esi != done || done + t->ecx != COPY_BYTES;
    }
    pic_eoi(0);
    return true;
}

static void test_rep(void)
{
    uint32_t *from = (uint32_t *)COPY_FROM, *to = (uint32_t *)COPY_TO;
    unsigned wrong = 0;

    for (unsigned i = 0; i < COPY_BYTES / 4; i++)
        from[i] = i * 2654435761u;
    ticks = 0;
    timer_on(2000, copy_tick);
    sti();
    for (unsigned round = 0; round < 8; round++) {
        uint32_t a = COPY_FROM, b = COPY_TO, c = COPY_BYTES / 4;
        memset(to, 0, COPY_BYTES);
        __asm__ volatile(".pushsection .text.copy,\"ax\"\n"
                         "copy_run: cld\ncopy_insn: rep movsl\n ret\n"
                         "copy_run_back: std\ncopy_insn_back: rep movsb\n cld\n ret\n.popsection\n"
                         "call copy_run"
                         : "+S"(a), "+D"(b), "+c"(c)
                         :
                         : "memory");
        wrong += a != COPY_FROM + COPY_BYTES || b != COPY_TO + COPY_BYTES || c != 0;
        wrong += memcmp(from, to, COPY_BYTES) != 0;
        if (round % 4 == 3) {
            a = COPY_FROM + COPY_BYTES - 1;
            b = COPY_TO + COPY_BYTES - 1;
            c = COPY_BYTES;
            memset(to, 0, COPY_BYTES);
            __asm__ volatile("call copy_run_back" : "+S"(a), "+D"(b), "+c"(c) : : "memory");
            wrong += a != COPY_FROM - 1 || b != COPY_TO - 1 || c != 0 || memcmp(from, to, COPY_BYTES) != 0;
        }
    }
    timer_off();
    print("# %u interrupts inside of REP MOVS\n", copy_inside);
    check(copy_bad == 0, "rep movs: registers fit at an interrupt inside");
    check(wrong == 0, "rep movs: 4 MiB are right after interrupts");
    check(ticks > 0, "rep movs: interrupts came");
}

/* Loops without an end: the handler must come, and leads out. */
static volatile unsigned loop_ticks;
static uint32_t loop_from, loop_to, loop_out;
static bool loop_tick(struct trap *t)
{
    pic_eoi(0);
    if (t->eip >= loop_from && t->eip < loop_to && ++loop_ticks >= 5)
        t->eip = loop_out;
    return true;
}

#define TIGHT(name, body) \
    extern char name[], name##_end[], name##_out[]; \
    __asm__(".pushsection .text.snippet,\"ax\"\n" #name ":\n" body "\n" #name "_end: nop\n" #name \
            "_out: movl %ebx, %esp\n ret\n.popsection\n");
TIGHT(tight_jmp, "jmp tight_jmp")
TIGHT(tight_jmp_far, ".byte 0xe9\n.long -5")
TIGHT(tight_loop, "1: movl $0x7fffffff, %ecx\n 2: loop 2b\n jmp 1b")
TIGHT(tight_dec, "1: movl $-1, %ecx\n 2: decl %ecx\n jnz 2b\n jmp 1b")
TIGHT(tight_spin, "1: cmpl $0, tight_zero\n je 1b")
TIGHT(tight_indirect, "movl $1f, %eax\n 1: jmp *%eax")
TIGHT(tight_ret, "1: pushl $1b\n ret")
TIGHT(tight_two, "1: jmp 2f\n nop\n 2: jmp 1b")
TIGHT(tight_call, "1: call 2f\n 2: addl $4, %esp\n jmp 1b")
TIGHT(tight_pause, "1: pause\n jmp 1b")
TIGHT(tight_lock, "1: lock addl $0, tight_zero\n jmp 1b")
TIGHT(tight_flags, "1: pushfl\n popfl\n jmp 1b")
TIGHT(tight_far, "1: ljmp $0x08, $1b")
uint32_t tight_zero;

static void test_tight(void)
{
    static const struct {
        const char *name, *from, *to, *out;
    } loops[] = {
        {"jmp .", tight_jmp, tight_jmp_end, tight_jmp_out},
        {"jmp . of five bytes", tight_jmp_far, tight_jmp_far_end, tight_jmp_far_out},
        {"loop .", tight_loop, tight_loop_end, tight_loop_out},
        {"dec; jnz", tight_dec, tight_dec_end, tight_dec_out},
        {"wait for memory", tight_spin, tight_spin_end, tight_spin_out},
        {"jmp *eax", tight_indirect, tight_indirect_end, tight_indirect_out},
        {"push; ret", tight_ret, tight_ret_end, tight_ret_out},
        {"two jumps", tight_two, tight_two_end, tight_two_out},
        {"call", tight_call, tight_call_end, tight_call_out},
        {"pause", tight_pause, tight_pause_end, tight_pause_out},
        {"lock add", tight_lock, tight_lock_end, tight_lock_out},
        {"pushf; popf", tight_flags, tight_flags_end, tight_flags_out},
        {"far jump", tight_far, tight_far_end, tight_far_out},
    };

    for (unsigned i = 0; i < ARRAY_COUNT(loops); i++) {
        loop_from = (uint32_t)loops[i].from;
        loop_to = (uint32_t)loops[i].to;
        loop_out = (uint32_t)loops[i].out;
        loop_ticks = 0;
        timer_on(1000, loop_tick);
        /* A loop left in its middle leaves its stack behind; and ring 3 cannot hold interrupts off. */
        __asm__ volatile(
            "movl %%esp, %%ebp\n pushl $1f\n movl %%esp, %%ebx\n sti\n jmp *%0\n 1:\n movl %%ebp, %%esp\n cli"
            :
            : "r"(loops[i].from)
            : "eax", "ebx", "ecx", "edx", "edi", "ebp", "memory", "cc");
        timer_off();
        check(loop_ticks >= 5, "tight loop: %s", loops[i].name);
    }
}

/* In ring 3, where the interrupt changes the stack. */
static bool leave_tick(struct trap *t)
{
    pic_eoi(0);
    return ++ticks < 5;
}

static void test_tight_user(void)
{
    struct state s;

    for (unsigned ring = 1; ring < 4; ring++) {
        ticks = 0;
        timer_on(1000, leave_tick);
        state_init(&s, ring, tight_jmp);
        s.eflags |= FL_IF;
        s.eax = 0x12345678;
        run(&s);
        timer_off();
        check(s.vector == IRQ0 && s.eip == (uint32_t)tight_jmp && (s.cs & 3) == ring && s.eax == 0x12345678,
              "tight loop: ring %u", ring);
    }
}

/* --- Single step --- */

extern const uint32_t step_table[], step_table_end[];
extern char step_code[];
uint32_t step_memory[16];
/* Each S notes where its instruction stands. Straight ahead, with jumps forward. */
__asm__(".macro S insn:vararg\n"
        ".pushsection .rodata.steps,\"a\"\n .long 99f\n .popsection\n 99: \\insn\n .endm\n"
        ".pushsection .rodata.steps,\"a\"\n .globl step_table\n step_table:\n .popsection\n"
        ".pushsection .text.snippet,\"ax\"\n"
        "step_code:\n"
        " S movl $1, %eax\n S movl $2, %ebx\n S addl %ebx, %eax\n S subl $5, %eax\n S incl %ecx\n"
        " S decl %ecx\n S negl %eax\n S notl %eax\n S pushl %eax\n S popl %edx\n"
        " S xorl %esi, %esi\n S leal 4(%eax,%ebx,2), %edi\n S shll $3, %eax\n S shrl %cl, %eax\n"
        " S rorl $7, %ebx\n S imull $3, %ebx, %ebx\n S mull %ebx\n S movl $7, %ecx\n S xorl %edx, %edx\n"
        " S divl %ecx\n S cmpl $3, %eax\n S jmp 1f\n nop\n nop\n"
        "1: S xorl %eax, %eax\n S jz 2f\n ud2\n"
        "2: S jnz 2b\n S call step_function\n"
        ".pushsection .text.steps,\"ax\"\n"
        "step_function: S nop\n S pushl %ebp\n S movl %esp, %ebp\n S leave\n S ret\n"
        ".popsection\n"
        "S pushl $step_memory\n S popl %esi\n S movl $step_memory+32, %edi\n"
        " S movl %eax, (%esi)\n S addl $5, (%esi)\n S xchgl %eax, (%esi)\n S lock incl (%esi)\n"
        " S movsl\n S stosl\n S lodsl\n S cmpsb\n S scasw\n S cld\n S pushfl\n S popfl\n"
        " S movl $3, %ecx\n S movl $step_memory, %esi\n S movl $step_memory+32, %edi\n S rep movsb\n"
        " S movl $2, %ecx\n S loop 4f\n ud2\n"
        "4: S pushal\n S popal\n S bswap %eax\n S xaddl %eax, %ebx\n S cmpxchgl %ecx, %ebx\n"
        " S btl $3, %eax\n S bsfl %ebx, %ecx\n S setc %al\n S cwtl\n S cltd\n S movzbl %al, %ecx\n"
        " S movsbl %al, %edx\n S shldl $3, %eax, %ebx\n S sahf\n S lahf\n S cmc\n S stc\n S clc\n S std\n"
        " S cld\n S pushl $5f\n S ret\n ud2\n"
        "5: S movl $6f, %eax\n S jmp *%eax\n ud2\n"
        "6: S pushw %ax\n S popw %ax\n S aaa\n S daa\n S aam\n S aad\n S xlat\n S enter $8, $0\n S leave\n"
        " S nop\n S cpuid\n S rdtsc\n S movl %cs, %eax\n S pushl %ds\n S popl %ds\n S movl %ds, %eax\n"
        " S movl %eax, %es\n S str %ax\n S smsw %ax\n S lsll %eax, %ebx\n S verr %ax\n"
        " S nop\n"
        "step_end: int $0x80\n"
        ".popsection\n"
        ".pushsection .rodata.steps,\"a\"\n .globl step_table_end\n .long step_end\n step_table_end:\n"
        ".popsection\n");

/* The table is in the order of the text but for the called function, which follows its call. */
static uint32_t step_seen[512];
static unsigned step_count;
static bool step_db(struct trap *t)
{
    if (step_count < ARRAY_COUNT(step_seen) && (!step_count || step_seen[step_count - 1] != t->eip))
        step_seen[step_count++] = t->eip;
    return true;
}

static inline uint32_t read_dr6(void)
{
    uint32_t v;
    __asm__ volatile("movl %%dr6, %0" : "=r"(v));
    return v;
}
static inline void write_dr6(uint32_t v)
{
    __asm__ volatile("movl %0, %%dr6" : : "r"(v));
}
static inline void write_dr7(uint32_t v)
{
    __asm__ volatile("movl %0, %%dr7" : : "r"(v));
}
static inline void write_dr(unsigned n, const void *at)
{
    switch (n) {
    case 0:
        __asm__ volatile("movl %0, %%dr0" : : "r"(at));
        break;
    case 1:
        __asm__ volatile("movl %0, %%dr1" : : "r"(at));
        break;
    case 2:
        __asm__ volatile("movl %0, %%dr2" : : "r"(at));
        break;
    default:
        __asm__ volatile("movl %0, %%dr3" : : "r"(at));
        break;
    }
}

static void test_step(void)
{
    struct state s;

    for (unsigned ring = 0; ring < 4; ring += 3) {
        trap_handlers[EXC_DB] = step_db;
        step_count = 0;
        state_init(&s, ring, step_code);
        s.eflags |= FL_TF;
        write_dr6(0);
        run(&s);
        trap_handlers[EXC_DB] = NULL;
        check(s.vector == VEC_DONE, "single step: ring %u: runs to its end", ring);
        check(!(s.handler_eflags & FL_TF) && (s.eflags & FL_TF), "single step: ring %u: TF off in handlers", ring);
        unsigned n = (unsigned)(step_table_end - step_table), at = 0;
        /* The first in the table is where the code starts; each trap shows the next. */
        while (at + 1 < n && at < step_count && step_seen[at] == step_table[at + 1])
            at++;
        if (!check(at == n - 1 && step_count == n - 1, "single step: ring %u: %u instructions", ring, n - 1))
            print("# %u traps, differs at %u: eip %x, want %x\n", step_count, at, (unsigned)step_seen[at],
                  (unsigned)step_table[at + 1]);
        check(read_dr6() & 0x4000, "single step: ring %u: DR6.BS", ring);
    }
    /* MOV SS holds the trap off for one instruction. */
    SNIPPET(code_step_ss, "movl %ss, %eax\n movl %eax, %ss\n movl %esp, %esp\n step_ss_2: nop");
    extern char step_ss_2[];
    trap_handlers[EXC_DB] = step_db;
    step_count = 0;
    state_init(&s, 3, code_step_ss);
    s.eflags |= FL_TF;
    run(&s);
    trap_handlers[EXC_DB] = NULL;
    check(step_count >= 2 && step_seen[1] == (uint32_t)step_ss_2, "single step: none between MOV SS and the next");
    /* POPF that sets TF: the trap comes after the instruction that follows. */
    SNIPPET(code_popf_tf, "pushfl\n orl $0x100, (%esp)\n popfl\n popf_1: nop\n popf_2: nop");
    extern char popf_2[];
    state_init(&s, 3, code_popf_tf);
    run_expect(&s, EXC_DB, 0, "popf: TF traps");
    check_equal(s.eip, (uint32_t)popf_2, "popf: TF traps after the next instruction");
    /* ICEBP and INT n under TF. */
    SNIPPET(code_icebp, ".byte 0xf1");
    state_init(&s, 3, code_icebp);
    run_expect(&s, EXC_DB, 0, "icebp: #DB");
    check_equal(s.eip, (uint32_t)code_icebp + 1, "icebp: is a trap");
}

static void test_breakpoints(void)
{
    struct state s;
    static uint32_t watched[4] __attribute__((aligned(16)));
    SNIPPET(code_bp, "nop\n nop\n bp_here: incl %eax\n incl %eax");
    SNIPPET(code_watch, "movl (%esi), %eax\n movl %ebx, 4(%esi)\n watch_1: movl %ebx, (%esi)\n watch_2: nop\n"
                        "incb 3(%esi)\n watch_3: nop");
    extern char bp_here[], watch_2[], watch_3[];

    for (unsigned n = 0; n < 4; n++) {
        write_dr(n, bp_here);
        write_dr6(0);
        write_dr7(0x400 | 2u << (n * 2));
        state_init(&s, 3, code_bp);
        run_expect(&s, EXC_DB, 0, "dr%u: execution", n);
        check(s.eip == (uint32_t)bp_here && s.eax == 0, "dr%u: execution: before the instruction", n);
        check_equal(read_dr6() & 0xf, 1u << n, "dr6: execution");
        check(s.eflags & FL_RF, "dr%u: RF in the image", n);
        s.eflags |= FL_RF;
        run_expect(&s, VEC_DONE, 0, "dr%u: RF lets the instruction pass", n);
        check_equal(s.eax, 2, "dr: code went on");
        check(!(s.eflags & FL_RF), "dr%u: RF lasts for one instruction", n);
        state_init(&s, 3, code_bp);
        run_expect(&s, EXC_DB, 0, "dr%u: execution, again", n);

        write_dr(n, watched);
        write_dr6(0);
        write_dr7(0x400 | 2u << (n * 2) | 0xdu << (16 + n * 4)); /* write, four bytes */
        state_init(&s, 3, code_watch);
        s.esi = (uint32_t)watched;
        s.ebx = 0x55;
        run_expect(&s, EXC_DB, 0, "dr%u: write", n);
        check(s.eip == (uint32_t)watch_2 && watched[0] == 0x55, "dr%u: write: after the instruction", n);
        check_equal(read_dr6() & 0xf, 1u << n, "dr6: write");
        run_expect(&s, EXC_DB, 0, "dr%u: write of one byte in it", n);
        check(s.eip == (uint32_t)watch_3, "dr%u: write of one byte in it: EIP", n);
        write_dr7(0x400 | 2u << (n * 2) | 0xfu << (16 + n * 4)); /* read or write */
        state_init(&s, 3, code_watch);
        s.esi = (uint32_t)watched;
        run_expect(&s, EXC_DB, 0, "dr%u: read", n);
        check_equal(s.eip, (uint32_t)code_watch + 2, "dr: read: EIP");
        write_dr7(0x400);
        state_init(&s, 3, code_watch);
        s.esi = (uint32_t)watched;
        run_expect(&s, VEC_DONE, 0, "dr%u: off", n);
    }
    SNIPPET(code_nops, "nop\n nop");
    state_init(&s, 3, code_nops);
    s.eflags |= FL_RF;
    run(&s);
    check(s.vector == VEC_DONE && !(s.eflags & FL_RF), "iret: RF lasts for one instruction");
    /* In code that has run before, and loops. */
    SNIPPET(code_bp_loop, "movl $1000, %ecx\n 1: incl %eax\n bp_in_loop: nop\n loop 1b");
    extern char bp_in_loop[];
    state_init(&s, 0, code_bp_loop);
    run(&s);
    write_dr(0, bp_in_loop);
    write_dr7(0x402);
    unsigned hits = 0;
    state_init(&s, 0, code_bp_loop);
    for (run(&s); s.vector == EXC_DB && hits < 2000; run(&s)) {
        hits++;
        s.eflags |= FL_RF;
    }
    write_dr7(0x400);
    check_equal(hits, 1000, "dr0: execution in a loop, 1000 hits");
    check(s.vector == VEC_DONE && s.eax == 1000, "dr0: the loop's result");
    /* General detect. */
    SNIPPET(code_dr, "movl %dr0, %eax");
    write_dr6(0);
    write_dr7(0x2400);
    state_init(&s, 0, code_dr);
    run_expect(&s, EXC_DB, 0, "dr7.gd: access to a debug register");
    check(read_dr6() & 0x2000, "dr6: BD");
    write_dr7(0x400);
    /* DR4 and DR5. */
    SNIPPET(code_dr4, "movl %db4, %eax");
    write_cr4(read_cr4() | CR4_DE);
    state_init(&s, 0, code_dr4);
    run_expect(&s, EXC_UD, 0, "dr4: #UD with CR4.DE");
    write_cr4(read_cr4() & ~CR4_DE);
    state_init(&s, 0, code_dr4);
    write_dr6(0);
    run_expect(&s, VEC_DONE, 0, "dr4: is DR6 without CR4.DE");
    check_equal(s.eax, read_dr6(), "dr4: value of DR6");
}

static void test_traps(void)
{
    struct state s;
    static const int32_t bounds[2] = {-5, 10};
    SNIPPET(code_int3, "int3");
    SNIPPET(code_into, "into");
    SNIPPET(code_bound, ".byte 0x62, 0x06"); /* bound (%esi), %eax: assemblers disagree on the order */
    SNIPPET(code_div, "divl %ecx");
    SNIPPET(code_idiv, "idivl %ecx");
    SNIPPET(code_aam, ".byte 0xd4, 0");
    SNIPPET(code_ud, "ud2");
    SNIPPET(code_cd3, ".byte 0xcd, 3");

    state_init(&s, 3, code_int3);
    run_expect(&s, EXC_BP, 0, "int3: #BP");
    check_equal(s.eip, (uint32_t)code_int3 + 1, "int3: is a trap");
    state_init(&s, 3, code_cd3);
    run_expect(&s, EXC_BP, 0, "int 3 of two bytes: #BP");
    check_equal(s.eip, (uint32_t)code_cd3 + 2, "int 3 of two bytes: EIP");
    state_init(&s, 3, code_into);
    s.eflags |= FL_OF;
    run_expect(&s, EXC_OF, 0, "into: #OF");
    check_equal(s.eip, (uint32_t)code_into + 1, "into: is a trap");
    state_init(&s, 3, code_into);
    run_expect(&s, VEC_DONE, 0, "into: nothing without OF");
    static const int32_t in[] = {-5, 0, 10}, out[] = {-6, 11, 0x7fffffff};
    for (unsigned i = 0; i < 3; i++) {
        state_init(&s, 3, code_bound);
        s.esi = (uint32_t)bounds;
        s.eax = (uint32_t)in[i];
        run_expect(&s, VEC_DONE, 0, "bound: inside %u", i);
        state_init(&s, 3, code_bound);
        s.esi = (uint32_t)bounds;
        s.eax = (uint32_t)out[i];
        run_expect(&s, EXC_BR, 0, "bound: outside %u", i);
        check_equal(s.eip, (uint32_t)code_bound, "bound: is a fault");
    }
    state_init(&s, 3, code_div);
    run_expect(&s, EXC_DE, 0, "div: by zero");
    check_equal(s.eip, (uint32_t)code_div, "div: is a fault");
    state_init(&s, 3, code_div);
    s.edx = 2;
    s.ecx = 2;
    run_expect(&s, EXC_DE, 0, "div: overflow");
    state_init(&s, 3, code_idiv);
    s.edx = 0xffffffff;
    s.eax = 0x80000000;
    s.ecx = 0xffffffff;
    run_expect(&s, EXC_DE, 0, "idiv: overflow");
    check(s.eax == 0x80000000 && s.edx == 0xffffffff, "idiv: operands kept");
    state_init(&s, 3, code_aam);
    run_expect(&s, EXC_DE, 0, "aam: by zero");
    state_init(&s, 3, code_ud);
    run_expect(&s, EXC_UD, 0, "ud2: #UD");
    check_equal(s.eip, (uint32_t)code_ud, "ud2: is a fault");
    /* Alignment check: ring 3 only, with AC and AM. */
    SNIPPET(code_align, "movl 1(%esi), %eax");
    write_cr0(read_cr0() | CR0_AM);
    for (unsigned ring = 0; ring < 4; ring++) {
        state_init(&s, ring, code_align);
        s.esi = (uint32_t)bounds;
        s.eflags |= FL_AC;
        run_expect(&s, ring == 3 ? EXC_AC : VEC_DONE, 0, "alignment: ring %u", ring);
    }
    write_cr0(read_cr0() & ~CR0_AM);
    /* 15 bytes are the most. */
    SNIPPET(code_15, ".fill 13, 1, 0x66\n .byte 0x89, 0xc0");
    SNIPPET(code_16, ".fill 14, 1, 0x66\n .byte 0x89, 0xc0");
    state_init(&s, 3, code_15);
    run_expect(&s, VEC_DONE, 0, "length: 15 bytes");
    state_init(&s, 3, code_16);
    run_expect(&s, EXC_GP, 0, "length: 16 bytes");
    SNIPPET(code_lock, ".byte 0xf0, 0x89, 0xc0");
    state_init(&s, 3, code_lock);
    run_expect(&s, EXC_UD, 0, "lock: #UD where it is not allowed");
}

/* A request that was withdrawn while it was acknowledged comes as the chip's lowest input. */
static bool spurious(struct trap *t)
{
    if (t->vector == VEC_IRQ0 + 15)
        outb(0x20, 0x20);
    return true;
}

void guest_main(void)
{
    trap_handlers[VEC_IRQ0 + 7] = trap_handlers[VEC_IRQ0 + 15] = spurious;
    test_traps();
    test_step();
    test_breakpoints();
    test_hlt();
    test_sti_shadow();
    test_iret_waiting();
    test_ss_shadow();
    test_nested();
    test_tight();
    test_tight_user();
    test_rep();
    test_rate();
}

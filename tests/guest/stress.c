/* Long runs: deep recursion, stack switches, coroutines, indirect calls with many targets, string instructions of
 * every kind across pages with faults in the middle. Results are compared with plain C or computed twice. */
#include "guest.h"

/* --- Recursion in RAM: 200,000 levels --- */

#define DEEP_STACK 0x2000000u
#define DEEP_SIZE  0x1000000u

__attribute__((noinline)) static uint32_t deep(uint32_t n, uint32_t x)
{
    if (n == 0)
        return x;
    uint32_t y = deep(n - 1, x * 3 + n);
    return y ^ (n << 1);
}

static uint32_t deep_loop(uint32_t n, uint32_t x)
{
    for (uint32_t i = n; i; i--)
        x = x * 3 + i;
    for (uint32_t i = 1; i <= n; i++)
        x ^= i << 1;
    return x;
}

static uint32_t on_stack(uint32_t (*fn)(uint32_t, uint32_t), uint32_t a, uint32_t b, uint32_t top)
{
    uint32_t v;
    __asm__ volatile("movl %%esp, %%ebx\n movl %4, %%esp\n pushl %3\n pushl %2\n call *%1\n movl %%ebx, %%esp"
                     : "=a"(v)
                     : "r"(fn), "r"(a), "r"(b), "r"(top)
                     : "ebx", "ecx", "edx", "memory", "cc");
    return v;
}

__attribute__((noinline)) static uint32_t fib(uint32_t n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static void test_recursion(void)
{
    unsigned wrong = 0;
    static const uint32_t levels[] = {10, 1000, 100000, 200000, 77777, 200000};
    for (unsigned i = 0; i < ARRAY_COUNT(levels); i++)
        wrong += on_stack(deep, levels[i], i, DEEP_STACK + DEEP_SIZE) != deep_loop(levels[i], i);
    check_equal(wrong, 0, "recursion: up to 200000 levels");
    check_equal(fib(25), 75025, "recursion: Fibonacci");
}

/* --- longjmp: leaves many levels at once; and returns to somewhere else --- */

struct jump {
    uint32_t esp, ebp, ebx, esi, edi, eip;
};
uint32_t jump_set(struct jump *j) __attribute__((returns_twice));
void jump_go(const struct jump *j, uint32_t v);
void co_switch(uint32_t *save, uint32_t to);
__asm__(
    ".pushsection .text.stress,\"ax\"\n"
    "jump_set: movl 4(%esp), %ecx\n movl %esp, (%ecx)\n movl %ebp, 4(%ecx)\n movl %ebx, 8(%ecx)\n"
    " movl %esi, 12(%ecx)\n movl %edi, 16(%ecx)\n movl (%esp), %eax\n movl %eax, 20(%ecx)\n xorl %eax, %eax\n ret\n"
    "jump_go: movl 4(%esp), %ecx\n movl 8(%esp), %eax\n movl (%ecx), %esp\n movl 4(%ecx), %ebp\n movl 8(%ecx), %ebx\n"
    " movl 12(%ecx), %esi\n movl 16(%ecx), %edi\n movl 20(%ecx), %edx\n movl %edx, (%esp)\n ret\n"
    /* Coroutines: a switch is a RET on another stack. */
    "co_switch: movl 4(%esp), %eax\n movl 8(%esp), %ecx\n pushl %ebp\n pushl %ebx\n pushl %esi\n pushl %edi\n"
    " movl %esp, (%eax)\n movl %ecx, %esp\n popl %edi\n popl %esi\n popl %ebx\n popl %ebp\n ret\n"
    ".popsection\n");

static struct jump target;
__attribute__((noinline)) static uint32_t dive(uint32_t n, uint32_t v)
{
    if (n == 0) {
        jump_go(&target, v); /* does not return */
        return 0;
    }
    return dive(n - 1, v + 1) + 1;
}

static void test_jump(void)
{
    volatile unsigned wrong = 0;
    for (volatile uint32_t i = 1; i < 3000; i++) {
        uint32_t v = jump_set(&target);
        if (v == 0)
            (void)dive(i % 300, i);
        wrong += v != i + i % 300;
    }
    check_equal(wrong, 0, "longjmp: out of up to 300 levels, 3000 times");
}

#define COROUTINES 50
static uint32_t co_esp[COROUTINES], co_main;
static uint32_t co_stacks[COROUTINES][512];
static uint32_t co_sum[COROUTINES];
static unsigned co_now, co_left;

__attribute__((noinline)) static void co_yield (unsigned depth)
{
    if (depth) {
        co_yield (depth - 1);
        __asm__ volatile("" : : : "memory");
        return;
    }
    unsigned from = co_now;
    co_now = (co_now * 7 + 3) % COROUTINES;
    if (--co_left == 0)
        co_switch(&co_esp[from], co_main);
    else if (co_now != from)
        co_switch(&co_esp[from], co_esp[co_now]);
}

static void co_body(void)
{
    for (uint32_t i = 1;; i++) {
        co_sum[co_now] += i;
        co_yield (i % 5);
    }
}

static void test_coroutines(void)
{
    static uint32_t visits[COROUTINES];
    unsigned n = 50000, wrong = 0;

    for (unsigned i = 0; i < COROUTINES; i++) {
        uint32_t *sp = &co_stacks[i][512];
        *--sp = 0;
        *--sp = (uint32_t)co_body;
        sp -= 4;
        co_esp[i] = (uint32_t)sp;
    }
    co_left = n;
    co_now = 1;
    for (unsigned i = 0, at = 1; i < n; i++, at = (at * 7 + 3) % COROUTINES)
        visits[at]++;
    co_switch(&co_main, co_esp[1]);
    for (unsigned i = 0; i < COROUTINES; i++)
        wrong += co_sum[i] != visits[i] * (visits[i] + 1) / 2;
    check_equal(wrong, 0, "coroutines: 50 stacks, 50000 switches");
}

/* --- Indirect calls and jumps with 5,000 targets --- */

#define TARGETS 5000
static void test_indirect(void)
{
    uint8_t *code = (uint8_t *)0x3100000;
    static uint32_t at[TARGETS], value[TARGETS];
    uint32_t sum = 0, want = 0;

    for (unsigned i = 0; i < TARGETS; i++) {
        value[i] = rnd();
        at[i] = (uint32_t)code;
        *code++ = 0x05; /* add $value, %eax */
        memcpy(code, &value[i], 4);
        code += 4;
        *code++ = 0xc3;
        code += rnd() % 40;
    }
    for (unsigned i = 0; i < 200000; i++) {
        unsigned k = rnd() % TARGETS;
        if (i & 1)
            __asm__ volatile("call *%1" : "+a"(sum) : "r"(at[k]) : "memory", "cc");
        else
            __asm__ volatile("call *%1" : "+a"(sum) : "m"(at[k]) : "memory", "cc");
        want += value[k];
    }
    check_equal(sum, want, "indirect: 200000 calls to 5000 targets");
    /* By PUSH and RET, which no return stack predicts. */
    for (unsigned i = 0; i < 50000; i++) {
        unsigned k = rnd() % TARGETS, m = rnd() % TARGETS;
        __asm__ volatile("pushl $1f\n pushl %1\n pushl %2\n ret\n 1:"
                         : "+a"(sum)
                         : "r"(at[k]), "r"(at[m])
                         : "memory", "cc");
        want += value[k] + value[m];
    }
    check_equal(sum, want, "indirect: 100000 returns to where nobody called");
}

/* --- String instructions: all operations, sizes, prefixes, directions, across pages that fault --- */

static uint32_t pd[1024] __attribute__((aligned(4096)));
static uint32_t pt[1024] __attribute__((aligned(4096)));
#define STR_FRAMES 0x3800000u
#define STR_AT     0x40000000u
static unsigned string_faults;
static bool string_fault(struct trap *t)
{
    uint32_t cr2 = read_cr2();
    (void)t;
    if (cr2 - STR_AT >= 64 * PAGE)
        return false;
    string_faults++;
    pt[(cr2 >> 12) & 1023] |= 1 | 2;
    invlpg(cr2);
    return true;
}

static uint8_t string_code[16];
static uint8_t model_memory[16 * PAGE];

/* One instruction on flat memory, by the manual; at is where linear STR_AT lies. */
static void string_model(struct state *s, unsigned op, unsigned size, unsigned prefix, uint8_t *at)
{
    uint32_t step = s->eflags & FL_DF ? -size : size, mask = size == 4 ? 0xffffffff : (1u << 8 * size) - 1;

    while (!prefix || s->ecx) {
        uint32_t src = 0, dst = 0;
        bool compare = op == 0xa6 || op == 0xae;
        if (op == 0xa4 || op == 0xa6 || op == 0xac)
            memcpy(&src, at + (s->esi - STR_AT), size);
        if (op == 0xa6 || op == 0xae)
            memcpy(&dst, at + (s->edi - STR_AT), size);
        if (op == 0xa4)
            memcpy(at + (s->edi - STR_AT), &src, size);
        else if (op == 0xaa)
            memcpy(at + (s->edi - STR_AT), &s->eax, size);
        else if (op == 0xac)
            s->eax = (s->eax & ~mask) | src;
        else if (op == 0xae)
            src = s->eax & mask;
        if (op == 0xa4 || op == 0xa6 || op == 0xac)
            s->esi += step;
        if (op != 0xac)
            s->edi += step;
        if (compare) {
            s->eflags &= ~(FL_ZF | FL_CF);
            s->eflags |= (src == dst ? FL_ZF : 0) | (src < dst ? FL_CF : 0);
        }
        if (!prefix)
            break;
        s->ecx--;
        if (compare && !(s->eflags & FL_ZF) == (prefix == 0xf3))
            break;
    }
}

static void test_strings(void)
{
    static const uint8_t ops[] = {0xa4, 0xa6, 0xaa, 0xac, 0xae}, prefixes[] = {0, 0xf3, 0xf2};
    uint8_t *ram = (uint8_t *)STR_FRAMES;
    unsigned wrong_state = 0, wrong_memory = 0, count = 0;

    for (unsigned i = 0; i < 32; i++)
        pd[i] = i << 22 | 0x87;
    pd[STR_AT >> 22] = (uint32_t)pt | 7;
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3((uint32_t)pd);
    write_cr0(read_cr0() | CR0_PG | CR0_WP);
    trap_handlers[EXC_PF] = string_fault;
    for (unsigned round = 0; round < 12; round++)
        for (unsigned o = 0; o < sizeof ops; o++)
            for (unsigned size = 1; size <= 4; size *= 2)
                for (unsigned x = 0; x < 3; x++)
                    for (unsigned df = 0; df < 2; df++) {
                        struct state s, m;
                        unsigned n = 0;
                        /* 16 pages of few distinct values, so that comparisons run for a while. */
                        for (unsigned i = 0; i < 16 * PAGE; i += 4)
                            *(uint32_t *)(ram + i) = round & 1 ? 0x01010101 : 0;
                        for (unsigned i = 0; i < 8; i++)
                            ram[rnd() % (16 * PAGE)] = (uint8_t)rnd();
                        memcpy(model_memory, ram, sizeof model_memory);
                        for (unsigned i = 0; i < 16; i++) /* mapped, read-only, or not at all */
                            pt[i] = (STR_FRAMES + i * PAGE) | 4 | (rnd() % 3 == 0 ? 3 : rnd() % 2);
                        for (unsigned i = 0; i < 16; i++)
                            invlpg(STR_AT + i * PAGE);
                        if (prefixes[x])
                            string_code[n++] = prefixes[x];
                        if (size == 2)
                            string_code[n++] = 0x66;
                        string_code[n++] = ops[o] | (size > 1);
                        string_code[n++] = 0xcd;
                        string_code[n] = VEC_DONE;
                        serialize();
                        state_init(&s, rnd() & 1 ? 3 : 0, string_code);
                        s.ecx = rnd() % 5000 / size;
                        s.eax = round & 1 ? 0x01010101 : rnd() % 2 ? 0 : rnd();
                        s.esi = STR_AT + 6 * PAGE + rnd() % (4 * PAGE);
                        s.edi = round % 3 == 2 ? s.esi + rnd() % 32 - 16 : STR_AT + 6 * PAGE + rnd() % (4 * PAGE);
                        s.eflags |= df ? FL_DF : 0;
                        m = s;
                        string_model(&m, ops[o], size, prefixes[x], model_memory);
                        run(&s);
                        count++;
                        bool bad = s.vector != VEC_DONE || s.esi != m.esi || s.edi != m.edi || s.ecx != m.ecx ||
                                   s.eax != m.eax;
                        if ((ops[o] == 0xa6 || ops[o] == 0xae) && (m.ecx != 0 || prefixes[x] == 0))
                            bad = bad || ((s.eflags ^ m.eflags) & (FL_ZF | FL_CF));
                        if (bad && wrong_state++ < 5)
                            print("# %x %x size %u df %u: vector %u esi %x %x edi %x %x ecx %x %x eax %x %x\n",
                                  (unsigned)prefixes[x], (unsigned)ops[o], size, df, (unsigned)s.vector,
                                  (unsigned)s.esi, (unsigned)m.esi, (unsigned)s.edi, (unsigned)m.edi, (unsigned)s.ecx,
                                  (unsigned)m.ecx, (unsigned)s.eax, (unsigned)m.eax);
                        wrong_memory += memcmp(ram, model_memory, sizeof model_memory) != 0;
                    }
    trap_handlers[EXC_PF] = NULL;
    write_cr0(read_cr0() & ~(CR0_PG | CR0_WP));
    check(wrong_state == 0, "strings: registers of %u cases", count);
    check(wrong_memory == 0, "strings: memory of %u cases", count);
    print("# %u page faults\n", string_faults);
    check(string_faults > 300, "strings: pages faulted in the middle");
}

/* --- A random walk: calls, returns, ring 3, traps and stack switches mixed, with a running checksum --- */

static uint32_t walk_hash, walk_want;
static void walk_step(uint32_t v)
{
    walk_hash = (walk_hash ^ v) * 16777619u;
}
SNIPPET(walk_user, "movl %ebx, %eax\n 1: imull $0x343fd, %eax, %eax\n addl $0x269ec3, %eax\n pushl %eax\n"
                   " call 2f\n popl %edx\n loop 1b\n jmp 3f\n 2: rorl $3, %eax\n ret\n 3:");
static uint32_t walk_model(uint32_t x, uint32_t n)
{
    while (n--) {
        x = x * 0x343fd + 0x269ec3;
        x = x >> 3 | x << 29;
    }
    return x;
}
static volatile uint32_t walk_ticks;
static bool walk_tick(struct trap *t)
{
    (void)t;
    walk_ticks++;
    pic_eoi(0);
    return true;
}

static void test_walk(void)
{
    struct state s;

    trap_handlers[VEC_IRQ0] = walk_tick;
    pit_periodic(600);
    pic_unmask(0);
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t n = 1 + rnd() % 50, x = rnd(), v;
        switch (rnd() % 6) {
        case 0:
        case 1:
            state_init(&s, rnd() % 4, walk_user);
            s.eflags |= FL_IF;
            s.ebx = x;
            s.ecx = n;
            run(&s);
            walk_step(s.vector == VEC_DONE ? s.eax : ~s.eax);
            v = walk_model(x, n);
            break;
        case 2:
            walk_step(deep(n, x));
            v = deep_loop(n, x);
            break;
        case 3:
            walk_step(on_stack(deep, n * 20, x, DEEP_STACK + DEEP_SIZE - (x & 0xfff0)));
            v = deep_loop(n * 20, x);
            break;
        case 4:
            v = jump_set(&target);
            if (v == 0)
                (void)dive(n, 0x100);
            walk_step(v);
            v = 0x100 + n;
            break;
        default:
            __asm__ volatile("sti; pushal; popal; cli" : : : "memory");
            walk_step(fib(n % 12));
            static const uint8_t fibs[12] = {0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89};
            v = fibs[n % 12];
        }
        walk_want = (walk_want ^ v) * 16777619u;
    }
    pic_mask(0);
    pit_stop();
    check_equal(walk_hash, walk_want, "random walk: 20000 steps");
    check(walk_ticks > 0, "random walk: interrupts came");
}

void guest_main(void)
{
    test_recursion();
    test_jump();
    test_coroutines();
    test_indirect();
    test_strings();
    test_walk();
}

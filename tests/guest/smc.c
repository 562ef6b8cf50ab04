/* Code that changes: itself, the next instruction, loops, callees, across pages, by string instructions, through
 * aliases and other address spaces, beside data, and by a generator. Intel SDM vol. 3A, 8.1.3 and 11.6: on one
 * processor a store is seen by the next branch; through another linear address after a serialising instruction.
 */
#include "guest.h"

#define AREA 0x2000000u /* where code is written */
static uint8_t *const area = (uint8_t *)AREA;

static uint32_t call(const void *at)
{
    uint32_t v;
    __asm__ volatile("call *%1" : "=a"(v) : "r"(at) : "ecx", "edx", "memory", "cc");
    return v;
}

static uint8_t *put8(uint8_t *p, uint8_t v)
{
    *p = v;
    return p + 1;
}
static uint8_t *put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
    return p + 4;
}
static uint8_t *put_bytes(uint8_t *p, const void *bytes, size_t n)
{
    memcpy(p, bytes, n);
    return p + n;
}
/* mov $v, %eax; ret */
static uint8_t *put_return(uint8_t *p, uint32_t v)
{
    p = put32(put8(p, 0xb8), v);
    return put8(p, 0xc3);
}
static void barrier(void)
{
    __asm__ volatile("" : : : "memory");
}

/* --- Instructions that change what follows them --- */

/* The image's own text is writable. */
uint32_t smc_next(uint32_t v), smc_self(void), smc_loop(void), smc_ahead(uint32_t op), smc_callee(void);
__asm__(".pushsection .text.smc,\"ax\"\n"
        /* The instruction right after the store: its immediate. */
        "smc_next: movl 4(%esp), %eax\n movl %eax, next_insn+1\n"
        "next_insn: movl $0, %eax\n ret\n"
        /* An instruction that is replaced by itself: the first run writes NOPs over the INC. */
        "smc_self: xorl %eax, %eax\n movb $0x40, self_insn\n"
        "1: incl %edx\n"
        "self_insn: incl %eax\n movb $0x90, self_insn\n cmpl $3, %eax\n jae 2f\n addl $1, %eax\n jmp self_insn\n"
        "2: ret\n"
        /* A loop that adds to its own immediate: the sum of 1 to 100. */
        "smc_loop: xorl %eax, %eax\n movl $100, %ecx\n movl $1, loop_insn+1\n"
        "loop_insn: .byte 5\n .long 1\n incl loop_insn+1\n decl %ecx\n jnz loop_insn\n ret\n"
        /* A conditional jump ahead whose condition is overwritten. */
        "smc_ahead: movl 4(%esp), %eax\n movb %al, ahead_insn\n xorl %eax, %eax\n cmpl $0, %eax\n"
        "ahead_insn: je 1f\n movl $7, %eax\n ret\n 1: movl $9, %eax\n ret\n"
        /* A callee in another block, called in a loop that changes it. */
        "smc_callee: pushl %ebx\n xorl %ebx, %ebx\n movl $200, %ecx\n"
        "1: movl %ecx, callee_insn+1\n call callee_insn\n addl %eax, %ebx\n decl %ecx\n jnz 1b\n"
        " movl %ebx, %eax\n popl %ebx\n ret\n"
        "callee_insn: movl $0, %eax\n ret\n"
        ".popsection\n");

static void test_inline(void)
{
    unsigned wrong = 0;
    for (uint32_t i = 0; i < 300; i++)
        wrong += smc_next(i * 0x1010101) != i * 0x1010101;
    check_equal(wrong, 0, "next instruction: its immediate, 300 times");
    for (unsigned i = 0; i < 50; i++) {
        uint32_t v = smc_self();
        wrong += v != 3;
    }
    check_equal(wrong, 0, "itself: an instruction overwrites itself");
    wrong = 0;
    for (unsigned i = 0; i < 50; i++)
        wrong += smc_loop() != 5050;
    check_equal(wrong, 0, "loop: adds to its own immediate");
    wrong = 0;
    for (unsigned i = 0; i < 50; i++) {
        wrong += smc_ahead(0x74) != 9;
        wrong += smc_ahead(0x75) != 7;
    }
    check_equal(wrong, 0, "ahead: the condition of a jump in the same block");
    wrong = 0;
    for (unsigned i = 0; i < 20; i++)
        wrong += smc_callee() != 20100;
    check_equal(wrong, 0, "callee: changed by its caller");
}

/* --- Blocks changed by other blocks --- */

static void test_blocks(void)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < 1000; i++) {
        put_return(area, i);
        barrier();
        wrong += call(area) != i;
    }
    check_equal(wrong, 0, "block: rewritten and called, 1000 times");
    /* A chain of five blocks; any one is changed. */
    uint8_t *at[5];
    for (unsigned i = 0; i < 5; i++)
        at[i] = area + PAGE + i * 300;
    for (unsigned i = 0; i < 5; i++) {
        uint8_t *p = put32(put8(at[i], 0x05), i); /* add $i, %eax */
        if (i == 4)
            put8(p, 0xc3);
        else
            put32(put8(p, 0xe9), (uint32_t)(at[i + 1] - (p + 5)));
    }
    uint8_t *head = area + PAGE + 2048;
    head = put_bytes(head, (uint8_t[]){0x31, 0xc0, 0xe9}, 3);
    put32(head, (uint32_t)(at[0] - (head + 4)));
    uint32_t values[5] = {0, 1, 2, 3, 4};
    wrong = 0;
    for (unsigned i = 0; i < 2000; i++) {
        unsigned k = rnd() % 5;
        values[k] = rnd();
        put32(at[k] + 1, values[k]);
        barrier();
        wrong += call(area + PAGE + 2048) != values[0] + values[1] + values[2] + values[3] + values[4];
    }
    check_equal(wrong, 0, "chain: one of five chained blocks changed, 2000 times");
    /* The jump itself is turned to another block. */
    wrong = 0;
    uint8_t *jump = area + 2 * PAGE;
    put_return(jump + 100, 1);
    put_return(jump + 200, 2);
    put_return(area + 3 * PAGE + 50, 3);
    for (unsigned i = 0; i < 600; i++) {
        uint8_t *to = i % 3 == 0 ? jump + 100 : i % 3 == 1 ? jump + 200 : area + 3 * PAGE + 50;
        put32(put8(jump, 0xe9), (uint32_t)(to - (jump + 5)));
        barrier();
        wrong += call(jump) != i % 3 + 1;
    }
    check_equal(wrong, 0, "jump: turned to other blocks");
    /* One byte, a word, a dword, by different instructions. */
    wrong = 0;
    for (unsigned i = 0; i < 300; i++) {
        uint8_t *p = area + 4 * PAGE;
        put_return(p, 0);
        barrier();
        (void)call(p);
        uint32_t want = 0;
        switch (i % 6) {
        case 0:
            __asm__ volatile("movb %b0, 1(%1)" : : "q"(i), "r"(p) : "memory");
            want = i & 0xff;
            break;
        case 1:
            __asm__ volatile("movw %w0, 2(%1)" : : "q"(i), "r"(p) : "memory");
            want = i << 8;
            break;
        case 2:
            __asm__ volatile("addl %0, 1(%1)" : : "r"(i), "r"(p) : "memory");
            want = i;
            break;
        case 3: {
            uint32_t x = i;
            __asm__ volatile("lock xchgl %0, 1(%1)" : "+r"(x) : "r"(p) : "memory");
            want = i;
            break;
        }
        case 4:
            __asm__ volatile("movl %%esp, %%edx\n leal 5(%1), %%esp\n pushl %0\n movl %%edx, %%esp"
                             :
                             : "r"(i), "c"(p)
                             : "edx", "memory");
            want = i;
            break;
        default:
            __asm__ volatile("movl %0, %%eax\n movl %1, %%edi\n incl %%edi\n stosl"
                             :
                             : "r"(i), "r"(p)
                             : "eax", "edi", "memory");
            want = i;
        }
        wrong += call(p) != want;
    }
    check_equal(wrong, 0, "stores: bytes, words, read-modify-write, XCHG, PUSH, STOS");
}

/* --- Across a page --- */

static void test_across(void)
{
    unsigned wrong = 0;
    uint8_t *p = area + 6 * PAGE - 3; /* mov $imm32 astride */

    put_return(p, 0);
    for (unsigned i = 0; i < 500; i++) {
        uint32_t v = i * 0x01020304;
        if (i & 1)
            put32(p + 1, v);
        else
            for (unsigned k = 0; k < 4; k++)
                ((volatile uint8_t *)p)[1 + k] = (uint8_t)(v >> 8 * k);
        barrier();
        wrong += call(p) != v;
    }
    check_equal(wrong, 0, "across pages: an immediate astride");
    /* A function over three pages, of which one is changed. */
    uint8_t *q = area + 8 * PAGE;
    memset(q, 0x90, 3 * PAGE);
    put_bytes(q, (uint8_t[]){0x31, 0xc0}, 2);
    put_bytes(q + 3 * PAGE - 1, (uint8_t[]){0xc3}, 1);
    wrong = 0;
    for (unsigned i = 0; i < 100; i++) {
        uint8_t *w = q + 16 + rnd() % (3 * PAGE - 64);
        put_bytes(w, (uint8_t[]){0x83, 0xc0, 0x05}, 3); /* add $5, %eax */
        barrier();
        wrong += call(q) != 5;
        put_bytes(w, (uint8_t[]){0x90, 0x90, 0x90}, 3);
        barrier();
        wrong += call(q) != 0;
    }
    check_equal(wrong, 0, "across pages: one byte of three pages of code");
    /* A store astride two pages of code. */
    uint8_t *edge = area + 12 * PAGE;
    wrong = 0;
    for (unsigned i = 0; i < 100; i++) {
        put_return(edge - 6, 0);
        put_return(edge, 0);
        barrier();
        (void)call(edge - 6);
        (void)call(edge);
        /* Changes the RET before the edge to NOP and runs into the code after it. */
        *(volatile uint16_t *)(edge - 1) = 0xb890;
        put32(edge + 1, i);
        barrier();
        wrong += call(edge - 6) != i || call(edge) != i;
    }
    check_equal(wrong, 0, "across pages: one store to two pages of code");
}

/* --- String instructions over code --- */

static void test_strings(void)
{
    unsigned wrong = 0;
    uint8_t *p = area + 16 * PAGE, *templates = area + 20 * PAGE;

    for (unsigned i = 0; i < 16; i++)
        put_return(templates + i * 16, i * 11);
    for (unsigned i = 0; i < 500; i++) {
        unsigned k = rnd() % 16;
        void *to = p, *from = templates + k * 16;
        uint32_t n = i & 1 ? 6 : 2;
        if (i & 1)
            __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
        else
            __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
        wrong += call(p) != k * 11;
    }
    check_equal(wrong, 0, "rep movs: code copied over code");
    /* NOPs by REP STOS over a field of INC EAX. */
    enum { FIELD = 1000 };
    wrong = 0;
    p += PAGE - 500;
    for (unsigned i = 0; i < 30; i++) {
        unsigned from = rnd() % 500, n = rnd() % 500;
        void *to = p;
        uint32_t count = FIELD;
        __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0x40) : "memory");
        p[FIELD] = 0xc3;
        to = p + from;
        count = n;
        __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0x90) : "memory");
        uint32_t v;
        __asm__ volatile("xorl %%eax, %%eax\n call *%1" : "=&a"(v) : "r"(p) : "ecx", "edx", "memory", "cc");
        wrong += v != FIELD - n;
    }
    check_equal(wrong, 0, "rep stos: over two pages of code");
    /* REP STOS that overwrites the code right behind itself. */
    static const uint8_t own[] = {0x57,                      /* push %edi */
                                  0xbf, 0,    0,    0,    0, /* mov $next, %edi */
                                  0xb9, 4,    0,    0,    0, /* mov $4, %ecx */
                                  0xb0, 0x90,                /* mov $0x90, %al */
                                  0xfc,                      /* cld */
                                  0xf3, 0xaa,                /* rep stosb */
                                  0x0f, 0x0b, 0x0f, 0x0b,    /* ud2; ud2 */
                                  0x5f,                      /* pop %edi */
                                  0xb8, 0x2a, 0,    0,    0, /* mov $42, %eax */
                                  0xc3};
    wrong = 0;
    for (unsigned i = 0; i < 50; i++) {
        memcpy(p, own, sizeof own);
        put32(p + 2, (uint32_t)p + 16);
        barrier();
        wrong += call(p) != 42;
    }
    check_equal(wrong, 0, "rep stos: over the very next instructions");
    /* REP MOVS that overwrites the same, after data before it. */
    wrong = 0;
    for (unsigned i = 0; i < 50; i++) {
        uint8_t *fresh = templates + 1024;
        memcpy(p, own, sizeof own);
        put32(p + 2, (uint32_t)p + 16);
        p[14] = 0xf3;
        p[15] = 0xa4; /* movsb from (%esi) */
        memset(fresh, 0x90, 4);
        barrier();
        uint32_t v;
        void *from = fresh;
        __asm__ volatile("call *%2" : "=&a"(v), "+S"(from) : "r"(p) : "ecx", "edx", "memory", "cc");
        wrong += v != 42;
    }
    check_equal(wrong, 0, "rep movs: over the very next instructions");
}

/* --- Aliases and address spaces --- */

static uint32_t pd[2][1024] __attribute__((aligned(4096)));
static uint32_t pt[1024] __attribute__((aligned(4096)));

/* --- A callee so short that a translator may take it into its caller --- */

#define CALLER ((uint8_t *)0x40000000u + 20 * PAGE)
#define THUNK  ((uint8_t *)0x40000000u + 21 * PAGE)

/* mov (%esp), %ebx; ret */
static void put_thunk(uint8_t *p)
{
    put_bytes(p, (uint8_t[]){0x8b, 0x1c, 0x24, 0xc3}, 4);
}
/* lea 7(%ebx), %ebx; ret */
static void put_other(uint8_t *p)
{
    put_bytes(p, (uint8_t[]){0x8d, 0x5b, 0x07, 0xc3}, 4);
}

/* Runs the caller at privilege level cpl with EBX = 1 and says what EBX is then. */
static uint32_t run_caller(unsigned cpl, struct state *s)
{
    barrier();
    state_init(s, cpl, CALLER);
    s->ebx = 1;
    run(s);
    return s->ebx;
}

static void test_thunk(unsigned cpl, uint32_t flags, const char *names[5])
{
    uint8_t *frame = area + 40 * PAGE;
    uint32_t ra = (uint32_t)CALLER + 5;
    unsigned wrong = 0;
    struct state s;

    for (unsigned i = 0; i < 3; i++)
        pt[20 + i] = (AREA + (40 + i) * PAGE) | 7 | flags;
    uint8_t *p = put_bytes(frame, (uint8_t[]){0xe8}, 1); /* call THUNK; inc %eax; int VEC_DONE */
    p = put32(p, (uint32_t)THUNK - ra);
    put_bytes(p, (uint8_t[]){0x40, 0xcd, VEC_DONE}, 3);
    put_thunk(frame + PAGE);
    put_other(frame + 2 * PAGE);
    write_cr3((uint32_t)pd[0]);
    invlpg(20 * PAGE + 0x40000000u);
    invlpg(21 * PAGE + 0x40000000u);
    for (unsigned i = 0; i < 50; i++)
        wrong += run_caller(cpl, &s) != ra || s.vector != VEC_DONE;
    check_equal(wrong, 0, names[0]);

    wrong = 0;
    for (unsigned i = 0; i < 100; i++) {
        if (i & 1)
            put_other(frame + PAGE);
        else
            put_thunk(frame + PAGE);
        wrong += run_caller(cpl, &s) != (i & 1 ? 8 : ra);
    }
    put_thunk(frame + PAGE);
    check_equal(wrong, 0, names[1]);

    wrong = 0;
    for (unsigned i = 0; i < 100; i++) {
        pt[21] = (AREA + (41 + (i & 1)) * PAGE) | 7 | flags;
        invlpg(21 * PAGE + 0x40000000u);
        wrong += run_caller(cpl, &s) != (i & 1 ? 8 : ra);
    }
    check_equal(wrong, 0, names[2]);

    wrong = 0;
    for (unsigned i = 0; i < 100; i++) {
        pt[21] = i & 1 ? 0 : (AREA + 41 * PAGE) | 7 | flags;
        invlpg(21 * PAGE + 0x40000000u);
        uint32_t v = run_caller(cpl, &s);
        wrong += i & 1 ? s.vector != 14 || s.eip != (uint32_t)THUNK || v != 1 : v != ra;
    }
    check_equal(wrong, 0, names[3]);

    /* The same caller in two address spaces, with another callee in each. */
    static uint32_t pt2[1024] __attribute__((aligned(4096)));
    memcpy(pt2, pt, sizeof pt2);
    pt[21] = (AREA + 41 * PAGE) | 7;
    pt2[21] = (AREA + 42 * PAGE) | 7;
    pt[20] &= ~0x100u;
    pt2[20] &= ~0x100u;
    invlpg(20 * PAGE + 0x40000000u);
    invlpg(21 * PAGE + 0x40000000u);
    pd[1][0x40000000u >> 22] = (uint32_t)pt2 | 7;
    wrong = 0;
    for (unsigned i = 0; i < 100; i++) {
        write_cr3((uint32_t)pd[i & 1]);
        wrong += run_caller(cpl, &s) != (i & 1 ? 8 : ra);
    }
    write_cr3((uint32_t)pd[0]);
    pd[1][0x40000000u >> 22] = 0;
    check_equal(wrong, 0, names[4]);
}

static void test_alias(void)
{
    unsigned wrong = 0;
    struct state s;

    for (unsigned i = 0; i < 32; i++)
        pd[0][i] = pd[1][i] = i << 22 | 0x87;
    for (unsigned i = 0; i < 1024; i++)
        pt[i] = (AREA + (i % 8) * PAGE) | 7; /* each frame at 128 places */
    pd[0][0x40000000u >> 22] = (uint32_t)pt | 7;
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3((uint32_t)pd[0]);
    write_cr0(read_cr0() | CR0_PG);
    for (unsigned i = 0; i < 2000; i++) {
        unsigned frame = rnd() % 8;
        uint8_t *a = (uint8_t *)0x40000000u + (frame + 8 * (rnd() % 128)) * PAGE;
        uint8_t *b = (uint8_t *)0x40000000u + (frame + 8 * (rnd() % 128)) * PAGE;
        put_return(a + 64, i);
        serialize();
        wrong += call(b + 64) != i;
    }
    check_equal(wrong, 0, "alias: 128 addresses for each of 8 frames");
    /* Written under one directory, executed under another in which the address is not even mapped. */
    wrong = 0;
    for (unsigned i = 0; i < 500; i++) {
        write_cr3((uint32_t)pd[0]);
        put_return((uint8_t *)0x40000000u + 3 * PAGE, i);
        write_cr3((uint32_t)pd[1]);
        wrong += call(area + 3 * PAGE) != i;
        put_return(area + 3 * PAGE, ~i);
        barrier();
        write_cr3((uint32_t)pd[0]);
        wrong += call((uint8_t *)0x40000000u + 3 * PAGE) != ~i;
    }
    check_equal(wrong, 0, "address spaces: code written in one, run in the other");
    /* Ring 0 writes what ring 3 runs. */
    wrong = 0;
    for (unsigned i = 0; i < 300; i++) {
        uint8_t *p = area + 5 * PAGE;
        put_bytes(put32(put8(p, 0xb8), i), (uint8_t[]){0xcd, VEC_DONE}, 2);
        state_init(&s, 3, p);
        run(&s);
        wrong += s.vector != VEC_DONE || s.eax != i;
    }
    check_equal(wrong, 0, "rings: ring 0 writes what ring 3 runs");
    /* Ring 3 writes what ring 3 runs. */
    SNIPPET(code_smc3, "movl $200, %ecx\n xorl %ebx, %ebx\n"
                       "1: movb $0xb8, (%esi)\n movl %ecx, 1(%esi)\n movb $0xc3, 5(%esi)\n call *%esi\n"
                       " addl %eax, %ebx\n decl %ecx\n jnz 1b");
    state_init(&s, 3, code_smc3);
    s.esi = AREA + 6 * PAGE;
    run(&s);
    check(s.vector == VEC_DONE && s.ebx == 20100, "rings: ring 3 writes what it runs");
    /* A page table changes at the same time as the code: a frame is replaced by one with other code. */
    wrong = 0;
    for (unsigned i = 0; i < 500; i++) {
        put_return(area + (i & 1) * PAGE, i);
        barrier();
        pt[10] = (AREA + (i & 1) * PAGE) | 7;
        invlpg(0x40000000u + 10 * PAGE);
        wrong += call((uint8_t *)0x40000000u + 10 * PAGE) != i;
    }
    check_equal(wrong, 0, "remap: the frame and its code change together");
    test_thunk(3, 0,
               (const char *[]){"thunk, ring 3: reads its return address", "thunk, ring 3: rewritten",
                                "thunk, ring 3: remapped", "thunk, ring 3: its page absent by turns",
                                "thunk, ring 3: another one in another address space"});
    write_cr4(read_cr4() | CR4_PGE);
    test_thunk(0, 0x100,
               (const char *[]){"thunk, ring 0, global: reads its return address", "thunk, ring 0, global: rewritten",
                                "thunk, ring 0, global: remapped", "thunk, ring 0, global: its page absent by turns",
                                "thunk, ring 0: another one in another address space"});
    write_cr0(read_cr0() & ~CR0_PG);
}

/* --- Code and data in one page --- */

static void test_mixed(void)
{
    uint8_t *p = area + 24 * PAGE;
    volatile uint32_t *counter = (volatile uint32_t *)(p + 2048);

    /* incl counter; decl %ecx; jnz; ret */
    uint8_t *q = put_bytes(p, (uint8_t[]){0xff, 0x05}, 2);
    q = put32(q, (uint32_t)counter);
    put_bytes(q, (uint8_t[]){0x49, 0x75, 0xf7, 0xc3}, 4);
    *counter = 0;
    uint32_t n = 100000;
    __asm__ volatile("call *%1" : "+c"(n) : "r"(p) : "eax", "edx", "memory", "cc");
    check_equal(*counter, 100000, "mixed: code writes data in its own page");
    check_equal(n, 0, "mixed: registers");
    /* Data beside the code, down to the next byte, written from outside and read by the code. */
    unsigned wrong = 0;
    q = put_bytes(p, (uint8_t[]){0xa1}, 1); /* mov data, %eax; ret */
    q = put32(q, (uint32_t)p + 6);
    put8(q, 0xc3);
    for (unsigned i = 0; i < 20000; i++) {
        put32(p + 6, i);
        barrier();
        wrong += call(p) != i;
    }
    check_equal(wrong, 0, "mixed: data right behind the code");
    /* The stack in a page with code. */
    uint8_t *r = area + 25 * PAGE;
    put_return(r, 5);
    uint32_t v;
    wrong = 0;
    for (unsigned i = 0; i < 5000; i++) {
        __asm__ volatile("movl %%esp, %%ebx\n movl %2, %%esp\n pushl %1\n call *%1\n movl %%ebx, %%esp"
                         : "=&a"(v)
                         : "r"(r), "r"(r + 4000)
                         : "ebx", "ecx", "edx", "memory", "cc");
        wrong += v != 5;
    }
    check_equal(wrong, 0, "mixed: the stack is in the page of the code");
}

/* --- A generator --- */

#define FUNCTIONS 10000
static void test_jit(void)
{
    static uint32_t at[FUNCTIONS], want[FUNCTIONS];
    unsigned wrong = 0;

    for (unsigned round = 0; round < 3; round++) {
        uint8_t *p = area + 0x100000 + round; /* other places each time, over the old ones */
        rnd_state = 77 + round;
        for (unsigned i = 0; i < FUNCTIONS; i++) {
            uint32_t v = rnd();
            at[i] = (uint32_t)p;
            p = put32(put8(p, 0xb8), v);
            for (unsigned k = rnd() % 6; k; k--) {
                uint32_t c = rnd();
                switch (c % 8) {
                case 0:
                    p = put32(put8(p, 0x05), c);
                    v += c;
                    break;
                case 1:
                    p = put32(put8(p, 0x2d), c);
                    v -= c;
                    break;
                case 2:
                    p = put32(put8(p, 0x35), c);
                    v ^= c;
                    break;
                case 3:
                    p = put32(put8(p, 0x25), c | 0xff00ff);
                    v &= c | 0xff00ff;
                    break;
                case 4:
                    p = put_bytes(p, (uint8_t[]){0xc1, 0xc0, 5}, 3);
                    v = v << 5 | v >> 27;
                    break;
                case 5:
                    p = put_bytes(p, (uint8_t[]){0xf7, 0xd8}, 2);
                    v = -v;
                    break;
                case 6:
                    p = put_bytes(p, (uint8_t[]){0x0f, 0xc8}, 2);
                    v = __builtin_bswap32(v);
                    break;
                default:
                    p = put_bytes(p, (uint8_t[]){0xeb, 0x01, 0x0f}, 3);
                    break; /* jmp over a byte */
                }
            }
            /* Half of them call an earlier one. */
            if (i && (v & 1)) {
                unsigned other = v % i;
                p = put_bytes(p, (uint8_t[]){0x50, 0xe8}, 2);
                p = put32(p, at[other] - ((uint32_t)p + 4));
                p = put_bytes(p, (uint8_t[]){0x5a, 0x01, 0xd0}, 3); /* pop %edx; add %edx, %eax */
                /* The callee may clobber nothing but EAX and EDX; EDX is ours after POP. */
                v += want[other];
            }
            p = put8(p, 0xc3);
            want[i] = v;
            barrier();
            wrong += call((void *)at[i]) != v;
        }
        for (unsigned i = 0; i < FUNCTIONS; i++)
            wrong += call((void *)at[i]) != want[i];
    }
    check_equal(wrong, 0, "generator: 3 x 10000 functions, made, called, called again");
}

void guest_main(void)
{
    test_inline();
    test_blocks();
    test_across();
    test_strings();
    test_alias();
    test_mixed();
    test_jit();
}

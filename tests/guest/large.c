/* Large pages of user code: data all over one, what its entry allows, another frame in its place, and code in it that
 * changes. Which engine has what mapped in pieces of which size is not to be seen (Intel SDM vol. 3A, 4.3 and 4.6). */
#include "guest.h"

#define LARGE  0x400000u
#define FRAME  0x2000000u /* two large pages of RAM, and page tables' pages behind them */
#define TABLE  (FRAME + 2 * LARGE)
#define DATA   0x40000000u /* where user code sees the first */
#define OTHER  0x40400000u
#define WORDS  (LARGE / 4)
#define STATIC 0x1234567u

static uint32_t pd[1024] __attribute__((aligned(4096)));

/* In pages without the kernel's code, which could not run directly. */
__asm__(".pushsection .text.snippet,\"ax\"\n.balign 4096\n.popsection\n");
/* ECX words from EDI on: EAX, EAX + EBX, ...; their sum to EDX. */
SNIPPET(fill, "1: movl %eax, (%edi); addl %ebx, %eax; addl $4, %edi; decl %ecx; jnz 1b");
SNIPPET(add_up, "xorl %edx, %edx; 1: addl (%edi), %edx; addl $4, %edi; decl %ecx; jnz 1b");
/* ECX words, EBX bytes apart, EBP times. */
SNIPPET(
    stride,
    "2: movl %ecx, %eax; movl %edi, %esi; 1: addl $1, (%esi); addl %ebx, %esi; decl %eax; jnz 1b; decl %ebp; jnz 2b");
SNIPPET(load, "movl (%edi), %eax");
SNIPPET(store, "movl %eax, (%edi)");
/* Calls the code at EDI; with it, ECX times, the number that it returns is made another one. */
SNIPPET(call_it, "call *%edi");
SNIPPET(patch_it, "xorl %edx, %edx; 1: movl %ecx, 1(%esi); call *%edi; addl %eax, %edx; decl %ecx; jnz 1b");
__asm__(".pushsection .text.snippet,\"ax\"\n.balign 4096\n.popsection\n");

static void map(uint32_t at, uint32_t entry)
{
    pd[at >> 22] = entry;
    invlpg(at);
}

static uint32_t entry_at(uint32_t at)
{
    return *(volatile uint32_t *)&pd[at >> 22];
}

static void begin(struct state *s, const void *code, uint32_t edi)
{
    __asm__ volatile("" : : : "memory");
    state_init(s, 3, code);
    s->eflags = FL_IF; /* as programs have it: else nothing runs directly */
    s->edi = edi;
}

/* Vector, or the error code of a page fault at the address named. */
static uint32_t access(const void *code, uint32_t at, uint32_t *eax)
{
    struct state s;
    begin(&s, code, at);
    s.eax = *eax;
    run(&s);
    *eax = s.eax;
    return s.vector == EXC_PF && s.cr2 == at ? s.error : 0x100 + s.vector;
}
#define FINE (0x100u + VEC_DONE)

static void test_data(void)
{
    struct state s;
    const uint32_t *words = (const uint32_t *)FRAME;
    map(DATA, FRAME | ALL | P_PS);
    begin(&s, add_up, DATA);
    s.ecx = 16;
    run(&s);
    check(!(entry_at(DATA) & P_D) && entry_at(DATA) & P_A, "what was only read is accessed, not dirty");
    begin(&s, fill, DATA);
    s.eax = 5;
    s.ebx = 7;
    s.ecx = WORDS;
    run_expect(&s, VEC_DONE, 0, "all of a large page is written");
    check(entry_at(DATA) & P_D, "and dirty");
    unsigned wrong = 0;
    for (uint32_t i = 0; i < WORDS; i++)
        wrong += words[i] != 5 + 7 * i;
    check_equal(wrong, 0, "each word");
    begin(&s, add_up, DATA);
    s.ecx = WORDS;
    run(&s);
    check_equal(s.edx, WORDS * 5 + 7 * (WORDS / 2 * (WORDS - 1)), "and read again");
    uint32_t before = words[3 * PAGE / 4];
    begin(&s, stride, DATA);
    s.ecx = LARGE / PAGE;
    s.ebx = PAGE;
    s.ebp = 500;
    run(&s);
    check_equal(words[3 * PAGE / 4], before + 500, "a word of each page, many times");
}

static void test_rights(void)
{
    uint32_t v = 1;
    map(DATA, FRAME | P_P | P_U | P_PS);
    check_equal(access(load, DATA + 0x1230, &v), FINE, "a page for reading is read");
    check_equal(access(store, DATA + 0x1230, &v), 7, "and not written");
    map(DATA, FRAME | P_P | P_W | P_PS);
    check_equal(access(load, DATA + 0x3ff000, &v), 5, "the supervisor's");
    map(DATA, 0);
    check_equal(access(store, DATA + 0x3ff000, &v), 6, "a page that is not there");
    map(DATA, FRAME | ALL | P_PS);
    v = STATIC;
    check_equal(access(store, DATA + 0x3ff000, &v), FINE, "back again");
    check_equal(*(volatile uint32_t *)(FRAME + 0x3ff000), STATIC, "and written");
    check(entry_at(DATA) & P_D, "dirty by that");
    map(DATA, FRAME | ALL | P_PS | P_A);
    check_equal(access(load, DATA + 0x3ff000, &v), FINE, "the dirty bit is taken away");
    check(!(entry_at(DATA) & P_D), "and reading does not bring it back");
    check_equal(access(store, DATA + 0x2000, &v), FINE, "but a store,");
    check(entry_at(DATA) & P_D, "wherever in the page it is");
}

static void test_frames(void)
{
    unsigned wrong = 0;
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t at = rnd() % WORDS * 4, which = rnd() % 2, kind = rnd() % 3, frame = FRAME + which * LARGE, v = round;
        uint32_t *table = (uint32_t *)TABLE;
        if (kind == 2) { /* the same in small pages */
            for (uint32_t j = 0; j < 1024; j++)
                table[j] = (frame + j * PAGE) | ALL;
            map(DATA, TABLE | ALL);
        } else {
            map(DATA, frame | ALL | P_PS);
        }
        write_cr3((uint32_t)pd);
        wrong += access(store, DATA + at, &v) != FINE || *(volatile uint32_t *)(frame + at) != round;
        *(volatile uint32_t *)(frame + at) = ~round;
        wrong += access(load, DATA + at, &v) != FINE || v != ~round;
    }
    check_equal(wrong, 0, "other frames, large and small, in its place");
}

/* mov $number, %eax; ret */
static void put_code(uint32_t at, uint32_t number)
{
    uint8_t *p = (uint8_t *)at;
    p[0] = 0xb8;
    memcpy(p + 1, &number, 4);
    p[5] = 0xc3;
}

/* mov %cs, %eax; ret: an instruction that says on which processor it runs */
static void put_selector(uint32_t at)
{
    memcpy((uint8_t *)at, "\x8c\xc8\xc3", 3);
}

/* ECX turns, each a few blocks; EDX counts every other one. */
extern uint8_t turns[], turns_end[];
__asm__(".pushsection .rodata\n"
        "turns: movl %cs, %eax\n xorl %edx, %edx\n"
        "1: call 2f\n decl %ecx\n jnz 1b\n ret\n"
        "2: testb $1, %cl\n jz 3f\n incl %edx\n"
        "3: ret\n"
        "turns_end: .popsection\n");

static uint32_t call(uint32_t at)
{
    struct state s;
    begin(&s, call_it, at);
    run(&s);
    return s.vector == VEC_DONE ? s.eax : 0xdead0000 + s.vector;
}

static void test_code(void)
{
    struct state s;
    unsigned wrong = 0, patched = 0, beside = 0, selectors = 0;
    map(DATA, FRAME | ALL | P_PS);
    map(OTHER, FRAME | ALL | P_PS);
    for (uint32_t round = 1; round <= 300; round++) {
        uint32_t at = rnd() % 64 * PAGE * 16 + 64, seen = (round & 1 ? DATA : OTHER);
        put_code(FRAME + at, round);
        wrong += call(seen + at) != round;
        wrong += call(DATA + OTHER - seen + at) != round;
        /* Data in the same page, and in the next. */
        uint32_t v = round;
        beside += access(store, seen + at + 0x800, &v) != FINE || *(volatile uint32_t *)(FRAME + at + 0x800) != round;
        beside += access(store, seen + at + 0x1000, &v) != FINE || *(volatile uint32_t *)(FRAME + at + 0x1000) != round;
        wrong += call(seen + at) != round;
        state_init(&s, 3, call_it);
        put_selector(FRAME + at);
        selectors += call(seen + at) != s.cs;
    }
    check_equal(wrong, 0, "code in a large page, seen at two places");
    check_equal(selectors, 0, "code that may not run directly, where some was that might");
    check_equal(beside, 0, "data in the same page, and in the next");
    for (uint32_t round = 1; round <= 20; round++) {
        uint32_t at = rnd() % 1024 * PAGE + 128;
        put_code(FRAME + at, 0);
        begin(&s, patch_it, DATA + at);
        s.esi = round & 1 ? DATA + at : OTHER + at;
        s.ecx = 50;
        run(&s);
        patched += s.vector != VEC_DONE || s.edx != 50 * 51 / 2;
    }
    check_equal(patched, 0, "code that user code changes, there or at another place");
    unsigned stale = 0;
    for (uint32_t round = 1; round <= 50; round++) { /* what was made of the kernel's code is older than the mapping */
        uint32_t at = rnd() % 1024 * PAGE + 128, v = round;
        put_code(FRAME + at, 0);
        stale += ((uint32_t(*)(void))(FRAME + at))() != 0;
        map(DATA, 0);
        map(DATA, FRAME | ALL | P_PS | P_A | P_D);
        write_cr3((uint32_t)pd); /* programs that were found not to be worth it run directly again */
        stale += access(load, DATA, &v) != FINE;
        v = round;
        stale += access(store, DATA + at + 1, &v) != FINE || ((uint32_t(*)(void))(FRAME + at))() != round;
    }
    check_equal(stale, 0, "code older than the mapping that it is changed through");
    memcpy((void *)(FRAME + 0x300000), turns, (size_t)(turns_end - turns));
    write_cr3((uint32_t)pd);
    begin(&s, call_it, DATA + 0x300000);
    s.ecx = 1000000;
    run(&s);
    check_equal(s.edx, 500000, "a loop on a page that may not run directly");
    /* And what was code is data for long. */
    begin(&s, stride, DATA);
    s.ecx = LARGE / PAGE;
    s.ebx = PAGE;
    s.ebp = 500;
    run_expect(&s, VEC_DONE, 0, "what was code is data");
}

void guest_main(void)
{
    pic_init();
    for (uint32_t i = 0; i < 32; i++)
        pd[i] = i * LARGE | ALL | P_PS;
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3((uint32_t)pd);
    write_cr0(read_cr0() | CR0_PG | CR0_WP);
    test_data();
    test_rights();
    test_frames();
    test_code();
    write_cr0(read_cr0() & ~CR0_PG);
    guest_end();
}

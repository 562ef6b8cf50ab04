/* One page of programs' code at many places: whatever of it depends on where it is. Calls, returns and what they push,
 * INT and faults, code across a page's end and functions in the next page, which is another one elsewhere; writes to
 * the page, and other pages in its place. */
#include "guest.h"

#define FRAME  0x2000000u /* the code's; then two that come next to it, by turns */
#define PLACES 64u        /* of four pages: code, what comes next, two that are never there */
#define AT(n)  ((uint32_t)(0x40000000u + (n)*4 * PAGE))

static uint32_t pd[1024] __attribute__((aligned(4096)));
static uint32_t pt[1024] __attribute__((aligned(4096)));

extern uint8_t sh_begin[], sh_end[], sh_nest[], sh_first[], sh_second[], sh_enter[], sh_far[], sh_far_ra[], sh_load[],
    sh_ud[], sh_int[], sh_int_ra[], sh_jump[], sh_done[], sh_imm[], sh_cross[], sh_fpu[], sh_fpu_insn[], sh_live[],
    sh_cond[], sh_many[];
__asm__(
    ".pushsection .text.shared,\"ax\"\n.balign 4096\n"
    "sh_begin:\n"
    /* EBX = EBX + an EIP of this page; ECX levels more, at the places that ESI lists; EBX = EBX * 3 + another one. */
    "sh_nest: call sh_first\n"
    "sh_first: pop %eax\n addl %eax, %ebx\n decl %ecx\n jz 1f\n movl (%esi), %edx\n addl $4, %esi\n call *%edx\n"
    "1: call sh_own\n"
    "sh_second: leal (%ebx, %ebx, 2), %ebx\n addl %eax, %ebx\n ret\n"
    "sh_own: movl (%esp), %eax\n nop\n ret\n"
    "sh_enter: call sh_nest\n int $0x80\n"
    /* What it calls is in the next page: EBX = where it returns to, or EBX + 7. */
    "sh_far: call sh_begin + 4096 + 16\n"
    "sh_far_ra: int $0x80\n"
    "sh_load: movl (%edi), %eax\n int $0x80\n"
    "sh_ud: ud2\n"
    "sh_int: int $0x81\n"
    "sh_int_ra: nop\n"
    "sh_jump: push %edx\n ret\n"
    "sh_done: int $0x80\n"
    "sh_imm: movl $0, %eax\n int $0x80\n"
    "sh_fpu: fninit\n"
    "sh_fpu_insn: fld1\n fnstenv (%edi)\n int $0x80\n"
    /* Flags that live across a call, and across the page's end. */
    "sh_live: stc\n call 1f\n adcl $0, %ebx\n stc\n jmp sh_cross\n"
    "1: leal 1(%ebx), %ebx\n ret\n"
    "sh_cond: stc\n jmp sh_cross\n"
    /* EBX = the sum of what ECX functions return, one each 256 bytes from ESI on. */
    "sh_many: call *%esi\n addl %eax, %ebx\n addl $256, %esi\n decl %ecx\n jnz sh_many\n int $0x80\n"
    ".org sh_begin + 4094\n"
    "sh_cross: .byte 0xb8, 0x11\n" /* mov $..., %eax: three more bytes in the next page */
    "sh_end: .popsection\n");

/* The two pages that come next to the code, by which. */
static void put_next(unsigned which)
{
    uint8_t *p = (uint8_t *)(FRAME + (1 + which) * PAGE);
    static const uint8_t common[] = {0x22, 0x33, 0x00, /* ... of sh_cross */
                                     0x83, 0xd3, 0x00, /* adc $0, %ebx */
                                     0xcd, 0x80};
    memset(p, 0xf4, PAGE);
    memcpy(p, common, sizeof common);
    p[2] = (uint8_t)(0x44 + which);
    memcpy(p + 16, which ? "\x8d\x5b\x07\xc3" : "\x8b\x1c\x24\xc3", 4);
}

static void map(unsigned place, unsigned page, uint32_t entry)
{
    pt[place * 4 + page] = entry;
    invlpg(AT(place) + page * PAGE);
}

static uint32_t where(unsigned place, const uint8_t *label)
{
    return AT(place) + (uint32_t)(label - sh_begin);
}

/* EBX = 1 and ESI, EDI as they are to be. */
static void run_at(struct state *s, unsigned place, const uint8_t *label)
{
    __asm__ volatile("" : : : "memory");
    state_init(s, 3, (void *)where(place, label));
    s->ebx = 1;
}

static void test_nested(void)
{
    static uint32_t list[32];
    struct state s;
    unsigned wrong = 0;
    for (unsigned round = 0; round < 400; round++) {
        unsigned place[33], levels = 1 + rnd() % 32;
        uint32_t want = 1;
        for (unsigned i = 0; i < levels; i++)
            place[i] = round & 1 ? rnd() % PLACES : rnd() % 2;
        for (unsigned i = 0; i < levels; i++) {
            want += where(place[i], sh_first);
            if (i)
                list[i - 1] = where(place[i], sh_nest);
        }
        for (unsigned i = levels; i-- > 0;)
            want = want * 3 + where(place[i], sh_second);
        run_at(&s, place[0], sh_enter);
        s.ecx = levels;
        s.esi = (uint32_t)list;
        run(&s);
        wrong += s.vector != VEC_DONE || s.ebx != want;
    }
    check_equal(wrong, 0, "calls from place to place and back");
}

static void test_eips(void)
{
    static uint32_t env[7];
    struct state s;
    unsigned wrong = 0, fips = 0, jumps = 0;
    for (unsigned place = 0; place < PLACES; place++) {
        run_at(&s, place, sh_ud);
        run(&s);
        wrong += s.vector != 6 || s.eip != where(place, sh_ud);
        run_at(&s, place, sh_int);
        run(&s);
        wrong += s.vector != 0x81 || s.eip != where(place, sh_int_ra);
        run_at(&s, place, sh_load);
        s.edi = AT(0) + 2 * PAGE;
        run(&s);
        wrong += s.vector != 14 || s.eip != where(place, sh_load) || s.cr2 != AT(0) + 2 * PAGE;
        run_at(&s, place, sh_jump);
        s.edx = where(PLACES - 1 - place, sh_done);
        run(&s);
        jumps += s.vector != VEC_DONE || s.eip != where(PLACES - 1 - place, sh_done) + 2;
        run_at(&s, place, sh_fpu);
        s.edi = (uint32_t)env;
        run(&s);
        fips += s.vector != VEC_DONE || (env[3] && env[3] != where(place, sh_fpu_insn));
    }
    check_equal(wrong, 0, "EIP of #UD, INT, #PF");
    check_equal(jumps, 0, "RET to another place");
    check_equal(fips, 0, "FIP, where there is one");
}

static void test_next_page(void)
{
    struct state s;
    unsigned cross = 0, far = 0, absent = 0, live = 0;
    for (unsigned round = 0; round < 4 * PLACES; round++) {
        unsigned place = rnd() % PLACES, which = rnd() % 2;
        map(place, 1, (FRAME + (1 + which) * PAGE) | 7);
        run_at(&s, place, sh_cross);
        run(&s);
        cross += s.vector != VEC_DONE || s.eax != (0x332211 | (0x44 + which) << 24) || s.eip != AT(place) + PAGE + 8;
        run_at(&s, place, sh_far);
        run(&s);
        far += s.vector != VEC_DONE || s.ebx != (which ? 8 : where(place, sh_far_ra));
        run_at(&s, place, sh_live);
        run(&s);
        live += s.vector != VEC_DONE || s.ebx != 4;
        map(place, 1, 0);
        run_at(&s, place, sh_cond);
        run(&s);
        absent += s.vector != 14 || s.eip != where(place, sh_cross) || s.cr2 != AT(place) + PAGE || s.ebx != 1;
        run_at(&s, place, sh_far);
        run(&s);
        absent += s.vector != 14 || s.eip != AT(place) + PAGE + 16 || s.ebx != 1;
    }
    check_equal(cross, 0, "an instruction across the page's end, and what comes next there");
    check_equal(far, 0, "a function in the next page, which is another one elsewhere");
    check_equal(live, 0, "flags live across calls and the page's end");
    check_equal(absent, 0, "the next page is not there");
}

static void test_changes(void)
{
    struct state s;
    uint8_t *code = (uint8_t *)FRAME;
    unsigned wrong = 0, swapped = 0;
    for (uint32_t round = 0; round < 300; round++) {
        unsigned place = rnd() % PLACES;
        memcpy(code + (sh_imm - sh_begin) + 1, &round, 4);
        for (unsigned k = 0; k < 3; k++) {
            run_at(&s, (place + k * 7) % PLACES, sh_imm);
            run(&s);
            wrong += s.vector != VEC_DONE || s.eax != round;
        }
    }
    check_equal(wrong, 0, "a write to the page, seen at all places");
    /* A copy of the page, another number in it, takes its place at some. */
    uint8_t *copy = (uint8_t *)(FRAME + 3 * PAGE);
    uint32_t number[2] = {0x1000, 0x2000};
    memcpy(code + (sh_imm - sh_begin) + 1, &number[0], 4);
    memcpy(copy, code, PAGE);
    memcpy(copy + (sh_imm - sh_begin) + 1, &number[1], 4);
    for (unsigned round = 0; round < 300; round++) {
        unsigned place = rnd() % 8, which = rnd() % 2;
        map(place, 0, (which ? FRAME + 3 * PAGE : FRAME) | 7);
        run_at(&s, place, sh_imm);
        run(&s);
        swapped += s.vector != VEC_DONE || s.eax != number[which];
        run_at(&s, place, sh_ud);
        run(&s);
        swapped += s.vector != 6 || s.eip != where(place, sh_ud);
    }
    check_equal(swapped, 0, "other pages in its place");
}

/* More code than jump tables have room for at a time, in pages that change: what is gone makes room for what comes. */
static void test_many(void)
{
    enum { BEGIN = 0x2400000, COUNT = 65536 };
    struct state s;
    unsigned wrong = 0;
    for (uint32_t round = 0; round < 3; round++) {
        uint32_t want = 1;
        for (uint32_t n = 0; n < COUNT; n++) { /* mov $..., %eax; ret */
            uint8_t *p = (uint8_t *)BEGIN + n * 256;
            uint32_t value = n * 3 + round;
            p[0] = 0xb8;
            memcpy(p + 1, &value, 4);
            p[5] = 0xc3;
            want += value;
        }
        for (unsigned k = 0; k < 2; k++) {
            run_at(&s, k, sh_many);
            s.esi = BEGIN;
            s.ecx = COUNT;
            run(&s);
            wrong += s.vector != VEC_DONE || s.ebx != want;
        }
    }
    check_equal(wrong, 0, "65,536 functions in 16 MiB, three times others");
}

void guest_main(void)
{
    gate_set(0x81, D_INT32 | D_DPL(3));
    check(sh_end - sh_begin == 4096, "the code is a page");
    memcpy((void *)FRAME, sh_begin, PAGE);
    put_next(0);
    put_next(1);
    for (unsigned i = 0; i < 32; i++)
        pd[i] = i << 22 | 0x87;
    for (unsigned n = 0; n < PLACES; n++) {
        pt[n * 4] = FRAME | 7;
        pt[n * 4 + 1] = (FRAME + (1 + n % 2) * PAGE) | 7;
    }
    pd[0x40000000u >> 22] = (uint32_t)pt | 7;
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3((uint32_t)pd);
    write_cr0(read_cr0() | CR0_PG);
    test_nested();
    test_eips();
    test_next_page();
    test_changes();
    test_many();
    test_nested();
    guest_end();
}

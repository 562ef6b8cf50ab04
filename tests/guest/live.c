/* Code whose meaning depends on bytes elsewhere: flags that only the code behind a block reads, targets of jumps and
 * calls, short ways copied into their callers, instructions across pages. What is looked at changes between two runs,
 * in a page that holds only code and in one that is written all the time. Intel SDM vol. 3A, 8.1.3.
 */
#include "guest.h"

#define ROUNDS  400
#define FAR_OFF 0x40u
#define FRAME   0x3000000u /* mapped again and again from ALIAS on */
#define ALIAS   0x40000000u

static uint8_t *const area = (uint8_t *)0x2000000;
static uint32_t directory[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));

/* Ends at INT 80h if ZF is set and else at INT 81h; or always at INT 80h, and reads no flags. */
static const uint8_t reads[] = {0x74, 2, 0xcd, 0x81, 0xcd, 0x80}, kills[] = {0x85, 0xc0, 0xcd, 0x80};

static const struct {
    const char *name;
    uint8_t length, code[12];
    bool far_off; /* the end is at FAR_OFF, else behind the code */
} openings[] = {
    {"a push", 1, {0x06}, false},
    {"a store", 2, {0x89, 0x03}, false},
    {"a string store", 1, {0xaa}, false},
    {"a jump", 2, {0xeb, FAR_OFF - 2}, true},
    {"a call", 5, {0xe8, FAR_OFF - 5, 0, 0, 0}, true},
    {"jecxz", 2, {0xe3, FAR_OFF - 2}, true},
    {"loop", 3, {0x41, 0xe2, FAR_OFF - 3}, true}, /* ECX = 1 or 2 */
    {"a jump to a jump", 2, {0xeb, FAR_OFF - 2 - 8}, true},
    {"a move and a push", 3, {0x89, 0xc2, 0x06}, false},
};

static void one_opening(unsigned n, bool busy)
{
    unsigned wrong = 0, first = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        bool reading = i & 1;
        /* A page is forgotten when others have come in between. */
        uint8_t *page = busy ? area : area + (1 + i % 200) * 4096;
        struct state s;

        memset(page, 0xcc, 128);
        memcpy(page, openings[n].code, openings[n].length);
        uint8_t *end = page + (openings[n].far_off ? FAR_OFF : openings[n].length);
        page[FAR_OFF - 8] = 0xeb; /* for the jump to a jump */
        page[FAR_OFF - 7] = 6;
        memcpy(end, reading ? reads : kills, reading ? sizeof reads : sizeof kills);
        state_init(&s, 0, page);
        s.ebx = s.edi = (uint32_t)area + 0x300000;
        s.ecx = n == 6 ? 1 : 0;
        s.eflags = 2;
        run(&s);
        if (s.vector != (reading ? 0x81 : 0x80) && !wrong++)
            first = i;
        if (!busy) /* the same once more, with another end */
            continue;
        memcpy(end, reading ? kills : reads, reading ? sizeof kills : sizeof reads);
        state_init(&s, 0, page);
        s.ebx = s.edi = (uint32_t)area + 0x300000;
        s.ecx = n == 6 ? 1 : 0;
        s.eflags = 2;
        run(&s);
        if (s.vector != (reading ? 0x80 : 0x81) && !wrong++)
            first = i;
    }
    if (!check(!wrong, "flags read only behind %s, %s", openings[n].name, busy ? "beside data" : "in code"))
        print("# wrong %u times, first in round %u\n", wrong, first);
}

static uint32_t call(const void *at)
{
    uint32_t v;
    __asm__ volatile("call *%1" : "=a"(v) : "r"(at), "0"(0) : "ebx", "ecx", "edx", "memory", "cc");
    return v;
}

/* Code that returns 1 with word `one` at `changes`, 2 with `two`. */
static void changing(const char *name, uint8_t *code, uint8_t *changes, uint32_t one, uint32_t two)
{
    uint32_t got[2];
    unsigned wrong = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        memcpy(changes, &one, 4);
        got[0] = call(code);
        memcpy(changes, &two, 4);
        got[1] = call(code);
        wrong += got[0] != 1 || got[1] != 2;
    }
    if (!check(!wrong, "%s", name))
        print("# wrong %u times of %u, last %u, %u\n", wrong, ROUNDS, (unsigned)got[0], (unsigned)got[1]);
}

static void put_call(uint8_t *at, const uint8_t *target)
{
    uint32_t rel = (uint32_t)(target - (at + 5));
    at[0] = 0xe8;
    memcpy(at + 1, &rel, 4);
}

static void test_copies(void)
{
    /* How position-independent code learns its address: EBX or EDX by what is called. */
    static const uint8_t after[] = {0x85, 0xdb, 0xb8, 1, 0, 0, 0, 0x75, 1, 0x40, 0xc3}; /* EAX = EBX ? 1 : 2 */
    for (unsigned other = 0; other < 2; other++) {
        uint8_t *page = area + 0x200000 + other * 0x4000, *thunk = page + (other ? 4096 : 0x80);
        memset(page, 0xcc, 8192);
        page[0] = 0x31, page[1] = 0xdb; /* EBX = 0 */
        put_call(page + 2, thunk);
        memcpy(page + 7, after, sizeof after);
        changing(other ? "the callee that returns its address, in another page" : "the callee that returns its address",
                 page, thunk, 0xc3241c8b, 0xc324148b);
    }
    /* A short way to a return, shared by two cases. */
    uint8_t *page = area + 0x210000, *shared = page + 0x80;
    static const uint8_t cases[] = {0x85, 0xc0, 0x75, 0x0c, 0xe9, 0x77, 0, 0, 0};
    static const uint8_t way[] = {0xb8, 1, 0, 0, 0, 0xc3};
    memset(page, 0xcc, 4096);
    memcpy(page, cases, sizeof cases);
    memcpy(page + 16, "\xe9\x6b\0\0", 5);
    memcpy(shared, way, sizeof way);
    changing("the shared way to a return", page, shared + 1, 1, 2);
    /* An instruction across the end of the page: its last bytes change, or the first. */
    uint8_t *second = area + 0x221000, *cross = second - 3;
    memset(second - 64, 0x90, 128);
    memcpy(cross, way, sizeof way);
    memcpy(second - 64, "\x31\xc0", 2);
    changing("an instruction across two pages, its end", second - 64, second - 2, 1, 2);
    memcpy(second - 1, "\0\0\0\xc3", 4);
    unsigned wrong = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        cross[1] = 1; /* this page is written, too */
        second[0] = (uint8_t)i;
        wrong += call(second - 64) != (1 | (i & 0xff) << 16);
    }
    check(!wrong, "an instruction across two pages, the page it goes on in");
    /* What does not decode, beside data. */
    page = area + 0x230000;
    wrong = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct state s;
        memset(page, 0x90, 16);
        page[100] = (uint8_t)i;
        memcpy(page + 4, i & 1 ? "\x0f\xff\xff" : "\x8c\xff\xff", 3);
        state_init(&s, 3, page);
        run(&s);
        wrong += s.vector != EXC_UD || s.eip != (uint32_t)page + 4;
    }
    check(!wrong, "an instruction that is none, beside data");
}

/* One frame, mapped twice in a row: an instruction begins at its end and goes on at its start. */
static void test_alias(void)
{
    uint8_t *frame = (uint8_t *)FRAME;
    unsigned wrong = 0;

    for (unsigned i = 0; i < 1024; i++) {
        directory[i] = i << 22 | 0x83;
        table[i] = FRAME | 3;
    }
    directory[ALIAS >> 22] = (uint32_t)table | 3;
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3((uint32_t)directory);
    write_cr0(read_cr0() | CR0_PG);
    memset(frame, 0x90, 4096);
    memcpy(frame + 4096 - 2, "\xb8", 1); /* MOV EAX, imm32; RET */
    for (unsigned i = 0; i < ROUNDS; i++) {
        memcpy(frame + 4095, &(uint8_t){(uint8_t)i}, 1);
        memcpy(frame, "\0\0\0\xc3", 4);
        wrong += call((void *)(ALIAS + 4096 * (i % 5) + 4094)) != (i & 0xff);
        frame[1] = 1;
        wrong += call((void *)(ALIAS + 4096 * (i % 3) + 4094)) != ((i & 0xff) | 0x10000);
    }
    check(!wrong, "an instruction from the end of a frame to its start");
}

void guest_main(void)
{
    for (unsigned n = 0; n < ARRAY_COUNT(openings); n++)
        for (unsigned busy = 0; busy < 2; busy++)
            one_opening(n, busy);
    test_copies();
    test_alias();
    guest_end();
}

/* Instructions that move ESP and whose memory operand faults: the frame shows ESP as it was before them, in all kinds
 * of code and segments, whether flags are live there or not. Intel SDM vol. 3A, 6.5 (faults).
 */
#include "guest.h"

#define CODE    0x5000u
#define HOLE    0x6000u
#define STACK   0x7800u
#define CODE16  (GDT_FREE | 3)
#define DATA16  ((GDT_FREE + 8) | 3)
#define LIMITED ((GDT_FREE + 16) | 3)
#define BASED   ((GDT_FREE + 24) | 3)

static uint32_t directory[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));

enum kind { FLAT, LIMITED_DATA, BASED_DATA, LIMITED_ALL, PM16, V86, KINDS };
static const char *const kind_names[] = {"flat",   "limited data", "data with a base", "limited data and stack",
                                         "16-bit", "virtual-8086"};

static const struct {
    const char *name;
    uint8_t length, code32[8], code16[8];
    bool at_stack; /* the fault is on the stack's side, whose page is missing: EBX is not used */
} cases[] = {
    {"pop mem", 2, {0x8f, 0x03}, {0x8f, 0x07}, false},
    {"push mem", 2, {0xff, 0x33}, {0xff, 0x37}, false},
    {"call mem", 2, {0xff, 0x13}, {0xff, 0x17}, false},
    {"push", 1, {0x50}, {0x50}, true},
    {"pop", 1, {0x58}, {0x58}, true},
    {"call", 5, {0xe8, 0, 0, 0, 0}, {0xe8, 0, 0, 0x90, 0x90}, true},
    {"ret", 1, {0xc3}, {0xc3}, true},
    {"ret 8", 3, {0xc2, 8, 0}, {0xc2, 8, 0}, true},
    {"pushf", 1, {0x9c}, {0x9c}, true},
    {"popf", 1, {0x9d}, {0x9d}, true},
    {"enter", 4, {0xc8, 8, 0, 0}, {0xc8, 8, 0, 0}, true},
    {"push es", 1, {0x06}, {0x06}, true},
    {"pop es", 1, {0x07}, {0x07}, true},
    {"push after two pushes", 3, {0x50, 0x50, 0x50}, {0x50, 0x50, 0x50}, true},
};

static void hole_set(bool there)
{
    table[HOLE >> 12] = there ? HOLE | 7 : 0;
    invlpg(HOLE);
}

static void one(unsigned n, enum kind kind, bool live)
{
    bool code16 = kind == PM16 || kind == V86;
    uint8_t *p = (uint8_t *)CODE;
    struct state s;

    hole_set(true);
    memset(p, 0xcc, 64);
    memset((void *)HOLE, 0, 8192);
    memcpy(p, code16 ? cases[n].code16 : cases[n].code32, cases[n].length);
    p += cases[n].length;
    memcpy(p, live ? "\x74" : "\x01\xc0", live ? 2 : 2); /* JZ +0, or ADD EAX, EAX: flags dead */
    hole_set(false);

    state_init(&s, 3, (void *)CODE);
    /* Above the hole pushes reach it, below its end pops do. "After two": those succeed. */
    bool pops = !memcmp(cases[n].name, "pop", 3) || !memcmp(cases[n].name, "ret", 3);
    unsigned word = code16 ? 2 : 4;
    uint32_t before = !cases[n].at_stack ? STACK
                      : pops             ? HOLE + 0x100
                                         : HOLE + 0x1000 + (cases[n].length == 3 && !pops ? 2 * word : 0);
    uint32_t after = !pops && cases[n].at_stack && cases[n].length == 3 ? before - 2 * word : before;
    s.ebx = HOLE + 0x80;
    s.esp = before;
    s.ebp = STACK;
    s.eflags |= FL_ZF;
    switch (kind) {
    case LIMITED_ALL:
        s.ss = LIMITED;
        /* fallthrough */
    case LIMITED_DATA:
        s.ds = LIMITED;
        break;
    case BASED_DATA:
        s.ds = BASED;
        s.ebx -= 0x1000;
        break;
    case PM16:
        s.cs = CODE16;
        s.ss = s.ds = s.es = s.fs = s.gs = DATA16;
        break;
    case V86:
        s.cs = s.ss = s.ds = s.es = s.fs = s.gs = 0;
        s.eflags |= FL_VM | FL_IOPL3;
        break;
    default:
        break;
    }
    run(&s);
    /* IRET to a 16-bit stack leaves the upper half of ESP alone. */
    uint32_t mask = kind == PM16 ? 0xffff : 0xffffffff;
    if (!check(s.vector == EXC_PF && (s.esp & mask) == after && (s.cr2 & 0xfffff000) == HOLE, "%s, %s, flags %s",
               cases[n].name, kind_names[kind], live ? "live" : "dead"))
        print("# vector %u cr2 %x eip %x esp %x, want %x\n", (unsigned)s.vector, (unsigned)s.cr2, (unsigned)s.eip,
              (unsigned)s.esp, (unsigned)after);
}

void guest_main(void)
{
    for (unsigned i = 0; i < 1024; i++)
        table[i] = i << 12 | 7;
    directory[0] = (uint32_t)table | 7;
    write_cr3((uint32_t)directory);
    write_cr0(read_cr0() | CR0_PG);
    gdt[GDT_FREE / 8] = desc_make(0, 0xffff, D_CODE | D_DPL(3));
    gdt[GDT_FREE / 8 + 1] = desc_make(0, 0xffff, D_DATA | D_DPL(3));
    gdt[GDT_FREE / 8 + 2] = desc_make(0, 0xfffff, D_DATA | D_DPL(3) | D_32);
    gdt[GDT_FREE / 8 + 3] = desc_make(0x1000, 0xfffff, D_DATA | D_DPL(3) | D_FLAT);
    for (unsigned n = 0; n < ARRAY_COUNT(cases); n++)
        for (unsigned kind = 0; kind < KINDS; kind++)
            for (unsigned live = 0; live < 2; live++)
                one(n, kind, live);
    hole_set(true);
    guest_end();
}

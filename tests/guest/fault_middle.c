/* Page faults in the middle of instructions that access memory more than once, or across two pages.
 *
 * Each instruction runs in each shape of segments and modes, with each of its operands at each distance from a page's
 * end, and one of the two pages missing. What must be right: the faulting address and the error code, for which the
 * accesses are listed in the processor's order; the registers, which are those of before but for what POPA has popped
 * and repeated strings have done; and that the instruction, done again when the page is there, ends as if nothing had
 * been.
 */
#include "guest.h"

enum {
    CODE = 0x5000,
    BORDERS = 3,
    /* ends of the first page of each pair */
    DATA = 0x9000,
    STACK = 0xb000,
    OTHER = 0xd000, /* the destination of strings */
    SEL = GDT_FREE,
};
/* PUSH of a segment register stores two bytes, whatever the operand size (Intel's processors), or zeros behind them. */
static bool selector_is_16;
static const uint32_t borders[BORDERS] = {DATA, STACK, OTHER};

static uint32_t directory[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));

/* Register that an access counts from: data EBX, stack ESP, frame EBP (in the stack's pages), strings ESI and EDI. */
enum base { D = 'd', S = 's', B = 'b', I = 'i', J = 'j' };
#define V 100 /* as a size: the operand's */
struct access {
    char base;
    int8_t units; /* offset in operand sizes, and in bytes */
    int8_t off;
    uint8_t size; /* V: the operand's, VP: a far pointer, VS: what PUSH stores of a selector */
    bool write;
};
#define VP 101
#define VS 102

enum {
    ONLY32 = 1, /* has no form with 16-bit addresses */
    FLAGS = 2,  /* what is popped must do as EFLAGS */
    TARGET = 4, /* memory holds the address behind the instruction */
    NULLS = 8,  /* memory must be zero: selectors */
    BYTES = 16, /* the operand is a byte, whatever the operand size */
    POPS = 32,  /* registers are loaded one by one */
    NO66 = 64,  /* the prefix would make something else of it */
    REPEATS = 128,
    ONLY_V86 = 256,
};

struct insn {
    const char *name;
    uint8_t c32[6], c16[6];
    uint8_t len;
    uint16_t flags;
    struct access a[11];
};

#define W true
#define R false
static const struct insn insns[] = {
    {"push eax", {0x50}, {0x50}, 1, 0, {{S, -1, 0, V, W}}},
    {"push 5", {0x6a, 5}, {0x6a, 5}, 2, 0, {{S, -1, 0, V, W}}},
    {"push esp", {0x54}, {0x54}, 1, 0, {{S, -1, 0, V, W}}},
    {"push [bx]", {0xff, 0x33}, {0xff, 0x37}, 2, 0, {{D, 0, 0, V, R}, {S, -1, 0, V, W}}},
    {"push fs", {0x0f, 0xa0}, {0x0f, 0xa0}, 2, 0, {{S, -1, 0, VS, W}}},
    {"pop eax", {0x58}, {0x58}, 1, 0, {{S, 0, 0, V, R}}},
    {"pop [bx]", {0x8f, 0x03}, {0x8f, 0x07}, 2, 0, {{S, 0, 0, V, R}, {D, 0, 0, V, W}}},
    {"pop [esp+8]", {0x8f, 0x44, 0x24, 8}, {0}, 4, ONLY32, {{S, 0, 0, V, R}, {S, 1, 8, V, W}}},
    {"pop es", {0x07}, {0x07}, 1, NULLS, {{S, 0, 0, V, R}}},
    {"pop fs", {0x0f, 0xa1}, {0x0f, 0xa1}, 2, NULLS, {{S, 0, 0, V, R}}},
    {"pusha",
     {0x60},
     {0x60},
     1,
     0,
     {{S, -1, 0, V, W},
      {S, -2, 0, V, W},
      {S, -3, 0, V, W},
      {S, -4, 0, V, W},
      {S, -5, 0, V, W},
      {S, -6, 0, V, W},
      {S, -7, 0, V, W},
      {S, -8, 0, V, W}}},
    {"popa",
     {0x61},
     {0x61},
     1,
     POPS,
     {{S, 0, 0, V, R},
      {S, 1, 0, V, R},
      {S, 2, 0, V, R},
      {S, 3, 0, V, R},
      {S, 4, 0, V, R},
      {S, 5, 0, V, R},
      {S, 6, 0, V, R},
      {S, 7, 0, V, R}}},
    {"pushf", {0x9c}, {0x9c}, 1, 0, {{S, -1, 0, V, W}}},
    {"popf", {0x9d}, {0x9d}, 1, FLAGS, {{S, 0, 0, V, R}}},
    {"enter 8,0", {0xc8, 8, 0, 0}, {0xc8, 8, 0, 0}, 4, 0, {{S, -1, 0, V, W}, {S, -1, -8, V, W}}},
    {"enter 8,1", {0xc8, 8, 0, 1}, {0xc8, 8, 0, 1}, 4, 0, {{S, -1, 0, V, W}, {S, -2, 0, V, W}, {S, -2, -8, V, W}}},
    {"enter 8,3",
     {0xc8, 8, 0, 3},
     {0xc8, 8, 0, 3},
     4,
     0,
     {{S, -1, 0, V, W},
      {B, -1, 0, V, R},
      {S, -2, 0, V, W},
      {B, -2, 0, V, R},
      {S, -3, 0, V, W},
      {S, -4, 0, V, W},
      {S, -4, -8, V, W}}},
    {"leave", {0xc9}, {0xc9}, 1, 0, {{B, 0, 0, V, R}}},
    {"call rel", {0xe8, 0, 0, 0, 0}, {0xe8, 0, 0}, 0, NO66, {{S, -1, 0, V, W}}},
    {"call [bx]", {0xff, 0x13}, {0xff, 0x17}, 2, TARGET | NO66, {{D, 0, 0, V, R}, {S, -1, 0, V, W}}},
    {"jmp [bx]", {0xff, 0x23}, {0xff, 0x27}, 2, TARGET | NO66, {{D, 0, 0, V, R}}},
    {"ret", {0xc3}, {0xc3}, 1, TARGET | NO66, {{S, 0, 0, V, R}}},
    {"ret 8", {0xc2, 8, 0}, {0xc2, 8, 0}, 3, TARGET | NO66, {{S, 0, 0, V, R}}},
    {"call far", {0}, {0x9a, 0, 0, 0, 0}, 5, ONLY_V86 | NO66, {{S, -1, 0, V, W}, {S, -2, 0, V, W}}},
    {"retf", {0}, {0xcb}, 1, ONLY_V86 | TARGET | NULLS, {{S, 1, 0, V, R}, {S, 0, 0, V, R}}},
    {"iret", {0}, {0xcf}, 1, ONLY_V86 | TARGET | NULLS, {{S, 2, 0, V, R}, {S, 1, 0, V, R}, {S, 0, 0, V, R}}},
    {"les", {0xc4, 0x03}, {0xc4, 0x07}, 2, NULLS, {{D, 0, 0, VP, R}}},
    {"lfs", {0x0f, 0xb4, 0x03}, {0x0f, 0xb4, 0x07}, 3, NULLS, {{D, 0, 0, VP, R}}},
    {"bound", {0x62, 0x03}, {0x62, 0x07}, 2, NULLS, {{D, 0, 0, V, R}, {D, 1, 0, V, R}}},
    {"mov ax,[bx]", {0x8b, 0x03}, {0x8b, 0x07}, 2, 0, {{D, 0, 0, V, R}}},
    {"mov [bx],ax", {0x89, 0x03}, {0x89, 0x07}, 2, 0, {{D, 0, 0, V, W}}},
    {"add [bx],ax", {0x01, 0x03}, {0x01, 0x07}, 2, 0, {{D, 0, 0, V, W}}},
    {"xchg [bx],ax", {0x87, 0x03}, {0x87, 0x07}, 2, 0, {{D, 0, 0, V, W}}},
    {"xadd [bx],ax", {0x0f, 0xc1, 0x03}, {0x0f, 0xc1, 0x07}, 3, 0, {{D, 0, 0, V, W}}},
    {"cmpxchg [bx],ax", {0x0f, 0xb1, 0x03}, {0x0f, 0xb1, 0x07}, 3, 0, {{D, 0, 0, V, W}}},
    {"cmpxchg8b", {0x0f, 0xc7, 0x0b}, {0x0f, 0xc7, 0x0f}, 3, NO66, {{D, 0, 0, 8, W}}},
    {"setz [bx]", {0x0f, 0x94, 0x03}, {0x0f, 0x94, 0x07}, 3, NO66, {{D, 0, 0, 1, W}}},
    {"fld m80", {0xdb, 0x2b}, {0xdb, 0x2f}, 2, NO66, {{D, 0, 0, 10, R}}},
    {"movups load", {0x0f, 0x10, 0x03}, {0x0f, 0x10, 0x07}, 3, NO66, {{D, 0, 0, 16, R}}},
    {"movups store", {0x0f, 0x11, 0x03}, {0x0f, 0x11, 0x07}, 3, NO66, {{D, 0, 0, 16, W}}},
    {"lods", {0xad}, {0xad}, 1, 0, {{I, 0, 0, V, R}}},
    {"stos", {0xab}, {0xab}, 1, 0, {{J, 0, 0, V, W}}},
    {"scas", {0xaf}, {0xaf}, 1, 0, {{J, 0, 0, V, R}}},
    {"movs", {0xa5}, {0xa5}, 1, 0, {{I, 0, 0, V, R}, {J, 0, 0, V, W}}},
    {"movsb", {0xa4}, {0xa4}, 1, BYTES, {{I, 0, 0, 1, R}, {J, 0, 0, 1, W}}},
    {"rep movs", {0xf3, 0xa5}, {0xf3, 0xa5}, 2, REPEATS, {{I, 0, 0, V, R}, {J, 0, 0, V, W}}},
    {"rep movsb", {0xf3, 0xa4}, {0xf3, 0xa4}, 2, REPEATS | BYTES, {{I, 0, 0, 1, R}, {J, 0, 0, 1, W}}},
    {"rep stos", {0xf3, 0xab}, {0xf3, 0xab}, 2, REPEATS, {{J, 0, 0, V, W}}},
    {"rep lods", {0xf3, 0xad}, {0xf3, 0xad}, 2, REPEATS, {{I, 0, 0, V, R}}},
    {"repne scas", {0xf2, 0xaf}, {0xf2, 0xaf}, 2, REPEATS, {{J, 0, 0, V, R}}},
};
#undef W
#undef R

static const char *const shapes[] = {"flat",         "data limited",    "stack limited", "based",
                                     "16-bit stack", "16-bit segments", "V86",           "expand-down"};
enum { SHAPE_FLAT, SHAPE_DATA, SHAPE_STACK, SHAPE_BASED, SHAPE_STACK16, SHAPE_16, SHAPE_V86, SHAPE_DOWN, SHAPES };
#define BASE 0x1000u /* of SHAPE_BASED */

static bool is_code16(unsigned shape)
{
    return shape == SHAPE_16 || shape == SHAPE_V86;
}
static bool is_stack16(unsigned shape)
{
    return is_code16(shape) || shape == SHAPE_STACK16;
}

/* Descriptors: code16, then data and stack of each shape. */
static void make_descriptors(void)
{
    unsigned data = D_DATA | D_DPL(3), down = data | 4;
    static const struct {
        uint32_t base, limit;
        unsigned more;
        bool is_down;
    } d[2 * SHAPES] = {
        [2 * SHAPE_DATA] = {0, 0xfffff, D_32, false},       [2 * SHAPE_STACK + 1] = {0, 0xfffff, D_32, false},
        [2 * SHAPE_BASED] = {BASE, 0xfffff, D_FLAT, false}, [2 * SHAPE_BASED + 1] = {BASE, 0xfffff, D_FLAT, false},
        [2 * SHAPE_STACK16 + 1] = {0, 0xffff, 0, false},    [2 * SHAPE_16] = {0, 0xffff, 0, false},
        [2 * SHAPE_16 + 1] = {0, 0xffff, 0, false},         [2 * SHAPE_DOWN] = {0, 0x4fff, D_32, true},
        [2 * SHAPE_DOWN + 1] = {0, 0x4fff, D_32, true},
    };
    gdt[SEL / 8] = desc_make(0, 0xffff, D_CODE | D_DPL(3));
    for (unsigned i = 0; i < 2 * SHAPES; i++)
        gdt[SEL / 8 + 1 + i] = desc_make(d[i].base, d[i].limit, (d[i].is_down ? down : data) | d[i].more);
}

static uint16_t selector(unsigned shape, unsigned stack)
{
    uint16_t own = (uint16_t)((SEL + 8 + 16 * shape + 8 * stack) | 3);
    switch (shape) {
    case SHAPE_FLAT:
        return UDATA;
    case SHAPE_DATA:
        return stack ? UDATA : own;
    case SHAPE_STACK:
    case SHAPE_STACK16:
        return stack ? own : UDATA;
    case SHAPE_V86:
        return 0;
    default:
        return own;
    }
}

static void map(uint32_t page, bool present)
{
    table[page >> 12] = page | (present ? 7 : 0);
    invlpg(page);
}

/* Fills the neighbourhood of the borders with what the instruction wants to find. */
static void fill(const struct insn *insn, uint32_t next, unsigned size, uint32_t at)
{
    for (unsigned i = 0; i < BORDERS; i++) {
        uint8_t *p = (uint8_t *)borders[i] - 80;
        for (unsigned k = 0; k < 160; k++)
            p[k] = insn->flags & (NULLS | FLAGS) ? 0 : (uint8_t)(k * 7 + i * 31 + 1);
    }
    if (insn->flags & TARGET) {
        memcpy((void *)at, &next, size);
    }
}

static unsigned size_of(const struct access *a, unsigned opsize)
{
    if (a->size == VS)
        return selector_is_16 ? 2 : opsize;
    return a->size == V ? opsize : a->size == VP ? opsize + 2 : a->size;
}

static uint32_t base_of(const struct state *s, unsigned shape, char base)
{
    uint32_t reg = base == D ? s->ebx : base == S ? s->esp : base == B ? s->ebp : base == I ? s->esi : s->edi;
    bool low = base == S || base == B ? is_stack16(shape) : is_code16(shape);
    return (shape == SHAPE_BASED ? BASE : 0) + (low ? reg & 0xffff : reg);
}

static unsigned wrong, runs;

static void complain(const struct insn *insn, unsigned shape, const char *what, const struct state *s, uint32_t want)
{
    if (wrong++ < 3)
        print("# %s, %s: %s: vector %u error %x cr2 %x eip %x esp %x eax %x ecx %x ebx %x esi %x edi %x, want %x\n",
              insn->name, shapes[shape], what, (unsigned)s->vector, (unsigned)s->error, (unsigned)s->cr2,
              (unsigned)s->eip, (unsigned)s->esp, (unsigned)s->eax, (unsigned)s->ecx, (unsigned)s->ebx,
              (unsigned)s->esi, (unsigned)s->edi, (unsigned)want);
}

#define COUNT 5 /* of repetitions */

/* Finds the access that faults while `page` is missing; *number: how many iterations come before. */
static const struct access *first_fault(const struct insn *insn, const struct state *s, unsigned shape, unsigned opsize,
                                        uint32_t page, uint32_t *cr2, unsigned *number)
{
    for (unsigned n = 0; n < (insn->flags & REPEATS ? COUNT : 1); n++)
        for (const struct access *a = insn->a; a->base; a++) {
            unsigned size = size_of(a, opsize);
            uint32_t at = base_of(s, shape, a->base) + (uint32_t)(a->units * (int)opsize + a->off) + n * size;
            if (at + size <= page || at >= page + 4096)
                continue;
            *cr2 = at < page ? page : at;
            *number = n;
            return a;
        }
    return NULL;
}

/* IRET to a 16-bit stack leaves the kernel's upper half in ESP. */
static bool same_registers(const struct state *a, const struct state *b, unsigned shape)
{
    return a->edi == b->edi && a->esi == b->esi && a->ebp == b->ebp &&
           !((a->esp ^ b->esp) & (is_stack16(shape) ? 0xffff : 0xffffffff)) && a->ebx == b->ebx && a->edx == b->edx &&
           a->ecx == b->ecx && a->eax == b->eax && a->eip == b->eip && a->cs == b->cs && a->ss == b->ss &&
           a->ds == b->ds && a->es == b->es && a->fs == b->fs;
}

static uint8_t memory[BORDERS][160];
static void keep_memory(void)
{
    for (unsigned i = 0; i < BORDERS; i++)
        memcpy(memory[i], (void *)(borders[i] - 80), 160);
}
static bool same_memory(void)
{
    for (unsigned i = 0; i < BORDERS; i++)
        if (memcmp(memory[i], (void *)(borders[i] - 80), 160))
            return false;
    return true;
}

static void one(const struct insn *insn, unsigned shape, bool p66, bool live, unsigned moved, int distance)
{
    bool code16 = is_code16(shape);
    unsigned opsize = code16 != p66 ? 2 : 4, len = 0;
    uint8_t *code = (uint8_t *)CODE;
    struct state start, end, s;

    if (p66)
        code[len++] = 0x66;
    unsigned own = insn->len ? insn->len : code16 ? 3 : 5;
    memcpy(code + len, code16 ? insn->c16 : insn->c32, own);
    if (code[len] == 0x9a)
        memcpy(code + len + 1, (uint16_t[]){(uint16_t)(CODE + len + own)}, 2);
    len += own;
    uint32_t next = CODE + len;
    /* Flags that are read behind it, or not: translations differ. */
    memcpy(code + len, live ? (uint8_t[]){0x74, 0x00} : (uint8_t[]){0x01, 0xc0}, 2);
    memcpy(code + len + 2, (uint8_t[]){0xcd, 0x80}, 2);

    state_init(&start, 3, code);
    start.eax = 0x11223344;
    start.edx = 0x55667788;
    start.ecx = insn->flags & REPEATS ? COUNT : 0x99aabbcc;
    if (insn->c32[0] == 0x62)
        start.eax = 0;
    uint32_t base = shape == SHAPE_BASED ? BASE : 0;
    /* One operand near its border, the others in the middle of a page. */
    start.ebx = DATA - 1024 - base;
    start.esp = STACK - 1024 - base;
    start.ebp = STACK - 1024 + 64 - base;
    start.esi = DATA - 1024 - base;
    start.edi = OTHER - 1024 - base;
    uint32_t at = borders[moved] - base - (uint32_t)distance;
    if (moved == 0) {
        start.ebx = start.esi = at;
    } else if (moved == 1) {
        start.esp = at;
        start.ebp = at + 24;
    } else {
        start.edi = at;
    }
    start.ds = start.es = selector(shape, 0);
    start.ss = selector(shape, 1);
    start.fs = 0;
    start.eflags |= FL_ZF;
    if (code16)
        start.cs = shape == SHAPE_V86 ? 0 : SEL | 3;
    if (shape == SHAPE_V86) {
        start.eflags |= FL_VM | FL_IOPL3;
        start.gs = 0;
    }
    uint32_t target_at = insn->a[0].base == S ? base_of(&start, shape, S) : base_of(&start, shape, D);

    fill(insn, next, opsize, target_at);
    end = start;
    __asm__ volatile("fninit");
    run(&end);
    if (end.vector != VEC_DONE) {
        complain(insn, shape, "without a fault", &end, 0);
        return;
    }
    keep_memory();
    for (unsigned half = 0; half < 2; half++) {
        uint32_t page = borders[moved] - 4096 + half * 4096, cr2 = 0;
        unsigned number = 0;
        const struct access *a = first_fault(insn, &start, shape, opsize, page, &cr2, &number);

        runs++;
        fill(insn, next, opsize, target_at);
        map(page, false);
        s = start;
        __asm__ volatile("fninit");
        run(&s);
        map(page, true);
        if (!a) {
            if (s.vector != VEC_DONE || !same_registers(&s, &end, shape) || !same_memory())
                complain(insn, shape, "no fault", &s, 0);
            continue;
        }
        uint32_t error = 4 | (a->write ? 2 : 0);
        if (s.vector != EXC_PF || s.cr2 != cr2 || s.error != error) {
            complain(insn, shape, a->write ? "the fault, a write" : "the fault, a read", &s, cr2);
            continue;
        }
        struct state want = start;
        uint32_t mask = code16 ? 0xffff : 0xffffffff, moves = number * size_of(&insn->a[0], opsize);
        if (insn->flags & REPEATS) {
            want.ecx = (start.ecx & ~mask) | ((start.ecx - number) & mask);
            for (const struct access *k = insn->a; k->base; k++) {
                uint32_t *r = k->base == I ? &want.esi : &want.edi;
                *r = (*r & ~mask) | ((*r + moves) & mask);
            }
            want.eax = s.eax; /* LODS */
        }
        if (insn->flags & POPS) {
            uint32_t *regs[8] = {&want.edi, &want.esi, &want.ebp, NULL, &want.ebx, &want.edx, &want.ecx, &want.eax};
            for (unsigned k = 0; k < (unsigned)(a - insn->a); k++)
                if (regs[k])
                    memcpy(regs[k], (void *)(base_of(&start, shape, S) + k * opsize), opsize);
        }
        if (!same_registers(&s, &want, shape)) {
            complain(insn, shape, "the registers", &s, want.esp);
            continue;
        }
        run(&s); /* again, with the page */
        if (s.vector != VEC_DONE || !same_registers(&s, &end, shape) || !same_memory())
            complain(insn, shape, "done again", &s, end.esp);
    }
}

/* A count of zero touches nothing, not even the accessed bit. */
static void test_nothing(void)
{
    static const uint8_t ops[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
    unsigned bad = 0;
    for (unsigned i = 0; i < sizeof ops; i++)
        for (unsigned k = 0; k < 4; k++) {
            struct state s;
            uint8_t *code = (uint8_t *)CODE;
            memcpy(code, (uint8_t[]){k & 1 ? 0xf2 : 0xf3, ops[i], 0xcd, 0x80}, 4);
            map(DATA, !(k & 2));
            map(OTHER, !(k & 2));
            if (!(k & 2)) {
                table[DATA >> 12] &= ~0x60u;
                table[OTHER >> 12] &= ~0x60u;
                invlpg(DATA);
                invlpg(OTHER);
            }
            state_init(&s, 3, code);
            s.ecx = 0;
            s.esi = DATA;
            s.edi = OTHER;
            run(&s);
            bad += s.vector != VEC_DONE || s.esi != DATA || s.edi != OTHER;
            if (!(k & 2))
                bad += (table[DATA >> 12] | table[OTHER >> 12]) & 0x60;
            map(DATA, true);
            map(OTHER, true);
        }
    check(bad == 0, "strings with a count of 0 touch nothing");
}

/* The last page of linear memory and the first one. Offsets do not wrap within an instruction, linear addresses do. */
static uint32_t last_table[1024] __attribute__((aligned(4096)));
static void test_4g(void)
{
    enum { FRAME = 0xe000, CS_HIGH = SEL + 8 + 16 * SHAPES };
    static const uint8_t increments[] = {0x40, 0x40, 0x40, 0x40, 0xcd, 0x80};
    static const uint8_t move[] = {0xb8, 1, 2, 3, 4, 0xcd, 0x80};
    uint8_t *end = (uint8_t *)FRAME + 4096, *zero = (uint8_t *)0;
    struct state s;
    unsigned bad[5] = {0};

    __asm__("" : "+r"(zero)); /* what the compiler takes for NULL */
    last_table[1023] = FRAME | 7;
    directory[1023] = (uint32_t)last_table | 7;
    gdt[CS_HIGH / 8] = desc_make(0xf0000000, 0xfffff, D_CODE | D_DPL(3) | D_FLAT);
    for (unsigned round = 0; round < 3; round++) {
        /* EIP runs over the end, between instructions. */
        memcpy(end - 2, increments, 2);
        memcpy(zero, increments + 2, 4);
        state_init(&s, 3, (void *)0xfffffffe);
        s.eax = 0;
        run(&s);
        bad[0] += s.vector != VEC_DONE || s.eax != 4 || s.eip != 4;
        /* Within one: beyond the limit. */
        memcpy(end - 2, move, 2);
        memcpy(zero, move + 2, 5);
        state_init(&s, 3, (void *)0xfffffffe);
        run(&s);
        bad[1] += s.vector != EXC_GP || s.error != 0 || s.eip != 0xfffffffe;
        /* Not where only the linear address wraps. */
        state_init(&s, 3, (void *)0x0ffffffe);
        s.cs = CS_HIGH | 3;
        run(&s);
        bad[2] += s.vector != VEC_DONE || s.eax != 0x04030201 || s.eip != 0x10000005;
        map(0, false);
        state_init(&s, 3, (void *)0x0ffffffe);
        s.cs = CS_HIGH | 3;
        run(&s);
        map(0, true);
        bad[3] += s.vector != EXC_PF || s.cr2 != 0 || s.error != 4 || s.eip != 0x0ffffffe;
        /* An operand: the last page missing or not, it is #GP. */
        for (unsigned k = 0; k < 2; k++) {
            uint8_t *code = (uint8_t *)CODE;
            memcpy(code, (uint8_t[]){0x8b, 0x03, 0xcd, 0x80}, 4);
            last_table[1023] = FRAME | (k ? 7 : 6);
            invlpg(0xfffff000);
            state_init(&s, 3, code);
            s.ebx = 0xfffffffe;
            run(&s);
            bad[4] += s.vector != EXC_GP || s.error != 0 || s.eip != CODE;
        }
        last_table[1023] = FRAME | 7;
        invlpg(0xfffff000);
    }
    check(bad[0] == 0, "4 GiB: EIP runs over the end");
    check(bad[1] == 0, "4 GiB: an instruction across the end of a segment");
    check(bad[2] == 0, "4 GiB: an instruction across the end of linear memory");
    check(bad[3] == 0, "4 GiB: the same, the first page missing");
    check(bad[4] == 0, "4 GiB: an operand across the end");
}

void guest_main(void)
{
    write_cr0(read_cr0() & ~(CR0_EM | CR0_TS));
    write_cr4(read_cr4() | CR4_OSFXSR);
    make_descriptors();
    uint32_t pushed;
    __asm__ volatile("pushl $-1\n popl %0\n pushl %%fs\n popl %0" : "=r"(pushed));
    selector_is_16 = pushed >> 16;
    for (unsigned i = 0; i < 1024; i++)
        table[i] = i << 12 | 7;
    directory[0] = (uint32_t)table | 7;
    write_cr3((uint32_t)directory);
    write_cr0(read_cr0() | CR0_PG);
    for (unsigned i = 0; i < ARRAY_COUNT(insns); i++) {
        const struct insn *insn = &insns[i];
        wrong = runs = 0;
        for (unsigned shape = 0; shape < SHAPES; shape++) {
            if ((is_stack16(shape) && insn->flags & ONLY32) || (shape != SHAPE_V86 && insn->flags & ONLY_V86))
                continue;
            for (unsigned p66 = 0; p66 < (insn->flags & NO66 ? 1 : 2); p66++)
                for (unsigned moved = 0; moved < BORDERS; moved++) {
                    bool used = false;
                    for (const struct access *a = insn->a; a->base; a++)
                        used |= moved == (a->base == D || a->base == I ? 0u : a->base == J ? 2u : 1u);
                    for (int distance = -34; used && distance <= 34; distance += distance < -6 || distance >= 6 ? 4 : 1)
                        if (!p66 || distance & 1)
                            one(insn, shape, p66, ((unsigned)distance >> 1 ^ shape) & 1, moved, distance);
                }
        }
        check(wrong == 0, "%s", insn->name);
    }
    test_nothing();
    test_4g();
}

/* One instruction many times in a row: every form of insn.def, 1 to 400 times, in each kind of code and segment.
 *
 * A translator has budgets for a block, and rows of its own for each shape of segment; this goes through all of them.
 * -append "SEED [ROUNDS]": other variants, counts and operands. Each combination prints nothing; the outcomes of a
 * form (trap, registers, memory) go into a hash, printed per form, and rep.py compares those of all engines.
 */
#include "forms.h"

/* --- Places --- */

#define CODE_PAGES 256
static uint8_t *const code = (uint8_t *)0x400000;  /* pages that take turns, so that they are forgotten in between */
static uint8_t *const mixed = (uint8_t *)0x510000; /* one that is written and executed all the time */
static uint8_t *const data = (uint8_t *)0x620000;  /* 64 KiB around its middle */
static uint8_t *const stack = (uint8_t *)0x740000; /* the same */
static uint8_t *const low = (uint8_t *)0x20000;    /* code and data of V86 mode: 128 KiB */
#define MIDDLE  0x8000u
#define LANDING 0x10u /* in a code page: INT 80h, where pointers in data and on the stack lead */
#define START   0x100u

enum shape {
    SHAPE_FLAT,
    SHAPE_LIMIT, /* data segments of less than 4 GiB */
    SHAPE_STACK, /* and the stack */
    SHAPE_BASE,  /* data segments with a base */
    SHAPE_TIGHT, /* a limit that is met on the way */
    SHAPE_DOWN,  /* expand-down */
    SHAPE_64K,   /* 16-bit segments of 64 KiB, the stack too */
    SHAPE_V86,
};

static const struct config {
    uint8_t ring, shape;
    bool code16, mixed;
} configs[] = {
    {0, SHAPE_FLAT, false, false},  {0, SHAPE_LIMIT, false, false}, {0, SHAPE_STACK, false, true},
    {0, SHAPE_64K, true, false},    {0, SHAPE_BASE, false, false},  {3, SHAPE_FLAT, false, true},
    {3, SHAPE_STACK, false, false}, {3, SHAPE_LIMIT, false, true},  {3, SHAPE_64K, true, true},
    {3, SHAPE_FLAT, true, false},   {3, SHAPE_TIGHT, false, false}, {3, SHAPE_DOWN, false, true},
    {3, SHAPE_V86, true, false},    {3, SHAPE_V86, true, true},     {3, SHAPE_BASE, true, true},
    {0, SHAPE_FLAT, true, true},
};
#define CODE_SEL  (GDT_FREE)
#define DATA_SEL  (GDT_FREE + 8)
#define STACK_SEL (GDT_FREE + 16)

static uint32_t hash;
static bool verbose;

static void hash_words(const void *p, unsigned n)
{
    const uint32_t *w = p;
    for (unsigned i = 0; i < n; i++)
        hash = (hash ^ w[i]) * 0x01000193u + (hash >> 27);
}

/* The time, and what is different in each virtual machine. */
static bool is_volatile(const struct form *f)
{
    if (f->map == 0) /* ports */
        return (f->opcode & 0xf6) == 0xe4 || f->opcode == 0x6c || f->opcode == 0x6d;
    return f->map == 1 && (f->opcode == 0x31 || f->opcode == 0x32 || f->opcode == 0x33); /* TSC, MSRs */
}

/* The FPU's pointers in memory: where they point to behind a trap is known to the interpreter only. */
static bool shows_pointers(const struct form *f)
{
    return f->op[0] == I_modrm && ((f->map == 0 && (f->opcode == 0xd9 || f->opcode == 0xdd) && f->ext == 6) ||
                                   (f->map == 1 && f->opcode == 0xae && f->ext == 0));
}

/* --- One combination --- */

static void fill(uint8_t *middle, uint32_t value)
{
    for (unsigned i = 0; i < 256; i++)
        ((uint32_t *)(middle - 256))[i] = value;
}

static void combination(const struct form *f, const struct config *c, unsigned page_number)
{
    struct state s;
    bool v86 = c->shape == SHAPE_V86;
    uint8_t *page = v86        ? low + (c->mixed ? 0 : 4096 + page_number % 8 * 4096)
                    : c->mixed ? mixed
                               : code + page_number % CODE_PAGES * 4096;
    uint8_t *d = (v86 ? low + 0x10000 : data) + MIDDLE, *k = v86 ? low + 0x10000 + 0xe000 : stack + MIDDLE;
    uint32_t code_base = c->code16 ? (uint32_t)page & ~0xffffu : 0, data_base = 0, stack_base = 0;
    uint16_t data_sel = 0, stack_sel = 0;
    uint8_t insn[16];

    uint32_t dpl = D_DPL(c->ring);
    switch (c->shape) {
    case SHAPE_LIMIT:
    case SHAPE_STACK:
        gdt[DATA_SEL / 8] = desc_make(0, 0x7ffff, D_DATA | dpl | D_FLAT);
        data_sel = DATA_SEL | c->ring;
        stack_sel = c->shape == SHAPE_STACK ? data_sel : 0;
        break;
    case SHAPE_BASE:
        data_base = 0x12340;
        gdt[DATA_SEL / 8] = desc_make(data_base, 0xfffff, D_DATA | dpl | D_FLAT);
        data_sel = DATA_SEL | c->ring;
        break;
    case SHAPE_TIGHT:
        data_base = (uint32_t)data & ~0xffffu;
        gdt[DATA_SEL / 8] = desc_make(data_base, (uint32_t)d - data_base + 100, D_DATA | dpl | D_32);
        data_sel = DATA_SEL | c->ring;
        break;
    case SHAPE_DOWN:
        gdt[DATA_SEL / 8] = desc_make(0, 0x100, (D_DATA | 4) | dpl | D_FLAT);
        data_sel = DATA_SEL | c->ring;
        break;
    case SHAPE_64K:
        data_base = (uint32_t)data & ~0xffffu;
        stack_base = c->ring ? (uint32_t)stack & ~0xffffu : 0;
        gdt[DATA_SEL / 8] = desc_make(data_base, 0xffff, D_DATA | dpl);
        gdt[STACK_SEL / 8] = desc_make(stack_base, 0xffff, D_DATA | dpl);
        data_sel = DATA_SEL | c->ring;
        if (c->ring) /* traps of ring 0 take what they find */
            stack_sel = STACK_SEL | c->ring;
        break;
    case SHAPE_V86:
        data_base = stack_base = (uint32_t)low + 0x10000;
        break;
    }
    gdt[CODE_SEL / 8] = desc_make(code_base, 0xffff, D_CODE | dpl);

    /* As far as offsets of 16 and 32 bits go, both mean the landing. */
    uint32_t landing = (uint32_t)page + LANDING - code_base;
    unsigned n = form_encode(f, c->ring, c->code16, (uint32_t)d - data_base, landing, CODE_SEL, insn);
    unsigned times = rnd() % 3 ? 1 + rnd() % 120 : 1 + rnd() % 400;
    if ((START + times * n) > 4096 - 8 && rnd() % 2)
        times = (4096 - 8 - START) / n; /* else it goes on in the next page */
    uint8_t *p = page + START;
    for (unsigned i = 0; i < times; i++, p += n)
        memcpy(p, insn, n);
    p[0] = 0xcd; /* INT 80h, and again should the last have been taken for part of an instruction */
    p[1] = VEC_DONE;
    for (unsigned i = 2; i < 18; i++)
        p[i] = i & 1 ? VEC_DONE : 0xcd;
    page[LANDING] = 0xcd;
    page[LANDING + 1] = VEC_DONE;

    fill(d, landing);
    fill(k, landing);

    static const uint32_t eax[] = {KDATA, UDATA, 0, 0x12345678, 0x80000001};
    state_init(&s, c->ring, page + START);
    s.eip -= code_base;
    if (v86) {
        s.cs = (uint16_t)(code_base >> 4);
        s.ds = s.es = s.fs = s.gs = s.ss = (uint16_t)(data_base >> 4);
        s.eflags |= FL_VM | FL_IOPL3;
    } else {
        if (c->code16)
            s.cs = CODE_SEL | c->ring;
        if (data_sel)
            s.ds = s.es = s.fs = s.gs = data_sel;
        if (stack_sel)
            s.ss = stack_sel;
    }
    s.eflags |= rnd() & 0x8d5;
    s.esp = s.ebp = (uint32_t)k - stack_base;
    s.ebx = s.esi = s.edi = (uint32_t)d - data_base;
    s.eax = eax[rnd() % ARRAY_COUNT(eax)];
    s.ecx = 3;
    s.edx = 0x80;
    uint32_t cr0 = read_cr0() | CR0_NE, mxcsr = 0x1f80;
    write_cr0(cr0); /* an x87 error is a fault, not a wait for IRQ 13 */
    __asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
    run(&s);
    if (c->ring == 0) { /* LMSW, CLTS, LLDT and LTR */
        write_cr0(cr0);
        tables_load();
    }

    if (is_volatile(f))
        s.eax = s.edx = 0;
    if (s.vector != VEC_DONE) /* flags that nobody reads may be lost in a fault's frame */
        s.eflags &= ~0x8d5u;
    /* Nor are they passed on by a RET in 32-bit code that does not go where its CALL came from (see return_site). */
    if (!c->code16 && s.eip != (uint32_t)p + 2)
        s.eflags &= ~0x8d5u;
    s.handler_eflags = 0;
    s.cr2 = 0;
    if (!shows_pointers(f) && (c->shape != SHAPE_TIGHT ||
                               s.vector == VEC_DONE)) /* where a PUSHA or a MOVS in the middle stopped is not defined */
        hash_words(d - 256, 128);
    hash_words(&s, sizeof s / 4);
    if (verbose)
        print("# ring %u shape %u code %u mixed %u, %u times %02x %02x %02x %02x %02x: vector %u eip %x eflags %x esp "
              "%x hash %08x\n",
              c->ring, c->shape, c->code16 ? 16 : 32, c->mixed, times, insn[0], insn[1], insn[2], insn[3], insn[4],
              (unsigned)s.vector, (unsigned)s.eip, (unsigned)s.eflags, (unsigned)s.esp, (unsigned)hash);
}

static unsigned number(const char **p)
{
    unsigned n = 0;

    while (**p == ' ')
        (*p)++;
    for (; **p >= '0' && **p <= '9'; (*p)++)
        n = n * 10 + (unsigned)(**p - '0');
    return n;
}

void guest_main(void)
{
    const char *p = guest_cmdline;
    while (*p && *p != ' ') /* the image's name */
        p++;
    unsigned seed = number(&p), rounds = number(&p), page = 0;

    verbose = string_has(guest_cmdline, "verbose");
    /* Whoever jumps astray comes to INT3 soon. */
    memset((void *)0x1000, 0xcc, 0x8f000);
    memset((void *)0x300000, 0xcc, 0xc00000);

    write_cr0(read_cr0() | CR0_NE); /* x87 errors as #MF: without it they wait for an interrupt that is masked here */
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMM);
    print("# seed %u\n", seed);
    for (unsigned round = 0; round < (rounds ? rounds : 1); round++)
        for (unsigned i = 0; i < ARRAY_COUNT(forms); i++) {
            const struct form *f = &forms[i];
            hash = 0x811c9dc5;
            rnd_state = (seed + round) * 0x9e3779b9u + i * 2654435761u + 1;
            for (unsigned k = 0; k < 4; k++)
                (void)rnd();
            for (unsigned c = 0; c < ARRAY_COUNT(configs); c++)
                if (configs[c].ring || !form_is_fatal(f))
                    combination(f, &configs[c], page++);
            print("form %u %s %08x\n", round, f->id, (unsigned)hash);
        }
    check(true, "%u forms", (unsigned)ARRAY_COUNT(forms));
}

/* Soup: random programs of random instructions in random kinds of code and segments, on pages that come, go and change
 * places, which they write themselves, single-stepped now and then, with a timer that interrupts. What comes out
 * depends on the time; that the monitor lives is what counts, and that lockstep finds no difference.
 *
 * -append "SEED ROUNDS [no-x87]": the seed is printed. By hand, for long:
 *     tests/guest/run.py build/src/ringer lockstep build/tests/guest/soup.elf --append "$RANDOM 100000" --timeout 600
 */
#include "forms.h"

#define PAGES  64u
#define ARENA  0x800000u /* linear: the programs' pages, of 32 to 64 frames */
#define FRAMES 0x1000000u
#define ALIAS  (ARENA + PAGES * 4096) /* the same frames once more, as user memory */
#define LOW    0x20000u               /* for V86: not played with */

static uint32_t directory[1024] __attribute__((aligned(4096)));
static uint32_t table[1024] __attribute__((aligned(4096))), low_table[1024] __attribute__((aligned(4096)));

#define CODE_SEL  (GDT_FREE)
#define DATA_SEL  (GDT_FREE + 8)
#define STACK_SEL (GDT_FREE + 16)

static unsigned ticks, steps, pagings;
static bool no_x87;

static bool tick(struct trap *t)
{
    pic_eoi(0);
    return ++ticks < 6; /* who runs for so long does nothing new */
}

static bool step(struct trap *t)
{
    if (++steps < 40)
        return true;
    t->eflags &= ~FL_TF;
    return steps < 2000;
}

static uint32_t any_entry(void)
{
    uint32_t frame = FRAMES + rnd() % (PAGES / 2) * 4096;
    return frame | 1 | (rnd() & 0x66) | (rnd() % 8 ? 4 : 0);
}

/* Brings the page in, or makes it writable; now and then not. */
static bool page_fault(struct trap *t)
{
    uint32_t at = read_cr2();
    if (at - ARENA >= 2 * PAGES * 4096 || ++pagings > 200 || rnd() % 16 == 0)
        return false;
    uint32_t *entry = &table[at >> 12 & 1023];
    *entry = ((*entry & 1) ? *entry : any_entry()) | 7;
    invlpg(at);
    return true;
}

static void flip_pages(unsigned n)
{
    while (n--) {
        unsigned page = rnd() % (2 * PAGES);
        uint32_t *entry = &table[(ARENA >> 12 & 1023) + page];
        switch (rnd() % 4) {
        case 0:
            *entry = 0;
            break;
        case 1:
            *entry &= ~2u;
            break;
        case 2:
            *entry = any_entry();
            break;
        default:
            *entry &= ~0x60u;
        }
        if (rnd() % 8)
            invlpg(ARENA + page * 4096);
    }
    write_cr3((uint32_t)directory); /* what was not invalidated */
}

/* Makes page `gla` there and writable for us. */
static void have(uint32_t gla)
{
    uint32_t *entry = &table[gla >> 12 & 1023];
    *entry = ((*entry & 1) ? *entry : any_entry()) | 7;
    invlpg(gla);
}

static void program(void)
{
    bool v86 = rnd() % 8 == 0, code16 = v86 || rnd() % 4 == 0;
    const unsigned ring = 3; /* others would end this kernel, not the monitor; rep.c has them */
    /* With IOPL 0, as nothing ends a loop but the timer, which must not be kept out. */
    uint32_t eflags = (rnd() & 0x8d5) | FL_IF | (rnd() % 6 == 0 ? FL_TF : 0) | (rnd() % 8 == 0 ? FL_DF : 0);
    uint32_t dpl = D_DPL(ring), page = ARENA + rnd() % (2 * PAGES - 1) * 4096;
    uint32_t data = ARENA + rnd() % (2 * PAGES - 1) * 4096 + rnd() % 4096, stack = page ^ 0x1000;
    uint32_t at, code_base = 0, data_base = 0, starts[64];
    struct state s;

    if (rnd() % 4 == 0)
        data = page + rnd() % 4096;
    if (v86) {
        page = LOW + rnd() % 4 * 4096;
        data = LOW + rnd() % 0x10000;
        stack = LOW + 0x8000;
        code_base = data_base = LOW;
    } else {
        for (uint32_t p = page; p < page + 8192; p += 4096)
            have(p);
        have(stack);
        if (code16)
            code_base = page & ~0xffffu;
        if (rnd() % 2)
            data_base = rnd() % 2 ? data & ~0xffffu : rnd() & 0xfff;
    }
    gdt[CODE_SEL / 8] = desc_make(code_base, 0xffff, D_CODE | dpl);
    static const unsigned kinds[] = {D_DATA, D_DATA | D_32, D_DATA | D_FLAT, D_DATA | 4 | D_FLAT, D_DATA | D_32};
    unsigned kind = rnd() % ARRAY_COUNT(kinds);
    uint32_t limit = kinds[kind] & 4         ? rnd() % 0x900
                     : kinds[kind] & D_PAGES ? (rnd() % 2 ? 0xfffff : 0x7ffff)
                     : rnd() % 2             ? 0xffff
                                             : (rnd() & 0xfffff);
    gdt[DATA_SEL / 8] = desc_make(data_base, limit, kinds[kind] | dpl);
    gdt[STACK_SEL / 8] = desc_make(0, rnd() % 2 ? 0xfffff : 0xfff, D_DATA | D_FLAT | dpl);

    at = page + rnd() % 4000;
    unsigned count = 1 + rnd() % 60;
    for (unsigned i = 0; i < count && at < page + 8192 - 32; i++) {
        const struct form *f;
        uint8_t *p = (uint8_t *)at;
        starts[i] = at;
        if (rnd() % 6 == 0) { /* a jump within the program */
            int32_t away = (int32_t)(starts[rnd() % (i + 1)] - (at + 2));
            p[0] = rnd() % 3 ? (uint8_t)(0x70 | rnd() % 16) : (uint8_t)(0xe0 + rnd() % 4);
            p[1] = away >= -128 && rnd() % 2 ? (uint8_t)away : (uint8_t)(rnd() % 24);
            at += 2;
            continue;
        }
        do
            f = &forms[rnd() % ARRAY_COUNT(forms)];
        while (no_x87 && f->map == 0 && f->opcode >= 0xd8 && f->opcode <= 0xdf);
        at += form_encode(f, ring, code16, (code16 ? data & 0xffff : data) - data_base, page - code_base, CODE_SEL, p);
    }
    memcpy((void *)at, "\xcd\x80\xcd\x80\xcd\x80", 6);

    state_init(&s, ring, (void *)(starts[0] - code_base));
    s.eflags |= eflags;
    if (v86) {
        s.cs = s.ds = s.es = s.fs = s.gs = s.ss = LOW >> 4;
        s.eflags |= FL_VM;
        s.esp = stack - LOW;
    } else {
        s.esp = stack + 0x800;
        if (rnd() % 3 == 0)
            s.ss = STACK_SEL | ring;
        if (code16)
            s.cs = CODE_SEL | ring;
        if (rnd() % 2)
            s.ds = DATA_SEL | ring;
        if (rnd() % 2)
            s.es = DATA_SEL | ring;
        if (rnd() % 2)
            s.fs = s.gs = DATA_SEL | ring;
    }
    s.eax = rnd() % 2 ? rnd() : UDATA;
    s.ebx = data - (s.ds == (DATA_SEL | ring) ? data_base : 0);
    s.esi = s.ebx + rnd() % 64;
    s.edi = ARENA + rnd() % (PAGES * 4096);
    s.ebp = rnd() % 2 ? s.esp : s.ebx;
    s.ecx = rnd() % 4 ? rnd() % 200 : rnd();
    s.edx = 0x80;
    if (v86)
        s.ebx &= 0xffff;
    ticks = steps = pagings = 0;
    uint32_t mxcsr = 0x1f80;
    __asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
    run(&s);
}

static unsigned number(const char **p)
{
    unsigned n = 0;

    while (**p && (**p < '0' || **p > '9'))
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
    unsigned seed = number(&p), rounds = number(&p);

    memset((void *)LOW, 0xcc, 0x20000);
    memset((void *)FRAMES, 0xcc, PAGES * 4096);
    for (unsigned i = 0; i < 1024; i++) {
        directory[i] = i << 22 | 0x83; /* ring 3 has the arena, low memory and nothing else */
        low_table[i] = i << 12 | 3;
        table[i] = (ARENA & 0xffc00000) | i << 12 | 3;
    }
    for (unsigned i = LOW >> 12; i < (LOW + 0x20000) >> 12; i++)
        low_table[i] |= 4;
    directory[0] = (uint32_t)low_table | 7;
    directory[ARENA >> 22] = (uint32_t)table | 7;
    for (unsigned i = 0; i < 2 * PAGES; i++)
        table[(ARENA >> 12 & 1023) + i] = any_entry();
    write_cr4(read_cr4() | CR4_PSE | CR4_OSFXSR | CR4_OSXMM);
    write_cr3((uint32_t)directory);
    write_cr0(read_cr0() | CR0_PG | CR0_WP | CR0_NE);

    print("# seed %u\n", seed);
    rnd_state = seed * 2654435761u + 1;
    trap_handlers[VEC_IRQ0] = tick;
    trap_handlers[EXC_DB] = step;
    trap_handlers[EXC_PF] = page_fault;
    no_x87 = string_has(guest_cmdline, "no-x87");
    bool verbose = string_has(guest_cmdline, "verbose");
    for (unsigned i = 0; i < rounds; i++) {
        if (verbose)
            print("# program %u: %x\n", i, (unsigned)rnd_state);
        uint32_t cr0 = read_cr0();
        flip_pages(rnd() % 6);
        pic_init();
        pit_periodic(1193182 / 4000);
        pic_unmask(0);
        program();
        write_cr0(cr0);
        tables_load();
        if (i % 5000 == 4999)
            print("# %u programs\n", i + 1);
    }
    check(true, "%u programs", rounds);
}

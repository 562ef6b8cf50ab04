/* x87 errors as an AT reports them, with CR0.NE clear: the next waiting instruction stops until interrupt 13 has been
 * taken; port F0h lets the handler use waiting instructions (Intel SDM vol. 1, appendix D.2; IBM PC AT Technical
 * Reference, 80287). */
#include "guest.h"

#define VEC_IRQ13 (VEC_IRQ0 + 13)
#define ROUNDS    200

static volatile struct {
    unsigned count, stops;
    uint32_t eip;
    uint16_t fsw;
    bool port, clear; /* what the handler does */
} irq;

static bool on_irq13(struct trap *t)
{
    uint16_t cw, sw;

    irq.count++;
    irq.eip = t->eip;
    __asm__ volatile("fnstsw %0" : "=m"(sw));
    irq.fsw = sw;
    if (irq.port)
        outb(0xf0, 0);
    if (irq.port && irq.clear) /* both wait: IGNNE# */
        __asm__ volatile("fnstcw %0\n fldcw %0\n fld1\n fstp %%st(0)" : "=m"(cw));
    if (irq.clear)
        __asm__ volatile("fnclex");
    pic_eoi(13);
    return true;
}

/* Interrupt 13 is masked meanwhile: what stops goes on when this one has cleared the error. */
static bool on_tick(struct trap *t)
{
    uint16_t sw;

    __asm__ volatile("fnstsw %0" : "=m"(sw));
    if (sw & 0x80) {
        irq.stops++;
        irq.eip = t->eip;
        if (irq.stops >= 3)
            __asm__ volatile("fnclex");
    }
    pic_eoi(0);
    return true;
}

/* EBX: the control word. One division by zero, one integer instruction, then one that waits. */
#define DIVIDE       "fninit\n fldcw (%ebx)\n fld1\n fldz\n fdivrp %st, %st(1)\n incl %eax\n "
#define WAITS(n)     SNIPPET(n, DIVIDE #n "_at: " n##_TEXT "\n incl %eax")
#define w_fwait_TEXT "fwait"
#define w_fld_TEXT   "fld1"
#define w_mem_TEXT   "fstpl (%esi)"
#define w_mmx_TEXT   "movd %eax, %mm7"
#define w_fldcw_TEXT "fldcw (%ebx)"
WAITS(w_fwait);
WAITS(w_fld);
WAITS(w_mem);
WAITS(w_mmx);
WAITS(w_fldcw);
extern char w_fwait_at[], w_fld_at[], w_mem_at[], w_mmx_at[], w_fldcw_at[];
SNIPPET(w_none,
        DIVIDE "fnstsw %ax\n movzwl %ax, %edx\n movl $1, %eax\n fnstcw (%esi)\n fnclex\n fwait\n fld1\n incl %eax");
/* Many in a row, each with its own interrupt. */
SNIPPET(w_loop, "movl $200, %ecx\n 1:" DIVIDE "fwait\n loop 1b");
/* Three errors; the handler lets the processor go on and clears nothing until it is told to. */
SNIPPET(w_ignored, DIVIDE "fwait\n fld1\n fld1\n faddp\n incl %eax\n fwait");

static const uint16_t unmasked = 0x37b;
static double scratch;

static void start(struct state *s, const char *code, unsigned ring)
{
    state_init(s, ring, code);
    s->eflags |= FL_IF;
    s->ebx = (uint32_t)&unmasked;
    s->esi = (uint32_t)&scratch;
    s->eax = 0;
    irq.count = irq.stops = 0;
    irq.eip = 0;
}

static void test_waiting(unsigned ring)
{
    static const struct {
        const char *name, *code, *at;
    } cases[] = {
        {"fwait", w_fwait, w_fwait_at}, {"fld1", w_fld, w_fld_at},      {"fstp", w_mem, w_mem_at},
        {"movd", w_mmx, w_mmx_at},      {"fldcw", w_fldcw, w_fldcw_at},
    };
    struct state s;

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
        for (unsigned port = 0; port < 2; port++) {
            bool ok = true;
            irq.port = port;
            irq.clear = true;
            for (unsigned round = 0; round < 3 && ok; round++) {
                start(&s, cases[i].code, ring);
                run(&s);
                /* It has not been executed when the interrupt comes: TOP is still 6. */
                ok = s.vector == VEC_DONE && s.eax == 2 && irq.count == 1 && irq.eip == (uint32_t)cases[i].at &&
                     (irq.fsw & 0xb884) == 0xb084;
            }
            if (!check(ok, "%s stops%s, ring %u", cases[i].name, port ? ", port F0h" : "", ring))
                print("# vector %u eax %x; %u interrupts, eip %x, want %x, fsw %x\n", (unsigned)s.vector,
                      (unsigned)s.eax, irq.count, (unsigned)irq.eip, (unsigned)cases[i].at, irq.fsw);
        }
    start(&s, w_none, ring);
    run(&s);
    check(s.vector == VEC_DONE && s.eax == 2 && irq.count == 0 && (s.edx & 0x84) == 0x84,
          "what does not wait does not stop, ring %u", ring);
    for (unsigned port = 0; port < 2; port++) {
        irq.port = port;
        irq.clear = true;
        start(&s, w_loop, ring);
        run(&s);
        if (!check(s.vector == VEC_DONE && s.eax == ROUNDS && irq.count == ROUNDS,
                   "one interrupt for each error%s, ring %u", port ? ", port F0h" : "", ring))
            print("# vector %u eax %x, %u interrupts\n", (unsigned)s.vector, (unsigned)s.eax, irq.count);
    }
    irq.port = true;
    irq.clear = false;
    start(&s, w_ignored, ring);
    run(&s);
    check(s.vector == VEC_DONE && s.eax == 2 && irq.count == 1, "under IGNNE# errors are ignored, ring %u", ring);
    /* And not any more once the error has been cleared. */
    __asm__ volatile("fnclex");
    irq.clear = true;
    start(&s, w_fwait, ring);
    run(&s);
    check(s.vector == VEC_DONE && irq.count == 1, "IGNNE# ends with the error, ring %u", ring);
}

static void test_masked(void)
{
    struct state s;

    pic_mask(13);
    trap_handlers[VEC_IRQ0] = on_tick;
    pit_periodic(1193);
    pic_unmask(0);
    for (unsigned ring = 0; ring < 4; ring += 3) {
        start(&s, w_fld, ring);
        run(&s);
        check(s.vector == VEC_DONE && s.eax == 2 && irq.stops == 3 && irq.eip == (uint32_t)w_fld_at,
              "stops until the error is gone, however many other interrupts come, ring %u", ring);
    }
    pic_mask(0);
    pit_stop();
    trap_handlers[VEC_IRQ0] = NULL;
    /* What was latched meanwhile comes when it may. */
    irq.port = irq.clear = true;
    irq.count = 0;
    pic_unmask(13);
    __asm__ volatile("sti; nop; nop; cli");
}

/* Before anybody gave FNINIT: kernels that never do compute all the same, as under QEMU. */
static void test_fresh(void)
{
    uint16_t cw;
    uint32_t third = 0;
    float one = 1, three = 3;

    __asm__ volatile("fnstcw %0\n flds %2\n fdivs %3\n fstps %1\n fwait"
                     : "=m"(cw), "+m"(third)
                     : "m"(one), "m"(three));
    check(cw == 0x37f && third == 0x3eaaaaab, "control word at the start: all errors masked");
}

void guest_main(void)
{
    test_fresh();
    write_cr0((read_cr0() & ~(CR0_EM | CR0_TS | CR0_NE)) | CR0_MP);
    __asm__ volatile("fninit");
    trap_handlers[VEC_IRQ13] = on_irq13;
    pic_unmask(13);
    test_waiting(3);
    test_waiting(0);
    test_masked();
    /* With NE it is #MF again. */
    write_cr0(read_cr0() | CR0_NE);
    struct state s;
    start(&s, w_fld, 3);
    run_expect(&s, EXC_MF, 0, "with NE: #MF");
    check(irq.count == 0, "with NE: no interrupt");
    __asm__ volatile("fninit");
}

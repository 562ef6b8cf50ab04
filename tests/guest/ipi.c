/* Registers of interrupt controllers that change what is pending, written from hot code: interrupts come at the next
 * instruction, wherever that is (translator/tr_touch.c), and none is lost. Not on QEMU, which takes them at the end of
 * a translation block. */
#include "guest.h"

#define APIC   0xfee00000u
#define ROUNDS 400
#define VECTOR 0x61
#define TIMER  0x71
#define TICKS  300

static volatile uint32_t *const apic = (volatile uint32_t *)APIC;
static volatile uint32_t seen, seen_eip, ticks;

SNIPPET(send, "movl $0x44061, (%esi)\nsent: nop; nop; movl $5, %ecx");
SNIPPET(send_al, "movl %eax, 0xfee00300\nsent_al: pushl %eax; popl %edx");
SNIPPET(narrow, "andl %eax, (%esi)\nnarrowed: setz %cl; nop");
SNIPPET(lower, "movl %edx, (%esi)\nlowered: jmp 1f; 1: nop");
SNIPPET(shadow, "cli; movl %eax, (%esi); sti; movl 0x20(%edi), %ebx\nopen: nop; nop");
SNIPPET(shadow_send, "cli; sti; movl %eax, (%esi)\nshadow_sent: nop; nop");
SNIPPET(unmask, "outb %al, $0x21\nunmasked: nop; nop");
SNIPPET(unmask_dx, "pushl %eax; outb %al, %dx\nunmasked_dx: popl %ecx");
extern char unmasked[], unmasked_dx[];
extern char sent[], sent_al[], narrowed[], lowered[], open[], shadow_sent[];

static bool on_ipi(struct trap *t)
{
    seen++;
    seen_eip = t->eip;
    apic[0xb0 / 4] = 0;
    return true;
}

static bool on_irq0(struct trap *t)
{
    seen++;
    seen_eip = t->eip;
    outb(0x21, 0xff);
    pic_eoi(0);
    return true;
}

/* The 8259A has a request that it masks. */
static void request_irq0(void)
{
    pit_oneshot(2);
    outb(0x20, 0x0a);
    while (!(inb(0x20) & 1)) {
    }
}

static bool on_tick(struct trap *t)
{
    ticks++;
    apic[0xb0 / 4] = 0;
    return true;
}

static void each(const char *name, const char *code, const char *next, uint32_t reg, uint32_t eax, uint32_t edx,
                 void (*prepare)(void))
{
    unsigned wrong = 0;
    uint32_t at = 0;
    for (unsigned round = 1; round <= ROUNDS && !wrong; round++) {
        struct state s;
        if (prepare)
            prepare();
        seen = seen_eip = 0;
        state_init(&s, 0, code);
        s.esi = APIC + reg;
        s.edi = APIC;
        s.eax = eax;
        s.edx = edx;
        s.eflags |= FL_IF;
        run(&s);
        at = seen_eip;
        if (s.vector != VEC_DONE || seen != 1 || seen_eip != (uint32_t)next)
            wrong = round;
    }
    if (!check(!wrong, "%s: at the next instruction", name))
        print("# round %u: %u interrupts, eip %x, want %x\n", wrong, (unsigned)seen, (unsigned)at, (unsigned)next);
}

/* One waits that TPR holds back. */
static void hold_back(void)
{
    apic[0x80 / 4] = 0xf0;
    apic[0x300 / 4] = 0x44000 | VECTOR;
}

/* To all others: that is nobody. */
static void to_others(void)
{
    apic[0x300 / 4] = 0xc4000 | VECTOR;
}

/* Reads and writes while a timer ticks: whenever it comes, nothing is done twice or not at all. */
static void while_ticking(void)
{
    uint32_t wrong = 0;
    trap_handlers[TIMER] = on_tick;
    apic[0x3e0 / 4] = 0xb;
    apic[0x320 / 4] = 0x20000 | TIMER;
    apic[0x380 / 4] = 30000; /* 30 us */
    __asm__ volatile("sti");
    for (uint32_t i = 0; ticks < TICKS; i++) {
        uint32_t before = i << 24, added = i, got;
        apic[0x310 / 4] = before;
        __asm__ volatile("addl %1, %0; pushl %0; movl %1, %0; popl %0" : "+r"(added) : "m"(apic[0x310 / 4]) : "cc");
        got = apic[0x310 / 4];
        wrong += got != before || added != i + before;
    }
    __asm__ volatile("cli");
    apic[0x320 / 4] = 0x10000;
    check(!wrong, "reads and writes between ticks of a timer");
}

void guest_main(void)
{
    trap_handlers[VECTOR] = on_ipi;
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    apic[0xf0 / 4] = 0x1ff;
    apic[0x80 / 4] = 0;
    each("ICR", send, sent, 0x300, 0, 0, NULL);
    each("ICR, absolute", send_al, sent_al, 0x300, 0x44000 | VECTOR, 0, NULL);
    each("TPR", lower, lowered, 0x80, 0, 0, hold_back);
    each("ICR, IF 0", shadow, open, 0x300, 0x44000 | VECTOR, 0, NULL);
    each("ICR behind STI", shadow_send, shadow_sent, 0x300, 0x44000 | VECTOR, 0, NULL);
    each("ICR, changed", narrow, narrowed, 0x300, ~0x80000u, 0, to_others);
    trap_handlers[VEC_IRQ0] = on_irq0;
    apic[0x350 / 4] = 0x700; /* LINT0: ExtINT */
    each("8259A", unmask, unmasked, 0, 0xfe, 0, request_irq0);
    each("8259A, DX", unmask_dx, unmasked_dx, 0, 0xfe, 0x21, request_irq0);
    apic[0x350 / 4] = 0x10000;
    while_ticking();
}

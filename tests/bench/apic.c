/* Interrupt controllers and timers as kernels use them, for apic.py: what the command line names, so many times. Bytes
 * at port E9h, '<' and '>', stand around what is measured; behind them come a checksum and, for people, the ticks of
 * one.
 *
 * Command line: NAME COUNT. Of the local APIC: id, tpr-read, tpr, eoi, ccr, icr (to nobody), tpr-byte (a byte of it,
 * zero-extended), tpr-or (read, changed and written by one instruction); pm (the PM timer), pit (latched, two reads);
 * and syscall: a program that does nothing but call its kernel, which asks twice in each call which processor it is on,
 * as xv6's does.
 */
#include "code.h"

#define P_P   0x1u
#define P_W   0x2u
#define P_U   0x4u
#define P_PCD 0x10u
#define P_PS  0x80u
#define APIC  0xfee00000u
#define CALL  64 /* the vector of system calls */

static uint32_t pd[1024] __attribute__((aligned(4096))), pt[1024] __attribute__((aligned(4096)));
static volatile uint32_t *const apic = (volatile uint32_t *)APIC;
static uint32_t sum, pm_port, pit_last;

static void paging_start(void)
{
    for (uint32_t i = 0; i < 32; i++)
        pd[i] = i << 22 | P_PS | P_P | P_W | P_U;
    pd[APIC >> 22] = (uint32_t)pt | P_P | P_W;
    pt[APIC >> 12 & 1023] = APIC | P_PCD | P_P | P_W;
    write_cr3((uint32_t)pd);
    write_cr4(read_cr4() | CR4_PSE);
    write_cr0(read_cr0() | CR0_PG | CR0_WP);
}

/* --- the kernel of "syscall" --- */

static const uint8_t apic_ids[8] = {0};
static uint32_t calls[1];

/* Which processor this is; interrupts are off meanwhile. */
static unsigned processor(void)
{
    uint32_t flags = read_eflags(), id;
    unsigned n = 0;
    __asm__ volatile("cli");
    id = apic[0x20 / 4] >> 24;
    while (n < ARRAY_COUNT(apic_ids) - 1 && apic_ids[n] != id)
        n++;
    if (flags & FL_IF)
        __asm__ volatile("sti");
    return n;
}

static bool on_call(struct trap *t)
{
    calls[processor()]++;
    t->eax = calls[processor()] + t->eax * 3;
    return true;
}

SNIPPET(caller, "1: movl %ecx, %eax; int $64; roll $1, %ebx; addl %eax, %ebx; decl %ecx; jnz 1b");

static void syscall(uint32_t count)
{
    struct state s;
    trap_handlers[CALL] = on_call;
    gate_set(CALL, D_TRAP32 | D_DPL(3));
    state_init(&s, 3, caller);
    s.ecx = count;
    s.ebx = 0;
    run(&s);
    sum = s.ebx;
}

/* --- single accesses --- */

#define WORK(name, ...) \
    static void name(uint32_t count) \
    { \
        for (; count; count--) { \
            __VA_ARGS__; \
        } \
    }

WORK(id, sum += apic[0x20 / 4])
WORK(tpr_read, sum += apic[0x80 / 4])
WORK(tpr, apic[0x80 / 4] = count & 0x30)
WORK(eoi, apic[0xb0 / 4] = 0)
WORK(ccr, (void)apic[0x390 / 4])
WORK(icr, apic[0x300 / 4] = 0xc4040)
WORK(tpr_byte, sum += *(volatile uint8_t *)(APIC + 0x80))
WORK(tpr_or, __asm__ volatile("orl %1, %0" : "+m"(apic[0x80 / 4]) : "r"(count & 0x70) : "cc"))

static void pm(uint32_t count)
{
    for (; count; count--) {
        inl((uint16_t)pm_port);
    }
}

static void pit(uint32_t count)
{
    for (; count; count--) {
        outb(0x43, 0);
        pit_last = inb(0x40);
        pit_last |= (uint32_t)inb(0x40) << 8;
    }
}

static const struct {
    const char *name;
    void (*run)(uint32_t count);
} works[] = {{"id ", id},   {"tpr-read ", tpr_read}, {"tpr ", tpr},           {"eoi ", eoi},
             {"ccr ", ccr}, {"icr ", icr},           {"tpr-byte ", tpr_byte}, {"tpr-or ", tpr_or},
             {"pm ", pm},   {"pit ", pit},           {"syscall ", syscall}};

/* The line is "IMAGE NAME COUNT". */
static const char *argument(void)
{
    const char *s = guest_cmdline;
    while (*s && *s != ' ')
        s++;
    return *s ? s + 1 : s;
}

void guest_main(void)
{
    const char *line = argument();
    uint32_t count = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(works); i++) {
        size_t n = strlen(works[i].name);
        if (memcmp(line, works[i].name, n))
            continue;
        for (const char *s = line + n; *s >= '0' && *s <= '9'; s++)
            count = count * 10 + (uint32_t)(*s - '0');
        if (!count)
            break;
        paging_start();
        pm_port = (config_read(1 << 3 | 3, 0x40) & 0xffc0) + 8;
        apic[0xf0 / 4] = 0x1ff;
        apic[0x380 / 4] = 0x7fffffff;
        works[i].run(count < 1000 ? count : 1000); /* what is translated is, what is looked for is known */
        sum = calls[0] = 0;
        outb(0xe9, '<');
        uint64_t begin = rdtsc();
        works[i].run(count);
        uint64_t ticks = rdtsc() - begin;
        outb(0xe9, '>');
        uint32_t high = (uint32_t)(ticks >> 32), low = (uint32_t)ticks, each, rest;
        __asm__("divl %4" : "=a"(each), "=d"(rest) : "0"(low), "1"(high), "r"(count));
        print("%x %u\n", (unsigned)sum, (unsigned)each);
        guest_exit(0);
    }
    print("usage: NAME COUNT\n");
    guest_exit(1);
}

/* All clocks of the machine against each other: each second of the ACPI timer it prints how many milliseconds the
 * others say have passed since the beginning. -append off: switches the machine off after that. */
#include "guest.h"

static inline void outw(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}
static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

#define PM_HZ 3579545u
#define APIC  ((volatile uint32_t *)0xfee00000)
#define HPET  ((volatile uint32_t *)0xfed00000)

static uint64_t divide(uint64_t a, uint32_t b)
{
    uint32_t high = (uint32_t)(a >> 32), low = (uint32_t)a, rest = high % b;
    __asm__("divl %2" : "+a"(low), "+d"(rest) : "rm"(b) : "cc");
    return (uint64_t)(high / b) << 32 | low;
}

static volatile uint32_t pit_ticks, rtc_ticks;

static bool pit_tick(struct trap *t)
{
    pit_ticks++;
    pic_eoi(0);
    return true;
}

static bool rtc_tick(struct trap *t)
{
    outb(0x70, 0x0c);
    inb(0x71);
    rtc_ticks++;
    pic_eoi(8);
    return true;
}

struct clocks {
    uint64_t pm, tsc;
    uint32_t pit, rtc, hpet, apic;
};

static uint16_t pm_port;
static uint32_t pm_last, apic_last;
static uint64_t pm_total, apic_total;

static void read_all(struct clocks *c)
{
    uint32_t pm = inl(pm_port) & 0xffffff;
    c->tsc = rdtsc();
    c->hpet = HPET[0xf0 / 4];
    uint32_t apic = APIC[0x390 / 4];
    pm_total += (pm - pm_last) & 0xffffff;
    pm_last = pm;
    apic_total += apic_last - apic; /* counts down, and around */
    apic_last = apic;
    c->pm = pm_total;
    c->apic = (uint32_t)(apic_total >> 10);
    c->pit = pit_ticks;
    c->rtc = rtc_ticks;
}

void guest_main(void)
{
    struct clocks first, second, now;
    outl(0xcf8, 0x80000b40u);
    uint16_t base = (uint16_t)(inl(0xcfc) & 0xffc0);
    pm_port = (uint16_t)(base + 8);
    pic_init();
    trap_handlers[VEC_IRQ0] = pit_tick;
    trap_handlers[VEC_IRQ0 + 8] = rtc_tick;
    outb(0x70, 0x8a);
    outb(0x71, 0x29); /* 128 Hz */
    outb(0x70, 0x8b);
    outb(0x71, 0x42);
    outb(0x70, 0x0c);
    inb(0x71);
    HPET[0x10 / 4] = 1;
    APIC[0xf0 / 4] = 0x1ff;
    APIC[0x3e0 / 4] = 0x0b;
    APIC[0x320 / 4] = 0x30000; /* masked, periodic */
    APIC[0x380 / 4] = 0xffffffff;
    pit_periodic(11932); /* 100 Hz */
    pic_unmask(0);
    pic_unmask(2);
    pic_unmask(8);
    __asm__ volatile("sti");
    pm_last = inl(pm_port) & 0xffffff;
    apic_last = APIC[0x390 / 4];
    read_all(&first);
    for (unsigned s = 1;; s++) {
        do {
            read_all(&now);
        } while (now.pm - first.pm < (uint64_t)s * PM_HZ);
        if (s == 1) {
            second = now;
            print("clocks begin\n");
            continue;
        }
        /* The first second says how fast those are that nobody promises a rate of. */
        uint32_t tsc_ms = (uint32_t)divide(second.tsc - first.tsc, 1000), apic_ms = (second.apic - first.apic) / 1000;
        uint32_t hpet_ms = (second.hpet - first.hpet) / 1000;
        print("clocks pm %u tsc %u pit %u rtc %u hpet %u apic %u\n",
              (uint32_t)divide((now.pm - first.pm) * 1000, PM_HZ), (uint32_t)divide(now.tsc - first.tsc, tsc_ms),
              (now.pit - first.pit) * 10, (now.rtc - first.rtc) * 1000 / 128, (now.hpet - first.hpet) / hpet_ms,
              (now.apic - first.apic) / apic_ms);
        if (string_has(guest_cmdline, "off")) {
            outw((uint16_t)(base + 4), 0x2001); /* SLP_EN, type 0 */
            for (unsigned type = 0; type < 8; type++)
                outw((uint16_t)(base + 4), (uint16_t)(0x2001 | type << 10));
            for (;;)
                print("on\n");
        }
    }
}

/* A guest that asks its timers for more than can be had: PIT and RTC as fast as they go, the PIT's count changed all
 * the time, the local APIC's timer at its shortest, a disk that is never done. For ever. */
#include "guest.h"

static bool pit_tick(struct trap *t)
{
    pic_eoi(0);
    return true;
}

static bool rtc_tick(struct trap *t)
{
    outb(0x70, 0x0c);
    inb(0x71);
    pic_eoi(8);
    return true;
}

static bool apic_tick(struct trap *t)
{
    *(volatile uint32_t *)0xfee000b0 = 0;
    return true;
}

void guest_main(void)
{
    volatile uint32_t *apic = (volatile uint32_t *)0xfee00000;
    pic_init();
    trap_handlers[VEC_IRQ0] = pit_tick;
    trap_handlers[VEC_IRQ0 + 8] = rtc_tick;
    trap_handlers[0x50] = apic_tick;
    outb(0x70, 0x8a);
    outb(0x71, 0x23); /* 8192 Hz */
    outb(0x70, 0x8b);
    outb(0x71, 0x42);
    pit_periodic(2);
    pic_unmask(0);
    pic_unmask(2);
    pic_unmask(8);
    apic[0xf0 / 4] = 0x1ff;
    apic[0x3e0 / 4] = 0x0b;
    apic[0x320 / 4] = 0x20050; /* periodic */
    apic[0x380 / 4] = 1;
    for (unsigned n = 0;; n++) {
        __asm__ volatile("sti; nop; nop; cli");
        outb(0x43, 0x34);
        outb(0x40, (uint8_t)(2 + n % 7));
        outb(0x40, 0);
        apic[0x380 / 4] = 1 + n % 3;
        inb(0x61);
    }
}

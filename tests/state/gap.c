/* A guest that watches its 1 kHz timer: the longest time between two ticks of each second, in microseconds, as it goes.
 * The screen is as large as it can be. */
#include "guest.h"

static inline void outw(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

static volatile uint32_t ticks, longest;
static uint64_t last;

static bool tick(struct trap *t)
{
    uint64_t now = rdtsc();
    uint32_t gap = (uint32_t)((now - last) >> 4);
    if (ticks++ && gap > longest)
        longest = gap;
    last = now;
    pic_eoi(0);
    return true;
}

static void dispi(uint16_t index, uint16_t value)
{
    outw(0x1ce, index);
    outw(0x1cf, value);
}

void guest_main(void)
{
    dispi(4, 0);
    dispi(1, 2560);
    dispi(2, 1600);
    dispi(3, 32);
    dispi(4, 0x41);
    pic_init();
    trap_handlers[VEC_IRQ0] = tick;
    pit_periodic(1193);
    pic_unmask(0);
    for (unsigned second = 0; second < 120; second++) {
        uint64_t begin = rdtsc();
        uint32_t from = ticks;
        longest = 0;
        while (ticks - from < 1000)
            __asm__ volatile("sti; hlt; cli" : : : "memory");
        /* 1000 ticks are a second: that gives the unit. */
        uint32_t us = (uint32_t)((rdtsc() - begin) >> 4) / 1000000u;
        print("gap %u\n", longest / (us ? us : 1));
    }
    guest_end();
}

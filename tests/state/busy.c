/* A guest that checks itself while everything works: disk by PIO and by DMA, serial loopback, timers against each
 * other, x87 and SSE, video memory, keyboard controller, interrupts. What it is moved about in must not be noticed.
 *
 * -append SECONDS: how long, by the ACPI timer.
 */
#include "guest.h"

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

/* There is no library for this here. */
static uint64_t divide(uint64_t a, uint32_t b)
{
    uint32_t high = (uint32_t)(a >> 32), low = (uint32_t)a, rest = high % b;
    __asm__("divl %2" : "+a"(low), "+d"(rest) : "rm"(b) : "cc");
    return (uint64_t)(high / b) << 32 | low;
}

/* --- Time: the ACPI timer, the TSC and the PIT's ticks must agree --- */

static uint16_t pm_port;
static volatile uint32_t ticks;
static uint32_t pm_last;
static uint64_t pm_total;

static uint32_t pci_read(unsigned devfn, unsigned offset)
{
    outl(0xcf8, 0x80000000u | devfn << 8 | offset);
    return inl(0xcfc);
}

static uint64_t pm_now(void)
{
    uint32_t now = inl(pm_port) & 0xffffff;
    pm_total += (now - pm_last) & 0xffffff;
    pm_last = now;
    return pm_total;
}

static bool tick(struct trap *t)
{
    ticks++;
    pic_eoi(0);
    return true;
}

#define PM_HZ     3579545u
#define TICK      2983 /* 400 Hz */
#define KEPT_MOST 400  /* ticks that the PIT keeps for later: of a second */

/* --- Disk --- */

#define SECTORS 64
static uint16_t out_data[256], in_data[256];
static uint8_t dma_buffer[4096] __attribute__((aligned(4096)));
static uint32_t prd[2] __attribute__((aligned(8)));
static uint16_t bm_port;
static uint32_t generation[SECTORS];
static volatile uint32_t disk_irqs;

static bool disk_irq(struct trap *t)
{
    disk_irqs++;
    inb(0x1f7);
    pic_eoi(14);
    return true;
}

static void fill(uint16_t *data, unsigned sector, uint32_t gen)
{
    for (unsigned i = 0; i < 256; i++)
        data[i] = (uint16_t)(sector * 7919 + gen * 31 + i * 257);
}

static bool disk_wait(uint8_t mask, uint8_t want)
{
    for (unsigned i = 0; i < 100000000; i++) {
        uint8_t status = inb(0x3f6);
        if (!(status & 0x80) && (status & mask) == want)
            return true;
    }
    return false;
}

static void disk_command(unsigned sector, uint8_t command)
{
    outb(0x1f6, 0xe0);
    disk_wait(0x40, 0x40);
    outb(0x1f2, 1);
    outb(0x1f3, (uint8_t)sector);
    outb(0x1f4, 0);
    outb(0x1f5, 0);
    outb(0x1f7, command);
}

static bool disk_pio_write(unsigned sector)
{
    fill(out_data, sector, ++generation[sector]);
    disk_command(sector, 0x30);
    if (!disk_wait(0x08, 0x08))
        return false;
    const uint16_t *p = out_data;
    uint32_t n = 256;
    __asm__ volatile("rep outsw" : "+S"(p), "+c"(n) : "d"(0x1f0) : "memory");
    return disk_wait(0x89, 0);
}

static bool disk_pio_read(unsigned sector)
{
    disk_command(sector, 0x20);
    if (!disk_wait(0x08, 0x08))
        return false;
    uint16_t *p = in_data;
    uint32_t n = 256;
    __asm__ volatile("rep insw" : "+D"(p), "+c"(n) : "d"(0x1f0) : "memory");
    fill(out_data, sector, generation[sector]);
    return generation[sector] == 0 || memcmp(in_data, out_data, 512) == 0;
}

static bool disk_dma(unsigned sector, bool write)
{
    prd[0] = (uint32_t)dma_buffer;
    prd[1] = 0x80000000u | 512;
    if (write)
        fill((uint16_t *)dma_buffer, sector, ++generation[sector]);
    else
        memset(dma_buffer, 0xa5, 512);
    outl(bm_port + 4, (uint32_t)prd);
    outb(bm_port + 2, 6);
    outb(bm_port, write ? 0 : 8);
    disk_command(sector, write ? 0xca : 0xc8);
    outb(bm_port, write ? 1 : 9);
    for (unsigned i = 0; i < 100000000 && !(inb(bm_port + 2) & 4); i++)
        continue;
    outb(bm_port, 0);
    if (!disk_wait(0x89, 0))
        return false;
    fill(out_data, sector, generation[sector]);
    return write || generation[sector] == 0 || memcmp(dma_buffer, out_data, 512) == 0;
}

/* --- Serial line, looped back --- */

static bool serial_loop(void)
{
    static uint8_t next;
    outb(0x3fc, 0x13);
    for (unsigned i = 0; i < 8; i++) {
        uint8_t byte = next++;
        outb(0x3f8, byte);
        for (unsigned n = 0; !(inb(0x3fd) & 1); n++) {
            if (n > 10000000)
                return false;
        }
        if (inb(0x3f8) != byte)
            return false;
    }
    return true;
}

/* --- FPU and SSE: a state that lives over many rounds --- */

/* Doubles, as bits: this file is compiled without floating point. */
#define DOUBLE_ONE 0x3ff0000000000000ull
static uint64_t orbit_x = DOUBLE_ONE, orbit_y, want_x = DOUBLE_ONE, want_y;

/* The same steps of a rotation on the x87 stack and in SSE registers; both must stay together. */
static bool fpu_steps(void)
{
    static const uint64_t c = 0x3feffe5cbaea1fdcull, s = 0x3f947a3ee7d3d4dbull; /* about 0.9998 and 0.02 */
    uint64_t tx, ty;
    for (unsigned i = 0; i < 200; i++) {
        __asm__ volatile("fldl %4\n fmull %2\n fldl %5\n fmull %3\n fsubrp\n fstpl %0\n"
                         "fldl %4\n fmull %3\n fldl %5\n fmull %2\n faddp\n fstpl %1"
                         : "=m"(tx), "=m"(ty)
                         : "m"(c), "m"(s), "m"(orbit_x), "m"(orbit_y));
        orbit_x = tx;
        orbit_y = ty;
        __asm__ volatile("movsd %4, %%xmm0\n mulsd %2, %%xmm0\n movsd %5, %%xmm1\n mulsd %3, %%xmm1\n"
                         "subsd %%xmm1, %%xmm0\n movsd %4, %%xmm2\n mulsd %3, %%xmm2\n movsd %5, %%xmm3\n"
                         "mulsd %2, %%xmm3\n addsd %%xmm3, %%xmm2\n movsd %%xmm0, %0\n movsd %%xmm2, %1"
                         : "=m"(tx), "=m"(ty)
                         : "m"(c), "m"(s), "m"(want_x), "m"(want_y));
        want_x = tx;
        want_y = ty;
    }
    return orbit_x == want_x && orbit_y == want_y;
}

/* What is on the register stack stays there. */
static bool fpu_stack(void)
{
    static uint32_t round;
    uint32_t got[3];
    round++;
    __asm__ volatile("fildl %0\n fildl %0\n fiaddl %0" : : "m"(round));
    for (volatile unsigned i = 0; i < 20000; i++)
        continue;
    __asm__ volatile("fistpl %0\n fistpl %1" : "=m"(got[0]), "=m"(got[1]));
    return got[0] == 2 * round && got[1] == round;
}

/* --- Video memory, keyboard controller --- */

static bool video(unsigned seed)
{
    volatile uint16_t *text = (volatile uint16_t *)0xb8000;
    static uint16_t was;
    for (unsigned i = 0; i < 2000 && seed > 1; i++) {
        if (text[i] != (uint16_t)(was + i))
            return false;
    }
    was = (uint16_t)(seed * 2654435761u >> 16);
    for (unsigned i = 0; i < 2000; i++)
        text[i] = (uint16_t)(was + i);
    outb(0x3d4, 0x0f);
    outb(0x3d5, (uint8_t)seed);
    outb(0x3d4, 0x0e);
    outb(0x3d5, 0);
    outb(0x3d4, 0x0f);
    return inb(0x3d5) == (uint8_t)seed;
}

static bool keyboard_wait(uint8_t mask, uint8_t want)
{
    for (unsigned i = 0; i < 10000000; i++) {
        if ((inb(0x64) & mask) == want)
            return true;
    }
    return false;
}

static bool keyboard(uint8_t value)
{
    keyboard_wait(2, 0);
    outb(0x64, 0x65); /* byte 5 of its memory */
    keyboard_wait(2, 0);
    outb(0x60, value);
    keyboard_wait(2, 0);
    outb(0x64, 0x25);
    if (!keyboard_wait(1, 1) || inb(0x60) != value)
        return false;
    outb(0x60, 0xee); /* echo */
    return keyboard_wait(1, 1) && inb(0x60) == 0xee;
}

void guest_main(void)
{
    uint32_t seconds = 0, round = 0, bad_tsc = 0, bad_ticks = 0;
    bool disk = true, dma = true, serial = true, fpu = true, stack = true, vga = true, kbd = true, memory = true;
    for (const char *p = guest_cmdline; *p; p++) {
        if (*p >= '0' && *p <= '9' && (p == guest_cmdline || p[-1] == ' '))
            for (seconds = 0; *p >= '0' && *p <= '9'; p++)
                seconds = seconds * 10 + (uint32_t)(*p - '0');
        if (!*p)
            break;
    }
    write_cr4(read_cr4() | 0x600); /* FXSAVE and SSE */
    write_cr0((read_cr0() & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE);
    __asm__ volatile("fninit\n pushl $0x27f\n fldcw (%%esp)\n addl $4, %%esp" : : : "memory"); /* double precision */
    pm_port = (uint16_t)((pci_read(0x0b, 0x40) & 0xffc0) + 8);
    bm_port = (uint16_t)(pci_read(0x09, 0x20) & 0xfff0);
    check(pm_port > 8 && bm_port, "the ACPI timer and the bus master are there");
    outl(0xcf8, 0x80000000u | 0x09 << 8 | 0x04);
    outl(0xcfc, 0x00000005);
    pic_init();
    trap_handlers[VEC_IRQ0] = tick;
    trap_handlers[VEC_IRQ0 + 14] = disk_irq;
    outb(0x64, 0xad);
    while (inb(0x64) & 1)
        inb(0x60);
    outb(0x64, 0x60);
    keyboard_wait(2, 0);
    outb(0x60, 0x00); /* no interrupts, no translation, keyboard on */
    outb(0x3fb, 0x03);
    outb(0x3fa, 0x01);
    pit_periodic(TICK);
    pic_unmask(0);
    pic_unmask(2);
    pic_unmask(14);
    pm_last = inl(pm_port) & 0xffffff;
    uint64_t pm_begin = pm_now(), tsc_begin = rdtsc();
    uint64_t rate = 0; /* TSC ticks in 1024 ticks of the ACPI timer, from a first stretch */
    uint32_t ticks_begin = ticks;
    int32_t latest = 0;
    uint32_t *heap = (uint32_t *)0x800000;
    __asm__ volatile("sti");
    while (pm_now() - pm_begin < (uint64_t)seconds * PM_HZ) {
        round++;
        unsigned sector = 1 + rnd() % (SECTORS - 1);
        disk &= round & 1 ? disk_pio_write(sector) : disk_pio_read(sector);
        sector = 1 + rnd() % (SECTORS - 1);
        dma &= disk_dma(sector, round & 2);
        serial &= serial_loop();
        fpu &= fpu_steps();
        stack &= fpu_stack();
        vga &= video(round);
        kbd &= keyboard((uint8_t)round);
        unsigned at = rnd() % 0x100000;
        memory &= heap[at] == 0 || heap[at] == at * 3 + 1;
        heap[at] = at * 3 + 1;
        /* One clock is read between two reads of the other; where the host took its time meanwhile, it says nothing. */
        uint64_t before = rdtsc() - tsc_begin, pm = pm_now() - pm_begin, tsc = rdtsc() - tsc_begin;
        bool at_once = tsc - before < 1000000;
        if (!rate && at_once && pm > PM_HZ / 4)
            rate = divide(tsc * 1024, (uint32_t)pm);
        if (rate && at_once) {
            int64_t off = (int64_t)(tsc - (pm * rate >> 10));
            int64_t slack = 2000000 + (int64_t)(tsc >> 9);
            if (off > slack || off < -slack) {
                if (!bad_tsc++)
                    print("# round %u: TSC %d off, of %u million\n", round, (int)off, (uint32_t)(tsc >> 20));
            }
        }
        uint64_t want = divide(divide(pm, 3), TICK); /* the ACPI timer counts three times as fast as the PIT */
        int32_t late = (int32_t)((uint32_t)want - (ticks - ticks_begin));
        /* Ticks that a busy host kept back come later, a few at a time; never too many. */
        latest = late > latest ? late : latest;
        if (late < -8 && !bad_ticks++)
            print("# round %u: %d ticks late, of %u\n", round, late, (uint32_t)want);
    }
    /* A host that has kept back as many as are kept has taken the rest for good. */
    bool starved = latest > KEPT_MOST - 50;
    int32_t late = 0;
    for (uint64_t end = pm_now() + 10ull * PM_HZ; pm_now() < end;) {
        late = (int32_t)((uint32_t)divide(divide(pm_now() - pm_begin, 3), TICK) - (ticks - ticks_begin));
        if (late <= 2)
            break;
    }
    __asm__ volatile("cli");
    print("# %u rounds, %u ticks, %u disk interrupts\n", round, ticks, disk_irqs);
    check(disk, "disk by PIO");
    check(dma, "disk by DMA");
    check(serial, "serial line");
    check(fpu, "x87 and SSE agree");
    check(stack, "x87 stack stays");
    check(vga, "video memory and registers");
    check(kbd, "keyboard controller");
    check(memory, "memory");
    check(bad_tsc == 0, "TSC and ACPI timer agree (%u times not)", bad_tsc);
    /* Some that fell into the host's own pauses may be gone for good. */
    if (starved)
        print("# the host has kept back %d ticks at a time\n", latest);
    check(bad_ticks == 0 && (starved || late <= 8 + (int32_t)(ticks / 16)),
          "no tick is lost or too many (%u times, %d at the end)", bad_ticks, late);
    guest_end();
}

/* A guest that plays a sine without end and computes in its foreground: what sound_load.py listens to.
 *
 * -append sb16|ac97. The sb16 (16 bits, mono, 44100 Hz, DMA channel 5, auto-initialized) asks for each half of its
 * buffer by interrupt; the AC'97 (48000 Hz) is looked at 100 times a second, and its list is filled to 55 ms ahead.
 * What is not written in time is heard: the sb16 plays an old half of its buffer, in the opposite phase, the AC'97
 * stops.
 */
#include "code.h"

static inline void outw(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

/* --- The sine: a whole number of frames a period --- */

#define AMPLITUDE  24000
#define PERIOD_MAX 128
static int16_t sine[PERIOD_MAX];
static unsigned period, phase;

static void sine_make(unsigned frames)
{
    period = frames;
    for (unsigned i = 0; i < frames; i++) {
        int32_t at = (int32_t)i, all = (int32_t)frames, amplitude = AMPLITUDE, value;
        __asm__ volatile("fldpi; fadd %%st(0), %%st(0); fimull %1; fidivl %2; fsin; fimull %3; fistpl %0"
                         : "=m"(value)
                         : "m"(at), "m"(all), "m"(amplitude));
        sine[i] = (int16_t)value;
    }
}

static int16_t sine_next(void)
{
    int16_t value = sine[phase];
    phase = phase + 1 == period ? 0 : phase + 1;
    return value;
}

/* --- Sound Blaster 16 --- */

#define SB        0x220
#define SB_PERIOD 100   /* 441 Hz */
#define HALF      16375 /* frames, 371 ms: both are 327.5 periods */
#define SB_IRQ    5
#define DMA_PAGE  0x8b /* channel 5 */
#define DMA_ADDR  0xc4
#define DMA_COUNT 0xc6
#define DMA_MASK  0xd4
#define DMA_MODE  0xd6
#define DMA_FLIP  0xd8
#define SB_ALIGN \
    131072u /* no bounds of the DMA's pages in it; more than a multiboot kernel's own may be aligned to \
             */
static uint8_t sb_memory[2 * SB_ALIGN];
static int16_t *sb_buffer;
static unsigned last_half; /* that was filled */

static void sb_fill(unsigned half)
{
    for (unsigned i = 0; i < HALF; i++)
        sb_buffer[half * HALF + i] = sine_next();
}

static bool sb_irq(struct trap *t)
{
    inb(SB + 15); /* 16-bit acknowledge */
    outb(DMA_FLIP, 0);
    uint32_t left = inb(DMA_COUNT);
    left |= (uint32_t)inb(DMA_COUNT) << 8;
    unsigned idle = left + 1 > HALF && left != 0xffff; /* the second, while the first is played */
    if (idle != last_half)
        sb_fill(idle);
    last_half = idle;
    pic_eoi(SB_IRQ);
    return true;
}

static void dsp(uint8_t byte)
{
    while (inb(SB + 12) & 0x80)
        continue;
    outb(SB + 12, byte);
}

static void mixer(uint8_t index, uint8_t value)
{
    outb(SB + 4, index);
    outb(SB + 5, value);
}

static bool sb_start(void)
{
    outb(SB + 6, 1);
    for (unsigned i = 0; i < 100; i++)
        inb(0x80);
    outb(SB + 6, 0);
    for (unsigned i = 0; !(inb(SB + 14) & 0x80); i++) {
        if (i == 1000000)
            return false;
    }
    if (inb(SB + 10) != 0xaa)
        return false;
    for (uint8_t index = 0x30; index <= 0x33; index++)
        mixer(index, 0xf8); /* master and voice: 0 dB */
    mixer(0x80, 2);         /* IRQ 5 */
    mixer(0x81, 0x22);      /* DMA 1 and 5 */
    sine_make(SB_PERIOD);
    sb_buffer = (int16_t *)(((uint32_t)sb_memory + SB_ALIGN - 1) & ~(SB_ALIGN - 1));
    sb_fill(0);
    sb_fill(1);
    last_half = 1;
    uint32_t words = (uint32_t)sb_buffer >> 1, count = 2 * HALF - 1;
    outb(DMA_MASK, 4 | 1);
    outb(DMA_FLIP, 0);
    outb(DMA_MODE, 0x58 | 1); /* single, auto-initialized, from memory */
    outb(DMA_ADDR, (uint8_t)words);
    outb(DMA_ADDR, (uint8_t)(words >> 8));
    outb(DMA_PAGE, (uint8_t)((uint32_t)sb_buffer >> 16));
    outb(DMA_COUNT, (uint8_t)count);
    outb(DMA_COUNT, (uint8_t)(count >> 8));
    outb(DMA_MASK, 1);
    trap_handlers[VEC_IRQ0 + SB_IRQ] = sb_irq;
    pic_unmask(SB_IRQ);
    dsp(0x41);
    dsp(44100 >> 8);
    dsp(44100 & 255);
    dsp(0xb6); /* 16 bits, out, auto-initialized, FIFO */
    dsp(0x10); /* signed, mono */
    dsp((HALF - 1) & 255);
    dsp((HALF - 1) >> 8);
    return true;
}

/* --- AC'97 --- */

#define AC97_ID     0x24158086
#define AC97_PERIOD 120 /* 400 Hz */
#define PIECE       660 /* frames, 13.75 ms: 5.5 periods */
#define PIECES      24  /* ahead of that which plays: 330 ms */
static uint16_t nam, nabm;
static uint32_t list[32][2] __attribute__((aligned(8)));
static int16_t pieces[32][PIECE][2];
static unsigned filled; /* the last piece that was */

static void ac97_fill(void)
{
    unsigned now = inb(nabm + 0x14); /* CIV */
    while (filled != ((now + PIECES) & 31)) {
        filled = (filled + 1) & 31;
        for (unsigned i = 0; i < PIECE; i++)
            pieces[filled][i][0] = pieces[filled][i][1] = sine_next();
        outb(nabm + 0x15, (uint8_t)filled); /* LVI */
    }
}

static bool tick(struct trap *t)
{
    ac97_fill();
    pic_eoi(0);
    return true;
}

static bool ac97_start(void)
{
    unsigned devfn = 0;
    while (config_read(devfn, 0) != AC97_ID) {
        if (++devfn == 256)
            return false;
    }
    for (unsigned bar = 0; bar < 2; bar++) { /* who starts a kernel without firmware may leave them open */
        if (!(config_read(devfn, 0x10 + 4 * bar) & 0xfffc))
            config_write(devfn, 0x10 + 4 * bar, 0xd000 + 0x400 * bar);
    }
    nam = (uint16_t)(config_read(devfn, 0x10) & 0xfffc);
    nabm = (uint16_t)(config_read(devfn, 0x14) & 0xfffc);
    config_write(devfn, 4, 5); /* ports, bus master */
    outl(nabm + 0x2c, 2);      /* out of cold reset */
    outw(nam, 0);              /* codec's reset */
    outw(nam + 2, 0);          /* master: 0 dB */
    outw(nam + 0x18, 0x0808);
    sine_make(AC97_PERIOD);
    for (unsigned i = 0; i < 32; i++) {
        list[i][0] = (uint32_t)pieces[i];
        list[i][1] = 2 * PIECE;
    }
    outb(nabm + 0x1b, 2); /* reset of PCM out */
    outl(nabm + 0x10, (uint32_t)list);
    filled = 31;
    ac97_fill();
    trap_handlers[VEC_IRQ0] = tick;
    pit_periodic(11932);
    pic_unmask(0);
    outb(nabm + 0x1b, 1);
    return true;
}

void guest_main(void)
{
    static uint32_t memory[65536];
    pic_init();
    if (!(string_has(guest_cmdline, "ac97") ? ac97_start() : sb_start())) {
        print("no card\n");
        guest_exit(1);
    }
    print("plays\n");
    __asm__ volatile("sti");
    for (uint32_t i = 0, sum = 0;; i++) {
        sum = sum * 1664525 + 1013904223;
        memory[sum >> 16] += sum ^ i;
    }
}

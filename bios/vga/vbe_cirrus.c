/* The Cirrus Logic CL-GD5446 behind the VBE: its packed modes, its own mode numbers, what its BIOS tells of it.
 *
 * CL-GD5446 Technical Reference Manual: SR7, GR9 to GRB, CR1A to CR1D, the hidden DAC register, the clock
 * synthesizers. Mode numbers and functions of INT 10h, AH = 12h: Cirrus Logic's VGA BIOS, as the public lists have
 * them.
 */
#include "vga.h"

#define SR_UNLOCK   0x06
#define SR_EXTENDED 0x07
#define SR_VCLK3_N  0x0e
#define SR_MEMORY   0x0f
#define SR_CURSOR   0x12
#define SR_VCLK3_D  0x1e
#define GR_OFFSET0  0x09
#define GR_BANKS    0x0b
#define BANKS_16K   0x20
#define CR_1A       0x1a
#define CR_1B       0x1b
#define CR_1D       0x1d
#define CR_ID       0x27
#define CR_1B_WRAP  0x02 /* addresses go round at the end of memory, not at 256 KiB */

ROM char card_product[] ROM_SECTION = "Ringer CL-GD5446";
ROM uint16_t card_line_most ROM_SECTION = 511 * 8;
ROM uint8_t card_has_pm ROM_SECTION = 0;
ROM uint8_t card_has_dac8 ROM_SECTION = 0;

/* Numbers without one of Cirrus's are those of the Bochs VBE BIOS. */
ROM struct vbe_mode card_modes[] ROM_SECTION = {
    {0x100, 640, 400, 8},    {0x101, 640, 480, 8},   {0x103, 800, 600, 8},    {0x105, 1024, 768, 8},
    {0x107, 1280, 1024, 8},  {0x110, 640, 480, 15},  {0x111, 640, 480, 16},   {0x112, 640, 480, 24},
    {0x113, 800, 600, 15},   {0x114, 800, 600, 16},  {0x115, 800, 600, 24},   {0x116, 1024, 768, 15},
    {0x117, 1024, 768, 16},  {0x118, 1024, 768, 24}, {0x119, 1280, 1024, 15}, {0x11a, 1280, 1024, 16},
    {0x11b, 1280, 1024, 24}, {0x142, 640, 480, 32},  {0x143, 800, 600, 32},
};
ROM uint16_t card_mode_count ROM_SECTION = sizeof(card_modes) / sizeof(card_modes[0]);

struct own_mode {
    uint8_t number, vbe; /* the latter without 100h */
};
static ROM struct own_mode own_modes[] ROM_SECTION = {
    {0x5e, 0x00}, {0x5f, 0x01}, {0x5c, 0x03}, {0x60, 0x05}, {0x6d, 0x07}, {0x66, 0x10}, {0x64, 0x11}, {0x71, 0x12},
    {0x67, 0x13}, {0x65, 0x14}, {0x78, 0x15}, {0x68, 0x16}, {0x74, 0x17}, {0x79, 0x18}, {0x69, 0x19}, {0x75, 0x1a},
};

uint16_t card_vbe_number(uint8_t number)
{
    for (uint16_t i = 0; i < sizeof(own_modes) / sizeof(own_modes[0]); i++) {
        if (own_modes[i].number == number)
            return 0x100 + own_modes[i].vbe;
    }
    return 0;
}

/* --- Registers --- */

static uint16_t crtc_now(void)
{
    return inb(0x3cc) & 1 ? 0x3d4 : 0x3b4;
}

static uint8_t cr_get(uint8_t index)
{
    return indexed_read(crtc_now(), index);
}

static void cr_set(uint8_t index, uint8_t value)
{
    indexed_write(crtc_now(), index, value);
}

/* The fifth access to 3C6h is the hidden register's. */
static void hidden_dac_reach(void)
{
    inb(0x3c8);
    for (uint8_t i = 0; i < 4; i++)
        inb(0x3c6);
}

static uint8_t hidden_dac_get(void)
{
    hidden_dac_reach();
    return inb(0x3c6);
}

static void hidden_dac_set(uint8_t value)
{
    hidden_dac_reach();
    outb(0x3c6, value);
}

bool card_present(void)
{
    indexed_write(SEQ, SR_UNLOCK, 0x12);
    return indexed_read(SEQ, SR_UNLOCK) == 0x12 && cr_get(CR_ID) == 0xb8;
}

void card_off(void)
{
    if (!card_present())
        return;
    indexed_write(SEQ, SR_EXTENDED, 0);
    indexed_write(SEQ, SR_CURSOR, 0);
    for (uint8_t i = GR_OFFSET0; i <= GR_BANKS; i++)
        indexed_write(GC, i, 0);
    cr_set(CR_1A, 0);
    cr_set(CR_1B, 0);
    cr_set(CR_1D, 0);
    hidden_dac_set(0);
}

static bool is_on(void)
{
    return indexed_read(SEQ, SR_EXTENDED) & 1;
}

static uint8_t bits_now(void)
{
    switch (indexed_read(SEQ, SR_EXTENDED) & 0x0e) {
    case 0x02:
    case 0x06:
        return (hidden_dac_get() & 0x0f) == 1 ? 16 : 15;
    case 0x04:
        return 24;
    case 0x08:
        return 32;
    }
    return 8;
}

static uint8_t bytes_now(void)
{
    return (bits_now() + 7) / 8;
}

static uint16_t line_now(void)
{
    return (uint16_t)((cr_get(0x13) | (cr_get(CR_1B) & 0x10) << 4) * 8);
}

static void line_set(uint16_t bytes)
{
    uint16_t value = bytes / 8;
    cr_set(0x13, (uint8_t)value);
    cr_set(CR_1B, (cr_get(CR_1B) & ~0x10) | (value >> 4 & 0x10));
}

static uint32_t start_now(void)
{
    uint32_t more = cr_get(CR_1B);
    return ((uint32_t)cr_get(0x0c) << 8 | cr_get(0x0d) | (more & 1) << 16 | (more & 0x0c) << 15 |
            (uint32_t)(cr_get(CR_1D) & 0x80) << 12) *
           4;
}

static void start_set(uint32_t bytes)
{
    uint32_t value = bytes / 4;
    cr_set(0x0c, (uint8_t)(value >> 8));
    cr_set(0x0d, (uint8_t)value);
    cr_set(CR_1B, (uint8_t)((cr_get(CR_1B) & ~0x0d) | (value >> 16 & 1) | (value >> 15 & 0x0c)));
    cr_set(CR_1D, (uint8_t)((cr_get(CR_1D) & 0x7f) | (value >> 12 & 0x80)));
}

/* In 64 KiB: how many memory chips there are, and whether as many again in a second bank. */
static uint16_t memory_blocks(void)
{
    uint8_t value = indexed_read(SEQ, SR_MEMORY), size = value >> 3 & 3;
    if (size == 3)
        return value & 0x80 ? 64 : 32;
    return size == 2 ? 16 : 8;
}

uint16_t card_get(uint16_t index)
{
    switch (index) {
    case DISPI_XRES:
        return (cr_get(0x01) + 1) * 8;
    case DISPI_YRES: {
        uint8_t overflow = cr_get(0x07);
        return (cr_get(0x12) | (overflow & 0x02) << 7 | (overflow & 0x40) << 3) + 1;
    }
    case DISPI_BPP:
        return bits_now();
    case DISPI_ENABLE:
        return is_on() ? DISPI_ENABLED : 0;
    case DISPI_BANK:
        return indexed_read(GC, GR_OFFSET0) >> 2;
    case DISPI_VIRT_WIDTH:
        return line_now() / bytes_now();
    case DISPI_X_OFFSET:
        return (uint16_t)(start_now() % line_now()) / bytes_now();
    case DISPI_Y_OFFSET:
        return (uint16_t)(start_now() / line_now());
    case DISPI_MEMORY:
        return memory_blocks();
    }
    return 0;
}

void card_set(uint16_t index, uint16_t value)
{
    switch (index) {
    case DISPI_ENABLE:
        if (!(value & DISPI_ENABLED))
            card_off();
        break;
    case DISPI_BANK:
        indexed_write(GC, GR_OFFSET0, (uint8_t)(value << 2));
        break;
    case DISPI_VIRT_WIDTH:
        line_set((uint16_t)(value * bytes_now()));
        break;
    }
}

bool card_start_set(uint16_t x, uint16_t y)
{
    uint32_t start = (uint32_t)y * line_now() + (uint32_t)x * bytes_now();
    if (start >= (uint32_t)memory_blocks() << 16)
        return false;
    start_set(start);
    return true;
}

/* --- Mode set --- */

/* In characters of eight dots, and lines; the pixel clock as numerator and denominator of 14.318 MHz. VESA's timings
 * for 60 Hz; what does not fit into ten bits is a little early. */
struct timing {
    uint16_t width, height;
    uint8_t hsync, hsync_end, htotal;
    uint16_t vsync, vsync_end, vtotal;
    uint8_t misc, clock_n, clock_d;
} __attribute__((packed));

static ROM struct timing timings[] ROM_SECTION = {
    {640, 400, 82, 94, 100, 412, 414, 449, 0x6f, 0x4a, 0x2b},
    {640, 480, 82, 94, 100, 490, 492, 525, 0xef, 0x4a, 0x2b},
    {800, 600, 105, 121, 132, 601, 605, 628, 0x2f, 0x51, 0x3a},
    {1024, 768, 131, 148, 168, 771, 777, 806, 0xef, 0x3b, 0x1a},
    {1280, 1024, 166, 180, 211, 1021, 1023, 1025, 0x2f, 0x53, 0x16},
};

static void timing_set(ROM struct timing *t)
{
    uint8_t columns = (uint8_t)(t->width / 8);
    uint16_t total = t->vtotal - 2, shown = t->height - 1, blank = t->height - (t->height == 1024);
    uint16_t hblank_end = t->htotal - 1;

    indexed_write(SEQ, SR_VCLK3_N, t->clock_n);
    indexed_write(SEQ, SR_VCLK3_D, t->clock_d);
    indexed_write(SEQ, 0, 0x01);
    outb(0x3c2, t->misc);
    indexed_write(SEQ, 1, 0x21);
    indexed_write(SEQ, 0, 0x03);
    cr_set(0x11, 0);
    cr_set(0x00, t->htotal - 5);
    cr_set(0x01, columns - 1);
    cr_set(0x02, columns);
    cr_set(0x03, 0x80 | (hblank_end & 0x1f));
    cr_set(0x04, t->hsync);
    cr_set(0x05, (uint8_t)((hblank_end & 0x20) << 2 | (t->hsync_end & 0x1f)));
    cr_set(0x06, (uint8_t)total);
    cr_set(0x07, (uint8_t)((total >> 8 & 0x01) | (shown >> 7 & 0x02) | (t->vsync >> 6 & 0x04) | (blank >> 5 & 0x08) |
                           0x10 | (total >> 4 & 0x20) | (shown >> 3 & 0x40) | (t->vsync >> 2 & 0x80)));
    cr_set(0x08, 0);
    cr_set(0x09, (uint8_t)(0x40 | (blank >> 4 & 0x20)));
    cr_set(0x10, (uint8_t)t->vsync);
    cr_set(0x12, (uint8_t)shown);
    cr_set(0x14, 0);
    cr_set(0x15, (uint8_t)blank);
    cr_set(0x16, (uint8_t)(t->vtotal - 1));
    cr_set(0x17, 0xc3);
    cr_set(0x18, 0xff);
    cr_set(0x11, 0x80 | (t->vsync_end & 0x0f));
    indexed_write(SEQ, 1, 0x01);
}

static void clear(uint32_t bytes)
{
    for (uint16_t bank = 0; (uint32_t)bank << 16 < bytes; bank++) {
        card_set(DISPI_BANK, bank);
        far_fill16(0xa000, 0, 0, 0x8000);
    }
    card_set(DISPI_BANK, 0);
}

void card_mode_set(ROM struct vbe_mode *mode, uint16_t flags)
{
    ROM struct timing *timing = timings;
    uint8_t bpp = mode->bpp;
    uint16_t line = mode->width * ((bpp + 7) / 8);

    while (timing->width != mode->width || timing->height != mode->height)
        timing++;
    timing_set(timing);
    indexed_write(SEQ, SR_EXTENDED, bpp == 8 ? 0x01 : bpp <= 16 ? 0x07 : bpp == 24 ? 0x05 : 0x09);
    hidden_dac_set(bpp == 8 ? 0x00 : bpp == 15 ? 0xf0 : bpp == 16 ? 0xe1 : 0xe5);
    indexed_write(GC, GR_BANKS, BANKS_16K);
    cr_set(CR_1B, CR_1B_WRAP);
    line_set(line);
    start_set(0);
    if (!(flags & MODE_NOCLEAR))
        clear((uint32_t)line * mode->height);
}

/* --- What Cirrus's BIOS tells, function 12h --- */

void card_12(struct bregs *regs)
{
    switch (regs->bl) {
    case 0x80: /* which chip: a CL-GD5446 */
        regs->ax = 0x0039;
        regs->bx = 0;
        break;
    case 0x81: /* version of the BIOS */
        regs->ax = 0x0100;
        break;
    case 0x82: /* its revision */
        regs->ah = 0xaf;
        regs->al = cr_get(CR_ID) & 3;
        break;
    case 0x85: /* memory in 64 KiB */
        regs->al = (uint8_t)memory_blocks();
        break;
    case 0x9a: /* options: as a card with a 5446 has them */
        regs->ax = 0x4060;
        regs->cx = 0x1132;
        break;
    case 0xa0: { /* is there such a mode? */
        uint16_t own = card_vbe_number(regs->al & 0x7f);
        regs->ah = (own && vbe_mode_find(own)) || mode_find(regs->al & 0x7f) ? 1 : 0;
        regs->bx = 0;
        break;
    }
    case 0xa1: /* the monitor: colour, 1024 wide */
        regs->bx = 0x0e00;
        break;
    case 0xa2: /* its lines a second: up to 64 kHz */
        regs->al = 0x07;
        break;
    case 0xae: /* frames a second */
        regs->al = 0x01;
        break;
    }
}

/* --- Saving --- */

static ROM uint8_t saved_sr[] ROM_SECTION = {SR_EXTENDED, SR_VCLK3_N, SR_CURSOR, SR_VCLK3_D};
static ROM uint8_t saved_gr[] ROM_SECTION = {GR_OFFSET0, GR_OFFSET0 + 1, GR_BANKS};
static ROM uint8_t saved_cr[] ROM_SECTION = {CR_1A, CR_1B, CR_1D};

void card_save(uint16_t seg, uint16_t at)
{
    for (uint8_t i = 0; i < sizeof(saved_sr); i++)
        poke8(seg, at++, indexed_read(SEQ, saved_sr[i]));
    for (uint8_t i = 0; i < sizeof(saved_gr); i++)
        poke8(seg, at++, indexed_read(GC, saved_gr[i]));
    for (uint8_t i = 0; i < sizeof(saved_cr); i++)
        poke8(seg, at++, cr_get(saved_cr[i]));
    poke8(seg, at, hidden_dac_get());
}

void card_restore(uint16_t seg, uint16_t at)
{
    if (!card_present())
        return;
    for (uint8_t i = 0; i < sizeof(saved_sr); i++)
        indexed_write(SEQ, saved_sr[i], peek8(seg, at++));
    for (uint8_t i = 0; i < sizeof(saved_gr); i++)
        indexed_write(GC, saved_gr[i], peek8(seg, at++));
    for (uint8_t i = 0; i < sizeof(saved_cr); i++)
        cr_set(saved_cr[i], peek8(seg, at++));
    hidden_dac_set(peek8(seg, at));
}

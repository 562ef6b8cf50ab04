/* INT 10h functions 12h, 1Ah to 1Ch: alternate select, display combination, state table, save and restore. */
#include "vga.h"

/* --- Function 12h --- */

static void lines_select(struct bregs *regs)
{
    uint8_t modeset = bda8(BDA_MODESET) & ~(MODESET_400 | MODESET_200);
    uint8_t switches = bda8(BDA_SWITCHES) & 0xf0;

    if (regs->al > 2)
        return;
    if (regs->al == 0)
        modeset |= MODESET_200;
    else if (regs->al == 2)
        modeset |= MODESET_400;
    bda8_set(BDA_MODESET, modeset);
    bda8_set(BDA_SWITCHES, switches | (regs->al == 0 ? 0x08 : 0x09));
    regs->al = 0x12;
}

static void bit_select(struct bregs *regs, uint16_t off, uint8_t bit, bool on)
{
    uint8_t value = bda8(off) & ~bit;
    bda8_set(off, on ? value | bit : value);
    regs->al = 0x12;
}

void select_12(struct bregs *regs)
{
    switch (regs->bl) {
    case 0x10: /* what EGA is this: 256 KiB */
        regs->bh = crtc_port() == 0x3b4;
        regs->bl = 3;
        regs->ch = bda8(BDA_SWITCHES) >> 4;
        regs->cl = bda8(BDA_SWITCHES) & 0x0f;
        break;
    case 0x30:
        lines_select(regs);
        break;
    case 0x31:
        bit_select(regs, BDA_MODESET, MODESET_NO_PALETTE, regs->al & 1);
        break;
    case 0x32: /* 0: the processor reaches video memory */
        outb(0x3c2, (inb(0x3cc) & ~0x02) | (regs->al & 1 ? 0 : 0x02));
        regs->al = 0x12;
        break;
    case 0x33:
        bit_select(regs, BDA_MODESET, MODESET_GREY, !(regs->al & 1));
        break;
    case 0x34:
        bit_select(regs, BDA_CONTROL, CONTROL_NO_CURSOR_EMULATION, regs->al & 1);
        break;
    case 0x36: { /* 0: picture on */
        uint8_t clocking = indexed_read(SEQ, 1) & ~0x20;
        indexed_write(SEQ, 1, regs->al & 1 ? clocking | 0x20 : clocking);
        regs->al = 0x12;
        break;
    }
    default:
        card_12(regs);
    }
}

/* --- Function 1Ah --- */

extern ROM uint8_t dcc_table[];

void combination_1a(struct bregs *regs)
{
    ROM uint8_t *codes = dcc_table + 4;

    if (regs->al == 0) {
        uint8_t index = bda8(BDA_DCC);
        uint8_t first = 0, second = 0;
        if (index < 16) {
            first = codes[2 * index];
            second = codes[2 * index + 1];
        }
        regs->bl = second ? second : first; /* the active display */
        regs->bh = second ? first : 0;
        regs->al = 0x1a;
    } else if (regs->al == 1) {
        for (uint8_t i = 0; i < 16; i++) {
            uint8_t first = codes[2 * i], second = codes[2 * i + 1];
            if ((first == regs->bl && second == regs->bh) || (first == regs->bh && second == regs->bl)) {
                bda8_set(BDA_DCC, i);
                break;
            }
        }
        regs->al = 0x1a;
    }
}

/* --- Function 1Bh --- */

/* Static functionality: modes 0-7, Dh-13h; 200, 350, 400 lines; 8 fonts, 2 at once; all of functions 10h to 1Ch. */
static ROM uint8_t functionality[16] ROM_SECTION = {0xff, 0xe0, 0x0f, 0,    0, 0, 0,    0x07,
                                                    0x02, 0x08, 0xff, 0x0e, 0, 0, 0x3f, 0};

static uint16_t colours_of(ROM struct mode *mode)
{
    switch (mode->class) {
    case CLASS_CGA4:
        return 4;
    case CLASS_CGA2:
        return 2;
    case CLASS_LINEAR:
        return 256;
    case CLASS_TEXT:
        return mode->number == 7 ? 0 : 16;
    }
    return mode->number == 0x0f ? 0 : mode->number == 0x11 ? 2 : 16;
}

static uint8_t pages_of(ROM struct mode *mode)
{
    if (mode->class == CLASS_TEXT || mode->number == 0x0d)
        return 8;
    return mode->number == 0x0e ? 4 : mode->number == 0x0f || mode->number == 0x10 ? 2 : 1;
}

static uint8_t lines_code(void)
{
    uint16_t crtc = crtc_port();
    uint8_t overflow = indexed_read(crtc, 0x07);
    uint16_t lines = indexed_read(crtc, 0x12) + ((overflow & 0x02) << 7) + ((overflow & 0x40) << 3) + 1;
    if (indexed_read(crtc, 0x09) & 0x80)
        lines /= 2;
    return lines <= 200 ? 0 : lines <= 350 ? 1 : lines <= 400 ? 2 : 3;
}

void functionality_1b(struct bregs *regs)
{
    uint16_t seg = regs->es, at = regs->di;
    ROM struct mode *mode = mode_now();

    if (regs->bx != 0)
        return;
    for (uint8_t i = 0; i < 64; i++)
        poke8(seg, at + i, 0);
    poke16(seg, at, rom_off(functionality));
    poke16(seg, at + 2, code_seg());
    far_copy(seg, at + 4, BDA, BDA_MODE, 30); /* mode to the palette register's copy */
    poke8(seg, at + 0x22, bda8(BDA_ROWS) + 1);
    poke16(seg, at + 0x23, bda16(BDA_CHAR_HEIGHT));
    struct bregs combination;
    combination.al = 0;
    combination_1a(&combination);
    poke8(seg, at + 0x25, combination.bl);
    poke8(seg, at + 0x26, combination.bh);
    if (mode) {
        poke16(seg, at + 0x27, colours_of(mode));
        poke8(seg, at + 0x29, pages_of(mode));
    }
    poke8(seg, at + 0x2a, lines_code());
    uint8_t select = indexed_read(SEQ, 3);
    poke8(seg, at + 0x2b, (select & 3) | (select >> 2 & 4));
    poke8(seg, at + 0x2c, (select >> 2 & 3) | (select >> 3 & 4));
    uint8_t blink = attr_read(0x10) & 0x08;
    attr_video_on();
    uint8_t modeset = bda8(BDA_MODESET);
    poke8(seg, at + 0x2d,
          0x01 | (modeset & MODESET_GREY) | (modeset & MODESET_MONO) | (modeset & MODESET_NO_PALETTE) |
              (bda8(BDA_CONTROL) & CONTROL_NO_CURSOR_EMULATION ? 0 : 0x10) | (blink ? 0x20 : 0));
    poke8(seg, at + 0x31, 3); /* 256 KiB */
    poke8(seg, at + 0x32, 0x00);
    regs->al = 0x1b;
}

/* --- Function 1Ch, and VBE 04h: hardware 01h, BIOS data 02h, DAC 04h, the card's own 08h --- */

#define HARDWARE_BYTES 0x60
#define BDA_BYTES      0x60
#define DAC_BYTES      (4 + 768)
#define CARD_BYTES     0x20

uint16_t state_blocks(uint16_t what)
{
    uint16_t bytes = 0;
    bytes += what & 1 ? HARDWARE_BYTES : 0;
    bytes += what & 2 ? BDA_BYTES : 0;
    bytes += what & 4 ? DAC_BYTES : 0;
    bytes += what & 8 ? CARD_BYTES : 0;
    return (bytes + 63) / 64;
}

static uint16_t hardware_save(uint16_t seg, uint16_t at)
{
    uint16_t crtc = crtc_port(), end = at + HARDWARE_BYTES;

    poke8(seg, at++, inb(SEQ));
    poke8(seg, at++, inb(crtc));
    poke8(seg, at++, inb(GC));
    inb(crtc + 6);
    poke8(seg, at++, inb(0x3c0));
    poke8(seg, at++, inb(0x3ca));
    poke8(seg, at++, inb(0x3cc));
    poke16(seg, at, crtc);
    at += 2;
    for (uint8_t i = 0; i < 5; i++)
        poke8(seg, at++, indexed_read(SEQ, i));
    for (uint8_t i = 0; i < 25; i++)
        poke8(seg, at++, indexed_read(crtc, i));
    for (uint8_t i = 0; i < 21; i++)
        poke8(seg, at++, attr_read(i));
    for (uint8_t i = 0; i < 9; i++)
        poke8(seg, at++, indexed_read(GC, i));
    attr_video_on();
    return end;
}

static uint16_t hardware_restore(uint16_t seg, uint16_t at)
{
    uint16_t end = at + HARDWARE_BYTES, head = at;
    uint16_t crtc = peek16(seg, at + 6);

    at += 8;
    indexed_write(SEQ, 0, 0x01);
    for (uint8_t i = 1; i < 5; i++)
        indexed_write(SEQ, i, peek8(seg, at + i));
    outb(0x3c2, peek8(seg, head + 5));
    indexed_write(SEQ, 0, peek8(seg, at));
    at += 5;
    bda16_set(BDA_CRTC, crtc);
    outb(crtc + 6, peek8(seg, head + 4));
    indexed_write(crtc, 0x11, 0);
    for (uint8_t i = 0; i < 25; i++) {
        if (i != 0x11)
            indexed_write(crtc, i, peek8(seg, at + i));
    }
    indexed_write(crtc, 0x11, peek8(seg, at + 0x11));
    at += 25;
    for (uint8_t i = 0; i < 21; i++)
        attr_write(i, peek8(seg, at++));
    for (uint8_t i = 0; i < 9; i++)
        indexed_write(GC, i, peek8(seg, at++));
    outb(SEQ, peek8(seg, head));
    outb(crtc, peek8(seg, head + 1));
    outb(GC, peek8(seg, head + 2));
    inb(crtc + 6);
    outb(0x3c0, peek8(seg, head + 3));
    inb(crtc + 6);
    return end;
}

/* The video fields: 49h to 66h, 84h to 8Ah, A8h to ABh; vectors 1Fh and 43h. */
static uint16_t bda_save(uint16_t seg, uint16_t at)
{
    far_copy(seg, at, BDA, BDA_MODE, 30);
    far_copy(seg, at + 30, BDA, BDA_ROWS, 7);
    far_copy(seg, at + 37, BDA, BDA_SAVE_POINTER, 4);
    far_copy(seg, at + 41, 0, VECTOR_1F, 4);
    far_copy(seg, at + 45, 0, VECTOR_43, 4);
    poke16(seg, at + 49, bda16(BDA_VBE_MODE));
    poke16(seg, at + 51, bda16(BDA_EQUIPMENT) & 0x30);
    return at + BDA_BYTES;
}

static uint16_t bda_restore(uint16_t seg, uint16_t at)
{
    far_copy(BDA, BDA_MODE, seg, at, 30);
    far_copy(BDA, BDA_ROWS, seg, at + 30, 7);
    far_copy(BDA, BDA_SAVE_POINTER, seg, at + 37, 4);
    far_copy(0, VECTOR_1F, seg, at + 41, 4);
    far_copy(0, VECTOR_43, seg, at + 45, 4);
    bda16_set(BDA_VBE_MODE, peek16(seg, at + 49));
    bda16_set(BDA_EQUIPMENT, (bda16(BDA_EQUIPMENT) & ~0x30) | peek16(seg, at + 51));
    return at + BDA_BYTES;
}

static uint16_t dac_save(uint16_t seg, uint16_t at)
{
    poke8(seg, at, inb(0x3c7));
    poke8(seg, at + 1, inb(0x3c8));
    poke8(seg, at + 2, inb(0x3c6));
    outb(0x3c7, 0);
    for (uint16_t i = 0; i < 768; i++)
        poke8(seg, at + 4 + i, inb(0x3c9));
    outb(0x3c8, peek8(seg, at + 1));
    return at + DAC_BYTES;
}

static uint16_t dac_restore(uint16_t seg, uint16_t at)
{
    outb(0x3c6, peek8(seg, at + 2));
    outb(0x3c8, 0);
    for (uint16_t i = 0; i < 768; i++)
        outb(0x3c9, peek8(seg, at + 4 + i));
    outb(0x3c8, peek8(seg, at + 1));
    return at + DAC_BYTES;
}

void state_save(uint16_t what, uint16_t seg, uint16_t at)
{
    if (what & 1)
        at = hardware_save(seg, at);
    if (what & 2)
        at = bda_save(seg, at);
    if (what & 4)
        at = dac_save(seg, at);
    if (what & 8)
        card_save(seg, at);
}

void state_restore(uint16_t what, uint16_t seg, uint16_t at)
{
    uint16_t card = at;
    card += what & 1 ? HARDWARE_BYTES : 0;
    card += what & 2 ? BDA_BYTES : 0;
    card += what & 4 ? DAC_BYTES : 0;
    if (what & 8) /* first, as it changes the VGA's registers */
        card_restore(seg, card);
    if (what & 1)
        at = hardware_restore(seg, at);
    if (what & 2)
        at = bda_restore(seg, at);
    if (what & 4)
        dac_restore(seg, at);
}

void state_1c(struct bregs *regs)
{
    uint16_t what = regs->cx & 7;

    switch (regs->al) {
    case 0:
        regs->bx = state_blocks(what);
        break;
    case 1:
        state_save(what, regs->es, regs->bx);
        break;
    case 2:
        state_restore(what, regs->es, regs->bx);
        break;
    default:
        return;
    }
    regs->al = 0x1c;
}

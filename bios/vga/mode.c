/* Video modes: the IBM VGA's register tables, mode set, power-on initialization, INT 10h's dispatch.
 *
 * IBM PS/2 and PC BIOS Interface Technical Reference, INT 10h; register values: IBM VGA manual, mode tables.
 */
#include "vga.h"

#define COLOURS_EGA 0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f
#define COLOURS_CGA 0, 1, 2, 3, 4, 5, 6, 7, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17
#define ZEROS6      0, 0, 0, 0, 0, 0

/* The entries of the parameter table: columns, rows - 1, height of a character, page size, sequencer 1 to 4,
 * miscellaneous output, CRTC, attribute controller, graphics controller. */
/* 0, 1: 40x25 text */
#define TEXT_40 \
    { \
        40, 24, 16, 0x0800, {0x08, 0x03, 0x00, 0x02}, 0x67, \
            {0x2d, 0x27, 0x28, 0x90, 0x2b, 0xa0, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0, \
             0,    0,    0,    0x9c, 0x8e, 0x8f, 0x14, 0x1f, 0x96, 0xb9, 0xa3, 0xff}, \
            {COLOURS_EGA, 0x0c, 0x00, 0x0f, 0x08}, \
        { \
            0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff \
        } \
    }
/* 2, 3: 80x25 text */
#define TEXT_80 \
    { \
        80, 24, 16, 0x1000, {0x00, 0x03, 0x00, 0x02}, 0x67, \
            {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0, \
             0,    0,    0,    0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff}, \
            {COLOURS_EGA, 0x0c, 0x00, 0x0f, 0x08}, \
        { \
            0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff \
        } \
    }
/* 4, 5: 320x200, 4 colours */
#define CGA_320 \
    { \
        40, 24, 8, 0x4000, {0x09, 0x03, 0x00, 0x02}, 0x63, \
            {0x2d,   0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc1, \
             ZEROS6, 0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xa2, 0xff}, \
            {0, 0x13, 0x15, 0x17, 2, 4, 6, 7, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x01, 0x00, 0x03, 0x00}, \
        { \
            0, 0, 0, 0, 0, 0x30, 0x0f, 0x0f, 0xff \
        } \
    }
/* 6: 640x200, 2 colours */
#define CGA_640 \
    { \
        80, 24, 8, 0x4000, {0x01, 0x01, 0x00, 0x06}, 0x63, \
            {0x5f,   0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0xc1, \
             ZEROS6, 0x9c, 0x8e, 0x8f, 0x28, 0x00, 0x96, 0xb9, 0xc2, 0xff}, \
            {0,    0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, \
             0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x01, 0x00, 0x01, 0x00}, \
        { \
            0, 0, 0, 0, 0, 0x00, 0x0d, 0x0f, 0xff \
        } \
    }
/* 7: 80x25 monochrome text */
#define TEXT_MONO \
    { \
        80, 24, 16, 0x1000, {0x00, 0x03, 0x00, 0x02}, 0x66, \
            {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0, \
             0,    0,    0,    0x9c, 0x8e, 0x8f, 0x28, 0x0f, 0x96, 0xb9, 0xa3, 0xff}, \
            {0, 8, 8, 8, 8, 8, 8, 8, 0x10, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x0e, 0x00, 0x0f, 0x08}, \
        { \
            0, 0, 0, 0, 0, 0x10, 0x0a, 0x0f, 0xff \
        } \
    }
/* Dh: 320x200, 16 colours */
#define EGA_320 \
    { \
        40, 24, 8, 0x2000, {0x09, 0x0f, 0x00, 0x06}, 0x63, \
            {0x2d,   0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc0, \
             ZEROS6, 0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xe3, 0xff}, \
            {COLOURS_CGA, 0x01, 0x00, 0x0f, 0x00}, \
        { \
            0, 0, 0, 0, 0, 0x00, 0x05, 0x0f, 0xff \
        } \
    }
/* Eh: 640x200, 16 colours */
#define EGA_640 \
    { \
        80, 24, 8, 0x4000, {0x01, 0x0f, 0x00, 0x06}, 0x63, \
            {0x5f,   0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0xc0, \
             ZEROS6, 0x9c, 0x8e, 0x8f, 0x28, 0x00, 0x96, 0xb9, 0xe3, 0xff}, \
            {COLOURS_CGA, 0x01, 0x00, 0x0f, 0x00}, \
        { \
            0, 0, 0, 0, 0, 0x00, 0x05, 0x0f, 0xff \
        } \
    }
/* Fh: 640x350 monochrome */
#define EGA_MONO \
    { \
        80, 24, 14, 0x8000, {0x01, 0x0f, 0x00, 0x06}, 0xa2, \
            {0x5f,   0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x40, \
             ZEROS6, 0x83, 0x85, 0x5d, 0x28, 0x0f, 0x63, 0xba, 0xe3, 0xff}, \
            {0, 8, 0, 0, 0x18, 0x18, 0, 0, 0, 8, 0, 0, 0, 0x18, 0, 0, 0x0b, 0x00, 0x05, 0x00}, \
        { \
            0, 0, 0, 0, 0, 0x00, 0x05, 0x05, 0xff \
        } \
    }
/* 10h: 640x350, 16 colours */
#define EGA_350 \
    { \
        80, 24, 14, 0x8000, {0x01, 0x0f, 0x00, 0x06}, 0xa3, \
            {0x5f,   0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x40, \
             ZEROS6, 0x83, 0x85, 0x5d, 0x28, 0x0f, 0x63, 0xba, 0xe3, 0xff}, \
            {COLOURS_EGA, 0x01, 0x00, 0x0f, 0x00}, \
        { \
            0, 0, 0, 0, 0, 0x00, 0x05, 0x0f, 0xff \
        } \
    }
/* 11h: 640x480, 2 colours */
#define VGA_MONO \
    { \
        80, 29, 16, 0xa000, {0x01, 0x0f, 0x00, 0x06}, 0xe3, \
            {0x5f,   0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, \
             ZEROS6, 0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xc3, 0xff}, \
            {0,    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, \
             0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x01, 0x00, 0x0f, 0x00}, \
        { \
            0, 0, 0, 0, 0, 0x00, 0x05, 0x01, 0xff \
        } \
    }
/* 12h: 640x480, 16 colours */
#define VGA_16 \
    { \
        80, 29, 16, 0xa000, {0x01, 0x0f, 0x00, 0x06}, 0xe3, \
            {0x5f,   0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, \
             ZEROS6, 0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff}, \
            {COLOURS_EGA, 0x01, 0x00, 0x0f, 0x00}, \
        { \
            0, 0, 0, 0, 0, 0x00, 0x05, 0x0f, 0xff \
        } \
    }
/* 13h: 320x200, 256 colours */
#define VGA_256 \
    { \
        40, 24, 8, 0x2000, {0x01, 0x0f, 0x00, 0x0e}, 0x63, \
            {0x5f,   0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, \
             ZEROS6, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff}, \
            {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x41, 0x00, 0x0f, 0x00}, \
        { \
            0, 0, 0, 0, 0, 0x40, 0x05, 0x0f, 0xff \
        } \
    }
/* 40x25 text in 200 lines */
#define TEXT_40_200 \
    { \
        40, 24, 8, 0x0800, {0x09, 0x03, 0x00, 0x02}, 0x63, \
            {0x2d, 0x27, 0x28, 0x90, 0x2b, 0xa0, 0xbf, 0x1f, 0x00, 0xc7, 0x06, 0x07, 0, \
             0,    0,    0,    0x9c, 0x8e, 0x8f, 0x14, 0x1f, 0x96, 0xb9, 0xa3, 0xff}, \
            {COLOURS_CGA, 0x08, 0x00, 0x0f, 0x00}, \
        { \
            0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff \
        } \
    }
/* 80x25 text in 200 lines */
#define TEXT_80_200 \
    { \
        80, 24, 8, 0x1000, {0x01, 0x03, 0x00, 0x02}, 0x63, \
            {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0xc7, 0x06, 0x07, 0, \
             0,    0,    0,    0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff}, \
            {COLOURS_CGA, 0x08, 0x00, 0x0f, 0x00}, \
        { \
            0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff \
        } \
    }
/* 40x25 text in 350 lines */
#define TEXT_40_350 \
    { \
        40, 24, 14, 0x0800, {0x09, 0x03, 0x00, 0x02}, 0xa3, \
            {0x2d, 0x27, 0x28, 0x90, 0x2b, 0xa0, 0xbf, 0x1f, 0x00, 0x4d, 0x0b, 0x0c, 0, \
             0,    0,    0,    0x83, 0x85, 0x5d, 0x14, 0x1f, 0x63, 0xba, 0xa3, 0xff}, \
            {COLOURS_EGA, 0x08, 0x00, 0x0f, 0x00}, \
        { \
            0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff \
        } \
    }
/* 80x25 text in 350 lines */
#define TEXT_80_350 \
    { \
        80, 24, 14, 0x1000, {0x01, 0x03, 0x00, 0x02}, 0xa3, \
            {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4d, 0x0b, 0x0c, 0, \
             0,    0,    0,    0x83, 0x85, 0x5d, 0x28, 0x1f, 0x63, 0xba, 0xa3, 0xff}, \
            {COLOURS_EGA, 0x08, 0x00, 0x0f, 0x00}, \
        { \
            0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff \
        } \
    }
/* 80x25 monochrome text in 350 lines */
#define TEXT_MONO_350 \
    { \
        80, 24, 14, 0x1000, {0x00, 0x03, 0x00, 0x03}, 0xa6, \
            {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4d, 0x0b, 0x0c, 0, \
             0,    0,    0,    0x83, 0x85, 0x5d, 0x28, 0x0d, 0x63, 0xba, 0xa3, 0xff}, \
            {0, 8, 8, 8, 8, 8, 8, 8, 0x10, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x0e, 0x00, 0x0f, 0x08}, \
        { \
            0, 0, 0, 0, 0, 0x10, 0x0a, 0x0f, 0xff \
        } \
    }

/* In IBM's order, as programs look it up through the save pointer table at 40:A8. What a VGA has no mode for is as the
 * text modes are; EGAs with 64 KiB have the modes of those with more. */
ROM struct params mode_params[PARAMS_COUNT] ROM_SECTION = {
    [0x00] = TEXT_40_200,       [0x01] = TEXT_40_200, [0x02] = TEXT_80_200, [0x03] = TEXT_80_200,
    [0x04] = CGA_320,           [0x05] = CGA_320,     [0x06] = CGA_640,     [0x07] = TEXT_MONO_350,
    [0x08 ... 0x0c] = TEXT_80,  [0x0d] = EGA_320,     [0x0e] = EGA_640,     [0x0f] = EGA_MONO,
    [0x10] = EGA_350,           [0x11] = EGA_MONO,    [0x12] = EGA_350,     [0x13] = TEXT_40_350,
    [0x14] = TEXT_40_350,       [0x15] = TEXT_80_350, [0x16] = TEXT_80_350, [0x17] = TEXT_40,
    [PARAMS_TEXT_80] = TEXT_80, [0x19] = TEXT_MONO,   [0x1a] = VGA_MONO,    [PARAMS_VGA_16] = VGA_16,
    [PARAMS_VGA_256] = VGA_256,
};

static ROM struct mode modes[] ROM_SECTION = {
    {0x00, CLASS_TEXT, PALETTE_EGA, 0x17, 0xb800},    {0x01, CLASS_TEXT, PALETTE_EGA, 0x17, 0xb800},
    {0x02, CLASS_TEXT, PALETTE_EGA, 0x18, 0xb800},    {0x03, CLASS_TEXT, PALETTE_EGA, 0x18, 0xb800},
    {0x04, CLASS_CGA4, PALETTE_CGA, 0x04, 0xb800},    {0x05, CLASS_CGA4, PALETTE_CGA, 0x04, 0xb800},
    {0x06, CLASS_CGA2, PALETTE_CGA, 0x06, 0xb800},    {0x07, CLASS_TEXT, PALETTE_MONO, 0x19, 0xb000},
    {0x0d, CLASS_PLANAR, PALETTE_CGA, 0x0d, 0xa000},  {0x0e, CLASS_PLANAR, PALETTE_CGA, 0x0e, 0xa000},
    {0x0f, CLASS_PLANAR, PALETTE_MONO, 0x11, 0xa000}, {0x10, CLASS_PLANAR, PALETTE_EGA, 0x12, 0xa000},
    {0x11, CLASS_PLANAR, PALETTE_EGA, 0x1a, 0xa000},  {0x12, CLASS_PLANAR, PALETTE_EGA, 0x1b, 0xa000},
    {0x13, CLASS_LINEAR, PALETTE_256, 0x1c, 0xa000},
};

ROM struct mode *mode_find(uint8_t number)
{
    for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (modes[i].number == number)
            return &modes[i];
    }
    return 0;
}

ROM struct mode *mode_now(void)
{
    return mode_find(bda8(BDA_MODE) & 0x7f);
}

void vectors_set(uint16_t vector, uint16_t off, uint16_t seg)
{
    poke16(0, vector, off);
    poke16(0, vector + 2, seg);
}

void far_fill16(uint16_t seg, uint16_t off, uint16_t value, uint32_t words)
{
    uint32_t di = off;
    __asm__ volatile("pushw %%es\n\tmovw %w3, %%es\n\tcld\n\trep stosw\n\tpopw %%es"
                     : "+D"(di), "+c"(words)
                     : "a"(value), "r"(seg)
                     : "memory", "cc");
}

void far_copy16(uint16_t dseg, uint16_t doff, uint16_t sseg, uint16_t soff, uint32_t words)
{
    uint32_t di = doff, si = soff;
    __asm__ volatile("pushw %%es\n\tpushw %%ds\n\tmovw %w3, %%es\n\tmovw %w4, %%ds\n\t" /* as far_copy */
                     "cld\n\trep movsw (%%si), %%es:(%%di)\n\tpopw %%ds\n\tpopw %%es"
                     : "+D"(di), "+S"(si), "+c"(words)
                     : "r"(dseg), "r"(sseg)
                     : "memory", "cc");
}

static uint8_t rom_byte(ROM uint8_t *at)
{
    return *at;
}

/* Scan lines of text modes as function 12h/30h chose them. */
static uint8_t text_lines_adjust(ROM struct params *params, uint8_t index, uint8_t value, uint8_t lines)
{
    if (lines == MODESET_400 || params->char_height != 16)
        return value;
    if (lines == MODESET_200) {
        switch (index) {
        case 0x09:
            return 0xc7;
        case 0x0a:
            return 0x06;
        case 0x0b:
            return 0x07;
        }
        return value;
    }
    switch (index) { /* 350 lines */
    case 0x09:
        return 0x4d;
    case 0x0a:
        return 0x0b;
    case 0x0b:
        return 0x0c;
    case 0x10:
        return 0x83;
    case 0x11:
        return 0x85;
    case 0x12:
        return 0x5d;
    case 0x15:
        return 0x63;
    case 0x16:
        return 0xba;
    }
    return value;
}

/* Writes all registers but the DAC; the picture stays off until attr_video_on. lines: MODESET_400, MODESET_200 or 0
 * (350), for text modes. */
void mode_program(ROM struct params *params, uint8_t lines)
{
    bool text_350 = lines == 0 && !(params->gc[6] & 1);
    bool eight_dots = text_350 && (params->misc & 1); /* as on the EGA; nine in monochrome */
    uint8_t misc = params->misc;
    uint16_t crtc = misc & 1 ? 0x3d4 : 0x3b4;

    if (text_350)
        misc = eight_dots ? 0xa3 : 0xa6;
    attr_read(0); /* the picture goes off with the index */
    indexed_write(SEQ, 0, 0x01);
    for (uint8_t i = 0; i < 4; i++)
        indexed_write(SEQ, i + 1, params->seq[i] | (i == 0 && eight_dots));
    bda8_set(BDA_POWER, 0);
    outb(0x3c2, misc);
    indexed_write(SEQ, 0, 0x03);
    bda16_set(BDA_CRTC, crtc);
    indexed_write(crtc, 0x11, 0); /* unlock 0 to 7 */
    for (uint8_t i = 0; i < 25; i++)
        indexed_write(crtc, i,
                      params->gc[6] & 1 ? params->crtc[i] : text_lines_adjust(params, i, params->crtc[i], lines));
    for (uint8_t i = 0; i < 9; i++)
        indexed_write(GC, i, rom_byte(&params->gc[i]));
    for (uint8_t i = 0; i < 20; i++)
        attr_write(i, rom_byte(&params->attr[i]));
    attr_write(0x14, 0);
    outb(0x3c6, 0xff);
}

static void mode_clear(ROM struct mode *mode)
{
    switch (mode->class) {
    case CLASS_TEXT:
        far_fill16(mode->segment, 0, 0x0720, 0x4000);
        break;
    case CLASS_CGA4:
    case CLASS_CGA2:
        far_fill16(mode->segment, 0, 0, 0x4000);
        break;
    default:
        far_fill16(mode->segment, 0, 0, 0x8000);
    }
}

void mode_set(uint8_t number_and_flag)
{
    uint8_t number = number_and_flag & 0x7f;
    ROM struct mode *mode = mode_find(number);
    uint8_t modeset = bda8(BDA_MODESET);
    uint8_t lines = modeset & (MODESET_400 | MODESET_200);

    if (!mode)
        return;
    ROM struct params *params = &mode_params[mode->params];
    uint8_t height = params->char_height;
    if (mode->class == CLASS_TEXT && lines != MODESET_400)
        height = lines == MODESET_200 ? 8 : 14;
    card_off();
    mode_program(params, lines);
    if (!(modeset & MODESET_NO_PALETTE))
        dac_load(mode->palette);
    if (modeset & MODESET_GREY)
        dac_sum_grey(0, 256);
    if (!(number_and_flag & 0x80))
        mode_clear(mode);

    bda8_set(BDA_MODE, number);
    bda16_set(BDA_COLUMNS, params->columns);
    bda16_set(BDA_PAGE_SIZE, params->page_size);
    bda16_set(BDA_PAGE_START, 0);
    bda8_set(BDA_PAGE, 0);
    bda8_set(BDA_ROWS, params->rows);
    bda16_set(BDA_CHAR_HEIGHT, height);
    bda8_set(BDA_CONTROL, (bda8(BDA_CONTROL) & 0x7f) | (number_and_flag & 0x80));
    bda8_set(BDA_SWITCHES, 0xf9);
    for (uint16_t page = 0; page < 8; page++)
        bda16_set(BDA_CURSOR + 2 * page, 0);
    /* What the CGA's registers 3D8h and 3D9h would hold. */
    static ROM uint8_t mode_reg[8] ROM_SECTION = {0x2c, 0x28, 0x2d, 0x29, 0x2a, 0x2e, 0x1e, 0x29};
    if (number < 8) {
        bda8_set(BDA_MODE_REG, mode_reg[number]);
        bda8_set(BDA_PALETTE, number == 6 ? 0x3f : 0x30);
    }
    bda16_set(BDA_VBE_MODE, number);
    uint16_t equipment = bda16(BDA_EQUIPMENT) & ~0x30;
    bda16_set(BDA_EQUIPMENT, equipment | (number == 7 || number == 15 ? 0x30 : 0x20));

    vectors_set(VECTOR_1F, rom_off(font_8x8) + 128 * 8, code_seg());
    if (mode->class == CLASS_TEXT) {
        font_load_rom(height, 0);
        bda16_set(BDA_CURSOR_SHAPE, 0x0607); /* in the eight lines of the CGA, whatever the height */
    } else {
        bda16_set(BDA_CURSOR_SHAPE, 0x0000);
    }
    vectors_set(VECTOR_43,
                height == 8    ? rom_off(font_8x8)
                : height == 14 ? rom_off(font_8x14)
                               : rom_off(font_8x16),
                code_seg());
    cursor_set(0, 0, 0);
    attr_video_on();
}

/* --- Initialization: AX = bus, device, function when called by a PCI BIOS --- */

void vga_init(struct bregs *regs);

void int10_entry(void);

void vga_init(struct bregs *regs)
{
    bda8_set(BDA_CONTROL, 0x60); /* 256 KiB, cursor emulation */
    bda8_set(BDA_SWITCHES, 0xf9);
    bda8_set(BDA_MODESET, 0x40 | MODESET_400 | MODESET_VGA);
    bda8_set(BDA_DCC, 0x0b); /* index of {8, 0}: VGA with a colour display, alone */
    bda16_set(BDA_EQUIPMENT, (bda16(BDA_EQUIPMENT) & ~0x30) | 0x20);
    poke32(0, VECTOR_42, peek32(0, VECTOR_10)); /* what the system BIOS had there */
    vectors_set(VECTOR_10, (uint16_t)(uint32_t)int10_entry, code_seg());
    vectors_set(VECTOR_6D, (uint16_t)(uint32_t)int10_entry, code_seg());
    extern ROM uint8_t save_pointers[];
    bda16_set(BDA_SAVE_POINTER, rom_off(save_pointers));
    bda16_set(BDA_SAVE_POINTER + 2, code_seg());
    mode_set(3);
}

/* --- INT 10h --- */

static void mode_00(struct bregs *regs)
{
    uint8_t number = regs->al & 0x7f;
    uint16_t own = card_vbe_number(number);

    if (own) {
        ROM struct vbe_mode *mode = vbe_mode_find(own);
        if (!mode)
            return;
        vbe_mode_set(mode, regs->al & 0x80 ? MODE_NOCLEAR : 0);
        bda8_set(BDA_MODE, number);
    } else {
        mode_set(regs->al);
    }
    regs->al = number > 7 ? 0x20 : number == 6 ? 0x3f : 0x30;
}

static void mode_0f(struct bregs *regs)
{
    regs->al = bda8(BDA_MODE) | (bda8(BDA_CONTROL) & CONTROL_NO_CLEAR);
    regs->ah = bda8(BDA_COLUMNS);
    regs->bh = bda8(BDA_PAGE);
}

void handle_10(struct bregs *regs);

void handle_10(struct bregs *regs)
{
    switch (regs->ah) {
    case 0x00:
        mode_00(regs);
        break;
    case 0x01:
        cursor_shape_set(regs->ch, regs->cl);
        break;
    case 0x02:
        cursor_set(regs->bh, regs->dh, regs->dl);
        break;
    case 0x03:
        regs->cx = bda16(BDA_CURSOR_SHAPE);
        regs->dx = bda16(BDA_CURSOR + 2 * (regs->bh & 7));
        break;
    case 0x04: /* no light pen */
        regs->ah = 0;
        break;
    case 0x05:
        page_select(regs->al);
        break;
    case 0x06:
    case 0x07: {
        int lines = regs->al;
        scroll(regs->ch, regs->cl, regs->dh, regs->dl, regs->ah == 0x06 ? lines : -lines, regs->bh);
        break;
    }
    case 0x08: {
        uint16_t at = bda16(BDA_CURSOR + 2 * (regs->bh & 7));
        regs->ax = char_read(regs->bh & 7, at >> 8, at & 0xff);
        break;
    }
    case 0x09:
    case 0x0a: {
        uint16_t at = bda16(BDA_CURSOR + 2 * (regs->bh & 7));
        uint8_t row = at >> 8, column = at & 0xff;
        for (uint16_t n = 0; n < regs->cx; n++) {
            char_write(regs->bh & 7, row, column, regs->al, regs->bl, regs->ah == 0x09);
            if (++column >= bda8(BDA_COLUMNS)) {
                column = 0;
                row++;
            }
        }
        break;
    }
    case 0x0b:
        palette_0b(regs);
        break;
    case 0x0c:
        pixel_write(regs);
        break;
    case 0x0d:
        pixel_read(regs);
        break;
    case 0x0e:
        teletype(bda8(BDA_PAGE), regs->al, regs->bl, false);
        break;
    case 0x0f:
        mode_0f(regs);
        break;
    case 0x10:
        palette_10(regs);
        break;
    case 0x11:
        font_11(regs);
        break;
    case 0x12:
        select_12(regs);
        break;
    case 0x13:
        text_13(regs);
        break;
    case 0x1a:
        combination_1a(regs);
        break;
    case 0x1b:
        functionality_1b(regs);
        break;
    case 0x1c:
        state_1c(regs);
        break;
    case 0x4f:
        vbe_4f(regs);
        break;
    }
}

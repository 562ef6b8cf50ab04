/* INT 10h functions 0Bh and 10h: attribute controller and DAC; the default colours. */
#include "vga.h"

static uint16_t status_port(void)
{
    return crtc_port() + 6;
}

/* Index writes with the PAS bit clear turn the picture off: whoever finishes calls attr_video_on. */
void attr_write(uint8_t index, uint8_t value)
{
    inb(status_port());
    outb(0x3c0, index);
    outb(0x3c0, value);
}

uint8_t attr_read(uint8_t index)
{
    inb(status_port());
    outb(0x3c0, index);
    return inb(0x3c1);
}

void attr_video_on(void)
{
    inb(status_port());
    outb(0x3c0, 0x20);
}

/* --- Default colours --- */

static void dac_put(uint8_t red, uint8_t green, uint8_t blue)
{
    outb(0x3c9, red);
    outb(0x3c9, green);
    outb(0x3c9, blue);
}

static void dac_put_cga(uint8_t colour, bool bright)
{
    uint8_t add = bright ? 0x15 : 0;
    uint8_t green = colour & 2 ? 0x2a : 0;
    if (colour == 6 && !bright)
        green = 0x15; /* brown */
    dac_put((colour & 4 ? 0x2a : 0) + add, green + add, (colour & 1 ? 0x2a : 0) + add);
}

/* Colours 32 to 247 of mode 13h: three brightnesses of three saturations of a circle of 24 hues. */
static void dac_load_circle(ROM uint8_t *level)
{
    for (uint8_t i = 0; i < 24; i++) {
        uint8_t gun[3];
        for (uint8_t g = 0; g < 3; g++) {
            /* Distance on the circle from the gun's own hue: blue is at 0, red at 8, green at 16. */
            uint8_t d = (uint8_t)(i + 24 - 8 * g) % 24;
            if (d > 12)
                d = 24 - d;
            gun[g] = level[d <= 4 ? 4 : d >= 8 ? 0 : 8 - d];
        }
        dac_put(gun[1], gun[2], gun[0]);
    }
}

static ROM uint8_t greys[16] ROM_SECTION = {0x00, 0x05, 0x08, 0x0b, 0x0e, 0x11, 0x14, 0x18,
                                            0x1c, 0x20, 0x24, 0x28, 0x2d, 0x32, 0x38, 0x3f};
static ROM uint8_t levels[9][5] ROM_SECTION = {
    {0x00, 0x10, 0x1f, 0x2f, 0x3f}, {0x1f, 0x27, 0x2f, 0x37, 0x3f}, {0x2d, 0x31, 0x36, 0x3a, 0x3f},
    {0x00, 0x07, 0x0e, 0x15, 0x1c}, {0x0e, 0x11, 0x15, 0x18, 0x1c}, {0x14, 0x16, 0x18, 0x1a, 0x1c},
    {0x00, 0x04, 0x08, 0x0c, 0x10}, {0x08, 0x0a, 0x0c, 0x0e, 0x10}, {0x0b, 0x0c, 0x0d, 0x0f, 0x10}};

void dac_load(uint8_t palette_class)
{
    uint16_t loaded = 64;

    outb(0x3c8, 0);
    for (uint16_t i = 0; i < 64; i++) {
        uint8_t r, g, b;
        switch (palette_class) {
        case PALETTE_MONO:
            r = i & 8 ? (i & 0x10 ? 0x3f : 0x2a) : 0;
            dac_put(r, r, r);
            break;
        case PALETTE_CGA:
            dac_put_cga(i & 7, i & 0x10);
            break;
        case PALETTE_EGA:
            r = (i & 4 ? 0x2a : 0) + (i & 0x20 ? 0x15 : 0);
            g = (i & 2 ? 0x2a : 0) + (i & 0x10 ? 0x15 : 0);
            b = (i & 1 ? 0x2a : 0) + (i & 8 ? 0x15 : 0);
            dac_put(r, g, b);
            break;
        default:
            if (i < 16)
                dac_put_cga(i & 7, i & 8);
            else if (i < 32)
                dac_put(greys[i - 16], greys[i - 16], greys[i - 16]);
            break;
        }
    }
    if (palette_class == PALETTE_256) {
        for (uint8_t i = 0; i < 9; i++)
            dac_load_circle(levels[i]);
        loaded = 248;
    }
    for (uint16_t i = loaded; i < 256; i++)
        dac_put(0, 0, 0);
}

void dac_sum_grey(uint16_t first, uint16_t count)
{
    for (uint16_t i = first; i < first + count; i++) {
        outb(0x3c7, (uint8_t)i);
        uint16_t r = inb(0x3c9), g = inb(0x3c9), b = inb(0x3c9);
        /* 30% red, 59% green, 11% blue */
        uint8_t grey = (uint8_t)((77 * r + 151 * g + 28 * b + 128) >> 8);
        if (grey > 0x3f)
            grey = 0x3f;
        outb(0x3c8, (uint8_t)i);
        dac_put(grey, grey, grey);
    }
}

/* --- Function 0Bh: CGA border, background and palette --- */

void palette_0b(struct bregs *regs)
{
    uint8_t palette = bda8(BDA_PALETTE);
    ROM struct mode *mode = mode_now();

    if (regs->bh == 0) {
        palette = (palette & 0x20) | (regs->bl & 0x1f);
        uint8_t colour = regs->bl & 0x0f;
        if (colour & 8)
            colour += 8;
        attr_write(0x11, colour);
        if (mode && mode->class != CLASS_TEXT)
            attr_write(0x00, colour);
        /* The intensity of the CGA's colours 1 to 3 */
        if (mode && mode->class == CLASS_CGA4) {
            for (uint8_t i = 1; i < 4; i++)
                attr_write(i, (attr_read(i) & ~0x10) | (regs->bl & 0x10));
        }
    } else if (regs->bh == 1) {
        palette = (palette & 0x1f) | (regs->bl & 1) << 5;
        for (uint8_t i = 1; i < 4; i++)
            attr_write(i, (attr_read(i) & ~1) | (regs->bl & 1));
    }
    bda8_set(BDA_PALETTE, palette);
    attr_video_on();
}

/* --- Function 10h --- */

static void block_write(struct bregs *regs)
{
    outb(0x3c8, regs->bl);
    for (uint16_t i = 0; i < 3 * regs->cx; i++)
        outb(0x3c9, peek8(regs->es, regs->dx + i));
}

static void block_read(struct bregs *regs)
{
    outb(0x3c7, regs->bl);
    for (uint16_t i = 0; i < 3 * regs->cx; i++)
        poke8(regs->es, regs->dx + i, inb(0x3c9));
}

/* Which of 4 or 16 pages of the DAC the palette points into. */
static void paging_select(struct bregs *regs)
{
    uint8_t mode = attr_read(0x10);
    if (regs->bl == 0) {
        attr_write(0x10, (mode & 0x7f) | (regs->bh & 1) << 7);
    } else if (regs->bl == 1) {
        attr_write(0x14, mode & 0x80 ? regs->bh & 0x0f : (regs->bh & 3) << 2);
    }
    attr_video_on();
}

static void paging_read(struct bregs *regs)
{
    uint8_t mode = attr_read(0x10), page = attr_read(0x14);
    attr_video_on();
    regs->bl = mode >> 7;
    regs->bh = mode & 0x80 ? page & 0x0f : page >> 2;
}

static void single_read(struct bregs *regs)
{
    outb(0x3c7, regs->bl);
    regs->dh = inb(0x3c9);
    regs->ch = inb(0x3c9);
    regs->cl = inb(0x3c9);
}

void palette_10(struct bregs *regs)
{
    switch (regs->al) {
    case 0x00:
        if (regs->bl <= 0x14)
            attr_write(regs->bl, regs->bh);
        attr_video_on();
        break;
    case 0x01:
        attr_write(0x11, regs->bh);
        attr_video_on();
        break;
    case 0x02:
        for (uint8_t i = 0; i < 16; i++)
            attr_write(i, peek8(regs->es, regs->dx + i));
        attr_write(0x11, peek8(regs->es, regs->dx + 16));
        attr_video_on();
        break;
    case 0x03:
        attr_write(0x10, (attr_read(0x10) & ~0x08) | (regs->bl & 1) << 3);
        attr_video_on();
        bda8_set(BDA_MODE_REG, (bda8(BDA_MODE_REG) & ~0x20) | (regs->bl & 1) << 5);
        break;
    case 0x07:
        if (regs->bl <= 0x14)
            regs->bh = attr_read(regs->bl);
        attr_video_on();
        break;
    case 0x08:
        regs->bh = attr_read(0x11);
        attr_video_on();
        break;
    case 0x09:
        for (uint8_t i = 0; i < 16; i++)
            poke8(regs->es, regs->dx + i, attr_read(i));
        poke8(regs->es, regs->dx + 16, attr_read(0x11));
        attr_video_on();
        break;
    case 0x10:
        outb(0x3c8, regs->bl);
        dac_put(regs->dh, regs->ch, regs->cl);
        break;
    case 0x12:
        block_write(regs);
        break;
    case 0x13:
        paging_select(regs);
        break;
    case 0x15:
        single_read(regs);
        break;
    case 0x17:
        block_read(regs);
        break;
    case 0x18:
        outb(0x3c6, regs->bl);
        break;
    case 0x19:
        regs->bl = inb(0x3c6);
        break;
    case 0x1a:
        paging_read(regs);
        break;
    case 0x1b:
        dac_sum_grey(regs->bx, regs->cx);
        break;
    }
}

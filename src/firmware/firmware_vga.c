/* The VGA set to 80x25 text, for `-kernel`: what the video BIOS does at power-on, with the tables and the font of
 * its ROM (bios/vga). Offsets of a parameter table's entry: IBM PS/2 and PC BIOS Interface, video parameter table.
 */
#include "firmware.h"

#include <string.h>

#include "ioport.h"
#include "mem.h"

#define ROM_TABLES 0x24 /* bios/vga/header.S */
#define BDA        0x400u

static void outb(uint16_t port, uint8_t value)
{
    ioport_write(port, 1, value);
}

static void indexed(uint16_t port, uint8_t index, uint8_t value)
{
    outb(port, index);
    outb(port + 1, value);
}

static void attr_write(uint8_t index, uint8_t value)
{
    ioport_read(0x3da, 1); /* index first */
    outb(0x3c0, index);
    outb(0x3c0, value);
}

static void font_load(const uint8_t *font)
{
    indexed(0x3c4, 2, 0x04);
    indexed(0x3c4, 4, 0x06);
    indexed(0x3ce, 5, 0x00);
    indexed(0x3ce, 6, 0x04);
    for (unsigned c = 0; c < 256; c++)
        mem_write(0xa0000 + 32 * c, font + 16 * c, 16);
}

static void registers_set(const uint8_t *params)
{
    const uint8_t *seq = params + 5, *crtc = params + 10, *attr = params + 35, *gc = params + 55;

    indexed(0x3c4, 0, 3);
    for (uint8_t i = 0; i < 4; i++)
        indexed(0x3c4, i + 1, seq[i]);
    indexed(0x3d4, 0x11, 0);
    for (uint8_t i = 0; i < 25; i++)
        indexed(0x3d4, i, crtc[i]);
    for (uint8_t i = 0; i < 20; i++)
        attr_write(i, attr[i]);
    for (uint8_t i = 0; i < 9; i++)
        indexed(0x3ce, i, gc[i]);
}

/* The EGA's 64 colours: bits 2 to 0 are two thirds of red, green, blue, bits 5 to 3 one third. */
static void palette_set(void)
{
    outb(0x3c6, 0xff);
    outb(0x3c8, 0);
    for (unsigned i = 0; i < 64; i++) {
        for (int gun = 2; gun >= 0; gun--)
            outb(0x3c9, (uint8_t)((i >> gun & 1) * 0x2a + (i >> (gun + 3) & 1) * 0x15));
    }
}

void firmware_init_vga(const uint8_t *rom)
{
    uint16_t params, font;
    uint8_t blank[4000];

    memcpy(&params, rom + ROM_TABLES, 2);
    memcpy(&font, rom + ROM_TABLES + 2, 2);
    outb(0x3c2, rom[params + 9]);
    indexed(0x3c4, 6, 0x12); /* a Cirrus card's extensions, as its BIOS leaves them: open */
    registers_set(rom + params);
    font_load(rom + font);
    registers_set(rom + params);
    palette_set();
    for (unsigned i = 0; i < sizeof(blank); i += 2) {
        blank[i] = ' ';
        blank[i + 1] = 0x07;
    }
    mem_write(0xb8000, blank, sizeof(blank));
    ioport_read(0x3da, 1);
    outb(0x3c0, 0x20); /* picture on */

    /* BIOS data area: mode 3, 80 columns, page size, cursor shape, CRTC port; 25 rows of 16 lines, VGA. */
    static const uint8_t mode[] = {3, 80, 0, 0x00, 0x10};
    static const uint8_t shape[] = {0x07, 0x06, 0x00, 0xd4, 0x03, 0x29, 0x30};
    static const uint8_t rows[] = {24, 16, 0, 0x60, 0xf9, 0x51, 0x0b};
    mem_write(BDA + 0x49, mode, sizeof(mode));
    mem_write(BDA + 0x60, shape, sizeof(shape));
    mem_write(BDA + 0x84, rows, sizeof(rows));
}

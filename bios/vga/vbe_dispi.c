/* The Bochs display interface (DISPI) behind the VBE: QEMU's standard VGA. Mode numbers from 140h up are those of the
 * Bochs VBE BIOS.
 */
#include "vga.h"

ROM char card_product[] ROM_SECTION = "Ringer standard VGA";
ROM uint16_t card_line_most ROM_SECTION = 0xffff;
ROM uint8_t card_has_pm ROM_SECTION = 1;
ROM uint8_t card_has_dac8 ROM_SECTION = 1;

uint16_t card_get(uint16_t index)
{
    outw(DISPI_PORT_INDEX, index);
    return inw(DISPI_PORT_DATA);
}

void card_set(uint16_t index, uint16_t value)
{
    outw(DISPI_PORT_INDEX, index);
    outw(DISPI_PORT_DATA, value);
}

bool card_present(void)
{
    return (card_get(DISPI_ID) & 0xfff0) == DISPI_ID_LOWEST;
}

void card_off(void)
{
    if (card_present())
        card_set(DISPI_ENABLE, 0);
}

ROM struct vbe_mode card_modes[] ROM_SECTION = {
    {0x100, 640, 400, 8},    {0x101, 640, 480, 8},    {0x102, 800, 600, 4},    {0x103, 800, 600, 8},
    {0x104, 1024, 768, 4},   {0x105, 1024, 768, 8},   {0x106, 1280, 1024, 4},  {0x107, 1280, 1024, 8},
    {0x10d, 320, 200, 15},   {0x10e, 320, 200, 16},   {0x10f, 320, 200, 24},   {0x110, 640, 480, 15},
    {0x111, 640, 480, 16},   {0x112, 640, 480, 24},   {0x113, 800, 600, 15},   {0x114, 800, 600, 16},
    {0x115, 800, 600, 24},   {0x116, 1024, 768, 15},  {0x117, 1024, 768, 16},  {0x118, 1024, 768, 24},
    {0x119, 1280, 1024, 15}, {0x11a, 1280, 1024, 16}, {0x11b, 1280, 1024, 24}, {0x11c, 1600, 1200, 8},
    {0x11d, 1600, 1200, 15}, {0x11e, 1600, 1200, 16}, {0x11f, 1600, 1200, 24}, {0x140, 320, 200, 32},
    {0x141, 640, 400, 32},   {0x142, 640, 480, 32},   {0x143, 800, 600, 32},   {0x144, 1024, 768, 32},
    {0x145, 1280, 1024, 32}, {0x146, 320, 200, 8},    {0x147, 1600, 1200, 32}, {0x148, 1152, 864, 8},
    {0x149, 1152, 864, 15},  {0x14a, 1152, 864, 16},  {0x14b, 1152, 864, 24},  {0x14c, 1152, 864, 32},
    {0x175, 1280, 768, 16},  {0x176, 1280, 768, 24},  {0x177, 1280, 768, 32},  {0x178, 1280, 800, 16},
    {0x179, 1280, 800, 24},  {0x17a, 1280, 800, 32},  {0x17b, 1280, 960, 16},  {0x17c, 1280, 960, 24},
    {0x17d, 1280, 960, 32},  {0x17e, 1440, 900, 16},  {0x17f, 1440, 900, 24},  {0x180, 1440, 900, 32},
    {0x181, 1400, 1050, 16}, {0x182, 1400, 1050, 24}, {0x183, 1400, 1050, 32}, {0x184, 1680, 1050, 16},
    {0x185, 1680, 1050, 24}, {0x186, 1680, 1050, 32}, {0x187, 1920, 1200, 16}, {0x188, 1920, 1200, 24},
    {0x189, 1920, 1200, 32}, {0x18d, 1280, 720, 16},  {0x18e, 1280, 720, 24},  {0x18f, 1280, 720, 32},
    {0x190, 1920, 1080, 16}, {0x191, 1920, 1080, 24}, {0x192, 1920, 1080, 32},
};
ROM uint16_t card_mode_count ROM_SECTION = sizeof(card_modes) / sizeof(card_modes[0]);

void card_mode_set(ROM struct vbe_mode *mode, uint16_t flags)
{
    card_set(DISPI_XRES, mode->width);
    card_set(DISPI_YRES, mode->height);
    card_set(DISPI_BPP, mode->bpp);
    card_set(DISPI_BANK, 0);
    card_set(DISPI_ENABLE,
             DISPI_ENABLED | (flags & MODE_LFB ? DISPI_LFB : 0) | (flags & MODE_NOCLEAR ? DISPI_NOCLEAR : 0));
}

bool card_start_set(uint16_t x, uint16_t y)
{
    card_set(DISPI_X_OFFSET, x);
    card_set(DISPI_Y_OFFSET, y);
    return card_get(DISPI_X_OFFSET) == x && card_get(DISPI_Y_OFFSET) == y;
}

uint16_t card_vbe_number(uint8_t number)
{
    return 0;
}

void card_12(struct bregs *regs)
{
}

void card_save(uint16_t seg, uint16_t at)
{
    for (uint16_t i = 1; i < 10; i++)
        poke16(seg, at + 2 * i, card_present() ? card_get(i) : 0);
}

/* Enabling comes after the sizes and before what enabling would clear. */
void card_restore(uint16_t seg, uint16_t at)
{
    if (!card_present())
        return;
    uint16_t enable = peek16(seg, at + 8);
    if (!(enable & 1)) {
        card_off();
        return;
    }
    for (uint16_t i = 1; i < 4; i++)
        card_set(i, peek16(seg, at + 2 * i));
    card_set(4, enable | 0x80);
    for (uint16_t i = 5; i < 10; i++)
        card_set(i, peek16(seg, at + 2 * i));
}

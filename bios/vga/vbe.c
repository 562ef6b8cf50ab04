/* VESA BIOS Extension 3.0, on what the card's own file (vbe_dispi.c, vbe_cirrus.c) makes of the card.
 *
 * VBE Core Functions Standard 3.0.
 */
#include "vga.h"

#define VBE_OK      0x004f
#define VBE_FAILED  0x014f
#define VBE_NOT_NOW 0x034f

/* --- Modes --- */

static uint32_t bytes_of(uint16_t pixels, uint8_t bpp)
{
    return bpp == 4 ? pixels / 8 : (uint32_t)pixels * ((bpp + 7) / 8);
}

/* 4 bpp: bytes of one plane, so four times as many are needed. */
static uint32_t memory_of(ROM struct vbe_mode *mode)
{
    return bytes_of(mode->width, mode->bpp) * mode->height * (mode->bpp == 4 ? 4 : 1);
}

static uint32_t memory_size(void)
{
    return (uint32_t)card_get(DISPI_MEMORY) << 16;
}

static bool mode_fits(ROM struct vbe_mode *mode)
{
    return memory_of(mode) <= memory_size();
}

ROM struct vbe_mode *vbe_mode_find(uint16_t number)
{
    for (uint16_t i = 0; i < card_mode_count; i++) {
        if (card_modes[i].number == number && mode_fits(&card_modes[i]))
            return &card_modes[i];
    }
    return 0;
}

/* --- Where the frame buffer is: the card's first BAR that is memory. The PCI data structure names the card --- */

static uint32_t pci_read(uint32_t devfn, uint8_t offset)
{
    outl(0xcf8, 0x80000000u | devfn << 8 | offset);
    return inl(0xcfc);
}

static uint32_t frame_buffer(void)
{
    uint32_t address = inl(0xcf8), found = 0;

    for (uint32_t devfn = 0; devfn < 256 && !found; devfn += 8) {
        if (pci_read(devfn, 0) != pcir.id)
            continue;
        found = pci_read(devfn, 0x10);
        if (found & 1)
            found = pci_read(devfn, 0x14);
    }
    found &= ~15u;
    outl(0xcf8, address);
    return found;
}

/* --- Functions --- */

static ROM char oem_string[] ROM_SECTION = "Ringer VBE";
static ROM char vendor_string[] ROM_SECTION = "Ringer";
static ROM char revision_string[] ROM_SECTION = "1";

static void poke_pointer(uint16_t seg, uint16_t off, ROM void *object)
{
    poke16(seg, off, rom_off(object));
    poke16(seg, off + 2, code_seg());
}

static uint16_t controller_4f00(struct bregs *regs)
{
    uint16_t seg = regs->es, at = regs->di;
    bool vbe2 = peek32(seg, at) == 0x32454256; /* "VBE2": 512 bytes */

    for (uint16_t i = 0; i < (vbe2 ? 512 : 256); i++)
        poke8(seg, at + i, 0);
    poke32(seg, at, 0x41534556); /* "VESA" */
    poke16(seg, at + 4, 0x0300);
    poke_pointer(seg, at + 6, oem_string);
    poke32(seg, at + 10, card_has_dac8); /* the DAC's width can be switched */
    poke16(seg, at + 14, at + 34);
    poke16(seg, at + 16, seg);
    poke16(seg, at + 18, card_get(DISPI_MEMORY));
    if (vbe2) {
        poke16(seg, at + 20, 0x0100);
        poke_pointer(seg, at + 22, vendor_string);
        poke_pointer(seg, at + 26, card_product);
        poke_pointer(seg, at + 30, revision_string);
    }
    uint16_t list = at + 34;
    for (uint16_t i = 0; i < card_mode_count; i++) {
        if (mode_fits(&card_modes[i])) {
            poke16(seg, list, card_modes[i].number);
            list += 2;
        }
    }
    poke16(seg, list, 0xffff);
    return VBE_OK;
}

/* Sizes and positions of red, green, blue, reserved. */
static ROM uint8_t masks15[8] ROM_SECTION = {5, 10, 5, 5, 5, 0, 1, 15};
static ROM uint8_t masks16[8] ROM_SECTION = {5, 11, 6, 5, 5, 0, 0, 0};
static ROM uint8_t masks24[8] ROM_SECTION = {8, 16, 8, 8, 8, 0, 0, 0};
static ROM uint8_t masks32[8] ROM_SECTION = {8, 16, 8, 8, 8, 0, 8, 24};

void vbe_window_entry(void);

static uint16_t mode_4f01(struct bregs *regs)
{
    uint16_t seg = regs->es, at = regs->di;
    ROM struct vbe_mode *mode = vbe_mode_find(regs->cx & 0x3fff);

    if (!mode)
        return VBE_FAILED;
    for (uint16_t i = 0; i < 256; i++)
        poke8(seg, at + i, 0);
    uint8_t bpp = mode->bpp;
    uint16_t line = (uint16_t)bytes_of(mode->width, bpp);
    uint32_t pages = memory_size() / memory_of(mode) - 1;
    uint8_t images = pages > 255 ? 255 : (uint8_t)pages;
    poke16(seg, at, bpp == 4 ? 0x003b : 0x00bb); /* colour graphics, not VGA compatible; linear frame buffer */
    poke8(seg, at + 2, 0x07);                    /* window A: there, readable, writable */
    poke16(seg, at + 4, 64);
    poke16(seg, at + 6, 64);
    poke16(seg, at + 8, 0xa000);
    poke16(seg, at + 12, (uint16_t)(uint32_t)vbe_window_entry);
    poke16(seg, at + 14, code_seg());
    poke16(seg, at + 16, line);
    poke16(seg, at + 18, mode->width);
    poke16(seg, at + 20, mode->height);
    poke8(seg, at + 22, 8);
    poke8(seg, at + 23, 16);
    poke8(seg, at + 24, bpp == 4 ? 4 : 1);
    poke8(seg, at + 25, bpp);
    poke8(seg, at + 26, 1);
    poke8(seg, at + 27, bpp == 4 ? 3 : bpp == 8 ? 4 : 6); /* planar, packed, direct colour */
    poke8(seg, at + 29, images);
    poke8(seg, at + 30, 1);
    if (bpp > 8) {
        uint16_t masks = bpp == 15   ? rom_off(masks15)
                         : bpp == 16 ? rom_off(masks16)
                         : bpp == 24 ? rom_off(masks24)
                                     : rom_off(masks32);
        far_copy(seg, at + 31, code_seg(), masks, 8);
        far_copy(seg, at + 54, code_seg(), masks, 8);
        poke8(seg, at + 39, bpp == 32 || bpp == 15 ? 2 : 0); /* reserved bits are free */
    }
    if (bpp != 4)
        poke32(seg, at + 40, frame_buffer());
    poke16(seg, at + 50, line);
    poke8(seg, at + 52, images);
    poke8(seg, at + 53, images);
    poke32(seg, at + 62, 200000000);
    return VBE_OK;
}

void vbe_mode_set(ROM struct vbe_mode *mode, uint16_t flags)
{
    card_set(DISPI_ENABLE, 0);
    mode_program(&mode_params[mode->bpp == 4 ? PARAMS_VGA_16 : PARAMS_VGA_256], MODESET_400);
    dac_load(mode->bpp == 4 ? PALETTE_EGA : PALETTE_256);
    card_mode_set(mode, flags);
    attr_video_on();
    bda8_set(BDA_MODE, 0xff);
    bda16_set(BDA_COLUMNS, mode->width / 8);
    bda8_set(BDA_ROWS, mode->height / 16 - 1);
    bda16_set(BDA_CHAR_HEIGHT, 16);
    bda16_set(BDA_PAGE_START, 0);
    bda8_set(BDA_PAGE, 0);
    bda16_set(BDA_CURSOR, 0);
    bda16_set(BDA_CURSOR_SHAPE, 0);
    bda8_set(BDA_CONTROL, (bda8(BDA_CONTROL) & 0x7f) | (flags & MODE_NOCLEAR ? 0x80 : 0));
    bda16_set(BDA_VBE_MODE, mode->number | (flags & (MODE_LFB | MODE_NOCLEAR)));
    vectors_set(VECTOR_43, rom_off(font_8x16), code_seg());
}

static uint16_t set_4f02(struct bregs *regs)
{
    uint16_t number = regs->bx & 0x1ff;

    if (number < 0x100) {
        if (!mode_find((uint8_t)number))
            return VBE_FAILED;
        mode_set((uint8_t)(number | (regs->bx & MODE_NOCLEAR ? 0x80 : 0)));
        return VBE_OK;
    }
    ROM struct vbe_mode *mode = vbe_mode_find(number);
    if (!mode || (mode->bpp == 4 && (regs->bx & MODE_LFB)))
        return VBE_FAILED;
    vbe_mode_set(mode, regs->bx);
    return VBE_OK;
}

static bool mode_is_on(void)
{
    return card_get(DISPI_ENABLE) & DISPI_ENABLED;
}

static uint16_t state_4f04(struct bregs *regs)
{
    switch (regs->dl) {
    case 0:
        regs->bx = state_blocks(regs->cx);
        return VBE_OK;
    case 1:
        state_save(regs->cx, regs->es, regs->bx);
        return VBE_OK;
    case 2:
        state_restore(regs->cx, regs->es, regs->bx);
        return VBE_OK;
    }
    return VBE_FAILED;
}

static uint16_t window_4f05(struct bregs *regs)
{
    if (regs->bl != 0)
        return VBE_FAILED;
    if (!mode_is_on() || (card_get(DISPI_ENABLE) & DISPI_LFB))
        return VBE_NOT_NOW;
    if (regs->bh == 0) {
        if (regs->dx >= card_get(DISPI_MEMORY))
            return VBE_FAILED;
        card_set(DISPI_BANK, regs->dx);
    } else if (regs->bh == 1) {
        regs->dx = card_get(DISPI_BANK);
    } else {
        return VBE_FAILED;
    }
    return VBE_OK;
}

static uint16_t line_4f06(struct bregs *regs)
{
    if (!mode_is_on())
        return VBE_NOT_NOW;
    uint8_t bpp = (uint8_t)card_get(DISPI_BPP);
    uint8_t bytes = bpp == 4 ? 1 : (bpp + 7) / 8;
    uint32_t lines_bytes = memory_size() / (bpp == 4 ? 4 : 1);
    uint16_t pixels = regs->cx;

    switch (regs->bl) {
    case 2:
        pixels = bpp == 4 ? regs->cx * 8 : (regs->cx + bytes - 1) / bytes;
        /* fall through */
    case 0:
        pixels = (pixels + 7) & ~7;
        if (pixels < card_get(DISPI_XRES) || bytes_of(pixels, bpp) > card_line_most ||
            bytes_of(pixels, bpp) * card_get(DISPI_YRES) > lines_bytes)
            return VBE_FAILED;
        card_set(DISPI_VIRT_WIDTH, pixels);
        /* fall through */
    case 1:
        pixels = card_get(DISPI_VIRT_WIDTH);
        break;
    case 3: {
        uint32_t most = lines_bytes / card_get(DISPI_YRES);
        if (most > card_line_most)
            most = card_line_most;
        most = bpp == 4 ? most * 8 : most / bytes;
        pixels = most > 16000 ? 16000 : (uint16_t)(most & ~7u);
        break;
    }
    default:
        return VBE_FAILED;
    }
    regs->bx = (uint16_t)bytes_of(pixels, bpp);
    regs->cx = pixels;
    uint32_t lines = lines_bytes / bytes_of(pixels, bpp);
    regs->dx = lines > 0xffff ? 0xffff : (uint16_t)lines;
    return VBE_OK;
}

static uint16_t start_4f07(struct bregs *regs)
{
    if (!mode_is_on())
        return VBE_NOT_NOW;
    switch (regs->bl & 0x7f) {
    case 0x02: { /* ECX: address in bytes */
        uint8_t bpp = (uint8_t)card_get(DISPI_BPP);
        uint32_t pixel = bpp == 4 ? regs->ecx * 8 : regs->ecx / ((bpp + 7) / 8);
        uint16_t width = card_get(DISPI_VIRT_WIDTH);
        card_start_set((uint16_t)(pixel % width), (uint16_t)(pixel / width));
        return VBE_OK;
    }
    case 0x00:
        return card_start_set(regs->cx, regs->dx) ? VBE_OK : VBE_FAILED;
    case 0x01:
        regs->bh = 0;
        regs->cx = card_get(DISPI_X_OFFSET);
        regs->dx = card_get(DISPI_Y_OFFSET);
        return VBE_OK;
    case 0x04: /* is a scheduled flip done? they are at once */
        regs->cx = 1;
        return VBE_OK;
    }
    return VBE_FAILED;
}

static uint16_t dac_4f08(struct bregs *regs)
{
    uint16_t enable = card_get(DISPI_ENABLE);

    if (!(enable & DISPI_ENABLED))
        return VBE_NOT_NOW;
    if (card_get(DISPI_BPP) > 8) /* direct colour */
        return VBE_NOT_NOW;
    if (regs->bl == 0) {
        enable = (enable & ~DISPI_8BIT_DAC) | (regs->bh >= 8 && card_has_dac8 ? DISPI_8BIT_DAC : 0);
        card_set(DISPI_ENABLE, enable | DISPI_NOCLEAR);
    } else if (regs->bl != 1) {
        return VBE_FAILED;
    }
    regs->bh = enable & DISPI_8BIT_DAC ? 8 : 6;
    return VBE_OK;
}

static uint16_t palette_4f09(struct bregs *regs)
{
    uint16_t at = regs->di;

    switch (regs->bl & 0x7f) {
    case 0:
        outb(0x3c8, regs->dl);
        for (uint16_t i = 0; i < regs->cx; i++, at += 4) {
            outb(0x3c9, peek8(regs->es, at + 2));
            outb(0x3c9, peek8(regs->es, at + 1));
            outb(0x3c9, peek8(regs->es, at));
        }
        return VBE_OK;
    case 1:
        outb(0x3c7, regs->dl);
        for (uint16_t i = 0; i < regs->cx; i++, at += 4) {
            poke8(regs->es, at + 2, inb(0x3c9));
            poke8(regs->es, at + 1, inb(0x3c9));
            poke8(regs->es, at, inb(0x3c9));
            poke8(regs->es, at + 3, 0);
        }
        return VBE_OK;
    }
    return VBE_FAILED;
}

extern ROM uint8_t vbe_pm[], vbe_pm_end[];

static uint16_t protected_4f0a(struct bregs *regs)
{
    if (regs->bl != 0 || !card_has_pm)
        return VBE_FAILED;
    regs->es = code_seg();
    regs->di = rom_off(vbe_pm);
    regs->cx = rom_off(vbe_pm_end) - rom_off(vbe_pm);
    return VBE_OK;
}

/* --- Power and identity of the monitor --- */

#define POWER_ON  0x00
#define POWER_OFF 0x04
#define POWER_ALL 0x07 /* standby, suspend, off */

/* VBE/PM 1.0. The card's sync pulses cannot be had one by one: in every state but "on" the picture is off. */
static uint16_t power_4f10(struct bregs *regs)
{
    switch (regs->bl) {
    case 0x00: /* and "reduced on", as QEMU's says, too */
        regs->bx = (POWER_ALL | 0x08) << 8 | 0x30;
        return VBE_OK;
    case 0x01:
        if (regs->bh & (regs->bh - 1) || regs->bh > 0x08)
            return VBE_FAILED;
        bda8_set(BDA_POWER, regs->bh);
        indexed_write(SEQ, 1, (indexed_read(SEQ, 1) & ~0x20) | (regs->bh & POWER_ALL ? 0x20 : 0));
        return VBE_OK;
    case 0x02:
        regs->bh = bda8(BDA_POWER);
        return VBE_OK;
    default:
        return VBE_FAILED;
    }
}

/* EDID 1.3: 1024x768 is preferred; 720x400, 640x480, 800x600, 1280x1024, 1280x800 and 1600x1200 go, too. The ranges
 * cover what the modes need. */
static ROM uint8_t edid[128] ROM_SECTION = {
    0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x49, 0xc7, 0x01, 0x00, 0x01, 0x00, 0x00, 0x00, 0x2f, 0x24, 0x01,
    0x03, 0x0e, 0x20, 0x18, 0x78, 0xee, 0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54, 0xa1, 0x08, 0x00,
    0x81, 0x80, 0x81, 0x00, 0xa9, 0x40, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x64, 0x19, 0x00,
    0x40, 0x41, 0x00, 0x26, 0x30, 0x18, 0x88, 0x36, 0x00, 0x40, 0xf0, 0x10, 0x00, 0x00, 0x18, 0x00, 0x00, 0x00, 0xfd,
    0x00, 0x32, 0x4c, 0x1e, 0x52, 0x16, 0x00, 0x0a, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x00, 0x00, 0x00, 0xfc, 0x00,
    0x52, 0x69, 0x6e, 0x67, 0x65, 0x72, 0x20, 0x50, 0x43, 0x0a, 0x20, 0x20, 0x20, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc2,
};

/* VBE/DDC 1.1 */
static uint16_t ddc_4f15(struct bregs *regs)
{
    switch (regs->bl) {
    case 0x00:
        regs->bx = 0x0102; /* a block takes a second; DDC2 */
        return VBE_OK;
    case 0x01:
        if (regs->dx) /* it has one block */
            return VBE_FAILED;
        for (uint16_t i = 0; i < sizeof(edid); i++)
            poke8(regs->es, regs->di + i, edid[i]);
        return VBE_OK;
    default:
        return VBE_FAILED;
    }
}

void vbe_4f(struct bregs *regs)
{
    if (!card_present())
        return;
    switch (regs->al) {
    case 0x00:
        regs->ax = controller_4f00(regs);
        break;
    case 0x01:
        regs->ax = mode_4f01(regs);
        break;
    case 0x02:
        regs->ax = set_4f02(regs);
        break;
    case 0x03:
        regs->bx = bda16(BDA_VBE_MODE);
        regs->ax = VBE_OK;
        break;
    case 0x04:
        regs->ax = state_4f04(regs);
        break;
    case 0x05:
        regs->ax = window_4f05(regs);
        break;
    case 0x06:
        regs->ax = line_4f06(regs);
        break;
    case 0x07:
        regs->ax = start_4f07(regs);
        break;
    case 0x08:
        regs->ax = dac_4f08(regs);
        break;
    case 0x09:
        regs->ax = palette_4f09(regs);
        break;
    case 0x0a:
        regs->ax = protected_4f0a(regs);
        break;
    case 0x10:
        regs->ax = power_4f10(regs);
        break;
    case 0x15:
        regs->ax = ddc_4f15(regs);
        break;
    default:
        regs->ax = 0x0100; /* not supported */
    }
}

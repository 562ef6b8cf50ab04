/* CL-GD5446: video memory as the processor sees it: the window at A0000h with its banks, the linear frame buffer, the
 * blitter's apertures and registers in memory.
 *
 * CL-GD5446 Technical Reference Manual: GR9 to GRB, SR17, "Memory maps". BAR 0 is 32 MiB: video memory as it is, with
 * the bytes of words and of doublewords swapped (4 MiB each), nothing; from 16 MiB on what is written goes to a blit
 * from the processor.
 *
 * Both views are plain memory unless a blit goes through the processor or bytes are more than bytes (write modes 4 and
 * 5, addressing by 8 or 16, latches). To change the map costs as much as some hundred accesses, and a guest may do so
 * again and again with each bank or blit: so a view becomes plain again after a while in which it could have been.
 */
#include <string.h>

#include "cirrus.h"

#define PLAIN_AFTER 512 /* accesses */

#define BAR0_SIZE      (32 * MiB)
#define APERTURE_WORDS 0x400000u
#define APERTURE_DWORD 0x800000u
#define APERTURE_NONE  0xc00000u
#define APERTURE_BLT   0x1000000u

/* --- What a byte does --- */

static bool is_by16(const struct cirrus_regs *r)
{
    const uint8_t both = GR_EXTENSION_BY16 | GR_EXTENSION_MODES;
    return (r->gr[GR_EXTENSION] & both) == both;
}

static bool is_expanding(const struct cirrus_regs *r)
{
    unsigned mode = r->gr[GR_MODE] & 7;
    return (r->gr[GR_EXTENSION] & GR_EXTENSION_MODES) && (mode == 4 || mode == 5);
}

static bool has_latches(const struct cirrus_regs *r)
{
    return (r->gr[GR_EXTENSION] & GR_EXTENSION_LATCHES) && (r->gr[GR_MODE] & 7) == 1;
}

static bool is_through_cpu(const struct cirrus_regs *r)
{
    return r->blt_state == BLT_FROM_CPU || r->blt_state == BLT_TO_CPU;
}

/* Memory is more than memory. */
static bool is_special(const struct cirrus_regs *r)
{
    return is_through_cpu(r) || is_by16(r) || (r->gr[GR_EXTENSION] & GR_EXTENSION_BY8) || is_expanding(r) ||
           has_latches(r);
}

/* An address of the processor's is one of a byte, of 8 bytes, or of 16. */
static uint32_t scaled(const struct cirrus_regs *r, uint32_t address)
{
    unsigned shift = is_by16(r) ? 4 : r->gr[GR_EXTENSION] & GR_EXTENSION_BY8 ? 3 : 0;
    return address << shift & CIRRUS_MASK;
}

/* Write modes 4 and 5: a bit for each of eight pixels of one or two bytes: the foreground for ones and, in mode 5, the
 * background for zeros. */
static void expand_write(struct cirrus *c, uint32_t at, uint8_t bits)
{
    const struct cirrus_regs *r = &c->regs;
    unsigned bytes = is_by16(r) ? 2 : 1;
    const uint8_t fore[2] = {r->gr[GR_FORE], r->gr[GR_FORE + 0x10]};
    const uint8_t back[2] = {r->gr[GR_BACK], r->gr[GR_BACK + 0x10]};

    for (unsigned x = 0; x < 8; x++, bits <<= 1) {
        if (!(bits & 0x80) && (r->gr[GR_MODE] & 7) == 4)
            continue;
        for (unsigned i = 0; i < bytes; i++)
            c->vga.vram[(at + x * bytes + i) & CIRRUS_MASK] = bits & 0x80 ? fore[i] : back[i];
    }
}

static void byte_write(struct cirrus *c, uint32_t address, uint8_t value)
{
    const struct cirrus_regs *r = &c->regs;
    uint32_t at = scaled(r, address);

    if (is_expanding(r))
        expand_write(c, at, value);
    else if (has_latches(r))
        memcpy(&c->vga.vram[at & ~7u], r->latch, 8);
    else
        c->vga.vram[at] = value;
}

static uint8_t byte_read(struct cirrus *c, uint32_t address)
{
    uint32_t at = scaled(&c->regs, address);

    if (has_latches(&c->regs))
        memcpy(c->regs.latch, &c->vga.vram[at & ~7u], 8);
    return c->vga.vram[at];
}

/* An access while a blit goes through the processor is the blit's, all of it: its last doubleword may have bytes too
 * many. */
static void cpu_write(struct cirrus *c, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size && c->regs.blt_state == BLT_FROM_CPU; i++)
        cirrus_blt_cpu_write(c, (uint8_t)(value >> (8 * i)));
}

static uint64_t cpu_read(struct cirrus *c, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size && c->regs.blt_state == BLT_TO_CPU; i++)
        value |= (uint64_t)cirrus_blt_cpu_read(c) << (8 * i);
    return value;
}

/* --- The blitter's registers in memory --- */

/* By offset: GR's index; 0xff: none. */
static uint8_t blt_register(uint32_t offset)
{
    static const uint8_t index[0x24] = {0x00, 0x10, 0x12, 0x14, 0x01, 0x11, 0x13, 0x15, 0x20, 0x21, 0x22, 0x23,
                                        0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0xff, 0x2c, 0x2d, 0x2e, 0x2f,
                                        0x30, 0xff, 0x32, 0x33, 0x34, 0x35, 0xff, 0xff, 0x38, 0x39, 0xff, 0xff};
    return offset < sizeof(index) ? index[offset] : offset == 0x40 ? GR_BLT_START : 0xff;
}

static uint8_t blt_register_read(struct cirrus *c, uint32_t offset)
{
    uint8_t index = blt_register(offset);
    return index == 0xff ? 0xff : cirrus_gr_read(c, index);
}

static void blt_register_write(struct cirrus *c, uint32_t offset, uint8_t value)
{
    uint8_t index = blt_register(offset);
    if (index != 0xff)
        cirrus_gr_write(c, index, value);
}

/* --- The window at A0000h: 64 KiB of pixels in one bank or two; blitter registers at B8000h --- */

#define WINDOW_PIXELS 0x10000u
#define WINDOW_BLT    0x18000u

static bool has_window_registers(const struct cirrus_regs *r)
{
    return (r->sr[SR_CONFIG] & (SR_CONFIG_MMIO | SR_CONFIG_MMIO_LAST)) == SR_CONFIG_MMIO;
}

/* Where a half of the window begins in memory. */
static uint32_t bank_base(const struct cirrus_regs *r, unsigned half)
{
    bool is_dual = r->gr[GR_EXTENSION] & GR_EXTENSION_DUAL;
    uint32_t base = r->gr[is_dual ? GR_OFFSET0 + half : GR_OFFSET0];

    base <<= r->gr[GR_EXTENSION] & GR_EXTENSION_16K ? 14 : 12;
    return is_dual ? base : base + half * 0x8000;
}

/* False: behind the end of memory. */
static bool window_address(const struct cirrus_regs *r, uint32_t offset, uint32_t *address)
{
    *address = bank_base(r, offset >> 15) + (offset & 0x7fff);
    return *address < CIRRUS_MEMORY;
}

static bool window_may_be_plain(const struct cirrus_regs *r)
{
    return !is_special(r) && bank_base(r, 0) + 0x8000 <= CIRRUS_MEMORY && bank_base(r, 1) + 0x8000 <= CIRRUS_MEMORY;
}

static void window_accessed(struct cirrus *c)
{
    if (c->window_is_plain || !window_may_be_plain(&c->regs) || ++c->window_accesses < PLAIN_AFTER)
        return;
    c->window_is_plain = true;
    vga_window_update(&c->vga);
}

static uint64_t window_read(void *opaque, uint32_t offset, unsigned size)
{
    struct cirrus *c = opaque;
    uint64_t value = 0;

    window_accessed(c);
    if (offset < WINDOW_PIXELS && c->regs.blt_state == BLT_TO_CPU)
        return cpu_read(c, size);
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = 0xff;
        uint32_t address;
        if (offset + i >= WINDOW_BLT && offset + i < WINDOW_BLT + 0x100 && has_window_registers(&c->regs))
            byte = blt_register_read(c, offset + i - WINDOW_BLT);
        else if (offset + i < WINDOW_PIXELS && window_address(&c->regs, offset + i, &address))
            byte = byte_read(c, address);
        value |= (uint64_t)byte << (8 * i);
    }
    return value;
}

static void window_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    struct cirrus *c = opaque;

    window_accessed(c);
    if (offset < WINDOW_PIXELS && c->regs.blt_state == BLT_FROM_CPU) {
        cpu_write(c, size, value);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        uint32_t address;
        if (offset + i >= WINDOW_BLT && offset + i < WINDOW_BLT + 0x100 && has_window_registers(&c->regs))
            blt_register_write(c, offset + i - WINDOW_BLT, (uint8_t)(value >> (8 * i)));
        else if (offset + i < WINDOW_PIXELS && window_address(&c->regs, offset + i, &address))
            byte_write(c, address, (uint8_t)(value >> (8 * i)));
    }
}

static const struct mmio_ops window_ops = {window_read, window_write};

/* Behind plain memory, which ends at B0000h. */
static uint64_t window_high_read(void *opaque, uint32_t offset, unsigned size)
{
    return window_read(opaque, offset + WINDOW_PIXELS, size);
}

static void window_high_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    window_write(opaque, offset + WINDOW_PIXELS, size, value);
}

static const struct mmio_ops window_high_ops = {window_high_read, window_high_write};

unsigned cirrus_window(struct vga *vga, struct vga_piece pieces[VGA_PIECES])
{
    struct cirrus *c = cirrus_of(vga);

    if (!cirrus_is_packed(c))
        return 0;
    if (!window_may_be_plain(&c->regs)) {
        c->window_is_plain = false;
        c->window_accesses = 0;
    }
    if (!c->window_is_plain) {
        pieces[0] = (struct vga_piece){VGA_WINDOW_BASE, VGA_WINDOW_SIZE, &window_ops, 0, "cirrus"};
        return 1;
    }
    for (unsigned i = 0; i < 2; i++)
        pieces[i] =
            (struct vga_piece){VGA_WINDOW_BASE + i * 0x8000, 0x8000, NULL, bank_base(&c->regs, i), "cirrus-bank"};
    pieces[2] = (struct vga_piece){VGA_WINDOW_BASE + WINDOW_PIXELS, VGA_WINDOW_SIZE - WINDOW_PIXELS, &window_high_ops,
                                   0, "cirrus-above"};
    return 3;
}

void cirrus_bank_changed(struct cirrus *c)
{
    c->window_is_plain = false;
    c->window_accesses = 0;
    vga_window_update(&c->vga);
}

/* --- The linear frame buffer --- */

static bool has_last_registers(const struct cirrus_regs *r)
{
    const uint8_t both = SR_CONFIG_MMIO | SR_CONFIG_MMIO_LAST;
    return (r->sr[SR_CONFIG] & both) == both;
}

static void lfb_update(struct cirrus *c);

static void lfb_accessed(struct cirrus *c)
{
    if (c->lfb_is_plain || is_special(&c->regs) || ++c->lfb_accesses < PLAIN_AFTER)
        return;
    c->lfb_is_plain = true;
    lfb_update(c);
}

static uint64_t lfb_read(void *opaque, uint32_t offset, unsigned size)
{
    struct cirrus *c = opaque;
    bool is_register = has_last_registers(&c->regs) && offset >= CIRRUS_MEMORY - 0x100;
    uint64_t value = 0;

    lfb_accessed(c);
    if (!is_register && c->regs.blt_state == BLT_TO_CPU)
        return cpu_read(c, size);
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte =
            is_register ? blt_register_read(c, (offset + i) & 0xff) : byte_read(c, (offset + i) & CIRRUS_MASK);
        value |= (uint64_t)byte << (8 * i);
    }
    return value;
}

static void lfb_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    struct cirrus *c = opaque;
    bool is_register = has_last_registers(&c->regs) && offset >= CIRRUS_MEMORY - 0x100;

    lfb_accessed(c);
    if (!is_register && c->regs.blt_state == BLT_FROM_CPU) {
        cpu_write(c, size, value);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        if (is_register)
            blt_register_write(c, (offset + i) & 0xff, (uint8_t)(value >> (8 * i)));
        else
            byte_write(c, (offset + i) & CIRRUS_MASK, (uint8_t)(value >> (8 * i)));
    }
}

static const struct mmio_ops lfb_ops = {lfb_read, lfb_write};

/* The last page where it has registers and the rest is plain. */
static uint64_t lfb_end_read(void *opaque, uint32_t offset, unsigned size)
{
    return lfb_read(opaque, offset + CIRRUS_MEMORY - PAGE_SIZE, size);
}

static void lfb_end_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    lfb_write(opaque, offset + CIRRUS_MEMORY - PAGE_SIZE, size, value);
}

static const struct mmio_ops lfb_end_ops = {lfb_end_read, lfb_end_write};

/* The other apertures of BAR 0; offset from the first one on. */
static uint32_t swapped(uint32_t offset)
{
    return offset < APERTURE_DWORD ? offset ^ 1 : offset ^ 3;
}

static uint64_t apertures_read(void *opaque, uint32_t offset, unsigned size)
{
    struct cirrus *c = opaque;
    uint64_t value = 0;

    offset += APERTURE_WORDS;
    if (c->regs.blt_state == BLT_TO_CPU)
        return cpu_read(c, size);
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = offset < APERTURE_NONE ? byte_read(c, swapped(offset + i) & CIRRUS_MASK) : 0xff;
        value |= (uint64_t)byte << (8 * i);
    }
    return value;
}

static void apertures_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    struct cirrus *c = opaque;

    offset += APERTURE_WORDS;
    if (c->regs.blt_state == BLT_FROM_CPU) {
        cpu_write(c, size, value);
        return;
    }
    for (unsigned i = 0; i < size && offset < APERTURE_NONE; i++)
        byte_write(c, swapped(offset + i) & CIRRUS_MASK, (uint8_t)(value >> (8 * i)));
}

static const struct mmio_ops apertures_ops = {apertures_read, apertures_write};

static void lfb_set(struct cirrus *c, enum cirrus_lfb lfb)
{
    if (c->lfb == lfb)
        return;
    if (c->lfb != CIRRUS_LFB_NONE)
        mem_remove_mmio(c->lfb_base);
    if (c->lfb == CIRRUS_LFB_PLAIN_BUT_END)
        mem_remove_mmio(c->lfb_base + CIRRUS_MEMORY - PAGE_SIZE);
    c->lfb = lfb;
    uint32_t plain = lfb == CIRRUS_LFB_PLAIN_BUT_END ? CIRRUS_MEMORY - PAGE_SIZE : CIRRUS_MEMORY;
    if (lfb == CIRRUS_LFB_MMIO)
        mem_add_mmio(c->lfb_base, CIRRUS_MEMORY, &lfb_ops, c, "cirrus-lfb-mmio");
    else if (lfb != CIRRUS_LFB_NONE)
        mem_map_block(c->lfb_base, plain, c->vga.memory, 0, false, "cirrus-lfb");
    if (lfb == CIRRUS_LFB_PLAIN_BUT_END)
        mem_add_mmio(c->lfb_base + plain, PAGE_SIZE, &lfb_end_ops, c, "cirrus-lfb-end");
}

static void lfb_update(struct cirrus *c)
{
    if (is_special(&c->regs)) {
        c->lfb_is_plain = false;
        c->lfb_accesses = 0;
    }
    if (!c->lfb_base)
        return;
    lfb_set(c, !c->lfb_is_plain               ? CIRRUS_LFB_MMIO
               : has_last_registers(&c->regs) ? CIRRUS_LFB_PLAIN_BUT_END
                                              : CIRRUS_LFB_PLAIN);
}

void cirrus_lfb_moved(void *opaque, uint32_t base, bool mapped)
{
    struct cirrus *c = opaque;

    if (mapped) {
        c->lfb_base = base;
        mem_add_mmio(base + APERTURE_WORDS, BAR0_SIZE - APERTURE_WORDS, &apertures_ops, c, "cirrus-apertures");
        lfb_update(c);
    } else {
        lfb_set(c, CIRRUS_LFB_NONE);
        mem_remove_mmio(base + APERTURE_WORDS);
        c->lfb_base = 0;
    }
}

void cirrus_mem_update(struct cirrus *c)
{
    vga_window_update(&c->vga);
    lfb_update(c);
}

/* --- BAR 1: the VGA's ports from 3C0h on, and the blitter's registers at 100h --- */

static uint64_t mmio_read(void *opaque, uint32_t offset, unsigned size)
{
    struct cirrus *c = opaque;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        uint32_t at = offset + i;
        uint8_t byte = at < 0x20                   ? vga_port_read(&c->vga, (uint16_t)(0x3c0 + at))
                       : at >= 0x100 && at < 0x200 ? blt_register_read(c, at - 0x100)
                                                   : 0xff;
        value |= (uint64_t)byte << (8 * i);
    }
    return value;
}

static void mmio_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    struct cirrus *c = opaque;

    for (unsigned i = 0; i < size; i++) {
        uint32_t at = offset + i;
        uint8_t byte = (uint8_t)(value >> (8 * i));
        if (at < 0x20)
            vga_port_write(&c->vga, (uint16_t)(0x3c0 + at), byte);
        else if (at >= 0x100 && at < 0x200)
            blt_register_write(c, at - 0x100, byte);
    }
}

const struct mmio_ops cirrus_mmio_ops = {mmio_read, mmio_write};

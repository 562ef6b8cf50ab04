/* Option ROMs: copied from PCI devices to C0000h to DFFFFh, checked, run.
 *
 * PCI Local Bus 2.1, 6.3; Plug and Play BIOS 1.0A, 3 (expansion header); BIOS Boot Specification 1.01 (BEV).
 */
#include "bios.h"

#define ROM_LIMIT 0xe0000
#define ROM_STEP  0x800
#define NO_BDF    0xffff /* of a ROM that is no PCI device's */

uint32_t rom_end = 0xc0000;
struct bev rom_bev[BEV_MAX];
unsigned rom_bev_count;

extern const uint8_t pnp_header[];

static bool rom_is_valid(uint16_t seg, uint32_t *size)
{
    if (peek16(seg, 0) != 0xaa55)
        return false;
    *size = peek8(seg, 2) * 512u;
    if (!*size)
        return false;
    uint8_t sum = 0;
    for (uint32_t at = 0; at < *size; at++)
        sum = (uint8_t)(sum + peek8((uint16_t)(seg + (at >> 4)), at & 15));
    if (sum)
        dprintf("rom at %04x0: checksum is wrong\n", seg);
    return !sum;
}

static void rom_call(uint16_t seg, uint16_t off, uint16_t bdf)
{
    struct bregs regs;
    memset(&regs, 0, sizeof(regs));
    regs.ax = bdf == NO_BDF ? 0 : bdf;
    regs.bx = 0xffff;
    regs.dx = 0xffff;
    regs.es = DATA_SEG;
    regs.di = (uint16_t)(uint32_t)pnp_header;
    big_real(true);
    call_far(&regs, (uint32_t)seg << 16 | off, 0);
    big_real(false);
}

/* The chain of expansion headers, one for each way to boot. */
static void rom_expansions(uint16_t seg, uint16_t bdf)
{
    uint16_t pnp = peek16(seg, 0x1a);
    for (unsigned n = 0; pnp && n < BEV_MAX && peek32(seg, pnp) == 0x506e5024; n++) { /* "$PnP" */
        uint16_t bcv = peek16(seg, (uint16_t)(pnp + 0x16)), bev = peek16(seg, (uint16_t)(pnp + 0x1a));
        if (bcv)
            rom_call(seg, bcv, bdf);
        if (bev && rom_bev_count < BEV_MAX)
            rom_bev[rom_bev_count++] = (struct bev){seg, bev, peek16(seg, (uint16_t)(pnp + 0x10)), bdf};
        pnp = peek16(seg, (uint16_t)(pnp + 6));
    }
}

/* "e1000 iPXE (PCI 00:03.0)": the card, and what the ROM calls itself. */
void rom_print_name(const struct bev *bev)
{
    static const struct {
        uint32_t id;
        char name[12];
    } cards[] = {{0x100e8086, "e1000"},    {0x20001022, "pcnet"},      {0x813910ec, "rtl8139"},
                 {0x802910ec, "ne2k_pci"}, {0x10001af4, "virtio-net"}, {0x10411af4, "virtio-net"}};
    uint32_t id = bev->bdf == NO_BDF ? 0 : pci_read(bev->bdf, 0, 4);
    for (unsigned i = 0; i < sizeof(cards) / sizeof(cards[0]); i++) {
        if (cards[i].id == id)
            printf("%s ", cards[i].name);
    }
    for (uint16_t n = 0; bev->name && n < 48; n++) {
        uint8_t c = peek8(bev->seg, (uint16_t)(bev->name + n));
        if (c < 0x20 || c > 0x7e)
            break;
        printf("%c", c);
    }
    if (!bev->name)
        printf("(option ROM at %04x0)", bev->seg);
}

/* Runs the ROM at rom_end and moves rom_end behind what it keeps. */
static void rom_run(uint16_t bdf)
{
    uint16_t seg = (uint16_t)(rom_end >> 4);
    uint32_t size;
    if (!rom_is_valid(seg, &size))
        return;
    rom_call(seg, 3, bdf);
    if (peek16(seg, 0) == 0xaa55 && peek8(seg, 2) * 512u < size)
        size = peek8(seg, 2) * 512u; /* an initialised ROM may have become smaller, or want to go */
    dprintf("rom at %04x0: %u bytes\n", seg, size);
    if (size)
        rom_expansions(seg, bdf);
    rom_end = (rom_end + size + ROM_STEP - 1) & ~(ROM_STEP - 1u);
}

/* The x86 image in a device's ROM, copied to rom_end. */
static bool rom_fetch(uint16_t bdf)
{
    static uint8_t head[32];
    uint32_t size, base = pci_map_rom(bdf, &size);
    bool found = false;
    if (!base)
        return false;
    for (uint32_t at = 0; at + 512 <= size;) {
        pm_copy(linear_of(head), base + at, sizeof(head));
        if (head[0] != 0x55 || head[1] != 0xaa)
            break;
        uint32_t pcir = head[0x18] | (uint32_t)head[0x19] << 8, bytes = head[2] * 512u;
        pm_copy(linear_of(head), base + at + pcir, 24);
        if (memcmp(head, "PCIR", 4) != 0)
            break;
        uint32_t image = (head[0x10] | (uint32_t)head[0x11] << 8) * 512u;
        if (head[0x14] == 0) {
            if (bytes > size - at || rom_end + bytes > ROM_LIMIT) {
                dprintf("rom of pci %02x.%u: %u bytes do not fit\n", bdf >> 3, bdf & 7u, bytes);
                break;
            }
            pm_copy(rom_end, base + at, bytes);
            found = true;
            break;
        }
        if ((head[0x15] & 0x80) || !image)
            break;
        at += image;
    }
    pci_write(bdf, 0x30, 4, 0);
    return found;
}

void rom_run_video(void)
{
    int bdf = pci_find_class(0xff0000, 0x030000, 0);
    uint32_t size;
    /* A board without ROM BARs has the video BIOS at its place already. */
    if ((bdf >= 0 && rom_fetch((uint16_t)bdf)) || rom_is_valid(0xc000, &size))
        rom_run(bdf < 0 ? NO_BDF : (uint16_t)bdf);
}

void rom_run_others(void)
{
    rom_bev_count = 0;
    pmm_begin();
    for (unsigned bdf = 0; bdf < 256; bdf++) {
        if ((bdf & 7) && !(pci_read((uint16_t)(bdf & ~7u), 0x0e, 1) & 0x80))
            continue;
        if (pci_read((uint16_t)bdf, 0, 2) == 0xffff || pci_read((uint16_t)bdf, 0x0b, 1) == 0x03)
            continue;
        if (rom_fetch((uint16_t)bdf))
            rom_run((uint16_t)bdf);
    }
    /* What is in the address space without a PCI device behind it. */
    for (uint32_t at = rom_end; at < ROM_LIMIT; at += ROM_STEP) {
        uint32_t size, end = rom_end;
        if (!rom_is_valid((uint16_t)(at >> 4), &size))
            continue;
        rom_end = at;
        rom_run(NO_BDF);
        if (rom_end == at)
            rom_end = end; /* it did not want to stay */
        else
            at = rom_end - ROM_STEP;
    }
    /* What the user wants to have started (-option-rom). */
    for (unsigned i = 0; fw_cfg_load("genroms/", i, rom_end, ROM_LIMIT - rom_end); i++)
        rom_run(NO_BDF);
    pmm_end();
}

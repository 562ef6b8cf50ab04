/* Geometry translation, the memory map, key codes, the boot catalog: see pure.h.
 *
 * Phoenix Enhanced Disk Drive Specification 3.0; ACPI 1.0b chapter 14; El Torito 1.0;
 * IBM PS/2 BIOS Interface Technical Reference, INT 16h.
 */
#include "pure.h"

/* --- Disks --- */

/* gcc has no 64-bit division for 16-bit code; more than 2 TiB is more than CHS can say anyway. */
static uint32_t clamp32(uint64_t value)
{
    return value > 0xffffffffu ? 0xffffffffu : (uint32_t)value;
}

static bool geometry_of_mbr(const uint8_t *mbr, uint64_t sectors, struct geometry *out)
{
    if (!mbr || mbr[510] != 0x55 || mbr[511] != 0xaa)
        return false;
    for (unsigned at = 446; at < 510; at += 16) {
        const uint8_t *p = mbr + at;
        uint32_t start = p[8] | p[9] << 8 | p[10] << 16 | (uint32_t)p[11] << 24;
        uint32_t size = p[12] | p[13] << 8 | p[14] << 16 | (uint32_t)p[15] << 24;
        unsigned heads = p[5] + 1u, spt = p[6] & 63u;
        if (!size || !spt || heads < 2 || heads > 255 || (p[0] & 0x7f))
            continue;
        /* The last sector's two addresses must agree, else the entry was written without a geometry in mind. */
        uint32_t cylinder = p[7] | (p[6] & 0xc0u) << 2;
        uint64_t last = (uint64_t)start + size - 1;
        if ((((uint64_t)cylinder * heads + heads - 1) * spt + spt - 1) != last)
            continue;
        uint32_t cylinders = clamp32(sectors) / (heads * spt);
        if (!cylinders)
            continue;
        out->cylinders = cylinders > 1024 ? 1024 : cylinders;
        out->heads = (uint16_t)heads;
        out->sectors = (uint16_t)spt;
        return true;
    }
    return false;
}

struct geometry geometry_translate(struct geometry physical, uint64_t sectors, const uint8_t *mbr)
{
    struct geometry g;
    if (geometry_of_mbr(mbr, sectors, &g))
        return g;
    if (physical.cylinders && physical.cylinders <= 1024 && physical.heads && physical.sectors &&
        sectors <= (uint64_t)1024 * 16 * 63)
        return physical;
    g.sectors = 63;
    for (g.heads = 16; g.heads < 255; g.heads = g.heads == 128 ? 255 : (uint16_t)(g.heads * 2)) {
        if (sectors <= (uint64_t)1024 * 63 * g.heads)
            break;
    }
    uint32_t cylinders = clamp32(sectors) / (63u * g.heads);
    g.cylinders = cylinders > 1024 ? 1024 : cylinders ? cylinders : 1;
    return g;
}

bool geometry_to_lba(const struct geometry *g, unsigned cylinder, unsigned head, unsigned sector, uint32_t *lba)
{
    if (cylinder >= g->cylinders || head >= g->heads || !sector || sector > g->sectors)
        return false;
    *lba = (cylinder * g->heads + head) * g->sectors + sector - 1;
    return true;
}

struct geometry geometry_of_floppy(uint32_t sectors)
{
    static const struct geometry known[] = {{40, 1, 8},  {40, 1, 9},  {40, 2, 8},  {40, 2, 9}, {80, 2, 9},
                                            {80, 2, 15}, {80, 2, 18}, {80, 2, 21}, {80, 2, 36}};
    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].cylinders * known[i].heads * known[i].sectors == sectors)
            return known[i];
    }
    return (struct geometry){0, 0, 0};
}

/* --- Memory map --- */

unsigned e820_build(struct e820_entry *map, uint32_t low_end, uint32_t below_4g, uint64_t above_4g)
{
    unsigned n = 0;
    map[n++] = (struct e820_entry){0, low_end, E820_RAM};
    map[n++] = (struct e820_entry){low_end, 0xa0000 - low_end, E820_RESERVED};
    map[n++] = (struct e820_entry){0xe0000, 0x20000, E820_RESERVED};
    if (below_4g > 0x100000)
        map[n++] = (struct e820_entry){0x100000, below_4g - 0x100000, E820_RAM};
    map[n++] = (struct e820_entry){0xfec00000u, 0x1000, E820_RESERVED};
    map[n++] = (struct e820_entry){0xfee00000u, 0x1000, E820_RESERVED};
    map[n++] = (struct e820_entry){0xfffc0000u, 0x40000, E820_RESERVED};
    if (above_4g)
        map[n++] = (struct e820_entry){0x100000000ull, above_4g, E820_RAM};
    return n;
}

/* --- Keys --- */

#define SHIFT 0x03
#define CTRL  0x04
#define ALT   0x08
#define NUM   0x20
#define CAPS  0x40

/* How the lock keys turn a key. */
enum { PLAIN, LETTER, KEYPAD };

struct key {
    uint16_t normal, shift, ctrl, alt;
    uint8_t kind;
};

#define L(code, c, alt) \
    { \
        code << 8 | c, code << 8 | (c - 32), code << 8 | (c - 96), alt, LETTER \
    }

static const struct key keys[] = {
    [0x01] = {0x011b, 0x011b, 0x011b, 0x0100, PLAIN}, /* Esc */
    [0x02] = {0x0231, 0x0221, 0, 0x7800, PLAIN},
    [0x03] = {0x0332, 0x0340, 0x0300, 0x7900, PLAIN},
    [0x04] = {0x0433, 0x0423, 0, 0x7a00, PLAIN},
    [0x05] = {0x0534, 0x0524, 0, 0x7b00, PLAIN},
    [0x06] = {0x0635, 0x0625, 0, 0x7c00, PLAIN},
    [0x07] = {0x0736, 0x075e, 0x071e, 0x7d00, PLAIN},
    [0x08] = {0x0837, 0x0826, 0, 0x7e00, PLAIN},
    [0x09] = {0x0938, 0x092a, 0, 0x7f00, PLAIN},
    [0x0a] = {0x0a39, 0x0a28, 0, 0x8000, PLAIN},
    [0x0b] = {0x0b30, 0x0b29, 0, 0x8100, PLAIN},
    [0x0c] = {0x0c2d, 0x0c5f, 0x0c1f, 0x8200, PLAIN},
    [0x0d] = {0x0d3d, 0x0d2b, 0, 0x8300, PLAIN},
    [0x0e] = {0x0e08, 0x0e08, 0x0e7f, 0x0e00, PLAIN}, /* backspace */
    [0x0f] = {0x0f09, 0x0f00, 0x9400, 0xa500, PLAIN}, /* tab */
    [0x10] = L(0x10, 'q', 0x1000),
    [0x11] = L(0x11, 'w', 0x1100),
    [0x12] = L(0x12, 'e', 0x1200),
    [0x13] = L(0x13, 'r', 0x1300),
    [0x14] = L(0x14, 't', 0x1400),
    [0x15] = L(0x15, 'y', 0x1500),
    [0x16] = L(0x16, 'u', 0x1600),
    [0x17] = L(0x17, 'i', 0x1700),
    [0x18] = L(0x18, 'o', 0x1800),
    [0x19] = L(0x19, 'p', 0x1900),
    [0x1a] = {0x1a5b, 0x1a7b, 0x1a1b, 0x1a00, PLAIN},
    [0x1b] = {0x1b5d, 0x1b7d, 0x1b1d, 0x1b00, PLAIN},
    [0x1c] = {0x1c0d, 0x1c0d, 0x1c0a, 0x1c00, PLAIN}, /* Enter */
    [0x1e] = L(0x1e, 'a', 0x1e00),
    [0x1f] = L(0x1f, 's', 0x1f00),
    [0x20] = L(0x20, 'd', 0x2000),
    [0x21] = L(0x21, 'f', 0x2100),
    [0x22] = L(0x22, 'g', 0x2200),
    [0x23] = L(0x23, 'h', 0x2300),
    [0x24] = L(0x24, 'j', 0x2400),
    [0x25] = L(0x25, 'k', 0x2500),
    [0x26] = L(0x26, 'l', 0x2600),
    [0x27] = {0x273b, 0x273a, 0, 0x2700, PLAIN},
    [0x28] = {0x2827, 0x2822, 0, 0x2800, PLAIN},
    [0x29] = {0x2960, 0x297e, 0, 0x2900, PLAIN},
    [0x2b] = {0x2b5c, 0x2b7c, 0x2b1c, 0x2b00, PLAIN},
    [0x2c] = L(0x2c, 'z', 0x2c00),
    [0x2d] = L(0x2d, 'x', 0x2d00),
    [0x2e] = L(0x2e, 'c', 0x2e00),
    [0x2f] = L(0x2f, 'v', 0x2f00),
    [0x30] = L(0x30, 'b', 0x3000),
    [0x31] = L(0x31, 'n', 0x3100),
    [0x32] = L(0x32, 'm', 0x3200),
    [0x33] = {0x332c, 0x333c, 0, 0x3300, PLAIN},
    [0x34] = {0x342e, 0x343e, 0, 0x3400, PLAIN},
    [0x35] = {0x352f, 0x353f, 0, 0x3500, PLAIN},
    [0x37] = {0x372a, 0x372a, 0x9600, 0x3700, PLAIN}, /* keypad * */
    [0x39] = {0x3920, 0x3920, 0x3920, 0x3920, PLAIN}, /* space */
    [0x3b] = {0x3b00, 0x5400, 0x5e00, 0x6800, PLAIN}, /* F1 */
    [0x3c] = {0x3c00, 0x5500, 0x5f00, 0x6900, PLAIN},
    [0x3d] = {0x3d00, 0x5600, 0x6000, 0x6a00, PLAIN},
    [0x3e] = {0x3e00, 0x5700, 0x6100, 0x6b00, PLAIN},
    [0x3f] = {0x3f00, 0x5800, 0x6200, 0x6c00, PLAIN},
    [0x40] = {0x4000, 0x5900, 0x6300, 0x6d00, PLAIN},
    [0x41] = {0x4100, 0x5a00, 0x6400, 0x6e00, PLAIN},
    [0x42] = {0x4200, 0x5b00, 0x6500, 0x6f00, PLAIN},
    [0x43] = {0x4300, 0x5c00, 0x6600, 0x7000, PLAIN},
    [0x44] = {0x4400, 0x5d00, 0x6700, 0x7100, PLAIN},
    [0x47] = {0x4700, 0x4737, 0x7700, 0, KEYPAD}, /* Home 7 */
    [0x48] = {0x4800, 0x4838, 0x8d00, 0, KEYPAD},
    [0x49] = {0x4900, 0x4939, 0x8400, 0, KEYPAD},
    [0x4a] = {0x4a2d, 0x4a2d, 0x8e00, 0x4a00, PLAIN}, /* keypad - */
    [0x4b] = {0x4b00, 0x4b34, 0x7300, 0, KEYPAD},
    [0x4c] = {0x4c00, 0x4c35, 0x8f00, 0, KEYPAD},
    [0x4d] = {0x4d00, 0x4d36, 0x7400, 0, KEYPAD},
    [0x4e] = {0x4e2b, 0x4e2b, 0x9000, 0x4e00, PLAIN}, /* keypad + */
    [0x4f] = {0x4f00, 0x4f31, 0x7500, 0, KEYPAD},
    [0x50] = {0x5000, 0x5032, 0x9100, 0, KEYPAD},
    [0x51] = {0x5100, 0x5133, 0x7600, 0, KEYPAD},
    [0x52] = {0x5200, 0x5230, 0x9200, 0, KEYPAD},
    [0x53] = {0x5300, 0x532e, 0x9300, 0, KEYPAD},
    [0x56] = {0x565c, 0x567c, 0, 0, PLAIN},           /* the 102nd key */
    [0x57] = {0x8500, 0x8700, 0x8900, 0x8b00, PLAIN}, /* F11 */
    [0x58] = {0x8600, 0x8800, 0x8a00, 0x8c00, PLAIN},
};

/* Behind E0. The grey keys ignore Num Lock. */
static uint16_t translate_e0(uint8_t code, uint8_t flags)
{
    static const struct {
        uint8_t code;
        uint16_t normal, ctrl, alt;
    } grey[] = {{0x1c, 0xe00d, 0xe00a, 0xa600}, {0x35, 0xe02f, 0x9500, 0xa400}, {0x47, 0x47e0, 0x77e0, 0x9700},
                {0x48, 0x48e0, 0x8de0, 0x9800}, {0x49, 0x49e0, 0x84e0, 0x9900}, {0x4b, 0x4be0, 0x73e0, 0x9b00},
                {0x4d, 0x4de0, 0x74e0, 0x9d00}, {0x4f, 0x4fe0, 0x75e0, 0x9f00}, {0x50, 0x50e0, 0x91e0, 0xa000},
                {0x51, 0x51e0, 0x76e0, 0xa100}, {0x52, 0x52e0, 0x92e0, 0xa200}, {0x53, 0x53e0, 0x93e0, 0xa300}};
    for (unsigned i = 0; i < sizeof(grey) / sizeof(grey[0]); i++) {
        if (grey[i].code == code)
            return flags & ALT ? grey[i].alt : flags & CTRL ? grey[i].ctrl : grey[i].normal;
    }
    return 0;
}

uint16_t keymap_translate(uint8_t scancode, bool is_e0, uint8_t flags)
{
    if (is_e0)
        return translate_e0(scancode, flags);
    if (scancode >= sizeof(keys) / sizeof(keys[0]))
        return 0;
    const struct key *key = &keys[scancode];
    if (flags & ALT)
        return key->alt;
    if (flags & CTRL)
        return key->ctrl;
    bool shift = flags & SHIFT;
    if ((key->kind == LETTER && (flags & CAPS)) || (key->kind == KEYPAD && (flags & NUM)))
        shift = !shift;
    return shift ? key->shift : key->normal;
}

/* --- CD-ROM --- */

static uint32_t read32(const uint8_t *at)
{
    return at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24;
}

static bool is_text(const uint8_t *at, const char *text)
{
    for (; *text; at++, text++) {
        if (*at != (uint8_t)*text)
            return false;
    }
    return true;
}

bool eltorito_volume(const uint8_t sector[2048], uint32_t *catalog_lba)
{
    if (sector[0] != 0 || !is_text(sector + 1, "CD001") || sector[6] != 1 ||
        !is_text(sector + 7, "EL TORITO SPECIFICATION"))
        return false;
    *catalog_lba = read32(sector + 0x47);
    return true;
}

bool eltorito_entry(const uint8_t catalog[64], struct eltorito *out)
{
    uint16_t sum = 0;
    for (unsigned i = 0; i < 32; i += 2)
        sum = (uint16_t)(sum + (catalog[i] | catalog[i + 1] << 8));
    if (catalog[0] != 1 || catalog[30] != 0x55 || catalog[31] != 0xaa || sum)
        return false;
    const uint8_t *entry = catalog + 32;
    if (entry[0] != 0x88 || (entry[1] & 15) > 4)
        return false;
    out->media = entry[1] & 15;
    out->load_seg = (uint16_t)(entry[2] | entry[3] << 8);
    out->sectors = (uint16_t)(entry[6] | entry[7] << 8);
    out->lba = read32(entry + 8);
    if (!out->load_seg)
        out->load_seg = 0x7c0;
    if (!out->sectors)
        out->sectors = 1;
    return true;
}

/* --- Numbers --- */

uint8_t bcd_of(uint8_t value)
{
    return (uint8_t)(value / 10 << 4 | value % 10);
}

uint8_t bcd_value(uint8_t bcd)
{
    return (uint8_t)((bcd >> 4) * 10 + (bcd & 15));
}

uint8_t checksum(const void *bytes, size_t len)
{
    uint8_t sum = 0;
    for (const uint8_t *at = bytes; len; len--)
        sum = (uint8_t)(sum + *at++);
    return (uint8_t)-sum;
}

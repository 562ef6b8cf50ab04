/* The boot order by device, which the user gives with bootindex=: QEMU's file "bootorder", a line for each device, a
 * path of Open Firmware's kind.
 */
#include "bios.h"

static char text[1024];

static bool starts(const char *at, const char *with)
{
    return memcmp(at, with, strlen(with)) == 0; /* text ends with more zeros than any of these is long */
}

static uint32_t hex(const char **at)
{
    uint32_t value = 0;
    for (;; (*at)++) {
        char c = **at;
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint32_t)(c - 'a' + 10);
        else
            return value;
    }
}

/* What is behind word in the line, NULL: it is not there. */
static const char *behind(const char *line, const char *word)
{
    for (; *line && *line != '\n'; line++) {
        if (starts(line, word))
            return line + strlen(word);
    }
    return NULL;
}

static uint8_t find_ata(uint32_t unit, uint8_t *index)
{
    for (*index = 0; *index < hd_count; (*index)++) {
        if (!drives[hd_map[*index]].is_virtio && drives[hd_map[*index]].unit == unit)
            return BOOT_HD;
    }
    for (*index = 0; *index < cd_count; (*index)++) {
        if (drives[cd_map[*index]].unit == unit)
            return BOOT_CD;
    }
    return BOOT_NONE;
}

static uint8_t find_pci(uint16_t bdf, uint8_t *index)
{
    for (*index = 0; *index < rom_bev_count; (*index)++) {
        if (rom_bev[*index].bdf == bdf)
            return BOOT_NET;
    }
    for (*index = 0; *index < hd_count; (*index)++) {
        if (drives[hd_map[*index]].is_virtio && virtio_bdf(&drives[hd_map[*index]]) == bdf)
            return BOOT_HD;
    }
    return BOOT_NONE;
}

/* The kind of what a line is about, and its number among those. */
static uint8_t find_line(const char *line, uint8_t *index)
{
    const char *at = behind(line, "/floppy@");
    if (at) {
        *index = 0;
        return hex(&at) == 0 && floppy_count ? BOOT_FLOPPY : BOOT_NONE;
    }
    at = behind(line, "/drive@");
    if (at) {
        const char *disk = behind(at, "/disk@");
        uint32_t n = hex(&at);
        if (starts(line, "/isa/"))
            return find_ata((behind(line, "/ide@0170") ? 2 : 0) + n, index);
        return disk ? find_ata(n * 2 + hex(&disk), index) : BOOT_NONE;
    }
    at = behind(line, "/pci@i0cf8/");
    at = at ? behind(at, "@") : NULL;
    if (!at)
        return BOOT_NONE;
    uint32_t slot = hex(&at), function = 0;
    if (*at == ',') {
        at++;
        function = hex(&at);
    }
    return find_pci((uint16_t)(slot << 3 | function), index);
}

/* Calls each for what was found, in order. */
static void for_each(void (*each)(uint8_t kind, uint8_t index))
{
    const char *line = text;
    memset(text, 0, sizeof(text));
    fw_cfg_load("bootorder", 0, linear_of(text), sizeof(text) - 16);
    while (*line) {
        uint8_t index, kind = find_line(line, &index);
        if (kind != BOOT_NONE)
            each(kind, index);
        while (*line && *line++ != '\n')
            continue;
    }
}

static uint8_t sorted;

/* The first disk to boot from is drive 80h, as boot sectors expect. */
static void sort_disk(uint8_t kind, uint8_t index)
{
    if (kind != BOOT_HD || index < sorted)
        return;
    uint8_t drive = hd_map[index];
    for (; index > sorted; index--)
        hd_map[index] = hd_map[index - 1];
    hd_map[sorted++] = drive;
}

void bootorder_sort_disks(void)
{
    sorted = 0;
    for_each(sort_disk);
}

void bootorder_add(void)
{
    for_each(boot_add);
}

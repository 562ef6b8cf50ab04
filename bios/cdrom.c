/* Booting from CD: El Torito without emulation, and with emulated floppies and hard disks.
 *
 * El Torito Bootable CD-ROM Format Specification 1.0.
 */
#include "bios.h"

struct cd_emulation cd_emulation;

static uint8_t block[2048] __attribute__((aligned(2)));
static uint32_t block_lba = 0xffffffff; /* which one is there */
static struct drive *block_drive;
static uint8_t packet[0x13]; /* what function 4Bh tells */

static uint8_t read_block(struct drive *drive, uint32_t lba)
{
    if (block_lba == lba && block_drive == drive)
        return 0;
    block_lba = 0xffffffff;
    uint8_t code = atapi_read(drive, lba, 1, DATA_SEG, (uint16_t)(uint32_t)block);
    if (!code) {
        block_lba = lba;
        block_drive = drive;
    }
    return code;
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void fill_packet(const struct drive *drive)
{
    const struct cd_emulation *e = &cd_emulation;
    memset(packet, 0, sizeof(packet));
    packet[0] = sizeof(packet);
    packet[1] = e->media;
    packet[2] = e->number;
    packet[3] = drive->unit >> 1;
    put16(packet + 4, e->image_lba);
    put16(packet + 6, e->image_lba >> 16);
    put16(packet + 8, drive->unit & 1);
    put16(packet + 12, e->load_seg);
    put16(packet + 14, e->sectors);
    if (e->media) {
        packet[16] = (uint8_t)(e->geometry.cylinders - 1);
        packet[17] = (uint8_t)((e->geometry.cylinders - 1) >> 2 & 0xc0) | (uint8_t)e->geometry.sectors;
        packet[18] = (uint8_t)(e->geometry.heads - 1);
    }
}

static void emulate(struct drive *drive, const struct eltorito *image)
{
    static const struct geometry floppy[] = {{0, 0, 0}, {80, 2, 15}, {80, 2, 18}, {80, 2, 36}};
    struct cd_emulation *e = &cd_emulation;

    if (image->media == 4) {
        if (read_block(drive, image->lba))
            return;
        const uint8_t *p = block + 446;
        e->geometry.heads = (uint16_t)(p[5] + 1);
        e->geometry.sectors = p[6] & 63;
        e->geometry.cylinders = (p[7] | (p[6] & 0xc0u) << 2) + 1;
        e->number = 0x80;
        poke8(BDA_SEG, BDA_HD_COUNT, (uint8_t)(hd_count + 1));
    } else {
        e->geometry = floppy[image->media];
        e->number = 0x00;
        uint16_t equipment = peek16(BDA_SEG, BDA_EQUIPMENT);
        if (equipment & 1)
            equipment |= 0x40; /* the real drive becomes the second one */
        poke16(BDA_SEG, BDA_EQUIPMENT, equipment | 1);
    }
    e->size = e->geometry.cylinders * e->geometry.heads * e->geometry.sectors;
    e->active = e->size != 0;
}

uint8_t cd_boot(struct drive *drive, uint16_t *seg, uint8_t *number)
{
    struct cd_emulation *e = &cd_emulation;
    struct eltorito image;
    uint32_t catalog;

    e->active = false;
    block_lba = 0xffffffff;
    uint8_t code = atapi_ready(drive);
    if (code)
        return code;
    if ((code = read_block(drive, 17)))
        return code;
    if (!eltorito_volume(block, &catalog))
        return 0x01;
    if ((code = read_block(drive, catalog)))
        return code;
    if (!eltorito_entry(block, &image))
        return 0x01;

    e->media = image.media;
    e->drive = (uint8_t)(drive - drives);
    e->image_lba = image.lba;
    e->load_seg = image.load_seg;
    e->sectors = image.sectors;
    e->number = 0xe0;
    for (unsigned i = 0; i < cd_count; i++) {
        if (cd_map[i] == e->drive)
            e->number = (uint8_t)(0xe0 + i);
    }
    if (image.media)
        emulate(drive, &image);
    fill_packet(drive);
    dprintf("cd: media %u, %u sectors at %u, load at %04x:0, drive %02x\n", e->media, e->sectors, e->image_lba,
            e->load_seg, e->number);

    uint32_t blocks = (e->sectors + 3) / 4, at = image.load_seg * 16u;
    for (uint32_t done = 0; done < blocks;) {
        uint32_t n = blocks - done > 16 ? 16 : blocks - done;
        if (at + n * 2048 > 0xa0000)
            return 0x09;
        if ((code = atapi_read(drive, image.lba + done, n, (uint16_t)(at >> 4), at & 15)))
            return code;
        done += n;
        at += n * 2048;
    }
    *seg = image.load_seg;
    *number = e->number;
    return 0;
}

/* 512-byte sectors of the emulated disk. */
uint8_t cd_emulated_transfer(struct transfer *t)
{
    struct drive *drive = &drives[cd_emulation.drive];
    uint32_t lba = (uint32_t)t->lba;

    if (t->is_write)
        return 0x03;
    for (uint32_t n = 0; n < t->count; n++, lba++) {
        uint8_t code = read_block(drive, cd_emulation.image_lba + lba / 4);
        if (code)
            return code;
        if (!t->is_verify)
            far_copy(t->seg, (uint16_t)(t->off + n * 512), DATA_SEG, (uint16_t)((uint32_t)block + (lba & 3) * 512),
                     512);
    }
    return 0;
}

static void end_emulation(void)
{
    cd_emulation.active = false;
    poke8(BDA_SEG, BDA_HD_COUNT, hd_count);
    uint16_t equipment = peek16(BDA_SEG, BDA_EQUIPMENT) & ~0xc1;
    if (floppy_count)
        equipment = (uint16_t)(equipment | 1 | (floppy_count - 1) << 6);
    poke16(BDA_SEG, BDA_EQUIPMENT, equipment);
}

/* 4Ah, 4Ch: DS:SI is a specification packet as 4Bh returns it. */
static uint8_t start_emulation(const struct bregs *regs)
{
    struct eltorito image = {.media = peek8(regs->ds, (uint16_t)(regs->si + 1)) & 15,
                             .lba = peek32(regs->ds, (uint16_t)(regs->si + 4)),
                             .load_seg = peek16(regs->ds, (uint16_t)(regs->si + 12)),
                             .sectors = peek16(regs->ds, (uint16_t)(regs->si + 14))};
    uint8_t unit =
        (uint8_t)(peek8(regs->ds, (uint16_t)(regs->si + 3)) << 1 | (peek8(regs->ds, (uint16_t)(regs->si + 8)) & 1));
    if (!image.media || image.media > 4)
        return 0x01;
    for (unsigned i = 0; i < cd_count; i++) {
        struct drive *drive = &drives[cd_map[i]];
        if (drive->unit != unit)
            continue;
        end_emulation();
        cd_emulation.media = image.media;
        cd_emulation.drive = cd_map[i];
        cd_emulation.image_lba = image.lba;
        cd_emulation.load_seg = image.load_seg ? image.load_seg : 0x7c0;
        cd_emulation.sectors = image.sectors ? image.sectors : 1;
        emulate(drive, &image);
        fill_packet(drive);
        return cd_emulation.active ? 0 : 0x20;
    }
    return 0x01;
}

/* 4Dh: DS:SI has a size, a number of 2048-byte blocks, a buffer, the first block of the catalog that is wanted. */
static uint8_t read_catalog(const struct bregs *regs)
{
    uint8_t count = peek8(regs->ds, (uint16_t)(regs->si + 1));
    uint16_t off = peek16(regs->ds, (uint16_t)(regs->si + 2)), seg = peek16(regs->ds, (uint16_t)(regs->si + 4));
    uint16_t first = peek16(regs->ds, (uint16_t)(regs->si + 6));
    struct drive *drive = &drives[cd_emulation.drive];
    uint32_t catalog;

    if (read_block(drive, 17) || !eltorito_volume(block, &catalog))
        return 0x20;
    if (off + count * 2048u > 0x10000)
        return 0x09;
    return count ? atapi_read(drive, catalog + first, count, seg, off) : 0;
}

/* 4Ah start emulation, 4Bh end it or tell what is, 4Ch start and boot, 4Dh boot catalog. */
uint8_t cd_13_4a(struct bregs *regs)
{
    struct cd_emulation *e = &cd_emulation;

    if (regs->ah == 0x4a || regs->ah == 0x4c) {
        uint8_t code = cd_count ? start_emulation(regs) : 0x01;
        if (code || regs->ah == 0x4a)
            return code;
        struct transfer t = {.drive = &drives[e->drive], .count = e->sectors, .seg = e->load_seg};
        code = cd_emulated_transfer(&t);
        if (!code)
            boot_jump((uint32_t)e->load_seg << 16, e->number);
        return code;
    }
    if (!e->load_seg) /* not booted from a CD */
        return 0x01;
    if (regs->ah == 0x4d)
        return read_catalog(regs);
    if (regs->al > 1)
        return 0x01;
    far_copy(regs->ds, regs->si, DATA_SEG, (uint16_t)(uint32_t)packet, sizeof(packet));
    if (regs->al == 0 && e->active)
        end_emulation();
    return 0;
}

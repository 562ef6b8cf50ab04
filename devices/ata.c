/* ATA disks: the commands of ATA-4 (X3T13 1153D, chapter 8) and the 48-bit ones of ATA/ATAPI-6 (T13 1410D). */
#include <string.h>

#include "ide_drive.h"
#include "log.h"

#define SECTOR       512u
#define MULTIPLE_MAX 16u
#define UDMA_MAX     5u

static void put16(uint8_t *words, unsigned word, uint32_t value)
{
    words[2 * word] = (uint8_t)value;
    words[2 * word + 1] = (uint8_t)(value >> 8);
}

/* --- Addresses --- */

static bool is_ext(uint8_t command)
{
    return (command >= 0x24 && command <= 0x3d && command != 0x30 && command != 0x31 && command != 0x3c) ||
           command == 0x42 || command == 0xce || command == 0xea;
}

static bool is_multiple(uint8_t command)
{
    return command == 0xc4 || command == 0xc5 || command == 0x29 || command == 0x39 || command == 0xce;
}

static uint32_t sector_count(const struct ide_drive_regs *regs)
{
    if (is_ext(regs->command)) {
        uint32_t count = (uint32_t)regs->hob_nsector << 8 | regs->nsector;
        return count ? count : 65536;
    }
    return regs->nsector ? regs->nsector : 256;
}

/* What the registers point to; false: no such sector. */
static bool address_get(const struct ide_drive *drive, uint64_t *lba)
{
    const struct ide_drive_regs *regs = &drive->regs;

    if (is_ext(regs->command)) {
        *lba = (uint64_t)regs->hob_hcyl << 40 | (uint64_t)regs->hob_lcyl << 32 | (uint64_t)regs->hob_sector << 24 |
               (uint32_t)regs->hcyl << 16 | (uint32_t)regs->lcyl << 8 | regs->sector;
        return true;
    }
    if (regs->select & SEL_LBA) {
        *lba =
            (uint32_t)(regs->select & 15) << 24 | (uint32_t)regs->hcyl << 16 | (uint32_t)regs->lcyl << 8 | regs->sector;
        return true;
    }
    uint32_t cylinder = (uint32_t)regs->hcyl << 8 | regs->lcyl, head = regs->select & 15;
    if (head >= regs->heads || regs->sector == 0 || regs->sector > regs->track_sectors || cylinder >= regs->cylinders)
        return false;
    *lba = ((uint64_t)cylinder * regs->heads + head) * regs->track_sectors + regs->sector - 1;
    return true;
}

/* Shows lba in the registers, in the form in which the command gave its address. */
static void address_put(struct ide_drive *drive, uint64_t lba)
{
    struct ide_drive_regs *regs = &drive->regs;

    if (!is_ext(regs->command) && !(regs->select & SEL_LBA)) {
        uint32_t track = (uint32_t)(lba / regs->track_sectors);
        regs->sector = (uint8_t)(lba % regs->track_sectors + 1);
        regs->select = (regs->select & 0xf0) | (uint8_t)(track % regs->heads);
        regs->lcyl = (uint8_t)(track / regs->heads);
        regs->hcyl = (uint8_t)(track / regs->heads >> 8);
        return;
    }
    regs->sector = (uint8_t)lba;
    regs->lcyl = (uint8_t)(lba >> 8);
    regs->hcyl = (uint8_t)(lba >> 16);
    if (is_ext(regs->command)) {
        regs->hob_sector = (uint8_t)(lba >> 24);
        regs->hob_lcyl = (uint8_t)(lba >> 32);
        regs->hob_hcyl = (uint8_t)(lba >> 40);
    } else {
        regs->select = (regs->select & 0xf0) | (uint8_t)(lba >> 24 & 15);
    }
}

/* Takes address and count from the registers; false when the command has already failed. */
static bool transfer_setup(struct ide_drive *drive)
{
    struct ide_drive_regs *regs = &drive->regs;

    regs->left = sector_count(regs);
    regs->no_data = regs->force_unit_access = false;
    regs->dma = false;
    if (is_multiple(regs->command) && regs->multiple == 0) {
        ide_abort(drive);
        return false;
    }
    if (!address_get(drive, &regs->lba) || regs->lba >= block_sectors(drive->block) ||
        regs->left > block_sectors(drive->block) - regs->lba) {
        ide_fail(drive, ERR_IDNF);
        return false;
    }
    return true;
}

static uint32_t drq_bytes(const struct ide_drive_regs *regs)
{
    uint32_t sectors = is_multiple(regs->command) ? regs->multiple : 1;
    return MIN(sectors, regs->left) * SECTOR;
}

static uint32_t piece_bytes(const struct ide_drive_regs *regs)
{
    return MIN(regs->left, IDE_BUFFER / SECTOR) * SECTOR;
}

static void transfer_advance(struct ide_drive *drive, uint32_t sectors)
{
    struct ide_drive_regs *regs = &drive->regs;
    regs->lba += sectors;
    regs->left -= sectors;
    if (regs->left == 0) {
        address_put(drive, regs->lba - 1);
        regs->nsector = 0;
        regs->hob_nsector = 0;
    }
}

static void transfer_fail(struct ide_drive *drive, uint8_t error)
{
    struct ide_drive_regs *regs = &drive->regs;
    address_put(drive, regs->lba);
    regs->nsector = (uint8_t)regs->left;
    if (is_ext(regs->command))
        regs->hob_nsector = (uint8_t)(regs->left >> 8);
    ide_fail(drive, error);
}

/* --- Reading --- */

static void read_more(struct ide_drive *drive)
{
    ide_start_read(drive, drive->regs.lba * SECTOR, piece_bytes(&drive->regs), STEP_READ);
}

void ata_read_step(struct ide_drive *drive, int error)
{
    struct ide_drive_regs *regs = &drive->regs;

    if (error) {
        transfer_fail(drive, ERR_UNC);
        return;
    }
    regs->filled = regs->request_len;
    if (regs->no_data) {
        transfer_advance(drive, regs->filled / SECTOR);
        if (regs->left)
            read_more(drive);
        else
            ide_done(drive);
    } else if (regs->dma) {
        ide_start_dma(drive, true, regs->filled, STEP_READ_TAKEN);
    } else {
        ide_start_in(drive, 0, drq_bytes(regs), STEP_READ_TAKEN);
        ide_raise(drive);
    }
}

void ata_read_taken_step(struct ide_drive *drive, int error)
{
    struct ide_drive_regs *regs = &drive->regs;

    transfer_advance(drive, (regs->dma ? regs->end : drq_bytes(regs)) / SECTOR);
    if (regs->left == 0) {
        if (regs->dma)
            ide_done(drive);
        else
            regs->status = STS_DRDY | STS_DSC; /* the last data of a read need no interrupt */
    } else if (regs->end < regs->filled) {
        ide_start_in(drive, regs->end, drq_bytes(regs), STEP_READ_TAKEN);
        ide_raise(drive);
    } else {
        read_more(drive);
    }
}

void ata_read_sectors(struct ide_drive *drive)
{
    if (drive->kind == IDE_CD) {
        ide_set_signature(drive);
        ide_abort(drive);
    } else if (transfer_setup(drive)) {
        read_more(drive);
    }
}

void ata_read_multiple(struct ide_drive *drive)
{
    if (transfer_setup(drive))
        read_more(drive);
}

void ata_read_dma(struct ide_drive *drive)
{
    if (!transfer_setup(drive))
        return;
    drive->regs.dma = true;
    read_more(drive);
}

void ata_verify(struct ide_drive *drive)
{
    if (!transfer_setup(drive))
        return;
    drive->regs.no_data = true;
    read_more(drive);
}

/* --- Writing --- */

static void write_more(struct ide_drive *drive)
{
    struct ide_drive_regs *regs = &drive->regs;
    if (regs->dma)
        ide_start_dma(drive, false, piece_bytes(regs), STEP_WRITE_GIVEN);
    else
        ide_start_out(drive, 0, drq_bytes(regs), STEP_WRITE_GIVEN);
}

void ata_write_given_step(struct ide_drive *drive, int error)
{
    ide_start_write(drive, drive->regs.lba * SECTOR, drive->regs.end, STEP_WRITTEN);
}

void ata_written_step(struct ide_drive *drive, int error)
{
    struct ide_drive_regs *regs = &drive->regs;

    if (error) {
        transfer_fail(drive, ERR_ABRT);
        return;
    }
    transfer_advance(drive, regs->request_len / SECTOR);
    if (regs->left) {
        write_more(drive);
        if (!regs->dma)
            ide_raise(drive);
    } else if (regs->force_unit_access || !regs->write_cache) {
        ide_start_flush(drive, STEP_DONE);
    } else {
        ide_done(drive);
    }
}

static void write_start(struct ide_drive *drive, bool dma)
{
    struct ide_drive_regs *regs = &drive->regs;

    if (drive->block->read_only) {
        ide_abort(drive);
        return;
    }
    if (!transfer_setup(drive))
        return;
    regs->dma = dma;
    regs->force_unit_access = regs->command == 0x3d || regs->command == 0xce;
    write_more(drive);
}

void ata_write_sectors(struct ide_drive *drive)
{
    write_start(drive, false);
}

void ata_write_multiple(struct ide_drive *drive)
{
    write_start(drive, false);
}

void ata_write_dma(struct ide_drive *drive)
{
    write_start(drive, true);
}

void ata_flush(struct ide_drive *drive)
{
    if (drive->kind == IDE_DISK)
        ide_start_flush(drive, STEP_DONE);
    else
        ide_done(drive);
}

/* --- Without data --- */

void ata_seek(struct ide_drive *drive)
{
    uint64_t lba;
    if (address_get(drive, &lba) && lba < block_sectors(drive->block))
        ide_done(drive);
    else
        ide_fail(drive, ERR_IDNF);
}

void ata_recalibrate(struct ide_drive *drive)
{
    ide_done(drive);
}

void ata_set_parameters(struct ide_drive *drive)
{
    struct ide_drive_regs *regs = &drive->regs;
    uint32_t heads = (regs->select & 15) + 1u;

    if (regs->nsector == 0) {
        ide_abort(drive);
        return;
    }
    regs->heads = (uint16_t)heads;
    regs->track_sectors = regs->nsector;
    uint64_t cylinders = block_sectors(drive->block) / (heads * regs->nsector);
    regs->cylinders = (uint16_t)MIN(cylinders, 65535);
    ide_done(drive);
}

void ata_set_multiple(struct ide_drive *drive)
{
    uint8_t count = drive->regs.nsector;
    if (count > MULTIPLE_MAX || (count & (count - 1))) {
        ide_abort(drive);
        return;
    }
    drive->regs.multiple = count; /* 0 turns READ and WRITE MULTIPLE off */
    ide_done(drive);
}

static bool set_transfer_mode(struct ide_drive_regs *regs)
{
    unsigned mode = regs->nsector & 7;
    switch (regs->nsector >> 3) {
    case 0: /* PIO, the default mode */
        if (mode > 1)
            return false;
        regs->pio_mode = 4;
        return true;
    case 1:
        if (mode > 4)
            return false;
        regs->pio_mode = (uint8_t)mode;
        return true;
    case 2: /* single-word DMA: no drive of its age has it chosen for good */
        return mode <= 2;
    case 4:
        if (mode > 2)
            return false;
        regs->mwdma_mode = (uint8_t)mode;
        regs->udma_mode = 0xff;
        return true;
    case 8:
        if (mode > UDMA_MAX)
            return false;
        regs->udma_mode = (uint8_t)mode;
        regs->mwdma_mode = 0xff;
        return true;
    default:
        return false;
    }
}

void ata_set_features(struct ide_drive *drive)
{
    struct ide_drive_regs *regs = &drive->regs;
    switch (regs->feature) {
    case 0x02:
        regs->write_cache = true;
        break;
    case 0x82: /* what the cache holds goes to the medium first */
        regs->write_cache = false;
        if (drive->kind == IDE_DISK) {
            ide_start_flush(drive, STEP_DONE);
            return;
        }
        break;
    case 0x03:
        if (!set_transfer_mode(regs)) {
            ide_abort(drive);
            return;
        }
        break;
    case 0xaa:
    case 0x55:
        regs->look_ahead = regs->feature == 0xaa;
        break;
    case 0x66:
    case 0xcc: /* keep or restore settings at a soft reset: they always stay */
    case 0x05:
    case 0x85: /* advanced power management */
    case 0x42:
    case 0xc2: /* acoustics */
        break;
    default:
        ide_abort(drive);
        return;
    }
    ide_done(drive);
}

void ata_power(struct ide_drive *drive)
{
    unsigned what = drive->regs.command & 7;
    if (drive->regs.command < 0xa0)
        what = (drive->regs.command - 0x94) & 7; /* 94h to 99h are the older codes of E0h to E6h */
    bool stands = what == 0 || what == 2 || drive->regs.command == 0x99 || drive->regs.command == 0xe6;
    drive->regs.power = stands ? 0x00 : 0xff;
    if (stands && drive->kind == IDE_DISK)
        ide_start_flush(drive, STEP_DONE); /* the heads do not land with data in the cache */
    else
        ide_done(drive);
}

void ata_check_power(struct ide_drive *drive)
{
    drive->regs.nsector = drive->regs.power;
    ide_done(drive);
}

void ata_native_max(struct ide_drive *drive)
{
    struct ide_drive_regs *regs = &drive->regs;
    uint64_t last = block_sectors(drive->block) - 1;

    if (!(regs->select & SEL_LBA)) {
        ide_abort(drive);
        return;
    }
    if (regs->command == 0xf8)
        last = MIN(last, 0x0fffffff);
    address_put(drive, last);
    ide_done(drive);
}

/* --- Replies of one sector --- */

static void reply_sector(struct ide_drive *drive)
{
    ide_start_in(drive, 0, SECTOR, STEP_END);
    ide_raise(drive);
}

/* The last byte makes the sum of all zero. */
static void sum_sector(uint8_t *sector, uint8_t signature)
{
    uint8_t sum = 0;
    sector[510] = signature ? signature : sector[510];
    for (unsigned i = 0; i < 511; i++)
        sum += sector[i];
    sector[511] = (uint8_t)(0u - sum);
}

/* Capabilities: the words of IDENTIFY DEVICE, in the manual's order. */
void ata_identify(struct ide_drive *drive)
{
    struct ide_drive_regs *regs = &drive->regs;
    uint8_t *words = drive->buffer;
    uint64_t sectors = block_sectors(drive->block);

    if (drive->kind == IDE_CD) {
        ide_set_signature(drive);
        ide_abort(drive);
        return;
    }
    memset(words, 0, SECTOR);
    put16(words, 0, 0x0040); /* fixed drive */
    put16(words, 1, drive->cylinders);
    put16(words, 3, drive->heads);
    put16(words, 4, SECTOR * drive->track_sectors); /* unformatted sizes, for drivers of 1990 */
    put16(words, 5, SECTOR);
    put16(words, 6, drive->track_sectors);
    ide_put_string(words + 20, 20, drive->serial);
    put16(words, 20, 3); /* buffer: dual ported, with look-ahead */
    put16(words, 21, 512);
    put16(words, 22, 4);
    ide_put_string(words + 46, 8, "1.0");
    ide_put_string(words + 54, 40, "RINGER HARDDISK");
    put16(words, 47, 0x8000 | MULTIPLE_MAX);
    put16(words, 48, 1);      /* 32-bit data port */
    put16(words, 49, 0x0b00); /* IORDY, LBA, DMA */
    put16(words, 51, 0x0200); /* PIO and DMA cycle times */
    put16(words, 52, 0x0200);
    put16(words, 53, 0x0007); /* words 54 to 58, 64 to 70 and 88 are valid */
    put16(words, 54, regs->cylinders);
    put16(words, 55, regs->heads);
    put16(words, 56, regs->track_sectors);
    uint32_t chs = (uint32_t)regs->cylinders * regs->heads * regs->track_sectors;
    put16(words, 57, chs);
    put16(words, 58, chs >> 16);
    put16(words, 59, regs->multiple ? 0x0100 | regs->multiple : 0);
    uint32_t lba28 = (uint32_t)MIN(sectors, 0x0fffffff);
    put16(words, 60, lba28);
    put16(words, 61, lba28 >> 16);
    put16(words, 63, 0x0007 | (regs->mwdma_mode != 0xff ? 0x100u << regs->mwdma_mode : 0));
    put16(words, 64, 0x0003); /* PIO 3 and 4 */
    for (unsigned word = 65; word <= 68; word++)
        put16(words, word, 120); /* ns */
    put16(words, 80, 0x00f0);    /* ATA-4 to ATA/ATAPI-7 */
    put16(words, 81, 0x0016);
    put16(words, 82, 0x4061); /* NOP, look-ahead, write cache, SMART */
    put16(words, 83, 0x7400); /* FLUSH CACHE (EXT), 48 bits */
    put16(words, 84, 0x4000);
    put16(words, 85, 0x4000 | (regs->look_ahead ? 0x40 : 0) | (regs->write_cache ? 0x20 : 0) | regs->smart);
    put16(words, 86, 0x3400);
    put16(words, 87, 0x4000);
    put16(words, 88, ((1u << (UDMA_MAX + 1)) - 1) | (regs->udma_mode != 0xff ? 0x100u << regs->udma_mode : 0));
    put16(words, 93, drive->number & 1 ? 0x6200 : 0x6001); /* 80-wire cable */
    for (unsigned i = 0; i < 4; i++)
        put16(words, 100 + i, (uint32_t)(sectors >> (16 * i)) & 0xffff);
    sum_sector(words, 0xa5);
    reply_sector(drive);
}

/* Attribute, flags, normalized value, worst, threshold, raw. A drive that never wears out. */
static const uint8_t smart_attributes[][6] = {
    {0x01, 0x03, 100, 100, 6, 0},    /* raw read error rate */
    {0x03, 0x03, 100, 100, 0, 16},   /* spin-up time */
    {0x04, 0x02, 100, 100, 20, 100}, /* start/stop count */
    {0x05, 0x03, 100, 100, 36, 0},   /* reallocated sectors */
    {0x09, 0x03, 100, 100, 0, 1},    /* power-on hours */
    {0x0c, 0x03, 100, 100, 0, 0},    /* power cycles */
    {0xbe, 0x03, 69, 69, 50, 31},    /* temperature */
};

static void smart_data(uint8_t *sector, bool thresholds)
{
    memset(sector, 0, SECTOR);
    sector[0] = 1;
    for (unsigned i = 0; i < G_N_ELEMENTS(smart_attributes); i++) {
        const uint8_t *attribute = smart_attributes[i];
        uint8_t *row = sector + 2 + 12 * i;
        row[0] = attribute[0];
        if (thresholds) {
            row[1] = attribute[4];
            continue;
        }
        row[1] = attribute[1];
        row[3] = attribute[2];
        row[4] = attribute[3];
        row[5] = attribute[5];
    }
    if (!thresholds) {
        sector[362] = 0x02; /* off-line collection was completed */
        sector[364] = 0x04; /* it takes four seconds */
        sector[367] = 0x19; /* capabilities: off-line and self-test commands */
        sector[368] = 0x03;
        sector[370] = 0x01;
        sector[372] = 2;
        sector[373] = 54;
    }
    sum_sector(sector, 0);
}

void ata_smart(struct ide_drive *drive)
{
    struct ide_drive_regs *regs = &drive->regs;

    if (regs->lcyl != 0x4f || regs->hcyl != 0xc2 || (!regs->smart && regs->feature != 0xd8)) {
        ide_abort(drive);
        return;
    }
    switch (regs->feature) {
    case 0xd0:
    case 0xd1:
        smart_data(drive->buffer, regs->feature == 0xd1);
        reply_sector(drive);
        return;
    case 0xd5: /* READ LOG: directory, error log and self-test log, all without entries */
        if (regs->sector != 0 && regs->sector != 1 && regs->sector != 6)
            break;
        memset(drive->buffer, 0, SECTOR);
        drive->buffer[0] = 1;
        if (regs->sector != 0)
            sum_sector(drive->buffer, 0);
        reply_sector(drive);
        return;
    case 0xd2: /* autosave */
    case 0xd4: /* a test: it finds nothing */
        ide_done(drive);
        return;
    case 0xd8:
    case 0xd9:
        regs->smart = regs->feature == 0xd8;
        ide_done(drive);
        return;
    case 0xda: /* 4Fh, C2h unchanged: no threshold exceeded */
        ide_done(drive);
        return;
    }
    ide_abort(drive);
}

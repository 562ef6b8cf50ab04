/* INT 13h for what is not a floppy drive: hard disks, CD-ROM drives, disks emulated from a CD.
 *
 * Phoenix Enhanced Disk Drive Specification 3.0; IBM AT Technical Reference for functions below 40h.
 */
#include "bios.h"

/* What a drive number means now. */
struct target {
    struct drive *drive;
    bool is_emulated;
    struct geometry geometry;
    uint64_t sectors;
};

static bool find_target(uint8_t number, struct target *target)
{
    memset(target, 0, sizeof(*target));
    if (cd_emulation.active && number == cd_emulation.number) {
        target->drive = &drives[cd_emulation.drive];
        target->is_emulated = true;
        target->geometry = cd_emulation.geometry;
        target->sectors = cd_emulation.size;
        return true;
    }
    if (number >= 0xe0 && number - 0xe0 < cd_count) {
        target->drive = &drives[cd_map[number - 0xe0]];
        target->sectors = target->drive->sectors;
        return true;
    }
    if (number < 0x80)
        return false;
    unsigned n = number - 0x80u;
    if (cd_emulation.active && cd_emulation.number == 0x80)
        n--; /* the emulated one is in front */
    if (n >= hd_count)
        return false;
    target->drive = &drives[hd_map[n]];
    target->geometry = target->drive->logical;
    target->sectors = target->drive->sectors;
    return true;
}

static uint8_t transfer_piece(struct transfer *t, const struct target *target)
{
    if (target->is_emulated)
        return cd_emulated_transfer(t);
    if (t->drive->is_virtio)
        return virtio_transfer(t);
    if (t->drive->type != DRIVE_CD)
        return ata_transfer(t);
    if (t->is_write)
        return 0x03;
    if (t->is_verify)
        return 0;
    uint8_t code = atapi_read(t->drive, (uint32_t)t->lba, t->count, t->seg, t->off);
    if (code && !atapi_ready(t->drive)) /* a changed medium fails once */
        code = atapi_read(t->drive, (uint32_t)t->lba, t->count, t->seg, t->off);
    return code;
}

/* The same address with the smallest offset that a segment below FFFFh gives. */
static void point_to(struct transfer *t, uint32_t linear)
{
    t->seg = linear >> 4 > 0xffff ? 0xffff : (uint16_t)(linear >> 4);
    t->off = (uint16_t)(linear - t->seg * 16u);
}

/* Cuts a transfer into pieces that stay in one segment; *done counts sectors that went well. */
static uint8_t transfer(struct transfer *t, const struct target *target, uint32_t *done)
{
    uint32_t unit = target->is_emulated ? 512 : t->drive->block, piece_max = 0xfe00 / unit;
    uint32_t left = t->count;

    *done = 0;
    if (!t->is_verify && t->seg * 16u + t->off + left * unit > 0x10fff0)
        return 0x09; /* beyond what a segment can reach */
    while (left) {
        t->count = left > piece_max ? piece_max : left;
        uint32_t linear = t->seg * 16u + t->off;
        if (t->off + t->count * unit > 0x10000 && !t->is_verify)
            point_to(t, linear);
        uint8_t code = transfer_piece(t, target);
        if (code)
            return code;
        *done += t->count;
        left -= t->count;
        t->lba += t->count;
        if (!t->is_verify)
            point_to(t, linear + t->count * unit);
    }
    return 0;
}

uint8_t disk_transfer(struct transfer *t)
{
    struct target target = {.drive = t->drive};
    uint32_t done;
    return transfer(t, &target, &done);
}

static void disk_return(struct bregs *regs, uint8_t code)
{
    regs->ah = code;
    set_cf(regs, code != 0);
    poke8(BDA_SEG, regs->dl < 0x80 ? BDA_FD_STATUS : BDA_HD_STATUS, code);
}

static void disk_fail(struct bregs *regs, uint8_t code)
{
    dprintf("int 13 drive %02x: ax=%04x cx=%04x dx=%04x: error %02x\n", regs->dl, regs->ax, regs->cx, regs->dx, code);
    disk_return(regs, code);
}

/* --- Cylinder, head, sector --- */

/* 02 read, 03 write, 04 verify */
static void disk_1302(struct bregs *regs, const struct target *target)
{
    unsigned cylinder = regs->ch | (regs->cl & 0xc0u) << 2, head = regs->dh, sector = regs->cl & 63u;
    uint32_t lba, done;

    if (!regs->al) {
        disk_fail(regs, 0x01);
        return;
    }
    if (!geometry_to_lba(&target->geometry, cylinder, head, sector, &lba)) {
        regs->al = 0;
        disk_fail(regs, target->geometry.heads ? 0x04 : 0x01);
        return;
    }
    struct transfer t = {.drive = target->drive,
                         .lba = lba,
                         .count = regs->al,
                         .seg = regs->es,
                         .off = regs->bx,
                         .is_write = regs->ah == 0x03,
                         .is_verify = regs->ah == 0x04};
    if (lba + t.count > target->sectors) {
        regs->al = 0;
        disk_fail(regs, 0x04);
        return;
    }
    uint8_t code = transfer(&t, target, &done);
    regs->al = (uint8_t)done;
    if (code)
        disk_fail(regs, code);
    else
        disk_return(regs, 0);
}

static void disk_1308(struct bregs *regs, const struct target *target)
{
    const struct geometry *g = &target->geometry;
    if (!g->heads) {
        disk_fail(regs, 0x01);
        return;
    }
    bool is_floppy = regs->dl < 0x80;
    /* As on every AT, the last cylinder of a disk is kept for diagnostics. */
    unsigned last = g->cylinders - (target->is_emulated ? 1 : 2);
    if (g->cylinders < 2)
        last = 0;
    if (last > 1023)
        last = 1023;
    regs->ch = (uint8_t)last;
    regs->cl = (uint8_t)((last >> 2 & 0xc0) | g->sectors);
    regs->dh = (uint8_t)(g->heads - 1);
    if (is_floppy) {
        regs->bx = g->sectors == 15 ? 2 : g->sectors == 36 ? 6 : 4;
        regs->dl = floppy_count ? (uint8_t)(floppy_count + 1) : 1;
        regs->es = CODE_SEG;
        regs->di = (uint16_t)(uint32_t)diskette_table;
        regs->ah = 0;
        set_cf(regs, false);
        poke8(BDA_SEG, BDA_FD_STATUS, 0);
        return;
    }
    regs->al = 0;
    disk_return(regs, 0);
    regs->dl = peek8(BDA_SEG, BDA_HD_COUNT);
}

static void disk_1315(struct bregs *regs, const struct target *target)
{
    if (!target->geometry.heads) {
        disk_fail(regs, 0x01);
        return;
    }
    uint8_t code = 0;
    if (regs->dl < 0x80) {
        code = 1;
    } else {
        const struct geometry *g = &target->geometry;
        uint32_t n = (g->cylinders - 1) * g->heads * g->sectors;
        regs->cx = (uint16_t)(n >> 16);
        regs->dx = (uint16_t)n;
        code = 3;
    }
    regs->ah = code;
    set_cf(regs, false);
    poke8(BDA_SEG, BDA_HD_STATUS, 0);
}

/* --- Extensions --- */

/* 42 read, 43 write, 44 verify, 47 seek: DS:SI is a disk address packet. */
static void disk_1342(struct bregs *regs, const struct target *target)
{
    uint16_t seg = regs->ds, si = regs->si;
    uint8_t size = peek8(seg, si);
    uint32_t count = peek16(seg, (uint16_t)(si + 2)), done = 0;

    if (size < 16) {
        disk_fail(regs, 0x01);
        return;
    }
    struct transfer t = {.drive = target->drive,
                         .off = peek16(seg, (uint16_t)(si + 4)),
                         .seg = peek16(seg, (uint16_t)(si + 6)),
                         .is_write = regs->ah == 0x43,
                         .is_verify = regs->ah == 0x44,
                         .count = count};
    t.lba = peek32(seg, (uint16_t)(si + 8)) | (uint64_t)peek32(seg, (uint16_t)(si + 12)) << 32;
    if (t.off == 0xffff && t.seg == 0xffff && regs->ah != 0x47) {
        /* EDD 3: a 64-bit linear address follows; below 1 MiB it is as good as a segment. */
        uint32_t flat = size >= 24 ? peek32(seg, (uint16_t)(si + 16)) : 0xffffffff;
        if (flat > 0xfffff || peek32(seg, (uint16_t)(si + 20))) {
            disk_fail(regs, 0x01);
            return;
        }
        t.seg = (uint16_t)(flat >> 4);
        t.off = flat & 15;
    }
    uint64_t sectors = target->sectors;
    if (target->drive->type == DRIVE_CD && !target->is_emulated && t.lba + count > sectors) {
        uint8_t code = atapi_ready(target->drive); /* not looked at yet, or another medium by now */
        if (code) {
            disk_fail(regs, code);
            return;
        }
        sectors = target->drive->sectors;
    }
    if (t.lba + count > sectors) {
        poke16(seg, (uint16_t)(si + 2), 0);
        disk_fail(regs, 0x04);
        return;
    }
    if (regs->ah == 0x47) {
        disk_return(regs, 0);
        return;
    }
    uint8_t code = transfer(&t, target, &done);
    poke16(seg, (uint16_t)(si + 2), (uint16_t)done);
    if (code)
        disk_fail(regs, code);
    else
        disk_return(regs, 0);
}

/* Device parameter table extension: where the drive's ports are. One per call is enough, EDD says it is volatile. */
static uint8_t dpte[16];

static void fill_dpte(const struct drive *drive)
{
    uint16_t command, control;
    uint8_t irq, sum = 0;

    ata_ports(drive, &command, &control, &irq);
    memset(dpte, 0, sizeof(dpte));
    dpte[0] = (uint8_t)command;
    dpte[1] = (uint8_t)(command >> 8);
    dpte[2] = (uint8_t)control;
    dpte[3] = (uint8_t)(control >> 8);
    dpte[4] = (uint8_t)(0xa0 | (drive->is_lba ? 0x40 : 0) | (drive->unit & 1) << 4);
    dpte[5] = 0xcb;
    dpte[6] = irq;
    dpte[7] = 1; /* sectors per block */
    uint16_t options = 0;
    if (drive->type == DRIVE_CD) {
        options = 0x60; /* removable, ATAPI */
    } else {
        if (drive->logical.heads != drive->physical.heads || drive->logical.cylinders != drive->physical.cylinders)
            options |= 0x08 | 1 << 9; /* CHS translated, by LBA assist */
        if (drive->is_lba)
            options |= 0x10;
    }
    if (ata_bus_master(drive) && drive->is_dma)
        options |= 0x02;
    dpte[10] = (uint8_t)options;
    dpte[11] = (uint8_t)(options >> 8);
    dpte[14] = 0x11; /* revision */
    for (unsigned i = 0; i < 15; i++)
        sum = (uint8_t)(sum + dpte[i]);
    dpte[15] = (uint8_t)-sum;
}

static void disk_1348(struct bregs *regs, const struct target *target)
{
    uint16_t seg = regs->ds, si = regs->si, size = peek16(seg, si);
    const struct drive *drive = target->drive;
    bool is_cd = drive->type == DRIVE_CD && !target->is_emulated;

    if (size < 26) {
        disk_fail(regs, 0x01);
        return;
    }
    const struct geometry *g = target->is_emulated ? &target->geometry : &drive->physical;
    poke16(seg, (uint16_t)(si + 2), is_cd ? 0x74 : 0x02); /* removable, change line, lockable; or CHS is valid */
    poke32(seg, (uint16_t)(si + 4), is_cd ? 0xffffffffu : g->cylinders);
    poke32(seg, (uint16_t)(si + 8), is_cd ? 0xffffffffu : g->heads);
    poke32(seg, (uint16_t)(si + 12), is_cd ? 0xffffffffu : g->sectors);
    poke32(seg, (uint16_t)(si + 16), is_cd ? 0xffffffffu : (uint32_t)target->sectors);
    poke32(seg, (uint16_t)(si + 20), is_cd ? 0xffffffffu : (uint32_t)(target->sectors >> 32));
    poke16(seg, (uint16_t)(si + 24), target->is_emulated ? 512 : drive->block);
    poke16(seg, si, 26);
    if (size >= 30) {
        if (!drive->is_virtio)
            fill_dpte(drive);
        poke16(seg, (uint16_t)(si + 26), drive->is_virtio ? 0xffff : (uint16_t)(uint32_t)dpte);
        poke16(seg, (uint16_t)(si + 28), drive->is_virtio ? 0xffff : DATA_SEG);
        poke16(seg, si, 30);
    }
    if (size >= 66) {
        static const char names[] = "ISA\0ATA     ATAPI   SCSI    ";
        uint16_t command, control, base = (uint16_t)(si + 30);
        uint8_t irq, sum = 0;
        ata_ports(drive, &command, &control, &irq);
        for (uint16_t i = 0; i < 36; i++)
            poke8(seg, (uint16_t)(base + i), 0);
        poke16(seg, base, 0xbedd);
        poke8(seg, (uint16_t)(base + 2), 36);
        int bdf = drive->is_virtio ? virtio_bdf(drive) : pci_find_class(0xffff00, 0x010100, 0);
        if (bdf >= 0) {
            static const char pci[4] = {'P', 'C', 'I', ' '};
            far_copy(seg, (uint16_t)(base + 6), DATA_SEG, (uint16_t)(uint32_t)pci, 4);
            poke8(seg, (uint16_t)(base + 18), 0);
            poke8(seg, (uint16_t)(base + 19), (uint8_t)(bdf >> 3));
            poke8(seg, (uint16_t)(base + 20), bdf & 7);
            poke8(seg, (uint16_t)(base + 21), drive->is_virtio ? 0 : drive->unit >> 1);
        } else {
            far_copy(seg, (uint16_t)(base + 6), DATA_SEG, (uint16_t)(uint32_t)names, 3);
            poke8(seg, (uint16_t)(base + 9), ' ');
            poke16(seg, (uint16_t)(base + 18), command);
        }
        far_copy(seg, (uint16_t)(base + 10), DATA_SEG,
                 (uint16_t)((uint32_t)names + (drive->is_virtio          ? 20
                                               : drive->type == DRIVE_CD ? 12
                                                                         : 4)),
                 8);
        poke8(seg, (uint16_t)(base + 26), drive->is_virtio ? 0 : drive->unit & 1);
        for (uint16_t i = 0; i < 35; i++)
            sum = (uint8_t)(sum + peek8(seg, (uint16_t)(base + i)));
        poke8(seg, (uint16_t)(base + 35), (uint8_t)-sum);
        poke16(seg, si, 66);
    }
    disk_return(regs, 0);
}

/* 45 lock, 46 eject, 49 media change: for drives whose media come out. */
static void disk_1345(struct bregs *regs, const struct target *target)
{
    static uint8_t locks;
    bool is_cd = target->drive->type == DRIVE_CD && !target->is_emulated;
    uint8_t bit = (uint8_t)(1u << (target->drive - drives));
    uint32_t got;

    if (!is_cd) {
        if (regs->ah == 0x49)
            disk_return(regs, 0);
        else
            disk_fail(regs, regs->ah == 0x45 ? 0xb4 : 0xb2);
        return;
    }
    if (regs->ah == 0x49) {
        disk_return(regs, 0);
    } else if (regs->ah == 0x46) {
        static const uint8_t start_stop[12] = {0x1b, 0, 0, 0, 2};
        if (locks & bit)
            disk_fail(regs, 0xb1);
        else
            disk_return(regs, atapi_packet(target->drive, start_stop, DATA_SEG, 0, 0, &got) ? 0xb5 : 0);
    } else if (regs->al > 2) {
        disk_fail(regs, 0x01);
    } else {
        if (regs->al < 2) {
            uint8_t prevent[12] = {0x1e, 0, 0, 0, regs->al == 0};
            atapi_packet(target->drive, prevent, DATA_SEG, 0, 0, &got);
            locks = (uint8_t)(regs->al == 0 ? locks | bit : locks & ~bit);
        }
        regs->al = (locks & bit) ? 1 : 0;
        disk_return(regs, 0);
    }
}

void handle_13(struct bregs *regs)
{
    struct target target;

    if (regs->ah >= 0x4a && regs->ah <= 0x4d) {
        uint8_t number = regs->dl, code = cd_13_4a(regs);
        regs->dl = 0xe0; /* its status is a CD's, whatever is emulated */
        if (code)
            disk_fail(regs, code);
        else
            disk_return(regs, 0);
        regs->dl = number;
        return;
    }
    if (!find_target(regs->dl, &target)) {
        if (regs->dl < 0x80) {
            uint8_t number = regs->dl;
            if (cd_emulation.active && cd_emulation.number == 0)
                regs->dl--;
            uint8_t shifted = regs->dl;
            floppy_13(regs);
            if (regs->dl == shifted)
                regs->dl = number;
            return;
        }
        if (regs->ah == 0x15) {
            regs->ax = 0;
            set_cf(regs, false);
            return;
        }
        disk_fail(regs, 0x01);
        return;
    }
    switch (regs->ah) {
    case 0x00:
    case 0x0d:
        disk_return(regs, 0);
        break;
    case 0x01: {
        uint8_t last = peek8(BDA_SEG, regs->dl < 0x80 ? BDA_FD_STATUS : BDA_HD_STATUS);
        disk_return(regs, 0);
        regs->ah = last;
        set_cf(regs, last != 0);
        break;
    }
    case 0x02:
    case 0x03:
    case 0x04:
        disk_1302(regs, &target);
        break;
    case 0x08:
        disk_1308(regs, &target);
        break;
    case 0x05:
    case 0x06:
    case 0x07:
        /* Formatting a track of an IDE disk changes nothing on it. */
        disk_return(regs, target.is_emulated || target.drive->type == DRIVE_CD ? 0x03 : 0);
        break;
    case 0x09:
    case 0x10:
    case 0x12:
    case 0x13:
    case 0x14:
        disk_return(regs, 0);
        break;
    case 0x0c: {
        uint32_t lba;
        unsigned cylinder = regs->ch | (regs->cl & 0xc0u) << 2;
        disk_return(regs, geometry_to_lba(&target.geometry, cylinder, regs->dh, 1, &lba) ? 0 : 0x40);
        break;
    }
    case 0x11:
        disk_return(regs,
                    target.drive->type == DRIVE_HD && !target.drive->is_virtio ? ata_recalibrate(target.drive) : 0);
        break;
    case 0x15:
        disk_1315(regs, &target);
        break;
    case 0x16:
        disk_return(regs, regs->dl < 0x80 ? 0 : 0x01);
        break;
    case 0x41:
        if (regs->bx != 0x55aa || regs->dl < 0x80) {
            disk_fail(regs, 0x01);
            break;
        }
        regs->bx = 0xaa55;
        regs->cx = target.drive->type == DRIVE_CD && !target.is_emulated ? 0x0007 : 0x0005;
        poke8(BDA_SEG, BDA_HD_STATUS, 0);
        regs->ah = 0x30; /* EDD 3.0 */
        set_cf(regs, false);
        break;
    case 0x42:
    case 0x43:
    case 0x44:
    case 0x47:
        if (regs->dl < 0x80)
            disk_fail(regs, 0x01);
        else
            disk_1342(regs, &target);
        break;
    case 0x45:
    case 0x46:
    case 0x49:
        disk_1345(regs, &target);
        break;
    case 0x48:
        disk_1348(regs, &target);
        break;
    case 0x4e: /* hardware configuration: prefetch and DMA may be "changed" to what they are */
        if (regs->al == 0x01 || regs->al == 0x03 || regs->al == 0x04 || regs->al == 0x06)
            disk_return(regs, 0);
        else
            disk_fail(regs, 0x01);
        break;
    default:
        log_unknown("int 13", regs);
        disk_return(regs, 0x01);
        break;
    }
}

/* The floppies' own vector, for disk BIOSes that took over INT 13h. */
void handle_40(struct bregs *regs)
{
    floppy_13(regs);
}

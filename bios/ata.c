/* IDE: disks by PIO and bus-master DMA, CD-ROM drives by packets.
 *
 * ATA/ATAPI-6 (INCITS 361-2002); MMC-3; Programming Interface for Bus Master IDE Controller 1.0.
 */
#include "bios.h"

#define ATA_DATA     0
#define ATA_ERROR    1 /* read */
#define ATA_FEATURES 1
#define ATA_COUNT    2
#define ATA_LBA0     3
#define ATA_LBA1     4
#define ATA_LBA2     5
#define ATA_DEVICE   6
#define ATA_STATUS   7 /* read */
#define ATA_COMMAND  7

#define BSY  0x80
#define DRDY 0x40
#define DF   0x20
#define DRQ  0x08
#define ERR  0x01

#define NIEN 0x02
#define SRST 0x04

#define BM_COMMAND 0
#define BM_STATUS  2
#define BM_PRD     4

#define WAIT_MS 10000

static uint16_t bm_base;
static uint32_t prd[4] __attribute__((aligned(16)));

void ata_ports(const struct drive *drive, uint16_t *command, uint16_t *control, uint8_t *irq)
{
    bool second = drive->unit & 2;
    *command = second ? 0x170 : 0x1f0;
    *control = second ? 0x376 : 0x3f6;
    *irq = second ? 15 : 14;
}

uint16_t ata_bus_master(const struct drive *drive)
{
    return bm_base ? (uint16_t)(bm_base + ((drive->unit & 2) ? 8 : 0)) : 0;
}

static uint16_t base_of(const struct drive *drive)
{
    return (drive->unit & 2) ? 0x170 : 0x1f0;
}

static uint16_t control_of(uint16_t base)
{
    return (uint16_t)(base + 0x206);
}

/* Until BSY is off: the status, or -1. */
static int wait_idle(uint16_t base, uint32_t ms)
{
    uint8_t status = inb((uint16_t)(base + ATA_STATUS));
    if (!(status & BSY))
        return status;
    struct timeout t = timeout_start(ms);
    do {
        status = inb((uint16_t)(base + ATA_STATUS));
        if (!(status & BSY))
            return status;
        yield();
    } while (!timeout_passed(&t));
    return -1;
}

static void pause_400ns(uint16_t base)
{
    for (unsigned i = 0; i < 4; i++)
        inb(control_of(base));
}

static bool select_drive(uint16_t base, uint8_t device)
{
    if (wait_idle(base, 1000) < 0)
        return false;
    outb((uint16_t)(base + ATA_DEVICE), device);
    pause_400ns(base);
    return wait_idle(base, 1000) >= 0;
}

/* Words between a port and far memory. */
static void pio_in(uint16_t port, uint16_t seg, uint16_t off, uint32_t words)
{
    uint32_t di = off;
    __asm__ volatile("pushw %%es\n\tmovw %w3, %%es\n\tcld\n\trep insw (%%dx), %%es:(%%edi)\n\tpopw %%es"
                     : "+D"(di), "+c"(words)
                     : "d"(port), "r"(seg)
                     : "memory");
}

static void pio_out(uint16_t port, uint16_t seg, uint16_t off, uint32_t words)
{
    uint32_t si = off;
    __asm__ volatile("movw %w3, %%fs\n\tcld\n\trep outsw %%fs:(%%esi), (%%dx)"
                     : "+S"(si), "+c"(words)
                     : "d"(port), "r"(seg)
                     : "memory");
}

/* INT 13h status of a failed command. */
static uint8_t error_code(uint16_t base, int status)
{
    if (status < 0)
        return 0x80; /* time-out */
    uint8_t error = inb((uint16_t)(base + ATA_ERROR));
    dprintf("ata %x: status %02x error %02x\n", base, (unsigned)status, error);
    if (status & DF)
        return 0x20;
    if (error & 0x10)
        return 0x04; /* sector not found */
    if (error & 0x40)
        return 0x10; /* uncorrectable */
    return 0x20;
}

/* --- Disks --- */

static bool dma_is_possible(const struct transfer *t)
{
    /* A paging caller's linear addresses are not the bus's. */
    return t->drive->is_dma && bm_base && !is_protected() && !((t->off | t->seg << 4) & 1);
}

/* Programs the task file; the command decides between 28 and 48 bits, CHS and LBA. */
static bool start_command(const struct transfer *t, uint32_t count, bool is_dma)
{
    const struct drive *drive = t->drive;
    uint16_t base = base_of(drive);
    uint8_t device = (uint8_t)(0xa0 | (drive->unit & 1) << 4), command;
    uint64_t lba = t->lba;

    outb(control_of(base), 0x08 | NIEN);
    if (!select_drive(base, device))
        return false;
    outb((uint16_t)(base + ATA_FEATURES), 0);
    if (!drive->is_lba) {
        const struct geometry *g = &drive->physical;
        uint32_t n = (uint32_t)lba, track = n / g->sectors;
        outb((uint16_t)(base + ATA_COUNT), (uint8_t)count);
        outb((uint16_t)(base + ATA_LBA0), (uint8_t)(n % g->sectors + 1));
        outb((uint16_t)(base + ATA_LBA1), (uint8_t)(track / g->heads));
        outb((uint16_t)(base + ATA_LBA2), (uint8_t)(track / g->heads >> 8));
        outb((uint16_t)(base + ATA_DEVICE), (uint8_t)(device | track % g->heads));
        command = t->is_verify ? 0x40 : t->is_write ? 0x30 : 0x20;
    } else {
        bool is_48 = lba + count > 0x10000000u;
        if (is_48) {
            outb((uint16_t)(base + ATA_COUNT), (uint8_t)(count >> 8));
            outb((uint16_t)(base + ATA_LBA0), (uint8_t)(lba >> 24));
            outb((uint16_t)(base + ATA_LBA1), (uint8_t)(lba >> 32));
            outb((uint16_t)(base + ATA_LBA2), (uint8_t)(lba >> 40));
        }
        outb((uint16_t)(base + ATA_COUNT), (uint8_t)count);
        outb((uint16_t)(base + ATA_LBA0), (uint8_t)lba);
        outb((uint16_t)(base + ATA_LBA1), (uint8_t)(lba >> 8));
        outb((uint16_t)(base + ATA_LBA2), (uint8_t)(lba >> 16));
        outb((uint16_t)(base + ATA_DEVICE), (uint8_t)(device | 0x40 | (is_48 ? 0 : (uint8_t)(lba >> 24) & 15)));
        if (t->is_verify)
            command = is_48 ? 0x42 : 0x40;
        else if (is_dma)
            command = t->is_write ? (is_48 ? 0x35 : 0xca) : (is_48 ? 0x25 : 0xc8);
        else
            command = t->is_write ? (is_48 ? 0x34 : 0x30) : (is_48 ? 0x24 : 0x20);
    }
    outb((uint16_t)(base + ATA_COMMAND), command);
    return true;
}

static uint8_t run_dma(const struct transfer *t, uint32_t count)
{
    uint16_t base = base_of(t->drive), bm = ata_bus_master(t->drive);
    uint32_t at = t->seg * 16u + t->off, bytes = count * 512, first = 0x10000 - (at & 0xffff);

    if (first > bytes)
        first = bytes;
    prd[0] = at;
    prd[1] = first & 0xffff;
    if (first == bytes) {
        prd[1] |= 0x80000000u;
    } else {
        prd[2] = at + first;
        prd[3] = (bytes - first) | 0x80000000u;
    }
    __asm__ volatile("" : : : "memory");
    outb((uint16_t)(bm + BM_COMMAND), 0);
    outl((uint16_t)(bm + BM_PRD), linear_of(prd));
    outb((uint16_t)(bm + BM_STATUS), inb((uint16_t)(bm + BM_STATUS)) | 0x06);
    if (!start_command(t, count, true))
        return 0x80;
    uint8_t direction = t->is_write ? 0 : 8;
    outb((uint16_t)(bm + BM_COMMAND), direction | 1);
    pause_400ns(base);
    struct timeout timeout = timeout_start(WAIT_MS);
    uint8_t status, bm_status;
    bool late = false;
    for (;;) {
        bm_status = inb((uint16_t)(bm + BM_STATUS));
        status = inb(control_of(base));
        if (!(status & BSY) && (!(bm_status & 1) || (status & (ERR | DF))))
            break;
        if (timeout_passed(&timeout)) {
            late = true;
            break;
        }
        yield();
    }
    outb((uint16_t)(bm + BM_COMMAND), 0);
    outb((uint16_t)(bm + BM_STATUS), bm_status | 0x06);
    status = inb((uint16_t)(base + ATA_STATUS));
    if (late)
        return 0x80;
    if ((status & (ERR | DF)) || (bm_status & 2))
        return error_code(base, status);
    return 0;
}

static uint8_t run_pio(const struct transfer *t, uint32_t count)
{
    uint16_t base = base_of(t->drive);

    if (!start_command(t, count, false))
        return 0x80;
    pause_400ns(base);
    if (!t->is_verify) {
        for (uint32_t n = 0; n < count; n++) {
            int status = wait_idle(base, WAIT_MS);
            if (status < 0 || (status & (ERR | DF)) || !(status & DRQ))
                return error_code(base, status);
            uint16_t off = (uint16_t)(t->off + n * 512);
            if (t->is_write)
                pio_out((uint16_t)(base + ATA_DATA), t->seg, off, 256);
            else
                pio_in((uint16_t)(base + ATA_DATA), t->seg, off, 256);
            pause_400ns(base);
            yield();
        }
    }
    int status = wait_idle(base, WAIT_MS);
    if (status < 0 || (status & (ERR | DF)))
        return error_code(base, status);
    return 0;
}

/* At most 127 sectors, in one segment: disk_transfer() cuts. */
uint8_t ata_transfer(struct transfer *t)
{
    uint8_t code = !t->is_verify && dma_is_possible(t) ? run_dma(t, t->count) : run_pio(t, t->count);
    outb(control_of(base_of(t->drive)), 0x08);
    return code;
}

uint8_t ata_recalibrate(struct drive *drive)
{
    uint16_t base = base_of(drive);
    outb(control_of(base), 0x08 | NIEN);
    if (!select_drive(base, (uint8_t)(0xa0 | (drive->unit & 1) << 4)))
        return 0x80;
    outb((uint16_t)(base + ATA_COMMAND), 0x10);
    pause_400ns(base);
    int status = wait_idle(base, WAIT_MS);
    outb(control_of(base), 0x08);
    return status < 0 ? 0x80 : 0;
}

/* --- Packets --- */

uint8_t atapi_packet(struct drive *drive, const uint8_t cdb[12], uint16_t seg, uint16_t off, uint32_t len,
                     uint32_t *got)
{
    uint16_t base = base_of(drive);
    uint32_t limit = len > 0xf800 ? 0xf800 : len;
    uint8_t code = 0;
    int status;

    *got = 0;
    outb(control_of(base), 0x08 | NIEN);
    if (!select_drive(base, (uint8_t)(0xa0 | (drive->unit & 1) << 4)))
        return 0x80;
    outb((uint16_t)(base + ATA_FEATURES), 0);
    outb((uint16_t)(base + ATA_LBA1), (uint8_t)limit);
    outb((uint16_t)(base + ATA_LBA2), (uint8_t)(limit >> 8));
    outb((uint16_t)(base + ATA_COMMAND), 0xa0);
    pause_400ns(base);
    status = wait_idle(base, WAIT_MS);
    if (status < 0 || !(status & DRQ)) {
        code = error_code(base, status);
        goto out;
    }
    pio_out((uint16_t)(base + ATA_DATA), DATA_SEG, (uint16_t)(uint32_t)cdb, 6);
    for (;;) {
        pause_400ns(base);
        status = wait_idle(base, WAIT_MS);
        if (status < 0 || (status & (ERR | DF))) {
            code = status < 0 ? 0x80 : 0x20;
            break;
        }
        if (!(status & DRQ))
            break;
        uint32_t bytes = inb((uint16_t)(base + ATA_LBA1)) | (uint32_t)inb((uint16_t)(base + ATA_LBA2)) << 8;
        uint32_t wanted = bytes > len - *got ? len - *got : bytes;
        pio_in((uint16_t)(base + ATA_DATA), seg, (uint16_t)(off + *got), wanted / 2);
        for (uint32_t rest = wanted & ~1u; rest < bytes; rest += 2)
            inw((uint16_t)(base + ATA_DATA));
        *got += wanted;
        yield();
    }
out:
    outb(control_of(base), 0x08);
    return code;
}

uint8_t atapi_read(struct drive *drive, uint32_t lba, uint32_t count, uint16_t seg, uint16_t off)
{
    uint8_t cdb[12] = {0x28,         0, (uint8_t)(lba >> 24),  (uint8_t)(lba >> 16), (uint8_t)(lba >> 8),
                       (uint8_t)lba, 0, (uint8_t)(count >> 8), (uint8_t)count};
    uint32_t got;
    uint8_t code = atapi_packet(drive, cdb, seg, off, count * 2048, &got);
    if (!code && got != count * 2048)
        code = 0x20;
    return code;
}

uint8_t atapi_ready(struct drive *drive)
{
    static const uint8_t test_unit_ready[12] = {0}, request_sense[12] = {0x03, 0, 0, 0, 18};
    static const uint8_t read_capacity[12] = {0x25};
    static uint8_t reply[18];
    uint32_t got;
    struct timeout t = timeout_start(5000);

    while (atapi_packet(drive, test_unit_ready, DATA_SEG, 0, 0, &got)) {
        uint8_t code = atapi_packet(drive, request_sense, DATA_SEG, (uint16_t)(uint32_t)reply, 18, &got);
        if (code || got < 14)
            return 0x20;
        if ((reply[2] & 15) == 2 && reply[12] == 0x3a)
            return 0x31; /* no medium */
        if (timeout_passed(&t))
            return 0xaa; /* not ready */
    }
    if (atapi_packet(drive, read_capacity, DATA_SEG, (uint16_t)(uint32_t)reply, 8, &got) || got < 8)
        return 0x20;
    drive->sectors = (((uint32_t)reply[0] << 24 | (uint32_t)reply[1] << 16 | (uint32_t)reply[2] << 8 | reply[3])) + 1;
    drive->block = (uint16_t)(reply[6] << 8 | reply[7]);
    return drive->block == 2048 ? 0 : 0x20;
}

/* --- Finding them --- */

static uint16_t identify[256];

static void copy_model(struct drive *drive)
{
    unsigned n = 0;
    for (unsigned i = 27; i <= 46; i++) {
        drive->model[n++] = (char)(identify[i] >> 8);
        drive->model[n++] = (char)identify[i];
    }
    while (n && (drive->model[n - 1] == ' ' || !drive->model[n - 1]))
        n--;
    drive->model[n] = 0;
}

static void add_disk(uint8_t unit)
{
    struct drive *drive = drive_add(DRIVE_HD);
    if (!drive)
        return;
    drive->unit = unit;
    drive->block = 512;
    drive->physical = (struct geometry){identify[1], identify[3], identify[6]};
    drive->is_lba = identify[49] & 0x200;
    drive->is_dma = bm_base && drive->is_lba && (identify[49] & 0x100);
    drive->is_lba48 = identify[83] & 0x400;
    if (drive->is_lba48)
        drive->sectors = (uint64_t)identify[103] << 48 | (uint64_t)identify[102] << 32 | (uint32_t)identify[101] << 16 |
                         identify[100];
    else if (drive->is_lba)
        drive->sectors = (uint32_t)identify[61] << 16 | identify[60];
    else
        drive->sectors = (uint32_t)identify[1] * identify[3] * identify[6];
    copy_model(drive);

    static uint8_t mbr[512];
    struct transfer t = {.drive = drive, .count = 1, .seg = DATA_SEG, .off = (uint16_t)(uint32_t)mbr};
    bool readable = !ata_transfer(&t);
    drive->logical = geometry_translate(drive->physical, drive->sectors, readable ? mbr : NULL);
    printf("hd%u: %s, %u MiB\n", hd_count - 1u, drive->model, (uint32_t)(drive->sectors >> 11));
    dprintf("hd%u: physical %u/%u/%u logical %u/%u/%u dma %u\n", hd_count - 1u, drive->physical.cylinders,
            drive->physical.heads, drive->physical.sectors, drive->logical.cylinders, drive->logical.heads,
            drive->logical.sectors, drive->is_dma);
}

static void add_cd(uint8_t unit)
{
    struct drive *drive = drive_add(DRIVE_CD);
    if (!drive)
        return;
    drive->unit = unit;
    drive->block = 2048;
    copy_model(drive);
    printf("cd%u: %s\n", cd_count - 1u, drive->model);
}

static bool identify_drive(uint16_t base, uint8_t unit, uint8_t command)
{
    if (!select_drive(base, (uint8_t)(0xa0 | (unit & 1) << 4)))
        return false;
    outb((uint16_t)(base + ATA_COMMAND), command);
    pause_400ns(base);
    if (inb((uint16_t)(base + ATA_STATUS)) == 0)
        return false;
    int status = wait_idle(base, 2000);
    if (status < 0 || (status & (ERR | DF)) || !(status & DRQ))
        return false;
    pio_in((uint16_t)(base + ATA_DATA), DATA_SEG, (uint16_t)(uint32_t)identify, 256);
    return true;
}

static void probe(uint8_t unit)
{
    uint16_t base = (unit & 2) ? 0x170 : 0x1f0;

    outb((uint16_t)(base + ATA_DEVICE), (uint8_t)(0xa0 | (unit & 1) << 4));
    pause_400ns(base);
    outb((uint16_t)(base + ATA_COUNT), 0x55);
    outb((uint16_t)(base + ATA_LBA0), 0xaa);
    if (inb((uint16_t)(base + ATA_COUNT)) != 0x55 || inb((uint16_t)(base + ATA_LBA0)) != 0xaa)
        return;
    if (identify_drive(base, unit, 0xec))
        add_disk(unit);
    else if (identify_drive(base, unit, 0xa1) && (identify[0] & 0x1f00) == 0x0500)
        add_cd(unit);
}

void ata_init(void)
{
    int bdf = pci_find_class(0xffff00, 0x010100, 0);
    if (bdf >= 0 && (pci_read((uint16_t)bdf, 0x09, 1) & 0x80))
        bm_base = pci_read((uint16_t)bdf, 0x20, 2) & 0xfff0;
    for (uint8_t channel = 0; channel < 2; channel++) {
        uint16_t base = channel ? 0x170 : 0x1f0;
        if (inb((uint16_t)(base + ATA_STATUS)) == 0xff)
            continue;
        outb(control_of(base), 0x08 | SRST | NIEN);
        pause_400ns(base);
        outb(control_of(base), 0x08 | NIEN);
        pause_400ns(base);
        wait_idle(base, 5000);
        probe((uint8_t)(channel * 2));
        probe((uint8_t)(channel * 2 + 1));
        outb(control_of(base), 0x08);
    }
}

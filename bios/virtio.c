/* Virtio disks, by their modern registers. Those are in memory above 1 MiB: we reach them through the window in
 * configuration space (VIRTIO 1.1, 4.1.4.7), so that nothing here needs another mode of the processor.
 *
 * One request at a time: header, data, status are three descriptors of a ring of four.
 */
#include "bios.h"

#define VENDOR       0x1af4
#define BLK          0x1001 /* transitional */
#define BLK_MODERN   0x1042
#define PCI_COMMAND  0x04
#define PCI_STATUS   0x06
#define PCI_CAP      0x34
#define CMD_MASTER   4u
#define STS_CAPS     0x10u
#define CAP_VENDOR   0x09
#define CAP_COMMON   1
#define CAP_NOTIFY   2
#define CAP_DEVICE   4
#define CAP_WINDOW   5
#define CAP_KINDS    6
#define FEATURE_SEL  8 /* struct virtio_pci_common_cfg, 4.1.4.3 */
#define FEATURES     12
#define STATUS       20
#define QUEUE_SELECT 22
#define QUEUE_SIZE   24
#define QUEUE_ENABLE 28
#define QUEUE_NOTIFY 30
#define QUEUE_ADDR   32 /* descriptors, driver's ring, device's ring: 8 bytes each */

#define ACKNOWLEDGE 1
#define DRIVER      2
#define DRIVER_OK   4
#define FEATURES_OK 8

#define F_FLUSH     (1u << 9) /* as with IDE, the drive's cache is on */
#define F_VERSION_1 1u        /* of the second word */

#define DESC_NEXT  1
#define DESC_WRITE 2

#define RING    4
#define WAIT_MS 10000
#define DISKS   4

struct disk {
    struct {
        uint32_t at, at_high, len;
        uint16_t flags, next;
    } desc[RING];
    struct {
        uint16_t flags, index, ring[RING], used_event;
    } avail;
    uint8_t status, pad;
    struct {
        uint16_t flags, index;
        uint32_t element[2 * RING];
        uint16_t avail_event;
    } used;
    struct {
        uint32_t type, priority, sector, sector_high;
    } header;
    /* not the device's */
    uint16_t bdf, sent;
    uint32_t notify;
    uint8_t window;
    struct {
        uint8_t bar;
        uint32_t offset;
    } at[CAP_KINDS];
} __attribute__((aligned(16)));

static struct disk disks[DISKS];
static unsigned disk_count;
static uint8_t bounce[512] __attribute__((aligned(16)));

/* --- Registers --- */

static void window_set(const struct disk *disk, uint8_t bar, uint32_t offset, unsigned size)
{
    pci_write(disk->bdf, (uint8_t)(disk->window + 4), 1, bar);
    pci_write(disk->bdf, (uint8_t)(disk->window + 8), 4, offset);
    pci_write(disk->bdf, (uint8_t)(disk->window + 12), 4, size);
}

static uint32_t reg_read(const struct disk *disk, unsigned kind, uint32_t offset, unsigned size)
{
    window_set(disk, disk->at[kind].bar, disk->at[kind].offset + offset, size);
    return pci_read(disk->bdf, (uint8_t)(disk->window + 16), size);
}

static void reg_write(const struct disk *disk, unsigned kind, uint32_t offset, unsigned size, uint32_t value)
{
    window_set(disk, disk->at[kind].bar, disk->at[kind].offset + offset, size);
    pci_write(disk->bdf, (uint8_t)(disk->window + 16), size, value);
}

/* --- Requests --- */

static void set_desc(struct disk *disk, unsigned n, uint32_t at, uint32_t len, uint16_t flags)
{
    disk->desc[n].at = at;
    disk->desc[n].len = len;
    disk->desc[n].flags = flags;
    disk->desc[n].next = (uint16_t)(n + 1);
}

/* Data at a bus address. An INT 13h status. */
static uint8_t request(struct disk *disk, uint64_t lba, uint32_t at, uint32_t bytes, bool is_write)
{
    volatile uint16_t *done = &disk->used.index;
    disk->header.type = is_write;
    disk->header.sector = (uint32_t)lba;
    disk->header.sector_high = (uint32_t)(lba >> 32);
    disk->status = 0xff;
    set_desc(disk, 0, linear_of(&disk->header), sizeof(disk->header), DESC_NEXT);
    set_desc(disk, 1, at, bytes, is_write ? DESC_NEXT : DESC_NEXT | DESC_WRITE);
    set_desc(disk, 2, linear_of(&disk->status), 1, DESC_WRITE);
    disk->avail.ring[disk->sent % RING] = 0;
    __asm__ volatile("" : : : "memory");
    disk->avail.index = ++disk->sent;
    __asm__ volatile("" : : : "memory");
    reg_write(disk, CAP_NOTIFY, disk->notify, 2, 0);
    struct timeout timeout = timeout_start(WAIT_MS);
    while (*done != disk->sent) {
        if (timeout_passed(&timeout))
            return 0x80;
        yield();
    }
    __asm__ volatile("" : : : "memory");
    return disk->status == 0 ? 0 : 0x20;
}

/* A paging caller's linear addresses are not the bus's: then by way of our own memory. */
uint8_t virtio_transfer(struct transfer *t)
{
    struct disk *disk = &disks[t->drive->unit];
    if (t->is_verify)
        return 0;
    if (!is_protected())
        return request(disk, t->lba, t->seg * 16u + t->off, t->count * 512, t->is_write);
    uint16_t own = (uint16_t)(uint32_t)bounce;
    for (uint32_t n = 0; n < t->count; n++) {
        uint16_t off = (uint16_t)(t->off + n * 512);
        if (t->is_write)
            far_copy(DATA_SEG, own, t->seg, off, 512);
        uint8_t code = request(disk, t->lba + n, linear_of(bounce), 512, t->is_write);
        if (code)
            return code;
        if (!t->is_write)
            far_copy(t->seg, off, DATA_SEG, own, 512);
    }
    return 0;
}

/* --- Finding them --- */

static bool find_registers(struct disk *disk)
{
    uint32_t multiple = 0;
    if (!(pci_read(disk->bdf, PCI_STATUS, 2) & STS_CAPS))
        return false;
    uint8_t at = (uint8_t)(pci_read(disk->bdf, PCI_CAP, 1) & 0xfc);
    for (unsigned left = 48; at && left; left--) {
        uint8_t kind = (uint8_t)pci_read(disk->bdf, (uint8_t)(at + 3), 1);
        if (pci_read(disk->bdf, at, 1) == CAP_VENDOR && kind < CAP_KINDS && !disk->at[kind].bar) {
            disk->at[kind].bar = (uint8_t)pci_read(disk->bdf, (uint8_t)(at + 4), 1);
            disk->at[kind].offset = pci_read(disk->bdf, (uint8_t)(at + 8), 4);
            if (kind == CAP_NOTIFY)
                multiple = pci_read(disk->bdf, (uint8_t)(at + 16), 4);
            if (kind == CAP_WINDOW)
                disk->window = at;
        }
        at = (uint8_t)(pci_read(disk->bdf, (uint8_t)(at + 1), 1) & 0xfc);
    }
    disk->notify = multiple;
    return disk->window && disk->at[CAP_COMMON].bar && disk->at[CAP_NOTIFY].bar && disk->at[CAP_DEVICE].bar;
}

static void set_address(const struct disk *disk, unsigned n, const void *ring)
{
    reg_write(disk, CAP_COMMON, QUEUE_ADDR + 8 * n, 4, linear_of(ring));
    reg_write(disk, CAP_COMMON, QUEUE_ADDR + 8 * n + 4, 4, 0);
}

static bool start(struct disk *disk)
{
    uint8_t status = ACKNOWLEDGE | DRIVER;
    pci_write(disk->bdf, PCI_COMMAND, 2, pci_read(disk->bdf, PCI_COMMAND, 2) | CMD_MASTER);
    reg_write(disk, CAP_COMMON, STATUS, 1, 0);
    struct timeout timeout = timeout_start(1000);
    while (reg_read(disk, CAP_COMMON, STATUS, 1)) {
        if (timeout_passed(&timeout))
            return false;
    }
    reg_write(disk, CAP_COMMON, STATUS, 1, ACKNOWLEDGE);
    reg_write(disk, CAP_COMMON, STATUS, 1, status);
    reg_write(disk, CAP_COMMON, 0, 4, 0);
    reg_write(disk, CAP_COMMON, FEATURE_SEL, 4, 0);
    reg_write(disk, CAP_COMMON, FEATURES, 4, reg_read(disk, CAP_COMMON, 4, 4) & F_FLUSH);
    reg_write(disk, CAP_COMMON, FEATURE_SEL, 4, 1);
    reg_write(disk, CAP_COMMON, FEATURES, 4, F_VERSION_1);
    status |= FEATURES_OK;
    reg_write(disk, CAP_COMMON, STATUS, 1, status);
    reg_write(disk, CAP_COMMON, QUEUE_SELECT, 2, 0);
    if (!(reg_read(disk, CAP_COMMON, STATUS, 1) & FEATURES_OK) || reg_read(disk, CAP_COMMON, QUEUE_SIZE, 2) < RING)
        return false;
    reg_write(disk, CAP_COMMON, QUEUE_SIZE, 2, RING);
    set_address(disk, 0, disk->desc);
    set_address(disk, 1, &disk->avail);
    set_address(disk, 2, &disk->used);
    disk->avail.flags = 1; /* no interrupts */
    disk->notify *= reg_read(disk, CAP_COMMON, QUEUE_NOTIFY, 2);
    reg_write(disk, CAP_COMMON, QUEUE_ENABLE, 2, 1);
    reg_write(disk, CAP_COMMON, STATUS, 1, status | DRIVER_OK);
    return true;
}

static void add_disk(uint16_t bdf)
{
    struct disk *disk = &disks[disk_count];
    memset(disk, 0, sizeof(*disk));
    disk->bdf = bdf;
    if (!find_registers(disk) || !start(disk)) {
        dprintf("virtio %x: no disk that we can use\n", bdf);
        return;
    }
    struct drive *drive = drive_add(DRIVE_HD);
    if (!drive)
        return;
    drive->unit = (uint8_t)disk_count++;
    drive->is_virtio = drive->is_lba = drive->is_lba48 = true;
    drive->block = 512;
    drive->sectors = reg_read(disk, CAP_DEVICE, 0, 4) | (uint64_t)reg_read(disk, CAP_DEVICE, 4, 4) << 32;
    drive->physical = (struct geometry){reg_read(disk, CAP_DEVICE, 16, 2), reg_read(disk, CAP_DEVICE, 18, 1),
                                        reg_read(disk, CAP_DEVICE, 19, 1)};
    memcpy(drive->model, "Virtio disk", 12);
    struct transfer t = {.drive = drive, .count = 1, .seg = DATA_SEG, .off = (uint16_t)(uint32_t)bounce, .lba = 0};
    bool readable = !virtio_transfer(&t);
    drive->logical = geometry_translate(drive->physical, drive->sectors, readable ? bounce : NULL);
    printf("hd%u: %s, %u MiB\n", hd_count - 1u, drive->model, (uint32_t)(drive->sectors >> 11));
}

void virtio_init(void)
{
    for (int bdf = pci_next(0); bdf >= 0; bdf = pci_next((unsigned)bdf + 1)) {
        uint32_t id = pci_read((uint16_t)bdf, 0, 4);
        if ((id == ((uint32_t)BLK << 16 | VENDOR) || id == ((uint32_t)BLK_MODERN << 16 | VENDOR)) &&
            disk_count < DISKS && hd_count < sizeof(hd_map))
            add_disk((uint16_t)bdf);
    }
}

/* Where it is, for EDD. */
uint16_t virtio_bdf(const struct drive *drive)
{
    return disks[drive->unit].bdf;
}

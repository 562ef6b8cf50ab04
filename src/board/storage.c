/* Drives, controllers and CMOS RAM.
 *
 * The CMOS bytes are those of the IBM AT (types of drives, type 47's geometry) and, for boot order and
 * translation, those that QEMU and Bochs use and their BIOSes read.
 */
#include "storage.h"

#include <string.h>

#include "host/block/blockdev.h"

#define CMOS_FLOPPY_TYPES  0x10
#define CMOS_DISK_TYPES    0x12
#define CMOS_EQUIPMENT     0x14
#define CMOS_DISK_EXTENDED 0x19 /* C:, then D: */
#define CMOS_DISK_GEOMETRY 0x1b /* nine bytes each */
#define CMOS_BOOT_THIRD    0x38
#define CMOS_TRANSLATION   0x39
#define CMOS_BOOT_ORDER    0x3d

enum translation { TRANSLATION_NONE, TRANSLATION_LBA, TRANSLATION_LARGE, TRANSLATION_RECHS };

struct geometry {
    uint16_t cylinders, heads, sectors;
    enum translation translation;
};

/* The geometry that made the partition table: its entries end at the end of a cylinder. */
static bool geometry_of_partitions(struct block *block, struct geometry *geometry)
{
    uint8_t mbr[512];
    if (!blockdev_peek(block, 0, mbr, sizeof(mbr)) || mbr[510] != 0x55 || mbr[511] != 0xaa)
        return false;
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *entry = mbr + 446 + 16 * i;
        uint32_t count = entry[12] | entry[13] << 8 | entry[14] << 16 | (uint32_t)entry[15] << 24;
        unsigned heads = entry[5] + 1u, sectors = entry[6] & 63;
        if (!count || sectors == 0 || heads == 1)
            continue;
        uint64_t cylinders = block_sectors(block) / (heads * sectors);
        if (cylinders < 1 || cylinders > 16383)
            continue;
        *geometry = (struct geometry){(uint16_t)cylinders, (uint16_t)heads, (uint16_t)sectors, 0};
        return true;
    }
    return false;
}

static struct geometry geometry_guess(struct block *block)
{
    struct geometry drive = {0}, table;
    ide_default_geometry(block_sectors(block), &drive.cylinders, &drive.heads, &drive.sectors);
    bool has_table = geometry_of_partitions(block, &table);
    if (has_table && table.heads <= 16) {
        drive = table;
        drive.translation = TRANSLATION_NONE;
    } else if (has_table) {
        /* The system that made it saw a BIOS's translation of the drive's own geometry. */
        drive.translation =
            drive.cylinders * drive.heads <= 131072 && table.heads < 128 ? TRANSLATION_LARGE : TRANSLATION_LBA;
    } else {
        drive.translation = drive.cylinders <= 1024                   ? TRANSLATION_NONE
                            : drive.cylinders * drive.heads <= 131072 ? TRANSLATION_LARGE
                                                                      : TRANSLATION_LBA;
    }
    return drive;
}

static void cmos_disk(struct rtc *rtc, unsigned n, const struct geometry *geometry)
{
    uint8_t at = (uint8_t)(CMOS_DISK_GEOMETRY + 9 * n);
    uint8_t types = rtc_get_cmos(rtc, CMOS_DISK_TYPES);

    rtc_set_cmos(rtc, CMOS_DISK_TYPES, types | (n ? 0x0f : 0xf0)); /* see the extended type */
    rtc_set_cmos(rtc, (uint8_t)(CMOS_DISK_EXTENDED + n), 47);
    rtc_set_cmos(rtc, at, (uint8_t)geometry->cylinders);
    rtc_set_cmos(rtc, at + 1, (uint8_t)(geometry->cylinders >> 8));
    rtc_set_cmos(rtc, at + 2, (uint8_t)geometry->heads);
    rtc_set_cmos(rtc, at + 3, 0xff); /* no write precompensation */
    rtc_set_cmos(rtc, at + 4, 0xff);
    rtc_set_cmos(rtc, at + 5, 0xc0 | (geometry->heads > 8 ? 0x08 : 0)); /* control byte: no retries */
    rtc_set_cmos(rtc, at + 6, (uint8_t)geometry->cylinders);            /* landing zone */
    rtc_set_cmos(rtc, at + 7, (uint8_t)(geometry->cylinders >> 8));
    rtc_set_cmos(rtc, at + 8, (uint8_t)geometry->sectors);
}

static void cmos_boot_order(struct rtc *rtc, const char *order)
{
    uint8_t code[3] = {0};
    for (unsigned i = 0; i < 3 && order[i]; i++)
        code[i] = order[i] == 'a' ? 1 : order[i] == 'c' ? 2 : order[i] == 'd' ? 3 : 4;
    rtc_set_cmos(rtc, CMOS_BOOT_ORDER, (uint8_t)(code[1] << 4 | code[0]));
    rtc_set_cmos(rtc, CMOS_BOOT_THIRD, (uint8_t)(code[2] << 4)); /* bit 0 clear: check the floppy's signature */
}

/* --- The user changes a medium --- */

#define CD_CHANGED(n) \
    static void cd_changed_##n(void *opaque) \
    { \
        ide_medium_changed(((struct storage *)opaque)->ide, n); \
    }
CD_CHANGED(0)
CD_CHANGED(1)
CD_CHANGED(2)
CD_CHANGED(3)
static void (*const cd_changed[DRIVES_IDE])(void *opaque) = {cd_changed_0, cd_changed_1, cd_changed_2, cd_changed_3};

static void floppy_changed_0(void *opaque)
{
    fdc_medium_changed(((struct storage *)opaque)->fdc, 0);
}

static void floppy_changed_1(void *opaque)
{
    fdc_medium_changed(((struct storage *)opaque)->fdc, 1);
}

static void (*const floppy_changed[DRIVES_FLOPPY])(void *opaque) = {floppy_changed_0, floppy_changed_1};

static bool ide_build(struct storage *storage, const struct drive_options *drives, struct pci_bus *pci,
                      const struct storage_wiring *wiring, GError **error)
{
    static const char *const label[DRIVES_IDE] = {"ide0-hd0", "ide0-hd1", "ide1-hd0", "ide1-hd1"};
    static const char *const cd_label[DRIVES_IDE] = {"ide0-cd0", "ide0-cd1", "ide1-cd0", "ide1-cd1"};
    struct ide_drive_config config[DRIVES_IDE] = {0};
    struct ide_wiring ide_wiring = {{wiring->ide_irq[0], wiring->ide_irq[1]}, wiring->bus_request};
    uint8_t translation = 0;

    rtc_set_cmos(storage->rtc, CMOS_DISK_TYPES, 0);
    for (unsigned n = 0; n < DRIVES_IDE; n++) {
        const struct drive_option *drive = &drives->ide[n];
        if (!drive->present)
            continue;
        struct block *block = blockdev_open(&drive->image, drive->is_cd ? cd_label[n] : label[n], error);
        if (!block)
            return false;
        if (drive->is_cd)
            blockdev_set_removable(block, cd_changed[n], storage, UINT64_MAX);
        config[n] = (struct ide_drive_config){
            .kind = drive->is_cd ? IDE_CD : IDE_DISK, .block = block, .serial = drive->serial};
        if (drive->is_cd)
            continue;
        struct geometry geometry = geometry_guess(block);
        config[n].cylinders = geometry.cylinders;
        config[n].heads = geometry.heads;
        config[n].sectors = geometry.sectors;
        translation |= (uint8_t)(geometry.translation << (2 * n));
        if (n < 2)
            cmos_disk(storage->rtc, n, &geometry);
    }
    rtc_set_cmos(storage->rtc, CMOS_TRANSLATION, translation);
    storage->ide = ide_new(pci, &ide_wiring, config);
    return true;
}

static bool floppy_build(struct storage *storage, const struct drive_options *drives,
                         const struct storage_wiring *wiring, GError **error)
{
    static const char *const label[DRIVES_FLOPPY] = {"floppy0", "floppy1"};
    struct block *block[DRIVES_FLOPPY] = {NULL, NULL};
    uint8_t types = 0;
    unsigned count = 0;

    for (unsigned n = 0; n < DRIVES_FLOPPY; n++) {
        const struct drive_option *drive = &drives->floppy[n];
        if (!drive->present)
            continue;
        block[n] = blockdev_open(&drive->image, label[n], error);
        if (!block[n])
            return false;
        blockdev_set_removable(block[n], floppy_changed[n], storage, 2880 * KiB);
        if (block[n]->has_medium && !fdc_fits(block[n]->size)) {
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                        "disk image '%s' is larger than any floppy (%llu KiB, 2880 at most)", drive->image.path,
                        (unsigned long long)(block[n]->size / KiB));
            return false;
        }
        types |= (uint8_t)((unsigned)fdc_type_of(block[n]) << (n ? 0 : 4));
        count++;
    }
    rtc_set_cmos(storage->rtc, CMOS_FLOPPY_TYPES, types);
    uint8_t equipment = rtc_get_cmos(storage->rtc, CMOS_EQUIPMENT) & 0x3e;
    if (count)
        equipment |= (uint8_t)(0x01 | (count - 1) << 6);
    rtc_set_cmos(storage->rtc, CMOS_EQUIPMENT, equipment);
    storage->dma = dma8237_new();
    const struct fdc_wiring fdc_wiring = {wiring->fdc_irq, wiring->bus_request, storage->dma};
    storage->fdc = fdc_new(&fdc_wiring, block);
    return true;
}

bool storage_build(struct storage *storage, const struct drive_options *drives, struct pci_bus *pci, struct rtc *rtc,
                   const struct storage_wiring *wiring, GError **error)
{
    memset(storage, 0, sizeof(*storage));
    storage->rtc = rtc;
    g_strlcpy(storage->boot_order, drives->boot_order, sizeof(storage->boot_order));
    if (!ide_build(storage, drives, pci, wiring, error) || !floppy_build(storage, drives, wiring, error))
        return false;
    cmos_boot_order(rtc, drives->boot_once[0] ? drives->boot_once : drives->boot_order);
    return true;
}

void storage_bus_granted(struct storage *storage)
{
    ide_bus_granted(storage->ide);
    fdc_bus_granted(storage->fdc);
}

void storage_end_boot_once(struct storage *storage)
{
    cmos_boot_order(storage->rtc, storage->boot_order);
}

void storage_close(struct storage *storage)
{
    blockdev_close_all();
}

void storage_free(struct storage *storage)
{
    if (storage->ide)
        ide_free(storage->ide);
    if (storage->fdc) {
        fdc_free(storage->fdc);
        dma8237_free(storage->dma);
    }
}

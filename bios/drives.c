/* The drives that were found, and their order by kind. */
#include "bios.h"

struct drive drives[DRIVE_MAX];
uint8_t floppy_count, hd_count, cd_count;
uint8_t floppy_map[2], hd_map[4], cd_map[4];
static unsigned drive_count;

struct drive *drive_add(enum drive_type type)
{
    if (drive_count == DRIVE_MAX)
        return NULL;
    uint8_t index = (uint8_t)drive_count++;
    drives[index].type = (uint8_t)type;
    if (type == DRIVE_FLOPPY)
        floppy_map[floppy_count++] = index;
    else if (type == DRIVE_HD)
        hd_map[hd_count++] = index;
    else
        cd_map[cd_count++] = index;
    return &drives[index];
}

void drives_announce(void)
{
    bootorder_sort_disks();
    poke8(BDA_SEG, BDA_HD_COUNT, hd_count);

    /* Fixed disk parameter tables of the first two, behind INT 41h and 46h. */
    for (unsigned i = 0; i < hd_count && i < 2; i++) {
        const struct drive *drive = &drives[hd_map[i]];
        uint16_t at = i ? EBDA_FDPT1 : EBDA_FDPT0, seg = ebda_seg();
        const struct geometry *l = &drive->logical, *p = &drive->physical;
        bool translated = l->cylinders != p->cylinders || l->heads != p->heads;
        poke16(seg, at, (uint16_t)l->cylinders);
        poke8(seg, (uint16_t)(at + 2), (uint8_t)l->heads);
        poke8(seg, (uint16_t)(at + 8), 0xc0 | (l->heads > 8 ? 8 : 0));
        poke16(seg, (uint16_t)(at + 12), (uint16_t)l->cylinders);
        poke8(seg, (uint16_t)(at + 14), (uint8_t)l->sectors);
        if (translated) { /* the translated form: signature, physical geometry, checksum */
            poke8(seg, (uint16_t)(at + 3), 0xa0);
            poke8(seg, (uint16_t)(at + 4), (uint8_t)p->sectors);
            poke16(seg, (uint16_t)(at + 9), (uint16_t)p->cylinders);
            poke8(seg, (uint16_t)(at + 11), (uint8_t)p->heads);
            uint8_t sum = 0;
            for (uint16_t n = 0; n < 15; n++)
                sum = (uint8_t)(sum + peek8(seg, (uint16_t)(at + n)));
            poke8(seg, (uint16_t)(at + 15), (uint8_t)-sum);
        }
        set_vector(i ? 0x46 : 0x41, seg, at);
    }
}

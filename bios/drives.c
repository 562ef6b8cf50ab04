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

/* The BIOS's parts that touch no hardware: also compiled for the host and tested there. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint8_t checksum(const void *bytes, size_t len); /* what makes the sum zero */

struct geometry {
    uint32_t cylinders;
    uint16_t heads, sectors;
};

/* What INT 13h shows of a disk: the partition table's own geometry if it has one, else the drive's, up to 1024
 * cylinders; beyond, LBA assist. mbr may be NULL. */
struct geometry geometry_translate(struct geometry physical, uint64_t sectors, const uint8_t *mbr);
bool geometry_to_lba(const struct geometry *g, unsigned cylinder, unsigned head, unsigned sector, uint32_t *lba);
/* By its size in bytes; sectors 0: no such floppy. */
struct geometry geometry_of_floppy(uint32_t sectors);

struct e820_entry {
    uint64_t base, size;
    uint32_t type;
};
#define E820_MAX      10
#define E820_RAM      1
#define E820_RESERVED 2
#define E820_ACPI     3
unsigned e820_build(struct e820_entry *map, uint32_t low_end, uint32_t below_4g, uint64_t above_4g);

/* Set-1 scan code and shift flags (40:17) to what INT 16h returns; 0: nothing. is_e0: behind an E0 prefix. */
uint16_t keymap_translate(uint8_t scancode, bool is_e0, uint8_t flags);

/* El Torito 1.0: the initial entry of a boot catalog. False: not a boot catalog, or not bootable. */
struct eltorito {
    uint8_t media;
    uint16_t load_seg, sectors;
    uint32_t lba;
};
bool eltorito_volume(const uint8_t sector[2048], uint32_t *catalog_lba);
bool eltorito_entry(const uint8_t catalog[64], struct eltorito *out);

uint8_t bcd_of(uint8_t value);
uint8_t bcd_value(uint8_t bcd);

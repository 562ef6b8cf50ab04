/* How much memory there is, by the CMOS bytes that the board fills in, and the map made from that. */
#include "bios.h"

uint32_t memory_below_4g;
uint64_t memory_above_4g;
struct e820_entry e820_map[E820_MAX];
unsigned e820_count;

void memory_size(void)
{
    uint32_t above_16m = (cmos_read(0x34) | (uint32_t)cmos_read(0x35) << 8) << 16;
    uint32_t above_1m = (cmos_read(0x30) | (uint32_t)cmos_read(0x31) << 8) << 10;
    memory_below_4g = above_16m ? above_16m + 0x1000000 : above_1m + 0x100000;
    memory_above_4g = (uint64_t)(cmos_read(0x5b) | (uint32_t)cmos_read(0x5c) << 8 | (uint32_t)cmos_read(0x5d) << 16)
                      << 16;
    uint16_t base_kib = 640 - EBDA_KIB;
    poke16(BDA_SEG, BDA_MEM_KIB, base_kib);
    e820_count = e820_build(e820_map, base_kib * 1024u, memory_below_4g, memory_above_4g);
}

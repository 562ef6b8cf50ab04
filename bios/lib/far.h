/* Memory outside our own data segment, by segment and offset. FS is the BIOS's scratch segment register:
 * the entry stubs save the caller's.
 */
#pragma once

#include <stdint.h>

#define FAR_ACCESS(bits, letter, cons) \
    static inline uint##bits##_t peek##bits(uint16_t seg, uint16_t off) \
    { \
        uint##bits##_t value; \
        uint32_t at = off; \
        __asm__ volatile("movw %w2, %%fs\n\tmov" letter " %%fs:(%1), %0" \
                         : "=" cons(value) \
                         : "r"(at), "r"(seg) \
                         : "memory"); \
        return value; \
    } \
    static inline void poke##bits(uint16_t seg, uint16_t off, uint##bits##_t value) \
    { \
        uint32_t at = off; \
        __asm__ volatile("movw %w2, %%fs\n\tmov" letter " %0, %%fs:(%1)" \
                         : \
                         : cons(value), "r"(at), "r"(seg) \
                         : "memory"); \
    }

FAR_ACCESS(8, "b", "q")
FAR_ACCESS(16, "w", "r")
FAR_ACCESS(32, "l", "r")

/* Copies len bytes upwards; neither side crosses the end of its segment. Through DS and 16-bit addresses: an X server's
 * emulator of the video BIOS forgets an override and an address size that stand before REP. */
static inline void far_copy(uint16_t dseg, uint16_t doff, uint16_t sseg, uint16_t soff, uint32_t len)
{
    uint32_t di = doff, si = soff;
    __asm__ volatile("pushw %%es\n\tpushw %%ds\n\tmovw %w3, %%es\n\tmovw %w4, %%ds\n\t"
                     "cld\n\trep movsb (%%si), %%es:(%%di)\n\tpopw %%ds\n\tpopw %%es"
                     : "+D"(di), "+S"(si), "+c"(len)
                     : "r"(dseg), "r"(sseg)
                     : "memory", "cc");
}

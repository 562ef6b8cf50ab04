/* Code that a kernel puts somewhere and calls, and what puts other memory in its place: PCI configuration, PAM. */
#pragma once

#include "guest.h"

#define HOT 40 /* calls after which an engine takes code for worth its while */

static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

/* EAX of a function that is called with `eax`. */
static inline uint32_t call(uint32_t at, uint32_t eax)
{
    __asm__ volatile("call *%1" : "+a"(eax) : "r"(at) : "ecx", "edx", "memory", "cc");
    return eax;
}

/* MOV EAX, n; RET */
static inline void put_function(uint32_t at, uint32_t n)
{
    volatile uint8_t *p = (volatile uint8_t *)at;
    p[0] = 0xb8;
    for (unsigned i = 0; i < 4; i++)
        p[1 + i] = (uint8_t)(n >> 8 * i);
    p[5] = 0xc3;
}

static inline bool gives(uint32_t at, uint32_t n)
{
    for (unsigned i = 0; i < HOT; i++) {
        if (call(at, ~n) != n)
            return false;
    }
    return true;
}

static inline uint32_t config_read(unsigned devfn, unsigned offset)
{
    outl(0xcf8, 0x80000000u | devfn << 8 | offset);
    return inl(0xcfc);
}
static inline void config_write(unsigned devfn, unsigned offset, uint32_t v)
{
    outl(0xcf8, 0x80000000u | devfn << 8 | offset);
    outl(0xcfc, v);
}

#define SHADOW    0xe0000u
#define PAM_E0000 0x5e

/* What 32 KiB from SHADOW are: bit 0 reads, bit 1 writes go to the DRAM. */
static inline void pam(unsigned bits)
{
    uint32_t v = config_read(0, PAM_E0000 & ~3u);
    unsigned shift = 8 * (PAM_E0000 & 3);
    config_write(0, PAM_E0000 & ~3u, (v & ~(0xffu << shift)) | (bits | bits << 4) << shift);
}

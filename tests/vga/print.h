/* What the guests in real mode share: output at port E9h, the video BIOS's calls, indexed registers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "../../bios/lib/far.h"
#include "../../bios/lib/io.h"

struct regs {
    uint32_t eax, ebx, ecx, edx, esi, edi, ebp;
    uint16_t es;
};

/* boot.S */
void int10(struct regs *regs);
void pm_call(struct regs *regs, uint32_t linear);

static inline void put(char c)
{
    outb(0xe9, c);
}

static inline void text(const char *string)
{
    while (*string)
        put(*string++);
}

static inline void hex(uint32_t value, unsigned digits)
{
    while (digits--)
        put("0123456789abcdef"[value >> (4 * digits) & 15]);
}

static inline void field(const char *name, uint32_t value, unsigned digits)
{
    put(' ');
    text(name);
    put('=');
    hex(value, digits);
}

static inline void end(void)
{
    put('\n');
}

static inline uint8_t indexed(uint16_t port, uint8_t index)
{
    outb(port, index);
    return inb(port + 1);
}

static inline struct regs call(uint16_t ax, uint16_t bx, uint16_t cx, uint16_t dx)
{
    struct regs regs = {.eax = ax | 0xabcd0000u, .ebx = bx, .ecx = cx, .edx = dx};
    int10(&regs);
    return regs;
}

static inline uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

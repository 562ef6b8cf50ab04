/* Windows: 4 GiB stretches of host address space in which guest linear address L is at base + L.
 * window.c is the only caller of mmap, munmap and mprotect on them (DESIGN.md, section 2). */
#pragma once

#include "types.h"

#define WINDOW_FIRST    0x200000000000ull
#define WINDOW_STRIDE   (8 * GiB)
#define WINDOW_SIZE     (4 * GiB)
#define WINDOWS_AT_MOST 64

static inline uint8_t *window_base(unsigned n)
{
    return (uint8_t *)(WINDOW_FIRST + n * WINDOW_STRIDE);
}

/* Makes the n first windows' lists (bt.h: WINDOW_READABLE). False: no address space. */
bool window_reserve(unsigned n);
/* What the list says of the page of gla. */
bool window_lists(const uint8_t *base, gla_t gla, bool write);

/* Reads vm.max_map_count; where /proc cannot be read the kernel's default is assumed. */
void window_init(void);

/* Maps len bytes at offset of the memory file to base + gla. populate: fault all pages in now. False when the kernel
 * refuses (too many mappings, no memory): the caller drops windows and tries again. */
bool window_map(uint8_t *base, gla_t gla, uint64_t offset, uint64_t len, bool writable, bool populate);
void window_unmap(uint8_t *base, gla_t gla, uint64_t len);
bool window_protect(uint8_t *base, gla_t gla, uint64_t len, bool writable);

/* True when so many mappings may be in use that some must be dropped first. Async-signal-safe. */
bool window_crowded(void);
bool window_is_roomy(void);     /* a quarter of them is free */
uint32_t window_mappings(void); /* at most */

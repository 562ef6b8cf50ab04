/* Scalar types with a meaning. Each kind of address has one type; see the converters named here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t gpa_t;  /* guest physical address; PAE guests use up to 36 bits */
typedef uint32_t gla_t;  /* guest linear address = segment base + goff; paging_walk() makes it a gpa_t */
typedef uint32_t goff_t; /* offset in a guest segment; seg_to_linear() makes it a gla_t */

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096u
#define PAGE_MASK  (~(uint32_t)(PAGE_SIZE - 1))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define KiB (1024ull)
#define MiB (1024ull * KiB)
#define GiB (1024ull * MiB)

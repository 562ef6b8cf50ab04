/* The generator of instruction tests: from a row of insn.def to bytes, registers and memory. */
#pragma once

#include "cpu.h"
#include "insn.h"
#include "native_case.h"

/* xoshiro256**, seeded by splitmix64: case n of a seed can be made without those before it. */
struct rng {
    uint64_t s[4];
};
void rng_seed(struct rng *r, uint64_t seed, uint64_t number);
uint64_t rng_next(struct rng *r);
static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
    return (uint32_t)(((rng_next(r) >> 32) * n) >> 32);
}
static inline bool rng_percent(struct rng *r, unsigned percent)
{
    return rng_below(r, 100) < percent;
}

struct gen_case {
    struct insn insn; /* decoded again from the bytes */
    uint8_t bytes[32];
    unsigned len;
    unsigned slot;
    bool code16;
    unsigned shape;         /* number in nt_shapes */
    uint32_t start;         /* linear address of the first byte */
    uint32_t flags_ignored; /* FL_* not to compare if the instruction completes */
};

/* True for rows the native CPU can judge in ring 3. */
bool gen_is_testable(const struct insn_row *row);

/* Makes a case of row for code slot `slot`; fills c's inputs (not the code). may_code16: 16-bit code and segments that
 * are not flat can be had. False: the dice made
 * something that cannot be run (call again; the generator goes on). */
bool gen_make(struct rng *r, const struct insn_row *row, unsigned slot, bool may_code16, struct gen_case *g,
              struct nt_case *c);

/* From given bytes (regression cases): fills g. inside: so many bytes before the end of a page, in a slot
 * that ends there; else 0. */
bool gen_fixed(const uint8_t *bytes, unsigned len, unsigned slot, bool code16, unsigned inside, unsigned shape,
               struct gen_case *g);

/* Puts g's bytes and the jumps around them into code (all NT_CODE_SIZE bytes of it). Ascending slots
 * must follow each other: some reach up to NT_SLOT_INSN bytes into the next. Without exit_entry there
 * are HLTs instead of the jumps. */
void gen_code(const struct gen_case *g, const uint32_t exit_entry[3], uint8_t *code);

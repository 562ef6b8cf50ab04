/* The registers as a debugger numbers them, and the descriptions that tell it so. The numbers 0 to 40 are gdb's own for
 * an i386, so that it understands them without a description.
 */
#pragma once

#include <glib.h>

#include "debug.h"

#define GDB_REGS_PLAIN 41u /* what is known without a description */
#define GDB_REG_BYTES  16u /* of the largest */
#define GDB_REG_PC     8u

unsigned gdb_regs_count(void);

/* Little endian; returns its size, 0: there is no such register. */
size_t gdb_reg_read(const struct cpu *cpu, unsigned number, uint8_t bytes[GDB_REG_BYTES]);
size_t gdb_reg_size(unsigned number);

/* False: it cannot have this value. One that has it already is left alone (its descriptor, too). */
bool gdb_reg_write(const struct debug_target *target, unsigned number, const uint8_t *value);

/* All of the first len bytes of a "g" packet's contents. Only what differs from what is there is written, the mode and
 * the segments first. False: some could not be. */
bool gdb_regs_write(const struct debug_target *target, const uint8_t *values, size_t len);

/* CS.base + EIP. */
gla_t gdb_pc(const struct cpu *cpu);

/* Code at CS:EIP is 16-bit code: what an 8086 would disassemble. */
bool gdb_is_16bit(const struct cpu *cpu);

/* The text of a description ("target.xml" or what it includes), or false: there is none of that name. */
bool gdb_xml(const char *annex, bool is_16bit, GString *out);

/* For gdb_xml.c. */
enum gdb_feature { GDB_CORE, GDB_SSE, GDB_SYSTEM, GDB_SEGMENTS, GDB_FEATURES };
struct gdb_reg {
    const char *name;
    uint8_t feature, size;
    const char *type;
    const char *group; /* NULL: general */
    uint8_t kind;      /* see gdb_regs.c */
    uint8_t number;    /* of its kind */
};
const struct gdb_reg *gdb_reg_row(unsigned number);

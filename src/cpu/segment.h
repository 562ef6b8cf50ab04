/* Segment registers and descriptors: checks, loads, conversion to linear addresses.
 * Intel SDM vol. 3A, chapters 3 and 5. */
#pragma once

#include "cpu.h"

struct desc { /* a descriptor as it lies in a table */
    uint32_t low, high;
};

/* System descriptor types (S = 0) */
#define SYS_TSS16_AVAIL 1u
#define SYS_LDT         2u
#define SYS_TSS16_BUSY  3u
#define SYS_CALL16      4u
#define SYS_TASK_GATE   5u
#define SYS_INT16       6u
#define SYS_TRAP16      7u
#define SYS_TSS32_AVAIL 9u
#define SYS_TSS32_BUSY  11u
#define SYS_CALL32      12u
#define SYS_INT32       14u
#define SYS_TRAP32      15u

static inline uint16_t desc_access(const struct desc *d)
{
    return (uint16_t)((d->high >> 8) & 0xf0ff);
}
static inline uint32_t desc_base(const struct desc *d)
{
    return d->low >> 16 | (d->high & 0xff) << 16 | (d->high & 0xff000000u);
}
static inline uint32_t desc_limit(const struct desc *d)
{
    uint32_t limit = (d->low & 0xffff) | (d->high & 0xf0000);
    return (desc_access(d) & ACC_G) ? limit << 12 | 0xfff : limit;
}
static inline unsigned desc_dpl(const struct desc *d)
{
    return (d->high >> 13) & 3;
}
static inline unsigned desc_type(const struct desc *d)
{
    return (d->high >> 8) & 0xf;
}
static inline bool desc_is_present(const struct desc *d)
{
    return (d->high >> 15) & 1;
}
static inline bool desc_is_system(const struct desc *d)
{
    return !((d->high >> 12) & 1);
}
static inline bool desc_is_code(const struct desc *d)
{
    return !desc_is_system(d) && (desc_type(d) & ACC_CODE);
}
static inline bool desc_is_data(const struct desc *d)
{
    return !desc_is_system(d) && !(desc_type(d) & ACC_CODE);
}
static inline bool desc_is_conforming(const struct desc *d)
{
    return desc_is_code(d) && (desc_type(d) & ACC_CONFORM);
}
static inline bool sel_is_null(uint16_t sel)
{
    return (sel & ~3) == 0;
}

/* Reads the descriptor of sel. Beyond the table's limit (or without an LDT): raises vector(sel). */
enum cpu_rc desc_read(struct cpu *cpu, uint16_t sel, enum vector vector, struct desc *d);
/* Like desc_read for LAR, LSL, VERR: *found instead of an exception. #PF is still possible. */
enum cpu_rc desc_look(struct cpu *cpu, uint16_t sel, struct desc *d, bool *found);
/* Writes the high dword back (accessed, busy bits). */
enum cpu_rc desc_write_high(struct cpu *cpu, uint16_t sel, uint32_t high);
/* Sets the accessed bit, in memory too, if it is clear. */
enum cpu_rc desc_touch(struct cpu *cpu, uint16_t sel, struct desc *d);

/* Fills a segment register from a checked descriptor. */
void seg_set(struct cpu *cpu, enum segreg reg, uint16_t sel, const struct desc *d);
void seg_set_null(struct cpu *cpu, enum segreg reg, uint16_t sel);
/* Real mode: base and rights follow the selector, the limit stays. V86: everything is fixed. */
void seg_set_real(struct cpu *cpu, enum segreg reg, uint16_t sel);

/* MOV/POP to ES, SS, DS, FS, GS in any mode, with all checks. */
enum cpu_rc seg_load(struct cpu *cpu, enum segreg reg, uint16_t sel);
/* The checks of an SS load for privilege level cpl; vector is #GP or #TS (inner stack, new task). */
enum cpu_rc seg_check_ss(struct cpu *cpu, uint16_t sel, unsigned cpl, enum vector vector, struct desc *d);
enum cpu_rc seg_load_ldtr(struct cpu *cpu, uint16_t sel, enum vector vector);

/* True when [offset, offset + n) may be accessed through s (as segment register contents). */
bool seg_allows(const struct cpu *cpu, const struct seg *s, goff_t offset, unsigned n, bool write);
/* Converts, with checks; raises #SS(0) for SS, #GP(0) else. */
enum cpu_rc seg_to_linear(struct cpu *cpu, unsigned reg, goff_t offset, unsigned n, bool write, gla_t *gla);

/* See gdb_regs.h. What gdb takes for the program counter and the stack pointer are linear addresses: CS.base + EIP,
 * SS.base + ESP. Where segments start at 0 that is EIP and ESP; everywhere else it is the only number that breakpoints,
 * disassembly and stack dumps can do anything with. The offsets are there under names of their own.
 */
#include "gdb_regs.h"

#include <string.h>

/* Beyond enum debug_register. */
enum { KIND_PC = 64, KIND_SP, KIND_NOTHING };

#define GPR(name_, type_, number_) \
    { \
        name_, GDB_CORE, 4, type_, NULL, DEBUG_GPR, number_ \
    }
#define SEG(name_, seg_) \
    { \
        name_, GDB_CORE, 4, "int32", NULL, DEBUG_SEG, seg_ \
    }
#define ST(n_) \
    { \
        "st" #n_, GDB_CORE, 10, "i387_ext", NULL, DEBUG_ST, n_ \
    }
#define FCTL(name_, reg_) \
    { \
        name_, GDB_CORE, 4, "int", "float", reg_, 0 \
    }
#define XMM(n_) \
    { \
        "xmm" #n_, GDB_SSE, 16, "vec128", NULL, DEBUG_XMM, n_ \
    }
#define SYS(name_, type_, reg_, n_) \
    { \
        name_, GDB_SYSTEM, 4, type_, "system", reg_, n_ \
    }
#define OWN(name_, reg_, n_) \
    { \
        name_, GDB_SEGMENTS, 4, "uint32", "system", reg_, n_ \
    }

static const struct gdb_reg rows[] = {
    GPR("eax", "int32", 0),
    GPR("ecx", "int32", 1),
    GPR("edx", "int32", 2),
    GPR("ebx", "int32", 3),
    {"esp", GDB_CORE, 4, "data_ptr", NULL, KIND_SP, 0},
    GPR("ebp", "data_ptr", 5),
    GPR("esi", "int32", 6),
    GPR("edi", "int32", 7),
    {"eip", GDB_CORE, 4, "code_ptr", NULL, KIND_PC, 0},
    {"eflags", GDB_CORE, 4, "i386_eflags", NULL, DEBUG_EFLAGS, 0},
    SEG("cs", SEG_CS),
    SEG("ss", SEG_SS),
    SEG("ds", SEG_DS),
    SEG("es", SEG_ES),
    SEG("fs", SEG_FS),
    SEG("gs", SEG_GS),
    ST(0),
    ST(1),
    ST(2),
    ST(3),
    ST(4),
    ST(5),
    ST(6),
    ST(7),
    FCTL("fctrl", DEBUG_FCTRL),
    FCTL("fstat", DEBUG_FSTAT),
    FCTL("ftag", DEBUG_FTAG),
    FCTL("fiseg", DEBUG_FISEG),
    FCTL("fioff", DEBUG_FIOFF),
    FCTL("foseg", DEBUG_FOSEG),
    FCTL("fooff", DEBUG_FOOFF),
    FCTL("fop", DEBUG_FOP),
    XMM(0),
    XMM(1),
    XMM(2),
    XMM(3),
    XMM(4),
    XMM(5),
    XMM(6),
    XMM(7),
    {"mxcsr", GDB_SSE, 4, "i386_mxcsr", "vector", DEBUG_MXCSR, 0},
    SYS("fs_base", "int32", DEBUG_SEG_BASE, SEG_FS),
    SYS("gs_base", "int32", DEBUG_SEG_BASE, SEG_GS),
    SYS("k_gs_base", "int32", KIND_NOTHING, 0), /* QEMU has it here, an i386 nowhere */
    SYS("cr0", "i386_cr0", DEBUG_CR, 0),
    SYS("cr2", "int32", DEBUG_CR, 2),
    SYS("cr3", "int32", DEBUG_CR, 3),
    SYS("cr4", "i386_cr4", DEBUG_CR, 4),
    SYS("cr8", "int32", DEBUG_CR, 8),
    SYS("efer", "i386_efer", DEBUG_EFER, 0),
    OWN("cs_base", DEBUG_SEG_BASE, SEG_CS),
    OWN("ss_base", DEBUG_SEG_BASE, SEG_SS),
    OWN("ds_base", DEBUG_SEG_BASE, SEG_DS),
    OWN("es_base", DEBUG_SEG_BASE, SEG_ES),
    OWN("eip_offset", DEBUG_EIP, 0),
    OWN("esp_offset", DEBUG_GPR, 4),
};

unsigned gdb_regs_count(void)
{
    return G_N_ELEMENTS(rows);
}

const struct gdb_reg *gdb_reg_row(unsigned number)
{
    return number < G_N_ELEMENTS(rows) ? &rows[number] : NULL;
}

size_t gdb_reg_size(unsigned number)
{
    return number < G_N_ELEMENTS(rows) ? rows[number].size : 0;
}

/* --- Reading --- */

gla_t gdb_pc(const struct cpu *cpu)
{
    return cpu->seg[SEG_CS].base + cpu->eip;
}

bool gdb_is_16bit(const struct cpu *cpu)
{
    return !cpu_is_protected(cpu) || !cpu_code32(cpu);
}

static uint32_t linear_sp(const struct cpu *cpu)
{
    return cpu->seg[SEG_SS].base + (cpu_stack32(cpu) ? cpu->gpr[4] : cpu->gpr[4] & 0xffff);
}

/* The tag word of FSTENV: two bits for each register of the stack's memory, 3 empty, 2 special, 1 zero, 0 valid. */
static uint32_t full_tag(const struct fxstate *fpu)
{
    uint32_t tags = 0;
    unsigned top = fpu->fsw >> 11 & 7;
    for (unsigned reg = 0; reg < 8; reg++) {
        const uint8_t *st = fpu->st[(reg - top) & 7];
        unsigned exponent = (st[8] | st[9] << 8) & 0x7fff, tag = 0;
        uint64_t mantissa;
        memcpy(&mantissa, st, sizeof(mantissa));
        if (!(fpu->ftw >> reg & 1))
            tag = 3;
        else if (exponent == 0 && mantissa == 0)
            tag = 1;
        else if (exponent == 0 || exponent == 0x7fff || !(mantissa >> 63))
            tag = 2;
        tags |= tag << 2 * reg;
    }
    return tags;
}

static uint32_t control_register(const struct cpu *cpu, unsigned number)
{
    switch (number) {
    case 0:
        return cpu->cr0;
    case 2:
        return cpu->cr2;
    case 3:
        return cpu->cr3;
    case 4:
        return cpu->cr4;
    default:
        return 0; /* CR8 */
    }
}

static uint32_t read32(const struct cpu *cpu, const struct gdb_reg *row)
{
    switch (row->kind) {
    case KIND_PC:
        return gdb_pc(cpu);
    case KIND_SP:
        return linear_sp(cpu);
    case DEBUG_GPR:
        return cpu->gpr[row->number];
    case DEBUG_EIP:
        return cpu->eip;
    case DEBUG_EFLAGS:
        return cpu->eflags;
    case DEBUG_SEG:
        return cpu->seg[row->number].sel;
    case DEBUG_SEG_BASE:
        return cpu->seg[row->number].base;
    case DEBUG_CR:
        return control_register(cpu, row->number);
    case DEBUG_EFER:
        return (uint32_t)cpu->efer;
    case DEBUG_FCTRL:
        return cpu->fpu.fcw;
    case DEBUG_FSTAT:
        return cpu->fpu.fsw;
    case DEBUG_FTAG:
        return full_tag(&cpu->fpu);
    case DEBUG_FISEG:
        return cpu->fpu.fcs;
    case DEBUG_FIOFF:
        return cpu->fpu.fip;
    case DEBUG_FOSEG:
        return cpu->fpu.fds;
    case DEBUG_FOOFF:
        return cpu->fpu.fdp;
    case DEBUG_FOP:
        return cpu->fpu.fop;
    case DEBUG_MXCSR:
        return cpu->fpu.mxcsr;
    default:
        return 0; /* KIND_NOTHING */
    }
}

size_t gdb_reg_read(const struct cpu *cpu, unsigned number, uint8_t bytes[GDB_REG_BYTES])
{
    const struct gdb_reg *row = gdb_reg_row(number);
    if (!row)
        return 0;
    if (row->kind == DEBUG_ST) {
        memcpy(bytes, cpu->fpu.st[row->number], row->size);
    } else if (row->kind == DEBUG_XMM) {
        memcpy(bytes, cpu->fpu.xmm[row->number], row->size);
    } else {
        uint32_t value = GUINT32_TO_LE(read32(cpu, row));
        memcpy(bytes, &value, sizeof(value));
    }
    return row->size;
}

/* --- Writing --- */

static bool write32(const struct debug_target *target, enum debug_register reg, unsigned number, uint32_t value)
{
    uint32_t bytes = GUINT32_TO_LE(value);
    return target->write_register(target->opaque, reg, number, (const uint8_t *)&bytes, sizeof(bytes));
}

/* The offset of a linear address in a segment; in real and V86 mode, where it has none in this one, the segment is
 * moved: to 0 for the first 64 KiB, else to the start of the 64 KiB that the address is in. */
static bool linear_to_offset(const struct debug_target *target, enum segreg seg, uint32_t linear, uint32_t *offset)
{
    const struct cpu *cpu = target->cpu(target->opaque);
    *offset = linear - cpu->seg[seg].base;
    if (cpu_is_protected(cpu))
        return true;
    if (*offset <= 0xffff)
        return true;
    if (linear > 0xffff0 + 0xffff)
        return false;
    uint32_t sel = linear > 0xfffff ? 0xffff : linear >> 4 & 0xf000;
    *offset = linear - (sel << 4);
    return write32(target, DEBUG_SEG, seg, sel);
}

static bool write_pc(const struct debug_target *target, uint32_t linear)
{
    uint32_t offset;
    return linear_to_offset(target, SEG_CS, linear, &offset) && write32(target, DEBUG_EIP, 0, offset);
}

static bool write_sp(const struct debug_target *target, uint32_t linear)
{
    uint32_t offset;
    if (!linear_to_offset(target, SEG_SS, linear, &offset))
        return false;
    const struct cpu *cpu = target->cpu(target->opaque);
    if (!cpu_stack32(cpu)) {
        if (offset > 0xffff)
            return false;
        offset |= cpu->gpr[4] & 0xffff0000;
    }
    return write32(target, DEBUG_GPR, 4, offset);
}

bool gdb_reg_write(const struct debug_target *target, unsigned number, const uint8_t *value)
{
    const struct gdb_reg *row = gdb_reg_row(number);
    uint8_t now[GDB_REG_BYTES];
    uint32_t value32;
    if (!row)
        return false;
    gdb_reg_read(target->cpu(target->opaque), number, now);
    if (memcmp(now, value, row->size) == 0)
        return true;
    memcpy(&value32, value, sizeof(value32));
    value32 = GUINT32_FROM_LE(value32);
    switch (row->kind) {
    case KIND_PC:
        return write_pc(target, value32);
    case KIND_SP:
        return write_sp(target, value32);
    case KIND_NOTHING:
        return true;
    case DEBUG_SEG:
        return value32 <= 0xffff && write32(target, DEBUG_SEG, row->number, value32);
    default:
        return target->write_register(target->opaque, (enum debug_register)row->kind, row->number, value, row->size);
    }
}

/* Earlier ones decide what later ones mean. */
static unsigned write_order(const struct gdb_reg *row)
{
    switch (row->kind) {
    case DEBUG_CR:
    case DEBUG_EFER:
        return 0;
    case DEBUG_EFLAGS: /* VM */
        return 1;
    case DEBUG_SEG:
        return 2;
    case DEBUG_SEG_BASE:
        return 3;
    default:
        return 4;
    }
}

bool gdb_regs_write(const struct debug_target *target, const uint8_t *values, size_t len)
{
    bool changed[G_N_ELEMENTS(rows)] = {false}, ok = true;
    unsigned offset = 0, count = 0, start[G_N_ELEMENTS(rows)];
    for (; count < G_N_ELEMENTS(rows) && offset + rows[count].size <= len; count++) {
        uint8_t now[GDB_REG_BYTES];
        gdb_reg_read(target->cpu(target->opaque), count, now);
        changed[count] = memcmp(now, values + offset, rows[count].size) != 0;
        start[count] = offset;
        offset += rows[count].size;
    }
    if (offset != len)
        return false;
    for (unsigned order = 0; order <= 4; order++) {
        for (unsigned i = 0; i < count; i++) {
            if (changed[i] && write_order(&rows[i]) == order)
                ok &= gdb_reg_write(target, i, values + start[i]);
        }
    }
    return ok;
}

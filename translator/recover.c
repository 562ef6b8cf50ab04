/* From a place in translated code back to exact guest state, through the rows recorded with each block. */
#include "log.h"
#include "tcache.h"
#include "bt.h"
#include "block.h"

static const struct trow *row_at(const uint8_t *pc, const struct tblock **block, bool *exact)
{
    const struct tblock *b = tcache_block_at(pc);
    if (!b)
        return NULL;
    const struct trow *row = tblock_row(b, pc);
    *block = b;
    *exact = row->host == (uint32_t)(pc - b->host);
    return row;
}

bool tr_x87_find(const struct bt *bt, uint32_t host, struct x87_place *place)
{
    const uint8_t *pc = (const uint8_t *)(uintptr_t)host;
    if (!tr_in_code(pc))
        return false;
    const struct tblock *b = tcache_block_at(pc);
    if (!b || !b->x87)
        return false;
    unsigned i = tblock_row(b, pc)->insn;
    if (!(b->x87[i] & X87_INSN))
        return false;
    *place = (struct x87_place){.eip = b->eip + (uint32_t)b->insn_off[i] + (b->jpage ? bt->x87_bias : 0),
                                .cs_base = b->cs_base,
                                .mode = b->mode,
                                .fop = b->x87[i] & X87_FOP,
                                .has_operand = b->x87[i] & X87_MEM};
    return true;
}

enum tr_where tr_where(const void *pc)
{
    const struct tblock *b;
    bool exact;
    const struct trow *row = row_at(pc, &b, &exact);
    if (tcache_is_popfq(pc))
        return TR_POPF;
    if (!row || !exact)
        return TR_INSIDE;
    return row->kind == ROW_POPF                                                             ? TR_POPF
           : row->kind == ROW_INSN || row->kind == ROW_STRING || row->kind == ROW_STRING_SEG ? TR_BOUNDARY
                                                                                             : TR_INSIDE;
}

void tr_take_registers(struct bt *bt, const ucontext_t *uc, int32_t delta)
{
    const greg_t *r = uc->uc_mcontext.gregs;
    struct cpu *cpu = &bt->cpu;
    cpu->gpr[EAX] = (uint32_t)r[REG_RAX];
    cpu->gpr[ECX] = (uint32_t)r[REG_RCX];
    cpu->gpr[EDX] = (uint32_t)r[REG_RDX];
    cpu->gpr[EBX] = (uint32_t)r[REG_RBX];
    cpu->gpr[ESP] = (uint32_t)r[REG_R13] + (uint32_t)delta;
    cpu->gpr[EBP] = (uint32_t)r[REG_RBP];
    cpu->gpr[ESI] = (uint32_t)r[REG_RSI];
    cpu->gpr[EDI] = (uint32_t)r[REG_RDI];
    bt->host_flags = ((uint32_t)r[REG_EFL] & (FL_ARITH | FL_DF)) | FL_FIXED1 | FL_IF;
}

/* A register of which `low` bits (16 or 32) are new. */
static uint32_t merge(uint32_t old, uint32_t value, bool low16)
{
    return low16 ? (old & 0xffff0000u) | (value & 0xffff) : value;
}

static void recover_string(struct cpu *cpu, const greg_t *r, unsigned arg)
{
    bool low16 = arg & STRING_16;
    if (arg & STRING_SI)
        cpu->gpr[ESI] = merge((uint32_t)r[REG_R10], cpu->gpr[ESI] - cpu->seg[arg & STRING_SEG].base, low16);
    if (arg & STRING_DI)
        cpu->gpr[EDI] = merge((uint32_t)r[REG_R11], cpu->gpr[EDI] - cpu->seg[SEG_ES].base, low16);
    if (arg & STRING_REP)
        cpu->gpr[ECX] = merge((uint32_t)r[REG_R9], cpu->gpr[ECX], low16);
}

bool tr_recover(struct bt *bt, ucontext_t *uc)
{
    bt->recovered++;
    const struct tblock *b;
    bool exact;
    const struct trow *row = row_at((const uint8_t *)uc->uc_mcontext.gregs[REG_RIP], &b, &exact);
    if (!row)
        return false;
    tr_take_registers(bt, uc, row->delta);
    bt->cpu.eip = b->eip + (uint32_t)b->insn_off[row->insn];
    if (b->jpage)
        bt->cpu.eip += (uint32_t)uc->uc_mcontext.gregs[REG_R12];
    if (row->kind == ROW_STRING_SEG)
        recover_string(&bt->cpu, uc->uc_mcontext.gregs, row->arg);
    if (row->kind == ROW_FLAGS) {
        greg_t *rsp = &uc->uc_mcontext.gregs[REG_RSP];
        bt->host_flags = (*(const uint32_t *)(uintptr_t)*rsp & (FL_ARITH | FL_DF)) | FL_FIXED1 | FL_IF;
        *rsp += 8;
    }
    if (row->kind == ROW_SWAPPED) {
        uint32_t *v = &bt->cpu.gpr[row->arg];
        *v = (*v & 0xffff0000) | (*v & 0xff) << 8 | (*v >> 8 & 0xff);
    }
    return true;
}

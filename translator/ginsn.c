/* Guest instruction decoding with Zydis, and classing for the translator (Intel SDM vol. 2). */
#include "ginsn.h"

#include <string.h>
#include <Zydis/Zydis.h>

#include "log.h"

static struct {
    bool ready;                        /* the decoders have been set up: with the first instruction */
    ZydisDecoder decoder16, decoder32; /* for 16-bit and 32-bit code */
} zydis;

static void ginsn_init(void)
{
    ZydisDecoderInit(&zydis.decoder32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    ZydisDecoderInit(&zydis.decoder16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    /* MPX, CET, TZCNT, LZCNT do not exist here: their encodings mean what they meant before. */
    ZydisDecoder *all[] = {&zydis.decoder16, &zydis.decoder32};
    for (unsigned i = 0; i < 2; i++) {
        ZydisDecoderEnableMode(all[i], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
        ZydisDecoderEnableMode(all[i], ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
        ZydisDecoderEnableMode(all[i], ZYDIS_DECODER_MODE_TZCNT, ZYAN_FALSE);
        ZydisDecoderEnableMode(all[i], ZYDIS_DECODER_MODE_LZCNT, ZYAN_FALSE);
    }
}

static enum goperand operand_kind(ZydisRegister reg)
{
    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_GPR8:
        return GO_GPR8;
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
        return GO_GPR;
    default:
        return GO_OTHER;
    }
}

static uint8_t reg_id(ZydisRegister reg)
{
    return reg == ZYDIS_REGISTER_NONE ? GREG_NONE : (uint8_t)ZydisRegisterGetId(reg);
}

/* The plain integer instructions whose host encoding is the guest's, operands aside. */
static bool is_plain_integer(ZydisMnemonic m)
{
    switch (m) {
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_ADC:
    case ZYDIS_MNEMONIC_SBB:
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_XOR:
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_TEST:
    case ZYDIS_MNEMONIC_XCHG:
    case ZYDIS_MNEMONIC_INC:
    case ZYDIS_MNEMONIC_DEC:
    case ZYDIS_MNEMONIC_NEG:
    case ZYDIS_MNEMONIC_NOT:
    case ZYDIS_MNEMONIC_MUL:
    case ZYDIS_MNEMONIC_IMUL:
    case ZYDIS_MNEMONIC_DIV:
    case ZYDIS_MNEMONIC_IDIV:
    case ZYDIS_MNEMONIC_SHL:
    case ZYDIS_MNEMONIC_SHR:
    case ZYDIS_MNEMONIC_SAR:
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR:
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD:
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
    case ZYDIS_MNEMONIC_BSF:
    case ZYDIS_MNEMONIC_BSR:
    case ZYDIS_MNEMONIC_MOVZX:
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_CBW:
    case ZYDIS_MNEMONIC_CWDE:
    case ZYDIS_MNEMONIC_CWD:
    case ZYDIS_MNEMONIC_CDQ:
    case ZYDIS_MNEMONIC_XADD:
    case ZYDIS_MNEMONIC_CMPXCHG:
    case ZYDIS_MNEMONIC_CMPXCHG8B:
    case ZYDIS_MNEMONIC_CLC:
    case ZYDIS_MNEMONIC_STC:
    case ZYDIS_MNEMONIC_CMC:
    case ZYDIS_MNEMONIC_LAHF:
    case ZYDIS_MNEMONIC_SAHF:
    case ZYDIS_MNEMONIC_CLD:
    case ZYDIS_MNEMONIC_STD:
        return true;
    default:
        return false;
    }
}

static uint8_t class_base(const struct ginsn *g, const ZydisDecodedInstruction *zi, uint32_t isa)
{
    ZydisMnemonic m = zi->mnemonic;
    uint8_t op = zi->opcode;

    if (g->map == 0) {
        if (op >= 0x40 && op <= 0x4f)
            return G_INCDEC;
        if (op >= 0x50 && op <= 0x57)
            return G_PUSH_R;
        if (op >= 0x58 && op <= 0x5f)
            return G_POP_R;
        if (op >= 0x70 && op <= 0x7f)
            return G_JCC;
        if (op == 0x90)
            return G_GENERIC; /* NOP, PAUSE */
        if (op >= 0x91 && op <= 0x97)
            return G_XCHG_AX;
        if (op >= 0xb0 && op <= 0xbf)
            return G_OPREG_IMM;
        switch (op) {
        case 0x06:
        case 0x0e:
        case 0x16:
        case 0x1e:
            return G_PUSH_SEG;
        case 0x07:
        case 0x1f:
            return G_POP_SEG;
        case 0x60:
            return G_PUSHA;
        case 0x61:
            return G_POPA;
        case 0x68:
        case 0x6a:
            return G_PUSH_I;
        case 0x8c:
            return G_MOV_FROM_SEG;
        case 0x8d:
            return g->is_mem ? G_LEA : G_INTERP;
        case 0x8e:
            return g->reg == SEG_CS || g->reg == SEG_SS || g->reg > SEG_GS ? G_INTERP : G_MOV_TO_SEG;
        case 0x8f:
            return g->reg == 0 ? G_POP_M : G_INTERP;
        case 0x9c:
            return G_PUSHF;
        case 0x9d:
            return G_POPF;
        case 0xa0:
        case 0xa1:
        case 0xa2:
        case 0xa3:
            return G_MOFFS;
        case 0xa4:
        case 0xa5:
        case 0xa6:
        case 0xa7:
        case 0xaa:
        case 0xab:
        case 0xac:
        case 0xad:
        case 0xae:
        case 0xaf:
            return G_STRING;
        case 0xc2:
        case 0xc3:
            return G_RET;
        case 0x9a:
            return G_CALL_FAR;
        case 0xea:
            return G_JMP_FAR;
        case 0xc4:
        case 0xc5:
            return g->is_mem ? G_LOAD_FAR : G_INTERP;
        case 0xca:
        case 0xcb:
            return G_RET_FAR;
        case 0xc9:
            return G_LEAVE;
        case 0xcd:
            return G_INT;
        case 0xcf:
            return G_IRET;
        case 0xd7:
            return G_XLAT;
        case 0xe0:
        case 0xe1:
        case 0xe2:
            return G_LOOP;
        case 0xe3:
            return G_JCXZ;
        case 0xe4:
        case 0xe5:
        case 0xec:
        case 0xed:
            return G_IN;
        case 0xe6:
        case 0xe7:
        case 0xee:
        case 0xef:
            return G_OUT;
        case 0xe8:
            return G_CALL;
        case 0xe9:
        case 0xeb:
            return G_JMP;
        case 0xfa:
            return G_CLI;
        case 0xfb:
            return G_STI;
        case 0x88:
        case 0x89:
        case 0x8a:
        case 0x8b:
        case 0xc6:
        case 0xc7:
            return m == ZYDIS_MNEMONIC_MOV ? G_GENERIC : G_INTERP;
        case 0xff:
            if (g->reg == 2)
                return G_CALL_IND;
            if (g->reg == 4)
                return G_JMP_IND;
            if (g->reg == 6)
                return G_PUSH_M;
            if ((g->reg == 3 || g->reg == 5) && g->is_mem)
                return g->reg == 3 ? G_CALL_FAR : G_JMP_FAR;
            if (g->reg > 1)
                return G_INTERP;
            return G_GENERIC;
        }
    } else if (g->map == 1) {
        if (op >= 0x80 && op <= 0x8f)
            return G_JCC;
        if (op >= 0x90 && op <= 0x9f)
            return G_GENERIC; /* SETcc */
        if (op >= 0x40 && op <= 0x4f)
            return isa & GISA_CMOV ? G_GENERIC : G_INTERP;
        if (op >= 0xc8 && op <= 0xcf)
            return g->opsize == 32 ? G_BSWAP : G_INTERP;
        switch (op) {
        case 0x01:
            return g->reg == 7 && g->is_mem ? G_INVLPG : G_INTERP;
        case 0x1e:
        case 0x1f:
        case 0x18:
        case 0x19:
        case 0x1a:
        case 0x1b:
        case 0x1c:
        case 0x1d:
            return isa & GISA_CMOV ? G_NOP : G_INTERP; /* hint NOPs came with the P6 */
        case 0x20:
            return G_MOV_FROM_CR;
        case 0x31:
            return G_RDTSC;
        case 0x34:
            return isa & GISA_SEP ? G_SYSENTER : G_INTERP;
        case 0x35:
            return isa & GISA_SEP ? G_SYSEXIT : G_INTERP;
        case 0xa0:
        case 0xa8:
            return G_PUSH_SEG;
        case 0xa1:
        case 0xa9:
            return G_POP_SEG;
        case 0xb4:
        case 0xb5:
            return g->is_mem ? G_LOAD_FAR : G_INTERP;
        }
    }
    return is_plain_integer(m) ? G_GENERIC : G_INTERP;
}

static uint8_t class_of(struct ginsn *g, const ZydisDecodedInstruction *zi, uint32_t isa)
{
    switch (zi->meta.isa_ext) {
    case ZYDIS_ISA_EXT_BASE:
        return class_base(g, zi, isa);
    case ZYDIS_ISA_EXT_PAUSE:
        return G_GENERIC;
    case ZYDIS_ISA_EXT_X87:
        g->fpu = true;
        switch (zi->mnemonic) {
        case ZYDIS_MNEMONIC_FNSTENV: /* these show or set FIP and FDP, which the host has its own of */
        case ZYDIS_MNEMONIC_FNINIT:
        case ZYDIS_MNEMONIC_FLDENV:
        case ZYDIS_MNEMONIC_FNSAVE:
        case ZYDIS_MNEMONIC_FRSTOR:
        case ZYDIS_MNEMONIC_INVALID:
            return G_INTERP;
        default:
            return isa & GISA_FPU ? G_GENERIC : G_INTERP;
        }
    case ZYDIS_ISA_EXT_MMX:
        g->fpu = true;
        if (zi->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ)
            return G_INTERP;
        return isa & GISA_MMX ? G_GENERIC : G_INTERP;
    case ZYDIS_ISA_EXT_SSE:
    case ZYDIS_ISA_EXT_SSE2:
        if (zi->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ || zi->mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU ||
            zi->mnemonic == ZYDIS_MNEMONIC_FXSAVE || zi->mnemonic == ZYDIS_MNEMONIC_FXRSTOR)
            return G_INTERP;
        g->fpu = g->sse = true;
        if (zi->meta.category == ZYDIS_CATEGORY_PREFETCH || zi->mnemonic == ZYDIS_MNEMONIC_SFENCE ||
            zi->mnemonic == ZYDIS_MNEMONIC_LFENCE || zi->mnemonic == ZYDIS_MNEMONIC_MFENCE)
            g->fpu = g->sse = false; /* hints and fences: no #NM */
        return isa & (zi->meta.isa_ext == ZYDIS_ISA_EXT_SSE ? GISA_SSE : GISA_SSE2) ? G_GENERIC : G_INTERP;
    case ZYDIS_ISA_EXT_SSE3:
        g->fpu = g->sse = true;
        return isa & GISA_SSE3 ? G_GENERIC : G_INTERP;
    case ZYDIS_ISA_EXT_SSSE3:
        g->fpu = g->sse = true;
        return isa & GISA_SSSE3 ? G_GENERIC : G_INTERP;
    case ZYDIS_ISA_EXT_SSE4:
        g->fpu = g->sse = zi->mnemonic != ZYDIS_MNEMONIC_POPCNT && zi->mnemonic != ZYDIS_MNEMONIC_CRC32;
        if (zi->mnemonic == ZYDIS_MNEMONIC_POPCNT)
            return isa & GISA_POPCNT ? G_GENERIC : G_INTERP;
        /* Zydis does not tell 4.1 from 4.2 here: both, or the interpreter decides. */
        return (~isa & (GISA_SSE41 | GISA_SSE42)) == 0 ? G_GENERIC : G_INTERP;
    case ZYDIS_ISA_EXT_MOVBE:
        return isa & GISA_MOVBE ? G_GENERIC : G_INTERP;
    default:
        return G_INTERP;
    }
}

/* Which arithmetic flags are read, surely written, possibly written. Undefined flags do not count as
 * written, except AF after logic operations, which hardware clears. */
static void ginsn_flags(struct ginsn *g, const ZydisDecodedInstruction *zi)
{
    const ZydisAccessedFlags *f = zi->cpu_flags;
    if (!f)
        return;
    g->flags_read = f->tested & FL_ARITH;
    g->flags_write = (f->modified | f->set_0 | f->set_1 | f->undefined) & FL_ARITH;
    g->flags_kill = (f->modified | f->set_0 | f->set_1) & ~f->undefined & FL_ARITH;
    switch (zi->mnemonic) {
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR:
    case ZYDIS_MNEMONIC_TEST:
        g->flags_kill |= FL_AF;
        break;
    case ZYDIS_MNEMONIC_SHL:
    case ZYDIS_MNEMONIC_SHR:
    case ZYDIS_MNEMONIC_SAR:
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR:
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD: {
        bool by_one = g->map == 0 && (g->opcode == 0xd0 || g->opcode == 0xd1);
        bool imm = (g->map == 0 && (g->opcode == 0xc0 || g->opcode == 0xc1)) ||
                   (g->map == 1 && (g->opcode == 0xa4 || g->opcode == 0xac));
        if (!by_one && !(imm && (g->imm & 31)))
            g->flags_kill = 0; /* a count of zero leaves all flags alone */
        break;
    }
    default:
        break;
    }
    if (g->gclass == G_STRING && g->rep)
        g->flags_kill = 0;
    if (g->gclass == G_POPF)
        g->flags_kill = g->flags_write = FL_ARITH;
    if (g->gclass == G_PUSHF)
        g->flags_read = FL_ARITH;
}

bool ginsn_decode_zydis(struct ginsn *g, const uint8_t *bytes, unsigned avail, uint32_t eip, bool code32, uint32_t isa)
{
    if (!zydis.ready) {
        ginsn_init();
        zydis.ready = true;
    }
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    if (avail > 15)
        avail = 15;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(code32 ? &zydis.decoder32 : &zydis.decoder16, bytes, avail, &zi, ops)))
        return false;

    memset(g, 0, sizeof *g);
    g->eip = eip;
    g->len = zi.length;
    memcpy(g->bytes, bytes, zi.length);
    g->mnemonic = (uint16_t)zi.mnemonic;
    g->seg = SEG_DS;
    g->base = g->index = GREG_NONE;
    if (zi.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
        g->gclass = G_INTERP;
        return true;
    }
    g->map = zi.opcode_map == ZYDIS_OPCODE_MAP_0F     ? 1
             : zi.opcode_map == ZYDIS_OPCODE_MAP_0F38 ? 2
             : zi.opcode_map == ZYDIS_OPCODE_MAP_0F3A ? 3
                                                      : 0;
    g->opcode = zi.opcode;
    g->opsize = zi.operand_width;
    g->adsize = zi.address_width;
    bool raw66 = false;
    uint8_t rep = 0;
    for (unsigned i = 0; i < zi.raw.prefix_count; i++) {
        switch (zi.raw.prefixes[i].value) {
        case 0x66:
            raw66 = true;
            break;
        case 0xf2:
        case 0xf3:
            rep = zi.raw.prefixes[i].value;
            break;
        case 0xf0:
            g->lock = 1;
            break;
        }
    }
    g->has_modrm = (zi.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0;
    if (g->has_modrm) {
        g->reg = zi.raw.modrm.reg;
        g->rm = zi.raw.modrm.rm;
        g->is_mem = zi.raw.modrm.mod != 3;
        g->reg_kind = g->rm_kind = GO_OTHER;
    }
    for (unsigned i = 0; i < zi.operand_count; i++) {
        const ZydisDecodedOperand *o = &ops[i];
        if (o->type == ZYDIS_OPERAND_TYPE_REGISTER) {
            if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG)
                g->reg_kind = operand_kind(o->reg.value);
            else if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
                g->rm_kind = operand_kind(o->reg.value);
        } else if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM ||
                                                            o->encoding == ZYDIS_OPERAND_ENCODING_DISP16_32_64 ||
                                                            o->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN)) {
            g->seg = reg_id(o->mem.segment);
            g->base = reg_id(o->mem.base);
            g->index = reg_id(o->mem.index);
            g->scale = o->mem.index == ZYDIS_REGISTER_NONE ? 0 : o->mem.scale == 8 ? 3 : (uint8_t)(o->mem.scale >> 1);
            g->disp = (uint32_t)o->mem.disp.value;
            if (g->adsize == 16)
                g->disp &= 0xffff;
            g->mem_size = o->size / 8 > 255 ? 0 : (uint8_t)(o->size / 8);
            if (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
                g->mem_write = true;
            if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
                g->rm_kind = GO_NONE;
        }
    }
    if (g->is_mem)
        g->rm_kind = GO_NONE;
    if (zi.raw.imm[0].size) {
        g->imm_size = zi.raw.imm[0].size / 8;
        g->imm = (uint32_t)zi.raw.imm[0].value.u;
        g->imm_signed = zi.raw.imm[0].is_signed;
    }
    if (zi.raw.imm[1].size) {
        g->imm_size = 0xff; /* ENTER, far pointers: no generic form */
        g->far_sel = (uint16_t)zi.raw.imm[1].value.u;
    }
    if (zi.raw.imm[0].is_relative) {
        g->relative = true;
        g->target = eip + g->len + (uint32_t)zi.raw.imm[0].value.s;
        if (g->opsize == 16)
            g->target &= 0xffff;
    }

    g->gclass = class_of(g, &zi, isa);
    if (g->gclass == G_STRING || g->gclass == G_XLAT) /* their memory operands are implied */
        g->seg = zi.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_CS   ? SEG_CS
                 : zi.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_SS ? SEG_SS
                 : zi.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_ES ? SEG_ES
                 : zi.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_FS ? SEG_FS
                 : zi.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_GS ? SEG_GS
                                                               : SEG_DS;
    if (g->imm_size == 0xff && g->gclass != G_CALL_FAR && g->gclass != G_JMP_FAR)
        g->gclass = G_INTERP;
    /* Which prefixes mean something: in integer code 66 is the operand size (whatever CS.D), in
     * MMX/SSE code 66, F2 and F3 select the instruction; x87 has neither. */
    if (g->fpu && zi.meta.isa_ext != ZYDIS_ISA_EXT_X87) {
        g->p66 = raw66;
        g->rep = rep;
    } else if (zi.meta.isa_ext == ZYDIS_ISA_EXT_SSE4 || zi.meta.isa_ext == ZYDIS_ISA_EXT_MOVBE) {
        g->p66 = g->opsize == 16;
        g->rep = rep;
    } else if (zi.meta.isa_ext != ZYDIS_ISA_EXT_X87) {
        g->p66 = g->opsize == 16;
        if (g->gclass == G_STRING || zi.meta.isa_ext == ZYDIS_ISA_EXT_PAUSE)
            g->rep = rep;
        if (g->map == 1 && (g->opcode == 0xbc || g->opcode == 0xbd))
            g->rep = 0; /* BSF/BSR, also when spelled TZCNT/LZCNT */
    }
    if (g->lock && !(g->gclass == G_GENERIC && g->is_mem && g->mem_write))
        g->gclass = G_INTERP; /* #UD */
    ginsn_flags(g, &zi);
    return true;
}

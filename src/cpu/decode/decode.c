/* Instruction decoder: insn.def made into tables, and the walk over prefixes, opcode, ModRM, SIB,
 * displacement and immediates. Intel SDM vol. 2, chapter 2. Pure: no state, no struct cpu. */
#include "insn.h"

#include <string.h>

/* The letters of insn.def's flag columns. */
#define IF_NONE   0u
#define IF_A      FL_AF
#define IF_AC     (FL_AF | FL_CF)
#define IF_C      FL_CF
#define IF_D      FL_DF
#define IF_O      FL_OF
#define IF_OA     (FL_OF | FL_AF)
#define IF_OAC    (FL_OF | FL_AF | FL_CF)
#define IF_OC     (FL_OF | FL_CF)
#define IF_OSAP   (FL_OF | FL_SF | FL_AF | FL_PF)
#define IF_OSAPC  (IF_OSAP | FL_CF)
#define IF_OSZAP  (IF_OSAP | FL_ZF)
#define IF_OSZAPC FL_ARITH
#define IF_OSZP   (FL_OF | FL_SF | FL_ZF | FL_PF)
#define IF_OSZPC  (IF_OSZP | FL_CF)
#define IF_SZP    (FL_SF | FL_ZF | FL_PF)
#define IF_SZAP   (IF_SZP | FL_AF)
#define IF_SZAPC  (IF_SZAP | FL_CF)
#define IF_SZPC   (IF_SZP | FL_CF)
#define IF_Z      FL_ZF
#define IF_ZPC    (FL_ZF | FL_PF | FL_CF)
#define IF_ALL    (FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | FL_ID)

enum { EXT_X = INSN_EXT_ANY };
/* A numeric ext needs no name; X does. */
#define X EXT_X

#define IS_MODRM(op) (OP_##op <= OP_MODRM_LAST)

const struct insn_row insn_rows[INSN_COUNT] = {
    [INSN_UD] =
        {.name = "(bad)", .id = INSN_UD, .count = 1, .ext = X, .op = {OP_NONE, OP_NONE, OP_NONE}, .class = CLASS_UD},
#define INSN(id_, name_, map_, opcode_, count_, ext_, prefix_, mod_, a_, b_, c_, class_, read_, written_, undefined_, \
             feature_, attr_) \
    [INSN_##id_] = {.name = name_, \
                    .id = INSN_##id_, \
                    .map = map_, \
                    .opcode = opcode_, \
                    .count = count_, \
                    .ext = ext_, \
                    .prefix = PFX_##prefix_, \
                    .mod = MOD_##mod_, \
                    .op = {OP_##a_, OP_##b_, OP_##c_}, \
                    .class = CLASS_##class_, \
                    .feature = FEAT_##feature_, \
                    .has_modrm = (ext_) != X || MOD_##mod_ != MOD_ANY || IS_MODRM(a_) || IS_MODRM(b_) || IS_MODRM(c_), \
                    .attr = attr_, \
                    .flags_read = IF_##read_, \
                    .flags_written = IF_##written_, \
                    .flags_undefined = IF_##undefined_},
#include "insn.def"
#undef INSN
};

/* The last row of each opcode. Later initialisers replace earlier ones on purpose. */
#pragma GCC diagnostic push
#ifdef __clang__
#pragma GCC diagnostic ignored "-Winitializer-overrides"
#else
#pragma GCC diagnostic ignored "-Woverride-init"
#endif
static const uint16_t last_row[4 * 256] = {
#define INSN(id, name, map, opcode, count, ...) [(map)*256 + (opcode)...(map) * 256 + (opcode) + (count)-1] = INSN_##id,
#include "insn.def"
#undef INSN
};
#pragma GCC diagnostic pop
#undef X

uint16_t insn_last_row(unsigned map, unsigned opcode)
{
    return last_row[map * 256 + opcode];
}

struct cursor {
    const uint8_t *bytes;
    unsigned pos, avail;
    bool short_of; /* ran out of avail, or of 15 */
};

static uint8_t fetch8(struct cursor *c)
{
    if (c->pos >= c->avail) {
        c->short_of = true;
        c->pos++;
        return 0;
    }
    return c->bytes[c->pos++];
}

static uint16_t fetch16(struct cursor *c)
{
    uint16_t low = fetch8(c);
    return (uint16_t)(low | fetch8(c) << 8);
}

static uint32_t fetch32(struct cursor *c)
{
    uint32_t low = fetch16(c);
    return low | (uint32_t)fetch16(c) << 16;
}

/* SDM vol. 2, table 2-1 */
static void decode_modrm16(struct insn *insn, struct cursor *c)
{
    static const uint8_t bases[8] = {EBX, EBX, EBP, EBP, ESI, EDI, EBP, EBX};
    static const uint8_t indexes[8] = {ESI, EDI, ESI, EDI, REG_NONE, REG_NONE, REG_NONE, REG_NONE};

    insn->base = bases[insn->rm];
    insn->index = indexes[insn->rm];
    if (insn->mod == 0 && insn->rm == 6) {
        insn->base = REG_NONE;
        insn->disp = (int16_t)fetch16(c);
    } else if (insn->mod == 1) {
        insn->disp = (int8_t)fetch8(c);
    } else if (insn->mod == 2) {
        insn->disp = (int16_t)fetch16(c);
    }
}

/* SDM vol. 2, tables 2-2 and 2-3 */
static void decode_modrm32(struct insn *insn, struct cursor *c)
{
    insn->base = insn->rm;
    if (insn->rm == 4) {
        uint8_t sib = fetch8(c);
        insn->scale = sib >> 6;
        insn->index = (sib >> 3) & 7;
        if (insn->index == 4) {
            insn->index = REG_NONE;
            insn->scale = 0;
        }
        insn->base = sib & 7;
    }
    if (insn->mod == 0 && insn->base == EBP) {
        insn->base = REG_NONE;
        insn->disp = (int32_t)fetch32(c);
    } else if (insn->mod == 1) {
        insn->disp = (int8_t)fetch8(c);
    } else if (insn->mod == 2) {
        insn->disp = (int32_t)fetch32(c);
    }
}

static bool prefix_fits(const struct insn *insn, uint8_t prefix)
{
    switch ((enum insn_prefix)prefix) {
    case PFX_ANY:
        return true;
    case PFX_NP:
        return insn->rep == REP_NONE && !insn->prefix66;
    case PFX_PN:
        return insn->rep == REP_NONE;
    case PFX_P66:
        return insn->rep == REP_NONE && insn->prefix66;
    case PFX_PF2:
        return insn->rep == REPNE;
    case PFX_PF3:
        return insn->rep == REP;
    }
    return false;
}

static bool row_fits(const struct insn *insn, const struct insn_row *row)
{
    if (row->ext != INSN_EXT_ANY && row->ext != (row->ext >= 0xc0 ? insn->modrm : insn->reg))
        return false;
    if (row->mod == MOD_MEM ? insn->mod == 3 : row->mod == MOD_REG && insn->mod != 3)
        return false;
    return prefix_fits(insn, row->prefix);
}

static uint16_t find_row(const struct insn *insn, uint16_t last)
{
    const struct insn_row *row = &insn_rows[last];
    for (uint16_t id = last; id != INSN_UD; id--) {
        const struct insn_row *r = &insn_rows[id];
        if (r->map != row->map || insn->opcode < r->opcode || insn->opcode >= r->opcode + r->count)
            break;
        if (row_fits(insn, r))
            return id;
    }
    return INSN_UD;
}

static void decode_immediate(struct insn *insn, uint8_t kind, struct cursor *c)
{
    switch (kind) {
    case OP_Ib:
        insn->imm = fetch8(c);
        break;
    case OP_Ib2:
        insn->imm2 = fetch8(c);
        break;
    case OP_Ibs:
    case OP_Jb:
        insn->imm = (uint32_t)(int8_t)fetch8(c);
        break;
    case OP_Iw:
        insn->imm = fetch16(c);
        break;
    case OP_Iz:
        insn->imm = insn->opsize == 2 ? fetch16(c) : fetch32(c);
        break;
    case OP_Jz:
        insn->imm = insn->opsize == 2 ? (uint32_t)(int16_t)fetch16(c) : fetch32(c);
        break;
    case OP_Ap:
        insn->imm = insn->opsize == 2 ? fetch16(c) : fetch32(c);
        insn->imm2 = fetch16(c);
        break;
    case OP_Ob:
    case OP_Ov:
        insn->disp = insn->adsize == 2 ? fetch16(c) : (int32_t)fetch32(c);
        break;
    default:
        break;
    }
}

/* Consumes prefixes; returns the first other byte. */
static uint8_t decode_prefixes(struct insn *insn, struct cursor *c, bool code32)
{
    bool prefix67 = false;
    uint8_t byte;

    for (;;) {
        byte = fetch8(c);
        if (c->short_of)
            break;
        switch (byte) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            insn->seg_override = (byte >> 3) & 3;
            continue;
        case 0x64:
        case 0x65:
            insn->seg_override = SEG_FS + (byte & 1);
            continue;
        case 0x66:
            insn->prefix66 = true;
            continue;
        case 0x67:
            prefix67 = true;
            continue;
        case 0xf0:
            insn->lock = true;
            continue;
        case 0xf2:
        case 0xf3:
            insn->rep = byte;
            continue;
        default:
            break;
        }
        break;
    }
    insn->opsize = code32 != insn->prefix66 ? 4 : 2;
    insn->adsize = code32 != prefix67 ? 4 : 2;
    return byte;
}

int insn_decode(struct insn *insn, const uint8_t *bytes, unsigned avail, bool code32)
{
    struct cursor c = {.bytes = bytes, .avail = avail < INSN_MAX_LEN ? avail : INSN_MAX_LEN};

    memset(insn, 0, sizeof(*insn));
    insn->seg_override = insn->base = insn->index = REG_NONE;
    insn->opcode = decode_prefixes(insn, &c, code32);
    if (insn->opcode == 0x0f && !c.short_of) {
        insn->map = 1;
        insn->opcode = fetch8(&c);
        if (insn->opcode == 0x38 || insn->opcode == 0x3a) {
            insn->map = insn->opcode == 0x38 ? 2 : 3;
            insn->opcode = fetch8(&c);
        }
    }
    insn->seg = insn->seg_override != REG_NONE ? insn->seg_override : (uint8_t)SEG_DS;

    uint16_t last = last_row[insn->map * 256 + insn->opcode];
    if (insn_rows[last].has_modrm) {
        insn->has_modrm = true;
        insn->modrm = fetch8(&c);
        insn->mod = insn->modrm >> 6;
        insn->reg = (insn->modrm >> 3) & 7;
        insn->rm = insn->modrm & 7;
        if (insn->map == 1 && (insn->opcode & 0xfc) == 0x20)
            insn->mod = 3; /* MOV CR/DR: see the preface of insn.def */
        if (insn->mod != 3) {
            if (insn->adsize == 2)
                decode_modrm16(insn, &c);
            else
                decode_modrm32(insn, &c);
            if (insn->seg_override == REG_NONE && (insn->base == EBP || insn->base == ESP))
                insn->seg = SEG_SS;
        }
    }
    insn->id = find_row(insn, last);
    insn->row = &insn_rows[insn->id];
    for (unsigned i = 0; i < 3; i++)
        decode_immediate(insn, insn->row->op[i], &c);

    if (c.short_of)
        return avail < INSN_MAX_LEN ? 0 : -1; /* what was decoded from missing bytes says nothing */
    insn->len = (uint8_t)c.pos;
    memcpy(insn->bytes, bytes, c.pos);
    return insn->len;
}

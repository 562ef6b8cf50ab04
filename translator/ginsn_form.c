/* Guest instruction decoding without Zydis (Intel SDM vol. 2, chapter 2).
 *
 * All instructions of a form, that is of the same opcode, operand size and kind of operands, decode alike but for
 * registers, address, displacement and immediate. The first one of each form is decoded by Zydis and kept; from then
 * on what differs is filled in here, which costs a tenth. Nothing here knows what an opcode means. Forms whose
 * instructions differ in more than that are left to Zydis for good.
 */
#include <string.h>

#include "ginsn.h"

/* What is known of an opcode, and of which before any has been seen. */
#define OPC_PLAIN  0x01u /* has been seen, has no ModRM byte */
#define OPC_MODRM  0x02u /* has been seen, has one */
#define OPC_NEVER  0x04u /* a prefix, or means different things by more than the form */
#define OPC_MEMORY 0x08u /* this is so of its register forms only */
#define OPC_REG0   0x10u /* and this of those with ModRM.reg other than 0 */
#define OPC_SHIFT  0x20u /* a count of 0 makes a difference */
#define OPC_MOFFS  0x40u /* an offset instead of ModRM */
static const uint8_t opcodes_at_first[2][256] = {
    {
        [0x26] = OPC_NEVER,          [0x2e] = OPC_NEVER,
        [0x36] = OPC_NEVER,          [0x3e] = OPC_NEVER,
        [0x62] = OPC_NEVER,          [0x64 ... 0x67] = OPC_NEVER,
        [0x8f] = OPC_REG0,  /* XOP */
        [0x9a] = OPC_NEVER, /* two immediates */
        [0xa0 ... 0xa3] = OPC_MOFFS, [0xc0] = OPC_SHIFT,
        [0xc1] = OPC_SHIFT,          [0xc4] = OPC_MEMORY,
        [0xc5] = OPC_MEMORY,                                       /* VEX */
        [0xc6] = OPC_REG0,           [0xc7] = OPC_REG0,            /* XABORT, XBEGIN */
        [0xc8] = OPC_NEVER,          [0xd8 ... 0xdf] = OPC_MEMORY, /* x87 */
        [0xea] = OPC_NEVER,          [0xf0] = OPC_NEVER,
        [0xf2] = OPC_NEVER,          [0xf3] = OPC_NEVER,
    },
    {
        [0x00 ... 0x01] = OPC_NEVER,
        [0x0f] = OPC_NEVER,           /* 3DNow!: the opcode comes last */
        [0x18 ... 0x1f] = OPC_MEMORY, /* ENDBR and its like */
        [0x20 ... 0x27] = OPC_NEVER,  /* ModRM.mod means nothing */
        [0x38] = OPC_NEVER,
        [0x3a] = OPC_NEVER, /* further maps */
        [0xa4] = OPC_SHIFT,
        [0xac] = OPC_SHIFT,
        [0xa6 ... 0xa7] = OPC_NEVER, /* VIA */
        [0xae] = OPC_MEMORY,
        [0xc7] = OPC_MEMORY, /* fences and so on */
    },
};

#define FORM_UNKNOWN 0 /* in the tables below */
#define FORM_NEVER   1
#define FORMS_MAX    4096
#define KNOWN        2048

/* What has been learnt. Only the vCPU thread decodes. */
static struct {
    uint8_t opcodes[2][256]; /* OPC_*, by map: all 0 before the first instruction, see learn_form */
    uint32_t isa;            /* GISA_* that the forms hold for */
    unsigned form_count;     /* how much of forms is in use; 0 before the first instruction */
    struct ginsn forms[FORMS_MAX];
    /* By code32, prefix 66, map, opcode; ModRM.reg and whether the operand is memory. */
    uint16_t form_of[2][2][2][256][16];
    /* What has no form and was decoded lately: blocks overlap, and each looks at the instructions around it. */
    struct known {
        struct ginsn g; /* g.len 0: nothing here */
        uint32_t isa;   /* and what it was decoded for */
        bool code32;
    } known[KNOWN];
} learnt;

/* The bytes up to ModRM: at most 5 of them. */
struct head {
    unsigned len;
    bool p66;
    uint8_t seg, map, opcode;
};

static inline struct head head_of(const uint8_t *bytes)
{
    struct head h = {.seg = GREG_NONE};
    const uint8_t *p = bytes;
    if ((*p & 0xfe) == 0x64)
        h.seg = SEG_FS + (*p++ & 1);
    if (*p == 0x66) {
        h.p66 = true;
        p++;
    }
    if (*p == 0x0f) {
        h.map = 1;
        p++;
    }
    h.opcode = *p++;
    h.len = (unsigned)(p - bytes);
    return h;
}

static inline unsigned operands_of(uint8_t modrm)
{
    return (modrm >> 3 & 7) * 2 + (modrm < 0xc0);
}

static inline uint32_t get16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

static inline uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

/* SDM vol. 2, table 2-1; returns the number of bytes behind ModRM. */
static inline unsigned address16(struct ginsn *g, unsigned mod, const uint8_t *p)
{
    static const uint8_t base[8] = {EBX, EBX, EBP, EBP, ESI, EDI, EBP, EBX};
    static const uint8_t index[8] = {ESI, EDI, ESI, EDI, GREG_NONE, GREG_NONE, GREG_NONE, GREG_NONE};
    bool absolute = mod == 0 && g->rm == 6;
    g->base = absolute ? GREG_NONE : base[g->rm];
    g->index = index[g->rm];
    g->scale = 0;
    g->seg = g->base == EBP ? SEG_SS : SEG_DS;
    g->disp = mod == 2 || absolute ? get16(p) : mod == 1 ? (uint16_t)(int8_t)*p : 0;
    return mod == 2 || absolute ? 2 : mod == 1;
}

/* SDM vol. 2, tables 2-2 and 2-3. */
static inline unsigned address32(struct ginsn *g, unsigned mod, const uint8_t *p)
{
    const uint8_t *start = p;
    g->base = g->rm;
    g->index = GREG_NONE;
    g->scale = 0;
    if (g->rm == 4) {
        uint8_t sib = *p++;
        g->base = sib & 7;
        if ((sib & 0x38) != 0x20) {
            g->index = sib >> 3 & 7;
            g->scale = sib >> 6;
        }
    }
    g->seg = g->base == ESP || g->base == EBP ? SEG_SS : SEG_DS;
    if (mod == 1) {
        g->disp = (uint32_t)(int8_t)*p++;
    } else if (mod == 2 || g->base == EBP) {
        if (mod == 0) {
            g->base = GREG_NONE;
            g->seg = SEG_DS;
        }
        g->disp = get32(p);
        p += 4;
    } else {
        g->disp = 0;
    }
    return (unsigned)(p - start);
}

static inline bool by_form(struct ginsn *g, const uint8_t *bytes, uint32_t eip, bool code32, uint32_t isa)
{
    struct head h = head_of(bytes);
    uint8_t kind = learnt.opcodes[h.map][h.opcode];
    const uint8_t *p = bytes + h.len;
    if (!(kind & (OPC_PLAIN | OPC_MODRM)) || (kind & OPC_NEVER))
        return false;
    uint8_t modrm = kind & OPC_MODRM ? *p : 0xc0;
    unsigned form = learnt.form_of[code32][h.p66][h.map][h.opcode][operands_of(modrm)];
    if (form <= FORM_NEVER || isa != learnt.isa)
        return false;
    *g = learnt.forms[form];
    g->eip = eip;
    memcpy(g->bytes, bytes, sizeof g->bytes);
    if (kind & OPC_MODRM) {
        p++;
        g->reg = modrm >> 3 & 7;
        g->rm = modrm & 7;
        if (modrm < 0xc0)
            p += g->adsize == 32 ? address32(g, modrm >> 6, p) : address16(g, modrm >> 6, p);
    } else if (kind & OPC_MOFFS) {
        g->disp = code32 ? get32(p) : get16(p);
        p += code32 ? 4 : 2;
    }
    if (h.seg != GREG_NONE) {
        /* Elsewhere they are ignored, or hints. */
        if (!(g->is_mem || (kind & OPC_MOFFS)) || g->gclass == G_LEA)
            return false;
        g->seg = h.seg;
    }
    if (g->imm_size == 1)
        g->imm = g->imm_signed ? (uint32_t)(int8_t)*p : *p;
    else if (g->imm_size == 2)
        g->imm = g->imm_signed ? (uint32_t)(int16_t)get16(p) : get16(p);
    else if (g->imm_size == 4)
        g->imm = get32(p);
    if ((kind & OPC_SHIFT) && !(g->imm & 31))
        return false;
    p += g->imm_size;
    g->len = (uint8_t)(p - bytes);
    if (g->relative) {
        g->target = eip + g->len + g->imm;
        if (g->opsize == 16)
            g->target &= 0xffff;
    }
    return true;
}

bool ginsn_by_form(struct ginsn *g, const uint8_t *bytes, uint32_t eip, bool code32, uint32_t isa)
{
    return by_form(g, bytes, eip, code32, isa);
}

static void learn_form(const struct ginsn *g, bool code32, uint32_t isa)
{
    /* The members are not initialized where they are: that would put all of them into the program's file. */
    if (!learnt.form_count) {
        memcpy(learnt.opcodes, opcodes_at_first, sizeof learnt.opcodes);
        learnt.form_count = FORM_NEVER + 1;
    }
    if (isa != learnt.isa) {
        learnt.isa = isa;
        learnt.form_count = FORM_NEVER + 1;
        memset(learnt.form_of, 0, sizeof learnt.form_of);
    }
    struct head h = head_of(g->bytes);
    uint8_t *kind = &learnt.opcodes[h.map][h.opcode];
    if ((*kind & OPC_NEVER) || h.seg != GREG_NONE)
        return;
    *kind |= g->has_modrm ? OPC_MODRM : OPC_PLAIN;
    if ((*kind & OPC_MODRM) && (*kind & OPC_PLAIN)) {
        *kind |= OPC_NEVER;
        return;
    }
    uint8_t modrm = g->has_modrm ? g->bytes[h.len] : 0xc0;
    uint16_t *form = &learnt.form_of[code32][h.p66][h.map][h.opcode][operands_of(modrm)];
    if (*form != FORM_UNKNOWN || learnt.form_count == FORMS_MAX)
        return;
    if (((*kind & OPC_MEMORY) && modrm >= 0xc0) || ((*kind & OPC_REG0) && (modrm >> 3 & 7)) || g->imm_size == 0xff) {
        *form = FORM_NEVER;
        return;
    }
    if ((*kind & OPC_SHIFT) && !(g->imm & 31))
        return;
    *form = (uint16_t)learnt.form_count;
    learnt.forms[learnt.form_count] = *g;
    /* To be on the safe side: at least this one must come out as it went in. */
    struct ginsn same;
    if (by_form(&same, g->bytes, g->eip, code32, isa) && !memcmp(&same, g, sizeof same))
        learnt.form_count++;
    else
        *form = FORM_NEVER;
}

bool ginsn_decode(struct ginsn *g, const uint8_t *bytes, unsigned avail, uint32_t eip, bool code32, uint32_t isa)
{
    if (likely(avail >= 15) && by_form(g, bytes, eip, code32, isa))
        return true;
    struct known *k = &learnt.known[(eip ^ eip >> 11) % KNOWN];
    if (k->g.eip == eip && k->code32 == code32 && k->isa == isa && k->g.len && k->g.len <= avail &&
        !memcmp(k->g.bytes, bytes, k->g.len)) {
        *g = k->g;
        return true;
    }
    if (!ginsn_decode_zydis(g, bytes, avail, eip, code32, isa))
        return false;
    if (avail >= 15) {
        memcpy(g->bytes, bytes, sizeof g->bytes);
        learn_form(g, code32, isa);
    }
    k->g = *g;
    k->isa = isa;
    k->code32 = code32;
    return true;
}

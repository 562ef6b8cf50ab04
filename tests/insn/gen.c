/* The generator of instruction tests. Driven by insn.def's operand letters (Intel SDM vol. 2, A.2). */
#include "gen.h"

#include <string.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* --- dice --- */

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

void rng_seed(struct rng *r, uint64_t seed, uint64_t number)
{
    uint64_t x = seed ^ (number * 0xd1342543de82ef95ull + 0x2545f4914f6cdd1dull);

    for (unsigned i = 0; i < 4; i++)
        r->s[i] = splitmix(&x);
}

uint64_t rng_next(struct rng *r)
{
    uint64_t *s = r->s, t = s[1] << 17, v = s[1] * 5;

    v = ((v << 7) | (v >> 57)) * 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return v;
}

static uint32_t interesting32(struct rng *r)
{
    static const uint32_t list[] = {
        0,          1,          2,          3,          7,          8,          15,         16,
        31,         32,         33,         63,         0x7f,       0x80,       0xff,       0x100,
        0x7fff,     0x8000,     0xffff,     0x10000,    0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe,
        0xffffffff, 0xffff8000, 0xffffff80, 0x55555555, 0xaaaaaaaa, 0x99999999, 0x0000000a, 0x00000099,
    };
    uint64_t v = rng_next(r);

    switch (v & 7) {
    case 0:
    case 1:
    case 2:
        return list[(v >> 8) % ARRAY_LEN(list)];
    case 3:
        return (uint32_t)(v >> 16) & 0xff;
    default:
        return (uint32_t)(v >> 32);
    }
}

static bool is_forbidden(uint32_t linear)
{
    return linear >= NT_FORBIDDEN_LOW && linear < NT_FORBIDDEN_HIGH;
}

/* A register for nothing in particular: must not point at native32 as it is. */
static uint32_t harmless32(struct rng *r)
{
    uint32_t v;

    do {
        v = interesting32(r);
    } while (is_forbidden(v));
    return v;
}

/* --- floating-point values --- */

static uint32_t value_f32(struct rng *r)
{
    static const uint32_t list[] = {
        0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001,
        0xffbfffff, 0x00000001, 0x807fffff, 0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff, 0x3f7fffff, 0x3f800001,
        0x4f000000, 0xcf000000, 0x4effffff, 0x5f000000, 0x3f000000, 0x33800000, 0x40490fdb, 0x4b800000,
    };
    uint64_t v = rng_next(r);

    switch (v & 7) {
    case 0:
    case 1:
    case 2:
        return list[(v >> 8) % ARRAY_LEN(list)];
    case 3: /* near one */
        return (uint32_t)(v >> 32 & 0x807fffff) | (0x3f000000 + ((uint32_t)(v >> 8 & 7) << 23));
    case 4: /* few bits set: exact results */
        return (uint32_t)(v >> 32 & 0x80780000) | (0x3d000000 + ((uint32_t)(v >> 8 & 15) << 23));
    default:
        return (uint32_t)(v >> 32);
    }
}

static uint64_t value_f64(struct rng *r)
{
    static const uint64_t list[] = {
        0,
        1ull << 63,
        0x3ff0000000000000,
        0xbff0000000000000,
        0x7ff0000000000000,
        0xfff0000000000000,
        0x7ff8000000000000,
        0xfff8000000000001,
        0x7ff0000000000001,
        0xfff7ffffffffffff,
        1,
        0x800fffffffffffff,
        0x0010000000000000,
        0x7fefffffffffffff,
        0xffefffffffffffff,
        0x41e0000000000000,
        0xc1e0000000000000,
        0x41dfffffffc00000,
        0x43e0000000000000,
        0x43f0000000000000,
        0x3fe0000000000000,
        0x47efffffe0000000,
        0x47effffff0000000,
        0x3810000000000000,
        0x36a0000000000000,
        0x380fffffffffffff,
        0x400921fb54442d18,
        0xc1e0000000200000,
    };
    uint64_t v = rng_next(r), w = rng_next(r);

    switch (v & 7) {
    case 0:
    case 1:
    case 2:
        return list[(v >> 8) % ARRAY_LEN(list)];
    case 3:
        return (w & 0x800fffffffffffff) | (0x3fe0000000000000 + ((v >> 8 & 7) << 52));
    case 4:
        return (w & 0x800f000000000000) | (0x3fd0000000000000 + ((v >> 8 & 15) << 52));
    case 5: /* the neighbourhood of single precision's limits */
        return (w & 0x800fffffffffffff) | ((uint64_t)(((v >> 8) & 1 ? 1023 - 152 : 1023 + 125) + (v >> 16) % 30) << 52);
    default:
        return w;
    }
}

static void value_f80(struct rng *r, uint8_t *out)
{
    static const struct {
        uint16_t exponent;
        uint64_t significand;
    } list[] = {
        {0, 0},
        {0x8000, 0},
        {0x3fff, 1ull << 63},
        {0xbfff, 1ull << 63},
        {0x7fff, 1ull << 63},
        {0xffff, 1ull << 63},
        {0x7fff, 3ull << 62},
        {0xffff, 3ull << 62},
        {0x7fff, (1ull << 63) | 1},
        {0x7fff, (3ull << 62) | 0x1234},
        {0, 1},
        {0x8000, ~0ull >> 1}, /* denormals */
        {0, 1ull << 63},
        {0x8000, ~0ull}, /* pseudo-denormals */
        {0x3fff, 0x4000000000000000},
        {0x4005, 0}, /* unnormals */
        {0x7fff, 0},
        {0xffff, 0x4000000000000001}, /* pseudo-infinity, -NaN */
        {1, 1ull << 63},
        {0x7ffe, ~0ull},
        {0xfffe, ~0ull},
        {0x401e, 1ull << 63},
        {0x403e, 1ull << 63},
        {0x400e, 1ull << 63},
        {0x403b, 0xde0b6b3a763fffff},
        {0x407f, ~0ull},
        {0x43ff, ~0ull},
        {0x3f80, 1ull << 63},
        {0x3c00, 1ull << 63},
        {0x4000, 0xc90fdaa22168c235},
        {0x3ffe, 0xc90fdaa22168c235},
        {0x3ffe, ~0ull},
    };
    uint64_t v = rng_next(r), significand = rng_next(r);
    uint16_t exponent;

    switch (v & 7) {
    case 0:
    case 1:
    case 2: {
        unsigned i = (v >> 8) % ARRAY_LEN(list);
        exponent = list[i].exponent;
        significand = list[i].significand;
        break;
    }
    case 3:
    case 4: /* ordinary size */
        exponent = (uint16_t)(0x3fff - 8 + ((v >> 8) & 31)) | (uint16_t)(v >> 32 & 0x8000);
        significand |= 1ull << 63;
        if (v & 0x10000)
            significand &= 0xffull << 56;
        break;
    case 5: /* double's and single's limits */
        exponent = (uint16_t)(((v >> 8) & 1 ? 0x3c00 - 54 : 0x3f80 - 25) + (v >> 16) % 60);
        significand |= 1ull << 63;
        break;
    default:
        exponent = (uint16_t)(v >> 16);
        significand |= (v & 0x100) ? 1ull << 63 : 0;
    }
    memcpy(out, &significand, 8);
    memcpy(out + 8, &exponent, 2);
}

static void value_bcd(struct rng *r, uint8_t *out)
{
    for (unsigned i = 0; i < 9; i++)
        out[i] = (uint8_t)(rng_below(r, 10) | rng_below(r, 10) << 4);
    out[9] = rng_percent(r, 50) ? 0x80 : 0;
}

static void fill(struct rng *r, void *out, unsigned n)
{
    uint8_t *p = out;

    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v = rng_next(r);
        memcpy(p, &v, 8);
    }
    if (n) {
        uint64_t v = rng_next(r);
        memcpy(p, &v, n);
    }
}

static void value_xmm(struct rng *r, uint8_t *out)
{
    switch (rng_below(r, 4)) {
    case 0:
        fill(r, out, 16);
        break;
    case 1:
        for (unsigned i = 0; i < 2; i++) {
            uint64_t v = value_f64(r);
            memcpy(out + 8 * i, &v, 8);
        }
        break;
    case 2:
        for (unsigned i = 0; i < 4; i++) {
            uint32_t v = value_f32(r);
            memcpy(out + 4 * i, &v, 4);
        }
        break;
    default:
        for (unsigned i = 0; i < 4; i++) {
            uint32_t v = interesting32(r);
            memcpy(out + 4 * i, &v, 4);
        }
    }
}

static void make_fx(struct rng *r, struct fxstate *fx, bool x87)
{
    uint64_t v = rng_next(r);

    memset(fx, 0, sizeof(*fx));
    fx->fcw = 0x037f;
    fx->mxcsr = 0x1f80;
    fx->ftw = 0xff;
    fx->fsw = (uint16_t)(v & 0x4700) | (uint16_t)((v >> 20 & 7) << 11);
    if (v & 0x10000)
        fx->fsw |= (uint16_t)(v >> 32 & 0x7f); /* masked flags, unless the masks are off */
    if (rng_percent(r, 50))
        fx->fcw = 0x0040 | (uint16_t)(rng_next(r) & 0x0f00) | 0x3f;
    if (rng_percent(r, x87 ? 25 : 8)) { /* some unmasked; sometimes pending */
        fx->fcw = (uint16_t)(fx->fcw & ~0x3f) | (uint16_t)(rng_next(r) & 0x3f);
        if (rng_percent(r, 85))
            fx->fsw &= fx->fcw | (uint16_t)~0x3f;
    }
    if (fx->fsw & ~fx->fcw & 0x3f)
        fx->fsw |= 0x8080;
    if (rng_percent(r, 30))
        fx->ftw = (uint8_t)rng_next(r);
    fx->fop = rng_next(r) & 0x7ff;
    fx->fip = (uint32_t)rng_next(r);
    fx->fdp = (uint32_t)rng_next(r);
    fx->fcs = (uint16_t)rng_next(r);
    fx->fds = (uint16_t)rng_next(r);
    for (unsigned i = 0; i < 8; i++) {
        if (x87)
            value_f80(r, fx->st[i]);
        else
            fill(r, fx->st[i], 10);
    }
    if (rng_percent(r, 45))
        fx->mxcsr |= rng_next(r) & 0xe07f; /* RC, FTZ, DAZ, flags */
    if (rng_percent(r, 15))
        fx->mxcsr &= ~(uint32_t)(rng_next(r) & 0x1f80);
    for (unsigned i = 0; i < 8; i++)
        value_xmm(r, fx->xmm[i]);
}

/* --- which rows --- */

bool gen_is_testable(const struct insn_row *row)
{
    if (row->id == INSN_UD)
        return false;
    if (row->attr & (IA_USER | IA_PRIV | IA_IO))
        return true;
    switch (row->id) {
    case INSN_JCC_Jb:
    case INSN_JCC_Jz:
    case INSN_JMP_Jb:
    case INSN_JMP_Jz:
    case INSN_JMP_Ev:
    case INSN_CALL_Jz:
    case INSN_CALL_Ev:
    case INSN_RET:
    case INSN_RET_Iw:
    case INSN_LOOP:
    case INSN_LOOPE:
    case INSN_LOOPNE:
    case INSN_JCXZ:
    case INSN_INT3:
    case INSN_INT_Ib:
    case INSN_INTO:
    case INSN_PUSH_ES:
    case INSN_PUSH_CS:
    case INSN_PUSH_SS:
    case INSN_PUSH_DS:
    case INSN_PUSH_FS:
    case INSN_PUSH_GS:
    case INSN_UD1:
    case INSN_ARPL:
        return true;
    default:
        return false;
    }
}

/* --- encoding --- */

struct encoder {
    struct rng *r;
    const struct insn_row *row;
    uint8_t *bytes;
    unsigned len;
    bool code16;
    unsigned opsize, adsize;
    unsigned disp_at, disp_size; /* displacement of the memory operand, 0 if none */
    unsigned jump_at, jump_size; /* relative target */
};

static void byte(struct encoder *e, unsigned value)
{
    e->bytes[e->len++] = (uint8_t)value;
}
static void little(struct encoder *e, uint32_t value, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        byte(e, value >> (8 * i));
}

static void put_prefixes(struct encoder *e)
{
    static const uint8_t segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x64, 0x64, 0x65};
    const struct insn_row *row = e->row;
    uint8_t list[8];
    unsigned n = 0;
    bool op66 = false, ad67, ad16;
    struct rng *r = e->r;

    switch (row->prefix) {
    case PFX_ANY:
        op66 = rng_percent(r, 30);
        break;
    case PFX_PN:
        op66 = rng_percent(r, 10);
        break;
    case PFX_P66:
        op66 = true;
        break;
    case PFX_PF2:
    case PFX_PF3:
        list[n++] = row->prefix == PFX_PF2 ? 0xf2 : 0xf3;
        op66 = rng_percent(r, row->class == CLASS_BIT ? 30 : 3);
        break;
    default:
        break;
    }
    if (row->attr & IA_REP && rng_percent(r, 60))
        list[n++] = rng_percent(r, 50) ? 0xf3 : 0xf2;
    ad67 = rng_percent(r, e->code16 ? 60 : 8);
    ad16 = ad67 != e->code16;
    if (rng_percent(r, 10) || (ad16 && rng_percent(r, 60))) /* FS reaches data with 16 bits */
        list[n++] = ad16 && rng_percent(r, 75) ? 0x64 : segments[rng_below(r, 8)];
    if (rng_percent(r, (row->attr & IA_LOCK) ? 12 : 1))
        list[n++] = 0xf0;
    if (op66)
        list[n++] = 0x66;
    if (ad67)
        list[n++] = 0x67;
    if (n && rng_percent(r, 2)) { /* redundant ones, up to and past the length limit */
        unsigned more = rng_below(r, 14);

        while (more--)
            byte(e, list[rng_below(r, n)]);
    }
    while (n) {
        unsigned i = rng_below(r, n);

        byte(e, list[i]);
        list[i] = list[--n];
    }
    e->opsize = op66 != e->code16 ? 2 : 4;
    e->adsize = ad16 ? 2 : 4;
}

static void put_modrm(struct encoder *e)
{
    const struct insn_row *row = e->row;
    struct rng *r = e->r;
    unsigned mod, reg, rm = rng_below(r, 8);

    if (row->ext >= 0xc0) {
        byte(e, row->ext);
        return;
    }
    reg = row->ext == INSN_EXT_ANY ? rng_below(r, 8) : row->ext;
    if (row->mod == MOD_REG)
        mod = 3;
    else if (row->mod == MOD_MEM)
        mod = rng_below(r, 3);
    else
        mod = rng_percent(r, 45) ? 3 : rng_below(r, 3);
    byte(e, mod << 6 | reg << 3 | rm);
    if (mod == 3)
        return;
    if (e->adsize == 2) {
        e->disp_size = mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0;
    } else {
        e->disp_size = mod == 1 ? 1 : mod == 2 ? 4 : 0;
        if (rm == 4) {
            unsigned sib = rng_below(r, 256);

            byte(e, sib);
            if (mod == 0 && (sib & 7) == 5)
                e->disp_size = 4;
        } else if (mod == 0 && rm == 5) {
            e->disp_size = 4;
        }
    }
    e->disp_at = e->len;
    little(e, rng_percent(r, 50) ? rng_below(r, 64) : harmless32(r), e->disp_size);
}

static void put_immediate(struct encoder *e, unsigned operand)
{
    struct rng *r = e->r;

    switch (operand) {
    case OP_Ib:
    case OP_Ibs:
    case OP_Ib2:
        byte(e, interesting32(r));
        break;
    case OP_Iw:
        little(e, interesting32(r), 2);
        break;
    case OP_Iz:
        little(e, interesting32(r), e->opsize);
        break;
    case OP_Jb:
    case OP_Jz:
        e->jump_at = e->len;
        e->jump_size = operand == OP_Jb ? 1 : e->opsize;
        little(e, 0, e->jump_size);
        break;
    case OP_Ob:
    case OP_Ov:
        e->disp_at = e->len;
        e->disp_size = e->adsize;
        little(e, rng_below(r, 0x1000), e->adsize);
        break;
    case OP_Ap:
        little(e, interesting32(r), e->opsize);
        little(e, interesting32(r), 2);
        break;
    default:
        break;
    }
}

static void encode(struct encoder *e)
{
    const struct insn_row *row = e->row;

    put_prefixes(e);
    if (row->map >= 1)
        byte(e, 0x0f);
    if (row->map == 2)
        byte(e, 0x38);
    else if (row->map == 3)
        byte(e, 0x3a);
    byte(e, row->opcode + (row->count > 1 ? rng_below(e->r, row->count) : 0));
    if (row->has_modrm)
        put_modrm(e);
    for (unsigned i = 0; i < 3; i++)
        put_immediate(e, row->op[i]);
}

/* --- operands --- */

static unsigned memory_size(const struct insn *insn)
{
    for (unsigned i = 0; i < 3; i++) {
        switch (insn->row->op[i]) {
        case OP_Eb:
        case OP_Mb:
        case OP_RdMb:
        case OP_Ob:
            return 1;
        case OP_Ew:
        case OP_RdMw:
        case OP_Mi16:
        case OP_Ww:
            return 2;
        case OP_Ev:
        case OP_Mv:
        case OP_Ov:
            return insn->opsize;
        case OP_Ed:
        case OP_Md:
        case OP_Mf32:
        case OP_Mi32:
        case OP_Qd:
        case OP_Wd:
            return 4;
        case OP_Ma:
            return 2 * insn->opsize;
        case OP_Mq:
        case OP_Mf64:
        case OP_Mi64:
        case OP_Qq:
        case OP_Wq:
            return 8;
        case OP_Mf80:
            return 10;
        case OP_Mx:
        case OP_Wx:
            return 16;
        case OP_Menv:
            return 7 * insn->opsize;
        case OP_Mstate:
            return 7 * insn->opsize + 80;
        case OP_M512:
            return 512;
        case OP_Mp:
            return insn->opsize + 2;
        case OP_Ms:
            return 6;
        default:
            break;
        }
    }
    return 0;
}

static bool has_operand(const struct insn_row *row, unsigned operand)
{
    return row->op[0] == operand || row->op[1] == operand || row->op[2] == operand;
}

static void choose_window(struct rng *r, const struct insn *insn, unsigned size, struct nt_case *c)
{
    uint32_t len = size > 64 ? NT_WINDOW_MAX : 128;

    if (insn->row->class == CLASS_STRING || insn->id == INSN_ENTER)
        len = 256;
    switch (rng_below(r, 8)) {
    case 0: /* from the read-only page upwards */
        c->window = NT_DATA;
        break;
    case 1: /* the two pages */
        c->window = NT_DATA + PAGE_SIZE - len / 2;
        break;
    case 2: /* the end */
        c->window = NT_DATA + NT_DATA_SIZE - len;
        break;
    case 3: /* the end of FS */
        c->window = NT_FS_BASE + NT_FS_LIMIT + 1 - len / 2;
        break;
    default:
        c->window = NT_DATA + 16 * rng_below(r, (NT_DATA_SIZE - len) / 16);
    }
    c->window &= ~15u;
    c->window_len = len;
}

/* An address at which an operand of this size is worth having. */
static uint32_t choose_address(struct rng *r, const struct nt_case *c, unsigned size, bool align16)
{
    uint32_t at;

    if (rng_percent(r, 8)) /* across the edges */
        at = (rng_percent(r, 50) ? c->window : c->window + c->window_len) - rng_below(r, size + 4);
    else if (c->window_len > size)
        at = c->window + rng_below(r, c->window_len - size + 1);
    else
        at = c->window;
    if (align16 ? rng_percent(r, 85) : rng_percent(r, 30))
        at &= ~15u;
    return at;
}

static uint32_t segment_base(const struct gen_case *g)
{
    if (g->insn.seg == SEG_FS)
        return NT_FS_BASE;
    if (g->insn.seg == SEG_CS)
        return g->code16 ? NT_CODE : 0;
    if (g->insn.seg == SEG_GS)
        return 0;
    return g->insn.seg == SEG_SS ? nt_shapes[g->shape].stack.base : nt_shapes[g->shape].data.base;
}

/* The linear address that ESP (or EBP of ENTER and LEAVE) stands for. */
static uint32_t stack_linear(const struct gen_case *g, uint32_t esp)
{
    const struct nt_segment *s = &nt_shapes[g->shape].stack;
    return s->base + (s->big ? esp : esp & 0xffff);
}

/* And back; what is no part of SP is anything. */
static uint32_t stack_offset(struct rng *r, const struct gen_case *g, uint32_t linear)
{
    const struct nt_segment *s = &nt_shapes[g->shape].stack;
    uint32_t offset = linear - s->base;
    return s->big ? offset : (offset & 0xffff) | (rng_percent(r, 50) ? (uint32_t)rng_next(r) << 16 : 0);
}

/* Gives registers (or the displacement) such values that the operand lies at `at`. */
static void aim(struct encoder *e, struct gen_case *g, struct nt_case *c, uint32_t at)
{
    struct insn *insn = &g->insn;
    uint32_t sum = (uint32_t)insn->disp, mask = insn->adsize == 2 ? 0xffff : 0xffffffff;
    unsigned base = insn->base, index = insn->index;

    at -= segment_base(g);
    if (base != REG_NONE && base != index) {
        if (index != REG_NONE)
            sum += c->in.gpr[index] << insn->scale;
        c->in.gpr[base] = (c->in.gpr[base] & ~mask) | ((at - sum) & mask);
    } else if (index != REG_NONE && base == REG_NONE && insn->scale == 0) {
        c->in.gpr[index] = (c->in.gpr[index] & ~mask) | ((at - sum) & mask);
    } else if (e->disp_size >= 2) {
        uint32_t disp;

        sum = 0;
        if (base != REG_NONE)
            sum += c->in.gpr[base];
        if (index != REG_NONE)
            sum += c->in.gpr[index] << insn->scale;
        disp = at - sum;
        memcpy(g->bytes + e->disp_at, &disp, e->disp_size);
        insn_decode(insn, g->bytes, 15, !g->code16);
    } else if (base != REG_NONE) { /* base and index the same register, no room for a displacement */
        c->in.gpr[base] = (at - sum) / (1 + (1u << insn->scale));
    }
}

static uint32_t operand_offset(const struct insn *insn, const struct nt_case *c)
{
    uint32_t ea = (uint32_t)insn->disp;

    if (insn->base != REG_NONE)
        ea += c->in.gpr[insn->base];
    if (insn->index != REG_NONE)
        ea += c->in.gpr[insn->index] << insn->scale;
    return insn->adsize == 2 ? (uint16_t)ea : ea;
}

/* Where n bytes for the memory at `at` belong in the case; false outside the window. */
static bool window_put(struct nt_case *c, uint32_t at, const void *bytes, unsigned n)
{
    if (at < c->window || at - c->window > c->window_len - n || n > c->window_len)
        return false;
    memcpy(c->memory_in + (at - c->window), bytes, n);
    return true;
}

static void fill_operand(struct rng *r, const struct insn *insn, uint32_t at, unsigned size, struct nt_case *c)
{
    uint8_t v[16];
    uint32_t v32;
    uint64_t v64;

    switch (insn->row->op[0] == OP_NONE ? OP_NONE : size) {
    case 1:
    case 2:
    case 4:
        v32 = insn->row->class == CLASS_SSE || has_operand(insn->row, OP_Mf32) ? value_f32(r) : interesting32(r);
        if (insn->opcode >= 0xb0 && insn->opcode <= 0xb1 && rng_percent(r, 50))
            v32 = c->in.gpr[EAX];
        window_put(c, at, &v32, size);
        break;
    case 8:
        v64 = insn->row->class == CLASS_SSE || has_operand(insn->row, OP_Mf64)
                  ? value_f64(r)
                  : interesting32(r) | (uint64_t)interesting32(r) << 32;
        if (insn->id == INSN_CMPXCHG8B && rng_percent(r, 50))
            v64 = c->in.gpr[EAX] | (uint64_t)c->in.gpr[EDX] << 32;
        window_put(c, at, &v64, 8);
        break;
    case 10:
        if (insn->id == INSN_FBLD)
            value_bcd(r, v);
        else
            value_f80(r, v);
        window_put(c, at, v, 10);
        break;
    case 16:
        value_xmm(r, v);
        window_put(c, at, v, 16);
        break;
    case 512: { /* FXRSTOR: something it mostly takes */
        struct fxstate fx;

        make_fx(r, &fx, true);
        if (rng_percent(r, 10))
            fx.mxcsr = (uint32_t)rng_next(r);
        if (rng_percent(r, 30))
            fx.fsw ^= 0x8080;
        fill(r, fx.xmm[8], 128);
        window_put(c, at, &fx, 512);
        break;
    }
    case 28:
    case 108: { /* FLDENV, FRSTOR: the control word decides how much is unmasked */
        uint32_t env[2] = {0xffff0000u | 0x37f, (uint32_t)rng_next(r)};

        if (rng_percent(r, 60)) {
            window_put(c, at, env, 8);
            for (unsigned i = 0; size == 108 && i < 8; i++) {
                value_f80(r, v);
                window_put(c, at + 28 + 10 * i, v, 10);
            }
        }
        break;
    }
    default:
        break;
    }
}

static bool is_mapped(uint32_t at, unsigned n)
{
    return (at + n > NT_RO && at < NT_DATA + NT_DATA_SIZE) || (at + n > NT_CODE && at < NT_CODE + NT_CODE_SIZE);
}

/* The last slot of each page has its instruction across the page's end (the very last one: into nothing).
 * It reaches into the next slot, which gives up its backward landing pad for that. */
static bool slot_crosses(unsigned slot)
{
    return slot % NT_SLOTS_PER_PAGE == NT_SLOTS_PER_PAGE - 1;
}
static bool slot_has_back(unsigned slot)
{
    return slot == 0 || !slot_crosses(slot - 1);
}

static uint32_t jump_target(struct rng *r, unsigned slot, uint32_t next)
{
    uint32_t base = NT_CODE + slot * NT_SLOT_SIZE;
    bool back = rng_percent(r, 50);

    if (rng_percent(r, 25))
        return next;
    if (slot_crosses(slot))
        back = true;
    else if (!slot_has_back(slot))
        back = false;
    return base + (back ? NT_SLOT_BACK : NT_SLOT_FORTH);
}

/* The count of a shift, masked as the processor does, or -1 if the row is no shift by count. */
static int shift_count(const struct insn *insn, const struct nt_case *c)
{
    if (has_operand(insn->row, OP_CL))
        return c->in.gpr[ECX] & 31;
    if (has_operand(insn->row, OP_Ib))
        return insn->imm & 31;
    return -1;
}

static uint32_t ignored_flags(const struct insn *insn, const struct nt_case *c)
{
    uint32_t ignored = insn->row->flags_undefined;

    if (insn->row->attr & IA_FLAGS_COND) {
        int count = shift_count(insn, c);

        if (count == 0)
            return 0;
        if (count == 1)
            ignored &= ~FL_OF;
        /* CF past the operand's width: SHL, SHR, SHLD, SHRD leave it undefined. */
        if (count > 8 && (insn->row->flags_written & FL_ZF)) {
            unsigned width = has_operand(insn->row, OP_Eb) ? 8 : insn->opsize * 8;

            if ((unsigned)count > width)
                ignored |= FL_CF;
            if ((unsigned)count > width && insn->map == 1)
                ignored |= FL_ARITH;
        }
    }
    return ignored;
}

/* inside: bytes before the page's end, for a slot that crosses it. */
static void place(struct gen_case *g, unsigned slot, unsigned inside)
{
    g->slot = slot;
    g->start = NT_CODE + slot * NT_SLOT_SIZE + NT_SLOT_INSN;
    if (slot_crosses(slot) && inside)
        g->start = NT_CODE + (slot + 1) * NT_SLOT_SIZE - inside;
}

bool gen_fixed(const uint8_t *bytes, unsigned len, unsigned slot, bool code16, unsigned inside, unsigned shape,
               struct gen_case *g)
{
    g->code16 = code16;
    g->shape = shape;
    memset(g->bytes, 0x90, sizeof(g->bytes));
    memcpy(g->bytes, bytes, len);
    place(g, slot, inside);
    g->len = (unsigned)insn_decode(&g->insn, g->bytes, 15, !g->code16);
    g->flags_ignored = 0;
    return g->len == len;
}

bool gen_make(struct rng *r, const struct insn_row *row, unsigned slot, bool may_code16, struct gen_case *g,
              struct nt_case *c)
{
    bool code16 = rng_percent(r, 20) && may_code16;
    uint32_t code_base = code16 ? NT_CODE : 0; /* what IP counts from */
    struct encoder e = {.r = r, .row = row, .bytes = g->bytes, .code16 = code16};
    bool fpu = row->class == CLASS_X87 || row->class == CLASS_MMX || row->class == CLASS_SSE;
    bool memory;
    unsigned size;
    int len;
    uint32_t ea = 0;

    g->code16 = code16;
    g->shape = may_code16 && rng_percent(r, 60) ? rng_below(r, NT_SHAPES) : 0;
    c->shape = g->shape;
    memset(g->bytes, 0x90, sizeof(g->bytes));
    encode(&e);
    len = insn_decode(&g->insn, g->bytes, 15, !g->code16);
    if (len < 0) {
        len = (int)e.len; /* too long: #GP, and the row it would have been is what counts */
        g->insn.row = row;
        g->insn.id = row->id;
    }
    g->len = (unsigned)len;
    place(g, slot, len > 1 && len <= 15 ? 1 + rng_below(r, (uint32_t)len - 1) : 0);
    if (g->insn.row != row || g->len != e.len || (e.len > 15 && e.len > 22))
        return false;
    /* Up to the model: the length of UD1, debug registers under CR4.DE. */
    if ((row->id == INSN_UD1 && (e.len > 12 || slot_crosses(slot))) ||
        (has_operand(row, OP_Cd) && g->insn.lock) || /* LOCK MOV CR0 is AMD's MOV CR8 */
        (has_operand(row, OP_Dd) && (g->insn.reg == 4 || g->insn.reg == 5)))
        return false;
    /* 80h is the host's own system call. */
    if (row->id == INSN_INT_Ib && (g->insn.imm & 0xff) == 0x80)
        return false;

    memory = e.len <= 15 && (insn_is_memory(&g->insn) || has_operand(row, OP_Ob) || has_operand(row, OP_Ov));
    size = memory ? memory_size(&g->insn) : 4;
    choose_window(r, &g->insn, size, c);
    fill(r, c->memory_in, c->window_len);
    for (unsigned i = 0; i < 8; i++)
        c->in.gpr[i] = harmless32(r);
    c->in.gpr[ESP] = stack_offset(r, g, choose_address(r, c, 4, false));
    if (rng_percent(r, 60))
        c->in.gpr[ESP] &= ~3u;
    c->in.eflags = FL_FIXED1 | FL_IF | (rng_next(r) & (FL_ARITH | FL_DF));
    if (rng_percent(r, 4))
        c->in.eflags |= rng_next(r) & (FL_AC | FL_ID | FL_NT);
    c->in.eip = g->start - code_base;
    c->flags = (fpu ? NT_FPU : 0) | (code16 ? NT_CODE16 : 0);
    if (fpu)
        make_fx(r, (struct fxstate *)c->fx_in, row->class == CLASS_X87);
    /* Some processors keep the last instruction's address only while an exception is pending, and task
     * switches lose the selectors: what goes to memory must not depend on that. */
    if (row->op[0] == OP_M512 || row->op[0] == OP_Menv || row->op[0] == OP_Mstate)
        memset(c->fx_in + offsetof(struct fxstate, fop), 0,
               offsetof(struct fxstate, mxcsr) - offsetof(struct fxstate, fop));

    /* What the instruction uses without naming it. */
    if (row->class == CLASS_STRING || row->id == INSN_MASKMOVQ || row->id == INSN_MASKMOVDQU) {
        c->in.gpr[ESI] = choose_address(r, c, 4, false) - segment_base(g);
        c->in.gpr[EDI] = choose_address(r, c, 4, false) - nt_shapes[g->shape].data.base;
        if (g->insn.seg_override == SEG_FS && row->class != CLASS_STRING)
            c->in.gpr[EDI] += nt_shapes[g->shape].data.base - NT_FS_BASE;
        if (!(row->attr & IA_IO))
            c->in.gpr[ECX] = rng_percent(r, 90) ? rng_below(r, 24) : rng_below(r, 300);
    }
    if (row->id == INSN_MASKMOVQ || row->id == INSN_MASKMOVDQU || row->op[0] == OP_M512)
        c->in.eflags &= ~FL_AC; /* whether these check alignment is up to the model */
    if (row->id == INSN_XLAT)
        c->in.gpr[EBX] = choose_address(r, c, 1, false) - (c->in.gpr[EAX] & 0xff) - segment_base(g);
    if (row->id == INSN_ENTER || row->id == INSN_LEAVE)
        c->in.gpr[EBP] = stack_offset(r, g, choose_address(r, c, 4, false));
    if (row->class == CLASS_MULDIV && rng_percent(r, 60))
        c->in.gpr[EDX] = rng_percent(r, 50) ? rng_below(r, 4) : (uint32_t)((int32_t)c->in.gpr[EAX] >> 31);
    if ((row->attr & IA_BITSTRING) && rng_percent(r, 90))
        c->in.gpr[g->insn.reg] = rng_below(r, 512) - 128;

    if (memory) {
        uint32_t base;

        if (rng_percent(r, 92))
            aim(&e, g, c, choose_address(r, c, size ? size : 1, row->attr & IA_ALIGN16));
        base = segment_base(g);
        ea = base + operand_offset(&g->insn, c);
        fill_operand(r, &g->insn, ea, size, c);
        if (size > 16 && g->insn.adsize == 2 && ea - base + size > 0x10000)
            return false; /* where the rest of a long operand lies is the model's */
        if (is_forbidden(ea) || is_forbidden(ea + 1024) || is_forbidden(ea - 1024))
            return false;
        if (row->attr & IA_BITSTRING) {
            ea += (uint32_t)((int32_t)c->in.gpr[g->insn.reg] >> 5) * 4;
            if (is_forbidden(ea) || is_forbidden(ea + 8) || is_forbidden(ea - 8))
                return false;
        }
    }
    /* aim() may have used one of these. */
    if ((row->attr & IA_STACK) || row->class == CLASS_FLOW || row->class == CLASS_STACK) {
        uint32_t top = stack_linear(g, c->in.gpr[ESP]);

        if (is_forbidden(top) || is_forbidden(top - 0x11000) || is_forbidden(top + 0x100) ||
            is_forbidden(stack_linear(g, c->in.gpr[EBP])))
            return false;
    }
    if (row->class == CLASS_STRING || row->id == INSN_XLAT) {
        uint32_t base = segment_base(g);

        if (is_forbidden(base + c->in.gpr[ESI]) || is_forbidden(nt_shapes[g->shape].data.base + c->in.gpr[EDI]) ||
            is_forbidden(base + c->in.gpr[EBX] + 0x100))
            return false;
    }
    if (row->id == INSN_POPF) { /* single-stepping would stop native32 outside the case */
        uint32_t image = (uint32_t)rng_next(r) & ~FL_TF;

        if (!window_put(c, stack_linear(g, c->in.gpr[ESP]), &image, 4) && is_mapped(stack_linear(g, c->in.gpr[ESP]), 4))
            return false;
    }

    /* Where control goes. */
    if (e.jump_size) {
        uint32_t target = jump_target(r, slot, g->start + g->len), relative;

        relative = target - (g->start + g->len);
        memcpy(g->bytes + e.jump_at, &relative, e.jump_size);
        insn_decode(&g->insn, g->bytes, 15, !g->code16);
    } else if (row->id == INSN_RET || row->id == INSN_RET_Iw) {
        uint32_t target = jump_target(r, slot, g->start + g->len) - code_base;

        if (!window_put(c, stack_linear(g, c->in.gpr[ESP]), &target, 4) &&
            is_mapped(stack_linear(g, c->in.gpr[ESP]), 4))
            return false; /* a target that we did not choose */
    } else if (row->id == INSN_JMP_Ev || row->id == INSN_CALL_Ev) {
        uint32_t target = jump_target(r, slot, g->start + g->len) - code_base;

        if (!memory)
            c->in.gpr[g->insn.rm] = target;
        else if (!window_put(c, ea, &target, g->insn.opsize) && is_mapped(ea, 4))
            return false;
        if (is_forbidden(target))
            return false;
    }
    g->flags_ignored = ignored_flags(&g->insn, c);
    return true;
}

static unsigned make_jump(const struct gen_case *g, uint32_t exit, const uint32_t exit_entry[3], uint8_t *jmp)
{
    const uint32_t pointer = NT_CASES + 4 * exit;
    const uint16_t cs = NT_CS;

    if (!exit_entry) {
        jmp[0] = 0xf4; /* hlt */
        return 1;
    }

    if (g->code16) {
        jmp[0] = 0x66;
        jmp[1] = 0xea;
        memcpy(jmp + 2, &exit_entry[exit], 4);
        memcpy(jmp + 6, &cs, 2);
        return 8;
    }
    jmp[0] = 0x2e; /* cs: */
    jmp[1] = 0xff;
    jmp[2] = 0x25;
    memcpy(jmp + 3, &pointer, 4);
    return 7;
}

void gen_code(const struct gen_case *g, const uint32_t exit_entry[3], uint8_t *code)
{
    uint8_t *slot = code + g->slot * NT_SLOT_SIZE;
    uint32_t at = g->start - NT_CODE, room = NT_CODE_SIZE - at;
    bool crosses = g->start != NT_CODE + g->slot * NT_SLOT_SIZE + NT_SLOT_INSN;

    for (uint32_t n = 0; n < 3; n++) {
        uint8_t jmp[8];
        unsigned size = make_jump(g, n, exit_entry, jmp);

        if (n == NT_EXIT_NEXT) {
            if (g->len <= INSN_MAX_LEN && room >= g->len + size)
                memcpy(code + at + g->len, jmp, size);
        } else if (n == NT_EXIT_BACK) {
            if (slot_has_back(g->slot))
                memcpy(slot + NT_SLOT_BACK, jmp, size);
        } else if (!crosses) {
            memcpy(slot + NT_SLOT_FORTH, jmp, size);
        }
    }
    memcpy(code + at, g->bytes, g->len < room ? g->len : room);
}

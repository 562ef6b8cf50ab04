/* Which pages of guest code may run directly on the CPU: those without instructions that would see the host instead of
 * the guest and do not trap (DESIGN.md, section 4). This is a matter of fidelity; that the host is safe from such
 * instructions is the cell's affair.
 */
#include <glib.h>
#include <string.h>
#include <Zydis/Zydis.h>

#include "ginsn.h"
#include "insn.h"
#include "bt.h"
#include "block.h"

/* Instructions that are the interpreter's in translated code, and in a cell either trap or do what they would in the
 * guest. */
static bool interp_is_direct(const struct ginsn *g)
{
    switch (g->mnemonic) {
    case ZYDIS_MNEMONIC_ENTER:
    case ZYDIS_MNEMONIC_BOUND:
    case ZYDIS_MNEMONIC_INT3:
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
    case ZYDIS_MNEMONIC_HLT:
    case ZYDIS_MNEMONIC_IN:
    case ZYDIS_MNEMONIC_OUT:
    case ZYDIS_MNEMONIC_INSB:
    case ZYDIS_MNEMONIC_INSW:
    case ZYDIS_MNEMONIC_INSD:
    case ZYDIS_MNEMONIC_OUTSB:
    case ZYDIS_MNEMONIC_OUTSW:
    case ZYDIS_MNEMONIC_OUTSD:
    case ZYDIS_MNEMONIC_AAA:
    case ZYDIS_MNEMONIC_AAS:
    case ZYDIS_MNEMONIC_AAM:
    case ZYDIS_MNEMONIC_AAD:
    case ZYDIS_MNEMONIC_DAA:
    case ZYDIS_MNEMONIC_DAS:
    case ZYDIS_MNEMONIC_ARPL:
    case ZYDIS_MNEMONIC_SALC:
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FRSTOR:
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_MASKMOVQ:
    case ZYDIS_MNEMONIC_MASKMOVDQU:
        return true;
    default:
        return false;
    }
}

static const uint8_t prefix[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};

#define ISA_NEWER (GISA_SSE41 | GISA_SSE42 | GISA_POPCNT | GISA_MOVBE)

/* What only computes and came so late that programs ask CPUID before they execute it; what is older they may try, and
 * count on #UD where it is not there. So it is harmless where it has not been executed: libraries have it beside what
 * every processor can do. */
static bool is_newer(const struct ginsn *g)
{
    const uint8_t *p = g->bytes;
    switch (g->mnemonic) {
    case ZYDIS_MNEMONIC_XBEGIN:
    case ZYDIS_MNEMONIC_XEND:
    case ZYDIS_MNEMONIC_XABORT:
    case ZYDIS_MNEMONIC_XTEST:
        return true;
    default:
        while (memchr(prefix, *p, sizeof prefix))
            p++;
        return (*p == 0xc4 || *p == 0xc5 || *p == 0x62) && p[1] >= 0xc0; /* VEX, EVEX: else LES, LDS, BOUND */
    }
}

/* No default: a new class has to be thought about. */
static bool is_direct(const struct ginsn *g)
{
    switch ((enum gclass)g->gclass) {
    case G_INTERP:
        return interp_is_direct(g);
    case G_PUSH_SEG:
    case G_MOV_FROM_SEG:
    case G_MOV_TO_SEG:
    case G_POP_SEG:
    case G_LOAD_FAR:
    case G_CALL_FAR:
    case G_JMP_FAR:
    case G_RET_FAR:
    case G_POPF: /* AC, NT, ID, TF would be the host's */
    case G_IRET:
    case G_SYSENTER: /* an Intel host enters its own kernel */
    case G_SYSEXIT:
    case G_RDTSC:
        return false;
    case G_INT:
        return (g->imm & 0xff) == 0x80; /* others trap too, but some as if they were INT3 or INTO */
    case G_GENERIC:                     /* F3 0F BD is LZCNT on a host that has it */
        return !(g->map == 1 && g->opcode == 0xbd && memchr(g->bytes, 0xf3, g->len));
    case G_NOP:
    case G_OPREG_IMM:
    case G_INCDEC:
    case G_XCHG_AX:
    case G_BSWAP:
    case G_MOFFS:
    case G_LEA:
    case G_XLAT:
    case G_PUSH_R:
    case G_PUSH_I:
    case G_PUSH_M:
    case G_POP_R:
    case G_POP_M:
    case G_PUSHA:
    case G_POPA:
    case G_PUSHF: /* IF is set, IOPL 0 in the guest, too: see direct.c */
    case G_LEAVE:
    case G_CALL:
    case G_CALL_IND:
    case G_RET:
    case G_JMP:
    case G_JMP_IND:
    case G_JCC:
    case G_JCXZ:
    case G_LOOP:
    case G_STRING:
    case G_CLI: /* these trap */
    case G_STI:
    case G_MOV_FROM_CR:
    case G_INVLPG:
    case G_IN:
    case G_OUT:
    case G_FOLLOWED: /* not made by ginsn_decode */
    case G_THUNK:
        return true;
    }
    return false;
}

/* The beginning of an instruction that the page's end cuts off. */
static bool stub_is_direct(const uint8_t *code, unsigned len)
{
    /* Longer than a byte, and to be left alone: MOV to and from segments, far transfers, LDS, LES, INT n. */
    static const uint8_t one[] = {0x8c, 0x8e, 0x9a, 0xca, 0xea, 0xc4, 0xc5, 0xcd};
    /* Of two bytes: all that are longer are computing instructions, but for groups 6 and 7, LAR, LSL, LSS and its
     * like, and what is newer than any guest knows. */
    static const uint8_t two[] = {0x00, 0x01, 0x02, 0x03, 0xae, 0xb2, 0xb4, 0xb5, 0xc7};
    while (len && memchr(prefix, *code, sizeof prefix)) {
        code++;
        len--;
    }
    if (!len)
        return true; /* nothing but prefixes: whatever it is, it is decided by the next page's look */
    if (*code == 0x0f)
        return len > 1 && !memchr(two, code[1], sizeof two);
    if (*code == 0xff)
        return len > 1 && (code[1] >> 3 & 7) != 3 && (code[1] >> 3 & 7) != 5;
    return !memchr(one, *code, sizeof one);
}

/* --- a page --- */

/* What its bytes are as beginnings of instructions: looked at once each. */
struct scan {
    uint8_t code[PAGE_SIZE + INSN_MAX_LEN]; /* and how the next page begins */
    unsigned code_len;
    const uint8_t *known;
    uint32_t isa;
    struct {
        uint8_t len; /* 0: not looked at yet; what would raise #UD counts one byte, what the code's end cuts off all */
        bool direct; /* or no instruction at all */
    } at[PAGE_SIZE];
};

static unsigned length_at(struct scan *s, unsigned at)
{
    struct ginsn g;
    unsigned left = s->code_len - at;
    if (s->at[at].len)
        return s->at[at].len;
    if (ginsn_decode(&g, s->code + at, left, at, true, s->isa | (s->known[at] ? 0 : ISA_NEWER))) {
        s->at[at].len = g.len;
        s->at[at].direct = is_direct(&g) || (!s->known[at] && is_newer(&g));
    } else {
        s->at[at].len = (uint8_t)(left < INSN_MAX_LEN ? left : 1);
        s->at[at].direct = left >= INSN_MAX_LEN || stub_is_direct(s->code + at, left);
    }
    return s->at[at].len;
}

/* Follows code from where an instruction begins to the page's end or to where it has been. What goes on beyond the
 * beginning of a known one was none itself: data behind a jump, say. */
static bool is_direct_from(struct scan *s, unsigned at, uint8_t *been)
{
    while (at < PAGE_SIZE && !been[at]) {
        unsigned end = at + length_at(s, at), next = at + 1;
        been[at] = true;
        while (next < end && (s->known[at] || next >= PAGE_SIZE || !s->known[next]))
            next++;
        if (next == end && !s->at[at].direct)
            return false;
        at = next;
    }
    return true;
}

/* Sweeps from the first offsets of a page: those that began at the wrong byte soon meet the right ones. What only some
 * of them take for an instruction is hardly one: instructions that may not run so are so rare in programs that a byte
 * that looks like one is far more often the middle of another. */
#define PHASES    15
#define MET_LEAST 8 /* fewer agree by chance */

/* The code before offset `end`, where an instruction begins (or the page ends), of which nothing is known. */
static bool is_direct_before(struct scan *s, unsigned end)
{
    uint8_t reached[PAGE_SIZE] = {0};
    unsigned met = 0; /* sweeps that came to the end as those do that are right */
    for (unsigned phase = 0; phase < PHASES && phase < end; phase++) {
        unsigned at = phase;
        while (at < end)
            at += length_at(s, at);
        if (at != end && end < PAGE_SIZE)
            continue;
        met++;
        for (at = phase; at < end; at += length_at(s, at))
            reached[at]++;
    }
    if (met < MET_LEAST)
        return true;
    unsigned enough = met * 3 / 4 + 1;
    for (unsigned at = 0; at < end; at++)
        if (reached[at] >= enough && !s->at[at].direct)
            return false;
    return true;
}

bool tr_page_is_direct(const uint8_t *page, const uint8_t *next, const uint8_t *known, uint32_t isa)
{
    struct scan s = {.known = known, .isa = isa, .code_len = PAGE_SIZE + (next ? INSN_MAX_LEN : 0)};
    memcpy(s.code, page, PAGE_SIZE);
    if (next)
        memcpy(s.code + PAGE_SIZE, next, INSN_MAX_LEN);
    uint8_t been[PAGE_SIZE] = {0};
    unsigned first = PAGE_SIZE;
    for (unsigned at = PAGE_SIZE; at-- > 0;) {
        if (!known[at])
            continue;
        first = at;
        if (!is_direct_from(&s, at, been))
            return false;
    }
    return is_direct_before(&s, first);
}

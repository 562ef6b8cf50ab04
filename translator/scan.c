/* Which pages of guest code may run directly on the CPU: those without instructions that would see the host instead of
 * the guest and do not trap (DESIGN.md, section 4). This is a matter of fidelity; that the host is safe from such
 * instructions is the cell's affair.
 */
#include <string.h>
#include <Zydis/Zydis.h>

#include "ginsn.h"
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
    static const uint8_t prefix[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
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

/* Visits instruction starts from offset `at` on, until the page's end or a place that this sweep was at before. The
 * state of each byte: 0 unknown, 1 no instruction begins well here or it is direct, 2 not direct. */
static bool sweep(const uint8_t *page, unsigned at, uint32_t isa, uint8_t *reached, bool strict)
{
    while (at < PAGE_SIZE) {
        struct ginsn g;
        reached[at]++;
        if (!ginsn_decode(&g, page + at, PAGE_SIZE - at, at, true, isa)) {
            if (PAGE_SIZE - at < 15)
                return !strict || stub_is_direct(page + at, PAGE_SIZE - at);
            at++; /* raises #UD if it is ever executed */
            continue;
        }
        if (strict && !is_direct(&g))
            return false;
        at += g.len;
    }
    return true;
}

/* From how many of the first offsets of a page an instruction start must be reached to count as one: sweeps that began
 * at the wrong byte soon meet the right ones. */
#define PHASES 15
#define ENOUGH 4

bool tr_page_is_direct(const uint8_t *page, unsigned entry, uint32_t isa)
{
    uint8_t reached[PAGE_SIZE] = {0}, forward[PAGE_SIZE] = {0};
    if (!sweep(page, entry, isa, forward, true))
        return false;
    for (unsigned phase = 0; phase < PHASES; phase++)
        sweep(page, phase, isa, reached, false);
    for (unsigned at = 0; at < entry; at++) {
        struct ginsn g;
        if (reached[at] < ENOUGH)
            continue;
        if (ginsn_decode(&g, page + at, PAGE_SIZE - at, at, true, isa) ? !is_direct(&g)
            : PAGE_SIZE - at < 15                                      ? !stub_is_direct(page + at, PAGE_SIZE - at)
                                                                       : false)
            return false;
    }
    return true;
}

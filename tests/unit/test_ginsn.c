/* The translator's two decoders must agree: what ginsn_form.c makes of an instruction, once it has seen another one of
 * the form, is what Zydis makes of it. All opcodes of the first two maps and all ModRM bytes, with the prefixes that it
 * takes, and everything else behind them random.
 */
#include <glib.h>
#include <string.h>

#include "insn.h"
#include "translator/ginsn.h"

static unsigned by_form;

static void compare(const uint8_t *bytes, unsigned avail, uint32_t eip, bool code32, uint32_t isa)
{
    struct ginsn want, got;
    memset(&got, 0x55, sizeof got);
    by_form += avail >= 15 && ginsn_by_form(&got, bytes, eip, code32, isa);
    bool valid = ginsn_decode_zydis(&want, bytes, avail, eip, code32, isa);
    memset(&got, 0x55, sizeof got);
    bool same = ginsn_decode(&got, bytes, avail, eip, code32, isa) == valid;
    if (same && valid) {
        same = got.len == want.len && !memcmp(got.bytes, want.bytes, want.len);
        memcpy(got.bytes, want.bytes, sizeof got.bytes);
        same = same && !memcmp(&got, &want, sizeof got);
    }
    if (same)
        return;
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < 15; i++)
        g_string_append_printf(text, " %02x", bytes[i]);
    g_test_message("code%u isa %#x:%s: %s", code32 ? 32 : 16, isa, text->str, valid ? "decoded differently" : "valid?");
    g_string_free(text, TRUE);
    g_test_fail();
}

/* --- The interpreter's table (insn.def) and the translator's classes --- */

static bool is_flow(enum gclass c)
{
    switch (c) {
    case G_CALL:
    case G_CALL_IND:
    case G_RET:
    case G_JMP:
    case G_JMP_IND:
    case G_JCC:
    case G_JCXZ:
    case G_LOOP:
    case G_INT:
    case G_IRET:
    case G_SYSENTER:
    case G_SYSEXIT:
    case G_CALL_FAR:
    case G_JMP_FAR:
    case G_RET_FAR:
        return true;
    default:
        return false;
    }
}

static unsigned both;
static const uint32_t condition[8] = {FL_OF, FL_CF, FL_ZF,         FL_CF | FL_ZF,
                                      FL_SF, FL_PF, FL_SF | FL_OF, FL_ZF | FL_SF | FL_OF};

/* There are two descriptions of instructions because the translator's has to say how they become host code, and comes
 * from Zydis, which checks ours. Where both speak of the same thing they must agree: what an instruction is, how long,
 * whether it goes elsewhere, who may execute it, and of flags what liveness relies on: no read is missing, and nothing
 * counts as surely written that might not be. */
static void agree(const uint8_t *bytes, uint32_t eip, bool code32, uint32_t isa)
{
    struct ginsn g;
    struct insn i;
    const char *wrong = NULL;
    if (!ginsn_decode_zydis(&g, bytes, 15, eip, code32, isa) || g.gclass == G_INTERP)
        return;
    int len = insn_decode(&i, bytes, 15, code32);
    const struct insn_row *row = i.row;
    uint32_t reads = row ? row->flags_read & FL_ARITH : 0;
    both++;
    /* A row for sixteen conditions reads what one of them does. */
    if (row && row->count == 16 && reads)
        reads = condition[i.opcode >> 1 & 7];
    else if (row && row->class == CLASS_X87 && reads) /* FCMOVcc: B, E, BE, U by ModRM.reg */
        reads = (const uint32_t[]){FL_CF, FL_ZF, FL_CF | FL_ZF, FL_PF}[i.reg & 3];
    if (len != g.len)
        wrong = "length";
    else if (i.id == INSN_UD)
        wrong = "one takes it for undefined";
    else if (!!(row->attr & IA_FLOW) != is_flow(g.gclass))
        wrong = "flow";
    else if ((row->attr & IA_PRIV) && g.gclass != G_MOV_FROM_CR && g.gclass != G_SYSEXIT && g.gclass != G_INVLPG)
        wrong = "privilege";
    else if (reads & ~g.flags_read)
        wrong = "a flag that is read is missing";
    else if (g.flags_kill & ~(row->flags_written | row->flags_undefined))
        wrong = "a flag counts as written that is not";
    else if (row->has_modrm != g.has_modrm)
        wrong = "ModRM";
    if (!wrong)
        return;
    GString *text = g_string_new(NULL);
    for (unsigned k = 0; k < 15; k++)
        g_string_append_printf(text, " %02x", bytes[k]);
    g_test_message("code%u isa %#x:%s: %s: %s (class %u, length %d and %u, flags read %x %x, written %x %x)",
                   code32 ? 32 : 16, isa, text->str, row ? row->name : "?", wrong, g.gclass, len, g.len,
                   row->flags_read, g.flags_read, row->flags_written | row->flags_undefined, g.flags_kill);
    g_string_free(text, TRUE);
    g_test_fail();
}

/* Every instruction, with random operands; in an order that lets any of its form be the first. */
static void all(uint32_t isa)
{
    static const uint8_t prefix[][3] = {{0}, {1, 0x66}, {1, 0x64}, {2, 0x65, 0x66}, {1, 0xf3}};
    uint32_t total = 2 * G_N_ELEMENTS(prefix) * 2 << 16, at = (uint32_t)g_test_rand_int() % total;
    by_form = 0;
    for (uint32_t n = 0; n < total; n++) {
        at = (uint32_t)((at + 0x9e3779b1ull) % total); /* they have no divisor in common */
        uint32_t k = at;
        uint8_t bytes[24], *p = bytes;
        for (unsigned i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)g_test_rand_int();
        if (g_test_rand_int() & 1)
            memset(bytes + 4, 0, 8);
        uint8_t modrm = (uint8_t)k, opcode = (uint8_t)(k >> 8);
        k >>= 16;
        bool map1 = k & 1, code32 = k & 2;
        const uint8_t *pre = prefix[k >> 2];
        memcpy(p, pre + 1, pre[0]);
        p += pre[0];
        if (map1)
            *p++ = 0x0f;
        *p++ = opcode;
        *p++ = modrm;
        unsigned avail = g_test_rand_int() & 15 ? 24 : 1 + ((uint32_t)g_test_rand_int() & 15);
        compare(bytes, avail, (uint32_t)g_test_rand_int(), code32, isa);
        agree(bytes, (uint32_t)g_test_rand_int(), code32, isa);
    }
    g_assert_cmpuint(by_form, >, total / 5);
    g_assert_cmpuint(both, >, total / 5);
}

static void test_all(void)
{
    for (unsigned round = 0; round < 3; round++)
        all(round & 1 ? UINT32_MAX : UINT32_MAX >> 1);
}

/* Random bytes, and CPUs with less than everything: what has been learnt for one does not hold for the other. */
static void test_random(void)
{
    static const uint32_t isa[] = {UINT32_MAX, 0, GISA_FPU, GISA_FPU | GISA_CMOV | GISA_MMX | GISA_SEP};
    uint8_t bytes[24];
    for (unsigned n = 0; n < 400000; n++) {
        for (unsigned i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)g_test_rand_int();
        compare(bytes, sizeof bytes, n, n & 1, isa[n / 5000 % G_N_ELEMENTS(isa)]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ginsn/all", test_all);
    g_test_add_func("/ginsn/random", test_random);
    return g_test_run();
}

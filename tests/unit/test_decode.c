/* The decoder against Capstone, on all opcode forms and on random bytes: lengths must agree, and so must
 * whether the bytes are an instruction at all, but for the differences listed here with their reasons. */
#include <capstone/capstone.h>
#include <glib.h>
#include <string.h>

#include "insn.h"

static csh capstone_of[2]; /* [code32] */

/* Capstone's length of the first instruction, 0 if it knows none. */
static unsigned capstone_length(const uint8_t *bytes, bool code32, cs_insn *out)
{
    const uint8_t *at = bytes;
    size_t size = INSN_MAX_LEN;
    uint64_t address = 0;

    return cs_disasm_iter(capstone_of[code32], &at, &size, &address, out) ? out->size : 0;
}

/* Where the two may differ, and why. Returns the reason or NULL. */
static const char *known_difference(const struct insn *ours, unsigned theirs)
{
    const struct insn_row *row = ours->row;
    bool unknown = ours->id == INSN_UD;

    if (unknown && theirs)
        return "Capstone also knows AVX, 3DNow!, AMD and Intel extensions that the table leaves out";
    if (row->class == CLASS_UD)
        return "UD0, UD1, UD2 and RSM are for us the same as no instruction; only their #UD matters";
    if (row->map == 1 && (row->opcode & 0xfc) == 0x20)
        return "MOV CR/DR ignores mod; Capstone reads a displacement and refuses unknown registers";
    if (!theirs && (row->prefix == PFX_ANY) && (ours->rep || ours->prefix66))
        return "Capstone refuses F2, F3 or 66 before some instructions on which they have no effect";
    if (!theirs && ours->lock)
        return "we decode LOCK anywhere and raise #UD on execution";
    if (!theirs && row->map == 0 && row->opcode == 0x82)
        return "82h, alias of 80h";
    if (!theirs && row->map == 0 && (row->opcode == 0xf6 || row->opcode == 0xf7) && ours->reg == 1)
        return "F6/F7 /1, alias of TEST";
    if (!theirs && row->class == CLASS_SHIFT && ours->reg == 6)
        return "shift group /6, alias of SHL";
    if (!theirs && row->class == CLASS_X87)
        return "undocumented x87 aliases";
    if (!theirs && row->class == CLASS_NOP)
        return "hint NOPs in register forms";
    if (!theirs && (row->id == INSN_MOV_EvSw || row->id == INSN_MOV_SwEw))
        return "segment register 6, 7 and MOV CS are #UD on execution";
    if (!theirs &&
        (row->id == INSN_CLFLUSH || row->id == INSN_LFENCE || row->id == INSN_MFENCE || row->id == INSN_SFENCE))
        return "fences with rm other than 0";
    if (theirs && row->id == INSN_CALL_Jz && ours->prefix66 && ours->rep)
        return "Capstone forgets 66 before a CALL that also has F2 (BND) or F3";
    if (row->class == CLASS_MMX || row->class == CLASS_SSE || row->feature >= FEAT_MMX) {
        if (!theirs)
            return "mandatory prefixes: Capstone refuses combinations such as 66 with F3";
    }
    return NULL;
}

struct tally {
    unsigned agreed, excused;
};

static void check(const uint8_t *bytes, bool code32, cs_insn *cs, struct tally *tally)
{
    struct insn ours;
    int length = insn_decode(&ours, bytes, INSN_MAX_LEN, code32);
    unsigned theirs = capstone_length(bytes, code32, cs);

    if (length < 0) {
        tally->agreed += theirs == 0;
        tally->excused += theirs != 0; /* Capstone allows a few prefixes more than 15 bytes hold */
        return;
    }
    if ((ours.id == INSN_UD && !theirs) || (unsigned)length == theirs) {
        tally->agreed++;
        return;
    }
    if (known_difference(&ours, theirs)) {
        tally->excused++;
        return;
    }
    GString *hex = g_string_new(NULL);
    for (unsigned i = 0; i < INSN_MAX_LEN; i++)
        g_string_append_printf(hex, "%02x ", bytes[i]);
    g_error("%s-bit %s: we say %s, %d bytes; Capstone %s, %u bytes", code32 ? "32" : "16", hex->str, ours.row->name,
            length, theirs ? cs->mnemonic : "(none)", theirs);
}

static void check_both(const uint8_t *bytes, cs_insn *cs, struct tally *tally)
{
    check(bytes, false, cs, tally);
    check(bytes, true, cs, tally);
}

/* Every opcode of every map, every ModRM byte, with each prefix that selects. */
static void test_forms(void)
{
    static const uint8_t prefixes[][2] = {{0}, {0x66}, {0xf2}, {0xf3}, {0x67}, {0x66, 0x67}};
    static const uint8_t maps[][2] = {{0}, {0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}};
    struct tally tally = {0, 0};
    cs_insn *cs = cs_malloc(capstone_of[1]);

    for (unsigned p = 0; p < G_N_ELEMENTS(prefixes); p++) {
        for (unsigned m = 0; m < G_N_ELEMENTS(maps); m++) {
            for (unsigned opcode = 0; opcode < 256; opcode++) {
                for (unsigned modrm = 0; modrm < 256; modrm += m >= 2 ? 5 : 1) {
                    uint8_t bytes[INSN_MAX_LEN] = {0};
                    unsigned n = 0;
                    for (unsigned i = 0; i < 2 && prefixes[p][i]; i++)
                        bytes[n++] = prefixes[p][i];
                    for (unsigned i = 0; i < 2 && maps[m][i]; i++)
                        bytes[n++] = maps[m][i];
                    if (m == 0 && opcode == 0x0f)
                        continue;
                    bytes[n++] = (uint8_t)opcode;
                    bytes[n++] = (uint8_t)modrm;
                    bytes[n++] = 0x25; /* SIB with a 32-bit displacement where mod is 0 */
                    check_both(bytes, cs, &tally);
                }
            }
        }
    }
    cs_free(cs, 1);
    g_test_message("agreed %u, excused %u", tally.agreed, tally.excused);
    g_assert_cmpuint(tally.agreed, >, 20 * tally.excused);
}

static void test_random(void)
{
    struct tally tally = {0, 0};
    cs_insn *cs = cs_malloc(capstone_of[1]);

    for (unsigned round = 0; round < 300000; round++) {
        uint8_t bytes[INSN_MAX_LEN];
        for (unsigned i = 0; i < INSN_MAX_LEN; i += 4) {
            uint32_t word = (uint32_t)g_test_rand_int();
            memcpy(bytes + i, &word, i + 4 > INSN_MAX_LEN ? INSN_MAX_LEN - i : 4);
        }
        check_both(bytes, cs, &tally);
    }
    cs_free(cs, 1);
    g_test_message("agreed %u, excused %u", tally.agreed, tally.excused);
    g_assert_cmpuint(tally.agreed, >, 100 * tally.excused);
}

/* --- one behaviour each --- */

static struct insn decode(const uint8_t *bytes, unsigned n, bool code32, int expected)
{
    struct insn insn;

    g_assert_cmpint(insn_decode(&insn, bytes, n, code32), ==, expected);
    return insn;
}
#define DECODE(code32, expected, ...) \
    ({ \
        static const uint8_t bytes_[] = {__VA_ARGS__}; \
        decode(bytes_, sizeof(bytes_), code32, expected); \
    })

static void test_too_long(void)
{
    uint8_t bytes[16];

    memset(bytes, 0x66, sizeof(bytes));
    bytes[14] = 0x90;
    decode(bytes, 15, true, 15);
    bytes[14] = 0x66;
    decode(bytes, 15, true, -1);
}

static void test_short_buffer(void)
{
    DECODE(true, 0, 0xb8, 0x01);
    DECODE(true, 0, 0x0f);
    DECODE(true, 0, 0x8b, 0x84);
}

static void test_default_segment(void)
{
    g_assert_cmpint(DECODE(true, 3, 0x8b, 0x45, 0x00).seg, ==, SEG_SS);
    g_assert_cmpint(DECODE(true, 3, 0x8b, 0x04, 0x24).seg, ==, SEG_SS);
    g_assert_cmpint(DECODE(true, 2, 0x8b, 0x03).seg, ==, SEG_DS);
    g_assert_cmpint(DECODE(true, 4, 0x2e, 0x8b, 0x45, 0x00).seg, ==, SEG_CS);
    g_assert_cmpint(DECODE(false, 2, 0x8b, 0x02).seg, ==, SEG_SS); /* [bp+si] */
}

static void test_last_override_wins(void)
{
    g_assert_cmpint(DECODE(true, 4, 0x2e, 0x64, 0x8b, 0x03).seg, ==, SEG_FS);
}

static void test_sib(void)
{
    struct insn insn = DECODE(true, 7, 0x8b, 0x84, 0x8b, 0x78, 0x56, 0x34, 0x12);

    g_assert_cmpint(insn.base, ==, EBX);
    g_assert_cmpint(insn.index, ==, ECX);
    g_assert_cmpint(insn.scale, ==, 2);
    g_assert_cmphex((uint32_t)insn.disp, ==, 0x12345678);
}

static void test_sib_without_base(void)
{
    struct insn insn = DECODE(true, 7, 0x8b, 0x04, 0x25, 0x78, 0x56, 0x34, 0x12);

    g_assert_cmpint(insn.base, ==, REG_NONE);
    g_assert_cmpint(insn.index, ==, REG_NONE);
    g_assert_cmpint(insn.seg, ==, SEG_DS);
}

static void test_sign_extension(void)
{
    g_assert_cmphex(DECODE(true, 3, 0x83, 0xc0, 0x80).imm, ==, 0xffffff80);
    g_assert_cmphex(DECODE(true, 2, 0xeb, 0xfe).imm, ==, 0xfffffffe);
    g_assert_cmphex(DECODE(false, 3, 0xe9, 0x00, 0x80).imm, ==, 0xffff8000);
    g_assert_cmphex(DECODE(true, 2, 0xcd, 0x80).imm, ==, 0x80);
}

static void test_mandatory_prefix(void)
{
    g_assert_cmpint(DECODE(true, 3, 0x0f, 0x58, 0xc1).id, ==, INSN_ADDPS);
    g_assert_cmpint(DECODE(true, 4, 0x66, 0x0f, 0x58, 0xc1).id, ==, INSN_ADDPD);
    g_assert_cmpint(DECODE(true, 4, 0xf3, 0x0f, 0x58, 0xc1).id, ==, INSN_ADDSS);
    g_assert_cmpint(DECODE(true, 5, 0x66, 0xf2, 0x0f, 0x58, 0xc1).id, ==, INSN_ADDSD);
}

static void test_x87_register_forms(void)
{
    g_assert_cmpint(DECODE(true, 2, 0xd9, 0xff).id, ==, INSN_FCOS);
    g_assert_cmpint(DECODE(true, 2, 0xd9, 0xe8).id, ==, INSN_FLD1);
    g_assert_cmpint(DECODE(true, 2, 0xde, 0xd9).id, ==, INSN_FCOMPP);
    g_assert_cmpint(DECODE(true, 2, 0xdf, 0xe0).id, ==, INSN_FNSTSW_AX);
    g_assert_cmpint(DECODE(true, 2, 0xde, 0xda).id, ==, INSN_UD);
}

/* The table's own rules. */
static void test_table(void)
{
    for (unsigned map = 0; map < 4; map++) {
        for (unsigned opcode = 0; opcode < 256; opcode++) {
            uint16_t last = insn_last_row(map, opcode);
            for (uint16_t id = last; id != INSN_UD; id--) {
                const struct insn_row *row = &insn_rows[id];
                if (row->map != map || opcode < row->opcode || opcode >= row->opcode + row->count)
                    break;
                g_assert_cmpint(row->has_modrm, ==, insn_rows[last].has_modrm);
                g_assert_cmphex(row->flags_written & row->flags_undefined, ==, 0);
                g_assert_cmpuint(row->id, ==, id);
            }
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(cs_open(CS_ARCH_X86, CS_MODE_16, &capstone_of[0]), ==, CS_ERR_OK);
    g_assert_cmpint(cs_open(CS_ARCH_X86, CS_MODE_32, &capstone_of[1]), ==, CS_ERR_OK);
    g_test_add_func("/decode/forms", test_forms);
    g_test_add_func("/decode/random", test_random);
    g_test_add_func("/decode/too_long", test_too_long);
    g_test_add_func("/decode/short_buffer", test_short_buffer);
    g_test_add_func("/decode/default_segment", test_default_segment);
    g_test_add_func("/decode/last_override", test_last_override_wins);
    g_test_add_func("/decode/sib", test_sib);
    g_test_add_func("/decode/sib_without_base", test_sib_without_base);
    g_test_add_func("/decode/sign_extension", test_sign_extension);
    g_test_add_func("/decode/mandatory_prefix", test_mandatory_prefix);
    g_test_add_func("/decode/x87", test_x87_register_forms);
    g_test_add_func("/decode/table", test_table);
    return g_test_run();
}

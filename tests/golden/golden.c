/* Codegen goldens: the host code of each case in cases.S must be what expected.txt says.
 *
 *   golden OBJECT EXPECTED [--accept]
 *
 * --accept rewrites EXPECTED; the review of that change sees the price of a change in the translator.
 */
#include <elf.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <capstone/capstone.h>

#include "translator/ginsn.h"
#include "hostcpu.h"
#include "mem.h"
#include "translator/tcache.h"
#include "bt.h"
#include "translator/block.h"
#include "translator/cache.h"

#define CODE_AT 0x10000u

static bool flat_code_page(struct bt *bt, gla_t gla, gpa_t *gpa, bool *global)
{
    *gpa = gla;
    *global = false;
    return gla < guest_mem.ram_size;
}

static void no_protect(gpa_t page)
{
}

static const char *tramp_name(uint64_t target)
{
    static const char *const name[] = {"chain",    "lookup", "interp", "fpu",        "stale", "gate",  "site",
                                       "ret_slow", "jump",   "mode",   "mode_flags", "cs",    "leave", "touch"};
    _Static_assert(G_N_ELEMENTS(name) == TRAMP_COUNT, "one name each");
    for (unsigned i = 0; i < TRAMP_COUNT; i++)
        if ((uintptr_t)tcache_tramp(i) == target)
            return name[i];
    return NULL;
}

static void list(GString *out, csh cs, const uint8_t *code, size_t len, uint64_t at, bool host)
{
    cs_insn *insn;
    size_t n = cs_disasm(cs, code, len, at, 0, &insn);
    for (size_t i = 0; i < n; i++) {
        const cs_x86 *x = &insn[i].detail->x86;
        char operand[200];
        g_strlcpy(operand, insn[i].op_str, sizeof operand);
        bool branch = cs_insn_group(cs, &insn[i], CS_GRP_JUMP) || cs_insn_group(cs, &insn[i], CS_GRP_CALL);
        if (host && branch && x->op_count && x->operands[0].type == X86_OP_IMM) {
            uint64_t target = (uint64_t)x->operands[0].imm;
            const char *tramp = tramp_name(target);
            if (target >= at && target <= at + len)
                snprintf(operand, sizeof operand, "+0x%x", (unsigned)(target - at));
            else
                snprintf(operand, sizeof operand, "<%s>", tramp ? tramp : "?");
        }
        if (host)
            g_string_append_printf(out, "    %3x  %s %s\n", (unsigned)(insn[i].address - at), insn[i].mnemonic,
                                   operand);
        else
            g_string_append_printf(out, "%s %s\n", insn[i].mnemonic, operand);
    }
    if (n)
        cs_free(insn, n);
}

static void one_case(GString *out, struct bt *bt, const char *name, const uint8_t *code, size_t len, bool code16)
{
    csh guest, host;
    tcache_flush();
    memset(guest_mem.ram, 0x90, 0x40000);
    memcpy(guest_mem.ram + CODE_AT, code, len);
    struct cpu *cpu = &bt->cpu;
    memset(cpu, 0, sizeof *cpu);
    cpu->eflags = FL_FIXED1;
    cpu->cr4 = CR4_OSFXSR;
    bt->fpu_on = true;
    for (unsigned s = SEG_ES; s <= SEG_GS; s++) {
        struct seg *seg = &cpu->seg[s];
        seg->access = ACC_P | ACC_S | ACC_WRITE | ACC_ACCESSED | (s == SEG_CS ? ACC_CODE : 0);
        if (code16) {
            seg->limit = 0xffff;
        } else {
            seg->access |= ACC_DB | ACC_G;
            seg->limit = UINT32_MAX;
            if (s == SEG_FS || s == SEG_GS)
                seg->base = 0x1000;
        }
    }
    cpu->cr0 = code16 ? 0 : CR0_PE | CR0_PG;
    bool ok;
    bt->mode = bt_mode(bt, &ok);
    g_assert_true(ok);
    /* 16-bit code begins at offset 0 of its segment, flat code at its address. */
    uint32_t eip = code16 ? 0 : CODE_AT;
    bt->cs_base = cpu->seg[SEG_CS].base = CODE_AT - eip;
    bt->cs_limit = cpu->seg[SEG_CS].limit;
    struct tentry *t = tr_lookup(bt, eip, true);
    g_string_append_printf(out, "== %s\n", name);
    g_assert_nonnull(t);
    g_assert_true(cs_open(CS_ARCH_X86, code16 ? CS_MODE_16 : CS_MODE_32, &guest) == CS_ERR_OK);
    g_assert_true(cs_open(CS_ARCH_X86, CS_MODE_64, &host) == CS_ERR_OK);
    csh both[] = {guest, host};
    for (unsigned i = 0; i < 2; i++) {
        cs_option(both[i], CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
        cs_option(both[i], CS_OPT_DETAIL, CS_OPT_ON);
    }
    list(out, guest, code, t->block->guest_len, eip, false);
    list(out, host, t->block->host, t->block->host_len, (uintptr_t)t->block->host, true);
    cs_close(&guest);
    cs_close(&host);
}

int main(int argc, char **argv)
{
    gsize size;
    char *object, *expected = NULL;
    if (argc < 3 || !g_file_get_contents(argv[1], &object, &size, NULL)) {
        fprintf(stderr, "usage: golden OBJECT EXPECTED [--accept]\n");
        return 2;
    }
    GError *error = NULL;
    hostcpu_assume(&(struct hostcpu){0});
    if (!mem_init(1 * MiB, &error) || !tcache_init(TCACHE_DEFAULT, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return 2;
    }
    tr_set_code_page(flat_code_page);
    tr_set_protect(no_protect);
    struct bt *bt = aligned_alloc(64, (sizeof *bt + 63) / 64 * 64);
    memset(bt, 0, sizeof *bt);
    bt->isa = ~0u;
    bt->gs_matters = true;

    GString *out = g_string_new(NULL);
    const Elf32_Ehdr *eh = (const void *)object;
    const Elf32_Shdr *sh = (const void *)(object + eh->e_shoff);
    const char *names = object + sh[eh->e_shstrndx].sh_offset;
    unsigned cases = 0;
    for (unsigned i = 0; i < eh->e_shnum; i++) {
        const char *name = names + sh[i].sh_name;
        if (sh[i].sh_type != SHT_PROGBITS)
            continue;
        bool code16 = g_str_has_prefix(name, ".case16.");
        if (!code16 && !g_str_has_prefix(name, ".case."))
            continue;
        one_case(out, bt, strchr(name + 1, '.') + 1, (const uint8_t *)object + sh[i].sh_offset, sh[i].sh_size, code16);
        cases++;
    }
    if (argc > 3 && !strcmp(argv[3], "--accept")) {
        g_assert_true(g_file_set_contents(argv[2], out->str, (gssize)out->len, NULL));
        printf("accepted %u cases\n", cases);
        g_free(object);
        g_string_free(out, TRUE);
        free(bt);
        return 0;
    }
    if (!g_file_get_contents(argv[2], &expected, NULL, NULL))
        expected = g_strdup("");
    char **want = g_strsplit(expected, "== ", -1), **got = g_strsplit(out->str, "== ", -1);
    unsigned wrong = 0;
    for (unsigned i = 0; got[i] || want[i]; i++) {
        if (g_strcmp0(want[i], got[i]) != 0) {
            wrong++;
            printf("--- expected: %s\n+++ translated: %s\n", want[i] ? want[i] : "(nothing)",
                   got[i] ? got[i] : "(nothing)");
        }
        if (!got[i] || !want[i])
            break;
    }
    printf("golden: %u cases, %u differ%s\n", cases, wrong,
           wrong ? " (accept with: golden OBJECT EXPECTED --accept)" : "");
    g_strfreev(want);
    g_strfreev(got);
    g_free(expected);
    g_free(object);
    g_string_free(out, TRUE);
    free(bt);
    return wrong != 0;
}

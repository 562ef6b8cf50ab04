/* `-d tr`: a block's guest and host code side by side, disassembled by Capstone. */
#include <capstone/capstone.h>
#include <glib.h>

#include "log.h"
#include "tr.h"

static void listing(GString *out, csh cs, const uint8_t *code, size_t len, uint64_t address, const char *lead)
{
    cs_insn *insn;
    size_t n = cs_disasm(cs, code, len, address, 0, &insn);
    for (size_t k = 0; k < n; k++)
        g_string_append_printf(out, "%s%08" PRIx64 "  %s %s\n", lead, insn[k].address, insn[k].mnemonic,
                               insn[k].op_str);
    if (n)
        cs_free(insn, n);
}

void tr_dump(const struct tr *t, const struct tblock *b)
{
    csh guest, host;
    if (cs_open(CS_ARCH_X86, t->code32 ? CS_MODE_32 : CS_MODE_16, &guest) != CS_ERR_OK)
        return;
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &host) != CS_ERR_OK) {
        cs_close(&guest);
        return;
    }
    cs_option(guest, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
    cs_option(host, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
    GString *out = g_string_new(NULL);
    g_string_append_printf(out, "block eip=%08x phys=%09" PRIx64 " mode=%08x guest=%u host=%u bytes\n",
                           b->eip, b->phys, b->mode, b->guest_len, b->host_len);
    unsigned k = 0;
    for (unsigned i = 0; i < t->count; i++) {
        listing(out, guest, t->g[i].bytes, t->g[i].len, t->g[i].eip, "  ");
        while (k < b->row_count && b->row[k].insn == i) {
            uint32_t from = b->row[k].host;
            uint32_t to = k + 1 < b->row_count ? b->row[k + 1].host : b->host_len;
            listing(out, host, b->host + from, to - from, (uint64_t)(uintptr_t)b->host + from,
                    "                                          ");
            k++;
        }
    }
    if (k < b->row_count)
        listing(out, host, b->host + b->row[k].host, b->host_len - b->row[k].host,
                (uint64_t)(uintptr_t)b->host + b->row[k].host,
                "                                          ");
    log_printf("%s", out->str);
    g_string_free(out, TRUE);
    cs_close(&host);
    cs_close(&guest);
}

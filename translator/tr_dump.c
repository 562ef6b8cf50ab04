/* `-d tr`: a block's guest and host code side by side, disassembled by Capstone. */
#include <capstone/capstone.h>
#include <glib.h>

#include "log.h"
#include "mem.h"
#include "tr.h"
#include "block.h"

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

/* One disassembler for the guest's side and one for the host's; false if Capstone has none. */
static bool disassemblers_open(const struct tblock *b, csh *guest, csh *host)
{
    if (cs_open(CS_ARCH_X86, b->mode & MODE_CODE32 ? CS_MODE_32 : CS_MODE_16, guest) != CS_ERR_OK)
        return false;
    if (cs_open(CS_ARCH_X86, CS_MODE_64, host) != CS_ERR_OK) {
        cs_close(guest);
        return false;
    }
    cs_option(*guest, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
    cs_option(*host, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
    return true;
}

static void print_and_close(GString *out, csh *guest, csh *host)
{
    log_printf("%s", out->str);
    g_string_free(out, TRUE);
    cs_close(host);
    cs_close(guest);
}

#define BYTES_A_LINE 8

/* One instruction as QEMU shows it: linear address, bytes, text. */
static void list_as_qemu(GString *out, csh cs, const uint8_t *code, size_t len, gla_t at)
{
    cs_insn *insn = NULL;
    size_t n = cs_disasm(cs, code, len, at, 1, &insn);
    for (size_t done = 0; done < len; done += BYTES_A_LINE) {
        GString *bytes = g_string_new(NULL);
        for (size_t i = done; i < len && i < done + BYTES_A_LINE; i++)
            g_string_append_printf(bytes, "%02x ", code[i]);
        if (done)
            g_string_append_printf(out, "0x%08x:  %s\n", at + (gla_t)done, bytes->str);
        else
            g_string_append_printf(out, "0x%08x:  %-*s %-8s %s\n", at, 3 * BYTES_A_LINE, bytes->str,
                                   n ? insn->mnemonic : "(bad)", n ? insn->op_str : "");
        g_string_free(bytes, TRUE);
    }
    if (n)
        cs_free(insn, n);
}

/* -d in_asm */
static void dump_guest(GString *out, csh cs, const struct tr *t)
{
    g_string_append(out, "----------------\nIN: \n");
    for (unsigned i = 0; i < t->count; i++)
        list_as_qemu(out, cs, t->g[i].bytes, t->g[i].len, t->cs_base + t->g[i].eip);
    g_string_append(out, "\n");
}

void tr_dump(const struct tr *t, const struct tblock *b)
{
    csh guest, host;
    if (!disassemblers_open(b, &guest, &host))
        return;
    GString *out = g_string_new(NULL);
    if (log_on(LOG_ASM))
        dump_guest(out, guest, t);
    if (!log_on(LOG_TR)) {
        print_and_close(out, &guest, &host);
        return;
    }
    g_string_append_printf(out, "block eip=%08x phys=%09" PRIx64 " mode=%08x guest=%u host=%u bytes\n", b->eip, b->phys,
                           b->mode, b->guest_len, b->host_len);
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
                (uint64_t)(uintptr_t)b->host + b->row[k].host, "                                          ");
    print_and_close(out, &guest, &host);
}

bool tr_is_string(const struct tentry *entry, unsigned i)
{
    const struct tblock *b = entry->block;
    gpa_t at = b->phys + b->insn_off[i];
    const uint8_t *bytes = mem_ptr(at);
    unsigned avail = PAGE_SIZE - (unsigned)(at & (PAGE_SIZE - 1));
    for (unsigned k = 0; k < avail && k < 15; k++) {
        switch (bytes[k]) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64:
        case 0x65:
        case 0x66:
        case 0x67:
        case 0xf0:
        case 0xf2:
        case 0xf3:
            continue;
        }
        return (bytes[k] >= 0xa4 && bytes[k] <= 0xa7) || (bytes[k] >= 0xaa && bytes[k] <= 0xaf) ||
               (bytes[k] >= 0x6c && bytes[k] <= 0x6f);
    }
    return false;
}

void tr_print_block(const struct tentry *entry)
{
    const struct tblock *b = entry->block;
    csh guest, host;
    if (!disassemblers_open(b, &guest, &host))
        return;
    GString *out = g_string_new(NULL);
    g_string_append_printf(out, "block eip=%08x phys=%09" PRIx64 " mode=%08x\n", b->eip, b->phys, b->mode);
    uint32_t len = b->phys2 == TBLOCK_NO_PAGE ? b->guest_len : PAGE_SIZE - (b->phys & (PAGE_SIZE - 1));
    listing(out, guest, mem_ptr(b->phys), len, b->eip, "  ");
    listing(out, host, b->host, b->host_len, (uint64_t)(uintptr_t)b->host, "        ");
    print_and_close(out, &guest, &host);
}

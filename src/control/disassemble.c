/* Guest code as text. See disassemble.h. */
#include "disassemble.h"

#include <capstone/capstone.h>

#define BYTES_SHOWN 8 /* in a line; the rest follows in another, as QEMU has it */

static void bytes_print(GString *out, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < BYTES_SHOWN; i++) {
        if (i < len)
            g_string_append_printf(out, "%02x ", bytes[i]);
        else
            g_string_append(out, "   ");
    }
}

size_t disassemble_one(const uint8_t *bytes, size_t len, uint64_t address, bool code32, GString *out)
{
    csh handle;
    cs_insn *insn = NULL;
    size_t count = 0, used = 1;
    if (cs_open(CS_ARCH_X86, code32 ? CS_MODE_32 : CS_MODE_16, &handle) == CS_ERR_OK) {
        cs_option(handle, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
        count = cs_disasm(handle, bytes, len, address, 1, &insn);
    }
    if (count)
        used = insn->size;
    g_string_append_printf(out, "0x%08llx:  ", (unsigned long long)address);
    bytes_print(out, bytes, used);
    if (count)
        g_string_append_printf(out, " %-8s %s\n", insn->mnemonic, insn->op_str);
    else
        g_string_append_printf(out, " .byte    0x%02x\n", bytes[0]);
    if (used > BYTES_SHOWN) {
        g_string_append_printf(out, "0x%08llx:  ", (unsigned long long)(address + BYTES_SHOWN));
        bytes_print(out, bytes + BYTES_SHOWN, used - BYTES_SHOWN);
        g_string_append_c(out, '\n');
    }
    if (insn)
        cs_free(insn, count);
    cs_close(&handle);
    return used;
}

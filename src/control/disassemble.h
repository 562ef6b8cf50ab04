/* Guest code as text, by Capstone. */
#pragma once

#include <glib.h>

#include "types.h"

#define INSN_LONGEST 15

/* Appends a line as QEMU prints it ("0x0000b7b9:  00 00   addb ...", AT&T syntax) and returns how many bytes it is of;
 * 1 where the bytes are no instruction. len: how many there are. */
size_t disassemble_one(const uint8_t *bytes, size_t len, uint64_t address, bool code32, GString *out);

/* What processors do differently where the manuals leave it open, and what this one does.
 *
 * Translated code and cells use the host's own instructions, so in all of this a guest sees the host's ways; the
 * interpreter follows them, to be the translator's oracle on any host. tests/insn holds it against the processor.
 */
#pragma once

#include "types.h"

struct hostcpu {
    /* ROL and ROR of a register by an immediate other than 1 leave OF as it was; by CL, and of memory, they compute it
     * (Intel's, at least since Granite Rapids). Else they compute it both ways (AMD's). */
    bool rotate_keeps_of;
    /* CPUID.(7,0):EBX[6], FDP_EXCPTN_ONLY: FDP and FDS change only with an instruction that leaves an unmasked
     * exception pending. */
    bool fdp_on_exception;
    /* A repeated CMPS or SCAS that ends in a fault has the flags of before its first iteration (Intel's), not of its
     * last one (AMD's). */
    bool strings_keep_flags;
    /* A store from an MMX register that faults has made TOP 0, and no tag valid (Intel's), or nothing (AMD's). */
    bool mmx_store_clears_top;
    /* PUSH of a segment register with a 32-bit operand stores two bytes, and leaves the upper half of the element as it
     * was (Intel's), or zero in it (AMD's). */
    bool push_seg_16;
    /* MASKMOVDQU finds what is missing in the upper half of its operand first (Intel's), or in the lower one (AMD's).
     */
    bool maskmov_high_first;
    /* An x87 store that raises an unmasked exception, and so stores nothing, may yet fault for its operand (AMD's). */
    bool x87_store_probes;
    /* Operands of 16 bytes that may be anywhere (MOVUPS and the like) raise #AC where they are not aligned (AMD's). */
    bool unaligned16_ac;
};

/* Known from the start of the program. */
const struct hostcpu *hostcpu(void);
/* For a test that expects one thing on all machines: from here on, it is this. */
void hostcpu_assume(const struct hostcpu *assumed);

/* The x87 pointers (FIP, FCS, FDP, FDS, FOP) of a guest whose x87 instructions run on the host.
 *
 * The host notes its own addresses: of the translated instruction, and of the operand in the window. Code lies below 4
 * GiB and windows begin at multiples of it, so what FNSTENV stores on the way out of translated code is enough: the
 * address in the code cache leads to the guest's instruction through the block's rows, and the low half of the
 * operand's address is its linear address. Its segment register may have been loaded since, and which one it was is not
 * known if a block before had it: translated code notes selector and base (bt->x87_operand). On the way in the host's
 * pointers are zero, so that what has not changed can be told: an instruction without an operand in memory leaves FDP
 * and FDS alone.
 *
 * While no exception is pending, a host (AMD's) forgets its pointers with each signal and switch of tasks. Where that
 * is likely, and where they are stored, translated code says itself which instruction was the last one (bt->x87_at); in
 * the other cases the guest sees older pointers, those of operands too.
 */
#pragma once

#include "bt.h"

/* world_enter with all that. */
enum exit_reason x87_enter(struct bt *bt, const void *host);
/* After it: the host has no pointers, because no x87 instruction was executed or they are lost; or those of the operand
 * are lost, with the signal or switch of tasks having come between it and an instruction without one. With an exception
 * pending the host loses nothing, but FLDCW may have made it so later: fcw_before is what it was on entry. */
bool x87_pointers_lost(const struct bt *bt, uint16_t fcw_before);

/* For the statistics: what kind of callout an instruction is. */
#pragma once

#include "insn.h"

/* The thread is in a callout, and this is the instruction it is for. */
void callout_note(const struct insn *insn);

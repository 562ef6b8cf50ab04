/* -accel lockstep: every block is interpreted, undone, run translated, and compared. */
#pragma once

#include "bt.h"

/* Executes one block at cpu->eip both ways (or one instruction by the interpreter where there is no
 * translation). On a difference prints both states and exits with status 3. */
void lockstep_block(struct bt *bt);

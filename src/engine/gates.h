/* Descriptors and gates that translated code may use without the interpreter (see struct gate_desc in bt.h).
 * An entry is made from what the interpreter has just done with the same selector or vector. */
#pragma once

#include "bt.h"

/* Forgets everything. */
void gates_clear(struct bt *bt);
/* Forgets everything if the tables have moved, or CR0 or CR4 have changed, since the last call. */
void gates_check(struct bt *bt);
/* The interpreter has executed the instruction for which translated code left with EXIT_GATE and argument arg. */
void gates_learn(struct bt *bt, uint32_t arg);

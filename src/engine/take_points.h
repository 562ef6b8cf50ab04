/* The engines take over a new set of points (points.h). take_points.c. */
#pragma once

#include "bt.h"

/* On the processor's thread, between two instructions. bt may be NULL. */
void engine_take_points(struct cpu *cpu, struct bt *bt);

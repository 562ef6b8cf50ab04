/* Where a jump of translated code leads that has no way there yet. find.c. */
#pragma once

#include "bt.h"

/* The translation of EIP in the present mode, made if there is none, and in the jump table from now on; NULL: it is for
 * the interpreter. */
struct tentry *find_entry(struct bt *bt);
/* Is what is on the private stacks still there? (See check_epochs.) */
bool find_stacks_hold(const struct bt *bt);
/* bt->find. */
uint32_t find_next(struct bt *bt, uint32_t arg, uint32_t reason);

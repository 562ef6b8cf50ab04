/* The start of the code cache, as tcache_init makes it. Private to tcache*.c. */
#pragma once

#include "tcache.h"

#define TCACHE_FIXED 4096 /* bytes of trampolines */

bool tcache_map_probe(void); /* false: no address space */
void tcache_write_tramps(struct emit e);

/* Text that host and guest share: the last one that each of them has put there. UTF-8. All calls with the machine lock
 * held. */
#pragma once

#include <stddef.h>

#include "types.h"

#define CLIPBOARD_MAX 65536u /* bytes; longer ones are cut */

enum clipboard_side { CLIPBOARD_HOST, CLIPBOARD_GUEST };

/* Ends at a zero byte, or after len bytes; bytes that are no UTF-8 become characters that say so. */
void clipboard_offer(enum clipboard_side from, const char *text, size_t len);
/* NULL: nothing yet. *serial: another number for each offer, 0 before the first. Valid until the next call. */
const char *clipboard_text(enum clipboard_side from, uint64_t *serial);
/* A copy (free it) if there is another text than the one of *serial, which becomes that one's; NULL: there is not. */
char *clipboard_news(enum clipboard_side from, uint64_t *serial);

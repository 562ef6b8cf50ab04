/* Shows a picture to cards.py until it presses a key; not to who gave the kernel the word "unseen". */
#pragma once

#include "code.h"

static inline void screen_show(const char *name)
{
    if (string_has(guest_cmdline, "unseen"))
        return;
    while (inb(0x64) & 1)
        inb(0x60);
    print("screen %s\n", name);
    for (unsigned codes = 0; codes < 2; codes++) { /* the key goes down and up */
        while (!(inb(0x64) & 1))
            continue;
        inb(0x60);
    }
}

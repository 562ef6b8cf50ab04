/* The sixteen conditions of Jcc, SETcc, CMOVcc. Intel SDM vol. 2, B.1.4.7. */
#pragma once

#include "types.h"
#include "x86.h"

/* Only the low four bits of cc count. */
static inline bool cond_holds(uint32_t fl, unsigned cc)
{
    bool holds = false;

    switch ((cc >> 1) & 7) {
    case 0:
        holds = fl & FL_OF;
        break;
    case 1:
        holds = fl & FL_CF;
        break;
    case 2:
        holds = fl & FL_ZF;
        break;
    case 3:
        holds = fl & (FL_CF | FL_ZF);
        break;
    case 4:
        holds = fl & FL_SF;
        break;
    case 5:
        holds = fl & FL_PF;
        break;
    case 6:
        holds = !(fl & FL_SF) != !(fl & FL_OF);
        break;
    case 7:
        holds = (fl & FL_ZF) || !(fl & FL_SF) != !(fl & FL_OF);
        break;
    }
    return holds != (cc & 1);
}

/* A caller's registers, as an interrupt stub lays them out in memory. */
#pragma once

#include <stdint.h>

#define BREG(letter) \
    union { \
        uint32_t e##letter##x; \
        uint16_t letter##x; \
        struct { \
            uint8_t letter##l, letter##h; \
        }; \
    }
#define BREG16(name) \
    union { \
        uint32_t e##name; \
        uint16_t name; \
    }

struct bregs {
    uint16_t gs, fs, es, ds;
    BREG16(di);
    BREG16(si);
    BREG16(bp);
    BREG(b);
    BREG(d);
    BREG(c);
    BREG(a);
    uint16_t ip, cs, flags;
};

#define F_CF 0x0001
#define F_PF 0x0004
#define F_ZF 0x0040
#define F_IF 0x0200

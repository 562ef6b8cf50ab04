/* Yamaha YMF262 (OPL3), which is an OPL2 (YM3812) until bit 0 of register 105h is set: opl3.c.
 *
 * The chip by itself, without time: who uses it asks for sample after sample, 49,716 of them a second, and says at
 * which sample registers are written.
 */
#pragma once

#include "state.h"

#define OPL3_CLOCK   14318180u /* Hz */
#define OPL3_DIVIDER 288u      /* clocks for a sample */
#define OPL3_SLOTS   36        /* operators */
#define OPL3_ENV_OFF 511u      /* attenuation, in 3/16 dB: nothing is heard */

enum opl3_stage { OPL3_RELEASE, OPL3_ATTACK, OPL3_DECAY, OPL3_SUSTAIN };

struct opl3_regs {
    uint8_t reg[512];
    uint64_t clock; /* samples, ever */
    uint32_t noise;
    uint32_t phase[OPL3_SLOTS]; /* 19 bits */
    uint16_t env[OPL3_SLOTS];
    uint8_t stage[OPL3_SLOTS]; /* enum opl3_stage */
    uint8_t key[OPL3_SLOTS];   /* 1: by its channel, 2: by register BDh */
    int16_t out[OPL3_SLOTS], before[OPL3_SLOTS];
};

/* What registers say of an operator. */
struct opl3_slot {
    uint8_t wave, multiple;
    bool tremolo, vibrato, holds; /* holds: the sustain level stays while the key is down */
    uint16_t level;               /* total level and key scale level */
    uint16_t sustain;
    uint8_t rate[4]; /* by stage: 0 to 63; 0: it stands still */
    uint16_t fnum;
    uint8_t block;
};

struct opl3 {
    struct opl3_regs regs;
    struct opl3_slot slot[OPL3_SLOTS];
};

extern const struct state_layout opl3_layout;

void opl3_reset(struct opl3 *opl);
void opl3_write(struct opl3 *opl, unsigned reg, uint8_t value); /* 0 to 1FFh */
void opl3_sample(struct opl3 *opl, int16_t frame[2]);
/* So many samples pass in which nothing is heard. */
void opl3_skip(struct opl3 *opl, uint64_t samples);
bool opl3_is_silent(const struct opl3 *opl); /* until registers are written */
bool opl3_is_sane(const struct opl3 *opl);
void opl3_after_load(struct opl3 *opl);

/* opl3_tables.c */
extern const uint16_t opl3_log_sine[256]; /* a quarter: -256 log2 */
extern const uint16_t opl3_exp[256];      /* 1024 (2^(i/256) - 1) */

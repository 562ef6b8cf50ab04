/* OPL3: operators, channels and rhythm (YMF262 Application Manual; what the manual leaves out - the tables, how
 * envelopes are counted, rhythm's phases - is known from the chip under the microscope).
 *
 * All is done in logarithms, as in the chip: an operator's sine comes from a table as an attenuation, level and
 * envelope are added, and a second table makes it a number of 13 bits. Attenuations here: sine 1/256 octave, envelope
 * 3/16 dB.
 */
#include "opl3.h"

#include <string.h>

enum {
    REG_FOUR_OP = 0x104,
    REG_NEW = 0x105,
    REG_NOTE_SELECT = 0x08,
    REG_RHYTHM = 0xbd,
};
#define RHYTHM_ON      0x20u
#define VIBRATO_DEEP   0x40u
#define TREMOLO_DEEP   0x80u
#define SILENT         0x1000u /* a sine's attenuation from which on nothing is left */
#define PHASE_MASK     0x7ffffu
#define TREMOLO_PERIOD 210u /* steps of 64 samples: 3.7 Hz */

/* Operators that rhythm uses one by one. */
enum { SLOT_HIGH_HAT = 13, SLOT_TOM = 14, SLOT_SNARE = 16, SLOT_CYMBAL = 17 };

static const uint8_t multiples[16] = {1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 20, 24, 24, 30, 30}; /* halves */
static const uint8_t key_levels[16] = {0, 32, 40, 45, 48, 51, 53, 55, 56, 58, 59, 60, 61, 62, 63, 64};
static const uint8_t key_level_shift[4] = {8, 1, 2, 0};

static unsigned slot_of(unsigned channel, unsigned n)
{
    unsigned c = channel % 9;
    return channel / 9 * 18 + c / 3 * 6 + c % 3 + 3 * n;
}

static unsigned channel_of(unsigned slot)
{
    unsigned s = slot % 18;
    return slot / 18 * 9 + s / 6 * 3 + s % 3;
}

static unsigned slot_reg(unsigned slot, unsigned base)
{
    unsigned s = slot % 18;
    return slot / 18 * 256 + base + s / 6 * 8 + s % 6;
}

static unsigned channel_reg(unsigned channel, unsigned base)
{
    return channel / 9 * 256 + base + channel % 9;
}

static bool is_new(const struct opl3 *opl)
{
    return opl->regs.reg[REG_NEW] & 1;
}

/* The channel is the first or, for second, the last of a pair with four operators. */
static bool is_four(const struct opl3 *opl, unsigned channel, bool second)
{
    unsigned c = channel % 9, first = second ? c - 3 : c;
    return is_new(opl) && c >= (second ? 3u : 0) && first < 3 &&
           (opl->regs.reg[REG_FOUR_OP] >> (channel / 9 * 3 + first) & 1);
}

static bool is_rhythm(const struct opl3 *opl)
{
    return opl->regs.reg[REG_RHYTHM] & RHYTHM_ON;
}

/* --- What registers say --- */

static uint8_t rate_of(unsigned rate, unsigned scale)
{
    return (uint8_t)(rate ? MIN(rate * 4 + scale, 63) : 0);
}

static void slot_derive(struct opl3 *opl, unsigned n)
{
    const uint8_t *reg = opl->regs.reg;
    struct opl3_slot *slot = &opl->slot[n];
    unsigned channel = channel_of(n), tuned = is_four(opl, channel, true) ? channel - 3 : channel;
    uint8_t mode = reg[slot_reg(n, 0x20)], level = reg[slot_reg(n, 0x40)], attack = reg[slot_reg(n, 0x60)],
            sustain = reg[slot_reg(n, 0x80)], high = reg[channel_reg(tuned, 0xb0)];
    slot->fnum = (uint16_t)((high & 3) << 8 | reg[channel_reg(tuned, 0xa0)]);
    slot->block = high >> 2 & 7;
    slot->wave = reg[slot_reg(n, 0xe0)] & (is_new(opl) ? 7 : 3);
    slot->multiple = multiples[mode & 15];
    slot->tremolo = mode & 0x80;
    slot->vibrato = mode & 0x40;
    slot->holds = mode & 0x20;
    int key_level = key_levels[slot->fnum >> 6] * 4 - (8 - slot->block) * 32;
    slot->level = (uint16_t)((level & 63) * 4 + (MAX(key_level, 0) >> key_level_shift[level >> 6]));
    slot->sustain = (uint16_t)((sustain >> 4 == 15 ? 31 : sustain >> 4) * 16);
    unsigned scale = (unsigned)slot->block * 2 + (slot->fnum >> (reg[REG_NOTE_SELECT] & 0x40 ? 8 : 9) & 1);
    scale >>= mode & 0x10 ? 0 : 2;
    slot->rate[OPL3_ATTACK] = rate_of(attack >> 4, scale);
    slot->rate[OPL3_DECAY] = rate_of(attack & 15, scale);
    slot->rate[OPL3_RELEASE] = rate_of(sustain & 15, scale);
    slot->rate[OPL3_SUSTAIN] = slot->holds ? 0 : slot->rate[OPL3_RELEASE];
}

static void all_derive(struct opl3 *opl)
{
    for (unsigned n = 0; n < OPL3_SLOTS; n++)
        slot_derive(opl, n);
}

static void key_set(struct opl3 *opl, unsigned n, uint8_t who, bool down)
{
    struct opl3_regs *regs = &opl->regs;
    bool was = regs->key[n];
    regs->key[n] = (uint8_t)(down ? regs->key[n] | who : regs->key[n] & ~who);
    if (!was && regs->key[n]) {
        regs->stage[n] = OPL3_ATTACK;
        regs->phase[n] = 0;
        if (opl->slot[n].rate[OPL3_ATTACK] >= 60)
            regs->env[n] = 0;
    } else if (was && !regs->key[n]) {
        regs->stage[n] = OPL3_RELEASE;
    }
}

static void channel_key(struct opl3 *opl, unsigned channel)
{
    bool down = opl->regs.reg[channel_reg(channel, 0xb0)] & 0x20;
    if (is_four(opl, channel, true))
        return;
    for (unsigned i = 0; i < 2; i++) {
        key_set(opl, slot_of(channel, i), 1, down);
        if (is_four(opl, channel, false))
            key_set(opl, slot_of(channel + 3, i), 1, down);
    }
}

static void rhythm_keys(struct opl3 *opl)
{
    uint8_t value = is_rhythm(opl) ? opl->regs.reg[REG_RHYTHM] : 0;
    key_set(opl, slot_of(6, 0), 2, value & 0x10);
    key_set(opl, slot_of(6, 1), 2, value & 0x10);
    key_set(opl, SLOT_SNARE, 2, value & 0x08);
    key_set(opl, SLOT_TOM, 2, value & 0x04);
    key_set(opl, SLOT_CYMBAL, 2, value & 0x02);
    key_set(opl, SLOT_HIGH_HAT, 2, value & 0x01);
}

void opl3_write(struct opl3 *opl, unsigned reg, uint8_t value)
{
    struct opl3_regs *regs = &opl->regs;
    unsigned low = reg & 0xff, bank = reg >> 8 & 1;
    reg &= 0x1ff;
    if (bank && !is_new(opl) && reg != REG_NEW) /* an OPL2 has no second half */
        return;
    regs->reg[reg] = value;
    if (reg == REG_RHYTHM) {
        rhythm_keys(opl);
    } else if (reg == REG_NEW || reg == REG_FOUR_OP || reg == REG_NOTE_SELECT) {
        all_derive(opl);
    } else if ((low >= 0x20 && low < 0xa0) || low >= 0xe0) {
        unsigned at = low & 31;
        if (at < 24 && at % 8 < 6)
            slot_derive(opl, bank * 18 + at / 8 * 6 + at % 8);
    } else if (low >= 0xa0 && low < 0xc0 && (low & 15) < 9) {
        unsigned channel = bank * 9 + (low & 15);
        for (unsigned i = 0; i < 2; i++) {
            slot_derive(opl, slot_of(channel, i));
            if (is_four(opl, channel, false))
                slot_derive(opl, slot_of(channel + 3, i));
        }
        if (low >= 0xb0)
            channel_key(opl, channel);
    }
}

/* --- Envelopes --- */

/* Of 8 steps in a row, how far each goes: by the lowest two bits of the rate; the fastest ones are 13 to 15. */
static unsigned step_of(unsigned rate, uint64_t clock)
{
    static const uint8_t slow[4][8] = {
        {0, 1, 0, 1, 0, 1, 0, 1}, {0, 1, 0, 1, 1, 1, 0, 1}, {0, 1, 1, 1, 0, 1, 1, 1}, {0, 1, 1, 1, 1, 1, 1, 1}};
    unsigned high = rate >> 2;
    if (high < 13) {
        unsigned shift = 12 - high;
        return clock & ((1u << shift) - 1) ? 0 : slow[rate & 3][clock >> shift & 7];
    }
    if (high == 15)
        return 4;
    static const uint8_t more[4][4] = {{0, 0, 0, 0}, {0, 0, 0, 1}, {0, 1, 0, 1}, {0, 1, 1, 1}};
    return 1u << (high - 13 + more[rate & 3][clock & 3]);
}

static void envelope_step(struct opl3 *opl, unsigned n)
{
    struct opl3_regs *regs = &opl->regs;
    const struct opl3_slot *slot = &opl->slot[n];
    unsigned rate = slot->rate[regs->stage[n]], step = rate ? step_of(rate, regs->clock) : 0;
    int env = regs->env[n];
    switch (regs->stage[n]) {
    case OPL3_ATTACK:
        if (rate >= 60)
            env = 0;
        else if (step)
            env += (~env * (int)step) >> 3;
        if (env <= 0) {
            env = 0;
            regs->stage[n] = OPL3_DECAY;
        }
        break;
    case OPL3_DECAY:
        if (env >= slot->sustain)
            regs->stage[n] = OPL3_SUSTAIN;
        else
            env += (int)step;
        break;
    default:
        env += (int)step;
        break;
    }
    regs->env[n] = (uint16_t)MIN(env, (int)OPL3_ENV_OFF);
}

/* --- Waves --- */

/* Attenuation of a wave at one of 1024 places; *negative: its sign. */
static unsigned wave_at(unsigned wave, unsigned phase, bool *negative)
{
    unsigned quarter = phase & 0x100 ? ~phase & 0xff : phase & 0xff;
    unsigned doubled = phase & 0x80 ? ~phase << 1 & 0xff : phase << 1 & 0xff;
    bool second = phase & 0x200;
    *negative = false;
    switch (wave) {
    case 0: /* sine */
        *negative = second;
        return opl3_log_sine[quarter];
    case 1: /* its upper half */
        return second ? SILENT : opl3_log_sine[quarter];
    case 2: /* both halves up */
        return opl3_log_sine[quarter];
    case 3: /* their rises */
        return phase & 0x100 ? SILENT : opl3_log_sine[quarter];
    case 4: /* a sine in half the time, then nothing */
        *negative = (phase & 0x300) == 0x100;
        return second ? SILENT : opl3_log_sine[doubled];
    case 5: /* the same, upwards */
        return second ? SILENT : opl3_log_sine[doubled];
    case 6: /* square */
        *negative = second;
        return 0;
    default: /* falling, by the same factor at each place */
        *negative = second;
        return (second ? ~phase & 0x1ff : phase & 0x1ff) << 3;
    }
}

static int16_t amplitude(unsigned attenuation, bool negative)
{
    int value =
        attenuation >= SILENT + 0xfff ? 0 : ((opl3_exp[~attenuation & 0xff] + 1024) << 1) >> MIN(attenuation >> 8, 15);
    return (int16_t)(negative ? ~value : value);
}

static unsigned tremolo(const struct opl3_regs *regs)
{
    unsigned at = (unsigned)(regs->clock / 64 % TREMOLO_PERIOD);
    return (at < TREMOLO_PERIOD / 2 ? at : TREMOLO_PERIOD - at) >> (regs->reg[REG_RHYTHM] & TREMOLO_DEEP ? 2 : 4);
}

/* What vibrato adds to a frequency number: 0, half, all, half of its upper bits, then the same downwards. */
static int vibrato(const struct opl3_regs *regs, unsigned fnum)
{
    unsigned at = (unsigned)(regs->clock / 1024 % 8);
    int range = (int)(fnum >> 7 & 7);
    range = !(at & 3) ? 0 : at & 1 ? range >> 1 : range;
    range >>= regs->reg[REG_RHYTHM] & VIBRATO_DEEP ? 0 : 1;
    return at & 4 ? -range : range;
}

/* The operator's place in its wave, which then goes on. */
static unsigned phase_step(struct opl3 *opl, unsigned n)
{
    struct opl3_regs *regs = &opl->regs;
    const struct opl3_slot *slot = &opl->slot[n];
    unsigned place = regs->phase[n] >> 9;
    uint32_t fnum = (uint32_t)(slot->fnum + (slot->vibrato ? vibrato(regs, slot->fnum) : 0));
    regs->phase[n] = (regs->phase[n] + (((fnum << slot->block) >> 1) * slot->multiple >> 1)) & PHASE_MASK;
    return place;
}

/* One sample of an operator whose phase is moved by another one's output. */
static int slot_play(struct opl3 *opl, unsigned n, unsigned place, int modulation)
{
    struct opl3_regs *regs = &opl->regs;
    const struct opl3_slot *slot = &opl->slot[n];
    bool negative;
    regs->before[n] = regs->out[n];
    if (regs->env[n] == OPL3_ENV_OFF) {
        regs->out[n] = 0;
    } else {
        unsigned env = MIN(regs->env[n] + slot->level + (slot->tremolo ? tremolo(regs) : 0), OPL3_ENV_OFF);
        unsigned wave = wave_at(slot->wave, (place + (unsigned)modulation) & 0x3ff, &negative);
        regs->out[n] = amplitude(wave + (env << 3), negative);
    }
    return regs->out[n];
}

static int play(struct opl3 *opl, unsigned n, int modulation)
{
    envelope_step(opl, n);
    return slot_play(opl, n, phase_step(opl, n), modulation);
}

/* The first operator of a channel: moved by what it has said itself. */
static int play_first(struct opl3 *opl, unsigned channel)
{
    unsigned n = slot_of(channel, 0), feedback = opl->regs.reg[channel_reg(channel, 0xc0)] >> 1 & 7;
    int sum = opl->regs.out[n] + opl->regs.before[n];
    return play(opl, n, feedback ? sum >> (9 - feedback) : 0);
}

/* --- Channels --- */

static bool is_additive(const struct opl3 *opl, unsigned channel)
{
    return opl->regs.reg[channel_reg(channel, 0xc0)] & 1;
}

static int two_play(struct opl3 *opl, unsigned channel)
{
    int first = play_first(opl, channel);
    bool additive = is_additive(opl, channel);
    return play(opl, slot_of(channel, 1), additive ? 0 : first) + (additive ? first : 0);
}

static int four_play(struct opl3 *opl, unsigned channel)
{
    int first = play_first(opl, channel);
    bool a = is_additive(opl, channel), b = is_additive(opl, channel + 3);
    int second = play(opl, slot_of(channel, 1), a ? 0 : first);
    int third = play(opl, slot_of(channel + 3, 0), !a && b ? 0 : second);
    int fourth = play(opl, slot_of(channel + 3, 1), a && b ? 0 : third);
    if (a)
        return first + (b ? third : 0) + fourth;
    return (b ? second : 0) + fourth;
}

static bool noise_bit(struct opl3_regs *regs)
{
    regs->noise = regs->noise >> 1 | ((regs->noise >> 14 ^ regs->noise) & 1) << 22;
    return regs->noise & 1;
}

/* Channels 6 to 8 as five drums, twice as loud as others. High hat, snare and cymbal have phases of their own, made of
 * bits of two operators' phases and noise. out: of the three channels. */
static void rhythm_play(struct opl3 *opl, int out[3])
{
    int first = play_first(opl, 6);
    bool noise = noise_bit(&opl->regs);
    out[0] = 2 * play(opl, slot_of(6, 1), is_additive(opl, 6) ? 0 : first);
    envelope_step(opl, SLOT_HIGH_HAT);
    envelope_step(opl, SLOT_SNARE);
    envelope_step(opl, SLOT_CYMBAL);
    unsigned hat = phase_step(opl, SLOT_HIGH_HAT), cymbal = phase_step(opl, SLOT_CYMBAL);
    phase_step(opl, SLOT_SNARE);
    unsigned mixed = ((hat >> 2 ^ hat >> 7) | (hat >> 3 ^ cymbal >> 5) | (cymbal >> 3 ^ cymbal >> 5)) & 1;
    unsigned eighth = hat >> 8 & 1;
    out[1] = 2 * (slot_play(opl, SLOT_HIGH_HAT, mixed << 9 | (mixed ^ noise ? 0xd0u : 0x34u), 0) +
                  slot_play(opl, SLOT_SNARE, eighth << 9 | (eighth ^ noise) << 8, 0));
    out[2] = 2 * (play(opl, SLOT_TOM, 0) + slot_play(opl, SLOT_CYMBAL, mixed << 9 | 0x80, 0));
}

static bool is_off(const struct opl3 *opl, unsigned n)
{
    return opl->regs.env[n] == OPL3_ENV_OFF && !opl->regs.key[n] && !opl->regs.out[n] && !opl->regs.before[n];
}

/* What is not heard is not computed; a key that goes down begins its wave anew anyway. */
static bool channel_is_off(const struct opl3 *opl, unsigned channel)
{
    return is_off(opl, slot_of(channel, 0)) && is_off(opl, slot_of(channel, 1));
}

static int channel_play(struct opl3 *opl, unsigned channel)
{
    if (is_four(opl, channel, true))
        return 0; /* its first half has played it */
    if (is_four(opl, channel, false))
        return channel_is_off(opl, channel) && channel_is_off(opl, channel + 3) ? 0 : four_play(opl, channel);
    return channel_is_off(opl, channel) ? 0 : two_play(opl, channel);
}

void opl3_sample(struct opl3 *opl, int16_t frame[2])
{
    int drums[3], sum[2] = {0, 0};
    bool rhythm = is_rhythm(opl);
    if (rhythm)
        rhythm_play(opl, drums);
    for (unsigned channel = 0; channel < (is_new(opl) ? 18u : 9u); channel++) {
        int out = rhythm && channel >= 6 && channel < 9 ? drums[channel - 6] : channel_play(opl, channel);
        unsigned first = is_four(opl, channel, true) ? channel - 3 : channel;
        uint8_t sides = is_new(opl) ? opl->regs.reg[channel_reg(first, 0xc0)] : 0x30;
        sum[0] += sides & 0x10 ? out : 0;
        sum[1] += sides & 0x20 ? out : 0;
    }
    frame[0] = (int16_t)CLAMP(sum[0], INT16_MIN, INT16_MAX);
    frame[1] = (int16_t)CLAMP(sum[1], INT16_MIN, INT16_MAX);
    opl->regs.clock++;
}

void opl3_skip(struct opl3 *opl, uint64_t samples)
{
    opl->regs.clock += samples;
}

bool opl3_is_silent(const struct opl3 *opl)
{
    for (unsigned n = 0; n < OPL3_SLOTS; n++) {
        bool may_rise = opl->regs.stage[n] == OPL3_ATTACK && opl->slot[n].rate[OPL3_ATTACK];
        if (opl->regs.env[n] != OPL3_ENV_OFF || may_rise || opl->regs.out[n] || opl->regs.before[n])
            return false;
    }
    return true;
}

void opl3_reset(struct opl3 *opl)
{
    memset(&opl->regs, 0, sizeof(opl->regs));
    opl->regs.noise = 1;
    for (unsigned n = 0; n < OPL3_SLOTS; n++)
        opl->regs.env[n] = OPL3_ENV_OFF;
    all_derive(opl);
}

bool opl3_is_sane(const struct opl3 *opl)
{
    const struct opl3_regs *regs = &opl->regs;
    for (unsigned n = 0; n < OPL3_SLOTS; n++) {
        if (regs->phase[n] > PHASE_MASK || regs->env[n] > OPL3_ENV_OFF || regs->stage[n] > OPL3_SUSTAIN ||
            regs->key[n] > 3 || ABS(regs->out[n]) > 4096 || ABS(regs->before[n]) > 4096)
            return false;
    }
    return regs->noise && regs->noise < 1u << 23;
}

void opl3_after_load(struct opl3 *opl)
{
    all_derive(opl);
}

#define F(member) STATE_FIELD(opl3_regs, member)
static const struct state_field opl3_fields[] = {F(reg),   F(clock), F(noise), F(phase), F(env),
                                                 F(stage), F(key),   F(out),   F(before)};
#undef F
const struct state_layout opl3_layout = STATE_LAYOUT(1, opl3_regs, opl3_fields);

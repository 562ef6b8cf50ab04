/* Creative's ADPCM: 4, 2.6 and 2 bits for a sample of 8 (Sound Blaster Series Hardware Programming Guide, "ADPCM"; how
 * steps grow is known from many decoders).
 *
 * A code is a sign and a magnitude m. With step s it moves the sample by m, or by (2 m + 1) units where s is not 0; the
 * largest magnitudes make the step larger, the smallest makes it smaller. The first byte may be a sample as it is.
 */
#include "sb16.h"

static const struct {
    uint8_t per_byte, magnitudes, grows_from, steps;
    uint8_t unit[6]; /* by step */
} codes[5] = {
    [2] = {4, 2, 1, 6, {0, 1, 2, 4, 8, 16}},
    [3] = {3, 4, 3, 5, {0, 1, 2, 4, 5}},
    [4] = {2, 8, 5, 4, {0, 1, 2, 4}},
};

unsigned sb16_adpcm_per_byte(const struct sb16_adpcm *adpcm)
{
    return codes[adpcm->bits].per_byte;
}

/* From the high bits down; the third of 2.6 bits has only two. */
static unsigned code_take(const struct sb16_adpcm *adpcm)
{
    unsigned n = codes[adpcm->bits].per_byte - adpcm->left;
    switch (adpcm->bits) {
    case 4:
        return adpcm->byte >> (4 - 4 * n) & 15;
    case 3:
        return n == 2 ? (adpcm->byte & 3u) << 1 : adpcm->byte >> (5 - 3 * n) & 7;
    default:
        return adpcm->byte >> (6 - 2 * n) & 3;
    }
}

uint8_t sb16_adpcm_next(struct sb16_adpcm *adpcm)
{
    unsigned code = code_take(adpcm), count = codes[adpcm->bits].magnitudes, m = code % count;
    int move = adpcm->step ? (int)((2 * m + 1) * codes[adpcm->bits].unit[adpcm->step]) : (int)m;
    adpcm->sample = (uint8_t)CLAMP(adpcm->sample + (code >= count ? -move : move), 0, 255);
    if (m >= codes[adpcm->bits].grows_from && adpcm->step + 1 < codes[adpcm->bits].steps)
        adpcm->step++;
    else if (m == 0 && adpcm->step)
        adpcm->step--;
    adpcm->left--;
    return adpcm->sample;
}

bool sb16_adpcm_is_sane(const struct sb16_adpcm *adpcm)
{
    return adpcm->bits >= 2 && adpcm->bits <= 4 && adpcm->step < codes[adpcm->bits].steps &&
           adpcm->left <= codes[adpcm->bits].per_byte;
}

#define F(member) STATE_FIELD(sb16_adpcm, member)
static const struct state_field sb16_adpcm_fields[] = {F(bits), F(sample), F(step),
                                                       F(byte), F(left),   F(needs_reference)};
#undef F
const struct state_layout sb16_adpcm_layout = STATE_LAYOUT(1, sb16_adpcm, sb16_adpcm_fields);

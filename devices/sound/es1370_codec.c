/* The AudioPCI's codec: an AK4531 (Asahi Kasei data sheet, "Control register map"), as far as one hears it.
 *
 *     DAC2 -- Voice volume (02h, 03h) -- Voice switch (11h) --+
 *     DAC1 -- FM volume    (04h, 05h) -- FM switch    (10h) --+-- Master volume (00h, 01h) -- line out
 *
 * Its registers are only to be written. Nothing is at its other inputs, nor at the mono output, and what it would
 * record is silence: the registers of these are kept, and that is all.
 */
#include "es1370.h"

#include <math.h>
#include <string.h>

enum { /* each with one for the right side behind it, but for the switches */
       MASTER = 0x00,
       VOICE = 0x02,
       FM = 0x04,
       MONO_OUT = 0x0f,
       OUTPUT_1 = 0x10,
       OUTPUT_2 = 0x11,
       RESET_PD = 0x16
};
#define MUTE      0x80u
#define OUTPUT_FM 0x40u /* left; the right one's is the next lower bit */
#define OUTPUT_V  0x08u
#define PD        0x02u /* 0: without power */
#define RST       0x01u /* 0: in reset */

#define STEP_DB     2
#define INPUT_DB    12 /* at 0; 0 dB is 6 */
#define INPUT_UNITY 6u

/* Which bits there are. */
static const uint8_t bits[ES_CODEC_REGS] = {0x9f, 0x9f, 0x9f, 0x9f, 0x9f, 0x9f, 0x9f, 0x9f, 0x9f,
                                            0x9f, 0x9f, 0x9f, 0x9f, 0x9f, 0x9f, 0x87, 0x7f, 0x3f,
                                            0x7f, 0x7f, 0xff, 0xff, 0x03, 0x03, 0x01, 0x01};

static bool is_on(const uint8_t *codec)
{
    return (codec[RESET_PD] & (PD | RST)) == (PD | RST);
}

/* Of a source's left or right side, at the line output. False: it does not come there. */
static bool level_of(const uint8_t *codec, unsigned n, unsigned side, int *db)
{
    uint8_t master = codec[MASTER + side], input = codec[(n == ES_DAC1 ? FM : VOICE) + side];
    bool passes = n == ES_DAC1 ? codec[OUTPUT_1] & OUTPUT_FM >> side : codec[OUTPUT_2] & OUTPUT_V >> side;
    *db = INPUT_DB - STEP_DB * (input & 31) - STEP_DB * (master & 31);
    return is_on(codec) && passes && !((master | input) & MUTE);
}

/* What would be louder than full scale is as loud as that. */
static uint32_t volume_of(const uint8_t *codec, unsigned n, unsigned side)
{
    int db;
    if (!level_of(codec, n, side, &db))
        return 0;
    return (uint32_t)lrint(AUDIO_VOLUME_MAX * pow(10, MIN(db, 0) / 20.0));
}

void es1370_codec_apply(struct es1370 *es)
{
    for (unsigned n = ES_DAC1; n <= ES_DAC2; n++)
        audio_set_volume(es->voice[n].stream, volume_of(es->regs.codec, n, 0), volume_of(es->regs.codec, n, 1));
}

/* All inputs are muted and switched off; the master lets through what there is. */
static void levels_reset(uint8_t *codec)
{
    memset(codec, 0, RESET_PD);
    memset(codec + VOICE, MUTE | INPUT_UNITY, MONO_OUT - VOICE);
    codec[MONO_OUT] = MUTE;
    memset(codec + RESET_PD + 1, 0, ES_CODEC_REGS - RESET_PD - 1);
}

void es1370_codec_reset(struct es1370 *es)
{
    levels_reset(es->regs.codec);
    es->regs.codec[RESET_PD] = PD | RST;
    es1370_codec_apply(es);
}

/* While it is in reset nothing else can be set; without power what is set is kept. */
void es1370_codec_write(struct es1370 *es, unsigned reg, uint8_t value)
{
    uint8_t *codec = es->regs.codec;
    reg &= ES_CODEC_REGS - 1;
    if (reg == RESET_PD || (codec[RESET_PD] & RST))
        codec[reg] = value & bits[reg];
    if (!(codec[RESET_PD] & RST))
        levels_reset(codec);
    es1370_codec_apply(es);
}

void es1370_codec_dump(const struct es1370 *es, GString *out)
{
    static const char *const heads[2][2] = {[ES_DAC1] = {"DAC1 ", " and "}, [ES_DAC2] = {"; DAC2 ", " and "}};
    g_string_append(out, "  AK4531, left and right: ");
    for (unsigned i = 0; i < 4; i++) {
        int db;
        g_string_append(out, heads[i / 2][i % 2]);
        if (level_of(es->regs.codec, i / 2, i % 2, &db))
            g_string_append_printf(out, "%d dB", db);
        else
            g_string_append(out, "off");
    }
    g_string_append_c(out, '\n');
}

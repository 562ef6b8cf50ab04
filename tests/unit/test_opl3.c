/* OPL3: the chip by itself against what is computed here, and on a card against time. */
#include "devices/sound/opl3.h"

#include <math.h>

#include "isa_sound.h"

extern const struct device_class adlib_class, sb16_class;

#define RATE ((double)OPL3_CLOCK / OPL3_DIVIDER)

static struct opl3 chip;

/* Of channel 0: modulator 0, carrier 3. */
static void op(unsigned slot, uint8_t mode, uint8_t level, uint8_t attack_decay, uint8_t sustain_release, uint8_t wave)
{
    opl3_write(&chip, 0x20 + slot, mode);
    opl3_write(&chip, 0x40 + slot, level);
    opl3_write(&chip, 0x60 + slot, attack_decay);
    opl3_write(&chip, 0x80 + slot, sustain_release);
    opl3_write(&chip, 0xe0 + slot, wave);
}

static void note(unsigned channel, unsigned fnum, unsigned block, bool down)
{
    opl3_write(&chip, 0xa0 + channel, (uint8_t)fnum);
    opl3_write(&chip, 0xb0 + channel, (uint8_t)((down ? 0x20 : 0) | block << 2 | fnum >> 8));
}

/* An OPL3 whose channel 0 is its carrier alone, full on. */
static void begin(uint8_t wave)
{
    opl3_reset(&chip);
    opl3_write(&chip, 0x105, 1);
    opl3_write(&chip, 0xc0, 0x30);
    op(3, 0x21, 0, 0xf0, 0x0f, wave);
}

static double *samples(unsigned count, unsigned side)
{
    double *all = g_new(double, count);
    int16_t frame[2];
    for (unsigned i = 0; i < count; i++) {
        opl3_sample(&chip, frame);
        all[i] = frame[side];
    }
    return all;
}

static double tone(const double *all, unsigned count, double cycles_per_sample)
{
    double re = 0, im = 0;
    for (unsigned i = 0; i < count; i++) {
        re += all[i] * cos(2 * G_PI * cycles_per_sample * i);
        im += all[i] * sin(2 * G_PI * cycles_per_sample * i);
    }
    return 2 * sqrt(re * re + im * im) / count;
}

/* fnum 512, block 5: a period of 64 samples, exactly. */
#define PERIOD 64

static double tone_now(unsigned harmonic)
{
    double *all = samples(64 * PERIOD, 0), amplitude = tone(all, 64 * PERIOD, (double)harmonic / PERIOD);
    g_free(all);
    return amplitude;
}

static void test_frequency(void)
{
    static const unsigned fnums[] = {345, 580, 1023, 172, 700};
    for (unsigned i = 0; i < G_N_ELEMENTS(fnums); i++) {
        for (unsigned block = 2; block < 8; block += 2) {
            begin(0);
            note(0, fnums[i], block, true);
            unsigned rises = 0, first = 0, last = 0, count = 200000;
            double *all = samples(count, 0);
            for (unsigned k = 1; k < count; k++) {
                if (all[k - 1] < 0 && all[k] >= 0) {
                    first = first ? first : k;
                    last = k;
                    rises++;
                }
            }
            double hz = (rises - 1) * RATE / (last - first), wanted = fnums[i] * RATE / (1 << 20) * (1 << block);
            g_assert_cmpfloat(fabs(hz / wanted - 1), <, 0.001);
            g_free(all);
        }
    }
}

static void test_multiples(void)
{
    static const double multiple[16] = {0.5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 12, 12, 15, 15};
    for (unsigned i = 0; i < 16; i++) {
        begin(0);
        opl3_write(&chip, 0x23, (uint8_t)(0x20 | i));
        note(0, 512, 4, true); /* a period of 128 */
        double *all = samples(128 * 64, 0);
        g_assert_cmpfloat(tone(all, 128 * 64, multiple[i] / 128), >, 4000);
        g_free(all);
    }
}

static double wave_says(unsigned wave, double x) /* x: 0 to 1 */
{
    double sine = sin(2 * G_PI * x);
    switch (wave) {
    case 0:
        return sine;
    case 1:
        return x < 0.5 ? sine : 0;
    case 2:
        return fabs(sine);
    case 3:
        return fmod(x, 0.5) < 0.25 ? fabs(sine) : 0;
    case 4:
        return x < 0.5 ? sin(4 * G_PI * x) : 0;
    case 5:
        return x < 0.5 ? fabs(sin(4 * G_PI * x)) : 0;
    case 6:
        return x < 0.5 ? 1 : -1;
    default: /* 16 octaves in half a period */
        return x < 0.5 ? pow(2, -x * 32) : -pow(2, -(1 - x) * 32);
    }
}

static void test_waves(void)
{
    for (unsigned wave = 0; wave < 8; wave++) {
        begin((uint8_t)wave);
        double ideal[PERIOD];
        for (unsigned i = 0; i < PERIOD; i++)
            ideal[i] = 4084 * wave_says(wave, (i + 0.03125) / PERIOD); /* its places are in the middle of steps */
        note(0, 512, 5, true);
        double *all = samples(PERIOD * 32, 1);
        for (unsigned harmonic = 1; harmonic < 16; harmonic++)
            g_assert_cmpfloat(fabs(tone(all, PERIOD * 32, (double)harmonic / PERIOD) -
                                   tone(ideal, PERIOD, (double)harmonic / PERIOD)),
                              <, 40); /* 1 % */
        g_free(all);
        /* An OPL2 has four of them. */
        opl3_write(&chip, 0x105, 0);
        g_assert_cmpuint(chip.slot[3].wave, ==, wave & 3);
    }
}

static void test_levels(void)
{
    for (unsigned level = 0; level < 64; level += 7) {
        begin(0);
        opl3_write(&chip, 0x43, (uint8_t)level);
        note(0, 512, 5, true);
        g_assert_cmpfloat(fabs(tone_now(1) / (4084 * pow(10, -0.75 * level / 20)) - 1), <, 0.03);
    }
    /* Key scale levels: 3, 1.5 and 6 dB an octave, of the upper octaves (manual's table at fnum 512). */
    static const double db[4][4] = {{0, 0, 0, 0}, {9, 12, 15, 18}, {4.5, 6, 7.5, 9}, {18, 24, 30, 36}};
    for (unsigned ksl = 0; ksl < 4; ksl++) {
        for (unsigned block = 4; block < 8; block++) {
            begin(0);
            opl3_write(&chip, 0x43, (uint8_t)(ksl << 6));
            note(0, 512, block, true);
            double *all = samples(64 * PERIOD, 0);
            double is = 20 * log10(tone(all, 64 * PERIOD, 1.0 / (2048 >> block)) / 4084);
            g_assert_cmpfloat(fabs(is + db[ksl][block - 4]), <, 0.6);
            g_free(all);
        }
    }
}

/* Milliseconds of the whole way (manual's table of rates), at rates 4 to 56; each 4 more take half the time. */
static void test_envelope_times(void)
{
    for (unsigned rate = 4; rate < 15; rate++) { /* decay */
        begin(0);
        op(3, 0x20, 0, (uint8_t)(0xf0 | rate), 0xff, 0);
        note(0, 100, 0, true);
        unsigned count = 0;
        int16_t frame[2];
        while (chip.regs.env[3] < 496)
            opl3_sample(&chip, frame), count++;
        double ms = count / RATE * 1000, wanted = 39280.64 / (1 << (rate - 1));
        g_assert_cmpfloat(fabs(ms / wanted - 1), <, 0.08);
        /* release */
        begin(0);
        op(3, 0x20, 0, 0xf0, (uint8_t)rate, 0);
        note(0, 100, 0, true);
        opl3_sample(&chip, frame);
        note(0, 100, 0, false);
        for (count = 0; chip.regs.env[3] < OPL3_ENV_OFF; count++)
            opl3_sample(&chip, frame);
        g_assert_cmpfloat(fabs(count / RATE * 1000 / wanted - 1), <, 0.09);
        g_assert_false(chip.regs.env[3] < OPL3_ENV_OFF);
    }
    for (unsigned rate = 3; rate < 14; rate++) { /* attack */
        begin(0);
        op(3, 0x20, 0, (uint8_t)(rate << 4), 0xff, 0);
        note(0, 100, 0, true);
        unsigned count = 0;
        int16_t frame[2];
        while (chip.regs.stage[3] == OPL3_ATTACK)
            opl3_sample(&chip, frame), count++;
        g_assert_cmpfloat(fabs(count / RATE * 1000 / (2826.24 / (1 << (rate - 1))) - 1), <, rate < 13 ? 0.12 : 0.4);
    }
    /* Rate 15 is at once; rate 0 never. Sustain holds at its level, 3 dB a step. */
    begin(0);
    op(3, 0x21, 0, 0xff, 0x5f, 0);
    note(0, 512, 5, true);
    g_free(samples(1000, 0));
    g_assert_cmpint(ABS((int)chip.regs.env[3] - 80), <=, 4);
    g_assert_cmpfloat(fabs(20 * log10(tone_now(1) / 4084) + 15), <, 0.8);
    begin(0);
    op(3, 0x20, 0, 0x0f, 0x5f, 0);
    note(0, 512, 5, true);
    g_free(samples(10000, 0));
    g_assert_cmpuint(chip.regs.env[3], ==, OPL3_ENV_OFF);
    g_assert_true(opl3_is_silent(&chip));
}

/* A modulator of index b makes side bands: Bessel's functions. */
static void test_modulation(void)
{
    begin(0);
    op(0, 0x21, 48, 0xf0, 0x0f, 0); /* 4084 / 64 of 1024 places: 0.392 */
    opl3_write(&chip, 0x23, 0x24);  /* four times as high */
    note(0, 512, 4, true);          /* of 128 */
    double b = 2 * G_PI * 4084 / 64 / 1024;
    double *all = samples(128 * 64, 0);
    g_assert_cmpfloat(fabs(tone(all, 128 * 64, 4.0 / 128) / 4084 - fabs(j0(b))), <, 0.02);
    g_assert_cmpfloat(fabs(tone(all, 128 * 64, 3.0 / 128) / 4084 - j1(b)), <, 0.02);
    g_assert_cmpfloat(fabs(tone(all, 128 * 64, 5.0 / 128) / 4084 - j1(b)), <, 0.02);
    g_free(all);
    /* Added instead. */
    opl3_write(&chip, 0xc0, 0x31);
    all = samples(128 * 64, 0);
    g_assert_cmpfloat(fabs(tone(all, 128 * 64, 1.0 / 128) - 4084.0 / 64), <, 5);
    g_assert_cmpfloat(fabs(tone(all, 128 * 64, 4.0 / 128) - 4084), <, 40);
    g_assert_cmpfloat(tone(all, 128 * 64, 3.0 / 128), <, 10);
    g_free(all);
    /* Feedback makes a sine's harmonics. */
    for (unsigned feedback = 0; feedback < 8; feedback += 4) {
        begin(0);
        op(0, 0x21, 0, 0xf0, 0x0f, 0);
        op(3, 0x21, 0, 0x00, 0x0f, 0);
        opl3_write(&chip, 0xc0, (uint8_t)(0x31 | feedback << 1));
        note(0, 512, 5, true);
        double second = tone_now(2);
        g_assert_true(feedback ? second > 300 : second < 10);
    }
}

static void test_tremolo_and_vibrato(void)
{
    for (unsigned deep = 0; deep < 2; deep++) {
        begin(0);
        opl3_write(&chip, 0x23, 0xa1);
        opl3_write(&chip, 0xbd, deep ? 0x80 : 0);
        note(0, 512, 5, true);
        double low = 1e9, high = 0;
        for (unsigned i = 0; i < 13440 / 64; i++) { /* 3.7 a second */
            double *all = samples(64, 0), is = tone(all, 64, 1.0 / 64);
            low = MIN(low, is);
            high = MAX(high, is);
            g_free(all);
        }
        g_assert_cmpfloat(fabs(20 * log10(high / low) - (deep ? 4.8 : 1.1)), <, 0.25);
        /* Vibrato: 7 or 14 cents, 6.1 times a second. */
        begin(0);
        opl3_write(&chip, 0x23, 0x61);
        opl3_write(&chip, 0xbd, deep ? 0x40 : 0);
        note(0, 1023, 4, true);
        double cents[8];
        for (unsigned i = 0; i < 8; i++) {
            uint32_t phase = chip.regs.phase[3];
            g_free(samples(1, 0));
            cents[i] = 1200 * log2((double)((chip.regs.phase[3] - phase) & 0x7ffff) / (1023 << 3));
            g_free(samples(1023, 0));
        }
        g_assert_cmpfloat(fabs(cents[2] - (deep ? 11.8 : 5.1)), <, 0.5);
        g_assert_cmpfloat(fabs(cents[6] + (deep ? 11.9 : 5.1)), <, 0.5);
        g_assert_cmpfloat(cents[0], ==, 0);
    }
}

/* Which operators are heard in the four ways of connecting four. */
static void test_four_operators(void)
{
    static const uint8_t slots[4] = {0, 3, 8, 11}, heard[4] = {0x8, 0xa, 0x9, 0xd};
    for (unsigned way = 0; way < 4; way++) {
        for (unsigned only = 0; only < 4; only++) {
            begin(0);
            opl3_write(&chip, 0x104, 1);
            opl3_write(&chip, 0xc0, (uint8_t)(0x30 | way >> 1));
            opl3_write(&chip, 0xc3, (uint8_t)(way & 1));
            for (unsigned i = 0; i < 4; i++)
                op(slots[i], 0x21, 0, i == only ? 0xf0 : 0, 0x0f, 0);
            note(0, 512, 5, true); /* the first channel's key and pitch are for all */
            g_assert_cmpint(tone_now(1) > 1000, ==, heard[way] >> only & 1);
        }
    }
}

static void test_sides(void)
{
    for (unsigned sides = 0; sides < 4; sides++) {
        for (unsigned side = 0; side < 2; side++) {
            begin(0);
            opl3_write(&chip, 0xc0, (uint8_t)(sides << 4));
            note(0, 512, 5, true);
            double *all = samples(640, side);
            g_assert_cmpint(tone(all, 640, 1.0 / 64) > 1000, ==, sides >> side & 1);
            g_free(all);
            opl3_write(&chip, 0x105, 0); /* an OPL2 has one side */
            all = samples(640, side);
            g_assert_cmpfloat(tone(all, 640, 1.0 / 64), >, 1000);
            g_free(all);
        }
    }
}

static double loudness(unsigned count)
{
    double *all = samples(count, 0), sum = 0;
    for (unsigned i = 0; i < count; i++)
        sum += all[i] * all[i];
    g_free(all);
    return sqrt(sum / count);
}

static void test_rhythm(void)
{
    static const uint8_t slots[5] = {0x11, 0x15, 0x12, 0x14, 0x13}; /* high hat, cymbal, tom, snare, bass drum */
    for (unsigned drum = 0; drum < 5; drum++) {
        begin(0);
        op(slots[drum], 0x21, 0, 0xf8, 0x08, 0);
        for (unsigned channel = 6; channel < 9; channel++) {
            opl3_write(&chip, 0xc0 + channel, 0x30);
            note(channel, 512, 5 - (channel == 8), false);
        }
        opl3_write(&chip, 0xbd, 0x20);
        g_assert_cmpfloat(loudness(1000), ==, 0);
        for (unsigned key = 0; key < 5; key++) { /* only its own */
            opl3_write(&chip, 0xbd, (uint8_t)(0x20 | 1u << key));
            double is = loudness(2000);
            g_assert_true(key == drum ? is > 1000 : is == 0);
            opl3_write(&chip, 0xbd, 0x20);
            g_free(samples(30000, 0));
        }
        if (drum == 2 || drum == 4) { /* tom and bass drum are tones, twice as loud as others */
            opl3_write(&chip, 0x60 + slots[drum], 0xf0);
            opl3_write(&chip, 0xbd, (uint8_t)(0x20 | 1u << drum));
            double *all = samples(128 * 32, 0);
            g_assert_cmpfloat(tone(all, 128 * 32, (drum == 2 ? 1.0 : 2.0) / 128), >, 8000);
            g_free(all);
        }
        opl3_write(&chip, 0xbd, 0);
        g_free(samples(30000, 0));
        g_assert_cmpfloat(loudness(1000), ==, 0);
        g_assert_true(opl3_is_silent(&chip));
    }
}

static uint32_t chance_state;

static uint32_t chance(uint32_t below)
{
    chance_state = chance_state * 1664525 + 1013904223;
    return (chance_state >> 8) % below;
}

static void write_anything(struct opl3 *opl, unsigned count)
{
    while (count--)
        opl3_write(opl, chance(0x200), (uint8_t)chance(256));
}

/* From any moment on, the same samples. */
static void test_saved_at_random_moments(void)
{
    for (unsigned n = 0; n < 40; n++) {
        struct opl3 other;
        chance_state = n;
        opl3_reset(&chip);
        opl3_write(&chip, 0x105, n & 1);
        for (unsigned i = 0; i < 50; i++) {
            write_anything(&chip, 40);
            g_free(samples(chance(300), 0));
        }
        opl3_reset(&other);
        GByteArray *saved = g_byte_array_new();
        state_save(&opl3_layout, &chip.regs, saved);
        g_assert_true(state_load(&opl3_layout, &other.regs, saved->data, saved->len));
        g_byte_array_unref(saved);
        g_assert_true(opl3_is_sane(&other));
        opl3_after_load(&other);
        for (unsigned i = 0; i < 20; i++) {
            uint32_t state = chance_state;
            write_anything(&chip, 20);
            chance_state = state;
            write_anything(&other, 20);
            for (unsigned k = 0; k < 200; k++) {
                int16_t a[2], b[2];
                opl3_sample(&chip, a);
                opl3_sample(&other, b);
                g_assert_cmpmem(a, 4, b, 4);
            }
        }
        g_assert_true(opl3_is_sane(&chip));
    }
}

/* --- On a card --- */

static void out(unsigned reg, uint8_t value)
{
    uint16_t port = (uint16_t)(0x388 + (reg >> 8) * 2);
    outb(port, (uint8_t)reg);
    outb(port + 1, value);
}

static void plug(const char *options)
{
    const struct {
        struct audiodev *audiodev;
        uint32_t iobase, freq;
    } config = {options ? wav_begin(options) : NULL, 0x220, 44100};
    isa_begin(&adlib_class, &config);
}

static struct wav_file done(void)
{
    isa_remove();
    return wav_end();
}

static bool is_idle(void)
{
    return vclock_fake_first_due() == INT64_MAX;
}

/* What programs look for (AdLib's and Creative's guides). */
static void test_detection(void)
{
    plug(NULL);
    out(4, 0x60);
    out(4, 0x80);
    g_assert_cmphex(inb(0x388) & 0xe0, ==, 0);
    out(2, 0xff);
    out(4, 0x21);
    vclock_fake_advance(100 * US);
    g_assert_cmphex(inb(0x388), ==, 0xc0); /* an OPL2 would have 06h besides */
    out(4, 0x60);
    out(4, 0x80);
    g_assert_cmphex(inb(0x388), ==, 0);
    g_assert_true(is_idle());
}

static void test_timers(void)
{
    for (unsigned n = 0; n < 2; n++) {
        for (unsigned count = 1; count <= 256; count += 51) {
            int64_t wanted = (int64_t)(count * (n ? 16 : 4) / RATE * 1e9); /* 80 and 320 us each */
            plug(NULL);
            out(2 + n, (uint8_t)(256 - count));
            out(4, (uint8_t)(1u << n));
            vclock_fake_advance(wanted - US);
            g_assert_cmphex(inb(0x388), ==, 0);
            vclock_fake_advance(2 * US);
            g_assert_cmphex(inb(0x388), ==, n ? 0xa0 : 0xc0);
            out(4, 0x80);
            g_assert_cmphex(inb(0x388), ==, 0);
            vclock_fake_advance(wanted - 3 * US); /* and again */
            g_assert_cmphex(inb(0x388), ==, 0);
            vclock_fake_advance(4 * US);
            g_assert_cmphex(inb(0x388), ==, n ? 0xa0 : 0xc0);
            out(4, (uint8_t)(0x40 >> n)); /* masked, and its flag goes */
            g_assert_cmphex(inb(0x388), ==, 0);
            vclock_fake_advance(NS_PER_SECOND);
            g_assert_cmphex(inb(0x388), ==, 0);
        }
    }
}

static void card_note(bool down)
{
    out(0x23, 0x21);
    out(0x43, 0);
    out(0x63, 0xf0);
    out(0x83, 0x0f);
    out(0xa0, 580 & 255);
    out(0xb0, (uint8_t)((down ? 0x20 : 0) | 4 << 2 | 580 >> 8));
}

/* A note begins and ends when it is told to, at 440 Hz; then nothing runs. */
static void test_note_in_time(void)
{
    plug("");
    out(1, 0x20);
    g_assert_true(is_idle());
    card_note(true);
    vclock_fake_advance(1234567890);
    card_note(false);
    vclock_fake_advance(300 * MS);
    g_assert_true(is_idle());
    card_note(true);
    vclock_fake_advance(2 * NS_PER_SECOND);
    card_note(false);
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_true(is_idle());
    struct wav_file wav = done();
    double wanted = 580 * RATE / (1 << 16), loud = 4084 / 32768.0;
    g_assert_cmpfloat(fabs(wav_tone(&wav, 0, wanted, 441, 44541) - loud), <, 0.002);
    g_assert_cmpfloat(wav_tone(&wav, 0, wanted * 1.002, 441, 44541 + 4410), <, loud * 0.9);
    unsigned ends = 0;
    for (unsigned i = 0; i < 44100 * 1.3; i++)
        ends = fabs(wav_sample(&wav, i, 0)) > loud / 10 ? i : ends;
    g_assert_cmpfloat(fabs(ends / 44100.0 - 1.234567890), <, 0.004); /* the release's few milliseconds */
    wav_forget(&wav);
}

/* On a Sound Blaster it is at 220h, 228h and 388h, and behind its mixer; a second card is the same chip. */
static void test_on_a_sound_blaster(void)
{
    const struct {
        struct audiodev *audiodev;
        uint32_t version, iobase, irq, dma, dma16;
    } config = {wav_begin(""), 0x405, 0x220, 5, 1, 5};
    const struct {
        struct audiodev *audiodev;
        uint32_t iobase, freq;
    } adlib = {NULL, 0x220, 44100};
    GError *error = NULL;
    isa_begin(&sb16_class, &config);
    const struct device_site site = {.board = &isa.board, .id = "adlib"};
    void *second = adlib_class.create(&site, &adlib, &error);
    g_assert_no_error(error);
    adlib_class.reset(second);
    outb(0x224, 0x34); /* FM, left: -20 dB */
    outb(0x225, (31 - 10) << 3);
    outb(0x220, 2);
    outb(0x221, 0xff);
    outb(0x228, 4);
    outb(0x229, 0x01);
    vclock_fake_advance(100 * US);
    g_assert_cmphex(inb(0x388), ==, 0xc0);
    g_assert_cmphex(inb(0x228), ==, 0xc0);
    card_note(true);
    vclock_fake_advance(NS_PER_SECOND);
    card_note(false);
    vclock_fake_advance(NS_PER_SECOND);
    adlib_class.destroy(second);
    struct wav_file wav = done();
    double wanted = 580 * RATE / (1 << 16), loud = 4084 / 32768.0;
    g_assert_cmpfloat(fabs(wav_tone(&wav, 1, wanted, 441, 42000) - loud), <, 0.002);
    g_assert_cmpfloat(fabs(wav_tone(&wav, 0, wanted, 441, 42000) - loud / 10), <, 0.001);
    wav_forget(&wav);
}

/* A card that is loaded while a note sounds goes on with it; values that make no sense are refused. */
static void test_saved_card(void)
{
    plug("");
    card_note(true);
    out(2, 0x80);
    out(4, 1);
    vclock_fake_advance(123456789);
    GByteArray *saved = device_saved(&adlib_class, isa.dev);
    struct wav_file wav = done();
    wav_forget(&wav);
    plug("");
    vclock_fake_advance(123456789);
    GByteArray *copy = g_byte_array_new();
    g_byte_array_append(copy, saved->data, saved->len);
    device_load_checked(&adlib_class, isa.dev, copy);
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_cmphex(inb(0x388), ==, 0xc0);
    static const struct {
        const char *name;
        uint32_t size;
        uint64_t value;
    } bad[] = {{"address", 2, 0x200}, {"flags", 1, 1}, {"due", 8, INT64_MAX}, {"noise", 4, 0},   {"phase", 4, 0x80000},
               {"env", 2, 512},       {"stage", 1, 4}, {"key", 1, 4},         {"out", 2, 0x7fff}};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        GByteArray *broken = device_saved(&adlib_class, isa.dev);
        size_t len = strlen(bad[i].name);
        bool found = false;
        for (guint k = 0; k + 5 + len + bad[i].size <= broken->len && !found; k++) {
            if (broken->data[k] == len && memcmp(broken->data + k + 1, bad[i].name, len) == 0) {
                memcpy(broken->data + k + 5 + len, &bad[i].value, bad[i].size);
                found = true;
            }
        }
        g_assert_true(found);
        g_assert_false(device_load(&adlib_class, isa.dev, broken->data, broken->len));
        g_byte_array_unref(broken);
    }
    wav = done();
    g_assert_cmpfloat(fabs(wav_tone(&wav, 0, 580 * RATE / (1 << 16), 441, 40000) - 4084 / 32768.0), <, 0.002);
    wav_forget(&wav);
    g_byte_array_unref(saved);
}

static void test_senseless(void)
{
    plug("");
    chance_state = 3;
    for (unsigned i = 0; i < 100000; i++) {
        outb((uint16_t)(0x388 + chance(4)), (uint8_t)chance(256));
        if (chance(50) == 0)
            inb((uint16_t)(0x388 + chance(4)));
        if (chance(100) == 0)
            vclock_fake_advance(chance(1000000));
        if (i % 5000 == 0)
            device_load_checked(&adlib_class, isa.dev, device_saved(&adlib_class, isa.dev));
    }
    adlib_class.reset(isa.dev);
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_true(is_idle());
    struct wav_file wav = done();
    wav_forget(&wav);
}

#define TEST(name) g_test_add_func("/opl3/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(frequency);
    TEST(multiples);
    TEST(waves);
    TEST(levels);
    TEST(envelope_times);
    TEST(modulation);
    TEST(tremolo_and_vibrato);
    TEST(four_operators);
    TEST(sides);
    TEST(rhythm);
    TEST(saved_at_random_moments);
    TEST(detection);
    TEST(timers);
    TEST(note_in_time);
    TEST(on_a_sound_blaster);
    TEST(saved_card);
    TEST(senseless);
    int status = g_test_run();
    isa_remove();
    return status;
}

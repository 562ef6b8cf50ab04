/* The ring between two clocks: a loudspeaker that is faster or slower, late, or gone for a while. */
#include <glib.h>
#include <math.h>

#include "host/audio/playback.h"

#define RATE    44100
#define LATENCY 2646 /* 60 ms */
#define BUFFER  1024

struct speaker {
    double clock; /* its frames for one of the guest's */
    double due;   /* frames that it could have taken */
    uint64_t taken;
    uint64_t sent;
    double first, last; /* of what has been heard */
    float frames[2 * BUFFER];
};

/* Each frame says which it is. */
static void guest_plays(struct playback *playback, struct speaker *speaker, unsigned count)
{
    float frames[2 * 2000];
    for (unsigned i = 0; i < count; i++, speaker->sent++)
        frames[2 * i] = frames[2 * i + 1] = (float)(0.5 * sin(2 * G_PI * 441 * (double)speaker->sent / RATE));
    playback_write(playback, frames, count);
}

/* Ten milliseconds go by; the speaker takes whole buffers, late by up to 5 ms. */
static void ten_ms(struct playback *playback, struct speaker *speaker, unsigned step)
{
    speaker->due += 441 * speaker->clock;
    double late = (step * 7919 % 100) / 100.0 * 220;
    while (speaker->due - late >= (double)speaker->taken + BUFFER) {
        playback_take(playback, speaker->frames, BUFFER, false);
        speaker->taken += BUFFER;
    }
}

static struct playback_counts run(struct playback *playback, struct speaker *speaker, unsigned seconds)
{
    for (unsigned step = 0; step < 100 * seconds; step++) {
        guest_plays(playback, speaker, 441);
        ten_ms(playback, speaker, step);
    }
    return playback_counts(playback);
}

static void test_clocks_differ(void)
{
    static const double clocks[] = {1, 1.0001, 0.997, 1.005, 0.995};
    for (unsigned i = 0; i < G_N_ELEMENTS(clocks); i++) {
        struct playback *playback = playback_new(RATE, 2, LATENCY);
        struct speaker speaker = {.clock = clocks[i]};
        run(playback, &speaker, 80);
        struct playback_counts counts = run(playback, &speaker, 10);
        g_assert_cmpuint(counts.underruns, ==, 0);
        g_assert_cmpuint(counts.overruns, ==, 0);
        g_assert_cmpfloat(fabs(counts.ratio - clocks[i]), <, 0.0005);
        g_assert_cmpint(ABS((int)counts.waiting - LATENCY), <, RATE / 100);
        playback_free(playback);
    }
}

/* The ratio moves so slowly that nobody hears it. */
static void test_gently(void)
{
    struct playback *playback = playback_new(RATE, 2, LATENCY);
    struct speaker speaker = {.clock = 1.002};
    double was = 1;
    for (unsigned step = 0; step < 3000; step++) {
        guest_plays(playback, &speaker, 441);
        ten_ms(playback, &speaker, step);
        double is = playback_counts(playback).ratio;
        g_assert_cmpfloat(fabs(is - was), <, 0.0005);
        g_assert_cmpfloat(fabs(is - 1), <, 0.0101);
        was = is;
    }
    playback_free(playback);
}

/* One gap, counted once; then it is as before. */
static void test_guest_is_late(void)
{
    struct playback *playback = playback_new(RATE, 2, LATENCY);
    struct speaker speaker = {.clock = 1};
    run(playback, &speaker, 20);
    for (unsigned step = 0; step < 30; step++)
        ten_ms(playback, &speaker, step);
    g_assert_cmpuint(playback_counts(playback).underruns, ==, 1);
    for (unsigned i = 0; i < 2 * BUFFER; i++)
        g_assert_cmpfloat(speaker.frames[i], ==, 0);
    struct playback_counts counts = run(playback, &speaker, 30);
    g_assert_cmpuint(counts.underruns, ==, 1);
    g_assert_cmpuint(counts.overruns, ==, 0);
    playback_free(playback);
}

#define SLOW_RATE    8000 /* for long times */
#define SLOW_LATENCY 480
#define SLOW_STEP    80 /* frames in ten milliseconds */

static void plays_slowly(struct playback *playback, unsigned steps, bool guest, bool speaker)
{
    static float frames[2 * SLOW_STEP];
    for (unsigned step = 0; step < steps; step++) {
        if (guest)
            playback_write(playback, frames, SLOW_STEP);
        if (speaker)
            playback_take(playback, frames, SLOW_STEP, false);
    }
}

/* For so many hundredths of a second the guest sends nothing, and then all of it; a while after that. */
static struct playback_counts late(struct playback *playback, unsigned steps)
{
    plays_slowly(playback, steps, false, true);
    plays_slowly(playback, steps, true, false);
    plays_slowly(playback, 1000, true, true);
    return playback_counts(playback);
}

/* A host that keeps the guest waiting again and again: each gap makes the next one less likely, four times the latency
 * is the most, and what has not been needed for ten minutes goes. */
static void test_latency_follows(void)
{
    struct playback *playback = playback_new(SLOW_RATE, 2, SLOW_LATENCY);
    struct playback_counts counts;
    plays_slowly(playback, 2000, true, true);
    for (unsigned i = 0; i < 10; i++) {
        counts = late(playback, SLOW_LATENCY / SLOW_STEP + 2);
        g_assert_cmpuint(counts.underruns, ==, 1);
        g_assert_cmpuint(counts.latency, ==, 2 * SLOW_LATENCY);
    }
    for (unsigned i = 0; i < 5; i++)
        counts = late(playback, 6 * SLOW_LATENCY / SLOW_STEP);
    g_assert_cmpuint(counts.latency, ==, 4 * SLOW_LATENCY);
    plays_slowly(playback, 58000, true, true);
    g_assert_cmpuint(playback_counts(playback).latency, ==, 4 * SLOW_LATENCY);
    plays_slowly(playback, 5000, true, true);
    counts = playback_counts(playback);
    g_assert_cmpuint(counts.latency, <, 4 * SLOW_LATENCY);
    g_assert_cmpuint(counts.latency, >, 2 * SLOW_LATENCY);
    plays_slowly(playback, 15000, true, true);
    g_assert_cmpuint(playback_counts(playback).latency, ==, SLOW_LATENCY);
    playback_free(playback);
}

/* What is too much goes, and the latency is what it was. */
static void test_speaker_is_late(void)
{
    struct playback *playback = playback_new(RATE, 2, LATENCY);
    struct speaker speaker = {.clock = 1};
    run(playback, &speaker, 20);
    for (unsigned step = 0; step < 200; step++)
        guest_plays(playback, &speaker, 441);
    struct playback_counts counts = run(playback, &speaker, 30);
    g_assert_cmpuint(counts.overruns, >, 0);
    g_assert_cmpuint(counts.underruns, ==, 0);
    g_assert_cmpint(ABS((int)counts.waiting - LATENCY), <, RATE / 50);
    playback_free(playback);
}

/* The end of a sound, and a machine that stands, are no underruns; a short sound is heard to its end. */
static void test_ends(void)
{
    struct playback *playback = playback_new(RATE, 2, LATENCY);
    struct speaker speaker = {.clock = 1};
    run(playback, &speaker, 2);
    playback_pause(playback);
    for (unsigned step = 0; step < 100; step++)
        ten_ms(playback, &speaker, step);
    guest_plays(playback, &speaker, 1000); /* less than the latency */
    playback_take(playback, speaker.frames, BUFFER, false);
    g_assert_cmpfloat(speaker.frames[500], ==, 0);
    playback_pause(playback);
    playback_take(playback, speaker.frames, BUFFER, false);
    g_assert_cmpfloat(fabs(speaker.frames[500]), >, 0.001);
    playback_take(playback, speaker.frames, BUFFER, false);
    run(playback, &speaker, 2);
    for (unsigned i = 0; i < 20; i++)
        playback_take(playback, speaker.frames, BUFFER, true); /* it stands */
    g_assert_cmpuint(playback_counts(playback).underruns, ==, 0);
    playback_free(playback);
}

/* A sound server takes seconds to begin: what nobody has heard is no overrun, and no reason for another pitch. */
static void test_speaker_begins_late(void)
{
    struct playback *playback = playback_new(RATE, 2, LATENCY);
    struct speaker speaker = {.clock = 1};
    playback_take(playback, speaker.frames, BUFFER, false); /* its first buffer, when it is opened */
    for (unsigned step = 0; step < 200; step++)
        guest_plays(playback, &speaker, 441);
    struct playback_counts counts = playback_counts(playback);
    g_assert_cmpuint(counts.overruns, ==, 0);
    g_assert_cmpfloat(counts.ratio, ==, 1);
    counts = run(playback, &speaker, 5);
    g_assert_cmpint(ABS((int)counts.waiting - LATENCY), <, RATE / 50);
    g_assert_cmpfloat(fabs(counts.ratio - 1), <, 0.003);
    playback_free(playback);
}

/* After a moment in which the loudspeaker took nothing, the ring is drained down to the latency, and no further. */
static void test_speaker_stalls(void)
{
    struct playback *playback = playback_new(RATE, 2, LATENCY);
    struct speaker speaker = {.clock = 1};
    run(playback, &speaker, 20);
    for (unsigned step = 0; step < 40; step++) /* 0.4 s more wait */
        guest_plays(playback, &speaker, 441);
    for (unsigned second = 0; second < 90; second++) {
        struct playback_counts counts = run(playback, &speaker, 1);
        g_assert_cmpuint(counts.waiting, >, LATENCY / 2);
        g_assert_cmpuint(counts.underruns, ==, 0);
        g_assert_cmpuint(counts.overruns, ==, 0);
    }
    g_assert_cmpint(ABS((int)playback_counts(playback).waiting - LATENCY), <, RATE / 100);
    playback_free(playback);
}

#define TEST(name) g_test_add_func("/playback/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(speaker_begins_late);
    TEST(speaker_stalls);
    TEST(clocks_differ);
    TEST(gently);
    TEST(guest_is_late);
    TEST(latency_follows);
    TEST(speaker_is_late);
    TEST(ends);
    return g_test_run();
}

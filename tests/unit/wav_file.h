/* A -audiodev wav for tests: made, closed, and what is in its file; tones looked for in samples. */
#pragma once

#include <glib.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "host/audio/audiodev.h"

struct wav_file {
    GByteArray *bytes; /* all of it */
    unsigned channels, rate, bits;
    unsigned frames;
    const uint8_t *data;
};

static inline uint32_t wav_get(const struct wav_file *wav, unsigned at, unsigned size)
{
    uint32_t value = 0;
    memcpy(&value, wav->bytes->data + at, size);
    return value;
}

/* Its head is looked at, too: sizes are those of the file. */
static inline struct wav_file wav_read(const char *path)
{
    struct wav_file wav = {0};
    gchar *text;
    gsize len;
    g_assert_true(g_file_get_contents(path, &text, &len, NULL));
    wav.bytes = g_byte_array_new_take((guint8 *)text, len);
    g_assert_cmpuint(len, >=, 44);
    g_assert_cmpmem(text, 4, "RIFF", 4);
    g_assert_cmpmem(text + 8, 8, "WAVEfmt ", 8);
    g_assert_cmpmem(text + 36, 4, "data", 4);
    g_assert_cmpuint(wav_get(&wav, 4, 4), ==, len - 8);
    g_assert_cmpuint(wav_get(&wav, 40, 4), ==, len - 44);
    g_assert_cmpuint(wav_get(&wav, 20, 2), ==, 1);
    wav.channels = wav_get(&wav, 22, 2);
    wav.rate = wav_get(&wav, 24, 4);
    wav.bits = wav_get(&wav, 34, 2);
    g_assert_cmpuint(wav_get(&wav, 32, 2), ==, wav.channels * wav.bits / 8);
    g_assert_cmpuint(wav_get(&wav, 28, 4), ==, wav.rate * wav.channels * wav.bits / 8);
    wav.frames = (unsigned)(len - 44) / (wav.channels * wav.bits / 8);
    wav.data = wav.bytes->data + 44;
    return wav;
}

static inline void wav_forget(struct wav_file *wav)
{
    g_byte_array_unref(wav->bytes);
}

/* A sample of 16 bits, as -1 to 1. */
static inline double wav_sample(const struct wav_file *wav, unsigned frame, unsigned channel)
{
    int16_t sample;
    g_assert_cmpuint(wav->bits, ==, 16);
    g_assert_cmpuint(frame, <, wav->frames);
    memcpy(&sample, wav->data + 2 * (frame * wav->channels + channel), 2);
    return sample / 32768.0;
}

/* Amplitude of a tone in frames [from, to) (Goertzel's filter, which here is the sum it computes). */
static inline double wav_tone(const struct wav_file *wav, unsigned channel, double hz, unsigned from, unsigned to)
{
    double re = 0, im = 0;
    for (unsigned i = from; i < to; i++) {
        double angle = 2 * G_PI * hz * i / wav->rate;
        re += wav_sample(wav, i, channel) * cos(angle);
        im += wav_sample(wav, i, channel) * sin(angle);
    }
    return 2 * sqrt(re * re + im * im) / (to - from);
}

/* Rises through a level between the highest and the lowest sample. */
static inline unsigned wav_rises(const struct wav_file *wav, unsigned channel, unsigned from, unsigned to)
{
    unsigned rises = 0;
    double low = 1, high = -1;
    for (unsigned i = from; i < to; i++) {
        low = MIN(low, wav_sample(wav, i, channel));
        high = MAX(high, wav_sample(wav, i, channel));
    }
    bool was = true;
    for (unsigned i = from; i < to; i++) {
        double sample = wav_sample(wav, i, channel);
        bool is = was ? sample > (3 * low + high) / 4 : sample > (low + 3 * high) / 4;
        rises += is && !was;
        was = is;
    }
    return rises;
}

static char *wav_path;

/* options: ",out.frequency=..." or "". */
static inline struct audiodev *wav_begin(const char *options)
{
    GError *error = NULL;
    if (!wav_path)
        wav_path = g_strdup_printf("%s/ringer-test-%d.wav", g_get_tmp_dir(), (int)getpid());
    char *text = g_strdup_printf("wav,id=w,path=%s%s", wav_path, options);
    struct keyvalues *list = keyvalues_parse(text, "-audiodev", "driver", &error);
    g_assert_no_error(error);
    struct audiodev *audiodev = audiodev_new(list, &error);
    g_assert_no_error(error);
    g_assert_true(audiodev_find("w") == audiodev);
    keyvalues_free(list);
    g_free(text);
    return audiodev;
}

/* No card has a stream any more. */
static inline struct wav_file wav_end(void)
{
    audiodev_close_all();
    struct wav_file wav = wav_read(wav_path);
    unlink(wav_path);
    return wav;
}

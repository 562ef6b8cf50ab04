/* Between the files of sound: audiodev.c (options), mixer.c (streams become one), and the drivers, which take what the
 * mixer gives. */
#pragma once

#include <glib.h>
#include <math.h>
#include <string.h>

#include "audio.h"
#include "audiodev.h"
#include "keyvalue.h"

enum output_sample { OUTPUT_U8, OUTPUT_S16, OUTPUT_S32, OUTPUT_F32 /* between files here only */ };

struct audio_output {
    uint32_t frequency; /* frames per second */
    uint8_t channels;   /* 1 or 2 */
    enum output_sample sample;
};

struct audio_sink;

struct audio_sink_ops {
    /* Frames as struct audio_output says, each a moment after the one before. Never waits: what it has no room for is
     * lost. */
    void (*write)(struct audio_sink *sink, const void *frames, size_t bytes);
    void (*close)(struct audio_sink *sink);
    /* No more comes until there is something to be heard again. NULL: no matter. */
    void (*pause)(struct audio_sink *sink);
    /* The host's device is opened: from now on it may have threads. NULL: there is nothing to do. */
    bool (*start)(struct audio_sink *sink, GError **error);
};

/* Embedded as the first member of each driver's. */
struct audio_sink {
    const struct audio_sink_ops *ops;
};

#define AUDIO_SAY(...) g_set_error(error, g_quark_from_static_string("ringer-audio"), 0, __VA_ARGS__)

static inline unsigned output_frame_size(const struct audio_output *output)
{
    return output->channels * (output->sample == OUTPUT_U8 ? 1u : output->sample == OUTPUT_S16 ? 2u : 4u);
}

static inline void output_put(enum output_sample sample, uint8_t *to, float value)
{
    if (sample == OUTPUT_F32) {
        memcpy(to, &value, sizeof(value));
        return;
    }
    double clipped = value < -1.0f ? -1.0 : value > 1.0f ? 1.0 : value;
    if (sample == OUTPUT_U8) {
        *to = (uint8_t)(MIN(lrint(clipped * 128), 127) + 128);
    } else if (sample == OUTPUT_S16) {
        int16_t value16 = (int16_t)MIN(lrint(clipped * 32768), INT16_MAX);
        memcpy(to, &value16, sizeof(value16));
    } else {
        int32_t value32 = (int32_t)MIN(llrint(clipped * 2147483648.0), INT32_MAX);
        memcpy(to, &value32, sizeof(value32));
    }
}

/* mixer.c. The mixer owns the sink. */
struct audiodev *mixer_new(const struct audio_output *output, struct audio_sink *sink);
void mixer_free(struct audiodev *audiodev);
bool mixer_listen(struct audiodev *audiodev, const struct audio_listener *listener); /* false: it is none */
bool mixer_start(struct audiodev *audiodev, GError **error);

/* wav.c. NULL with a sentence. */
struct audio_sink *wav_open(const char *path, const struct audio_output *output, GError **error);

/* sdl_audio.c: the host's loudspeaker, by SDL2. It takes frames of OUTPUT_F32; output says what SDL gets. NULL with a
 * sentence. */
struct audio_sink *sdl_audio_new(const struct audio_output *output, uint32_t latency_us, GError **error);

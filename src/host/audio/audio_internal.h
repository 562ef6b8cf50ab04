/* Between the files of sound: audiodev.c (options), mixer.c (streams become one), and the drivers, which take what the
 * mixer gives. */
#pragma once

#include <glib.h>

#include "audio.h"
#include "keyvalue.h"

enum output_sample { OUTPUT_U8, OUTPUT_S16, OUTPUT_S32 };

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

/* mixer.c. The mixer owns the sink. */
struct audiodev *mixer_new(const struct audio_output *output, struct audio_sink *sink);
void mixer_free(struct audiodev *audiodev);

/* wav.c. NULL with a sentence. */
struct audio_sink *wav_open(const char *path, const struct audio_output *output, GError **error);

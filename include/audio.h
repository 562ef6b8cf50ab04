/* The line between a sound card and what is at its other end on the host.
 *
 * A card opens a stream for each of its voices. It says what the frames are like (rate, channels, samples), when they
 * begin and stop, and writes them as they come due in virtual time: so a card keeps time by itself, whatever the back
 * end does with its frames or whether there is one (devices/sound/voice.h does that for cards with DMA). What one end
 * cannot keep up with is lost, and nobody waits. A frame is one sample for each channel, little endian.
 *
 * All calls in both directions are made with the machine lock held. While a stream plays, its back end calls sync() now
 * and then, on the device thread; while none does, nothing runs at all. Recording is silence, which a card makes
 * itself: no stream is needed.
 */
#pragma once

#include "types.h"

enum audio_sample { AUDIO_U8, AUDIO_S16 };

struct audio_format {
    enum audio_sample sample;
    uint8_t channels;            /* 1 or 2 */
    uint32_t rate_num, rate_den; /* frames per second, exactly: neither 0 */
};

#define AUDIO_RATE_MIN 1000u /* frames per second; what is outside is not heard */
#define AUDIO_RATE_MAX 384000u

#define AUDIO_VOLUME_MAX 0x10000u /* as it is */

struct audio_front {
    /* Frames are wanted: all that are due now are to be written. It may stop its own stream. */
    void (*sync)(void *opaque);
};

struct audiodev;
struct audio_stream;

struct audiodev_ops {
    struct audio_stream *(*open)(struct audiodev *audiodev, const char *name, const struct audio_front *front,
                                 void *opaque);
    void (*close)(struct audio_stream *stream);
    void (*set_format)(struct audio_stream *stream, const struct audio_format *format);
    void (*set_volume)(struct audio_stream *stream, uint32_t left, uint32_t right);
    void (*set_playing)(struct audio_stream *stream, bool playing);
    void (*write)(struct audio_stream *stream, const void *frames, unsigned count);
};

/* Embedded as the first member of each back end. */
struct audiodev {
    const struct audiodev_ops *ops;
};

/* Embedded as the first member of a back end's streams. */
struct audio_stream {
    struct audiodev *audiodev;
};

static inline unsigned audio_frame_size(const struct audio_format *format)
{
    return format->channels * (format->sample == AUDIO_S16 ? 2u : 1u);
}

/* A card without a back end has audiodev NULL, and so its streams are: nobody hears it. */
static inline struct audio_stream *audio_open(struct audiodev *audiodev, const char *name,
                                              const struct audio_front *front, void *opaque)
{
    return audiodev ? audiodev->ops->open(audiodev, name, front, opaque) : NULL;
}

/* sync() is called a last time if it plays. */
static inline void audio_close(struct audio_stream *stream)
{
    if (stream)
        stream->audiodev->ops->close(stream);
}

/* What is written from now on. Also while it plays. */
static inline void audio_set_format(struct audio_stream *stream, const struct audio_format *format)
{
    if (stream)
        stream->audiodev->ops->set_format(stream, format);
}

/* At most AUDIO_VOLUME_MAX, where it begins. */
static inline void audio_set_volume(struct audio_stream *stream, uint32_t left, uint32_t right)
{
    if (stream)
        stream->audiodev->ops->set_volume(stream, left, right);
}

/* The first frame to come is to be heard now; the last one has been written. Idempotent. */
static inline void audio_set_playing(struct audio_stream *stream, bool playing)
{
    if (stream)
        stream->audiodev->ops->set_playing(stream, playing);
}

/* Of a stream that plays; else they are lost. */
static inline void audio_write(struct audio_stream *stream, const void *frames, unsigned count)
{
    if (stream)
        stream->audiodev->ops->write(stream, frames, count);
}

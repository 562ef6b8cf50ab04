/* Streams of all cards become one, in virtual time.
 *
 * From the moment at which a stream begins to play until a little after the last one has stopped there is a session.
 * It has a time line, on which each output frame has a place: frames since the session's beginning, at the output's
 * frequency. What a stream writes is converted and added at the place at which it is to be heard; a little later, when
 * all have written theirs, frames leave in order. So nothing shifts, and a session is as long as it lasted, to the
 * frame. Outside of sessions no timer runs.
 */
#include <math.h>
#include <samplerate.h>
#include <string.h>

#include "audio_internal.h"
#include "vclock.h"

#define TICK_NS     10000000ll
#define LATENCY_NS  40000000ll  /* the converter looks that far ahead, at the lowest rates */
#define LINGER_NS   100000000ll /* what begins sooner after the last end belongs to the same session */
#define LATE_MAX_NS (2 * NS_PER_SECOND)
#define LINE_FRAMES 65536u /* of the time line, from what left last: a power of two */
#define CHUNK       1024u  /* frames that are converted at once */

struct mixer {
    struct audiodev audiodev; /* first */
    struct audio_output output;
    struct audio_sink *sink;
    struct vtimer *timer;
    GPtrArray *streams;
    bool in_session;
    int64_t began;                  /* the session */
    int64_t stopped;                /* nothing has played since */
    uint64_t left;                  /* frames that have left */
    uint64_t end;                   /* where the last stream to stop did so */
    float (*line)[2];               /* the time line, by place modulo LINE_FRAMES */
    uint8_t *bytes;                 /* for CHUNK frames of output */
    struct audio_listener listener; /* hear NULL: nobody */
    uint64_t stop_limit;            /* nothing is placed from there on */
};

struct stream {
    struct audio_stream audio; /* first */
    struct mixer *mixer;
    const struct audio_front *front;
    void *opaque;
    struct audio_format format;
    double ratio;   /* output frames for one of its own; 0: a rate that is not heard */
    SRC_STATE *src; /* NULL: not needed */
    float volume[2];
    bool playing;
    uint64_t place; /* of the next frame that comes out of the converter */
};

static uint64_t place_at(const struct mixer *mixer, int64_t now)
{
    return now <= mixer->began ? 0
                               : (uint64_t)((__int128)(now - mixer->began) * mixer->output.frequency / NS_PER_SECOND);
}

static bool plays(const struct mixer *mixer)
{
    for (unsigned i = 0; i < mixer->streams->len; i++) {
        if (((struct stream *)g_ptr_array_index(mixer->streams, i))->playing)
            return true;
    }
    return false;
}

/* --- Out --- */

static void let_hear(struct mixer *mixer, uint64_t from, unsigned count)
{
    int16_t frames[CHUNK * 2];
    for (unsigned i = 0; i < count; i++) {
        const float *frame = mixer->line[(from + i) % LINE_FRAMES];
        output_put(OUTPUT_S16, (uint8_t *)&frames[2 * i], frame[0]);
        output_put(OUTPUT_S16, (uint8_t *)&frames[2 * i + 1], frame[1]);
    }
    mixer->listener.hear(mixer->listener.opaque, frames, count, mixer->output.frequency);
}

/* Frames leave, up to that place. */
static void emit(struct mixer *mixer, uint64_t until)
{
    unsigned channels = mixer->output.channels, size = output_frame_size(&mixer->output);
    while (mixer->left < until) {
        unsigned count = (unsigned)MIN(until - mixer->left, CHUNK);
        uint8_t *to = mixer->bytes;
        if (mixer->listener.hear)
            let_hear(mixer, mixer->left, count);
        for (unsigned i = 0; i < count; i++, mixer->left++) {
            float *frame = mixer->line[mixer->left % LINE_FRAMES];
            for (unsigned c = 0; c < channels; c++, to += size / channels)
                output_put(mixer->output.sample, to, channels == 1 ? (frame[0] + frame[1]) / 2 : frame[c]);
            frame[0] = frame[1] = 0;
        }
        mixer->sink->ops->write(mixer->sink, mixer->bytes, (size_t)count * size);
    }
}

static void session_begin(struct mixer *mixer)
{
    mixer->in_session = true;
    mixer->began = vclock_now();
    mixer->left = mixer->end = 0;
    vtimer_arm(mixer->timer, mixer->began + TICK_NS);
}

static void session_end(struct mixer *mixer)
{
    emit(mixer, mixer->end);
    memset(mixer->line, 0, LINE_FRAMES * sizeof(*mixer->line));
    mixer->in_session = false;
    vtimer_cancel(mixer->timer);
    if (mixer->sink->ops->pause)
        mixer->sink->ops->pause(mixer->sink);
    if (mixer->listener.hear)
        mixer->listener.quiet(mixer->listener.opaque);
}

static void tick(void *opaque)
{
    struct mixer *mixer = opaque;
    int64_t now = vclock_now();
    if (now < mixer->began) /* a saved machine was loaded */
        mixer->began = now - (int64_t)((__int128)mixer->left * NS_PER_SECOND / mixer->output.frequency);
    for (unsigned i = 0; i < mixer->streams->len; i++) {
        struct stream *stream = g_ptr_array_index(mixer->streams, i);
        if (stream->playing)
            stream->front->sync(stream->opaque);
    }
    if (!plays(mixer) && now - mixer->stopped >= LINGER_NS) {
        session_end(mixer);
        return;
    }
    uint64_t until = place_at(mixer, now - LATENCY_NS);
    if (until > mixer->left + (uint64_t)(LATE_MAX_NS / NS_PER_SECOND) * mixer->output.frequency) {
        mixer->began += now - LATENCY_NS - LATE_MAX_NS -
                        (mixer->began + (int64_t)((__int128)mixer->left * NS_PER_SECOND / mixer->output.frequency));
        until = place_at(mixer, now - LATENCY_NS);
    }
    emit(mixer, plays(mixer) ? until : MIN(until, mixer->end));
    vtimer_arm(mixer->timer, now + TICK_NS);
}

/* --- In --- */

/* Adds converted frames of the stream's channels where they belong. */
static void place(struct stream *stream, const float *frames, unsigned count)
{
    struct mixer *mixer = stream->mixer;
    unsigned channels = stream->format.channels;
    uint64_t now = place_at(mixer, vclock_now()), limit = MIN(mixer->stop_limit, now + mixer->output.frequency / 50);
    for (unsigned i = 0; i < count; i++, frames += channels) {
        if (stream->place < mixer->left) /* too late: a gap, and room for the next time */
            stream->place = MAX(now, mixer->left);
        if (stream->place >= limit) /* of a stream that was late: it does not stay behind */
            return;
        if (stream->place >= mixer->left + LINE_FRAMES)
            emit(mixer, stream->place - LINE_FRAMES + 1);
        float *to = mixer->line[stream->place++ % LINE_FRAMES];
        to[0] += frames[0] * stream->volume[0];
        to[1] += frames[channels - 1] * stream->volume[1];
    }
}

static void convert(struct stream *stream, float *in, unsigned count, bool is_last)
{
    float out[2 * CHUNK];
    SRC_DATA data = {.data_in = in,
                     .input_frames = count,
                     .data_out = out,
                     .output_frames = CHUNK,
                     .end_of_input = is_last,
                     .src_ratio = stream->ratio};
    if (!stream->src) {
        place(stream, in, count);
        return;
    }
    do {
        if (src_process(stream->src, &data) != 0)
            return;
        place(stream, out, (unsigned)data.output_frames_gen);
        data.data_in += data.input_frames_used * stream->format.channels;
        data.input_frames -= data.input_frames_used;
    } while (data.input_frames > 0 || data.output_frames_gen > 0);
}

/* What is still in the converter, up to that place. */
static void flush(struct stream *stream, uint64_t limit)
{
    float nothing[2] = {0};
    if (!stream->src)
        return;
    stream->mixer->stop_limit = limit;
    convert(stream, nothing, 0, true);
    stream->mixer->stop_limit = UINT64_MAX;
    src_reset(stream->src);
}

static void stream_write(struct audio_stream *audio, const void *frames, unsigned count)
{
    struct stream *stream = (struct stream *)audio;
    const uint8_t *from = frames;
    float samples[2 * CHUNK];
    if (!stream->playing || stream->ratio == 0)
        return;
    while (count > 0) {
        unsigned some = MIN(count, CHUNK), n = some * stream->format.channels;
        for (unsigned i = 0; i < n; i++) {
            int16_t sample;
            if (stream->format.sample == AUDIO_U8) {
                samples[i] = (float)(*from++ - 128) / 128;
            } else {
                memcpy(&sample, from, sizeof(sample));
                from += sizeof(sample);
                samples[i] = (float)sample / 32768;
            }
        }
        convert(stream, samples, some, false);
        count -= some;
    }
}

/* --- The streams --- */

static void converter_set(struct stream *stream)
{
    uint32_t frequency = stream->mixer->output.frequency;
    double rate = (double)stream->format.rate_num / stream->format.rate_den;
    int failed;
    g_clear_pointer(&stream->src, src_delete);
    stream->ratio = rate < AUDIO_RATE_MIN || rate > AUDIO_RATE_MAX ? 0 : frequency / rate;
    if (stream->ratio == 0 || (uint64_t)frequency * stream->format.rate_den == stream->format.rate_num)
        return;
    stream->src = src_new(SRC_SINC_FASTEST, stream->format.channels, &failed);
    if (!stream->src)
        stream->ratio = 0;
}

static void stream_set_format(struct audio_stream *audio, const struct audio_format *format)
{
    struct stream *stream = (struct stream *)audio;
    const struct audio_format *was = &stream->format;
    bool same_rate = was->rate_num == format->rate_num && was->rate_den == format->rate_den;
    if (same_rate && was->channels == format->channels) {
        stream->format.sample = format->sample;
        return;
    }
    uint64_t now = place_at(stream->mixer, vclock_now());
    if (stream->playing)
        flush(stream, now);
    stream->format = *format;
    converter_set(stream);
    stream->place = MAX(stream->place, now);
}

static void stream_set_volume(struct audio_stream *audio, uint32_t left, uint32_t right)
{
    struct stream *stream = (struct stream *)audio;
    stream->volume[0] = (float)MIN(left, AUDIO_VOLUME_MAX) / AUDIO_VOLUME_MAX;
    stream->volume[1] = (float)MIN(right, AUDIO_VOLUME_MAX) / AUDIO_VOLUME_MAX;
}

static void stream_stop(struct stream *stream, uint64_t at)
{
    struct mixer *mixer = stream->mixer;
    flush(stream, at);
    stream->playing = false;
    mixer->end = MAX(mixer->end, at);
    mixer->stopped = vclock_now();
}

static void stream_set_playing(struct audio_stream *audio, bool playing)
{
    struct stream *stream = (struct stream *)audio;
    struct mixer *mixer = stream->mixer;
    if (playing == stream->playing)
        return;
    if (!playing) {
        stream_stop(stream, place_at(mixer, vclock_now()));
        return;
    }
    if (!mixer->in_session)
        session_begin(mixer);
    stream->playing = true;
    stream->place = place_at(mixer, vclock_now());
    if (stream->src)
        src_reset(stream->src);
}

static struct audio_stream *stream_open(struct audiodev *audiodev, const char *name, const struct audio_front *front,
                                        void *opaque)
{
    struct stream *stream = g_new0(struct stream, 1);
    stream->audio.audiodev = audiodev;
    stream->mixer = (struct mixer *)audiodev;
    stream->front = front;
    stream->opaque = opaque;
    stream->format = (struct audio_format){AUDIO_S16, 2, 44100, 1};
    stream->volume[0] = stream->volume[1] = 1;
    converter_set(stream);
    g_ptr_array_add(stream->mixer->streams, stream);
    return &stream->audio;
}

static void stream_close(struct audio_stream *audio)
{
    struct stream *stream = (struct stream *)audio;
    if (stream->playing)
        stream->front->sync(stream->opaque);
    if (stream->playing)
        stream_stop(stream, place_at(stream->mixer, vclock_now()));
    g_ptr_array_remove(stream->mixer->streams, stream);
    g_clear_pointer(&stream->src, src_delete);
    g_free(stream);
}

static const struct audiodev_ops mixer_ops = {.open = stream_open,
                                              .close = stream_close,
                                              .set_format = stream_set_format,
                                              .set_volume = stream_set_volume,
                                              .set_playing = stream_set_playing,
                                              .write = stream_write};

bool mixer_listen(struct audiodev *audiodev, const struct audio_listener *listener)
{
    if (audiodev->ops != &mixer_ops)
        return false;
    ((struct mixer *)audiodev)->listener = listener ? *listener : (struct audio_listener){0};
    return true;
}

struct audiodev *mixer_new(const struct audio_output *output, struct audio_sink *sink)
{
    struct mixer *mixer = g_new0(struct mixer, 1);
    mixer->audiodev.ops = &mixer_ops;
    mixer->output = *output;
    mixer->sink = sink;
    mixer->streams = g_ptr_array_new();
    mixer->line = g_malloc0(LINE_FRAMES * sizeof(*mixer->line));
    mixer->bytes = g_malloc((size_t)CHUNK * output_frame_size(output));
    mixer->stop_limit = UINT64_MAX;
    mixer->timer = vtimer_new(tick, mixer, "audio");
    return &mixer->audiodev;
}

bool mixer_start(struct audiodev *audiodev, GError **error)
{
    struct mixer *mixer = (struct mixer *)audiodev;
    return !mixer->sink->ops->start || mixer->sink->ops->start(mixer->sink, error);
}

void mixer_free(struct audiodev *audiodev)
{
    struct mixer *mixer = (struct mixer *)audiodev;
    if (mixer->in_session)
        session_end(mixer);
    vtimer_free(mixer->timer);
    mixer->sink->ops->close(mixer->sink);
    g_ptr_array_unref(mixer->streams);
    g_free(mixer->line);
    g_free(mixer->bytes);
    g_free(mixer);
}

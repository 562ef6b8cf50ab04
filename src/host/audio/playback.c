/* A ring of frames between the guest's clock and a loudspeaker's: see playback.h.
 *
 * The ring's mean fill says which clock is faster. A controller (proportional and integral, with a time constant of
 * about ten seconds) makes the resampling ratio follow, by at most RATIO_MOST, which nobody hears: so the ring neither
 * runs dry nor over, and the latency stays. The loudspeaker's thread only copies. Where frames are missing for once, it
 * waits until the ring is as full as it should be: one gap instead of many.
 *
 * How long a host keeps a thread waiting is known afterwards only: so each gap doubles the latency, up to four times of
 * what was asked for, and ten minutes without one bring it back slowly.
 */
#include "playback.h"

#include <math.h>
#include <samplerate.h>
#include <string.h>

#define RATIO_MOST   0.01 /* up and down: a sixth of a semitone */
#define PROPORTIONAL 0.2  /* of the ratio, for a second that is too much */
#define INTEGRAL     0.01 /* the same, for each second that it lasts: damped by 1 */
#define MEAN_S       0.5  /* the fill goes up and down with each of the loudspeaker's buffers */
#define ROOM_S       0.5  /* beyond the latency */
#define CHUNK        512u
#define GROWTH_MOST  4    /* times the latency */
#define CALM_S       600  /* before it becomes less */
#define LESS         0.01 /* of it, for each second then */

struct playback {
    uint32_t frequency;
    unsigned channels, least; /* latency at first */
    /* The guest's side */
    SRC_STATE *src;
    double mean, integral, ratio;
    bool is_new; /* mean is not known yet */
    /* Both sides', under the mutex */
    GMutex mutex;
    float *ring;
    unsigned size, first, fill; /* frames */
    double latency;             /* that wait on the average, least to GROWTH_MOST * least */
    double calm;                /* seconds played since the last underrun */
    bool is_taken;              /* the loudspeaker has begun: a sound server takes seconds for it */
    bool flows;                 /* else the ring is being filled, or empty and at rest */
    bool pauses;                /* no more comes */
    uint64_t underruns, overruns;
};

static void fill_follow(struct playback *playback, unsigned count)
{
    double seconds = (double)count / playback->frequency, fill;
    g_mutex_lock(&playback->mutex);
    fill = playback->fill;
    bool flows = playback->flows && playback->is_taken;
    playback->calm += flows ? seconds : 0;
    if (flows && playback->calm > CALM_S)
        playback->latency = MAX(playback->least, playback->latency * (1 - LESS * MIN(1, seconds)));
    double latency = playback->latency;
    g_mutex_unlock(&playback->mutex);
    if (!flows) { /* says nothing about clocks */
        playback->is_new = true;
        return;
    }
    /* It begins with the latency and is that on the average, if clocks agree. */
    if (playback->is_new)
        playback->mean = latency;
    playback->is_new = false;
    playback->mean += (fill - playback->mean) * MIN(1, seconds / MEAN_S);
    double error = (latency - playback->mean) / playback->frequency;
    double more = PROPORTIONAL * error + playback->integral;
    playback->ratio = 1 + CLAMP(more, -RATIO_MOST, RATIO_MOST);
    /* What the loudspeaker once did not take for a moment says nothing about clocks, either: while the ratio is at its
     * end the integral stays, or it would drain the ring below the latency afterwards, until it is dry. */
    if (fabs(more) < RATIO_MOST)
        playback->integral = CLAMP(playback->integral + INTEGRAL * error * seconds, -RATIO_MOST, RATIO_MOST);
}

/* Leaves out the oldest, so that no more waits than the latency. */
static void ring_cut(struct playback *playback)
{
    unsigned latency = (unsigned)playback->latency;
    if (playback->fill > latency) {
        playback->first = (playback->first + playback->fill - latency) % playback->size;
        playback->fill = latency;
    }
}

/* More than it holds: what waits is cut down to the latency, at once. */
static void ring_put(struct playback *playback, const float *frames, unsigned count)
{
    unsigned channels = playback->channels;
    g_mutex_lock(&playback->mutex);
    if (playback->fill + count > (unsigned)(playback->latency + ROOM_S * playback->frequency)) {
        playback->overruns++;
        ring_cut(playback);
    }
    for (unsigned i = 0; i < count && playback->fill < playback->size; i++, frames += channels) {
        unsigned at = (playback->first + playback->fill++) % playback->size;
        memcpy(playback->ring + (size_t)at * channels, frames, channels * sizeof(float));
    }
    if (!playback->is_taken) /* nobody has heard what came before */
        ring_cut(playback);
    playback->pauses = false;
    if (playback->fill >= (unsigned)playback->latency)
        playback->flows = true;
    g_mutex_unlock(&playback->mutex);
}

void playback_write(struct playback *playback, const float *frames, unsigned count)
{
    float out[2 * CHUNK];
    while (count > 0) {
        unsigned some = MIN(count, CHUNK / 2);
        SRC_DATA data = {.data_in = frames,
                         .input_frames = some,
                         .data_out = out,
                         .output_frames = CHUNK,
                         .src_ratio = playback->ratio};
        if (src_process(playback->src, &data) != 0)
            return;
        ring_put(playback, out, (unsigned)data.output_frames_gen);
        fill_follow(playback, some);
        frames += (size_t)some * playback->channels;
        count -= some;
    }
}

void playback_pause(struct playback *playback)
{
    g_mutex_lock(&playback->mutex);
    playback->pauses = true;
    playback->flows = playback->fill > 0; /* also what is less than the latency */
    g_mutex_unlock(&playback->mutex);
}

void playback_take(struct playback *playback, float *frames, unsigned count, bool holds)
{
    unsigned channels = playback->channels, done = 0;
    g_mutex_lock(&playback->mutex);
    playback->is_taken |= playback->flows;
    for (; playback->flows && done < count && playback->fill; done++, playback->fill--) {
        memcpy(frames + (size_t)done * channels, playback->ring + (size_t)playback->first * channels,
               channels * sizeof(float));
        playback->first = (playback->first + 1) % playback->size;
    }
    if (playback->flows && done < count) {
        playback->flows = false;
        if (!playback->pauses && !holds) {
            playback->underruns++;
            playback->latency = MIN(2 * playback->latency, GROWTH_MOST * playback->least);
            playback->calm = 0;
        }
    }
    g_mutex_unlock(&playback->mutex);
    memset(frames + (size_t)done * channels, 0, (size_t)(count - done) * channels * sizeof(float));
}

struct playback_counts playback_counts(struct playback *playback)
{
    g_mutex_lock(&playback->mutex);
    struct playback_counts counts = {playback->underruns, playback->overruns, playback->ratio,
                                     playback->is_new ? playback->fill : (unsigned)playback->mean,
                                     (unsigned)playback->latency};
    g_mutex_unlock(&playback->mutex);
    return counts;
}

struct playback *playback_new(uint32_t frequency, unsigned channels, unsigned latency)
{
    int failed;
    SRC_STATE *src = src_new(SRC_SINC_FASTEST, (int)channels, &failed);
    if (!src)
        return NULL;
    struct playback *playback = g_new0(struct playback, 1);
    playback->frequency = frequency;
    playback->channels = channels;
    playback->least = playback->latency = latency;
    playback->src = src;
    playback->ratio = 1;
    playback->is_new = true;
    playback->size = GROWTH_MOST * latency + (unsigned)(ROOM_S * frequency);
    playback->ring = g_new0(float, (size_t)playback->size *channels);
    g_mutex_init(&playback->mutex);
    return playback;
}

void playback_free(struct playback *playback)
{
    src_delete(playback->src);
    g_mutex_clear(&playback->mutex);
    g_free(playback->ring);
    g_free(playback);
}

/* -audiodev sdl: what is played, on the host's loudspeaker (SDL2, which finds PulseAudio, PipeWire, ALSA and so on by
 * itself; SDL_AUDIODRIVER names one).
 *
 * Frames come from the mixer as they come due on the guest's clock and go through playback.c, which adapts them to the
 * loudspeaker's. SDL's thread takes them from there; what it needs of the host is open before the fence goes up.
 */
#include "audio_internal.h" /* before SDL, which has names of audio.h's for its own formats */

#include <string.h>

#include "audiodev.h"
#include "host/sdl_load.h"
#include "log.h"
#include "playback.h"
#include "stats.h"
#include "vclock.h"

#define BUFFERS_A_SECOND 40 /* at least: the power of two below */
#define CHUNK            256u
#define BEGIN_MS         500u
/* What PulseAudio (and PipeWire in its place) asks for ahead, in milliseconds. SDL wants one of its buffers only, 23
 * ms: less than a busy host keeps the server or SDL's thread waiting. */
#define SERVER_AHEAD "60"

struct sdl_audio {
    struct audio_sink sink; /* first */
    struct audio_output output;
    struct playback *playback;
    SDL_AudioDeviceID device; /* 0: not open */
    _Atomic bool has_begun;   /* SDL's thread */
};

/* On SDL's thread. */
static void sdl_audio_take(void *opaque, Uint8 *to, int len)
{
    struct sdl_audio *audio = opaque;
    float frames[2 * CHUNK];
    unsigned size = output_frame_size(&audio->output), channels = audio->output.channels;
    audio->has_begun = true;
    for (unsigned left = (unsigned)len / size; left > 0;) {
        unsigned some = MIN(left, CHUNK);
        playback_take(audio->playback, frames, some, vclock_is_stopped());
        if (audiodev_is_muted())
            memset(frames, 0, some * channels * sizeof(float));
        for (unsigned i = 0; i < some * channels; i++, to += size / channels)
            output_put(audio->output.sample, to, frames[i]);
        left -= some;
    }
}

static void sdl_audio_write(struct audio_sink *sink, const void *frames, size_t bytes)
{
    struct sdl_audio *audio = (struct sdl_audio *)sink;
    if (!audio->device)
        return;
    playback_write(audio->playback, frames, (unsigned)(bytes / (sizeof(float) * audio->output.channels)));
    struct playback_counts counts = playback_counts(audio->playback);
    stats.n[STAT_sound_underruns] = counts.underruns;
    stats.n[STAT_sound_overruns] = counts.overruns;
    stats.n[STAT_sound_ratio] = (uint64_t)llrint(counts.ratio * 1e6);
}

static void sdl_audio_pause(struct audio_sink *sink)
{
    playback_pause(((struct sdl_audio *)sink)->playback);
}

static bool sdl_audio_start(struct audio_sink *sink, GError **error)
{
    static const SDL_AudioFormat formats[] = {
        [OUTPUT_U8] = AUDIO_U8, [OUTPUT_S16] = AUDIO_S16SYS, [OUTPUT_S32] = AUDIO_S32SYS};
    struct sdl_audio *audio = (struct sdl_audio *)sink;
    SDL_AudioSpec wanted = {.freq = (int)audio->output.frequency,
                            .format = formats[audio->output.sample],
                            .channels = audio->output.channels,
                            .samples = 256,
                            .callback = sdl_audio_take,
                            .userdata = audio};
    while (wanted.samples * 2u * BUFFERS_A_SECOND <= audio->output.frequency)
        wanted.samples *= 2;
    g_setenv("PULSE_LATENCY_MSEC", SERVER_AHEAD, FALSE);
    if (SDL_InitSubSystem(SDL_INIT_AUDIO) != 0) {
        AUDIO_SAY("SDL finds no loudspeaker (%s); use -audiodev none or wav", SDL_GetError());
        return false;
    }
    audio->device = SDL_OpenAudioDevice(NULL, 0, &wanted, NULL, 0);
    if (!audio->device) {
        AUDIO_SAY("SDL opens no loudspeaker (%s); use -audiodev none or wav", SDL_GetError());
        SDL_QuitSubSystem(SDL_INIT_AUDIO);
        return false;
    }
    SDL_PauseAudioDevice(audio->device, 0);
    /* Its thread asks for a higher priority first of all: behind the fence it would not get it. */
    for (unsigned ms = 0; ms < BEGIN_MS && !audio->has_begun; ms++)
        g_usleep(1000);
    return true;
}

static void sdl_audio_close(struct audio_sink *sink)
{
    struct sdl_audio *audio = (struct sdl_audio *)sink;
    if (audio->device) {
        SDL_CloseAudioDevice(audio->device);
        SDL_QuitSubSystem(SDL_INIT_AUDIO);
    }
    playback_free(audio->playback);
    g_free(audio);
}

struct audio_sink *sdl_audio_new(const struct audio_output *output, uint32_t latency_us, GError **error)
{
    static const struct audio_sink_ops ops = {sdl_audio_write, sdl_audio_close, sdl_audio_pause, sdl_audio_start};
    if (!sdl_load("sound", "use -audiodev none or wav", error))
        return NULL;
    struct playback *playback = playback_new(output->frequency, output->channels,
                                             (unsigned)((uint64_t)latency_us * output->frequency / 1000000));
    if (!playback) {
        AUDIO_SAY("there is no memory for it");
        return NULL;
    }
    struct sdl_audio *audio = g_new0(struct sdl_audio, 1);
    audio->sink.ops = &ops;
    audio->output = *output;
    audio->playback = playback;
    return &audio->sink;
}

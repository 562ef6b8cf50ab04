/* Frames in virtual time: see voice.h. */
#include "voice.h"

#include <string.h>

#define CHUNK      4096u
#define RATE_MAX   (1u << 20)
#define EVENT_NS   20000 /* a guest may want an event each frame; the host looks no more often than this */
#define LATE_MAX_S 1     /* of frames; what is later than that never was: the host had the machine stand */

/* The first nanosecond at which frame n after the epoch is due: n / rate seconds, rounded up. */
static int64_t time_of(const struct voice_regs *regs, uint64_t n)
{
    const __int128 scaled = (__int128)n * regs->rate_den * NS_PER_SECOND;
    return regs->epoch + (int64_t)((scaled + regs->rate_num - 1) / regs->rate_num);
}

/* Frames that have passed entirely since the epoch. */
static uint64_t frames_at(const struct voice_regs *regs, int64_t now)
{
    if (now <= regs->epoch)
        return 0;
    return (uint64_t)((__int128)(now - regs->epoch) * regs->rate_num / ((__int128)regs->rate_den * NS_PER_SECOND));
}

static void arm(struct voice *voice)
{
    const struct voice_regs *regs = &voice->regs;
    if (!regs->running) {
        vtimer_cancel(voice->timer);
        return;
    }
    /* A stream's back end asks by itself; without one somebody has to see that time passes. */
    int64_t when = vclock_now() + VOICE_TICK_NS;
    if (regs->event_in)
        when = MIN(when, MAX(time_of(regs, regs->taken + regs->event_in), voice->fired + EVENT_NS));
    vtimer_arm(voice->timer, when);
}

/* rate_num frames take exactly rate_den seconds: numbers stay small, and nothing is rounded. */
static void rebase(struct voice_regs *regs)
{
    if (regs->taken >= regs->rate_num) {
        uint64_t periods = regs->taken / regs->rate_num;
        regs->epoch += (int64_t)periods * regs->rate_den * NS_PER_SECOND;
        regs->taken -= periods * regs->rate_num;
    }
}

static void take(struct voice *voice, unsigned count)
{
    uint8_t frames[CHUNK];
    struct voice_regs *regs = &voice->regs;
    const struct audio_format was = voice->format;
    unsigned size = audio_frame_size(&was);
    uint64_t event = regs->event_in;
    regs->taken += count;
    regs->event_in = event > count ? event - count : 0;
    unsigned some = voice->front->take(voice->opaque, frames, count);
    if (some < count)
        memset(frames + (size_t)some * size, was.sample == AUDIO_U8 ? 0x80 : 0, (size_t)(count - some) * size);
    audio_write(voice->stream, frames, count);
}

void voice_sync(struct voice *voice)
{
    struct voice_regs *regs = &voice->regs;
    if (!regs->running || voice->in_sync)
        return;
    int64_t now = vclock_now();
    uint64_t due = frames_at(regs, now), late = (uint64_t)LATE_MAX_S * regs->rate_num / regs->rate_den + 1;
    if (due > regs->taken + late) {
        regs->epoch += time_of(regs, due) - time_of(regs, regs->taken + late);
        due = frames_at(regs, now);
    }
    voice->in_sync = true;
    while (regs->running && due > regs->taken) {
        uint64_t count = MIN(due - regs->taken, CHUNK / audio_frame_size(&voice->format));
        if (regs->event_in) /* take() sees each event by itself */
            count = MIN(count, regs->event_in);
        take(voice, (unsigned)count);
    }
    voice->in_sync = false;
    rebase(regs);
    arm(voice);
}

static void voice_timer(void *opaque)
{
    struct voice *voice = opaque;
    const struct voice_regs *regs = &voice->regs;
    int64_t now = vclock_now();
    if (regs->event_in && now >= time_of(regs, regs->taken + regs->event_in))
        voice->fired = now;
    if (!voice->front->due) {
        voice_sync(voice);
        return;
    }
    voice->front->due(voice->opaque);
    vtimer_arm(voice->timer, vclock_now() + VOICE_TICK_NS);
}

static void voice_asked(void *opaque)
{
    voice_sync(opaque);
}

static const struct audio_front stream_front = {voice_asked};

void voice_set_format(struct voice *voice, const struct audio_format *format)
{
    struct voice_regs *regs = &voice->regs;
    voice->format = *format;
    if (regs->rate_num != format->rate_num || regs->rate_den != format->rate_den) {
        if (regs->running) {
            regs->epoch = time_of(regs, regs->taken);
            regs->taken = 0;
        }
        regs->rate_num = format->rate_num;
        regs->rate_den = format->rate_den;
    }
    audio_set_format(voice->stream, format);
    arm(voice);
}

void voice_set_running(struct voice *voice, bool running)
{
    struct voice_regs *regs = &voice->regs;
    if (running == regs->running)
        return;
    regs->running = running;
    regs->epoch = running ? vclock_now() : 0;
    regs->taken = regs->event_in = 0;
    audio_set_playing(voice->stream, running);
    arm(voice);
}

void voice_set_event(struct voice *voice, uint64_t frames)
{
    voice->regs.event_in = frames;
    if (!voice->in_sync)
        arm(voice);
}

void voice_reset(struct voice *voice)
{
    voice_set_running(voice, false);
    voice->regs.event_in = 0;
}

bool voice_is_sane(const struct voice *voice)
{
    const struct voice_regs *regs = &voice->regs;
    uint64_t rate = regs->rate_den ? regs->rate_num / regs->rate_den : 0;
    if (rate > RATE_MAX || !regs->rate_num || !regs->rate_den || regs->taken >= regs->rate_num ||
        regs->event_in > 1u << 24)
        return false;
    /* It has run for less than the time in which numbers are made smaller, and what is later than a second. */
    int64_t now = vclock_now(), period = (int64_t)regs->rate_den * NS_PER_SECOND;
    return !regs->running || (regs->rate_den <= 1u << 20 && regs->rate_num <= 1u << 24 && regs->epoch <= now &&
                              regs->epoch >= now - 2 * period - 2 * LATE_MAX_S * NS_PER_SECOND);
}

void voice_after_load(struct voice *voice)
{
    audio_set_playing(voice->stream, false);
    audio_set_format(voice->stream, &voice->format);
    audio_set_playing(voice->stream, voice->regs.running);
    voice->fired = vclock_now() - EVENT_NS;
    arm(voice);
}

void voice_init(struct voice *voice, struct audiodev *audiodev, bool is_heard, const char *name,
                const struct voice_front *front, void *opaque)
{
    voice->front = front;
    voice->opaque = opaque;
    voice->timer = vtimer_new(voice_timer, voice, name);
    voice->stream = is_heard ? audio_open(audiodev, name, &stream_front, voice) : NULL;
    voice->format = (struct audio_format){AUDIO_U8, 1, 8000, 1};
    voice->regs = (struct voice_regs){.rate_num = 8000, .rate_den = 1};
}

void voice_fini(struct voice *voice)
{
    audio_close(voice->stream);
    vtimer_free(voice->timer);
}

static const struct state_field voice_fields[] = {
    STATE_FIELD(voice_regs, epoch),    STATE_FIELD(voice_regs, taken),    STATE_FIELD(voice_regs, event_in),
    STATE_FIELD(voice_regs, rate_num), STATE_FIELD(voice_regs, rate_den), STATE_FIELD(voice_regs, running),
};
const struct state_layout voice_layout = STATE_LAYOUT(1, voice_regs, voice_fields);

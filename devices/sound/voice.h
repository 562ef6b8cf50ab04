/* A voice of a card with DMA: frames come due in virtual time, exactly at its rate, and go to the voice's stream.
 *
 * The card takes frames from wherever they are when it is asked to; what it has taken is where its DMA is. Whoever
 * looks at that position, or changes what it depends on, calls voice_sync() first. So positions are right at any
 * moment, and what the card wants to notice in time (an interrupt after so many frames) is said by voice_set_event().
 */
#pragma once

#include "audio.h"
#include "state.h"
#include "vclock.h"

#define VOICE_TICK_NS 10000000ll /* a playing voice is looked at this often, at least */

struct voice_front {
    /* That many frames are due: takes them (playing: writes them into frames, which has room for them), and does what
     * follows from it. Fewer than count: no more is there, and the rest is silence; the time goes on. May change
     * anything of the voice but its rate. */
    unsigned (*take)(void *opaque, void *frames, unsigned count);
    /* Instead of being asked when time has passed, on the device thread: for a card that moves frames to memory, which
     * it does elsewhere and then calls voice_sync(). NULL: it is asked. */
    void (*due)(void *opaque);
};

struct voice_regs {
    int64_t epoch;     /* when frame 0 was due */
    uint64_t taken;    /* frames since epoch: less than a second of them */
    uint64_t event_in; /* frames from taken on until somebody wants to know; 0: nobody does */
    uint32_t rate_num, rate_den;
    bool running;
};

struct voice {
    struct voice_regs regs;
    struct audio_format format; /* as the card's registers say: not saved */
    struct audio_stream *stream;
    struct vtimer *timer;
    int64_t fired; /* when the timer came for an event last */
    const struct voice_front *front;
    void *opaque;
    bool in_sync;
};

extern const struct state_layout voice_layout;

/* audiodev NULL: nobody hears it. is_heard: false for recording, which has no stream. */
void voice_init(struct voice *voice, struct audiodev *audiodev, bool is_heard, const char *name,
                const struct voice_front *front, void *opaque);
void voice_fini(struct voice *voice);
/* Takes what is due by now. */
void voice_sync(struct voice *voice);
/* After voice_sync(). A new rate holds from the last frame on. */
void voice_set_format(struct voice *voice, const struct audio_format *format);
/* After voice_sync(). It begins now with frame 0. */
void voice_set_running(struct voice *voice, bool running);
/* When that many more frames are taken, take() is called in time; 0: nothing of the kind. */
void voice_set_event(struct voice *voice, uint64_t frames);
void voice_reset(struct voice *voice);
/* The registers are new, and the card has set format as its own say. False: no voice is like that. */
bool voice_is_sane(const struct voice *voice);
void voice_after_load(struct voice *voice);

/* Between the guest's clock and that of a loudspeaker, which is never quite the same: playback.c. */
#pragma once

#include <glib.h>

#include "types.h"

struct playback;

/* latency: frames that wait on the average, more after sound was missing. NULL: no memory. */
struct playback *playback_new(uint32_t frequency, unsigned channels, unsigned latency);
void playback_free(struct playback *playback);

/* Frames as they come due on the guest's clock; without waiting. */
void playback_write(struct playback *playback, const float *frames, unsigned count);
/* No more comes for a while: what waits is played, and that it ends is no fault. */
void playback_pause(struct playback *playback);
/* The loudspeaker's thread takes count frames; silence where there is none. holds: the machine stands at this moment.
 */
void playback_take(struct playback *playback, float *frames, unsigned count, bool holds);

struct playback_counts {
    uint64_t underruns, overruns; /* times that sound was missing, or left out */
    double ratio;                 /* frames of the loudspeaker for one of the guest's */
    unsigned waiting;             /* frames, on the average */
    unsigned latency;             /* how many are to wait */
};
struct playback_counts playback_counts(struct playback *playback);

/* Sound back ends by id: what -audiodev makes. A card sees struct audiodev only (audio.h in include/). */
#pragma once

#include <glib.h>

#include "audio.h"
#include "keyvalue.h"

/* From a list with "driver", "id", and what the driver takes. NULL with a sentence in *error. Before there are
 * threads. */
struct audiodev *audiodev_new(struct keyvalues *options, GError **error);
/* Opens what makes threads, right before the machine begins to run. */
bool audiodev_start_all(GError **error);
bool audiodev_needs_device(void); /* of the host: for the fence */
/* The user wants quiet: loudspeakers are silent, files are written on. Any thread. */
void audiodev_set_muted(bool muted);
bool audiodev_is_muted(void);
/* The driver of one that is heard by a listener only: not for the command line. */
#define AUDIODEV_HEARD "#heard"

/* Hears what is played besides: frames of 16 bits, left and right, as they come due; then that no more comes for a
 * while. Device thread, with the machine lock held. */
struct audio_listener {
    void (*hear)(void *opaque, const int16_t *frames, unsigned count, uint32_t frequency);
    void (*quiet)(void *opaque);
    void *opaque;
};
/* NULL: nobody any more. False: this one is no mixer (a "none" that nobody was to hear). Machine lock. */
bool audiodev_listen(struct audiodev *audiodev, const struct audio_listener *listener);
struct audiodev *audiodev_find(const char *id); /* NULL: there is none */
void audiodev_drivers_each(void (*each)(void *opaque, const char *name), void *opaque);
/* What has been played is written; no card has a stream any more. */
void audiodev_close_all(void);

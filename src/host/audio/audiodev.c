/* What -audiodev says, and the list of all. See audiodev.h. */
#include "audiodev.h"

#include <string.h>

#include "audio_internal.h"
#include "log.h"

#define FAIL(...) (AUDIO_SAY(__VA_ARGS__), false)

#define FREQUENCY_MIN     8000u
#define FREQUENCY_MAX     192000u
#define FREQUENCY_DEFAULT 44100u
#define LATENCY_MIN       10000u /* microseconds of sound that wait for the loudspeaker: out.buffer-length */
#define LATENCY_MAX       1000000u
#define LATENCY_DEFAULT   80000u /* a busy host keeps a thread waiting for 50 ms now and then (tests/RESULTS.md) */

struct driver;

struct backend {
    char *id;
    struct audiodev *audiodev;
    const struct driver *driver;
};

static GArray *backends;

/* --- Drivers --- */

static bool number_parse(struct keyvalues *options, const char *key, uint64_t min, uint64_t max, uint64_t *number,
                         GError **error)
{
    const char *text = keyvalues_get(options, key);
    return !text || (value_is_number(text, max, number) && *number >= min) ||
           FAIL("%s= is a number from %llu to %llu, not '%s'", key, (unsigned long long)min, (unsigned long long)max,
                text);
}

/* Nobody hears it: there is nothing to be done. */
static struct audio_stream *none_open(struct audiodev *audiodev, const char *name, const struct audio_front *front,
                                      void *opaque)
{
    return NULL;
}

static struct audiodev *none_new(struct keyvalues *options, const struct audio_output *output, GError **error)
{
    static const struct audiodev_ops ops = {.open = none_open};
    struct audiodev *audiodev = g_new0(struct audiodev, 1);
    audiodev->ops = &ops;
    return audiodev;
}

static void none_free(struct audiodev *audiodev)
{
    g_free(audiodev);
}

#ifdef HAVE_SAMPLERATE
/* What only a listener hears (audiodev_listen). */
static void nowhere_write(struct audio_sink *sink, const void *frames, size_t bytes)
{
}

static void nowhere_close(struct audio_sink *sink)
{
    g_free(sink);
}

static struct audiodev *heard_new(struct keyvalues *options, const struct audio_output *output, GError **error)
{
    static const struct audio_sink_ops ops = {.write = nowhere_write, .close = nowhere_close};
    struct audio_sink *sink = g_new0(struct audio_sink, 1);
    sink->ops = &ops;
    return mixer_new(output, sink);
}

static struct audiodev *wav_new(struct keyvalues *options, const struct audio_output *output, GError **error)
{
    const char *path = keyvalues_get(options, "path");
    struct audio_sink *sink = wav_open(path ? path : "qemu.wav", output, error);
    return sink ? mixer_new(output, sink) : NULL;
}

#ifdef HAVE_SDL_AUDIO
static struct audiodev *sdl_new(struct keyvalues *options, const struct audio_output *output, GError **error)
{
    uint64_t latency = LATENCY_DEFAULT;
    struct audio_output mixed = *output;
    mixed.sample = OUTPUT_F32;
    if (!number_parse(options, "out.buffer-length", LATENCY_MIN, LATENCY_MAX, &latency, error))
        return NULL;
    struct audio_sink *sink = sdl_audio_new(output, (uint32_t)latency, error);
    return sink ? mixer_new(&mixed, sink) : NULL;
}
#endif
#else
static struct audiodev *heard_new(struct keyvalues *options, const struct audio_output *output, GError **error)
{
    return none_new(options, output, error);
}

bool mixer_listen(struct audiodev *audiodev, const struct audio_listener *listener)
{
    return false;
}

static struct audiodev *wav_new(struct keyvalues *options, const struct audio_output *output, GError **error)
{
    AUDIO_SAY("sound needs libsamplerate, which this ringer was built without; none is what there is");
    return NULL;
}

void mixer_free(struct audiodev *audiodev)
{
    g_free(audiodev);
}

bool mixer_start(struct audiodev *audiodev, GError **error)
{
    return true;
}
#endif

#ifndef HAVE_SDL_AUDIO
static struct audiodev *sdl_new(struct keyvalues *options, const struct audio_output *output, GError **error)
{
    AUDIO_SAY("sound on the host needs SDL2 and libsamplerate, which this ringer was built without; use none or wav");
    return NULL;
}
#endif

/* QEMU's for one kind of host each. SDL finds out by itself what there is. */
static struct audiodev *other_new(struct keyvalues *options, const struct audio_output *output, GError **error)
{
    log_user("-audiodev %s: SDL plays it, on what it finds on this host (SDL_AUDIODRIVER says otherwise)",
             keyvalues_get(options, "driver"));
    return sdl_new(options, output, error);
}

static const struct driver {
    const char *name;
    struct audiodev *(*open)(struct keyvalues *options, const struct audio_output *output, GError **error);
    void (*free)(struct audiodev *audiodev);
    bool (*start)(struct audiodev *audiodev, GError **error); /* NULL: nothing to do */
    const char *own;                                          /* its own option, or NULL; "*": any, not looked at */
} drivers[] = {
    {"none", none_new, none_free, NULL, NULL},          {AUDIODEV_HEARD, heard_new, mixer_free, mixer_start, NULL},
    {"wav", wav_new, mixer_free, mixer_start, "path"},  {"sdl", sdl_new, mixer_free, mixer_start, "out.buffer-count"},
    {"alsa", other_new, mixer_free, mixer_start, "*"},  {"coreaudio", other_new, mixer_free, mixer_start, "*"},
    {"dbus", other_new, mixer_free, mixer_start, "*"},  {"dsound", other_new, mixer_free, mixer_start, "*"},
    {"jack", other_new, mixer_free, mixer_start, "*"},  {"oss", other_new, mixer_free, mixer_start, "*"},
    {"pa", other_new, mixer_free, mixer_start, "*"},    {"pipewire", other_new, mixer_free, mixer_start, "*"},
    {"sndio", other_new, mixer_free, mixer_start, "*"}, {"spice", other_new, mixer_free, mixer_start, "*"},
};

static const struct driver *driver_find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++) {
        if (strcmp(drivers[i].name, name) == 0)
            return &drivers[i];
    }
    return NULL;
}

void audiodev_drivers_each(void (*each)(void *opaque, const char *name), void *opaque)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++) {
        if (drivers[i].open != other_new && drivers[i].open != heard_new)
            each(opaque, drivers[i].name);
    }
}

/* --- Options --- */

static bool format_parse(const char *text, struct audio_output *output, GError **error)
{
    if (!text || strcmp(text, "s16") == 0)
        output->sample = OUTPUT_S16;
    else if (strcmp(text, "u8") == 0)
        output->sample = OUTPUT_U8;
    else if (strcmp(text, "s32") == 0)
        output->sample = OUTPUT_S32;
    else
        return FAIL("out.format= is u8, s16 or s32, not '%s'", text);
    return true;
}

/* Understood, and nothing here depends on it: buffers, and what concerns recording. */
static void idle_options_take(struct keyvalues *options)
{
    static const char *const keys[] = {"timer-period",      "out.mixing-engine", "out.fixed-settings",
                                       "out.voices",        "out.buffer-length", "in.mixing-engine",
                                       "in.fixed-settings", "in.frequency",      "in.channels",
                                       "in.format",         "in.voices",         "in.buffer-length"};
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++)
        (void)keyvalues_get(options, keys[i]);
}

static bool output_parse(struct keyvalues *options, struct audio_output *output, GError **error)
{
    uint64_t frequency = FREQUENCY_DEFAULT, channels = 2;
    idle_options_take(options);
    if (!number_parse(options, "out.frequency", FREQUENCY_MIN, FREQUENCY_MAX, &frequency, error) ||
        !number_parse(options, "out.channels", 1, 2, &channels, error) ||
        !format_parse(keyvalues_get(options, "out.format"), output, error))
        return false;
    output->frequency = (uint32_t)frequency;
    output->channels = (uint8_t)channels;
    return true;
}

static struct audiodev *driver_open(const struct driver *driver, struct keyvalues *options, GError **error)
{
    struct audio_output output;
    if (!output_parse(options, &output, error))
        return NULL;
    if (driver->own && strcmp(driver->own, "*") != 0)
        (void)keyvalues_get(options, driver->own);
    const char *unused = keyvalues_unused(options);
    if (unused && !(driver->own && strcmp(driver->own, "*") == 0)) {
        AUDIO_SAY("Invalid parameter '%s'", unused);
        return NULL;
    }
    return driver->open(options, &output, error);
}

/* --- The list --- */

struct audiodev *audiodev_new(struct keyvalues *options, GError **error)
{
    const char *name = keyvalues_get(options, "driver"), *id = keyvalues_get(options, "id");
    const struct driver *driver = name ? driver_find(name) : NULL;
    struct backend backend = {0};
    if (!name)
        AUDIO_SAY("Parameter 'driver' is missing");
    else if (!driver)
        AUDIO_SAY("there is no sound back end '%s'; -audiodev help lists them", name);
    else if (!id || !*id)
        AUDIO_SAY("Parameter 'id' is missing");
    else if (audiodev_find(id))
        AUDIO_SAY("Duplicate ID '%s' for audiodev", id);
    else
        backend.audiodev = driver_open(driver, options, error);
    if (!backend.audiodev)
        return NULL;
    backend.id = g_strdup(id);
    backend.driver = driver;
    if (!backends)
        backends = g_array_new(FALSE, FALSE, sizeof(struct backend));
    g_array_append_val(backends, backend);
    return backend.audiodev;
}

struct audiodev *audiodev_find(const char *id)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        if (strcmp(g_array_index(backends, struct backend, i).id, id) == 0)
            return g_array_index(backends, struct backend, i).audiodev;
    }
    return NULL;
}

bool audiodev_start_all(GError **error)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        const struct backend *backend = &g_array_index(backends, struct backend, i);
        if (backend->driver->start && !backend->driver->start(backend->audiodev, error)) {
            if (backend->id[0] != '#') /* one that the board has made */
                g_prefix_error(error, "-audiodev %s: ", backend->id);
            return false;
        }
    }
    return true;
}

bool audiodev_listen(struct audiodev *audiodev, const struct audio_listener *listener)
{
    return mixer_listen(audiodev, listener);
}

static _Atomic bool muted;

void audiodev_set_muted(bool value)
{
    muted = value;
}

bool audiodev_is_muted(void)
{
    return muted;
}

bool audiodev_needs_device(void)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        if (g_array_index(backends, struct backend, i).driver->open != none_new &&
            g_array_index(backends, struct backend, i).driver->open != heard_new &&
            g_array_index(backends, struct backend, i).driver->open != wav_new)
            return true;
    }
    return false;
}

void audiodev_close_all(void)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        struct backend *backend = &g_array_index(backends, struct backend, i);
        backend->driver->free(backend->audiodev);
        g_free(backend->id);
    }
    g_clear_pointer(&backends, g_array_unref);
}

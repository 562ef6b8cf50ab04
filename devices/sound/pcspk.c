/* The PC's speaker: what is behind port 61h (IBM PC AT Technical Reference, "System timers"; the 8254 is in pit.c).
 *
 * Its cone follows the mean of a wire that is high or low. A frame here is FRAME_CLKS of the timer's CLKs, and its
 * sample is for how many of them the wire was high: so tones have the frequency that the timer's count says, exactly,
 * and what programs do with single pulses (speech by pulse widths, or by toggling bit 1) is heard as they mean it.
 * Guests cannot see any of this: it has no state, and while the speaker is at rest it costs nothing.
 */
#include "audio.h"
#include "devices/pit.h"

#define FRAME_CLKS 24       /* 49,716 frames a second */
#define AMPLITUDE  16384.0f /* from low to high */
/* A cone does not stand still away from its middle: a high pass of 10 Hz. */
#define HIGH_PASS      0.99874f
#define REST_CLKS      (PIT_HZ / 8) /* without a change until it is at rest */
#define FRAMES_AT_ONCE 256

struct pcspk {
    struct pit *pit;
    struct audio_stream *stream; /* NULL: nobody hears it */
    bool playing;
    bool rest_level;     /* not playing: the wire stays there */
    int64_t clk;         /* playing: up to where frames, and a part of one, are made */
    int64_t change_clk;  /* nothing has moved since */
    uint32_t part, high; /* CLKs of a frame that is not complete; of them high ones */
    float input, output; /* of the high pass */
};

static int16_t sample(struct pcspk *speaker, uint32_t high)
{
    float input = AMPLITUDE * (float)high / FRAME_CLKS;
    speaker->output = HIGH_PASS * speaker->output + input - speaker->input;
    speaker->input = input;
    return (int16_t)CLAMP(speaker->output, -32768.0f, 32767.0f);
}

/* Makes all frames up to that CLK. */
static void advance(struct pcspk *speaker, int64_t to)
{
    int16_t frames[FRAMES_AT_ONCE];
    unsigned count = 0;
    if (to < speaker->clk || to - speaker->clk > PIT_HZ) /* a saved machine was loaded; the host had us stand */
        speaker->clk = to;
    while (speaker->clk < to) {
        int64_t clks = MIN(to - speaker->clk, FRAME_CLKS - (int64_t)speaker->part);
        speaker->high += pit_speaker_high(speaker->pit, speaker->clk, speaker->clk + clks);
        speaker->part += (uint32_t)clks;
        speaker->clk += clks;
        if (speaker->part < FRAME_CLKS)
            break;
        frames[count++] = sample(speaker, speaker->high);
        speaker->part = speaker->high = 0;
        if (count == FRAMES_AT_ONCE) {
            audio_write(speaker->stream, frames, count);
            count = 0;
        }
    }
    audio_write(speaker->stream, frames, count);
}

static bool level(struct pcspk *speaker, int64_t clk)
{
    return pit_speaker_high(speaker->pit, clk, clk + 1);
}

static void speaker_changing(void *opaque)
{
    struct pcspk *speaker = opaque;
    if (speaker->playing)
        advance(speaker, pit_clk_now());
}

static void speaker_changed(void *opaque)
{
    struct pcspk *speaker = opaque;
    int64_t now = speaker->change_clk = pit_clk_now();
    if (speaker->playing || (!pit_speaker_is_live(speaker->pit) && level(speaker, now) == speaker->rest_level))
        return;
    speaker->playing = true;
    speaker->clk = now;
    speaker->part = speaker->high = 0;
    speaker->input = speaker->rest_level ? AMPLITUDE : 0;
    speaker->output = 0;
    audio_set_playing(speaker->stream, true);
}

static void speaker_sync(void *opaque)
{
    struct pcspk *speaker = opaque;
    int64_t now = pit_clk_now();
    advance(speaker, now);
    if (pit_speaker_is_live(speaker->pit) || now < speaker->change_clk)
        speaker->change_clk = now;
    if (now - speaker->change_clk < REST_CLKS)
        return;
    speaker->playing = false;
    speaker->rest_level = level(speaker, now);
    audio_set_playing(speaker->stream, false);
}

struct pcspk_config {
    struct audiodev *audiodev;
};

static void *pcspk_create(const struct device_site *site, const void *config, GError **error)
{
    static const struct audio_front front = {speaker_sync};
    static const struct audio_format format = {AUDIO_S16, 1, PIT_HZ, FRAME_CLKS};
    const struct pcspk_config *wanted = config;
    struct pcspk *speaker = g_new0(struct pcspk, 1);
    speaker->pit = board_service(site->board, "pit");
    speaker->stream = audio_open(wanted->audiodev, "pcspk", &front, speaker);
    audio_set_format(speaker->stream, &format);
    if (speaker->stream)
        pit_set_speaker(speaker->pit, speaker_changing, speaker_changed, speaker);
    return speaker;
}

static void pcspk_destroy(void *dev)
{
    struct pcspk *speaker = dev;
    if (speaker->stream)
        pit_set_speaker(speaker->pit, NULL, NULL, NULL);
    audio_close(speaker->stream);
    g_free(speaker);
}

static const struct property pcspk_properties[] = {
    PROPERTY(pcspk_config, audiodev, "audiodev", PROPERTY_AUDIODEV, 0, NULL, "id of an -audiodev"),
    PROPERTY_END,
};

const struct device_class pcspk_class = {
    .name = "isa-pcspk",
    .info = "pcspk",
    .help = "the PC's speaker",
    .bus = BUS_ISA,
    .internal = true,
    .properties = pcspk_properties,
    .config_size = sizeof(struct pcspk_config),
    .create = pcspk_create,
    .destroy = pcspk_destroy,
};
DEVICE_CLASS(pcspk_class);

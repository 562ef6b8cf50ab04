/* Sound Blaster: DSP command 10h, samples that the processor writes one by one, at times of its own.
 *
 * The level stays until the next one comes; a frame here is its mean over the frame's time. While nothing is written
 * nothing runs. Guests cannot see any of it: it has no state.
 */
#include "sb16.h"

#define RATE    44100
#define AT_ONCE 256
#define REST_NS (NS_PER_SECOND / 8) /* without a change until it is at rest */

static int64_t frame_time(const struct sb16_dac *dac, uint64_t n)
{
    return dac->began + (int64_t)(n * NS_PER_SECOND / RATE);
}

/* All frames that have ended by then. */
static void advance(struct sb16_dac *dac, int64_t now)
{
    int16_t frames[AT_ONCE];
    unsigned count = 0;
    if (now < dac->at || now - dac->at > NS_PER_SECOND) { /* a saved machine was loaded; the host had us stand */
        dac->began = dac->at = now;
        dac->made = 0;
        dac->sum = 0;
    }
    for (;;) {
        int64_t end = frame_time(dac, dac->made + 1), upto = MIN(now, end);
        dac->sum += (upto - dac->at) * dac->level;
        dac->at = upto;
        if (upto < end)
            break;
        frames[count++] = (int16_t)(dac->sum / (end - frame_time(dac, dac->made)));
        dac->sum = 0;
        dac->made++;
        if (count == AT_ONCE) {
            audio_write(dac->stream, frames, count);
            count = 0;
        }
    }
    audio_write(dac->stream, frames, count);
}

void sb16_dac_write(struct sb16_dac *dac, uint8_t sample)
{
    int64_t now = vclock_now();
    if (!dac->stream)
        return;
    if (!dac->is_playing) {
        dac->is_playing = true;
        dac->began = dac->at = now;
        dac->made = 0;
        dac->sum = 0;
        audio_set_playing(dac->stream, true);
    }
    advance(dac, now);
    dac->level = (int16_t)((sample - 128) * 256);
    dac->change = now;
}

static void dac_sync(void *opaque)
{
    struct sb16_dac *dac = opaque;
    int64_t now = vclock_now();
    advance(dac, now);
    if (now >= dac->change && now - dac->change < REST_NS)
        return;
    dac->is_playing = false;
    audio_set_playing(dac->stream, false);
}

void sb16_dac_init(struct sb16_dac *dac, struct audiodev *audiodev)
{
    static const struct audio_front front = {dac_sync};
    static const struct audio_format format = {AUDIO_S16, 1, RATE, 1};
    dac->stream = audio_open(audiodev, "sb16-dac", &front, dac);
    audio_set_format(dac->stream, &format);
}

void sb16_dac_fini(struct sb16_dac *dac)
{
    audio_close(dac->stream);
}

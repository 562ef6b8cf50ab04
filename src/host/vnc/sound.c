/* What a viewer hears: QEMU's audio messages, in the format that the viewer has asked for. "The RFB Protocol"
 * (rfbproto.rst), 7.4.3 and 7.5.7 (QEMU Audio). */
#include <arpa/inet.h>
#include <math.h>
#include <pthread.h>
#include <samplerate.h>
#include <string.h>

#include "internal.h"

#define SERVER_MESSAGE 255
#define MESSAGE_AUDIO  1
#define FREQUENCY_MIN  4000u
#define FREQUENCY_MAX  192000u
#define FRAMES_MAX     1024u /* converted at once */
#define FACTOR_MAX     48u   /* frames that one may become */

enum { OPERATION_END, OPERATION_BEGIN, OPERATION_DATA };

/* Orders come on the viewer's thread; it is played on the main one. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct vnc_sound_format ordered = {3, 2, 44100};
static bool listens;

/* The main thread's. */
static struct {
    struct vnc_sound_format format;
    bool plays;
    SRC_STATE *converter;
} own;

bool vnc_sound_format_set(const struct vnc_sound_format *format)
{
    if (format->sample > 5 || format->channels < 1 || format->channels > 2 || format->frequency < FREQUENCY_MIN ||
        format->frequency > FREQUENCY_MAX)
        return false;
    pthread_mutex_lock(&lock);
    ordered = *format;
    pthread_mutex_unlock(&lock);
    return true;
}

void vnc_sound_listen(bool on)
{
    pthread_mutex_lock(&lock);
    listens = on;
    pthread_mutex_unlock(&lock);
}

static bool say(rfbClientPtr client, uint16_t operation, const uint8_t *bytes, uint32_t len)
{
    struct {
        uint8_t type, kind;
        uint16_t operation;
        uint32_t len;
    } __attribute__((packed)) head = {SERVER_MESSAGE, MESSAGE_AUDIO, htons(operation), htonl(len)};
    pthread_mutex_lock(&client->sendMutex);
    bool ok = vnc_rfb.rfbWriteExact_(client, (const char *)&head, operation == OPERATION_DATA ? 8 : 4) > 0 &&
              (!len || vnc_rfb.rfbWriteExact_(client, (const char *)bytes, (int)len) > 0);
    pthread_mutex_unlock(&client->sendMutex);
    return ok;
}

static unsigned sample_put(unsigned sample, uint8_t *to, float value)
{
    double clipped = CLAMP((double)value, -1.0, 1.0);
    unsigned size = sample < 2 ? 1 : sample < 4 ? 2 : 4;
    int64_t whole = llrint(clipped * (double)((1ull << (8 * size - 1)) - 1));
    if (sample % 2 == 0)
        whole += (int64_t)(1ull << (8 * size - 1));
    uint32_t bits = (uint32_t)whole;
    memcpy(to, &bits, size); /* little endian, as QEMU's on such hosts */
    return size;
}

static bool piece_play(rfbClientPtr client, const int16_t *frames, unsigned count, uint32_t frequency)
{
    static float in[FRAMES_MAX * 2], out[FRAMES_MAX * FACTOR_MAX * 2];
    static uint8_t bytes[sizeof(out)];
    SRC_DATA data = {.data_in = in,
                     .data_out = out,
                     .input_frames = count,
                     .output_frames = FRAMES_MAX * FACTOR_MAX,
                     .src_ratio = (double)own.format.frequency / frequency};
    src_short_to_float_array(frames, in, (int)(count * 2));
    if (!own.converter)
        own.converter = src_new(SRC_SINC_FASTEST, 2, NULL);
    if (!own.converter || src_process(own.converter, &data) != 0)
        return true; /* a ratio that it does not know: silence */
    uint32_t len = 0;
    for (long i = 0; i < data.output_frames_gen; i++) {
        const float *frame = &out[2 * i];
        if (own.format.channels == 1)
            len += sample_put(own.format.sample, bytes + len, (frame[0] + frame[1]) / 2);
        for (unsigned c = 0; c < 2 && own.format.channels == 2; c++)
            len += sample_put(own.format.sample, bytes + len, frame[c]);
    }
    return !len || say(client, OPERATION_DATA, bytes, len);
}

void vnc_sound_play(rfbClientPtr client, const int16_t *frames, unsigned count, uint32_t frequency)
{
    pthread_mutex_lock(&lock);
    bool on = listens;
    own.format = ordered;
    pthread_mutex_unlock(&lock);
    if (!on || frequency < FREQUENCY_MIN || frequency > FREQUENCY_MAX)
        return;
    if (count && !own.plays)
        say(client, OPERATION_BEGIN, NULL, 0);
    else if (!count && own.plays)
        say(client, OPERATION_END, NULL, 0);
    if (!count && own.converter)
        src_reset(own.converter);
    own.plays = count > 0;
    while (count > 0) {
        unsigned some = MIN(count, FRAMES_MAX);
        if (!piece_play(client, frames, some, frequency))
            return;
        frames += 2 * some;
        count -= some;
    }
}

/* ES1370: two channels that play and one that records silence (AudioPCI data sheet, "Serial interface" and "CCB").
 *
 * Each has a buffer in the guest's memory, which it goes round in; a count of frames after which it interrupts and
 * begins to count again; and a rate. They move in virtual time (voice.h): a register that is looked at shows where the
 * channel is at that moment.
 */
#include "es1370.h"

#include <string.h>

#define CLOCK 1411200u /* Hz: of it all rates are made */

static const struct channel {
    const char *name;
    uint32_t enable, interrupt; /* bits of CONTROL and STATUS */
    uint32_t int_en, loop_sel, pause;
    unsigned mode;     /* bits of SERIAL: 16 bits, stereo */
    unsigned page, at; /* FRAME in memory */
} channels[ES_CHANNELS] = {
    [ES_DAC1] = {"es1370-dac1", CONTROL_DAC1_EN, STATUS_DAC1, SERIAL_P1_INT_EN, SERIAL_P1_LOOP_SEL, SERIAL_P1_PAUSE, 0,
                 ES_PAGE_DAC, 0},
    [ES_DAC2] = {"es1370-dac2", CONTROL_DAC2_EN, STATUS_DAC2, SERIAL_P2_INT_EN, SERIAL_P2_LOOP_SEL, SERIAL_P2_PAUSE, 2,
                 ES_PAGE_DAC, 2},
    [ES_ADC] = {"es1370-adc", CONTROL_ADC_EN, STATUS_ADC, SERIAL_R1_INT_EN, SERIAL_R1_LOOP_SEL, 0, 4, ES_PAGE_ADC, 0},
};

uint32_t *es1370_frame(struct es1370 *es, unsigned channel)
{
    return &es->regs.memory[channels[channel].page][channels[channel].at];
}

static bool is_running(const struct es1370 *es, unsigned n)
{
    return (es->regs.control & channels[n].enable) && (n != ES_ADC || !(es->regs.control & CONTROL_ADC_STOP));
}

static bool is_moving(const struct es1370 *es, unsigned n)
{
    return !(es->regs.serial & channels[n].pause) && !(es->regs.stopped & 1u << n);
}

static void event_set(struct es1370 *es, unsigned n)
{
    bool waits = is_running(es, n) && is_moving(es, n);
    voice_set_event(&es->voice[n], waits ? (es->regs.count[n] >> 16) + 1 : 0);
}

/* --- Frames --- */

/* The longest piece from where the channel is to the end of its buffer, at most len; its address. Moves on. */
static uint32_t piece_next(struct es1370 *es, unsigned n, uint32_t *len)
{
    uint32_t *frame = es1370_frame(es, n), *size = frame + 1;
    uint32_t longwords = (*size & 0xffff) + 1, done = *size >> 16, address;
    if (done >= longwords) { /* the guest has made it shorter */
        done = 0;
        es->regs.within[n] = 0;
    }
    *len = MIN(*len, 4 * (longwords - done) - es->regs.within[n]);
    address = *frame + 4 * done + es->regs.within[n];
    uint32_t bytes = es->regs.within[n] + *len;
    es->regs.within[n] = bytes % 4;
    done += bytes / 4;
    *size = (done == longwords ? 0 : done) << 16 | (*size & 0xffff);
    return address;
}

static void bytes_move(struct es1370 *es, unsigned n, uint8_t *bytes, uint32_t len)
{
    while (len > 0) {
        uint32_t some = len, address = piece_next(es, n, &some);
        if (n == ES_ADC)
            pci_dma_write(&es->pci, address, bytes, some);
        else
            pci_dma_read(&es->pci, address, bytes, some);
        bytes += some;
        len -= some;
    }
}

/* So many frames have gone, at most what was left of the count. */
static void count_move(struct es1370 *es, unsigned n, uint32_t frames)
{
    const struct channel *channel = &channels[n];
    uint32_t *count = &es->regs.count[n], left = (*count >> 16) + 1 - frames;
    if (left > 0) {
        *count = (left - 1) << 16 | (*count & 0xffff);
        return;
    }
    *count = *count << 16 | (*count & 0xffff);
    if (es->regs.serial & channel->int_en)
        es->regs.interrupt |= channel->interrupt;
    if (es->regs.serial & channel->loop_sel)
        es->regs.stopped |= 1u << n;
    event_set(es, n);
    es1370_update_irq(es);
}

/* The voice sees to it that an event ends what is taken at once (voice.c). */
static unsigned channel_take(struct es1370 *es, unsigned n, void *frames, unsigned count)
{
    unsigned some = 0;
    if (!is_moving(es, n))
        return 0;
    some = MIN(count, (es->regs.count[n] >> 16) + 1);
    if (n == ES_ADC)
        memset(frames, es->voice[n].format.sample == AUDIO_U8 ? 0x80 : 0,
               (size_t)some * audio_frame_size(&es->voice[n].format));
    bytes_move(es, n, frames, some * audio_frame_size(&es->voice[n].format));
    count_move(es, n, some);
    return some;
}

static unsigned dac1_take(void *opaque, void *frames, unsigned count)
{
    return channel_take(opaque, ES_DAC1, frames, count);
}

static unsigned dac2_take(void *opaque, void *frames, unsigned count)
{
    return channel_take(opaque, ES_DAC2, frames, count);
}

static unsigned adc_take(void *opaque, void *frames, unsigned count)
{
    return channel_take(opaque, ES_ADC, frames, count);
}

static void adc_due(void *opaque)
{
    struct es1370 *es = opaque;
    pci_work_ask(es->work);
}

/* On the processor's thread, where memory may be written: at most a second's frames (voice.c). */
static void adc_work(void *opaque)
{
    struct es1370 *es = opaque;
    voice_sync(&es->voice[ES_ADC]);
}

/* --- What registers say --- */

/* DAC1 has four rates, the others have a divider. */
static struct audio_format format_of(const struct es1370 *es, unsigned n)
{
    unsigned mode = es->regs.serial >> channels[n].mode & 3;
    uint32_t divider = n == ES_DAC1 ? 256u >> ((es->regs.control & CONTROL_WTSRSEL) >> 12)
                                    : ((es->regs.control & CONTROL_PCLKDIV) >> 16) + 2;
    return (struct audio_format){mode & 2 ? AUDIO_S16 : AUDIO_U8, mode & 1 ? 2 : 1, CLOCK, divider};
}

static bool format_is(const struct audio_format *a, const struct audio_format *b)
{
    return a->sample == b->sample && a->channels == b->channels && a->rate_num == b->rate_num &&
           a->rate_den == b->rate_den;
}

void es1370_channels_sync(struct es1370 *es)
{
    voice_sync(&es->voice[ES_DAC1]);
    voice_sync(&es->voice[ES_DAC2]);
}

void es1370_channels_update(struct es1370 *es)
{
    for (unsigned n = 0; n < ES_CHANNELS; n++) {
        struct voice *voice = &es->voice[n];
        struct audio_format format = format_of(es, n);
        uint32_t *count = &es->regs.count[n];
        bool begins = is_running(es, n) && !voice->regs.running;
        if (!format_is(&format, &voice->format))
            voice_set_format(voice, &format);
        if (begins) {
            *count = *count << 16 | (*count & 0xffff);
            es->regs.stopped &= (uint8_t) ~(1u << n);
        }
        if (!(es->regs.serial & channels[n].loop_sel))
            es->regs.stopped &= (uint8_t) ~(1u << n);
        if (!(es->regs.serial & channels[n].int_en))
            es->regs.interrupt &= (uint8_t)~channels[n].interrupt;
        voice_set_running(voice, is_running(es, n));
        event_set(es, n);
    }
    es1370_update_irq(es);
}

void es1370_channels_reset(struct es1370 *es)
{
    for (unsigned n = 0; n < ES_CHANNELS; n++)
        voice_reset(&es->voice[n]);
    pci_work_cancel(es->work);
}

bool es1370_channels_are_sane(struct es1370 *es)
{
    for (unsigned n = 0; n < ES_CHANNELS; n++) {
        struct voice *voice = &es->voice[n];
        struct audio_format format = format_of(es, n);
        uint64_t event = is_running(es, n) && is_moving(es, n) ? (es->regs.count[n] >> 16) + 1 : 0;
        if (es->regs.within[n] > 3 || !voice_is_sane(voice) || voice->regs.running != is_running(es, n) ||
            voice->regs.rate_num != format.rate_num || voice->regs.rate_den != format.rate_den ||
            voice->regs.event_in != event)
            return false;
    }
    return true;
}

void es1370_channels_after_load(struct es1370 *es)
{
    for (unsigned n = 0; n < ES_CHANNELS; n++) {
        es->voice[n].format = format_of(es, n);
        voice_after_load(&es->voice[n]);
    }
    pci_work_cancel(es->work); /* it is asked for anew when it is due */
}

void es1370_channels_init(struct es1370 *es, struct audiodev *audiodev)
{
    static const struct voice_front fronts[ES_CHANNELS] = {
        {.take = dac1_take}, {.take = dac2_take}, {.take = adc_take, .due = adc_due}};
    for (unsigned n = 0; n < ES_CHANNELS; n++)
        voice_init(&es->voice[n], audiodev, n != ES_ADC, channels[n].name, &fronts[n], es);
    es->work = pci_work_new(&es->pci, adc_work, es);
}

void es1370_channels_fini(struct es1370 *es)
{
    pci_work_free(es->work);
    for (unsigned n = 0; n < ES_CHANNELS; n++)
        voice_fini(&es->voice[n]);
}

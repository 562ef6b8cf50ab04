/* AC'97: a channel that plays and two that record silence (82801AA data sheet, 9.2 and "DMA").
 *
 * Each goes through a list of 32 buffers, from the current index to the last valid one, round and round as that is
 * moved on. They move in virtual time (voice.h).
 */
#include "ac97.h"

#include <string.h>

#define RATE     48000u
#define RATE_MIN 4000u
#define IOC      0x80000000u  /* of a descriptor's second word */
#define EMPTIES  AC97_BUFFERS /* descriptors without samples that are gone over at once */

static const struct channel {
    const char *name;
    uint8_t channels, rate, variable; /* variable: bit of NAM_EXTENDED */
} channels[AC97_CHANNELS] = {[AC97_IN] = {"ac97-in", 2, NAM_ADC_RATE, 1},
                             [AC97_OUT] = {"ac97-out", 2, NAM_DAC_RATE, 1},
                             [AC97_MIC] = {"ac97-mic", 1, NAM_MIC_RATE, 8}};

static struct audio_format format_of(const struct ac97 *ac, unsigned n)
{
    bool variable = ac->regs.nam[NAM_EXTENDED / 2] & channels[n].variable;
    uint32_t rate = variable ? CLAMP(ac->regs.nam[channels[n].rate / 2], RATE_MIN, RATE) : RATE;
    return (struct audio_format){AUDIO_S16, channels[n].channels, rate, 1};
}

static bool is_running(const struct ac97 *ac, unsigned n)
{
    return ac->regs.control[n] & CR_RPBM;
}

static bool is_moving(const struct ac97 *ac, unsigned n)
{
    return is_running(ac, n) && !(ac->regs.status[n] & SR_DCH) && ac->regs.fetched[n];
}

/* In which the buffer ends. */
static uint64_t frames_left(const struct ac97 *ac, unsigned n)
{
    return is_moving(ac, n) ? (ac->regs.left[n] + channels[n].channels - 1u) / channels[n].channels : 0;
}

static void fetch(struct ac97 *ac, unsigned n)
{
    struct ac97_regs *regs = &ac->regs;
    uint32_t descriptor[2];
    regs->prefetched[n] = (uint8_t)((regs->current[n] + 1) % AC97_BUFFERS);
    pci_dma_read(&ac->pci, regs->list[n] + 8u * regs->current[n], descriptor, sizeof(descriptor));
    regs->address[n] = descriptor[0] & ~1u;
    regs->left[n] = (uint16_t)descriptor[1];
    regs->interrupts[n] = descriptor[1] & IOC;
    regs->fetched[n] = true;
    regs->status[n] &= (uint8_t) ~(SR_DCH | SR_CELV);
}

/* The buffer has ended: the next one, or a halt. */
static void buffer_end(struct ac97 *ac, unsigned n)
{
    struct ac97_regs *regs = &ac->regs;
    if (regs->interrupts[n])
        regs->status[n] |= SR_BCIS;
    if (regs->current[n] == regs->last[n]) {
        regs->status[n] |= SR_LVBCI | SR_CELV | SR_DCH;
    } else {
        regs->current[n] = regs->prefetched[n];
        fetch(ac, n);
    }
}

/* Buffers without samples are over at once; a list of nothing else halts. */
static void empties_pass(struct ac97 *ac, unsigned n)
{
    for (unsigned i = 0; is_moving(ac, n) && !ac->regs.left[n]; i++) {
        if (i == EMPTIES)
            ac->regs.status[n] |= SR_DCH;
        else
            buffer_end(ac, n);
    }
}

static void samples_move(struct ac97 *ac, unsigned n, void *frames, uint32_t len)
{
    if (n == AC97_OUT)
        pci_dma_read(&ac->pci, ac->regs.address[n], frames, len);
    else
        pci_dma_write(&ac->pci, ac->regs.address[n], frames, len);
    ac->regs.address[n] += len;
}

/* The voice sees to it that a buffer's end ends what is taken at once. */
static unsigned channel_take(struct ac97 *ac, unsigned n, uint8_t *frames, unsigned count)
{
    struct ac97_regs *regs = &ac->regs;
    if (!is_moving(ac, n))
        return 0;
    uint32_t samples = MIN((uint32_t)count * channels[n].channels, regs->left[n]);
    unsigned some = (samples + channels[n].channels - 1) / channels[n].channels;
    memset(frames, 0, (size_t)some * channels[n].channels * 2);
    samples_move(ac, n, frames, samples * 2);
    regs->left[n] -= (uint16_t)samples;
    if (!regs->left[n]) {
        buffer_end(ac, n);
        empties_pass(ac, n);
        ac97_update_irq(ac);
    }
    voice_set_event(&ac->voice[n], frames_left(ac, n));
    return some;
}

static unsigned in_take(void *opaque, void *frames, unsigned count)
{
    return channel_take(opaque, AC97_IN, frames, count);
}

static unsigned out_take(void *opaque, void *frames, unsigned count)
{
    return channel_take(opaque, AC97_OUT, frames, count);
}

static unsigned mic_take(void *opaque, void *frames, unsigned count)
{
    return channel_take(opaque, AC97_MIC, frames, count);
}

static void record_due(void *opaque)
{
    struct ac97 *ac = opaque;
    pci_work_ask(ac->work);
}

/* On the processor's thread, where memory may be written: at most a second's frames (voice.c). */
static void record_work(void *opaque)
{
    struct ac97 *ac = opaque;
    voice_sync(&ac->voice[AC97_IN]);
    voice_sync(&ac->voice[AC97_MIC]);
}

/* --- For the card --- */

void ac97_channels_sync(struct ac97 *ac)
{
    voice_sync(&ac->voice[AC97_OUT]);
}

void ac97_channels_update(struct ac97 *ac)
{
    for (unsigned n = 0; n < AC97_CHANNELS; n++) {
        const struct audio_format format = format_of(ac, n);
        if (format.rate_num != ac->voice[n].format.rate_num || format.channels != ac->voice[n].format.channels ||
            format.sample != ac->voice[n].format.sample)
            voice_set_format(&ac->voice[n], &format);
        if (is_running(ac, n) && !ac->regs.fetched[n])
            fetch(ac, n);
        empties_pass(ac, n);
        voice_set_running(&ac->voice[n], is_running(ac, n));
        voice_set_event(&ac->voice[n], frames_left(ac, n));
    }
    ac97_update_irq(ac);
}

void ac97_channel_reset(struct ac97 *ac, unsigned n)
{
    struct ac97_regs *regs = &ac->regs;
    regs->list[n] = regs->address[n] = 0;
    regs->current[n] = regs->last[n] = regs->prefetched[n] = regs->control[n] = 0;
    regs->status[n] = SR_DCH;
    regs->fetched[n] = regs->interrupts[n] = false;
    regs->left[n] = 0;
    voice_reset(&ac->voice[n]);
}

void ac97_channel_extend(struct ac97 *ac, unsigned n)
{
    struct ac97_regs *regs = &ac->regs;
    if (!is_running(ac, n) || !(regs->status[n] & SR_CELV))
        return;
    regs->current[n] = regs->prefetched[n];
    fetch(ac, n);
}

bool ac97_channels_are_sane(struct ac97 *ac)
{
    const struct ac97_regs *regs = &ac->regs;
    for (unsigned n = 0; n < AC97_CHANNELS; n++) {
        const struct voice_regs *its = &ac->voice[n].regs;
        const struct audio_format format = format_of(ac, n);
        if (regs->current[n] >= AC97_BUFFERS || regs->last[n] >= AC97_BUFFERS || regs->prefetched[n] >= AC97_BUFFERS ||
            (is_running(ac, n) && !regs->fetched[n]) || (is_moving(ac, n) && !regs->left[n]) ||
            !voice_is_sane(&ac->voice[n]) || its->running != is_running(ac, n) || its->rate_num != format.rate_num ||
            its->rate_den != format.rate_den || its->event_in != frames_left(ac, n))
            return false;
    }
    return true;
}

void ac97_channels_after_load(struct ac97 *ac)
{
    for (unsigned n = 0; n < AC97_CHANNELS; n++) {
        ac->voice[n].format = format_of(ac, n);
        voice_after_load(&ac->voice[n]);
    }
    pci_work_cancel(ac->work); /* it is asked for anew when it is due */
}

void ac97_channels_init(struct ac97 *ac, struct audiodev *audiodev)
{
    static const struct voice_front fronts[AC97_CHANNELS] = {[AC97_IN] = {.take = in_take, .due = record_due},
                                                             [AC97_OUT] = {.take = out_take},
                                                             [AC97_MIC] = {.take = mic_take, .due = record_due}};
    for (unsigned n = 0; n < AC97_CHANNELS; n++)
        voice_init(&ac->voice[n], audiodev, n == AC97_OUT, channels[n].name, &fronts[n], ac);
    ac->work = pci_work_new(&ac->pci, record_work, ac);
}

void ac97_channels_fini(struct ac97 *ac)
{
    pci_work_free(ac->work);
    for (unsigned n = 0; n < AC97_CHANNELS; n++)
        voice_fini(&ac->voice[n]);
}

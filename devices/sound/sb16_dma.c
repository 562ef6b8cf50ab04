/* Sound Blaster 16: transfers. Samples come by DMA (8237) as they come due in virtual time (voice.h), and after a block
 * of them the DSP interrupts.
 *
 * When a block has ended and no other follows, the last sample stays for a moment, as it does on the card: programs
 * that begin the next block in their interrupt handler are heard without a gap. Recording is silence, moved to memory
 * between two guest instructions.
 */
#include "sb16.h"

#include <string.h>

#define RATE_MIN   4000u
#define RATE_MAX   48000u
#define PERIOD_MIN 20u /* microseconds, of a sample by time constant */
#define HOLD_HZ    20  /* so many of the times that the last sample stays are a second */
#define BLOCK_MAX  0x20000u

/* --- What the registers say --- */

static bool is_stereo(const struct sb16 *sb)
{
    return sb->regs.is_stereo && sb->regs.mode == SB16_PCM;
}

static struct audio_format format_of(const struct sb16 *sb)
{
    const struct sb16_regs *regs = &sb->regs;
    struct audio_format format = {regs->is_16 ? AUDIO_S16 : AUDIO_U8, regs->is_stereo ? 2 : 1, 0, 1};
    if (regs->by_rate) {
        format.rate_num = CLAMP(regs->rate, RATE_MIN, RATE_MAX);
    } else { /* the constant counts samples, of which a stereo frame has two */
        format.rate_num = 1000000;
        format.rate_den = MAX(256u - regs->time_constant, PERIOD_MIN) * format.channels;
    }
    return format;
}

static bool is_moving(const struct sb16 *sb)
{
    return sb->regs.mode != SB16_IDLE && !sb->regs.is_paused;
}

static int channel_of(const struct sb16 *sb)
{
    return sb->regs.is_16 && sb->dma_16 >= 0 ? sb->dma_16 : sb->dma_8;
}

/* Until the block ends; 0: nothing will. */
static uint64_t frames_left(const struct sb16 *sb)
{
    const struct sb16_regs *regs = &sb->regs;
    unsigned size = (regs->is_16 ? 2u : 1u) * (is_stereo(sb) ? 2u : 1u);
    if (!is_moving(sb))
        return regs->hold;
    switch (regs->mode) {
    case SB16_PCM:
        return (regs->left + size - 1) / size;
    case SB16_ADPCM: /* the byte that is a sample takes no time */
        return MAX(1, sb->adpcm.left +
                          (regs->left - (sb->adpcm.needs_reference && regs->left)) * sb16_adpcm_per_byte(&sb->adpcm));
    default:
        return regs->left;
    }
}

/* --- Samples --- */

static uint32_t bytes_move(struct sb16 *sb, uint8_t *bytes, uint32_t len)
{
    int channel = channel_of(sb);
    uint32_t moved = 0, some;
    bool tc;
    if (channel < 0)
        return 0;
    do { /* a channel that begins again goes on behind its terminal count */
        some = dma8237_move(sb->dma, (unsigned)channel, bytes + moved, len - moved, sb->regs.is_recording, &tc);
        moved += some;
    } while (some && moved < len);
    return moved;
}

static void block_end(struct sb16 *sb)
{
    struct sb16_regs *regs = &sb->regs;
    regs->interrupt |= regs->is_16 ? SB16_IRQ_16 : SB16_IRQ_8;
    regs->left = regs->block;
    if (!regs->is_auto || regs->ends_auto) {
        regs->mode = SB16_IDLE;
        regs->ends_auto = false;
        const struct audio_format format = format_of(sb);
        regs->hold = regs->is_recording ? 0 : format.rate_num / format.rate_den / HOLD_HZ + 1;
        if (channel_of(sb) >= 0)
            dma8237_set_dreq(sb->dma, (unsigned)channel_of(sb), false);
    }
    sb16_update_irq(sb);
}

/* Streams take unsigned bytes and signed words. */
static void samples_turn(const struct sb16_regs *regs, uint8_t *bytes, uint32_t len)
{
    if (regs->is_signed == regs->is_16)
        return;
    for (uint32_t i = regs->is_16; i < len; i += 1 + regs->is_16)
        bytes[i] ^= 0x80;
}

static unsigned pcm_take(struct sb16 *sb, uint8_t *to, unsigned count)
{
    struct sb16_regs *regs = &sb->regs;
    unsigned size =
        audio_frame_size(&(struct audio_format){regs->is_16 ? AUDIO_S16 : AUDIO_U8, regs->is_stereo ? 2 : 1, 1, 1});
    uint32_t len = MIN((uint32_t)count * size, regs->left);
    if (regs->is_recording)
        for (uint32_t i = 0; i < len; i++)
            to[i] = regs->is_signed || (regs->is_16 && i % 2 == 0) ? 0 : 0x80;
    uint32_t moved = bytes_move(sb, to, len), frames = (moved + size - 1) / size;
    if (!regs->is_recording)
        samples_turn(regs, to, moved);
    if (frames && moved % size) /* a block, or a count, that ends within a frame */
        memcpy(to + moved, regs->held + moved % size, size - moved % size);
    if (frames)
        memcpy(regs->held, to + (size_t)(frames - 1) * size, size);
    regs->left -= moved;
    return frames;
}

static unsigned adpcm_take(struct sb16 *sb, uint8_t *to, unsigned count)
{
    struct sb16_regs *regs = &sb->regs;
    struct sb16_adpcm *adpcm = &sb->adpcm;
    unsigned done = 0;
    while (done < count && (adpcm->left || regs->left)) {
        uint8_t byte;
        if (adpcm->left) {
            to[done++] = regs->held[0] = sb16_adpcm_next(adpcm);
            continue;
        }
        if (!bytes_move(sb, &byte, 1))
            break;
        regs->left--;
        if (adpcm->needs_reference) {
            adpcm->sample = byte;
            adpcm->step = 0;
            adpcm->needs_reference = false;
            continue;
        }
        adpcm->byte = byte;
        adpcm->left = (uint8_t)sb16_adpcm_per_byte(adpcm);
    }
    return done;
}

static unsigned silence_take(struct sb16 *sb, uint8_t *to, unsigned count)
{
    unsigned some = MIN(count, sb->regs.left);
    memset(to, 0x80, some);
    sb->regs.held[0] = 0x80;
    sb->regs.left -= some;
    return some;
}

/* The voice sees to it that nothing is asked for beyond a block's end. */
static unsigned take(void *opaque, void *frames, unsigned count)
{
    struct sb16 *sb = opaque;
    struct sb16_regs *regs = &sb->regs;
    struct voice *voice = regs->is_recording ? &sb->record : &sb->play;
    unsigned size = audio_frame_size(&voice->format), done = 0;
    uint8_t *to = frames;
    if (is_moving(sb)) {
        done = regs->mode == SB16_PCM     ? pcm_take(sb, to, count)
               : regs->mode == SB16_ADPCM ? adpcm_take(sb, to, count)
                                          : silence_take(sb, to, count);
        if (regs->left == 0 && (regs->mode != SB16_ADPCM || sb->adpcm.left == 0))
            block_end(sb);
    } else {
        regs->hold -= MIN(regs->hold, count);
    }
    for (; done < count; done++)
        memcpy(to + (size_t)done * size, regs->held, size);
    if (!is_moving(sb) && !regs->hold)
        voice_set_running(voice, false);
    else
        voice_set_event(voice, frames_left(sb));
    return count;
}

static void record_due(void *opaque)
{
    struct sb16 *sb = opaque;
    irq_set(&sb->bus_request, true);
}

void sb16_dma_bus_granted(void *opaque)
{
    struct sb16 *sb = opaque;
    bool tc;
    voice_sync(&sb->record);
    if (sb->regs.e2_pending && sb->dma_8 >= 0 &&
        dma8237_move(sb->dma, (unsigned)sb->dma_8, &sb->regs.e2, 1, true, &tc) == 1)
        sb->regs.e2_pending = false;
}

/* --- For the card --- */

void sb16_dma_sync(struct sb16 *sb)
{
    voice_sync(&sb->play);
}

static void dma_syncs(void *opaque)
{
    sb16_dma_sync(opaque);
}

static bool format_is(const struct audio_format *a, const struct audio_format *b)
{
    return a->sample == b->sample && a->channels == b->channels && a->rate_num == b->rate_num &&
           a->rate_den == b->rate_den;
}

static bool is_running(const struct sb16 *sb, const struct voice *voice)
{
    return (is_moving(sb) || sb->regs.hold) && (voice == &sb->record) == sb->regs.is_recording;
}

void sb16_dma_update(struct sb16 *sb)
{
    struct voice *voices[] = {&sb->play, &sb->record};
    const struct audio_format format = format_of(sb);
    for (unsigned i = 0; i < 2; i++) {
        bool running = is_running(sb, voices[i]);
        if (running && !format_is(&format, &voices[i]->format))
            voice_set_format(voices[i], &format);
        voice_set_running(voices[i], running);
        if (running)
            voice_set_event(voices[i], frames_left(sb));
    }
    if (sb->dma_8 >= 0)
        dma8237_set_dreq(sb->dma, (unsigned)sb->dma_8,
                         (is_moving(sb) && sb->regs.mode != SB16_SILENCE && channel_of(sb) == sb->dma_8) ||
                             sb->regs.e2_pending);
    if (sb->dma_16 >= 0)
        dma8237_set_dreq(sb->dma, (unsigned)sb->dma_16, is_moving(sb) && channel_of(sb) == sb->dma_16);
}

void sb16_dma_stop(struct sb16 *sb)
{
    sb->regs.mode = SB16_IDLE;
    sb->regs.left = sb->regs.hold = 0;
    sb->regs.is_paused = sb->regs.is_auto = sb->regs.ends_auto = sb->regs.is_recording = sb->regs.e2_pending = false;
    sb16_dma_update(sb);
}

static void hooks_set(struct sb16 *sb, int channel, bool on)
{
    if (channel < 0)
        return;
    if (!on)
        dma8237_set_dreq(sb->dma, (unsigned)channel, false);
    dma8237_set_hook(sb->dma, (unsigned)channel, on ? &sb->bus_request : &(struct irq){0});
    dma8237_set_sync(sb->dma, (unsigned)channel, on ? dma_syncs : NULL, sb);
}

static int lowest(unsigned bits)
{
    return bits ? __builtin_ctz(bits) : -1;
}

void sb16_dma_route(struct sb16 *sb)
{
    hooks_set(sb, sb->dma_8, false);
    hooks_set(sb, sb->dma_16, false);
    sb->dma_8 = lowest(sb->regs.mixer[0x81] & 0x0b);
    sb->dma_16 = lowest(sb->regs.mixer[0x81] & 0xe0);
    hooks_set(sb, sb->dma_8, true);
    hooks_set(sb, sb->dma_16, true);
    sb16_dma_update(sb);
}

bool sb16_dma_is_sane(const struct sb16 *sb)
{
    const struct sb16_regs *regs = &sb->regs;
    const struct audio_format format = format_of(sb);
    if (regs->mode > SB16_SILENCE || regs->block > BLOCK_MAX || regs->left > regs->block ||
        regs->hold > RATE_MAX + PERIOD_MIN * 1000 ||
        (regs->mode != SB16_PCM && regs->mode != SB16_IDLE && regs->is_16) ||
        (regs->mode != SB16_PCM && regs->mode != SB16_IDLE && (regs->is_stereo || regs->is_recording)) ||
        (regs->mode != SB16_IDLE && !regs->left && !(regs->mode == SB16_ADPCM && sb->adpcm.left)))
        return false;
    const struct voice *voices[] = {&sb->play, &sb->record};
    for (unsigned i = 0; i < 2; i++) {
        const struct voice_regs *its = &voices[i]->regs;
        bool running = is_running(sb, voices[i]);
        if (!voice_is_sane(voices[i]) || its->running != running ||
            (running && (its->rate_num != format.rate_num || its->rate_den != format.rate_den ||
                         its->event_in != frames_left(sb))))
            return false;
    }
    return true;
}

void sb16_dma_after_load(struct sb16 *sb)
{
    struct voice *voices[] = {&sb->play, &sb->record};
    for (unsigned i = 0; i < 2; i++) {
        if (is_running(sb, voices[i]))
            voices[i]->format = format_of(sb);
        else
            voices[i]->format = (struct audio_format){AUDIO_U8, 1, voices[i]->regs.rate_num, voices[i]->regs.rate_den};
        voice_after_load(voices[i]);
    }
    sb16_dma_route(sb);
    if (sb->regs.e2_pending)
        irq_set(&sb->bus_request, true);
}

void sb16_dma_init(struct sb16 *sb, struct audiodev *audiodev)
{
    static const struct voice_front plays = {.take = take}, records = {.take = take, .due = record_due};
    sb->dma_8 = sb->dma_16 = -1;
    voice_init(&sb->play, audiodev, true, "sb16", &plays, sb);
    voice_init(&sb->record, audiodev, false, "sb16-record", &records, sb);
}

void sb16_dma_fini(struct sb16 *sb)
{
    hooks_set(sb, sb->dma_8, false);
    hooks_set(sb, sb->dma_16, false);
    voice_fini(&sb->play);
    voice_fini(&sb->record);
}

/* Sound Blaster 16: the CT1745 mixer (Sound Blaster Series Hardware Programming Guide, "CT1745 mixer").
 *
 * Volumes have 5 bits, in 2 dB steps; the registers of Sound Blaster Pro's CT1345 show the upper 4 of them. What is
 * heard here is the DSP's voice and FM, both behind the master volume. Tone and gain are kept and do nothing. After a
 * reset volumes are full, and not at the chip's -14 dB twice: nobody turns an amplifier up here.
 */
#include "sb16.h"

#include <math.h>
#include <string.h>

#include "opl_card.h"

enum {
    MIXER_RESET = 0x00,
    PRO_VOICE = 0x04,
    PRO_MIC = 0x0a,
    PRO_OUTPUT = 0x0e, /* 02h: stereo */
    PRO_MASTER = 0x22,
    PRO_FM = 0x26,
    PRO_CD = 0x28,
    PRO_LINE = 0x2e,
    MASTER = 0x30, /* left, right behind it */
    VOICE = 0x32,
    FM = 0x34,
    CD = 0x36,
    LINE = 0x38,
    MIC = 0x3a,
    IRQ_SELECT = 0x80,
    DMA_SELECT = 0x81,
    IRQ_STATUS = 0x82
};

static const struct {
    uint8_t pro, left;
} pairs[] = {{PRO_VOICE, VOICE}, {PRO_MASTER, MASTER}, {PRO_FM, FM}, {PRO_CD, CD}, {PRO_LINE, LINE}};

static double gain(uint8_t value)
{
    unsigned steps = value >> 3;
    return pow(10, -(31.0 - steps) * 2 / 20);
}

static uint32_t volume(const struct sb16 *sb, unsigned source, unsigned side)
{
    return (uint32_t)lrint(AUDIO_VOLUME_MAX * gain(sb->regs.mixer[source + side]) *
                           gain(sb->regs.mixer[MASTER + side]));
}

void sb16_mixer_apply(struct sb16 *sb)
{
    audio_set_volume(sb->play.stream, volume(sb, VOICE, 0), volume(sb, VOICE, 1));
    audio_set_volume(sb->dac.stream, volume(sb, VOICE, 0), volume(sb, VOICE, 1));
    if (sb->opl)
        opl_card_set_volume(sb->opl, volume(sb, FM, 0), volume(sb, FM, 1));
}

/* Interrupt and DMA channels stay. */
static void levels_reset(struct sb16 *sb)
{
    uint8_t *mixer = sb->regs.mixer;
    memset(mixer, 0, IRQ_SELECT);
    for (unsigned reg = MASTER; reg < CD; reg++)
        mixer[reg] = 0xf8;
    mixer[0x3c] = 0x1f; /* output switches */
    mixer[0x3d] = 0x15; /* input switches */
    mixer[0x3e] = 0x0b;
    memset(mixer + 0x44, 0x80, 4); /* treble, bass: flat */
}

void sb16_mixer_reset(struct sb16 *sb)
{
    levels_reset(sb);
    sb->regs.index = 0;
    sb->regs.mixer[IRQ_SELECT] = sb->irq_preset;
    sb->regs.mixer[DMA_SELECT] = sb->dma_preset;
    sb16_mixer_apply(sb);
}

uint8_t sb16_mixer_read(struct sb16 *sb)
{
    const uint8_t *mixer = sb->regs.mixer;
    uint8_t index = sb->regs.index;
    for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
        if (index == pairs[i].pro) /* the lower bit of each is read as one */
            return (uint8_t)((mixer[pairs[i].left] & 0xf0) | mixer[pairs[i].left + 1] >> 4);
    }
    switch (index) {
    case PRO_MIC:
        return mixer[MIC] >> 5 & 7;
    case IRQ_SELECT:
        return mixer[index] | 0xf0;
    case IRQ_STATUS:
        return sb->regs.interrupt | 0x20;
    default:
        return mixer[index];
    }
}

void sb16_mixer_write(struct sb16 *sb, uint8_t value)
{
    uint8_t *mixer = sb->regs.mixer, index = sb->regs.index;
    for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
        if (index == pairs[i].pro) {
            mixer[pairs[i].left] = (value & 0xf0) | 0x08;
            mixer[pairs[i].left + 1] = (uint8_t)(value << 4) | 0x08;
        }
    }
    switch (index) {
    case MIXER_RESET:
        levels_reset(sb);
        break;
    case PRO_MIC:
        mixer[MIC] = (uint8_t)((value & 7) << 5) | 0x18;
        break;
    case MASTER ... MIC:
        mixer[index] = value & 0xf8;
        break;
    case IRQ_SELECT:
        mixer[index] = value & 0x0f;
        sb16_update_irq(sb);
        break;
    case DMA_SELECT:
        mixer[index] = value & 0xeb;
        sb16_dma_route(sb);
        break;
    case PRO_OUTPUT:
    case 0x3b ... 0x47:
        mixer[index] = value;
        break;
    default:
        break;
    }
    sb16_mixer_apply(sb);
}

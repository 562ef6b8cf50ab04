/* Sound Blaster 16 (CT1740 family): between its files.
 *
 *   sb16.c        the card: ports, life, state
 *   sb16_dsp.c    commands of its DSP
 *   sb16_dma.c    transfers: samples by DMA, in virtual time
 *   sb16_adpcm.c  Creative's ADPCM
 *   sb16_dac.c    samples that the processor writes one by one
 *   sb16_mixer.c  the CT1745 mixer chip
 */
#pragma once

#include "devices/dma8237.h"
#include "mpu401.h"
#include "voice.h"

enum sb16_mode { SB16_IDLE, SB16_PCM, SB16_ADPCM, SB16_SILENCE };

#define SB16_IRQ_8   1u /* as in mixer register 82h */
#define SB16_IRQ_16  2u
#define SB16_OUT_MAX 64

struct sb16_adpcm {
    uint8_t bits;   /* 2, 3 (called 2.6) or 4 */
    uint8_t sample; /* the last one */
    uint8_t step;
    uint8_t byte, left;   /* the byte that is being played, and how many of its samples are to come */
    bool needs_reference; /* the next byte is a sample as it is */
};

struct sb16_regs {
    /* The DSP's mailbox */
    uint8_t command, arguments, argument[3], wanted; /* wanted: arguments; 0: the next byte is a command */
    uint8_t out[SB16_OUT_MAX], out_first, out_count;
    bool reset_high, midi_uart;
    /* What commands leave */
    bool speaker;
    uint8_t test;        /* E4h */
    uint8_t e2, e2_step; /* DMA identification */
    bool e2_pending;
    uint8_t time_constant;
    bool by_rate;  /* 41h or 42h came after 40h */
    uint16_t rate; /* 41h */
    uint16_t block_size;
    /* The transfer */
    uint8_t mode; /* enum sb16_mode */
    bool is_16, is_stereo, is_signed, is_auto, is_recording, is_paused, ends_auto;
    uint32_t block, left; /* bytes; of silence: samples */
    uint32_t hold;        /* frames for which the last sample stays, when there is no transfer */
    uint8_t held[4];      /* that frame */
    /* The rest of the card */
    uint8_t interrupt; /* SB16_IRQ_* */
    uint8_t index;     /* of the mixer */
    uint8_t mixer[256];
};

struct sb16_dac {
    struct audio_stream *stream;
    bool is_playing;
    int16_t level;
    int64_t began;  /* frame 0 */
    uint64_t made;  /* frames */
    int64_t sum;    /* level times nanoseconds of the next frame */
    int64_t at;     /* up to there */
    int64_t change; /* the last one */
};

struct opl_card;

struct sb16 {
    struct sb16_regs regs;
    struct sb16_adpcm adpcm;
    struct voice play, record;
    struct sb16_dac dac;
    struct mpu401 *mpu; /* NULL: its ports are taken */
    struct opl_card *opl;
    struct dma8237 *dma;
    struct irq irq[4]; /* lines 9, 5, 7, 10, as bits of mixer register 80h */
    struct irq bus_request;
    uint16_t base, version;
    uint8_t irq_preset, dma_preset; /* of mixer registers 80h and 81h */
    int dma_8, dma_16;              /* channels that are hooked; -1: none */
};

/* Must be called whenever regs.interrupt or mixer register 80h has changed. */
void sb16_update_irq(struct sb16 *sb);

/* sb16_dsp.c */
void sb16_dsp_reset(struct sb16 *sb);
void sb16_dsp_reset_write(struct sb16 *sb, uint8_t value);
void sb16_dsp_write(struct sb16 *sb, uint8_t value);
uint8_t sb16_dsp_read(struct sb16 *sb);
bool sb16_dsp_is_sane(const struct sb16 *sb);

/* sb16_dma.c */
void sb16_dma_init(struct sb16 *sb, struct audiodev *audiodev);
void sb16_dma_fini(struct sb16 *sb);
/* What is due by now is taken: before anything is looked at or changed. */
void sb16_dma_sync(struct sb16 *sb);
/* regs' transfer has changed. */
void sb16_dma_update(struct sb16 *sb);
void sb16_dma_stop(struct sb16 *sb);
/* Mixer register 81h is another. */
void sb16_dma_route(struct sb16 *sb);
void sb16_dma_bus_granted(void *opaque);
bool sb16_dma_is_sane(const struct sb16 *sb);
void sb16_dma_after_load(struct sb16 *sb);

/* sb16_adpcm.c: the next sample of byte adpcm->byte, of which adpcm->left are to come. */
unsigned sb16_adpcm_per_byte(const struct sb16_adpcm *adpcm);
uint8_t sb16_adpcm_next(struct sb16_adpcm *adpcm);
bool sb16_adpcm_is_sane(const struct sb16_adpcm *adpcm);
extern const struct state_layout sb16_adpcm_layout;

/* sb16_dac.c */
void sb16_dac_init(struct sb16_dac *dac, struct audiodev *audiodev);
void sb16_dac_fini(struct sb16_dac *dac);
void sb16_dac_write(struct sb16_dac *dac, uint8_t sample);

/* sb16_mixer.c */
void sb16_mixer_reset(struct sb16 *sb);
void sb16_mixer_write(struct sb16 *sb, uint8_t value);
uint8_t sb16_mixer_read(struct sb16 *sb);
void sb16_mixer_apply(struct sb16 *sb); /* volumes */

/* Intel 82801AA AC'97: between ac97.c (the card, its codec) and ac97_dma.c (its three channels). */
#pragma once

#include "devices/pci.h"
#include "voice.h"

enum { AC97_IN, AC97_OUT, AC97_MIC, AC97_CHANNELS };

#define AC97_BUFFERS 32 /* in a list of descriptors */

/* x_SR and x_CR (82801AA data sheet, 9.2) */
#define SR_DCH   0x01u /* it is halted */
#define SR_CELV  0x02u /* at the last valid buffer's end */
#define SR_LVBCI 0x04u
#define SR_BCIS  0x08u
#define SR_FIFOE 0x10u
#define CR_RPBM  0x01u
#define CR_RR    0x02u
#define CR_LVBIE 0x04u
#define CR_FEIE  0x08u
#define CR_IOCE  0x10u

/* The codec's registers (AC'97 2.1, 6.3), which have 16 bits each */
#define NAM_MASTER   0x02
#define NAM_PCM_OUT  0x18
#define NAM_EXTENDED 0x2a /* 1: variable rates, 8: of the microphone */
#define NAM_DAC_RATE 0x2c
#define NAM_ADC_RATE 0x32
#define NAM_MIC_RATE 0x34

struct ac97_regs {
    uint32_t global_control;
    bool semaphore; /* CAS */
    uint16_t nam[64];
    /* By channel */
    uint32_t list[AC97_CHANNELS];                        /* BDBAR */
    uint8_t current[AC97_CHANNELS], last[AC97_CHANNELS]; /* CIV, LVI */
    uint8_t prefetched[AC97_CHANNELS];                   /* PIV */
    uint8_t status[AC97_CHANNELS], control[AC97_CHANNELS];
    /* The buffer that is being played */
    bool fetched[AC97_CHANNELS];
    uint32_t address[AC97_CHANNELS];
    uint16_t left[AC97_CHANNELS];   /* PICB: samples */
    bool interrupts[AC97_CHANNELS]; /* at its end */
};

struct ac97 {
    struct pci_device pci; /* first */
    struct ac97_regs regs;
    struct voice voice[AC97_CHANNELS];
    struct pci_work *work; /* recording writes to memory */
};

/* Must be called whenever a channel's status or control has changed. */
void ac97_update_irq(struct ac97 *ac);
bool ac97_interrupts(const struct ac97 *ac, unsigned channel);

void ac97_channels_init(struct ac97 *ac, struct audiodev *audiodev);
void ac97_channels_fini(struct ac97 *ac);
/* What is due is taken. Not of recording, which moves by itself. */
void ac97_channels_sync(struct ac97 *ac);
/* After ac97_channels_sync(): registers have been written. */
void ac97_channels_update(struct ac97 *ac);
void ac97_channel_reset(struct ac97 *ac, unsigned channel);
/* A new last valid index: a channel that had come to its end goes on. */
void ac97_channel_extend(struct ac97 *ac, unsigned channel);
bool ac97_channels_are_sane(struct ac97 *ac);
void ac97_channels_after_load(struct ac97 *ac);

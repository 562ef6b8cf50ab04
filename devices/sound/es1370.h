/* ENSONIQ AudioPCI ES1370: between es1370.c (registers, the card), es1370_dma.c (its three channels) and es1370_codec.c
 * (volumes). */
#pragma once

#include "devices/pci.h"
#include "voice.h"

enum { ES_DAC1, ES_DAC2, ES_ADC, ES_CHANNELS };

/* 00h, interrupt/chip select control */
#define CONTROL_ADC_STOP (1u << 31)
#define CONTROL_PCLKDIV  0x1fff0000u
#define CONTROL_WTSRSEL  0x3000u
#define CONTROL_DAC1_EN  (1u << 6)
#define CONTROL_DAC2_EN  (1u << 5)
#define CONTROL_ADC_EN   (1u << 4)

/* 04h, interrupt/chip select status: read only */
#define STATUS_INTR (1u << 31)
#define STATUS_DAC1 (1u << 2)
#define STATUS_DAC2 (1u << 1)
#define STATUS_ADC  (1u << 0)
#define STATUS_VC   0x60u /* of no voice: as after a reset */

/* 20h, serial interface control */
#define SERIAL_BITS        0x003fffffu
#define SERIAL_R1_LOOP_SEL (1u << 15) /* 1: stop at the end of the sample count */
#define SERIAL_P2_LOOP_SEL (1u << 14)
#define SERIAL_P1_LOOP_SEL (1u << 13)
#define SERIAL_P2_PAUSE    (1u << 12)
#define SERIAL_P1_PAUSE    (1u << 11)
#define SERIAL_R1_INT_EN   (1u << 10)
#define SERIAL_P2_INT_EN   (1u << 9)
#define SERIAL_P1_INT_EN   (1u << 8)
#define SERIAL_P1_SCT_RLD  (1u << 7)

/* 0Ch: pages of the memory behind 30h to 3Fh, of four longwords each. */
#define ES_PAGES      16
#define ES_PAGE_DAC   0x0c /* FRAME and SIZE of DAC1, and of DAC2 */
#define ES_PAGE_ADC   0x0d /* of the ADC, and of nothing */
#define ES_CODEC_REGS 32   /* AK4531 */

struct es1370_regs {
    uint32_t control, serial;
    uint32_t count[ES_CHANNELS];  /* 31:16 what is left, 15:0 frames until an interrupt, less one */
    uint32_t memory[ES_PAGES][4]; /* SIZE: 31:16 longwords that are done, 15:0 longwords, less one */
    uint8_t within[ES_CHANNELS];  /* bytes of the next longword that are done */
    uint8_t stopped;              /* bits: a channel that plays its sample count once has done so */
    uint8_t interrupt;            /* STATUS_DAC1, STATUS_DAC2, STATUS_ADC */
    uint8_t page;                 /* MEM_PAGE */
    uint8_t codec[ES_CODEC_REGS]; /* es1370_codec.c */
};

struct es1370 {
    struct pci_device pci; /* first */
    struct es1370_regs regs;
    struct voice voice[ES_CHANNELS];
    struct pci_work *work; /* the ADC writes to memory */
};

/* Must be called whenever interrupt or what masks it has changed. */
void es1370_update_irq(struct es1370 *es);

void es1370_channels_init(struct es1370 *es, struct audiodev *audiodev);
void es1370_channels_fini(struct es1370 *es);
void es1370_channels_reset(struct es1370 *es);
/* Registers are as they are at this moment. Not for the ADC, which moves by itself. */
void es1370_channels_sync(struct es1370 *es);
/* After es1370_channels_sync(): registers have been written. */
void es1370_channels_update(struct es1370 *es);
bool es1370_channels_are_sane(struct es1370 *es);
void es1370_channels_after_load(struct es1370 *es);
/* Where a channel's FRAME is in memory[][]; SIZE is behind it. */
uint32_t *es1370_frame(struct es1370 *es, unsigned channel);

/* After es1370_channels_sync(): what is heard from now on. */
void es1370_codec_write(struct es1370 *es, unsigned reg, uint8_t value);
void es1370_codec_reset(struct es1370 *es);
/* The registers are new. */
void es1370_codec_apply(struct es1370 *es);
void es1370_codec_dump(const struct es1370 *es, GString *out);

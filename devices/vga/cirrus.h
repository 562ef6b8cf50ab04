/* Cirrus Logic CL-GD5446: what the files of the card share. Registers by their names in its Technical Reference Manual:
 * SR, GR and CR are the extensions of the sequencer, the graphics controller and the CRTC.
 */
#pragma once

#include "regs.h"

#define CIRRUS_MEMORY (4 * MiB) /* as much as the chip has */
#define CIRRUS_MASK   (CIRRUS_MEMORY - 1u)

#define SR_UNLOCK        0x06
#define SR_EXTENDED      0x07
#define SR_CURSOR_X      0x10
#define SR_CURSOR_Y      0x11
#define SR_CURSOR        0x12
#define SR_CURSOR_SELECT 0x13
#define SR_CONFIG        0x17
#define SR_COUNT         0x20

#define SR_UNLOCK_KEY       0x12u
#define SR_UNLOCK_LOCKED    0x0fu
#define SR_EXTENDED_PACKED  0x01u
#define SR_EXTENDED_DEPTH   0x0eu
#define SR_CURSOR_ON        0x01u
#define SR_CURSOR_PALETTE   0x02u /* the DAC's ports reach the cursor's colours */
#define SR_CURSOR_64        0x04u
#define SR_CONFIG_MMIO      0x04u /* the blitter's registers are in memory, */
#define SR_CONFIG_MMIO_LAST 0x40u /* at the end of the linear frame buffer rather than at B8000h */

#define GR_BACK        0x00 /* bytes 1 to 3 of it are 10h, 12h, 14h */
#define GR_FORE        0x01 /* 11h, 13h, 15h */
#define GR_MODE        0x05
#define GR_OFFSET0     0x09
#define GR_OFFSET1     0x0a
#define GR_EXTENSION   0x0b
#define GR_BLT_WIDTH   0x20
#define GR_BLT_HEIGHT  0x22
#define GR_BLT_DPITCH  0x24
#define GR_BLT_SPITCH  0x26
#define GR_BLT_DEST    0x28
#define GR_BLT_SOURCE  0x2c
#define GR_BLT_SKIP    0x2f
#define GR_BLT_MODE    0x30
#define GR_BLT_START   0x31
#define GR_BLT_ROP     0x32
#define GR_BLT_MODEEXT 0x33
#define GR_BLT_KEY     0x34
#define GR_COUNT       0x40

#define GR_EXTENSION_DUAL    0x01u
#define GR_EXTENSION_BY8     0x02u
#define GR_EXTENSION_MODES   0x04u /* write modes 4 and 5 */
#define GR_EXTENSION_LATCHES 0x08u /* eight bytes */
#define GR_EXTENSION_BY16    0x10u /* with GR_EXTENSION_MODES */
#define GR_EXTENSION_16K     0x20u

#define BLT_BACKWARD    0x01u
#define BLT_TO_SYSTEM   0x02u
#define BLT_FROM_SYSTEM 0x04u
#define BLT_TRANSPARENT 0x08u
#define BLT_PATTERN     0x40u
#define BLT_EXPAND      0x80u

#define BLT_EXT_DWORDS 0x01u /* rows of expanded bits begin at doublewords */
#define BLT_EXT_INVERT 0x02u
#define BLT_EXT_SOLID  0x04u

#define BLT_START_BUSY      0x01u
#define BLT_START_START     0x02u
#define BLT_START_RESET     0x04u
#define BLT_START_PROGRESS  0x08u
#define BLT_START_BUFFERED  0x10u
#define BLT_START_AUTOSTART 0x80u

#define CR_EXTRA 0x19 /* the first one behind the VGA's */
#define CR_COUNT 0x20
#define CR_1A    0x1a
#define CR_1B    0x1b
#define CR_1D    0x1d

#define BLT_ROW_MAX 8192u

/* A blit as it was when it started: the registers may be written for the next one meanwhile. */
struct cirrus_blt {
    uint8_t mode, ext, rop, skip;
    uint8_t pattern_row;
    uint8_t pattern[256];
    uint16_t key;
    uint16_t dst_pitch, src_pitch;
    uint32_t width; /* bytes, up to BLT_ROW_MAX */
    uint32_t rows;  /* that are left */
    uint32_t dst, src;
    uint32_t fore, back;
};

enum cirrus_blt_state { BLT_IDLE, BLT_RUNS, BLT_FROM_CPU, BLT_TO_CPU };

struct cirrus_regs {
    uint8_t sr_index, sr[SR_COUNT];
    uint8_t gr_index, gr[GR_COUNT];
    uint8_t cr[CR_COUNT];
    uint8_t hidden_dac, hidden_dac_count; /* reads of 3C6h in a row */
    uint8_t cursor_palette[16 * 3];
    uint16_t cursor_x, cursor_y;
    uint8_t latch[8];
    uint8_t blt_state;
    uint8_t blt_is_next; /* one waits until the other is done */
    struct cirrus_blt blt, blt_next;
    uint32_t cpu_size, cpu_filled; /* of a row, or of the pattern, that goes through the processor */
    uint8_t cpu_bytes[BLT_ROW_MAX];
};

/* What is at a linear frame buffer's address now. */
enum cirrus_lfb { CIRRUS_LFB_NONE, CIRRUS_LFB_MMIO, CIRRUS_LFB_PLAIN, CIRRUS_LFB_PLAIN_BUT_END };

struct cirrus {
    struct vga vga; /* first */
    struct cirrus_regs regs;
    struct vtimer *timer; /* the rest of a long blit */
    uint32_t lfb_base;    /* 0: BAR 0 is not mapped */
    enum cirrus_lfb lfb;
    bool window_is_plain, lfb_is_plain; /* where nothing speaks against it: see cirrus_mem.c */
    unsigned window_accesses, lfb_accesses;
    bool has_blitter;
};

static inline struct cirrus *cirrus_of(const struct vga *vga)
{
    return (struct cirrus *)vga;
}

static inline bool cirrus_is_packed(const struct cirrus *c)
{
    return c->regs.sr[SR_EXTENDED] & SR_EXTENDED_PACKED;
}

/* cirrus.c */
uint8_t cirrus_gr_read(const struct cirrus *c, unsigned index);
void cirrus_gr_write(struct cirrus *c, unsigned index, uint8_t value);

/* cirrus_mem.c */
unsigned cirrus_window(struct vga *vga, struct vga_piece pieces[VGA_PIECES]);
/* Must be called when a register that decides how memory is seen may have changed. */
void cirrus_mem_update(struct cirrus *c);
void cirrus_bank_changed(struct cirrus *c);
void cirrus_lfb_moved(void *opaque, uint32_t base, bool mapped);
void cirrus_lfb_remove(struct cirrus *c);
extern const struct mmio_ops cirrus_mmio_ops; /* BAR 1 */

/* cirrus_blt.c */
void cirrus_blt_start(struct cirrus *c);
void cirrus_blt_reset(struct cirrus *c);
void cirrus_blt_go_on(void *opaque); /* the timer */
void cirrus_blt_arm(struct cirrus *c);
bool cirrus_blt_is_sane(const struct cirrus_regs *r);
void cirrus_blt_cpu_write(struct cirrus *c, uint8_t value);
uint8_t cirrus_blt_cpu_read(struct cirrus *c);

/* cirrus_draw.c */
bool cirrus_picture(const struct vga *vga, struct vga_picture *picture);
void cirrus_overlay(const struct vga *vga, unsigned width, unsigned first, unsigned count, uint32_t *pixels);
unsigned cirrus_shown(const struct vga *vga, uint8_t bytes[VGA_SHOWN_MAX]);

/* VMware SVGA II: what the files of the card share. Registers and commands by their names in VMware's SVGA Device
 * Developer Kit (svga_reg.h), offsets in the FIFO in doublewords as there.
 */
#pragma once

#include "regs.h"

#define SVGA_FIFO_SIZE  (256 * KiB)
#define SVGA_MAX_WIDTH  2560u
#define SVGA_MAX_HEIGHT 1600u
#define SVGA_CURSOR_MAX 64u
#define SVGA_SCRATCH    64u

#define SVGA_ID_0 0x90000000u
#define SVGA_ID_2 0x90000002u

enum {
    SVGA_REG_ID,
    SVGA_REG_ENABLE,
    SVGA_REG_WIDTH,
    SVGA_REG_HEIGHT,
    SVGA_REG_MAX_WIDTH,
    SVGA_REG_MAX_HEIGHT,
    SVGA_REG_DEPTH,
    SVGA_REG_BITS_PER_PIXEL,
    SVGA_REG_PSEUDOCOLOR,
    SVGA_REG_RED_MASK,
    SVGA_REG_GREEN_MASK,
    SVGA_REG_BLUE_MASK,
    SVGA_REG_BYTES_PER_LINE,
    SVGA_REG_FB_START,
    SVGA_REG_FB_OFFSET,
    SVGA_REG_VRAM_SIZE,
    SVGA_REG_FB_SIZE,
    SVGA_REG_CAPABILITIES,
    SVGA_REG_MEM_START,
    SVGA_REG_MEM_SIZE,
    SVGA_REG_CONFIG_DONE,
    SVGA_REG_SYNC,
    SVGA_REG_BUSY,
    SVGA_REG_GUEST_ID,
    SVGA_REG_CURSOR_ID,
    SVGA_REG_CURSOR_X,
    SVGA_REG_CURSOR_Y,
    SVGA_REG_CURSOR_ON,
    SVGA_REG_HOST_BITS_PER_PIXEL,
    SVGA_REG_SCRATCH_SIZE,
    SVGA_REG_MEM_REGS,
    SVGA_REG_NUM_DISPLAYS,
    SVGA_REG_PITCHLOCK,
    SVGA_PALETTE_BASE = 1024,
    SVGA_SCRATCH_BASE = SVGA_PALETTE_BASE + 768,
};

#define SVGA_ENABLE_ENABLE 1u
#define SVGA_ENABLE_HIDE   2u

#define SVGA_CAP_RECT_FILL       0x00001u
#define SVGA_CAP_RECT_COPY       0x00002u
#define SVGA_CAP_RASTER_OP       0x00010u
#define SVGA_CAP_CURSOR          0x00020u
#define SVGA_CAP_CURSOR_BYPASS   0x00040u
#define SVGA_CAP_CURSOR_BYPASS_2 0x00080u
#define SVGA_CAP_8BIT_EMULATION  0x00100u
#define SVGA_CAP_ALPHA_CURSOR    0x00200u
#define SVGA_CAP_EXTENDED_FIFO   0x08000u
#define SVGA_CAP_PITCHLOCK       0x20000u

/* The FIFO's own registers. */
enum {
    SVGA_FIFO_MIN,
    SVGA_FIFO_MAX,
    SVGA_FIFO_NEXT_CMD,
    SVGA_FIFO_STOP,
    SVGA_FIFO_CAPABILITIES,
    SVGA_FIFO_FLAGS,
    SVGA_FIFO_FENCE,
    SVGA_FIFO_3D_HWVERSION,
    SVGA_FIFO_PITCHLOCK,
    SVGA_FIFO_CURSOR_ON,
    SVGA_FIFO_CURSOR_X,
    SVGA_FIFO_CURSOR_Y,
    SVGA_FIFO_CURSOR_COUNT,
    SVGA_FIFO_REGS = 32, /* SVGA_REG_MEM_REGS */
};
#define SVGA_FIFO_CAP_FENCE           0x01u
#define SVGA_FIFO_CAP_ACCELFRONT      0x02u
#define SVGA_FIFO_CAP_PITCHLOCK       0x04u
#define SVGA_FIFO_CAP_CURSOR_BYPASS_3 0x10u

/* A drawing command as it is carried out: in bytes of the frame buffer, as the mode was when it came. */
struct svga_op {
    uint32_t dst, src; /* of the next row */
    int32_t step;      /* from a row to the next */
    uint32_t bytes;    /* of a row */
    uint32_t rows;     /* that are left; 0: nothing is under way */
    uint32_t colour;   /* of a fill */
    uint8_t pixel;     /* bytes of one */
    uint8_t rop;       /* X11's sixteen */
    uint8_t is_copy;
    uint8_t unused;
};

enum svga_cursor_kind { SVGA_CURSOR_NONE, SVGA_CURSOR_MASKS, SVGA_CURSOR_ALPHA };

/* and_mask and xor_mask are as wide as the cursor; of an alpha cursor, xor_mask has its pixels. */
struct svga_cursor {
    uint32_t kind, width, height, hot_x, hot_y;
    uint32_t and_mask[SVGA_CURSOR_MAX * SVGA_CURSOR_MAX];
    uint32_t xor_mask[SVGA_CURSOR_MAX * SVGA_CURSOR_MAX];
};

struct svga_regs {
    uint32_t index, id, enable, width, height, bits, pitchlock, guest_id;
    bool config_done; /* the FIFO is in use */
    bool is_syncing;  /* SYNC was written, and there are commands */
    uint32_t cursor_id, cursor_x, cursor_y, cursor_on;
    uint32_t cursor_count; /* SVGA_FIFO_CURSOR_COUNT as it was last */
    uint32_t skip;         /* doublewords of the FIFO that are part of nothing we do */
    uint32_t scratch[SVGA_SCRATCH];
    uint8_t palette[768];
    struct svga_op op;
    struct svga_cursor cursor;
};

struct svga {
    struct vga vga; /* first */
    struct svga_regs regs;
    const struct mem_block *fifo;
    struct vtimer *timer;   /* looks into the FIFO */
    int64_t period;         /* of it; grows while nothing is there */
    uint32_t cursor_serial; /* another one for each cursor that was defined */
    uint32_t fb_base, fifo_base;
};

static inline struct svga *svga_of(const struct vga *vga)
{
    return (struct svga *)vga;
}

static inline unsigned svga_pixel_bytes(const struct svga *s)
{
    return (s->regs.bits + 7) / 8;
}

/* svga.c */
uint32_t svga_pitch(const struct svga *s);

/* svga_fifo.c */
#define SVGA_FIFO_PERIOD (10 * NS_PER_SECOND / 1000)
void svga_fifo_offer(struct svga *s); /* says what it can, where the guest has not begun to use it */
void svga_fifo_open(struct svga *s);  /* the guest says CONFIG_DONE */
void svga_fifo_close(struct svga *s);
/* After a state was loaded. */
void svga_fifo_resume(struct svga *s);
void svga_fifo_run(void *s); /* a run with its budget; the timer's function */

/* svga_draw.c */
/* Both cut the rectangle to the screen. */
void svga_fill(struct svga *s, uint32_t colour, uint32_t x, uint32_t y, uint32_t width, uint32_t height, unsigned rop);
void svga_copy(struct svga *s, uint32_t sx, uint32_t sy, uint32_t dx, uint32_t dy, uint32_t width, uint32_t height,
               unsigned rop);
/* Goes on with what is under way; how many bytes it took, at most budget and a row. */
uint32_t svga_op_run(struct svga *s, uint32_t budget);
bool svga_op_is_sane(const struct svga *s);
bool svga_picture(const struct vga *vga, struct vga_picture *picture);
bool svga_cursor(const struct vga *vga, struct display_cursor *out);
void svga_overlay(const struct vga *vga, unsigned width, unsigned first, unsigned count, uint32_t *pixels);
unsigned svga_shown(const struct vga *vga, uint8_t bytes[VGA_SHOWN_MAX]);

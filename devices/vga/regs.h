/* VGA: what its files share: registers by their names in the manual, memory layout; and what a card adds to it.
 *
 * vga.c, mem.c, render.c, serial.c and timing.c are the VGA proper, dispi.c what most cards add. A card (std.c,
 * cirrus.c) has a struct vga as its first member and says in a struct vga_card what it does otherwise.
 *
 * Video memory is kept interleaved: byte 4 * a + p is byte a of plane p. A 256-colour program that sees
 * memory as linear (chain-4, DISPI) then finds it linear here as well, so those windows are plain memory:
 * chain-4 stores address A in plane A & 3 at A >> 2, where the chip has A & ~3 and the CRTC's doubleword
 * mode multiplies addresses by 4; the renderer leaves both out. Odd/even is as the chip has it.
 */
#pragma once

#include "dispi.h"
#include "mem.h"
#include "state.h"
#include "vga.h"

#define SEQ_COUNT  8
#define CRTC_COUNT 0x19
#define GC_COUNT   9
#define ATTR_COUNT 0x15

enum { SEQ_RESET, SEQ_CLOCKING, SEQ_MAP_MASK, SEQ_FONT, SEQ_MEMORY };
#define SEQ_CLOCKING_8DOT 0x01u
#define SEQ_CLOCKING_HALF 0x08u
#define SEQ_CLOCKING_OFF  0x20u
#define SEQ_MEMORY_EXT    0x02u
#define SEQ_MEMORY_SEQ    0x04u /* 0: odd/even */
#define SEQ_MEMORY_CHAIN4 0x08u

enum { GC_SET_RESET, GC_ENABLE_SR, GC_COMPARE, GC_ROTATE, GC_READ_MAP, GC_MODE, GC_MISC, GC_DONT_CARE, GC_BIT_MASK };
#define GC_MODE_WRITE    0x03u
#define GC_MODE_READ1    0x08u
#define GC_MODE_ODD_EVEN 0x10u
#define GC_MODE_CGA      0x20u
#define GC_MODE_256      0x40u
#define GC_MISC_GRAPHICS 0x01u
#define GC_MISC_CHAIN    0x02u

enum {
    CRTC_HTOTAL,
    CRTC_HDISP_END,
    CRTC_HBLANK_START,
    CRTC_HBLANK_END,
    CRTC_HSYNC_START,
    CRTC_HSYNC_END,
    CRTC_VTOTAL,
    CRTC_OVERFLOW,
    CRTC_PRESET_ROW,
    CRTC_MAX_SCAN,
    CRTC_CURSOR_START,
    CRTC_CURSOR_END,
    CRTC_START_HIGH,
    CRTC_START_LOW,
    CRTC_CURSOR_HIGH,
    CRTC_CURSOR_LOW,
    CRTC_VSYNC_START,
    CRTC_VSYNC_END,
    CRTC_VDISP_END,
    CRTC_OFFSET,
    CRTC_UNDERLINE,
    CRTC_VBLANK_START,
    CRTC_VBLANK_END,
    CRTC_MODE,
    CRTC_LINE_COMPARE
};
#define CRTC_MODE_CMS    0x01u /* 0: row scan bit 0 replaces address bit 13 */
#define CRTC_MODE_SRS    0x02u /* 0: row scan bit 1 replaces address bit 14 */
#define CRTC_MODE_SLOW   0x04u /* vertical counters count every second line */
#define CRTC_MODE_COUNT2 0x08u
#define CRTC_MODE_WRAP   0x20u /* word mode: bit 15 rather than 13 goes to bit 0 */
#define CRTC_MODE_BYTE   0x40u

#define ATTR_MODE           0x10
#define ATTR_OVERSCAN       0x11
#define ATTR_PLANES         0x12
#define ATTR_PAN            0x13
#define ATTR_SELECT         0x14
#define ATTR_MODE_GRAPHICS  0x01u
#define ATTR_MODE_LINE_GFX  0x04u
#define ATTR_MODE_BLINK     0x08u
#define ATTR_MODE_PAN_SPLIT 0x20u /* panning does not apply below the split */
#define ATTR_MODE_P54S      0x80u
#define ATTR_INDEX_PAS      0x20u

#define DISPI_MAX_XRES 16000u
#define DISPI_MAX_YRES 12000u
#define DISPI_MAX_BPP  32u

#define VGA_SHOWN_MAX 2048u

struct vga_regs {
    uint8_t misc;    /* miscellaneous output 3C2h */
    uint8_t feature; /* feature control 3DAh */
    uint8_t seq_index, seq[SEQ_COUNT];
    uint8_t crtc_index, crtc[CRTC_COUNT];
    uint8_t gc_index, gc[GC_COUNT];
    uint8_t attr_index; /* with PAS */
    uint8_t attr_data;  /* flip-flop: the next write to 3C0h is data */
    uint8_t attr[ATTR_COUNT];
    uint8_t dac_mask, dac_state; /* state: 3 after 3C7h, 0 after 3C8h */
    uint8_t dac_read, dac_write, dac_phase, dac_pending[2];
    uint8_t palette[768]; /* as written: 6 bits, or 8 where DISPI says so */
    uint8_t latch[4];
    uint16_t dispi_index, dispi[DISPI_COUNT]; /* dispi.c; zero on cards without */
    int64_t vsync_cleared;                    /* when the vertical interrupt was last cleared: vclock */
};

/* A picture whose pixels follow each other in memory, which a card may have beside the VGA's own modes. */
struct vga_picture {
    unsigned width, height;
    unsigned bits;         /* of a pixel: 4 (in planes), 8, 15, 16, 24 or 32 */
    uint32_t start, pitch; /* bytes; pixels where they have 4 bits */
    unsigned repeat;       /* each row is so many lines */
    bool is_blank;
    const uint8_t *palette; /* of 8 bits: 256 times red, green, blue; NULL: the DAC's */
    uint32_t split;         /* from the line behind this one on, what is shown starts over at address 0 */
};

/* What is at A0000h to BFFFFh for the guest: plain memory where the registers allow it. */
enum vga_window { VGA_WINDOW_MMIO, VGA_WINDOW_LINEAR, VGA_WINDOW_TEXT, VGA_WINDOW_CARD };
#define VGA_WINDOW_BASE 0xa0000u
#define VGA_WINDOW_SIZE 0x20000u

struct vga_piece {
    uint32_t base, size;
    const struct mmio_ops *ops; /* NULL: the card's memory from offset on */
    uint32_t offset;
    const char *name;
};
#define VGA_PIECES 4

struct vga;

/* What a card does otherwise than the VGA; any may be NULL. */
struct vga_card {
    /* False: the port is the VGA's. */
    bool (*read)(struct vga *vga, uint16_t port, uint8_t *value);
    bool (*write)(struct vga *vga, uint16_t port, uint8_t value);
    /* False: a mode of the VGA's own. */
    bool (*picture)(const struct vga *vga, struct vga_picture *picture);
    /* Over rows first to first + count. */
    void (*overlay)(const struct vga *vga, unsigned width, unsigned first, unsigned count, uint32_t *pixels);
    /* What overlay draws, as display.h's cursor; NULL: the card does not know which of its pixels points. */
    bool (*cursor)(const struct vga *vga, struct display_cursor *out);
    /* Fills pieces, which cover the window from its start to its end without gaps; their number, 0: as the VGA. */
    unsigned (*window)(struct vga *vga, struct vga_piece pieces[VGA_PIECES]);
    /* What decides the picture besides the VGA's registers and the memory that is shown. Returns how many bytes. */
    unsigned (*shown)(const struct vga *vga, uint8_t bytes[VGA_SHOWN_MAX]);
};

struct vga {
    struct vga_regs regs;
    const struct vga_card *card;
    const struct mem_block *memory; /* of the card, and behind it the 32 KiB of the text window */
    uint32_t size;                  /* of the card's; a power of two */
    uint8_t *vram;                  /* memory->host */
    uint8_t *text;                  /* odd/even text as the CPU sees it, while the window is VGA_WINDOW_TEXT */
    enum vga_window window;
    struct vga_piece piece[VGA_PIECES]; /* what is mapped for it */
    unsigned piece_count;
    struct pci_bus *pci;
    struct pci_device dev;
    const struct mem_block *rom;
    uint32_t rom_base; /* 0: not mapped */
    struct display display;
    struct vga_seen *seen; /* serial.c; NULL: nobody has looked */
};

#define VGA_PLANAR    (256 * KiB) /* what the VGA proper reaches */
#define VGA_TEXT_SIZE 0x8000u

static inline bool vga_dispi_on(const struct vga *vga)
{
    return vga->regs.dispi[DISPI_ENABLE] & DISPI_ENABLED;
}

/* The card's own picture, if it shows one. */
static inline bool vga_picture(const struct vga *vga, struct vga_picture *picture)
{
    return vga->card->picture && vga->card->picture(vga, picture);
}

/* vga.c */
bool vga_init(struct vga *vga, const struct vga_card *card, uint32_t size, GError **error); /* nothing is mapped yet */
void vga_open(struct vga *vga);
void vga_close(struct vga *vga);
void vga_reset(struct vga *vga);
uint8_t vga_port_read(struct vga *vga, uint16_t port);
void vga_port_write(struct vga *vga, uint16_t port, uint8_t value);
extern const struct state_layout vga_layout; /* of regs */
bool vga_regs_are_sane(const struct vga *vga);
void vga_before_load(void *vga);
void vga_dump(const struct vga *vga, GString *out);
void vga_dump_row(GString *out, const char *name, const uint8_t *value, unsigned count);
/* A board has one. False with a sentence. */
bool vga_is_first(const struct device_site *site, GError **error);
/* NULL with a sentence if it is none. */
char *vga_romfile_read(const char *path, const char *who, gsize *size, GError **error);

/* mem.c */
extern const struct mmio_ops vga_window_ops; /* A0000h, 128 KiB */
/* Must be called when a register that decides how memory is seen may have changed. */
void vga_window_update(struct vga *vga);
void vga_window_remove(struct vga *vga);
/* Brings the planes up to date with what the guest wrote to the text window. */
void vga_sync(struct vga *vga);

/* dispi.c */
bool vga_dispi_picture(const struct vga *vga, struct vga_picture *picture);
uint16_t vga_dispi_read(struct vga *vga, unsigned index);
void vga_dispi_write(struct vga *vga, unsigned index, uint16_t value);
void vga_dispi_open(struct vga *vga); /* its ports */
void vga_dispi_close(void);
void vga_dispi_reset(struct vga *vga); /* after vga_reset() */
void vga_dispi_after_load(struct vga *vga);

/* serial.c */
bool vga_serial(void *opaque, uint64_t *serial);
void vga_changed_rows(void *opaque, uint64_t since, unsigned *first, unsigned *end);
void vga_seen_free(struct vga *vga);

/* render.c */
#define VGA_BLINK_CURSOR_NS (8 * NS_PER_SECOND / 60) /* half a period */
#define VGA_BLINK_TEXT_NS   (16 * NS_PER_SECOND / 60)
bool vga_blink_is_on(int64_t half_period_ns);
bool vga_is_blank(const struct vga *vga);
/* Lines of a row of text; 0: it is no text screen, or one that is scrolled by lines or dots, or split. */
unsigned vga_text_row_lines(const struct vga *vga);
bool vga_render_text(void *opaque, struct display_text *out);
void vga_render_size(void *opaque, unsigned *width, unsigned *height);
bool vga_render_bare_rows(void *opaque, unsigned width, unsigned height, unsigned first, unsigned count,
                          uint32_t *pixels);
void vga_render_overlay(void *opaque, unsigned width, unsigned first, unsigned count, uint32_t *pixels);
bool vga_render_cursor(void *opaque, struct display_cursor *out);
bool vga_render_rows(void *opaque, unsigned width, unsigned height, unsigned first, unsigned count, uint32_t *pixels);

/* timing.c */
/* Timing from the CRTC's registers: dots and lines. */
struct vga_timing {
    unsigned dot_clock;                             /* Hz */
    unsigned htotal, hdisp, hsync_start, hsync_end; /* dots */
    unsigned vtotal, vdisp, vsync_start, vsync_end; /* lines */
};
void vga_timing(const struct vga *vga, struct vga_timing *timing);

/* The video BIOS: what its files share.
 *
 * Code runs on the caller's stack with DS = ES = SS, so pointers in C are to locals only. Constants are in the
 * ROM and reached through GS = CS: they are declared ROM. All other memory is far: ../lib/far.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dispi.h"
#include "../lib/far.h"
#include "../lib/io.h"
#include "../lib/regs.h"

#define ROM         const __seg_gs
#define ROM_SECTION __attribute__((section(".rom")))

/* BIOS data area, segment 40h */
#define BDA 0x40
enum {
    BDA_EQUIPMENT = 0x10,
    BDA_MODE = 0x49,
    BDA_COLUMNS = 0x4a,
    BDA_PAGE_SIZE = 0x4c,
    BDA_PAGE_START = 0x4e,
    BDA_CURSOR = 0x50,
    BDA_CURSOR_SHAPE = 0x60,
    BDA_PAGE = 0x62,
    BDA_CRTC = 0x63,
    BDA_MODE_REG = 0x65,
    BDA_PALETTE = 0x66,
    BDA_ROWS = 0x84,
    BDA_CHAR_HEIGHT = 0x85,
    BDA_CONTROL = 0x87,
    BDA_SWITCHES = 0x88,
    BDA_MODESET = 0x89,
    BDA_DCC = 0x8a,
    BDA_SAVE_POINTER = 0xa8,
    BDA_VBE_MODE = 0xba,
    BDA_POWER = 0xbc /* as function 4F10h set it */
};
#define CONTROL_NO_CURSOR_EMULATION 0x01
#define CONTROL_NO_CLEAR            0x80
#define MODESET_VGA                 0x01
#define MODESET_GREY                0x02
#define MODESET_MONO                0x04
#define MODESET_NO_PALETTE          0x08
#define MODESET_400                 0x10
#define MODESET_200                 0x80

#define VECTOR_10 (4 * 0x10)
#define VECTOR_1F (4 * 0x1f)
#define VECTOR_42 (4 * 0x42)
#define VECTOR_43 (4 * 0x43)
#define VECTOR_6D (4 * 0x6d)

enum mode_class { CLASS_TEXT, CLASS_CGA4, CLASS_CGA2, CLASS_PLANAR, CLASS_LINEAR };
enum palette_class { PALETTE_MONO, PALETTE_CGA, PALETTE_EGA, PALETTE_256 };

/* The IBM video parameter table's entry. */
struct params {
    uint8_t columns, rows, char_height;
    uint16_t page_size;
    uint8_t seq[4], misc, crtc[25], attr[20], gc[9];
} __attribute__((packed));

struct mode {
    uint8_t number;
    uint8_t class;
    uint8_t palette;
    uint8_t params; /* index of it */
    uint16_t segment;
};

extern ROM uint8_t font_8x8[256 * 8], font_8x14[256 * 14], font_8x16[256 * 16];
/* Entries of mode_params. */
#define PARAMS_TEXT_80 0x18
#define PARAMS_VGA_16  0x1b
#define PARAMS_VGA_256 0x1c
#define PARAMS_COUNT   0x1d
extern ROM struct params mode_params[];

/* The ROM's PCI data structure: whoever puts the ROM on a card writes the card's numbers into it. */
struct pcir {
    uint8_t signature[4];
    uint32_t id; /* vendor and device */
};
extern ROM struct pcir pcir;

static inline uint16_t code_seg(void)
{
    uint16_t seg;
    __asm__("movw %%cs, %0" : "=r"(seg));
    return seg;
}

static inline uint16_t rom_off(ROM void *object)
{
    return (uint16_t)(uint32_t)object;
}

static inline uint8_t bda8(uint16_t off)
{
    return peek8(BDA, off);
}

static inline uint16_t bda16(uint16_t off)
{
    return peek16(BDA, off);
}

static inline void bda8_set(uint16_t off, uint8_t value)
{
    poke8(BDA, off, value);
}

static inline void bda16_set(uint16_t off, uint16_t value)
{
    poke16(BDA, off, value);
}

/* Registers by index. */
static inline void indexed_write(uint16_t port, uint8_t index, uint8_t value)
{
    outw(port, (uint16_t)(index | value << 8));
}

static inline uint8_t indexed_read(uint16_t port, uint8_t index)
{
    outb(port, index);
    return inb(port + 1);
}

#define SEQ 0x3c4
#define GC  0x3ce

static inline uint16_t crtc_port(void)
{
    return bda16(BDA_CRTC);
}

/* mode.c */
ROM struct mode *mode_find(uint8_t number);
ROM struct mode *mode_now(void); /* NULL in a mode that is none of the VGA's */
void mode_set(uint8_t number_and_flag);
void mode_program(ROM struct params *params, uint8_t lines_class);
void vectors_set(uint16_t vector, uint16_t off, uint16_t seg);
void far_fill16(uint16_t seg, uint16_t off, uint16_t value, uint32_t words);
void far_copy16(uint16_t dseg, uint16_t doff, uint16_t sseg, uint16_t soff, uint32_t words);

/* palette.c */
void attr_write(uint8_t index, uint8_t value);
uint8_t attr_read(uint8_t index);
void attr_video_on(void);
void dac_load(uint8_t palette_class);
void dac_sum_grey(uint16_t first, uint16_t count);
void palette_10(struct bregs *regs);
void palette_0b(struct bregs *regs);

/* font.c */
void font_load_rom(uint8_t height, uint8_t block);
void font_11(struct bregs *regs);

/* text.c */
void cursor_shape_set(uint8_t start, uint8_t end);
void cursor_set(uint8_t page, uint8_t row, uint8_t column);
void page_select(uint8_t page);
void scroll(uint8_t top, uint8_t left, uint8_t bottom, uint8_t right, int lines, uint8_t attribute);
void char_write(uint8_t page, uint8_t row, uint8_t column, uint8_t ch, uint8_t attribute, bool with_attribute);
uint16_t char_read(uint8_t page, uint8_t row, uint8_t column);
void teletype(uint8_t page, uint8_t ch, uint8_t attribute, bool with_attribute);
void text_13(struct bregs *regs);

/* graphics.c */
void graphics_scroll(ROM struct mode *mode, uint8_t top, uint8_t left, uint8_t bottom, uint8_t right, int lines,
                     uint8_t attribute);
void graphics_char(ROM struct mode *mode, uint8_t page, uint8_t row, uint8_t column, uint8_t ch, uint8_t attribute);
uint8_t graphics_char_read(ROM struct mode *mode, uint8_t page, uint8_t row, uint8_t column);
void pixel_write(struct bregs *regs);
void pixel_read(struct bregs *regs);

/* state.c */
void select_12(struct bregs *regs);
void combination_1a(struct bregs *regs);
void functionality_1b(struct bregs *regs);
void state_1c(struct bregs *regs);
uint16_t state_blocks(uint16_t what);
void state_save(uint16_t what, uint16_t seg, uint16_t off);
void state_restore(uint16_t what, uint16_t seg, uint16_t off);

/* vbe.c */
#define MODE_LFB     0x4000
#define MODE_NOCLEAR 0x8000
struct vbe_mode {
    uint16_t number, width, height;
    uint8_t bpp;
} __attribute__((packed));
ROM struct vbe_mode *vbe_mode_find(uint16_t number);
void vbe_mode_set(ROM struct vbe_mode *mode, uint16_t flags);
void vbe_4f(struct bregs *regs);

/* The card: vbe_dispi.c or vbe_cirrus.c. What the VBE asks and changes has the names of DISPI's registers, whatever the
 * card has instead. */
extern ROM char card_product[];
extern ROM uint16_t card_line_most; /* bytes */
extern ROM uint8_t card_has_pm;     /* header.S has its code for protected mode */
extern ROM uint8_t card_has_dac8;   /* 6 bits or 8 */
extern ROM struct vbe_mode card_modes[];
extern ROM uint16_t card_mode_count;
bool card_present(void);
void card_off(void); /* for the VGA's own modes */
uint16_t card_get(uint16_t index);
void card_set(uint16_t index, uint16_t value);
bool card_start_set(uint16_t x, uint16_t y);                   /* the pixel at the top left; false: there is none */
void card_mode_set(ROM struct vbe_mode *mode, uint16_t flags); /* after mode_program() */
uint16_t card_vbe_number(uint8_t number);                      /* of a mode of its own; 0: it is none */
void card_12(struct bregs *regs);                              /* function 12h, what is not IBM's */
void card_save(uint16_t seg, uint16_t at);                     /* 32 bytes at most */
void card_restore(uint16_t seg, uint16_t at);

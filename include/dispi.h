/* The Bochs display interface (DISPI): its registers, for the card and for the video BIOS.
 *
 * VBE_DISPI of Bochs and QEMU (docs/specs/standard-vga): an index at 1CEh, data at 1CFh, 16 bits each.
 */
#pragma once

#define DISPI_PORT_INDEX 0x1ce
#define DISPI_PORT_DATA  0x1cf

#ifndef __ASSEMBLER__
enum {
    DISPI_ID,
    DISPI_XRES,
    DISPI_YRES,
    DISPI_BPP,
    DISPI_ENABLE,
    DISPI_BANK,
    DISPI_VIRT_WIDTH,
    DISPI_VIRT_HEIGHT,
    DISPI_X_OFFSET,
    DISPI_Y_OFFSET,
    DISPI_MEMORY, /* in 64 KiB */
    DISPI_COUNT
};
#endif
#define DISPI_ID_LOWEST  0xb0c0u
#define DISPI_ID_HIGHEST 0xb0c5u

/* DISPI_ENABLE */
#define DISPI_ENABLED  0x01u
#define DISPI_GETCAPS  0x02u
#define DISPI_8BIT_DAC 0x20u
#define DISPI_LFB      0x40u
#define DISPI_NOCLEAR  0x80u

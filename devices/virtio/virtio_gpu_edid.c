/* virtio-gpu: what it says of its monitor. VESA E-EDID 1.4, one block: the preferred mode, at 60 Hz. */
#include <string.h>

#include "virtio_gpu.h"

static void timing(uint32_t xres, uint32_t yres, uint8_t t[18])
{
    uint32_t hblank = 160, vblank = 35, clock = (uint32_t)((uint64_t)(xres + hblank) * (yres + vblank) * 60 / 10000);
    uint32_t hfront = 48, hsync = 32, vfront = 3, vsync = 6;
    uint32_t width_mm = xres * 254 / 960, height_mm = yres * 254 / 960; /* 96 dots an inch */

    clock = MIN(clock, 65535);
    const uint8_t bytes[18] = {
        (uint8_t)clock,
        (uint8_t)(clock >> 8),
        (uint8_t)xres,
        (uint8_t)hblank,
        (uint8_t)(xres >> 8 << 4 | hblank >> 8),
        (uint8_t)yres,
        (uint8_t)vblank,
        (uint8_t)(yres >> 8 << 4 | vblank >> 8),
        (uint8_t)hfront,
        (uint8_t)hsync,
        (uint8_t)(vfront << 4 | vsync),
        0,
        (uint8_t)width_mm,
        (uint8_t)height_mm,
        (uint8_t)((width_mm >> 8 & 15) << 4 | (height_mm >> 8 & 15)),
        0,
        0,
        0x18, /* digital, separate sync */
    };
    memcpy(t, bytes, sizeof(bytes));
}

static void text(uint8_t d[18], uint8_t tag, const char *value)
{
    size_t len = strlen(value);
    d[3] = tag;
    memset(d + 5, ' ', 13);
    memcpy(d + 5, value, len);
    d[5 + len] = '\n';
}

void gpu_edid(uint32_t xres, uint32_t yres, uint8_t edid[128])
{
    static const uint8_t head[] = {0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x49, 0xce, 0x01,
                                   0x00, 0,    0,    0,    0,    1,    32,   1,    4,    0xa5};
    static const uint8_t chroma[] = {0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54}; /* sRGB */
    static const uint8_t ranges[] = {50, 75, 30, 160, 255, 1, '\n', ' ', ' ', ' ', ' ', ' ', ' '};
    uint8_t sum = 0;

    memset(edid, 0, 128);
    memcpy(edid, head, sizeof(head));
    edid[21] = (uint8_t)MIN(xres * 254 / 9600, 255); /* cm */
    edid[22] = (uint8_t)MIN(yres * 254 / 9600, 255);
    edid[23] = 120;  /* gamma 2.2 */
    edid[24] = 0x06; /* sRGB, the first timing is the preferred one */
    memcpy(edid + 25, chroma, sizeof(chroma));
    memset(edid + 38, 1, 16); /* no standard timings */
    timing(MIN(xres, 4095), MIN(yres, 4095), edid + 54);
    edid[72 + 3] = 0xfd;
    memcpy(edid + 72 + 5, ranges, sizeof(ranges));
    text(edid + 90, 0xfc, "Ringer");
    edid[108 + 3] = 0x10; /* nothing */
    for (unsigned i = 0; i < 127; i++)
        sum += edid[i];
    edid[127] = (uint8_t)-sum;
}

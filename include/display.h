/* What a display device shows, as the host side (window, curses, screen dumps, monitor) sees it.
 *
 * The host side asks; the device never calls. All calls are made with the machine lock held. A picture is
 * always the whole screen.
 */
#pragma once

#include <glib.h>

#include "types.h"

struct display_cell {
    uint8_t ch;         /* code in the card's character set (code page 437 unless a font was loaded) */
    uint8_t foreground; /* attribute colours 0 to 15, before the palette */
    uint8_t background;
    uint8_t flags; /* DISPLAY_* */
};

#define DISPLAY_BLINK     0x01u
#define DISPLAY_UNDERLINE 0x02u

struct display_text {
    unsigned columns, rows;
    struct display_cell *cells; /* rows * columns; display_text_clear frees it */
    bool cursor_visible;
    unsigned cursor_column, cursor_row;
    uint32_t palette[16]; /* 0x00RRGGBB of the attribute colours */
};

struct display_pixels {
    unsigned width, height;
    uint32_t *pixels; /* 0x00RRGGBB, width * height, no padding; display_pixels_clear frees it */
};

#define DISPLAY_CURSOR_MAX 64u

/* A pointer that a card shows over its picture. */
struct display_cursor {
    int x, y;               /* of its left upper corner */
    unsigned width, height; /* at most DISPLAY_CURSOR_MAX; 0: none is shown */
    unsigned hot_x, hot_y;  /* its pixel that points */
    uint32_t
        pixels[DISPLAY_CURSOR_MAX * DISPLAY_CURSOR_MAX]; /* 0xAARRGGBB, multiplied by alpha; rows of width pixels */
};

struct display {
    /* False when the screen is not a text screen (out is then untouched). Reuses out->cells. */
    bool (*text)(void *opaque, struct display_text *out);
    /* The picture's size now. */
    void (*size)(void *opaque, unsigned *width, unsigned *height);
    /* Rows first to first + count of a picture of that size; false: it has another one by now. Small pieces, as the
     * lock is held meanwhile; a picture put together of them may be torn, as on a screen. */
    bool (*rows)(void *opaque, unsigned width, unsigned height, unsigned first, unsigned count, uint32_t *pixels);
    /* Another number than the time before if the picture may be another one (or was in between). Looks at a piece of
     * it, as the lock is held meanwhile; false: there is more, it is to be called again before there is a number. */
    bool (*serial)(void *opaque, uint64_t *serial);
    /* What may be another picture than when serial() said `since`: rows from *first up to but without *end, which may
     * be beyond the last; the number is of the last call of serial(). NULL: all of them. */
    void (*changed_rows)(void *opaque, uint64_t since, unsigned *first, unsigned *end);
    /* Of a card whose pointer somebody else may show, at a place that the user points at; else all three are NULL.
     * rows() without its pointer, which is in them else. */
    bool (*bare_rows)(void *opaque, unsigned width, unsigned height, unsigned first, unsigned count, uint32_t *pixels);
    /* The pointer over such rows, of a picture of any size. */
    void (*overlay)(void *opaque, unsigned width, unsigned first, unsigned count, uint32_t *pixels);
    /* False: it has pixels that are no colours (they invert what is below): it has to be drawn. */
    bool (*cursor)(void *opaque, struct display_cursor *out);
    void *opaque;
};

static inline void display_text_clear(struct display_text *text)
{
    g_free(text->cells);
    *text = (struct display_text){0};
}

static inline void display_pixels_clear(struct display_pixels *pixels)
{
    g_free(pixels->pixels);
    *pixels = (struct display_pixels){0};
}

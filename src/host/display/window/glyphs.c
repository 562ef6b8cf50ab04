/* Writing in the window: the video BIOS's font, which has all that the bar and the menu say. */
#include <string.h>

#include "host/display/screendump.h"
#include "internal.h"

extern const uint8_t glyphs_8x16[256 * GLYPH_HEIGHT]; /* made of bios/vga/font.txt */

void glyphs_fill(SDL_Surface *surface, int x, int y, int width, int height, uint32_t colour)
{
    SDL_Rect at = {x, y, width, height};
    SDL_FillRect(surface, &at, SDL_MapRGB(surface->format, colour >> 16, colour >> 8 & 0xff, colour & 0xff));
}

int glyphs_count(const char *text)
{
    return (int)g_utf8_strlen(text, -1);
}

static unsigned place_of(gunichar c)
{
    for (unsigned i = ' '; i < 256 + ' '; i++) {
        if (g_utf8_get_char(screendump_cp437((uint8_t)i)) == c)
            return i & 0xff;
    }
    return '?';
}

void glyphs_draw(SDL_Surface *surface, int x, int y, int unit, const char *text, uint32_t colour)
{
    for (const char *at = text; *at; at = g_utf8_next_char(at), x += GLYPH_WIDTH * unit) {
        const uint8_t *rows = &glyphs_8x16[place_of(g_utf8_get_char(at)) * GLYPH_HEIGHT];
        for (int row = 0; row < GLYPH_HEIGHT; row++) {
            for (int dot = 0; dot < GLYPH_WIDTH; dot++) {
                if (rows[row] & 0x80 >> dot)
                    glyphs_fill(surface, x + dot * unit, y + row * unit, unit, unit, colour);
            }
        }
    }
}

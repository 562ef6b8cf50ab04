/* The bar at the window's bottom: "Menu", a lamp for each drive and network, and what there is to say. */
#include <string.h>

#include "internal.h"
#include "log.h"

#define HEIGHT     20 /* dots */
#define SAY_US     (6 * G_USEC_PER_SEC)
#define LIT_US     (100 * 1000)
#define MARGIN     6
#define BACKGROUND 0x2b2d31
#define TEXT       0xd8d8d8
#define DARK       0x55585f
#define LIT        0x4cd964
#define BUTTON     0x3f434b

static struct {
    struct lamp {
        struct window_lamp last;
        int64_t lit_until; /* monotonic */
        bool is_lit;
    } lamps[WINDOW_LAMPS_MAX];
    unsigned lamp_count;
    char *said;
    int64_t said_until;
    const char *status;
    bool changed;
} bar;

int bar_height(void)
{
    return win.options.no_bar || window_is_full_screen() ? 0 : HEIGHT * window_unit();
}

void bar_say(const char *text)
{
    if (!text || !*text)
        return;
    SDL_Surface *surface = window_surface();
    int columns = surface && bar_height() ? surface->w / (GLYPH_WIDTH * window_unit()) - 8 : 0;
    if (glyphs_count(text) > columns) /* its end would not be seen */
        log_user("%s", text);
    g_free(bar.said);
    bar.said = g_utf8_make_valid(text, -1);
    bar.said_until = g_get_monotonic_time() + SAY_US;
    bar.changed = true;
}

static void lamps_look(int64_t now)
{
    struct window_lamp lamps[WINDOW_LAMPS_MAX];
    unsigned count = win.menu.lamps ? win.menu.lamps(win.menu.opaque, lamps) : 0;
    bar.changed |= count != bar.lamp_count;
    for (unsigned i = 0; i < count; i++) {
        struct lamp *lamp = &bar.lamps[i];
        bool is_known = i < bar.lamp_count && strcmp(lamp->last.name, lamps[i].name) == 0;
        if (is_known && lamp->last.count != lamps[i].count)
            lamp->lit_until = now + LIT_US;
        if (!is_known)
            lamp->lit_until = 0;
        bool is_lit = now < lamp->lit_until;
        bar.changed |= !is_known || is_lit != lamp->is_lit;
        lamp->is_lit = is_lit;
        lamp->last = lamps[i];
    }
    bar.lamp_count = count;
}

bool bar_look(void)
{
    int64_t now = g_get_monotonic_time();
    const char *status = win.hooks.status(win.hooks.opaque);
    if (!bar_height())
        return false;
    lamps_look(now);
    bar.changed |= g_strcmp0(status, bar.status) != 0;
    bar.status = status;
    if (bar.said && now >= bar.said_until) {
        g_clear_pointer(&bar.said, g_free);
        bar.changed = true;
    }
    return bar.changed;
}

static int menu_width(int unit)
{
    return (4 * GLYPH_WIDTH + 2 * MARGIN) * unit;
}

static int lamps_width(void)
{
    int dots = 0;
    for (unsigned i = 0; i < bar.lamp_count; i++)
        dots += 12 + glyphs_count(bar.lamps[i].last.name) * GLYPH_WIDTH + 2 * MARGIN;
    return dots * window_unit();
}

static const char *news_now(void)
{
    if (bar.said)
        return bar.said;
    return !bar.status || strcmp(bar.status, "running") == 0 ? "" : bar.status;
}

/* Long news take the lamps' place. */
void bar_draw(SDL_Surface *surface)
{
    int unit = window_unit(), height = bar_height(), top = surface->h - height, text = top + 2 * unit;
    int x = MARGIN * unit + menu_width(unit) + MARGIN * unit;
    bar.changed = false;
    if (!height)
        return;
    glyphs_fill(surface, 0, top, surface->w, height, BACKGROUND);
    glyphs_fill(surface, MARGIN * unit, top + 2 * unit, menu_width(unit), height - 4 * unit, BUTTON);
    glyphs_draw(surface, 2 * MARGIN * unit, text, unit, "Menu", TEXT);
    const char *news = news_now();
    int wanted = glyphs_count(news);
    bool fits = lamps_width() + wanted * GLYPH_WIDTH * unit < surface->w - x;
    for (unsigned i = 0; i < bar.lamp_count && fits; i++) {
        glyphs_fill(surface, x, top + 6 * unit, 8 * unit, 8 * unit, bar.lamps[i].is_lit ? LIT : DARK);
        x += 12 * unit;
        glyphs_draw(surface, x, text, unit, bar.lamps[i].last.name, TEXT);
        x += (glyphs_count(bar.lamps[i].last.name) * GLYPH_WIDTH + 2 * MARGIN) * unit;
    }
    int room = (surface->w - x - MARGIN * unit) / (GLYPH_WIDTH * unit);
    if (room < 1)
        return;
    char *shown = g_utf8_substring(news, 0, MIN(room, wanted));
    glyphs_draw(surface, surface->w - (MIN(room, wanted) * GLYPH_WIDTH + MARGIN) * unit, text, unit, shown, TEXT);
    g_free(shown);
}

bool bar_click(int x, int y)
{
    SDL_Surface *surface = window_surface();
    int unit = window_unit();
    if (!surface || !bar_height() || y < surface->h - bar_height())
        return false;
    if (menu_is_open())
        menu_close();
    else if (x < 2 * MARGIN * unit + menu_width(unit))
        menu_open(NULL, NULL);
    return true;
}

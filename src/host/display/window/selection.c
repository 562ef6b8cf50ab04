/* Text of a text screen, marked by dragging the pointer over it: shown inverted, from one cell to another in the order
 * in which it is read; what is marked when the button comes up is in the clipboard.
 */
#include <string.h>

#include "host/display/screendump.h"
#include "internal.h"
#include "lock.h"

static struct {
    bool is_dragging, is_marked;
    unsigned columns, rows;  /* of the screen */
    unsigned from, to;       /* cells, from the upper left corner on: where the button went down, where it is now */
    bool had_marks;          /* when it went down */
    struct display_text now; /* as it was looked at last */
} own;

/* False: it is no text screen. */
static bool text_look(void)
{
    machine_lock();
    bool is_text = win.display->text(win.display->opaque, &own.now);
    machine_unlock();
    return is_text && own.now.columns && own.now.rows;
}

static unsigned cell_at(int x, int y)
{
    unsigned width = MAX(picture_width() / own.columns, 1u), height = MAX(picture_height() / own.rows, 1u);
    picture_point(&x, &y);
    return MIN((unsigned)y / height, own.rows - 1) * own.columns + MIN((unsigned)x / width, own.columns - 1);
}

static unsigned first_cell(void)
{
    return MIN(own.from, own.to);
}

static unsigned last_cell(void)
{
    return MAX(own.from, own.to);
}

/* Rows of cells from one to another, in pixels, are to be drawn anew. */
static void touch(unsigned a, unsigned b)
{
    unsigned height = MAX(picture_height() / own.rows, 1u);
    picture_touch(MIN(a, b) / own.columns * height, (MAX(a, b) / own.columns + 1) * height);
}

void selection_clear(void)
{
    if (own.is_marked)
        touch(own.from, own.to);
    own.is_dragging = own.is_marked = false;
}

bool selection_is_dragging(void)
{
    return own.is_dragging;
}

bool selection_begin(int x, int y)
{
    SDL_Rect at = picture_place();
    SDL_Point point = {x, y};
    bool had_marks = own.is_marked;
    selection_clear();
    if (!SDL_PointInRect(&point, &at) || !picture_width() || !text_look())
        return false;
    own.columns = own.now.columns;
    own.rows = own.now.rows;
    own.from = own.to = cell_at(x, y);
    own.had_marks = had_marks;
    own.is_dragging = true;
    return true;
}

void selection_move(int x, int y)
{
    unsigned to = cell_at(x, y);
    if (to == own.to)
        return;
    touch(own.to, to);
    if (!own.is_marked)
        touch(own.from, own.from);
    own.to = to;
    own.is_marked = true;
}

/* Of each row without blanks at its end. */
static void text_of(GString *out)
{
    for (unsigned row = first_cell() / own.columns; row <= last_cell() / own.columns; row++) {
        unsigned start = row * own.columns, at = MAX(first_cell(), start);
        unsigned end = MIN(last_cell() + 1, start + own.columns);
        while (end > at && g_str_equal(screendump_cp437(own.now.cells[end - 1].ch), " "))
            end--;
        if (out->len || start > first_cell())
            g_string_append_c(out, '\n');
        for (; at < end; at++)
            g_string_append(out, screendump_cp437(own.now.cells[at].ch));
    }
}

bool selection_end(int x, int y)
{
    selection_move(x, y);
    own.is_dragging = false;
    if (!own.is_marked)
        return own.had_marks;
    if (!selection_look())
        return true;
    GString *text = g_string_new(NULL);
    text_of(text);
    if (text->str[strspn(text->str, "\n")] == 0)
        bar_say("There is nothing but blanks in what you marked");
    else if (SDL_SetClipboardText(text->str) == 0)
        bar_say("The marked text is in the clipboard");
    g_string_free(text, TRUE);
    return true;
}

bool selection_look(void)
{
    if (!own.is_marked && !own.is_dragging)
        return true;
    bool same = text_look() && own.now.columns == own.columns && own.now.rows == own.rows;
    if (!same)
        selection_clear();
    return same;
}

bool selection_invert(unsigned y, const uint32_t *from, uint32_t *to)
{
    if (!own.is_marked)
        return false;
    unsigned width = MAX(picture_width() / own.columns, 1u), height = MAX(picture_height() / own.rows, 1u);
    unsigned start = y / height * own.columns, first = MAX(first_cell(), start);
    unsigned end = MIN(last_cell() + 1, start + own.columns);
    if (first >= end)
        return false;
    for (unsigned x = 0; x < picture_width(); x++) {
        unsigned cell = start + x / width;
        to[x] = cell >= first && cell < end ? from[x] ^ 0xffffff : from[x];
    }
    return true;
}

void selection_free(void)
{
    own.is_dragging = own.is_marked = false;
    display_text_clear(&own.now);
}

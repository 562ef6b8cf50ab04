/* The menu: pages of rows that the machine's side names (window.h), above the bar; by key and by mouse. A row may ask
 * for a line, which is then typed where the rows were. */
#include <string.h>

#include "internal.h"

#define ROW         20 /* dots */
#define MARGIN      8
#define FRAME       0x55585f
#define BACKGROUND  0x1e1f22
#define TEXT        0xe4e4e4
#define KEYS        0x9a9da3
#define CHOSEN      0x2f65ca
#define ANSWER_MAX  4096u
#define DEPTH_MAX   8u
#define COLUMNS_MIN 24

struct page {
    char *name, *argument;
    unsigned chosen;
};

static struct {
    bool is_open;
    GQueue pages;     /* struct page: where we came from */
    struct page page; /* shown */
    GPtrArray *items;
    unsigned chosen, top; /* rows: under the cursor; the first one shown */
    bool is_fresh;        /* the user has not gone anywhere on this page */
    struct window_item *asking;
    GString *line;
    SDL_Rect at; /* where it was drawn */
    unsigned rows;
} menu = {.pages = G_QUEUE_INIT};

/* --- What the window can do by itself --- */

static void add(const char *label, enum window_action action, const char *keys, bool is_checked)
{
    struct window_item *item = window_item_new(label);
    item->action = action;
    item->keys = g_strdup(keys);
    item->is_checked = is_checked;
    g_ptr_array_add(menu.items, item);
}

static void add_page(const char *label, const char *page)
{
    struct window_item *item = window_item_new(label);
    item->page = g_strdup(page);
    g_ptr_array_add(menu.items, item);
}

static void fill_view(void)
{
    enum window_scaling scaling = win.options.scaling;
    add("Full screen", WINDOW_FULL_SCREEN, "Ctrl-Alt-F", window_is_full_screen());
    add("Actual size", WINDOW_NATURAL_SIZE, "Ctrl-Alt-U", false);
    add(NULL, WINDOW_NOTHING, NULL, false);
    add("Keep proportions", WINDOW_SCALING_PROPORTIONAL, NULL, scaling == WINDOW_PROPORTIONAL);
    add("Whole multiples only", WINDOW_SCALING_INTEGER, NULL, scaling == WINDOW_INTEGER);
    add("Fill the window", WINDOW_SCALING_FREE, NULL, scaling == WINDOW_FREE);
    add(NULL, WINDOW_NOTHING, NULL, false);
    add("Sharp pixels", WINDOW_SHARP, NULL, win.options.sharp);
}

static void fill_first(void)
{
    add_page("View", "view");
    add("Copy the screen's text", WINDOW_COPY, "Ctrl-Alt-C", false);
    add("Type the clipboard", WINDOW_TYPE, "Ctrl-Alt-V", false);
    add(win.grabbed ? "Release the pointer" : "Give the pointer to the guest", WINDOW_GRAB, "Ctrl-Alt-G", false);
    add(NULL, WINDOW_NOTHING, NULL, false);
    add("Close", WINDOW_CLOSE, NULL, false);
}

/* --- Pages --- */

static void page_clear(struct page *page)
{
    g_free(page->name);
    g_free(page->argument);
    *page = (struct page){0};
}

static void asking_end(void)
{
    if (!menu.asking)
        return;
    menu.asking = NULL;
    SDL_StopTextInput();
}

static bool is_row(unsigned i)
{
    return i < menu.items->len && ((struct window_item *)g_ptr_array_index(menu.items, i))->label;
}

static void step(int direction)
{
    for (unsigned tries = 0; tries < menu.items->len; tries++) {
        menu.chosen = (menu.chosen + menu.items->len + (unsigned)direction) % menu.items->len;
        if (is_row(menu.chosen))
            return;
    }
}

static void page_show(unsigned chosen)
{
    const char *name = menu.page.name;
    asking_end();
    if (menu.items)
        g_ptr_array_unref(menu.items);
    menu.items = g_ptr_array_new_with_free_func(window_item_free);
    if (name && strcmp(name, "view") == 0)
        fill_view();
    else if (win.menu.fill)
        win.menu.fill(win.menu.opaque, name, menu.page.argument, menu.items);
    if (!name)
        fill_first();
    menu.chosen = chosen < menu.items->len ? chosen : 0;
    menu.is_fresh = true;
    menu.top = 0;
    if (!is_row(menu.chosen))
        step(1);
    win.exposed = true;
}

static void page_enter(const char *name, const char *argument)
{
    struct page next = {g_strdup(name), g_strdup(argument), 0};
    if (g_queue_get_length(&menu.pages) >= DEPTH_MAX) {
        page_clear(&next);
        return;
    }
    struct page *left = g_new(struct page, 1);
    *left = menu.page;
    left->chosen = menu.chosen;
    g_queue_push_tail(&menu.pages, left);
    menu.page = next;
    page_show(0);
}

static void page_leave(void)
{
    struct page *back = g_queue_pop_tail(&menu.pages);
    if (!back) {
        menu_close();
        return;
    }
    page_clear(&menu.page);
    menu.page = *back;
    g_free(back);
    page_show(menu.page.chosen);
}

bool menu_is_open(void)
{
    return menu.is_open;
}

void menu_open(const char *page, const char *argument)
{
    menu_close();
    window_let_go();
    menu.is_open = true;
    menu.page = (struct page){g_strdup(page), g_strdup(argument), 0};
    page_show(0);
}

void menu_close(void)
{
    struct page *page;
    if (!menu.is_open)
        return;
    asking_end();
    menu.is_open = false;
    while ((page = g_queue_pop_tail(&menu.pages))) {
        page_clear(page);
        g_free(page);
    }
    page_clear(&menu.page);
    g_clear_pointer(&menu.items, g_ptr_array_unref);
    if (menu.line)
        g_string_free(menu.line, TRUE);
    menu.line = NULL;
    win.exposed = true;
}

/* --- Choosing --- */

static void run(const struct window_item *item, const char *word)
{
    char *said = win.menu.run ? win.menu.run(win.menu.opaque, item->command, word) : NULL;
    char *news = said && *g_strstrip(said) ? g_strdup(said) : g_strdup(item->done);
    menu_close();
    bar_say(news);
    g_free(news);
    g_free(said);
}

static void ask(struct window_item *item)
{
    menu.asking = item;
    menu.line = menu.line ? g_string_truncate(menu.line, 0) : g_string_new(NULL);
    SDL_StartTextInput();
    win.exposed = true;
}

static void answer(void)
{
    if (menu.line->len)
        run(menu.asking, menu.line->str);
    else
        menu_close();
}

static void choose(void)
{
    if (!is_row(menu.chosen))
        return;
    struct window_item *item = g_ptr_array_index(menu.items, menu.chosen);
    if (item->page) {
        page_enter(item->page, item->argument);
    } else if (item->question) {
        ask(item);
    } else if (item->command) {
        run(item, item->argument);
    } else {
        enum window_action action = item->action;
        menu_close();
        window_act(action);
    }
}

/* --- Keys --- */

static void line_paste(void)
{
    char *text = SDL_GetClipboardText();
    if (text) {
        text[strcspn(text, "\r\n")] = 0;
        menu_text(text);
    }
    SDL_free(text);
}

void menu_text(const char *utf8)
{
    if (!menu.asking || !g_utf8_validate(utf8, -1, NULL) || menu.line->len + strlen(utf8) > ANSWER_MAX)
        return;
    g_string_append(menu.line, utf8);
    win.exposed = true;
}

static void line_key(const SDL_Keysym *key)
{
    switch (key->sym) {
    case SDLK_RETURN:
    case SDLK_KP_ENTER:
        answer();
        break;
    case SDLK_ESCAPE:
        asking_end();
        break;
    case SDLK_BACKSPACE:
        if (menu.line->len)
            g_string_truncate(menu.line, (gsize)(g_utf8_prev_char(menu.line->str + menu.line->len) - menu.line->str));
        break;
    case SDLK_v:
        if (key->mod & KMOD_CTRL)
            line_paste();
        break;
    case SDLK_u:
        if (key->mod & KMOD_CTRL)
            g_string_truncate(menu.line, 0);
        break;
    default:
        break;
    }
    win.exposed = true;
}

/* The next row that begins with this letter; at first it may be the one that the cursor is on. */
static void letter(char c)
{
    for (unsigned i = menu.is_fresh ? 0 : 1; i <= menu.items->len; i++) {
        unsigned at = (menu.chosen + i) % menu.items->len;
        if (is_row(at) && g_ascii_tolower(((struct window_item *)g_ptr_array_index(menu.items, at))->label[0]) ==
                              g_ascii_tolower(c)) {
            menu.chosen = at;
            menu.is_fresh = false;
            return;
        }
    }
}

void menu_key(const SDL_Keysym *key)
{
    if (menu.asking) {
        line_key(key);
        return;
    }
    win.exposed = true;
    menu.is_fresh &= key->sym > ' ' && key->sym < 0x7f;
    switch (key->sym) {
    case SDLK_UP:
        step(-1);
        break;
    case SDLK_DOWN:
        step(1);
        break;
    case SDLK_HOME:
        menu.chosen = menu.items->len - 1;
        step(1);
        break;
    case SDLK_END:
        menu.chosen = 0;
        step(-1);
        break;
    case SDLK_RETURN:
    case SDLK_KP_ENTER:
    case SDLK_SPACE:
    case SDLK_RIGHT:
        choose();
        break;
    case SDLK_ESCAPE:
    case SDLK_LEFT:
    case SDLK_BACKSPACE:
        page_leave();
        break;
    default:
        if (key->sym > ' ' && key->sym < 0x7f)
            letter((char)key->sym);
        break;
    }
}

/* --- The mouse --- */

static bool row_at(int x, int y, unsigned *row)
{
    int unit = window_unit();
    SDL_Rect at = menu.at;
    if (x < at.x || x >= at.x + at.w || y < at.y + unit || y >= at.y + at.h - unit)
        return false;
    *row = menu.top + (unsigned)((y - at.y - unit) / (ROW * unit));
    return *row < menu.items->len;
}

void menu_point(int x, int y)
{
    unsigned row;
    if (menu.asking || !row_at(x, y, &row) || !is_row(row) || row == menu.chosen)
        return;
    menu.chosen = row;
    win.exposed = true;
}

void menu_click(int x, int y)
{
    unsigned row;
    SDL_Rect at = menu.at;
    if (x < at.x || x >= at.x + at.w || y < at.y || y >= at.y + at.h) {
        menu_close();
    } else if (!menu.asking && row_at(x, y, &row) && is_row(row)) {
        menu.chosen = row;
        choose();
    }
}

void menu_wheel(int rows)
{
    for (; rows && !menu.asking; rows += rows < 0 ? 1 : -1)
        step(rows < 0 ? 1 : -1);
    win.exposed = true;
}

/* --- Drawing --- */

static int columns(void)
{
    int most = COLUMNS_MIN;
    for (unsigned i = 0; i < menu.items->len; i++) {
        const struct window_item *item = g_ptr_array_index(menu.items, i);
        int keys = item->keys ? glyphs_count(item->keys) + 3 : 0;
        if (item->label)
            most = MAX(most, glyphs_count(item->label) + keys + 4);
    }
    return most;
}

static void row_draw(SDL_Surface *surface, const struct window_item *item, bool is_chosen, SDL_Rect at)
{
    int unit = window_unit(), y = at.y + 2 * unit, text = at.x + (MARGIN + 2 * GLYPH_WIDTH) * unit;
    if (!item->label) {
        glyphs_fill(surface, at.x + unit, at.y + ROW / 2 * unit, at.w - 2 * unit, unit, FRAME);
        return;
    }
    if (is_chosen)
        glyphs_fill(surface, at.x + unit, at.y, at.w - 2 * unit, at.h, CHOSEN);
    if (item->is_checked)
        glyphs_draw(surface, at.x + MARGIN * unit, y, unit, "√", TEXT);
    glyphs_draw(surface, text, y, unit, item->label, TEXT);
    const char *right = item->page ? "►" : item->keys;
    if (right)
        glyphs_draw(surface, at.x + at.w - (MARGIN + glyphs_count(right) * GLYPH_WIDTH) * unit, y, unit, right,
                    is_chosen ? TEXT : KEYS);
}

/* Its end is what the user looks at. */
static void line_draw(SDL_Surface *surface, SDL_Rect at)
{
    int unit = window_unit(), room = (at.w / unit - 2 * MARGIN) / GLYPH_WIDTH - 1;
    glyphs_draw(surface, at.x + MARGIN * unit, at.y + 2 * unit, unit, menu.asking->question, KEYS);
    int length = glyphs_count(menu.line->str), from = MAX(length - room, 0);
    char *shown = g_utf8_substring(menu.line->str, from, length);
    char *with_cursor = g_strconcat(shown, "_", NULL);
    glyphs_draw(surface, at.x + MARGIN * unit, at.y + (ROW + 2) * unit, unit, with_cursor, TEXT);
    g_free(with_cursor);
    g_free(shown);
}

void menu_draw(SDL_Surface *surface)
{
    int unit = window_unit();
    if (!menu.is_open)
        return;
    int bottom = surface->h - bar_height();
    unsigned fit = (unsigned)MAX((bottom - 2 * unit) / (ROW * unit), 1);
    unsigned rows = menu.asking ? 2 : MIN(menu.items->len, fit);
    int width = menu.asking ? surface->w : (columns() * GLYPH_WIDTH + 2 * MARGIN) * unit;
    if (menu.chosen < menu.top)
        menu.top = menu.chosen;
    if (menu.chosen >= menu.top + rows)
        menu.top = menu.chosen - rows + 1;
    int height = ((int)rows * ROW + 2) * unit;
    menu.at = (SDL_Rect){0, MAX(bottom - height, 0), MIN(width, surface->w), height};
    glyphs_fill(surface, menu.at.x, menu.at.y, menu.at.w, menu.at.h, FRAME);
    glyphs_fill(surface, menu.at.x + unit, menu.at.y + unit, menu.at.w - 2 * unit, menu.at.h - 2 * unit, BACKGROUND);
    SDL_Rect row = {menu.at.x, menu.at.y + unit, menu.at.w, ROW * unit};
    if (menu.asking) {
        line_draw(surface, row);
        return;
    }
    for (unsigned i = menu.top; i < menu.top + rows && i < menu.items->len; i++, row.y += row.h)
        row_draw(surface, g_ptr_array_index(menu.items, i), i == menu.chosen, row);
}

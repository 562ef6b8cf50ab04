/* The guest's text screen on the terminal, 30 times a second where it changed; the terminal's keys as a PS/2
 * keyboard's. See display_curses.h.
 */
#define NCURSES_WIDECHAR 1
#include "display_curses.h"

#include <curses.h>
#include <glib-unix.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keys.h"
#include "screendump.h"
#include "vclock.h"

#define REFRESH_MS 33
#define HOLD_MS    20

static struct {
    bool open;
    const struct display *display;
    void (*quit)(void *opaque);
    void *opaque;
    struct display_text text, shown;
    bool redraw, asking;
    guint timer, input;
} screen;

/* The VGA's colours in the terminal's order: red and blue change places. */
static short terminal_colour(unsigned colour)
{
    return (short)((colour & 2) | (colour & 1) << 2 | (colour >> 2 & 1));
}

/* Pair 0 cannot be changed: with room for 64 more it is left alone. */
static short pair_first(void)
{
    return COLOR_PAIRS > 64 ? 1 : 0;
}

static short pair_of(const struct display_cell *cell)
{
    return (short)(pair_first() + (cell->background & 7) * 8 + (cell->foreground & 7));
}

static void cell_draw(unsigned x, unsigned y, const struct display_cell *cell)
{
    attr_t attributes = cell->foreground & 8 ? A_BOLD : A_NORMAL;
    if (cell->flags & DISPLAY_BLINK)
        attributes |= A_BLINK;
    if (cell->flags & DISPLAY_UNDERLINE)
        attributes |= A_UNDERLINE;
    wattr_set(stdscr, attributes, has_colors() ? pair_of(cell) : 0, NULL);
    mvaddstr((int)y, (int)x, screendump_cp437(cell->ch));
}

static void say(const char *line)
{
    int rows, columns;
    getmaxyx(stdscr, rows, columns);
    wattr_set(stdscr, A_REVERSE, 0, NULL);
    mvaddnstr(rows - 1, 0, line, columns);
}

static void text_draw(void)
{
    struct display_text *text = &screen.text, *shown = &screen.shown;
    int rows, columns;

    getmaxyx(stdscr, rows, columns);
    bool all = screen.redraw || text->columns != shown->columns || text->rows != shown->rows;
    if (all)
        erase();
    for (unsigned y = 0; y < text->rows && y < (unsigned)rows; y++) {
        for (unsigned x = 0; x < text->columns && x < (unsigned)columns; x++) {
            const struct display_cell *cell = &text->cells[y * text->columns + x];
            if (all || memcmp(cell, &shown->cells[y * text->columns + x], sizeof(*cell)) != 0)
                cell_draw(x, y, cell);
        }
    }
    bool visible = text->cursor_visible && text->cursor_row < (unsigned)rows && text->cursor_column < (unsigned)columns;
    curs_set(visible);
    if (screen.asking)
        say("ringer: q ends the machine, any other key goes back");
    if (visible)
        move((int)text->cursor_row, (int)text->cursor_column);
    refresh();
    struct display_text old = *shown;
    *shown = *text;
    *text = old; /* its cells are used again */
    screen.redraw = false;
}

static void graphics_say(void)
{
    char line[80];
    unsigned width, height;
    machine_lock();
    screen.display->size(screen.display->opaque, &width, &height);
    machine_unlock();
    g_snprintf(line, sizeof(line), "%u x %u graphics mode", width, height);
    erase();
    curs_set(0);
    wattr_set(stdscr, A_NORMAL, 0, NULL);
    mvaddstr(0, 0, line);
    if (screen.asking)
        say("ringer: q ends the machine, any other key goes back");
    refresh();
    screen.redraw = true;
}

static gboolean screen_refresh(gpointer opaque)
{
    machine_lock();
    bool is_text = screen.display->text(screen.display->opaque, &screen.text);
    machine_unlock();
    if (is_text)
        text_draw();
    else
        graphics_say();
    return G_SOURCE_CONTINUE;
}

/* --- Keys --- */

static const struct {
    int key;
    uint16_t code;
} special[] = {
    {KEY_UP, 0xe048},      {KEY_DOWN, 0xe050},  {KEY_LEFT, 0xe04b},  {KEY_RIGHT, 0xe04d}, {KEY_HOME, 0xe047},
    {KEY_END, 0xe04f},     {KEY_PPAGE, 0xe049}, {KEY_NPAGE, 0xe051}, {KEY_IC, 0xe052},    {KEY_DC, 0xe053},
    {KEY_BACKSPACE, 0x0e}, {KEY_ENTER, 0x1c},   {KEY_F(1), 0x3b},    {KEY_F(2), 0x3c},    {KEY_F(3), 0x3d},
    {KEY_F(4), 0x3e},      {KEY_F(5), 0x3f},    {KEY_F(6), 0x40},    {KEY_F(7), 0x41},    {KEY_F(8), 0x42},
    {KEY_F(9), 0x43},      {KEY_F(10), 0x44},   {KEY_F(11), 0x57},   {KEY_F(12), 0x58},
};

static unsigned key_codes(int key, uint16_t code[KEYS_COMBO_MAX])
{
    for (unsigned i = 0; i < G_N_ELEMENTS(special); i++) {
        if (special[i].key == key) {
            code[0] = special[i].code;
            return 1;
        }
    }
    if (key == KEY_BTAB) {
        code[0] = 0x2a;
        code[1] = 0x0f;
        return 2;
    }
    return key >= 0 && key < 0x80 ? keys_of_char((unsigned char)key, code) : 0;
}

static gboolean key_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    int key;
    while ((key = getch()) != ERR) {
        uint16_t code[KEYS_COMBO_MAX + 1] = {0x38}; /* Alt, if it is */
        bool alt = false;
        if (key == KEY_RESIZE) {
            screen.redraw = true;
            continue;
        }
        if (screen.asking) {
            screen.asking = false;
            screen.redraw = true;
            if (key == 'q')
                screen.quit(screen.opaque);
            continue;
        }
        if (key == 0x1b) { /* terminals send Alt as Esc before the key */
            int next = getch();
            if (next != ERR) {
                alt = true;
                key = next;
            }
        }
        if (alt && key == '2') {
            screen.asking = true;
            continue;
        }
        unsigned count = key_codes(key, code + 1);
        if (count)
            keys_press(code + !alt, count + alt, HOLD_MS);
    }
    if (condition & (G_IO_HUP | G_IO_ERR)) {
        screen.input = 0;
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

bool curses_open(const struct display *display, void (*quit)(void *opaque), void *opaque, GError **error)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "-display curses: standard input and output are not a terminal; use -display none");
        return false;
    }
    setlocale(LC_CTYPE, "");
    if (!newterm(NULL, stdout, stdin)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "-display curses: the terminal type '%s' is not known; set TERM", g_getenv("TERM"));
        return false;
    }
    screen.open = true;
    screen.display = display;
    screen.quit = quit;
    screen.opaque = opaque;
    screen.redraw = true;
    raw();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(25);
    if (has_colors()) {
        start_color();
        for (short i = 0; i < 64; i++) {
            if (i + pair_first())
                init_pair(i + pair_first(), terminal_colour(i & 7), terminal_colour((unsigned)i >> 3));
        }
    }
    screen.timer = g_timeout_add(REFRESH_MS, screen_refresh, NULL);
    screen.input = g_unix_fd_add(STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, key_ready, NULL);
    atexit(curses_close);
    return true;
}

void curses_close(void)
{
    if (!screen.open)
        return;
    screen.open = false;
    g_source_remove(screen.timer);
    if (screen.input)
        g_source_remove(screen.input);
    endwin();
    display_text_clear(&screen.text);
    display_text_clear(&screen.shown);
}

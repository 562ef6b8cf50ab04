/* A line being typed. See lineedit.h; control sequences are those of ECMA-48 that every terminal knows. */
#include "lineedit.h"

#include <stdio.h>
#include <string.h>

#define HISTORY_MAX 64

enum key_state { KEY_PLAIN, KEY_ESCAPE, KEY_CSI, KEY_SS3 };

struct lineedit {
    const struct lineedit_ops *ops;
    void *opaque;
    char *prompt;
    size_t limit;
    GString *text;
    size_t cursor; /* in bytes */
    GPtrArray *history;
    unsigned recalled; /* number in history that is shown; history->len: none */
    char *draft;       /* what was typed before that */
    enum key_state state;
    unsigned argument; /* of a control sequence */
    bool too_long;     /* something of it was not taken: it will not be, either */
    bool after_return; /* a line feed right behind belongs to it */
};

static void show(struct lineedit *edit, const char *text, size_t len)
{
    if (len)
        edit->ops->show(edit->opaque, text, len);
}

static void show_text(struct lineedit *edit, const char *text)
{
    show(edit, text, strlen(text));
}

struct lineedit *lineedit_new(const struct lineedit_ops *ops, void *opaque, const char *prompt, size_t limit)
{
    struct lineedit *edit = g_new0(struct lineedit, 1);
    edit->ops = ops;
    edit->opaque = opaque;
    edit->prompt = g_strdup(prompt);
    edit->limit = limit;
    edit->text = g_string_new(NULL);
    edit->history = g_ptr_array_new_with_free_func(g_free);
    return edit;
}

void lineedit_free(struct lineedit *edit)
{
    g_free(edit->prompt);
    g_free(edit->draft);
    g_string_free(edit->text, TRUE);
    g_ptr_array_unref(edit->history);
    g_free(edit);
}

void lineedit_reset(struct lineedit *edit)
{
    g_string_truncate(edit->text, 0);
    edit->cursor = 0;
    edit->state = KEY_PLAIN;
    edit->after_return = edit->too_long = false;
    edit->recalled = edit->history->len;
}

void lineedit_prompt(struct lineedit *edit)
{
    show_text(edit, edit->prompt);
    show(edit, edit->text->str, edit->text->len);
    for (size_t i = edit->cursor; i < edit->text->len; i++)
        show(edit, "\b", 1);
}

const char *lineedit_history(const struct lineedit *edit, unsigned i)
{
    return i < edit->history->len ? g_ptr_array_index(edit->history, i) : NULL;
}

/* --- Showing --- */

static void move(struct lineedit *edit, size_t to)
{
    for (; edit->cursor > to; edit->cursor--)
        show(edit, "\b", 1);
    if (edit->cursor < to)
        show(edit, edit->text->str + edit->cursor, to - edit->cursor);
    edit->cursor = to;
}

/* The text from `from`, where the cursor stands, to the end is another one now. */
static void show_rest(struct lineedit *edit, bool shorter)
{
    size_t at = edit->cursor;
    show(edit, edit->text->str + at, edit->text->len - at);
    if (shorter)
        show(edit, "\033[K", 3);
    for (size_t i = at; i < edit->text->len; i++)
        show(edit, "\b", 1);
}

static void insert(struct lineedit *edit, const char *text, size_t len)
{
    if (edit->text->len + len > edit->limit) {
        edit->too_long = true;
        return;
    }
    g_string_insert_len(edit->text, (gssize)edit->cursor, text, (gssize)len);
    show(edit, text, len);
    edit->cursor += len;
    if (edit->cursor < edit->text->len)
        show_rest(edit, false);
}

static void erase(struct lineedit *edit, size_t from, size_t to)
{
    if (from >= to)
        return;
    move(edit, from);
    g_string_erase(edit->text, (gssize)from, (gssize)(to - from));
    show_rest(edit, true);
}

static void replace(struct lineedit *edit, const char *text)
{
    erase(edit, 0, edit->text->len);
    insert(edit, text, strlen(text));
}

/* --- Keys --- */

static size_t word_before(const struct lineedit *edit)
{
    size_t at = edit->cursor;
    while (at && edit->text->str[at - 1] == ' ')
        at--;
    while (at && edit->text->str[at - 1] != ' ')
        at--;
    return at;
}

static size_t word_behind(const struct lineedit *edit)
{
    size_t at = edit->cursor;
    while (at < edit->text->len && edit->text->str[at] == ' ')
        at++;
    while (at < edit->text->len && edit->text->str[at] != ' ')
        at++;
    return at;
}

static void recall(struct lineedit *edit, int step)
{
    if ((step < 0 && edit->recalled == 0) || (step > 0 && edit->recalled >= edit->history->len))
        return;
    if (edit->recalled >= edit->history->len) {
        g_free(edit->draft);
        edit->draft = g_strdup(edit->text->str);
    }
    edit->recalled += (unsigned)step;
    const char *line = lineedit_history(edit, edit->recalled);
    replace(edit, line ? line : edit->draft ? edit->draft : "");
}

static void remember(struct lineedit *edit, const char *line)
{
    for (unsigned i = 0; i < edit->history->len; i++) {
        if (strcmp(g_ptr_array_index(edit->history, i), line) == 0) {
            g_ptr_array_remove_index(edit->history, i);
            break;
        }
    }
    if (edit->history->len == HISTORY_MAX)
        g_ptr_array_remove_index(edit->history, 0);
    g_ptr_array_add(edit->history, g_strdup(line));
}

static void enter(struct lineedit *edit)
{
    char *line = g_strdup(edit->text->str);
    move(edit, edit->text->len);
    bool too_long = edit->too_long;
    show(edit, "\r\n", 2);
    if (*line && !too_long)
        remember(edit, line);
    lineedit_reset(edit);
    if (too_long) {
        show_text(edit, "that line is too long\r\n");
        lineedit_prompt(edit);
    } else {
        edit->ops->line(edit->opaque, line);
    }
    g_free(line);
}

static size_t common_prefix(const GPtrArray *words)
{
    const char *first = g_ptr_array_index(words, 0);
    size_t len = strlen(first);
    for (unsigned i = 1; i < words->len; i++) {
        const char *other = g_ptr_array_index(words, i);
        for (size_t n = 0; n < len; n++) {
            if (first[n] != other[n])
                len = n;
        }
    }
    return len;
}

static void candidates_show(struct lineedit *edit, GPtrArray *words)
{
    show(edit, "\r\n", 2);
    for (unsigned i = 0; i < words->len; i++) {
        char column[24];
        g_snprintf(column, sizeof(column), "%-19s", (const char *)g_ptr_array_index(words, i));
        show_text(edit, column);
        show_text(edit, i % 4 == 3 || i + 1 == words->len ? "\r\n" : " ");
    }
    lineedit_prompt(edit);
}

static void complete(struct lineedit *edit)
{
    if (!edit->ops->complete)
        return;
    char *before = g_strndup(edit->text->str, edit->cursor);
    const char *blank = strrchr(before, ' ');
    size_t typed = strlen(blank ? blank + 1 : before);
    GPtrArray *words = edit->ops->complete(edit->opaque, before);
    if (words && words->len) {
        const char *first = g_ptr_array_index(words, 0);
        size_t len = common_prefix(words);
        if (len > typed)
            insert(edit, first + typed, len - typed);
        if (words->len == 1)
            insert(edit, " ", 1);
        else if (len <= typed)
            candidates_show(edit, words);
    }
    if (words)
        g_ptr_array_unref(words);
    g_free(before);
}

static void delete_here(struct lineedit *edit)
{
    if (edit->cursor < edit->text->len)
        erase(edit, edit->cursor, edit->cursor + 1);
}

static void plain_key(struct lineedit *edit, uint8_t key)
{
    bool after_return = edit->after_return;
    edit->after_return = false;
    switch (key) {
    case 1: /* Ctrl-A */
        move(edit, 0);
        break;
    case 2:
        if (edit->cursor)
            move(edit, edit->cursor - 1);
        break;
    case 4:
        delete_here(edit);
        break;
    case 5:
        move(edit, edit->text->len);
        break;
    case 6:
        if (edit->cursor < edit->text->len)
            move(edit, edit->cursor + 1);
        break;
    case 8:
    case 127:
        if (edit->cursor)
            erase(edit, edit->cursor - 1, edit->cursor);
        break;
    case '\t':
        complete(edit);
        break;
    case '\n':
        if (after_return)
            break;
        enter(edit);
        break;
    case '\r':
        enter(edit);
        edit->after_return = true;
        break;
    case 11: /* Ctrl-K */
        erase(edit, edit->cursor, edit->text->len);
        break;
    case 12:
        show_text(edit, "\033[H\033[2J");
        lineedit_prompt(edit);
        break;
    case 14:
        recall(edit, 1);
        break;
    case 16:
        recall(edit, -1);
        break;
    case 21:
        erase(edit, 0, edit->cursor);
        break;
    case 23:
        erase(edit, word_before(edit), edit->cursor);
        break;
    case 27:
        edit->state = KEY_ESCAPE;
        break;
    default:
        if (key >= 32)
            insert(edit, (const char *)&key, 1);
    }
}

static void sequence_key(struct lineedit *edit, uint8_t key)
{
    switch (key) {
    case 'A':
        recall(edit, -1);
        break;
    case 'B':
        recall(edit, 1);
        break;
    case 'C':
        plain_key(edit, 6);
        break;
    case 'D':
        plain_key(edit, 2);
        break;
    case 'H':
        move(edit, 0);
        break;
    case 'F':
        move(edit, edit->text->len);
        break;
    case '~': /* ESC [ n ~: Home, Delete, End */
        if (edit->argument == 1 || edit->argument == 7)
            move(edit, 0);
        else if (edit->argument == 3)
            delete_here(edit);
        else if (edit->argument == 4 || edit->argument == 8)
            move(edit, edit->text->len);
        break;
    }
}

static void take_key(struct lineedit *edit, uint8_t key)
{
    switch (edit->state) {
    case KEY_PLAIN:
        plain_key(edit, key);
        break;
    case KEY_ESCAPE:
        edit->state = key == '[' ? KEY_CSI : key == 'O' ? KEY_SS3 : KEY_PLAIN;
        edit->argument = 0;
        if (key == 'b')
            move(edit, word_before(edit));
        else if (key == 'f')
            move(edit, word_behind(edit));
        break;
    case KEY_CSI:
        if (g_ascii_isdigit(key)) {
            edit->argument = MIN(edit->argument, 999) * 10 + (key - '0');
        } else if (key < 0x20 || key > 0x3f) { /* the final byte */
            edit->state = KEY_PLAIN;
            sequence_key(edit, key);
        }
        break;
    case KEY_SS3:
        edit->state = KEY_PLAIN;
        sequence_key(edit, key);
        break;
    }
}

void lineedit_feed(struct lineedit *edit, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        take_key(edit, bytes[i]);
}

/* Text that host and guest share: see clipboard.h. */
#include "clipboard.h"

#include <glib.h>
#include <string.h>

static struct {
    char *text;
    uint64_t serial;
} sides[2];

void clipboard_offer(enum clipboard_side from, const char *text, size_t len)
{
    g_free(sides[from].text);
    sides[from].text = g_utf8_make_valid(text, (gssize)strnlen(text, MIN(len, CLIPBOARD_MAX)));
    if (strlen(sides[from].text) > CLIPBOARD_MAX) { /* made longer: each such byte is three now */
        const char *end = g_utf8_find_prev_char(sides[from].text, sides[from].text + CLIPBOARD_MAX);
        sides[from].text[end - sides[from].text] = 0;
    }
    sides[from].serial++;
}

const char *clipboard_text(enum clipboard_side from, uint64_t *serial)
{
    *serial = sides[from].serial;
    return sides[from].text;
}

char *clipboard_news(enum clipboard_side from, uint64_t *serial)
{
    if (sides[from].serial == *serial)
        return NULL;
    *serial = sides[from].serial;
    return g_strdup(sides[from].text);
}

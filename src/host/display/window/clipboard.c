/* The desktop's clipboard: a text screen copied to it, and what is in it typed for the guest. */
#include <string.h>

#include "host/display/keys.h"
#include "host/display/screendump.h"
#include "internal.h"

#define HOLD_MS 10

void clipboard_copy_screen(void)
{
    GString *text = g_string_new(NULL);
    if (screendump_text(win.display, text) && SDL_SetClipboardText(text->str) == 0)
        bar_say("The screen's text is in the clipboard");
    else
        bar_say("This is not a text screen: take a screenshot");
    g_string_free(text, TRUE);
}

/* As a person would with a US keyboard, which is what a guest has at first. */
void clipboard_type(void)
{
    char *text = SDL_GetClipboardText();
    unsigned missing = 0;
    bool ok = true;
    for (const char *at = text; at && *at && ok; at = g_utf8_find_next_char(at, NULL)) {
        uint16_t code[KEYS_COMBO_MAX];
        if (at[0] == '\r' && at[1] == '\n')
            continue;
        unsigned count = (unsigned char)*at < 0x80 ? keys_of_char((unsigned char)*at, code) : 0;
        missing += count == 0;
        ok = !count || keys_press(code, count, HOLD_MS);
    }
    if (!text || !*text)
        bar_say("The clipboard has no text");
    else if (!ok)
        bar_say("The clipboard's text is too long: its beginning is typed");
    else if (missing)
        bar_say("Characters that a US keyboard does not have were left out");
    SDL_free(text);
}

/* The desktop's clipboard: a text screen copied to it, what is in it typed for the guest, and shared with a guest whose
 * tools ask for it (clipboard.h). */
#include <string.h>

#include "clipboard.h"
#include "host/display/keys.h"
#include "host/display/screendump.h"
#include "internal.h"
#include "lock.h"

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

/* Given when the user comes to the window: a clipboard is another program's, which takes its time to answer. */
void clipboard_give(void)
{
    char *text = SDL_HasClipboardText() ? SDL_GetClipboardText() : NULL;
    uint64_t serial;
    machine_lock();
    const char *before = clipboard_text(CLIPBOARD_HOST, &serial), *own = clipboard_text(CLIPBOARD_GUEST, &serial);
    if (text && *text && g_strcmp0(text, before) != 0 && g_strcmp0(text, own) != 0)
        clipboard_offer(CLIPBOARD_HOST, text, strlen(text));
    machine_unlock();
    SDL_free(text);
}

void clipboard_take(void)
{
    static uint64_t taken;
    machine_lock();
    char *own = clipboard_news(CLIPBOARD_GUEST, &taken);
    machine_unlock();
    if (own)
        SDL_SetClipboardText(own);
    g_free(own);
}

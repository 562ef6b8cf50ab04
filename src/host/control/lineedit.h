/* A line being typed on a terminal: editing keys, history, completion. It knows no terminal: bytes in, bytes out.
 *
 * Keys are those of QEMU's monitor, which are Emacs's and a VT100's: Ctrl-A E B F D H K W U L P N, arrows, Home, End,
 * Delete, Tab, Enter; Alt-B and Alt-F by words.
 */
#pragma once

#include <glib.h>

#include "types.h"

struct lineedit;

struct lineedit_ops {
    /* To the terminal. */
    void (*show)(void *opaque, const char *text, size_t len);
    /* A line has been entered (without its end). It may call lineedit_prompt(), and must not free the editor. */
    void (*line)(void *opaque, const char *line);
    /* What the text before the cursor can go on with: whole last words (g_ptr_array_unref). NULL: no completion. */
    GPtrArray *(*complete)(void *opaque, const char *text);
};

/* limit: bytes of the longest line; what is longer is not taken. What is typed is shown, also where nobody types:
 * QEMU's clients expect it. */
struct lineedit *lineedit_new(const struct lineedit_ops *ops, void *opaque, const char *prompt, size_t limit);
void lineedit_free(struct lineedit *edit);
void lineedit_feed(struct lineedit *edit, const uint8_t *bytes, size_t len);
/* Shows the prompt and what has been typed so far. */
void lineedit_prompt(struct lineedit *edit);
/* A new peer: an empty line. */
void lineedit_reset(struct lineedit *edit);
/* The lines entered before, the oldest first: history number i, NULL behind the last. */
const char *lineedit_history(const struct lineedit *edit, unsigned i);

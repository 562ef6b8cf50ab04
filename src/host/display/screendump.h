/* The guest's screen to a file or to text. */
#pragma once

#include <glib.h>

#include "display.h"

/* format: png, ppm, txt, or NULL: as the file's name ends (ppm otherwise). path "-" is standard output. Takes
 * the machine lock. */
bool screendump_write(const struct display *display, const char *path, const char *format, GError **error);
/* The rows of a text screen as UTF-8, each ending in a newline, without blanks at their end; false when the
 * screen is not text. Takes the machine lock. */
bool screendump_text(const struct display *display, GString *out);
/* The character that code page 437 has there, as UTF-8. */
const char *screendump_cp437(uint8_t ch);

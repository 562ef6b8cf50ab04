/* The guest's screen to a file (PNG, PPM, text) or to a string. See screendump.h. */
#include "screendump.h"

#include <errno.h>
#include <fcntl.h>
#include <png.h>
#include <stdio.h>
#include <string.h>

#include "files.h"
#include "grab.h"
#include "vclock.h"

static const char cp437[256][4] = {
    " ", "☺", "☻", "♥", "♦",  "♣", "♠", "•", "◘", "○", "◙", "♂", "♀",  "♪", "♫", "☼", "►", "◄", "↕", "‼", "¶", "§",
    "▬", "↨", "↑", "↓", "→",  "←", "∟", "↔", "▲", "▼", " ", "!", "\"", "#", "$", "%", "&", "'", "(", ")", "*", "+",
    ",", "-", ".", "/", "0",  "1", "2", "3", "4", "5", "6", "7", "8",  "9", ":", ";", "<", "=", ">", "?", "@", "A",
    "B", "C", "D", "E", "F",  "G", "H", "I", "J", "K", "L", "M", "N",  "O", "P", "Q", "R", "S", "T", "U", "V", "W",
    "X", "Y", "Z", "[", "\\", "]", "^", "_", "`", "a", "b", "c", "d",  "e", "f", "g", "h", "i", "j", "k", "l", "m",
    "n", "o", "p", "q", "r",  "s", "t", "u", "v", "w", "x", "y", "z",  "{", "|", "}", "~", "⌂", "Ç", "ü", "é", "â",
    "ä", "à", "å", "ç", "ê",  "ë", "è", "ï", "î", "ì", "Ä", "Å", "É",  "æ", "Æ", "ô", "ö", "ò", "û", "ù", "ÿ", "Ö",
    "Ü", "¢", "£", "¥", "₧",  "ƒ", "á", "í", "ó", "ú", "ñ", "Ñ", "ª",  "º", "¿", "⌐", "¬", "½", "¼", "¡", "«", "»",
    "░", "▒", "▓", "│", "┤",  "╡", "╢", "╖", "╕", "╣", "║", "╗", "╝",  "╜", "╛", "┐", "└", "┴", "┬", "├", "─", "┼",
    "╞", "╟", "╚", "╔", "╩",  "╦", "╠", "═", "╬", "╧", "╨", "╤", "╥",  "╙", "╘", "╒", "╓", "╫", "╪", "┘", "┌", "█",
    "▄", "▌", "▐", "▀", "α",  "ß", "Γ", "π", "Σ", "σ", "µ", "τ", "Φ",  "Θ", "Ω", "δ", "∞", "φ", "ε", "∩", "≡", "±",
    "≥", "≤", "⌠", "⌡", "÷",  "≈", "°", "∙", "·", "√", "ⁿ", "²", "■",  " ",
};

const char *screendump_cp437(uint8_t ch)
{
    return cp437[ch];
}

bool screendump_text(const struct display *display, GString *out)
{
    struct display_text text = {0};

    machine_lock();
    bool is_text = display->text(display->opaque, &text);
    machine_unlock();
    for (unsigned y = 0; is_text && y < text.rows; y++) {
        const struct display_cell *row = &text.cells[y * text.columns];
        unsigned used = text.columns;
        while (used && strcmp(cp437[row[used - 1].ch], " ") == 0)
            used--;
        for (unsigned x = 0; x < used; x++)
            g_string_append(out, cp437[row[x].ch]);
        g_string_append_c(out, '\n');
    }
    display_text_clear(&text);
    return is_text;
}

static bool write_png(FILE *file, const uint8_t *rgb, unsigned width, unsigned height)
{
    png_image image = {.version = PNG_IMAGE_VERSION, .width = width, .height = height, .format = PNG_FORMAT_RGB};
    return png_image_write_to_stdio(&image, file, 0, rgb, 0, NULL);
}

static bool write_ppm(FILE *file, const uint8_t *rgb, unsigned width, unsigned height)
{
    size_t size = (size_t)width * height * 3;
    return fprintf(file, "P6\n%u %u\n255\n", width, height) > 0 && fwrite(rgb, 1, size, file) == size;
}

static bool write_pixels(const struct display *display, FILE *file, bool png)
{
    struct display_pixels picture = {0};

    display_grab(display, &picture);
    size_t count = (size_t)picture.width * picture.height;
    uint8_t *rgb = g_malloc(count * 3);
    for (size_t i = 0; i < count; i++) {
        rgb[3 * i] = (uint8_t)(picture.pixels[i] >> 16);
        rgb[3 * i + 1] = (uint8_t)(picture.pixels[i] >> 8);
        rgb[3 * i + 2] = (uint8_t)picture.pixels[i];
    }
    bool ok = (png ? write_png : write_ppm)(file, rgb, picture.width, picture.height);
    g_free(rgb);
    display_pixels_clear(&picture);
    return ok;
}

bool screendump_write(const struct display *display, const char *path, const char *format, GError **error)
{
    if (!format)
        format = g_str_has_suffix(path, ".png")                             ? "png"
                 : g_str_has_suffix(path, ".txt") || strcmp(path, "-") == 0 ? "txt"
                                                                            : "ppm";
    bool is_text = strcmp(format, "txt") == 0, is_png = strcmp(format, "png") == 0;
    if (!is_text && !is_png && strcmp(format, "ppm") != 0) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "format '%s' is none of png, ppm, txt", format);
        return false;
    }
    GString *text = NULL;
    if (is_text) {
        text = g_string_new(NULL);
        if (!screendump_text(display, text)) {
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                        "the screen is in a graphics mode; save it as png or ppm");
            g_string_free(text, TRUE);
            return false;
        }
    }
    bool to_stdout = strcmp(path, "-") == 0;
    int fd = to_stdout ? -1 : files_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_NONBLOCK, 0666);
    FILE *file = to_stdout ? stdout : fd >= 0 ? fdopen(fd, "wb") : NULL;
    bool ok = file != NULL;
    if (ok) {
        ok = is_text ? fwrite(text->str, 1, text->len, file) == text->len : write_pixels(display, file, is_png);
        ok = (to_stdout ? fflush(file) : fclose(file)) == 0 && ok;
    }
    if (!ok)
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "cannot write '%s': %s", path,
                    g_strerror(errno));
    if (text)
        g_string_free(text, TRUE);
    return ok;
}

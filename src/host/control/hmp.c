/* The human's face: a prompt, lines, answers as text. See face.h, command.h; the prompt is what QEMU's clients wait
 * for. */
#include <string.h>

#include "face.h"
#include "lineedit.h"

#define PROMPT         "(qemu) "
#define LINE_MAX_BYTES 4096u

struct face {
    struct command_context *context;
    void (*say)(void *client, const char *text, size_t len);
    void *client;
    struct lineedit *edit;
};

static void show(void *opaque, const char *text, size_t len)
{
    struct face *face = opaque;
    face->say(face->client, text, len);
}

/* Terminals want a carriage return, too. */
static void say_lines(struct face *face, const GString *text)
{
    GString *out = g_string_sized_new(text->len + 64);
    for (gsize i = 0; i < text->len; i++) {
        if (text->str[i] == '\n' && (i == 0 || text->str[i - 1] != '\r'))
            g_string_append_c(out, '\r');
        g_string_append_c(out, text->str[i]);
    }
    show(face, out->str, out->len);
    g_string_free(out, TRUE);
}

/* "info history" is this client's, not the machine's. */
static void history_print(struct face *face, GString *out)
{
    const char *line;
    for (unsigned i = 0; (line = lineedit_history(face->edit, i)); i++)
        g_string_append_printf(out, "%u: '%s'\n", i, line);
}

static void line(void *opaque, const char *text)
{
    struct face *face = opaque;
    GString *out = g_string_new(NULL);
    char *stripped = g_strstrip(g_strdup(text));
    if (strcmp(stripped, "info history") == 0)
        history_print(face, out);
    else
        command_line(face->context, stripped, out);
    say_lines(face, out);
    lineedit_prompt(face->edit);
    g_free(stripped);
    g_string_free(out, TRUE);
}

static GPtrArray *complete(void *opaque, const char *text)
{
    struct face *face = opaque;
    return command_complete(face->context, text);
}

static const struct lineedit_ops edit_ops = {show, line, complete};

static struct face *hmp_create(struct command_context *context, void (*say)(void *client, const char *text, size_t len),
                               void *client, bool pretty)
{
    struct face *face = g_new0(struct face, 1);
    face->context = context;
    face->say = say;
    face->client = client;
    face->edit = lineedit_new(&edit_ops, face, PROMPT, LINE_MAX_BYTES);
    return face;
}

static void hmp_destroy(struct face *face)
{
    lineedit_free(face->edit);
    g_free(face);
}

static void hmp_opened(struct face *face)
{
    char hello[96];
    g_snprintf(hello, sizeof(hello), "QEMU %u.%u.%u monitor (Ringer) - type 'help' for more information\r\n",
               CONTROL_QEMU_MAJOR, CONTROL_QEMU_MINOR, CONTROL_QEMU_MICRO);
    lineedit_reset(face->edit);
    show(face, hello, strlen(hello));
    lineedit_prompt(face->edit);
}

static void hmp_received(struct face *face, const uint8_t *bytes, size_t len)
{
    lineedit_feed(face->edit, bytes, len);
}

static void hmp_closed(struct face *face)
{
    lineedit_reset(face->edit);
}

static void hmp_focus(struct face *face, bool in)
{
    if (in) {
        show(face, "\r\n", 2);
        lineedit_prompt(face->edit);
    }
}

const struct face_ops hmp_face = {hmp_create, hmp_destroy, hmp_opened, hmp_received, hmp_closed, hmp_focus};

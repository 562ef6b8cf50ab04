/* JSON values out of a stream. See json_stream.h.
 *
 * Only brackets and strings are followed here; a whole value goes to the library. As in QEMU strings may stand in
 * single quotes, too; after an error everything up to the end of the line is skipped. RFC 8259.
 */
#include "json_stream.h"

#include <string.h>

#define DEPTH_MAX 512 /* of brackets; the library recurses */

struct json_stream {
    GString *text; /* of the value that is coming */
    size_t limit;
    json_stream_fn *take;
    void *opaque;
    unsigned depth;
    char quote;    /* the one that the string began with, 0: outside of strings */
    bool escaped;  /* the next character belongs to a backslash */
    bool is_word;  /* outside of brackets: a number, a word */
    bool skipping; /* to the end of the line */
};

struct json_stream *json_stream_new(size_t limit, json_stream_fn *take, void *opaque)
{
    struct json_stream *stream = g_new0(struct json_stream, 1);
    stream->text = g_string_new(NULL);
    stream->limit = limit;
    stream->take = take;
    stream->opaque = opaque;
    return stream;
}

void json_stream_free(struct json_stream *stream)
{
    g_string_free(stream->text, TRUE);
    g_free(stream);
}

/* What has come of a value. */
static void forget(struct json_stream *stream)
{
    if (stream->text->allocated_len > 65536) { /* one large value is no reason to keep so much */
        g_string_free(stream->text, TRUE);
        stream->text = g_string_new(NULL);
    }
    g_string_truncate(stream->text, 0);
    stream->depth = 0;
    stream->quote = 0;
    stream->escaped = stream->is_word = false;
}

void json_stream_reset(struct json_stream *stream)
{
    forget(stream);
    stream->skipping = false;
}

static void fail(struct json_stream *stream, const char *error)
{
    forget(stream);
    stream->skipping = true;
    stream->take(stream->opaque, NULL, error);
}

static void complete(struct json_stream *stream)
{
    json_error_t error;
    json_t *value = json_loadb(stream->text->str, stream->text->len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    forget(stream);
    if (value) {
        stream->take(stream->opaque, value, NULL);
    } else {
        char *text = g_strdup_printf("JSON parse error, %s", error.text);
        stream->take(stream->opaque, NULL, text);
        g_free(text);
    }
}

static void in_string(struct json_stream *stream, char c)
{
    if (stream->escaped) {
        stream->escaped = false;
        if (c == '\'') /* not JSON's, and not needed between double quotes */
            stream->text->str[stream->text->len - 1] = c;
        else
            g_string_append_c(stream->text, c);
    } else if (c == '\\') {
        stream->escaped = true;
        g_string_append_c(stream->text, c);
    } else if (c == stream->quote) {
        stream->quote = 0;
        g_string_append_c(stream->text, '"');
    } else if (c == '"') { /* inside of single quotes */
        g_string_append(stream->text, "\\\"");
    } else {
        g_string_append_c(stream->text, c);
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Outside of strings. */
static void in_value(struct json_stream *stream, char c)
{
    switch (c) {
    case '"':
    case '\'':
        stream->quote = c;
        g_string_append_c(stream->text, '"');
        return;
    case '{':
    case '[':
        stream->depth++;
        break;
    case '}':
    case ']':
        if (stream->depth)
            stream->depth--;
        break;
    }
    g_string_append_c(stream->text, c);
}

static void take_char(struct json_stream *stream, char c)
{
    if (stream->skipping) {
        stream->skipping = c != '\n';
        return;
    }
    if (stream->quote) {
        in_string(stream, c);
    } else if (stream->depth == 0 && is_blank(c)) {
        if (stream->is_word)
            complete(stream);
        return;
    } else {
        if (stream->is_word && strchr("{[\"'", c) && c) {
            complete(stream);
            if (stream->skipping)
                return;
        }
        in_value(stream, c);
    }
    if (stream->depth > DEPTH_MAX)
        fail(stream, "JSON nesting depth limit exceeded");
    else if (stream->text->len > stream->limit)
        fail(stream, "JSON token size limit exceeded");
    else if (stream->depth || stream->quote)
        return;
    else if (strchr("}]\"", stream->text->str[stream->text->len - 1]))
        complete(stream);
    else
        stream->is_word = true;
}

void json_stream_feed(struct json_stream *stream, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        take_char(stream, (char)bytes[i]);
}

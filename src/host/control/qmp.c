/* The program's face: JSON in, JSON out, events in between. See face.h; QEMU's docs/interop/qmp-spec.txt. */
#include <string.h>

#include "events.h"
#include "face.h"
#include "json_stream.h"

#define MESSAGE_MAX (4 * MiB)

struct face {
    struct command_context *context;
    void (*say)(void *client, const char *text, size_t len);
    void *client;
    struct json_stream *stream;
    bool pretty;
    bool connected, negotiated;
};

/* Takes over message. */
static void say(struct face *face, json_t *message)
{
    size_t flags = JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII | (face->pretty ? JSON_INDENT(4) : 0);
    char *text = json_dumps(message, flags), *line = g_strconcat(text, "\r\n", NULL);
    face->say(face->client, line, strlen(line));
    free(text);
    g_free(line);
    json_decref(message);
}

static json_t *error_json(const char *class, const char *description)
{
    return json_pack("{s:{s:s s:o}}", "error", "class", class, "desc", json_text(description));
}

/* The id comes back with the answer, whatever it is. */
static void answer(struct face *face, json_t *message, json_t *id)
{
    if (id)
        json_object_set(message, "id", id);
    say(face, message);
}

static void answer_error(struct face *face, const char *class, json_t *id, const char *format, ...) G_GNUC_PRINTF(4, 5);
static void answer_error(struct face *face, const char *class, json_t *id, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = g_strdup_vprintf(format, args);
    va_end(args);
    answer(face, error_json(class, text), id);
    g_free(text);
}

static void told(void *opaque, json_t *message)
{
    struct face *face = opaque;
    if (face->negotiated)
        say(face, json_incref(message));
}

/* Before it, no other command is heard. There are no capabilities to enable. */
static void negotiate(struct face *face, json_t *args, json_t *id)
{
    GError *error = NULL;
    const json_t *enable = json_object_get(args, "enable");
    if (args && !schema_check_members("enable:[str]?", args, &error)) {
        answer_error(face, "GenericError", id, "%s", error->message);
        g_error_free(error);
    } else if (json_array_size(enable)) {
        answer_error(face, "GenericError", id, "Capability %s not available",
                     json_string_value(json_array_get(enable, 0)));
    } else {
        face->negotiated = true;
        answer(face, json_pack("{s:{}}", "return"), id);
    }
}

static void execute(struct face *face, const char *name, json_t *args, json_t *id)
{
    GError *error = NULL;
    bool negotiates = strcmp(name, "qmp_capabilities") == 0;
    if (!face->negotiated && !negotiates) {
        answer_error(face, "CommandNotFound", id, "Expecting capabilities negotiation with 'qmp_capabilities'");
    } else if (!face->negotiated) {
        negotiate(face, args, id);
    } else if (negotiates) {
        answer_error(face, "CommandNotFound", id, "Capabilities negotiation is already complete, command ignored");
    } else {
        json_t *value = command_execute(face->context, name, args, &error);
        events_flush(); /* what the command has done is told before its answer */
        if (value) {
            answer(face, json_pack("{s:o}", "return", value), id);
        } else {
            answer_error(face, command_error_class(error), id, "%s", error->message);
            g_error_free(error);
        }
    }
}

/* One message of the client's. NULL: it was none, and why. */
static void take(void *opaque, json_t *message, const char *why)
{
    struct face *face = opaque;
    const char *key;
    json_t *member;
    if (!face->connected) { /* cut off in the middle */
        json_decref(message);
        return;
    }
    if (!message || !json_is_object(message)) {
        answer_error(face, "GenericError", NULL, "%s", message ? "QMP input must be a JSON object" : why);
        json_decref(message);
        return;
    }
    json_t *id = json_object_get(message, "id"), *args = json_object_get(message, "arguments");
    json_t *name = json_object_get(message, "execute"), *oob = json_object_get(message, "exec-oob");
    const char *unexpected = NULL;
    json_object_foreach(message, key, member)
    {
        if (strcmp(key, "id") != 0 && strcmp(key, "arguments") != 0 && strcmp(key, "execute") != 0 &&
            strcmp(key, "exec-oob") != 0)
            unexpected = key;
    }
    if (unexpected)
        answer_error(face, "GenericError", id, "QMP input member '%s' is unexpected", unexpected);
    else if (oob && !name)
        answer_error(face, "GenericError", id, "QMP input member 'exec-oob' is unexpected");
    else if (!name)
        answer_error(face, "GenericError", id, "QMP input lacks member 'execute'");
    else if (oob)
        answer_error(face, "GenericError", id, "QMP input member 'exec-oob' clashes with 'execute'");
    else if (!json_is_string(name))
        answer_error(face, "GenericError", id, "QMP input member 'execute' must be a string");
    else if (args && !json_is_object(args))
        answer_error(face, "GenericError", id, "QMP input member 'arguments' must be an object");
    else
        execute(face, json_string_value(name), args, id);
    json_decref(message);
}

static struct face *qmp_create(struct command_context *context,
                               void (*tell)(void *client, const char *text, size_t len), void *client, bool pretty)
{
    struct face *face = g_new0(struct face, 1);
    face->context = context;
    face->say = tell;
    face->client = client;
    face->pretty = pretty;
    face->stream = json_stream_new(MESSAGE_MAX, take, face);
    events_listen(told, face);
    return face;
}

static void qmp_destroy(struct face *face)
{
    events_unlisten(face);
    json_stream_free(face->stream);
    g_free(face);
}

static void qmp_opened(struct face *face)
{
    json_stream_reset(face->stream);
    face->connected = true;
    face->negotiated = false;
    json_t *version = command_execute(face->context, "query-version", NULL, NULL);
    say(face, json_pack("{s:{s:o s:[]}}", "QMP", "version", version ? version : json_object(), "capabilities"));
}

static void qmp_received(struct face *face, const uint8_t *bytes, size_t len)
{
    json_stream_feed(face->stream, bytes, len);
}

static void qmp_closed(struct face *face)
{
    face->connected = face->negotiated = false;
    json_stream_reset(face->stream);
}

const struct face_ops qmp_face = {qmp_create, qmp_destroy, qmp_opened, qmp_received, qmp_closed, NULL};

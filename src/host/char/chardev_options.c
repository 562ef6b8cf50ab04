/* What users write about character devices: names of back ends, keys, and the short forms of -serial and its like. */
#include <string.h>

#include "char_internal.h"

/* --- Names and keys --- */

static const struct {
    const char *name;
    const struct chardev_kind *kind; /* NULL: refused */
    const char *why;
} names[] = {
    {"file", &chardev_file, NULL},
    {"msmouse", &chardev_msmouse, NULL},
    {"null", &chardev_null, NULL},
    {"pipe", &chardev_pipe, NULL},
    {"pty", &chardev_pty, NULL},
    {"ringbuf", &chardev_ringbuf, NULL},
    {"memory", &chardev_ringbuf, NULL},
    {"serial", &chardev_serial, NULL},
    {"tty", &chardev_serial, NULL},
    {"socket", &chardev_socket, NULL},
    {"stdio", &chardev_stdio, NULL},
    {"udp", &chardev_udp, NULL},
    {"vc", &chardev_vc, NULL},
    {"braille", NULL, "there are no braille displays"},
    {"parallel", NULL, "the host's parallel ports cannot be passed on; use file or pipe"},
    {"parport", NULL, "the host's parallel ports cannot be passed on; use file or pipe"},
    {"qemu-vdagent", NULL, "there is no agent's channel"},
    {"spicevmc", NULL, "there is no SPICE"},
    {"spiceport", NULL, "there is no SPICE"},
    {"testdev", NULL, "use isa-debug-exit, and file or stdio for what a test says"},
    {"wctablet", NULL, "there is no Wacom tablet; msmouse is a serial mouse"},
};

const struct chardev_kind *chardev_kind_find(const char *name, GError **error)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(names[i].name, name) != 0)
            continue;
        if (!names[i].kind)
            CHARDEV_FAIL("chardev: %s: %s", name, names[i].why);
        return names[i].kind;
    }
    CHARDEV_FAIL("'%s' is not a valid char driver name", name);
    return NULL;
}

void chardev_backends_each(void (*each)(void *opaque, const char *name), void *opaque)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (names[i].kind)
            each(opaque, names[i].name);
    }
    each(opaque, chardev_mux.name); /* made by mux=on */
}

/* As QEMU: a key of any back end is a key of each. */
static const char *const keys[] = {"backend",   "id",        "path",      "input-path", "fd",        "host",
                                   "port",      "localaddr", "localport", "to",         "reconnect", "width",
                                   "height",    "cols",      "rows",      "size",       "logfile",   "tls-creds",
                                   "tls-authz", "name",      "debug",     "chardev"};
static const char *const switches[] = {"mux",    "signal",    "append", "logappend", "server",   "wait",
                                       "telnet", "ipv4",      "ipv6",   "delay",     "nodelay",  "abstract",
                                       "tight",  "websocket", "tn3270", "mouse",     "clipboard"};

static bool is_among(const char *const *list, unsigned count, const char *key)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(list[i], key) == 0)
            return true;
    }
    return false;
}

bool chardev_options_check(struct keyvalues *options, GError **error)
{
    for (unsigned i = 0; i < options->item->len; i++) {
        const struct keyvalue *item = g_ptr_array_index(options->item, i);
        bool on;
        if (is_among(switches, G_N_ELEMENTS(switches), item->key)) {
            if (!value_is_switch(item->value, &on))
                return CHARDEV_FAIL("Parameter '%s' expects 'on' or 'off'", item->key);
        } else if (!is_among(keys, G_N_ELEMENTS(keys), item->key)) {
            return CHARDEV_FAIL("Invalid parameter '%s'", item->key);
        }
    }
    return true;
}

bool chardev_switch(struct keyvalues *options, const char *key, bool fallback)
{
    const char *value = keyvalues_get(options, key);
    bool on;
    return value && value_is_switch(value, &on) ? on : fallback;
}

bool chardev_id_is_good(const char *id)
{
    if (!g_ascii_isalpha(*id))
        return false;
    for (; *id; id++) {
        if (!g_ascii_isalnum(*id) && !strchr("-._", *id))
            return false;
    }
    return true;
}

/* --- Short forms --- */

static void items_add(struct keyvalues *to, const struct keyvalues *from)
{
    for (unsigned i = 0; i < from->item->len; i++) {
        const struct keyvalue *item = g_ptr_array_index(from->item, i);
        keyvalues_add(to, item->key, item->value);
    }
}

/* ",server,nowait" */
static bool rest_add(struct keyvalues *list, const char *rest, GError **error)
{
    if (*rest != ',')
        return true;
    struct keyvalues *items = keyvalues_parse(rest + 1, "", NULL, error);
    if (items)
        items_add(list, items);
    keyvalues_free(items);
    return items;
}

/* "HOST:PORT" up to one of the characters in ends; HOST may be missing or stand in brackets. NULL: it is not there. */
static const char *host_add(struct keyvalues *list, const char *text, const char *ends, const char *host_key,
                            const char *port_key)
{
    const char *colon = text;
    if (*text == '[' && strchr(text, ']'))
        colon = strchr(text, ']');
    colon += strcspn(colon, ":");
    if (!*colon || strcspn(text, ends) < (size_t)(colon - text))
        return NULL;
    size_t len = strcspn(colon + 1, ends);
    if (!len)
        return NULL;
    char *host = g_strndup(text, (gsize)(colon - text)), *port = g_strndup(colon + 1, len);
    keyvalues_add(list, host_key, host);
    keyvalues_add(list, port_key, port);
    g_free(host);
    g_free(port);
    return colon + 1 + len;
}

static bool tcp_form(struct keyvalues *list, const char *text, GError **error)
{
    const char *rest = host_add(list, text, ",", "host", "port");
    if (!rest)
        return CHARDEV_FAIL("'%s' is not HOST:PORT, as in tcp:localhost:4444,server=on,wait=off", text);
    keyvalues_add(list, "backend", "socket");
    return rest_add(list, rest, error);
}

static bool telnet_form(struct keyvalues *list, const char *text, GError **error)
{
    keyvalues_add(list, "telnet", "on");
    return tcp_form(list, text, error);
}

static bool websocket_form(struct keyvalues *list, const char *text, GError **error)
{
    keyvalues_add(list, "websocket", "on");
    return tcp_form(list, text, error);
}

static bool tn3270_form(struct keyvalues *list, const char *text, GError **error)
{
    keyvalues_add(list, "tn3270", "on");
    return tcp_form(list, text, error);
}

static bool unix_form(struct keyvalues *list, const char *text, GError **error)
{
    struct keyvalues *items = keyvalues_parse(text, "", "path", error);
    if (!items)
        return false;
    keyvalues_add(list, "backend", "socket");
    items_add(list, items);
    const char *path = keyvalues_get(items, "path");
    bool ok = path && *path;
    keyvalues_free(items);
    return ok || CHARDEV_FAIL("unix: a path is missing, as in unix:/tmp/socket,server=on,wait=off");
}

/* udp:[HOST]:PORT[@[HOST]:PORT] */
static bool udp_form(struct keyvalues *list, const char *text, GError **error)
{
    const char *rest = host_add(list, text, "@,", "host", "port");
    if (rest && *rest == '@')
        rest = host_add(list, rest + 1, ",", "localaddr", "localport");
    if (!rest)
        return CHARDEV_FAIL("'%s' is not HOST:PORT or HOST:PORT@HOST:PORT, as in udp:localhost:4555@:4556", text);
    keyvalues_add(list, "backend", "udp");
    return rest_add(list, rest, error);
}

static bool file_form(struct keyvalues *list, const char *text, GError **error)
{
    keyvalues_add(list, "backend", "file");
    keyvalues_add(list, "path", text);
    return true;
}

static bool pipe_form(struct keyvalues *list, const char *text, GError **error)
{
    keyvalues_add(list, "backend", "pipe");
    keyvalues_add(list, "path", text);
    return true;
}

/* vc:80Cx24C: columns and rows; without C: pixels. */
static bool vc_form(struct keyvalues *list, const char *text, GError **error)
{
    char **side = g_strsplit(text, "x", 2);
    bool ok = side[0] && side[1];
    keyvalues_add(list, "backend", "vc");
    for (unsigned i = 0; ok && i < 2; i++) {
        size_t len = strspn(side[i], "0123456789");
        bool chars = side[i][len] == 'C';
        ok = len && !side[i][len + (chars ? 1 : 0)];
        side[i][len] = 0;
        keyvalues_add(list, i == 0 ? (chars ? "cols" : "width") : (chars ? "rows" : "height"), side[i]);
    }
    g_strfreev(side);
    return ok || CHARDEV_FAIL("'vc:%s' is not understood; write vc, vc:800x600 or vc:80Cx24C", text);
}

static const struct {
    const char *prefix;
    bool (*form)(struct keyvalues *list, const char *text, GError **error);
} forms[] = {{"tcp:", tcp_form},       {"telnet:", telnet_form}, {"websocket:", websocket_form},
             {"tn3270:", tn3270_form}, {"unix:", unix_form},     {"udp:", udp_form},
             {"file:", file_form},     {"pipe:", pipe_form},     {"vc:", vc_form}};

/* Without arguments, by the name of the back end. */
static const char *const words[] = {"stdio", "null", "pty", "vc", "msmouse", "braille", "wctablet", "testdev"};

static bool form_parse(struct keyvalues *list, const char *text, GError **error)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(forms); i++) {
        if (g_str_has_prefix(text, forms[i].prefix))
            return forms[i].form(list, text + strlen(forms[i].prefix), error);
    }
    if (is_among(words, G_N_ELEMENTS(words), text)) {
        keyvalues_add(list, "backend", text);
        return true;
    }
    if (g_str_has_prefix(text, "/dev/")) {
        bool is_parallel = g_str_has_prefix(text, "/dev/parport") || g_str_has_prefix(text, "/dev/ppi");
        keyvalues_add(list, "backend", is_parallel ? "parallel" : "serial");
        keyvalues_add(list, "path", text);
        return true;
    }
    return CHARDEV_FAIL(
        "'%s' is not a valid char driver; choose stdio, mon:stdio, file:PATH, pipe:PATH, pty, null, vc, "
        "tcp:, telnet:, unix:, udp:, msmouse, /dev/ttyX, chardev:ID or none",
        text);
}

struct keyvalues *chardev_short_form(const char *text, const char *label, GError **error)
{
    struct keyvalues *list = keyvalues_new();
    if (g_str_has_prefix(text, "chardev:")) {
        keyvalues_add(list, "chardev", text + strlen("chardev:"));
        return list;
    }
    keyvalues_add(list, "id", label);
    if (g_str_has_prefix(text, "mon:")) {
        text += strlen("mon:");
        keyvalues_add(list, "mux", "on");
        if (strcmp(text, "stdio") == 0) /* Ctrl-C is the guest's there */
            keyvalues_add(list, "signal", "off");
    }
    if (form_parse(list, text, error))
        return list;
    keyvalues_free(list);
    return NULL;
}

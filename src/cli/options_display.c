/* The command line: where the screen is shown: in a window, on the terminal, to viewers far away. */
#include "options_internal.h"

#include <stdlib.h>
#include <string.h>

#include "host/address.h"

static bool scaling_of(const char *word, enum window_scaling *scaling)
{
    static const char *const words[] = {"proportional", "integer", "free"};
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        if (strcmp(word, words[i]) == 0) {
            *scaling = (enum window_scaling)i;
            return true;
        }
    }
    return false;
}

/* gtk and cocoa are windows, too; what they have besides is understood. */
static bool set_window(struct parse *parse, const char *arg, GError **error)
{
    static const char *const ignored[] = {"gl",          "grab-mod",    "grab-on-hover",    "show-tabs",
                                          "show-cursor", "zoom-to-fit", "left-command-key", "swap-opt-cmd",
                                          "alt_grab",    "ctrl_grab",   "full-grab"};
    struct options *options = parse->options;
    struct keyvalues *list = keyvalues_parse(arg, "-display", "type", error);
    struct window_options *window = &options->window_options;
    const char *value;
    bool closes = !window->no_close, has_bar = !window->no_bar, smooth = !window->sharp;
    if (!list)
        return false;
    keyvalues_get(list, "type");
    const struct {
        const char *name;
        bool *value;
    } switches[] = {{"full-screen", &window->full_screen},
                    {"window-close", &closes},
                    {"show-menubar", &has_bar},
                    {"zoom-interpolation", &smooth}};
    bool ok = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(switches) && ok; i++) {
        ok = !(value = keyvalues_get(list, switches[i].name)) || value_is_switch(value, switches[i].value);
        if (!ok)
            g_set_error(error, options_error(), 0, "-display: '%s' is not on or off", value);
    }
    if (ok && (value = keyvalues_get(list, "scaling")) && !scaling_of(value, &window->scaling)) {
        g_set_error(error, options_error(), 0, "-display: scaling is proportional, integer or free, not '%s'", value);
        ok = false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(ignored); i++)
        keyvalues_get(list, ignored[i]);
    if (ok && (value = keyvalues_unused(list))) {
        g_set_error(error, options_error(), 0, "-display: Invalid parameter '%s'", value);
        ok = false;
    }
    options->window = ok;
    window->no_close = !closes;
    window->no_bar = !has_bar;
    window->sharp = !smooth;
    keyvalues_free(list);
    return ok;
}

bool set_display(struct parse *parse, const char *arg, GError **error)
{
    static const char *const windows[] = {"sdl", "gtk", "cocoa", "default"};
    static const char *const missing[] = {"spice-app", "egl-headless", "dbus"};
    size_t len = strcspn(arg, ",=");
    parse->options->curses = strncmp(arg, "curses", len) == 0 && len == 6;
    parse->no_display = strncmp(arg, "none", len) == 0 && len == 4;
    parse->options->window = false;
    if (strncmp(arg, "vnc", len) == 0 && len == 3) {
        parse->no_display = true;
        return set_vnc(parse, arg[3] == '=' ? arg + 4 : "", error);
    }
    if (parse->options->curses || parse->no_display)
        return true;
    for (unsigned i = 0; i < G_N_ELEMENTS(windows); i++) {
        if (strlen(windows[i]) == len && strncmp(arg, windows[i], len) == 0)
            return set_window(parse, arg, error);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(missing); i++) {
        if (strlen(missing[i]) == len && strncmp(arg, missing[i], len) == 0)
            return FAIL("-display: there is no '%s' yet; choose sdl, curses, vnc=HOST:N or none", missing[i]);
    }
    return FAIL("-display: '%s' is not known; choose sdl, curses, vnc=HOST:N or none", arg);
}

bool set_full_screen(struct parse *parse, const char *arg, GError **error)
{
    parse->options->window_options.full_screen = true;
    return true;
}

bool set_sdl(struct parse *parse, const char *arg, GError **error)
{
    return set_display(parse, "sdl", error);
}

bool set_curses(struct parse *parse, const char *arg, GError **error)
{
    return set_display(parse, "curses", error);
}

/* --- Viewers far away --- */

#define VNC_PORT       5900
#define WEBSOCKET_PORT 5700

/* "host:N", where N is a display's number: port 5900 + N; or "unix:PATH"; or, for a viewer that is called, "host:PORT".
 */
static bool vnc_address(struct parse *parse, const char *text, bool reverse, struct address *address, unsigned *number,
                        GError **error)
{
    *address = (struct address){.order = reverse ? ADDRESS_CONNECT : ADDRESS_LISTEN};
    *number = 0;
    if (g_str_has_prefix(text, "unix:")) {
        address->kind = ADDRESS_UNIX;
        if (g_strlcpy(address->path, text + 5, sizeof(address->path)) >= sizeof(address->path) || !address->path[0])
            return FAIL("-vnc: '%s' is no path for a socket", text + 5);
        return true;
    }
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    unsigned long value = colon && g_ascii_isdigit(colon[1]) ? strtoul(colon + 1, &end, 10) : 0;
    if (!end || *end || value > (reverse ? 65535u : 65535u - VNC_PORT))
        return FAIL("-vnc: '%s' is not HOST:NUMBER, as in -vnc :0 (port 5900), unix:PATH, or none", text);
    size_t len = (size_t)(colon - text);
    bool is_in_brackets = len >= 2 && text[0] == '[' && colon[-1] == ']';
    g_snprintf(address->host, sizeof(address->host), "%.*s", (int)(is_in_brackets ? len - 2 : len),
               text + is_in_brackets);
    *number = (unsigned)value;
    g_snprintf(address->port, sizeof(address->port), "%u", (unsigned)value + (reverse ? 0 : VNC_PORT));
    return true;
}

/* websocket=on, a port, or host:port. */
static bool vnc_websocket(struct parse *parse, const char *text, const struct address *vnc, unsigned number,
                          GError **error)
{
    struct vnc_options *options = &parse->options->vnc_options;
    struct address *address = &options->websocket;
    const char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : text;
    bool on;
    if (value_is_switch(text, &on)) {
        options->has_websocket = on;
        if (on && vnc->kind == ADDRESS_UNIX)
            return FAIL("-vnc: websocket needs a port beside unix:, as in websocket=5700");
        *address = *vnc;
        g_snprintf(address->port, sizeof(address->port), "%u", WEBSOCKET_PORT + number);
        return true;
    }
    *address = (struct address){.order = ADDRESS_LISTEN};
    if (!colon)
        g_strlcpy(address->host, vnc->host, sizeof(address->host));
    else
        g_snprintf(address->host, sizeof(address->host), "%.*s", (int)(colon - text), text);
    if (!*port || strspn(port, "0123456789") != strlen(port) || atoi(port) > 65535)
        return FAIL("-vnc: websocket is on, off or a port, not '%s'", text);
    g_strlcpy(address->port, port, sizeof(address->port));
    options->has_websocket = true;
    return true;
}

static bool vnc_share_of(const char *word, enum vnc_share *share)
{
    static const char *const words[] = {"allow-exclusive", "force-shared", "ignore"};
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        if (strcmp(word, words[i]) == 0) {
            *share = (enum vnc_share)i;
            return true;
        }
    }
    return false;
}

static bool vnc_take(struct parse *parse, struct keyvalues *list, GError **error)
{
    static const char *const idle[] = {"id", "non-adaptive", "key-delay-ms", "power-control", "display", "head"};
    static const char *const missing[] = {"tls-creds", "tls-authz", "sasl", "sasl-authz",
                                          "acl",       "tls",       "x509", "x509verify"};
    struct options *options = parse->options;
    struct vnc_options *vnc = &options->vnc_options;
    const char *where = keyvalues_get(list, "vnc"), *value;
    unsigned number;
    const struct {
        const char *name;
        bool *value;
    } switches[] = {{"reverse", &vnc->reverse}, {"password", &vnc->password}, {"lossy", &vnc->lossy}};
    for (unsigned i = 0; i < G_N_ELEMENTS(switches); i++) {
        if ((value = keyvalues_get(list, switches[i].name)) && !value_is_switch(value, switches[i].value))
            return FAIL("-vnc: %s is on or off, not '%s'", switches[i].name, value);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(missing); i++) {
        if (keyvalues_get(list, missing[i]))
            return FAIL("-vnc: there is no %s; use password=on, or a Unix socket behind an SSH tunnel", missing[i]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(idle); i++)
        keyvalues_get(list, idle[i]);
    if (!vnc_address(parse, where ? where : "", vnc->reverse, &vnc->address, &number, error))
        return false;
    if ((value = keyvalues_get(list, "to")))
        vnc->address.to = (uint16_t)(VNC_PORT + CLAMP(atoi(value), 0, 65535 - VNC_PORT));
    if ((value = keyvalues_get(list, "ipv4")))
        value_is_switch(value, &vnc->address.only_ipv4);
    if ((value = keyvalues_get(list, "ipv6")))
        value_is_switch(value, &vnc->address.only_ipv6);
    if ((value = keyvalues_get(list, "websocket")) && !vnc_websocket(parse, value, &vnc->address, number, error))
        return false;
    if ((value = keyvalues_get(list, "share")) && !vnc_share_of(value, &vnc->share))
        return FAIL("-vnc: share is allow-exclusive, force-shared or ignore, not '%s'", value);
    if ((value = keyvalues_get(list, "audiodev")))
        options->vnc_audiodev = g_intern_string(value);
    if ((value = keyvalues_get(list, "password-secret"))) {
        options->vnc_secret = g_intern_string(value);
        vnc->password = true;
    }
    if ((value = keyvalues_unused(list)))
        return FAIL("-vnc: Invalid parameter '%s'", value);
    options->vnc = true;
    return true;
}

bool set_vnc(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-vnc", "vnc", error);
    const char *where = list ? keyvalues_get(list, "vnc") : NULL;
    parse->options->vnc_options = (struct vnc_options){0};
    parse->options->vnc = false;
    parse->no_display = true;
    if (!list)
        return false;
    bool ok = (where && strcmp(where, "none") == 0) || vnc_take(parse, list, error);
    keyvalues_free(list);
    return ok;
}

/* The screen for viewers far away. Shapes are those of QEMU's qapi/ui.json; formats those of its monitor. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "host/vnc/vnc.h"

#define ID "default"

/* --- Looking --- */

static const char *family_of(bool is_unix, bool is_ipv6)
{
    return is_unix ? "unix" : is_ipv6 ? "ipv6" : "ipv4";
}

static const char *auth_now(void)
{
    return vnc_options_now()->password ? "vnc" : "none";
}

static json_t *viewer_value(const struct vnc_viewer *viewer)
{
    return json_pack("{s:s s:s s:s s:b}", "host", viewer->host, "service", viewer->service, "family",
                     family_of(viewer->is_unix, viewer->is_ipv6), "websocket", viewer->is_websocket);
}

static json_t *viewers_value(void)
{
    struct vnc_viewer viewer;
    json_t *list = json_array();
    for (unsigned i = 0; vnc_viewer_look(i, &viewer); i++)
        json_array_append_new(list, viewer_value(&viewer));
    return list;
}

/* NULL: it does not listen. */
static json_t *server_value(bool websocket)
{
    const struct vnc_options *options = vnc_options_now();
    const struct address *address = websocket ? &options->websocket : &options->address;
    bool is_unix = address->kind == ADDRESS_UNIX;
    GString *text = g_string_new(NULL);
    json_t *value = NULL;
    if (vnc_listens_at(websocket, text)) {
        char *host = NULL, *service = NULL;
        bool is_ipv6 = !is_unix && address_split(text->str, &host, &service);
        value =
            json_pack("{s:s s:s s:s s:b s:s}", "host", is_unix ? text->str : host, "service", is_unix ? "" : service,
                      "family", family_of(is_unix, is_ipv6), "websocket", websocket, "auth", auth_now());
        g_free(host);
        g_free(service);
    }
    g_string_free(text, TRUE);
    return value;
}

static json_t *query_vnc(struct command_context *context, json_t *args, GError **error)
{
    json_t *server = vnc_is_open() ? server_value(false) : NULL;
    json_t *value = json_pack("{s:b}", "enabled", vnc_is_open());
    if (server) {
        json_object_del(server, "websocket");
        json_object_update(value, server);
        json_decref(server);
    }
    if (vnc_is_open())
        json_object_set_new(value, "clients", viewers_value());
    return value;
}

static json_t *query_vnc_servers(struct command_context *context, json_t *args, GError **error)
{
    json_t *list = json_array(), *servers = json_array(), *server;
    if (!vnc_is_open()) {
        json_decref(servers);
        return list;
    }
    for (unsigned websocket = 0; websocket < 2; websocket++) {
        if ((server = server_value(websocket)))
            json_array_append_new(servers, server);
    }
    json_array_append_new(list, json_pack("{s:s s:o s:o s:s}", "id", ID, "server", servers, "clients", viewers_value(),
                                          "auth", auth_now()));
    return list;
}

static void end_print(GString *out, const char *name, const json_t *value)
{
    g_string_append_printf(out, "  %s: %s:%s (%s%s)\n", name, arg_str(value, "host"), arg_str(value, "service"),
                           arg_str(value, "family"), arg_bool(value, "websocket", false) ? " (Websocket)" : "");
}

static void print_vnc(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    size_t index, at;
    json_t *list = query_vnc_servers(context, NULL, NULL), *server, *one;
    if (!json_array_size(list))
        g_string_append(out, "None\n");
    json_array_foreach(list, index, server)
    {
        g_string_append_printf(out, "%s:\n", arg_str(server, "id"));
        json_array_foreach(json_object_get(server, "server"), at, one)
        {
            end_print(out, "Server", one);
            g_string_append_printf(out, "    Auth: %s (Sub: none)\n", arg_str(one, "auth"));
        }
        json_array_foreach(json_object_get(server, "clients"), at, one)
        {
            end_print(out, "Client", one);
            g_string_append(out, "    x509_dname: none\n    sasl_username: none\n");
        }
        if (!json_array_size(json_object_get(server, "server")))
            g_string_append_printf(out, "  Auth: %s (Sub: none)\n", arg_str(server, "auth"));
    }
    json_decref(list);
}

/* --- Passwords --- */

static bool is_vnc(json_t *args, GError **error)
{
    const char *protocol = arg_str(args, "protocol"), *display = arg_str(args, "display");
    if (protocol && strcmp(protocol, "vnc") != 0) {
        g_set_error(error, command_error(), COMMAND_ERROR_GENERIC, "there is no '%s' here, only vnc", protocol);
        return false;
    }
    if (display && strcmp(display, ID) != 0) {
        g_set_error(error, command_error(), COMMAND_ERROR_GENERIC, "there is no display '%s'; the only one is '%s'",
                    display, ID);
        return false;
    }
    return true;
}

static json_t *run_set_password(struct command_context *context, json_t *args, GError **error)
{
    const char *connected = arg_str(args, "connected");
    if (!is_vnc(args, error))
        return NULL;
    if (connected && strcmp(connected, "keep") != 0)
        return COMMAND_FAIL(GENERIC, "parameter 'connected' must be 'keep' when 'protocol' is 'vnc'");
    return vnc_set_password(arg_str(args, "password"), error) ? json_object() : NULL;
}

/* "now", "never", "+SECONDS", or seconds since 1970. */
static json_t *run_expire_password(struct command_context *context, json_t *args, GError **error)
{
    const char *time = arg_str(args, "time");
    int64_t now = g_get_real_time() / G_USEC_PER_SEC, when;
    char *end = NULL;
    if (!is_vnc(args, error))
        return NULL;
    if (strcmp(time, "now") == 0) {
        when = now;
    } else if (strcmp(time, "never") == 0) {
        when = INT64_MAX;
    } else {
        when = g_ascii_strtoll(time + (time[0] == '+'), &end, 10);
        if (end == time + (time[0] == '+') || *end)
            return COMMAND_FAIL(GENERIC, "'%s' is not now, never, +SECONDS or seconds since 1970", time);
        when = time[0] == '+' ? now + CLAMP(when, 0, INT64_MAX / 2) : when;
    }
    return vnc_expire_password(when, error) ? json_object() : NULL;
}

static json_t *run_change_password(struct command_context *context, json_t *args, GError **error)
{
    return vnc_set_password(arg_str(args, "password"), error) ? json_object() : NULL;
}

/* --- News --- */

static void tell(const char *name, const struct vnc_viewer *viewer)
{
    json_t *server = server_value(viewer->is_websocket);
    if (!server)
        server = json_pack("{s:s s:s s:s s:b s:s}", "host", "", "service", "", "family", "unknown", "websocket", 0,
                           "auth", auth_now());
    event_emit(name, json_pack("{s:o s:o}", "server", server, "client", viewer_value(viewer)));
}

static void connected(void *opaque, const struct vnc_viewer *viewer)
{
    tell("VNC_CONNECTED", viewer);
}

static void ready(void *opaque, const struct vnc_viewer *viewer)
{
    tell("VNC_INITIALIZED", viewer);
}

static void gone(void *opaque, const struct vnc_viewer *viewer)
{
    tell("VNC_DISCONNECTED", viewer);
}

/* --- The table --- */

static const struct schema_type types[] = {
    {"NetworkAddressFamily", "<ipv4 ipv6 unix vsock unknown>"},
    {"VncBasicInfo", "host:str service:str family:NetworkAddressFamily websocket:bool"},
    {"VncServerInfo", "host:str service:str family:NetworkAddressFamily websocket:bool auth:str?"},
    {"VncClientInfo", "host:str service:str family:NetworkAddressFamily websocket:bool x509_dname:str? "
                      "sasl_username:str?"},
    {"VncInfo", "enabled:bool host:str? family:NetworkAddressFamily? service:str? auth:str? clients:[VncClientInfo]?"},
    {"VncPrimaryAuth", "<none vnc ra2 ra2ne tight ultra tls vencrypt sasl>"},
    {"VncVencryptSubAuth", "<plain tls-none x509-none tls-vnc x509-vnc tls-plain x509-plain tls-sasl x509-sasl>"},
    {"VncServerInfo2", "host:str service:str family:NetworkAddressFamily websocket:bool auth:VncPrimaryAuth "
                       "vencrypt:VncVencryptSubAuth?"},
    {"VncInfo2", "id:str server:[VncServerInfo2] clients:[VncClientInfo] auth:VncPrimaryAuth "
                 "vencrypt:VncVencryptSubAuth? display:str?"},
    {"DisplayProtocol", "<vnc spice>"},
    {"SetPasswordAction", "<keep fail disconnect>"},
    {"SetPasswordOptionsVnc", "display:str?"},
    {"ExpirePasswordOptionsVnc", "display:str?"},
};

static const struct event_type events[] = {
    {"VNC_CONNECTED", "server:VncServerInfo client:VncBasicInfo"},
    {"VNC_INITIALIZED", "server:VncServerInfo client:VncClientInfo"},
    {"VNC_DISCONNECTED", "server:VncServerInfo client:VncClientInfo"},
};

static const struct command rows[] = {
    {"query-vnc", NULL, NULL, "VncInfo", "the VNC server, and who looks", query_vnc, NULL},
    {"query-vnc-servers", NULL, NULL, "[VncInfo2]", "the same, with all addresses", query_vnc_servers, NULL},
    {NULL, "info vnc", NULL, NULL, "the VNC server, and who looks", NULL, print_vnc},
    {"set_password", NULL,
     "protocol:DisplayProtocol password:str connected:SetPasswordAction? | protocol=vnc:SetPasswordOptionsVnc", NULL,
     "the password that viewers need", run_set_password, NULL},
    {NULL, "set_password protocol password [-d=display] [connected]",
     "protocol:str password:str display:str? connected:str?", NULL, "the password that viewers need", run_set_password,
     NULL},
    {"expire_password", NULL, "protocol:DisplayProtocol time:str | protocol=vnc:ExpirePasswordOptionsVnc", NULL,
     "until when it is good", run_expire_password, NULL},
    {NULL, "expire_password protocol time [-d=display]", "protocol:str time:str display:str?", NULL,
     "until when it is good: now, never, +SECONDS, or seconds since 1970", run_expire_password, NULL},
    {"change-vnc-password", NULL, "password:str", NULL, "the password that viewers need", run_change_password, NULL},
};

void commands_vnc_add(void)
{
    const struct vnc_hooks hooks = {connected, ready, gone, NULL};
    schema_add(types, G_N_ELEMENTS(types));
    events_add(events, G_N_ELEMENTS(events));
    commands_add(rows, G_N_ELEMENTS(rows));
    vnc_set_hooks(&hooks);
}

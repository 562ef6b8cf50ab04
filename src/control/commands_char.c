/* Character devices and passed file descriptors. Shapes are those of QEMU's qapi/char.json and misc.json. */
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "lock.h"
#include "files.h"
#include "host/char/chardev.h"

#define FDS_MAX 64 /* that one client can have named */

/* --- Looking --- */

static void describe(void *opaque, const struct chardev_description *description)
{
    json_array_append_new(opaque, json_pack("{s:b s:o s:o}", "frontend-open", description->frontend_is_open, "filename",
                                            json_text(description->filename), "label", json_text(description->id)));
}

static json_t *query_chardev(struct command_context *context, json_t *args, GError **error)
{
    json_t *list = json_array();
    machine_lock();
    chardev_each(describe, list);
    machine_unlock();
    return list;
}

static void print_chardev(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    size_t index;
    json_t *one;
    json_array_foreach(value, index, one)
        g_string_append_printf(out, "%s: filename=%s\n", arg_str(one, "label"), arg_str(one, "filename"));
}

static void backend(void *opaque, const char *name)
{
    json_array_append_new(opaque, json_pack("{s:s}", "name", name));
}

static json_t *query_backends(struct command_context *context, json_t *args, GError **error)
{
    json_t *list = json_array();
    chardev_backends_each(backend, list);
    return list;
}

/* --- Making --- */

/* A descriptor of the client's by its name; it is the caller's then. */
static bool fd_claim(struct command_context *context, const char *name, int *fd)
{
    gpointer key, value;
    if (!context->fds || !g_hash_table_steal_extended(context->fds, name, &key, &value))
        return false;
    g_free(key);
    *fd = GPOINTER_TO_INT(value);
    return true;
}

void commands_add_scalar(struct keyvalues *list, const char *key, const json_t *value)
{
    char number[24];
    if (json_is_string(value)) {
        keyvalues_add(list, key, json_string_value(value));
    } else if (json_is_boolean(value)) {
        keyvalues_add(list, key, json_is_true(value) ? "on" : "off");
    } else if (json_is_integer(value)) {
        g_snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
        keyvalues_add(list, key, number);
    }
}

/* An address of QMP's as -chardev writes it: host and port, path, or fd. claimed: a descriptor that was the client's.
 */
static bool address_add(struct command_context *context, struct keyvalues *list, const json_t *address, bool is_local,
                        int *claimed, GError **error)
{
    const char *type = arg_str(address, "type"), *key;
    const json_t *data = json_object_get(address, "data");
    json_t *value;
    char text[16];
    if (strcmp(type, "vsock") == 0) {
        g_set_error(error, command_error(), COMMAND_ERROR_GENERIC, "vsock addresses are not supported");
        return false;
    }
    if (strcmp(type, "fd") == 0) {
        const char *name = arg_str(data, "str");
        if (g_ascii_isdigit(*name)) {
            keyvalues_add(list, "fd", name);
        } else if (fd_claim(context, name, claimed)) {
            g_snprintf(text, sizeof(text), "%d", *claimed);
            keyvalues_add(list, "fd", text);
        } else {
            g_set_error(error, command_error(), COMMAND_ERROR_GENERIC, "No file descriptor named '%s'", name);
            return false;
        }
        return true;
    }
    json_object_foreach((json_t *)data, key, value)
    {
        char *own = g_strconcat(is_local ? "local" : "", strcmp(key, "host") == 0 && is_local ? "addr" : key, NULL);
        commands_add_scalar(list, own, value);
        g_free(own);
    }
    return true;
}

/* Members of a backend's data whose names differ from -chardev's. */
static const char *option_name(const char *key)
{
    static const char *const names[][2] = {{"device", "path"}, {"out", "path"}, {"in", "input-path"}};
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(names[i][0], key) == 0)
            return names[i][1];
    }
    return key;
}

static json_t *chardev_make(struct keyvalues *list, GError **error)
{
    struct chardev *chardev = chardev_new(list, error);
    if (!chardev)
        return NULL;
    const char *path = chardev_pty_path(chardev);
    return path ? json_pack("{s:s}", "pty", path) : json_object();
}

static json_t *run_add(struct command_context *context, json_t *args, GError **error)
{
    const json_t *backend_json = json_object_get(args, "backend"), *data = json_object_get(backend_json, "data");
    const char *key;
    json_t *value, *answer = NULL;
    struct keyvalues *list = keyvalues_new();
    bool ok = true;
    int fd = -1;
    keyvalues_add(list, "backend", arg_str(backend_json, "type"));
    keyvalues_add(list, "id", arg_str(args, "id"));
    json_object_foreach((json_t *)data, key, value)
    {
        if (strcmp(key, "addr") == 0 || strcmp(key, "remote") == 0)
            ok = ok && address_add(context, list, value, false, &fd, error);
        else if (strcmp(key, "local") == 0)
            ok = ok && address_add(context, list, value, true, &fd, error);
        else
            commands_add_scalar(list, option_name(key), value);
    }
    if (strcmp(arg_str(backend_json, "type"), "socket") == 0 && !json_object_get(data, "server"))
        keyvalues_add(list, "server", "on"); /* QMP's default, unlike the command line's */
    if (ok)
        answer = chardev_make(list, error);
    if (!answer && fd >= 0)
        close(fd);
    keyvalues_free(list);
    return answer;
}

static json_t *run_add_line(struct command_context *context, json_t *args, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg_str(args, "args"), "chardev-add", "backend", error);
    json_t *answer = list ? chardev_make(list, error) : NULL;
    keyvalues_free(list);
    return answer;
}

static json_t *run_remove(struct command_context *context, json_t *args, GError **error)
{
    machine_lock();
    bool ok = chardev_remove(arg_str(args, "id"), error);
    machine_unlock();
    return ok ? json_object() : NULL;
}

static json_t *run_break(struct command_context *context, json_t *args, GError **error)
{
    machine_lock();
    bool ok = chardev_send_break(arg_str(args, "id"), error);
    machine_unlock();
    return ok ? json_object() : NULL;
}

/* --- Rings --- */

static json_t *run_ring_read(struct command_context *context, json_t *args, GError **error)
{
    int64_t size = arg_int(args, "size", 0);
    const char *format = arg_str(args, "format");
    json_t *value = NULL;
    if (size <= 0)
        return COMMAND_FAIL(GENERIC, "size must be greater than zero");
    GByteArray *bytes = g_byte_array_new();
    machine_lock();
    bool ok = chardev_ringbuf_read(arg_str(args, "device"), (size_t)size, bytes, error);
    machine_unlock();
    if (ok && format && strcmp(format, "base64") == 0) {
        char *text = g_base64_encode(bytes->data, bytes->len);
        value = json_string(text);
        g_free(text);
    } else if (ok) {
        char *text = g_utf8_make_valid(bytes->len ? (const char *)bytes->data : "", (gssize)bytes->len);
        value = json_string(text);
        g_free(text);
    }
    g_byte_array_unref(bytes);
    return value;
}

static void print_ring(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    g_string_append_printf(out, "%s\n", json_string_value(value));
}

static json_t *run_ring_write(struct command_context *context, json_t *args, GError **error)
{
    const char *format = arg_str(args, "format"), *text = arg_str(args, "data");
    gsize len = strlen(text);
    guchar *bytes =
        format && strcmp(format, "base64") == 0 ? g_base64_decode(text, &len) : (guchar *)g_memdup2(text, len + 1);
    machine_lock();
    bool ok = chardev_ringbuf_write(arg_str(args, "device"), bytes, len, error);
    machine_unlock();
    g_free(bytes);
    return ok ? json_object() : NULL;
}

/* --- Descriptors --- */

static json_t *run_getfd(struct command_context *context, json_t *args, GError **error)
{
    const char *name = arg_str(args, "fdname");
    int fd = context->take_fd ? context->take_fd(context->client) : -1;
    if (fd < 0)
        return COMMAND_FAIL(GENERIC, "No file descriptor supplied via SCM_RIGHTS");
    if (g_ascii_isdigit(*name)) {
        close(fd);
        return COMMAND_FAIL(GENERIC, "Parameter 'fdname' expects a name not starting with a digit");
    }
    if (!context->fds || g_hash_table_size(context->fds) >= FDS_MAX) {
        close(fd);
        return COMMAND_FAIL(GENERIC, "there are %u named file descriptors already; closefd some", FDS_MAX);
    }
    g_hash_table_replace(context->fds, g_strdup(name), GINT_TO_POINTER(fd));
    return json_object();
}

static json_t *run_closefd(struct command_context *context, json_t *args, GError **error)
{
    const char *name = arg_str(args, "fdname");
    if (!context->fds || !g_hash_table_remove(context->fds, name))
        return COMMAND_FAIL(GENERIC, "File descriptor named '%s' not found", name);
    return json_object();
}

static json_t *run_add_fd(struct command_context *context, json_t *args, GError **error)
{
    int fd = context->take_fd ? context->take_fd(context->client) : -1;
    int64_t set = arg_int(args, "fdset-id", -1);
    if (fd < 0)
        return COMMAND_FAIL(GENERIC, "No file descriptor supplied via SCM_RIGHTS");
    if (json_object_get(args, "fdset-id") && set < 0) {
        close(fd);
        return COMMAND_FAIL(GENERIC, "Parameter 'fdset-id' expects a non-negative value");
    }
    set = fdset_add(set, fd, arg_str(args, "opaque"), error);
    if (set < 0) {
        close(fd);
        return NULL;
    }
    return json_pack("{s:I s:i}", "fdset-id", (json_int_t)set, "fd", fd);
}

static json_t *run_remove_fd(struct command_context *context, json_t *args, GError **error)
{
    int64_t set = arg_int(args, "fdset-id", 0), fd = arg_int(args, "fd", FDSET_ALL);
    if (json_object_get(args, "fd") && (fd < 0 || fd > INT32_MAX)) /* -1 would be all of them */
        return COMMAND_FAIL(GENERIC, "File descriptor named 'fdset-id:%lld, fd:%lld' not found", (long long)set,
                            (long long)fd);
    return fdset_remove(set, (int)fd, error) ? json_object() : NULL;
}

static void fdset_describe(void *opaque, int64_t set, int fd, const char *label)
{
    json_t *list = opaque, *of_set = NULL, *one;
    size_t index;
    json_array_foreach(list, index, one)
    {
        if (arg_int(one, "fdset-id", -1) == set)
            of_set = json_object_get(one, "fds");
    }
    if (!of_set) {
        of_set = json_array();
        json_array_append_new(list, json_pack("{s:I s:o}", "fdset-id", (json_int_t)set, "fds", of_set));
    }
    one = json_pack("{s:i}", "fd", fd);
    if (label)
        json_object_set_new(one, "opaque", json_text(label));
    json_array_append_new(of_set, one);
}

static json_t *query_fdsets(struct command_context *context, json_t *args, GError **error)
{
    json_t *list = json_array();
    fdset_each(fdset_describe, list);
    return list;
}

#define COMMON "logfile:str? logappend:bool? "

static const struct schema_type types[] = {
    {"ChardevInfo", "label:str filename:str frontend-open:bool"},
    {"ChardevBackendInfo", "name:str"},
    {"ChardevReturn", "pty:str?"},
    {"DataFormat", "<utf8 base64>"},
    {"SocketAddressType", "<inet unix vsock fd>"},
    {"InetSocketAddress", "host:str port:str numeric:bool? to:int? ipv4:bool? ipv6:bool? keep-alive:bool?"},
    {"UnixSocketAddress", "path:str abstract:bool? tight:bool?"},
    {"VsockSocketAddress", "cid:str port:str"},
    {"FdSocketAddress", "str:str"},
    {"InetSocketAddressWrapper", "data:InetSocketAddress"},
    {"UnixSocketAddressWrapper", "data:UnixSocketAddress"},
    {"VsockSocketAddressWrapper", "data:VsockSocketAddress"},
    {"FdSocketAddressWrapper", "data:FdSocketAddress"},
    {"SocketAddressLegacy",
     "type:SocketAddressType | type=inet:InetSocketAddressWrapper | type=unix:UnixSocketAddressWrapper | "
     "type=vsock:VsockSocketAddressWrapper | type=fd:FdSocketAddressWrapper"},
    {"ChardevFile", COMMON "in:str? out:str append:bool?"},
    {"ChardevHostdev", COMMON "device:str"},
    {"ChardevSocket", COMMON "addr:SocketAddressLegacy tls-creds:str? tls-authz:str? server:bool? wait:bool? "
                             "nodelay:bool? telnet:bool? tn3270:bool? websocket:bool? reconnect:int?"},
    {"ChardevUdp", COMMON "remote:SocketAddressLegacy local:SocketAddressLegacy?"},
    {"ChardevCommon", "logfile:str? logappend:bool?"},
    {"ChardevMux", COMMON "chardev:str"},
    {"ChardevStdio", COMMON "signal:bool?"},
    {"ChardevVC", COMMON "width:int? height:int? cols:int? rows:int?"},
    {"ChardevRingbuf", COMMON "size:int?"},
    {"ChardevFileWrapper", "data:ChardevFile"},
    {"ChardevHostdevWrapper", "data:ChardevHostdev"},
    {"ChardevSocketWrapper", "data:ChardevSocket"},
    {"ChardevUdpWrapper", "data:ChardevUdp"},
    {"ChardevCommonWrapper", "data:ChardevCommon"},
    {"ChardevMuxWrapper", "data:ChardevMux"},
    {"ChardevStdioWrapper", "data:ChardevStdio"},
    {"ChardevVCWrapper", "data:ChardevVC"},
    {"ChardevRingbufWrapper", "data:ChardevRingbuf"},
    {"ChardevBackendKind", "<file serial parallel pipe socket udp pty null mux msmouse wctablet braille testdev stdio "
                           "console spicevmc spiceport qemu-vdagent dbus vc ringbuf memory>"},
    {"ChardevBackend",
     "type:ChardevBackendKind | type=file:ChardevFileWrapper | type=serial:ChardevHostdevWrapper | "
     "type=parallel:ChardevHostdevWrapper | type=pipe:ChardevHostdevWrapper | type=socket:ChardevSocketWrapper | "
     "type=udp:ChardevUdpWrapper | type=pty:ChardevCommonWrapper | type=null:ChardevCommonWrapper | "
     "type=mux:ChardevMuxWrapper | type=msmouse:ChardevCommonWrapper | type=wctablet:ChardevCommonWrapper | "
     "type=braille:ChardevCommonWrapper | type=testdev:ChardevCommonWrapper | type=stdio:ChardevStdioWrapper | "
     "type=console:ChardevCommonWrapper | type=vc:ChardevVCWrapper | type=ringbuf:ChardevRingbufWrapper | "
     "type=memory:ChardevRingbufWrapper"},
    {"AddfdInfo", "fdset-id:int fd:int"},
    {"FdsetFdInfo", "fd:int opaque:str?"},
    {"FdsetInfo", "fdset-id:int fds:[FdsetFdInfo]"},
};

static const struct command rows[] = {
    {"query-chardev", "info chardev", NULL, "[ChardevInfo]", "character devices", query_chardev, print_chardev},
    {"query-chardev-backends", NULL, NULL, "[ChardevBackendInfo]", "what character devices can be", query_backends,
     NULL},
    {"chardev-add", NULL, "id:str backend:ChardevBackend", "ChardevReturn", "one more character device", run_add, NULL},
    {NULL, "chardev-add args", "args:str", NULL, "one more character device, as -chardev has it", run_add_line, NULL},
    {"chardev-remove", "chardev-remove id", "id:str", NULL, "take a character device away", run_remove, NULL},
    {"chardev-send-break", "chardev-send-break id", "id:str", NULL, "a break on a serial line", run_break, NULL},
    {"ringbuf-read", "ringbuf_read device size", "device:str size:int format:DataFormat?", "str",
     "take what a ringbuf holds", run_ring_read, print_ring},
    {"ringbuf-write", "ringbuf_write device data", "device:str data:str format:DataFormat?", NULL,
     "put something into a ringbuf", run_ring_write, NULL},
    {"getfd", "getfd fdname", "fdname:str", NULL, "name a file descriptor that came over this socket", run_getfd, NULL},
    {"closefd", "closefd fdname", "fdname:str", NULL, "close such a one", run_closefd, NULL},
    {"add-fd", NULL, "fdset-id:int? opaque:str?", "AddfdInfo", "put such a one into a set (/dev/fdset/N)", run_add_fd,
     NULL},
    {"remove-fd", NULL, "fdset-id:int fd:int?", NULL, "take one, or all, out of a set", run_remove_fd, NULL},
    {"query-fdsets", NULL, NULL, "[FdsetInfo]", "sets of file descriptors", query_fdsets, NULL},
};

void commands_char_add(void)
{
    schema_add(types, G_N_ELEMENTS(types));
    commands_add(rows, G_N_ELEMENTS(rows));
}

/* Monitors and the debugger's stub, opened and closed. See control.h. */
#include "control.h"

#include <errno.h>
#include <string.h>

#include "board/debugger.h"
#include "commands.h"
#include "lock.h"
#include "host/block/blockdev.h"
#include "host/char/chardev.h"
#include "host/control/gdb.h"
#include "host/control/monitor.h"
#include "host/display/pointer.h"
#include "log.h"
#include "object.h"
#include "window_menu.h"

static struct {
    GPtrArray *monitors; /* struct monitor */
    struct gdb_stub *gdb;
    struct chardev *gdb_chardev; /* NULL: it is somebody else's */
} control;

/* --- The table --- */

static void commands_open(void)
{
    static void (*const add[])(void) = {
        commands_about_add,  commands_run_add,     commands_cpu_add,   commands_memory_add, commands_block_add,
        commands_char_add,   commands_net_add,     commands_input_add, commands_screen_add, commands_device_add,
        commands_object_add, commands_balloon_add, commands_vnc_add,   commands_audio_add,  commands_log_add};
    for (unsigned i = 0; i < G_N_ELEMENTS(add); i++)
        add[i]();
}

static void drives_complete(GPtrArray *list)
{
    struct blockdev_look look;
    for (unsigned i = 0; blockdev_look(i, &look); i++) {
        g_ptr_array_add(list, g_strdup(look.label));
        blockdev_look_clear(&look);
    }
}

static void complete(struct command_context *context, const char *argument, GPtrArray *list)
{
    struct machine *machine = context->machine;
    const struct instance *instance;
    if (strcmp(argument, "device") == 0)
        drives_complete(list);
    for (unsigned i = 0; strcmp(argument, "id") == 0 && (instance = registry_instance(machine->registry, i)); i++) {
        if (instance->has_id)
            g_ptr_array_add(list, g_strdup(instance->id));
    }
}

/* --- News of drives --- */

static void tray_moved(void *opaque, const char *label, bool open)
{
    char *path = object_path_of_drive(opaque, label);
    event_emit("DEVICE_TRAY_MOVED",
               json_pack("{s:s s:b s:s}", "device", label, "tray-open", open, "id", path ? path : ""));
    g_free(path);
}

static void drive_failed(void *opaque, const char *label, bool is_write, int code)
{
    event_emit("BLOCK_IO_ERROR",
               json_pack("{s:s s:s s:s s:b s:s}", "device", label, "operation", is_write ? "write" : "read", "action",
                         "report", "nospace", code == ENOSPC, "reason", g_strerror(code)));
}

/* --- Serial mice take the pointer --- */

static void serial_mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    msmouse_event(dx, -dy, buttons);
}

static void mouse_find(void *opaque, const struct chardev_description *description)
{
    static const struct input_sink sink = {.name = "QEMU Microsoft Mouse", .mouse = serial_mouse};
    if (strcmp(description->filename, "msmouse") == 0)
        pointer_add(&sink);
}

/* --- Monitors --- */

static bool monitor_open(struct machine *machine, struct chardev *chardev, bool program, bool pretty, GError **error)
{
    struct monitor *monitor = monitor_new(chardev, program, pretty, machine, error);
    if (monitor)
        g_ptr_array_add(control.monitors, monitor);
    return monitor;
}

static struct chardev *chardev_of_id(const char *id, const char *what, GError **error)
{
    struct chardev *chardev = chardev_find(id);
    if (!chardev)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: there is no -chardev with the id '%s'", what, id);
    return chardev;
}

/* As -serial and its like name one. *own: it was made here. */
static struct chardev *chardev_of_device(const char *device, const char *label, bool *own, GError **error)
{
    struct keyvalues *list = chardev_short_form(device, label, error);
    const char *id = list ? keyvalues_get(list, "chardev") : NULL;
    struct chardev *chardev = NULL;
    *own = !id;
    if (id)
        chardev = chardev_of_id(id, label, error);
    else if (list)
        chardev = chardev_new(list, error);
    keyvalues_free(list);
    return chardev;
}

/* Its chardev has been opened with those of all other options. */
static bool option_open(struct machine *machine, struct keyvalues *option, GError **error)
{
    const char *device = keyvalues_get(option, "device"), *mode = keyvalues_get(option, "mode");
    const char *pretty_text = keyvalues_get(option, "pretty"), *id = keyvalues_get(option, "chardev");
    bool pretty = false, program = mode && strcmp(mode, "control") == 0;
    if (pretty_text)
        value_is_switch(pretty_text, &pretty);
    if (device)
        id = g_str_has_prefix(device, "chardev:") ? device + strlen("chardev:") : keyvalues_get(option, "label");
    struct chardev *chardev = chardev_of_id(id, "a monitor", error);
    return chardev && monitor_open(machine, chardev, program, pretty, error);
}

/* "mon:" in front of a port's device: a monitor shares it. */
static bool shared_open(struct machine *machine, const char *device, const char *id, GError **error)
{
    struct chardev *chardev = device && g_str_has_prefix(device, "mon:") ? chardev_find(id) : NULL;
    return !chardev || monitor_open(machine, chardev, false, false, error);
}

static bool monitors_open(struct machine *machine, const struct options *options, GError **error)
{
    for (unsigned i = 0; i < OPTIONS_SERIAL_MAX; i++) {
        char id[16];
        g_snprintf(id, sizeof(id), "serial%u", i);
        if (!shared_open(machine, options->serial[i], id, error))
            return false;
    }
    if (!shared_open(machine, options->parallel, "parallel0", error) ||
        !shared_open(machine, options->debugcon, "debugcon", error))
        return false;
    for (unsigned i = 0; options->monitors && i < options->monitors->len; i++) {
        if (!option_open(machine, g_ptr_array_index(options->monitors, i), error))
            return false;
    }
    return true;
}

/* --- The debugger --- */

static void gdb_command(void *opaque, const char *line, GString *out)
{
    struct command_context context = {.machine = opaque};
    command_line(&context, line, out);
}

static void gdb_quit(void *opaque)
{
    machine_shut_down(opaque, SHUTDOWN_QMP_QUIT);
}

static void gdb_reset(void *opaque)
{
    machine_reset(opaque);
}

static void gdb_close(void)
{
    if (control.gdb)
        gdb_stub_free(control.gdb);
    control.gdb = NULL;
    machine_lock();
    if (control.gdb_chardev)
        chardev_close(control.gdb_chardev);
    machine_unlock();
    control.gdb_chardev = NULL;
}

static bool gdb_open(struct machine *machine, struct chardev *chardev, bool own, GError **error)
{
    const struct gdb_hooks hooks = {gdb_command, gdb_quit, gdb_reset, machine};
    control.gdb_chardev = own ? chardev : NULL;
    control.gdb = gdb_stub_new(chardev, machine_debug_target(machine), &hooks, error);
    if (!control.gdb)
        gdb_close();
    return control.gdb;
}

bool control_debug(struct machine *machine, const char *device, GError **error)
{
    bool own;
    gdb_close();
    if (strcmp(device, "none") == 0)
        return true;
    char *full = machine_gdb_device(device);
    struct chardev *chardev = chardev_of_device(full, "gdb", &own, error);
    g_free(full);
    return chardev && gdb_open(machine, chardev, own, error);
}

/* -gdb: its chardev is open already. */
static bool gdb_option_open(struct machine *machine, const char *device, GError **error)
{
    bool is_named = g_str_has_prefix(device, "chardev:");
    struct chardev *chardev = chardev_of_id(is_named ? device + strlen("chardev:") : "gdb", "-gdb", error);
    return chardev && gdb_open(machine, chardev, !is_named, error);
}

/* --- All of it --- */

/* Ctrl-A s on a mux: device thread. */
static gboolean commit_idle(gpointer opaque)
{
    struct command_context context = {.machine = opaque};
    GString *out = g_string_new(NULL);
    command_line(&context, "commit all", out);
    if (out->len)
        log_user("%s", g_strchomp(out->str));
    g_string_free(out, TRUE);
    return G_SOURCE_REMOVE;
}

static void commit_by_key(void *opaque)
{
    g_idle_add(commit_idle, opaque);
}

static void quit_by_key(void *opaque)
{
    machine_shut_down(opaque, SHUTDOWN_UI);
}

bool control_open(struct machine *machine, const struct options *options, GError **error)
{
    const struct blockdev_hooks hooks = {tray_moved, drive_failed, machine};
    commands_open();
    command_set_completer(complete);
    blockdev_set_hooks(&hooks);
    chardev_set_quit(quit_by_key, machine);
    chardev_set_commit(commit_by_key, machine);
    machine_lock();
    chardev_each(mouse_find, NULL);
    machine_unlock();
    window_menu_open(machine);
    control.monitors = g_ptr_array_new_with_free_func((GDestroyNotify)monitor_free);
    return monitors_open(machine, options, error) && (!options->gdb || gdb_option_open(machine, options->gdb, error));
}

void control_close(int status)
{
    const struct blockdev_hooks none = {0};
    events_flush();
    gdb_stub_exited(control.gdb, status);
    gdb_close();
    blockdev_set_hooks(&none);
    if (control.monitors)
        g_ptr_array_unref(control.monitors);
    control.monitors = NULL;
}

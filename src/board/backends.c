/* What the host gives the machine: character devices and passed descriptors, opened as the command line says; and the
 * fence that goes up when all is open.
 */
#include "machine_internal.h"

#include <string.h>

#include "files.h"
#include "host/audio/audiodev.h"
#include "host/display/window/window.h"
#include "host/char/chardev.h"
#include "host/daemon.h"
#include "host/fence.h"
#include "host/folder/folder.h"
#include "host/fs/fs.h"
#include "host/net/net.h"
#include "host/usb/usb.h"
#include "log.h"

/* The list for a port's back end: of its own, unless it names a -chardev. */
static bool port_list(GPtrArray *lists, const char *flag, const char *spec, const char *label, GError **error)
{
    if (!spec)
        return true;
    struct keyvalues *list = chardev_short_form(spec, label, error);
    if (!list) {
        g_prefix_error(error, "-%s %s: ", flag, spec);
        return false;
    }
    if (keyvalues_get(list, "chardev"))
        keyvalues_free(list);
    else
        g_ptr_array_add(lists, list);
    return true;
}

/* A debugger is a client, and nobody waits for it. */
char *machine_gdb_device(const char *device)
{
    return g_str_has_prefix(device, "tcp:") ? g_strconcat(device, ",wait=off,nodelay=on,server=on", NULL)
                                            : g_strdup(device);
}

static bool gdb_list(GPtrArray *lists, const struct options *options, GError **error)
{
    if (!options->gdb)
        return true;
    char *device = machine_gdb_device(options->gdb);
    bool ok = port_list(lists, "gdb", device, "gdb", error);
    g_free(device);
    return ok;
}

static bool ports_list(GPtrArray *lists, const struct options *options, GError **error)
{
    for (unsigned i = 0; i < OPTIONS_SERIAL_MAX; i++) {
        char label[16];
        g_snprintf(label, sizeof(label), "serial%u", i);
        if (!port_list(lists, "serial", options->serial[i], label, error))
            return false;
    }
    for (unsigned i = 0; options->monitors && i < options->monitors->len; i++) {
        struct keyvalues *monitor = g_ptr_array_index(options->monitors, i);
        if (!port_list(lists, "monitor", keyvalues_get(monitor, "device"), keyvalues_get(monitor, "label"), error))
            return false;
    }
    return port_list(lists, "parallel", options->parallel, "parallel0", error) &&
           port_list(lists, "debugcon", options->debugcon, "debugcon", error) && gdb_list(lists, options, error);
}

/* A monitor is on that port's line, too. */
static bool is_shared(const char *device)
{
    return device && g_str_has_prefix(device, "mon:");
}

/* Somebody may give orders to the running machine. */
static bool has_control(const struct options *options)
{
    bool shares = is_shared(options->parallel) || is_shared(options->debugcon);
    for (unsigned i = 0; i < OPTIONS_SERIAL_MAX; i++)
        shares = shares || is_shared(options->serial[i]);
    return shares || options->monitors || options->gdb;
}

static bool lists_open(GPtrArray *lists, const char *what, GError **error)
{
    for (unsigned i = 0; lists && i < lists->len; i++) {
        struct keyvalues *list = g_ptr_array_index(lists, i);
        if (!chardev_new(list, error)) {
            const char *id = keyvalues_get(list, "id");
            g_prefix_error(error, "%s%s%s: ", what, id ? " " : "", id ? id : "");
            return false;
        }
    }
    return true;
}

static bool folders_open(const struct options *options, GError **error)
{
    for (unsigned i = 0; options->fsdevs && i < options->fsdevs->len; i++) {
        struct keyvalues *list = g_ptr_array_index(options->fsdevs, i);
        if (!fs_new(list, error)) {
            const char *id = keyvalues_get(list, "id");
            g_prefix_error(error, "-fsdev%s%s: ", id ? " " : "", id ? id : "");
            return false;
        }
    }
    return true;
}

/* A card, and no word about where it is heard: where there is a window, on the loudspeaker beside it. */
static bool default_sound_open(const struct options *options, GError **error)
{
    bool is_desktop = options->window || (options->display_is_open && window_has_desktop());
    for (;;) {
        GError *why = NULL;
        struct keyvalues *list = keyvalues_new();
        keyvalues_add(list, "driver", is_desktop ? "sdl" : options->vnc ? AUDIODEV_HEARD : "none");
        keyvalues_add(list, "id", OPTIONS_DEFAULT_AUDIODEV);
        bool ok = audiodev_new(list, &why);
        keyvalues_free(list);
        if (ok)
            return true;
        if (!is_desktop) {
            g_propagate_error(error, why);
            return false;
        }
        log_user("there is no sound: %s", why->message);
        g_error_free(why);
        is_desktop = false;
    }
}

static bool sound_open(const struct options *options, GError **error)
{
    if (options->default_audiodev)
        return default_sound_open(options, error);
    for (unsigned i = 0; options->audiodevs && i < options->audiodevs->len; i++) {
        struct keyvalues *list = g_ptr_array_index(options->audiodevs, i);
        const char *driver = keyvalues_get(list, "driver"), *own = keyvalues_get(list, "id");
        bool is_vncs = options->vnc && (options->vnc_audiodev ? g_strcmp0(options->vnc_audiodev, own) == 0 : i == 0);
        if (is_vncs && g_strcmp0(driver, "none") == 0) /* VNC's viewers are to hear it */
            keyvalues_add(list, "driver", AUDIODEV_HEARD);
        if (!audiodev_new(list, error)) {
            const char *id = keyvalues_get(list, "id");
            g_prefix_error(error, "-audiodev%s%s: ", id ? " " : "", id ? id : "");
            return false;
        }
    }
    return true;
}

/* Devices of the host's are on the command line, or may come by order. */
static bool usb_open(const struct options *options, GError **error)
{
    bool has_bus = options->usb, has_device = false;
    for (unsigned i = 0; options->devices && i < options->devices->len; i++) {
        const char *driver = keyvalues_get(g_ptr_array_index(options->devices, i), "driver");
        const struct device_class *class = driver ? device_class_find(driver) : NULL;
        has_bus = has_bus || (class && class->provides_bus == BUS_USB);
        has_device = has_device || g_strcmp0(driver, "usb-host") == 0;
    }
    return !(has_device || (has_bus && has_control(options))) || usb_host_start(error);
}

bool backends_open(const struct options *options, GError **error)
{
    GPtrArray *ports = g_ptr_array_new_with_free_func((GDestroyNotify)keyvalues_free), *all = g_ptr_array_new();
    if (options->escape >= 0)
        chardev_set_escape((uint8_t)options->escape);
    if (options->daemonize)
        chardev_forbid_stdio();
    folder_processes_use();
    bool ok = ports_list(ports, options, error);
    for (unsigned i = 0; options->chardevs && i < options->chardevs->len; i++)
        g_ptr_array_add(all, g_ptr_array_index(options->chardevs, i));
    for (unsigned i = 0; i < ports->len; i++)
        g_ptr_array_add(all, g_ptr_array_index(ports, i));
    ok = ok && sound_open(options, error) && folders_open(options, error) && network_open(options, error) &&
         usb_open(options, error) && (!has_control(options) || net_broker_start(error)) &&
         chardev_dialer_start(all, has_control(options), error) && lists_open(options->chardevs, "-chardev", error) &&
         lists_open(ports, "back end", error);
    g_ptr_array_unref(all);
    g_ptr_array_unref(ports);
    return ok;
}

bool backends_take_fds(const struct options *options, GError **error)
{
    for (unsigned i = 0; options->add_fds && i < options->add_fds->len; i++) {
        struct keyvalues *list = g_ptr_array_index(options->add_fds, i);
        uint64_t fd = 0, set = 0;
        value_is_number(keyvalues_get(list, "fd"), INT32_MAX, &fd);
        value_is_number(keyvalues_get(list, "set"), INT32_MAX, &set);
        if (!fdset_add_inherited((int64_t)set, (int)fd, keyvalues_get(list, "opaque"), error)) {
            g_prefix_error(error, "-add-fd fd=%d: ", (int)fd);
            return false;
        }
    }
    return true;
}

bool backends_fence(const struct machine *machine)
{
    const struct options *options = &machine->options;
    const struct fence_needs needs = {
        .kvm = options->accel == ACCEL_KVM,
        .files = has_control(options) || options->window,
        .clients = chardev_needs_clients() || has_control(options),
        .removes = options->pidfile || options->vnc || chardev_needs_unlink() || has_control(options),
        .cells = options->accel == ACCEL_DIRECT,
        .window = options->window,
        .viewers = options->vnc,
        .sound = audiodev_needs_device(),
    };
    GError *error = NULL;
    folder_processes_seal();
    if (options->sandbox == SANDBOX_OFF || fence_enter(&needs, &error))
        return true;
    if (options->sandbox == SANDBOX_ON)
        daemon_report(1);
    if (options->sandbox == SANDBOX_ON)
        log_user("-sandbox on: this host does not allow it (%s); use -sandbox off to do without", error->message);
    else
        log_user("running without the seccomp fence, which this host does not allow (%s)", error->message);
    g_error_free(error);
    return options->sandbox != SANDBOX_ON;
}

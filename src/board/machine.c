/* The life of the machine: built, run, ended. What it is made of: machine_internal.h says where. */
#include "machine_internal.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cpu/cpuid.h"
#include "devthread.h"
#include "files.h"
#include "host/char/chardev.h"
#include "host/control/events.h"
#include "host/daemon.h"
#include "host/fence.h"
#include "log.h"
#include "mem.h"
#include "stats.h"
#include "vclock.h"

static gboolean quit_idle(gpointer opaque)
{
    struct machine *machine = opaque;
    g_main_loop_quit(machine->loop);
    return G_SOURCE_REMOVE;
}

void machine_quit(struct machine *machine, int status)
{
    int running = -1;
    /* By way of the main loop: a quit that comes before it runs must not be lost. */
    if (atomic_compare_exchange_strong(&machine->exit_status, &running, status))
        g_idle_add_full(G_PRIORITY_HIGH, quit_idle, machine, NULL);
}

void machine_shut_down(struct machine *machine, enum shutdown_reason reason)
{
    static const char *const names[] = {"host-qmp-quit", "host-signal", "host-ui"};
    if (atomic_load(&machine->exit_status) < 0)
        event_emit("SHUTDOWN", json_pack("{s:b s:s}", "guest", 0, "reason", names[reason]));
    machine_quit(machine, 0);
}

static gboolean stats_by_signal(gpointer opaque)
{
    GString *out = g_string_new(NULL);
    console_stats(opaque, false, out);
    fputs(out->str, stderr);
    g_string_free(out, TRUE);
    return G_SOURCE_CONTINUE;
}

static gboolean quit_by_signal(gpointer opaque)
{
    machine_shut_down(opaque, SHUTDOWN_SIGNAL);
    return G_SOURCE_CONTINUE;
}

static void clock_build(const struct options *options)
{
    int64_t now = time(NULL);
    if (options->rtc_base_set)
        vclock_set_wall_base(options->rtc_base);
    else if (options->rtc_localtime) {
        time_t t = now;
        struct tm tm;
        localtime_r(&t, &tm);
        vclock_set_wall_base(now + tm.tm_gmtoff);
    } else {
        vclock_set_wall_base(now);
    }
}

static struct chardev *backend_chardev(void *opaque, const char *id)
{
    return chardev_find(id);
}

static const struct device_drive *backend_drive(void *opaque, const char *id)
{
    struct machine *machine = opaque;
    return storage_find(&machine->storage, id);
}

static const struct device_drive *backend_empty(void *opaque, const char *id, bool is_cd, GError **error)
{
    struct machine *machine = opaque;
    return storage_empty(&machine->storage, id, is_cd, error);
}

static void registry_build(struct machine *machine)
{
    const struct registry_backends backends = {backend_chardev, backend_drive, backend_empty, machine};
    GPtrArray *globals = machine->options.globals;
    machine->registry = registry_new(&backends);
    for (unsigned i = 0; globals && i < globals->len; i++) {
        struct keyvalues *global = g_ptr_array_index(globals, i);
        registry_set_global(machine->registry, keyvalues_get(global, "driver"), keyvalues_get(global, "property"),
                            keyvalues_get(global, "value"));
    }
    pins_provide(machine);
}

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

/* Somebody may give orders to the running machine. */
static bool has_control(const struct options *options)
{
    for (unsigned i = 0; i < OPTIONS_SERIAL_MAX; i++) {
        if (options->serial[i] && g_str_has_prefix(options->serial[i], "mon:"))
            return true;
    }
    return options->monitors || options->gdb;
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

/* -chardev, -serial and their like: they are there before any device asks for one, and before there are threads: whom
 * they wait for may never come. */
static bool chardevs_open(const struct options *options, GError **error)
{
    GPtrArray *ports = g_ptr_array_new_with_free_func((GDestroyNotify)keyvalues_free), *all = g_ptr_array_new();
    if (options->escape >= 0)
        chardev_set_escape((uint8_t)options->escape);
    if (options->daemonize)
        chardev_forbid_stdio();
    bool ok = ports_list(ports, options, error);
    for (unsigned i = 0; options->chardevs && i < options->chardevs->len; i++)
        g_ptr_array_add(all, g_ptr_array_index(options->chardevs, i));
    for (unsigned i = 0; i < ports->len; i++)
        g_ptr_array_add(all, g_ptr_array_index(ports, i));
    ok = ok && chardev_dialer_start(all, has_control(options), error) &&
         lists_open(options->chardevs, "-chardev", error) && lists_open(ports, "back end", error);
    g_ptr_array_unref(all);
    g_ptr_array_unref(ports);
    return ok;
}

/* -add-fd: before anybody opens one of them. */
static bool fds_add(const struct options *options, GError **error)
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

/* Locked as long as we live: a file of a machine that runs is left alone. */
static bool pidfile_write(struct machine *machine, const char *path, GError **error)
{
    machine->options.pidfile = path = g_canonicalize_filename(path, NULL); /* -daemonize changes the folder */
    char text[16];
    ssize_t len = g_snprintf(text, sizeof(text), "%d\n", (int)getpid());
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0 && ftruncate(fd, 0) == 0 && write(fd, text, (size_t)len) == len) {
        machine->pidfile_fd = fd;
        return true;
    }
    if (fd >= 0 && (errno == EACCES || errno == EAGAIN))
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "-pidfile: '%s' belongs to a machine that runs", path);
    else
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "-pidfile: cannot write '%s': %s", path,
                    g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return false;
}

struct machine *machine_new(const struct options *options, GError **error)
{
    struct machine *machine = g_new0(struct machine, 1);
    machine->options = *options;
    machine->exit_status = -1;
    machine->pidfile_fd = -1;
    machine->stands = true;
    machine->loop = g_main_loop_new(NULL, FALSE);

    if (!fds_add(options, error))
        goto fail;
    /* What can be wrong with the user's files is found out before anything is opened or built. */
    if (!kernel_open(machine, error))
        goto fail;
    machine->model = cpu_model_parse(options->cpu ? options->cpu : options->isapc ? "486" : NULL, error);
    if (!machine->model)
        goto fail;
    if (options->isapc) /* nothing is wired to it on such a board */
        cpu_model_hide_apic(machine->model);
    if (options->pidfile && !pidfile_write(machine, options->pidfile, error))
        goto fail;
    if (!chardevs_open(options, error) || !mem_init(options->ram_size, error))
        goto fail;

    if (options->stats_file && !(machine->stats_file = fopen(options->stats_file, "we"))) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "-stats: cannot write '%s': %s",
                    options->stats_file, g_strerror(errno));
        goto fail;
    }
    clock_build(options);
    registry_build(machine);
    kernel_build(machine);
    if (!pc_build(machine, error))
        goto fail;
    pins_connect(machine);
    struct vcpu_hooks hooks = pins_hooks(machine);
    machine->vcpu = vcpu_new(options->accel, options->direct_always, options->tb_size, machine->model, &hooks, error);
    if (!machine->vcpu || !console_build(machine, error))
        goto fail;
    machine_lock();
    hooks.reset(machine);
    machine_unlock();
    return machine;

fail:
    machine_free(machine);
    return NULL;
}

void machine_free(struct machine *machine)
{
    debugger_free(machine);
    storage_close(&machine->storage);
    console_close(machine);
    if (machine->vcpu)
        vcpu_free(machine->vcpu);
    machine->vcpu = NULL;
    pins_disconnect(machine);
    if (machine->registry)
        registry_free(machine->registry);
    chardev_close_all();
    kernel_close(machine);
    storage_free(&machine->storage);
    if (machine->pidfile_fd >= 0) {
        unlink(machine->options.pidfile);
        close(machine->pidfile_fd);
    }
    mem_destroy();
    g_free(machine->model);
    g_main_loop_unref(machine->loop);
    g_free(machine);
}

/* Everything is open and running but the processor. False: the user insists on a fence, and there is none. */
static bool fence_up(const struct machine *machine)
{
    const struct options *options = &machine->options;
    const struct fence_needs needs = {
        .kvm = options->accel == ACCEL_KVM,
        .files = has_control(options),
        .clients = chardev_needs_clients() || has_control(options),
        .removes = options->pidfile || chardev_needs_unlink() || has_control(options),
        .cells = options->accel == ACCEL_DIRECT,
    };
    GError *error = NULL;
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

int machine_run(struct machine *machine)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write(), not our end */
    g_unix_signal_add(SIGINT, quit_by_signal, machine);
    g_unix_signal_add(SIGTERM, quit_by_signal, machine);
    g_unix_signal_add(SIGHUP, quit_by_signal, machine);
    g_unix_signal_add(SIGUSR1, stats_by_signal, machine);
    vclock_attach();
    chardev_seal();
    if (machine->options.daemonize)
        daemon_detach(machine->options.log_file);
    if (!fence_up(machine))
        return 1;
    if (machine->options.stats)
        stats_set_timing(true);
    devthread_start();
    machine->started = true;
    machine->pauses[PAUSE_USER] = machine->options.start_stopped;
    vcpu_start(machine->vcpu, true);
    machine_settle(machine);
    daemon_report(0);
    g_main_loop_run(machine->loop);
    chardev_set_waiting(false);
    bool ended = vcpu_stop(machine->vcpu);
    console_save_stats(machine);
    if (!ended) {
        log_user("the engine does not stop; please report it (-accel interp may help)");
        chardev_close_all();
        _exit(atomic_load(&machine->exit_status));
    }
    machine_lock();
    vclock_stop();
    machine_unlock();
    devthread_stop();
    vclock_detach();
    return atomic_load(&machine->exit_status);
}

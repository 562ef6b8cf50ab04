/* The life of the machine: built, run, ended. What it is made of: machine_internal.h says where. */
#include "machine_internal.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "cpu/cpuid.h"
#include "devthread.h"
#include "host/audio/audiodev.h"
#include "host/char/chardev.h"
#include "host/control/events.h"
#include "host/daemon.h"
#include "host/fs/fs.h"
#include "host/net/net.h"
#include "host/usb/usb.h"
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

static struct netdev *backend_netdev(void *opaque, const char *id)
{
    return net_find(id);
}

static struct fsdev *backend_fsdev(void *opaque, const char *id)
{
    return fs_find(id);
}

static struct audiodev *backend_audiodev(void *opaque, const char *id)
{
    return audiodev_find(id);
}

static const struct board_rom *backend_rom(void *opaque, const char *file, GError **error)
{
    struct machine *machine = opaque;
    return roms_open(machine, file, error);
}

static void registry_build(struct machine *machine)
{
    const struct registry_backends backends = {.chardev = backend_chardev,
                                               .drive = backend_drive,
                                               .empty = backend_empty,
                                               .netdev = backend_netdev,
                                               .fsdev = backend_fsdev,
                                               .audiodev = backend_audiodev,
                                               .rom = backend_rom,
                                               .opaque = machine};
    GPtrArray *globals = machine->options.globals;
    machine->registry = registry_new(&backends);
    for (unsigned i = 0; globals && i < globals->len; i++) {
        struct keyvalues *global = g_ptr_array_index(globals, i);
        registry_set_global(machine->registry, keyvalues_get(global, "driver"), keyvalues_get(global, "property"),
                            keyvalues_get(global, "value"));
    }
    pins_provide(machine);
    paravirt_provide(machine);
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

    if (!backends_take_fds(options, error))
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
    if (!backends_open(options, error) || !mem_init(options->ram_size, error))
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
    if (!objects_make(options, error))
        goto fail;
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
    net_close_all();
    fs_close_all();
    usb_host_stop();
    audiodev_close_all();
    roms_close(machine);
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

static bool threads_start(struct machine *machine)
{
    GError *error = NULL;
    bool ok = devthread_start(&error);
    if (ok && !vcpu_start(machine->vcpu, true)) {
        devthread_stop();
        ok = false;
    }
    if (ok)
        return true;
    daemon_report(1);
    log_user("the host gives no more threads (%s); raise its limits (ulimit -v, -u)",
             error ? error->message : "for the processor");
    g_clear_error(&error);
    vclock_detach();
    return false;
}

/* A loudspeaker that nobody has asked for is none that must be there. */
static bool sound_start(struct machine *machine)
{
    GError *error = NULL;
    if (audiodev_start_all(&error))
        return true;
    bool matters = !machine->options.default_audiodev;
    if (matters)
        daemon_report(1);
    if (matters)
        log_user("%s", error->message);
    else
        log_user("there is no sound: %s", error->message);
    g_error_free(error);
    return !matters;
}

int machine_run(struct machine *machine)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write(), not our end */
    g_unix_signal_add(SIGINT, quit_by_signal, machine);
    g_unix_signal_add(SIGTERM, quit_by_signal, machine);
    g_unix_signal_add(SIGHUP, quit_by_signal, machine);
    g_unix_signal_add(SIGUSR1, stats_by_signal, machine);
    vclock_attach();
    prctl(PR_SET_TIMERSLACK, 1); /* of all threads to come: a guest's timer is not 50 us late */
    chardev_seal();
    if (machine->options.daemonize)
        daemon_detach(machine->options.log_file);
    if (!sound_start(machine) || !backends_fence(machine))
        return 1;
    if (machine->options.stats)
        stats_set_timing(true);
    if (!threads_start(machine))
        return 1;
    machine->started = true;
    machine->pauses[PAUSE_USER] = machine->options.start_stopped;
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

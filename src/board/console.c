/* What the user sees of the machine and does to it: monitor, text screen, keys, statistics. */
#include "machine_internal.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "host/char/chardev.h"
#include "host/control/gdb.h"
#include "host/control/monitor.h"
#include "host/display/display_curses.h"
#include "host/display/keys.h"
#include "display.h"
#include "log.h"
#include "vclock.h"

static void monitor_quit(void *opaque)
{
    machine_quit(opaque, 0);
}

static void monitor_reset(void *opaque)
{
    machine_reset(opaque);
}

static void monitor_stop(void *opaque)
{
    machine_stop(opaque);
}

static bool monitor_cont(void *opaque, GError **error)
{
    return machine_cont(opaque, error);
}

static const char *monitor_status(void *opaque)
{
    return machine_status(opaque);
}

static void monitor_registers(void *opaque, GString *out)
{
    struct machine *machine = opaque;

    machine_pause(machine, PAUSE_SNAPSHOT); /* registers are in memory only while the processor stands */
    cpu_print(vcpu_cpu(machine->vcpu), out);
    machine_resume(machine, PAUSE_SNAPSHOT);
}

/* info NAME: a device by its class or its id. */
static bool monitor_device(void *opaque, const char *name, GString *out)
{
    struct machine *machine = opaque;
    const struct instance *instance;
    bool found = false;
    for (unsigned i = 0; (instance = registry_instance(machine->registry, i)); i++) {
        if (!instance->class->dump)
            continue;
        const char *word = instance->class->info ? instance->class->info : instance->class->name;
        if (!name) {
            g_string_append_printf(out, " %s", word);
        } else if (strcmp(name, word) == 0 || strcmp(name, instance->class->name) == 0 ||
                   strcmp(name, instance->id) == 0) {
            machine_lock();
            instance->class->dump(instance->dev, out);
            machine_unlock();
            found = true;
        }
    }
    return found;
}

static void monitor_tree(void *opaque, GString *out)
{
    struct machine *machine = opaque;
    registry_print_tree(machine->registry, out);
}

static void monitor_stats(void *opaque, bool json, GString *out)
{
    console_stats(opaque, json, out);
}

void console_stats(struct machine *machine, bool json, GString *out)
{
    vcpu_print_stats(machine->vcpu, json, out);
}

/* Until there is a table of commands that is not a monitor's own. */
static void gdb_command(void *opaque, const char *line, GString *out)
{
    g_string_append_printf(out, "unknown command: '%s'\n", line);
}

static bool gdb_build(struct machine *machine, GError **error)
{
    const struct gdb_hooks hooks = {gdb_command, monitor_quit, monitor_reset, machine};
    const char *spec = machine->options.gdb;
    if (!spec)
        return true;
    const char *id = g_str_has_prefix(spec, "chardev:") ? spec + strlen("chardev:") : "gdb";
    struct chardev *chardev = chardev_find(id);
    if (!chardev)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "-gdb: there is no chardev '%s'", id);
    else
        machine->gdb = gdb_stub_new(chardev, machine_debug_target(machine), &hooks, error);
    return machine->gdb != NULL;
}

bool console_build(struct machine *machine, GError **error)
{
    struct board *board = registry_board(machine->registry);
    const struct input_sink *input = board_service(board, "input");
    const struct options *options = &machine->options;
    const struct monitor_hooks hooks = {monitor_quit,   monitor_reset,
                                        monitor_stop,   monitor_cont,
                                        monitor_status, monitor_registers,
                                        monitor_device, monitor_tree,
                                        monitor_stats,  board_service(board, "display"),
                                        machine};

    if (input)
        keys_set_sink(input->key, input->opaque);
    if (options->curses && !hooks.display) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "-display curses needs a graphics card, not -vga none");
        return false;
    }
    if (options->curses && !curses_open(hooks.display, monitor_quit, machine, error))
        return false;
    if (options->monitor && !(machine->monitor = monitor_new(options->monitor, &hooks, error)))
        return false;
    chardev_set_quit(monitor_quit, machine);
    return gdb_build(machine, error);
}

/* -stats file:PATH: at the end, as JSON. */
void console_save_stats(struct machine *machine)
{
    if (!machine->stats_file)
        return;
    GString *out = g_string_new(NULL);
    console_stats(machine, true, out);
    bool ok = fputs(out->str, machine->stats_file) >= 0;
    if (fclose(machine->stats_file) != 0 || !ok)
        log_user("-stats: cannot write '%s': %s", machine->options.stats_file, g_strerror(errno));
    machine->stats_file = NULL;
    g_string_free(out, TRUE);
}

void console_close(struct machine *machine)
{
    if (machine->stats_file)
        fclose(machine->stats_file);
    curses_close();
    gdb_stub_exited(machine->gdb, atomic_load(&machine->exit_status));
    gdb_stub_free(machine->gdb);
    if (machine->monitor)
        monitor_free(machine->monitor);
}

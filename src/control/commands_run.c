/* The life of the machine: stop, cont, quit, reset, buttons, and what it is. */
#include <string.h>

#include "commands.h"
#include "lock.h"
#include "host/control/face.h"
#include "stats.h"

static json_t *run_stop(struct command_context *context, json_t *args, GError **error)
{
    machine_stop(context->machine);
    return json_object();
}

static json_t *run_cont(struct command_context *context, json_t *args, GError **error)
{
    return machine_cont(context->machine, error) ? json_object() : NULL;
}

static json_t *run_quit(struct command_context *context, json_t *args, GError **error)
{
    machine_shut_down(context->machine, SHUTDOWN_QMP_QUIT);
    return json_object();
}

static json_t *run_reset(struct command_context *context, json_t *args, GError **error)
{
    machine_reset(context->machine);
    return json_object();
}

/* The power button: the guest decides. On a board without ACPI there is no such button. */
static json_t *run_powerdown(struct command_context *context, json_t *args, GError **error)
{
    if (machine_press_power_button(context->machine))
        event_emit("POWERDOWN", NULL);
    return json_object();
}

/* There is no sleep that keeps memory, so there is nothing to wake up from. */
static json_t *run_wakeup(struct command_context *context, json_t *args, GError **error)
{
    return COMMAND_FAIL(GENERIC, "Unable to wake up: guest is not in suspended state");
}

static json_t *run_nmi(struct command_context *context, json_t *args, GError **error)
{
    struct machine *machine = context->machine;
    vcpu_request_nmi(machine->vcpu);
    return json_object();
}

static json_t *run_set_action(struct command_context *context, json_t *args, GError **error)
{
    struct machine *machine = context->machine;
    const char *reboot = arg_str(args, "reboot"), *shutdown = arg_str(args, "shutdown");
    machine_lock();
    if (reboot)
        machine->options.no_reboot = strcmp(reboot, "shutdown") == 0;
    if (shutdown)
        machine->options.no_shutdown = strcmp(shutdown, "pause") == 0;
    machine_unlock();
    return json_object(); /* nothing here panics, and there is no watchdog */
}

/* --- What it is --- */

static json_t *query_status(struct command_context *context, json_t *args, GError **error)
{
    const char *status = machine_status(context->machine);
    return json_pack("{s:s s:b s:b}", "status", status, "singlestep", 0, "running", strcmp(status, "running") == 0);
}

static void print_status(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    const char *status = arg_str(value, "status");
    if (strcmp(status, "running") == 0 || strcmp(status, "paused") == 0)
        g_string_append_printf(out, "VM status: %s\n", status);
    else
        g_string_append_printf(out, "VM status: paused (%s)\n", status);
}

static json_t *query_version(struct command_context *context, json_t *args, GError **error)
{
    return json_pack("{s:{s:i s:i s:i} s:s}", "qemu", "micro", CONTROL_QEMU_MICRO, "minor", CONTROL_QEMU_MINOR, "major",
                     CONTROL_QEMU_MAJOR, "package", "Ringer " RINGER_VERSION);
}

static void print_version(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    g_string_append_printf(out, "%u.%u.%u (%s)\n", CONTROL_QEMU_MAJOR, CONTROL_QEMU_MINOR, CONTROL_QEMU_MICRO,
                           arg_str(value, "package"));
}

static json_t *query_name(struct command_context *context, json_t *args, GError **error)
{
    struct machine *machine = context->machine;
    json_t *value = json_object();
    if (machine->options.name)
        json_object_set_new(value, "name", json_text(machine->options.name));
    return value;
}

static void print_name(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    if (arg_str(value, "name"))
        g_string_append_printf(out, "%s\n", arg_str(value, "name"));
}

static json_t *query_uuid(struct command_context *context, json_t *args, GError **error)
{
    struct machine *machine = context->machine;
    const char *uuid = machine->options.uuid;
    return json_pack("{s:s}", "UUID", uuid ? uuid : "00000000-0000-0000-0000-000000000000");
}

static void print_uuid(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    g_string_append_printf(out, "%s\n", arg_str(value, "UUID"));
}

static json_t *query_target(struct command_context *context, json_t *args, GError **error)
{
    return json_pack("{s:s}", "arch", "i386");
}

static json_t *query_kvm(struct command_context *context, json_t *args, GError **error)
{
    struct machine *machine = context->machine;
    return json_pack("{s:b s:b}", "enabled", machine->options.accel == ACCEL_KVM, "present",
                     vcpu_accel_works(ACCEL_KVM, NULL));
}

static void print_kvm(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    g_string_append_printf(out, "kvm support: %s\n", arg_bool(value, "enabled", false) ? "enabled" : "disabled");
}

static json_t *query_iothreads(struct command_context *context, json_t *args, GError **error)
{
    return json_array();
}

static json_t *query_current_machine(struct command_context *context, json_t *args, GError **error)
{
    return json_pack("{s:b}", "wakeup-suspend-support", 0);
}

static const struct schema_type types[] = {
    {"RunState", "<debug inmigrate internal-error io-error paused postmigrate prelaunch finish-migrate restore-vm "
                 "running save-vm shutdown suspended watchdog guest-panicked colo>"},
    {"StatusInfo", "running:bool singlestep:bool status:RunState"},
    {"VersionTriple", "major:int minor:int micro:int"},
    {"VersionInfo", "qemu:VersionTriple package:str"},
    {"NameInfo", "name:str?"},
    {"UuidInfo", "UUID:str"},
    {"SysEmuTarget", "<aarch64 alpha arm avr cris hppa i386 loongarch64 m68k microblaze microblazeel mips mips64 "
                     "mips64el mipsel nios2 or1k ppc ppc64 riscv32 riscv64 rx s390x sh4 sh4eb sparc sparc64 tricore "
                     "x86_64 xtensa xtensaeb>"},
    {"TargetInfo", "arch:SysEmuTarget"},
    {"KvmInfo", "enabled:bool present:bool"},
    {"IOThreadInfo", "id:str thread-id:int poll-max-ns:int poll-grow:int poll-shrink:int aio-max-batch:int"},
    {"CurrentMachineParams", "wakeup-suspend-support:bool"},
    {"RebootAction", "<reset shutdown>"},
    {"ShutdownAction", "<poweroff pause>"},
    {"PanicAction", "<pause shutdown exit-failure none>"},
    {"WatchdogAction", "<reset shutdown poweroff pause debug none inject-nmi>"},
    {"ShutdownCause", "<none host-error host-qmp-quit host-qmp-system-reset host-signal host-ui guest-shutdown "
                      "guest-reset guest-panic subsystem-reset snapshot-load>"},
};

static const struct event_type events[] = {{"RESET", "guest:bool reason:ShutdownCause"},
                                           {"SHUTDOWN", "guest:bool reason:ShutdownCause"},
                                           {"STOP", NULL},
                                           {"RESUME", NULL},
                                           {"POWERDOWN", NULL}};

static const struct command rows[] = {
    {"stop", "stop|s", NULL, NULL, "stop the machine: processor and clock", run_stop, NULL},
    {"cont", "cont|c", NULL, NULL, "go on", run_cont, NULL},
    {"quit", "quit|q", NULL, NULL, "end the machine", run_quit, NULL},
    {"system_reset", "system_reset", NULL, NULL, "as the reset button", run_reset, NULL},
    {"system_powerdown", "system_powerdown", NULL, NULL, "as the power button: the guest may switch itself off (ACPI)",
     run_powerdown, NULL},
    {"system_wakeup", "system_wakeup", NULL, NULL, "wake the guest up from suspension", run_wakeup, NULL},
    {"inject-nmi", "nmi", NULL, NULL, "a non-maskable interrupt", run_nmi, NULL},
    {"set-action", NULL, "reboot:RebootAction? shutdown:ShutdownAction? panic:PanicAction? watchdog:WatchdogAction?",
     NULL, "what is done when the guest resets or switches off (by QMP)", run_set_action, NULL},
    {"query-status", "info status", NULL, "StatusInfo", "whether it runs", query_status, print_status},
    {"query-version", "info version", NULL, "VersionInfo", "the version", query_version, print_version},
    {"query-name", "info name", NULL, "NameInfo", "the machine's name (-name)", query_name, print_name},
    {"query-uuid", "info uuid", NULL, "UuidInfo", "the machine's UUID (-uuid)", query_uuid, print_uuid},
    {"query-target", NULL, NULL, "TargetInfo", "the guest's architecture", query_target, NULL},
    {"query-kvm", "info kvm", NULL, "KvmInfo", "whether KVM is in use", query_kvm, print_kvm},
    {"query-iothreads", "info iothreads", NULL, "[IOThreadInfo]", "threads of disks: there are none to name",
     query_iothreads, NULL},
    {"query-current-machine", NULL, NULL, "CurrentMachineParams", "what this machine can do", query_current_machine,
     NULL},
};

void commands_run_add(void)
{
    schema_add(types, G_N_ELEMENTS(types));
    events_add(events, G_N_ELEMENTS(events));
    commands_add(rows, G_N_ELEMENTS(rows));
}

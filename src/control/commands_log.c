/* Logs, statistics, the flight recorder, the debugger's stub. */
#include <string.h>

#include "commands.h"
#include "control.h"
#include "flight.h"
#include "log.h"
#include "stats.h"

static json_t *run_log(struct command_context *context, json_t *args, GError **error)
{
    const char *items = arg_str(args, "items"), *bad;
    if (strcmp(items, "help") == 0)
        return json_object();
    uint32_t before = log_enabled;
    log_enabled = 0; /* the list is all there is to be */
    if (strcmp(items, "none") == 0 || log_parse(items, &bad))
        return json_object();
    log_enabled = before;
    return COMMAND_FAIL(GENERIC, "there is no log item '%.*s'; log help lists them", (int)strcspn(bad, ","), bad);
}

static void print_log(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    if (strcmp(arg_str(args, "items"), "help") == 0)
        log_print_items(out);
}

static json_t *run_logfile(struct command_context *context, json_t *args, GError **error)
{
    if (!log_open(arg_str(args, "filename")))
        return COMMAND_FAIL(GENERIC, "cannot write '%s'", arg_str(args, "filename"));
    return json_object();
}

static json_t *run_trace_event(struct command_context *context, json_t *args, GError **error)
{
    return COMMAND_FAIL(GENERIC, "unknown event \"%s\": there are counters instead (info stats), and log items",
                        arg_str(args, "name"));
}

/* --- Counters --- */

static void print_stats(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    const char *form = arg_str(args, "form");
    struct machine *machine = context->machine;
    vcpu_print_stats(machine->vcpu, form && strcmp(form, "json") == 0, out);
}

static json_t *run_stats(struct command_context *context, json_t *args, GError **error)
{
    stats_set_timing(arg_bool(args, "on", false));
    return json_object();
}

/* What QEMU's users look for there: how much is translated. */
static void print_jit(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    struct machine *machine = context->machine;
    vcpu_print_jit(machine->vcpu, out);
}

static void print_flight(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    flight_print(out);
}

/* --- The debugger --- */

static json_t *run_gdbserver(struct command_context *context, json_t *args, GError **error)
{
    const char *device = arg_str(args, "device");
    return control_debug(context->machine, device ? device : "tcp::1234", error) ? json_object() : NULL;
}

static void print_gdbserver(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    const char *device = arg_str(args, "device");
    if (device && strcmp(device, "none") == 0)
        g_string_append(out, "Disabled gdbserver\n");
    else
        g_string_append_printf(out, "Waiting for gdb connection on device '%s'\n", device ? device : "tcp::1234");
}

static const struct command rows[] = {
    {NULL, "log items", "items:str", NULL, "log these items (as -d has them), or none; help lists them", run_log,
     print_log},
    {NULL, "logfile filename", "filename:str", NULL, "log into this file", run_logfile, NULL},
    {NULL, "trace-event name option", "name:str option:bool", NULL, "trace events: there are none", run_trace_event,
     NULL},
    {NULL, "info trace-events", NULL, NULL, "trace events", NULL, NULL},
    {NULL, "info stats [form]", "form:str?", NULL, "where time goes; json: as JSON", NULL, print_stats},
    {NULL, "stats on", "on:bool", NULL, "on: take times, from zero; off: do not", run_stats, NULL},
    {NULL, "info jit", NULL, NULL, "translated code", NULL, print_jit},
    {NULL, "info flight", NULL, NULL, "the last exits, exceptions and interrupts", NULL, print_flight},
    {NULL, "gdbserver [device]", "device:str?", NULL, "wait for a debugger on a character device (tcp::1234), or none",
     run_gdbserver, print_gdbserver},
};

void commands_log_add(void)
{
    commands_add(rows, G_N_ELEMENTS(rows));
}

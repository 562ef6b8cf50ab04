/* The command line: character devices, and descriptors that were passed. */
#include "options_internal.h"

#include <stdlib.h>
#include <string.h>

/* What is wrong with it is found out when it is opened. */
bool set_chardev(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-chardev", "backend", error);
    if (!list)
        return false;
    const char *backend = keyvalues_get(list, "backend");
    if (backend && (strcmp(backend, "help") == 0 || strcmp(backend, "?") == 0))
        parse->options->action = OPTIONS_CHARDEV_HELP;
    list_append(&parse->options->chardevs, list);
    return true;
}

bool set_serial(struct parse *parse, const char *arg, GError **error)
{
    if (parse->serial_count == OPTIONS_SERIAL_MAX)
        return FAIL("-serial: a PC has %u serial ports at most", OPTIONS_SERIAL_MAX);
    parse->options->serial[parse->serial_count++] = strcmp(arg, "none") == 0 ? NULL : arg;
    return true;
}

bool set_parallel(struct parse *parse, const char *arg, GError **error)
{
    parse->options->parallel = strcmp(arg, "none") == 0 ? NULL : arg;
    return true;
}

bool set_debugcon(struct parse *parse, const char *arg, GError **error)
{
    parse->options->debugcon = strcmp(arg, "none") == 0 ? NULL : arg;
    return true;
}

/* A monitor on a device of its own. */
static bool monitor_add(struct parse *parse, const char *device, const char *mode, bool pretty)
{
    struct options *options = parse->options;
    char label[32];
    parse->monitor_given = true;
    if (strcmp(device, "none") == 0)
        return true;
    struct keyvalues *monitor = keyvalues_new();
    g_snprintf(label, sizeof(label), "compat_monitor%u", parse->monitor_count++);
    keyvalues_add(monitor, "device", device);
    keyvalues_add(monitor, "label", label);
    keyvalues_add(monitor, "mode", mode);
    keyvalues_add(monitor, "pretty", pretty ? "on" : "off");
    list_append(&options->monitors, monitor);
    return true;
}

bool set_monitor(struct parse *parse, const char *arg, GError **error)
{
    return monitor_add(parse, arg, "readline", false);
}

bool set_qmp(struct parse *parse, const char *arg, GError **error)
{
    return monitor_add(parse, arg, "control", false);
}

bool set_qmp_pretty(struct parse *parse, const char *arg, GError **error)
{
    return monitor_add(parse, arg, "control", true);
}

bool set_mon(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *monitor = keyvalues_parse(arg, "-mon", "chardev", error);
    bool on;
    if (!monitor)
        return false;
    parse->monitor_given = true;
    list_append(&parse->options->monitors, monitor);
    const char *mode = keyvalues_get(monitor, "mode"), *pretty = keyvalues_get(monitor, "pretty");
    (void)keyvalues_get(monitor, "id");
    if (!keyvalues_get(monitor, "chardev"))
        return FAIL("-mon: it needs chardev=, the id of a -chardev");
    if (mode && strcmp(mode, "readline") != 0 && strcmp(mode, "control") != 0)
        return FAIL("-mon: mode '%s' is neither readline nor control", mode);
    if (pretty && !value_is_switch(pretty, &on))
        return FAIL("-mon: pretty is on or off, not '%s'", pretty);
    const char *unknown = keyvalues_unused(monitor);
    return !unknown || FAIL("-mon: Invalid parameter '%s'", unknown);
}

bool set_gdb(struct parse *parse, const char *arg, GError **error)
{
    parse->options->gdb = strcmp(arg, "none") == 0 ? NULL : arg;
    return true;
}

bool set_gdb_default(struct parse *parse, const char *arg, GError **error)
{
    return set_gdb(parse, "tcp::1234", error);
}

bool set_add_fd(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-add-fd", NULL, error);
    uint64_t number;
    if (!list)
        return false;
    list_append(&parse->options->add_fds, list);
    const char *fd = keyvalues_get(list, "fd"), *set = keyvalues_get(list, "set");
    keyvalues_get(list, "opaque");
    const char *unknown = keyvalues_unused(list);
    if (unknown)
        return FAIL("-add-fd: Invalid parameter '%s'", unknown);
    if (!fd || !value_is_number(fd, INT32_MAX, &number))
        return FAIL("-add-fd: fd option is required and must be non-negative");
    if (!set || !value_is_number(set, INT32_MAX, &number))
        return FAIL("-add-fd: set option is required and must be non-negative");
    return true;
}

bool set_echr(struct parse *parse, const char *arg, GError **error)
{
    uint64_t key;
    if (!value_is_number(arg, 255, &key))
        return FAIL("-echr: '%s' is not the number of a character, as in -echr 0x14 for Ctrl-T", arg);
    parse->options->escape = (int)key;
    return true;
}

static bool is_stdio(const char *spec)
{
    return spec && (strcmp(spec, "stdio") == 0 || strcmp(spec, "mon:stdio") == 0);
}

/* Who may have the terminal. */
bool chardevs_settle(struct parse *parse, GError **error)
{
    struct options *options = parse->options;
    unsigned on_terminal = 0;
    if (options->daemonize && options->nographic)
        return FAIL("-nographic cannot be used with -daemonize");
    if (options->daemonize && options->curses)
        return FAIL("curses display cannot be used with -daemonize");
    if (options->daemonize && options->window)
        return FAIL("a window cannot be used with -daemonize");
    for (unsigned i = 0; i < OPTIONS_SERIAL_MAX; i++)
        on_terminal += is_stdio(options->serial[i]);
    for (unsigned i = 0; options->chardevs && i < options->chardevs->len; i++)
        on_terminal += is_stdio(keyvalues_get(g_ptr_array_index(options->chardevs, i), "backend"));
    for (unsigned i = 0; options->monitors && i < options->monitors->len; i++)
        on_terminal += is_stdio(keyvalues_get(g_ptr_array_index(options->monitors, i), "device"));
    on_terminal += is_stdio(options->gdb) + is_stdio(options->parallel) + is_stdio(options->debugcon);
    if (options->daemonize && on_terminal)
        return FAIL("cannot use stdio with -daemonize");
    if (on_terminal + options->curses > 1)
        return FAIL("stdio is given twice; only one device can be on the terminal");
    return true;
}

/* The command line. Flags are rows of one table that also prints the help. See options.h. */
#include "options.h"

#include "keyvalue.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RAM_DEFAULT (128 * MiB)
#define RAM_MAX_MIB 3072
#define ENGINES_MAX 8

static GQuark options_error(void)
{
    return g_quark_from_static_string("ringer-options");
}

#define FAIL(...) (g_set_error(error, options_error(), 0, __VA_ARGS__), false)

struct parse {
    struct options *options;
    unsigned serial_count;
    bool vga_given;
    const char *given; /* the option being read, as it was written */
    bool no_display;
    enum accel_kind engine[ENGINES_MAX]; /* that the user wants, first choice first */
    unsigned engine_count;
    char engine_why[96]; /* the flag and what it said */
    bool no_fallback;    /* -accel kvm,fallback=off */
};

struct flag {
    const char *name;
    const char *arg; /* what stands in the help; NULL = takes none */
    bool (*set)(struct parse *parse, const char *arg, GError **error);
    const char *help; /* NULL: understood, not worth a line */
};

/* --- small languages --- */

/* "a=1,b=2" and a first word without '=': calls set for each; value NULL where there is no '='. */
static bool list_parse(const char *list,
                       bool (*set)(struct parse *, const char *key, const char *value, bool first, GError **error),
                       struct parse *parse, GError **error)
{
    char **items = g_strsplit(list, ",", -1);
    bool ok = true;
    if (!items[0]) /* g_strsplit makes nothing of nothing */
        ok = set(parse, "", NULL, true, error);
    for (unsigned i = 0; items[i] && ok; i++) {
        char *value = strchr(items[i], '=');
        if (value)
            *value++ = 0;
        ok = set(parse, items[i], value, i == 0, error);
    }
    g_strfreev(items);
    return ok;
}

/* Number of insertions, deletions, replacements and swaps of neighbours from a to b. */
static unsigned edit_distance(const char *a, const char *b)
{
    size_t m = strlen(a), n = strlen(b);
    if (m > 40 || n > 40)
        return 40;
    unsigned d[42][42];
    for (unsigned i = 0; i <= m; i++)
        d[i][0] = i;
    for (unsigned j = 0; j <= n; j++)
        d[0][j] = j;
    for (unsigned i = 1; i <= m; i++) {
        for (unsigned j = 1; j <= n; j++) {
            unsigned best = MIN(d[i - 1][j], d[i][j - 1]) + 1;
            best = MIN(best, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = MIN(best, d[i - 2][j - 2] + 1);
            d[i][j] = best;
        }
    }
    return d[m][n];
}

/* --- handlers --- */

static bool set_memory(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-m", "size", error);
    if (!list)
        return false;
    const char *size = keyvalues_get(list, "size");
    uint64_t bytes = RAM_DEFAULT;
    bool ok = true;
    /* Memory that could be plugged in later: a board of these years takes none. */
    keyvalues_get(list, "maxmem");
    keyvalues_get(list, "slots");
    const char *unknown = keyvalues_unused(list);
    if (unknown)
        ok = FAIL("-m: '%s' is not supported; give only a size, as in -m 256", unknown);
    else if (!arg[0] || (size && !value_is_size(size, 20, &bytes)))
        ok = FAIL("-m: '%s' is not a size; write for example -m 256 (MiB) or -m 1G", size ? size : "");
    else if (bytes < MiB || bytes % PAGE_SIZE)
        ok = FAIL("-m: '%s' is out of range; this PC takes at least 1 MiB", size);
    if (ok && bytes > RAM_MAX_MIB * MiB) {
        log_user("-m %s: this PC takes %u MiB, and gets them", size, RAM_MAX_MIB);
        bytes = RAM_MAX_MIB * MiB;
    }
    if (ok)
        parse->options->ram_size = bytes;
    keyvalues_free(list);
    return ok;
}

static bool set_kernel(struct parse *parse, const char *arg, GError **error)
{
    parse->options->kernel = arg;
    return true;
}

static bool set_initrd(struct parse *parse, const char *arg, GError **error)
{
    parse->options->initrd = arg;
    return true;
}

static bool set_append(struct parse *parse, const char *arg, GError **error)
{
    parse->options->append = arg;
    return true;
}

static bool set_nographic(struct parse *parse, const char *arg, GError **error)
{
    parse->options->nographic = true;
    parse->no_display = true;
    return true;
}

static bool set_serial(struct parse *parse, const char *arg, GError **error)
{
    if (parse->serial_count == OPTIONS_SERIAL_MAX)
        return FAIL("-serial: a PC has %u serial ports at most", OPTIONS_SERIAL_MAX);
    parse->options->serial[parse->serial_count++] = strcmp(arg, "none") == 0 ? NULL : arg;
    return true;
}

static bool set_parallel(struct parse *parse, const char *arg, GError **error)
{
    parse->options->parallel = strcmp(arg, "none") == 0 ? NULL : arg;
    return true;
}

static bool set_debugcon(struct parse *parse, const char *arg, GError **error)
{
    parse->options->debugcon = arg;
    return true;
}

static bool set_display(struct parse *parse, const char *arg, GError **error)
{
    static const char *const windows[] = {"sdl", "gtk", "cocoa", "default", "vnc", "spice-app", "egl-headless", "dbus"};
    parse->options->curses = strcmp(arg, "curses") == 0;
    parse->no_display = strcmp(arg, "none") == 0;
    if (parse->options->curses || parse->no_display)
        return true;
    for (unsigned i = 0; i < G_N_ELEMENTS(windows); i++) {
        if (g_str_has_prefix(arg, windows[i]))
            return FAIL("-display: there is no %s window yet; use -display curses for text, or -display none and "
                        "screendump in -monitor",
                        windows[i]);
    }
    return FAIL("-display: '%s' is not known; choose curses or none", arg);
}

static bool set_curses(struct parse *parse, const char *arg, GError **error)
{
    return set_display(parse, "curses", error);
}

static bool set_monitor(struct parse *parse, const char *arg, GError **error)
{
    if (strcmp(arg, "none") != 0 && strcmp(arg, "stdio") != 0 && strncmp(arg, "unix:", 5) != 0)
        return FAIL("-monitor: '%s' is none of stdio, unix:PATH,server=on,wait=off, none", arg);
    parse->options->monitor = strcmp(arg, "none") == 0 ? NULL : arg;
    return true;
}

static bool set_vga(struct parse *parse, const char *arg, GError **error)
{
    if (strcmp(arg, "std") != 0 && strcmp(arg, "none") != 0)
        return FAIL("-vga: there is no '%s' card; choose std or none", arg);
    parse->options->vga = strcmp(arg, "none") == 0 ? NULL : "VGA";
    parse->vga_given = true;
    return true;
}

static bool set_network(struct parse *parse, const char *arg, GError **error)
{
    if (strcmp(arg, "none") != 0)
        return FAIL("%s %s: there is no network yet; the only choice is 'none'", parse->given, arg);
    return true;
}

static enum accel_kind own_engine(void)
{
    return ACCEL_DIRECT;
}

/* One more engine to try, behind those named before. */
static bool engine_add(struct parse *parse, const char *flag, const char *name, GError **error)
{
    enum accel_kind kind = ACCEL_COUNT;
    if (strcmp(name, "tcg") == 0 || strcmp(name, "auto") == 0)
        kind = own_engine();
    for (unsigned i = 0; i < ACCEL_COUNT; i++) {
        if (strcmp(name, vcpu_accel_name(i)) == 0)
            kind = i;
    }
    if (kind == ACCEL_COUNT)
        return FAIL("%s: there is no engine '%s'; choose direct, bt, interp, lockstep or kvm", flag, name);
    if (parse->engine_count == ENGINES_MAX)
        return FAIL("%s: more than %u engines are named", flag, ENGINES_MAX);
    parse->engine[parse->engine_count++] = kind;
    return true;
}

/* names may be a list "kvm:tcg", first choice first. */
static bool engine_parse(struct parse *parse, const char *flag, const char *names, GError **error)
{
    char **name = g_strsplit(names, ":", -1);
    bool ok = true;
    for (unsigned i = 0; name[i] && ok; i++)
        ok = engine_add(parse, flag, name[i], error);
    g_strfreev(name);
    if (ok && !names[0])
        ok = engine_add(parse, flag, "", error);
    g_snprintf(parse->engine_why, sizeof(parse->engine_why), "%s %s", flag, names);
    return ok;
}

/* Of several engines the first that works here. */
static void engine_settle(struct parse *parse)
{
    struct options *options = parse->options;
    GString *why = g_string_new(parse->engine_why);
    unsigned i = 0;

    if (!parse->engine_count)
        parse->engine[parse->engine_count++] = own_engine();
    /* Scripts say kvm where they mean "fast": without it there is still a machine. */
    if (parse->engine[parse->engine_count - 1] == ACCEL_KVM && !parse->no_fallback && parse->engine_count < ENGINES_MAX)
        parse->engine[parse->engine_count++] = own_engine();
    for (; i + 1 < parse->engine_count; i++) {
        GError *error = NULL;
        if (vcpu_accel_works(parse->engine[i], &error))
            break;
        g_string_append_printf(why, "; %.*s", (int)strcspn(error->message, ";"), error->message);
        g_error_free(error);
    }
    options->accel = parse->engine[i];
    g_strlcpy(options->accel_why, why->str, sizeof(options->accel_why));
    g_string_free(why, TRUE);
}

static bool accel_item(struct parse *parse, const char *key, const char *value, bool first, GError **error)
{
    if (first)
        return engine_parse(parse, "-accel", value && strcmp(key, "accel") == 0 ? value : key, error);
    if (strcmp(key, "thread") == 0) /* an option of QEMU's TCG that changes nothing a guest sees */
        return true;
    if (strcmp(key, "fallback") == 0) {
        bool on;
        if (!value || !value_is_switch(value, &on))
            return FAIL("-accel: fallback is on or off");
        parse->no_fallback = !on;
        return true;
    }
    if (strcmp(key, "always") == 0) {
        if (value && strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
            return FAIL("-accel: always=%s: say always=on or always=off", value);
        parse->options->direct_always = !value || strcmp(value, "on") == 0;
        return true;
    }
    if (strcmp(key, "tb-size") == 0) {
        char *end;
        unsigned long mib = value ? strtoul(value, &end, 10) : 0;
        if (!value || *end || end == value || mib < 1 || mib > 1024)
            return FAIL("-accel: tb-size is the size of the code cache in MiB, from 1 to 1024, not '%s'",
                        value ? value : "");
        parse->options->tb_size = (unsigned)mib;
        return true;
    }
    return FAIL("-accel: option '%s' is not known", key);
}

static bool set_accel(struct parse *parse, const char *arg, GError **error)
{
    return list_parse(arg, accel_item, parse, error);
}

static bool set_enable_kvm(struct parse *parse, const char *arg, GError **error)
{
    bool ok = engine_parse(parse, "-enable-kvm", "kvm:tcg", error);
    g_strlcpy(parse->engine_why, "-enable-kvm", sizeof(parse->engine_why));
    return ok;
}

/* Boards: pc, whatever version of it; and what stands in for others. */
static bool board_parse(struct parse *parse, const char *type, GError **error)
{
    if (strcmp(type, "pc") == 0 || g_str_has_prefix(type, "pc-i440fx") || g_str_has_prefix(type, "pc-0.") ||
        g_str_has_prefix(type, "pc-1."))
        return true;
    if (strcmp(type, "isapc") == 0) {
        parse->options->isapc = true;
        return true;
    }
    if (strcmp(type, "q35") == 0 || g_str_has_prefix(type, "pc-q35")) {
        log_user("-machine %s: there is no Q35 chipset; it is an i440FX PC, 'pc'", type);
        return true;
    }
    return FAIL("-machine: there is no '%s'; this is an i440FX PC, 'pc'", type);
}

/* Keys of -machine that change nothing here, or nothing that is not so already. */
static bool machine_key_is_idle(const char *key)
{
    static const char *const idle[] = {"dump-guest-core",
                                       "kernel-irqchip",
                                       "kernel_irqchip",
                                       "mem-merge",
                                       "vmport",
                                       "nvdimm",
                                       "smm",
                                       "memory-encryption",
                                       "max-ram-below-4g",
                                       "suppress-vmdesc",
                                       "phandle_start",
                                       "igd-passthru",
                                       "smbus",
                                       "sata",
                                       "pit",
                                       "pic",
                                       "rtc",
                                       "fd-bootchk"};
    for (unsigned i = 0; i < G_N_ELEMENTS(idle); i++) {
        if (strcmp(idle[i], key) == 0)
            return true;
    }
    return false;
}

static bool machine_key_set(struct parse *parse, const char *key, const char *value, GError **error)
{
    struct options *options = parse->options;
    bool on;
    if (strcmp(key, "type") == 0)
        return board_parse(parse, value, error);
    if (strcmp(key, "accel") == 0)
        return engine_parse(parse, "-machine accel", value, error);
    if (strcmp(key, "hpet") == 0 || strcmp(key, "acpi") == 0 || strcmp(key, "usb") == 0) {
        if (!value_is_switch(value, &on))
            return FAIL("-machine: %s is on or off, not '%s'", key, value);
        if (key[0] == 'h')
            options->no_hpet = !on;
        else if (key[0] == 'a')
            options->no_acpi = !on;
        else if (on)
            return FAIL("-machine: usb=on: there is no USB");
        return true;
    }
    if (machine_key_is_idle(key))
        return true;
    if (strcmp(key, "graphics") == 0)
        return strcmp(value, "off") != 0 || set_nographic(parse, NULL, error);
    return FAIL("-machine: option '%s' is not known", key);
}

static bool set_machine(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-machine", "type", error);
    bool ok = list;
    for (unsigned i = 0; ok && i < list->item->len; i++) {
        const struct keyvalue *item = g_ptr_array_index(list->item, i);
        ok = machine_key_set(parse, item->key, item->value, error);
    }
    keyvalues_free(list);
    return ok;
}

static bool set_cpu(struct parse *parse, const char *arg, GError **error)
{
    parse->options->cpu = arg;
    return true;
}

/* One processor, whatever the wish: guests run on one as well. */
static bool set_smp(struct parse *parse, const char *arg, GError **error)
{
    static const char *const keys[] = {"cpus", "cores", "threads", "sockets", "dies", "clusters", "maxcpus"};
    struct keyvalues *list = keyvalues_parse(arg, "-smp", "cpus", error);
    uint64_t number, cpus = 0, product = 1;
    bool ok = list;
    for (unsigned i = 0; ok && i < G_N_ELEMENTS(keys); i++) {
        const char *value = keyvalues_get(list, keys[i]);
        if (!value)
            continue;
        if (!value_is_number(value, 4096, &number) || !number)
            ok = FAIL("-smp: '%s' is not a number of processors", value);
        else if (i == 0)
            cpus = number;
        else if (strcmp(keys[i], "maxcpus") != 0)
            product *= number;
    }
    const char *unknown = ok ? keyvalues_unused(list) : NULL;
    if (unknown)
        ok = FAIL("-smp: option '%s' is not known", unknown);
    if (ok && (cpus ? cpus : product) > 1)
        log_user("-smp %s: this PC has one processor", arg);
    keyvalues_free(list);
    return ok;
}

static bool set_no_reboot(struct parse *parse, const char *arg, GError **error)
{
    parse->options->no_reboot = true;
    return true;
}

static bool set_no_shutdown(struct parse *parse, const char *arg, GError **error)
{
    parse->options->no_shutdown = true;
    return true;
}

static bool set_start_stopped(struct parse *parse, const char *arg, GError **error)
{
    parse->options->start_stopped = true;
    return true;
}

/* YYYY-MM-DD or YYYY-MM-DDThh:mm:ss */
static bool date_parse(const char *text, int64_t *seconds)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (end && *end == 'T')
        end = strptime(end, "T%H:%M:%S", &tm);
    if (!end || *end)
        return false;
    *seconds = timegm(&tm);
    return true;
}

static bool rtc_item(struct parse *parse, const char *key, const char *value, bool first, GError **error)
{
    struct options *options = parse->options;
    if (!value)
        return FAIL("-rtc: '%s' needs a value, as in -rtc base=utc", key);
    if (strcmp(key, "base") == 0) {
        options->rtc_base_set = options->rtc_localtime = false;
        if (strcmp(value, "localtime") == 0)
            options->rtc_localtime = true;
        else if (strcmp(value, "utc") != 0 && !(options->rtc_base_set = date_parse(value, &options->rtc_base)))
            return FAIL("-rtc: base '%s' is none of utc, localtime, 2006-06-17, 2006-06-17T16:01:21", value);
        return true;
    }
    if ((strcmp(key, "clock") == 0 && (strcmp(value, "host") == 0 || strcmp(value, "vm") == 0)) ||
        (strcmp(key, "driftfix") == 0 && (strcmp(value, "none") == 0 || strcmp(value, "slew") == 0)))
        return true; /* the clock moves with the machine, and no tick is lost */
    return FAIL("-rtc: '%s=%s' is not known", key, value);
}

static bool set_rtc(struct parse *parse, const char *arg, GError **error)
{
    return list_parse(arg, rtc_item, parse, error);
}

static bool set_log_items(struct parse *parse, const char *arg, GError **error)
{
    parse->options->log_items = arg;
    return true;
}

static bool set_log_file(struct parse *parse, const char *arg, GError **error)
{
    parse->options->log_file = arg;
    return true;
}

static void list_append(GPtrArray **list, struct keyvalues *values)
{
    if (!*list)
        *list = g_ptr_array_new_with_free_func((GDestroyNotify)keyvalues_free);
    g_ptr_array_add(*list, values);
}

static bool set_device(struct parse *parse, const char *arg, GError **error)
{
    struct options *options = parse->options;
    struct keyvalues *request = keyvalues_parse(arg, "-device", "driver", error);
    if (!request)
        return false;
    const char *driver = keyvalues_get(request, "driver"), *help = keyvalues_get(request, "help");
    if ((driver && (strcmp(driver, "help") == 0 || strcmp(driver, "?") == 0)) || help) {
        options->action = OPTIONS_DEVICE_HELP;
        options->help_about = help ? g_intern_string(driver) : NULL;
    }
    list_append(&options->devices, request);
    return true;
}

/* -chardev BACKEND,id=ID,...: as far as -serial knows back ends. */
static bool set_chardev(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *given = keyvalues_parse(arg, "-chardev", "backend", error);
    if (!given)
        return false;
    const char *backend = keyvalues_get(given, "backend"), *id = keyvalues_get(given, "id");
    const char *path = keyvalues_get(given, "path"), *mux = keyvalues_get(given, "mux");
    const char *unknown = keyvalues_unused(given);
    bool ok = true, muxed = false;
    char *spec = NULL;

    if (!backend || !id)
        ok = FAIL("-chardev: it takes a back end and an id, as in -chardev file,id=c0,path=log.txt");
    else if (mux && !value_is_switch(mux, &muxed))
        ok = FAIL("-chardev: mux is on or off, not '%s'", mux);
    else if (unknown && strcmp(unknown, "signal") != 0)
        ok = FAIL("-chardev %s: option '%s' is not known", backend, unknown);
    else if (strcmp(backend, "file") == 0)
        ok = path ? (spec = g_strdup_printf("file:%s", path), true) : FAIL("-chardev file: it needs path=");
    else if (strcmp(backend, "stdio") == 0)
        spec = g_strdup(muxed ? "mon:stdio" : "stdio");
    else if (strcmp(backend, "null") == 0 || strcmp(backend, "pty") == 0)
        spec = g_strdup(backend);
    else
        ok = FAIL("-chardev: there is no back end '%s' yet; known are file, null, pty, stdio", backend);
    if (ok) {
        struct keyvalues *chardev = keyvalues_new();
        keyvalues_add(chardev, "id", id);
        keyvalues_add(chardev, "spec", spec);
        list_append(&parse->options->chardevs, chardev);
    }
    g_free(spec);
    keyvalues_free(given);
    return ok;
}

static bool set_bios(struct parse *parse, const char *arg, GError **error)
{
    parse->options->bios = arg;
    return true;
}

static bool set_global(struct parse *parse, const char *arg, GError **error)
{
    const char *equals = strchr(arg, '='), *dot = strrchr(arg, '.');
    struct keyvalues *global;
    if (strchr(arg, ',') && g_str_has_prefix(arg, "driver=")) {
        global = keyvalues_parse(arg, "-global", NULL, error);
    } else {
        for (dot = equals; dot && dot > arg && *dot != '.'; dot--)
            continue;
        if (!equals || dot == arg || *dot != '.')
            return FAIL("-global: '%s' is not understood; write DRIVER.PROPERTY=VALUE", arg);
        char *driver = g_strndup(arg, (gsize)(dot - arg)), *property = g_strndup(dot + 1, (gsize)(equals - dot - 1));
        global = keyvalues_new();
        keyvalues_add(global, "driver", driver);
        keyvalues_add(global, "property", property);
        keyvalues_add(global, "value", equals + 1);
        g_free(driver);
        g_free(property);
    }
    if (!global)
        return false;
    list_append(&parse->options->globals, global);
    if (!keyvalues_get(global, "driver") || !keyvalues_get(global, "property") || !keyvalues_get(global, "value"))
        return FAIL("-global: '%s' is not understood; write DRIVER.PROPERTY=VALUE", arg);
    return true;
}

static bool set_snapshot(struct parse *parse, const char *arg, GError **error)
{
    parse->options->drives.snapshot = true;
    return true;
}

static bool set_nodefaults(struct parse *parse, const char *arg, GError **error)
{
    parse->options->drives.no_defaults = true;
    if (!parse->vga_given)
        parse->options->vga = NULL;
    return true;
}

static bool set_drive(struct parse *parse, const char *arg, GError **error)
{
    return drives_set_drive(&parse->options->drives, arg, error);
}

static bool set_boot(struct parse *parse, const char *arg, GError **error)
{
    return drives_set_boot(&parse->options->drives, arg, error);
}

/* -hda and its like: the flag's own name says which drive. */
#define SET_FILE(flag) \
    static bool set_##flag(struct parse *parse, const char *arg, GError **error) \
    { \
        return drives_set_file(&parse->options->drives, #flag, arg, error); \
    }
SET_FILE(hda)
SET_FILE(hdb)
SET_FILE(hdc)
SET_FILE(hdd)
SET_FILE(cdrom)
SET_FILE(fda)
SET_FILE(fdb)

/* As QEMU's. What its further keys deny is never possible here. */
static bool sandbox_item(struct parse *parse, const char *key, const char *value, bool first, GError **error)
{
    static const char *const denied[] = {"obsolete", "elevateprivileges", "spawn", "resourcecontrol"};
    const char *state = first && !value ? key : strcmp(key, "enable") == 0 ? value : NULL;
    if (state && (strcmp(state, "on") == 0 || strcmp(state, "off") == 0)) {
        parse->options->sandbox = state[1] == 'n' ? SANDBOX_ON : SANDBOX_OFF;
        return true;
    }
    for (unsigned i = 0; value && i < G_N_ELEMENTS(denied); i++) {
        if (strcmp(key, denied[i]) == 0 && (strcmp(value, "deny") == 0 || strcmp(value, "children") == 0))
            return true;
        if (strcmp(key, denied[i]) == 0)
            return FAIL("-sandbox: '%s=%s' is not possible; use -sandbox off", key, value);
    }
    return FAIL("-sandbox: '%s' is neither on nor off", value ? value : key);
}

static bool set_sandbox(struct parse *parse, const char *arg, GError **error)
{
    return list_parse(arg, sandbox_item, parse, error);
}

static bool set_stats(struct parse *parse, const char *arg, GError **error)
{
    parse->options->stats = strcmp(arg, "off") != 0;
    parse->options->stats_file = NULL;
    if (g_str_has_prefix(arg, "file:") && arg[5])
        parse->options->stats_file = arg + 5;
    else if (strcmp(arg, "on") != 0 && parse->options->stats)
        return FAIL("-stats: '%s' is none of on, off, file:PATH", arg);
    return true;
}

static bool set_name(struct parse *parse, const char *arg, GError **error)
{
    parse->options->name = arg;
    return true;
}

static bool set_no_acpi(struct parse *parse, const char *arg, GError **error)
{
    parse->options->no_acpi = true;
    return true;
}

static bool set_localtime(struct parse *parse, const char *arg, GError **error)
{
    return set_rtc(parse, "base=localtime", error);
}

static bool set_pidfile(struct parse *parse, const char *arg, GError **error)
{
    parse->options->pidfile = arg;
    return true;
}

static bool set_option_rom(struct parse *parse, const char *arg, GError **error)
{
    struct options *options = parse->options;
    if (options->option_rom_count == OPTIONS_ROM_MAX)
        return FAIL("-option-rom: there are %u at most", OPTIONS_ROM_MAX);
    options->option_rom[options->option_rom_count++] = arg;
    return true;
}

/* Old: -soundhw a,b is -device for each; the PC speaker is there anyway. */
static bool set_soundhw(struct parse *parse, const char *arg, GError **error)
{
    static const char *const names[][2] = {{"sb16", "sb16"},      {"adlib", "adlib"}, {"ac97", "AC97"},
                                           {"es1370", "ES1370"},  {"gus", "gus"},     {"hda", "intel-hda"},
                                           {"cs4231a", "cs4231a"}};
    char **cards = g_strsplit(arg, ",", -1);
    bool ok = true;
    for (unsigned i = 0; cards[i] && ok; i++) {
        const char *device = NULL;
        for (unsigned n = 0; n < G_N_ELEMENTS(names); n++) {
            if (strcmp(cards[i], names[n][0]) == 0)
                device = names[n][1];
        }
        if (device)
            ok = set_device(parse, device, error);
        else if (strcmp(cards[i], "pcspk") == 0)
            log_user("-soundhw pcspk: the speaker is silent here");
        else
            ok = FAIL("-soundhw: there is no '%s'", cards[i]);
    }
    g_strfreev(cards);
    return ok;
}

/* Understood, and without effect here: said once. */
static bool set_idle(struct parse *parse, const char *arg, GError **error)
{
    log_user("%s%s%s: without effect here", parse->given, arg ? " " : "", arg ? arg : "");
    return true;
}

static bool set_no_hpet(struct parse *parse, const char *arg, GError **error)
{
    parse->options->no_hpet = true;
    return true;
}

static bool set_help(struct parse *parse, const char *arg, GError **error)
{
    parse->options->action = OPTIONS_HELP;
    return true;
}

static bool set_version(struct parse *parse, const char *arg, GError **error)
{
    parse->options->action = OPTIONS_VERSION;
    return true;
}

static const struct flag flags[] = {
    {"kernel", "FILE", set_kernel, "start this Linux bzImage or multiboot kernel"},
    {"initrd", "FILE", set_initrd, "initial RAM disk; multiboot: modules \"FILE args,FILE2\""},
    {"append", "STRING", set_append, "kernel command line"},
    {"hda", "FILE", set_hda, "disk image for the first IDE drive; -hdb, -hdc, -hdd for the others"},
    {"hdb", "FILE", set_hdb, NULL},
    {"hdc", "FILE", set_hdc, NULL},
    {"hdd", "FILE", set_hdd, NULL},
    {"cdrom", "FILE", set_cdrom, "CD image, as the third IDE drive"},
    {"fda", "FILE", set_fda, "floppy image for drive A; -fdb for drive B"},
    {"fdb", "FILE", set_fdb, NULL},
    {"drive", "KEY=VALUE,...", set_drive,
     "file=, if=ide|floppy, index=, bus=, unit=, media=disk|cdrom, "
     "format=raw|qcow2, snapshot=, readonly=, cache=, serial="},
    {"boot", "ORDER", set_boot, "letters a (floppy), c (disk), d (CD), n (network); once=ORDER, menu=on"},
    {"snapshot", NULL, set_snapshot, "write to temporary files instead of the disk images"},
    {"bios", "FILE", set_bios, "this BIOS instead of ours"},
    {"m", "SIZE", set_memory, "memory in MiB, or with suffix K, M, G (default 128, at most 3072)"},
    {"cpu", "MODEL", set_cpu, "processor model and features, as in 486 or pentium3,-sse"},
    {"accel", "ENGINE", set_accel,
     "direct (the default), bt, interp, lockstep or kvm; tcg and auto mean the default; kvm: where it works, else the "
     "default (kvm,fallback=off: or not at all)"},
    {"machine", "TYPE", set_machine, "pc, isapc (no PCI); accel=ENGINE, hpet=off, acpi=off"},
    {"M", "TYPE", set_machine, NULL},
    {"enable-kvm", NULL, set_enable_kvm, "KVM where it works, else our own engine"},
    {"smp", "N", set_smp, "processors: 1"},
    {"nographic", NULL, set_nographic, "no window; serial port on this terminal (Ctrl-A x ends)"},
    {"display", "TYPE", set_display, "curses (text screens on this terminal) or none"},
    {"curses", NULL, set_curses, NULL},
    {"serial", "DEV", set_serial, "stdio, mon:stdio, file:PATH, pty, null or none; repeat for COM2 up"},
    {"debugcon", "DEV", set_debugcon, "where bytes written to port E9h (or what -global says) go"},
    {"monitor", "DEV", set_monitor, "commands to the running machine: stdio, unix:PATH,server=on,wait=off, none"},
    {"vga", "CARD", set_vga, "std (VGA with VBE up to 16 MiB, the default) or none"},
    {"net", "none", set_network, "no network card"},
    {"nic", "none", set_network, "no network card"},
    {"parallel", "DEV", set_parallel, "what LPT1 prints goes to file:PATH, stdio, null; none: no port (the default)"},
    {"device", "NAME,PROPERTY=VALUE", set_device,
     "one more device; -device help lists them, -device NAME,help what they take"},
    {"chardev", "BACKEND,id=ID", set_chardev, "back end for a device: file,path=, null, pty, stdio"},
    {"global", "NAME.PROPERTY=VALUE", set_global, "for all devices of that name"},
    {"rtc", "base=WHEN", set_rtc, "utc, localtime, or a date as in 2006-06-17T16:01:21"},
    {"no-reboot", NULL, set_no_reboot, "end instead of rebooting"},
    {"no-shutdown", NULL, set_no_shutdown, "stop instead of ending when the guest powers off"},
    {"S", NULL, set_start_stopped, "do not start the processor"},
    {"name", "STRING", set_name, "a name for this machine"},
    {"nodefaults", NULL, set_nodefaults, "no empty CD and floppy drive"},
    {"no-hpet", NULL, set_no_hpet, NULL},
    {"no-acpi", NULL, set_no_acpi, "no ACPI: neither its tables nor its registers"},
    {"localtime", NULL, set_localtime, NULL},
    {"pidfile", "FILE", set_pidfile, "write the process's number there, and remove the file at the end"},
    {"option-rom", "FILE", set_option_rom, "one more ROM for the BIOS to start, up to 4"},
    {"soundhw", "CARD", set_soundhw, NULL},
    {"k", "LANGUAGE", set_idle, NULL},
    {"win2k-hack", NULL, set_idle, NULL},
    {"no-fd-bootchk", NULL, set_idle, NULL},
    {"rtc-td-hack", NULL, set_idle, NULL},
    {"no-kvm-irqchip", NULL, set_idle, NULL},
    {"no-kvm-pit", NULL, set_idle, NULL},
    {"no-kvm-pit-reinjection", NULL, set_idle, NULL},
    {"no-user-config", NULL, set_idle, NULL},
    {"nodefconfig", NULL, set_idle, NULL},
    {"mem-prealloc", NULL, set_idle, NULL},
    {"mem-path", "DIR", set_idle, NULL},
    {"overcommit", "HOW", set_idle, NULL},
    {"msg", "HOW", set_idle, NULL},
    {"smbios", "WHAT", set_idle, NULL},
    {"uuid", "UUID", set_idle, NULL},
    {"icount", "N", set_idle, NULL},
    {"tb-size", "N", set_idle, NULL},
    {"sandbox", "on|off", set_sandbox, "the seccomp fence around this program (default: on where the host allows it)"},
    {"stats", "WHERE", set_stats,
     "where time goes: on (monitor: info stats, signal USR1), or file:PATH (JSON at the end)"},
    {"d", "ITEMS", set_log_items, "log: guest_errors,tr,int,exec,mmu,io,cpu"},
    {"D", "FILE", set_log_file, "write the log to this file"},
    {"version", NULL, set_version, "print the version"},
    {"h", NULL, set_help, NULL},
    {"help", NULL, set_help, "print this help"},
};

/* Flags of QEMU that people use and that this build cannot honour. */
static const struct {
    const char *name, *why;
} refused[] = {
    {"netdev", "there is no network yet"},
    {"redir", "there is no network yet"},
    {"object", "there is nothing yet that takes one"},
    {"audiodev", "there is no sound yet"},
    {"usbdevice", "there is no USB"},
    {"mon", "there are no control sockets but -monitor yet"},
    {"virtfs", "there are no folders of the host yet"},
    {"full-screen", "there is no window yet"},
    {"qmp", "there is no control socket yet"},
    {"s", "there is no debugger stub yet"},
    {"gdb", "there is no debugger stub yet"},
    {"usb", "there is no USB"},
    {"vnc", "there is no VNC server"},
    {"daemonize", "run it in the background from the shell instead"},
    {"loadvm", "there are no snapshots yet"},
    {"incoming", "there is no migration"},
};

static bool refuse_unknown(const char *given, GError **error)
{
    const char *name = given + strspn(given, "-");
    for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
        if (strcmp(name, refused[i].name) == 0)
            return FAIL("%s: %s", given, refused[i].why);
    }
    const char *nearest = NULL;
    unsigned best = 3;
    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) {
        unsigned distance = edit_distance(name, flags[i].name);
        if (strlen(flags[i].name) > 1 && distance < best) {
            best = distance;
            nearest = flags[i].name;
        }
    }
    /* "-mem 256": the other way to be near is to have the same beginning. */
    for (unsigned i = 0; !nearest && i < G_N_ELEMENTS(flags); i++) {
        size_t len = strlen(flags[i].name);
        if (strncmp(name, flags[i].name, MIN(len, strlen(name))) == 0)
            nearest = flags[i].name;
    }
    if (nearest)
        return FAIL("unknown option '%s'; did you mean '-%s'?", given, nearest);
    return FAIL("unknown option '%s'; -help lists all", given);
}

static const struct flag *flag_find(const char *given)
{
    const char *name = given + (strncmp(given, "--", 2) == 0 ? 2 : 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) {
        if (strcmp(flags[i].name, name) == 0)
            return &flags[i];
    }
    return NULL;
}

/* What follows from flags together. */
/* A device of the user's stands in for what the board would have had by default, as in QEMU. */
static void defaults_settle(struct parse *parse)
{
    struct options *options = parse->options;
    for (unsigned i = 0; options->devices && i < options->devices->len; i++) {
        const char *driver = keyvalues_get(g_ptr_array_index(options->devices, i), "driver");
        if (!driver)
            continue;
        if (strcmp(driver, "ide-cd") == 0 || strcmp(driver, "ide-hd") == 0)
            options->drives.no_default_cd = true;
        if (strcmp(driver, "floppy") == 0)
            options->drives.no_default_floppy = true;
        if (strcmp(driver, "VGA") == 0 && !parse->vga_given)
            options->vga = NULL;
    }
}

static bool options_settle(struct parse *parse, GError **error)
{
    struct options *options = parse->options;
    if (options->action != OPTIONS_RUN)
        return true;
    engine_settle(parse);
    defaults_settle(parse);
    if (!drives_settle(&options->drives, error))
        return false;
    if (!options->kernel && (options->initrd || options->append))
        return FAIL("%s needs -kernel", options->initrd ? "-initrd" : "-append");
    if (options->nographic && parse->serial_count == 0)
        options->serial[0] = "mon:stdio";
    unsigned on_terminal = 0;
    for (unsigned i = 0; i < OPTIONS_SERIAL_MAX; i++)
        on_terminal += options->serial[i] && g_str_has_suffix(options->serial[i], "stdio");
    on_terminal += options->curses;
    on_terminal += options->monitor && strcmp(options->monitor, "stdio") == 0;
    on_terminal += options->parallel && g_str_has_suffix(options->parallel, "stdio");
    on_terminal += options->debugcon && g_str_has_suffix(options->debugcon, "stdio");
    if (on_terminal > 1)
        return FAIL("stdio is given twice; only one device can be on the terminal");
    return true;
}

bool options_parse(int argc, char **argv, struct options *options, GError **error)
{
    struct parse parse = {.options = options, .engine_why = "the default"};

    *options = (struct options){.ram_size = RAM_DEFAULT, .vga = "VGA"};
    for (int i = 1; i < argc; i++) {
        const char *given = argv[i];
        if (given[0] != '-') { /* as QEMU: the first disk */
            if (!set_hda(&parse, given, error))
                return false;
            continue;
        }
        if (given[1] == 0)
            return FAIL("'-' is not an option; -help lists all");
        const struct flag *flag = flag_find(given);
        if (!flag)
            return refuse_unknown(given, error);
        const char *arg = NULL;
        parse.given = given;
        if (flag->arg) {
            if (i + 1 >= argc)
                return FAIL("%s needs an argument: %s", given, flag->arg);
            arg = argv[++i];
        }
        if (!flag->set(&parse, arg, error))
            return false;
        if (options->action != OPTIONS_RUN)
            return true;
    }
    return options_settle(&parse, error);
}

void options_print_help(void)
{
    printf("usage: ringer [options] [disk image]\n\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) {
        if (!flags[i].help)
            continue;
        char left[40];
        g_snprintf(left, sizeof(left), "-%s %s", flags[i].name, flags[i].arg ? flags[i].arg : "");
        printf("  %-20s %s\n", left, flags[i].help);
    }
}

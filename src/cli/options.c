/* The command line. Flags are rows of one table that also prints the help. See options.h. */
#include "options_internal.h"

#include "keyvalue.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

GQuark options_error(void)
{
    return g_quark_from_static_string("ringer-options");
}

struct flag {
    const char *name;
    const char *arg; /* what stands in the help; NULL = takes none */
    bool (*set)(struct parse *parse, const char *arg, GError **error);
    const char *help; /* NULL: understood, not worth a line */
};

/* --- small languages --- */

bool list_parse(const char *list, const char *what, const char *implied,
                bool (*set)(struct parse *, const char *key, const char *value, GError **error), struct parse *parse,
                GError **error)
{
    struct keyvalues *values = keyvalues_parse(list, what, implied, error);
    bool ok = values;
    for (unsigned i = 0; ok && i < values->item->len; i++) {
        const struct keyvalue *item = g_ptr_array_index(values->item, i);
        ok = set(parse, item->key, item->value, error);
    }
    keyvalues_free(values);
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

bool set_nographic(struct parse *parse, const char *arg, GError **error)
{
    parse->options->nographic = true;
    parse->no_display = true;
    return true;
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

static bool rtc_item(struct parse *parse, const char *key, const char *value, GError **error)
{
    struct options *options = parse->options;
    if (strcmp(key, "base") == 0) {
        options->rtc_base_set = options->rtc_localtime = false;
        if (strcmp(value, "localtime") == 0)
            options->rtc_localtime = true;
        else if (strcmp(value, "utc") != 0 && !(options->rtc_base_set = date_parse(value, &options->rtc_base)))
            return FAIL("-rtc: base '%s' is none of utc, localtime, 2006-06-17, 2006-06-17T16:01:21", value);
        return true;
    }
    if ((strcmp(key, "clock") == 0 &&
         (strcmp(value, "host") == 0 || strcmp(value, "rt") == 0 || strcmp(value, "vm") == 0)) ||
        (strcmp(key, "driftfix") == 0 && (strcmp(value, "none") == 0 || strcmp(value, "slew") == 0)))
        return true; /* the clock moves with the machine, and no tick is lost */
    return FAIL("-rtc: '%s=%s' is not known; write for example -rtc base=utc", key, value);
}

bool set_rtc(struct parse *parse, const char *arg, GError **error)
{
    return list_parse(arg, "-rtc", NULL, rtc_item, parse, error);
}

static bool set_log_items(struct parse *parse, const char *arg, GError **error)
{
    const char *trace = strstr(arg, "trace:");
    if (strcmp(arg, "help") == 0)
        parse->options->action = OPTIONS_LOG_HELP;
    if (trace && (trace == arg || trace[-1] == ','))
        return FAIL("-d trace: there are no trace events; -d help lists what can be logged");
    parse->options->log_items = arg;
    return true;
}

static bool set_log_filter(struct parse *parse, const char *arg, GError **error)
{
    parse->options->log_filter = arg;
    return true;
}

static bool set_log_file(struct parse *parse, const char *arg, GError **error)
{
    parse->options->log_file = arg;
    return true;
}

static bool set_bios(struct parse *parse, const char *arg, GError **error)
{
    parse->options->bios = arg;
    return true;
}

/* As QEMU's. What its further keys deny is never possible here. */
static bool sandbox_item(struct parse *parse, const char *key, const char *value, GError **error)
{
    static const char *const denied[] = {"obsolete", "elevateprivileges", "spawn", "resourcecontrol"};
    if (strcmp(key, "enable") == 0) {
        bool on;
        if (!value_is_switch(value, &on))
            return FAIL("-sandbox: '%s' is neither on nor off", value);
        parse->options->sandbox = on ? SANDBOX_ON : SANDBOX_OFF;
        return true;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(denied); i++) {
        if (strcmp(key, denied[i]) == 0 && (strcmp(value, "deny") == 0 || strcmp(value, "children") == 0))
            return true;
        if (strcmp(key, denied[i]) == 0)
            return FAIL("-sandbox: '%s=%s' is not possible; use -sandbox off", key, value);
    }
    return FAIL("-sandbox: option '%s' is not known", key);
}

static bool set_sandbox(struct parse *parse, const char *arg, GError **error)
{
    return list_parse(arg, "-sandbox", "enable", sandbox_item, parse, error);
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

static bool name_item(struct parse *parse, const char *key, const char *value, GError **error)
{
    bool on;
    if (strcmp(key, "guest") == 0)
        parse->options->name = g_intern_string(value);
    else if (strcmp(key, "process") == 0)
        parse->options->process_name = g_intern_string(value);
    else if (strcmp(key, "debug-threads") != 0) /* threads have names in any case */
        return FAIL("-name: Invalid parameter '%s'", key);
    else if (!value_is_switch(value, &on))
        return FAIL("-name: Parameter 'debug-threads' expects 'on' or 'off'");
    return true;
}

static bool set_name(struct parse *parse, const char *arg, GError **error)
{
    return list_parse(arg, "-name", "guest", name_item, parse, error);
}

static bool message_item(struct parse *parse, const char *key, const char *value, GError **error)
{
    bool on;
    if (strcmp(key, "timestamp") != 0 && strcmp(key, "guest-name") != 0)
        return FAIL("-msg: Invalid parameter '%s'", key);
    if (!value_is_switch(value, &on))
        return FAIL("-msg: Parameter '%s' expects 'on' or 'off'", key);
    if (key[0] == 't')
        parse->options->message_timestamps = on;
    else
        parse->options->message_is_named = on;
    return true;
}

static bool set_msg(struct parse *parse, const char *arg, GError **error)
{
    return list_parse(arg, "-msg", NULL, message_item, parse, error);
}

static bool set_daemonize(struct parse *parse, const char *arg, GError **error)
{
    parse->options->daemonize = true;
    return true;
}

static bool set_uuid(struct parse *parse, const char *arg, GError **error)
{
    if (!g_uuid_string_is_valid(arg))
        return FAIL("-uuid: '%s' is not a UUID, as in 550e8400-e29b-41d4-a716-446655440000", arg);
    parse->options->uuid = arg;
    return true;
}

static bool set_no_acpi(struct parse *parse, const char *arg, GError **error)
{
    parse->options->no_acpi = true;
    return true;
}

static bool set_no_fd_bootchk(struct parse *parse, const char *arg, GError **error)
{
    parse->options->drives.no_floppy_signature = true;
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
    {"blockdev", "DRIVER,node-name=NAME", set_blockdev,
     "an image by a name, for a -device ...,drive=NAME: file,filename=FILE; raw or qcow2,file=NAME (or JSON)"},
    {"drive", "KEY=VALUE,...", set_drive,
     "file=, if=ide|floppy|virtio|none, index=, bus=, unit=, media=disk|cdrom, "
     "format=raw|qcow2, snapshot=, readonly=, cache=, serial="},
    {"boot", "ORDER", set_boot, "letters a (floppy), c (disk), d (CD), n (network); once=ORDER, menu=on"},
    {"snapshot", NULL, set_snapshot, "write to temporary files instead of the disk images"},
    {"bios", "FILE", set_bios, "this BIOS instead of ours"},
    {"m", "SIZE", set_memory, "memory in MiB, or with suffix K, M, G (default 128, at most 16384)"},
    {"cpu", "MODEL", set_cpu, "processor model and features, as in 486 or pentium3,-sse"},
    {"accel", "ENGINE", set_accel,
     "direct (the default), bt, interp, lockstep or kvm; tcg and auto mean the default; kvm: where it works, else the "
     "default (kvm,fallback=off: or not at all)"},
    {"machine", "TYPE", set_machine, "pc, isapc (no PCI); accel=ENGINE, hpet=off, acpi=off"},
    {"M", "TYPE", set_machine, NULL},
    {"enable-kvm", NULL, set_enable_kvm, "KVM where it works, else our own engine"},
    {"smp", "N", set_smp, "processors: 1"},
    {"nographic", NULL, set_nographic, "no window; serial port on this terminal (Ctrl-A x ends)"},
    {"display", "TYPE", set_display,
     "sdl (a window; the default on a desktop; sdl,full-screen=on,window-close=off,show-menubar=off,scaling=integer), "
     "curses (text screens on this "
     "terminal) or none"},
    {"full-screen", NULL, set_full_screen, "the window as large as the screen (Ctrl-Alt-F)"},
    {"sdl", NULL, set_sdl, NULL},
    {"vnc", "HOST:N", set_vnc,
     "the screen for VNC viewers, on port 5900 + N, or unix:PATH; password=on, websocket=on (browsers, port 5700 + N), "
     "share=force-shared|ignore, reverse=on, to=N, lossy=on"},
    {"curses", NULL, set_curses, NULL},
    {"serial", "DEV", set_serial,
     "stdio, mon:stdio, file:PATH, pipe:PATH, pty, null, vc, msmouse, /dev/ttyX, tcp:HOST:PORT,server=on,wait=off, "
     "telnet:, unix:PATH,..., udp:, chardev:ID or none; repeat for COM2 up"},
    {"debugcon", "DEV", set_debugcon, "where bytes written to port E9h (or what -global says) go; as -serial"},
    {"monitor", "DEV", set_monitor, "commands to the running machine, as people give them; DEV as -serial has it"},
    {"qmp", "DEV", set_qmp, "commands as programs give them (QMP, JSON); DEV as -serial has it"},
    {"qmp-pretty", "DEV", set_qmp_pretty, NULL},
    {"mon", "chardev=ID", set_mon, "a monitor on a -chardev; mode=readline|control (QMP), pretty=on"},
    {"gdb", "DEV", set_gdb, "wait for a debugger on DEV, as in tcp::1234"},
    {"s", NULL, set_gdb_default, "-gdb tcp::1234"},
    {"vga", "CARD", set_vga,
     "std (VGA with VBE up to 16 MiB, the default), cirrus (CL-GD5446), vmware (SVGA II), virtio or none"},
    {"nic", "BACKEND,model=CARD", set_nic,
     "a network card and what it is connected to: user (hostfwd=tcp::2222-:22, ...), tap, socket, stream, dgram, or "
     "none; default: user,model=e1000"},
    {"netdev", "BACKEND,id=ID", set_netdev, "what a -device CARD,netdev=ID is connected to; -netdev help"},
    {"net", "nic|BACKEND", set_net, "a card, or a back end, on a hub; none"},
    {"redir", "PROTOCOL:PORT:[GUEST]:PORT", set_redir, NULL},
    {"tftp", "DIR", set_tftp, NULL},
    {"bootp", "FILE", set_bootp, NULL},
    {"smb", "DIR", set_smb, NULL},
    {"object", "TYPE,id=ID", set_object, "filter-dump,netdev=ID,file=PATH: its frames, for tcpdump"},
    {"parallel", "DEV", set_parallel, "where what LPT1 prints goes, as -serial; none: no port (the default)"},
    {"device", "NAME,PROPERTY=VALUE", set_device,
     "one more device; -device help lists them, -device NAME,help what they take"},
    {"chardev", "BACKEND,id=ID", set_chardev,
     "back end for a device: socket, udp, file, pipe, pty, stdio, serial, ringbuf, null, vc, msmouse; mux=on, "
     "logfile="},
    {"virtfs", "local,path=DIR,mount_tag=TAG", set_virtfs,
     "a folder of the host's for the guest to mount (-t 9p -o trans=virtio TAG); "
     "security_model=none|passthrough|mapped-xattr, readonly=on"},
    {"fsdev", "local,id=ID,path=DIR", set_fsdev, "the same for a -device virtio-9p-pci,fsdev=ID,mount_tag=TAG"},
    {"audiodev", "DRIVER,id=ID", set_audiodev,
     "what a -device CARD,audiodev=ID or -machine pcspk-audiodev=ID is heard on: none, or wav (path=FILE); "
     "out.frequency=, out.channels=, out.format="},
    {"audio", "DRIVER,model=CARD", set_audio, "a sound card and its back end at once; model=help lists cards"},
    {"add-fd", "fd=N,set=N", set_add_fd, "an open file of the caller's, for the path /dev/fdset/SET; opaque=TEXT"},
    {"echr", "N", set_echr, "the key that starts a command on a line with mon: (default 1, Ctrl-A)"},
    {"daemonize", NULL, set_daemonize, "run in the background when the machine runs"},
    {"global", "NAME.PROPERTY=VALUE", set_global, "for all devices of that name"},
    {"rtc", "base=WHEN", set_rtc, "utc, localtime, or a date as in 2006-06-17T16:01:21"},
    {"no-reboot", NULL, set_no_reboot, "end instead of rebooting"},
    {"no-shutdown", NULL, set_no_shutdown, "stop instead of ending when the guest powers off"},
    {"S", NULL, set_start_stopped, "do not start the processor"},
    {"name", "STRING", set_name, "a name for this machine; process=NAME: for the process"},
    {"nodefaults", NULL, set_nodefaults, "no empty CD and floppy drive"},
    {"no-hpet", NULL, set_no_hpet, NULL},
    {"no-acpi", NULL, set_no_acpi, "no ACPI: neither its tables nor its registers"},
    {"localtime", NULL, set_localtime, NULL},
    {"pidfile", "FILE", set_pidfile, "write the process's number there, and remove the file at the end"},
    {"option-rom", "FILE", set_option_rom, "one more ROM for the BIOS to start, up to 4"},
    {"soundhw", "CARD", set_soundhw, NULL},
    {"usb", NULL, set_usb, "a USB controller (UHCI); devices: -device usb-tablet and others"},
    {"usbdevice", "NAME", set_usbdevice, NULL},
    {"k", "LANGUAGE", set_idle, NULL},
    {"win2k-hack", NULL, set_idle, NULL},
    {"only-migratable", NULL, set_idle, NULL},
    {"no-fd-bootchk", NULL, set_no_fd_bootchk, NULL},
    {"rtc-td-hack", NULL, set_idle, NULL},
    {"no-kvm-irqchip", NULL, set_idle, NULL},
    {"no-kvm-pit", NULL, set_idle, NULL},
    {"no-kvm-pit-reinjection", NULL, set_idle, NULL},
    {"no-user-config", NULL, set_idle, NULL},
    {"nodefconfig", NULL, set_idle, NULL},
    {"mem-prealloc", NULL, set_idle, NULL},
    {"mem-path", "DIR", set_idle, NULL},
    {"overcommit", "HOW", set_idle, NULL},
    {"msg", "timestamp=on", set_msg, "the time before each message; guest-name=on: the machine's name"},
    {"smbios", "WHAT", set_idle, NULL},
    {"uuid", "UUID", set_uuid, "the machine's UUID, as query-uuid tells it"},
    {"icount", "N", set_idle, NULL},
    {"tb-size", "N", set_idle, NULL},
    {"sandbox", "on|off", set_sandbox, "the seccomp fence around this program (default: on where the host allows it)"},
    {"stats", "WHERE", set_stats,
     "where time goes: on (monitor: info stats, signal USR1), or file:PATH (JSON at the end)"},
    {"d", "ITEMS", set_log_items, "log these; -d help lists what there is"},
    {"dfilter", "RANGES", set_log_filter, "log code of these linear addresses only: 0x1000..0x1fff,0x7c00+0x200"},
    {"D", "FILE", set_log_file, "write the log to this file"},
    {"version", NULL, set_version, "print the version"},
    {"h", NULL, set_help, NULL},
    {"help", NULL, set_help, "print this help"},
};

/* Flags of QEMU that people use and that this build cannot honour. */
static const struct {
    const char *name, *why;
} refused[] = {
    {"virtfs_synth", "there is no made-up folder; -virtfs local shares one of the host's"},
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
static bool options_settle(struct parse *parse, GError **error)
{
    struct options *options = parse->options;
    if (options->action != OPTIONS_RUN)
        return true;
    engine_settle(parse);
    defaults_settle(parse);
    audio_settle(parse);
    if (!drives_settle(&options->drives, error))
        return false;
    if (!options->kernel && (options->initrd || options->append))
        return FAIL("%s needs -kernel", options->initrd ? "-initrd" : "-append");
    if (options->nographic && parse->serial_count == 0 && !options->drives.no_defaults)
        options->serial[0] = parse->monitor_given ? "stdio" : "mon:stdio";
    options->display_is_open =
        !options->curses && !options->window && !parse->no_display && !options->daemonize && options->vga;
    return net_settle(parse, error) && chardevs_settle(parse, error);
}

bool options_parse(int argc, char **argv, struct options *options, GError **error)
{
    struct parse parse = {.options = options, .engine_why = "the default"};

    *options = (struct options){.ram_size = RAM_DEFAULT, .vga = "VGA", .escape = -1};
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

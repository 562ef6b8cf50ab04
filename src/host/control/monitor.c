/* The monitor: line commands on the terminal or a Unix socket. See monitor.h. Commands and their arguments are
 * those of QEMU's human monitor where it has them.
 */
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/block/blockdev.h"
#include "host/char/chardev.h"
#include "host/display/keys.h"
#include "log.h"
#include "mem.h"
#include "host/display/screendump.h"
#include "stats.h"
#include "vclock.h"

#define PROMPT         "(ringer) "
#define LINE_MAX_BYTES 4096u
#define OUT_MAX        (1024 * 1024u)

struct monitor {
    struct monitor_hooks hooks;
    char *path;        /* of the socket */
    int listen_fd;     /* -1: stdio */
    int in_fd, out_fd; /* -1: nobody is connected */
    guint listen_source, in_source, out_source;
    GString *line; /* being typed */
    GString *out;  /* answers not yet taken */
};

static void monitor_hang_up(struct monitor *monitor);
static gboolean monitor_writable(gint fd, GIOCondition condition, gpointer opaque);

/* Writes what the other side takes now. */
static void monitor_flush(struct monitor *monitor)
{
    while (monitor->out->len && monitor->out_fd >= 0) {
        struct pollfd poll_fd = {.fd = monitor->out_fd, .events = POLLOUT};
        if (poll(&poll_fd, 1, 0) <= 0)
            break;
        ssize_t written = write(monitor->out_fd, monitor->out->str, MIN(monitor->out->len, 4096u));
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN)
            break;
        if (written <= 0) {
            g_string_truncate(monitor->out, 0);
            return; /* reading will tell that it is gone */
        }
        g_string_erase(monitor->out, 0, written);
    }
    if (monitor->out->len && monitor->out_fd >= 0 && !monitor->out_source)
        monitor->out_source = g_unix_fd_add(monitor->out_fd, G_IO_OUT | G_IO_HUP | G_IO_ERR, monitor_writable, monitor);
}

static gboolean monitor_writable(gint fd, GIOCondition condition, gpointer opaque)
{
    struct monitor *monitor = opaque;
    monitor->out_source = 0;
    monitor_flush(monitor);
    return G_SOURCE_REMOVE;
}

/* Nobody waits for a reader: one who lets a megabyte pile up is cut off, on a terminal the rest is lost. */
static void monitor_say(struct monitor *monitor, const char *text, size_t len)
{
    if (monitor->out_fd < 0)
        return;
    if (monitor->out->len + len > OUT_MAX) {
        if (monitor->listen_fd >= 0)
            monitor_hang_up(monitor);
        return;
    }
    g_string_append_len(monitor->out, text, (gssize)len);
    monitor_flush(monitor);
}

/* --- Commands --- */

typedef void command_fn(struct monitor *monitor, char **arg, GString *out);

static void command_quit(struct monitor *monitor, char **arg, GString *out)
{
    monitor->hooks.quit(monitor->hooks.opaque);
}

static void command_reset(struct monitor *monitor, char **arg, GString *out)
{
    monitor->hooks.reset(monitor->hooks.opaque);
}

static void command_stop(struct monitor *monitor, char **arg, GString *out)
{
    monitor->hooks.stop(monitor->hooks.opaque);
}

static void command_cont(struct monitor *monitor, char **arg, GString *out)
{
    GError *error = NULL;
    if (!monitor->hooks.cont(monitor->hooks.opaque, &error)) {
        g_string_append_printf(out, "cont: %s\n", error->message);
        g_error_free(error);
    }
}

static void command_screendump(struct monitor *monitor, char **arg, GString *out)
{
    const char *path = NULL, *format = NULL;
    GError *error = NULL;

    for (unsigned i = 0; arg[i]; i++) {
        if (strcmp(arg[i], "-f") == 0 && arg[i + 1])
            format = arg[++i];
        else
            path = arg[i];
    }
    if (!path) {
        g_string_append(out, "screendump: give a file, as in screendump screen.png\n");
    } else if (!monitor->hooks.display) {
        g_string_append(out, "screendump: there is no graphics card\n");
    } else if (!screendump_write(monitor->hooks.display, path, format, &error)) {
        g_string_append_printf(out, "screendump: %s\n", error->message);
        g_error_free(error);
    }
}

static void command_screentext(struct monitor *monitor, char **arg, GString *out)
{
    if (!monitor->hooks.display)
        g_string_append(out, "there is no graphics card\n");
    else if (!screendump_text(monitor->hooks.display, out))
        g_string_append(out, "the screen is in a graphics mode; use screendump FILE.png\n");
}

static void command_change(struct monitor *monitor, char **arg, GString *out)
{
    GError *error = NULL;
    if (!arg[0] || !arg[1]) {
        g_string_append(out, "change: give a drive, a file and perhaps its format, as in change floppy0 disk2.img\n");
    } else if (!blockdev_change(arg[0], arg[1], arg[2], &error)) {
        g_string_append_printf(out, "change: %s\n", error->message);
        g_error_free(error);
    }
}

static void command_eject(struct monitor *monitor, char **arg, GString *out)
{
    GError *error = NULL;
    if (arg[0] && strcmp(arg[0], "-f") == 0)
        arg++;
    if (!arg[0]) {
        g_string_append(out, "eject: give a drive, as in eject ide1-cd0\n");
    } else if (!blockdev_change(arg[0], NULL, NULL, &error)) {
        g_string_append_printf(out, "eject: %s\n", error->message);
        g_error_free(error);
    }
}

static void press(const uint16_t *code, unsigned count, unsigned hold_ms, const char *command, GString *out)
{
    if (!keys_press(code, count, hold_ms))
        g_string_append_printf(out, "%s: the guest still waits for the keys before; try again later\n", command);
}

static void command_sendkey(struct monitor *monitor, char **arg, GString *out)
{
    uint16_t code[KEYS_COMBO_MAX];
    unsigned count = arg[0] ? keys_parse(arg[0], code) : 0;
    guint64 hold = 100;

    if (arg[0] && arg[1] && (!g_ascii_string_to_unsigned(arg[1], 10, 1, 10000, &hold, NULL)))
        g_string_append_printf(out, "sendkey: '%s' is not a time in ms\n", arg[1]);
    else if (count)
        press(code, count, (unsigned)hold, "sendkey", out);
    else
        g_string_append_printf(out, "sendkey: '%s' is not a key, as in ctrl-alt-delete\n", arg[0] ? arg[0] : "");
}

/* Own: types the rest of the line, \n and \t as in C. */
static void command_type(struct monitor *monitor, char **arg, GString *out)
{
    char *joined = g_strjoinv(" ", arg);
    size_t len = strlen(joined), slashes = 0;
    while (slashes < len && joined[len - 1 - slashes] == '\\')
        slashes++;
    if (slashes % 2) /* a line that ends in the middle of an escape */
        joined[len - 1] = 0;
    char *text = g_strcompress(joined);
    for (const char *c = text; *c && !out->len; c++) {
        uint16_t code[KEYS_COMBO_MAX];
        unsigned count = keys_of_char((unsigned char)*c, code);
        if (count)
            press(code, count, 10, "type", out);
    }
    g_free(text);
    g_free(joined);
}

static void info_version(struct monitor *monitor, GString *out)
{
    g_string_append(out, "Ringer\n");
}

static void info_status(struct monitor *monitor, GString *out)
{
    const char *status = monitor->hooks.status(monitor->hooks.opaque);
    if (strcmp(status, "running") == 0 || strcmp(status, "paused") == 0)
        g_string_append_printf(out, "VM status: %s\n", status);
    else
        g_string_append_printf(out, "VM status: paused (%s)\n", status);
}

static void info_registers(struct monitor *monitor, GString *out)
{
    monitor->hooks.registers(monitor->hooks.opaque, out);
}

static void info_screen(struct monitor *monitor, GString *out)
{
    command_screentext(monitor, NULL, out);
}

static void info_block(struct monitor *monitor, GString *out)
{
    blockdev_describe(out);
}

static void info_stats(struct monitor *monitor, GString *out)
{
    monitor->hooks.stats(monitor->hooks.opaque, false, out);
}

static void info_qtree(struct monitor *monitor, GString *out)
{
    monitor->hooks.tree(monitor->hooks.opaque, out);
}

static const struct {
    const char *name;
    void (*run)(struct monitor *monitor, GString *out);
} infos[] = {{"version", info_version}, {"status", info_status}, {"registers", info_registers}, {"screen", info_screen},
             {"block", info_block},     {"stats", info_stats},   {"qtree", info_qtree}};

static void command_info(struct monitor *monitor, char **arg, GString *out)
{
    if (arg[0] && arg[1] && strcmp(arg[0], "stats") == 0 && strcmp(arg[1], "json") == 0) {
        monitor->hooks.stats(monitor->hooks.opaque, true, out);
        return;
    }
    for (unsigned i = 0; arg[0] && i < G_N_ELEMENTS(infos); i++) {
        if (strcmp(infos[i].name, arg[0]) == 0) {
            infos[i].run(monitor, out);
            return;
        }
    }
    if (arg[0] && monitor->hooks.device(monitor->hooks.opaque, arg[0], out))
        return;
    g_string_append(out, "info:");
    for (unsigned i = 0; i < G_N_ELEMENTS(infos); i++)
        g_string_append_printf(out, " %s", infos[i].name);
    monitor->hooks.device(monitor->hooks.opaque, NULL, out);
    g_string_append_c(out, '\n');
}

/* xp /[COUNT][x][b|h|w] ADDRESS: physical memory. */
static void command_xp(struct monitor *monitor, char **arg, GString *out)
{
    guint64 count = 1, address = 0;
    unsigned size = 4;
    const char *format = arg[0] && arg[0][0] == '/' ? *arg++ + 1 : "";
    char *end = (char *)format;

    if (g_ascii_isdigit(*format))
        count = g_ascii_strtoull(format, &end, 10);
    for (; *end; end++) {
        if (*end == 'b' || *end == 'h' || *end == 'w')
            size = *end == 'b' ? 1 : *end == 'h' ? 2 : 4;
        else if (*end != 'x')
            break;
    }
    if (*end || !arg[0] || count > 65536) {
        g_string_append(out, "xp: write xp /16xb 0xb8000\n");
        return;
    }
    errno = 0;
    address = g_ascii_strtoull(arg[0], &end, 0);
    if (*end || errno) {
        g_string_append_printf(out, "xp: '%s' is not an address\n", arg[0]);
        return;
    }
    machine_lock();
    for (guint64 i = 0; i < count; i++) {
        uint32_t value = 0;
        if (i * size % 16 == 0)
            g_string_append_printf(out, "%s%08llx:", i ? "\n" : "", (unsigned long long)(address + i * size));
        guint64 at = address + i * size;
        if (mem_ptr(at) && mem_ptr(at + size - 1)) /* reading a device's registers would change them */
            mem_read(at, &value, size);
        g_string_append_printf(out, " 0x%0*x", (int)(2 * size), value);
    }
    machine_unlock();
    g_string_append_c(out, '\n');
}

static void command_stats(struct monitor *monitor, char **arg, GString *out)
{
    if (arg[0] && (strcmp(arg[0], "on") == 0 || strcmp(arg[0], "off") == 0))
        stats_set_timing(strcmp(arg[0], "on") == 0);
    else
        g_string_append(out, "stats: say stats on (from zero) or stats off; info stats shows them\n");
}

static command_fn command_help;

static const struct {
    const char *name, *help;
    command_fn *run;
} commands[] = {
    {"help", "this list", command_help},
    {"?", NULL, command_help},
    {"quit", "end the machine", command_quit},
    {"q", NULL, command_quit},
    {"system_reset", "as the reset button", command_reset},
    {"stop", "stop the processor and the clock", command_stop},
    {"cont", "go on", command_cont},
    {"c", NULL, command_cont},
    {"info", "WHAT: version, status, registers, screen, block, qtree, stats [json], or a device", command_info},
    {"stats", "on or off: take times, see info stats", command_stats},
    {"change", "DRIVE FILE [raw|qcow2]: put another medium in", command_change},
    {"eject", "DRIVE: take its medium out", command_eject},
    {"screendump", "FILE [-f png|ppm|txt]", command_screendump},
    {"screentext", "the text screen", command_screentext},
    {"sendkey", "KEYS [MS], as in ctrl-alt-delete", command_sendkey},
    {"type", "TEXT, as on a US keyboard; \\n is Enter", command_type},
    {"xp", "/COUNTx[b|h|w] ADDRESS: physical memory", command_xp},
};

static void command_help(struct monitor *monitor, char **arg, GString *out)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (commands[i].help)
            g_string_append_printf(out, "%s -- %s\n", commands[i].name, commands[i].help);
    }
}

static void monitor_execute(struct monitor *monitor, const char *line)
{
    GString *out = g_string_new(NULL);
    char *stripped = g_strstrip(g_strdup(line));
    char **words = g_strsplit_set(stripped, " ", -1);
    unsigned kept = 0;

    if (!(words[0] && strcmp(words[0], "type") == 0)) { /* typing keeps its blanks */
        for (unsigned i = 0; words[i]; i++) {
            if (*words[i])
                words[kept++] = words[i];
            else
                g_free(words[i]);
        }
        words[kept] = NULL;
    }
    if (words[0]) {
        command_fn *run = NULL;
        for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
            if (strcmp(commands[i].name, words[0]) == 0)
                run = commands[i].run;
        }
        char **arg = words + 1;
        if (run)
            run(monitor, arg, out);
        else
            g_string_append_printf(out, "unknown command: '%s'; help lists all\n", words[0]);
    }
    g_string_append(out, PROMPT);
    monitor_say(monitor, out->str, out->len);
    g_strfreev(words);
    g_free(stripped);
    g_string_free(out, TRUE);
}

/* --- The line --- */

static void monitor_hang_up(struct monitor *monitor)
{
    if (monitor->in_source)
        g_source_remove(monitor->in_source);
    if (monitor->out_source)
        g_source_remove(monitor->out_source);
    monitor->in_source = monitor->out_source = 0;
    g_string_truncate(monitor->out, 0);
    if (monitor->listen_fd >= 0 && monitor->in_fd >= 0)
        close(monitor->in_fd);
    monitor->in_fd = monitor->out_fd = -1;
    g_string_truncate(monitor->line, 0);
}

static gboolean monitor_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    struct monitor *monitor = opaque;
    char bytes[512];
    ssize_t len = read(fd, bytes, sizeof(bytes));

    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    if (len <= 0) {
        monitor->in_source = 0;
        monitor_hang_up(monitor);
        return G_SOURCE_REMOVE;
    }
    for (ssize_t i = 0; i < len && monitor->in_fd == fd; i++) { /* it may be cut off on the way */
        if (bytes[i] == '\n') {
            monitor_execute(monitor, monitor->line->str);
            g_string_truncate(monitor->line, 0);
        } else if (bytes[i] != '\r' && monitor->line->len < LINE_MAX_BYTES) {
            g_string_append_c(monitor->line, bytes[i]);
        }
    }
    return monitor->in_fd == fd ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void monitor_attach(struct monitor *monitor, int in_fd, int out_fd)
{
    static const char hello[] = "Ringer monitor - type 'help' for more information\n" PROMPT;
    monitor->in_fd = in_fd;
    monitor->out_fd = out_fd;
    monitor->in_source = g_unix_fd_add(in_fd, G_IO_IN | G_IO_HUP | G_IO_ERR, monitor_ready, monitor);
    monitor_say(monitor, hello, sizeof(hello) - 1);
}

/* One client at a time; a new one takes the place of the old. */
static gboolean monitor_accept(gint fd, GIOCondition condition, gpointer opaque)
{
    struct monitor *monitor = opaque;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    if (client >= 0) {
        fcntl(client, F_SETFL, O_NONBLOCK);
        monitor_hang_up(monitor);
        monitor_attach(monitor, client, client);
    }
    return G_SOURCE_CONTINUE;
}

static bool socket_listen(struct monitor *monitor, const char *spec, GError **error)
{
    char **item = g_strsplit(spec, ",", -1);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    bool server = false, ok = true;

    for (unsigned i = 1; item[i] && ok; i++) {
        if (strcmp(item[i], "server") == 0 || strcmp(item[i], "server=on") == 0) {
            server = true;
        } else if (strcmp(item[i], "nowait") != 0 && strcmp(item[i], "wait=off") != 0) {
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "-monitor unix: '%s' is not supported", item[i]);
            ok = false;
        }
    }
    if (ok && (!server || !item[0] || !*item[0] || strlen(item[0]) >= sizeof(address.sun_path))) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "-monitor unix: write unix:PATH,server=on,wait=off with a path of at most %zu characters",
                    sizeof(address.sun_path) - 1);
        ok = false;
    }
    if (ok) {
        memcpy(address.sun_path, item[0], strlen(item[0]));
        monitor->path = g_strdup(item[0]);
        unlink(monitor->path);
        monitor->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ok = monitor->listen_fd >= 0 && bind(monitor->listen_fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
             listen(monitor->listen_fd, 1) == 0;
        if (!ok)
            g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno),
                        "-monitor: cannot listen on '%s': %s", item[0], g_strerror(errno));
        else
            monitor->listen_source = g_unix_fd_add(monitor->listen_fd, G_IO_IN, monitor_accept, monitor);
    }
    g_strfreev(item);
    return ok;
}

struct monitor *monitor_new(const char *spec, const struct monitor_hooks *hooks, GError **error)
{
    struct monitor *monitor = g_new0(struct monitor, 1);

    monitor->hooks = *hooks;
    monitor->listen_fd = monitor->in_fd = monitor->out_fd = -1;
    monitor->line = g_string_new(NULL);
    monitor->out = g_string_new(NULL);
    if (strcmp(spec, "stdio") == 0) {
        monitor_attach(monitor, STDIN_FILENO, chardev_stdout_open());
    } else if (g_str_has_prefix(spec, "unix:")) {
        if (!socket_listen(monitor, spec + 5, error)) {
            monitor_free(monitor);
            return NULL;
        }
    } else {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "-monitor: '%s' is none of stdio, unix:PATH,server=on,wait=off, none", spec);
        monitor_free(monitor);
        return NULL;
    }
    return monitor;
}

void monitor_free(struct monitor *monitor)
{
    monitor_hang_up(monitor);
    if (monitor->listen_source)
        g_source_remove(monitor->listen_source);
    if (monitor->listen_fd >= 0) {
        close(monitor->listen_fd);
        unlink(monitor->path);
    }
    g_free(monitor->path);
    g_string_free(monitor->line, TRUE);
    g_string_free(monitor->out, TRUE);
    g_free(monitor);
}

/* ringer: from the command line to a running machine and its exit status. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "bench/bench.h"
#include "log.h"
#include "board/machine.h"
#include "board/registry.h"
#include "host/audio/audiodev.h"
#include "host/char/chardev.h"
#include "host/net/net.h"
#include "host/daemon.h"
#include "control/control.h"
#include "options.h"

#define EXIT_USER_ERROR 1

static bool log_setup(const struct options *options)
{
    const char *bad;
    if (options->log_file && !log_open(options->log_file)) {
        log_user("-D: cannot write '%s': %s", options->log_file, g_strerror(errno));
        return false;
    }
    if (options->log_items && !log_parse(options->log_items, &bad)) {
        log_user("-d: unknown item '%.*s'; -d help lists what there is", (int)strcspn(bad, ","), bad);
        return false;
    }
    if (options->log_filter && !log_filter(options->log_filter)) {
        log_user("-dfilter: '%s' is no list of address ranges; write for example 0x1000..0x1fff,0x7c00+0x200",
                 options->log_filter);
        return false;
    }
    return true;
}

static int device_help(const char *about)
{
    GString *out = g_string_new(NULL);
    bool ok = true;
    if (about)
        ok = device_class_print(about, out);
    else
        device_classes_print(out);
    if (ok)
        fputs(out->str, stdout);
    else
        log_user("-device: there is no '%s'; -device help lists what there is", about);
    g_string_free(out, TRUE);
    return ok ? 0 : EXIT_USER_ERROR;
}

static void chardev_print(void *opaque, const char *name)
{
    printf("  %s\n", name);
}

static int chardev_help(void)
{
    printf("Available chardev backend types:\n");
    chardev_backends_each(chardev_print, NULL);
    return 0;
}

static int netdev_help(void)
{
    printf("Available netdev backend types:\n");
    net_types_each(chardev_print, NULL);
    return 0;
}

static int audiodev_help(void)
{
    printf("Available audio drivers:\n");
    audiodev_drivers_each(chardev_print, NULL);
    return 0;
}

/* Every class that takes a back end of that kind. */
static int models_help(const char *what, const char *property)
{
    const struct device_class *class;
    printf("Available %s:\n", what);
    for (unsigned i = 0; (class = device_class_number(i)); i++) {
        if (device_class_property(class, property))
            printf("  %s\n", class->name);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options options;
    GError *error = NULL;

    if (argc > 1 && strcmp(argv[1], "bench") == 0)
        return bench_main(argc - 1, argv + 1);
    if (!options_parse(argc, argv, &options, &error)) {
        log_user("%s", error->message);
        g_error_free(error);
        return EXIT_USER_ERROR;
    }
    if (options.action == OPTIONS_HELP) {
        options_print_help();
        return 0;
    }
    if (options.action == OPTIONS_VERSION) {
        printf("ringer %s\n", RINGER_VERSION);
        return 0;
    }
    if (options.action == OPTIONS_LOG_HELP) {
        GString *out = g_string_new(NULL);
        log_print_items(out);
        fputs(out->str, stdout);
        g_string_free(out, TRUE);
        return 0;
    }
    if (options.action == OPTIONS_DEVICE_HELP)
        return device_help(options.help_about);
    if (options.action == OPTIONS_CHARDEV_HELP)
        return chardev_help();
    if (options.action == OPTIONS_NETDEV_HELP)
        return netdev_help();
    if (options.action == OPTIONS_NIC_HELP)
        return models_help("NIC models", "netdev");
    if (options.action == OPTIONS_AUDIODEV_HELP)
        return audiodev_help();
    if (options.action == OPTIONS_SOUND_HELP)
        return models_help("sound cards", "audiodev");
    log_set_prefix(options.message_timestamps, options.message_is_named ? options.name : NULL);
    if (!log_setup(&options))
        return EXIT_USER_ERROR;
    if (options.daemonize && !daemon_begin(&error)) {
        log_user("%s", error->message);
        return EXIT_USER_ERROR;
    }
    if (options.process_name)
        prctl(PR_SET_NAME, options.process_name);

    struct machine *machine = machine_new(&options, &error);
    if (!machine) {
        log_user("%s", error->message);
        g_error_free(error);
        return EXIT_USER_ERROR;
    }
    if (!control_open(machine, &options, &error)) {
        log_user("%s", error->message);
        g_error_free(error);
        control_close(EXIT_USER_ERROR);
        machine_free(machine);
        return EXIT_USER_ERROR;
    }
    log_user("engine %s (%s)", vcpu_accel_name(options.accel), options.accel_why);
    int status = machine_run(machine);
    control_close(status);
    machine_free(machine);
    return status;
}

/* The command line: the subset of qemu-system-i386's flags that is true for this machine. */
#pragma once

#include <glib.h>

#include "board/drives.h"
#include "host/display/window/window.h"
#include "host/vnc/vnc.h"
#include "types.h"
#include "engine/vcpu.h"

#define OPTIONS_SERIAL_MAX 4
#define OPTIONS_ROM_MAX    4

enum options_action {
    OPTIONS_RUN,
    OPTIONS_HELP,
    OPTIONS_VERSION,
    OPTIONS_DEVICE_HELP,
    OPTIONS_CHARDEV_HELP,
    OPTIONS_NETDEV_HELP,
    OPTIONS_AUDIODEV_HELP,
    OPTIONS_SOUND_HELP,
    OPTIONS_NIC_HELP,
    OPTIONS_LOG_HELP
};

/* The monitor's own fence (host/fence.h). */
enum sandbox { SANDBOX_DEFAULT, SANDBOX_ON, SANDBOX_OFF }; /* default: on where the host allows it */

struct options {
    enum options_action action;
    const char *help_about; /* OPTIONS_DEVICE_HELP: a device, NULL: all */
    uint64_t ram_size;
    const char *kernel, *initrd, *append;
    const char *serial[OPTIONS_SERIAL_MAX]; /* COM1 to COM4, in the short form; NULL = none */
    const char *bios;                       /* ROM image, NULL: our own */
    const char *parallel;                   /* LPT1's printer, or NULL: no port */
    const char *debugcon;                   /* back of a debug console port, or NULL */
    const char *name, *cpu;
    const char *log_items, *log_file, *log_filter;
    enum accel_kind accel;
    bool direct_always;  /* -accel direct,always=on */
    unsigned tb_size;    /* MiB of translated code, 0 = default */
    char accel_why[256]; /* why this engine, for the line that is always printed */
    struct drive_options drives;
    const char *vga; /* row of the graphics card, NULL: none */
    bool no_hpet, no_acpi, no_vmport, isapc, usb;
    const char *pidfile;
    const char *option_rom[OPTIONS_ROM_MAX]; /* -option-rom */
    unsigned option_rom_count;
    bool curses;          /* the screen on the terminal */
    bool display_is_open; /* nobody has said anything: a window where there is a desktop */
    bool window;          /* the screen in a window */
    struct window_options window_options;
    bool vnc;                 /* viewers far away */
    const char *vnc_audiodev; /* what viewers hear; NULL: the first one */
    const char *vnc_secret;   /* -object secret with their password; NULL: none */
    struct vnc_options vnc_options;
    GPtrArray *monitors; /* struct keyvalues: "chardev" (id) or "device" (short form) and "label"; "mode", "pretty" */
    const char *gdb;     /* the debugger's device, in the short form; NULL: none */
    const char *uuid;    /* NULL: none */
    enum sandbox sandbox;
    bool stats;             /* take times from the start */
    const char *stats_file; /* and write them there at the end, or NULL */
    bool nographic, no_reboot, no_shutdown, start_stopped;
    bool rtc_base_set, rtc_localtime;
    int64_t rtc_base;      /* seconds since 1970, where a date was given */
    GPtrArray *devices;    /* -device: struct keyvalues as registry_add() takes them; NULL: none */
    GPtrArray *blockdevs;  /* -blockdev: "driver", "node-name", ... */
    GPtrArray *globals;    /* -global: "driver", "property", "value" */
    GPtrArray *chardevs;   /* -chardev: struct keyvalues as chardev_new() takes them */
    GPtrArray *netdevs;    /* -netdev: struct keyvalues as net_new() takes them */
    GPtrArray *nics;       /* -nic, -net nic: as registry_add() takes them; driver "default": the board's */
    GPtrArray *objects;    /* -object: "qom-type", "id", ... */
    GPtrArray *fsdevs;     /* -fsdev, -virtfs: struct keyvalues as fs_new() takes them */
    GPtrArray *audiodevs;  /* -audiodev: struct keyvalues as audiodev_new() takes them */
    bool default_audiodev; /* there is none, and a card is heard on this one, whatever it will be: */
#define OPTIONS_DEFAULT_AUDIODEV "#sound"
    const char *speaker_audiodev; /* of the PC speaker, NULL: nobody hears it */
    GPtrArray *add_fds;           /* -add-fd: "fd", "set", "opaque" */
    int escape;                   /* -echr: the key that starts a command; -1: as it is */
    bool daemonize;
    const char *process_name;                  /* -name process= */
    bool message_timestamps, message_is_named; /* -msg */
};

/* Fills *options from the command line; its strings point into argv. False with a sentence in *error. */
bool options_parse(int argc, char **argv, struct options *options, GError **error);
void options_print_help(void);

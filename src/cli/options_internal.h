/* Between the files of the command line: options.c (the table, and what is left), options_engine.c (machine, memory,
 * processor, engine), options_devices.c (devices, drives, back ends, screen). */
#pragma once

#include "keyvalue.h"
#include "mem.h"
#include "options.h"

#define RAM_DEFAULT (128 * MiB)
#define RAM_MAX_MIB ((unsigned)(MEM_MAX / MiB))
#define ENGINES_MAX 8

GQuark options_error(void);
#define FAIL(...) (g_set_error(error, options_error(), 0, __VA_ARGS__), false)

struct parse {
    struct options *options;
    unsigned serial_count;
    bool monitor_given; /* also "none" */
    unsigned monitor_count;
    bool vga_given;
    const char *given; /* the option being read, as it was written */
    bool no_display;
    enum accel_kind engine[ENGINES_MAX]; /* that the user wants, first choice first */
    unsigned engine_count;
    char engine_why[96]; /* the flag and what it said */
    bool no_fallback;    /* -accel kvm,fallback=off */
    bool net_given;      /* -netdev, -nic, -net: no default network */
    unsigned net_count;  /* back ends that have no name of the user's */
    GArray *on_hubs;     /* -net; options_net.c */
    bool speaker_wanted; /* -soundhw pcspk */
    GPtrArray *forwards; /* -redir and its like: "key=value" for the user networks */
};

/* What a word of the command line does. False with a sentence in *error. */
typedef bool option_fn(struct parse *parse, const char *arg, GError **error);

/* Calls set for each item of a list (keyvalue.h). */
bool list_parse(const char *list, const char *what, const char *implied,
                bool (*set)(struct parse *, const char *key, const char *value, GError **error), struct parse *parse,
                GError **error);

/* options_engine.c */
option_fn set_accel, set_enable_kvm, set_machine, set_memory, set_cpu, set_smp;
void engine_settle(struct parse *parse);

/* options_devices.c */
option_fn set_device, set_global, set_vga, set_drive, set_blockdev, set_boot, set_snapshot, set_usb, set_usbdevice,
    set_nodefaults, set_option_rom, set_hda, set_hdb, set_hdc, set_hdd, set_cdrom, set_fda, set_fdb;
void defaults_settle(struct parse *parse);

/* options_chardev.c */
option_fn set_chardev, set_serial, set_parallel, set_debugcon, set_monitor, set_qmp, set_qmp_pretty, set_mon, set_gdb,
    set_gdb_default, set_add_fd, set_echr;
bool chardevs_settle(struct parse *parse, GError **error);

/* options_display.c */
option_fn set_display, set_curses, set_full_screen, set_sdl, set_vnc;

/* options_audio.c */
option_fn set_audiodev, set_audio, set_soundhw;
void audio_settle(struct parse *parse);

/* options_fs.c */
option_fn set_fsdev, set_virtfs;

/* options_net.c */
option_fn set_netdev, set_nic, set_net, set_redir, set_tftp, set_bootp, set_smb, set_object;
bool net_settle(struct parse *parse, GError **error);

/* options_devices.c */
void list_append(GPtrArray **list, struct keyvalues *values);

/* options.c */
option_fn set_nographic, set_rtc;

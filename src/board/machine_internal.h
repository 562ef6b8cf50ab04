/* What the files that put the machine together share: machine.c (its life), backends.c (what the host gives it), pins.c
 * (the processor's pins), pc.c (the rows of the board), kernel.c (-kernel), console.c (what the user sees of it).
 */
#pragma once

#include "board/debugger.h"
#include "board/machine.h"
#include "engine/vcpu.h"
#include "firmware/loader.h"
#include "firmware/rom.h"
#include "input.h"
#include "registry.h"
#include "storage.h"

#define KEYS_HELD_MAX 16

struct machine {
    struct options options;
    int pidfile_fd; /* -1: there is none of ours */
    struct cpu_model *model;
    struct vcpu *vcpu;
    struct registry *registry;
    struct storage storage;
    GMainLoop *loop;
    _Atomic int exit_status;      /* -1 while running */
    bool was_reset;               /* since power-on */
    unsigned pauses[PAUSE_COUNT]; /* standstill.c; machine lock */
    bool started, stands;         /* main thread */
    bool told_stopped;            /* what QMP was told last */
    bool has_run;                 /* it is not as -S or a reset while it stood left it */
    struct debugger debugger;

    /* kernel.c */
    struct boot_image *boot; /* NULL: no -kernel */
    struct bios bios;
    bool kernel_by_bios; /* our BIOS runs first and asks for the kernel */
    uint32_t boot_now;   /* it did: guest address of the memory map it hands over, else 0 */
    GPtrArray *roms;     /* roms.c: struct board_rom * */

    /* console.c */
    FILE *stats_file; /* -stats file: opened while files may be opened */

    /* pins.c: services of the board that the machine uses; NULL: the board has no such thing */
    const struct board_int_ack *int_ack;
    const struct board_cpu_apic *apic;
    struct irq ferr;
    struct irq bus_request; /* network.c */
    struct board_exit exit;
    struct board_cpu_time cpu_time;
    struct board_rom vga_rom, cirrus_rom;
    struct board_rng rng;             /* paravirt.c */
    struct board_news news;           /* the same */
    uint16_t key_scan[KEYS_HELD_MAX]; /* console.c: keys that are down, and with whom */
    struct input_sink *key_holder[KEYS_HELD_MAX];
};

/* --- pins.c --- */
/* What the board offers to devices before there are any; and what the machine takes from it when all are there. */
void pins_provide(struct machine *machine);
void pins_connect(struct machine *machine);
void pins_disconnect(struct machine *machine);
struct vcpu_hooks pins_hooks(struct machine *machine);

/* It is switched off, or its reset means that (-no-reboot): by the guest or by the user. reason: QMP's ShutdownCause.
 * Machine lock held. */
void machine_power_off(struct machine *machine, bool guest, const char *reason);

/* --- paravirt.c --- */
void paravirt_provide(struct machine *machine);

/* --- standstill.c --- */
/* Makes the machine stand or go on, as the reasons say. Main thread. */
void machine_settle(struct machine *machine);
/* While the processor has done something though time stands: no disk request is under way afterwards. */
void machine_drain(struct machine *machine);

/* --- pc.c --- */
/* The rows of the board that -machine names, and the user's devices. */
bool pc_build(struct machine *machine, GError **error);

/* --- hotplug.c --- */
/* A device comes (it takes request in any case), or goes with what hangs on it: going() is told of each, with the
 * machine lock held. A drive of -drive's goes with the device that it is in. Main thread, without the lock. */
bool machine_plug(struct machine *machine, struct keyvalues *request, GError **error);
bool machine_unplug(struct machine *machine, const struct instance *instance,
                    void (*going)(void *opaque, const struct instance *instance), void *opaque, GError **error);

/* --- boot_order.c --- */
/* All devices are there: tells firmware of their bootindex=. */
void boot_order_offer(struct machine *machine);

/* --- backends.c --- */
/* -add-fd: before anybody opens one of them. */
bool backends_take_fds(const struct options *options, GError **error);
/* -chardev, -serial and their like: they are there before any device asks for one, and before there are threads: whom
 * they wait for may never come. */
bool backends_open(const struct options *options, GError **error);
/* Everything is open and running but the processor. False: the user insists on a fence, and there is none. */
bool backends_fence(const struct machine *machine);

/* --- roms.c --- */
/* A card's ROM, kept until the machine ends. NULL with a sentence. */
const struct board_rom *roms_open(struct machine *machine, const char *file, GError **error);
void roms_close(struct machine *machine);

/* --- nodes_open.c --- */
/* -blockdev, and drives for devices that name such a node. */
bool nodes_open(struct machine *machine, GError **error);

/* --- network.c --- */
/* -netdev and what makes such: before there are threads. */
bool network_open(const struct options *options, GError **error);
/* -object, when the fence is not up yet, and threads may be made. */
bool objects_make(const struct options *options, GError **error);
/* -nic, -net nic. */
bool network_add_cards(struct machine *machine, GError **error);
/* An object of -object's kind, by its options; and away with it. */
bool object_make(struct keyvalues *options, GError **error);
bool object_delete(const char *id, GError **error);

/* --- kernel.c --- */
bool kernel_open(struct machine *machine, GError **error);
/* Puts the ROMs in. */
void kernel_build(struct machine *machine);
/* The guest was reset: a kernel without our BIOS is put into memory. */
void kernel_reset(struct machine *machine);
/* Between two instructions: our BIOS has asked for the kernel. */
void kernel_granted(struct machine *machine);
void kernel_close(struct machine *machine);

/* --- console.c --- */
bool console_build(struct machine *machine, GError **error);
void console_close(struct machine *machine);
/* After one came or some went: before are those that there were, the newest first. Machine lock held. */
void console_sinks_changed(struct machine *machine, struct input_sink *const *before, unsigned count);
void console_save_stats(struct machine *machine); /* -stats file:PATH */
void console_stats(struct machine *machine, bool json, GString *out);

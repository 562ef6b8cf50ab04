/* The Linux part: a kernel whose process 1 is the measured program; and the same program on the
 * host. */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "engines.h"
#include "results.h"

struct linux_part {
    const char *kernel; /* path of a bzImage */
    const char *names;  /* "all" or "a,b" */
    unsigned batch_ms;  /* a batch takes at least so long */
    int cpu;            /* to which guests are pinned, or CHILD_ANY_CPU */
    int native_cpu;
    double tsc_ghz; /* the host's time-stamp counter */
    /* Says what is going on; name NULL = booting. */
    void (*progress)(const char *engine, const char *name);
    int program_fd, initrd_fd;
    char *program_path, *initrd_path;
};

/* kernel, names, batch_ms, cpus and progress are set before. */
bool linux_prepare(struct linux_part *part, GError **error);
void linux_clear(struct linux_part *part);
/* One round: boots a guest and measures in it. */
bool linux_guest_round(struct linux_part *part, const struct engine *engine, struct results *results, GError **error);
/* A run with statistics: adds a struct shares to the array for boot, for the system's and for the
 * computing figures, as far as they are wanted; no figures, since to take these times costs some.
 */
bool linux_stats_run(struct linux_part *part, const struct engine *engine, GArray *shares, GError **error);
bool linux_native_round(struct linux_part *part, struct results *results, GError **error);

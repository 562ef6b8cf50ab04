/* The nano part: a guest kernel of our own that measures single operations. */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "engines.h"
#include "results.h"

struct nano_part {
    bool quick;
    int cpu;        /* to which guests are pinned, or CHILD_ANY_CPU */
    double tsc_ghz; /* the host's time-stamp counter */
    void (*progress)(const char *engine, const char *what);
    char *path;                     /* of the kernel, for an engine's -kernel */
    char *bochs_path, *bochs_input; /* configuration, and what its debugger is told */
    int fds[5];
};

/* All up to progress are set before. */
bool nano_prepare(struct nano_part *part, GError **error);
void nano_clear(struct nano_part *part);
bool nano_round(struct nano_part *part, const struct engine *engine, struct results *results, GError **error);

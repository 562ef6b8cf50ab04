/* Real programs: a Debian userland's, in a guest and natively by chroot. The tree and its programs are made by
 * tests/tools/guests.sh real; tests/bench/real.py measures the same more closely (CPU seconds, both QEMUs). */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "engines.h"
#include "results.h"

struct real_part {
    const char *tree;   /* folder */
    const char *kernel; /* path of the bzImage whose drivers are in the tree's initrd */
    bool quick;
    int cpu; /* to which guests are pinned, or CHILD_ANY_CPU */
    int native_cpu;
    void (*progress)(const char *engine, const char *name);
};

/* All is set before. False with a sentence: the part cannot be measured here. */
bool real_prepare(const struct real_part *part, GError **error);
bool real_guest_round(const struct real_part *part, const struct engine *engine, struct results *results,
                      GError **error);
bool real_native_round(const struct real_part *part, struct results *results, GError **error);

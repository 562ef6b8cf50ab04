/* The speed that this program must reach, and whether it did. */
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "results.h"

struct target {
    char *title;
    const char *engine;
    const char *unit; /* what limit and value count */
    double limit, value;
    bool met;
};

/* Of what was measured, as an array of struct target; what was not measured is not in it. bt and
 * direct have each their own limits for computing; the rest is asked of direct execution where it
 * was measured, else of bt. */
GArray *targets_judge(const struct results *results);
void targets_free(GArray *targets);
/* "MISSED ..." or "met ...", without a newline; g_free(). */
char *target_text(const struct target *target);

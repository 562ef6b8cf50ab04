/* Where an engine's time goes: what a run with -stats wrote at its end. */
#pragma once

#include <stdbool.h>

#include <glib.h>

struct share {
    char *name, *group, *text; /* as in include/stats.def */
    double ns, count;
};

struct shares {
    char *engine;
    double wall_ns;
    GArray *rows; /* of struct share: what takes time, the longest first */
};

/* From the JSON that -stats file:PATH writes. */
bool shares_read(struct shares *shares, const char *engine, const char *path, GError **error);
void shares_clear(struct shares *shares);
/* Time of a group, as a part of the wall time. */
double shares_of_group(const struct shares *shares, const char *group);

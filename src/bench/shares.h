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
    const char *what; /* ran meanwhile */
    double wall_ns;
    GArray *rows; /* of struct share: what takes time, the longest first */
};

/* From the JSON that the monitor's "info stats json" and -stats file:PATH write, and perhaps more
 * text behind it. False with *error if it is none; then there is nothing to clear. */
bool shares_parse(struct shares *shares, const char *engine, const char *what, const char *text, GError **error);
/* What was spent between an earlier moment of the same run and this one. */
void shares_subtract(struct shares *shares, const struct shares *earlier);
void shares_clear(struct shares *shares);
/* Time of a group, as a part of the wall time. */
double shares_of_group(const struct shares *shares, const char *group);

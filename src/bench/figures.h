/* What is measured: one row a figure, with its unit, its target and what others published. */
#pragma once

#include <stdbool.h>

enum figure_part { FIGURE_NANO, FIGURE_OS, FIGURE_COMPUTE, FIGURE_BOOT, FIGURE_REAL };

/* Adams & Agesen, ASPLOS 2006, figures 4 and 5 and section 6: cycles on a 3.8 GHz Pentium 4; 0 =
 * not given. */
struct figure_published {
    double native, software_vmm, hardware_vmm;
};

struct figure {
    const char *name; /* as the measured program and the nano kernel call it, and JSON */
    const char *title;
    enum figure_part part;
    double most_of_native; /* target: at most so many times the native time; 0 = none */
    double most_cycles;    /* target in cycles; 0 = none */
    struct figure_published published;
    const char *note; /* what theirs was, if it was not quite this; NULL */
};

extern const struct figure figures[];
extern const unsigned figure_count;
extern const char figure_source[]; /* where the published figures are from */

const struct figure *figure_find(const char *name); /* NULL if there is none */
/* "cycles" for FIGURE_NANO, else "ns". */
const char *figure_unit(const struct figure *figure);
/* Whether the host can do it as well. */
bool figure_is_native(const struct figure *figure);

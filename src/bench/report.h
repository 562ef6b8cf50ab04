/* What bench found out, for people and for programs. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include <glib.h>

#include "results.h"

struct report {
    const struct results *results;
    const char *version, *date, *host;
    const char *kernel; /* the guest's; NULL if no Linux part ran */
    unsigned rounds;
    bool quick;
    double tsc_ghz;  /* of the host */
    GArray *shares;  /* of struct shares, of each engine that has statistics */
    GArray *targets; /* of struct target */
};

/* Engines that have values in the nano part, or in the others; native first. Returns how many. */
unsigned report_columns(const struct report *report, bool nano, const char **columns, unsigned max);

/* Tables for a terminal. */
void report_text(const struct report *report, FILE *out);
/* Every value:
 *
 *   {"ringer", "date", "host", "tsc_ghz", "guest_kernel", "rounds", "quick",
 *    "engines": {NAME: {"title", "message" or "refused"}},
 *    "figures": {NAME: {"title", "part", "unit", "published": {...},
 *                       "engines": {NAME: {"median", "least", "most", "values", "of_native"}}}},
 *    "compute_geomean": {NAME: number},
 *    "time": {NAME: {"boot" or "system" or "computing":
 *                    {"wall_ns", "rows": [{"name", "group", "ns", "count", "text"}]}}},
 *    "targets": [{"title", "engine", "limit", "value", "unit", "met"}],
 *    "complaints": [sentence]}
 *
 * False with *error if path cannot be written. */
bool report_json(const struct report *report, const char *path, GError **error);
/* A page that needs nothing else: tables and charts. */
bool report_html(const struct report *report, const char *path, GError **error);

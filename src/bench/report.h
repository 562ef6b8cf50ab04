/* What bench found out, for people and for programs. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include <glib.h>

#include "results.h"

struct report {
    const struct results *results;
    const char *date, *host, *kernel; /* kernel: the guest's; NULL if no Linux part ran */
    unsigned rounds;
    bool quick;
    double tsc_ghz; /* of the host */
};

/* Tables for a terminal. */
void report_text(const struct report *report, FILE *out);

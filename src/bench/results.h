/* Measurements by engine and figure, and what was wrong with them. Nothing here measures. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "figures.h"

#define RESULTS_NATIVE "native" /* the host, as an engine's name */

struct results {
    GHashTable *series;    /* "engine figure" -> GArray of double, one value a round */
    GHashTable *sums;      /* figure -> the checksum that came first */
    GPtrArray *complaints; /* sentences */
};

void results_init(struct results *results);
void results_clear(struct results *results);
void results_add(struct results *results, const char *engine, const struct figure *figure, double value);
/* All values of one engine; 0 if there are none. *values belongs to results. */
unsigned results_values(const struct results *results, const char *engine, const struct figure *figure,
                        const double **values);
/* NAN if there is none. */
double results_median(const struct results *results, const char *engine, const struct figure *figure);
/* Median through the native one's; NAN if one is missing. */
double results_of_native(const struct results *results, const char *engine, const struct figure *figure);
/* Geometric mean of results_of_native over a part; NAN if one is missing. *worst may be NULL. */
double results_mean(const struct results *results, const char *engine, enum figure_part part, double *worst,
                    const char **worst_name);
/* The same work must have the same result everywhere. */
void results_check_sum(struct results *results, const char *engine, const struct figure *figure, uint32_t sum);
void results_complain(struct results *results, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Statistics of a few measurements. All values are positive; count is at least 1 unless said
 * otherwise. */
#pragma once

#include <stdint.h>

double sample_median(const double *values, unsigned count);
double sample_least(const double *values, unsigned count);
double sample_most(const double *values, unsigned count);
/* NAN without values, or if one is not positive. */
double sample_geomean(const double *values, unsigned count);

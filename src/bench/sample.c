/* Statistics of a few measurements. See sample.h. */
#include "sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int sample_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double sample_median(const double *values, unsigned count)
{
    double *sorted = malloc(count * sizeof *sorted);
    if (!sorted)
        abort();
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, sample_compare);
    double median = count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
    free(sorted);
    return median;
}

double sample_least(const double *values, unsigned count)
{
    double least = values[0];
    for (unsigned i = 1; i < count; i++)
        least = fmin(least, values[i]);
    return least;
}

double sample_most(const double *values, unsigned count)
{
    double most = values[0];
    for (unsigned i = 1; i < count; i++)
        most = fmax(most, values[i]);
    return most;
}

double sample_geomean(const double *values, unsigned count)
{
    double sum = 0;
    if (count == 0)
        return NAN;
    for (unsigned i = 0; i < count; i++) {
        if (!(values[i] > 0))
            return NAN;
        sum += log(values[i]);
    }
    return exp(sum / count);
}

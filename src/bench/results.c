/* Measurements by engine and figure. See results.h. */
#include "results.h"

#include <math.h>
#include <string.h>

#include "sample.h"

static void series_free(gpointer series)
{
    g_array_free(series, TRUE);
}

void results_init(struct results *results)
{
    results->series = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, series_free);
    results->sums = g_hash_table_new(g_str_hash, g_str_equal);
    results->complaints = g_ptr_array_new_with_free_func(g_free);
}

void results_clear(struct results *results)
{
    g_hash_table_destroy(results->series);
    g_hash_table_destroy(results->sums);
    g_ptr_array_free(results->complaints, TRUE);
}

static char *series_key(const char *engine, const struct figure *figure)
{
    return g_strdup_printf("%s %s", engine, figure->name);
}

void results_add(struct results *results, const char *engine, const struct figure *figure, double value)
{
    char *key = series_key(engine, figure);
    GArray *series = g_hash_table_lookup(results->series, key);
    if (!series) {
        series = g_array_new(FALSE, FALSE, sizeof(double));
        g_hash_table_insert(results->series, key, series);
    } else {
        g_free(key);
    }
    g_array_append_val(series, value);
}

unsigned results_values(const struct results *results, const char *engine, const struct figure *figure,
                        const double **values)
{
    char *key = series_key(engine, figure);
    GArray *series = g_hash_table_lookup(results->series, key);
    g_free(key);
    *values = series ? (const double *)(void *)series->data : NULL;
    return series ? series->len : 0;
}

double results_median(const struct results *results, const char *engine, const struct figure *figure)
{
    const double *values;
    unsigned count = results_values(results, engine, figure, &values);
    return count ? sample_median(values, count) : NAN;
}

double results_of_native(const struct results *results, const char *engine, const struct figure *figure)
{
    return results_median(results, engine, figure) / results_median(results, RESULTS_NATIVE, figure);
}

double results_mean(const struct results *results, const char *engine, enum figure_part part, double *worst,
                    const char **worst_name)
{
    GArray *ratios = g_array_new(FALSE, FALSE, sizeof(double));
    double most = 0;
    for (unsigned i = 0; i < figure_count; i++) {
        if (figures[i].part != part)
            continue;
        double ratio = results_of_native(results, engine, &figures[i]);
        g_array_append_val(ratios, ratio);
        if (ratio > most) {
            most = ratio;
            if (worst_name)
                *worst_name = figures[i].name;
        }
    }
    double mean = sample_geomean((const double *)(void *)ratios->data, ratios->len);
    g_array_free(ratios, TRUE);
    if (worst)
        *worst = most > 0 ? most : NAN;
    return mean;
}

void results_check_sum(struct results *results, const char *engine, const struct figure *figure, uint32_t sum)
{
    gpointer known;
    if (!g_hash_table_lookup_extended(results->sums, figure->name, NULL, &known))
        g_hash_table_insert(results->sums, (gpointer)figure->name, GUINT_TO_POINTER(sum));
    else if (GPOINTER_TO_UINT(known) != sum)
        results_complain(results, "%s: %s computed %08x where others computed %08x", engine, figure->name, sum,
                         GPOINTER_TO_UINT(known));
}

void results_complain(struct results *results, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *sentence = g_strdup_vprintf(format, args);
    va_end(args);
    for (unsigned i = 0; i < results->complaints->len; i++) {
        if (strcmp(g_ptr_array_index(results->complaints, i), sentence) == 0) {
            g_free(sentence);
            return;
        }
    }
    g_ptr_array_add(results->complaints, sentence);
}

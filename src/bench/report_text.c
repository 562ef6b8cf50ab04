/* Tables for a terminal. See report.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engines.h"
#include "report.h"
#include "sample.h"
#include "shares.h"
#include "targets.h"

#define TITLE 42
#define CELL  30

/* A value in the unit that fits it: sets *scale, returns the unit. */
static const char *unit_choose(double ns, double *scale)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    unsigned unit = 0;
    *scale = 1;
    while (ns / *scale >= 1000 && unit < 3) {
        *scale *= 1000;
        unit++;
    }
    return units[unit];
}

/* Median, spread and times native. */
static void cell_print(const struct report *report, FILE *out, const char *engine, const struct figure *figure)
{
    const double *values;
    unsigned count = results_values(report->results, engine, figure, &values);
    char cell[128], ratio[16] = "";
    double scale = 1;
    const char *unit = "";

    if (!count) {
        fprintf(out, " %*s", CELL, figure->part == FIGURE_NANO ? "-" : "-      ");
        return;
    }
    double median = sample_median(values, count), of_native = results_of_native(report->results, engine, figure);
    if (figure->part != FIGURE_NANO)
        unit = unit_choose(median, &scale);
    int digits = median / scale < 10 ? 2 : median / scale < 100 ? 1 : 0;
    if (figure_is_native(figure) && strcmp(engine, RESULTS_NATIVE) != 0 && !isnan(of_native))
        snprintf(ratio, sizeof ratio, "%.2f", of_native);
    snprintf(cell, sizeof cell, "%.*f%s%s (%.*f..%.*f)%*s", digits, median / scale, *unit ? " " : "", unit, digits,
             sample_least(values, count) / scale, digits, sample_most(values, count) / scale,
             figure->part == FIGURE_NANO ? 0 : 7, ratio);
    fprintf(out, " %*s", CELL, cell);
}

static bool engine_has(const struct report *report, const char *engine, bool nano)
{
    const double *values;
    for (unsigned i = 0; i < figure_count; i++) {
        if ((figures[i].part == FIGURE_NANO) == nano && results_values(report->results, engine, &figures[i], &values))
            return true;
    }
    return false;
}

unsigned report_columns(const struct report *report, bool nano, const char **columns, unsigned max)
{
    unsigned count = 0;
    if (engine_has(report, RESULTS_NATIVE, nano) && count < max)
        columns[count++] = RESULTS_NATIVE;
    for (unsigned i = 0; i < engine_count; i++) {
        if (engine_has(report, engines[i].name, nano) && count < max)
            columns[count++] = engines[i].name;
    }
    return count;
}

/* "native / software VMM / hardware VMM" as published. */
static void published_print(FILE *out, const struct figure_published *published)
{
    const double values[] = {published->native, published->software_vmm, published->hardware_vmm};
    for (unsigned i = 0; i < 3; i++) {
        if (values[i] > 0)
            fprintf(out, " %6.0f", values[i]);
        else
            fprintf(out, " %6s", published->software_vmm > 0 ? "-" : "");
    }
}

/* Of the columns that have all of a part; nothing if the last has not. */
static void mean_print(const struct report *report, FILE *out, const char **columns, unsigned count,
                       enum figure_part part, const char *title)
{
    if (isnan(results_mean(report->results, columns[count - 1], part, NULL, NULL)))
        return;
    fprintf(out, "%-*s", TITLE, title);
    for (unsigned c = 0; c < count; c++) {
        double mean = results_mean(report->results, columns[c], part, NULL, NULL);
        if (isnan(mean))
            fprintf(out, " %*s", CELL, "-");
        else
            fprintf(out, " %*.3f", CELL, mean);
    }
    fprintf(out, "\n");
}

static void table_print(const struct report *report, FILE *out, bool nano)
{
    const char *columns[16];
    unsigned count = report_columns(report, nano, columns, G_N_ELEMENTS(columns));
    if (!count)
        return;
    fprintf(out, "\n%-*s", TITLE, nano ? "cycles per operation" : "time per operation, and times native");
    for (unsigned c = 0; c < count; c++)
        fprintf(out, " %*s", CELL, columns[c]);
    fprintf(out, nano ? "  2006: native, BT, VT-x\n" : "\n");
    for (unsigned i = 0; i < figure_count; i++) {
        if ((figures[i].part == FIGURE_NANO) != nano)
            continue;
        const double *values;
        bool any = false;
        for (unsigned c = 0; c < count; c++)
            any |= results_values(report->results, columns[c], &figures[i], &values) > 0;
        if (!any)
            continue;
        fprintf(out, "%-*s", TITLE, figures[i].title);
        for (unsigned c = 0; c < count; c++)
            cell_print(report, out, columns[c], &figures[i]);
        if (nano)
            published_print(out, &figures[i].published);
        fprintf(out, "\n");
    }
    if (nano) {
        fprintf(out, "2006: %s\n", figure_source);
        return;
    }
    mean_print(report, out, columns, count, FIGURE_COMPUTE, "compute set, geometric mean");
    mean_print(report, out, columns, count, FIGURE_REAL, "real programs, geometric mean");
}

static void shares_print(const struct shares *shares, FILE *out)
{
    fprintf(out, "\nwhere the time goes, %s, %s: %.2f s of its processor thread\n", shares->engine, shares->what,
            shares->wall_ns / 1e9);
    for (unsigned i = 0; i < shares->rows->len; i++) {
        const struct share *share = &g_array_index(shares->rows, struct share, i);
        if (share->ns < shares->wall_ns / 200)
            break;
        fprintf(out, "  %5.1f %%  %-16s %-12s %10.0f times  %s\n", 100 * share->ns / shares->wall_ns, share->name,
                share->group, share->count, share->text);
    }
}

void report_text(const struct report *report, FILE *out)
{
    fprintf(out, "\n%s, %u round%s%s, medians (least..most)\n%s\n", report->date, report->rounds,
            report->rounds == 1 ? "" : "s", report->quick ? ", quick" : "", report->host);
    if (report->kernel)
        fprintf(out, "guest kernel %s\n", report->kernel);
    table_print(report, out, false);
    table_print(report, out, true);
    for (unsigned i = 0; i < report->shares->len; i++)
        shares_print(&g_array_index(report->shares, struct shares, i), out);
    fprintf(out, "\n");
    for (unsigned i = 0; i < report->targets->len; i++) {
        char *text = target_text(&g_array_index(report->targets, struct target, i));
        fprintf(out, "%s\n", text);
        g_free(text);
    }
    for (unsigned i = 0; i < engine_count; i++) {
        if (engines[i].wanted && engines[i].refused)
            fprintf(out, "left out: %s: %s\n", engines[i].name, engines[i].refused);
    }
    for (unsigned i = 0; i < report->results->complaints->len; i++)
        fprintf(out, "CAUTION %s\n", (const char *)g_ptr_array_index(report->results->complaints, i));
}

/* Speed targets. See targets.h; the limits of single figures stand in figures.c. */
#include "targets.h"

#include <math.h>

#define COMPUTE_DIRECT   1.03 /* of native time, geometric mean */
#define COMPUTE_BT       1.10
#define COMPUTE_BT_WORST 1.40
#define REAL_DIRECT      1.80
#define REAL_WORST       5.00
#define BOOT_OF_TCG      0.25

static void target_add(GArray *targets, const char *engine, const char *title, const char *unit, double limit,
                       double value)
{
    if (isnan(value))
        return;
    struct target target = {.title = g_strdup(title),
                            .engine = engine,
                            .unit = unit,
                            .limit = limit,
                            .value = value,
                            .met = value <= limit};
    g_array_append_val(targets, target);
}

GArray *targets_judge(const struct results *results)
{
    GArray *targets = g_array_new(FALSE, FALSE, sizeof(struct target));
    const char *worst_name = "";
    double worst;

    target_add(targets, "direct", "compute set, geometric mean", "of native time", COMPUTE_DIRECT,
               results_mean(results, "direct", FIGURE_COMPUTE, NULL, NULL));
    target_add(targets, "bt", "compute set, geometric mean", "of native time", COMPUTE_BT,
               results_mean(results, "bt", FIGURE_COMPUTE, &worst, &worst_name));
    char *title = g_strdup_printf("compute set, the worst (%s)", worst_name);
    target_add(targets, "bt", title, "of native time", COMPUTE_BT_WORST, worst);
    g_free(title);
    double mean = results_mean(results, "direct", FIGURE_REAL, &worst, &worst_name);
    title = g_strdup_printf("real programs, the worst (%s)", worst_name);
    target_add(targets, "direct", "real programs, geometric mean", "of native time", REAL_DIRECT, mean);
    target_add(targets, "direct", title, "of native time", REAL_WORST, isnan(mean) ? NAN : worst);
    g_free(title);
    for (unsigned i = 0; i < figure_count; i++) {
        const struct figure *f = &figures[i];
        const char *engine = isnan(results_median(results, "direct", f)) ? "bt" : "direct";
        if (f->most_of_native > 0)
            target_add(targets, engine, f->title, "of native time", f->most_of_native,
                       results_of_native(results, engine, f));
        if (f->most_cycles > 0)
            target_add(targets, engine, f->title, "cycles", f->most_cycles, results_median(results, engine, f));
        if (f->part == FIGURE_BOOT)
            target_add(targets, engine, f->title, "of TCG's time", BOOT_OF_TCG,
                       results_median(results, engine, f) / results_median(results, "tcg", f));
    }
    return targets;
}

void targets_free(GArray *targets)
{
    for (unsigned i = 0; i < targets->len; i++)
        g_free(g_array_index(targets, struct target, i).title);
    g_array_free(targets, TRUE);
}

char *target_text(const struct target *target)
{
    return g_strdup_printf("%s %s, %s: %.2f %s, at most %.2f", target->met ? "met   " : "MISSED", target->engine,
                           target->title, target->value, target->unit, target->limit);
}

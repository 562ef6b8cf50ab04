/* Every value, for programs. See report.h. */
#include <math.h>
#include <string.h>

#include <jansson.h>

#include "child.h"
#include "engines.h"
#include "report.h"
#include "sample.h"
#include "shares.h"
#include "targets.h"

static const char *const part_names[] = {[FIGURE_NANO] = "nano",
                                         [FIGURE_OS] = "os",
                                         [FIGURE_COMPUTE] = "compute",
                                         [FIGURE_BOOT] = "boot",
                                         [FIGURE_REAL] = "real"};

static void set_number(json_t *object, const char *key, double value)
{
    if (isfinite(value))
        json_object_set_new(object, key, json_real(value));
}

static json_t *engine_values(const struct report *report, const char *engine, const struct figure *figure)
{
    const double *values;
    unsigned count = results_values(report->results, engine, figure, &values);
    if (!count)
        return NULL;
    json_t *object = json_object(), *list = json_array();
    set_number(object, "median", sample_median(values, count));
    set_number(object, "least", sample_least(values, count));
    set_number(object, "most", sample_most(values, count));
    if (figure_is_native(figure))
        set_number(object, "of_native", results_of_native(report->results, engine, figure));
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, json_real(values[i]));
    json_object_set_new(object, "values", list);
    return object;
}

static json_t *figure_object(const struct report *report, const struct figure *figure)
{
    const char *columns[16];
    json_t *object = json_object(), *by_engine = json_object();
    json_object_set_new(object, "title", json_string(figure->title));
    json_object_set_new(object, "part", json_string(part_names[figure->part]));
    json_object_set_new(object, "unit", json_string(figure_unit(figure)));
    if (figure->published.software_vmm > 0) {
        json_t *published = json_object();
        if (figure->published.native > 0)
            set_number(published, "native", figure->published.native);
        set_number(published, "software_vmm", figure->published.software_vmm);
        if (figure->published.hardware_vmm > 0)
            set_number(published, "hardware_vmm", figure->published.hardware_vmm);
        json_object_set_new(published, "source", json_string(figure_source));
        if (figure->note)
            json_object_set_new(published, "note", json_string(figure->note));
        json_object_set_new(object, "published", published);
    }
    unsigned count = report_columns(report, figure->part == FIGURE_NANO, columns, G_N_ELEMENTS(columns));
    for (unsigned i = 0; i < count; i++) {
        json_t *values = engine_values(report, columns[i], figure);
        if (values)
            json_object_set_new(by_engine, columns[i], values);
    }
    if (json_object_size(by_engine) == 0) {
        json_decref(by_engine);
        json_decref(object);
        return NULL;
    }
    json_object_set_new(object, "engines", by_engine);
    return object;
}

static json_t *engines_object(void)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < engine_count; i++) {
        if (!engines[i].wanted)
            continue;
        json_t *engine = json_object();
        json_object_set_new(engine, "title", json_string(engines[i].title));
        if (engines[i].refused)
            json_object_set_new(engine, "refused", json_string(engines[i].refused));
        else
            json_object_set_new(engine, "message", json_string(engines[i].message));
        json_object_set_new(object, engines[i].name, engine);
    }
    return object;
}

static json_t *time_object(const struct report *report)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < report->shares->len; i++) {
        const struct shares *shares = &g_array_index(report->shares, struct shares, i);
        json_t *engine = json_object(), *rows = json_array();
        set_number(engine, "wall_ns", shares->wall_ns);
        for (unsigned r = 0; r < shares->rows->len; r++) {
            const struct share *share = &g_array_index(shares->rows, struct share, r);
            json_t *row = json_object();
            json_object_set_new(row, "name", json_string(share->name));
            json_object_set_new(row, "group", json_string(share->group));
            set_number(row, "ns", share->ns);
            set_number(row, "count", share->count);
            json_object_set_new(row, "text", json_string(share->text));
            json_array_append_new(rows, row);
        }
        json_object_set_new(engine, "rows", rows);
        json_t *by_what = json_object_get(object, shares->engine);
        if (!by_what)
            json_object_set_new(object, shares->engine, by_what = json_object());
        json_object_set_new(by_what, shares->what, engine);
    }
    return object;
}

static json_t *targets_array(const struct report *report)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < report->targets->len; i++) {
        const struct target *target = &g_array_index(report->targets, struct target, i);
        json_t *object = json_object();
        json_object_set_new(object, "title", json_string(target->title));
        json_object_set_new(object, "engine", json_string(target->engine));
        json_object_set_new(object, "unit", json_string(target->unit));
        set_number(object, "limit", target->limit);
        set_number(object, "value", target->value);
        json_object_set_new(object, "met", json_boolean(target->met));
        json_array_append_new(list, object);
    }
    return list;
}

bool report_json(const struct report *report, const char *path, GError **error)
{
    json_t *root = json_object(), *all = json_object(), *means = json_object(), *complaints = json_array();
    const char *columns[16];

    json_object_set_new(root, "ringer", json_string(report->version));
    json_object_set_new(root, "date", json_string(report->date));
    json_object_set_new(root, "host", json_string(report->host));
    set_number(root, "tsc_ghz", report->tsc_ghz);
    if (report->kernel)
        json_object_set_new(root, "guest_kernel", json_string(report->kernel));
    json_object_set_new(root, "rounds", json_integer(report->rounds));
    json_object_set_new(root, "quick", json_boolean(report->quick));
    json_object_set_new(root, "engines", engines_object());
    for (unsigned i = 0; i < figure_count; i++) {
        json_t *figure = figure_object(report, &figures[i]);
        if (figure)
            json_object_set_new(all, figures[i].name, figure);
    }
    json_object_set_new(root, "figures", all);
    unsigned count = report_columns(report, false, columns, G_N_ELEMENTS(columns));
    for (unsigned i = 0; i < count; i++)
        set_number(means, columns[i], results_mean(report->results, columns[i], FIGURE_COMPUTE, NULL, NULL));
    json_object_set_new(root, "compute_geomean", means);
    json_object_set_new(root, "time", time_object(report));
    json_object_set_new(root, "targets", targets_array(report));
    for (unsigned i = 0; i < report->results->complaints->len; i++)
        json_array_append_new(complaints, json_string(g_ptr_array_index(report->results->complaints, i)));
    json_object_set_new(root, "complaints", complaints);
    int failed = json_dump_file(root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(8));
    json_decref(root);
    return !failed || bench_fail(error, "--json: cannot write '%s'; give a file in a folder that exists", path);
}

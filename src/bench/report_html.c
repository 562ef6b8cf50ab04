/* A page with tables and charts that needs nothing else. See report.h.
 *
 * It is HTML that is XML as well: every element is closed, and no entity is used but XML's own.
 * Charts are inline SVG; colours are CSS variables with a light and a dark value. */
#include <math.h>
#include <string.h>

#include "child.h"
#include "engines.h"
#include "report.h"
#include "sample.h"
#include "shares.h"
#include "targets.h"

#define COLUMNS_MAX 16
#define LABEL_WIDTH 300
#define PLOT_WIDTH  560
#define CHART_WIDTH (LABEL_WIDTH + PLOT_WIDTH + 90)
#define BAR_HEIGHT  11
#define ROW_GAP     9

static const char style[] =
    ":root { color-scheme: light dark; --back: #ffffff; --text: #1c1c1e; --dim: #6b6b70; --line: "
    "#d9d9de; --bad: #c0392b;"
    " --good: #2e7d32; --native: #8e8e93; --interp: #b58900; --bt: #2166ac; --direct: #1b9e77; "
    "--kvm: #7b3fa0;"
    " --tcg: #e08214; --bochs: #a6611a; --g0: #2166ac; --g1: #1b9e77; --g2: #e08214; --g3: "
    "#7b3fa0; --g4: #c0392b;"
    " --g5: #b58900; --g6: #5e81ac; --g7: #d6609a; --g8: #8e8e93; --g9: #555555; }\n"
    "@media (prefers-color-scheme: dark) { :root { --back: #16161a; --text: #ececf0; --dim: "
    "#9a9aa2; --line: #3a3a40;"
    " --bad: #ff7b6b; --good: #7bd88f; --native: #a0a0a8; --interp: #d7b740; --bt: #6aaef0; "
    "--direct: #4fd0a5;"
    " --kvm: #b98be0; --tcg: #f5a94f; --bochs: #cf9058; --g0: #6aaef0; --g1: #4fd0a5; --g2: "
    "#f5a94f; --g3: #b98be0;"
    " --g4: #ff7b6b; --g5: #d7b740; --g6: #8fb4dd; --g7: #f08cbc; --g8: #a0a0a8; --g9: #c8c8d0; } "
    "}\n"
    "body { background: var(--back); color: var(--text); font: 15px/1.45 system-ui, sans-serif; "
    "max-width: 1240px;"
    " margin: 2em auto; padding: 0 1em; }\n"
    "h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }\n"
    "p.dim, td.dim { color: var(--dim); }\n"
    "div.wide { overflow-x: auto; }\n"
    "table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }\n"
    "th, td { text-align: right; padding: 2px 9px; border-bottom: 1px solid var(--line); "
    "white-space: nowrap; }\n"
    "th:first-child, td:first-child { text-align: left; }\n"
    "td.left { text-align: left; } span.spread { color: var(--dim); font-size: 11px; }\n"
    ".missed { color: var(--bad); font-weight: 600; } .met { color: var(--good); }\n"
    "svg { max-width: 100%; height: auto; } svg text { fill: var(--text); font: 11px system-ui, "
    "sans-serif; }\n"
    "svg text.dim { fill: var(--dim); } svg line { stroke: var(--line); }\n"
    "svg text.value { paint-order: stroke; stroke: var(--back); stroke-width: 3px; }\n"
    "svg line.target { stroke: var(--bad); stroke-width: 2; } svg .mark { fill: none; stroke: "
    "var(--text); stroke-width: 1.3; }\n";

/* Appends; every %s is escaped. */
static void html_add(GString *html, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void html_add(GString *html, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = g_markup_vprintf_escaped(format, args);
    va_end(args);
    g_string_append(html, text);
    g_free(text);
}

/* --- Charts of bars on a logarithmic scale --- */

struct chart {
    const struct report *report;
    const char *columns[COLUMNS_MAX];
    unsigned column_count;
    bool nano;
    double low, high; /* decades: log10 of the ends of the scale */
};

/* What a bar shows. NAN: nothing. */
static double chart_value(const struct chart *chart, const char *engine, const struct figure *figure)
{
    return chart->nano ? results_median(chart->report->results, engine, figure)
                       : results_of_native(chart->report->results, engine, figure);
}

static bool chart_has(const struct chart *chart, const struct figure *figure)
{
    if (chart->nano != (figure->part == FIGURE_NANO) || (!chart->nano && !figure_is_native(figure)))
        return false;
    for (unsigned c = 0; c < chart->column_count; c++)
        if (chart_value(chart, chart->columns[c], figure) > 0)
            return true;
    return false;
}

static void chart_stretch(struct chart *chart, double value)
{
    if (value > 0) {
        chart->low = fmin(chart->low, floor(log10(value)));
        chart->high = fmax(chart->high, ceil(log10(value)));
    }
}

static void chart_init(struct chart *chart, const struct report *report, bool nano)
{
    *chart = (struct chart){.report = report, .nano = nano, .low = nano ? 0 : -1, .high = 1};
    chart->column_count = report_columns(report, nano, chart->columns, COLUMNS_MAX);
    if (!nano && chart->column_count && strcmp(chart->columns[0], RESULTS_NATIVE) == 0) { /* always 1 */
        memmove(chart->columns, chart->columns + 1, sizeof chart->columns - sizeof *chart->columns);
        chart->column_count--;
    }
    for (unsigned i = 0; i < figure_count; i++) {
        if (!chart_has(chart, &figures[i]))
            continue;
        for (unsigned c = 0; c < chart->column_count; c++)
            chart_stretch(chart, chart_value(chart, chart->columns[c], &figures[i]));
        if (nano)
            chart_stretch(chart, figures[i].published.hardware_vmm);
    }
}

static double chart_x(const struct chart *chart, double value)
{
    double part = (log10(value) - chart->low) / (chart->high - chart->low);
    return LABEL_WIDTH + PLOT_WIDTH * fmin(fmax(part, 0), 1);
}

/* Three figures that tell. */
static void number_print(char *to, size_t size, double value)
{
    g_snprintf(to, size, value < 9.995 ? "%.2f" : value < 99.95 ? "%.1f" : "%.0f", value);
}

/* The left and right end of a bar. It begins at 1 where that is the native time. */
static void bar_ends(const struct chart *chart, double value, double *from, double *to)
{
    double x = chart_x(chart, value), origin = chart->nano ? LABEL_WIDTH : chart_x(chart, 1);
    *from = fmin(origin, x);
    *to = fmax(origin, x);
}

static void chart_row(const struct chart *chart, GString *html, const struct figure *figure, double y)
{
    char number[32];
    double from, to, height = BAR_HEIGHT * chart->column_count;

    html_add(html, "<text x='%d' y='%.0f' text-anchor='end'>%s</text>\n", LABEL_WIDTH - 8, y + BAR_HEIGHT - 2,
             figure->title);
    for (unsigned c = 0; c < chart->column_count; c++) {
        double value = chart_value(chart, chart->columns[c], figure);
        if (!(value > 0))
            continue;
        number_print(number, sizeof number, value);
        bar_ends(chart, value, &from, &to);
        html_add(html,
                 "<rect x='%.1f' y='%.0f' width='%.1f' height='%d' style='fill: "
                 "var(--%s)'><title>%s, %s: %s %s"
                 "</title></rect>\n",
                 from, y + BAR_HEIGHT * c, fmax(to - from, 1), BAR_HEIGHT - 1, chart->columns[c], chart->columns[c],
                 figure->title, number, chart->nano ? "cycles" : "times native");
    }
    double limit = chart->nano ? figure->most_cycles : figure->most_of_native;
    if (limit > 0)
        html_add(html,
                 "<line class='target' x1='%.1f' x2='%.1f' y1='%.0f' y2='%.0f'><title>target: at "
                 "most %g</title>"
                 "</line>\n",
                 chart_x(chart, limit), chart_x(chart, limit), y - 2, y + height + 1, limit);
    for (unsigned c = 0; c < chart->column_count; c++) {
        double value = chart_value(chart, chart->columns[c], figure);
        if (!(value > 0))
            continue;
        number_print(number, sizeof number, value);
        bar_ends(chart, value, &from, &to);
        html_add(html, "<text class='dim value' x='%.1f' y='%.0f'>%s</text>\n", to + 4,
                 y + BAR_HEIGHT * c + BAR_HEIGHT - 2, number);
    }
    if (!chart->nano)
        return;
    /* 2006: a circle natively, a square the software VMM, a triangle VT-x */
    const struct figure_published *p = &figure->published;
    double middle = y + height / 2;
    if (p->native > 0)
        html_add(html,
                 "<circle class='mark' cx='%.1f' cy='%.1f' r='4'><title>2006, native: "
                 "%g</title></circle>\n",
                 chart_x(chart, p->native), middle, p->native);
    if (p->software_vmm > 0)
        html_add(html,
                 "<rect class='mark' x='%.1f' y='%.1f' width='8' height='8'><title>2006, software "
                 "VMM: %g</title>"
                 "</rect>\n",
                 chart_x(chart, p->software_vmm) - 4, middle - 4, p->software_vmm);
    if (p->hardware_vmm > 0) {
        double x = chart_x(chart, p->hardware_vmm);
        html_add(html,
                 "<path class='mark' d='M %.1f %.1f l 5 9 l -10 0 z'><title>2006, hardware VMM: "
                 "%g</title></path>\n",
                 x, middle - 5, p->hardware_vmm);
    }
}

static void legend(const struct chart *chart, GString *html)
{
    g_string_append(html, "<p class='dim'>");
    for (unsigned c = 0; c < chart->column_count; c++)
        html_add(html, "<span style='color: var(--%s)'>&#9632;</span> %s &#160; ", chart->columns[c],
                 chart->columns[c]);
    g_string_append(html, chart->nano ? "&#160; &#9675; native, &#9633; software VMM, &#9651; VT-x, all of 2006"
                                      : "&#160; red line: target");
    g_string_append(html, ". Logarithmic scale.</p>\n");
}

static void chart_add(GString *html, const struct report *report, bool nano)
{
    struct chart chart;
    unsigned rows = 0;
    chart_init(&chart, report, nano);
    for (unsigned i = 0; i < figure_count; i++)
        rows += chart_has(&chart, &figures[i]);
    if (!rows)
        return;
    int row_height = (int)(BAR_HEIGHT * chart.column_count) + ROW_GAP, height = (int)rows * row_height + 30;
    legend(&chart, html);
    html_add(html, "<svg viewBox='0 0 %d %d' width='%d' height='%d' role='img'>\n", CHART_WIDTH, height, CHART_WIDTH,
             height);
    for (double decade = chart.low; decade <= chart.high; decade++) {
        double x = chart_x(&chart, pow(10, decade));
        html_add(html,
                 "<line x1='%.1f' x2='%.1f' y1='0' y2='%d'/><text class='dim' x='%.1f' y='%d' "
                 "text-anchor='middle'>%g</text>\n",
                 x, x, height - 20, x, height - 6, pow(10, decade));
    }
    double y = 4;
    for (unsigned i = 0; i < figure_count; i++) {
        if (chart_has(&chart, &figures[i])) {
            chart_row(&chart, html, &figures[i], y);
            y += row_height;
        }
    }
    g_string_append(html, "</svg>\n");
}

/* --- Tables --- */

static void cell_add(GString *html, const struct report *report, const char *engine, const struct figure *figure)
{
    static const char *const units[] = {"ns", "µs", "ms", "s"};
    const double *values;
    unsigned count = results_values(report->results, engine, figure, &values), unit = 0;
    char median[32], least[32], most[32];
    double scale = 1, ratio = results_of_native(report->results, engine, figure);

    if (!count) {
        g_string_append(html, "<td class='dim'>-</td>");
        return;
    }
    double middle = sample_median(values, count);
    for (; figure->part != FIGURE_NANO && middle / scale >= 1000 && unit < 3; unit++)
        scale *= 1000;
    number_print(median, sizeof median, middle / scale);
    number_print(least, sizeof least, sample_least(values, count) / scale);
    number_print(most, sizeof most, sample_most(values, count) / scale);
    html_add(html, "<td>%s%s%s <span class='spread'>%s..%s</span>", median, figure->part == FIGURE_NANO ? "" : " ",
             figure->part == FIGURE_NANO ? "" : units[unit], least, most);
    if (figure_is_native(figure) && strcmp(engine, RESULTS_NATIVE) != 0 && isfinite(ratio)) {
        bool missed = figure->most_of_native > 0 && ratio > figure->most_of_native;
        html_add(html, " <b>%.2f</b>", ratio);
        if (missed && (strcmp(engine, "bt") == 0 || strcmp(engine, "direct") == 0))
            html_add(html, "<span class='missed'> &gt; %g</span>", figure->most_of_native);
    }
    g_string_append(html, "</td>");
}

static void published_add(GString *html, const struct figure *figure)
{
    const struct figure_published *p = &figure->published;
    const double values[] = {p->native, p->software_vmm, p->hardware_vmm};
    for (unsigned i = 0; i < 3; i++) {
        if (values[i] > 0)
            html_add(html, "<td>%g</td>", values[i]);
        else
            g_string_append(html, "<td></td>");
    }
    html_add(html, "<td class='left dim'>%s</td>", figure->note ? figure->note : "");
}

/* A row of geometric means; none if no column has all of the part. */
static void mean_add(GString *html, const struct report *report, const char **columns, unsigned count,
                     enum figure_part part, const char *title)
{
    bool any = false;
    for (unsigned c = 0; c < count; c++)
        any |= isfinite(results_mean(report->results, columns[c], part, NULL, NULL));
    if (!any)
        return;
    html_add(html, "<tr><td>%s, geometric mean of times native</td>", title);
    for (unsigned c = 0; c < count; c++) {
        double mean = results_mean(report->results, columns[c], part, NULL, NULL);
        if (isfinite(mean))
            html_add(html, "<td><b>%.3f</b></td>", mean);
        else
            g_string_append(html, "<td></td>");
    }
    g_string_append(html, "</tr>\n");
}

static void table_add(GString *html, const struct report *report, bool nano)
{
    const char *columns[COLUMNS_MAX], *title;
    unsigned count = report_columns(report, nano, columns, COLUMNS_MAX);
    g_string_append(html, "<div class='wide'><table>\n<tr><th></th>");
    for (unsigned c = 0; c < count; c++)
        html_add(html, "<th>%s</th>", columns[c]);
    if (nano)
        g_string_append(html, "<th>2006: native</th><th>software VMM</th><th>VT-x</th><th></th>");
    g_string_append(html, "</tr>\n");
    for (unsigned i = 0; i < figure_count; i++) {
        const double *values;
        bool any = false;
        for (unsigned c = 0; c < count && (figures[i].part == FIGURE_NANO) == nano; c++)
            any |= results_values(report->results, columns[c], &figures[i], &values) > 0;
        if (!any)
            continue;
        title = figures[i].title;
        html_add(html, "<tr><td>%s</td>", title);
        for (unsigned c = 0; c < count; c++)
            cell_add(html, report, columns[c], &figures[i]);
        if (nano)
            published_add(html, &figures[i]);
        g_string_append(html, "</tr>\n");
    }
    if (!nano) {
        mean_add(html, report, columns, count, FIGURE_COMPUTE, "compute set");
        mean_add(html, report, columns, count, FIGURE_REAL, "real programs");
    }
    g_string_append(html, "</table></div>\n");
}

/* --- Where the time goes --- */

static const struct {
    const char *name, *title;
} groups[] = {
    {"GUEST", "guest code"},   {"CALLOUT", "callouts"},  {"SHADOW", "shadow faults"}, {"TRANSLATE", "translation"},
    {"INTERP", "interpreter"}, {"HANDOFF", "hand-offs"}, {"DEVICE", "devices"},       {"MONITOR", "monitor"},
    {"IDLE", "idle"},          {"STOPPED", "stopped"},
};

static void time_add(GString *html, const struct report *report)
{
    const unsigned bar = 26;
    if (!report->shares->len)
        return;
    g_string_append(html, "<h2>Where the time goes</h2>\n<p>Of the engine's processor thread, "
                          "while the guest boots, while "
                          "it runs the programs that need a kernel (system), while it runs those "
                          "that compute. A run of "
                          "its own, since to take these times costs some.</p>\n<p class='dim'>");
    for (unsigned g = 0; g < G_N_ELEMENTS(groups); g++)
        html_add(html, "<span style='color: var(--g%u)'>&#9632;</span> %s &#160; ", g, groups[g].title);
    int height = (int)(report->shares->len * (bar + 10));
    html_add(html, "</p>\n<svg viewBox='0 0 %d %d' width='%d' height='%d' role='img'>\n", CHART_WIDTH, height,
             CHART_WIDTH, height);
    for (unsigned i = 0; i < report->shares->len; i++) {
        const struct shares *shares = &g_array_index(report->shares, struct shares, i);
        double x = 130, width = CHART_WIDTH - 130;
        html_add(html, "<text x='0' y='%u'>%s, %s</text>\n", i * (bar + 10) + 17, shares->engine, shares->what);
        for (unsigned g = 0; g < G_N_ELEMENTS(groups); g++) {
            double part = shares_of_group(shares, groups[g].name);
            if (!(part > 0))
                continue;
            html_add(html,
                     "<rect x='%.2f' y='%u' width='%.2f' height='%u' style='fill: "
                     "var(--g%u)'><title>%s: %.1f %%"
                     "</title></rect>\n",
                     x, i * (bar + 10), part * width, bar, g, groups[g].title, part * 100);
            x += part * width;
        }
    }
    g_string_append(html, "</svg>\n");
    for (unsigned i = 0; i < report->shares->len; i++) {
        const struct shares *shares = &g_array_index(report->shares, struct shares, i);
        html_add(html,
                 "<h3>%s, %s: %.2f s</h3>\n<div class='wide'><table>\n<tr><th></th><th>of the "
                 "time</th><th>ms</th>"
                 "<th>times</th><th>µs each</th><th></th></tr>\n",
                 shares->engine, shares->what, shares->wall_ns / 1e9);
        for (unsigned r = 0; r < shares->rows->len; r++) {
            const struct share *share = &g_array_index(shares->rows, struct share, r);
            if (share->ns < shares->wall_ns / 1000)
                break;
            html_add(html,
                     "<tr><td>%s</td><td>%.1f %%</td><td>%.1f</td><td>%.0f</td><td>%.2f</td>"
                     "<td class='left dim'>%s</td></tr>\n",
                     share->name, 100 * share->ns / shares->wall_ns, share->ns / 1e6, share->count,
                     share->count > 0 ? share->ns / 1e3 / share->count : 0, share->text);
        }
        g_string_append(html, "</table></div>\n");
    }
}

static void targets_add(GString *html, const struct report *report)
{
    if (!report->targets->len)
        return;
    g_string_append(html, "<h2>Targets</h2>\n<div class='wide'><table>\n<tr><th></th><th>engine</th><th>is</th>"
                          "<th>at most</th><th></th><th></th></tr>\n");
    for (unsigned i = 0; i < report->targets->len; i++) {
        const struct target *t = &g_array_index(report->targets, struct target, i);
        html_add(html,
                 "<tr><td>%s</td><td>%s</td><td>%.2f</td><td>%.2f</td><td class='left'>%s</td>"
                 "<td class='%s'>%s</td></tr>\n",
                 t->title, t->engine, t->value, t->limit, t->unit, t->met ? "met" : "missed",
                 t->met ? "met" : "missed");
    }
    g_string_append(html, "</table></div>\n");
}

static void notes_add(GString *html, const struct report *report)
{
    g_string_append(html, "<h2>Engines, and what to be careful about</h2>\n<ul>\n");
    for (unsigned i = 0; i < engine_count; i++) {
        if (engines[i].wanted)
            html_add(html, "<li><b style='color: var(--%s)'>%s</b>, %s: %s%s</li>\n", engines[i].name, engines[i].name,
                     engines[i].title, engines[i].refused ? "left out: " : "",
                     engines[i].refused ? engines[i].refused : engines[i].message);
    }
    for (unsigned i = 0; i < report->results->complaints->len; i++)
        html_add(html, "<li class='missed'>%s</li>\n", (const char *)g_ptr_array_index(report->results->complaints, i));
    g_string_append(html, "</ul>\n");
}

bool report_html(const struct report *report, const char *path, GError **error)
{
    const char *columns[COLUMNS_MAX];
    GString *html = g_string_new("<!DOCTYPE html>\n<html lang='en' xmlns='http://www.w3.org/1999/xhtml'>\n<head>\n"
                                 "<meta charset='utf-8'/>\n<meta name='viewport' content='width=device-width'/>\n");
    html_add(html, "<title>Ringer bench, %s</title>\n<style>\n", report->date);
    g_string_append(html, style);
    html_add(html,
             "</style>\n</head>\n<body>\n<h1>Ringer bench</h1>\n<p>%s. Ringer %s. %s. %u "
             "round%s%s, interleaved; "
             "medians, with least..most.</p>\n",
             report->date, report->version, report->host, report->rounds, report->rounds == 1 ? "" : "s",
             report->quick ? " (quick)" : "");
    if (report_columns(report, false, columns, COLUMNS_MAX)) {
        html_add(html,
                 "<h2>A Linux guest, in times native</h2>\n<p>The same static i386 file as process "
                 "1 of a guest and "
                 "on the host's bare CPU, there pinned to one CPU. A round's value is the least of "
                 "five batches. Guest "
                 "kernel: %s.</p>\n",
                 report->kernel ? report->kernel : "-");
        chart_add(html, report, false);
        table_add(html, report, false);
    }
    if (report_columns(report, true, columns, COLUMNS_MAX)) {
        html_add(html,
                 "<h2>Single operations of a kernel, in cycles</h2>\n<p>Ticks of the time-stamp counter "
                 "(%.2f GHz), held against the host's clock. Beside them what was published in 2006: "
                 "%s.</p>\n",
                 report->tsc_ghz, figure_source);
        chart_add(html, report, true);
        table_add(html, report, true);
    }
    time_add(html, report);
    targets_add(html, report);
    notes_add(html, report);
    g_string_append(html, "</body>\n</html>\n");
    bool ok = g_file_set_contents(path, html->str, (gssize)html->len, error);
    if (!ok)
        g_prefix_error(error, "--html: ");
    g_string_free(html, TRUE);
    return ok;
}

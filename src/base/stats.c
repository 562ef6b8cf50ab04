/* Statistics: taking times, and showing them. See stats.h. */
#include "stats.h"

#include <string.h>
#include <x86intrin.h>

struct stats stats = {.phase = STAT_stopped};

enum unit { TIME, COUNT, BYTES, GAUGE };
static const char *const unit_name[] = {"time", "count", "bytes", "gauge"};

static const struct {
    const char *name, *group;
    enum unit unit;
    const char *text;
} rows[STAT_COUNT] = {
#define STAT(name, group, unit, text) {#name, #group, unit, text},
#include "stats.def"
#undef STAT
};

static int64_t host_ns(void)
{
    return g_get_monotonic_time() * 1000;
}

void stats_charge(void)
{
    uint64_t now = __rdtsc(), last = stats.last;
    if (now > last) /* host CPUs' counters may differ by a little */
        stats.ticks[stats.phase] += now - last;
    else
        now = last;
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* stats_read looks for a change of last */
    stats.last = now;
}

void stats_set_timing(bool on)
{
    if (on) {
        stats.timing = false;
        memset(stats.ticks, 0, sizeof stats.ticks);
        stats.tsc_start = __rdtsc();
        stats.ns_start = host_ns();
        stats.last = stats.tsc_start;
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    stats.timing = on;
}

void stats_read(struct stats *copy)
{
    /* The vCPU thread goes on meanwhile: a copy during which no phase began is consistent. After some tries the
     * error, one short phase, no longer matters. */
    for (unsigned tries = 0; tries < 100; tries++) {
        uint64_t last = stats.last;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        *copy = stats;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (stats.last == last)
            break;
    }
    if (!copy->timing)
        return;
    uint64_t now = __rdtsc();
    copy->wall_ns = (double)(host_ns() - copy->ns_start);
    if (now > copy->last)
        copy->ticks[copy->phase] += now - copy->last;
    copy->ns_per_tick = now > copy->tsc_start ? copy->wall_ns / (double)(now - copy->tsc_start) : 0;
}

static double stat_ns(const struct stats *copy, unsigned i)
{
    return (double)copy->ticks[i] * copy->ns_per_tick;
}

static int by_time(const void *a, const void *b, void *opaque)
{
    const struct stats *copy = opaque;
    unsigned i = *(const unsigned *)a, j = *(const unsigned *)b;
    if (copy->ticks[i] != copy->ticks[j])
        return copy->ticks[i] < copy->ticks[j] ? 1 : -1;
    if (copy->n[i] != copy->n[j])
        return copy->n[i] < copy->n[j] ? 1 : -1;
    return (int)i - (int)j;
}

void stats_print(const struct stats *copy, const char *engine, GString *out)
{
    unsigned order[STAT_COUNT], count = 0;
    for (unsigned i = 0; i < STAT_COUNT; i++) {
        if (rows[i].unit == TIME && (copy->n[i] || copy->ticks[i]))
            order[count++] = i;
    }
    g_qsort_with_data(order, (int)count, sizeof order[0], by_time, (void *)copy);

    if (copy->timing)
        g_string_append_printf(out, "engine %s, %.3f s\n%-15s %12s %10s %6s %9s\n", engine, copy->wall_ns / 1e9, "",
                               "count", "ms", "%", "ns each");
    else
        g_string_append_printf(out, "engine %s; for times, start with -stats on or say \"stats on\"\n%-15s %12s\n",
                               engine, "", "count");
    for (unsigned k = 0; k < count; k++) {
        unsigned i = order[k];
        g_string_append_printf(out, "%-15s %12" G_GUINT64_FORMAT, rows[i].name, copy->n[i]);
        if (copy->timing) {
            double ns = stat_ns(copy, i);
            g_string_append_printf(out, " %10.2f %6.2f", ns / 1e6, copy->wall_ns > 0 ? ns * 100 / copy->wall_ns : 0);
            if (copy->n[i])
                g_string_append_printf(out, " %9.0f", ns / (double)copy->n[i]);
            else
                g_string_append_printf(out, " %9s", "");
        }
        g_string_append_printf(out, "  %s\n", rows[i].text);
    }
    for (unsigned i = 0; i < STAT_COUNT; i++) {
        if (rows[i].unit != TIME && copy->n[i])
            g_string_append_printf(out, "%-15s %12" G_GUINT64_FORMAT "  %s\n", rows[i].name, copy->n[i], rows[i].text);
    }
}

/* Names and texts are ours (stats.def): nothing in them needs escaping. */
void stats_json(const struct stats *copy, const char *engine, GString *out)
{
    double hz = copy->ns_per_tick > 0 ? 1e9 / copy->ns_per_tick : 0;
    g_string_append_printf(out, "{\"engine\": \"%s\", \"timing\": %s, \"wall_ns\": %.0f, \"ticks_per_second\": %.0f,\n",
                           engine, copy->timing ? "true" : "false", copy->wall_ns, hz);
    g_string_append(out, " \"groups\": {");
    const char *comma = "";
    for (unsigned i = 0; i < STAT_COUNT; i++) {
        bool seen = rows[i].unit != TIME;
        for (unsigned j = 0; j < i && !seen; j++)
            seen = strcmp(rows[i].group, rows[j].group) == 0;
        if (seen)
            continue;
        double ns = 0;
        for (unsigned j = i; j < STAT_COUNT; j++) {
            if (strcmp(rows[i].group, rows[j].group) == 0)
                ns += stat_ns(copy, j);
        }
        g_string_append_printf(out, "%s\"%s\": %.0f", comma, rows[i].group, ns);
        comma = ", ";
    }
    g_string_append(out, "},\n \"counters\": {\n");
    for (unsigned i = 0; i < STAT_COUNT; i++) {
        g_string_append_printf(out, "  \"%s\": {\"group\": \"%s\", \"unit\": \"%s\", \"count\": %" G_GUINT64_FORMAT,
                               rows[i].name, rows[i].group, unit_name[rows[i].unit], copy->n[i]);
        if (rows[i].unit == TIME)
            g_string_append_printf(out, ", \"ns\": %.0f", stat_ns(copy, i));
        g_string_append_printf(out, ", \"text\": \"%s\"}%s\n", rows[i].text, i + 1 < STAT_COUNT ? "," : "");
    }
    g_string_append(out, " }}\n");
}

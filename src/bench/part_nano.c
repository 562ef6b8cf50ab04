/* The nano part. See part_nano.h; the lines are those of nano/nano.c. */
#include "part_nano.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "memfile.h"

extern const uint8_t bench_nano[];
extern const uint32_t bench_nano_size;

#define SILENCE 120
#define SAMPLES_MAX 64
#define FIGURES_MAX 64
#define TIMER_GHZ 0.00119318166667 /* 8254 */
/* A guest's counter may be off by so much of the time of all marked runs, and by so many seconds of cycles: the marks
 * come over a serial line, and the host has other things to do. */
#define TICKS_PART 0.2
#define TICKS_SECONDS 0.1

/* One figure of one run. */
struct nano_figure {
    const struct figure *figure;
    double samples[SAMPLES_MAX]; /* by the guest's counter */
    unsigned count;
    double host; /* cycles by the host's clock; 0 = the host did not time it */
};

struct nano_run {
    struct nano_part *part;
    struct results *results;
    const char *engine;
    struct nano_figure figures[FIGURES_MAX];
    unsigned count;
    int64_t begin_us;
    double guest_ticks, host_ticks; /* of all that both have timed */
};

bool nano_prepare(struct nano_part *part, GError **error)
{
    part->path = memfile_new("bench-nano", bench_nano, bench_nano_size, &part->fd, error);
    return part->path;
}

void nano_clear(struct nano_part *part)
{
    if (part->path)
        close(part->fd);
    g_free(part->path);
}

static bool sample_take(struct nano_run *run, const char *name, double value, GError **error)
{
    const struct figure *figure = figure_find(name);
    struct nano_figure *last = run->count ? &run->figures[run->count - 1] : NULL;
    if (!figure || figure->part != FIGURE_NANO || !isfinite(value) || run->count == FIGURES_MAX)
        return bench_fail(error, "%s: a line about '%s' makes no sense", run->engine, name);
    if (!last || last->figure != figure) {
        last = &run->figures[run->count++];
        last->figure = figure;
        run->part->progress(run->engine, figure->title);
    }
    if (last->count < SAMPLES_MAX)
        last->samples[last->count++] = value;
    return true;
}

/* The same operation count times, by the guest's counter and by the host's clock. */
static void host_timed(struct nano_run *run, double count, double ticks, int64_t us)
{
    double host = (double)us * run->part->tsc_ghz * 1e3;
    run->guest_ticks += ticks;
    run->host_ticks += host;
    if (run->count)
        run->figures[run->count - 1].host = host / count;
}

/* Now it is known whether the guest's counter can be believed. */
static void samples_end(struct nano_run *run)
{
    bool lies = fabs(run->guest_ticks - run->host_ticks) >
                TICKS_PART * run->host_ticks + TICKS_SECONDS * run->part->tsc_ghz * 1e9;
    if (lies)
        results_complain(run->results, "%s: its time-stamp counter counts %.0f million where the host's counts %.0f "
                         "million; its cycles are taken from the host's clock, and what that cannot time is left out",
                         run->engine, run->guest_ticks / 1e6, run->host_ticks / 1e6);
    for (unsigned f = 0; f < run->count; f++) {
        const struct nano_figure *figure = &run->figures[f];
        for (unsigned i = 0; i < figure->count && !lies; i++)
            results_add(run->results, run->engine, figure->figure, figure->samples[i]);
        if (lies && figure->host > 0)
            results_add(run->results, run->engine, figure->figure, figure->host);
    }
}

static enum child_want nano_line(void *user, char *line, int64_t at_us, GError **error)
{
    struct nano_run *run = user;
    char name[64];
    unsigned long long count, ticks;

    if (sscanf(line, "@sample %63s %llx %llx", name, &count, &ticks) == 3 && count) {
        if (!sample_take(run, name, (double)ticks / (double)count, error))
            return CHILD_ENOUGH;
    } else if (sscanf(line, "@late %63s %llx %llx", name, &count, &ticks) == 3) {
        if (!sample_take(run, name, (double)ticks - (double)count * run->part->tsc_ghz / TIMER_GHZ, error))
            return CHILD_ENOUGH;
    } else if (g_str_has_prefix(line, "@begin ")) {
        run->begin_us = at_us;
    } else if (sscanf(line, "@end %63s %llx %llx", name, &count, &ticks) == 3 && count) {
        host_timed(run, (double)count, (double)ticks, at_us - run->begin_us);
    } else if (sscanf(line, "@skip %63s", name) == 1) {
        results_complain(run->results, "%s: has no %s", run->engine, name);
    } else if (strcmp(line, "@done") == 0) {
        samples_end(run);
        return CHILD_ENOUGH;
    } else if (sscanf(line, "@fail %llx %llx", &count, &ticks) == 2) {
        bench_fail(error, "%s: the nano-benchmark kernel took an exception that it should not: EIP or error code %llx, "
                   "CR2 %llx", run->engine, count, ticks);
        return CHILD_ENOUGH;
    }
    return CHILD_MORE;
}

bool nano_round(struct nano_part *part, const struct engine *engine, struct results *results, GError **error)
{
    struct nano_run run = {.part = part, .results = results, .engine = engine->name};
    GPtrArray *argv = engine_command(engine, part->path, NULL, part->quick ? "quick" : NULL, NULL);
    struct child child = {.argv = (const char *const *)argv->pdata, .cpu = part->cpu,
                          .silence = SILENCE, .line = nano_line, .user = &run};
    part->progress(engine->name, "start");
    bool ok = child_run(&child, error);
    g_free(child.errors);
    g_ptr_array_free(argv, TRUE);
    return ok;
}

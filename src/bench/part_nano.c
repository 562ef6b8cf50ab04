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
#define TIMER_GHZ 0.00119318166667 /* 8254 */
/* A guest's counter may be off by so much of the time, and so many cycles: the marks come over a serial line. */
#define TICKS_PART 0.2
#define TICKS_GHZ_SECONDS 0.01

struct nano_run {
    struct nano_part *part;
    struct results *results;
    const char *engine;
    const struct figure *figure;
    double samples[SAMPLES_MAX]; /* of figure, until it is known whether the guest's counter can be believed */
    unsigned count;
    bool lies;
    int64_t begin_us;
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

static void samples_end(struct nano_run *run)
{
    if (run->figure && run->lies)
        results_complain(run->results, "%s: %s is left out: its time-stamp counter does not follow the host's",
                         run->engine, run->figure->name);
    else if (run->figure) {
        for (unsigned i = 0; i < run->count; i++)
            results_add(run->results, run->engine, run->figure, run->samples[i]);
    }
    run->figure = NULL;
    run->count = 0;
}

/* The same operation count times, in the guest's cycles and, by the host's clock, in the host's. */
static void samples_hold(struct nano_run *run, double count, double guest, double host)
{
    if (fabs(guest - host) > TICKS_PART * host + TICKS_GHZ_SECONDS * run->part->tsc_ghz * 1e9) {
        results_complain(run->results, "%s: its time-stamp counter counts %.0f million where the host's counts %.0f "
                         "million (%s); its cycles are taken from the host's clock", run->engine, guest / 1e6,
                         host / 1e6, run->figure->name);
        run->lies = true;
        results_add(run->results, run->engine, run->figure, host / count);
        run->figure = NULL;
        run->count = 0;
    }
    samples_end(run);
}

static bool sample_take(struct nano_run *run, const char *name, double value, GError **error)
{
    const struct figure *figure = figure_find(name);
    if (!figure || figure->part != FIGURE_NANO || !isfinite(value))
        return bench_fail(error, "%s: a line about '%s' makes no sense", run->engine, name);
    if (figure != run->figure) {
        samples_end(run);
        run->figure = figure;
        run->part->progress(run->engine, figure->title);
    }
    if (run->count < SAMPLES_MAX)
        run->samples[run->count++] = value;
    return true;
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
    } else if (sscanf(line, "@end %63s %llx %llx", name, &count, &ticks) == 3 && count && run->figure) {
        samples_hold(run, (double)count, (double)ticks, (double)(at_us - run->begin_us) * run->part->tsc_ghz * 1e3);
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

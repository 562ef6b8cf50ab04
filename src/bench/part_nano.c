/* The nano part. See part_nano.h; the lines are those of nano/nano.c. */
#include "part_nano.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "memfile.h"

extern const uint8_t bench_nano[], bench_nano_rom[];
extern const uint32_t bench_nano_size, bench_nano_rom_size;

#define SILENCE     120
#define SAMPLES_MAX 64
#define FIGURES_MAX 64
#define TIMER_GHZ   0.00119318166667 /* 8254 */
/* A guest's counter may be off by so much of the time of all marked runs, and by so many seconds of
 * cycles: the marks come over a serial line, and the host has other things to do. */
#define TICKS_PART    0.2
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

/* A PC that begins in our ROM. Its VGA has a BIOS which nobody calls; sound and speaker would look
 * for the host's. A Bochs with a debugger waits for a command, one without reads none. */
static bool bochs_prepare(struct nano_part *part, GError **error)
{
    static const char empty[32768], command[] = "c\n";
    char *rom = memfile_new("bench-rom", bench_nano_rom, bench_nano_rom_size, &part->fds[1], error), *vga = NULL;
    if (rom)
        vga = memfile_new("bench-vga", empty, sizeof empty, &part->fds[2], error);
    if (vga) {
        char *text = g_strdup_printf("megs: 64\nromimage: file=%s\nvgaromimage: file=%s\ndisplay_library: sdl2\nlog: "
                                     "/dev/null\n"
                                     "com1: enabled=1, mode=file, dev=/dev/stdout\nspeaker: enabled=1, mode=none\n"
                                     "sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy\n",
                                     rom, vga);
        part->bochs_path = memfile_new("bench-bochsrc", text, strlen(text), &part->fds[3], error);
        g_free(text);
    }
    if (part->bochs_path)
        part->bochs_input = memfile_new("bench-bochs-input", command, strlen(command), &part->fds[4], error);
    g_free(rom);
    g_free(vga);
    return part->bochs_input;
}

bool nano_prepare(struct nano_part *part, GError **error)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(part->fds); i++)
        part->fds[i] = -1;
    part->path = memfile_new("bench-nano", bench_nano, bench_nano_size, &part->fds[0], error);
    return part->path && bochs_prepare(part, error);
}

void nano_clear(struct nano_part *part)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(part->fds) && part->path; i++) {
        if (part->fds[i] >= 0)
            close(part->fds[i]);
    }
    g_free(part->path);
    g_free(part->bochs_path);
    g_free(part->bochs_input);
}

static bool sample_take(struct nano_run *run, const char *name, double value, GError **error)
{
    const struct figure *figure = figure_find(name);
    struct nano_figure *last = run->count ? &run->figures[run->count - 1] : NULL;
    if (!figure || figure->part != FIGURE_NANO || !isfinite(value) || run->count == FIGURES_MAX)
        return bench_fail(error, "a line about '%s' makes no sense", name);
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
        results_complain(run->results,
                         "%s: its time-stamp counter counts %.0f million where the host's counts %.0f "
                         "million; its cycles are taken from the host's clock, and what that cannot time is "
                         "left out",
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
        bench_fail(error,
                   "the nano-benchmark kernel took an exception that it should not: EIP or error "
                   "code %llx, "
                   "CR2 %llx",
                   count, ticks);
        return CHILD_ENOUGH;
    }
    return CHILD_MORE;
}

bool nano_round(struct nano_part *part, const struct engine *engine, struct results *results, GError **error)
{
    struct nano_run run = {.part = part, .results = results, .engine = engine->name};
    bool bochs = engine->kind == ENGINE_BOCHS;
    GPtrArray *argv =
        engine_command(engine, bochs ? part->bochs_path : part->path, NULL, part->quick ? "quick" : NULL, NULL);
    struct child child = {.argv = (const char *const *)argv->pdata,
                          .cpu = part->cpu,
                          .input = bochs ? part->bochs_input : NULL,
                          .silence = SILENCE,
                          .line = nano_line,
                          .user = &run};
    part->progress(engine->name, "start");
    bool ok = child_run(&child, error);
    g_free(child.errors);
    g_ptr_array_free(argv, TRUE);
    return ok;
}

/* The Linux part. See part_linux.h; the lines are those of programs/main.c. */
#include "part_linux.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.h"
#include "cpio.h"
#include "memfile.h"
#include "sample.h"
#include "shares.h"
#include "stats_link.h"

extern const uint8_t bench_program[];
extern const uint32_t bench_program_size;

#define NATIVE_FOLDER  "/dev/shm" /* tmpfs, as /tmp is in the guest */
#define SILENCE        300
#define SILENCE_INTERP 1800
#define BATCHES_MAX    16

/* What a guest's clock may be off, of the time measured and at all: the serial line and the host's
 * scheduler delay the marks. */
#define DRIFT_PART    0.05
#define DRIFT_SECONDS 0.15

/* State of one run of the measured program. */
struct run {
    struct linux_part *part;
    struct results *results;
    const char *engine;
    int64_t booted_us;
    bool clock_set;
    int64_t clock_us; /* of the last and the first clock line: by the host, by the guest */
    uint64_t clock_ns, clock_ticks;
    int64_t first_us;
    uint64_t first_ns, first_ticks;
    const struct figure *figure;
    double batches[BATCHES_MAX];
    unsigned batch_count;
    /* With statistics: */
    struct stats_link *link;
    const char *doing;    /* since the last answer: "boot", "system", "computing" */
    bool done_some;       /* of it */
    struct shares before; /* of the last answer; engine NULL before the first */
    GArray *shares;
};

bool linux_prepare(struct linux_part *part, GError **error)
{
    part->program_fd = part->initrd_fd = -1;
    if (access(part->kernel, R_OK))
        return bench_fail(error,
                          "there is no kernel %s; give one with --kernel FILE, or fetch Debian's with "
                          "'sh tests/tools/guests.sh fetch'",
                          part->kernel);
    if (access(NATIVE_FOLDER, W_OK | X_OK))
        return bench_fail(error, "cannot write files in %s; mount a tmpfs there", NATIVE_FOLDER);
    part->program_path = memfile_new("bench-program", bench_program, bench_program_size, &part->program_fd, error);
    if (!part->program_path)
        return false;
    fchmod(part->program_fd, 0700);
    GByteArray *archive = g_byte_array_new();
    cpio_add(archive, "dev", S_IFDIR | 0755, "", 0, 0, 0);
    cpio_add(archive, "dev/console", S_IFCHR | 0600, "", 0, 5, 1);
    cpio_add(archive, "init", S_IFREG | 0755, bench_program, bench_program_size, 0, 0);
    cpio_end(archive);
    part->initrd_path = memfile_new("bench-initrd", archive->data, archive->len, &part->initrd_fd, error);
    g_byte_array_free(archive, TRUE);
    return part->initrd_path;
}

void linux_clear(struct linux_part *part)
{
    if (part->program_path)
        close(part->program_fd);
    if (part->initrd_path)
        close(part->initrd_fd);
    g_free(part->program_path);
    g_free(part->initrd_path);
}

/* seconds by the host's clock and by another one, which may be off only a little. */
static void clock_hold(struct run *run, const char *clock, const char *what, double host, double own)
{
    if (fabs(host - own) > DRIFT_PART * host + DRIFT_SECONDS)
        results_complain(run->results, "%s: its %s is wrong: %s took %.3f s by it, %.3f s by the host's", run->engine,
                         clock, what, own, host);
}

/* A round's value is its least batch: what disturbs one only ever makes it longer. */
static void batches_end(struct run *run)
{
    if (run->figure && run->batch_count)
        results_add(run->results, run->engine, run->figure, sample_least(run->batches, run->batch_count));
    run->figure = NULL;
    run->batch_count = 0;
}

static void line_clock(struct run *run, uint64_t ns, uint64_t ticks, int64_t at_us)
{
    if (!run->clock_set) {
        run->first_us = at_us;
        run->first_ns = ns;
        run->first_ticks = ticks;
    } else if (run->figure) {
        clock_hold(run, "clock", run->figure->name, (double)(at_us - run->clock_us) / 1e6,
                   (double)(ns - run->clock_ns) / 1e9);
    }
    run->clock_set = true;
    run->clock_us = at_us;
    run->clock_ns = ns;
    run->clock_ticks = ticks;
    batches_end(run);
}

static bool line_batch(struct run *run, const char *name, uint64_t count, uint64_t ns, uint32_t sum, GError **error)
{
    const struct figure *figure = figure_find(name);
    if (!figure || !count || !ns)
        return bench_fail(error, "a line about '%s' makes no sense", name);
    if (run->figure != figure) {
        batches_end(run);
        run->figure = figure;
        run->part->progress(run->engine, figure->title);
    }
    if (run->batch_count < BATCHES_MAX)
        run->batches[run->batch_count++] = (double)ns / (double)count;
    results_check_sum(run->results, run->engine, figure, sum);
    return true;
}

/* All of it, by the host's clock, the guest's clock and the guest's time-stamp counter. */
static void run_end(struct run *run)
{
    double host = (double)(run->clock_us - run->first_us) / 1e6;
    clock_hold(run, "clock", "all of it", host, (double)(run->clock_ns - run->first_ns) / 1e9);
    clock_hold(run, "time-stamp counter", "all of it", host,
               (double)(run->clock_ticks - run->first_ticks) / (run->part->tsc_ghz * 1e9));
}

/* What the engine spent since the last time goes to what was done meanwhile; from now on, next is
 * done. */
static bool shares_turn(struct run *run, const char *next, GError **error)
{
    struct shares now, spent;
    char *text = stats_link_ask(run->link, error);
    bool ok = text && shares_parse(&now, run->engine, run->doing, text, error);
    if (ok && run->done_some && shares_parse(&spent, run->engine, run->doing, text, error)) {
        if (run->before.engine)
            shares_subtract(&spent, &run->before);
        g_array_append_val(run->shares, spent);
    }
    if (ok) {
        if (run->before.engine)
            shares_clear(&run->before);
        run->before = now;
    }
    g_free(text);
    run->doing = next;
    run->done_some = false;
    return ok;
}

static enum child_want run_line(void *user, char *line, int64_t at_us, GError **error)
{
    struct run *run = user;
    char name[64];
    unsigned long long a, b, c, d;

    if (strcmp(line, "@booted") == 0) {
        run->booted_us = at_us;
    } else if (sscanf(line, "@clock %llx %llx", &a, &b) == 2) {
        line_clock(run, a, b, at_us);
    } else if (sscanf(line, "@batch %63s %llx %llx %llx %llx", name, &a, &b, &c, &d) == 5) {
        if (!line_batch(run, name, a, b, (uint32_t)d, error))
            return CHILD_ENOUGH;
        run->done_some = true;
    } else if (strcmp(line, "@part system") == 0 || strcmp(line, "@part computing") == 0) {
        if (run->link && !shares_turn(run, line[6] == 's' ? "system" : "computing", error))
            return CHILD_ENOUGH;
    } else if (strcmp(line, "@done") == 0) {
        if (run->link && !shares_turn(run, "", error))
            return CHILD_ENOUGH;
        run_end(run);
        return CHILD_ENOUGH;
    } else if (g_str_has_prefix(line, "@fail ")) {
        bench_fail(error, "the measured program could not go on: %s", line + 6);
        return CHILD_ENOUGH;
    } else if (strstr(line, "Kernel panic")) {
        bench_fail(error, "the guest's kernel stopped: %s", line);
        return CHILD_ENOUGH;
    }
    return CHILD_MORE;
}

static bool guest_run(struct run *run, const struct engine *engine, const char *monitor, GError **error)
{
    struct linux_part *part = run->part;
    char *append = g_strdup_printf("console=ttyS0 panic=-1 bench_ms=%u bench_names=%s", part->batch_ms, part->names);
    GPtrArray *argv = engine_command(engine, part->kernel, part->initrd_path, append, monitor);
    struct child child = {.argv = (const char *const *)argv->pdata,
                          .cpu = part->cpu,
                          .silence = strcmp(engine->name, "interp") == 0 ? SILENCE_INTERP : SILENCE,
                          .grace = 20,
                          .line = run_line,
                          .user = run};
    part->progress(engine->name, "boot");
    bool ok = child_run(&child, error);
    if (ok && child.killed)
        results_complain(run->results, "%s: the guest powered off, the program did not end", engine->name);
    if (ok && run->booted_us)
        results_add(run->results, engine->name, figure_find("boot"), (double)(run->booted_us - child.started_us) * 1e3);
    g_free(child.errors);
    g_ptr_array_free(argv, TRUE);
    g_free(append);
    return ok;
}

bool linux_guest_round(struct linux_part *part, const struct engine *engine, struct results *results, GError **error)
{
    struct run run = {.part = part, .results = results, .engine = engine->name};
    return guest_run(&run, engine, NULL, error);
}

bool linux_stats_run(struct linux_part *part, const struct engine *engine, GArray *shares, GError **error)
{
    struct results unused;
    struct stats_link link;
    struct run run = {.part = part,
                      .results = &unused,
                      .engine = engine->name,
                      .link = &link,
                      .doing = "boot",
                      .done_some = true,
                      .shares = shares};
    if (!stats_link_init(&link, error))
        return false;
    results_init(&unused);
    char *monitor = stats_link_option(&link);
    bool ok = guest_run(&run, engine, monitor, error);
    g_free(monitor);
    if (run.before.engine)
        shares_clear(&run.before);
    stats_link_clear(&link);
    results_clear(&unused);
    return ok;
}

bool linux_native_round(struct linux_part *part, struct results *results, GError **error)
{
    struct run run = {.part = part, .results = results, .engine = RESULTS_NATIVE};
    char ms[16];
    g_snprintf(ms, sizeof ms, "%u", part->batch_ms);
    const char *const argv[] = {part->program_path, "measure", NATIVE_FOLDER, ms, part->names, NULL};
    struct child child = {
        .argv = argv, .cpu = part->native_cpu, .silence = SILENCE, .grace = 20, .line = run_line, .user = &run};
    bool ok = child_run(&child, error);
    g_free(child.errors);
    return ok;
}

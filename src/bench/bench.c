/* ringer bench: its command line, its rounds. See bench.h. */
#include "bench.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <x86intrin.h>

#include <glib.h>

#include "child.h"
#include "engines.h"
#include "log.h"
#include "part_linux.h"
#include "part_nano.h"
#include "part_real.h"
#include "report.h"
#include "results.h"
#include "shares.h"
#include "targets.h"

#define STATUS_MISSED 1
#define STATUS_ERROR  2

struct bench {
    char *engine_list, *only, *kernel, *tree, *real_kernel, *names, *json, *html;
    int rounds, cpu;
    gboolean quick, check;
    struct results results;
    struct linux_part linux_part;
    struct nano_part nano_part;
    struct real_part real_part;
    struct report report;
    bool run_nano, run_linux, run_real, native_refused, real_native_refused, failed;
};

static struct {
    bool terminal;
    unsigned round, rounds;
    int64_t begin_us;
} progress;

/* One line that is written over on a terminal; else one line per engine. */
static void progress_say(const char *engine, const char *what)
{
    double seconds = (double)(g_get_monotonic_time() - progress.begin_us) / 1e6;
    if (progress.terminal)
        fprintf(stderr, "\r\033[Kround %u of %u, %.0f s: %s, %s", progress.round, progress.rounds, seconds, engine,
                what);
    else if (strcmp(what, "boot") == 0 || strcmp(what, "start") == 0)
        fprintf(stderr, "round %u of %u, %.0f s: %s\n", progress.round, progress.rounds, seconds, engine);
    fflush(stderr);
}

/* Whether all of "a,b" are figures of the measured program. */
static bool names_check(const char *list, GError **error)
{
    char **names = g_strsplit(list, ",", -1);
    bool ok = true;
    for (unsigned i = 0; names[i] && ok; i++) {
        const struct figure *figure = figure_find(names[i]);
        if (!figure || !figure_is_native(figure) || figure->part == FIGURE_REAL)
            ok = bench_fail(error,
                            "--figures: there is no '%s'; choose from syscall, syscall_int80, "
                            "pipe, fork, exec, "
                            "fault, signal, file, fib, qsort, integer, matrix, list, interpreter, "
                            "memcpy, virtual, trig",
                            names[i]);
    }
    g_strfreev(names);
    return ok;
}

static bool cpu_check(int cpu, GError **error)
{
    cpu_set_t set;
    if (cpu == CHILD_ANY_CPU ||
        (cpu >= 0 && cpu < CPU_SETSIZE && !sched_getaffinity(0, sizeof set, &set) && CPU_ISSET((unsigned)cpu, &set)))
        return true;
    return bench_fail(error, "--cpu: %d is no CPU that this process may use; 'taskset -p $$' shows which are", cpu);
}

static bool options_read(struct bench *bench, int argc, char **argv, GError **error)
{
    const GOptionEntry entries[] = {
        {"engines", 0, 0, G_OPTION_ARG_STRING, &bench->engine_list,
         "from interp, bt, direct, kvm, tcg, bochs (default: those that run here, without interp "
         "and bochs)",
         "A,B"},
        {"rounds", 0, 0, G_OPTION_ARG_INT, &bench->rounds, "how often each is measured (default 5)", "N"},
        {"quick", 0, 0, G_OPTION_ARG_NONE, &bench->quick, "short measurements, one round", NULL},
        {"only", 0, 0, G_OPTION_ARG_STRING, &bench->only,
         "only the nano-benchmarks, the Linux guest or the real programs", "nano|linux|real"},
        {"figures", 0, 0, G_OPTION_ARG_STRING, &bench->names, "only these of the Linux guest, as in syscall,pipe",
         "A,B"},
        {"kernel", 0, 0, G_OPTION_ARG_FILENAME, &bench->kernel,
         "bzImage for the Linux guest (default: Debian's out of the guest cache)", "FILE"},
        {"tree", 0, 0, G_OPTION_ARG_FILENAME, &bench->tree,
         "the real programs' tree (default: out of the guest cache; it needs the cache's kernel)", "FOLDER"},
        {"ringer", 0, 0, G_OPTION_ARG_FILENAME, &engines_ringer, "measure this program instead of this one", "FILE"},
        {"cpu", 0, 0, G_OPTION_ARG_INT, &bench->cpu, "pin everything to this CPU", "N"},
        {"json", 0, 0, G_OPTION_ARG_FILENAME, &bench->json, "write all figures to FILE", "FILE"},
        {"html", 0, 0, G_OPTION_ARG_FILENAME, &bench->html, "write a report with charts to FILE", "FILE"},
        {"check", 0, 0, G_OPTION_ARG_NONE, &bench->check, "status 1 if a speed target is missed", NULL},
        {NULL},
    };
    g_set_prgname("ringer bench");
    GOptionContext *context = g_option_context_new("- measure engines, the bare CPU and peers");
    g_option_context_add_main_entries(context, entries, NULL);
    bool ok = g_option_context_parse(context, &argc, &argv, error);
    g_option_context_free(context);
    if (!ok)
        return false;
    if (argc > 1)
        return bench_fail(error, "'%s' is not understood; 'ringer bench --help' lists the options", argv[1]);
    if (bench->rounds == 0)
        bench->rounds = bench->quick ? 1 : 5;
    if (bench->rounds < 1 || bench->rounds > 1000)
        return bench_fail(error, "--rounds must be from 1 to 1000");
    if (bench->only && strcmp(bench->only, "nano") != 0 && strcmp(bench->only, "linux") != 0 &&
        strcmp(bench->only, "real") != 0)
        return bench_fail(error, "--only: '%s' is neither nano nor linux nor real", bench->only);
    if ((bench->names && !names_check(bench->names, error)) || !cpu_check(bench->cpu, error))
        return false;
    bench->run_nano = !bench->only || strcmp(bench->only, "nano") == 0;
    bench->run_linux = !bench->only || strcmp(bench->only, "linux") == 0;
    bench->run_real = bench->only ? strcmp(bench->only, "real") == 0 : !bench->quick;
    return true;
}

static char *cache_file(const char *name)
{
    const char *cache = g_getenv("RINGER_CACHE");
    return cache ? g_build_filename(cache, name, NULL) : g_build_filename(g_get_user_cache_dir(), "ringer", name, NULL);
}

/* The last CPU that we may use: interrupts and other people's work prefer the first. */
static int last_cpu(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set))
        return CHILD_ANY_CPU;
    for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--)
        if (CPU_ISSET((unsigned)cpu, &set))
            return cpu;
    return CHILD_ANY_CPU;
}

static char *host_name(void)
{
    char *text = NULL, *model = NULL;
    struct utsname name;
    uname(&name);
    if (g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL)) {
        char *at = strstr(text, "model name");
        at = at ? strchr(at, ':') : NULL;
        if (at)
            model = g_strndup(at + 2, strcspn(at + 2, "\n"));
    }
    char *host = g_strdup_printf("%s, %ld CPUs, Linux %s", model ? model : "unknown CPU", sysconf(_SC_NPROCESSORS_ONLN),
                                 name.release);
    g_free(model);
    g_free(text);
    return host;
}

/* Of the host's time-stamp counter. */
static double tsc_ghz(void)
{
    int64_t begin = g_get_monotonic_time(), now;
    uint64_t ticks = __rdtsc();
    while ((now = g_get_monotonic_time()) < begin + 50000)
        ;
    return (double)(__rdtsc() - ticks) / ((double)(now - begin) * 1e3);
}

/* A run of one engine has failed: it is left out from now on, the others go on. */
static void engine_fail(struct bench *bench, struct engine *engine, GError *error)
{
    if (progress.terminal)
        fprintf(stderr, "\r\033[K");
    log_user("bench: %s: %s", engine->name, error->message);
    results_complain(&bench->results, "%s: %s", engine->name, error->message);
    engine->refused = g_strdup(error->message);
    bench->failed = true;
    g_error_free(error);
}

static void native_round(struct bench *bench)
{
    GError *why = NULL;
    if (bench->native_refused || linux_native_round(&bench->linux_part, &bench->results, &why))
        return;
    bench->native_refused = true;
    if (g_error_matches(why, G_SPAWN_ERROR, G_SPAWN_ERROR_NOEXEC)) {
        results_complain(&bench->results, "native is left out: this host runs no 32-bit programs");
    } else {
        log_user("bench: native: %s", why->message);
        results_complain(&bench->results, "native: %s", why->message);
        bench->failed = true;
    }
    g_error_free(why);
}

/* Natively before and after the guests, so that a machine that slows down slows both. */
static void linux_round(struct bench *bench)
{
    native_round(bench);
    for (unsigned n = 0; n < engine_count; n++) {
        /* Every second round goes the other way. */
        unsigned i = progress.round % 2 ? n : engine_count - 1 - n;
        GError *why = NULL;
        if (engines[i].wanted && !engines[i].refused && engines[i].kind != ENGINE_BOCHS &&
            !linux_guest_round(&bench->linux_part, &engines[i], &bench->results, &why))
            engine_fail(bench, &engines[i], why);
    }
    native_round(bench);
}

static void real_round(struct bench *bench)
{
    GError *why = NULL;
    if (!bench->real_native_refused && !real_native_round(&bench->real_part, &bench->results, &why)) {
        bench->real_native_refused = true;
        results_complain(&bench->results, "%s", why->message);
        g_clear_error(&why);
    }
    for (unsigned n = 0; n < engine_count; n++) {
        unsigned i = progress.round % 2 ? n : engine_count - 1 - n;
        if (engines[i].wanted && !engines[i].refused && engines[i].kind != ENGINE_BOCHS &&
            !real_guest_round(&bench->real_part, &engines[i], &bench->results, &why)) {
            engine_fail(bench, &engines[i], why);
            why = NULL;
        }
    }
}

static void nano_rounds(struct bench *bench)
{
    for (unsigned n = 0; n < engine_count; n++) {
        unsigned i = progress.round % 2 ? n : engine_count - 1 - n;
        GError *why = NULL;
        if (engines[i].wanted && !engines[i].refused &&
            !nano_round(&bench->nano_part, &engines[i], &bench->results, &why))
            engine_fail(bench, &engines[i], why);
    }
}

/* One more run of each engine of ours, with statistics. */
static void shares_collect(struct bench *bench)
{
    for (unsigned i = 0; i < engine_count; i++) {
        GError *why = NULL;
        if (engines[i].wanted && !engines[i].refused && engines[i].has_stats &&
            !linux_stats_run(&bench->linux_part, &engines[i], bench->report.shares, &why))
            engine_fail(bench, &engines[i], why);
    }
}

/* Of the last minute, by others: what runs at the same time makes ratios rough. */
static void load_check(struct bench *bench)
{
    double load;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (getloadavg(&load, 1) == 1 && load > 0.7 * (double)cpus)
        results_complain(&bench->results, "the host was busy when this began (load %.1f on %ld CPUs): ratios are rough",
                         load, cpus);
}

static void bench_run(struct bench *bench)
{
    progress.rounds = (unsigned)bench->rounds;
    progress.begin_us = g_get_monotonic_time();
    progress.terminal = isatty(2);
    load_check(bench);
    for (progress.round = 1; progress.round <= progress.rounds; progress.round++) {
        if (bench->run_nano)
            nano_rounds(bench);
        if (bench->run_linux)
            linux_round(bench);
        /* Minutes each: once, unless nothing else is asked for; and then only are they part of --quick. */
        if (bench->run_real && (bench->only || progress.round == 1))
            real_round(bench);
    }
    progress.round = progress.rounds;
    if (bench->run_linux)
        shares_collect(bench);
    if (progress.terminal)
        fprintf(stderr, "\r\033[K");
}

/* Not there, it is left out with a sentence, unless it is all that is asked for. */
static bool real_choose(struct bench *bench, GError **error)
{
    GError *why = NULL;
    if (!bench->tree)
        bench->tree = cache_file("real-i386");
    bench->real_kernel = cache_file("vmlinuz-686");
    bench->real_part = (struct real_part){.tree = bench->tree,
                                          .kernel = bench->real_kernel,
                                          .quick = bench->quick,
                                          .cpu = bench->cpu,
                                          .native_cpu = bench->cpu >= 0 ? bench->cpu : last_cpu(),
                                          .progress = progress_say};
    if (real_prepare(&bench->real_part, &why))
        return true;
    bench->run_real = false;
    if (bench->only) {
        g_propagate_error(error, why);
        return false;
    }
    results_complain(&bench->results, "real programs are left out: %s", why->message);
    g_error_free(why);
    return true;
}

static bool bench_prepare(struct bench *bench, GError **error)
{
    if (!engines_choose(bench->engine_list ? bench->engine_list : "bt,direct,kvm,tcg", error))
        return false;
    bench->nano_part = (struct nano_part){
        .quick = bench->quick, .cpu = bench->cpu, .tsc_ghz = bench->report.tsc_ghz, .progress = progress_say};
    if (!nano_prepare(&bench->nano_part, error))
        return false;
    if (bench->run_linux) {
        if (!bench->kernel)
            bench->kernel = cache_file("vmlinuz-686");
        bench->linux_part = (struct linux_part){.kernel = bench->kernel,
                                                .names = bench->names ? bench->names : "all",
                                                .batch_ms = bench->quick ? 5 : 10,
                                                .cpu = bench->cpu,
                                                .native_cpu = bench->cpu >= 0 ? bench->cpu : last_cpu(),
                                                .tsc_ghz = bench->report.tsc_ghz,
                                                .progress = progress_say};
        if (!linux_prepare(&bench->linux_part, error))
            return false;
    }
    if (bench->run_real && !real_choose(bench, error))
        return false;
    engines_probe(bench->nano_part.path);
    const struct engine *refused = NULL;
    for (unsigned i = 0; i < engine_count; i++) {
        if (engines[i].wanted && !engines[i].refused)
            return true;
        if (engines[i].wanted)
            refused = &engines[i];
    }
    return bench_fail(error, "none of the engines asked for runs here; %s: %s", refused->name, refused->refused);
}

static void options_free(struct bench *bench)
{
    char **const texts[] = {&bench->engine_list, &bench->only, &bench->kernel, &bench->names,
                            &bench->json,        &bench->html, &bench->tree,   &bench->real_kernel};
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(*texts[i]);
    g_free((char *)engines_ringer);
    engines_ringer = NULL;
}

int bench_main(int argc, char **argv)
{
    struct bench bench = {.cpu = CHILD_ANY_CPU};
    GError *error = NULL;
    int status = 0;

    if (!options_read(&bench, argc, argv, &error)) {
        log_user("bench: %s", error->message);
        g_error_free(error);
        options_free(&bench);
        return STATUS_ERROR;
    }
    results_init(&bench.results);
    GDateTime *now = g_date_time_new_now_utc();
    char *date = g_date_time_format(now, "%Y-%m-%d"), *host = host_name();
    bench.report = (struct report){.results = &bench.results,
                                   .date = date,
                                   .host = host,
                                   .rounds = (unsigned)bench.rounds,
                                   .quick = bench.quick,
                                   .tsc_ghz = tsc_ghz(),
                                   .version = RINGER_VERSION,
                                   .shares = g_array_new(FALSE, FALSE, sizeof(struct shares))};
    bool ok = bench_prepare(&bench, &error);
    if (ok)
        bench_run(&bench);
    bench.report.kernel = bench.run_linux ? bench.kernel : NULL;
    bench.report.targets = targets_judge(&bench.results);
    if (ok) {
        report_text(&bench.report, stdout);
        ok = (!bench.json || report_json(&bench.report, bench.json, &error)) &&
             (!bench.html || report_html(&bench.report, bench.html, &error));
        for (unsigned i = 0; i < bench.report.targets->len && bench.check; i++)
            if (!g_array_index(bench.report.targets, struct target, i).met)
                status = STATUS_MISSED;
    }
    if (!ok) {
        log_user("bench: %s", error->message);
        g_clear_error(&error);
    }
    if (!ok || bench.failed)
        status = STATUS_ERROR;
    for (unsigned i = 0; i < bench.report.shares->len; i++)
        shares_clear(&g_array_index(bench.report.shares, struct shares, i));
    g_array_free(bench.report.shares, TRUE);
    targets_free(bench.report.targets);
    linux_clear(&bench.linux_part);
    nano_clear(&bench.nano_part);
    results_clear(&bench.results);
    engines_clear();
    options_free(&bench);
    g_date_time_unref(now);
    g_free(date);
    g_free(host);
    return status;
}

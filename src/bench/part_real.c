/* Real programs. See part_real.h; the lines are those of SERVE in tests/bench/real.py. */
#include "part_real.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "child.h"

#define SILENCE        600
#define SILENCE_INTERP 7200
#define MEMORY         "800" /* MiB; more would be high memory, which costs a guest more */

struct run {
    const struct real_part *part;
    struct results *results;
    const char *engine;
    const struct figure *figure; /* of the program that runs, or whose output comes */
    int64_t begin_us;
    bool output_ended; /* what comes next is its checksum */
};

static char *file_of(const struct real_part *part, const char *name)
{
    return g_build_filename(part->tree, name, NULL);
}

bool real_prepare(const struct real_part *part, GError **error)
{
    static const char *const names[] = {"tree.ext4", "programs.ext4", "initrd", "native.sh"};
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        char *path = file_of(part, names[i]);
        bool there = access(path, R_OK) == 0;
        g_free(path);
        if (!there)
            return bench_fail(error,
                              "there is no %s in %s; make it with 'sh tests/tools/guests.sh real', or give its place "
                              "with --tree",
                              names[i], part->tree);
    }
    if (access(part->kernel, R_OK))
        return bench_fail(error, "there is no kernel %s", part->kernel);
    return true;
}

static const struct figure *real_figure(const char *name)
{
    char *full = g_strconcat("real_", name, NULL);
    const struct figure *figure = figure_find(full);
    g_free(full);
    return figure;
}

static enum child_want run_line(void *user, char *line, int64_t at_us, GError **error)
{
    struct run *run = user;
    int status;
    unsigned sum;

    if (run->output_ended) {
        run->output_ended = false;
        if (sscanf(line, "%8x", &sum) == 1)
            results_check_sum(run->results, run->engine, run->figure, sum);
        run->figure = NULL;
    } else if (g_str_has_prefix(line, "@begin ")) {
        run->begin_us = at_us;
        run->figure = real_figure(line + 7);
        if (run->figure)
            run->part->progress(run->engine, run->figure->title);
        else
            results_complain(run->results, "real programs: '%s' is none that this program knows of", line + 7);
    } else if (run->figure && sscanf(line, "@end %d", &status) == 1) {
        if (status == 0) {
            results_add(run->results, run->engine, run->figure, (double)(at_us - run->begin_us) * 1e3);
        } else {
            results_complain(run->results, "%s: %s ended with status %d", run->engine, run->figure->title, status);
            run->figure = NULL;
        }
    } else if (run->figure && g_str_has_suffix(line, "@output")) {
        run->output_ended = true;
    } else if (strcmp(line, "@done") == 0) {
        return CHILD_ENOUGH;
    } else if (g_str_has_prefix(line, "@failed ") || strstr(line, "Kernel panic")) {
        bench_fail(error, "the guest with real programs stopped: %s", line);
        return CHILD_ENOUGH;
    }
    return CHILD_MORE;
}

static bool run_child(struct run *run, const char *const *argv, int cpu, unsigned silence, GError **error)
{
    struct child child = {.argv = argv, .cpu = cpu, .silence = silence, .grace = 20, .line = run_line, .user = run};
    bool ok = child_run(&child, error);
    g_free(child.errors);
    return ok;
}

bool real_guest_round(const struct real_part *part, const struct engine *engine, struct results *results,
                      GError **error)
{
    static const char *const disks[] = {"tree.ext4", "programs.ext4"};
    struct run run = {.part = part, .results = results, .engine = engine->name};
    char *initrd = file_of(part, "initrd");
    GPtrArray *argv = engine_command(engine, part->kernel, initrd,
                                     part->quick ? "console=ttyS0 quiet panic=-1 real=all real_length=quick"
                                                 : "console=ttyS0 quiet panic=-1 real=all",
                                     NULL);
    g_ptr_array_remove_index(argv, argv->len - 1); /* the NULL behind the last */
    g_ptr_array_add(argv, g_strdup("-m"));
    g_ptr_array_add(argv, g_strdup(MEMORY));
    for (unsigned i = 0; i < G_N_ELEMENTS(disks); i++) {
        g_ptr_array_add(argv, g_strdup("-drive"));
        g_ptr_array_add(argv, g_strdup_printf("file=%s/%s,format=raw,if=virtio,readonly=on", part->tree, disks[i]));
    }
    g_ptr_array_add(argv, NULL);
    part->progress(engine->name, "boot");
    bool ok = run_child(&run, (const char *const *)argv->pdata, part->cpu,
                        strcmp(engine->name, "interp") == 0 ? SILENCE_INTERP : SILENCE, error);
    g_ptr_array_free(argv, TRUE);
    g_free(initrd);
    return ok;
}

bool real_native_round(const struct real_part *part, struct results *results, GError **error)
{
    struct run run = {.part = part, .results = results, .engine = RESULTS_NATIVE};
    if (geteuid() != 0)
        return bench_fail(error,
                          "real programs run natively in a chroot, which only root may make: native is left out");
    char *script = file_of(part, "native.sh");
    const char *const argv[] = {"sh", script, "all", part->quick ? "quick" : "", NULL};
    bool ok = run_child(&run, argv, part->native_cpu, SILENCE, error);
    g_free(script);
    return ok;
}

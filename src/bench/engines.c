/* What runs guests. See engines.h. */
#include "engines.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"

struct engine engines[] = {
    {.name = "interp", .title = "Ringer, interpreter", .kind = ENGINE_OURS},
    {.name = "bt", .title = "Ringer, binary translation", .kind = ENGINE_OURS},
    {.name = "direct", .title = "Ringer, direct execution", .kind = ENGINE_OURS},
    {.name = "kvm", .title = "Ringer on /dev/kvm", .kind = ENGINE_OURS},
    {.name = "tcg", .title = "QEMU TCG", .kind = ENGINE_QEMU},
    {.name = "bochs", .title = "Bochs", .kind = ENGINE_BOCHS},
};
const unsigned engine_count = G_N_ELEMENTS(engines);

#define QEMU          "qemu-system-i386"
#define BOCHS         "bochs"
#define PROBE_SECONDS 20

const char *engines_ringer;

static const char *own_path(void)
{
    static char path[4096];
    if (engines_ringer)
        return engines_ringer;
    /* /proc/self would be the child itself. */
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n < 0)
        n = 0;
    path[n] = 0;
    return path;
}

bool engines_choose(const char *list, GError **error)
{
    for (unsigned i = 0; i < engine_count; i++)
        engines[i].wanted = !list;
    if (!list)
        return true;
    char **names = g_strsplit(list, ",", -1);
    bool ok = true;
    for (unsigned n = 0; names[n] && ok; n++) {
        ok = false;
        for (unsigned i = 0; i < engine_count; i++) {
            if (strcmp(names[n], engines[i].name) == 0)
                ok = engines[i].wanted = true;
        }
        if (!ok)
            bench_fail(error, "--engines: there is no '%s'; choose from interp, bt, direct, kvm, tcg, bochs", names[n]);
    }
    g_strfreev(names);
    return ok;
}

/* What is measured is what was asked for, or nothing. */
static const char *accel_of(const struct engine *engine)
{
    return strcmp(engine->name, "kvm") == 0 ? "kvm,fallback=off" : engine->name;
}

GPtrArray *engine_command(const struct engine *engine, const char *kernel, const char *initrd, const char *append,
                          const char *monitor)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
#define ADD(text) g_ptr_array_add(argv, g_strdup(text))
    if (engine->kind == ENGINE_BOCHS) {
        static const char *const words[] = {"env", "SDL_VIDEODRIVER=dummy", BOCHS, "-q", "-f"};
        for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
            ADD(words[i]);
        ADD(kernel);
        g_ptr_array_add(argv, NULL);
        return argv;
    }
    ADD(engine->kind == ENGINE_OURS ? own_path() : QEMU);
    ADD("-accel");
    ADD(accel_of(engine));
    static const char *const machine[] = {"-m",       "256",  "-vga",    "none",  "-nic",      "none",
                                          "-display", "none", "-serial", "stdio", "-no-reboot"};
    for (unsigned i = 0; i < G_N_ELEMENTS(machine); i++)
        ADD(machine[i]);
    const char *const more[][2] = {{"-kernel", kernel},
                                   {"-initrd", initrd},
                                   {"-append", append},
                                   {"-stats", monitor ? "on" : NULL},
                                   {"-monitor", monitor ? monitor : "none"}};
    for (unsigned i = 0; i < G_N_ELEMENTS(more); i++) {
        if (more[i][1]) {
            ADD(more[i][0]);
            ADD(more[i][1]);
        }
    }
    g_ptr_array_add(argv, NULL);
    return argv;
#undef ADD
}

/* Output of a command that ends by itself; NULL if it cannot be run. */
static char *command_output(const char *const *argv)
{
    char *out = NULL;
    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &out,
                      NULL, NULL, NULL))
        return NULL;
    return out;
}

/* Starts our program with the engine, stopped before the first instruction, and reads what it says
 * about the engine it uses. */
static char *ours_message(const struct engine *engine, const char *kernel)
{
    const char *const argv[] = {own_path(), "-accel", accel_of(engine), "-m",   "256",
                                "-display", "none",   "-serial",        "none", "-monitor",
                                "none",     "-S",     "-kernel",        kernel, NULL};
    GPid pid;
    int err;
    if (!g_spawn_async_with_pipes(NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL,
                                  NULL, NULL, &pid, NULL, NULL, &err, NULL))
        return g_strdup("ringer: cannot start itself");
    GString *text = g_string_new(NULL);
    char c;
    while (text->len < 1000 && read(err, &c, 1) == 1) {
        g_string_append_c(text, c);
        if (c == '\n' && strstr(text->str, "engine "))
            break;
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(err);
    g_strchomp(text->str);
    return g_string_free(text, FALSE);
}

static void ours_probe(struct engine *engine, const char *kernel)
{
    char *said = ours_message(engine, kernel);
    const char *at = strstr(said, "ringer: engine ");
    char *want = g_strdup_printf("engine %s ", engine->name);
    if (at && g_str_has_prefix(at + 8, want))
        engine->message = g_strdup(at + 8);
    else
        engine->refused = g_strdup(*said ? said + (g_str_has_prefix(said, "ringer: ") ? 8 : 0) : "it did not start");
    g_free(want);
    g_free(said);
    const char *const help[] = {own_path(), "-help", NULL};
    char *options = command_output(help);
    engine->has_stats = options && strstr(options, "-stats");
    g_free(options);
}

void engines_probe(const char *kernel)
{
    for (unsigned i = 0; i < engine_count; i++) {
        struct engine *engine = &engines[i];
        if (!engine->wanted)
            continue;
        if (engine->kind == ENGINE_OURS) {
            ours_probe(engine, kernel);
        } else if (engine->kind == ENGINE_QEMU) {
            const char *const argv[] = {QEMU, "--version", NULL};
            char *out = command_output(argv);
            if (out)
                engine->message = g_strndup(out, strcspn(out, "\n"));
            else
                engine->refused = g_strdup(QEMU " is not installed (Debian: qemu-system-x86)");
            g_free(out);
        } else {
            char *path = g_find_program_in_path(BOCHS);
            if (path)
                engine->message = g_strdup("Bochs, nano-benchmarks only: it boots no kernel directly");
            else
                engine->refused = g_strdup(BOCHS " is not installed (Debian: bochs, bochs-sdl)");
            g_free(path);
        }
    }
}

void engines_clear(void)
{
    for (unsigned i = 0; i < engine_count; i++) {
        g_free(engines[i].refused);
        g_free(engines[i].message);
        engines[i].refused = engines[i].message = NULL;
    }
}

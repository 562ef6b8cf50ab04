/* A measured program as a child process. See child.h. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

bool bench_fail(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    *error = g_error_new_valist(g_quark_from_static_string("ringer-bench"), 0, format, args);
    va_end(args);
    return false;
}

/* Between fork and exec. */
static void child_setup(gpointer user)
{
    const struct child *child = user;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* whoever kills us leaves no guests behind */
    if (child->cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((unsigned)child->cpu, &set);
        if (sched_setaffinity(0, sizeof set, &set))
            _exit(126);
    }
    if (child->input) {
        int fd = open(child->input, O_RDONLY);
        if (fd < 0 || dup2(fd, 0) < 0)
            _exit(126);
    }
}

/* What one of the two pipes brought; false at its end. */
static bool pipe_read(int fd, GString *into)
{
    char part[4096];
    ssize_t n = read(fd, part, sizeof part);
    if (n > 0)
        g_string_append_len(into, part, n);
    return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

/* Gives complete lines to the caller. */
static enum child_want lines_give(struct child *child, GString *text, int64_t at_us, GError **error)
{
    enum child_want want = CHILD_MORE;
    char *end;
    while (want == CHILD_MORE && (end = memchr(text->str, '\n', text->len))) {
        *end = 0;
        gsize length = (gsize)(end - text->str) + 1;
        if (length > 1 && end[-1] == '\r')
            end[-1] = 0;
        want = child->line(child->user, text->str, at_us, error);
        g_string_erase(text, 0, (gssize)length);
    }
    return want;
}

static const char *last_line(char *text)
{
    g_strchomp(text);
    char *at = strrchr(text, '\n');
    return at ? at + 1 : text;
}

bool child_run(struct child *child, GError **error)
{
    GPid pid;
    int out, err;
    GError *failed = NULL;
    enum child_want want = CHILD_MORE;
    bool hung = false;

    child->started_us = g_get_monotonic_time();
    if (!g_spawn_async_with_pipes(NULL, (char **)child->argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD,
                                  child_setup, child, &pid, NULL, &out, &err, error))
        return false;
    GString *text = g_string_new(NULL), *errors = g_string_new(NULL);
    int64_t limit = child->started_us + (int64_t)child->silence * G_USEC_PER_SEC;
    bool out_open = true, err_open = true;
    while ((out_open || err_open) && !failed) {
        struct pollfd fds[2] = {{.fd = out_open ? out : -1, .events = POLLIN},
                                {.fd = err_open ? err : -1, .events = POLLIN}};
        int64_t left = limit - g_get_monotonic_time();
        if (left <= 0) {
            hung = want == CHILD_MORE;
            break;
        }
        poll(fds, 2, (int)MIN(left / 1000 + 1, 1000));
        int64_t at = g_get_monotonic_time();
        if (fds[0].revents) {
            out_open = pipe_read(out, text);
            if (want == CHILD_MORE) {
                limit = at + (int64_t)child->silence * G_USEC_PER_SEC;
                want = lines_give(child, text, at, &failed);
                if (want == CHILD_ENOUGH)
                    limit = at + (int64_t)child->grace * G_USEC_PER_SEC;
            } else {
                g_string_truncate(text, 0);
            }
        }
        if (fds[1].revents)
            err_open = pipe_read(err, errors);
    }
    child->killed = out_open || err_open;
    if (child->killed)
        kill(pid, SIGKILL);
    while (waitpid(pid, &child->status, 0) < 0 && errno == EINTR)
        ;
    child->ended_us = g_get_monotonic_time();
    close(out);
    close(err);
    g_string_free(text, TRUE);
    child->errors = g_string_free(errors, FALSE);
    if (failed)
        g_propagate_error(error, failed);
    else if (hung)
        bench_fail(error, "%s said nothing for %u seconds", child->argv[0], child->silence);
    else if (want == CHILD_MORE)
        bench_fail(error, "%s ended too early, with: %s", child->argv[0],
                   *child->errors ? last_line(child->errors) : "no message");
    return !failed && !hung && want == CHILD_ENOUGH;
}

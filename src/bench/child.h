/* A measured program as a child process: its lines, each with the host's time of its arrival. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#define CHILD_ANY_CPU (-1)

enum child_want { CHILD_MORE, CHILD_ENOUGH };

struct child {
    const char *const *argv; /* argv[0] is searched for in PATH unless it holds a '/' */
    int cpu;                 /* to which it is pinned, or CHILD_ANY_CPU */
    const char *input;       /* file that is its standard input; NULL = /dev/null */
    unsigned silence;        /* seconds without a line after which it hangs */
    unsigned grace;          /* seconds to end by itself after CHILD_ENOUGH; then it is killed */
    /* Called for each line of its standard output, without CR and LF; at_us is
     * g_get_monotonic_time(). Errors of the child are for the caller: it sets *error and returns
     * CHILD_ENOUGH. */
    enum child_want (*line)(void *user, char *line, int64_t at_us, GError **error);
    void *user;
    /* Filled in: */
    int64_t started_us, ended_us;
    char *errors; /* what it wrote to standard error; g_free() */
    int status;   /* as of waitpid */
    bool killed;
};

/* Runs it to its end. False with *error (one sentence) if it cannot be started, if it hangs, if it
 * ends before line() had enough, or if line() failed. */
bool child_run(struct child *child, GError **error);
/* Sets *error to a sentence; false, so that one can return it. */
bool bench_fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

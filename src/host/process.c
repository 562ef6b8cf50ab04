/* Processes of our own: see process.h. prctl(2), close_range(2). */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#define FDS_MAX 16

static void child_settle(const char *name, const int *fds, unsigned count)
{
    int own[FDS_MAX], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, name);
    signal(SIGINT, SIG_IGN); /* from the terminal: it ends with the one it works for */
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    /* First out of the way of each other. */
    for (unsigned i = 0; i < count; i++)
        own[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, PROCESS_FD + FDS_MAX);
    for (int std = STDIN_FILENO; null >= 0 && std <= STDERR_FILENO; std++)
        dup2(null, std);
    for (unsigned i = 0; i < count; i++)
        dup2(own[i], PROCESS_FD + (int)i);
    close_range(PROCESS_FD + count, ~0u, 0);
}

pid_t process_start(const char *name, const int *fds, unsigned count, void (*run)(void *opaque), void *opaque,
                    GError **error)
{
    pid_t maker = getpid(), pid = count <= FDS_MAX ? fork() : (errno = EINVAL, -1);
    if (pid == 0) {
        child_settle(name, fds, count);
        if (getppid() == maker) /* else it has died before it could tell */
            run(opaque);
        _exit(1);
    }
    if (pid < 0)
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "no process %s: %s", name,
                    g_strerror(errno));
    return pid;
}

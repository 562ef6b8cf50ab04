/* Going into the background: see daemon.h. daemon(7). */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    bool begun;
    int report_fd; /* to whoever waits */
    int null_fd, stderr_fd;
} background = {.report_fd = -1, .null_fd = -1, .stderr_fd = -1};

/* The end of the pipe without a word: the machine did not come to run. */
_Noreturn static void wait_for_report(int fd, pid_t child)
{
    unsigned char status = 1;
    ssize_t len;
    do
        len = read(fd, &status, 1);
    while (len < 0 && errno == EINTR);
    if (len == 1)
        _exit(status);
    int ended;
    if (waitpid(child, &ended, 0) == child && WIFEXITED(ended) && WEXITSTATUS(ended))
        _exit(WEXITSTATUS(ended));
    _exit(1);
}

bool daemon_begin(GError **error)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        goto fail;
    pid_t pid = fork();
    if (pid < 0)
        goto fail;
    if (pid > 0) {
        close(fds[1]);
        wait_for_report(fds[0], pid);
    }
    close(fds[0]);
    setsid();
    pid = fork(); /* not the leader of its session: no terminal becomes its own */
    if (pid < 0)
        goto fail;
    if (pid > 0)
        _exit(0);
    umask(027);
    signal(SIGTSTP, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
    signal(SIGTTIN, SIG_IGN);
    background.begun = true;
    background.report_fd = fds[1];
    return true;

fail:
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "-daemonize: %s", g_strerror(errno));
    return false;
}

void daemon_detach(const char *log_file)
{
    if (!background.begun)
        return;
    int log_fd = log_file ? open(log_file, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    background.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    background.stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (background.null_fd < 0)
        return;
    dup2(background.null_fd, STDIN_FILENO);
    dup2(background.null_fd, STDOUT_FILENO);
    dup2(log_fd >= 0 ? log_fd : background.null_fd, STDERR_FILENO);
    close(background.null_fd);
    if (log_fd >= 0)
        close(log_fd);
    if (chdir("/") < 0)
        return; /* then it stays where it is */
}

void daemon_report(int status)
{
    unsigned char byte = (unsigned char)status;
    if (background.report_fd < 0)
        return;
    if (status && background.stderr_fd >= 0) {
        dup2(background.stderr_fd, STDERR_FILENO); /* there is no fence then */
        return;                                    /* the pipe's end tells, after the message */
    }
    if (write(background.report_fd, &byte, 1) != 1)
        return; /* nobody waits any more */
    close(background.report_fd);
    background.report_fd = -1;
    if (background.stderr_fd >= 0)
        close(background.stderr_fd);
    background.stderr_fd = -1;
}

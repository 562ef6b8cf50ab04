/* Processes of our own: see process.h. prctl(2), close_range(2), unix(7). */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_MAX   16
#define ANSWER_MS 5000
#define FAIL(...) (g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, __VA_ARGS__), false)

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

int process_start_server(const char *name, void (*run)(void *opaque), GError **error)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "no socket pair: %s", g_strerror(errno));
        return -1;
    }
    pid_t pid = process_start(name, &pair[1], 1, run, NULL, error);
    close(pair[1]);
    if (pid > 0)
        return pair[0];
    close(pair[0]);
    return -1;
}

int process_memory(const char *name, uint64_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)size) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

bool process_is_readable(int fd, int ms)
{
    struct pollfd poll_for = {fd, POLLIN, 0};
    int ready;
    do
        ready = poll(&poll_for, 1, ms);
    while (ready < 0 && errno == EINTR);
    return ready > 0;
}

/* --- Answers --- */

union fds_room {
    struct cmsghdr header;
    char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

void process_answer(const int *fds, unsigned count, const char *why)
{
    union fds_room control = {0};
    struct iovec text = {(void *)why, strlen(why) + 1};
    struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1};
    if (fds) {
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.header = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
    }
    while (sendmsg(PROCESS_FD, &message, MSG_NOSIGNAL) < 0 && errno == EINTR)
        continue;
}

bool process_take_answer(int fd, const char *name, int *fds, unsigned count, bool *is_lost, GError **error)
{
    char why[1024] = "";
    union fds_room control = {0};
    struct iovec text = {why, sizeof(why) - 1};
    struct msghdr message = {.msg_iov = &text,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    ssize_t len = process_is_readable(fd, ANSWER_MS) ? recvmsg(fd, &message, MSG_CMSG_CLOEXEC) : -1;
    *is_lost = len <= 0;
    if (*is_lost)
        return FAIL("the process that makes %s does not answer", name);
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(count * sizeof(int))) {
        memcpy(fds, CMSG_DATA(header), count * sizeof(int));
        return true;
    }
    return FAIL("%s", why);
}

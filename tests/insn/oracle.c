/* Starts native32 and talks to it. */
#include "oracle.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS 10000

bool oracle_start(struct oracle *o, const char *path)
{
    size_t size = NT_CASES_AT + sizeof(struct nt_cases) + 0x1000;
    int fd = memfd_create("insn-cases", 0), to[2], from[2];
    uint8_t *memory;

    if (fd < 0 || ftruncate(fd, (off_t)size) != 0 || pipe(to) != 0 || pipe(from) != 0) {
        perror("insn_test: cannot share memory with native32");
        return false;
    }
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (memory == MAP_FAILED) {
        perror("insn_test: mmap");
        return false;
    }
    o->read_only = memory + NT_DATA_AT;
    o->code = memory + NT_CODE_AT;
    o->cases = (struct nt_cases *)(memory + NT_CASES_AT);
    o->pid = fork();
    if (o->pid == 0) {
        const char *argv[] = {path, NULL}, *none[] = {NULL};

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* First out of the way of 3, 4 and 5, which may be among them. */
        fd = fcntl(fd, F_DUPFD, 20);
        to[0] = fcntl(to[0], F_DUPFD, 20);
        from[1] = fcntl(from[1], F_DUPFD, 20);
        dup2(fd, 3);
        dup2(to[0], 4);
        dup2(from[1], 5);
        for (int i = 6; i < 64; i++)
            close(i);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        execve(path, (char *const *)argv, (char *const *)none);
        perror(path);
        _exit(127);
    }
    close(fd);
    close(to[0]);
    close(from[1]);
    o->to = to[1];
    o->from = from[0];
    oracle_run(o, 0, 0);
    if (!oracle_wait(o)) {
        fprintf(stderr, "insn_test: native32 does not run here; does this kernel run 32-bit programs?\n");
        return false;
    }
    return true;
}

void oracle_stop(struct oracle *o)
{
    close(o->to);
    close(o->from);
    kill(o->pid, SIGKILL);
    waitpid(o->pid, NULL, 0);
}

void oracle_run(struct oracle *o, uint32_t first, uint32_t count)
{
    struct nt_command command = {first, count};

    if (write(o->to, &command, sizeof(command)) != (ssize_t)sizeof(command))
        perror("insn_test: native32");
}

bool oracle_wait(struct oracle *o)
{
    struct nt_command answer;
    struct pollfd p = {.fd = o->from, .events = POLLIN};

    return poll(&p, 1, TIMEOUT_MS) == 1 && read(o->from, &answer, sizeof(answer)) == (ssize_t)sizeof(answer);
}

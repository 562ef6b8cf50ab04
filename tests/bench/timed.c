/* Runs a command and prints how long it took, by this machine's own clock.
 *
 *   timed COMMAND [ARGUMENT...]
 *
 * Prints "@timed-begin" before and "@timed-end NANOSECONDS STATUS" after it, so that whoever reads the serial
 * line can hold a clock of his own against the guest's. The command's output goes to standard error.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: timed COMMAND [ARGUMENT...]\n");
        return 2;
    }
    printf("@timed-begin\n");
    fflush(stdout);
    uint64_t begin = now();
    pid_t child = fork();
    if (child < 0) {
        perror("timed: fork");
        return 2;
    }
    if (child == 0) {
        dup2(2, 1);
        execvp(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
    int status;
    if (waitpid(child, &status, 0) != child) {
        perror("timed: wait");
        return 2;
    }
    uint64_t time = now() - begin;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    printf("@timed-end %llu %d\n", (unsigned long long)time, code);
    return code;
}

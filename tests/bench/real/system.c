/* What processes ask of a system, each so many times: system WHAT COUNT. Prints a number that depends on the work done.
 * See ../real.py, whose rows these are. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE  4096
#define PAGES 4096 /* of a mapping to be filled */

static void check(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

/* Children that end at once; each has written to its memory. */
static unsigned do_fork(unsigned count)
{
    static volatile unsigned touched[3 * PAGE];
    unsigned sum = 0;
    while (count--) {
        pid_t child = fork();
        check(child >= 0, "fork");
        if (child == 0) {
            touched[0] = touched[PAGE] = touched[2 * PAGE] = count;
            _exit((int)(count & 63));
        }
        int status;
        check(waitpid(child, &status, 0) == child, "waitpid");
        sum += (unsigned)WEXITSTATUS(status);
    }
    return sum;
}

/* This program in its own place, again and again. */
static unsigned do_exec(unsigned count)
{
    char left[16];
    if (count == 0)
        return 1;
    snprintf(left, sizeof left, "%u", count - 1);
    char *const argv[] = {"system", "exec", left, NULL};
    execv("/proc/self/exe", argv);
    check(0, "execv");
    return 0;
}

/* A byte there and back between two processes. */
static unsigned do_switch(unsigned count)
{
    int there[2], back[2];
    uint8_t byte = 0;
    check(!pipe(there) && !pipe(back), "pipe");
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child == 0) {
        close(there[1]);
        while (read(there[0], &byte, 1) == 1) {
            byte++;
            check(write(back[1], &byte, 1) == 1, "write");
        }
        _exit(0);
    }
    while (count--) {
        check(write(there[1], &byte, 1) == 1, "write");
        check(read(back[0], &byte, 1) == 1, "read");
    }
    close(there[1]);
    check(waitpid(child, NULL, 0) == child, "waitpid");
    return byte;
}

static unsigned random_next(unsigned *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* Blocks of all sizes, the large ones mappings of their own. */
static unsigned do_malloc(unsigned count)
{
    static uint8_t *block[1024];
    unsigned state = 1, sum = 0;
    while (count--) {
        uint8_t **at = &block[random_next(&state) % 1024];
        if (*at)
            sum += **at;
        free(*at);
        unsigned most = random_next(&state) % 256 == 0 ? 256 * 1024 : random_next(&state) % 16 == 0 ? 16384 : 512;
        size_t size = 1 + random_next(&state) % most;
        *at = malloc(size);
        check(*at != NULL, "malloc");
        memset(*at, (int)(count & 0xff), size);
    }
    return sum;
}

static uint8_t *mapping(void)
{
    uint8_t *m = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(m != MAP_FAILED, "mmap");
    madvise(m, PAGES * PAGE, MADV_NOHUGEPAGE); /* each page is to fault, on hosts with large ones too */
    return m;
}

static unsigned do_fault_memset(unsigned count)
{
    unsigned sum = 0;
    while (count--) {
        uint8_t *m = mapping();
        for (unsigned i = 0; i < PAGES; i++)
            memset(m + i * PAGE, (int)(i & 0xff), PAGE);
        sum += m[count % PAGES * PAGE + 5];
        munmap(m, PAGES * PAGE);
    }
    return sum;
}

static unsigned do_fault_words(unsigned count)
{
    unsigned sum = 0;
    while (count--) {
        volatile uint32_t *m = (volatile uint32_t *)mapping();
        for (unsigned i = 0; i < PAGES * PAGE / 4; i++)
            m[i] = i;
        sum += m[count % PAGES * 1024 + 5];
        munmap((void *)m, PAGES * PAGE);
    }
    return sum;
}

static unsigned do_mprotect(unsigned count)
{
    volatile uint8_t *m = mapping();
    for (unsigned i = 0; i < count; i++) {
        uint8_t *page = (uint8_t *)m + i % 64 * PAGE;
        check(!mprotect(page, PAGE, PROT_READ) && !mprotect(page, PAGE, PROT_READ | PROT_WRITE), "mprotect");
        *(volatile uint8_t *)page += 1;
    }
    unsigned sum = 0;
    for (unsigned i = 0; i < 64; i++)
        sum += m[i * PAGE];
    return sum;
}

/* What stays: a group of processes of its own, whose number others kill it by. */
static void begin_group(void)
{
    check(!setpgid(0, 0), "setpgid");
    FILE *f = fopen("/tmp/group", "w");
    check(f != NULL && fprintf(f, "%d\n", (int)getpid()) > 0 && !fclose(f), "/tmp/group");
}

/* So many processes that have begun, touched some memory, and wait. */
static unsigned do_sleepers(unsigned count)
{
    static volatile unsigned touched[3 * PAGE];
    begin_group();
    for (unsigned i = 0; i < count; i++) {
        pid_t child = fork();
        check(child >= 0, "fork");
        if (child == 0) {
            touched[0] = touched[PAGE] = touched[2 * PAGE] = i;
            for (;;)
                pause();
        }
    }
    return count;
}

/* A process that has filled so many MiB, each page with something else, and waits. */
static unsigned do_hold(unsigned count)
{
    begin_group();
    int there[2];
    char byte;
    check(!pipe(there), "pipe");
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child == 0) {
        size_t size = (size_t)count << 20;
        uint8_t *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        check(m != MAP_FAILED, "mmap");
        for (size_t at = 0; at < size; at += PAGE)
            *(volatile uint32_t *)(m + at) = (uint32_t)at;
        check(write(there[1], "x", 1) == 1, "write");
        for (;;)
            pause();
    }
    close(there[1]);
    check(read(there[0], &byte, 1) == 1, "the child has ended");
    return count;
}

static const struct {
    const char *name;
    unsigned (*run)(unsigned count);
} works[] = {
    {"fork", do_fork},
    {"exec", do_exec},
    {"switch", do_switch},
    {"malloc", do_malloc},
    {"fault-memset", do_fault_memset},
    {"fault-words", do_fault_words},
    {"mprotect", do_mprotect},
    {"sleepers", do_sleepers},
    {"hold", do_hold},
};

int main(int argc, char **argv)
{
    for (unsigned i = 0; argc == 3 && i < sizeof works / sizeof works[0]; i++) {
        if (strcmp(argv[1], works[i].name) == 0) {
            printf("%s %u\n", argv[1], works[i].run((unsigned)strtoul(argv[2], NULL, 10)));
            return 0;
        }
    }
    fprintf(stderr, "usage: system WHAT COUNT\n");
    return 2;
}

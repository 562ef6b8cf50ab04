/* Fills memory and checks it: several processes that live at the same time, each with its own pattern.
 *
 *   memfill MIB [MIB-PER-PROCESS]
 *   memfill -f FILE MIB
 *
 * Each page's words depend on process, address and round, so that a page mapped to the wrong place, lost or
 * shared by mistake shows. Each process fills, all wait for each other, then each checks, inverts, checks.
 * Prints "memfill: MIB MiB in N processes, ok" and ends with 0, or says what was wrong and ends with 1.
 * With -f it writes a file (in tmpfs), then reads and checks it: the page cache's memory.
 */
#define _FILE_OFFSET_BITS 64
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE_WORDS 1024

static uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

static void fill(uint32_t *memory, uint32_t pages, uint32_t key, uint32_t invert)
{
    for (uint32_t p = 0; p < pages; p++) {
        uint32_t start = mix(key + p);
        uint32_t *word = memory + (size_t)p * PAGE_WORDS;
        for (uint32_t i = 0; i < PAGE_WORDS; i++)
            word[i] = (start + i * 0x9e3779b9u) ^ invert;
    }
}

static int check(const uint32_t *memory, uint32_t pages, uint32_t key, uint32_t invert)
{
    for (uint32_t p = 0; p < pages; p++) {
        uint32_t start = mix(key + p);
        const uint32_t *word = memory + (size_t)p * PAGE_WORDS;
        for (uint32_t i = 0; i < PAGE_WORDS; i++) {
            uint32_t want = (start + i * 0x9e3779b9u) ^ invert;
            if (word[i] != want) {
                printf("memfill: key %08x, page %u of %u, word %u: %08x, not %08x\n", key, p, pages, i, word[i], want);
                return 1;
            }
        }
    }
    return 0;
}

static int run(uint32_t mib, uint32_t number, int ready, int go)
{
    uint32_t pages = mib << 8, key = number << 24;
    char byte = 1;
    uint32_t *memory = mmap(NULL, (size_t)mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("memfill: mmap");
        return 1;
    }
    fill(memory, pages, key, 0);
    if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1)
        return 1;
    if (check(memory, pages, key, 0))
        return 1;
    fill(memory, pages, key, ~0u);
    return check(memory, pages, key, ~0u);
}

/* A MiB at a time; each has its own key. */
static int run_file(const char *name, uint32_t mib)
{
    static uint32_t chunk[256 * PAGE_WORDS];
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) {
        perror(name);
        return 1;
    }
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t m = 0; m < mib; m++) {
            if (pass == 0)
                fill(chunk, 256, m << 8, 0);
            for (size_t done = 0; done < sizeof chunk;) {
                char *at = (char *)chunk + done;
                ssize_t n = pass ? read(fd, at, sizeof chunk - done) : write(fd, at, sizeof chunk - done);
                if (n <= 0) {
                    perror(name);
                    return 1;
                }
                done += (size_t)n;
            }
            if (pass && check(chunk, 256, m << 8, 0))
                return 1;
        }
        lseek(fd, 0, SEEK_SET);
    }
    printf("memfill: %u MiB in a file, ok\n", mib);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "-f") == 0)
        return run_file(argv[2], (uint32_t)atoi(argv[3]));
    unsigned total = argc > 1 ? (unsigned)atoi(argv[1]) : 0, each = argc > 2 ? (unsigned)atoi(argv[2]) : 512;
    if (!total || !each) {
        fprintf(stderr, "usage: memfill MIB [MIB-PER-PROCESS]\n");
        return 2;
    }
    int ready[2], go[2];
    if (pipe(ready) || pipe(go)) {
        perror("memfill: pipe");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN); /* all children may be dead */
    unsigned processes = 0;
    for (unsigned left = total; left; processes++) {
        unsigned mib = left < each ? left : each;
        pid_t child = fork();
        if (child < 0) {
            perror("memfill: fork");
            return 1;
        }
        if (child == 0) {
            close(ready[0]);
            close(go[1]);
            int bad = run(mib, processes + 1, ready[1], go[0]);
            fflush(stdout);
            _exit(bad);
        }
        left -= mib;
    }
    close(ready[1]); /* a child that dies ends the pipe instead of hanging us */
    close(go[0]);
    char byte = 1;
    unsigned filled = 0;
    while (filled < processes && read(ready[0], &byte, 1) == 1)
        filled++;
    for (unsigned i = 0; i < processes; i++)
        if (write(go[1], &byte, 1) != 1)
            break;
    unsigned bad = filled != processes;
    for (unsigned i = 0; i < processes; i++) {
        int status;
        if (wait(&status) < 0 || status) {
            printf("memfill: a process ended with status %04x\n", (unsigned)status);
            bad = 1;
        }
    }
    if (bad)
        return 1;
    printf("memfill: %u MiB in %u processes, ok\n", total, processes);
    return 0;
}

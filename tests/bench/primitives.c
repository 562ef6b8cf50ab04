/* What the host's primitives cost that a guest's page fault is made of: the floor under that figure.
 *
 *   primitives [ROUNDS]     ns each, median of the rounds (default 15)
 *
 * A fresh page of a guest process takes one host signal (the access finds nothing mapped, the guest is told) and one
 * mapping of one page (when the guest comes back); natively it is one page fault of the kernel.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGES 4096
#define PAGE  4096ul
#define MAX   101

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *must(void *p)
{
    if (p == MAP_FAILED) {
        perror("primitives: mmap");
        exit(1);
    }
    return p;
}

/* The handler steps over the two-byte load below, as translated code is left and entered again. */
static void skip(int sig, siginfo_t *info, void *context)
{
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static double signals(const volatile uint8_t *nowhere)
{
    double start = now_ns();
    for (unsigned i = 0; i < PAGES; i++)
        __asm__ volatile("movb (%0), %%al" : : "D"(nowhere) : "rax", "memory");
    return (now_ns() - start) / PAGES;
}

/* One page of the file a call, contiguous or not. */
static double mappings(uint8_t *window, int fd, unsigned stride)
{
    double start = now_ns();
    for (unsigned i = 0; i < PAGES; i++)
        must(mmap(window + i * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd,
                  (off_t)(i * stride % PAGES * PAGE)));
    double each = (now_ns() - start) / PAGES;
    munmap(window, PAGES * PAGE);
    return each;
}

static double faults(void)
{
    uint8_t *p = must(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    madvise(p, PAGES * PAGE, MADV_NOHUGEPAGE);
    double start = now_ns();
    for (unsigned i = 0; i < PAGES; i++)
        *(volatile uint8_t *)(p + i * PAGE) = 1;
    double each = (now_ns() - start) / PAGES;
    munmap(p, PAGES * PAGE);
    return each;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static double result[4][MAX];
    static const char *const name[4] = {"signal and back", "mapping of a page, contiguous",
                                        "mapping of a page, scattered", "native page fault"};
    int rounds = argc > 1 ? atoi(argv[1]) : 15;
    int fd = memfd_create("primitives", MFD_CLOEXEC);
    if (rounds < 1 || rounds > MAX || fd < 0 || ftruncate(fd, PAGES * PAGE) < 0) {
        fprintf(stderr, "primitives: give 1 to %d rounds\n", MAX);
        return 1;
    }
    uint8_t *all = must(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    memset(all, 1, PAGES * PAGE); /* the file's pages exist, as a guest's memory does */
    uint8_t *window = (uint8_t *)0x200000000000ul;
    uint8_t *nowhere = must(mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = skip;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, NULL);
    for (int i = 0; i < rounds; i++) {
        result[0][i] = signals(nowhere);
        result[1][i] = mappings(window, fd, 1);
        result[2][i] = mappings(window, fd, 1021);
        result[3][i] = faults();
    }
    double median[4];
    for (unsigned k = 0; k < 4; k++) {
        qsort(result[k], (size_t)rounds, sizeof result[k][0], by_value);
        median[k] = result[k][rounds / 2];
        printf("%-32s %6.0f ns (%.0f..%.0f)\n", name[k], median[k], result[k][0], result[k][rounds - 1]);
    }
    printf("signal and mapping alone: %.1f times a native page fault (contiguous), %.1f (scattered)\n",
           (median[0] + median[1]) / median[3], (median[0] + median[2]) / median[3]);
    return 0;
}

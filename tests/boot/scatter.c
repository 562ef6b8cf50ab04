/* Maps single pages all over the address space, with changing rights, in several processes at once.
 *
 *   scatter PROCESSES PAGES-PER-PROCESS [ACTIONS-PER-PROCESS]
 *
 * More separate mappings than a Linux host allows one process (vm.max_map_count): neighbours of a page are
 * never mapped, so no two pages of a process can be one mapping. Each process maps and writes its pages, waits
 * until all have, then does random actions on them (read and check, write, make read-only or inaccessible and
 * back, unmap and map anew, move), and in the end checks every page. Accesses that must fault are made, too.
 * Prints "scatter: N pages in N processes, N actions, N faults, ok" and ends with 0, or says what was wrong.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE  4096u
#define FIRST 0x10000000u
#define STEP  (2 * PAGE)

enum rights { NONE, READ, WRITE };

struct page {
    uint32_t address; /* 0: not mapped */
    uint32_t value;
    uint8_t rights;
};

struct result {
    uint32_t actions, faults, bad;
};

static sigjmp_buf after_fault;
static volatile sig_atomic_t expecting;
static volatile uint32_t fault_address;

static uint32_t seed;
static uint32_t rnd(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)seed * below >> 32);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    if (!expecting) {
        static const char text[] = "scatter: a fault where none should be\n";
        if (write(1, text, sizeof text - 1) < 0)
            _exit(3);
        _exit(1);
    }
    fault_address = (uint32_t)(uintptr_t)info->si_addr;
    siglongjmp(after_fault, 1);
}

static uint32_t *at(uint32_t address)
{
    return (uint32_t *)(uintptr_t)address;
}

/* Slots are shuffled: pages mapped one after the other are far from each other. The factor is a prime. */
#define SHUFFLE 32749u
static uint32_t slot_address(uint32_t slot, uint32_t slots)
{
    return FIRST + (uint32_t)((uint64_t)slot * SHUFFLE % slots) * STEP;
}

static void store(struct page *page, uint32_t value)
{
    page->value = value;
    at(page->address)[value % 512] = value;
    at(page->address)[512 + value % 512] = ~value;
}

static int holds(const struct page *page)
{
    uint32_t value = page->value;
    return at(page->address)[value % 512] == value && at(page->address)[512 + value % 512] == ~value;
}

static int bits(enum rights rights)
{
    return rights == WRITE ? PROT_READ | PROT_WRITE : rights == READ ? PROT_READ : PROT_NONE;
}

static int map_page(struct page *page, uint32_t address)
{
    void *got =
        mmap(at(address), PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != at(address)) {
        perror("scatter: mmap");
        return 1;
    }
    page->address = address;
    page->rights = WRITE;
    for (uint32_t i = 0; i < PAGE / 4; i += 64) {
        if (at(address)[i]) {
            printf("scatter: a new page at %08x is not zero\n", address);
            return 1;
        }
    }
    store(page, seed | 1);
    return 0;
}

/* Reads or writes where it must fault; counts it. */
static int must_fault(const struct page *page, int writing, struct result *result)
{
    uint32_t where = page->address + 4 * rnd(PAGE / 4);
    expecting = 1;
    if (sigsetjmp(after_fault, 1) == 0) {
        if (writing)
            *(volatile uint32_t *)at(where) = 1;
        else
            (void)*(volatile uint32_t *)at(where);
        printf("scatter: %s at %08x did not fault\n", writing ? "writing" : "reading", where);
        return 1;
    }
    expecting = 0;
    if (fault_address != where) {
        printf("scatter: fault at %08x, not %08x\n", fault_address, where);
        return 1;
    }
    result->faults++;
    return 0;
}

static int protect(struct page *page, enum rights rights)
{
    page->rights = (uint8_t)rights;
    if (mprotect(at(page->address), PAGE, bits(rights))) {
        perror("scatter: mprotect");
        return 1;
    }
    return 0;
}

static int act(struct page *page, struct page *other, struct result *result)
{
    switch (rnd(6)) {
    case 0: /* whatever its rights are, they hold */
        if (page->rights == NONE)
            return must_fault(page, 0, result);
        if (!holds(page)) {
            printf("scatter: page %08x lost what was written\n", page->address);
            return 1;
        }
        return page->rights == READ ? must_fault(page, 1, result) : 0;
    case 1:
        if (page->rights == WRITE)
            store(page, rnd(~0u));
        return 0;
    case 2:
        return protect(page, (enum rights)rnd(3));
    case 3: { /* another page at the same place */
        uint32_t address = page->address;
        if (munmap(at(address), PAGE)) {
            perror("scatter: munmap");
            return 1;
        }
        if (must_fault(page, (int)rnd(2), result))
            return 1;
        return map_page(page, address);
    }
    case 4: { /* the same page at another place: it changes places with nothing, the other one is new */
        if (other == page)
            return 0;
        uint32_t to = other->address;
        if (munmap(at(to), PAGE) ||
            mremap(at(page->address), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at(to)) != at(to)) {
            perror("scatter: mremap");
            return 1;
        }
        uint32_t from = page->address;
        struct page moved = *page;
        moved.address = to;
        *other = moved;
        if (other->rights != NONE && !holds(other)) {
            printf("scatter: page moved from %08x to %08x lost what was written\n", from, to);
            return 1;
        }
        return map_page(page, from);
    }
    default:
        return page->rights == WRITE ? 0 : protect(page, WRITE);
    }
}

static int run(uint32_t number, uint32_t count, uint32_t actions, struct result *result, int ready, int go)
{
    struct sigaction action;
    char byte = 1;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, NULL);
    struct page *pages = calloc(count, sizeof *pages);
    if (!pages)
        return 1;
    seed = number * 7919;
    for (uint32_t i = 0; i < count; i++) {
        rnd(2);
        if (map_page(&pages[i], slot_address(i, count)))
            return 1;
        /* Alternating rights from the start. */
        if (i % 3 && protect(&pages[i], i % 3 == 1 ? READ : NONE))
            return 1;
    }
    if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1)
        return 1;
    for (uint32_t i = 0; i < actions; i++, result->actions++)
        if (act(&pages[rnd(count)], &pages[rnd(count)], result))
            return 1;
    for (uint32_t i = 0; i < count; i++) {
        if (protect(&pages[i], READ) || !holds(&pages[i])) {
            printf("scatter: in the end, page %08x is not what was written\n", pages[i].address);
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    uint32_t processes = argc > 2 ? (uint32_t)atoi(argv[1]) : 0, count = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
    uint32_t actions = argc > 3 ? (uint32_t)atoi(argv[3]) : 2 * count;
    if (!processes || !count || count % SHUFFLE == 0 || (uint64_t)count * STEP > 0x80000000u) {
        fprintf(stderr, "usage: scatter PROCESSES PAGES-PER-PROCESS [ACTIONS-PER-PROCESS]\n");
        return 2;
    }
    int ready[2], go[2];
    struct result *results =
        mmap(NULL, processes * sizeof *results, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (results == MAP_FAILED || pipe(ready) || pipe(go)) {
        perror("scatter");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN); /* all children may be dead */
    for (uint32_t i = 0; i < processes; i++) {
        pid_t child = fork();
        if (child < 0) {
            perror("scatter: fork");
            return 1;
        }
        if (child == 0) {
            close(ready[0]);
            close(go[1]);
            int bad = run(i + 1, count, actions, &results[i], ready[1], go[0]);
            fflush(stdout);
            _exit(bad);
        }
    }
    close(ready[1]); /* a child that dies ends the pipe instead of hanging us */
    close(go[0]);
    char byte = 1;
    uint32_t mapped = 0, bad;
    while (mapped < processes && read(ready[0], &byte, 1) == 1)
        mapped++;
    for (uint32_t i = 0; i < processes; i++)
        if (write(go[1], &byte, 1) != 1)
            break;
    bad = mapped != processes;
    struct result sum = {0, 0, 0};
    for (uint32_t i = 0; i < processes; i++) {
        int status;
        if (wait(&status) < 0 || status) {
            printf("scatter: a process ended with status %04x\n", (unsigned)status);
            bad = 1;
        }
    }
    for (uint32_t i = 0; i < processes; i++) {
        sum.actions += results[i].actions;
        sum.faults += results[i].faults;
    }
    if (bad)
        return 1;
    printf("scatter: %u pages in %u processes, %u actions, %u faults, ok\n", processes * count, processes, sum.actions,
           sum.faults);
    return 0;
}

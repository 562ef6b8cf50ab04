/* What is measured. See figures.h. */
#include "figures.h"

#include <stddef.h>
#include <string.h>

#define NANO(name, title, ...) \
    { \
        name, title, FIGURE_NANO, __VA_ARGS__ \
    }
#define OS(name, title, most) \
    { \
        name, title, FIGURE_OS, .most_of_native = most \
    }
#define COMPUTE(name, title) \
    { \
        name, title, FIGURE_COMPUTE \
    }
/* Rows and limits are those of tests/bench/real.py, which measures CPU seconds. */
#define REAL(name, title, most) \
    { \
        "real_" name, title, FIGURE_REAL, .most_of_native = most \
    }

const char figure_source[] = "Adams and Agesen, A Comparison of Software and Hardware Techniques for x86 "
                             "Virtualization, ASPLOS 2006; 3.8 GHz Pentium 4 672";

const struct figure figures[] = {
    OS("syscall", "null system call", 3),
    OS("syscall_int80", "null system call by INT 80h", 0),
    OS("pipe", "pipe ping-pong, one CPU", 4),
    OS("fork", "fork + wait", 6),
    OS("exec", "fork + exec + wait, static", 5),
    OS("fault", "page fault, fresh anonymous memory", 5),
    OS("signal", "signal", 3),
    OS("file", "file write + read 4 KiB, tmpfs", 3),
    COMPUTE("fib", "recursion"),
    COMPUTE("qsort", "sorting with a comparator"),
    COMPUTE("integer", "integer mix"),
    COMPUTE("matrix", "matrix product, double"),
    COMPUTE("list", "list chasing"),
    COMPUTE("interpreter", "interpreter loop"),
    COMPUTE("memcpy", "memcpy"),
    COMPUTE("virtual", "virtual calls"),
    COMPUTE("trig", "sine, square root"),
    REAL("gcc-large", "gcc -O1, large file", 1.4),
    REAL("gcc-hello", "gcc, run: hello.c", 3.5),
    REAL("make", "make, eleven files", 0),
    REAL("true", "/bin/true, 300 times", 5),
    REAL("python-start", "python3 start, 30 times", 2.5),
    REAL("perl-start", "perl start, 120 times", 5),
    REAL("python-loop", "python loops", 0),
    REAL("perl-text", "perl on text", 0),
    REAL("xz", "xz and back", 1.1),
    REAL("bzip2", "bzip2 and back", 0),
    REAL("gzip", "gzip and back", 0),
    REAL("sort", "sort, uniq", 1.5),
    REAL("grep", "grep", 0),
    REAL("sqlite", "sqlite", 1.4),
    REAL("git", "git: 800 files", 3),
    REAL("lua", "lua", 1.3),
    REAL("node", "node (JIT)", 1.6),
    REAL("node-start", "node start", 0),
    REAL("openssl-sha", "openssl sha256 through pipes", 1.5),
    REAL("openssl-aes", "openssl AES through pipes", 1.5),
    REAL("tar", "tar, untar, rm: 2,000 files", 2.5),
    REAL("find", "find, md5sum: 2,000 files", 2),
    REAL("pipes", "yes, head, tr, md5sum", 0),
    REAL("threads", "threads (python queues)", 1.8),
    REAL("stress-vm", "stress-ng vm", 0),
    REAL("stress-mmap", "stress-ng mmap", 0),
    REAL("switch", "switches between processes", 0),
    REAL("malloc", "malloc", 0),
    REAL("fork", "fork, static, 4,000 times", 0),
    REAL("exec", "exec, 300 times", 0),
    REAL("matrix-sse", "matrix product, SSE2", 1.15),
    REAL("matrix-x87", "matrix product, x87", 1.15),
    REAL("fault-memset", "fresh pages by memset", 2.5),
    REAL("fault-words", "fresh pages word by word", 2.5),
    REAL("mprotect", "mprotect twice, store", 2.5),
    {"boot", "kernel boot to process 1", FIGURE_BOOT},
    NANO("syscall_int", "system call, INT 80h + IRET"),
    NANO("syscall_sysenter", "system call, SYSENTER + SYSEXIT", .published = {242, 2300, 242},
         .note = "hardware VMM: about native"),
    NANO("in", "IN from a device register", .most_cycles = 300, .published = {3209, 214, 15826}),
    NANO("out", "OUT to a device register", .most_cycles = 300),
    NANO("cr3_write", "CR3 write", .published = {140, 35, 140},
         .note = "theirs is a write of CR8; hardware VMM: about native"),
    NANO("call_ret", "CALL + RET", .published = {11, 51, 11}),
    NANO("call_indirect", "indirect CALL + RET, four targets"),
    NANO("page_fault", "page fault, delivered to the guest", .published = {1093, 3927, 11242}),
    NANO("page_fault_hidden", "page fault, hidden from the guest"),
    NANO("page_fault_demand", "page fault of ring 3, mapped by handler"),
    NANO("divide_error", "divide error", .published = {889, 3223, 1014}),
    NANO("pte_modify", "PTE modification", .most_cycles = 50, .published = {1, 391, 12733}),
    NANO("invlpg", "INVLPG"),
    NANO("page_remap", "page given another frame, INVLPG, read"),
    NANO("context_switch", "context switch, CR3 + stack"),
    NANO("rdtsc", "RDTSC", .published = {0, 216, 0}, .note = "translated in place; by callout 1254, by trap 2030"),
    NANO("hlt_wake", "timer interrupt after HLT, lateness"),
    NANO("irq_busy", "timer interrupt while computing, lateness"),
};
const unsigned figure_count = sizeof figures / sizeof *figures;

const struct figure *figure_find(const char *name)
{
    for (unsigned i = 0; i < figure_count; i++)
        if (strcmp(figures[i].name, name) == 0)
            return &figures[i];
    return NULL;
}

const char *figure_unit(const struct figure *figure)
{
    return figure->part == FIGURE_NANO ? "cycles" : "ns";
}

bool figure_is_native(const struct figure *figure)
{
    return figure->part == FIGURE_OS || figure->part == FIGURE_COMPUTE || figure->part == FIGURE_REAL;
}

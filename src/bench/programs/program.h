/* The measured program: a static i386 executable without a C library, the same file in every guest
 * (as /init) and on the host. System calls: Linux, arch/x86/entry/syscalls/syscall_32.tbl. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Numbers and structures of the i386 ABI: headers of the C library for -m32 need not be there. */
enum {
    SYS_exit = 1,
    SYS_fork = 2,
    SYS_read = 3,
    SYS_write = 4,
    SYS_open = 5,
    SYS_close = 6,
    SYS_execve = 11,
    SYS_getpid = 20,
    SYS_mount = 21,
    SYS_pause = 29,
    SYS_kill = 37,
    SYS_mkdir = 39,
    SYS_pipe = 42,
    SYS_getppid = 64,
    SYS_reboot = 88,
    SYS_munmap = 91,
    SYS_syslog = 103,
    SYS_wait4 = 114,
    SYS_nanosleep = 162,
    SYS_rt_sigaction = 174,
    SYS_pread64 = 180,
    SYS_pwrite64 = 181,
    SYS_mmap2 = 192,
    SYS_madvise = 219,
    SYS_clock_gettime64 = 403,
};

/* Returns what the kernel returned: -errno on failure. */
long sys_call(long number, long a, long b, long c, long d, long e, long f);
#define sys6(n, a, b, c, d, e, f) sys_call(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define sys0(n)                   sys6(n, 0, 0, 0, 0, 0, 0)
#define sys1(n, a)                sys6(n, a, 0, 0, 0, 0, 0)
#define sys2(n, a, b)             sys6(n, a, b, 0, 0, 0, 0)
#define sys3(n, a, b, c)          sys6(n, a, b, c, 0, 0, 0)
#define sys4(n, a, b, c, d)       sys6(n, a, b, c, d, 0, 0)
#define sys5(n, a, b, c, d, e)    sys6(n, a, b, c, d, e, 0)
extern char sys_int80[];
extern void *sys_entry;

void *memset(void *to, int value, size_t count);
void *memcpy(void *to, const void *from, size_t count);

/* Prints why and ends with status 1. */
void program_fail(const char *what, long result) __attribute__((noreturn));
/* The path of this file, for execve. */
extern const char *program_path;
/* Where files may be written; on tmpfs. */
extern const char *program_folder;

/* The time of a batch runs from before to after its function, but not between these two. */
void span_pause(void);
void span_resume(void);

/* Does the thing count times; returns a checksum that must be the same everywhere for one
 * operation. */
struct workload {
    const char *name;
    uint32_t (*run)(uint32_t count);
};
extern const struct workload os_workloads[], compute_workloads[]; /* end with a NULL name */

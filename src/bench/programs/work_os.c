/* What a kernel does for programs: system calls, pipes, processes, page faults, signals, files. See
 * program.h. */
#include "program.h"

#define PROT_READ_WRITE       3
#define MAP_PRIVATE_ANONYMOUS 0x22
#define MADV_NOHUGEPAGE       15
#define O_RDWR_TMPFILE        (020200000 | 2)
#define SIGUSR1               10
#define PAGE                  4096u
#define FAULT_PAGES           1024u

static long check(const char *what, long result)
{
    if (result < 0 && result > -4096)
        program_fail(what, result);
    return result;
}

/* getppid: the kernel's work is next to nothing. */
static uint32_t run_syscall(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        sys0(SYS_getppid);
    return 0;
}

static uint32_t run_syscall_int80(uint32_t count)
{
    void *entry = sys_entry;
    sys_entry = sys_int80;
    for (uint32_t i = 0; i < count; i++)
        sys0(SYS_getppid);
    sys_entry = entry;
    return 0;
}

static void child_wait(long pid)
{
    int status = -1;
    check("wait4", sys4(SYS_wait4, pid, &status, 0, 0));
    if (status)
        program_fail("a child's status", -status);
}

/* One byte there and back between two processes: two switches of the address space. */
static uint32_t run_pipe(uint32_t count)
{
    int there[2], back[2];
    char byte = 1;

    span_pause();
    check("pipe", sys1(SYS_pipe, there));
    check("pipe", sys1(SYS_pipe, back));
    long pid = check("fork", sys0(SYS_fork));
    if (pid == 0) {
        for (uint32_t i = 0; i <= count; i++) {
            check("read", sys3(SYS_read, there[0], &byte, 1));
            check("write", sys3(SYS_write, back[1], &byte, 1));
        }
        sys1(SYS_exit, 0);
    }
    for (uint32_t i = 0; i <= count; i++) {
        if (i == 1)
            span_resume(); /* the child is under way */
        check("write", sys3(SYS_write, there[1], &byte, 1));
        check("read", sys3(SYS_read, back[0], &byte, 1));
    }
    span_pause();
    child_wait(pid);
    for (unsigned i = 0; i < 2; i++) {
        sys1(SYS_close, there[i]);
        sys1(SYS_close, back[i]);
    }
    span_resume();
    return 0;
}

static uint32_t run_fork(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        long pid = check("fork", sys0(SYS_fork));
        if (pid == 0)
            sys1(SYS_exit, 0);
        child_wait(pid);
    }
    return 0;
}

static uint32_t run_exec(uint32_t count)
{
    const char *const argv[] = {program_path, "exit", NULL}, *const envp[] = {NULL};
    for (uint32_t i = 0; i < count; i++) {
        long pid = check("fork", sys0(SYS_fork));
        if (pid == 0) {
            sys3(SYS_execve, program_path, argv, envp);
            sys1(SYS_exit, 1);
        }
        child_wait(pid);
    }
    return 0;
}

/* Only the touching is timed. Each page is a fault: no huge pages. */
static uint32_t run_fault(uint32_t count)
{
    span_pause();
    while (count) {
        uint32_t pages = count < FAULT_PAGES ? count : FAULT_PAGES;
        volatile uint8_t *at = (volatile uint8_t *)check(
            "mmap2", sys6(SYS_mmap2, 0, FAULT_PAGES * PAGE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0));
        sys3(SYS_madvise, at, FAULT_PAGES * PAGE, MADV_NOHUGEPAGE); /* a kernel may know none */
        span_resume();
        for (uint32_t i = 0; i < pages; i++)
            at[i * PAGE] = 1;
        span_pause();
        check("munmap", sys2(SYS_munmap, at, FAULT_PAGES * PAGE));
        count -= pages;
    }
    span_resume();
    return 0;
}

static volatile uint32_t signals;

static void on_signal(int number)
{
    signals++;
    (void)number;
}

/* Sent to itself, handled, returned from through the kernel's own vDSO. */
static uint32_t run_signal(uint32_t count)
{
    struct {
        void (*handler)(int);
        unsigned long flags;
        void *restorer;
        uint32_t mask[2];
    } action = {.handler = on_signal};
    long pid = sys0(SYS_getpid);

    span_pause();
    check("rt_sigaction", sys4(SYS_rt_sigaction, SIGUSR1, &action, 0, sizeof action.mask));
    signals = 0;
    span_resume();
    for (uint32_t i = 0; i < count; i++)
        sys2(SYS_kill, pid, SIGUSR1);
    if (signals != count)
        program_fail("signals that came", (long)signals);
    return 0;
}

/* 4 KiB written to a file on tmpfs, and read back. */
static uint32_t run_file(uint32_t count)
{
    static uint8_t out[PAGE], in[PAGE];

    span_pause();
    memset(out, 0x5a, sizeof out);
    /* It has no name to be removed. */
    long fd = check("open", sys3(SYS_open, program_folder, O_RDWR_TMPFILE, 0600));
    span_resume();
    for (uint32_t i = 0; i < count; i++) {
        out[i % PAGE]++;
        if (sys5(SYS_pwrite64, fd, out, PAGE, 0, 0) != PAGE || sys5(SYS_pread64, fd, in, PAGE, 0, 0) != PAGE)
            program_fail("a file's read or write", 0);
    }
    span_pause();
    for (uint32_t i = 0; i < PAGE; i++)
        if (in[i] != out[i])
            program_fail("what was read back", (long)i);
    sys1(SYS_close, fd);
    span_resume();
    return 0;
}

const struct workload os_workloads[] = {
    {"syscall", run_syscall},
    {"syscall_int80", run_syscall_int80},
    {"pipe", run_pipe},
    {"fork", run_fork},
    {"exec", run_exec},
    {"fault", run_fault},
    {"signal", run_signal},
    {"file", run_file},
    {NULL, NULL},
};

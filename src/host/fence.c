/* The list of system calls of a running machine. See fence.h; seccomp(2), seccomp_rule_add(3). */
#include "fence.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fence_files.h"
#include "native/sighandler.h"

#define CALL(name) SCMP_SYS(name)

/* Allowed with any arguments: they work on what is open or ours already. */
static const int allowed[] = {
    /* drives, terminals, the main loop */
    CALL(read), CALL(write), CALL(pread64), CALL(pwrite64), CALL(readv), CALL(writev), CALL(preadv), CALL(pwritev),
    CALL(lseek), CALL(fstat), CALL(fsync), CALL(fdatasync), CALL(ftruncate), CALL(fallocate), CALL(fcntl), CALL(flock),
    CALL(poll), CALL(ppoll), CALL(pselect6), CALL(select), CALL(eventfd2), CALL(timerfd_settime), CALL(pipe2),
    CALL(close),
    /* time */
    CALL(clock_gettime), CALL(clock_getres), CALL(gettimeofday), CALL(time), CALL(nanosleep), CALL(clock_nanosleep),
    /* threads and signals */
    CALL(futex), CALL(sched_yield), CALL(sched_getaffinity), CALL(set_robust_list), CALL(rseq), CALL(gettid),
    CALL(getpid), CALL(exit), CALL(exit_group), CALL(restart_syscall), CALL(rt_sigaction), CALL(rt_sigprocmask),
    CALL(rt_sigreturn), CALL(rt_sigtimedwait), CALL(sigaltstack), CALL(arch_prctl), CALL(membarrier), CALL(getcpu),
    /* memory */
    CALL(munmap), CALL(mremap), CALL(madvise), CALL(brk), CALL(mincore), CALL(msync),
    /* what libraries ask */
    CALL(getrandom), CALL(uname), CALL(sysinfo), CALL(getrusage), CALL(times), CALL(getuid), CALL(geteuid),
    CALL(getgid), CALL(getegid), CALL(getppid)};

/* Nothing we do can be the reason for these. */
static const int hostile[] = {
    CALL(execve),         CALL(execveat),    CALL(ptrace),      CALL(process_vm_readv), CALL(process_vm_writev),
    CALL(fork),           CALL(vfork),       CALL(mount),       CALL(umount2),          CALL(pivot_root),
    CALL(chroot),         CALL(unshare),     CALL(setns),       CALL(init_module),      CALL(finit_module),
    CALL(delete_module),  CALL(kexec_load),  CALL(bpf),         CALL(perf_event_open),  CALL(userfaultfd),
    CALL(keyctl),         CALL(add_key),     CALL(request_key), CALL(setuid),           CALL(setgid),
    CALL(setreuid),       CALL(setregid),    CALL(setresuid),   CALL(setresgid),        CALL(setgroups),
    CALL(capset),         CALL(personality), CALL(reboot),      CALL(swapon),           CALL(open_by_handle_at),
    CALL(io_uring_setup), CALL(kcmp),        CALL(pidfd_getfd), CALL(modify_ldt),       CALL(iopl),
    CALL(ioperm)};

struct fence {
    scmp_filter_ctx filter;
    int rc; /* the first failure */
};

static void add(struct fence *fence, uint32_t action, int call, unsigned count, const struct scmp_arg_cmp *arg)
{
    if (fence->rc == 0)
        fence->rc = seccomp_rule_add_array(fence->filter, action, call, count, arg);
}
#define ALLOW(fence, call, ...) \
    add(fence, SCMP_ACT_ALLOW, CALL(call), sizeof((struct scmp_arg_cmp[]){__VA_ARGS__}) / sizeof(struct scmp_arg_cmp), \
        (struct scmp_arg_cmp[]){__VA_ARGS__})
#define ALLOW_ANY(fence, call) add(fence, SCMP_ACT_ALLOW, CALL(call), 0, NULL)
/* Each call of a list, whatever its arguments. */
#define ADD_ALL(fence, action, list) \
    do { \
        for (unsigned i = 0; i < G_N_ELEMENTS(list); i++) \
            add(fence, action, (list)[i], 0, NULL); \
    } while (0)

/* Memory that is executable exists already, but for cells. */
static void allow_memory(struct fence *fence, bool executable)
{
    if (executable) {
        ALLOW_ANY(fence, mmap);
        ALLOW_ANY(fence, mprotect);
        return;
    }
    ALLOW(fence, mmap, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    ALLOW(fence, mprotect, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

/* New threads, no new processes; signals to our own threads. The C library takes another way than clone3, whose flags
 * cannot be seen here, when there is none. */
static void allow_threads(struct fence *fence)
{
    ALLOW(fence, clone, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM));
    add(fence, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0, NULL);
    ALLOW(fence, tgkill, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    ALLOW(fence, prctl, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    ALLOW(fence, prlimit64, SCMP_A2(SCMP_CMP_EQ, 0)); /* asking only */
    ALLOW_ANY(fence, getrlimit);
}

static void allow_files(struct fence *fence, bool new_files)
{
    /* The C library's fstat() may be one of these. */
    ALLOW_ANY(fence, newfstatat);
    ALLOW_ANY(fence, statx);
    if (!new_files)
        return;
    ALLOW_ANY(fence, openat);
    ALLOW_ANY(fence, open);
    ALLOW_ANY(fence, stat);
    ALLOW_ANY(fence, access);
    ALLOW_ANY(fence, readlink);
    ALLOW_ANY(fence, statfs);
    ALLOW_ANY(fence, fstatfs);
    ALLOW_ANY(fence, getcwd);
}

/* KVM's (and whatever else has its number); of the rest only what terminals and drives are asked. */
static void allow_ioctls(struct fence *fence, bool kvm)
{
    static const unsigned long known[] = {TCGETS, TCSETS,   TCSETSW, TCSETSF,      TIOCGWINSZ, TIOCGPGRP,
                                          TCFLSH, FIONREAD, FIONBIO, BLKGETSIZE64, BLKSSZGET};
    for (unsigned i = 0; i < G_N_ELEMENTS(known); i++)
        ALLOW(fence, ioctl, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, known[i]));
    if (kvm)
        ALLOW(fence, ioctl, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, 0xae00)); /* KVMIO */
}

/* A cell: vfork, its program out of a memory file, and tracing it; and what that program does until it has a fence of
 * its own (native/cell/stub.S). Whatever else might be started in this way would live inside of this fence, too. */
static void allow_cells(struct fence *fence)
{
    static const unsigned traced[] = {PTRACE_TRACEME,    PTRACE_CONT,      PTRACE_GETREGS,    PTRACE_SETREGS,
                                      PTRACE_GETFPREGS,  PTRACE_SETFPREGS, PTRACE_SETOPTIONS, PTRACE_GETSIGINFO,
                                      PTRACE_PEEKUSER,   PTRACE_POKEUSER,  PTRACE_GETREGSET,  PTRACE_SETREGSET,
                                      PTRACE_GETEVENTMSG};
    for (unsigned i = 0; i < G_N_ELEMENTS(traced); i++)
        ALLOW(fence, ptrace, SCMP_A0(SCMP_CMP_EQ, traced[i]));
    ALLOW(fence, execveat, SCMP_A4(SCMP_CMP_EQ, AT_EMPTY_PATH));
    ALLOW_ANY(fence, vfork);
    ALLOW(fence, clone, SCMP_A0(SCMP_CMP_EQ, CLONE_VM | CLONE_PARENT | SIGCHLD));
    ALLOW(fence, clone, SCMP_A0(SCMP_CMP_EQ, CLONE_VM | CLONE_VFORK | SIGCHLD));
    ALLOW_ANY(fence, wait4);
    ALLOW(fence, kill, SCMP_A1(SCMP_CMP_EQ, SIGKILL));
    ALLOW(fence, tgkill, SCMP_A2(SCMP_CMP_EQ, (scmp_datum_t)sighandler_kick_signal()));
    ALLOW_ANY(fence, memfd_create);
    ALLOW_ANY(fence, sched_setaffinity);
    ALLOW_ANY(fence, dup2);
    ALLOW_ANY(fence, close_range);
    ALLOW_ANY(fence, seccomp);
    ALLOW(fence, prctl, SCMP_A0(SCMP_CMP_EQ, PR_SET_NO_NEW_PRIVS));
    ALLOW(fence, prctl, SCMP_A0(SCMP_CMP_EQ, PR_SET_PDEATHSIG));
}

static void allow_clients(struct fence *fence)
{
    ALLOW_ANY(fence, accept4);
    ALLOW_ANY(fence, setsockopt);
    ALLOW_ANY(fence, recvfrom);
    ALLOW_ANY(fence, sendto);
    ALLOW_ANY(fence, recvmsg);
    ALLOW_ANY(fence, getsockname);
    ALLOW_ANY(fence, getpeername);
    ALLOW_ANY(fence, getsockopt);
    ALLOW_ANY(fence, shutdown);
}

/* SDL2 on the desktop's connection, which is open: X11 asks for pictures in System V shared memory, at each new size.
 */
static void allow_window(struct fence *fence)
{
    ALLOW_ANY(fence, recvmsg);
    ALLOW_ANY(fence, recvfrom);
    ALLOW_ANY(fence, sendmsg);
    ALLOW_ANY(fence, shmget);
    ALLOW_ANY(fence, shmat);
    ALLOW_ANY(fence, shmdt);
    ALLOW_ANY(fence, shmctl);
}

/* SDL2's sound on what is open: a server's socket (PulseAudio, PipeWire) or ALSA's device, with the ioctls of PCMs and
 * of their controls. */
static void allow_sound(struct fence *fence)
{
    ALLOW_ANY(fence, recvmsg);
    ALLOW_ANY(fence, recvfrom);
    ALLOW_ANY(fence, sendmsg);
    ALLOW_ANY(fence, sendto);
    ALLOW_ANY(fence, getsockopt);
    ALLOW_ANY(fence, shutdown);
    ALLOW(fence, ioctl, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, 'A' << 8));
    ALLOW(fence, ioctl, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, 'U' << 8));
}

/* What is hostile elsewhere, and a cell's way to life here. */
static bool is_for_cells(int call)
{
    return call == CALL(ptrace) || call == CALL(execveat) || call == CALL(vfork);
}

static void fence_fill(struct fence *fence, const struct fence_needs *needs)
{
    ADD_ALL(fence, SCMP_ACT_ALLOW, allowed);
    allow_memory(fence, needs->cells);
    allow_threads(fence);
    allow_files(fence, needs->files);
    allow_ioctls(fence, needs->kvm);
    if (needs->clients)
        allow_clients(fence);
    if (needs->files && needs->clients) { /* a pseudo-terminal, on order */
        ALLOW(fence, ioctl, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TIOCGPTN));
        ALLOW(fence, ioctl, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TIOCSPTLCK));
    }
    if (needs->removes)
        ALLOW_ANY(fence, unlink);
    if (needs->viewers) {
        ALLOW_ANY(fence, recvfrom);
        ALLOW_ANY(fence, sendmsg);
        ALLOW_ANY(fence, getsockname);
    }
    if (needs->window)
        allow_window(fence);
    if (needs->sound)
        allow_sound(fence);
    if (needs->cells)
        allow_cells(fence);
    for (unsigned i = 0; i < G_N_ELEMENTS(hostile); i++) {
        if (!needs->cells || !is_for_cells(hostile[i]))
            add(fence, SCMP_ACT_TRAP, hostile[i], 0, NULL);
    }
}

/* Files are opened for reading, or not at all. */
static void allow_reading(struct fence *fence)
{
    allow_files(fence, false);
    ALLOW(fence, openat, SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
    ALLOW(fence, open, SCMP_A1(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
}

/* Calls besides allowed[] that the C library makes to look names up. */
static const int dialer_allowed[] = {
    CALL(socket),      CALL(connect),     CALL(bind),   CALL(listen),  CALL(setsockopt), CALL(getsockopt),
    CALL(getsockname), CALL(getpeername), CALL(sendto), CALL(sendmsg), CALL(sendmmsg),   CALL(recvfrom),
    CALL(recvmsg),     CALL(unlink),      CALL(lstat),  CALL(stat),    CALL(access),     CALL(readlink)};

static void dialer_fill(struct fence *fence, const void *opaque)
{
    ADD_ALL(fence, SCMP_ACT_ALLOW, allowed);
    ADD_ALL(fence, SCMP_ACT_ALLOW, dialer_allowed);
    allow_memory(fence, false);
    allow_threads(fence);
    allow_reading(fence);
    ALLOW(fence, ioctl, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, FIONREAD));
    ADD_ALL(fence, SCMP_ACT_TRAP, hostile);
}

static const int network_allowed[] = {CALL(socket),      CALL(connect),     CALL(bind),       CALL(listen),
                                      CALL(accept),      CALL(accept4),     CALL(setsockopt), CALL(getsockopt),
                                      CALL(getsockname), CALL(getpeername), CALL(sendto),     CALL(sendmsg),
                                      CALL(recvfrom),    CALL(recvmsg),     CALL(shutdown)};

static void network_fill(struct fence *fence, const void *opaque)
{
    const struct fence_network *needs = opaque;
    ADD_ALL(fence, SCMP_ACT_ALLOW, allowed);
    ADD_ALL(fence, SCMP_ACT_ALLOW, network_allowed);
    allow_memory(fence, false);
    if (needs->name_servers || needs->folder) {
        allow_reading(fence);
        ALLOW_ANY(fence, stat);
        ALLOW_ANY(fence, lstat);
        ALLOW(fence, ioctl, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, SIOCGIFINDEX)); /* "nameserver fe80::1%eth0" */
    }
    ALLOW(fence, ioctl, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, FIONREAD));
    ALLOW(fence, ioctl, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, FIONBIO));
    if (needs->tap)
        ALLOW(fence, ioctl, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TUNSETOFFLOAD));
    ADD_ALL(fence, SCMP_ACT_TRAP, hostile);
}

static const int viewers_allowed[] = {CALL(accept),      CALL(accept4),     CALL(setsockopt), CALL(getsockopt),
                                      CALL(getsockname), CALL(getpeername), CALL(sendto),     CALL(sendmsg),
                                      CALL(recvfrom),    CALL(recvmsg),     CALL(shutdown)};

static void viewers_fill(struct fence *fence, const void *opaque)
{
    ADD_ALL(fence, SCMP_ACT_ALLOW, allowed);
    ADD_ALL(fence, SCMP_ACT_ALLOW, viewers_allowed);
    allow_memory(fence, false);
    allow_threads(fence);
    ALLOW_ANY(fence, dup);
    ALLOW_ANY(fence, pipe);
    ALLOW_ANY(fence, socketpair);
    /* A process for each of them, with this fence. */
    ALLOW(fence, clone, SCMP_A0(SCMP_CMP_EQ, CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD));
    ALLOW_ANY(fence, wait4);
    ALLOW(fence, kill, SCMP_A1(SCMP_CMP_EQ, SIGKILL));
    ALLOW(fence, prctl, SCMP_A0(SCMP_CMP_EQ, PR_SET_PDEATHSIG));
    ALLOW(fence, prlimit64, SCMP_A0(SCMP_CMP_EQ, 0));
    ALLOW(fence, ioctl, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, FIONREAD));
    ALLOW(fence, ioctl, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, FIONBIO));
    ADD_ALL(fence, SCMP_ACT_TRAP, hostile);
}

/* Besides allowed[], which works on what is open. */
static const int folder_reads[] = {CALL(openat),  CALL(readlink),   CALL(readlinkat), CALL(statfs),
                                   CALL(fstatfs), CALL(getdents64), CALL(getxattr),   CALL(listxattr)};
static const int folder_writes[] = {CALL(mkdirat),   CALL(symlinkat), CALL(linkat),      CALL(unlinkat),
                                    CALL(renameat),  CALL(fchmodat),  CALL(chmod),       CALL(fchownat),
                                    CALL(utimensat), CALL(setxattr),  CALL(removexattr), CALL(sync_file_range)};

static void folder_fill(struct fence *fence, const void *opaque)
{
    const bool *read_only = opaque;
    ADD_ALL(fence, SCMP_ACT_ALLOW, allowed);
    ADD_ALL(fence, SCMP_ACT_ALLOW, folder_reads);
    if (!*read_only) { /* no devices: of those with a number, that is */
        ADD_ALL(fence, SCMP_ACT_ALLOW, folder_writes);
        ALLOW(fence, mknodat, SCMP_A2(SCMP_CMP_MASKED_EQ, S_IFMT, S_IFIFO));
        ALLOW(fence, mknodat, SCMP_A2(SCMP_CMP_MASKED_EQ, S_IFMT, S_IFSOCK));
        ALLOW(fence, mknodat, SCMP_A2(SCMP_CMP_MASKED_EQ, S_IFMT, S_IFREG));
    }
    allow_memory(fence, false);
    allow_files(fence, false);
    ADD_ALL(fence, SCMP_ACT_TRAP, hostile);
}

/* libusb on Linux: files below /sys that say what there is, usbfs with its ioctls, udev's news on a netlink socket that
 * is open. */
static const int usb_allowed[] = {CALL(openat),    CALL(open),     CALL(stat),       CALL(lstat),      CALL(access),
                                  CALL(faccessat), CALL(readlink), CALL(readlinkat), CALL(getdents64), CALL(statfs),
                                  CALL(fstatfs),   CALL(recvmsg),  CALL(recvfrom),   CALL(getsockopt)};

static void usb_fill(struct fence *fence, const void *opaque)
{
    ADD_ALL(fence, SCMP_ACT_ALLOW, allowed);
    ADD_ALL(fence, SCMP_ACT_ALLOW, usb_allowed);
    allow_memory(fence, false);
    allow_threads(fence);
    allow_files(fence, false);
    ALLOW(fence, ioctl, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, 'U' << 8)); /* USBDEVFS_* */
    ADD_ALL(fence, SCMP_ACT_TRAP, hostile);
}

/* resolv.conf is often a link into a folder in which it is replaced; in /etc itself it is replaced, too, but there is
 * more there than that: root's process stays with the file that it finds. */
static unsigned name_server_files(const char **paths, char *real)
{
    unsigned count = 0;
    paths[count++] = "/etc/resolv.conf";
    if (realpath("/etc/resolv.conf", real)) {
        char *slash = strrchr(real, '/');
        *slash = 0;
        if (strcmp(real, "/etc") != 0 || geteuid() != 0)
            paths[count++] = *real ? real : "/etc/resolv.conf";
    }
    return count;
}

static void monitor_fill(struct fence *fence, const void *opaque)
{
    fence_fill(fence, opaque);
}

/* otherwise: what happens to calls that fill does not name. */
static bool enter_with(uint32_t otherwise, void (*fill)(struct fence *fence, const void *opaque), const void *opaque,
                       GError **error)
{
    struct fence fence = {.filter = seccomp_init(otherwise)};
    if (!fence.filter) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM, "libseccomp makes no filter");
        return false;
    }
    /* 32-bit and x32 calls, which have other numbers: SIGSYS. A cell's INT 80h, the guest's own, must come out so. */
    fence.rc = seccomp_attr_set(fence.filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_TRAP);
    if (fence.rc == 0)
        fence.rc = seccomp_attr_set(fence.filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (fence.rc == 0) {
        /* Not required: a tree instead of a list; and no mitigation that makes every store wait. */
        seccomp_attr_set(fence.filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        seccomp_attr_set(fence.filter, SCMP_FLTATR_CTL_SSB, 1);
        fill(&fence, opaque);
    }
    if (fence.rc == 0)
        fence.rc = seccomp_load(fence.filter);
    seccomp_release(fence.filter);
    if (fence.rc != 0)
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(-fence.rc), "seccomp: %s",
                    g_strerror(-fence.rc));
    return fence.rc == 0;
}

static bool enter(void (*fill)(struct fence *fence, const void *opaque), const void *opaque, GError **error)
{
    return enter_with(SCMP_ACT_ERRNO(EPERM), fill, opaque, error);
}

/* It makes processes, and those go on to lists of their own. */
static void broker_fill(struct fence *fence, const void *opaque)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(hostile); i++) {
        if (hostile[i] != CALL(fork) && hostile[i] != CALL(vfork))
            add(fence, SCMP_ACT_TRAP, hostile[i], 0, NULL);
    }
}

bool fence_enter_broker(void)
{
    return enter_with(SCMP_ACT_ALLOW, broker_fill, NULL, NULL);
}

bool fence_enter(const struct fence_needs *needs, GError **error)
{
    return enter(monitor_fill, needs, error);
}

bool fence_enter_dialer(void)
{
    return enter(dialer_fill, NULL, NULL);
}

bool fence_enter_viewers(void)
{
    return enter(viewers_fill, NULL, NULL);
}

bool fence_enter_network(const struct fence_network *needs)
{
    const char *paths[4];
    char real[PATH_MAX];
    unsigned count = needs->name_servers ? name_server_files(paths, real) : 0;
    if (needs->folder)
        paths[count++] = needs->folder;
    fence_files_only(paths, count);
    return enter(network_fill, needs, NULL);
}

bool fence_enter_folder(int folder, bool read_only)
{
    fence_files_below(folder, read_only);
    return enter(folder_fill, &read_only, NULL);
}

void fence_usb_files(void)
{
    static const char *const paths[] = {"/sys", "/run/udev", "/etc/udev"};
    fence_files_devices(paths, G_N_ELEMENTS(paths), "/dev/bus/usb");
}

bool fence_enter_usb(void)
{
    return enter(usb_fill, NULL, NULL);
}
